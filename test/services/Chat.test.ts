import * as HttpBody from "@effect/platform/HttpBody"
import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  Clock,
  Context,
  Data,
  Deferred,
  type Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Option,
  Stream,
  TestClock,
  Tracer
} from "effect"
import * as Approvals from "effect-dust/Approvals"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import { Conversations } from "effect-dust/Conversations"
import type { DustAPIError } from "effect-dust/DustAPIError"
import { DustClient, withCredential, withOptions } from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as Telemetry from "effect-dust/Telemetry"
import * as fc from "effect/FastCheck"
import { seed } from "../support/seed.ts"
import { virtualClock } from "../support/virtual.ts"

const { approval, faults, question, rerun, silence, text, think, tool } = DustTest

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))
const agents = (all: DustTest.Options["agents"], more?: DustTest.Options & DustTest.ClientOptions) =>
  local({ ...more, agents: all })

const timeless = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.suspend(() => Effect.withClock(effect, virtualClock())))

const post = { method: "POST", path: "/assistant/conversations/:conversationId/messages" } as const
const create = { method: "POST", path: "/assistant/conversations" } as const
const cancelPath = "/assistant/conversations/:conversationId/cancel"
const eventsPath = /\/api\/sse\/.*\/messages\/[^/]+\/events$/

/** What a user interface has in the end: append deltas, replace on a reset. */
const fold = (events: Iterable<ChatEvent>) => {
  let shown = ""
  for (const event of events) {
    if (event._tag === "TextDelta") shown += event.text
    else if (event._tag === "Reset") shown = event.text
  }
  return shown
}
const tags = (events: Iterable<ChatEvent>) => Array.from(events, (event) => event._tag)
const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

/** Runs in the background while time passes. */
const passing = (time: Duration.DurationInput) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

/** The only agent message there is. */
const theRun = Effect.flatMap(DustTest.DustTest, (dust) => Effect.map(dust.agentMessages(), (all) => all[0]!))

class Refused extends Data.TaggedError("Refused")<{ readonly why: string }> {}
class Judge extends Context.Tag("test/Judge")<Judge, { readonly decide: (tool: string) => Approvals.Decision }>() {}

