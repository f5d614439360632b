/** What a workflow does about failures: those of the store are tried again, and so is everything that passes by itself. */
import type { PlatformError } from "@effect/platform/Error"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"

/** Failures of the way to Dust. `DustUnconfirmedError` is one, since a question with a key is looked for before it is sent again. */
const passing: ReadonlySet<DustAPIError["_tag"]> = new Set([
  "DustNetworkError",
  "DustTimeoutError",
  "DustServerError",
  "DustRateLimitError",
  "DustStreamError",
  "DustUnconfirmedError"
])

/** At once for the small interruptions, and once a minute through an outage. */
const pauses = (patience: Duration.DurationInput) =>
  Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("1 minute")), Schedule.upTo(patience))

/** Tries again for up to `patience`. A store that fails as long is a defect: the workflow cannot go on without it. */
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
