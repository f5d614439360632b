/**
 * Conversations and their messages: the whole of Dust's conversation API.
 *
 * `Chat` is the shorter way to ask an agent and have its answer; this is what it is made of.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AgentMessageEvent } from "./AgentMessageEvent.ts"
import {
  type ContentFragmentInput,
  type Conversation,
  type ConversationWithMessage,
  type CreateMessageOptions,
  type CreateOptions,
  type CreateWithMessageOptions,
  type FollowOptions,
  type MessageCreated,
  type MessagePage,
  type MessageRef,
  messages as messagesOf,
  type PageOptions,
  type StreamMessagesOptions
} from "./Conversation.ts"
import type { ConversationEvent } from "./ConversationEvent.ts"
import * as ConversationEventModule from "./ConversationEvent.ts"
import type { DustUnconfirmedError, RequestError, SendError, StreamError } from "./DustAPIError.ts"
import { DustClient, type Service as Client } from "./DustClient.ts"
import type { ConversationId, EventId } from "./Ids.ts"
import { conversations as endpoints } from "./internal/api/conversations.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement, type Tools } from "./internal/api/implement.ts"
import type { Identity } from "./internal/api/operation.ts"
import { type Abandoned, makeAbandoned } from "./internal/chat/abandonedSend.ts"
import { makeSender } from "./internal/chat/createMessage.ts"
import { answerOf, answersTo, messageEventsOf } from "./internal/chat/followRun.ts"
import { Known } from "./internal/chat/known.ts"
import { makeLookBack } from "./internal/chat/lookBack.ts"
import { userRequired } from "./internal/chat/messageBody.ts"
import { makeReader, messageNotFound, type Reader } from "./internal/chat/readMessages.ts"
import { makeSendOnce } from "./internal/chat/sendOnce.ts"
import * as Checks from "./internal/input/validate.ts"
import { withCallSites } from "./internal/request/callSite.ts"
import { badInput } from "./internal/request/errors.ts"
import { segments } from "./internal/request/url.ts"
import * as EventStream from "./internal/stream/resumable.ts"
import type { AgentMessage, ContentFragment, Mention, Message } from "./Message.ts"

export type {
  ContentFragmentInput,
  CreateMessageOptions,
  CreateOptions,
  CreateWithMessageOptions,
  FollowOptions,
  MessageContext,
  MessageCreated,
  MessageInput,
  MessagePage,
  MessageRef,
  PageOptions,
  StreamMessagesOptions
} from "./Conversation.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
  /**
   * Creates a conversation. Not repeated after an ambiguous failure; called again, it may leave an empty conversation.
   *
   * With `message`, the conversation is created empty first and the message sent into it, so that no failure of the network
   * can double a run; the answer then has `message` and `agentMessages` beside the conversation. If its message fails, the
   * `conversationId` of the error is its id. A conversation whose first message is refused is deleted again with a user's
   * credential. An API key cannot delete it: it stays, empty, and the next message can be sent into it.
   *
   * Credential: any. Fails with `DustBadRequestError` (input), `DustNotFoundError` (`space_not_found`), and the errors of
   * `createMessage`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/conversations`
   *
   * @example
   * ```ts
   * import { Conversations } from "effect-dust/Conversations"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const conversations = yield* Conversations
   *   const conversation = yield* conversations.create({ title: "Weekly report" })
   *   return conversation.sId
   * })
   * ```
   */
  readonly create: {
    (
      options: CreateWithMessageOptions & { readonly blocking: true }
    ): Effect.Effect<ConversationWithMessage, SendError>
    (options: CreateWithMessageOptions): Effect.Effect<ConversationWithMessage, SendError>
    (options?: CreateOptions & { readonly message?: undefined }): Effect.Effect<Conversation, RequestError>
  }
  /**
   * Reads a conversation with every version of every message.
   *
   * Credential: any that may see it; otherwise `DustNotFoundError`. Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`
   */
  readonly get: (conversationId: ConversationId) => Effect.Effect<Conversation, RequestError>
  /**
   * Marks it read for the user of the credential. Credential: any; without a user it has no effect. Retried.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`
   */
  readonly markRead: (conversationId: ConversationId) => Effect.Effect<void, RequestError>
  /**
   * Marks it unread for the user of the credential. Credential: any; without a user it has no effect. Retried.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`
   */
  readonly markUnread: (conversationId: ConversationId) => Effect.Effect<void, RequestError>
  /**
   * Deletes a conversation for the user: leaves it, and deletes it when no one else is in it, or with `force` when the user
   * made it.
   *
   * Credential: a user's; with an API key `DustUserRequiredError` before any request. `DustForbiddenError` for someone who
   * does not take part. Retried.
   *
   * Source: `DELETE /api/w/{workspaceId}/assistant/conversations/{conversationId}`, a private route of the web application
   */
  readonly delete: (options: {
    readonly conversationId: ConversationId
    /** Delete it for everybody. Default `false`. */
    readonly force?: boolean | undefined
  }) => Effect.Effect<void, RequestError>
  /**
   * Sends a message, at most once. The request is repeated only if it provably did not reach its handler. After any other
   * failure the conversation is read for about a minute, and the message is taken from there: recognized by its author, its
   * mention, its text (as servers may normalize it), and its position behind what was there before. If it is not there, or
   * if several messages could be the one, the call fails with `DustUnconfirmedError`: see {@link Service.findSent}. An equal
   * message that another process sends in the same minute, with the same author, can only be told apart if both are there.
   *
   * Credential: any. Fails with `DustBadRequestError` (blank content or username, two agents, unknown timezone; and the
   * server's: agent inaccessible, model disabled), `DustNotFoundError`, `DustConflictError` (busy for longer than the
   * retries last), `DustRateLimitError`, `DustQuotaExceededError`, `DustForbiddenError`, `DustUserRequiredError` (MCP
   * servers with an API key), and with `blocking` `DustStreamError`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages`
   *
   * @example
   * ```ts
   * import { Conversations } from "effect-dust/Conversations"
   * import { Effect } from "effect"
   *
   * const ask = Effect.gen(function*() {
   *   const conversations = yield* Conversations
   *   const { sId } = yield* conversations.create()
   *   const { agentMessages } = yield* conversations.createMessage({
   *     conversationId: sId,
   *     content: "Hello",
   *     mentions: [{ configurationId: "dust" }],
   *     blocking: true
   *   })
   *   return agentMessages[0]?.content
   * })
   * ```
   */
  readonly createMessage: (options: CreateMessageOptions) => Effect.Effect<MessageCreated, SendError>
  /**
   * Looks again for a message whose sending ended with `DustUnconfirmedError`, in this process or in another one. Returns
   * none only when the message is not there and can no longer arrive: when the answer is dated at least three minutes after
   * the message was sent. Until then, and when it is unknown when the message was sent, fails with `DustUnconfirmedError`:
   * `not_found`, `unreadable` when a cache answered with an older state, `ambiguous` when several messages could be the one.
   * Works with every credential that can read the conversation. Reads are retried automatically.
   *
   * An equal message (author, agent, text) that another process stored after this one was sent is taken for it if this one
   * was never stored: nothing that Dust returns tells the two apart.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`
   *
   * @since 0.2.0
   *
   * @example
   * ```ts
   * import { Conversations } from "effect-dust/Conversations"
   * import { Effect, Option } from "effect"
   *
   * const ask = (conversationId: string, content: string) =>
   *   Effect.gen(function*() {
   *     const conversations = yield* Conversations
   *     return yield* conversations.createMessage({ conversationId, content }).pipe(
   *       Effect.asSome,
   *       Effect.catchTag("DustUnconfirmedError", (error) =>
   *         Effect.zipRight(Effect.sleep("4 minutes"), conversations.findSent(error)))
   *     )
   *   })
   * ```
   */
  readonly findSent: (
    error: DustUnconfirmedError
  ) => Effect.Effect<Option.Option<MessageCreated>, RequestError | DustUnconfirmedError>
  /**
   * Writes a user message anew: a new version of it, and new answers. Not repeated after an ambiguous failure.
   *
   * Credential: any. `DustBadRequestError` when it is no user message, `DustNotFoundError`.
   *
   * Source: `POST …/conversations/{conversationId}/messages/{messageId}/edit`
   */
  readonly editMessage: (
    options: MessageRef & {
      readonly content: string
      readonly mentions?: ReadonlyArray<Mention> | undefined
      readonly skipToolsValidation?: boolean | undefined
    }
  ) => Effect.Effect<MessageCreated, RequestError>
  /**
   * Lets an agent answer again: a new version with a new id, just created. Follow it with {@link Service.answer}. Not
   * repeated after an ambiguous failure.
   *
   * Credential: any. `DustBadRequestError` when it is no agent message, `DustNotFoundError`.
   *
   * Source: `POST …/conversations/{conversationId}/messages/{messageId}/retry`
   */
  readonly retryMessage: (
    options: MessageRef & {
      /**
       * Asks for the blocked tools to be resumed instead of a whole new run. The public route has been seen to ignore it and
       * to run everything anew, tools included. Defaults to `false`.
       */
      readonly blockedOnly?: boolean | undefined
    }
  ) => Effect.Effect<AgentMessage, RequestError>
  /**
   * Every message in order: its current version, without deleted ones unless asked for. Credential: any. Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`
   *
   * @example
   * ```ts
   * import { Conversations } from "effect-dust/Conversations"
   * import * as Message from "effect-dust/Message"
   * import { Console, Effect } from "effect"
   *
   * const print = Effect.gen(function*() {
   *   const conversations = yield* Conversations
   *   for (const message of yield* conversations.listMessages("conversation-id")) {
   *     yield* Console.log(`${Message.authorName(message)}: ${Message.text(message)}`)
   *   }
   * })
   * ```
   */
  readonly listMessages: (
    conversationId: ConversationId,
    options?: {
      readonly allVersions?: boolean | undefined
      readonly deleted?: boolean | undefined
    }
  ) => Effect.Effect<ReadonlyArray<Message>, RequestError>
  /**
   * One page of messages. The first page has the newest messages, each further one those before; within a page, the oldest
   * comes first. `limit` counts messages of people and agents; what is attached between them comes along. Credential: any.
   * Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}?limit=&lastValue=`
   */
  readonly pageMessages: (options: PageOptions) => Effect.Effect<MessagePage, RequestError>
  /**
   * Every message, from the newest to the oldest, a page at a time as they are consumed. What was attached after the last
   * message is in no page until another message follows; `listMessages` has it. Credential: any. Retried.
   */
  readonly streamMessages: (options: StreamMessagesOptions) => Stream.Stream<Message, RequestError>
  /**
   * One message, in whichever version has that id. Credential: any. `DustNotFoundError` (`message_not_found`) when the
   * conversation has no such message. Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`: there is no public route for one message
   */
  readonly getMessage: (options: MessageRef) => Effect.Effect<Message, RequestError>
  /**
   * Attaches something to a conversation; the agent sees it with the next user message. Not repeated after an ambiguous
   * failure. Credential: any. `DustBadRequestError` (size, type), `DustNotFoundError`.
   *
   * Source: `POST …/conversations/{conversationId}/content_fragments`
   */
  readonly createContentFragment: (options: {
    readonly conversationId: ConversationId
    readonly fragment: ContentFragmentInput
  }) => Effect.Effect<ContentFragment, RequestError>
  /**
   * A file of the conversation's own folder, piece by piece. `path` is relative to that folder. Credential: any.
   * `DustNotFoundError`, `DustForbiddenError`; a connection that breaks is a `DustNetworkError`.
   *
   * Source: `GET …/conversations/{conversationId}/files/conversation/{path}`
   */
  readonly downloadFile: (options: {
    readonly conversationId: ConversationId
    readonly path: string
  }) => Stream.Stream<Uint8Array, RequestError>
  /**
   * Submits feedback on an agent message, replacing earlier feedback by the same user.
   *
   * Credential: a user's, or an API key with the e-mail address of an active member in `userEmail`; otherwise
   * `DustUserRequiredError` before any request. Retried.
   *
   * Source: `POST …/messages/{messageId}/feedbacks`
   */
  readonly createFeedback: (
    options: MessageRef & {
      readonly thumb: "up" | "down"
      readonly content?: string | null | undefined
      /** Whether the makers of the agent may see the conversation. Default `false`. */
      readonly isConversationShared?: boolean | undefined
      /** With an API key: on whose behalf. */
      readonly userEmail?: string | undefined
    }
  ) => Effect.Effect<void, RequestError>
  /**
   * Takes a verdict back. Credential: as for `createFeedback`. `DustBadRequestError` when there was none. Retried.
   *
   * Source: `DELETE …/messages/{messageId}/feedbacks`
   */
  readonly deleteFeedback: (
    options: MessageRef & { readonly userEmail?: string | undefined }
  ) => Effect.Effect<void, RequestError>
  /**
   * What happens in a conversation, each event once and in order, across as many connections as it takes. Has no end of its
   * own: take what is needed. Credential: any. Fails with `DustNotFoundError`, and with what the request path could not
   * overcome.
   *
   * Source: `GET …/conversations/{conversationId}/events`
   */
  readonly events: (options: {
    readonly conversationId: ConversationId
    /** Continue after this event instead of at the beginning of what the server still has (10 minutes). */
    readonly lastEventId?: EventId | undefined
  }) => Stream.Stream<ConversationEvent, StreamError>
  /**
   * The events of an agent's answer, each once and in order, until its terminal event. Where the server has discarded the
   * events, the outcome is read from the conversation. Every event has its `eventId`, from which another process can
   * continue: with `lastEventId`, the message and its open approvals are read beside the first connection.
   *
   * Interrupting the stream closes its connection and leaves the run going, where `Chat` cancels it: use `cancel`.
   *
   * Credential: any. Fails with `DustNotFoundError`, with `DustStreamError` when the stream cannot be brought to its end
   * (the run goes on; `lastEventId` of the error says where to continue), and with what the request path could not overcome.
   *
   * @example
   * ```ts
   * import { Conversations } from "effect-dust/Conversations"
   * import { Console, Effect, Stream } from "effect"
   *
   * const follow = (conversationId: string, messageId: string) =>
   *   Effect.flatMap(Conversations, (conversations) =>
   *     conversations.messageEvents({ conversationId, messageId }).pipe(
   *       Stream.runForEach((event) =>
   *         event.type === "generation_tokens" ? Console.log(event.text) : Console.log(`(${event.type})`)
   *       )
   *     ))
   * ```
   *
   * Source: `GET …/messages/{messageId}/events`
   */
  readonly messageEvents: (options: FollowOptions) => Stream.Stream<AgentMessageEvent, StreamError>
  /**
   * Waits for one agent message and returns it in its final state, whether it succeeded, failed or was cancelled. Waits for
   * people as long as it takes. Credential: any. Errors as for `messageEvents`.
   */
  readonly answer: (options: FollowOptions) => Effect.Effect<AgentMessage, StreamError>
  /**
   * Waits for every answer to one *user* message, in its final state; also when the message is still pending behind a
   * running answer. Empty when no agent answers it. Credential: any. Errors as for `messageEvents`.
   */
  readonly answers: (options: MessageRef) => Effect.Effect<ReadonlyArray<AgentMessage>, StreamError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Conversations extends Context.Tag("effect-dust/Conversations")<Conversations, Service>() {}

