/** Waits with limits, by a clock that the test moves: when its timer runs, and what each limit does. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Duration, Effect, Exit, Fiber, FiberId, FiberRef, FiberRefs, Scope } from "effect"
import {
  type Deadline,
  Deadlines,
  deadlinesOf,
  type Reached,
  Watch,
  watching
} from "../../src/internal/request/deadlines.ts"

/** A clock that stands still until it is moved, and shows how long its sleepers sleep. */
const manual = () => {
  let now = 0
  const sleepers = new Map<object, { readonly at: number; readonly wake: () => void }>()
  const slept: Array<number> = []
  const clock: Clock.Clock = {
    ...Clock.make(),
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(Math.floor(now * 1_000_000)),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const key = {}
        slept.push(Duration.toMillis(duration))
        sleepers.set(key, {
          at: now + Duration.toMillis(duration),
          wake: () => {
            sleepers.delete(key)
            resume(Effect.void)
          }
        })
        return Effect.sync(() => sleepers.delete(key))
      })
  }
  return {
    clock,
    /** How long each of them wants to sleep. */
    slept,
    pending: () => sleepers.size,
    moveTo: (at: number) => {
      now = at
      const due = [...sleepers.values()].filter((sleeper) => sleeper.at <= now)
      for (const sleeper of due) sleeper.wake()
      return settled
    }
  }
}

/** Until everything that can run has run, and what waits for it as well. */
const settled = Effect.promise(() => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve))))

const deadline = (at: number, log: Array<number>): Deadline => ({ at, expire: () => log.push(at) })

describe("the deadlines of a clock", () => {
  it.live("have one timer, for the next of them", () =>
    Effect.gen(function*() {
      const { clock, moveTo, pending, slept } = manual()
      const deadlines = new Deadlines(clock)
      const expired: Array<number> = []
      for (const at of [100, 300, 50, 300]) deadlines.add(deadline(at, expired))
      yield* settled
      assert.deepStrictEqual([slept.splice(0), pending()], [[100, 50], 1])
      yield* moveTo(50)
      assert.deepStrictEqual([expired.splice(0), slept.splice(0), pending()], [[50], [50], 1])
      yield* moveTo(99)
      assert.deepStrictEqual(expired, [])
      // Late: what is over expires at once, in the order in which it was added.
      yield* moveTo(300)
      assert.deepStrictEqual([expired, slept, pending()], [[100, 300, 300], [], 0])
    }))

  it.live("have a timer of whole milliseconds, which never fires early", () =>
    Effect.gen(function*() {
      const { clock, moveTo, slept } = manual()
      const deadlines = new Deadlines(clock)
      const expired: Array<number> = []
      deadlines.add(deadline(10.5, expired))
      assert.deepStrictEqual(slept, [11])
      yield* moveTo(20)
      assert.deepStrictEqual(expired, [10.5])
      // In the past: at once.
      deadlines.add(deadline(5, expired))
      assert.deepStrictEqual(slept, [11, 0])
      yield* moveTo(20)
      assert.deepStrictEqual(expired, [10.5, 5])
    }))

  it.live("can be moved: an earlier one sets the timer, a later one waits until it fires", () =>
    Effect.gen(function*() {
      const { clock, moveTo, pending, slept } = manual()
      const deadlines = new Deadlines(clock)
      const expired: Array<string> = []
      const one: Deadline = { at: 100, expire: () => expired.push("one") }
      deadlines.add(one)
      one.at = 40
      deadlines.moved(one)
      one.at = 70
      deadlines.moved(one)
      yield* settled
      assert.deepStrictEqual([slept.splice(0), pending()], [[100, 40], 1])
      yield* moveTo(40)
      assert.deepStrictEqual([expired, slept.splice(0)], [[], [30]])
      one.at = Infinity
      deadlines.moved(one)
      yield* moveTo(70)
      assert.deepStrictEqual([expired, slept, pending()], [[], [], 0])
    }))

  it.live("leave no timer behind: it ends soon after the last of them, unless there is another one", () =>
    Effect.gen(function*() {
      const { clock, pending, slept } = manual()
      const deadlines = new Deadlines(clock)
      const first = deadline(100, [])
      const second = deadline(200, [])
      deadlines.add(first)
      deadlines.delete(first)
      deadlines.add(second)
      yield* settled
      assert.deepStrictEqual([slept, pending()], [[100], 1])
      const third = deadline(300, [])
      deadlines.add(third)
      deadlines.delete(second)
      yield* settled
      assert.strictEqual(pending(), 1)
      deadlines.delete(third)
      deadlines.delete(third)
      assert.strictEqual(pending(), 1)
      yield* settled
      assert.strictEqual(pending(), 0)
      deadlines.add(first)
      assert.deepStrictEqual([slept, pending()], [[100, 100], 1])
      deadlines.delete(first)
      yield* settled
      assert.strictEqual(pending(), 0)
    }))

  it("are shared by all waits of a clock, and by no other", () => {
    const { clock } = manual()
    assert.strictEqual(deadlinesOf(clock), deadlinesOf(clock))
    assert.notStrictEqual(deadlinesOf(clock), deadlinesOf(manual().clock))
  })
})

