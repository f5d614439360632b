/**
 * Conversations, and what surrounds them.
 *
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
  /** `null` until a user, or the server after the first answer, sets one. */
  title: nullable(Schema.String),
  visibility: nullable(openLiteral("unlisted", "workspace", "deleted", "test")),
  /** For the caller; means nothing for an API key. */
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
 * A conversation. `content` holds, for each position, the versions of the message there, oldest first; some positions are
 * empty. {@link messages} is the usual view of it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Conversation = Schema.Struct({
  ...ConversationSummary.fields,
  content: list(Schema.Array(Message)),
  /** Where it is in the web application. */
  url: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Conversation extends Schema.Schema.Type<typeof Conversation> {}

/**
 * The current version of every message, in order, without the deleted ones.
 *
 * @category accessors
 * @since 0.1.0
 */
export const messages = (conversation: Conversation, options?: {
  /** Also every earlier version; of a message that was deleted only together with `deleted`. Default `false`. */
  readonly allVersions?: boolean | undefined
  /** Also deleted messages. Default `false`. */
  readonly deleted?: boolean | undefined
}): ReadonlyArray<Message> => {
  const { allVersions = false, deleted = false } = options ?? {}
  const shown = (message: Message | undefined) => deleted || message?.visibility !== "deleted"
  return conversation.content.filter((versions) => shown(versions.at(-1)))
    .flatMap((versions) => allVersions ? versions.filter(shown) : versions.slice(-1))
}

/**
 * A message of a conversation, in any of its versions.
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
  /** One for the mentioned agent; final when the message was sent with `blocking`. */
  readonly agentMessages: ReadonlyArray<AgentMessage>
  readonly contentFragments: ReadonlyArray<ContentFragment>
}

/**
 * How critical a tool is, for the person who approves it.
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
 * Which tool of which server.
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
 * What an agent asks a person.
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
 * An answer to a question: the indices of the chosen options, or words of one's own.
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
 * A tool that waits for a person. For a sub-agent, the ids are those of the child conversation: answer there.
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
 * What the caller thought of an answer.
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
 * What a conversation has cost, in credits. Agent work and tools add up to the bill; models and agents are other groupings
 * of the same.
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
  /** At most one agent. Without one there is no answer. The names need not appear in `content`. */
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
   * Fails with `DustStreamError` if the run emits no event for this long while it does not wait for a person. Waiting for
   * a person has no limit. Defaults to 30 minutes.
   */
  readonly silence?: Duration.DurationInput | undefined
  /**
   * Whether the message and what it waits for are read at once, beside the first connection, so that an answer is known
   * whose events the server has discarded. Defaults to `true` for `answer`, and for `messageEvents` with `lastEventId`;
   * otherwise they are read after ten seconds without an event.
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
