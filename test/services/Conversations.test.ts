import { assert, describe, it, vi } from "@effect/vitest"
import { Chunk, Duration, Effect, Either, Fiber, ParseResult, Redacted, Schema, Stream, TestClock } from "effect"
import { type ContentFragmentInput, Conversations, type Service } from "effect-dust/Conversations"
import type { SendError } from "effect-dust/DustAPIError"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as Message from "effect-dust/Message"
import { dust as recording, failure, json } from "../support/http.ts"

const { faults } = DustTest

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const inTime = <A, E, R>(self: Effect.Effect<A, E, R>, time: Duration.DurationInput = "1 hour") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

/** A conversation with one answered message. */
const asked = (content = "Hello", agent = "echo") =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const dust = yield* DustTest.DustTest
    const { sId: conversationId } = yield* conversations.create()
    const { agentMessages, message } = yield* conversations.createMessage({
      conversationId,
      content,
      mentions: [{ configurationId: agent }]
    })
    const agentMessageId = agentMessages[0]?.sId ?? ""
    return { conversations, dust, conversationId, messageId: message.sId, agentMessageId }
  })

const answered = (content?: string, agent?: string) =>
  Effect.tap(asked(content, agent), ({ agentMessageId, dust }) => inTime(dust.waitForRun(agentMessageId)))

describe("create", () => {
  it.effect("without anything, with a title, in a space", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const empty = yield* conversations.create()
      assert.deepStrictEqual([empty.title, empty.content, empty.visibility], [null, [], "unlisted"])
      assert.deepStrictEqual((yield* dust.lastRequest()).body, {})
      const titled = yield* conversations.create({ title: "Weekly", spaceId: "vlt_product", visibility: "test" })
      assert.strictEqual(titled.title, "Weekly")
      assert.deepStrictEqual((yield* dust.lastRequest()).body, {
        title: "Weekly",
        spaceId: "vlt_product",
        visibility: "test"
      })
      const missing = yield* Effect.flip(conversations.create({ spaceId: "vlt_nowhere" }))
      assert.deepStrictEqual([missing._tag, missing.type], ["DustNotFoundError", "space_not_found"])
      assert.lengthOf(yield* dust.conversations, 2)
    }).pipe(local()))

  it.effect("with a message, its attachments and a model, and the answer when it waits", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const made = yield* inTime(conversations.create({
        title: "First",
        contentFragments: [{ title: "Notes", content: "n".repeat(10), contentType: "text/plain" }],
        message: {
          content: "Hello",
          mentions: [{ configurationId: "echo" }],
          modelSelection: { providerId: "openai", modelId: "gpt-5", reasoningEffort: "high" },
          skipToolsValidation: true
        },
        blocking: true
      }))
      assert.strictEqual(made.message.content, "Hello")
      assert.deepStrictEqual(made.agentMessages.map(({ content, status }) => [status, content]), [[
        "succeeded",
        "Hello"
      ]])
      assert.deepStrictEqual(made.contentFragments.map(({ title }) => title), ["Notes"])
      assert.deepStrictEqual(made.content.flat().map(({ type }) => type), [
        "content_fragment",
        "user_message",
        "agent_message"
      ])
      const post = yield* dust.lastRequest({
        method: "POST",
        path: "/assistant/conversations/:conversationId/messages"
      })
      assert.deepInclude(post.body, {
        modelSelection: { providerId: "openai", modelId: "gpt-5", reasoningEffort: "high" },
        skipToolsValidation: true
      })
      // Waiting is done by following, never by the server's blocking mode.
      assert.notProperty(post.body, "blocking")
    }).pipe(local()))

  it.effect("with a message that is wrong makes no conversation", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(conversations.create({ message: { content: " " } }))
      assert.match(error.message, /content must be non-blank text/)
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local()))

  const failed: ReadonlyArray<readonly [string, string, object]> = [
    ["one of Dust", `{"error":{"type":"agent_inaccessible"}}`, { type: "agent_inaccessible" }],
    ["a page", "<p>no</p>", { answer: "<p>no</p>" }]
  ]
  it.effect.each(failed)(
    "create: the error of a failed message has the id of the conversation: %s",
    ([, body, details]) => {
      const { layer } = recording(({ url }) =>
        url.pathname.endsWith("/messages")
          ? new Response(body, { status: 400 })
          : json({ conversation: { sId: "cnv_1" } })
      )
      return Effect.gen(function*() {
        const conversations = yield* Conversations
        const error = yield* Effect.flip(conversations.create({ message: { content: "Hello" } }))
        assert.strictEqual(error.status, 400)
        assert.deepStrictEqual(error.details, { ...details, conversationId: "cnv_1" })
      }).pipe(Effect.provide(layer))
    }
  )
})

