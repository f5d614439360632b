/**
 * Conversations and their messages: the whole of Dust's conversation API.
 *
 * `Chat` is the shorter way to ask an agent and have its answer; this is what it is made of.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ModelSelection } from "./Agent.ts"
import type { AgentMessageEvent } from "./AgentMessageEvent.ts"
import {
  type BlockedAction,
  type Consumption,
  type Conversation,
  type ConversationSummary,
  type ConversationWithMessage,
  type Feedback,
  messages as messagesOf,
  type UserAnswer
} from "./Conversation.ts"
import type { ConversationEvent } from "./ConversationEvent.ts"
import * as ConversationEventModule from "./ConversationEvent.ts"
import type { DustUnconfirmedError, RequestError, SendError, StreamError } from "./DustAPIError.ts"
import { DustClient, type Service as Client } from "./DustClient.ts"
import type { ActionId, ConversationId, EventId, FileId, MessageId, SpaceId } from "./Ids.ts"
import * as Api from "./internal/api/conversations.ts"
import type { Identity } from "./internal/api/operation.ts"
import { makeAbandoned } from "./internal/chat/abandonedSend.ts"
import { makeSender } from "./internal/chat/createMessage.ts"
import { answerOf, answersTo, messageEventsOf } from "./internal/chat/followRun.ts"
import { Known } from "./internal/chat/known.ts"
import { makeLookBack } from "./internal/chat/lookBack.ts"
import { userRequired } from "./internal/chat/messageBody.ts"
import { makeReader, messageNotFound } from "./internal/chat/readMessages.ts"
import { makeSendOnce } from "./internal/chat/sendOnce.ts"
import * as Checks from "./internal/input/validate.ts"
import { withCallSites } from "./internal/request/callSite.ts"
import { badInput } from "./internal/request/errors.ts"
import { segments } from "./internal/request/url.ts"
import * as EventStream from "./internal/stream/resumable.ts"
import type { AgentMessage, ContentFragment, Mention, Message, Origin, UserMessage } from "./Message.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Input
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Who writes, and from where. All of it has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageContext {
  /** Shown as the author. Not blank, at most 255 characters. Default `effect-dust`. */
  readonly username?: string | undefined
  /**
   * An IANA name. Default: the zone of this machine. The server has a fixed list of names; `Europe/Kyiv` and others that
   * it lacks are sent under the name that it knows.
   */
  readonly timezone?: string | undefined
  readonly fullName?: string | null | undefined
  /**
   * With an API key, the message of an active member's e-mail address is attributed to that member, and only that member
   * can then approve its tools.
   */
  readonly email?: string | null | undefined
  readonly profilePictureUrl?: string | null | undefined
  /** Default `api`. Others are bound to certain credentials. */
  readonly origin?: Origin | undefined
  /** Client-side MCP servers whose tools the agent may use for this message. Needs a user's credential. */
  readonly clientSideMCPServerIds?: ReadonlyArray<string> | undefined
  /** Tools of spaces that the agent may use for this message. Needs a user's credential. */
  readonly selectedMCPServerViewIds?: ReadonlyArray<string> | undefined
  /** Documents with one of these tags are not retrieved. Servers that do not have it yet ignore it. */
  readonly excludedRetrievalTags?: ReadonlyArray<string> | undefined
}

/**
 * Something to attach: text, an uploaded file, or a node of a data source.
 *
 * @category models
 * @since 0.1.0
 */
export type ContentFragmentInput =
  | {
    readonly title: string
    /** 1 to 524,288 characters. */
    readonly content: string
    /** A text type, such as `text/plain` or `text/markdown`. */
    readonly contentType: string
    /** Where it comes from. */
    readonly url?: string | null | undefined
  }
  | { readonly title: string; readonly fileId: FileId; readonly url?: string | null | undefined }
  | { readonly title: string; readonly nodeId: string; readonly nodeDataSourceViewId: string }

