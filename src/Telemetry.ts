/**
 * The names of the spans, attributes and metrics of this SDK.
 *
 * Every operation has a span named after it (`Conversations.createMessage`, kind client); one over a whole stream lasts as
 * long as the stream; an agent run of `Chat` has `invoke_agent`, and each call of a client-side tool `McpServers.call`. No
 * span, metric or log carries a credential, a URL, a query or the content of a message.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"

/**
 * Attribute keys of spans.
 *
 * @category constants
 * @since 0.1.0
 */
export const attributes = {
  workspaceId: "dust.workspace.id",
  requestId: "dust.request.id",
  attempts: "dust.attempts",
  errorType: "error.type",
  method: "http.request.method",
  route: "http.route",
  status: "http.response.status_code",
  serverAddress: "server.address",
  operationName: "gen_ai.operation.name",
  providerName: "gen_ai.provider.name",
  agentId: "gen_ai.agent.id",
  conversationId: "gen_ai.conversation.id",
  toolName: "gen_ai.tool.name",
  messageId: "dust.message.id",
  streamConnections: "dust.stream.connections",
  streamEvents: "dust.stream.events"
} as const

/**
 * The span over one agent run of `Chat`.
 *
 * @category constants
 * @since 0.1.0
 */
export const agentSpan = "invoke_agent"

/**
 * Calls, by `operation` and `outcome` (`success`, or the tag of the error).
 *
 * @category metrics
 * @since 0.1.0
 */
export const requests = Metric.counter("dust_requests_total", {
  description: "Calls by operation and outcome",
  incremental: true
})

/**
 * Attempts after the first, by `operation` and `reason` (the tag of the error).
 *
 * @category metrics
 * @since 0.1.0
 */
export const retries = Metric.counter("dust_retries_total", {
  description: "Repeated attempts by operation and reason",
  incremental: true
})

/**
 * Connections of a stream after its first, by `operation` and `reason` (`page`, `silence`, `failure`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const streamResumes = Metric.counter("dust_stream_resumes_total", {
  description: "Reconnections of event streams by operation and reason",
  incremental: true
})

/**
 * Events that were passed through as `unknown`: of a type this version does not know, or malformed.
 *
 * @category metrics
 * @since 0.1.0
 */
export const unknownEvents = Metric.counter("dust_unknown_events_total", {
  description: "Events of unknown type or shape",
  incremental: true
})

/**
 * Milliseconds from sending a message to the first text of its answer.
 *
 * @category metrics
 * @since 0.1.0
 */
export const timeToFirstText = Metric.timer(
  "dust_time_to_first_text",
  "From sending a message to the first text of its answer"
)
