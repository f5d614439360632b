/** The limits of a workspace: how often, how much. */

/**
 * The limits of a workspace. The defaults are the server's; `Infinity` switches one off.
 *
 * @category models
 * @since 0.2.0
 */
export interface Limits {
  /** Messages per minute that one key or user may post. Default 100. */
  readonly messagesPerMinute: number
  /** Messages per hour that one key or user may post. Default 3000. */
  readonly messagesPerHour: number
  /** Documents per minute that the workspace may write. Default 120. */
  readonly upsertsPerMinute: number
  /** Files per minute that the workspace may announce. Default 40. */
  readonly uploadsPerMinute: number
  /** The longest document, in UTF-16 code units. Default 2 MiB. */
  readonly documentSize: number
  /** The largest body of a request, in bytes; a larger one is refused with 413. Default 256 MiB. */
  readonly requestSize: number
}

const MiB = 1024 * 1024

/** What the server allows. Source: the handlers that count, named there. */
export const serverLimits: Limits = {
  messagesPerMinute: 100,
  messagesPerHour: 3000,
  upsertsPerMinute: 120,
  uploadsPerMinute: 40,
  documentSize: 2 * MiB,
  requestSize: 256 * MiB
}

/** Sizes always hold. A limit per minute or hour does only where it is asked for: a test that shares a clock would hang. */
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
