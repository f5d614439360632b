/** Send once: one message of a caller is one message in the conversation, whatever happens between the two. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Fiber, Layer, Option, Redacted, TestClock, TestContext } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import { withOptions } from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { dustUser, failure, json } from "../support/http.ts"
import { seed } from "../support/seed.ts"

const { faults } = DustTest

const posting = "/assistant/conversations/:conversationId/messages"
const reading = "/assistant/conversations/:conversationId"

const rule = (fault: DustTest.Fault, nth: number | ReadonlyArray<number> = 1): DustTest.FaultRule => ({
  method: "POST",
  path: posting,
  nth,
  fault
})

const inTime = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust("2 hours")
    return yield* Fiber.join(fiber)
  })

const send = (content = "Hello", conversationId?: string) =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const id = conversationId ?? (yield* conversations.create()).sId
    return yield* conversations.createMessage({
      conversationId: id,
      content,
      mentions: [{ configurationId: "echo" }]
    })
  })

const stored = Effect.flatMap(DustTest.DustTest, (dust) => dust.userMessages())
const posts = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests({ method: "POST", path: posting }))

const local = (rules: ReadonlyArray<DustTest.FaultRule>, options: DustTest.Options & DustTest.ClientOptions = {}) =>
  Effect.provide(DustTest.layer({ ...options, faults: rules }))

/** The messages, as a clock that is behind would date them. */
const createdEarlier = (millis: number) => (json: unknown): unknown => {
  if (Array.isArray(json)) return json.map(createdEarlier(millis))
  if (typeof json !== "object" || json === null) return json
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [
      key,
      key === "created" && typeof value === "number" ? value - millis : createdEarlier(millis)(value)
    ])
  )
}

