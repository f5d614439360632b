/** An agent calls a tool that requires approval. The handler that decides is an Effect. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import type { ApprovalHandler } from "effect-dust/Approvals"
import { Chat } from "effect-dust/Chat"
import { dust, note, says } from "./support.ts"

const ask: ApprovalHandler = ({ inputs, stake, tool }) =>
  Effect.gen(function*() {
    yield* note(`${tool.toolName} (${stake} stake) requests approval for ${JSON.stringify(inputs)}`)
    yield* note("A person would decide here; this example approves mail to the team.")
    return inputs["to"] === "team@example.com" ? "approved" : "rejected"
  })

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const reply = yield* chat.send({ agent: "mailer", message: "Inform the team about the roadmap", onApproval: ask })
  yield* says("agent", reply.text)
  for (const action of reply.actions) yield* note(`used ${action.toolName}: ${action.status}`)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
