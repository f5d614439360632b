import { assert, describe, expect, it, layer } from "@effect/vitest"
import { Effect, Fiber, Logger, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"
import { Spaces } from "effect-dust/Spaces"
import * as local from "../support/local.ts"

const ask = (message: string, agent = "echo") => Effect.flatMap(Chat, (chat) => chat.send({ agent, message }))

const shared = DustTest.layer({
  agents: { slow: [DustTest.text("one"), DustTest.silence()] },
  seed: { conversations: [{ sId: "cnv_seed", messages: [{ role: "user", content: "Hi" }] }] },
  faults: [{ method: "POST", path: "/assistant/conversations", nth: 1, fault: DustTest.faults.status(400) }]
})

layer(shared, { excludeTestServices: true })("DustTest.reset", (it) => {
  it.effect("restores the initial state", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const first = yield* Effect.flip(ask("Hello"))
      const reply = yield* ask("Hello")
      yield* dust.setAgent("echo", "changed")
      yield* dust.addConversation({ sId: "cnv_added" })
      yield* dust.fault(DustTest.faults.status(403))
      yield* Effect.flip(ask("Hello"))

      yield* dust.reset

      assert.deepStrictEqual((yield* dust.conversations).map(({ sId }) => sId), ["cnv_seed"])
      assert.strictEqual(yield* dust.countRequests(), 0)
      // The same faults, the same agents, and the same ids for the same calls.
      assert.strictEqual((yield* Effect.flip(ask("Hello"))).message, first.message)
      const again = yield* ask("Hello")
      assert.deepStrictEqual([again.text, again.conversationId], ["Hello", reply.conversationId])
      assert.deepStrictEqual((yield* dust.requests()).map(({ index }) => index)[0], 1)
    }))

  it.effect("ends runs and event streams", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* dust.reset
      yield* Effect.flip(ask("armed again"))
      const following = yield* Effect.fork(
        Effect.flatMap(Chat, (chat) =>
          Stream.runDrain(chat.stream({ agent: "slow", message: "Hi", onInterrupt: "leave" })))
      )
      yield* dust.waitForRequest({
        where: ({ path, status }) =>
          path.startsWith("/api/sse/") && status === 200
      })
      yield* dust.reset
      yield* dust.allClosed
      yield* Fiber.interrupt(following)
    }))

  it.effect("reports a fault that was added later and never occurred", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* dust.reset
      yield* dust.fault({ path: "/skills", fault: DustTest.faults.status(400) })
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => lines.push(String(message)))
      yield* Effect.provide(dust.reset, Logger.add(logger))
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /a scripted fault never occurred: .*\/skills/)
      yield* Effect.provide(dust.reset, Logger.add(logger))
      assert.lengthOf(lines, 1)
    }))
})

const slow = DustTest.layer({ agents: { slow: [DustTest.text("one"), DustTest.silence()] } })

layer(slow, { excludeTestServices: true })("A shared workspace", (it) => {
  it.effect("questions at the same time are answered apart, and the log can be read for each", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const questions = ["a", "b", "c", "d", "e"]
      const replies = yield* Effect.forEach(questions, (question) => ask(question), { concurrency: "unbounded" })
      assert.deepStrictEqual(replies.map(({ text }) => text), questions)
      for (const { conversationId, text } of replies) {
        assert.deepStrictEqual((yield* dust.userMessages(conversationId)).map(({ content }) => content), [text])
        const own = { path: "/assistant/conversations/:conversationId/messages", method: "POST" } as const
        const where = (request: DustTest.SeenRequest) => request.params["conversationId"] === conversationId
        assert.strictEqual(yield* dust.countRequests({ ...own, where }), 1)
      }
    }))

  it.effect("reset while an answer streams: clients that follow it fail, because the conversation is gone", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const following = yield* Effect.fork(Effect.flip(ask("Hi", "slow")))
      yield* dust.waitForRequest({ path: /\/events$/, outcome: "open", status: 200 })
      yield* dust.reset
      const error = yield* Fiber.join(following)
      assert.deepStrictEqual([error._tag, error.type], ["DustNotFoundError", "conversation_not_found"])
      assert.strictEqual((yield* ask("Hello")).text, "Hello")
      assert.lengthOf(yield* dust.conversations, 1)
    }))
})

describe("DustTest.reset over HTTP", () => {
  it.live("answers a request that waits for a run", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const waiting = yield* Effect.fork(local.ask("Hi", "slow", { more: { blocking: true } }))
      yield* dust.waitForRequest({ method: "POST", outcome: "open" })
      yield* dust.reset
      assert.strictEqual((yield* Fiber.join(waiting)).json.conversation.content[1][0].status, "created")
    }).pipe(Effect.provide(DustTest.layerHttpClient({ agents: { slow: [DustTest.silence()] } }))))
})

describe("DustTest.snapshot", () => {
  const program = (timezone?: string) =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const context = { timezone }
      const { conversationId } = yield* chat.send({ agent: "echo", message: "Hello at 2026-01-02T03:04:05Z", context })
      yield* chat.send({ agent: "echo", message: `In ${conversationId}`, conversationId })
      yield* Effect.flatMap(Spaces, (spaces) => spaces.list())
      return yield* (yield* DustTest.DustTest).snapshot()
    })

  it.effect("shows method, path, query, credential, body and status, with ids, times and time zones replaced", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* program()
      const posts = yield* dust.snapshot({ method: "POST" })
      expect(posts).toMatchInlineSnapshot(`
        "POST /assistant/conversations (key:Local Dust)
          {
            "contentFragments": []
          }
          → 200

        POST /assistant/conversations/<conversationId 1>/messages (key:Local Dust)
          {
            "content": "Hello at <time>",
            "context": {
              "origin": "api",
              "timezone": "<timezone>",
              "username": "effect-dust"
            },
            "mentions": [
              {
                "configurationId": "echo"
              }
            ]
          }
          → 200

        POST /assistant/conversations/<conversationId 1>/messages (key:Local Dust)
          {
            "content": "In <conversationId 1>",
            "context": {
              "origin": "api",
              "timezone": "<timezone>",
              "username": "effect-dust"
            },
            "mentions": [
              {
                "configurationId": "echo"
              }
            ]
          }
          → 200"
      `)
      assert.match(yield* dust.snapshot({ path: "/spaces" }), /^GET \/spaces(\?\S+)? \(key:Local Dust\)\n {2}→ 200$/)
    }).pipe(Effect.provide(DustTest.layer())))

  it.effect("is the same with other ids, at another time, in another time zone", () =>
    Effect.gen(function*() {
      const one = yield* Effect.provide(program("Pacific/Kiritimati"), DustTest.layer({ randomSeed: 1 }))
      const two = yield* Effect.provide(program("Europe/Paris"), DustTest.layer({ randomSeed: 2 }))
      assert.strictEqual(one, two)
      assert.include(one, "In <conversationId 1>")
    }))
})
