import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Option, Stream, TestClock } from "effect"
import * as Chat from "effect-dust/Chat"
import * as Conversations from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"
import * as Search from "effect-dust/Search"
import type * as SearchResult from "effect-dust/SearchResult"

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())
const SEARCH = "/search"

const many: DustTest.SearchSeed = {
  nodes: Array.from({ length: 230 }, (_, i) => ({ internalId: `doc-${i}`, title: `Report ${i}` }))
}

/** An answer that is an event stream of just these; texts as they are. */
const sse = (...events: ReadonlyArray<unknown>) =>
  DustTest.faults.status(200, {
    body: events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join(""),
    contentType: "text/event-stream"
  })

const collect = <E, R>(stream: Stream.Stream<SearchResult.UnifiedResults, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

describe("A node of a search", () => {
  it.effect("attached to a message: the conversation has it, with the view in which it was found", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const chat = yield* Chat.Chat
      const [node] = (yield* search.pageNodes({ query: "travel" })).nodes
      const [view] = node?.dataSourceViews ?? []
      assert.isDefined(node)
      assert.isDefined(view)
      const reply = yield* chat.send({
        agent: "reader",
        message: "How do I travel?",
        attachments: [{ title: node.title, nodeId: node.internalId, nodeDataSourceViewId: view.sId }]
      })
      assert.strictEqual(reply.text, node.title)
      const { listMessages } = yield* Conversations.Conversations
      const fragment = (yield* listMessages(reply.conversationId)).find((one) => one.type === "content_fragment")
      assert.isDefined(fragment)
      assert.deepInclude(fragment, {
        contentFragmentType: "content_node",
        nodeId: node.internalId,
        nodeDataSourceViewId: view.sId
      })
    }).pipe(local({
      agents: { reader: ({ attachments }) => attachments.map(({ title }) => title).join() },
      seed: {
        dataSources: [{
          sId: "dts_handbook",
          name: "handbook",
          documents: [{ documentId: "travel", text: "By train.", title: "Travel" }]
        }]
      }
    })))
})

