/** A run that is followed: its handlers and what they send, its span, and the turns of a session. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Stream } from "effect"
import { Chat, type SendOptions } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import { Conversations } from "effect-dust/Conversations"
import { type DustAPIError, isDustAPIError } from "effect-dust/DustAPIError"
import { known, whole } from "../support/errors.ts"
import type * as Http from "../support/http.ts"
import { failure, json } from "../support/http.ts"
import { agentJson, isStream, pageJson, scene, sse, userJson } from "../support/scene.ts"

type Request = Http.Recorded & { readonly path: string; readonly now: number }

const message = userJson("m", 11)
const running = agentJson("a", "m", { configuration: { sId: "helper", name: "Helper" } })
const final = {
  ...running,
  status: "succeeded",
  content: "Hi",
  costCredits: 2,
  resolvedModel: { providerId: "p", modelId: "gpt-5" }
}
const done = ["9-0", { type: "agent_message_success", message: final }] as const
const blocking = {
  conversationId: "c",
  messageId: "a",
  actionId: "1",
  inputs: { q: 1 },
  stake: "high",
  metadata: { toolName: "deploy", mcpServerName: "ops" }
}
const approval = ["1-0", { type: "tool_approve_execution", ...blocking }] as const
const question = ["2-0", {
  type: "tool_ask_user_question",
  ...blocking,
  actionId: "2",
  question: { question: "Which?", options: [{ label: "A" }, { label: "B" }], multiSelect: false }
}] as const

/** A server whose stream has these events; the run ends once this many decisions are made. */
const server = (
  events: ReadonlyArray<readonly [string, object]>,
  decisions = 0,
  decide: (request: Request) => Http.Answer = () => json({ success: true })
) => {
  const encoder = new TextEncoder()
  let stream: ReadableStreamDefaultController<Uint8Array> | undefined
  let decided = 0
  const send = (all: ReadonlyArray<readonly [string, object]>) => {
    for (const [eventId, data] of all) {
      stream?.enqueue(encoder.encode(`data: ${JSON.stringify({ eventId, data })}\n\n`))
    }
  }
  return (request: Request): Http.Answer => {
    const { method, path } = request
    if (path === "") return json(pageJson([]))
    if (method === "POST" && path === "/c/messages") return json({ message, agentMessages: [running] })
    if (path.endsWith("/validate-action") || path.endsWith("/answer-question")) {
      if (++decided === decisions) send([done])
      return decide(request)
    }
    if (isStream(path)) {
      if (decisions === 0) return sse(events)
      return new Response(
        new ReadableStream<Uint8Array>({
          start: (controller) => {
            stream = controller
            controller.enqueue(encoder.encode("event: dust-handshake\ndata: {}\n\n"))
            send(events)
          }
        }),
        { headers: { "content-type": "text/event-stream" } }
      )
    }
    if (method === "POST") return json({})
    return json(path.endsWith("/blocked") ? { blockedActions: [] } : pageJson([message, running]))
  }
}

/** The tags of the events, how they end, and what the handlers were asked. */
const follow = <E>(options: Partial<SendOptions<E, never>>, wait: number = 60_000) =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const seen: Array<ChatEvent> = []
    const exit = yield* Effect.exit(Stream.runForEach(
      chat.stream<E, never>({ agent: "helper", message: "Hello", ...options }),
      (event) => Effect.sync(() => seen.push(event))
    ))
    // What is left to do for an interrupted caller.
    yield* Effect.sleep(wait)
    return { seen: seen.map(({ _tag }) => _tag), exit }
  })
const errorOf = (exit: Exit.Exit<unknown, unknown> | undefined) => {
  const error = exit !== undefined && Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return isDustAPIError(error) ? known(whole(error)) : error
}
/** The bodies after those of the question. */
const decisionsOf = (bodies: ReadonlyArray<readonly [string, unknown]>) => bodies.slice(2).map(([, body]) => body)

