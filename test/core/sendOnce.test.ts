/** Sending a message once: what is read after a failure, when, and all that the caller and the operator see of it. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Metric } from "effect"
import type { CreateMessageOptions } from "effect-dust/Conversation"
import { Conversations } from "effect-dust/Conversations"
import { withOptions } from "effect-dust/DustClient"
import * as Telemetry from "effect-dust/Telemetry"
import { fingerprint } from "../../src/internal/chat/sameMessage.ts"
import { whole } from "../support/errors.ts"
import { failure, json, transport } from "../support/http.ts"
import type * as Http from "../support/http.ts"
import { agentJson, conversationRoute, dated, pageJson, scene, start, userJson } from "../support/scene.ts"

const hello = { conversationId: "c", content: "Hello", mentions: [{ configurationId: "helper" }] }
const send = (more: Partial<CreateMessageOptions> = {}) =>
  Effect.flatMap(Conversations, (conversations) => conversations.createMessage({ ...hello, ...more }))

const before = userJson("before", 10, { content: "Earlier" })
const message = userJson("m", 11)
const reply = agentJson("a", "m")

type Request = Http.Recorded & { readonly path: string; readonly now: number }
/** What the conversation shows, by the time; its newest message is `before`, before the send. */
const server = (
  shown: (now: number) => ReadonlyArray<object>,
  post: (request: Request) => Http.Answer = () => failure(500, "internal_server_error")
) =>
(request: Request): Http.Answer =>
  request.method === "POST"
    ? post(request)
    : json(pageJson([before, ...request.path.endsWith("limit=1") ? [] : shown(request.now)]), dated(request.now))

/** When the conversation is read. */
const reads = (...times: ReadonlyArray<number>) => times.map((time) => `${time} GET /c?limit=20`)
const first = ["0 GET /c?limit=1", "0 POST /c/messages"]
const advice = "; it may still arrive, so look with conversations.findSent(error) before sending it again"

const unconfirmed = (change: object & { readonly message: string }) => ({
  _tag: "DustUnconfirmedError",
  module: "Conversations",
  method: "createMessage",
  request: { method: "POST", route: `${conversationRoute}/messages` },
  attempts: 1,
  status: 500,
  type: "message_unconfirmed",
  requestId: undefined,
  details: {
    conversationId: "c",
    cause: {
      _tag: "DustServerError",
      message: "Conversations.createMessage: 500 internal_server_error: said the server"
    }
  },
  conversationId: "c",
  author: "effect-dust",
  origin: "api",
  agentId: "helper",
  fingerprint: fingerprint("c", "Hello"),
  position: { rank: 10, messageId: "before" },
  notBefore: start - 3_000,
  ...change,
  message: `Conversations.createMessage: ${change.message}${advice}`
})

