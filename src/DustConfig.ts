/**
 * Connection settings: workspace, region or base URL, credentials, timeouts and retries.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { RequestError } from "./DustAPIError.ts"
import type { WorkspaceId } from "./Ids.ts"
import * as Checks from "./internal/input/validate.ts"
import { totalOf } from "./internal/request/retry.ts"
import * as RetryPolicy from "./RetryPolicy.ts"

/**
 * The regions of Dust. Each workspace is in one of them.
 *
 * @category models
 * @since 0.1.0
 */
export type Region = "us" | "eu"

/**
 * The base URL of each region.
 *
 * @category constants
 * @since 0.1.0
 */
export const regions: Readonly<Record<Region, string>> = {
  us: "https://dust.tt",
  eu: "https://eu.dust.tt"
}

/**
 * An Effect that obtains an access token. It runs for the first request, and again, once for all callers, when Dust reports
 * that the token has expired.
 *
 * It runs in the scope and with the fiber references of the layer: interrupting a call does not interrupt it, and it cannot
 * depend on the caller. If it has no token after 5 minutes, it is interrupted, and the next request runs it again. Use `DustClient.withCredential` for a credential per call.
 *
 * @category models
 * @since 0.1.0
 */
export type TokenEffect = Effect.Effect<Redacted.Redacted<string>, unknown, TokenExchange>

/**
 * The tokens that Dust returns for a refresh token.
 *
 * @category models
 * @since 0.2.0
 */
export interface ExchangedTokens {
  readonly accessToken: Redacted.Redacted<string>
  /** The next refresh token, which replaces the earlier one. */
  readonly refreshToken: Redacted.Redacted<string> | undefined
}

/**
 * The token endpoint of Dust (`POST /api/v1/auth/authenticate`). The client provides it to each {@link TokenEffect}.
 *
 * @category tags
 * @since 0.2.0
 */
export class TokenExchange extends Context.Tag("effect-dust/DustConfig/TokenExchange")<TokenExchange, {
  /** Exchanges a refresh token. Never retried, because a refresh token can be used only once. */
  readonly refresh: (refreshToken: Redacted.Redacted<string>) => Effect.Effect<ExchangedTokens, RequestError>
}>() {}

/**
 * An access token that is renewed with a refresh token at Dust's token endpoint, once for all waiting calls.
 *
 * Refresh tokens rotate. `onRotated` receives each new one before the matching access token is used, and must store it. If
 * `onRotated` fails, calls fail with `DustUnauthorizedError`, and the next call passes the same token to it again.
 * Interrupting a call does not interrupt the renewal.
 *
 * @example
 * ```ts
 * import * as DustConfig from "effect-dust/DustConfig"
 * import { Effect, Redacted } from "effect"
 *
 * declare const save: (token: string) => Effect.Effect<void>
 *
 * const config = DustConfig.layer({
 *   workspaceId: "0ec9852c2f",
 *   accessToken: DustConfig.refreshToken({
 *     refreshToken: Redacted.make("…"),
 *     onRotated: (token) => save(Redacted.value(token))
 *   })
 * })
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const refreshToken = (options: {
  readonly refreshToken: Redacted.Redacted<string>
  readonly onRotated: (refreshToken: Redacted.Redacted<string>) => Effect.Effect<void, unknown>
}): TokenEffect => {
  const lock = Effect.unsafeMakeSemaphore(1)
  let current = options.refreshToken
  /** Came with a refresh token that `onRotated` has not taken yet. */
  let held: Redacted.Redacted<string> | undefined
  return lock.withPermits(1)(Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      if (held === undefined) {
        const { refresh } = yield* TokenExchange
        // Not to be interrupted: the answer may carry the only token that is still good.
        const { accessToken, refreshToken } = yield* refresh(current)
        if (refreshToken === undefined || Equal.equals(refreshToken, current)) return accessToken
        current = refreshToken
        held = accessToken
      }
      yield* restore(options.onRotated(current))
      const accessToken = held
      held = undefined
      return accessToken
    })
  ))
}

