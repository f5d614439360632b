import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import * as DustTest from "effect-dust/DustTest"
import {
  ask,
  call,
  connect,
  type Frame,
  get,
  type Json,
  message,
  messageEvents,
  post,
  token,
  types
} from "../support/local.ts"

const local = (options?: DustTest.Options) => Effect.provide(DustTest.layerHttpClient(options))
const settle = TestClock.adjust(0)
const finished = (ids: { readonly messageId: string }) =>
  Effect.flatMap(DustTest.DustTest, (dust) => dust.waitForRun(ids.messageId))

/** All events of an agent message, without handshake and close. */
const run = (script: DustTest.AgentBehavior, content = "go") =>
  Effect.gen(function*() {
    const ids = yield* ask(content, "scripted")
    const state = yield* finished(ids)
    const frames = (yield* connect(messageEvents(ids))).filter((frame) => frame.id !== undefined)
    return { ids, state, json: state.json as Json, frames, types: types(frames).slice(0, -1) }
  }).pipe(local({ agents: { scripted: script }, quirks: { historyPageSize: 10_000 } }))

const textOf = (frames: ReadonlyArray<Frame>, classification = "tokens") =>
  frames.flatMap(({ json }) => json?.classification === classification ? [json.text] : []).join("")

const action = (
  ids: { readonly conversationId: string; readonly messageId: string },
  verb: string,
  body: unknown,
  as = token.key
) => post(`/assistant/conversations/${ids.conversationId}/messages/${ids.messageId}/${verb}`, body, { token: as })

const blocked = (ids: { readonly conversationId: string }) =>
  Effect.map(
    get(`/assistant/conversations/${ids.conversationId}/actions/blocked`),
    ({ json }) => json.blockedActions as ReadonlyArray<Json>
  )

