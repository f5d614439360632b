/** The requests of `DataSources` on the wire, and what it makes of the answers. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import type { Section } from "effect-dust/DataSource"
import * as DataSources from "effect-dust/DataSources"
import type { LoadProgress } from "effect-dust/DataSync"
import type { RequestError } from "effect-dust/DustAPIError"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { type Answer, dust, failure, json, type Recorded } from "../support/http.ts"
import { eventsOf, plain, refusedBy } from "../support/jobs.ts"
import { virtualClock } from "../support/virtual.ts"

const at = { spaceId: "vlt_a", dataSourceId: "dts_a" } as const
const prefix = "/api/v1/w/ws1/spaces/vlt_a/data_sources/dts_a"
const day = 1_750_000_000_000

/** The requests of a call: method, path below the data source with its query, and body. */
const client = (handler: (request: Recorded, path: string) => Answer) => {
  const asked: Array<unknown> = []
  const { layer } = dust((request) => {
    const path = `${request.url.pathname.replace(prefix, "")}${request.url.search}`
    asked.push([request.method, path, ...(request.body === undefined ? [] : [JSON.parse(request.body)])])
    return handler(request, path)
  }, { retry: RetryPolicy.none })
  const run = <A, E>(f: (dataSources: DataSources.Service) => Effect.Effect<A, E>) =>
    Effect.provide(Effect.flatMap(DataSources.DataSources, f), layer)
  return { asked, run }
}
const collect = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)
const route = (path: string) => `/api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources/{dataSourceId}${path}`
const refused = (method: string, http: string, path: string) =>
  refusedBy("DataSources", method, { method: http, route: route(path) })