describe("invalid input fails before any request", () => {
  const ref = { conversationId: "c", messageId: "m" }
  const send = (more: object) => (conversations: Service) =>
    conversations.createMessage({ conversationId: "c", content: "Hello", ...more })
  const cases: ReadonlyArray<
    readonly [string, string, (conversations: Service) => Effect.Effect<unknown, SendError>]
  > = [
    ["a blank conversation id", "conversationId", (_) => _.get(" ")],
    ["an id of one dot", "conversationId", (_) => _.get(".")],
    ["an id of two dots", "conversationId", (_) => _.listMessages("..")],
    ["an id that is not Unicode", "conversationId", (_) => _.get("\ud800")],
    ["an id of half a character", "conversationId", (_) => _.get("a\udc00")],
    ["a blank message id", "messageId", (_) => _.getMessage({ conversationId: "c", messageId: "" })],
    ["a dotted message id", "messageId", (_) => _.editMessage({ conversationId: "c", messageId: "..", content: "x" })],
    ["a blank id to follow", "conversationId", (_) => _.answers({ conversationId: "", messageId: "m" })],
    ["a silence that is not a duration", "silence", (_) => _.answer({ ...ref, silence: "soon" as "1 seconds" })],
    ["a silence of nothing", "silence", (_) => _.answer({ ...ref, silence: 0 })],
    ["a dotted id of one message", "messageId", (_) => _.getMessage({ conversationId: "c", messageId: ".." })],
    ["a blank agent", "mentions", send({ mentions: [{ configurationId: " " }] })],
    ["a blank person", "mentions", send({ mentions: [{ type: "user", userId: "" }] })],
    [
      "a blank agent of an edit",
      "mentions",
      (_) => _.editMessage({ ...ref, content: "x", mentions: [{ configurationId: "" }] })
    ],
    ["a blank space", "spaceId", (_) => _.create({ spaceId: "" })],
    ["a timezone that is none", "context.timezone", send({ context: { timezone: null } })],
    ["a title over 512 characters", "title", (_) => _.create({ title: "t".repeat(513) })],
    ["a new title over 512 characters", "title", (_) => _.updateTitle({ conversationId: "c", title: "t".repeat(513) })],
    ["blank content", "content", send({ content: " \n" })],
    ["a blank username", "context.username", send({ context: { username: " " } })],
    ["a username over 255 characters", "context.username", send({ context: { username: "u".repeat(256) } })],
    ["an email over 255 characters", "context.email", send({ context: { email: "e".repeat(256) } })],
    ["an unknown timezone", "context.timezone", send({ context: { timezone: "Mars/Olympus" } })],
    ["two agents", "mentions", send({ mentions: [{ configurationId: "a" }, { configurationId: "b" }] })],
    ["client-side tools with a key", "clientSideMCPServerIds", send({ context: { clientSideMCPServerIds: ["s"] } })],
    ["tools of spaces with a key", "selectedMCPServerViewIds", send({ context: { selectedMCPServerViewIds: ["s"] } })],
    ["blank content of an edit", "content", (_) => _.editMessage({ ...ref, content: "" })],
    ["a limit of zero", "limit", (_) => _.pageMessages({ conversationId: "c", limit: 0 })],
    ["half a message", "limit", (_) => _.pageMessages({ conversationId: "c", limit: 1.5 })],
    ["no number of messages", "limit", (_) => _.pageMessages({ conversationId: "c", limit: Number.NaN })],
    ["half a position", "lastValue", (_) => _.pageMessages({ conversationId: "c", lastValue: 1.5 })],
    ["a page size of zero", "limit", (_) => Stream.runDrain(_.streamMessages({ conversationId: "c", pageSize: 0 }))],
    ["nothing to cancel", "messageIds", (_) => _.cancel({ conversationId: "c", messageIds: [] })],
    ["a blank id to cancel", "messageIds", (_) => _.cancel({ conversationId: "c", messageIds: [""] })],
    [
      "an empty attachment",
      "content",
      (_) =>
        _.createContentFragment({
          conversationId: "c",
          fragment: { title: "t", content: "", contentType: "text/plain" }
        })
    ],
    [
      "an attachment that is too large",
      "content",
      (_) =>
        _.createContentFragment({
          conversationId: "c",
          fragment: { title: "t", content: "x".repeat(524_289), contentType: "text/plain" }
        })
    ],
    [
      "an attachment without a title",
      "title",
      (_) => _.createContentFragment({ conversationId: "c", fragment: { title: " ", fileId: "f" } })
    ],
    [
      "a path out of the folder",
      ".downloadFile: path must be ",
      (_) => Stream.runDrain(_.downloadFile({ conversationId: "c", path: "../x" }))
    ],
    [
      "no path",
      ".downloadFile: path must be ",
      (_) => Stream.runDrain(_.downloadFile({ conversationId: "c", path: "" }))
    ],
    [
      "a path with an empty part",
      ".downloadFile: path must be ",
      (_) => Stream.runDrain(_.downloadFile({ conversationId: "c", path: "a//b" }))
    ],
    [
      "an email that is not a valid header",
      ".createFeedback: userEmail must be ",
      (_) => _.createFeedback({ ...ref, thumb: "up", userEmail: "a@b\r\nx: y" })
    ],
    ["a blank action", "actionId", (_) => _.validateAction({ ...ref, actionId: "", approved: "approved" })],
    ...([
      ["of no shape", {}, "content"],
      ["of two shapes", { content: "x", contentType: "text/plain", fileId: "f" }, "fileId"],
      ["of a file with a type", { fileId: "f", contentType: "text/plain" }, "contentType"],
      ["without a type", { content: "x" }, "contentType"],
      ["with a blank type", { content: "x", contentType: " " }, "contentType"],
      ["with a blank file", { fileId: " " }, "fileId"],
      ["with a blank node", { nodeId: "", nodeDataSourceViewId: "v" }, "nodeId"],
      ["of a node that is nowhere", { nodeId: "n" }, "nodeDataSourceViewId"]
    ] as const).flatMap(([what, fields, field]): typeof cases => {
      const fragment = { title: "t", ...fields } as ContentFragmentInput
      return [
        [
          `an attachment ${what}`,
          `: ${field} must be `,
          (_) => _.createContentFragment({ conversationId: "c", fragment })
        ],
        [
          `a first attachment ${what}`,
          `contentFragments.0.${field} must be `,
          (_) => _.create({ contentFragments: [fragment] })
        ]
      ]
    }),
    [
      "an answer without options and words",
      "answer.selectedOptions must be ",
      (_) => _.answerQuestion({ ...ref, actionId: "a", answer: { selectedOptions: [], customResponse: " " } })
    ],
    [
      "half an option",
      "answer.selectedOptions.0",
      (_) => _.answerQuestion({ ...ref, actionId: "a", answer: { selectedOptions: [0.5] } })
    ],
    [
      "an option below zero",
      "answer.selectedOptions.0",
      (_) => _.answerQuestion({ ...ref, actionId: "a", answer: { selectedOptions: [-1] } })
    ]
  ]

  it.effect.each(cases)("%s", ([, field, call]) =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const error = yield* Effect.flip(call(yield* Conversations))
      assert.include(["DustBadRequestError", "DustUserRequiredError"], error._tag)
      assert.strictEqual(error.attempts, 0)
      assert.strictEqual(error.status, undefined)
      assert.include(error.message, field)
      assert.notMatch(error.message, /or null|or undefined/)
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local()))

  it.effect("an API key fails before any request where a user is required", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      for (
        const call of [
          conversations.list(),
          conversations.delete({ conversationId: "c" }),
          conversations.deleteMessage({ conversationId: "c", messageId: "m" }),
          conversations.listFeedback("c"),
          conversations.createFeedback({ conversationId: "c", messageId: "m", thumb: "up" }),
          conversations.deleteFeedback({ conversationId: "c", messageId: "m", userEmail: " " })
        ]
      ) {
        const error = yield* Effect.flip(Effect.asVoid(call))
        assert.deepStrictEqual([error._tag, error.attempts], ["DustUserRequiredError", 0])
        assert.match(error.message, /access token/)
      }
      assert.strictEqual(yield* dust.countRequests(), 0)
    }).pipe(local()))
})