describe("scripted agents", () => {
  it.effect("agents: echo the message, as does the global agent dust", () =>
    Effect.gen(function*() {
      for (const agent of ["echo", "dust"]) {
        assert.strictEqual((yield* finished(yield* ask("  two\nwords ", agent))).content, "  two\nwords ")
      }
    }).pipe(local()))

  it.effect("agents: scripted as a string, an array, a stream, or a function of the message and the history", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const answer = (agent: string) =>
        Effect.map(Effect.flatMap(ask("hello", agent), finished), ({ content }) => content)
      assert.strictEqual(yield* answer("text"), "I can help")
      assert.strictEqual(yield* answer("list"), "ab")
      assert.strictEqual(yield* answer("stream"), "xy")
      const ids = yield* ask("hello", "historian")
      assert.strictEqual((yield* finished(ids)).content, "hello / ")
      const { json } = yield* post(
        `/assistant/conversations/${ids.conversationId}/messages`,
        message("again", "historian")
      )
      const second = yield* dust.waitForRun(json.agentMessages[0].sId)
      assert.strictEqual(second.content, "again / ada: hello, historian: hello / ")
    }).pipe(local({
      agents: {
        text: "I can help",
        list: [DustTest.text("a"), DustTest.text("b")],
        stream: Stream.make(DustTest.text("x"), DustTest.text("y")),
        historian: ({ history, message }) =>
          `${message} / ${history.map(({ author, content }) => `${author}: ${content}`).join(", ")}`
      }
    })))

  it.effect("agents: can be replaced while the workspace runs", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* dust.setAgent("late", "here now")
      assert.strictEqual((yield* finished(yield* ask("hi", "late"))).content, "here now")
      yield* dust.setAgent("late", { script: "changed", name: "Late" })
      assert.strictEqual((yield* finished(yield* ask("hi", "late"))).content, "changed")
      assert.strictEqual((yield* get("/assistant/agent_configurations/late")).json.agentConfiguration.name, "Late")
    }).pipe(local()))

  it.effect("agents: pace their tokens by the clock", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "slow")
      yield* TestClock.adjust("2900 millis")
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 2)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* finished(ids)).content, "a b c")
    }).pipe(local({ agents: { slow: [DustTest.text("a b c", { pace: "1 second" })] } })))

  it.effect("option pace: applies to agents without a pace of their own", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("one two")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 1)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* finished(ids)).content, "one two")
    }).pipe(local({ pace: "5 seconds" })))

  it.effect("agents: stream tokens that are produced lazily", () =>
    Effect.gen(function*() {
      function* numbers() {
        for (let i = 0; i < 100; i++) yield `${i} `
      }
      const { frames, json } = yield* run([DustTest.tokens(numbers())])
      const all = [...numbers()].join("")
      assert.deepStrictEqual([textOf(frames), json.content], [all, all])
    }))

  it.effect("agents: emit thinking separately from the text", () =>
    Effect.gen(function*() {
      const { frames, json } = yield* run([
        DustTest.delimiter("opening_delimiter", "<thinking>"),
        DustTest.think("let me see"),
        DustTest.delimiter("closing_delimiter", "</thinking>"),
        DustTest.text("42", { tokens: ["4", "2"] })
      ])
      assert.strictEqual(textOf(frames), "42")
      assert.strictEqual(textOf(frames, "chain_of_thought"), "let me see")
      assert.strictEqual(textOf(frames, "opening_delimiter"), "<thinking>")
      assert.deepStrictEqual([json.content, json.chainOfThought], ["42", "let me see"])
    }))

  it.effect("agents: call tools with all their events; the final content is the last step's", () =>
    Effect.gen(function*() {
      const { frames, json, types } = yield* run([
        DustTest.text("Searching. "),
        DustTest.tool({
          name: "search",
          inputs: { q: "x" },
          output: "found",
          progress: [{ label: "half" }, { label: "all", output: { type: "text", text: "hit" } }],
          files: [{ fileId: "fil_1", title: "hits.csv", contentType: "text/csv" }],
          onResult: ({ output }) => `It says ${output}`
        })
      ])
      assert.deepStrictEqual(types, [
        "generation_tokens",
        "tool_call_started",
        "tool_params",
        "tool_notification",
        "tool_notification",
        "agent_action_success",
        ...Array.from({ length: 3 }, () => "generation_tokens"),
        "agent_message_success"
      ])
      assert.strictEqual(textOf(frames), "Searching. It says found")
      assert.strictEqual(json.content, "It says found")
      assert.deepStrictEqual(json.rawContents.map((raw: Json) => raw.step), [0, 1])
      assert.strictEqual(json.actions[0].status, "succeeded")
      assert.deepStrictEqual(json.actions[0].params, { q: "x" })
      assert.strictEqual(json.actions[0].generatedFiles[0].fileId, "fil_1")
      const notification = frames[4]!.json.notification
      assert.deepStrictEqual(notification._meta.data, { label: "all", output: { type: "text", text: "hit" } })
      assert.deepStrictEqual(notification.data, notification._meta.data)
    }))

  it.effect("agents: a tool error does not end the run", () =>
    Effect.gen(function*() {
      const { json } = yield* run([
        DustTest.tool({ name: "search", errored: true, output: "boom", onResult: ({ isError }) => `error: ${isError}` })
      ])
      assert.deepStrictEqual([json.status, json.content, json.actions[0].status], [
        "succeeded",
        "error: true",
        "errored"
      ])
    }))

  it.effect("agents: run parallel tools in one step", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "both")
      yield* TestClock.adjust("2 seconds")
      const frames = yield* connect(messageEvents(ids))
      assert.deepStrictEqual(types(frames).slice(1, 8), [
        "tool_call_started",
        "tool_params",
        "tool_call_started",
        "tool_params",
        "agent_action_success",
        "agent_action_success",
        "generation_tokens"
      ])
      assert.deepStrictEqual(
        frames.flatMap(({ json }) => json?.type === "agent_action_success" ? [[json.action.toolName, json.step]] : []),
        [["fast", 0], ["slow", 0]]
      )
    }).pipe(local({
      agents: {
        both: [
          DustTest.parallel([
            DustTest.tool({ name: "slow", duration: "2 seconds" }),
            DustTest.tool({ name: "fast", duration: "1 second" })
          ]),
          DustTest.text("ok")
        ]
      }
    })))

  it.effect("agents: fail with a code, a message and a category", () =>
    Effect.gen(function*() {
      const { frames, json, types } = yield* run([
        DustTest.text("half"),
        DustTest.fail({ code: "multi_actions_error", message: "Model down", category: "provider_internal_error" })
      ])
      assert.deepStrictEqual(types, ["generation_tokens", "agent_error"])
      assert.deepStrictEqual(frames[1]!.json.error, {
        code: "multi_actions_error",
        message: "Model down",
        metadata: { category: "provider_internal_error" }
      })
      assert.deepStrictEqual([json.status, json.error.message], ["failed", "Model down"])
    }))

  it.effect("a tool error ends the run", () =>
    Effect.gen(function*() {
      const { json, types } = yield* run([DustTest.toolError({ message: "no access" }), DustTest.text("never")])
      assert.deepStrictEqual([types, json.status, json.error.message], [["tool_error"], "failed", "no access"])
    }))

  it.effect("agents: a script that throws fails the agent", () =>
    Effect.gen(function*() {
      const { state } = yield* run(() => {
        throw new Error("bad script")
      })
      assert.strictEqual(state.status, "failed")
      assert.include((state.json as Json).error.message, "bad script")
    }))

  it.effect("agents: a repeated step has the same tokens under new ids, and the same content", () =>
    Effect.gen(function*() {
      const { frames, json } = yield* run([DustTest.text("once "), DustTest.rerun, DustTest.text("more")])
      assert.strictEqual(textOf(frames), "once once more")
      assert.strictEqual(new Set(frames.map(({ id }) => id)).size, frames.length)
      assert.strictEqual(json.content, "once more")
    }))

  it.effect("agents: prune, stop gracefully, and publish unknown events", () =>
    Effect.gen(function*() {
      const { frames, json, types } = yield* run([
        DustTest.contextPruned,
        DustTest.unknownEvent({ type: "brand_new", depth: { of: "it" } }),
        DustTest.malformedEvent("{ not json"),
        DustTest.text("half"),
        DustTest.gracefulStop,
        DustTest.text("never")
      ])
      assert.deepStrictEqual(types, [
        "agent_context_pruned",
        "brand_new",
        "generation_tokens",
        "agent_message_gracefully_stopped"
      ])
      assert.deepStrictEqual(frames[1]!.json.depth, { of: "it" })
      assert.deepStrictEqual([json.content, json.prunedContext], ["half", true])
    }))

  it.effect("agents: a malformed frame reaches the client unchanged", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "broken")
      yield* finished(ids)
      assert.strictEqual((yield* connect(messageEvents(ids)))[1]!.data, "{ not json")
    }).pipe(local({ agents: { broken: [DustTest.malformedEvent("{ not json")] } })))

  it.effect("agents: call another agent in its own conversation", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "boss")
      assert.strictEqual((yield* finished(ids)).content, "the worker says: Work!")
      const frames = yield* connect(messageEvents(ids))
      const started = frames.find(({ json }) => json?.type === "tool_notification")!.json.notification._meta.data.output
      assert.deepStrictEqual([started.type, started.childAgentId, started.query], ["run_agent", "echo", "Work!"])
      const child = yield* dust.conversation(started.conversationId)
      assert.strictEqual(child.messages[1]!.sId, started.agentMessageId)
      assert.match(started.childConversationEventsUrl, /\/api\/v1\/w\/.*\/events$/)
    }).pipe(local({
      agents: {
        boss: [
          DustTest.subAgent({ agent: "echo", query: "Work!", onResult: ({ output }) => `the worker says: ${output}` })
        ]
      }
    })))

  it.effect("agents: cancelling a run cancels its sub-agents", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "boss")
      yield* settle
      yield* post(`/assistant/conversations/${ids.conversationId}/cancel`, { messageIds: [ids.messageId] })
      yield* settle
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ run }) => run), ["cancelled", "cancelled"])
    }).pipe(local({
      agents: { worker: [DustTest.silence()], boss: [DustTest.subAgent({ agent: "worker", query: "Work!" })] }
    })))
})