describe("the handlers of a run", () => {
  it.effect("decide and answer, each request once", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const { bodies, requests, value } = yield* scene(
        server([approval, question], 2),
        follow({
          onApproval: ({ actionId, inputs, tool }) => {
            asked.push([actionId, inputs, tool.toolName])
            return Effect.succeed("approved" as const)
          },
          onQuestion: ({ actionId, question }) => {
            asked.push([actionId, question.question])
            return Effect.succeed({ selectedOptions: [1], customResponse: "Well" })
          }
        })
      )
      assert.deepStrictEqual(value?.seen, ["Started", "ApprovalNeeded", "QuestionAsked", "Reset", "Done"])
      assert.deepStrictEqual(asked, [["1", { q: 1 }, "deploy"], ["2", "Which?"]])
      assert.deepStrictEqual(decisionsOf(bodies), [
        { actionId: "1", approved: "approved" },
        { actionId: "2", answer: { selectedOptions: [1], customResponse: "Well" } }
      ])
      assert.deepStrictEqual(requests.filter((one) => /validate|answer-/.test(one)), [
        "0 POST /c/messages/a/validate-action",
        "0 POST /c/messages/a/answer-question"
      ])
    }))

  it.effect("are asked once about a request that is announced while they are at work, and again after it", () =>
    Effect.gen(function*() {
      let asked = 0
      const again = ["1-1", approval[1]] as const
      const { value } = yield* scene(
        server([approval, again], 1),
        follow({
          onApproval: () => {
            asked++
            return Effect.delay(Effect.succeed("rejected" as const), "1 second")
          }
        })
      )
      assert.deepStrictEqual([value?.seen, asked], [["Started", "ApprovalNeeded", "Reset", "Done"], 1])
    }))

  it.effect("leave undecided actions to others", () =>
    Effect.gen(function*() {
      const none = yield* scene(
        server([question, done]),
        follow({ onApproval: () => Effect.succeed("approved" as const) })
      )
      assert.deepStrictEqual(none.value?.seen, ["Started", "QuestionAsked", "Reset", "Done"])
      const other = yield* scene(
        server([approval, done]),
        follow({ onQuestion: () => Effect.succeed({ selectedOptions: [0] }) })
      )
      assert.deepStrictEqual(other.value?.seen, ["Started", "ApprovalNeeded", "Reset", "Done"])
      assert.deepStrictEqual([decisionsOf(none.bodies), decisionsOf(other.bodies)], [[], []])
    }))

  it.effect("come second: a decision that another client has made does not fail the stream", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(
        server([approval], 1, () => failure(400, "action_not_blocked")),
        follow({ onApproval: () => Effect.succeed("approved" as const) })
      )
      assert.deepStrictEqual(value?.seen, ["Started", "ApprovalNeeded", "Reset", "Done"])
    }))

  it.effect("whose decision is not sent end the stream with its place; the run goes on", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server([approval], 2, () => failure(403, "workspace_auth_error")),
        follow({ onApproval: () => Effect.succeed("approved" as const) })
      )
      const { details: _, message: said, request: __, waitingFor, ...error } = errorOf(value?.exit) as Record<
        string,
        unknown
      >
      assert.deepStrictEqual(error, {
        _tag: "DustForbiddenError",
        module: "Conversations",
        method: "validateAction",
        attempts: 1,
        status: 403,
        type: "workspace_auth_error",
        workspaceId: "ws1",
        conversationId: "c",
        userMessageId: "m",
        messageId: "a",
        lastEventId: "1-0"
      })
      assert.deepInclude(waitingFor, { _tag: "ApprovalNeeded", actionId: "1" })
      assert.match(String(said), / \(conversation c, message a\)$/)
      assert.isFalse(requests.some((one) => one.includes("cancel")))
    }))

  it.effect("that fail or die end the stream as they do, and the run is cancelled", () =>
    Effect.gen(function*() {
      for (const failing of [Effect.fail("mine" as const), Effect.die("mine")]) {
        const { bodies, value } = yield* scene(server([approval], 1), follow({ onApproval: () => failing }))
        assert.strictEqual(errorOf(value?.exit), "mine")
        assert.deepStrictEqual(value?.seen, ["Started", "ApprovalNeeded"])
        assert.deepStrictEqual(decisionsOf(bodies), [{ messageIds: ["a"] }])
      }
    }))
})