/** With an API key, feedback is given in the name of a member. */
const onBehalf = (
  client: Client,
  identity: Identity,
  userEmail: string | undefined
): Effect.Effect<Readonly<Record<string, string>>, RequestError> =>
  Effect.flatMap(client.caller, ({ hasUser }): Effect.Effect<Readonly<Record<string, string>>, RequestError> => {
    if (!hasUser && (userEmail === undefined || userEmail.trim() === "")) {
      return Effect.fail(userRequired(identity, "without userEmail, it"))
    }
    const headers: Record<string, string> = userEmail === undefined ? {} : { "x-api-user-email": userEmail }
    return Either.mapBoth(Checks.headers(headers), {
      onLeft: ({ expected }) => badInput(identity, "userEmail", expected),
      onRight: () => headers
    })
  })

type Endpoints = Tools<typeof endpoints>

type Simple =
  | "markRead"
  | "markUnread"
  | "delete"
  | "editMessage"
  | "retryMessage"
  | "createContentFragment"
  | "downloadFile"
  | "createFeedback"
  | "deleteFeedback"

/** The methods that are one request, and a little more than its declaration. */
const simpleMethods = ({ call, client, operation }: Endpoints): Pick<Service, Simple> => ({
  markRead: (conversationId) => call.markRead.mark({ conversationId, read: true }),
  markUnread: (conversationId) => call.markUnread.mark({ conversationId, read: false }),
  delete: ({ conversationId, force }) =>
    force === true
      ? call.delete.everywhere({ conversationId, forceDelete: true })
      : call.delete.leave({ conversationId }),
  editMessage: ({ mentions = [], ...options }) => call.editMessage.post({ ...options, mentions }),
  retryMessage: ({ blockedOnly, ...ref }) =>
    call.retryMessage.post({ ...ref, blockedOnly: blockedOnly === true ? true : undefined }),
  createContentFragment: ({ conversationId, fragment }) =>
    call.createContentFragment.post({ conversationId, ...fragment }),
  downloadFile: ({ conversationId, path }) =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const { read } = operation.downloadFile
      const rel = path.startsWith("conversation/") ? path : `conversation/${path}`
      // Here, where it has the name that the caller knows.
      yield* segments(read, "path", rel)
      return client.body(read, yield* client.open(read, { path: { conversationId, rel } }, { accept: "*/*" }))
    })),
  createFeedback: ({ content, conversationId, isConversationShared, messageId, thumb, userEmail }) =>
    Effect.flatMap(
      onBehalf(client, operation.createFeedback.post, userEmail),
      (headers) =>
        client.execute(operation.createFeedback.post, {
          path: { conversationId, messageId },
          headers,
          body: { thumbDirection: thumb, feedbackContent: content, isConversationShared }
        })
    ),
  deleteFeedback: ({ conversationId, messageId, userEmail }) =>
    Effect.flatMap(
      onBehalf(client, operation.deleteFeedback.delete, userEmail),
      (headers) => client.execute(operation.deleteFeedback.delete, { path: { conversationId, messageId }, headers })
    )
})

