/** The parts of `Chat` around a run: agents by name, attachments, reading messages, resuming, and what an error knows. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Either, Layer, Stream, TestClock } from "effect"
import { Agents } from "effect-dust/Agents"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import { Conversations } from "effect-dust/Conversations"
import type { DustAPIError } from "effect-dust/DustAPIError"
import type { Caller } from "effect-dust/DustClient"
import * as Fixtures from "effect-dust/Fixtures"
import { makeAgentIds, type Ref } from "../../src/internal/chat/agentIds.ts"
import { Attached } from "../../src/internal/chat/conversationOf.ts"
import { known, whole } from "../support/errors.ts"
import type * as Http from "../support/http.ts"
import { failure, json } from "../support/http.ts"
import { agentJson, conversationRoute, isStream, pageJson, scene, sse, userJson } from "../support/scene.ts"

type Request = Http.Recorded & { readonly path: string; readonly now: number }

const caller: Caller = { workspaceId: "w", hasUser: false, credential: "a" } as never

describe("an agent by its name", () => {
  const agents = [
    Fixtures.agent({ sId: "1", name: "Support" }),
    Fixtures.agent({ sId: "2", name: "Support EMEA" }),
    Fixtures.agent({ sId: "3", name: "Caf\u00e9" }),
    Fixtures.agent({ sId: "4", name: "Twin" }),
    Fixtures.agent({ sId: "5", name: "Twin" })
  ]
  const missing = Fixtures.error.DustNotFoundError()
  /** The ids, or the tag of the error, of references one after another; and the requests that it took. */
  const found = (
    refs: ReadonlyArray<Ref | number>,
    failing?: DustAPIError,
    of: (index: number) => Caller = () => caller
  ) => {
    const calls: Array<string> = []
    let asked = 0
    return Effect.gen(function*() {
      const service = yield* Agents
      const idOf = makeAgentIds(service, Effect.sync(() => of(asked)))
      const ids: Array<string> = []
      for (const ref of refs) {
        if (typeof ref === "number") yield* TestClock.adjust(ref)
        else {
          const id = yield* Effect.either(idOf("send", ref))
          asked++
          ids.push(Either.isRight(id) ? id.right : id.left._tag)
        }
      }
      return { ids, calls }
    }).pipe(Effect.provide(Layer.mock(Agents, {
      search: (text) => {
        calls.push(`search ${text}`)
        return failing === undefined
          ? Effect.succeed(agents.filter(({ name }) => name.includes(text)))
          : Effect.fail(failing as never)
      },
      findByName: (name) => {
        calls.push(`list ${name}`)
        const agent = agents.find((one) => one.name === name)
        return agent === undefined ? Effect.fail(missing) : Effect.succeed(agent)
      }
    })))
  }

  const rows: ReadonlyArray<readonly [string, Parameters<typeof found>, ReadonlyArray<string>, ReadonlyArray<string>]> =
    [
      ["an id is what it is", [["helper", "du@st"]], ["helper", "du@st"], []],
      ["a blank id is refused", [[" "]], ["DustBadRequestError"], []],
      ["a name is searched", [["@Support", { name: "Support EMEA" }]], ["1", "2"], [
        "search Support",
        "search Support EMEA"
      ]],
      ["white space and the form of Unicode do not count", [[{ name: " Cafe\u0301 " }]], ["3"], ["search Caf\u00e9"]],
      ["a name that is not unique is looked up in the list", [["@Twin"]], ["4"], ["search Twin", "list Twin"]],
      ["a part of a name is no name", [["@Suppor"]], ["DustNotFoundError"], ["search Suppor", "list Suppor"]],
      ["a blank name is not searched", [[{ name: " " }]], ["DustNotFoundError"], ["list  "]],
      ["no name is a blank one", [["@"]], ["DustNotFoundError"], ["list "]],
      ["a search that is refused leaves it to the list", [["@Support"], Fixtures.error.DustForbiddenError()], ["1"], [
        "search Support",
        "list Support"
      ]],
      ["a search that fails for now fails it", [["@Support"], Fixtures.error.DustRateLimitError()], [
        "DustRateLimitError"
      ], [
        "search Support"
      ]],
      ["is remembered for a minute", [["@Support", 59_999, "@Support", 1, "@Support"]], ["1", "1", "1"], [
        "search Support",
        "search Support"
      ]],
      ["that is not found is not remembered", [["@Who", "@Who"]], ["DustNotFoundError", "DustNotFoundError"], [
        "search Who",
        "list Who",
        "search Who",
        "list Who"
      ]],
      [
        "is remembered for its caller",
        [["@Support", "@Support", "@Support"], undefined, (index) => index === 1 ? { ...caller } : caller],
        ["1", "1", "1"],
        ["search Support", "search Support"]
      ]
    ]
  it.effect.each(rows)("%s", ([, args, ids, calls]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual<unknown>(yield* found(...args), { ids, calls })
    }))
})

