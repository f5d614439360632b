/**
 * Conversations and their messages: the whole of Dust's conversation API.
 *
 * Use `Chat`, which is built on this service, to ask an agent and receive its answer.
 *
 * @packageDocumentation
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
import { conversations as endpoints, operations } from "./internal/api/conversations.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement, type Tools } from "./internal/api/implement.ts"
import type { Identity } from "./internal/api/operation.ts"
import { type Abandoned, makeAbandoned } from "./internal/chat/abandoned.ts"
import { makeSender } from "./internal/chat/createMessage.ts"
import { answerOf, answersTo, messageEventsOf } from "./internal/chat/followRun.ts"
import { Known } from "./internal/chat/known.ts"
import { makeLookBack } from "./internal/chat/lookBack.ts"
import { makeReader, messageNotFound, type Reader } from "./internal/chat/readMessages.ts"
import { makeSendOnce } from "./internal/chat/sendOnce.ts"
import * as Checks from "./internal/input/validate.ts"
import { badInput, wrongCredential } from "./internal/request/errors.ts"
import { segments } from "./internal/request/url.ts"
import * as EventStream from "./internal/stream/resumable.ts"
import { inRun } from "./internal/telemetry/run.ts"
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
 * The methods of {@link Conversations}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
  /**
   * Creates a conversation. Not retried after an ambiguous failure, which may leave an empty conversation.
   *
   * With `message`, creates the conversation first and then sends the message, so that no network failure can start a run
   * twice. The result then also has `message` and `agentMessages`. If the message fails, `conversationId` of the error is the
   * id of the conversation. If the message is refused, the conversation is deleted again with an access token; an API key
   * cannot delete it, but can send the next message into it.
   *
   * Accepts any credential. Fails with `DustBadRequestError` for invalid input, with `DustNotFoundError` (`space_not_found`),
   * and with the errors of `createMessage`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/conversations`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/index.ts` in dust-tt/dust.
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
   * Returns a conversation with every version of every message. Retried automatically. Fails with `DustNotFoundError` if it does
   * not exist or the credential cannot see it.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
   */
  readonly get: (conversationId: ConversationId) => Effect.Effect<Conversation, RequestError>
  /**
   * Marks a conversation as read for the user of the access token. Has no effect with an API key. Retried automatically.
   * Fails with `DustNotFoundError` if the conversation does not exist or the credential cannot see it.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
   */
  readonly markRead: (conversationId: ConversationId) => Effect.Effect<void, RequestError>
  /**
   * Marks a conversation as unread for the user of the access token. Has no effect with an API key. Retried automatically.
   * Fails with `DustNotFoundError` if the conversation does not exist or the credential cannot see it.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
   */
  readonly markUnread: (conversationId: ConversationId) => Effect.Effect<void, RequestError>
  /**
   * Deletes a conversation for the user: removes the user from it, and deletes it if the user was the last participant, or
   * with `force` if the user created it. Retried automatically.
   *
   * Requires a user access token; fails with `DustUserRequiredError` before any request with an API key. Fails with
   * `DustForbiddenError` if the user does not participate.
   *
   * Source: `DELETE /api/w/{workspaceId}/assistant/conversations/{conversationId}`, a private route of the web application
   */
  readonly delete: (options: {
    readonly conversationId: ConversationId
    /** Deletes the conversation for all participants. Defaults to `false`. */
    readonly force?: boolean | undefined
  }) => Effect.Effect<void, RequestError>
  /**
   * Sends a message, at most once. The request is repeated only if it provably did not reach its handler. After any other
   * failure, the SDK reads the conversation for about a minute and adopts the stored message, identified by its author, its
   * mention, its normalized text and its position after the earlier messages. If the message is not there, or several
   * messages match, the call fails with `DustUnconfirmedError`; see {@link Service.findSent}. An equal message that another
   * process sends in the same minute as the same author can be distinguished only if both are stored.
   *
   * Accepts any credential. Fails with `DustBadRequestError` (blank content or username, two agents, unknown timezone,
   * inaccessible agent, disabled model), `DustNotFoundError`, `DustConflictError` (busy for longer than the retries last),
   * `DustRateLimitError`, `DustQuotaExceededError`, `DustForbiddenError`, `DustUserRequiredError` (MCP servers with an API
   * key), and with `blocking` also with `DustStreamError`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/index.ts` in dust-tt/dust.
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
   * Looks again for a message whose sending failed with `DustUnconfirmedError`, in this process or in another one. Returns
   * `None` only if the message is not stored and can no longer arrive, which is three minutes after it was sent by the
   * server's clock. Until then, or if the time of sending is unknown, fails with `DustUnconfirmedError`: `not_found`,
   * `unreadable` if a cache returned an older state, or `ambiguous` if several messages match. Accepts every
   * credential that can read the conversation. Retried automatically.
   *
   * If the message was never stored, an equal message (author, agent, text) that another process stored after the send is
   * returned in its place: Dust's responses do not distinguish the two.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
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
   * Edits a user message: creates a new version of it. The mentioned agent answers only if no agent message follows;
   * otherwise `agentMessages` is empty, and {@link Service.retryMessage} gives a new answer. Not retried after an ambiguous
   * failure.
   *
   * Only the author may edit: fails with `DustForbiddenError` for messages of others, and newer versions of Dust refuse every
   * API key. Fails with `DustBadRequestError` if it is not a user message or has a newer version, and with `DustNotFoundError`.
   *
   * Source: `POST …/conversations/{conversationId}/messages/{messageId}/edit`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/edit.ts` in dust-tt/dust.
   */
  readonly editMessage: (
    options: MessageRef & {
      readonly content: string
      readonly mentions?: ReadonlyArray<Mention> | undefined
      readonly skipToolsValidation?: boolean | undefined
    }
  ) => Effect.Effect<MessageCreated, RequestError>
  /**
   * Runs an agent again: creates a new version of its message with a new id. Follow it with {@link Service.answer}. Not
   * retried after an ambiguous failure.
   *
   * Accepts any credential. Answers the current version of the user message. Fails with `DustBadRequestError` if it is not an
   * agent message, has a newer version, or its agent is not available any more, and with `DustNotFoundError`.
   *
   * Source: `POST …/conversations/{conversationId}/messages/{messageId}/retry`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/retry.ts` in dust-tt/dust.
   */
  readonly retryMessage: (
    options: MessageRef & {
      /**
       * Requests that only the blocked tools are resumed, instead of a new run. Dust may ignore it and repeat the whole run,
       * including tools. Defaults to `false`.
       */
      readonly blockedOnly?: boolean | undefined
    }
  ) => Effect.Effect<AgentMessage, RequestError>
  /**
   * Returns all messages in order, each in its current version, without deleted ones by default. Accepts any credential.
   * Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
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
   * Returns one page of messages, oldest first. The first page has the newest messages, and each further page the ones before.
   * `limit` counts messages of people and agents; attachments between them are included. Accepts any credential. Retried
   * automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}?limit=&lastValue=`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
   */
  readonly pageMessages: (options: PageOptions) => Effect.Effect<MessagePage, RequestError>
  /**
   * Streams all messages from the newest to the oldest, page by page as they are consumed. Attachments after the last message
   * are missing until another message follows; `listMessages` includes them. Accepts any credential. Retried automatically.
   */
  readonly streamMessages: (options: StreamMessagesOptions) => Stream.Stream<Message, RequestError>
  /**
   * Returns a message, in the version that has the id. Accepts any credential. Retried automatically. Fails with
   * `DustNotFoundError` (`message_not_found`) if the conversation does not contain the message.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`: there is no public route for one message;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
   */
  readonly getMessage: (options: MessageRef) => Effect.Effect<Message, RequestError>
  /**
   * Attaches text, a file or a node to a conversation. Agents receive it with the next user message. Not retried after an
   * ambiguous failure. Accepts any credential. Fails with `DustBadRequestError` (size, type) and `DustNotFoundError`.
   *
   * Source: `POST …/conversations/{conversationId}/content_fragments`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/content_fragments.ts` in dust-tt/dust.
   */
  readonly createContentFragment: (options: {
    readonly conversationId: ConversationId
    readonly fragment: ContentFragmentInput
  }) => Effect.Effect<ContentFragment, RequestError>
  /**
   * Streams a file of the conversation's folder. `path` is relative to that folder. Accepts any credential. Opening is
   * retried automatically; a broken download is not continued. Fails with `DustNotFoundError`, with
   * `DustForbiddenError`, and with `DustNetworkError` if the connection breaks.
   *
   * Source: `GET …/conversations/{conversationId}/files/conversation/{path}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/files/[...rel].ts` in dust-tt/dust.
   */
  readonly downloadFile: (options: {
    readonly conversationId: ConversationId
    readonly path: string
  }) => Stream.Stream<Uint8Array, RequestError>
  /**
   * Submits feedback on an agent message, replacing earlier feedback by the same user.
   *
   * Requires a user access token, or an API key with the e-mail address of an active member in `userEmail`; otherwise fails with
   * `DustUserRequiredError` before any request. Retried automatically.
   *
   * Source: `POST …/messages/{messageId}/feedbacks`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/feedbacks.ts` in dust-tt/dust.
   */
  readonly createFeedback: (
    options: MessageRef & {
      readonly thumb: "up" | "down"
      readonly content?: string | null | undefined
      /** Whether the editors of the agent may read the conversation. Defaults to `false`. */
      readonly isConversationShared?: boolean | undefined
      /** With an API key: the member who gives the feedback. */
      readonly userEmail?: string | undefined
    }
  ) => Effect.Effect<void, RequestError>
  /**
   * Deletes feedback. Credential as for `createFeedback`. Fails with `DustBadRequestError` if there is no feedback. Retried
   * automatically.
   *
   * Source: `DELETE …/messages/{messageId}/feedbacks`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/feedbacks.ts` in dust-tt/dust.
   */
  readonly deleteFeedback: (
    options: MessageRef & { readonly userEmail?: string | undefined }
  ) => Effect.Effect<void, RequestError>
  /**
   * Streams the events of a conversation, each once and in order, across reconnections. Never ends by itself. Accepts any
   * credential. Fails with `DustNotFoundError`, and with errors that remain after the retries.
   *
   * Source: `GET …/conversations/{conversationId}/events`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/events.ts` in dust-tt/dust.
   */
  readonly events: (options: {
    readonly conversationId: ConversationId
    /** Continues after this event. By default, begins with the oldest event that Dust still has (10 minutes). */
    readonly lastEventId?: EventId | undefined
  }) => Stream.Stream<ConversationEvent, StreamError>
  /**
   * The events of an agent's answer, each once and in order, until its terminal event. Where the server has discarded the
   * events, the outcome is read from the conversation. Every event has its `eventId`, from which another process can
   * continue: with `lastEventId`, the message and its open approvals are read beside the first connection.
   *
   * Interrupting the stream closes its connection and does not cancel the run, unlike in `Chat`; use `cancel`.
   *
   * Accepts any credential. Fails with `DustNotFoundError`, with `DustStreamError` if the stream ends before its terminal event
   * (the run continues; resume from `lastEventId` of the error), and with errors that remain after the retries.
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
   * Source: `GET …/messages/{messageId}/events`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/events.ts` in dust-tt/dust.
   */
  readonly messageEvents: (options: FollowOptions) => Stream.Stream<AgentMessageEvent, StreamError>
  /**
   * Waits for an agent message and returns it in its final state: succeeded, failed or cancelled. Waits for people as long as
   * it takes. Accepts any credential. Errors as for `messageEvents`.
   */
  readonly answer: (options: FollowOptions) => Effect.Effect<AgentMessage, StreamError>
  /**
   * Waits for all answers to a *user* message and returns them in their final state, even if the message is still pending
   * behind a running answer. Empty if no agent answers. Accepts any credential. Errors as for `messageEvents`.
   */
  readonly answers: (options: MessageRef) => Effect.Effect<ReadonlyArray<AgentMessage>, StreamError>
}