describe("Chat", () => {
  it.effect("send: returns the whole answer", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const reply = yield* chat.send({ agent: "helper", message: "Hello", title: "Greetings" })
      assert.strictEqual(reply.text, "It is so [ab1].")
      assert.strictEqual(reply.message?.content, "Hello")
      assert.strictEqual(reply.agentMessage.status, "succeeded")
      assert.strictEqual(reply.chainOfThought, "Let me think. ")
      assert.deepStrictEqual(reply.actions.map(({ status, toolName }) => [toolName, status]), [["search", "succeeded"]])
      assert.deepStrictEqual(reply.actions[0]!.params, { query: "so" })
      assert.deepStrictEqual(reply.citations, [
        { ref: "ab1", title: "So", url: "https://so.test", provider: "notion" },
        { ref: "cd2", title: "From a sub-agent", url: "https://sub.test", provider: "slack" }
      ])
      assert.deepStrictEqual(reply.generatedFiles.map(({ fileId, title }) => [fileId, title]), [["fil_1", "so.txt"]])
      const dust = yield* DustTest.DustTest
      const conversation = yield* dust.conversation(reply.conversationId)
      assert.strictEqual(conversation.title, "Greetings")
      assert.lengthOf(yield* dust.userMessages(), 1)
      assert.lengthOf(yield* dust.openConnections, 0)
      // A run that has ended is not cancelled.
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(agents({
      helper: [
        think("Let me think. "),
        tool({
          name: "search",
          inputs: { query: "so" },
          output: [
            {
              type: "resource",
              resource: {
                mimeType: "application/vnd.dust.tool-output.data-source-search-result",
                uri: "https://so.test",
                text: "So",
                ref: "ab1",
                source: { provider: "notion" }
              }
            },
            {
              type: "resource",
              resource: {
                mimeType: "application/vnd.dust.tool-output.run-agent-result",
                text: "…",
                refs: { cd2: { title: "From a sub-agent", href: "https://sub.test", provider: "slack" } }
              }
            }
          ],
          files: [{ fileId: "fil_1", title: "so.txt", contentType: "text/plain" }]
        }),
        text("It is so [ab1].")
      ]
    })))

  it.effect("stream: emits the events for a user interface in order", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
      assert.deepStrictEqual(tags(events), [
        "Started",
        "Thinking",
        "ToolAnnounced",
        "ToolStarted",
        "ToolProgress",
        "ToolFinished",
        "TextDelta",
        "TextDelta",
        "Other",
        "Done"
      ])
      const [started, , announced, began, progress, finished] = events
      assert.isTrue(started!._tag === "Started" && started.message?.content === "Hello" && started.messageId !== "")
      assert.isTrue(announced!._tag === "ToolAnnounced" && announced.toolName.endsWith("search"))
      assert.isTrue(began!._tag === "ToolStarted" && began.action.params["q"] === 1)
      assert.isTrue(progress!._tag === "ToolProgress" && progress.label === "half way" && progress.progress === 1)
      assert.isTrue(finished!._tag === "ToolFinished" && finished.action.output?.[0]?.["text"] === "found")
      const done = events[events.length - 1]!
      assert.isTrue(done._tag === "Done" && done.reply.text === "Hello you" && done.eventId !== undefined)
      assert.strictEqual(fold(events), "Hello you")
    }).pipe(agents({
      helper: [
        think("Hm."),
        tool({ name: "search", inputs: { q: 1 }, progress: [{ label: "half way" }], output: "found" }),
        text("Hello you"),
        DustTest.contextPruned
      ]
    })))

  it.effect("agent: accepts an id, a name or @name; fails before sending if the agent does not exist", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      for (const agent of ["helper", { name: "The Helper" }, "@The Helper"] as const) {
        assert.strictEqual((yield* chat.send({ agent, message: "Hello" })).text, "Here")
      }
      const before = (yield* dust.conversations).length
      const named = yield* Effect.flip(chat.send({ agent: { name: "Nobody" }, message: "Hello" }))
      assert.strictEqual(named._tag, "DustNotFoundError")
      for (
        const [field, options] of [
          ["agent", { agent: " ", message: "Hello" }],
          ["message", { agent: "helper", message: " " }],
          ["silence", { agent: "helper", message: "Hello", silence: "soon" as "1 seconds" }]
        ] as const
      ) {
        const error = yield* Effect.flip(chat.send(options))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.include(error.message, field)
      }
      assert.lengthOf(yield* dust.conversations, before)
      const unknown = yield* Effect.flip(chat.send({ agent: "nobody", message: "Hello" }))
      assert.oneOf(unknown._tag, ["DustNotFoundError", "DustBadRequestError"])
    }).pipe(agents({ helper: { name: "The Helper", script: "Here" } })))

  it.effect("attachments: sent with a new and an existing conversation", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const attachments = [{ title: "Notes", content: "the sky is green", contentType: "text/plain" }]
      const first = yield* chat.send({ agent: "reader", message: "What?", attachments })
      assert.strictEqual(first.text, "the sky is green")
      const second = yield* chat.send({
        agent: "reader",
        message: "And?",
        conversationId: first.conversationId,
        attachments: [{ title: "More", content: "grass is blue", contentType: "text/plain" }]
      })
      assert.strictEqual(second.text, "the sky is green, grass is blue")
      assert.strictEqual(second.conversationId, first.conversationId)
    }).pipe(agents({ reader: ({ attachments }) => attachments.map(({ content }) => content).join(", ") })))

  it.effect("several agents: returns answers in the order of the agents; the first failure stops the others", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const replies = yield* chat.sendToAll({ agents: ["slow", "quick"], message: "Hello" }).pipe(passing("1 minute"))
      assert.deepStrictEqual(replies.map((reply) => reply.text), ["slow", "quick"])
      assert.notStrictEqual(replies[0]!.conversationId, replies[1]!.conversationId)
      const error = yield* Effect.flip(chat.sendToAll({ agents: ["endless", "failing"], message: "Hello" })).pipe(
        passing("1 minute")
      )
      assert.strictEqual(error._tag, "DustAgentError")
      const runs = (yield* dust.agentMessages()).map(({ run }) => run)
      assert.deepStrictEqual(runs.toSorted(), ["cancelled", "error", "success", "success"])
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(agents({
      slow: [silence("30 seconds"), text("slow")],
      quick: "quick",
      endless: [silence()],
      failing: [silence("1 second"), DustTest.fail()]
    })))

  it.effect("resume: another process continues where the first one stopped", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const stream = chat.stream({ agent: "helper", message: "Hello", onInterrupt: "leave" })
      const first = yield* collect(Stream.take(stream, 4))
      const started = first[0]!
      const last = first[3]!
      assert.isTrue(started._tag === "Started" && last._tag === "TextDelta")
      if (started._tag !== "Started" || last._tag !== "TextDelta") return
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
      const rest = yield* collect(chat.resume({
        conversationId: started.conversationId,
        messageId: started.messageId,
        lastEventId: last.eventId
      })).pipe(passing("2 minutes"))
      const done = rest[rest.length - 1]!
      assert.isTrue(done._tag === "Done" && done.reply.text === "a b c d e f" && done.reply.message === undefined)
      // Put together in the interface that has shown the first part.
      assert.strictEqual(fold([...first, ...rest]), "a b c d e f")
      const deltas = [...first, ...rest].flatMap((event) => event._tag === "TextDelta" ? [event.text] : [])
      assert.deepStrictEqual(deltas, ["a ", "b ", "c ", "d ", "e ", "f"])
      // Much later, with nothing left in the history.
      yield* dust.expireHistory(started.messageId)
      const late = yield* collect(chat.resume(started)).pipe(passing("10 seconds"))
      assert.deepStrictEqual(tags(late), ["Started", "Reset", "Done"])
      assert.strictEqual(fold(late), "a b c d e f")
      assert.strictEqual((yield* theRun).run, "success")
    }).pipe(agents({ helper: [text("a b c "), silence("1 minute"), text("d e f")] })))

  it.effect("resume: stopping the resumed stream cancels the run", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const [started] = yield* collect(
        Stream.take(chat.stream({ agent: "helper", message: "Hello", onInterrupt: "leave" }), 1)
      )
      assert.isTrue(started!._tag === "Started")
      if (started?._tag !== "Started") return
      assert.strictEqual((yield* theRun).run, "running")
      yield* Stream.runDrain(Stream.take(chat.resume(started), 2))
      yield* dust.waitForRun(started.messageId)
      assert.strictEqual((yield* theRun).run, "cancelled")
    }).pipe(agents({ helper: [text("a"), silence()] })))

  it.effect("resume: onInterrupt \"leave\" does not cancel the run", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const [started] = yield* collect(
        Stream.take(chat.stream({ agent: "helper", message: "Hello", onInterrupt: "leave" }), 1)
      )
      if (started?._tag !== "Started") return assert.fail(started?._tag)
      yield* Stream.runDrain(Stream.take(chat.resume({ ...started, onInterrupt: "leave" }), 2))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* theRun).run, "success")
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(agents({ helper: [text("a"), silence("1 minute")] })))

  it.effect("send: validates the message before creating a conversation", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      for (
        const [field, more] of [
          ["message", { message: " " }],
          ["agent", { agent: " ", message: "Go" }],
          ["context.timezone", { message: "Go", context: { timezone: "Mars/Base" } }],
          ["context.username", { message: "Go", context: { username: "x".repeat(256) } }]
        ] as const
      ) {
        const error = yield* Effect.flip(chat.send({ agent: "helper", ...more }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.include(error.message, field)
        assert.strictEqual(yield* dust.countRequests(), 0)
      }
    }).pipe(agents({ helper: "x" })))

  it.effect("retries, and edits of unanswered messages, have separate answers", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const conversations = yield* Conversations
      const first = yield* chat.send({ agent: "helper", message: "one" })
      assert.strictEqual(first.text, "one, 0")
      const { conversationId } = first
      const again = yield* conversations.retryMessage({ conversationId, messageId: first.agentMessage.sId })
      assert.notStrictEqual(again.sId, first.agentMessage.sId)
      const answer = yield* conversations.answer({ conversationId, messageId: again.sId })
      assert.deepStrictEqual([answer.content, answer.version], ["one, 1", 1])
      const alone = yield* conversations.createMessage({ conversationId, content: "nobody is asked" })
      const edited = yield* conversations.editMessage({
        conversationId,
        messageId: alone.message.sId,
        content: "two",
        mentions: [{ configurationId: "helper" }]
      })
      const answers = yield* conversations.answers({ conversationId, messageId: edited.message.sId })
      assert.lengthOf(answers, 1)
      assert.match(answers[0]!.content ?? "", /^two/)
      const last = yield* Stream.runLast(chat.resume({ conversationId, messageId: answers[0]!.sId }))
      assert.isTrue(Option.isSome(last) && last.value._tag === "Done" && last.value.reply.text === answers[0]!.content)
    }).pipe(agents({ helper: ({ message, version }) => `${message}, ${version}` })))

  it.effect("a message behind a running answer waits for its turn (steering)", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const first = yield* Effect.fork(chat.send({ agent: "helper", message: "one", conversationId }))
      yield* TestClock.adjust("5 seconds")
      const second = yield* Effect.fork(chat.send({ agent: "helper", message: "two", conversationId }))
      yield* TestClock.adjust("5 minutes")
      const reply = yield* Fiber.join(second)
      assert.strictEqual(reply.message?.content, "two")
      assert.include(reply.text, "two")
      // The first run was stopped between two steps, with its text so far.
      assert.strictEqual((yield* Fiber.join(first)).agentMessage.status, "succeeded")
      const dust = yield* DustTest.DustTest
      assert.lengthOf(yield* dust.userMessages(), 2)
      assert.lengthOf(yield* dust.agentMessages(), 2)
    }).pipe(agents({
      helper: ({ message }) => [text(`${message} `), silence("30 seconds"), text("more"), silence("30 seconds")]
    }, { credential: "userToken" })))
})

