/** Posting a user message: validation in the server's order, limits, steering, blocking. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { isAcceptedTimezone } from "../../../input/timezoneNames.ts"
import { announceUserMessage, makeAgentMessage, makeUserMessage } from "../../agent/messages.ts"
import { startRun } from "../../agent/run.ts"
import { findMember } from "../../server/auth.ts"
import { badRequest, type Refusal, refuse } from "../../server/http.ts"
import type { Context } from "../../server/route.ts"
import type { LocalUser, Quirks } from "../../state/state.ts"
import { type Agent, agents } from "../agents.ts"
import { liveServer, touch } from "../mcp/servers.ts"
import type { MessageInput } from "./bodies.ts"
import {
  type AgentMessage,
  type Conversation,
  conversations,
  nextRank,
  renderAgentMessage,
  runningMessages,
  type UserMessage
} from "./models.ts"

const KEY_ORIGINS = new Set(["excel", "gsheet", "make", "n8n", "powerpoint", "zapier"])

const ORIGINS = new Set(
  ("api cli cli_programmatic email excel extension gsheet make n8n powerpoint raycast slack "
    + "slack_workflow teams transcript triggered_programmatic triggered wakeup web zapier zendesk "
    + "onboarding_conversation agent_sidekick project_kickoff reinforced_skill_notification reinforcement "
    + "branch_anchor document_comment analytics_panel system_activation").split(" ")
)

const originOf = (input: MessageInput): string =>
  typeof input.context.origin === "string" && ORIGINS.has(input.context.origin) ? input.context.origin : "api"

const originAllowed = (context: Context, origin: string): boolean => {
  const { auth, request } = context
  const agent = request.headers["user-agent"] ?? ""
  if (origin === "api" || auth.kind === "system") return true
  if (KEY_ORIGINS.has(origin)) return auth.kind === "key"
  switch (origin) {
    case "zendesk":
      return request.headers["x-zendesk-user-id"] !== undefined
    case "cli":
    case "cli_programmatic":
      return auth.kind === "user" && agent === "Dust CLI"
    case "extension":
      return auth.kind === "user" && request.headers["x-dust-extension-version"] !== undefined
    case "raycast":
      return auth.kind === "user" && agent === "undici"
    default:
      return false
  }
}

const tooLong = (value: string | null | undefined, limit: number): boolean =>
  typeof value === "string" && value.length > limit

export const checkTimezone = (context: Context, input: MessageInput, path: string): Effect.Effect<void, Refusal> =>
  !context.world.quirks.fixedTimezones || isAcceptedTimezone(input.context.timezone)
    ? Effect.void
    : badRequest(`Invalid request body: Validation error: Invalid timezone at "${path}"`)

export const checkContext = (context: Context, input: MessageInput, creating: boolean): Effect.Effect<void, Refusal> =>
  Effect.gen(function*() {
    const { auth, world } = context
    const { clientSideMCPServerIds, email, fullName, profilePictureUrl, selectedMCPServerViewIds, username } =
      input.context
    if (tooLong(username, 255) || tooLong(fullName, 255) || tooLong(email, 255) || tooLong(profilePictureUrl, 2048)) {
      return yield* badRequest("The message context is too long.")
    }
    if (username.trim() === "") return yield* badRequest("The message context username must be non-empty.")
    if (clientSideMCPServerIds !== undefined && clientSideMCPServerIds !== null && clientSideMCPServerIds.length > 0) {
      if (auth.user === undefined) {
        return yield* creating
          ? refuse(401, "invalid_request_error", "Client-side MCP servers are only available with user authentication.")
          : refuse(500, "internal_server_error", "Unexpected unauthenticated call to `getNonNullableUser`")
      }
      for (const serverId of clientSideMCPServerIds) {
        const server = liveServer(world, serverId, auth.user.sId)
        if (server === undefined) {
          return yield* refuse(
            403,
            "invalid_request_error",
            "User does not have access to the client-side MCP servers."
          )
        }
        touch(world, server)
      }
    }
    if (input.agenticMessageData !== undefined && input.agenticMessageData !== null && auth.kind !== "system") {
      return yield* refuse(
        401,
        "invalid_request_error",
        "Messages from run_agent or agent_handover must come from a system key."
      )
    }
    if (
      selectedMCPServerViewIds !== undefined && selectedMCPServerViewIds !== null && selectedMCPServerViewIds.length > 0
      && auth.user === undefined
    ) {
      return yield* refuse(
        401,
        "invalid_request_error",
        "MCP server views are only available with user authentication."
      )
    }
    if (!originAllowed(context, originOf(input))) {
      return yield* badRequest("This origin is not allowed for this authentication method.")
    }
  })

const checkModel = (input: MessageInput): Effect.Effect<void, Refusal> =>
  input.modelSelection !== undefined
    && (input.modelSelection.providerId.trim() === "" || input.modelSelection.modelId.trim() === ""
      || input.modelSelection.modelId.startsWith("unknown"))
    ? refuse(400, "invalid_request_error", "Unsupported model.", { model: input.modelSelection })
    : Effect.void

const refusals: Readonly<
  Record<Exclude<Quirks["credits"], "available">, readonly [status: number, type: string, message: string]>
> = {
  exhausted: [403, "credits_exhausted", "Your workspace has run out of credits."],
  no_seat: [403, "no_seat", "You do not have a seat in this workspace."],
  user_cap: [403, "user_cap_reached", "You have reached your usage cap."],
  group_cap: [403, "group_shared_usage_limit_reached", "Your group has reached its shared usage limit."],
  key_cap: [429, "rate_limit_error", "Your API key has reached its spend cap"]
}

/**
 * Refuses the message if there are no credits or seats left or a cap is reached. Source: the server's conversations and
 * messages routes.
 */
