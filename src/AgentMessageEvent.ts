/**
 * Events of an answer while the agent writes it, as `Conversations.messageEvents` emits them.
 *
 * `type` discriminates the union. An event of an unknown type or shape is an {@link UnknownEvent} with its raw value; no event
 * fails a stream.
 *
 * ```ts
 * import type { AgentMessageEvent } from "effect-dust/AgentMessageEvent"
 *
 * const textOf = (event: AgentMessageEvent) =>
 *   event.type === "generation_tokens" && event.classification === "tokens" ? event.text : ""
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RunError } from "./Agent.ts"
import { Stake, ToolMetadata, UserQuestion } from "./Conversation.ts"
import { ActionId, AgentId, ConversationId, EventId, MessageId } from "./Ids.ts"
import { eventDecoder, typeOf } from "./internal/decode/event.ts"
import { nullable, openLiteral, record, withDefault } from "./internal/decode/schema.ts"
import { emptyToolMetadata } from "./internal/decode/toolMetadata.ts"
import { AgentAction, AgentMessage } from "./Message.ts"

// Tokens come by the thousand: these fields stay plain (no defaults), and a malformed one costs only itself.
const light = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optional(Schema.NullOr(schema).annotations({ decodingFallback: () => Effect.succeed(null) }))

const base = {
  /** The cursor to continue from after this event. Missing on events that were read back from the conversation. */
  eventId: Schema.optional(EventId),
  /** The agent message. */
  messageId: light(MessageId),
  /** The agent. */
  configurationId: light(AgentId),
  /** Epoch milliseconds. */
  created: light(Schema.Number),
  /** The step of the agent's loop, from 0. A step that runs again emits its events again, with new ids. */
  step: light(Schema.Number)
}

/**
 * A piece of text: of the answer (`tokens`) or of the thinking before it (`chain_of_thought`). Skip delimiters; they are markup.
 *
 * @category schemas
 * @since 0.1.0
 */
export const GenerationTokens = Schema.Struct({
  type: Schema.Literal("generation_tokens"),
  ...base,
  text: Schema.String,
  classification: openLiteral("tokens", "chain_of_thought", "opening_delimiter", "closing_delimiter")
})

/** @category models @since 0.1.0 */
export interface GenerationTokens extends Schema.Schema.Type<typeof GenerationTokens> {}

/**
 * The model begins to write a tool call; the arguments are not complete yet.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolCallStarted = Schema.Struct({
  type: Schema.Literal("tool_call_started"),
  ...base,
  toolName: withDefault(Schema.String, () => ""),
  toolCallId: nullable(Schema.String),
  toolCallIndex: nullable(Schema.Number)
})

/** @category models @since 0.1.0 */
export interface ToolCallStarted extends Schema.Schema.Type<typeof ToolCallStarted> {}

/**
 * The arguments of a tool call are complete.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolParams = Schema.Struct({ type: Schema.Literal("tool_params"), ...base, action: AgentAction })

/** @category models @since 0.1.0 */
export interface ToolParams extends Schema.Schema.Type<typeof ToolParams> {}

/**
 * A running tool reports progress. For sub-agents, `data.output` names the child conversation.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolNotification = Schema.Struct({
  type: Schema.Literal("tool_notification"),
  ...base,
  action: AgentAction,
  notification: withDefault(
    Schema.Struct({
      progress: nullable(Schema.Number),
      total: nullable(Schema.Number),
      _meta: record,
      data: record
    }),
    () => ({ progress: null, total: null, _meta: {}, data: {} })
  )
})

/** @category models @since 0.1.0 */
export interface ToolNotification extends Schema.Schema.Type<typeof ToolNotification> {}

const blocking = {
  ...base,
  conversationId: withDefault(ConversationId, () => ""),
  actionId: ActionId,
  /** The input of the tool. */
  inputs: record,
  stake: nullable(Stake),
  metadata: withDefault(ToolMetadata, () => emptyToolMetadata),
  /** All that blocks this step has been announced. */
  isLastBlockingEventForStep: nullable(Schema.Boolean),
  argumentsRequiringApproval: nullable(Schema.Array(Schema.String))
}

/**
 * A tool waits for approval. Decide with `Conversations.validateAction`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolApproveExecution = Schema.Struct({ type: Schema.Literal("tool_approve_execution"), ...blocking })

/** @category models @since 0.1.0 */
export interface ToolApproveExecution extends Schema.Schema.Type<typeof ToolApproveExecution> {}

