/** The retry schedule of a call. Until Effect 4: schedules are stepped by hand here. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import type { RequestError } from "../../DustAPIError.ts"
import type { RetryPolicy } from "../../RetryPolicy.ts"
import type { Final, Replay } from "../api/operation.ts"
import { monotonicOf } from "../util/monotonic.ts"
import { recurs } from "./network.ts"

/** The default total limit of a call: the limit of its retry policy plus one more attempt. */
export const totalOf = (policy: RetryPolicy, headers: Duration.Duration, body: Duration.Duration): Duration.Duration =>
  Duration.sum(policy.maxElapsed, Duration.sum(headers, body))

/** The delay before the next attempt after an error, in milliseconds; `None`: do not retry. */
export type NextDelay = (error: RequestError) => Effect.Effect<Option.Option<number>>

/**
 * The delays of one call: the policy's schedule, extended by `Retry-After`, or by a pause after a rate limit without
 * one, within the policy's bounds.
 */
export const delays = (policy: RetryPolicy): Effect.Effect<NextDelay> =>
  Effect.clockWith((clock) => Effect.sync(() => delaysFrom(policy, () => monotonicOf(clock))))

const delaysFrom = (policy: RetryPolicy, clock: () => number, start: number = clock()): NextDelay => {
  let state: unknown = policy.schedule.initial
  let limited = 0
  const pauseOf = (error: RequestError): Effect.Effect<number> => {
    if (error.retryAfter !== undefined) return Effect.succeed(Duration.toMillis(error.retryAfter))
    if (error._tag !== "DustRateLimitError") return Effect.succeed(0)
    const pauses = policy.rateLimitPauses ?? []
    const pause = pauses[Math.min(limited++, pauses.length - 1)]
    return pause === undefined
      ? Effect.succeed(0)
      : Effect.map(Random.nextRange(1, 1.2), (jitter) => Duration.toMillis(pause) * jitter)
  }
  return (error) => {
    if (error.retryAfter !== undefined && Duration.greaterThan(error.retryAfter, policy.maxRetryAfter)) {
      return Effect.succeedNone
    }
    return Effect.gen(function*() {
      const now = clock()
      const [next, , decision] = yield* policy.schedule.step(now, error, state)
      state = next
      if (ScheduleDecision.isDone(decision)) return Option.none()
      const delay = Math.max(ScheduleIntervals.start(decision.intervals) - now, yield* pauseOf(error), 0)
      return now + delay - start > Duration.toMillis(policy.maxElapsed) ? Option.none() : Option.some(delay)
    })
  }
}

/** The statuses of a server that has not processed the request: 425 by RFC 8470. */
export const isUnhandled = (
  { status, type }: { readonly status?: number | undefined; readonly type?: string | undefined }
) => status === 425 || (status === 503 && type === "service_unavailable")

/**
 * The only place that decides whether a failed attempt may be retried. `final` errors would recur. A request that may
 * already have been processed is retried only if its operation allows it.
 */
export const mayRepeat = (
  error: RequestError,
  { final, replay }: { readonly replay: Replay; readonly final?: Final | undefined },
  policy: RetryPolicy
): boolean => {
  if (final?.(error) === true) return false
  const safe = replay === "safe" || (replay === "creation" && policy.repeatCreations === true)
  switch (error._tag) {
    case "DustRateLimitError":
      return true
    case "DustConflictError":
      return error.isRetryable
    case "DustNetworkError":
      return error.isRetryable && !recurs(error.type) && (safe || !error.reachedServer)
    case "DustTimeoutError":
      return safe && error.phase !== "total"
    case "DustServerError":
      return safe
        ? error.status !== 501 && error.status !== 505
        : isUnhandled(error)
    default:
      return false
  }
}

/** Retries a failed attempt if it may be retried and as long as the policy allows. */
export const retrying = <A, R>(policy: RetryPolicy, attempt: Effect.Effect<A, RequestError, R>, options: {
  /** Milliseconds, without the time that attempts wait for admission. */
  readonly now: () => number
  readonly mayRepeat: (error: RequestError) => boolean
  readonly onRepeat: (error: RequestError, delay: number) => Effect.Effect<void>
  readonly sleep: (millis: number) => Effect.Effect<void, RequestError>
}): Effect.Effect<A, RequestError, R> =>
  Effect.suspend(() => {
    const start = options.now()
    let next: NextDelay | undefined
    const again = (error: RequestError): Effect.Effect<A, RequestError, R> => {
      if (!options.mayRepeat(error)) return Effect.fail(error)
      next ??= delaysFrom(policy, options.now, start)
      return Effect.flatMap(next(error), (delay) => {
        if (Option.isNone(delay)) return Effect.fail(error)
        return Effect.zipRight(
          Effect.zipRight(options.onRepeat(error, delay.value), options.sleep(delay.value)),
          Effect.catchAll(attempt, again)
        )
      })
    }
    return Effect.catchAll(attempt, again)
  })
