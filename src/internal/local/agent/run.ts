/** The agent loop: runs a script against one agent message. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { agents } from "../domains/agents.ts"
import {
  type Action,
  addMessage,
  type AgentMessage,
  type BlockedAction,
  type BlockedAnswer,
  type Conversation,
  conversations,
  conversationUrl,
  latest,
  makeConversation,
  type Message,
  nextRank,
  renderAgentMessage,
  renderUserMessage,
  type UserMessage
} from "../domains/conversations/models.ts"
import { callClientTool, liveServer } from "../domains/mcp/servers.ts"
import {
  type Channel,
  END_OF_STREAM,
  makeChannel,
  publish,
  publishJson,
  publishRaw,
  removeFromHistory,
  whileAhead
} from "../server/pubsub.ts"
import { pause, type World } from "../state/state.ts"
import {
  type AgentInput,
  type HistoryItem,
  type Script,
  Step,
  tokenize,
  type ToolOptions,
  type ToolResult
} from "./steps.ts"

class Ended extends Data.TaggedError("Ended")<{
  readonly outcome: "gracefully_stopped" | "error" | "tool_error"
  readonly error?: {
    readonly code: string
    readonly message: string
    readonly metadata: Record<string, unknown> | null
  }
}> {}

interface Loop {
  readonly world: World
  readonly conversation: Conversation
  readonly message: AgentMessage
  readonly userMessage: UserMessage
  readonly input: AgentInput
  step: number
  /** What the current step published, for a re-run of it. */
  recorded: Array<{ readonly type: string; readonly json: string }>
  tokens: number
  /** Blocking events that the current group of parallel tools has still to announce. */
  blockers: number
}

const RECORDED_LIMIT = 10_000

const emitJson = (loop: Loop, type: string, json: string): void => {
  if (loop.recorded.length < RECORDED_LIMIT) loop.recorded.push({ type, json })
  publishJson(loop.world, loop.message.run.channel, type, json)
}

const emit = (loop: Loop, type: string, fields: Readonly<Record<string, unknown>>): void =>
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

const nextStep = (loop: Loop): void => {
  loop.step++
  loop.recorded = []
}

const appendText = (loop: Loop, text: string): void => {
  const last = loop.message.rawContents[loop.message.rawContents.length - 1]
  if (last !== undefined && last.step === loop.step) last.content += text
  else loop.message.rawContents.push({ step: loop.step, content: text })
}

const BATCH = 256

const runTokens = (loop: Loop, step: Extract<Step, { readonly _tag: "Tokens" }>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { message, world } = loop
    const prefix = `"configurationId":${JSON.stringify(message.agent.sId)},"messageId":${
      JSON.stringify(message.sId)
    },"text":`
    const suffix = `,"classification":"${step.classification}","step":${loop.step}}`
    let pending = ""
    const write = (token: string) => {
      emitJson(
        loop,
        "generation_tokens",
        `{"type":"generation_tokens","created":${world.now()},${prefix}${JSON.stringify(token)}${suffix}`
      )
      loop.tokens++
      pending += token
    }
    const keep = () => {
      if (step.classification === "tokens") appendText(loop, pending)
      else message.chainOfThought = (message.chainOfThought ?? "") + pending
      pending = ""
    }
    const pace = Duration.toMillis(step.pace ?? world.pace)
    const tokens = step.tokens[Symbol.iterator]()
    let next = tokens.next()
    yield* Effect.whileLoop({
      while: () => next.done !== true,
      body: () => {
        if (pace > 0) {
          const token = next.value as string
          return Effect.map(world.clock.sleep(Duration.millis(pace)), () => {
            write(token)
            keep()
          })
        }
        // At most one batch, the rest after the connections had their turn.
        let written = 0
        while (next.done !== true && written < BATCH) {
          write(next.value)
          written++
          if (written < BATCH) next = tokens.next()
        }
        keep()
        return next.done === true
          ? Effect.void
          : Effect.zipRight(Effect.yieldNow(), whileAhead(world, message.run.channel))
      },
      step: () => {
        if (next.done !== true) next = tokens.next()
      }
    })
  })