describe("reading", () => {
  it.effect("get, updateTitle, markRead, markUnread", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { sId } = yield* conversations.create()
      yield* conversations.updateTitle({ conversationId: sId, title: "t".repeat(512) })
      assert.strictEqual((yield* conversations.get(sId)).title, "t".repeat(512))
      yield* conversations.markRead(sId)
      yield* conversations.markUnread(sId)
      assert.deepStrictEqual((yield* dust.requests({ method: "PATCH" })).map(({ body }) => body), [
        { title: "t".repeat(512) },
        { read: true },
        { read: false }
      ])
      assert.isTrue((yield* conversations.get(sId)).unread)
      const missing = yield* Effect.flip(conversations.get("nowhere"))
      assert.deepStrictEqual([missing._tag, missing.type], ["DustNotFoundError", "conversation_not_found"])
    }).pipe(local({ credential: "userToken" })))

  it.effect("list gives the user's conversations", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId } = yield* conversations.create({ title: "Mine" })
      const found = yield* conversations.list()
      assert.deepStrictEqual(found.filter((one) => one.sId === sId).map(({ title }) => title), ["Mine"])
    }).pipe(local({ credential: "userToken" })))

  it.effect("listMessages: the current version of each, deleted ones and earlier versions when asked for", () =>
    Effect.gen(function*() {
      const { conversationId, conversations, messageId } = yield* answered("First")
      yield* conversations.editMessage({ conversationId, messageId, content: "Second" })
      const texts = (options?: { readonly allVersions?: boolean; readonly deleted?: boolean }) =>
        Effect.map(
          conversations.listMessages(conversationId, options),
          (messages) => messages.map((message) => `${message.type} ${message.version} ${Message.text(message)}`)
        )
      assert.deepStrictEqual(yield* texts(), ["user_message 1 Second", "agent_message 0 First"])
      assert.deepStrictEqual(yield* texts({ allVersions: true }), [
        "user_message 0 First",
        "user_message 1 Second",
        "agent_message 0 First"
      ])
      const [user] = yield* conversations.listMessages(conversationId)
      yield* conversations.deleteMessage({ conversationId, messageId: user?.sId ?? "" })
      assert.notInclude((yield* texts()).join(), "user_message")
      assert.notInclude((yield* texts({ allVersions: true })).join(), "user_message")
      assert.include((yield* texts({ deleted: true })).join(), "user_message 2")
    }).pipe(local({ credential: "userToken" })))

  const seeded = (count: number): DustTest.Options => ({
    seed: {
      conversations: [{
        sId: "long",
        messages: Array.from(
          { length: count },
          (_, i) =>
            i % 2 === 0 ? { role: "user", content: `m${i}` } as const : { role: "agent", content: `m${i}` } as const
        )
      }]
    }
  })

  it.effect("pageMessages: from the newest back, each page oldest first", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const first = yield* conversations.pageMessages({ conversationId: "long", limit: 3 })
      assert.deepStrictEqual([first.messages.map(Message.text), first.hasMore], [["m4", "m5", "m6"], true])
      assert.isNumber(first.lastValue)
      const second = yield* conversations.pageMessages({
        conversationId: "long",
        limit: 3,
        lastValue: first.lastValue ?? 0
      })
      assert.deepStrictEqual(second.messages.map(Message.text), ["m1", "m2", "m3"])
      const third = yield* conversations.pageMessages({
        conversationId: "long",
        limit: 3,
        lastValue: second.lastValue ?? 0
      })
      assert.deepStrictEqual([third.messages.map(Message.text), third.hasMore], [["m0"], false])
    }).pipe(local(seeded(7))))

  it.effect("streamMessages: newest to oldest, one page at a time on demand", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const stream = conversations.streamMessages({ conversationId: "long", pageSize: 2 })
      const all = yield* Stream.runCollect(stream)
      assert.deepStrictEqual(Chunk.toReadonlyArray(all).map(Message.text), ["m6", "m5", "m4", "m3", "m2", "m1", "m0"])
      assert.strictEqual(yield* dust.countRequests(), 4)
      yield* dust.clearRequests
      assert.lengthOf(yield* Stream.runCollect(Stream.take(stream, 2)), 2)
      assert.strictEqual(yield* dust.countRequests(), 1)
    }).pipe(local(seeded(7))))

  it.effect("getMessage: in any version; not found when it is nowhere", () =>
    Effect.gen(function*() {
      const { agentMessageId, conversationId, conversations, messageId } = yield* answered("First")
      yield* conversations.editMessage({ conversationId, messageId, content: "Second" })
      const old = yield* conversations.getMessage({ conversationId, messageId })
      assert.deepStrictEqual([old.type, Message.text(old), old.version], ["user_message", "First", 0])
      const answer = yield* conversations.getMessage({ conversationId, messageId: agentMessageId })
      assert.strictEqual(answer.type, "agent_message")
      const error = yield* Effect.flip(conversations.getMessage({ conversationId, messageId: "nowhere" }))
      assert.deepStrictEqual([error._tag, error.type, error.attempts], ["DustNotFoundError", "message_not_found", 1])
      assert.deepStrictEqual(error.details, { type: "message_not_found", messageId: "nowhere" })
      assert.include(error.message, "nowhere")
    }).pipe(local()))
})

