/** How connections of event streams are opened, and all that an error of a stream says. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Scope, Stream, TestClock } from "effect"
import * as Dust from "effect-dust/Dust"
import { DustServerError } from "effect-dust/DustAPIError"
import { DustClient } from "effect-dust/DustClient"
import { operations } from "../../src/internal/api/conversations.ts"
import { connect } from "../../src/internal/stream/connect.ts"
import { brokenOff, failureOf } from "../../src/internal/stream/failures.ts"
import { sseOnce } from "../../src/internal/stream/once.ts"
import * as Http from "../support/http.ts"
import { observe } from "../support/observed.ts"

const operation = operations.events.read
const route = "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/events"
const common = { module: "Conversations", method: "events", request: { method: "GET", route }, attempts: 1 }
const input = { path: { conversationId: "c" } }
const sse = { "content-type": "text/event-stream" }

/** A logged error. */
const plain = (error: unknown): unknown => JSON.parse(JSON.stringify(error))

describe("Event streams: errors", () => {
  it("a connection that breaks off says whether the HttpClient was closed", () => {
    const message = "Conversations.events: the connection closed before the end of the stream"
    const broken = { ...common, message, details: {}, reachedServer: true, _tag: "DustNetworkError" }
    assert.deepStrictEqual(plain(brokenOff(operation, new Error("cut"))), broken)
    assert.deepStrictEqual(plain(brokenOff(operation, Object.assign(new Error("cut"), { code: "ECONNRESET" }))), {
      ...broken,
      type: "ECONNRESET",
      details: { code: "ECONNRESET" }
    })
    const closed = brokenOff(operation, Object.assign(new Error("closed"), { code: "UND_ERR_DESTROYED" }))
    assert.deepStrictEqual(plain(closed), {
      ...broken,
      message:
        "Conversations.events: the HttpClient was closed while the stream was open (UND_ERR_DESTROYED); the scope of its layer must outlive the stream",
      type: "UND_ERR_DESTROYED",
      details: { code: "UND_ERR_DESTROYED" }
    })
    assert.isFalse(closed.isRetryable)
  })

  it("a stream that fails names where another one can continue", () => {
    const cause = new DustServerError({ ...common, message: "away", status: 503, type: "x", details: {} })
    const source = { operation, silence: Duration.minutes(30), truth: Effect.void }
    const ended = { ...common, lastEventId: "5-0", _tag: "DustStreamError", reason: "ended" }
    assert.strictEqual(failureOf({ _tag: "Refused", error: cause }, source, "5-0"), cause)
    assert.strictEqual(failureOf({ _tag: "Lost", error: cause }, { ...source, truth: undefined }, "5-0"), cause)
    assert.deepStrictEqual(plain(failureOf({ _tag: "Lost", error: cause }, source, "5-0")), {
      ...ended,
      message: "Conversations.events: the stream could not be continued: away",
      status: 503,
      type: "x",
      details: { reason: "ended", cause: "DustServerError", message: "away" }
    })
    const silent = { ...ended, details: { reason: "ended" } }
    assert.deepStrictEqual(plain(failureOf({ _tag: "Silent" }, source, "5-0")), {
      ...silent,
      message: "Conversations.events: no event for 30m, and the run is still in progress"
    })
    assert.deepStrictEqual(plain(failureOf({ _tag: "Silent" }, { ...source, silence: undefined }, "5-0")), {
      ...silent,
      message: "Conversations.events: no event for too long, and the run is still in progress"
    })
    assert.deepStrictEqual(plain(failureOf({ _tag: "Oversized" }, source, "5-0")), {
      ...ended,
      message: "Conversations.events: an event is longer than 67108864 characters",
      reason: "event_too_large",
      details: { reason: "event_too_large" }
    })
  })
})

