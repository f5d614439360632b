import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  type Redacted,
  Ref,
  Schema,
  Scope,
  Stream,
  TestClock
} from "effect"
import * as Conversations from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import type * as McpServer from "effect-dust/McpServer"
import * as McpServers from "effect-dust/McpServers"

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({ credential: "userToken", ...options }))

const deskId = "mcp-client-side:my-desk"

const requestsPath = "/mcp/requests"
const resultsPath = "/mcp/results"

/** Lets everything that is ready happen, without any time passing. */
const settle = TestClock.adjust(0)

const greet = McpServers.tool({
  name: "greet",
  description: "Greets somebody",
  input: Schema.Struct({
    name: Schema.String.annotations({ description: "Whom" }),
    times: Schema.optional(Schema.Int)
  }),
  annotations: { readOnlyHint: true },
  handler: ({ name, times }) => Effect.succeed(`Hello ${name}`.repeat(times ?? 1))
})

const call = (id: string | number, name: string, args: unknown) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args }
})

interface Posted {
  readonly jsonrpc: "2.0"
  readonly id: string | number
  readonly result?: {
    readonly isError?: boolean
    readonly content?: ReadonlyArray<{ readonly text?: string; readonly [key: string]: unknown }>
    readonly tools?: ReadonlyArray<{ readonly inputSchema: Record<string, unknown>; readonly [key: string]: unknown }>
    readonly [key: string]: unknown
  }
  readonly error?: { readonly code: number; readonly message: string }
}

const postedTo = (serverId: string) =>
  Effect.flatMap(
    DustTest.DustTest,
    (dust) =>
      Effect.map(dust.requests({ path: resultsPath, status: 200 }), (requests) =>
        requests.flatMap((request) => {
          const body = request.body as { readonly serverId: string; readonly result: Posted }
          return body.serverId === serverId ? [body.result] : []
        }))
  )

const textOf = (posted: Posted | undefined) => posted?.result?.content?.[0]?.text