describe("humans in the loop", () => {
  const careful: DustTest.AgentBehavior = [
    DustTest.approval({
      name: "delete",
      inputs: { id: 7 },
      output: "deleted",
      stake: "low",
      argumentsRequiringApproval: ["id"],
      onResult: ({ approved, output }) => approved ? output : "not allowed"
    })
  ]

  it.effect("approval after two hours: blocked, listed, answered, removed from the history", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "careful")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* TestClock.adjust("5 seconds")
      const [one] = yield* blocked(ids)
      assert.deepStrictEqual(
        [one.status, one.messageId, one.conversationId, one.inputs, one.stake, one.metadata.toolName],
        ["blocked_validation_required", ids.messageId, ids.conversationId, { id: 7 }, "low", "delete"]
      )
      assert.isTrue((yield* get(`/assistant/conversations/${ids.conversationId}`)).json.conversation.actionRequired)
      yield* TestClock.adjust("2 hours")
      const body = { actionId: one.actionId, approved: "approved" }
      assert.strictEqual((yield* action(ids, "validate-action", { ...body, approved: true })).status, 400)
      assert.deepStrictEqual((yield* action(ids, "validate-action", body)).json, { success: true })
      assert.strictEqual((yield* finished(ids)).content, "deleted")
      const live = yield* Fiber.join(fiber)
      const event = live.find(({ json }) => json?.type === "tool_approve_execution")!.json
      assert.deepStrictEqual([event.actionId, event.isLastBlockingEventForStep, event.argumentsRequiringApproval], [
        one.actionId,
        true,
        ["id"]
      ])
      assert.strictEqual(types(live)[types(live).length - 1], "done")
      assert.deepStrictEqual(yield* blocked(ids), [])
      const again = yield* action(ids, "validate-action", body)
      assert.deepStrictEqual([again.status, again.type], [400, "action_not_blocked"])
    }).pipe(local({ agents: { careful } })))

  it.effect("an answered approval is not replayed; the rest is", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "careful")
      yield* settle
      const before = yield* dust.retainedEvents(ids.messageId)
      yield* dust.resolveAction((yield* blocked(ids))[0].actionId)
      yield* finished(ids)
      const replay = types(yield* connect(messageEvents(ids)))
      assert.strictEqual(before, 3)
      assert.notInclude(replay, "tool_approve_execution")
      assert.include(replay, "tool_params")
    }).pipe(local({ agents: { careful } })))

  it.effect("switch removeAnsweredApprovals: an answered approval is replayed", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "careful")
      yield* settle
      yield* dust.resolveAction((yield* blocked(ids))[0].actionId)
      yield* finished(ids)
      assert.include(types(yield* connect(messageEvents(ids))), "tool_approve_execution")
    }).pipe(local({ agents: { careful }, quirks: { removeAnsweredApprovals: false } })))

  it.effect("a rejected tool is denied and the agent goes on", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "careful")
      yield* settle
      yield* action(ids, "validate-action", { actionId: (yield* blocked(ids))[0].actionId, approved: "rejected" })
      const state = yield* finished(ids)
      assert.deepStrictEqual([state.content, (state.json as Json).actions[0].status], ["not allowed", "denied"])
    }).pipe(local({ agents: { careful } })))

  it.effect("always_approved holds for the user's next calls of a low-stake tool", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "careful", { token: token.user })
      yield* settle
      yield* action(
        ids,
        "validate-action",
        { actionId: (yield* blocked(ids))[0].actionId, approved: "always_approved" },
        token.user
      )
      assert.strictEqual((yield* finished(ids)).content, "deleted")
      assert.strictEqual((yield* finished(yield* ask("go", "careful", { token: token.user }))).content, "deleted")
      const other = yield* ask("go", "careful", { token: token.admin })
      yield* settle
      assert.lengthOf(yield* blocked(other), 1)
    }).pipe(local({ agents: { careful } })))

  it.effect("skipToolsValidation runs tools without asking", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "careful", { more: { skipToolsValidation: true } })
      assert.strictEqual((yield* finished(ids)).content, "deleted")
    }).pipe(local({ agents: { careful } })))

  it.effect("blocked actions: an unknown action is 404, an unknown message 500", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "careful")
      yield* settle
      const unknownAction = yield* action(ids, "validate-action", { actionId: "nope", approved: "approved" })
      assert.deepStrictEqual([unknownAction.status, unknownAction.type], [404, "action_not_found"])
      const unknownMessage = yield* action({ ...ids, messageId: "nope" }, "validate-action", {
        actionId: "nope",
        approved: "approved"
      })
      assert.deepStrictEqual([unknownMessage.status, unknownMessage.type], [500, "internal_server_error"])
      const notAQuestion = yield* action(ids, "answer-question", {
        actionId: (yield* blocked(ids))[0].actionId,
        answer: { selectedOptions: [] }
      })
      assert.deepStrictEqual([notAQuestion.status, notAQuestion.type], [400, "action_not_blocked"])
    }).pipe(local({ agents: { careful } })))

  it.effect("a question waits for its answer", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "curious")
      yield* TestClock.adjust("1 hour")
      const [one] = yield* blocked(ids)
      assert.strictEqual(one.status, "blocked_user_answer_required")
      assert.deepStrictEqual(one.question, {
        question: "Which?",
        options: [{ label: "red", description: null }, { label: "blue", description: "like the sky" }],
        multiSelect: false
      })
      yield* action(ids, "answer-question", {
        actionId: one.actionId,
        answer: { selectedOptions: [1], customResponse: "sky" }
      })
      assert.strictEqual((yield* finished(ids)).content, "1 sky")
    }).pipe(local({
      agents: {
        curious: [
          DustTest.question({
            question: "Which?",
            options: ["red", { label: "blue", description: "like the sky" }],
            onAnswer: (answer) => `${answer.selectedOptions.join()} ${answer.customResponse}`
          })
        ]
      }
    })))

  it.effect("authentication waits until the account is connected", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "connects")
      yield* TestClock.adjust("1 hour")
      const [first] = yield* blocked(ids)
      assert.strictEqual(first.status, "blocked_authentication_required")
      assert.strictEqual(first.authError.provider, "notion")
      yield* dust.resolveAction(first.actionId)
      yield* settle
      const [second] = yield* blocked(ids)
      assert.strictEqual(second.status, "blocked_file_authorization_required")
      assert.strictEqual(second.fileAuthError.fileName, "plan.doc")
      yield* dust.resolveAction(second.actionId)
      assert.strictEqual((yield* finished(ids)).content, "both")
    }).pipe(local({
      agents: {
        connects: [
          DustTest.authentication({ name: "search", provider: "notion" }),
          DustTest.fileAuthentication({ name: "open", fileId: "f1", fileName: "plan.doc" }),
          DustTest.text("both")
        ]
      }
    })))

  it.effect("parallel blocked actions: the last one is marked", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "two")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* settle
      const all = yield* blocked(ids)
      assert.lengthOf(all, 2)
      for (const one of all) yield* dust.resolveAction(one.actionId)
      yield* finished(ids)
      const flags = (yield* Fiber.join(fiber)).flatMap(({ json }) =>
        json?.type === "tool_approve_execution" ? [json.isLastBlockingEventForStep] : []
      )
      assert.deepStrictEqual(flags, [false, true])
    }).pipe(local({
      agents: { two: [DustTest.parallel([DustTest.approval({ name: "a" }), DustTest.approval({ name: "b" })])] }
    })))

  it.effect("a sub-agent's approval appears in both conversations and is answered in the child's", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "boss")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* settle
      const [one] = yield* blocked(ids)
      assert.notStrictEqual(one.conversationId, ids.conversationId)
      yield* action(one, "validate-action", { actionId: one.actionId, approved: "approved" })
      assert.strictEqual((yield* finished(ids)).content, "deleted")
      const event = (yield* Fiber.join(fiber)).find(({ json }) => json?.type === "tool_approve_execution")!.json
      assert.deepStrictEqual([event.conversationId, event.messageId], [one.conversationId, one.messageId])
    }).pipe(local({
      agents: { careful, boss: [DustTest.subAgent({ agent: "careful", query: "x", onResult: ({ output }) => output })] }
    })))

  it.effect("a cancelled run is no longer blocked", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "careful")
      yield* settle
      yield* post(`/assistant/conversations/${ids.conversationId}/cancel`, { messageIds: [ids.messageId] })
      yield* settle
      assert.deepStrictEqual(yield* blocked(ids), [])
    }).pipe(local({ agents: { careful } })))
})

