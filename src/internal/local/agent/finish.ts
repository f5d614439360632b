/** The end of a run. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { type AgentMessage, type Conversation, renderAgentMessage } from "../domains/conversations/models.ts"
import { type Channel, END_OF_STREAM, publish } from "../server/pubsub.ts"
import type { World } from "../state/state.ts"
import type { Ended, Loop } from "./loop.ts"

/** Publishes the end of an answer on every stream that shows it. */
export const finish = (
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
  })