/**
 * The credential of requests.
 *
 * - `ApiKey`: a workspace API key (`sk-…`). It belongs to no user; listing and deleting conversations, feedback, and
 *   client-side MCP servers require an access token.
 * - `AccessToken`: an OAuth access token of a member of the workspace.
 *
 * @category models
 * @since 0.1.0
 */
export type Credential =
  | { readonly _tag: "ApiKey"; readonly apiKey: Redacted.Redacted<string> }
  | { readonly _tag: "AccessToken"; readonly accessToken: Redacted.Redacted<string> | TokenEffect }

/**
 * The limits of every wait. A limit that is reached fails with `DustTimeoutError`; its `phase` names the limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timeouts {
  /** From sending a request to its response headers. Defaults to 60 seconds. */
  readonly headers: Duration.Duration
  /** From the response headers to the end of the body; not for streams and downloads. Defaults to 60 seconds. */
  readonly body: Duration.Duration
  /** The longest silence of a stream or a download before it is reconnected or given up. Defaults to 90 seconds. */
  readonly idle: Duration.Duration
  /**
   * One call, with all its attempts and the pauses between them; not for streams. Bounds a method of several requests
   * as a whole. Defaults to the time that the retry policy may take, plus one attempt (4 minutes with the standard
   * policy). Slow operations (uploads, blocking runs) have longer defaults; uploads, table loads and plans of syncs as a
   * whole take as long as their source. A configured limit, here or in `DustClient.withOptions`, is a ceiling for all of
   * them.
   */
  readonly total: Duration.Duration
}

/**
 * The limits to set. {@link Timeouts} describes them.
 *
 * @category models
 * @since 0.1.0
 */
export interface TimeoutOptions {
  /** From sending a request to its response headers. Defaults to 60 seconds. */
  readonly headers?: Duration.DurationInput | undefined
  /** From the response headers to the end of the body. Defaults to 60 seconds. */
  readonly body?: Duration.DurationInput | undefined
  /** The longest silence of a stream. Defaults to 90 seconds. */
  readonly idle?: Duration.DurationInput | undefined
  /** One call with all its attempts. Defaults to the time that the retry policy may take, plus one attempt. */
  readonly total?: Duration.DurationInput | undefined
}

/**
 * The checked configuration.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** The workspace of every request. */
  readonly workspaceId: WorkspaceId
  /** Without a trailing slash. */
  readonly baseUrl: string
  /** The credential of requests that have none of their own (`DustClient.withCredential`). */
  readonly credential: Credential
  /** The limits of one call. */
  readonly timeouts: Timeouts
  /**
   * The limits that the application configured. They are ceilings; slow operations raise only the others. If omitted,
   * no limit is a ceiling.
   */
  readonly chosenLimits?: ReadonlyArray<keyof Timeouts> | undefined
  /** How often failed requests are repeated. */
  readonly retry: RetryPolicy.RetryPolicy
  /** Sent with every request to Dust, and nowhere else. */
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  /** Defaults to 64 MiB. */
  readonly maxResponseSize?: number | undefined
  /** Transforms the HttpClient of the application for this SDK only. */
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

/**
 * The tag of the configuration: `yield* DustConfig` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class DustConfig extends Context.Tag("effect-dust/DustConfig")<DustConfig, Service>() {}

interface CommonOptions {
  /** The id of the workspace: the part of its address after `/w/`. */
  readonly workspaceId: string
  /** The region of the workspace. Defaults to `us`. Cannot be combined with `baseUrl`. */
  readonly region?: Region | undefined
  /** Another base URL (http or https), for proxies and Local Dust. Cannot be combined with `region`. */
  readonly baseUrl?: string | URL | undefined
  readonly timeouts?: TimeoutOptions | undefined
  /** Defaults to `RetryPolicy.standard`. */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /** Extra headers for every request to Dust. They are treated as secrets. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /**
   * The maximum size in bytes of a response that is read as a whole, after decompression. Larger responses fail with
   * `DustContentTooLargeError` (`response_too_large`) and are not retried. Streams and downloads have no such limit.
   * Defaults to 64 MiB.
   */
  readonly maxResponseSize?: number | undefined
  /**
   * Transforms the HttpClient of the application for this SDK only. Every request passes through it, including those to
   * file storage.
   */
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

