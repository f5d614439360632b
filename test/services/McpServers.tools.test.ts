import { Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { McpServer as SdkServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import type { Transport as SdkTransport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Context, Deferred, Effect, Exit, Layer, Schema, Scope, TestClock } from "effect"
import * as Conversations from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"
import type * as McpServer from "effect-dust/McpServer"
import * as McpServers from "effect-dust/McpServers"
import { z } from "zod"

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({ credential: "userToken", ...options }))

/** Lets everything that is ready happen, without any time passing. */
const settle = TestClock.adjust(0)

/** Lets promises of the MCP SDK run, too. */
const settled = Effect.zipRight(Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20))), settle)

const call = (id: string | number, name: string, args: unknown, meta: object = {}) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args, ...meta }
})

interface Posted {
  readonly id?: string | number
  readonly method?: string
  readonly params?: unknown
  readonly result?: Readonly<Record<string, unknown>> & {
    readonly tools?: ReadonlyArray<Readonly<Record<string, unknown>>>
    readonly content?: ReadonlyArray<{ readonly type: string; readonly text?: string }>
    readonly isError?: boolean
  }
  readonly error?: { readonly code: number; readonly message: string }
}

const posted = Effect.flatMap(DustTest.DustTest, (dust) =>
  Effect.map(
    dust.requests({ path: "/mcp/results", status: 200 }),
    (requests) => requests.map(({ body }) => (body as { readonly result: Posted }).result)
  ))

/** Sends messages to the server, and returns everything it has posted. */
const exchange = (serverId: Effect.Effect<string>, ...messages: ReadonlyArray<unknown>) =>
  Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    const id = yield* serverId
    for (const message of messages) yield* Effect.zipRight(dust.sendMcp(id, message), settled)
    return yield* posted
  })

const refusal = <E extends { readonly message: string }, R>(self: Effect.Effect<unknown, E, R>) =>
  Effect.map(Effect.flip(self), ({ message }) => message)

