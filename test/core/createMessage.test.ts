/** Messages that are created with a conversation, or with their answers: requests, values and errors, as a whole. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import type { CreateMessageOptions, CreateWithMessageOptions } from "effect-dust/Conversation"
import { Conversations } from "effect-dust/Conversations"
import { known, whole } from "../support/errors.ts"
import type * as Http from "../support/http.ts"
import { failure, json } from "../support/http.ts"
import { agentJson, conversationRoute, isStream, pageJson, scene, sse, userJson } from "../support/scene.ts"

type Request = Http.Recorded & { readonly path: string; readonly now: number }

const message = userJson("m", 11)
const running = (sId: string) => agentJson(sId, "m", { configuration: { sId: "helper", name: "Helper" } })
const done = (sId: string) => ({ ...running(sId), status: "succeeded", content: `Hi ${sId}` })
const mentions = [{ configurationId: "helper" }]
const context = { username: "Ada", timezone: "UTC" }
const notes = { title: "T", content: "x", contentType: "text/plain" }
const fragment = { type: "content_fragment", sId: "f", rank: 0, title: "T", contentType: "text/plain" }

/** A server: what a POST of the message gives, what the conversation shows, and the state of its runs. */
const server = (
  sent: (request: Request) => Http.Answer = () => json({ message, agentMessages: [running("a"), running("b")] }),
  events: (path: string) => Http.Answer = (path) => {
    const sId = path.split("/")[3] ?? ""
    return sse([["1-0", { type: "agent_message_success", message: done(sId) }]])
  }
) =>
(request: Request): Http.Answer => {
  const { method, path } = request
  if (method === "DELETE" || path.endsWith("/cancel")) return json({})
  if (isStream(path)) return events(path)
  if (method === "GET") {
    return json(path.endsWith("/blocked") ? { blockedActions: [] } : pageJson([message, running("a"), running("b")]))
  }
  return path === "" ? json(pageJson([fragment, userJson("old", 1)])) : sent(request)
}

const hello = { conversationId: "c", content: "Hello", mentions }
const post = (more: Partial<CreateMessageOptions> = {}) =>
  Effect.flatMap(Conversations, (one) => one.createMessage({ ...hello, ...more }))
const create = (more: Partial<CreateWithMessageOptions> = {}) =>
  Effect.flatMap(Conversations, (one) => one.create({ message: { content: "Hello", mentions, context }, ...more }))
const ids = (all: ReadonlyArray<{ readonly sId: string }> = []) => all.map(({ sId }) => sId)

const request = { method: "POST", route: `${conversationRoute}/messages` }
const stream = { method: "GET", route: `${conversationRoute}/messages/{messageId}/events` }
const common = { module: "Conversations", method: "createMessage", request, attempts: 1 }
const status = "agent_restricted_by_space_usage"
const restricted = [{ id: "helper", type: "agent", label: "Helper", status }]
const rich = { pictureUrl: null, description: null, dismissed: null }

