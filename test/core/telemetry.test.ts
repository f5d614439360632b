/** Telemetry as an exporter of the OpenTelemetry SDK receives it, and as docs/telemetry.md describes it. */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert, describe, it } from "@effect/vitest"
import { SpanStatusCode } from "@opentelemetry/api"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  type MetricData,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import {
  Data,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Metric,
  Redacted,
  Schema,
  Stream,
  TestClock,
  Tracer
} from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as McpServers from "effect-dust/McpServers"
import { Search } from "effect-dust/Search"
import * as Telemetry from "effect-dust/Telemetry"
import { readFileSync } from "node:fs"
import { keys, labels } from "../../src/internal/telemetry/keys.ts"

const { approval, clientTool, fail, faults, silence, text, tool } = DustTest
const { attributes: key, events } = Telemetry

/** The SDK of OpenTelemetry, with exporters in memory. */
const otel = () => {
  const exporter = new InMemorySpanExporter()
  const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 3_600_000 })
  const layer = NodeSdk.layer(() => ({
    resource: { serviceName: "test" },
    spanProcessor: new SimpleSpanProcessor(exporter),
    metricReader: reader
  }))
  return {
    layer,
    spans: () => exporter.getFinishedSpans(),
    span: (name: string) => {
      const found = exporter.getFinishedSpans().filter((span) => span.name === name)
      assert.lengthOf(found, 1, name)
      return found[0]!
    },
    metrics: Effect.map(
      Effect.promise(() => reader.forceFlush()),
      (): ReadonlyArray<MetricData> =>
        metrics.getMetrics().at(-1)?.scopeMetrics.flatMap((scope) => scope.metrics)
          .filter(({ descriptor }) => descriptor.name.startsWith("dust.")) ?? []
    )
  }
}

const parentOf = (all: ReadonlyArray<ReadableSpan>, span: ReadableSpan) =>
  all.find((one) => one.spanContext().spanId === span.parentSpanContext?.spanId)?.name

const eventsOf = (span: ReadableSpan) => span.events.map(({ name }) => name)

/** Everything that an exporter is given of spans. */
const wordsOf = (spans: ReadonlyArray<ReadableSpan>) =>
  JSON.stringify(spans.map(({ attributes, events, name, status }) => ({ attributes, events, name, status })))

/** Runs in the background while time passes, and returns how it ended. */
const passing = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.await(fiber)
  })

/** Moves the clock until the effect has ended. */
const untilEnded = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    while (fiber.unsafePoll() === null) yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

const theRun = Effect.gen(function*() {
  const dust = yield* DustTest.DustTest
  const [conversation] = yield* dust.conversations
  const [message] = yield* dust.agentMessages()
  return { conversationId: conversation!.sId, messageId: message!.sId }
})

const post = "/assistant/conversations/:conversationId/messages"
const eventsPath = "/assistant/conversations/:conversationId/messages/:messageId/events"

