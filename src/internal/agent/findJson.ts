/** Finds the JSON in an answer that has prose, code fences or drafts around it. Pure. */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"

const endOfLine = (text: string, from: number): number => {
  const end = text.indexOf("\n", from)
  return end === -1 ? text.length : end
}

/** One past the comment at `at`, or `at` without a comment. Comments are invalid JSON, but some models write them. */
const endOfComment = (text: string, at: number): number => {
  if (text[at] !== "/") return at
  if (text[at + 1] === "/") return endOfLine(text, at)
  if (text[at + 1] !== "*") return at
  const end = text.indexOf("*/", at + 2)
  return end === -1 ? text.length : end + 2
}

/** One past the string at `at`, or `-1`. With `lines`, its line ends belong to it; without, they are those of prose. */
const endOfString = (text: string, at: number, lines: boolean): number => {
  for (let index = at + 1; index < text.length; index++) {
    const character = text[index]
    if (character === "\\") index++
    else if (character === "\"") return index + 1
    else if (character === "\n" && !lines) return -1
  }
  return -1
}

/** Line ends and tabs in a string are invalid JSON, but some models write them. */
const escaped = (text: string): string =>
  text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1))

const isSpace = (character: string | undefined): boolean => character !== undefined && character.trim() === ""

/** Without comments and trailing commas, and with strings whose line ends are escaped. */
const strictly = (text: string): string => {
  let written = ""
  /** A comma, dropped before a closing bracket, and the space after it. */
  let comma = ""
  for (let index = 0; index < text.length;) {
    const character = text[index]
    const comment = endOfComment(text, index)
    if (comment > index) {
      index = comment
      continue
    }
    if (character === ",") {
      written += comma
      comma = ","
    } else if (comma !== "" && isSpace(character)) comma += character
    else {
      written += character === "}" || character === "]" ? comma.slice(1) : comma
      comma = ""
      const end = character === "\"" ? endOfString(text, index, true) : -1
      written += end === -1 ? character : escaped(text.slice(index, end))
      if (end !== -1) {
        index = end
        continue
      }
    }
    index++
  }
  return written + comma
}

const parsed = (text: string): Either.Either<unknown, unknown> =>
  Either.orElse(
    Either.try((): unknown => JSON.parse(text)),
    () => Either.try((): unknown => JSON.parse(strictly(text)))
  )

/** A search that is longer than this many times the text is given up: the time that an answer takes grows with its length alone. */
const workPerCharacter = 64

const fence = /^(?:```|~~~)[^\n]*\n([\s\S]*?)\n?(?:```|~~~)$/
const fences = /^[ \t]*(?:```|~~~)[^\n]*\n([\s\S]*?)\n[ \t]*(?:```|~~~)/gm

/** One past the bracket that closes the one at `from`, or `-1`. `steps` is how far it was read. */
const endOfBrackets = (
  text: string,
  from: number,
  lines: boolean
): { readonly end: number; readonly steps: number } => {
  let depth = 0
  for (let index = from; index < text.length;) {
    const character = text[index]
    if (character === "\"") {
      const end = endOfString(text, index, lines)
      // The quotation mark was one of prose.
      if (end === -1) return { end: -1, steps: endOfLine(text, index) - from }
      index = end
      continue
    }
    const comment = endOfComment(text, index)
    if (comment > index) {
      index = comment
      continue
    }
    if (character === "{" || character === "[") depth++
    else if (character === "}" || character === "]") {
      depth--
      if (depth === 0) return { end: index + 1, steps: index - from }
    }
    index++
  }
  return { end: -1, steps: text.length - from }
}

const objectStart = /\{\s*["}/]/g
/** Prose has lists of its own, such as `[1]`: only one that begins its line counts. */
const listStart = /^[ \t]*\[/gm

/** The outermost values of JSON that begin like this, in their order, with the text behind each one. */
const valuesIn = (text: string, start: RegExp, bracket: "{" | "["): ReadonlyArray<readonly [unknown, number]> => {
  const found: Array<readonly [unknown, number]> = []
  let work = workPerCharacter * text.length
  start.lastIndex = 0
  for (let match = start.exec(text); match !== null && work > 0; match = start.exec(text)) {
    const from = text.indexOf(bracket, match.index)
    start.lastIndex = from + 1
    for (const lines of [false, true]) {
      const { end, steps } = endOfBrackets(text, from, lines)
      work -= steps
      const value = end === -1 ? Either.left(undefined) : parsed(text.slice(from, end))
      if (Either.isLeft(value)) continue
      found.push([value.right, end])
      start.lastIndex = end
      break
    }
  }
  return found
}

/** The outermost JSON objects of a text, in their order. */
export const objectsIn = (text: string): ReadonlyArray<unknown> =>
  valuesIn(text, objectStart, "{").map(([value]) => value)

/** The lists that stand on lines of their own. */
const listsIn = (text: string): ReadonlyArray<unknown> =>
  valuesIn(text, listStart, "[").flatMap(([value, end]) =>
    text.slice(end, endOfLine(text, end)).trim() === "" ? [value] : []
  )

/** Lists and other values other than objects, in code fences of their own. */
const fencedIn = (text: string): ReadonlyArray<unknown> =>
  Array.from(text.matchAll(fences), ([, inside = ""]) => parsed(inside)).flatMap((one) =>
    Either.isRight(one) && !Predicate.isRecord(one.right) ? [one.right] : []
  )

const isWrapped = Predicate.hasProperty("value")

/** The JSON in a text that is JSON as a whole: in a string, and the objects of a list. */
const within = (whole: unknown, text: string, wrapped: boolean): ReadonlyArray<unknown> =>
  typeof whole === "string"
    ? candidatesIn(whole, wrapped)
    : Array.isArray(whole) && !wrapped
    ? objectsIn(text).toReversed()
    : []

/**
 * Everything in an answer that could be its value, the likeliest first: the answer as a whole, then the JSON objects in it from
 * the last one to the first, since drafts and examples come before the result. With `wrapped`, the value is expected as
 * `{ "value": … }`, and the value alone is accepted, too.
 */
export const candidatesIn = (text: string, wrapped: boolean): ReadonlyArray<unknown> => {
  const trimmed = text.trim()
  const whole = parsed(fence.exec(trimmed)?.[1] ?? trimmed)
  const found = Either.isRight(whole) ? [whole.right] : objectsIn(text).toReversed()
  const inner = Either.isRight(whole) ? within(whole.right, text, wrapped) : []
  if (!wrapped) return [...found, ...inner]
  const alone = [
    ...Either.isRight(whole) ? [] : [...fencedIn(text).toReversed(), ...listsIn(text).toReversed()],
    ...found
  ]
  return [...found.filter(isWrapped), ...alone.map((value) => ({ value })), ...inner]
}
