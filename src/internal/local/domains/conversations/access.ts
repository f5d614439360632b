/** Paths and access checks shared by the conversation routes. */
import * as Effect from "effect/Effect"
import { badRequest, json, type Refusal, refuse } from "../../server/http.ts"
import { type Context, param } from "../../server/route.ts"
import { type Conversation, conversations, type Message } from "./models.ts"

export const ONE = "/api/v1/w/:workspaceId/assistant/conversations/:conversationId"

export const success = json({ success: true })

/** Returns the conversation if the caller has access to it. */
export const findConversation = (
  context: Context,
  conversationId = param(context, "conversationId")
): Effect.Effect<Conversation, Refusal> =>
  Effect.suspend((): Effect.Effect<Conversation, Refusal> => {
    const conversation = conversations(context.world).byId.get(conversationId)
    if (conversation === undefined || conversation.visibility === "deleted") {
      return refuse(404, "conversation_not_found", "Conversation not found.")
    }
    const { user } = context.auth
    if (
      conversation.accessMode === "participants_only" && user !== undefined && !conversation.participants.has(user.sId)
    ) {
      return refuse(403, "conversation_access_restricted", "The conversation is restricted to its participants.")
    }
    return Effect.succeed(conversation)
  })

export const findMessage = (
  conversation: Conversation,
  messageId: string
): Effect.Effect<Message, Refusal> => {
  const message = conversation.bySId.get(messageId)
  return message === undefined
    ? refuse(404, "message_not_found", "Message not found.")
    : Effect.succeed(message)
}

export const findAgentMessage = (conversation: Conversation, messageId: string, what: string) =>
  Effect.flatMap(
    findMessage(conversation, messageId),
    (message) =>
      message.type === "agent_message" ? Effect.succeed(message) : badRequest(`${what}: not an agent message.`)
  )
