/** What a hostile value, a hostile server or a curious logger can and cannot get. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Effect,
  Exit,
  FastCheck as fc,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Redacted,
  Schema,
  Stream,
  TestClock,
  Tracer
} from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import { DustAPIError } from "effect-dust/DustAPIError"
import { DustClient, operation, withOptions } from "effect-dust/DustClient"
import { DustConfig } from "effect-dust/DustConfig"
import * as DustTest from "effect-dust/DustTest"
import * as Governor from "effect-dust/Governor"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { inspect } from "node:util"
import { type Answer, dust, dustUser, failure, json, type Recorded, secretKey, transport } from "../support/http.ts"
import { seed } from "../support/seed.ts"

const read = operation({
  name: "Probe.read",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/things/{thingId}/parts",
  response: Schema.Struct({ ok: Schema.Boolean })
})

const readThing = (thingId: string) =>
  Effect.flatMap(DustClient, (client) => client.execute(read, { path: { thingId } }))

const shapes = (value: unknown): string =>
  [
    inspect(value, { depth: 20, showHidden: true }),
    JSON.stringify(value),
    String(value),
    value instanceof Error ? `${value.message}\n${value.stack}\n${inspect(value.cause)}` : ""
  ].join("\n")

const watched = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, cause, message }) => {
    lines.push(inspect([message, [...annotations], Cause.pretty(cause)], { depth: 20 }))
  })
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      lines.push(name)
      return {
        _tag: "Span",
        name,
        spanId: "s",
        traceId: "t",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes: new Map(),
        links: [...links],
        sampled: true,
        kind,
        end: (_, exit) => void lines.push(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""),
        attribute: (key, value) => void lines.push(`${key}=${inspect(value)}`),
        event: (name, _, attributes) => void lines.push(`${name} ${inspect(attributes)}`),
        addLinks: () => undefined
      }
    },
    context: (f) => f()
  })
  return {
    lines,
    layer: Layer.mergeAll(
      Layer.setTracer(tracer),
      Logger.replace(Logger.defaultLogger, logger),
      Logger.minimumLogLevel(LogLevel.All)
    )
  }
}

describe("Secrets stay", () => {
  const extra = "extra-header-secret"
  const answers: ReadonlyArray<readonly [string, (request: Recorded) => Answer]> = [
    ["a success", () => json({ ok: true })],
    ["a refusal", () => failure(401, "invalid_api_key_error")],
    [
      "a refusal that repeats the credential",
      (request) =>
        failure(401, "invalid_api_key_error", `Unknown key ${secretKey}`, {}, { headers: { ...request.headers } })
    ],
    [
      "a page that repeats the request",
      (request) => new Response(`<pre>${JSON.stringify(request.headers)}</pre>`, { status: 502 })
    ],
    ["an answer that cannot be understood", () => json({ ok: secretKey })],
    ["a connection that failed", (request) => transport(request, "ECONNRESET", `failed with Bearer ${secretKey}`)],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { location: `https://evil.example/?k=${secretKey}` } })
    ],
    ["an interruption", () => Effect.never]
  ]

  it.effect.each(answers)("Secrets stay: neither in errors nor in logs and spans: %s", ([, answer]) => {
    const { layer, requests } = dust(answer, { headers: { "x-extra": Redacted.make(extra) }, retry: RetryPolicy.none })
    const { layer: watching, lines } = watched()
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.exit(
        readThing("the-thing-id").pipe(
          withOptions({ headers: { "x-call": "call-header-secret" } }),
          Effect.tapErrorCause((cause) => Effect.logError("failed", cause)),
          Effect.timeout("1 second")
        )
      ))
      yield* TestClock.adjust("2 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.strictEqual(requests[0]?.headers["authorization"], `Bearer ${secretKey}`)
      const text = [
        ...lines,
        shapes(exit),
        Exit.isFailure(exit) ? [...Cause.failures(exit.cause)].map(shapes).join("\n") : "",
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      ].join("\n")
      for (const secret of [secretKey, extra, "call-header-secret"]) assert.notInclude(text, secret)
      // Nor the URL with its path values.
      assert.notInclude(lines.join("\n"), "the-thing-id")
      assert.include(lines.join("\n"), "Probe.read")
    }).pipe(Effect.provide(Layer.mergeAll(layer, watching)))
  })

  it.effect("Secrets stay: not in what the services and the configuration show of themselves", () =>
    Effect.gen(function*() {
      const { layer } = dust(() => json({ ok: true }), { headers: { "x-extra": extra } })
      const context = yield* Effect.scoped(Layer.build(layer))
      for (const service of [Context.get(context, DustConfig), Context.get(context, DustClient)]) {
        const text = shapes(service)
        for (const secret of [secretKey, extra]) assert.notInclude(text, secret)
      }
      const { layer: user } = dustUser(() => json({ ok: true }))
      assert.notInclude(shapes(Context.get(yield* Effect.scoped(Layer.build(user)), DustClient)), "user.access.token")
    }))

  it.effect("Secrets stay: the credential is in no URL and no body", () => {
    const { layer, requests } = dust(() => json({ ok: true }))
    return Effect.gen(function*() {
      yield* readThing("x")
      for (const { body, url } of requests) assert.notInclude(`${url.href}${body ?? ""}`, secretKey)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Secrets stay: what people and agents say is in no log and no span", () => {
    const { layer: watching, lines } = watched()
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const chat = yield* Chat
      const server = yield* DustTest.DustTest
      yield* server.fault({ method: "POST", nth: 2, fault: DustTest.faults.resetAfter() })
      const program = Effect.gen(function*() {
        const reply = yield* chat.send({ agent: "echo", message: "a private question" })
        assert.strictEqual(reply.text, "a private question")
        yield* Stream.runDrain(chat.streamText({ agent: "echo", message: "a private question" }))
        const { sId } = yield* conversations.create({ title: "a private title" })
        yield* Effect.flip(conversations.createMessage({
          conversationId: sId,
          content: "a private question",
          mentions: [{ configurationId: "nobody" }]
        }))
        yield* Effect.flip(conversations.getMessage({ conversationId: sId, messageId: "m" }))
      })
      const fiber = yield* Effect.fork(program)
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
      const text = lines.join("\n")
      assert.include(text, "Conversations.createMessage")
      assert.notInclude(text, "private")
      for (const token of ["sk-local-dust", "Bearer"]) assert.notInclude(text, token)
    }).pipe(Effect.provide(Layer.mergeAll(DustTest.layer(), watching)))
  })

  it.effect("Secrets stay: an agent whose failure quotes the question fails without it", () => {
    const question = "a private question, of some length"
    return Effect.gen(function*() {
      const chat = yield* Chat
      const error = yield* Effect.flip(chat.send({ agent: "failing", message: question }))
      assert.strictEqual(error._tag, "DustAgentError")
      assert.notInclude(`${error.message} ${JSON.stringify(error.details)}`, "private")
      assert.include(error.message, "cannot answer <redacted>: too long")
    }).pipe(
      Effect.provide(DustTest.layer({
        agents: { failing: [DustTest.fail({ code: "model_error", message: `cannot answer ${question}: too long` })] }
      }))
    )
  })

  it.effect("Secrets stay: removed also in escaped form, with a mark in their place", () => {
    const secret = "s\"e/c\\r\té\u00fft"
    const spelled = JSON.stringify(secret)
    const bodies = [
      `<p>no ${secret} here</p>`,
      `{"error":{"type":"x","message":"no ${spelled.slice(1, -1)} here"}}`,
      `{"error":{"type":"x","message":"no ${spelled.slice(1, -1).replaceAll("/", "\\/")} here"}}`,
      `{"error":{"type":"x","message":"no ${
        Array.from(secret, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`).join("")
      } here"}}`,
      // A backslash before it stays one.
      `{"error":{"type":"x","message":"\\\\${secretKey} here"}}`
    ]
    return Effect.forEach(bodies, (body) => {
      const { layer } = dust(() => new Response(body, { status: 403 }), {
        retry: RetryPolicy.none,
        headers: { "x-secret": Redacted.make(secret) }
      })
      return Effect.map(Effect.provide(Effect.flip(readThing("x")), layer), (error) => {
        assert.match(error.message, /(no |\\)<redacted> here/, body)
        assert.match(JSON.stringify(error.details), /(no |\\)<redacted> here/, body)
      })
    })
  })

  it.effect("Secrets stay: an error that goes through JSON has none either", () => {
    const { layer } = dust(() => failure(403, "x", `no ${secretKey}`), { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(readThing("x"))
      const encoded = yield* Schema.encode(DustAPIError)(error)
      assert.notInclude(JSON.stringify(encoded), secretKey)
      assert.include(JSON.stringify(encoded), "<redacted>")
    }).pipe(Effect.provide(layer))
  })
})

/** Unusual ids, and malicious ones. */
const ids = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.string(),
  fc.array(
    fc.constantFrom(
      ".",
      "/",
      "\\",
      "%",
      "2e",
      "%2f",
      "%2e",
      "?",
      "#",
      "@",
      ":",
      ";",
      " ",
      "\t",
      "\r\n",
      "\0",
      "é",
      "\ud800",
      "..",
      "a"
    )
  )
    .map((parts) => parts.join("")),
  fc.constantFrom(
    ".",
    "..",
    "../..",
    "%2e%2e",
    "..%2f..",
    "a/../b",
    "//evil.example",
    "a?admin=1",
    "a#b",
    "{workspaceId}",
    "$&",
    "__proto__",
    "https://evil.example/"
  )
)

