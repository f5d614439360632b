/** One workspace: its state, its handler, and what a test can ask and do. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { AgentBehavior, UserAnswer } from "../agent/steps.ts"
import { addAgent, type AgentOptions } from "../domains/agents.ts"
import { answerAction } from "../domains/conversations/blocked.ts"
import {
  type AgentMessage,
  type Conversation,
  conversations,
  type Message,
  renderConversation,
  renderMessage
} from "../domains/conversations/models.ts"
import { installDataSources } from "../domains/dataSources.ts"
import { installFiles } from "../domains/files.ts"
import { anyServer, forget, type McpServer, mcpServers } from "../domains/mcp/servers.ts"
import { installSpaces } from "../domains/spaces.ts"
import type { Fault } from "../server/faults.ts"
import { encodeText } from "../server/http.ts"
import { type Handler, makeHandler, type SeenRequest } from "../server/pipeline.ts"
import { publish, publishJson, publishRaw, retained } from "../server/pubsub.ts"
import {
  activate,
  type ActiveRule,
  compile,
  DustTestRuleError,
  type FaultRule,
  type RequestPattern,
  reportUnused
} from "../server/rules.ts"
import { defaults, makeWorld, type Place, type WorldOptions } from "./create.ts"
import type { ConversationSeed, MessageSeed } from "./seed.ts"
import { seedConversation, seedMessage } from "./seeding.ts"
import type { Auth, World } from "./state.ts"
import { watchTestClock } from "./testClock.ts"

/**
 * A test asked about something that the workspace does not have.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustTestNotFoundError extends Data.TaggedError("DustTestNotFoundError")<{ readonly message: string }> {}

/** Which requests are meant. Everything that is given must hold. @category models @since 0.1.0 */
export interface RequestFilter extends RequestPattern {
  readonly status?: number | undefined
  readonly outcome?: SeenRequest["outcome"] | undefined
  readonly where?: ((request: SeenRequest) => boolean) | undefined
}

/** A message as a test sees it. @category models @since 0.1.0 */
export interface MessageState {
  readonly sId: string
  readonly role: "user" | "agent" | "content_fragment"
  /** The text; null while an agent has none. */
  readonly content: string | null
  readonly rank: number
  readonly version: number
  readonly visibility: string
  /** Agent messages: `created`, `succeeded`, `failed`, `cancelled`, `gracefully_stopped`. Others: undefined. */
  readonly status: string | undefined
  /** Agent messages: how the run ended, `running` before. Others: undefined. */
  readonly run: AgentMessage["run"]["outcome"] | undefined
  /** Agent messages: whether `/cancel` named it. Others: false. */
  readonly cancelRequested: boolean
  /** The message as the API shows it. */
  readonly json: Readonly<Record<string, unknown>>
}

/** A conversation as a test sees it. @category models @since 0.1.0 */
export interface ConversationState {
  readonly sId: string
  readonly title: string | null
  readonly visibility: string
  /** Every version of every message, by rank, then by version. */
  readonly messages: ReadonlyArray<MessageState>
  readonly blockedActionIds: ReadonlyArray<string>
  readonly cancelCalls: ReadonlyArray<{ readonly at: number; readonly messageIds: ReadonlyArray<string> }>
  /** The conversation as the API shows it. */
  readonly json: Readonly<Record<string, unknown>>
}

/** A client-side MCP server as a test sees it. @category models @since 0.1.0 */
export interface McpServerState {
  readonly serverId: string
  readonly name: string
  readonly expiresAt: number
  /** The JSON-RPC messages that were posted to `results`: the last 1000 of them, or 64 MiB. */
  readonly results: ReadonlyArray<unknown>
}