describe("client-side MCP", () => {
  const asUser = { token: token.user }
  const register = (serverName = "My Tools") =>
    Effect.map(post("/mcp/register", { serverName }, asUser), ({ json }) => json.serverId as string)
  const requests = (serverId: string, more = "") =>
    connect(`/mcp/requests?serverId=${encodeURIComponent(serverId)}${more}`, asUser)

  it.effect("MCP servers: register, heartbeat, deregister; names are slugs with suffixes", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual([yield* register(), yield* register()], [
        "mcp-client-side:my-tools",
        "mcp-client-side:my-tools.1"
      ])
      assert.strictEqual((yield* post("/mcp/register", { serverName: "abc" }, asUser)).status, 400)
      const beat = yield* post("/mcp/heartbeat", { serverId: "mcp-client-side:my-tools" }, asUser)
      assert.deepStrictEqual([beat.json.success, beat.json.expiresAt], [true, "1970-01-01T00:10:00.000Z"])
      for (let i = 0; i < 2; i++) {
        const gone = yield* post("/mcp/deregister", { serverId: "mcp-client-side:my-tools" }, asUser)
        assert.deepStrictEqual(gone.json, { success: true })
      }
      const late = yield* post("/mcp/heartbeat", { serverId: "mcp-client-side:my-tools" }, asUser)
      assert.deepStrictEqual([late.status, late.type], [404, "mcp_server_connection_not_found"])
    }).pipe(local()))

  it.effect("MCP servers: expire ten minutes after the last heartbeat, and belong to one user", () =>
    Effect.gen(function*() {
      const serverId = yield* register()
      const foreign = yield* post("/mcp/results", { serverId, result: {} }, { token: token.admin })
      assert.deepStrictEqual([foreign.status, foreign.type], [403, "mcp_auth_error"])
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual((yield* post("/mcp/results", { serverId, result: {} }, asUser)).status, 200)
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual((yield* post("/mcp/heartbeat", { serverId }, asUser)).status, 200)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* post("/mcp/results", { serverId, result: {} }, asUser)).status, 403)
    }).pipe(local()))

  it.effect("an agent initializes, lists and calls a tool over the stream", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const serverId = yield* register()
      const stream = yield* Effect.fork(requests(serverId))
      yield* settle
      const ids = yield* ask("go", "caller", {
        ...asUser,
        more: {
          message: message("go", "caller", {
            context: { username: "ada", timezone: "UTC", clientSideMCPServerIds: [serverId] }
          })
        }
      })
      const answer = (id: number, result: unknown) =>
        post("/mcp/results", { serverId, result: { jsonrpc: "2.0", id, result } }, asUser)
      yield* settle
      yield* answer(0, { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "t", version: "1" } })
      yield* settle
      yield* answer(1, { tools: [] })
      yield* settle
      const replayed = yield* Effect.fork(requests(serverId))
      yield* settle
      yield* answer(2, { content: [{ type: "text", text: "12 degrees" }] })
      assert.strictEqual((yield* finished(ids)).content, "It is 12 degrees")
      yield* TestClock.adjust("5 minutes")
      const frames = yield* Fiber.join(stream)
      assert.deepStrictEqual(frames.map(({ data, json }) => json?.method ?? data), [
        "{}",
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/call",
        "done"
      ])
      assert.deepStrictEqual(frames[4]!.json.params, { name: "weather", arguments: { city: "Paris" } })
      // Answered requests are not replayed, nor are notifications.
      assert.deepStrictEqual((yield* Fiber.join(replayed)).flatMap(({ json }) => json?.method ?? []), ["tools/call"])
      assert.lengthOf((yield* dust.mcpServers)[0]!.results, 3)
    }).pipe(local({
      agents: {
        caller: [
          DustTest.clientTool({
            name: "weather",
            inputs: { city: "Paris" },
            onResult: ({ output }) => `It is ${output}`
          })
        ]
      }
    })))

  it.effect("a tool that does not answer in time is reported to the agent as an error", () =>
    Effect.gen(function*() {
      const serverId = yield* register()
      const ids = yield* ask("go", "caller", {
        ...asUser,
        more: {
          message: message("go", "caller", {
            context: { username: "ada", timezone: "UTC", clientSideMCPServerIds: [serverId] }
          })
        }
      })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* finished(ids)).content, "gave up")
    }).pipe(local({
      agents: {
        caller: [
          DustTest.clientTool({ name: "x", timeout: "1 minute", onResult: ({ isError }) => isError ? "gave up" : "?" })
        ]
      }
    })))

  it.effect("switch mcpStreamSilence", () =>
    Effect.gen(function*() {
      const serverId = yield* register()
      const fiber = yield* Effect.fork(requests(serverId))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(types(yield* Fiber.join(fiber)), ["dust-handshake", "done"])
    }).pipe(local({ quirks: { mcpStreamSilence: "3 seconds" } })))
})

