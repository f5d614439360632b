/**
 * Conversations: what `Conversations` returns, and the options that it takes.
 *
 * ```ts
 * import * as Conversation from "effect-dust/Conversation"
 * import { Conversations } from "effect-dust/Conversations"
 * import { Effect } from "effect"
 *
 * const countMessages = (conversationId: string) =>
 *   Effect.flatMap(Conversations, (conversations) => conversations.get(conversationId)).pipe(
 *     Effect.map((conversation) => Conversation.messages(conversation).length)
 *   )
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ModelSelection } from "./Agent.ts"
import { ActionId, ConversationId, type EventId, type FileId, MessageId, SpaceId } from "./Ids.ts"
import { list, nullable, openLiteral, record, withDefault } from "./internal/decode/schema.ts"
import { emptyToolMetadata } from "./internal/decode/toolMetadata.ts"
import {
  type AgentMessage,
  type ContentFragment,
  type Mention,
  Message,
  type Origin,
  type UserMessage
} from "./Message.ts"
import { UserWorkspace } from "./User.ts"

/**
 * A conversation without its messages.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ConversationSummary = Schema.Struct({
  sId: ConversationId,
  /** Epoch milliseconds. */
  created: withDefault(Schema.Number, () => 0),
  updated: nullable(Schema.Number),
  /** `null` until a user sets it, or Dust generates one after the first reply. */
  title: nullable(Schema.String),
  visibility: nullable(openLiteral("unlisted", "workspace", "deleted", "test")),
  /** Unread by the user of the access token. Has no meaning with an API key. */
  unread: nullable(Schema.Boolean),
  actionRequired: nullable(Schema.Boolean),
  hasError: nullable(Schema.Boolean),
  spaceId: nullable(SpaceId),
  depth: nullable(Schema.Number),
  owner: nullable(UserWorkspace),
  metadata: record
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ConversationSummary extends Schema.Schema.Type<typeof ConversationSummary> {}

/**
 * A conversation with its messages. For each position, `content` has the versions of the message, oldest first; a position
 * may be empty. {@link messages} returns the current version of each message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Conversation = Schema.Struct({
  ...ConversationSummary.fields,
  content: list(Schema.Array(Message)),
  /** Its address in the web application. */
  url: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Conversation extends Schema.Schema.Type<typeof Conversation> {}

/**
 * Returns the current version of every message in order, without deleted messages.
 *
 * @category accessors
 * @since 0.1.0
 */
export const messages = (conversation: Conversation, options?: {
  /** Includes every earlier version; those of deleted messages only together with `deleted`. Defaults to `false`. */
  readonly allVersions?: boolean | undefined
  /** Includes deleted messages. Defaults to `false`. */
  readonly deleted?: boolean | undefined
}): ReadonlyArray<Message> => {
  const { allVersions = false, deleted = false } = options ?? {}
  const shown = (message: Message | undefined) => deleted || message?.visibility !== "deleted"
  return conversation.content.filter((versions) => shown(versions.at(-1)))
    .flatMap((versions) => allVersions ? versions.filter(shown) : versions.slice(-1))
}

/**
 * Finds a message of a conversation by id, among all versions.
 *
 * @category accessors
 * @since 0.1.0
 */
export const findMessage = (conversation: Conversation, messageId: MessageId): Message | undefined => {
  for (const versions of conversation.content) {
    for (const message of versions) if (message.sId === messageId) return message
  }
  return undefined
}

/**
 * A new conversation with its first message.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConversationWithMessage extends Conversation {
  readonly message: UserMessage
  /** The answer of the mentioned agent; final if the message was sent with `blocking`. */
  readonly agentMessages: ReadonlyArray<AgentMessage>
  readonly contentFragments: ReadonlyArray<ContentFragment>
}

/**
 * How critical a tool call is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Stake = openLiteral("low", "medium", "high", "never_ask")

/**
 * @category models
 * @since 0.1.0
 */
export type Stake = typeof Stake.Type