/**
 * A tool waits for a person to connect an account in Dust.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolPersonalAuthRequired = Schema.Struct({
  type: Schema.Literal("tool_personal_auth_required"),
  ...blocking,
  authError: nullable(Schema.Struct({
    mcpServerId: nullable(Schema.String),
    provider: nullable(Schema.String),
    toolName: nullable(Schema.String),
    message: nullable(Schema.String),
    scope: nullable(Schema.String)
  }))
})

/** @category models @since 0.1.0 */
export interface ToolPersonalAuthRequired extends Schema.Schema.Type<typeof ToolPersonalAuthRequired> {}

/**
 * A tool waits for a person to grant access to a file.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolFileAuthRequired = Schema.Struct({
  type: Schema.Literal("tool_file_auth_required"),
  ...blocking,
  fileAuthError: nullable(Schema.Struct({
    fileId: nullable(Schema.String),
    fileName: nullable(Schema.String),
    connectionId: nullable(Schema.String),
    mimeType: nullable(Schema.String),
    toolName: nullable(Schema.String),
    message: nullable(Schema.String)
  }))
})

/** @category models @since 0.1.0 */
export interface ToolFileAuthRequired extends Schema.Schema.Type<typeof ToolFileAuthRequired> {}

/**
 * The agent asks a question. Answer with `Conversations.answerQuestion`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolAskUserQuestion = Schema.Struct({
  type: Schema.Literal("tool_ask_user_question"),
  ...blocking,
  question: withDefault(UserQuestion, () => ({ question: "", options: [], multiSelect: false }))
})

/** @category models @since 0.1.0 */
export interface ToolAskUserQuestion extends Schema.Schema.Type<typeof ToolAskUserQuestion> {}

const error = withDefault(
  RunError,
  (): RunError => ({ code: "unknown_error", message: "the server sent no details", metadata: {} })
)

/**
 * A tool failed and ended the run.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolError = Schema.Struct({
  type: Schema.Literal("tool_error"),
  ...base,
  conversationId: nullable(ConversationId),
  error
})

/** @category models @since 0.1.0 */
export interface ToolError extends Schema.Schema.Type<typeof ToolError> {}

/**
 * A tool has finished; `action.output` is its result.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentActionSuccess = Schema.Struct({
  type: Schema.Literal("agent_action_success"),
  ...base,
  action: AgentAction
})

/** @category models @since 0.1.0 */
export interface AgentActionSuccess extends Schema.Schema.Type<typeof AgentActionSuccess> {}

/**
 * Old content was dropped from the context of the model.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentContextPruned = Schema.Struct({ type: Schema.Literal("agent_context_pruned"), ...base })

/** @category models @since 0.1.0 */
export interface AgentContextPruned extends Schema.Schema.Type<typeof AgentContextPruned> {}

/**
 * The run pauses because its cost exceeds a set amount.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentCreditAlert = Schema.Struct({
  type: Schema.Literal("agent_credit_alert_threshold_crossed"),
  ...base,
  thresholdAwuCredits: nullable(Schema.Number)
})

/** @category models @since 0.1.0 */
export interface AgentCreditAlert extends Schema.Schema.Type<typeof AgentCreditAlert> {}

/**
 * Terminal: the run failed.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentError = Schema.Struct({ type: Schema.Literal("agent_error"), ...base, error })

/** @category models @since 0.1.0 */
export interface AgentError extends Schema.Schema.Type<typeof AgentError> {}

/**
 * Terminal: the run was cancelled (`cancelled`), or redirected by a newer message (`interrupted`).
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentGenerationCancelled = Schema.Struct({
  type: Schema.Literal("agent_generation_cancelled"),
  ...base,
  status: nullable(openLiteral("cancelled", "interrupted"))
})

/** @category models @since 0.1.0 */
export interface AgentGenerationCancelled extends Schema.Schema.Type<typeof AgentGenerationCancelled> {}

/**
 * Terminal: the run stopped between two steps because of a newer message; the content so far is valid.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMessageGracefullyStopped = Schema.Struct({
  type: Schema.Literal("agent_message_gracefully_stopped"),
  ...base,
  message: AgentMessage
})

/** @category models @since 0.1.0 */
export interface AgentMessageGracefullyStopped extends Schema.Schema.Type<typeof AgentMessageGracefullyStopped> {}

/**
 * Terminal: the final message. Its `content` is the answer and replaces the streamed text.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMessageSuccess = Schema.Struct({
  type: Schema.Literal("agent_message_success"),
  ...base,
  message: AgentMessage
})

/** @category models @since 0.1.0 */
export interface AgentMessageSuccess extends Schema.Schema.Type<typeof AgentMessageSuccess> {}

