/** The agent loop: runs a script against one agent message. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { agents } from "../domains/agents.ts"
import {
  type AgentMessage,
  type Conversation,
  latest,
  nextRank,
  type UserMessage
} from "../domains/conversations/models.ts"
import { publish } from "../server/pubsub.ts"
import { report } from "../state/report.ts"
import type { World } from "../state/state.ts"
import { finish } from "./finish.ts"
import { Ended, type Loop } from "./loop.ts"
import { makeAgentMessage } from "./messages.ts"
import { runScript } from "./script.ts"
import type { AgentInput, HistoryItem } from "./steps.ts"

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

/** Makes pending messages visible. The last one that mentions an agent is answered, unless the run was cancelled. */
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

/** Starts the agent loop of a message in the background. */
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
      blockers: 0,
      runScript: (script) => runScript(loop, script),
      startRun: (...run) => startRun(world, ...run)
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
      return typeof behavior === "function"
        ? runScript(loop, behavior(input), "the result of the script's function")
        : runScript(loop, behavior)
    }).pipe(
      // A script that throws fails the agent. Reported, too: a test that expects failing agents would not show it.
      Effect.catchAllDefect((defect) => {
        const reason = Cause.pretty(Cause.die(defect)).split("\n")[0]!
        return Effect.zipRight(
          report(`Local Dust: the script of the agent ${message.agent.sId} failed: ${reason}`),
          Effect.fail(
            new Ended({ outcome: "error", error: { code: "script_error", message: reason, metadata: null } })
          )
        )
      })
    )
    return Effect.raceFirst(
      Effect.map(Effect.either(steps), (result) => Either.isLeft(result) ? result.left : "success" as const),
      Effect.as(Deferred.await(message.run.cancelled), "cancelled" as const)
    ).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        Exit.isSuccess(exit)
          ? Effect.zipRight(
            finish(world, conversation, message, loop, exit.value),
            promotePending(world, conversation, exit.value !== "cancelled")
          )
          : Effect.failCause(exit.cause)
      ),
      Effect.withClock(world.clock),
      Effect.interruptible,
      Effect.forkIn(world.scope),
      Effect.asVoid
    )
  })
