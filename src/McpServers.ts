/**
 * Client-side MCP servers: tools that agents call and this process answers.
 *
 * {@link Service.serve} registers a server, keeps it registered, and answers calls of its tools, which are Effects with a schema
 * for their input. A message that lists the id of the server makes its tools available to the agent:
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
 * All methods require a user access token; with an API key they fail with `DustUserRequiredError` before any request. A
 * registration belongs to the workspace and the user, and expires ten minutes after the last heartbeat.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { RequestError, StreamError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type { EventId, McpServerId } from "./Ids.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { mcpServers } from "./internal/api/mcpServers.ts"
import type { Endpoints } from "./internal/mcp/endpoints.ts"
import { serve } from "./internal/mcp/serve.ts"
import * as Tools from "./internal/mcp/tool.ts"
import * as Toolkits from "./internal/mcp/toolkit.ts"
import { transport } from "./internal/mcp/transport.ts"
import * as EventStream from "./internal/stream/resumable.ts"
import type * as McpServer from "./McpServer.ts"

/**
 * A failure of a tool that the agent can read: it receives the message and can react to it. Any other failure of a handler is
 * hidden from the agent.
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
 * Each call has its own scope, which is closed before the result is sent. A call is interrupted if the agent cancels it or the
 * server closes. The agent receives the message of a {@link ToolError}. For any other failure or defect it receives a generic
 * error, and the cause is logged at debug level.
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
    options: McpServer.ToolOptions<A, I, RI> & {
      /** The schema of an object; the handler returns its decoded type. */
      readonly output: Schema.Schema<O, OI, RO>
      readonly handler: (input: A, call: McpServer.ToolCall) => Effect.Effect<O, E, R>
    }
  ): McpServer.Tool<Exclude<R | RI | RO, Scope.Scope>>
  <A, I, RI, E, R>(
    options: McpServer.ToolOptions<A, I, RI> & {
      readonly output?: undefined
      readonly handler: (
        input: A,
        call: McpServer.ToolCall
      ) => Effect.Effect<string | ReadonlyArray<McpServer.Content>, E, R>
    }
  ): McpServer.Tool<Exclude<R | RI, Scope.Scope>>
} = <A, I, RI, O, OI, RO, E, R>(
  options: McpServer.ToolOptions<A, I, RI> & {
    readonly output?: Schema.Schema<O, OI, RO> | undefined
    readonly handler: (
      input: A,
      call: McpServer.ToolCall
    ) => Effect.Effect<O | string | ReadonlyArray<McpServer.Content>, E, R>
  }
): McpServer.Tool<Exclude<R | RI | RO, Scope.Scope>> => Tools.tool(options, isToolError)

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
export const fromToolkit = <R>(
  toolkit: McpServer.ToolkitWithHandlers<R>
): ReadonlyArray<McpServer.Tool<Exclude<R, Scope.Scope>>> => Toolkits.fromToolkit(toolkit, isToolError)

/**
 * The methods of {@link McpServers}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof mcpServers> {
  /**
   * Keeps a server registered for another ten minutes. Reading its requests, posting a result and sending a message that
   * lists it do the same.
   *
   * Requires a user access token. Retried automatically. Fails with `DustNotFoundError` if the server is not registered.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/heartbeat`;
   * `front-api/routes/v1/w/[wId]/mcp/heartbeat.ts` in dust-tt/dust.
   */
  readonly heartbeat: (serverId: McpServerId) => Effect.Effect<McpServer.Registration, RequestError>
  /**
   * Streams the requests to a server: unanswered ones first, then new ones. Reconnects as often as needed and never ends.
   * Each event is emitted once, except that an unanswered request is delivered again to a stream that starts without
   * `lastEventId`.
   *
   * Requires a user access token. Fails with `DustForbiddenError` (`mcp_auth_error`) if the server is not registered.
   *
   * Source: `GET /api/v1/w/{workspaceId}/mcp/requests`;
   * `front-api/routes/v1/w/[wId]/mcp/requests.ts` in dust-tt/dust.
   */
  readonly requests: (options: {
    readonly serverId: McpServerId
    readonly lastEventId?: EventId | undefined
  }) => Stream.Stream<McpServer.McpRequest, StreamError>
  /**
   * Serves tools until the scope closes: registers a server, sends heartbeats, answers every call once, and deregisters. Succeeds
   * as soon as the server is registered.
   *
   * Reconnects automatically and continues where it was. If the registration has expired, registers again, possibly
   * with another id. Requests that are delivered twice are answered once, and results are posted until Dust has accepted
   * them. When the scope closes, calls in progress are interrupted and answered with an error. Closing waits at most 5
   * seconds for the handlers and 5 seconds for their answers; the answer of a handler that takes longer is dropped.
   *
   * Requires a user access token. Fails with `DustBadRequestError` for a name of the wrong length, two tools of one name, a schema
   * without a JSON Schema, and more than 256 servers of this name. Errors after the registration are those of `closed`.
   */
  readonly serve: <const Tools extends ReadonlyArray<McpServer.Tool<unknown>>>(
    options: McpServer.ServeOptions<Tools>
  ) => Effect.Effect<McpServer.Server, RequestError, McpServer.ToolRequirements<Tools[number]> | Scope.Scope>
  /**
   * Creates a transport for a server of `@modelcontextprotocol/sdk`, or any other MCP server that accepts such a transport. Like
   * `serve`, it reconnects, sends heartbeats, answers each request once, posts results until Dust has accepted them, and
   * deregisters when the scope or the transport closes.
   *
   * Registers at once, and reads requests after `start`. Dust does not support requests of servers (sampling, elicitation); the
   * server receives "method not found" for them.
   *
   * Requires a user access token. Fails with `DustBadRequestError` for a name of the wrong length.
   */
  readonly transport: (
    options: McpServer.TransportOptions
  ) => Effect.Effect<McpServer.Transport, RequestError, Scope.Scope>
}

/**
 * The tag of the service: `yield* McpServers` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class McpServers extends Context.Tag("effect-dust/McpServers")<McpServers, Service>() {}

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(
  McpServers,
  mcpServers,
  ({ call, client, operation }) => {
    const endpoints: Endpoints = {
      owner: client.config,
      register: call.register,
      heartbeat: (serverId) => Effect.map(call.heartbeat.renew(serverId), ({ expiresAt }) => ({ serverId, expiresAt })),
      requests: ({ lastEventId, serverId }) =>
        EventStream.make(client, {
          operation: operation.requests.stream,
          input: { query: { serverId } },
          // This route takes an empty cursor for a cursor.
          lastEventId: lastEventId === "" ? undefined : lastEventId,
          resumes: lastEventId !== undefined && lastEventId !== "",
          decode: (message, eventId): McpServer.McpRequest => ({ eventId, message }),
          isUnknown: ({ message }) => !Predicate.hasProperty(message, "jsonrpc"),
          verdict: () => "go",
          truth: undefined,
          silence: undefined
        }),
      postResult: call.postResult,
      deregister: call.deregister
    }
    return {
      heartbeat: endpoints.heartbeat,
      requests: endpoints.requests,
      serve: (options) => serve(endpoints, operation.serve.register, options),
      transport: (options) => transport(endpoints, operation.transport.register, options)
    }
  }
)

/**
 * Provides {@link McpServers} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<McpServers, never, DustClient> = Layer.effect(McpServers, make)