describe("Search.pageNodes", () => {
  it.effect("asks for the spaces of the caller first, and searches in all of them", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const page = yield* search.pageNodes({ query: "roadmap" })
      assert.deepStrictEqual(page.nodes.map((node) => node.internalId), ["doc-roadmap", "doc-product-roadmap"])
      assert.strictEqual(page.resultsCount, 2)
      assert.isNull(page.nextPageCursor)
      assert.strictEqual(page.nodes[0]?.dataSourceViews[0]?.spaceId, "vlt_global")
      assert.strictEqual(yield* requests, 2)
      const request = yield* last
      assert.deepStrictEqual(request.query, { limit: "100" })
      assert.deepStrictEqual(request.body, {
        query: "roadmap",
        viewType: "all",
        spaceIds: ["vlt_global", "vlt_product"],
        includeDataSources: true,
        limit: 100
      })
    }).pipe(local()))

  it.effect("searches in the given spaces with one request", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const page = yield* search.pageNodes({
        query: "wiki.example.com",
        searchSourceUrls: true,
        spaceIds: ["vlt_global"],
        viewType: "document",
        includeDataSources: false,
        limit: 5,
        cursor: "0"
      })
      assert.deepStrictEqual(page.nodes.map((node) => node.title), ["Roadmap 2026"])
      assert.strictEqual(yield* requests, 1)
      const request = yield* last
      assert.deepStrictEqual(request.query, { limit: "5", cursor: "0" })
      assert.deepStrictEqual(request.body, {
        query: "wiki.example.com",
        viewType: "document",
        spaceIds: ["vlt_global"],
        includeDataSources: false,
        limit: 5,
        searchSourceUrls: true
      })
      assert.strictEqual((yield* search.pageNodes({ query: "sales", viewType: "table" })).nodes[0]?.type, "table")
    }).pipe(local()))

  it.effect("finds documents written to a data source", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const page = yield* search.pageNodes({ query: "onboarding" })
      assert.deepStrictEqual(
        page.nodes.map((
          node
        ) => [node.internalId, node.sourceUrl, node.dataSource?.name, node.dataSourceViews[0]?.sId]),
        [["onboarding", "https://handbook.example.com/onboarding", "handbook", "dsv_handbook"]]
      )
    }).pipe(local()))

  it.effect("resolves known ids", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const page = yield* search.pageNodes({ nodeIds: ["table-sales", "doc-gone"], spaceIds: ["vlt_global"] })
      assert.deepStrictEqual(page.nodes.map((node) => node.title), ["Sales by region"])
      assert.notProperty((yield* last).body, "query")
    }).pipe(local()))

  it.effect("refuses, before any request, what the server would refuse or silently find nothing for", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const both = { query: "a", nodeIds: ["b"] } as unknown as Search.ByQuery
      const cases: ReadonlyArray<readonly [Search.NodesOptions & Search.PageOptions, string]> = [
        [{ query: "a", spaceIds: [] }, "spaceIds"],
        [{ query: " ", spaceIds: ["s"] }, "query"],
        [{ query: "a", spaceIds: ["s", ""] }, "spaceIds.1"],
        [{ query: "a", limit: 2001 }, "limit"],
        [{ query: "a", limit: 0 }, "limit"],
        [{ nodeIds: [] }, "nodeIds"],
        [both, "query"]
      ]
      for (const [options, field] of cases) {
        const error = yield* Effect.flip(search.pageNodes(options))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.deepPropertyVal(error.details, "field", field)
      }
      assert.strictEqual(yield* requests, 0)
    }).pipe(local()))

  it.effect("is not found where the caller cannot look", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const error = yield* Effect.flip(search.pageNodes({ query: "board", spaceIds: ["vlt_board"] }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "space_not_found")
    }).pipe(local()))

  it.effect("is repeated after a failure, since it only reads", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const fiber = yield* Effect.fork(search.pageNodes({ query: "roadmap", spaceIds: ["vlt_global"] }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).nodes.length, 1)
      assert.strictEqual(yield* requests, 2)
    }).pipe(local({ faults: [{ method: "POST", nth: 1, fault: DustTest.faults.status(500) }] })))
})

describe("Search.streamNodes", () => {
  it.effect("pages with the cursor in the address, and asks for the spaces once", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const all = yield* Stream.runCollect(search.streamNodes({ query: "report" }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(all).map((node) => node.internalId),
        Array.from({ length: 230 }, (_, i) => `doc-${i}`)
      )
      const dust = yield* DustTest.DustTest
      assert.deepStrictEqual((yield* dust.requests({ path: SEARCH })).map((request) => request.query), [
        { limit: "100" },
        { limit: "100", cursor: "100" },
        { limit: "100", cursor: "200" }
      ])
      assert.strictEqual(yield* requests, 4)
    }).pipe(local({ seed: { search: many } })))

  it.effect("asks for a page only when it is wanted", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const some = search.streamNodes({ query: "report", spaceIds: ["vlt_global"], pageSize: 20 })
      yield* Stream.runDrain(Stream.take(some, 15))
      assert.strictEqual(yield* requests, 1)
      const bad = yield* Effect.flip(Stream.runDrain(search.streamNodes({ query: "a", pageSize: 0 })))
      assert.deepPropertyVal(bad.details, "field", "pageSize")
    }).pipe(local({ seed: { search: many } })))

  it.effect("Search.streamNodes: fails when a cursor does not move on", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const error = yield* Effect.flip(
        Stream.runDrain(search.streamNodes({ query: "a", spaceIds: ["vlt_global"] }))
      )
      assert.strictEqual(error.type, "list_not_advancing")
    }).pipe(local({
      faults: [{
        fault: DustTest.faults.status(200, {
          body: JSON.stringify({
            nodes: [{ internalId: "same", title: "Same", type: "document" }],
            nextPageCursor: "stuck"
          }),
          contentType: "application/json"
        })
      }]
    })))
})

