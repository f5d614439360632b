/** The run continues when its process exits; another process resumes the stream at the checkpoint. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Option, Ref, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import { dust, note, write } from "./support.ts"

interface Place {
  readonly conversationId: string
  readonly messageId: string
  readonly lastEventId: string | undefined
}

const program = Effect.gen(function*() {
  const chat = yield* Chat
  // A real application would keep this in its database.
  const place = yield* Ref.make(Option.none<Place>())

  yield* chat.stream({ agent: "slow", message: "Take your time", onInterrupt: "leave" }).pipe(
    Stream.tap((event) =>
      event._tag === "Started"
        ? Ref.set(place, Option.some({ ...event, lastEventId: undefined }))
        : "eventId" in event && event.eventId !== undefined
        ? Ref.update(place, Option.map((before) => ({ ...before, lastEventId: event.eventId })))
        : Effect.void
    ),
    Stream.filter((event) => event._tag === "TextDelta"),
    Stream.take(3),
    Stream.runForEach((event) => write(event.text))
  )
  yield* note("\n  (the first process stops here)")

  const { conversationId, lastEventId, messageId } = yield* yield* Ref.get(place)
  yield* chat.resume({ conversationId, messageId, lastEventId }).pipe(
    Stream.filter((event) => event._tag === "TextDelta"),
    Stream.runForEach((event) => write(event.text))
  )
  yield* note("\n  (the second process received the rest)")
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
