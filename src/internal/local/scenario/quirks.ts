/** Parses quirks from command-line text. */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { defaultQuirks } from "../state/create.ts"
import type { Quirks } from "../state/state.ts"

type Name = keyof Quirks

const words: { readonly [K in Name]?: ReadonlyArray<string> } = {
  credits: ["available", "exhausted", "no_seat", "user_cap", "group_cap", "key_cap"],
  rateLimitStatus: ["403", "429"]
}

const names = Object.keys(defaultQuirks) as ReadonlyArray<Name>

/** Length of the common prefix and suffix of two names. */
const likeness = (a: string, b: string): number => {
  const [one, two] = [a.toLowerCase(), b.toLowerCase()]
  let from = 0
  while (from < Math.min(one.length, two.length) && one[from] === two[from]) from++
  let to = 0
  while (to < Math.min(one.length, two.length) - from && one.at(-1 - to) === two.at(-1 - to)) to++
  return from + to
}

export const nearest = (name: string, all: ReadonlyArray<string>): string =>
  [...all].sort((a, b) => likeness(name, b) - likeness(name, a)).slice(0, 3).join(", ")

const valueOf = (name: Name, text: string): Either.Either<unknown, string> => {
  const choice = words[name]
  if (choice !== undefined) {
    return choice.includes(text)
      ? Either.right(name === "rateLimitStatus" ? Number(text) : text)
      : Either.left(`must be one of ${choice.join(", ")}`)
  }
  switch (typeof defaultQuirks[name]) {
    case "boolean":
      return text === "true" || text === "false" ? Either.right(text === "true") : Either.left("must be true or false")
    case "number": {
      const number = Number(text)
      return text.trim() !== "" && Number.isInteger(number) && number > 0
        ? Either.right(number)
        : Either.left("must be a whole number above 0")
    }
    default:
      return Option.match(Duration.decodeUnknown(text), {
        onNone: () => Either.left("must be a duration, such as \"10 seconds\""),
        onSome: Either.right
      })
  }
}

/** Parses quirks such as `doneFrame=false`. Left: the error for the first invalid one. */
export const parseQuirks = (texts: ReadonlyArray<string>): Either.Either<Partial<Quirks>, string> => {
  const quirks: Record<string, unknown> = {}
  for (const text of texts) {
    const at = text.indexOf("=")
    const name = (at < 0 ? text : text.slice(0, at)).trim()
    const known = names.find((one) => one === name)
    if (known === undefined) return Either.left(`${name} is no quirk; the nearest are ${nearest(name, names)}`)
    if (at < 0) {
      return Either.left(`${name} needs a value, as in ${name}=${String(defaultQuirks[known] ?? "10 seconds")}`)
    }
    const value = valueOf(known, text.slice(at + 1).trim())
    if (Either.isLeft(value)) return Either.left(`${name} ${value.left}`)
    quirks[known] = value.right
  }
  return Either.right(quirks)
}
