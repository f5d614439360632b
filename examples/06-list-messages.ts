/** Lists the messages of a conversation: all at once, and page by page from the newest. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as Message from "effect-dust/Message"
import { agent, dust, says, title } from "./support.ts"

const program = Effect.gen(function*() {
  const conversations = yield* Conversations
  const chat = yield* Chat
  const session = yield* chat.session({ agent: yield* agent })
  yield* session.send("One")
  const { conversationId } = yield* session.send("Two")

  yield* title("All messages")
  for (const message of yield* conversations.listMessages(conversationId)) {
    yield* says(Message.authorName(message), Message.text(message))
  }

  yield* title("The newest two")
  yield* conversations.streamMessages({ conversationId, pageSize: 2 }).pipe(
    Stream.take(2),
    Stream.runForEach((message) => says(Message.authorName(message), Message.text(message)))
  )
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
