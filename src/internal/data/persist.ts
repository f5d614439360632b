import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RequestError } from "../../DustAPIError.ts"
import type { Settings } from "../../DustClient.ts"
import { CurrentWaitObserver } from "../../Governor.ts"
import { delays } from "../request/retry.ts"
import { monotonic, timeOfDay } from "../util/monotonic.ts"

/** The pause after a rate limit without a reset time. */
const limitPause = Duration.seconds(15)

/**
 * Retries one step of a job beyond the retries of the request path: while a rate limit lasts, and after a corrupt
 * response. A rate limit in one step also pauses the other steps of the job.
 *
 * A policy without retries never waits. A step fails with its last error once `total` or the policy's `maxElapsed`
 * would be exceeded.
 */
export interface Persist {
  <A, R>(step: Effect.Effect<A, RequestError, R>): Effect.Effect<A, RequestError, R>
}

export const makePersist = (
  settings: Settings,
  onWait: (until: number) => Effect.Effect<void>
): Persist => {
  const { retry, timeouts } = settings
  const longest = Math.min(Duration.toMillis(retry.maxElapsed), Duration.toMillis(timeouts.total))
  const maxRetryAfter = Duration.toMillis(retry.maxRetryAfter)
  let reopens = 0

  const opened: Effect.Effect<void> = Effect.flatMap(
    monotonic,
    (now) => now >= reopens ? Effect.void : Effect.zipRight(Effect.sleep(reopens - now), opened)
  )

  return (step) =>
    Effect.gen(function*() {
      const start = yield* monotonic
      const garbled = yield* delays(retry)
      for (;;) {
        yield* opened
        const result = yield* Effect.either(
          Effect.provideService(step, CurrentWaitObserver, (_limitClass, until) => onWait(until))
        )
        if (result._tag === "Right") return result.right
        const error = result.left
        const now = yield* monotonic
        if (error._tag === "DustDecodeError") {
          const delay = yield* garbled(error)
          if (Option.isNone(delay)) return yield* Effect.fail(error)
          yield* Effect.sleep(delay.value)
          continue
        }
        if (error._tag !== "DustRateLimitError") return yield* Effect.fail(error)
        const pause = Duration.toMillis(error.retryAfter ?? limitPause)
        if (pause > maxRetryAfter || now + pause - start > longest) return yield* Effect.fail(error)
        reopens = Math.max(reopens, now + pause)
        yield* Effect.flatMap(timeOfDay(reopens), onWait)
      }
    })
}
