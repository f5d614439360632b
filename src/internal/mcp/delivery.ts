/** Requests in, answers out: each request is answered once, however often it is delivered. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { RequestError } from "../../DustAPIError.ts"
import type { McpServerId } from "../../Ids.ts"
import type { McpRequest } from "../../McpServer.ts"
import { debug, warn } from "../telemetry/log.ts"
import { inToolCall } from "../telemetry/tool.ts"
import type { Endpoints } from "./endpoints.ts"
import {
  at,
  codes,
  failed,
  type Handler,
  type JsonRpcId,
  type JsonRpcNotification,
  type JsonRpcResponse,
  type Request,
  result,
  rpcError
} from "./protocol.ts"
import { isGone, pause, type Registered } from "./registration.ts"

interface Call {
  readonly serverId: McpServerId
  readonly id: JsonRpcId
  /** When it came; once it is answered, when that was. */
  since: number
  fiber: Fiber.RuntimeFiber<void> | undefined
  /** The answer, once there is one. A cancelled call never has one. */
  response: JsonRpcResponse | undefined
  /** `answered`: there is a response, which Dust may not have yet. `settled`: nothing is left to do. */
  state: "running" | "answered" | "settled" | "cancelled"
}

/** How long an answer is kept for a request that is delivered again. */
const memory = Duration.toMillis("10 minutes")
const rememberedCalls = 512
const rememberedEvents = 4096

export interface Delivery {
  readonly endpoints: Endpoints
  readonly handler: Handler
  readonly scope: Scope.Scope
  readonly registered: SubscriptionRef.SubscriptionRef<Registered>
  /** Asks whether Dust still knows the server. */
  readonly doubts: Queue.Queue<void>
  readonly calls: Map<string, Call>
  readonly events: Set<string>
}

/**
 * Waits until the registration is confirmed, by a heartbeat or a new registration. Under another id, no call waits for
 * the answer any more.
 */
const knownAgain = (delivery: Delivery, before: Registered) =>
  Effect.gen(function*() {
    const { signs } = yield* SubscriptionRef.get(delivery.registered)
    yield* Queue.offer(delivery.doubts, undefined)
    return yield* delivery.registered.changes.pipe(
      Stream.filter((now) => now.times > before.times || now.signs > signs),
      Stream.runHead,
      Effect.timeoutOption("2 minutes"),
      Effect.map(Option.flatten)
    )
  })

interface Posting {
  readonly call: Call
  readonly response: JsonRpcResponse
  readonly failures: number
  /** It was refused before, and the server was known after all. */
  readonly again: boolean
}

const post = (delivery: Delivery, posting: Posting): Effect.Effect<void> =>
  Effect.flatMap(SubscriptionRef.get(delivery.registered), (before) =>
    Effect.catchAll(
      delivery.endpoints.postResult({ serverId: posting.call.serverId, result: posting.response }),
      (error) => repost(delivery, posting, error, before)
    ))

const repost = (
  delivery: Delivery,
  posting: Posting,
  error: RequestError,
  before: Registered
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { again, call, failures, response } = posting
    const tooLarge = error._tag === "DustContentTooLargeError"
    if ((tooLarge || error._tag === "DustBadRequestError") && response["error"] === undefined) {
      const why = tooLarge ? "The result is too large: at most 16 MiB" : "The result cannot be sent"
      return yield* post(delivery, { ...posting, response: rpcError(call.id, codes.internalError, why) })
    }
    if (isGone(error)) {
      const after = again ? Option.none() : yield* knownAgain(delivery, before)
      if (Option.isSome(after) && after.value.serverId === call.serverId) {
        if (after.value.times === before.times) yield* pause(0)
        return yield* post(delivery, { ...posting, again: true })
      }
      return yield* warn("The result of a tool is lost, because its server is no longer registered", {
        serverId: call.serverId,
        requestId: call.id
      })
    }
    const now = yield* Clock.currentTimeMillis
    if ((error.isRetryable || error.type === "token_unavailable") && now - call.since < 2 * memory) {
      yield* pause(failures)
      return yield* post(delivery, { ...posting, failures: failures + 1 })
    }
    return yield* warn("The result of a tool could not be posted", {
      serverId: call.serverId,
      requestId: call.id,
      reason: error._tag
    })
  })

const answer = (delivery: Delivery, call: Call, response: JsonRpcResponse): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (call.state !== "running") return Effect.void
    call.state = "answered"
    call.since = now
    call.response = response
    return Effect.tap(post(delivery, { call, response, failures: 0, again: false }), () =>
      Effect.sync(() => {
        if (call.state === "answered") call.state = "settled"
      }))
  })

/** A notification that is lost does no harm. */
const notify = (delivery: Delivery, serverId: McpServerId) => (message: JsonRpcNotification): Effect.Effect<void> =>
  Effect.catchAll(
    delivery.endpoints.postResult({ serverId, result: message }),
    (error) => debug("A notification of a tool could not be posted", () => ({ serverId, reason: error._tag }))
  )

/** Sends a notification that belongs to no request. */
export const broadcast = (delivery: Delivery, message: JsonRpcNotification): Effect.Effect<void> =>
  Effect.flatMap(SubscriptionRef.get(delivery.registered), ({ serverId }) => notify(delivery, serverId)(message))

const handled = (
  { endpoints, handler }: Delivery,
  { id, serverId }: Call,
  request: Request
): Effect.Effect<JsonRpcResponse> =>
  request.method === "tools/call"
    ? inToolCall({
      owner: endpoints.owner,
      serverId,
      requestId: id,
      name: String(at(request.params, "name")).slice(0, 100)
    }, handler.request(request))
    : handler.request(request)