export const checkCredits = ({ auth, world }: Context): Effect.Effect<void, Refusal> => {
  const { credits } = world.quirks
  if (credits === "available" || auth.kind === "system" || (credits === "key_cap" && auth.kind !== "key")) {
    return Effect.void
  }
  return refuse(...refusals[credits])
}

export const checkLimits = (context: Context): Effect.Effect<void, Refusal> =>
  Effect.suspend((): Effect.Effect<void, Refusal> => {
    const { auth, world } = context
    if (auth.kind === "system") return Effect.void
    const actor = auth.user?.sId ?? `key-${auth.key?.id}`
    const { posts } = conversations(world)
    const now = world.now()
    const recent = (posts.get(actor) ?? []).filter((at) => now - at < 3_600_000)
    const lastMinute = recent.reduce((count, at) => now - at < 60_000 ? count + 1 : count, 0)
    if (lastMinute >= world.limits.messagesPerMinute || recent.length >= world.limits.messagesPerHour) {
      posts.set(actor, recent)
      return refuse(
        world.quirks.rateLimitStatus,
        "rate_limit_error",
        "The rate limit for this workspace has been exceeded."
      )
    }
    recent.push(now)
    posts.set(actor, recent)
    return Effect.void
  })

const INACCESSIBLE = new Set([
  "archived",
  "draft",
  "pending",
  "disabled_by_admin",
  "disabled_missing_datasource",
  "disabled_free_workspace"
])

const isEditor = (user: LocalUser | undefined, agent: Agent): boolean =>
  user !== undefined && agent.editors.includes(user.email)

/** Refuses an agent that does not exist, is not active, or is hidden from the caller. */
export const checkAccess = ({ auth, world }: Context, agentId: string, type = "agent_inaccessible") =>
  Effect.suspend((): Effect.Effect<void, Refusal> => {
    const agent = agents(world).byId.get(agentId)
    const hidden = agent?.scope === "hidden" && auth.role !== "admin" && auth.kind !== "system"
      && !isEditor(auth.user, agent)
    return agent === undefined || INACCESSIBLE.has(agent.status) || hidden
      ? refuse(400, type, "This agent is either disabled or you don't have access to it.")
      : Effect.void
  })

export const agentsIn = (mentions: UserMessage["mentions"]): ReadonlyArray<string> =>
  mentions.flatMap((mention) => "configurationId" in mention ? [mention.configurationId] : [])

/** An agent whose mention is restricted does not answer. */
export const mayAnswer = ({ world }: Context, agentId: string): boolean =>
  (agents(world).byId.get(agentId)?.mentionStatus ?? "approved") === "approved"

