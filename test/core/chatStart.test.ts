/** `Chat.start`: every request that it makes, every entry that it stores, and every error, as a whole. */
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Chat, type StartOptions } from "effect-dust/Chat"
import { fingerprint } from "../../src/internal/chat/sameMessage.ts"
import { known } from "../support/errors.ts"
import type * as Http from "../support/http.ts"
import { failure, json } from "../support/http.ts"
import { agentJson, conversationRoute, dated, pageJson, scene, userJson } from "../support/scene.ts"

type Request = Http.Recorded & { readonly path: string; readonly now: number }

const before = userJson("before", 10, { content: "Earlier" })
const message = userJson("m", 11)
const reply = agentJson("a", "m", { configuration: { sId: "helper", name: "Helper" } })
const sent = { message, agentMessages: [reply] }

/** A server with the conversation `c`: what a POST of the message gives, and what it shows. */
const server = (
  post: (request: Request) => Http.Answer = () => json(sent),
  shown: (now: number) => ReadonlyArray<object> = () => [before]
) =>
(request: Request): Http.Answer => {
  const { method, now, path } = request
  if (method === "DELETE") return json({})
  if (method === "GET") return json(pageJson(shown(now)), dated(now))
  if (path === "") return json(pageJson([]), dated(now))
  return path === "/c/messages" ? post(request) : json({ contentFragment: { type: "content_fragment", sId: "f" } })
}

const ask = (more: Partial<StartOptions> = {}) =>
  Effect.flatMap(Chat, (chat) => chat.start({ agent: "helper", message: "Hello", ...more }))

const place = { conversationId: "c", messageId: "a", userMessageId: "m" }
const context = { username: "Ada", timezone: "UTC" }
const attachments = [{ title: "T", content: "x", contentType: "text/plain" }]
const mentions = [{ configurationId: "helper" }]

