/**
 * The one request path and the one stream path of the SDK: credential, address, headers, timeouts, retries, errors, spans.
 *
 * Applications rarely need it: each Dust resource has a service of its own. It is the way to endpoints that have none yet
 * (declare one with {@link operation}, or use the raw client in `http`), and {@link withOptions} adjusts single calls.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  DustBadRequestError,
  DustDecodeError,
  DustNetworkError,
  DustTimeoutError,
  DustUnauthorizedError,
  type RequestError,
  type TimeoutPhase
} from "./DustAPIError.ts"
import * as DustConfig from "./DustConfig.ts"
import * as Op from "./internal/api/operation.ts"
import { decodeJson } from "./internal/decode/json.ts"
import { encodeBody } from "./internal/input/encode.ts"
import * as Checks from "./internal/input/validate.ts"
import * as Body from "./internal/request/body.ts"
import * as errors from "./internal/request/errors.ts"
import { owned, retrying, totalOf } from "./internal/request/retry.ts"
import { fillRoute, queryString } from "./internal/request/url.ts"
import { Recent } from "./internal/util/recentSet.ts"
import { version } from "./internal/version.ts"
import type { RetryPolicy } from "./RetryPolicy.ts"
import * as Telemetry from "./Telemetry.ts"

/**
 * What one call may do differently from the layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  /**
   * Limits of this call; the ones not given stay as configured. A `total` that is given nowhere follows the retry policy and
   * the other limits of the call.
   */
  readonly timeouts?: DustConfig.TimeoutOptions | undefined
  /** Replaces the retry policy. */
  readonly retry?: RetryPolicy | undefined
  /** Added to the configured headers. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

/**
 * The options of the current call. Set it with {@link withOptions} or {@link withStreamOptions}.
 *
 * @category references
 * @since 0.1.0
 */
export class CurrentOptions extends Context.Reference<CurrentOptions>()("effect-dust/DustClient/CurrentOptions", {
  defaultValue: (): CallOptions => ({})
}) {}

/**
 * Adjusts timeouts, retries and headers of every Dust call inside an Effect.
 *
 * @example
 * ```ts
 * import { Agents } from "effect-dust/Agents"
 * import * as DustClient from "effect-dust/DustClient"
 * import * as RetryPolicy from "effect-dust/RetryPolicy"
 * import { Effect } from "effect"
 *
 * const quick = Agents.pipe(
 *   Effect.flatMap((agents) => agents.list()),
 *   DustClient.withOptions({ retry: RetryPolicy.none, timeouts: { total: "2 seconds" } })
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withOptions = (options: CallOptions) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(CurrentOptions, (outer) => Effect.provideService(self, CurrentOptions, merge(outer, options)))

/**
 * Adjusts timeouts, retries and headers of every Dust call inside a Stream.
 *
 * @example
 * ```ts
 * import { Chat } from "effect-dust/Chat"
 * import * as DustClient from "effect-dust/DustClient"
 * import * as RetryPolicy from "effect-dust/RetryPolicy"
 * import { Effect, Stream } from "effect"
 *
 * const text = Stream.unwrap(
 *   Effect.map(Chat, (chat) => chat.streamText({ agent: "dust", message: "Hello" }))
 * ).pipe(DustClient.withStreamOptions({ retry: RetryPolicy.patient, timeouts: { idle: "30 seconds" } }))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withStreamOptions =
  (options: CallOptions) => <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    Stream.unwrap(
      Effect.map(CurrentOptions, (outer) => Stream.provideService(self, CurrentOptions, merge(outer, options)))
    )

const merge = (outer: CallOptions, inner: CallOptions): CallOptions => ({
  timeouts: { ...outer.timeouts, ...defined(inner.timeouts ?? {}) },
  retry: inner.retry ?? outer.retry,
  headers: { ...outer.headers, ...inner.headers }
})

const defined = (timeouts: DustConfig.TimeoutOptions): DustConfig.TimeoutOptions =>
  Object.fromEntries(Object.entries(timeouts).filter(([, value]) => value !== undefined))

/**
 * One endpoint: its method, route, request and response schemas, and whether it may be repeated.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation<Route extends string, Body, A> = Op.Operation<Route, Body, A>

/**
 * What a call of an operation needs.
 *
 * @category models
 * @since 0.1.0
 */
export type Input<Route extends string, Body> = Op.Input<Route, Body>

