/**
 * Client-side MCP servers: tools that agents call and this process answers.
 *
 * {@link Service.serve} is all that an application needs. It registers a server, keeps it alive, and answers the calls of
 * its tools, which are Effects with a Schema for their input. A conversation uses the server when a message lists its id:
 *
 * ```ts
 * import { Chat } from "effect-dust/Chat"
 * import * as McpServers from "effect-dust/McpServers"
 * import { Effect, Schema } from "effect"
 *
 * const clock = McpServers.tool({
 *   name: "current_time",
 *   description: "The time in a city",
 *   input: Schema.Struct({ city: Schema.String.annotations({ description: "Such as Paris" }) }),
 *   handler: ({ city }) => Effect.succeed(`It is noon in ${city}`)
 * })
 *
 * const program = Effect.gen(function*() {
 *   const servers = yield* McpServers.McpServers
 *   const chat = yield* Chat
 *   const server = yield* servers.serve({ name: "My desk clock", tools: [clock] })
 *   const reply = yield* chat.send({
 *     agent: "dust",
 *     message: "What time is it in Paris?",
 *     context: { clientSideMCPServerIds: [yield* server.serverId] }
 *   })
 *   return reply.text
 * }).pipe(Effect.scoped)
 * ```
 *
 * Everything here needs a user's access token: with an API key it fails before any request (`DustUserRequiredError`). A
 * registration belongs to the workspace and the user, and Dust forgets it ten minutes after the last sign of life.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { DustBadRequestError, RequestError, StreamError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { type EventId, McpServerId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { nonBlank, nullable } from "./internal/decode/schema.ts"
import { serve } from "./internal/mcp/serve.ts"
import * as Tools from "./internal/mcp/tool.ts"
import * as Toolkits from "./internal/mcp/toolkit.ts"
import { transport } from "./internal/mcp/transport.ts"
import * as EventStream from "./internal/stream/resumable.ts"

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
 * A tool, made with {@link tool}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tool<out R> {
  readonly name: string
  readonly description: string
  readonly annotations: ToolAnnotations | undefined
  /** The JSON Schema of the input, or why there is none. */
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
 * The failure of a tool that the agent is meant to read: its message is given to the agent, so that it can try something
 * else. Any other failure of a handler is hidden from the agent.
 *
 * @category errors
 * @since 0.1.0
 */
export class ToolError extends Schema.TaggedError<ToolError>("effect-dust/McpServers/ToolError")("ToolError", {
  message: Schema.String
}) {}

const isToolError = Predicate.isTagged("ToolError")

