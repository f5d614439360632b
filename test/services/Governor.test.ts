import * as RateLimiter from "@effect/experimental/RateLimiter"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Clock, Data, Duration, Effect, Exit, Fiber, Layer, Stream, TestClock } from "effect"
import * as Agents from "effect-dust/Agents"
import * as Chat from "effect-dust/Chat"
import * as DataSources from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as Files from "effect-dust/Files"
import * as Governor from "effect-dust/Governor"

class Paused extends Data.TaggedError("Paused")<{ readonly left: number }> {}

const uploads: Governor.Ticket = { limitClass: "uploads", key: "w" }

const run = <A, E, R>(governor: Governor.Service, ticket: Governor.Ticket, attempt: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.zipRight(
    governor.admit(ticket, {
      maxPause: Duration.minutes(1),
      onPaused: (left) => new Paused({ left: Duration.toMillis(left) })
    }),
    attempt
  ))

const setup = (options?: Governor.Options) =>
  Effect.map(Governor.storeMemory, (store) => {
    const governor = Governor.make(store, options)
    const starts: Array<number> = []
    const call = (ticket: Governor.Ticket = uploads, lasts: Duration.DurationInput = 0) =>
      run(
        governor,
        ticket,
        Effect.zipLeft(Effect.map(Clock.currentTimeMillis, (now) => starts.push(now)), Effect.sleep(lasts))
      )
    return { governor, starts, call }
  })

const all = <A, E>(count: number, call: () => Effect.Effect<A, E>) =>
  Effect.fork(Effect.all(Array.from({ length: count }, call), { concurrency: "unbounded" }))

const mostInAWindow = (starts: ReadonlyArray<number>, millis: number) =>
  Math.max(...starts.map((start) => starts.filter((other) => other >= start && other < start + millis).length))

