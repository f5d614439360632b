import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"

/**
 * Runs an effect in an interruptible child fiber. Waiting for the child is interruptible too, unless the calling fiber
 * is already interrupted: then this is a finalizer, which must run to its end.
 */
export const inChild = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  lost: (value: A) => Effect.Effect<void> = () => Effect.void
): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    FiberRef.get(FiberRef.interruptedCause),
    (interrupted) =>
      Effect.flatMap(Effect.forkDaemon(Effect.interruptible(self)), (fiber) =>
        Cause.isEmpty(interrupted)
          ? Effect.onInterrupt(
            Effect.interruptible(Fiber.join(fiber)),
            () =>
              Effect.flatMap(Fiber.interrupt(fiber), (exit) => Exit.isSuccess(exit) ? lost(exit.value) : Effect.void)
          )
          : Fiber.join(fiber))
  )

/**
 * Gives `acquireRelease`, finalizers and other uninterruptible regions the same prompt races and timeouts as elsewhere:
 * a race or timeout that cannot interrupt the loser waits for it to end. `lost` receives a value that arrived too late
 * to be returned.
 */
export const anywhere = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  lost?: (value: A) => Effect.Effect<void>
): Effect.Effect<A, E, R> => Effect.checkInterruptible((interruptible) => interruptible ? self : inChild(self, lost))
