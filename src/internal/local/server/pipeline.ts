/** Processes a request: log, faults, route, authentication, handler. */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { afterTheEnd } from "../state/ended.ts"
import type { World } from "../state/state.ts"
import { authenticate, describeCredential } from "./auth.ts"
import { inject } from "./faults.ts"
import {
  decodeText,
  errorResponse,
  type LocalRequest,
  type LocalResponse,
  type Pull,
  redirect,
  Reset,
  text
} from "./http.ts"
import { buildTree, find } from "./match.ts"
import { groupQuery } from "./route.ts"
import { routes } from "./router.ts"
import { type ActiveRule, pickFault } from "./rules.ts"

/** A request received by Local Dust. @category models @since 0.1.0 */
export interface SeenRequest {
  /** 1, 2, 3, … in order of arrival. */
  readonly index: number
  readonly method: string
  /** The path as sent, still percent-encoded. */
  readonly path: string
  /** The origin of the request URL. */
  readonly origin: string
  /** The route's template; `undefined` if no route matches. */
  readonly route: string | undefined
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string | ReadonlyArray<string>>>
  /** Header names are lower-case; credentials are replaced by `<redacted>`. */
  readonly headers: Readonly<Record<string, string>>
  /** `key:<name>`, `user:<email>`, `none`, `malformed` or `unknown`. */
  readonly credential: string
  /** The JSON body; the text if it is not JSON; `undefined` if there is no body. */
  readonly body: unknown
  /** Arrival time in epoch milliseconds, by the workspace's clock. */
  readonly at: number
  /** The tag of the fault that hit the request; `undefined` if none did. */
  readonly fault: string | undefined
  /** `undefined` until there is a response. */
  readonly status: number | undefined
  /**
   * `open`: the response is not complete. `complete`: it was sent. `aborted`: the client disconnected. `reset`: the
   * server cut the connection.
   */
  readonly outcome: "open" | "complete" | "aborted" | "reset"
  /** Time at which the connection closed; `undefined` while it is open. */
  readonly closedAt: number | undefined
  /** Bytes of the body sent so far. */
  readonly bytesSent: number
}

type Entry = { -readonly [K in keyof SeenRequest]: SeenRequest[K] }

const SECRET_HEADERS = new Set(["authorization", "cookie", "proxy-authorization", "x-api-key"])

const isMultipart = (request: LocalRequest): boolean =>
  request.headers["content-type"]?.startsWith("multipart/") === true

const parseBody = (request: LocalRequest): unknown => {
  if (request.body.length === 0) return undefined
  const contentType = request.headers["content-type"] ?? ""
  if (isMultipart(request)) return `<multipart, ${request.body.length} bytes>`
  const body = decodeText(request.body)
  return contentType.includes("json")
    ? Option.getOrElse(Option.liftThrowable(() => JSON.parse(body) as unknown)(), () => body)
    : body
}

export interface Handler {
  readonly handle: (request: LocalRequest) => Effect.Effect<LocalResponse, Reset>
  readonly log: () => ReadonlyArray<SeenRequest>
  readonly clearLog: () => void
  /** Clears the log and restarts the numbering at 1. */
  readonly restart: () => void
  readonly rules: Array<ActiveRule>
  /** Called when a request arrives, is answered or is closed. */
  readonly listeners: Set<() => void>
}

const LOG_LIMIT = 20_000

/** Limit of the bodies in the log, which bounds the memory of a long-lived workspace. */
const BODIES_LIMIT = 128 * 1024 * 1024

/** The newest requests, up to both limits. */
class Log {
  readonly entries: Array<Entry> = []
  readonly #weights: Array<number> = []
  #weight = 0

  remember(entry: Entry, bodyBytes: number): void {
    this.entries.push(entry)
    this.#weights.push(bodyBytes)
    this.#weight += bodyBytes
    const surplus = this.entries.length > LOG_LIMIT ? LOG_LIMIT / 10 : 0
    let dropped = 0
    while (dropped < surplus || (this.#weight > BODIES_LIMIT && dropped < this.entries.length - 1)) {
      this.#weight -= this.#weights[dropped++]!
    }
    if (dropped === 0) return
    this.entries.splice(0, dropped)
    this.#weights.splice(0, dropped)
  }

  clear(): void {
    this.entries.length = 0
    this.#weights.length = 0
    this.#weight = 0
  }
}

const tree = buildTree(routes)

/** Resolves a request: its route, and whether it is redirected to the route of the stream. */
const routed = (world: World, request: LocalRequest) => {
  const { pathname } = request.url
  const direct = pathname.startsWith("/api/sse/")
  const canonical = direct ? `/api/${pathname.slice("/api/sse/".length)}` : pathname
  const found = find(tree, request.method, canonical)
  // Requests to other origins are logged, so that a test can see them, but match no route.
  const elsewhere = request.url.origin !== world.origin() && request.url.origin !== world.storageOrigin()
  const match = found === undefined || elsewhere || (direct && found.route.sse !== true) ? undefined : found
  return { match, redirected: match?.route.sse === true && !direct && world.quirks.sseRedirect }
}

type Routed = ReturnType<typeof routed>

const entryOf = (world: World, request: LocalRequest, { match }: Routed, index: number): Entry => ({
  index,
  method: request.method,
  path: request.url.pathname,
  origin: request.url.origin,
  route: match?.route.path,
  params: match?.params ?? {},
  query: groupQuery(request.url.searchParams),
  headers: Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, SECRET_HEADERS.has(name) ? "<redacted>" : value])
  ),
  credential: describeCredential(world, request),
  body: parseBody(request),
  at: world.now(),
  fault: undefined,
  status: undefined,
  outcome: "open",
  closedAt: undefined,
  bytesSent: 0
})

