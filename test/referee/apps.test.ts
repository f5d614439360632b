import * as Official from "@dust-tt/client"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { values } from "effect-dust/App"
import * as Apps from "effect-dust/Apps"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as McpServers from "effect-dust/McpServers"
import type { Json } from "../support/local.ts"
import { accepts, checked, err, official, ok } from "../support/referee.ts"

const inSpace = { spaceId: "vlt_global", appId: "shout" } as const
const path = "/spaces/vlt_global/apps"

const serve = DustTest.serve({
  seed: { apps: [{ sId: "shout", specificationHash: "v7", run: (input) => String(input).toUpperCase() }] }
})

const ours = (server: DustTest.Service) =>
  Dust.layer({ workspaceId: server.workspaceId, baseUrl: server.url, accessToken: server.userToken }).pipe(
    Layer.provide(NodeHttpClient.layerUndici)
  )

const app = (server: DustTest.Service, appHash = "v7") => ({
  workspaceId: server.workspaceId,
  appId: "shout",
  appSpaceId: "vlt_global",
  appHash
})

describe("the official client and apps", () => {
  it.scopedLive("runs an app with the same result as the SDK", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const theirs = yield* ok<Json>(() => client.runApp(app(server), {}, ["a", "b"]))
      const run = yield* Effect.flatMap(Apps.Apps, (apps) =>
        apps.run({ ...inSpace, specificationHash: "v7", config: {}, inputs: ["a", "b"] })).pipe(
          Effect.provide(ours(server))
        )
      assert.deepStrictEqual(
        theirs.results.map(([one]: Json) =>
          one.value
        ),
        ["A", "B"]
      )
      assert.deepStrictEqual(values(run), ["A", "B"])
      const wrong = yield* err(() => client.runApp(app(server, "v0"), {}, ["a"]))
      assert.strictEqual(wrong.type, "run_error")
      assert.isString(wrong.run_error.message)
    }))

  it.scopedLive("streams all events of a run", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const types = yield* Effect.promise(async () => {
        const streamed = await official(server).runAppStreamed(app(server), {}, ["hello there"])
        if (streamed.isErr()) throw new Error(JSON.stringify(streamed.error))
        const types: Array<string> = []
        for await (const event of streamed.value.eventStream) types.push(event.type)
        return types
      })
      assert.includeMembers(types, ["run_status", "tokens", "block_execution", "block_status", "final"])
    }))

  it.scopedLive("checks apps", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const body = { apps: [{ appId: "shout", appHash: "v7" }] }
      yield* ok(() => official(server).checkApps(body, "vlt_global"))
      yield* checked(server, Official.AppsCheckResponseSchema, "POST", `${path}/check`, { body })
      yield* Effect.provide(
        Effect.flatMap(Apps.Apps, (apps) => apps.check({ spaceId: "vlt_global", ...body })),
        ours(server)
      )
      const { body: sent } = yield* server.lastRequest({ path: "/spaces/:spaceId/apps/check" })
      accepts(Official.AppsCheckRequestSchema, sent, "the body of Apps.check")
    }))

  it.scopedLive("accepts the app lists and runs of Local Dust by its schemas", () =>
    Effect.gen(function*() {
      const server = yield* serve
      yield* checked(server, Official.GetAppsResponseSchema, "GET", path)
      const started = yield* checked(server, Official.RunAppResponseSchema, "POST", `${path}/shout/runs`, {
        body: { specification_hash: "v7", config: {}, inputs: ["a"] }
      })
      assert.strictEqual(started.run.status.run, "running")
      const ended = yield* checked(
        server,
        Official.RunAppResponseSchema,
        "GET",
        `${path}/shout/runs/${started.run.run_id}`
      )
      assert.strictEqual(ended.run.status.run, "succeeded")
    }))
})

describe("the official client and client-side tools", () => {
  it.scopedLive("accepts the registration, requests and responses of our server", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const clock = McpServers.tool({
        name: "clock",
        description: "The time",
        input: Schema.Struct({}),
        handler: () => Effect.succeed("noon")
      })
      yield* Effect.gen(function*() {
        const servers = yield* McpServers.McpServers
        const { serverId } = yield* Effect.flatMap(
          servers.serve({ name: "My desk", tools: [clock] }),
          ({ serverId }) => Effect.all({ serverId })
        )
        yield* ok(() => official(server, "userToken").heartbeatMCPServer({ serverId }))
        yield* server.sendMcp(serverId, {
          jsonrpc: "2.0",
          id: 1,
          method: "tools/call",
          params: { name: "clock", arguments: {} }
        })
        const posted = yield* server.waitForRequest({ path: "/mcp/results", status: 200 })
        accepts(Official.PublicPostMCPResultsRequestBodySchema, posted.body, "the body of a result")
        assert.deepStrictEqual((yield* server.mcpServers)[0]?.results, [
          { jsonrpc: "2.0", id: 1, result: { content: [{ type: "text", text: "noon" }], isError: false } }
        ])
      }).pipe(Effect.scoped, Effect.provide(ours(server)))
      const register = yield* server.lastRequest({ path: "/mcp/register" })
      accepts(Official.PublicRegisterMCPRequestBodySchema, register.body, "the body of a registration")
    }))
})
