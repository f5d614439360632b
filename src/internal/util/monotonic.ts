import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds of a monotonic clock: the time of day may be stepped between two requests. */
export const monotonicOf = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)

/** A moment of {@link monotonic} as a time of day, for people. */
export const timeOfDay = (moment: number): Effect.Effect<number> =>
  Clock.clockWith((clock) =>
    Effect.sync(() => clock.unsafeCurrentTimeMillis() + Math.max(0, moment - monotonicOf(clock)))
  )

/** {@link monotonicOf} the clock of the fiber. */
export const monotonic: Effect.Effect<number> = Clock.clockWith((clock) => Effect.sync(() => monotonicOf(clock)))
