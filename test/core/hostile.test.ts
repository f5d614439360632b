/** Event streams behind networks, gateways and machines as they are. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Layer, Redacted, Scope, Stream, TestClock } from "effect"
import type { AgentMessageEvent } from "effect-dust/AgentMessageEvent"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as zlib from "node:zlib"
import * as Http from "../support/http.ts"

const frame = (id: string, data: object) => `data: ${JSON.stringify({ eventId: id, data })}\n\n`
const token = (id: string, text: string) => frame(id, { type: "generation_tokens", text, classification: "tokens" })
const over = (id: string) => frame(id, { type: "agent_generation_cancelled" })
const sse = { "content-type": "text/event-stream" }

const bytes = (text: string) => new TextEncoder().encode(text)

/** A body that stays open, and what writes to it. */
const open = (first: string) => {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>({
    start: (c) => {
      controller = c
      c.enqueue(bytes(first))
    }
  })
  return { response: new Response(body, { headers: sse }), write: (text: string) => controller!.enqueue(bytes(text)) }
}

const conversation = (status: string) =>
  Http.json({ conversation: { sId: "c", content: [[{ type: "agent_message", sId: "m", status }]] } })

/** A run with a scripted stream; the conversation reports it as running. */
const run = (answer: (nth: number) => Response, status = "created") => {
  let nth = 0
  return Http.dust(({ url }) =>
    url.pathname.endsWith("/events")
      ? answer(++nth)
      : url.pathname.endsWith("/blocked")
      ? Http.json({ blockedActions: [] })
      : conversation(status)
  )
}

const follow = (options: { readonly silence?: Duration.DurationInput; readonly lastEventId?: string } = {}) =>
  Stream.unwrap(
    Effect.map(
      Conversations,
      (conversations) => conversations.messageEvents({ conversationId: "c", messageId: "m", ...options })
    )
  )
const types = Effect.map(Stream.runCollect(follow()), (events) => Array.from(events, ({ type }) => type))

