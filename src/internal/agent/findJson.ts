/** Finds the JSON in an answer that has prose, code fences or drafts around it. Pure. */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"

const parsed = (text: string): Either.Either<unknown, unknown> => Either.try((): unknown => JSON.parse(text))

/** A search that is longer than this many times the text is given up: the time that an answer takes grows with its length alone. */
const workPerCharacter = 64

const fence = /^(?:```|~~~)[^\n]*\n([\s\S]*?)\n?(?:```|~~~)$/

/** One past the bracket that closes the object at `from`; `-1`: not an object of JSON. `steps` is how far it was read. */
const endOfObject = (text: string, from: number): { readonly end: number; readonly steps: number } => {
  let depth = 0
  let quoted = false
  for (let index = from; index < text.length; index++) {
    const character = text[index]
    if (quoted) {
      if (character === "\\") index++
      else if (character === "\"") quoted = false
      // A string of JSON has no line end, so this quotation mark was one of prose.
      else if (character === "\n") return { end: -1, steps: index - from }
    } else if (character === "\"") quoted = true
    else if (character === "{" || character === "[") depth++
    else if (character === "}" || character === "]") {
      depth--
      if (depth === 0) return { end: index + 1, steps: index - from }
    }
  }
  return { end: -1, steps: text.length - from }
}

const opening = /\{\s*["}]/g

/** The outermost JSON objects of a text, in their order. */
export const objectsIn = (text: string): ReadonlyArray<unknown> => {
  const found: Array<unknown> = []
  let work = workPerCharacter * text.length
  opening.lastIndex = 0
  for (let match = opening.exec(text); match !== null && work > 0; match = opening.exec(text)) {
    const { end, steps } = endOfObject(text, match.index)
    work -= steps
    const value = end === -1 ? Either.left(undefined) : parsed(text.slice(match.index, end))
    if (Either.isRight(value)) found.push(value.right)
    opening.lastIndex = Either.isRight(value) ? end : match.index + 1
  }
  return found
}

/**
 * Everything in an answer that could be its value, the likeliest first: the answer as a whole, then the JSON objects in it from
 * the last one to the first, since drafts and examples come before the result. With `wrapped`, the value is expected as
 * `{ "value": … }`, and an answer that is the value alone is accepted, too.
 */
export const candidatesIn = (text: string, wrapped: boolean): ReadonlyArray<unknown> => {
  const trimmed = text.trim()
  const whole = parsed(fence.exec(trimmed)?.[1] ?? trimmed)
  if (Either.isLeft(whole)) return objectsIn(text).toReversed()
  return wrapped && !(Predicate.isRecord(whole.right) && "value" in whole.right)
    ? [{ value: whole.right }]
    : [whole.right]
}
