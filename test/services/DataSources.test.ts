import { assert, describe, it } from "@effect/vitest"
import { Chunk, Data, DateTime, Effect, Fiber, Option, Schema, Stream, TestClock } from "effect"
import * as DataSource from "effect-dust/DataSource"
import * as DataSources from "effect-dust/DataSources"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { dust, failure, json, type Recorded } from "../support/http.ts"
import { seed } from "../support/seed.ts"

const seeded = { fastCheck: { seed } }

const at = { spaceId: "vlt_global", dataSourceId: "dts_handbook" } as const

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const requests = (filter?: DustTest.RequestFilter) => Effect.flatMap(DustTest.DustTest, (dust) => dust.requests(filter))
const count = (filter?: DustTest.RequestFilter) => Effect.map(requests(filter), (all) => all.length)
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())
const noRequests = Effect.map(count(), (all) => assert.strictEqual(all, 0))
const fieldOf = (error: { readonly details: unknown }) =>
  typeof error.details === "object" && error.details !== null && "field" in error.details
    ? error.details.field
    : undefined

const upserts = { method: "POST", path: "/spaces/:spaceId/data_sources/:dataSourceId/documents/:documentId" } as const
const rowWrites = { method: "POST", path: "/spaces/:spaceId/data_sources/:dataSourceId/tables/:tableId/rows" } as const

class SourceError extends Data.TaggedError("SourceError")<{ readonly at: number }> {}

const wellFormed = (text: string) => !/\p{Surrogate}/u.test(text)

const empty = { seed: { dataSources: [{ sId: "dts_handbook", name: "handbook" }] } } satisfies DustTest.Options

describe("DataSources: finding them", () => {
  it.effect("lists those of a space", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const all = yield* dataSources.list("vlt_global")
      assert.deepStrictEqual(
        all.map((
          one
        ) => [one.sId, one.name, DataSource.isFolder(one), DataSource.isWebsite(one), one.connectorProvider]),
        [
          ["dts_handbook", "handbook", true, false, null],
          ["dts_wiki", "wiki", false, false, "notion"]
        ]
      )
      const error = yield* Effect.flip(dataSources.list("vlt_nowhere"))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "space_not_found")
    }).pipe(local()))

  it.effect("findByName: finds a data source, and reports similar names", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      assert.strictEqual(
        (yield* dataSources.findByName({ spaceId: "vlt_global", name: "Handbook" })).sId,
        "dts_handbook"
      )
      const error = yield* Effect.flip(dataSources.findByName({ spaceId: "vlt_global", name: "handbok" }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.include(error.message, "DataSources.findByName")
      assert.include(error.message, "handbook")
    }).pipe(local()))

  it.effect("a data source of another space is not found", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(dataSources.listTables({ ...at, spaceId: "vlt_product" }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "data_source_not_found")
    }).pipe(local()))
})

