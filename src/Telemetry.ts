/**
 * Names of the spans, span events, attributes and metrics of this SDK.
 *
 * Spans follow the OpenTelemetry conventions for generative AI. No span, metric or log has a credential, a URL, a query or
 * the content of a message. Spans go to the tracer and metrics to the reader that the application provides, such as
 * `NodeSdk` of `@effect/opentelemetry`; without them they cost next to nothing.
 *
 * ```ts
 * import * as Telemetry from "effect-dust/Telemetry"
 * import { Console, Effect, Metric } from "effect"
 *
 * // The runs of each agent by outcome, as far as this process has counted them.
 * const printRuns = Effect.forEach(
 *   Metric.unsafeSnapshot().filter(({ metricKey }) => metricKey.name === "dust.runs"),
 *   ({ metricKey, metricState }) => Console.log(metricKey.tags.map(({ value }) => value).join(" "), metricState)
 * )
 *
 * const name = Telemetry.spans.run // "invoke_agent"
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import { keys } from "./internal/telemetry/keys.ts"

/**
 * Names of spans.
 *
 * Operations have spans of kind client, named after them (`Conversations.createMessage`). The span of an event stream lasts
 * as long as the stream, and each of its connections has a span `<operation> connect` below it.
 *
 * @category constants
 * @since 0.2.0
 */
export const spans = {
  /**
   * An agent run of `Chat`, or of `Conversations.createMessage` with `blocking`: `invoke_agent <agent>`, from sending the message
   * to the end of the answer. `invoke_agent` for a run that is followed with `resume`, `answer` or `answers`.
   */
  run: "invoke_agent",
  /** A call of a client-side tool: `execute_tool <tool>`, linked to the run that it belongs to. */
  tool: "execute_tool",
  /** Requests a new access token. Belongs to the call that needed it first. */
  tokenRefresh: "DustConfig.refresh"
} as const

/**
 * Names of span events.
 *
 * @category constants
 * @since 0.2.0
 */
export const events = {
  /** On the span of an operation: an attempt failed, and another one follows. */
  retry: "dust.request.retry",
  /** On the span of an operation: it waits for a place within a rate limit. */
  governorWait: "dust.governor.wait",
  /** On the span of a stream: the connection has ended, and the next one is made. */
  reconnect: "dust.stream.reconnect",
  /** On the span of a stream: the conversation is read, because the stream does not show the state of the run. */
  look: "dust.stream.look",
  /** On the span of a run: the message is stored, and an agent answers. */
  started: "dust.run.started",
  /** On the span of a run: its first text has arrived. */
  firstText: "dust.run.first_text",
  /** On the span of a run: it waits for a person. */
  waiting: "dust.run.waiting",
  /** On the span of a run: it no longer waits for a person. */
  continued: "dust.run.continued",
  /** On the span of a run: a tool of Dust was called. */
  toolStarted: "dust.tool.started",
  /** On the span of a run: a tool of Dust has returned. */
  toolFinished: "dust.tool.finished"
} as const

/**
 * Keys of the attributes of spans and span events.
 *
 * @category constants
 * @since 0.1.0
 */
export const attributes = {
  operationName: "gen_ai.operation.name",
  providerName: "gen_ai.provider.name",
  agentId: "gen_ai.agent.id",
  agentName: "gen_ai.agent.name",
  conversationId: "gen_ai.conversation.id",
  requestModel: "gen_ai.request.model",
  responseModel: "gen_ai.response.model",
  finishReasons: "gen_ai.response.finish_reasons",
  toolName: "gen_ai.tool.name",
  toolType: "gen_ai.tool.type",
  toolCallId: "gen_ai.tool.call.id",
  /** The tag of the error, or the name of what a handler failed with. */
  errorType: "error.type",
  /** Dust's own type of the error, such as `rate_limit_error` or `model_error`. */
  errorCode: "dust.error.type",
  method: "http.request.method",
  route: "http.route",
  status: "http.response.status_code",
  serverAddress: "server.address",
  workspaceId: "dust.workspace.id",
  messageId: "dust.message.id",
  userMessageId: "dust.user_message.id",
  requestId: "dust.request.id",
  attempts: "dust.attempts",
  /** How following a run ended: one of {@link Outcome}. */
  outcome: "dust.run.outcome",
  /** Seconds from sending the message to its first text. */
  timeToFirstText: "dust.run.time_to_first_text",
  /** Seconds for which the run waited for a person. */
  waited: "dust.run.waited",
  /** Credits that Dust billed for the answer. */
  costCredits: "dust.run.cost_credits",
  /** What a run waits for: `ApprovalNeeded`, `QuestionAsked` or `AuthenticationNeeded`. */
  waitingFor: "dust.run.waiting_for",
  actionId: "dust.action.id",
  limitClass: "dust.limit.class",
  /** Why: of a retry, a reconnection or a look. */
  reason: "dust.reason",
  /** Seconds until the next attempt. */
  delay: "dust.delay",
  streamConnections: "dust.stream.connections",
  streamEvents: "dust.stream.events"
} as const