/** What happens in conversations and runs, as it happens. */
const following = (
  { call, client, operation }: Endpoints,
  reader: Reader
): Pick<Service, "events" | "messageEvents" | "answer" | "answers"> & { readonly answerOfNew: Service["answer"] } & {
  readonly answerOfNew: Service["answer"]
} => {
  const { getMessage } = reader

  const eventsOf = (method: "messageEvents" | "answer"): Service["messageEvents"] => (options) =>
    messageEventsOf({
      ...options,
      client,
      operation: operation[method].events,
      getMessage,
      blockedActions: call.blockedActions
    })

  const events: Service["events"] = ({ conversationId, lastEventId }) =>
    EventStream.make(client, {
      operation: operation.events.read,
      input: { path: { conversationId } },
      lastEventId,
      resumes: lastEventId !== undefined,
      decode: ConversationEventModule.fromJson,
      isUnknown: (event) => event.type === "unknown",
      verdict: () => "go",
      truth: undefined,
      silence: undefined
    })

  const answer: Service["answer"] = (options) =>
    answerOf({ resume: true, ...options, messageEvents: eventsOf("answer"), getMessage })

  /** Of a run that is known to be going on. */
  const answerOfNew: Service["answer"] = (options) => answer({ ...options, resume: false })

  const answers: Service["answers"] = (options) =>
    answersTo({
      ...options,
      readConversation: reader.since("answers", options),
      notFound: messageNotFound(operation.answers.read, options.messageId),
      events,
      answer: answerOfNew
    })

  return { events, messageEvents: eventsOf("messageEvents"), answer, answerOfNew, answers }
}

