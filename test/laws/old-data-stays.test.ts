/** Law 12: no failure, empty source, bad row or early end leaves less than there was before. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Context, Data, Effect, Fiber, Layer, Stream, TestClock } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"

const at = { spaceId: "vlt_global", dataSourceId: "dts_handbook" } as const
const empty = { seed: { dataSources: [{ sId: "dts_handbook", name: "handbook" }] } } satisfies DustTest.Options
const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({ ...empty, ...options }))

class SourceError extends Data.TaggedError("SourceError")<{ readonly at: number }> {}

class Database extends Context.Tag("test/Database")<Database, { readonly rows: number }>() {}

const rows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ rowId: String(from + i), value: { n: from + i } }))

const documents = (count: number, text = "x") =>
  Array.from({ length: count }, (_, i) => ({ documentId: `doc-${i}`, text: `${text} ${i}` }))

const writes = { method: "POST", path: "/spaces/:spaceId/data_sources/:dataSourceId/tables/:tableId/rows" } as const
const document = "/spaces/:spaceId/data_sources/:dataSourceId/documents/:documentId"

const requests = (filter?: DustTest.RequestFilter) => Effect.flatMap(DustTest.DustTest, (dust) => dust.requests(filter))

const nightly = Effect.gen(function*() {
  const dataSources = yield* DataSources.DataSources
  const first = yield* dataSources.loadTable({ ...at, table: { name: "orders" }, rows: rows(0, 2000), replace: true })
  const ids = Effect.map(
    Stream.runCollect(dataSources.streamRows({ ...at, tableId: first.tableId })),
    (all) => new Set(Chunk.toReadonlyArray(all).map((row) => row.rowId))
  )
  const count = Effect.map(ids, (all) => all.size)
  const load = <E = never, R = never>(
    content: DataSources.TableContent<E, R> & { readonly maxDeletions?: DataSources.MaxDeletions | undefined }
  ) => dataSources.loadTable({ ...at, table: { name: "orders" }, replace: true, ...content })
  return { first, ids, count, load, dataSources }
})

const broken = (before: number) =>
  Stream.concat(Stream.fromIterable(rows(0, before)), Stream.fail(new SourceError({ at: before })))

describe("Old data stays: tables", () => {
  it.effect("loadTable with replace: a source that fails halfway leaves every old row", () =>
    Effect.gen(function*() {
      const { count, load } = yield* nightly
      assert.deepStrictEqual(yield* Effect.flip(load({ rows: broken(600) })), new SourceError({ at: 600 }))
      assert.strictEqual(yield* count, 2000)
    }).pipe(local()))

  it.effect("loadTable with replace: a source that fails at once sends no write", () =>
    Effect.gen(function*() {
      const { load } = yield* nightly
      const before = (yield* requests(writes)).length
      yield* Effect.flip(load({ rows: broken(20) }))
      assert.strictEqual((yield* requests(writes)).length, before)
    }).pipe(local()))

  it.effect("loadTable with replace: a bad cell in the middle of a Stream leaves every old row", () =>
    Effect.gen(function*() {
      const { count, load } = yield* nightly
      const error = yield* Effect.flip(load({
        rows: Stream.map(Stream.range(0, 1999), (n) => ({ rowId: String(n), value: { n: n === 1700 ? NaN : n } }))
      }))
      assert.include(error.message, "rows.1700.value.n")
      assert.strictEqual(yield* count, 2000)
    }).pipe(local()))

  it.effect("loadTable with replace: a bad cell in an array is found before any request", () =>
    Effect.gen(function*() {
      const { load } = yield* nightly
      const before = (yield* requests()).length
      yield* Effect.flip(load({ rows: [...rows(0, 1999), { rowId: "1999", value: { n: NaN } }] }))
      assert.strictEqual((yield* requests()).length, before)
    }).pipe(local()))

  const nothing: ReadonlyArray<readonly [string, DataSources.TableContent]> = [
    ["array", { rows: [] }],
    ["Stream", { rows: Stream.empty }]
  ]
  for (const [name, source] of nothing) {
    it.effect(`loadTable with replace: an empty ${name} is an error and leaves every old row`, () =>
      Effect.gen(function*() {
        const { count, load } = yield* nightly
        const error = yield* Effect.flip(load(source))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(error.type, "empty_source")
        assert.include(error.message, "allowEmpty")
        assert.deepStrictEqual(error.details, {
          field: "rows",
          expected: "a non-empty source: an empty one would delete every row. Set allowEmpty if that is intended"
        })
        assert.strictEqual(yield* count, 2000)
      }).pipe(local()))
  }

  const short: ReadonlyArray<readonly [string, DataSources.TableContent]> = [
    ["array", { rows: rows(0, 900) }],
    ["Stream", { rows: Stream.fromIterable(rows(0, 900)) }]
  ]
  for (const [name, source] of short) {
    it.effect(`loadTable with replace: an ${name} that ends after less than half of the rows deletes none`, () =>
      Effect.gen(function*() {
        const { count, load } = yield* nightly
        const error = yield* Effect.flip(load(source))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(error.type, "too_many_deletions")
        assert.strictEqual(yield* count, 2000)
        const result = yield* load({ ...source, maxDeletions: "60%" })
        assert.deepStrictEqual([result.deleted, result.rowsInTable], [1100, 900])
      }).pipe(local()))
  }

  it.effect("loadTable with replace: a small source that would empty a large table deletes nothing", () =>
    Effect.gen(function*() {
      const { count, load } = yield* nightly
      const error = yield* Effect.flip(load({ rows: rows(0, 5) }))
      assert.strictEqual(error.type, "too_many_deletions")
      assert.strictEqual(yield* count, 2000)
    }).pipe(local()))

  it.effect("loadTable with replace: maxDeletions counts the rows that go, whatever comes in their place", () =>
    Effect.gen(function*() {
      const { count, load } = yield* nightly
      const error = yield* Effect.flip(load({ rows: rows(100, 2100), maxDeletions: 99 }))
      assert.deepInclude(error.details, { field: "maxDeletions", deletions: 100, existing: 2000, allowed: 99 })
      assert.strictEqual(yield* count, 2100)
      assert.strictEqual((yield* load({ rows: rows(100, 2100), maxDeletions: 100 })).deleted, 100)
    }).pipe(local()))

  it.effect("loadTable with replace: a server that fails in the third batch leaves every old row", () =>
    Effect.gen(function*() {
      const { ids, load } = yield* nightly
      yield* Effect.flip(load({ rows: rows(1000, 3000) }))
      const left = yield* ids
      assert.isTrue(rows(0, 2000).every(({ rowId }) => left.has(rowId)))
    }).pipe(local({
      retry: RetryPolicy.none,
      // The first load takes four batches.
      faults: [{ ...writes, nth: 7, fault: DustTest.faults.status(500) }]
    })))

  it.effect("loadTable with replace: deletes missing rows only after writing everything", () =>
    Effect.gen(function*() {
      const { count, ids, load } = yield* nightly
      const result = yield* load({ rows: [...rows(500, 2500), ...rows(2499, 2500)] })
      assert.deepInclude(result, { rows: 2001, duplicates: 1, deleted: 500, rowsInTable: 2000 })
      assert.strictEqual(yield* count, 2000)
      assert.isFalse((yield* ids).has("499"))
      const changes = (yield* requests()).filter(({ method }) => method !== "GET").map(({ method }) => method)
      assert.strictEqual(changes.lastIndexOf("POST") < changes.indexOf("DELETE"), true)
    }).pipe(local()))

  it.effect("loadTable with replace: a source of one batch replaces the table in one request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const table = { name: "small" }
      yield* dataSources.loadTable({ ...at, table, csv: "id,n\na,1\nb,2\n", rowId: "id", replace: true })
      const before = (yield* requests(writes)).length
      const result = yield* dataSources.loadTable({ ...at, table, csv: "id,n\nb,3\nc,4\n", rowId: "id", replace: true })
      assert.strictEqual((yield* requests(writes)).length, before + 1)
      assert.strictEqual(result.rowsInTable, 2)
    }).pipe(local()))

  it.effect("loadTable with replace: takes as long as its source, unless a total is set, which leaves every old row", () =>
    Effect.gen(function*() {
      const { count, load } = yield* nightly
      const slow = Stream.tap(Stream.fromIterable(rows(0, 1200)), () => Effect.sleep("10 seconds"))
      const bounded = yield* Effect.fork(Effect.flip(
        DustClient.withOptions(load({ rows: slow }), { timeouts: { total: "1 hour" } })
      ))
      const unbounded = yield* Effect.fork(load({ rows: slow }))
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(bounded)
      assert.deepInclude(error, { _tag: "DustTimeoutError", phase: "total", method: "loadTable" })
      assert.strictEqual(yield* count, 2000)
      yield* TestClock.adjust("3 hours")
      assert.strictEqual((yield* Fiber.join(unbounded)).rowsInTable, 1200)
    }).pipe(local()))

  it.effect("loadTable: a CSV without ids keeps its rows apart when lines move", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const table = { name: "lines" }
      const load = (csv: string) => dataSources.loadTable({ ...at, table, csv })
      yield* load("n\n1\n2\n2\n")
      const result = yield* load("n\n0\n1\n2\n2\n")
      assert.deepStrictEqual([result.rows, result.duplicates, result.rowsInTable], [4, 0, 4])
    }).pipe(local()))

  it.effect("loadTable: a source of records has requirements of its own, and the result counts duplicates", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const records = Stream.unwrap(
        Effect.map(Database, (database) => Stream.map(Stream.range(1, database.rows), (n) => ({ orderId: n % 7, n })))
      )
      const result = yield* dataSources.loadTable({ ...at, table: { name: "t" }, records, rowId: "orderId" })
      assert.deepInclude(result, { rows: 20, duplicates: 13, rowsInTable: 7 })
      assert.deepStrictEqual(result.columns, { orderId: "order_id", n: "n" })
    }).pipe(Effect.provide(Layer.succeed(Database, { rows: 20 })), local()))
})

describe("Old data stays: documents", () => {
  const existing = Effect.gen(function*() {
    const dataSources = yield* DataSources.DataSources
    yield* Stream.runDrain(dataSources.syncDocuments({ ...at, documents: documents(20), perMinute: 1000 }))
    const dust = yield* DustTest.DustTest
    yield* dust.clearRequests
    const count = Effect.map(dataSources.pageDocuments(at), ({ total }) => total)
    return { dataSources, dust, count }
  })

  for (const unchanged of [undefined, "fingerprint"] as const) {
    for (const [name, source] of [["array", documents(9)], ["Stream", Stream.fromIterable(documents(9))]] as const) {
      it.effect(`syncDocuments: an ${name} that ends early deletes nothing (unchanged: ${unchanged})`, () =>
        Effect.gen(function*() {
          const { count, dataSources, dust } = yield* existing
          const error = yield* Effect.flip(
            Stream.runDrain(dataSources.syncDocuments({ ...at, documents: source, deleteStale: true, unchanged }))
          )
          assert.strictEqual(error._tag, "DustBadRequestError")
          assert.deepInclude(error.details, { field: "maxDeletions", deletions: 11, existing: 20, allowed: 10 })
          assert.strictEqual((yield* dust.requests({ method: "DELETE" })).length, 0)
          // What is known beforehand is checked beforehand.
          assert.strictEqual((yield* dust.requests({ method: "POST" })).length, name === "array" ? 0 : 9)
          assert.strictEqual(yield* count, 20)
          yield* Stream.runDrain(
            dataSources.syncDocuments({ ...at, documents: source, deleteStale: true, maxDeletions: 11 })
          )
          assert.strictEqual(yield* count, 9)
        }).pipe(local()))
    }

    it.effect(`syncDocuments: keeps what others write during the sync (unchanged: ${unchanged})`, () =>
      Effect.gen(function*() {
        const { count, dataSources } = yield* existing
        const source = Stream.concat(
          Stream.fromIterable(documents(19)),
          Stream.execute(dataSources.upsertDocument({ ...at, documentId: "colleague", text: "new" }))
        )
        const events = yield* Stream.runCollect(
          dataSources.syncDocuments({ ...at, documents: source, deleteStale: true, unchanged })
        )
        const deleted = Chunk.toReadonlyArray(events).flatMap((event) =>
          event._tag === "Deleted" ? [event.documentId] : []
        )
        assert.deepStrictEqual(deleted, ["doc-19"])
        assert.strictEqual(yield* count, 20)
      }).pipe(local()))
  }

  const cloudflare = DustTest.faults.html(403, "<html><h1>Attention Required! | Cloudflare</h1></html>")
  it.effect("syncDocuments: a document that a firewall refuses is named, and the others are synced", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      for (const night of [1, 2]) {
        const events = Chunk.toReadonlyArray(
          yield* Stream.runCollect(
            dataSources.syncDocuments({ ...at, documents: documents(12), unchanged: "fingerprint", deleteStale: true })
          )
        )
        const failed = events.flatMap((event) => event._tag === "Failed" ? [event.documentId] : [])
        assert.deepStrictEqual(failed, ["doc-7"])
        assert.strictEqual(events.at(-1)?._tag, "Done")
        assert.strictEqual(events.at(-1)?.progress.checkpoint, "doc-11", `night ${night}`)
      }
      assert.strictEqual((yield* dataSources.pageDocuments(at)).total, 11)
    }).pipe(local({ faults: [{ method: "POST", path: /documents\/doc-7$/, fault: cloudflare }] })))

  it.effect("syncDocuments: a source larger than the stored documents may replace all of them", () =>
    Effect.gen(function*() {
      const { count, dataSources } = yield* existing
      const renamed = documents(20).map((one) => ({ ...one, documentId: `new/${one.documentId}` }))
      yield* Stream.runDrain(
        dataSources.syncDocuments({ ...at, documents: renamed, deleteStale: true, perMinute: 1000 })
      )
      assert.strictEqual(yield* count, 20)
    }).pipe(local()))

  it.effect("syncDocuments: documents that could not be written make up for no deletion", () =>
    Effect.gen(function*() {
      const { count, dataSources } = yield* existing
      const renamed = documents(20).map((one) => ({ ...one, documentId: `new/${one.documentId}` }))
      const error = yield* Effect.flip(Stream.runDrain(
        dataSources.syncDocuments({ ...at, documents: renamed, deleteStale: true, perMinute: 1000 })
      ))
      assert.strictEqual(error.type, "too_many_deletions")
      assert.strictEqual(yield* count, 20)
    }).pipe(local({
      faults: [{ method: "POST", path: /documents\/new/, fault: DustTest.faults.html(403, "<html>no</html>") }]
    })))

  it.effect("syncDocuments: a failure that may pass holds the checkpoint back", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const events = yield* Stream.runCollect(
        dataSources.syncDocuments({ ...at, documents: documents(6), concurrency: 1 })
      )
      assert.strictEqual(Chunk.unsafeLast(events).progress.checkpoint, "doc-2")
    }).pipe(local({
      retry: RetryPolicy.none,
      faults: [{ method: "POST", path: /documents\/doc-3$/, fault: DustTest.faults.status(500) }]
    })))

  it.effect("syncDocuments: an answer that was garbled on its way is asked for again", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const fiber = yield* Effect.fork(Stream.runCollect(dataSources.syncDocuments({ ...at, documents: documents(2) })))
      yield* TestClock.adjust("1 minute")
      const events = Chunk.toReadonlyArray(yield* fiber.await.pipe(Effect.flatten))
      assert.deepStrictEqual(events.map((event) => event._tag), ["Upserted", "Upserted", "Done"])
    }).pipe(
      local({
        faults: [{
          method: "POST",
          path: document,
          times: 2,
          fault: DustTest.faults.status(200, { body: "{\"docu", contentType: "application/json" })
        }]
      })
    ))

  it.effect("syncDocuments: the order of tags, line breaks and the Unicode form do not count as changes", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const sync = (input: DataSources.DocumentInput) =>
        Effect.map(
          Stream.runCollect(dataSources.syncDocuments({ ...at, documents: [input], unchanged: "fingerprint" })),
          (events) => Chunk.toReadonlyArray(events).flatMap((event) => "documentId" in event ? [event._tag] : [])
        )
      const base = { documentId: "a", title: "Café", text: "one\r\ntwo é", tags: ["x", "y"], sourceUrl: "https://a.b" }
      assert.deepStrictEqual(yield* sync(base), ["Upserted"])
      assert.deepStrictEqual(
        yield* sync({
          ...base,
          title: " Cafe\u0301 ",
          text: "one\ntwo e\u0301",
          tags: ["y", "x", "title:Café"],
          sourceUrl: "https://a.b/"
        }),
        ["Skipped"]
      )
      // A document that was read can be given back.
      const read = yield* dataSources.getDocument({ ...at, documentId: "a" })
      assert.deepStrictEqual(
        yield* sync({ ...read, text: "one\r\ntwo é", timestamp: undefined, mimeType: undefined }),
        [
          "Skipped"
        ]
      )
    }).pipe(local()))

  it.effect("planSync: returns what a sync would write, skip, refuse and delete, and changes nothing", () =>
    Effect.gen(function*() {
      const { dataSources, dust } = yield* existing
      const plan = yield* dataSources.planSync({
        ...at,
        documents: [
          ...documents(17).map((one) => ({ ...one, timestamp: new Date("2026-01-01") })),
          { documentId: "new", text: "n" },
          { documentId: "bad", text: "n", sourceUrl: "file:///srv/a.md" }
        ],
        since: new Date("2026-01-01"),
        deleteStale: true
      })
      assert.deepStrictEqual(plan.upserts, [{ documentId: "new", exists: false }])
      assert.strictEqual(plan.skipped.length, 17)
      assert.deepStrictEqual(plan.refused.map(({ documentId }) => documentId), ["bad"])
      assert.deepStrictEqual(plan.deletions, ["doc-17", "doc-18", "doc-19"])
      assert.strictEqual(plan.allowedDeletions, 20)
      assert.isTrue((yield* dust.requests()).every(({ method }) => method === "GET"))
    }).pipe(local()))

  it.effect("syncDocuments: a generator is asked for a document only when one is about to be written", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      let made = 0
      let closed = false
      function* source() {
        try {
          for (;;) yield { documentId: `doc-${made++}`, text: "x" }
        } finally {
          closed = true
        }
      }
      const seen: Array<number> = []
      yield* dataSources.syncDocuments({ ...at, documents: source(), concurrency: 2 }).pipe(
        Stream.take(10),
        Stream.runForEach(() => Effect.sync(() => seen.push(made)))
      )
      assert.isTrue(seen.every((count, i) => count <= i + 6), seen.join())
      assert.isTrue(closed)
    }).pipe(local()))

  it.effect("syncDocuments: an invalid document is named and skipped, and keeps stale documents from being deleted", () =>
    Effect.gen(function*() {
      const { count, dataSources, dust } = yield* existing
      // What plain JavaScript passes: a hole of a query, an id that is a number, tags that are text.
      const odd: ReadonlyArray<unknown> = [
        null,
        undefined,
        { documentId: 5, text: "x" },
        { documentId: "tags", text: "x", tags: "a,b" },
        ...documents(15)
      ]
      const source = odd as ReadonlyArray<DataSources.DocumentInput>
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(dataSources.syncDocuments({ ...at, documents: source, unchanged: "fingerprint" }))
      )
      const named = events.flatMap((event) => event._tag === "Failed" ? [event.documentId] : [])
      assert.deepStrictEqual(named, ["documents.0", "documents.1", "documents.2", "tags"])
      assert.strictEqual(events.at(-1)?.progress.upserted, 15)
      assert.strictEqual(events.at(-1)?.progress.checkpoint, "doc-14")
      for (const documents of [source, Stream.fromIterable(source)]) {
        const error = yield* Effect.flip(
          Stream.runDrain(dataSources.syncDocuments({ ...at, documents, unchanged: "fingerprint", deleteStale: true }))
        )
        assert.deepInclude(error.details, { field: "documents" })
      }
      assert.strictEqual((yield* dust.requests({ method: "DELETE" })).length, 0)
      assert.strictEqual(yield* count, 20)
    }).pipe(local()))

  it.effect("jobs: a source that is neither an Iterable nor a Stream fails with the field, before any request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const sources: ReadonlyArray<unknown> = [undefined, 5, "abc", Promise.resolve([]), (async function*() {})()]
      for (const source of sources) {
        const documents = source as ReadonlyArray<DataSources.DocumentInput>
        const rows = source as ReadonlyArray<{ readonly rowId: string; readonly value: object }>
        const errors = [
          yield* Effect.flip(Stream.runDrain(dataSources.syncDocuments({ ...at, documents }))),
          yield* Effect.flip(dataSources.planSync({ ...at, documents })),
          yield* Effect.flip(dataSources.loadTable({ ...at, table: { name: "t" }, rows }))
        ]
        for (const [i, field] of ["documents", "documents", "rows"].entries()) {
          assert.deepInclude(errors[i]?.details, { field })
        }
      }
      const hole: ReadonlyArray<unknown> = [null]
      for (const records of [hole as ReadonlyArray<object>, Stream.fromIterable(hole as ReadonlyArray<object>)]) {
        const error = yield* Effect.flip(
          dataSources.loadTable({ ...at, table: { name: "t" }, records, rowId: "id" })
        )
        assert.include(error.message, "rows.0 must be an object")
      }
      assert.strictEqual((yield* requests()).length, 0)
    }).pipe(local()))

  it.effect("syncDocuments: addresses that Dust refuses fail before any request, or are omitted", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const addresses = ["https://web.archive.org/web/2020/https://a.b/c", "file:///srv/a.md", "s3://bucket/key"]
      const source = addresses.map((sourceUrl, i) => ({ documentId: `d${i}`, text: "x", sourceUrl }))
      const sync = (invalidSourceUrl?: "omit") =>
        Effect.map(
          Stream.runCollect(dataSources.syncDocuments({ ...at, documents: source, invalidSourceUrl })),
          (events) => Chunk.toReadonlyArray(events).slice(0, -1).map((event) => event._tag)
        )
      assert.deepStrictEqual(yield* sync(), ["Failed", "Failed", "Failed"])
      assert.strictEqual((yield* requests()).length, 0)
      assert.deepStrictEqual(yield* sync("omit"), ["Upserted", "Upserted", "Upserted"])
      assert.isTrue((yield* requests()).every(({ body }) => !JSON.stringify(body).includes("source_url")))
    }).pipe(local()))
})

describe("Old data stays: stopped anywhere", () => {
  /** The request at which the process stops is never answered, whether it was handled or not. */
  const stoppedAt = (nth: number) => {
    let seen = 0
    const state = { armed: false }
    const layer = DustTest.layer({
      ...empty,
      faults: [{ when: () => state.armed && ++seen === nth, fault: DustTest.faults.neverAnswer() }]
    })
    return { layer, state }
  }
  const stops = [1, 2, 3, 5, 8, 9, 10, 11, 13, 20]

  for (const nth of stops) {
    it.effect(`loadTable: stopped at its request ${nth}, it has lost nothing, and another run completes it`, () => {
      const { layer, state } = stoppedAt(nth)
      return Effect.gen(function*() {
        const { ids, load } = yield* nightly
        state.armed = true
        const fiber = yield* Effect.fork(load({ rows: Stream.fromIterable(rows(50, 2050)) }))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        state.armed = false
        const left = yield* ids
        assert.isTrue(rows(50, 2000).every(({ rowId }) => left.has(rowId)))
        assert.isAtLeast(left.size, 2000)
        const result = yield* load({ rows: Stream.fromIterable(rows(50, 2050)) })
        assert.strictEqual(result.rowsInTable, 2000)
        assert.deepStrictEqual(yield* ids, new Set(rows(50, 2050).map(({ rowId }) => rowId)))
      }).pipe(Effect.provide(layer))
    })

    it.effect(`syncDocuments: stopped at its request ${nth}, it has lost nothing, and another run completes it`, () => {
      const { layer, state } = stoppedAt(nth)
      return Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        const ids = Effect.map(
          Stream.runCollect(dataSources.streamDocuments(at)),
          (all) => Chunk.toReadonlyArray(all).map((one) => one.documentId).toSorted()
        )
        const source = documents(70).slice(10)
        const sync = (all: ReadonlyArray<DataSources.DocumentInput>) =>
          Stream.runCollect(dataSources.syncDocuments({
            ...at,
            documents: all,
            unchanged: "fingerprint",
            deleteStale: true,
            perMinute: 1000
          }))
        yield* sync(documents(60))
        state.armed = true
        const fiber = yield* Effect.fork(sync(source))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        state.armed = false
        const left = new Set(yield* ids)
        assert.isTrue(documents(60).slice(10).every(({ documentId }) => left.has(documentId)))
        yield* sync(source)
        assert.deepStrictEqual(yield* ids, source.map(({ documentId }) => documentId).toSorted())
      }).pipe(Effect.provide(layer))
    })
  }
})
