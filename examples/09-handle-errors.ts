/** Errors are tagged: catch those you can handle; the type shows the others. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import { dust, failed, note, title } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const conversations = yield* Conversations

  yield* title("A conversation that does not exist")
  yield* conversations.getMessage({ conversationId: "bad-conv-id", messageId: "bad-msg-id" }).pipe(
    Effect.catchTag(
      "DustNotFoundError",
      (error) => Effect.zipRight(failed(error.message), note(`details: ${JSON.stringify(error.details)}`))
    )
  )

  yield* title("Invalid input, refused before any request")
  yield* chat.send({ agent: "dust", message: "  " }).pipe(
    Effect.catchTag(
      "DustBadRequestError",
      (error) => Effect.zipRight(failed(error.message), note(`requests made: ${error.attempts}`))
    )
  )

  yield* title("An agent that fails")
  yield* chat.send({ agent: "broken", message: "Please fail" }).pipe(
    Effect.catchTags({
      DustAgentError: (error) =>
        Effect.zipRight(
          failed(error.message),
          note(`category: ${error.category}, worth a retry: ${error.isTransient}`)
        ),
      DustRateLimitError: (error) => failed(`slow down: ${error.message}`)
    })
  )
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
