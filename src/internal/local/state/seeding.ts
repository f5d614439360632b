/** Creates seeded conversations and messages. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { makeAgentMessage, makeUserMessage } from "../agent/messages.ts"
import { agents } from "../domains/agents.ts"
import {
  addMessage,
  type AgentMessage,
  type Conversation,
  latest,
  makeConversation,
  type Message,
  nextRank,
  type UserMessage
} from "../domains/conversations/models.ts"
import { DustTestOptionsError, nearest } from "./check.ts"
import type { ConversationSeed, MessageSeed } from "./seed.ts"
import type { LocalUser, World } from "./state.ts"

/** Adds seeded messages to a conversation. */
export const seedConversation = (
  world: World,
  seed: ConversationSeed,
  creator: LocalUser | null
): Effect.Effect<Conversation> =>
  Effect.gen(function*() {
    const conversation = makeConversation(world, {
      sId: seed.sId,
      title: seed.title ?? null,
      spaceId: seed.spaceId,
      creator
    })
    for (const message of seed.messages ?? []) yield* seedMessage(world, conversation, message)
    return conversation
  })

export const seedMessage = (
  world: World,
  conversation: Conversation,
  seed: MessageSeed
): Effect.Effect<Message> =>
  Effect.gen(function*() {
    if (seed.role === "user") {
      const message = makeUserMessage(world, conversation, {
        sId: seed.sId,
        content: seed.content,
        mentions: [],
        user: conversation.creator,
        visibility: seed.visibility,
        context: {
          username: seed.username ?? conversation.creator?.username ?? "ada",
          timezone: seed.timezone ?? "UTC",
          fullName: null,
          email: null,
          profilePictureUrl: null,
          origin: "api"
        }
      })
      addMessage(conversation, message)
      return message
    }
    const parent = conversation.ranks.map(latest).findLast((message): message is UserMessage =>
      message?.type === "user_message"
    )
    const agent = seed.agent ?? "echo"
    if (!agents(world).byId.has(agent)) {
      return yield* Effect.die(
        new DustTestOptionsError({
          message: `Local Dust: there is no agent ${JSON.stringify(agent)}; similar: ${
            nearest(agent, agents(world).byId.keys())
          }`
        })
      )
    }
    const made = yield* makeAgentMessage(world, conversation, {
      agent,
      parent: parent ?? makeUserMessage(world, conversation, {
        content: "",
        mentions: [],
        user: null,
        context: { username: "ada", timezone: "UTC" }
      }),
      rank: nextRank(conversation)
    })
    const message: AgentMessage = { ...made, sId: seed.sId ?? made.sId, parentMessageId: parent?.sId ?? null }
    conversation.bySId.delete(made.sId)
    conversation.bySId.set(message.sId, message)
    conversation.ranks[message.rank] = [message]
    message.status = seed.status ?? "succeeded"
    message.visibility = seed.visibility ?? "visible"
    if (message.status !== "created") {
      message.content = seed.content
      message.rawContents.push({ step: 0, content: seed.content })
      message.completedTs = world.now()
      message.run.outcome = message.status === "succeeded"
        ? "success"
        : message.status === "cancelled"
        ? "cancelled"
        : "error"
      yield* Deferred.succeed(message.run.done, undefined)
    }
    return message
  })