describe("createMessage", () => {
  it.effect("has a context of its own making, unless told otherwise", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* conversations.create()
      yield* conversations.createMessage({ conversationId, content: "Hello" })
      const context = (body: unknown) => (body as { readonly context: Record<string, unknown> }).context
      const { origin, timezone, username, ...rest } = context((yield* dust.lastRequest()).body)
      assert.deepStrictEqual([username, origin, rest], ["effect-dust", "api", {}])
      assert.isString(timezone)
      const own = {
        username: "ada",
        timezone: "Europe/Paris",
        fullName: "Ada L",
        email: "nobody@else.where",
        profilePictureUrl: "https://x.y/z.png",
        origin: "zapier"
      }
      const { message } = yield* conversations.createMessage({ conversationId, content: "Hello", context: own })
      assert.deepStrictEqual(context((yield* dust.lastRequest()).body), own)
      assert.strictEqual(Message.authorName(message), "Ada L")
    }).pipe(local()))

  const zones: ReadonlyArray<readonly [string, string]> = [
    ["Europe/Kyiv", "Europe/Kiev"],
    ["America/Nuuk", "America/Godthab"],
    ["America/Ciudad_Juarez", "America/Denver"],
    ["America/Coyhaique", "America/Punta_Arenas"],
    ["Asia/Qostanay", "Asia/Almaty"],
    ["UTC+2", "Etc/GMT-2"],
    ["-05:00", "Etc/GMT+5"],
    ["GMT+0", "Etc/UTC"],
    ["europe/paris", "Europe/Paris"],
    ["Asia/Kolkata", "Asia/Kolkata"],
    ["UTC", "UTC"]
  ]

  it.effect.each(zones)("sends the timezone %s as %s", ([given, sent]) =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const { message } = yield* conversations.createMessage({
        conversationId,
        content: "x",
        context: { timezone: given }
      })
      assert.strictEqual(message.context.timezone, given === "GMT+0" ? message.context.timezone : sent)
    }).pipe(local()))

  it("a machine that does not know its zone is in UTC", async () => {
    // The zone is found out once for a process: a module of its own forgets what other tests have found.
    vi.resetModules()
    const { system } = await import("../../src/internal/input/timezones.ts")
    const spy = vi.spyOn(Intl.DateTimeFormat.prototype, "resolvedOptions").mockReturnValue(
      // What V8 gives for TZ=":/etc/localtime".
      { timeZone: undefined as unknown as string } as Intl.ResolvedDateTimeFormatOptions
    )
    try {
      assert.strictEqual(system(), "UTC")
    } finally {
      spy.mockRestore()
    }
  })

  it.effect("createMessage: refuses `blocking` for a message that mentions no agent", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const { agentMessages } = yield* conversations.createMessage({ conversationId, content: "x" })
      assert.deepStrictEqual(agentMessages, [])
      const dust = yield* DustTest.DustTest
      const before = yield* dust.countRequests()
      for (
        const call of [
          conversations.createMessage({ conversationId, content: "x", blocking: true }),
          conversations.createMessage({
            conversationId,
            content: "x",
            mentions: [Message.mentionUser("usr_ada")],
            blocking: true
          }),
          conversations.create({ message: { content: "x" }, blocking: true })
        ]
      ) {
        const error = yield* Effect.flip(Effect.asVoid(call))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.nestedPropertyVal(error, "details.field", "mentions")
      }
      assert.strictEqual(yield* dust.countRequests(), before)
      const { message } = yield* conversations.createMessage({
        conversationId,
        content: "x",
        mentions: [Message.mentionUser("usr_ada")],
        context: { username: "ada" }
      })
      assert.deepStrictEqual(message.mentions, [{ type: "user", userId: "usr_ada" }])
    }).pipe(local()))

  it.effect("the server's refusals keep their types", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const unknown = yield* Effect.flip(
        conversations.createMessage({ conversationId, content: "x", mentions: [{ configurationId: "retired" }] })
      )
      assert.deepStrictEqual([unknown._tag, unknown.type], ["DustBadRequestError", "agent_inaccessible"])
      const missing = yield* Effect.flip(conversations.createMessage({ conversationId: "nowhere", content: "x" }))
      assert.deepStrictEqual([missing._tag, missing.type], ["DustNotFoundError", "conversation_not_found"])
    }).pipe(local({ agents: { retired: { status: "archived" } } })))

  const runs: ReadonlyArray<readonly [string, DustTest.Step, string, string | null]> = [
    ["a long answer", DustTest.silence("20 minutes"), "succeeded", "done"],
    ["a failure", DustTest.fail({ code: "model_error" }), "failed", null]
  ]

  it.effect.each(runs)(
    "Nothing hangs: blocking brings %s to its end",
    ([, step, status, content]) =>
      Effect.gen(function*() {
        const conversations = yield* Conversations
        const { sId: conversationId } = yield* conversations.create()
        const { agentMessages } = yield* inTime(
          conversations.createMessage({
            conversationId,
            content: "x",
            mentions: [{ configurationId: "slow" }],
            blocking: true
          }),
          "3 hours"
        )
        const [answer] = agentMessages
        assert.deepStrictEqual([answer?.status, answer?.content], [status, content])
        if (status === "failed") assert.strictEqual(answer?.error?.code, "model_error")
      }).pipe(local({ agents: { slow: [step, DustTest.text("done")] } }))
  )

  it.effect("Nothing hangs: blocking brings a cancelled run to its end", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* conversations.create()
      const fiber = yield* Effect.fork(
        conversations.createMessage({
          conversationId,
          content: "x",
          mentions: [{ configurationId: "slow" }],
          blocking: true
        })
      )
      yield* TestClock.adjust("4 minutes")
      const [running] = yield* dust.agentMessages(conversationId)
      yield* conversations.cancel({ conversationId, messageIds: [running?.sId ?? "", "unknown"] })
      yield* TestClock.adjust("5 minutes")
      const { agentMessages } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(agentMessages.map(({ status }) => status), ["cancelled"])
    }).pipe(local({ agents: { slow: [DustTest.silence("2 hours"), DustTest.text("done")] } })))

  it.effect("blocking waits for a person as long as it takes", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* conversations.create()
      const fiber = yield* Effect.fork(
        conversations.createMessage({
          conversationId,
          content: "x",
          mentions: [{ configurationId: "careful" }],
          blocking: true
        })
      )
      yield* TestClock.adjust("2 hours")
      const [action] = yield* conversations.blockedActions(conversationId)
      assert.strictEqual(action?.status, "blocked_validation_required")
      yield* conversations.validateAction({
        conversationId,
        messageId: action?.messageId ?? "",
        actionId: action?.actionId ?? "",
        approved: "approved"
      })
      yield* TestClock.adjust("5 minutes")
      const { agentMessages } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(agentMessages.map(({ content }) => content), ["sent"])
      assert.lengthOf(yield* conversations.blockedActions(conversationId), 0)
      assert.lengthOf(yield* dust.openConnections, 0)
    }).pipe(local({
      agents: { careful: [DustTest.approval({ name: "send_mail", output: "ok" }), DustTest.text("sent")] }
    })))
})