describe("Chat.start", () => {
  it.effect("creates a conversation with everything, and posts the message", () =>
    Effect.gen(function*() {
      const { bodies, requests, value } = yield* scene(
        server(),
        ask({
          title: "Title",
          spaceId: "space",
          attachments,
          context,
          modelSelection: { providerId: "openai", modelId: "gpt-5" },
          skipToolsValidation: true
        })
      )
      assert.deepStrictEqual(value, place)
      assert.deepStrictEqual(requests, ["0 POST ", "0 POST /c/messages"])
      assert.deepStrictEqual(bodies, [
        ["POST", { title: "Title", spaceId: "space", contentFragments: attachments }],
        ["POST", {
          content: "Hello",
          mentions,
          context: { ...context, origin: "api" },
          modelSelection: { providerId: "openai", modelId: "gpt-5" },
          skipToolsValidation: true
        }]
      ])
    }))

  it.effect("posts attachments and message to a conversation", () =>
    Effect.gen(function*() {
      const { bodies, requests, value } = yield* scene(server(), ask({ conversationId: "c", attachments, context }))
      assert.deepStrictEqual(value, place)
      assert.deepStrictEqual(requests, [
        "0 POST /c/content_fragments",
        "0 GET /c?limit=1",
        "0 POST /c/messages"
      ])
      assert.deepStrictEqual(bodies, [
        ["POST", attachments[0]],
        ["POST", { content: "Hello", mentions, context: { ...context, origin: "api" } }]
      ])
    }))

  const request = { method: "POST", route: `${conversationRoute}/messages` }
  const common = { module: "Chat", method: "start" }
  const at = { workspaceId: "ws1", conversationId: "c", userMessageId: "m" }
  const status = "agent_restricted_by_space_usage"
  const richMentions = [
    { id: "u", type: "user", label: "U", status: "pending" },
    { id: "x", type: "agent", label: "X", status: "approved" },
    { id: "helper", type: "agent", label: "Helper", status }
  ]
  const errors: ReadonlyArray<
    readonly [string, Partial<StartOptions>, (request: Request) => Http.Answer, object, ReadonlyArray<string>]
  > = [
    ["a blank message", { message: " \n" }, () => json(sent), {
      _tag: "DustBadRequestError",
      ...common,
      request,
      attempts: 0,
      type: "invalid_input",
      details: { field: "message", expected: "non-blank text" },
      message: "Chat.start: message must be non-blank text"
    }, []],
    ["a number as the message", { message: 7 as never }, () => json(sent), {
      _tag: "DustBadRequestError",
      ...common,
      request,
      attempts: 0,
      type: "invalid_input",
      details: { field: "message", expected: "non-blank text" },
      message: "Chat.start: message must be non-blank text"
    }, []],
    ["a blank agent", { agent: " " }, () => json(sent), {
      _tag: "DustBadRequestError",
      ...common,
      request,
      attempts: 0,
      type: "invalid_input",
      details: { field: "agent", expected: "a non-blank id, or { name }" },
      message: "Chat.start: agent must be a non-blank id, or { name }"
    }, []],
    ["a context of a user", { context: { clientSideMCPServerIds: ["s"] } }, () => json(sent), {
      _tag: "DustUserRequiredError",
      ...common,
      request,
      attempts: 0,
      type: "user_required",
      details: { required: "user", field: "context.clientSideMCPServerIds" },
      message:
        "Chat.start: context.clientSideMCPServerIds requires a user's access token (`accessToken`, DUST_ACCESS_TOKEN); the credential of this call is an API key"
    }, []],
    ["no reply", {}, () => json({ message, agentMessages: [] }), {
      _tag: "DustNotFoundError",
      ...common,
      ...at,
      attempts: 1,
      type: "agent_not_found",
      details: { agentId: "helper" },
      message:
        "Chat.start: no agent answered: check that \"helper\" is the id of an agent that this credential may use (conversation c, question m)"
    }, ["0 POST ", "0 POST /c/messages"]],
    ["a restricted agent", {}, () => json({ message: { ...message, richMentions }, agentMessages: [] }), {
      _tag: "DustForbiddenError",
      ...common,
      ...at,
      request,
      attempts: 1,
      type: status,
      details: {
        conversationId: "c",
        messageId: "m",
        richMentions: richMentions.map((one) => ({ ...one, pictureUrl: null, description: null, dismissed: null }))
      },
      message:
        `Chat.start: the message is stored, and the agent may not answer in this conversation (${status}) (conversation c, question m)`
    }, ["0 POST ", "0 POST /c/messages"]],
    ["a refused message", {}, () => failure(400, "invalid_request_error"), {
      _tag: "DustBadRequestError",
      module: "Conversations",
      method: "createMessage",
      workspaceId: "ws1",
      conversationId: "c",
      request,
      attempts: 1,
      status: 400,
      type: "invalid_request_error",
      details: { type: "invalid_request_error", message: "said the server" },
      message: "Conversations.createMessage: 400 invalid_request_error: said the server (conversation c)"
    }, ["0 POST ", "0 POST /c/messages"]]
  ]
  it.effect.each(errors)(
    "fails for %s, with all that is known",
    ([, options, post, expected, requests]) =>
      Effect.gen(function*() {
        const run = yield* scene(server(post), ask(options))
        assert.deepStrictEqual(known(run.error), expected)
        assert.deepStrictEqual(run.requests, requests)
      })
  )

  it.effect("a refused message leaves no conversation behind with a user's token, which may delete it", () =>
    Effect.gen(function*() {
      const refused = server(() => failure(400, "invalid_request_error"))
      const { requests } = yield* scene(refused, Effect.zipLeft(Effect.either(ask()), Effect.sleep("1 second")), {
        user: true
      })
      assert.lengthOf(requests.filter((one) => one.includes("DELETE")), 1)
      const kept = yield* scene(
        refused,
        Effect.zipLeft(Effect.either(ask({ conversationId: "c" })), Effect.sleep("1 second")),
        { user: true }
      )
      assert.lengthOf(kept.requests.filter((one) => one.includes("DELETE")), 0)
      const lost = yield* scene(
        server(() => failure(500, "internal_server_error")),
        Effect.zipLeft(Effect.either(ask()), Effect.sleep("1 second")),
        { user: true }
      )
      assert.lengthOf(lost.requests.filter((one) => one.includes("DELETE")), 0)
    }))
})

