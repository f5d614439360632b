/** The handle's functions for agents, conversations and messages. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { addAgent } from "../domains/agents.ts"
import { encodeText } from "../server/http.ts"
import { agentCheck, checked, conversationSeed, messageSeed } from "./checkOptions.ts"
import type { Control, MessageState } from "./control.ts"
import { defaults } from "./defaults.ts"
import { alive } from "./ended.ts"
import { allConversations, conversationState, findConversation, findMessage, messageState, notFound } from "./find.ts"
import { seedConversation, seedMessage } from "./seeding.ts"
import type { World } from "./state.ts"
import { awaiting } from "./waiting.ts"

const messagesOf = (world: World, role: MessageState["role"], conversationId: string | undefined) =>
  Effect.sync(() =>
    allConversations(world)
      .filter((conversation) => conversationId === undefined || conversation.sId === conversationId)
      .flatMap((conversation) => conversation.ranks.flat())
      .map((message) => messageState(world, message))
      .filter((message) => message.role === role)
  )

export const conversationControl = (
  world: World
): Pick<
  Control,
  | "setAgent"
  | "conversation"
  | "conversations"
  | "message"
  | "userMessages"
  | "agentMessages"
  | "waitForRun"
  | "addConversation"
  | "addMessage"
  | "addConversationFile"
> => ({
  setAgent: (sId, agent) =>
    alive(
      world,
      "setAgent",
      Effect.zipRight(
        checked(agentCheck, agent, `the agent ${sId}`),
        Effect.sync(() => void addAgent(world, sId, agent))
      )
    ),
  conversation: (conversationId) =>
    Effect.map(findConversation(world, conversationId), (found) => conversationState(world, found)),
  conversations: Effect.sync(() => allConversations(world).map((one) => conversationState(world, one))),
  message: (messageId) => Effect.map(findMessage(world, messageId), (message) => messageState(world, message)),
  userMessages: (conversationId) => messagesOf(world, "user", conversationId),
  agentMessages: (conversationId) => messagesOf(world, "agent", conversationId),
  waitForRun: (messageId) =>
    Effect.flatMap(findMessage(world, messageId), (message) =>
      message.type === "agent_message"
        ? Effect.map(
          awaiting(world, `the end of the run of ${message.agent.name}`, Deferred.await(message.run.done)),
          () => messageState(world, message)
        )
        : notFound("agent message", messageId)),
  addConversation: (seed) =>
    checked(conversationSeed, seed, "the conversation").pipe(
      Effect.zipRight(
        Effect.suspend(() => seedConversation(world, seed, world.userTokens.get(defaults.userToken)?.user ?? null))
      ),
      Effect.map((conversation) => conversationState(world, conversation))
    ),
  addMessage: (conversationId, seed) =>
    checked(messageSeed, seed, "the message").pipe(
      Effect.zipRight(findConversation(world, conversationId)),
      Effect.flatMap((conversation) => seedMessage(world, conversation, seed)),
      Effect.map((message) => messageState(world, message))
    ),
  addConversationFile: (conversationId, file) =>
    Effect.map(findConversation(world, conversationId), (conversation) => {
      conversation.files.set(`conversation/${file.path}`, {
        contentType: file.contentType ?? "text/plain",
        bytes: typeof file.content === "string" ? encodeText(file.content) : file.content
      })
    })
})
