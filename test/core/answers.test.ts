/** What a call does with a response, or with none: values, complete errors and limits. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted, Schema } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import { operation, withCredential, withOptions } from "effect-dust/DustClient"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { text as textOperation } from "../../src/Operation.ts"
import { type Client, clientOf, failed } from "../support/bareClient.ts"
import { complete } from "../support/failures.ts"
import { failure, json } from "../support/http.ts"

const Ok = Schema.Struct({ ok: Schema.Boolean })
const route = "/api/v1/w/{workspaceId}/conversations/{conversationId}/messages/{messageId}"
const read = operation({ name: "Probe.read", http: "GET", route, response: Ok })
const plain = textOperation({ name: "Probe.read", http: "GET", route, decode: (text) => text })
const input = { path: { conversationId: "c1", messageId: "m1" } }

const same = { module: "Probe", method: "read", request: { method: "GET", route } }

const bytes = (...pieces: ReadonlyArray<string | ReadonlyArray<number>>) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const piece of pieces) {
        controller.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : new Uint8Array(piece))
      }
      controller.close()
    }
  })
const cut = (piece: string) => {
  let pulled = 0
  return new ReadableStream<Uint8Array>({
    pull: (controller) =>
      pulled++ === 0
        ? controller.enqueue(new TextEncoder().encode(piece))
        : controller.error(Object.assign(new Error("reset"), { code: "ECONNRESET" }))
  })
}
const typed = (type: string, more: Record<string, string> = {}) => ({ headers: { "content-type": type, ...more } })

describe("a successful response", () => {
  const text = (body: ReadableStream<Uint8Array> | string, init: ResponseInit = {}) =>
    Effect.scoped(Effect.flatMap(clientOf(() => new Response(body, init)), (client) => client.execute(plain, input)))

  it.effect("is text of UTF-8 or of the declared encoding; malformed bytes are replaced", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* text(bytes([0xc3], [0xa9])), "\u00e9")
      assert.strictEqual(yield* text(bytes([0xc3, 0xa9]), typed("text/plain; charset=iso-8859-1")), "\u00e9")
      assert.strictEqual(yield* text(bytes([0xe9]), typed("text/plain; charset=iso-8859-1")), "\u00e9")
      assert.strictEqual(yield* text(bytes([0xe9]), typed("text/plain; Charset = \"latin1\"")), "\u00e9")
      assert.strictEqual(yield* text(bytes([0xe9]), typed("text/plain; charset=unheard-of")), "\ufffd")
      assert.strictEqual(yield* text(bytes([0xe9])), "\ufffd")
      assert.strictEqual(yield* text(bytes("\ufeffa", "\ufeffb")), "a\ufeffb")
      assert.strictEqual(yield* text(bytes()), "")
      assert.strictEqual(yield* text("a", typed("application/json")), "a")
    }))

  it.scoped("that is not read to its end is closed", () =>
    Effect.gen(function*() {
      let cancelled = 0
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(1024)),
        cancel: () => void cancelled++
      })
      const client = yield* clientOf(() => new Response(endless), { maxResponseSize: 10 })
      assert.strictEqual((yield* Effect.flip(client.execute(plain, input))).type, "response_too_large")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(cancelled, 1)
    }))

  it.effect("is read up to the limit of its size", () =>
    Effect.gen(function*() {
      const tooLarge = {
        ...same,
        _tag: "DustContentTooLargeError",
        message: "Probe.read: the response has more than 10 bytes; raise `maxResponseSize`, or request less",
        type: "response_too_large",
        details: { limit: 10 },
        attempts: 1
      }
      const of = (body: ReadableStream<Uint8Array> | string, headers: Record<string, string> = {}) =>
        Effect.scoped(Effect.flatMap(
          clientOf(() => new Response(body, { headers }), { maxResponseSize: 10 }),
          (client) => Effect.merge(Effect.mapError(client.execute(plain, input), complete))
        ))
      for (const coding of [{}, { "content-encoding": "gzip" }] as ReadonlyArray<Record<string, string>>) {
        assert.strictEqual(yield* of(bytes("12345", "67890"), coding), "1234567890")
        assert.deepStrictEqual<unknown>(yield* of(bytes("12345", "678901"), coding), tooLarge)
      }
      assert.strictEqual(yield* of("1234567890", { "content-length": "10" }), "1234567890")
      assert.deepStrictEqual<unknown>(yield* of(bytes("1"), { "content-length": "11" }), tooLarge)
      assert.strictEqual(yield* of(bytes("1"), { "content-length": "x" }), "1")
    }))

  const page = "; check that `baseUrl` (DUST_BASE_URL) is the address of Dust"
  const unexpected = (message: string, issue: { readonly path: string; readonly message: string }, status = 200) => ({
    ...same,
    _tag: "DustDecodeError",
    message: `Probe.read: ${message}`,
    status,
    type: "unexpected_answer",
    details: { issues: [issue] },
    issues: [issue],
    attempts: 1
  })
  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`
  const rows: ReadonlyArray<readonly [string, Response, object]> = [
    [
      "of another shape",
      json({ ok: 7 }, { status: 201 }),
      unexpected("unexpected response: ok must be a boolean", { path: "ok", message: "boolean" }, 201)
    ],
    [
      "without a field",
      json({}),
      unexpected("unexpected response: ok is missing", { path: "ok", message: "is missing" })
    ],
    [
      "of another kind",
      json(7),
      unexpected("unexpected response: the body must be an object", { path: "", message: "{ readonly ok: boolean }" })
    ],
    [
      "that is a page",
      new Response("<html>", typed("text/html; charset=utf-8")),
      unexpected(`expected JSON but received text/html${page}`, { path: "", message: "JSON" })
    ],
    [
      "without a type",
      new Response(bytes("hm")),
      unexpected(`expected JSON but received a body without a content type${page}`, { path: "", message: "JSON" })
    ],
    [
      "that is compressed in secret",
      new Response(bytes([0x1f, 0x8b, 8, 0]), typed("application/json")),
      unexpected(`expected JSON but received gzip without a content-encoding${page}`, { path: "", message: "JSON" })
    ],
    [
      "that breaks off",
      new Response(cut("{\"ok\":"), typed("application/json")),
      {
        ...same,
        _tag: "DustNetworkError",
        message: "Probe.read: the connection closed before the end of the response",
        type: "ECONNRESET",
        details: { code: "ECONNRESET" },
        attempts: 1,
        reachedServer: true
      }
    ],
    [
      "that breaks off, with an encoding",
      new Response(cut("{\"ok\":"), typed("application/json", { "content-encoding": "gzip" })),
      {
        ...same,
        _tag: "DustNetworkError",
        message: "Probe.read: the connection closed before the end of the response",
        type: "ECONNRESET",
        details: { code: "ECONNRESET" },
        attempts: 1,
        reachedServer: true
      }
    ],
    [
      "with half a gzip",
      new Response(
        bytes([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        typed("application/json", { "content-encoding": "gzip" })
      ),
      {
        ...same,
        _tag: "DustNetworkError",
        message: "Probe.read: the connection closed before the end of the response",
        details: {},
        attempts: 1,
        reachedServer: true
      }
    ],
    [
      "in an encoding of its own",
      new Response(bytes([0x8b, 2, 0x80]), typed("application/json", { "content-encoding": "br" })),
      {
        ...unexpected(
          "the response has the content-encoding br, which was not requested and cannot be decoded here; check for a proxy",
          { path: "", message: "no compression" }
        ),
        status: undefined,
        type: "unreadable_encoding"
      }
    ]
  ]
  it.scoped.each(rows)("%s: is a complete error", ([, answer, expected]) =>
    Effect.gen(function*() {
      const client = yield* clientOf(() => answer)
      const error = complete(yield* Effect.flip(client.execute(read, input)))
      if (error["_tag"] === "DustNetworkError") error["details"] = (expected as { readonly details: unknown }).details
      const wanted = Object.entries(expected).filter(([, value]) => value !== undefined)
      assert.deepStrictEqual(error, Object.fromEntries(wanted))
    }))

  it.scoped("that is nested too deeply, or a page in the place of text, is an error", () =>
    Effect.gen(function*() {
      interface Deep extends ReadonlyArray<Deep> {}
      const Deep: Schema.Schema<Deep> = Schema.Array(Schema.suspend(() => Deep))
      const nested = operation({ name: "Probe.read", http: "GET", route, response: Deep })
      const client = yield* clientOf(({ nth }) =>
        nth === 1 ? new Response(deep) : new Response("<p>", typed(nth === 2 ? "Text/HTML" : "application/xhtml+xml"))
      )
      const error = yield* Effect.flip(client.execute(nested, input))
      assert.deepStrictEqual(
        complete(error),
        unexpected("unexpected response: the body must be less deeply nested", {
          path: "",
          message: "less deeply nested"
        })
      )
      for (const type of ["Text/HTML", "application/xhtml+xml"]) {
        assert.deepStrictEqual(
          complete(yield* Effect.flip(client.execute(plain, input))),
          unexpected(`expected Dust's response but received ${type}${page}`, { path: "", message: "no web page" })
        )
      }
    }))
})

describe("a failed response", () => {
  it.scoped("is read up to a quarter of a megabyte, in any encoding", () =>
    Effect.gen(function*() {
      const piece = "x".repeat(64 * 1024)
      let pulled = 0
      const endless = () =>
        new ReadableStream<Uint8Array>({
          pull: (controller) => {
            pulled++
            controller.enqueue(new TextEncoder().encode(piece))
          }
        })
      const client = yield* clientOf(() => new Response(endless(), { status: 500 }))
      yield* Effect.flip(client.execute(read, input))
      assert.isAtLeast(pulled, 4)
      assert.isAtMost(pulled, 7)
    }))

  it.scoped("contains neither the credential, nor a header, nor a secret, nor what the call sent", () =>
    Effect.gen(function*() {
      const ask = operation({
        name: "Probe.ask",
        http: "POST",
        route: "/ask",
        body: Schema.Struct({ content: Schema.String }),
        response: Ok
      })
      const words = "sk-verysecretkey header-secret own-secret a private question, short"
      const client = yield* clientOf(() => failure(400, "x", words, { "x-request-id": "id header-secret" }), {
        headers: { a: "header-secret" }
      })
      const error = yield* Effect.flip(
        client.execute(ask, { body: { content: "a private question" }, secrets: [Redacted.make("own-secret")] })
      )
      const clean = "<redacted> <redacted> <redacted> <redacted>, short"
      assert.strictEqual(error.message, `Probe.ask: 400 x: ${clean} [id <redacted>]`)
      assert.deepStrictEqual(error.details, { type: "x", message: clean })
      assert.strictEqual(error.requestId, "id <redacted>")
    }))

  it.scoped("of the storage is about permissions, and says nothing of its body", () =>
    Effect.gen(function*() {
      let status = 401
      const client = yield* clientOf(() =>
        new Response("<secret/>", { status, headers: { "x-request-id": "r", "retry-after": "1" } })
      )
      const download = client.open(read, { ...input, url: "https://storage.example/f" }, { origin: "storage" })
      const expected = (status: number, _tag: string) => ({
        ...same,
        _tag,
        message: `Probe.read: ${status}: Dust's file storage refused the download [r]`,
        status,
        details: "Dust's file storage refused the download",
        requestId: "r",
        retryAfter: 1_000,
        attempts: 1
      })
      assert.deepStrictEqual(complete(yield* Effect.flip(download)), expected(403, "DustForbiddenError"))
      status = 410
      assert.deepStrictEqual(complete(yield* Effect.flip(download)), expected(410, "DustNotFoundError"))
    }))
})

describe("the limits of a call", () => {
  const limit = (phase: string, message: string, seconds: number, attempts = 1, more: object = {}) => ({
    ...same,
    _tag: "DustTimeoutError",
    message: `Probe.read: ${message}`,
    type: "timeout",
    details: { phase, limit: Duration.format(Duration.seconds(seconds)) },
    phase,
    limit: seconds * 1_000,
    attempts,
    ...more
  })
  const timeouts = { headers: "5 seconds", body: "7 seconds", total: "30 seconds" } as const

  it.scoped("each have an error", () =>
    Effect.gen(function*() {
      const silent = yield* clientOf(() => Effect.never, { timeouts })
      assert.deepStrictEqual(yield* failed(silent.execute(read, input)), limit("headers", "no response within 5s", 5))
      const endless = yield* clientOf(() => new Response(new ReadableStream()), { timeouts })
      assert.deepStrictEqual(
        yield* failed(endless.execute(read, input)),
        limit("body", "the response did not end within 7s", 7)
      )
      const short = { timeouts: { headers: "1 hour", total: "3 seconds" } } as const
      assert.deepStrictEqual(
        yield* failed(withOptions(silent.execute(read, input), short)),
        limit("total", "not finished within 3s", 3)
      )
    }))

  it.scoped("for all attempts together names the last failure", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.make({ retries: 9, base: "10 seconds", maxElapsed: "1 hour" })
      const client = yield* clientOf(() => failure(500, "x", "No"), { timeouts, retry })
      const error = yield* failed(client.execute(read, input))
      assert.deepStrictEqual(
        error,
        limit("total", "not finished within 30s; the last failure: 500 x: No", 30, Number(error["attempts"]))
      )
      assert.isAtLeast(Number(error["attempts"]), 2)
    }))

  it.scoped("include the wait for a token", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(() => json({ ok: true }), { timeouts })
      const call = withCredential(client.execute(read, input), { accessToken: Effect.never })
      assert.deepStrictEqual(
        yield* failed(call),
        limit("headers", "the access token was not obtained within 5s", 5, 0, { type: "token_timeout" })
      )
    }))

  it.scoped("for several requests count them all", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(({ nth }) => nth < 3 ? json({ ok: true }) : Effect.never, {
        timeouts: { headers: "1 hour" }
      })
      const several = Effect.zipRight(client.execute(read, input), Effect.forever(client.execute(read, input)))
      const named = { module: "Probe", method: "several" }
      const bounds = { limit: "9 seconds", details: { part: "second" } } as const
      const expected = {
        ...named,
        _tag: "DustTimeoutError",
        message: "Probe.several: not finished within 9s",
        type: "timeout",
        details: { phase: "total", limit: "9s", part: "second" },
        phase: "total",
        limit: 9_000,
        attempts: 3
      }
      assert.deepStrictEqual(yield* failed(client.withTotal(named, bounds)(several)), expected)
      const again = yield* clientOf(({ nth }) => nth < 3 ? json({ ok: true }) : Effect.never, {
        timeouts: { headers: "1 hour" }
      })
      const same = Effect.zipRight(again.execute(read, input), Effect.forever(again.execute(read, input)))
      const message = (limit: Duration.Duration) => `stopped after ${Duration.format(limit)}`
      assert.deepStrictEqual(
        yield* failed(again.withTotal(named, { ...bounds, onlyRequests: true, message })(same)),
        { ...expected, message: "Probe.several: stopped after 9s" }
      )
    }))

  it.scoped("for several requests are those of the call, unless they need more by themselves", () =>
    Effect.gen(function*() {
      const named = { module: "Probe", method: "several" }
      const after = (client: Client, bounds: object, options = {}) =>
        Effect.map(
          failed(withOptions(client.withTotal(named, bounds)(Effect.never), options), "1 minute"),
          (error) => Number(error["limit"]) / 1_000
        )
      const usual = yield* clientOf(() => json({}))
      assert.strictEqual(yield* after(usual, {}), 120)
      assert.strictEqual(yield* after(usual, { needs: "3 minutes" }), 180)
      assert.strictEqual(yield* after(usual, { needs: "1 minute" }), 120)
      assert.strictEqual(yield* after(usual, { limit: "7 seconds", needs: "1 minute" }), 7)
      assert.strictEqual(yield* after(usual, { needs: "3 minutes" }, { timeouts: { total: "8 seconds" } }), 8)
      assert.strictEqual(yield* after(usual, { needs: "3 minutes" }, { timeouts: { headers: 0 } }), 180)
      const chosen = yield* clientOf(() => json({}), { timeouts })
      assert.strictEqual(yield* after(chosen, { needs: "3 minutes" }), 30)
      assert.strictEqual(yield* usual.withTotal(named, { limit: Duration.infinity })(Effect.succeed(1)), 1)
    }))

  it.scoped("are longer for operations that need more, unless they were chosen", () =>
    Effect.gen(function*() {
      const slow = operation({
        name: "Probe.read",
        http: "GET",
        route,
        response: Ok,
        timeouts: { headers: "100 seconds", body: "20 minutes" }
      })
      const slower = { ...slow, timeouts: { headers: "200 seconds", body: "20 minutes" } } as const
      const silent = yield* clientOf(() => Effect.never)
      const endless = yield* clientOf(() => new Response(new ReadableStream()))
      const reached = (self: Effect.Effect<unknown, RequestError>) =>
        Effect.map(failed(self, "1 minute"), ({ limit, phase }) => [phase, Number(limit) / 1_000])
      assert.deepStrictEqual(yield* reached(silent.execute(slow, input)), ["headers", 100])
      assert.deepStrictEqual(yield* reached(endless.execute(slow, input)), ["total", 120])
      assert.deepStrictEqual(yield* reached(endless.execute(slower, input)), ["total", 200])
      const options = { timeouts: { headers: "5 seconds" } } as const
      assert.deepStrictEqual(yield* reached(withOptions(silent.execute(slow, input), options)), ["headers", 5])
      const chosen = yield* clientOf(() => Effect.never, { timeouts })
      assert.deepStrictEqual(yield* reached(chosen.execute(slow, input)), ["headers", 5])
      const bodyOnly = operation({
        name: "Probe.read",
        http: "GET",
        route,
        response: Ok,
        timeouts: { body: "90 seconds" }
      })
      assert.deepStrictEqual(yield* reached(endless.execute(bodyOnly, input)), ["body", 90])
      const headersOnly = { ...slow, timeouts: { headers: "100 seconds" } } as const
      assert.deepStrictEqual(yield* reached(silent.execute(headersOnly, input)), ["headers", 100])
    }))
})
