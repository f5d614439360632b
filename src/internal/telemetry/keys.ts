/** The keys of all metrics, with the labels that each has. */
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"

const counter = (name: string, description: string) => MetricKey.counter(name, { description, incremental: true })

const gauge = (name: string, description: string) => MetricKey.gauge(name, { description })

/** Exporters take the unit of a metric from a tag of this name. */
const seconds = (name: string, description: string, boundaries: ReadonlyArray<number>) =>
  MetricKey.tagged(MetricKey.histogram(name, MetricBoundaries.fromIterable(boundaries), description), "unit", "s")

const ofRequests = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
const ofRuns = [0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400]

export const keys = {
  requests: counter("dust.requests", "Calls of operations"),
  requestDuration: seconds("dust.request.duration", "Time from a call to its result, with all attempts", ofRequests),
  retries: counter("dust.request.retries", "Attempts after the first one"),
  runs: counter("dust.runs", "Agent runs that were followed, by how following them ended"),
  runDuration: seconds("dust.run.duration", "Time from sending a message to the end of its answer", ofRuns),
  runWaitDuration: seconds("dust.run.wait.duration", "Time for which a run waited for a person", ofRuns),
  timeToFirstText: seconds("dust.run.time_to_first_text", "Time from sending a message to its first text", ofRuns),
  openRuns: gauge("dust.runs.open", "Runs that are being followed"),
  waitingRuns: gauge("dust.runs.waiting", "Runs that are waiting for a person"),
  cancellations: counter("dust.run.cancellations", "Runs that were cancelled because their consumer stopped"),
  unconfirmed: counter("dust.messages.unconfirmed", "Messages that may or may not have been stored"),
  openStreams: gauge("dust.streams.open", "Event streams that are being read"),
  reconnects: counter("dust.stream.reconnects", "Connections of event streams after the first one"),
  unknownEvents: counter("dust.stream.unknown_events", "Events of an unknown type or shape"),
  toolCalls: counter("dust.tool.calls", "Calls of client-side tools"),
  toolDuration: seconds("dust.tool.duration", "Time that a client-side tool took", ofRequests),
  governorWaits: counter("dust.governor.waits", "Calls that waited for a rate limit"),
  governorWaitDuration: seconds("dust.governor.wait.duration", "Time that a call waited for a rate limit", ofRequests),
  governorPauses: counter("dust.governor.pauses", "Rate limits that Dust reported"),
  tokenRefreshes: counter("dust.token.refreshes", "Access tokens that were requested")
} as const

/** The labels that a metric has besides `unit`. */
export const labels = {
  requests: ["operation", "outcome"],
  requestDuration: ["operation"],
  retries: ["operation", "reason"],
  runs: ["agent", "outcome"],
  runDuration: ["agent"],
  runWaitDuration: ["agent"],
  timeToFirstText: ["agent"],
  openRuns: ["agent"],
  waitingRuns: ["agent"],
  cancellations: ["outcome"],
  unconfirmed: ["reason"],
  openStreams: ["operation"],
  reconnects: ["operation", "reason"],
  unknownEvents: ["operation"],
  toolCalls: ["tool", "outcome"],
  toolDuration: ["tool"],
  governorWaits: ["class"],
  governorWaitDuration: ["class"],
  governorPauses: ["class"],
  tokenRefreshes: ["outcome"]
} as const satisfies Record<keyof typeof keys, readonly [string] | readonly [string, string]>
