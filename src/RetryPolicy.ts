/**
 * When and how long a failed request is tried again.
 *
 * What may be repeated at all is decided by the operation, not by the policy: reads and idempotent writes are repeated after
 * 408, 429, 5xx, timeouts and network failures; anything that creates something only when the request provably did not
 * reach its handler. The policy decides how often, how far apart, and for how long.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { RequestError } from "./DustAPIError.ts"

/**
 * How often, how far apart, and for how long. {@link make} makes one.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  /**
   * Gives the delay before each further attempt, and ends when there shall be none. Its input is the error, so that a
   * schedule can look at it.
   */
  readonly schedule: Schedule.Schedule<unknown, RequestError>
  /**
   * A `Retry-After` is honoured up to this; over it the call fails at once, with the value in `retryAfter`.
   */
  readonly maxRetryAfter: Duration.Duration
  /**
   * No further attempt starts when it would start later than this after the first one. A stream whose connection is lost
   * tries for so long to have another one, however many attempts that takes.
   */
  readonly maxElapsed: Duration.Duration
  /**
   * The pauses after rate limits that come without a `Retry-After`, with up to 20 % of jitter; the last one repeats. Limits
   * of Dust are open again after a minute. Without them the schedule alone decides.
   */
  readonly rateLimitPauses?: ReadonlyArray<Duration.Duration> | undefined
  /**
   * Whether what creates something that can be there twice without harm (an empty conversation, the announcement of a file)
   * is repeated after a failure that leaves open whether it was created. Default false. Messages are never repeated so.
   */
  readonly repeatCreations?: boolean | undefined
}

/**
 * The parts of a policy that {@link make} makes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many attempts may follow the first. Default 4. */
  readonly retries?: number | undefined
  /** The delay before the second attempt; it doubles each time, with jitter (80 to 120 %). Default 500 milliseconds. */
  readonly base?: Duration.DurationInput | undefined
  /** The longest delay between two attempts, before its jitter (a `Retry-After` may be longer). Default 30 seconds. */
  readonly maxDelay?: Duration.DurationInput | undefined
  /** The longest `Retry-After` that is waited for. Default 60 seconds. */
  readonly maxRetryAfter?: Duration.DurationInput | undefined
  /** No further attempt starts later than this after the first. Default 2 minutes. */
  readonly maxElapsed?: Duration.DurationInput | undefined
  /**
   * The pauses after rate limits that come without a `Retry-After`. Default 15, 30 and 30
   * seconds, since Dust counts by the minute; with a `schedule` of its own none.
   */
  readonly rateLimitPauses?: ReadonlyArray<Duration.DurationInput> | undefined
  /** Repeats the creation of a conversation or a file also when the first may have been made. Default false. */
  readonly repeatCreations?: boolean | undefined
  /** Replaces `retries`, `base` and `maxDelay`. */
  readonly schedule?: Schedule.Schedule<unknown, RequestError> | undefined
}

const minutePauses: ReadonlyArray<Duration.DurationInput> = ["15 seconds", "30 seconds", "30 seconds"]

/**
 * A policy from its parts: jittered exponential delays unless `schedule` is given.
 *
 * @example
 * ```ts
 * import * as RetryPolicy from "effect-dust/RetryPolicy"
 *
 * const eager = RetryPolicy.make({ retries: 6, base: "100 millis", maxElapsed: "20 seconds" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): RetryPolicy => {
  const maxDelay = Duration.decode(options.maxDelay ?? "30 seconds")
  return {
    schedule: options.schedule ?? Schedule.exponential(options.base ?? "500 millis").pipe(
      Schedule.modifyDelay((_, delay) => Duration.min(delay, maxDelay)),
      Schedule.jittered,
      Schedule.intersect(Schedule.recurs(options.retries ?? 4))
    ),
    maxRetryAfter: Duration.decode(options.maxRetryAfter ?? "60 seconds"),
    maxElapsed: Duration.decode(options.maxElapsed ?? "2 minutes"),
    rateLimitPauses: (options.rateLimitPauses ?? (options.schedule === undefined ? minutePauses : [])).map((pause) =>
      Duration.decode(pause)
    ),
    repeatCreations: options.repeatCreations ?? false
  }
}

/**
 * The default: up to 4 further attempts after about 0.5, 1, 2 and 4 seconds, at most 2 minutes in all.
 *
 * @category presets
 * @since 0.1.0
 */
export const standard: RetryPolicy = make()

/**
 * For jobs that run at night: up to 12 further attempts, up to 15 minutes in all, waiting up to 5 minutes when asked to.
 *
 * @category presets
 * @since 0.1.0
 */
export const patient: RetryPolicy = make({
  retries: 12,
  base: "1 second",
  maxDelay: "2 minutes",
  maxRetryAfter: "5 minutes",
  maxElapsed: "15 minutes"
})

/**
 * One attempt, no more; a stream that is cut off still goes on, as long as a new connection can be made at once.
 *
 * @category presets
 * @since 0.1.0
 */
export const none: RetryPolicy = make({ retries: 0, maxElapsed: 0 })
