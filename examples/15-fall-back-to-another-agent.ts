/**
 * Asks one agent, and another if the first fails, does not exist or takes too long: a plan with an agent for each step.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Context, Effect, ExecutionPlan, Layer } from "effect"
import { type AgentRef, Chat } from "effect-dust/Chat"
import { done, dust, failed, says, title } from "./support.ts"

class Agent extends Context.Tag("Agent")<Agent, AgentRef>() {}

const Plan = ExecutionPlan.make(
  { provide: Layer.succeed(Agent, "broken") },
  { provide: Layer.succeed(Agent, { name: "Nobody" }) },
  { provide: Layer.succeed(Agent, "silent") },
  { provide: Layer.succeed(Agent, "quick") }
)

/** The timeout interrupts the question, which cancels the run of the first agent. */
const ask = (message: string) =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const agent = yield* Agent
    return yield* chat.send({ agent, message }).pipe(
      Effect.timeout("8 seconds"),
      Effect.tapError((error) => failed(`${JSON.stringify(agent)}: ${error._tag}`)),
      Effect.tap(() => done(JSON.stringify(agent)))
    )
  }).pipe(Effect.withExecutionPlan(Plan))

const program = Effect.gen(function*() {
  yield* title("Agents in order, until one answers")
  const reply = yield* ask("Who answers?")
  yield* says("agent", reply.text)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