describe("The server's final text wins", () => {
  it("resume: another process ends with the final text, wherever the first one stopped", () =>
    timeless(
      Effect.gen(function*() {
        const chat = yield* Chat
        const apply = (shown: string, event: ChatEvent) =>
          event._tag === "TextDelta" ? shown + event.text : event._tag === "Reset" ? event.text : shown
        for (const agent of ["tool", "rerun"]) {
          let cuts = 0
          for (let cut = 2;; cut++) {
            const before = yield* collect(
              Stream.take(chat.stream({ agent, message: "x", onInterrupt: "leave" }), cut)
            )
            const started = before[0]
            assert.strictEqual(started?._tag, "Started")
            if (started?._tag !== "Started" || before.at(-1)?._tag === "Done") break
            cuts++
            const lastEventId = before.findLast((event) => event.eventId !== undefined)?.eventId
            const after = yield* collect(chat.resume({ ...started, lastEventId }))
            const last = after.at(-1)
            assert.strictEqual(last?._tag, "Done")
            assert.strictEqual(
              after.reduce(apply, before.reduce(apply, "")),
              last?._tag === "Done" ? last.reply.text : "",
              `${agent}, after ${cut} events`
            )
          }
          assert.isAbove(cuts, 8)
        }
      }).pipe(agents({
        tool: [
          text("one two three four ", { pace: "3 millis" }),
          tool({ name: "s", output: "x" }),
          text("five six seven eight nine", { pace: "3 millis" })
        ],
        rerun: [text("five six seven ", { pace: "3 millis" }), rerun, text("eight nine", { pace: "3 millis" })]
      }))
    ))

  it.effect("resume: emits no Reset for a repeated step that began before the cursor", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const step = (text: string, step: number) =>
        DustTest.unknownEvent({ type: "generation_tokens", text, classification: "tokens", step })
      const dust = yield* DustTest.DustTest
      yield* dust.setAgent("helper", [
        step("One ", 0),
        silence("1 minute"),
        step("two ", 1),
        step("TWO ", 0),
        silence("1 minute"),
        text("Three")
      ])
      const [started, delta] = yield* collect(
        Stream.take(chat.stream({ agent: "helper", message: "Hello", onInterrupt: "leave" }), 2)
      )
      if (started?._tag !== "Started" || delta?._tag !== "TextDelta") return assert.fail(delta?._tag)
      const rest = yield* collect(chat.resume({ ...started, lastEventId: delta.eventId })).pipe(passing("5 minutes"))
      const done = rest.at(-1)
      if (done?._tag !== "Done") return assert.fail(done?._tag)
      assert.deepStrictEqual(rest.flatMap((event) => event._tag === "Reset" ? [event.text] : []), [done.reply.text])
    }).pipe(agents({ helper: "" })))

  it.effect("a step that is run again with the same number and the same text is put right by the final text", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
      assert.strictEqual(events.at(-1)?._tag, "Done")
      assert.strictEqual(fold(events), "Hello wonderful world, how are you today?")
      assert.deepStrictEqual(
        events.flatMap((event) => event._tag === "Reset" ? [event.text] : []),
        ["Hello wonderful world, how are you today?"]
      )
      // Nothing marks the restart, and printed text cannot be withdrawn, so nothing is added.
      const shown = yield* Stream.mkString(chat.streamText({ agent: "helper", message: "Hello" }))
      assert.strictEqual(shown, "Hello wonderful world, how are you today?".repeat(2))
    }).pipe(agents({ helper: [text("Hello wonderful world, how are you today?"), rerun] })))

  it.effect("a text that only seems to begin again loses nothing and is not repeated", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const content = "One potato, two potato, three potato, four. One potato, two potatoes more. One potato"
      const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
      assert.notInclude(tags(events), "Reset")
      assert.strictEqual(events.flatMap((event) => event._tag === "TextDelta" ? [event.text] : []).join(""), content)
      assert.strictEqual(yield* Stream.mkString(chat.streamText({ agent: "helper", message: "Hello" })), content)
    }).pipe(agents({
      helper: "One potato, two potato, three potato, four. One potato, two potatoes more. One potato"
    })))

  it.effect("a step that is run again after its tools, with another text", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
      assert.strictEqual(fold(events), "Second try")
      const shown = yield* Stream.mkString(chat.streamText({ agent: "helper", message: "Hello" }))
      assert.isTrue(shown.endsWith("Second try"), shown)
      assert.strictEqual(shown.split("Second try").length, 2)
    }).pipe(agents({
      helper: [
        DustTest.unknownEvent({ type: "generation_tokens", text: "First try", classification: "tokens", step: 0 }),
        DustTest.unknownEvent({ type: "tool_call_started", toolName: "x", step: 0 }),
        text("Second try")
      ]
    })))

  it.effect("text before tools: the whole of it is shown, and the answer is the last part", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const reply = yield* chat.send({ agent: "helper", message: "Hello" })
      assert.strictEqual(reply.text, "Found it.")
      const shown = yield* Stream.mkString(chat.streamText({ agent: "helper", message: "Hello" }))
      assert.strictEqual(shown, "Let me look. Found it.")
      const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
      assert.strictEqual(fold(events), "Found it.")
    }).pipe(agents({ helper: [text("Let me look. "), tool({ name: "search" }), text("Found it.")] })))

  const said = (content: string, step: number | undefined) =>
    DustTest.unknownEvent({ type: "generation_tokens", text: content, classification: "tokens", step })
  const called = (step: number | undefined) => DustTest.unknownEvent({ type: "tool_call_started", toolName: "x", step })
  const used = (step: number) =>
    DustTest.unknownEvent({ type: "tool_params", action: { sId: "act_1", toolName: "x" }, step })
  const answered = (...tokens: ReadonlyArray<string>) => text("", { tokens })
  const again = "One potato, two potato, three"

  const told: ReadonlyArray<readonly [string, ReadonlyArray<DustTest.Step>, ReadonlyArray<string>]> = [
    [
      "not by text that resembles what came before",
      [said(again, 0), said(" four. ", 0), said(again, 0), answered(again, " four")],
      [`+${again}`, "+ four. ", `+${again}`, `+${again}`, "+ four", `=${again} four`]
    ],
    [
      "an earlier step, after text that resembles it",
      [said(again, 0), said("One ", 0), said("more", 1), answered("End")],
      [`+${again}`, "+One ", "+more", "=", "+End"]
    ],
    ["text after the tools of its step", [
      said("First ", 0),
      called(0),
      answered("Second ", "try")
    ], ["+First ", "ToolAnnounced", "=", "+Second ", "+try"]],
    ["text after a tool that was not announced", [
      said("First ", 0),
      used(0),
      answered("Second ", "try")
    ], ["+First ", "ToolStarted", "=", "+Second ", "+try"]],
    ["nothing, where only tools were seen", [called(0), called(0), answered("Hi")], [
      "ToolAnnounced",
      "ToolAnnounced",
      "+Hi"
    ]],
    ["an earlier step, and what was before it stays", [
      said("Let me look. ", 0),
      said("Found ", 1),
      said("Well, ", 2),
      said("It is ", 1),
      said("here", 1),
      answered("End")
    ], ["+Let me look. ", "+Found ", "+Well, ", "=Let me look. ", "+It is ", "+here", "=", "+End"]],
    ["nothing, where no step is told", [
      said("A ", undefined),
      called(undefined),
      said("B ", undefined),
      said("", undefined),
      answered("End")
    ], ["+A ", "ToolAnnounced", "+B ", "+End", "=End"]]
  ]

  it.effect.each(told)(
    "the text is replaced by what shows that a step is run again: %s",
    ([, script, expected]) =>
      Effect.gen(function*() {
        const chat = yield* Chat
        const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
        assert.deepStrictEqual(
          events.slice(1, -1).map((event) =>
            event._tag === "TextDelta" ? `+${event.text}` : event._tag === "Reset" ? `=${event.text}` : event._tag
          ),
          expected
        )
      }).pipe(agents({ helper: script }))
  )

  it.effect("streamText: after a gap in the events, the whole final text follows", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const parts: Array<string> = []
      yield* dust.fault({ path: eventsPath, fault: faults.cut(300), times: 1 })
      yield* dust.fault({ path: eventsPath, fault: faults.resetBefore() })
      const fiber = yield* chat.streamText({ agent: "helper", message: "Hello" }).pipe(
        Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
        Effect.fork
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(parts.join(""), "One ")
      yield* dust.expireHistory((yield* theRun).sId)
      yield* dust.clearFaults
      yield* TestClock.adjust("3 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual(parts.join(""), "One three four\n\nOne two three four")
    }).pipe(agents({ helper: [text("One "), text("two "), silence("95 seconds"), text("three four")] })))

  it("whatever happens on the way, the interface and the terminal end with exactly the final text", () => {
    const words = fc.array(fc.constantFrom("a ", "b ", "Hello ", "wonderful world ", "é😀 ", "aa", "\n"), {
      minLength: 0,
      maxLength: 12
    })
    const raw = (content: string, step: number) =>
      DustTest.unknownEvent({ type: "generation_tokens", text: content, classification: "tokens", step })
    const step = fc.oneof(
      { weight: 4, arbitrary: words.map((tokens): DustTest.Step => text("", { tokens })) },
      fc.constant(rerun),
      fc.constant(tool({ name: "search", progress: [{ label: "x" }] })),
      fc.constant(think("Hm. ")),
      // Text that the final message does not have: of a run that broke down.
      fc.tuple(fc.constantFrom("a ", "Hello ", "ghost "), fc.integer({ min: 0, max: 3 })).map(([content, at]) =>
        raw(content, at)
      )
    )
    return fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.integer({ min: 1, max: 4_000 }), (script, cut) =>
        timeless(
          Effect.gen(function*() {
            const chat = yield* Chat
            const dust = yield* DustTest.DustTest
            const events = yield* collect(chat.stream({ agent: "helper", message: "Hello" }))
            const done = events[events.length - 1]!
            assert.isTrue(done._tag === "Done")
            if (done._tag !== "Done") return
            const content = (yield* theRun).content ?? ""
            assert.strictEqual(done.reply.text, content)
            assert.strictEqual(fold(events), content)
            yield* dust.fault({ path: eventsPath, nth: 1, fault: faults.cut(cut) })
            const shown = yield* Stream.mkString(chat.streamText({ agent: "helper", message: "Hello" }))
            // White space at the end is not a reason to print the whole text again.
            assert.isTrue(shown.trimEnd().endsWith(content.trimEnd()), JSON.stringify({ shown, content }))
          }).pipe(agents({ helper: script }))
        )),
      { numRuns: 150, seed }
    )
  }, 120_000)
})