const serverIdOf = (server: string): string => `mcp_${server.replace(/[^A-Za-z0-9]/g, "")}`

const makeAction = (
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

const startCall = (loop: Loop, action: Action): void => {
  emit(loop, "tool_call_started", {
    toolName: action.functionCallName,
    toolCallId: action.functionCallId,
    toolCallIndex: loop.message.actions.filter((other) => other.step === loop.step).length - 1
  })
  emit(loop, "tool_params", { action })
}

const textOf = (blocks: ReadonlyArray<Readonly<Record<string, unknown>>>): string =>
  blocks.flatMap((block) => typeof block["text"] === "string" ? [block["text"]] : []).join("\n")

const endCall = (
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

const notify = (
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

const blocks = (output: ToolOptions["output"]): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  output === undefined || typeof output === "string" ? [{ type: "text", text: output ?? "" }] : output

const work = (loop: Loop, action: Action, tool: ToolOptions): Effect.Effect<ToolResult> =>
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

const DENIED =
  "The user rejected this specific action execution. Using this action is hence forbidden for this message."

/** The conversation itself and those it works for, innermost first. */
const lineage = (
  conversation: Conversation,
  message: AgentMessage
): ReadonlyArray<{ readonly conversation: Conversation; readonly message: AgentMessage }> => {
  const all = [{ conversation, message }]
  for (let parent = conversation.parent; parent !== undefined; parent = parent.conversation.parent) all.push(parent)
  return all
}

/** Announces a blocking event, here and in the conversations above, and waits for the human. */
const block = (
  loop: Loop,
  options: {
    readonly eventType: string
    readonly status: BlockedAction["status"]
    readonly action: Action
    readonly server: string
    readonly stake: string
    readonly extra: Readonly<Record<string, unknown>>
  }
): Effect.Effect<BlockedAnswer> =>
  Effect.gen(function*() {
    const { conversation, message, world } = loop
    const answered = yield* Deferred.make<BlockedAnswer>()
    options.action.status = options.status
    const fields = {
      actionId: options.action.sId,
      inputs: options.action.params,
      stake: options.stake,
      metadata: {
        mcpServerName: options.server,
        toolName: options.action.toolName,
        agentName: message.agent.name,
        pubsubMessageId: message.sId,
        mcpServerDisplayName: options.server,
        mcpServerId: options.action.mcpServerId ?? serverIdOf(options.server)
      },
      ...options.extra
    }
    const blocked: BlockedAction = {
      actionId: options.action.sId,
      agentMessageId: message.sId,
      conversationId: conversation.sId,
      status: options.status,
      toolName: `${options.server}/${options.action.toolName}`,
      fields,
      stake: options.stake,
      answered,
      answer: undefined
    }
    const last = loop.blockers <= 1
    if (loop.blockers > 0) loop.blockers--
    const user = loop.userMessage.user
    const everybody = lineage(conversation, message)
    for (const level of everybody) {
      level.conversation.blocked.set(blocked.actionId, blocked)
      const event = {
        type: options.eventType,
        created: world.now(),
        configurationId: message.agent.sId,
        messageId: message.sId,
        conversationId: conversation.sId,
        ...fields,
        ...(user === null ? {} : { userId: user.sId }),
        isLastBlockingEventForStep: last,
        step: loop.step
      }
      publish(world, level.message.run.channel, event)
    }
    const forget = Effect.sync(() => {
      for (const level of everybody) {
        level.conversation.blocked.delete(blocked.actionId)
        if (world.quirks.removeAnsweredApprovals && options.eventType === "tool_approve_execution") {
          removeFromHistory(
            level.message.run.channel,
            (event) =>
              event.type === options.eventType && event.frame.includes(`"actionId":${JSON.stringify(blocked.actionId)}`)
          )
        }
      }
    })
    return yield* Effect.ensuring(Deferred.await(answered), forget)
  })

const needsNoApproval = (loop: Loop, server: string, tool: string, stake: string): boolean =>
  stake === "never_ask" || loop.message.skipToolsValidation
  || (loop.userMessage.user !== null
    && conversations(loop.world).alwaysApproved.has(`${loop.userMessage.user.sId}/${server}/${tool}`))

const thenRun = (
  loop: Loop,
  result: ToolResult,
  onResult: ((result: ToolResult) => Script) | undefined
): Effect.Effect<void, Ended> => onResult === undefined ? Effect.void : runScript(loop, onResult(result))

const advance = (loop: Loop, parallel: boolean): void => {
  if (!parallel) nextStep(loop)
}

const fileFields = (
  tool: { readonly fileId: string; readonly fileName: string; readonly mimeType?: string | undefined }
) => ({
  fileId: tool.fileId,
  fileName: tool.fileName,
  mimeType: tool.mimeType ?? "text/plain"
})

const runStep = (loop: Loop, step: Step, parallel = false): Effect.Effect<void, Ended> => {
  const { message, world } = loop
  switch (step._tag) {
    case "Tokens":
      return runTokens(loop, step)
    case "Delimiter":
      return Effect.sync(() =>
        emit(loop, "generation_tokens", {
          text: step.text,
          classification: step.kind,
          delimiterClassification: "chain_of_thought"
        })
      )
    case "Tool":
      return Effect.gen(function*() {
        const { tool } = step
        const action = makeAction(loop, tool.name, tool.server ?? "local_tools", tool.inputs ?? {}, "running")
        startCall(loop, action)
        const result = yield* work(loop, action, tool)
        advance(loop, parallel)
        yield* thenRun(loop, result, tool.onResult)
      })
    case "Approval":
      return Effect.gen(function*() {
        const { tool } = step
        const server = tool.server ?? "local_tools"
        const stake = tool.stake ?? "high"
        const action = makeAction(loop, tool.name, server, tool.inputs ?? {}, "running")
        startCall(loop, action)
        const answer: BlockedAnswer = needsNoApproval(loop, server, tool.name, stake)
          ? { _tag: "Validated", approved: true }
          : yield* block(loop, {
            eventType: "tool_approve_execution",
            status: "blocked_validation_required",
            action,
            server,
            stake,
            extra: tool.argumentsRequiringApproval === undefined
              ? {}
              : { argumentsRequiringApproval: tool.argumentsRequiringApproval }
          })
        const denied = answer._tag === "Validated" && !answer.approved
        const result = denied
          ? endCall(loop, action, world.now(), { status: "denied", output: blocks(DENIED) })
          : yield* work(loop, action, tool)
        advance(loop, parallel)
        yield* thenRun(loop, result, tool.onResult)
      })
    case "Question":
      return Effect.gen(function*() {
        const question = {
          question: step.question.question,
          options: (step.question.options ?? []).map((option) =>
            typeof option === "string" ? { label: option, description: null } : option
          ),
          multiSelect: step.question.multiSelect ?? false
        }
        const action = makeAction(loop, "ask_user_question", "ask_user_question", question, "running")
        startCall(loop, action)
        const answer = yield* block(loop, {
          eventType: "tool_ask_user_question",
          status: "blocked_user_answer_required",
          action,
          server: "ask_user_question",
          stake: "never_ask",
          extra: { question }
        })
        const given = answer._tag === "Answered" ? answer.answer : { selectedOptions: [] }
        endCall(loop, action, world.now(), { status: "succeeded", output: blocks(JSON.stringify(given)) })
        advance(loop, parallel)
        if (step.question.onAnswer !== undefined) yield* runScript(loop, step.question.onAnswer(given))
      })
    case "Authentication":
    case "FileAuthentication":
      return Effect.gen(function*() {
        const { tool } = step
        const server = tool.server ?? "local_tools"
        const action = makeAction(loop, tool.name, server, tool.inputs ?? {}, "running")
        startCall(loop, action)
        yield* block(
          loop,
          step._tag === "Authentication"
            ? {
              eventType: "tool_personal_auth_required",
              status: "blocked_authentication_required",
              action,
              server,
              stake: "low",
              extra: {
                authError: {
                  mcpServerId: action.mcpServerId,
                  message: `Connect your account to use ${tool.name}.`,
                  provider: step.tool.provider ?? "github",
                  ...(step.tool.scope === undefined ? {} : { scope: step.tool.scope }),
                  toolName: tool.name
                }
              }
            }
            : {
              eventType: "tool_file_auth_required",
              status: "blocked_file_authorization_required",
              action,
              server,
              stake: "low",
              extra: {
                fileAuthError: {
                  ...fileFields(step.tool),
                  connectionId: "con_local",
                  toolName: tool.name,
                  message: `Grant access to ${step.tool.fileName}.`
                }
              }
            }
        )
        const result = yield* work(loop, action, tool)
        advance(loop, parallel)
        yield* thenRun(loop, result, tool.onResult)
      })
    case "ClientTool":
      return Effect.gen(function*() {
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
            const result = endCall(loop, action, world.now(), { status: "denied", output: blocks(DENIED) })
            advance(loop, parallel)
            return yield* thenRun(loop, result, tool.onResult)
          }
        }
        action.status = "running"
        const startedAt = world.now()
        const connected = serverId === undefined
          ? undefined
          : liveServer(world, serverId, loop.userMessage.user?.sId)
        const call = connected === undefined
          ? Effect.succeed({ isError: true, content: blocks(`The server ${server} is not connected.`) })
          : callClientTool(world, connected, tool.name, tool.inputs ?? {})
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
    case "SubAgent":
      return runSubAgent(loop, step.agent, parallel)
    case "Parallel":
      return Effect.gen(function*() {
        loop.blockers = step.steps.filter(({ _tag }) =>
          _tag === "Approval" || _tag === "Question" || _tag === "Authentication" || _tag === "FileAuthentication"
        ).length
        yield* Effect.forEach(step.steps, (one) =>
          runStep(loop, one, true), { concurrency: "unbounded", discard: true })
        loop.blockers = 0
        nextStep(loop)
      })
    case "Fail":
    case "ToolError": {
      const { category, code, message: text } = step.error
      return Effect.fail(
        new Ended({
          outcome: step._tag === "Fail" ? "error" : "tool_error",
          error: {
            code: code ?? (step._tag === "Fail" ? "multi_actions_error" : "tool_error"),
            message: text ?? (step._tag === "Fail" ? "The agent failed." : "The tool failed."),
            metadata: category === undefined ? null : { category }
          }
        })
      )
    }
    case "Silence":
      return step.duration === undefined ? Effect.never : pause(world, step.duration, `${message.agent.name} is silent`)
    case "Rerun":
      return Effect.sync(() => {
        for (const { json, type } of loop.recorded) publishJson(world, message.run.channel, type, json)
      })
    case "ContextPruned":
      return Effect.sync(() => {
        message.prunedContext = true
        emit(loop, "agent_context_pruned", {})
      })
    case "GracefulStop":
      return Effect.fail(new Ended({ outcome: "gracefully_stopped" }))
    case "Raw":
      return Effect.sync(() => {
        const { event } = step
        const type = typeof event === "object" && event !== null && "type" in event && typeof event.type === "string"
          ? event.type
          : "unknown"
        publishJson(world, message.run.channel, type, JSON.stringify(event) ?? "null")
      })
    case "Malformed":
      return Effect.sync(() => {
        publishRaw(world, message.run.channel, step.data)
      })
  }
}

const stopIfAsked = (loop: Loop): Effect.Effect<void, Ended> =>
  Effect.suspend(() =>
    loop.message.run.stopRequested ? Effect.fail(new Ended({ outcome: "gracefully_stopped" })) : Effect.void
  )

const runScript = (loop: Loop, script: Script): Effect.Effect<void, Ended> => {
  if (typeof script === "string") {
    return runStep(loop, Step.Tokens({ tokens: tokenize(script), classification: "tokens", pace: undefined }))
  }
  const one = (step: Step) => Effect.zipRight(stopIfAsked(loop), runStep(loop, step))
  return Array.isArray(script)
    ? Effect.forEach(script as ReadonlyArray<Step>, one, { discard: true })
    : Stream.runForEach(script as Stream.Stream<Step>, one)
}

const runSubAgent = (
  loop: Loop,
  options: Extract<Step, { readonly _tag: "SubAgent" }>["agent"],
  parallel: boolean
): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
    const { conversation, message, world } = loop
    const agent = agents(world).byId.get(options.agent)
    const action = makeAction(
      loop,
      `run_${options.agent}`,
      "run_agent",
      { query: options.query },
      "running"
    )
    startCall(loop, action)
    const startedAt = world.now()
    if (agent === undefined) {
      const result = endCall(loop, action, startedAt, {
        status: "errored",
        output: blocks(`There is no agent ${options.agent}.`)
      })
      advance(loop, parallel)
      return yield* thenRun(loop, result, options.onResult)
    }
    const child = makeConversation(world, {
      title: `${message.agent.name} > ${agent.name}`,
      depth: conversation.depth + 1,
      creator: loop.userMessage.user,
      parent: { conversation, message }
    })
    const question: UserMessage = {
      ...makeUserMessage(world, child, {
        content: options.query,
        mentions: [{ configurationId: agent.sId }],
        context: { ...loop.userMessage.context },
        user: loop.userMessage.user,
        skipToolsValidation: message.skipToolsValidation
      }),
      agenticMessageData: { type: "run_agent", originMessageId: message.sId }
    }
    addMessage(child, question)
    const answer = yield* makeAgentMessage(world, child, { agent: agent.sId, parent: question, rank: nextRank(child) })
    notify(loop, action, `Asking ${agent.name}`, 1, 1, {
      type: "run_agent",
      childAgentId: agent.sId,
      conversationId: child.sId,
      agentMessageId: answer.sId,
      query: options.query,
      childConversationUrl: conversationUrl(world, child),
      childConversationEventsUrl:
        `${world.origin()}/api/v1/w/${world.workspaceId}/assistant/conversations/${child.sId}/messages/${answer.sId}/events`
    })
    yield* startRun(world, child, answer, question)
    yield* Effect.onInterrupt(Deferred.await(answer.run.done), () => requestCancel(answer))
    const succeeded = answer.run.outcome === "success" || answer.run.outcome === "gracefully_stopped"
    const result = endCall(loop, action, startedAt, {
      status: succeeded ? "succeeded" : "errored",
      output: [{
        type: "resource",
        resource: {
          mimeType: "application/vnd.dust.tool-output.run-agent-result",
          uri: conversationUrl(world, child),
          conversationId: child.sId,
          text: answer.content ?? answer.error?.message ?? ""
        }
      }]
    })
    advance(loop, parallel)
    yield* thenRun(loop, { ...result, output: answer.content ?? answer.error?.message ?? "" }, options.onResult)
  })

export const requestCancel = (message: AgentMessage): Effect.Effect<void> =>
  Effect.suspend(() => {
    message.run.cancelRequested = true
    return Effect.asVoid(Deferred.succeed(message.run.cancelled, undefined))
  })

export const makeUserMessage = (
  world: World,
  conversation: Conversation,
  options: {
    readonly content: string
    readonly mentions: UserMessage["mentions"]
    readonly context: UserMessage["context"]
    readonly user: UserMessage["user"]
    readonly skipToolsValidation?: boolean | undefined
    readonly visibility?: string | undefined
    readonly requestedModel?: UserMessage["requestedModel"] | undefined
    readonly clientSideMCPServerIds?: ReadonlyArray<string> | undefined
    readonly sId?: string | undefined
    /** The message of which this is a new version. */
    readonly previous?: Message | undefined
  }
): UserMessage => ({
  id: world.numericId(),
  sId: options.sId ?? world.sId(),
  created: world.now(),
  type: "user_message",
  rank: options.previous?.rank ?? nextRank(conversation),
  version: options.previous === undefined ? 0 : options.previous.version + 1,
  visibility: options.visibility ?? "visible",
  user: options.user,
  mentions: options.mentions,
  content: options.content,
  context: options.context,
  agenticMessageData: null,
  requestedModel: options.requestedModel ?? null,
  clientSideMCPServerIds: options.clientSideMCPServerIds ?? [],
  skipToolsValidation: options.skipToolsValidation ?? false
})

/** An agent message that has not started, put into the conversation and announced there. */
export const makeAgentMessage = (
  world: World,
  conversation: Conversation,
  options: {
    readonly agent: string
    readonly parent: UserMessage
    readonly rank: number
    readonly previous?: AgentMessage | undefined
  }
): Effect.Effect<AgentMessage> =>
  Effect.gen(function*() {
    const agent = agents(world).byId.get(options.agent) ?? (options.previous as AgentMessage).agent
    const cancelled = yield* Deferred.make<void>()
    const done = yield* Deferred.make<void>()
    const message: AgentMessage = {
      id: world.numericId(),
      agentMessageId: world.numericId(),
      sId: world.sId(),
      created: world.now(),
      type: "agent_message",
      rank: options.rank,
      version: options.previous === undefined ? 0 : options.previous.version + 1,
      visibility: "visible",
      parentMessageId: options.parent.sId,
      parentAgentMessageId: null,
      agent: { ...agent },
      status: "created",
      actions: [],
      content: null,
      chainOfThought: null,
      rawContents: [],
      error: null,
      completedTs: null,
      costCredits: null,
      prunedContext: false,
      skipToolsValidation: options.parent.skipToolsValidation,
      run: {
        cancelled,
        done,
        channel: makeChannel(world),
        stopRequested: false,
        cancelRequested: false,
        outcome: "running"
      }
    }
    addMessage(conversation, message)
    publish(world, conversation.channel, {
      type: "agent_message_new",
      created: world.now(),
      configurationId: agent.sId,
      messageId: message.sId,
      message: renderAgentMessage(message)
    })
    return message
  })

const historyOf = (conversation: Conversation, before: UserMessage): ReadonlyArray<HistoryItem> =>
  conversation.ranks.slice(0, before.rank).flatMap((versions): ReadonlyArray<HistoryItem> => {
    const message = latest(versions)
    if (message === undefined || message.visibility === "deleted") return []
    switch (message.type) {
      case "user_message":
        return [{ role: "user", content: message.content, author: message.context.username }]
      case "agent_message":
        return message.content === null
          ? []
          : [{ role: "agent", content: message.content, author: message.agent.name }]
      case "content_fragment":
        return []
    }
  })

const attachmentsOf = (conversation: Conversation): AgentInput["attachments"] =>
  conversation.ranks.flatMap((versions) => {
    const message = latest(versions)
    return message?.type === "content_fragment" ? [{ title: message.title, content: message.text }] : []
  })

const titleFor = (content: string): string => {
  const line = content.replace(/\s+/g, " ").trim()
  return line.length > 60 ? `${line.slice(0, 59)}…` : line
}

/** Publishes the end of an answer, everywhere it shows, and lets the waiting messages in. */
const finish = (
  world: World,
  conversation: Conversation,
  message: AgentMessage,
  loop: Loop,
  end: Ended | "success" | "cancelled"
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const outcome = typeof end === "string" ? end : end.outcome
    const now = world.now()
    const lastText = message.rawContents[message.rawContents.length - 1]
    message.completedTs = now
    message.costCredits = 1 + Math.ceil(loop.tokens / 100)
    message.run.outcome = outcome
    const common = { created: now, configurationId: message.agent.sId, messageId: message.sId }
    const runIds = [`run_${message.sId}`]
    const channel: Channel = message.run.channel
    switch (outcome) {
      case "success":
      case "gracefully_stopped": {
        message.status = outcome === "success" ? "succeeded" : "gracefully_stopped"
        message.content = lastText?.content ?? ""
        publish(world, channel, {
          type: outcome === "success" ? "agent_message_success" : "agent_message_gracefully_stopped",
          ...common,
          message: renderAgentMessage(message, { raw: world.quirks.rawStatusInEvents }),
          runIds,
          contentView: { content: message.content, chainOfThought: message.chainOfThought, activitySteps: [] },
          step: loop.step
        })
        break
      }
      case "cancelled":
        message.status = "cancelled"
        message.content = lastText?.content ?? null
        publish(world, channel, { type: "agent_generation_cancelled", ...common, status: "cancelled", step: loop.step })
        break
      case "error":
      case "tool_error": {
        message.status = "failed"
        message.content = lastText?.content ?? null
        const error = (typeof end === "string" ? undefined : end.error)
          ?? { code: "unknown_error", message: "The agent failed.", metadata: null }
        message.error = error
        publish(world, channel, {
          type: outcome === "error" ? "agent_error" : "tool_error",
          ...common,
          error,
          ...(outcome === "error" ? { runIds } : { conversationId: conversation.sId }),
          step: loop.step
        })
      }
    }
    publish(world, channel, { type: END_OF_STREAM })
    conversation.updated = now
    publish(world, conversation.channel, {
      type: "agent_message_done",
      ...common,
      conversationId: conversation.sId,
      status: message.status === "failed" ? "error" : "success"
    })
    if (world.quirks.consumptionEvents) {
      publish(world, conversation.channel, {
        type: "agent_message_consumption_updated",
        created: now,
        conversationId: conversation.sId,
        messageId: message.sId,
        costCredits: message.costCredits
      })
    }
    yield* Deferred.succeed(message.run.done, undefined)
    yield* promotePending(world, conversation, outcome !== "cancelled")
  })

