/** An MCP server whose client is Dust: it registers, stays alive, and answers each request once. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { DustBadRequestError, RequestError, StreamError } from "../../DustAPIError.ts"
import type {
  CallResult,
  Registration,
  ServeOptions,
  Server,
  ServerBase,
  Tool,
  ToolRequirements
} from "../../McpServer.ts"
import type { Identity } from "../api/operation.ts"
import { badInput } from "../request/errors.ts"
import { broadcast, type Delivery, finish, receive } from "./delivery.ts"
import type { Endpoints } from "./endpoints.ts"
import { type Handler, notification, toolServer } from "./protocol.ts"
import { live, type Registered } from "./registration.ts"

const namePattern = /^[A-Za-z0-9_-]{1,64}$/

interface Described {
  readonly listed: Readonly<Record<string, unknown>>
  readonly call: (...args: Parameters<Tool<never>["call"]>) => Effect.Effect<CallResult>
}

type Toolbox = ReadonlyMap<string, Described>

const describeOne = <R>(
  identity: Identity,
  tool: Tool<R>
): Effect.Effect<Described, DustBadRequestError, R> =>
  Effect.gen(function*() {
    const unusable = (field: string) => (expected: string) =>
      badInput(identity, `tools.${tool.name}.${field}`, expected)
    const inputSchema = yield* Effect.mapError(tool.inputSchema, unusable("input"))
    const outputSchema = tool.outputSchema === undefined
      ? undefined
      : yield* Effect.mapError(tool.outputSchema, unusable("output"))
    const context = yield* Effect.context<R>()
    return {
      call: (args, call) => Effect.provide(tool.call(args, call), context),
      listed: {
        name: tool.name,
        description: tool.description,
        inputSchema,
        ...(outputSchema === undefined ? {} : { outputSchema }),
        ...(tool.annotations === undefined ? {} : { annotations: tool.annotations })
      }
    }
  })

const describe = <R>(
  identity: Identity,
  tools: ReadonlyArray<Tool<R>>
): Effect.Effect<Toolbox, DustBadRequestError, R> =>
  Effect.gen(function*() {
    const byName = new Map<string, Described>()
    for (const tool of tools) {
      if (!namePattern.test(tool.name)) {
        const got = JSON.stringify(tool.name)
        return yield* badInput(identity, "tools", "named with 1 to 64 letters, digits, _ and -", got)
      }
      if (byName.has(tool.name)) {
        return yield* badInput(identity, "tools", "uniquely named", `two tools named ${tool.name}`)
      }
      byName.set(tool.name, yield* describeOne(identity, tool))
    }
    return byName
  })

export interface RunOptions {
  readonly name: string
  readonly heartbeat?: Duration.DurationInput | undefined
  readonly handler: Handler
}

interface Running extends ServerBase {
  readonly delivery: Delivery
}

/** Says goodbye; Dust forgets the server by itself if that does not arrive. */
const farewell = (delivery: Delivery, closed: Deferred.Deferred<void, StreamError>): Effect.Effect<void> =>
  finish(delivery).pipe(
    Effect.zipRight(SubscriptionRef.get(delivery.registered)),
    Effect.flatMap(({ serverId }) =>
      delivery.endpoints.deregister(serverId).pipe(Effect.timeout("2 seconds"), Effect.ignore)
    ),
    Effect.zipRight(Deferred.succeed(closed, undefined)),
    Effect.asVoid
  )

const interval = (identity: Identity, heartbeat: Duration.DurationInput | undefined) => {
  const decoded = Option.getOrUndefined(Duration.decodeUnknown(heartbeat ?? "5 minutes"))
  return decoded === undefined || Duration.lessThan(decoded, "1 second") || Duration.greaterThan(decoded, "9 minutes")
    ? Effect.fail(badInput(identity, "heartbeat", "a duration between 1 second and 9 minutes"))
    : Effect.succeed(decoded)
}

/** Registers a handler, and serves it until the scope closes. */
export const run = (
  endpoints: Endpoints,
  identity: Identity,
  options: RunOptions
): Effect.Effect<Running, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    const every = yield* interval(identity, options.heartbeat)
    const scope = yield* Effect.scope
    const closed = yield* Deferred.make<void, StreamError>()
    const doubts = yield* Queue.sliding<void>(1)
    const begun = (first: Registration) =>
      Effect.gen(function*() {
        const registered = yield* SubscriptionRef.make<Registered>({ serverId: first.serverId, times: 1, signs: 0 })
        const delivery: Delivery = {
          endpoints,
          handler: options.handler,
          scope,
          registered,
          doubts,
          calls: new Map(),
          events: new Set()
        }
        // In a fiber of its own: the one that closes the scope may be interrupted, and these requests may have to be.
        yield* Effect.addFinalizer(() =>
          Effect.flatMap(Effect.forkDaemon(Effect.interruptible(farewell(delivery, closed))), Fiber.await)
        )
        return delivery
      })
    const delivery = yield* Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(endpoints.register(options.name)), begun)
    )
    const { registered } = delivery
    const { serverId } = yield* SubscriptionRef.get(registered)
    yield* live({
      endpoints,
      name: options.name,
      interval: every,
      registered,
      doubts,
      receive: (serverId, request) => receive(delivery, serverId, request)
    }, serverId).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.interrupt : Deferred.failCause(closed, cause)
      ),
      Effect.interruptible,
      Effect.forkIn(scope)
    )
    return {
      delivery,
      serverId: Effect.map(SubscriptionRef.get(registered), ({ serverId }) => serverId),
      serverIds: Stream.changes(Stream.map(registered.changes, ({ serverId }) => serverId)).pipe(
        Stream.interruptWhen(Effect.exit(Deferred.await(closed)))
      ),
      closed: Deferred.await(closed)
    }
  })

export const serve = <const Tools extends ReadonlyArray<Tool<unknown>>>(
  endpoints: Endpoints,
  identity: Identity,
  options: ServeOptions<Tools>
): Effect.Effect<Server, RequestError, ToolRequirements<Tools[number]> | Scope.Scope> =>
  Effect.gen(function*() {
    const concurrency = options.concurrency ?? 8
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      return yield* badInput(identity, "concurrency", "a whole number of at least 1", String(concurrency))
    }
    const permits = yield* Effect.makeSemaphore(concurrency)
    let tools = yield* describe(identity, options.tools as ReadonlyArray<Tool<ToolRequirements<Tools[number]>>>)
    const { delivery, ...server } = yield* run(endpoints, identity, {
      name: options.name,
      heartbeat: options.heartbeat,
      handler: toolServer({
        name: options.name,
        version: options.version ?? "1.0.0",
        instructions: options.instructions,
        listed: () => [...tools.values()].map(({ listed }) => listed),
        call: (name, args, progress) => {
          const found = tools.get(name)
          return found === undefined ? undefined : permits.withPermits(1)(found.call(args, { progress }))
        }
      })
    })
    return {
      ...server,
      setTools: <const Next extends ReadonlyArray<Tool<unknown>>>(next: Next) =>
        Effect.flatMap(
          describe(identity, next as ReadonlyArray<Tool<ToolRequirements<Next[number]>>>),
          (described) => {
            tools = described
            return broadcast(delivery, notification("notifications/tools/list_changed"))
          }
        )
    }
  })
