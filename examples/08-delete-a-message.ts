/** Deletes a message. Requires a user access token: with an API key it fails before any request. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import { agent, done, dust, failed } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const conversations = yield* Conversations
  const { agentMessage, conversationId } = yield* chat.send({ agent: yield* agent, message: "Hello" })
  yield* conversations.deleteMessage({ conversationId, messageId: agentMessage.sId })
  yield* done("Message deleted.")
}).pipe(Effect.catchTag("DustUserRequiredError", (error) => failed(error.message)))

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