/**
 * Declares an endpoint that answers JSON, to be run with `execute`. `{workspaceId}` in the route is filled in; the other
 * names in braces become required members of `path`, each encoded so that a value cannot leave its segment.
 *
 * @example
 * ```ts
 * import { DustClient, operation } from "effect-dust/DustClient"
 * import { Effect, Schema } from "effect"
 *
 * // Whatever Dust adds tomorrow.
 * const reports = operation({
 *   name: "MyApp.reports",
 *   http: "GET",
 *   route: "/api/v1/w/{workspaceId}/reports",
 *   response: Schema.Struct({ reports: Schema.Array(Schema.Struct({ sId: Schema.String })) })
 * })
 *
 * const program = Effect.flatMap(DustClient, (client) => client.execute(reports, {}))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const operation: typeof Op.make = Op.make

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
  readonly config: DustConfig.Service
  /**
   * The raw client, for anything else: it adds the credential, the headers and the base URL to relative URLs, replaces
   * `{workspaceId}` in them, and leaves absolute URLs of other hosts alone. Neither retries nor maps errors: after a 401 a
   * token that is an Effect is only forgotten, so that the next request has a fresh one. Options of {@link withOptions}
   * that cannot be used are a `RequestError`; of the others its headers apply.
   */
  readonly http: HttpClient.HttpClient.With<HttpClientError.HttpClientError | DustUnauthorizedError>
  /** Runs an operation: validated, authenticated, limited in time, retried as it allows, decoded. */
  readonly execute: <Route extends string, Body, A>(
    operation: Operation<Route, Body, A>,
    input: Input<Route, Body>
  ) => Effect.Effect<A, RequestError>
  /**
   * Opens an operation whose body is read piece by piece: everything that `execute` does up to the response headers. The
   * connection is closed with the scope. A redirect to another origin is an error, unless `redirects` is `"return"`: then
   * the redirecting response is returned.
   */
  readonly open: <Route extends string, Body, A>(
    operation: Operation<Route, Body, A>,
    input: Input<Route, Body>,
    options?: OpenOptions
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError, Scope.Scope>
  /**
   * The body of an opened response, with the silence limit. A connection that breaks is a `DustNetworkError`, a silent one
   * a `DustTimeoutError` of phase `idle`.
   */
  readonly body: (
    operation: Op.Identity,
    response: HttpClientResponse.HttpClientResponse
  ) => Stream.Stream<Uint8Array, DustNetworkError | DustTimeoutError>
  /** The same client before it knows the credential: for signed URLs on other hosts. Redirects are not followed. */
  readonly anonymous: HttpClient.HttpClient
  /** How far the server's clock is ahead of this one's, in milliseconds; none before its first answer with a date. */
  readonly serverOffset: Effect.Effect<Option.Option<number>>
  /** The options in force for the current call. */
  readonly settings: Effect.Effect<Settings>
}

/**
 * How to open an operation. `accept` is the header (default `application/json`), `redirects` says whether they are followed
 * (default) or returned.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenOptions {
  readonly accept?: string | undefined
  readonly redirects?: "follow" | "return" | undefined
}

/**
 * The options in force for one call: those of the layer, adjusted by {@link withOptions}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly timeouts: DustConfig.Timeouts
  readonly retry: RetryPolicy
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class DustClient extends Context.Tag("effect-dust/DustClient")<DustClient, Service>() {}

const userAgent = `effect-dust/${version}`

const redirectStatus: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const errorBodyLimit = 256 * 1024
const maxRedirects = 5
const rememberedTokens = 16
/** Anything shorter is no secret, and may well be part of a word. */
const shortestSecret = 6

interface Tokens {
  readonly current: Effect.Effect<Redacted.Redacted<string>, unknown>
  /** Renews the given token, unless somebody has already done so. `false`: it cannot be renewed. */
  readonly renew: (stale: Redacted.Redacted<string>) => Effect.Effect<boolean, unknown>
  /** Whoever asks next has a fresh token, unless this one is not the newest anyway. */
  readonly forget: (stale: string) => void
}

