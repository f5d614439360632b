/** Creates a conversation. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Conversations } from "effect-dust/Conversations"
import { done, dust } from "./support.ts"

const program = Effect.gen(function*() {
  const conversations = yield* Conversations
  const conversation = yield* conversations.create({ title: "SDK test conversation" })
  yield* done(`Conversation created: ${conversation.sId}`)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
