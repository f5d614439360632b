/**
 * The client behind all services: credential, URL, headers, timeouts, retries, errors and spans of every request and stream.
 *
 * Use {@link withOptions} and {@link withCredential} to change single calls. To call an endpoint that has no method yet,
 * declare it with {@link operation}, or use the authenticated `HttpClient` in `http`.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DustDecodeError, DustNetworkError, DustTimeoutError, DustUnauthorizedError } from "./DustAPIError.ts"
import * as DustConfig from "./DustConfig.ts"
import { Governor } from "./Governor.ts"
import * as Op from "./internal/api/operation.ts"
import type { Execute, Open } from "./internal/request/context.ts"
import { CurrentCredential as CurrentCredentialReference } from "./internal/request/credential.ts"
import { make as makeService } from "./internal/request/make.ts"
import { CurrentOptions, merge } from "./internal/request/settings.ts"
import type { RetryPolicy } from "./RetryPolicy.ts"

export { CurrentOptions }

/**
 * Options that override those of the layer for a single call.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  /**
   * Limits of this call. Other limits stay as configured. Without a configured `total`, the retry policy and the other limits
   * determine it.
   */
  readonly timeouts?: DustConfig.TimeoutOptions | undefined
  /** Replaces the retry policy. */
  readonly retry?: RetryPolicy | undefined
  /** Added to the configured headers. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

/**
 * The credential of single calls: an API key, or a user access token. `workspaceId` defaults to that of the layer.
 *
 * An `accessToken` that is an Effect runs once for all calls with the same Effect, and again when Dust reports that the token
 * has expired. Create the Effect once per user, not once per call.
 *
 * @category models
 * @since 0.2.0
 */
export type CallCredential =
  | {
    readonly apiKey: Redacted.Redacted<string>
    readonly accessToken?: undefined
    readonly workspaceId?: string | undefined
  }
  | {
    readonly apiKey?: undefined
    readonly accessToken: Redacted.Redacted<string> | DustConfig.TokenEffect
    readonly workspaceId?: string | undefined
  }

/**
 * Changes timeouts, retries and headers of every Dust call of an Effect.
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
export const withOptions: {
  (options: CallOptions): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: CallOptions): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, options: CallOptions): Effect.Effect<A, E, R> =>
    Effect.flatMap(CurrentOptions, (outer) => Effect.provideService(self, CurrentOptions, merge(outer, options)))
)

/**
 * Changes timeouts, retries and headers of every Dust call of a Stream.
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
export const withStreamOptions: {
  (options: CallOptions): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  <A, E, R>(self: Stream.Stream<A, E, R>, options: CallOptions): Stream.Stream<A, E, R>
} = dual(2, <A, E, R>(self: Stream.Stream<A, E, R>, options: CallOptions): Stream.Stream<A, E, R> =>
  Stream.unwrap(
    Effect.map(CurrentOptions, (outer) => Stream.provideService(self, CurrentOptions, merge(outer, options)))
  ))

/**
 * Sets the credential of every Dust call of an Effect, so that one layer serves many users with their own tokens. Work that
 * outlives the call (a cancellation, a resumed stream) keeps the credential. Headers, limits and retries are those of the
 * layer.
 *
 * Calls fail with `DustBadRequestError` before any request if the credential is malformed, or if there are two.
 *
 * @example
 * ```ts
 * import { Chat } from "effect-dust/Chat"
 * import * as DustClient from "effect-dust/DustClient"
 * import { Effect, type Redacted } from "effect"
 *
 * const answer = (userToken: Redacted.Redacted<string>, question: string) =>
 *   Effect.flatMap(Chat, (chat) => chat.send({ agent: "dust", message: question })).pipe(
 *     DustClient.withCredential({ accessToken: userToken })
 *   )
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const withCredential: {
  (credential: CallCredential): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, credential: CallCredential): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, credential: CallCredential): Effect.Effect<A, E, R> =>
    Effect.provideService(self, CurrentCredentialReference, credential)
)

/**
 * Sets the credential of every Dust call inside a Stream, as {@link withCredential} does inside an Effect.
 *
 * @category combinators
 * @since 0.2.0
 */