describe("agent configurations", () => {
  const agents: DustTest.Options["agents"] = {
    helper: { name: "Helper", description: "Helps", instructions: "Be kind" },
    secret: { name: "Secret", scope: "hidden" }
  }
  const base = "/assistant/agent_configurations"
  const names = (json: Json) => json.agentConfigurations.map((agent: Json) => agent.sId)

  it.effect("configurations: listed by view, searched, and read", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(names((yield* get(base)).json), ["echo", "dust", "helper"])
      assert.deepStrictEqual(names((yield* get(`${base}?view=global`)).json), ["dust"])
      assert.deepStrictEqual(names((yield* get(`${base}?view=published`)).json), ["echo", "helper"])
      assert.deepStrictEqual(names((yield* get(base, { token: token.admin })).json), [
        "echo",
        "dust",
        "helper",
        "secret"
      ])
      assert.deepStrictEqual(names((yield* get(`${base}/search?q=HELP`)).json), ["helper"])
      const light = (yield* get(`${base}/helper`)).json.agentConfiguration
      assert.strictEqual(light.instructions, "Be kind")
      assert.notProperty(light, "actions")
      assert.property((yield* get(`${base}/helper?variant=full`)).json.agentConfiguration, "actions")
      const hidden = yield* get(`${base}/secret`)
      assert.deepStrictEqual([hidden.status, hidden.type], [403, "workspace_auth_error"])
      const unknown = yield* get(`${base}/nope`)
      assert.deepStrictEqual([unknown.status, unknown.type], [404, "agent_configuration_not_found"])
      assert.property((yield* get(`${base}?withAuthors=true`)).json.agentConfigurations[0], "lastAuthors")
    }).pipe(local({ agents })))

  it.effect("configurations: changed, archived, exported and imported by administrators", () =>
    Effect.gen(function*() {
      const admin = { token: token.adminKey }
      const patched = yield* call("PATCH", `${base}/helper`, {
        ...admin,
        body: {
          agent: { handle: "Helper2" },
          instructions: "Be brief",
          generation_settings: { temperature: 0.1 },
          tags: [{ name: "support", kind: "standard" }],
          toolset: [
            { name: "ok", description: "Search", type: "MCP", configuration: { mcp_server_name: "search" } },
            { name: "bad", description: "Bad", type: "MCP", configuration: { mcp_server_name: "unknown_server" } }
          ]
        }
      })
      const { agentConfiguration, skippedActions } = patched.json
      assert.deepStrictEqual(
        [
          agentConfiguration.name,
          agentConfiguration.instructions,
          agentConfiguration.model.temperature,
          agentConfiguration.version
        ],
        ["Helper2", "Be brief", 0.1, 1]
      )
      assert.deepStrictEqual(skippedActions.map((one: Json) => one.name), ["bad"])
      const yaml = yield* get(`${base}/helper/export/yaml`)
      assert.strictEqual(yaml.headers["content-type"], "text/yaml")
      assert.include(yaml.text, "handle: \"Helper2\"")
      const imported = yield* post(`${base}/import`, {
        agent: { handle: "Imported", description: "d" },
        instructions: "i",
        generation_settings: {},
        tags: [],
        editors: ["ada@local-dust.test"],
        toolset: []
      }, admin)
      assert.deepStrictEqual([imported.json.agentConfiguration.name, imported.json.skippedActions], ["Imported", []])
      assert.deepStrictEqual((yield* call("DELETE", `${base}/helper`, admin)).json, { success: true })
      assert.strictEqual((yield* call("DELETE", `${base}/helper`, admin)).status, 400)
      const asked = yield* post("/assistant/conversations", { message: message("hi", "helper") })
      assert.strictEqual(asked.type, "agent_inaccessible")
    }).pipe(local({ agents })))

  it.effect("favorites belong to a user", () =>
    Effect.gen(function*() {
      yield* call("PATCH", `${base}/helper`, { token: token.admin, body: { userFavorite: true } })
      assert.deepStrictEqual(names((yield* get(`${base}?view=favorites`, { token: token.admin })).json), ["helper"])
      assert.deepStrictEqual(names((yield* get(`${base}?view=favorites`, { token: token.user })).json), [])
    }).pipe(local({ agents })))
})