const makeTokens = (credential: DustConfig.Credential): Tokens => {
  const source = credential._tag === "ApiKey" ? credential.apiKey : credential.accessToken
  if (!Effect.isEffect(source)) {
    return {
      current: Effect.suspend(() => Effect.as(sendable(source), source)),
      renew: () => Effect.succeed(false),
      forget: () => undefined
    }
  }
  const lock = Effect.unsafeMakeSemaphore(1)
  let cached: Redacted.Redacted<string> | undefined
  let failed: { readonly cause: unknown } | undefined
  const obtain = source.pipe(
    // Whatever ends it, a defect or an interruption of its own included, it is a token that could not be obtained.
    Effect.catchAllCause((cause) => Effect.fail(Cause.squash(cause))),
    Effect.flatMap((token) =>
      Effect.map(sendable(token), (text) => {
        // A copy: the application may wipe its own as soon as it has a newer one.
        cached = Redacted.make(text)
        return cached
      })
    ),
    Effect.tapError((cause) =>
      Effect.sync(() => {
        failed = { cause }
      })
    )
  )
  const current = Effect.suspend(() => {
    if (cached !== undefined) return Effect.succeed(cached)
    const before = failed
    return lock.withPermits(1)(
      Effect.suspend(() =>
        cached !== undefined
          ? Effect.succeed(cached)
          // It has failed while this one was waiting for it: asked again, it would fail once for each that waits.
          : failed !== undefined && failed !== before
          ? Effect.fail(failed.cause)
          : obtain
      )
    )
  })
  return {
    current,
    renew: (stale) =>
      Effect.suspend(() => {
        if (cached === stale) cached = undefined
        return Effect.as(current, true)
      }),
    forget: (stale) => {
      if (cached !== undefined && Redacted.value(cached) === stale) cached = undefined
    }
  }
}

/** What a header can carry of a token; one that was wiped has nothing. */
const sendable = (token: unknown): Either.Either<string, { readonly _tag: "MalformedToken" }> => {
  const text = Option.getOrUndefined(Checks.revealed(token))
  return typeof text === "string" && /^[\x21-\x7e]+$/.test(text.trim())
    ? Either.right(text.trim())
    : Either.left({ _tag: "MalformedToken" })
}

