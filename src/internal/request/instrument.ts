/** The span and the metrics of one call, and the place where it was made. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type { RequestError } from "../../DustAPIError.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Identity } from "../api/operation.ts"
import { located, locationOf } from "./callSite.ts"
import type { Call, Context, Trip } from "./context.ts"

export const nameOf = (identity: Pick<Identity, "module" | "method">): string => `${identity.module}.${identity.method}`

type Tagged = Metric.Metric.Counter<number>

/** A tagged metric is made anew by each tagging, which costs more than counting. */
const tagged = (metric: Tagged, label: string): (operation: string, value: string) => Tagged => {
  const known = new Map<string, Tagged>()
  return (operation, value) => {
    const key = `${operation} ${value}`
    const found = known.get(key)
    if (found !== undefined) return found
    const made = metric.pipe(Metric.tagged("operation", operation), Metric.tagged(label, value))
    // Names of operations are the program's own: there are as many as it declares.
    known.set(key, made)
    return made
  }
}

const requests = tagged(Telemetry.requests, "outcome")
const retries = tagged(Telemetry.retries, "reason")

export const countRetry = (call: Call, reason: string): Effect.Effect<void> =>
  Metric.increment(retries(nameOf(call.identity), reason))

const outcomeOf = (exit: Exit.Exit<unknown, RequestError>): string =>
  exit._tag === "Success" ? "success" : exit.cause._tag === "Fail" ? exit.cause.error._tag : "interrupted"

const attributesOf = (attempts: number, exit: Exit.Exit<unknown, RequestError>): Record<string, unknown> => {
  const attributes: Record<string, unknown> = { [Telemetry.attributes.attempts]: attempts }
  if (exit._tag === "Failure" && exit.cause._tag === "Fail") {
    const { _tag, requestId, status } = exit.cause.error
    attributes[Telemetry.attributes.errorType] = _tag
    if (status !== undefined) attributes[Telemetry.attributes.status] = status
    if (requestId !== undefined) attributes[Telemetry.attributes.requestId] = requestId
  }
  return attributes
}

/** A call under its span, counted, with errors that show where it was made. */
export const instrumented = <A, R>(
  { base }: Context,
  trip: Trip,
  self: Effect.Effect<A, RequestError, R>
): Effect.Effect<A, RequestError, R> => {
  const { call } = trip
  const name = nameOf(call.identity)
  return self.pipe(
    Effect.onExit((exit) => {
      if (exit._tag === "Failure" && exit.cause._tag === "Fail") located(exit.cause.error, name, call.site)
      return Effect.zipRight(
        Effect.annotateCurrentSpan(attributesOf(trip.attempts, exit)),
        Metric.increment(requests(name, outcomeOf(exit)))
      )
    }),
    Effect.withSpan(name, {
      kind: "client",
      captureStackTrace: () => locationOf(call.site),
      attributes: {
        [Telemetry.attributes.workspaceId]: call.caller.workspaceId,
        [Telemetry.attributes.method]: call.identity.http,
        [Telemetry.attributes.route]: call.identity.route,
        [Telemetry.attributes.serverAddress]: base.hostname
      }
    })
  )
}