describe("McpServers.tool", () => {
  const lookup = McpServers.tool({
    name: "lookup",
    description: "Finds an order",
    input: Schema.Struct({ number: Schema.Int }),
    output: Schema.Struct({ number: Schema.Int, placed: Schema.Date }),
    handler: ({ number }, { progress }) =>
      progress({ progress: 1, total: 2, message: "Searching" }).pipe(
        Effect.zipRight(progress({ progress: 2, total: 2 })),
        Effect.as({ number, placed: new Date("2026-11-26T00:00:00Z") })
      )
  })

  it.scoped("output schema: is listed, and the result is structured and text", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const server = yield* servers.serve({ name: "Orders", tools: [lookup] })
      const [listed, called] = yield* exchange(
        server.serverId,
        { jsonrpc: "2.0", id: 1, method: "tools/list" },
        call(2, "lookup", { number: 7 })
      )
      const schema = listed?.result?.tools?.[0]?.["outputSchema"]
      assert.isTrue(new Ajv2020({ strict: true }).validate(schema as object, called?.result?.["structuredContent"]))
      assert.deepStrictEqual(called?.result, {
        content: [{ type: "text", text: "{\"number\":7,\"placed\":\"2026-11-26T00:00:00.000Z\"}" }],
        structuredContent: { number: 7, placed: "2026-11-26T00:00:00.000Z" },
        isError: false
      })
    }).pipe(local()))

  it.scoped("progress: is posted before the result, and only to a client that asked for it", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const server = yield* servers.serve({ name: "Orders", tools: [lookup] })
      const all = yield* exchange(
        server.serverId,
        call(1, "lookup", { number: 7 }, { _meta: { progressToken: "p" } }),
        call(2, "lookup", { number: 7 })
      )
      assert.deepStrictEqual(all.map(({ id, method, params }) => ({ id, method, params })), [
        {
          id: undefined,
          method: "notifications/progress",
          params: { progressToken: "p", progress: 1, total: 2, message: "Searching" }
        },
        { id: undefined, method: "notifications/progress", params: { progressToken: "p", progress: 2, total: 2 } },
        { id: 1, method: undefined, params: undefined },
        { id: 2, method: undefined, params: undefined }
      ])
    }).pipe(local()))

  it.scoped("input schema: tuples, unknown fields and objects without constraints are valid in draft 2020-12", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const odd = McpServers.tool({
        name: "odd",
        description: "Takes anything",
        input: Schema.Struct({
          pair: Schema.Tuple(Schema.String, Schema.Number),
          one: Schema.Unknown,
          two: Schema.Unknown,
          three: Schema.optional(Schema.Any),
          object: Schema.Object
        }),
        handler: () => Effect.succeed("ok")
      })
      const server = yield* servers.serve({ name: "Oddities", tools: [odd] })
      const [listed] = yield* exchange(server.serverId, { jsonrpc: "2.0", id: 1, method: "tools/list" })
      const validate = new Ajv2020({ strict: true, strictTuples: false, allErrors: true }).compile(
        listed?.result?.tools?.[0]?.["inputSchema"] as object
      )
      assert.isTrue(validate({ pair: ["a", 1], one: 1, two: {}, object: {} }))
      assert.isFalse(validate({ pair: [1, "a"], one: 1, two: {}, object: {} }))
      assert.isFalse(validate({ pair: ["a", 1], one: 1, two: {}, object: 1 }))
    }).pipe(local()))

  it.scoped("a schema without JSON Schema: the error names the tool, the field, its type and the remedy", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const bad = (input: Schema.Schema.AnyNoContext) =>
        McpServers.tool({ name: "bad", description: "…", input, handler: () => Effect.succeed("") })
      const message = yield* refusal(servers.serve({
        name: "Oddities",
        tools: [bad(Schema.Struct({ range: Schema.Struct({ from: Schema.BigIntFromSelf }) }))]
      }))
      assert.include(message, "tools.bad.input")
      assert.include(message, "the field range.from is bigint")
      assert.include(message, "jsonSchema annotation")
      const root = yield* refusal(servers.serve({ name: "Oddities", tools: [bad(Schema.String)] }))
      assert.include(root, "the schema of an object")
    }).pipe(local()))

  it("content: a resource needs text or a blob", () => {
    const handler = () => Effect.succeed([{ type: "resource" as const, resource: { uri: "file:///a" } }])
    // @ts-expect-error neither text nor blob
    McpServers.tool({ name: "page", description: "Reads a page", input: Schema.Struct({}), handler })
    const good: ReadonlyArray<McpServer.Content> = [
      { type: "resource", resource: { uri: "file:///a", text: "a" } },
      { type: "resource", resource: { uri: "file:///a", blob: "YQ==" } }
    ]
    assert.lengthOf(good, 2)
  })
})

describe("McpServers.setTools", () => {
  const named = (name: string) =>
    McpServers.tool({ name, description: name, input: Schema.Struct({}), handler: () => Effect.succeed(name) })

  it.scoped("replaces the tools and notifies agents; refused tools change nothing", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const server = yield* servers.serve({ name: "Changing", tools: [named("first")] })
      assert.include(yield* refusal(server.setTools([named("a b")])), "tools")
      yield* exchange(server.serverId, call(1, "first", {}))
      yield* server.setTools([named("second")])
      const all = yield* exchange(
        server.serverId,
        { jsonrpc: "2.0", id: 2, method: "tools/list" },
        call(3, "first", {}),
        call(4, "second", {})
      )
      assert.strictEqual(all[0]?.result?.content?.[0]?.text, "first")
      assert.strictEqual(all[1]?.method, "notifications/tools/list_changed")
      assert.deepStrictEqual(all[2]?.result?.tools?.map(({ name }) => name), ["second"])
      assert.strictEqual(all[3]?.error?.message, "Unknown tool: first")
      assert.strictEqual(all[4]?.result?.content?.[0]?.text, "second")
    }).pipe(local()))
})

