/** The handle of a workspace for tests. */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { AgentBehavior, UserAnswer } from "../agent/steps.ts"
import type { AgentOptions } from "../domains/agents.ts"
import type { AgentMessage } from "../domains/conversations/models.ts"
import type { Fault } from "../server/faults.ts"
import type { RequestPattern } from "../server/patterns.ts"
import type { SeenRequest } from "../server/pipeline.ts"
import type { FaultRule } from "../server/rules.ts"
import type { ConversationSeed, MessageSeed } from "./seed.ts"

/**
 * The workspace has no such item.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustTestNotFoundError extends Data.TaggedError("DustTestNotFoundError")<{ readonly message: string }> {}

/** Selects requests. All given conditions must hold. @category models @since 0.1.0 */
export interface RequestFilter extends RequestPattern {
  readonly status?: number | undefined
  readonly outcome?: SeenRequest["outcome"] | undefined
  readonly where?: ((request: SeenRequest) => boolean) | undefined
}

/** A message in the workspace. @category models @since 0.1.0 */
export interface MessageState {
  readonly sId: string
  readonly role: "user" | "agent" | "content_fragment"
  /** The text; `null` while an agent message has none. */
  readonly content: string | null
  readonly rank: number
  readonly version: number
  readonly visibility: string
  /** Agent messages: `created`, `succeeded`, `failed`, `cancelled`, `gracefully_stopped`. Others: `undefined`. */
  readonly status: string | undefined
  /** Agent messages: outcome of the run, `running` until it ends. Others: `undefined`. */
  readonly run: AgentMessage["run"]["outcome"] | undefined
  /** Agent messages: whether a `/cancel` request listed it. Others: `false`. */
  readonly cancelRequested: boolean
  /** The message in the API's representation. */
  readonly json: Readonly<Record<string, unknown>>
}

/** A conversation in the workspace. @category models @since 0.1.0 */
export interface ConversationState {
  readonly sId: string
  readonly title: string | null
  readonly visibility: string
  /** Every version of every message, by rank, then by version. */
  readonly messages: ReadonlyArray<MessageState>
  readonly blockedActionIds: ReadonlyArray<string>
  readonly cancelCalls: ReadonlyArray<{ readonly at: number; readonly messageIds: ReadonlyArray<string> }>
  /** The conversation in the API's representation. */
  readonly json: Readonly<Record<string, unknown>>
}

/** A client-side MCP server in the workspace. @category models @since 0.1.0 */
export interface McpServerState {
  readonly serverId: string
  readonly name: string
  readonly expiresAt: number
  /** The JSON-RPC messages posted to `results`: the last 1000, up to 64 MiB. */
  readonly results: ReadonlyArray<unknown>
}

/** The handle of a workspace for tests: inspects and controls it. */
export interface Control {
  /** Base URL of the API without a trailing slash: the `baseUrl` of a client. */
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
   * The received requests, oldest first; all of them without a filter. Keeps the last 20 000, while their bodies are
   * below 128 MiB in total.
   */
  readonly requests: (filter?: RequestFilter) => Effect.Effect<ReadonlyArray<SeenRequest>>
  /** The number of matching requests. */
  readonly countRequests: (filter?: RequestFilter) => Effect.Effect<number>
  /** The newest matching request. */
  readonly lastRequest: (filter?: RequestFilter) => Effect.Effect<SeenRequest, DustTestNotFoundError>
  /** Waits for a matching request, including earlier ones. */
  readonly waitForRequest: (filter: RequestFilter | ((request: SeenRequest) => boolean)) => Effect.Effect<SeenRequest>
  /**
   * The received requests as text, for `expect(…).toMatchSnapshot()`: method, path, query, credential, body and status.
   * Ids made by Local Dust, event ids, times and the time zone of a message are replaced by `<conversationId 1>`, `<id 1>`,
   * `<event 1>`, `<time>` and `<timezone>`, so that the text is the same in every run, on every machine and with every seed.
   * Headers are omitted.
   */
  readonly snapshot: (filter?: RequestFilter) => Effect.Effect<string>
  readonly clearRequests: Effect.Effect<void>
  /** Requests with an open connection: the response is incomplete and the client is still connected. */
  readonly openConnections: Effect.Effect<ReadonlyArray<SeenRequest>>
  /** The number of open event streams. */
  readonly openStreams: Effect.Effect<number>
  /** Waits until no connection is open. */
  readonly allClosed: Effect.Effect<void>

