/** Sending messages, and conversations with a first message. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type {
  Conversation,
  ConversationWithMessage,
  CreateMessageOptions,
  CreateOptions,
  CreateWithMessageOptions,
  FollowOptions,
  MessageCreated,
  MessageInput,
  MessageRef
} from "../../Conversation.ts"
import {
  DustForbiddenError,
  type DustUnconfirmedError,
  type RequestError,
  type SendError,
  type StreamError
} from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { AgentMessage, ContentFragment, UserMessage } from "../../Message.ts"
import { operations } from "../api/conversations.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, common } from "../request/errors.ts"
import type { Abandoned } from "./abandonedSend.ts"
import type { Known } from "./known.ts"
import type { LookBack } from "./lookBack.ts"
import { messageBody } from "./messageBody.ts"
import { located } from "./place.ts"
import { candidates, keyOf, type Posted, soughtOf } from "./sameMessage.ts"
import { type SendOnce, unconfirmedError } from "./sendOnce.ts"

export interface Sender {
  readonly createMessage: (options: CreateMessageOptions) => Effect.Effect<MessageCreated, SendError>
  readonly createEmpty: (options: CreateOptions) => Effect.Effect<Conversation, RequestError>
  readonly createWithMessage: (options: CreateWithMessageOptions) => Effect.Effect<ConversationWithMessage, SendError>
  readonly findSent: (
    error: DustUnconfirmedError
  ) => Effect.Effect<Option.Option<MessageCreated>, RequestError | DustUnconfirmedError>
}

/** An answer to wait for needs an agent that gives it. */
const checkBlocking = (
  options: { readonly mentions?: CreateMessageOptions["mentions"] },
  blocking: boolean | undefined
) =>
  blocking === true && !(options.mentions ?? []).some((mention) => "configurationId" in mention)
    ? Effect.fail(
      badInput(
        operations.createMessage.post,
        "mentions",
        "the mention of an agent, because `blocking` waits for its answer"
      )
    )
    : Effect.void

/** The status of the mention of an agent that the server does not let answer. */
export const restrictionOf = (message: UserMessage): string | undefined =>
  message.richMentions.find((mention) =>
    mention.type === "agent" && mention.status !== null && mention.status !== "approved"
  )?.status ?? undefined

export const restricted = (identity: Identity, conversationId: string, message: UserMessage, status: string) =>
  new DustForbiddenError({
    ...common(identity, 1),
    message:
      `${identity.module}.${identity.method}: the message is stored, and the agent may not answer in this conversation (${status})`,
    type: status,
    details: { conversationId, messageId: message.sId, richMentions: message.richMentions },
    conversationId,
    userMessageId: message.sId
  }, { disableValidation: true })

/** What came after the message was stored is no reason to send it again. */
const stored =
  (conversationId: string, message: UserMessage, messageId?: string) => (error: StreamError): StreamError =>
    located(error, { conversationId, userMessageId: message.sId, messageId })

