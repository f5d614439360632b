import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Shutdown {
  /** Completes when the layer begins to close. */
  readonly closing: Effect.Effect<void>
  /** The number of open responses. */
  readonly open: Effect.Effect<number>
  /** Counts a response as open until its scope closes. */
  readonly hold: Effect.Effect<void, never, Scope.Scope>
}

export const makeShutdown = (grace: Duration.DurationInput): Effect.Effect<Shutdown, never, Scope.Scope> =>
  Effect.gen(function*() {
    const closing = yield* Deferred.make<void>()
    const idle = yield* Deferred.make<void>()
    let open = 0
    let over = false
    const check = Effect.suspend(() => over && open === 0 ? Deferred.succeed(idle, undefined) : Effect.void)
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        over = true
        return Deferred.succeed(closing, undefined)
      }).pipe(
        Effect.zipRight(check),
        Effect.zipRight(Effect.timeoutOption(Effect.interruptible(Deferred.await(idle)), grace))
      )
    )
    return {
      closing: Deferred.await(closing),
      open: Effect.sync(() => open),
      hold: Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => {
          open++
        }),
        () =>
          Effect.suspend(() => {
            open--
            return check
          })
      ))
    }
  })
