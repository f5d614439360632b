/**
 * An agent as a function: a typed ticket in, a typed decision out. An invalid first answer is sent back for correction.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Schema, Stream } from "effect"
import * as AgentFunction from "effect-dust/AgentFunction"
import { done, dust, failed, note, title } from "./support.ts"

const triage = AgentFunction.make({
  agent: "triage",
  instructions: "Decide which team handles this ticket, and until when.",
  input: Schema.Struct({ subject: Schema.String, body: Schema.String, received: Schema.Date }),
  output: Schema.Struct({
    queue: Schema.Literal("billing", "bug", "other"),
    urgent: Schema.Boolean.annotations({ description: "Whether a customer cannot work" }),
    due: Schema.Date
  })
})

const program = Effect.gen(function*() {
  const ticket = { subject: "Invoice", body: "We were charged twice.", received: new Date("2026-11-26T09:00:00Z") }

  yield* title("As a function")
  const { due, queue, urgent } = yield* triage(ticket)
  yield* done(`${queue}, ${urgent ? "urgent" : "not urgent"}, until ${due.toISOString().slice(0, 10)}`)

  yield* title("As a stream of events")
  yield* Stream.runForEach(triage.stream(ticket), (event) => {
    switch (event._tag) {
      case "Rejected":
        return failed(event.issues.map(({ message, path }) => `${path.join(".")}: ${message}`).join("\n    "))
      case "Output":
        return done(`${event.value.queue}, after ${event.attempts} answers`)
      case "Done":
        return note(event.reply.text)
      default:
        return Effect.void
    }
  })
}).pipe(
  Effect.catchTag("AgentOutputError", (error) => failed(`${error.message}; see conversation ${error.conversationId}`))
)

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
