import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import * as Workflow from "@effect/workflow/Workflow"
import * as WorkflowEngine from "@effect/workflow/WorkflowEngine"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Option, Schema, Scope, TestClock } from "effect"
import type { ChatEvent } from "effect-dust/ChatEvent"
import { Conversations } from "effect-dust/Conversations"
import * as DurableChat from "effect-dust/DurableChat"
import { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"

const local = (agents: DustTest.Options["agents"], options: DurableChat.LayerOptions = {}) =>
  DurableChat.layer(options).pipe(
    Layer.provideMerge(WorkflowEngine.layerMemory),
    Layer.provideMerge(KeyValueStore.layerMemory),
    Layer.provideMerge(DustTest.layer({ agents }))
  )

const mailer: DustTest.AgentBehavior = [
  DustTest.text("I will write. "),
  DustTest.approval({
    name: "send_email",
    inputs: { to: "team@example.com" },
    stake: "high",
    output: "sent",
    onResult: ({ approved }) => approved ? "It is on its way." : "I did not send it."
  })
]

const question = { key: "k1", agent: "agent", message: "Tell the team" }

/** Moves the clock until the fiber ends: what names an execution is computed outside the clock. */
const ended = <A, E>(fiber: Fiber.Fiber<A, E>): Effect.Effect<A, E> =>
  Effect.zipRight(
    TestClock.adjust("1 minute"),
    Effect.flatMap(Fiber.poll(fiber), (exit) => Option.isNone(exit) ? ended(fiber) : Fiber.join(fiber))
  )

/** Starts the workflow and waits until it needs a person's decision. */
const waiting = Effect.gen(function*() {
  const executionId = yield* DurableChat.Ask.execute(question, { discard: true })
  yield* TestClock.adjust("1 minute")
  return yield* Effect.flatMap(DurableChat.waitingFor({ executionId }), Effect.orDie)
})

const result = Effect.suspend(() => DurableChat.Ask.execute(question))

const postsTo = (path: "cancel" | "validate-action" | "answer-question") =>
  Effect.flatMap(
    DustTest.DustTest,
    (dust) => Effect.map(dust.requests(), (requests) => requests.filter((one) => one.path.endsWith(`/${path}`)))
  )

describe("DurableChat.Ask", () => {
  it.effect("asks once for a key, and returns the same answer again", () =>
    Effect.gen(function*() {
      const [one, other] = yield* ended(yield* Effect.fork(Effect.all([result, result], { concurrency: 2 })))
      assert.strictEqual(one.text, "Tell the team")
      assert.deepStrictEqual(one, other)
      const dust = yield* DustTest.DustTest
      assert.strictEqual((yield* dust.userMessages()).length, 1)
      const answers = yield* dust.agentMessages(one.conversationId)
      assert.deepStrictEqual(answers.map(({ sId }) => sId), [one.messageId])
    }).pipe(Effect.provide(local({ agent: ({ message }) => message }))))

  it.effect("waits a week for an approval that comes from elsewhere, and goes on with it", () =>
    Effect.gen(function*() {
      const found = yield* waiting
      assert.strictEqual(found._tag, "Approval")
      if (found._tag !== "Approval") return
      assert.deepInclude(found, { tool: "send_email", inputs: { to: "team@example.com" }, stake: "high" })
      yield* TestClock.adjust("6 days")
      yield* DurableChat.approve({ token: found.token, decision: "approved" })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* result).text, "It is on its way.")
      assert.strictEqual((yield* postsTo("validate-action")).length, 1)
    }).pipe(Effect.provide(local({ agent: mailer }))))

  it.effect("after its limit: rejects the tool, and the agent goes on", () =>
    Effect.gen(function*() {
      const found = yield* waiting
      assert.strictEqual(found.until - found.at, 7 * 24 * 3_600_000)
      yield* TestClock.adjust("6 days")
      assert.strictEqual((yield* postsTo("validate-action")).length, 0)
      yield* TestClock.adjust("2 days")
      assert.strictEqual((yield* result).text, "I did not send it.")
      assert.deepInclude((yield* postsTo("validate-action"))[0]?.body, { approved: "rejected" })
    }).pipe(Effect.provide(local({ agent: mailer }))))

  it.effect("notices a decision that was made in Dust", () =>
    Effect.gen(function*() {
      const { actionId, conversationId, messageId } = yield* waiting
      const conversations = yield* Conversations
      yield* conversations.validateAction({ conversationId, messageId, actionId, approved: "approved" })
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* result).text, "It is on its way.")
      assert.strictEqual((yield* postsTo("validate-action")).length, 1)
    }).pipe(Effect.provide(local({ agent: mailer }))))

  it.effect("without a limit: waits for as long as it takes, and looks at Dust once a day", () =>
    Effect.gen(function*() {
      const { actionId, conversationId, messageId, until } = yield* waiting
      assert.strictEqual(new Date(until).toISOString(), "+275760-09-13T00:00:00.000Z")
      for (let day = 0; day < 20; day++) yield* TestClock.adjust("1 day")
      const conversations = yield* Conversations
      yield* conversations.validateAction({ conversationId, messageId, actionId, approved: "approved" })
      for (let hour = 0; hour < 25; hour++) yield* TestClock.adjust("1 hour")
      const { text } = yield* ended(yield* Effect.fork(result))
      assert.strictEqual(text, "It is on its way.")
    }).pipe(Effect.provide(local({ agent: mailer }, { limit: Duration.infinity }))))

  it.effect("passes an answer to a question on, and after its limit the words that there was none", () =>
    Effect.gen(function*() {
      const found = yield* waiting
      assert.strictEqual(found._tag, "Question")
      yield* DurableChat.reply({ token: found.token, answer: { selectedOptions: [1] } })
      yield* TestClock.adjust("10 minutes")
      const again = yield* Effect.flatMap(
        DurableChat.waitingFor({ executionId: found.executionId }),
        Effect.orDie
      )
      assert.notStrictEqual(again.actionId, found.actionId)
      yield* TestClock.adjust("2 days")
      assert.include((yield* result).text, "Nobody answered in time.")
      const answers = yield* postsTo("answer-question")
      assert.strictEqual(answers.length, 2)
      assert.deepInclude(answers[0]?.body, { answer: { selectedOptions: [1] } })
    }).pipe(Effect.provide(local({
      agent: [
        DustTest.question({ question: "Which one?", options: ["One", "Two"] }),
        DustTest.question({
          question: "Sure?",
          options: ["Yes"],
          onAnswer: (answer) => JSON.stringify(answer)
        })
      ]
    }, { limit: "1 day" }))))

  it.effect("a run that fails: fails with its DustAgentError, as stored", () =>
    Effect.gen(function*() {
      const error = yield* ended(yield* Effect.fork(Effect.flip(result)))
      assert.strictEqual(error._tag, "DustAgentError")
      assert.strictEqual(error.details !== undefined, true)
      assert.strictEqual((yield* Effect.flip(result))._tag, "DustAgentError")
    }).pipe(Effect.provide(local({ agent: [DustTest.fail({ code: "model_error", message: "overloaded" })] }))))

  it.effect("an outage of an hour: goes on where it was", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const begun = yield* Clock.currentTimeMillis
      const fiber = yield* Effect.fork(result)
      yield* dust.requests().pipe(
        Effect.tap(() => TestClock.adjust("1 second")),
        Effect.repeat({ until: (requests) => requests.some(({ path }) => path.endsWith("/events")) })
      )
      yield* dust.fault({ path: /./, fault: DustTest.faults.resetBefore(), times: 1_000 })
      assert.strictEqual((yield* ended(fiber)).text, "Tell the team")
      assert.isAbove((yield* Clock.currentTimeMillis) - begun, 3_600_000)
      assert.strictEqual((yield* dust.userMessages()).length, 1)
    }).pipe(Effect.provide(local({ agent: [DustTest.text("Tell the team", { pace: "1 minute" })] }))))
})

