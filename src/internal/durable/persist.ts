/** Retries of a workflow: store failures and transient failures are retried. */
import type { PlatformError } from "@effect/platform/Error"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"

/** Transient failures. `DustUnconfirmedError` is one: with a key, a question is looked up before it is resent. */
const passing: ReadonlySet<DustAPIError["_tag"]> = new Set([
  "DustNetworkError",
  "DustTimeoutError",
  "DustServerError",
  "DustRateLimitError",
  "DustStreamError",
  "DustUnconfirmedError"
])

/** Retries with exponential pauses of 1 second to 1 minute. */
const pauses = (patience: Duration.DurationInput) =>
  Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("1 minute")), Schedule.upTo(patience))

/** Retries for up to `patience`. A store that fails for longer is a defect, since the workflow needs it to continue. */
export const persistently =
  (patience: Duration.DurationInput) =>
  <A, R>(self: Effect.Effect<A, DustAPIError | PlatformError, R>): Effect.Effect<A, DustAPIError, R> =>
    self.pipe(
      Effect.retry({
        schedule: pauses(patience),
        while: (error) => !isDustAPIError(error) || passing.has(error._tag)
      }),
      Effect.catchAll((error) => isDustAPIError(error) ? Effect.fail(error) : Effect.die(error))
    )