/**
 * The tool of a call, and the server that it belongs to.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolMetadata = Schema.Struct({
  toolName: withDefault(Schema.String, () => ""),
  mcpServerName: withDefault(Schema.String, () => ""),
  mcpServerDisplayName: nullable(Schema.String),
  mcpServerId: nullable(Schema.String),
  agentName: nullable(Schema.String),
  icon: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ToolMetadata extends Schema.Schema.Type<typeof ToolMetadata> {}

/**
 * A question of an agent to a person.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserQuestion = Schema.Struct({
  question: withDefault(Schema.String, () => ""),
  options: list(Schema.Struct({ label: Schema.String, description: nullable(Schema.String) })),
  multiSelect: withDefault(Schema.Boolean, () => false)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface UserQuestion extends Schema.Schema.Type<typeof UserQuestion> {}

/**
 * The answer to a question: the indices of the selected options, or a custom text.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserAnswer = Schema.Struct({
  selectedOptions: Schema.Array(Schema.Int.pipe(Schema.nonNegative())),
  customResponse: Schema.optional(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface UserAnswer extends Schema.Schema.Type<typeof UserAnswer> {}

/**
 * A tool call that waits for a person. For a sub-agent, the ids are those of the child conversation; answer there.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BlockedAction = Schema.Struct({
  actionId: ActionId,
  conversationId: withDefault(ConversationId, () => ""),
  messageId: withDefault(MessageId, () => ""),
  status: withDefault(
    openLiteral(
      "blocked_validation_required",
      "blocked_user_answer_required",
      "blocked_authentication_required",
      "blocked_file_authorization_required",
      "blocked_child_action_input_required"
    ),
    () => ""
  ),
  inputs: record,
  stake: nullable(Stake),
  metadata: withDefault(ToolMetadata, () => emptyToolMetadata),
  question: nullable(UserQuestion),
  authError: record,
  fileAuthError: record
})

/**
 * @category models
 * @since 0.1.0
 */
export interface BlockedAction extends Schema.Schema.Type<typeof BlockedAction> {}

/**
 * Feedback on an agent message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Feedback = Schema.Struct({
  messageId: MessageId,
  thumbDirection: nullable(openLiteral("up", "down")),
  content: nullable(Schema.String),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  agentConfigurationId: nullable(Schema.String),
  agentConfigurationVersion: nullable(Schema.Number),
  isConversationShared: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Feedback extends Schema.Schema.Type<typeof Feedback> {}

const ToolConsumption = Schema.Struct({
  label: nullable(Schema.String),
  toolName: nullable(Schema.String),
  internalMCPServerName: nullable(Schema.String),
  callCount: nullable(Schema.Number),
  attributedCredits: nullable(Schema.Number),
  directCredits: nullable(Schema.Number),
  pending: nullable(Schema.Boolean)
})

const ModelConsumption = Schema.Struct({
  providerId: nullable(Schema.String),
  modelId: nullable(Schema.String),
  displayName: nullable(Schema.String),
  attributedCredits: nullable(Schema.Number)
})

/**
 * The credits that a conversation has used. Agent work and tools add up to the total; models and agents group the same
 * credits in other ways.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Consumption = Schema.Struct({
  billedCredits: withDefault(Schema.Number, () => 0),
  /** `null` until everything is attributed. */
  details: nullable(Schema.Struct({
    agentWorkCredits: nullable(Schema.Number),
    tools: list(ToolConsumption),
    models: list(ModelConsumption),
    skills: list(Schema.Struct({
      skillId: nullable(Schema.String),
      name: nullable(Schema.String),
      attributedCredits: nullable(Schema.Number)
    })),
    agents: list(Schema.Struct({
      agentId: nullable(Schema.String),
      name: nullable(Schema.String),
      billedCredits: nullable(Schema.Number),
      agentWorkCredits: nullable(Schema.Number),
      tools: list(ToolConsumption),
      models: list(ModelConsumption)
    }))
  }))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Consumption extends Schema.Schema.Type<typeof Consumption> {}

/**
 * Author and origin of a message. All fields are optional.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageContext {
  /** The author to show. Must not be blank; at most 255 characters. Defaults to `effect-dust`. */
  readonly username?: string | undefined
  /**
   * An IANA name. Defaults to the time zone of this machine. Dust accepts a fixed list of names; newer names such as
   * `Europe/Kyiv` are sent under their older equivalent.
   */
  readonly timezone?: string | undefined
  readonly fullName?: string | null | undefined
  /**
   * With an API key, a message with the e-mail address of an active member is attributed to that member. Only that member
   * can then approve its tools.
   */
  readonly email?: string | null | undefined
  readonly profilePictureUrl?: string | null | undefined
  /** Defaults to `api`. Dust accepts other origins from certain credentials only. */
  readonly origin?: Origin | undefined
  /** Client-side MCP servers whose tools the agent may use for this message. Requires a user access token. */
  readonly clientSideMCPServerIds?: ReadonlyArray<string> | undefined
  /** Tools of spaces that the agent may use for this message. Requires a user access token. */
  readonly selectedMCPServerViewIds?: ReadonlyArray<string> | undefined
  /** Excludes documents with one of these tags from retrieval. Older servers ignore it. */
  readonly excludedRetrievalTags?: ReadonlyArray<string> | undefined
}