describe("Governor", () => {
  it.effect("lets no window have more starts than the limit, and takes all that the limit gives", () =>
    Effect.gen(function*() {
      const { call, starts } = yield* setup()
      const fiber = yield* all(100, () => call())
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(starts.length, 40)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(fiber)
      // A second more than the window, since requests do not all travel equally fast.
      assert.deepStrictEqual([mostInAWindow(starts, 61_000), starts.at(-1)], [40, 122_000])
    }))

  it.effect("holds a limit per hour beside one per minute", () =>
    Effect.gen(function*() {
      const { call, starts } = yield* setup({
        limits: { messages: [{ limit: 10, window: "1 minute" }, { limit: 25, window: "1 hour" }] }
      })
      const fiber = yield* all(30, () => call({ limitClass: "messages", key: "w" }))
      yield* TestClock.adjust("60 minutes")
      assert.strictEqual(starts.length, 25)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(mostInAWindow(starts, 3_600_000), 25)
    }))

  it.effect("a pause takes as long as it has to when the time of day is set back or forward", () =>
    Effect.gen(function*() {
      const base = yield* Effect.clock
      for (const step of [-3_600_000, 3_600_000]) {
        const { call, governor, starts } = yield* setup()
        yield* governor.refused(uploads, Duration.seconds(30))
        const set: Clock.Clock = {
          [Clock.ClockTypeId]: Clock.ClockTypeId,
          unsafeCurrentTimeMillis: () => base.unsafeCurrentTimeMillis() + step,
          currentTimeMillis: Effect.map(base.currentTimeMillis, (now) => now + step),
          unsafeCurrentTimeNanos: () => base.unsafeCurrentTimeNanos(),
          currentTimeNanos: base.currentTimeNanos,
          sleep: (duration) => base.sleep(duration)
        }
        const fiber = yield* Effect.fork(Effect.withClock(call(), set))
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(starts.length, 0)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        assert.strictEqual(starts.length, 1)
      }
    }))

  it.effect("counts each class and each key by itself", () =>
    Effect.gen(function*() {
      const { call, starts } = yield* setup()
      yield* Effect.replicateEffect(call(), 40)
      yield* Effect.replicateEffect(call({ limitClass: "uploads", key: "other" }), 40)
      yield* Effect.replicateEffect(call({ limitClass: "upserts", key: "w" }), 120)
      assert.strictEqual(starts.length, 200)
    }))

  it.effect("a refusal pauses every call of its class: for Retry-After, else for a minute", () =>
    Effect.gen(function*() {
      const { call, governor, starts } = yield* setup()
      for (const [retryAfter, until] of [[Duration.seconds(7), 7_000], [undefined, 67_000]] as const) {
        yield* governor.refused(uploads, retryAfter)
        const fiber = yield* all(3, () => call())
        yield* TestClock.setTime(until - 1)
        assert.strictEqual(yield* Effect.map(Fiber.poll(fiber), (exit) => exit._tag), "None")
        yield* call({ limitClass: "upserts", key: "w" })
        yield* TestClock.setTime(until)
        yield* Fiber.join(fiber)
        assert.isTrue(starts.slice(-3).every((start) => start === until))
      }
    }))

  it.effect("a pause over the limit of the call fails it at once, and those that wait already", () =>
    Effect.gen(function*() {
      const { call, governor, starts } = yield* setup()
      yield* Effect.replicateEffect(call(), 40)
      const queued = yield* all(2, () => call())
      yield* TestClock.adjust("1 second")
      yield* governor.refused(uploads, Duration.hours(1))
      assert.deepStrictEqual(yield* Effect.flip(call()), new Paused({ left: 3_600_000 }))
      yield* TestClock.setTime(61_000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(queued)))
      assert.strictEqual(starts.length, 40)
    }))

  it.effect("Governor: a call that is interrupted while it waits does not count against the limit", () =>
    Effect.gen(function*() {
      const { call, starts } = yield* setup()
      yield* Effect.replicateEffect(call(), 40)
      const leaving = yield* all(60, () => call())
      const staying = yield* all(40, () => call())
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.interrupt(leaving)
      yield* TestClock.adjust("31 seconds")
      yield* Fiber.join(staying)
      assert.strictEqual(starts.length, 80)
    }))

  it.effect("bounds the calls in flight", () =>
    Effect.gen(function*() {
      const { governor } = yield* setup({ concurrency: { uploads: 3 } })
      let now = 0
      let most = 0
      const slow = run(
        governor,
        uploads,
        Effect.sync(() => {
          most = Math.max(most, ++now)
        }).pipe(Effect.zipRight(Effect.sleep("1 second")), Effect.ensuring(Effect.sync(() => now--)))
      )
      const fiber = yield* all(9, () => slow)
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      assert.strictEqual(most, 3)
    }))

  it.effect("Governor: reports which calls wait, and until when", () =>
    Effect.gen(function*() {
      const { call } = yield* setup()
      const seen: Array<readonly [string, number]> = []
      const observed = Effect.provideService(call(), Governor.CurrentWaitObserver, (limitClass, until) =>
        Effect.sync(() =>
          seen.push([limitClass, until])
        ))
      const fiber = yield* all(41, () => observed)
      yield* TestClock.adjust("61 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [["uploads", 61_000]])
    }))

  it.effect("storeTokenBucket: processes that share a store share limits and pauses", () =>
    Effect.gen(function*() {
      const buckets = yield* RateLimiter.RateLimiterStore
      const starts: Array<number> = []
      const processes = [1, 2].map(() => Governor.make(Governor.storeTokenBucket(buckets)))
      const call = (governor: Governor.Service) =>
        run(governor, uploads, Effect.map(Clock.currentTimeMillis, (now) => starts.push(now)))
      const fiber = yield* Effect.fork(
        Effect.forEach(
          processes,
          (one) => Effect.all(Array.from({ length: 40 }, () => call(one)), { concurrency: 40 }),
          {
            concurrency: 2
          }
        )
      )
      yield* TestClock.adjust("3 minutes")
      yield* Fiber.join(fiber)
      assert.isAtMost(mostInAWindow(starts, 60_000), 40)
      assert.isAtMost(starts.at(-1)!, 130_000)
      yield* processes[0]!.refused(uploads, Duration.hours(1))
      assert.strictEqual((yield* Effect.flip(call(processes[1]!))).left, 3_600_000)
    }).pipe(Effect.provide(RateLimiter.layerStoreMemory)))

  it.effect("layerStore: a store that never answers delays a crowd of calls by seconds, and does not hang them", () => {
    const silent: Governor.Store = {
      take: () => Effect.never,
      pause: () => Effect.never,
      pauseLeft: () => Effect.never
    }
    return Effect.gen(function*() {
      const governor = yield* Governor.Governor
      const fiber = yield* all(100, () => run(governor, uploads, Effect.succeed("sent")))
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual((yield* Fiber.poll(fiber))._tag, "Some")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 100)
    }).pipe(Effect.provide(Governor.layerStore(Effect.succeed(silent))))
  })

  it.effect("storeTokenBucket: while the store fails, only the refusals of the process itself hold calls back", () =>
    Effect.gen(function*() {
      const governor = Governor.make(Governor.storeTokenBucket({ tokenBucket: () => Effect.fail("down") }))
      yield* Effect.replicateEffect(run(governor, uploads, Effect.void), 50)
      yield* governor.refused(uploads, undefined)
      const fiber = yield* Effect.fork(run(governor, uploads, Clock.currentTimeMillis))
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 60_000)
      yield* governor.refused(uploads, Duration.hours(1))
      assert.strictEqual((yield* Effect.flip(run(governor, uploads, Effect.void))).left, 3_600_000)
    }))

  it.effect("a refusal that asks for years closes its class for an hour", () =>
    Effect.gen(function*() {
      const { call, governor } = yield* setup()
      yield* governor.refused(uploads, Duration.days(10_000))
      assert.strictEqual((yield* Effect.flip(call())).left, 3_600_000)
      yield* TestClock.adjust("1 hour")
      yield* call()
    }))

  it.effect("after a refusal, calls start one at a time, and twice as many with each answer, until nothing holds them", () =>
    Effect.gen(function*() {
      const { call, governor, starts } = yield* setup({ limits: { uploads: [] } })
      const slow = call(uploads, "100 millis")
      yield* governor.refused(uploads, Duration.seconds(1))
      const fiber = yield* all(7, () => slow)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(starts, [1000, 1100, 1100, 1200, 1200, 1200, 1200])
      assert.isFalse(governor.isFree(uploads))
      yield* TestClock.adjust("3 minutes")
      yield* Effect.fork(slow)
      yield* TestClock.adjust("1 second")
      assert.isTrue(governor.isFree(uploads))
    }))

  it.effect("after a refusal, a call that is answered late holds the others back for a second only", () =>
    Effect.gen(function*() {
      const { call, governor, starts } = yield* setup({ limits: { uploads: [] } })
      const slow = call(uploads, "1 hour")
      yield* governor.refused(uploads, Duration.seconds(1))
      yield* all(3, () => slow)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(starts, [1000, 2000, 3000])
    }))

  it.effect("a call that is interrupted while it waits for a place in flight takes none", () =>
    Effect.gen(function*() {
      const { call, governor } = yield* setup({ concurrency: { uploads: 1 } })
      const holder = yield* Effect.fork(run(governor, uploads, Effect.never))
      const leaving = yield* all(3, () => call())
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(leaving)
      yield* Fiber.interrupt(holder)
      yield* call()
    }))
})

