import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream, TestClock } from "effect"
import * as Chat from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

describe("A person can continue", () => {
  it.effect("resume without a cursor: a finished answer whose events have expired arrives within a second", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.Chat
      const reply = yield* chat.send({ agent: "echo", message: "Hello" })
      yield* TestClock.adjust("2 hours")
      const resumed = yield* Effect.fork(Stream.runCollect(
        chat.resume({ conversationId: reply.conversationId, messageId: reply.agentMessage.sId })
      ))
      yield* TestClock.adjust("1 second")
      const events = Chunk.toReadonlyArray(yield* Fiber.join(resumed))
      assert.strictEqual(events.at(-1)?._tag, "Done")
    }).pipe(Effect.provide(DustTest.layer())))
})