/**
 * Options with a workspace API key.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyOptions extends CommonOptions {
  /** A workspace API key, `sk-…`. */
  readonly apiKey: Redacted.Redacted<string>
  readonly accessToken?: undefined
}

/**
 * Options with a user's OAuth access token.
 *
 * @category models
 * @since 0.1.0
 */
export interface AccessTokenOptions extends CommonOptions {
  readonly apiKey?: undefined
  /**
   * The token of a member of the workspace, or an Effect that returns one. The Effect runs again, once for all callers,
   * when the server reports an expired token; the refused request is then repeated once.
   */
  readonly accessToken: Redacted.Redacted<string> | TokenEffect
}

/**
 * The base URL of Dust, and the credential: either `apiKey` or `accessToken`.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = ApiKeyOptions | AccessTokenOptions

type NameOf = Checks.NameOf

const invalid = (field: string, expected: string): Either.Either<never, Checks.Unusable> =>
  Either.left({ field, expected })

const checkBaseUrl = (options: {
  readonly region?: string | undefined
  readonly baseUrl?: string | URL | undefined
}, nameOf: NameOf): Either.Either<string, Checks.Unusable> => {
  if (options.baseUrl !== undefined && options.region !== undefined) {
    return invalid("baseUrl", `omitted, because ${nameOf("region")} is set`)
  }
  if (options.baseUrl === undefined) {
    const region = options.region ?? "us"
    return region === "us" || region === "eu"
      ? Either.right(regions[region])
      : invalid("region", `us or eu, got ${JSON.stringify(region)}`)
  }
  return Either.flatMap(Checks.present("baseUrl", String(options.baseUrl)), (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
      return invalid("baseUrl", "an absolute http or https URL")
    }
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      return invalid("baseUrl", "a URL without credentials, query or fragment")
    }
    return Either.right(`${url.origin}${url.pathname}`.replace(/\/+$/, ""))
  })
}

/**
 * Validates options. Errors name the field and the requirement, and never contain a secret.
 *
 * @category constructors
 * @since 0.1.0
 */
export const check = (options: Options): Either.Either<Service, ConfigError.ConfigError> =>
  fromParts(options, (field) => field)

