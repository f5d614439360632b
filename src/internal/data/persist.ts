import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RequestError } from "../../DustAPIError.ts"
import type { Settings } from "../../DustClient.ts"
import { CurrentWaitObserver } from "../../Governor.ts"
import { delays } from "../request/retry.ts"
import { monotonic, timeOfDay } from "../util/monotonic.ts"

/** What a limit that does not say when it reopens is waited for. */
const limitPause = Duration.seconds(15)

/**
 * One step of a job, repeated beyond what the request path repeats by itself: while a rate limit holds, and when an answer
 * was garbled on its way. A rate limit that one step meets pauses the other steps of the job, too.
 *
 * A policy without retries waits for nothing. A step ends with its last error once `total` or the policy's `maxElapsed`
 * would be over.
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
