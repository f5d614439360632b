/** Rows of a table on their way to Dust. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Either } from "effect"
import type { RowInput } from "effect-dust/DataSource"
import { runInNewContext } from "node:vm"
import { operations } from "../../src/internal/api/dataSources.ts"
import { ColumnNames } from "../../src/internal/data/columns.ts"
import { wireCell, wireRows } from "../../src/internal/data/rows.ts"
import { plain, refusedBy } from "../support/jobs.ts"

describe("a cell", () => {
  const circular: { self?: unknown } = {}
  circular.self = circular
  const unsupported = Either.left("text, a number, a boolean, a date, null, or a value that JSON can represent")
  const noText = Either.left("text without NUL characters or lone surrogates, which Dust cannot store")
  const at = (epoch: number) => Either.right({ type: "datetime", epoch })

  const cells: ReadonlyArray<readonly [string, unknown, unknown]> = [
    ["nothing", undefined, Either.right(undefined)],
    ["null", null, Either.right(null)],
    ["text", " 🍵 ", Either.right(" 🍵 ")],
    ["empty text", "", Either.right("")],
    ["a NUL", "a\0", noText],
    ["the first half of a character", "\ud83d!", noText],
    ["the second half of a character", "!\udf75", noText],
    ["a boolean", false, Either.right(false)],
    ["a number", -1.5, Either.right(-1.5)],
    ["NaN", Number.NaN, Either.left("a finite number")],
    ["infinity", Infinity, Either.left("a finite number")],
    ["an integer", 9007199254740991n, Either.right(9007199254740991)],
    ["a large integer", 9007199254740993n, Either.right("9007199254740993")],
    ["a Date", new Date(5), at(5)],
    ["a Date of another realm", runInNewContext("new Date(5)"), at(5)],
    ["an invalid Date", new Date(Number.NaN), Either.left("a valid date")],
    ["a DateTime", DateTime.unsafeMake(5), at(5)],
    ["a datetime", { type: "datetime", epoch: 5 }, at(5)],
    ["a datetime that is none", { type: "datetime", epoch: Number.NaN }, Either.left("a valid date")],
    ["a datetime of text", { type: "datetime", epoch: "5" }, Either.left("a datetime with an epoch in milliseconds")],
    ["a datetime without a time", { type: "datetime" }, Either.right("{\"type\":\"datetime\"}")],
    ["another object with a time", { type: "other", epoch: 5 }, Either.right("{\"type\":\"other\",\"epoch\":5}")],
    ["an array", [1, "a"], Either.right("[1,\"a\"]")],
    ["a decimal", { toJSON: () => "1.50" }, Either.right("1.50")],
    ["a decimal with a NUL", { toJSON: () => "\0" }, noText],
    ["a decimal number", { toJSON: () => 1.5 }, Either.right(1.5)],
    ["an object that encodes itself", { toJSON: () => ({ a: 1 }) }, Either.right("{\"a\":1}")],
    ["an object that encodes itself as nothing", { toJSON: () => undefined }, unsupported],
    ["a circle", circular, unsupported],
    ["bytes", new Uint8Array(1), unsupported],
    ["a DataView", new DataView(new ArrayBuffer(1)), unsupported],
    ["a buffer", new ArrayBuffer(1), unsupported],
    ["a shared buffer", new SharedArrayBuffer(1), unsupported],
    ["a function", () => 1, unsupported],
    ["a symbol", Symbol("a"), unsupported]
  ]
  it.each(cells)("of %s is sent, omitted or refused", (_, value, expected) => {
    assert.deepStrictEqual(wireCell(value), expected)
  })
})

describe("rows", () => {
  const identity = operations.upsertRows.write
  const refused = refusedBy("DataSources", "upsertRows", { method: "POST", route: identity.route })
  const odd = (value: unknown) => value as RowInput

  it("are sent with their columns, without cells that are undefined", () => {
    const columns = new ColumnNames()
    const value: object = JSON.parse("{\"My N\":1,\"__proto__\":2}")
    const rows: ReadonlyArray<RowInput> = [
      { rowId: "a", value: { ...value, gone: undefined, ["my_n"]: 3 } },
      { rowId: " b ", value }
    ]
    const wire = Either.getOrThrow(wireRows(identity, columns, rows))
    assert.deepStrictEqual(wire.map(({ row_id, value }) => [row_id, Object.entries(value)]), [
      ["a", [["my_n", 1], ["__proto__", 2], ["my_n_2", 3]]],
      [" b ", [["my_n", 1], ["__proto__", 2]]]
    ])
    assert.deepStrictEqual(Object.keys(columns.entries), ["My N", "__proto__", "my_n"])
  })

  const id = "a non-blank string"
  const cells = "an object with one cell per column"
  const wrong: ReadonlyArray<readonly [unknown, string, string]> = [
    [null, "rows.8", "an object"],
    ["a", "rows.8", "an object"],
    [{ rowId: 1, value: {} }, "rows.8.rowId", id],
    [{ rowId: " ", value: {} }, "rows.8.rowId", id],
    [{ rowId: "a\0", value: {} }, "rows.8.rowId", id],
    [{ rowId: "a" }, "rows.8.value", cells],
    [{ rowId: "a", value: null }, "rows.8.value", cells],
    [{ rowId: "a", value: 1 }, "rows.8.value", cells],
    [{ rowId: "a", value: { b: 1, c: Infinity } }, "rows.8.value.c", "a finite number"],
    [{ rowId: "a", value: { ["x".repeat(65)]: Infinity } }, `rows.8.value.${"x".repeat(64)}`, "a finite number"]
  ]
  it.each(wrong)("are refused with %j, which is named by its position in the source", (row, field, expected) => {
    const rows = [{ rowId: "a", value: {} }, odd(row)]
    const wire = wireRows(identity, new ColumnNames(), rows, 7)
    assert.deepStrictEqual(Either.isLeft(wire) && plain(wire.left), refused(field, expected))
  })
})
