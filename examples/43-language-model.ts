/** An agent as the LanguageModel of `@effect/ai`: text, a stream, an object, and a plan with a fallback agent. */
import { LanguageModel } from "@effect/ai"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, ExecutionPlan, Layer, Schema, Stream } from "effect"
import * as DustLanguageModel from "effect-dust/DustLanguageModel"
import { done, dust, note, says, title, write } from "./support.ts"

const Decision = Schema.Struct({
  queue: Schema.Literal("billing", "bug", "other"),
  urgent: Schema.Boolean,
  due: Schema.Date
})

/** Each step may be any model: the first that answers wins. A message is never sent twice to the same agent. */
const Plan = ExecutionPlan.make(
  { provide: DustLanguageModel.model("broken"), attempts: 2, while: DustLanguageModel.isRetryable },
  { provide: DustLanguageModel.model("quick") }
)

const program = Effect.gen(function*() {
  yield* title("Text")
  const response = yield* LanguageModel.generateText({ prompt: "Which three things should I read first?" })
  yield* says("model", response.text)

  yield* title("A stream")
  yield* LanguageModel.streamText({ prompt: "What is on the roadmap?" }).pipe(
    Stream.runForEach((part) => {
      switch (part.type) {
        case "text-delta":
          return write(part.delta)
        case "finish":
          return note(`\n  tools: ${part.metadata.dust?.tools.map(({ name }) => name).join(", ")}`)
        default:
          return Effect.void
      }
    }),
    Effect.provide(DustLanguageModel.model("researcher"))
  )

  yield* title("An object")
  const { value } = yield* LanguageModel.generateObject({
    prompt: "Decide which team handles this ticket: \"We were charged twice.\"",
    schema: Decision
  }).pipe(Effect.provide(DustLanguageModel.model("triage")))
  yield* done(`${value.queue}, until ${value.due.toISOString().slice(0, 10)}`)

  yield* title("A plan")
  const planned = yield* LanguageModel.generateText({ prompt: "Are you there?" }).pipe(Effect.withExecutionPlan(Plan))
  yield* says("model", planned.text)
})

program.pipe(
  Effect.provide(Layer.provideMerge(DustLanguageModel.layer({ agent: "dust" }), dust)),
  NodeRuntime.runMain
)