/**
 * A message to send.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageInput {
  /** What to say. Not blank. */
  readonly content: string
  /** At most one agent. Without any, nobody answers. The names need not appear in `content`. */
  readonly mentions?: ReadonlyArray<Mention> | undefined
  readonly context?: MessageContext | undefined
  /** A model to use instead of the agent's. */
  readonly modelSelection?: ModelSelection | undefined
  /** Run tools without asking anybody. Default `false`. */
  readonly skipToolsValidation?: boolean | undefined
}

/**
 * A conversation to start.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateOptions {
  /** At most 512 characters. Default: the server finds one after the first answer. */
  readonly title?: string | null | undefined
  /** A space to put it in, of which the caller is a member. */
  readonly spaceId?: SpaceId | undefined
  /** `test` keeps it out of the usual lists. Default `unlisted`. */
  readonly visibility?: "unlisted" | "test" | undefined
  /** Attached before the first message. */
  readonly contentFragments?: ReadonlyArray<ContentFragmentInput> | undefined
}

/**
 * A conversation to start with a message.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateWithMessageOptions extends CreateOptions {
  readonly message: MessageInput
  /** Waits for the answers: see {@link CreateMessageOptions}. Defaults to `false`. */
  readonly blocking?: boolean | undefined
  /** See {@link CreateMessageOptions}. Defaults to `"cancel"`. */
  readonly onInterrupt?: "cancel" | "leave" | undefined
  /** See {@link CreateMessageOptions}. Defaults to `"fail"`. */
  readonly onUnconfirmed?: "fail" | "resend" | undefined
}

/**
 * A message, and the conversation to send it to.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateMessageOptions extends MessageInput {
  readonly conversationId: ConversationId
  /**
   * Waits until every agent that answers this message has reached its final state, however long that takes. Needs the
   * mention of an agent. The SDK follows the answer itself, because the server's own blocking mode gives up after 180
   * seconds without an error. Defaults to `false`.
   */
  readonly blocking?: boolean | undefined
  /**
   * What to do when the call is interrupted, while sending or (with `blocking`) while waiting. `"cancel"` cancels the run
   * that the message has started, in the background and until the layer closes; a message that the server accepts only
   * later is found and cancelled, too. `"leave"` lets it run. Defaults to `"cancel"`.
   */
  readonly onInterrupt?: "cancel" | "leave" | undefined
  /**
   * What to do when the message may or may not be stored after about a minute of looking. `"fail"` fails with
   * `DustUnconfirmedError`. `"resend"` sends the message once more: a server that was very slow then has it twice. Defaults
   * to `"fail"`.
   */
  readonly onUnconfirmed?: "fail" | "resend" | undefined
}

/**
 * What became of a message.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageCreated {
  /** As it was stored. `visibility` is `pending` when it waits behind a running answer of the same agent. */
  readonly message: UserMessage
  /**
   * The answers: just created, or final when `blocking`. Empty when no agent was mentioned, or while the message is
   * pending.
   */
  readonly agentMessages: ReadonlyArray<AgentMessage>
}

/**
 * One message of a conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageRef {
  readonly conversationId: ConversationId
  readonly messageId: MessageId
}

/**
 * An agent message to follow.
 *
 * @category models
 * @since 0.1.0
 */
export interface FollowOptions extends MessageRef {
  /** Continue after this event instead of at the beginning. */
  readonly lastEventId?: EventId | undefined
  /**
   * How long a run may bring nothing at all while it waits for nobody; then `DustStreamError`. Waiting for a person has no
   * limit. Default 30 minutes.
   */
  readonly silence?: Duration.DurationInput | undefined
}

/**
 * One page of messages, oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessagePage {
  readonly messages: ReadonlyArray<Message>
  readonly hasMore: boolean
  /** Pass it back for the page before this one; `null` on the first page of the conversation. */
  readonly lastValue: number | null
}