/** The agent that the message mentions: at most one, and it must exist. */
const checkAgents = (
  context: Context,
  conversation: Conversation,
  mentions: UserMessage["mentions"]
): Effect.Effect<ReadonlyArray<string>, Refusal> =>
  Effect.gen(function*() {
    const asked = agentsIn(mentions)
    if (asked.length > 1) return yield* badRequest("A message can mention at most one agent.")
    for (const sId of asked) {
      yield* checkAccess(context, sId)
      const running = runningMessages(conversation)
      if (
        context.world.quirks.steering && context.auth.user !== undefined && running.length > 0
        && !running.some((message) => message.agent.sId === sId)
      ) {
        return yield* badRequest("Another agent is running in this conversation.")
      }
    }
    return asked
  })

export interface Posted {
  readonly message: UserMessage
  readonly agentMessages: ReadonlyArray<AgentMessage>
}

const storedContext = (context: Context, input: MessageInput): UserMessage["context"] => ({
  username: input.context.username,
  timezone: input.context.timezone,
  fullName: input.context.fullName ?? null,
  email: input.context.email?.toLowerCase() ?? null,
  profilePictureUrl: input.context.profilePictureUrl ?? null,
  origin: originOf(input),
  clientSideMCPServerIds: input.context.clientSideMCPServerIds ?? [],
  selectedMCPServerViewIds: input.context.selectedMCPServerViewIds ?? [],
  lastTriggerRunAt: null,
  selectedSpaceIds: [],
  apiKeyId: context.auth.key?.id ?? null,
  authMethod: context.auth.kind === "user" ? "oauth" : context.auth.kind === "system" ? "system_api_key" : "api_key"
})

export const postMessage = (
  context: Context,
  conversation: Conversation,
  input: MessageInput,
  skipToolsValidation: boolean
): Effect.Effect<Posted, Refusal> =>
  Effect.gen(function*() {
    const { auth, world } = context
    yield* checkModel(input)
    yield* checkCredits(context)
    const asked = yield* checkAgents(context, conversation, input.mentions)
    yield* checkLimits(context)
    // An API key may name a member by email. That member becomes the author; the credential remains the key's.
    const author = auth.user ?? findMember(world, input.context.email ?? undefined)
    const running = runningMessages(conversation)
    const steered = world.quirks.steering && auth.user !== undefined
      ? running.filter((message) => asked.includes(message.agent.sId))
      : []
    const message = makeUserMessage(world, conversation, {
      content: input.content,
      mentions: input.mentions,
      context: storedContext(context, input),
      user: author ?? null,
      skipToolsValidation,
      visibility: steered.length > 0 ? "pending" : "visible",
      requestedModel: input.modelSelection,
      clientSideMCPServerIds: input.context.clientSideMCPServerIds ?? []
    })
    if (author !== undefined) {
      conversation.participants.add(author.sId)
      conversation.readAt.set(author.sId, world.now())
    }
    announceUserMessage(world, conversation, message)
    if (steered.length > 0) {
      for (const one of steered) one.run.stopRequested = true
      return { message, agentMessages: [] }
    }
    const agentMessages: Array<AgentMessage> = []
    for (const agent of asked) {
      // A restricted mention is stored with its status.
      if (!mayAnswer(context, agent)) continue
      agentMessages.push(
        yield* makeAgentMessage(world, conversation, { agent, parent: message, rank: nextRank(conversation) })
      )
    }
    return { message, agentMessages }
  })

export const start = (context: Context, conversation: Conversation, posted: Posted): Effect.Effect<void> =>
  Effect.forEach(
    posted.agentMessages,
    (message) => startRun(context.world, conversation, message, posted.message),
    { discard: true }
  )

/** Holds the response until every agent has finished, or until the time limit. */
export const waitFor = (context: Context, messages: ReadonlyArray<AgentMessage>): Effect.Effect<void> =>
  Effect.forEach(messages, (message) => Deferred.await(message.run.done), { discard: true, concurrency: "unbounded" })
    .pipe(
      Effect.timeoutOption(context.world.quirks.blockingLimit),
      Effect.asVoid
    )

export const blockingResult = (
  context: Context,
  messages: ReadonlyArray<AgentMessage>,
  initial: ReadonlyArray<Record<string, unknown>>
): ReadonlyArray<Record<string, unknown>> => {
  if (!context.world.quirks.blockingStale) return messages.map((message) => renderAgentMessage(message))
  return messages.flatMap((message, index) => {
    switch (message.run.outcome) {
      case "success":
        return [renderAgentMessage(message)]
      case "running":
      case "error":
        return []
      default:
        return [initial[index]!]
    }
  })
}
