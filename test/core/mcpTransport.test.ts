/** A registration as a transport of the MCP SDK, as a journal by the clock. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type * as McpServer from "effect-dust/McpServer"
import { transport } from "../../src/internal/mcp/transport.ts"
import { failure, identity, type Script, scripted, sorted } from "../support/mcpEndpoints.ts"

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
      const onmessage = (message: McpServer.JsonRpcMessage) => {
        if (message["method"] === "throws") throw new Error("mine")
        note(`hears ${JSON.stringify(message, (_, value) => value === undefined ? "undefined" : value)}`)
        if (message["method"] === "ping") {
          void server.send({ jsonrpc: "2.0", id: "unknown", result: {} })
          void server.send({ jsonrpc: "2.0", id: 9, method: "roots/list" })
          void server.send({ jsonrpc: "2.0", id: 9 })
          void server.send({ jsonrpc: "1.0", method: "notifications/message", params: { a: 1 } })
          void server.send({ id: message["id"], result: { b: 2 } })
        }
      }
      Object.assign(server, { onmessage, onclose: () => note("onclose") })
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
        Object.assign(server, {
          onclose: () => note("onclose"),
          onerror: (error: Error) => note(`onerror ${error.name}`)
        })
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