export const withStreamCredential: {
  (credential: CallCredential): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  <A, E, R>(self: Stream.Stream<A, E, R>, credential: CallCredential): Stream.Stream<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Stream.Stream<A, E, R>, credential: CallCredential): Stream.Stream<A, E, R> =>
    Stream.provideService(self, CurrentCredentialReference, credential)
)

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

// So that a declaration that is made of `execute` or `open` can name them.
export type { Execute, Open } from "./internal/request/context.ts"

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
  readonly execute: Execute
  /**
   * Opens an operation whose body is read piece by piece: everything that `execute` does up to the response headers. The
   * connection is closed with the scope. A redirect to another origin is an error, unless `redirects` is `"return"`: then
   * the redirecting response is returned.
   */
  readonly open: Open
  /**
   * The body of an opened response, with the silence limit. A connection that breaks is a `DustNetworkError`, a silent one
   * a `DustTimeoutError` of phase `idle`.
   */
  readonly body: (
    operation: Op.Identity,
    response: HttpClientResponse.HttpClientResponse
  ) => Stream.Stream<Uint8Array, DustNetworkError | DustTimeoutError | DustDecodeError>
  /** The same client before it knows the credential: for signed URLs on other hosts. Redirects are not followed. */
  readonly anonymous: HttpClient.HttpClient
  /**
   * The time of day at the server, in epoch milliseconds, by its last answer with a date; none before one. Steps of this
   * machine's clock do not change it.
   */
  readonly serverTime: Effect.Effect<Option.Option<number>>
  /** The options in force for the current call. */
  readonly settings: Effect.Effect<Settings>
  /**
   * The caller of the current call: the credential of {@link withCredential}, or that of the layer. What a service decides
   * or remembers by credential has to ask here.
   */
  readonly caller: Effect.Effect<Caller>
  /**
   * Bounds an Effect of several requests by the `total` limit of the call: it fails with `DustTimeoutError` of phase
   * `total`, also in an uninterruptible region. Its `attempts` are those of all requests inside. `limit` replaces the
   * configured one; `needs` raises one that is not configured. `onlyRequests` is cheaper, for an Effect in which nothing but
   * requests takes time: each of them ends by then.
   */
  readonly withTotal: (
    operation: Pick<Op.Identity, "module" | "method"> & Partial<Pick<Op.Identity, "http" | "route">>,
    bounds?: {
      readonly limit?: Duration.DurationInput | undefined
      readonly needs?: Duration.DurationInput | undefined
      readonly onlyRequests?: boolean | undefined
      /** What the error says and holds, besides the limit. */
      readonly message?: ((limit: Duration.Duration) => string) | undefined
      readonly details?: Readonly<Record<string, unknown>> | undefined
    }
  ) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DustTimeoutError, R>
}

/**
 * The caller of an operation. Callers are `Equal` if their credential and workspace are: a key for caches that no other caller may
 * read.
 *
 * @category models
 * @since 0.2.0
 */
export interface Caller extends Equal.Equal {
  readonly workspaceId: string
  /** Whether there is a user behind the credential: it is an access token, not an API key. */
  readonly hasUser: boolean
}

/**
 * How to open an operation. `accept` is the header (default `application/json`), `redirects` whether they are followed
 * (default) or returned. With the `origin` `storage` the request goes to the `url` of the input, a signed address outside
 * Dust, and carries nothing that belongs to Dust.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenOptions {
  readonly accept?: string | undefined
  readonly redirects?: "follow" | "return" | undefined
  readonly origin?: "dust" | "storage" | undefined
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

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustConfig.DustConfig | HttpClient.HttpClient | Scope.Scope> = Effect
  .flatMap(
    Effect.all([DustConfig.DustConfig, HttpClient.HttpClient]),
    ([config, client]) =>
      Effect.flatMap(
        Effect.serviceOption(Governor),
        (governor) => makeService(config, client, Option.getOrUndefined(governor))
      )
  )

/**
 * The client of one workspace. Tokens are renewed in its scope. Calls are governed by the `Governor` of the context, if
 * there is one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DustClient, never, DustConfig.DustConfig | HttpClient.HttpClient> = Layer.scoped(
  DustClient,
  make
)
