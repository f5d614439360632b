/** Posting, editing, retrying and cancelling messages. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import { announceUserMessage, makeAgentMessage, makeUserMessage, requestCancel } from "../../agent/messages.ts"
import { startRun } from "../../agent/run.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, json, refuse } from "../../server/http.ts"
import { body, type Handler, jsonBody, param } from "../../server/route.ts"
import { findAgentMessage, findConversation, findMessage, success } from "./access.ts"
import { MentionInput, MessageInput, optional } from "./bodies.ts"
import { type AgentMessage, latest, nextRank, renderAgentMessage, renderUserMessage } from "./models.ts"
import {
  agentsIn,
  blockingResult,
  checkAccess,
  checkContext,
  checkCredits,
  checkLimits,
  checkTimezone,
  mayAnswer,
  postMessage,
  start,
  waitFor
} from "./post.ts"

const post: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const input = yield* body(context, MessageInput)
    yield* checkTimezone(context, input, "context.timezone")
    const conversation = yield* findConversation(context)
    yield* checkContext(context, input, false)
    const posted = yield* postMessage(context, conversation, input, input.skipToolsValidation ?? false)
    const initial = posted.agentMessages.map((message) => renderAgentMessage(message))
    const message = renderUserMessage(world, posted.message)
    yield* start(context, conversation, posted)
    if (input.blocking !== true) return json({ message, agentMessages: initial })
    yield* waitFor(context, posted.agentMessages)
    return json({ message, agentMessages: blockingResult(context, posted.agentMessages, initial) })
  })

/** Source: `editUserMessage` of `front/lib/api/assistant/conversation.ts`. */
const edit: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const input = yield* body(
      context,
      Schema.Struct({
        content: Schema.String,
        mentions: Schema.Array(MentionInput),
        skipToolsValidation: optional(Schema.Boolean)
      })
    )
    const conversation = yield* findConversation(context)
    const found = yield* findMessage(conversation, param(context, "messageId"))
    if (found.type !== "user_message") return yield* badRequest("The message edited must be a user message.")
    if (auth.user?.sId !== found.user?.sId) {
      return yield* refuse(403, "workspace_auth_error", "Only the author of the message can edit it")
    }
    yield* checkCredits(context)
    yield* checkLimits(context)
    const asked = agentsIn(input.mentions)
    for (const agent of asked) yield* checkAccess(context, agent)
    if (latest(conversation.ranks[found.rank] ?? []) !== found) {
      return yield* badRequest("Invalid user message edit request, this message was already edited.")
    }
    // An agent that has answered since does not answer again, and neither does another one.
    const answered = conversation.ranks.slice(found.rank + 1).flat().some(({ type }) => type === "agent_message")
    const message = makeUserMessage(world, conversation, {
      content: input.content,
      mentions: input.mentions,
      context: found.context,
      user: found.user,
      skipToolsValidation: input.skipToolsValidation ?? false,
      clientSideMCPServerIds: found.clientSideMCPServerIds,
      previous: found
    })
    announceUserMessage(world, conversation, message)
    const answers: Array<AgentMessage> = []
    for (const agent of answered ? [] : asked.slice(0, 1).filter((agent) => mayAnswer(context, agent))) {
      answers.push(
        yield* makeAgentMessage(world, conversation, { agent, parent: message, rank: nextRank(conversation) })
      )
    }
    const rendered = answers.map((answer) => renderAgentMessage(answer))
    yield* start(context, conversation, { message, agentMessages: answers })
    return json({ message: renderUserMessage(world, message), agentMessages: rendered })
  })

/** Source: `retryAgentMessage` of `front/lib/api/assistant/conversation.ts`. */
const retry: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    yield* jsonBody(context)
    const conversation = yield* findConversation(context)
    const found = yield* findAgentMessage(conversation, param(context, "messageId"), "Retry")
    const asked = found.parentMessageId === null ? undefined : conversation.bySId.get(found.parentMessageId)
    const parent = latest(conversation.ranks[asked?.rank ?? -1] ?? [])
    if (parent?.type !== "user_message") {
      return yield* badRequest("Could not find the parent user message for this retry.")
    }
    yield* checkCredits(context)
    yield* checkLimits(context)
    yield* checkAccess(context, found.agent.sId, "invalid_request_error")
    if (latest(conversation.ranks[found.rank] ?? []) !== found) {
      return yield* badRequest("Invalid agent message retry request, this message was already retried.")
    }
    const message = yield* makeAgentMessage(world, conversation, {
      agent: found.agent.sId,
      parent,
      rank: found.rank,
      previous: found
    })
    const rendered = renderAgentMessage(message)
    yield* startRun(world, conversation, message, parent)
    return json({ message: rendered })
  })

const cancel: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(context, Schema.Struct({ messageIds: Schema.Array(Schema.String) }))
    const conversation = yield* findConversation(context)
    conversation.cancelCalls.push({ at: context.world.now(), messageIds: input.messageIds })
    for (const messageId of input.messageIds) {
      const message = conversation.bySId.get(messageId)
      if (message?.type === "agent_message" && message.run.outcome === "running") yield* requestCancel(message)
    }
    return success
  })

export const messageAnswers = {
  "POST /assistant/conversations/{conversationId}/messages": { auth: "any", handler: post },
  "POST /assistant/conversations/{conversationId}/cancel": { auth: "any", handler: cancel },
  "POST /assistant/conversations/{conversationId}/messages/{messageId}/edit": { auth: "any", handler: edit },
  "POST /assistant/conversations/{conversationId}/messages/{messageId}/retry": { auth: "any", handler: retry }
} satisfies Answers<typeof conversationsApi>