describe("attachments that no message has followed", () => {
  const a = { title: "A", content: "x", contentType: "text/plain" }
  const b = { ...a, title: "B" }
  const other: Caller = { ...caller, workspaceId: "v" }

  it("are taken once each, by their caller, with the same content in any order of its members", () => {
    const attached = new Attached()
    assert.isFalse(attached.take("c", caller, a))
    attached.add("c", caller, [a, b])
    attached.add("c", caller, [a])
    attached.add("c", caller, [])
    assert.isFalse(attached.take("d", caller, a))
    assert.isFalse(attached.take("c", other, a))
    assert.isFalse(attached.take("c", caller, { ...a, content: "y" }))
    assert.isTrue(attached.take("c", caller, { contentType: "text/plain", title: "A", content: "x" }))
    assert.isTrue(attached.take("c", caller, b))
    assert.isFalse(attached.take("c", caller, b))
    assert.isTrue(attached.take("c", caller, a))
    assert.isFalse(attached.take("c", caller, a))
  })

  it("are forgotten when a message follows", () => {
    const attached = new Attached()
    attached.add("c", caller, [a])
    attached.add("d", caller, [a])
    attached.clear("c")
    assert.isFalse(attached.take("c", caller, a))
    assert.isTrue(attached.take("d", caller, a))
  })

  it("are remembered in the last 256 conversations", () => {
    const attached = new Attached()
    for (let index = 0; index <= 256; index++) attached.add(`${index}`, caller, [a])
    assert.isFalse(attached.take("0", caller, a))
    assert.isTrue(attached.take("1", caller, a))
    assert.isTrue(attached.take("256", caller, a))
  })
})

