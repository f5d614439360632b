import * as Official from "@dust-tt/client"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as DataSourceViews from "effect-dust/DataSourceViews"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as File from "effect-dust/File"
import * as Files from "effect-dust/Files"
import type { Json } from "../support/local.ts"
import { accepts, checked, err, official, ok, silent } from "../support/referee.ts"

const systemKey = "sk-system"

const serve = DustTest.serve({
  credentials: { apiKeys: [{ value: systemKey, system: true, name: "system" }] },
  seed: {
    dataSources: [
      {
        sId: "dts_handbook",
        name: "handbook",
        description: "How we work",
        documents: [{ documentId: "travel", text: "Trains are booked in second class.", parents: ["money"] }],
        tables: [{ tableId: "t", name: "prices", rows: { a: { n: 1 } } }],
        views: [{ sId: "dsv_money", spaceId: "vlt_product", parentsIn: ["money"] }]
      },
      { sId: "dts_wiki", name: "wiki", connectorProvider: "notion" },
      { sId: "dts_site", name: "site", connectorProvider: "webcrawler", spaceId: "vlt_product" }
    ]
  }
})

const asSystem = (server: DustTest.Service) =>
  new Official.DustAPI({ url: server.url }, { workspaceId: server.workspaceId, apiKey: systemKey }, silent)

const sdk = (server: DustTest.Service, credential: "apiKey" | "adminApiKey" = "apiKey") =>
  Dust.layer({ workspaceId: server.workspaceId, apiKey: server[credential], baseUrl: server.url }).pipe(
    Layer.provide(NodeHttpClient.layerUndici)
  )

const ours = (server: DustTest.Service, credential?: "apiKey" | "adminApiKey") =>
  Effect.provide(sdk(server, credential))

describe("files: the official client against Local Dust", () => {
  it.scopedLive("uploads, reads and deletes", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const file = yield* ok<Json>(() =>
        client.uploadFile({
          contentType: "text/plain",
          fileName: "a.txt",
          fileSize: 5,
          useCase: "conversation",
          fileObject: new globalThis.File(["hello"], "a.txt", { type: "text/plain" })
        })
      )
      accepts(Official.FileTypeSchema, file, "an uploaded file")
      assert.strictEqual(file.status, "ready")
      const content = yield* ok<Blob>(() => client.getFileContent({ fileId: file.sId }))
      assert.strictEqual(yield* Effect.promise(() => content.text()), "hello")
      const attached = yield* Effect.promise(() =>
        client.files.upload(new globalThis.File(["a,b"], "a.csv", { type: "text/csv" }))
      )
      assert.strictEqual(attached.contentType, "text/csv")
      yield* Effect.promise(() => client.files.delete(file.sId))
      const gone = yield* server.lastRequest({ method: "DELETE" })
      assert.strictEqual(gone.status, 204)
    }))

  it.scopedLive("reads the files of the SDK, and the reverse", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const files = Context.get(yield* Layer.build(sdk(server)), Files.Files)
      const file = yield* files.upload({ fileName: "ü.md", content: "größer" })
      const content = yield* ok<Blob>(() => client.getFileContent({ fileId: file.sId }))
      assert.strictEqual(yield* Effect.promise(() => content.text()), "größer")
      const theirs = yield* Effect.promise(() =>
        client.files.upload(new globalThis.File(["hello"], "a.txt", { type: "text/plain" }))
      )
      assert.strictEqual(yield* files.viewText({ fileId: theirs.id }), "hello")
    }))

  it.scopedLive("their download accepts only Google's storage: it fails after reading the file", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const files = Context.get(yield* Layer.build(sdk(server)), Files.Files)
      const file = yield* files.upload({ fileName: "a.txt", content: "hello" })
      const error = yield* err(() => Promise.resolve(client.downloadFile({ fileID: file.sId })))
      assert.include(error.message, "storage.googleapis.com")
      const stored = yield* server.lastRequest({ path: "/local-dust-files/:fileId" })
      assert.strictEqual(stored.status, 200)
      assert.strictEqual(stored.credential, "none")
    }))

  it.scopedLive("their content of a missing file is the error envelope", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const content = yield* ok<Blob>(() => official(server).getFileContent({ fileId: "nothing" }))
      assert.include(yield* Effect.promise(() => content.text()), "file_not_found")
      const missing = yield* Effect.flip(
        Effect.flatMap(Files.Files, (files) => files.viewText({ fileId: "nothing" })).pipe(ours(server))
      )
      assert.strictEqual(missing._tag, "DustNotFoundError")
    }))

  it.scopedLive("both steps have the published shapes, in both directions", () =>
    Effect.gen(function*() {
      const server = yield* serve
      yield* checked(server, Official.FileUploadRequestResponseSchema, "POST", "/files", {
        body: { contentType: "text/plain", fileName: "a.txt", fileSize: 1, useCase: "conversation" }
      })
      yield* server.addConversation({ sId: "con" })
      yield* Effect.flatMap(Files.Files, (files) =>
        files.upload({ fileName: "a.txt", content: "a", conversationId: "con", sourceProvider: "github" })).pipe(
          ours(server)
        )
      const { body } = yield* server.lastRequest({ path: "/files" })
      accepts(Official.FileUploadUrlRequestSchema, body, "the announcement of a file")
      const broken = yield* err(() =>
        official(server).uploadFile({
          contentType: "text/plain",
          fileName: "a.txt",
          fileSize: 1,
          useCase: "conversation",
          fileObject: new globalThis.File(["too long"], "a.txt", { type: "text/plain" })
        })
      )
      assert.include(broken.message, "larger than announced")
    }))

  it("supports every content type of the official client, and guesses one of them for each extension", () => {
    const theirs: Record<string, ReadonlyArray<string>> = {
      ...Official.supportedOtherFileFormats,
      ...Official.supportedImageFileFormats,
      ...Official.supportedAudioFileFormats,
      ...Official.supportedFontFileFormats
    }
    assert.deepStrictEqual(Object.keys(File.contentTypes).sort(), Object.keys(theirs).sort())
    // Most .mp4 files are videos, which Dust does not accept; the official client declares them as audio.
    const listed = new Set(Object.values(theirs).flat())
    assert.isTrue(listed.delete(".mp4"))
    for (const extension of listed) {
      const guess = File.contentTypeOf(`file${extension}`)
      assert.isDefined(guess, extension)
      assert.isTrue(theirs[guess ?? ""]?.includes(extension), extension)
    }
  })
})

