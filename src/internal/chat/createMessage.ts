/** Sends messages, and creates conversations with a first message. */
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
import type { DustUnconfirmedError, RequestError, SendError, StreamError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { AgentMessage, ContentFragment, UserMessage } from "../../Message.ts"
import { operations } from "../api/conversations.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, forbidden } from "../request/errors.ts"
import { inRun } from "../telemetry/run.ts"
import { monotonic } from "../util/monotonic.ts"
import type { Abandoned } from "./abandoned.ts"
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

/** A blocking request requires a mention of the agent that replies. */
const checkBlocking = (
  options: { readonly mentions?: CreateMessageOptions["mentions"] },
  blocking: boolean | undefined
) =>
  blocking === true && !(options.mentions ?? []).some((mention) => "configurationId" in mention)
    ? Effect.fail(
      badInput(
        operations.createMessage.post,
        "mentions",
        "a list with the mention of an agent, because `blocking` waits for its answer"
      )
    )
    : Effect.void

/** The status of the mention, if the server does not let the agent reply. */
export const restrictionOf = (message: UserMessage): string | undefined =>
  message.richMentions.find((mention) =>
    mention.type === "agent" && mention.status !== null && mention.status !== "approved"
  )?.status ?? undefined

export const restricted = (identity: Identity, conversationId: string, message: UserMessage, status: string) =>
  forbidden(
    identity,
    1,
    status,
    `the message is stored, and the agent may not answer in this conversation (${status})`,
    { conversationId, messageId: message.sId, richMentions: message.richMentions }
  )

/** A failure after the message was stored is not a reason to resend it. */
const stored =
  (conversationId: string, message: UserMessage, messageId?: string) => (error: StreamError): StreamError =>
    located(error, { conversationId, userMessageId: message.sId, messageId })

interface Context {
  readonly client: Client
  readonly sendOnce: SendOnce
  readonly known: Known
  readonly lookBack: LookBack
  readonly abandoned: Abandoned
  readonly answer: (options: FollowOptions) => Effect.Effect<AgentMessage, StreamError>
  readonly answers: (ref: MessageRef) => Effect.Effect<ReadonlyArray<AgentMessage>, StreamError>
}

const bodyOf = (context: Context, input: MessageInput) =>
  Effect.flatMap(context.client.caller, ({ hasUser }) => messageBody(operations.createMessage.post, hasUser, input))

const post = (
  context: Context,
  input: CreateMessageOptions,
  begun?: number
): Effect.Effect<Posted, RequestError | DustUnconfirmedError> =>
  Effect.flatMap(bodyOf(context, input), (body) => {
    const { conversationId, onInterrupt, onUnconfirmed = "fail" } = input
    const sought = soughtOf(conversationId, body)
    return context.sendOnce({
      begun,
      sought,
      onUnconfirmed,
      send: Effect.tap(
        context.client.execute(operations.createMessage.post, { path: { conversationId }, body }),
        context.lookBack.noteClock
      ),
      abandoned: (look) =>
        onInterrupt === "leave"
          ? Effect.void
          : context.abandoned.find(conversationId, look, (found) => {
            context.known.resolve(keyOf(sought))
            context.known.take(conversationId, found)
          })
    })
  })

const wait = (
  context: Context,
  { conversationId }: CreateMessageOptions,
  { agentMessages, message }: Posted
): Effect.Effect<ReadonlyArray<AgentMessage>, StreamError> => {
  if (agentMessages.length > 0) {
    return Effect.forEach(
      agentMessages,
      ({ sId }) =>
        Effect.mapError(context.answer({ conversationId, messageId: sId }), stored(conversationId, message, sId)),
      { concurrency: "unbounded" }
    )
  }
  if (message.visibility === "pending") {
    return Effect.mapError(context.answers({ conversationId, messageId: message.sId }), stored(conversationId, message))
  }
  const status = restrictionOf(message)
  return status === undefined
    ? Effect.succeed([])
    : Effect.fail(
      stored(conversationId, message)(restricted(operations.createMessage.post, conversationId, message, status))
    )
}

const createMessage = (
  context: Context,
  input: CreateMessageOptions,
  begun?: number
): Effect.Effect<MessageCreated, SendError> =>
  Effect.zipRight(
    checkBlocking(input, input.blocking),
    input.blocking === true ? createAndWait(context, input, begun) : post(context, input, begun)
  )

const createAndWait = (
  context: Context,
  input: CreateMessageOptions,
  begun: number | undefined
): Effect.Effect<MessageCreated, SendError> => {
  const { client } = context
  const { conversationId, mentions = [], modelSelection, onInterrupt } = input
  const mention = mentions.find((one) => "configurationId" in one)
  const agentId = mention !== undefined && "configurationId" in mention ? mention.configurationId : undefined
  const serverIds = input.context?.clientSideMCPServerIds
  return inRun({ agent: agentId, model: modelSelection?.modelId, owner: client.config, serverIds }, (telemetry) => {
    const started = (message: UserMessage, [answer]: ReadonlyArray<AgentMessage>) =>
      answer === undefined ? Effect.void : Effect.map(client.caller, ({ workspaceId }) => {
        const agent = agentId === undefined
          ? undefined
          : { id: agentId, name: answer.configuration?.name ?? agentId }
        telemetry.started({
          workspaceId,
          conversationId,
          message,
          messageId: answer.sId,
          agent,
          lastEventId: undefined,
          resumed: false
        })
      })
    const sent = Effect.suspend(() => {
      telemetry.sending()
      return post(context, input, begun)
    })
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(sent), (posted) => {
        const { agentMessages: announced, message } = posted
        return started(message, announced).pipe(
          Effect.zipRight(restore(wait(context, input, posted))),
          Effect.tap((answers) => announced.length === 0 ? started(message, answers) : Effect.void),
          Effect.map((agentMessages) => {
            if (agentMessages[0] !== undefined) telemetry.finished(agentMessages[0])
            return { message, agentMessages }
          }),
          Effect.onInterrupt(() =>
            onInterrupt === "leave" ? Effect.void : context.abandoned.question(conversationId, message, announced)
          )
        )
      })
    )
  })
}