describe("a message whose sending failed", () => {
  it.effect("is looked for over a minute, and its error has all that a later look needs", () =>
    Effect.gen(function*() {
      const counter = Metric.tagged(Telemetry.unconfirmed, "reason", "not_found")
      const { count } = yield* Metric.value(counter)
      const { error, logs, requests } = yield* scene(
        server(() => [], () => failure(500, "internal_server_error", undefined, { "x-request-id": "r" })),
        send()
      )
      assert.deepStrictEqual(requests, [
        ...first,
        ...reads(200, 1_000, 3_000, 7_000, 15_000, 25_000, 40_000, 55_000, 65_000)
      ])
      assert.deepStrictEqual(error, {
        ...unconfirmed({ message: "the message is not in conversation c after a 500" }),
        reason: "not_found",
        requestId: "r",
        details: {
          conversationId: "c",
          cause: {
            _tag: "DustServerError",
            message: "Conversations.createMessage: 500 internal_server_error: said the server [r]"
          }
        }
      })
      assert.deepStrictEqual(logs.at(-1), [
        "A message may or may not be stored (conversation c): not_found",
        { conversationId: "c", reason: "not_found" }
      ])
      assert.strictEqual((yield* Metric.value(counter)).count - count, 1)
    }))

  it.effect("is looked for in half of the time that is left, each time", () =>
    Effect.gen(function*() {
      const { error, took } = yield* scene(server(() => []), send(), { timeouts: { total: "10 seconds" } })
      assert.strictEqual(error?.["reason"], "not_found")
      assert.isBelow(took, 10_000)
      const { requests } = yield* scene(server(() => []), send(), { timeouts: { total: "10 seconds" } })
      assert.deepStrictEqual(requests.slice(2, 7), reads(200, 1_000, 3_000, 6_500, 8_250))
    }))

  it.effect("and whose conversation cannot be read: each read is made once, and the position is awaited for 5 seconds", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(
        ({ method, path }) =>
          path.endsWith("limit=1") ? Effect.never : failure(method === "POST" ? 500 : 503, "internal_server_error"),
        send()
      )
      assert.deepStrictEqual(requests, [
        "0 GET /c?limit=1",
        "5000 POST /c/messages",
        ...reads(5_200, 6_000, 8_000, 12_000, 20_000, 30_000, 45_000, 60_000, 70_000)
      ])
      assert.deepStrictEqual(
        error,
        unconfirmed({
          reason: "unreadable",
          position: null,
          notBefore: null,
          message: "the message may be stored, and reading failed in conversation c after a 500"
        } as never)
      )
    }))

  it.effect("is the one that appears, with its reply", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server((now) => now < 3_000 ? [] : [message, reply]),
        send()
      )
      assert.deepStrictEqual(requests, [...first, ...reads(200, 1_000, 3_000)])
      assert.deepStrictEqual([value?.message.sId, value?.agentMessages.map(({ sId }) => sId)], ["m", ["a"]])
    }))

  const complete: ReadonlyArray<
    readonly [string, ReadonlyArray<object>, number, string, Partial<CreateMessageOptions>?]
  > = [
    ["without its reply: it is awaited for three more looks", [message], 0, "m"],
    ["without its reply, which comes at the third of them", [message], 7_000, "m a"],
    ["in the queue", [{ ...message, visibility: "pending" }], 200, "m"],
    ["that mentions no agent", [{ ...message, mentions: [] }], 200, "m", { mentions: [] }]
  ]
  it.effect.each(complete)("is found %s", ([, shown, until, ids, options]) =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server((now) => until > 200 && now >= until ? [message, reply] : shown),
        send(options)
      )
      assert.deepStrictEqual([value?.message, ...value?.agentMessages ?? []].map((one) => one?.sId).join(" "), ids)
      assert.deepStrictEqual(requests, [...first, ...until === 200 ? reads(200) : reads(200, 1_000, 3_000, 7_000)])
    }))

  it.effect("is none of several that match", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(server(() => [message, userJson("n", 13)]), send())
      assert.deepStrictEqual(requests, [...first, ...reads(200)])
      assert.deepStrictEqual(
        error,
        unconfirmed({
          reason: "ambiguous",
          message: "several messages match the one that was sent, in conversation c after a 500",
          details: {
            conversationId: "c",
            cause: {
              _tag: "DustServerError",
              message: "Conversations.createMessage: 500 internal_server_error: said the server"
            },
            messageIds: ["m", "n"]
          }
        } as never)
      )
    }))

  it.effect("is none that could be that of an earlier send, until that is found", () =>
    Effect.gen(function*() {
      let stored = false
      const { requests, value } = yield* scene(
        server((now) => stored && now > 66_000 ? [{ ...message, created: start + 66_000 }, reply] : []),
        Effect.gen(function*() {
          const conversations = yield* Conversations
          const earlier = yield* Effect.flip(send())
          stored = true
          const later = yield* Effect.flip(send())
          if (earlier._tag !== "DustUnconfirmedError") return assert.fail(earlier._tag)
          const found = yield* conversations.findSent(earlier)
          return [later._tag === "DustUnconfirmedError" && [later.reason, later.position], found._tag]
        })
      )
      assert.deepStrictEqual(value, [["ambiguous", null], "Some"])
      assert.deepStrictEqual(requests.slice(11), ["65000 POST /c/messages", ...reads(65_200, 66_000, 68_000, 68_000)])
    }))

  const clocks: ReadonlyArray<
    readonly [string, (now: number) => ResponseInit, number | null, "not_found" | "unreadable"]
  > = [
    ["an hour ahead", (now) => dated(now + 3_600_000), start + 3_597_000, "not_found"],
    ["an hour behind", (now) => dated(now - 3_600_000), start - 3_603_000, "not_found"],
    ["unknown", () => ({}), null, "not_found"],
    [
      "that of a cache alone, with the age",
      (now) => now === 0 ? {} : dated(0, { age: String(now / 1_000) }),
      start - 3_000,
      "not_found"
    ],
    [
      "that of a cache with the age of its responses",
      (now) => dated(0, { age: String(now / 1_000) }),
      start - 3_000,
      "not_found"
    ],
    ["that of a cache without it", () => dated(-5_000), start - 8_000, "not_found"],
    [
      "that of a cache which shows responses from before",
      (now) => dated(now < 1_000 ? now : -10_000),
      start - 3_000,
      "not_found"
    ]
  ]
  it.effect.each(clocks)(
    "has the time of sending by the clock of the server: %s",
    ([, date, notBefore, reason]) =>
      Effect.gen(function*() {
        const { error } = yield* scene(
          ({ method, now }) =>
            method === "POST" ? failure(500, "internal_server_error") : json(pageJson([before]), date(now)),
          send()
        )
        assert.deepStrictEqual([error?.["notBefore"], error?.["reason"]], [notBefore, reason])
      })
  )

  it.effect("is not found in responses from before it", () =>
    Effect.gen(function*() {
      const { error } = yield* scene(({ method, path }) =>
        method === "POST"
          ? failure(500, "internal_server_error", undefined, { date: new Date(start).toUTCString() })
          : json(pageJson([before]), dated(path.endsWith("limit=1") ? 0 : -4_000)), send())
      assert.strictEqual(error?.["reason"], "unreadable")
    }))

  const times: ReadonlyArray<readonly [number, string]> = [[-3_000, "found"], [-3_001, "not_found"]]
  it.effect.each(times)(
    "without a position, is one of its time: created %i ms after it, %s",
    ([created, expected]) =>
      Effect.gen(function*() {
        const { error, value } = yield* scene(
          ({ method, now, path }) =>
            method === "POST" || path.endsWith("limit=1")
              ? failure(500, "internal_server_error", undefined, { date: new Date(start + now).toUTCString() })
              : json(pageJson([{ ...message, created: start + created }, reply]), dated(now)),
          send(),
          {
            retry: undefined
          }
        )
        assert.strictEqual(value === undefined ? error?.["reason"] : "found", expected)
      })
  )

  it.effect("is sent once more if that was chosen, and only once", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(server(() => []), send({ onUnconfirmed: "resend" }))
      assert.deepStrictEqual(requests.filter((request) => request.includes("POST")), [
        "0 POST /c/messages",
        "65000 POST /c/messages"
      ])
      assert.strictEqual(error?.["reason"], "not_found")
      const short = yield* scene(server(() => [], () => Effect.never), send({ onUnconfirmed: "resend" }), {
        timeouts: { total: "10 seconds" }
      })
      assert.deepStrictEqual(short.requests, first)
      assert.strictEqual(short.error?.["_tag"], "DustUnconfirmedError")
    }))

  it.effect("takes the place of no other: an equal one waits for it, and no longer than its own limit", () =>
    Effect.gen(function*() {
      const { requests, value } = yield* scene(
        server(() => [], () => Effect.never),
        Effect.gen(function*() {
          yield* Effect.fork(send())
          yield* Effect.sleep("1 second")
          return whole(yield* Effect.flip(send().pipe(withOptions({ timeouts: { total: "10 seconds" } }))))
        })
      )
      assert.deepStrictEqual(requests, first)
      assert.deepStrictEqual(value, {
        _tag: "DustTimeoutError",
        module: "Conversations",
        method: "createMessage",
        request: { method: "POST", route: `${conversationRoute}/messages` },
        attempts: 0,
        type: "timeout",
        details: { phase: "total", limit: "10s" },
        phase: "total",
        limit: Duration.seconds(10),
        message: "Conversations.createMessage: not sent within 10s"
      })
    }))
})

describe("a message that was refused", () => {
  const refused: ReadonlyArray<readonly [string, (request: Request) => Http.Answer, number]> = [
    ["a connection that was not made", (request) => transport(request, "ECONNREFUSED"), 5],
    ["a 400", () => failure(400, "invalid_request_error"), 1],
    ["a 404", () => failure(404, "conversation_not_found"), 1],
    ["a 413", () => failure(413, "content_too_large"), 1]
  ]
  it.effect.each(refused)("is not looked for: %s", ([, post, times]) =>
    Effect.gen(function*() {
      const { error, requests } = yield* scene(server(() => [], post), send())
      assert.notStrictEqual(error?.["_tag"], "DustUnconfirmedError")
      assert.lengthOf(requests.filter((request) => request.includes("POST")), times)
      assert.lengthOf(requests, times + 1)
    }))
})