describe("changing messages", () => {
  it.effect("editMessage makes a new version, and an answer if it has not been answered yet", () =>
    Effect.gen(function*() {
      const { agentMessageId, conversationId, conversations, messageId } = yield* answered("First")
      const mentions = [{ configurationId: "echo" }]
      const edited = yield* conversations.editMessage({ conversationId, messageId, content: "Second", mentions })
      assert.deepStrictEqual([edited.message.content, edited.message.version], ["Second", 1])
      assert.lengthOf(edited.agentMessages, 0)
      const alone = yield* conversations.createMessage({ conversationId, content: "Third" })
      const late = yield* conversations.editMessage({
        conversationId,
        messageId: alone.message.sId,
        content: "Fourth",
        mentions
      })
      assert.lengthOf(late.agentMessages, 1)
      for (const id of [agentMessageId, messageId]) {
        const error = yield* Effect.flip(conversations.editMessage({ conversationId, messageId: id, content: "x" }))
        assert.strictEqual(error._tag, "DustBadRequestError")
      }
    }).pipe(local()))

  it.effect("retryMessage makes a new version of an answer, with a body and the query it is asked for", () =>
    Effect.gen(function*() {
      const { agentMessageId, conversationId, conversations, dust, messageId } = yield* answered()
      const again = yield* conversations.retryMessage({ conversationId, messageId: agentMessageId })
      assert.deepStrictEqual([again.status, again.version], ["created", 1])
      assert.notStrictEqual(again.sId, agentMessageId)
      const request = yield* dust.lastRequest({ method: "POST" })
      assert.deepStrictEqual([request.body, request.query], [{}, {}])
      const final = yield* inTime(conversations.answer({ conversationId, messageId: again.sId }))
      assert.deepStrictEqual([final.status, final.content], ["succeeded", "Hello"])
      const third = yield* conversations.retryMessage({ conversationId, messageId: again.sId, blockedOnly: true })
      assert.deepStrictEqual((yield* dust.lastRequest({ method: "POST" })).query, { blocked_only: "true" })
      yield* conversations.retryMessage({ conversationId, messageId: third.sId, blockedOnly: false })
      assert.deepStrictEqual((yield* dust.lastRequest({ method: "POST" })).query, {})
      const error = yield* Effect.flip(conversations.retryMessage({ conversationId, messageId }))
      assert.strictEqual(error._tag, "DustBadRequestError")
    }).pipe(local()))

  it.effect("edits and retries are not repeated after an ambiguous failure", () =>
    Effect.gen(function*() {
      const { agentMessageId, conversationId, conversations, dust, messageId } = yield* answered()
      yield* dust.fault({ method: "POST", fault: faults.resetAfter() })
      yield* dust.clearRequests
      for (
        const call of [
          Effect.asVoid(conversations.editMessage({ conversationId, messageId, content: "x" })),
          Effect.asVoid(conversations.retryMessage({ conversationId, messageId: agentMessageId })),
          Effect.asVoid(conversations.createContentFragment({
            conversationId,
            fragment: { title: "t", content: "c", contentType: "text/plain" }
          }))
        ]
      ) {
        const error = yield* inTime(Effect.flip(call))
        assert.deepStrictEqual([error._tag, error.attempts], ["DustNetworkError", 1])
      }
      assert.strictEqual(yield* dust.countRequests({ method: "POST" }), 3)
    }).pipe(local()))

  it.effect("delete without force leaves the conversation, also where that is said", () =>
    Effect.gen(function*() {
      const { conversationId, conversations, dust } = yield* answered()
      yield* conversations.delete({ conversationId, force: false })
      assert.deepStrictEqual((yield* dust.lastRequest({ method: "DELETE" })).query, {})
    }).pipe(local({ credential: "userToken" })))

  it.effect("deleteMessage and delete, as a user; a second attempt that finds it done is a success", () =>
    Effect.gen(function*() {
      const { conversationId, conversations, dust, messageId } = yield* answered()
      yield* dust.fault({ method: "DELETE", nth: 1, fault: faults.resetAfter() })
      yield* inTime(conversations.deleteMessage({ conversationId, messageId }))
      assert.deepStrictEqual(yield* conversations.listMessages(conversationId), [])
      assert.strictEqual((yield* dust.requests({ method: "DELETE" }))[0]?.path.startsWith("/api/w/"), true)
      yield* dust.clearFaults
      yield* dust.fault({ method: "DELETE", nth: 1, fault: faults.resetAfter() })
      yield* inTime(conversations.delete({ conversationId, force: true }))
      assert.deepStrictEqual((yield* dust.lastRequest({ method: "DELETE" })).query, { forceDelete: "true" })
      assert.strictEqual((yield* Effect.flip(conversations.get(conversationId)))._tag, "DustNotFoundError")
      // The first attempt that finds nothing is an error.
      const gone = yield* Effect.flip(conversations.delete({ conversationId }))
      assert.strictEqual(gone._tag, "DustNotFoundError")
    }).pipe(local({ credential: "userToken" })))
})