/**
 * Which page of messages to read.
 *
 * @category models
 * @since 0.2.0
 */
export interface PageOptions {
  readonly conversationId: ConversationId
  /** At least 1. Defaults to 50. */
  readonly limit?: number | undefined
  /** From the page before. Defaults to the newest page. */
  readonly lastValue?: number | undefined
  /** Includes deleted messages. Defaults to `false`. */
  readonly deleted?: boolean | undefined
}

/**
 * Which messages to stream.
 *
 * @category models
 * @since 0.2.0
 */
export interface StreamMessagesOptions {
  readonly conversationId: ConversationId
  /** Messages in one request. Defaults to 50. */
  readonly pageSize?: number | undefined
  /** Includes deleted messages. Defaults to `false`. */
  readonly deleted?: boolean | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
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
   * The conversations of the user, outside spaces, all at once.
   *
   * Credential: a user's; with an API key `DustUserRequiredError` before any request. Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations`
   */
  readonly list: () => Effect.Effect<ReadonlyArray<ConversationSummary>, RequestError>
  /**
   * Sets the title (at most 512 characters); marks the conversation read for the caller. Credential: any. Retried.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`
   */
  readonly updateTitle: (options: {
    readonly conversationId: ConversationId
    readonly title: string
  }) => Effect.Effect<void, RequestError>
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
   * Deletes a conversation for the user: leaves it, and deletes it when nobody else is in it, or with `force` when the user
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
   * none while the message is not there: a slow server may take a minute to store it. Fails with `DustUnconfirmedError`
   * (`ambiguous`) when several messages could be the one. Every credential may use it that may read the conversation. Reads
   * are retried.
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
   *         Effect.zipRight(Effect.sleep("2 minutes"), conversations.findSent(error)))
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
   * Asks the server to stop agent messages. Ids that are unknown or have ended are ignored. The end arrives as an event.
   * Credential: any. Retried.
   *
   * Source: `POST …/conversations/{conversationId}/cancel`
   */
  readonly cancel: (options: {
    readonly conversationId: ConversationId
    /** Of agent messages. */
    readonly messageIds: ReadonlyArray<MessageId>
  }) => Effect.Effect<void, RequestError>
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
   * Deletes a message; with a user message its answers go too.
   *
   * Credential: a user's; with an API key `DustUserRequiredError` before any request. `DustForbiddenError` for somebody
   * else's message, `DustNotFoundError`. Retried.
   *
   * Source: `DELETE /api/w/{workspaceId}/assistant/conversations/{conversationId}/messages/{messageId}`, a private route of
   * the web application
   */
  readonly deleteMessage: (options: MessageRef) => Effect.Effect<void, RequestError>
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
   * Says what one thought of an answer; replaces an earlier verdict.
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
   * The caller's own verdicts in a conversation. Credential: a user's, otherwise `DustUserRequiredError` before any request.
   * Retried.
   *
   * Source: `GET …/conversations/{conversationId}/feedbacks`
   */
  readonly listFeedback: (conversationId: ConversationId) => Effect.Effect<ReadonlyArray<Feedback>, RequestError>
  /**
   * The tools that wait for a person now. Credential: any. Retried.
   *
   * Source: `GET …/conversations/{conversationId}/actions/blocked`
   */
  readonly blockedActions: (
    conversationId: ConversationId
  ) => Effect.Effect<ReadonlyArray<BlockedAction>, RequestError>
  /**
   * Decides about a tool that waits for approval. `always_approved` also holds for later uses (tools of low and medium
   * stake; needs a user). An action that is no longer blocked is `DustBadRequestError` (`action_not_blocked`). The server
   * answers 500 when the caller may not decide: only the author of the message may, or anyone when an API key wrote it.
   * Credential: any. Retried.
   *
   * Source: `POST …/messages/{messageId}/validate-action`
   */
  readonly validateAction: (
    options: MessageRef & {
      readonly actionId: ActionId
      readonly approved: "approved" | "rejected" | "always_approved"
    }
  ) => Effect.Effect<void, RequestError>
  /**
   * Answers an agent's question: indices of the chosen options, or words. Credential: any. `DustForbiddenError`,
   * `DustNotFoundError`, `DustBadRequestError` (`action_not_blocked`). Retried.
   *
   * Source: `POST …/messages/{messageId}/answer-question`
   */
  readonly answerQuestion: (
    options: MessageRef & { readonly actionId: ActionId; readonly answer: UserAnswer }
  ) => Effect.Effect<void, RequestError>
  /**
   * What a conversation has cost so far, in credits. Credential: any. Retried. Servers that do not have it yet answer
   * `DustNotFoundError`.
   *
   * Source: `GET …/conversations/{conversationId}/consumption`
   */
  readonly consumption: (conversationId: ConversationId) => Effect.Effect<Consumption, RequestError>
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

