import * as Official from "@dust-tt/client"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as Agents from "effect-dust/Agents"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as Mentions from "effect-dust/Mentions"
import * as Search from "effect-dust/Search"
import * as Skills from "effect-dust/Skills"
import * as Spaces from "effect-dust/Spaces"
import * as Triggers from "effect-dust/Triggers"
import * as Workspace from "effect-dust/Workspace"
import type { Json } from "../support/local.ts"
import { accepts, checked, err, official, ok, type ZodSchema } from "../support/referee.ts"

const ours = (server: DustTest.Service, credential: "adminApiKey" | "adminToken" = "adminApiKey") =>
  Dust.layer({
    workspaceId: server.workspaceId,
    baseUrl: server.url,
    ...(credential === "adminApiKey" ? { apiKey: server.adminApiKey } : { accessToken: server.adminToken })
  }).pipe(Layer.provide(NodeHttpClient.layerUndici))

const ids = (all: ReadonlyArray<Json>) => all.map(({ sId }) => sId)

describe("the official client and the workspace", () => {
  it.scopedLive("agrees on the caller and the workspace", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const theirs = yield* ok<Json>(() => official(server, "adminToken").me())
      const me = yield* Effect.flatMap(Workspace.Workspace, (workspace) => workspace.me()).pipe(
        Effect.provide(ours(server, "adminToken"))
      )
      assert.deepStrictEqual([me.sId, me.email, me.workspaces[0]?.sId], [
        theirs.sId,
        theirs.email,
        theirs.workspaces[0].sId
      ])
      yield* ok(() => official(server).exists())
      yield* checked(server, Official.GetWorkspaceExistsResponseSchema, "GET", "/exists")
    }))

  it.scopedLive("agrees on spaces and their tools", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const client = official(server, "adminApiKey")
      const [spaces, projects, manual, auto] = yield* Effect.gen(function*() {
        const spaces = yield* Spaces.Spaces
        return [
          yield* spaces.list(),
          yield* spaces.list({ kinds: ["project"] }),
          yield* spaces.listMcpServerViews({ spaceId: "vlt_global" }),
          yield* spaces.listMcpServerViews({ spaceId: "vlt_global", includeAuto: true })
        ] as const
      }).pipe(Effect.provide(ours(server)))
      assert.deepStrictEqual(ids(yield* ok<ReadonlyArray<Json>>(() => client.getSpaces())), ids(spaces))
      const theirProjects = yield* ok<ReadonlyArray<Json>>(() => client.getSpaces({ kinds: ["project"] }))
      assert.deepStrictEqual(ids(theirProjects), ids(projects))
      const theirManual = yield* ok<ReadonlyArray<Json>>(() => client.getMCPServerViews("vlt_global"))
      assert.deepStrictEqual(ids(theirManual), ids(manual))
      const theirAuto = yield* ok<ReadonlyArray<Json>>(() => client.getMCPServerViews("vlt_global", true))
      assert.deepStrictEqual(ids(theirAuto), ids(auto))
      assert.strictEqual(auto.length, 2)
    }))

  it.scopedLive("lets the official client request kinds of spaces that the server refuses", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const refused = yield* err(() => official(server).getSpaces({ kinds: ["public"] }))
      assert.strictEqual(refused.type, "invalid_request_error")
    }))

  it.scopedLive("agrees on nodes; the official client can read only the first page", () =>
    Effect.gen(function*() {
      const nodes = Array.from({ length: 25 }, (_, i) => ({ internalId: `doc-${i}`, title: `Report ${i}` }))
      const server = yield* DustTest.serve({ seed: { search: { nodes } } })
      const theirs = yield* ok<ReadonlyArray<Json>>(() =>
        official(server).searchNodes({
          query: "report",
          viewType: "all",
          spaceIds: ["vlt_global"],
          includeDataSources: true,
          limit: 20
        })
      )
      // The limit in the body is ignored, and there is no cursor for the next page.
      assert.strictEqual(theirs.length, 10)
      const all = yield* Effect.flatMap(
        Search.Search,
        (search) => Stream.runCollect(search.streamNodes({ query: "report", pageSize: 10 }))
      ).pipe(Effect.provide(ours(server)))
      assert.deepStrictEqual([...all].slice(0, 10).map((one) => one.internalId), theirs.map((one) => one.internalId))
      assert.strictEqual(all.length, 25)
    }))

  const unified = (server: DustTest.Service, options: Json) =>
    Effect.promise(async () => {
      const search = await official(server).searchUnified(options)
      if (search.isErr()) return { error: search.error as Json, chunks: [] as ReadonlyArray<Json> }
      const chunks: Array<Json> = []
      for await (const chunk of search.value.eventStream) chunks.push(chunk)
      return { error: undefined, chunks }
    })

  it.scopedLive("agrees on knowledge and the files of tools", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const spaceIds = ["vlt_global", "vlt_product"]
      const { chunks } = yield* unified(server, { query: "roadmap", spaceIds })
      const results = yield* Effect.flatMap(
        Search.Search,
        (search) => Stream.runCollect(search.unified({ query: "roadmap", spaceIds }))
      ).pipe(Effect.provide(ours(server)))
      assert.deepStrictEqual(
        chunks.map((chunk) =>
          chunk.knowledgeResults?.nodes.map((node: Json) => node.internalId) ??
            chunk.toolResults.map((file: Json) => file.externalId)
        ),
        [...results].map((one) =>
          one._tag === "KnowledgeResults"
            ? one.nodes.map((node) => node.internalId)
            : one._tag === "ToolResults"
            ? one.files.map((file) => file.externalId)
            : []
        )
      )
      assert.strictEqual(chunks.length, 3)
      const [first] = chunks
      accepts(Official.PostWorkspaceSearchResponseBodySchema, first.knowledgeResults, "knowledge results")
    }))

  it.scopedLive("official client: finds nothing without spaces, takes errors for results and refusals for none", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const nowhere = yield* unified(server, { query: "roadmap", includeTools: false })
      assert.deepStrictEqual(nowhere.chunks.map((chunk) => chunk.knowledgeResults.nodes), [[]])
      const failed = yield* unified(server, { query: "roadmap", spaceIds: ["vlt_none"], includeTools: false })
      assert.deepStrictEqual(failed.chunks.map((chunk) => chunk.error.error.type), ["space_not_found"])
      const plural = yield* unified(server, { query: "roadmap", viewType: "documents" })
      assert.strictEqual((yield* server.lastRequest()).status, 400)
      assert.deepStrictEqual(plural, { error: undefined, chunks: [] })
    }))

  it.scopedLive("has schemas for responses without a method in its client", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({ agents: { helper: { name: "Helper" } } })
      const agents = "/assistant/agent_configurations"
      const admin = "adminApiKey" as const
      yield* checked(server, Official.GetAgentConfigurationsResponseSchema, "GET", `${agents}/search?q=h`)
      yield* checked(server, Official.GetOrPatchAgentConfigurationResponseSchema, "GET", `${agents}/helper`)
      yield* checked(server, Official.GetOrPatchAgentConfigurationResponseSchema, "PATCH", `${agents}/helper`, {
        body: { instructions: "Help." },
        credential: admin
      })
      yield* checked(server, Official.ImportAgentConfigurationFromYAMLResponseSchema, "POST", `${agents}/import`, {
        body: {
          agent: {
            handle: "Imported",
            description: "From a file",
            scope: "visible",
            avatar_url: "https://example.com/a.png",
            max_steps_per_run: 8,
            visualization_enabled: false
          },
          instructions: "Do it.",
          generation_settings: { model_id: "gpt-5", provider_id: "openai", temperature: 0, reasoning_effort: "light" },
          tags: [],
          editors: ["ada@local-dust.test"],
          toolset: []
        },
        credential: admin
      })
      yield* checked(server, Official.DeleteAgentConfigurationResponseSchema, "DELETE", `${agents}/helper`, {
        credential: admin
      })
      yield* checked(
        server,
        Official.PostWebhookTriggerResponseSchema,
        "POST",
        "/triggers/hooks/whs_deploys/local-webhook-secret",
        { body: {} }
      )
      yield* checked(server, Official.FileUploadedRequestResponseSchema, "POST", "/search/tools/upload", {
        body: { serverViewId: "msv_wiki", externalId: "wiki-1" }
      })
    }))
})