describe("attachments and files", () => {
  it.effect("createContentFragment: attaches text, and fails with the server's refusal", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const { sId: conversationId } = yield* conversations.create()
      const fragment = yield* conversations.createContentFragment({
        conversationId,
        fragment: { title: "Notes", content: "text", contentType: "text/markdown", url: "https://x.y" }
      })
      assert.deepStrictEqual([fragment.type, fragment.title, fragment.sourceUrl], [
        "content_fragment",
        "Notes",
        "https://x.y"
      ])
      assert.deepStrictEqual((yield* conversations.listMessages(conversationId)).map(({ type }) => type), [
        "content_fragment"
      ])
      const error = yield* Effect.flip(
        conversations.createContentFragment({
          conversationId,
          fragment: { title: "x", content: "x", contentType: "image/png" }
        })
      )
      assert.strictEqual(error._tag, "DustBadRequestError")
    }).pipe(local()))

  it.effect("downloadFile reads a file of the conversation, with or without the prefix", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const dust = yield* DustTest.DustTest
      const { sId: conversationId } = yield* conversations.create()
      yield* dust.addConversationFile(conversationId, { path: "out/my report #1.csv", content: "a,b\n1,2\n" })
      for (const path of ["out/my report #1.csv", "conversation/out/my report #1.csv"]) {
        const text = yield* Stream.mkString(Stream.decodeText(conversations.downloadFile({ conversationId, path })))
        assert.strictEqual(text, "a,b\n1,2\n")
      }
      assert.match((yield* dust.lastRequest()).path, /files\/conversation\/out\/my%20report%20%231\.csv$/)
      const error = yield* Effect.flip(
        Stream.runDrain(conversations.downloadFile({ conversationId, path: "out/none.csv" }))
      )
      assert.deepStrictEqual([error._tag, error.type], ["DustNotFoundError", "file_not_found"])
      yield* dust.fault(faults.cut(3))
      const cut = yield* Effect.flip(
        Stream.runDrain(conversations.downloadFile({ conversationId, path: "out/my report #1.csv" }))
      )
      assert.strictEqual(cut._tag, "DustNetworkError")
    }).pipe(local()))
})

describe("feedback", () => {
  it.effect("of a user: given, replaced, listed, taken back", () =>
    Effect.gen(function*() {
      const { agentMessageId: messageId, conversationId, conversations } = yield* answered()
      const ref = { conversationId, messageId }
      yield* conversations.createFeedback({ ...ref, thumb: "down", content: "No", isConversationShared: true })
      yield* conversations.createFeedback({ ...ref, thumb: "up", content: "Yes" })
      assert.deepStrictEqual(
        (yield* conversations.listFeedback(conversationId)).map((
          one
        ) => [one.messageId, one.thumbDirection, one.content]),
        [[messageId, "up", "Yes"]]
      )
      yield* conversations.deleteFeedback(ref)
      assert.deepStrictEqual(yield* conversations.listFeedback(conversationId), [])
      assert.strictEqual((yield* Effect.flip(conversations.deleteFeedback(ref)))._tag, "DustBadRequestError")
    }).pipe(local({ credential: "userToken" })))

  it.effect("of an API key on behalf of a member", () =>
    Effect.gen(function*() {
      const { agentMessageId: messageId, conversationId, conversations, dust } = yield* answered()
      const ref = { conversationId, messageId, userEmail: "ada@local-dust.test" }
      yield* conversations.createFeedback({ ...ref, thumb: "up" })
      assert.strictEqual((yield* dust.lastRequest()).headers["x-api-user-email"], "ada@local-dust.test")
      yield* conversations.deleteFeedback(ref)
      const nobody = yield* Effect.flip(
        conversations.createFeedback({ ...ref, userEmail: "nobody@nowhere.example", thumb: "up" })
      )
      assert.deepStrictEqual([nobody._tag, nobody.status], ["DustUserRequiredError", 401])
    }).pipe(local()))
})

