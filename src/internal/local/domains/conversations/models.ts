/** Conversations and messages: stored models and their API representation. */
import type * as Deferred from "effect/Deferred"
import type { UserAnswer } from "../../agent/steps.ts"
import { type Channel, makeChannel } from "../../server/pubsub.ts"
import { type Auth, type LocalUser, slice, type World } from "../../state/state.ts"
import { type Agent, agents, renderAgent } from "../agents.ts"

export type Mention = { readonly configurationId: string } | { readonly type: "user"; readonly userId: string }

export interface ModelSelection {
  readonly providerId: string
  readonly modelId: string
  readonly reasoningEffort?: string | undefined
}

interface Common {
  readonly id: number
  readonly sId: string
  readonly created: number
  readonly rank: number
  readonly version: number
  visibility: string
}

export interface UserMessage extends Common {
  readonly type: "user_message"
  readonly user: LocalUser | null
  readonly mentions: ReadonlyArray<Mention>
  readonly content: string
  readonly context: Readonly<Record<string, unknown>> & {
    readonly username: string
    readonly timezone: string
  }
  readonly agenticMessageData: Readonly<Record<string, unknown>> | null
  readonly requestedModel: ModelSelection | null
  readonly clientSideMCPServerIds: ReadonlyArray<string>
  readonly skipToolsValidation: boolean
}

export interface Action {
  readonly id: number
  readonly sId: string
  readonly createdAt: number
  updatedAt: number
  readonly mcpServerId: string | null
  readonly internalMCPServerName: string | null
  readonly toolName: string
  readonly agentMessageId: number
  readonly functionCallName: string
  readonly functionCallId: string
  status: string
  readonly params: Readonly<Record<string, unknown>>
  readonly step: number
  executionDurationMs: number | null
  readonly citationsAllocated: number
  output: ReadonlyArray<Readonly<Record<string, unknown>>> | null
  generatedFiles: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly displayLabels: { readonly running: string; readonly done: string } | null
}

/** State of a run, kept in its message. */
export interface Run {
  /** Interrupts the current step when the run is cancelled. */
  readonly cancelled: Deferred.Deferred<void>
  /** Completed when the terminal event has been published. */
  readonly done: Deferred.Deferred<void>
  readonly channel: Channel
  /** Requests a stop between two steps. */
  stopRequested: boolean
  cancelRequested: boolean
  /** Type of the terminal event. */
  outcome: "running" | "success" | "gracefully_stopped" | "cancelled" | "error" | "tool_error"
}

export interface AgentMessage extends Common {
  readonly type: "agent_message"
  readonly agentMessageId: number
  readonly parentMessageId: string | null
  readonly parentAgentMessageId: string | null
  readonly agent: Agent
  /** Internal status; includes `gracefully_stopped` and `interrupted`. */
  status: string
  readonly actions: Array<Action>
  content: string | null
  chainOfThought: string | null
  readonly rawContents: Array<{ readonly step: number; content: string }>
  error: {
    readonly code: string
    readonly message: string
    readonly metadata: Readonly<Record<string, unknown>> | null
  } | null
  completedTs: number | null
  costCredits: number | null
  /** Cost of the agents that this one called, directly or through others. */
  subAgentCostCredits: number
  prunedContext: boolean
  readonly skipToolsValidation: boolean
  readonly run: Run
}

export interface Fragment extends Common {
  readonly type: "content_fragment"
  /** The remaining fields of the API representation. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly title: string
  readonly contentType: string
  /** The text, if Local Dust has it. */
  readonly text: string
}

export type Message = UserMessage | AgentMessage | Fragment

export interface BlockedAction {
  readonly actionId: string
  readonly agentMessageId: string
  readonly conversationId: string
  readonly status:
    | "blocked_authentication_required"
    | "blocked_file_authorization_required"
    | "blocked_validation_required"
    | "blocked_user_answer_required"
  readonly toolName: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly stake: string
  readonly answered: Deferred.Deferred<BlockedAnswer>
  answer: BlockedAnswer | undefined
}

export type BlockedAnswer =
  | { readonly _tag: "Validated"; readonly approved: boolean }
  | { readonly _tag: "Answered"; readonly answer: UserAnswer }
  | { readonly _tag: "Resolved" }

export interface Feedback {
  readonly messageId: string
  readonly agentMessageId: number
  readonly user: LocalUser
  readonly thumbDirection: "up" | "down"
  readonly content: string | null
  readonly createdAt: number
  readonly agentConfigurationId: string
  readonly agentConfigurationVersion: number
  readonly isConversationShared: boolean
}

