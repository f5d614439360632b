/** An MCP server whose client is Dust: it registers, stays alive, and answers each request once. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as JSONSchema from "effect/JSONSchema"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { DustBadRequestError, RequestError, StreamError } from "../../DustAPIError.ts"
import type { McpServerId } from "../../Ids.ts"
import type {
  CallResult,
  Content,
  McpRequest,
  ServeOptions,
  Server,
  Service,
  Tool,
  ToolAnnotations,
  ToolRequirements
} from "../../McpServers.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Identity } from "../api/operation.ts"
import { issuesOf } from "../input/encode.ts"
import { badInput } from "../request/errors.ts"
import { Cursor } from "../stream/cursor.ts"

const failed = (text: string): CallResult => ({ content: [{ type: "text", text }], isError: true })

const inlined = (schema: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const { $id: _id, $ref, $schema: _schema, anyOf, ...rest } = schema
  // A schema with a name is a reference to a definition; the root of a tool's input must be an object by itself.
  if (typeof $ref === "string" && Predicate.isRecord(rest["$defs"])) {
    const named = rest["$defs"][unescaped($ref.slice("#/$defs/".length))]
    return Predicate.isRecord(named) ? { ...named, $defs: rest["$defs"] } : schema
  }
  // The schema without any field: "an object or an array".
  if (_id === "/schemas/%7B%7D") return { type: "object", properties: {}, ...rest }
  return anyOf === undefined ? rest : { ...rest, anyOf }
}

const unescaped = (name: string): string => name.replaceAll("~1", "/").replaceAll("~0", "~")

/** Not every model follows references: only those of recursive definitions stay. */
const dereferenced = (root: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const { $defs, ...rest } = root
  if (!Predicate.isRecord($defs)) return root
  const kept = new Map<string, unknown>()
  const definition = (reference: unknown): string | undefined => {
    const name = typeof reference === "string" && reference.startsWith("#/$defs/")
      ? unescaped(reference.slice("#/$defs/".length))
      : ""
    return Object.hasOwn($defs, name) ? name : undefined
  }
  const reaches = (from: unknown, name: string, seen = new Set<string>()): boolean => {
    if (typeof from !== "object" || from === null) return false
    const next = "$ref" in from ? definition(from.$ref) : undefined
    if (next === name) return true
    if (next !== undefined && !seen.has(next) && reaches($defs[next], name, seen.add(next))) return true
    return Object.values(from).some((part) => reaches(part, name, seen))
  }
  const expand = (part: unknown): unknown =>
    Array.isArray(part) ? part.map(expand) : Predicate.isRecord(part) ? expandRecord(part) : part
  const expandRecord = (part: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
    const { $ref, ...others } = part
    const name = definition($ref)
    const named = name === undefined ? undefined : $defs[name]
    if (name === undefined || !Predicate.isRecord(named)) {
      return Object.fromEntries(Object.entries(part).map(([key, one]) => [key, expand(one)]))
    }
    if (!reaches(named, name)) return { ...expandRecord(named), ...others }
    if (!kept.has(name)) {
      kept.set(name, undefined)
      kept.set(name, expandRecord(named))
    }
    return part
  }
  const expanded = expandRecord(rest)
  return kept.size === 0 ? expanded : { ...expanded, $defs: Object.fromEntries(kept) }
}

const jsonSchema = (schema: Schema.Schema.All): Effect.Effect<Readonly<Record<string, unknown>>, string> =>
  Effect.try({
    try: (): unknown => JSONSchema.make(schema as Schema.Schema<unknown>),
    catch: () => "a schema that can be written as JSON Schema"
  }).pipe(
    Effect.flatMap((made) => {
      const root = Predicate.isRecord(made) ? inlined(made) : {}
      return root["type"] === "object"
        ? Effect.succeed(dereferenced(root))
        : Effect.fail("the schema of an object, such as Schema.Struct")
    })
  )

const explain = (issue: ParseResult.ParseIssue): string =>
  issuesOf(issue).map(({ message, path }) =>
    path === "" ? `expected ${message}` : `${path}: ${message === "is missing" ? "is missing" : `expected ${message}`}`
  ).join("; ")

