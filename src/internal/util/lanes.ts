/** The queues of a governor: one for each class and key of calls. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monotonic } from "./monotonic.ts"
import type { SlowStart } from "./slowStart.ts"

export interface Lane {
  /** Calls that wait for a place, in order. */
  readonly queue: Effect.Semaphore
  readonly inFlight: Effect.Semaphore | undefined
  /** When the first of them will probably have its place. */
  until: number
  /** Limits the calls after a refusal. */
  slowStart: SlowStart | undefined
  /** Calls that wait or are in flight. */
  calls: number
}

/** Unused lanes are removed beyond this number: each new access token has one. */
const kept = 1000

export class Lanes {
  readonly #lanes = new Map<string, Lane>()
  #sweepAt = kept

  get(name: string): Lane | undefined {
    return this.#lanes.get(name)
  }

  /** The lane of this name, created when needed. */
  of(name: string, concurrency: number | undefined): Lane {
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    const lane: Lane = {
      queue: Effect.unsafeMakeSemaphore(1),
      inFlight: concurrency === undefined ? undefined : Effect.unsafeMakeSemaphore(concurrency),
      until: 0,
      slowStart: undefined,
      calls: 0
    }
    this.#sweep()
    this.#lanes.set(name, lane)
    return lane
  }

  #sweep(): void {
    if (this.#lanes.size < this.#sweepAt) return
    for (const [name, { calls, slowStart }] of this.#lanes) {
      if (calls === 0 && slowStart === undefined) this.#lanes.delete(name)
    }
    this.#sweepAt = Math.max(kept, 2 * this.#lanes.size)
  }
}

/** Takes a permit, and returns it when the scope closes. */
const permit = (semaphore: Effect.Semaphore): Effect.Effect<void, never, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.zipRight(restore(semaphore.take(1)), Effect.addFinalizer(() => semaphore.release(1)))
  )

/** Waits until a call may be in flight. */
export const inFlight = (lane: Lane): Effect.Effect<void, never, Scope.Scope> =>
  lane.inFlight === undefined ? Effect.void : permit(lane.inFlight)

/** Counts a call until the scope closes. */
export const occupied = (lane: Lane): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(() => void lane.calls++), () => Effect.sync(() => void lane.calls--))

/** The turn of a call after a refusal: the milliseconds to wait for it, 0 if it has it. */
export const turn = (lane: Lane): Effect.Effect<number, never, Scope.Scope> =>
  Effect.flatMap(monotonic, (now) => {
    const { slowStart } = lane
    if (slowStart === undefined) return Effect.succeed(0)
    if (!slowStart.isOver(now)) return slowStart.turn
    lane.slowStart = undefined
    return Effect.succeed(0)
  })