describe("Telemetry of a chat", () => {
  it.effect("Telemetry: a chat is one trace, with the token that it needed and the connections that it took", () => {
    const { layer, span, spans } = otel()
    const token = Effect.withSpan(Effect.succeed(DustTest.credentials.userToken), "login")
    const dust = Dust.layer({
      workspaceId: DustTest.credentials.workspaceId,
      baseUrl: "https://local-dust.test",
      accessToken: token
    }).pipe(
      Layer.provideMerge(DustTest.layerHttpClient({
        agents: { Support: [tool({ name: "search" }), silence("20 seconds"), text("a b c")] },
        faults: [
          {
            method: "POST",
            path: "/assistant/conversations",
            nth: 1,
            fault: faults.status(503, { type: "service_unavailable" })
          },
          { path: eventsPath, nth: 1, fault: faults.cut(900) }
        ]
      }))
    )
    return Effect.gen(function*() {
      const chat = yield* Chat
      yield* passing(chat.send({
        agent: { name: "Support" },
        message: "Hello",
        modelSelection: { providerId: "openai", modelId: "gpt-5" }
      }))
      const all = spans()
      assert.lengthOf([...new Set(all.map((one) => one.spanContext().traceId))], 1)
      const run = span("invoke_agent Support")
      assert.isUndefined(run.parentSpanContext)
      for (const one of all) if (one !== run) assert.isDefined(parentOf(all, one), one.name)
      assert.strictEqual(parentOf(all, span("login")), "DustConfig.refresh")
      assert.strictEqual(parentOf(all, span("Conversations.createMessage")), "invoke_agent Support")
      assert.strictEqual(parentOf(all, span("Conversations.messageEvents")), "invoke_agent Support")
      assert.isAbove(all.filter(({ name }) => name === "Conversations.messageEvents connect").length, 1)
      assert.include(eventsOf(span("Conversations.create")), events.retry)
      assert.include(eventsOf(span("Conversations.messageEvents")), events.reconnect)
      assert.deepStrictEqual(eventsOf(run), [events.started, events.toolStarted, events.toolFinished, events.firstText])
      const { [key.conversationId]: conversationId, [key.messageId]: messageId, ...known } = run.attributes
      assert.isString(conversationId)
      assert.isString(messageId)
      assert.deepInclude(known, {
        [key.operationName]: "invoke_agent",
        [key.providerName]: "dust",
        [key.agentName]: "Support",
        [key.agentId]: "Support",
        [key.requestModel]: "gpt-5",
        [key.outcome]: "succeeded",
        [key.finishReasons]: "succeeded"
      })
      assert.strictEqual(run.status.code, SpanStatusCode.OK)
    }).pipe(Effect.provide(Layer.provideMerge(dust, layer)))
  })

  it.effect("Telemetry: a blocking message, and an answer that is waited for, are runs, too", () => {
    const { layer, span, spans } = otel()
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const ask = (agent: string, blocking: boolean) =>
        conversations.createMessage({
          conversationId,
          content: "Hello",
          mentions: [{ configurationId: agent }],
          blocking
        })
      const whole = yield* (yield* passing(ask("fine", true)))
      const [started] = (yield* ask("fine", false)).agentMessages
      yield* passing(conversations.answer({ conversationId, messageId: started?.sId ?? "" }))
      yield* passing(ask("failing", true))
      const fine = span("invoke_agent fine").attributes
      assert.strictEqual(fine[key.outcome], "succeeded")
      assert.strictEqual(fine[key.messageId], whole.agentMessages[0]?.sId)
      assert.strictEqual(span("invoke_agent").attributes[key.messageId], started?.sId)
      assert.strictEqual(span("invoke_agent").attributes[key.outcome], "succeeded")
      const failing = span("invoke_agent failing").attributes
      assert.deepStrictEqual([failing[key.outcome], failing[key.errorType]], ["failed", "DustAgentError"])
      assert.lengthOf(spans().filter(({ name }) => name.startsWith("invoke_agent")), 3)
    }).pipe(Effect.provide(Layer.provideMerge(
      DustTest.layer({ agents: { fine: "Fine", failing: [text("x"), fail()] } }),
      layer
    )))
  })

  it.effect("Telemetry: a run whose consumer stops is marked as interrupted, and its cancellation belongs to its trace", () => {
    const { layer, metrics, span, spans } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      yield* Stream.runDrain(Stream.take(chat.stream({ agent: "left", message: "Hello" }), 2))
      yield* TestClock.adjust("1 minute")
      const run = span("invoke_agent left")
      assert.strictEqual(run.attributes[key.outcome], "interrupted")
      assert.isTrue(run.attributes["status.interrupted"])
      assert.isTrue(span("Conversations.messageEvents").attributes["status.interrupted"])
      assert.strictEqual(parentOf(spans(), span("Conversations.cancel")), "invoke_agent left")
      const [cancellations] = (yield* metrics).filter(({ descriptor }) => descriptor.name === "dust.run.cancellations")
      // Metrics belong to the process, so that other tests count as well.
      const own = cancellations?.dataPoints.filter(({ attributes }) => attributes["tenant"] === "stopped") ?? []
      assert.deepStrictEqual(own.map(({ attributes, value }) => [attributes["outcome"], value]), [["cancelled", 1]])
    }).pipe(
      Effect.tagMetrics("tenant", "stopped"),
      Effect.provide(Layer.provideMerge(DustTest.layer({ agents: { left: [text("a b"), silence("1 hour")] } }), layer))
    )
  })

  it.effect("Telemetry: the span of a stream that is read once ends with the stream, and the stream is no longer open", () => {
    const { layer, span } = otel()
    return Effect.gen(function*() {
      const search = yield* Search
      const results = yield* Stream.runCount(search.unified({ query: "travel", spaceIds: ["vlt_global"] }))
      assert.isAbove(results, 0)
      assert.isAtLeast(Number(span("Search.unified").attributes[key.streamEvents]), results)
      const open = yield* Metric.value(Metric.tagged(Telemetry.openStreams, "operation", "Search.unified"))
      assert.strictEqual(open.value, 0)
    }).pipe(Effect.provide(Layer.provideMerge(DustTest.layer(), layer)))
  })

  it.effect("Telemetry: the reason and duration of a wait distinguish a waiting run from a slow one", () => {
    const { layer, metrics, span } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      const waiting = Metric.value(Metric.tagged(Telemetry.waitingRuns, "agent", "waiting"))
      const decide = () => Effect.as(Effect.sleep("1 minute"), "approved" as const)
      const fiber = yield* Effect.fork(chat.send({ agent: "waiting", message: "Hello", onApproval: decide }))
      yield* Effect.fork(chat.send({ agent: "slow", message: "Hello" }))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* waiting).value, 1)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* waiting).value, 0)
      const run = span("invoke_agent waiting")
      assert.strictEqual(run.attributes[key.waited], 60)
      assert.includeMembers(eventsOf(run), [events.waiting, events.continued])
      const slow = span("invoke_agent slow")
      assert.isUndefined(slow.attributes[key.waited])
      assert.notInclude(eventsOf(slow), events.waiting)
      for (const { dataPoints, descriptor } of yield* metrics) {
        if (descriptor.name !== "dust.run.duration") continue
        assert.strictEqual(descriptor.unit, "s")
        const sums = dataPoints.map(({ attributes, value }) => [attributes["agent"], (value as { sum: number }).sum])
        assert.deepInclude(sums, ["waiting", 60])
        assert.deepInclude(sums, ["slow", 90])
      }
    }).pipe(
      Effect.provide(Layer.provideMerge(
        DustTest.layer({
          agents: {
            waiting: [approval({ name: "send_email" }), text("Sent.")],
            slow: [silence("45 seconds"), text("a"), silence("45 seconds"), text("b")]
          }
        }),
        layer
      ))
    )
  })

  it.effect("Telemetry: what a handler does, and the reading of the final message, belong to the run and not to its consumer", () => {
    const { layer, span, spans } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      const decide = () => Effect.withSpan(Effect.succeed("approved" as const), "decide")
      const asked = chat.stream({ agent: "asks", message: "Hello", onApproval: decide })
      yield* untilEnded(Effect.withSpan(Stream.runDrain(asked), "consumer"))
      assert.strictEqual(parentOf(spans(), span("decide")), "invoke_agent asks")
      const stopped = chat.stream({ agent: "stops", message: "Hello" })
      yield* untilEnded(Effect.withSpan(Effect.exit(Stream.runDrain(stopped)), "consumer"))
      assert.strictEqual(parentOf(spans(), span("Conversations.getMessage")), "invoke_agent stops")
    }).pipe(
      Effect.provide(Layer.provideMerge(
        DustTest.layer({
          agents: {
            asks: [approval({ name: "send_email" }), text("Sent.")],
            stops: [text("a"), fail({ code: "model_error" })]
          }
        }),
        layer
      ))
    )
  })

  it.effect("Telemetry: time to first text counts from sending the message, and not for a resumed run", () => {
    const { layer, span } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      const measured = Metric.value(Metric.tagged(Telemetry.timeToFirstText, "agent", "first"))
      yield* passing(chat.send({ agent: "first", message: "Hello" }))
      assert.strictEqual(span("invoke_agent first").attributes[key.timeToFirstText], 20)
      assert.strictEqual((yield* measured).count, 1)
      yield* Stream.runDrain(chat.resume(yield* theRun))
      assert.strictEqual((yield* measured).count, 1)
    }).pipe(
      Effect.provide(Layer.provideMerge(
        DustTest.layer({
          agents: { first: [silence("20 seconds"), text("a b c")] },
          faults: [{ method: "POST", path: "/assistant/conversations", fault: faults.delayHeaders("10 seconds") }]
        }),
        layer
      ))
    )
  })
})