describe("actions", () => {
  const careful = {
    agents: {
      careful: [DustTest.approval({ name: "send_mail", output: "ok" }), DustTest.text("sent")],
      curious: [
        DustTest.question({ question: "Which?", options: ["a", "b"] }),
        DustTest.text("fine")
      ]
    }
  } satisfies DustTest.Options

  it.effect("validateAction: an attempt whose answer was lost is a success the second time", () =>
    Effect.gen(function*() {
      const { agentMessageId: messageId, conversationId, conversations, dust } = yield* asked("x", "careful")
      yield* TestClock.adjust("1 second")
      const [action] = yield* conversations.blockedActions(conversationId)
      const ref = { conversationId, messageId, actionId: action?.actionId ?? "", approved: "approved" } as const
      yield* dust.fault({ method: "POST", nth: 1, fault: faults.resetAfter() })
      yield* inTime(conversations.validateAction(ref))
      const sent = yield* dust.requests({ method: "POST", path: /validate-action$/ })
      assert.deepStrictEqual(sent.map(({ body }) => body), [
        { actionId: ref.actionId, approved: "approved" },
        { actionId: ref.actionId, approved: "approved" }
      ])
      assert.strictEqual((yield* dust.message(messageId)).content, "sent")
      // The first attempt that finds it done reports it.
      const error = yield* Effect.flip(conversations.validateAction(ref))
      assert.deepStrictEqual([error._tag, error.type], ["DustBadRequestError", "action_not_blocked"])
    }).pipe(local(careful)))

  it.effect("getMessage: the total limit bounds all its requests together", () =>
    Effect.gen(function*() {
      const { conversationId, conversations, dust } = yield* asked("x", "careful")
      yield* dust.fault({ method: "GET", fault: faults.delayHeaders("3 seconds") })
      const fiber = yield* conversations.getMessage({ conversationId, messageId: "unknown" }).pipe(
        DustClient.withOptions({ timeouts: { total: "5 seconds" } }),
        Effect.flip,
        Effect.fork
      )
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustTimeoutError")
      assert.deepStrictEqual([error.method, error.attempts], ["getMessage", 2])
      assert.propertyVal(error, "phase", "total")
    }).pipe(local(careful)))

  it.effect("validateAction: fails at once for a caller without permission, although Dust responds 500", () =>
    Effect.gen(function*() {
      const { agentMessageId: messageId, conversationId, conversations, dust } = yield* asked("x", "careful")
      yield* TestClock.adjust("1 second")
      yield* dust.fault({ method: "POST", path: /validate-action$/, fault: faults.status(500) })
      // No time passes: a pause before another attempt would never end.
      const error = yield* Effect.flip(
        conversations.validateAction({ conversationId, messageId, actionId: "a", approved: "approved" })
      )
      assert.deepStrictEqual([error._tag, error.type, error.attempts], ["DustServerError", "internal_server_error", 1])
    }).pipe(local(careful)))

  it.effect("answerQuestion: the same", () =>
    Effect.gen(function*() {
      const { agentMessageId: messageId, conversationId, conversations, dust } = yield* asked("x", "curious")
      yield* TestClock.adjust("1 second")
      const [action] = yield* conversations.blockedActions(conversationId)
      assert.deepStrictEqual([action?.status, action?.question?.question], ["blocked_user_answer_required", "Which?"])
      yield* dust.fault({ method: "POST", nth: 1, fault: faults.resetAfter() })
      yield* inTime(conversations.answerQuestion({
        conversationId,
        messageId,
        actionId: action?.actionId ?? "",
        answer: { selectedOptions: [1], customResponse: "the second" }
      }))
      assert.deepInclude((yield* dust.lastRequest({ method: "POST" })).body, {
        answer: { selectedOptions: [1], customResponse: "the second" }
      })
      assert.strictEqual((yield* dust.message(messageId)).content, "fine")
    }).pipe(local(careful)))
})

describe("consumption", () => {
  it.effect("of a conversation", () =>
    Effect.gen(function*() {
      const { conversationId, conversations } = yield* answered()
      const consumption = yield* conversations.consumption(conversationId)
      assert.isNumber(consumption.billedCredits)
      assert.strictEqual((yield* Effect.flip(conversations.consumption("nowhere")))._tag, "DustNotFoundError")
    }).pipe(local()))

  it.effect("tolerates missing fields", () => {
    const { layer } = recording(({ nth }) =>
      nth === 1
        ? json({})
        : nth === 2
        ? json({ billedCredits: 3.5, details: { tools: [{ callCount: 2 }, null, 7], agents: null } })
        : failure(404, "conversation_not_found")
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      assert.deepStrictEqual(yield* conversations.consumption("c"), { billedCredits: 0, details: null })
      const some = yield* conversations.consumption("c")
      assert.strictEqual(some.billedCredits, 3.5)
      assert.deepStrictEqual(some.details?.tools.map(({ callCount }) => callCount), [2])
      assert.deepStrictEqual(some.details?.agents, [])
    }).pipe(Effect.provide(layer))
  })
})

describe("credentials of this workspace", () => {
  const keys: ReadonlyArray<readonly [string, string, string]> = [
    ["a wrong key", "sk-unknown", "invalid_api_key_error"],
    ["a disabled key", "sk-disabled", "invalid_api_key_error"],
    ["a key of another workspace", "sk-other", "workspace_auth_error"]
  ]

  it.effect.each(keys)("%s is told, with what to do", ([, key, type]) =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const error = yield* Effect.flip(conversations.create())
      assert.deepStrictEqual([error._tag, error.type], ["DustUnauthorizedError", type])
      assert.match(error.message, /check/)
      assert.notInclude(JSON.stringify(error), key)
    }).pipe(local({
      credential: { apiKey: Redacted.make(key) },
      credentials: {
        apiKeys: [{ value: "sk-disabled", disabled: true }, { value: "sk-other", workspaceId: "elsewhere" }]
      }
    })))
})