describe("create with a message", () => {
  it.effect("creates the conversation with everything but the message, and then posts that", () =>
    Effect.gen(function*() {
      const { bodies, requests, value } = yield* scene(
        server(),
        create({ title: "Title", spaceId: "s", visibility: "test", contentFragments: [notes] })
      )
      assert.deepStrictEqual(requests, ["0 POST ", "0 POST /c/messages"])
      assert.deepStrictEqual(bodies, [
        ["POST", { title: "Title", visibility: "test", spaceId: "s", contentFragments: [notes] }],
        ["POST", { content: "Hello", mentions, context: { ...context, origin: "api" } }]
      ])
      assert.deepStrictEqual(value?.content.map(ids), [["f"], ["old"], ["m"], ["a"], ["b"]])
      assert.deepStrictEqual(
        [value?.sId, value?.message.sId, ids(value?.agentMessages), ids(value?.contentFragments)],
        [
          "c",
          "m",
          ["a", "b"],
          ["f"]
        ]
      )
    }))

  it.effect("waits for the answers, and cancels them if it is interrupted", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(server(), create({ blocking: true }))
      assert.deepStrictEqual(value?.agentMessages.map(({ content }) => content), ["Hi a", "Hi b"])
      for (const onInterrupt of ["cancel", "leave", undefined] as const) {
        const { bodies } = yield* scene(
          server(undefined, () => sse([], true)),
          create({ blocking: true, onInterrupt }).pipe(Effect.timeoutOption("5 seconds"), (self) =>
            Effect.zipRight(self, Effect.sleep("2 minutes")))
        )
        assert.deepStrictEqual(
          bodies.slice(2),
          onInterrupt === "leave" ? [] : [["POST", { messageIds: ["a", "b"] }]]
        )
      }
    }))

  const failures: ReadonlyArray<readonly [string, (request: Request) => Http.Answer, object, number]> = [
    ["one that Dust refuses", () => failure(400, "invalid_request_error"), {
      ...common,
      _tag: "DustBadRequestError",
      conversationId: "c",
      status: 400,
      type: "invalid_request_error",
      details: { type: "invalid_request_error", message: "said the server", conversationId: "c" },
      message: "Conversations.createMessage: 400 invalid_request_error: said the server (conversation c)"
    }, 1],
    ["one that a proxy refuses", () => new Response("<p>no</p>", { status: 400 }), {
      ...common,
      _tag: "DustBadRequestError",
      conversationId: "c",
      status: 400,
      details: { answer: "<p>no</p>", conversationId: "c" },
      message: "Conversations.createMessage: 400: no (conversation c)"
    }, 1]
  ]
  it.effect.each(failures)(
    "fails with the id of the conversation, which is deleted: %s",
    ([, sent, expected, deleted]) =>
      Effect.gen(function*() {
        const run = (user: boolean) =>
          scene(
            server(sent),
            Effect.zipLeft(
              Effect.map(Effect.either(create()), (end) => Either.isLeft(end) ? known(whole(end.left)) : end),
              Effect.sleep("1 second")
            ),
            { user }
          )
        const { requests, value } = yield* run(true)
        assert.deepStrictEqual(value, expected)
        assert.lengthOf(requests.filter((one) => one.includes(" DELETE ")), deleted)
        // An API key cannot delete it.
        assert.lengthOf((yield* run(false)).requests.filter((one) => one.includes(" DELETE ")), 0)
      })
  )

  it.effect("keeps the conversation of a message that may be stored", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server(() => failure(500, "internal_server_error")),
        Effect.zipLeft(Effect.either(create()), Effect.sleep("1 minute")),
        { user: true }
      )
      assert.isTrue(value !== undefined && Either.isLeft(value) && value.left._tag === "DustUnconfirmedError")
      assert.lengthOf(requests.filter((one) => one.includes(" DELETE ")), 0)
      const resent = yield* scene(
        server(() => failure(500, "internal_server_error")),
        Effect.either(create({ onUnconfirmed: "resend" }))
      )
      assert.lengthOf(resent.requests.filter((one) => one.endsWith(" POST /c/messages")), 2)
    }))

  it.effect("a message without an agent cannot wait for its answer, with a conversation or alone", () =>
    Effect.gen(function*() {
      const expected = "a list with the mention of an agent, because `blocking` waits for its answer"
      for (
        const call of [
          create({ message: { content: "Hello" }, blocking: true }),
          create({ message: { content: "Hello", mentions: [{ type: "user", userId: "u" }] }, blocking: true }),
          post({ mentions: [], blocking: true })
        ]
      ) {
        const { error, requests } = yield* scene(server(), call)
        assert.deepStrictEqual(known(error), {
          ...common,
          _tag: "DustBadRequestError",
          attempts: 0,
          type: "invalid_input",
          details: { field: "mentions", expected },
          message: `Conversations.createMessage: mentions must be ${expected}`
        })
        assert.deepStrictEqual(requests, [])
      }
    }))
})

