/** A load of a table over a data source in memory: every event, every request, every refusal. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import type { RowInput, Table, TableInput, TableSummary } from "effect-dust/DataSource"
import type * as DataSync from "effect-dust/DataSync"
import type { RequestError } from "effect-dust/DustAPIError"
import * as Fixtures from "effect-dust/Fixtures"
import { loadTable, type TableStore } from "../../src/internal/data/table.ts"
import { eventsOf, plain, refusedBy, settings } from "../support/jobs.ts"
import { virtualClock } from "../support/virtual.ts"

const at = { spaceId: "vlt_a", dataSourceId: "dts_a" } as const
const day = 1_750_000_000_000
const summary = { tableId: "tbl", name: "t" } as TableSummary

interface Setup {
  /** The ids of the rows in the table. */
  readonly rows?: ReadonlyArray<string>
  readonly tables?: ReadonlyArray<Pick<Table, "tableId" | "name">>
  readonly isCounted?: boolean
  readonly write?: (nth: number) => Effect.Effect<void, RequestError>
  readonly remove?: Effect.Effect<void, RequestError>
  /** Every second request fails with it. */
  readonly limit?: RequestError
}

const storeOf = ({ isCounted = true, limit, remove = Effect.void, rows = [], tables = [], write }: Setup = {}) => {
  const calls: Array<ReadonlyArray<unknown>> = []
  const ids = new Set(rows)
  let writes = 0
  const asked = <A>(
    call: ReadonlyArray<unknown>,
    answer: () => A,
    before: Effect.Effect<void, RequestError>
  ): Effect.Effect<A, RequestError> =>
    Effect.suspend(() => {
      calls.push(call)
      return limit !== undefined && calls.length % 2 === 1 ? Effect.fail(limit) : Effect.map(before, answer)
    })
  const store: TableStore = {
    settings: Effect.succeed(settings),
    check: ({ name }) => asked(["check", name], () => undefined, Effect.void),
    tables: asked(["tables"], () => tables as ReadonlyArray<Table>, Effect.void),
    create: ({ name }) => asked(["create", name], () => ({ tableId: "new", name }) as Table, Effect.void),
    write: (tableId, rows, truncate) =>
      Effect.suspend(() =>
        asked(["write", tableId, rows.map(({ row_id, value }) => [row_id, value]), truncate], () => {
          if (truncate) ids.clear()
          for (const row of rows) ids.add(row.row_id)
          return summary
        }, write?.(++writes) ?? Effect.void)
      ),
    rowIds: (tableId) => Stream.unwrap(asked(["rowIds", tableId], () => Stream.fromIterable([...ids]), Effect.void)),
    count: (tableId) => asked(["count", tableId], () => isCounted ? ids.size : null, Effect.void),
    remove: (tableId, rowId) => asked(["remove", tableId, rowId], () => void ids.delete(rowId), remove)
  }
  return { store, calls, ids }
}

interface Settings {
  readonly table?: string | TableInput
  readonly replace?: boolean
  readonly truncate?: boolean
  readonly maxDeletions?: DataSync.MaxDeletions
  readonly allowEmpty?: boolean | undefined
  readonly batchSize?: number
  readonly total?: number
}

type Options = DataSync.TableContent<RequestError> & Settings

const load = (store: TableStore, options: Options) =>
  Effect.withClock(eventsOf(loadTable(store, { ...at, table: "tbl", ...options })), virtualClock(day))

const refused = refusedBy("DataSources", "loadTable", {
  method: "POST",
  route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows"
})
const row = (rowId: string, n: unknown = 1): RowInput => ({ rowId, value: { n } })
const rowsOf = (...ids: ReadonlyArray<string>) => ids.map((id) => row(id))
const written = (...ids: ReadonlyArray<string>) => ids.map((id) => [id, { n: 1 }])
/** As a source that is not an array. */
const generator = function*<A>(all: ReadonlyArray<A>) {
  yield* all
}
const progress = (over: object = {}) => ({
  _tag: "Progress",
  tableId: "tbl",
  rows: 0,
  total: undefined,
  batches: 0,
  deleted: 0,
  ...over
})
const done = (over: object = {}) => ({
  ...progress(over),
  _tag: "Done",
  duplicates: 0,
  columns: { n: "n" },
  table: summary,
  ...over
})

