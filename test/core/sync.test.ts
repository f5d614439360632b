/** A sync of documents over a data source in memory: every event, every refusal, every limit. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Predicate, Stream } from "effect"
import type { Document, DocumentInput } from "effect-dust/DataSource"
import type * as DataSync from "effect-dust/DataSync"
import type { RequestError } from "effect-dust/DustAPIError"
import * as Fixtures from "effect-dust/Fixtures"
import { cannotGoOn, isPermanent } from "../../src/internal/data/failures.ts"
import { type DocumentStore, planSync, syncDocuments } from "../../src/internal/data/sync.ts"
import { eventsOf, plain, refusedBy, settings } from "../support/jobs.ts"
import { virtualClock } from "../support/virtual.ts"

const at = { spaceId: "vlt_a", dataSourceId: "dts_a" } as const
const day = 1_750_000_000_000

const stored = (documentId: string, over: Partial<Document> = {}): Document => ({
  documentId,
  dataSourceId: null,
  created: 0,
  title: null,
  mimeType: null,
  timestamp: 0,
  tags: [],
  parents: [documentId],
  parentId: null,
  sourceUrl: null,
  hash: null,
  textSize: 4,
  chunkCount: 1,
  chunks: [{ text: "text", hash: null, offset: 0, vector: null, score: null }],
  text: "text",
  ...over
})

type Call = readonly ["list"] | readonly ["write", string, "light" | "async"] | readonly ["remove", string]

const storeOf = (
  existing: ReadonlyArray<Document> = [],
  fails: {
    readonly write?: (input: DocumentInput) => Effect.Effect<void, RequestError>
    readonly remove?: (documentId: string) => Effect.Effect<void, RequestError>
  } = {}
) => {
  const calls: Array<Call> = []
  const written: Array<DocumentInput> = []
  const store: DocumentStore = {
    settings: Effect.succeed(settings),
    list: (onPage) =>
      Stream.unwrap(Effect.suspend(() => {
        calls.push(["list"])
        return Effect.as(onPage(existing.length, existing.length + 1), Stream.fromIterable(existing))
      })),
    write: (input, mode) =>
      Effect.suspend(() => {
        calls.push(["write", input.documentId, mode])
        written.push(input)
        return fails.write?.(input) ?? Effect.void
      }),
    remove: (documentId) =>
      Effect.suspend(() => {
        calls.push(["remove", documentId])
        return fails.remove?.(documentId) ?? Effect.void
      })
  }
  return { store, calls, written }
}

type Options = Omit<DataSync.SyncOptions, "spaceId" | "dataSourceId">

const sync = (store: DocumentStore, options: Options) =>
  Effect.withClock(eventsOf(syncDocuments(store, { ...at, ...options })), virtualClock(day))
const plan = (store: DocumentStore, options: Options) => planSync(store, { ...at, ...options })

const refused = refusedBy("DataSources", "syncDocuments", {
  method: "POST",
  route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}"
})
const counts = (over: Partial<DataSync.SyncProgress> = {}): DataSync.SyncProgress => ({
  processed: 0,
  upserted: 0,
  skipped: 0,
  failed: 0,
  deleted: 0,
  total: undefined,
  checkpoint: undefined,
  ...over
})
const documents = (...ids: ReadonlyArray<string>) => ids.map((documentId) => ({ documentId, text: "x" }))
/** As a source that is not an array. */
const generator = function*(ids: ReadonlyArray<DocumentInput>) {
  yield* ids
}

