import * as AiChat from "@effect/ai/Chat"
import * as LanguageModel from "@effect/ai/LanguageModel"
import * as Prompt from "@effect/ai/Prompt"
import * as Tool from "@effect/ai/Tool"
import * as Toolkit from "@effect/ai/Toolkit"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, ExecutionPlan, Fiber, Layer, Option, Schema, Stream, TestClock } from "effect"
import * as Approvals from "effect-dust/Approvals"
import * as DustLanguageModel from "effect-dust/DustLanguageModel"
import * as DustTest from "effect-dust/DustTest"
import { Files } from "effect-dust/Files"

const Verdict = Schema.Struct({
  sentiment: Schema.Literal("good", "bad"),
  score: Schema.Number.pipe(Schema.between(0, 10))
})

const local = (script: DustTest.AgentBehavior, options: DustTest.Options & DustTest.ClientOptions = {}) =>
  DustLanguageModel.layer({ agent: "model" }).pipe(
    Layer.provideMerge(DustTest.layer({ ...options, agents: { model: script, ...options.agents } }))
  )

/** Answers one after the other, and then the last one again. */
const inTurn = (...answers: ReadonlyArray<string>): DustTest.AgentBehavior => {
  let asked = 0
  return () => answers[Math.min(asked++, answers.length - 1)]!
}

const sent = Effect.flatMap(DustTest.DustTest, (dust) => dust.userMessages())

const researcher: DustTest.AgentBehavior = [
  DustTest.think("Where would it be? "),
  DustTest.text("One moment. "),
  DustTest.tool({ name: "search", inputs: { query: "roadmap" }, output: "found" }),
  DustTest.text("Three things.")
]

