import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { DustAPIError, DustTimeoutError } from "../../DustAPIError.ts"
import type { ConversationId, MessageId } from "../../Ids.ts"
import { timeout } from "../request/errors.ts"
import { CurrentOptions } from "../request/settings.ts"
import { identity } from "./identity.ts"
import { makeEnding } from "./run.ts"
import { type Context, type Question, start } from "./start.ts"
import { type Key, startWithKey, type Store } from "./startWithKey.ts"

interface Asked {
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly userMessageId: MessageId
}

interface Keyed extends Question, Pick<Key, "key"> {
  readonly store: KeyValueStore
  readonly settle?: Key["settle"] | undefined
}

/** Calls with the same key are serialized. A key that is not in use is removed. */
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

/** The store may be remote and hang. This limit applies unless the call has its own. */
const storeLimit = "30 seconds"

const answering = (store: KeyValueStore): Store => {
  const limited = (what: string) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | DustTimeoutError> =>
    Effect.flatMap(CurrentOptions, ({ timeouts }) => {
      const limit = Option.getOrElse(Duration.decodeUnknown(timeouts?.total), () => Duration.decode(storeLimit))
      return Effect.timeoutFail(Effect.disconnect(self), {
        duration: limit,
        onTimeout: () =>
          timeout(identity("start"), 0, "total", limit, `the store did not ${what} within ${Duration.format(limit)}`)
      })
    })
  return {
    get: (entry) => limited("answer")(store.get(entry)),
    set: (entry, value) => limited("write")(store.set(entry, value))
  }
}

/** Starts questions without waiting for their replies. */
export const makeStarts = (context: Context) => {
  const inTurn = makeTurns()
  const posted: Key["posted"] = new Map()
  const plain = (question: Question): Effect.Effect<Asked, DustAPIError> =>
    start(context, "start", { ...question, onInterrupt: "leave" }, makeEnding()).pipe(
      Effect.flatMap(({ conversationId, message, messageId }) =>
        Effect.map(
          // The run of a question that was just sent has a user message.
          Effect.orDie(Effect.fromNullable(message)),
          ({ sId }) => ({ conversationId, messageId, userMessageId: sId })
        )
      )
    )
  const once = ({ key, settle = "70 seconds", store, ...question }: Keyed) =>
    inTurn(key)(startWithKey(context, question, { key, store: answering(store), settle, posted }))
  return { plain, once }
}