describe("the SDK's own requests about the workspace", () => {
  const base = "/api/v1/w/:workspaceId"
  const bodies: Record<string, ZodSchema> = {
    [`POST ${base}/search`]: Official.SearchRequestBodySchema,
    [`POST ${base}/spaces/:spaceId/members`]: Official.PostSpaceMembersRequestBodySchema,
    [`POST ${base}/members/validate`]: Official.ValidateMemberRequestSchema,
    [`POST ${base}/assistant/mentions/parse`]: Official.ParseMentionsRequestBodySchema,
    [`PATCH ${base}/assistant/agent_configurations/:agentId`]: Official.PatchAgentConfigurationRequestSchema
  }
  const queries: Record<string, ZodSchema> = {
    [`GET ${base}/assistant/mentions/suggestions`]: Official.GetMentionSuggestionsRequestQuerySchema,
    [`GET ${base}/spaces/:spaceId/mcp_server_views`]: Official.GetMCPServerViewsQuerySchema
  }

  it.effect("are accepted by the official schemas", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const spaces = yield* Spaces.Spaces
      const search = yield* Search.Search
      const mentions = yield* Mentions.Mentions
      const workspace = yield* Workspace.Workspace
      const agents = yield* Agents.Agents
      const [member] = yield* workspace.listMembers()
      yield* spaces.addMembers({ spaceId: "vlt_product", userIds: [member!.sId] })
      yield* spaces.listMcpServerViews({ spaceId: "vlt_product" })
      yield* spaces.listMcpServerViews({ spaceId: "vlt_product", includeAuto: false })
      yield* search.pageNodes({ query: "roadmap", searchSourceUrls: true })
      yield* search.pageNodes({ nodeIds: ["doc-roadmap"], viewType: "document" })
      yield* mentions.suggestions({ query: "a", select: ["agents"] })
      yield* mentions.suggestions({ query: "a", select: ["agents", "users"] })
      yield* mentions.parse("@echo")
      yield* workspace.validateMember("ada@local-dust.test")
      yield* agents.update({ agentId: "echo", tags: [{ name: "support", kind: "standard" }] })
      const seen = new Set<string>()
      for (const request of yield* dust.requests()) {
        const route = `${request.method} ${request.route}`
        const body = bodies[route]
        const query = queries[route]
        if (body !== undefined) accepts(body, request.body, `the body of ${route}`)
        if (query !== undefined) accepts(query, request.query, `the query of ${route}`)
        if (body !== undefined || query !== undefined) seen.add(route)
      }
      assert.sameMembers([...seen], [...Object.keys(bodies), ...Object.keys(queries)])
    }).pipe(Effect.provide(DustTest.layer({ credential: "adminApiKey" }))))

  it.scopedLive("go through a real socket: a webhook without a credential, and its signature", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      yield* Effect.flatMap(Triggers.Triggers, (triggers) =>
        triggers.sendWebhook({
          webhookSourceId: "whs_signed",
          urlSecret: Redacted.make("local-webhook-secret"),
          payload: { text: "naïve ☕" },
          signature: { header: "x-local-signature", secret: Redacted.make("local-signing-secret") }
        })).pipe(Effect.provide(ours(server)))
      const request = yield* server.lastRequest()
      assert.strictEqual(request.status, 200)
      assert.strictEqual(request.credential, "none")
    }))

  for (const [name, http] of [["undici", NodeHttpClient.layerUndici], ["fetch", FetchHttpClient.layer]] as const) {
    it.scopedLive(`go through a real socket: files of a skill, with ${name}`, () =>
      Effect.gen(function*() {
        const server = yield* DustTest.serve()
        const result = yield* Effect.flatMap(Skills.Skills, (skills) =>
          skills.importSkills({
            files: [
              { name: "a \"b\"/SKILL.md", content: new Blob(["---\nname: naïve ☕\n---\nLook.\r\n--boundary"]) },
              { name: "a \"b\"/image.png", content: new Uint8Array([0, 13, 10, 255]) }
            ],
            names: ["naïve ☕"]
          })).pipe(
            Effect.provide(
              Dust.layer({ workspaceId: server.workspaceId, baseUrl: server.url, apiKey: server.apiKey }).pipe(
                Layer.provide(http)
              )
            )
          )
        assert.deepStrictEqual(result.imported.map((skill) => [skill.name, skill.instructions]), [
          ["naïve ☕", "Look.\r\n--boundary"]
        ])
      }))
  }
})
