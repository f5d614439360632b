/** Parses quirks from command-line text. */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { nearest } from "../state/check.ts"
import { quirkWords } from "../state/checkOptions.ts"
import { defaultQuirks } from "../state/create.ts"
import type { Quirks } from "../state/state.ts"

type Name = keyof Quirks

const words: { readonly [K in Name]?: ReadonlyArray<string> } = {
  credits: quirkWords.credits,
  rateLimitStatus: quirkWords.rateLimitStatus.map(String)
}

const names = Object.keys(defaultQuirks) as ReadonlyArray<Name>

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
    if (known === undefined) return Either.left(`${name} is not a quirk; similar: ${nearest(name, names)}`)
    if (at < 0) {
      return Either.left(`${name} needs a value, as in ${name}=${String(defaultQuirks[known] ?? "10 seconds")}`)
    }
    const value = valueOf(known, text.slice(at + 1).trim())
    if (Either.isLeft(value)) return Either.left(`${name} ${value.left}`)
    quirks[known] = value.right
  }
  return Either.right(quirks)
}
