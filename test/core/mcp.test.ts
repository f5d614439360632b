/** All that serving an MCP server does, as a journal by the clock, over endpoints that do as they are told. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, HashMap, Logger, Queue, Random, Scope, Stream } from "effect"
import {
  DustBadRequestError,
  DustContentTooLargeError,
  DustForbiddenError,
  DustNotFoundError,
  DustServerError,
  DustUnauthorizedError,
  DustUserRequiredError,
  type RequestError
} from "effect-dust/DustAPIError"
import type * as McpServer from "effect-dust/McpServer"
import { operations } from "../../src/internal/api/conversations.ts"
import type { Endpoints } from "../../src/internal/mcp/endpoints.ts"
import { serve } from "../../src/internal/mcp/serve.ts"
import { transport } from "../../src/internal/mcp/transport.ts"
import { badInput } from "../../src/internal/request/errors.ts"
import { virtualClock } from "../support/virtual.ts"

const begin = 1_750_000_000_000
// Any will do: errors name it.
const identity = operations.events.read

const common = { module: "McpServers", method: "x", attempts: 1, request: undefined, details: {}, message: "no" }
const errors = {
  away: new DustServerError({ ...common, status: 503, type: "service_unavailable" }),
  gone: new DustNotFoundError({ ...common, status: 404, type: "mcp_server_connection_not_found" }),
  unknown: new DustForbiddenError({ ...common, status: 403, type: "mcp_auth_error" }),
  forbidden: new DustForbiddenError({ ...common, status: 403, type: "workspace_auth_error" }),
  unauthorized: new DustUnauthorizedError({ ...common, status: 401, type: "invalid_api_key" }),
  noToken: new DustUnauthorizedError({ ...common, type: "token_unavailable" }),
  noUser: new DustUserRequiredError({ ...common, type: "user_required" }),
  refused: new DustBadRequestError({ ...common, status: 400, type: "invalid_request_error" }),
  tooLarge: new DustContentTooLargeError({ ...common, status: 413 }),
  missing: new DustNotFoundError({ ...common, status: 404, type: "workspace_not_found" })
} satisfies Record<string, RequestError>
type ErrorName = keyof typeof errors

interface Script {
  /** What is delivered: after how many milliseconds, the message, and its event. */
  readonly messages?: ReadonlyArray<readonly [at: number, message: unknown, eventId?: string]>
  /** The answers of each endpoint in turn: an error, or success; the last one repeats. */
  readonly registers?: ReadonlyArray<ErrorName | string>
  readonly heartbeats?: ReadonlyArray<ErrorName | "alive">
  readonly posts?: ReadonlyArray<ErrorName | "posted">
  readonly goodbyes?: ReadonlyArray<ErrorName | "gone already">
  /** How the streams of requests end: after how many milliseconds, and with what; open by default. */
  readonly streams?: ReadonlyArray<readonly [after: number, ends: ErrorName | "end"] | undefined>
  /** Closes then. */
  readonly until: number
  readonly heartbeat?: string
  /** How long a call of the tool takes; it answers with its argument. */
  readonly takes?: number
}

const isError = (name: string | undefined): name is ErrorName => name !== undefined && Object.hasOwn(errors, name)

