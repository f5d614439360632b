import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { Service as Conversations } from "../../Conversations.ts"
import type { RequestError } from "../../DustAPIError.ts"
import type { ConversationId, MessageId } from "../../Ids.ts"
import { type AgentMessage, isAgentMessage, isFinal, type Message, type UserMessage } from "../../Message.ts"
import { debug, warn } from "../telemetry/log.ts"
import { recording } from "../telemetry/record.ts"

/** Time limit for cleaning up an abandoned run; a warning is logged when it expires. */
const limit = "30 seconds"

/** How long closing the layer waits for the cleanup, by the real clock. */
const grace = "2 seconds"

/** Cleans up after an interrupted caller. Each method returns at once; a fiber of the layer does the work. */
export interface Abandoned {
  readonly conversation: (conversationId: ConversationId) => Effect.Effect<void>
  readonly runs: (conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>) => Effect.Effect<void>
  /** Cancels the replies to a message; a message still in the queue is deleted. */
  readonly question: (
    conversationId: ConversationId,
    message: UserMessage,
    answer: AgentMessage | undefined
  ) => Effect.Effect<void>
}

const notCancelled = (
  what: string,
  conversationId: ConversationId,
  messageIds: ReadonlyArray<MessageId>,
  why: string
) =>
  Effect.zipRight(
    recording("cancellations", { outcome: "failed" }),
    warn(
      `${what} (conversation ${conversationId}${
        messageIds.length === 0 ? "" : `, message ${messageIds.join(", ")}`
      }): ${why}`,
      { conversationId, messageIds: messageIds.join(", ") }
    )
  )

/** Applies the limit, and logs a warning on failure. */
const orWarn =
  (what: string, conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>) =>
  <E extends { readonly message: string }>(self: Effect.Effect<void, E>): Effect.Effect<void> =>
    self.pipe(
      Effect.timeoutFail({ duration: limit, onTimeout: () => ({ message: `not finished within ${limit}` }) }),
      Effect.zipRight(recording("cancellations", { outcome: "cancelled" })),
      Effect.zipRight(
        debug(
          "Run cancelled because its consumer stopped",
          () => ({ conversationId, messageIds: messageIds.join(", ") })
        )
      ),
      Effect.catchAll(({ message }) => notCancelled(what, conversationId, messageIds, message)),
      Effect.onInterrupt(() => notCancelled(what, conversationId, messageIds, "the layer was closed"))
    )

const answersOf = (messages: ReadonlyArray<Message>, mine: (message: UserMessage) => boolean) => {
  const asked = new Set(
    messages.flatMap((message) => message.type === "user_message" && mine(message) ? [message.sId] : [])
  )
  return messages.filter(isAgentMessage).filter((message) =>
    !isFinal(message) && message.parentMessageId !== null && asked.has(message.parentMessageId)
  ).map((message) => message.sId)
}

const cancel = (
  conversations: Conversations,
  conversationId: ConversationId,
  messageIds: ReadonlyArray<MessageId>
): Effect.Effect<void, RequestError> =>
  messageIds.length === 0 ? Effect.void : conversations.cancel({ conversationId, messageIds })

/**
 * The message may leave the queue while it is being deleted: its newest version is then deleted, and the run belongs to
 * an older one.
 */
const takeBack = (
  conversations: Conversations,
  conversationId: ConversationId,
  { sId }: UserMessage
): Effect.Effect<void, RequestError> =>
  Effect.flatMap(
    Effect.either(conversations.deleteMessage({ conversationId, messageId: sId })),
    (deleted) =>
      conversations.listMessages(conversationId, { allVersions: true, deleted: true }).pipe(
        Effect.flatMap((messages) =>
          cancel(conversations, conversationId, answersOf(messages, (message) => message.sId === sId))
        ),
        Effect.zipRight(deleted)
      )
  )

export const makeAbandoned = (
  conversations: Conversations
): Effect.Effect<Abandoned, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fibers = yield* FiberSet.make<void>()
    // Runs before the fibers are interrupted. Uses the real clock: a stopped test clock would block the layer for ever.
    yield* Effect.addFinalizer(() =>
      Effect.withClock(Effect.timeoutOption(Effect.interruptible(FiberSet.awaitEmpty(fibers)), grace), Clock.make())
    )
    const inBackground = (self: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.asVoid(FiberSet.run(fibers, Effect.interruptible(self)))

    const runs: Abandoned["runs"] = (conversationId, messageIds) =>
      messageIds.length === 0 ? Effect.void : inBackground(
        orWarn("An abandoned run could not be cancelled", conversationId, messageIds)(
          cancel(conversations, conversationId, messageIds)
        )
      )

    const conversation: Abandoned["conversation"] = (conversationId) =>
      inBackground(
        conversations.delete({ conversationId, force: true }).pipe(
          Effect.timeoutFail({ duration: limit, onTimeout: () => ({ message: `not finished within ${limit}` }) }),
          Effect.catchAll(({ message }) =>
            warn(`An empty conversation could not be deleted (conversation ${conversationId}): ${message}`, {
              conversationId
            })
          )
        )
      )

    return {
      conversation,
      runs,
      question: (conversationId, message, answer) =>
        answer !== undefined
          ? runs(conversationId, [answer.sId])
          : message.visibility === "pending"
          ? inBackground(
            orWarn("An abandoned message could not be deleted", conversationId, [message.sId])(
              takeBack(conversations, conversationId, message)
            )
          )
          : Effect.void
    }
  })
