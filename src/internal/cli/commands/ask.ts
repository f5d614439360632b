import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Chat } from "../../../Chat.ts"
import { agent, agentRef, asJson, attach, conversation, files, follow, handlers, thinking, yes } from "../asking.ts"
import { connected, local } from "../connect.ts"
import { UsageError } from "../failure.ts"
import { piped } from "../input.ts"
import { command } from "../program.ts"

const noMessage = `no message: give it as an argument, ${command("ask \"What changed this week?\"")}, or pipe it in`

export const ask = Command.make(
  "ask",
  {
    agent,
    conversation,
    files,
    json: asJson,
    local,
    thinking,
    yes,
    words: Args.text({ name: "message" }).pipe(
      Args.withDescription("The question. If omitted, it is read from stdin; otherwise piped text is attached"),
      Args.repeated
    )
  },
  ({ agent, conversation, files, json, local, thinking, words, yes }) =>
    Effect.gen(function*() {
      const given = words.join(" ").trim()
      const text = yield* piped
      const message = given === "" ? Option.getOrElse(text, () => "").trim() : given
      if (message === "") return yield* new UsageError({ message: noMessage })
      yield* Effect.gen(function*() {
        const chat = yield* Chat
        const attached = yield* attach(files)
        const events = chat.stream({
          ...(yield* handlers(yes)),
          agent: agentRef(agent),
          message,
          conversationId: Option.getOrUndefined(conversation),
          attachments: given === "" || Option.isNone(text)
            ? attached
            : [...attached, { title: "stdin", content: text.value, contentType: "text/plain" }]
        })
        yield* follow(events, { json, thinking })
      }).pipe(Effect.provide(connected(local)))
    })
).pipe(Command.withDescription("Ask an agent and print its answer"))

export const resume = Command.make(
  "resume",
  {
    json: asJson,
    local,
    thinking,
    yes,
    conversationId: Args.text({ name: "conversation" }).pipe(Args.withDescription("The id of the conversation")),
    messageId: Args.text({ name: "message" }).pipe(Args.withDescription("The id of the agent's message"))
  },
  ({ conversationId, json, local, messageId, thinking, yes }) =>
    Effect.gen(function*() {
      const chat = yield* Chat
      yield* follow(chat.resume({ ...(yield* handlers(yes)), conversationId, messageId }), { json, thinking })
    }).pipe(Effect.provide(connected(local)))
).pipe(Command.withDescription("Continue an answer, and handle approvals and questions"))