export interface Conversation {
  readonly id: number
  readonly sId: string
  readonly created: number
  updated: number
  title: string | null
  visibility: string
  readonly depth: number
  spaceId: string | null
  accessMode: "participants_only" | "workspace_members" | undefined
  readonly creator: LocalUser | null
  readonly participants: Set<string>
  /** Time of the last read by each participant. */
  readonly readAt: Map<string, number>
  /** Ordered by rank; each entry holds the versions. */
  readonly ranks: Array<Array<Message>>
  readonly bySId: Map<string, Message>
  readonly channel: Channel
  /** Blocked actions by action id, including those of sub-agents' conversations. */
  readonly blocked: Map<string, BlockedAction>
  readonly feedbacks: Array<Feedback>
  readonly files: Map<string, { readonly contentType: string; readonly bytes: Uint8Array }>
  /** `cancel` calls that listed messages of this conversation. */
  readonly cancelCalls: Array<{ readonly at: number; readonly messageIds: ReadonlyArray<string> }>
  /** The agent message, in another conversation, that started this one. */
  readonly parent: { readonly conversation: Conversation; readonly message: AgentMessage } | undefined
}

export const conversations = slice("conversations", () => ({
  byId: new Map<string, Conversation>(),
  /** Message times by author, for the rate limits. */
  posts: new Map<string, Array<number>>(),
  /** Tools with a standing approval: `<user>/<server>/<tool>`. */
  alwaysApproved: new Set<string>()
}))

export const makeConversation = (
  world: World,
  options: {
    readonly sId?: string | undefined
    readonly title: string | null
    readonly visibility?: string | undefined
    readonly depth?: number | undefined
    readonly spaceId?: string | undefined
    readonly creator: LocalUser | null
    readonly parent?: Conversation["parent"]
  }
): Conversation => {
  const now = world.now()
  const conversation: Conversation = {
    id: world.numericId(),
    sId: options.sId ?? world.sId(),
    created: now,
    updated: now,
    title: options.title,
    visibility: options.visibility ?? "unlisted",
    depth: options.depth ?? 0,
    spaceId: options.spaceId ?? null,
    accessMode: undefined,
    creator: options.creator,
    participants: new Set(options.creator === null ? [] : [options.creator.sId]),
    readAt: new Map(),
    ranks: [],
    bySId: new Map(),
    channel: makeChannel(world),
    blocked: new Map(),
    feedbacks: [],
    files: new Map(),
    cancelCalls: [],
    parent: options.parent
  }
  if (options.creator !== null) conversation.readAt.set(options.creator.sId, now)
  conversations(world).byId.set(conversation.sId, conversation)
  return conversation
}

/** Inserts a message at its rank as the newest version. */
export const addMessage = (conversation: Conversation, message: Message): void => {
  const versions = conversation.ranks[message.rank]
  if (versions === undefined) conversation.ranks[message.rank] = [message]
  else versions.push(message)
  conversation.bySId.set(message.sId, message)
  conversation.updated = Math.max(conversation.updated, message.created)
}

export const nextRank = (conversation: Conversation): number => conversation.ranks.length

export const latest = (versions: ReadonlyArray<Message>): Message | undefined => versions[versions.length - 1]

export const runningMessages = (conversation: Conversation): ReadonlyArray<AgentMessage> => {
  const running: Array<AgentMessage> = []
  for (const versions of conversation.ranks) {
    for (const message of versions) {
      if (message.type === "agent_message" && message.run.outcome === "running") running.push(message)
    }
  }
  return running
}

const publicStatus = (status: string): string =>
  status === "gracefully_stopped" ? "succeeded" : status === "interrupted" ? "cancelled" : status

const richMention = (world: World, mention: Mention): ReadonlyArray<Record<string, unknown>> => {
  if ("configurationId" in mention) {
    return [{
      id: mention.configurationId,
      type: "agent",
      label: agents(world).byId.get(mention.configurationId)?.name ?? mention.configurationId,
      pictureUrl: agents(world).byId.get(mention.configurationId)?.pictureUrl ?? "",
      description: agents(world).byId.get(mention.configurationId)?.description ?? "",
      dismissed: false,
      status: agents(world).byId.get(mention.configurationId)?.mentionStatus ?? "approved"
    }]
  }
  const member = world.members.get(mention.userId)
  return member === undefined ? [] : [{
    id: member.user.sId,
    type: "user",
    label: member.user.fullName,
    pictureUrl: member.user.image ?? "",
    description: member.user.email,
    dismissed: false,
    status: "approved"
  }]
}

