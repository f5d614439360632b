import { assert, describe, it } from "@effect/vitest"
import { Chunk, Console, Effect, Fiber, Logger, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"

const realTime = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

/** The first line that is reported while the effect is stuck. */
const firstReport = <A, E>(stuck: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => lines.push(String(message)))
    const fiber = yield* Effect.fork(Effect.provide(stuck, Logger.add(logger)))
    while (lines.length === 0) yield* realTime(50)
    yield* realTime(600)
    yield* Fiber.interrupt(fiber)
    assert.strictEqual(lines.length, 1, "a standstill is reported once")
    return lines[0]!
  })

const sleeps = Effect.flatMap(TestClock.testClock(), (clock) => Effect.map(clock.sleeps, Chunk.size))

describe("DustTest and TestClock", () => {
  it.effect("an unmoved TestClock: reports the waiting agent, the remaining time and a remedy", () =>
    Effect.gen(function*() {
      const stuck = Effect.flatMap(Chat, (chat) => chat.send({ agent: "slow", message: "Hello" })).pipe(
        Effect.provide(DustTest.layer({ agents: { slow: [DustTest.silence("2 hours"), DustTest.text("done")] } }))
      )
      const line = yield* firstReport(stuck)
      assert.match(line, /^Local Dust: nothing has happened for a second of real time, and \d+ waits of the TestClock/)
      assert.include(line, "slow is silent (2h to go)")
      assert.match(line, /GET \S+\/events \(answered 200, still open\)/)
      assert.include(line, "TestClock.adjust(")
      assert.include(line, "it.live")
    }))

  it.effect("an unmoved TestClock: reports a client that waits after a refusal", () =>
    Effect.gen(function*() {
      const stuck = Effect.gen(function*() {
        const conversations = yield* Conversations
        const { sId } = yield* conversations.create({ title: "x" })
        const one = conversations.createMessage({ conversationId: sId, content: "x" })
        yield* Effect.replicateEffect(one, 4, { discard: true })
      }).pipe(Effect.provide(DustTest.layer({ limits: { messagesPerMinute: 3 } })))
      assert.match(yield* firstReport(stuck), /a client that tries again.* was answered 403/)
    }))

  it.effect("an unmoved TestClock: reports on the console if there is no logger", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const current = yield* Console.consoleWith(Effect.succeed)
      const console: Console.Console = {
        ...current,
        warn: (line: unknown) => Effect.sync(() => void lines.push(line))
      }
      const fiber = yield* Effect.fork(
        Effect.flatMap(Chat, (chat) => chat.send({ agent: "slow", message: "Hello" })).pipe(
          Effect.provide(DustTest.layer({ agents: { slow: [DustTest.silence()] } })),
          Effect.withConsole(console)
        )
      )
      while (lines.length === 0) yield* realTime(50)
      yield* Fiber.interrupt(fiber)
      assert.match(String(lines[0]), /^Local Dust: nothing has happened/)
    }))

  it.effect("TestClock: interrupted sleeps are removed, so that a long wait is cheap", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const before = yield* sleeps
      const waiting = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(Effect.sleep("1 hour")))
      yield* Effect.yieldNow()
      yield* Fiber.interruptAll(waiting)
      yield* realTime(20)
      assert.strictEqual(yield* sleeps, before)
      const fiber = yield* Effect.fork(
        chat.stream({ agent: "careful", message: "Go" }).pipe(Stream.runCollect)
      )
      yield* dust.waitForRequest({ path: /\/events$/, outcome: "open", status: 200 })
      yield* TestClock.adjust("24 hours")
      const [action] = (yield* dust.conversations).flatMap(({ blockedActionIds }) => blockedActionIds)
      yield* dust.resolveAction(action!)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
    }).pipe(Effect.provide(DustTest.layer({ agents: { careful: [DustTest.approval({ name: "send" })] } }))))
})