describe("Send once", () => {
  const cases: ReadonlyArray<readonly [string, DustTest.Fault, number]> = [
    ["a connection that was refused", faults.refuse(), 2],
    ["a connection that was reset after the handler", faults.resetAfter(), 1],
    ["no answer after the handler", faults.neverAnswer({ handlerRuns: true }), 1],
    ["an answer that is cut", faults.cut(40), 1],
    ["an answer that is garbled", faults.malformedJson(), 1],
    ["an answer of another shape", faults.transformJson(() => ({ done: true })), 1],
    ["an empty answer", faults.transformText(() => ""), 1],
    ["a 503 of maintenance", faults.status(503, { type: "service_unavailable" }), 2],
    ["a 429", faults.status(429, { type: "rate_limit_error" }), 2],
    ["a 403 that is a rate limit", faults.status(403, { type: "rate_limit_error" }), 2],
    ["a busy conversation", faults.status(409, { type: "invalid_request_error" }), 2]
  ]

  it.effect.each(cases)("Send once: stores one message despite %s", ([, fault, requests]) =>
    Effect.gen(function*() {
      const { agentMessages, message } = yield* inTime(send())
      const all = yield* stored
      assert.deepStrictEqual(all.map(({ content, sId }) => [sId, content]), [[message.sId, "Hello"]])
      assert.lengthOf(agentMessages, 1)
      assert.strictEqual(agentMessages[0]?.parentMessageId, message.sId)
      assert.strictEqual(yield* posts, requests)
    }).pipe(local([rule(fault)])))

  const lost: ReadonlyArray<readonly [string, DustTest.Fault]> = [
    ["a connection that was reset before the handler", faults.resetBefore()],
    ["no answer, and no handler", faults.neverAnswer()],
    ["a 500 that did nothing", faults.status(500)],
    ["a 502 of HTML", faults.html(502)],
    ["a 503 of HTML", faults.html(503)],
    ["a 504", faults.status(504, { body: "timeout", contentType: "text/plain" })],
    ["a 408", faults.status(408, { body: "timeout", contentType: "text/plain" })],
    ["a 499", faults.status(499, { body: "", contentType: "text/plain" })],
    ["a 520", faults.html(520)],
    ["a 522", faults.html(522)],
    ["a 524", faults.html(524)]
  ]

  it.effect.each(lost)(
    "Send once: fails with DustUnconfirmedError, and sends once, after %s",
    ([, fault]) =>
      Effect.gen(function*() {
        const error = yield* inTime(Effect.flip(send()))
        assert.strictEqual(error._tag, "DustUnconfirmedError")
        if (error._tag !== "DustUnconfirmedError") return
        assert.deepStrictEqual([error.reason, error.isRetryable, error.author, error.agentId], [
          "not_found",
          false,
          "effect-dust",
          "echo"
        ])
        assert.include(error.message, error.conversationId)
        assert.notInclude(JSON.stringify(error), "Hello")
        assert.lengthOf(yield* stored, 0)
        assert.strictEqual(yield* posts, 1)
      }).pipe(local([rule(fault)]))
  )

  it.effect.each(lost)("onUnconfirmed \"resend\": sends again after %s", ([, fault]) =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const { message } = yield* inTime(conversations.createMessage({
        conversationId: sId,
        content: "Hello",
        mentions: [{ configurationId: "echo" }],
        onUnconfirmed: "resend"
      }))
      assert.deepStrictEqual((yield* stored).map((one) => one.sId), [message.sId])
      assert.strictEqual(yield* posts, 2)
    }).pipe(local([rule(fault)])))

  it.effect("Send once: a 500 after the handler", () => {
    // The handler ran, but the proxy responded with a failure.
    const Broken = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        (client) =>
          HttpClient.transform(
            client,
            (effect, request) =>
              Effect.map(effect, (response) =>
                request.method === "POST" && request.url.endsWith("/messages")
                  ? HttpClientResponse.fromWeb(request, new Response("<html>Bad Gateway</html>", { status: 502 }))
                  : response)
          )
      )
    )
    const { apiKey, workspaceId } = DustTest.credentials
    const Client = Dust.layer({ apiKey, workspaceId, baseUrl: "https://local-dust.test" }).pipe(
      Layer.provide(Broken),
      Layer.orDie,
      Layer.provideMerge(DustTest.layerHttpClient())
    )
    return Effect.gen(function*() {
      const { agentMessages, message } = yield* inTime(send())
      assert.deepStrictEqual((yield* stored).map(({ sId }) => sId), [message.sId])
      assert.lengthOf(agentMessages, 1)
      assert.strictEqual(yield* posts, 1)
    }).pipe(Effect.provide(Client))
  })

  it.effect("Send once: fails with DustUnconfirmedError when the conversation cannot be read", () =>
    Effect.gen(function*() {
      const error = yield* inTime(Effect.flip(send()))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.propertyVal(error, "reason", "unreadable")
      assert.nestedPropertyVal(error, "details.cause._tag", "DustNetworkError")
      assert.lengthOf(yield* stored, 1)
      assert.strictEqual(yield* posts, 1)
    }).pipe(local([
      rule(faults.resetAfter()),
      { method: "GET", path: reading, fault: faults.status(500) }
    ])))

  it.effect("Send once: a policy without retries still finds what arrived", () =>
    Effect.gen(function*() {
      const { message } = yield* inTime(send().pipe(withOptions({ retry: RetryPolicy.none })))
      assert.deepStrictEqual((yield* stored).map(({ sId }) => sId), [message.sId])
    }).pipe(local([rule(faults.resetAfter())])))

  it.effect("onUnconfirmed \"resend\": sends once more, and then fails", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const error = yield* inTime(Effect.flip(
        conversations.createMessage({ conversationId: sId, content: "Hello", onUnconfirmed: "resend" })
      ))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.lengthOf(yield* stored, 0)
      assert.strictEqual(yield* posts, 2)
    }).pipe(local([rule(faults.resetBefore(), [1, 2, 3])])))

  it.effect("Nothing hangs: a token that never arrives fails after its limit, and nothing is reconciled", () => {
    const layer = DustTest.layer({ credential: { accessToken: Effect.never } })
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(send("Hello", "c")))
      // Of the first read, and of the message itself.
      yield* TestClock.adjust("65 seconds")
      const polled = yield* Fiber.poll(fiber)
      assert.isTrue(Option.isSome(polled))
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error._tag, error.attempts], ["DustTimeoutError", 0])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Send once: a token that is not renewed after a refusal is not a reason to look for the message", () => {
    let asked = 0
    const { layer, requests } = dustUser(
      ({ method }) =>
        method === "POST"
          ? failure(401, "expired_oauth_token_error")
          : json({ conversation: { sId: "c", created: 0, content: [] } }),
      { accessToken: Effect.suspend(() => asked++ === 0 ? Effect.succeed(Redacted.make("old.token")) : Effect.never) }
    )
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(send("Hello", "c")))
      yield* TestClock.adjust("65 seconds")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error._tag, error.type], ["DustTimeoutError", "token_timeout"])
      assert.lengthOf(requests.filter(({ method }) => method === "POST"), 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Send once: does not retry a message that cannot succeed", () =>
    Effect.gen(function*() {
      const error = yield* inTime(Effect.flip(send()))
      assert.strictEqual(error._tag, "DustQuotaExceededError")
      assert.strictEqual(yield* posts, 1)
    }).pipe(local([rule(faults.status(403, { type: "credits_exhausted" }))])))

  it.effect("Send once: five callers with the same text make five messages, failures or not", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const results = yield* inTime(
        Effect.all(Array.from({ length: 5 }, () => send("Same", sId)), { concurrency: "unbounded" })
      )
      const all = (yield* stored).map((message) => message.sId)
      assert.lengthOf(all, 5)
      assert.deepStrictEqual(results.map(({ message }) => message.sId).sort(), [...all].sort())
      assert.deepStrictEqual(
        results.map(({ agentMessages, message }) => agentMessages.every((one) => one.parentMessageId === message.sId)),
        [true, true, true, true, true]
      )
    }).pipe(local([rule(faults.resetAfter(), [1, 3]), rule(faults.refuse(), [4])])))

  it.effect("Send once: does not adopt an earlier message with the same text", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      yield* dust.addMessage(sId, { role: "user", content: "Hello", username: "effect-dust" })
      yield* TestClock.adjust("10 seconds")
      yield* dust.fault(rule(faults.resetBefore()))
      const error = yield* inTime(Effect.flip(send("Hello", sId)))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.lengthOf(yield* stored, 1)
    }).pipe(local([])))

  it.effect("Send once: does not adopt a message with another author or text", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const fiber = yield* Effect.fork(send("Hello", sId))
      yield* dust.waitForRequest({ method: "POST", path: posting })
      yield* dust.addMessage(sId, { role: "user", content: "Hello", username: "somebody else" })
      yield* dust.addMessage(sId, { role: "user", content: "Hello!", username: "effect-dust" })
      yield* TestClock.adjust("1 hour")
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.lengthOf(yield* stored, 2)
    }).pipe(local([rule(faults.resetBefore())])))

  it.effect("Send once: does not adopt a message that the server dates before it was sent", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_700_000_000_000)
      const error = yield* inTime(Effect.flip(send("Hello", "cnv_old")))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.lengthOf(yield* stored, 1)
    }).pipe(local([
      rule(faults.resetAfter()),
      { method: "GET", path: reading, fault: faults.transformJson(createdEarlier(55_000)) }
    ], { seed: { conversations: [{ sId: "cnv_old" }] } })))

  it.effect("Send once: the clock that dates messages may be behind the one that dates answers", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* TestClock.setTime(1_700_000_000_000)
      const date = new Date(1_700_000_000_000).toUTCString()
      yield* dust.fault({ method: "PATCH", fault: faults.status(404, { headers: { date } }) })
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      yield* Effect.flip(conversations.markRead(sId))
      const { message } = yield* inTime(send("Hello", sId))
      assert.deepStrictEqual((yield* stored).map((one) => one.sId), [message.sId])
    }).pipe(local([
      rule(faults.resetAfter()),
      { method: "GET", path: reading, fault: faults.transformJson(createdEarlier(2_500)) }
    ])))

  const slow: ReadonlyArray<readonly [string, DustTest.Fault, DustTest.Options & DustTest.ClientOptions, number]> = [
    ["a 500", faults.status(500), {}, 60_000],
    ["a 503 of something else", faults.status(503), {}, 60_000],
    ["a connection that was reset", faults.resetBefore(), {}, 60_000],
    ["a 408", faults.status(408), {}, 60_000],
    ["a 499", faults.status(499), {}, 60_000],
    ["a 502", faults.html(502), {}, 60_000],
    ["a 504", faults.status(504), {}, 60_000],
    ["a 520", faults.html(520), {}, 60_000],
    ["a 522", faults.html(522), {}, 60_000],
    ["a 524", faults.html(524), {}, 60_000],
    ["no answer in time", faults.neverAnswer(), { timeouts: { headers: "1 second" } }, 60_000]
  ]

  it.effect.each(slow)(
    "Send once: adopts the message of a handler that takes a minute behind %s",
    ([, fault, options, late]) =>
      Effect.gen(function*() {
        const dust = yield* DustTest.DustTest
        const { sId } = yield* (yield* Conversations).create()
        const fiber = yield* Effect.fork(send("Hello", sId))
        yield* dust.waitForRequest({ method: "POST", path: posting })
        yield* TestClock.adjust(late)
        yield* dust.addMessage(sId, { role: "user", content: "Hello", username: "effect-dust" })
        yield* TestClock.adjust("1 hour")
        const { message } = yield* Fiber.join(fiber)
        assert.deepStrictEqual((yield* stored).map((one) => one.sId), [message.sId])
        assert.strictEqual(yield* posts, 1)
      }).pipe(local([rule(fault)], options))
  )

  it.effect("Send once: two identical sends never adopt the same message", () =>
    Effect.gen(function*() {
      const { sId } = yield* (yield* Conversations).create()
      const first = yield* Effect.fork(Effect.all([send("Same", sId), send("Same", sId)], { concurrency: "unbounded" }))
      yield* TestClock.adjust("2 seconds")
      const third = yield* inTime(send("Same", sId))
      const ids = [...yield* Fiber.join(first), third].map(({ message }) => message.sId)
      assert.deepStrictEqual((yield* stored).map((one) => one.sId).sort(), ids.sort())
      assert.strictEqual(yield* posts, 3)
    }).pipe(local([
      rule(faults.delayBody("1 second"), 1),
      rule(faults.delayBody("5 seconds"), 2),
      rule(faults.resetAfter(), 3)
    ])))

  const unsent: ReadonlyArray<readonly [string, DustTest.Fault]> = [
    ["maintenance", faults.status(503, { type: "service_unavailable" })],
    ["a refusal to connect", faults.refuse()]
  ]

  it.effect.each(unsent)(
    "Send once: %s that does not end is not a reason to look for the message",
    ([, fault]) =>
      Effect.gen(function*() {
        const dust = yield* DustTest.DustTest
        const error = yield* inTime(Effect.flip(send()))
        assert.strictEqual(error.attempts, 5)
        assert.strictEqual(yield* dust.countRequests({ method: "GET", path: reading }), 0)
      }).pipe(local([{ method: "POST", path: posting, fault }]))
  )

  it.effect("Send once: reports the status of the message, not of the reads that followed", () =>
    Effect.gen(function*() {
      const error = yield* inTime(Effect.flip(send()))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.strictEqual(error.status, 500)
    }).pipe(local([
      rule(faults.status(500)),
      { method: "GET", path: reading, fault: faults.status(404, { type: "conversation_not_found" }) }
    ])))

  it.effect("Send once: fails with DustUnconfirmedError when the answer cannot be decoded and the message is not there", () =>
    Effect.gen(function*() {
      const error = yield* inTime(Effect.flip(send()))
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      assert.nestedPropertyVal(error, "details.cause._tag", "DustDecodeError")
      assert.strictEqual(yield* posts, 1)
    }).pipe(local([rule(faults.status(200, { body: "{}" }))])))

  it.effect("Chat: another conversation is created for a question, as the retry policy allows, when the response was lost", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const chat = yield* Chat
      assert.strictEqual((yield* inTime(chat.send({ agent: "echo", message: "Hello" }))).text, "Hello")
      assert.lengthOf(yield* stored, 1)
      assert.lengthOf(yield* dust.conversations, 2)
      yield* inTime(Effect.flip(chat.send({ agent: "echo", message: "Hello" })))
      assert.lengthOf(yield* stored, 1)
      assert.lengthOf(yield* dust.conversations, 7)
      yield* chat.send({ agent: "echo", message: "Hello" }).pipe(
        withOptions({ retry: RetryPolicy.none }),
        Effect.flip,
        inTime
      )
      assert.lengthOf(yield* stored, 1)
      assert.lengthOf(yield* dust.conversations, 8)
    }).pipe(
      local([{
        method: "POST",
        path: "/assistant/conversations",
        nth: [1, 3, 4, 5, 6, 7, 8],
        fault: faults.resetAfter()
      }])
    ))

  it.effect("create with a message: creates the conversation empty, and finds the message again", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const made = yield* inTime(
        conversations.create({ message: { content: "Hi", mentions: [{ configurationId: "echo" }] } })
      )
      const all = yield* stored
      assert.deepStrictEqual(all.map(({ content, sId }) => [sId, content]), [[made.message.sId, "Hi"]])
      assert.lengthOf(yield* dust.agentMessages(), 1)
      const [first] = yield* dust.requests({ method: "POST", path: "/assistant/conversations" })
      assert.notProperty(first?.body, "message")
    }).pipe(local([
      { method: "POST", path: "/assistant/conversations", nth: 1, fault: faults.refuse() },
      rule(faults.resetAfter())
    ])))

  it.effect("create: is not repeated after an ambiguous failure", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const error = yield* inTime(Effect.flip(conversations.create()))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.lengthOf(yield* dust.conversations, 1)
    }).pipe(local([{ method: "POST", path: "/assistant/conversations", fault: faults.resetAfter() }])))

  it.effect(
    "Send once: never stores two messages, over random sequences of failures",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            fc.array(
              fc.constantFrom(
                "none",
                "refuse",
                "resetBefore",
                "resetAfter",
                "cut",
                "garbled",
                "never",
                "neverAfter",
                "500",
                "502",
                "503",
                "429",
                "409",
                "403"
              ),
              { minLength: 1, maxLength: 6 }
            ),
            fc.array(fc.constantFrom("none", "500", "reset", "404"), { maxLength: 4 }),
            fc.integer({ min: 1, max: 3 }),
            (sending, looking, senders) => {
              const faultOf: Record<string, DustTest.Fault> = {
                refuse: faults.refuse(),
                reset: faults.resetBefore(),
                resetBefore: faults.resetBefore(),
                resetAfter: faults.resetAfter(),
                cut: faults.cut(30),
                garbled: faults.malformedJson(),
                never: faults.neverAnswer(),
                neverAfter: faults.neverAnswer({ handlerRuns: true }),
                "404": faults.status(404, { type: "conversation_not_found" }),
                "500": faults.status(500),
                "502": faults.html(),
                "503": faults.status(503, { type: "service_unavailable" }),
                "429": faults.status(429, { type: "rate_limit_error" }),
                "409": faults.status(409, { type: "invalid_request_error" }),
                "403": faults.status(403, { type: "rate_limit_error" })
              }
              const rules = [
                ...sending.flatMap((name, index) =>
                  faultOf[name] === undefined ? [] : [rule(faultOf[name], index + 1)]
                ),
                ...looking.flatMap((name, index): ReadonlyArray<DustTest.FaultRule> => faultOf[name] === undefined
                  ? []
                  : [{ method: "GET", path: reading, nth: index + 1, fault: faultOf[name] }]
                )
              ]
              return Effect.gen(function*() {
                const conversations = yield* Conversations
                const { sId } = yield* conversations.create()
                const results = yield* inTime(
                  Effect.all(Array.from({ length: senders }, () => Effect.either(send("Same", sId))), {
                    concurrency: "unbounded"
                  })
                )
                const all = (yield* stored).map((message) => message.sId)
                const told = results.flatMap((result) => result._tag === "Right" ? [result.right.message.sId] : [])
                // Every success is a message of its own that is there; a failure may have left one, never two.
                assert.strictEqual(new Set(told).size, told.length)
                for (const id of told) assert.include(all, id)
                assert.isAtMost(all.length, senders)
              }).pipe(local(rules), Effect.provide(TestContext.TestContext), Effect.runPromise)
            }
          ),
          { numRuns: 30, seed }
        )
      ),
    120_000
  )
})

