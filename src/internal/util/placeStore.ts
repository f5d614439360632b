import * as Effect from "effect/Effect"
import { monotonic } from "./monotonic.ts"

/** Unused keys are removed beyond this number. */
const kept = 1000

/**
 * Places in sliding windows, and pauses, in memory. The server counts in sliding windows, so neither a refilling bucket nor
 * adjacent fixed windows would stay below its limits.
 */
export const memory = <L extends { readonly limit: number }>(windowMillis: (limit: L) => number) => {
  interface Lane {
    /** Starts that still count, oldest first; those before `from` do not. */
    starts: Array<number>
    from: number
    pausedUntil: number
    /** When the last start leaves its window. */
    keptUntil: number
  }
  let sweepAt = kept
  const lanes = new Map<string, Lane>()
  const laneOf = (key: string, now: number): Lane => {
    const known = lanes.get(key)
    if (known !== undefined) return known
    if (lanes.size >= sweepAt) {
      for (const [key, { keptUntil, pausedUntil }] of lanes) {
        if (Math.max(keptUntil, pausedUntil) <= now) lanes.delete(key)
      }
      sweepAt = Math.max(kept, 2 * lanes.size)
    }
    const lane: Lane = { starts: [], from: 0, pausedUntil: 0, keptUntil: 0 }
    lanes.set(key, lane)
    return lane
  }

  const forget = (lane: Lane, before: number): void => {
    while (lane.from < lane.starts.length && lane.starts[lane.from]! <= before) lane.from++
    if (lane.from > 1000) {
      lane.starts = lane.starts.slice(lane.from)
      lane.from = 0
    }
  }

  return {
    take: (key: string, limits: ReadonlyArray<L>): Effect.Effect<number> =>
      Effect.map(monotonic, (now) => {
        const lane = laneOf(key, now)
        const longest = Math.max(0, ...limits.map(windowMillis))
        forget(lane, now - longest)
        let free = lane.pausedUntil
        for (const limit of limits) {
          const counted = lane.starts.length - lane.from
          if (counted < limit.limit) continue
          // The oldest of the last `limit` starts has to leave the window first.
          free = Math.max(free, lane.starts[lane.starts.length - limit.limit]! + windowMillis(limit))
        }
        if (free > now) return free - now
        if (longest > 0) lane.starts.push(now)
        lane.keptUntil = now + longest
        return 0
      }),
    pause: (key: string, millis: number): Effect.Effect<void> =>
      Effect.map(monotonic, (now) => {
        const lane = laneOf(key, now)
        lane.pausedUntil = Math.max(lane.pausedUntil, now + millis)
      }),
    pauseLeft: (key: string): Effect.Effect<number> =>
      Effect.map(monotonic, (now) => Math.max(0, (lanes.get(key)?.pausedUntil ?? 0) - now))
  }
}
