/**
 * Where Dust is, who is asking, and how patient the client is.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { WorkspaceId } from "./Ids.ts"
import * as Checks from "./internal/input/validate.ts"
import { totalOf } from "./internal/request/retry.ts"
import * as RetryPolicy from "./RetryPolicy.ts"

/**
 * The two regions of Dust. A workspace lives in one of them.
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
 * A token that may have to be renewed. It is run for the first request, and again (once for all callers) when the server
 * says that the token has expired.
 *
 * @category models
 * @since 0.1.0
 */
export type TokenEffect = Effect.Effect<Redacted.Redacted<string>, unknown>

/**
 * What requests are authenticated with.
 *
 * - `ApiKey`: a workspace API key (`sk-…`). There is no user behind it: listing or deleting conversations, feedback, and
 *   client-side MCP servers need an access token.
 * - `AccessToken`: an OAuth access token of a member of the workspace.
 *
 * @category models
 * @since 0.1.0
 */
export type Credential =
  | { readonly _tag: "ApiKey"; readonly apiKey: Redacted.Redacted<string> }
  | { readonly _tag: "AccessToken"; readonly accessToken: Redacted.Redacted<string> | TokenEffect }

/**
 * The limits of every wait. Each reached limit is a `DustTimeoutError` with its `phase`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timeouts {
  /** From sending a request to its response headers. Default 60 seconds. */
  readonly headers: Duration.Duration
  /** From the response headers to the end of the body; not for streams and downloads. Default 60 seconds. */
  readonly body: Duration.Duration
  /** The longest silence of a stream or a download before it is reconnected or given up. Default 90 seconds. */
  readonly idle: Duration.Duration
  /**
   * One call, with all its attempts and the waits between them; not for streams. Default: what the retry policy may take,
   * and one more attempt (4 minutes with the standard policy). Operations that are known to take longer (uploads, blocking
   * runs) have the time they need, unless `DustClient.withOptions` gives the call another limit.
   */
  readonly total: Duration.Duration
}

/**
 * The limits to set; {@link Timeouts} says what each of them is about.
 *
 * @category models
 * @since 0.1.0
 */
export interface TimeoutOptions {
  /** From sending a request to its response headers. Default 60 seconds. */
  readonly headers?: Duration.DurationInput | undefined
  /** From the response headers to the end of the body. Default 60 seconds. */
  readonly body?: Duration.DurationInput | undefined
  /** The longest silence of a stream. Default 90 seconds. */
  readonly idle?: Duration.DurationInput | undefined
  /** One call with all its attempts. Default: what the retry policy may take, and one more attempt. */
  readonly total?: Duration.DurationInput | undefined
}

/**
 * The checked configuration.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  readonly workspaceId: WorkspaceId
  /** Without a trailing slash. */
  readonly baseUrl: string
  readonly credential: Credential
  readonly timeouts: Timeouts
  readonly retry: RetryPolicy.RetryPolicy
  /** Sent with every request to Dust, and nowhere else. */
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class DustConfig extends Context.Tag("effect-dust/DustConfig")<DustConfig, Service>() {}

