/** The turns of a session end with their answers, whatever their consumer and its speed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import type { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"

const { approval, silence, text } = DustTest

const local = Effect.provide(DustTest.layer({
  agents: {
    helper: ({ message }) => [text("a "), silence("1 second"), text(message)],
    mailer: [approval({ name: "send_email" }), text("Sent.")]
  }
}))

const passing = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    for (let i = 0; i < 60 && Option.isNone(yield* Fiber.poll(fiber)); i++) yield* TestClock.adjust("1 second")
    assert.isTrue(Option.isSome(yield* Fiber.poll(fiber)), "it did not end")
    return yield* Fiber.join(fiber)
  })

type Turn = Stream.Stream<string, DustAPIError>

const session = Effect.flatMap(Chat, (chat) => chat.session({ agent: "helper" }))

describe("Turns of a session", () => {
  const ways = {
    zipped: (one: Turn, two: Turn) => Stream.zip(one, two),
    "zipped with the latest": (one: Turn, two: Turn) => Stream.zipLatest(one, two),
    merged: (one: Turn, two: Turn) => Stream.merge(one, two),
    concatenated: (one: Turn, two: Turn) => Stream.concat(one, two),
    nested: (one: Turn, two: Turn) => Stream.flatMap(one, () => two)
  }

  for (const [how, both] of Object.entries(ways)) {
    it.effect(`${how}: come one after the other, and all of them end`, () =>
      Effect.gen(function*() {
        const { streamText } = yield* session
        const pieces = yield* passing(
          Stream.runCollect<unknown, DustAPIError, never>(both(streamText("one"), streamText("two")))
        )
        assert.isAbove(pieces.length, 1)
      }).pipe(local))
  }

  it.effect("the next one can be asked for in the middle of one, at its Done, and after a pull read to its end", () =>
    Effect.gen(function*() {
      const { send, stream } = yield* session
      const replies: Array<string> = []
      const next = (message: string) =>
        Effect.map(send(message), ({ text }) => {
          replies.push(text)
        })
      yield* passing(
        Stream.runForEach(
          stream("one"),
          (event) => event._tag === "Started" ? next("two") : event._tag === "Done" ? next("three") : Effect.void
        )
      )
      yield* passing(Effect.scoped(Effect.gen(function*() {
        const pull = yield* Stream.toPull(stream("four"))
        yield* Effect.ignore(Effect.forever(pull))
        yield* next("five")
      })))
      assert.deepStrictEqual(replies, ["a two", "a three", "a five"])
    }).pipe(local))

  it.effect("one that a handler of another one asks for fails, and one in another session does not", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const mail = yield* chat.session({ agent: "mailer" })
      const other = yield* session
      const error = yield* Effect.flip(
        mail.send({ message: "Go", onApproval: () => Effect.as(mail.send("May I?"), "approved" as const) })
      )
      assert.strictEqual(error._tag, "DustConflictError")
      assert.strictEqual(error.type, "turn_in_handler")
      assert.isFalse(error.isRetryable)
      const reply = yield* passing(
        mail.send({ message: "Go", onApproval: () => Effect.as(other.send("May I?"), "approved" as const) })
      )
      assert.strictEqual(reply.text, "Sent.")
    }).pipe(local))

  it.effect("one that waits for its turn can be interrupted, in uninterruptible regions as well", () =>
    Effect.gen(function*() {
      const { send } = yield* session
      const first = yield* Effect.fork(send("one"))
      yield* TestClock.adjust("100 millis")
      const second = yield* Effect.fork(Effect.uninterruptible(send("two")))
      yield* TestClock.adjust("100 millis")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(second)))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(first)).text, "a one")
      assert.strictEqual((yield* passing(send("three"))).text, "a three")
    }).pipe(local))
})