describe("McpServers.fromToolkit", () => {
  class Cities extends Context.Tag("test/Cities")<Cities, { readonly time: (city: string) => string }>() {}

  const toolkit = Toolkit.make(
    Tool.make("current_time", {
      description: "The time in a city",
      parameters: { city: Schema.String },
      success: Schema.Struct({ city: Schema.String, at: Schema.Date })
    }).annotate(Tool.Readonly, true).annotate(Tool.Title, "Clock"),
    Tool.make("set_alarm", {
      parameters: { at: Schema.String },
      failure: Schema.Struct({ reason: Schema.String }),
      failureMode: "return"
    })
  )
  const handlers = toolkit.toLayer(Effect.map(Cities, (cities) =>
    toolkit.of({
      current_time: ({ city }) => Effect.succeed({ city: cities.time(city), at: new Date(0) }),
      set_alarm: () => Effect.fail({ reason: "no alarms today" })
    }))).pipe(Layer.provide(Layer.succeed(Cities, { time: (city) => city.toUpperCase() })))

  it.scoped("serves the tools of a Toolkit with its handlers, results and failures", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const server = yield* servers.serve({ name: "Toolkit", tools: McpServers.fromToolkit(yield* toolkit) })
      const [listed, time, alarm, wrong] = yield* exchange(
        server.serverId,
        { jsonrpc: "2.0", id: 1, method: "tools/list" },
        call(2, "current_time", { city: "Paris" }),
        call(3, "set_alarm", { at: "noon" }),
        call(4, "current_time", { city: 1 })
      )
      assert.deepStrictEqual(
        listed?.result?.tools?.map(({ annotations, description, name }) => ({ annotations, description, name })),
        [
          {
            annotations: { title: "Clock", readOnlyHint: true },
            description: "The time in a city",
            name: "current_time"
          },
          { annotations: undefined, description: "set_alarm", name: "set_alarm" }
        ]
      )
      assert.deepStrictEqual(time?.result?.["structuredContent"], { city: "PARIS", at: "1970-01-01T00:00:00.000Z" })
      assert.deepStrictEqual(alarm?.result, {
        content: [{ type: "text", text: "{\"reason\":\"no alarms today\"}" }],
        structuredContent: { reason: "no alarms today" },
        isError: true
      })
      assert.isTrue(wrong?.result?.isError)
      assert.include(wrong?.result?.content?.[0]?.text, "city: expected string")
    }).pipe(Effect.provide(handlers), local()))

  it.scoped("refuses a tool that a model provider runs itself", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const search = Tool.providerDefined({
        id: "web.search",
        toolkitName: "WebSearch",
        providerName: "web_search",
        args: {},
        success: Schema.Unknown
      })
      const kit = yield* Toolkit.make(search({})).pipe(Effect.orDie)
      const message = yield* refusal(servers.serve({ name: "Provider", tools: McpServers.fromToolkit(kit) }))
      assert.include(message, "run by its model provider")
    }).pipe(local()))
})