describe("DataSources: documents", () => {
  it.effect("writes, reads, replaces and deletes one", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const written = yield* dataSources.upsertDocument({
        ...at,
        documentId: "guide",
        title: " A guide ",
        text: "First this, then that.",
        mimeType: "text/plain",
        sourceUrl: "https://example.com/a b",
        tags: ["x"],
        timestamp: new Date("2026-05-01T00:00:00Z")
      })
      assert.strictEqual(written.dataSource?.sId, "dts_handbook")
      const document = yield* dataSources.getDocument({ ...at, documentId: "guide" })
      assert.deepStrictEqual(document, written.document)
      assert.strictEqual(document.title, "A guide")
      assert.strictEqual(document.text, "First this, then that.")
      assert.strictEqual(document.mimeType, "text/plain")
      assert.strictEqual(document.sourceUrl, "https://example.com/a%20b")
      assert.strictEqual(document.timestamp, Date.UTC(2026, 4, 1))
      assert.deepStrictEqual(document.tags, ["x", "title:A guide"])
      assert.strictEqual(document.chunkCount, 1)
      assert.strictEqual(document.chunks[0]?.text, "First this, then that.")
      assert.deepStrictEqual(document.parents, ["guide"])

      yield* dataSources.upsertDocument({ ...at, documentId: "guide", text: "New." })
      const replaced = yield* dataSources.getDocument({ ...at, documentId: "guide" })
      assert.strictEqual(replaced.text, "New.")
      assert.deepStrictEqual(replaced.tags, [])
      assert.notStrictEqual(replaced.hash, document.hash)

      yield* dataSources.deleteDocument({ ...at, documentId: "guide" })
      const error = yield* Effect.flip(dataSources.getDocument({ ...at, documentId: "guide" }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.status, 400)
      assert.strictEqual(error.type, "data_source_error")
    }).pipe(local(empty)))

  it.effect("sends only the requested options", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      yield* dataSources.upsertDocument({ ...at, documentId: "a", text: "" })
      assert.deepStrictEqual((yield* last).body, { text: "" })
      yield* dataSources.upsertDocument({
        ...at,
        documentId: "a",
        section: { prefix: "# A", sections: [{ content: "b" }, { sections: [] }] },
        mode: "light",
        timestamp: DateTime.unsafeMake("2026-05-01")
      })
      assert.deepStrictEqual((yield* last).body, {
        section: {
          prefix: "# A",
          content: null,
          sections: [
            { prefix: null, content: "b", sections: [] },
            { prefix: null, content: null, sections: [] }
          ]
        },
        light_document_output: true,
        timestamp: Date.UTC(2026, 4, 1)
      })
      yield* dataSources.upsertDocument({ ...at, documentId: "a", text: "b", mode: "async", syncType: "batch" })
      assert.deepStrictEqual((yield* last).body, { text: "b", async: true, upsert_context: { sync_type: "batch" } })
    }).pipe(local(empty)))

  it.effect("in the mode light there are sizes and no id", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { document } = yield* dataSources.upsertDocument({ ...at, documentId: "a", text: "hello", mode: "light" })
      assert.strictEqual(document.textSize, 5)
      assert.strictEqual(document.tokenCount, 2)
      assert.notProperty(document, "documentId")
    }).pipe(local(empty)))

  it.effect("in the mode async the document comes later", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const queued = yield* dataSources.upsertDocument({
        ...at,
        documentId: "a",
        title: "A",
        text: "hello",
        mode: "async"
      })
      assert.deepStrictEqual(queued, { documentId: "a" })
      const early = yield* Effect.flip(dataSources.getDocument({ ...at, documentId: "a" }))
      assert.strictEqual(early._tag, "DustNotFoundError")
      yield* TestClock.adjust("2 seconds")
      const document = yield* dataSources.getDocument({ ...at, documentId: "a" })
      assert.deepStrictEqual(document.tags, ["title:A"])
    }).pipe(local(empty)))

  const bad: ReadonlyArray<readonly [string, Partial<DataSources.DocumentFields>, string]> = [
    ["a timestamp in seconds", { timestamp: 1_760_000_000 }, "timestamp"],
    ["a date that Dust would take for seconds", { timestamp: new Date("1970-02-01") }, "timestamp"],
    ["a negative timestamp", { timestamp: -1 }, "timestamp"],
    ["no moment at all", { timestamp: Number.NaN }, "timestamp"],
    ["an invalid date", { timestamp: new Date("never") }, "timestamp"],
    ["a title of 513 characters", { title: "a".repeat(513) }, "title"],
    ["a source that is not a URL", { sourceUrl: "example.com" }, "sourceUrl"],
    ["a blank id", { documentId: " " }, "documentId"],
    ["the id ..", { documentId: ".." }, "documentId"]
  ]
  for (const [name, fields, field] of bad) {
    it.effect(`refuses ${name} before any request`, () =>
      Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        const error = yield* Effect.flip(
          dataSources.upsertDocument({ ...at, documentId: "a", text: "secret", ...fields })
        )
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(fieldOf(error), field)
        assert.notInclude(error.message, "secret")
        yield* noRequests
      }).pipe(local(empty)))
  }

  it.effect("refuses sections that never end before any request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      let section: DataSource.Section = { content: "deep" }
      for (let i = 0; i < 100_000; i++) section = { sections: [section] }
      const error = yield* Effect.flip(dataSources.upsertDocument({ ...at, documentId: "a", section }))
      assert.strictEqual(fieldOf(error), "section")
      yield* noRequests
    }).pipe(local(empty)))

  it.effect("a title of 512 characters passes, spaces around it count", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      yield* dataSources.upsertDocument({ ...at, documentId: "a", text: "b", title: "a".repeat(512) })
      const long = { ...at, documentId: "a", text: "b", title: ` ${"a".repeat(512)} ` }
      const error = yield* Effect.flip(dataSources.upsertDocument(long))
      assert.deepPropertyVal(error.details, "field", "title")
    }).pipe(local(empty)))

  it.effect("a managed connection may not be written to", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const wiki = { ...at, dataSourceId: "dts_wiki", documentId: "a" }
      for (const write of [dataSources.upsertDocument({ ...wiki, text: "b" }), dataSources.deleteDocument(wiki)]) {
        const error = yield* Effect.flip(Effect.asVoid(write))
        assert.strictEqual(error._tag, "DustForbiddenError")
        assert.strictEqual(error.type, "data_source_auth_error")
      }
    }).pipe(local()))

  it.effect("too long for the plan is a quota that waiting does not cure", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(
        dataSources.upsertDocument({ ...at, documentId: "a", text: "x".repeat(2 * 1024 * 1024 + 1) })
      )
      assert.strictEqual(error._tag, "DustQuotaExceededError")
      assert.strictEqual(error.type, "data_source_quota_error")
    }).pipe(local(empty)))

  it.effect("over 120 a minute is a rate limit without a time to wait", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const one = dataSources.upsertDocument({ ...at, documentId: "a", text: "b" })
      yield* Effect.replicateEffect(one, 120, { discard: true })
      const error = yield* Effect.flip(one.pipe(DustClient.withOptions({ retry: RetryPolicy.none })))
      assert.strictEqual(error._tag, "DustRateLimitError")
      assert.strictEqual(error.retryAfter, undefined)
    }).pipe(local({ ...empty, limits: true })))

  it.effect("an upsert whose answer is lost is made again", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const fiber = yield* Effect.fork(dataSources.upsertDocument({ ...at, documentId: "a", text: "b" }))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).document.documentId, "a")
      assert.strictEqual(yield* count(upserts), 2)
    }).pipe(local({ ...empty, faults: [{ ...upserts, nth: 1, fault: DustTest.faults.resetAfter() }] })))

  it.effect("puts a document below others", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      yield* dataSources.upsertDocument({ ...at, documentId: "a", text: "b" })
      yield* dataSources.updateParents({ ...at, documentId: "a", parents: ["folder", "root"] })
      assert.deepStrictEqual((yield* last).body, { parents: ["a", "folder", "root"], parent_id: "folder" })
      const document = yield* dataSources.getDocument({ ...at, documentId: "a" })
      assert.deepStrictEqual(document.parents, ["a", "folder", "root"])
      assert.strictEqual(document.parentId, "folder")
      yield* dataSources.updateParents({ ...at, documentId: "a", parents: [] })
      assert.strictEqual((yield* dataSources.getDocument({ ...at, documentId: "a" })).parentId, null)
    }).pipe(local(empty)))

  it.effect("lists pages, and streams them all", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const page = yield* dataSources.pageDocuments(at)
      assert.strictEqual(page.documents.length, 10)
      assert.strictEqual(page.total, 25)
      const second = yield* dataSources.pageDocuments({ ...at, limit: 20, offset: 20 })
      assert.strictEqual(second.documents.length, 5)
      const some = yield* dataSources.pageDocuments({ ...at, documentIds: ["doc 1", "doc,2", "nothing"] })
      assert.deepStrictEqual(some.documents.map((one) => one.documentId).sort(), ["doc 1", "doc,2"])
      const dust = yield* DustTest.DustTest
      yield* dust.clearRequests
      const all = yield* Stream.runCollect(dataSources.streamDocuments({ ...at, pageSize: 10 }))
      assert.strictEqual(new Set(Chunk.map(all, (one) => one.documentId)).size, 25)
      assert.strictEqual(yield* count(), 3)
      yield* dust.clearRequests
      yield* Stream.runDrain(Stream.take(dataSources.streamDocuments({ ...at, pageSize: 10 }), 5))
      assert.strictEqual(yield* count(), 1)
      const error = yield* Effect.flip(Stream.runDrain(dataSources.streamDocuments({ ...at, pageSize: 0 })))
      assert.strictEqual(fieldOf(error), "pageSize")
    }).pipe(local({
      seed: {
        dataSources: [{
          sId: "dts_handbook",
          name: "handbook",
          documents: [
            { documentId: "doc,2", text: "x" },
            ...Array.from({ length: 24 }, (_, i) => ({ documentId: `doc ${i}`, text: "x" }))
          ]
        }]
      }
    })))

  it.effect("streams more ids than a URL has room for, each once", () => {
    const { layer, requests } = dust(({ url: { searchParams } }) => {
      const ids = searchParams.getAll("document_ids")
      const offset = Number(searchParams.get("offset"))
      const page = ids.slice(offset, offset + Number(searchParams.get("limit")))
      return json({ documents: page.map((document_id) => ({ document_id })), total: ids.length })
    })
    return Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const ids = Array.from({ length: 2_000 }, (_, i) => `https://example.com/a page/${i}`)
      const documentIds = [...ids, ...ids, "x".repeat(10_000), "last"]
      const found = yield* Stream.runCollect(dataSources.streamDocuments({ ...at, documentIds }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(Chunk.map(found, (one) => one.documentId)), [
        ...new Set(documentIds)
      ])
      const tooLong = requests.filter(({ url }) => url.href.length > 6_500)
      assert.deepStrictEqual(tooLong.map(({ url }) => url.searchParams.getAll("document_ids").length), [1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("an empty list of ids selects no documents", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      assert.deepStrictEqual(yield* dataSources.pageDocuments({ ...at, documentIds: [] }), { documents: [], total: 0 })
      assert.deepStrictEqual(
        yield* Stream.runCollect(dataSources.streamDocuments({ ...at, documentIds: [] })),
        Chunk.empty()
      )
      yield* noRequests
    }).pipe(local()))

  /** A server that returns at most 10 documents at a time, with an unknown kind among them. */
  const pages = (name: string, total: number | undefined, most: number) => ({ url: { searchParams } }: Recorded) => {
    const all = Array.from(
      { length: 25 },
      (_, i) => i === 3 ? { of: "another kind" } : { document_id: `d${i}`, row_id: `r${i}` }
    )
    const offset = Number(searchParams.get("offset"))
    const limit = Math.min(most, Number(searchParams.get("limit")))
    return json({ [name]: all.slice(offset, offset + limit), total })
  }
  for (
    const [name, total, most] of [
      ["gives fewer at a time than it is asked for", 25, 10],
      ["does not say how many there are", undefined, 25],
      ["counts some that it does not give", 99, 25]
    ] as const
  ) {
    it.effect(`streamDocuments: emits all known documents when the server ${name}`, () =>
      Effect.gen(function*() {
        const documents = yield* Effect.flatMap(DataSources.DataSources, (dataSources) =>
          Stream.runCollect(dataSources.streamDocuments({ ...at, pageSize: 20 }))).pipe(
            Effect.provide(dust(pages("documents", total, most)).layer)
          )
        const ids = Array.from({ length: 25 }, (_, i) =>
          `d${i}`).filter((id) => id !== "d3")
        assert.deepStrictEqual(Chunk.toReadonlyArray(documents).map((one) => one.documentId), ids)
        const rows = yield* Effect.flatMap(DataSources.DataSources, (dataSources) =>
          Stream.runCollect(dataSources.streamRows({ ...at, tableId: "t", pageSize: 20 }))).pipe(
            Effect.provide(dust(pages("rows", total, most)).layer)
          )
        assert.strictEqual(Chunk.size(rows), 24)
      }))
  }

  const odd = Schema.String.pipe(
    Schema.filter((id) => id.trim() !== "" && id !== "." && id !== ".." && wellFormed(id))
  )
  it.effect.prop("every id comes back as it was", [
    odd,
    Schema.String.pipe(Schema.filter((text) => wellFormed(text)))
  ], ([documentId, text]) =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      yield* dataSources.upsertDocument({ ...at, documentId, text })
      const document = yield* dataSources.getDocument({ ...at, documentId })
      assert.strictEqual(document.documentId, documentId)
      assert.strictEqual(document.text, text)
      yield* dataSources.deleteDocument({ ...at, documentId })
      assert.strictEqual((yield* dataSources.pageDocuments(at)).total, 0)
    }).pipe(local(empty)), seeded)

  for (
    const documentId of ["a/b/c", "../../../me", "a b", "ü/ß?x=1#y", "%2F", "日本語.md", "a\\b", "?", "#", "+", "..."]
  ) {
    it.effect(`the id ${documentId} stays in its segment`, () =>
      Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        yield* dataSources.upsertDocument({ ...at, documentId, text: "x" })
        assert.strictEqual((yield* dataSources.getDocument({ ...at, documentId })).documentId, documentId)
        const found = yield* dataSources.pageDocuments({ ...at, documentIds: [documentId] })
        assert.strictEqual(found.total, 1)
        yield* dataSources.deleteDocument({ ...at, documentId })
        for (const request of yield* requests()) {
          assert.isTrue(
            request.path.startsWith("/api/v1/w/LocalDust1/spaces/vlt_global/data_sources/dts_handbook/documents")
          )
        }
      }).pipe(local(empty)))
  }

  it.effect("a server with less to say, and one with more, is understood", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { documents, total } = yield* dataSources.pageDocuments(at)
      assert.strictEqual(total, 0)
      assert.deepStrictEqual(documents.map((one) => [one.documentId, one.title, one.chunks.length]), [["a", null, 0]])
    }).pipe(local({
      faults: [{
        fault: DustTest.faults.status(200, {
          contentType: "application/json",
          body: JSON.stringify({
            documents: [{ document_id: "a", chunks: null, extra: { x: 1 }, tags: "odd" }, { no: "id" }],
            total: null
          })
        })
      }]
    })))
})