/** Endpoints that note how they are called. */
const scripted = (script: Script) => {
  const clock = virtualClock(begin)
  const lines: Array<string> = []
  const note = (line: string) => lines.push(`${Math.round(clock.unsafeCurrentTimeMillis() - begin)} ${line}`)
  const counts = { registers: 0, heartbeats: 0, posts: 0, goodbyes: 0, streams: 0 }
  const next = (of: "registers" | "heartbeats" | "posts" | "goodbyes"): string | undefined => {
    const all: ReadonlyArray<string> = script[of] ?? []
    return all[Math.min(counts[of]++, all.length - 1)]
  }
  const answered = <A>(name: string | undefined, value: A): Effect.Effect<A, RequestError> =>
    isError(name) ? Effect.fail(errors[name]) : Effect.succeed(value)
  const inbox = Effect.runSync(Queue.unbounded<McpServer.McpRequest>())
  const endpoints: Endpoints = {
    owner: {},
    register: (name) =>
      Effect.suspend(() => {
        note(`register ${name}`)
        const found = next("registers") ?? "s1"
        return answered(found, { serverId: found, expiresAt: null })
      }),
    heartbeat: (serverId) =>
      Effect.suspend(() => {
        note(`heartbeat ${serverId}`)
        return answered(next("heartbeats"), { serverId, expiresAt: null })
      }),
    requests: ({ lastEventId, serverId }) =>
      Stream.suspend(() => {
        note(`read ${serverId} ${lastEventId ?? "from the start"}`)
        const ending = script.streams?.[counts.streams++]
        const open = Stream.fromQueue(inbox)
        if (ending === undefined) return open
        const [after, name] = ending
        return Stream.concat(
          Stream.interruptAfter(open, after),
          isError(name) ? Stream.fail(errors[name]) : Stream.empty
        )
      }),
    postResult: ({ result, serverId }) =>
      Effect.suspend(() => {
        note(`post ${serverId} ${JSON.stringify(result)}`)
        return answered(next("posts"), undefined)
      }),
    deregister: (serverId) =>
      Effect.suspend(() => {
        note(`deregister ${serverId}`)
        return answered(next("goodbyes"), undefined)
      })
  }
  const logger = Logger.make<unknown, void>(({ annotations, logLevel, message }) => {
    if (logLevel.label === "WARN") {
      const found = HashMap.toEntries(annotations).toSorted(([a], [b]) => a < b ? -1 : 1)
      note(`${String(message)} ${JSON.stringify(Object.fromEntries(found))}`)
    }
  })
  const deliver = Effect.forEach(
    script.messages ?? [],
    ([at, message, eventId]) => Effect.delay(inbox.offer({ eventId, message }), at),
    { concurrency: "unbounded" }
  )
  const run = (self: Effect.Effect<unknown, unknown, Scope.Scope>) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Effect.catchAll(Scope.extend(self, scope), (error) => Effect.sync(() => note(`failed ${error}`)))
      yield* Effect.fork(deliver)
      yield* Effect.sleep(script.until)
      note("close")
      yield* Scope.close(scope, Exit.void)
      return lines
    }).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Effect.withRandom(Random.fixed([0.5])),
      Effect.withClock(clock),
      Effect.runPromise
    )
  return { endpoints, run, note }
}

const journalOf = (script: Script): Promise<ReadonlyArray<string>> => {
  const { endpoints, note, run } = scripted(script)
  const echo: McpServer.Tool<never> = {
    name: "echo",
    description: "Repeats",
    annotations: undefined,
    inputSchema: Effect.succeed({}),
    outputSchema: undefined,
    call: (args) => {
      note(`call ${JSON.stringify(args)}`)
      const result = Effect.succeed({ content: [{ type: "text" as const, text: String(args) }], isError: false })
      return (script.takes === undefined ? result : Effect.delay(result, script.takes)).pipe(
        Effect.onInterrupt(() => Effect.sync(() => note("interrupted")))
      )
    }
  }
  return run(Effect.gen(function*() {
    const server = yield* serve(endpoints, identity, {
      name: "My desk",
      tools: [echo],
      heartbeat: script.heartbeat as never
    })
    yield* Effect.forkDaemon(Stream.runForEach(server.serverIds, (id) => Effect.sync(() => note(`is ${id}`))))
    yield* Effect.forkDaemon(Effect.matchEffect(server.closed, {
      onSuccess: () => Effect.sync(() => note("closed")),
      onFailure: (error) => Effect.sync(() => note(`closed by ${error._tag}`))
    }))
  }))
}

