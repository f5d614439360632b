/** Streams an answer: thinking, tools, text. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Match, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import { bold, dim, dust, write } from "./support.ts"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  yield* chat.stream({ agent: "@Researcher", message: "What is on the roadmap?" }).pipe(
    Stream.runForEach((event) =>
      Match.value(event).pipe(
        Match.tag("Thinking", ({ text }) => write(dim(text))),
        Match.tag("TextDelta", ({ text }) => write(text)),
        Match.tag("ToolStarted", ({ action }) => write(dim(`\n[${action.toolName} ${JSON.stringify(action.params)}]`))),
        Match.tag("ToolProgress", ({ label }) => write(dim(` ${label ?? "…"}`))),
        Match.tag("ToolFinished", () => write(dim(" ✓\n"))),
        Match.tag("Done", ({ reply }) => write(`\n\n${bold("Final answer:")} ${reply.text}\n`)),
        Match.orElse(() => Effect.void)
      )
    )
  )
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
