/**
 * Conversations, and what surrounds them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ActionId, ConversationId, MessageId, SpaceId } from "./Ids.ts"
import { list, nullable, openLiteral, record, withDefault } from "./internal/decode/schema.ts"
import { emptyToolMetadata } from "./internal/decode/toolMetadata.ts"
import { type AgentMessage, type ContentFragment, Message, type UserMessage } from "./Message.ts"
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
  /** `null` until somebody, or the server after the first answer, gives it one. */
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
 * How a tool is to be judged by whoever approves it.
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
