/** HttpClients that record what they are asked, and servers on loopback that do what a test wants. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Clock, Effect, Layer, Redacted } from "effect"
import * as Dust from "effect-dust/Dust"
import type * as DustConfig from "effect-dust/DustConfig"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"

export interface Recorded {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** By Effect's clock. */
  readonly at: number
  readonly request: HttpClientRequest.HttpClientRequest
  /** 1, 2, 3, … */
  readonly nth: number
}

export type Answer = Response | Effect.Effect<Response, HttpClientError.HttpClientError>

export const json = (value: unknown, init: ResponseInit = {}): Response =>
  new Response(JSON.stringify(value), { ...init, headers: { "content-type": "application/json", ...init.headers } })

export const failure = (
  status: number,
  type: string | undefined,
  message = "said the server",
  headers: Record<string, string> = {},
  extra: object = {}
): Response => json({ error: { type, message, ...extra } }, { status, headers })

export const transport = (recorded: Recorded, code: string | undefined, message = "fetch failed") =>
  Effect.fail(
    new HttpClientError.RequestError({
      request: recorded.request,
      reason: "Transport",
      cause: Object.assign(new TypeError(message), {
        cause: code === undefined ? undefined : Object.assign(new Error(code), { code })
      })
    })
  )

const bodyOf = (request: HttpClientRequest.HttpClientRequest): string | undefined => {
  switch (request.body._tag) {
    case "Uint8Array":
      return new TextDecoder().decode(request.body.body)
    case "Raw":
      return typeof request.body.body === "string" ? request.body.body : undefined
    default:
      return undefined
  }
}

export const secretKey = "sk-verysecretkey"

export const recorder = (handler: (request: Recorded) => Answer) => {
  const requests: Array<Recorded> = []
  const client = HttpClient.make((request, url) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => {
      const recorded: Recorded = {
        method: request.method,
        url,
        headers: request.headers,
        body: bodyOf(request),
        at,
        request,
        nth: requests.length + 1
      }
      requests.push(recorded)
      const answer = handler(recorded)
      return Effect.map(
        answer instanceof Response ? Effect.succeed(answer) : answer,
        (response) => HttpClientResponse.fromWeb(request, response)
      )
    })
  )
  return { requests, client, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

export const defaults: DustConfig.ApiKeyOptions = {
  workspaceId: "ws1",
  baseUrl: "https://dust.example",
  apiKey: Redacted.make(secretKey)
}

/** Every service over a recording client. */
export const dust = (
  handler: (request: Recorded) => Answer,
  options: Partial<Omit<DustConfig.ApiKeyOptions, "accessToken">> = {}
) => {
  const recorded = recorder(handler)
  return {
    requests: recorded.requests,
    layer: Dust.layer({ ...defaults, ...options }).pipe(Layer.provide(recorded.layer), Layer.orDie)
  }
}

/** The same with a user's token. */
export const dustUser = (
  handler: (request: Recorded) => Answer,
  options: Omit<Partial<DustConfig.AccessTokenOptions>, "apiKey"> = {}
) => {
  const recorded = recorder(handler)
  return {
    requests: recorded.requests,
    layer: Dust.layer({
      workspaceId: "ws1",
      baseUrl: "https://dust.example",
      accessToken: Redacted.make("user.access.token"),
      ...options
    }).pipe(Layer.provide(recorded.layer), Layer.orDie)
  }
}

export interface Server {
  readonly url: string
  readonly port: number
  /** How many requests there were whose client went away before the answer was complete. */
  readonly closed: number
  readonly seen: ReadonlyArray<{ readonly url: string; readonly headers: Http.IncomingHttpHeaders }>
}

/** A server on loopback, until the scope closes. */
export const serve = (handler: (request: Http.IncomingMessage, response: Http.ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.async<Server & { readonly server: Http.Server; readonly sockets: Set<Socket> }>((resume) => {
      let closed = 0
      const seen: Array<{ readonly url: string; readonly headers: Http.IncomingHttpHeaders }> = []
      const sockets = new Set<Socket>()
      const server = Http.createServer((request, response) => {
        seen.push({ url: request.url ?? "", headers: request.headers })
        response.on("close", () => {
          if (!response.writableFinished) closed++
        })
        handler(request, response)
      })
      server.on("connection", (socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}`,
          port,
          get closed() {
            return closed
          },
          seen,
          server,
          sockets
        }))
      })
    }),
    ({ server, sockets }) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
