import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import type { AgentImport, AgentUpdate } from "effect-dust/Agent"
import * as Agents from "effect-dust/Agents"
import * as DustTest from "effect-dust/DustTest"

const agents: NonNullable<DustTest.Options["agents"]> = {
  agt_triage: { name: "Support triage", description: "Sorts tickets", instructions: "Sort." },
  agt_writer: { name: "writer" },
  agt_writer2: { name: "Writer" },
  agt_twin1: { name: "Twin" },
  agt_twin2: { name: "Twin" },
  agt_secret: { name: "Secret", scope: "hidden" }
}

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({ agents, ...options }))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

const importOptions: AgentImport = {
  agent: {
    handle: "Imported",
    description: "From a file",
    scope: "visible",
    avatarUrl: "https://example.com/a.png"
  },
  instructions: "Do it.",
  generationSettings: { modelId: "gpt-5", providerId: "openai", temperature: 0.2, reasoningEffort: "low" },
  toolset: [
    { name: "notes", description: "Notes", type: "MCP", configuration: { mcp_server_name: "notes" } },
    { name: "gone", description: "Gone", type: "MCP", configuration: { mcp_server_name: "unknown_server" } }
  ],
  editors: ["ada@local-dust.test"]
}

describe("Agents", () => {
  it.effect("list: returns the agents that the caller sees, and sends the filter", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const names = (yield* service.list()).map((agent) => agent.name)
      assert.include(names, "Support triage")
      assert.notInclude(names, "Secret")
      assert.deepStrictEqual((yield* last).query, {})
      const global = yield* service.list({ view: "global", withAuthors: true })
      assert.deepStrictEqual(global.map((agent) => [agent.sId, agent.lastAuthors]), [["dust", ["Dust"]]])
      assert.deepStrictEqual((yield* last).query, { view: "global", withAuthors: "true" })
      assert.strictEqual((yield* Effect.flip(service.list({ view: "nonsense" })))._tag, "DustBadRequestError")
    }).pipe(local()))

  it.effect("refuses the views of a user before any request with an API key, and gives them to a user", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      for (const view of ["list", "favorites"] as const) {
        const error = yield* Effect.flip(service.list({ view }))
        assert.strictEqual(error._tag, "DustUserRequiredError")
        assert.strictEqual(error.attempts, 0)
      }
      assert.strictEqual(yield* requests, 0)
      yield* Effect.gen(function*() {
        const service = yield* Agents.Agents
        assert.deepStrictEqual(yield* service.list({ view: "favorites" }), [])
        assert.isAbove((yield* service.list({ view: "list" })).length, 1)
      }).pipe(local({ credential: "userToken" }))
    }).pipe(local()))

  it.effect("leaves an agent out that it cannot read, and keeps the others", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const found = yield* service.list()
      assert.deepStrictEqual(found.map((agent) => [agent.sId, agent.name, agent.status]), [["a", "A", "brand_new"]])
    }).pipe(local({
      faults: [{
        fault: DustTest.faults.transformJson(() => ({
          agentConfigurations: [{ sId: "a", name: "A", status: "brand_new", more: 1 }, { name: "without id" }]
        }))
      }]
    })))

  it.effect("searches by name", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      assert.deepStrictEqual((yield* service.search("triage & co")).length, 0)
      assert.deepStrictEqual((yield* last).query, { q: "triage & co" })
      assert.deepStrictEqual((yield* service.search("triage")).map((agent) => agent.sId), ["agt_triage"])
    }).pipe(local()))

  it.effect("reads one agent in both variants, and maps missing and forbidden agents", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const light = yield* service.get("agt_triage")
      assert.strictEqual(light.instructions, "Sort.")
      assert.notProperty(light, "instructionsHtml")
      assert.deepStrictEqual((yield* last).query, { variant: "light" })
      const full = yield* service.getFull("agt_triage")
      assert.strictEqual(full.instructionsHtml, "<p>Sort.</p>")
      assert.deepStrictEqual((yield* last).query, { variant: "full" })
      const missing = yield* Effect.flip(service.get("agt_nobody"))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.strictEqual(missing.type, "agent_configuration_not_found")
      assert.strictEqual((yield* Effect.flip(service.getFull("agt_secret")))._tag, "DustForbiddenError")
      const before = yield* requests
      assert.strictEqual((yield* Effect.flip(service.get("..")))._tag, "DustBadRequestError")
      assert.strictEqual(yield* requests, before)
    }).pipe(local()))

  it.effect("finds one by its name: exactly first, then without regard to case", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      assert.strictEqual((yield* service.findByName("writer")).sId, "agt_writer")
      assert.strictEqual((yield* service.findByName("Writer")).sId, "agt_writer2")
      assert.strictEqual((yield* service.findByName("@SUPPORT Triage ")).sId, "agt_triage")
      assert.strictEqual((yield* service.findByName("dust")).sId, "dust")
    }).pipe(local()))

  it.effect("findByName: reports similar names for an unknown one, and the candidates for an ambiguous one", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const missing = yield* Effect.flip(service.findByName("Suport triage"))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.include(missing.message, "Support triage")
      assert.deepStrictEqual(missing.details, {
        name: "Suport triage",
        near: [{ sId: "agt_triage", name: "Support triage" }]
      })
      const several = yield* Effect.flip(service.findByName("twin"))
      assert.strictEqual(several._tag, "DustBadRequestError")
      assert.strictEqual(several.type, "ambiguous_name")
      assert.deepStrictEqual(several.details, {
        field: "name",
        candidates: [{ sId: "agt_twin1", name: "Twin" }, { sId: "agt_twin2", name: "Twin" }]
      })
      assert.strictEqual((yield* Effect.flip(service.findByName("WRITER"))).type, "ambiguous_name")
      const far = yield* Effect.flip(service.findByName("zzzzzzzz"))
      assert.deepPropertyVal(far.details, "near", [])
      const before = yield* requests
      assert.strictEqual((yield* Effect.flip(service.findByName(" @ "))).attempts, 0)
      assert.strictEqual(yield* requests, before)
    }).pipe(local()))

  it.effect("update: changes an agent and returns the skipped tools", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const { agent, skippedActions } = yield* service.update({
        agentId: "agt_triage",
        agent: { handle: "Triage", avatarUrl: "https://example.com/b.png" },
        generationSettings: {
          modelId: "claude-sonnet-4-5-20250929",
          providerId: "anthropic",
          reasoningEffort: "high",
          responseFormat: "{\"type\":\"object\"}"
        },
        tags: [{ name: "support", kind: "standard" }],
        editors: ["ada@local-dust.test"],
        toolset: importOptions.toolset,
        spaces: ["vlt_board"]
      })
      assert.strictEqual(agent.name, "Triage")
      assert.deepStrictEqual(agent.requestedSpaceIds, ["vlt_board"])
      assert.strictEqual(agent.model?.modelId, "claude-sonnet-4-5-20250929")
      assert.strictEqual(agent.actions.length, 1)
      assert.deepStrictEqual(skippedActions, [{ name: "gone", reason: "MCP server unknown_server not found" }])
      const request = yield* last
      assert.strictEqual(request.method, "PATCH")
      assert.deepStrictEqual(request.body, {
        agent: { handle: "Triage", avatar_url: "https://example.com/b.png" },
        generation_settings: {
          model_id: "claude-sonnet-4-5-20250929",
          provider_id: "anthropic",
          reasoning_effort: "high",
          response_format: "{\"type\":\"object\"}"
        },
        tags: [{ name: "support", kind: "standard" }],
        editors: ["ada@local-dust.test"],
        toolset: importOptions.toolset,
        spaces: [{ space_id: "vlt_board" }]
      })
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("update: refuses toolset or skills without spaces, which would remove the agent's restrictions", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      for (const change of [{ toolset: [] }, { skills: [] }]) {
        // @ts-expect-error spaces is missing
        const options: AgentUpdate = { agentId: "agt_board", ...change }
        const error = yield* Effect.flip(service.update(options))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.deepPropertyVal(error.details, "field", "spaces")
        assert.include(error.message, "[] for none")
      }
      assert.strictEqual(yield* requests, 0)
      const kept = yield* service.update({ agentId: "agt_board", toolset: [], spaces: ["vlt_board"] })
      assert.deepStrictEqual(kept.agent.requestedSpaceIds, ["vlt_board"])
      const untouched = yield* service.update({ agentId: "agt_board", instructions: "Be brief." })
      assert.deepStrictEqual(untouched.agent.requestedSpaceIds, ["vlt_board"])
      const opened = yield* service.update({ agentId: "agt_board", spaces: [] })
      assert.deepStrictEqual(opened.agent.requestedSpaceIds, [])
    }).pipe(local({
      credential: "adminApiKey",
      agents: { agt_board: { name: "Board", requestedSpaceIds: ["vlt_board"] } }
    })))

  it.effect("update and importAgent: refuse an empty list of editors with an API key, before any request", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const { editors: _, ...withoutEditors } = importOptions
      const errors = [
        yield* Effect.flip(service.update({ agentId: "agt_triage", editors: [] })),
        yield* Effect.flip(service.importAgent(withoutEditors))
      ]
      assert.deepStrictEqual(errors.map(({ _tag }) => _tag), ["DustBadRequestError", "DustBadRequestError"])
      for (const error of errors) assert.deepPropertyVal(error.details, "field", "editors")
      assert.strictEqual(yield* requests, 0)
      yield* Effect.flatMap(Agents.Agents, (service) => service.importAgent(withoutEditors)).pipe(
        local({ credential: "adminToken" })
      )
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("importAgent: refuses a picture address that is not a URL, and a tool without a description", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const picture = yield* Effect.flip(
        service.importAgent({ ...importOptions, agent: { ...importOptions.agent, avatarUrl: "a.png" } })
      )
      assert.deepPropertyVal(picture.details, "field", "agent.avatarUrl")
      const tool = { name: "notes", description: "", type: "MCP", configuration: { mcp_server_name: "notes" } }
      const described = yield* Effect.flip(service.importAgent({ ...importOptions, toolset: [tool] }))
      assert.deepPropertyVal(described.details, "field", "toolset.0.description")
      assert.strictEqual(yield* requests, 0)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("list: has every active agent in the view all_unrestricted, for administrators", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const all = yield* service.list({ view: "all_unrestricted" })
      assert.include(all.map(({ name }) => name), "Secret")
      assert.deepStrictEqual((yield* last).query, { view: "all_unrestricted" })
      const denied = yield* Effect.flip(
        Effect.flatMap(Agents.Agents, (service) => service.list({ view: "all_unrestricted" })).pipe(local())
      )
      assert.strictEqual(denied._tag, "DustForbiddenError")
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("makes a favorite only with a user, and changes only with the role", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const error = yield* Effect.flip(service.update({ agentId: "dust", userFavorite: true }))
      assert.strictEqual(error._tag, "DustUserRequiredError")
      assert.strictEqual(yield* requests, 0)
      const denied = yield* Effect.flip(service.update({ agentId: "agt_triage", instructions: "x" }))
      assert.strictEqual(denied._tag, "DustForbiddenError")
      const bad = yield* Effect.flip(
        service.update({ agentId: "agt_triage", generationSettings: { temperature: 2 } })
      )
      assert.strictEqual(bad.attempts, 0)
      assert.deepPropertyVal(bad.details, "field", "generationSettings.temperature")
      yield* Effect.gen(function*() {
        const service = yield* Agents.Agents
        const { agent } = yield* service.update({ agentId: "dust", userFavorite: true })
        assert.isTrue(agent.userFavorite)
        assert.deepStrictEqual((yield* service.list({ view: "favorites" })).map((one) => one.sId), ["dust"])
      }).pipe(local({ credential: "adminToken" }))
    }).pipe(local()))

  it.effect("archives one; a second time is an error", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      yield* service.archive("agt_writer")
      assert.notInclude((yield* service.list()).map((agent) => agent.sId), "agt_writer")
      assert.strictEqual((yield* Effect.flip(service.archive("agt_writer")))._tag, "DustBadRequestError")
      assert.strictEqual((yield* Effect.flip(service.archive("agt_nobody")))._tag, "DustNotFoundError")
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("counts an archive as done when its repetition finds it archived", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const fiber = yield* Effect.fork(service.archive("agt_writer"))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* requests, 2)
    }).pipe(local({
      credential: "adminApiKey",
      faults: [{ method: "DELETE", nth: 1, fault: DustTest.faults.resetAfter() }]
    })))

  it.effect("imports one, once", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const { agent, skippedActions } = yield* service.importAgent(importOptions)
      assert.strictEqual(agent.name, "Imported")
      assert.deepStrictEqual(skippedActions.map(({ name }) => name), ["gone"])
      assert.deepStrictEqual((yield* last).body, {
        agent: {
          handle: "Imported",
          description: "From a file",
          scope: "visible",
          avatar_url: "https://example.com/a.png",
          max_steps_per_run: 8,
          visualization_enabled: false
        },
        instructions: "Do it.",
        generation_settings: { model_id: "gpt-5", provider_id: "openai", temperature: 0.2, reasoning_effort: "low" },
        tags: [],
        editors: ["ada@local-dust.test"],
        toolset: importOptions.toolset
      })
      const before = yield* requests
      const bad = yield* Effect.flip(service.importAgent({ ...importOptions, instructions: " " }))
      assert.deepPropertyVal(bad.details, "field", "instructions")
      assert.strictEqual(yield* requests, before)
      const dust = yield* DustTest.DustTest
      yield* dust.fault({ method: "POST", fault: DustTest.faults.resetAfter() })
      assert.strictEqual((yield* Effect.flip(service.importAgent(importOptions)))._tag, "DustNetworkError")
      assert.strictEqual(yield* requests, before + 1)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("exports YAML as text", () =>
    Effect.gen(function*() {
      const service = yield* Agents.Agents
      const yaml = yield* service.exportYaml("agt_triage")
      assert.include(yaml, "handle: \"Support triage\"")
      assert.strictEqual((yield* Effect.flip(service.exportYaml("agt_nobody")))._tag, "DustNotFoundError")
    }).pipe(local()))
})
