import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Ref, Scope, TestClock } from "effect"
import { watched } from "../../src/internal/request/idleTimeout.ts"

const limit = Duration.seconds(90)

const silentAfter = <A>(pull: Effect.Effect<A, string>) => watched(pull, limit, () => "silent")

/** The clock of the machine, and how many wait for it. */
const counted = () => {
  const clock = Clock.make()
  const counts = { waiting: 0 }
  const counting: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeMillis: clock.currentTimeMillis,
    currentTimeNanos: clock.currentTimeNanos,
    sleep: (duration) =>
      Effect.acquireUseRelease(
        Effect.sync(() => counts.waiting++),
        () => clock.sleep(duration),
        () => Effect.sync(() => counts.waiting--)
      )
  }
  return { clock: counting, counts }
}

describe("Nothing hangs: one timer for all pulls", () => {
  it.scoped("passes on elements and failures that arrive in time", () =>
    Effect.gen(function*() {
      const pulls = yield* Ref.make(0)
      const pull = yield* silentAfter(
        Effect.flatMap(
          Ref.updateAndGet(pulls, (n) => n + 1),
          (n) =>
            n === 3
              ? Effect.fail("broken")
              : n === 2
              ? Effect.delay(Effect.succeed(n), "89 seconds")
              : Effect.succeed(n)
        )
      )
      assert.strictEqual(yield* pull, 1)
      const second = yield* Effect.fork(pull)
      yield* TestClock.adjust("89 seconds")
      assert.strictEqual(yield* Fiber.join(second), 2)
      assert.strictEqual(yield* Effect.flip(pull), "broken")
    }))

  it.scoped("the limit counts from the pull that is under way, not from those before it", () =>
    Effect.gen(function*() {
      const wait = yield* Ref.make<Duration.DurationInput>("60 seconds")
      const interrupted = yield* Ref.make(false)
      const pull = yield* silentAfter(
        Effect.flatMap(Ref.get(wait), Effect.sleep).pipe(Effect.onInterrupt(() => Ref.set(interrupted, true)))
      )
      for (let i = 0; i < 5; i++) {
        const fiber = yield* Effect.fork(pull)
        yield* TestClock.adjust("60 seconds")
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      }
      yield* Ref.set(wait, "1 hour")
      const last = yield* Effect.fork(Effect.flip(pull))
      yield* TestClock.adjust("89999 millis")
      assert.isNull(last.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(last), "silent")
      assert.isTrue(yield* Ref.get(interrupted))
      // And it watches on.
      const again = yield* Effect.fork(Effect.flip(pull))
      yield* TestClock.adjust(limit)
      assert.strictEqual(yield* Fiber.join(again), "silent")
    }))

  it.scoped("time between pulls does not count as silence", () =>
    Effect.gen(function*() {
      const pull = yield* silentAfter(Effect.delay(Effect.succeed(1), "1 second"))
      for (let i = 0; i < 3; i++) {
        const fiber = yield* Effect.fork(pull)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(fiber), 1)
        yield* TestClock.adjust("1 day")
      }
    }))

  it.scoped("a pull that cannot be interrupted does not hold up the failure", () =>
    Effect.gen(function*() {
      const never = yield* Deferred.make<void>()
      const pull = yield* silentAfter(Effect.uninterruptible(Deferred.await(never)))
      const fiber = yield* Effect.fork(Effect.flip(pull))
      yield* TestClock.adjust(limit)
      assert.strictEqual(yield* Fiber.join(fiber), "silent")
      yield* Deferred.succeed(never, undefined)
    }))

  it.live("interrupted, it interrupts the pull; closed, it leaves no timer behind", () => {
    const { clock, counts } = counted()
    return Effect.gen(function*() {
      const interrupted = yield* Ref.make(false)
      const scope = yield* Scope.make()
      const pull = yield* Scope.extend(
        silentAfter(Effect.async<never>(() => Effect.void).pipe(Effect.onInterrupt(() => Ref.set(interrupted, true)))),
        scope
      )
      const fiber = yield* Effect.fork(pull)
      yield* Effect.yieldNow()
      assert.strictEqual(counts.waiting, 1)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(yield* Ref.get(interrupted))
      const another = yield* Effect.fork(pull)
      yield* Effect.yieldNow()
      assert.strictEqual(counts.waiting, 1)
      yield* Fiber.interrupt(another)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(counts.waiting, 0)
    }).pipe(Effect.withClock(clock))
  })
})
