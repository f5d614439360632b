/** The request path over real sockets. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, Schema, Stream, TestClock, TestServices } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustClientModule from "effect-dust/DustClient"
import { DustClient, operation } from "effect-dust/DustClient"
import type * as DustConfig from "effect-dust/DustConfig"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import dns from "node:dns"
import { secretKey, serve, type Server } from "../support/http.ts"

const Ok = Schema.Struct({ ok: Schema.Boolean })
const read = operation({ name: "Probe.read", http: "GET", route: "/read/{id}", response: Ok })
const write = operation({ name: "Probe.write", http: "POST", route: "/write", response: Ok })

const doRead = Effect.flatMap(DustClient, (client) => client.execute(read, { path: { id: "1" } }))
const doWrite = Effect.flatMap(DustClient, (client) => client.execute(write, {}))

const clients: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici]
]

const over = (
  http: Layer.Layer<HttpClient.HttpClient>,
  baseUrl: string,
  options: Partial<Omit<DustConfig.ApiKeyOptions, "accessToken">> = {}
) =>
  Dust.layer({
    workspaceId: "ws1",
    apiKey: Redacted.make(secretKey),
    baseUrl,
    retry: RetryPolicy.none,
    headers: { "x-extra": "extra-secret" },
    ...options
  }).pipe(Layer.provide(http), Layer.orDie)

const arrived = (server: Server, count = 1) =>
  Effect.gen(function*() {
    while (server.seen.length < count) yield* Effect.sleep(2)
  })

/** No server here hangs up by itself, and no limit that is left to its default comes before the end of the test. */
const closed = (server: Server) =>
  Effect.gen(function*() {
    while (server.closed === 0) yield* Effect.sleep(2)
  })

/** Until the scope closes, no name is known, without asking a name server: that of the machine may take longer than a connection. */
const withoutNames = Effect.acquireRelease(
  Effect.sync(() => {
    const { lookup } = dns
    dns.lookup = ((hostname: string, _: unknown, callback: (error: Error) => void) => {
      const error = new Error(`getaddrinfo ENOTFOUND ${hostname}`)
      setImmediate(callback, Object.assign(error, { code: "ENOTFOUND", syscall: "getaddrinfo", hostname }))
    }) as typeof lookup
    return lookup
  }),
  (lookup) =>
    Effect.sync(() => {
      dns.lookup = lookup
    })
)

