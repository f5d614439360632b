/** Following a run: the reads of the conversation besides the stream, and their results. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { Conversations } from "effect-dust/Conversations"
import { known } from "../support/errors.ts"
import type * as Http from "../support/http.ts"
import { json } from "../support/http.ts"
import { agentJson, conversationRoute, isStream, pageJson, scene, sse, start, userJson } from "../support/scene.ts"

const ids = { conversationId: "c", messageId: "a" }
const running = agentJson("a", "m")

type Request = Http.Recorded & { readonly path: string; readonly now: number }

interface World {
  /** The message, by the time. */
  readonly message: (now: number) => object
  readonly blocked?: ReadonlyArray<object>
  /** The events of each connection. */
  readonly streams?: ReadonlyArray<ReadonlyArray<readonly [string, object]>>
  readonly open?: boolean
}

const server = ({ blocked = [], message, open = false, streams = [] }: World) => {
  let connection = 0
  return ({ now, path }: Request): Http.Answer =>
    isStream(path)
      ? sse(streams[connection++] ?? [], open)
      : path.endsWith("/actions/blocked")
      ? json({ blockedActions: blocked })
      : json(pageJson([userJson("m", 11), message(now)]))
}

const events = (options: { readonly lastEventId?: string } = {}) =>
  Effect.flatMap(
    Conversations,
    (conversations) =>
      Effect.map(Stream.runCollect(conversations.messageEvents({ ...ids, ...options })), Chunk.toReadonlyArray)
  )

const end = ["2-0", { type: "agent_generation_cancelled" }] as const

/** A resuming consumer needs the stream, the message and what it waits for, at once. */
const resuming = ["0 GET /c/messages/a/events?lastEventId=1-0", "0 GET /c?limit=20", "0 GET /c/actions/blocked"]
const following = ["0 GET /c/messages/a/events"]

describe("a run that is resumed", () => {
  const ended = {
    created: start,
    completedTs: start + 5,
    configuration: { sId: "helper", name: "Helper" }
  }
  const base = { messageId: "a", configurationId: "helper", created: start + 5 }
  const rows: ReadonlyArray<readonly [string, object, object]> = [
    ["failed", { ...ended, status: "failed", error: { code: "x", message: "y", metadata: { z: 1 } } }, {
      type: "agent_error",
      ...base,
      error: { code: "x", message: "y", metadata: { z: 1 } }
    }],
    ["failed without a reason", { ...ended, status: "failed" }, {
      type: "agent_error",
      ...base,
      error: { code: "unknown_error", message: "Dust reported no details", metadata: {} }
    }],
    ["cancelled", { ...ended, status: "cancelled" }, {
      type: "agent_generation_cancelled",
      ...base,
      status: "cancelled"
    }],
    ["cancelled, of which little is known", { status: "cancelled" }, {
      type: "agent_generation_cancelled",
      messageId: "a",
      configurationId: null,
      created: start,
      status: "cancelled"
    }]
  ]
  it.effect.each(rows)(
    "has %s: its end is that of its message, and nothing else is asked",
    ([, message, expected]) =>
      Effect.gen(function*() {
        const { requests, value } = yield* scene(
          server({ message: () => ({ ...running, ...message }), streams: [] }),
          events({ lastEventId: "1-0" })
        )
        assert.deepStrictEqual<unknown>(value, [expected])
        assert.deepStrictEqual(requests, resuming)
      })
  )

  it.effect("is read together with its open actions", () =>
    Effect.gen(function*() {
      const { requests } = yield* scene(
        (request) => {
          const answer = server({ message: () => running, streams: [] })(request)
          return isStream(request.path) || answer instanceof Response === false
            ? sse([], true)
            : Effect.delay(Effect.succeed(answer), "1 second")
        },
        Effect.timeoutOption(events({ lastEventId: "1-0" }), "10 seconds")
      )
      assert.deepStrictEqual(requests.slice(0, 3), resuming)
    }))

  it.effect("has succeeded: its last event has the message", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(
        server({ message: () => ({ ...running, ...ended, status: "succeeded", content: "Hi" }) }),
        events({ lastEventId: "1-0" })
      )
      const [event] = value ?? []
      assert.deepInclude(event, { type: "agent_message_success", ...base })
      assert.strictEqual(event?.type === "agent_message_success" && event.message.content, "Hi")
    }))
})

