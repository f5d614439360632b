/** Tests against failures of Dust, on demand. Run with vitest. */
import { assert, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"

const messages = { method: "POST", path: "/assistant/conversations/:conversationId/messages" } as const

layer(DustTest.layer(), { excludeTestServices: true })("one workspace for several tests", (it) => {
  it.effect("a connection that breaks after the message was handled does not duplicate it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      yield* dust.fault({ ...messages, nth: 1, fault: DustTest.faults.resetAfter() })
      const reply = yield* chat.send({ agent: "echo", message: "Hello" })
      assert.strictEqual(reply.text, "Hello")
      assert.lengthOf(yield* dust.userMessages(reply.conversationId), 1)
    }))

  it.effect("the test inspects the requests received by the server", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      yield* conversations.create({ title: "Seen" })
      const request = yield* dust.lastRequest({ method: "POST" })
      assert.deepInclude(request.body, { title: "Seen" })
    }))
})

it.effect("a server that is down", () =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const error = yield* Effect.flip(conversations.get("conversation"))
    assert.strictEqual(error._tag, "DustServerError")
    assert.strictEqual(error.status, 503)
  }).pipe(Effect.provide(DustTest.layer({
    faults: [{ fault: DustTest.faults.status(503) }],
    retry: RetryPolicy.none
  }))))