describe("Event streams: connections", () => {
  const opened = (
    answer: (nth: number) => Response,
    change = (response: HttpClientResponse.HttpClientResponse) => response
  ) => {
    const signals: Array<AbortSignal> = []
    const requests: Array<readonly [method: string, path: string, accept: string | undefined]> = []
    const client = HttpClient.make((request, url, signal) => {
      signals.push(signal)
      requests.push([request.method, `${url.pathname}${url.search}`, request.headers["accept"]])
      return Effect.sync(() => change(HttpClientResponse.fromWeb(request, answer(requests.length))))
    })
    const layer = Dust.layer(Http.defaults).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
    const connection = Effect.gen(function*() {
      const dust = yield* DustClient
      const span = yield* Effect.makeSpan("stream")
      return yield* connect(dust, operation, input, {
        lastEventId: "7-0",
        interruptible: false,
        span,
        now: () => 42
      })
    }).pipe(Effect.provide(layer))
    return { connection, requests, signals }
  }

  it.effect("a connection continues behind an event, belongs to the span of its stream, and stays until its scope closes", () =>
    Effect.gen(function*() {
      const { connection, requests, signals } = opened(() => new Response("data: 1\n\n", { headers: sse }))
      const { exit, spans } = yield* observe(connection)
      assert.isTrue(Exit.isSuccess(exit))
      if (!Exit.isSuccess(exit)) return
      const { fresh, idle, orderly, scope, seen, since } = exit.value
      assert.deepStrictEqual({ fresh, idle, orderly, seen, since }, {
        fresh: 0,
        idle: 90_000,
        orderly: false,
        seen: 0,
        since: 42
      })
      assert.deepStrictEqual(requests, [
        ["GET", "/api/v1/w/ws1/assistant/conversations/c/events?lastEventId=7-0", "text/event-stream"]
      ])
      assert.deepStrictEqual(spans.map(({ name, parent }) => [name, parent]), [
        ["Conversations.events connect", "stream"]
      ])
      assert.isFalse(signals[0]?.aborted)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(signals[0]?.aborted)
    }))

  const refused: ReadonlyArray<readonly [received: string, status: number, response: () => Response]> = [
    ["text/html", 200, () => new Response("<html>", { headers: { "content-type": " Text/HTML ; charset=utf-8" } })],
    ["application/json", 201, () => Http.json(null, { status: 201 })],
    ["an empty response (204)", 204, () => new Response(null, { status: 204 })],
    ["an empty response (205)", 205, () => new Response(null, { status: 205, headers: sse })],
    [
      "content-encoding br, which cannot be decompressed here",
      200,
      () => new Response("x", { headers: { ...sse, "content-encoding": "br" } })
    ]
  ]
  it.effect.each(refused)(
    "a response that is no event stream is an error, and is closed: %s",
    ([received, status, answer]) =>
      Effect.gen(function*() {
        // Hides the transport's body, as another platform would.
        const { connection, signals } = opened(answer, (response) => Object.create(response))
        assert.deepStrictEqual(plain(yield* Effect.flip(connection)), {
          ...common,
          status,
          type: "unexpected_answer",
          details: { issues: [{ path: "", message: "text/event-stream" }] },
          issues: [{ path: "", message: "text/event-stream" }],
          message: `Conversations.events: expected text/event-stream but received ${received}`,
          _tag: "DustDecodeError"
        })
        assert.isTrue(signals[0]?.aborted)
      })
  )

  it.effect("an event stream may be named in capitals, with parameters, or not at all", () =>
    Effect.gen(function*() {
      const headers = [{ "content-type": "TEXT/Event-Stream;charset=utf-8" }, {}]
      for (const one of headers) {
        const { connection } = opened(() => new Response(new TextEncoder().encode("data: 1\n\n"), { headers: one }))
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(connection)))
      }
    }))
})