const written = (tools: Endpoints, abandoned: Abandoned) => {
  const { call, client, operation } = tools
  const known = new Known()
  const lookBack = makeLookBack(client)
  const reader = makeReader(client, known)
  const { answerOfNew, ...followed } = following(tools, reader)
  const sender = makeSender({
    client,
    known,
    lookBack,
    sendOnce: makeSendOnce({ client, identity: operation.createMessage.post, lookBack, known }),
    abandoned,
    answer: answerOfNew,
    answers: followed.answers
  })

  function create(options: CreateWithMessageOptions): Effect.Effect<ConversationWithMessage, SendError>
  function create(
    options?: CreateOptions & { readonly message?: undefined }
  ): Effect.Effect<Conversation, RequestError>
  function create(
    options: CreateWithMessageOptions | (CreateOptions & { readonly message?: undefined }) = {}
  ): Effect.Effect<Conversation, SendError> {
    return options.message === undefined ? sender.createEmpty(options) : sender.createWithMessage(options)
  }

  const listMessages: Service["listMessages"] = (conversationId, options) =>
    Effect.map(
      call.listMessages.read({ conversationId }),
      ({ conversation }) => messagesOf(conversation, options)
    )

  return {
    ...simpleMethods(tools),
    ...followed,
    create,
    get: reader.get,
    createMessage: sender.createMessage,
    findSent: sender.findSent,
    listMessages,
    pageMessages: reader.page,
    streamMessages: reader.stream,
    getMessage: reader.getMessage
  }
}

/**
 * The scope holds the fibers that cancel what interrupted callers have left behind.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient | Scope.Scope> = Effect.flatMap(
  Effect.flatMap(DustClient, makeAbandoned),
  (abandoned) => implement(Conversations, endpoints, (tools) => written(tools, abandoned))
)

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Conversations, never, DustClient> = Layer.scoped(
  Conversations,
  Effect.map(make, withCallSites)
)
