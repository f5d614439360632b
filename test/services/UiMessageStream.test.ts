/** Judged by the reader of the AI SDK itself: `AbstractChat` is what `useChat` is made of. */
import { assert, describe, it } from "@effect/vitest"
import {
  AbstractChat,
  type ChatState,
  type ChatStatus,
  DefaultChatTransport,
  parseJsonEventStream,
  type UIMessage,
  uiMessageChunkSchema
} from "ai"
import { Effect, ManagedRuntime, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import * as ChatRelay from "effect-dust/ChatRelay"
import { Conversations } from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"
import * as UiMessageStream from "effect-dust/UiMessageStream"

/** The state of a page without React. */
class State implements ChatState<UIMessage> {
  status: ChatStatus = "ready"
  error: Error | undefined = undefined
  messages: Array<UIMessage> = []
  pushMessage = (message: UIMessage) => {
    this.messages = [...this.messages, message]
  }
  popMessage = () => {
    this.messages = this.messages.slice(0, -1)
  }
  replaceMessage = (index: number, message: UIMessage) => {
    this.messages = this.messages.map((one, i) => i === index ? message : one)
  }
  snapshot = <T>(thing: T): T => structuredClone(thing)
}

class Page extends AbstractChat<UIMessage> {
  get text() {
    return this.messages.at(-1)?.parts.map((part) => part.type === "text" ? part.text : "").join("")
  }
  part(type: string) {
    return this.messages.at(-1)?.parts.find((part) => part.type === type)
  }
}

const script: DustTest.AgentBehavior = ({ history, message }) => {
  switch (message) {
    case "tools":
      return [
        DustTest.think("Let me see. "),
        DustTest.tool({ name: "search", inputs: { query: "x" }, progress: [{ label: "Searching" }], output: "found" }),
        DustTest.text("Here it is.")
      ]
    case "again":
      return [
        DustTest.text("One two "),
        DustTest.tool({ name: "search", inputs: {} }),
        DustTest.rerun,
        DustTest.text("three.")
      ]
    case "mail":
      return [
        DustTest.approval({
          name: "send",
          inputs: { to: "ada" },
          stake: "high",
          onResult: ({ approved }) => approved ? "Sent." : "Not sent."
        })
      ]
    case "which":
      return [DustTest.question({ question: "Which?", options: ["A", "B"], onAnswer: () => "Thank you." })]
    case "fail":
      return [DustTest.text("I "), DustTest.fail({ code: "model_error", message: "overloaded" })]
    case "endless":
      return [DustTest.text("I begin. "), DustTest.silence()]
    default:
      return `Turn ${history.length}: ${message}`
  }
}

const application = () => {
  const runtime = ManagedRuntime.make(DustTest.layer({ agents: { helper: script } }))
  const requests: Array<string> = []
  const answers = new Map<string, string>()
  const respond = (method: string, body: unknown) =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const place = ChatRelay.placeOf([...answers.values()].at(-1) ?? "")
      const events: Stream.Stream<ChatEvent, unknown> = method === "GET" && place._tag === "Some"
        ? chat.resume({ ...place.value, onInterrupt: "leave" })
        : chat.stream({ agent: "helper", ...(yield* UiMessageStream.questionOf(body)) })
      return yield* UiMessageStream.toWebResponse(Stream.tap(events, (event) =>
        Effect.sync(() => {
          if (event._tag === "Started") answers.set(event.messageId, ChatRelay.idOf(event))
        })))
    }).pipe(Effect.orDie)
  const transport = new DefaultChatTransport<UIMessage>({
    api: "http://app.test/api/chat",
    fetch: async (url, init) => {
      requests.push(`${init?.method} ${url}`)
      const body = typeof init?.body === "string" ? JSON.parse(init.body) : undefined
      const response = await runtime.runPromise(respond(init?.method ?? "GET", body))
      init?.signal?.addEventListener("abort", () => void response.body?.cancel().catch(() => undefined))
      return response
    }
  })
  const page = () => {
    const state = new State()
    return new Page({ transport, state, id: "chat", onError: () => undefined, generateId: () => "local" })
  }
  return { runtime, page, requests }
}