/**
 * The tag of the service: `yield* Conversations` returns its {@link Service}.
 *
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
      return Effect.fail(wrongCredential(identity, "omitting userEmail"))
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

/** Methods that make a single request. */
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

/** Events of conversations and runs. */
const following = (
  { call, client, operation }: Endpoints,
  reader: Reader
): Pick<Service, "events" | "messageEvents" | "answer" | "answers"> & {
  /** The same without a span: these are part of the run that a message starts. */
  readonly answerOfNew: Service["answer"]
  readonly answersOfNew: Service["answers"]
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

  const final: Service["answer"] = (options) =>
    answerOf({ resume: true, ...options, messageEvents: eventsOf("answer"), getMessage })

  /** For a run that has just begun: its state is not read first. */
  const answerOfNew: Service["answer"] = (options) => final({ ...options, resume: false })

  /** Waits under the span of a run that was started elsewhere. */
  const inSpan = (wait: Service["answer"]): Service["answer"] => (options) =>
    inRun(
      { agent: undefined, model: undefined, owner: client.config, serverIds: undefined },
      (telemetry) =>
        Effect.flatMap(client.caller, ({ workspaceId }) => {
          const { conversationId, lastEventId, messageId } = options
          const place = { workspaceId, conversationId, messageId, lastEventId }
          telemetry.started({ ...place, message: undefined, agent: undefined, resumed: true })
          return Effect.tap(wait(options), (message) => Effect.sync(() => telemetry.finished(message)))
        })
    )

  const answersBy = (answer: Service["answer"]): Service["answers"] => (options) =>
    answersTo({
      ...options,
      readConversation: reader.since("answers", options),
      notFound: messageNotFound(operation.answers.read, options.messageId),
      events,
      answer
    })

  return {
    events,
    messageEvents: eventsOf("messageEvents"),
    answer: inSpan(final),
    answers: answersBy(inSpan(answerOfNew)),
    answerOfNew,
    answersOfNew: answersBy(answerOfNew)
  }
}