const isWellFormed = (text: string): boolean => new TextDecoder().decode(new TextEncoder().encode(text)) === text

describe("Input cannot steer the URL", () => {
  it.effect("Input cannot steer the URL: an id is one segment that reads as the id, or no request at all", () => {
    const { layer, requests } = dust(() => json({ ok: true }))
    return Effect.gen(function*() {
      const context = yield* Layer.build(layer)
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(ids, (id) =>
            Effect.gen(function*() {
              requests.length = 0
              const result = yield* Effect.either(readThing(id))
              if (result._tag === "Left") {
                assert.strictEqual(result.left._tag, "DustBadRequestError")
                assert.include(result.left.message, "thingId")
                assert.lengthOf(requests, 0)
                // Only an ambiguous address is refused.
                assert.isTrue(id.trim() === "" || id === "." || id === ".." || !isWellFormed(id))
                return
              }
              const [request] = requests
              assert.strictEqual(request?.url.origin, "https://dust.example")
              assert.deepStrictEqual([request?.url.search, request?.url.hash], ["", ""])
              const segments = request?.url.pathname.split("/") ?? []
              assert.deepStrictEqual(
                [...segments.slice(0, 6), ...segments.slice(7)],
                ["", "api", "v1", "w", "ws1", "things", "parts"]
              )
              assert.strictEqual(decodeURIComponent(segments[6] ?? ""), id)
            }).pipe(Effect.provide(context), Effect.runPromise)),
          { numRuns: 1000, seed }
        )
      )
    }).pipe(Effect.scoped)
  })

  it.effect("Input cannot steer the URL: a path of several segments stays in its folder", () => {
    const { layer, requests } = dust(() => new Response("x"))
    return Effect.gen(function*() {
      const context = yield* Layer.build(layer)
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(ids, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")), (path) =>
            Effect.gen(function*() {
              requests.length = 0
              const conversations = yield* Conversations
              const result = yield* Effect.either(
                Stream.runDrain(conversations.downloadFile({ conversationId: "c", path }))
              )
              if (result._tag === "Left") {
                assert.strictEqual(result.left._tag, "DustBadRequestError")
                assert.lengthOf(requests, 0)
                return
              }
              const prefix = "/api/v1/w/ws1/assistant/conversations/c/files/"
              const { pathname } = requests[0]!.url
              assert.isTrue(pathname.startsWith(`${prefix}conversation/`))
              const told = pathname.slice(prefix.length).split("/").map(decodeURIComponent).join("/")
              assert.strictEqual(told, path.startsWith("conversation/") ? path : `conversation/${path}`)
            }).pipe(Effect.provide(context), Effect.runPromise)),
          { numRuns: 300, seed }
        )
      )
    }).pipe(Effect.scoped)
  })

  it.live("Input cannot steer the URL: on the wire, too", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const server = yield* DustTest.DustTest
      for (const id of ["a/../../../x", "%2e%2e", "a?limit=1", "a#b", "ä ö", "a\\b"]) {
        yield* server.clearRequests
        const error = yield* Effect.flip(conversations.get(id))
        assert.deepStrictEqual([error._tag, error.type], ["DustNotFoundError", "conversation_not_found"])
        const request = yield* server.lastRequest()
        assert.strictEqual(request.route, "/api/v1/w/:workspaceId/assistant/conversations/:conversationId")
        assert.strictEqual(request.params["conversationId"], id)
        assert.deepStrictEqual(request.query, {})
      }
    }).pipe(Effect.provide(DustTest.layerServe().pipe(Layer.provide(NodeHttpClient.layerUndici)))))
})

