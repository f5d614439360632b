/** Every failure after the message is stored includes a reference that `resume` accepts. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Schedule, Schema, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import type { Reply } from "effect-dust/ChatEvent"
import { Conversations } from "effect-dust/Conversations"
import * as DustAPIError from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"

const { approval, faults, question, silence, text } = DustTest

const local = (options: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))
const cancelPath = "/assistant/conversations/:conversationId/cancel"

const replyOf = <E, R>(events: Stream.Stream<{ readonly _tag: string; readonly reply?: Reply }, E, R>) =>
  Effect.map(Stream.runLast(events), (last) => {
    const reply = Option.getOrUndefined(last)?.reply
    return reply ?? assert.fail("no reply")
  })

/** Through JSON, as a database or a queue would keep it. */
const stored = (error: DustAPIError.DustAPIError) => {
  const wire = Schema.parseJson(DustAPIError.DustAPIError)
  return Effect.orDie(Effect.flatMap(Schema.encode(wire)(error), Schema.decode(wire)))
}

describe("A person can continue: a failure of Chat", () => {
  const broken = { path: /\/events$|\/conversations\/[^/]+$/, fault: faults.status(503) }

  it.effect("is continued from where it stood, in this process and from its JSON in another one", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(Effect.flip(chat.send({ agent: "helper", message: "Go" })))
      yield* TestClock.adjust("1 second")
      yield* dust.fault(broken)
      yield* TestClock.adjust("10 minutes")
      const error = yield* Fiber.join(fiber)
      const message = (yield* dust.agentMessages())[0]!
      const conversationId = (yield* dust.conversations)[0]!.sId
      assert.deepStrictEqual(
        [error.conversationId, error.messageId, error.userMessageId, error.workspaceId],
        [conversationId, message.sId, (yield* dust.userMessages())[0]!.sId, dust.workspaceId]
      )
      assert.isString(error.lastEventId)
      assert.include(error.message, conversationId)
      assert.include(error.message, message.sId)
      assert.include(Cause.pretty(Cause.fail(error)), message.sId)
      yield* dust.clearFaults
      const rest = yield* Effect.fork(Effect.all([
        replyOf(chat.resume(error)),
        replyOf(chat.resume(yield* stored(error)))
      ]))
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual((yield* Fiber.join(rest)).map((reply) => reply.text), ["a b c d", "a b c d"])
      assert.lengthOf(yield* dust.userMessages(), 1)
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(local({
      agents: { helper: [text("a b c "), silence("20 minutes"), text("d")] },
      retry: RetryPolicy.none
    })))

  it.effect("of a run that waits for a person includes the request; after the decision, the answer arrives", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const conversations = yield* Conversations
      const error = yield* stored(
        yield* Effect.flip(chat.send({ agent: "mailer", message: "Go", whenBlocked: "fail" }))
      )
      const waiting = error.waitingFor
      if (waiting?._tag !== "ApprovalNeeded") return assert.fail(waiting?._tag)
      assert.deepStrictEqual([waiting.tool.toolName, waiting.inputs], ["send_email", { to: "ada" }])
      assert.strictEqual(error.messageId, waiting.messageId)
      yield* conversations.validateAction({ ...waiting, approved: "approved" })
      const fiber = yield* Effect.fork(replyOf(chat.resume(error)))
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "Sent.")
    }).pipe(local({
      agents: { mailer: [approval({ name: "send_email", inputs: { to: "ada" } }), text("Sent.")] }
    })))

  it.effect("of a run that asks a question: resume with a handler answers it and continues", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const error = yield* Effect.flip(chat.send({ agent: "asker", message: "Go", whenBlocked: "fail" }))
      assert.strictEqual(error.waitingFor?._tag, "QuestionAsked")
      const fiber = yield* Effect.fork(
        replyOf(chat.resume(error, { onQuestion: () => Effect.succeed({ selectedOptions: [0] }) }))
      )
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "Good.")
    }).pipe(local({ agents: { asker: [question({ question: "Which?", options: ["This"] }), text("Good.")] } })))

  it.effect("of a question that was still waiting for its turn is continued, too", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      yield* Effect.fork(chat.send({ agent: "helper", message: "one", conversationId }))
      yield* TestClock.adjust("5 seconds")
      const second = yield* Effect.fork(Effect.flip(chat.send({ agent: "helper", message: "two", conversationId })))
      yield* TestClock.adjust("5 seconds")
      yield* dust.fault({ path: /\/conversations\/[^/]+$/, fault: faults.status(403, { type: "something" }) })
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(second)
      assert.isUndefined(error.messageId)
      assert.strictEqual(error.userMessageId, (yield* dust.userMessages())[1]!.sId)
      assert.isFalse(error.isRetryable)
      yield* dust.clearFaults
      const rest = yield* Effect.fork(replyOf(chat.resume(error)))
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual((yield* Fiber.join(rest)).text, "b")
    }).pipe(local({
      agents: {
        helper: ({ message }) => message === "one" ? [text("a"), silence("10 minutes"), text("b")] : [text("b")]
      },
      credential: "userToken"
    })))

  it.effect("is never one to send again: a policy of retries leaves one question and one run", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const persistent = (agent: string) =>
        chat.send({ agent, message: "Book a flight", silence: "1 minute" }).pipe(
          Effect.retry({ while: DustAPIError.isRetryable, schedule: Schedule.recurs(3) }),
          Effect.flip
        )
      const fiber = yield* Effect.fork(Effect.all([persistent("overloaded"), persistent("quiet")]))
      yield* TestClock.adjust("1 hour")
      const [overloaded, quiet] = yield* Fiber.join(fiber)
      assert.deepStrictEqual([overloaded._tag, quiet._tag], ["DustAgentError", "DustStreamError"])
      assert.isTrue(overloaded._tag === "DustAgentError" && overloaded.isTransient)
      assert.lengthOf(yield* dust.userMessages(), 2)
      assert.lengthOf(yield* dust.agentMessages(), 2)
    }).pipe(local({
      agents: {
        overloaded: [text("x"), DustTest.fail({ code: "m", category: "retryable_model_error" })],
        quiet: [text("x"), silence()]
      }
    })))
})

