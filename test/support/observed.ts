/** Spans, metrics and logs of an Effect, as plain values. */
import { Cause, Effect, Exit, HashMap, Logger, LogLevel, Metric, Option, Tracer } from "effect"
import { randomUUID } from "node:crypto"

export interface SeenSpan {
  readonly name: string
  readonly parent: string | undefined
  readonly kind: Tracer.SpanKind
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: ReadonlyArray<readonly [name: string, attributes: Readonly<Record<string, unknown>>]>
  readonly links: ReadonlyArray<string>
  /** `ok`, `interrupted`, or the error. */
  readonly ended: string
}

export interface Seen<A, E> {
  readonly exit: Exit.Exit<A, E>
  /** In the order of their ends. */
  readonly spans: ReadonlyArray<SeenSpan>
  /** By name and labels: the value of a counter or a gauge, the number of values of a histogram and their sum. */
  readonly metrics: Readonly<Record<string, number | readonly [count: number, sum: number]>>
  readonly logs: ReadonlyArray<
    readonly [level: string, message: string, annotations: Readonly<Record<string, unknown>>]
  >
}

const nameOf = (span: Tracer.AnySpan): string => span._tag === "Span" ? span.name : span.spanId

const endOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? "ok"
    : Cause.isInterruptedOnly(exit.cause)
    ? "interrupted"
    : String(Cause.squash(exit.cause))

export const observe = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Seen<A, E>, never, R> =>
  Effect.gen(function*() {
    const label = randomUUID()
    const native = yield* Effect.tracer
    const spans: Array<SeenSpan> = []
    const logs: Array<Seen<A, E>["logs"][number]> = []
    const tracer = Tracer.make({
      span: (...args) => {
        const span = native.span(...args)
        const events: Array<SeenSpan["events"][number]> = []
        const add = span.event.bind(span)
        span.event = (name, time, attributes) => {
          events.push([name, attributes ?? {}])
          add(name, time, attributes)
        }
        const end = span.end.bind(span)
        span.end = (time, exit) => {
          end(time, exit)
          spans.push({
            name: span.name,
            parent: Option.getOrUndefined(Option.map(span.parent, nameOf)),
            kind: span.kind,
            attributes: Object.fromEntries(span.attributes),
            events,
            links: span.links.map((link) => nameOf(link.span)),
            ended: endOf(exit)
          })
        }
        return span
      },
      context: (f, fiber) => native.context(f, fiber)
    })
    const logger = Logger.make<unknown, void>(({ annotations, logLevel, message }) =>
      void logs.push([logLevel.label, String(message), Object.fromEntries(HashMap.toEntries(annotations))])
    )
    const exit = yield* Effect.exit(self).pipe(
      Effect.withTracer(tracer),
      Effect.tagMetrics("observed", label),
      Effect.provide(Logger.add(logger)),
      Logger.withMinimumLogLevel(LogLevel.Debug)
    )
    const metrics = (yield* Metric.snapshot).flatMap(({ metricKey, metricState }) => {
      const labels = metricKey.tags.filter(({ key }) => key !== "observed" && key !== "unit")
      if (!metricKey.name.startsWith("dust.")) return []
      if (!metricKey.tags.some(({ key, value }) => key === "observed" && value === label)) return []
      const name = [metricKey.name, ...labels.map(({ key, value }) => `${key}=${value}`).sort()].join(" ")
      // The states of the metrics of the SDK: gauges have a value, counters a count, histograms a sum, too.
      const state = metricState as unknown as { readonly value?: number; readonly count: number; readonly sum?: number }
      return [[name, state.value ?? (state.sum === undefined ? state.count : [state.count, state.sum])] as const]
    })
    return { exit, spans, logs, metrics: Object.fromEntries(metrics) as Seen<A, E>["metrics"] }
  })