/** The regular response, without a fault. */
const answerTo = (
  world: World,
  request: LocalRequest,
  { match, redirected }: Routed
): Effect.Effect<LocalResponse, Reset> =>
  Effect.suspend((): Effect.Effect<LocalResponse, Reset> => {
    if (match === undefined) {
      return Effect.succeed(
        world.quirks.plainNotFound
          ? text("404 Not Found", { status: 404 })
          : errorResponse(404, "invalid_request_error", "No such route.")
      )
    }
    if (request.tooLarge === true || request.body.length > world.limits.requestSize) {
      return Effect.succeed(errorResponse(413, "content_too_large", "The request body is too large."))
    }
    if (redirected) {
      return Effect.succeed(redirect(`/api/sse/${request.url.pathname.slice("/api/".length)}${request.url.search}`))
    }
    return authenticate(world, match.route, match.params["workspaceId"], request).pipe(
      Effect.flatMap((auth) =>
        match.route.handler({ world, request, params: match.params, query: request.url.searchParams, auth })
      ),
      Effect.catchTag("Refusal", (refusal) => Effect.succeed(refusal.response))
    )
  })

type Close = (outcome: "complete" | "aborted" | "reset") => void

/** Records the outcome of a request once, also if its client disconnects. */
const closing = (world: World, request: LocalRequest, entry: Entry, changed: () => void): Close => {
  const close: Close = (outcome) => {
    if (entry.outcome !== "open") return
    entry.outcome = outcome
    entry.closedAt = world.now()
    request.signal?.removeEventListener("abort", aborted)
    changed()
  }
  const aborted = () => close("aborted")
  request.signal?.addEventListener("abort", aborted, { once: true })
  return close
}

/** The final response, with its date header and its log entry. */
const logged = (
  world: World,
  answer: LocalResponse,
  entry: Entry,
  close: Close,
  changed: () => void
): LocalResponse => {
  const response: LocalResponse = {
    ...answer,
    headers: { date: new Date(world.now()).toUTCString(), ...answer.headers }
  }
  entry.status = response.status
  if (response.body._tag !== "Stream") {
    entry.bytesSent = response.body._tag === "Bytes" ? response.body.bytes.length : 0
    close("complete")
    return response
  }
  changed()
  const pull = watch(response.body.pull ?? Stream.toPull(response.body.stream), entry, close)
  return { ...response, body: { _tag: "Stream" as const, stream: Stream.fromPull(pull), pull } }
}

const recentOf = (entries: ReadonlyArray<Entry>): string => {
  const last = entries.slice(-3).map(({ method, path, route, status }) =>
    `${method} ${route ?? path} (${status ?? "not answered yet"})`
  )
  return last.length === 0 ? "No request has arrived." : `The last requests: ${last.join("; ")}.`
}

export const makeHandler = (world: World): Handler => {
  const log = new Log()
  const rules: Array<ActiveRule> = []
  const listeners = new Set<() => void>()
  let arrived = 0
  const changed = () => {
    world.life.activity++
    for (const listener of listeners) listener()
  }
  world.life.recent = () => recentOf(log.entries)
  const handle = (request: LocalRequest): Effect.Effect<LocalResponse, Reset> =>
    Effect.suspend(() => {
      if (world.life.ended) return Effect.die(afterTheEnd(`${request.method} ${request.url.pathname}`))
      const to = routed(world, request)
      const entry = entryOf(world, request, to, ++arrived)
      log.remember(entry, isMultipart(request) ? 0 : request.body.length)
      const close = closing(world, request, entry, changed)
      const hit = pickFault(world, rules, {
        method: request.method,
        pathname: request.url.pathname,
        route: to.redirected ? undefined : to.match?.route.path,
        query: request.url.searchParams,
        body: entry.body
      })
      entry.fault = hit?.rule.fault._tag
      changed()
      const run = answerTo(world, request, to)
      let idle = false
      const onIdle = (reason: string) => {
        if (hit === undefined || idle) return
        idle = true
        hit.fired--
        hit.idle = reason
      }
      return (hit === undefined ? run : inject(world, hit.rule.fault, run, onIdle)).pipe(
        Effect.withClock(world.clock),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) return
            close(Exit.isInterrupted(exit) ? "aborted" : "reset")
          })
        ),
        Effect.map((answer) => logged(world, answer, entry, close, changed))
      )
    })
  const restart = () => {
    log.clear()
    arrived = 0
    changed()
  }
  return { handle, log: () => log.entries, clearLog: () => log.clear(), restart, rules, listeners }
}

const watch = (
  self: Pull,
  entry: Entry,
  close: Close
): Pull =>
  Effect.gen(function*() {
    yield* Effect.addFinalizer(() => Effect.sync(() => close("aborted")))
    const pull = yield* self
    return Effect.flatMap(
      Effect.either(pull),
      (result): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<Reset>> => {
        if (Either.isRight(result)) {
          for (const piece of result.right) entry.bytesSent += piece.length
          return Effect.succeed(result.right)
        }
        close(Option.isNone(result.left) ? "complete" : "reset")
        return Effect.fail(result.left)
      }
    )
  })