interface Call {
  readonly identity: Op.Identity
  readonly settings: Settings
  readonly url: string
  readonly body: HttpBody.HttpBody
  readonly accept: string
  readonly extraHeaders: Readonly<Record<string, string>>
  readonly redirects: "follow" | "return"
  /** What an error must not say, besides the credential and the headers. */
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  attempts: number
  /** An attempt that failed may have been carried out all the same. */
  uncertain: boolean
  /** Why the last attempt that was repeated had failed. */
  failure: RequestError | undefined
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustConfig.DustConfig | HttpClient.HttpClient> = Effect.gen(
  function*() {
    const config = yield* DustConfig.DustConfig
    const original = yield* HttpClient.HttpClient
    const { baseUrl, workspaceId } = config
    const base = new URL(baseUrl)
    const hasUser = config.credential._tag === "AccessToken"
    const tokens = makeTokens(config.credential)
    /** Event streams that the server has moved, by route: not every one is. */
    const moved = new Set<string>()
    let serverOffset: Option.Option<number> = Option.none()

    // The span of the platform would carry the filled-in URL with its query, and every header.
    const transport = original.pipe(
      HttpClient.withTracerDisabledWhen(() => true),
      HttpClient.withTracerPropagation(false),
      HttpClient.transformResponse((effect) =>
        Effect.flatMap(
          Effect.serviceOption(FetchHttpClient.RequestInit),
          (init) =>
            Effect.provideService(effect, FetchHttpClient.RequestInit, {
              ...Option.getOrElse(init, () => ({})),
              redirect: "manual"
            })
        )
      )
    )
    const scoped = HttpClient.withScope(transport)

    // A total limit that nobody chose goes with the retry policy and the other limits of the call.
    const totalFollows = Duration.equals(
      config.timeouts.total,
      totalOf(config.retry, config.timeouts.headers, config.timeouts.body)
    )

    const adjusted = (options: CallOptions): Either.Either<Settings, Checks.Unusable> => {
      if (options.timeouts === undefined && options.retry === undefined && options.headers === undefined) {
        return Either.right(config)
      }
      const timeout = (name: keyof DustConfig.Timeouts) => {
        const value = options.timeouts?.[name]
        return value === undefined
          ? Either.right(config.timeouts[name])
          : Checks.duration(`timeouts.${name}`, value)
      }
      return Either.gen(function*() {
        const retry = options.retry ?? config.retry
        const headers = yield* timeout("headers")
        const body = yield* timeout("body")
        const total = yield* timeout("total")
        return {
          retry,
          headers: { ...config.headers, ...(yield* Checks.headers(options.headers ?? {})) },
          timeouts: {
            headers,
            body,
            idle: yield* timeout("idle"),
            total: totalFollows && options.timeouts?.total === undefined ? totalOf(retry, headers, body) : total
          }
        }
      })
    }

    // What cannot be used is told by the call itself, before its request.
    const settings: Effect.Effect<Settings> = Effect.map(
      CurrentOptions,
      (options) => Either.getOrElse(adjusted(options), () => config)
    )

    const tokenError = (call: Call, cause: unknown) => {
      const tag = typeof cause === "object" && cause !== null && "_tag" in cause
        ? String(cause._tag)
        : cause instanceof Error
        ? cause.name
        : typeof cause
      return new DustUnauthorizedError({
        ...errors.common(call.identity, call.attempts),
        message: `${call.identity.module}.${call.identity.method}: the access token could not be obtained (${tag})`,
        type: "token_unavailable",
        details: { reason: tag }
      }, { disableValidation: true })
    }

    const timeoutError = (call: Call, phase: TimeoutPhase, limit: Duration.Duration, what: string) => () => {
      const name = `${call.identity.module}.${call.identity.method}: `
      const reason = phase === "total" && call.failure !== undefined
        ? `; the last failure: ${call.failure.message.replace(name, "")}`
        : ""
      return new DustTimeoutError({
        ...errors.common(call.identity, call.attempts),
        message: `${name}${what} within ${Duration.format(limit)}${reason}`,
        type: "timeout",
        details: { phase, limit: Duration.format(limit) },
        phase,
        limit
      }, { disableValidation: true })
    }

    const networkError = (call: Call, code: string | undefined, message: string, reachedServer: boolean) =>
      new DustNetworkError({
        ...errors.common(call.identity, call.attempts),
        message: `${call.identity.module}.${call.identity.method}: ${message}`,
        type: code,
        details: { code },
        reachedServer
      }, { disableValidation: true })

    const transportError = (call: Call) => (cause: HttpClientError.HttpClientError): RequestError => {
      if (cause._tag === "RequestError" && cause.reason !== "Transport") {
        return errors.badInput(call.identity, "request", `something that can be sent (${cause.reason})`)
      }
      const code = errors.networkCode(cause.cause)
      return networkError(call, code, errors.networkAdvice(code, base.origin), !errors.neverSent(code))
    }

    const send = (call: Call, url: string, token: Redacted.Redacted<string> | undefined) => {
      const headers: Record<string, string> = { accept: call.accept, "user-agent": userAgent }
      for (const [name, value] of Object.entries(call.settings.headers)) {
        headers[name] = Redacted.value(value)
      }
      Object.assign(headers, call.extraHeaders)
      if (token !== undefined) headers["authorization"] = `Bearer ${Redacted.value(token)}`
      const request = HttpClientRequest.make(call.identity.http)(url, { headers, body: call.body })
      return scoped.execute(request).pipe(
        Effect.catchAll((error) =>
          // A client that fails on status codes by itself still has the answer.
          error._tag === "ResponseError" && error.reason === "StatusCode"
            ? Effect.succeed(error.response)
            : Effect.fail(transportError(call)(error))
        ),
        Effect.tap((response) => {
          const date = Date.parse(response.headers["date"] ?? "")
          return Number.isNaN(date) ? Effect.void : Effect.map(Clock.currentTimeMillis, (now) => {
            serverOffset = Option.some(date - now)
          })
        })
      )
    }

    /** Where a redirect leads, if the credential may go there: the same host, and never from https down to http. */
    const redirectTarget = (from: string, location: string | undefined): URL | undefined => {
      if (location === undefined || !URL.canParse(location, from)) return undefined
      const target = new URL(location, from)
      // Behind its TLS proxy the server has been seen to name itself with http.
      if (base.protocol === "https:" && target.protocol === "http:") target.protocol = "https:"
      return target.origin === base.origin ? target : undefined
    }

    const refusedRedirect = (call: Call, status: number, location: string | undefined, reason: string) => {
      const target = location !== undefined && URL.canParse(location, baseUrl)
        ? new URL(location, baseUrl).origin
        : "nowhere"
      return new DustBadRequestError({
        ...errors.common(call.identity, call.attempts),
        message:
          `${call.identity.module}.${call.identity.method}: ${status}: redirected to ${target}, which is not followed: ${reason}; check \`baseUrl\` (DUST_BASE_URL)`,
        status,
        type: "redirect_refused",
        details: { origin: target }
      }, { disableValidation: true })
    }

    const foreignAddress = (identity: Op.Identity, address: string) => {
      const target = URL.canParse(address, baseUrl) ? new URL(address, baseUrl).origin : "nowhere"
      return new DustBadRequestError({
        ...errors.common(identity, 0),
        message:
          `${identity.module}.${identity.method}: the server named an address on ${target}, where nothing is sent: the credential is for ${base.origin} only; check \`baseUrl\` (DUST_BASE_URL)`,
        type: "address_refused",
        details: { origin: target }
      }, { disableValidation: true })
    }

    const readErrorBody = (response: HttpClientResponse.HttpClientResponse, limit: Duration.Duration) =>
      Effect.suspend(() => {
        const decoder = new TextDecoder()
        let text = ""
        return response.stream.pipe(
          Stream.takeUntil((bytes) => {
            text += decoder.decode(bytes, { stream: true })
            return text.length >= errorBodyLimit
          }),
          Stream.runDrain,
          Effect.timeout(limit),
          // The status alone makes the error; a body that breaks off only makes it less detailed.
          Effect.ignore,
          Effect.map(() => text)
        )
      })

    const checked = (
      call: Call,
      url: string,
      response: HttpClientResponse.HttpClientResponse,
      token: Redacted.Redacted<string> | undefined,
      redirects: number
    ): Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError, Scope.Scope> => {
      const { status } = response
      if (status >= 200 && status < 300) return Effect.succeed(response)
      if (redirectStatus.has(status)) {
        if (call.redirects === "return") return Effect.succeed(response)
        const target = redirectTarget(url, response.headers["location"])
        // Any other status than these two says that the request was handled, and what follows is another one.
        const repeatable = call.identity.http === "GET" || status === 307 || status === 308
        if (target === undefined || !repeatable || redirects >= maxRedirects) {
          const reason = target === undefined
            ? `the credential is for ${base.origin} only`
            : repeatable
            ? `it was redirected ${maxRedirects} times before`
            : `after a ${status} a ${call.identity.http} would not be sent again as one`
          return Effect.fail(refusedRedirect(call, status, response.headers["location"], reason))
        }
        if (target.pathname === new URL(url).pathname.replace("/api/v1/", "/api/sse/v1/")) {
          moved.add(call.identity.route)
        }
        const next = target.href
        return Effect.flatMap(
          limited(call, send(call, next, token)),
          (response) => checked(call, next, response, token, redirects + 1)
        )
      }
      return Effect.flatMap(
        readErrorBody(response, call.settings.timeouts.body),
        (body) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Effect.fail(errors.fromResponse({
              identity: call.identity,
              hasUser,
              attempts: call.attempts,
              status,
              headers: response.headers,
              body: scrubbed(body, [token, ...Object.values(call.settings.headers), ...call.secrets]),
              now
            })))
      )
    }

    const currentToken = (call: Call) => Effect.mapError(tokens.current, (cause) => tokenError(call, cause))

    const limited = <A, R>(call: Call, self: Effect.Effect<A, RequestError, R>): Effect.Effect<A, RequestError, R> =>
      Effect.timeoutFail(self, {
        duration: call.settings.timeouts.headers,
        onTimeout: timeoutError(call, "headers", call.settings.timeouts.headers, "no answer")
      })

    const authorized = (
      call: Call,
      renewed: boolean
    ): Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError, Scope.Scope> => {
      const withToken = (token: Redacted.Redacted<string> | undefined) =>
        Effect.suspend(() => {
          call.attempts++
          return Effect.flatMap(
            limited(call, send(call, call.url, token)),
            (response) => checked(call, call.url, response, token, 0)
          )
        })
      if (call.identity.credential === "none") {
        return withToken(undefined)
      }
      return limited(call, currentToken(call)).pipe(
        Effect.flatMap((token) =>
          Effect.catchIf(
            withToken(token),
            (error) => !renewed && errors.isTokenExpired(error),
            (error) =>
              limited(call, Effect.mapError(tokens.renew(token), (cause) => tokenError(call, cause))).pipe(
                Effect.flatMap((fresh) => fresh ? authorized(call, true) : Effect.fail(error))
              )
          )
        )
      )
    }

    const repeated = <A, R>(
      call: Call,
      replay: Op.Replay,
      attempt: Effect.Effect<A, RequestError, R>
    ): Effect.Effect<A, RequestError, R> =>
      retrying(call.settings.retry, attempt, {
        mayRepeat: (error) => mayRepeat(error, replay),
        onRepeat: (error) => {
          if (!mayRepeat(error, "once")) call.uncertain = true
          call.failure = error
          return Effect.tagMetrics(Metric.increment(Telemetry.retries), {
            operation: operationName(call.identity),
            reason: error._tag
          })
        }
      })

    const instrument = <A, R>(
      call: Call,
      self: Effect.Effect<A, RequestError, R>
    ): Effect.Effect<A, RequestError, R> => {
      const { identity } = call
      return self.pipe(
        Effect.onExit((exit) =>
          Effect.zipRight(
            Effect.annotateCurrentSpan({
              [Telemetry.attributes.attempts]: call.attempts,
              ...(exit._tag === "Failure" && exit.cause._tag === "Fail"
                ? {
                  [Telemetry.attributes.errorType]: exit.cause.error._tag,
                  ...(exit.cause.error.status === undefined
                    ? {}
                    : { [Telemetry.attributes.status]: exit.cause.error.status }),
                  ...(exit.cause.error.requestId === undefined
                    ? {}
                    : { [Telemetry.attributes.requestId]: exit.cause.error.requestId })
                }
                : {})
            }),
            Effect.tagMetrics(Metric.increment(Telemetry.requests), {
              operation: operationName(identity),
              outcome: exit._tag === "Success"
                ? "success"
                : exit.cause._tag === "Fail"
                ? exit.cause.error._tag
                : "interrupted"
            })
          )
        ),
        Effect.withSpan(operationName(identity), {
          kind: "client",
          captureStackTrace: false,
          attributes: {
            [Telemetry.attributes.workspaceId]: workspaceId,
            [Telemetry.attributes.method]: identity.http,
            [Telemetry.attributes.route]: identity.route,
            [Telemetry.attributes.serverAddress]: base.hostname
          }
        })
      )
    }

    const prepare = <Route extends string, Body, A>(
      operation: Operation<Route, Body, A>,
      input: Input<Route, Body>,
      callOptions: CallOptions,
      options: OpenOptions
    ): Either.Either<Call, RequestError> => {
      if (
        operation.credential !== "any" && operation.credential !== "none" &&
        (operation.credential === "user") !== hasUser
      ) {
        return Either.left(errors.wrongCredential(operation))
      }
      return Either.gen(function*() {
        const unusable = ({ expected, field }: Checks.Unusable) => errors.badInput(operation, field, expected)
        const settings = yield* Either.mapLeft(adjusted(callOptions), unusable)
        yield* Either.mapLeft(Checks.headers(input.headers ?? {}), unusable)
        const path = yield* fillRoute(operation, workspaceId, input.path ?? {})
        const streamPath = moved.has(operation.route) && options.accept === "text/event-stream"
          ? path.replace("/api/v1/", "/api/sse/v1/")
          : path
        const target = input.url === undefined ? undefined : redirectTarget(baseUrl, input.url)
        if (input.url !== undefined && target === undefined) {
          return yield* Either.left(foreignAddress(operation, input.url))
        }
        let body: HttpBody.HttpBody = HttpBody.empty
        if (input.rawBody !== undefined) {
          body = input.rawBody
        } else if (operation.http !== "GET" && operation.http !== "DELETE") {
          // The server refuses a JSON content type with nothing behind it.
          const encoded = operation.body === undefined
            ? {}
            : yield* encodeBody(operation, operation.body)(input.body as Body)
          const json = yield* Either.try({
            try: () => JSON.stringify(encoded),
            catch: () => errors.badInput(operation, "body", "something that JSON can carry")
          })
          body = HttpBody.text(json, "application/json")
        }
        // The time that an operation is known to need raises a default. What the caller has chosen is a ceiling.
        const needed = (name: "headers" | "body" | "total", atLeast: Duration.DurationInput | undefined) =>
          callOptions.timeouts?.[name] === undefined && config.chosenLimits?.includes(name) !== true
            ? longer(settings.timeouts[name], atLeast)
            : settings.timeouts[name]
        const call: Call = {
          identity: operation,
          settings: operation.timeouts.headers === undefined && operation.timeouts.body === undefined ? settings : {
            ...settings,
            timeouts: {
              ...settings.timeouts,
              headers: needed("headers", operation.timeouts.headers),
              body: needed("body", operation.timeouts.body),
              total: needed("total", operation.timeouts.headers)
            }
          },
          url: target === undefined ? `${baseUrl}${streamPath}${queryString(input.query)}` : target.href,
          body,
          accept: options.accept ?? "application/json",
          extraHeaders: input.headers ?? {},
          redirects: options.redirects ?? "follow",
          secrets: input.secrets ?? [],
          attempts: 0,
          uncertain: false,
          failure: undefined
        }
        return call
      })
    }

    const readText = (call: Call, response: HttpClientResponse.HttpClientResponse) =>
      response.text.pipe(
        Effect.mapError((cause) => {
          const code = errors.networkCode(cause.cause)
          return networkError(call, code, "the answer broke off before its end", true)
        }),
        Effect.timeoutFail({
          duration: call.settings.timeouts.body,
          onTimeout: timeoutError(call, "body", call.settings.timeouts.body, "the answer did not end")
        })
      )

    const decodeError = (
      call: Call,
      response: HttpClientResponse.HttpClientResponse,
      message: string,
      issues: DustDecodeError["issues"]
    ) =>
      new DustDecodeError({
        ...errors.common(call.identity, call.attempts),
        message: `${call.identity.module}.${call.identity.method}: ${message}`,
        status: response.status,
        type: "unexpected_answer",
        details: { issues },
        issues
      }, { disableValidation: true })

    const notDust = (
      call: Call,
      response: HttpClientResponse.HttpClientResponse,
      instead: string,
      expected: string
    ) =>
      decodeError(
        call,
        response,
        `the answer is not ${instead} (${
          response.headers["content-type"]?.split(";")[0] ?? "no content type"
        }); check that \`baseUrl\` (DUST_BASE_URL) is the address of Dust`,
        [{ path: "", message: expected }]
      )

    const execute: Service["execute"] = (operation, input) =>
      Effect.flatMap(CurrentOptions, (callOptions) =>
        Either.match(prepare(operation, input, callOptions, {}), {
          onLeft: (error) => Effect.fail(error),
          onRight: (call) => {
            const { response: kind } = operation
            const attempt = Effect.scoped(
              Effect.flatMap(authorized(call, false), (response) =>
                Effect.flatMap(readText(call, response), (text) => {
                  if (kind._tag === "Text") {
                    return isPage(response)
                      ? Effect.fail(notDust(call, response, "Dust's but a web page", "no web page"))
                      : Effect.succeed(kind.decode(text))
                  }
                  const decoded = decodeJson(kind.schema, text)
                  return Either.isRight(decoded) ? Effect.succeed(decoded.right) : Effect.fail(
                    decoded.left.json
                      ? decodeError(
                        call,
                        response,
                        `the answer is not as expected${
                          decoded.left.issues[0] === undefined
                            ? ""
                            : `, at ${decoded.left.issues[0].path || "its root"}: ${decoded.left.issues[0].message}`
                        }`,
                        decoded.left.issues
                      )
                      : notDust(call, response, "JSON", "JSON")
                  )
                }))
            )
            return instrument(
              call,
              repeated(call, operation.replay, attempt).pipe(
                Effect.catchAll((error) =>
                  call.uncertain && kind._tag === "Text" && kind.done?.(error) === true
                    ? Effect.succeed(kind.decode(""))
                    : Effect.fail(error)
                ),
                Effect.timeoutFail({
                  duration: call.settings.timeouts.total,
                  onTimeout: timeoutError(call, "total", call.settings.timeouts.total, "not finished")
                })
              )
            )
          }
        }))

    const open: Service["open"] = (operation, input, options = {}) =>
      Effect.flatMap(CurrentOptions, (callOptions) =>
        Either.match(prepare(operation, input, callOptions, options), {
          onLeft: (error) => Effect.fail(error),
          onRight: (call) => instrument(call, repeated(call, operation.replay, owned(authorized(call, false))))
        }))

    const body: Service["body"] = (operation, response) =>
      Stream.fromPull(Effect.flatMap(settings, ({ timeouts }) => Body.pull(operation, response, timeouts.idle)))

    // What the raw client has sent as its credential: the token may have been renewed by the time a redirect comes.
    const issued = new Recent(rememberedTokens)

    // Followed by `HttpClient.followRedirects`, a request keeps what was added for Dust when it leaves for another origin.
    const leaving = (request: HttpClientRequest.HttpClientRequest) => {
      const given = request.headers["authorization"]
      if (
        given === undefined || !issued.has(given) || !URL.canParse(request.url) ||
        new URL(request.url).origin === base.origin
      ) {
        return Effect.succeed(request)
      }
      return Effect.map(settings, ({ headers }) =>
        HttpClientRequest.make(request.method)(request.url, {
          urlParams: request.urlParams,
          hash: Option.getOrUndefined(request.hash),
          body: request.body,
          headers: Headers.remove(request.headers, ["authorization", ...Object.keys(headers)])
        }))
    }

    /** Which 401 it is only the body would tell, and that is the caller's: any of them makes the next request ask anew. */
    const refusing = (request: HttpClientRequest.HttpClientRequest, status: number) =>
      Effect.sync(() => {
        const given = request.headers["authorization"]
        if (status === 401 && given !== undefined && issued.has(given)) tokens.forget(given.slice("Bearer ".length))
      })

    const guarded = HttpClient.makeWith(
      (request: Effect.Effect<HttpClientRequest.HttpClientRequest, HttpClientError.HttpClientError>) =>
        Effect.flatMap(Effect.flatMap(request, leaving), (request) =>
          Effect.tapBoth(transport.execute(request), {
            onSuccess: (response) => refusing(request, response.status),
            onFailure: (error) =>
              error._tag === "ResponseError" ? refusing(request, error.response.status) : Effect.void
          })),
      Effect.succeed
    )

    const http: Service["http"] = HttpClient.mapRequestEffect(guarded, (request) => {
      const filled = request.url.replaceAll("{workspaceId}", workspaceId)
      const relative = !URL.canParse(filled)
      const url = relative ? `${baseUrl}${filled.startsWith("/") ? "" : "/"}${filled}` : filled
      if (URL.canParse(url) && new URL(url).origin !== base.origin) return Effect.succeed(request)
      const named: Op.Identity = {
        module: "DustClient",
        method: "http",
        http: "GET",
        route: "",
        credential: "any",
        errors: {}
      }
      const call: Call = {
        identity: named,
        settings: config,
        url,
        body: HttpBody.empty,
        accept: "",
        extraHeaders: {},
        redirects: "follow",
        secrets: [],
        attempts: 0,
        uncertain: false,
        failure: undefined
      }
      const usable = Effect.flatMap(
        CurrentOptions,
        (options) =>
          Either.mapLeft(adjusted(options), ({ expected, field }) =>
            new HttpClientError.RequestError({
              request,
              reason: "Encode",
              description: `${field}: expected ${expected}`
            }))
      )
      return usable.pipe(
        Effect.zip(currentToken(call)),
        Effect.map(([{ headers }, token]) => {
          const authorization = `Bearer ${Redacted.value(token)}`
          issued.add(authorization)
          return HttpClientRequest.setHeaders(HttpClientRequest.setUrl(request, url), {
            ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Redacted.value(value)])),
            ...request.headers,
            authorization
          })
        })
      )
    })

    return DustClient.of({
      config,
      http,
      execute,
      open,
      body,
      anonymous: transport,
      serverOffset: Effect.sync(() => serverOffset),
      settings
    })
  }
)

