/** Asks two agents and takes the first answer. The other run is cancelled on the server. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { dust, says } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const message = "Who is first?"
  const reply = yield* Effect.race(
    chat.send({ agent: "slow", message }),
    chat.send({ agent: "quick", message })
  )
  yield* says(reply.agentMessage.configuration?.name ?? "agent", reply.text)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