export const tool = <A, I, RI, E, R>(
  options: {
    readonly name: string
    readonly description: string
    readonly input: Schema.Schema<A, I, RI>
    readonly annotations?: ToolAnnotations | undefined
    readonly handler: (input: A) => Effect.Effect<string | ReadonlyArray<Content>, E, R>
  },
  isToolError: (error: unknown) => boolean
): Tool<Exclude<R | RI, Scope.Scope>> => {
  const { handler, input, name } = options
  const decode = ParseResult.decodeUnknown(input, { errors: "all" })
  return {
    name,
    description: options.description,
    annotations: options.annotations,
    inputSchema: jsonSchema(input),
    call: (args) =>
      decode(args ?? {}).pipe(
        Effect.matchEffect({
          onFailure: (issue) => Effect.succeed(failed(`The arguments of ${name} are not valid: ${explain(issue)}`)),
          onSuccess: (decoded) =>
            Effect.map(Effect.suspend(() => handler(decoded)), (answer): CallResult => ({
              content: typeof answer === "string" ? [{ type: "text", text: answer }] : answer,
              isError: false
            }))
        }),
        Effect.scoped,
        Effect.catchAllCause((cause) => {
          if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
          const error = Option.getOrUndefined(Cause.failureOption(cause))
          return Effect.as(
            Effect.logDebug(`The tool ${name} failed`, cause),
            failed(
              isToolError(error) && Predicate.hasProperty(error, "message") && typeof error.message === "string"
                ? error.message
                : `The tool ${name} failed.`
            )
          )
        }),
        Effect.withSpan("McpServers.call", {
          captureStackTrace: false,
          attributes: { [Telemetry.attributes.toolName]: name }
        })
      )
  }
}

type JsonRpcId = string | number

interface JsonRpcResponse extends Readonly<Record<string, unknown>> {
  readonly jsonrpc: "2.0"
  readonly id: JsonRpcId
}

const result = (id: JsonRpcId, value: unknown): JsonRpcResponse => ({ jsonrpc: "2.0", id, result: value })
const rpcError = (id: JsonRpcId, code: number, message: string): JsonRpcResponse => ({
  jsonrpc: "2.0",
  id,
  error: { code, message }
})

const methodNotFound = -32601
const invalidParams = -32602
const invalidRequest = -32600
const internalError = -32603

const protocols: ReadonlyArray<string> = ["2025-06-18", "2025-03-26", "2024-11-05"]

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

/** Dust does not know the server, or not any more. */
const isGone = (error: StreamError): boolean =>
  error.type === "mcp_server_connection_not_found" || error.type === "mcp_auth_error"

/** Nothing that waiting or registering again could cure. A token that could not be had may be had the next time. */
const isFatal = (error: StreamError): boolean =>
  (error._tag === "DustUnauthorizedError" && error.type !== "token_unavailable") ||
  error._tag === "DustUserRequiredError" ||
  (error._tag === "DustForbiddenError" && error.type !== "mcp_auth_error")

const pause = (failures: number): Effect.Effect<void> =>
  Effect.flatMap(
    Random.nextRange(0.8, 1.2),
    (jitter) => Effect.sleep(Math.min(30_000, 500 * 2 ** Math.min(failures, 10)) * jitter)
  )

const namePattern = /^[A-Za-z0-9_-]{1,64}$/

interface Described {
  readonly tool: Tool<unknown>
  readonly listed: Readonly<Record<string, unknown>>
}

const describe = (
  identity: Identity,
  tools: ReadonlyArray<Tool<unknown>>
): Effect.Effect<ReadonlyMap<string, Described>, DustBadRequestError> =>
  Effect.gen(function*() {
    const byName = new Map<string, Described>()
    for (const tool of tools) {
      if (!namePattern.test(tool.name)) {
        return yield* badInput(
          identity,
          "tools",
          "names of 1 to 64 letters, digits, _ and -",
          JSON.stringify(tool.name)
        )
      }
      if (byName.has(tool.name)) {
        return yield* badInput(identity, "tools", "tools of different names", `two of the name ${tool.name}`)
      }
      const inputSchema = yield* Effect.mapError(
        tool.inputSchema,
        (expected) => badInput(identity, `tools.${tool.name}.input`, expected)
      )
      byName.set(tool.name, {
        tool,
        listed: {
          name: tool.name,
          description: tool.description,
          inputSchema,
          ...(tool.annotations === undefined ? {} : { annotations: tool.annotations })
        }
      })
    }
    return byName
  })

