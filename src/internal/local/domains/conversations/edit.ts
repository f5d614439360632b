/** Posting, editing, retrying and cancelling messages. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import { announceUserMessage, makeAgentMessage, makeUserMessage, requestCancel } from "../../agent/messages.ts"
import { startRun } from "../../agent/run.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, json } from "../../server/http.ts"
import { body, type Handler, jsonBody, param } from "../../server/route.ts"
import { findAgentMessage, findConversation, findMessage, success } from "./access.ts"
import { MentionInput, MessageInput, optional } from "./bodies.ts"
import {
  type AgentMessage,
  latest,
  nextRank,
  renderAgentMessage,
  renderUserMessage,
  type UserMessage
} from "./models.ts"
import {
  blockingResult,
  checkAgents,
  checkContext,
  checkLimits,
  checkTimezone,
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

const edit: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const input = yield* body(
      context,
      Schema.Struct({
        content: Schema.String.pipe(Schema.minLength(1)),
        mentions: Schema.Array(MentionInput),
        skipToolsValidation: optional(Schema.Boolean)
      })
    )
    const conversation = yield* findConversation(context)
    const found = yield* findMessage(conversation, param(context, "messageId"))
    if (found.type !== "user_message") return yield* badRequest("The message edited must be a user message.")
    const previous = latest(conversation.ranks[found.rank] ?? []) as UserMessage
    const asked = yield* checkAgents(context, conversation, input.mentions)
    yield* checkLimits(context)
    const message = makeUserMessage(world, conversation, {
      content: input.content,
      mentions: input.mentions,
      context: previous.context,
      user: auth.user ?? previous.user,
      skipToolsValidation: input.skipToolsValidation ?? false,
      clientSideMCPServerIds: previous.clientSideMCPServerIds,
      previous
    })
    announceUserMessage(world, conversation, message)
    const answers: Array<AgentMessage> = []
    for (const agent of asked) {
      const answered = conversation.ranks.map(latest).find((other): other is AgentMessage =>
        other?.type === "agent_message" && other.rank > found.rank && other.agent.sId === agent
        && (other.parentMessageId === previous.sId || other.parentMessageId === found.sId)
      )
      answers.push(
        yield* makeAgentMessage(world, conversation, {
          agent,
          parent: message,
          rank: answered?.rank ?? nextRank(conversation),
          previous: answered
        })
      )
    }
    const rendered = answers.map((answer) => renderAgentMessage(answer))
    yield* start(context, conversation, { message, agentMessages: answers })
    return json({ message: renderUserMessage(world, message), agentMessages: rendered })
  })

const retry: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    yield* jsonBody(context)
    const conversation = yield* findConversation(context)
    const found = yield* findAgentMessage(conversation, param(context, "messageId"), "Retry")
    const previous = latest(conversation.ranks[found.rank] ?? []) as AgentMessage
    const parent = found.parentMessageId === null ? undefined : conversation.bySId.get(found.parentMessageId)
    if (parent?.type !== "user_message") return yield* badRequest("The message has no user message to answer.")
    yield* checkLimits(context)
    if (previous.run.outcome === "running") yield* requestCancel(previous)
    const message = yield* makeAgentMessage(world, conversation, {
      agent: found.agent.sId,
      parent,
      rank: found.rank,
      previous
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
