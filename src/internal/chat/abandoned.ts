/** Cleans up after an interrupted caller, in fibers of the layer: each method returns at once. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { MessageRef } from "../../Conversation.ts"
import type { RequestError } from "../../DustAPIError.ts"
import type { ConversationId, MessageId } from "../../Ids.ts"
import { type AgentMessage, isAgentMessage, isFinal, type Message, type UserMessage } from "../../Message.ts"
import { debug, warn } from "../telemetry/log.ts"
import { recording } from "../telemetry/record.ts"
import type { Posted } from "./sameMessage.ts"
import { looks } from "./sendOnce.ts"

/** The requests that cleaning up makes. */
export interface Requests {
  readonly cancel: (options: {
    readonly conversationId: ConversationId
    readonly messageIds: ReadonlyArray<MessageId>
  }) => Effect.Effect<void, RequestError>
  readonly deleteMessage: (ref: MessageRef) => Effect.Effect<void, RequestError>
  readonly deleteConversation: (id: ConversationId) => Effect.Effect<void, RequestError>
  /** All versions of all messages, including deleted ones. */
  readonly allMessages: (id: ConversationId) => Effect.Effect<ReadonlyArray<Message>, RequestError>
}

export interface Abandoned {
  /** Deletes a conversation whose id was never returned. */
  readonly conversation: (conversationId: ConversationId) => Effect.Effect<void>
  /** Cancels runs. */
  readonly runs: (conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>) => Effect.Effect<void>
  /** Cancels the replies to a message; a message still in the queue is deleted. */
  readonly question: (
    conversationId: ConversationId,
    message: UserMessage,
    answers: ReadonlyArray<AgentMessage>
  ) => Effect.Effect<void>
  /** Looks for a message until it appears, then cancels the replies to it. */
  readonly find: (
    conversationId: ConversationId,
    look: Effect.Effect<ReadonlyArray<Posted>, RequestError>,
    onFound: (posted: Posted) => void
  ) => Effect.Effect<void>
}

/** Time limit of one request; a warning is logged when it expires. */
const limit = "30 seconds"
/**
 * How long closing the layer waits, by the real clock: a stopped test clock would block the layer for ever. In small steps, so
 * that the time for which the process is suspended does not count.
 */
const grace = { steps: 40, step: "50 millis" } as const

const notDone = (what: string, conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>, why: string) =>
  warn(
    `${what} (conversation ${conversationId}${
      messageIds.length === 0 ? "" : `, message ${messageIds.join(", ")}`
    }): ${why}`,
    { conversationId, messageIds: messageIds.join(", ") }
  )

/** Applies the limit, and logs a warning on failure. */
const limited = (
  what: string,
  conversationId: ConversationId,
  messageIds: ReadonlyArray<MessageId>,
  self: Effect.Effect<void, RequestError>
): Effect.Effect<boolean> => {
  const failed = (why: string) => notDone(what, conversationId, messageIds, why)
  return self.pipe(
    Effect.timeoutFail({ duration: limit, onTimeout: () => ({ message: `not finished within ${limit}` }) }),
    Effect.as(true),
    Effect.catchAll(({ message }) => Effect.as(failed(message), false)),
    Effect.onInterrupt(() => Effect.zipRight(failed("the layer was closed"), counted(false)))
  )
}

/** Counts an attempt to stop what an interrupted caller started. */
const counted = (done: boolean): Effect.Effect<void> =>
  recording("cancellations", { outcome: done ? "cancelled" : "failed" })

const cancelled = (conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>) =>
  debug("Run cancelled because its consumer stopped", () => ({ conversationId, messageIds: messageIds.join(", ") }))

/** The running replies to a message, in any of its versions. */
const repliesTo = (messages: ReadonlyArray<Message>, { sId }: UserMessage): ReadonlyArray<MessageId> =>
  messages.filter(isAgentMessage).filter((message) => !isFinal(message) && message.parentMessageId === sId)
    .map((message) => message.sId)

/**
 * The message may leave the queue while it is being deleted: its newest version is then deleted, and the run belongs to
 * an older one.
 */
