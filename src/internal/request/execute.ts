/** A whole call: attempts until one succeeds, within the limits of the call, and the decoded response. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as EffectContext from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { RequestError, TimeoutPhase } from "../../DustAPIError.ts"
import type { Operation } from "../api/operation.ts"
import { decoded, readText } from "./answer.ts"
import { attempt } from "./attempt.ts"
import { type Call, type Context, Trip } from "./context.ts"
import { type Deadlines, deadlinesOf, type Reached, watching } from "./deadlines.ts"
import * as errors from "./errors.ts"
import { type Governed, governedBy } from "./governed.ts"
import { type AnyFiber, ended, nameOf, repeatedAfter, spanOf } from "./instrument.ts"
import { mayRepeat, retrying } from "./retry.ts"
import { limitOf } from "./settings.ts"
import { requestInitOf, untracedRefs } from "./transport.ts"

type Answer = HttpClientResponse.HttpClientResponse

/** Runs a call and decodes its response. */
export const execute = <Route extends string, Body, A>(
  context: Context,
  call: Call,
  fiber: AnyFiber,
  { response: kind }: Operation<Route, Body, A>
): Effect.Effect<A, RequestError> =>
  travelling<A>(context, call, fiber, call.settings.timeouts.total, (trip, repeated) => {
    const answered = repeated(() =>
      Effect.flatMap(
        attempt(context, trip),
        (answer) => Effect.flatMap(readText(context, trip, answer), (text) => decoded(trip, answer, kind, text))
      )
    )
    if (kind._tag !== "Text" || kind.done === undefined) return answered
    const { decode, done } = kind
    // An earlier attempt whose response was lost has done it already.
    return Effect.catchAll(
      answered,
      (error) => trip.uncertain && done(error) ? Effect.succeed(decode("")) : Effect.fail(error)
    )
  })

/** Runs a call up to the headers of its response, whose connection closes with the scope. */
export const open = (
  context: Context,
  call: Call,
  fiber: AnyFiber,
  outer: Scope.Scope
): Effect.Effect<Answer, RequestError> =>
  travelling<Answer>(
    context,
    call,
    fiber,
    undefined,
    (trip, repeated) => repeated((scope) => Effect.tap(attempt(context, trip), () => closingWith(outer, scope)))
  )

/** An open connection keeps nothing but its scope: the finalizer is made where nothing else is in reach. */
const closingWith = (outer: Scope.Scope, scope: Scope.CloseableScope): Effect.Effect<void> =>
  Scope.addFinalizerExit(outer, (exit) => Scope.close(scope, exit))

/** Runs attempts, each in its own scope, which closes at once if the attempt fails. */
type Repeated<A> = (
  once: (scope: Scope.CloseableScope) => Effect.Effect<A, RequestError, Scope.Scope>
) => Effect.Effect<A, RequestError>

/** A trip with the span, the clock and the limits of the calling fiber. */
const travelling = <A>(
  context: Context,
  call: Call,
  fiber: AnyFiber,
  total: Duration.Duration | undefined,
  run: (trip: Trip, repeated: Repeated<A>) => Effect.Effect<A, RequestError>
): Effect.Effect<A, RequestError> => {
  const clock = EffectContext.get(fiber.currentDefaultServices, Clock.Clock)
  const deadlines = deadlinesOf(clock)
  const trip = new Trip(call, () => deadlines.now())
  return Effect.flatMap(spanOf(context, call), (span) =>
    Effect.onExit(
      run(trip, repeating(context, fiber, { trip, deadlines, span, total })),
      (exit) => Effect.sync(() => ended(fiber, { clock, span }, trip, exit))
    ))
}