describe("People in the loop", () => {
  const deploy = (more: Partial<DustTest.ApprovalOptions> = {}) =>
    approval({
      name: "deploy",
      server: "ops",
      inputs: { to: "production" },
      stake: "high",
      onResult: ({ approved }) => (approved ? "Deployed" : "Not deployed"),
      ...more
    })

  it.effect("a handler decides, with the tool, its input and its stake", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const asked: Array<unknown> = []
      for (const [decision, expected] of [["approved", "Deployed"], ["rejected", "Not deployed"]] as const) {
        const reply = yield* chat.send({
          agent: "helper",
          message: "Go",
          onApproval: ({ inputs, stake, tool }) =>
            Effect.sync(() => {
              asked.push([tool.toolName, tool.mcpServerName, inputs, stake])
              return decision
            })
        })
        assert.strictEqual(reply.text, expected)
      }
      const once = ["deploy", "ops", { to: "production" }, "high"]
      assert.deepStrictEqual(asked, [once, once])
    }).pipe(agents({ helper: [deploy()] })))

  it.effect("always approved: does not ask a second time", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      let asked = 0
      const onApproval = () => Effect.sync(() => (asked++, "always_approved" as const))
      for (let i = 0; i < 2; i++) {
        assert.strictEqual((yield* chat.send({ agent: "helper", message: "Go", onApproval })).text, "Deployed")
      }
      assert.strictEqual(asked, 1)
    }).pipe(agents({ helper: [deploy({ stake: "low" })] }, { credential: "userToken" })))

  it.effect("ready policies", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const with_ = (onApproval: Approvals.ApprovalHandler) =>
        Effect.map(chat.send({ agent: "helper", message: "Go", onApproval }), (reply) => reply.text)
      assert.strictEqual(yield* with_(Approvals.approveAll), "Deployed")
      assert.strictEqual(yield* with_(Approvals.rejectAll), "Not deployed")
      assert.strictEqual(yield* with_(Approvals.byStake({ high: "approved" })), "Deployed")
      assert.strictEqual(yield* with_(Approvals.byStake({ low: "approved" })), "Not deployed")
      assert.strictEqual(yield* with_(Approvals.byTool({ deploy: "approved" })), "Deployed")
      assert.strictEqual(yield* with_(Approvals.byTool({ other: "approved" })), "Not deployed")
      assert.strictEqual(yield* with_(Approvals.byTool({ other: "rejected" }, Approvals.approveAll)), "Deployed")
      // A name that every object knows is not one that is listed.
      const odd = yield* chat.send({ agent: "odd", message: "Go", onApproval: Approvals.byTool({}) })
      assert.strictEqual(odd.text, "Not deployed")
    }).pipe(agents({ helper: [deploy()], odd: [deploy({ name: "constructor" })] })))

  it.effect("handler: decides concurrent tool calls concurrently", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const reply = yield* chat.send({
        agent: "helper",
        message: "Go",
        onApproval: () => Effect.as(Effect.sleep("1 minute"), "approved" as const)
      }).pipe(passing("70 seconds"))
      assert.lengthOf(reply.actions, 3)
    }).pipe(agents({
      helper: [
        DustTest.parallel([
          deploy({ onResult: undefined }),
          deploy({ onResult: undefined }),
          deploy({ onResult: undefined })
        ]),
        text("Done")
      ]
    })))

  it.effect("handler: its failure fails the answer at once and cancels the run", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(chat.send({
        agent: "helper",
        message: "Go",
        onApproval: ({ tool }) => Effect.fail(new Refused({ why: tool.toolName }))
      }))
      assert.deepStrictEqual([error._tag, error._tag === "Refused" ? error.why : ""], ["Refused", "deploy"])
      yield* dust.waitForRun((yield* theRun).sId)
      assert.strictEqual((yield* theRun).run, "cancelled")
      assert.lengthOf(yield* dust.openConnections, 0)
      const exit = yield* Effect.exit(
        chat.send({ agent: "helper", message: "Go", onApproval: () => Effect.die("bug") })
      )
      assert.isTrue(Exit.isFailure(exit) && exit.cause._tag !== "Fail")
    }).pipe(agents({ helper: [deploy()] })))

  it.effect("handler: may require services", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const reply = yield* chat.send({
        agent: "helper",
        message: "Go",
        onApproval: ({ tool }) => Effect.map(Judge, (judge) => judge.decide(tool.toolName))
      }).pipe(Effect.provideService(Judge, { decide: (name) => (name === "deploy" ? "approved" : "rejected") }))
      assert.strictEqual(reply.text, "Deployed")
    }).pipe(agents({ helper: [deploy()] })))

  it.effect("no handler: waits for a decision made elsewhere, or fails with whenBlocked \"fail\"", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(collect(chat.stream({ agent: "helper", message: "Go" })))
      yield* TestClock.adjust("5 hours")
      const { blockedActionIds } = (yield* dust.conversations)[0]!
      yield* dust.resolveAction(blockedActionIds[0]!)
      yield* TestClock.adjust("1 minute")
      const events = yield* Fiber.join(fiber)
      assert.lengthOf(events.filter((event) => event._tag === "ApprovalNeeded"), 1)
      assert.strictEqual(fold(events), "Deployed")

      const seen: Array<ChatEvent> = []
      const error = yield* Effect.flip(Stream.runForEach(
        chat.stream({ agent: "helper", message: "Go", whenBlocked: "fail" }),
        (event) => Effect.sync(() => seen.push(event))
      ))
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "waiting_for_human")
      // The stream reported the approval before it failed.
      assert.strictEqual(tags(seen)[seen.length - 1], "ApprovalNeeded")
    }).pipe(agents({ helper: [deploy()] })))

  it("approval: after two hours, the answer still arrives when the tool has run", () =>
    timeless(
      Effect.gen(function*() {
        const chat = yield* Chat
        const start = yield* Clock.currentTimeMillis
        const reply = yield* chat.send({
          agent: "helper",
          message: "Go",
          onApproval: () => Effect.as(Effect.sleep("2 hours"), "approved" as const)
        })
        assert.strictEqual(reply.text, "Deployed")
        // By the clock of the test: no connection, limit or pause has to end first.
        assert.approximately((yield* Clock.currentTimeMillis) - start, 2 * 3_600_000, 1_000)
      }).pipe(agents({ helper: [deploy()] }))
    ))

  it.effect("a decision survives reconnections: asked once, answered once", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      let asked = 0
      const reply = yield* chat.send({
        agent: "helper",
        message: "Go",
        onApproval: () =>
          Effect.suspend(() => {
            asked++
            return Effect.as(Effect.sleep("10 minutes"), "approved" as const)
          })
      }).pipe(passing("11 minutes"))
      assert.strictEqual(reply.text, "Deployed")
      assert.strictEqual(asked, 1)
      assert.isAbove(yield* dust.countRequests({ path: eventsPath }), 3)
      assert.strictEqual(yield* dust.countRequests({ path: /validate-action$/ }), 1)
    }).pipe(agents({ helper: [deploy()] }, {
      faults: [{ path: eventsPath, nth: [2, 3, 4], fault: faults.cut(5) }]
    })))

  it.effect("approval: a day of waiting costs fewer than a hundred requests, and the run continues at once", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(chat.send({
        agent: "helper",
        message: "Go",
        onApproval: () => Effect.as(Effect.sleep("1 day"), "approved" as const)
      }))
      yield* TestClock.adjust("1 day")
      assert.isBelow(yield* dust.countRequests(), 100)
      assert.isAbove(yield* dust.countRequests({ path: /actions\/blocked$/ }), 20)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "Deployed")
    }).pipe(agents({ helper: [deploy()] })))

  it.effect("approval: a decision made elsewhere first causes no failure and withdraws the question", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      let interrupted = false
      const fiber = yield* Effect.fork(chat.send({
        agent: "helper",
        message: "Go",
        onApproval: () =>
          Effect.never.pipe(Effect.onInterrupt(() =>
            Effect.sync(() => {
              interrupted = true
            })
          ))
      }))
      yield* TestClock.adjust("1 minute")
      yield* dust.resolveAction((yield* dust.conversations)[0]!.blockedActionIds[0]!)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "Deployed")
      assert.isTrue(interrupted)
      // Answered while the answer from here is on its way.
      const late = yield* Effect.fork(chat.send({
        agent: "slow",
        message: "Go",
        onApproval: ({ actionId }) => Effect.as(Effect.orDie(dust.resolveAction(actionId)), "rejected" as const)
      }))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* Fiber.join(late)).text, "Deployed")
    }).pipe(agents({ helper: [deploy()], slow: [deploy({ duration: "1 minute" })] })))

  it.effect("a tool of a sub-agent is approved where it runs", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const where: Array<string> = []
      const reply = yield* chat.send({
        agent: "boss",
        message: "Go",
        onApproval: ({ conversationId }) =>
          Effect.sync(() => {
            where.push(conversationId)
            return "approved" as const
          })
      }).pipe(passing("1 minute"))
      assert.strictEqual(reply.text, "They say: Deployed")
      assert.lengthOf(where, 1)
      assert.notStrictEqual(where[0], reply.conversationId)
    }).pipe(agents({
      helper: [deploy()],
      boss: [DustTest.subAgent({ agent: "helper", query: "Go", onResult: ({ output }) => `They say: ${output}` })]
    })))

  it.effect("a sub-agent's request that comes as the progress of a tool is one for approval, asked once", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const asked: Array<unknown> = []
      const fiber = yield* Effect.fork(chat.send({
        agent: "boss",
        message: "Go",
        onApproval: (request) =>
          Effect.sync(() => {
            asked.push([
              request.conversationId,
              request.messageId,
              request.actionId,
              request.tool.toolName,
              request.stake
            ])
          }).pipe(Effect.zipRight(Effect.never))
      }))
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(asked, [["child", "child-message", "action", "deploy", "low"]])
    }).pipe(agents({
      boss: [
        ...["first", "again"].map(() =>
          DustTest.tool({
            name: "run_helper",
            progress: [{
              label: "Asking",
              output: {
                type: "tool_approval_bubble_up",
                configurationId: "helper",
                conversationId: "child",
                messageId: "child-message",
                actionId: "action",
                inputs: {},
                stake: "low",
                metadata: { toolName: "deploy", mcpServerName: "ops" }
              }
            }]
          })
        ),
        silence()
      ]
    })))

  it.effect("questions", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const reply = yield* chat.send({
        agent: "helper",
        message: "Go",
        onQuestion: ({ question }) =>
          Effect.succeed({ selectedOptions: [question.options.findIndex(({ label }) => label === "blue")] })
      })
      assert.strictEqual(reply.text, "Chosen: 1")
      const error = yield* Effect.flip(chat.send({ agent: "helper", message: "Go", whenBlocked: "fail" }))
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "waiting_for_human")
    }).pipe(agents({
      helper: [question({
        question: "Which colour?",
        options: ["red", "blue"],
        onAnswer: ({ selectedOptions }) => `Chosen: ${selectedOptions.join()}`
      })]
    })))

  it.effect("blocked: reports a missing account or file and waits until it is provided", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const seen: Array<ChatEvent> = []
      const fiber = yield* Effect.fork(Stream.runForEach(
        chat.stream({ agent: "helper", message: "Go", onApproval: Approvals.approveAll }),
        (event) => Effect.sync(() => seen.push(event))
      ))
      for (let i = 0; i < 2; i++) {
        yield* TestClock.adjust("3 minutes")
        yield* dust.resolveAction((yield* dust.conversations)[0]!.blockedActionIds[0]!)
      }
      yield* TestClock.adjust("3 minutes")
      yield* Fiber.join(fiber)
      const needed = seen.filter((event) => event._tag === "AuthenticationNeeded")
      assert.deepStrictEqual(needed.map(({ account, file }) => [account?.provider, file?.fileName]), [
        ["github", undefined],
        [undefined, "plan.pdf"]
      ])
      assert.strictEqual(fold(seen), "Done")
    }).pipe(agents({
      helper: [
        DustTest.authentication({ name: "issues", provider: "github" }),
        DustTest.fileAuthentication({ name: "read", fileId: "f", fileName: "plan.pdf" }),
        text("Done")
      ]
    })))
})

