/** A tool of a client-side MCP server. */
import * as Effect from "effect/Effect"
import { callClientTool, liveServer } from "../domains/mcp/servers.ts"
import { block, DENIED, needsNoApproval } from "./blocking.ts"
import { advance, blocks, type Ended, endCall, type Loop, makeAction, startCall, thenRun } from "./loop.ts"
import type { Step } from "./steps.ts"

/** Calls the tool on its MCP server, after an approval if the tool requires one. */
export const runClientTool = (
  loop: Loop,
  step: Extract<Step, { readonly _tag: "ClientTool" }>,
  parallel: boolean
): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
    const { tool } = step
    const serverId = tool.serverId ?? loop.input.clientSideMCPServerIds[0]
    const server = serverId ?? "mcp-client-side"
    const action = makeAction(loop, tool.name, server, tool.inputs ?? {}, "running")
    startCall(loop, action)
    if (tool.approval === true && !needsNoApproval(loop, server, tool.name, "low")) {
      const answer = yield* block(loop, {
        eventType: "tool_approve_execution",
        status: "blocked_validation_required",
        action,
        server,
        stake: "low",
        extra: {}
      })
      if (answer._tag === "Validated" && !answer.approved) {
        const result = endCall(loop, action, loop.world.now(), { status: "denied", output: blocks(DENIED) })
        advance(loop, parallel)
        return yield* thenRun(loop, result, tool.onResult)
      }
    }
    action.status = "running"
    const startedAt = loop.world.now()
    const connected = serverId === undefined
      ? undefined
      : liveServer(loop.world, serverId, loop.userMessage.user?.sId)
    const call = connected === undefined
      ? Effect.succeed({ isError: true, content: blocks(`The server ${server} is not connected.`) })
      : callClientTool(loop.world, connected, tool.name, tool.inputs ?? {})
    const outcome = yield* tool.timeout === undefined
      ? call
      : Effect.timeoutTo(call, {
        duration: tool.timeout,
        onSuccess: (value) => value,
        onTimeout: () => ({ isError: true, content: blocks("The tool did not answer in time.") })
      })
    const result = endCall(loop, action, startedAt, {
      status: outcome.isError ? "errored" : "succeeded",
      output: outcome.content
    })
    advance(loop, parallel)
    yield* thenRun(loop, result, tool.onResult)
  })