describe("a sync", () => {
  const source: ReadonlyArray<DocumentInput> = [
    { documentId: "resumed", text: "x" },
    { documentId: "old", text: "x", timestamp: day },
    { documentId: "same", text: "x", timestamp: day + 1 },
    { documentId: "changed", text: "x", timestamp: day + 2 },
    { documentId: "new", text: "x", title: "New" },
    { documentId: "new", text: "y" },
    { documentId: "empty" } as DocumentInput,
    { documentId: "down", text: "x" },
    { documentId: "last", text: "x" }
  ]
  const existing = [
    stored("same", { timestamp: day + 1 }),
    stored("changed", { timestamp: day + 1 }),
    stored("stale-1"),
    stored("other"),
    stored("stale-2")
  ]
  const options: Options = {
    documents: source,
    resumeAfter: "resumed",
    since: day,
    unchanged: "timestamp",
    deleteStale: ({ documentId }) => documentId.startsWith("stale"),
    concurrency: 1
  }
  const down = Fixtures.error.DustServerError()
  const gone = Fixtures.error.DustBadRequestError()
  const unique = refused("documentId", "unique within this sync")
  const unset = (refusedBy("DataSources", "upsertDocument", refused("", "").request))(
    "text",
    "set, unless section is set instead"
  )

  it.effect("emits an event for each document, with the progress and the checkpoint", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf(existing, {
        write: ({ documentId }) => documentId === "down" ? Effect.fail(down) : Effect.void,
        remove: (documentId) => documentId === "stale-2" ? Effect.fail(gone) : Effect.void
      })
      const total = source.length
      const skipped = { processed: 3, skipped: 3, total }
      const upserted = { ...skipped, processed: 5, upserted: 2 }
      const failed = { ...upserted, checkpoint: "empty" }
      const done = { ...failed, processed: 9, upserted: 3 }
      assert.deepStrictEqual(yield* sync(store, options), [
        { _tag: "Listing", listed: 5, existing: 6, progress: counts({ total }) },
        {
          _tag: "Skipped",
          documentId: "resumed",
          reason: "resumed",
          progress: counts({ processed: 1, skipped: 1, total, checkpoint: "resumed" })
        },
        {
          _tag: "Skipped",
          documentId: "old",
          reason: "since",
          progress: counts({ processed: 2, skipped: 2, total, checkpoint: "old" })
        },
        {
          _tag: "Skipped",
          documentId: "same",
          reason: "unchanged",
          progress: counts({ ...skipped, checkpoint: "same" })
        },
        {
          _tag: "Upserted",
          documentId: "changed",
          progress: counts({ ...skipped, processed: 4, upserted: 1, checkpoint: "changed" })
        },
        { _tag: "Upserted", documentId: "new", progress: counts({ ...upserted, checkpoint: "new" }) },
        {
          _tag: "Failed",
          documentId: "new",
          action: "upsert",
          error: unique,
          progress: counts({ ...upserted, processed: 6, failed: 1, checkpoint: "new" })
        },
        {
          _tag: "Failed",
          documentId: "empty",
          action: "upsert",
          error: unset,
          progress: counts({ ...failed, processed: 7, failed: 2 })
        },
        {
          _tag: "Failed",
          documentId: "down",
          action: "upsert",
          error: plain(down),
          progress: counts({ ...failed, processed: 8, failed: 3 })
        },
        { _tag: "Upserted", documentId: "last", progress: counts({ ...done, failed: 3 }) },
        { _tag: "Deleted", documentId: "stale-1", progress: counts({ ...done, failed: 3, deleted: 1 }) },
        {
          _tag: "Failed",
          documentId: "stale-2",
          action: "delete",
          error: plain(gone),
          progress: counts({ ...done, failed: 4, deleted: 1 })
        },
        { _tag: "Done", progress: counts({ ...done, failed: 4, deleted: 1 }) }
      ])
      assert.deepStrictEqual(calls, [
        ["list"],
        ["write", "changed", "light"],
        ["write", "new", "light"],
        ["write", "down", "light"],
        ["write", "last", "light"],
        ["remove", "stale-1"],
        ["remove", "stale-2"]
      ])
    }))

  it.effect("is planned without a change", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf(existing)
      const { refused, ...rest } = yield* plan(store, options)
      assert.deepStrictEqual(refused.map(({ documentId, error }) => [documentId, plain(error)]), [
        ["new", unique],
        ["empty", unset]
      ])
      assert.deepStrictEqual(rest, {
        upserts: [
          { documentId: "changed", exists: true },
          { documentId: "new", exists: false },
          { documentId: "down", exists: false },
          { documentId: "last", exists: false }
        ],
        skipped: [
          { documentId: "resumed", reason: "resumed" },
          { documentId: "old", reason: "since" },
          { documentId: "same", reason: "unchanged" }
        ],
        deletions: ["stale-1", "stale-2"],
        allowedDeletions: 5
      })
      assert.deepStrictEqual(calls, [["list"]])
    }))

  it.effect("names an item without the shape of a document by its position, and goes on", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf()
      const odd: ReadonlyArray<unknown> = [null, { text: "x" }, { documentId: "a", text: "x" }]
      const events = yield* sync(store, { documents: odd as ReadonlyArray<DocumentInput>, concurrency: 1, total: 7 })
      const upsert = refusedBy("DataSources", "upsertDocument", refused("", "").request)
      const failed = { _tag: "Failed", action: "upsert" }
      assert.deepStrictEqual(events, [
        {
          ...failed,
          documentId: "documents.0",
          error: refused("documents.0", "an object"),
          progress: counts({ processed: 1, failed: 1, total: 7, checkpoint: "documents.0" })
        },
        {
          ...failed,
          documentId: "documents.1",
          error: upsert("documentId", "a string", "undefined"),
          progress: counts({ processed: 2, failed: 2, total: 7, checkpoint: "documents.1" })
        },
        {
          _tag: "Upserted",
          documentId: "a",
          progress: counts({ processed: 3, upserted: 1, failed: 2, total: 7, checkpoint: "a" })
        },
        { _tag: "Done", progress: counts({ processed: 3, upserted: 1, failed: 2, total: 7, checkpoint: "a" }) }
      ])
      assert.deepStrictEqual(calls, [["write", "a", "light"]])
    }))

  const limit = "a number of at least 0, or a share such as \"10%\""
  const empty = "a non-empty source: an empty one would delete every document. Set allowEmpty if that is intended"
  const invalid: ReadonlyArray<readonly [string, Options, string, string]> = [
    ...[0, 1.5].map((concurrency) =>
      ["concurrency", { documents: [], concurrency }, "concurrency", "a whole number, at least 1"] as const
    ),
    ...[0, Number.NaN].map((perMinute) =>
      ["perMinute", { documents: [], perMinute }, "perMinute", "a whole number, at least 1"] as const
    ),
    ...["", "abc"].map((text) =>
      ["text", { documents: text as unknown as [] }, "documents", "an Iterable or a Stream"] as const
    ),
    ["a function", { documents: (() => []) as unknown as [] }, "documents", "an Iterable or a Stream"],
    ["nothing", { documents: null as unknown as [] }, "documents", "an Iterable or a Stream"],
    [
      "an AsyncIterable",
      { documents: { [Symbol.asyncIterator]: () => undefined } as unknown as [] },
      "documents",
      "an Iterable or a Stream (Stream.fromAsyncIterable)"
    ],
    ...[-1, "10", "%", "1000%", "1.%", "x10%"].map((maxDeletions) =>
      ["maxDeletions", { documents: [], maxDeletions: maxDeletions as 1 }, "maxDeletions", limit] as const
    ),
    [
      "since",
      { documents: [], since: Number.NaN },
      "since",
      "a valid Date, DateTime or number of epoch milliseconds"
    ],
    [
      "ids",
      { documents: [...documents("a"), { text: "x" } as DocumentInput], deleteStale: true },
      "documents",
      "documents with ids if stale ones are to be deleted"
    ],
    ["resumeAfter", { documents: documents("a"), resumeAfter: "b" }, "resumeAfter", "the id of one of the documents"]
  ]
  it.effect.each(invalid)(
    "refuses an invalid %s before anything is written",
    ([, options, field, expected]) =>
      Effect.gen(function*() {
        const { calls, store } = storeOf([stored("a")])
        const events = yield* sync(store, options)
        assert.deepStrictEqual(events.at(-1), refused(field, expected))
        assert.isTrue(events.slice(0, -1).every(Predicate.isTagged("Listing")))
        assert.deepStrictEqual(calls.filter(([call]) => call !== "list"), [])
      })
  )

  it.effect("refuses an empty source that would delete everything: an array before the list, others behind it", () =>
    Effect.gen(function*() {
      const error = { ...refused("documents", empty), type: "empty_source" }
      for (const [source, listed] of [[[], []], [generator([]), [["list"]]]] as const) {
        const { calls, store } = storeOf([stored("a")])
        assert.deepStrictEqual((yield* sync(store, { documents: source, deleteStale: true })).at(-1), error)
        assert.deepStrictEqual(calls, [...listed])
      }
      const { calls, store } = storeOf([stored("a")])
      assert.deepStrictEqual((yield* sync(store, { documents: [] })).at(-1), {
        _tag: "Done",
        progress: counts({ total: 0 })
      })
      assert.deepStrictEqual(calls, [])
    }))

  const tooMany = (deletions: number, existing: number, allowed: number) => ({
    ...refused("", ""),
    message: `DataSources.syncDocuments: would delete ${deletions} of ${existing} documents; at most ${allowed} are ` +
      "allowed, and nothing was deleted. Check that the source is complete, or raise maxDeletions",
    type: "too_many_deletions",
    details: { field: "maxDeletions", deletions, existing, allowed }
  })
  const four = ["a", "b", "c", "d"]
  type Row = readonly [
    existing: ReadonlyArray<string>,
    source: ReadonlyArray<string>,
    Partial<Options>,
    number,
    unknown
  ]
  const limits: ReadonlyArray<Row> = [
    [four, four, {}, 4, []],
    [four, ["a", "b"], {}, 4, ["c", "d"]],
    [four, ["a"], {}, 2, tooMany(3, 4, 2)],
    [four, ["a", "x"], {}, 4, ["b", "c", "d"]],
    [four, ["x"], {}, 2, tooMany(4, 4, 2)],
    [four, ["x", "y"], {}, 4, four],
    [["a", "b", "c"], ["a"], {}, 2, ["b", "c"]],
    [four, [], { allowEmpty: true }, 4, four],
    [four, ["a"], { deleteStale: false }, 4, []],
    [four, ["a"], { deleteStale: undefined }, 4, []],
    [four, ["a"], { deleteStale: ({ documentId }) => documentId === "b" }, 4, ["b"]],
    [four, ["a"], { maxDeletions: 3 }, 3, ["b", "c", "d"]],
    [four, ["a", "b"], { maxDeletions: 1 }, 1, tooMany(2, 4, 1)],
    [four, ["a", "b", "c"], { maxDeletions: 0 }, 0, tooMany(1, 4, 0)],
    [four, ["a", "b", "c"], { maxDeletions: "1%" }, 1, ["d"]],
    [four, ["a"], { maxDeletions: "50.5%" }, 3, ["b", "c", "d"]]
  ]
  it.effect.each(limits)(
    "of %j with the source %j deletes within limits (%j)",
    ([before, ids, more, limit, expected]) =>
      Effect.gen(function*() {
        const source = documents(...ids)
        for (const given of [() => source, () => generator(source)]) {
          const { calls, store } = storeOf(before.map((id) => stored(id)))
          const options = () => ({ documents: given(), deleteStale: true, ...more, concurrency: 1 })
          const { allowedDeletions } = yield* plan(store, options())
          assert.strictEqual(allowedDeletions, limit)
          const last = (yield* sync(store, options())).at(-1)
          const removed = calls.flatMap(([call, id]) => call === "remove" ? [id] : [])
          if (Array.isArray(expected)) assert.deepStrictEqual(removed, expected)
          else assert.deepStrictEqual([last, removed], [expected, []])
        }
      })
  )

  it.effect("lists the documents only if it needs them", () =>
    Effect.gen(function*() {
      const rows: ReadonlyArray<readonly [Partial<Options>, boolean]> = [
        [{}, false],
        [{ deleteStale: false }, false],
        [{ deleteStale: true }, true],
        [{ deleteStale: () => false }, true],
        [{ unchanged: "timestamp" }, true],
        [{ unchanged: () => false, deleteStale: false }, true]
      ]
      for (const [options, listed] of rows) {
        const { calls, store } = storeOf()
        yield* sync(store, { documents: documents("a"), mode: "async", ...options })
        assert.deepStrictEqual(calls, [...(listed ? [["list"] as const] : []), ["write", "a", "async"]])
      }
    }))

  it.effect("asks a function about each existing document, without its text", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const { calls, store } = storeOf([stored("a"), stored("b")])
      yield* sync(store, {
        documents: documents("a", "b", "c"),
        concurrency: 1,
        unchanged: (document, existing) => {
          asked.push([document, existing])
          return existing.documentId === "a"
        }
      })
      assert.deepStrictEqual(
        asked,
        ["a", "b"].map((documentId) => [
          { documentId, text: "x" },
          stored(documentId, { chunks: [], text: null })
        ])
      )
      assert.deepStrictEqual(calls.slice(1).map(([, id]) => id), ["b", "c"])
    }))

  it.effect("compares timestamps, and fingerprints among other tags", () =>
    Effect.gen(function*() {
      const { store, written } = storeOf()
      const tags = ["other"]
      const source: ReadonlyArray<DocumentInput> = [
        { documentId: "a", text: "x", tags },
        { documentId: "b", text: "x", timestamp: new Date(day) },
        { documentId: "c", text: "x" }
      ]
      yield* sync(store, { documents: source, unchanged: "fingerprint", concurrency: 1 })
      const second = storeOf(written.map(({ documentId, tags }) => stored(documentId, { tags: tags ?? [] })))
      const changed = source.map((one): DocumentInput => one.documentId === "c" ? { documentId: "c", text: "y" } : one)
      yield* sync(second.store, { documents: changed, unchanged: "fingerprint" })
      assert.deepStrictEqual(second.written.map(({ documentId }) => documentId), ["c"])
      assert.deepStrictEqual(written[0], { documentId: "a", text: "x", tags: ["other", written[0]?.tags?.[1] ?? ""] })
      const invalid = storeOf()
      const long = { documentId: "long", text: "x", title: "t".repeat(513) }
      const [, failed] = yield* sync(invalid.store, { documents: [long], unchanged: "fingerprint" })
      const upsert = refusedBy("DataSources", "upsertDocument", refused("", "").request)
      assert.deepInclude(failed as object, { error: upsert("title", "at most 512 characters long") })
      assert.deepStrictEqual(invalid.written, [])
      const third = storeOf([stored("a", { timestamp: 0 }), stored("b", { timestamp: day }), stored("c")])
      yield* sync(third.store, { documents: source, unchanged: "timestamp", since: day - 1, concurrency: 1 })
      assert.deepStrictEqual(third.written.map(({ documentId }) => documentId), ["a", "c"])
    }))

  it.effect("omits addresses that Dust refuses only when asked to", () =>
    Effect.gen(function*() {
      const source = ["ftp://a.example/", "https://a.example/b//c", "https://a.example/b"].map((sourceUrl, i) => ({
        documentId: String(i),
        text: "x",
        sourceUrl
      }))
      const { store, written } = storeOf()
      yield* sync(store, { documents: source, invalidSourceUrl: "omit", concurrency: 1 })
      assert.deepStrictEqual(written.map(({ sourceUrl }) => sourceUrl), [undefined, undefined, "https://a.example/b"])
      const strict = storeOf()
      const events = yield* sync(strict.store, { documents: source, concurrency: 1 })
      assert.deepStrictEqual(strict.written.map(({ documentId }) => documentId), ["2"])
      const upsert = refusedBy("DataSources", "upsertDocument", refused("", "").request)
      assert.deepInclude(events[0], {
        _tag: "Failed",
        error: upsert("sourceUrl", "an http or https URL without // in its path")
      })
    }))

  it.effect("names a document with an invalid time, and goes on behind the last one of an earlier sync", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf()
      const odd = { documentId: "d", text: "x", timestamp: Number.NaN }
      const source = [...documents("a", "b", "c"), odd]
      const events = yield* sync(store, { documents: source, resumeAfter: "b", concurrency: 1 })
      assert.deepStrictEqual(calls, [["write", "c", "light"]])
      const expected = "a valid Date, DateTime or number of epoch milliseconds"
      assert.deepInclude(events.at(-2) as object, { documentId: "d", error: refused("timestamp", expected) })
    }))

  it.effect("needs ids to delete stale documents, also from a generator", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf([stored("a")])
      const source = generator([{ text: "x" } as DocumentInput, ...documents("b")])
      const events = yield* sync(store, { documents: source, deleteStale: true, concurrency: 1 })
      assert.deepStrictEqual(
        events.at(-1),
        refused("documents", "documents with ids if stale ones are to be deleted")
      )
      assert.deepStrictEqual(calls, [["list"], ["write", "b", "light"]])
    }))

  it.effect("asks its source for one document at a time, and no further than its consumer reads", () =>
    Effect.gen(function*() {
      let pulling = 0
      let most = 0
      const ids = ["a", "b", "c", "d", "e", "f"]
      const source = Stream.rechunk(Stream.fromIterable(documents(...ids)), 1).pipe(
        Stream.mapEffect((document) =>
          Effect.suspend(() => {
            most = Math.max(most, ++pulling)
            return Effect.map(Effect.sleep("1 second"), () => {
              pulling--
              return document
            })
          })
        )
      )
      const { store, written } = storeOf()
      const seen: Array<number> = []
      yield* syncDocuments(store, { ...at, documents: source, concurrency: 3 }).pipe(
        Stream.runForEach(() => Effect.map(Effect.sleep("1 minute"), () => seen.push(written.length)))
      )
      assert.strictEqual(most, 1)
      assert.deepStrictEqual(written.map(({ documentId }) => documentId), ids)
      // One is read, one waits for the consumer, and each of the three workers has one in its hands.
      assert.strictEqual(seen[0], 5)
    }).pipe(Effect.withClock(virtualClock(day))))

  it.effect("asks a source that failed for nothing more", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf([], { write: () => Effect.sleep("1 second") })
      let asked = 0
      const source: Iterable<DocumentInput> = {
        [Symbol.iterator]: () => ({
          next: () => {
            if (++asked === 2) throw new Error("broken")
            return { done: false, value: { documentId: String(asked), text: "x" } }
          }
        })
      }
      const exit = yield* Effect.exit(sync(store, { documents: source, concurrency: 2 }))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual([asked, calls], [2, [["write", "1", "light"]]])
    }))

  it.effect("deletes as many at a time as it writes, and waits while a rate limit lasts", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      let isLimited = true
      const ids = ["a", "b", "c", "d"]
      const { calls, store } = storeOf(ids.map((id) => stored(id)), {
        remove: (documentId) =>
          Effect.suspend(() => {
            if (documentId === "c" && isLimited) {
              isLimited = false
              return Effect.fail(Fixtures.error.DustRateLimitError({ retryAfter: Duration.seconds(5) }))
            }
            most = Math.max(most, ++running)
            return Effect.map(Effect.sleep("1 second"), () => {
              running--
            })
          })
      })
      const events = yield* sync(store, {
        documents: documents("x"),
        concurrency: 2,
        deleteStale: true,
        maxDeletions: "100%"
      })
      assert.strictEqual(most, 2)
      assert.sameMembers(calls.slice(2).map(([, id]) => id ?? ""), ["a", "b", "c", "c", "d"])
      assert.deepInclude(events.find(Predicate.isTagged("Waiting")) as object, { reason: "rateLimit" })
      assert.deepInclude(events.at(-1) as object, {
        progress: counts({ processed: 1, upserted: 1, deleted: 4, total: 1, checkpoint: "x" })
      })
    }))

  it.effect("has eight requests at a time and 110 in any minute, and announces a wait once", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const starts: Array<number> = []
      const { store } = storeOf([], {
        write: () =>
          Effect.gen(function*() {
            starts.push((yield* Clock.currentTimeMillis) - day)
            most = Math.max(most, ++running)
            yield* Effect.sleep("1 second")
            running--
          })
      })
      const source = generator(documents(...Array.from({ length: 112 }, (_, i) => `doc-${i}`)))
      const events = yield* sync(store, { documents: source })
      assert.strictEqual(most, 8)
      assert.deepStrictEqual([starts[109], starts[110], starts.length], [13_000, 60_000, 112])
      const waiting = events.filter((event) => Predicate.isTagged(event, "Waiting"))
      assert.lengthOf(waiting, 1)
      assert.deepInclude(waiting[0] as object, { until: day + 60_000, reason: "perMinute" })
    }))

  it.effect("announces a rate limit again only if it lasts over a second longer", () =>
    Effect.gen(function*() {
      const limited = Fixtures.error.DustRateLimitError({ retryAfter: Duration.seconds(5) })
      const seen = new Set<string>()
      const { store } = storeOf([], {
        write: ({ documentId }) => {
          if (seen.has(documentId)) return Effect.void
          seen.add(documentId)
          return Effect.zipRight(Effect.sleep(Number(documentId)), Effect.fail(limited))
        }
      })
      const events = yield* sync(store, { documents: documents("10", "1010", "1011"), concurrency: 3 })
      const waiting = { _tag: "Waiting", reason: "rateLimit", progress: counts({ total: 3 }) }
      assert.deepStrictEqual(events.slice(0, 2), [
        { ...waiting, until: day + 5010 },
        { ...waiting, until: day + 6011 }
      ])
      assert.deepStrictEqual(events.at(-1), {
        _tag: "Done",
        progress: counts({ processed: 3, upserted: 3, total: 3, checkpoint: "1011" })
      })
      assert.lengthOf(events, 6)
    }))

  it.effect("ends with a failure after which nothing can be written or deleted", () =>
    Effect.gen(function*() {
      const error = Fixtures.error.DustForbiddenError({ type: "data_source_auth_error" })
      const write = storeOf([], { write: () => Effect.fail(error) })
      assert.deepStrictEqual(yield* sync(write.store, { documents: documents("a", "b"), concurrency: 1 }), [
        plain(error)
      ])
      assert.lengthOf(write.calls, 1)
      const remove = storeOf(["a", "b", "c"].map((id) => stored(id)), { remove: () => Effect.fail(error) })
      const events = yield* sync(remove.store, { documents: documents("a"), deleteStale: true, concurrency: 1 })
      assert.deepStrictEqual(events.at(-1), plain(error))
      assert.deepStrictEqual(remove.calls.filter(([call]) => call === "remove"), [["remove", "b"]])
    }))

  it.effect("completes the writes in flight when its source fails, and deletes nothing", () =>
    Effect.gen(function*() {
      const { calls, store } = storeOf(["x", "y"].map((id) => stored(id)), { write: () => Effect.sleep("1 second") })
      const error = Fixtures.error.DustServerError()
      const source = Stream.concat(Stream.fromIterable(documents("a", "b")), Stream.fail(error))
      const events = yield* Effect.withClock(
        eventsOf(syncDocuments(store, { ...at, documents: source, deleteStale: true, allowEmpty: true })),
        virtualClock(day)
      )
      assert.deepStrictEqual(calls, [["list"], ["write", "a", "light"], ["write", "b", "light"]])
      assert.deepStrictEqual(events.slice(1), [
        { _tag: "Upserted", documentId: "a", progress: counts({ processed: 1, upserted: 1, checkpoint: "a" }) },
        { _tag: "Upserted", documentId: "b", progress: counts({ processed: 2, upserted: 2, checkpoint: "b" }) },
        plain(error)
      ])
    }))
})

