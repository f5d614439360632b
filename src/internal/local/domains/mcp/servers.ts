/** Client-side MCP servers: their registration, and calls of their tools by agents. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import {
  type Channel,
  closeChannel,
  dropChannel,
  makeChannel,
  publishJson,
  removeFromHistory
} from "../../server/pubsub.ts"
import { slice, type World } from "../../state/state.ts"

type JsonRpcId = string | number

export interface McpServer {
  readonly serverId: string
  readonly name: string
  readonly userId: string
  expiresAt: number
  readonly channel: Channel
  readonly waiting: Map<JsonRpcId, Deferred.Deferred<unknown>>
  /** The newest JSON-RPC messages posted as results. */
  readonly results: Array<{ readonly message: unknown; readonly bytes: number }>
  initialized: boolean
  /** Ensures that only the first call initializes the server; concurrent calls wait. */
  readonly greeting: Effect.Semaphore
  nextId: number
}

/** Bounds the memory of a long-lived workspace. */
const MOST_RESULTS = 1000
const RESULT_BYTES = 64 * 1024 * 1024

export const MCP_TTL = Duration.minutes(10)

/** A name can be registered by one user only; `byKey` is keyed by user and id. */
export const mcpServers = slice("mcp", () => ({ byKey: new Map<string, McpServer>() }))

const keyOf = ({ serverId, userId }: { readonly serverId: string; readonly userId: string }): string =>
  `${userId} ${serverId}`

/** The earliest registered server with this id, of any user. */
export const anyServer = (world: World, serverId: string): McpServer | undefined => {
  for (const server of mcpServers(world).byKey.values()) {
    if (server.serverId === serverId) return server
  }
  return undefined
}

/** The registered server, unless it has expired or belongs to another user. */
export const liveServer = (world: World, serverId: string, userId: string | undefined): McpServer | undefined => {
  const server = userId === undefined ? undefined : mcpServers(world).byKey.get(keyOf({ serverId, userId }))
  if (server === undefined) return undefined
  if (world.now() >= server.expiresAt) {
    forget(world, server)
    return undefined
  }
  return server
}

export const forget = (world: World, server: McpServer): void => {
  mcpServers(world).byKey.delete(keyOf(server))
  dropChannel(world, server.channel)
  closeChannel(server.channel)
}

export const touch = (world: World, server: McpServer): void => {
  server.expiresAt = world.now() + Duration.toMillis(MCP_TTL)
}

const slug = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "")

export const register = (world: World, name: string, userId: string): McpServer | "too many" => {
  const base = `mcp-client-side:${slug(name)}`
  for (let suffix = 0; suffix < 256; suffix++) {
    const serverId = suffix === 0 ? base : `${base}.${suffix}`
    const taken = liveServer(world, serverId, userId)
    if (taken !== undefined) continue
    const server: McpServer = {
      serverId,
      name,
      userId,
      expiresAt: 0,
      channel: makeChannel(world),
      waiting: new Map(),
      results: [],
      initialized: false,
      greeting: Effect.unsafeMakeSemaphore(1),
      nextId: 0
    }
    touch(world, server)
    mcpServers(world).byKey.set(keyOf(server), server)
    return server
  }
  return "too many"
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/** The id of the JSON-RPC message in a frame. */
const idIn = (frame: string): unknown => {
  const event = Option.getOrUndefined(
    Option.liftThrowable((text: string): unknown => JSON.parse(text))(frame.slice("data: ".length))
  )
  return isRecord(event) && isRecord(event["data"]) ? event["data"]["id"] : undefined
}

/** Handles a posted JSON-RPC message: removes the answered request and all notifications from the history. */
export const receive = (server: McpServer, message: unknown, bytes: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    server.results.push({ message, bytes })
    let kept = server.results.reduce((sum, one) => sum + one.bytes, 0)
    while (server.results.length > MOST_RESULTS || (kept > RESULT_BYTES && server.results.length > 1)) {
      kept -= server.results.shift()?.bytes ?? 0
    }
    const id = isRecord(message) && (typeof message["id"] === "string" || typeof message["id"] === "number")
      ? message["id"]
      : undefined
    removeFromHistory(server.channel, (event) => {
      const sent = idIn(event.frame)
      return sent === undefined || sent === id
    })
    const waiting = id === undefined ? undefined : server.waiting.get(id)
    if (id === undefined || waiting === undefined) return Effect.void
    server.waiting.delete(id)
    return Effect.asVoid(Deferred.succeed(waiting, message))
  })

/** Sends a JSON-RPC request over the server's stream and waits for its result. */
export const request = (
  world: World,
  server: McpServer,
  method: string,
  params: Readonly<Record<string, unknown>>
): Effect.Effect<unknown> =>
  Effect.gen(function*() {
    const id = server.nextId++
    const answered = yield* Deferred.make<unknown>()
    server.waiting.set(id, answered)
    publishJson(world, server.channel, method, JSON.stringify({ jsonrpc: "2.0", id, method, params }))
    return yield* Effect.ensuring(Deferred.await(answered), Effect.sync(() => server.waiting.delete(id)))
  })

const notify = (world: World, server: McpServer, method: string): void => {
  publishJson(world, server.channel, method, JSON.stringify({ jsonrpc: "2.0", method }))
}

const initialize = (world: World, server: McpServer): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (server.initialized) return
    yield* request(world, server, "initialize", {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "dust-mcp-client", version: "1.0.0" }
    })
    notify(world, server, "notifications/initialized")
    yield* request(world, server, "tools/list", {})
    server.initialized = true
  }).pipe(server.greeting.withPermits(1))

const asBlocks = (content: unknown): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  Array.isArray(content) ? content.filter(isRecord) : [{ type: "text", text: JSON.stringify(content ?? null) }]

/** Calls a tool of a client-side server in the order of the real agent loop: initialize once, list, call. */
export const callClientTool = (
  world: World,
  server: McpServer,
  name: string,
  inputs: Readonly<Record<string, unknown>>
): Effect.Effect<{ readonly isError: boolean; readonly content: ReadonlyArray<Readonly<Record<string, unknown>>> }> =>
  Effect.gen(function*() {
    yield* initialize(world, server)
    const message = yield* request(world, server, "tools/call", { name, arguments: inputs })
    if (isRecord(message) && isRecord(message["result"])) {
      return {
        isError: message["result"]["isError"] === true,
        content: asBlocks(message["result"]["content"])
      }
    }
    const error = isRecord(message) && isRecord(message["error"]) ? message["error"] : {}
    return { isError: true, content: [{ type: "text", text: String(error["message"] ?? "The tool failed.") }] }
  })