/**
 * Terminal, from old servers: the message could not be handled.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserMessageError = Schema.Struct({ type: Schema.Literal("user_message_error"), ...base, error })

/** @category models @since 0.1.0 */
export interface UserMessageError extends Schema.Schema.Type<typeof UserMessageError> {}

/**
 * An event of an unknown type or shape.
 *
 * @category schemas
 * @since 0.2.0
 */
export const UnknownEvent = Schema.Struct({
  type: Schema.Literal("unknown"),
  ...base,
  /** The server's own `type`, if there is one. */
  kind: Schema.NullOr(Schema.String),
  /** What the server sent; a string when it was not JSON. */
  raw: Schema.Unknown
})

/** @category models @since 0.1.0 */
export interface UnknownEvent extends Schema.Schema.Type<typeof UnknownEvent> {}

/**
 * A tool, a question or a missing authorization that waits for a person.
 *
 * @category models
 * @since 0.1.0
 */
export type BlockingEvent =
  | ToolApproveExecution
  | ToolAskUserQuestion
  | ToolPersonalAuthRequired
  | ToolFileAuthRequired

/**
 * The terminal events: the last event of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type TerminalEvent =
  | AgentMessageSuccess
  | AgentMessageGracefullyStopped
  | AgentGenerationCancelled
  | AgentError
  | ToolError
  | UserMessageError

/**
 * Every event of an answer. `type` discriminates the union.
 *
 * @category models
 * @since 0.1.0
 */
export type AgentMessageEvent =
  | GenerationTokens
  | ToolCallStarted
  | ToolParams
  | ToolNotification
  | BlockingEvent
  | AgentActionSuccess
  | AgentContextPruned
  | AgentCreditAlert
  | TerminalEvent
  | UnknownEvent

const known = [
  GenerationTokens,
  ToolCallStarted,
  ToolParams,
  ToolNotification,
  ToolApproveExecution,
  ToolPersonalAuthRequired,
  ToolFileAuthRequired,
  ToolAskUserQuestion,
  ToolError,
  AgentActionSuccess,
  AgentContextPruned,
  AgentCreditAlert,
  AgentError,
  AgentGenerationCancelled,
  AgentMessageGracefullyStopped,
  AgentMessageSuccess,
  UserMessageError
] as const

const decode: (type: string | null, data: unknown) => Exclude<AgentMessageEvent, UnknownEvent> | undefined =
  eventDecoder(known)

/**
 * Every event as one schema, for sending it on. What the server sends is decoded with {@link fromJson}.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentMessageEvent: Schema.Schema<AgentMessageEvent, unknown> = Schema.make<AgentMessageEvent, unknown>(
  Schema.Union(...known, UnknownEvent).ast
)

const terminal: ReadonlySet<string> = new Set<TerminalEvent["type"]>([
  "agent_message_success",
  "agent_message_gracefully_stopped",
  "agent_generation_cancelled",
  "agent_error",
  "tool_error",
  "user_message_error"
])

const blockingTypes: ReadonlySet<string> = new Set<BlockingEvent["type"]>([
  "tool_approve_execution",
  "tool_ask_user_question",
  "tool_personal_auth_required",
  "tool_file_auth_required"
])

/**
 * Returns whether an event is terminal.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTerminal = (event: AgentMessageEvent): event is TerminalEvent => terminal.has(event.type)

/**
 * Returns whether events of this type are terminal, including those that cannot be decoded.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTerminalType = (type: string): boolean => terminal.has(type)

/**
 * Returns whether the run waits for a person after this event.
 *
 * @category guards
 * @since 0.1.0
 */
export const isBlocking = (event: AgentMessageEvent): event is BlockingEvent => blockingTypes.has(event.type)

/** Inside the stream, the message has the internal names of two states. */
const states: ReadonlyMap<string, AgentMessage["status"]> = new Map([
  ["gracefully_stopped", "succeeded"],
  ["interrupted", "cancelled"]
])

/**
 * Decodes an event from the JSON value that the server sent. Never fails: an unknown event has `type: "unknown"`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromJson = (data: unknown, eventId?: EventId): AgentMessageEvent => {
  const kind = typeOf(data)
  const event = decode(kind, data)
  if (event === undefined) return { type: "unknown", eventId, kind, raw: data }
  // Fresh from the decoder and not shared: a copy for one field would cost more than decoding.
  if (eventId !== undefined) Object.assign(event, { eventId })
  if (event.type === "agent_message_success" || event.type === "agent_message_gracefully_stopped") {
    const status = states.get(event.message.status)
    return status === undefined ? event : { ...event, message: { ...event.message, status } }
  }
  return event
}
