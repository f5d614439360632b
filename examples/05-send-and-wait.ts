/** Sends a message to an agent and waits for its answer. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Conversations } from "effect-dust/Conversations"
import { agent, dust, says } from "./support.ts"

const program = Effect.gen(function*() {
  const conversations = yield* Conversations
  const conversation = yield* conversations.create({ title: "SDK test conversation" })
  const { agentMessages } = yield* conversations.createMessage({
    conversationId: conversation.sId,
    content: "Hello from Effect!",
    mentions: [{ configurationId: yield* agent }],
    context: { username: "SDKUser", timezone: "Europe/Paris" },
    blocking: true
  })
  yield* says("assistant", agentMessages[0]?.content ?? "(nothing)")
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
