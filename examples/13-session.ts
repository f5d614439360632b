/** One conversation with several turns. Concurrent turns are queued. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import { agent, dim, dust, says, write } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const session = yield* chat.session({ agent: yield* agent, title: "Three questions" })

  const replies = yield* Effect.all([session.send("First, who are you?"), session.send("Second, what do you know?")], {
    concurrency: "unbounded"
  })
  for (const reply of replies) yield* says("agent", reply.text)

  yield* write("  third      ")
  yield* session.streamText("Third, can you stream?").pipe(Stream.runForEach(write))
  yield* write(dim(`\n  all in ${replies[0].conversationId}\n`))
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