/**
 * Defines a tool whose handler is an Effect.
 *
 * `input` is a `Schema.Struct` (or another schema of an object). The model sees its JSON Schema, descriptions included.
 * Arguments that do not decode never reach the handler: the agent gets an error that names the field. The handler returns a
 * text or content blocks, or, with an `output` schema, a value of that schema, which agents receive as structured content
 * and as text. Its second argument reports progress.
 *
 * Each call has a scope of its own, closed before the result is sent. A call is interrupted when the agent cancels it and
 * when the server closes. The message of a {@link ToolError} is sent to the agent; of any other failure or defect the agent
 * learns only that the tool failed, and the cause is written to the debug log.
 *
 * @example
 * ```ts
 * import * as McpServers from "effect-dust/McpServers"
 * import { Effect, Schema } from "effect"
 *
 * const lookup = McpServers.tool({
 *   name: "lookup_order",
 *   description: "Finds an order by its number",
 *   input: Schema.Struct({ number: Schema.Int.annotations({ description: "The order number" }) }),
 *   output: Schema.Struct({ number: Schema.Int, status: Schema.String }),
 *   annotations: { readOnlyHint: true },
 *   handler: ({ number }, call) =>
 *     number === 42
 *       ? Effect.as(call.progress({ progress: 1, total: 1 }), { number, status: "shipped" })
 *       : Effect.fail(new McpServers.ToolError({ message: `There is no order ${number}` }))
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const tool: {
  <A, I, RI, O, OI, RO, E, R>(
    options: ToolOptions<A, I, RI> & {
      /** The schema of an object; the handler returns its decoded type. */
      readonly output: Schema.Schema<O, OI, RO>
      readonly handler: (input: A, call: ToolCall) => Effect.Effect<O, E, R>
    }
  ): Tool<Exclude<R | RI | RO, Scope.Scope>>
  <A, I, RI, E, R>(
    options: ToolOptions<A, I, RI> & {
      readonly output?: undefined
      readonly handler: (input: A, call: ToolCall) => Effect.Effect<string | ReadonlyArray<Content>, E, R>
    }
  ): Tool<Exclude<R | RI, Scope.Scope>>
} = <A, I, RI, O, OI, RO, E, R>(
  options: ToolOptions<A, I, RI> & {
    readonly output?: Schema.Schema<O, OI, RO> | undefined
    readonly handler: (input: A, call: ToolCall) => Effect.Effect<O | string | ReadonlyArray<Content>, E, R>
  }
): Tool<Exclude<R | RI | RO, Scope.Scope>> => Tools.tool(options, isToolError)

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
 * The tools of an `@effect/ai` Toolkit, to be served with {@link Service.serve}. Needs no dependency on `@effect/ai`: a
 * Toolkit is recognised by its shape. Arguments, results and failure modes are those of the Toolkit; tools that a model
 * provider runs itself are refused by `serve`.
 *
 * @example
 * ```ts
 * import { Tool, Toolkit } from "@effect/ai"
 * import * as McpServers from "effect-dust/McpServers"
 * import { Effect, Schema } from "effect"
 *
 * const Clock = Toolkit.make(
 *   Tool.make("current_time", {
 *     description: "The time in a city",
 *     parameters: { city: Schema.String },
 *     success: Schema.String
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const servers = yield* McpServers.McpServers
 *   return yield* servers.serve({ name: "My desk clock", tools: McpServers.fromToolkit(yield* Clock) })
 * }).pipe(Effect.provide(Clock.toLayer({ current_time: ({ city }) => Effect.succeed(`Noon in ${city}`) })))
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const fromToolkit = <R>(toolkit: ToolkitWithHandlers<R>): ReadonlyArray<Tool<Exclude<R, Scope.Scope>>> =>
  Toolkits.fromToolkit(toolkit, isToolError)

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
  /** The id as it is now, and every one after it. Ends when the server is no longer served. */
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

/**
 * The five endpoints of client-side MCP.
 *
 * @category models
 * @since 0.2.0
 */
export interface Endpoints {
  /**
   * Registers a server by name (5 to 30 characters). The same name gives another id while the first one is alive.
   *
   * Credential: user. Not repeated once it may have reached Dust. `DustBadRequestError`: the name, or more than 256 servers
   * of this name.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/register`.
   */
  readonly register: (serverName: string) => Effect.Effect<Registration, RequestError>
  /**
   * Keeps a server alive for another ten minutes. So does reading its requests, posting a result, and a message that lists
   * it.
   *
   * Credential: user. Retried. `DustNotFoundError`: Dust does not know the server, or not any more.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/heartbeat`.
   */
  readonly heartbeat: (serverId: McpServerId) => Effect.Effect<Registration, RequestError>
  /**
   * What Dust says to a server, as it comes: requests that are not answered yet, then new ones. Continues over as many
   * connections as it takes, without end; each event once, except that one which is not answered comes again to another
   * stream that starts without `lastEventId`.
   *
   * Credential: user. `DustForbiddenError` with type `mcp_auth_error`: Dust does not know the server, or not any more.
   *
   * Source: `GET /api/v1/w/{workspaceId}/mcp/requests`.
   */
  readonly requests: (options: {
    readonly serverId: McpServerId
    readonly lastEventId?: EventId | undefined
  }) => Stream.Stream<McpRequest, StreamError>
  /**
   * Posts the answer of a request: a whole JSON-RPC message (`{ jsonrpc, id, result }` or `error`), at most 16 MiB. Dust does
   * not look into it, and loses a malformed one without a word.
   *
   * Credential: user. Retried: the same id counts once. `DustForbiddenError` with type `mcp_auth_error`: Dust does not know
   * the server, or not any more. `DustContentTooLargeError`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/results`.
   */
  readonly postResult: (options: {
    readonly serverId: McpServerId
    readonly result: Readonly<Record<string, unknown>>
  }) => Effect.Effect<void, RequestError>
  /**
   * Removes a server; one that is already gone counts as removed.
   *
   * Credential: user. Retried.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/deregister`.
   */
  readonly deregister: (serverId: McpServerId) => Effect.Effect<void, RequestError>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Service extends Endpoints {
  /**
   * Serves tools until the scope closes: registers a server, sends signs of life, answers every call once, and deregisters.
   *
   * It survives what networks do. After an interruption it continues where it was; a server that Dust has forgotten in the
   * meantime is registered again, and only then (the id may change). What is delivered twice is answered once; the answer
   * of a call is sent until Dust has it, or has forgotten the server. Calls that run when the scope closes are interrupted
   * and answered with an error. The scope waits for 5 seconds at most until handlers have stopped, and for as long again
   * until Dust was told; a handler that cannot be interrupted goes on after that, and its answer is dropped.
   *
   * Succeeds as soon as the server is registered; requests that arrive before the stream is open are not lost.
   * `DustBadRequestError`: a name of the wrong length, two tools of one name, a schema that has no JSON Schema, and more
   * than 256 servers of this name. Errors after the registration are those of `closed`.
   *
   * Credential: user.
   */
  readonly serve: <const Tools extends ReadonlyArray<Tool<unknown>>>(
    options: ServeOptions<Tools>
  ) => Effect.Effect<Server, RequestError, ToolRequirements<Tools[number]> | Scope.Scope>
  /**
   * A transport for a server of `@modelcontextprotocol/sdk`, or any other MCP server that takes such a transport. It has
   * everything that `serve` has: reconnections, signs of life, one answer for each request however often it is delivered,
   * results that are posted until Dust has them, and deregistration when the scope or the transport closes.
   *
   * Registers at once, and reads requests from `start` on. Dust answers no requests of servers (sampling, elicitation): the
   * server gets "method not found" for them.
   *
   * Requires a user access token. Fails with `DustBadRequestError` for a name of the wrong length.
   */
  readonly transport: (options: TransportOptions) => Effect.Effect<Transport, RequestError, Scope.Scope>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class McpServers extends Context.Tag("effect-dust/McpServers")<McpServers, Service>() {}

const serverId = nonBlank("the id of a server")

const register = Operation.make({
  name: "McpServers.register",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/mcp/register",
  credential: "user",
  body: Schema.Struct({
    serverName: Schema.String.pipe(
      Schema.filter((name) => (name.trim() !== "" && name.length >= 5 && name.length <= 30) || "5 to 30 characters", {
        message: () => "5 to 30 characters"
      })
    )
  }),
  response: Registration
})

const heartbeat = Operation.make({
  name: "McpServers.heartbeat",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/mcp/heartbeat",
  credential: "user",
  replay: "safe",
  body: Schema.Struct({ serverId }),
  response: Schema.Struct({ expiresAt: nullable(Schema.String) })
})

const requests = Operation.unit({
  name: "McpServers.requests",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/mcp/requests",
  credential: "user"
})

const postResult = Operation.unit({
  name: "McpServers.postResult",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/mcp/results",
  credential: "user",
  replay: "safe",
  body: Schema.Struct({ serverId, result: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
})

const deregister = Operation.unit({
  name: "McpServers.deregister",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/mcp/deregister",
  credential: "user",
  replay: "safe",
  body: Schema.Struct({ serverId })
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const endpoints: Endpoints = {
    register: (serverName) => client.execute(register, { body: { serverName } }),
    heartbeat: (serverId) =>
      Effect.map(client.execute(heartbeat, { body: { serverId } }), ({ expiresAt }) => ({ serverId, expiresAt })),
    requests: ({ lastEventId, serverId }) =>
      EventStream.make(client, {
        operation: requests,
        input: { query: { serverId } },
        // This route takes an empty cursor for a cursor.
        lastEventId: lastEventId === "" ? undefined : lastEventId,
        decode: (message, eventId): McpRequest => ({ eventId, message }),
        isUnknown: ({ message }) => !Predicate.hasProperty(message, "jsonrpc"),
        verdict: () => "go",
        truth: undefined,
        silence: undefined
      }),
    postResult: (input) => client.execute(postResult, { body: input }),
    deregister: (serverId) => client.execute(deregister, { body: { serverId } })
  }
  return McpServers.of({
    ...endpoints,
    serve: (options) => serve(endpoints, { ...register, method: "serve" }, options),
    transport: (options) => transport(endpoints, { ...register, method: "transport" }, options)
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<McpServers, never, DustClient> = Layer.effect(McpServers, make)
