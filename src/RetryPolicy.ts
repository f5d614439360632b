/**
 * Retry policies: how often, how far apart and for how long failed requests are retried.
 *
 * The operation, not the policy, decides whether a request may be retried. Reads and idempotent writes are retried after 408, 429,
 * 5xx, timeouts and network failures; requests that create something only if they provably did not reach their handler.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import type { RequestError } from "./DustAPIError.ts"

/**
 * A retry policy. Create one with {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  /**
   * The delays before further attempts. Ends when no attempt may follow. Its input is the error.
   */
  readonly schedule: Schedule.Schedule<unknown, RequestError>
  /**
   * The longest `Retry-After` to wait for. Beyond it, the call fails at once, with the value in `retryAfter`.
   */
  readonly maxRetryAfter: Duration.Duration
  /**
   * The time after the first attempt in which further attempts may start. A stream that loses its connection tries to reconnect
   * for this long, regardless of the number of attempts.
   */
  readonly maxElapsed: Duration.Duration
  /**
   * The pauses after a rate limit without `Retry-After`, with up to 20 % jitter; the last one repeats. Dust's limits reset after
   * a minute. Without pauses, the schedule alone decides.
   */
  readonly rateLimitPauses?: ReadonlyArray<Duration.Duration> | undefined
  /**
   * Whether creations that are harmless if doubled (an empty conversation, the announcement of a file) are retried after an
   * ambiguous failure. Defaults to `false`. Does not apply to messages.
   */
  readonly repeatCreations?: boolean | undefined
}

/**
 * Options of {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The maximum number of attempts after the first. Defaults to 4. */
  readonly retries?: number | undefined
  /** The delay before the second attempt; it doubles each time, with jitter (80 to 120 %). Defaults to 500 milliseconds. */
  readonly base?: Duration.DurationInput | undefined
  /** The longest delay between two attempts, before its jitter (a `Retry-After` may be longer). Defaults to 30 seconds. */
  readonly maxDelay?: Duration.DurationInput | undefined
  /** The longest `Retry-After` to wait for. Defaults to 60 seconds. */
  readonly maxRetryAfter?: Duration.DurationInput | undefined
  /** The time after the first attempt in which further attempts may start. Defaults to 2 minutes. */
  readonly maxElapsed?: Duration.DurationInput | undefined
  /**
   * The pauses after rate limits without a `Retry-After`. Defaults to 15, 30 and 30 seconds, because Dust counts per
   * minute, or to none with a `schedule`.
   */
  readonly rateLimitPauses?: ReadonlyArray<Duration.DurationInput> | undefined
  /**
   * Whether to repeat the creation of a conversation or a file even if the first may have succeeded. Defaults to false.
   */
  readonly repeatCreations?: boolean | undefined
  /** Replaces `retries`, `base` and `maxDelay`. */
  readonly schedule?: Schedule.Schedule<unknown, RequestError> | undefined
}

const minutePauses: ReadonlyArray<Duration.DurationInput> = ["15 seconds", "30 seconds", "30 seconds"]

/**
 * Makes a policy. Delays are exponential with jitter unless `schedule` is given.
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
 * The default: up to 4 further attempts after about 0.5, 1, 2 and 4 seconds, within 2 minutes.
 *
 * @category presets
 * @since 0.1.0
 */
export const standard: RetryPolicy = make()

/**
 * For batch jobs: up to 12 further attempts within 15 minutes, with a `Retry-After` of up to 5 minutes.
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
 * Makes one attempt only. A stream that loses its connection still continues if it can reconnect at once.
 *
 * @category presets
 * @since 0.1.0
 */
export const none: RetryPolicy = make({ retries: 0, maxElapsed: 0 })
