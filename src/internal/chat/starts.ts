import * as Effect from "effect/Effect"
import type { Asked, Service, StartOptions, StartWithKeyOptions } from "../../Chat.ts"
import type { DustAPIError } from "../../DustAPIError.ts"
import { type Context, start } from "./start.ts"
import { type Key, startWithKey } from "./startWithKey.ts"

/** Two calls with one key wait for each other. A key that is not in use is forgotten. */
const makeTurns = () => {
  const turns = new Map<string, { readonly semaphore: Effect.Semaphore; users: number }>()
  return (key: string) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const turn = turns.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0 }
        turns.set(key, turn)
        turn.users++
        return turn
      }),
      (turn) => turn.semaphore.withPermits(1)(self),
      (turn) =>
        Effect.sync(() => {
          turn.users--
          if (turn.users === 0) turns.delete(key)
        })
    )
}

/** Questions whose answers are not waited for. */
export const makeStarts = (context: Context): Service["start"] => {
  const inTurn = makeTurns()
  const posted: Key["posted"] = new Map()
  const plain = (options: StartOptions): Effect.Effect<Asked, DustAPIError> =>
    Effect.scoped(start(context, "start", { ...options, onInterrupt: "leave" }, { over: false })).pipe(
      Effect.flatMap(({ conversationId, message, messageId }) =>
        Effect.map(
          // The run of a question that was just sent has it.
          Effect.orDie(Effect.fromNullable(message)),
          ({ sId }) => ({ conversationId, messageId, userMessageId: sId })
        )
      )
    )
  const once = ({ key, settle = "70 seconds", store, ...question }: StartWithKeyOptions) =>
    inTurn(key)(startWithKey(context, question, { key, store, settle, posted }))
  // The overloads of the service.
  return ((options: StartOptions | StartWithKeyOptions) =>
    options.key === undefined ? plain(options) : once(options)) as Service["start"]
}