describe("the span of a run", () => {
  const run = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.provider.name": "dust",
    "gen_ai.agent.id": "helper",
    "gen_ai.agent.name": "Helper",
    "gen_ai.conversation.id": "c",
    "gen_ai.response.model": "gpt-5",
    "gen_ai.response.finish_reasons": "succeeded",
    "dust.workspace.id": "ws1",
    "dust.message.id": "a",
    "dust.run.cost_credits": 2,
    "dust.run.outcome": "succeeded"
  }
  const spanOf = (spans: ReadonlyArray<{ readonly name: string; readonly attributes: object }>, name: string) =>
    spans.find((span) => span.name === name)?.attributes

  it.effect("has its ids, its model and its end, however it is asked", () =>
    Effect.gen(function*() {
      const asked = { modelSelection: { providerId: "openai", modelId: "gpt-5" } } as const
      const chat = yield* scene(server([done]), follow(asked))
      const whole = spanOf(chat.spans, "invoke_agent helper")
      const waited = yield* scene(
        server([done]),
        Effect.flatMap(Conversations, (one) =>
          one.createMessage({
            conversationId: "c",
            content: "Hello",
            mentions: [{ type: "user", userId: "u" }, { configurationId: "helper" }],
            blocking: true,
            ...asked
          }))
      )
      assert.deepStrictEqual<unknown>(whole, { ...run, "gen_ai.request.model": "gpt-5", "dust.user_message.id": "m" })
      assert.deepStrictEqual(spanOf(waited.spans, "invoke_agent helper"), whole)
    }))

  it.effect("of a run that is resumed has no agent until its end", () =>
    Effect.gen(function*() {
      const { spans } = yield* scene(
        server([done]),
        Effect.flatMap(Chat, (chat) => Stream.runDrain(chat.resume({ conversationId: "c", messageId: "a" })))
      )
      assert.deepStrictEqual<unknown>(spanOf(spans, "invoke_agent"), run)
    }))
})

describe("a session", () => {
  it.effect("asks one question after the other in its conversation", () =>
    Effect.gen(function*() {
      const { bodies, requests, value } = yield* scene(
        server([done]),
        Effect.gen(function*() {
          const chat = yield* Chat
          const session = yield* chat.session({ agent: "helper", title: "Title" })
          const before = yield* session.conversationId
          yield* session.send("One")
          const text = yield* Stream.runCollect(session.streamText({ message: "Two" }))
          return [before._tag, Chunk.toReadonlyArray(text), (yield* session.conversationId)._tag]
        })
      )
      assert.deepStrictEqual<unknown>(value, ["None", ["Hi"], "Some"])
      assert.deepStrictEqual(
        bodies.map(([, body]) => (body as { readonly content?: string; readonly title?: string }).content ?? body),
        [{ title: "Title", contentFragments: [] }, "One", "Two"]
      )
      assert.lengthOf(requests.filter((one) => one.endsWith("POST /c/messages")), 2)
    }))

  it.effect("a turn that a handler of its own session asks for is a conflict", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(
        server([approval], 1),
        Effect.gen(function*() {
          const chat = yield* Chat
          const inner: Array<Record<string, unknown>> = []
          const session = yield* chat.session({ agent: "helper" })
          yield* session.send({
            message: "One",
            onApproval: () =>
              Effect.as(
                Effect.catchAll(
                  session.send("Two"),
                  (error: DustAPIError) => Effect.sync(() => inner.push(known(whole(error))))
                ),
                "approved" as const
              )
          })
          return inner
        })
      )
      assert.deepStrictEqual(value, [{
        _tag: "DustConflictError",
        module: "Chat",
        method: "session.send",
        attempts: 0,
        type: "turn_in_handler",
        details: { type: "turn_in_handler" },
        message:
          "Chat.session.send: a handler cannot start another turn of its own session, because that turn would wait for this one; use another session, or chat.send"
      }])
    }))
})