describe("a message of a conversation", () => {
  const page = (...ranks: ReadonlyArray<number>) => ranks.map((rank) => userJson(`m${rank}`, rank))
  const getMessage = (messageId: string) =>
    Effect.flatMap(
      Conversations,
      (one) => Effect.map(one.getMessage({ conversationId: "c", messageId }), ({ sId }) => sId)
    )
  /** Four pages of one message each; the whole conversation has an old version besides. */
  const server = ({ path, url }: Request): Http.Answer => {
    if (!path.includes("limit=")) return json(pageJson([[userJson("old", 1), userJson("m1", 1)], ...page(2, 3, 4, 5)]))
    const before = Number(url.searchParams.get("lastValue") ?? "6")
    return json(pageJson(page(before - 1), { hasMore: before > 2, lastValue: before > 2 ? String(before - 1) : null }))
  }
  const first = "0 GET /c?limit=20"
  const second = "0 GET /c?limit=100&lastValue=5"
  const third = "0 GET /c?limit=500&lastValue=4"
  const rows: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    ["on the newest page", "m5", [first]],
    ["on the second page", "m4", [first, second]],
    ["on the third page", "m3", [first, second, third]],
    ["further back", "m2", [first, second, third, "0 GET /c"]],
    ["in an old version", "old", [first, second, third, "0 GET /c"]]
  ]
  it.effect.each(rows)("is found %s", ([, messageId, requests]) =>
    Effect.gen(function*() {
      const run = yield* scene(server, getMessage(messageId))
      assert.deepStrictEqual([run.value, run.requests], [messageId, requests])
    }))

  it.effect("is not there", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(server, getMessage("x"))
      assert.deepStrictEqual(known(error), {
        _tag: "DustNotFoundError",
        module: "Conversations",
        method: "getMessage",
        request: { method: "GET", route: conversationRoute },
        attempts: 1,
        type: "message_not_found",
        details: { type: "message_not_found", messageId: "x" },
        message: "Conversations.getMessage: the conversation has no message \"x\""
      })
      assert.deepStrictEqual(requests, [first, second, third, "0 GET /c"])
      const short = yield* scene(() => json(pageJson(page(5), { hasMore: false, lastValue: "5" })), getMessage("x"))
      assert.deepStrictEqual(short.requests, [first, "0 GET /c"])
      const endless = yield* scene(() => json(pageJson(page(5), { hasMore: true, lastValue: null })), getMessage("x"))
      assert.deepStrictEqual(endless.requests, [first, "0 GET /c"])
    }))

  it.effect("pages: with their cursor, and 50 messages by default", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server,
        Effect.flatMap(Conversations, (one) =>
          Effect.all([
            one.pageMessages({ conversationId: "c" }),
            one.pageMessages({ conversationId: "c", limit: 1, lastValue: 2 }),
            Effect.map(
              Stream.runCollect(one.streamMessages({ conversationId: "c", pageSize: 7 })),
              (all) => Chunk.toReadonlyArray(all)
            )
          ]))
      )
      const [newest, oldest, all] = value ?? []
      assert.deepStrictEqual([newest?.messages.map(({ sId }) => sId), newest?.hasMore, newest?.lastValue], [
        ["m5"],
        true,
        5
      ])
      assert.deepStrictEqual([oldest?.messages.map(({ sId }) => sId), oldest?.hasMore, oldest?.lastValue], [
        ["m1"],
        false,
        null
      ])
      assert.deepStrictEqual(all?.map(({ sId }) => sId), ["m5", "m4", "m3", "m2", "m1"])
      assert.deepStrictEqual(requests, [
        "0 GET /c?limit=50",
        "0 GET /c?limit=1&lastValue=2",
        "0 GET /c?limit=7",
        ...[5, 4, 3, 2].map((cursor) => `0 GET /c?limit=7&lastValue=${cursor}`)
      ])
    }))

  const refused: ReadonlyArray<readonly [object, string, string, string]> = [
    [{ limit: 0 }, "limit", "an integer of at least 1", "0"],
    [{ limit: 1.5 }, "limit", "an integer of at least 1", "1.5"],
    [{ lastValue: 0.5 }, "lastValue", "the integer lastValue of the previous page", "0.5"]
  ]
  it.effect.each(refused)("pages are refused with %j", ([options, field, expected, got]) =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(
        server,
        Effect.flatMap(Conversations, (one) => one.pageMessages({ conversationId: "c", ...options }))
      )
      assert.deepStrictEqual([error?.["details"], error?.["message"], requests], [
        { field, expected },
        `Conversations.pageMessages: ${field} must be ${expected}, got ${got}`,
        []
      ])
    }))

  it.effect("is the position of the next send, if it is the newest one", () =>
    Effect.gen(function*() {
      const send = Effect.flatMap(Conversations, (one) => one.createMessage({ conversationId: "c", content: "Hello" }))
      const run = (read: (one: typeof Conversations.Service) => Effect.Effect<unknown, DustAPIError>) =>
        Effect.map(
          scene(
            (request) =>
              request.method === "POST" ? json({ message: userJson("m", 6), agentMessages: [] }) : server(request),
            Effect.zipRight(Effect.flatMap(Conversations, read), send)
          ),
          ({ requests }) => requests
        )
      const post = "0 POST /c/messages"
      assert.deepStrictEqual(yield* run((one) => one.get("c")), ["0 GET /c", post])
      assert.deepStrictEqual(yield* run((one) => one.pageMessages({ conversationId: "c", limit: 3 })), [
        "0 GET /c?limit=3",
        post
      ])
      assert.deepStrictEqual(yield* run((one) => one.pageMessages({ conversationId: "c", limit: 3, lastValue: 3 })), [
        "0 GET /c?limit=3&lastValue=3",
        "0 GET /c?limit=1",
        post
      ])
    }))
})

