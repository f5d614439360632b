/** What a test can ask of a workspace, and do to it. */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { AgentBehavior, UserAnswer } from "../agent/steps.ts"
import type { AgentOptions } from "../domains/agents.ts"
import type { AgentMessage } from "../domains/conversations/models.ts"
import type { Fault } from "../server/faults.ts"
import type { SeenRequest } from "../server/pipeline.ts"
import type { FaultRule, RequestPattern } from "../server/rules.ts"
import type { ConversationSeed, MessageSeed } from "./seed.ts"

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
  /**
   * The requests that were seen as text, for `expect(…).toMatchSnapshot()`: method, path, query, credential, body and status.
   * Ids that Local Dust has made, ids of events and times are replaced by `<conversationId 1>`, `<id 1>`, `<event 1>` and
   * `<time>`, so that the text is the same in every run and with every seed. Headers are left out.
   */
  readonly snapshot: (filter?: RequestFilter) => Effect.Effect<string>
  readonly clearRequests: Effect.Effect<void>
  /** The requests whose answer is not complete and whose client is still there: open connections. */
  readonly openConnections: Effect.Effect<ReadonlyArray<SeenRequest>>
  /** How many of those are being answered with a stream. */
  readonly openStreams: Effect.Effect<number>
  /** Waits until no connection is open. */
  readonly allClosed: Effect.Effect<void>

  /**
   * Makes the workspace what it was at first: its seed, its agents, its faults and its ids; runs end, event streams close,
   * requests that wait for a run are answered, and the log is empty. For tests that share a workspace. Faults that were
   * scripted since and never occurred are reported now.
   */
  readonly reset: Effect.Effect<void>

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
