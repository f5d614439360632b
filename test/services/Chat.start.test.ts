import { KeyValueStore } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"

const { faults, silence, text } = DustTest

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(Layer.merge(DustTest.layer(options), KeyValueStore.layerMemory))

const asking = (key: string, more: { readonly message?: string; readonly conversationId?: string } = {}) =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const store = yield* KeyValueStore.KeyValueStore
    return yield* chat.start({ agent: "echo", message: "Hello", key, store, ...more })
  })

const questions = Effect.flatMap(DustTest.DustTest, (dust) => dust.userMessages())

const passing = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust("5 minutes")
    return yield* Fiber.join(fiber)
  })

/** A store that fails to write the entries whose names end so. */
const failing = (ending: string) =>
  Effect.map(KeyValueStore.KeyValueStore, (store) => ({
    ...store,
    set: (entry: string, value: string | Uint8Array) =>
      entry.endsWith(ending) ? Effect.die("the process is gone") : store.set(entry, value)
  }))

/** A client without knowledge of messages sent by other clients. */
const process = () =>
  Layer.unwrapEffect(
    Effect.map(DustTest.DustTest, ({ apiKey, url, workspaceId }) =>
      Layer.orDie(Dust.layer({ apiKey, workspaceId, baseUrl: url })))
  )

const post = { method: "POST", path: "/assistant/conversations/:conversationId/messages" } as const

describe("Chat.start", () => {
  it.effect("without a key: returns the ids before the answer, which resume follows", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const asked = yield* chat.start({ agent: "slow", message: "Hello" })
      const dust = yield* DustTest.DustTest
      const [running] = yield* dust.agentMessages()
      assert.strictEqual(running?.sId, asked.messageId)
      assert.notStrictEqual(running?.status, "succeeded")
      const last = yield* passing(Stream.runLast(chat.resume(asked)))
      assert.isTrue(Option.isSome(last) && last.value._tag === "Done" && last.value.reply.text === "At last")
      assert.deepStrictEqual((yield* questions).map(({ sId }) => sId), [asked.userMessageId])
    }).pipe(local({ agents: { slow: [silence("1 minute"), text("At last")] } })))

  it.effect("with a key: a store that never answers is a timeout, of the call's own limit where it has one", () => {
    const silent = KeyValueStore.make({
      get: () => Effect.never,
      getUint8Array: () => Effect.never,
      set: () => Effect.never,
      remove: () => Effect.never,
      clear: Effect.never,
      size: Effect.never
    })
    return Effect.gen(function*() {
      const chat = yield* Chat
      const start = chat.start({ agent: "echo", message: "Hello", key: "one", store: silent })
      const error = yield* passing(Effect.flip(start))
      assert.strictEqual(error.message, "Chat.start: the store did not answer within 30s")
      const own = yield* passing(Effect.flip(DustClient.withOptions(start, { timeouts: { total: "2 seconds" } })))
      assert.strictEqual(own.message, "Chat.start: the store did not answer within 2s")
    }).pipe(local())
  })

  it.effect("with a key: returns the same ids again without any request, at the same time and later", () =>
    Effect.gen(function*() {
      const both = yield* Effect.all([asking("a"), asking("a")], { concurrency: 2 })
      assert.deepStrictEqual(both[0], both[1])
      const dust = yield* DustTest.DustTest
      const before = (yield* dust.requests()).length
      assert.deepStrictEqual(yield* asking("a"), both[0])
      assert.strictEqual((yield* dust.requests()).length, before)
      assert.strictEqual((yield* questions).length, 1)
      const other = yield* asking("b")
      assert.notStrictEqual(other.conversationId, both[0].conversationId)
      assert.strictEqual((yield* questions).length, 2)
    }).pipe(local()))

  it.effect("with a key: finds the message of a process that died before it had stored the ids", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      const start = (of: typeof store, conversationId?: string) =>
        Effect.flatMap(
          Chat,
          (chat) =>
            chat.start({ agent: "echo", message: "Hello", key: `in ${conversationId}`, store: of, conversationId })
        )
      const before = yield* Effect.provide(
        Effect.flatMap(Chat, (chat) => chat.send({ agent: "echo", message: "Hello" })),
        process()
      )
      for (const conversationId of [undefined, before.conversationId]) {
        const old = (yield* questions).map(({ sId }) => sId)
        yield* Effect.exit(Effect.provide(start(yield* failing("/sent"), conversationId), process()))
        assert.strictEqual((yield* questions).length, old.length + 1)
        const asked = yield* Effect.provide(start(store, conversationId), process())
        const fresh = (yield* questions).map(({ sId }) => sId).filter((id) => !old.includes(id))
        assert.deepStrictEqual(fresh, [asked.userMessageId])
      }
    }).pipe(Effect.provide(Layer.merge(DustTest.layerHttpClient(), KeyValueStore.layerMemory))))

  it.effect("with a key: a store that failed to write the ids is not a reason to send again", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      yield* Effect.exit(
        chat.start({ agent: "echo", message: "Hello", key: "a", store: yield* failing("/sent") })
      )
      const asked = yield* asking("a")
      assert.deepStrictEqual((yield* questions).map(({ sId }) => sId), [asked.userMessageId])
    }).pipe(local()))

  it.effect("with a key: sends the message once it had time to arrive and did not", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const store = yield* KeyValueStore.KeyValueStore
      const attempt = chat.start({ agent: "echo", message: "Hello", key: "a", store })
      const lost = yield* passing(Effect.flip(attempt))
      assert.strictEqual(lost._tag, "DustUnconfirmedError")
      const fiber = yield* Effect.fork(asking("a"))
      yield* TestClock.adjust("69 seconds")
      assert.strictEqual((yield* questions).length, 0)
      yield* TestClock.adjust("2 seconds")
      const asked = yield* Fiber.join(fiber)
      assert.deepStrictEqual((yield* questions).map(({ sId }) => sId), [asked.userMessageId])
    }).pipe(local({ faults: [{ ...post, nth: 1, fault: faults.status(502) }] })))

  it.effect("with a key: a message that was refused is sent again at once, in the same conversation", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const store = yield* KeyValueStore.KeyValueStore
      const refused = yield* Effect.flip(chat.start({ agent: "echo", message: "Hello", key: "a", store }))
      assert.strictEqual(refused._tag, "DustForbiddenError")
      const asked = yield* asking("a")
      const dust = yield* DustTest.DustTest
      assert.deepStrictEqual((yield* dust.conversations).map(({ sId }) => sId), [asked.conversationId])
      assert.strictEqual((yield* questions).length, 1)
    }).pipe(local({ faults: [{ ...post, nth: 1, fault: faults.status(403) }] })))

  it.effect("with a key: another question is a conflict, and a blank key is refused, before any request", () =>
    Effect.gen(function*() {
      yield* asking("a")
      const dust = yield* DustTest.DustTest
      const before = (yield* dust.requests()).length
      const reused = yield* Effect.flip(asking("a", { message: "Something else" }))
      assert.deepStrictEqual([reused._tag, "type" in reused && reused.type], ["DustConflictError", "key_reused"])
      const elsewhere = yield* Effect.flip(asking("a", { conversationId: "another" }))
      assert.deepStrictEqual(elsewhere._tag === "DustConflictError" && elsewhere.type, "key_reused")
      const blank = yield* Effect.flip(asking(" "))
      assert.match(blank.message, /key/)
      assert.strictEqual((yield* dust.requests()).length, before)
    }).pipe(local()))
})
