/** A run that waits two hours for an approval, tested in milliseconds with TestClock. Run with vitest. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

const TestDust = DustTest.layer({
  agents: {
    mailer: [
      DustTest.text("I will write to the team. "),
      DustTest.approval({
        name: "send_email",
        stake: "high",
        onResult: ({ approved }) => approved ? "Sent." : "Not sent."
      })
    ]
  }
})

it.effect("waits for the manager", () =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const fiber = yield* Effect.fork(chat.send({
      agent: "mailer",
      message: "Write to the team",
      onApproval: () => Effect.as(Effect.sleep("2 hours"), "approved")
    }))
    yield* TestClock.adjust("2 hours")
    const reply = yield* Fiber.join(fiber)
    assert.strictEqual(reply.text, "Sent.")
    assert.strictEqual(reply.actions[0]?.toolName, "send_email")
  }).pipe(Effect.provide(TestDust)))