describe("data sources: the official client against Local Dust", () => {
  it.scopedLive("lists only the data sources of the global space", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const all = yield* ok<ReadonlyArray<Json>>(() => official(server).getDataSources())
      assert.deepStrictEqual(all.map(({ sId }) => sId), ["dts_handbook", "dts_wiki"])
      yield* checked(server, Official.GetDataSourcesResponseSchema, "GET", "/spaces/vlt_product/data_sources")
      const here = yield* Effect.flatMap(DataSources.DataSources, (one) => one.list("vlt_product")).pipe(ours(server))
      assert.deepStrictEqual(here.map(({ sId }) => sId), ["dts_site"])
    }))

  it.scopedLive("tokenizes, by name and without a space", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const tokens = yield* ok<ReadonlyArray<readonly [number, string]>>(() =>
        official(server).tokenize("one two", "handbook")
      )
      assert.deepStrictEqual(tokens.map(([, text]) => text), ["one", " two"])
      const same = yield* Effect.flatMap(DataSources.DataSources, (one) =>
        one.tokenize({ spaceId: "vlt_global", dataSourceId: "dts_handbook", text: "one two" })).pipe(ours(server))
      assert.deepStrictEqual(same.map(({ id, text }) => [id, text]), tokens.map((token) => [...token]))
    }))

  it.scopedLive("folders require a system key", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const folder = {
        dataSourceId: "dts_handbook",
        folderId: "a/b",
        timestamp: 1_760_000_000_000,
        title: "A",
        parentId: null,
        parents: ["a/b"],
        mimeType: "application/vnd.dust.folder",
        sourceUrl: null,
        providerVisibility: null
      }
      const refused = yield* err(() => official(server).upsertFolder(folder))
      assert.strictEqual(refused.type, "invalid_oauth_token_error")
      const { folder: made } = yield* ok<Json>(() => asSystem(server).upsertFolder(folder))
      assert.deepStrictEqual([made.folder_id, made.parents], ["a/b", ["a/b"]])
      yield* ok(() => asSystem(server).deleteFolder({ dataSourceId: "dts_handbook", folderId: "a/b" }))
    }))

  it.scopedLive("searches views with a system key", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const views = yield* ok<ReadonlyArray<Json>>(() =>
        asSystem(server).searchDataSourceViews(new URLSearchParams({ dataSourceId: "dts_handbook" }))
      )
      assert.deepStrictEqual(views.map(({ kind }) => kind), ["default", "custom"])
    }))

  it.scopedLive("updates a view; `parentsIn` succeeds but has no effect", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const view = yield* checked(
        server,
        Official.DataSourceViewResponseSchema,
        "GET",
        "/spaces/vlt_product/data_source_views/dsv_money"
      )
      const client = official(server, "adminApiKey")
      const ignored = yield* ok<Json>(() => client.patchDataSourceView(view.dataSourceView, { parentsIn: ["x"] }))
      assert.deepStrictEqual(ignored.parentsIn, ["money"])
      assert.deepStrictEqual(
        Official.PatchDataSourceViewRequestSchema.parse({ parentsIn: ["x"] }),
        { parentsToAdd: undefined, parentsToRemove: undefined }
      )
      const changed = yield* ok<Json>(() =>
        client.patchDataSourceView(view.dataSourceView, { parentsToAdd: ["x"], parentsToRemove: undefined })
      )
      assert.deepStrictEqual(changed.parentsIn, ["money", "x"])
      const refused = yield* err(() =>
        official(server).patchDataSourceView(view.dataSourceView, { parentsToAdd: ["y"], parentsToRemove: undefined })
      )
      assert.strictEqual(refused.type, "workspace_auth_error")
      yield* Effect.flatMap(
        DataSourceViews.DataSourceViews,
        (views) => views.update({ spaceId: "vlt_product", dataSourceViewId: "dsv_money", parentsToRemove: ["x"] })
      ).pipe(
        ours(server, "adminApiKey")
      )
      accepts(
        Official.PatchDataSourceViewRequestSchema,
        (yield* server.lastRequest({ method: "PATCH" })).body,
        "the change of a view"
      )
    }))

  it.scopedLive("the published request schemas accept the SDK's requests", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const at = { spaceId: "vlt_global", dataSourceId: "dts_handbook" } as const
      const dataSources = Context.get(yield* Layer.build(sdk(server)), DataSources.DataSources)
      const documents = { method: "POST", path: /\/documents\/[^/]+$/ } as const
      for (
        const upsert of [
          Effect.asVoid(dataSources.upsertDocument({
            ...at,
            documentId: "a/b ü",
            title: "A",
            text: "a",
            tags: ["t"],
            mimeType: "text/plain",
            sourceUrl: "https://example.com",
            timestamp: new Date()
          })),
          Effect.asVoid(dataSources.upsertDocument({
            ...at,
            documentId: "s",
            section: { sections: [{ content: "x" }] },
            mode: "light"
          })),
          Effect.asVoid(
            dataSources.upsertDocument({ ...at, documentId: "q", text: "a", mode: "async", syncType: "incremental" })
          )
        ]
      ) {
        yield* upsert
        const { body, status } = yield* server.lastRequest(documents)
        assert.strictEqual(status, 200)
        accepts(Official.PostDataSourceDocumentRequestSchema, body, "an upsert of a document")
      }
      yield* dataSources.updateParents({ ...at, documentId: "s", parents: ["x"] })
      const parents = yield* server.lastRequest({ path: /\/parents$/ })
      accepts(Official.PostTableParentsRequestSchema, parents.body, "the parents of a node")
      const { tableId } = yield* dataSources.loadTable({
        ...at,
        table: { name: "stock", tags: ["t"], sourceUrl: "https://example.com", timestamp: new Date() },
        rows: [{ rowId: "a", value: { s: "x", n: 1, b: true, z: null, d: new Date() } }],
        replace: true
      })
      accepts(
        Official.UpsertDatabaseTableRequestSchema,
        (yield* server.lastRequest({ method: "POST", path: /\/tables$/ })).body,
        "a table"
      )
      accepts(
        Official.UpsertTableRowsRequestSchema,
        (yield* server.lastRequest({ method: "POST", path: /\/rows$/ })).body,
        "rows"
      )
      assert.strictEqual((yield* dataSources.pageRows({ ...at, tableId })).total, 1)
      yield* dataSources.search({
        ...at,
        query: "trains",
        fullText: true,
        tagsIn: ["a", "b"],
        timestampGt: new Date(0x7fffffffff)
      })
      const { query } = yield* server.lastRequest({ path: /\/search$/ })
      accepts(Official.DataSourceSearchQuerySchema, {
        ...query,
        top_k: Number(query["top_k"]),
        full_text: Boolean(query["full_text"]),
        timestamp_gt: Number(query["timestamp_gt"])
      }, "a search")
    }))

  it.scopedLive("the old paths without a space resolve to the global one", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const get = (path: string, key = Redacted.value(server.apiKey)) =>
        Effect.promise(() =>
          fetch(`${server.url}/api/v1/w/${server.workspaceId}${path}`, { headers: { authorization: `Bearer ${key}` } })
            .then(async (response): Promise<Json> => ({ status: response.status, json: await response.json() }))
        )
      assert.strictEqual((yield* get("/data_sources/handbook/documents/travel")).status, 200)
      assert.strictEqual((yield* get("/data_sources/dts_handbook/tables/t/rows/a")).status, 200)
      assert.strictEqual((yield* get("/data_sources/dts_site/tables")).status, 404)
      assert.strictEqual((yield* get("/data_sources/dts_site/tables", systemKey)).status, 200)
      const queue = yield* get("/data_sources/dts_handbook/check_upsert_queue")
      assert.deepStrictEqual([queue.status, queue.json.error.type], [403, "data_source_auth_error"])
      const search = yield* get("/data_sources/dts_handbook/search?query=trains&top_k=1&full_text=false")
      assert.strictEqual(search.json.documents[0].text, "Trains are booked in second class.")
      const missing = yield* get("/data_sources/dts_handbook/search?query=trains")
      assert.deepStrictEqual([missing.status, missing.json.error.type], [400, "invalid_request_error"])
    }))
})