interface Parts {
  readonly workspaceId: string
  readonly region?: string | undefined
  readonly baseUrl?: string | URL | undefined
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  readonly apiKey?: Redacted.Redacted<string> | undefined
  readonly accessToken?: Redacted.Redacted<string> | TokenEffect | undefined
  readonly timeouts?: TimeoutOptions | undefined
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  readonly maxResponseSize?: number | undefined
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

const defaultResponseSize = 64 * 1024 * 1024

const limitNames = ["headers", "body", "idle", "total"] as const

const checkTimeouts = (
  given: TimeoutOptions,
  retry: RetryPolicy.RetryPolicy
): Either.Either<Timeouts, Checks.Unusable> =>
  Either.gen(function*() {
    const headers = yield* Checks.duration("timeouts.headers", given.headers ?? "60 seconds")
    const body = yield* Checks.duration("timeouts.body", given.body ?? "60 seconds")
    return {
      headers,
      body,
      idle: yield* Checks.duration("timeouts.idle", given.idle ?? "90 seconds"),
      total: yield* Checks.duration("timeouts.total", given.total ?? totalOf(retry, headers, body))
    }
  })

const checkParts = (options: Parts, nameOf: NameOf): Either.Either<Service, Checks.Unusable> =>
  Either.gen(function*() {
    const retry = options.retry ?? RetryPolicy.standard
    const given = options.timeouts ?? {}
    return {
      workspaceId: yield* Checks.workspaceId(options.workspaceId, nameOf),
      credential: yield* Checks.credential<TokenEffect>(options, nameOf),
      baseUrl: yield* checkBaseUrl(options, nameOf),
      headers: yield* Checks.headers(options.headers ?? {}),
      retry,
      timeouts: yield* checkTimeouts(given, retry),
      chosenLimits: limitNames.filter((name) => given[name] !== undefined),
      maxResponseSize: yield* checkSize("maxResponseSize", options.maxResponseSize ?? defaultResponseSize),
      transformClient: options.transformClient
    }
  })

const checkSize = (field: string, size: number): Either.Either<number, Checks.Unusable> =>
  typeof size === "number" && size > 0 && !Number.isNaN(size)
    ? Either.right(size)
    : invalid(field, "a number of bytes greater than zero")

/** With the names that the caller knows. */
const fromParts = (options: Parts, nameOf: NameOf): Either.Either<Service, ConfigError.ConfigError> =>
  Either.mapLeft(
    checkParts(options, nameOf),
    ({ expected, field, missing }) =>
      missing === true
        ? ConfigError.MissingData([nameOf(field)], `must be ${expected}`)
        : ConfigError.InvalidData([nameOf(field)], `must be ${expected}`)
  )

/**
 * Provides the configuration from values.
 *
 * @example
 * ```ts
 * import * as DustConfig from "effect-dust/DustConfig"
 * import { Redacted } from "effect"
 *
 * const config = DustConfig.layer({
 *   workspaceId: "0ec9852c2f",
 *   apiKey: Redacted.make("sk-…"),
 *   region: "eu",
 *   timeouts: { total: "30 seconds" }
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<DustConfig, ConfigError.ConfigError> =>
  Layer.effect(DustConfig, check(options))

/**
 * The same options, each as a `Config`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Configs {
  readonly workspaceId: Config.Config<string>
  readonly apiKey?: Config.Config<Redacted.Redacted<string> | undefined> | undefined
  readonly accessToken?: Config.Config<Redacted.Redacted<string> | TokenEffect | undefined> | undefined
  readonly region?: Config.Config<string | undefined> | undefined
  readonly baseUrl?: Config.Config<string | URL | undefined> | undefined
  readonly headers?: Config.Config<Readonly<Record<string, string | Redacted.Redacted<string>>>> | undefined
  readonly timeouts?: Config.Config<TimeoutOptions> | undefined
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  readonly maxResponseSize?: Config.Config<number | undefined> | undefined
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

/**
 * Reads and validates the configuration from `Config`s.
 *
 * @category constructors
 * @since 0.2.0
 */
export const fromConfigs = (configs: Configs): Effect.Effect<Service, ConfigError.ConfigError> =>
  fromConfigsNamed(configs, (field) => field)

const fromConfigsNamed = (
  configs: Configs,
  nameOf: NameOf
): Effect.Effect<Service, ConfigError.ConfigError> =>
  Effect.gen(function*() {
    const nothing = Config.succeed(undefined)
    return yield* fromParts({
      workspaceId: yield* configs.workspaceId,
      apiKey: yield* configs.apiKey ?? nothing,
      accessToken: yield* configs.accessToken ?? nothing,
      region: yield* configs.region ?? nothing,
      baseUrl: yield* configs.baseUrl ?? nothing,
      headers: yield* configs.headers ?? nothing,
      timeouts: yield* configs.timeouts ?? nothing,
      retry: configs.retry,
      maxResponseSize: yield* configs.maxResponseSize ?? nothing,
      transformClient: configs.transformClient
    }, nameOf)
  })

/**
 * Provides the configuration from `Config`s, read through the `ConfigProvider` of the application.
 *
 * @example
 * ```ts
 * import * as DustConfig from "effect-dust/DustConfig"
 * import { Config } from "effect"
 *
 * const config = DustConfig.layerConfig({
 *   workspaceId: Config.string("MY_WORKSPACE"),
 *   apiKey: Config.redacted("MY_KEY")
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (configs: Configs): Layer.Layer<DustConfig, ConfigError.ConfigError> =>
  // Read at each use, and not once for all of them: another use may have another ConfigProvider.
  Layer.fresh(Layer.effect(DustConfig, fromConfigs(configs)))

/** A blank variable counts as a missing one. */
const optional = (name: string): Config.Config<string | undefined> =>
  Config.string(name).pipe(
    Config.option,
    Config.map((value) =>
      Option.getOrUndefined(Option.filter(Option.map(value, (text) => text.trim()), (text) => text !== ""))
    )
  )

/** Blank, it would silently mean another place or another limit than the one that was meant. */
const optionalNotBlank = (name: string): Config.Config<string | undefined> =>
  Config.mapOrFail(Config.option(Config.string(name)), (value) =>
    Option.isNone(value)
      ? Either.right(undefined)
      : value.value.trim() === ""
      ? Either.left(ConfigError.MissingData([name], "must not be blank; remove it to use the default"))
      : Either.right(value.value.trim()))

const required = (name: string, what: string): Config.Config<string> =>
  Config.mapOrFail(optional(name), (value) =>
    value === undefined
      ? Either.left(ConfigError.MissingData([name], `must be ${what}`))
      : Either.right(value))

/** An error about a field names its variable. */
const variables: Readonly<Record<string, string>> = {
  workspaceId: "DUST_WORKSPACE_ID",
  apiKey: "DUST_API_KEY",
  accessToken: "DUST_ACCESS_TOKEN",
  region: "DUST_REGION",
  baseUrl: "DUST_BASE_URL",
  "timeouts.total": "DUST_TIMEOUT"
}

const variableOf: NameOf = (field) => (Object.hasOwn(variables, field) ? variables[field] : undefined) ?? field

const timeoutVariable: Config.Config<TimeoutOptions> = Config.mapOrFail(
  optionalNotBlank("DUST_TIMEOUT"),
  (value): Either.Either<TimeoutOptions, ConfigError.ConfigError> => {
    if (value === undefined) return Either.right({})
    const duration = /^\d+$/.test(value)
      ? Option.some(Duration.millis(Number(value)))
      : Duration.decodeUnknown(value)
    return Option.match(duration, {
      onNone: () =>
        Either.left(
          ConfigError.InvalidData(["DUST_TIMEOUT"], "must be milliseconds, or a duration such as \"30 seconds\"")
        ),
      onSome: (total) => Either.right({ total })
    })
  }
)

const secretVariable = (name: string) =>
  Config.map(optional(name), (value) => value === undefined ? undefined : Redacted.make(value))

/**
 * Reads and validates the configuration from the variables of {@link layerEnv}.
 *
 * @category constructors
 * @since 0.2.0
 */
export const fromEnv: Effect.Effect<Service, ConfigError.ConfigError> = fromConfigsNamed({
  workspaceId: required("DUST_WORKSPACE_ID", "the id of the workspace: the part after /w/ in its address"),
  apiKey: secretVariable("DUST_API_KEY"),
  accessToken: secretVariable("DUST_ACCESS_TOKEN"),
  region: optionalNotBlank("DUST_REGION"),
  baseUrl: optionalNotBlank("DUST_BASE_URL"),
  timeouts: timeoutVariable
}, variableOf)

/**
 * Provides the configuration from the environment, or from the `ConfigProvider` in effect where the layer is used.
 *
 * | variable | meaning |
 * |---|---|
 * | `DUST_WORKSPACE_ID` | required |
 * | `DUST_API_KEY` or `DUST_ACCESS_TOKEN` | one of them is required |
 * | `DUST_REGION` | `us` (default) or `eu` |
 * | `DUST_BASE_URL` | another base URL, instead of `DUST_REGION` |
 * | `DUST_TIMEOUT` | the limit of one call with all its attempts, slow operations included: milliseconds, or `30 seconds` |
 *
 * A missing, blank or malformed variable is a `ConfigError` that names it. One of the two credentials may be blank.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEnv: Layer.Layer<DustConfig, ConfigError.ConfigError> = Layer.fresh(
  Layer.effect(DustConfig, fromEnv)
)
