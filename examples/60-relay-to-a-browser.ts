/** A server that relays answers, and a page that loses its connection and resumes. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Layer, Option, Redacted, Schema, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as DustClient from "effect-dust/DustClient"
import { createServer } from "node:http"
import { done, dust, write } from "./support.ts"

/** Uses the token of the request's user, if there is one. */
const asUser = <A, E, R>(route: Effect.Effect<A, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
    const token = headers["x-user-token"]
    return token === undefined ? route : DustClient.withCredential(route, { accessToken: Redacted.make(token) })
  })

const ask = Effect.gen(function*() {
  const chat = yield* Chat
  const { question } = yield* HttpServerRequest.schemaBodyJson(Schema.Struct({ question: Schema.String }))
  return yield* ChatRelay.toHttpServerResponse(chat.stream({ agent: "slow", message: question, onInterrupt: "leave" }))
})

const events = Effect.gen(function*() {
  const chat = yield* Chat
  const place = ChatRelay.placeOf((yield* HttpRouter.params)["id"] ?? "")
  return Option.isNone(place)
    ? HttpServerResponse.empty({ status: 400 })
    : yield* ChatRelay.toHttpServerResponse(chat.resume({ ...place.value, onInterrupt: "leave" }))
})

// On SIGTERM layers close in reverse order: first the server with its answers, then the SDK and its connections.
const server = HttpRouter.empty.pipe(
  HttpRouter.post("/ask", asUser(ask)),
  HttpRouter.get("/events/:id", asUser(events)),
  HttpServer.serve(),
  Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
  Layer.provide(dust)
)

const page = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const url = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
  // The connection is lost after the first word.
  const connection = new AbortController()
  yield* ChatRelay.subscribe(async (id, signal) => {
    if (id !== undefined) {
      process.stdout.write("…the connection was lost…")
      return fetch(`${url}/events/${encodeURIComponent(id)}`, { signal })
    }
    signal.addEventListener("abort", () => connection.abort())
    return fetch(`${url}/ask`, { method: "POST", body: `{"question":"Take your time"}`, signal: connection.signal })
  }).pipe(
    Stream.runForEach((event) =>
      event._tag === "TextDelta"
        ? Effect.zipRight(write(event.text), Effect.sync(() => connection.abort()))
        : event._tag === "Done"
        ? done(event.reply.text)
        : Effect.void
    )
  )
})

page.pipe(Effect.provide(server), NodeRuntime.runMain)
