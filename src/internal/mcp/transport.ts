/** A registration as a transport of the MCP SDK, for servers that exist already. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { RequestError } from "../../DustAPIError.ts"
import type { JsonRpcMessage, Transport, TransportOptions } from "../../McpServer.ts"
import type { Identity } from "../api/operation.ts"
import { answeredId, broadcast } from "./delivery.ts"
import type { Endpoints } from "./endpoints.ts"
import {
  codes,
  type Handler,
  type JsonRpcId,
  type JsonRpcNotification,
  type JsonRpcResponse,
  notification,
  type Request,
  rpcError
} from "./protocol.ts"
import { run } from "./serve.ts"

interface Pending {
  readonly id: JsonRpcId
  readonly answer: Deferred.Deferred<JsonRpcResponse>
}

/** Between Dust and the server: what the server is at work on, under ids of its own, since sessions reuse theirs. */
class Relay implements Handler {
  readonly pending = new Map<string, Pending>()
  readonly transport: Transport
  #next = 0

  constructor(transport: Transport, readonly started: Deferred.Deferred<void>) {
    this.transport = transport
  }

  /** The server's own code: its exceptions are failures of the server, not defects of the calling fiber. */
  hand(message: JsonRpcMessage): Effect.Effect<void, "thrown"> {
    return Effect.try({ try: () => this.transport.onmessage?.(message), catch: () => "thrown" as const })
  }

  readonly request = ({ id, method, params }: Request): Effect.Effect<JsonRpcResponse> =>
    Effect.gen(this, function*() {
      yield* Deferred.await(this.started)
      const own = `dust-${++this.#next}`
      const answer = yield* Deferred.make<JsonRpcResponse>()
      this.pending.set(own, { id, answer })
      return yield* this.hand({ jsonrpc: "2.0", id: own, method, ...(params === undefined ? {} : { params }) }).pipe(
        Effect.zipRight(Deferred.await(answer)),
        Effect.onInterrupt(() => Effect.ignore(this.hand(notification("notifications/cancelled", { requestId: own })))),
        Effect.catchAll(() => Effect.succeed(rpcError(id, codes.internalError, "The server failed."))),
        Effect.ensuring(Effect.sync(() => this.pending.delete(own)))
      )
    })

  readonly notification = (message: JsonRpcMessage): Effect.Effect<void> =>
    // A cancelled request is interrupted, and the server told under the id that it knows.
    message["method"] === "notifications/cancelled"
      ? Effect.void
      : Effect.zipRight(Deferred.await(this.started), Effect.ignore(this.hand(message)))

  /** What the server has to say. */
  sent(
    message: JsonRpcMessage,
    post: (message: JsonRpcNotification) => Effect.Effect<void>
  ): Effect.Effect<void> {
    const { id, method } = message
    const answered = answeredId(message)
    if (answered !== undefined) {
      const call = this.pending.get(String(answered))
      return call === undefined
        ? Effect.void
        : Effect.asVoid(Deferred.succeed<JsonRpcResponse, never>(call.answer, {
          ...message,
          jsonrpc: "2.0",
          id: call.id
        }))
    }
    if (typeof method !== "string") return Effect.void
    // Dust answers no requests of servers: sampling, elicitation, roots.
    return typeof id === "string" || typeof id === "number"
      ? Effect.ignore(this.hand(rpcError(id, codes.methodNotFound, `Dust does not support ${method}`)))
      : post({ ...message, jsonrpc: "2.0", method })
  }
}

export const transport = (
  endpoints: Endpoints,
  identity: Identity,
  options: TransportOptions
): Effect.Effect<Transport, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<never>()
    const runPromise = Runtime.runPromise(runtime)
    const scope = yield* Effect.flatMap(Effect.scope, (outer) => Scope.fork(outer, { _tag: "Sequential" }))
    const started = yield* Deferred.make<void>()
    let send: (message: JsonRpcMessage) => Effect.Effect<void> = () => Effect.void
    const made: Transport = {
      serverId: Effect.never,
      start: () => runPromise(Effect.asVoid(Deferred.succeed(started, undefined))),
      send: (message) => runPromise(send(message)),
      close: () => runPromise(Scope.close(scope, Exit.void)),
      onmessage: undefined,
      onclose: undefined,
      onerror: undefined
    }
    const relay = new Relay(made, started)
    const { closed, delivery, serverId } = yield* run(endpoints, identity, {
      name: options.name,
      heartbeat: options.heartbeat,
      handler: relay
    }).pipe(Scope.extend(scope))
    send = (message) => relay.sent(message, (message) => broadcast(delivery, message))
    // After the goodbye, and when Dust no longer accepts the credential.
    yield* closed.pipe(
      Effect.catchAll((error) => Effect.sync(() => made.onerror?.(error))),
      Effect.zipRight(Effect.sync(() => made.onclose?.())),
      Effect.interruptible,
      Effect.forkDaemon
    )
    return Object.assign(made, { serverId })
  })
