import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import * as DustTest from "effect-dust/DustTest"
import {
  ask,
  bytesToText,
  call,
  connect,
  get,
  type Json,
  message,
  messageEvents,
  open,
  parseFrames,
  path,
  post,
  send,
  token,
  types
} from "../support/local.ts"

const local = (options?: DustTest.Options) => Effect.provide(DustTest.layerHttpClient(options))

/** Lets the agents run as far as possible without advancing the clock. */
const settle = TestClock.adjust(0)

const finished = (ids: { readonly messageId: string }) =>
  Effect.flatMap(DustTest.DustTest, (dust) => dust.waitForRun(ids.messageId))

const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i} `).join("")

describe("routes", () => {
  it.effect("routes for system keys refuse other credentials", () =>
    Effect.gen(function*() {
      const source = "/spaces/vlt_global/data_sources/dts_1"
      for (
        const [method, suffix] of [
          ["GET", "/feature_flags"],
          ["GET", "/verified_domains"],
          ["GET", "/models"],
          ["POST", "/members/locale"],
          ["GET", "/spaces/groups"],
          ["GET", "/spaces/vlt_global/project_metadata"],
          ["GET", "/spaces/vlt_global/apps/export"],
          ["POST", `${source}/tables/csv`],
          ["POST", "/data_sources/dts_1/tables/tbl_1/parents"],
          ["GET", "/data_sources/dts_1/documents/doc_1/blob"]
        ] as const
      ) {
        const answer = yield* call(method, suffix)
        assert.deepStrictEqual([answer.status, answer.json?.error.type], [403, "invalid_oauth_token_error"], suffix)
      }
      const emails = yield* get("/members/emails")
      assert.deepStrictEqual([emails.status, emails.json?.error.type], [404, "workspace_not_found"])
    }).pipe(local()))

  it.effect("405 for another method only at the two analytics exports", () =>
    Effect.gen(function*() {
      for (
        const [method, suffix] of [
          ["POST", "/analytics/export"],
          ["GET", "/analytics/consumption/export"]
        ] as const
      ) {
        const answer = yield* call(method, suffix)
        assert.deepStrictEqual([answer.status, answer.json?.error.type], [405, "method_not_supported_error"])
      }
      assert.deepStrictEqual((yield* call("DELETE", "/exists")).text, "404 Not Found")
    }).pipe(local()))
})

describe("streams of agent messages", () => {
  it.effect("message stream: replays an answer with handshake, tokens, terminal event, end marker, done", () =>
    Effect.gen(function*() {
      const ids = yield* ask("one two")
      yield* finished(ids)
      const frames = yield* connect(messageEvents(ids))
      assert.deepStrictEqual(types(frames), [
        "dust-handshake",
        "generation_tokens",
        "generation_tokens",
        "agent_message_success",
        "end-of-stream",
        "done"
      ])
      assert.strictEqual(frames[0]!.data, "{}")
      assert.strictEqual(frames[3]!.json.message.content, "one two")
      assert.isTrue(frames.slice(1, 5).every((frame) => /^\d+-\d{1,3}$/.test(frame.id!)))
    }).pipe(local()))

  it.effect("message stream: live subscribers receive the terminal event and the close, not the end marker", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hello", "slow")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(types(yield* Fiber.join(fiber)), [
        "dust-handshake",
        "generation_tokens",
        "agent_message_success",
        "done"
      ])
    }).pipe(local({ agents: { slow: [DustTest.text("ok", { pace: "3 seconds" })] } })))

  it.effect("message stream: 307 with a relative location that keeps the query, before authentication", () =>
    Effect.gen(function*() {
      const suffix = "/assistant/conversations/c1/messages/m1/events?lastEventId=1-2"
      const response = yield* get(suffix, { token: null })
      assert.strictEqual(response.status, 307)
      assert.strictEqual(response.headers["location"], path(suffix).replace("/api/", "/api/sse/"))
    }).pipe(local()))

  it.effect("switch sseRedirect: the stream is served without a redirect", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi")
      yield* finished(ids)
      const response = yield* send("GET", messageEvents(ids))
      assert.strictEqual(response.status, 200)
      assert.strictEqual(response.headers["content-type"], "text/event-stream")
      assert.strictEqual(response.headers["content-encoding"], "none")
      assert.strictEqual(response.headers["cache-control"], "no-cache")
      assert.include(types(parseFrames(yield* bytesToText(response))), "agent_message_success")
    }).pipe(local({ quirks: { sseRedirect: false } })))

  it.effect("switches handshake, doneFrame and endOfStreamOnReplay", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi")
      yield* finished(ids)
      assert.deepStrictEqual(types(yield* connect(messageEvents(ids))), ["generation_tokens", "agent_message_success"])
    }).pipe(local({ quirks: { handshake: false, doneFrame: false, endOfStreamOnReplay: false } })))

  it.effect("message stream: closes after a page of 50 retained events, and resumes after the last one", () =>
    Effect.gen(function*() {
      const ids = yield* ask(words(120))
      yield* finished(ids)
      const seen: Array<string> = []
      const pages: Array<number> = []
      let cursor: string | undefined
      for (let page = 0; page < 3; page++) {
        const frames = yield* connect(messageEvents(ids, cursor))
        assert.strictEqual(frames[frames.length - 1]!.data, "done")
        const events = frames.filter((frame) => frame.id !== undefined)
        pages.push(events.length)
        seen.push(...events.flatMap((frame) => frame.json.text ?? []))
        cursor = events[events.length - 1]!.id
      }
      assert.deepStrictEqual(pages, [50, 50, 22])
      assert.strictEqual(seen.join(""), words(120))
    }).pipe(local()))

  it.effect("switch historyPageSize: changes the page size", () =>
    Effect.gen(function*() {
      const ids = yield* ask(words(20))
      yield* finished(ids)
      assert.lengthOf(yield* connect(messageEvents(ids)), 7)
    }).pipe(local({ quirks: { historyPageSize: 5 } })))

  it.effect("message stream: closes at the first event after 60 seconds, and stays open in silence", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "waits")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* TestClock.adjust("89 seconds")
      assert.isTrue((yield* Fiber.poll(fiber))._tag === "None")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(types(yield* Fiber.join(fiber)), ["dust-handshake", "generation_tokens", "done"])
    }).pipe(local({
      agents: { waits: [DustTest.silence("90 seconds"), DustTest.text("a"), DustTest.silence(), DustTest.text("b")] }
    })))

  it.effect("switch messageStreamLifetime", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "paced")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* TestClock.adjust("4 seconds")
      assert.lengthOf((yield* Fiber.join(fiber)).filter((frame) => frame.id !== undefined), 3)
    }).pipe(local({
      quirks: { messageStreamLifetime: "3 seconds" },
      agents: { paced: [DustTest.text(words(10), { pace: "1 second" })] }
    })))

  it.effect("message stream: its history expires ten minutes after the last event, except for the handshake", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("hi")
      yield* finished(ids)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 3)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 0)
      const response = yield* open(messageEvents(ids))
      const seen: Array<string> = []
      const fiber = yield* Effect.fork(
        Stream.decodeText(response.stream).pipe(Stream.runForEach((piece) => Effect.sync(() => seen.push(piece))))
      )
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(seen, ["event: dust-handshake\ndata: {}\n\n"])
      yield* Fiber.interrupt(fiber)
    }).pipe(local()))

  it.effect("switch historyTtl", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("hi")
      yield* finished(ids)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 3)
    }).pipe(local({ quirks: { historyTtl: "2 hours" } })))

  it.effect("message stream: sends nothing in silence; switch heartbeat: comment lines", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "quiet")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual((yield* Fiber.join(fiber)).filter((frame) => frame.data === "").length, 2)
    }).pipe(local({
      quirks: { heartbeat: "10 seconds" },
      agents: { quiet: [DustTest.silence("25 seconds"), DustTest.text("a")] }
    })))

  it.effect("switch sameMillisecondReorder: ids of one millisecond are sorted as strings", () =>
    Effect.gen(function*() {
      const ids = yield* ask(words(12))
      yield* finished(ids)
      const texts = (yield* connect(messageEvents(ids))).flatMap((frame) => frame.json?.text ?? [])
      assert.notDeepEqual(texts, [...texts].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1))))
      assert.sameMembers(texts, words(12).match(/\S+ /g)!)
    }).pipe(local({ quirks: { sameMillisecondReorder: true } })))

  it.effect("event ids are unique and increase, even over a thousand events in one millisecond", () =>
    Effect.gen(function*() {
      const ids = yield* ask(words(2500))
      yield* finished(ids)
      const frames = yield* connect(messageEvents(ids))
      const numbers = frames.flatMap((frame) => {
        if (frame.id === undefined) return []
        const [ms, counter] = frame.id.split("-").map(Number)
        assert.isBelow(counter!, 1000)
        return [ms! * 1000 + counter!]
      })
      assert.lengthOf(numbers, 2502)
      assert.isTrue(numbers.every((number, index) => index === 0 || number > numbers[index - 1]!))
    }).pipe(local({ quirks: { historyPageSize: 10_000 } })))

  it.effect("switch retainedEvents: a late subscriber misses the oldest events, a connected one misses none", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "long")
      const listening = yield* Effect.fork(connect(messageEvents(ids)))
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf((yield* Fiber.join(listening)).filter((frame) => frame.json?.type === "generation_tokens"), 5000)
      assert.isBelow(yield* dust.retainedEvents(ids.messageId), 200)
    }).pipe(local({
      quirks: { retainedEvents: 100 },
      agents: { long: [DustTest.silence("1 second"), DustTest.text(words(5000))] }
    })))

  it.effect("an agent that is too far ahead of a slow reader waits for it", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "long")
      const response = yield* open(messageEvents(ids))
      const texts: Array<string> = []
      const fiber = yield* Effect.fork(
        Stream.decodeText(response.stream).pipe(
          Stream.runForEach((piece) => Effect.delay(Effect.sync(() => texts.push(piece)), "1 second"))
        )
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* dust.message(ids.messageId)).run, "running")
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.lengthOf(parseFrames(texts.join("")).filter((frame) => frame.json?.type === "generation_tokens"), 5000)
    }).pipe(local({
      quirks: { retainedEvents: 300 },
      agents: { long: [DustTest.silence("1500 millis"), DustTest.text(words(5000))] }
    })))

  it.effect("message stream: refuses a message that is not an agent's, and unknown ones", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi")
      const user = yield* get(
        path(messageEvents({ ...ids, messageId: ids.userMessageId })).replace("/api/", "/api/sse/"),
        {
          absolute: true
        }
      )
      assert.deepStrictEqual([user.status, user.type], [400, "invalid_request_error"])
      const unknown = yield* get(path(messageEvents({ ...ids, messageId: "nope" })).replace("/api/", "/api/sse/"), {
        absolute: true
      })
      assert.deepStrictEqual([unknown.status, unknown.type], [404, "message_not_found"])
    }).pipe(local()))
})

describe("conversation streams", () => {
  it.effect("publish messages, answers and the title, then close after 180 seconds of silence", () =>
    Effect.gen(function*() {
      const created = yield* post("/assistant/conversations", {})
      const conversationId = created.json.conversation.sId
      const fiber = yield* Effect.fork(connect(`/assistant/conversations/${conversationId}/events`))
      yield* settle
      yield* post(`/assistant/conversations/${conversationId}/messages`, message("Hello there"))
      yield* TestClock.adjust("179 seconds")
      assert.isTrue((yield* Fiber.poll(fiber))._tag === "None")
      yield* TestClock.adjust("1 second")
      const frames = yield* Fiber.join(fiber)
      assert.deepStrictEqual(types(frames), [
        "dust-handshake",
        "user_message_new",
        "agent_message_new",
        "conversation_title",
        "agent_message_done",
        "agent_message_consumption_updated",
        "done"
      ])
      assert.strictEqual(frames[3]!.json.title, "Hello there")
      assert.strictEqual(frames[4]!.json.status, "success")
    }).pipe(local()))

  it.effect("switches conversationStreamSilence and consumptionEvents", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi")
      yield* finished(ids)
      const fiber = yield* Effect.fork(connect(`/assistant/conversations/${ids.conversationId}/events`))
      yield* TestClock.adjust("5 seconds")
      assert.notInclude(types(yield* Fiber.join(fiber)), "agent_message_consumption_updated")
    }).pipe(local({ quirks: { conversationStreamSilence: "5 seconds", consumptionEvents: false } })))
})

describe("requests", () => {
  it.effect("an unknown route or method is a plain-text 404", () =>
    Effect.gen(function*() {
      for (const [method, suffix] of [["GET", "/nope"], ["DELETE", "/assistant/conversations"]] as const) {
        const response = yield* call(method, suffix)
        assert.deepStrictEqual([response.status, response.text], [404, "404 Not Found"])
      }
    }).pipe(local()))

  it.effect("switch plainNotFound: an unknown route is an envelope", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* get("/nope")).type, "invalid_request_error")
    }).pipe(local({ quirks: { plainNotFound: false } })))

  it.effect("a JSON content type with an empty or malformed body is a 400; no content type counts as {}", () =>
    Effect.gen(function*() {
      for (const raw of ["", "{"]) {
        const response = yield* call("POST", "/assistant/conversations", { raw })
        assert.deepStrictEqual([response.status, response.type], [400, "invalid_request_error"])
      }
      assert.strictEqual((yield* call("POST", "/assistant/conversations")).status, 200)
    }).pipe(local()))

  it.effect("switch emptyJsonBodyRefused: an empty body counts as {}", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* call("POST", "/assistant/conversations", { raw: "" })).status, 200)
    }).pipe(local({ quirks: { emptyJsonBodyRefused: false } })))

  it.effect("a validation error contains the path", () =>
    Effect.gen(function*() {
      const response = yield* post("/assistant/conversations", { message: message("", "echo") })
      assert.strictEqual(response.status, 400)
      assert.match(response.json.error.message, /^Invalid request body: .*message\.content/)
    }).pipe(local()))

  it.effect("only the server's 592 timezone names are accepted", () =>
    Effect.gen(function*() {
      for (const timezone of ["Europe/Kyiv", "America/Nuuk", "UTC+2"]) {
        const response = yield* post("/assistant/conversations", {
          message: message("hi", "echo", { context: { username: "ada", timezone } })
        })
        assert.strictEqual(response.status, 400)
        assert.match(response.json.error.message, /timezone/)
      }
      const accepted = yield* post("/assistant/conversations", {
        message: message("hi", "echo", { context: { username: "ada", timezone: "Europe/Kiev" } })
      })
      assert.strictEqual(accepted.status, 200)
    }).pipe(local()))

  it.effect("switch fixedTimezones: any name is accepted", () =>
    Effect.gen(function*() {
      const response = yield* post("/assistant/conversations", {
        message: message("hi", "echo", { context: { username: "ada", timezone: "Europe/Kyiv" } })
      })
      assert.strictEqual(response.status, 200)
    }).pipe(local({ quirks: { fixedTimezones: false } })))

  it.effect("101 messages in a minute: 403 rate_limit_error, for that caller, for that minute", () =>
    Effect.gen(function*() {
      const { json } = yield* post("/assistant/conversations", {})
      const send = (options = {}) =>
        post(`/assistant/conversations/${json.conversation.sId}/messages`, message("x", null), options)
      for (let i = 0; i < 100; i++) assert.strictEqual((yield* send()).status, 200)
      const refused = yield* send()
      assert.deepStrictEqual([refused.status, refused.type], [403, "rate_limit_error"])
      assert.isUndefined(refused.headers["retry-after"])
      assert.strictEqual((yield* send({ token: token.adminKey })).status, 200)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* send()).status, 200)
    }).pipe(local({ limits: true })))

  it.effect("limits: a layer has no rate limits by default", () =>
    Effect.gen(function*() {
      const { json } = yield* post("/assistant/conversations", {})
      const send = post(`/assistant/conversations/${json.conversation.sId}/messages`, message("x", null))
      for (let i = 0; i < 130; i++) assert.strictEqual((yield* send).status, 200)
      const file = { contentType: "text/plain", fileName: "a.txt", fileSize: 1, useCase: "conversation" }
      for (let i = 0; i < 50; i++) assert.strictEqual((yield* post("/files", file)).status, 200)
    }).pipe(local()))

  it.effect("limits: each can be set", () =>
    Effect.gen(function*() {
      const file = { contentType: "text/plain", fileName: "a.txt", fileSize: 1, useCase: "conversation" }
      assert.strictEqual((yield* post("/files", file)).status, 200)
      const announced = yield* post("/files", file)
      assert.deepStrictEqual([announced.status, announced.type], [429, "rate_limit_error"])
      const upsert = (text: string) => post("/data_sources/dts_handbook/documents/a", { text })
      const long = yield* upsert("x".repeat(11))
      assert.deepStrictEqual([long.status, long.type], [403, "data_source_quota_error"])
      const second = yield* upsert("x")
      assert.deepStrictEqual([second.status, second.type], [429, "rate_limit_error"])
      const large = yield* post("/assistant/conversations", { title: "x".repeat(2000) })
      assert.deepStrictEqual([large.status, large.type], [413, "content_too_large"])
    }).pipe(local({ limits: { uploadsPerMinute: 1, upsertsPerMinute: 1, documentSize: 10, requestSize: 1000 } })))

  it.effect("switches messagesPerMinute, messagesPerHour and rateLimitStatus", () =>
    Effect.gen(function*() {
      const { json } = yield* post("/assistant/conversations", {})
      const send = post(`/assistant/conversations/${json.conversation.sId}/messages`, message("x", null))
      assert.strictEqual((yield* send).status, 200)
      assert.strictEqual((yield* send).status, 429)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* send).status, 200)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* send).status, 429)
    }).pipe(local({ limits: { messagesPerMinute: 1, messagesPerHour: 2 }, quirks: { rateLimitStatus: 429 } })))
})

describe("credentials", () => {
  const refused = (options: { token?: string | null; headers?: Record<string, string> }, suffix = "/exists") =>
    Effect.map(get(suffix, options), ({ status, type }) => [status, type])

  it.effect("the gate answers in the server's order", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* get("/exists")).status, 200)
      assert.deepStrictEqual(yield* refused({ token: null }), [401, "not_authenticated"])
      const raw = (authorization: string) => refused({ token: null, headers: { authorization } })
      assert.deepStrictEqual(yield* raw("Basic abc"), [401, "malformed_authorization_header_error"])
      assert.deepStrictEqual(yield* raw("Bearer sk-a b"), [401, "malformed_authorization_header_error"])
      assert.deepStrictEqual(yield* raw("Bearer neither-key-nor-token"), [401, "malformed_authorization_header_error"])
      assert.deepStrictEqual(yield* refused({ token: "sk-wrong" }), [401, "invalid_api_key_error"])
      assert.deepStrictEqual(yield* refused({ token: "sk-off" }), [401, "invalid_api_key_error"])
      assert.deepStrictEqual(yield* refused({ token: "sk-other" }), [401, "workspace_auth_error"])
      assert.deepStrictEqual(yield* refused({ token: "jwt.stranger" }), [401, "workspace_auth_error"])
      assert.deepStrictEqual(yield* refused({ token: "jwt.nobody" }), [401, "user_not_found"])
      assert.deepStrictEqual(yield* refused({ token: "jwt.brief" }), [200, undefined])
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(yield* refused({ token: "jwt.brief" }), [401, "expired_oauth_token_error"])
      const elsewhere = yield* get("/api/v1/w/Elsewhere/exists", { absolute: true, token: null })
      assert.deepStrictEqual([elsewhere.status, elsewhere.type], [404, "workspace_not_found"])
      assert.strictEqual(
        (yield* get("/exists", { token: null, headers: { authorization: `bearer ${token.key}` } })).status,
        200
      )
    }).pipe(local({
      credentials: {
        apiKeys: [{ value: "sk-off", disabled: true }, { value: "sk-other", workspaceId: "Elsewhere" }],
        userTokens: [
          { value: "jwt.brief", expiresIn: "5 minutes" },
          { value: "jwt.nobody", user: null },
          { value: "jwt.stranger", user: { email: "eve@elsewhere.test" }, member: false }
        ]
      }
    })))

  it.effect("a token can be made to expire", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* dust.expireToken(dust.userToken)
      assert.deepStrictEqual(yield* refused({ token: token.user }), [401, "expired_oauth_token_error"])
    }).pipe(local()))

  it.effect("routes for users refuse keys, routes of administrators refuse builders", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* refused({}, "/assistant/conversations"), [401, "user_not_found"])
      assert.deepStrictEqual(yield* refused({}, "/assistant/agent_configurations?view=list"), [
        401,
        "invalid_request_error"
      ])
      assert.deepStrictEqual(yield* refused({}, "/assistant/agent_configurations?view=odd"), [
        400,
        "invalid_request_error"
      ])
      const archive = yield* call("DELETE", "/assistant/agent_configurations/echo")
      assert.deepStrictEqual([archive.status, archive.type], [403, "workspace_auth_error"])
      const tools = yield* post("/assistant/conversations/any/tools", {}, { token: token.admin })
      assert.deepStrictEqual([tools.status, tools.type], [404, "conversation_not_found"])
      const generic = yield* post("/assistant/generic_agents", {}, { token: token.adminKey })
      assert.deepStrictEqual([generic.status, generic.type], [403, "invalid_oauth_token_error"])
      const me = yield* get("/api/v1/me", { absolute: true })
      assert.strictEqual(me.status, 401)
      const mcp = yield* post("/mcp/register", { serverName: "my server" })
      assert.deepStrictEqual([mcp.status, mcp.type], [403, "invalid_request_error"])
      const heartbeat = yield* post("/mcp/heartbeat", { serverId: "x" })
      assert.strictEqual(heartbeat.status, 500)
      for (const options of [{}, { token: "sk-whatever" }, { token: null }]) {
        const response = yield* get(`/api/w/${DustTest.credentials.workspaceId}/assistant/conversations`, {
          ...options,
          absolute: true
        })
        assert.deepStrictEqual([response.status, response.type], [401, "not_authenticated"])
      }
    }).pipe(local()))

  it.effect("switch credentialRules: any valid credential may call", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* get("/assistant/conversations")).status, 200)
    }).pipe(local({ quirks: { credentialRules: false } })))

  it.effect("a member named by email is the author, and then alone may approve", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const created = yield* post("/assistant/conversations", {
        message: message("go", "careful", {
          context: { username: "bot", timezone: "UTC", email: "ADA@local-dust.test" }
        })
      })
      assert.strictEqual(created.json.message.user.fullName, "Ada Lovelace")
      assert.strictEqual(created.json.message.context.email, "ada@local-dust.test")
      const conversationId = created.json.conversation.sId
      const messageId = created.json.conversation.content[1][0].sId
      yield* settle
      const [actionId] = (yield* dust.conversation(conversationId)).blockedActionIds
      const validate = (as: string) =>
        post(`/assistant/conversations/${conversationId}/messages/${messageId}/validate-action`, {
          actionId,
          approved: "approved"
        }, { token: as })
      assert.strictEqual((yield* validate(token.key)).status, 500)
      assert.strictEqual((yield* validate(token.user)).status, 200)
    }).pipe(local({ agents: { careful: [DustTest.approval({ name: "delete" })] } })))
})

describe("conversations", () => {
  it.effect("conversations: created empty, with a message, and with fragments", () =>
    Effect.gen(function*() {
      const empty = yield* post("/assistant/conversations", { title: "Plans" })
      assert.deepStrictEqual(Object.keys(empty.json), ["conversation"])
      assert.strictEqual(empty.json.conversation.title, "Plans")
      assert.deepStrictEqual(empty.json.conversation.content, [])
      const full = yield* post("/assistant/conversations", {
        message: message("Summarise", "reader"),
        contentFragments: [{ title: "notes.txt", content: "the notes", contentType: "text/plain" }]
      })
      assert.strictEqual(full.json.contentFragment.title, "notes.txt")
      assert.deepStrictEqual(
        full.json.conversation.content.map((versions: Json) => versions[0].type),
        ["content_fragment", "user_message", "agent_message"]
      )
      const answer = yield* finished({ messageId: full.json.conversation.content[2][0].sId })
      assert.strictEqual(answer.content, "the notes")
    }).pipe(local({ agents: { reader: ({ attachments }) => attachments.map(({ content }) => content).join() } })))

  it.effect("conversations: fragments that are too long, without a type, or of two shapes are refused", () =>
    Effect.gen(function*() {
      for (
        const fragment of [
          { title: "a", content: "x".repeat(524_289), contentType: "text/plain" },
          { title: "a", content: "x", contentType: "image/png" },
          { title: "a", content: "x", contentType: "text/plain", fileId: "fil_1" },
          { title: "a" }
        ]
      ) assert.strictEqual((yield* post("/assistant/conversations", { contentFragments: [fragment] })).status, 400)
    }).pipe(local()))

  it.effect("conversations: read as a whole, or in pages from the newest rank", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const seeded = yield* dust.addConversation({
        messages: Array.from({ length: 7 }, (_, i) =>
          i % 2 === 0 ? { role: "user" as const, content: `q${i}` } : { role: "agent" as const, content: `a${i}` })
      })
      const url = `/assistant/conversations/${seeded.sId}`
      const whole = yield* get(url)
      assert.lengthOf(whole.json.conversation.content, 7)
      assert.notProperty(whole.json, "hasMore")
      const ranks: Array<number> = []
      let lastValue: string | null = ""
      for (let page = 0; page < 4; page++) {
        const { json }: Json = yield* get(`${url}?limit=3${lastValue === "" ? "" : `&lastValue=${lastValue}`}`)
        ranks.push(...json.conversation.content.map((versions: Json) =>
          versions[0].rank
        ))
        lastValue = json.lastValue
        if (json.hasMore !== true) break
        assert.isString(lastValue)
      }
      assert.deepStrictEqual(ranks, [4, 5, 6, 1, 2, 3, 0])
      assert.strictEqual((yield* get(`${url}?limit=abc`)).status, 400)
      assert.lengthOf((yield* get(`${url}?limit=2.7`)).json.conversation.content, 2)
      const none = (yield* get(`${url}?limit=0`)).json
      assert.deepStrictEqual([none.conversation.content, none.hasMore, none.lastValue], [[], true, null])
    }).pipe(local()))

  it.effect("conversations: renamed and marked as read; read takes precedence over title", () =>
    Effect.gen(function*() {
      const ids = yield* ask("hi", "echo", { token: token.user })
      yield* finished(ids)
      const url = `/assistant/conversations/${ids.conversationId}`
      const patch = (body: unknown) => call("PATCH", url, { body, token: token.user })
      const state = Effect.map(
        get(url, { token: token.user }),
        ({ json }) => [json.conversation.title, json.conversation.unread]
      )
      yield* patch({ read: false, title: "ignored" })
      assert.deepStrictEqual(yield* state, ["hi", true])
      yield* patch({ title: "Renamed" })
      assert.deepStrictEqual(yield* state, ["Renamed", false])
      assert.strictEqual((yield* patch({})).status, 400)
    }).pipe(local()))

  it.effect("conversations: listed to their participants", () =>
    Effect.gen(function*() {
      const mine = yield* ask("mine", "echo", { token: token.user })
      yield* ask("not mine", "echo", { token: token.admin })
      const { json } = yield* get("/assistant/conversations", { token: token.user })
      assert.deepStrictEqual(json.conversations.map((one: Json) => one.sId), [mine.conversationId])
      assert.notProperty(json.conversations[0], "content")
    }).pipe(local()))

  it.effect("conversations: every route responds with 404 to an unknown one", () =>
    Effect.gen(function*() {
      for (
        const [method, suffix, body] of [
          ["GET", "", undefined],
          ["PATCH", "", { title: "x" }],
          ["POST", "/messages", message("hi")],
          ["POST", "/cancel", { messageIds: [] }],
          ["GET", "/actions/blocked", undefined],
          ["GET", "/consumption", undefined]
        ] as const
      ) {
        const response = yield* call(
          method,
          `/assistant/conversations/nope${suffix}`,
          body === undefined ? {} : { body }
        )
        assert.deepStrictEqual([response.status, response.type], [404, "conversation_not_found"])
      }
    }).pipe(local()))

  it.effect("posting: invalid mentions, agents and contexts are refused", () =>
    Effect.gen(function*() {
      const { conversationId } = yield* ask("hi")
      const url = `/assistant/conversations/${conversationId}/messages`
      const send = (body: unknown, as = token.key) =>
        Effect.map(post(url, body, { token: as }), ({ status, type }) => [status, type])
      const context = (more: object) => message("x", null, { context: { username: "ada", timezone: "UTC", ...more } })
      assert.deepStrictEqual(yield* send(message("x", "nobody")), [400, "agent_inaccessible"])
      assert.deepStrictEqual(
        yield* send({ ...message("x"), mentions: [{ configurationId: "echo" }, { configurationId: "dust" }] }),
        [400, "invalid_request_error"]
      )
      assert.deepStrictEqual(yield* send(context({ username: "  " })), [400, "invalid_request_error"])
      assert.deepStrictEqual(yield* send(context({ origin: "web" })), [400, "invalid_request_error"])
      assert.deepStrictEqual(yield* send(context({ origin: "zapier" })), [200, undefined])
      assert.deepStrictEqual(yield* send(context({ origin: "zapier" }), token.user), [400, "invalid_request_error"])
      assert.deepStrictEqual(yield* send(context({ origin: "something new" })), [200, undefined])
      assert.deepStrictEqual(yield* send(context({ clientSideMCPServerIds: ["x"] })), [500, "internal_server_error"])
      assert.deepStrictEqual(yield* send(context({ clientSideMCPServerIds: ["x"] }), token.user), [
        403,
        "invalid_request_error"
      ])
      assert.deepStrictEqual(yield* send(context({ selectedMCPServerViewIds: ["x"] })), [401, "invalid_request_error"])
      const creating = yield* post("/assistant/conversations", { message: context({ clientSideMCPServerIds: ["x"] }) })
      assert.deepStrictEqual([creating.status, creating.type], [401, "invalid_request_error"])
    }).pipe(local()))

  it.effect("a failed creation leaves an orphaned conversation", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const response = yield* post("/assistant/conversations", { message: message("x", "nobody") })
      assert.strictEqual(response.status, 400)
      assert.lengthOf(yield* dust.conversations, 1)
    }).pipe(local()))

  it.effect("an edit makes a new version, and an answer only if no agent has answered (lib/api/assistant/conversation.ts)", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const edit = (ids: { readonly conversationId: string; readonly userMessageId: string }, options = {}) =>
        post(`/assistant/conversations/${ids.conversationId}/messages/${ids.userMessageId}/edit`, {
          content: "second",
          mentions: [{ configurationId: "echo" }]
        }, options)
      const answered = yield* ask("first")
      yield* finished(answered)
      const { json } = yield* edit(answered)
      assert.deepStrictEqual([json.message.version, json.message.rank, json.agentMessages], [1, 0, []])
      assert.notStrictEqual(json.message.sId, answered.userMessageId)
      const state = yield* dust.conversation(answered.conversationId)
      assert.deepStrictEqual(state.messages.map((one) => [one.rank, one.version]), [[0, 0], [0, 1], [1, 0]])
      const outdated = yield* edit(answered)
      assert.deepStrictEqual([outdated.status, outdated.type], [400, "invalid_request_error"])
      const stranger = yield* edit({ ...answered, userMessageId: json.message.sId }, { token: token.user })
      assert.deepStrictEqual([stranger.status, stranger.type], [403, "workspace_auth_error"])

      const alone = yield* post("/assistant/conversations", { message: message("first", null) })
      const late = yield* edit({
        conversationId: alone.json.conversation.sId,
        userMessageId: alone.json.message.sId
      })
      assert.strictEqual(late.json.agentMessages[0].rank, 1)
      assert.strictEqual((yield* finished({ messageId: late.json.agentMessages[0].sId })).content, "second")
    }).pipe(local()))

  it.effect("a retry makes a new version with a stream of its own", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "flaky")
      assert.strictEqual((yield* finished(ids)).status, "failed")
      const url = `/assistant/conversations/${ids.conversationId}/messages/${ids.messageId}/retry`
      assert.strictEqual((yield* call("POST", url, { raw: "" })).status, 400)
      const { json } = yield* post(url)
      assert.deepStrictEqual([json.message.version, json.message.rank, json.message.status], [1, 1, "created"])
      assert.strictEqual((yield* finished({ messageId: json.message.sId })).content, "attempt 1")
      // Only the newest version can be retried (lib/api/assistant/conversation.ts).
      const outdated = yield* post(url)
      assert.deepStrictEqual([outdated.status, outdated.type], [400, "invalid_request_error"])
      assert.include(
        types(yield* connect(messageEvents({ ...ids, messageId: json.message.sId }))),
        "agent_message_success"
      )
    }).pipe(local({
      agents: { flaky: ({ version }) => version === 0 ? [DustTest.fail()] : `attempt ${version}` }
    })))

  it.effect("a cancelled run ends as cancelled; unknown ids are ignored", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "endless")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* settle
      const response = yield* post(`/assistant/conversations/${ids.conversationId}/cancel`, {
        messageIds: [ids.messageId, "unknown"]
      })
      assert.deepStrictEqual(response.json, { success: true })
      const frames = yield* Fiber.join(fiber)
      assert.deepStrictEqual(types(frames), [
        "dust-handshake",
        "generation_tokens",
        "agent_generation_cancelled",
        "done"
      ])
      const state = yield* dust.message(ids.messageId)
      assert.deepStrictEqual([state.status, state.run, state.cancelRequested, state.content], [
        "cancelled",
        "cancelled",
        true,
        "so"
      ])
      assert.lengthOf((yield* dust.conversation(ids.conversationId)).cancelCalls, 1)
    }).pipe(local({ agents: { endless: [DustTest.text("so"), DustTest.silence()] } })))

  it.effect("a disconnected client does not stop the agent", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "slow")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* dust.openStreams, 0)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* dust.message(ids.messageId)).status, "succeeded")
    }).pipe(local({ agents: { slow: [DustTest.text("a b c", { pace: "1 second" })] } })))
})

describe("steering", () => {
  const agents = { slow: [DustTest.text("one ", { pace: "10 seconds" }), DustTest.text("two")] }

  it.effect("a user's second message waits, stops the run, is promoted and answered", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "slow", { token: token.user })
      yield* TestClock.adjust("1 second")
      const second = yield* post(
        `/assistant/conversations/${ids.conversationId}/messages`,
        message("rather this", "slow"),
        { token: token.user }
      )
      assert.strictEqual(second.json.message.visibility, "pending")
      assert.deepStrictEqual(second.json.agentMessages, [])
      yield* TestClock.adjust("9 seconds")
      const first = yield* dust.message(ids.messageId)
      assert.deepStrictEqual([first.run, first.content], ["gracefully_stopped", "one "])
      assert.strictEqual((first.json as Json).status, "succeeded")
      const frames = yield* connect(messageEvents(ids))
      const stopped = frames.find((frame) => frame.json?.type === "agent_message_gracefully_stopped")!
      assert.strictEqual(stopped.json.message.status, "gracefully_stopped")
      assert.strictEqual((yield* dust.message(second.json.message.sId)).visibility, "visible")
      yield* TestClock.adjust("10 seconds")
      const answers = yield* dust.agentMessages(ids.conversationId)
      assert.deepStrictEqual(answers.map(({ content }) => content), ["one ", "one two"])
      assert.strictEqual((answers[1]!.json as Json).parentMessageId, second.json.message.sId)
    }).pipe(local({ agents })))

  it.effect("switch rawStatusInEvents: terminal events carry the public status", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "stops")
      yield* finished(ids)
      const stopped = (yield* connect(messageEvents(ids))).find((frame) => frame.json?.type.endsWith("stopped"))!
      assert.strictEqual(stopped.json.message.status, "succeeded")
    }).pipe(local({
      quirks: { rawStatusInEvents: false },
      agents: { stops: [DustTest.text("half"), DustTest.gracefulStop, DustTest.text("never")] }
    })))

  it.effect("a cancelled run promotes without an answer; another agent cannot be mentioned meanwhile", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "slow", { token: token.user })
      yield* settle
      const url = `/assistant/conversations/${ids.conversationId}`
      assert.strictEqual((yield* post(`${url}/messages`, message("x", "echo"), { token: token.user })).status, 400)
      const second = yield* post(`${url}/messages`, message("y", "slow"), { token: token.user })
      yield* post(`${url}/cancel`, { messageIds: [ids.messageId] })
      yield* settle
      assert.strictEqual((yield* dust.message(second.json.message.sId)).visibility, "visible")
      assert.lengthOf(yield* dust.agentMessages(), 1)
    }).pipe(local({ agents })))

  it.effect("an API key's second message gets its own answer at once", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "slow")
      yield* settle
      const second = yield* post(`/assistant/conversations/${ids.conversationId}/messages`, message("more", "slow"))
      assert.strictEqual(second.json.message.visibility, "visible")
      assert.lengthOf(second.json.agentMessages, 1)
    }).pipe(local({ agents })))

  it.effect("switch steering: a user's second message does not wait", () =>
    Effect.gen(function*() {
      const ids = yield* ask("go", "slow", { token: token.user })
      yield* settle
      const second = yield* post(`/assistant/conversations/${ids.conversationId}/messages`, message("more", "slow"), {
        token: token.user
      })
      assert.lengthOf(second.json.agentMessages, 1)
    }).pipe(local({ agents, quirks: { steering: false } })))
})

describe("blocking", () => {
  const agents = {
    quick: [DustTest.text("done", { pace: "5 seconds" })],
    failing: [DustTest.silence("1 second"), DustTest.fail()],
    endless: [DustTest.silence()]
  }
  const blockingPost = (agent: string) =>
    Effect.gen(function*() {
      const { json } = yield* post("/assistant/conversations", {})
      return yield* post(
        `/assistant/conversations/${json.conversation.sId}/messages`,
        message("go", agent, { blocking: true })
      )
    })

  it.effect("holds the response until the agent has finished", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(blockingPost("quick"))
      yield* TestClock.adjust("4 seconds")
      assert.isTrue((yield* Fiber.poll(fiber))._tag === "None")
      yield* TestClock.adjust("1 second")
      const { json } = yield* Fiber.join(fiber)
      assert.strictEqual(json.message.content, "go")
      assert.deepStrictEqual(json.agentMessages.map((one: Json) => [one.status, one.content]), [["succeeded", "done"]])
    }).pipe(local({ agents })))

  it.effect("omits a failed agent, returns the initial state of a cancelled one, times out after 180 seconds", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const failed = yield* Effect.fork(blockingPost("failing"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(failed)).json.agentMessages, [])
      const cancelled = yield* Effect.fork(blockingPost("endless"))
      yield* settle
      const running = (yield* dust.agentMessages()).find((one) => one.run === "running")!
      const conversationId = (yield* dust.conversations).find((one) =>
        one.messages.some(({ sId }) => sId === running.sId)
      )!.sId
      yield* post(`/assistant/conversations/${conversationId}/cancel`, { messageIds: [running.sId] })
      assert.deepStrictEqual((yield* Fiber.join(cancelled)).json.agentMessages.map((one: Json) => one.status), [
        "created"
      ])
      const silent = yield* Effect.fork(blockingPost("endless"))
      yield* TestClock.adjust("179 seconds")
      assert.isTrue((yield* Fiber.poll(silent))._tag === "None")
      yield* TestClock.adjust("1 second")
      const response = yield* Fiber.join(silent)
      assert.deepStrictEqual([response.status, response.json.agentMessages], [200, []])
    }).pipe(local({ agents })))

  it.effect("switches blockingLimit and blockingStale", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.fork(blockingPost("failing"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(failed)).json.agentMessages.map((one: Json) => one.status), ["failed"])
      const silent = yield* Effect.fork(blockingPost("endless"))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual((yield* Fiber.join(silent)).json.agentMessages.map((one: Json) => one.status), ["created"])
    }).pipe(local({ agents, quirks: { blockingLimit: "2 seconds", blockingStale: false } })))
})

describe("documents and exports", () => {
  const documents = "/spaces/vlt_global/data_sources/dts_handbook/documents"
  const upsert = post(`${documents}/new`, { text: "text", async: true })
  const period = { startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-20T00:00:00Z" }
  const failing = {
    seed: { analytics: { consumption: [], consumptionFailure: { afterRows: 0, message: "Timed out." } } }
  }
  const exported = Effect.map(
    post("/analytics/consumption/export", period, { token: token.adminKey }),
    ({ status, text }) => [status, text.slice(text.indexOf("\n") + 1)]
  )

  it.effect("an asynchronous upsert becomes visible some time after its response", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* upsert).json, { document: { document_id: "new" } })
      assert.strictEqual((yield* get(`${documents}/new`)).status, 400)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* get(`${documents}/new`)).status, 200)
    }).pipe(local()))

  it.effect("switch asyncUpserts: a document is visible at once", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* upsert).json, { document: { document_id: "new" } })
      assert.strictEqual((yield* get(`${documents}/new`)).status, 200)
    }).pipe(local({ quirks: { asyncUpserts: false } })))

  it.effect("a failed export has an error line in its 200", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* exported, [200, "ERROR: Timed out."])
    }).pipe(local(failing)))

  it.effect("switch exportErrorLine: a failed export only ends", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* exported, [200, ""])
    }).pipe(local({ ...failing, quirks: { exportErrorLine: false } })))
})