describe("Event streams that are read once", () => {
  /** All that a stream of some chunks gives, and its span. */
  const read = (chunks: ReadonlyArray<string>, options: { readonly open?: boolean; readonly takes?: number } = {}) => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
        if (options.open !== true) controller.close()
      }
    })
    const { layer, requests } = Http.dust(() => new Response(body, { headers: sse }))
    const stream = Stream.unwrap(
      Effect.map(
        DustClient,
        (client) => sseOnce(client, operation, input, (data) => data === "dropped" ? undefined : data)
      )
    )
    return observe(
      Effect.gen(function*() {
        const seen: Array<string> = []
        const fiber = yield* Stream.take(stream, options.takes ?? 100).pipe(
          Stream.runForEach((event) => Effect.sync(() => seen.push(event))),
          Effect.either,
          Effect.fork
        )
        yield* TestClock.adjust("89 seconds")
        const early = fiber.unsafePoll() === null
        yield* TestClock.adjust("1 second")
        return { seen, early, ended: yield* Fiber.join(fiber), accept: requests[0]?.headers["accept"] }
      }).pipe(Effect.provide(layer))
    )
  }
  const attributes = {
    "dust.workspace.id": "ws1",
    "http.route": route,
    "gen_ai.conversation.id": "c",
    "dust.stream.connections": 1
  }
  const span = { parent: undefined, kind: "client", events: [], links: [], name: "Conversations.events" } as const

  it.effect("unnamed events are decoded up to the end; named ones, the end marker and what decodes to nothing are left out", () =>
    Effect.gen(function*() {
      const { exit, metrics, spans } = yield* read([
        "event: handshake\ndata: {}\n\ndata: a\n\nda",
        "ta: dropped\n\n: ping\n\n",
        "data: b\n\ndata: done\n\n"
      ])
      assert.isTrue(Exit.isSuccess(exit) && exit.value.ended._tag === "Right")
      assert.deepStrictEqual(Exit.isSuccess(exit) && [exit.value.seen, exit.value.accept], [
        ["a", "b"],
        "text/event-stream"
      ])
      assert.deepStrictEqual(spans.find(({ name }) => name === span.name), {
        ...span,
        attributes: { ...attributes, "dust.stream.events": 2 },
        ended: "ok"
      })
      assert.strictEqual(metrics["dust.streams.open operation=Conversations.events"], 0)
    }))

  it.effect("a stream that is not read to its end is interrupted", () =>
    Effect.gen(function*() {
      const { spans } = yield* read(["data: a\n\ndata: b\n\n"], { open: true, takes: 1 })
      assert.deepStrictEqual(spans.find(({ name }) => name === span.name), {
        ...span,
        attributes: { ...attributes, "dust.stream.events": 2 },
        ended: "interrupted"
      })
    }))

  it.effect("an event that does not come in time is a typed failure; comments do not count", () =>
    Effect.gen(function*() {
      const { exit, spans } = yield* read(["data: a\n\n", ": ping\n\n"], { open: true })
      assert.isTrue(Exit.isSuccess(exit) && exit.value.early)
      assert.deepStrictEqual(plain(Exit.isSuccess(exit) && exit.value.ended), {
        _id: "Either",
        _tag: "Left",
        left: {
          ...common,
          type: "timeout",
          details: { phase: "idle", limit: "1m 30s" },
          message: "Conversations.events: received no event within 1m 30s",
          phase: "idle",
          limit: { _id: "Duration", _tag: "Millis", millis: 90_000 },
          _tag: "DustTimeoutError"
        }
      })
      assert.deepStrictEqual(spans.find(({ name }) => name === span.name), {
        ...span,
        attributes: { ...attributes, "dust.stream.events": 1 },
        ended: "DustTimeoutError: Conversations.events: received no event within 1m 30s"
      })
    }))

  it.effect("an event that is too large is a typed failure", () =>
    Effect.gen(function*() {
      const { exit } = yield* read([`data: ${"x".repeat(67_108_864)}`])
      assert.deepStrictEqual(plain(Exit.isSuccess(exit) && exit.value.ended), {
        _id: "Either",
        _tag: "Left",
        left: {
          ...common,
          details: { reason: "event_too_large" },
          message: "Conversations.events: an event is over the limit of 67108864 characters",
          reason: "event_too_large",
          _tag: "DustStreamError"
        }
      })
    }))
})