const call = (id: string | number, args: string) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "echo", arguments: args }
})
const answer = (id: string | number, text: string, isError = false) =>
  JSON.stringify({ jsonrpc: "2.0", id, result: { content: [{ type: "text", text }], isError } })
const failure = (id: string | number, code: number, message: string) =>
  JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } })

const start = ["0 register My desk", "0 read s1 from the start", "0 is s1"]
const end = (at: number, id = "s1") => [`${at} close`, `${at} deregister ${id}`, `${at} closed`]

interface Row {
  readonly title: string
  readonly script: Script
  readonly journal: ReadonlyArray<string>
}

const rows: ReadonlyArray<Row> = [
  {
    title: "a sign of life every five minutes",
    script: { until: 601_000 },
    journal: [...start, "300000 heartbeat s1", "600000 heartbeat s1", ...end(601_000)]
  },
  {
    title: "a sign of life that fails is repeated after growing pauses, also without a token",
    script: { heartbeats: ["away", "noToken", "alive"], heartbeat: "1 second", until: 3_500 },
    journal: [
      ...start,
      "1000 heartbeat s1",
      "1500 heartbeat s1",
      "2500 heartbeat s1",
      "3500 close",
      "3500 deregister s1",
      "3500 closed"
    ]
  },
  {
    title: "pauses grow up to half a minute",
    script: {
      registers: ["s1", "away", "away", "away", "away", "away", "away", "away", "away", "s2"],
      heartbeats: ["gone"],
      until: 400_000
    },
    journal: [
      ...start,
      "300000 heartbeat s1",
      ...[0, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 61_500, 91_500].map((after) =>
        `${300_000 + after} register My desk`
      ),
      "391500 is s2",
      "391500 read s2 from the start",
      ...end(400_000, "s2")
    ]
  },
  {
    title: "a server that Dust does not know is registered again",
    script: { registers: ["s1", "s2"], heartbeats: ["unknown", "alive"], heartbeat: "9 minutes", until: 541_000 },
    journal: [
      ...start,
      "540000 heartbeat s1",
      "540000 register My desk",
      "540000 is s2",
      "540000 read s2 from the start",
      ...end(541_000, "s2")
    ]
  },
  ...(["unauthorized", "noUser", "forbidden"] as const).flatMap((name): ReadonlyArray<Row> => [
    {
      title: `a sign of life that is refused (${name}) closes the server`,
      script: { heartbeats: [name], heartbeat: "1 second", until: 2_000 },
      journal: [
        ...start,
        "1000 heartbeat s1",
        `1000 closed by ${errors[name]._tag}`,
        "2000 close",
        "2000 deregister s1"
      ]
    },
    {
      title: `a stream that is refused (${name}) closes the server`,
      script: { streams: [[100, name]], until: 2_000 },
      journal: [...start, `100 closed by ${errors[name]._tag}`, "2000 close", "2000 deregister s1"]
    },
    {
      title: `a registration that is refused (${name}) closes the server`,
      script: { registers: ["s1", name], heartbeats: ["gone"], heartbeat: "1 second", until: 2_000 },
      journal: [
        ...start,
        "1000 heartbeat s1",
        "1000 register My desk",
        `1000 closed by ${errors[name]._tag}`,
        "2000 close",
        "2000 deregister s1"
      ]
    }
  ]),
  {
    title: "a stream that ends is continued after growing pauses, which a request ends",
    script: {
      streams: [[0, "end"], [0, "away"], [100, "end"], [0, "end"], undefined],
      messages: [[1_510, { jsonrpc: "2.0", method: "notifications/x" }, "5-0"], [1_520, {
        jsonrpc: "2.0",
        method: "notifications/x"
      }, "6-0"]],
      until: 5_000
    },
    journal: [
      ...start,
      "500 read s1 from the start",
      "1500 read s1 from the start",
      "2100 read s1 5-0",
      "3100 read s1 5-0",
      ...end(5_000)
    ]
  },
  {
    title: "a stream of a server that Dust does not know is checked by a sign of life",
    script: {
      streams: [[100, "unknown"], [100, "gone"]],
      heartbeats: ["alive", "gone"],
      registers: ["s1", "s2"],
      until: 1_000
    },
    journal: [
      ...start,
      "100 heartbeat s1",
      "600 read s1 from the start",
      "700 heartbeat s1",
      "700 register My desk",
      "700 is s2",
      "700 read s2 from the start",
      ...end(1_000, "s2")
    ]
  },
  {
    title: "requests are answered under their ids; what is no request is not",
    script: {
      messages: [
        [0, { jsonrpc: "2.0", id: 1, method: "ping" }],
        [1, [{ jsonrpc: "2.0", id: 2, method: "ping" }, call("3", "a")]],
        [2, "text"],
        [3, { jsonrpc: "2.0", id: {}, method: "ping" }],
        [4, { jsonrpc: "2.0", id: 4, result: {} }],
        [5, { jsonrpc: "2.0", id: 5, error: {} }],
        [6, { jsonrpc: "2.0", id: 6 }],
        [7, { jsonrpc: "2.0", id: null, method: "ping" }]
      ],
      until: 100
    },
    journal: [
      ...start,
      "0 post s1 {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
      "1 call \"a\"",
      "1 post s1 {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}",
      `1 post s1 ${answer("3", "a")}`,
      `6 post s1 ${failure(6, -32600, "Invalid request: no method")}`,
      ...end(100)
    ]
  },
  {
    title: "a request that is delivered again is answered again for ten minutes, and not run again",
    script: {
      messages: [[0, call(1, "a"), "1-0"], [10, call(1, "a"), "1-0"], [600_005, call(1, "a"), "1-0"], [
        600_011,
        call(1, "a"),
        "1-0"
      ]],
      heartbeat: "9 minutes",
      until: 600_100
    },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      `10 post s1 ${answer(1, "a")}`,
      "540000 heartbeat s1",
      ...end(600_100)
    ]
  },
  {
    title: "a request that is delivered again while it runs is answered once",
    script: {
      messages: [[0, call(1, "a"), "1-0"], [10, call(1, "a"), "1-0"], [20, call(1, "a"), "2-0"]],
      takes: 50,
      until: 100
    },
    journal: [...start, "0 call \"a\"", `50 post s1 ${answer(1, "a")}`, ...end(100)]
  },
  {
    title: "a session that begins uses ids again: its calls run, and a greeting that is delivered again begins none",
    script: {
      messages: [
        [0, call(1, "a"), "1-0"],
        [10, { jsonrpc: "2.0", id: 0, method: "initialize" }, "2-0"],
        [20, call(1, "a"), "3-0"],
        [30, { jsonrpc: "2.0", id: 0, method: "initialize" }, "2-0"],
        [40, call(1, "a"), "3-0"]
      ],
      until: 100
    },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      ...[10, 20, 30, 40].flatMap((at) =>
        at === 10 || at === 30
          ? [
            `${at} post s1 {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"My desk","version":"1.0.0"}}}`
          ]
          : [...(at === 20 ? ["20 call \"a\""] : []), `${at} post s1 ${answer(1, "a")}`]
      ),
      ...end(100)
    ]
  },
  {
    title:
      "a call that is cancelled is interrupted and not answered; a cancellation that is delivered again, or names no call, does nothing",
    script: {
      messages: [
        [0, call(1, "a"), "1-0"],
        [5, { jsonrpc: "2.0", method: "notifications/cancelled", params: {} }, "2-0"],
        [6, { jsonrpc: "2.0", method: "notifications/other", params: { requestId: 1 } }, "3-0"],
        [7, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "1" } }, "4-0"],
        [10, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } }, "5-0"],
        [20, call(2, "b"), "6-0"],
        [25, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 2 } }, "5-0"]
      ],
      takes: 10,
      until: 100
    },
    journal: [...start, "0 call \"a\"", "10 interrupted", "20 call \"b\"", `30 post s1 ${answer(2, "b")}`, ...end(100)]
      .slice(0)
  },
  {
    title: "a result that cannot be posted at the moment is posted again, for twenty minutes",
    script: { messages: [[0, call(1, "a")]], posts: ["away", "noToken", "posted"], until: 3_000 },
    journal: [
      ...start,
      "0 call \"a\"",
      ...[0, 500, 1_500].map((at) => `${at} post s1 ${answer(1, "a")}`),
      ...end(3_000)
    ]
  },
  {
    title: "a result that Dust refuses is replaced by an error, which is not replaced",
    script: { messages: [[0, call(1, "a")]], posts: ["refused"], until: 100 },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      `0 post s1 ${failure(1, -32603, "The result cannot be sent")}`,
      "0 The result of a tool could not be posted {\"reason\":\"DustBadRequestError\",\"requestId\":1,\"serverId\":\"s1\"}",
      ...end(100)
    ]
  },
  {
    title: "a result that is too large is replaced by an error",
    script: { messages: [[0, call(1, "a")]], posts: ["tooLarge", "posted"], until: 100 },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      `0 post s1 ${failure(1, -32603, "The result is too large: at most 16 MiB")}`,
      ...end(100)
    ]
  },
  {
    title: "a result that is refused for good is a warning",
    script: { messages: [[0, call(1, "a")]], posts: ["missing"], until: 100 },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      "0 The result of a tool could not be posted {\"reason\":\"DustNotFoundError\",\"requestId\":1,\"serverId\":\"s1\"}",
      ...end(100)
    ]
  },
  {
    title: "a result of a server that Dust does not know is posted once more if Dust knows it after all",
    script: { messages: [[0, call(1, "a")]], posts: ["gone"], until: 1_000 },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      "0 heartbeat s1",
      `500 post s1 ${answer(1, "a")}`,
      "500 The result of a tool is lost, because its server is no longer registered {\"requestId\":1,\"serverId\":\"s1\"}",
      ...end(1_000)
    ]
  },
  {
    title: "a result is posted at once under a new registration of the same id, and lost under another one",
    script: {
      messages: [[0, call(1, "a")], [100, call(2, "b")]],
      posts: ["gone", "posted", "gone"],
      heartbeats: ["gone"],
      registers: ["s1", "s1", "s2"],
      until: 1_000
    },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      "0 heartbeat s1",
      "0 register My desk",
      `0 post s1 ${answer(1, "a")}`,
      "0 read s1 from the start",
      "100 call \"b\"",
      `100 post s1 ${answer(2, "b")}`,
      "100 heartbeat s1",
      "100 register My desk",
      "100 is s2",
      "100 The result of a tool is lost, because its server is no longer registered {\"requestId\":2,\"serverId\":\"s1\"}",
      "100 read s2 from the start",
      ...end(1_000, "s2")
    ]
  },
  {
    title: "a server that closes interrupts and answers its calls, and says goodbye",
    script: { messages: [[0, call(1, "a")], [5, call(2, "b")]], takes: 50, goodbyes: ["away"], until: 10 },
    journal: [
      ...start,
      "0 call \"a\"",
      "5 call \"b\"",
      "10 close",
      "10 interrupted",
      "10 interrupted",
      `10 post s1 ${answer(1, "The application that offers this tool was closed.", true)}`,
      `10 post s1 ${answer(2, "The application that offers this tool was closed.", true)}`,
      "10 deregister s1",
      "10 closed"
    ]
  },
  {
    title: "a server that closes posts the results that Dust does not have yet",
    script: { messages: [[0, call(1, "a")]], posts: ["away"], until: 100 },
    journal: [
      ...start,
      "0 call \"a\"",
      `0 post s1 ${answer(1, "a")}`,
      "100 close",
      `100 post s1 ${answer(1, "a")}`,
      "100 deregister s1",
      "100 closed"
    ]
  }
]

