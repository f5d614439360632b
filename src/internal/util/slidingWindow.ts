import * as Effect from "effect/Effect"
import { monotonic, timeOfDay } from "./monotonic.ts"

/**
 * At most `limit` starts in any window of this length. Dust counts in sliding windows, so neither a refilling bucket nor
 * adjacent fixed windows would stay below its limit. `onWait` gets the time (epoch milliseconds) at which the next place
 * becomes free.
 */
export const makeBudget = <R = never>(
  limit: number,
  windowMillis: number,
  onWait: (until: number) => Effect.Effect<void, never, R> = () => Effect.void
): Effect.Effect<Effect.Effect<void, never, R>> =>
  Effect.sync(() => {
    const queue = Effect.unsafeMakeSemaphore(1)
    const starts: Array<number> = []
    const start: Effect.Effect<void, never, R> = Effect.flatMap(monotonic, (now) => {
      while (starts.length > 0 && starts[0]! + windowMillis <= now) starts.shift()
      if (starts.length >= limit) {
        const until = starts[0]! + windowMillis
        return Effect.zipRight(
          Effect.zipRight(Effect.flatMap(timeOfDay(until), onWait), Effect.sleep(until - now)),
          start
        )
      }
      starts.push(now)
      return Effect.void
    })
    return queue.withPermits(1)(start)
  })
