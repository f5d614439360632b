/** The span and the metrics of one call, and the place where it was made. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { RequestError } from "../../DustAPIError.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Identity } from "../api/operation.ts"
import { debug } from "../telemetry/log.ts"
import { record, recording, tagsOf } from "../telemetry/record.ts"
import { event, setAttributes } from "../telemetry/span.ts"
import { monotonicOf } from "../util/monotonic.ts"
import { located, locationOf } from "./callSite.ts"
import type { Call, Context, Trip } from "./context.ts"

export const nameOf = (identity: Pick<Identity, "module" | "method">): string => `${identity.module}.${identity.method}`

/** The ids in the path of a call, for logs: what else a path has may be a name that people have given. */
const idsOf = ({ identity, url }: Call) => {
  const values = url.split("?")[0]?.split("/").slice(-identity.route.split("/").length + 1) ?? []
  const names = identity.route.split("/").slice(1)
  const of = (name: string) => {
    const index = names.indexOf(`{${name}}`)
    return index === -1 ? undefined : values[index]
  }
  return { conversationId: of("conversationId"), messageId: of("messageId") }
}

const place = (call: Call) => ({
  operation: nameOf(call.identity),
  workspaceId: call.caller.workspaceId,
  ...idsOf(call)
})

/** An attempt begins. */
export const attempting = ({ attempts, call }: Trip): Effect.Effect<void> =>
  debug(
    "Request",
    () => ({ ...place(call), method: call.identity.http, route: call.identity.route, attempt: attempts })
  )

/** An attempt has failed, and another one follows after a pause, in milliseconds. */
export const repeating = ({ attempts, call }: Trip, { _tag, type }: RequestError, delay: number): Effect.Effect<void> =>
  recording("retries", { operation: nameOf(call.identity), reason: _tag }).pipe(
    Effect.zipRight(event(Telemetry.events.retry, {
      [Telemetry.attributes.reason]: _tag,
      [Telemetry.attributes.delay]: delay / 1_000,
      [Telemetry.attributes.attempts]: attempts
    })),
    Effect.zipRight(debug("Request is repeated after a pause", () => ({
      ...place(call),
      reason: _tag,
      type,
      attempt: attempts,
      pause: `${Math.round(delay)}ms`
    })))
  )

const outcomeOf = (exit: Exit.Exit<unknown, RequestError>): string =>
  exit._tag === "Success" ? "success" : exit.cause._tag === "Fail" ? exit.cause.error._tag : "interrupted"

const attributesOf = (attempts: number, exit: Exit.Exit<unknown, RequestError>): Record<string, unknown> => {
  const attributes: Record<string, unknown> = { [Telemetry.attributes.attempts]: attempts }
  if (exit._tag === "Failure" && exit.cause._tag === "Fail") {
    const { _tag, requestId, status, type } = exit.cause.error
    attributes[Telemetry.attributes.errorType] = _tag
    attributes[Telemetry.attributes.errorCode] = type
    attributes[Telemetry.attributes.status] = status
    attributes[Telemetry.attributes.requestId] = requestId
  }
  return attributes
}

/** A call under its span, counted and measured, with errors that show where it was made. */
export const instrumented = <A, R>(
  { base }: Context,
  trip: Trip,
  self: Effect.Effect<A, RequestError, R>
): Effect.Effect<A, RequestError, R> => {
  const { call } = trip
  const name = nameOf(call.identity)
  return Effect.withFiberRuntime<A, RequestError, R>((fiber) =>
    Effect.clockWith((clock) => {
      const begun = monotonicOf(clock)
      return self.pipe(
        Effect.onExit((exit) =>
          Effect.withFiberRuntime(({ currentSpan }) => {
            if (exit._tag === "Failure" && exit.cause._tag === "Fail") located(exit.cause.error, name, call.site)
            if (currentSpan?._tag === "Span") setAttributes(currentSpan, attributesOf(trip.attempts, exit))
            const tags = tagsOf(fiber)
            record("requests", { operation: name, outcome: outcomeOf(exit) }, 1, tags)
            record("requestDuration", { operation: name }, (monotonicOf(clock) - begun) / 1_000, tags)
            return Effect.void
          })
        ),
        Effect.withSpan(call.acceptsEvents ? `${name} connect` : name, {
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
    })
  )
}
