/** One attempt: the token, the request, its redirects, and the error for a failed status. */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { isDustAPIError, type RequestError } from "../../DustAPIError.ts"
import { isTokenExpired } from "./classify.ts"
import { decompressed } from "./compression.ts"
import type { Call, Context, Trip } from "./context.ts"
import * as errors from "./errors.ts"
import { attempting } from "./instrument.ts"
import { failureOf } from "./network.ts"
import { isRedirect, nextAddress } from "./redirect.ts"
import { contentOf, withoutContent, withoutSecrets } from "./scrub.ts"

type Answer = HttpClientResponse.HttpClientResponse
type Token = Redacted.Redacted<string>

const errorBodyLimit = 256 * 1024

/** Runs up to the headers of a successful response. An expired token is renewed once. */
export const attempt = (context: Context, trip: Trip): Effect.Effect<Answer, RequestError, Scope.Scope> => {
  const { call } = trip
  if (call.identity.credential === "none" || call.origin === "storage") return answered(context, trip, undefined)
  const { tokens } = call.caller
  const ready = tokens.ready()
  const waiting = <A>(token: Effect.Effect<A, unknown>) =>
    Effect.suspend(() => {
      trip.waitsForToken = true
      trip.entering("headers", call.settings.timeouts.headers)
      return Effect.mapError(token, (cause) => tokenError(trip, cause))
    })
  const withToken = (token: Token) =>
    Effect.catchAll(answered(context, trip, token), (error) =>
      isTokenExpired(error)
        ? Effect.flatMap(waiting(tokens.renew(token)), (renewed) =>
          renewed
            ? Effect.flatMap(waiting(tokens.current), (fresh) => answered(context, trip, fresh))
            : Effect.fail(error))
        : Effect.fail(error))
  return ready === undefined ? Effect.flatMap(waiting(tokens.current), withToken) : withToken(ready)
}

const tokenError = ({ attempts, call }: Trip, cause: unknown): RequestError => {
  // An unreachable token endpoint may recover; a refusal is final.
  if (isDustAPIError(cause) && cause.isRetryable) {
    return errors.network(call.identity, attempts, `the access token could not be renewed: ${cause.message}`, {
      type: cause.type ?? "token_unavailable",
      reachedServer: false,
      retryAfter: cause.retryAfter,
      details: { reason: cause._tag }
    })
  }
  // Says why, and what to do.
  if (isDustAPIError(cause) && cause.type === "token_unavailable" && Predicate.isRecord(cause.details)) {
    const { advice = "", reason } = cause.details
    return errors.tokenUnavailable(call.identity, attempts, String(reason), String(advice))
  }
  const tag = typeof cause === "object" && cause !== null && "_tag" in cause
    ? String(cause._tag)
    : cause instanceof Error
    ? cause.name
    : typeof cause
  return errors.tokenUnavailable(call.identity, attempts, isDustAPIError(cause) ? cause.type ?? tag : tag)
}

const answered = (
  context: Context,
  trip: Trip,
  token: Token | undefined
): Effect.Effect<Answer, RequestError, Scope.Scope> =>
  Effect.suspend(() => {
    trip.attempting()
    return Effect.zipRight(attempting(trip), hop(context, trip, trip.call.url, token, 0))
  })

/** One request and its response. A redirect is closed before the next request. */
const hop = (
  context: Context,
  trip: Trip,
  url: string,
  token: Token | undefined,
  redirects: number
): Effect.Effect<Answer, RequestError, Scope.Scope> =>
  Effect.flatMap(send(context, trip, url, token), (answer) => {
    const { status } = answer
    if (status >= 200 && status < 300) return Effect.succeed(answer)
    if (!isRedirect(status)) return Effect.flatMap(statusError(trip, answer, token), Effect.fail)
    if (trip.call.redirects === "return") return Effect.succeed(answer)
    const next = nextAddress(
      context,
      trip.call,
      { url, status, location: trip.headers["location"] },
      { attempts: trip.attempts, redirects }
    )
    return "refused" in next ? Effect.fail(next.refused) : hop(context, trip, next.url, token, redirects + 1)
  })

