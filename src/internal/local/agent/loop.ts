/** The state of a run, its published events and its recorded tool calls. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Action, AgentMessage, Conversation, UserMessage } from "../domains/conversations/models.ts"
import { publishJson } from "../server/pubsub.ts"
import type { World } from "../state/state.ts"
import type { AgentInput, Script, ToolOptions, ToolResult } from "./steps.ts"

export class Ended extends Data.TaggedError("Ended")<{
  readonly outcome: "gracefully_stopped" | "error" | "tool_error"
  readonly error?: {
    readonly code: string
    readonly message: string
    readonly metadata: Record<string, unknown> | null
  }
}> {}

export interface Loop {
  readonly world: World
  readonly conversation: Conversation
  readonly message: AgentMessage
  readonly userMessage: UserMessage
  readonly input: AgentInput
  step: number
  /** Events published by the current step, kept in case the step runs again. */
  recorded: Array<{ readonly type: string; readonly json: string }>
  tokens: number
  /** Blocking events of the current group of parallel tools that are still to be published. */
  blockers: number
  /** Runs the script that follows from a tool result or an answer. */
  readonly runScript: (script: Script) => Effect.Effect<void, Ended>
  /** Starts the run of another message. */
  readonly startRun: (
    conversation: Conversation,
    message: AgentMessage,
    userMessage: UserMessage
  ) => Effect.Effect<void>
}

const RECORDED_LIMIT = 10_000

export const emitJson = (loop: Loop, type: string, json: string): void => {
  if (loop.recorded.length < RECORDED_LIMIT) loop.recorded.push({ type, json })
  publishJson(loop.world, loop.message.run.channel, type, json)
}

export const emit = (loop: Loop, type: string, fields: Readonly<Record<string, unknown>>): void =>
  emitJson(
    loop,
    type,
    JSON.stringify({
      type,
      created: loop.world.now(),
      configurationId: loop.message.agent.sId,
      messageId: loop.message.sId,
      ...fields,
      step: loop.step
    })
  )

export const nextStep = (loop: Loop): void => {
  loop.step++
  loop.recorded = []
}

export const appendText = (loop: Loop, text: string): void => {
  const last = loop.message.rawContents[loop.message.rawContents.length - 1]
  if (last !== undefined && last.step === loop.step) last.content += text
  else loop.message.rawContents.push({ step: loop.step, content: text })
}

export const serverIdOf = (server: string): string => `mcp_${server.replace(/[^A-Za-z0-9]/g, "")}`

export const makeAction = (
  loop: Loop,
  name: string,
  server: string,
  inputs: Readonly<Record<string, unknown>>,
  status: string
): Action => {
  const now = loop.world.now()
  const action: Action = {
    id: loop.world.numericId(),
    sId: loop.world.sId("mac"),
    createdAt: now,
    updatedAt: now,
    mcpServerId: serverIdOf(server),
    internalMCPServerName: null,
    toolName: name,
    agentMessageId: loop.message.agentMessageId,
    functionCallName: `${server}__${name}`,
    functionCallId: `call_${loop.world.sId()}`,
    status,
    params: inputs,
    step: loop.step,
    executionDurationMs: null,
    citationsAllocated: 0,
    output: null,
    generatedFiles: [],
    displayLabels: { running: `Running ${name}`, done: `Ran ${name}` }
  }
  loop.message.actions.push(action)
  return action
}

export const startCall = (loop: Loop, action: Action): void => {
  emit(loop, "tool_call_started", {
    toolName: action.functionCallName,
    toolCallId: action.functionCallId,
    toolCallIndex: loop.message.actions.filter((other) => other.step === loop.step).length - 1
  })
  emit(loop, "tool_params", { action })
}

export const textOf = (blocks: ReadonlyArray<Readonly<Record<string, unknown>>>): string =>
  blocks.flatMap((block) => typeof block["text"] === "string" ? [block["text"]] : []).join("\n")

export const endCall = (
  loop: Loop,
  action: Action,
  startedAt: number,
  result: {
    readonly status: "succeeded" | "errored" | "denied"
    readonly output: ReadonlyArray<Readonly<Record<string, unknown>>>
    readonly files?: ToolOptions["files"]
  }
): ToolResult => {
  const now = loop.world.now()
  action.status = result.status
  action.updatedAt = now
  action.executionDurationMs = now - startedAt
  action.output = result.output
  action.generatedFiles = (result.files ?? []).map((file) => ({ ...file, snippet: file.snippet ?? null }))
  emit(loop, "agent_action_success", { action })
  return {
    approved: result.status !== "denied",
    isError: result.status !== "succeeded",
    output: textOf(result.output)
  }
}

export const notify = (
  loop: Loop,
  action: Action,
  label: string,
  progress: number,
  total: number,
  output?: Readonly<Record<string, unknown>>
): void => {
  const data = output === undefined ? { label } : { label, output }
  emit(loop, "tool_notification", { action, notification: { progress, total, _meta: { data }, data } })
}

export const blocks = (output: ToolOptions["output"]): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  output === undefined || typeof output === "string" ? [{ type: "text", text: output ?? "" }] : output

/** Runs the remainder of a step: the script that `then` returns for the result. */
export const thenRun = (
  loop: Loop,
  result: ToolResult,
  onResult: ((result: ToolResult) => Script) | undefined
): Effect.Effect<void, Ended> => onResult === undefined ? Effect.void : loop.runScript(onResult(result))

export const advance = (loop: Loop, parallel: boolean): void => {
  if (!parallel) nextStep(loop)
}
