/** The leaves and the shape of JSON values. */

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Each leaf value by its path. */
export function* leaves(value: unknown, path: string): Generator<readonly [path: string, json: string]> {
  if (Array.isArray(value)) {
    if (value.length === 0) yield [path, "[]"]
    for (const [index, one] of value.entries()) yield* leaves(one, `${path}.${index}`)
  } else if (isRecord(value)) {
    const entries = Object.entries(value)
    if (entries.length === 0 && path.includes(".")) yield [path, "{}"]
    for (const [key, one] of entries) yield* leaves(one, `${path}.${key}`)
  } else if (value !== undefined) yield [path, JSON.stringify(value)]
}

/** The types of the values at a path and, for an enumerated field, the values themselves. */
export interface Seen {
  readonly types: Set<string>
  readonly words: Set<string>
}

/** Values at each path; `*` stands for list elements. */
export type Shape = Map<string, Seen>

/** Fields with enumerated values. */
const isChoice = (path: string): boolean => /(?:^|\.)(?:type|kind|status|role|visibility|classification)$/.test(path)

const typeOf = (value: unknown): string => value === null ? "null" : Array.isArray(value) ? "array" : typeof value

/** An object whose keys are ids, names or numbers is a map: its members are compared, not its keys. */
const isMap = (value: Readonly<Record<string, unknown>>): boolean => {
  const keys = Object.keys(value)
  return keys.length > 0 && keys.every((key) => /^\d+$|^[a-z]{2,4}_[A-Za-z0-9]{6,}$|[A-Z].*\d|\d.*[A-Z]/.test(key))
}

export const shapeOf = (value: unknown, path = "", shape: Shape = new Map()): Shape => {
  const seen = shape.get(path) ?? { types: new Set<string>(), words: new Set<string>() }
  shape.set(path, seen)
  seen.types.add(typeOf(value))
  const below = (key: string) => path === "" ? key : `${path}.${key}`
  if (typeof value === "string" && isChoice(path)) seen.words.add(value)
  if (Array.isArray(value)) { for (const one of value) shapeOf(one, below("*"), shape) }
  else if (isRecord(value)) {
    const map = isMap(value)
    for (const [key, one] of Object.entries(value)) shapeOf(one, below(map ? "*" : key), shape)
  }
  return shape
}

/** A difference between two shapes. */
export interface ShapeDifference {
  readonly path: string
  readonly recorded: string
  readonly local: string
}

const known = ({ types }: Seen): ReadonlyArray<string> => [...types].filter((type) => type !== "null").sort()

const parentOf = (path: string): string => path.split(".").slice(0, -1).join(".")

/** Whether the parent of a path exists and is not an empty list; otherwise the path cannot be compared. */
const isKnown = (shape: Shape, path: string): boolean => {
  if (path === "") return true
  const parent = parentOf(path)
  if (path.endsWith("*")) return false
  return shape.get(parent)?.types.has("object") === true
}

/** The paths present in only one shape, or with different types. `null` and empty lists do not count as differences. */
export const differences = (recorded: Shape, local: Shape): ReadonlyArray<ShapeDifference> => {
  const found: Array<ShapeDifference> = []
  for (const path of new Set([...recorded.keys(), ...local.keys()])) {
    const [one, two] = [recorded.get(path), local.get(path)]
    if (one === undefined || two === undefined) {
      if (isKnown(one === undefined ? recorded : local, path)) {
        found.push({ path, recorded: describe(one), local: describe(two) })
      }
      continue
    }
    const [types, others] = [known(one), known(two)]
    if (types.length > 0 && others.length > 0 && types.join() !== others.join()) {
      found.push({ path, recorded: types.join(" or "), local: others.join(" or ") })
    } else {
      const words = [...one.words].filter((word) => !two.words.has(word))
      if (words.length > 0 && two.words.size > 0) {
        found.push({ path, recorded: quoted(one.words), local: quoted(two.words) })
      }
    }
  }
  return found
}

const quoted = (words: ReadonlySet<string>): string =>
  [...words].sort().map((word) => JSON.stringify(word)).join(" or ")

const describe = (seen: Seen | undefined): string => seen === undefined ? "absent" : [...seen.types].sort().join(" or ")