const written = (tools: Endpoints, abandoned: Abandoned) => {
  const { call, client, operation } = tools
  const known = new Known()
  const lookBack = makeLookBack(client)
  const reader = makeReader(client, known)
  const { answerOfNew, answersOfNew, ...followed } = following(tools, reader)
  const sender = makeSender({
    client,
    known,
    lookBack,
    sendOnce: makeSendOnce({ client, identity: operation.createMessage.post, lookBack, known }),
    abandoned,
    answer: answerOfNew,
    answers: answersOfNew
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
 * The scope holds the fibers that cancel runs of interrupted callers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient | Scope.Scope> = Effect.flatMap(
  Effect.flatMap(DustClient, (client) =>
    makeAbandoned({
      cancel: ({ conversationId, messageIds }) =>
        client.execute(operations.cancel, { path: { conversationId }, body: { messageIds } }),
      deleteMessage: (path) => client.execute(operations.deleteMessage, { path }),
      deleteConversation: (conversationId) =>
        client.execute(operations.delete.everywhere, { path: { conversationId }, query: { forceDelete: true } }),
      allMessages: (conversationId) =>
        Effect.map(
          client.execute(operations.listMessages.read, { path: { conversationId } }),
          ({ conversation }) => messagesOf(conversation, { allVersions: true, deleted: true })
        )
    })),
  (abandoned) => implement(Conversations, endpoints, (tools) => written(tools, abandoned))
)

/**
 * Provides {@link Conversations} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Conversations, never, DustClient> = Layer.scoped(
  Conversations,
  make
)
