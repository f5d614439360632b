/** Steps that wait for a person: tool approvals, questions, account connections, file access. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import {
  type Action,
  type AgentMessage,
  type BlockedAction,
  type BlockedAnswer,
  type Conversation,
  conversations
} from "../domains/conversations/models.ts"
import { publish, removeFromHistory } from "../server/pubsub.ts"
import { advance, blocks, type Ended, endCall, type Loop, makeAction, serverIdOf, startCall, thenRun } from "./loop.ts"
import type { Step } from "./steps.ts"
import { work } from "./tools.ts"

export const DENIED =
  "The user rejected this specific action execution. Using this action is hence forbidden for this message."

/** The conversation and its parent conversations, innermost first. */
const lineage = (
  conversation: Conversation,
  message: AgentMessage
): ReadonlyArray<{ readonly conversation: Conversation; readonly message: AgentMessage }> => {
  const all = [{ conversation, message }]
  for (let parent = conversation.parent; parent !== undefined; parent = parent.conversation.parent) all.push(parent)
  return all
}

/** Publishes a blocking event, in this conversation and its parents, and waits for the answer. */
export const block = (
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

export const needsNoApproval = (loop: Loop, server: string, tool: string, stake: string): boolean =>
  stake === "never_ask" || loop.message.skipToolsValidation
  || (loop.userMessage.user !== null
    && conversations(loop.world).alwaysApproved.has(`${loop.userMessage.user.sId}/${server}/${tool}`))

const fileFields = (
  tool: { readonly fileId: string; readonly fileName: string; readonly mimeType?: string | undefined }
) => ({
  fileId: tool.fileId,
  fileName: tool.fileName,
  mimeType: tool.mimeType ?? "text/plain"
})

/** A tool that requires approval. */
export const runApproval = (
  loop: Loop,
  step: Extract<Step, { readonly _tag: "Approval" }>,
  parallel: boolean
): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
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
      ? endCall(loop, action, loop.world.now(), { status: "denied", output: blocks(DENIED) })
      : yield* work(loop, action, tool)
    advance(loop, parallel)
    yield* thenRun(loop, result, tool.onResult)
  })

/** A question to the user. */
export const runQuestion = (
  loop: Loop,
  step: Extract<Step, { readonly _tag: "Question" }>,
  parallel: boolean
): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
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
    endCall(loop, action, loop.world.now(), { status: "succeeded", output: blocks(JSON.stringify(given)) })
    advance(loop, parallel)
    if (step.question.onAnswer !== undefined) yield* loop.runScript(step.question.onAnswer(given))
  })

/** A tool that requires a connected account, or access to a file. */
export const runAuthentication = (
  loop: Loop,
  step: Extract<Step, { readonly _tag: "Authentication" }> | Extract<Step, { readonly _tag: "FileAuthentication" }>,
  parallel: boolean
): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
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
