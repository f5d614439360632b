/** Errors as values, for comparison with all that a caller sees of them. */
import { Duration } from "effect"
import type { DustAPIError } from "effect-dust/DustAPIError"

/** Every member of an error that has a value; durations in milliseconds. */
export const complete = (error: DustAPIError): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries({ ...error, message: error.message })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, Duration.isDuration(value) ? Duration.toMillis(value) : value])
  )