describe("DustLanguageModel.generateText", () => {
  it.effect("returns the text, the reasoning, and the place in Dust as metadata", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateText({ prompt: "What is planned?" })
      assert.strictEqual(response.text, "Three things.")
      assert.strictEqual(response.reasoningText, "Where would it be? ")
      assert.strictEqual(response.finishReason, "stop")
      assert.isUndefined(response.usage.totalTokens)
      const finish = response.content.find((part) => part.type === "finish")
      const [question] = yield* sent
      assert.strictEqual(question?.content, "What is planned?")
      assert.deepInclude(finish?.metadata.dust, {
        tools: [{ name: "search", status: "succeeded" }],
        generatedFiles: [],
        attempts: 1
      })
      const [metadata] = response.content
      assert.strictEqual(metadata?.type, "response-metadata")
      if (metadata?.type !== "response-metadata") return
      assert.deepStrictEqual(metadata.modelId, Option.some("model"))
      assert.deepStrictEqual(metadata.id, Option.fromNullable(finish?.metadata.dust?.messageId))
    }).pipe(Effect.provide(local(researcher))))

  it.effect("sends system messages and earlier turns as tagged text before the last message", () =>
    Effect.gen(function*() {
      const { text } = yield* LanguageModel.generateText({
        prompt: Prompt.make([
          { role: "system", content: "Be brief." },
          { role: "user", content: [{ type: "text", text: "Hi" }] },
          { role: "assistant", content: [{ type: "text", text: "Hello" }] },
          { role: "user", content: [{ type: "text", text: "And now?" }] }
        ])
      })
      assert.strictEqual(
        text,
        "<instructions>\nBe brief.\n</instructions>\n\n<user>\nHi\n</user>\n\n<assistant>\nHello\n</assistant>\n\nAnd now?"
      )
    }).pipe(Effect.provide(local(({ message }) => message))))

  it.effect("uploads the files of the prompt and attaches them", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({
        prompt: Prompt.make([{
          role: "user",
          content: [
            { type: "text", text: "Compare" },
            { type: "file", mediaType: "text/plain", fileName: "one.txt", data: new TextEncoder().encode("One") },
            { type: "file", mediaType: "text/csv", fileName: "two.csv", data: "data:text/csv;base64,YSxiCg==" },
            { type: "file", mediaType: "text/plain", fileName: "three.txt", data: new URL("data:text/plain,a%20b") }
          ]
        }])
      })
      const dust = yield* DustTest.DustTest
      const [question] = yield* dust.userMessages()
      const requests = yield* dust.requests({ path: "/files/{fileId}", method: "POST" })
      assert.strictEqual(requests.length, 3)
      const files = yield* Files
      const contents = yield* Effect.forEach(requests, ({ params }) =>
        files.downloadBytes({ fileId: params["fileId"] ?? "" }))
      assert.deepStrictEqual(
        contents.map((bytes) =>
          new TextDecoder().decode(bytes)
        ),
        ["One", "a,b\n", "a b"]
      )
      assert.strictEqual(question?.content, "Compare")
      const created = yield* dust.lastRequest({ path: "/assistant/conversations", method: "POST" })
      const titles = JSON.stringify(created.body).match(/"title":"\w+\.\w+","fileId"/g)
      assert.deepStrictEqual(titles, ["one.txt", "two.csv", "three.txt"].map((name) => `"title":"${name}","fileId"`))
    }).pipe(Effect.provide(local("Fine."))))

  it.effect("what Dust has no place for: fails before any request, and names the way that works", () =>
    Effect.gen(function*() {
      const Clock = Toolkit.make(Tool.make("time", { success: Schema.String }))
      const tools = yield* LanguageModel.generateText({ prompt: "Hi", toolkit: Clock }).pipe(
        Effect.provide(Clock.toLayer({ time: () => Effect.succeed("noon") })),
        Effect.flip
      )
      assert.strictEqual(tools._tag, "MalformedInput")
      assert.include(String(tools), "withToolkit")
      const file = (data: string | URL) =>
        LanguageModel.generateText({
          prompt: Prompt.make([{
            role: "user",
            content: [{ type: "text", text: "Look" }, { type: "file", mediaType: "image/png", data }]
          }])
        }).pipe(Effect.flip)
      const url = yield* file(new URL("https://example.com/a.png"))
      assert.strictEqual(url._tag, "MalformedInput")
      assert.include("description" in url ? url.description : "", "Files.upload")
      assert.strictEqual((yield* file("no base64 !"))._tag, "MalformedInput")
      const empty = yield* Effect.flip(LanguageModel.generateText({ prompt: " " }))
      assert.strictEqual(empty._tag, "MalformedInput")
      const dust = yield* DustTest.DustTest
      assert.deepStrictEqual(yield* dust.requests(), [])
      const unused = yield* LanguageModel.generateText({ prompt: "Hi", toolkit: Clock, toolChoice: "none" }).pipe(
        Effect.provide(Clock.toLayer({ time: () => Effect.succeed("noon") }))
      )
      assert.strictEqual(unused.text, "Fine.")
    }).pipe(Effect.provide(local("Fine."))))

  it.effect("fails with the errors of @effect/ai, which keep the error of the SDK as their cause", () =>
    Effect.gen(function*() {
      const failed = Effect.flip(LanguageModel.generateText({ prompt: "Hi" }))
      const dust = yield* DustTest.DustTest
      const broken = yield* failed
      assert.strictEqual(broken._tag, "UnknownError")
      assert.strictEqual(Option.getOrUndefined(DustLanguageModel.dustError(broken))?._tag, "DustAgentError")
      assert.isFalse(DustLanguageModel.isRetryable(broken))
      yield* dust.fault({ path: "/assistant/conversations", fault: DustTest.faults.status(403) })
      const refused = yield* failed
      assert.strictEqual(refused._tag, "HttpResponseError")
      if (refused._tag === "HttpResponseError") assert.strictEqual(refused.response.status, 403)
      assert.strictEqual(Option.getOrUndefined(DustLanguageModel.dustError(refused))?._tag, "DustForbiddenError")
    }).pipe(Effect.provide(local([DustTest.fail({ code: "model_error", message: "overloaded" })]))))

  it.effect("interrupted: the run is cancelled", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(LanguageModel.generateText({ prompt: "Hi" }))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* dust.requests({ path: "/assistant/conversations/{conversationId}/cancel" })).length, 1)
    }).pipe(Effect.provide(local([DustTest.text("Slowly, very slowly.", { pace: "1 minute" })]))))
})