describe("McpServers", () => {
  it.effect("needs a user, before any request", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const errors = yield* Effect.all([
        Effect.flip(servers.register("My desk")),
        Effect.flip(servers.heartbeat(deskId)),
        Effect.flip(servers.postResult({ serverId: deskId, result: {} })),
        Effect.flip(servers.deregister(deskId)),
        Effect.flip(Stream.runDrain(servers.requests({ serverId: deskId }))),
        Effect.flip(Effect.scoped(servers.serve({ name: "My desk", tools: [greet] })))
      ])
      assert.deepStrictEqual(
        errors.map((error) => error._tag),
        Array.from({ length: 6 }, () => "DustUserRequiredError")
      )
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local({ credential: "apiKey" })))

  it.effect("registers, keeps alive, reads requests, posts results and deregisters", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const first = yield* servers.register("My desk")
      const second = yield* servers.register("My desk")
      assert.deepStrictEqual([first.serverId, second.serverId], [deskId, `${deskId}.1`])
      assert.strictEqual(first.expiresAt, new Date(10 * 60_000).toISOString())

      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* servers.heartbeat(deskId)).expiresAt, new Date(14 * 60_000).toISOString())

      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", id: 7, method: "ping" })
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", method: "notifications/initialized" })
      const [ping, note] = Chunk.toReadonlyArray(
        yield* Stream.runCollect(Stream.take(servers.requests({ serverId: deskId, lastEventId: "" }), 2))
      )
      assert.deepStrictEqual(ping?.message, { jsonrpc: "2.0", id: 7, method: "ping" })
      assert.deepStrictEqual(note?.message, { jsonrpc: "2.0", method: "notifications/initialized" })
      const [opened] = yield* dust.requests({ path: requestsPath })
      assert.notProperty(opened?.query, "lastEventId")
      const rest = yield* Stream.runCollect(
        Stream.take(servers.requests({ serverId: deskId, lastEventId: ping?.eventId }), 1)
      )
      assert.deepStrictEqual(Chunk.toReadonlyArray(rest).map(({ eventId }) => eventId), [note?.eventId])

      yield* servers.postResult({ serverId: deskId, result: { jsonrpc: "2.0", id: 7, result: {} } })
      assert.deepStrictEqual((yield* dust.mcpServers)[0]?.results, [{ jsonrpc: "2.0", id: 7, result: {} }])

      yield* servers.deregister(deskId)
      yield* servers.deregister(deskId)
      assert.deepStrictEqual((yield* dust.mcpServers).map(({ serverId }) => serverId), [`${deskId}.1`])
      const gone = yield* Effect.flip(servers.heartbeat(deskId))
      assert.strictEqual(gone._tag, "DustNotFoundError")
      const closed = yield* Effect.flip(Stream.runDrain(servers.requests({ serverId: deskId })))
      assert.strictEqual(closed._tag, "DustForbiddenError")
      const late = yield* Effect.flip(servers.postResult({ serverId: deskId, result: { jsonrpc: "2.0", id: 8 } }))
      assert.strictEqual(late.type, "mcp_auth_error")
    }).pipe(local()))

  it.effect("replays unanswered requests, whatever the order of their JSON members", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      yield* servers.register("My desk")
      yield* dust.sendMcp(deskId, { id: 7, jsonrpc: "2.0", method: "ping" })
      yield* dust.sendMcp(deskId, { method: "ping", params: { jsonrpc: "2.0", id: 7 }, id: "8", jsonrpc: "2.0" })
      yield* dust.sendMcp(deskId, { method: "notifications/progress", params: { jsonrpc: "2.0", id: 9 } })
      yield* servers.postResult({ serverId: deskId, result: { id: 7, result: {}, jsonrpc: "2.0" } })
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", id: "end", method: "ping" })
      const replayed = yield* Stream.runCollect(Stream.take(servers.requests({ serverId: deskId }), 2))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(replayed).map(({ message }) => (message as { readonly id: unknown }).id),
        ["8", "end"]
      )
    }).pipe(local()))

  it.effect("keeps the server names of different users apart", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const of = (accessToken: Redacted.Redacted) =>
        Effect.provide(
          McpServers.McpServers,
          Dust.layer({ workspaceId: dust.workspaceId, baseUrl: dust.url, accessToken })
        )
      const servers = yield* of(dust.userToken)
      const hers = yield* of(dust.adminToken)
      const registered = yield* Effect.forEach([servers, hers, hers], (one) => one.register("My desk"))
      assert.deepStrictEqual(registered.map(({ serverId }) => serverId), [deskId, deskId, `${deskId}.1`])
      yield* servers.deregister(deskId)
      yield* hers.heartbeat(deskId)
      assert.strictEqual((yield* Effect.flip(servers.heartbeat(deskId)))._tag, "DustNotFoundError")
    }).pipe(Effect.provide(DustTest.layerHttpClient())))

  it.effect("keeps the newest results only, in Local Dust", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      yield* servers.register("My desk")
      const post = (id: number, text = "") =>
        servers.postResult({ serverId: deskId, result: { jsonrpc: "2.0", id, result: text } })
      yield* Effect.forEach(Array.from({ length: 1005 }, (_, id) => id), (id) => post(id), { discard: true })
      const idsOf = Effect.map(dust.mcpServers, ([server]) =>
        server?.results.map((result) => (result as { readonly id: number }).id))
      const many = yield* idsOf
      assert.deepStrictEqual([many?.length, many?.[0], many?.at(-1)], [1000, 5, 1004])
      yield* Effect.forEach([2001, 2002, 2003, 2004, 2005], (id) =>
        post(id, "x".repeat(15 * 1024 * 1024)))
      assert.deepStrictEqual(yield* idsOf, [2002, 2003, 2004, 2005])
    }).pipe(local()))

  it.effect("refuses bad input before any request", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const fieldOf = (effect: Effect.Effect<unknown, { readonly _tag: string; readonly details: unknown }>) =>
        Effect.map(Effect.flip(effect), (error) => {
          assert.strictEqual(error._tag, "DustBadRequestError")
          return (error.details as { readonly field: string }).field
        })
      const serve = (options: Partial<McpServer.ServeOptions<ReadonlyArray<McpServer.Tool<never>>>>) =>
        fieldOf(Effect.scoped(servers.serve({ name: "My desk", tools: [], ...options })))
      const named = (name: string) => ({ ...greet, name })
      const ofInput = <A, I>(input: Schema.Schema<A, I>) =>
        McpServers.tool({ name: "odd", description: "", input, handler: () => Effect.succeed("") })
      assert.deepStrictEqual(
        yield* Effect.all([
          fieldOf(servers.register("desk")),
          fieldOf(servers.register("d".repeat(31))),
          fieldOf(servers.heartbeat(" ")),
          fieldOf(servers.postResult({ serverId: "", result: {} })),
          serve({ name: "desk" }),
          serve({ tools: [greet, greet] }),
          serve({ tools: [named("two words")] }),
          serve({ tools: [ofInput(Schema.String)] }),
          serve({ tools: [ofInput(Schema.Struct({ it: Schema.declare((u): u is URL => u instanceof URL) }))] }),
          serve({ concurrency: 0 }),
          serve({ heartbeat: "20 minutes" })
        ]),
        [
          "serverName",
          "serverName",
          "serverId",
          "serverId",
          "serverName",
          "tools",
          "tools",
          "tools.odd.input",
          "tools.odd.input",
          "concurrency",
          "heartbeat"
        ]
      )
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local()))

  it.scoped("speaks MCP", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({
        name: "My desk",
        tools: [greet],
        version: "2.0.0",
        instructions: "Greet everybody"
      })
      const serverId = yield* server.serverId
      assert.strictEqual(serverId, deskId)
      const say = (message: unknown) => Effect.zipRight(dust.sendMcp(serverId, message), settle)
      yield* say({ jsonrpc: "2.0", id: 0, method: "initialize", params: { protocolVersion: "2025-03-26" } })
      yield* say({ jsonrpc: "2.0", method: "notifications/initialized" })
      yield* say({ jsonrpc: "2.0", id: 1, method: "ping" })
      yield* say({ jsonrpc: "2.0", id: 2, method: "tools/list", params: {} })
      yield* say(call(3, "greet", { name: "Ada", times: 2 }))
      yield* say({ jsonrpc: "2.0", id: "4", method: "resources/list" })
      yield* say(call(5, "shout", {}))
      yield* say({ jsonrpc: "2.0", id: 6 })
      yield* say({ jsonrpc: "2.0", id: 7, result: {} })
      yield* say("nonsense")
      yield* say({ jsonrpc: "2.0", id: 8, method: "initialize", params: { protocolVersion: "1999-01-01" } })
      assert.deepStrictEqual(yield* postedTo(serverId), [
        {
          jsonrpc: "2.0",
          id: 0,
          result: {
            protocolVersion: "2025-03-26",
            capabilities: { tools: { listChanged: true } },
            serverInfo: { name: "My desk", version: "2.0.0" },
            instructions: "Greet everybody"
          }
        },
        { jsonrpc: "2.0", id: 1, result: {} },
        {
          jsonrpc: "2.0",
          id: 2,
          result: {
            tools: [{
              name: "greet",
              description: "Greets somebody",
              inputSchema: {
                type: "object",
                required: ["name"],
                properties: {
                  name: { type: "string", description: "Whom" },
                  times: { type: "integer", title: "int", description: "an integer" }
                },
                additionalProperties: false
              },
              annotations: { readOnlyHint: true }
            }]
          }
        },
        { jsonrpc: "2.0", id: 3, result: { content: [{ type: "text", text: "Hello AdaHello Ada" }], isError: false } },
        { jsonrpc: "2.0", id: "4", error: { code: -32601, message: "Method not found: resources/list" } },
        { jsonrpc: "2.0", id: 5, error: { code: -32602, message: "Unknown tool: shout" } },
        { jsonrpc: "2.0", id: 6, error: { code: -32600, message: "Invalid request: no method" } },
        {
          jsonrpc: "2.0",
          id: 8,
          result: {
            protocolVersion: "2025-11-25",
            capabilities: { tools: { listChanged: true } },
            serverInfo: { name: "My desk", version: "2.0.0" },
            instructions: "Greet everybody"
          }
        }
      ])
    }).pipe(local()))

  it.scoped("answers each request of a batch", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* dust.sendMcp(deskId, [
        call(1, "greet", { name: "Ada" }),
        { jsonrpc: "2.0", method: "notifications/initialized" },
        "nonsense",
        call(2, "greet", { name: "Grace" })
      ])
      yield* dust.sendMcp(deskId, [])
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map((posted) => [posted.id, textOf(posted)]), [
        [1, "Hello Ada"],
        [2, "Hello Grace"]
      ])
    }).pipe(local()))

  it.scoped("serve: returns the issues of invalid arguments to the agent, and hides other failures", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const Point = Schema.Struct({ x: Schema.NumberFromString, label: Schema.optional(Schema.String) }).annotations({
        identifier: "Point"
      })
      let reached = 0
      const tools = [
        McpServers.tool({
          name: "plot",
          description: "",
          input: Point,
          handler: ({ x }) => Effect.sync(() => `${++reached}: ${x + 1}`)
        }),
        McpServers.tool({
          name: "told",
          description: "",
          input: Schema.Struct({}),
          handler: () => Effect.fail(new McpServers.ToolError({ message: "The shop is closed" }))
        }),
        McpServers.tool({
          name: "failed",
          description: "",
          input: Schema.Struct({}),
          handler: () => Effect.fail({ _tag: "Secret", message: "password is hunter2" })
        }),
        McpServers.tool({
          name: "died",
          description: "",
          input: Schema.Struct({}),
          handler: (): Effect.Effect<string> => {
            throw new Error("password is hunter2")
          }
        }),
        McpServers.tool({
          name: "gave_up",
          description: "",
          input: Schema.Struct({}),
          handler: () => Effect.interrupt
        }),
        McpServers.tool({
          name: "picture",
          description: "",
          input: Schema.Struct({}),
          handler: () => Effect.succeed([{ type: "image", data: "aGk=", mimeType: "image/png" }] as const)
        })
      ] as const
      const server = yield* servers.serve({ name: "My desk", tools })
      const serverId = yield* server.serverId
      yield* dust.sendMcp(serverId, call(1, "plot", { x: "41" }))
      yield* dust.sendMcp(serverId, call(2, "plot", { x: 41, label: null }))
      yield* dust.sendMcp(serverId, call(3, "plot", undefined))
      yield* dust.sendMcp(serverId, call(4, "told", {}))
      yield* dust.sendMcp(serverId, call(5, "failed", {}))
      yield* dust.sendMcp(serverId, call(6, "died", {}))
      yield* dust.sendMcp(serverId, call(7, "gave_up", {}))
      yield* dust.sendMcp(serverId, call(8, "picture", {}))
      yield* dust.sendMcp(serverId, { jsonrpc: "2.0", id: 9, method: "tools/list" })
      yield* settle
      const posted = yield* postedTo(serverId)
      const byId = (id: number) => posted.find((one) => one.id === id)
      assert.strictEqual(posted.length, 9)
      assert.strictEqual(textOf(byId(1)), "1: 42")
      assert.strictEqual(reached, 1)
      assert.include(textOf(byId(2)), "x: expected")
      assert.include(textOf(byId(2)), "label: expected")
      assert.notInclude(textOf(byId(2)), "41")
      assert.include(textOf(byId(3)), "x: is missing")
      assert.strictEqual(textOf(byId(4)), "The shop is closed")
      assert.strictEqual(textOf(byId(5)), "The tool failed failed.")
      assert.strictEqual(textOf(byId(6)), "The tool died failed.")
      assert.strictEqual(textOf(byId(7)), "The tool failed.")
      for (const id of [2, 3, 4, 5, 6, 7]) assert.isTrue(byId(id)?.result?.isError)
      assert.deepStrictEqual(byId(8)?.result, {
        content: [{ type: "image", data: "aGk=", mimeType: "image/png" }],
        isError: false
      })
      const listed = byId(9)?.result?.tools ?? []
      assert.deepStrictEqual(listed.map(({ inputSchema }) => inputSchema["type"]), tools.map(() => "object"))
      assert.notInclude(JSON.stringify(posted), "hunter2")
    }).pipe(local(), Effect.provide(Logger.remove(Logger.defaultLogger))))

  it.scoped("takes a class for its input, whatever its name has in it", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      class Order extends Schema.Class<Order>("shop/orders~Order")({ number: Schema.Number }) {
        get label() {
          return `Order ${this.number}`
        }
      }
      const show = McpServers.tool({
        name: "show",
        description: "",
        input: Order,
        handler: (order) => Effect.succeed(order.label)
      })
      yield* servers.serve({ name: "My desk", tools: [show] })
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", id: 1, method: "tools/list" })
      yield* dust.sendMcp(deskId, call(2, "show", { number: 42 }))
      yield* settle
      const [listed, shown] = yield* postedTo(deskId)
      const schema = listed?.result?.tools?.[0]?.inputSchema
      assert.deepStrictEqual([schema?.["type"], schema?.["properties"]], ["object", { number: { type: "number" } }])
      assert.strictEqual(textOf(shown), "Order 42")
    }).pipe(local()))

  it.scoped("uses references in an input schema only for recursive types", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      interface Folder {
        readonly name: string
        readonly folders: ReadonlyArray<Folder>
      }
      const Folder: Schema.Schema<Folder> = Schema.Struct({
        name: Schema.NonEmptyString,
        folders: Schema.Array(Schema.suspend(() => Folder))
      }).annotations({ identifier: "Folder" })
      const Owner = Schema.Struct({ age: Schema.Int }).annotations({ identifier: "Owner" })
      const file = McpServers.tool({
        name: "file",
        description: "",
        input: Schema.Struct({ root: Folder, owner: Owner }),
        handler: () => Effect.succeed("")
      })
      yield* servers.serve({ name: "My desk", tools: [file] })
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", id: 1, method: "tools/list" })
      yield* settle
      const [listed] = yield* postedTo(deskId)
      assert.deepStrictEqual(listed?.result?.tools?.[0]?.inputSchema, {
        type: "object",
        required: ["root", "owner"],
        properties: {
          root: { $ref: "#/$defs/Folder" },
          owner: {
            type: "object",
            required: ["age"],
            properties: { age: { type: "integer", title: "int", description: "an integer" } },
            additionalProperties: false
          }
        },
        additionalProperties: false,
        $defs: {
          Folder: {
            type: "object",
            required: ["name", "folders"],
            properties: {
              name: { type: "string", title: "nonEmptyString", description: "a non empty string", minLength: 1 },
              folders: { type: "array", items: { $ref: "#/$defs/Folder" } }
            },
            additionalProperties: false
          }
        }
      })
    }).pipe(local()))

  it.scoped("provides handlers with their services", () =>
    Effect.gen(function*() {
      class Shop extends Context.Tag("Shop")<Shop, { readonly price: number }>() {}
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const price = McpServers.tool({
        name: "price",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.map(Shop, ({ price }) => `${price} euros`)
      })
      const needs: Effect.Effect<McpServer.Server, unknown, Shop | Scope.Scope> = servers.serve({
        name: "My desk",
        tools: [greet, price]
      })
      yield* Effect.provideService(needs, Shop, { price: 9 })
      yield* dust.sendMcp(deskId, call(1, "price", {}))
      yield* settle
      assert.strictEqual(textOf((yield* postedTo(deskId))[0]), "9 euros")
    }).pipe(local()))

  it.scoped("gives every call a scope of its own", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      let opened = 0
      let closed = 0
      const borrow = McpServers.tool({
        name: "borrow",
        description: "",
        input: Schema.Struct({}),
        handler: () =>
          Effect.as(
            Effect.acquireRelease(Effect.sync(() => opened++), () => Effect.sync(() => closed++)),
            "done"
          )
      })
      const needsNothing: McpServer.Tool<never> = borrow
      yield* servers.serve({ name: "My desk", tools: [needsNothing] })
      yield* dust.sendMcp(deskId, call(1, "borrow", {}))
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["done"])
      assert.deepStrictEqual([opened, closed], [1, 1])
    }).pipe(local()))

  it.scoped("sends a heartbeat every five minutes", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/heartbeat", status: 200 }), 12)
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 1)
      assert.strictEqual(yield* server.serverId, deskId)
      assert.strictEqual(yield* dust.openStreams, 1)
    }).pipe(local()))

  it.scoped("keeps its id through failing heartbeats", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* dust.fault({ path: "/mcp/heartbeat", fault: DustTest.faults.status(503) })
      yield* TestClock.adjust("7 minutes")
      assert.isAbove(yield* dust.countRequests({ path: "/mcp/heartbeat", status: 503 }), 2)
      yield* dust.clearFaults
      yield* TestClock.adjust("2 minutes")
      assert.isAbove(yield* dust.countRequests({ path: "/mcp/heartbeat", status: 200 }), 0)
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 1)
      assert.strictEqual(yield* server.serverId, deskId)
    }).pipe(local()))

  it.scoped("continues behind the last event after an interruption, and at once after an orderly close", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const runs = yield* Ref.make(0)
      const count = McpServers.tool({
        name: "count",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.map(Ref.updateAndGet(runs, (n) => n + 1), String)
      })
      yield* servers.serve({ name: "My desk", tools: [count] })
      yield* dust.sendMcp(deskId, call(1, "count", {}))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 1)

      // The silence limit of the server closes the stream with `done`; nothing waits before the next connection.
      yield* TestClock.adjust("301 seconds")
      yield* dust.sendMcp(deskId, call(2, "count", {}))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 2)

      // Two minutes without any way to connect.
      yield* dust.fault({ path: requestsPath, fault: DustTest.faults.refuse() })
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* dust.openStreams, 0)
      yield* dust.sendMcp(deskId, call(3, "count", {}))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Ref.get(runs), 2)
      yield* dust.clearFaults
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Ref.get(runs), 3)
      const reopened = yield* dust.lastRequest({ path: requestsPath })
      assert.match(String(reopened.query["lastEventId"]), /^\d+-\d+$/)
      assert.deepStrictEqual((yield* postedTo(deskId)).map(({ id }) => id), [1, 2, 3])
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 1)
    }).pipe(local()))

  it.scoped("resumes without loss when the connection drops between events of one millisecond", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const page = (...ids: ReadonlyArray<readonly [eventId: string, id: number]>) =>
        DustTest.faults.status(200, {
          contentType: "text/event-stream",
          body: ids.map(([eventId, id]) => ({ eventId, data: call(id, "greet", { name: `${id}` }) }))
            .map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")
        })
      const first = [["4-0", 0], ["5-1", 1], ["5-10", 10]] as const
      yield* dust.fault({ path: requestsPath, nth: 1, fault: page(...first) })
      yield* dust.fault({ path: requestsPath, nth: [2, 3, 4, 5, 6, 7, 8], fault: DustTest.faults.refuse() })
      const late = ["5-2", 2] as const
      yield* dust.fault({
        path: requestsPath,
        when: ({ query }) => query.get("lastEventId") === "4-0",
        fault: page(first[1], first[2], late)
      })
      yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* TestClock.adjust("2 minutes")
      const posted = yield* postedTo(deskId)
      assert.deepStrictEqual([...new Set(posted.map(({ id }) => id))], [0, 1, 10, 2])
    }).pipe(local()))

  it.scoped("registers again when Dust has forgotten the server, and only then", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      const ids = yield* Effect.fork(Stream.runCollect(Stream.take(server.serverIds, 2)))
      yield* settle
      // Another registration takes the name meanwhile.
      yield* dust.expireMcpServer(deskId)
      yield* servers.register("My desk")
      yield* dust.expireMcpServer(deskId)
      yield* servers.register("My desk")
      yield* dust.fault({
        path: "/mcp/heartbeat",
        nth: 1,
        fault: DustTest.faults.status(404, { type: "mcp_server_connection_not_found" })
      })
      yield* TestClock.adjust("6 minutes")
      assert.strictEqual(yield* server.serverId, `${deskId}.1`)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(ids)), [deskId, `${deskId}.1`])
      yield* dust.sendMcp(`${deskId}.1`, call(1, "greet", { name: "Ada" }))
      yield* settle
      assert.strictEqual(textOf((yield* postedTo(`${deskId}.1`))[0]), "Hello Ada")
    }).pipe(local()))

  it.scoped("sends a heartbeat to verify a refused stream", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* settle
      yield* dust.fault({
        path: requestsPath,
        times: 1,
        fault: DustTest.faults.status(403, { type: "mcp_auth_error" })
      })
      yield* TestClock.adjust("5 minutes")
      assert.isAbove(yield* dust.countRequests({ path: requestsPath, status: 403 }), 0)
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 1)
      assert.strictEqual(yield* server.serverId, deskId)
      yield* dust.sendMcp(deskId, call(1, "greet", { name: "Ada" }))
      yield* settle
      assert.strictEqual(textOf((yield* postedTo(deskId))[0]), "Hello Ada")
    }).pipe(local()))

  it.scoped("runs a call that is delivered twice once", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const gate = yield* Deferred.make<void>()
      const runs = yield* Ref.make(0)
      const slow = McpServers.tool({
        name: "slow",
        description: "",
        input: Schema.Struct({ n: Schema.Number }),
        handler: ({ n }) => Effect.zipRight(Ref.update(runs, (all) => all + 1), Effect.as(Deferred.await(gate), `${n}`))
      })
      yield* dust.fault({ path: requestsPath, fault: DustTest.faults.doubleFrames() })
      yield* servers.serve({ name: "My desk", tools: [slow] })
      yield* settle
      // Each frame twice; then the same request under another event id, while it runs.
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 1 }))
      yield* settle
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 1 }))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 1)
      // A second session counts its ids anew: the same id with other arguments is another call.
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 2 }))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 2)
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["1", "2"])
      // Once more after the answer: answered from memory.
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 1 }))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 2)
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["1", "2", "1"])
      // Said again in a new session, it is meant.
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", id: 0, method: "initialize", params: {} })
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 1 }))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 3)
    }).pipe(local()))

  it.scoped("does not mistake a replayed session for a new one", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const runs = yield* Ref.make(0)
      const count = McpServers.tool({
        name: "count",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.map(Ref.updateAndGet(runs, (n) => n + 1), String)
      })
      const session = DustTest.faults.status(200, {
        contentType: "text/event-stream",
        body: [
          { eventId: "1-0", data: { jsonrpc: "2.0", id: 0, method: "initialize", params: {} } },
          { eventId: "1-1", data: call(1, "count", {}) }
        ].map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")
      })
      yield* dust.fault({ path: requestsPath, nth: [1, 3], fault: session })
      yield* dust.fault({
        path: requestsPath,
        nth: 2,
        fault: DustTest.faults.status(403, { type: "mcp_auth_error" })
      })
      yield* servers.serve({ name: "My desk", tools: [count] })
      yield* TestClock.adjust("30 seconds")
      assert.isAtLeast(yield* dust.countRequests({ path: requestsPath }), 4)
      assert.strictEqual(yield* Ref.get(runs), 1)
      assert.deepStrictEqual((yield* postedTo(deskId)).filter(({ id }) => id === 1).map(textOf), ["1", "1"])
    }).pipe(local()))

  it.scoped("checks its registration as soon as a result is refused", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* settle
      yield* dust.fault({ path: resultsPath, fault: DustTest.faults.status(403, { type: "mcp_auth_error" }) })
      yield* dust.sendMcp(deskId, call(1, "greet", { name: "Ada" }))
      yield* settle
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/heartbeat", status: 200 }), 1)
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual(yield* dust.countRequests({ path: resultsPath }), 2)
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 1)
    }).pipe(local()))

  it.scoped("posts a refused result again when it is still registered", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      const ids = yield* Effect.fork(
        Stream.runCollect(Stream.interruptWhen(server.serverIds, Effect.sleep("1 minute")))
      )
      yield* settle
      yield* dust.fault({
        path: resultsPath,
        times: 1,
        fault: DustTest.faults.status(403, { type: "mcp_auth_error" })
      })
      yield* dust.sendMcp(deskId, call(1, "greet", { name: "Ada" }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["Hello Ada"])
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 1)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(ids)), [deskId])
    }).pipe(local()))

  it.scoped("posts an answer until Dust has it", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* settle
      yield* dust.fault({ path: resultsPath, fault: DustTest.faults.resetBefore() })
      yield* dust.sendMcp(deskId, call(1, "greet", { name: "Ada" }))
      yield* TestClock.adjust("3 minutes")
      assert.deepStrictEqual(yield* postedTo(deskId), [])
      yield* dust.clearFaults
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["Hello Ada"])
    }).pipe(local()))

  it.scoped("retries the result of a slow call like any other", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const gate = yield* Deferred.make<void>()
      const slow = McpServers.tool({
        name: "slow",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.as(Deferred.await(gate), "done")
      })
      yield* servers.serve({ name: "My desk", tools: [slow] })
      yield* dust.sendMcp(deskId, call(1, "slow", {}))
      yield* TestClock.adjust("30 minutes")
      yield* dust.fault({ path: resultsPath, fault: DustTest.faults.resetBefore() })
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("3 minutes")
      yield* dust.clearFaults
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["done"])
    }).pipe(local()))

  it.scoped("answers with an error when a result is too large", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const huge = McpServers.tool({
        name: "huge",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.sync(() => "x".repeat(17 * 1024 * 1024))
      })
      yield* servers.serve({ name: "My desk", tools: [huge] })
      yield* dust.sendMcp(deskId, call(1, "huge", {}))
      yield* settle
      const [posted] = yield* postedTo(deskId)
      assert.strictEqual(posted?.error?.code, -32603)
      assert.include(posted?.error?.message, "too large")
    }).pipe(local()))

  it.scoped("answers with an error when a result is not JSON-serializable or Dust refuses it", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const circular: { readonly type: "text"; readonly text: string; self?: unknown } = { type: "text", text: "" }
      circular.self = circular
      const round = McpServers.tool({
        name: "round",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.succeed([circular])
      })
      yield* servers.serve({ name: "My desk", tools: [round, greet] })
      yield* dust.sendMcp(deskId, call(1, "round", {}))
      yield* settle
      yield* dust.fault({ path: resultsPath, times: 1, fault: DustTest.faults.status(400) })
      yield* dust.sendMcp(deskId, call(2, "greet", { name: "Ada" }))
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map(({ error, id }) => [id, error?.code]), [
        [1, -32603],
        [2, -32603]
      ])
    }).pipe(local()))

  it.scoped("posts a result under the newer registration", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const gate = yield* Deferred.make<void>()
      const slow = McpServers.tool({
        name: "slow",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.as(Deferred.await(gate), "done")
      })
      yield* servers.serve({ name: "My desk", tools: [slow] })
      yield* dust.sendMcp(deskId, call(1, "slow", {}))
      yield* settle
      yield* dust.expireMcpServer(deskId)
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* dust.countRequests({ path: resultsPath, status: 403 }), 1)
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 2)
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["done"])
    }).pipe(local()))

  it.scoped("posts an answer again when the refusal comes later than the registration that cures it", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const gate = yield* Deferred.make<void>()
      const slow = McpServers.tool({
        name: "slow",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.as(Deferred.await(gate), "done")
      })
      yield* servers.serve({ name: "My desk", tools: [slow] })
      yield* dust.sendMcp(deskId, call(1, "slow", {}))
      yield* settle
      yield* dust.fault({ path: resultsPath, times: 1, fault: DustTest.faults.delayBody("5 seconds") })
      yield* dust.expireMcpServer(deskId)
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* dust.countRequests({ path: "/mcp/register" }), 2)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["done"])
    }).pipe(local()))

  it.scoped("interrupts a call that is cancelled, and does not answer it", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const interrupted = yield* Deferred.make<void>()
      const endless = McpServers.tool({
        name: "endless",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      })
      yield* servers.serve({ name: "My desk", tools: [endless, greet] })
      yield* dust.sendMcp(deskId, call(1, "endless", {}))
      yield* settle
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } })
      yield* Deferred.await(interrupted)
      yield* dust.sendMcp(deskId, call(2, "greet", { name: "Ada" }))
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map(({ id }) => id), [2])
    }).pipe(local()))

  it.scoped("serve: a cancellation interrupts neither of two calls with the same id, because it is ambiguous", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const gate = yield* Deferred.make<void>()
      const slow = McpServers.tool({
        name: "slow",
        description: "",
        input: Schema.Struct({ n: Schema.Number }),
        handler: ({ n }) => Effect.as(Deferred.await(gate), `${n}`)
      })
      yield* servers.serve({ name: "My desk", tools: [slow] })
      // Two sessions, which both count from 0.
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 1 }))
      yield* dust.sendMcp(deskId, call(1, "slow", { n: 2 }))
      yield* settle
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } })
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), ["1", "2"])
    }).pipe(local()))

  it.scoped("runs a call that was cancelled when a new session asks for it again, and not when it is replayed", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const runs = yield* Ref.make(0)
      const slowAtFirst = McpServers.tool({
        name: "slow_at_first",
        description: "",
        input: Schema.Struct({}),
        handler: () =>
          Effect.flatMap(Ref.updateAndGet(runs, (n) => n + 1), (n) => n === 1 ? Effect.never : Effect.succeed(`${n}`))
      })
      yield* servers.serve({ name: "My desk", tools: [slowAtFirst] })
      const session = { jsonrpc: "2.0", id: 0, method: "initialize", params: {} }
      yield* dust.sendMcp(deskId, session)
      yield* dust.sendMcp(deskId, call(1, "slow_at_first", {}))
      yield* settle
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } })
      yield* dust.sendMcp(deskId, call(1, "slow_at_first", {}))
      yield* settle
      assert.strictEqual(yield* Ref.get(runs), 1)
      yield* dust.sendMcp(deskId, session)
      yield* dust.sendMcp(deskId, call(1, "slow_at_first", {}))
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).filter(({ id }) => id === 1).map(textOf), ["2"])
    }).pipe(local()))

  it.scoped("limits concurrent calls, and answers pings meanwhile", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const now = yield* Ref.make(0)
      const most = yield* Ref.make(0)
      const wait = McpServers.tool({
        name: "wait",
        description: "",
        input: Schema.Struct({ n: Schema.Number }),
        handler: ({ n }) =>
          Effect.gen(function*() {
            const running = yield* Ref.updateAndGet(now, (n) => n + 1)
            yield* Ref.update(most, (before) => Math.max(before, running))
            yield* Effect.sleep("1 second")
            yield* Ref.update(now, (n) => n - 1)
            return `${n}`
          })
      })
      yield* servers.serve({ name: "My desk", tools: [wait], concurrency: 2 })
      for (let n = 0; n < 6; n++) yield* dust.sendMcp(deskId, call(n, "wait", { n }))
      yield* dust.sendMcp(deskId, { jsonrpc: "2.0", id: "ping", method: "ping" })
      yield* settle
      assert.deepStrictEqual((yield* postedTo(deskId)).map(({ id }) => id), ["ping"])
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* postedTo(deskId)).length, 7)
      assert.strictEqual(yield* Ref.get(most), 2)
    }).pipe(local()))

  it.effect("shutdown: interrupts and answers calls, deregisters the server, leaves nothing open", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const scope = yield* Scope.make()
      const interrupted = yield* Deferred.make<void>()
      const endless = McpServers.tool({
        name: "endless",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      })
      const server = yield* Scope.extend(servers.serve({ name: "My desk", tools: [endless] }), scope)
      yield* dust.sendMcp(deskId, call(1, "endless", {}))
      yield* settle
      assert.strictEqual(yield* dust.openStreams, 1)
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(interrupted)
      yield* server.closed
      const [posted] = yield* postedTo(deskId)
      assert.strictEqual(textOf(posted), "The application that offers this tool was closed.")
      assert.deepStrictEqual(yield* dust.mcpServers, [])
      assert.strictEqual(yield* dust.openStreams, 0)
      yield* dust.clearRequests
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local()))

  it.effect("has no more ids once it is closed, or the credential is no longer accepted", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(servers.serve({ name: "My desk", tools: [greet] }), scope)
      const ids = yield* Effect.fork(Stream.runCollect(server.serverIds))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(ids)), [deskId])
      yield* Stream.runDrain(server.serverIds)

      yield* Effect.scoped(Effect.gen(function*() {
        const server = yield* servers.serve({ name: "My desk", tools: [greet] })
        const ids = yield* Effect.fork(Stream.runCollect(server.serverIds))
        yield* settle
        yield* dust.expireToken(dust.userToken)
        yield* TestClock.adjust("2 minutes")
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(ids)), [deskId])
      }))
    }).pipe(local()))

  it.effect("shutdown: does not repost a result", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const scope = yield* Scope.make()
      yield* Scope.extend(servers.serve({ name: "My desk", tools: [greet] }), scope)
      yield* dust.sendMcp(deskId, call(1, "greet", { name: "Ada" }))
      yield* settle
      yield* dust.fault({ path: "/mcp/results", fault: DustTest.faults.status(503) })
      yield* dust.sendMcp(deskId, call(1, "greet", { name: "Ada" }))
      yield* settle
      assert.isAbove(yield* dust.countRequests({ path: "/mcp/results", status: 503 }), 0)
      yield* Scope.close(scope, Exit.void)
      yield* dust.clearRequests
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local()))

  it.effect("shutdown: also runs on interruption, with a limit for an unresponsive server", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const serving = yield* Effect.fork(
        Effect.scoped(Effect.zipRight(servers.serve({ name: "My desk", tools: [greet] }), Effect.never))
      )
      yield* settle
      yield* Fiber.interrupt(serving)
      assert.deepStrictEqual(yield* dust.mcpServers, [])

      const again = yield* Effect.fork(
        Effect.scoped(Effect.zipRight(servers.serve({ name: "My desk", tools: [greet] }), Effect.never))
      )
      yield* settle
      yield* dust.fault({ path: "/mcp/deregister", fault: DustTest.faults.neverAnswer() })
      const stopping = yield* Effect.fork(Fiber.interrupt(again))
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* dust.openStreams, 0)
    }).pipe(local()))

  it.effect("shutdown: waits for an uninterruptible handler, up to a limit", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const scope = yield* Scope.make()
      const gate = yield* Deferred.make<void>()
      const stubborn = McpServers.tool({
        name: "stubborn",
        description: "",
        input: Schema.Struct({}),
        handler: () => Effect.uninterruptible(Effect.as(Deferred.await(gate), "done"))
      })
      const server = yield* Scope.extend(servers.serve({ name: "My desk", tools: [stubborn] }), scope)
      yield* dust.sendMcp(deskId, call(1, "stubborn", {}))
      yield* settle
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("4 seconds")
      assert.lengthOf(yield* dust.mcpServers, 1)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      yield* server.closed
      assert.deepStrictEqual(yield* dust.mcpServers, [])
      assert.deepStrictEqual((yield* postedTo(deskId)).map(textOf), [
        "The application that offers this tool was closed."
      ])
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(yield* dust.countRequests({ path: resultsPath }), 1)
    }).pipe(Effect.timeout("1 minute"), local()))

  it.scoped("closes with the error when the credential is no longer accepted", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const dust = yield* DustTest.DustTest
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      yield* settle
      yield* dust.expireToken(dust.userToken)
      const error = yield* Effect.fork(Effect.flip(server.closed))
      // The connection is renewed long before the next sign of life.
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(error))._tag, "DustUnauthorizedError")
    }).pipe(local()))

  it.scoped("is called by an agent of a conversation, end to end", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const conversations = yield* Conversations.Conversations
      const server = yield* servers.serve({ name: "My desk", tools: [greet] })
      const { sId } = yield* conversations.create({ title: "Greetings" })
      const asked = yield* conversations.createMessage({
        conversationId: sId,
        content: "Greet Ada and Grace",
        mentions: [{ configurationId: "host" }],
        context: { clientSideMCPServerIds: [yield* server.serverId] },
        blocking: true
      })
      assert.strictEqual(asked.agentMessages[0]?.content, "They said: Hello Ada, Hello Grace")
      assert.deepStrictEqual((yield* postedTo(deskId)).length, 4)
    }).pipe(local({
      agents: {
        host: [
          DustTest.clientTool({
            name: "greet",
            inputs: { name: "Ada" },
            onResult: (ada) => [
              DustTest.clientTool({
                name: "greet",
                inputs: { name: "Grace" },
                onResult: (grace) => `They said: ${ada.output}, ${grace.output}`
              })
            ]
          })
        ]
      }
    })))

  it.scoped("is greeted by the agent before the first call, and greeted again if it did not answer", () =>
    Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const conversations = yield* Conversations.Conversations
      const { serverId } = yield* servers.register("My desk")
      const heard: Array<{ readonly id?: number; readonly method: string }> = []
      yield* servers.requests({ serverId }).pipe(
        Stream.runForEach(({ message }) => Effect.sync(() => heard.push(message as (typeof heard)[number]))),
        Effect.forkScoped
      )
      const methods = () => heard.splice(0).map(({ method }) => method)
      const answer = Effect.suspend(() =>
        servers.postResult({ serverId, result: { jsonrpc: "2.0", id: heard.at(-1)?.id ?? 0, result: {} } })
      )
      const { sId } = yield* conversations.create({ title: "Greetings" })
      yield* conversations.createMessage({
        conversationId: sId,
        content: "Greet Ada and Grace",
        mentions: [{ configurationId: "host" }],
        context: { clientSideMCPServerIds: [serverId] }
      })
      yield* settle
      assert.deepStrictEqual(methods(), ["initialize"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(heard.map(({ method }) => method), ["initialize"])
      yield* answer
      yield* settle
      assert.deepStrictEqual(heard.map(({ method }) => method), [
        "initialize",
        "notifications/initialized",
        "tools/list"
      ])
      yield* answer
      yield* settle
      assert.deepStrictEqual(methods().slice(3), ["tools/call", "tools/call"])
    }).pipe(local({
      agents: {
        host: [
          DustTest.clientTool({ name: "greet", inputs: { name: "Nobody" }, timeout: "1 minute" }),
          DustTest.parallel([
            DustTest.clientTool({ name: "greet", inputs: { name: "Ada" } }),
            DustTest.clientTool({ name: "greet", inputs: { name: "Grace" } })
          ])
        ]
      }
    })))

  it.effect("is one of the services of the whole SDK", () =>
    Effect.scoped(Layer.build(DustTest.layer())).pipe(
      Effect.map((context) => assert.isObject(Context.get(context, McpServers.McpServers)))
    ))
})