const send = (context: Context, trip: Trip, url: string, token: Token | undefined) =>
  Effect.suspend(() => {
    const { call } = trip
    trip.entering("headers", call.settings.timeouts.headers)
    const headers = token === undefined
      ? call.headers
      : { ...call.headers, authorization: `Bearer ${Redacted.value(token)}` }
    const request = HttpClientRequest.make(call.identity.http)(url, { headers, body: call.body })
    return Effect.matchEffect(context.execute(request), {
      onFailure: (error) =>
        // A client that itself fails on status codes still provides the response.
        error._tag === "ResponseError" && error.reason === "StatusCode"
          ? Effect.sync(() => {
            trip.answered(error.response)
            return error.response
          })
          : Effect.fail(transportError(context, trip, error)),
      onSuccess: (answer) => {
        trip.answered(answer)
        const date = call.origin === "storage" ? Number.NaN : Date.parse(trip.headers["date"] ?? "")
        if (!Number.isNaN(date)) context.serverClock.offset = date - trip.now()
        return Effect.succeed(answer)
      }
    })
  })

const transportError = (context: Context, { attempts, call }: Trip, error: HttpClientError.HttpClientError) =>
  error._tag === "RequestError" && error.reason !== "Transport"
    ? errors.badInput(call.identity, "request", `a request that can be sent (${error.reason})`)
    : errors.transport(
      call.identity,
      attempts,
      failureOf(error.cause),
      call.origin === "storage" ? new URL(call.url).origin : context.base.origin
    )

/** The error for a response without a 2xx status. */
const statusError = (trip: Trip, answer: Answer, token: Token | undefined): Effect.Effect<RequestError> => {
  const { call } = trip
  const { headers, status } = answer
  if (call.origin === "storage") return storageError(trip, answer)
  const secrets = [token, ...Object.values(call.settings.headers), ...call.secrets]
  return Effect.zipWith(readError(trip, answer), Clock.currentTimeMillis, (body, now) =>
    errors.fromResponse({
      identity: call.identity,
      hasUser: call.caller.hasUser,
      attempts: trip.attempts,
      status,
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, withoutSecrets(value, secrets)])
      ),
      body: withoutContent(withoutSecrets(body, secrets), sentContent(call)),
      now
    }))
}

const sentContent = ({ body }: Call): ReadonlyArray<string> =>
  body._tag === "Uint8Array" && body.contentType === "application/json"
    ? contentOf(new TextDecoder().decode(body.body))
    : []

/** The storage does not authenticate users of Dust: a refusal means missing permission, not a wrong credential. */
const storageError = ({ attempts, call }: Trip, { headers, status }: Answer): Effect.Effect<RequestError> =>
  Effect.map(Clock.currentTimeMillis, (now) =>
    errors.fromResponse({
      identity: call.identity,
      hasUser: false,
      attempts,
      status: status === 401 ? 403 : status,
      headers,
      body: "Dust's file storage refused the download",
      now
    }))

/** The beginning of a body. The status alone determines the error; a truncated body only makes it less detailed. */
const readError = (trip: Trip, answer: Answer): Effect.Effect<string> =>
  Effect.suspend(() => {
    const { body: limit } = trip.call.settings.timeouts
    const decoder = new TextDecoder()
    let text = ""
    // The time limit of this body only makes the error less detailed; it does not fail the call.
    trip.leaving()
    return Effect.flatMap(Stream.toPull(answer.stream), (pull) =>
      Effect.flatMap(
        decompressed<unknown>(pull, answer.headers["content-encoding"], (coding) => coding),
        (bytes) =>
          Effect.repeat(
            Effect.map(bytes, (pieces) => {
              for (const piece of pieces) text += decoder.decode(piece, { stream: true })
              return text.length
            }),
            { until: (length) => length >= errorBodyLimit }
          )
      )).pipe(
        Effect.scoped,
        Effect.timeout(limit),
        Effect.ignore,
        Effect.map(() => text)
      )
  })
