import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/** A value that cannot be used: the name of its field, and what was expected of it. Never the value. */
export interface Unusable {
  readonly field: string
  readonly expected: string
}

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
// Latin-1 without control characters, except a tab: what an HTTP header can carry.
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** What is behind a secret. None: it was wiped, or never was one. */
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
    if (lower === "authorization") return unusable("no authorization header: it is made from apiKey or accessToken")
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