describe("a wait of several phases", () => {
  const watch = (end: number) => {
    const time = manual()
    const deadlines = new Deadlines(time.clock)
    const reached: Array<Reached<string> | undefined> = []
    const watch = new Watch<string>(deadlines, end, (phase) => reached.push(phase))
    return { ...time, watch, reached }
  }

  it.live("reaches the limit of its phase", () =>
    Effect.gen(function*() {
      const { moveTo, reached, watch: one } = watch(100)
      one.enter("headers", Duration.millis(60))
      yield* moveTo(50)
      one.enter("body", Duration.millis(30))
      yield* moveTo(79)
      assert.deepStrictEqual(reached, [])
      yield* moveTo(80)
      assert.deepStrictEqual(reached, [{ name: "body", limit: Duration.millis(30) }])
    }))

  it.live("reaches its own limit in a phase that may take longer, or in none", () =>
    Effect.gen(function*() {
      for (const leaves of [false, true]) {
        const { moveTo, reached, watch: one } = watch(100)
        one.enter("headers", Duration.millis(leaves ? 60 : 200))
        if (leaves) one.leave()
        yield* moveTo(99)
        assert.deepStrictEqual(reached, [])
        yield* moveTo(100)
        assert.deepStrictEqual(reached, [undefined])
      }
    }))

  it.live("reaches none once it is closed", () =>
    Effect.gen(function*() {
      const { moveTo, pending, reached, watch: one } = watch(100)
      one.enter("headers", Duration.millis(60))
      one.close()
      yield* settled
      assert.strictEqual(pending(), 0)
      yield* moveTo(100)
      assert.deepStrictEqual(reached, [])
    }))
})

describe("work under a watch", () => {
  class Name extends Context.Tag("Name")<Name, string>() {}

  const start = <A>(
    work: (watch: Watch<string>) => Effect.Effect<A, string, Name>,
    more: { readonly end?: number; readonly scope?: Scope.CloseableScope } = {}
  ) => {
    const time = manual()
    const deadlines = new Deadlines(time.clock)
    const self = watching<A, string, Name, string>({
      deadlines,
      end: more.end ?? 100,
      context: Context.make(Name, "ada"),
      refs: (refs, id) => FiberRefs.updateAs(refs, { fiberId: id, fiberRef: marker, value: "set" }),
      scope: more.scope,
      onTimeout: (phase) => Effect.fail(`late: ${phase === undefined ? "total" : phase.name}`)
    }, work)
    return { ...time, self }
  }
  const marker = FiberRef.unsafeMake("unset")

  it.live("succeeds and fails as it does, with the given context and references", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      let closed = 0
      yield* Scope.addFinalizer(scope, Effect.sync(() => closed++))
      const work = Effect.all([Name, FiberRef.get(marker)])
      const good = start(() => work, { scope })
      assert.deepStrictEqual(yield* good.self, ["ada", "set"])
      assert.strictEqual(closed, 0)
      yield* settled
      assert.strictEqual(good.pending(), 0)
      const bad = start(() => Effect.fail("broken"), { scope })
      assert.strictEqual(yield* Effect.flip(bad.self), "broken")
      assert.strictEqual(closed, 1)
      yield* settled
      assert.strictEqual(bad.pending(), 0)
      assert.strictEqual(yield* Effect.flip(start(() => Effect.fail("broken")).self), "broken")
    }))

  it.live("does not begin after its end", () =>
    Effect.gen(function*() {
      let begun = 0
      const run = (end: number) => Effect.flip(start(() => Effect.fail(`begun ${++begun}`), { end }).self)
      assert.deepStrictEqual([yield* run(0), yield* run(-1), begun], ["late: total", "late: total", 0])
      assert.strictEqual(yield* run(1), "begun 1")
    }))

  it.live("is interrupted at a limit, and not awaited, also where its caller cannot be interrupted", () =>
    Effect.gen(function*() {
      const hangs = yield* Deferred.make<void>()
      let interrupted = 0
      const { moveTo, self } = start((watch) => {
        watch.enter("headers", Duration.millis(10))
        return Effect.never.pipe(
          Effect.onInterrupt(() => Effect.zipRight(Effect.sync(() => interrupted++), Deferred.await(hangs)))
        )
      })
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(self)))
      yield* settled
      yield* moveTo(10)
      assert.strictEqual(yield* Fiber.join(fiber), "late: headers")
      yield* settled
      assert.strictEqual(interrupted, 1)
      yield* Deferred.succeed(hangs, undefined)
    }))

  it.live("is interrupted with its caller, which waits for its end and leaves no timer", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const { pending, self } = start(() =>
        Effect.onInterrupt(Effect.never, () => Effect.zipRight(settled, Effect.sync(() => interrupted++)))
      )
      const fiber = yield* Effect.fork(self)
      yield* settled
      assert.strictEqual(pending(), 1)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interruptAs(fiber, FiberId.none)))
      assert.strictEqual(interrupted, 1)
      yield* settled
      assert.strictEqual(pending(), 0)
    }))
})
