/**
 * Models of client-side MCP: tools, their results, registrations and transports. `McpServers` serves them.
 *
 * ```ts
 * import type { CallResult } from "effect-dust/McpServer"
 *
 * const result: CallResult = { content: [{ type: "text", text: "Order 42: shipped" }], isError: false }
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { DustBadRequestError, StreamError } from "./DustAPIError.ts"
import { type EventId, McpServerId } from "./Ids.ts"
import { nullable } from "./internal/decode/schema.ts"

/**
 * A registered server.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Registration = Schema.Struct({
  /** `mcp-client-side:<name>`, followed by a number if the same user has registered the name already. */
  serverId: McpServerId,
  /** When the registration expires without a heartbeat. ISO 8601. */
  expiresAt: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Registration extends Schema.Schema.Type<typeof Registration> {}

/**
 * A JSON-RPC request or notification of Dust to a server.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpRequest {
  /** The cursor to continue from. */
  readonly eventId: EventId | undefined
  /** The JSON-RPC message: `{ jsonrpc, id, method, params }`. */
  readonly message: unknown
}

/**
 * A content block of a tool result, as MCP defines it.
 *
 * @category models
 * @since 0.1.0
 */
export type Content =
  | { readonly type: "text"; readonly text: string }
  /** `data` is base64. */
  | { readonly type: "image" | "audio"; readonly data: string; readonly mimeType: string }
  | {
    readonly type: "resource_link"
    readonly uri: string
    readonly name: string
    readonly description?: string | undefined
    readonly mimeType?: string | undefined
  }
  | {
    readonly type: "resource"
    readonly resource:
      | {
        readonly uri: string
        readonly mimeType?: string | undefined
        readonly text: string
      }
      | {
        readonly uri: string
        readonly mimeType?: string | undefined
        /** base64. */
        readonly blob: string
      }
  }

/**
 * The result of a tool call: its content, and whether it is an error. The agent receives errors and can react to them.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallResult {
  readonly content: ReadonlyArray<Content>
  /** The encoded output of a tool that declares an `output` schema. */
  readonly structuredContent?: Readonly<Record<string, unknown>> | undefined
  readonly isError: boolean
}

/**
 * The progress of a tool call. `progress` must increase with each update.
 *
 * @category models
 * @since 0.2.0
 */
export interface Progress {
  readonly progress: number
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/**
 * A tool call, for its handler.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolCall {
  /** Reports progress to the agent. Has no effect if the agent did not request progress. Never fails. */
  readonly progress: (update: Progress) => Effect.Effect<void>
}

/**
 * Hints about the effects of a tool, for people and agents. They have no effect by themselves.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolAnnotations {
  /** A name for people. */
  readonly title?: string | undefined
  /** The tool only reads. */
  readonly readOnlyHint?: boolean | undefined
  /** The tool may delete or overwrite data. */
  readonly destructiveHint?: boolean | undefined
  /** Repeating a call with the same input has no further effect. */
  readonly idempotentHint?: boolean | undefined
  /** The tool interacts with external systems. */
  readonly openWorldHint?: boolean | undefined
}

/**
 * A tool, made with `McpServers.tool`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tool<out R> {
  readonly name: string
  readonly description: string
  readonly annotations: ToolAnnotations | undefined
  /** The JSON Schema of the input, or the reason why it has no JSON Schema. */
  readonly inputSchema: Effect.Effect<Readonly<Record<string, unknown>>, string>
  /** The JSON Schema of the structured output, for a tool that declares one. */
  readonly outputSchema: Effect.Effect<Readonly<Record<string, unknown>>, string> | undefined
  /** Decodes the arguments and runs the handler. Never fails: errors are part of the result. */
  readonly call: (args: unknown, call: ToolCall) => Effect.Effect<CallResult, never, R>
}

