import * as Effect from "effect/Effect"
import type { DustBadRequestError, DustNotFoundError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, badRequest, notFound } from "../request/errors.ts"

const nearLimit = 5

/** How many single-character edits lead from one text to the other. */
export const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

const near = (wanted: string, name: string): number => {
  if (name.startsWith(wanted)) return 0
  if (name.includes(wanted) || (name.length > 2 && wanted.includes(name))) return 1
  const edits = distance(wanted.slice(0, 64), name.slice(0, 64))
  return edits <= Math.max(2, Math.floor(wanted.length / 3)) ? 1 + edits : Number.POSITIVE_INFINITY
}

export interface Named {
  readonly sId: string
  readonly name: string
}

/** A name for comparison: on a Mac, typed accents are separate characters. */
const normal = (name: string): string => name.normalize("NFC").trim()

/**
 * The one with this name: exactly, else without regard to case. None is a `DustNotFoundError` with the names that come
 * close, several are a `DustBadRequestError` with their ids.
 */
export const pickByName = <A extends Named, E, R>(
  identity: Identity,
  what: string,
  name: string,
  all: Effect.Effect<ReadonlyArray<A>, E, R>
): Effect.Effect<A, E | DustNotFoundError | DustBadRequestError, R> => {
  if (name.trim() === "") return Effect.fail(badInput(identity, "name", "a non-blank name"))
  const wanted = normal(name)
  const folded = wanted.toLowerCase()
  return Effect.flatMap(all, (items): Effect.Effect<A, DustNotFoundError | DustBadRequestError> => {
    const exact = items.filter((item) => normal(item.name) === wanted)
    const found = exact.length > 0 ? exact : items.filter((item) => normal(item.name).toLowerCase() === folded)
    if (found.length === 1) return Effect.succeed(found[0]!)
    if (found.length > 1) {
      const ids = found.map((item) => item.sId).slice(0, nearLimit).join(", ")
      return Effect.fail(
        badRequest(
          identity,
          1,
          "ambiguous_name",
          `${found.length} ${what}s are named ${JSON.stringify(wanted)} (${ids}); use the id instead`,
          { field: "name", candidates: found.map(({ name, sId }) => ({ sId, name })) }
        )
      )
    }
    const candidates = items
      .map((item) => ({ item, rank: near(folded, normal(item.name).toLowerCase()) }))
      .filter(({ rank }) => Number.isFinite(rank))
      .sort((a, b) => a.rank - b.rank)
      .slice(0, nearLimit)
      .map(({ item: { name, sId } }) => ({ sId, name }))
    const close = candidates.length === 0 ? "" : `; similar names: ${candidates.map(({ name }) => name).join(", ")}`
    return Effect.fail(
      notFound(identity, 1, "name_not_found", `no ${what} is named ${JSON.stringify(wanted)}${close}`, {
        name: wanted,
        near: candidates
      })
    )
  })
}