describe("The total limit", () => {
  const slow = {
    timeouts: { total: "5 seconds" },
    faults: [
      { ...create, fault: faults.delayHeaders("3 seconds") },
      { ...post, fault: faults.neverAnswer() }
    ]
  } satisfies DustTest.Options & DustTest.ClientOptions

  it.effect("create with a message, and the start of send: conversation and message have one limit together", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const conversations = yield* Conversations
      const calls: ReadonlyArray<Effect.Effect<unknown, DustAPIError>> = [
        conversations.create({ message: { content: "Hello", mentions: [{ configurationId: "helper" }] } }),
        chat.send({ agent: "helper", message: "Hello" })
      ]
      for (const call of calls) {
        const fiber = yield* Effect.fork(Effect.flip(call))
        yield* TestClock.adjust("4999 millis")
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust("2 millis")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "DustUnconfirmedError")
      }
    }).pipe(agents({ helper: [text("Hello")] }, slow)))

  it.effect("findSent: all of its reads have one limit together", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* conversations.create()
      for (let i = 0; i < 60; i++) yield* conversations.createMessage({ conversationId, content: `Note ${i}` })
      yield* dust.fault({ ...post, nth: 1, fault: faults.neverAnswer() })
      const lost = conversations.createMessage({ conversationId, content: "Hello" }).pipe(passing("10 minutes"))
      const error = yield* Effect.flip(lost)
      assert.strictEqual(error._tag, "DustUnconfirmedError")
      if (error._tag !== "DustUnconfirmedError") return
      yield* dust.fault({ method: "GET", fault: faults.delayHeaders("3 seconds") })
      const looking = Effect.flip(conversations.findSent({ ...error, position: null, notBefore: 1 } as typeof error))
      const fiber = yield* Effect.fork(withOptions(looking, { timeouts: { total: "5 seconds" } }))
      yield* TestClock.adjust("5001 millis")
      const failure = yield* Fiber.join(fiber)
      assert.deepStrictEqual([failure._tag, failure._tag === "DustTimeoutError" && failure.phase], [
        "DustTimeoutError",
        "total"
      ])
    }).pipe(agents({})))
})