describe("Search.unified", () => {
  it.effect("gives knowledge and the files of every tool", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const results = yield* collect(search.unified({ query: "roadmap" }))
      assert.deepStrictEqual(results.map((one) => one._tag), ["KnowledgeResults", "ToolResults", "ToolResults"])
      const [knowledge, first, second] = results
      assert.deepStrictEqual(
        knowledge?._tag === "KnowledgeResults" ? knowledge.nodes.map((node) => node.internalId) : [],
        ["doc-roadmap", "doc-product-roadmap"]
      )
      assert.deepStrictEqual(
        [first, second].map((one) => one?._tag === "ToolResults" ? one.files[0]?.serverViewId : undefined),
        ["msv_drive", "msv_wiki"]
      )
      const request = yield* last
      assert.strictEqual(request.headers["accept"], "text/event-stream")
      assert.deepStrictEqual(request.query, {
        query: "roadmap",
        limit: "25",
        viewType: "all",
        spaceIds: "vlt_global,vlt_product",
        includeDataSources: "true",
        searchSourceUrls: "false",
        includeTools: "true"
      })
    }).pipe(local()))

  it.effect("unified: does not search tools with includeTools: false, nor on a further page", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const spaceIds = ["vlt_global"]
      const without = yield* collect(search.unified({ query: "roadmap", spaceIds, includeTools: false }))
      assert.deepStrictEqual(without.map((one) => one._tag), ["KnowledgeResults"])
      const further = yield* collect(search.unified({ query: "roadmap", spaceIds, cursor: "0", limit: 1 }))
      assert.deepStrictEqual(further.map((one) => one._tag), ["KnowledgeResults"])
    }).pipe(local()))

  it.effect("gives the first results while tools are still searching, and closes the connection with the stream", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const dust = yield* DustTest.DustTest
      const first = yield* Stream.runHead(search.unified({ query: "roadmap", spaceIds: ["vlt_global"] }))
      assert.strictEqual(Option.getOrThrow(first)._tag, "KnowledgeResults")
      yield* dust.allClosed
      assert.strictEqual((yield* last).outcome, "aborted")
    }).pipe(local({
      seed: {
        search: {
          nodes: [{ internalId: "a", title: "Roadmap" }],
          toolFiles: [{ externalId: "b", title: "Roadmap" }],
          toolDelay: "1 hour"
        }
      }
    })))

  it.effect("fails with the usual error for an error inside a 200, after the preceding results", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const missing = yield* Effect.flip(collect(search.unified({ query: "a", spaceIds: ["vlt_nowhere"] })))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.strictEqual(missing.type, "space_not_found")
      assert.strictEqual(missing.status, 404)
      assert.strictEqual((yield* last).status, 200)
      const dust = yield* DustTest.DustTest
      yield* dust.fault({
        path: SEARCH,
        fault: sse(
          { toolResults: [] },
          { error: { status: 429, error: { type: "rate_limit_error", message: "Slow" } } }
        )
      })
      const seen: Array<string> = []
      const limited = yield* search.unified({ query: "a", spaceIds: ["vlt_global"] }).pipe(
        Stream.runForEach((one) => Effect.sync(() => seen.push(one._tag))),
        Effect.flip
      )
      assert.strictEqual(limited._tag, "DustRateLimitError")
      assert.deepStrictEqual(seen, ["ToolResults"])
    }).pipe(local()))

  it.effect("fails when the stream ends before there is an answer", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const error = yield* Effect.flip(collect(search.unified({ query: "a", spaceIds: ["vlt_global"] })))
      assert.strictEqual(error._tag, "DustStreamError")
      assert.propertyVal(error, "reason", "truncated")
    }).pipe(local({ faults: [{ path: SEARCH, fault: DustTest.faults.end(10) }] })))

  it.effect("unified: a connection that breaks before any result is opened once more", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const dust = yield* DustTest.DustTest
      const results = yield* collect(search.unified({ query: "roadmap", spaceIds: ["vlt_global"] }))
      assert.isAbove(results.length, 0)
      assert.strictEqual(yield* dust.countRequests({ path: SEARCH }), 2)
    }).pipe(local({ faults: [{ path: SEARCH, nth: 1, fault: DustTest.faults.cut(10) }] })))

  it.effect("unified: a connection that breaks twice is an error", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(collect(search.unified({ query: "roadmap", spaceIds: ["vlt_global"] })))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(yield* dust.countRequests({ path: SEARCH }), 2)
    }).pipe(local({ faults: [{ path: SEARCH, fault: DustTest.faults.cut(10) }] })))

  it.effect("unified: bytes that make no event do not keep a silent stream alive", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const fiber = yield* Effect.fork(
        Effect.flip(collect(search.unified({ query: "roadmap", spaceIds: ["vlt_global"] })))
      )
      yield* TestClock.adjust("3 minutes")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustTimeoutError")
      assert.propertyVal(error, "phase", "idle")
    }).pipe(local({ faults: [{ path: SEARCH, fault: DustTest.faults.drip(1, "30 seconds") }] })))

  it.effect("passes on unknown events", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const results = yield* collect(search.unified({ query: "a", spaceIds: ["vlt_global"] }))
      assert.deepStrictEqual(results.map((one) => one._tag === "UnknownResults" ? one.raw : one._tag), [
        { weather: "fine" },
        "not json",
        "KnowledgeResults"
      ])
    }).pipe(local({
      faults: [{
        path: SEARCH,
        fault: sse({ weather: "fine" }, "not json", { error: null, knowledgeResults: { nodes: [{}] } })
      }]
    })))

  it.effect("refuses bad input before any request, and the server's refusal is an ordinary one", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      for (
        const [options, field] of [
          [{ query: "" }, "query"],
          [{ query: "a", limit: 101 }, "limit"],
          [{ query: "a", spaceIds: [] }, "spaceIds"],
          [{ query: "a", spaceIds: [" "] }, "spaceIds.0"]
        ] as const
      ) {
        const error = yield* Effect.flip(collect(search.unified(options)))
        assert.deepPropertyVal(error.details, "field", field)
      }
      assert.strictEqual(yield* requests, 0)
      const plural = { query: "a", spaceIds: ["vlt_global"], viewType: "documents" } as unknown as Search.UnifiedOptions
      const error = yield* Effect.flip(collect(search.unified(plural)))
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.strictEqual(error.status, 400)
    }).pipe(local()))
})