describe("a message that waits for its answers", () => {
  const first = ["0 GET /c?limit=1", "0 POST /c/messages"]

  it.effect("has all of them, which are followed together", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(server(), post({ blocking: true }))
      assert.deepStrictEqual([value?.message.sId, value?.agentMessages.map(({ content }) => content)], ["m", [
        "Hi a",
        "Hi b"
      ]])
      assert.deepStrictEqual(requests.filter((one) => isStream(one)), [
        "0 GET /c/messages/a/events",
        "0 GET /c/messages/b/events"
      ])
    }))

  it.effect("is in the queue at first", () =>
    Effect.gen(function*() {
      const { value } = yield* scene(
        server(() => json({ message: { ...message, visibility: "pending" }, agentMessages: [] })),
        post({ blocking: true })
      )
      assert.deepStrictEqual(value?.agentMessages.map(({ content }) => content), ["Hi a", "Hi b"])
    }))

  it.effect("has none, as no agent answers it", () =>
    Effect.gen(function*() {
      const sent = (richMentions: ReadonlyArray<object>) => () =>
        json({ message: { ...message, richMentions }, agentMessages: [] })
      for (const allowed of [[], [{ ...restricted[0], status: "approved" }], [{ ...restricted[0], type: "user" }]]) {
        const { requests, value } = yield* scene(server(sent(allowed)), post({ blocking: true }))
        assert.deepStrictEqual([value?.agentMessages, requests], [[], first])
      }
      const { error } = yield* scene(server(sent(restricted)), post({ blocking: true }))
      assert.deepStrictEqual(known(error), {
        ...common,
        _tag: "DustForbiddenError",
        conversationId: "c",
        userMessageId: "m",
        type: status,
        details: { conversationId: "c", messageId: "m", richMentions: [{ ...restricted[0], ...rich }] },
        message:
          `Conversations.createMessage: the message is stored, and the agent may not answer in this conversation (${status}) (conversation c, question m)`
      })
      const open = yield* scene(server(sent(restricted)), post())
      assert.strictEqual(open.value?.message.sId, "m")
    }))

  it.effect("is stored when following it fails: the error has its place", () =>
    Effect.gen(function*() {
      const refuse = (path: string) => path.includes("/b/") ? failure(403, "workspace_auth_error") : sse([], true)
      const { error } = yield* scene(server(undefined, refuse), post({ blocking: true }))
      const { details: _, message: said, ...rest } = known(error)
      assert.deepStrictEqual(rest, {
        module: "Conversations",
        method: "answer",
        request: stream,
        attempts: 1,
        _tag: "DustForbiddenError",
        conversationId: "c",
        userMessageId: "m",
        messageId: "b",
        status: 403,
        type: "workspace_auth_error"
      })
      assert.match(String(said), / \(conversation c, message b\)$/)
      const queued = yield* scene(
        (one) =>
          one.path === "/c/messages"
            ? json({ message: { ...message, visibility: "pending" }, agentMessages: [] })
            : one.path === "/c?limit=20"
            ? failure(404, "conversation_not_found")
            : server()(one),
        post({ blocking: true })
      )
      assert.deepInclude(queued.error, { conversationId: "c", userMessageId: "m", status: 404 })
      assert.match(String(queued.error?.["message"]), / \(conversation c, question m\)$/)
    }))

  it.effect("that is interrupted is cancelled, where it is; one in the queue is deleted", () =>
    Effect.gen(function*() {
      const interrupted = (sent: object, more: Partial<CreateMessageOptions> = {}) =>
        Effect.map(
          scene(
            server(() => json(sent), () => sse([], true)),
            Effect.zipRight(
              Effect.timeoutOption(post({ blocking: true, ...more }), "5 seconds"),
              Effect.sleep("2 minutes")
            ),
            { user: true }
          ),
          ({ bodies, requests }) => [
            ...bodies.slice(1).map(([, body]) => body),
            ...requests.filter((one) => one.includes("DELETE"))
          ]
        )
      const both = { message, agentMessages: [running("a"), done("b")] }
      assert.deepStrictEqual<unknown>(yield* interrupted(both), [{ messageIds: ["a"] }])
      assert.deepStrictEqual(yield* interrupted(both, { onInterrupt: "leave" }), [])
    }))
})