describe("Interruption", () => {
  it.effect(
    "Telemetry: wherever a chat is interrupted, its spans end and its gauges go back",
    () =>
      Effect.gen(function*() {
        const open = new Set<string>()
        const native = yield* Effect.tracer
        const tracer = Tracer.make({
          span: (...args) => {
            const span = native.span(...args)
            open.add(`${span.name} ${span.spanId}`)
            const end = span.end.bind(span)
            span.end = (time, exit) => {
              open.delete(`${span.name} ${span.spanId}`)
              end(time, exit)
            }
            return span
          },
          context: (f, fiber) => native.context(f, fiber)
        })
        const { send, stream } = yield* Chat
        const question = { agent: "swept", message: "Hello" }
        let ended = 0
        for (let steps = 0; ended < 6; steps++) {
          const chat: Effect.Effect<unknown, unknown> = steps % 2 === 0
            ? send(question)
            : Stream.runDrain(stream({ ...question, onApproval: () => Effect.succeed("approved") }))
          const fiber = yield* Effect.fork(Effect.withTracer(chat, tracer))
          for (let step = 0; step < steps; step++) yield* Effect.yieldNow()
          if (Exit.isSuccess(yield* Fiber.interrupt(fiber))) ended++
        }
        yield* TestClock.adjust("5 minutes")
        assert.deepStrictEqual([...open], [])
        const streams = Metric.tagged(Telemetry.openStreams, "operation", "Conversations.messageEvents")
        for (const gauge of [Metric.tagged(Telemetry.openRuns, "agent", "swept"), streams]) {
          assert.strictEqual((yield* Metric.value(gauge)).value, 0)
        }
      }).pipe(Effect.provide(DustTest.layer({ agents: { swept: [text("a b c"), text("d e")] } })))
  )
})

