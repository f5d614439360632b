/** Asks once and streams the answer to any number of subscribers. Late subscribers receive it from its beginning. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Fiber, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import { done, dust, note, says, title } from "./support.ts"

const textOf = (events: Stream.Stream<ChatEvent, unknown>) =>
  Stream.runFold(events, "", (text, event) => {
    switch (event._tag) {
      case "TextDelta":
        return text + event.text
      case "Reset":
        return event.text
      case "Done":
        return event.reply.text
      default:
        return text
    }
  })

const program = Effect.scoped(Effect.gen(function*() {
  const chat = yield* Chat

  yield* title("One question")
  const answer = yield* chat.stream({ agent: "slow", message: "Tell everybody" }).pipe(
    Stream.tap((event) => event._tag === "Started" ? done("asked") : Effect.void),
    // Asks once, now, and replays all events to late subscribers. If the scope closes early, the run is cancelled.
    Stream.broadcastDynamic({ capacity: "unbounded", replay: Number.MAX_SAFE_INTEGER })
  )

  yield* title("Four listeners")
  const first = yield* Effect.fork(textOf(answer))
  const second = yield* Effect.fork(textOf(answer))
  yield* Effect.sleep("1 second")
  yield* note("the third joins a second later, the fourth after the end")
  const third = yield* textOf(answer)
  const fourth = yield* textOf(answer)
  yield* says("first", yield* Fiber.join(first))
  yield* says("second", yield* Fiber.join(second))
  yield* says("third", third)
  yield* says("fourth", fourth)
}))

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