describe("DustLanguageModel.streamText", () => {
  it.effect("emits reasoning and text in blocks, and the text ends with the final text", () =>
    Effect.gen(function*() {
      const parts = Chunk.toReadonlyArray(yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Hi" })))
      const types = parts.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1])
      assert.deepStrictEqual(types, [
        "response-metadata",
        "reasoning-start",
        "reasoning-delta",
        "reasoning-end",
        "text-start",
        "text-delta",
        "text-end",
        "finish"
      ])
      const text = parts.flatMap((part) => part.type === "text-delta" ? [part.delta] : []).join("")
      assert.isTrue(text.endsWith("Three things."))
      const finish = parts.find((part) => part.type === "finish")
      assert.strictEqual(finish?.metadata.dust?.tools[0]?.name, "search")
    }).pipe(Effect.provide(local(researcher))))

  it.effect("refuses a toolkit as generateText does", () =>
    Effect.gen(function*() {
      const Clock = Toolkit.make(Tool.make("time", { success: Schema.String }))
      const error = yield* LanguageModel.streamText({ prompt: "Hi", toolkit: Clock }).pipe(
        Stream.runDrain,
        Effect.provide(Clock.toLayer({ time: () => Effect.succeed("noon") })),
        Effect.flip
      )
      assert.strictEqual(error._tag, "MalformedInput")
    }).pipe(Effect.provide(local("Fine."))))
})

describe("DustLanguageModel.generateObject", () => {
  it.effect("sends an invalid answer back with its issues, in the same conversation", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateObject({ prompt: "Judge this", schema: Verdict })
      assert.deepStrictEqual(response.value, { sentiment: "good", score: 9 })
      const finish = response.content.find((part) => part.type === "finish")
      assert.strictEqual(finish?.metadata.dust?.attempts, 3)
      const questions = yield* sent
      assert.strictEqual(questions.length, 3)
      assert.match(questions[0]?.content ?? "", /^Judge this\n\nAnswer with one JSON object .*"sentiment"/s)
      assert.include(questions[2]?.content ?? "", "score: Expected")
      const dust = yield* DustTest.DustTest
      assert.strictEqual((yield* dust.requests({ path: "/assistant/conversations", method: "POST" })).length, 1)
    }).pipe(
      Effect.provide(local(inTurn(
        "Surely! {\"sentiment\": \"great\", \"score\": 1}",
        "```json\n{\"sentiment\":\"good\",\"score\":11}\n```",
        "Here: {\"sentiment\":\"good\",\"score\":9}. Fine?"
      )))
    ))

  it.effect("decodes the JSON of the answer with the schema, transformations included", () =>
    Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({
        prompt: "When?",
        schema: Schema.Struct({ due: Schema.Date })
      })
      assert.deepStrictEqual(value, { due: new Date("2026-12-01T00:00:00Z") })
    }).pipe(Effect.provide(local("It is {\"due\":\"2026-12-01T00:00:00Z\"}"))))

  it.effect("without repairs left: fails with MalformedOutput whose cause has the text and the issues", () =>
    Effect.gen(function*() {
      const error = yield* LanguageModel.generateObject({ prompt: "Judge", schema: Verdict }).pipe(
        DustLanguageModel.withConfig({ repairs: 0 }),
        Effect.flip
      )
      assert.strictEqual(error._tag, "MalformedOutput")
      assert.deepInclude(error.cause, { _tag: "AgentOutputError", text: "No.", attempts: 1 })
    }).pipe(Effect.provide(local("No."))))
})

