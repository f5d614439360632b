/**
 * Models of client-side MCP: tools, their results, registrations and transports. `McpServers` serves them.
 *
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
 * A server that Dust knows.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Registration = Schema.Struct({
  /** `mcp-client-side:<name>`, with a number behind it when the same user has registered the name already. */
  serverId: McpServerId,
  /** When Dust forgets it, unless there is a sign of life. ISO 8601. */
  expiresAt: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Registration extends Schema.Schema.Type<typeof Registration> {}

/**
 * Something that Dust says to a server: a JSON-RPC request or notification of MCP.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpRequest {
  /** The cursor to continue from. */
  readonly eventId: EventId | undefined
  /** The JSON-RPC message as it came: `{ jsonrpc, id, method, params }`. */
  readonly message: unknown
}

/**
 * A piece of what a tool answers, as MCP defines it.
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
 * The result of a tool call: content, and whether it is an error. The agent sees errors and can react to them.
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
 * How far a tool call has got. `progress` must grow with each update.
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
 * The call that a handler answers.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolCall {
  /** Reports progress to the agent. Does nothing if the agent did not ask for progress; never fails. */
  readonly progress: (update: Progress) => Effect.Effect<void>
}

/**
 * Hints about what a tool does, for the people and agents that use it. They change nothing by themselves.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolAnnotations {
  /** A name for people. */
  readonly title?: string | undefined
  /** It changes nothing. */
  readonly readOnlyHint?: boolean | undefined
  /** It may destroy something. */
  readonly destructiveHint?: boolean | undefined
  /** Calling it again with the same input changes nothing more. */
  readonly idempotentHint?: boolean | undefined
  /** It reaches out into the world. */
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
  /** The JSON Schema of the input, or the reason it has none. */
  readonly inputSchema: Effect.Effect<Readonly<Record<string, unknown>>, string>
  /** The JSON Schema of the structured output, for a tool that declares one. */
  readonly outputSchema: Effect.Effect<Readonly<Record<string, unknown>>, string> | undefined
  /** Decodes the arguments and runs the handler; whatever goes wrong is in the result. */
  readonly call: (args: unknown, call: ToolCall) => Effect.Effect<CallResult, never, R>
}

/**
 * What a tool needs from its surroundings.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolRequirements<T> = T extends Tool<infer R> ? R : never

/**
 * What every tool declares, besides its handler.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolOptions<A, I, RI> {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: string
  /** What it does and when to use it: the model decides by this text. */
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
   * The id to list in `context.clientSideMCPServerIds` of every message that should see the tools. Ask for it each time: it
   * changes when Dust has forgotten the server (after ten minutes without a connection) and it had to be registered again.
   */
  readonly serverId: Effect.Effect<McpServerId>
  /** The current id, and every later one. Ends when the server is no longer served. */
  readonly serverIds: Stream.Stream<McpServerId>
  /**
   * Waits until the server is no longer served: it succeeds when its scope was closed, and fails when it cannot go on,
   * because the credential is no longer accepted.
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
   * Replaces the tools. Agents that ask for them from now on get the new ones; agents that have asked already are notified.
   * Calls that run go on.
   *
   * Fails with `DustBadRequestError` for tools that `serve` would refuse; the tools are unchanged then.
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
 * A transport as `@modelcontextprotocol/sdk` defines it, by its shape: `server.connect(transport)`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Transport {
  /** The id to list in `context.clientSideMCPServerIds`; ask for it each time. */
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
  /** Time between two signs of life. Default 5 minutes; Dust forgets a server after 10. */
  readonly heartbeat?: Duration.DurationInput | undefined
}

/**
 * A server, and its tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServeOptions<Tools extends ReadonlyArray<Tool<unknown>>> {
  /** 5 to 30 characters. */
  readonly name: string
  readonly tools: Tools
  /** Default `1.0.0`. */
  readonly version?: string | undefined
  /** How to use the tools together, for the model. */
  readonly instructions?: string | undefined
  /**
   * How many calls run at the same time; the others wait. Default 8. A handler has its place until it ends or the agent no
   * longer waits: one that could hang needs a limit of its own (`Effect.timeout`).
   */
  readonly concurrency?: number | undefined
  /** Time between two signs of life. Default 5 minutes; Dust forgets a server after 10. */
  readonly heartbeat?: Duration.DurationInput | undefined
}