describe("the rest of conversations", () => {
  it.effect("feedback: one per user, visible to its author only", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi")
      const url = `/assistant/conversations/${ids.conversationId}/messages/${ids.messageId}/feedbacks`
      const keyless = yield* post(url, { thumbDirection: "up" })
      assert.deepStrictEqual([keyless.status, keyless.type], [401, "not_authenticated"])
      assert.strictEqual((yield* post(url, { thumbDirection: "sideways" }, { token: token.user })).status, 400)
      yield* post(url, { thumbDirection: "up" }, { token: token.user })
      yield* post(url, { thumbDirection: "down", feedbackContent: "hm" }, {
        headers: { "x-api-user-email": "ada@local-dust.test" }
      })
      const list = (as: string) => get(`/assistant/conversations/${ids.conversationId}/feedbacks`, { token: as })
      const mine = (yield* list(token.user)).json.feedbacks
      assert.deepStrictEqual(mine.map((one: Json) => [one.thumbDirection, one.content]), [["down", "hm"]])
      assert.deepStrictEqual((yield* list(token.admin)).json.feedbacks, [])
      assert.strictEqual((yield* list(token.key)).type, "user_authentication_required")
      assert.strictEqual((yield* call("DELETE", url, { token: token.user })).status, 200)
      assert.strictEqual((yield* call("DELETE", url, { token: token.user })).status, 400)
    }).pipe(local()))

  it.effect("files, consumption, mentions", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("hi")
      yield* finished(ids)
      const base = `/assistant/conversations/${ids.conversationId}`
      yield* dust.addConversationFile(ids.conversationId, {
        path: "out/report 1.md",
        content: "# Report",
        contentType: "text/markdown"
      })
      const file = yield* get(`${base}/files/conversation/out/report%201.md`)
      assert.deepStrictEqual([file.text, file.headers["content-type"]], ["# Report", "text/markdown"])
      assert.strictEqual((yield* get(`${base}/files/elsewhere/x`)).status, 400)
      assert.strictEqual((yield* get(`${base}/files/conversation/x`)).type, "file_not_found")
      assert.strictEqual((yield* get(`${base}/consumption`)).json.billedCredits, 2)
      const suggestions = yield* get("/assistant/mentions/suggestions?query=ec")
      assert.deepStrictEqual(suggestions.json.suggestions.map((one: Json) => one.id), ["echo"])
      const people = yield* get(`${base}/mentions/suggestions?query=ada&select=users`)
      assert.deepStrictEqual(people.json.suggestions.map((one: Json) => one.label), ["Ada Lovelace"])
      assert.strictEqual((yield* get("/assistant/mentions/suggestions?query=ec&current=true")).status, 400)
      const parsed = yield* post("/assistant/mentions/parse", { markdown: "Hi @echo" })
      assert.strictEqual(parsed.json.markdown, "Hi :mention[echo]{sId=echo}")
    }).pipe(local()))

  it.effect("switch suggestionsCurrentRefused", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* get("/assistant/mentions/suggestions?query=ec&current=true")).status, 200)
    }).pipe(local({ quirks: { suggestionsCurrentRefused: false } })))
})

