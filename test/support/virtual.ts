/** A clock whose time passes by itself, as soon as nothing else is left to do: hours of waiting in milliseconds. */
import { Clock, Duration, Effect } from "effect"

export const virtualClock = (start = 1_750_000_000_000): Clock.Clock => {
  let now = start
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
  let scheduled = false
  const advance = () => {
    scheduled = false
    let next: { readonly at: number; readonly wake: () => void } | undefined
    for (const sleeper of sleepers) if (next === undefined || sleeper.at < next.at) next = sleeper
    if (next === undefined) return
    sleepers.delete(next)
    now = Math.max(now, next.at)
    next.wake()
    schedule()
  }
  const schedule = () => {
    if (scheduled || sleepers.size === 0) return
    scheduled = true
    // After everything that runs on microtasks, and after what the scheduler put off.
    setTimeout(() => setImmediate(advance), 0)
  }
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(Math.floor(now)) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(Math.floor(now)) * 1_000_000n),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const sleeper = { at: now + Math.max(0, Duration.toMillis(duration)), wake: () => resume(Effect.void) }
        if (sleeper.at <= now) return resume(Effect.void)
        sleepers.add(sleeper)
        schedule()
        return Effect.sync(() => sleepers.delete(sleeper))
      })
  }
}