/**
 * The requirements of a tool's handler.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolRequirements<T> = T extends Tool<infer R> ? R : never

/**
 * The declaration of a tool, without its handler.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolOptions<A, I, RI> {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: string
  /** What the tool does and when to use it. The model chooses tools by this text. */
  readonly description: string
  readonly input: Schema.Schema<A, I, RI>
  readonly annotations?: ToolAnnotations | undefined
}

/**
 * A tool of an `@effect/ai` Toolkit, by its shape.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolkitTool {
  readonly name: string
  readonly description?: string | undefined
  readonly parametersSchema: Schema.Schema.All
  readonly annotations?: Context.Context<never> | undefined
}

/**
 * An `@effect/ai` Toolkit with its handlers, by its shape: what `yield* toolkit` returns.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolkitWithHandlers<R> {
  readonly tools: { readonly [name: string]: ToolkitTool }
  readonly handle: (
    name: never,
    params: never
  ) => Effect.Effect<{ readonly isFailure: boolean; readonly encodedResult: unknown }, unknown, R>
}

/**
 * A registration that is kept alive.
 *
 * @category models
 * @since 0.2.0
 */
export interface ServerBase {
  /**
   * The id to list in `context.clientSideMCPServerIds` of every message that may use the tools. Read it for each message: it
   * changes if the registration expired (after ten minutes without a connection) and was renewed.
   */
  readonly serverId: Effect.Effect<McpServerId>
  /** Emits the current id and every later one. Ends when the server is no longer served. */
  readonly serverIds: Stream.Stream<McpServerId>
  /**
   * Waits until the server is no longer served. Succeeds when its scope is closed, and fails if the credential is no longer
   * accepted.
   */
  readonly closed: Effect.Effect<void, StreamError>
}

/**
 * A server that is being served.
 *
 * @category models
 * @since 0.1.0
 */
export interface Server extends ServerBase {
  /**
   * Replaces the tools. Agents that have listed the earlier tools are notified. Calls in progress continue.
   *
   * Fails with `DustBadRequestError` for tools that `serve` would refuse, and keeps the earlier tools.
   */
  readonly setTools: <const Tools extends ReadonlyArray<Tool<unknown>>>(
    tools: Tools
  ) => Effect.Effect<void, DustBadRequestError, ToolRequirements<Tools[number]>>
}

/**
 * A JSON-RPC message of MCP.
 *
 * @category models
 * @since 0.2.0
 */
export interface JsonRpcMessage {
  readonly [key: string]: unknown
}

/**
 * A transport for `@modelcontextprotocol/sdk`: pass it to `server.connect(transport)`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Transport {
  /** The id to list in `context.clientSideMCPServerIds`. Read it for each message. */
  readonly serverId: Effect.Effect<McpServerId>
  readonly start: () => Promise<void>
  readonly send: (message: JsonRpcMessage) => Promise<void>
  readonly close: () => Promise<void>
  onmessage: ((message: JsonRpcMessage) => void) | undefined
  onclose: (() => void) | undefined
  onerror: ((error: Error) => void) | undefined
}

/**
 * @category models
 * @since 0.2.0
 */
export interface TransportOptions {
  /** 5 to 30 characters. */
  readonly name: string
  /** The time between two heartbeats. Defaults to 5 minutes; a registration expires after 10. */
  readonly heartbeat?: Duration.DurationInput | undefined
}

/**
 * The server to serve: its name and its tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServeOptions<Tools extends ReadonlyArray<Tool<unknown>>> {
  /** 5 to 30 characters. */
  readonly name: string
  readonly tools: Tools
  /** Defaults to `1.0.0`. */
  readonly version?: string | undefined
  /** How to use the tools together, for the model. */
  readonly instructions?: string | undefined
  /**
   * The number of concurrent calls; other calls wait. Defaults to 8. A call counts until its handler ends or the agent
   * cancels it, so limit handlers that may hang with `Effect.timeout`.
   */
  readonly concurrency?: number | undefined
  /** The time between two heartbeats. Defaults to 5 minutes; a registration expires after 10. */
  readonly heartbeat?: Duration.DurationInput | undefined
}
