/** A whole call: attempts until one succeeds, within the limits of the call, and its answer decoded. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError, TimeoutPhase } from "../../DustAPIError.ts"
import type { Operation, ResponseKind } from "../api/operation.ts"
import { decodeJson } from "../decode/json.ts"
import { attempt } from "./attempt.ts"
import { unreadable } from "./body.ts"
import { type Bytes, decompressed } from "./compression.ts"
import { type Call, type Context, Trip } from "./context.ts"
import { deadlinesOf, type Reached, type Watch, watching } from "./deadlines.ts"
import * as errors from "./errors.ts"
import { type Governed, governedBy } from "./governed.ts"
import { instrumented, nameOf, repeating } from "./instrument.ts"
import { failureOf } from "./network.ts"
import { mayRepeat, owned, retrying } from "./retry.ts"

type Answer = HttpClientResponse.HttpClientResponse

/** Runs a call and reads its answer. */
export const execute = <Route extends string, Body, A>(
  context: Context,
  call: Call,
  { response: kind }: Operation<Route, Body, A>
): Effect.Effect<A, RequestError> =>
  travelling(context, call, call.settings.timeouts.total, (trip, repeated) => {
    const once = Effect.scoped(
      Effect.flatMap(attempt(context, trip), (answer) =>
        Effect.flatMap(readText(context, trip, answer), (text) => decoded(trip, answer, kind, text)))
    )
    return Effect.catchAll(repeated(once), (error) =>
      // Done already, by an earlier attempt whose answer was lost.
      trip.uncertain && kind._tag === "Text" && kind.done?.(error) === true
        ? Effect.succeed(kind.decode(""))
        : Effect.fail(error))
  })

/** Runs a call up to the headers of its answer, whose connection closes with the scope. */
export const open = (context: Context, call: Call): Effect.Effect<Answer, RequestError, Scope.Scope> =>
  travelling(context, call, undefined, (trip, repeated) => repeated(owned(attempt(context, trip))))

type Repeated = <A, R>(once: Effect.Effect<A, RequestError, R>) => Effect.Effect<A, RequestError, R>

/** Attempts and the pauses between them, each a watched wait. */
const travelling = <A, R>(
  context: Context,
  call: Call,
  total: Duration.Duration | undefined,
  run: (trip: Trip, repeated: Repeated) => Effect.Effect<A, RequestError, R>
): Effect.Effect<A, RequestError, R> =>
  Effect.clockWith((clock) => {
    const trip = new Trip(call)
    const deadlines = deadlinesOf(clock)
    const governed = governedBy(context, trip)
    let end = total === undefined ? Number.POSITIVE_INFINITY : deadlines.now() + Duration.toMillis(total)
    const watchedUntil = (end: number): Repeated => (work) =>
      watching({
        deadlines,
        end,
        refs: context.refs,
        onTimeout: (phase: Reached<TimeoutPhase> | undefined): RequestError => timeoutError(trip, total, phase)
      }, (watch: Watch<TimeoutPhase>) => {
        trip.watchedBy(watch)
        return work
      })
    const watched: Repeated = governed === undefined
      ? watchedUntil(end)
      : (work) => Effect.suspend(() => watchedUntil(end)(work))
    // Waiting for a place counts against a total limit that was chosen, and moves any other.
    const admitted = (admit: Effect.Effect<void, RequestError>) =>
      call.hasOwnTotal ? watched(admit) : Effect.suspend(() => {
        const from = deadlines.now()
        return Effect.map(watchedUntil(Number.POSITIVE_INFINITY)(admit), () => {
          end += deadlines.now() - from
        })
      })
    const { retry } = call.settings
    return instrumented(
      context,
      trip,
      run(trip, (once) =>
        inTurn(governed, admitted, watched(once), (once) =>
          retrying(retry, once, {
            mayRepeat: (error) => mayRepeat(error, call.replay, retry),
            onRepeat: (error, delay) => {
              trip.repeating(error, !mayRepeat(error, "once", retry))
              return repeating(trip, error, delay)
            },
            sleep: (millis) => watched(Effect.sleep(millis))
          })))
    )
  })

/** Every attempt waits for a place; the first one before the clock of the retries starts. */
const inTurn = <A, R>(
  governed: Governed | undefined,
  admitted: (admit: Effect.Effect<void, RequestError>) => Effect.Effect<void, RequestError>,
  once: Effect.Effect<A, RequestError, R>,
  repeated: Repeated
): Effect.Effect<A, RequestError, R> => {
  if (governed === undefined) return repeated(once)
  return Effect.suspend(() => {
    const admit = admitted(governed.admit)
    const attempt = governed.attempt(once)
    let isFirst = true
    const next = Effect.suspend(() => {
      if (!isFirst) return Effect.zipRight(admit, attempt)
      isFirst = false
      return attempt
    })
    return Effect.zipRight(admit, repeated(next))
  })
}