/** What a test can ask of the workspace, and do to it. */
export interface Control {
  /** Where the API is, without a trailing slash: the `baseUrl` of a client. */
  readonly url: string
  readonly workspaceId: string
  /** A workspace API key with the role `builder`. */
  readonly apiKey: Redacted.Redacted
  /** A workspace API key with the role `admin`. */
  readonly adminApiKey: Redacted.Redacted
  /** An access token of Ada Lovelace, a member with the role `user`. */
  readonly userToken: Redacted.Redacted
  /** An access token of Grace Hopper, an administrator. */
  readonly adminToken: Redacted.Redacted

  /**
   * The requests that were seen, oldest first; all of them without a filter. The last 20 000 are kept, as long as their
   * bodies are not above 128 MiB together.
   */
  readonly requests: (filter?: RequestFilter) => Effect.Effect<ReadonlyArray<SeenRequest>>
  /** How many of them there are. */
  readonly countRequests: (filter?: RequestFilter) => Effect.Effect<number>
  /** The newest of them. */
  readonly lastRequest: (filter?: RequestFilter) => Effect.Effect<SeenRequest, DustTestNotFoundError>
  /** Waits until there is one, also one that was seen already. */
  readonly waitForRequest: (filter: RequestFilter | ((request: SeenRequest) => boolean)) => Effect.Effect<SeenRequest>
  readonly clearRequests: Effect.Effect<void>
  /** The requests whose answer is not complete and whose client is still there: open connections. */
  readonly openConnections: Effect.Effect<ReadonlyArray<SeenRequest>>
  /** How many of those are being answered with a stream. */
  readonly openStreams: Effect.Effect<number>
  /** Waits until no connection is open. */
  readonly allClosed: Effect.Effect<void>

  /** Scripts a fault from now on. Rules are tried in order; the first one that hits decides. */
  readonly fault: (rule: FaultRule | Fault) => Effect.Effect<void>
  /** Takes all scripted faults back. */
  readonly clearFaults: Effect.Effect<void>

  /** Adds an agent, or replaces its script. Runs that started keep the old one. */
  readonly setAgent: (sId: string, agent: AgentOptions | AgentBehavior) => Effect.Effect<void>

  readonly conversation: (conversationId: string) => Effect.Effect<ConversationState, DustTestNotFoundError>
  readonly conversations: Effect.Effect<ReadonlyArray<ConversationState>>
  /** A message of any conversation. */
  readonly message: (messageId: string) => Effect.Effect<MessageState, DustTestNotFoundError>
  /** Every user message there is (of one conversation, or of all): what "sent once" is about. */
  readonly userMessages: (conversationId?: string) => Effect.Effect<ReadonlyArray<MessageState>>
  /** Every agent message there is (of one conversation, or of all). */
  readonly agentMessages: (conversationId?: string) => Effect.Effect<ReadonlyArray<MessageState>>
  /** Waits until the run of an agent message has ended. */
  readonly waitForRun: (messageId: string) => Effect.Effect<MessageState, DustTestNotFoundError>

  /** Adds a conversation with finished messages. */
  readonly addConversation: (seed: ConversationSeed) => Effect.Effect<ConversationState>
  /** Adds a finished message to a conversation. */
  readonly addMessage: (
    conversationId: string,
    seed: MessageSeed
  ) => Effect.Effect<MessageState, DustTestNotFoundError>
  /** Puts a file into a conversation, as an agent would. `path` is inside the conversation, without `conversation/`. */
  readonly addConversationFile: (
    conversationId: string,
    file: { readonly path: string; readonly content: string | Uint8Array; readonly contentType?: string | undefined }
  ) => Effect.Effect<void, DustTestNotFoundError>

  /** Publishes any object on the stream of an agent message, or of a conversation. */
  readonly publish: (
    channelId: string,
    event: Readonly<Record<string, unknown>>
  ) => Effect.Effect<void, DustTestNotFoundError>
  /** Publishes a frame whose data is this text, whatever it is. */
  readonly publishRaw: (channelId: string, data: string) => Effect.Effect<void, DustTestNotFoundError>
  /** Forgets the history of a stream, as the server does ten minutes after the last event. */
  readonly expireHistory: (channelId: string) => Effect.Effect<void, DustTestNotFoundError>
  /** How many events a new connection could still replay. */
  readonly retainedEvents: (channelId: string) => Effect.Effect<number, DustTestNotFoundError>