/** Pending messages become visible; the last one that mentions an agent is answered, unless the run was cancelled. */
const promotePending = (
  world: World,
  conversation: Conversation,
  answer: boolean
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const pending = conversation.ranks.flatMap((versions) => {
      const message = latest(versions)
      return message?.type === "user_message" && message.visibility === "pending" ? [message] : []
    })
    for (const message of pending) {
      message.visibility = "visible"
      publish(world, conversation.channel, {
        type: "user_message_promoted",
        created: world.now(),
        messageId: message.sId
      })
    }
    const last = pending[pending.length - 1]
    if (!answer || last === undefined) return
    for (const mention of last.mentions) {
      if (!("configurationId" in mention) || !agents(world).byId.has(mention.configurationId)) continue
      const message = yield* makeAgentMessage(world, conversation, {
        agent: mention.configurationId,
        parent: last,
        rank: nextRank(conversation)
      })
      yield* startRun(world, conversation, message, last)
    }
  })

/** Starts the loop of an agent message in the background. */
export const startRun = (
  world: World,
  conversation: Conversation,
  message: AgentMessage,
  userMessage: UserMessage
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const input: AgentInput = {
      message: userMessage.content,
      history: historyOf(conversation, userMessage),
      attachments: attachmentsOf(conversation),
      conversationId: conversation.sId,
      messageId: userMessage.sId,
      agentMessageId: message.sId,
      agentId: message.agent.sId,
      username: userMessage.context.username,
      clientSideMCPServerIds: userMessage.clientSideMCPServerIds,
      version: message.version
    }
    const loop: Loop = {
      world,
      conversation,
      message,
      userMessage,
      input,
      step: 0,
      recorded: [],
      tokens: 0,
      blockers: 0
    }
    const behavior = message.agent.behavior
    const steps: Effect.Effect<void, Ended> = Effect.suspend(() => {
      if (conversation.title === null) {
        conversation.title = titleFor(userMessage.content)
        publish(world, conversation.channel, {
          type: "conversation_title",
          created: world.now(),
          title: conversation.title
        })
      }
      return runScript(loop, typeof behavior === "function" ? behavior(input) : behavior)
    }).pipe(
      // A script that throws is an agent that fails.
      Effect.catchAllDefect((defect) =>
        Effect.fail(
          new Ended({
            outcome: "error",
            error: { code: "script_error", message: Cause.pretty(Cause.die(defect)).split("\n")[0]!, metadata: null }
          })
        )
      )
    )
    return Effect.raceFirst(
      Effect.map(Effect.either(steps), (result) => Either.isLeft(result) ? result.left : "success" as const),
      Effect.as(Deferred.await(message.run.cancelled), "cancelled" as const)
    ).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        Exit.isSuccess(exit)
          ? finish(world, conversation, message, loop, exit.value)
          : Effect.failCause(exit.cause)
      ),
      Effect.withClock(world.clock),
      Effect.interruptible,
      Effect.forkIn(world.scope),
      Effect.asVoid
    )
  })

export const announceUserMessage = (world: World, conversation: Conversation, message: UserMessage): void => {
  addMessage(conversation, message)
  publish(world, conversation.channel, {
    type: "user_message_new",
    created: world.now(),
    messageId: message.sId,
    message: renderUserMessage(world, message)
  })
}