const waitedFor: Record<TimeoutPhase, string> = {
  headers: "no answer",
  body: "the answer did not end",
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
  return errors.timeout(
    identity,
    trip.attempts,
    name,
    limit,
    `${waitedFor[name]} within ${Duration.format(limit)}${
      failure === undefined ? "" : `; the last failure: ${failure}`
    }`
  )
}

/** The text of an answer, up to the limit of its size. */
const readText = (context: Context, trip: Trip, answer: Answer): Effect.Effect<string, RequestError, Scope.Scope> =>
  Effect.suspend(() => {
    const { call } = trip
    trip.entering("body", call.settings.timeouts.body)
    const { headers } = trip
    const limit = context.config.maxResponseSize ?? Number.POSITIVE_INFINITY
    const coding = headers["content-encoding"]
    const length = Number(headers["content-length"] ?? Number.NaN)
    const over = () =>
      errors.tooLarge(
        call.identity,
        trip.attempts,
        "response_too_large",
        `the answer has more than ${limit} bytes; raise \`maxResponseSize\`, or ask for less`,
        { limit }
      )
    if (length > limit) return Effect.fail(over())
    const broken = (cause: unknown) =>
      errors.network(call.identity, trip.attempts, "the answer broke off before its end", {
        type: failureOf(cause).code,
        reachedServer: true
      })
    // Of a known length and as it was written: the client's own way to read it is the shortest.
    if (coding === undefined && length <= limit) return Effect.mapError(answer.text, (error) => broken(error.cause))
    return Effect.flatMap(Stream.toPull(answer.stream), (pull) =>
      Effect.flatMap(
        decompressed<RequestError>(
          Effect.mapError(
            pull,
            Option.flatMap((error): Option.Option<RequestError> =>
              error.reason === "EmptyBody" ? Option.none() : Option.some(broken(error.cause))
            )
          ),
          coding,
          (coding) => unreadable(call.identity, trip.attempts, coding)
        ),
        (bytes) => collected(bytes, limit, over)
      ))
  })

const collected = (
  pull: Bytes<RequestError>,
  limit: number,
  over: () => RequestError
): Effect.Effect<string, RequestError> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let size = 0
    let text = ""
    const more: Effect.Effect<string, RequestError> = Effect.matchEffect(pull, {
      onFailure: Option.match({
        onNone: () => Effect.succeed(text + decoder.decode()),
        onSome: (error) => Effect.fail(error)
      }),
      onSuccess: (pieces) => {
        for (const piece of pieces) {
          size += piece.length
          if (size > limit) return Effect.fail(over())
          text += decoder.decode(piece, { stream: true })
        }
        return more
      }
    })
    return more
  })

const decoded = <A>(
  trip: Trip,
  answer: Answer,
  kind: ResponseKind<A>,
  text: string
): Either.Either<A, RequestError> => {
  // Some proxies and services put a byte order mark in front, which not every client removes.
  const plain = text.startsWith("\ufeff") ? text.slice(1) : text
  if (kind._tag === "Text") {
    return isPage(trip)
      ? Either.left(notDust(trip, answer, "Dust's but a web page", "no web page"))
      : Either.right(kind.decode(plain))
  }
  return Either.mapLeft(decodedJson(kind.schema, plain), ({ issues, json }) => {
    if (!json) return notDust(trip, answer, "JSON", "JSON")
    const [first] = issues
    const at = first === undefined ? "" : `, at ${first.path || "its root"}: ${first.message}`
    return errors.decode(trip.call.identity, trip.attempts, `the answer is not as expected${at}`, issues, {
      status: answer.status
    })
  })
}

/** An answer may be nested so deeply that looking at it exhausts the stack. */
const decodedJson: typeof decodeJson = (schema, text) => {
  try {
    return decodeJson(schema, text)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return Either.left({ json: true, issues: [{ path: "", message: "JSON that is not nested so deeply" }] })
  }
}

/** No operation that is read as a whole answers with a web page: one comes from a proxy, or from another server. */
const isPage = (trip: Trip): boolean => /^(?:text\/html|application\/xhtml)/i.test(trip.headers["content-type"] ?? "")

const notDust = (trip: Trip, answer: Answer, instead: string, expected: string): RequestError =>
  errors.decode(
    trip.call.identity,
    trip.attempts,
    `the answer is not ${instead} (${
      trip.headers["content-type"]?.split(";")[0] ?? "no content type"
    }); check that \`baseUrl\` (DUST_BASE_URL) is the address of Dust`,
    [{ path: "", message: expected }],
    { status: answer.status }
  )