/** By time; what happens within one millisecond, in any order. */
const sorted = (journal: ReadonlyArray<string>) =>
  journal.toSorted((a, b) => Number.parseInt(a) - Number.parseInt(b) || (a < b ? -1 : 1))

const tool = (name: string, more: object = {}) => ({ name, inputSchema: Effect.succeed({}), ...more })

describe("Serving an MCP server, by the clock", () => {
  it.each(rows)(
    "$title",
    async ({ journal, script }) => assert.deepStrictEqual(sorted(await journalOf(script)), sorted(journal))
  )

  const refused: ReadonlyArray<readonly [more: object, field: string, expected: string, got?: string]> = [
    ...["999 millis", "9 minutes 1 second", "soon"].map((heartbeat) =>
      [{ heartbeat }, "heartbeat", "a duration between 1 second and 9 minutes"] as const
    ),
    ...[0, 1.5].map((concurrency) =>
      [{ concurrency }, "concurrency", "a whole number of at least 1", `${concurrency}`] as const
    ),
    ...["", "a b", "x".repeat(65)].map((name) =>
      [{ tools: [tool(name)] }, "tools", "named with 1 to 64 letters, digits, _ and -", JSON.stringify(name)] as const
    ),
    [{ tools: [tool("a"), tool("a")] }, "tools", "uniquely named", "two tools named a"],
    [{ tools: [tool("a", { inputSchema: Effect.fail("a schema") })] }, "tools.a.input", "a schema"],
    [{ tools: [tool("a", { outputSchema: Effect.fail("a schema") })] }, "tools.a.output", "a schema"]
  ]
  it.effect.each(refused)("bad options are refused before any request: %j", ([more, field, expected, got]) => {
    const { endpoints } = scripted({ until: 0 })
    const given = { name: "My desk", tools: [], ...more } as unknown as McpServer.ServeOptions<[]>
    return Effect.gen(function*() {
      const error = yield* Effect.flip(serve(endpoints, identity, given))
      assert.deepStrictEqual(JSON.stringify(error), JSON.stringify(badInput(identity, field, expected, got)))
    }).pipe(Effect.scoped)
  })

  it("a heartbeat may take from 1 second to 9 minutes, and a server may have no tools", async () => {
    for (const heartbeat of ["1 second", "9 minutes"] as const) {
      const { endpoints, run } = scripted({ until: 0 })
      const options = { name: "My desk", tools: [], heartbeat, concurrency: 1 } as const
      assert.strictEqual((await run(serve(endpoints, identity, options)))[0], "0 register My desk")
    }
  })

  it("tools are listed with all that they say, and replaced with a notification", async () => {
    const { endpoints, run } = scripted({
      messages: [[1, { jsonrpc: "2.0", id: 1, method: "tools/list" }], [3, {
        jsonrpc: "2.0",
        id: 2,
        method: "tools/list"
      }]],
      until: 10
    })
    const first = tool("first", {
      description: "One",
      annotations: { title: "1" },
      outputSchema: Effect.succeed({ type: "object" })
    }) as unknown as McpServer.Tool<never>
    const second = tool("second", { description: "Two" }) as unknown as McpServer.Tool<never>
    const journal = await run(Effect.gen(function*() {
      const server = yield* serve(endpoints, identity, { name: "My desk", tools: [first, second] })
      yield* Effect.fork(Effect.delay(server.setTools([second]), 2))
    }))
    const listed = (id: number, ...tools: ReadonlyArray<object>) =>
      `${2 * id - 1} post s1 ${JSON.stringify({ jsonrpc: "2.0", id, result: { tools } })}`
    const two = { name: "second", description: "Two", inputSchema: {} }
    assert.deepStrictEqual(
      sorted(journal),
      sorted([
        "0 register My desk",
        "0 read s1 from the start",
        listed(1, {
          name: "first",
          description: "One",
          inputSchema: {},
          outputSchema: { type: "object" },
          annotations: { title: "1" }
        }, two),
        "2 post s1 {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}",
        listed(2, two),
        "10 close",
        "10 deregister s1"
      ])
    )
  })
})

