import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** A mutex per key. Waiting has a limit. */
export const makeTurns = () => {
  const turns = new Map<string, Deferred.Deferred<void>>()
  const end = (key: string, turn: Deferred.Deferred<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (turns.get(key) === turn) turns.delete(key)
      return Deferred.succeed(turn, undefined)
    })
  return <E2>(key: string, limit: number, onTimeout: () => E2) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const before = turns.get(key)
        const turn = Deferred.unsafeMake<void>(FiberId.none)
        turns.set(key, turn)
        return { before, turn }
      }),
      ({ before }): Effect.Effect<A, E | E2, R> =>
        before === undefined ? self : Effect.zipRight(
          Effect.timeoutFail(Effect.interruptible(Deferred.await(before)), { duration: limit, onTimeout }),
          self
        ),
      ({ before, turn }) =>
        before === undefined ? end(key, turn) : Effect.flatMap(Deferred.isDone(before), (done) =>
          done
            ? end(key, turn)
            // Timed out before its turn: later callers still have to wait for the earlier ones.
            : Effect.forkDaemon(Effect.zipRight(Deferred.await(before), end(key, turn))))
    )
}