class Rejected extends Data.TaggedError("Rejected") {}

describe("Outcomes of runs", () => {
  const send = (agent: string, more: object = {}) =>
    Effect.flatMap(Chat, (chat) => chat.send({ agent, message: "a private question", ...more }))

  const outcomes: ReadonlyArray<
    readonly [
      outcome: Telemetry.Outcome,
      failed: boolean,
      errorType: string | undefined,
      program: (agent: string) => Effect.Effect<unknown, unknown, Chat | Conversations | DustTest.DustTest>,
      options: DustTest.Options
    ]
  > = [
    ["succeeded", false, undefined, send, {}],
    ["failed", true, "DustAgentError", send, {
      agents: { agent: [fail({ code: "model_error", message: "cannot say a private question" })] }
    }],
    ["cancelled", true, "DustAgentError", (agent) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.exit(send(agent)))
        yield* Effect.sleep("1 minute")
        const { conversationId, messageId } = yield* theRun
        const { cancel } = yield* Conversations
        yield* cancel({ conversationId, messageIds: [messageId] })
        return yield* Fiber.join(fiber)
      }), { agents: { agent: [silence("1 hour")] } }],
    ["interrupted", false, undefined, (agent) => Effect.timeoutOption(send(agent), "1 minute"), {
      agents: { agent: [silence("1 hour")] }
    }],
    ["waiting", true, "DustStreamError", (agent) => send(agent, { whenBlocked: "fail" }), {
      agents: { agent: [approval({ name: "send_email" })] }
    }],
    ["handler_failed", true, "Rejected", (agent) => send(agent, { onApproval: () => new Rejected() }), {
      agents: { agent: [approval({ name: "send_email" })] }
    }],
    ["lost", true, "DustStreamError", (agent) => send(agent, { silence: "1 minute" }), {
      agents: { agent: [silence("1 hour")] }
    }],
    ["unconfirmed", true, "DustUnconfirmedError", send, {
      faults: [{ method: "POST", path: post, fault: faults.resetBefore() }]
    }],
    ["not_sent", true, "DustBadRequestError", () => send("nobody"), {}]
  ]

  for (const [outcome, failed, errorType, program, options] of outcomes) {
    it.effect(`Telemetry: ${outcome} is on the span and in the metric of the run, without what was said`, () => {
      const { layer, metrics, spans } = otel()
      const agent = "agent"
      const dust = DustTest.layer({ agents: { agent: "fine" }, ...options })
      const count = Effect.map(
        metrics,
        (all) =>
          all.find(({ descriptor }) => descriptor.name === "dust.runs")?.dataPoints
            .filter(({ attributes }) => attributes["outcome"] === outcome)
            .reduce((sum, { value }) => sum + Number(value), 0) ?? 0
      )
      return Effect.gen(function*() {
        const before = yield* count
        yield* passing(program(agent))
        const [run] = spans().filter(({ name }) => name.startsWith("invoke_agent"))
        assert.isDefined(run)
        assert.strictEqual(run?.attributes[key.outcome], outcome)
        assert.strictEqual(run?.attributes[key.errorType], errorType)
        assert.strictEqual(run?.status.code, failed ? SpanStatusCode.ERROR : SpanStatusCode.OK)
        assert.strictEqual(run?.attributes["status.interrupted"], outcome === "interrupted" ? true : undefined)
        assert.strictEqual((yield* count) - before, 1)
        for (const gauge of [Telemetry.openRuns, Telemetry.waitingRuns]) {
          assert.strictEqual((yield* Metric.value(Metric.tagged(gauge, "agent", agent))).value, 0)
        }
        assert.notInclude(wordsOf(spans()), "private")
      }).pipe(Effect.provide(Layer.provideMerge(dust, layer)))
    })
  }
})