describe("DataSources: search", () => {
  it.effect("finds passages, best first", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents = yield* dataSources.search({ ...at, query: "Which class for trains?" })
      assert.deepStrictEqual((yield* last).query, { query: "Which class for trains?", top_k: "10" })
      assert.deepStrictEqual(documents.map((one) => one.documentId), ["travel"])
      const [passage] = DataSource.passages(documents)
      assert.strictEqual(passage?.title, "Travel")
      assert.include(passage?.text, "Trains")
      assert.strictEqual(passage?.score, 0.5)
      assert.strictEqual(documents[0]?.text, null)
    }).pipe(local()))

  it.effect("repeats list parameters, and omits full text when false", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents = yield* dataSources.search({
        ...at,
        query: "everybody office",
        topK: 1,
        fullText: true,
        targetDocumentTokens: 100,
        timestampGt: new Date("2020-01-01"),
        timestampLt: Date.UTC(2036, 0, 1),
        tagsIn: ["people", "a,b"],
        tagsNot: ["money"],
        parentsIn: ["onboarding", "other"],
        parentsNot: ["nothing"]
      })
      assert.deepStrictEqual((yield* last).query, {
        query: "everybody office",
        top_k: "1",
        full_text: "true",
        target_document_tokens: "100",
        timestamp_gt: String(Date.UTC(2020, 0, 1)),
        timestamp_lt: String(Date.UTC(2036, 0, 1)),
        tags_in: ["people", "a,b"],
        tags_not: "money",
        parents_in: ["onboarding", "other"],
        parents_not: "nothing"
      })
      assert.deepStrictEqual(documents.map((one) => one.documentId), [])
      yield* dataSources.search({ ...at, query: "trains", fullText: false })
      assert.notProperty((yield* last).query, "full_text")
    }).pipe(local()))

  it.effect("checks its input before any request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      for (
        const [field, options] of [
          ["query", { query: " " }],
          ["topK", { query: "a", topK: 0 }],
          ["topK", { query: "a", topK: 1.5 }],
          ["targetDocumentTokens", { query: "a", targetDocumentTokens: Number.NaN }],
          ["timestampGt", { query: "a", timestampGt: 1_760_000_000 }],
          ["tagsIn", { query: "a", tagsIn: [] }],
          ["parentsIn", { query: "a", parentsIn: [] }]
        ] as const
      ) {
        assert.strictEqual(fieldOf(yield* Effect.flip(dataSources.search({ ...at, ...options }))), field)
      }
      yield* noRequests
    }).pipe(local()))

  it.effect("cuts text into tokens", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const tokens = yield* dataSources.tokenize({ ...at, text: "one two" })
      assert.deepStrictEqual(tokens.map((token) => token.text), ["one", " two"])
      assert.isTrue(tokens.every((token) => Number.isInteger(token.id)))
    }).pipe(local()))
})