describe("A question that is refused", () => {
  it.effect("attachments: are in their conversation once, however often the question is refused", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fragments = dust.countRequests({ method: "POST", path: /content_fragments$/ })
      const { conversationId } = yield* chat.send({ agent: "reader", message: "Hello" })
      const note = { title: "Notes", content: "the sky is green", contentType: "text/plain" }
      const more = { title: "More", content: "grass is blue", contentType: "text/plain" }
      const ask = (agent: string, attachments: ReadonlyArray<typeof note>) =>
        chat.send({ agent, message: "What?", conversationId, attachments }).pipe(passing("1 minute"))
      yield* Effect.flip(ask("nobody", [note]))
      yield* Effect.flip(ask("nobody", [note, more]))
      assert.strictEqual((yield* ask("reader", [note, more])).text, "the sky is green, grass is blue")
      assert.strictEqual(yield* fragments, 2)
      // They belong to that message now.
      yield* ask("reader", [note])
      assert.strictEqual(yield* fragments, 3)
    }).pipe(agents({ reader: ({ attachments }) => attachments.map(({ content }) => content).join(", ") })))

  it.effect("attachments: those of another credential do not count", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fragments = dust.countRequests({ method: "POST", path: /content_fragments$/ })
      const { conversationId } = yield* chat.send({ agent: "reader", message: "Hello" })
      const attachments = [{ title: "Notes", content: "the sky is green", contentType: "text/plain" }]
      const ask = (agent: string) => chat.send({ agent, message: "What?", conversationId, attachments })
      const asAda = withCredential({ accessToken: dust.userToken })
      const asKey = withCredential({ apiKey: dust.apiKey })
      yield* Effect.flip(ask("nobody").pipe(asAda, passing("1 minute")))
      yield* ask("reader").pipe(asKey, passing("1 minute"))
      assert.strictEqual(yield* fragments, 2)
    }).pipe(agents({ reader: ({ attachments }) => attachments.map(({ content }) => content).join(", ") })))

  it.effect("what a credential cannot ask is refused before any request", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const context = { selectedMCPServerViewIds: ["msv_1"] }
      const error = yield* Effect.flip(chat.send({ agent: "echo", message: "Hello", context }))
      assert.deepStrictEqual([error._tag, error.attempts], ["DustUserRequiredError", 0])
      assert.lengthOf(yield* dust.requests(), 0)
    }).pipe(agents({})))

  const unknown = { agent: "nobody", message: "Hello" }

  it.effect("leaves no conversation behind with a user's token, and a session asks in a new one", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const deleted = dust.countRequests({ method: "DELETE", path: /assistant\/conversations\/[^/]+$/ })
      assert.strictEqual((yield* Effect.flip(chat.send(unknown).pipe(passing("1 minute"))))._tag, "DustBadRequestError")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* deleted, 1)
      const session = yield* chat.session({ agent: "nobody" })
      yield* Effect.flip(session.send("Hello").pipe(passing("1 minute")))
      assert.isTrue(Option.isNone(yield* session.conversationId))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* deleted, 2)
    }).pipe(agents({}, { credential: "userToken" })))

  it.effect("leaves an empty conversation with an API key, which cannot delete it: a session goes on in it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const session = yield* chat.session({ agent: "nobody" })
      yield* Effect.flip(session.send("Hello").pipe(passing("1 minute")))
      yield* Effect.flip(session.send("Hello").pipe(passing("1 minute")))
      assert.isTrue(Option.isSome(yield* session.conversationId))
      assert.strictEqual((yield* dust.conversations).length, 1)
    }).pipe(agents({})))
})

describe("What is left behind", () => {
  it.effect("twenty answers start at most two timers each, and none is running in the end", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      // The clock of tests keeps the moments of timers that were given up.
      const sleeps = Effect.map(TestClock.sleeps(), (all) => all.length)
      const send = chat.send({ agent: "helper", message: "Go" }).pipe(passing("1 second"))
      yield* send
      const before = yield* sleeps
      for (let i = 0; i < 20; i++) yield* send
      assert.isAtMost((yield* sleeps) - before, 40)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* sleeps, 0)
    }).pipe(agents({ helper: [text("Hello")] })))
})

describe("Nothing hangs", () => {
  it.effect("agent error: includes the code, the category and the text so far", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const seen: Array<ChatEvent> = []
      const error = yield* Effect.flip(Stream.runForEach(
        chat.stream({ agent: "helper", message: "Go" }),
        (event) => Effect.sync(() => seen.push(event))
      ))
      assert.strictEqual(error._tag, "DustAgentError")
      if (error._tag !== "DustAgentError") return
      assert.deepStrictEqual([error.code, error.category, error.agentId], [
        "model_down",
        "retryable_model_error",
        "helper"
      ])
      assert.match(
        error.message,
        /^Chat\.stream: the agent helper failed: It is down \(model_down\) \(conversation \w+,/
      )
      assert.deepStrictEqual(error.details, {
        code: "model_down",
        message: "It is down",
        metadata: { category: "retryable_model_error" }
      })
      assert.strictEqual(fold(seen), "So far ")
      const dust = yield* DustTest.DustTest
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(agents({
      helper: [
        text("So far "),
        DustTest.fail({ code: "model_down", message: "It is down", category: "retryable_model_error" })
      ]
    })))

  it.effect("a run that fails before its first event, and one whose tool ends it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      for (const [agent, code] of [["early", "no_start"], ["broken", "tool_broke"]] as const) {
        const error = yield* Effect.flip(chat.send({ agent, message: "Go" })).pipe(passing("1 minute"))
        assert.isTrue(error._tag === "DustAgentError" && error.code === code)
      }
    }).pipe(
      agents({ early: [DustTest.fail({ code: "no_start" })], broken: [DustTest.toolError({ code: "tool_broke" })] })
    ))

  it.effect("tool error: continues when the run continues after it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const reply = yield* chat.send({ agent: "helper", message: "Go" }).pipe(passing("5 minutes"))
      assert.strictEqual(reply.text, "Done without it")
    }).pipe(agents({
      helper: [
        DustTest.unknownEvent({ type: "tool_error", error: { code: "x", message: "y", metadata: null } }),
        silence("1 minute"),
        text("Done without it")
      ]
    })))

  it.effect("cancelled or gracefully stopped by another client: reports the outcome with the text so far", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const conversations = yield* Conversations
      const fiber = yield* Effect.fork(Effect.flip(chat.send({ agent: "helper", message: "Go" })))
      yield* TestClock.adjust("1 minute")
      const run = yield* theRun
      const conversationId = (yield* Effect.flatMap(DustTest.DustTest, (dust) => dust.conversations))[0]!.sId
      yield* conversations.cancel({ conversationId, messageIds: [run.sId] })
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(error._tag === "DustAgentError" && error.code === "cancelled")
      assert.match(error.message, /^Chat\.send: the agent helper was cancelled \(conversation \w+, message \w+\)$/)
      assert.deepInclude(error, {
        category: null,
        agentId: "helper",
        details: { status: "cancelled" }
      })
      const reply = yield* chat.send({ agent: "stopped", message: "Go" })
      assert.deepStrictEqual([reply.text, reply.agentMessage.status], ["Half", "succeeded"])
    }).pipe(agents({ helper: [text("a"), silence()], stopped: [text("Half"), DustTest.gracefulStop] })))

  it.effect("silence: fails when the run emits no event for too long", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(chat.send({ agent: "helper", message: "Go", silence: "5 minutes" })).pipe(
        passing("10 minutes")
      )
      assert.isTrue(error._tag === "DustStreamError" && error.reason === "ended")
      // The run is left running, since it may still finish.
      assert.strictEqual((yield* theRun).run, "running")
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(agents({ helper: [text("a"), silence()] })))
})