describe("what a run waits for", () => {
  const action = (actionId: string, status: string, more: object = {}) => ({
    actionId,
    conversationId: "c",
    messageId: "a",
    status,
    inputs: { q: 1 },
    stake: "high",
    metadata: { toolName: "deploy", mcpServerName: "ops" },
    ...more
  })
  const tool = {
    toolName: "deploy",
    mcpServerName: "ops",
    mcpServerDisplayName: null,
    mcpServerId: null,
    agentName: null,
    icon: null
  }
  const common = {
    messageId: "a",
    conversationId: "c",
    inputs: { q: 1 },
    stake: "high",
    metadata: tool,
    isLastBlockingEventForStep: null,
    argumentsRequiringApproval: null
  }
  const question = { question: "Which?", options: [{ label: "A", description: null }], multiSelect: false }
  const account = { mcpServerId: "s", provider: "p", toolName: "t", message: "m", scope: "x" }
  const file = { fileId: "f", fileName: "n", connectionId: "c", mimeType: "t", toolName: "t", message: "m" }

  it.effect("is announced once, though the stream announces it, too; a sub-agent's is, another message's is not", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server({
          message: () => running,
          blocked: [
            action("1", "blocked_validation_required"),
            action("2", "blocked_user_answer_required", { question }),
            action("3", "blocked_authentication_required", { authError: account }),
            action("4", "blocked_file_authorization_required", { fileAuthError: file }),
            action("5", "blocked_of_the_future"),
            action("6", "blocked_validation_required", { conversationId: "child", messageId: "child-a" }),
            action("7", "blocked_validation_required", { messageId: "other" })
          ],
          streams: [[], [
            ["1-1", { type: "tool_approve_execution", ...common, actionId: "1" }],
            ["1-2", { type: "tool_approve_execution", ...common, actionId: "1" }],
            ["1-3", { type: "tool_approve_execution", ...common, actionId: "8" }],
            end
          ]]
        }),
        events({ lastEventId: "1-0" })
      )
      assert.deepStrictEqual<unknown>(value?.slice(0, -1), [
        { type: "tool_approve_execution", ...common, actionId: "1" },
        { type: "tool_ask_user_question", ...common, actionId: "2", question },
        { type: "tool_personal_auth_required", ...common, actionId: "3", authError: account },
        { type: "tool_file_auth_required", ...common, actionId: "4", fileAuthError: file },
        { type: "tool_approve_execution", ...common, actionId: "5" },
        { type: "tool_approve_execution", ...common, actionId: "6", conversationId: "child", messageId: "child-a" },
        { type: "tool_approve_execution", ...common, eventId: "1-2", actionId: "1" },
        { type: "tool_approve_execution", ...common, eventId: "1-3", actionId: "8" }
      ])
      assert.deepStrictEqual(requests.slice(0, 3), resuming)
    }))

  it.effect("is not read for a run that is not resumed", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(server({ message: () => running, streams: [[end]] }), events())
      assert.deepStrictEqual<unknown>(value, [{ ...end[1], eventId: "2-0", status: null }])
      assert.deepStrictEqual(requests, following)
    }))
})