describe("DurableChat.ask in a workflow", () => {
  const Two = Workflow.make({
    name: "Two",
    payload: { id: Schema.String, fails: Schema.Boolean },
    idempotencyKey: ({ id }) => id,
    success: Schema.String,
    error: Schema.Union(DustAPIError, Schema.Literal("given up"))
  })
  const events: Array<ChatEvent["_tag"]> = []
  const two = (agents: DustTest.Options["agents"]) =>
    Two.toLayer(({ fails }) =>
      Effect.gen(function*() {
        const one = yield* DurableChat.ask({
          name: "one",
          agent: "agent",
          message: "One",
          onEvent: (event) => Effect.sync(() => void events.push(event._tag))
        })
        if (fails) {
          yield* DurableChat.send({ name: "slow", agent: "slow", message: "Slowly" }).pipe(
            DurableChat.withCancel({ name: "slow" })
          )
          return yield* Effect.fail("given up" as const)
        }
        const other = yield* DurableChat.ask({ name: "other", agent: "agent", message: `Other after ${one.text}` })
        return other.text
      })
    ).pipe(
      Layer.provideMerge(WorkflowEngine.layerMemory),
      Layer.provideMerge(KeyValueStore.layerMemory),
      Layer.provideMerge(DustTest.layer({ agents }))
    )
  const agents = {
    agent: ({ message }: DustTest.AgentInput) => message,
    slow: [DustTest.text("Slowly, very slowly.", { pace: "1 hour" })]
  }

  it.effect("distinguishes several questions by name, and passes on events", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ended(yield* Effect.fork(Two.execute({ id: "1", fails: false }))), "Other after One")
      assert.include(events, "TextDelta")
      assert.include(events, "Done")
    }).pipe(Effect.provide(two(agents))))

  it.effect("a workflow that fails: its compensation cancels the run", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(Two.execute({ id: "1", fails: true })))
      assert.strictEqual(yield* ended(fiber), "given up")
      const cancelled = yield* postsTo("cancel")
      assert.strictEqual(cancelled.length, 2)
    }).pipe(Effect.provide(two(agents))))

  it.effect("a workflow that is interrupted while it waits: cancels the run", () =>
    Effect.gen(function*() {
      const { executionId } = yield* waiting
      yield* DurableChat.Ask.interrupt(executionId)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* postsTo("cancel")).length, 1)
      assert.isTrue(Option.isSome(Option.fromNullable(yield* DurableChat.Ask.poll(executionId))))
    }).pipe(Effect.provide(local({ agent: mailer }))))

  it.effect("a process that stops while it follows an answer: leaves the run alone", () =>
    Effect.gen(function*() {
      const runner = yield* Scope.make()
      const engine = yield* DurableChat.layer().pipe(
        Layer.provideMerge(WorkflowEngine.layerMemory),
        Layer.buildWithScope(runner)
      )
      yield* Effect.provide(DurableChat.Ask.execute({ ...question, agent: "slow" }, { discard: true }), engine)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Effect.flatMap(DustTest.DustTest, (dust) => dust.userMessages())).length, 1)
      yield* Scope.close(runner, Exit.void)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* postsTo("cancel"), [])
    }).pipe(Effect.provide(Layer.merge(KeyValueStore.layerMemory, DustTest.layer({ agents })))))
})
