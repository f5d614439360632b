/** What the tests of syncs and loads have in common. */
import { DateTime, Duration, Effect, Predicate, Stream } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import type { Settings } from "effect-dust/DustClient"
import * as RetryPolicy from "effect-dust/RetryPolicy"

/** Everything of an error that a caller sees, for `deepStrictEqual`. */
export const plain = (error: unknown): unknown => JSON.parse(JSON.stringify(error))

/** What is sent for an option of a job that is refused before any request. */
export const refusedBy = (module: string, method: string, request: object) =>
(
  field: string,
  expected: string,
  got?: string
) => ({
  _tag: "DustBadRequestError",
  module,
  method,
  message: `${module}.${method}: ${field} must be ${expected}${got === undefined ? "" : `, got ${got}`}`,
  type: "invalid_input",
  details: { field, expected },
  request,
  attempts: 0
})

const second = Duration.seconds(1)

export const settings: Settings = {
  retry: RetryPolicy.make({ retries: 2, base: "1 second", maxRetryAfter: "60 seconds", maxElapsed: "2 minutes" }),
  timeouts: { headers: second, body: second, idle: second, total: Duration.minutes(2) },
  headers: {}
}

/** The events of a job, with errors and times in a form that can be compared. */
export const eventsOf = <A extends { readonly _tag: string }, E extends RequestError>(
  job: Stream.Stream<A, E>
): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.suspend(() => {
    const seen: Array<unknown> = []
    const shown = (event: A): unknown => ({
      ...event,
      ...(Predicate.hasProperty(event, "error") ? { error: plain(event.error) } : {}),
      ...(Predicate.hasProperty(event, "until") && DateTime.isDateTime(event.until)
        ? { until: event.until.epochMillis }
        : {})
    })
    return job.pipe(
      Stream.runForEach((event) => Effect.sync(() => seen.push(shown(event)))),
      Effect.catchAll((error) => Effect.sync(() => seen.push(plain(error)))),
      Effect.as(seen)
    )
  })
