/** What is recorded of a call: its complete span, its lines of the log, and its metrics. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, type Scope, Tracer } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import { operation } from "effect-dust/DustClient"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { type Client, clientOf, untilEnded } from "../support/bareClient.ts"
import { type Answer, failure, json, type Recorded } from "../support/http.ts"
import { observe } from "../support/observed.ts"

const Ok = Schema.Struct({ ok: Schema.Boolean })
const route = "/api/v1/w/{workspaceId}/conversations/{conversationId}/messages/{messageId}"
const read = operation({ name: "Probe.read", http: "GET", route, response: Ok })
const input = { path: { conversationId: "c1", messageId: "m1" } }

const recorded = (
  handler: (request: Recorded) => Answer,
  run: (client: Client) => Effect.Effect<unknown, RequestError, Scope.Scope>
) =>
  Effect.gen(function*() {
    const retry = RetryPolicy.make({ retries: 1, base: "2 seconds", maxDelay: "2 seconds" })
    const client = yield* clientOf(handler, { retry })
    const seen = yield* observe(untilEnded(Effect.scoped(run(client)), "100 millis"))
    const [span] = seen.spans
    const { "code.stacktrace": at, ...attributes } = span?.attributes ?? {}
    return {
      ...seen,
      at,
      // The platform adds the lines of the log to the events of a span, and writes some of its own.
      span: { ...span, attributes, events: span?.events.filter(([name]) => name.startsWith("dust.")) },
      logs: seen.logs.filter(([, message]) => message.startsWith("Request"))
    }
  }).pipe(Effect.scoped)

const place = { operation: "Probe.read", workspaceId: "ws1", conversationId: "c1", messageId: "m1" }
const attempt = (n: number) => ["DEBUG", "Request", { ...place, method: "GET", route, attempt: n }]
const spanOf = { name: "Probe.read", parent: undefined, kind: "client", events: [], links: [], ended: "ok" }
const attributes = {
  "dust.workspace.id": "ws1",
  "http.request.method": "GET",
  "http.route": route,
  "server.address": "dust.example"
}

describe("the telemetry of a call", () => {
  it.effect("that succeeds at once: a span, a line of the log and two metrics", () =>
    Effect.gen(function*() {
      const seen = yield* recorded(() => json({ ok: true }), (client) => client.execute(read, input))
      assert.deepStrictEqual(seen.exit, Exit.succeed({ ok: true }))
      assert.lengthOf(seen.spans, 1)
      assert.deepStrictEqual<unknown>(seen.span, { ...spanOf, attributes: { ...attributes, "dust.attempts": 1 } })
      assert.deepStrictEqual<unknown>(seen.logs, [attempt(1)])
      assert.deepStrictEqual(seen.metrics, {
        "dust.requests operation=Probe.read outcome=success": 1,
        "dust.request.duration operation=Probe.read": [1, 0]
      })
    }))

  it.effect("that is repeated in vain: an event, a line of the log, and its error in the span and the metrics", () =>
    Effect.gen(function*() {
      const seen = yield* recorded(
        () => failure(503, "service_unavailable", "No", { "x-request-id": "r" }),
        (client) => client.execute(read, input)
      )
      const delay = Number(seen.span.events?.[0]?.[1]["dust.delay"])
      assert.isTrue(delay >= 1.6 && delay <= 2.4)
      assert.match(String(seen.at), /callTelemetry\.test\.ts/)
      assert.deepStrictEqual<unknown>(seen.span, {
        ...spanOf,
        attributes: {
          ...attributes,
          "dust.attempts": 2,
          "error.type": "DustServerError",
          "dust.error.type": "service_unavailable",
          "http.response.status_code": 503,
          "dust.request.id": "r"
        },
        events: [
          ["dust.request.retry", { "dust.reason": "DustServerError", "dust.delay": delay, "dust.attempts": 1 }]
        ],
        ended: seen.spans[0]!.ended
      })
      assert.match(seen.spans[0]!.ended, /Probe\.read: 503 service_unavailable: No \[r\]/)
      const pause = `${Math.round(delay * 1_000)}ms`
      const failed = { reason: "DustServerError", type: "service_unavailable", attempt: 1, pause }
      assert.deepStrictEqual<unknown>(seen.logs, [
        attempt(1),
        ["DEBUG", "Request is retried after a pause", { ...place, ...failed }],
        attempt(2)
      ])
      const { "dust.request.duration operation=Probe.read": duration, ...counts } = seen.metrics
      assert.deepStrictEqual(counts, {
        "dust.requests operation=Probe.read outcome=DustServerError": 1,
        "dust.request.retries operation=Probe.read reason=DustServerError": 1
      })
      const [count, seconds] = duration as readonly [number, number]
      assert.isTrue(count === 1 && seconds >= delay - 0.001 && seconds <= delay + 0.2)
    }))

  it.effect("that is interrupted: nothing of an error", () =>
    Effect.gen(function*() {
      const seen = yield* recorded(
        () => Effect.never,
        (client) => Effect.timeoutOption(client.execute(read, input), "1 second")
      )
      const expected = { ...spanOf, attributes: { ...attributes, "dust.attempts": 1 }, ended: "interrupted" }
      assert.deepStrictEqual<unknown>(seen.span, expected)
      assert.propertyVal(seen.metrics, "dust.requests operation=Probe.read outcome=interrupted", 1)
    }))

  it.effect("of a stream: its span is that of a connection, and ids that its path lacks are left out", () =>
    Effect.gen(function*() {
      const listen = operation({ name: "Probe.listen", http: "GET", route: "/a/{conversationId}/b", response: Ok })
      const path = { conversationId: "c1" }
      const seen = yield* recorded(
        () => json({ ok: true }),
        (client) => client.open(listen, { path, query: { a: "b/c" } }, { accept: "text/event-stream" })
      )
      assert.strictEqual(seen.span.name, "Probe.listen connect")
      assert.deepStrictEqual<unknown>(seen.logs, [["DEBUG", "Request", {
        operation: "Probe.listen",
        workspaceId: "ws1",
        conversationId: "c1",
        method: "GET",
        route: "/a/{conversationId}/b",
        attempt: 1
      }]])
    }))

  it.effect("takes as long as its span, unless spans have no times", () =>
    Effect.gen(function*() {
      const native = yield* Effect.tracer
      const ends: Array<bigint> = []
      const tracer = Tracer.make({
        span: (...args) => {
          const span = native.span(...args)
          const end = span.end.bind(span)
          span.end = (time, exit) => {
            ends.push(time)
            end(time, exit)
          }
          return span
        },
        context: (f, fiber) => native.context(f, fiber)
      })
      const client = yield* clientOf(() => Effect.as(Effect.sleep("2 seconds"), json({ ok: true })))
      const call = Effect.withTracer(client.execute(read, input), tracer)
      yield* untilEnded(call, "2 seconds")
      yield* untilEnded(Effect.withTracerTiming(call, false), "2 seconds")
      assert.deepStrictEqual(ends, [2_000_000_000n, 0n])
    }).pipe(Effect.scoped))
})