describe("Message", () => {
  it("directives: mentions, citations and visualizations are apart from the text, and code is kept", () => {
    const written = [
      "Hello :mention_user[Ada L]{sId=usr_1}, ask :mention[dust]{sId=dust} or :mention[nobody].",
      "Sales rose :cite[abc, ,def]{} and fell :cite[def].",
      "Not `:cite[x]` here.",
      "```",
      ":mention[no]{sId=no}",
      "```",
      ":::visualization",
      "export default () => <b>`:cite[y]`</b>",
      ":::",
      "Bye"
    ].join("\n")
    assert.deepStrictEqual(Message.directives(written), {
      text: [
        "Hello @Ada L, ask @dust or @nobody.",
        "Sales rose [1][2] and fell [2].",
        "Not `:cite[x]` here.",
        "```",
        ":mention[no]{sId=no}",
        "```",
        "Bye"
      ].join("\n"),
      citations: ["abc", "def"],
      mentions: [
        { type: "user", id: "usr_1", name: "Ada L" },
        { type: "agent", id: "dust", name: "dust" },
        { type: "agent", id: "", name: "nobody" }
      ],
      visualizations: ["export default () => <b>`:cite[y]`</b>"]
    })
    assert.strictEqual(Message.plainText("a :::b :cite [c]"), "a :::b :cite [c]")
    assert.strictEqual(Message.plainText("x\n:::visualization\nhalf"), "x\n")
  })

  it("Schema.is: accepts decoded messages and nothing else", () => {
    const is = Schema.is(Message.Message)
    for (const other of [42, null, undefined, "text", [], {}, { type: "user_message", sId: "m" }]) {
      assert.isFalse(is(other), JSON.stringify(other))
    }
    for (
      const wire of [
        { type: "user_message", sId: "m", created: "yesterday", mentions: "none" },
        { type: "agent_message", sId: "m" },
        { type: "content_fragment", sId: "m" },
        { type: "news", sId: "m" },
        42
      ]
    ) {
      const message = Schema.decodeUnknownSync(Message.Message)(wire)
      assert.isTrue(is(message), JSON.stringify(wire))
      if (message.type !== "unknown") assert.isFalse(is({ ...message, created: "yesterday" }))
    }
    assert.isTrue(Either.isLeft(ParseResult.encodeUnknownEither(Message.Message)(null)))
  })

  it("UserMessage, AgentMessage, ContentFragment: decode the fields of newer servers", () => {
    const rich = {
      id: "dust",
      type: "agent",
      label: "Dust",
      status: "agent_restricted_by_space_usage",
      dismissed: true
    }
    const reaction = { emoji: "+1", users: [{ userId: "u", username: "ada", fullName: "Ada" }] }
    const user = Schema.decodeUnknownSync(Message.UserMessage)({
      type: "user_message",
      sId: "m",
      richMentions: [rich],
      reactions: [reaction],
      branchId: "b",
      agenticMessageData: { type: "run_agent", originMessageId: "o" },
      context: { username: "ada", timezone: "UTC", excludedRetrievalTags: ["secret"] }
    })
    assert.deepInclude(user.richMentions[0], rich)
    assert.deepStrictEqual(user.reactions, [reaction])
    assert.strictEqual(user.branchId, "b")
    assert.deepStrictEqual(user.agenticMessageData, { type: "run_agent", originMessageId: "o" })
    assert.deepStrictEqual(user.context.excludedRetrievalTags, ["secret"])
    const agent = {
      subAgentCostCredits: 2,
      modelResolutionMethod: "auto",
      modelInteractionDurationMs: 3,
      skipToolsValidation: true,
      prunedContext: true,
      contents: [{ step: 1, content: { type: "text_content", value: "x" } }],
      rawContents: [{ step: 1, content: "x" }],
      reactions: [reaction]
    }
    assert.deepInclude(
      Schema.decodeUnknownSync(Message.AgentMessage)({ type: "agent_message", sId: "m", ...agent }),
      agent
    )
    const fragment = {
      sourceProvider: "notion",
      sourceIcon: "https://x.y/i.png",
      contentNodeData: { provider: "notion", spaceName: "Product" }
    }
    assert.deepInclude(
      Schema.decodeUnknownSync(Message.ContentFragment)({ type: "content_fragment", sId: "m", ...fragment }),
      fragment
    )
  })
})

describe("getMessage", () => {
  it.effect("reads at most 0.2 MB for a recent message among 10,000", () => {
    const message = (rank: number) => ({
      type: "agent_message",
      sId: `m${rank}`,
      rank,
      created: rank,
      status: "succeeded",
      content: "x".repeat(5_000)
    })
    let bytes = 0
    const server = recording(({ url }) => {
      const limit = Number(url.searchParams.get("limit") ?? "10000")
      const end = Number(url.searchParams.get("lastValue") ?? "10000")
      const first = Math.max(0, end - limit)
      const answer = {
        conversation: {
          sId: "c",
          content: Array.from({ length: end - first }, (_, index) => [message(first + index)])
        },
        hasMore: first > 0,
        lastValue: String(first)
      }
      bytes += JSON.stringify(answer).length
      return json(answer)
    })
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      assert.strictEqual((yield* conversations.getMessage({ conversationId: "c", messageId: "m9990" })).rank, 9990)
      assert.lengthOf(server.requests, 1)
      assert.isAtMost(bytes, 200_000)
      assert.strictEqual((yield* conversations.getMessage({ conversationId: "c", messageId: "m9900" })).rank, 9900)
      assert.lengthOf(server.requests, 3)
    }).pipe(Effect.provide(server.layer))
  })
})