describe("Chat.start with a key", () => {
  const folder = "effect-dust/start/ws1/k"
  const sending = {
    conversationId: "c",
    author: "effect-dust",
    origin: "api",
    agentId: "helper",
    fingerprint: fingerprint("c", "Hello"),
    position: { rank: null, messageId: null },
    refused: false
  }
  const stored = { conversationId: "c", userMessageId: "m", messageId: "a", fingerprint: sending.fingerprint }
  const found = (now: number) => now < 10_000 ? [] : [message, reply]

  /** Asks with a store that has these entries: the requests, the place or the error, and each entry that is written. */
  const keyed = (
    entries: { readonly sending?: unknown; readonly sent?: unknown },
    answer: ReturnType<typeof server> = server(),
    options: {
      readonly conversationId?: string
      readonly message?: string
      readonly key?: string
      readonly settle?: string
    } = {},
    times = 1
  ) => {
    const written: Array<readonly [string, unknown]> = []
    const text = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value)
    const map = new Map<string, string>(
      Object.entries(entries).map(([name, value]) => [`${folder}/${name}`, text(value)])
    )
    const store = KeyValueStore.makeStringOnly({
      get: (key) => Effect.sync(() => Option.fromNullable(map.get(key))),
      set: (key, value) =>
        Effect.sync(() => {
          map.set(key, value)
          written.push([key.replace(`${folder}/`, ""), JSON.parse(value)])
        }),
      remove: () => Effect.void,
      clear: Effect.void,
      size: Effect.succeed(0)
    })
    const once = Effect.flatMap(
      Chat,
      (chat) =>
        chat.start({
          agent: "helper",
          message: "Hello",
          key: "k",
          store,
          ...options as { readonly settle?: "1 second" }
        })
    )
    const all = times === 1 ? once : Effect.zipRight(Effect.either(once), once)
    return Effect.map(scene(answer, all), (one) => ({ ...one, written }))
  }

  it.effect("stores where it asks before it does, and the ids after it", () =>
    Effect.gen(function*() {
      const { requests, value, written } = yield* keyed({})
      assert.deepStrictEqual(value, place)
      assert.deepStrictEqual(requests, ["0 POST ", "0 POST /c/messages"])
      assert.deepStrictEqual(written, [["sending", sending], ["sent", stored]])
    }))

  it.effect("stores the newest message of a conversation that is given", () =>
    Effect.gen(function*() {
      const { requests, written } = yield* keyed({}, server(), { conversationId: "c" })
      assert.deepStrictEqual(requests, ["0 GET /c?limit=1", "0 POST /c/messages"])
      assert.deepStrictEqual(written[0], ["sending", { ...sending, position: { rank: 10, messageId: "before" } }])
    }))

  it.effect("makes no request once the ids are stored", () =>
    Effect.gen(function*() {
      const { requests, value, written } = yield* keyed({ sent: stored, sending })
      assert.deepStrictEqual([requests, written], [[], []])
      assert.deepStrictEqual(value, place)
    }))

  it.effect("finds the message of an earlier process", () =>
    Effect.gen(function*() {
      const { requests, value, written } = yield* keyed({ sending }, server(undefined, found))
      assert.deepStrictEqual(value, place)
      assert.deepStrictEqual(requests, [0, 200, 1_000, 3_000, 7_000, 11_000].map((now) => `${now} GET /c?limit=20`))
      assert.deepStrictEqual(written, [["sent", stored]])
    }))

  it.effect("sends the message when that of an earlier process has had its time", () =>
    Effect.gen(function*() {
      const { requests, written } = yield* keyed({ sending }, server(undefined, () => []), { settle: "9 seconds" })
      assert.deepStrictEqual(requests, [
        ...[0, 200, 1_000, 3_000, 7_000, 9_000].map((now) => `${now} GET /c?limit=20`),
        "9000 GET /c?limit=1",
        "9000 POST /c/messages"
      ])
      assert.deepStrictEqual(written, [["sent", stored]])
    }))

  it.effect("waits 70 seconds for it by default", () =>
    Effect.gen(function*() {
      const { requests } = yield* keyed({ sending }, server(undefined, () => []))
      assert.deepStrictEqual(requests.slice(-3), [
        "70000 GET /c?limit=20",
        "70000 GET /c?limit=1",
        "70000 POST /c/messages"
      ])
    }))

  it.effect("sends a message that was refused at once, and is no longer refused", () =>
    Effect.gen(function*() {
      const { requests, written } = yield* keyed({ sending: { ...sending, refused: true } })
      assert.deepStrictEqual(requests, ["0 GET /c?limit=1", "0 POST /c/messages"])
      assert.deepStrictEqual(written, [["sending", sending], ["sent", stored]])
    }))

  it.effect("records a refusal", () =>
    Effect.gen(function*() {
      const { error, written } = yield* keyed({}, server(() => failure(400, "invalid_request_error")))
      assert.deepStrictEqual(written, [["sending", sending], ["sending", { ...sending, refused: true }]])
      assert.strictEqual(
        error?.["message"],
        "Conversations.createMessage: 400 invalid_request_error: said the server (conversation c)"
      )
    }))

  it.effect("takes a truncated entry as none", () =>
    Effect.gen(function*() {
      const { value, written } = yield* keyed({ sending: "{\"conver", sent: "" })
      assert.deepStrictEqual(value, place)
      assert.deepStrictEqual(written, [["sending", sending], ["sent", stored]])
    }))

  it.effect("does not send again when the ids could not be found at first", () =>
    Effect.gen(function*() {
      let reads = 0
      const { requests, value } = yield* keyed(
        {},
        server(
          () => json({ message: { ...message, visibility: "pending" }, agentMessages: [] }),
          () => reads++ === 0 ? [] : [message, reply]
        ),
        {},
        2
      )
      assert.deepStrictEqual(value, place)
      assert.deepStrictEqual(requests, ["0 POST ", "0 POST /c/messages", "0 GET /c", "0 GET /c"])
    }))

  const conflict = (type: string, why: string) => ({
    _tag: "DustConflictError",
    module: "Chat",
    method: "start",
    attempts: 0,
    type,
    details: { type, key: "k" },
    message: `Chat.start: the key "k" ${why}`
  })
  const reused = conflict("key_reused", "was used for another question; use one key for each question")
  const unreadable = conflict("key_unreadable", "has an entry in the store that another program wrote")
  const bad = (field: string, expected: string) => ({
    _tag: "DustBadRequestError",
    module: "Chat",
    method: "start",
    request: { method: "POST", route: `${conversationRoute}/messages` },
    attempts: 0,
    type: "invalid_input",
    details: { field, expected },
    message: `Chat.start: ${field} must be ${expected}`
  })
  const refusals: ReadonlyArray<readonly [string, Parameters<typeof keyed>[0], Parameters<typeof keyed>[2], object]> = [
    ["another message, which was sent", { sent: { ...stored, fingerprint: "x" } }, {}, reused],
    ["another conversation, where it was sent", { sent: stored }, { conversationId: "d" }, reused],
    ["another message", { sending: { ...sending, fingerprint: "x" } }, {}, reused],
    ["another conversation", { sending }, { conversationId: "d" }, reused],
    ["ids of another shape", { sent: { ...stored, messageId: 1 } }, {}, unreadable],
    ["an entry of another shape", { sending: { ...sending, position: null } }, {}, unreadable],
    ["no key", {}, { key: " " }, bad("key", "non-blank text")],
    ["no time", {}, { settle: "soon" }, bad("settle", "a duration such as \"70 seconds\"")],
    ["no message", {}, { message: "" }, bad("message", "non-blank text")]
  ]
  it.effect.each(refusals)(
    "refuses %s, before any request",
    ([, entries, options, expected]) =>
      Effect.gen(function*() {
        const { error, requests, written } = yield* keyed(entries, server(), options)
        assert.deepStrictEqual(
          Object.fromEntries(Object.entries(error ?? {}).filter(([, value]) => value !== undefined)),
          expected
        )
        assert.deepStrictEqual([requests, written], [[], []])
      })
  )
})
