/**
 * Events of a conversation: new messages, finished answers, a new title. `AgentMessageEvent` has the events of a single
 * answer, such as tokens and tool calls.
 *
 * ```ts
 * import { Conversations } from "effect-dust/Conversations"
 * import { Console, Effect, Stream } from "effect"
 *
 * const watch = (conversationId: string) =>
 *   Effect.flatMap(Conversations, (conversations) =>
 *     conversations.events({ conversationId }).pipe(
 *       Stream.runForEach((event) => event.type === "user_message_new" ? Console.log(event.message.content) : Effect.void)
 *     ))
 * ```
 *
 * @packageDocumentation
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
 * A user message was posted. `message.visibility` is `pending` while it waits behind a running answer.
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
 * An agent begins to answer `message.parentMessageId`: for the first time, or again after a retry or an edit.
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
 * An agent message has ended, successfully or not.
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
 * The cost of an agent message was settled.
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
 * Every event of a conversation. `type` discriminates the union.
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
 * Decodes an event from the JSON value that the server sent. Never fails: an unknown event has `type: "unknown"`.
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