const start = (delivery: Delivery, call: Call, method: string, params: unknown): Effect.Effect<void> =>
  handled(delivery, call, { id: call.id, method, params, notify: notify(delivery, call.serverId) }).pipe(
    Effect.exit,
    Effect.flatMap((exit) =>
      answer(delivery, call, Exit.isSuccess(exit) ? exit.value : result(call.id, failed("The tool failed.")))
    ),
    Effect.interruptible,
    Effect.forkDaemon,
    Effect.map((fiber) => {
      call.fiber = fiber
    }),
    Effect.uninterruptible
  )

const cancel = (delivery: Delivery, id: unknown): Effect.Effect<void> =>
  Effect.suspend(() => {
    const [call, another] = [...delivery.calls.values()].filter((call) => call.id === id && call.state === "running")
    // Ids restart in each session, and the message does not name its session. An answer that no call waits
    // for does no harm; a call that is never answered does.
    if (call === undefined || another !== undefined) return Effect.void
    call.state = "cancelled"
    return call.fiber === undefined ? Effect.void : Fiber.interruptFork(call.fiber)
  })

const hearNotification = (
  delivery: Delivery,
  message: Readonly<Record<string, unknown>>,
  replayed: boolean
): Effect.Effect<void> =>
  replayed ? Effect.void : Effect.zipRight(
    message["method"] === "notifications/cancelled" && Predicate.hasProperty(message["params"], "requestId")
      ? cancel(delivery, message["params"].requestId)
      : Effect.void,
    delivery.handler.notification(message)
  )

/** A session begins and ids restart, so earlier requests are not duplicates of later ones. */
const beginSession = ({ calls }: Delivery, serverId: McpServerId): void => {
  for (const [key, call] of calls) {
    const over = call.state === "settled" || call.state === "cancelled"
    if (over && call.serverId === serverId) calls.delete(key)
  }
}

const hear = (
  delivery: Delivery,
  { message, now, replayed, serverId }: {
    readonly serverId: McpServerId
    readonly message: unknown
    readonly now: number
    readonly replayed: boolean
  }
): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!Predicate.isRecord(message)) return Effect.void
    const { id, method, params } = message
    if (typeof method === "string" && (id === undefined || id === null)) {
      return hearNotification(delivery, message, replayed)
    }
    if (typeof id !== "string" && typeof id !== "number") return Effect.void
    // Ids count anew in each session of the agent's client: a request is the same only if it says the same.
    const key = JSON.stringify([serverId, id, method, params])
    if (method === "initialize" && !replayed) beginSession(delivery, serverId)
    const known = delivery.calls.get(key)
    if (known !== undefined) {
      return known.response === undefined ? Effect.void : Effect.asVoid(
        Effect.forkIn(
          post(delivery, { call: known, response: known.response, failures: 0, again: false }),
          delivery.scope
        )
      )
    }
    if (replayed) return Effect.void
    // An answer to a question that was never asked.
    if (method === undefined && ("result" in message || "error" in message)) return Effect.void
    const call: Call = { serverId, id, since: now, fiber: undefined, response: undefined, state: "running" }
    delivery.calls.set(key, call)
    return typeof method === "string"
      ? start(delivery, call, method, params)
      : answer(delivery, call, rpcError(id, codes.invalidRequest, "Invalid request: no method"))
  })

const forget = ({ calls, events }: Delivery, now: number): void => {
  for (const [key, call] of calls) {
    if (call.state === "running" || call.state === "answered") continue
    if (calls.size > rememberedCalls || now - call.since > memory) calls.delete(key)
  }
  for (const id of events) {
    if (events.size <= rememberedEvents) break
    events.delete(id)
  }
}

export const receive = (
  delivery: Delivery,
  serverId: McpServerId,
  { eventId, message }: McpRequest
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { events } = delivery
    const replayed = eventId !== undefined && events.has(`${serverId} ${eventId}`)
    if (eventId !== undefined) events.add(`${serverId} ${eventId}`)
    forget(delivery, now)
    // A batch, which MCP had in one of its versions.
    return Array.isArray(message)
      ? Effect.forEach(message, (one) => hear(delivery, { serverId, message: one, now, replayed }), { discard: true })
      : hear(delivery, { serverId, message, now, replayed })
  })

/** Interrupts running calls, and answers all open requests. */
export const finish = ({ calls, endpoints }: Delivery): Effect.Effect<void> =>
  Effect.gen(function*() {
    const open = [...calls.values()].filter(({ state }) => state === "running" || state === "answered")
    for (const call of open) call.state = "cancelled"
    // Handlers that cannot be interrupted keep running; their answers are dropped.
    yield* Fiber.interruptAll([...calls.values()].flatMap(({ fiber }) => fiber === undefined ? [] : [fiber])).pipe(
      Effect.timeout("5 seconds"),
      Effect.ignore
    )
    yield* Effect.forEach(
      open,
      (call) =>
        Effect.ignore(endpoints.postResult({
          serverId: call.serverId,
          result: call.response ?? result(call.id, failed("The application that offers this tool was closed."))
        })),
      { concurrency: 8, discard: true }
    ).pipe(Effect.timeout("3 seconds"), Effect.ignore)
  })

/** The id of the request that a message answers. */
export const answeredId = (message: Readonly<Record<string, unknown>>): JsonRpcId | undefined => {
  const id = at(message, "id")
  return (typeof id === "string" || typeof id === "number") && ("result" in message || "error" in message)
    ? id
    : undefined
}