describe("a document", () => {
  const answer = () => json({ document: { document_id: "a/b" }, data_source: null })
  const all = {
    ...at,
    documentId: "a/b",
    text: "é",
    title: " T ",
    mimeType: "text/plain",
    sourceUrl: "https://example.com/",
    tags: ["t"],
    timestamp: new Date(day + 0.5)
  }
  const body = {
    text: "é",
    title: " T ",
    mime_type: "text/plain",
    source_url: "https://example.com/",
    tags: ["t"],
    timestamp: day
  }

  it.effect("is written in each mode with the given fields, and nothing else", () =>
    Effect.gen(function*() {
      const { asked, run } = client(answer)
      const full = yield* run((it) => it.upsertDocument(all))
      yield* run((it) => it.upsertDocument({ ...all, mode: "full" }))
      yield* run((it) => it.upsertDocument({ ...all, mode: "light" }))
      const queued = yield* run((it) => it.upsertDocument({ ...all, mode: "async" }))
      yield* run((it) => it.upsertDocument({ ...all, mode: "async", syncType: "incremental" }))
      const nothing = { title: null, mimeType: null, sourceUrl: null, tags: null }
      yield* run((it) => it.upsertDocument({ ...at, documentId: "a/b", text: "", ...nothing }))
      const post = (body: unknown) => ["POST", "/documents/a%2Fb", body]
      assert.deepStrictEqual(asked, [
        post(body),
        post(body),
        post({ ...body, light_document_output: true }),
        post({ ...body, async: true }),
        post({ ...body, async: true, upsert_context: { sync_type: "incremental" } }),
        post({ text: "" })
      ])
      assert.deepStrictEqual([full.document.documentId, full.dataSource], ["a/b", null])
      assert.deepStrictEqual(queued, { documentId: "a/b" })
    }))

  it.effect("may have sections instead of text, up to 256 levels deep", () =>
    Effect.gen(function*() {
      const { asked, run } = client(answer)
      const write = (section: Section) => run((it) => it.upsertDocument({ ...at, documentId: "a", section }))
      yield* write({ prefix: "p", sections: [{ content: "c" }] })
      assert.deepStrictEqual(asked, [["POST", "/documents/a", {
        section: { prefix: "p", content: null, sections: [{ prefix: null, content: "c", sections: [] }] }
      }]])
      const nested = (levels: number): Section => levels === 0 ? { content: "c" } : { sections: [nested(levels - 1)] }
      yield* write(nested(256))
      const upsert = refused("upsertDocument", "POST", "/documents/{documentId}")
      const deep = yield* Effect.flip(write(nested(257)))
      assert.deepStrictEqual(plain(deep), upsert("section", "nested at most 256 levels deep"))
      const section = { content: "c" }
      for (const odd of [{}, { text: "t", section }, { text: null }]) {
        const error = yield* Effect.flip(run((it) =>
          it.upsertDocument({ ...at, documentId: "a", ...odd } as unknown as DataSources.UpsertDocumentOptions)
        ))
        assert.deepStrictEqual(plain(error), upsert("text", "set, unless section is set instead"))
      }
      assert.lengthOf(asked, 2)
    }))

  it.effect("is one of a page, without those of an unknown shape", () =>
    Effect.gen(function*() {
      const { asked, run } = client(() => json({ documents: [{ document_id: "a" }, { odd: 1 }], total: 7 }))
      const page = yield* run((it) =>
        it.pageDocuments({ ...at, limit: 2, offset: 3, documentIds: ["a", "é"], more: 1 } as never)
      )
      assert.deepStrictEqual([page.documents.map(({ documentId }) => documentId), page.total], [["a"], 7])
      assert.deepStrictEqual(asked, [["GET", "/documents?limit=2&offset=3&document_ids=a&document_ids=%C3%A9"]])
      assert.deepStrictEqual(yield* run((it) => it.pageDocuments({ ...at, documentIds: [] })), {
        documents: [],
        total: 0
      })
      assert.lengthOf(asked, 1)
      const none = client(() => json({ documents: [], total: null }))
      assert.deepStrictEqual(yield* none.run((it) => it.pageDocuments(at)), { documents: [], total: 0 })
      assert.deepStrictEqual(none.asked, [["GET", "/documents"]])
    }))

  it.effect("is one of all, a hundred at a time by default", () =>
    Effect.gen(function*() {
      const { asked, run } = client(({ nth }) =>
        json({ documents: nth === 1 ? [{ document_id: "a" }, { odd: 1 }] : [{ document_id: "b" }], total: 3 })
      )
      const all = yield* run((it) => collect(it.streamDocuments(at)))
      assert.deepStrictEqual(all.map(({ documentId }) => documentId), ["a", "b"])
      assert.deepStrictEqual(asked, [
        ["GET", "/documents?limit=100&offset=0"],
        ["GET", "/documents?limit=100&offset=2"]
      ])
      for (const pageSize of [0, 1.5]) {
        const error = yield* Effect.flip(run((it) => collect(it.streamDocuments({ ...at, pageSize }))))
        assert.deepStrictEqual(
          plain(error),
          refused("streamDocuments", "GET", "/documents")("pageSize", "a whole number, at least 1")
        )
      }
      assert.lengthOf(asked, 2)
    }))

  it.effect("is asked for once, with as many others as fit into a URL", () =>
    Effect.gen(function*() {
      // `document_ids=` and `&` are 14 characters of each, and 6,000 fit.
      const half = "x".repeat(2986)
      const accents = "é".repeat(497)
      const rows: ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<ReadonlyArray<string>>]> = [
        [[], []],
        [["a", "b", "a"], [["a", "b"]]],
        [[half, `y${half.slice(1)}`, "a"], [[half, `y${half.slice(1)}`], ["a"]]],
        [[half, `${half}x`, "a"], [[half], [`${half}x`, "a"]]],
        [[half, `${accents}1234`, "a"], [[half, `${accents}1234`], ["a"]]],
        [["x".repeat(7000), "a"], [["x".repeat(7000)], ["a"]]]
      ]
      for (const [documentIds, groups] of rows) {
        const asked: Array<ReadonlyArray<string>> = []
        const { run } = client(({ url }) => {
          const ids = url.searchParams.getAll("document_ids")
          asked.push(ids)
          return json({ documents: ids.map((document_id) => ({ document_id })), total: ids.length })
        })
        const all = yield* run((it) => collect(it.streamDocuments({ ...at, documentIds, pageSize: 50 })))
        assert.deepStrictEqual(all.map(({ documentId }) => documentId), groups.flat())
        assert.deepStrictEqual(asked, [...groups])
      }
    }))

  it.effect("of a sync is listed, written and deleted, also if it is gone", () =>
    Effect.gen(function*() {
      for (
        const [mode, more, total] of [
          ["light", { light_document_output: true }, 2],
          ["async", { async: true, upsert_context: { sync_type: "batch" } }, null]
        ] as const
      ) {
        const { asked, run } = client(({ method }) =>
          method === "GET"
            ? json({ documents: [{ document_id: "a" }, { document_id: "b" }], total })
            : method === "DELETE"
            ? failure(400, "data_source_error", "gone", {}, {
              data_source_error: { code: "data_source_document_not_found" }
            })
            : json({ document: { document_id: "a" }, data_source: null })
        )
        const documents = [{ documentId: "a", text: "x", tags: ["t"] }]
        const events = yield* run((it) => eventsOf(it.syncDocuments({ ...at, documents, deleteStale: true, mode })))
        const progress = {
          processed: 0,
          upserted: 0,
          skipped: 0,
          failed: 0,
          deleted: 0,
          total: 1,
          checkpoint: undefined
        }
        const done = { ...progress, processed: 1, upserted: 1, checkpoint: "a" }
        assert.deepStrictEqual(events, [
          { _tag: "Listing", listed: 2, existing: total ?? undefined, progress },
          { _tag: "Upserted", documentId: "a", progress: done },
          { _tag: "Deleted", documentId: "b", progress: { ...done, deleted: 1 } },
          { _tag: "Done", progress: { ...done, deleted: 1 } }
        ])
        assert.deepStrictEqual(asked, [
          ["GET", "/documents?limit=100&offset=0"],
          ["POST", "/documents/a", { text: "x", tags: ["t"], ...more }],
          ["DELETE", "/documents/b"]
        ])
      }
    }))
})

