/**
 * Events of an answer for a user interface, as `Chat.stream` emits them.
 *
 * Keep the text with two rules: append every {@link TextDelta}, and replace all text by that of a {@link Reset}. At
 * {@link Done}, it is exactly the final text.
 *
 * Each event is a schema and a type, so that events can be sent to a browser, through a queue or over RPC:
 * `Schema.encode(ChatEvent)` yields plain JSON, and unknown events are preserved.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { AgentMessageEvent, ToolFileAuthRequired, ToolPersonalAuthRequired } from "./AgentMessageEvent.ts"
import { Stake, ToolMetadata, UserQuestion } from "./Conversation.ts"
import { ActionId, ConversationId, EventId, MessageId } from "./Ids.ts"
import { AgentAction, AgentMessage, GeneratedFile, UserMessage } from "./Message.ts"

const base = {
  /** The cursor to continue from after this event, if it corresponds to an event of the server. */
  eventId: Schema.optional(EventId)
}

const blocked = {
  ...base,
  /** The conversation of the sub-agent, if the tool belongs to one. */
  conversationId: ConversationId,
  messageId: MessageId,
  actionId: ActionId
}

/**
 * The message is stored and the agent has begun. Store the ids to continue in another process.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Started = Schema.TaggedStruct("Started", {
  ...base,
  conversationId: ConversationId,
  /** `undefined` for a continued answer. */
  message: Schema.optional(UserMessage),
  /** The agent message. */
  messageId: MessageId
})

/** @category models @since 0.1.0 */
export interface Started extends Schema.Schema.Type<typeof Started> {}

/**
 * A piece of text to append.
 *
 * @category schemas
 * @since 0.2.0
 */
export const TextDelta = Schema.TaggedStruct("TextDelta", {
  ...base,
  text: Schema.String
})

/** @category models @since 0.1.0 */
export interface TextDelta extends Schema.Schema.Type<typeof TextDelta> {}

/**
 * Replaces the text so far: a step runs again, or the final text differs. An answer that is continued from an event emits one
 * at its end, with the complete text.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Reset = Schema.TaggedStruct("Reset", {
  ...base,
  text: Schema.String
})

/** @category models @since 0.1.0 */
export interface Reset extends Schema.Schema.Type<typeof Reset> {}

/**
 * A piece of the agent's chain of thought.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Thinking = Schema.TaggedStruct("Thinking", {
  ...base,
  text: Schema.String
})

/** @category models @since 0.1.0 */
export interface Thinking extends Schema.Schema.Type<typeof Thinking> {}

/**
 * The agent begins to call a tool; the input is not complete yet.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ToolAnnounced = Schema.TaggedStruct("ToolAnnounced", {
  ...base,
  toolName: Schema.String
})

/** @category models @since 0.1.0 */
export interface ToolAnnounced extends Schema.Schema.Type<typeof ToolAnnounced> {}

/**
 * A tool call has started. `action.params` is its input.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ToolStarted = Schema.TaggedStruct("ToolStarted", {
  ...base,
  action: AgentAction
})

/** @category models @since 0.1.0 */
export interface ToolStarted extends Schema.Schema.Type<typeof ToolStarted> {}

/**
 * A tool reports progress.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ToolProgress = Schema.TaggedStruct("ToolProgress", {
  ...base,
  action: AgentAction,
  progress: Schema.NullOr(Schema.Number),
  total: Schema.NullOr(Schema.Number),
  /** A description of the progress, for people. */
  label: Schema.NullOr(Schema.String)
})

/** @category models @since 0.1.0 */
export interface ToolProgress extends Schema.Schema.Type<typeof ToolProgress> {}

/**
 * A tool call has finished. `action.output` is its result.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ToolFinished = Schema.TaggedStruct("ToolFinished", {
  ...base,
  action: AgentAction
})

/** @category models @since 0.1.0 */
export interface ToolFinished extends Schema.Schema.Type<typeof ToolFinished> {}

/**
 * A tool waits for a person's approval.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ApprovalNeeded = Schema.TaggedStruct("ApprovalNeeded", {
  ...blocked,
  tool: ToolMetadata,
  /** The input of the tool. */
  inputs: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  stake: Schema.NullOr(Stake)
})

/** @category models @since 0.1.0 */
export interface ApprovalNeeded extends Schema.Schema.Type<typeof ApprovalNeeded> {}

/**
 * The agent asks a question.
 *
 * @category schemas
 * @since 0.2.0
 */