interface CommonOptions {
  /** The id of the workspace: the part after `/w/` in the address of its web application. */
  readonly workspaceId: string
  /** Where the workspace lives. Default `us`. Not together with `baseUrl`. */
  readonly region?: Region | undefined
  /** Another address, http or https, for proxies and Local Dust. Not together with `region`. */
  readonly baseUrl?: string | URL | undefined
  readonly timeouts?: TimeoutOptions | undefined
  /** Default `RetryPolicy.standard`. */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /** Extra headers for every request to Dust. They are treated as secrets. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

/**
 * With a workspace API key.
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
 * With a user's OAuth access token.
 *
 * @category models
 * @since 0.1.0
 */
export interface AccessTokenOptions extends CommonOptions {
  readonly apiKey?: undefined
  /**
   * The token of a member of the workspace, or an Effect that yields one. The Effect is run again, once for all callers,
   * when the server says that the token has expired; the refused request is then repeated once.
   */
  readonly accessToken: Redacted.Redacted<string> | TokenEffect
}

/**
 * Where Dust is, and who is asking. One credential: `apiKey` or `accessToken`.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = ApiKeyOptions | AccessTokenOptions

const invalid = (field: string, message: string): Either.Either<never, ConfigError.ConfigError> =>
  Either.left(ConfigError.InvalidData([field], message))

// Taken from an unset variable, a value is missing at run time, whatever its type says.
const present = (field: string, value: unknown): Either.Either<string, ConfigError.ConfigError> => {
  if (value === undefined || value === null) {
    return Either.left(ConfigError.MissingData([field], "expected a value, got none"))
  }
  if (typeof value !== "string") return invalid(field, `expected text, got something of type ${typeof value}`)
  const trimmed = value.trim()
  return trimmed === ""
    ? Either.left(ConfigError.MissingData([field], "expected a value, got a blank one"))
    : Either.right(trimmed)
}

const credentialPattern = /^[A-Za-z0-9._~+/-]+=*$/

const secret = (
  field: string,
  value: Redacted.Redacted<string>
): Either.Either<Redacted.Redacted<string>, ConfigError.ConfigError> => {
  const revealed = Checks.revealed(value)
  if (Option.isNone(revealed)) return invalid(field, "expected a Redacted, not wiped yet")
  return Either.flatMap(present(field, revealed.value), (text) =>
    credentialPattern.test(text)
      ? Either.right(Redacted.make(text))
      : invalid(
        field,
        "expected letters, digits and - . _ ~ + / only, got something that cannot be sent as a credential"
      ))
}

const checkCredential = (options: {
  readonly apiKey?: Redacted.Redacted<string> | undefined
  readonly accessToken?: Redacted.Redacted<string> | TokenEffect | undefined
}): Either.Either<Credential, ConfigError.ConfigError> => {
  const { accessToken, apiKey } = options
  if (apiKey !== undefined && accessToken !== undefined) {
    return invalid("apiKey", "expected either apiKey or accessToken, got both")
  }
  if (apiKey !== undefined) {
    return Either.flatMap(
      secret("apiKey", apiKey),
      (apiKey): Either.Either<Credential, ConfigError.ConfigError> => Either.right({ _tag: "ApiKey", apiKey })
    )
  }
  if (accessToken === undefined) {
    return Either.left(ConfigError.MissingData(["apiKey"], "expected apiKey, or accessToken"))
  }
  if (Effect.isEffect(accessToken)) return Either.right({ _tag: "AccessToken", accessToken })
  return Either.flatMap(
    secret("accessToken", accessToken),
    (token): Either.Either<Credential, ConfigError.ConfigError> =>
      Redacted.value(token).startsWith("sk-")
        ? invalid("accessToken", "expected a user's access token, got an API key (sk-…); pass it as apiKey")
        : Either.right({ _tag: "AccessToken", accessToken: token })
  )
}

const checkBaseUrl = (options: {
  readonly region?: string | undefined
  readonly baseUrl?: string | URL | undefined
}): Either.Either<string, ConfigError.ConfigError> => {
  if (options.baseUrl !== undefined && options.region !== undefined) {
    return invalid("baseUrl", "expected either region or baseUrl, got both")
  }
  if (options.baseUrl === undefined) {
    const region = options.region ?? "us"
    return region === "us" || region === "eu"
      ? Either.right(regions[region])
      : invalid("region", `expected us or eu, got ${JSON.stringify(region)}`)
  }
  return Either.flatMap(present("baseUrl", String(options.baseUrl)), (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
      return invalid("baseUrl", "expected an absolute http or https URL")
    }
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      return invalid("baseUrl", "expected a URL without credentials, query and fragment")
    }
    return Either.right(`${url.origin}${url.pathname}`.replace(/\/+$/, ""))
  })
}

const unusable = ({ expected, field }: Checks.Unusable): ConfigError.ConfigError =>
  ConfigError.InvalidData([field], `expected ${expected}`)

const checkHeaders = (headers: Readonly<Record<string, string | Redacted.Redacted<string>>>) =>
  Either.mapLeft(Checks.headers(headers), unusable)

const checkDuration = (field: string, value: Duration.DurationInput) =>
  Either.mapLeft(Checks.duration(field, value), unusable)

/**
 * Checks options. Every problem names its field and what was expected, and never shows a secret.
 *
 * @category constructors
 * @since 0.1.0
 */
export const check = (options: Options): Either.Either<Service, ConfigError.ConfigError> => fromParts(options)

interface Parts {
  readonly workspaceId: string
  readonly region?: string | undefined
  readonly baseUrl?: string | URL | undefined
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  readonly apiKey?: Redacted.Redacted<string> | undefined
  readonly accessToken?: Redacted.Redacted<string> | TokenEffect | undefined
  readonly timeouts?: TimeoutOptions | undefined
  readonly retry?: RetryPolicy.RetryPolicy | undefined
}

const fromParts = (options: Parts): Either.Either<Service, ConfigError.ConfigError> =>
  Either.gen(function*() {
    const workspaceId = yield* present("workspaceId", options.workspaceId)
    if (!/^[A-Za-z0-9_-]+$/.test(workspaceId)) {
      return yield* invalid("workspaceId", "expected the id of a workspace: letters, digits, - and _ only")
    }
    // It would be in every URL and span.
    if (workspaceId.startsWith("sk-")) {
      return yield* invalid("workspaceId", "expected the id of a workspace, got an API key (sk-…); pass it as apiKey")
    }
    const credential = yield* checkCredential(options)
    const baseUrl = yield* checkBaseUrl(options)
    const headers = yield* checkHeaders(options.headers ?? {})
    const retry = options.retry ?? RetryPolicy.standard
    const timeouts = options.timeouts ?? {}
    const headersTimeout = yield* checkDuration("timeouts.headers", timeouts.headers ?? "60 seconds")
    const bodyTimeout = yield* checkDuration("timeouts.body", timeouts.body ?? "60 seconds")
    const idle = yield* checkDuration("timeouts.idle", timeouts.idle ?? "90 seconds")
    const total = yield* checkDuration(
      "timeouts.total",
      timeouts.total ?? totalOf(retry, headersTimeout, bodyTimeout)
    )
    return {
      workspaceId,
      baseUrl,
      credential,
      headers,
      retry,
      timeouts: { headers: headersTimeout, body: bodyTimeout, idle, total }
    }
  })

/**
 * The configuration from values.
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
  Layer.effect(DustConfig, fromParts(options))

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
}

const fromConfigs = (configs: Configs): Effect.Effect<Service, ConfigError.ConfigError> =>
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
      retry: configs.retry
    })
  })

/**
 * The configuration from `Config`s, read through the `ConfigProvider` of the application.
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
  Layer.effect(DustConfig, fromConfigs(configs))

/** A blank variable counts as a missing one. */
const optional = (name: string): Config.Config<string | undefined> =>
  Config.string(name).pipe(
    Config.option,
    Config.map((value) =>
      Option.getOrUndefined(Option.filter(Option.map(value, (text) => text.trim()), (text) => text !== ""))
    )
  )

const required = (name: string, what: string): Config.Config<string> =>
  Config.mapOrFail(optional(name), (value) =>
    value === undefined
      ? Either.left(ConfigError.MissingData([name], `expected ${what}`))
      : Either.right(value))

/** The names a user knows are those of the variables: an error about a field is told with them. */
const variables: Readonly<Record<string, string>> = {
  workspaceId: "DUST_WORKSPACE_ID",
  apiKey: "DUST_API_KEY",
  accessToken: "DUST_ACCESS_TOKEN",
  region: "DUST_REGION",
  baseUrl: "DUST_BASE_URL",
  "timeouts.total": "DUST_TIMEOUT"
}

const named = (error: ConfigError.ConfigError): ConfigError.ConfigError => {
  const known = (name: string) => (Object.hasOwn(variables, name) ? variables[name] : undefined) ?? name
  const rename = (path: ReadonlyArray<string>) => path.map(known)
  const told = (message: string) => message.replace(/[a-zA-Z]+/g, known)
  switch (error._op) {
    case "InvalidData":
      return ConfigError.InvalidData(rename(error.path), told(error.message))
    case "MissingData":
      return ConfigError.MissingData(rename(error.path), told(error.message))
    default:
      return error
  }
}

const timeoutVariable: Config.Config<TimeoutOptions> = Config.mapOrFail(
  optional("DUST_TIMEOUT"),
  (value): Either.Either<TimeoutOptions, ConfigError.ConfigError> => {
    if (value === undefined) return Either.right({})
    const duration = /^\d+$/.test(value)
      ? Option.some(Duration.millis(Number(value)))
      : Duration.decodeUnknown(value)
    return Option.match(duration, {
      onNone: () =>
        Either.left(
          ConfigError.InvalidData(["DUST_TIMEOUT"], "expected milliseconds, or a duration such as \"30 seconds\"")
        ),
      onSome: (total) => Either.right({ total })
    })
  }
)

const secretVariable = (name: string) =>
  Config.map(optional(name), (value) => value === undefined ? undefined : Redacted.make(value))

/**
 * The configuration from the environment (or whatever `ConfigProvider` the application uses).
 *
 * | variable | meaning |
 * |---|---|
 * | `DUST_WORKSPACE_ID` | required |
 * | `DUST_API_KEY` or `DUST_ACCESS_TOKEN` | one of them is required |
 * | `DUST_REGION` | `us` (default) or `eu` |
 * | `DUST_BASE_URL` | another address, instead of `DUST_REGION` |
 * | `DUST_TIMEOUT` | the limit of one call with all its attempts: milliseconds, or `30 seconds` |
 *
 * A blank variable counts as a missing one. A missing or malformed one is a `ConfigError` that names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEnv: Layer.Layer<DustConfig, ConfigError.ConfigError> = Layer.effect(
  DustConfig,
  fromConfigs({
    workspaceId: required("DUST_WORKSPACE_ID", "the id of the workspace: the part after /w/ in its address"),
    apiKey: secretVariable("DUST_API_KEY"),
    accessToken: secretVariable("DUST_ACCESS_TOKEN"),
    region: optional("DUST_REGION"),
    baseUrl: optional("DUST_BASE_URL"),
    timeouts: timeoutVariable
  }).pipe(Effect.mapError(named))
)
