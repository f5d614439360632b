import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"

/**
 * Runs in a child that can be interrupted. Whoever waits for it can be interrupted, too, unless that has happened already:
 * then this is a finalizer, which has to come to its own end.
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
 * The same quickness and the same limits in `acquireRelease`, finalizers and other uninterruptible regions as outside: a race
 * or a limit in time that cannot interrupt what it gives up waits for its end. `lost` gets a value that came too late to be
 * handed over.
 */
export const anywhere = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  lost?: (value: A) => Effect.Effect<void>
): Effect.Effect<A, E, R> => Effect.checkInterruptible((interruptible) => interruptible ? self : inChild(self, lost))
