/** Handles Ctrl-C. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

export interface Service {
  /** Runs the effect so that Ctrl-C interrupts it and not the program. Returns `false` if it was interrupted. */
  readonly untilStopped: <E, R>(effect: Effect.Effect<void, E, R>) => Effect.Effect<boolean, E, R>
}

export class Signals extends Context.Tag("effect-dust/cli/Signals")<Signals, Service>() {}

/** The service, and the signal handler, which returns whether it interrupted an effect. */
export const make = (): { readonly service: Service; readonly stop: () => boolean } => {
  let current: Fiber.RuntimeFiber<unknown, unknown> | undefined
  return {
    stop: () => {
      if (current === undefined) return false
      current.unsafeInterruptAsFork(current.id())
      return true
    },
    service: {
      untilStopped: <E, R>(effect: Effect.Effect<void, E, R>) =>
        Effect.acquireUseRelease(
          Effect.tap(Effect.fork(Effect.interruptible(effect)), (fiber) =>
            Effect.sync(() => {
              current = fiber
            })),
          (fiber) =>
            Effect.flatMap(Fiber.await(fiber), (exit) =>
              Exit.isSuccess(exit)
                ? Effect.succeed(true)
                : Exit.isInterrupted(exit)
                ? Effect.succeed(false)
                : Effect.failCause(exit.cause)),
          (fiber) =>
            Effect.suspend(() => {
              current = undefined
              return Fiber.interrupt(fiber)
            })
        )
    }
  }
}