describe("Search.uploadToolFile", () => {
  it.effect("copies a file of a tool into Dust", () =>
    Effect.gen(function*() {
      const search = yield* Search.Search
      const results = yield* collect(search.unified({ query: "slides", spaceIds: ["vlt_global"] }))
      const tools = results.find((one) => one._tag === "ToolResults")
      const found = tools?.files[0]
      assert.isDefined(found)
      if (found === undefined) return
      const file = yield* search.uploadToolFile(found)
      assert.strictEqual(file.fileName, "Roadmap slides")
      assert.strictEqual(file.contentType, "application/pdf")
      assert.strictEqual(file.status, "ready")
      assert.deepStrictEqual((yield* last).body, {
        serverViewId: "msv_drive",
        externalId: "drive-1",
        serverName: "drive",
        serverIcon: "ActionDocumentIcon"
      })
      const unusable = yield* Effect.flip(search.uploadToolFile({ serverViewId: "msv_none", externalId: "x" }))
      assert.strictEqual(unusable._tag, "DustBadRequestError")
      const gone = yield* Effect.flip(search.uploadToolFile({ serverViewId: "msv_drive", externalId: "x" }))
      assert.strictEqual(gone._tag, "DustServerError")
      assert.strictEqual(gone.attempts, 1)
      const before = yield* requests
      const blank = yield* Effect.flip(search.uploadToolFile({ serverViewId: "msv_drive", externalId: "" }))
      assert.deepPropertyVal(blank.details, "field", "externalId")
      assert.strictEqual(yield* requests, before)
    }).pipe(local()))
})