export const makeSender = (options: {
  readonly client: Client
  readonly sendOnce: SendOnce
  readonly known: Known
  readonly lookBack: LookBack
  readonly abandoned: Abandoned
  readonly answer: (options: FollowOptions) => Effect.Effect<AgentMessage, StreamError>
  readonly answers: (ref: MessageRef) => Effect.Effect<ReadonlyArray<AgentMessage>, StreamError>
}): Sender => {
  const { abandoned, answer, answers, client, known, lookBack, sendOnce } = options

  const bodyOf = (input: MessageInput) =>
    Effect.flatMap(client.caller, ({ hasUser }) => messageBody(operations.createMessage.post, hasUser, input))

  const post = (input: CreateMessageOptions): Effect.Effect<Posted, RequestError | DustUnconfirmedError> =>
    Effect.flatMap(bodyOf(input), (body) => {
      const { conversationId, onInterrupt, onUnconfirmed = "fail" } = input
      const sought = soughtOf(conversationId, body)
      return sendOnce({
        sought,
        onUnconfirmed,
        send: Effect.tap(
          client.execute(operations.createMessage.post, { path: { conversationId }, body }),
          lookBack.noteClock
        ),
        abandoned: (look) =>
          onInterrupt === "leave"
            ? Effect.void
            : abandoned.find(conversationId, look, (found) => {
              known.resolve(keyOf(sought))
              known.take(conversationId, found)
            })
      })
    })

  const wait = (
    { conversationId }: CreateMessageOptions,
    { agentMessages, message }: Posted
  ): Effect.Effect<ReadonlyArray<AgentMessage>, StreamError> => {
    if (agentMessages.length > 0) {
      return Effect.forEach(
        agentMessages,
        ({ sId }) => Effect.mapError(answer({ conversationId, messageId: sId }), stored(conversationId, message, sId)),
        { concurrency: "unbounded" }
      )
    }
    if (message.visibility === "pending") {
      return Effect.mapError(answers({ conversationId, messageId: message.sId }), stored(conversationId, message))
    }
    const status = restrictionOf(message)
    return status === undefined
      ? Effect.succeed([])
      : Effect.fail(restricted(operations.createMessage.post, conversationId, message, status))
  }

  const createMessage: Sender["createMessage"] = (input) =>
    Effect.zipRight(
      checkBlocking(input, input.blocking),
      input.blocking !== true ?
        post(input) :
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(restore(post(input)), (posted) =>
            restore(wait(input, posted)).pipe(
              Effect.map((agentMessages) => ({ message: posted.message, agentMessages })),
              Effect.onInterrupt(() =>
                input.onInterrupt === "leave" ? Effect.void : abandoned.cancel(input.conversationId, posted)
              )
            ))
        )
    )

  const createEmpty: Sender["createEmpty"] = ({ contentFragments, spaceId, title, visibility }) =>
    Effect.map(
      Effect.tap(
        client.execute(operations.create.post, { body: { title, visibility, spaceId, contentFragments } }),
        lookBack.noteClock
      ),
      ({ conversation }) => {
        known.learn(conversation.sId, conversation.content.flat())
        return conversation
      }
    )

  /** Nobody has seen a conversation whose first message was refused. An API key cannot delete it. */
  const discard = (conversation: Conversation) =>
    Effect.flatMap(client.caller, ({ hasUser }) =>
      hasUser
        ? abandoned.inBackground(
          "An empty conversation could not be deleted",
          conversation.sId,
          [],
          client.execute(operations.delete.everywhere, {
            path: { conversationId: conversation.sId },
            query: { forceDelete: true }
          })
        )
        : Effect.void)

  const createWithMessage: Sender["createWithMessage"] = (input) =>
    Effect.gen(function*() {
      // Invalid messages are refused before the conversation exists.
      yield* checkBlocking(input.message, input.blocking)
      yield* bodyOf(input.message)
      const conversation = yield* createEmpty(input)
      const { agentMessages, message } = yield* createMessage({
        ...input.message,
        conversationId: conversation.sId,
        blocking: input.blocking,
        onInterrupt: input.onInterrupt,
        onUnconfirmed: input.onUnconfirmed
      }).pipe(
        Effect.tapError((error) => isRefusal(error) ? discard(conversation) : Effect.void),
        Effect.mapError((error) => {
          const details = Predicate.isRecord(error.details) ? error.details : { answer: error.details }
          return Object.assign(located(error, { conversationId: conversation.sId }), {
            details: { ...details, conversationId: conversation.sId }
          })
        })
      )
      return {
        ...conversation,
        content: [...conversation.content, [message], ...agentMessages.map((agentMessage) => [agentMessage])],
        message,
        agentMessages,
        contentFragments: conversation.content.flat().filter((one): one is ContentFragment =>
          one.type === "content_fragment"
        )
      }
    })

  const findSent: Sender["findSent"] = (error) =>
    Effect.gen(function*() {
      const { conversationId, notBefore } = error
      const look = yield* lookBack.since({
        operation: operations.findSent.read,
        conversationId,
        position: error.position,
        sent: notBefore === null ? { _tag: "Unknown" } : { _tag: "Server", notBefore }
      })
      // The handler of a request does not live longer than this: a later message was sent later.
      const messages = notBefore === null
        ? look.messages
        : look.messages.filter((message) => message.created <= notBefore + handlerLimit)
      // Where neither its position nor its time is known, an equal message could be any one, also an old one.
      const provable = notBefore !== null || look.bounded
      const found = candidates(error, { ...look, messages }, notBefore ?? (provable ? undefined : -Infinity), (id) =>
        known.isTaken(id))
      const [one] = found
      if (one === undefined && !look.stale) {
        return Option.none()
      }
      if (one === undefined || found.length > 1 || !provable) {
        return yield* unconfirmedError({
          identity: operations.findSent.read,
          sought: error,
          notBefore: notBefore ?? undefined,
          // An old answer says nothing of the message.
          reason: one === undefined ? "unreadable" : "ambiguous",
          error,
          found
        })
      }
      known.resolve(keyOf(error))
      return Option.some(known.take(conversationId, one))
    })

  return { createMessage, createEmpty, createWithMessage, findSent }
}

const handlerLimit = 600_000

/** The message is not stored, and will not be. */
const isRefusal = (error: SendError): boolean =>
  error._tag !== "DustUnconfirmedError" && error._tag !== "DustStreamError" && error.userMessageId === undefined
