/** Messages of a conversation: creation, events, cancellation. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { agents } from "../domains/agents.ts"
import {
  addMessage,
  type AgentMessage,
  type Conversation,
  type Message,
  nextRank,
  renderAgentMessage,
  renderUserMessage,
  type UserMessage
} from "../domains/conversations/models.ts"
import { makeChannel, publish } from "../server/pubsub.ts"
import type { World } from "../state/state.ts"

export const requestCancel = (message: AgentMessage): Effect.Effect<void> =>
  Effect.suspend(() => {
    message.run.cancelRequested = true
    return Effect.asVoid(Deferred.succeed(message.run.cancelled, undefined))
  })

export const makeUserMessage = (
  world: World,
  conversation: Conversation,
  options: {
    readonly content: string
    readonly mentions: UserMessage["mentions"]
    readonly context: UserMessage["context"]
    readonly user: UserMessage["user"]
    readonly skipToolsValidation?: boolean | undefined
    readonly visibility?: string | undefined
    readonly requestedModel?: UserMessage["requestedModel"] | undefined
    readonly clientSideMCPServerIds?: ReadonlyArray<string> | undefined
    readonly sId?: string | undefined
    /** The message that this one replaces as a new version. */
    readonly previous?: Message | undefined
  }
): UserMessage => ({
  id: world.numericId(),
  sId: options.sId ?? world.sId(),
  created: world.now(),
  type: "user_message",
  rank: options.previous?.rank ?? nextRank(conversation),
  version: options.previous === undefined ? 0 : options.previous.version + 1,
  visibility: options.visibility ?? "visible",
  user: options.user,
  mentions: options.mentions,
  content: options.content,
  context: options.context,
  agenticMessageData: null,
  requestedModel: options.requestedModel ?? null,
  clientSideMCPServerIds: options.clientSideMCPServerIds ?? [],
  skipToolsValidation: options.skipToolsValidation ?? false
})

/** Adds an agent message that has not started to a conversation, and publishes it there. */
export const makeAgentMessage = (
  world: World,
  conversation: Conversation,
  options: {
    readonly agent: string
    readonly parent: UserMessage
    readonly rank: number
    readonly previous?: AgentMessage | undefined
  }
): Effect.Effect<AgentMessage> =>
  Effect.gen(function*() {
    const agent = agents(world).byId.get(options.agent) ?? (options.previous as AgentMessage).agent
    const cancelled = yield* Deferred.make<void>()
    const done = yield* Deferred.make<void>()
    const message: AgentMessage = {
      id: world.numericId(),
      agentMessageId: world.numericId(),
      sId: world.sId(),
      created: world.now(),
      type: "agent_message",
      rank: options.rank,
      version: options.previous === undefined ? 0 : options.previous.version + 1,
      visibility: "visible",
      parentMessageId: options.parent.sId,
      parentAgentMessageId: null,
      agent: { ...agent },
      status: "created",
      actions: [],
      content: null,
      chainOfThought: null,
      rawContents: [],
      error: null,
      completedTs: null,
      costCredits: null,
      subAgentCostCredits: 0,
      prunedContext: false,
      skipToolsValidation: options.parent.skipToolsValidation,
      run: {
        cancelled,
        done,
        channel: makeChannel(world),
        stopRequested: false,
        cancelRequested: false,
        outcome: "running"
      }
    }
    addMessage(conversation, message)
    publish(world, conversation.channel, {
      type: "agent_message_new",
      created: world.now(),
      configurationId: agent.sId,
      messageId: message.sId,
      message: renderAgentMessage(message)
    })
    return message
  })

export const announceUserMessage = (world: World, conversation: Conversation, message: UserMessage): void => {
  addMessage(conversation, message)
  publish(world, conversation.channel, {
    type: "user_message_new",
    created: world.now(),
    messageId: message.sId,
    message: renderUserMessage(world, message)
  })
}