const collected = async <A>(stream: ReadableStream<A>): Promise<ReadonlyArray<A>> => {
  const all: Array<A> = []
  const reader = stream.getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) all.push(next.value)
  return all
}

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe("UiMessageStream", () => {
  it("useChat: shows an answer, and asks the next question in the same conversation", async () => {
    const { page, runtime } = application()
    const chat = page()
    await chat.sendMessage({ text: "Hello" })
    assert.strictEqual(chat.status, "ready")
    assert.strictEqual(chat.text, "Turn 0: Hello")
    await chat.sendMessage({ text: "And now?" })
    assert.strictEqual(chat.text, "Turn 2: And now?")
    const metadata = chat.messages.map(({ metadata }) => metadata).filter((one) => one !== undefined)
    assert.lengthOf(metadata, 2)
    assert.strictEqual(
      (metadata[0] as { conversationId: string }).conversationId,
      (metadata[1] as { conversationId: string }).conversationId
    )
    await runtime.dispose()
  })

  it("useChat: has reasoning, tools with input and output, and text in their order", async () => {
    const { page, runtime } = application()
    const chat = page()
    await chat.sendMessage({ text: "tools" })
    const parts = chat.messages.at(-1)?.parts ?? []
    assert.deepStrictEqual(parts.map(({ type }) => type), ["step-start", "reasoning", "dynamic-tool", "text"])
    assert.deepInclude(parts[1], { text: "Let me see. ", state: "done" })
    assert.deepInclude(parts[2], { toolName: "search", state: "output-available", input: { query: "x" } })
    assert.deepInclude(parts[3], { text: "Here it is.", state: "done" })
    await runtime.dispose()
  })

  it("useChat: a step that is run again does not double the text", async () => {
    const { page, runtime } = application()
    const chat = page()
    await chat.sendMessage({ text: "again" })
    assert.strictEqual(chat.text, "One two three.")
    await runtime.dispose()
  })

  it("useChat: a tool waits for approval, and the same stream goes on after it", async () => {
    for (const approved of [true, false]) {
      const { page, runtime } = application()
      const chat = page()
      const sent = chat.sendMessage({ text: "mail" })
      await until(() => chat.part("data-blocked") !== undefined)
      assert.deepInclude(chat.part("dynamic-tool"), { state: "approval-requested", toolName: "send" })
      const { data } = chat.part("data-blocked") as {
        readonly data: { conversationId: string; messageId: string; actionId: string }
      }
      const { actionId, conversationId, messageId } = data
      await runtime.runPromise(Effect.flatMap(Conversations, (conversations) =>
        conversations.validateAction({
          conversationId,
          messageId,
          actionId,
          approved: approved ? "approved" : "rejected"
        })))
      await sent
      assert.strictEqual(chat.text, approved ? "Sent." : "Not sent.")
      assert.deepInclude(chat.part("dynamic-tool"), { state: approved ? "output-available" : "output-denied" })
      await runtime.dispose()
    }
  })

  it("useChat: a question of the agent is a data part", async () => {
    const { page, runtime } = application()
    const chat = page()
    const sent = chat.sendMessage({ text: "which" })
    await until(() => chat.part("data-question") !== undefined)
    const { data } = chat.part("data-question") as {
      readonly data: { conversationId: string; messageId: string; actionId: string; question: { question: string } }
    }
    const { question, ...at } = data
    assert.strictEqual(question.question, "Which?")
    await runtime.runPromise(
      Effect.flatMap(
        Conversations,
        (conversations) => conversations.answerQuestion({ ...at, answer: { selectedOptions: [0] } })
      )
    )
    await sent
    assert.strictEqual(chat.text, "Thank you.")
    await runtime.dispose()
  })

  it("useChat: reports a failing agent as an error and keeps the text so far", async () => {
    const { page, runtime } = application()
    const chat = page()
    await chat.sendMessage({ text: "fail" })
    assert.strictEqual(chat.status, "error")
    assert.include(chat.error?.message, "overloaded")
    assert.strictEqual(chat.text, "I ")
    await runtime.dispose()
  })

  it("useChat: stop() stops the agent", async () => {
    const { page, runtime } = application()
    const chat = page()
    const sent = chat.sendMessage({ text: "endless" })
    await until(() => chat.text === "I begin. ")
    await chat.stop()
    await sent
    const dust = await runtime.runPromise(DustTest.DustTest)
    let status: string | undefined
    while (status !== "cancelled") {
      const [answer] = await runtime.runPromise(dust.agentMessages())
      status = answer?.status
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await runtime.dispose()
  })

  it("useChat: resumeStream() shows an answer that another page asked for, from its beginning", async () => {
    const { page, requests, runtime } = application()
    const first = page()
    await first.sendMessage({ text: "tools" })
    const second = page()
    await second.resumeStream()
    assert.strictEqual(second.text, "Here it is.")
    assert.strictEqual(requests.at(-1), "GET http://app.test/api/chat/chat/stream")
    await runtime.dispose()
  })

  it("every chunk is one that the schema of the AI SDK knows, and the last line is [DONE]", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const response = yield* UiMessageStream.toWebResponse(chat.stream({ agent: "helper", message: "tools" }))
      assert.strictEqual(response.headers.get("x-vercel-ai-ui-message-stream"), "v1")
      const [one, other] = response.body!.tee()
      const text = yield* Effect.promise(() => new Response(one).text())
      assert.isTrue(text.endsWith("data: [DONE]\n\n"))
      const chunks = parseJsonEventStream({ stream: other, schema: uiMessageChunkSchema })
      const read = yield* Effect.promise(() => collected(chunks))
      assert.isTrue(read.every(({ success }) => success))
      assert.isAbove(read.length, 8)
    }).pipe(Effect.provide(DustTest.layer({ agents: { helper: script } })), Effect.runPromise))

  it("questionOf: refuses a body without a text", () =>
    Effect.gen(function*() {
      for (
        const body of [undefined, {}, { messages: [] }, { messages: [{ role: "user", parts: [{ type: "file" }] }] }]
      ) {
        const error = yield* Effect.flip(UiMessageStream.questionOf(body))
        assert.strictEqual(error._tag, "ParseError")
      }
    }).pipe(Effect.runPromise))
})
