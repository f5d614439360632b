/**
 * The telemetry of six runs: a good one, and one each that is retried, fails, is slow, waits for a person and is stopped. An
 * application configures the OpenTelemetry SDK with an exporter for its collector instead of the two in memory.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Metrics from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Console, Effect, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"
import { attributes } from "effect-dust/Telemetry"
import { note, title } from "./support.ts"

const spans = new InMemorySpanExporter()
const metrics = new Metrics.InMemoryMetricExporter(Metrics.AggregationTemporality.CUMULATIVE)
const metricReader = new Metrics.PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 60_000 })
const TelemetryLive = NodeSdk.layer(() => ({
  resource: { serviceName: "help-desk" },
  spanProcessor: new SimpleSpanProcessor(spans),
  metricReader
}))

const DustLive = DustTest.layer({
  agents: {
    Fine: [DustTest.tool({ name: "search", duration: "60 millis" }), DustTest.text("Here you are.")],
    Retried: [DustTest.text("Here you are, too.")],
    Failing: [DustTest.text("I was about"), DustTest.fail({ code: "model_error", category: "retryable_model_error" })],
    Slow: [DustTest.text("One word after the other, slowly.", { pace: "400 millis" })],
    Waiting: [DustTest.approval({ name: "send_email", stake: "high" }), DustTest.text("Sent.")],
    Endless: [DustTest.text("and so on ".repeat(100), { pace: "50 millis" })]
  },
  faults: [{ method: "POST", path: "/assistant/conversations", nth: 2, fault: DustTest.faults.status(503) }]
})

const program = Effect.gen(function*() {
  const { send, streamText } = yield* Chat
  for (const agent of ["Fine", "Retried"]) yield* send({ agent, message: "Hello" })
  yield* Effect.ignore(send({ agent: "Failing", message: "Hello" }))
  yield* send({ agent: "Slow", message: "Hello" })
  const onApproval = () => Effect.delay(Effect.succeed("approved" as const), "500 millis")
  yield* send({ agent: "Waiting", message: "Hello", onApproval })
  yield* Stream.runDrain(Stream.take(streamText({ agent: "Endless", message: "Hello" }), 3))
})

const ms = (seconds: unknown) => `${Math.round(Number(seconds) * 1e3)} ms`
const show = ({ attributes: of, duration: [seconds, nanos], events, name }: ReadableSpan) =>
  Console.log(
    `  ${name.padEnd(22)}${ms(seconds + nanos / 1e9).padStart(8)}  ${of[attributes.outcome]}`,
    of[attributes.errorCode] ?? "",
    of[attributes.waited] === undefined ? "" : `(${ms(of[attributes.waited])} of it waiting for a person)`,
    `\n      ${events.map((event) => event.name.replace(/^dust\./, "")).join(" · ")}`
  )

const report = Effect.gen(function*() {
  const all = spans.getFinishedSpans()
  yield* title("Spans of the runs, with their events")
  yield* Effect.forEach(all.filter(({ name }) => name.startsWith("invoke_agent")), show)
  yield* note(`${all.length} spans in ${new Set(all.map((span) => span.spanContext().traceId)).size} traces`)
  yield* Effect.zipRight(title("Metrics"), Effect.promise(() => metricReader.forceFlush()))
  for (const { dataPoints, descriptor: { name } } of metrics.getMetrics()[0]?.scopeMetrics[0]?.metrics ?? []) {
    if (!/^dust\.(runs|request\.retries|run\.(cancellations|time_to_first_text))$/.test(name)) continue
    for (const { attributes: { unit: _, ...labels }, value } of dataPoints) {
      yield* note([name, ...Object.values(labels), typeof value === "number" ? value : ms(value.sum)].join(" "))
    }
  }
})

program.pipe(Effect.provide(DustLive), Effect.zipRight(report), Effect.provide(TelemetryLive), NodeRuntime.runMain)
