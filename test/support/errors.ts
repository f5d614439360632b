/** Everything that a caller sees of an error, to compare it as a whole. */
import type { DustAPIError } from "effect-dust/DustAPIError"

export const whole = (error: DustAPIError): Record<string, unknown> => ({
  ...error,
  _tag: error._tag,
  message: error.message
})

/** Its members that are set. */
export const known = (error: Record<string, unknown> = {}): Record<string, unknown> =>
  Object.fromEntries(Object.entries(error).filter(([, value]) => value !== undefined))