const takeBack = (
  requests: Requests,
  conversationId: ConversationId,
  message: UserMessage
): Effect.Effect<void, RequestError> =>
  Effect.flatMap(
    Effect.either(requests.deleteMessage({ conversationId, messageId: message.sId })),
    (deleted) =>
      requests.allMessages(conversationId).pipe(
        Effect.map((messages) => repliesTo(messages, message)),
        Effect.flatMap((messageIds) =>
          messageIds.length === 0 ? Effect.void : requests.cancel({ conversationId, messageIds })
        ),
        Effect.zipRight(deleted)
      )
  )

/** Looks for an interrupted message until it is found, the pauses are over, or the layer closes. */
const searching = (
  conversationId: ConversationId,
  look: Effect.Effect<ReadonlyArray<Posted>, RequestError>,
  onFound: (one: Posted) => Effect.Effect<void>,
  closing: Deferred.Deferred<void>
): Effect.Effect<void> => {
  const unchecked = warn(
    `Could not check whether an interrupted message was stored (conversation ${conversationId}): its run may continue`,
    { conversationId }
  )
  let readable = false
  const notFound = Effect.suspend(() => readable ? Effect.void : unchecked)
  const from = (index: number): Effect.Effect<void> => {
    // The message may be stored already.
    const pause = index === 0 ? 0 : looks[index - 1]
    if (pause === undefined) return notFound
    return Effect.sleep(pause).pipe(
      Effect.raceFirst(Deferred.await(closing)),
      Effect.zipRight(Effect.timeout(look, limit)),
      Effect.tap(() => {
        readable = true
      }),
      Effect.orElseSucceed(() => []),
      Effect.flatMap((found) => {
        const [one] = found
        if (found.length > 1) return Effect.zipRight(severalFound(conversationId, found), counted(false))
        if (one !== undefined && (one.agentMessages.length > 0 || one.message.visibility === "pending")) {
          return onFound(one)
        }
        return Effect.flatMap(Deferred.isDone(closing), (closed) => closed ? notFound : from(index + 1))
      })
    )
  }
  return Effect.onInterrupt(from(0), () => notFound)
}

const severalFound = (conversationId: ConversationId, found: ReadonlyArray<Posted>) =>
  notDone(
    "The run of an interrupted message was not cancelled",
    conversationId,
    found.map(({ message }) => message.sId),
    "several messages match it"
  )

export const makeAbandoned = (requests: Requests): Effect.Effect<Abandoned, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fibers = yield* FiberSet.make<unknown>()
    const closing = yield* Deferred.make<void>()
    // Runs before the fibers are interrupted.
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Deferred.succeed(closing, undefined),
        Effect.raceFirst(
          Effect.interruptible(FiberSet.awaitEmpty(fibers)),
          Effect.interruptible(Effect.repeatN(Effect.sleep(grace.step), grace.steps - 1))
        ).pipe(Effect.withClock(Clock.make()))
      )
    )
    const background = (self: Effect.Effect<unknown>) => FiberSet.run(fibers, Effect.interruptible(self))

    const cancel = (conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>): Effect.Effect<void> =>
      messageIds.length === 0 ? Effect.void : Effect.flatMap(
        limited(
          "An abandoned run could not be cancelled",
          conversationId,
          messageIds,
          requests.cancel({ conversationId, messageIds })
        ),
        (done) => done ? Effect.zipRight(counted(true), cancelled(conversationId, messageIds)) : counted(false)
      )

    const stop = (
      conversationId: ConversationId,
      message: UserMessage,
      answers: ReadonlyArray<AgentMessage>
    ): Effect.Effect<void> =>
      answers.length > 0 || message.visibility !== "pending"
        ? cancel(conversationId, answers.filter((one) => !isFinal(one)).map((one) => one.sId))
        : Effect.flatMap(
          limited(
            "An abandoned message could not be deleted",
            conversationId,
            [message.sId],
            takeBack(requests, conversationId, message)
          ),
          counted
        )

    return {
      conversation: (conversationId) =>
        background(limited(
          "An empty conversation could not be deleted",
          conversationId,
          [],
          requests.deleteConversation(conversationId)
        )),
      runs: (conversationId, messageIds) => background(cancel(conversationId, messageIds)),
      question: (conversationId, message, answers) => background(stop(conversationId, message, answers)),
      find: (conversationId, look, onFound) =>
        background(searching(conversationId, look, (one) => {
          onFound(one)
          return stop(conversationId, one.message, one.agentMessages)
        }, closing))
    }
  })
