/** Removes from errors what a response may repeat: credentials and the caller's content. */
import * as Redacted from "effect/Redacted"

/** Anything shorter is not a secret, and may be part of a word. */
const shortestSecret = 6
/** Shorter texts are words that an error may need. */
const shortestContent = 12
/** The length of a quoted run that is recognized, even if a response quotes only the beginning of a text. */
const window = 24
const mark = "<redacted>"

/** Members of bodies that contain text written by a person. */
const contentKeys: ReadonlySet<string> = new Set([
  "content",
  "text",
  "query",
  "message",
  "feedbackContent",
  "customResponse",
  "answer"
])

/** Removes credentials from a text. Proxies may respond with the request that they received. */
export const withoutSecrets = (
  text: string,
  secrets: ReadonlyArray<Redacted.Redacted<string> | undefined>
): string =>
  secrets.reduce((text: string, secret) => {
    const value = secret === undefined ? "" : Redacted.value(secret)
    return value.length < shortestSecret
      ? text
      : text.replace(inJson(value), mark).replaceAll(encodeURIComponent(value), mark)
  }, text)

/** Matches a text verbatim and in any JSON encoding: each of its characters can be escaped. */
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

/** A text written by a person, if it is long enough to be recognized. */
export const contentIn = (text: string): ReadonlyArray<string> =>
  text.trim().length >= shortestContent ? [text.trim()] : []

/** The texts in a JSON body that were written by a person. */
export const contentOf = (body: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const visit = (value: unknown, key: string): void => {
    if (typeof value === "string") {
      if (contentKeys.has(key)) found.push(...contentIn(value))
    } else if (Array.isArray(value)) {
      for (const one of value) visit(one, key)
    } else if (typeof value === "object" && value !== null) {
      for (const [name, one] of Object.entries(value)) visit(one, name)
    }
  }
  try {
    visit(JSON.parse(body), "")
  } catch {
    // Not JSON: the bytes of a file.
  }
  return found
}

/** How often a text may be escaped: in the response, and in a quotation of JSON within its message. */
const escapes = 2

/** Removes content from a text, even if the text quotes only its beginning. */
export const withoutContent = (text: string, contents: ReadonlyArray<string>): string =>
  contents.reduce((text, content) => {
    let rest = withoutQuotes(text, content)
    let spelled = content
    for (let level = 1; level <= escapes; level++) {
      const escaped = JSON.stringify(spelled).slice(1, -1)
      if (escaped === spelled) break
      spelled = escaped
      rest = withoutQuotes(rest, spelled)
    }
    return rest
  }, text)

const withoutQuotes = (text: string, content: string): string => {
  const start = content.slice(0, window)
  let out = ""
  let rest = text
  for (;;) {
    const at = rest.indexOf(start)
    if (at < 0) return out + rest
    let length = start.length
    while (length < content.length && rest[at + length] === content[length]) length++
    out += rest.slice(0, at) + mark
    rest = rest.slice(at + length)
  }
}
