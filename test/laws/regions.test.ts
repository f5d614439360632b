/** As quick and as bounded in acquire, release and finalizers as outside. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

const { approval, faults, silence, text } = DustTest

const local = (options: DustTest.Options & DustTest.ClientOptions = {}) =>
  Effect.provide(DustTest.layer({
    agents: { helper: "Hi", mailer: [approval({ name: "send_email" }), text("Sent.")], slow: [text("a"), silence()] },
    ...options
  }))

const ask = Effect.flatMap(Chat, (chat) => chat.send({ agent: "helper", message: "Go" }))
const approve = Effect.flatMap(
  Chat,
  (chat) => chat.send({ agent: "mailer", message: "Go", onApproval: () => Effect.succeed("approved" as const) })
)

const regions = [
  ["acquireRelease", (self: typeof ask) => Effect.scoped(Effect.acquireRelease(self, () => Effect.void))],
  ["a finalizer", (self: typeof ask) => {
    let text = ""
    const kept = Effect.map(Effect.orDie(self), (reply) => {
      text = reply.text
    })
    return Effect.map(Effect.scoped(Effect.addFinalizer(() => Effect.provide(kept, Layer.empty))), () => ({ text }))
  }],
  ["the finalizer of an interrupted fiber", (self: typeof ask) => {
    let text = ""
    return Effect.never.pipe(
      Effect.onInterrupt(() =>
        Effect.map(Effect.orDie(self), (reply) => {
          text = reply.text
        })
      ),
      Effect.fork,
      Effect.tap(() => Effect.yieldNow()),
      Effect.flatMap(Fiber.interrupt),
      Effect.map(() => ({ text }))
    )
  }],
  ["uninterruptible", (self: typeof ask) => Effect.uninterruptible(self)]
] as const

describe("An answer in an uninterruptible region", () => {
  for (const [region, within] of regions) {
    it.effect(`${region}: is there without any time passing, with a handler, too`, () =>
      Effect.gen(function*() {
        // The clock of the test stands still: nothing may wait for a limit.
        assert.strictEqual((yield* within(ask)).text, "Hi")
        assert.strictEqual((yield* within(approve)).text, "Sent.")
      }).pipe(local()))
  }

  it.effect("is bounded by the limits of the client, and by those of the caller", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const slow = chat.send({ agent: "slow", message: "Go", silence: "1 minute" })
      const acquired = (self: typeof slow) => Effect.exit(Effect.scoped(Effect.acquireRelease(self, () => Effect.void)))
      const silent = yield* Effect.fork(acquired(slow))
      yield* TestClock.adjust("10 minutes")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(silent)))
      const limited = yield* Effect.fork(
        Effect.scoped(Effect.acquireRelease(Effect.timeoutOption(slow, "1 second"), () => Effect.void))
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(limited))._tag, "None")
    }).pipe(local()))

  it.effect("the question is on its way when the caller's limit is reached", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(
        Effect.scoped(Effect.acquireRelease(Effect.timeoutOption(ask, "1 second"), () => Effect.void))
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "None")
    }).pipe(local({
      faults: [{
        method: "POST",
        path: "/assistant/conversations/:conversationId/messages",
        fault: faults.neverAnswer()
      }]
    })))

  it.effect("a resource that is made of a stream is closed with its run", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const first = yield* Effect.uninterruptible(
        Stream.runCollect(Stream.take(chat.stream({ agent: "slow", message: "Go" }), 2))
      )
      assert.strictEqual(first.length, 2)
      const run = (yield* dust.agentMessages())[0]!
      yield* dust.waitForRun(run.sId)
      assert.strictEqual((yield* dust.agentMessages())[0]!.run, "cancelled")
    }).pipe(local()))
})