export const QuestionAsked = Schema.TaggedStruct("QuestionAsked", {
  ...blocked,
  question: UserQuestion
})

/** @category models @since 0.1.0 */
export interface QuestionAsked extends Schema.Schema.Type<typeof QuestionAsked> {}

/**
 * A tool waits until a person has connected an account, or given access to a file, in Dust.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AuthenticationNeeded = Schema.TaggedStruct("AuthenticationNeeded", {
  ...blocked,
  tool: ToolMetadata,
  account: ToolPersonalAuthRequired.fields.authError,
  file: ToolFileAuthRequired.fields.fileAuthError
})

/** @category models @since 0.1.0 */
export interface AuthenticationNeeded extends Schema.Schema.Type<typeof AuthenticationNeeded> {}

/**
 * Any other event of the server: pruned context, credit alerts, unknown events.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Other = Schema.TaggedStruct("Other", {
  ...base,
  event: AgentMessageEvent
})

/** @category models @since 0.1.0 */
export interface Other extends Schema.Schema.Type<typeof Other> {}

/**
 * Something that the answer refers to.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Citation = Schema.Struct({
  /** The short key by which the text refers to it. */
  ref: Schema.String,
  title: Schema.NullOr(Schema.String),
  url: Schema.NullOr(Schema.String),
  /** Where it was found: `notion`, `slack`, `web`, … */
  provider: Schema.NullOr(Schema.String)
})

/** @category models @since 0.1.0 */
export interface Citation extends Schema.Schema.Type<typeof Citation> {}

/**
 * The whole answer.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Reply = Schema.Struct({
  /** The final text of the agent's message, as Markdown. */
  text: Schema.String,
  conversationId: ConversationId,
  /** The user message; `undefined` for a continued answer. */
  message: Schema.optional(UserMessage),
  /** The answer as Dust stores it. */
  agentMessage: AgentMessage,
  /** The tool calls, with inputs and outputs. */
  actions: Schema.Array(AgentAction),
  chainOfThought: Schema.NullOr(Schema.String),
  /** The sources that the tools returned. */
  citations: Schema.Array(Citation),
  generatedFiles: Schema.Array(GeneratedFile),
  /**
   * The message of the agent that answers instead, if this agent handed the conversation over; `text` is then empty. Follow it
   * with `chat.resume({ conversationId, messageId: reply.handedOverTo })`. Otherwise `null`.
   */
  handedOverTo: Schema.optionalWith(Schema.NullOr(MessageId), { default: () => null })
})

/** @category models @since 0.1.0 */
export interface Reply extends Schema.Schema.Type<typeof Reply> {}

/**
 * The last event, with the complete reply.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Done = Schema.TaggedStruct("Done", {
  ...base,
  reply: Reply
})

/** @category models @since 0.1.0 */
export interface Done extends Schema.Schema.Type<typeof Done> {}

/**
 * The reason why a run waits for a person.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Blocked: Schema.Schema<Blocked, unknown> = Schema.make<Blocked, unknown>(
  Schema.Union(ApprovalNeeded, QuestionAsked, AuthenticationNeeded).ast
)

/**
 * The reason why a run waits for a person.
 *
 * @category models
 * @since 0.1.0
 */
export type Blocked = ApprovalNeeded | QuestionAsked | AuthenticationNeeded

/**
 * Every event of an answer. `_tag` discriminates the union.
 *
 * @category models
 * @since 0.1.0
 */
export type ChatEvent =
  | Started
  | TextDelta
  | Reset
  | Thinking
  | ToolAnnounced
  | ToolStarted
  | ToolProgress
  | ToolFinished
  | Blocked
  | Other
  | Done

/**
 * Every event as one schema, for browsers, queues and RPC.
 *
 * @example
 * ```ts
 * import { ChatEvent } from "effect-dust/ChatEvent"
 * import { Schema } from "effect"
 *
 * // Both ways through JSON text.
 * const wire = Schema.parseJson(ChatEvent)
 * const toBrowser = Schema.encode(wire)
 * const fromServer = Schema.decodeUnknown(wire)
 * ```
 *
 * @category schemas
 * @since 0.2.0
 */
export const ChatEvent: Schema.Schema<ChatEvent, unknown> = Schema.make<ChatEvent, unknown>(
  Schema.Union(
    Started,
    TextDelta,
    Reset,
    Thinking,
    ToolAnnounced,
    ToolStarted,
    ToolProgress,
    ToolFinished,
    ApprovalNeeded,
    QuestionAsked,
    AuthenticationNeeded,
    Other,
    Done
  ).ast
)
