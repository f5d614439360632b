/**
 * The chat routes as one function from `Request` to `Response`. Next exports it; Hono, Bun and Deno serve it directly;
 * node:http and Express need the twenty lines of `toNode`.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Effect, Layer, ManagedRuntime } from "effect"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import * as DustTest from "effect-dust/DustTest"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { Readable } from "node:stream"
import type { ReadableStream as WebStream } from "node:stream/web"

// In your application: Dust.layerEnv instead of DustTest.layerServe().
const runtime = ManagedRuntime.make(
  ChatRelay.layerShutdown().pipe(Layer.provideMerge(DustTest.layerServe()), Layer.provide(FetchHttpClient.layer))
)

/** Next: `export { handler as GET, handler as POST }`. Bun: `Bun.serve({ fetch: handler })`. Deno: `Deno.serve(handler)`. */
const handler = ChatRoutes.toWebHandler(runtime, {
  path: "/chat",
  agents: ["echo"],
  credential: () => Effect.succeed({ accessToken: DustTest.credentials.userToken })
})

/** For node:http, and as `app.use` of Express. A page that disconnects closes the response and the relay. */
const toNode =
  (handler: (request: Request) => Promise<Response>) => (message: IncomingMessage, response: ServerResponse) => {
    const left = new AbortController()
    response.on("close", () => left.abort())
    const headers = new Headers()
    for (const [name, value] of Object.entries(message.headers)) headers.set(name, String(value))
    const init: RequestInit & { duplex: "half" } = {
      method: message.method ?? "GET",
      headers,
      signal: left.signal,
      duplex: "half"
    }
    if (message.method !== "GET" && message.method !== "HEAD") init.body = Readable.toWeb(message) as ReadableStream
    handler(new Request(`http://${message.headers.host}${message.url}`, init)).then(({ body, headers, status }) => {
      response.writeHead(status, Object.fromEntries(headers)).flushHeaders()
      if (body === null) return response.end()
      return Readable.fromWeb(body as WebStream).on("error", () => response.destroy()).pipe(response)
    }, () => response.destroy())
  }

const server = createServer(toNode(handler))
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const address = server.address()
const port = typeof address === "object" ? address?.port : undefined

// The requests of the page.
const chat = ChatRelayClient.make({ url: `http://127.0.0.1:${port}/chat` })
const { id } = await chat.ask({ message: "Hello over node:http" })
for await (const event of chat.follow({ id })) if (event._tag === "Done") console.log(event.reply.text)

server.close()
await runtime.dispose()
console.log("closed")
