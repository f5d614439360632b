import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/** An invalid value: the name of its field and the expectation, never the value. */
export interface Unusable {
  readonly field: string
  readonly expected: string
  /** There was no value, or a blank one. */
  readonly missing?: boolean | undefined
}

/** How a field is called where its value comes from: `region`, or `DUST_REGION`. */
export type NameOf = (field: string) => string

const plainName: NameOf = (field) => field

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
// Latin-1 without control characters, except a tab: what an HTTP header can carry.
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** The value of a secret; none if it was wiped or is not one. */
export const revealed = (secret: unknown): Option.Option<unknown> =>
  Redacted.isRedacted(secret) ? Option.liftThrowable(() => Redacted.value(secret))() : Option.none()

/** Headers with names in lower case, if all of them can be sent, and none of them is the credential. */
export const headers = (
  headers: Readonly<Record<string, string | Redacted.Redacted<string>>>
): Either.Either<Readonly<Record<string, Redacted.Redacted<string>>>, Unusable> => {
  const out: Record<string, Redacted.Redacted<string>> = {}
  for (const [name, value] of Object.entries(headers)) {
    const unusable = (expected: string) => Either.left({ field: `headers.${name}`, expected })
    if (!headerName.test(name)) return unusable("a valid header name")
    const lower = name.toLowerCase()
    if (lower === "authorization") return unusable("omitted: the SDK sets it from apiKey or accessToken")
    const text = typeof value === "string" ? value : Option.getOrUndefined(revealed(value))
    if (typeof text !== "string" || !headerValue.test(text)) {
      return unusable("Latin-1 text without line breaks; encode anything else first")
    }
    out[lower] = Redacted.make(text)
  }
  return Either.right(out)
}

export const duration = (
  field: string,
  value: Duration.DurationInput
): Either.Either<Duration.Duration, Unusable> => {
  const duration = Option.getOrUndefined(Duration.decodeUnknown(value))
  return duration !== undefined && Duration.greaterThan(duration, Duration.zero)
    ? Either.right(duration)
    : Either.left({ field, expected: "a duration longer than zero, such as \"30 seconds\"" })
}

/** The prefix of API keys, by which alone the server distinguishes the two kinds of credential. */
export const keyPrefix = "sk-"

/** Servers refuse longer headers. */
export const longestCredential = 8192

const credentialPattern = /^[A-Za-z0-9._~+/-]+=*$/

/** Text that is there. Taken from an unset variable, a value is missing at run time, whatever its type says. */
export const present = (field: string, value: unknown): Either.Either<string, Unusable> => {
  if (value === undefined || value === null) {
    return Either.left({ field, expected: "set", missing: true })
  }
  if (typeof value !== "string") return Either.left({ field, expected: `text, got a value of type ${typeof value}` })
  const trimmed = value.trim()
  return trimmed === ""
    ? Either.left({ field, expected: "set, got a blank value", missing: true })
    : Either.right(trimmed)
}

const secret = (
  field: string,
  value: Redacted.Redacted<string>
): Either.Either<Redacted.Redacted<string>, Unusable> => {
  const text = revealed(value)
  if (Option.isNone(text)) {
    return Either.left({ field, expected: "a Redacted value (`Redacted.make`) that has not been wiped" })
  }
  return Either.flatMap(present(field, text.value), (text) =>
    text.length > longestCredential
      ? Either.left({ field, expected: `a credential of at most ${longestCredential} characters` })
      : credentialPattern.test(text)
      ? Either.right(Redacted.make(text))
      : Either.left({
        field,
        expected: "a credential of letters, digits and - . _ ~ + / without quotes or spaces"
      }))
}

type CheckedCredential<Token> =
  | { readonly _tag: "ApiKey"; readonly apiKey: Redacted.Redacted<string> }
  | { readonly _tag: "AccessToken"; readonly accessToken: Redacted.Redacted<string> | Token }

/** One credential of a kind that is known. A token that is an Effect is not run. */
export const credential = <Token extends Effect.Effect<unknown, unknown, unknown>>(options: {
  readonly apiKey?: Redacted.Redacted<string> | undefined
  readonly accessToken?: Redacted.Redacted<string> | Token | undefined
}, nameOf: NameOf = plainName): Either.Either<CheckedCredential<Token>, Unusable> => {
  const { accessToken, apiKey } = options
  const keyName = nameOf("apiKey")
  const tokenName = nameOf("accessToken")
  if (apiKey !== undefined && accessToken !== undefined) {
    return Either.left({ field: "apiKey", expected: `omitted, because ${tokenName} is set` })
  }
  if (apiKey !== undefined) {
    return Either.flatMap(
      secret("apiKey", apiKey),
      (apiKey): Either.Either<CheckedCredential<Token>, Unusable> =>
        Redacted.value(apiKey).startsWith(keyPrefix) ? Either.right({ _tag: "ApiKey", apiKey }) : Either.left({
          field: "apiKey",
          expected: `an API key (${keyPrefix}…), got something else; pass a user's access token as ${tokenName}`
        })
    )
  }
  if (accessToken === undefined) {
    return Either.left({ field: "apiKey", expected: `set, unless ${tokenName} is set`, missing: true })
  }
  if (Effect.isEffect(accessToken)) return Either.right({ _tag: "AccessToken", accessToken: accessToken as Token })
  return Either.flatMap(
    secret("accessToken", accessToken as Redacted.Redacted<string>),
    (accessToken): Either.Either<CheckedCredential<Token>, Unusable> =>
      Redacted.value(accessToken).startsWith(keyPrefix)
        ? Either.left({
          field: "accessToken",
          expected: `a user's access token, got an API key (${keyPrefix}…); pass it as ${keyName}`
        })
        : Either.right({ _tag: "AccessToken", accessToken })
  )
}

/** The id of a workspace: it is in every URL and span. */
export const workspaceId = (value: unknown, nameOf: NameOf = plainName): Either.Either<string, Unusable> => {
  const field = "workspaceId"
  return Either.flatMap(present(field, value), (id) =>
    !/^[A-Za-z0-9_-]+$/.test(id)
      ? Either.left({ field, expected: "the id of a workspace, which has only letters, digits, - and _" })
      : id.startsWith(keyPrefix)
      ? Either.left({
        field,
        expected: `the id of a workspace, got an API key (${keyPrefix}…); pass it as ${nameOf("apiKey")}`
      })
      : Either.right(id))
}