const createEmpty = (
  context: Context,
  { contentFragments, spaceId, title, visibility }: CreateOptions
): Effect.Effect<Conversation, RequestError> =>
  Effect.map(
    Effect.tap(
      context.client.execute(operations.create.post, { body: { title, visibility, spaceId, contentFragments } }),
      context.lookBack.noteClock
    ),
    ({ conversation }) => {
      context.known.learn(conversation.sId, conversation.content.flat())
      return conversation
    }
  )

/** Deletes a conversation whose first message was refused; no caller has seen it. An API key cannot delete it. */
const discard = (context: Context, { sId }: Conversation) =>
  Effect.flatMap(context.client.caller, ({ hasUser }) => hasUser ? context.abandoned.conversation(sId) : Effect.void)

const createWithMessage = (
  context: Context,
  input: CreateWithMessageOptions
): Effect.Effect<ConversationWithMessage, SendError> =>
  Effect.gen(function*() {
    // Reject invalid messages before the conversation is created.
    yield* checkBlocking(input.message, input.blocking)
    yield* bodyOf(context, input.message)
    const begun = yield* monotonic
    const conversation = yield* createEmpty(context, input)
    const { agentMessages, message } = yield* createMessage(context, {
      ...input.message,
      conversationId: conversation.sId,
      blocking: input.blocking,
      onInterrupt: input.onInterrupt,
      onUnconfirmed: input.onUnconfirmed
    }, begun).pipe(
      Effect.tapError((error) => isRefusal(error) ? discard(context, conversation) : Effect.void),
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

const findSent = (
  context: Context,
  error: DustUnconfirmedError
): Effect.Effect<Option.Option<MessageCreated>, RequestError | DustUnconfirmedError> =>
  Effect.gen(function*() {
    const { conversationId, notBefore } = error
    const look = yield* context.lookBack.since({
      operation: operations.findSent.read,
      conversationId,
      position: error.position,
      sent: notBefore === null ? { _tag: "Unknown" } : { _tag: "Server", notBefore }
    })
    // A request handler does not live longer than this: a later message belongs to a later send.
    const messages = notBefore === null
      ? look.messages
      : look.messages.filter((message) => message.created <= notBefore + handlerLimit)
    // Without a known position or time, any equal message could match, including an old one.
    const provable = notBefore !== null || look.bounded
    const found = candidates(error, { ...look, messages }, notBefore ?? (provable ? undefined : -Infinity), (id) =>
      context.known.isTaken(id))
    const [one] = found
    // A cached response may predate the end of the handler, and one without a date proves nothing.
    const early = notBefore === null || (look.asOf ?? 0) < notBefore + slowHandler
    if (one === undefined && !early) {
      return Option.none()
    }
    if (one === undefined || found.length > 1 || !provable) {
      return yield* unconfirmedError({
        identity: operations.findSent.read,
        sought: error,
        notBefore: notBefore ?? undefined,
        // A response from before the message proves nothing.
        reason: one !== undefined ? "ambiguous" : look.stale ? "unreadable" : "not_found",
        error,
        found
      })
    }
    context.known.resolve(keyOf(error))
    return Option.some(context.known.take(conversationId, one))
  })

export const makeSender = (context: Context): Sender => ({
  createMessage: (input) => createMessage(context, input),
  createEmpty: (input) => createEmpty(context, input),
  createWithMessage: (input) => createWithMessage(context, input),
  findSent: (error) => context.client.withTotal(operations.findSent.read)(findSent(context, error))
})

const handlerLimit = 600_000
/** A handler may run for a minute, and reads may lag as long behind it: only a later response proves absence. */
const slowHandler = 180_000

/** Whether the failure proves that the message is not stored and never will be. */
export const isRefusal = (error: SendError): boolean =>
  error._tag !== "DustUnconfirmedError" && error._tag !== "DustStreamError" && error.userMessageId === undefined
