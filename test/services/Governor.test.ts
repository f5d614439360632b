import * as RateLimiter from "@effect/experimental/RateLimiter"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Data, Duration, Effect, Exit, Fiber, TestClock } from "effect"
import * as Governor from "effect-dust/Governor"

class Paused extends Data.TaggedError("Paused")<{ readonly left: number }> {}

const uploads: Governor.Ticket = { limitClass: "uploads", key: "w" }

const run = <A, E, R>(governor: Governor.Service, ticket: Governor.Ticket, attempt: Effect.Effect<A, E, R>) =>
  Effect.zipRight(
    governor.admit(ticket, {
      maxPause: Duration.minutes(1),
      onPaused: (left) => new Paused({ left: Duration.toMillis(left) })
    }),
    governor.bound(ticket)(attempt)
  )

const setup = (options?: Governor.Options) =>
  Effect.map(Governor.storeMemory, (store) => {
    const governor = Governor.make(store, options)
    const starts: Array<number> = []
    const call = (ticket: Governor.Ticket = uploads) =>
      run(governor, ticket, Effect.map(Clock.currentTimeMillis, (now) => starts.push(now)))
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
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(starts.length, 40)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([mostInAWindow(starts, 60_000), starts.at(-1)], [40, 120_000])
    }))

  it.effect("holds a limit per hour beside one per minute", () =>
    Effect.gen(function*() {
      const { call, starts } = yield* setup({
        limits: { messages: [{ limit: 10, window: "1 minute" }, { limit: 25, window: "1 hour" }] }
      })
      const fiber = yield* all(30, () => call({ limitClass: "messages", key: "w" }))
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(starts.length, 25)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(mostInAWindow(starts, 3_600_000), 25)
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
      yield* TestClock.setTime(60_000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(queued)))
      assert.strictEqual(starts.length, 40)
    }))

  it.effect("a call that is interrupted while it waits takes no place", () =>
    Effect.gen(function*() {
      const { call, starts } = yield* setup()
      yield* Effect.replicateEffect(call(), 40)
      const leaving = yield* all(60, () => call())
      const staying = yield* all(40, () => call())
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.interrupt(leaving)
      yield* TestClock.adjust("30 seconds")
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

  it.effect("says which calls wait, and until when", () =>
    Effect.gen(function*() {
      const { call } = yield* setup()
      const seen: Array<readonly [string, number]> = []
      const observed = Effect.provideService(call(), Governor.CurrentWaitObserver, (limitClass, until) =>
        Effect.sync(() =>
          seen.push([limitClass, until])
        ))
      const fiber = yield* all(41, () => observed)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [["uploads", 60_000]])
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

  it.effect("storeTokenBucket: holds nothing back while the store fails", () =>
    Effect.gen(function*() {
      const governor = Governor.make(Governor.storeTokenBucket({ tokenBucket: () => Effect.fail("down") }))
      yield* governor.refused(uploads, undefined)
      assert.strictEqual(
        yield* run(governor, uploads, Effect.succeed(1)),
        1
      )
    }))
})