describe("A governed layer", () => {
  const at = { spaceId: "vlt_global", dataSourceId: "dts_handbook" } as const
  const governed = (options?: Governor.Options) =>
    Effect.provide(Layer.provide(DustTest.layer({ limits: true }), Governor.layer(options)))
  const refused = Effect.flatMap(
    DustTest.DustTest,
    (dust) => Effect.map(dust.requests(), (all) => all.filter(({ status }) => status === 403 || status === 429).length)
  )

  it.effect("130 questions at once lose nothing, and are sent as fast as the limit allows", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.Chat
      const fiber = yield* all(130, () => chat.send({ agent: "echo", message: "hello" }))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 130)
      assert.strictEqual(yield* refused, 0)
    }).pipe(governed()))

  it.effect("100 uploads at once lose nothing", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const fiber = yield* all(100, () => files.upload({ fileName: "a.txt", content: "a" }))
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 100)
      assert.strictEqual(yield* refused, 0)
    }).pipe(governed()))

  it.effect("two syncs at once fail no document, and say while they wait", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      const sync = (name: string) =>
        Stream.runCollect(dataSources.syncDocuments({
          ...at,
          documents: Array.from({ length: 150 }, (_, i) => ({ documentId: `${name}-${i}`, text: "x" }))
        }))
      const fiber = yield* Effect.fork(Effect.all([sync("a"), sync("b")], { concurrency: 2 }))
      yield* TestClock.adjust("4 minutes")
      for (const events of yield* Fiber.join(fiber)) {
        const { failed, upserted } = Chunk.unsafeLast(events).progress
        assert.deepStrictEqual([upserted, failed], [150, 0])
        assert.isTrue(Chunk.some(events, (event) => event._tag === "Waiting"))
      }
      assert.strictEqual(yield* refused, 0)
    }).pipe(governed()))

  it.effect("a limit that others have used up pauses all calls once, and all of them get through", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const fiber = yield* all(30, () => files.create({ fileName: "a.txt", contentType: "text/plain", fileSize: 1 }))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 30)
    }).pipe(Effect.provide(Layer.provide(
      DustTest.layer({
        faults: [{ method: "POST", times: 30, fault: DustTest.faults.status(429, { type: "rate_limit_error" }) }]
      }),
      Governor.layer()
    ))))

  it.effect("Governor: a long pause that one call meets fails the others at once", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const create = files.create({ fileName: "a.txt", contentType: "text/plain", fileSize: 1 })
      yield* Effect.flip(create)
      const error = yield* Effect.flip(create)
      assert.strictEqual(error._tag, "DustRateLimitError")
      assert.deepStrictEqual([error.attempts, error.retryAfter], [0, Duration.hours(1)])
      const dust = yield* DustTest.DustTest
      assert.strictEqual((yield* dust.requests()).length, 1)
    }).pipe(Effect.provide(Layer.provide(
      DustTest.layer({
        faults: [{
          method: "POST",
          fault: DustTest.faults.status(429, { type: "rate_limit_error", headers: { "retry-after": "3600" } })
        }]
      }),
      Governor.layer()
    ))))

  it.effect("calls without a known limit share the pause after a refusal, and a crowd loses none of them", () => {
    const seen = { requests: 0, refused: 0 }
    let tokens = 10
    let last = 0
    /** Lets ten requests a second through. */
    const limited = (client: HttpClient.HttpClient) =>
      HttpClient.transform(client, (answer, request) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          tokens = Math.min(10, tokens + (now - last) / 100)
          last = now
          seen.requests++
          if (tokens >= 1) {
            tokens--
            return answer
          }
          seen.refused++
          return Effect.succeed(HttpClientResponse.fromWeb(
            request,
            new Response(JSON.stringify({ error: { type: "rate_limit_error", message: "Slow down" } }), {
              status: 429,
              headers: { "retry-after": "1", "content-type": "application/json" }
            })
          ))
        }))
    const client = Layer.unwrapEffect(
      Effect.map(DustTest.DustTest, ({ apiKey, url, workspaceId }) => Dust.layer({ workspaceId, apiKey, baseUrl: url }))
    ).pipe(
      Layer.provide(Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, limited))),
      Layer.provide(DustTest.layerHttpClient())
    )
    return Effect.gen(function*() {
      const agents = yield* Agents.Agents
      const fiber = yield* all(200, () => agents.list())
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 200)
      // All start at once, since nothing is known; then each round asks for a few too many.
      assert.isAtMost(seen.refused, 190 + 90, JSON.stringify(seen))
    }).pipe(Effect.provide(client))
  })

  it.effect("waiting counts against a total limit that the caller has chosen", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const create = files.create({ fileName: "a.txt", contentType: "text/plain", fileSize: 1 })
      yield* Effect.replicateEffect(create, 40)
      const fiber = yield* Effect.fork(
        Effect.flip(DustClient.withOptions(create, { timeouts: { total: "5 seconds" } }))
      )
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustTimeoutError")
    }).pipe(governed()))
})