  /** Answers a blocked action in place of the human, in Dust's web application. */
  readonly resolveAction: (
    actionId: string,
    how?: "approved" | "rejected" | UserAnswer
  ) => Effect.Effect<void, DustTestNotFoundError>
  /** Lets an access token expire now. */
  readonly expireToken: (token: string | Redacted.Redacted) => Effect.Effect<void, DustTestNotFoundError>
  /** The client-side MCP servers that are registered. */
  readonly mcpServers: Effect.Effect<ReadonlyArray<McpServerState>>
  /**
   * Sends a JSON-RPC message to a client-side MCP server, as it is; what comes back is in its `results`. Of several users'
   * servers of one id, the one that was registered first is meant.
   */
  readonly sendMcp: (serverId: string, message: unknown) => Effect.Effect<void, DustTestNotFoundError>
  /** Forgets a client-side MCP server, as Dust does ten minutes after its last sign of life. */
  readonly expireMcpServer: (serverId: string) => Effect.Effect<void, DustTestNotFoundError>
}

/** What the filter selects; one that cannot select anything is a defect. */
const selector = (filter: RequestFilter | undefined): Effect.Effect<(request: SeenRequest) => boolean> => {
  if (filter === undefined) return Effect.succeed(() => true)
  return Either.match(compile(filter), {
    onLeft: ({ message }) =>
      Effect.die(new DustTestRuleError({ message: `A filter cannot select anything: ${message}.` })),
    onRight: (matches) =>
      Effect.succeed((request) =>
        matches({ method: request.method, pathname: request.path, route: request.route })
        && (filter.status === undefined || filter.status === request.status)
        && (filter.outcome === undefined || filter.outcome === request.outcome)
        && (filter.where === undefined || filter.where(request))
      )
  })
}

const isFault = (rule: FaultRule | Fault): rule is Fault => "_tag" in rule

const notFound = (what: string, id: string) =>
  Effect.fail(new DustTestNotFoundError({ message: `Local Dust has no ${what} ${id}` }))

export interface Workspace {
  readonly world: World
  readonly handler: Handler
  readonly control: Control
}

export interface WorkspaceOptions extends WorldOptions {
  readonly agents?: Readonly<Record<string, AgentOptions | AgentBehavior>> | undefined
  readonly faults?: ReadonlyArray<FaultRule> | undefined
}

export const defaultPlace = (): Place => ({
  origin: defaults.origin,
  storageOrigin: defaults.storageOrigin,
  requestSize: Infinity
})

export const makeWorkspace = (
  options: WorkspaceOptions,
  place: Place
): Effect.Effect<Workspace, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const world = yield* makeWorld(options, scope, place)
    installSpaces(world)
    installFiles(world)
    installDataSources(world)
    const handler = makeHandler(world)
    yield* watchTestClock(world, handler.log, handler.listeners)
    addAgent(world, "echo", { description: "Repeats the message" })
    addAgent(world, "dust", { name: "dust", description: "The global agent", scope: "global" })
    for (const [sId, agent] of Object.entries(options.agents ?? {})) addAgent(world, sId, agent)
    const scripted: Array<ActiveRule> = []
    for (const rule of options.faults ?? []) scripted.push(yield* activate(rule))
    handler.rules.push(...scripted)
    yield* Effect.addFinalizer(() => reportUnused(scripted))
    const ada = world.userTokens.get(defaults.userToken)?.user ?? null
    for (const seed of world.seed.conversations ?? []) yield* seedConversation(world, seed, ada)
    return { world, handler, control: makeControl(world, handler, place, scripted) }
  })

