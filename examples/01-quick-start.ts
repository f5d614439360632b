/** A complete conversation: create, answer, list, fetch and delete messages, catch an error by its tag. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as Message from "effect-dust/Message"
import { agent, done, dust, failed, note, says, title } from "./support.ts"

const shortened = (text: string) => text.length > 60 ? `${text.slice(0, 60)}…` : text

const program = Effect.gen(function*() {
  const conversations = yield* Conversations
  const agentId = yield* agent

  yield* title("Create a conversation")
  const conversation = yield* conversations.create({ title: "Quick start" })
  yield* done(`created ${conversation.sId}`)

  yield* title("Ask an agent, wait for its answer")
  const { agentMessages, message } = yield* conversations.createMessage({
    conversationId: conversation.sId,
    content: "Hello! What can you do for me?",
    mentions: [Message.mentionAgent(agentId)],
    context: { username: "ada", timezone: "Europe/Paris" },
    blocking: true
  })
  yield* says("you", message.content)
  for (const answer of agentMessages) yield* says(Message.authorName(answer), answer.content ?? `(${answer.status})`)

  yield* title("List the messages")
  const messages = yield* conversations.listMessages(conversation.sId)
  for (const one of messages) yield* says(Message.authorName(one), shortened(Message.text(one)))
  yield* done(`${messages.length} messages`)

  yield* title("Fetch one message")
  const fetched = yield* conversations.getMessage({ conversationId: conversation.sId, messageId: message.sId })
  yield* done(`${fetched.sId} by ${Message.authorName(fetched)}`)

  yield* title("Delete it")
  yield* conversations.deleteMessage({ conversationId: conversation.sId, messageId: message.sId }).pipe(
    Effect.zipRight(done("deleted, with its answer")),
    Effect.catchTag("DustUserRequiredError", (error) => note(error.message))
  )

  yield* title("Catch an error by its tag")
  yield* conversations.getMessage({ conversationId: "no-such-conversation", messageId: "no-such-message" }).pipe(
    Effect.catchTag(
      "DustNotFoundError",
      (error) => Effect.zipRight(failed(error.message), note(`details: ${JSON.stringify(error.details)}`))
    )
  )
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
