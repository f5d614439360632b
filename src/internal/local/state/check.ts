/** Checks values that a test gives to Local Dust. JavaScript and JSON files have no types. */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * An option of Local Dust that has no effect or cannot be used: an unknown or misspelt name, a value of the wrong kind, a
 * reference to something that does not exist. The message names the place and the nearest known names.
 *
 * @category errors
 * @since 0.2.0
 */
export class DustTestOptionsError extends Data.TaggedError("DustTestOptionsError")<{ readonly message: string }> {}

/** Returns the problem of a value at a place, or `undefined`. */
export type Check = (value: unknown, place: string) => string | undefined

/** Length of the common prefix and suffix of two names. */
const likeness = (a: string, b: string): number => {
  const [one, two] = [a.toLowerCase(), b.toLowerCase()]
  let from = 0
  while (from < Math.min(one.length, two.length) && one[from] === two[from]) from++
  let to = 0
  while (to < Math.min(one.length, two.length) - from && one.at(-1 - to) === two.at(-1 - to)) to++
  return from + to
}

/** The three most similar names. */
export const nearest = (name: string, all: Iterable<string>): string =>
  [...all].sort((a, b) => likeness(name, b) - likeness(name, a)).slice(0, 3).join(", ")

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A short description of a value, for messages. */
export const shown = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (typeof value === "function") return "a function"
  if (Array.isArray(value)) return "an array"
  if (value instanceof Promise) return "a promise"
  return typeof value === "object" && value !== null ? "an object" : String(value)
}

const must = (what: string, holds: (value: unknown) => boolean): Check => (value, place) =>
  holds(value) ? undefined : `${place} must be ${what}, not ${shown(value)}`

export const anything: Check = () => undefined
export const text: Check = must("a text", (value) => typeof value === "string")
export const flag: Check = must("true or false", (value) => typeof value === "boolean")
export const fn: Check = must("a function", (value) => typeof value === "function")
export const record: Check = must("an object", isRecord)
export const number: Check = must("a number", (value) => typeof value === "number" && Number.isFinite(value))
export const wholeFrom = (least: number): Check =>
  must(
    `a whole number from ${least}`,
    (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= least
  )
export const limit: Check = must(
  "a number above 0, or Infinity",
  (value) => typeof value === "number" && value > 0
)
export const duration: Check = must(
  "a duration, such as \"10 seconds\"",
  (value) => Option.isSome(Duration.decodeUnknown(value))
)
export const nullable = (check: Check): Check => (value, place) => value === null ? undefined : check(value, place)
export const oneOf = (...all: ReadonlyArray<unknown>): Check =>
  must(`one of ${all.map(shown).join(", ")}`, (value) => all.includes(value))

/** The first check that accepts the value; else the problem of the last one. */
export const either = (...checks: ReadonlyArray<Check>): Check => (value, place) => {
  let problem: string | undefined
  for (const check of checks) {
    problem = check(value, place)
    if (problem === undefined) return undefined
  }
  return problem
}

const firstOf = (all: Iterable<readonly [place: string, check: Check, value: unknown]>): string | undefined => {
  for (const [place, check, value] of all) {
    const problem = check(value, place)
    if (problem !== undefined) return problem
  }
  return undefined
}

export const list = (check: Check): Check => (value, place) =>
  Array.isArray(value)
    ? firstOf(value.map((one: unknown, index) => [`${place}[${index}]`, check, one] as const))
    : `${place} must be a list, not ${shown(value)}`

const inside = (place: string, name: string): string => place === "" ? name : `${place}.${name}`

export const recordOf = (check: Check): Check => (value, place) =>
  isRecord(value)
    ? firstOf(Object.entries(value).map(([name, one]) => [inside(place, name), check, one] as const))
    : `${place} must be an object, not ${shown(value)}`

type RequiredKeys<T> = { [K in keyof T]-?: {} extends Pick<T, K> ? never : K }[keyof T]

/** An object with exactly these fields. The compiler demands a check for each field of the type. */
export const object = <T extends object>(
  required: { readonly [K in RequiredKeys<T>]: Check },
  optional: { readonly [K in Exclude<keyof T, RequiredKeys<T>>]: Check }
): Check => {
  const needed = new Map(Object.entries<Check>(required))
  const all = new Map([...needed, ...Object.entries<Check>(optional)])
  return (value, place) => {
    if (!isRecord(value)) return `${place} must be an object, not ${shown(value)}`
    const unknown = Object.keys(value).find((name) => !all.has(name))
    if (unknown !== undefined) {
      return `${inside(place, unknown)} is unknown; similar: ${nearest(unknown, all.keys())}`
    }
    const missing = [...needed.keys()].find((name) => value[name] === undefined)
    if (missing !== undefined) return `${inside(place, missing)} is missing`
    return firstOf(
      [...all].flatMap(([name, check]) =>
        value[name] === undefined ? [] : [[inside(place, name), check, value[name]] as const]
      )
    )
  }
}
