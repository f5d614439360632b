/** How a run ends for `Chat`: the last events of a reply, and the error of a failure, as a whole. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as Fixtures from "effect-dust/Fixtures"
import type { AgentMessage } from "effect-dust/Message"
import { conclude } from "../../src/internal/chat/reply.ts"
import type { Run } from "../../src/internal/chat/run.ts"
import { whole } from "../support/errors.ts"

const question = Fixtures.userMessage({ sId: "u", content: "My card is 4111 1111" })
const run: Run = {
  workspaceId: "w",
  conversationId: "c",
  message: question,
  messageId: "a",
  agent: undefined,
  lastEventId: undefined,
  resumed: false
}

const file = {
  fileId: "f",
  title: "T",
  contentType: "text/plain",
  filePath: null,
  snippet: null,
  hidden: null,
  isInProjectContext: null
}

/** The end of a run whose message is this one, after the text `shown`; and the pages that it read. */
const end = (
  change: Partial<AgentMessage>,
  shown: string,
  more: Partial<Run> = {},
  others: ReadonlyArray<AgentMessage> = []
) => {
  const pages: Array<unknown> = []
  const message = Fixtures.agentMessage({ sId: "a", content: "Hi", ...change })
  return Effect.gen(function*() {
    const conversations = yield* Conversations
    const ended = yield* Effect.either(conclude(conversations, "send", { ...run, ...more }, message, shown, "9-0"))
    return Either.isLeft(ended)
      ? { error: whole(ended.left), pages }
      : { events: ended.right, message, pages }
  }).pipe(Effect.provide(Layer.mock(Conversations, {
    pageMessages: (options) => {
      pages.push(options)
      return Effect.succeed({ messages: [question, message, ...others], hasMore: false, lastValue: null })
    }
  })))
}

describe("a reply", () => {
  it.effect("has everything that the message has", () =>
    Effect.gen(function*() {
      const actions = [
        Fixtures.agentAction({
          output: [{ resource: { ref: "x" } }],
          generatedFiles: [{ ...file, fileId: "f" }, { ...file, fileId: "g" }]
        }),
        Fixtures.agentAction({ output: null, generatedFiles: [{ ...file, fileId: "h" }] })
      ]
      const { events, message, pages } = yield* end({ actions, chainOfThought: "Hm." }, "Hi")
      assert.deepStrictEqual<unknown>(events, [{
        _tag: "Done",
        eventId: "9-0",
        reply: {
          text: "Hi",
          conversationId: "c",
          message: question,
          agentMessage: message,
          actions,
          chainOfThought: "Hm.",
          citations: [{ ref: "x", title: null, url: null, provider: null }],
          generatedFiles: ["f", "g", "h"].map((fileId) => ({ ...file, fileId })),
          handedOverTo: null
        }
      }])
      assert.deepStrictEqual(pages, [])
    }))

  const rows: ReadonlyArray<readonly [string, Partial<AgentMessage>, string, Partial<Run>, ReadonlyArray<string>]> = [
    ["that was shown", {}, "Hi", {}, ["Done"]],
    ["of which another text was shown", {}, "Hi ", {}, ["Reset Hi", "Done"]],
    ["of which a part was shown to another consumer", {}, "Hi", { lastEventId: "1-0" }, ["Reset Hi", "Done"]],
    ["without text", { content: null }, "", {}, ["Done"]],
    ["whose text was taken back", { content: null }, "x", {}, ["Reset ", "Done"]],
    ["that is not final", { status: "created" }, "Hi", {}, ["Done"]]
  ]
  it.effect.each(rows)("%s", ([, change, shown, more, expected]) =>
    Effect.gen(function*() {
      const { events } = yield* end(change, shown, more)
      assert.deepStrictEqual(
        events?.map((event) => event._tag === "Reset" ? `Reset ${event.text}` : event._tag),
        expected
      )
      const [reset] = events ?? []
      if (reset?._tag === "Reset") {
        assert.deepStrictEqual(reset, { _tag: "Reset", eventId: undefined, text: reset.text })
      }
    }))

  it.effect("names the message of the agent that took over, if it has no text itself", () =>
    Effect.gen(function*() {
      const others = [
        Fixtures.agentMessage({ sId: "x", parentAgentMessageId: "other" }),
        Fixtures.agentMessage({ sId: "b", parentAgentMessageId: "a" }),
        Fixtures.agentMessage({ sId: "d", parentAgentMessageId: "a" })
      ]
      for (const [content, expected, reads] of [["Hi", null, 0], [" ", "b", 1], [null, "b", 1]] as const) {
        const { events, pages } = yield* end({ content }, content ?? "", {}, others)
        const done = events?.at(-1)
        assert.strictEqual(done?._tag === "Done" ? done.reply.handedOverTo : undefined, expected)
        assert.deepStrictEqual(pages, Array.from({ length: reads }, () => ({ conversationId: "c", limit: 20 })))
      }
      const { events } = yield* end({ content: null }, "", {}, others.slice(0, 1))
      assert.deepInclude(events?.at(-1), { _tag: "Done" })
    }))
})

describe("a run that failed", () => {
  const agent = Fixtures.agent({ sId: "helper", name: "Helper" })
  const rows: ReadonlyArray<readonly [string, Partial<AgentMessage>, Partial<Run>, object]> = [
    [
      "with everything",
      {
        status: "failed",
        configuration: agent,
        error: { code: "x", message: "It is\n  down ", metadata: { category: "retryable" } }
      },
      {},
      {
        message: "Chat.send: the agent Helper failed: It is down (x)",
        details: { code: "x", message: "It is\n  down ", metadata: { category: "retryable" } },
        type: "x",
        code: "x",
        category: "retryable",
        agentId: "helper"
      }
    ],
    [
      "with what the question said",
      {
        status: "failed",
        configuration: agent,
        error: { code: "x", message: "Refused: My card is 4111 1111", metadata: { category: 1 } }
      },
      {},
      {
        message: "Chat.send: the agent Helper failed: Refused: <redacted> (x)",
        details: { code: "x", message: "Refused: <redacted>", metadata: { category: 1 } },
        type: "x",
        code: "x",
        category: null,
        agentId: "helper"
      }
    ],
    ["without a reason", { status: "failed", configuration: null, error: null }, { message: undefined }, {
      message: "Chat.send: the agent failed: Dust gave no reason (unknown_error)",
      details: { status: "failed" },
      type: "unknown_error",
      code: "unknown_error",
      category: null,
      agentId: null
    }],
    ["because it was cancelled", { status: "cancelled", configuration: agent }, {}, {
      message: "Chat.send: the agent Helper was cancelled",
      details: { status: "cancelled" },
      type: "cancelled",
      code: "cancelled",
      category: null,
      agentId: "helper"
    }]
  ]
  it.effect.each(rows)("%s", ([, change, more, expected]) =>
    Effect.gen(function*() {
      const { error, pages } = yield* end(change, "", more)
      assert.deepStrictEqual(error, {
        _tag: "DustAgentError",
        module: "Chat",
        method: "send",
        request: undefined,
        attempts: 1,
        ...expected
      })
      assert.deepStrictEqual(pages, [])
    }))
})
