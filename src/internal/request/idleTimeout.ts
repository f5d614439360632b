import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { monotonicOf } from "../util/monotonic.ts"

/**
 * A pull that fails if it takes longer than `limit`, even if its wait cannot be interrupted.
 *
 * One timer covers all pulls: racing each pull against its own timer would cost several times as much.
 */
export const watched = <A, E>(
  pull: Effect.Effect<A, E>,
  limit: Duration.Duration,
  silent: () => E
): Effect.Effect<Effect.Effect<A, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    if (!Duration.isFinite(limit)) return pull
    const clock = yield* Effect.clock
    const fork = Runtime.runFork(yield* Effect.runtime<never>())
    const millis = Duration.toMillis(limit)
    /** Start of the latest pull. */
    let since = 0
    let expire = () => {}
    let watcher: Fiber.RuntimeFiber<void> | undefined
    let watching = false

    const watch: Effect.Effect<void> = Effect.suspend(() => {
      const left = since + millis - monotonicOf(clock)
      if (left > 0) return Effect.zipRight(Effect.sleep(left), watch)
      watching = false
      expire()
      return Effect.void
    })
    yield* Effect.addFinalizer(() => watcher === undefined ? Effect.void : Fiber.interrupt(watcher))

    return Effect.async<A, E>((resume) => {
      since = monotonicOf(clock)
      const fiber = fork(pull)
      // Has no effect once the pull has ended.
      expire = () => resume(Effect.zipRight(Fiber.interruptFork(fiber), Effect.failSync(silent)))
      fiber.addObserver(resume)
      if (!watching) {
        watching = true
        watcher = fork(watch)
      }
      return Fiber.interrupt(fiber)
    })
  })