describe("Streams on hostile networks: nothing hangs", () => {
  for (const [name, text] of [["comments", ": ping\n\n"], ["blank lines", "\n"]] as const) {
    it.effect(`silence: ${name} do not keep a dead stream open`, () => {
      const streams: Array<ReturnType<typeof open>> = []
      const { layer } = run(() => {
        streams.push(open(streams.length === 0 ? token("1-0", "a") : ""))
        return streams.at(-1)!.response
      })
      return Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.flip(Stream.runDrain(follow({ silence: "4 minutes" }))))
        for (let i = 0; i < 26; i++) {
          yield* TestClock.adjust("10 seconds")
          for (const { write } of streams) yield* Effect.ignore(Effect.try(() => write(text)))
          // What was written arrives.
          for (let j = 0; j < 5; j++) yield* Effect.yieldNow()
        }
        const error = yield* Fiber.join(fiber)
        assert.isTrue(error._tag === "DustStreamError" && error.reason === "ended")
        // Each connection is replaced after its idle limit, whatever it writes.
        assert.isAtLeast(streams.length, 2)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("the parts of one long event keep its connection open", () => {
    const streams: Array<ReturnType<typeof open>> = []
    const { layer } = run(() => {
      streams.push(open("data: {\"eventId\":\"1-0\",\"data\":{\"type\":\"agent_generation_cancelled\",\"status\":\""))
      return streams.at(-1)!.response
    })
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(types)
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("60 seconds")
        streams[0]!.write("x")
        for (let j = 0; j < 20; j++) yield* Effect.yieldNow()
      }
      streams[0]!.write("\"}}\n\n")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["agent_generation_cancelled"])
      assert.lengthOf(streams, 1)
    }).pipe(Effect.provide(layer))
  })

  for (
    const [name, answer] of [
      ["a challenge page (403)", () => new Response("<html>Just a moment…</html>", { status: 403 })],
      ["a gateway's page (404)", () => new Response("<html>Not found</html>", { status: 404 })],
      ["a login page (200)", () => new Response("<html>Log in</html>", { headers: { "content-type": "text/html" } })],
      ["an empty response (204)", () => new Response(null, { status: 204 })],
      ["null", () => Http.json(null)]
    ] as const
  ) {
    it.effect(`${name} in mid-run is tried again`, () => {
      const { layer, requests } = run((nth) =>
        nth === 1
          ? new Response(token("1-0", "a"), { headers: sse })
          : nth < 4
          ? answer()
          : new Response(over("2-0"), { headers: sse })
      )
      return Effect.gen(function*() {
        const fiber = yield* Effect.fork(types)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* Fiber.join(fiber), ["generation_tokens", "agent_generation_cancelled"])
        assert.isTrue(requests.every(({ method }) => method === "GET"))
      }).pipe(Effect.provide(layer))
    })

    it.effect(`${name} that stays is a typed failure after a few, which names the cursor`, () => {
      const { layer, requests } = run((nth) => nth === 1 ? new Response(token("1-0", "a"), { headers: sse }) : answer())
      return Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.flip(types))
        yield* TestClock.adjust("2 minutes")
        const error = yield* Fiber.join(fiber)
        assert.isTrue(error._tag === "DustStreamError" && error.lastEventId === "1-0", error.message)
        assert.isAtMost(requests.filter(({ url }) => url.pathname.endsWith("/events")).length, 7)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("Retry-After is honoured when a stream is reconnected", () => {
    const { layer, requests } = run((nth) =>
      nth === 1
        ? new Response(token("1-0", "a"), { headers: sse })
        : nth === 2
        ? Http.failure(503, "service_unavailable", "later", { "retry-after": "70" })
        : new Response(over("2-0"), { headers: sse })
    )
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(types)
      for (let i = 0; i < 90; i++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["generation_tokens", "agent_generation_cancelled"])
      const times = requests.filter(({ url }) => url.pathname.endsWith("/events")).map(({ at }) => at)
      assert.isAtLeast(times[2]! - times[1]!, 70_000)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an unasked compression is undone", () => {
    const { layer } = run(() =>
      new Response(new Uint8Array(zlib.gzipSync(token("1-0", "a") + over("2-0"))), {
        headers: { ...sse, "content-encoding": "gzip" }
      })
    )
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* types, ["generation_tokens", "agent_generation_cancelled"])
    }).pipe(Effect.provide(layer))
  })

  it.live("an unasked compression is undone piece by piece (undici)", () =>
    Effect.gen(function*() {
      const server = yield* Http.serve((_, response) => {
        response.writeHead(200, { ...sse, "content-encoding": "gzip" })
        const gzip = zlib.createGzip({ flush: zlib.constants.Z_SYNC_FLUSH })
        gzip.pipe(response)
        // The stream stays open, and written data must still arrive.
        gzip.write(token("1-0", "a"))
      })
      const first = yield* Stream.runHead(follow()).pipe(Effect.provide(
        Dust.layer({ workspaceId: "w", apiKey: Redacted.make("sk-x"), baseUrl: server.url }).pipe(
          Layer.provide(NodeHttpClient.layerUndici)
        )
      ))
      assert.deepInclude(first, { _tag: "Some" })
    }).pipe(Effect.scoped))

  it.effect("an unknown compression fails with a typed error", () => {
    const { layer } = Http.dust(() => Http.json(null))
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(types))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustDecodeError")
      assert.include(error.message, "expected text/event-stream but received application/json")
    }).pipe(Effect.provide(layer))
  })
})

describe("Streams on hostile networks: time that does not count as silence", () => {
  /** A manually advanced clock that may wake its sleepers too late. */
  const manual = () => {
    let now = 1_750_000_000_000
    const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
    const clock: Clock.Clock = {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: () => now,
      unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
      currentTimeMillis: Effect.sync(() => now),
      currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
      sleep: (duration) =>
        Effect.async<void>((resume) => {
          const sleeper = { at: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
          sleepers.add(sleeper)
          return Effect.sync(() => sleepers.delete(sleeper))
        })
    }
    const jump = (millis: number) =>
      Effect.promise(async () => {
        now += millis
        for (const sleeper of sleepers) {
          if (sleeper.at > now) continue
          sleepers.delete(sleeper)
          sleeper.wake()
        }
        await new Promise((resolve) => setTimeout(resolve, 20))
      })
    return { clock, jump }
  }

  it.live("a process that stood still for hours goes on: it reconnects, and does not fail", () => {
    const { clock, jump } = manual()
    const { layer, requests } = run((nth) =>
      nth === 1 ? open(token("1-0", "a")).response : new Response(over("2-0"), { headers: sse })
    )
    return Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const fiber = yield* follow().pipe(
        Stream.tap(() => Deferred.succeed(arrived, undefined)),
        Stream.runCollect,
        Effect.map((events) => Array.from(events, ({ type }) => type)),
        Effect.withClock(clock),
        Effect.fork
      )
      yield* Deferred.await(arrived)
      yield* jump(1_000)
      // A lid that is closed for eight hours, with a silence of half an hour.
      yield* jump(8 * 3_600_000)
      while (fiber.unsafePoll() === null) yield* jump(1_000)
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["generation_tokens", "agent_generation_cancelled"])
      assert.lengthOf(requests.filter(({ url }) => url.pathname.endsWith("/events")), 2)
    }).pipe(Effect.provide(layer))
  })
})