describe("A person can continue: Chat.resume", () => {
  it.effect("an error without ids, of another workspace or with blank ids is refused before any request", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const input = yield* Effect.flip(chat.send({ agent: "helper", message: " " }))
      const elsewhere = new DustAPIError.DustStreamError({
        module: "Chat",
        method: "send",
        message: "x",
        details: {},
        attempts: 1,
        reason: "ended",
        workspaceId: "another",
        conversationId: "c",
        messageId: "m"
      })
      const before = yield* dust.countRequests()
      for (
        const [stream, field] of [
          [chat.resume(input), "error"],
          [chat.resume(elsewhere), "error.workspaceId"],
          [chat.resume({ conversationId: "c", messageId: " " }), "messageId"]
        ] as const
      ) {
        const error = yield* Effect.flip(Stream.runDrain(stream))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(error.type, "invalid_input")
        assert.deepInclude(error.details as object, { field })
      }
      assert.strictEqual(yield* dust.countRequests(), before)
    }).pipe(local({ agents: { helper: "Hi" } })))

  it.effect("without a cursor, a finished answer with expired events is there within a second", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { agentMessage, conversationId } = yield* chat.send({ agent: "helper", message: "Hello" })
      const messageId = agentMessage.sId
      yield* dust.expireHistory(messageId)
      for (
        const answer of [
          Effect.map(replyOf(chat.resume({ conversationId, messageId })), ({ text }) => text),
          Effect.map(conversations.answer({ conversationId, messageId }), ({ content }) => content)
        ]
      ) {
        const fiber = yield* Effect.fork(answer)
        yield* TestClock.adjust("1 second")
        assert.isTrue(Option.isSome(yield* Fiber.poll(fiber)))
        assert.strictEqual(yield* Fiber.join(fiber), "Hi")
      }
    }).pipe(local({ agents: { helper: "Hi" } })))

  it.effect("without a cursor, an open approval with expired events is there within a second", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(chat.send({ agent: "mailer", message: "Go", whenBlocked: "fail" }))
      const { conversationId, messageId } = error
      yield* dust.expireHistory(messageId!)
      const fiber = yield* Effect.fork(
        Stream.runHead(Stream.filter(
          chat.resume({ conversationId: conversationId!, messageId: messageId!, onInterrupt: "leave" }),
          (event) => event._tag === "ApprovalNeeded"
        ))
      )
      yield* TestClock.adjust("1 second")
      const found = yield* Fiber.poll(fiber)
      assert.isTrue(Option.isSome(found) && Exit.isSuccess(found.value) && Option.isSome(found.value.value))
    }).pipe(local({ agents: { mailer: [approval({ name: "send_email" })] } })))

  it.effect("stopped early, it cancels the run, and returns at once", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(chat.send({ agent: "mailer", message: "Go", whenBlocked: "fail" }))
      const fiber = yield* Effect.fork(Stream.runDrain(chat.resume(error)))
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      yield* dust.waitForRun(error.messageId!)
      assert.strictEqual((yield* dust.agentMessages())[0]!.run, "cancelled")
    }).pipe(local({ agents: { mailer: [approval({ name: "send_email" })] } })))
})