describe("a table", () => {
  const table = { table_id: "t1", name: "one" }
  const missing = () => failure(404, "table_not_found", "no such table")
  const broken = () => failure(500, "internal_server_error", "said the server", { "x-request-id": "r1" })

  it.effect("is written with a title and a description in any case", () =>
    Effect.gen(function*() {
      const { asked, run } = client(() => json({ table }))
      assert.strictEqual((yield* run((it) => it.upsertTable({ ...at, name: "one" }))).tableId, "t1")
      yield* run((it) =>
        it.upsertTable({
          ...at,
          name: "one",
          tableId: "t1",
          title: "One",
          description: "d",
          timestamp: day,
          tags: ["t"],
          sourceUrl: "https://example.com/"
        })
      )
      assert.deepStrictEqual(asked, [
        ["POST", "/tables", { name: "one", title: "one", description: "" }],
        ["POST", "/tables", {
          table_id: "t1",
          name: "one",
          title: "One",
          description: "d",
          timestamp: day,
          tags: ["t"],
          source_url: "https://example.com/"
        }]
      ])
      const error = yield* Effect.flip(run((it) => it.upsertTable({ ...at, name: "one", timestamp: Number.NaN })))
      assert.deepStrictEqual(
        plain(error),
        refused("upsertTable", "POST", "/tables")(
          "timestamp",
          "a valid Date, DateTime or number of epoch milliseconds"
        )
      )
      assert.lengthOf(asked, 2)
    }))

  it.effect("whose name another one has is a conflict; any other failure stays", () =>
    Effect.gen(function*() {
      const long = "n".repeat(65)
      const write = (
        options: { readonly name: string; readonly tableId?: string },
        answers: { readonly write?: () => Response; readonly list?: () => Response } = {}
      ) => {
        const { list = () => json({ tables: [table, { table_id: "t2", name: long }] }), write = broken } = answers
        const { asked, run } = client(({ method }) => method === "GET" ? list() : write())
        return Effect.map(
          Effect.either(run((it) => it.upsertTable({ ...at, ...options }))),
          (result) => ({ asked: asked.length, error: result._tag === "Left" ? plain(result.left) : undefined })
        )
      }
      const conflict = (tableId: string, name: string) => ({
        ...refused("upsertTable", "POST", "/tables")("", ""),
        _tag: "DustConflictError",
        message: `DataSources.upsertTable: another table (${tableId}) has the name "${name}"`,
        status: 500,
        type: "table_name_taken",
        details: { field: "name", tableId },
        attempts: 1,
        requestId: "r1"
      })
      assert.deepStrictEqual(yield* write({ name: "one" }), { asked: 2, error: conflict("t1", "one") })
      assert.deepStrictEqual(yield* write({ name: "one", tableId: "t2" }), { asked: 2, error: conflict("t1", "one") })
      assert.deepStrictEqual(yield* write({ name: long }), { asked: 2, error: conflict("t2", "n".repeat(64)) })
      const kept: ReadonlyArray<readonly [Parameters<typeof write>, number, number]> = [
        [[{ name: "three" }], 2, 500],
        [[{ name: "one" }, { list: broken }], 2, 500],
        // Written again, because the name is free.
        [[{ name: "one", tableId: "t1" }], 3, 500],
        [[{ name: "one" }, { write: () => failure(503, undefined) }], 1, 503]
      ]
      for (const [args, requests, status] of kept) {
        const { asked, error } = yield* write(...args)
        assert.strictEqual(asked, requests)
        assert.deepInclude(error as object, { _tag: "DustServerError", status })
      }
    }))

  it.effect("with an id is written again after a failure that may have stored it, and one without is not", () =>
    Effect.gen(function*() {
      for (const [tableId, requests] of [["t1", 2], [undefined, 1]] as const) {
        const { layer, requests: sent } = dust(({ nth }) => nth === 1 ? failure(502, undefined) : json({ table }))
        const write = Effect.flatMap(DataSources.DataSources, (it) => it.upsertTable({ ...at, name: "one", tableId }))
        const result = yield* Effect.either(Effect.provide(write, layer))
        assert.strictEqual(result._tag, requests === 2 ? "Right" : "Left")
        assert.lengthOf(sent, requests)
      }
    }).pipe(Effect.withClock(virtualClock())))

  it.effect("that is missing is not found, although Dust answers 500", () =>
    Effect.gen(function*() {
      const one = { ...at, tableId: "t1" }
      const calls: ReadonlyArray<
        readonly [string, string, string, (it: DataSources.Service) => Effect.Effect<unknown, RequestError>]
      > = [
        ["pageRows", "GET", "", (it) => it.pageRows(one)],
        ["streamRows", "GET", "", (it) => collect(it.streamRows(one))],
        ["getRow", "GET", "/{rowId}", (it) => it.getRow({ ...one, rowId: "r" })],
        ["upsertRows", "POST", "", (it) => it.upsertRows({ ...one, rows: [] })],
        ["loadTable", "POST", "", (it) => it.loadTable({ ...at, table: "t1", rows: [{ rowId: "a", value: {} }] })],
        ["loadTableStream", "POST", "", (it) =>
          collect(it.loadTableStream({ ...at, table: "t1", rows: [{ rowId: "a", value: {} }] }))]
      ]
      for (const [method, http, rest, call] of calls) {
        const { asked, run } = client((_, path) =>
          path === "/tables/t1" ? missing() : broken()
        )
        const error = {
          ...refused(method, http, `/tables/{tableId}/rows${rest}`)("", ""),
          _tag: "DustNotFoundError",
          message: `DataSources.${method}: the table does not exist`,
          status: 500,
          type: "table_not_found",
          details: { type: "table_not_found", message: "no such table" },
          attempts: 1,
          requestId: "r1"
        }
        assert.deepStrictEqual(plain(yield* Effect.flip(run(call))), error)
        assert.lengthOf(asked, 2)
        for (
          const [first, second, requests] of [[broken, () =>
            json({ table }), 2], [missing, missing, 1]] as const
        ) {
          const other = client((_, path) => path === "/tables/t1" ? second() : first())
          const failed = yield* Effect.flip(other.run(call))
          assert.strictEqual(failed.status, first === broken ? 500 : 404)
          assert.lengthOf(other.asked, requests)
        }
      }
    }))

  it.effect("has rows, read in pages of 500 by default, without those of an unknown shape", () =>
    Effect.gen(function*() {
      const rows = (...ids: ReadonlyArray<string | null>) => ids.map((row_id) => ({ row_id, value: { n: 1 } }))
      const { asked, run } = client(({ method, nth, url }) => {
        if (method === "POST") return json({ table })
        if (url.pathname.endsWith("/r%2F1")) return json({ row: { row_id: "r/1", value: { n: 1 } } })
        return json({ rows: nth === 1 ? rows("a", null) : rows("b"), total: 3 })
      })
      const one = { ...at, tableId: "t1" }
      const all = yield* run((it) => collect(it.streamRows(one)))
      assert.deepStrictEqual(all.map(({ rowId }) => rowId), ["a", "b"])
      const page = yield* run((it) => it.pageRows({ ...one, limit: 2, offset: 1 }))
      assert.deepStrictEqual(page, { rows: [{ rowId: "b", value: { n: 1 } }], total: 3 })
      assert.deepStrictEqual(yield* run((it) => it.getRow({ ...one, rowId: "r/1" })), {
        rowId: "r/1",
        value: { n: 1 }
      })
      yield* run((it) => it.upsertRows({ ...one, rows: [{ rowId: "a", value: { "My N": 1 } }] }))
      yield* run((it) => it.upsertRows({ ...one, rows: [], truncate: true }))
      assert.deepStrictEqual(asked, [
        ["GET", "/tables/t1/rows?limit=500&offset=0"],
        ["GET", "/tables/t1/rows?limit=500&offset=2"],
        ["GET", "/tables/t1/rows?limit=2&offset=1"],
        ["GET", "/tables/t1/rows/r%2F1"],
        ["POST", "/tables/t1/rows", { rows: [{ row_id: "a", value: { my_n: 1 } }] }],
        ["POST", "/tables/t1/rows", { rows: [], truncate: true }]
      ])
      const error = yield* Effect.flip(run((it) => collect(it.streamRows({ ...one, pageSize: 0 }))))
      assert.deepStrictEqual(
        plain(error),
        refused("streamRows", "GET", "/tables/{tableId}/rows")("pageSize", "a whole number, at least 1")
      )
      assert.lengthOf(asked, 6)
    }))

  it.effect("is loaded with these requests, progress after each batch, and a result", () =>
    Effect.gen(function*() {
      const { asked, run } = client(({ method, url }) => {
        if (url.pathname.endsWith("/tables")) return json(method === "GET" ? { tables: [table] } : { table })
        if (method === "POST") return json({ table: { ...table, description: "d" } })
        if (method === "DELETE") return json({})
        return json({ rows: ["a", "b", "x"].map((row_id) => ({ row_id, value: {} })), total: 3 })
      })
      const progress: Array<LoadProgress> = []
      const result = yield* run((it) =>
        it.loadTable({
          ...at,
          table: { name: "one", timestamp: day },
          rows: [{ rowId: "a", value: { N: 1 } }, { rowId: "b", value: { N: 2 } }],
          batchSize: 1,
          replace: true,
          onProgress: (one) => Effect.sync(() => void progress.push(one))
        })
      )
      const counts = { tableId: "t1", rows: 1, total: 2, batches: 1, deleted: 0 }
      const last = { ...counts, rows: 2, batches: 2 }
      assert.deepStrictEqual(progress, [counts, last, { ...last, deleted: 1 }])
      const { table: loaded, ...rest } = result
      assert.deepInclude(loaded as object, { tableId: "t1", name: "one", description: "d" })
      assert.deepStrictEqual(rest, { ...last, deleted: 1, duplicates: 0, rowsInTable: 3, columns: { N: "n" } })
      assert.deepStrictEqual(asked, [
        ["GET", "/tables"],
        ["GET", "/tables/t1/rows?limit=1"],
        ["POST", "/tables/t1/rows", { rows: [{ row_id: "a", value: { n: 1 } }] }],
        ["POST", "/tables/t1/rows", { rows: [{ row_id: "b", value: { n: 2 } }] }],
        ["GET", "/tables/t1/rows?limit=500&offset=0"],
        ["DELETE", "/tables/t1/rows/x"],
        ["GET", "/tables/t1/rows?limit=1"]
      ])
    }))

  it.effect("of a load is checked, then created, then replaced as a whole", () =>
    Effect.gen(function*() {
      const { asked, run } = client(({ method, url }) => {
        if (url.pathname.endsWith("/tables")) return json(method === "GET" ? { tables: [] } : { table })
        return json(method === "POST" ? { table } : { rows: [], total: null })
      })
      const rows = [{ rowId: "a", value: {} }]
      const load = refused("loadTable", "POST", "/tables/{tableId}/rows")
      const time = "a valid Date, DateTime or number of epoch milliseconds"
      for (
        const [more, field, expected] of [
          [{ name: " " }, "table.name", "a non-blank name"],
          [{ name: "t", timestamp: Number.NaN }, "table.timestamp", time],
          [{ name: "t", sourceUrl: "x" }, "table.sourceUrl", "an http or https URL without // in its path"]
        ] as const
      ) {
        const error = yield* Effect.flip(run((it) => it.loadTable({ ...at, table: more, rows })))
        assert.deepStrictEqual(plain(error), load(field, expected))
      }
      assert.deepStrictEqual(asked, [])
      yield* run((it) => it.loadTable({ ...at, table: { name: "one", tags: ["t"] }, rows }))
      const result = yield* run((it) => it.loadTable({ ...at, table: "t1", rows, replace: true }))
      assert.strictEqual(result.rowsInTable, null)
      assert.deepStrictEqual(asked, [
        ["GET", "/tables"],
        ["POST", "/tables", { name: "one", title: "one", description: "", tags: ["t"] }],
        ["POST", "/tables/t1/rows", { rows: [{ row_id: "a", value: {} }] }],
        ["GET", "/tables/t1/rows?limit=1"],
        ["GET", "/tables/t1/rows?limit=1"],
        ["POST", "/tables/t1/rows", { rows: [{ row_id: "a", value: {} }], truncate: true }],
        ["GET", "/tables/t1/rows?limit=1"]
      ])
    }))
})