// ---------------------------------------------------------------------------------------------------------------------
// Service
// ---------------------------------------------------------------------------------------------------------------------

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

type Direct =
  | "list"
  | "updateTitle"
  | "markRead"
  | "markUnread"
  | "delete"
  | "editMessage"
  | "retryMessage"
  | "cancel"
  | "deleteMessage"
  | "createContentFragment"
  | "listFeedback"
  | "blockedActions"
  | "validateAction"
  | "answerQuestion"
  | "consumption"

/** The methods that are one request each. */
const directMethods = (client: Client): Pick<Service, Direct> => {
  const mark = (method: string, read: boolean) => (conversationId: ConversationId) =>
    client.execute({ ...Api.markOperation, method }, { path: { conversationId }, body: { read } })
  return {
    list: () => Effect.map(client.execute(Api.listOperation, {}), (response) => response.conversations),
    updateTitle: ({ conversationId, title }) =>
      client.execute(Api.updateTitleOperation, { path: { conversationId }, body: { title } }),
    markRead: mark("markRead", true),
    markUnread: mark("markUnread", false),
    delete: ({ conversationId, force }) =>
      client.execute(force === true ? Api.deleteOperation : Api.leaveOperation, {
        path: { conversationId },
        query: { forceDelete: force === true ? true : undefined }
      }),
    editMessage: ({ content, conversationId, mentions, messageId, skipToolsValidation }) =>
      client.execute(Api.editMessageOperation, {
        path: { conversationId, messageId },
        body: { content, mentions: mentions ?? [], skipToolsValidation }
      }),
    retryMessage: ({ blockedOnly, conversationId, messageId }) =>
      Effect.map(
        client.execute(Api.retryMessageOperation, {
          path: { conversationId, messageId },
          query: { blocked_only: blockedOnly === true ? true : undefined }
        }),
        (response) => response.message
      ),
    cancel: ({ conversationId, messageIds }) =>
      client.execute(Api.cancelOperation, { path: { conversationId }, body: { messageIds } }),
    deleteMessage: ({ conversationId, messageId }) =>
      client.execute(Api.deleteMessageOperation, { path: { conversationId, messageId } }),
    createContentFragment: ({ conversationId, fragment }) =>
      Effect.map(
        client.execute(Api.createContentFragmentOperation, { path: { conversationId }, body: fragment }),
        (response) => response.contentFragment
      ),
    listFeedback: (conversationId) =>
      Effect.map(
        client.execute(Api.listFeedbackOperation, { path: { conversationId } }),
        (response) => response.feedbacks
      ),
    blockedActions: (conversationId) =>
      Effect.map(
        client.execute(Api.blockedActionsOperation, { path: { conversationId } }),
        (response) => response.blockedActions
      ),
    validateAction: ({ actionId, approved, conversationId, messageId }) =>
      client.execute(Api.validateActionOperation, {
        path: { conversationId, messageId },
        body: { actionId, approved }
      }),
    answerQuestion: ({ actionId, answer, conversationId, messageId }) =>
      client.execute(Api.answerQuestionOperation, {
        path: { conversationId, messageId },
        body: { actionId, answer }
      }),
    consumption: (conversationId) => client.execute(Api.consumptionOperation, { path: { conversationId } })
  }
}

