/** The socket transport. `node:http` is loaded only when needed. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Place } from "../state/create.ts"
import type { LocalRequest, LocalResponse, Reset } from "./http.ts"

/**
 * Local Dust could not listen on the port.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustTestServeError extends Data.TaggedError("DustTestServeError")<{
  readonly message: string
  /** The system's error code, such as `EADDRINUSE`. */
  readonly code: string | undefined
  readonly cause: unknown
}> {}

const serveError = (cause: unknown): DustTestServeError =>
  new DustTestServeError({
    message: `Local Dust cannot listen: ${cause instanceof Error ? cause.message : String(cause)}`,
    code: cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined,
    cause
  })

/** The request body, or nothing if it exceeds `limit`. */
const readBody = (
  request: IncomingMessage,
  limit: number
): Promise<{ readonly body: Uint8Array; readonly tooLarge: boolean }> =>
  new Promise((resolve, reject) => {
    let pieces: Array<Buffer> = []
    let read = 0
    const refuse = () => {
      pieces = []
      // The rest is read and dropped, so that the client can finish sending and read the response.
      request.resume()
      resolve({ body: new Uint8Array(), tooLarge: true })
    }
    if (Number(request.headers["content-length"] ?? 0) > limit) return refuse()
    request.on("data", (piece: Buffer) => {
      read += piece.length
      if (read > limit) refuse()
      else pieces.push(piece)
    })
    request.on("end", () => resolve({ body: new Uint8Array(Buffer.concat(pieces)), tooLarge: false }))
    request.on("error", reject)
    request.on("aborted", () => reject(new Error("aborted")))
  })

const headersOf = (request: IncomingMessage): Record<string, string> => {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value
  }
  return headers
}

/** Node refuses header values outside Latin-1, so they are sent as UTF-8, as servers do. */
const sendable = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      /[\u0100-\uffff]/.test(value) ? Buffer.from(value, "utf8").toString("latin1") : value
    ])
  )

/** Writes one piece and waits while the client is slower than the server. */
const write = (response: ServerResponse, piece: Uint8Array): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    if (response.destroyed || response.write(piece)) return resume(Effect.void)
    const done = () => {
      response.off("drain", done)
      response.off("close", done)
      resume(Effect.void)
    }
    response.on("drain", done)
    response.on("close", done)
    return Effect.sync(() => {
      response.off("drain", done)
      response.off("close", done)
    })
  })

const respond = (
  request: IncomingMessage,
  response: ServerResponse,
  handle: (request: LocalRequest) => Effect.Effect<LocalResponse, Reset>,
  place: Place,
  signal: AbortSignal
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const read = yield* Effect.promise(() => readBody(request, place.requestSize).catch(() => undefined))
    if (read === undefined) return
    const host = request.headers.host ?? ""
    const origin = place.storageOrigin.endsWith(`//${host}`) ? place.storageOrigin : place.origin
    const url = URL.canParse(request.url ?? "/", origin) ? new URL(request.url ?? "/", origin) : new URL(origin)
    const answer = yield* handle({ method: request.method ?? "GET", url, headers: headersOf(request), ...read, signal })
    response.writeHead(answer.status, sendable(answer.headers))
    switch (answer.body._tag) {
      case "Empty":
        return void response.end()
      case "Bytes":
        return void response.end(answer.body.bytes)
      case "Stream":
        response.flushHeaders()
        yield* Stream.runForEach(answer.body.stream, (piece) => write(response, piece))
        response.end()
    }
  }).pipe(
    Effect.catchTag("Reset", () => Effect.sync(() => request.socket.resetAndDestroy())),
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logError("Local Dust failed to answer a request", Cause.die(defect)),
        Effect.sync(() => request.socket.destroy())
      )
    )
  )

/** Hosts that are also reachable as `localhost`. */
const LOCAL = new Set(["127.0.0.1", "0.0.0.0", "::"])

/** Listens until the scope closes, and sets the address of `place`. */
export const listen = (
  handle: (request: LocalRequest) => Effect.Effect<LocalResponse, Reset>,
  place: Place,
  options: { readonly port: number; readonly host: string }
): Effect.Effect<{ readonly url: string; readonly port: number }, DustTestServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const http = yield* Effect.tryPromise({ try: () => import("node:http"), catch: serveError })
    const runFork = Runtime.runFork(yield* Effect.runtime<never>())
    const running = new Set<Fiber.RuntimeFiber<void>>()
    const server = yield* Effect.acquireRelease(
      Effect.async<Server, DustTestServeError>((resume) => {
        const server = http.createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 })
        server.on("request", (request, response) => {
          const controller = new AbortController()
          response.on("error", () => undefined)
          request.on("error", () => undefined)
          const fiber = runFork(respond(request, response, handle, place, controller.signal))
          running.add(fiber)
          fiber.addObserver(() => running.delete(fiber))
          response.on("close", () => {
            if (response.writableFinished) return
            controller.abort()
            runFork(Fiber.interruptFork(fiber))
          })
        })
        server.on("clientError", (_, socket) => socket.destroy())
        server.on("error", (cause) => resume(Effect.fail(serveError(cause))))
        server.listen(options.port, options.host, () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.zipRight(
          Fiber.interruptAll(running),
          Effect.async<void>((resume) => {
            server.close(() => resume(Effect.void))
            server.closeAllConnections()
          })
        )
    )
    const address = server.address()
    const bound = typeof address === "object" && address !== null ? address : undefined
    const port = bound?.port ?? options.port
    const at = (host: string) => new URL(`http://${host.includes(":") ? `[${host}]` : host}:${port}`).origin
    place.origin = at(options.host)
    // The same port under another name, if there is one.
    place.storageOrigin = options.host === "localhost"
      ? at(bound?.address ?? "127.0.0.1")
      : at(LOCAL.has(options.host) ? "localhost" : options.host)
    return { url: place.origin, port }
  })