/** Proxies are known to answer with the request they got. */
const scrubbed = (body: string, secrets: ReadonlyArray<Redacted.Redacted<string> | undefined>): string =>
  secrets.reduce((text: string, secret) => {
    const value = secret === undefined ? "" : Redacted.value(secret)
    return value.length < shortestSecret
      ? text
      : text.replace(inJson(value), "<redacted>").replaceAll(encodeURIComponent(value), "<redacted>")
  }, body)

/** A text as it is, and however JSON may write it: any of its characters can be escaped. */
const inJson = (text: string): RegExp =>
  new RegExp(
    text.replace(/[^]/g, (char) => {
      const code = char.charCodeAt(0).toString(16).padStart(4, "0")
      const escape = code.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)
      const short = char === "\t" ? "\\\\t|" : /["\\/]/.test(char) ? `\\\\\\u${code}|` : ""
      return `(?:${short}\\u${code}|\\\\u${escape})`
    }),
    "g"
  )

/** No operation that is read as a whole answers with a web page: one comes from a proxy, or from another server. */
const isPage = (response: HttpClientResponse.HttpClientResponse): boolean =>
  /^(?:text\/html|application\/xhtml)/i.test(response.headers["content-type"] ?? "")

const operationName = (identity: Op.Identity): string => `${identity.module}.${identity.method}`

const longer = (configured: Duration.Duration, needed: Duration.DurationInput | undefined): Duration.Duration =>
  needed === undefined ? configured : Duration.max(configured, Duration.decode(needed))

/**
 * The only place that decides whether a failed attempt may be repeated. What may already have been carried out is
 * repeated only for operations that can be.
 */
const mayRepeat = (error: RequestError, replay: Op.Replay): boolean => {
  switch (error._tag) {
    case "DustRateLimitError":
      return true
    case "DustConflictError":
      return error.isRetryable
    case "DustNetworkError":
      return replay === "safe" || !error.reachedServer
    case "DustTimeoutError":
      return replay === "safe"
    case "DustServerError":
      return replay === "safe"
        ? error.status !== 501 && error.status !== 505
        : error.status === 503 && error.type === "service_unavailable"
    default:
      return false
  }
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DustClient, never, DustConfig.DustConfig | HttpClient.HttpClient> = Layer.effect(
  DustClient,
  make
)
