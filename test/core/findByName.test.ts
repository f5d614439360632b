import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { distance, type Named, pickByName } from "../../src/internal/input/findByName.ts"
import { plain } from "../support/jobs.ts"

const identity = {
  module: "Spaces",
  method: "findByName",
  http: "GET",
  route: "/spaces"
} as unknown as Parameters<typeof pickByName>[0]

const named = (names: ReadonlyArray<string>): ReadonlyArray<Named> => names.map((name, i) => ({ sId: `id${i}`, name }))
const pick = (name: string, names: ReadonlyArray<string>) =>
  pickByName(identity, "space", name, Effect.succeed(named(names)))

const error = (tag: string, type: string, message: string, attempts: number, details: object) => ({
  _tag: tag,
  module: "Spaces",
  method: "findByName",
  request: { method: "GET", route: "/spaces" },
  message: `Spaces.findByName: ${message}`,
  type,
  attempts,
  details
})

describe("findByName", () => {
  const found: ReadonlyArray<readonly [string, ReadonlyArray<string>, number]> = [
    ["handbook", ["Handbook", "handbook", "HANDBOOK"], 1],
    ["hanDBook", ["other", "Handbook"], 1],
    [" Cafe\u0301 ", ["Cafe", "Caf\u00e9"], 1],
    ["Caf\u00e9", ["CAFE\u0301 "], 0]
  ]
  it.effect.each(found)("finds %j among %j", ([name, names, index]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* pick(name, names), named(names)[index])
    }))

  it.effect("refuses a blank name before any request", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(pickByName(identity, "space", " ", Effect.dieMessage("requested")))
      assert.deepStrictEqual(
        plain(failure),
        error("DustBadRequestError", "invalid_input", "name must be a non-blank name", 0, {
          field: "name",
          expected: "a non-blank name"
        })
      )
    }))

  it.effect("names the ids of several with the same name, five in the message", () =>
    Effect.gen(function*() {
      const names = ["A", "a", "A", "A", "A", "A", "A"]
      const candidates = named(names).filter(({ name }) => name === "A")
      assert.deepStrictEqual(
        plain(yield* Effect.flip(pick(" A", names))),
        error(
          "DustBadRequestError",
          "ambiguous_name",
          "6 spaces are named \"A\" (id0, id2, id3, id4, id5); use the id instead",
          1,
          { field: "name", candidates }
        )
      )
    }))

  const long = "x".repeat(64)
  const similar: ReadonlyArray<readonly [string, ReadonlyArray<string>, ReadonlyArray<string>]> = [
    ["none", [], []],
    ["sales", ["engineering"], []],
    // Closest first: a name that begins like this, then one that contains it or is contained, then by edits.
    ["Sales", ["zales", "saxe", "pre-sales", "ale", "sales team"], ["sales team", "pre-sales", "ale", "zales", "saxe"]],
    ["xxabxx", ["ab"], []],
    ["xyzabcxyz", ["abc"], ["abc"]],
    ["hand", ["haxx", "hxxx"], ["haxx"]],
    ["handbooks", ["handboQQQ", "handbQQQQ"], ["handboQQQ"]],
    ["handbook-11", ["handbook_22", "handbooX_22"], ["handbook_22"]],
    ["b", ["b1", "b2", "b3", "b4", "b5", "b6"], ["b1", "b2", "b3", "b4", "b5"]],
    [`${long}a`, [`${long}b`, `_${long}a`], [`${long}b`, `_${long}a`]]
  ]
  it.effect.each(similar)(
    "does not find %j, and returns what is similar among %j",
    ([name, names, expected]) =>
      Effect.gen(function*() {
        const near = expected.map((one) => named(names).find((item) => item.name === one))
        const close = expected.length === 0 ? "" : `; similar names: ${expected.join(", ")}`
        assert.deepStrictEqual(
          plain(yield* Effect.flip(pick(` ${name} `, names))),
          error("DustNotFoundError", "name_not_found", `no space is named "${name}"${close}`, 1, { name, near })
        )
      })
  )

  const distances: ReadonlyArray<readonly [string, string, number]> = [
    ["", "", 0],
    ["abc", "", 3],
    ["", "abc", 3],
    ["abc", "abc", 0],
    ["ab", "ba", 2],
    ["abcd", "acd", 1],
    ["acd", "abcd", 1],
    ["kitten", "sitting", 3]
  ]
  it.each(distances)("%j and %j differ by %d edits", (a, b, expected) => assert.strictEqual(distance(a, b), expected))
})
