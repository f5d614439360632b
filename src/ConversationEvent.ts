/**
 * What happens in a conversation: messages coming and being answered, its title changing. Tokens and tools are events of
 * the single agent message, see `AgentMessageEvent`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { UnknownEvent } from "./AgentMessageEvent.ts"
import { AgentId, ConversationId, EventId, MessageId } from "./Ids.ts"
import { eventDecoder, typeOf } from "./internal/decode/event.ts"
import { list, nullable, openLiteral } from "./internal/decode/schema.ts"
import { AgentMessage, ContentFragment, UserMessage } from "./Message.ts"

const base = {
  /** The cursor to continue from after this event. */
  eventId: Schema.optional(EventId),
  /** Epoch milliseconds. */
  created: nullable(Schema.Number)
}

/**
 * A user message was posted. `message.visibility` may be `pending`: it waits behind a running answer.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserMessageNew = Schema.Struct({
  type: Schema.Literal("user_message_new"),
  ...base,
  messageId: MessageId,
  message: UserMessage,
  contentFragments: list(ContentFragment)
})

/** @category models @since 0.1.0 */
export interface UserMessageNew extends Schema.Schema.Type<typeof UserMessageNew> {}

/**
 * A pending message became visible.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserMessagePromoted = Schema.Struct({
  type: Schema.Literal("user_message_promoted"),
  ...base,
  messageId: MessageId
})

/** @category models @since 0.1.0 */
export interface UserMessagePromoted extends Schema.Schema.Type<typeof UserMessagePromoted> {}

/**
 * An agent begins to answer `message.parentMessageId`; also for a new version after a retry or an edit.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMessageNew = Schema.Struct({
  type: Schema.Literal("agent_message_new"),
  ...base,
  messageId: MessageId,
  configurationId: nullable(AgentId),
  message: AgentMessage
})

/** @category models @since 0.1.0 */
export interface AgentMessageNew extends Schema.Schema.Type<typeof AgentMessageNew> {}

/**
 * One agent message has ended, well or not.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMessageDone = Schema.Struct({
  type: Schema.Literal("agent_message_done"),
  ...base,
  messageId: MessageId,
  conversationId: nullable(ConversationId),
  configurationId: nullable(AgentId),
  status: nullable(openLiteral("success", "error"))
})

/** @category models @since 0.1.0 */
export interface AgentMessageDone extends Schema.Schema.Type<typeof AgentMessageDone> {}

/**
 * The conversation has a new title.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ConversationTitle = Schema.Struct({
  type: Schema.Literal("conversation_title"),
  ...base,
  title: Schema.String
})

/** @category models @since 0.1.0 */
export interface ConversationTitle extends Schema.Schema.Type<typeof ConversationTitle> {}

/**
 * What an agent message has cost became known.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMessageConsumptionUpdated = Schema.Struct({
  type: Schema.Literal("agent_message_consumption_updated"),
  ...base,
  messageId: MessageId,
  conversationId: nullable(ConversationId),
  costCredits: nullable(Schema.Number)
})

/** @category models @since 0.1.0 */
export interface AgentMessageConsumptionUpdated extends Schema.Schema.Type<typeof AgentMessageConsumptionUpdated> {}

/**
 * Everything that happens in a conversation, told apart by `type`.
 *
 * @category models
 * @since 0.1.0
 */
export type ConversationEvent =
  | UserMessageNew
  | UserMessagePromoted
  | AgentMessageNew
  | AgentMessageDone
  | ConversationTitle
  | AgentMessageConsumptionUpdated
  | UnknownEvent

const decode: (type: string | null, data: unknown) => Exclude<ConversationEvent, UnknownEvent> | undefined =
  eventDecoder([
    UserMessageNew,
    UserMessagePromoted,
    AgentMessageNew,
    AgentMessageDone,
    ConversationTitle,
    AgentMessageConsumptionUpdated
  ])

/**
 * An event from the JSON value that the server sent. Never fails.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromJson = (data: unknown, eventId?: EventId): ConversationEvent => {
  const kind = typeOf(data)
  const event = decode(kind, data)
  if (event === undefined) return { type: "unknown", eventId, kind, raw: data }
  return eventId === undefined ? event : { ...event, eventId }
}
