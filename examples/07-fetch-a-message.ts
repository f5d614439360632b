/** Fetches a single message. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as Message from "effect-dust/Message"
import { agent, dust, says } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const conversations = yield* Conversations
  const { agentMessage, conversationId } = yield* chat.send({ agent: yield* agent, message: "Hello" })
  const message = yield* conversations.getMessage({ conversationId, messageId: agentMessage.sId })
  yield* says(Message.authorName(message), Message.text(message))
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