describe("findSent", () => {
  it.effect("findSent: finds the message that arrives after DustUnconfirmedError, and none before", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const error = yield* inTime(Effect.flip(send("Hello", sId)))
      if (error._tag !== "DustUnconfirmedError") return assert.fail(error._tag)
      assert.isTrue(Option.isNone(yield* conversations.findSent(error)))
      yield* dust.addMessage(sId, { role: "user", content: "Hello", username: "effect-dust" })
      // Two hours later it is another message.
      assert.isTrue(Option.isNone(yield* conversations.findSent(error)))
    }).pipe(local([rule(faults.resetBefore())])))

  it.effect("fails with DustUnconfirmedError when two messages match", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const fiber = yield* Effect.fork(Effect.flip(send("Hello", sId)))
      yield* dust.waitForRequest({ method: "POST", path: posting })
      yield* TestClock.adjust("70 seconds")
      const error = yield* Fiber.join(fiber)
      if (error._tag !== "DustUnconfirmedError") return assert.fail(error._tag)
      yield* dust.addMessage(sId, { role: "user", content: " Hello\r\n", username: "effect-dust" })
      const ids = (yield* stored).map((one) => one.sId)
      const found = yield* conversations.findSent(error)
      assert.deepStrictEqual(Option.map(found, ({ message }) => message.sId), Option.fromNullable(ids[0]))
      yield* dust.addMessage(sId, { role: "user", content: "Hello", username: "effect-dust" })
      yield* dust.addMessage(sId, { role: "user", content: "Hello", username: "effect-dust" })
      const ambiguous = yield* Effect.flip(conversations.findSent(error))
      assert.propertyVal(ambiguous, "reason", "ambiguous")
    }).pipe(local([rule(faults.resetBefore())])))
})