describe("A transport for a server of the MCP SDK", () => {
  it("hands requests over under ids of its own, after its start, and answers under theirs", async () => {
    const { endpoints, note, run } = scripted({
      messages: [
        [0, { jsonrpc: "2.0", id: 7, method: "ping" }],
        [20, { jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "x" } }],
        [30, { jsonrpc: "2.0", method: "notifications/initialized" }],
        [40, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } }],
        [50, { jsonrpc: "2.0", id: 8, method: "throws" }]
      ],
      until: 100
    })
    const journal = await run(Effect.gen(function*() {
      const server = yield* transport(endpoints, identity, { name: "My desk" })
      server.onmessage = (message) => {
        if (message["method"] === "throws") throw new Error("mine")
        note(`hears ${JSON.stringify(message)}`)
        if (message["method"] === "ping") {
          void server.send({ jsonrpc: "2.0", id: "unknown", result: {} })
          void server.send({ jsonrpc: "2.0", id: 9, method: "roots/list" })
          void server.send({ jsonrpc: "2.0", id: 9 })
          void server.send({ jsonrpc: "1.0", method: "notifications/message", params: { a: 1 } })
          void server.send({ id: message["id"], result: { b: 2 } })
        }
      }
      server.onclose = () => note("onclose")
      server.onerror = (error) => note(`onerror ${error}`)
      note(`is ${yield* server.serverId}`)
      yield* Effect.fork(Effect.delay(Effect.promise(() => server.start()), 10))
    }))
    assert.deepStrictEqual(
      sorted(journal),
      sorted([
        "0 register My desk",
        "0 is s1",
        "0 read s1 from the start",
        "10 hears {\"jsonrpc\":\"2.0\",\"id\":\"dust-1\",\"method\":\"ping\"}",
        "10 hears {\"jsonrpc\":\"2.0\",\"id\":9,\"error\":{\"code\":-32601,\"message\":\"Dust does not support roots/list\"}}",
        "10 post s1 {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"a\":1}}",
        "10 post s1 {\"id\":7,\"result\":{\"b\":2},\"jsonrpc\":\"2.0\"}",
        "20 hears {\"jsonrpc\":\"2.0\",\"id\":\"dust-2\",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}",
        "30 hears {\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "40 hears {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"dust-2\"}}",
        `50 post s1 ${failure(8, -32603, "The server failed.")}`,
        "100 close",
        "100 deregister s1",
        "100 onclose"
      ])
    )
  })

  it("ends with the error of a credential that is no longer accepted, and with a goodbye when it closes itself", async () => {
    const ended = async (script: Script) => {
      const { endpoints, note, run } = scripted(script)
      return await run(Effect.gen(function*() {
        const server = yield* transport(endpoints, identity, { name: "My desk", heartbeat: "1 second" })
        server.onclose = () => note("onclose")
        server.onerror = (error) => note(`onerror ${error.name}`)
        if (script.heartbeats === undefined) yield* Effect.fork(Effect.delay(Effect.promise(() => server.close()), 10))
      }))
    }
    assert.deepStrictEqual(await ended({ heartbeats: ["unauthorized"], until: 1_500 }), [
      "0 register My desk",
      "0 read s1 from the start",
      "1000 heartbeat s1",
      "1000 onerror DustUnauthorizedError",
      "1000 onclose",
      "1500 close",
      "1500 deregister s1"
    ])
    assert.deepStrictEqual(await ended({ until: 1_500 }), [
      "0 register My desk",
      "0 read s1 from the start",
      "10 deregister s1",
      "10 onclose",
      "1500 close"
    ])
  })
})
