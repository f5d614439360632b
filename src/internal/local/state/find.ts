/** Looks up conversations and messages, and returns them in the form that tests see. */
import * as Effect from "effect/Effect"
import {
  type Conversation,
  conversations,
  type Message,
  renderConversation,
  renderMessage
} from "../domains/conversations/models.ts"
import { type ConversationState, DustTestNotFoundError, type MessageState } from "./control.ts"
import type { Auth, World } from "./state.ts"

const everything: Auth = { kind: "system", role: "admin", user: undefined, key: undefined }

export const notFound = (what: string, id: string) =>
  Effect.fail(new DustTestNotFoundError({ message: `Local Dust has no ${what} ${id}` }))

export const allConversations = (world: World): ReadonlyArray<Conversation> => [...conversations(world).byId.values()]

export const messageState = (world: World, message: Message): MessageState => ({
  sId: message.sId,
  role: message.type === "user_message" ? "user" : message.type === "agent_message" ? "agent" : "content_fragment",
  content: message.type === "content_fragment" ? message.text : message.content,
  rank: message.rank,
  version: message.version,
  visibility: message.visibility,
  status: message.type === "agent_message" ? message.status : undefined,
  run: message.type === "agent_message" ? message.run.outcome : undefined,
  cancelRequested: message.type === "agent_message" && message.run.cancelRequested,
  json: renderMessage(world, message)
})
export const conversationState = (world: World, conversation: Conversation): ConversationState => ({
  sId: conversation.sId,
  title: conversation.title,
  visibility: conversation.visibility,
  messages: conversation.ranks.flat().map((message) => messageState(world, message)),
  blockedActionIds: [...conversation.blocked.keys()],
  cancelCalls: [...conversation.cancelCalls],
  json: renderConversation(world, conversation, everything)
})

export const findConversation = (world: World, conversationId: string) =>
  Effect.suspend(() => {
    const conversation = conversations(world).byId.get(conversationId)
    return conversation === undefined ? notFound("conversation", conversationId) : Effect.succeed(conversation)
  })

export const findMessage = (world: World, messageId: string) =>
  Effect.suspend(() => {
    for (const conversation of allConversations(world)) {
      const message = conversation.bySId.get(messageId)
      if (message !== undefined) return Effect.succeed(message)
    }
    return notFound("message", messageId)
  })

/** The stream of a conversation, or of an agent message. */
export const findChannel = (world: World, channelId: string) =>
  Effect.suspend(() => {
    const conversation = conversations(world).byId.get(channelId)
    if (conversation !== undefined) return Effect.succeed(conversation.channel)
    return Effect.flatMap(findMessage(world, channelId), (message) =>
      message.type === "agent_message" ? Effect.succeed(message.run.channel) : notFound("stream of", channelId))
  })