describe("the end of a run", () => {
  const failed = { type: "tool_error", error: { code: "x", message: "y", metadata: {} } }
  const final = { ...running, status: "succeeded", content: "Hi" }
  const answer = Effect.flatMap(Conversations, (conversations) => conversations.answer(ids))

  const rows: ReadonlyArray<readonly [string, object, (now: number) => object, object, ReadonlyArray<number>]> = [
    [
      "a cancellation that shows at once",
      end[1],
      () => ({ ...running, status: "cancelled" }),
      { status: "cancelled" },
      [
        0
      ]
    ],
    ["a cancellation that shows later", end[1], (now) => now < 3_200 ? running : { ...running, status: "cancelled" }, {
      status: "cancelled"
    }, [0, 200, 1_200, 3_200]],
    ["a cancellation that never shows", end[1], () => running, { status: "cancelled", error: null }, [
      0,
      200,
      1_200,
      3_200,
      7_200
    ]],
    ["a failure that never shows", { ...failed, type: "agent_error" }, () => running, {
      status: "failed",
      error: { code: "x", message: "y", metadata: {} }
    }, [0, 200, 1_200, 3_200, 7_200]],
    [
      "a failure of which the message has the reason",
      { ...failed, type: "agent_error" },
      () => ({
        ...running,
        error: { code: "v", message: "w" }
      }),
      { status: "failed", error: { code: "v", message: "w", metadata: {} } },
      [0, 200, 1_200, 3_200, 7_200]
    ],
    [
      "a message whose state is not final yet",
      { type: "agent_message_success", message: { ...running, content: "Hi" } },
      () => running,
      { status: "succeeded", content: "Hi" },
      [0]
    ],
    [
      "a graceful stop",
      { type: "agent_message_gracefully_stopped", message: { ...final, status: "gracefully_stopped" } },
      () => running,
      { status: "succeeded", content: "Hi" },
      [0]
    ]
  ]
  it.effect.each(rows)(
    "is the message in its final state: %s",
    ([, event, message, expected, reads]) =>
      Effect.gen(function*() {
        const { requests, value } = yield* scene(server({ message, streams: [[["1-0", event]]] }), answer)
        assert.deepInclude(value, expected)
        // The run is read when it is followed, too.
        assert.deepStrictEqual(
          requests.filter((one, index) =>
            one.endsWith("/c?limit=20") && (!one.startsWith("0 ") || requests.indexOf(one) === index)
          ),
          reads.map((time) => `${time} GET /c?limit=20`)
        )
      })
  )

  it.effect("is not that of a failed tool, if the run continues", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server({
          message: () => running,
          streams: [[["1-0", failed]], [["1-1", { type: "agent_message_success", message: final }]]]
        }),
        answer
      )
      assert.strictEqual(value?.content, "Hi")
      assert.deepStrictEqual(requests, [...following, "0 GET /c?limit=20", "0 GET /c/actions/blocked", ...following])
    }))

  it.effect("is that of a failed tool, if the message has failed: it has no other event", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server({
          message: () => ({ ...running, status: "failed", error: { code: "x", message: "y" } }),
          streams: [[["1-0", failed]]]
        }),
        events()
      )
      assert.deepStrictEqual(value?.map(({ eventId, type }) => [eventId, type]), [["1-0", "tool_error"]])
      assert.deepStrictEqual(requests, [...following, "0 GET /c?limit=20"])
    }))

  it.effect("may be an event of another shape: the message decides", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server({ message: () => final, streams: [[["1-0", { type: "agent_message_success", message: 1 }]]] }),
        events()
      )
      assert.deepStrictEqual(value?.map(({ eventId, type }) => [eventId, type]), [
        ["1-0", "unknown"],
        [undefined, "agent_message_success"]
      ])
      assert.deepStrictEqual(requests, [...following, "0 GET /c?limit=20"])
    }))

  it.effect("is none for a message that is not an agent's", () =>
    Effect.gen(function*() {
      const { error } = yield* scene(
        server({ message: () => userJson("a", 12), streams: [[end]] }),
        answer
      )
      assert.deepStrictEqual(known(error), {
        _tag: "DustStreamError",
        module: "Conversations",
        method: "answer",
        request: { method: "GET", route: "" },
        attempts: 1,
        reason: "ended",
        details: { reason: "ended" },
        message: "Conversations.answer: the message is not an agent message"
      })
    }))

  it.effect("an invalid silence is refused before any request", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(
        server({ message: () => running }),
        Effect.flatMap(Conversations, (conversations) =>
          Stream.runDrain(conversations.messageEvents({ ...ids, silence: "soon" as "1 second" })))
      )
      const expected = "a duration longer than zero, such as \"30 seconds\""
      assert.deepStrictEqual(known(error), {
        _tag: "DustBadRequestError",
        module: "Conversations",
        method: "messageEvents",
        request: { method: "GET", route: `${conversationRoute}/messages/{messageId}/events` },
        attempts: 0,
        type: "invalid_input",
        details: { field: "silence", expected },
        message: `Conversations.messageEvents: silence must be ${expected}`
      })
      assert.deepStrictEqual(requests, [])
    }))
})

