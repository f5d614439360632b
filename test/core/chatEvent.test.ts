import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Schema, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import { ChatEvent, Reply } from "effect-dust/ChatEvent"
import * as DustTest from "effect-dust/DustTest"

const wire = Schema.parseJson(ChatEvent)

/** What `undefined` becomes in JSON. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe("ChatEvent", () => {
  it.effect("every event of a run comes back from JSON as it was, those that this version does not know included", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(chat.stream({
          agent: "helper",
          message: "Hello",
          onApproval: () => Effect.succeed("approved"),
          onQuestion: () => Effect.succeed({ selectedOptions: [0] })
        }))
      )
      const seen = new Set<string>(events.map((event) => event._tag))
      for (
        const tag of [
          "Started",
          "TextDelta",
          "Reset",
          "Thinking",
          "ToolAnnounced",
          "ToolStarted",
          "ToolProgress",
          "ToolFinished",
          "ApprovalNeeded",
          "QuestionAsked",
          "Other",
          "Done"
        ]
      ) assert.isTrue(seen.has(tag), tag)
      for (const event of events) {
        const text = yield* Schema.encode(wire)(event)
        const back = yield* Schema.decode(wire)(text)
        assert.deepStrictEqual(plain(back), plain(event), event._tag)
        assert.strictEqual(back._tag, event._tag)
        assert.isTrue(Schema.is(ChatEvent)(event), event._tag)
      }
      const other = events.find((event) => event._tag === "Other")
      assert.deepStrictEqual(other?._tag === "Other" && other.event.type === "unknown" ? other.event.raw : undefined, {
        type: "something_new",
        detail: { deep: [1, null] }
      })
      const done = events.at(-1)
      if (done?._tag !== "Done") return assert.fail(done?._tag)
      const reply = yield* Schema.decode(Schema.parseJson(Reply))(
        yield* Schema.encode(Schema.parseJson(Reply))(done.reply)
      )
      assert.deepStrictEqual(plain(reply), plain(done.reply))
    }).pipe(Effect.provide(DustTest.layer({
      agents: {
        helper: [
          DustTest.think("Hm. "),
          DustTest.text("Let me see. "),
          DustTest.unknownEvent({ type: "something_new", detail: { deep: [1, null] } }),
          DustTest.tool({ name: "search", inputs: { q: "x" }, progress: [{ label: "looks" }], output: "found" }),
          DustTest.approval({ name: "send_email", inputs: { to: "ada" }, stake: "high" }),
          DustTest.question({ question: "Which?", options: ["This"] }),
          DustTest.text("Done.")
        ]
      }
    }))))

  it.effect("a missing account or file comes back, too", () =>
    Effect.gen(function*() {
      const event: ChatEvent = {
        _tag: "AuthenticationNeeded",
        conversationId: "c",
        messageId: "m",
        actionId: "a",
        tool: {
          toolName: "search",
          mcpServerName: "drive",
          mcpServerDisplayName: null,
          mcpServerId: null,
          agentName: null,
          icon: null
        },
        account: { mcpServerId: "s", provider: "google_drive", toolName: "search", message: null, scope: null },
        file: null
      }
      assert.deepStrictEqual(yield* Schema.decode(wire)(yield* Schema.encode(wire)(event)), event)
    }))

  it("anything else is refused", () => {
    for (const other of [null, {}, { _tag: "TextDelta" }, { _tag: "Done", reply: {} }, { _tag: "New" }]) {
      assert.strictEqual(Schema.decodeUnknownEither(ChatEvent)(other)._tag, "Left", JSON.stringify(other))
    }
  })
})