describe("the failures of a job", () => {
  const { error } = Fixtures
  it("end it if they concern the whole data source", () => {
    const types = [
      "invalid_api_key_error",
      "user_not_found",
      "user_authentication_required",
      "token_unavailable",
      "key_required",
      "user_required",
      "data_source_auth_error",
      "workspace_not_found",
      "space_not_found",
      "data_source_not_found",
      "table_not_found",
      "workspace_in_different_region"
    ]
    const makers = [
      error.DustUnauthorizedError,
      error.DustUserRequiredError,
      error.DustForbiddenError,
      error.DustNotFoundError
    ]
    for (const make of makers) {
      assert.deepStrictEqual(types.filter((type) => !cannotGoOn(make({ type }))), [])
      assert.isFalse(cannotGoOn(make({ type: undefined })))
      assert.isFalse(cannotGoOn(make({ type: "data_source_document_not_found" })))
    }
    assert.isFalse(cannotGoOn(error.DustBadRequestError({ type: "space_not_found" })))
    assert.isTrue(cannotGoOn(error.DustRateLimitError({ retryAfter: Duration.seconds(1) })))
    assert.isFalse(cannotGoOn(error.DustRateLimitError({ retryAfter: undefined })))
  })

  it("hold the checkpoint back if they may pass", () => {
    assert.deepStrictEqual(
      [
        error.DustBadRequestError(),
        error.DustContentTooLargeError(),
        error.DustServerError(),
        error.DustNetworkError(),
        error.DustDecodeError(),
        error.DustQuotaExceededError({ type: "workspace_quota_error" })
      ].map(isPermanent),
      [true, true, false, false, false, false]
    )
  })
})