describe("DustLanguageModel.withConversation", () => {
  it.effect("a Chat of @effect/ai: every turn continues one conversation and sends only new messages", () =>
    Effect.gen(function*() {
      const chat = yield* AiChat.fromPrompt([{ role: "system", content: "Be brief." }])
      yield* chat.generateText({ prompt: "One" })
      yield* Stream.runDrain(chat.streamText({ prompt: "Two" }))
      const { text } = yield* chat.generateText({ prompt: "Three" })
      assert.strictEqual(text, "You said Three")
      const questions = yield* sent
      assert.deepStrictEqual(questions.map(({ content }) => content), [
        "<instructions>\nBe brief.\n</instructions>\n\nOne",
        "Two",
        "Three"
      ])
      const dust = yield* DustTest.DustTest
      assert.strictEqual((yield* dust.requests({ path: "/assistant/conversations", method: "POST" })).length, 1)
    }).pipe(DustLanguageModel.withConversation, Effect.provide(local(({ message }) => `You said ${message}`))))

  it.effect("what another model has said in between is sent, too", () =>
    Effect.gen(function*() {
      const ask = (messages: Prompt.RawInput) => LanguageModel.generateText({ prompt: messages })
      yield* ask("One")
      const history: Prompt.RawInput = [
        { role: "user", content: [{ type: "text", text: "One" }] },
        { role: "assistant", content: [{ type: "text", text: "Answer of Dust" }] },
        { role: "user", content: [{ type: "text", text: "Two" }] },
        { role: "assistant", content: [{ type: "text", text: "Answer of another" }] },
        { role: "user", content: [{ type: "text", text: "Three" }] }
      ]
      yield* ask(history)
      assert.strictEqual(
        (yield* sent)[1]?.content,
        "<user>\nTwo\n</user>\n\n<assistant>\nAnswer of another\n</assistant>\n\nThree"
      )
    }).pipe(DustLanguageModel.withConversation, Effect.provide(local("Answer of Dust"))))

  it.effect("calls at the same time wait for each other, and a handler that asks does not wait for itself", () =>
    Effect.gen(function*() {
      const ask = (prompt: string) => LanguageModel.generateText({ prompt })
      const fiber = yield* Effect.fork(Effect.all([ask("One"), ask("Two")], { concurrency: 2 }))
      yield* TestClock.adjust("1 minute")
      const answers = yield* Fiber.join(fiber)
      assert.deepStrictEqual(answers.map(({ text }) => text), ["Done One", "Done Two"])
      const dust = yield* DustTest.DustTest
      assert.strictEqual((yield* dust.requests({ path: "/assistant/conversations", method: "POST" })).length, 3)
    }).pipe(
      (self) =>
        Effect.flatMap(LanguageModel.LanguageModel, (model) =>
          DustLanguageModel.withConfig(self, {
            onApproval: (request) =>
              Effect.zipRight(Effect.orDie(model.generateText({ prompt: "Allowed?" })), Approvals.approveAll(request))
          })),
      DustLanguageModel.withConversation,
      Effect.provide(local(({ message }) =>
        message === "Allowed?" ? "Yes" : [
          DustTest.approval({ name: "mail", inputs: {}, output: "sent", onResult: () => `Done ${message}` })
        ]
      ))
    ))
})

describe("DustLanguageModel with the rest of the stack", () => {
  it.effect("withToolkit: the agent calls the handlers of the application", () =>
    Effect.gen(function*() {
      const Orders = Toolkit.make(Tool.make("order_status", {
        parameters: { number: Schema.Int },
        success: Schema.Struct({ state: Schema.String })
      }))
      const { text } = yield* Effect.flatMap(
        Orders,
        (toolkit) =>
          LanguageModel.generateText({ prompt: "Where is 42?" }).pipe(
            DustLanguageModel.withToolkit({ name: "Order desk", toolkit })
          )
      ).pipe(
        Effect.provide(Orders.toLayer({ order_status: ({ number }) => Effect.succeed({ state: `${number} shipped` }) }))
      )
      assert.include(text, "42 shipped")
    }).pipe(Effect.provide(local([
      DustTest.clientTool({
        name: "order_status",
        inputs: { number: 42 },
        onResult: ({ output }) => `The desk says ${output}`
      })
    ], { credential: "userToken" }))))

  it.effect("an ExecutionPlan: the next model answers where the agent fails", () =>
    Effect.gen(function*() {
      const spare = yield* LanguageModel.make({
        generateText: () =>
          Effect.succeed([
            { type: "text", text: "I can help." },
            {
              type: "finish",
              reason: "stop",
              usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
            }
          ]),
        streamText: () => Stream.empty
      })
      const Plan = ExecutionPlan.make(
        { provide: DustLanguageModel.model("model"), attempts: 3, while: DustLanguageModel.isRetryable },
        { provide: Layer.succeed(LanguageModel.LanguageModel, spare) }
      )
      const { text } = yield* LanguageModel.generateText({ prompt: "Hi" }).pipe(Effect.withExecutionPlan(Plan))
      assert.strictEqual(text, "I can help.")
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(local([DustTest.fail({ code: "model_error", message: "overloaded" })]))))

  it.effect("an ExecutionPlan: the agent answers where another model fails", () =>
    Effect.gen(function*() {
      const broken = yield* LanguageModel.make({
        generateText: () => Effect.dieMessage("unused"),
        streamText: () => Stream.empty
      })
      const refusing = {
        ...broken,
        generateText: () => Effect.fail("out of credits")
      }
      const Plan = ExecutionPlan.make(
        { provide: Layer.succeed(LanguageModel.LanguageModel, refusing as never) },
        { provide: DustLanguageModel.model("model") }
      )
      const { text } = yield* LanguageModel.generateText({ prompt: "Hi" }).pipe(Effect.withExecutionPlan(Plan))
      assert.strictEqual(text, "Dust is here.")
    }).pipe(Effect.provide(local("Dust is here."))))
})
