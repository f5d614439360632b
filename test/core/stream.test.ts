import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Chunk,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Option,
  Redacted,
  Scope,
  Stream,
  TestClock
} from "effect"
import type { AgentMessageEvent } from "effect-dust/AgentMessageEvent"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import * as Telemetry from "effect-dust/Telemetry"
import * as fc from "effect/FastCheck"
import { Cursor } from "../../src/internal/stream/cursor.ts"
import { dust, json } from "../support/http.ts"
import { seed } from "../support/seed.ts"
import { virtualClock } from "../support/virtual.ts"

const { faults } = DustTest
const eventsPath = /\/messages\/[^/]+\/events$/
/** Connections, without the redirects in front of them. */
const connections = { method: "GET", path: /\/api\/sse\/.*\/messages\/[^/]+\/events$/ }

const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i} `)

/** A message to an agent: what to follow. */
const ask = (agent: string, content = "Hello") =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const { sId: conversationId } = yield* conversations.create()
    const { agentMessages } = yield* conversations.createMessage({
      conversationId,
      content,
      mentions: [{ configurationId: agent }]
    })
    return { conversationId, messageId: agentMessages[0]!.sId }
  })

const finished = (agent: string) =>
  Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    const ids = yield* ask(agent)
    yield* dust.waitForRun(ids.messageId)
    return ids
  })

const follow = (
  ids: { readonly conversationId: string; readonly messageId: string },
  options: { readonly lastEventId?: string; readonly silence?: Duration.DurationInput } = {}
) => Stream.unwrap(Effect.map(Conversations, (conversations) => conversations.messageEvents({ ...ids, ...options })))

const all = (
  ids: { readonly conversationId: string; readonly messageId: string },
  options?: { readonly lastEventId?: string; readonly silence?: Duration.DurationInput }
) => Effect.map(Stream.runCollect(follow(ids, options)), Chunk.toReadonlyArray)

const keys = (events: Iterable<AgentMessageEvent>) => Array.from(events, (event) => `${event.eventId} ${event.type}`)
const typesOf = (events: Iterable<AgentMessageEvent>) => Array.from(events, (event) => event.type)
const textOf = (events: Iterable<AgentMessageEvent>) =>
  Array.from(events, (event) => event.type === "generation_tokens" ? event.text : "").join("")

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

/** Runs with time that passes by itself. */
const timeless = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.suspend(() => Effect.withClock(effect, virtualClock())))

/** Services over Local Dust through a changed client. */
const through = (
  change: (client: HttpClient.HttpClient) => HttpClient.HttpClient,
  options?: DustTest.Options
): Layer.Layer<Dust.Services | DustTest.DustTest> =>
  Layer.unwrapEffect(Effect.map(DustTest.DustTest, (control) =>
    Layer.orDie(Dust.layer({
      workspaceId: control.workspaceId,
      baseUrl: control.url,
      apiKey: control.apiKey
    })).pipe(Layer.provide(Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, change)))))).pipe(
      Layer.provideMerge(DustTest.layerHttpClient(options))
    )

const forgetful = HttpClient.mapRequest((request: HttpClientRequest.HttpClientRequest) =>
  HttpClientRequest.modify(request, { urlParams: [] })
)

const script: ReadonlyArray<DustTest.Step> = [
  DustTest.think("Hm. "),
  DustTest.text("é😀: "),
  DustTest.tool({ name: "t" }),
  DustTest.text("All good")
]

describe("Every event once, in order", () => {
  it("a stream that is cut at any byte, or ends there", () =>
    timeless(
      Effect.gen(function*() {
        const dust = yield* DustTest.DustTest
        const ids = yield* finished("helper")
        const expected = keys(yield* all(ids))
        assert.strictEqual(new Set(expected).size, expected.length)
        assert.lengthOf(expected, 8)
        const { bytesSent } = yield* dust.lastRequest(connections)
        assert.isAbove(bytesSent, 2_000)
        let lost = 0
        let doubled = 0
        for (let at = 1; at <= bytesSent; at++) {
          yield* dust.clearRequests
          yield* dust.clearFaults
          yield* dust.fault({
            path: eventsPath,
            when: ({ route }) => route !== undefined,
            nth: 1,
            fault: at % 2 === 0 ? faults.cut(at) : faults.end(at)
          })
          const events = keys(yield* all(ids))
          lost += expected.filter((key) => !events.includes(key)).length
          doubled += events.length - new Set(events).size
          assert.deepStrictEqual(events, expected, `cut at byte ${at}`)
        }
        assert.deepStrictEqual([lost, doubled], [0, 0])
      }).pipe(local({ agents: { helper: script }, quirks: { historyTtl: "10 days" } }))
    ), 120_000)

  it(
    "whatever is cut, doubled, dripped, paged, reordered within a millisecond, or asked for again from the start",
    () => {
      const fault = fc.oneof(
        fc.constant(undefined),
        fc.record({ at: fc.integer({ min: 1, max: 6_000 }), orderly: fc.boolean() }).map(({ at, orderly }) =>
          orderly ? faults.end(at) : faults.cut(at)
        ),
        fc.constant(faults.doubleFrames()),
        fc.integer({ min: 1, max: 400 }).map((bytes) => faults.drip(bytes)),
        fc.constant(faults.resetBefore()),
        fc.constant(faults.resetAfter()),
        fc.constant(faults.status(503, { type: "service_unavailable" }))
      )
      return fc.assert(
        fc.asyncProperty(
          // A server that fails for good is another matter: every third connection is a whole one.
          fc.array(fc.tuple(fault, fault), { maxLength: 6 }).map((pairs) =>
            pairs.flatMap((pair) => [...pair, undefined])
          ),
          fc.record({
            historyPageSize: fc.integer({ min: 2, max: 60 }),
            handshake: fc.boolean(),
            doneFrame: fc.boolean(),
            sseRedirect: fc.boolean(),
            sameMillisecondReorder: fc.boolean(),
            endOfStreamOnReplay: fc.boolean(),
            heartbeat: fc.constantFrom<"1 second" | undefined>(undefined, "1 second")
          }),
          fc.boolean(),
          fc.boolean(),
          (plan, quirks, ignores, afterwards) =>
            timeless(
              Effect.gen(function*() {
                const dust = yield* DustTest.DustTest
                const ids = afterwards ? yield* finished("helper") : yield* ask("helper")
                const events = yield* all(ids)
                yield* dust.clearFaults
                const { content } = yield* dust.message(ids.messageId)
                // 60 tokens, a tool of four events, 20 tokens, the end: whatever the order within a millisecond.
                const found = keys(events)
                assert.strictEqual(new Set(found).size, found.length, "nothing twice")
                const texts = events.flatMap((event) => event.type === "generation_tokens" ? [event.text] : [])
                assert.deepStrictEqual(texts.toSorted(), [...words(60), ...words(20)].toSorted(), "nothing lost")
                if (!quirks.sameMillisecondReorder) {
                  assert.deepStrictEqual(texts, [...words(60), ...words(20)], "in order")
                }
                assert.lengthOf(events, 60 + 4 + 20 + 1)
                const last = events[events.length - 1]!
                assert.isTrue(last.type === "agent_message_success" && last.message.content === content)
              }).pipe(Effect.provide(through(
                // A server that ignores `lastEventId` must not page.
                ignores && quirks.historyPageSize === 60 ? forgetful : (client) => client,
                {
                  agents: {
                    helper: [
                      DustTest.text("", { tokens: words(60) }),
                      DustTest.tool({ name: "search", progress: [{ label: "half" }] }),
                      DustTest.text("", { tokens: words(20) }),
                      // The end is the server's last word also where it sorts.
                      DustTest.silence("2 millis")
                    ]
                  },
                  quirks: ignores && quirks.historyPageSize === 60 ? { ...quirks, historyPageSize: 5_000 } : quirks,
                  faults: plan.flatMap((fault, index) => {
                    const path = quirks.sseRedirect ? connections.path : eventsPath
                    return fault === undefined ? [] : [{ method: "GET", path, nth: index + 1, fault }]
                  })
                }
              )))
            )
        ),
        {
          numRuns: 150,
          seed,
          examples: [
            // The third connection brings only known events, and those around it none.
            [
              [faults.doubleFrames(), faults.cut(1), undefined, faults.cut(1), faults.cut(1), undefined],
              {
                historyPageSize: 2,
                handshake: false,
                doneFrame: false,
                sseRedirect: false,
                sameMillisecondReorder: false,
                endOfStreamOnReplay: false,
                heartbeat: undefined
              },
              false,
              false
            ]
          ]
        }
      )
    },
    120_000
  )

  it("a server that ignores `lastEventId` and always begins at the start", () =>
    timeless(
      Effect.gen(function*() {
        const ids = yield* finished("helper")
        assert.lengthOf(yield* all(ids), 201)
      }).pipe(Effect.provide(through(forgetful, {
        agents: { helper: [DustTest.text("", { tokens: words(200) })] },
        quirks: { historyPageSize: 5_000 },
        faults: [{ path: connections.path, times: 20, fault: faults.cut(3_000) }, {
          path: connections.path,
          times: 40,
          fault: faults.end(25_000)
        }]
      })))
    ))

  it.effect("pages are read back to back, without a pause: 1,000 events are 20 connections, and no time passes", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* finished("helper")
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 1_000)
      const before = yield* TestClock.currentTimeMillis
      const events = yield* all(ids)
      assert.strictEqual(yield* TestClock.currentTimeMillis, before)
      assert.lengthOf(events, 999)
      assert.strictEqual(textOf(events), words(998).join(""))
      assert.strictEqual(yield* dust.countRequests(connections), 20)
    }).pipe(local({ agents: { helper: [DustTest.text("", { tokens: words(998) })] } })))

  it.effect("follows the redirect of the stream URL once", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* finished("helper")
      for (let i = 0; i < 2; i++) assert.strictEqual(textOf(yield* all(ids)), words(98).join(""))
      assert.deepStrictEqual(
        (yield* dust.requests({ path: eventsPath })).map(({ path, status }) => [
          path.startsWith("/api/sse/"),
          status
        ]),
        [[false, 307], ...Array.from({ length: 4 }, () => [true, 200])]
      )
      // Nothing but streams has moved.
      yield* Effect.flatMap(Conversations, (conversations) => conversations.getMessage(ids))
      assert.isTrue((yield* dust.lastRequest()).path.startsWith("/api/v1/"))
    }).pipe(local({ agents: { helper: [DustTest.text("", { tokens: words(98) })] } })))

  it.effect("1,000 events of one millisecond, out of order in every page", () =>
    Effect.gen(function*() {
      const ids = yield* finished("helper")
      const events = yield* all(ids)
      const texts = events.flatMap((event) => event.type === "generation_tokens" ? [event.text] : [])
      assert.strictEqual(new Set(events.map(({ eventId }) => eventId?.split("-")[0])).size, 2)
      assert.deepStrictEqual(texts.toSorted(), words(995).toSorted())
    }).pipe(
      local({
        agents: { helper: [DustTest.text("", { tokens: words(995) }), DustTest.silence("1 millis")] },
        quirks: { sameMillisecondReorder: true }
      }),
      (self) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(self)
          yield* TestClock.adjust("5 millis")
          yield* Fiber.join(fiber)
        })
    ))

  it("what a cursor has delivered it delivers never again, in bounded memory, also within one busy millisecond", () => {
    const cursor = new Cursor(undefined)
    const ids = Array.from({ length: 1_000 }, (_, i) => `5-${i}`)
    const shuffled = ids.toSorted()
    assert.lengthOf(shuffled.filter((id) => cursor.accept(id)), 1_000)
    assert.lengthOf(shuffled.filter((id) => cursor.accept(id)), 0)
    assert.strictEqual(cursor.position, "5-999")
    for (let ms = 6; ms < 50_000; ms++) assert.isTrue(cursor.accept(`${ms}-${ms % 1000}`))
    for (let ms = 5; ms < 50_000; ms += 7) assert.isFalse(cursor.accept(`${ms}-${ms % 1000}`))
    assert.strictEqual(cursor.position, "49999-999")
    assert.strictEqual(cursor.safePosition, "49998-998")
    assert.strictEqual(new Cursor("7-1").position, "7-1")
    assert.strictEqual(new Cursor("7-1").safePosition, "7-1")
    // Ids are numbers, not text.
    const numbers = new Cursor(undefined)
    for (const id of ["9-9", "10-2", "10-10"]) numbers.accept(id)
    assert.strictEqual(numbers.position, "10-10")
    // A non-numeric value is kept unchanged.
    numbers.accept("opaque")
    assert.strictEqual(numbers.position, "opaque")
  })

  it.effect("reads live events, and those emitted while disconnected", () =>
    Effect.gen(function*() {
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      for (let i = 0; i < 100; i++) yield* TestClock.adjust("5 seconds")
      const events = yield* Fiber.join(fiber)
      assert.strictEqual(textOf(events), words(100).join(""))
      const dust = yield* DustTest.DustTest
      // One connection a minute, as the server wants it.
      assert.isAtLeast(yield* dust.countRequests(connections), 8)
      assert.isAtMost(yield* dust.countRequests(connections), 12)
    }).pipe(local({ agents: { helper: [DustTest.text("", { tokens: words(100), pace: "5 seconds" })] } })))

  it.effect("a connection that breaks is continued right before its last event, not from its beginning", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const seen: Array<string | undefined> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(follow(ids), ({ eventId }) => Effect.sync(() => seen.push(eventId)))
      )
      yield* dust.waitForRequest(connections)
      while ((yield* dust.openConnections).length > 0) yield* TestClock.adjust("100 millis")
      const whole = seen.length
      assert.isAbove(whole, 9)
      while ((yield* dust.countRequests(connections)) < 2) yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* dust.requests(connections))[1]?.query["lastEventId"], seen[whole - 2])
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.lengthOf(seen, 31)
    }).pipe(local({
      agents: { helper: [DustTest.text("", { tokens: words(30), pace: "1 second" })] },
      faults: [{ path: connections.path, nth: 1, fault: faults.cut(3_000) }]
    })))

  it.effect("another process continues where the first one stopped", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const http = yield* HttpClient.HttpClient
      const process = () =>
        Effect.provide(
          Layer.fresh(Layer.orDie(Dust.layer({
            workspaceId: dust.workspaceId,
            baseUrl: dust.url,
            apiKey: dust.apiKey
          }))).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http)))
        )
      const ids = yield* process()(ask("helper"))
      yield* dust.waitForRun(ids.messageId)
      const whole = keys(yield* process()(all(ids)))
      for (const taken of [1, 49, 50, 51, 100]) {
        const first = Chunk.toReadonlyArray(yield* process()(Stream.runCollect(Stream.take(follow(ids), taken))))
        const lastEventId = first[taken - 1]!.eventId!
        const rest = yield* process()(all(ids, { lastEventId }))
        assert.deepStrictEqual([...keys(first), ...keys(rest)], whole)
      }
      const requests = yield* dust.requests(connections)
      assert.isTrue(requests.some((request) => typeof request.query["lastEventId"] === "string"))
    }).pipe(
      Effect.provide(DustTest.layerHttpClient({ agents: { helper: [DustTest.text("", { tokens: words(120) })] } }))
    ))

  it.effect("events of unknown type or shape pass through, are counted, and do not end anything", () =>
    Effect.gen(function*() {
      const unknown = Metric.tagged(Telemetry.unknownEvents, "operation", "Conversations.messageEvents")
      const before = (yield* Metric.value(unknown)).count
      const ids = yield* finished("helper")
      const events = yield* all(ids)
      assert.deepStrictEqual(typesOf(events), [
        "generation_tokens",
        "unknown",
        "unknown",
        "unknown",
        "unknown",
        "unknown",
        "generation_tokens",
        "agent_message_success"
      ])
      assert.deepInclude(events[1], { kind: "agent_juggled", raw: { type: "agent_juggled", balls: 3 } })
      assert.deepInclude(events[2], { kind: null, raw: 42 })
      assert.deepInclude(events[3], { kind: null, raw: "{\"eventId\":" })
      assert.deepInclude(events[4], { kind: "generation_tokens" })
      assert.deepInclude(events[5], { kind: null, raw: [1] })
      assert.strictEqual((yield* Metric.value(unknown)).count - before, 5)
    }).pipe(local({
      agents: {
        helper: [
          DustTest.text("a"),
          DustTest.unknownEvent({ type: "agent_juggled", balls: 3 }),
          DustTest.unknownEvent(42),
          DustTest.malformedEvent("{\"eventId\":"),
          DustTest.unknownEvent({ type: "generation_tokens", text: 7 }),
          DustTest.malformedEvent("[1]"),
          DustTest.text("b")
        ]
      }
    })))

  it.effect("oversized event: fails with a typed error after emitting the events before it", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const seen: Array<AgentMessageEvent> = []
      const fiber = yield* Effect.fork(
        Effect.flip(Stream.runForEach(follow(ids), (event) => Effect.sync(() => seen.push(event))))
      )
      yield* dust.waitForRequest(connections)
      yield* dust.publishRaw(ids.messageId, "x".repeat(65 * 1024 * 1024))
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustStreamError")
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "event_too_large")
      assert.isTrue(error._tag === "DustStreamError" && error.lastEventId === seen[0]!.eventId)
      assert.deepStrictEqual(typesOf(seen), ["generation_tokens"])
      assert.strictEqual(yield* dust.openStreams, 0)
    }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.silence()] } })))

  it.effect("requests the next page only when the current one is consumed", () =>
    Effect.scoped(Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* finished("helper")
      yield* dust.clearRequests
      const pull = yield* Stream.toPull(follow(ids))
      let events = 0
      for (let page = 1; page <= 4; page++) {
        while (events < page * 50) events += Chunk.size(yield* pull)
        for (let i = 0; i < 20; i++) yield* TestClock.adjust("1 second")
        assert.strictEqual(events, page * 50)
        assert.strictEqual(yield* dust.countRequests(connections), page)
      }
    })).pipe(local({ agents: { helper: [DustTest.text("", { tokens: words(300) })] } })))

  it.effect("the events of a conversation: without an end, over every close, and continued elsewhere", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { conversationId } = yield* finished("echo")
      const seen: Array<string> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(
          conversations.events({ conversationId }),
          (event) => Effect.sync(() => seen.push(`${event.eventId} ${event.type}`))
        )
      )
      // Ten idle closes of three minutes each.
      for (let i = 0; i < 31; i++) yield* TestClock.adjust("1 minute")
      const once = seen.length
      assert.isAtLeast(once, 4)
      yield* conversations.createMessage({ conversationId, content: "Again", mentions: [{ configurationId: "echo" }] })
      yield* TestClock.adjust("1 minute")
      assert.isAbove(seen.length, once)
      assert.strictEqual(new Set(seen).size, seen.length)
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(yield* dust.openConnections, 0)
      const position = seen[seen.length - 2]!.split(" ")[0]!
      const rest = yield* Stream.runCollect(
        Stream.take(conversations.events({ conversationId, lastEventId: position }), 1)
      )
      assert.deepStrictEqual(Array.from(rest, (event) => `${event.eventId} ${event.type}`), [seen[seen.length - 1]])
    }).pipe(local()))
})

describe("The server's final text wins", () => {
  it.effect("expired history: reads the outcome from the conversation, soon", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* finished("helper")
      yield* dust.expireHistory(ids.messageId)
      const fiber = yield* Effect.fork(all(ids))
      yield* TestClock.adjust("10 seconds")
      const events = yield* Fiber.join(fiber)
      assert.deepStrictEqual(typesOf(events), ["agent_message_success"])
      assert.isTrue(events[0]!.type === "agent_message_success" && events[0].message.content === "Hello there")
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(local({ agents: { helper: "Hello there" } })))

  it.effect("reports failed and cancelled runs as such", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const failed = yield* finished("failing")
      const cancelled = yield* ask("endless")
      yield* conversations.cancel({ conversationId: cancelled.conversationId, messageIds: [cancelled.messageId] })
      yield* dust.waitForRun(cancelled.messageId)
      for (const ids of [failed, cancelled]) yield* dust.expireHistory(ids.messageId)
      const fiber = yield* Effect.fork(Effect.all([all(failed), all(cancelled)], { concurrency: 2 }))
      yield* TestClock.adjust("10 seconds")
      const [first, second] = yield* Fiber.join(fiber)
      assert.deepStrictEqual([typesOf(first), typesOf(second)], [["agent_error"], ["agent_generation_cancelled"]])
      assert.isTrue(first[0]!.type === "agent_error" && first[0].error.code === "out_of_luck")
    }).pipe(local({ agents: { failing: [DustTest.fail({ code: "out_of_luck" })], endless: [DustTest.silence()] } })))

  it.effect("does not emit the server's end marker", () =>
    Effect.gen(function*() {
      const ids = yield* finished("helper")
      const events = yield* all(ids)
      assert.deepStrictEqual(typesOf(events), ["generation_tokens", "agent_message_success"])
      // Only the marker follows the last event: the outcome is read from the conversation.
      const again = yield* all(ids, { lastEventId: events[1]!.eventId! })
      assert.deepStrictEqual(typesOf(again), ["agent_message_success"])
    }).pipe(local({ agents: { helper: "Hello" } })))

  it.effect("malformed terminal event: ends the stream with the outcome of the conversation", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const ids = yield* finished("helper")
      const events = yield* all(ids)
      assert.deepStrictEqual(typesOf(events), ["generation_tokens", "unknown", "agent_message_success"])
      const message = yield* conversations.answer(ids)
      assert.deepStrictEqual([message.status, message.content], ["succeeded", "Hello"])
    }).pipe(local({
      agents: { helper: [DustTest.text("Hello"), DustTest.unknownEvent({ type: "agent_message_success", message: 7 })] }
    })))

  it.effect("one that comes while the run goes on does not end it", () =>
    Effect.gen(function*() {
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      yield* TestClock.adjust("3 minutes")
      const events = yield* Fiber.join(fiber)
      assert.deepStrictEqual(typesOf(events), [
        "generation_tokens",
        "unknown",
        "tool_error",
        "generation_tokens",
        "agent_message_success"
      ])
    }).pipe(local({
      agents: {
        helper: [
          DustTest.text("a"),
          DustTest.unknownEvent({ type: "agent_message_success", message: 7 }),
          DustTest.silence("1 minute"),
          DustTest.unknownEvent({ type: "tool_error", error: { code: "x", message: "y", metadata: null } }),
          DustTest.silence("1 minute"),
          DustTest.text("b")
        ]
      }
    })))

  it.effect("tool_error: continues when the message is still running", () =>
    Effect.gen(function*() {
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      for (let i = 0; i < 60; i++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(typesOf(yield* Fiber.join(fiber)), [
        "generation_tokens",
        "tool_error",
        "agent_message_success"
      ])
    }).pipe(local({
      agents: {
        helper: [
          DustTest.text("a"),
          DustTest.unknownEvent({ type: "tool_error", error: { code: "x", message: "y", metadata: null } }),
          DustTest.silence("10 seconds")
        ]
      },
      faults: [{ path: connections.path, nth: Array.from({ length: 50 }, (_, i) => i + 2), fault: faults.cut(5) }]
    })))

  it.effect("a failed tool that ends the run", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const ids = yield* finished("helper")
      assert.deepStrictEqual(typesOf(yield* all(ids)), ["generation_tokens", "tool_error"])
      const message = yield* conversations.answer(ids)
      assert.deepStrictEqual([message.status, message.error?.code], ["failed", "tool_broke"])
    }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.toolError({ code: "tool_broke" })] } })))

  it.effect("a failed tool is asked about at once, whether or not the server closes the stream behind it", () => {
    const frame = (eventId: string, data: object) => `data: ${JSON.stringify({ eventId, data })}\n\n`
    const failedMessage = { type: "agent_message", sId: "m", status: "failed", error: { code: "x", message: "y" } }
    const { layer } = dust(({ url }) =>
      url.pathname.endsWith("/events")
        ? new Response(
          new ReadableStream({
            start: (controller) =>
              controller.enqueue(new TextEncoder().encode(
                frame("1-0", { type: "tool_error", error: { code: "x", message: "y", metadata: null } })
              ))
          })
        )
        : json({ conversation: { sId: "c", content: [[failedMessage]] } })
    )
    return Effect.gen(function*() {
      const events = yield* all({ conversationId: "c", messageId: "m" })
      assert.deepStrictEqual(typesOf(events), ["tool_error"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("approval: a missed event is read back once", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      yield* TestClock.adjust(0)
      yield* dust.expireHistory(ids.messageId)
      const fiber = yield* Effect.fork(all(ids))
      yield* TestClock.adjust("2 hours")
      const { blockedActionIds } = yield* dust.conversation(ids.conversationId)
      yield* dust.resolveAction(blockedActionIds[0]!)
      yield* TestClock.adjust("1 minute")
      const events = yield* Fiber.join(fiber)
      assert.deepStrictEqual(typesOf(events), [
        "tool_approve_execution",
        "agent_action_success",
        "generation_tokens",
        "agent_message_success"
      ])
      assert.isTrue(
        events[0]!.type === "tool_approve_execution" && events[0].actionId === blockedActionIds[0]
          && events[0].metadata.toolName === "deploy" && events[0].inputs["to"] === "production"
      )
    }).pipe(local({
      agents: { helper: [DustTest.approval({ name: "deploy", inputs: { to: "production" } }), DustTest.text("Done")] }
    })))

  /** A run that reports only its blocked actions: `lists` are the successive responses. */
  const blocking = (lists: ReadonlyArray<ReadonlyArray<object>>, page = "") => {
    let asked = 0
    return dust(({ url }) => {
      if (url.pathname.endsWith("/actions/blocked")) {
        return json({ blockedActions: lists[Math.min(asked++, lists.length - 1)] })
      }
      return url.pathname.endsWith("/events")
        ? new Response(`event: dust-handshake\ndata: {}\n\n${page}data: done\n\n`, {
          headers: { "content-type": "text/event-stream" }
        })
        : json({ conversation: { sId: "c", content: [[{ type: "agent_message", sId: "m", status: "created" }]] } })
    }).layer
  }
  const action = (actionId: string, more: object = {}) => ({
    actionId,
    conversationId: "c",
    messageId: "m",
    status: "blocked_validation_required",
    ...more
  })
  const told = (count: number) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(
        Stream.runCollect(Stream.take(follow({ conversationId: "c", messageId: "m" }), count))
      )
      yield* TestClock.adjust("10 minutes")
      return Array.from(
        yield* Fiber.join(fiber),
        (event) => [event.type, "actionId" in event ? event.actionId : undefined]
      )
    })

  it.effect("blocked: reports the actions of this message and its sub-agents, not of another message", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(7), [
        ["tool_approve_execution", "approval"],
        ["tool_approve_execution", "child"],
        ["tool_ask_user_question", "question"],
        ["tool_personal_auth_required", "account"],
        ["tool_file_auth_required", "file"],
        ["tool_approve_execution", "sub-agent"],
        ["tool_approve_execution", "unheard of"]
      ])
    }).pipe(Effect.provide(blocking([[
      action("other message", { messageId: "other" }),
      action("approval"),
      action("child", { status: "blocked_child_action_input_required" }),
      action("question", {
        status: "blocked_user_answer_required",
        question: { question: "Which?", options: [], multiSelect: false }
      }),
      action("account", {
        status: "blocked_authentication_required",
        authError: { provider: "github", toolName: "t", message: "m" }
      }),
      action("file", {
        status: "blocked_file_authorization_required",
        fileAuthError: { fileId: "f", fileName: "n", connectionId: "k", mimeType: "x", toolName: "t", message: "m" }
      }),
      action("sub-agent", { messageId: "other", conversationId: "child" }),
      action("unheard of", { status: "blocked_by_the_moon" })
    ]]))))

  it.effect("blocked: does not repeat an event that the stream has delivered", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(2), [["tool_approve_execution", "a"], ["tool_approve_execution", "b"]])
    }).pipe(Effect.provide(blocking(
      [[action("a")], [action("a"), action("b")]],
      `data: ${JSON.stringify({ eventId: "1-0", data: { ...action("a"), type: "tool_approve_execution" } })}\n\n`
    ))))

  it.effect("blocked: reported once while it stays blocked, and again when it recurs", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(3), [
        ["tool_approve_execution", "a"],
        ["tool_approve_execution", "b"],
        ["tool_approve_execution", "a"]
      ])
    }).pipe(Effect.provide(blocking([
      [action("a")],
      [action("a")],
      [action("a"), action("b")],
      [action("b")],
      [action("b"), action("a")]
    ]))))
})

describe("Nothing hangs", () => {
  it.effect("idle timeout: reopens a silent stream without loss", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      yield* TestClock.adjust("89 seconds")
      assert.strictEqual(yield* dust.countRequests(connections), 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* dust.countRequests(connections), 2)
      assert.lengthOf(yield* dust.openConnections, 1)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(textOf(yield* Fiber.join(fiber)), "ab")
      assert.isAtMost(yield* dust.countRequests(connections), 9)
    }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.silence("10 minutes"), DustTest.text("b")] } })))

  it.effect("silence: fails with a typed error that includes the cursor", () =>
    Effect.gen(function*() {
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(Effect.flip(all(ids)))
      yield* TestClock.adjust("29 minutes")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("4 minutes")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "ended" && error.lastEventId !== undefined)
      // Shorter if the caller sets it.
      const impatient = yield* Effect.fork(Effect.flip(all(ids, { silence: "1 minute" })))
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* Fiber.join(impatient))._tag, "DustStreamError")
    }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.silence()] } })))

  const approved = { agents: { helper: [DustTest.approval({ name: "deploy", duration: "20 minutes" })] } }

  it.effect("silence: time spent waiting for a person does not count", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids, { silence: "1 minute" }))
      yield* TestClock.adjust("2 hours")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* dust.resolveAction((yield* dust.conversation(ids.conversationId)).blockedActionIds[0]!)
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(typesOf(yield* Fiber.join(fiber)).at(-1), "agent_message_success")
    }).pipe(local({ agents: { helper: [DustTest.approval({ name: "deploy" }), DustTest.text("Done")] } })))

  it.effect("silence: time spent waiting for approval does not count against the tool", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      yield* TestClock.adjust("2 hours")
      yield* dust.resolveAction((yield* dust.conversation(ids.conversationId)).blockedActionIds[0]!)
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(typesOf(yield* Fiber.join(fiber)).at(-1), "agent_message_success")
    }).pipe(local(approved)))

  it.effect("silence: time without demand does not count", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(Effect.map(
        Stream.runCollect(Stream.tap(follow(ids), (event) =>
          event.type === "tool_approve_execution"
            ? Effect.zipRight(Effect.sleep("2 hours"), Effect.orDie(dust.resolveAction(event.actionId)))
            : Effect.void)),
        typesOf
      ))
      yield* TestClock.adjust("3 hours")
      assert.strictEqual((yield* Fiber.join(fiber)).at(-1), "agent_message_success")
    }).pipe(local({ ...approved, quirks: { historyPageSize: 3 } })))

  it.effect("reconnect: backs off after failures, up to about five seconds", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      for (let i = 0; i < 600; i++) yield* TestClock.adjust("100 millis")
      const times = (yield* dust.requests(connections)).map((request) => request.at)
      const pauses = times.slice(1).map((at, i) => at - times[i]!)
      assert.isAtLeast(pauses[0]!, 200)
      assert.isAtMost(pauses[0]!, 400)
      assert.isAbove(pauses[2]!, pauses[0]!)
      assert.isAtLeast(pauses[pauses.length - 1]!, 3_900)
      assert.isAtMost(Math.max(...pauses), 6_200)
      yield* dust.clearFaults
      yield* dust.publish(ids.messageId, { type: "generation_tokens", text: "b", classification: "tokens" })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(local({
      agents: { helper: [DustTest.silence()] },
      faults: [{ path: connections.path, fault: faults.cut(10) }]
    })))

  it.effect("a stream that makes progress never runs out of attempts", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* finished("helper")
      const fiber = yield* Effect.fork(all(ids))
      // Each connection is cut behind its second event or so.
      for (let i = 0; i < 400; i++) yield* TestClock.adjust("1 second")
      assert.strictEqual(textOf(yield* Fiber.join(fiber)), words(300).join(""))
      assert.isAbove(yield* dust.countRequests(connections), 100)
    }).pipe(local({
      agents: { helper: [DustTest.text("", { tokens: words(300) })] },
      faults: [{ path: connections.path, times: 290, fault: faults.cut(600) }]
    })))

  it.effect("a server that cannot be reached any more: the truth if there is one, a typed failure if not", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      yield* dust.fault({ path: /\/api\/v1\/.*\/events$/, fault: faults.resetBefore() })
      const fiber = yield* Effect.fork(Effect.flip(all(ids)))
      for (let i = 0; i < 120; i++) yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustStreamError")
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "ended")
      const over = yield* finished("echo")
      const second = yield* Effect.fork(all(over))
      for (let i = 0; i < 120; i++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(typesOf(yield* Fiber.join(second)), ["agent_message_success"])
    }).pipe(local({ agents: { helper: [DustTest.silence()] } })))

  it.effect("a server that is away for a minute and a half costs a stream nothing, one that stays away is a typed failure", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const away = dust.fault({ fault: faults.refuse() })
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      // The connection there is ends after a minute.
      yield* TestClock.adjust("30 seconds")
      yield* away
      for (let i = 0; i < 120; i++) yield* TestClock.adjust("1 second")
      yield* dust.clearFaults
      for (let i = 0; i < 120; i++) yield* TestClock.adjust("1 second")
      assert.strictEqual(textOf(yield* Fiber.join(fiber)), words(50).join(""))

      const other = yield* ask("helper")
      const lost = yield* Effect.fork(Effect.flip(all(other)))
      yield* TestClock.adjust("30 seconds")
      yield* away
      for (let i = 0; i < 240; i++) yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(lost)
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "ended" && error.lastEventId !== undefined)
    }).pipe(local({ agents: { helper: [DustTest.text("", { tokens: words(50), pace: "4 seconds" })] } })))

  it.effect("events of a conversation, too, survive a server that is away for a minute and a half", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { conversationId } = yield* ask("echo")
      const events = conversations.events({ conversationId }).pipe(
        Stream.filter((event) => event.type === "conversation_title" && event.title === "Late"),
        Stream.runHead
      )
      const fiber = yield* Effect.fork(events)
      // The silent connection is replaced after a minute and a half.
      yield* TestClock.adjust("30 seconds")
      yield* dust.fault({ path: /\/events$/, fault: faults.refuse() })
      for (let i = 0; i < 150; i++) yield* TestClock.adjust("1 second")
      yield* dust.clearFaults
      yield* conversations.updateTitle({ conversationId, title: "Late" })
      for (let i = 0; i < 30; i++) yield* TestClock.adjust("1 second")
      assert.strictEqual(Option.getOrThrow(yield* Fiber.join(fiber)).type, "conversation_title")
    }).pipe(local()))

  it.effect("not found: fails at once with a typed error", () =>
    Effect.gen(function*() {
      const ids = yield* finished("echo")
      const message = yield* Effect.flip(all({ ...ids, messageId: "nothing" }))
      assert.deepStrictEqual([message._tag, message.type], ["DustNotFoundError", "message_not_found"])
      const conversation = yield* Effect.flip(all({ ...ids, conversationId: "nothing" }))
      assert.deepStrictEqual([conversation._tag, conversation.type], ["DustNotFoundError", "conversation_not_found"])
      const blank = yield* Effect.flip(all({ ...ids, messageId: ".." }))
      assert.strictEqual(blank._tag, "DustBadRequestError")
    }).pipe(local()))

  it.effect("deleted conversation: fails soon with a typed error while its stream is silent", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      yield* dust.fault({
        method: "GET",
        path: "/assistant/conversations/:conversationId",
        fault: faults.status(404, { type: "conversation_not_found" })
      })
      const fiber = yield* Effect.fork(Effect.flip(all(ids)))
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DustNotFoundError")
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(local({ agents: { helper: [DustTest.silence("1 hour")] } })))

  it.effect("renews an access token that expires during the run", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const fiber = yield* Effect.fork(all(ids))
      yield* TestClock.adjust("30 seconds")
      yield* dust.expireToken("first-token")
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(textOf(yield* Fiber.join(fiber)), words(40).join(""))
      assert.strictEqual(yield* dust.countRequests({ status: 401 }), 1)
    }).pipe((self) => {
      let minted = 0
      return Effect.provide(
        self,
        DustTest.layer({
          agents: { helper: [DustTest.text("", { tokens: words(40), pace: "5 seconds" })] },
          credentials: { userTokens: [{ value: "first-token" }, { value: "second-token" }] },
          credential: {
            accessToken: Effect.sync(() => Redacted.make(++minted === 1 ? "first-token" : "second-token"))
          }
        })
      )
    }))
})

describe("Stopping stops", () => {
  it.effect("take(1) leaks nothing", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      assert.lengthOf(yield* Stream.runCollect(Stream.take(follow(ids), 1)), 1)
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(local({ agents: { helper: [DustTest.text("a b c"), DustTest.silence()] } })))

  for (
    const [state, options, time] of [
      ["reading", {}, 1_000],
      ["reading, after a reconnection", {}, 100_000],
      ["connecting", { faults: [{ path: connections.path, fault: faults.neverAnswer(), required: true }] }, 1_000],
      ["backing off", { faults: [{ path: connections.path, fault: faults.cut(5), required: true }] }, 20_000],
      ["asking for the truth", {
        faults: [{
          path: "/assistant/conversations/:conversationId",
          method: "GET",
          fault: faults.neverAnswer(),
          required: true
        }]
      }, 190_000]
    ] as const
  ) {
    it.effect(`interrupted while ${state}: no connection stays, no time passes, no other one is made`, () =>
      Effect.gen(function*() {
        const dust = yield* DustTest.DustTest
        const ids = yield* ask("helper")
        const fiber = yield* Effect.fork(all(ids))
        for (let passed = 0; passed < time; passed += 1_000) yield* TestClock.adjust("1 second")
        const before = yield* TestClock.currentTimeMillis
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        assert.strictEqual(yield* TestClock.currentTimeMillis, before)
        assert.lengthOf(yield* dust.openConnections, 0)
        const count = yield* dust.countRequests()
        assert.isAtLeast(yield* dust.countRequests({ path: eventsPath }), 1)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* dust.countRequests(), count)
      }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.silence()] }, ...options })))
  }

  for (const [name, client] of [["undici", NodeHttpClient.layerUndici], ["fetch", FetchHttpClient.layer]] as const) {
    it.live(`on a real socket (${name}): closed when the consumer stops`, () =>
      Effect.gen(function*() {
        const dust = yield* DustTest.DustTest
        for (let i = 0; i < 10; i++) {
          const ids = yield* ask("helper")
          const first = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(
            Stream.runForEach(follow(ids), () => Deferred.succeed(first, undefined))
          )
          yield* Deferred.await(first)
          assert.strictEqual(yield* dust.openStreams, 1)
          yield* Fiber.interrupt(fiber)
          // At once, and not at the next limit or end of a page; how many milliseconds that is, is a figure of the bench.
          yield* dust.allClosed
        }
      }).pipe(
        Effect.provide(Layer.provideMerge(
          DustTest.layerServe({ agents: { helper: [DustTest.text("a"), DustTest.silence()] } }),
          client
        ))
      ))
  }

  it.live("over a real socket: 1,000 events in pages of 50 without a pause, and nothing open afterwards", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* finished("helper")
      const events = yield* all(ids)
      assert.strictEqual(textOf(events), words(998).join(""))
      yield* dust.allClosed
    }).pipe(
      Effect.provide(Layer.provideMerge(
        DustTest.layerServe({ agents: { helper: [DustTest.text("", { tokens: words(998) })] } }),
        NodeHttpClient.layerUndici
      ))
    ))

  it.live("1,000 streams at the same time in one process", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const many = 1_000
      const ids = yield* ask("helper")
      const gate = yield* Deferred.make<void>()
      let arrived = 0
      let ended = 0
      const scope = yield* Scope.make()
      yield* Effect.forEach(Array.from({ length: many }), () =>
        Effect.forkIn(
          Stream.runForEach(follow(ids), (event) =>
            Effect.suspend(() =>
              event.type === "generation_tokens" && ++arrived === many ? Deferred.succeed(gate, undefined) : Effect.void
            )).pipe(Effect.ensuring(Effect.sync(() => ended++))),
          scope
        ), { discard: true })
      yield* Deferred.await(gate)
      assert.strictEqual(yield* dust.openStreams, many)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(ended, many)
      assert.strictEqual(yield* dust.openStreams, 0)
    }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.silence()] }, retry: RetryPolicy.none })))

  it.effect("a consumer's failure closes the connection and is returned unchanged", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("helper")
      const exit = yield* Effect.exit(Stream.runForEach(follow(ids), () => Effect.fail("mine" as const)))
      assert.isTrue(Exit.isFailure(exit) && Option.getOrNull(Cause.failureOption(exit.cause)) === "mine")
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(local({ agents: { helper: [DustTest.text("a"), DustTest.silence()] } })))
})
