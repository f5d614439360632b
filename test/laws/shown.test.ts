/** What was shown is taken back on evidence only, never cut in half and never printed twice. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import * as Approvals from "effect-dust/Approvals"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

const said = (text: string) =>
  DustTest.unknownEvent({ type: "generation_tokens", text, classification: "tokens", step: 0 })

const pieces = (script: ReadonlyArray<DustTest.Step>) =>
  Effect.flatMap(Chat, (chat) => Stream.runCollect(chat.streamText({ agent: "helper", message: "Go" }))).pipe(
    Effect.map(Chunk.toReadonlyArray),
    Effect.provide(DustTest.layer({ agents: { helper: script } }))
  )

const lines = Array.from({ length: 30 }, (_, i) => `{"type":"invoice","currency":"EUR","amount":${i}}\n`).join("")

describe("Shown text", () => {
  it.effect("lines that begin alike are shown as they come, and nothing is taken back", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const tokens = lines.match(/\w+|\W/g) ?? []
      const events = Chunk.toReadonlyArray(yield* Stream.runCollect(chat.stream({ agent: "helper", message: "Go" })))
      assert.deepStrictEqual(events.flatMap((event) => event._tag === "TextDelta" ? [event.text] : []), tokens)
      assert.isFalse(events.some((event) => event._tag === "Reset"))
    }).pipe(Effect.provide(DustTest.layer({
      agents: { helper: [DustTest.text(lines, { tokens: lines.match(/\w+|\W/g) ?? [] })] }
    }))))

  it.effect("an emoji that comes in halves, or in parts that are joined, is shown as a whole", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* pieces([DustTest.text("", { tokens: ["a\ud83d", "\ude00b", "\u{1f469}\u200d", "\u{1f4bb}!"] })]),
        ["a", "\u{1f600}b", "\u{1f469}\u200d\u{1f4bb}!"]
      )
    }))

  it.effect("a final text that differs in white space at its end, line ends or normalization adds nothing", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* pieces([DustTest.text("Hello"), said(" \n")])).join(""), "Hello \n")
    }))

  it.effect("handlers that are chosen when the program runs infer the errors of each", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const yes = (yield* Effect.succeed(1)) > 0
      const reply = yield* chat.send({
        agent: "helper",
        message: "Go",
        onApproval: yes ? Approvals.approveAll : () => Effect.fail("quit" as const)
      }).pipe(Effect.catchAll((error) => error === "quit" ? Effect.die(error) : Effect.fail(error)))
      assert.strictEqual(reply.text, "Sent.")
    }).pipe(Effect.provide(DustTest.layer({
      agents: { helper: [DustTest.approval({ name: "send_email" }), DustTest.text("Sent.")] }
    }))))
})
