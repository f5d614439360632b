import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { ConversationId } from "../../Ids.ts"
import { type AgentMessage, isAgentMessage, type Message, type UserMessage } from "../../Message.ts"
import { delays } from "../request/retry.ts"
import { Recent } from "../util/recentSet.ts"

export interface Posted {
  readonly message: UserMessage
  readonly agentMessages: ReadonlyArray<AgentMessage>
}

export interface Sending {
  readonly conversationId: ConversationId
  readonly content: string
  readonly username: string
  /** One POST, repeated by the request path only where it provably was not handled. */
  readonly send: Effect.Effect<Posted, RequestError>
}

/** How far the clocks of two machines may be apart when nothing is known of the other one's, and when it is. */
const toleranceUnknown = 60_000
const toleranceKnown = 3_000

/** A handler may still be at work when its connection breaks: the conversation is looked at after each of these pauses. */
const looks = [200, 800, 2_000]
/** Where somebody gave up waiting for the handler, it is slow: it gets more time. */
const longLooks = [...looks, 5_000, 10_000]

const rememberedIds = 512

const gaveUp = (error: RequestError): boolean =>
  error._tag === "DustTimeoutError" || error.status === 408 || error.status === 502 || error.status === 504

/** The server may have stored the message, and did not get to say so. */
const isAmbiguous = (error: RequestError): boolean =>
  // Without an attempt there was no message: the token did not come.
  (error._tag === "DustTimeoutError" && error.attempts > 0) || error._tag === "DustDecodeError" ||
  (error._tag === "DustNetworkError" && error.reachedServer) ||
  (error._tag === "DustServerError" && !(error.status === 503 && error.type === "service_unavailable"))

/**
 * Sends a message exactly once. After an ambiguous failure the conversation is read: a message that is there is adopted,
 * one that is not is sent again.
 *
 * A stored message is recognised by author, text, time, and by not being the outcome of another send of this client.
 * Sends of the same text into the same conversation wait for each other, so that none can take the other's message.
 */
export const makeSender = (
  client: Client,
  readRecent: (conversationId: ConversationId) => Effect.Effect<ReadonlyArray<Message>, RequestError>
): (sending: Sending) => Effect.Effect<Posted, RequestError> => {
  const claimed = new Recent(rememberedIds)
  const locks = new Map<string, { readonly semaphore: Effect.Semaphore; users: number }>()

  const claim = (posted: Posted): Posted => {
    claimed.add(posted.message.sId)
    return posted
  }

  const exclusively = (key: string) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const lock = locks.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0 }
        lock.users++
        locks.set(key, lock)
        return lock
      }),
      (lock) => lock.semaphore.withPermits(1)(self),
      (lock) =>
        Effect.sync(() => {
          if (--lock.users === 0) locks.delete(key)
        })
    )

  const find = (sending: Sending, since: number) => (messages: ReadonlyArray<Message>): Option.Option<Posted> => {
    const found = messages.find((message): message is UserMessage =>
      message.type === "user_message" && message.content === sending.content &&
      message.context.username === sending.username && message.created >= since && !claimed.has(message.sId)
    )
    return found === undefined ? Option.none() : Option.some({
      message: found,
      agentMessages: messages.filter(isAgentMessage).filter((message) => message.parentMessageId === found.sId)
    })
  }

  const reconcile = (sending: Sending, since: number, pauses: ReadonlyArray<number>) => {
    const look = (index: number): Effect.Effect<Option.Option<Posted>, RequestError> => {
      const pause = pauses[index]
      return pause === undefined ? Effect.succeedNone : Effect.sleep(pause).pipe(
        Effect.zipRight(readRecent(sending.conversationId)),
        Effect.map(find(sending, since)),
        Effect.flatMap((found) => Option.isSome(found) ? Effect.succeed(found) : look(index + 1))
      )
    }
    return look(0)
  }

  return (sending) =>
    exclusively(`${sending.conversationId}\n${sending.content}`)(Effect.gen(function*() {
      const start = yield* Clock.currentTimeMillis
      const next = yield* delays((yield* client.settings).retry)
      const attempt: Effect.Effect<Posted, RequestError> = Effect.catchIf(
        sending.send,
        isAmbiguous,
        (error) =>
          Effect.gen(function*() {
            const offset = yield* client.serverOffset
            const since = start + Option.getOrElse(offset, () => 0) -
              (Option.isSome(offset) ? toleranceKnown : toleranceUnknown)
            // If the conversation cannot be read, nobody knows whether the message is there, and the first failure stands.
            const found = yield* Effect.mapError(reconcile(sending, since, gaveUp(error) ? longLooks : looks), () =>
              error)
            if (Option.isSome(found)) {
              return found.value
            }
            // An answer that could not be understood says that the message was taken.
            if (error._tag === "DustDecodeError") {
              return yield* Effect.fail(error)
            }
            const delay = yield* next(error)
            if (Option.isNone(delay)) {
              return yield* Effect.fail(error)
            }
            yield* Effect.sleep(delay.value)
            return yield* attempt
          })
      )
      return claim(yield* attempt)
    }))
}