describe("a load", () => {
  it.effect("writes batches, each id once, and ends with its result", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf({ rows: ["old"] })
      const rows = [row("a", 1), row("b"), row("a", 2), row("a", 3), row("c"), row("d"), row("e")]
      assert.deepStrictEqual(yield* load(store, { rows, batchSize: 3 }), [
        progress({ rows: 3, total: 7, batches: 1 }),
        progress({ rows: 6, total: 7, batches: 2 }),
        progress({ rows: 7, total: 7, batches: 3 }),
        done({ rows: 7, total: 7, batches: 3, duplicates: 2, rowsInTable: 6 })
      ])
      assert.deepStrictEqual(calls, [
        ["write", "tbl", [["a", { n: 2 }], ["b", { n: 1 }]], false],
        ["write", "tbl", [["a", { n: 3 }], ["c", { n: 1 }], ["d", { n: 1 }]], false],
        ["write", "tbl", [["e", { n: 1 }]], false],
        ["count", "tbl"]
      ])
    }))

  it.effect("takes 500 rows at a time from a generator or a Stream, whose length only the caller knows", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 501 }, (_, i) => String(i))
      for (const source of [() => generator(rowsOf(...ids)), () => Stream.fromIterable(rowsOf(...ids))]) {
        const { store } = storeOf({ isCounted: false })
        assert.deepStrictEqual(yield* load(store, { rows: source() }), [
          progress({ rows: 500, batches: 1 }),
          progress({ rows: 501, batches: 2 }),
          done({ rows: 501, batches: 2, rowsInTable: null })
        ])
        const [first] = yield* load(store, { rows: source(), total: 7 })
        assert.deepStrictEqual(first, progress({ rows: 500, total: 7, batches: 1 }))
      }
    }))

  it.effect("replaces all rows in one request if the source fits into one", () =>
    Effect.gen(function*() {
      for (const [rows, total] of [[rowsOf("a", "b"), 2], [generator(rowsOf("a", "b")), undefined]] as const) {
        const { calls, store } = storeOf({ rows: ["x", "y", "z"] })
        assert.deepStrictEqual(
          yield* load(store, { rows, replace: true, batchSize: total ?? 3 }),
          [progress({ rows: 2, total, batches: 1 }), done({ rows: 2, total, batches: 1, rowsInTable: 2 })]
        )
        assert.deepStrictEqual(calls, [
          ["count", "tbl"],
          ["write", "tbl", written("a", "b"), true],
          ["count", "tbl"]
        ])
      }
    }))

  it.effect("with more rows deletes the others after all are written, eight at a time", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const old = Array.from({ length: 103 }, (_, i) => `old-${i}`)
      const { calls, ids, store } = storeOf({
        rows: [...old, "a"],
        remove: Effect.suspend(() => {
          most = Math.max(most, ++running)
          return Effect.map(Effect.sleep("1 second"), () => {
            running--
          })
        })
      })
      const rows = generator(rowsOf("a", "b"))
      const batches = { rows: 2, batches: 2 }
      assert.deepStrictEqual(yield* load(store, { rows, truncate: true, batchSize: 1, maxDeletions: "100%" }), [
        progress({ rows: 1, batches: 1 }),
        progress(batches),
        progress({ ...batches, deleted: 100 }),
        progress({ ...batches, deleted: 103 }),
        done({ ...batches, deleted: 103, rowsInTable: 2 })
      ])
      assert.deepStrictEqual(calls.filter(([call]) => call !== "remove"), [
        ["count", "tbl"],
        ["write", "tbl", written("a"), false],
        ["write", "tbl", written("b"), false],
        ["rowIds", "tbl"],
        ["count", "tbl"]
      ])
      assert.deepStrictEqual([most, [...ids]], [8, ["a", "b"]])
    }))

  it.effect("finds the table by its id, otherwise by its name, or creates it", () =>
    Effect.gen(function*() {
      const tables = [{ tableId: "t1", name: "one" }, { tableId: "t2", name: "two" }]
      const found: ReadonlyArray<readonly [TableInput, string, boolean]> = [
        [{ name: "two" }, "t2", true],
        [{ name: "other", tableId: "t1" }, "t1", true],
        [{ name: "two", tableId: "t3" }, "new", false],
        [{ name: "three" }, "new", false]
      ]
      for (const [table, tableId, exists] of found) {
        const { calls, store } = storeOf({ tables })
        const events = yield* load(store, { table, rows: rowsOf("a"), replace: true })
        assert.deepStrictEqual(events[0], progress({ tableId, rows: 1, total: 1, batches: 1 }))
        assert.deepStrictEqual(calls, [
          ["check", table.name],
          ["tables"],
          ...(exists ? [["count", tableId]] : [["create", table.name]]),
          ["write", tableId, written("a"), exists],
          ["count", tableId]
        ])
      }
    }))

  it.effect("of records takes their id from a property or a function", () =>
    Effect.gen(function*() {
      const records = [{ Key: "a", "My N": 1 }, { Key: 2, "My N": null }, { Key: 3n, "My N": "x" }]
      const expected = [
        ["a", { key: "a", my_n: 1 }],
        ["2", { key: 2, my_n: null }],
        ["3", { key: 3, my_n: "x" }]
      ]
      for (const source of [records, generator(records), Stream.fromIterable(records)]) {
        const { calls, store } = storeOf()
        const events = yield* load(store, { records: source, rowId: "Key" })
        const total = source === records ? 3 : undefined
        assert.deepStrictEqual(events[0], progress({ rows: 3, total, batches: 1 }))
        assert.deepStrictEqual(calls[0], ["write", "tbl", expected, false])
        assert.deepInclude(events.at(-1) as object, { columns: { Key: "key", "My N": "my_n" } })
      }
      const { calls, store } = storeOf()
      yield* load(store, { records: [{ n: 1 }], rowId: (record: { readonly n: number }) => `id-${record.n}` })
      assert.deepStrictEqual(calls[0], ["write", "tbl", [["id-1", { n: 1 }]], false])
    }))

  it.effect("of a CSV reports the column of each header, and knows the number of rows", () =>
    Effect.gen(function*() {
      const bytes = new TextEncoder().encode("Id,My N\na,1\nb,2\n")
      const contents: ReadonlyArray<Extract<Options, { readonly csv: unknown }>["csv"]> = [
        "Id,My N\na,1\nb,2\n",
        bytes,
        Stream.make(bytes.subarray(0, 5), bytes.subarray(5)),
        Stream.make("Id,My", " N\na,1\nb,2\n"),
        Stream.make("Id,My N\na,1\nb,2\n")
      ]
      for (const csv of contents) {
        const { calls, store } = storeOf()
        const columns = { Id: "id", "My N": "my_n" }
        assert.deepStrictEqual(yield* load(store, { csv, rowId: "Id" }), [
          progress({ rows: 2, total: 2, batches: 1 }),
          done({ rows: 2, total: 2, batches: 1, rowsInTable: 2, columns })
        ])
        assert.deepStrictEqual(calls[0], [
          "write",
          "tbl",
          [["a", { id: "a", my_n: 1 }], ["b", { id: "b", my_n: 2 }]],
          false
        ])
      }
      const { calls, store } = storeOf()
      yield* load(store, { csv: "a;b;c\n1;-;x\n", rowId: "a", infer: false, nulls: ["-"], columns: { c: "text" } })
      yield* load(store, { csv: "a,b\n1,\n", rowId: "a" })
      yield* load(store, { csv: "a,b\n1;2,3\n", rowId: "b", delimiter: "," })
      assert.deepStrictEqual(calls.filter(([call]) => call === "write").map(([, , rows]) => rows), [
        [["1", { a: "1", b: null, c: "x" }]],
        [["1", { a: 1, b: null }]],
        [["3", { a: "1;2", b: 3 }]]
      ])
    }))

  it.effect("announces the time until which a rate limit lasts, and goes on", () =>
    Effect.gen(function*() {
      const limited = Fixtures.error.DustRateLimitError({ retryAfter: Duration.seconds(5) })
      const { store } = storeOf({ write: (nth) => nth === 2 ? Effect.fail(limited) : Effect.void })
      const events = yield* load(store, { rows: rowsOf("a", "b"), batchSize: 1 })
      assert.deepStrictEqual(events.slice(1, 3), [
        { ...progress({ rows: 1, total: 2, batches: 1 }), _tag: "Waiting", until: day + 5000 },
        progress({ rows: 2, total: 2, batches: 2 })
      ])
    }))

  it.effect("waits in each of its steps while a rate limit lasts", () =>
    Effect.gen(function*() {
      const limit = Fixtures.error.DustRateLimitError({ retryAfter: Duration.seconds(5) })
      const { calls, store } = storeOf({ rows: ["a", "x"], limit })
      // The ids of the rows are listed with the retries of any request.
      const steps: TableStore = { ...store, rowIds: () => Stream.make("a", "b", "x") }
      const events = yield* load(steps, { rows: rowsOf("a", "b"), batchSize: 1, replace: true, maxDeletions: 1 })
      assert.deepStrictEqual(events.at(-1), done({ rows: 2, total: 2, batches: 2, deleted: 1, rowsInTable: 2 }))
      const count = ["count", "tbl"]
      const writes = ["a", "b"].flatMap((id) => Array.from({ length: 2 }, () => ["write", "tbl", written(id), false]))
      const remove = ["remove", "tbl", "x"]
      assert.deepStrictEqual(calls, [count, count, ...writes, remove, remove, count, count])
      assert.lengthOf(events, 9)
    }))

  it.effect("reads and writes no further than its consumer reads", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf()
      const seen: Array<number> = []
      const rows = generator(rowsOf("a", "b", "c", "d", "e"))
      yield* loadTable<RequestError, never>(store, { ...at, table: "tbl", rows, batchSize: 1 }).pipe(
        Stream.runForEach(() => Effect.map(Effect.sleep("1 minute"), () => seen.push(calls.length)))
      )
      // One is read, one waits for the consumer, and one is written.
      assert.strictEqual(seen[0], 3)
    }).pipe(Effect.withClock(virtualClock(day))))

  const tooMany = (deletions: number, existing: number, allowed: number) => ({
    ...refused("", ""),
    message: `DataSources.loadTable: would delete ${deletions} of ${existing} rows; at most ${allowed} are allowed, ` +
      "and nothing was deleted. Check that the source is complete, or raise maxDeletions",
    type: "too_many_deletions",
    details: { field: "maxDeletions", deletions, existing, allowed }
  })
  const four = ["a", "b", "c", "d"]
  type Row = readonly [existing: ReadonlyArray<string>, source: ReadonlyArray<string>, Settings, unknown]
  const limits: ReadonlyArray<Row> = [
    [four, ["a", "x"], {}, ["a", "x"]],
    [four, ["a"], {}, tooMany(3, 4, 2)],
    [four, ["a", "a", "a"], {}, tooMany(3, 4, 2)],
    [["a", "b", "c"], ["x"], {}, ["x"]],
    [four, ["a", "b"], { maxDeletions: 1 }, tooMany(2, 4, 1)],
    [four, ["a", "b"], { maxDeletions: 2 }, ["a", "b"]],
    [four, ["x"], { maxDeletions: "75%" }, tooMany(4, 4, 3)],
    [four, ["a"], { maxDeletions: "75%" }, ["a"]],
    [[...four, "e", "f", "g", "h"], ["a", "b"], {}, tooMany(6, 8, 4)],
    [four, [], { allowEmpty: true }, []]
  ]
  it.effect.each(limits)(
    "that replaces %j by %j deletes within limits (%j)",
    ([before, ids, more, expected]) =>
      Effect.gen(function*() {
        for (const batchSize of [500, ids.length || 1, 1]) {
          for (const given of [rowsOf(...ids), generator(rowsOf(...ids))]) {
            const { calls, ids: left, store } = storeOf({ rows: before })
            const last = (yield* load(store, { replace: true, batchSize, ...more, rows: given })).at(-1)
            if (Array.isArray(expected)) assert.sameMembers([...left], expected)
            else {
              assert.deepStrictEqual(last, expected)
              for (const id of before) assert.isTrue(left.has(id))
              // The number of rows of an array is known before anything is written.
              if (Array.isArray(given) && more.maxDeletions === undefined) {
                assert.deepStrictEqual(calls, [["count", "tbl"]])
              }
            }
          }
        }
      })
  )

  it.effect("that replaces rows of an unknown number has no limit by default", () =>
    Effect.gen(function*() {
      const { ids, store } = storeOf({ rows: four, isCounted: false })
      yield* load(store, { rows: rowsOf("x"), replace: true })
      assert.deepStrictEqual([...ids], ["x"])
    }))

  it.effect("of an empty source is refused where rows would be deleted, or where the caller forbids it", () =>
    Effect.gen(function*() {
      const everything = "a non-empty source: an empty one would delete every row. Set allowEmpty if that is intended"
      const nothing = "a non-empty source. Set allowEmpty if that is intended"
      const rows: ReadonlyArray<readonly [Settings, string | undefined]> = [
        [{}, undefined],
        [{ allowEmpty: true }, undefined],
        [{ allowEmpty: false }, nothing],
        [{ replace: true }, everything],
        [{ truncate: true }, everything],
        [{ replace: false, truncate: true }, undefined],
        [{ replace: true, allowEmpty: false }, everything]
      ]
      for (const [options, expected] of rows) {
        for (const content of [{ rows: [] }, { rows: generator([]) }, { csv: "n\n" }] as const) {
          const { calls, store } = storeOf({ rows: four })
          const events = yield* load(store, { ...options, ...content })
          if (expected === undefined) {
            const columns = "csv" in content ? { n: "n" } : {}
            const total = Symbol.iterator in (content.rows ?? []) && !("next" in (content.rows ?? [])) ? 0 : undefined
            assert.deepStrictEqual(events, [done({ table: null, rowsInTable: 4, columns, total })])
            assert.deepStrictEqual(calls, [["count", "tbl"]])
          } else {
            assert.deepStrictEqual(events, [{ ...refused("rows", expected), type: "empty_source" }])
            assert.deepStrictEqual(calls, [])
          }
        }
      }
    }))

  const limit = "a number of at least 0, or a share such as \"10%\""
  const odd = (value: unknown) => value as []
  const broken = new ReadableStream({ start: (controller) => controller.error(new Error("broken")) })
  const one = { rows: rowsOf("a") }
  const invalid: ReadonlyArray<readonly [string, Options, string, string]> = [
    ...[0, 1.5].map((batchSize) =>
      ["batchSize", { ...one, batchSize }, "batchSize", "a whole number, at least 1"] as const
    ),
    [
      "batchSize, before the content is read",
      { csv: Stream.dieMessage("read"), batchSize: 0 },
      "batchSize",
      "a whole number, at least 1"
    ],
    ["maxDeletions", { ...one, maxDeletions: -1 }, "maxDeletions", limit],
    ["rows", { rows: odd("text") }, "rows", "an Iterable or a Stream"],
    ["records", { records: odd(Promise.resolve([])), rowId: "a" }, "records", "an Iterable or a Stream"],
    ["row", { rows: odd([row("a"), null]) }, "rows.1", "an object"],
    ["record", { records: odd([1]), rowId: "a" }, "rows.0", "an object"],
    ["id of a record", { records: [{ a: "x" }, { a: null }], rowId: "a" }, "rows.1.rowId", "a non-blank string"],
    ["delimiter", { csv: "a", delimiter: ";;" }, "delimiter", "one character, neither a quote nor a line break"],
    [
      "encoding",
      { csv: new Uint8Array(), encoding: odd("ebcdic") as unknown as "latin1" },
      "encoding",
      "one of utf-8, utf-16le, utf-16be, latin1, windows-1252"
    ],
    ["csv", { csv: odd(["a"]) as unknown as string }, "csv", "text, bytes, or a Stream of either"],
    ["csv of a broken stream", { csv: odd(broken) as unknown as string }, "csv", "content that can be read"],
    [
      "csv of text and bytes",
      { csv: Stream.make<Array<string | Uint8Array>>("a\n", new Uint8Array([49])) },
      "csv",
      "a Stream of text or of bytes"
    ]
  ]
  it.effect.each(invalid)(
    "refuses an invalid %s before any request",
    ([, options, field, expected]) =>
      Effect.gen(function*() {
        const { calls, store } = storeOf()
        assert.deepStrictEqual(yield* load(store, options), [refused(field, expected)])
        assert.deepStrictEqual(calls, [])
      })
  )

  it.effect("refuses a CSV with the line, and bytes with the encoding", () =>
    Effect.gen(function*() {
      const problem = (field: string, expected: string, line?: number) => ({
        ...refused("", ""),
        message: `DataSources.loadTable: ${field}: ${line === undefined ? "" : `line ${line}: `}expected ${expected}`,
        details: { field, expected, ...(line === undefined ? {} : { line }) }
      })
      const { calls, store } = storeOf()
      const values = "2 values as in the header, but found 1"
      assert.deepStrictEqual(yield* load(store, { csv: "a,b\n1\n" }), [problem("csv", values, 2)])
      const columns = { c: "text" } as const
      assert.deepStrictEqual(yield* load(store, { csv: "a,b\n", columns }), [
        problem("columns.c", "one of the headers (a, b)", 1)
      ])
      const nul = "text without NUL bytes; set encoding if it is utf-16le or utf-16be"
      for (const csv of [new Uint8Array([49, 0]), Stream.make(new Uint8Array([49, 0]))]) {
        assert.deepStrictEqual(yield* load(store, { csv }), [problem("encoding", nul)])
      }
      const pdf = "a CSV, but found a PDF"
      assert.deepStrictEqual(yield* load(store, { csv: "a\n\ud83d", encoding: "utf-16le" }), [
        problem("csv", "well-formed Unicode", 1)
      ])
      assert.deepStrictEqual(yield* load(store, { csv: new TextEncoder().encode("%PDF-1") }), [problem("csv", pdf)])
      assert.deepStrictEqual(calls, [])
    }))

  it.effect("reports an invalid row by its position: a first one before the table is created", () =>
    Effect.gen(function*() {
      const rows = () => generator([row("a"), row("b"), row("c", Symbol("s")), row("d")])
      const expected = "text, a number, a boolean, a date, null, or a value that JSON can represent"
      for (const batchSize of [1, 2]) {
        const { calls, store } = storeOf()
        const events = yield* load(store, { table: { name: "t" }, rows: rows(), batchSize })
        assert.deepStrictEqual(events.at(-1), refused("rows.2.value.n", expected))
        assert.lengthOf(calls.filter(([call]) => call === "write"), 2 / batchSize)
      }
      const { calls, store } = storeOf()
      assert.deepStrictEqual(yield* load(store, { table: { name: "t" }, rows: rows(), batchSize: 3 }), [
        refused("rows.2.value.n", expected)
      ])
      assert.deepStrictEqual(calls, [["check", "t"]])
    }))

  it.effect("refuses more rows than a table holds", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf()
      const message = "rows must be at most 500000, the limit of a table"
      const tooLarge = {
        ...refused("", ""),
        _tag: "DustContentTooLargeError",
        message: `DataSources.loadTable: ${message}`,
        type: "too_many_rows",
        details: { field: "rows", limit: 500_000 }
      }
      /** An array that claims to have this length. */
      const many = (length: number) =>
        new Proxy(rowsOf("a"), {
          get: (rows, key) => key === "length" ? length : key === Symbol.iterator ? () => rows.values() : undefined
        })
      assert.deepStrictEqual(yield* load(store, { rows: many(500_001) }), [tooLarge])
      assert.deepStrictEqual(calls, [])
      assert.deepInclude((yield* load(store, { rows: many(500_000) })).at(-1) as object, { total: 500_000 })
    }))

  it.effect("fails with the error of its source after the rows before it", () =>
    Effect.gen(function*() {
      const error = Fixtures.error.DustServerError()
      const rows = Stream.concat(Stream.fromIterable(rowsOf("a", "b", "c")), Stream.fail(error))
      const { calls, store } = storeOf()
      assert.deepStrictEqual(yield* load(store, { rows, batchSize: 2, replace: true }), [
        progress({ rows: 2, batches: 1 }),
        plain(error)
      ])
      assert.deepStrictEqual(calls, [["count", "tbl"], ["write", "tbl", written("a", "b"), false]])
    }))
})
