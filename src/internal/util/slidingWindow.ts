import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/**
 * At most `limit` starts in any window of this length. The server counts in a window that slides, so that neither a bucket
 * which refills while it is emptied nor windows side by side stay under its limit.
 */
export const makeBudget = (limit: number, windowMillis: number): Effect.Effect<Effect.Effect<void>> =>
  Effect.sync(() => {
    const queue = Effect.unsafeMakeSemaphore(1)
    const starts: Array<number> = []
    const start: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      while (starts.length > 0 && starts[0]! + windowMillis <= now) starts.shift()
      if (starts.length >= limit) return Effect.zipRight(Effect.sleep(starts[0]! + windowMillis - now), start)
      starts.push(now)
      return Effect.void
    })
    return queue.withPermits(1)(start)
  })
