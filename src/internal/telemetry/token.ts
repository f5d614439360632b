/** The span and the metric of a new access token. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Telemetry from "../../Telemetry.ts"
import { debug } from "./log.ts"
import { recording } from "./record.ts"
import { failure, inSpan } from "./span.ts"

/**
 * Obtains a token under a span that belongs to the call that needed it first. The span does not contain its failure,
 * which comes from the application and may quote the token.
 */
export const inRefresh = <A, E, R>(
  asker: Fiber.RuntimeFiber<unknown, unknown>,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const parent = asker.currentSpan
  const span = Effect.makeSpan(Telemetry.spans.tokenRefresh, {
    kind: "client",
    captureStackTrace: false,
    ...(parent === undefined ? { root: true } : { parent })
  })
  return inSpan(span, self, (span, exit) => {
    if (Exit.isSuccess(exit) || exit.cause._tag === "Interrupt") return exit
    span.attribute(Telemetry.attributes.errorType, "token_unavailable")
    return Exit.fail(failure("TokenError", "the access token could not be obtained"))
  }).pipe(
    Effect.onExit((exit) => {
      const outcome = Exit.isSuccess(exit) ? "success" : "failed"
      return Effect.zipRight(
        recording("tokenRefreshes", { outcome }),
        debug("Access token requested", () => ({ outcome }))
      )
    }),
    Effect.withTracer(asker.currentTracer)
  )
}
