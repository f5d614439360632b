/** Execution of tools. */
import * as Effect from "effect/Effect"
import type { Action } from "../domains/conversations/models.ts"
import { pause } from "../state/state.ts"
import { advance, blocks, type Ended, endCall, type Loop, makeAction, notify, startCall, thenRun } from "./loop.ts"
import type { Step, ToolOptions, ToolResult } from "./steps.ts"

export const work = (loop: Loop, action: Action, tool: ToolOptions): Effect.Effect<ToolResult> =>
  Effect.gen(function*() {
    const startedAt = loop.world.now()
    action.status = "running"
    const progress = tool.progress ?? []
    for (const [index, item] of progress.entries()) {
      if (item.after !== undefined) yield* pause(loop.world, item.after, `${loop.message.agent.name} runs ${tool.name}`)
      notify(loop, action, item.label, item.progress ?? index + 1, item.total ?? progress.length, item.output)
    }
    if (tool.duration !== undefined) {
      yield* pause(loop.world, tool.duration, `${loop.message.agent.name} runs ${tool.name}`)
    }
    return endCall(loop, action, startedAt, {
      status: tool.errored === true ? "errored" : "succeeded",
      output: blocks(tool.output),
      files: tool.files
    })
  })

/** A tool that requires no approval. */
export const runTool = (
  loop: Loop,
  step: Extract<Step, { readonly _tag: "Tool" }>,
  parallel: boolean
): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
    const { tool } = step
    const action = makeAction(loop, tool.name, tool.server ?? "local_tools", tool.inputs ?? {}, "running")
    startCall(loop, action)
    const result = yield* work(loop, action, tool)
    advance(loop, parallel)
    yield* thenRun(loop, result, tool.onResult)
  })
