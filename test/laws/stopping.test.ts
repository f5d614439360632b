/** Stopping stops, failing does not: only interruption cancels a run, and interruption is never delayed. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Queue, Scope, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"

const { approval, faults, question, silence, text } = DustTest

const cancelPath = "/assistant/conversations/:conversationId/cancel"
const post = { method: "POST", path: "/assistant/conversations/:conversationId/messages" } as const

const endless = { helper: [text("a b c"), silence("1 hour"), text("d")], mailer: [approval({ name: "send_email" })] }
const local = (options: DustTest.Options & DustTest.ClientOptions = {}) =>
  Effect.provide(DustTest.layer({ agents: endless, ...options }))

const theRun = Effect.flatMap(DustTest.DustTest, (dust) => Effect.map(dust.agentMessages(), (all) => all[0]!))

const warnings = () => {
  const messages: Array<string> = []
  return {
    messages,
    layer: Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ message }) => {
        // Local Dust warns about an idle TestClock.
        if (String(message).includes("abandoned")) messages.push(String(message))
      })
    )
  }
}

describe("Leaving a run", () => {
  for (
    const [what, options] of [
      ["Dust never answers the cancellation", { faults: [{ path: cancelPath, fault: faults.neverAnswer() }] }],
      ["Dust refuses the cancellation", { faults: [{ path: cancelPath, fault: faults.status(503) }] }],
      ["Dust cannot be reached", { faults: [{ path: cancelPath, fault: faults.refuse() }] }]
    ] as const
  ) {
    it.effect(`returns without any time passing while ${what}, and the warning names conversation and message`, () => {
      const { layer, messages } = warnings()
      return Effect.gen(function*() {
        const chat = yield* Chat
        const dust = yield* DustTest.DustTest
        const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go" }))
        yield* TestClock.adjust("1 minute")
        // The clock of the test stands still: whatever waited for it would never come back.
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* dust.openStreams, 0)
        assert.lengthOf(messages, 0)
        yield* TestClock.adjust("31 seconds")
        const { sId } = yield* theRun
        const conversation = (yield* dust.conversations)[0]!.sId
        assert.lengthOf(messages, 1)
        assert.include(messages[0], sId)
        assert.include(messages[0], conversation)
      }).pipe(local(options), Effect.provide(layer))
    })
  }

  for (
    const [what, ask] of [
      ["send", (chat: typeof Chat.Service) => chat.send({ agent: "helper", message: "Go" })],
      ["stream", (chat: typeof Chat.Service) => Stream.runDrain(chat.stream({ agent: "helper", message: "Go" }))]
    ] as const
  ) {
    it.effect(
      `at any of the first 40 scheduler steps of ${what}: no run goes on, and no stream stays open`,
      () =>
        Effect.gen(function*() {
          const chat = yield* Chat
          const dust = yield* DustTest.DustTest
          let asked = 0
          for (let steps = 0; steps < 40; steps++) {
            const before = (yield* dust.agentMessages()).length
            const fiber = yield* Effect.fork(ask(chat))
            yield* Effect.yieldNow().pipe(Effect.repeatN(steps))
            assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
            // Long enough for a message that is found later.
            yield* TestClock.adjust("2 minutes")
            if ((yield* dust.agentMessages()).length > before) asked++
            const running = (yield* dust.agentMessages()).filter(({ status }) => status === "created")
            assert.lengthOf(running, 0, `interrupted after ${steps} steps`)
          }
          assert.strictEqual(yield* dust.openStreams, 0)
          assert.isAbove(asked, 20)
        }).pipe(local())
    )
  }

  it.effect("is finished by the layer, which waits for the cancellation when it is closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(DustTest.layer({ agents: endless }), scope)
      const [dust, fiber] = yield* Effect.gen(function*() {
        const chat = yield* Chat
        return [
          yield* DustTest.DustTest,
          yield* Effect.forkDaemon(chat.send({ agent: "helper", message: "Go" }))
        ] as const
      }).pipe(Effect.provide(context))
      yield* TestClock.adjust("1 minute")
      yield* dust.fault({ path: cancelPath, fault: faults.delayHeaders("10 millis") })
      yield* Fiber.interrupt(fiber)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 1)
    }))

  it.effect("does not hold up the closing of a layer for long", () =>
    Effect.gen(function*() {
      const { layer, messages } = warnings()
      // The clock of the test stands still: the layer goes by that of the machine.
      yield* Effect.gen(function*() {
        const chat = yield* Chat
        yield* Stream.runDrain(Stream.take(chat.stream({ agent: "helper", message: "Go" }), 2))
      }).pipe(local({ faults: [{ path: cancelPath, fault: faults.neverAnswer() }] }), Effect.provide(layer))
      assert.lengthOf(messages, 1)
      assert.include(messages[0], "the layer was closed")
    }))

  it.effect("cancels a run whose message was still being sent", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("5 seconds")
      yield* dust.waitForRun((yield* theRun).sId)
      assert.strictEqual((yield* theRun).run, "cancelled")
    }).pipe(local({ faults: [{ ...post, fault: faults.neverAnswer({ handlerRuns: true }) }] })))
})

describe("A failure to follow a run", () => {
  const failing = (rule: DustTest.FaultRule, more: DustTest.ClientOptions = {}) =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(Effect.flip(chat.send({ agent: "helper", message: "Go", silence: "5 minutes" })))
      yield* TestClock.adjust("1 second")
      yield* dust.fault(rule)
      yield* TestClock.adjust("20 minutes")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual((yield* theRun).run, "running")
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
      return error
    }).pipe(local({ retry: RetryPolicy.none, ...more }))

  for (
    const [what, rule] of [
      ["the network", { path: /./, fault: faults.refuse() }],
      ["a server that is down", { path: /./, fault: faults.status(503) }],
      ["a page of a firewall", {
        path: /./,
        fault: faults.status(403, { body: "<h1>Are you human?</h1>", contentType: "text/html" })
      }],
      ["a credential that is revoked", { path: /./, fault: faults.status(401, { type: "invalid_api_key_error" }) }],
      ["silence", { path: /never/, fault: faults.refuse() }]
    ] as const
  ) {
    it.effect(`${what}: leaves it running, and the error has its ids`, () =>
      Effect.gen(function*() {
        const error = yield* failing(rule)
        if (!("conversationId" in error)) return assert.fail(error._tag)
        assert.isString(error.conversationId)
        assert.isString(error.messageId)
        assert.isFalse(error.isRetryable)
      }))
  }

  it.effect("no decision: leaves the run waiting, even if interruption would cancel it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      for (const onInterrupt of ["cancel", "leave"] as const) {
        const error = yield* Effect.flip(
          chat.send({ agent: "mailer", message: "Go", whenBlocked: "fail", onInterrupt })
        )
        assert.isTrue(error._tag === "DustStreamError" && error.reason === "waiting_for_human")
      }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ run }) => run), ["running", "running"])
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(local()))

  it.effect("a decision that Dust could not be told: leaves it waiting", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(
        Effect.flip(chat.send({ agent: "mailer", message: "Go", onApproval: () => Effect.succeed("approved") }))
      )
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustServerError")
      assert.strictEqual(error.waitingFor?._tag, "ApprovalNeeded")
      assert.strictEqual((yield* theRun).run, "running")
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(local({ retry: RetryPolicy.none, faults: [{ path: /validate-action$/, fault: faults.status(500) }] })))
})

describe("What a caller hands in", () => {
  const ends = (onApproval: () => Effect.Effect<"approved", "mine">) =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const exit = yield* Effect.exit(
        chat.send({ agent: "mailer", message: "Go", onApproval, whenBlocked: "fail" }).pipe(Effect.timeout("1 hour"))
      )
      yield* dust.waitForRun((yield* theRun).sId)
      assert.strictEqual((yield* theRun).run, "cancelled")
      return Exit.isFailure(exit) ? exit.cause : assert.fail("it did not end")
    }).pipe(local())

  it.effect("a handler that fails ends the run with its error", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ends(() => Effect.fail("mine")), Cause.fail("mine"))
    }))

  it.effect("a handler that dies, or throws where it should return, ends the run with its defect", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual([...Cause.defects(yield* ends(() => Effect.die("bug")))], ["bug"])
      const thrown = yield* ends(() => {
        throw new Error("bug")
      })
      assert.lengthOf([...Cause.defects(thrown)], 1)
    }))

  it.effect("a handler that is interrupted ends the run with that interruption", () =>
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<"approved">()
      yield* Queue.shutdown(queue)
      assert.isTrue(Cause.isInterruptedOnly(yield* ends(() => Queue.take(queue))))
    }))

  it.effect("a question's handler, too", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const exit = yield* Effect.exit(
        chat.send({ agent: "asker", message: "Go", onQuestion: () => Effect.interrupt }).pipe(Effect.timeout("1 hour"))
      )
      assert.isTrue(Exit.isInterrupted(exit))
    }).pipe(local({ agents: { asker: [question({ question: "Which?" })] } })))

  it.effect("a handler that fails while the stream is silent ends it at once", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(Effect.flip(chat.send({
        agent: "mailer",
        message: "Go",
        onApproval: () => Effect.zipRight(Deferred.await(gate), Effect.fail("mine" as const))
      })))
      yield* TestClock.adjust("1 minute")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(fiber), "mine")
    }).pipe(local()))
})