describe("DataSources: tables", () => {
  it.effect("makes a table, fills it, reads it, empties it", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const table = yield* dataSources.upsertTable({ ...at, name: "prices", description: "What things cost" })
      assert.deepStrictEqual((yield* last).body, { name: "prices", title: "prices", description: "What things cost" })
      assert.strictEqual(table.schema, null)
      const { tableId } = table
      const summary = yield* dataSources.upsertRows({
        ...at,
        tableId,
        rows: [
          { rowId: "a/b", value: { item: "tea", price: 3, hot: true, since: new Date("2026-01-01"), note: null } },
          { rowId: "c", value: { item: "cake", price: 4.5, hot: false, since: DateTime.unsafeMake("2026-02-01") } }
        ]
      })
      assert.deepStrictEqual(summary.schema?.map((column) => [column.name, column.valueType]), [
        ["item", "text"],
        ["price", "float"],
        ["hot", "bool"],
        ["since", "datetime"],
        ["note", "text"]
      ])
      const row = yield* dataSources.getRow({ ...at, tableId, rowId: "a/b" })
      assert.strictEqual(row.rowId, "a/b")
      assert.strictEqual(DataSource.cell(row, "price"), 3)
      assert.strictEqual(DataSource.cell(row, "note"), null)
      assert.strictEqual(DataSource.cell(row, "nothing"), undefined)
      assert.strictEqual(DataSource.cell(row, "constructor"), undefined)
      const since = DataSource.cell(row, "since")
      assert.isTrue(DateTime.isDateTime(since) && since.epochMillis === Date.UTC(2026, 0, 1))
      yield* dataSources.upsertRows({ ...at, tableId, rows: [{ rowId: "d", value: { item: "pie" } }], truncate: true })
      const { rows, total } = yield* dataSources.pageRows({ ...at, tableId })
      assert.deepStrictEqual([rows.map((one) => one.rowId), total], [["d"], 1])
      yield* dataSources.deleteRow({ ...at, tableId, rowId: "d" })
      assert.strictEqual((yield* dataSources.pageRows({ ...at, tableId })).total, 0)
      assert.deepStrictEqual((yield* dataSources.listTables(at)).map((one) => one.tableId), [tableId])
      yield* dataSources.deleteTable({ ...at, tableId })
      const error = yield* Effect.flip(dataSources.getTable({ ...at, tableId }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "table_not_found")
    }).pipe(local(empty)))

  it.effect("pages rows, and streams them all", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      assert.strictEqual((yield* dataSources.pageRows({ ...at, tableId: "t" })).rows.length, 10)
      const all = yield* Stream.runCollect(dataSources.streamRows({ ...at, tableId: "t", pageSize: 10 }))
      assert.strictEqual(all.length, 25)
      assert.strictEqual(new Set(Chunk.map(all, (row) => row.rowId)).size, 25)
      assert.strictEqual(yield* count(), 4)
    }).pipe(local({
      seed: {
        dataSources: [{
          sId: "dts_handbook",
          name: "handbook",
          tables: [{
            tableId: "t",
            name: "t",
            rows: Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`r${i}`, { n: i }]))
          }]
        }]
      }
    })))

  it.effect("a name that is taken is a conflict", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "prices" })
      const error = yield* Effect.flip(dataSources.upsertTable({ ...at, name: "prices" }))
      assert.strictEqual(error._tag, "DustConflictError")
      assert.strictEqual(error.type, "table_name_taken")
      assert.strictEqual(error.status, 500)
      assert.isFalse(error.isRetryable)
      assert.propertyVal(error.details, "tableId", tableId)
      yield* dataSources.upsertTable({ ...at, name: "prices", tableId, description: "again" })
    }).pipe(local(empty)))

  it.effect("keeps any other failure unchanged", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(dataSources.upsertTable({ ...at, name: "prices" }))
      assert.strictEqual(error._tag, "DustServerError")
    }).pipe(local({
      ...empty,
      faults: [{ method: "POST", path: /\/tables$/, fault: DustTest.faults.status(500) }]
    })))

  it.effect("upsertTable: a taken name fails at once, also where the call may be repeated", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      yield* dataSources.upsertTable({ ...at, name: "prices", tableId: "a" })
      // No time passes: a pause before another attempt would never end.
      const error = yield* Effect.flip(dataSources.upsertTable({ ...at, name: "prices", tableId: "b" }))
      assert.deepStrictEqual([error._tag, error.attempts], ["DustConflictError", 1])
      assert.strictEqual(
        yield* count({ method: "POST", path: "/spaces/:spaceId/data_sources/:dataSourceId/tables" }),
        2
      )
    }).pipe(local(empty)))

  it.effect("upsertTable: a 500 that has nothing to do with the name is repeated", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const fiber = yield* Effect.fork(dataSources.upsertTable({ ...at, name: "prices", tableId: "a" }))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).tableId, "a")
    }).pipe(local({
      ...empty,
      faults: [{ method: "POST", path: /\/tables$/, times: 2, fault: DustTest.faults.status(500) }]
    })))

  it.effect("getRow: a row that does not exist fails at once, although Dust answers 500", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "prices" })
      const error = yield* Effect.flip(dataSources.getRow({ ...at, tableId, rowId: "r" }))
      assert.deepStrictEqual([error._tag, error.attempts], ["DustServerError", 1])
    }).pipe(local(empty)))

  it.effect("a table does not conflict with itself", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const dust = yield* DustTest.DustTest
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "prices" })
      yield* dust.fault({ method: "POST", path: /\/tables$/, fault: DustTest.faults.status(500) })
      const error = yield* Effect.flip(dataSources.upsertTable({ ...at, name: "prices", tableId }))
      assert.strictEqual(error._tag, "DustServerError")
    }).pipe(local({ ...empty, retry: RetryPolicy.none })))

  it.effect("maps a 500 to a missing table only when reading the table confirms it", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const dust = yield* DustTest.DustTest
      for (const status of [401, 403, 409, 429, 500, 503]) {
        yield* dust.clearFaults
        yield* dust.fault({ path: /\/rows$/, fault: DustTest.faults.status(500) })
        yield* dust.fault({ path: /\/tables\/nothing$/, fault: DustTest.faults.status(status) })
        const error = yield* Effect.flip(dataSources.pageRows({ ...at, tableId: "nothing" }))
        assert.deepStrictEqual([error._tag, error.method], ["DustServerError", "pageRows"])
        yield* dust.lastRequest({ path: /\/tables\/nothing$/ })
      }
      // Any other server failure does not identify the table as missing.
      yield* dust.clearFaults
      yield* dust.fault({ path: /\/rows$/, fault: DustTest.faults.status(503) })
      const before = yield* count()
      const error = yield* Effect.flip(dataSources.pageRows({ ...at, tableId: "nothing" }))
      assert.strictEqual(error._tag, "DustServerError")
      assert.strictEqual(yield* count(), before + 1)
    }).pipe(local({ ...empty, retry: RetryPolicy.none })))

  it.effect("a missing table is not found, whatever the status", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const missing = { ...at, tableId: "nothing" }
      for (
        const [method, call] of [
          ["pageRows", Effect.asVoid(dataSources.pageRows(missing))],
          ["getRow", Effect.asVoid(dataSources.getRow({ ...missing, rowId: "r" }))],
          ["upsertRows", Effect.asVoid(dataSources.upsertRows({ ...missing, rows: [] }))],
          ["getTable", Effect.asVoid(dataSources.getTable(missing))],
          ["deleteTable", dataSources.deleteTable(missing)],
          ["deleteRow", dataSources.deleteRow({ ...missing, rowId: "r" })]
        ] as const
      ) {
        const error = yield* Effect.flip(call)
        assert.strictEqual(error._tag, "DustNotFoundError")
        assert.strictEqual(error.type, "table_not_found")
        assert.strictEqual(error.method, method)
      }
    }).pipe(local({ ...empty, retry: RetryPolicy.none })))

  it.effect("a missing row of an existing table stays the server's 500", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "prices" })
      const error = yield* Effect.flip(dataSources.getRow({ ...at, tableId, rowId: "r" }))
      assert.strictEqual(error._tag, "DustServerError")
    }).pipe(local({ ...empty, retry: RetryPolicy.none })))

  it.effect("a table is deleted when the answer to that was lost, and missing when it was missing before", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "prices" })
      const fiber = yield* Effect.fork(dataSources.deleteTable({ ...at, tableId }))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* count({ method: "DELETE" }), 2)
      const error = yield* Effect.flip(dataSources.deleteTable({ ...at, tableId }))
      assert.strictEqual(error.type, "table_not_found")
    }).pipe(local({
      credential: "adminApiKey",
      faults: [{ method: "DELETE", nth: 1, fault: DustTest.faults.resetAfter() }]
    })))

  it.effect("deleting a table takes a builder", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(dataSources.deleteTable({ ...at, tableId: "t" }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "data_source_not_found")
    }).pipe(local({
      seed: { dataSources: [{ sId: "dts_handbook", name: "handbook", tables: [{ tableId: "t", name: "t" }] }] },
      credential: "userToken"
    })))

  it.effect("a column may be named __proto__", () => {
    const { layer, requests } = dust(() => json({ table: { table_id: "t", name: "t" } }))
    return Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const value = Object.fromEntries([["__proto__", 1], ["b", 2]])
      yield* dataSources.upsertRows({ ...at, tableId: "t", rows: [{ rowId: "r", value }] })
      assert.include(requests[0]?.body, "\"value\":{\"__proto__\":1,\"b\":2}")
    }).pipe(Effect.provide(layer))
  })

  const cells: ReadonlyArray<readonly [string, DataSource.RowInput, string]> = [
    ["bytes", { rowId: "a", value: { n: new Uint8Array(2) } }, "rows.1.value.n"],
    ["a lone surrogate", { rowId: "a", value: { n: "\ud800" } }, "rows.1.value.n"],
    ["a NUL character", { rowId: "a", value: { n: "a\0" } }, "rows.1.value.n"],
    ["a number that is none", { rowId: "a", value: { n: Number.NaN } }, "rows.1.value.n"],
    ["an endless number", { rowId: "a", value: { n: Infinity } }, "rows.1.value.n"],
    ["an invalid date", { rowId: "a", value: { n: new Date("never") } }, "rows.1.value.n"],
    ["a blank id", { rowId: " ", value: {} }, "rows.1.rowId"]
  ]
  for (const [name, row, field] of cells) {
    it.effect(`refuses ${name} before any request`, () =>
      Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        const rows = [{ rowId: "ok", value: { n: 1 } }, row]
        const error = yield* Effect.flip(dataSources.upsertRows({ ...at, tableId: "t", rows }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(fieldOf(error), field)
        const load = yield* Effect.flip(dataSources.loadTable({ ...at, table: "t", rows }))
        assert.strictEqual(fieldOf(load), field)
        yield* noRequests
      }).pipe(local(empty)))
  }

  it.effect("upsertRows: takes what database drivers return", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "t" })
      const decimal = { toJSON: () => "12.50" }
      yield* dataSources.upsertRows({
        ...at,
        tableId,
        rows: [{
          rowId: "a",
          value: {
            userId: 1,
            "First Name": "x",
            "名前": "y",
            user_id: 2,
            count: 10n,
            big: 9007199254740993n,
            none: undefined,
            tags: ["x"],
            meta: { b: 1 },
            price: decimal,
            HTTPStatus: 200
          }
        }]
      })
      assert.deepStrictEqual((yield* dataSources.getRow({ ...at, tableId, rowId: "a" })).value, {
        user_id: 1,
        first_name: "x",
        column_3: "y",
        user_id_2: 2,
        count: 10,
        big: "9007199254740993",
        tags: "[\"x\"]",
        meta: "{\"b\":1}",
        price: "12.50",
        http_status: 200
      })
    }).pipe(local(empty)))

  it.effect("writes 500,000 rows of a Stream, and refuses one more before it is sent", () => {
    let written = 0
    const { layer } = dust(({ body }) => {
      written += body === undefined ? 0 : body.split("\"row_id\"").length - 1
      return json({ table: { table_id: "t", name: "t" } })
    })
    return Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const load = (count: number) =>
        dataSources.loadTable({
          ...at,
          table: "t",
          batchSize: 100_000,
          rows: Stream.fromIterable(Array.from({ length: count }, (_, i) => ({ rowId: String(i), value: {} })))
        })
      assert.strictEqual((yield* load(500_000)).rows, 500_000)
      assert.strictEqual(written, 500_000)
      written = 0
      const error = yield* Effect.flip(load(500_001))
      assert.deepStrictEqual([error._tag, error.type], ["DustContentTooLargeError", "too_many_rows"])
      assert.strictEqual(written, 500_000)
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuses 500,001 rows before any request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const rows = Array.from({ length: 500_001 }, (_, i) => ({ rowId: String(i), value: {} }))
      const one = yield* Effect.flip(dataSources.upsertRows({ ...at, tableId: "t", rows }))
      assert.strictEqual(one._tag, "DustContentTooLargeError")
      assert.strictEqual(one.type, "too_many_rows")
      const two = yield* Effect.flip(dataSources.loadTable({ ...at, table: { name: "t" }, rows }))
      assert.strictEqual(two._tag, "DustContentTooLargeError")
      yield* noRequests
    }).pipe(local(empty)))

  it.effect.prop("text, numbers and booleans come back as they were", [
    Schema.Array(Schema.Union(
      Schema.String.pipe(Schema.filter((text) => wellFormed(text))),
      Schema.JsonNumber.pipe(Schema.filter((n) => !Object.is(n, -0))),
      Schema.Boolean,
      Schema.Null
    ))
  ], ([values]) =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const value = Object.fromEntries(values.map((one, i) => [`c_${i}`, one]))
      yield* dataSources.upsertRows({ ...at, tableId: "t", rows: [{ rowId: "r", value }] })
      assert.deepStrictEqual((yield* dataSources.getRow({ ...at, tableId: "t", rowId: "r" })).value, value)
    }).pipe(local({
      seed: { dataSources: [{ sId: "dts_handbook", name: "handbook", tables: [{ tableId: "t", name: "t" }] }] }
    })), seeded)
})

