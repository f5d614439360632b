/** What callers pass as content or as a source, and the steps of a job that may have to wait. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Option, Stream } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import * as Fixtures from "effect-dust/Fixtures"
import { CurrentWaitObserver } from "effect-dust/Governor"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { sourceOf } from "../../src/internal/data/content.ts"
import { makePersist } from "../../src/internal/data/persist.ts"
import { pulled } from "../../src/internal/data/source.ts"
import { settings } from "../support/jobs.ts"
import { virtualClock } from "../support/virtual.ts"

describe("content", () => {
  const buffer = new Uint8Array([48, 49, 50, 51, 52]).buffer
  const shared = new SharedArrayBuffer(1)
  const web = (text: string) => new Blob([text]).stream()
  const unnamed = { size: undefined, name: undefined, type: undefined, once: false }

  const contents: ReadonlyArray<readonly [string, unknown, string, object]> = [
    ["text", "é", "é", { size: 2, isWhole: true }],
    ["bytes of a part of a buffer", new Uint8Array(buffer, 1, 3), "123", { size: 3, isWhole: true }],
    ["a DataView", new DataView(buffer, 1, 3), "123", { size: 3, isWhole: true }],
    ["a buffer", buffer, "01234", { size: 5, isWhole: true }],
    ["a shared buffer", shared, "\0", { size: 1, isWhole: true }],
    ["a Stream", Stream.make(new Uint8Array([48]), new Uint8Array([49])), "01", {}],
    ["a Blob", new Blob(["abc"], { type: "text/csv" }), "abc", { size: 3, type: "text/csv" }],
    ["a File", new File(["abc"], "a.csv"), "abc", { size: 3, type: "", name: "a.csv" }],
    ["what is like a Blob", { stream: () => web("abc"), size: 3, type: "t", name: 1 }, "abc", { size: 3, type: "t" }],
    ["a ReadableStream", web("abc"), "abc", { once: true }]
  ]
  it.effect.each(contents)(
    "of %s has its bytes and what it knows of itself",
    ([, content, expected, known]) =>
      Effect.gen(function*() {
        const source = sourceOf<never, never, "broken">(content, () => "broken")
        assert.isDefined(source)
        const { bytes, stream, ...rest } = source!
        assert.deepStrictEqual({ ...rest, isWhole: bytes !== undefined }, { ...unnamed, isWhole: false, ...known })
        const read = yield* Stream.mkString(Stream.decodeText(stream))
        assert.strictEqual(read, expected)
        if (bytes !== undefined) assert.strictEqual(new TextDecoder().decode(new Uint8Array(bytes)), expected)
      })
  )

  const others: ReadonlyArray<unknown> = [
    undefined,
    null,
    1,
    {},
    [],
    { stream: 1, size: 1, type: "" },
    { stream: () => web(""), size: "1", type: "" },
    { stream: () => web(""), size: 1, type: 1 },
    { stream: () => web(""), size: 1 },
    { stream: () => web(""), type: "" },
    { size: 1, type: "" },
    { getReader: 1 }
  ]
  it.each(others.map((content) => [content]))("is not %j", (content) => {
    assert.isUndefined(sourceOf(content, () => "broken"))
  })

  it.effect("that breaks fails with the given error", () =>
    Effect.gen(function*() {
      const broken = () => new ReadableStream({ start: (controller) => controller.error(new Error("x")) })
      for (const content of [broken(), { stream: broken, size: 1, type: "" }]) {
        const source = sourceOf<never, never, "broken">(content, () => "broken")
        assert.strictEqual(yield* Effect.flip(Stream.runDrain(source!.stream)), "broken")
      }
    }))
})

describe("a source that is pulled", () => {
  const generator = function*(log: Array<unknown>): Generator<number> {
    try {
      yield log.push("first")
      yield log.push("second")
    } finally {
      log.push("closed")
    }
  }

  it.effect("is asked for each element on demand, closed early, and closed once", () =>
    Effect.gen(function*() {
      const early: Array<unknown> = []
      yield* Effect.scoped(Effect.gen(function*() {
        const pull = yield* pulled<number, never, never>(generator(early))
        assert.deepStrictEqual(early, [])
        assert.strictEqual(Option.getOrUndefined(yield* pull), 1)
        assert.deepStrictEqual(early, ["first"])
      }))
      assert.deepStrictEqual(early, ["first", "closed"])
      let asked = 0
      let closed = 0
      const iterable: Iterable<number> = {
        [Symbol.iterator]: () => ({
          next: () => ++asked === 1 ? { done: true, value: 7 } as const : { done: false, value: 8 } as const,
          return: () => ({ done: true, value: closed++ } as const)
        })
      }
      yield* Effect.scoped(Effect.gen(function*() {
        const pull = yield* pulled<number, never, never>(iterable)
        assert.isTrue(Option.isNone(yield* pull) && Option.isNone(yield* pull))
      }))
      assert.deepStrictEqual([asked, closed], [1, 0])
    }))

  it.effect("gives every element of the chunks of a Stream, then its end or its failure", () =>
    Effect.scoped(Effect.gen(function*() {
      const stream = Stream.concat(Stream.make(1, 2), Stream.make(3))
      const pull = yield* pulled(stream)
      const all = [yield* pull, yield* pull, yield* pull, yield* pull, yield* pull]
      assert.deepStrictEqual(all.map(Option.getOrUndefined), [1, 2, 3, undefined, undefined])
      const failing = yield* pulled(Stream.concat(Stream.make(1), Stream.fail("broken")))
      assert.deepStrictEqual(Option.getOrUndefined(yield* failing), 1)
      assert.strictEqual(yield* Effect.flip(failing), "broken")
    })))
})

describe("a step of a job", () => {
  const limited = (seconds?: number) =>
    Fixtures.error.DustRateLimitError({ retryAfter: seconds === undefined ? undefined : Duration.seconds(seconds) })
  const garbled = Fixtures.error.DustDecodeError()
  const down = Fixtures.error.DustServerError()
  const policy = { schedule: settings.retry.schedule, maxRetryAfter: "60 seconds", maxElapsed: "2 minutes" } as const
  const day = 1_750_000_000_000

  /** When it is tried, when it says that it waits, and how it ends. */
  const run = (failures: ReadonlyArray<RequestError>, options: RetryPolicy.Options = {}, total = Duration.minutes(2)) =>
    Effect.gen(function*() {
      const since = Effect.map(Clock.currentTimeMillis, (now) => (now - day) / 1000)
      const tried: Array<number> = []
      const waits: Array<number> = []
      const persist = makePersist(
        {
          ...settings,
          retry: RetryPolicy.make({ ...policy, ...options }),
          timeouts: { ...settings.timeouts, total }
        },
        (until) => Effect.sync(() => waits.push((until - day) / 1000))
      )
      const end = yield* Effect.either(persist(Effect.flatMap(since, (now) => {
        tried.push(now)
        const failure = failures[tried.length - 1]
        return failure === undefined ? Effect.succeed("done") : Effect.fail(failure)
      })))
      return { tried, waits, end: end._tag === "Right" ? end.right : end.left }
    }).pipe(Effect.withClock(virtualClock(day)), Effect.withRandomFixed([0.5]))

  const rows: ReadonlyArray<readonly [string, Effect.Effect<unknown>, unknown]> = [
    ["without a failure", run([]), { tried: [0], waits: [], end: "done" }],
    ["with any other failure", run([down]), { tried: [0], waits: [], end: down }],
    ["while a limit lasts", run([limited(5), limited(7)]), { tried: [0, 5, 12], waits: [5, 12], end: "done" }],
    ["a limit without a time", run([limited()]), { tried: [0, 15], waits: [15], end: "done" }],
    ["the longest limit", run([limited(60)]), { tried: [0, 60], waits: [60], end: "done" }],
    ["a longer limit", run([limited(61)]), { tried: [0], waits: [], end: limited(61) }],
    ["limits up to the policy's end", run([limited(60), limited(60)]), {
      tried: [0, 60, 120],
      waits: [60, 120],
      end: "done"
    }],
    ["limits beyond the policy's end", run([limited(60), limited(59), limited(2)]), {
      tried: [0, 60, 119],
      waits: [60, 119],
      end: limited(2)
    }],
    ["a limit beyond the total limit", run([limited(60)], {}, Duration.seconds(59)), {
      tried: [0],
      waits: [],
      end: limited(60)
    }],
    ["a limit with a policy that never waits", run([limited(1)], { maxElapsed: 0 }), {
      tried: [0],
      waits: [],
      end: limited(1)
    }]
  ]
  it.effect.each(rows)("%s waits, or fails", ([, outcome, expected]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* outcome, expected)
    }))

  it.effect("is made again after a corrupt response, by the schedule of the policy", () =>
    Effect.gen(function*() {
      const schedule = RetryPolicy.make({ retries: 2, base: "10 seconds" }).schedule
      const { end, tried, waits } = yield* run([garbled, garbled, garbled, garbled], { schedule })
      assert.deepStrictEqual([tried.length, waits, end], [3, [], garbled])
      assert.isTrue(tried[1]! >= 8 && tried[1]! <= 12 && tried[2]! >= 24)
      assert.strictEqual((yield* run([garbled, garbled], { schedule })).end, "done")
    }))

  it.effect("pauses the others, and reports the waits of a Governor", () =>
    Effect.gen(function*() {
      const waits: Array<number> = []
      const started: Array<number> = []
      const persist = makePersist(settings, (until) => Effect.sync(() => waits.push(until - day)))
      let nth = 0
      const limit = Effect.suspend(() => nth++ === 0 ? Effect.fail(limited(5)) : Effect.void)
      const other = Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => started.push(now - day)))
      yield* Effect.all([persist(limit), Effect.delay(persist(other), "1 second")], { concurrency: 2 })
      assert.deepStrictEqual([waits, started], [[5000], [5000]])
      yield* persist(Effect.flatMap(CurrentWaitObserver, (observe) => observe("requests", day + 9)))
      assert.deepStrictEqual(waits, [5000, 9])
    }).pipe(Effect.withClock(virtualClock(day))))
})