describe("Stopping stops", () => {
  const endless = agents({
    helper: [text("a b c"), silence("1 hour"), text("d")],
    quick: [silence("1 second"), text("Quick")]
  })

  /** The socket is closed first, then the run is cancelled; nothing else is asked for afterwards. */
  const assertStopped = Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    yield* dust.waitForRun((yield* theRun).sId)
    assert.strictEqual((yield* theRun).run, "cancelled")
    assert.lengthOf(yield* dust.openConnections, 0)
    const log = yield* dust.requests()
    const cancel = log.find((request) => request.route?.endsWith("/cancel") === true)!
    assert.isDefined(cancel)
    for (const stream of log.filter((request) => eventsPath.test(request.path))) {
      assert.isAtMost(stream.closedAt!, cancel.at)
      assert.isBelow(stream.index, cancel.index)
    }
    yield* TestClock.adjust("2 hours")
    assert.strictEqual(yield* dust.countRequests(), log.length)
  })

  it.effect("interruption of send", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.interrupt(fiber)
      yield* assertStopped
    }).pipe(endless))

  it.effect("take", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      assert.lengthOf(yield* collect(Stream.take(chat.stream({ agent: "helper", message: "Go" }), 3)), 3)
      yield* assertStopped
    }).pipe(endless))

  it.effect("take of the text", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      assert.deepStrictEqual(yield* collect(Stream.take(chat.streamText({ agent: "helper", message: "Go" }), 1)), [
        "a "
      ])
      yield* assertStopped
    }).pipe(endless))

  it.effect("a timeout", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const error = yield* chat.send({ agent: "helper", message: "Go" }).pipe(
        Effect.timeout("1 minute"),
        Effect.flip,
        passing("1 minute")
      )
      assert.strictEqual(error._tag, "TimeoutException")
      yield* assertStopped
    }).pipe(endless))

  it.effect("a consumer that fails", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const error = yield* Effect.flip(Stream.runForEach(
        chat.stream({ agent: "helper", message: "Go" }),
        (event) => event._tag === "TextDelta" ? Effect.fail("mine" as const) : Effect.void
      ))
      assert.strictEqual(error, "mine")
      yield* assertStopped
    }).pipe(endless))

  it.effect("a lost race: the other agent's run is cancelled, and costs nothing more", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const ask = (agent: string) => chat.send({ agent, message: "Go" })
      const reply = yield* Effect.race(ask("helper"), ask("quick")).pipe(passing("10 seconds"))
      assert.strictEqual(reply.text, "Quick")
      const loser = (yield* dust.agentMessages()).find(({ run }) => run !== "success")!
      yield* dust.waitForRun(loser.sId)
      const before = yield* dust.message(loser.sId)
      assert.deepStrictEqual([before.run, before.content], ["cancelled", "a b c"])
      const retained = yield* dust.retainedEvents(loser.sId)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* dust.retainedEvents(loser.sId), retained)
      assert.deepStrictEqual((yield* dust.message(loser.sId)).json["costCredits"], before.json["costCredits"])
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(endless))

  it.effect("onInterrupt \"leave\": does not cancel the run", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go", onInterrupt: "leave" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(yield* dust.openConnections, 0)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* theRun).run, "success")
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(endless))

  it.effect("onInterrupt \"leave\": does not cancel when interrupted while sending", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go", onInterrupt: "leave" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* theRun).run, "success")
      assert.strictEqual(yield* dust.countRequests({ path: cancelPath }), 0)
    }).pipe(agents({ helper: [text("a"), silence("1 hour"), text("b")] }, {
      faults: [{ ...post, fault: faults.neverAnswer({ handlerRuns: true }) }]
    })))

  it.effect("interrupted while sending: finds and cancels the run it started", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go" }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* theRun).run, "running")
      // No time has to pass for this.
      yield* Fiber.interrupt(fiber)
      yield* dust.waitForRun((yield* theRun).sId)
      assert.strictEqual((yield* theRun).run, "cancelled")
      assert.lengthOf(yield* dust.openConnections, 0)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* dust.userMessages(), 1)
    }).pipe(agents({ helper: [text("a"), silence()] }, {
      faults: [{ ...post, fault: faults.neverAnswer({ handlerRuns: true }) }]
    })))

  it.effect("interrupted while sending: cancels the run of a message that the server accepts later", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const { http } = yield* DustClient
      const fiber = yield* Effect.fork(chat.send({ agent: "helper", message: "Go" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(yield* dust.agentMessages(), 0)
      // What was on its way arrives.
      yield* dust.clearFaults
      const conversationId = (yield* dust.conversations)[0]!.sId
      yield* Effect.scoped(http.post(`/api/v1/w/{workspaceId}/assistant/conversations/${conversationId}/messages`, {
        body: HttpBody.unsafeJson({
          content: "Go",
          mentions: [{ configurationId: "helper" }],
          context: { username: "effect-dust", timezone: "UTC", origin: "api" }
        })
      }))
      yield* TestClock.adjust("3 seconds")
      yield* dust.waitForRun((yield* theRun).sId)
      assert.strictEqual((yield* theRun).run, "cancelled")
    }).pipe(agents({ helper: [text("a"), silence()] }, { faults: [{ ...post, fault: faults.neverAnswer() }] })))

  it.effect("interrupted while sending: does not cancel an identical message sent later", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* Effect.flatMap(Conversations, (conversations) => conversations.create())
      const again = { agent: "helper", message: "Go", conversationId }
      // One caller before, one that is interrupted while delivery is uncertain, one after.
      const before = yield* Effect.fork(chat.send(again))
      yield* TestClock.adjust("1 second")
      yield* dust.fault({ ...post, fault: faults.neverAnswer(), nth: 1 })
      const given = yield* Effect.fork(chat.send(again))
      yield* TestClock.adjust("1 second")
      const after = yield* Effect.fork(chat.send(again))
      yield* Fiber.interrupt(given)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ run }) => run), ["running", "running"])
      yield* Fiber.interruptAll([before, after])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ run }) => run), ["cancelled", "cancelled"])
    }).pipe(agents({ helper: [text("a"), silence()] })))

  it.effect("interrupted while sending: does not cancel an identical earlier message", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      yield* conversations.createMessage({ conversationId, content: "Go", mentions: [{ configurationId: "helper" }] })
      yield* TestClock.adjust("1 minute")
      yield* dust.fault({ ...post, fault: faults.neverAnswer() })
      const given = yield* Effect.fork(chat.send({ agent: "helper", message: "Go", conversationId }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(given)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ run }) => run), ["running"])
    }).pipe(agents({ helper: [text("a"), silence()] })))

  it.effect("interrupted while sending: does not cancel an identical message still in flight", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* Effect.flatMap(Conversations, (conversations) => conversations.create())
      const again = { agent: "helper", message: "Go", conversationId }
      yield* dust.fault({ ...post, fault: faults.neverAnswer(), nth: 1 })
      const given = yield* Effect.fork(chat.send(again))
      yield* TestClock.adjust("1 second")
      yield* dust.fault({ ...post, fault: faults.delayBody("20 seconds") })
      const after = yield* Effect.fork(chat.send(again))
      yield* Fiber.interrupt(given)
      // The message is stored before the last read, and its response arrives afterwards.
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ run }) => run), ["running"])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* theRun).run, "running")
      // The client that has the confirmation still cancels it.
      yield* Fiber.interrupt(after)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* theRun).run, "cancelled")
    }).pipe(agents({ helper: [text("a"), silence()] })))

  it.effect("interrupted while queued: withdraws the message", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      yield* Effect.fork(chat.send({ agent: "helper", message: "one", conversationId }))
      yield* TestClock.adjust("5 seconds")
      const second = yield* Effect.fork(chat.send({ agent: "helper", message: "two", conversationId }))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue((yield* dust.userMessages()).some(({ visibility }) => visibility === "pending"))
      yield* Fiber.interrupt(second)
      assert.strictEqual(yield* dust.openStreams, 1)
      yield* TestClock.adjust("20 minutes")
      assert.lengthOf(yield* dust.agentMessages(), 1)
    }).pipe(agents({ helper: [text("a"), silence("10 minutes"), text("b")] }, { credential: "userToken" })))

  it.effect("interrupted after its turn began: cancels the answer", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const first = yield* Effect.fork(chat.send({ agent: "helper", message: "one", conversationId }))
      yield* TestClock.adjust("5 seconds")
      const second = yield* Effect.fork(chat.send({ agent: "helper", message: "two", conversationId }))
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.await(first)
      const runs = Effect.map(dust.agentMessages(), (all) => all.map(({ run }) => run).slice(1))
      assert.deepStrictEqual(yield* runs, ["running"])
      yield* Fiber.interrupt(second)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* runs, ["cancelled"])
    }).pipe(agents({
      helper: ({ message }) => message === "one" ? [text("a"), silence("1 minute"), text("b")] : [text("c"), silence()]
    }, { credential: "userToken" })))

  it.effect("interrupted while queued: cancels the answer if the turn begins during the withdrawal", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      yield* Effect.fork(chat.send({ agent: "helper", message: "one", conversationId }))
      yield* TestClock.adjust("5 seconds")
      const second = yield* Effect.fork(chat.send({ agent: "helper", message: "two", conversationId }))
      yield* TestClock.adjust("50 seconds")
      yield* dust.fault({ method: "DELETE", fault: faults.delayHeaders("8 seconds") })
      yield* Effect.fork(Fiber.interrupt(second))
      yield* TestClock.adjust("1 minute")
      const [, ...later] = yield* dust.agentMessages()
      // The second one is the deleted version of it.
      assert.deepStrictEqual(later.map(({ run, visibility }) => [run, visibility]), [["cancelled", "visible"], [
        "cancelled",
        "deleted"
      ]])
    }).pipe(agents({
      helper: ({ message }) => message === "one" ? [text("a"), silence("1 minute"), text("b")] : [text("c"), silence()]
    }, { credential: "userToken" })))

  it.effect("handlers are interrupted with the stream", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const begun = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(chat.send({
        agent: "helper",
        message: "Go",
        onApproval: () =>
          Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
          )
      }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(ended)
      yield* assertStopped
    }).pipe(agents({ helper: [approval({ name: "deploy" })] })))
})