describe("DataSources.loadTable", () => {
  it.effect("loads a CSV into a table that it makes, in batches, with progress", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const told: Array<DataSources.LoadProgress> = []
      const csv = "\ufeffSKU,Unit Price,In stock,Zip,Note\r\n" +
        "a,1,TRUE,01234,\"says \"\"hi\"\",\r\nthen leaves\"\r\n" +
        "b,2.5,false,98765,\r\n" +
        "\r\n" +
        "c,,,00001,x"
      const result = yield* dataSources.loadTable({
        ...at,
        table: { name: "stock", description: "What there is" },
        csv,
        rowId: "sku",
        batchSize: 2,
        onProgress: (progress) => Effect.sync(() => told.push(progress))
      })
      assert.deepStrictEqual([result.rows, result.total, result.batches], [3, 3, 2])
      assert.deepStrictEqual(told.map(({ batches, rows, total }) => [rows, total, batches]), [[2, 3, 1], [3, 3, 2]])
      assert.strictEqual(result.table?.name, "stock")
      const { rows } = yield* dataSources.pageRows({ ...at, tableId: result.tableId })
      assert.deepStrictEqual(rows.map((row) => [row.rowId, row.value]), [
        ["a", { sku: "a", unit_price: 1, in_stock: true, zip: "01234", note: "says \"hi\",\r\nthen leaves" }],
        ["b", { sku: "b", unit_price: 2.5, in_stock: false, zip: "98765", note: null }],
        ["c", { sku: "c", unit_price: null, in_stock: null, zip: "00001", note: "x" }]
      ])
      // The second load finds the table and replaces its rows once.
      yield* dataSources.loadTable({
        ...at,
        table: { name: "stock" },
        csv: "n\n1\n2\n3\n",
        replace: true,
        batchSize: 1
      })
      assert.strictEqual((yield* dataSources.listTables(at)).length, 1)
      assert.deepStrictEqual(
        (yield* dataSources.pageRows({ ...at, tableId: result.tableId })).rows.map((row) => row.value),
        [{ n: 1 }, { n: 2 }, { n: 3 }]
      )
      const writes = yield* requests(rowWrites)
      assert.deepStrictEqual(writes.slice(2).map(({ body }) => (body as { truncate?: boolean }).truncate), [
        undefined,
        undefined,
        undefined
      ])
    }).pipe(local(empty)))

  const broken: ReadonlyArray<readonly [string, string, number, string | undefined]> = [
    ["a quote that is not closed", "a,b\n1,\"x\ny\n", 2, undefined],
    ["too few values", "a,b\n1,2\n\"x\ny\",2\n3\n", 5, undefined],
    ["too many values", "a,b\n1,2,3\n", 2, undefined],
    ["text after a closing quote", "a,b\n\"1\"x,2\n", 2, undefined],
    ["a quote inside a value", "a,b\n1,2\"\n", 2, undefined],
    ["no header", "\n\n", 1, undefined],
    ["a CR outside quotes", "a,b\n1,2\n1\r2,3\n", 3, undefined],
    ["no column of ids", "a,b\n1,2\n", 1, "id"],
    ["an id twice", "id,b\nx,1\n\ny,1\nx,2\n", 5, "id"],
    ["an empty id", "id,b\nx,1\n,2\n", 3, "id"]
  ]
  for (const [name, csv, line, rowId] of broken) {
    it.effect(`reports the line in which a CSV has ${name}, before any request`, () =>
      Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        const error = yield* Effect.flip(dataSources.loadTable({ ...at, table: { name: "t" }, csv, rowId }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.propertyVal(error.details, "line", line)
        assert.include(error.message, `line ${line}`)
        yield* noRequests
      }).pipe(local(empty)))
  }

  const tables: ReadonlyArray<readonly [string, DataSources.TableInput]> = [
    ["table.name", { name: " " }],
    ["table.timestamp", { name: "t", timestamp: 1_760_000_000 }],
    ["table.sourceUrl", { name: "t", sourceUrl: "nowhere" }],
    ["table.tableId", { name: "t", tableId: "" }]
  ]
  it.effect.each(tables)("refuses an invalid %s before any request", ([field, table]) =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(dataSources.loadTable({ ...at, table, csv: "a\n1\n" }))
      assert.include(error.message, `DataSources.loadTable: ${field} must be `)
      yield* noRequests
    }).pipe(local(empty)))

  it.effect("refuses a delimiter that cannot be one before any request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      for (const delimiter of ["", ";;", "\"", "\n", "\r"]) {
        const error = yield* Effect.flip(
          dataSources.loadTable({ ...at, table: { name: "t" }, csv: "a;;b\n1;;2\n", delimiter })
        )
        assert.strictEqual(fieldOf(error), "delimiter")
      }
      yield* noRequests
    }).pipe(local(empty)))

  const numbers: ReadonlyArray<readonly [string, string | number]> = [
    ["0.1", 0.1],
    ["-12.5", -12.5],
    ["0", 0],
    ["-12.50", "-12.50"],
    ["1.10", "1.10"],
    ["1E5", "1E5"],
    ["007", "007"],
    ["-0", "-0"],
    ["0.000", "0.000"],
    ["1e-7", 1e-7],
    ["1.50e300", "1.50e300"],
    ["9007199254740991", 9007199254740991],
    ["0.1000000000000000055", "0.1000000000000000055"],
    ["1234567890.12345678901", "1234567890.12345678901"],
    ["9007199254740993.0", "9007199254740993.0"],
    ["9007199254740993", "9007199254740993"],
    ["1e-400", "1e-400"],
    ["1e400", "1e400"]
  ]
  it.effect.each(numbers)("a CSV with %s has %j", ([csv, value]) =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.loadTable({ ...at, table: { name: "t" }, csv: `n\n${csv}\n` })
      assert.deepStrictEqual((yield* dataSources.pageRows({ ...at, tableId })).rows[0]?.value, { n: value })
    }).pipe(local(empty)))

  it.effect("keeps text as text when asked to, and takes other delimiters", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.loadTable({
        ...at,
        table: { name: "t" },
        csv: "a;b\n1;true\n",
        delimiter: ";",
        infer: false
      })
      const { rows } = yield* dataSources.pageRows({ ...at, tableId })
      assert.deepStrictEqual(rows.map((row) => row.value), [{ a: "1", b: "true" }])
    }).pipe(local(empty)))

  it.effect.prop("every text in quotes comes back", [
    Schema.NonEmptyArray(Schema.String.pipe(Schema.filter((text) => wellFormed(text) && text !== "")))
  ], ([values]) =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const csv = `v\n${values.map((value) => `"${value.replaceAll("\"", "\"\"")}"`).join("\n")}\n`
      const { tableId } = yield* dataSources.loadTable({ ...at, table: { name: "t" }, csv, infer: false })
      const rows = yield* Stream.runCollect(dataSources.streamRows({ ...at, tableId }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(rows).map((row) => row.value), values.map((v) => ({ v })))
    }).pipe(local(empty)), seeded)

  it.effect("loads a Stream, and fails with its error after the preceding rows", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.upsertTable({ ...at, name: "t" })
      const rows = Stream.range(1, 5).pipe(
        Stream.map((n) => ({ rowId: String(n), value: { n } })),
        Stream.concat(Stream.fail(new SourceError({ at: 5 })))
      )
      const error = yield* Effect.flip(dataSources.loadTable({ ...at, table: tableId, rows, batchSize: 2 }))
      assert.deepStrictEqual(error, new SourceError({ at: 5 }))
      assert.isAtLeast((yield* dataSources.pageRows({ ...at, tableId })).total, 4)
      const events = yield* Stream.runCollect(
        dataSources.loadTableStream({ ...at, table: tableId, rows: Stream.take(rows, 3), batchSize: 2 })
      )
      assert.deepStrictEqual(Chunk.toReadonlyArray(events).map((event) => [event._tag, event.rows, event.total]), [
        ["Progress", 2, undefined],
        ["Progress", 3, undefined],
        ["Done", 3, undefined]
      ])
    }).pipe(local(empty)))

  it.effect("a wrong row of a Stream is named by its position", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const rows = Stream.range(0, 4).pipe(
        Stream.map((n) => ({ rowId: String(n), value: { n: n === 3 ? Number.NaN : n } }))
      )
      const error = yield* Effect.flip(dataSources.loadTable({ ...at, table: { name: "t" }, rows, batchSize: 2 }))
      assert.strictEqual(fieldOf(error), "rows.3.value.n")
      assert.strictEqual(yield* count(rowWrites), 1)
    }).pipe(local(empty)))

  it.effect("loadTable: an empty source empties the table only with replace and allowEmpty", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const { tableId } = yield* dataSources.loadTable({ ...at, table: { name: "t" }, csv: "n\n1\n" })
      const nothing = yield* dataSources.loadTable({ ...at, table: tableId, rows: [] })
      assert.deepStrictEqual([nothing.rows, nothing.batches, nothing.table], [0, 0, null])
      assert.strictEqual((yield* dataSources.pageRows({ ...at, tableId })).total, 1)
      const error = yield* Effect.flip(dataSources.loadTable({ ...at, table: tableId, rows: [], replace: true }))
      assert.strictEqual(fieldOf(error), "rows")
      assert.strictEqual((yield* dataSources.pageRows({ ...at, tableId })).total, 1)
      const emptied = yield* dataSources.loadTable({ ...at, table: tableId, rows: [], replace: true, allowEmpty: true })
      assert.strictEqual(emptied.batches, 1)
      assert.strictEqual((yield* dataSources.pageRows({ ...at, tableId })).total, 0)
    }).pipe(local(empty)))

  // The policy waits 15, 30 and 30 seconds for a limit that does not say when it reopens, within two minutes.
  it.effect("loadTable: waits while too many updates are queued", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const fiber = yield* Effect.fork(dataSources.loadTable({ ...at, table: { name: "t" }, csv: "n\n1\n" }))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).rows, 1)
    }).pipe(local({
      ...empty,
      faults: [{ ...rowWrites, times: 3, fault: DustTest.faults.status(429, { type: "rate_limit_error" }) }]
    })))
})

