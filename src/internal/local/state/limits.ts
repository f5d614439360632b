/** Rate and size limits of a workspace. */

/**
 * Rate and size limits of a workspace. The defaults are the server's; `Infinity` switches a limit off.
 *
 * @category models
 * @since 0.2.0
 */
export interface Limits {
  /** Messages per minute by one key or user. Defaults to 100. */
  readonly messagesPerMinute: number
  /** Messages per hour by one key or user. Defaults to 3000. */
  readonly messagesPerHour: number
  /** Document upserts per minute in the workspace. Defaults to 120. */
  readonly upsertsPerMinute: number
  /** File creations per minute in the workspace. Defaults to 40. */
  readonly uploadsPerMinute: number
  /** Maximum document length, in UTF-16 code units. Defaults to 2 MiB. */
  readonly documentSize: number
  /** Maximum request body, in bytes; a larger one is refused with 413. Defaults to 256 MiB. */
  readonly requestSize: number
}

const MiB = 1024 * 1024

/** The server's limits. Source: the handlers that enforce them, named there. */
export const serverLimits: Limits = {
  messagesPerMinute: 100,
  messagesPerHour: 3000,
  upsertsPerMinute: 120,
  uploadsPerMinute: 40,
  documentSize: 2 * MiB,
  requestSize: 256 * MiB
}

/** Size limits always apply. Rate limits apply only when requested: a test that shares a clock would hang. */
const withoutRates: Limits = {
  ...serverLimits,
  messagesPerMinute: Infinity,
  messagesPerHour: Infinity,
  upsertsPerMinute: Infinity,
  uploadsPerMinute: Infinity
}

export const limitsFrom = (options: boolean | Partial<Limits> | undefined): Limits =>
  options === undefined || options === false
    ? withoutRates
    : options === true
    ? serverLimits
    : { ...serverLimits, ...options }