/**
 * An attachment: text, an uploaded file, or a node of a data source.
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
    /** The address of the source. */
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
  /** The text. Must not be blank. */
  readonly content: string
  /** At most one agent. Without one, no agent answers. The names need not appear in `content`. */
  readonly mentions?: ReadonlyArray<Mention> | undefined
  readonly context?: MessageContext | undefined
  /** A model to use instead of the agent's. */
  readonly modelSelection?: ModelSelection | undefined
  /** Run tools without asking for approval. Defaults to `false`. */
  readonly skipToolsValidation?: boolean | undefined
}

/**
 * A conversation to start.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateOptions {
  /** At most 512 characters. Defaults to a title that Dust generates after the first reply. */
  readonly title?: string | null | undefined
  /** The space to create it in. The caller must be a member of the space. */
  readonly spaceId?: SpaceId | undefined
  /** `test` hides it from the usual lists. Defaults to `unlisted`. */
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
   * Waits until every answer to this message is final, for as long as it takes. Requires the mention of an agent. The SDK
   * follows the answer itself, because the server's own blocking mode returns an unfinished answer after 180 seconds.
   * Defaults to `false`.
   */
  readonly blocking?: boolean | undefined
  /**
   * What to do if the call is interrupted while sending or, with `blocking`, while waiting. `"cancel"` cancels the run in
   * the background, at the latest when the layer closes, including the run of a message that the server accepts only after
   * the interruption. `"leave"` lets it run. Defaults to `"cancel"`.
   */
  readonly onInterrupt?: "cancel" | "leave" | undefined
  /**
   * What to do if the conversation, read for about a minute after an ambiguous failure, does not show whether the message is
   * stored. `"fail"` fails with `DustUnconfirmedError`. `"resend"` sends the message once more, so that a very slow server
   * may store it twice. Defaults to `"fail"`.
   */
  readonly onUnconfirmed?: "fail" | "resend" | undefined
}

/**
 * The result of sending a message.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageCreated {
  /** The stored message. `visibility` is `pending` while it waits behind a running answer of the same agent. */
  readonly message: UserMessage
  /**
   * The answers: just created, or final with `blocking`. Empty if no agent is mentioned, or while the message is
   * pending.
   */
  readonly agentMessages: ReadonlyArray<AgentMessage>
}

/**
 * Identifies a message of a conversation.
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
   * Fails with `DustStreamError` if the run emits no event for this long while it does not wait for a person. Waiting for
   * a person has no limit. Defaults to 30 minutes.
   */
  readonly silence?: Duration.DurationInput | undefined
  /**
   * Reads the message and its blocked actions at once, alongside the first connection, so that an answer whose events the
   * server has discarded is returned without delay. Defaults to `true` for `answer`, and for `messageEvents` with
   * `lastEventId`. Otherwise they are read after ten seconds without an event.
   */
  readonly resume?: boolean | undefined
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
  /** Pass it to read the page before this one. `null` on the first page of the conversation. */
  readonly lastValue: number | null
}

/**
 * Selects a page of messages.
 *
 * @category models
 * @since 0.2.0
 */
export interface PageOptions {
  readonly conversationId: ConversationId
  /** At least 1. Defaults to 50. */
  readonly limit?: number | undefined
  /** The `lastValue` of the previous page. Defaults to the newest page. */
  readonly lastValue?: number | undefined
  /** Includes deleted messages. Defaults to `false`. */
  readonly deleted?: boolean | undefined
}

/**
 * Selects the messages to stream.
 *
 * @category models
 * @since 0.2.0
 */
export interface StreamMessagesOptions {
  readonly conversationId: ConversationId
  /** Messages per request. Defaults to 50. */
  readonly pageSize?: number | undefined
  /** Includes deleted messages. Defaults to `false`. */
  readonly deleted?: boolean | undefined
}