for (const [name, http] of clients) {
  describe(`over ${name}`, () => {
    it.live("Secrets stay: a redirect to another origin is refused, and nothing arrives there", () =>
      Effect.gen(function*() {
        const other = yield* serve((_, response) => response.end("{\"ok\":true}"))
        const dust = yield* serve((_, response) => response.writeHead(302, { location: `${other.url}/steal` }).end())
        for (const call of [doRead, doWrite]) {
          const error = yield* Effect.flip(call).pipe(Effect.provide(over(http, dust.url)))
          assert.deepStrictEqual([error._tag, error.type], ["DustBadRequestError", "redirect_refused"])
          assert.include(error.message, other.url)
        }
        const download = Effect.flatMap(
          Conversations,
          (conversations) => Stream.runDrain(conversations.downloadFile({ conversationId: "c", path: "a" }))
        )
        const error = yield* Effect.flip(download).pipe(Effect.provide(over(http, dust.url)))
        assert.strictEqual(error.type, "redirect_refused")
        assert.deepStrictEqual(other.seen, [])
        assert.lengthOf(dust.seen, 3)
        assert.strictEqual(dust.seen[0]?.headers.authorization, `Bearer ${secretKey}`)
      }).pipe(Effect.scoped))

    it.live("a redirect on the same origin is followed, with the credential", () =>
      Effect.gen(function*() {
        const dust = yield* serve((request, response) =>
          request.url === "/there"
            ? response.end("{\"ok\":true}")
            : response.writeHead(307, { location: "/there" }).end()
        )
        assert.deepStrictEqual(yield* doWrite.pipe(Effect.provide(over(http, dust.url))), { ok: true })
        assert.deepStrictEqual(dust.seen.map(({ headers }) => headers["x-extra"]), ["extra-secret", "extra-secret"])
        assert.strictEqual(dust.seen[1]?.headers.authorization, `Bearer ${secretKey}`)
      }).pipe(Effect.scoped))

    it.live("Stopping stops: the connection is closed, before the headers and within the body", () =>
      Effect.gen(function*() {
        for (const body of [undefined, "{\"ok\""]) {
          const dust = yield* serve((_, response) => {
            if (body !== undefined) response.writeHead(200, { "content-type": "application/json" }).write(body)
          })
          const fiber = yield* Effect.fork(doRead.pipe(
            DustClientModule.withOptions({ timeouts: { headers: "1 hour", body: "1 hour" } }),
            Effect.provide(over(http, dust.url))
          ))
          yield* arrived(dust)
          yield* Effect.sleep(30)
          assert.strictEqual(dust.closed, 0)
          yield* Fiber.interrupt(fiber)
          yield* closed(dust)
        }
      }).pipe(Effect.scoped))

    it.effect("Stopping stops: a limit closes the connection, too", () =>
      Effect.gen(function*() {
        const dust = yield* serve(() => undefined)
        const fiber = yield* Effect.flip(doRead).pipe(
          DustClientModule.withOptions({ timeouts: { headers: "1 minute" } }),
          Effect.provide(over(http, dust.url)),
          Effect.fork
        )
        // A limit that came before the connection was made would leave nothing to close.
        yield* TestServices.provideLive(arrived(dust))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "DustTimeoutError")
        yield* TestServices.provideLive(closed(dust))
      }).pipe(Effect.scoped))

    it.effect("Stopping stops: a pause between attempts ends at once, and nothing comes after it", () =>
      Effect.gen(function*() {
        const dust = yield* serve((_, response) => response.writeHead(503).end("{}"))
        const fiber = yield* Effect.fork(
          doRead.pipe(Effect.provide(over(http, dust.url, { retry: RetryPolicy.make({ base: "10 seconds" }) })))
        )
        yield* TestServices.provideLive(Effect.zipRight(arrived(dust), Effect.sleep(40)))
        // No time passes here: a call that waited for the end of the pause would wait forever.
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 hour")
        yield* TestServices.provideLive(Effect.sleep(100))
        assert.lengthOf(dust.seen, 1)
      }).pipe(Effect.scoped))

    it.live("a body that breaks off is a network error, not one of decoding", () =>
      Effect.gen(function*() {
        const dust = yield* serve((_, response) => {
          response.writeHead(200, { "content-type": "application/json", "content-length": "100" })
          response.write("{\"ok\":true}")
          setTimeout(() => response.socket?.destroy(), 20)
        })
        const error = yield* Effect.flip(doRead).pipe(Effect.provide(over(http, dust.url)))
        if (error._tag !== "DustNetworkError") return assert.fail(error._tag)
        assert.isTrue(error.reachedServer)
        assert.include(error.message, "the connection closed before the end of the response")
      }).pipe(Effect.scoped))

    it.live("a connection that is reset may have reached the server", () =>
      Effect.gen(function*() {
        const dust = yield* serve((request) => request.socket.resetAndDestroy())
        const error = yield* Effect.flip(doWrite).pipe(Effect.provide(over(http, dust.url)))
        assert.isTrue(error._tag === "DustNetworkError" && error.reachedServer)
      }).pipe(Effect.scoped))

    it.live("a dead host and an unknown one yield different messages, with a remedy", () =>
      Effect.gen(function*() {
        const gone = yield* Effect.scoped(Effect.map(serve(() => undefined), ({ url }) => url))
        const dead = yield* Effect.flip(doWrite).pipe(Effect.provide(over(http, gone)))
        if (dead._tag !== "DustNetworkError") return assert.fail(dead._tag)
        assert.isFalse(dead.reachedServer)
        assert.strictEqual(dead.type, "ECONNREFUSED")
        assert.match(dead.message, new RegExp(`nothing is listening at ${gone}; check \`baseUrl\``))
        yield* withoutNames
        const unknown = yield* Effect.flip(doWrite).pipe(
          Effect.provide(over(http, "http://no-such-host.invalid"))
        )
        if (unknown._tag !== "DustNetworkError") return assert.fail(unknown._tag)
        assert.isFalse(unknown.reachedServer)
        assert.match(unknown.message, /no-such-host\.invalid cannot be resolved; check `baseUrl`/)
      }).pipe(Effect.scoped))

    it.live("a host that speaks something else is a typed error", () =>
      Effect.gen(function*() {
        const page = yield* serve((_, response) =>
          response.writeHead(200, { "content-type": "text/html" }).end("<html>Welcome to nginx</html>")
        )
        const error = yield* Effect.flip(doRead).pipe(Effect.provide(over(http, page.url)))
        assert.strictEqual(error._tag, "DustDecodeError")
        assert.include(error.message, "check that `baseUrl`")
        // TLS to a plain port.
        const tls = yield* Effect.flip(doWrite).pipe(
          Effect.provide(over(http, page.url.replace("http:", "https:")))
        )
        assert.strictEqual(tls._tag, "DustNetworkError")
      }).pipe(Effect.scoped))

    it.live("a whole conversation against Local Dust on a port", () =>
      Effect.gen(function*() {
        const conversations = yield* Conversations
        const { sId } = yield* conversations.create({ title: "Wire" })
        const { agentMessages } = yield* conversations.createMessage({
          conversationId: sId,
          content: "Hello",
          mentions: [{ configurationId: "echo" }],
          blocking: true
        })
        assert.deepStrictEqual(agentMessages.map(({ content, status }) => [status, content]), [["succeeded", "Hello"]])
        assert.lengthOf(yield* conversations.listMessages(sId), 2)
      }).pipe(Effect.provide(DustTest.layerServe().pipe(Layer.provide(http)))))
  })
}

describe("over fetch", () => {
  it.live("keeps what the application asked of fetch, except that it follows no redirect by itself", () => {
    const seen: Array<RequestInit | undefined> = []
    const Fetch = Layer.succeed(FetchHttpClient.Fetch, (_, init) => {
      seen.push(init)
      return Promise.resolve(new Response("{\"ok\":true}"))
    })
    return Effect.gen(function*() {
      yield* doRead.pipe(
        Effect.provideService(FetchHttpClient.RequestInit, { credentials: "omit", redirect: "follow" })
      )
      assert.deepInclude(seen[0], { credentials: "omit", redirect: "manual" })
    }).pipe(Effect.provide(over(FetchHttpClient.layer.pipe(Layer.provide(Fetch)), "http://dust.example")))
  })
})
