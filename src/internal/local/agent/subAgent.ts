/** Calls of another agent of the workspace, in its own conversation. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { agents } from "../domains/agents.ts"
import {
  addMessage,
  conversationUrl,
  makeConversation,
  nextRank,
  type UserMessage
} from "../domains/conversations/models.ts"
import { advance, blocks, type Ended, endCall, type Loop, makeAction, notify, startCall, thenRun } from "./loop.ts"
import { makeAgentMessage, makeUserMessage, requestCancel } from "./messages.ts"
import type { Step } from "./steps.ts"

export const runSubAgent = (
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
    yield* loop.startRun(child, answer, question)
    yield* Effect.onInterrupt(Deferred.await(answer.run.done), () => requestCancel(answer))
    message.subAgentCostCredits += (answer.costCredits ?? 0) + answer.subAgentCostCredits
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