  /**
   * Resets the workspace to its initial seed, agents, faults and ids. Ends runs, closes event streams, answers requests
   * that wait for a run, and clears the log. Clients that still follow a run fail with `DustNotFoundError`
   * (`conversation_not_found`). For tests that share a workspace and do not run at the same time. Scripted faults that never
   * occurred are reported now.
   */
  readonly reset: Effect.Effect<void>

  /** Adds a fault. Rules are tried in order; the first one that hits applies. */
  readonly fault: (rule: FaultRule | Fault) => Effect.Effect<void>
  /** Removes all scripted faults. */
  readonly clearFaults: Effect.Effect<void>

  /** Adds an agent, or replaces its script. Runs in progress keep the previous script. */
  readonly setAgent: (sId: string, agent: AgentOptions | AgentBehavior) => Effect.Effect<void>

  readonly conversation: (conversationId: string) => Effect.Effect<ConversationState, DustTestNotFoundError>
  readonly conversations: Effect.Effect<ReadonlyArray<ConversationState>>
  /** A message of any conversation. */
  readonly message: (messageId: string) => Effect.Effect<MessageState, DustTestNotFoundError>
  /** All user messages, of one conversation or of the workspace. Use it to assert that a message was sent once. */
  readonly userMessages: (conversationId?: string) => Effect.Effect<ReadonlyArray<MessageState>>
  /** All agent messages, of one conversation or of the workspace. */
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
  /** Adds a file to a conversation, as an agent would. `path` is relative to `conversation/`. */
  readonly addConversationFile: (
    conversationId: string,
    file: { readonly path: string; readonly content: string | Uint8Array; readonly contentType?: string | undefined }
  ) => Effect.Effect<void, DustTestNotFoundError>

  /** Publishes an event on the stream of an agent message or of a conversation. */
  readonly publish: (
    channelId: string,
    event: Readonly<Record<string, unknown>>
  ) => Effect.Effect<void, DustTestNotFoundError>
  /** Publishes a frame with this text as its data, valid or not. */
  readonly publishRaw: (channelId: string, data: string) => Effect.Effect<void, DustTestNotFoundError>
  /** Clears the history of a stream, as the server does ten minutes after the last event. */
  readonly expireHistory: (channelId: string) => Effect.Effect<void, DustTestNotFoundError>
  /** The number of events that a new connection could still replay. */
  readonly retainedEvents: (channelId: string) => Effect.Effect<number, DustTestNotFoundError>

  /** Answers a blocked action, as a person would in Dust's web application. */
  readonly resolveAction: (
    actionId: string,
    how?: "approved" | "rejected" | UserAnswer
  ) => Effect.Effect<void, DustTestNotFoundError>
  /** Expires an access token now. */
  readonly expireToken: (token: string | Redacted.Redacted) => Effect.Effect<void, DustTestNotFoundError>
  /** The registered client-side MCP servers. */
  readonly mcpServers: Effect.Effect<ReadonlyArray<McpServerState>>
  /**
   * Sends a JSON-RPC message unchanged to a client-side MCP server; the response is added to its `results`. If several
   * users have registered servers with this id, the earliest one receives it.
   */
  readonly sendMcp: (serverId: string, message: unknown) => Effect.Effect<void, DustTestNotFoundError>
  /** Removes a client-side MCP server, as Dust does ten minutes after its last heartbeat. */
  readonly expireMcpServer: (serverId: string) => Effect.Effect<void, DustTestNotFoundError>
}
