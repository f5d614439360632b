/**
 * The client behind all services: credential, URL, headers, timeouts, retries, errors and spans of every request and stream.
 *
 * Use {@link withOptions} and {@link withCredential} to change single calls. To call an endpoint that has no method yet,
 * declare it with {@link operation}, or use the authenticated `HttpClient` in `http`.
 *
 * @packageDocumentation
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
 * It applies to every Dust layer that the effect uses, whatever its workspace and host. For a call to another layer inside, set
 * the credential of that layer around the call.
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
 * An endpoint: its method, route, request and response schemas, and whether requests may be repeated.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation<Route extends string, Body, A> = Op.Operation<Route, Body, A>

/**
 * The arguments of a call of an operation.
 *
 * @category models
 * @since 0.1.0
 */
export type Input<Route extends string, Body> = Op.Input<Route, Body>

/**
 * Declares an endpoint that returns JSON; call it with `execute`. `{workspaceId}` in the route is filled in. Other
 * names in braces become required members of `path`; their values are encoded, so that they cannot leave their segment.
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
 * The methods of {@link DustClient}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** The configuration of the layer. */
  readonly config: DustConfig.Service
  /**
   * The raw client, for anything else. It adds the credential, the headers and the base URL to relative URLs, and
   * replaces `{workspaceId}` in them; absolute URLs of other hosts are unchanged. It neither retries nor maps errors.
   * After a 401, a token from an Effect is discarded, so that the next request obtains a new one. Headers of {@link
   * withOptions} apply; invalid options fail with a `RequestError`.
   */
  readonly http: HttpClient.HttpClient.With<HttpClientError.HttpClientError | DustUnauthorizedError>
  /**
   * Runs an operation: validates and encodes its input, sends it with the credential, limits and retries, and decodes
   * the response.
   */
  readonly execute: Execute
  /**
   * Opens an operation whose body is streamed: like `execute`, up to the response headers. The connection closes with
   * the scope. A redirect to another origin is an error, unless `redirects` is `"return"`, which returns the
   * redirecting response.
   */
  readonly open: Open
  /**
   * Streams the body of an opened response, with the limit on silence. Fails with `DustNetworkError` if the connection
   * breaks, and with `DustTimeoutError` (`idle`) if it is silent.
   */
  readonly body: (
    operation: Op.Identity,
    response: HttpClientResponse.HttpClientResponse
  ) => Stream.Stream<Uint8Array, DustNetworkError | DustTimeoutError | DustDecodeError>
  /** The client without the credential, for signed URLs on other hosts. Does not follow redirects. */
  readonly anonymous: HttpClient.HttpClient
  /**
   * The server's time in epoch milliseconds, according to its last response with a date; `None` before the first one.
   * Unaffected by changes of the local clock.
   */
  readonly serverTime: Effect.Effect<Option.Option<number>>
  /** The options in force for the current call. */
  readonly settings: Effect.Effect<Settings>
  /**
   * The caller of the current call: the credential of {@link withCredential}, or that of the layer. Services that
   * decide or cache by credential must use it.
   */
  readonly caller: Effect.Effect<Caller>
  /**
   * Bounds an Effect of several requests by the `total` limit of the call. Fails with `DustTimeoutError` (`total`),
   * even in an uninterruptible region; its `attempts` count all requests. `limit` replaces the configured limit, and
   * `needs` raises a default one. `onlyRequests` is cheaper, for Effects in which only requests take time, because each
   * of them ends by the limit.
   */
  readonly withTotal: (
    operation: Pick<Op.Identity, "module" | "method"> & Partial<Pick<Op.Identity, "http" | "route">>,
    bounds?: {
      readonly limit?: Duration.DurationInput | undefined
      readonly needs?: Duration.DurationInput | undefined
      readonly onlyRequests?: boolean | undefined
      /** The message and details of the error, besides the limit. */
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
  /** Whether the credential identifies a user: an access token does, an API key does not. */
  readonly hasUser: boolean
}

/**
 * Options of `open`. `accept` is the header (`application/json` by default); `redirects` are followed by default, or
 * returned. With the `origin` `storage`, the request goes to the `url` of the input, a signed URL outside Dust, without
 * the credential and the configured headers.
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
 * The tag of the service: `yield* DustClient` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class DustClient extends Context.Tag("effect-dust/DustClient")<DustClient, Service>() {}

/**
 * Makes the service.
 *
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
 * Makes the client of a workspace. Tokens are renewed in its scope. Calls are governed by the `Governor` of the
 * context, if any.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DustClient, never, DustConfig.DustConfig | HttpClient.HttpClient> = Layer.scoped(
  DustClient,
  make
)
