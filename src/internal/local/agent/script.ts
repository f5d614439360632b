/** Interprets each step of a script. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { publishJson, publishRaw } from "../server/pubsub.ts"
import { pause } from "../state/state.ts"
import { runApproval, runAuthentication, runQuestion } from "./blocking.ts"
import { checkedScript, checkedStep } from "./checkScript.ts"
import { runClientTool } from "./clientTool.ts"
import { emit, Ended, type Loop, nextStep } from "./loop.ts"
import { type Script, Step, tokenize } from "./steps.ts"
import { runSubAgent } from "./subAgent.ts"
import { runTokens } from "./tokens.ts"
import { runTool } from "./tools.ts"

const runStep = (loop: Loop, step: Step, parallel = false): Effect.Effect<void, Ended> => {
  const { message, world } = loop
  switch (step._tag) {
    case "Tokens":
      return runTokens(loop, step)
    case "Delimiter":
      return Effect.sync(() =>
        emit(loop, "generation_tokens", {
          text: step.text,
          classification: step.kind,
          delimiterClassification: "chain_of_thought"
        })
      )
    case "Tool":
      return runTool(loop, step, parallel)
    case "Approval":
      return runApproval(loop, step, parallel)
    case "Question":
      return runQuestion(loop, step, parallel)
    case "Authentication":
    case "FileAuthentication":
      return runAuthentication(loop, step, parallel)
    case "ClientTool":
      return runClientTool(loop, step, parallel)
    case "SubAgent":
      return runSubAgent(loop, step.agent, parallel)
    case "Parallel":
      return runParallel(loop, step.steps)
    case "Fail":
    case "ToolError": {
      const { category, code, message: text } = step.error
      return Effect.fail(
        new Ended({
          outcome: step._tag === "Fail" ? "error" : "tool_error",
          error: {
            code: code ?? (step._tag === "Fail" ? "multi_actions_error" : "tool_error"),
            message: text ?? (step._tag === "Fail" ? "The agent failed." : "The tool failed."),
            metadata: category === undefined ? null : { category }
          }
        })
      )
    }
    case "Silence":
      return step.duration === undefined ? Effect.never : pause(world, step.duration, `${message.agent.name} is silent`)
    case "Rerun":
      return Effect.sync(() => {
        for (const { json, type } of loop.recorded) publishJson(world, message.run.channel, type, json)
      })
    case "ContextPruned":
      return Effect.sync(() => {
        message.prunedContext = true
        emit(loop, "agent_context_pruned", {})
      })
    case "GracefulStop":
      return Effect.fail(new Ended({ outcome: "gracefully_stopped" }))
    case "Raw":
      return Effect.sync(() => {
        const { event } = step
        const type = typeof event === "object" && event !== null && "type" in event && typeof event.type === "string"
          ? event.type
          : "unknown"
        publishJson(world, message.run.channel, type, JSON.stringify(event) ?? "null")
      })
    case "Malformed":
      return Effect.sync(() => {
        publishRaw(world, message.run.channel, step.data)
      })
  }
}

/** Several tools in parallel, in one step of the loop. */
const runParallel = (loop: Loop, steps: ReadonlyArray<Step>): Effect.Effect<void, Ended> =>
  Effect.gen(function*() {
    loop.blockers = steps.filter(({ _tag }) =>
      _tag === "Approval" || _tag === "Question" || _tag === "Authentication" || _tag === "FileAuthentication"
    ).length
    yield* Effect.forEach(steps, (one) =>
      runStep(loop, one, true), { concurrency: "unbounded", discard: true })
    loop.blockers = 0
    nextStep(loop)
  })

const stopIfAsked = (loop: Loop): Effect.Effect<void, Ended> =>
  Effect.suspend(() =>
    loop.message.run.stopRequested ? Effect.fail(new Ended({ outcome: "gracefully_stopped" })) : Effect.void
  )

/** Runs a script. `place` is what returned it, for the error of a value that is not a script. */
export const runScript = (loop: Loop, given: Script, place?: string): Effect.Effect<void, Ended> => {
  const script = checkedScript(given, place ?? "the script")
  if (typeof script === "string") {
    return runStep(loop, Step.Tokens({ tokens: tokenize(script), classification: "tokens", pace: undefined }))
  }
  const one = (step: Step) => Effect.zipRight(stopIfAsked(loop), runStep(loop, step))
  return Array.isArray(script)
    ? Effect.forEach(script as ReadonlyArray<Step>, one, { discard: true })
    : Stream.runForEach(script as Stream.Stream<Step>, (step) => one(checkedStep(step, "an element of the stream")))
}