describe("Typed, or it did not happen", () => {
  it.effect("Typed, or it did not happen: whatever bytes a server answers, it is a value or a typed error", () => {
    let answer: () => Response = () => new Response("")
    const { layer: governed } = dust(() => answer(), { retry: RetryPolicy.none })
    // A 429 would pause the calls after it.
    const layer = Layer.provide(governed, Governor.layerOff)
    const status = fc.constantFrom(200, 201, 204, 206, 300, 301, 304, 307, 400, 401, 403, 404, 409, 429, 500, 503, 599)
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constantFrom("", "null", "{\"error\":null}", "{\"error\":{\"type\":{}}}")
    )
    const headers = fc.dictionary(
      fc.constantFrom("retry-after", "date", "location", "content-type", "x-request-id"),
      fc.oneof(
        fc.string({ unit: fc.constantFrom(..."abc/:;09 .-") }),
        fc.constantFrom("1e400", "NaN", "-1", "//", "http://")
      )
    )
    return Effect.gen(function*() {
      const context = yield* Layer.build(layer)
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(status, text, headers, (status, text, headers) =>
            Effect.gen(function*() {
              answer = () => new Response(status === 204 || status === 304 ? null : text, { status, headers })
              const conversations = yield* Conversations
              for (
                const call of [
                  Effect.asVoid(readThing("x")),
                  Effect.asVoid(conversations.get("c")),
                  Effect.asVoid(conversations.markRead("c")),
                  Stream.runDrain(conversations.downloadFile({ conversationId: "c", path: "a" }))
                ]
              ) {
                const exit = yield* Effect.exit(call)
                if (Exit.isSuccess(exit)) continue
                assert.isTrue(Cause.isFailType(exit.cause), Cause.pretty(exit.cause))
                const [error] = [...Cause.failures(exit.cause)]
                assert.match(error?._tag ?? "", /^Dust[A-Za-z]+Error$/)
                assert.notInclude(error?.message ?? "\n", "\n")
                const encoded = yield* Schema.encode(DustAPIError)(error!)
                yield* Schema.decode(DustAPIError)(encoded)
              }
            }).pipe(Effect.provide(context), Effect.runPromise)),
          { numRuns: 300, seed }
        )
      )
    }).pipe(Effect.scoped)
  })

  it.effect("Secrets stay: the values of headers that come back in an error, unless they are too short to be secrets", () => {
    const long = "abc/def ghi"
    const { layer } = dust(
      ({ headers }) =>
        failure(
          400,
          "invalid_request_error",
          `Got ${headers["x-short"]}, ${headers["x-six"]}, ${long} and ${encodeURIComponent(long)}`
        ),
      { headers: { "x-short": "abcde", "x-six": "uvwxyz", "x-long": long } }
    )
    return Effect.gen(function*() {
      const error = yield* Effect.flip(readThing("t"))
      assert.include(error.message, "Got abcde, <redacted>, <redacted> and <redacted>")
    }).pipe(Effect.provide(layer))
  })
})