/** Feedback in the name of a member, and files piece by piece. */
const otherMethods = (client: Client): Pick<Service, "downloadFile" | "createFeedback" | "deleteFeedback"> => {
  return {
    downloadFile: ({ conversationId, path }) =>
      Stream.unwrapScoped(Effect.gen(function*() {
        const rel = path.startsWith("conversation/") ? path : `conversation/${path}`
        // Here, where it has the name that the caller knows.
        yield* segments(Api.downloadFileOperation, "path", rel)
        const response = yield* client.open(
          Api.downloadFileOperation,
          { path: { conversationId, rel } },
          { accept: "*/*" }
        )
        return client.body(Api.downloadFileOperation, response)
      })),
    createFeedback: ({ content, conversationId, isConversationShared, messageId, thumb, userEmail }) =>
      Effect.flatMap(
        onBehalf(client, Api.createFeedbackOperation, userEmail),
        (headers) =>
          client.execute(Api.createFeedbackOperation, {
            path: { conversationId, messageId },
            headers,
            body: { thumbDirection: thumb, feedbackContent: content, isConversationShared }
          })
      ),
    deleteFeedback: ({ conversationId, messageId, userEmail }) =>
      Effect.flatMap(
        onBehalf(client, Api.deleteFeedbackOperation, userEmail),
        (headers) => client.execute(Api.deleteFeedbackOperation, { path: { conversationId, messageId }, headers })
      )
  }
}

/**
 * The scope holds the fibers that cancel what interrupted callers have left behind.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient | Scope.Scope> = Effect.gen(function*() {
  const client = yield* DustClient
  const known = new Known()
  const lookBack = makeLookBack(client)
  const reader = makeReader(client, known)
  const direct = directMethods(client)
  const { getMessage } = reader

  const messageEvents: Service["messageEvents"] = (options) =>
    messageEventsOf({
      ...options,
      client,
      operation: Api.messageEventsOperation,
      getMessage,
      blockedActions: direct.blockedActions
    })

  const events: Service["events"] = ({ conversationId, lastEventId }) =>
    EventStream.make(client, {
      operation: Api.eventsOperation,
      input: { path: { conversationId } },
      lastEventId,
      decode: ConversationEventModule.fromJson,
      isUnknown: (event) => event.type === "unknown",
      verdict: () => "go",
      truth: undefined,
      silence: undefined
    })

  const answer: Service["answer"] = (options) => answerOf({ ...options, messageEvents, getMessage })

  const answers: Service["answers"] = (options) =>
    answersTo({
      ...options,
      readConversation: reader.since("answers", options),
      notFound: messageNotFound(Api.answersOperation, options.messageId),
      events,
      answer
    })

  const sender = makeSender({
    client,
    known,
    lookBack,
    sendOnce: makeSendOnce({ client, identity: Api.createMessageOperation, lookBack, known }),
    abandoned: yield* makeAbandoned(client),
    answer,
    answers
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

  return Conversations.of({
    ...direct,
    ...otherMethods(client),
    create,
    get: reader.get,
    createMessage: sender.createMessage,
    findSent: sender.findSent,
    listMessages: (conversationId, options) =>
      Effect.map(
        client.execute({ ...Api.getOperation, method: "listMessages" }, { path: { conversationId } }),
        ({ conversation }) => messagesOf(conversation, options)
      ),
    pageMessages: reader.page,
    streamMessages: reader.stream,
    getMessage,
    events,
    messageEvents,
    answer,
    answers
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Conversations, never, DustClient> = Layer.scoped(
  Conversations,
  Effect.map(make, withCallSites)
)