export const renderUserMessage = (world: World, message: UserMessage): Record<string, unknown> => ({
  id: message.id,
  sId: message.sId,
  created: message.created,
  type: "user_message",
  visibility: message.visibility,
  version: message.version,
  rank: message.rank,
  branchId: null,
  user: message.user,
  mentions: message.mentions,
  richMentions: message.mentions.flatMap((mention) => richMention(world, mention)),
  reactions: [],
  content: message.content,
  context: message.context,
  agenticMessageData: message.agenticMessageData,
  requestedModel: message.requestedModel
})

export const renderAgentMessage = (
  message: AgentMessage,
  options?: { readonly raw?: boolean | undefined }
): Record<string, unknown> => {
  const raw = options?.raw === true
  return {
    id: message.id,
    agentMessageId: message.agentMessageId,
    sId: message.sId,
    created: message.created,
    completedTs: message.completedTs,
    type: "agent_message",
    visibility: message.visibility,
    version: message.version,
    rank: message.rank,
    branchId: null,
    parentMessageId: message.parentMessageId,
    parentAgentMessageId: message.parentAgentMessageId,
    configuration: renderAgent(message.agent),
    status: raw ? message.status : publicStatus(message.status),
    actions: message.actions,
    content: message.content,
    chainOfThought: message.chainOfThought,
    rawContents: message.rawContents,
    contents: message.rawContents.map(({ content, step }) => ({
      step,
      content: { type: "text_content", value: content }
    })),
    error: message.error,
    richMentions: [],
    reactions: [],
    skipToolsValidation: message.skipToolsValidation,
    prunedContext: message.prunedContext,
    completionDurationMs: message.completedTs === null ? null : message.completedTs - message.created,
    modelInteractionDurationMs: message.completedTs === null ? null : message.completedTs - message.created,
    costCredits: message.costCredits,
    // Computed only when a single message is read.
    subAgentCostCredits: null,
    resolvedModel: { providerId: message.agent.model.providerId, modelId: message.agent.model.modelId },
    modelResolutionMethod: "agent"
  }
}

export const renderFragment = (message: Fragment): Record<string, unknown> => ({
  id: message.id,
  sId: message.sId,
  created: message.created,
  type: "content_fragment",
  visibility: message.visibility,
  version: message.version,
  rank: message.rank,
  branchId: null,
  ...message.fields
})

export const renderMessage = (world: World, message: Message): Record<string, unknown> => {
  switch (message.type) {
    case "user_message":
      return renderUserMessage(world, message)
    case "agent_message":
      return renderAgentMessage(message)
    case "content_fragment":
      return renderFragment(message)
  }
}

export const conversationUrl = (world: World, conversation: Conversation): string =>
  `${world.origin()}/w/${world.workspaceId}/conversation/${conversation.sId}`

export const renderWithoutContent = (
  world: World,
  conversation: Conversation,
  auth: Auth
): Record<string, unknown> => {
  const readAt = auth.user === undefined ? undefined : conversation.readAt.get(auth.user.sId)
  const running = runningMessages(conversation).length > 0
  return {
    id: conversation.id,
    sId: conversation.sId,
    created: conversation.created,
    updated: conversation.updated,
    title: conversation.title,
    visibility: conversation.visibility,
    unread: auth.user === undefined ? false : readAt === undefined || readAt < conversation.updated,
    actionRequired: [...conversation.blocked.values()].some((action) => action.answer === undefined),
    hasError: conversation.ranks.some((versions) => {
      const last = latest(versions)
      return last?.type === "agent_message" && last.status === "failed"
    }),
    lastReadMs: readAt ?? null,
    metadata: conversation.accessMode === undefined ? {} : { urlAccessMode: conversation.accessMode },
    nextWakeupAt: null,
    owner: world.owner(auth),
    requestedGroupIds: [],
    requestedSpaceIds: conversation.spaceId === null ? [] : [conversation.spaceId],
    spaceId: conversation.spaceId,
    triggerId: null,
    isRunningAgentLoop: running,
    depth: conversation.depth,
    branchId: null
  }
}

export const renderConversation = (
  world: World,
  conversation: Conversation,
  auth: Auth,
  content?: ReadonlyArray<ReadonlyArray<Message>>
): Record<string, unknown> => ({
  ...renderWithoutContent(world, conversation, auth),
  content: (content ?? conversation.ranks).map((versions) => versions.map((message) => renderMessage(world, message))),
  url: conversationUrl(world, conversation)
})
