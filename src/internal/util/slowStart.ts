import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import { monotonic } from "./monotonic.ts"

/** Up to this many unanswered calls, their number doubles; beyond it, it grows by one. */
const firstThreshold = 16

/** With this many unanswered calls, there is no limit any more. */
const enough = 64

/** Milliseconds. A limiter responds fast: a call without a response for this long has passed it, however long it takes. */
const settled = 1000

/** Milliseconds without a refusal, after which there is no limit any more. */
const forgotten = 120_000

/**
 * The number of unanswered calls allowed after a refusal: one at first, and more as calls succeed. Otherwise, all waiting
 * calls would start at once when the pause ends, be refused again, and use up their attempts.
 */
export class SlowStart {
  #window = 2 * firstThreshold
  #threshold = firstThreshold
  #refusedAt = 0
  #pausedUntil = Number.NEGATIVE_INFINITY
  readonly #flights = new Set<{ readonly at: number }>()
  readonly #queue = Effect.unsafeMakeSemaphore(1)
  #changed = Deferred.unsafeMake<void>(FiberId.none)

  /** Whether calls may start without a turn. */
  isOver(now: number): boolean {
    return now >= this.#pausedUntil && (this.#window >= enough || now - this.#refusedAt > forgotten)
  }

  /** Begins again. Refusals within one pause count once. */
  refused(now: number, pause: number): void {
    const isFirst = now >= this.#pausedUntil
    this.#refusedAt = now
    this.#pausedUntil = Math.max(this.#pausedUntil, now + pause)
    if (!isFirst) return
    this.#threshold = Math.max(1, Math.min(firstThreshold, this.#window / 2))
    this.#window = 1
  }

  /**
   * Waits for a turn and returns 0, or the milliseconds for which calls are paused. The call counts until the scope
   * closes, and its success makes room for more.
   */
  readonly turn: Effect.Effect<number, never, Scope.Scope> = Effect.suspend(() =>
    this.#queue.withPermits(1)(this.#next)
  )

  readonly #next: Effect.Effect<number, never, Scope.Scope> = Effect.flatMap(monotonic, (now) => {
    if (now < this.#pausedUntil) return Effect.succeed(this.#pausedUntil - now)
    if (this.isOver(now)) return Effect.succeed(0)
    const recent = [...this.#flights].map(({ at }) => at).filter((at) => at > now - settled)
    if (recent.length < Math.floor(this.#window)) return Effect.as(this.#start(now), 0)
    return Effect.zipRight(
      Effect.raceFirst(Deferred.await(this.#changed), Effect.sleep(Math.min(...recent) + settled - now)),
      this.#next
    )
  })

  readonly #start = (at: number): Effect.Effect<void, never, Scope.Scope> =>
    Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) => {
      const flight = { at }
      this.#flights.add(flight)
      return Scope.addFinalizerExit(scope, (exit) => Effect.sync(() => this.#end(flight, Exit.isSuccess(exit))))
    }))

  #end(flight: { readonly at: number }, succeeded: boolean): void {
    this.#flights.delete(flight)
    if (succeeded) this.#window += this.#window < this.#threshold ? 1 : 1 / this.#window
    const changed = this.#changed
    this.#changed = Deferred.unsafeMake(FiberId.none)
    Deferred.unsafeDone(changed, Effect.void)
  }
}
