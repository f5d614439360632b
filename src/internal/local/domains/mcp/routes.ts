/** Client-side MCP: registration, heartbeats, request stream, results. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mcpServers } from "../../../api/mcpServers.ts"
import { routesOf } from "../../server/declared.ts"
import { badRequest, json, refuse, type Refusal } from "../../server/http.ts"
import { body, type Context, type Handler, query, type Route } from "../../server/route.ts"
import type { LocalUser } from "../../state/state.ts"
import { eventStream } from "../conversations/events.ts"
import { forget, liveServer, type McpServer, receive, register, touch } from "./servers.ts"

const RESULT_LIMIT = 16 * 1024 * 1024

/** Only `register` checks for a user; the other routes fail on the missing user. */
const userOf = (context: Context, registering: boolean): Effect.Effect<LocalUser, Refusal> =>
  context.auth.user !== undefined
    ? Effect.succeed(context.auth.user)
    : registering
    ? refuse(403, "invalid_request_error", "Client-side MCP servers are only available with user authentication.")
    : refuse(500, "internal_server_error", "Unexpected unauthenticated call to `getNonNullableUser`")

const expiresAt = (server: McpServer): string => new Date(server.expiresAt).toISOString()

const notOwned = refuse(403, "mcp_auth_error", "You don't have access to this MCP server or it has expired.")

const registerServer: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(
      context,
      Schema.Struct({ serverName: Schema.String.pipe(Schema.minLength(5), Schema.maxLength(30)) })
    )
    const user = yield* userOf(context, true)
    const server = register(context.world, input.serverName, user.sId)
    return server === "too many"
      ? yield* badRequest("Too many servers with this name.")
      : json({ serverId: server.serverId, expiresAt: expiresAt(server) })
  })

const heartbeat: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(context, Schema.Struct({ serverId: Schema.String }))
    const user = yield* userOf(context, false)
    const server = liveServer(context.world, input.serverId, user.sId)
    if (server === undefined) {
      return yield* refuse(404, "mcp_server_connection_not_found", "MCP server not registered or expired.")
    }
    touch(context.world, server)
    return json({ success: true, expiresAt: expiresAt(server) })
  })

const deregister: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(context, Schema.Struct({ serverId: Schema.String }))
    const user = yield* userOf(context, false)
    const server = liveServer(context.world, input.serverId, user.sId)
    if (server !== undefined) forget(context.world, server)
    return json({ success: true })
  })

const results: Handler = (context) =>
  Effect.gen(function*() {
    if (context.request.body.length > RESULT_LIMIT) {
      return yield* refuse(413, "content_too_large", "The request body is too large.")
    }
    const input = yield* body(context, Schema.Struct({ serverId: Schema.String, result: Schema.Unknown }))
    const user = yield* userOf(context, false)
    const server = liveServer(context.world, input.serverId, user.sId)
    if (server === undefined) return yield* notOwned
    touch(context.world, server)
    yield* receive(server, input.result, context.request.body.length)
    return json({ success: true })
  })

const requests: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const input = yield* query(
      context,
      Schema.Struct({ serverId: Schema.String, lastEventId: Schema.optional(Schema.String) })
    )
    const user = yield* userOf(context, false)
    const server = liveServer(world, input.serverId, user.sId)
    if (server === undefined) return yield* notOwned
    touch(world, server)
    return eventStream(context, {
      channel: server.channel,
      lastEventId: input.lastEventId,
      lifetime: undefined,
      silence: world.quirks.mcpStreamSilence,
      open: () => liveServer(world, input.serverId, user.sId) === server
    })
  })

export const mcpRoutes: ReadonlyArray<Route> = routesOf(mcpServers)({
  "POST /mcp/register": { auth: "any", handler: registerServer },
  "POST /mcp/heartbeat": { auth: "any", handler: heartbeat },
  "POST /mcp/deregister": { auth: "any", handler: deregister },
  "POST /mcp/results": { auth: "any", handler: results },
  "GET /mcp/requests": { auth: "any", sse: true, handler: requests }
})