describe("the replies to a message", () => {
  const answers = Effect.flatMap(
    Conversations,
    (conversations) =>
      Effect.map(
        conversations.answers({ conversationId: "c", messageId: "m" }),
        (all) => all.map(({ content, sId }) => `${sId} ${content}`)
      )
  )
  const message = userJson("m", 11)
  const queued = { ...message, visibility: "pending" }
  const final = { ...running, status: "succeeded", content: "Hi" }

  /** What the conversation shows, by the number of the read and the time, and the events that it sends. */
  const queue = (
    shown: (nth: number, now: number) => ReadonlyArray<object>,
    stream: ReadonlyArray<readonly [string, object]> = []
  ) => {
    let read = 0
    return ({ now, path }: Request) => isStream(path) ? sse(stream, true) : json(pageJson(shown(++read, now)))
  }

  it.effect("are read, and those that are running are followed together", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(({ path }) =>
        isStream(path)
          ? sse([["1-0", {
            type: "agent_message_success",
            message: { ...final, sId: path.includes("/a/") ? "a" : "b" }
          }]])
          : json(
            pageJson([message, running, agentJson("b", "m"), { ...final, sId: "d" }, {
              ...final,
              sId: "x",
              parentMessageId: "other"
            }])
          ), answers)
      assert.deepStrictEqual(value, ["a Hi", "b Hi", "d Hi"])
      assert.deepStrictEqual(requests, [
        "0 GET /c?limit=20",
        "0 GET /c/messages/a/events",
        "0 GET /c/messages/b/events"
      ])
    }))

  it.effect("none are awaited for a message that is not in the queue", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(queue(() => [message]), answers)
      assert.deepStrictEqual(value, [])
      assert.deepStrictEqual(requests, ["0 GET /c?limit=20"])
    }))

  const began = (parentMessageId: string) =>
    ["1-0", { type: "agent_message_new", messageId: "a", message: { ...running, parentMessageId } }] as const
  const promoted = (messageId: string) => ["1-1", { type: "user_message_promoted", messageId }] as const
  const waits: ReadonlyArray<
    readonly [
      string,
      (nth: number, now: number) => ReadonlyArray<object>,
      ReadonlyArray<readonly [string, object]>,
      ReadonlyArray<string>,
      ReadonlyArray<number>
    ]
  > = [
    ["has its reply with an event", (nth) => nth < 3 ? [queued] : [message, final], [began("m")], ["a Hi"], [0, 0, 0]],
    ["leaves it with an event", (nth) => nth < 3 ? [queued] : [message, final], [promoted("m")], ["a Hi"], [0, 0, 0]],
    [
      "has its reply without one: events of other messages do not count",
      (nth) => nth < 3 ? [queued] : [message, final],
      [began("x"), promoted("x")],
      ["a Hi"],
      [0, 0, 15_000]
    ],
    ["left it and has no reply", (nth) => nth === 1 ? [queued] : [message], [], [], [0, 0, 15_000]],
    [
      "left it with an event, and has no reply for a while",
      (nth) => nth === 1 ? [queued] : [message],
      [promoted("m"), began("m")],
      [],
      [0, 0, 0, 0, 15_000]
    ],
    ["stays there for a while", (_, now) => now < 60_000 ? [queued] : [message, final], [], ["a Hi"], [
      0,
      0,
      15_000,
      30_000,
      45_000,
      60_000
    ]]
  ]
  it.effect.each(waits)(
    "are awaited for a message in the queue that %s",
    ([, shown, stream, expected, reads]) =>
      Effect.gen(function*() {
        const { requests, value } = yield* scene(queue(shown, stream), answers)
        assert.deepStrictEqual(value, expected)
        assert.deepStrictEqual(
          requests.filter((one) => !isStream(one)),
          reads.map((time) => `${time} GET /c?limit=20`)
        )
      })
  )

  it.effect("of a message that is not there, or no longer, cannot be read", () =>
    Effect.gen(function*() {
      const missing = {
        _tag: "DustNotFoundError",
        module: "Conversations",
        method: "answers",
        request: { method: "GET", route: conversationRoute },
        attempts: 1,
        type: "message_not_found",
        details: { type: "message_not_found", messageId: "m" },
        message: "Conversations.answers: the conversation has no message \"m\""
      }
      const none = yield* scene(queue(() => []), answers)
      assert.deepStrictEqual(known(none.error), missing)
      const gone = yield* scene(queue((nth) => nth === 1 ? [queued] : []), answers)
      assert.deepStrictEqual(known(gone.error), missing)
    }))
})
