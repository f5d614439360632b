/** Events of spans. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"

/** A stream that is read for days has more events than a span can use. Counters have all of them. */
const mostEvents = 128

const counts = new WeakMap<Tracer.Span, number>()

/** Adds an event, up to the number of events that OpenTelemetry keeps of a span. */
export const addEvent = (
  span: Tracer.AnySpan | undefined,
  name: string,
  nanos: bigint,
  attributes?: Record<string, unknown>
): void => {
  if (span === undefined || span._tag === "ExternalSpan" || !span.sampled || span.status._tag === "Ended") return
  const count = counts.get(span) ?? 0
  if (count >= mostEvents) return
  counts.set(span, count + 1)
  span.event(name, nanos, attributes)
}

/** Adds an event to the span of the running code. */
export const event = (name: string, attributes?: Record<string, unknown>): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const span = fiber.currentSpan
    return span === undefined || span._tag === "ExternalSpan" ? Effect.void : Effect.clockWith((clock) => {
      addEvent(span, name, clock.unsafeCurrentTimeNanos(), attributes)
      return Effect.void
    })
  })

/** A failure as a span shows it: without message content. */
export const failure = (name: string, message: string): Error => {
  const summary = new Error(message)
  summary.name = name
  summary.stack = ""
  return summary
}

/** Runs an effect under a span that ends as `end` says, instead of with what the effect has failed with. */
export const inSpan = <A, E, R>(
  make: Effect.Effect<Tracer.Span>,
  self: Effect.Effect<A, E, R>,
  end: (span: Tracer.Span, exit: Exit.Exit<A, E>, lasted: number) => Exit.Exit<unknown, unknown>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.clockWith((clock: Clock.Clock) => {
    const begun = clock.unsafeCurrentTimeNanos()
    return Effect.flatMap(make, (span) =>
      Effect.onExit(Effect.provideService(self, Tracer.ParentSpan, span), (exit) =>
        Effect.sync(() => {
          const now = clock.unsafeCurrentTimeNanos()
          span.end(now, end(span, exit, Number(now - begun) / 1e9))
        })))
  })

/** Sets attributes; those that are unknown are left out. */
export const setAttributes = (span: Tracer.Span, attributes: Readonly<Record<string, unknown>>): void => {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) span.attribute(key, value)
  }
}
