import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import * as Scope from "effect/Scope"
import type { RequestError } from "../../DustAPIError.ts"
import type { RetryPolicy } from "../../RetryPolicy.ts"

/** The limit of one call unless another one is chosen: what its policy may take, and one more attempt. */
export const totalOf = (policy: RetryPolicy, headers: Duration.Duration, body: Duration.Duration): Duration.Duration =>
  Duration.sum(policy.maxElapsed, Duration.sum(headers, body))

/** How long to wait before the attempt after an error, in milliseconds; none: there shall be no other attempt. */
export type NextDelay = (error: RequestError) => Effect.Effect<Option.Option<number>>

/** The pauses of one call: the policy's schedule, stretched by `Retry-After`, within the policy's bounds. */
export const delays = (policy: RetryPolicy): Effect.Effect<NextDelay> =>
  Effect.map(Clock.currentTimeMillis, (start) => {
    let state: unknown = policy.schedule.initial
    return (error) => {
      const asked = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
      if (asked > Duration.toMillis(policy.maxRetryAfter)) return Effect.succeedNone
      return Effect.flatMap(
        Clock.currentTimeMillis,
        (now) =>
          Effect.map(policy.schedule.step(now, error, state), ([next, , decision]) => {
            state = next
            if (ScheduleDecision.isDone(decision)) return Option.none()
            const delay = Math.max(ScheduleIntervals.start(decision.intervals) - now, asked, 0)
            return now + delay - start > Duration.toMillis(policy.maxElapsed) ? Option.none() : Option.some(delay)
          })
      )
    }
  })

/** Repeats what may be repeated, as often and as long as the policy says. */
export const retrying = <A, R>(policy: RetryPolicy, attempt: Effect.Effect<A, RequestError, R>, options: {
  readonly mayRepeat: (error: RequestError) => boolean
  readonly onRepeat?: ((error: RequestError) => Effect.Effect<void>) | undefined
}): Effect.Effect<A, RequestError, R> =>
  Effect.flatMap(delays(policy), (next) => {
    const loop: Effect.Effect<A, RequestError, R> = Effect.catchAll(attempt, (error) =>
      options.mayRepeat(error)
        ? Effect.flatMap(
          next(error),
          Option.match({
            onNone: () => Effect.fail(error),
            onSome: (delay) =>
              Effect.zipRight(options.onRepeat?.(error) ?? Effect.void, Effect.zipRight(Effect.sleep(delay), loop))
          })
        )
        : Effect.fail(error))
    return loop
  })

/** Closes what a failed attempt had opened at once, and hands what a successful one has opened to the outer scope. */
export const owned = <A, E>(attempt: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) =>
      restore(Scope.extend(attempt, scope)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
        Effect.tap(() => Effect.addFinalizer((exit) => Scope.close(scope, exit)))
      ))
  )