export const serve = <const Tools extends ReadonlyArray<Tool<unknown>>>(
  service: Omit<Service, "serve">,
  options: ServeOptions<Tools>,
  registering: Identity
): Effect.Effect<Server, RequestError, ToolRequirements<Tools[number]> | Scope.Scope> =>
  Effect.gen(function*() {
    const identity: Identity = { ...registering, method: "serve" }
    const concurrency = options.concurrency ?? 8
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      return yield* badInput(identity, "concurrency", "a whole number of at least 1", String(concurrency))
    }
    const interval = Option.getOrUndefined(Duration.decodeUnknown(options.heartbeat ?? "5 minutes"))
    if (
      interval === undefined || Duration.lessThan(interval, "1 second") || Duration.greaterThan(interval, "9 minutes")
    ) {
      return yield* badInput(identity, "heartbeat", "a duration of 1 second to 9 minutes")
    }
    const tools = yield* describe(identity, options.tools)
    const surroundings = yield* Effect.context<ToolRequirements<Tools[number]>>()
    const scope = yield* Effect.scope

    const permits = yield* Effect.makeSemaphore(concurrency)
    const closed = yield* Deferred.make<void, StreamError>()
    const doubts = yield* Queue.sliding<void>(1)
    const calls = new Map<string, Call>()
    const events = new Set<string>()

    const { registered } = yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const first = yield* restore(service.register(options.name))
        const registered = yield* SubscriptionRef.make({ serverId: first.serverId, times: 1, signs: 0 })
        const farewell = Effect.gen(function*() {
          const open = [...calls.values()].filter(({ state }) => state === "running" || state === "answered")
          for (const call of open) call.state = "cancelled"
          // Those that cannot be interrupted are left to themselves: nobody waits for their answer any more.
          yield* Fiber.interruptAll([...calls.values()].flatMap(({ fiber }) => fiber === undefined ? [] : [fiber]))
            .pipe(
              Effect.timeout("5 seconds"),
              Effect.ignore
            )
          yield* Effect.forEach(
            open,
            (call) =>
              Effect.ignore(service.postResult({
                serverId: call.serverId,
                result: call.response ?? result(call.id, failed("The application that offers this tool was closed."))
              })),
            { concurrency: 8, discard: true }
          ).pipe(Effect.timeout("3 seconds"), Effect.ignore)
          const { serverId } = yield* SubscriptionRef.get(registered)
          // Dust forgets the server by itself if this does not arrive.
          yield* service.deregister(serverId).pipe(Effect.timeout("2 seconds"), Effect.ignore)
          yield* Deferred.succeed(closed, undefined)
        })
        // In a fiber of its own: the one that closes the scope may be interrupted, and these requests may have to be.
        yield* Effect.addFinalizer(() => Effect.flatMap(Effect.forkDaemon(Effect.interruptible(farewell)), Fiber.await))
        return { registered }
      })
    )

    const post = (call: Call, response: JsonRpcResponse, failures = 0, again = false): Effect.Effect<void> =>
      Effect.flatMap(SubscriptionRef.get(registered), (before) =>
        Effect.catchAll(service.postResult({ serverId: call.serverId, result: response }), (error) =>
          Effect.gen(function*() {
            const tooLarge = error._tag === "DustContentTooLargeError"
            if ((tooLarge || error._tag === "DustBadRequestError") && response["error"] === undefined) {
              const why = tooLarge ? "The result is too large: at most 16 MiB" : "The result cannot be sent"
              return yield* post(call, rpcError(call.id, internalError, why), failures, again)
            }
            if (isGone(error)) {
              const { signs } = yield* SubscriptionRef.get(registered)
              yield* Queue.offer(doubts, undefined)
              // Either Dust does know the server, or it is registered again. The same name usually gets the same id then;
              // under another one nobody waits for this answer.
              const after = again ? Option.none() : yield* registered.changes.pipe(
                Stream.filter((now) =>
                  now.times > before.times || now.signs > signs
                ),
                Stream.runHead,
                Effect.timeoutOption("2 minutes"),
                Effect.map(Option.flatten)
              )
              if (Option.isSome(after) && after.value.serverId === call.serverId) {
                if (after.value.times === before.times) {
                  yield* pause(0)
                }
                return yield* post(call, response, failures, true)
              }
              return yield* Effect.logDebug("Dust has forgotten the server: the answer of a call is lost")
            }
            const now = yield* Clock.currentTimeMillis
            if ((error.isRetryable || error.type === "token_unavailable") && now - call.since < 2 * memory) {
              yield* pause(failures)
              return yield* post(call, response, failures + 1, again)
            }
            return yield* Effect.logDebug(`The answer of a call could not be posted: ${error._tag}`)
          })))

    const settle = (call: Call): Effect.Effect<void> =>
      Effect.sync(() => {
        if (call.state === "answered") {
          call.state = "settled"
        }
      })

    const answer = (call: Call, response: JsonRpcResponse): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (call.state !== "running") {
          return Effect.void
        }
        call.state = "answered"
        call.since = now
        call.response = response
        return Effect.zipRight(post(call, response), settle(call))
      })

    const respond = (id: JsonRpcId, method: string, params: unknown): Effect.Effect<JsonRpcResponse> =>
      Effect.suspend(() => {
        const at = (name: string): unknown =>
          Predicate.hasProperty(params, name) ? params[name] : undefined
        switch (method) {
          case "initialize": {
            const wanted = at("protocolVersion")
            return Effect.succeed(result(id, {
              protocolVersion: typeof wanted === "string" && protocols.includes(wanted) ? wanted : protocols[0],
              capabilities: { tools: {} },
              serverInfo: { name: options.name, version: options.version ?? "1.0.0" },
              ...(options.instructions === undefined ? {} : { instructions: options.instructions })
            }))
          }
          case "ping":
            return Effect.succeed(result(id, {}))
          case "tools/list":
            return Effect.succeed(result(id, {
              tools: [...tools.values()].map(({ listed }) =>
                listed
              )
            }))
          case "tools/call": {
            const name = at("name")
            const found = typeof name === "string" ? tools.get(name) : undefined
            if (found === undefined) {
              return Effect.succeed(rpcError(id, invalidParams, `Unknown tool: ${String(name).slice(0, 100)}`))
            }
            const called = found.tool.call(at("arguments")) as Effect.Effect<
              CallResult,
              never,
              ToolRequirements<Tools[number]>
            >
            return permits.withPermits(1)(Effect.provide(called, surroundings)).pipe(
              Effect.map((answer) => result(id, answer))
            )
          }
          default:
            return Effect.succeed(rpcError(id, methodNotFound, `Method not found: ${method.slice(0, 100)}`))
        }
      })

    const start = (call: Call, method: string, params: unknown): Effect.Effect<void> =>
      respond(call.id, method, params).pipe(
        Effect.exit,
        Effect.flatMap((exit) =>
          answer(call, Exit.isSuccess(exit) ? exit.value : result(call.id, failed("The tool failed.")))
        ),
        Effect.interruptible,
        Effect.forkDaemon,
        Effect.map((fiber) => {
          call.fiber = fiber
        }),
        Effect.uninterruptible
      )

    const forget = (now: number): void => {
      for (const [key, call] of calls) {
        if (call.state === "running" || call.state === "answered") continue
        if (calls.size > rememberedCalls || now - call.since > memory) calls.delete(key)
      }
      for (const id of events) {
        if (events.size <= rememberedEvents) break
        events.delete(id)
      }
    }

    const cancel = (id: unknown): Effect.Effect<void> =>
      Effect.suspend(() => {
        const [call, another] = [...calls.values()].filter((call) => call.id === id && call.state === "running")
        // Ids count anew in each session, and nothing says which session this comes from. An answer that nobody waits
        // for does no harm; a call that is never answered does.
        if (call === undefined || another !== undefined) return Effect.void
        call.state = "cancelled"
        return call.fiber === undefined ? Effect.void : Fiber.interruptFork(call.fiber)
      })

    const hear = (serverId: McpServerId, message: unknown, now: number, replayed: boolean): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (!Predicate.isRecord(message)) return Effect.void
        const { id, method, params } = message
        if (typeof method === "string" && (id === undefined || id === null)) {
          return method === "notifications/cancelled" && !replayed && Predicate.hasProperty(params, "requestId")
            ? cancel(params.requestId)
            : Effect.void
        }
        if (typeof id !== "string" && typeof id !== "number") return Effect.void
        // Ids count anew in each session of the agent's client: a request is the same only if it says the same.
        const key = JSON.stringify([serverId, id, method, params])
        if (method === "initialize" && !replayed) {
          for (const [other, call] of calls) {
            const over = call.state === "settled" || call.state === "cancelled"
            if (over && call.serverId === serverId) calls.delete(other)
          }
        }
        const known = calls.get(key)
        if (known !== undefined) {
          return known.response === undefined
            ? Effect.void
            : Effect.asVoid(Effect.forkIn(post(known, known.response), scope))
        }
        if (replayed) return Effect.void
        const call: Call = { serverId, id, since: now, fiber: undefined, response: undefined, state: "running" }
        // An answer to a question that was never asked.
        if (method === undefined && ("result" in message || "error" in message)) return Effect.void
        calls.set(key, call)
        return typeof method === "string"
          ? start(call, method, params)
          : answer(call, rpcError(id, invalidRequest, "Invalid request: no method"))
      })

    const receive = (serverId: McpServerId, { eventId, message }: McpRequest): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const replayed = eventId !== undefined && events.has(`${serverId} ${eventId}`)
        if (eventId !== undefined) events.add(`${serverId} ${eventId}`)
        forget(now)
        // A batch, which MCP had in one of its versions.
        return Array.isArray(message)
          ? Effect.forEach(message, (one) => hear(serverId, one, now, replayed), { discard: true })
          : hear(serverId, message, now, replayed)
      })

    /** Reads until Dust says that it does not know the server. */
    const read = (serverId: McpServerId): Effect.Effect<void, StreamError> => {
      const cursor = new Cursor(undefined)
      let failures = 0
      const attempt: Effect.Effect<void, StreamError> = Effect.suspend(() =>
        service.requests({ serverId, lastEventId: cursor.safePosition }).pipe(
          Stream.runForEach((request) =>
            Effect.suspend(() => {
              failures = 0
              if (request.eventId !== undefined) cursor.accept(request.eventId)
              return receive(serverId, request)
            })
          )
        )
      )
      const loop: Effect.Effect<void, StreamError> = Effect.flatMap(Effect.either(attempt), (ended) => {
        if (Either.isLeft(ended)) {
          if (isFatal(ended.left)) return Effect.fail(ended.left)
          if (isGone(ended.left)) {
            return Effect.flatMap(isAlive(serverId), (alive) =>
              alive ? Effect.zipRight(pause(failures++), loop) : Effect.void)
          }
        }
        return Effect.zipRight(pause(failures++), loop)
      })
      return loop
    }

    /** A sign of life that is repeated until it is answered, one way or the other. */
    const isAlive = (serverId: McpServerId, failures = 0): Effect.Effect<boolean, StreamError> =>
      Effect.catchAll(
        Effect.as(service.heartbeat(serverId), true),
        (error): Effect.Effect<boolean, StreamError> =>
          isGone(error)
            ? Effect.succeed(false)
            : isFatal(error)
            ? Effect.fail(error)
            : Effect.zipRight(pause(failures), isAlive(serverId, failures + 1))
      )

    const beat = (serverId: McpServerId): Effect.Effect<void, StreamError> =>
      Effect.raceFirst(Effect.sleep(interval), Queue.take(doubts)).pipe(
        Effect.zipRight(isAlive(serverId)),
        Effect.flatMap((alive) =>
          alive
            ? Effect.zipRight(
              SubscriptionRef.update(registered, (now) => ({ ...now, signs: now.signs + 1 })),
              beat(serverId)
            )
            : Effect.void
        )
      )

    const registerAgain = (failures = 0): Effect.Effect<McpServerId, StreamError> =>
      Effect.catchAll(
        Effect.map(service.register(options.name), ({ serverId }) =>
          serverId),
        (error): Effect.Effect<McpServerId, StreamError> =>
          isFatal(error) ? Effect.fail(error) : Effect.zipRight(pause(failures), registerAgain(failures + 1))
      )

    const live = (serverId: McpServerId): Effect.Effect<never, StreamError> =>
      Effect.raceFirst(read(serverId), beat(serverId)).pipe(
        Effect.zipRight(registerAgain()),
        Effect.tap((serverId) =>
          SubscriptionRef.update(registered, (before) => ({ ...before, serverId, times: before.times + 1 }))
        ),
        Effect.flatMap(live)
      )

    const { serverId } = yield* SubscriptionRef.get(registered)
    yield* live(serverId).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.interrupt : Deferred.failCause(closed, cause)
      ),
      Effect.forkScoped
    )

    return {
      serverId: Effect.map(SubscriptionRef.get(registered), ({ serverId }) => serverId),
      serverIds: Stream.changes(Stream.map(registered.changes, ({ serverId }) => serverId)).pipe(
        Stream.interruptWhen(Effect.exit(Deferred.await(closed)))
      ),
      closed: Deferred.await(closed)
    }
  })
