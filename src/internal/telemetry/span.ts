/** Events of spans. */
import * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"

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

/** Sets attributes; those that are unknown are left out. */
export const setAttributes = (span: Tracer.Span, attributes: Readonly<Record<string, unknown>>): void => {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) span.attribute(key, value)
  }
}