const makeControl = (world: World, handler: Handler, place: Place, scripted: Array<ActiveRule>): Control => {
  const everything: Auth = { kind: "system", role: "admin", user: undefined, key: undefined }
  const all = () => [...conversations(world).byId.values()]

  const messageState = (message: Message): MessageState => ({
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
  const conversationState = (conversation: Conversation): ConversationState => ({
    sId: conversation.sId,
    title: conversation.title,
    visibility: conversation.visibility,
    messages: conversation.ranks.flat().map(messageState),
    blockedActionIds: [...conversation.blocked.keys()],
    cancelCalls: [...conversation.cancelCalls],
    json: renderConversation(world, conversation, everything)
  })
  const findConversation = (conversationId: string) =>
    Effect.suspend(() => {
      const conversation = conversations(world).byId.get(conversationId)
      return conversation === undefined ? notFound("conversation", conversationId) : Effect.succeed(conversation)
    })
  const findMessage = (messageId: string) =>
    Effect.suspend(() => {
      for (const conversation of all()) {
        const message = conversation.bySId.get(messageId)
        if (message !== undefined) return Effect.succeed(message)
      }
      return notFound("message", messageId)
    })
  const findChannel = (channelId: string) =>
    Effect.suspend(() => {
      const conversation = conversations(world).byId.get(channelId)
      if (conversation !== undefined) return Effect.succeed(conversation.channel)
      return Effect.flatMap(findMessage(channelId), (message) =>
        message.type === "agent_message" ? Effect.succeed(message.run.channel) : notFound("stream of", channelId))
    })
  const messagesOf = (role: MessageState["role"], conversationId: string | undefined) =>
    Effect.sync(() =>
      all()
        .filter((conversation) => conversationId === undefined || conversation.sId === conversationId)
        .flatMap((conversation) => conversation.ranks.flat())
        .map(messageState)
        .filter((message) => message.role === role)
    )
  const requests = (filter?: RequestFilter) =>
    Effect.map(selector(filter), (matches) => handler.log().filter(matches).map((request) => ({ ...request })))
  /** Waits until the log says so. */
  const until = <A>(look: () => A | undefined): Effect.Effect<A> =>
    Effect.suspend(() => {
      const now = look()
      if (now !== undefined) return Effect.succeed(now)
      return Effect.async<A>((resume) => {
        const listener = () => {
          const found = look()
          if (found === undefined) return
          handler.listeners.delete(listener)
          resume(Effect.succeed(found))
        }
        handler.listeners.add(listener)
        return Effect.sync(() => handler.listeners.delete(listener))
      })
    })
  const isOpen = (request: SeenRequest) => request.outcome === "open"

  return {
    get url() {
      return place.origin
    },
    workspaceId: world.workspaceId,
    apiKey: Redacted.make(defaults.apiKey),
    adminApiKey: Redacted.make(defaults.adminApiKey),
    userToken: Redacted.make(defaults.userToken),
    adminToken: Redacted.make(defaults.adminToken),
    requests,
    countRequests: (filter) => Effect.map(requests(filter), (found) => found.length),
    lastRequest: (filter) =>
      Effect.flatMap(requests(filter), (found) => {
        const last = found[found.length - 1]
        return last === undefined
          ? Effect.fail(new DustTestNotFoundError({ message: "Local Dust has seen no such request" }))
          : Effect.succeed(last)
      }),
    waitForRequest: (filter) =>
      Effect.flatMap(
        typeof filter === "function" ? Effect.succeed(filter) : selector(filter),
        (matches) =>
          until(() => {
            const found = handler.log().find(matches)
            return found === undefined ? undefined : { ...found }
          })
      ),
    clearRequests: Effect.sync(() => handler.clearLog()),
    openConnections: Effect.sync(() => handler.log().filter(isOpen).map((request) => ({ ...request }))),
    openStreams: Effect.sync(() =>
      handler.log().filter((request) => isOpen(request) && request.status !== undefined).length
    ),
    allClosed: Effect.asVoid(until(() => handler.log().some(isOpen) ? undefined : true)),
    fault: (rule) =>
      Effect.map(activate(isFault(rule) ? { fault: rule } : rule), (active) => {
        handler.rules.push(active)
        scripted.push(active)
      }),
    clearFaults: Effect.sync(() => {
      handler.rules.length = 0
    }),
    setAgent: (sId, agent) => Effect.sync(() => void addAgent(world, sId, agent)),
    conversation: (conversationId) => Effect.map(findConversation(conversationId), conversationState),
    conversations: Effect.sync(() => all().map(conversationState)),
    message: (messageId) => Effect.map(findMessage(messageId), messageState),
    userMessages: (conversationId) => messagesOf("user", conversationId),
    agentMessages: (conversationId) => messagesOf("agent", conversationId),
    waitForRun: (messageId) =>
      Effect.flatMap(findMessage(messageId), (message) =>
        message.type === "agent_message"
          ? Effect.map(Deferred.await(message.run.done), () => messageState(message))
          : notFound("agent message", messageId)),
    addConversation: (seed) =>
      Effect.map(
        seedConversation(world, seed, world.userTokens.get(defaults.userToken)?.user ?? null),
        conversationState
      ),
    addMessage: (conversationId, seed) =>
      Effect.flatMap(
        findConversation(conversationId),
        (conversation) => Effect.map(seedMessage(world, conversation, seed), messageState)
      ),
    addConversationFile: (conversationId, file) =>
      Effect.map(findConversation(conversationId), (conversation) => {
        conversation.files.set(`conversation/${file.path}`, {
          contentType: file.contentType ?? "text/plain",
          bytes: typeof file.content === "string" ? encodeText(file.content) : file.content
        })
      }),
    publish: (channelId, event) =>
      Effect.map(findChannel(channelId), (channel) => {
        publish(world, channel, { type: "unknown", ...event })
      }),
    publishRaw: (channelId, data) =>
      Effect.map(findChannel(channelId), (channel) => {
        publishRaw(world, channel, data)
      }),
    expireHistory: (channelId) =>
      Effect.map(findChannel(channelId), (channel) => {
        for (const event of channel.events) event.removed = true
      }),
    retainedEvents: (channelId) => Effect.map(findChannel(channelId), (channel) => retained(world, channel)),
    resolveAction: (actionId, how) =>
      Effect.suspend(() => {
        for (const conversation of all()) {
          const action = conversation.blocked.get(actionId)
          if (action === undefined) continue
          return answerAction(
            action,
            typeof how === "object"
              ? { _tag: "Answered", answer: how }
              : action.status === "blocked_validation_required" || how !== undefined
              ? { _tag: "Validated", approved: how !== "rejected" }
              : { _tag: "Resolved" }
          )
        }
        return notFound("blocked action", actionId)
      }),
    expireToken: (token) =>
      Effect.suspend(() => {
        const value = typeof token === "string" ? token : Redacted.value(token)
        const known = world.userTokens.get(value)
        if (known === undefined) return notFound("token", "<redacted>")
        world.userTokens.set(value, { ...known, expiresAt: world.now() })
        return Effect.void
      }),
    mcpServers: Effect.sync(() =>
      [...mcpServers(world).byKey.values()].map((server: McpServer) => ({
        serverId: server.serverId,
        name: server.name,
        expiresAt: server.expiresAt,
        results: server.results.map(({ message }) => message)
      }))
    ),
    sendMcp: (serverId, message) =>
      Effect.suspend(() => {
        const server = anyServer(world, serverId)
        if (server === undefined) return notFound("MCP server", serverId)
        publishJson(world, server.channel, "mcp", JSON.stringify(message))
        return Effect.void
      }),
    expireMcpServer: (serverId) =>
      Effect.suspend(() => {
        const server = anyServer(world, serverId)
        if (server === undefined) return notFound("MCP server", serverId)
        forget(world, server)
        return Effect.void
      })
  }
}