describe("a chat that is followed", () => {
  const message = userJson("m", 11)
  const running = agentJson("a", "m", { configuration: { sId: "helper", name: "Helper" } })
  const done = { type: "agent_message_success", message: { ...running, status: "succeeded", content: "Hi" } }
  const blocking = {
    type: "tool_approve_execution",
    conversationId: "c",
    messageId: "a",
    actionId: "1",
    inputs: { q: 1 },
    stake: "high",
    metadata: { toolName: "deploy", mcpServerName: "ops" }
  }
  const action = { sId: "1", toolName: "deploy" }
  const approval = Fixtures.chatEvent.ApprovalNeeded({
    eventId: "1-1",
    conversationId: "c",
    messageId: "a",
    actionId: "1",
    inputs: { q: 1 },
    stake: "high",
    tool: {
      toolName: "deploy",
      mcpServerName: "ops",
      mcpServerDisplayName: null,
      mcpServerId: null,
      agentName: null,
      icon: null
    }
  })
  const text = (word: string) => ({ type: "generation_tokens", classification: "tokens", text: word, step: 0 })

  /** A server whose stream has these events, and then is refused. */
  const server = (events: ReadonlyArray<readonly [string, object]>, over: object = running) => {
    let connections = 0
    return ({ method, path }: Request): Http.Answer => {
      if (method === "POST") {
        return json(path === "" ? pageJson([]) : { message, agentMessages: [running] })
      }
      if (isStream(path)) return connections++ === 0 ? sse(events) : failure(403, "workspace_auth_error")
      return json(path.endsWith("/blocked") ? { blockedActions: [] } : pageJson([message, over]))
    }
  }
  const collect = <E>(events: Stream.Stream<ChatEvent, E>) => {
    const seen: Array<ChatEvent> = []
    return Effect.map(
      Effect.either(Stream.runForEach(events, (event) => Effect.sync(() => seen.push(event)))),
      (end) => ({ seen, end })
    )
  }
  const ask = (more: object = {}) =>
    Effect.flatMap(Chat, (chat) => collect(chat.stream({ agent: "helper", message: "Hello", ...more })))
  const resume = (place: object, more: object = {}) =>
    Effect.flatMap(Chat, (chat) => collect(chat.resume({ conversationId: "c", messageId: "a", ...place, ...more })))

  const errorOf = (end: Either.Either<unknown, DustAPIError> | undefined) =>
    end !== undefined && Either.isLeft(end) ? known(whole(end.left)) : undefined
  const at = { workspaceId: "ws1", conversationId: "c", userMessageId: "m", messageId: "a" }
  const waiting = {
    _tag: "DustStreamError",
    module: "Chat",
    method: "stream",
    request: { method: "POST", route: `${conversationRoute}/messages` },
    attempts: 1,
    reason: "waiting_for_human",
    details: { reason: "waiting_for_human" },
    ...at,
    lastEventId: "1-1",
    waitingFor: approval,
    message: "Chat.stream: the run waits for a person (ApprovalNeeded) (conversation c, message a)"
  }

  it.effect("begins with its place, and ends with its reply", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(server([["1-0", text("Hi")], ["2-0", done]]), ask())
      assert.deepStrictEqual<unknown>(
        value?.seen.map((event) =>
          event._tag === "Started"
            ? { ...event, message: event.message?.sId }
            : event._tag === "Done"
            ? [event._tag, event.eventId]
            : event
        ),
        [
          { _tag: "Started", eventId: undefined, conversationId: "c", message: "m", messageId: "a" },
          { _tag: "TextDelta", eventId: "1-0", text: "Hi" },
          ["Done", "2-0"]
        ]
      )
    }))

  it.effect("begins where it is resumed, and replaces the text at its end", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(server([["1-1", text("i")], ["2-0", done]]), resume({ lastEventId: "1-0" }))
      assert.deepStrictEqual<unknown>(value?.seen.slice(0, -1), [
        { _tag: "Started", eventId: "1-0", conversationId: "c", message: undefined, messageId: "a" },
        { _tag: "TextDelta", eventId: "1-1", text: "i" },
        { _tag: "Reset", eventId: undefined, text: "Hi" }
      ])
    }))

  it.effect("fails where a person is needed, if that was chosen, and names the action", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server([["1-0", text("x")], ["1-1", blocking], ["1-2", text("y")]]),
        ask({ whenBlocked: "fail" })
      )
      assert.deepStrictEqual(value?.seen.map(({ _tag }) => _tag), ["Started", "TextDelta", "ApprovalNeeded"])
      assert.deepStrictEqual(value?.seen.at(-1), approval)
      assert.deepStrictEqual(errorOf(value?.end), waiting)
      assert.isFalse(requests.some((request) => request.includes("cancel")))
    }))

  const lost: ReadonlyArray<readonly [string, ReadonlyArray<readonly [string, object]>, object]> = [
    ["nothing", [["1-0", text("x")]], { lastEventId: "1-0" }],
    ["a person", [["1-0", text("x")], ["1-1", blocking]], { lastEventId: "1-1", waitingFor: approval }],
    ["a person no more: the tool has run", [["1-1", blocking], ["1-2", { type: "agent_action_success", action }]], {
      lastEventId: "1-2"
    }],
    ["a person no more: text follows", [["1-1", blocking], ["1-2", text("x")]], { lastEventId: "1-2" }],
    ["the last of two", [["1-0", { ...blocking, actionId: "0" }], ["1-1", blocking]], {
      lastEventId: "1-1",
      waitingFor: approval
    }]
  ]
  it.effect.each(lost)(
    "and is lost while it waits for %s, has all that is needed to go on",
    ([, events, expected]) =>
      Effect.gen(function*() {
        const { requests, value } = yield* scene(server(events), ask())
        const { details: _, message: said, ...error } = errorOf(value?.end) ?? {}
        assert.deepStrictEqual(error, {
          _tag: "DustForbiddenError",
          module: "Conversations",
          method: "messageEvents",
          request: { method: "GET", route: `${conversationRoute}/messages/{messageId}/events` },
          attempts: 1,
          status: 403,
          type: "workspace_auth_error",
          ...at,
          ...expected
        })
        assert.match(String(said), / \(conversation c, message a\)$/)
        assert.isFalse(requests.some((request) => request.includes("cancel")))
      })
  )

  const bad = (field: string, expected: string, got?: string) => ({
    _tag: "DustBadRequestError",
    module: "Chat",
    method: "resume",
    request: { method: "POST", route: `${conversationRoute}/messages` },
    attempts: 0,
    type: "invalid_input",
    details: { field, expected },
    message: `Chat.resume: ${field} must be ${expected}${got === undefined ? "" : `, got ${got}`}`
  })
  const chatError = "an error of Chat with conversationId and messageId"
  const server500 = Fixtures.error.DustServerError
  const unresumed: ReadonlyArray<readonly [string, object, object]> = [
    ["a blank conversation", { conversationId: " " }, bad("conversationId", "a non-blank id")],
    ["no conversation", { conversationId: undefined }, bad("conversationId", "a non-blank id")],
    ["a blank message", { messageId: "" }, bad("messageId", "a non-blank id")],
    ["an error without ids", server500(), bad("error", chatError, "a DustServerError without them")],
    [
      "an error without a message",
      server500({ conversationId: "c" }),
      bad("error", chatError, "a DustServerError without them")
    ],
    [
      "an error without a conversation",
      server500({ messageId: "a" }),
      bad("error", chatError, "a DustServerError without them")
    ],
    [
      "an error of another workspace",
      server500({ workspaceId: "ws2", conversationId: "c", messageId: "a" }),
      bad("error.workspaceId", "ws1, the workspace of this layer", "ws2")
    ],
    [
      "a silence that is none",
      { silence: "soon" },
      bad("silence", "a duration longer than zero, such as \"30 seconds\"")
    ]
  ]
  it.effect.each(unresumed)("is not resumed with %s", ([, place, expected]) =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server([]),
        Effect.flatMap(Chat, (chat) =>
          collect(
            "_tag" in place
              ? chat.resume(place as DustAPIError)
              : chat.resume({ conversationId: "c", messageId: "a", ...place })
          ))
      )
      assert.deepStrictEqual([value?.seen, requests], [[], []])
      assert.deepStrictEqual(errorOf(value?.end), expected)
    }))

  it.effect("is resumed from its error, at its event", () =>
    Effect.gen(function*() {
      const error = server500({ workspaceId: "ws1", conversationId: "c", messageId: "a", lastEventId: "1-0" })
      const { requests, value } = yield* scene(
        server([["2-0", done]]),
        Effect.flatMap(Chat, (chat) => collect(chat.resume(error)))
      )
      assert.deepStrictEqual(value?.seen.map(({ _tag }) => _tag), ["Started", "Reset", "Done"])
      assert.strictEqual(requests[0], "0 GET /c/messages/a/events?lastEventId=1-0")
    }))

  it.effect("is resumed from the error of a question in the queue, once it has an answer", () =>
    Effect.gen(function*() {
      const error = server500({ conversationId: "c", userMessageId: "m" })
      const { value } = yield* scene(
        server([["2-0", done]]),
        Effect.flatMap(Chat, (chat) => collect(chat.resume(error)))
      )
      assert.deepStrictEqual(value?.seen.map(({ _tag }) => _tag), ["Started", "Reset", "Done"])
      const none = yield* scene(
        ({ path }) => isStream(path) ? sse([]) : json(pageJson([message])),
        Effect.flatMap(Chat, (chat) => collect(chat.resume(error)))
      )
      assert.deepStrictEqual(errorOf(none.value?.end), {
        _tag: "DustNotFoundError",
        module: "Chat",
        method: "resume",
        attempts: 1,
        type: "agent_not_found",
        details: { agentId: null },
        workspaceId: "ws1",
        conversationId: "c",
        userMessageId: "m",
        message: "Chat.resume: no agent answered this question (conversation c, question m)"
      })
    }))
})