describe("Streams on hostile networks: stopping stops", () => {
  it.effect("the caller's timeout holds in a region that cannot be interrupted, against a silent server", () => {
    const { layer } = run(() => open(token("1-0", "a")).response)
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.scoped(Effect.acquireRelease(
        Effect.timeoutOption(
          Effect.flatMap(
            Conversations,
            (conversations) => conversations.answer({ conversationId: "c", messageId: "m" })
          ),
          "5 seconds"
        ),
        () => Effect.void
      )))
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "None" })
    }).pipe(Effect.provide(layer))
  })

  it.live("a closed HttpClient is final", () =>
    Effect.gen(function*() {
      const server = yield* Http.serve((_, response) => {
        response.writeHead(200, sse)
        response.write(token("1-0", "a"))
      })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(NodeHttpClient.layerUndici, scope)
      const error = yield* follow().pipe(
        Stream.runForEach(() => Scope.close(scope, Exit.void)),
        Effect.flip,
        Effect.provide(
          Dust.layer({ workspaceId: "w", apiKey: Redacted.make("sk-x"), baseUrl: server.url }).pipe(
            Layer.provide(Layer.succeedContext(context))
          )
        )
      )
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.include(error.message, "the HttpClient was closed")
      assert.lengthOf(server.seen, 1)
    }).pipe(Effect.scoped))

  it.effect("a finalizer of an interrupted fiber follows a run to its end", () => {
    const { layer } = run(() => new Response(token("1-0", "a") + over("2-0"), { headers: sse }))
    return Effect.gen(function*() {
      const seen = yield* Deferred.make<ReadonlyArray<AgentMessageEvent["type"]>>()
      const fiber = yield* Effect.fork(
        Effect.onInterrupt(
          Effect.never,
          () => Effect.flatMap(Effect.orDie(types), (all) => Deferred.succeed(seen, all))
        )
      )
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* Deferred.await(seen), ["generation_tokens", "agent_generation_cancelled"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a pull that is interrupted loses no event", () => {
    const stream = open(token("1-0", "a"))
    const { layer } = run(() => stream.response)
    return Effect.scoped(Effect.gen(function*() {
      const pull = yield* Stream.toPull(follow())
      yield* pull
      const waiting = yield* Effect.fork(pull)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      stream.write(token("2-0", "b") + over("3-0"))
      assert.deepStrictEqual(Array.from(yield* pull, ({ eventId }) => eventId), ["2-0", "3-0"])
    })).pipe(Effect.provide(layer))
  })
})

describe("Streams on hostile networks: resume", () => {
  it.effect("an answer whose events are forgotten arrives within one round trip", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const { agentMessages } = yield* conversations.createMessage({
        conversationId,
        content: "Hello",
        mentions: [{ configurationId: "helper" }]
      })
      const messageId = agentMessages[0]!.sId
      yield* dust.waitForRun(messageId)
      yield* dust.expireHistory(messageId)
      const fiber = yield* Effect.fork(
        Stream.runCollect(conversations.messageEvents({ conversationId, messageId, lastEventId: "1-0" }))
      )
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(Array.from(yield* Fiber.join(fiber), ({ type }) => type), ["agent_message_success"])
    }).pipe(Effect.provide(DustTest.layer({ agents: { helper: "Hello there" } }))))

  it.effect("emits the events the server still has before the outcome of the conversation", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const { agentMessages } = yield* conversations.createMessage({
        conversationId,
        content: "Hello",
        mentions: [{ configurationId: "helper" }]
      })
      const messageId = agentMessages[0]!.sId
      yield* dust.waitForRun(messageId)
      const events = conversations.messageEvents({ conversationId, messageId })
      const all = Array.from(yield* Stream.runCollect(events), ({ eventId }) => eventId)
      const rest = yield* Stream.runCollect(
        conversations.messageEvents({ conversationId, messageId, lastEventId: all[10]! })
      )
      assert.deepStrictEqual(Array.from(rest, ({ eventId }) => eventId), all.slice(11))
    }).pipe(Effect.provide(DustTest.layer({
      agents: { helper: [DustTest.text("", { tokens: Array.from({ length: 130 }, (_, i) => `w${i} `) })] }
    }))))
})
