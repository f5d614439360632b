/** All that serving an MCP server does, as a journal by the clock. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type * as McpServer from "effect-dust/McpServer"
import { serve } from "../../src/internal/mcp/serve.ts"
import { badInput } from "../../src/internal/request/errors.ts"
import { errors, failure, identity, type Script, scripted, sorted } from "../support/mcpEndpoints.ts"

const journalOf = (script: Script): Promise<ReadonlyArray<string>> => {
  const { endpoints, note, run } = scripted(script)
  const echo: McpServer.Tool<never> = {
    name: "echo",
    description: "Repeats",
    annotations: undefined,
    inputSchema: Effect.succeed({}),
    outputSchema: undefined,
    call: (args) =>
      Effect.suspend(() => {
        note(`call ${JSON.stringify(args)}`)
        const result = Effect.succeed({ content: [{ type: "text" as const, text: String(args) }], isError: false })
        return (script.takes === undefined ? result : Effect.delay(result, script.takes)).pipe(
          Effect.onInterrupt(() => Effect.sync(() => note("interrupted")))
        )
      })
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
      messages: [[0, call(1, "a"), "1-0"], [10, call(1, "a"), "1-0"], [600_000, call(1, "a"), "1-0"], [
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
      `600000 post s1 ${answer(1, "a")}`,
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

const tool = (name: string, more: object = {}) => ({ name, inputSchema: Effect.succeed({}), ...more })

describe("Serving an MCP server, by the clock", () => {
  it.each(rows.map((row) => [row.title, row] as const))(
    "%s",
    async (_, { journal, script }) => assert.deepStrictEqual(sorted(await journalOf(script)), sorted(journal))
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

  it("a result that cannot be posted is given up after twenty minutes", async () => {
    const journal = await journalOf({ messages: [[0, call(1, "a")]], posts: ["away"], until: 1_300_000 })
    const posts = journal.filter((line) => line.includes("post"))
    assert.deepStrictEqual(posts.slice(-3), [
      `1171500 post s1 ${answer(1, "a")}`,
      `1201500 post s1 ${answer(1, "a")}`,
      "1201500 The result of a tool could not be posted {\"reason\":\"DustServerError\",\"requestId\":1,\"serverId\":\"s1\"}"
    ])
  })

  it("eight calls run at once, and the next one when one of them has ended", async () => {
    const messages = Array.from({ length: 9 }, (_, i) => [0, call(i, `${i}`)] as const)
    const calls = (await journalOf({ messages, takes: 50, until: 200 })).filter((line) => line.includes(" call "))
    assert.deepStrictEqual(calls.map((line) => line.split(" ")[0]), ["0", "0", "0", "0", "0", "0", "0", "0", "50"])
  })

  it("every version of MCP so far is spoken, and the newest one to others", async () => {
    const versions = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "1999-01-01", 7]
    const journal = await journalOf({
      messages: versions.map((
        protocolVersion,
        id
      ) => [id, { jsonrpc: "2.0", id, method: "initialize", params: { protocolVersion } }]),
      until: 10
    })
    assert.deepStrictEqual(
      journal.flatMap((line) => /"protocolVersion":"([^"]*)"/.exec(line)?.[1] ?? []),
      ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2025-11-25", "2025-11-25"]
    )
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
