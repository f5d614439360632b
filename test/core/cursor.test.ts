/** The position in an event stream, as a table of the ids that arrive. */
import { assert, describe, it } from "@effect/vitest"
import { Cursor, later } from "../../src/internal/stream/cursor.ts"

describe("Cursor: ids", () => {
  const pairs: ReadonlyArray<readonly [a: string | undefined, b: string | undefined, later: string | undefined]> = [
    [undefined, undefined, undefined],
    ["1-0", undefined, "1-0"],
    [undefined, "1-0", "1-0"],
    ["2-0", "1-0", "2-0"],
    ["1-0", "2-0", "2-0"],
    // Numbers, not text.
    ["10-0", "9-0", "10-0"],
    ["1-10", "1-9", "1-10"],
    ["1-9", "1-10", "1-10"],
    ["2-1", "1-2", "2-1"],
    ["1-2", "2-1", "2-1"],
    ["1-1", "01-01", "01-01"],
    // Longer than the digits that are read without a copy.
    ["1750000000000123456-0", "999-0", "1750000000000123456-0"],
    ["1-1750000000000123456", "1-999", "1-1750000000000123456"],
    ["1e3-0", "999-0", "1e3-0"],
    ["1-1.5", "1-1", "1-1.5"],
    // What is not a pair of numbers cannot be compared: the second one counts.
    ["9", "0-1", "0-1"],
    ["-9", "0-1", "0-1"],
    ["Infinity-1", "1-0", "1-0"],
    ["0-5", "0-4", "0-5"],
    ["9-x", "1-0", "1-0"],
    ["x-9", "1-0", "1-0"],
    ["9-0-1", "1-0", "1-0"],
    ["9-0", "x", "x"],
    ["9/-0", "1-0", "1-0"],
    ["9:-0", "1-0", "1-0"]
  ]
  it.each(pairs)("of %s and %s, the later one is %s", (a, b, expected) => assert.strictEqual(later(a, b), expected))
})

describe("Cursor: positions", () => {
  interface Row {
    readonly title: string
    readonly start?: string
    readonly ids: ReadonlyArray<string>
    /** The new ones among them; all by default. */
    readonly accepted?: ReadonlyArray<string>
    readonly position: string | undefined
    /** Where a connection that breaks is continued. */
    readonly safe: string | undefined
    readonly latest: string | undefined
  }
  const rows: ReadonlyArray<Row> = [
    { title: "nothing has arrived", ids: [], position: undefined, safe: undefined, latest: undefined },
    {
      title: "nothing has arrived since the start",
      start: "7-1",
      ids: [],
      position: "7-1",
      safe: "7-1",
      latest: undefined
    },
    { title: "the first millisecond may go on", ids: ["5-1"], position: "5-1", safe: undefined, latest: "5-1" },
    { title: "it may go on after the start", start: "4-9", ids: ["5-1"], position: "5-1", safe: "4-9", latest: "5-1" },
    { title: "the next millisecond ends it", ids: ["5-1", "6-0"], position: "6-0", safe: "5-1", latest: "6-0" },
    {
      title: "a millisecond arrives out of order",
      ids: ["5-1", "6-2", "6-10", "6-3"],
      position: "6-10",
      safe: "5-1",
      latest: "6-10"
    },
    {
      title: "the newest event of the millisecond before is the safe one",
      ids: ["4-0", "6-0", "5-3", "5-2"],
      position: "6-0",
      safe: "5-3",
      latest: "6-0"
    },
    {
      title: "an event of a millisecond before, and none other, is the safe one",
      ids: ["6-0", "5-3"],
      position: "6-0",
      safe: "5-3",
      latest: "6-0"
    },
    {
      title: "known events are not new, but count for the latest",
      ids: ["5-1", "6-0", "5-1", "6-0"],
      accepted: ["5-1", "6-0"],
      position: "6-0",
      safe: "5-1",
      latest: "6-0"
    },
    {
      title: "an id that cannot be compared is taken as it is",
      ids: ["5-1", "x", "x"],
      accepted: ["5-1", "x"],
      position: "x",
      safe: "x",
      latest: "x"
    },
    {
      title: "the next one that can be compared replaces it",
      start: "4-0",
      ids: ["5-1", "x", "6-0"],
      position: "6-0",
      safe: "5-1",
      latest: "6-0"
    }
  ]
  it.each(rows.map((row) => [row.title, row] as const))("%s", (_, { accepted, ids, latest, position, safe, start }) => {
    const cursor = new Cursor(start)
    assert.deepStrictEqual(ids.filter((id) => cursor.accept(id)), [...accepted ?? ids])
    assert.deepStrictEqual([cursor.position, cursor.safePosition, cursor.latest], [position, safe, latest])
  })

  it("the latest id counts from the connection, and known events count", () => {
    const cursor = new Cursor("1-0")
    for (const id of ["5-0", "6-0"]) cursor.accept(id)
    cursor.connected()
    assert.isUndefined(cursor.latest)
    assert.isFalse(cursor.accept("5-0"))
    assert.strictEqual(cursor.latest, "5-0")
    assert.isFalse(cursor.accept("6-0"))
    assert.isTrue(cursor.accept("5-5"))
    assert.strictEqual(cursor.latest, "6-0")
  })
})

describe("Cursor: memory", () => {
  /** Whether an event that never arrived still counts as new after others have. */
  const takes = (id: string, others: ReadonlyArray<string>) => {
    const cursor = new Cursor(undefined)
    for (const other of others) assert.isTrue(cursor.accept(other), other)
    return cursor.accept(id)
  }
  const milliseconds = (count: number) => Array.from({ length: count }, (_, i) => `${i + 10}-0`)
  const counters = (count: number) => Array.from({ length: count }, (_, i) => `5-${i + 10}`)
  const opaque = (count: number) => Array.from({ length: count }, (_, i) => `x${i}`)

  it("two generations of 256 events are remembered; older events are not new", () => {
    assert.isTrue(takes("9-0", milliseconds(512)))
    assert.isFalse(takes("9-0", milliseconds(513)))
    assert.isTrue(takes("266-1", milliseconds(513)))
    assert.isFalse(takes("264-1", milliseconds(513)))
  })

  it("a millisecond that goes on is remembered up to 4,096 events per generation", () => {
    assert.isTrue(takes("5-1", counters(8_191)))
    assert.isFalse(takes("5-1", counters(8_192)))
  })

  it("ids that cannot be compared are remembered, too, and forgotten without a position", () => {
    assert.isFalse(takes("x0", opaque(512)))
    assert.isTrue(takes("x0", opaque(513)))
    assert.isTrue(takes("1-0", opaque(2_000)))
  })

  it("a generation ends with the newest of its events, whatever their order", () => {
    const backwards = milliseconds(256).toReversed()
    const more = Array.from({ length: 257 }, (_, i) => `${i + 1_000}-0`)
    assert.isFalse(takes("264-1", [...backwards, ...more]))
    assert.isTrue(takes("266-1", [...backwards, ...more]))
  })
})
