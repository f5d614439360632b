/** Former differences between Local Dust and Dust's server. Each test names the server's file. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { createHmac } from "node:crypto"
import { ask, call, type CallOptions, get, message, post, token } from "../support/local.ts"

const local = (options?: DustTest.Options) => Effect.provide(DustTest.layerHttpClient(options))

const admin: CallOptions = { token: token.adminKey }

const imported = {
  agent: { handle: "Imported", description: "From a file", scope: "visible" },
  instructions: "Do it.",
  generation_settings: { model_id: "gpt-5", provider_id: "openai", temperature: 0.2 },
  tags: [],
  editors: ["ada@local-dust.test"],
  toolset: []
}

describe("Local Dust as the server: documents (data_sources/documents/[documentId]/index.ts)", () => {
  const upsert = (id: string, body: object) =>
    post(`/data_sources/dts_handbook/documents/${id}`, { text: "x", ...body })

  for (
    const source_url of [
      "file:///srv/a.md",
      "notion://page/1",
      "s3://bucket/key",
      "https://web.archive.org/web/2020/https://example.com/a",
      "nowhere"
    ]
  ) {
    it.effect(`source_url: ${source_url} is refused, for documents and for tables`, () =>
      Effect.gen(function*() {
        const document = yield* upsert("a", { source_url })
        assert.deepStrictEqual([document.status, document.type], [400, "invalid_request_error"])
        assert.include(document.text, "source_url")
        const table = yield* post("/data_sources/dts_handbook/tables", {
          name: "t",
          description: "",
          title: "T",
          source_url
        })
        assert.deepStrictEqual([table.status, table.type], [400, "invalid_request_error"])
      }).pipe(local()))
  }

  it.effect("source_url: http and https are kept in standard form, an empty one is none", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* upsert("a", { source_url: "HTTP://Example.com" })).json.document.source_url,
        "http://example.com/"
      )
      assert.isNull((yield* upsert("a", { source_url: "" })).json.document.source_url)
    }).pipe(local()))

  it.effect("tags: given ones get a title tag from the title or the id; without tags only the queue adds one", () =>
    Effect.gen(function*() {
      const stored = (body: object) =>
        Effect.map(upsert("id", body), ({ json }) => [json.document.title, json.document.tags])
      assert.deepStrictEqual(yield* stored({ tags: ["a"] }), ["id", ["a", "title:id"]])
      assert.deepStrictEqual(yield* stored({ tags: ["a"], title: " T " }), ["T", ["a", "title:T"]])
      assert.deepStrictEqual(yield* stored({ tags: ["title:Own"], title: "T" }), ["T", ["title:Own"]])
      assert.deepStrictEqual(yield* stored({ tags: ["title: Own"] }), ["Own", ["title: Own"]])
      assert.deepStrictEqual(yield* stored({ tags: ["title:"] }), ["id", ["title:", "title:id"]])
      assert.deepStrictEqual(yield* stored({ tags: [] }), ["id", ["title:id"]])
      assert.deepStrictEqual(yield* stored({ title: "T" }), ["T", []])
      yield* upsert("queued", { title: "T", async: true })
      const queued = yield* get("/data_sources/dts_handbook/documents/queued")
      assert.deepStrictEqual(queued.json.document.tags, ["title:T"])
    }).pipe(local({ quirks: { asyncUpserts: false } })))
})

describe("Local Dust as the server: spaces (lib/resources/space_resource.ts)", () => {
  const names = (options: CallOptions, kinds = "system,global,regular,project") =>
    Effect.map(
      get(`/spaces?kinds=${kinds}`, options),
      ({ json }) => json.spaces.map((space: { name: string }) => space.name)
    )

  it.effect("never lists the system space", () =>
    Effect.gen(function*() {
      for (const one of [token.key, token.adminKey, token.user, token.admin]) {
        assert.notInclude(yield* names({ token: one }), "System")
      }
    }).pipe(local()))

  it.effect("lists restricted spaces and projects to members and to keys with access, not to administrators", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* names({ token: token.admin }), ["Company Data", "Open", "Closed"])
      assert.deepStrictEqual(yield* names({ token: token.user }), ["Company Data", "Open", "Mine"])
      assert.deepStrictEqual(yield* names({ token: token.adminKey }), ["Company Data", "Open"])
      assert.deepStrictEqual(yield* names({ token: token.key }), ["Company Data", "Open", "Granted"])
      assert.strictEqual((yield* get("/spaces/vlt_closed/data_sources", admin)).status, 404)
      // Administrators can still manage their members.
      assert.strictEqual((yield* get("/spaces/vlt_closed/members", admin)).status, 200)
    }).pipe(local({
      seed: {
        spaces: [
          { name: "Open" },
          { sId: "vlt_closed", name: "Closed", isRestricted: true, members: ["grace@local-dust.test"] },
          { name: "Mine", kind: "project", members: ["ada@local-dust.test"] },
          { name: "Granted", kind: "project", keys: ["Local Dust"] }
        ]
      }
    })))
})

describe("Local Dust as the server: skills (skills/index.ts)", () => {
  it.effect("hides skills with visibility editors from their editors, too", () =>
    Effect.gen(function*() {
      const names = (suffix: string, options: CallOptions) =>
        Effect.map(get(`/skills${suffix}`, options), ({ json }) =>
          json.skills.map((skill: { name: string }) => skill.name))
      assert.deepStrictEqual(yield* names("", { token: token.admin }), ["open"])
      assert.deepStrictEqual(yield* names("?bypassEditorVisibility=true", { token: token.admin }), ["open", "own"])
    }).pipe(local({
      seed: { skills: [{ name: "open" }, { name: "own", availability: "editors", editors: ["grace@local-dust.test"] }] }
    })))
})

describe("Local Dust as the server: agents (lib/api/assistant/configuration/yaml_import.ts)", () => {
  const one = "/assistant/agent_configurations/echo"
  const update = (body: object, options = admin) => call("PATCH", one, { body, ...options })
  const importAgent = (body: object, options: CallOptions = {}) =>
    post("/assistant/agent_configurations/import", { ...imported, ...body }, options)

  it.effect("import: needs no role; update and archive do", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* importAgent({})).status, 200)
      assert.strictEqual((yield* update({ instructions: "x" }, {})).status, 403)
      assert.strictEqual((yield* call("DELETE", one)).status, 403)
    }).pipe(local()))

  it.effect("editors: unknown addresses are ignored, and at least one editor is required", () =>
    Effect.gen(function*() {
      const none = yield* importAgent({ editors: ["who@example.com"] })
      assert.deepStrictEqual([none.status, none.json.error.message], [400, "At least one editor is required."])
      assert.strictEqual((yield* update({ editors: [] })).status, 400)
      assert.strictEqual((yield* update({ editors: ["ADA@local-dust.test", "who@example.com"] })).status, 200)
      // The calling user becomes an editor.
      assert.strictEqual((yield* importAgent({ editors: [] }, { token: token.user })).status, 200)
    }).pipe(local()))

  it.effect("tags: an unknown one is refused", () =>
    Effect.gen(function*() {
      const tag = (name: string) => update({ tags: [{ name, kind: "standard" }] })
      const refused = yield* tag("nothing")
      assert.deepStrictEqual([refused.status, refused.json.error.message], [400, "Tags not found: \"nothing\"."])
      assert.deepStrictEqual(
        (yield* tag("urgent")).json.agentConfiguration.tags.map((tag: { name: string }) => tag.name),
        ["urgent"]
      )
    }).pipe(local({ seed: { agentTags: [{ name: "urgent" }] } })))

  it.effect("models: an unknown one is refused", () =>
    Effect.gen(function*() {
      const refused = yield* update({ generation_settings: { model_id: "gpt-99" } })
      assert.deepStrictEqual([refused.status, refused.type], [400, "assistant_saving_error"])
      const mixed = yield* importAgent({
        generation_settings: { model_id: "gpt-5", provider_id: "anthropic", temperature: 0 }
      })
      assert.strictEqual(mixed.type, "assistant_saving_error")
    }).pipe(local()))

  it.effect("step limit and visualizations are accepted and ignored, a response format is stored", () =>
    Effect.gen(function*() {
      const format = "{\"type\":\"object\"}"
      const { json } = yield* update({
        agent: { max_steps_per_run: 3, visualization_enabled: true },
        generation_settings: { response_format: format }
      })
      const agent = json.agentConfiguration
      assert.deepStrictEqual([agent.maxStepsPerRun, agent.visualizationEnabled], [64, false])
      assert.strictEqual(agent.model.responseFormat, format)
      const relative = yield* update({ agent: { avatar_url: "/a.png" } })
      assert.strictEqual(relative.status, 400)
    }).pipe(local()))

  it.effect("tools and skills replace the requested spaces: without spaces the agent has none", () =>
    Effect.gen(function*() {
      const spaces = (body: object) => Effect.map(update(body), ({ json }) => json.agentConfiguration.requestedSpaceIds)
      assert.deepStrictEqual(yield* spaces({ instructions: "x" }), ["vlt_board"])
      assert.deepStrictEqual(yield* spaces({ toolset: [], spaces: [{ space_id: "vlt_product" }] }), ["vlt_product"])
      assert.deepStrictEqual(yield* spaces({ skills: [] }), [])
    }).pipe(local({ agents: { echo: { requestedSpaceIds: ["vlt_board"] } } })))

  it.effect("view=all_unrestricted: every active agent, for administrators (agent_configurations.ts)", () =>
    Effect.gen(function*() {
      const list = (options: CallOptions) => get("/assistant/agent_configurations?view=all_unrestricted", options)
      const denied = yield* list({})
      assert.deepStrictEqual([denied.status, denied.type], [403, "app_auth_error"])
      const { json, status } = yield* list(admin)
      assert.strictEqual(status, 200)
      assert.sameMembers(json.agentConfigurations.map((agent: { sId: string }) => agent.sId), [
        "echo",
        "dust",
        "hidden"
      ])
    }).pipe(local({ agents: { hidden: { scope: "hidden" }, old: { status: "archived" } } })))
})

describe("Local Dust as the server: messages (lib/api/assistant/conversation.ts)", () => {
  const refusals = [
    ["exhausted", 403, "credits_exhausted"],
    ["no_seat", 403, "no_seat"],
    ["user_cap", 403, "user_cap_reached"],
    ["group_cap", 403, "group_shared_usage_limit_reached"],
    ["key_cap", 429, "rate_limit_error"]
  ] as const
  for (const [credits, status, type] of refusals) {
    it.effect(`quirk credits ${credits}: a message is refused with ${status} ${type}, before a conversation is made`, () =>
      Effect.gen(function*() {
        const created = yield* post("/assistant/conversations", { message: message("x") })
        assert.deepStrictEqual([created.status, created.type], [status, type])
        const dust = yield* DustTest.DustTest
        assert.strictEqual((yield* dust.conversations).length, 0)
        const { json } = yield* post("/assistant/conversations", {})
        const posted = yield* post(`/assistant/conversations/${json.conversation.sId}/messages`, message("x"))
        assert.deepStrictEqual([posted.status, posted.type], [status, type])
      }).pipe(local({ quirks: { credits } })))
  }

  it.effect("a restricted mention is stored with its status, and no agent answers", () =>
    Effect.gen(function*() {
      const { json } = yield* post("/assistant/conversations", {})
      const posted = yield* post(`/assistant/conversations/${json.conversation.sId}/messages`, message("x", "secret"))
      assert.strictEqual(posted.status, 200)
      assert.deepStrictEqual(posted.json.agentMessages, [])
      assert.deepStrictEqual(
        posted.json.message.richMentions.map((mention: Record<string, unknown>) => [mention["id"], mention["status"]]),
        [["secret", "agent_restricted_by_space_usage"]]
      )
    }).pipe(local({ agents: { secret: { mentionStatus: "agent_restricted_by_space_usage" } } })))
})

describe("Local Dust as the server: files and webhooks", () => {
  it.effect("a file of a conversation that does not exist is hidden (files/[fileId].ts)", () =>
    Effect.gen(function*() {
      const { json } = yield* post("/files", {
        contentType: "text/plain",
        fileName: "a.txt",
        fileSize: 1,
        useCase: "conversation",
        useCaseMetadata: { conversationId: "none" }
      })
      for (const method of ["GET", "POST", "DELETE"] as const) {
        const { status, type } = yield* call(method, `/files/${json.file.sId}`)
        assert.deepStrictEqual([status, type], [404, "file_not_found"])
      }
    }).pipe(local()))

  it.effect("a signature is accepted as sha256= and digits, or as base64 (lib/webhook_source_server.ts)", () =>
    Effect.gen(function*() {
      const digest = (encoding: "hex" | "base64") =>
        createHmac("sha256", "local-signing-secret").update("{\"a\":1}").digest(encoding)
      const statuses = yield* Effect.forEach(
        [`sha256=${digest("hex")}`, digest("base64"), digest("hex")],
        (signature) =>
          Effect.map(
            post("/triggers/hooks/whs_signed/local-webhook-secret", { a: 1 }, {
              token: null,
              headers: { "x-local-signature": signature }
            }),
            ({ status }) => status
          )
      )
      assert.deepStrictEqual(statuses, [200, 200, 400])
    }).pipe(local()))
})

describe("Local Dust as the server: conversations", () => {
  it.effect("deleting: an older version is outdated, a second deletion succeeds (lib/api/assistant/conversation.ts)", () =>
    Effect.gen(function*() {
      const user = { token: token.user }
      const { conversationId, messageId, userMessageId } = yield* ask("Hello", "echo", user)
      const retried = yield* post(`/assistant/conversations/${conversationId}/messages/${messageId}/retry`, {}, user)
      const remove = (id: string, options: CallOptions = user) =>
        Effect.map(
          call(
            "DELETE",
            `/api/w/${DustTest.credentials.workspaceId}/assistant/conversations/${conversationId}/messages/${id}`,
            { ...options, absolute: true }
          ),
          ({ status, type }) => [status, type]
        )
      assert.deepStrictEqual(yield* remove(messageId), [500, "message_outdated"])
      // Administrators may delete what people wrote, but no answer to others.
      assert.deepStrictEqual(yield* remove(retried.json.message.sId, { token: token.admin }), [
        500,
        "message_deletion_not_authorized"
      ])
      assert.deepStrictEqual(yield* remove(retried.json.message.sId), [200, undefined])
      assert.deepStrictEqual(yield* remove(messageId), [200, undefined])
      assert.deepStrictEqual(yield* remove(userMessageId, { token: token.admin }), [200, undefined])
    }).pipe(local()))

  it.effect("feedback: content defaults to empty; deleting a missing one fails (messages/[mId]/feedbacks.ts)", () =>
    Effect.gen(function*() {
      const { conversationId, messageId } = yield* ask("Hello", "echo", { token: token.user })
      const path = `/assistant/conversations/${conversationId}`
      const thumbs = `${path}/messages/${messageId}/feedbacks`
      const given = yield* post(thumbs, { thumbDirection: "up" }, { token: token.user })
      assert.strictEqual(given.status, 200)
      const { json } = yield* get(`${path}/feedbacks`, { token: token.user })
      assert.deepStrictEqual(json.feedbacks.map((one: { content: string }) => one.content), [""])
      assert.strictEqual((yield* call("DELETE", thumbs, { token: token.user })).status, 200)
      assert.strictEqual((yield* call("DELETE", thumbs, { token: token.user })).status, 400)
    }).pipe(local()))

  it.effect("feedback: a key has no user, unless it names a member (messages/[mId]/feedbacks.ts)", () =>
    Effect.gen(function*() {
      const { conversationId, messageId } = yield* ask("Hello")
      const thumbs = `/assistant/conversations/${conversationId}/messages/${messageId}/feedbacks`
      const refused = yield* post(thumbs, { thumbDirection: "up" })
      assert.deepStrictEqual([refused.status, refused.type], [401, "not_authenticated"])
      const named = { headers: { "x-api-user-email": "ada@local-dust.test" } }
      assert.strictEqual((yield* post(thumbs, { thumbDirection: "up" }, named)).status, 200)
    }).pipe(local()))

  it.effect("tools: a missing conversation is reported before a refused key (conversations/[cId]/tools.ts)", () =>
    Effect.gen(function*() {
      const { conversationId } = yield* ask("Hello")
      const tools = (id: string) =>
        post(`/assistant/conversations/${id}/tools`, { action: "add", mcp_server_view_id: "msv_1" })
      assert.strictEqual((yield* tools("none")).type, "conversation_not_found")
      const refused = yield* tools(conversationId)
      assert.deepStrictEqual([refused.status, refused.type], [401, "not_authenticated"])
    }).pipe(local()))

  it.effect("edit and retry: each refuses the other's kind of message (messages/[mId]/edit.ts, retry.ts)", () =>
    Effect.gen(function*() {
      const { conversationId, messageId, userMessageId } = yield* ask("Hello")
      const at = (id: string) => `/assistant/conversations/${conversationId}/messages/${id}`
      const edit = (id: string) => post(`${at(id)}/edit`, { content: "x", mentions: [] })
      for (const answer of [yield* edit(messageId), yield* post(`${at(userMessageId)}/retry`)]) {
        assert.deepStrictEqual([answer.status, answer.type], [400, "invalid_request_error"])
      }
      for (const answer of [yield* edit("none"), yield* post(`${at("none")}/retry`)]) {
        assert.deepStrictEqual([answer.status, answer.type], [404, "message_not_found"])
      }
    }).pipe(local()))

  it.live("a message read on its own includes the cost of its sub-agents (swagger: AgentMessage)", () =>
    Effect.gen(function*() {
      const costs = Effect.fnUntraced(function*(agent: string) {
        const asked = yield* ask("Hello", agent, { token: token.user, more: { blocking: true } })
        const [, [listed]] = asked.json.conversation.content
        assert.isNull(listed.subAgentCostCredits)
        const path =
          `/api/w/${DustTest.credentials.workspaceId}/assistant/conversations/${asked.conversationId}/messages`
        const alone = yield* get(`${path}/${asked.messageId}`, { token: token.user, absolute: true })
        return alone.json.message.subAgentCostCredits
      })
      assert.strictEqual(yield* costs("echo"), 0)
      assert.isAbove(yield* costs("chief"), 0)
    }).pipe(local({ agents: { chief: [DustTest.subAgent({ agent: "echo", query: "Help" }), DustTest.text("Done")] } })))

  it.effect("models: the ids of the server's own list, with their provider (types/assistant/models/models.ts)", () =>
    Effect.gen(function*() {
      const save = (provider_id: string, model_id: string) =>
        Effect.map(
          post("/assistant/agent_configurations/import", {
            ...imported,
            generation_settings: { model_id, provider_id, temperature: 0.2 }
          }, admin),
          ({ status }) => status
        )
      assert.strictEqual(yield* save("anthropic", "claude-sonnet-4-6"), 200)
      assert.strictEqual(yield* save("auto", "auto"), 200)
      assert.strictEqual(yield* save("deepseek", "deepseek-reasoner"), 400)
    }).pipe(local()))
})
