import * as Effect from "effect/Effect"
import type { ChatEvent } from "../../ChatEvent.ts"
import type { Service as Conversations } from "../../Conversations.ts"
import type { DustAgentError, RequestError } from "../../DustAPIError.ts"
import type { EventId, MessageId } from "../../Ids.ts"
import { type AgentMessage, isAgentMessage } from "../../Message.ts"
import { agentFailed } from "../request/errors.ts"
import { contentIn, withoutContent } from "../request/scrub.ts"
import { citationsOf } from "./citations.ts"
import type { Run } from "./run.ts"

/** `question` is removed from the message: model providers may quote it. */
const agentError = (method: string, message: AgentMessage, question: string): DustAgentError => {
  const cancelled = message.status === "cancelled"
  const category = message.error?.metadata["category"]
  const code = cancelled ? "cancelled" : message.error?.code ?? "unknown_error"
  // The provider's message on a single line.
  const said = message.error && withoutContent(message.error.message, contentIn(question))
  const why = (said ?? "Dust gave no reason").replace(/\s+/g, " ").trim()
  const name = message.configuration?.name ?? ""
  return agentFailed({ module: "Chat", method }, {
    message: `the agent ${name === "" ? "" : `${name} `}${cancelled ? "was cancelled" : `failed: ${why} (${code})`}`,
    details: message.error === null ? { status: message.status } : { ...message.error, message: said },
    code,
    category: typeof category === "string" ? category : null,
    agentId: message.configuration?.sId ?? null
  })
}

/** An agent that hands over to another agent writes no text itself: the other agent's message names it. */
const handedOverTo = (
  conversations: Conversations,
  run: Run,
  message: AgentMessage
): Effect.Effect<MessageId | null, RequestError> =>
  (message.content ?? "").trim() !== "" ? Effect.succeed(null) : Effect.map(
    conversations.pageMessages({ conversationId: run.conversationId, limit: 20 }),
    ({ messages }) =>
      messages.filter(isAgentMessage).find(({ parentAgentMessageId }) => parentAgentMessageId === run.messageId)?.sId ??
        null
  )

/** The event that ends the stream of a final message. `shown` is the text emitted so far. */
export const conclude = (
  conversations: Conversations,
  method: string,
  run: Run,
  message: AgentMessage,
  shown: string,
  eventId: EventId | undefined
): Effect.Effect<ReadonlyArray<ChatEvent>, DustAgentError | RequestError> => {
  if (message.status === "failed" || message.status === "cancelled") {
    return Effect.fail(agentError(method, message, run.message?.content ?? ""))
  }
  const text = message.content ?? ""
  return Effect.map(handedOverTo(conversations, run, message), (elsewhere) => {
    const done: ChatEvent = {
      _tag: "Done",
      eventId,
      reply: {
        text,
        conversationId: run.conversationId,
        message: run.message,
        agentMessage: message,
        actions: message.actions,
        chainOfThought: message.chainOfThought,
        citations: citationsOf(message.actions),
        generatedFiles: message.actions.flatMap((action) => action.generatedFiles),
        handedOverTo: elsewhere
      }
    }
    // A consumer that resumed after an event has text that was never seen here.
    const complete = shown === text && run.lastEventId === undefined
    return complete ? [done] : [{ _tag: "Reset", eventId: undefined, text }, done]
  })
}