/**
 * How following a run ended.
 *
 * - `succeeded`: the answer is complete
 * - `failed`: the agent failed
 * - `cancelled`: the run was cancelled in Dust
 * - `interrupted`: the consumer stopped, and the run was cancelled, or left where the caller asked for that
 * - `waiting`: the run waits for a person, and the caller asked to fail in this case
 * - `handler_failed`: a handler of the caller failed, so that the run was cancelled
 * - `lost`: the run could not be followed to its end, and may go on
 * - `unconfirmed`: the message may or may not have been stored
 * - `not_sent`: the message was not stored
 *
 * @category models
 * @since 0.2.0
 */
export type Outcome =
  | "succeeded"
  | "failed"
  | "cancelled"
  | "interrupted"
  | "waiting"
  | "handler_failed"
  | "lost"
  | "unconfirmed"
  | "not_sent"

/**
 * Calls, by `operation` and `outcome` (`success`, the tag of the error, or `interrupted`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const requests: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.requests)

/**
 * Seconds from a call to its result, with all attempts, by `operation`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const requestDuration: Metric.Metric.Histogram<number> = Metric.fromMetricKey(keys.requestDuration)

/**
 * Attempts after the first one, by `operation` and `reason` (the tag of the error).
 *
 * @category metrics
 * @since 0.1.0
 */
export const retries: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.retries)

/**
 * Agent runs of `Chat`, by `agent` (its name, or its id where the name is not known) and `outcome` ({@link Outcome}).
 *
 * @category metrics
 * @since 0.2.0
 */
export const runs: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.runs)

/**
 * Seconds from sending a message to the end of its answer, by `agent`. A resumed run counts from when it was resumed.
 *
 * @category metrics
 * @since 0.2.0
 */
export const runDuration: Metric.Metric.Histogram<number> = Metric.fromMetricKey(keys.runDuration)

/**
 * Seconds for which a run waited for a person, by `agent`: one value for each wait.
 *
 * @category metrics
 * @since 0.2.0
 */
export const runWaitDuration: Metric.Metric.Histogram<number> = Metric.fromMetricKey(keys.runWaitDuration)

/**
 * Seconds from sending a message to the first text of its answer, by `agent`. Resumed runs are not counted, and neither is
 * the time before the message was sent.
 *
 * @category metrics
 * @since 0.1.0
 */
export const timeToFirstText: Metric.Metric.Histogram<number> = Metric.fromMetricKey(keys.timeToFirstText)

/**
 * Runs that are being followed, by `agent`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const openRuns: Metric.Metric.Gauge<number> = Metric.fromMetricKey(keys.openRuns)

/**
 * Runs among them that wait for a person, by `agent`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const waitingRuns: Metric.Metric.Gauge<number> = Metric.fromMetricKey(keys.waitingRuns)

/**
 * Runs that were cancelled because their consumer had stopped, by `outcome`: `cancelled`, or `failed` where the run may go
 * on, which is also logged as a warning.
 *
 * @category metrics
 * @since 0.2.0
 */
export const cancellations: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.cancellations)

/**
 * Messages that may or may not have been stored, by `reason` (that of `DustUnconfirmedError`).
 *
 * @category metrics
 * @since 0.2.0
 */
export const unconfirmed: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.unconfirmed)

/**
 * Event streams that are being read, by `operation`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const openStreams: Metric.Metric.Gauge<number> = Metric.fromMetricKey(keys.openStreams)

/**
 * Connections of event streams after the first one, by `operation` and `reason` (`page`, `silence`, `failure`).
 *
 * @category metrics
 * @since 0.2.0
 */
export const reconnects: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.reconnects)

/**
 * Events that were passed through as `unknown`, because of their type or their shape, by `operation`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const unknownEvents: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.unknownEvents)

/**
 * Calls of client-side tools, by `tool` and `outcome` (`succeeded`, `failed`, `interrupted`).
 *
 * @category metrics
 * @since 0.2.0
 */
export const toolCalls: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.toolCalls)

/**
 * Seconds that a client-side tool took, by `tool`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const toolDuration: Metric.Metric.Histogram<number> = Metric.fromMetricKey(keys.toolDuration)

/**
 * Calls that waited for a place within a rate limit, by `class`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const governorWaits: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.governorWaits)

/**
 * Seconds that they waited, by `class`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const governorWaitDuration: Metric.Metric.Histogram<number> = Metric.fromMetricKey(keys.governorWaitDuration)

/**
 * Rate limits that Dust reported, by `class`.
 *
 * @category metrics
 * @since 0.2.0
 */
export const governorPauses: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.governorPauses)

/**
 * Access tokens that were requested from the application or from Dust, by `outcome` (`success`, `failed`).
 *
 * @category metrics
 * @since 0.2.0
 */
export const tokenRefreshes: Metric.Metric.Counter<number> = Metric.fromMetricKey(keys.tokenRefreshes)