describe("McpServers.transport", () => {
  const makeServer = () => {
    const calls: Array<string> = []
    const server = new SdkServer({ name: "existing", version: "1.0.0" })
    server.registerTool(
      "shout",
      { description: "Shouts", inputSchema: { text: z.string() } },
      ({ text }, { signal }) => {
        calls.push(text)
        if (text === "throw") throw new Error("no voice")
        return text === "hang"
          ? new Promise((_, reject) =>
            signal.addEventListener("abort", () => {
              calls.push("aborted")
              reject(new Error("aborted"))
            })
          )
          : { content: [{ type: "text" as const, text: text.toUpperCase() }] }
      }
    )
    return { calls, server }
  }
  const connected = Effect.gen(function*() {
    const servers = yield* McpServers.McpServers
    const transport = yield* servers.transport({ name: "Existing" })
    const { calls, server } = makeServer()
    const typed: SdkTransport = transport
    yield* Effect.promise(() => server.connect(typed))
    return { calls, server, transport }
  })

  it.scoped("connects a server of the MCP SDK to an agent, end to end", () =>
    Effect.gen(function*() {
      const { transport } = yield* connected
      const conversations = yield* Conversations.Conversations
      const { sId } = yield* conversations.create({ title: "Shouting" })
      const asked = yield* Effect.fork(conversations.createMessage({
        conversationId: sId,
        content: "Shout hello",
        mentions: [{ configurationId: "host" }],
        context: { clientSideMCPServerIds: [yield* transport.serverId] },
        blocking: true
      }))
      for (let i = 0; i < 20; i++) yield* settled
      const { agentMessages } = yield* asked
      assert.strictEqual(agentMessages[0]?.content, "Heard HELLO")
    }).pipe(local({
      agents: {
        host: [
          DustTest.clientTool({
            name: "shout",
            inputs: { text: "hello" },
            onResult: ({ output }) => `Heard ${output}`
          })
        ]
      }
    })))

  it.scoped("delivers a request once, and keeps requests of two sessions with the same id apart", () =>
    Effect.gen(function*() {
      const { calls, transport } = yield* connected
      const all = yield* exchange(
        transport.serverId,
        call(1, "shout", { text: "one" }),
        call(1, "shout", { text: "one" }),
        call(1, "shout", { text: "two" }),
        call("s", "shout", { text: "throw" })
      )
      assert.deepStrictEqual(calls, ["one", "two", "throw"])
      assert.deepStrictEqual(all.map(({ id, result }) => [id, result?.content?.[0]?.text]), [
        [1, "ONE"],
        [1, "ONE"],
        [1, "TWO"],
        ["s", "no voice"]
      ])
    }).pipe(local()))

  it.scoped("a cancelled request: aborts it at the server, and posts no answer", () =>
    Effect.gen(function*() {
      const { calls, transport } = yield* connected
      const all = yield* exchange(
        transport.serverId,
        call(7, "shout", { text: "hang" }),
        { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } }
      )
      assert.deepStrictEqual(calls, ["hang", "aborted"])
      assert.deepStrictEqual(all, [])
    }).pipe(local()))

  it.scoped("a request of the server to its client: is answered with method not found", () =>
    Effect.gen(function*() {
      const { server } = yield* connected
      const outcome = yield* Effect.promise(() => server.server.ping().then(() => "pong", (error) => String(error)))
      assert.include(outcome, "Dust does not support ping")
    }).pipe(local()))

  it.scoped("closing: by the server or by the scope, deregisters and calls onclose once", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const gone = Effect.map(dust.requests({ path: "/mcp/deregister", status: 200 }), (requests) => requests.length)
      const { server } = yield* connected
      let closed = 0
      Object.assign(server.server, { onclose: () => closed++ })
      yield* Effect.promise(() => server.close())
      yield* settled
      assert.deepStrictEqual([closed, yield* gone], [1, 1])
      const scope = yield* Scope.make()
      const other = yield* Scope.extend(connected, scope)
      Object.assign(other.server.server, { onclose: () => closed++ })
      yield* Scope.close(scope, Exit.void)
      yield* settled
      assert.deepStrictEqual([closed, yield* gone], [2, 2])
    }).pipe(local()))

  it.scoped("a credential that is no longer accepted: calls onerror with the typed error, then onclose", () =>
    Effect.gen(function*() {
      const { server } = yield* connected
      const ended = yield* Deferred.make<ReadonlyArray<unknown>>()
      const seen: Array<unknown> = []
      Object.assign(server.server, {
        onerror: (error: Error) => seen.push(error),
        onclose: () => Deferred.unsafeDone(ended, Effect.succeed([...seen]))
      })
      yield* TestClock.adjust("20 minutes")
      yield* settled
      const [error] = yield* Deferred.await(ended)
      assert.strictEqual((error as { readonly _tag?: string })._tag, "DustUserRequiredError")
    }).pipe(local({
      faults: [{ path: "/mcp/heartbeat", fault: DustTest.faults.status(401) }]
    })))
})