describe("Telemetry of client-side tools", () => {
  const served = (handler: () => Effect.Effect<string, Rejected>) =>
    Effect.flatMap(McpServers.McpServers, (servers) =>
      servers.serve({
        name: "Order desk",
        tools: [McpServers.tool({
          name: "order_status",
          description: "Finds an order",
          input: Schema.Struct({ number: Schema.Int }),
          handler
        })]
      }))
  const asks = [clientTool({ name: "order_status", inputs: { number: 42 }, onResult: () => "Done." })]
  const dust = DustTest.layer({ credential: "userToken", agents: { desk: asks, other: asks } })

  it.effect("Telemetry: a call of a tool is a part of the run that calls it", () => {
    const { layer, span, spans } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      const { serverId } = yield* served(() => Effect.withSpan(Effect.succeed("a private result"), "lookup"))
      yield* passing(chat.send({
        agent: "desk",
        message: "Where is 42?",
        context: { clientSideMCPServerIds: [yield* serverId] }
      }))
      const called = span("execute_tool order_status")
      assert.strictEqual(parentOf(spans(), called), "invoke_agent desk")
      assert.strictEqual(parentOf(spans(), span("lookup")), "execute_tool order_status")
      assert.deepInclude(called.attributes, { [key.operationName]: "execute_tool", [key.toolName]: "order_status" })
      assert.strictEqual(called.status.code, SpanStatusCode.OK)
      assert.notInclude(wordsOf(spans()), "private")
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(dust, layer)))
  })

  it.effect("Telemetry: a tool that fails is a failed span, although the agent goes on", () => {
    const { layer, span } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      const { serverId } = yield* served(() => new Rejected())
      yield* passing(chat.send({
        agent: "desk",
        message: "Where is 42?",
        context: { clientSideMCPServerIds: [yield* serverId] }
      }))
      const called = span("execute_tool order_status")
      assert.strictEqual(called.status.code, SpanStatusCode.ERROR)
      assert.strictEqual(called.attributes[key.errorType], "Rejected")
      assert.strictEqual(span("invoke_agent desk").attributes[key.outcome], "succeeded")
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(dust, layer)))
  })

  it.effect("Telemetry: a call that may belong to several runs is linked to all of them", () => {
    const { layer, spans } = otel()
    return Effect.gen(function*() {
      const chat = yield* Chat
      const { serverId } = yield* served(() => Effect.as(Effect.sleep("1 second"), "shipped"))
      const context = { clientSideMCPServerIds: [yield* serverId] }
      yield* passing(Effect.all([
        chat.send({ agent: "desk", message: "Where is 42?", context }),
        chat.send({ agent: "other", message: "Where is 42?", context })
      ], { concurrency: 2 }))
      const calls = spans().filter(({ name }) => name === "execute_tool order_status")
      assert.lengthOf(calls, 2)
      const runs = spans().filter(({ name }) => name.startsWith("invoke_agent")).map((run) => run.spanContext().spanId)
      for (const { links } of calls) {
        assert.sameMembers(links.map(({ context }) => context.spanId), runs)
      }
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(dust, layer)))
  })
})

