/** JSON-RPC messages, and the methods of MCP that a server of tools answers. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { CallResult, Progress } from "../../McpServer.ts"

export type JsonRpcId = string | number

export interface JsonRpcResponse extends Readonly<Record<string, unknown>> {
  readonly jsonrpc: "2.0"
  readonly id: JsonRpcId
}

export interface JsonRpcNotification extends Readonly<Record<string, unknown>> {
  readonly jsonrpc: "2.0"
  readonly method: string
}

export const result = (id: JsonRpcId, value: unknown): JsonRpcResponse => ({ jsonrpc: "2.0", id, result: value })

export const rpcError = (id: JsonRpcId, code: number, message: string): JsonRpcResponse => ({
  jsonrpc: "2.0",
  id,
  error: { code, message }
})

export const notification = (method: string, params?: Readonly<Record<string, unknown>>): JsonRpcNotification => ({
  jsonrpc: "2.0",
  method,
  ...(params === undefined ? {} : { params })
})

export const codes = {
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603
} as const

/** Newest first. */
const versions: ReadonlyArray<string> = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]

export const failed = (text: string): CallResult => ({ content: [{ type: "text", text }], isError: true })

export const at = (params: unknown, name: string): unknown =>
  Predicate.hasProperty(params, name) ? params[name] : undefined

export interface Request {
  readonly id: JsonRpcId
  readonly method: string
  readonly params: unknown
  /** Sends a notification that belongs to this request. */
  readonly notify: (message: JsonRpcNotification) => Effect.Effect<void>
}

/** What stands behind a registration: it answers requests, and hears notifications. */
export interface Handler {
  readonly request: (request: Request) => Effect.Effect<JsonRpcResponse>
  readonly notification: (message: Readonly<Record<string, unknown>>) => Effect.Effect<void>
}

export interface ToolBox {
  readonly name: string
  readonly version: string
  readonly instructions: string | undefined
  readonly listed: () => ReadonlyArray<Readonly<Record<string, unknown>>>
  /** `undefined`: there is no tool of this name. */
  readonly call: (
    name: string,
    args: unknown,
    progress: (update: Progress) => Effect.Effect<void>
  ) => Effect.Effect<CallResult> | undefined
}

const initialized = (box: ToolBox, wanted: unknown): unknown => ({
  protocolVersion: typeof wanted === "string" && versions.includes(wanted) ? wanted : versions[0],
  capabilities: { tools: { listChanged: true } },
  serverInfo: { name: box.name, version: box.version },
  ...(box.instructions === undefined ? {} : { instructions: box.instructions })
})

/** Without a token the client has not asked for progress. */
const progressOf = ({ notify, params }: Request) => (update: Progress): Effect.Effect<void> => {
  const progressToken = at(at(params, "_meta"), "progressToken")
  return typeof progressToken === "string" || typeof progressToken === "number"
    ? notify(notification("notifications/progress", { progressToken, ...update }))
    : Effect.void
}

/** A server of tools. */
export const toolServer = (box: ToolBox): Handler => ({
  notification: () => Effect.void,
  request: (request) =>
    Effect.suspend(() => {
      const { id, method, params } = request
      switch (method) {
        case "initialize":
          return Effect.succeed(result(id, initialized(box, at(params, "protocolVersion"))))
        case "ping":
          return Effect.succeed(result(id, {}))
        case "tools/list":
          return Effect.succeed(result(id, { tools: box.listed() }))
        case "tools/call": {
          const name = at(params, "name")
          const called = typeof name === "string"
            ? box.call(name, at(params, "arguments"), progressOf(request))
            : undefined
          return called === undefined
            ? Effect.succeed(rpcError(id, codes.invalidParams, `Unknown tool: ${String(name).slice(0, 100)}`))
            : Effect.map(called, (answer) => result(id, answer))
        }
        default:
          return Effect.succeed(rpcError(id, codes.methodNotFound, `Method not found: ${method.slice(0, 100)}`))
      }
    })
})