describe("private routes", () => {
  const asUser = { token: token.user, absolute: true }
  const base = (ids: { readonly conversationId: string }) =>
    `/api/w/${DustTest.credentials.workspaceId}/assistant/conversations/${ids.conversationId}`

  it.effect("messages: listed newest page first, read, deleted with their answers", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "echo", { token: token.user })
      yield* finished(ids)
      yield* post(`/assistant/conversations/${ids.conversationId}/messages`, message("second", null), {
        token: token.user
      })
      const page = (yield* get(`${base(ids)}/messages?limit=2`, asUser)).json
      assert.deepStrictEqual([page.messages.map((one: Json) => one.rank), page.hasMore, page.lastValue], [
        [1, 2],
        true,
        1
      ])
      assert.notProperty(page.messages[0], "actions")
      const bad = yield* get(`${base(ids)}/messages?limit=2001`, asUser)
      assert.deepStrictEqual([bad.status, bad.type], [400, "invalid_pagination_parameters"])
      const one = (yield* get(`${base(ids)}/messages/${ids.messageId}`, asUser)).json.message
      assert.strictEqual(one.content, "hi")
      assert.deepStrictEqual((yield* call("DELETE", `${base(ids)}/messages/${ids.userMessageId}`, asUser)).json, {
        success: true
      })
      const { json } = yield* get(`/assistant/conversations/${ids.conversationId}`)
      assert.deepStrictEqual(
        json.conversation.content.map((versions: Json) => versions.map((version: Json) => version.visibility)),
        [["visible", "deleted"], ["visible", "deleted"], ["visible"]]
      )
      const foreign = yield* ask("mine", "echo", { token: token.admin })
      const refused = yield* call("DELETE", `${base(foreign)}/messages/${foreign.userMessageId}`, asUser)
      assert.deepStrictEqual([refused.status, refused.type], [500, "message_deletion_not_authorized"])
    }).pipe(local()))

  it.effect("deleting a conversation answers 200 with an empty body", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "echo", { token: token.user })
      const stranger = yield* call("DELETE", base(ids), { token: token.admin, absolute: true })
      assert.deepStrictEqual([stranger.status, stranger.type], [403, "conversation_access_restricted"])
      const deleted = yield* call("DELETE", base(ids), asUser)
      assert.deepStrictEqual([deleted.status, deleted.text], [200, ""])
      assert.strictEqual((yield* get(`/assistant/conversations/${ids.conversationId}`)).status, 404)
    }).pipe(local()))

  it.effect("switch emptyOkBodies: deleting a conversation returns an object", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "echo", { token: token.user })
      assert.deepStrictEqual((yield* call("DELETE", base(ids), asUser)).json, { success: true })
    }).pipe(local({ quirks: { emptyOkBodies: false } })))

  it.effect("conversations: access can be restricted to participants", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "echo", { token: token.user })
      yield* call("PATCH", base(ids), { ...asUser, body: { accessMode: "participants_only" } })
      const other = yield* get(`/assistant/conversations/${ids.conversationId}`, { token: token.admin })
      assert.deepStrictEqual([other.status, other.type], [403, "conversation_access_restricted"])
      assert.strictEqual((yield* get(`/assistant/conversations/${ids.conversationId}`)).status, 200)
    }).pipe(local()))
})