describe("Logs", () => {
  const logged = (level: LogLevel.LogLevel) => {
    const lines: Array<
      { readonly level: string; readonly text: string; readonly annotations: Record<string, unknown> }
    > = []
    return {
      lines,
      layer: Layer.merge(
        Logger.minimumLogLevel(level),
        Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ annotations, logLevel, message }) => {
            lines.push({ level: logLevel.label, text: String(message), annotations: Object.fromEntries(annotations) })
          })
        )
      )
    }
  }
  const dust = DustTest.layer({
    agents: { helper: [text("a b c"), silence("1 minute"), text("d")] },
    faults: [
      {
        method: "POST",
        path: "/assistant/conversations",
        nth: 1,
        fault: faults.status(503, { type: "service_unavailable" })
      },
      { path: eventsPath, nth: 1, fault: faults.cut(900) }
    ]
  })
  const chat = Effect.flatMap(Chat, ({ send }) => passing(send({ agent: "helper", message: "a private question" })))

  it.effect("Telemetry: every attempt, pause and reconnection is logged at level debug, with ids and without content", () => {
    const { layer, lines } = logged(LogLevel.Debug)
    return Effect.gen(function*() {
      yield* chat
      const texts = lines.filter(({ level }) => level === "DEBUG").map(({ text }) => text)
      assert.isAbove(texts.filter((text) => text === "Request").length, 4)
      assert.includeMembers(texts, ["Request is retried after a pause", "Event stream reconnects"])
      const connections = lines.filter(({ annotations }) => annotations["operation"] === "Conversations.messageEvents")
      for (const { annotations } of connections) {
        assert.isString(annotations["conversationId"])
        assert.isString(annotations["messageId"])
      }
      assert.notInclude(JSON.stringify(lines), "private")
      assert.notInclude(JSON.stringify(lines), Redacted.value(DustTest.credentials.apiKey))
    }).pipe(Effect.provide(Layer.provideMerge(dust, layer)))
  })

  it.effect("Telemetry: nothing is logged at level info where all goes well in the end", () => {
    const { layer, lines } = logged(LogLevel.Info)
    return Effect.gen(function*() {
      yield* chat
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(Layer.provideMerge(dust, layer)))
  })

  it.effect("Telemetry: a message that may be stored is a warning with its conversation", () => {
    const { layer, lines } = logged(LogLevel.Info)
    const lost = DustTest.layer({ faults: [{ method: "POST", path: post, fault: faults.resetBefore() }] })
    return Effect.gen(function*() {
      yield* chat
      const [conversation] = yield* Effect.flatMap(DustTest.DustTest, (server) => server.conversations)
      const warnings = lines.filter(({ level }) => level === "WARN").map(({ annotations }) => annotations)
      assert.deepStrictEqual(warnings, [{ conversationId: conversation!.sId, reason: "not_found" }])
    }).pipe(Effect.provide(Layer.provideMerge(lost, layer)))
  })
})

describe("docs/telemetry.md", () => {
  const guide = readFileSync(new URL("../../docs/telemetry.md", import.meta.url), "utf8")
  /** The rows of the table with these columns, without their backquotes. */
  const table = (...columns: ReadonlyArray<string>) => {
    const lines = guide.split("\n")
    const start = lines.indexOf(`| ${columns.join(" | ")} |`)
    assert.isAtLeast(start, 0, columns.join(", "))
    const rows = lines.slice(start + 2)
    const end = rows.findIndex((line) => !line.startsWith("|"))
    return rows.slice(0, end === -1 ? undefined : end).map((row) =>
      row.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""))
    )
  }

  it("docs/telemetry.md: lists exactly the span events and attributes in use", () => {
    assert.sameMembers(table("span event", "on the span of", "when").map(([name]) => name), Object.values(events))
    assert.sameMembers(table("attribute", "on", "value").map(([name]) => name), Object.values(key))
  })

  it("docs/telemetry.md: names the spans", () => {
    const names = table("span", "kind", "what it covers").map(([name]) => name?.split(" ")[0])
    for (const name of Object.values(Telemetry.spans)) assert.include(names, name)
  })

  it.effect("docs/telemetry.md: has every metric that is registered, with its type, its unit and its labels", () =>
    Effect.gen(function*() {
      // Looking at a metric registers it.
      for (const metric of Object.values(Telemetry)) {
        if ("keyType" in metric) yield* Metric.value(metric as typeof Telemetry.requests)
      }
      const registered = new Map(
        (yield* Metric.snapshot).flatMap(({ metricKey, metricState }) =>
          metricKey.name.startsWith("dust.")
            ? [[metricKey.name, {
              type: "buckets" in metricState ? "histogram" : "count" in metricState ? "counter" : "gauge",
              unit: metricKey.tags.find((tag) => tag.key === "unit")?.value ?? ""
            }]]
            : []
        )
      )
      const documented = table("metric", "type", "unit", "labels", "what it counts or measures")
      assert.sameMembers(documented.map(([name]) => name), [...registered.keys()])
      for (const [name = "", type, unit, of] of documented) {
        assert.deepStrictEqual({ type, unit }, registered.get(name), name)
        const known = Object.entries(keys).find(([, metric]) => metric.name === name)?.[0] as keyof typeof labels
        assert.deepStrictEqual(of?.split(", "), [...labels[known]], name)
      }
    }))
})
