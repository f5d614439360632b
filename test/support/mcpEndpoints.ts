/** Scripted endpoints of client-side MCP, and a journal of their calls. */
import { Effect, Exit, HashMap, Logger, Queue, Random, Scope, Stream } from "effect"
import {
  DustBadRequestError,
  DustContentTooLargeError,
  DustForbiddenError,
  DustNotFoundError,
  DustServerError,
  DustUnauthorizedError,
  DustUserRequiredError,
  type RequestError
} from "effect-dust/DustAPIError"
import type * as McpServer from "effect-dust/McpServer"
import { operations } from "../../src/internal/api/conversations.ts"
import type { Endpoints } from "../../src/internal/mcp/endpoints.ts"
import { virtualClock } from "./virtual.ts"

const begin = 1_750_000_000_000
// Any will do: errors name it.
export const identity = operations.events.read

const common = { module: "McpServers", method: "x", attempts: 1, request: undefined, details: {}, message: "no" }
export const errors = {
  away: new DustServerError({ ...common, status: 503, type: "service_unavailable" }),
  gone: new DustNotFoundError({ ...common, status: 404, type: "mcp_server_connection_not_found" }),
  unknown: new DustForbiddenError({ ...common, status: 403, type: "mcp_auth_error" }),
  forbidden: new DustForbiddenError({ ...common, status: 403, type: "workspace_auth_error" }),
  unauthorized: new DustUnauthorizedError({ ...common, status: 401, type: "invalid_api_key" }),
  noToken: new DustUnauthorizedError({ ...common, type: "token_unavailable" }),
  noUser: new DustUserRequiredError({ ...common, type: "user_required" }),
  refused: new DustBadRequestError({ ...common, status: 400, type: "invalid_request_error" }),
  tooLarge: new DustContentTooLargeError({ ...common, status: 413 }),
  missing: new DustNotFoundError({ ...common, status: 404, type: "workspace_not_found" })
} satisfies Record<string, RequestError>
export type ErrorName = keyof typeof errors

export interface Script {
  /** What is delivered: after how many milliseconds, the message, and its event. */
  readonly messages?: ReadonlyArray<readonly [at: number, message: unknown, eventId?: string]>
  /** The answers of each endpoint in turn: an error, or success; the last one repeats. */
  readonly registers?: ReadonlyArray<ErrorName | string>
  readonly heartbeats?: ReadonlyArray<ErrorName | "alive">
  readonly posts?: ReadonlyArray<ErrorName | "posted">
  readonly goodbyes?: ReadonlyArray<ErrorName | "gone already">
  /** How the streams of requests end: after how many milliseconds, and with what; open by default. */
  readonly streams?: ReadonlyArray<readonly [after: number, ends: ErrorName | "end"] | undefined>
  /** Closes then. */
  readonly until: number
  readonly heartbeat?: string
  /** How long a call of the tool takes; it answers with its argument. */
  readonly takes?: number
}

const isError = (name: string | undefined): name is ErrorName => name !== undefined && Object.hasOwn(errors, name)

/** Endpoints that note how they are called. */
export const scripted = (script: Script) => {
  const clock = virtualClock(begin)
  const lines: Array<string> = []
  const note = (line: string) => lines.push(`${Math.round(clock.unsafeCurrentTimeMillis() - begin)} ${line}`)
  const counts = { registers: 0, heartbeats: 0, posts: 0, goodbyes: 0, streams: 0 }
  const next = (of: "registers" | "heartbeats" | "posts" | "goodbyes"): string | undefined => {
    const all: ReadonlyArray<string> = script[of] ?? []
    return all[Math.min(counts[of]++, all.length - 1)]
  }
  const answered = <A>(name: string | undefined, value: A): Effect.Effect<A, RequestError> =>
    isError(name) ? Effect.fail(errors[name]) : Effect.succeed(value)
  const inbox = Effect.runSync(Queue.unbounded<McpServer.McpRequest>())
  const endpoints: Endpoints = {
    owner: {},
    register: (name) =>
      Effect.suspend(() => {
        note(`register ${name}`)
        const found = next("registers") ?? "s1"
        return answered(found, { serverId: found, expiresAt: null })
      }),
    heartbeat: (serverId) =>
      Effect.suspend(() => {
        note(`heartbeat ${serverId}`)
        return answered(next("heartbeats"), { serverId, expiresAt: null })
      }),
    requests: ({ lastEventId, serverId }) =>
      Stream.suspend(() => {
        note(`read ${serverId} ${lastEventId ?? "from the start"}`)
        const ending = script.streams?.[counts.streams++]
        const open = Stream.fromQueue(inbox)
        if (ending === undefined) return open
        const [after, name] = ending
        return Stream.concat(
          Stream.interruptAfter(open, after),
          isError(name) ? Stream.fail(errors[name]) : Stream.empty
        )
      }),
    postResult: ({ result, serverId }) =>
      Effect.suspend(() => {
        note(`post ${serverId} ${JSON.stringify(result)}`)
        return answered(next("posts"), undefined)
      }),
    deregister: (serverId) =>
      Effect.suspend(() => {
        note(`deregister ${serverId}`)
        return answered(next("goodbyes"), undefined)
      })
  }
  const logger = Logger.make<unknown, void>(({ annotations, logLevel, message }) => {
    if (logLevel.label === "WARN") {
      const found = HashMap.toEntries(annotations).toSorted(([a], [b]) => a < b ? -1 : 1)
      note(`${String(message)} ${JSON.stringify(Object.fromEntries(found))}`)
    }
  })
  const deliver = Effect.forEach(
    script.messages ?? [],
    ([at, message, eventId]) => Effect.delay(inbox.offer({ eventId, message }), at),
    { concurrency: "unbounded" }
  )
  const run = (self: Effect.Effect<unknown, unknown, Scope.Scope>) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Effect.catchAll(Scope.extend(self, scope), (error) => Effect.sync(() => note(`failed ${error}`)))
      yield* Effect.fork(deliver)
      yield* Effect.sleep(script.until)
      note("close")
      yield* Scope.close(scope, Exit.void)
      return lines
    }).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Effect.withRandom(Random.fixed([0.5])),
      Effect.withClock(clock),
      Effect.runPromise
    )
  return { endpoints, run, note }
}

/** By time; what happens within one millisecond, in any order. */
export const sorted = (journal: ReadonlyArray<string>) =>
  journal.toSorted((a, b) => Number.parseInt(a) - Number.parseInt(b) || (a < b ? -1 : 1))

/** An error of JSON-RPC. */
export const failure = (id: string | number, code: number, message: string) =>
  JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } })
