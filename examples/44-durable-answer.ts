/**
 * An answer as a workflow: asked once per key, waits up to a week for an approval, then continues.
 *
 * This engine is in memory. With `ClusterWorkflowEngine` and a database, the workflow survives restarts:
 * docs/durable-answers.md.
 */
import { KeyValueStore } from "@effect/platform"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { WorkflowEngine } from "@effect/workflow"
import { Effect, Layer, Schedule } from "effect"
import * as DurableChat from "effect-dust/DurableChat"
import { done, dust, note, says, title } from "./support.ts"

const question = { key: "roadmap-mail-48", agent: "mailer", message: "Tell the team about the roadmap" }

const Live = DurableChat.layer({
  limit: "7 days",
  onWaiting: (waiting) =>
    waiting._tag === "Approval"
      ? done(`${waiting.tool} waits until ${new Date(waiting.until).toDateString()}`)
      : Effect.void
}).pipe(
  Layer.provideMerge(WorkflowEngine.layerMemory),
  Layer.provideMerge(KeyValueStore.layerMemory)
)

const program = Effect.gen(function*() {
  yield* title("Start")
  const executionId = yield* DurableChat.Ask.execute(question, { discard: true })
  yield* done(`execution ${executionId.slice(0, 8)}…`)

  yield* title("Approve, from any process")
  const waiting = yield* DurableChat.waitingFor({ executionId }).pipe(
    Effect.flatMap((found) => found),
    Effect.retry(Schedule.spaced("100 millis"))
  )
  yield* DurableChat.approve({ token: waiting.token, decision: "approved" })

  yield* title("The same answer for every call")
  const first = yield* DurableChat.Ask.execute(question)
  const again = yield* DurableChat.Ask.execute(question)
  yield* says("agent", first.text)
  yield* note(`the same message both times: ${first.messageId === again.messageId}`)
})

// @effect-diagnostics-next-line multipleEffectProvide:off
program.pipe(Effect.provide(Live), Effect.provide(dust), NodeRuntime.runMain)
