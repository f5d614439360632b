/** Asks an agent and prints the answer. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { agent, dust, says } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const question = "Which three things should I read first?"
  const reply = yield* chat.send({ agent: yield* agent, message: question })
  yield* says("you", question)
  yield* says("agent", reply.text)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