describe("Stopping", () => {
  const endless = { agents: { helper: [DustTest.text("a"), DustTest.silence()] } }
  const runs = Effect.flatMap(
    DustTest.DustTest,
    (dust) => Effect.map(dust.agentMessages(), (all) => all.map(({ run }) => run))
  )

  it.effect.each([["cancel", ["cancelled"]], ["leave", ["running"]]] as const)(
    "createMessage: interrupted while blocking with onInterrupt %s, the run is as expected",
    ([onInterrupt, expected]) =>
      Effect.gen(function*() {
        const conversations = yield* Conversations
        const { sId } = yield* conversations.create()
        const fiber = yield* Effect.fork(conversations.createMessage({
          conversationId: sId,
          content: "Go",
          mentions: [{ configurationId: "helper" }],
          blocking: true,
          onInterrupt
        }))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* runs, ["running"])
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* runs, [...expected])
      }).pipe(local([], endless))
  )

  it.effect("create with a message: deletes the conversation whose message was refused, with a user's credential", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const error = yield* Effect.flip(conversations.create({ message: { content: "Hi" } }))
      assert.strictEqual(error._tag, "DustQuotaExceededError")
      assert.isString(error.conversationId)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* dust.countRequests({ method: "DELETE" }), 1)
    }).pipe(local([rule(faults.status(403, { type: "credits_exhausted" }))], { credential: "userToken" })))

  it.effect("createMessage: a restricted mention is a DustForbiddenError with the status when blocking", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create()
      const error = yield* Effect.flip(conversations.createMessage({
        conversationId: sId,
        content: "Hi",
        mentions: [{ configurationId: "echo" }],
        blocking: true
      }))
      assert.deepStrictEqual([error._tag, error.type, error.isRetryable], [
        "DustForbiddenError",
        "agent_restricted_by_space_usage",
        false
      ])
      assert.isString(error.userMessageId)
      const asked = yield* Effect.flip((yield* Chat).send({ agent: "echo", message: "Hi" }))
      assert.deepStrictEqual([asked._tag, asked.type], ["DustForbiddenError", "agent_restricted_by_space_usage"])
    }).pipe(local([
      rule(
        faults.transformJson((answer) => {
          const { message } = answer as { readonly message: object }
          return {
            message: {
              ...message,
              richMentions: [{ id: "echo", type: "agent", label: "Echo", status: "agent_restricted_by_space_usage" }]
            },
            agentMessages: []
          }
        }),
        [1, 2]
      )
    ])))
})