describe("Send once", () => {
  for (
    const [what, rule] of [
      ["the creation is refused", { ...create, nth: 1, fault: faults.status(503, { type: "service_unavailable" }) }],
      ["the creation is cut before its answer", { ...create, nth: 1, fault: faults.resetAfter() }],
      ["the message is cut before its answer", { ...post, nth: 1, fault: faults.resetAfter() }],
      ["the answer to the message breaks off", { ...post, nth: 1, fault: faults.cut(100) }],
      ["the message is refused as one too many", {
        ...post,
        nth: 1,
        fault: faults.status(429, { type: "rate_limit_error" })
      }],
      ["the message never gets an answer", { ...post, nth: 1, fault: faults.neverAnswer({ handlerRuns: true }) }]
    ] as const
  ) {
    it.effect(`${what}: one message, one run, one answer`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat
        const dust = yield* DustTest.DustTest
        const reply = yield* chat.send({ agent: "helper", message: "Go" }).pipe(passing("5 minutes"))
        assert.strictEqual(reply.text, "Once")
        assert.lengthOf(yield* dust.userMessages(), 1)
        assert.lengthOf(yield* dust.agentMessages(), 1)
      }).pipe(agents({ helper: "Once" }, { faults: [rule] })))
  }

  for (
    const [what, tag, rule] of [
      ["every creation is cut before its answer", "DustNetworkError", { ...create, fault: faults.resetAfter() }],
      ["the message is cut before it arrives", "DustUnconfirmedError", {
        ...post,
        nth: 1,
        fault: faults.resetBefore()
      }],
      ["a gateway fails before the message", "DustUnconfirmedError", { ...post, nth: 1, fault: faults.html(502) }]
    ] as const
  ) {
    it.effect(`send: fails with ${tag} and sends nothing again when ${what}`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat
        const dust = yield* DustTest.DustTest
        const error = yield* Effect.flip(chat.send({ agent: "helper", message: "Go" })).pipe(passing("5 minutes"))
        assert.strictEqual(error._tag, tag)
        assert.lengthOf(yield* dust.userMessages(), 0)
      }).pipe(agents({ helper: "Once" }, { faults: [rule] })))
  }
})

describe("Sessions", () => {
  const memory = agents({
    helper: ({ history, message }) =>
      message === "fail" ? [DustTest.fail()] : [silence("1 second"), text(`${message} after ${history.length}`)]
  })

  it.effect("turn by turn in one conversation; turns that are asked for together wait for each other", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const session = yield* chat.session({ agent: "helper", title: "Session" })
      assert.isTrue(Option.isNone(yield* session.conversationId))
      const replies = yield* Effect.all([
        session.send("one"),
        Stream.runLast(session.stream({ message: "two" })),
        Stream.mkString(session.streamText("three"))
      ], { concurrency: "unbounded" }).pipe(passing("10 seconds"))
      assert.strictEqual(replies[0].text, "one after 0")
      assert.isTrue(
        Option.isSome(replies[1]) && replies[1].value._tag === "Done" && replies[1].value.reply.text === "two after 2"
      )
      assert.strictEqual(replies[2], "three after 4")
      const all = yield* dust.conversations
      assert.lengthOf(all, 1)
      assert.deepStrictEqual([Option.getOrNull(yield* session.conversationId), all[0]!.title], [all[0]!.sId, "Session"])
    }).pipe(memory))

  it.effect("session: usable after a failed or interrupted turn", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const session = yield* chat.session({ agent: "helper" })
      const error = yield* Effect.flip(session.send("fail"))
      assert.strictEqual(error._tag, "DustAgentError")
      const stopped = yield* Effect.fork(session.send("stopped"))
      const waiting = yield* Effect.fork(session.send("waiting"))
      const next = yield* Effect.fork(session.send("next"))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(stopped)
      yield* TestClock.adjust("10 seconds")
      assert.match((yield* Fiber.join(next)).text, /^next after/)
      const dust = yield* DustTest.DustTest
      // What was stopped before its turn was never sent.
      assert.deepStrictEqual((yield* dust.userMessages()).map(({ content }) => content), ["fail", "stopped", "next"])
    }).pipe(memory))

  it.effect("session: an unknown agent fails only the turn; handlers belong to the session", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const session = yield* chat.session({
        agent: "deployer",
        onApproval: () => Effect.fail(new Refused({ why: "session" }))
      })
      const error = yield* Effect.flip(session.send("Go"))
      assert.isTrue(error._tag === "Refused" && error.why === "session")
      const reply = yield* session.send({ message: "Go", onApproval: Approvals.approveAll })
      assert.strictEqual(reply.text, "Deployed")
      assert.lengthOf(yield* dust.conversations, 1)
      const existing = yield* chat.session({ agent: "deployer", conversationId: reply.conversationId })
      yield* existing.send({ message: "Go", onApproval: Approvals.approveAll })
      assert.lengthOf(yield* dust.conversations, 1)
    }).pipe(agents({ deployer: [approval({ name: "deploy" }), text("Deployed")] })))
})

describe("Telemetry", () => {
  it.effect("one span over the run with its ids, one over the stream with its figures, the time to the first text", () => {
    const spans: Array<Tracer.Span> = []
    const ended = new Set<string>()
    const tracer = Effect.map(Effect.tracer, (native) =>
      Tracer.make({
        span: (...args) => {
          const span = native.span(...args)
          spans.push(span)
          const end = span.end.bind(span)
          span.end = (time, exit) => {
            ended.add(span.spanId)
            end(time, exit)
          }
          return span
        },
        context: (f, fiber) => native.context(f, fiber)
      }))
    return Effect.gen(function*() {
      const chat = yield* Chat
      const texts = Metric.tagged(Telemetry.timeToFirstText, "agent", "helper")
      const before = yield* Metric.value(texts)
      const native = yield* tracer
      const reply = yield* chat.send({ agent: "helper", message: "a secret" }).pipe(
        Effect.withTracer(native),
        passing("1 minute")
      )
      const run = spans.find(({ name }) => name === "invoke_agent helper")!
      assert.deepInclude(Object.fromEntries(run.attributes), {
        [Telemetry.attributes.operationName]: "invoke_agent",
        [Telemetry.attributes.agentId]: "helper",
        [Telemetry.attributes.conversationId]: reply.conversationId,
        [Telemetry.attributes.messageId]: reply.agentMessage.sId
      })
      const stream = spans.find(({ name }) => name === "Conversations.messageEvents")!
      assert.deepInclude(Object.fromEntries(stream.attributes), {
        [Telemetry.attributes.streamConnections]: 1,
        [Telemetry.attributes.streamEvents]: 101
      })
      assert.isTrue(Option.isSome(stream.parent) && stream.parent.value.spanId === run.spanId)
      for (const span of spans) {
        assert.isTrue(ended.has(span.spanId), span.name)
        assert.notInclude(JSON.stringify([...span.attributes.values()]), "secret")
      }
      const after = yield* Metric.value(texts)
      assert.strictEqual(after.count - before.count, 1)
      assert.strictEqual(after.sum - before.sum, 20)

      spans.length = 0
      yield* Effect.ignore(chat.send({ agent: "failing", message: "x" }).pipe(Effect.withTracer(native)))
      const failed = spans.find(({ name }) => name === "invoke_agent failing")!
      assert.isTrue(failed.status._tag === "Ended" && Exit.isFailure(failed.status.exit))
    }).pipe(agents({
      helper: [silence("20 seconds"), text("", { tokens: Array.from({ length: 100 }, () => "x") })],
      failing: [DustTest.fail()]
    }))
  })

  it.effect("one mocked service is enough to test an application", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      assert.strictEqual(yield* Stream.mkString(chat.streamText({ agent: "x", message: "y" })), "mocked")
    }).pipe(Effect.provide(Layer.mock(Chat, { streamText: () => Stream.make("mocked") }))))
})
