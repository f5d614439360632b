/** The span, the metrics and the call site of a call. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import type * as Tracer from "effect/Tracer"
import type { RequestError } from "../../DustAPIError.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Identity } from "../api/operation.ts"
import { debug } from "../telemetry/log.ts"
import { record, recording, tagsOf } from "../telemetry/record.ts"
import { event, setAttributes } from "../telemetry/span.ts"
import { failedIn, located, locationOf } from "./callSite.ts"
import type { Call, Context, Trip } from "./context.ts"

export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export const nameOf = (identity: Pick<Identity, "module" | "method">): string => `${identity.module}.${identity.method}`

/** The ids in the path of a call, for logs: other path values may be names given by people. */
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

/** Records the start of an attempt. */
export const attempting = ({ attempts, call }: Trip): Effect.Effect<void> =>
  debug(
    "Request",
    () => ({ ...place(call), method: call.identity.http, route: call.identity.route, attempt: attempts })
  )

/** Records a failed attempt that is retried after a pause, in milliseconds. */
export const repeatedAfter = (
  { attempts, call }: Trip,
  { _tag, type }: RequestError,
  delay: number
): Effect.Effect<void> =>
  recording("retries", { operation: nameOf(call.identity), reason: _tag }).pipe(
    Effect.zipRight(event(Telemetry.events.retry, {
      [Telemetry.attributes.reason]: _tag,
      [Telemetry.attributes.delay]: delay / 1_000,
      [Telemetry.attributes.attempts]: attempts
    })),
    Effect.zipRight(debug("Request is retried after a pause", () => ({
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

/** The span of a call, with the attributes and tags of the calling fiber. */
export const spanOf = (
  { base }: Context,
  { acceptsEvents, caller, identity, site }: Call
): Effect.Effect<Tracer.Span> =>
  Effect.makeSpan(acceptsEvents ? `${nameOf(identity)} connect` : nameOf(identity), {
    kind: "client",
    captureStackTrace: () => locationOf(site),
    attributes: {
      [Telemetry.attributes.workspaceId]: caller.workspaceId,
      [Telemetry.attributes.method]: identity.http,
      [Telemetry.attributes.route]: identity.route,
      [Telemetry.attributes.serverAddress]: base.hostname
    }
  })

/** Ends the span of a call, records its metrics, and adds the call site to its error. */
export const ended = (
  fiber: AnyFiber,
  { clock, span }: { readonly clock: Clock.Clock; readonly span: Tracer.Span },
  trip: Trip,
  exit: Exit.Exit<unknown, RequestError>
): void => {
  const { attempts, begun, call } = trip
  const name = nameOf(call.identity)
  if (exit._tag === "Failure") {
    if (exit.cause._tag === "Fail") failedIn(located(exit.cause.error, name, call.site), span)
    // Like Effect when it ends a span.
    const at = locationOf(call.site)
    if (at !== undefined) span.attribute("code.stacktrace", at)
  }
  setAttributes(span, attributesOf(attempts, exit))
  const tags = tagsOf(fiber)
  record("requests", { operation: name, outcome: outcomeOf(exit) }, 1, tags)
  record("requestDuration", { operation: name }, (trip.now() - begun) / 1_000, tags)
  span.end(fiber.getFiberRef(FiberRef.currentTracerTimingEnabled) ? clock.unsafeCurrentTimeNanos() : 0n, exit)
}
