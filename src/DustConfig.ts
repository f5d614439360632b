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
   * runs) raise the defaults; a limit that is set, here or by `DustClient.withOptions`, is a ceiling for them too.
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
  /**
   * The limits that the application has set itself. They are ceilings: an operation that is known to be slow raises the
   * other ones only. Without this, none of them is.
   */
  readonly chosenLimits?: ReadonlyArray<keyof Timeouts> | undefined
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

/** How a field is called where its value comes from: `region`, or `DUST_REGION`. */
type NameOf = (field: string) => string

const keyPrefix = "sk-"

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
}, nameOf: NameOf): Either.Either<Credential, ConfigError.ConfigError> => {
  const { accessToken, apiKey } = options
  const keyName = nameOf("apiKey")
  const tokenName = nameOf("accessToken")
  if (apiKey !== undefined && accessToken !== undefined) {
    return invalid("apiKey", `expected either ${keyName} or ${tokenName}, got both`)
  }
  if (apiKey !== undefined) {
    return Either.flatMap(
      secret("apiKey", apiKey),
      // The server tells the two kinds apart by this prefix, and by nothing else.
      (apiKey): Either.Either<Credential, ConfigError.ConfigError> =>
        Redacted.value(apiKey).startsWith(keyPrefix)
          ? Either.right({ _tag: "ApiKey", apiKey })
          : invalid(
            "apiKey",
            `expected an API key (${keyPrefix}…), got something else; pass a user's access token as ${tokenName}`
          )
    )
  }
  if (accessToken === undefined) {
    return Either.left(ConfigError.MissingData(["apiKey"], `expected ${keyName}, or ${tokenName}`))
  }
  if (Effect.isEffect(accessToken)) return Either.right({ _tag: "AccessToken", accessToken })
  return Either.flatMap(
    secret("accessToken", accessToken),
    (token): Either.Either<Credential, ConfigError.ConfigError> =>
      Redacted.value(token).startsWith(keyPrefix)
        ? invalid(
          "accessToken",
          `expected a user's access token, got an API key (${keyPrefix}…); pass it as ${keyName}`
        )
        : Either.right({ _tag: "AccessToken", accessToken: token })
  )
}

const checkBaseUrl = (options: {
  readonly region?: string | undefined
  readonly baseUrl?: string | URL | undefined
}, nameOf: NameOf): Either.Either<string, ConfigError.ConfigError> => {
  if (options.baseUrl !== undefined && options.region !== undefined) {
    return invalid("baseUrl", `expected either ${nameOf("region")} or ${nameOf("baseUrl")}, got both`)
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
}

const limitNames = ["headers", "body", "idle", "total"] as const

const checkTimeouts = (
  given: TimeoutOptions,
  retry: RetryPolicy.RetryPolicy
): Either.Either<Timeouts, ConfigError.ConfigError> =>
  Either.gen(function*() {
    const headers = yield* checkDuration("timeouts.headers", given.headers ?? "60 seconds")
    const body = yield* checkDuration("timeouts.body", given.body ?? "60 seconds")
    return {
      headers,
      body,
      idle: yield* checkDuration("timeouts.idle", given.idle ?? "90 seconds"),
      total: yield* checkDuration("timeouts.total", given.total ?? totalOf(retry, headers, body))
    }
  })

const checkParts = (options: Parts, nameOf: NameOf): Either.Either<Service, ConfigError.ConfigError> =>
  Either.gen(function*() {
    const workspaceId = yield* present("workspaceId", options.workspaceId)
    if (!/^[A-Za-z0-9_-]+$/.test(workspaceId)) {
      return yield* invalid("workspaceId", "expected the id of a workspace: letters, digits, - and _ only")
    }
    // It would be in every URL and span.
    if (workspaceId.startsWith(keyPrefix)) {
      return yield* invalid(
        "workspaceId",
        `expected the id of a workspace, got an API key (${keyPrefix}…); pass it as ${nameOf("apiKey")}`
      )
    }
    const retry = options.retry ?? RetryPolicy.standard
    const given = options.timeouts ?? {}
    return {
      workspaceId,
      credential: yield* checkCredential(options, nameOf),
      baseUrl: yield* checkBaseUrl(options, nameOf),
      headers: yield* checkHeaders(options.headers ?? {}),
      retry,
      timeouts: yield* checkTimeouts(given, retry),
      chosenLimits: limitNames.filter((name) => given[name] !== undefined)
    }
  })

/** The same, with errors at the names that the caller knows. */
const fromParts = (options: Parts, nameOf: NameOf): Either.Either<Service, ConfigError.ConfigError> =>
  Either.mapLeft(checkParts(options, nameOf), (error) => {
    switch (error._op) {
      case "InvalidData":
        return ConfigError.InvalidData(error.path.map(nameOf), error.message)
      case "MissingData":
        return ConfigError.MissingData(error.path.map(nameOf), error.message)
      default:
        return error
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
}

/**
 * Reads and checks the configuration from `Config`s.
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
      retry: configs.retry
    }, nameOf)
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
      ? Either.left(ConfigError.MissingData([name], "expected a value, got a blank one; remove it to use the default"))
      : Either.right(value.value.trim()))

const required = (name: string, what: string): Config.Config<string> =>
  Config.mapOrFail(optional(name), (value) =>
    value === undefined
      ? Either.left(ConfigError.MissingData([name], `expected ${what}`))
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
          ConfigError.InvalidData(["DUST_TIMEOUT"], "expected milliseconds, or a duration such as \"30 seconds\"")
        ),
      onSome: (total) => Either.right({ total })
    })
  }
)

const secretVariable = (name: string) =>
  Config.map(optional(name), (value) => value === undefined ? undefined : Redacted.make(value))

/**
 * Reads and checks the configuration from the variables of {@link layerEnv}.
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
 * The configuration from the environment, or from whichever `ConfigProvider` is in force where the layer is used.
 *
 * | variable | meaning |
 * |---|---|
 * | `DUST_WORKSPACE_ID` | required |
 * | `DUST_API_KEY` or `DUST_ACCESS_TOKEN` | one of them is required |
 * | `DUST_REGION` | `us` (default) or `eu` |
 * | `DUST_BASE_URL` | another address, instead of `DUST_REGION` |
 * | `DUST_TIMEOUT` | the limit of one call with all its attempts, also of slow ones: milliseconds, or `30 seconds` |
 *
 * A missing, blank or malformed variable is a `ConfigError` that names it; of the two credentials one may be blank.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEnv: Layer.Layer<DustConfig, ConfigError.ConfigError> = Layer.fresh(
  Layer.effect(DustConfig, fromEnv)
)