const docs = (count: number, text = "x"): ReadonlyArray<DataSources.DocumentInput> =>
  Array.from({ length: count }, (_, i) => ({ documentId: `doc-${i}`, text: `${text} ${i}` }))

const everything = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

type Outcome = Exclude<DataSources.SyncEvent, { readonly _tag: "Listing" | "Waiting" }>

/** The events about documents, and the last one. */
const collect = <E, R>(stream: Stream.Stream<DataSources.SyncEvent, E, R>) =>
  Effect.map(
    everything(stream),
    (events) => events.filter((event): event is Outcome => event._tag !== "Listing" && event._tag !== "Waiting")
  )

describe("DataSources.syncDocuments", () => {
  it.effect("writes every document, reports each, and stays under the limit", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const fiber = yield* Effect.fork(collect(dataSources.syncDocuments({ ...at, documents: docs(300) })))
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* count(upserts), 110)
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* count(upserts), 220)
      yield* TestClock.adjust("1 second")
      const events = yield* Fiber.join(fiber)
      assert.strictEqual(events.length, 301)
      assert.isTrue(events.slice(0, 300).every((event) => event._tag === "Upserted"))
      assert.deepStrictEqual(events.at(-1), {
        _tag: "Done",
        progress: {
          processed: 300,
          upserted: 300,
          skipped: 0,
          failed: 0,
          deleted: 0,
          total: 300,
          checkpoint: "doc-299"
        }
      })
      const seen = yield* requests(upserts)
      assert.isTrue(seen.every(({ status }) => status === 200))
      assert.deepStrictEqual(seen[0]?.body, { text: "x 0", light_document_output: true })
      assert.strictEqual((yield* dataSources.pageDocuments(at)).total, 300)
    }).pipe(local(empty)))

  it.effect("no window of a minute ever has more starts than allowed", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents = Stream.fromIterable(docs(60)).pipe(
        Stream.mapEffect((one) => Effect.delay(Effect.succeed(one), "700 millis"))
      )
      const fiber = yield* Effect.fork(
        collect(dataSources.syncDocuments({ ...at, documents, perMinute: 20, concurrency: 3 }))
      )
      yield* TestClock.adjust("5 minutes")
      const events = yield* Fiber.join(fiber)
      assert.strictEqual(events.length, 61)
      assert.strictEqual(events[0]?.progress.total, undefined)
      const starts = (yield* requests(upserts)).map((request) => request.at)
      for (const start of starts) {
        assert.isAtMost(starts.filter((other) => other >= start && other < start + 60_000).length, 20)
      }
    }).pipe(local(empty)))

  it.effect("keeps the bound on what runs at the same time", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const fiber = yield* Effect.fork(
        collect(dataSources.syncDocuments({ ...at, documents: docs(20), concurrency: 3 }))
      )
      const dust = yield* DustTest.DustTest
      let most = 0
      for (let i = 0; i < 40; i++) {
        most = Math.max(most, (yield* dust.openConnections).length)
        yield* TestClock.adjust("500 millis")
      }
      assert.strictEqual((yield* Fiber.join(fiber)).length, 21)
      assert.strictEqual(most, 3)
    }).pipe(local({ ...empty, faults: [{ ...upserts, fault: DustTest.faults.delayHeaders("1 second") }] })))

  it.effect("syncDocuments: a document that is refused before any request does not count against the limit", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents: ReadonlyArray<DataSources.DocumentInput> = [
        { documentId: "title", text: "a", title: "x".repeat(513) },
        { documentId: "url", text: "a", sourceUrl: "nowhere" },
        { documentId: "..", text: "a" },
        { documentId: "good", text: "a" }
      ]
      const fiber = yield* Effect.fork(
        collect(dataSources.syncDocuments({ ...at, documents, concurrency: 1, perMinute: 1 }))
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* count(upserts), 1)
      const events = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        events.map((event) => event._tag === "Failed" ? fieldOf(event.error) : event._tag),
        ["title", "sourceUrl", "documentId", "Upserted", "Done"]
      )
    }).pipe(local(empty)))

  it.effect("a failure is an event, and the others go on", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents: ReadonlyArray<DataSources.DocumentInput> = [
        { documentId: "a", text: "a" },
        { documentId: "seconds", text: "b", timestamp: 1_760_000_000 },
        { documentId: "c", text: "c" },
        { documentId: "a", text: "again" },
        { documentId: "", text: "d" },
        { documentId: "long", text: "x".repeat(2 * 1024 * 1024 + 1) },
        { documentId: "e", text: "e" }
      ]
      const events = yield* collect(dataSources.syncDocuments({ ...at, documents, concurrency: 1 }))
      assert.deepStrictEqual(
        events.map((event) => [
          event._tag,
          event._tag === "Done" ? "" : event.documentId,
          event._tag === "Failed" ? [event.error._tag, fieldOf(event.error)] : undefined
        ]),
        [
          ["Upserted", "a", undefined],
          ["Failed", "seconds", ["DustBadRequestError", "timestamp"]],
          ["Upserted", "c", undefined],
          ["Failed", "a", ["DustBadRequestError", "documentId"]],
          ["Failed", "", ["DustBadRequestError", "documentId"]],
          ["Failed", "long", ["DustQuotaExceededError", undefined]],
          ["Upserted", "e", undefined],
          ["Done", "", undefined]
        ]
      )
      assert.deepStrictEqual(events.at(-1)?.progress, {
        processed: 7,
        upserted: 3,
        skipped: 0,
        failed: 4,
        deleted: 0,
        total: 7,
        // None of the failures would be cured by writing the document again.
        checkpoint: "e"
      })
      assert.strictEqual((yield* dataSources.getDocument({ ...at, documentId: "a" })).text, "a")
      assert.strictEqual(yield* count(upserts), 4)
    }).pipe(local(empty)))

  it.effect("ends when no further document can be written", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const missing = yield* Effect.flip(
        Stream.runDrain(dataSources.syncDocuments({ ...at, dataSourceId: "dts_nothing", documents: docs(1000) }))
      )
      assert.strictEqual(missing._tag, "DustNotFoundError")
      const managed = yield* Effect.flip(
        Stream.runDrain(dataSources.syncDocuments({ ...at, dataSourceId: "dts_wiki", documents: docs(1000) }))
      )
      assert.strictEqual(managed._tag, "DustForbiddenError")
      assert.isBelow(yield* count(upserts), 40)
    }).pipe(local()))

  it.effect("fails with the error of its source after the preceding documents, and deletes nothing", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents = Stream.concat(Stream.fromIterable(docs(3)), Stream.fail(new SourceError({ at: 3 })))
      const events: Array<DataSources.SyncEvent> = []
      const error = yield* dataSources.syncDocuments({ ...at, documents, deleteStale: true, concurrency: 1 }).pipe(
        Stream.runForEach((event) => Effect.sync(() => events.push(event))),
        Effect.flip
      )
      assert.deepStrictEqual(error, new SourceError({ at: 3 }))
      assert.strictEqual(yield* count({ method: "DELETE" }), 0)
      assert.deepStrictEqual(
        events.filter((event) => event._tag !== "Listing").map((event) => event._tag),
        ["Upserted", "Upserted", "Upserted"]
      )
    }).pipe(local()))

  it.effect("skips documents with the same timestamp", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const sync = (day: string) =>
        collect(dataSources.syncDocuments({
          ...at,
          unchanged: "timestamp",
          concurrency: 1,
          documents: [
            { documentId: "a", text: "a", timestamp: new Date("2026-01-01") },
            { documentId: "b", text: "b", timestamp: new Date(day) },
            { documentId: "c", text: "c" }
          ]
        }))
      const first = yield* sync("2026-01-02")
      assert.deepStrictEqual(first.map((event) => event._tag), ["Upserted", "Upserted", "Upserted", "Done"])
      const second = yield* sync("2026-01-03")
      assert.deepStrictEqual(second.map((event) => event._tag === "Skipped" ? event.reason : event._tag), [
        "unchanged",
        "Upserted",
        "Upserted",
        "Done"
      ])
    }).pipe(local(empty)))

  it.effect("skips documents with the same fingerprint, which changes with any field", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const base: DataSources.DocumentInput = { documentId: "a", text: "a", title: "A", tags: ["t"] }
      const tags = (documents: ReadonlyArray<DataSources.DocumentInput>) =>
        Effect.map(
          collect(dataSources.syncDocuments({ ...at, unchanged: "fingerprint", documents })),
          (events) => events.map((event) => event._tag)
        )
      assert.deepStrictEqual(yield* tags([base]), ["Upserted", "Done"])
      const written = yield* dataSources.getDocument({ ...at, documentId: "a" })
      assert.match(written.tags.find((tag) => tag.startsWith("fingerprint:")) ?? "", /^fingerprint:[0-9a-f]{14}$/)
      assert.deepStrictEqual(yield* tags([base]), ["Skipped", "Done"])
      for (
        const changed of [
          { ...base, text: "b" },
          { ...base, title: "B" },
          { ...base, tags: ["u"] },
          { ...base, sourceUrl: "https://a.b" },
          { ...base, mimeType: "text/plain" },
          { ...base, timestamp: new Date("2026-01-01") },
          { documentId: "a", section: { content: "a" } }
        ]
      ) {
        assert.deepStrictEqual(yield* tags([changed]), ["Upserted", "Done"])
        assert.deepStrictEqual(yield* tags([changed]), ["Skipped", "Done"])
      }
    }).pipe(local(empty)))

  it.effect("a fingerprint among the tags of a document that was read is not that of its new content", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const write = (text: string, tags: ReadonlyArray<string>) =>
        Effect.map(
          collect(
            dataSources.syncDocuments({
              ...at,
              unchanged: "fingerprint",
              documents: [{ documentId: "a", text, tags }]
            })
          ),
          (events) => events[0]?._tag
        )
      const read = dataSources.getDocument({ ...at, documentId: "a" })
      yield* write("old", ["t"])
      const { tags } = yield* read
      assert.strictEqual(yield* write("old", tags), "Skipped")
      assert.strictEqual(yield* write("new", tags), "Upserted")
      const written = yield* read
      assert.strictEqual(written.text, "new")
      assert.deepStrictEqual(written.tags.filter((tag) => !tag.startsWith("fingerprint:")).sort(), ["t", "title:a"])
      assert.strictEqual(written.tags.length, 3)
    }).pipe(local(empty)))

  it.effect("skips the documents that a function selects", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const events = yield* collect(dataSources.syncDocuments({
        ...at,
        unchanged: (document, existing) => document.title === existing.title,
        concurrency: 1,
        documents: [
          { documentId: "onboarding", text: "new text", title: "Onboarding" },
          { documentId: "travel", text: "new text", title: "Travelling" }
        ]
      }))
      assert.deepStrictEqual(events.map((event) => event._tag), ["Skipped", "Upserted", "Done"])
    }).pipe(local()))

  it.effect("skips documents that are not newer than the checkpoint", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const events = yield* collect(dataSources.syncDocuments({
        ...at,
        since: new Date("2026-01-02"),
        concurrency: 1,
        documents: [
          { documentId: "a", text: "a", timestamp: new Date("2026-01-02") },
          { documentId: "b", text: "b", timestamp: new Date("2026-01-03") },
          { documentId: "c", text: "c" }
        ]
      }))
      assert.deepStrictEqual(events.map((event) => event._tag === "Skipped" ? event.reason : event._tag), [
        "since",
        "Upserted",
        "Upserted",
        "Done"
      ])
    }).pipe(local(empty)))

  it.effect("continues where it stopped, and does not treat skipped documents as stale", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents = docs(10)
      const before = yield* dataSources.syncDocuments({ ...at, documents, concurrency: 1 }).pipe(
        Stream.take(4),
        collect
      )
      const checkpoint = before.at(-1)?.progress.checkpoint
      assert.strictEqual(checkpoint, "doc-3")
      const dust = yield* DustTest.DustTest
      yield* dust.clearRequests
      const after = yield* collect(
        dataSources.syncDocuments({ ...at, documents, resumeAfter: checkpoint, deleteStale: true, concurrency: 1 })
      )
      assert.deepStrictEqual(after.filter((event) => event._tag === "Skipped").length, 4)
      assert.strictEqual(yield* count(upserts), 6)
      assert.deepStrictEqual(after.at(-1)?.progress, {
        processed: 10,
        upserted: 6,
        skipped: 4,
        failed: 0,
        deleted: 0,
        total: 10,
        checkpoint: "doc-9"
      })
      assert.strictEqual((yield* dataSources.pageDocuments(at)).total, 10)
    }).pipe(local(empty)))

  it.effect("fails and deletes nothing if the id to continue from never appears", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(
        Stream.runDrain(dataSources.syncDocuments({
          ...at,
          documents: docs(3),
          resumeAfter: "nothing",
          deleteStale: true
        }))
      )
      assert.strictEqual(fieldOf(error), "resumeAfter")
      assert.strictEqual(yield* count({ method: "DELETE" }), 0)
    }).pipe(local()))

  it.effect("deletes documents missing from the source, all or those a function selects", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const documents = [{ documentId: "new", text: "n" }]
      const some = yield* collect(
        dataSources.syncDocuments({ ...at, documents, deleteStale: (one) => one.tags.includes("money") })
      )
      assert.deepStrictEqual(
        some.map((event) => [event._tag, event._tag === "Done" ? event.progress.deleted : event.documentId]),
        [["Upserted", "new"], ["Deleted", "travel"], ["Done", 1]]
      )
      const all = yield* collect(
        dataSources.syncDocuments({ ...at, documents, deleteStale: true, unchanged: "fingerprint" })
      )
      assert.deepStrictEqual(all.map((event) => event._tag), ["Upserted", "Deleted", "Done"])
      assert.deepStrictEqual(
        (yield* dataSources.pageDocuments(at)).documents.map((one) => one.documentId),
        ["new"]
      )
    }).pipe(local()))

  it.effect("syncDocuments: an empty source deletes nothing without allowEmpty", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const error = yield* Effect.flip(
        Stream.runDrain(dataSources.syncDocuments({ ...at, documents: Stream.empty, deleteStale: true }))
      )
      assert.strictEqual(fieldOf(error), "documents")
      assert.strictEqual(yield* count({ method: "DELETE" }), 0)
      const selective = yield* Effect.flip(
        Stream.runDrain(dataSources.syncDocuments({ ...at, documents: Stream.empty, deleteStale: () => true }))
      )
      assert.strictEqual(fieldOf(selective), "documents")
      const events = yield* collect(
        dataSources.syncDocuments({ ...at, documents: Stream.empty, deleteStale: true, allowEmpty: true })
      )
      assert.deepStrictEqual(events.map((event) => event._tag), ["Deleted", "Deleted", "Done"])
    }).pipe(local()))

  it.effect("a document that could not be written is not stale, and a failed deletion is an event", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const events = yield* collect(dataSources.syncDocuments({
        ...at,
        documents: [{ documentId: "travel", text: "t", title: "a".repeat(513) }],
        deleteStale: true
      }))
      assert.deepStrictEqual(
        events.map((event) => event._tag === "Failed" ? [event.action, event.documentId] : event._tag),
        [["upsert", "travel"], ["delete", "onboarding"], "Done"]
      )
      assert.strictEqual((yield* dataSources.pageDocuments(at)).total, 2)
    }).pipe(local({
      retry: RetryPolicy.none,
      faults: [{ method: "DELETE", fault: DustTest.faults.status(500) }]
    })))

  for (
    const [name, answer] of [
      ["404", failure(404, "data_source_document_not_found")],
      [
        "400",
        failure(400, "data_source_error", "gone", {}, { data_source_error: { code: "data_source_document_not_found" } })
      ]
    ] as const
  ) {
    it.effect(`syncDocuments: a stale document that is already gone (${name}) counts as deleted`, () =>
      Effect.gen(function*() {
        const events = yield* Effect.flatMap(
          DataSources.DataSources,
          (dataSources) =>
            collect(dataSources.syncDocuments({
              ...at,
              documents: [],
              allowEmpty: true,
              deleteStale: () => true,
              concurrency: 1
            }))
        ).pipe(
          Effect.provide(
            dust(({ method, url }) =>
              method === "GET"
                ? json({ documents: [{ document_id: "a" }, { document_id: "b" }], total: 2 })
                : url.pathname.endsWith("a")
                ? answer
                : json({})
            ).layer
          )
        )
        assert.deepStrictEqual(
          events.map(({ _tag }) => _tag),
          ["Deleted", "Deleted", "Done"]
        )
      }))
  }

  it.effect("a data source that is gone when it comes to deleting ends it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flatMap(DataSources.DataSources, (dataSources) =>
        Effect.flip(Stream.runDrain(dataSources.syncDocuments({
          ...at,
          documents: [],
          allowEmpty: true,
          deleteStale: true
        })))).pipe(
          Effect.provide(
            dust(({ method }) =>
              method === "GET"
                ? json({ documents: [{ document_id: "a" }], total: 1 })
                : failure(404, "data_source_not_found")
            ).layer
          )
        )
      assert.strictEqual(error.type, "data_source_not_found")
    }))

  it.effect("waits when others have used up the limit", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const one = dataSources.upsertDocument({ ...at, documentId: "other", text: "b" })
      yield* Effect.replicateEffect(one, 120, { discard: true })
      const fiber = yield* Effect.fork(collect(dataSources.syncDocuments({ ...at, documents: docs(5) })))
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual((yield* Fiber.join(fiber)).map((event) => event._tag), [
        "Upserted",
        "Upserted",
        "Upserted",
        "Upserted",
        "Upserted",
        "Done"
      ])
    }).pipe(local(empty)))

  it.effect("queues when asked to", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      yield* Stream.runDrain(dataSources.syncDocuments({ ...at, documents: docs(1), mode: "async" }))
      assert.deepStrictEqual((yield* last).body, {
        text: "x 0",
        async: true,
        upsert_context: { sync_type: "batch" }
      })
    }).pipe(local(empty)))

  it.effect("syncDocuments: stops when its consumer stops", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(Stream.runDrain(dataSources.syncDocuments({ ...at, documents: docs(50) })))
      yield* dust.waitForRequest(upserts)
      yield* Fiber.interrupt(fiber)
      yield* dust.allClosed
      assert.isAtMost(yield* count(upserts), 8)
      assert.isTrue(Option.isSome(yield* Fiber.poll(fiber)))
    }).pipe(local({ ...empty, faults: [{ ...upserts, fault: DustTest.faults.neverAnswer() }] })))

  it.effect("checks its options before any request", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      for (
        const [field, options] of [
          ["concurrency", { concurrency: 0 }],
          ["perMinute", { perMinute: 0.5 }],
          ["since", { since: 1_760_000_000 }]
        ] as const
      ) {
        const error = yield* Effect.flip(
          Stream.runDrain(dataSources.syncDocuments({ ...at, documents: docs(1), ...options }))
        )
        assert.strictEqual(fieldOf(error), field)
      }
      yield* noRequests
    }).pipe(local(empty)))
})
