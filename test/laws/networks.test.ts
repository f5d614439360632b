/** Laws 4, 7, 9 and 10 on networks as they are: compression, prefixes, limits, proxies, and answers that never end. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Either, Equal, Exit, Fiber, Option, Schema, Stream, TestClock } from "effect"
import { Agents } from "effect-dust/Agents"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as DustAPIError from "effect-dust/DustAPIError"
import * as DustClient from "effect-dust/DustClient"
import * as Files from "effect-dust/Files"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { Search } from "effect-dust/Search"
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib"
import { dust, failure, json, transport } from "../support/http.ts"

const list = Effect.flatMap(Agents, (agents) => agents.list())
const agents = JSON.stringify({ agentConfigurations: [{ sId: "dust", name: "dust" }] })
const encoded = (bytes: Uint8Array, coding: string, init: ResponseInit = {}) =>
  new Response(bytes.slice(), {
    ...init,
    headers: { "content-type": "application/json", "content-encoding": coding, ...init.headers }
  })

const damaged = (bytes: Uint8Array) => bytes.map((byte, index) => index > 12 && index < 30 ? byte ^ 0xff : byte)

describe("Networks: unrequested compression", () => {
  const codings: ReadonlyArray<readonly [string, (text: string) => Uint8Array]> = [
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["gzip", (text) => new TextEncoder().encode(text)]
  ]

  it.effect.each(codings)(
    "reads %s, also where the client has undone it and kept the header",
    ([coding, encode]) =>
      Effect.gen(function*() {
        assert.lengthOf(yield* list, 1)
      }).pipe(Effect.provide(dust(() => encoded(encode(agents), coding)).layer))
  )

  it.effect("reads compressed errors", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.strictEqual(error.type, "workspace_not_found")
    }).pipe(Effect.provide(
      dust(() => encoded(gzipSync(`{"error":{"type":"workspace_not_found","message":"no"}}`), "gzip", { status: 404 }))
        .layer
    )))

  it.effect("names a coding that cannot be undone", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.strictEqual(error._tag, "DustDecodeError")
      assert.include(error.message, "content-encoding br")
    }).pipe(Effect.provide(dust(() => encoded(brotliCompressSync(agents), "br")).layer)))

  it.effect("fails on damaged bytes instead of waiting", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.strictEqual(error.type, "unreadable_encoding")
    }).pipe(Effect.provide(dust(() => encoded(damaged(gzipSync(agents)), "gzip")).layer)))
})

describe("Networks: bytes", () => {
  const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0))
  const utf16 = (text: string) => new Uint8Array(Uint16Array.from(`\ufeff${text}`, (char) => char.charCodeAt(0)).buffer)
  const équipe = JSON.stringify({ agentConfigurations: [{ sId: "dust", name: "Équipe" }] })
  const declared: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["utf-8", new TextEncoder().encode(équipe)],
    ["iso-8859-1", latin1(équipe)],
    ["utf-16le", utf16(équipe)],
    ["iso-8859-1, which is not so", new TextEncoder().encode(équipe)],
    ["nonsense", new TextEncoder().encode(équipe)]
  ]

  it.effect.each(declared)("reads an answer that is declared as %s", ([charset, bytes]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* list)[0]?.name, "Équipe")
    }).pipe(Effect.provide(
      dust(() => new Response(bytes.slice(), { headers: { "content-type": `application/json; charset=${charset}` } }))
        .layer
    )))

  // On the clock of the machine: bytes are decompressed on a thread that no clock of a test waits for.
  it.live("a compressed answer that ends early is asked for again", () => {
    const bytes = gzipSync(agents)
    const { layer, requests } = dust(({ nth }) => encoded(nth === 1 ? bytes.subarray(0, -12) : bytes, "gzip"), {
      retry: RetryPolicy.make({ base: "1 millis" })
    })
    return Effect.gen(function*() {
      assert.lengthOf(yield* list, 1)
      assert.lengthOf(requests, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("names compression that no header declares", () =>
    Effect.gen(function*() {
      assert.include((yield* Effect.flip(list)).message, "gzip without a content-encoding")
    }).pipe(Effect.provide(
      dust(() => new Response(gzipSync(agents).slice(), { headers: { "content-type": "application/json" } })).layer
    )))
})

describe("Networks: answers that are too much", () => {
  it.effect("an answer over maxResponseSize fails once, also where it is small before decompression", () => {
    const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024))
    const { layer, requests } = dust(() => encoded(bomb, "gzip"), { maxResponseSize: 1024 * 1024 })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.strictEqual(error.type, "response_too_large")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an announced length over maxResponseSize fails before the body is read", () => {
    const { layer, requests } = dust(
      () => new Response("{}", { headers: { "content-length": "2000", "content-type": "application/json" } }),
      { maxResponseSize: 1000 }
    )
    return Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(list)).type, "response_too_large")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  const Thing = DustClient.operation({
    name: "Probe.thing",
    http: "GET",
    route: "/api/v1/w/{workspaceId}/thing",
    response: Schema.Struct({ sId: Schema.String })
  })

  for (const depth of [3_000, 100_000]) {
    it.effect(`JSON nested ${depth} deep is a typed error`, () =>
      Effect.gen(function*() {
        const client = yield* DustClient.DustClient
        const exit = yield* Effect.exit(client.execute(Thing, {}))
        assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause))
      }).pipe(Effect.provide(
        dust(() =>
          new Response("[".repeat(depth) + "]".repeat(depth), { headers: { "content-type": "application/json" } })
        ).layer
      )))
  }
})

describe("Networks: lists that do not advance", () => {
  it.effect("a cursor that returns is an error", () => {
    const { layer, requests } = dust(({ url }) =>
      url.pathname.endsWith("/spaces")
        ? json({ spaces: [{ sId: "s", name: "S", kind: "global" }] })
        : json({ nodes: [], nextPageCursor: "again" })
    )
    return Effect.gen(function*() {
      const search = yield* Search
      const error = yield* Effect.flip(Stream.runDrain(search.streamNodes({ query: "roadmap" })))
      assert.strictEqual(error.type, "list_not_advancing")
      assert.isBelow(requests.length, 5)
    }).pipe(Effect.provide(layer))
  })

  it.effect("messages: a page that leads to itself is an error", () => {
    const { layer, requests } = dust(() =>
      json({ conversation: { sId: "c", created: 1, content: [] }, hasMore: true, lastValue: 7 })
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const error = yield* Effect.flip(Stream.runDrain(conversations.streamMessages({ conversationId: "c" })))
      assert.strictEqual(error.type, "list_not_advancing")
      assert.lengthOf(requests, 2)
    }).pipe(Effect.provide(layer))
  })
})

describe("Networks: what failures say", () => {
  it.effect("a closed client is final", () => {
    const { layer, requests } = dust((request) => transport(request, "UND_ERR_DESTROYED"))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "scope")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  const messages: ReadonlyArray<readonly [string, string, string | undefined, boolean]> = [
    [
      "a handshake that is cut off",
      "Client network socket disconnected before secure TLS connection was established",
      "ECONNRESET",
      false
    ],
    ["a tunnel that is refused", "Proxy response (502) !== 200 when HTTP Tunneling", "UND_ERR_ABORTED", false],
    ["a reset", "read ECONNRESET", "ECONNRESET", true],
    [
      "a stream of HTTP/2 that the server refuses",
      "Stream closed with error code NGHTTP2_REFUSED_STREAM",
      "ERR_HTTP2_STREAM_ERROR",
      false
    ],
    [
      "a stream of HTTP/2 that the server breaks off",
      "Stream closed with error code NGHTTP2_INTERNAL_ERROR",
      "ERR_HTTP2_STREAM_ERROR",
      true
    ],
    [
      "a session of HTTP/2 that takes no more",
      "New streams cannot be created after receiving a GOAWAY",
      "ERR_HTTP2_GOAWAY_SESSION",
      false
    ],
    ["a process without descriptors", "connect EMFILE", "EMFILE", false]
  ]

  it.effect.each(messages)("%s: whether the request was sent is decided by its phase", ([, message, code, reached]) => {
    const { layer } = dust((request) => transport(request, code, message), { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.isTrue(error._tag === "DustNetworkError" && error.reachedServer === reached)
    }).pipe(Effect.provide(layer))
  })

  it.effect.each(["99999999999999999999", "9".repeat(400)])(
    "a Retry-After of %s is the error's, and finite",
    (value) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(list)
        assert.isTrue(error.retryAfter !== undefined && Duration.isFinite(error.retryAfter))
        assert.strictEqual(error.attempts, 1)
      }).pipe(Effect.provide(dust(() => failure(429, undefined, "", { "retry-after": value })).layer))
  )

  it.effect("a Retry-After as a date counts from the time of the answer, also behind a cache", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(40))
    }).pipe(Effect.provide(
      dust(() =>
        failure(503, undefined, "", {
          date: "Wed, 21 Oct 2026 07:28:00 GMT",
          age: "20",
          "retry-after": "Wed, 21 Oct 2026 07:29:00 GMT"
        }), { retry: RetryPolicy.none }).layer
    )))

  it.effect("407 is the proxy's", () =>
    Effect.gen(function*() {
      assert.include((yield* Effect.flip(list)).message, "a proxy on the way")
    }).pipe(Effect.provide(dust(() => new Response("", { status: 407 })).layer)))

  it.effect("a credential that comes back as a request id is not repeated", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.notInclude(JSON.stringify(error) + error.message + error.stack, "sk-verysecretkey")
      assert.include(error.requestId, "<redacted>")
    }).pipe(Effect.provide(
      dust(({ headers }) => failure(404, "x", "no", { "x-request-id": headers["authorization"] ?? "" })).layer
    )))

  it.effect("does not repeat emitted text, even if only its beginning is replayed", () => {
    const content = "My salary is 4,200 euros and nobody else may know about it."
    const { layer } = dust(({ body, url }) =>
      url.pathname.endsWith("/messages")
        ? failure(400, "invalid_request_error", `Cannot send "${content.slice(0, 40)}…": ${body}`)
        : json({ conversation: { sId: "c", created: 1, content: [] } })
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const error = yield* Effect.flip(
        conversations.createMessage({ conversationId: "c", content, mentions: [{ configurationId: "echo" }] })
      )
      assert.notInclude(JSON.stringify(error) + error.message, "salary")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a message that was replaced is a conflict, and not asked for again", () => {
    const { layer, requests } = dust(() => failure(500, "message_outdated"))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.strictEqual(error._tag, "DustConflictError")
      assert.isFalse(error.isRetryable)
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("equal failures are Equal, and stay so through a queue", () =>
    Effect.gen(function*() {
      const failed = Effect.flip(list)
      const [one, two] = yield* Effect.all([failed, failed])
      assert.isTrue(Equal.equals(one, two))
      const wire = JSON.parse(JSON.stringify(yield* Schema.encode(DustAPIError.DustAPIError)(one)))
      assert.isTrue(Equal.equals(one, yield* Schema.decodeUnknown(DustAPIError.DustAPIError)(wire)))
    }).pipe(Effect.provide(dust(() => failure(404, "x", "no", {}, { deep: { er: [1, 2] } })).layer)))

  it.effect("isDustAPIError and find see through what runPromise rejects with", () =>
    Effect.gen(function*() {
      const rejection = yield* Effect.promise(() =>
        Effect.runPromise(Effect.provide(list, dust(() => failure(404, "gone")).layer)).catch((error: unknown) => error)
      )
      assert.isTrue(DustAPIError.isDustAPIError(rejection) && rejection.type === "gone" && rejection.status === 404)
      assert.isTrue(Option.isSome(DustAPIError.find(rejection)))
      assert.isFalse(DustAPIError.isDustAPIError(new Error("other")))
    }))

  it.effect("a failing send shows the caller's line, although its requests are made later", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const exit = yield* Effect.exit(
        conversations.createMessage({
          conversationId: "c",
          content: "Hello",
          mentions: [{ configurationId: "echo" }]
        })
      )
      const pretty = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.match(pretty, /\(.*networks\.test\.ts:\d+:\d+\)/)
    }).pipe(Effect.provide(dust(() => failure(404, "conversation_not_found")).layer)))

  it.effect("a failing call shows the caller's line, and no frame of the SDK", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const exit = yield* Effect.exit(conversations.get("nope"))
      assert.isTrue(Exit.isFailure(exit))
      const pretty = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.match(pretty, /at Conversations\.get \(.*networks\.test\.ts:\d+:\d+\)/)
      assert.notMatch(pretty, /\/src\//)
    }).pipe(Effect.provide(dust(() => failure(404, "conversation_not_found")).layer)))

  const shown = <A, E, R>(failing: Effect.Effect<A, E, R>) =>
    Effect.map(
      Effect.exit(Effect.withSpan(failing, "handler")),
      (exit) => Exit.isFailure(exit) ? Cause.pretty(exit.cause).split("\n").slice(1) : []
    )

  it.effect("a failing call shows the caller's line once, above the caller's spans", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const agents = yield* Agents
      const chat = yield* Chat
      const calls = {
        "Conversations.get": conversations.get("nope"),
        "Agents.list": agents.list(),
        "Conversations.messageEvents": Stream.runDrain(
          conversations.messageEvents({ conversationId: "nope", messageId: "nope" })
        ),
        "Conversations.create": Stream.runDrain(chat.stream({ agent: "dust", message: "hello" })),
        "Chat.send": chat.send({ agent: "", message: "hello" })
      }
      for (const [name, call] of Object.entries<Effect.Effect<unknown, unknown>>(calls)) {
        const lines = yield* shown(call)
        assert.include(lines[0], `at ${name} (`)
        assert.lengthOf(
          lines.filter((line) => /networks\.test\.ts/.test(line) && !line.includes("at handler")),
          1,
          name
        )
        if (name !== "Chat.send") assert.include(lines.at(-1), "at handler (")
      }
    }).pipe(Effect.provide(dust(() => failure(403, "app_auth_error")).layer)))

  it.effect("a failure can be sent to a worker", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.withSpan(Effect.flatMap(Agents, (agents) => agents.list()), "work"))
      assert.strictEqual(structuredClone(error).message, error.message)
    }).pipe(Effect.provide(dust(() => failure(403, "app_auth_error")).layer)))
})

describe("Networks: addresses", () => {
  const privates = [
    "https://169.254.169.254/latest",
    "https://10.0.0.1/x",
    "https://192.168.1.1/x",
    "https://[::1]/x",
    "https://metadata.google.internal/x",
    "https://metadata.google.internal./x",
    "https://localhost./x",
    "https://127.1/x",
    "https://0x7f000001/x",
    "https://[::ffff:10.0.0.1]/x"
  ]

  it.effect.each(privates)("a download is not sent to %s", (location) => {
    const { layer, requests } = dust(() => new Response(null, { status: 302, headers: { location } }))
    return Effect.gen(function*() {
      const files = yield* Files.Files
      assert.strictEqual((yield* Effect.flip(files.downloadBytes({ fileId: "f" }))).type, "redirect_refused")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a moved stream keeps the path prefix of the base URL, and the move is remembered", () => {
    const { layer, requests } = dust(({ url }) => {
      if (!url.pathname.startsWith("/gateway/")) return new Response("<html>", { status: 404 })
      return url.pathname.includes("/api/v1/")
        ? new Response(null, { status: 307, headers: { location: url.pathname.replace("/gateway/api/", "/api/sse/") } })
        : new Response("data: done\n\n", { headers: { "content-type": "text/event-stream" } })
    }, { baseUrl: "https://dust.example/gateway" })
    const events = DustClient.operation({
      name: "Probe.events",
      http: "GET",
      route: "/api/v1/w/{workspaceId}/events",
      response: Schema.Unknown
    })
    const open = Effect.flatMap(
      DustClient.DustClient,
      (client) => Effect.scoped(client.open(events, {}, { accept: "text/event-stream" }))
    )
    return Effect.gen(function*() {
      yield* open
      yield* open
      assert.deepStrictEqual(requests.map(({ url }) => url.pathname), [
        "/gateway/api/v1/w/ws1/events",
        "/gateway/api/sse/v1/w/ws1/events",
        "/gateway/api/sse/v1/w/ws1/events"
      ])
    }).pipe(Effect.provide(layer))
  })
})

describe("Networks: limits", () => {
  it.effect("a rate limit without Retry-After is waited for", () => {
    const { layer, requests } = dust(({ nth }) => nth < 3 ? failure(429, "rate_limit_error") : json({}))
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.either(list))
      yield* TestClock.adjust("14 seconds")
      assert.lengthOf(requests, 1)
      yield* TestClock.adjust("5 seconds")
      assert.lengthOf(requests, 2)
      yield* TestClock.adjust("40 seconds")
      yield* Fiber.join(fiber)
      assert.lengthOf(requests, 3)
    }).pipe(Effect.provide(layer))
  })

  const regions: ReadonlyArray<readonly [string, (self: typeof list) => Effect.Effect<unknown, unknown, Agents>]> = [
    ["an acquisition", (self) => Effect.scoped(Effect.acquireRelease(self, () => Effect.void))],
    ["a finalizer", (self) => Effect.ensuring(Effect.void, Effect.orDie(self))],
    ["an uninterruptible region", Effect.uninterruptible]
  ]

  it.effect.each(regions)("limits hold in %s", ([, inside]) => {
    const { layer } = dust(() => Effect.never, { timeouts: { headers: "2 seconds" }, retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.exit(inside(list)))
      yield* TestClock.adjust("2 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("no response within 2s"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a total limit bounds a download that drips, also in an uninterruptible region", () => {
    let left = false
    const { layer } = dust(
      () =>
        new Response(
          new ReadableStream({
            cancel: () => {
              left = true
            },
            pull: (controller) =>
              new Promise<void>((resolve) =>
                setTimeout(() => {
                  if (!left) controller.enqueue(new Uint8Array(1))
                  resolve()
                }, 5)
              )
          })
        ),
      { timeouts: { total: "5 seconds" } }
    )
    return Effect.gen(function*() {
      const files = yield* Files.Files
      const fiber = yield* Effect.fork(Effect.either(Effect.uninterruptible(files.viewText({ fileId: "f" }))))
      yield* TestClock.adjust("5 seconds")
      const answer = yield* Fiber.join(fiber)
      assert.isTrue(Either.isLeft(answer) && answer.left._tag === "DustTimeoutError" && answer.left.phase === "total")
    }).pipe(Effect.provide(layer))
  })

  it.effect("findByName: a name typed on a Mac is found", () =>
    Effect.gen(function*() {
      const agents = yield* Agents
      assert.strictEqual((yield* agents.findByName("Re\u0301sume\u0301")).sId, "cv")
    }).pipe(Effect.provide(
      dust(() => json({ agentConfigurations: [{ sId: "cv", name: "R\u00e9sum\u00e9" }] })).layer
    )))
})