/** The attempts of a call and the pauses between them, each a watched wait. */
const repeating = <A>(
  context: Context,
  fiber: AnyFiber,
  { deadlines, span, total, trip }: {
    readonly trip: Trip
    readonly deadlines: Deadlines
    readonly span: Tracer.Span
    readonly total: Duration.Duration | undefined
  }
): Repeated<A> => {
  const { call } = trip
  const { retry } = call.settings
  const around = fiber.currentContext
  const surroundings = EffectContext.mergeAll(
    around,
    requestInitOf(around),
    EffectContext.make(Tracer.ParentSpan, span)
  )
  let own = total === undefined ? Number.POSITIVE_INFINITY : deadlines.now() + Duration.toMillis(total)
  const outer = limitOf(call.tally)
  const end = () => outer === undefined ? own : Math.min(own, outer.end)
  const watchedUntil = <B>(
    end: number,
    work: (scope: Scope.CloseableScope) => Effect.Effect<B, RequestError, Scope.Scope>
  ): Effect.Effect<B, RequestError> =>
    Effect.flatMap(Scope.make(), (scope) =>
      watching<B, RequestError, Scope.Scope, TimeoutPhase>({
        deadlines,
        end,
        context: EffectContext.add(surroundings, Scope.Scope, scope),
        refs: untracedRefs,
        scope,
        onTimeout: (phase) =>
          Effect.provideService(
            Effect.failSync(() =>
              phase === undefined && outer !== undefined && outer.end <= own
                ? outer.reached()
                : timeoutError(trip, total, phase)
            ),
            Tracer.ParentSpan,
            span
          )
      }, (watch) => {
        trip.watchedBy(watch)
        return work(scope)
      }))
  const governed = governedBy(context, trip)
  let waited = 0
  // Waiting for admission counts against an explicit total limit, and extends a default one. Retries have their own limit.
  const admitted = (admit: Effect.Effect<void, RequestError>) =>
    Effect.suspend(() => {
      const from = deadlines.now()
      const until = call.hasOwnTotal ? end() : outer?.end ?? Number.POSITIVE_INFINITY
      return Effect.map(watchedUntil(until, () => admit), () => {
        waited += deadlines.now() - from
        if (!call.hasOwnTotal) own += deadlines.now() - from
      })
    })
  const repeated = (once: Effect.Effect<A, RequestError>) =>
    retrying(retry, once, {
      now: () => deadlines.now() - waited,
      mayRepeat: (error) => mayRepeat(error, call, retry),
      onRepeat: (error, delay) => {
        trip.repeating(error, !mayRepeat(error, { replay: "once" }, retry))
        return Effect.provideService(repeatedAfter(trip, error, delay), Tracer.ParentSpan, span)
      },
      sleep: (millis) => watchedUntil(end(), () => Effect.sleep(millis))
    })
  return (once) => {
    const attempt = Effect.suspend(() => watchedUntil(end(), once))
    return repeated(governed === undefined ? attempt : inTurn(governed, admitted, attempt))
  }
}

/** Waits for admission before an attempt, and reports its failure. */
const inTurn = <A, R>(
  governed: Governed,
  admitted: (admit: Effect.Effect<void, RequestError>) => Effect.Effect<void, RequestError>,
  attempt: Effect.Effect<A, RequestError, R>
): Effect.Effect<A, RequestError, R> => {
  const reported = Effect.tapError(attempt, governed.failed)
  return Effect.suspend(() =>
    governed.isFree() ? reported : Effect.acquireUseRelease(
      Scope.make(),
      (scope) => Effect.zipRight(admitted(Scope.extend(governed.admit, scope)), reported),
      (scope, exit) => Scope.close(scope, exit)
    )
  )
}

const waitedFor: Record<TimeoutPhase, string> = {
  headers: "no response",
  body: "the response did not end",
  idle: "received nothing",
  total: "not finished"
}

const timeoutError = (
  trip: Trip,
  total: Duration.Duration | undefined,
  reached: Reached<TimeoutPhase> | undefined
): RequestError => {
  const { identity } = trip.call
  const { limit, name } = reached ?? { name: "total" as const, limit: total ?? Duration.infinity }
  const failure = name === "total" ? trip.failure?.message.replace(`${nameOf(identity)}: `, "") : undefined
  const waited = trip.waitsForToken ? "the access token was not obtained" : waitedFor[name]
  return errors.timeout(
    identity,
    trip.attempts,
    name,
    limit,
    `${waited} within ${Duration.format(limit)}${failure === undefined ? "" : `; the last failure: ${failure}`}`,
    {},
    trip.waitsForToken ? "token_timeout" : "timeout"
  )
}
