/** The complete spans and metrics of streams and tokens, and what spans, logs and metrics have in common. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Metric, MetricState, Option, Tracer } from "effect"
import type { Service as Client } from "effect-dust/DustClient"
import { keys, labels } from "../../src/internal/telemetry/keys.ts"
import { debug, warn } from "../../src/internal/telemetry/log.ts"
import { recording } from "../../src/internal/telemetry/record.ts"
import { addEvent, event, setAttributes } from "../../src/internal/telemetry/span.ts"
import { streamTelemetry } from "../../src/internal/telemetry/stream.ts"
import { inRefresh } from "../../src/internal/telemetry/token.ts"
import { observe } from "../support/observed.ts"

describe("Telemetry of streams", () => {
  const operation = { module: "Conversations", method: "events", route: "/events" } as never
  const client = { config: { workspaceId: "w" } } as Client
  const path = { conversationId: "c", messageId: "m", other: "x" }
  const stream = {
    name: "Conversations.events",
    parent: undefined,
    kind: "client",
    links: [],
    attributes: {
      "dust.workspace.id": "w",
      "http.route": "/events",
      "gen_ai.conversation.id": "c",
      "dust.message.id": "m",
      "dust.stream.connections": 3,
      "dust.stream.events": 5
    }
  } as const

  it.effect("connections, looks and unknown events are counted, logged, and on the span", () =>
    Effect.gen(function*() {
      const { logs, metrics, spans } = yield* observe(Effect.gen(function*() {
        const telemetry = yield* streamTelemetry(client, operation, path)
        telemetry.connecting()
        telemetry.connecting()
        yield* telemetry.looking
        yield* telemetry.reconnecting("silence", 90_000)
        yield* telemetry.reconnecting("page", 10)
        telemetry.unknown(2)
        telemetry.delivered += 5
        telemetry.end(Exit.void, "ended", 3)
      }))
      assert.deepStrictEqual(spans, [{
        ...stream,
        events: [
          ["dust.stream.look", {}],
          ["dust.stream.reconnect", { "dust.reason": "silence" }],
          ["dust.stream.reconnect", { "dust.reason": "page" }]
        ],
        ended: "ok"
      }])
      assert.deepStrictEqual(metrics, {
        "dust.streams.open operation=Conversations.events": 0,
        "dust.stream.reconnects operation=Conversations.events reason=silence": 1,
        "dust.stream.reconnects operation=Conversations.events reason=page": 1,
        "dust.stream.unknown_events operation=Conversations.events": 2
      })
      const place = { operation: "Conversations.events", conversationId: "c", messageId: "m" }
      assert.deepStrictEqual(logs, [
        ["DEBUG", "Event stream reads the conversation", place],
        ["DEBUG", "Event stream reconnects", { ...place, reason: "silence", lasted: "90000ms" }],
        ["DEBUG", "Event stream reconnects", { ...place, reason: "page", lasted: "10ms" }]
      ])
    }))

  const phases = [["ended", "ok"], ["failed", "mine"], ["reading", "interrupted"], ["waiting", "interrupted"]] as const
  it.effect.each(phases)("a stream that is closed while %s", ([phase, ended]) =>
    Effect.gen(function*() {
      const { logs, metrics, spans } = yield* observe(Effect.gen(function*() {
        const telemetry = yield* streamTelemetry(client, operation, { conversationId: 7 })
        yield* telemetry.looking
        telemetry.end(Exit.fail("mine"), phase, 1)
      }))
      assert.strictEqual(spans[0]?.ended, ended)
      // It was never open, and has no ids that are texts.
      assert.deepStrictEqual(metrics, {})
      assert.deepStrictEqual(logs[0]?.[2], { operation: "Conversations.events" })
      const { "dust.workspace.id": workspace, "gen_ai.conversation.id": id } = spans[0]?.attributes ?? {}
      assert.deepStrictEqual([workspace, id], ["w", undefined])
    }))
})

describe("Telemetry of tokens", () => {
  const refresh = { name: "DustConfig.refresh", kind: "client", events: [], links: [] }
  const refreshed = <A, E>(self: Effect.Effect<A, E>) =>
    Effect.withFiberRuntime<A, E>((fiber) => inRefresh(fiber, self))
  const seen = (outcome: string) => ({
    metrics: { [`dust.token.refreshes outcome=${outcome}`]: 1 },
    logs: [["DEBUG", "Access token requested", { outcome }]]
  })

  it.effect("a token that is obtained, refused, or not waited for", () =>
    Effect.gen(function*() {
      const fine = yield* observe(refreshed(Effect.succeed(1)))
      assert.deepStrictEqual({ ...fine, exit: undefined }, {
        exit: undefined,
        ...seen("success"),
        spans: [{ ...refresh, parent: undefined, attributes: {}, ended: "ok" }]
      } as never)
      const failed = yield* observe(Effect.withSpan(refreshed(Effect.fail("sk-secret")), "asker"))
      assert.deepStrictEqual(failed.spans[0], {
        ...refresh,
        parent: "asker",
        attributes: { "error.type": "token_unavailable" },
        ended: "TokenError: the access token could not be obtained"
      } as never)
      assert.deepStrictEqual([failed.metrics, failed.logs], [seen("failed").metrics, seen("failed").logs] as never)
      // It belongs to the call that needed it first, and not to the fiber that obtains it.
      const elsewhere = yield* observe(Effect.gen(function*() {
        const rootless = yield* Effect.withFiberRuntime<Effect.Effect<void>>((fiber) =>
          Effect.succeed(inRefresh(fiber, Effect.void))
        )
        yield* Effect.withSpan(rootless, "other")
        const asked = Effect.withFiberRuntime<Effect.Effect<void>>((fiber) =>
          Effect.succeed(inRefresh(fiber, Effect.void))
        )
        yield* Effect.withSpan(Effect.flatMap(asked, (refreshing) => Effect.withSpan(refreshing, "other")), "asker")
      }))
      const parents = elsewhere.spans.flatMap(({ name, parent }) => name === refresh.name ? [parent] : [])
      assert.deepStrictEqual(parents, [undefined, "asker"])
      const left = yield* observe(refreshed(Effect.interrupt))
      assert.deepStrictEqual([left.spans[0]?.ended, left.spans[0]?.attributes["error.type"]], [
        "interrupted",
        undefined
      ])
      const died = yield* observe(refreshed(Effect.die("x")))
      assert.strictEqual(died.spans[0]?.attributes["error.type"], "token_unavailable")
    }))
})

describe("Telemetry: spans, logs and metrics", () => {
  it.effect("a span has at most 128 events, and none after its end; attributes without a value are left out", () =>
    Effect.gen(function*() {
      const { spans } = yield* observe(Effect.gen(function*() {
        const span = yield* Effect.makeSpan("full")
        for (let i = 0; i < 130; i++) addEvent(span, `${i}`, 0n, { i })
        setAttributes(span, { a: 1, b: undefined, c: null, d: false, e: 0 })
        addEvent(undefined, "nowhere", 0n)
        addEvent(Tracer.externalSpan({ spanId: "1", traceId: "2" }), "nowhere", 0n)
        span.end(0n, Exit.void)
        yield* Effect.withSpan(event("inside", { a: 1 }), "around")
        yield* event("nowhere")
        const ended = yield* Effect.makeSpan("ended")
        ended.end(0n, Exit.void)
        addEvent(ended, "late", 0n)
      }))
      const [full, around, ended] = spans
      assert.deepStrictEqual(full?.attributes, { a: 1, d: false, e: 0 })
      assert.lengthOf(full?.events ?? [], 128)
      assert.deepStrictEqual(full?.events.at(-1), ["127", { i: 127 }])
      assert.deepStrictEqual(around?.events, [["inside", { a: 1 }]])
      assert.deepStrictEqual(ended?.events, [])
    }))

  it.effect("logs have a level, a message and the annotations that are known; below debug, nothing is built", () =>
    Effect.gen(function*() {
      let built = 0
      const annotations = () => {
        built++
        return { a: 1, b: undefined, c: false }
      }
      const { logs } = yield* observe(Effect.zipRight(debug("one", annotations), warn("two", { a: undefined, d: "x" })))
      assert.deepStrictEqual(logs, [["DEBUG", "one", { a: 1, c: false }], ["WARN", "two", { d: "x" }]])
      yield* debug("three", annotations)
      assert.strictEqual(built, 1)
    }))

  it.effect("the first 500 values of a label are counted each, later ones as other", () =>
    Effect.gen(function*() {
      const { metrics } = yield* observe(Effect.gen(function*() {
        for (let i = 0; i < 502; i++) yield* recording("governorPauses", { class: `class ${i}` })
        yield* recording("governorPauses", { class: "class 0" }, 5)
        yield* recording("governorPauses", { class: "other" })
      }))
      const counted = Object.keys(metrics).length
      assert.strictEqual(metrics["dust.governor.pauses class=class 0"], 6)
      // Other tests of the file, and none of them, may have counted before.
      assert.strictEqual(counted, 501)
      assert.strictEqual(metrics["dust.governor.pauses class=other"], 3)
    }))

  it("metrics have a name, a description, labels, and suitable buckets", () => {
    const requests = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
    const runs = [0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400]
    const rows: ReadonlyArray<
      readonly [keyof typeof keys, string, string, ReadonlyArray<string>, ReadonlyArray<number>?]
    > = [
      ["requests", "dust.requests", "Calls of operations", ["operation", "outcome"]],
      [
        "requestDuration",
        "dust.request.duration",
        "Time from a call to its result, with all attempts",
        ["operation"],
        requests
      ],
      ["retries", "dust.request.retries", "Attempts after the first one", ["operation", "reason"]],
      ["runs", "dust.runs", "Agent runs that were followed, by how following them ended", ["agent", "outcome"]],
      ["runDuration", "dust.run.duration", "Time from sending a message to the end of its answer", ["agent"], runs],
      ["runWaitDuration", "dust.run.wait.duration", "Time for which a run waited for a person", ["agent"], runs],
      [
        "timeToFirstText",
        "dust.run.time_to_first_text",
        "Time from sending a message to its first text",
        ["agent"],
        runs
      ],
      ["openRuns", "dust.runs.open", "Runs that are being followed", ["agent"]],
      ["waitingRuns", "dust.runs.waiting", "Runs that are waiting for a person", ["agent"]],
      ["cancellations", "dust.run.cancellations", "Runs that were cancelled because their consumer stopped", [
        "outcome"
      ]],
      ["unconfirmed", "dust.messages.unconfirmed", "Messages that may or may not have been stored", ["reason"]],
      ["openStreams", "dust.streams.open", "Event streams that are being read", ["operation"]],
      ["reconnects", "dust.stream.reconnects", "Connections of event streams after the first one", [
        "operation",
        "reason"
      ]],
      ["unknownEvents", "dust.stream.unknown_events", "Events of an unknown type or shape", ["operation"]],
      ["toolCalls", "dust.tool.calls", "Calls of client-side tools", ["tool", "outcome"]],
      ["toolDuration", "dust.tool.duration", "Time that a client-side tool took", ["tool"], requests],
      ["governorWaits", "dust.governor.waits", "Calls that waited for a rate limit", ["class"]],
      [
        "governorWaitDuration",
        "dust.governor.wait.duration",
        "Time that a call waited for a rate limit",
        ["class"],
        requests
      ],
      ["governorPauses", "dust.governor.pauses", "Rate limits that Dust reported", ["class"]],
      ["tokenRefreshes", "dust.token.refreshes", "Access tokens that were requested", ["outcome"]]
    ]
    assert.sameMembers(rows.map(([name]) => name), Object.keys(keys))
    for (const [name, metric, description, of, buckets] of rows) {
      const key = keys[name]
      const { keyType } = key
      const given = "boundaries" in keyType ? keyType.boundaries.values : undefined
      // The last bucket is open.
      const expected = buckets === undefined ? undefined : [...buckets, Infinity]
      assert.deepStrictEqual(
        [
          key.name,
          Option.getOrUndefined(key.description),
          labels[name],
          given,
          key.tags.map(({ key, value }) => [key, value])
        ],
        [
          metric,
          description,
          of,
          expected,
          buckets === undefined ? [] : [["unit", "s"]]
        ] as never
      )
    }
  })

  it.effect("counters only count up", () =>
    Effect.gen(function*() {
      const counter = Metric.tagged(Metric.fromMetricKey(keys.unconfirmed), "reason", "counters only count up")
      yield* Metric.incrementBy(counter, 2)
      yield* Metric.incrementBy(counter, -1)
      assert.deepStrictEqual(yield* Metric.value(counter), MetricState.counter(2))
    }))
})
