/** Looking for a message that may or may not have been stored: what proves that it is there, and that it is not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Conversations } from "effect-dust/Conversations"
import type { DustUnconfirmedError } from "effect-dust/DustAPIError"
import * as Fixtures from "effect-dust/Fixtures"
import { fingerprint } from "../../src/internal/chat/sameMessage.ts"
import { whole } from "../support/errors.ts"
import * as Http from "../support/http.ts"
import { agentJson, start, userJson } from "../support/scene.ts"

/** When the message was sent, by the clock of the server. */
const sent = start
/** Long enough after it for its absence to prove something. */
const later = sent + 180_000

interface Page {
  readonly messages: ReadonlyArray<object>
  /** The cursor of the page before. */
  readonly before?: number | undefined
  /** The `Date` of the response. */
  readonly date?: number | undefined
}

const place = { conversationId: "c", cause: { _tag: "DustServerError", message: "it failed" } }
const error = (change: Partial<DustUnconfirmedError> = {}) =>
  Fixtures.error.DustUnconfirmedError({
    conversationId: "c",
    author: "effect-dust",
    origin: "api",
    agentId: "helper",
    fingerprint: fingerprint("c", "Hello"),
    position: { rank: 10, messageId: "before" },
    notBefore: sent,
    reason: "not_found",
    status: 500,
    requestId: "request",
    attempts: 1,
    details: place,
    ...change
  })

/** What `findSent` gives: the ids of the message and its replies, `none`, or why it fails; and the pages it read. */
const look = (pages: ReadonlyArray<Page>, change: Partial<DustUnconfirmedError> = {}) => {
  const { layer, requests } = Http.dust(({ nth }) => {
    const page = pages[Math.min(nth, pages.length) - 1]!
    return Http.json({
      conversation: { sId: "c", created: 0, content: page.messages.map((message) => [message].flat()) },
      hasMore: page.before !== undefined,
      lastValue: page.before === undefined ? null : String(page.before)
    }, { headers: page.date === undefined ? {} : { date: new Date(page.date).toUTCString() } })
  })
  return Effect.gen(function*() {
    const found = yield* Effect.either(Effect.flatMap(Conversations, (one) => one.findSent(error(change))))
    return {
      error: found._tag === "Left" ? whole(found.left) : undefined,
      found: found._tag === "Left"
        ? found.left._tag === "DustUnconfirmedError" ? found.left.reason : found.left._tag
        : Option.match(found.right, {
          onNone: () => "none",
          onSome: ({ agentMessages, message }) => [message.sId, ...agentMessages.map(({ sId }) => sId)].join(" ")
        }),
      requests: requests.map(({ method, url }) => `${method} ${url.pathname}${url.search}`)
    }
  }).pipe(Effect.provide(layer))
}

const before = userJson("before", 10, { content: "Earlier" })
const path = "/api/v1/w/ws1/assistant/conversations/c"
const route = "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}"

describe("findSent", () => {
  const rows: ReadonlyArray<
    readonly [string, string, Page["messages"], { readonly date?: number } & Partial<DustUnconfirmedError>]
  > = [
    [
      "the message with its replies",
      "m a b",
      [before, userJson("m", 11), agentJson("a", "m"), agentJson("b", "m")],
      {}
    ],
    ["one that was stored in the moment it was sent", "m", [before, userJson("m", 11, { created: sent })], {}],
    ["one that was stored before", "none", [before, userJson("m", 11, { created: sent - 1 })], { date: later }],
    ["one of the last moment of its handler", "m", [before, userJson("m", 11, { created: sent + 600_000 })], {}],
    ["one of a later send", "none", [before, userJson("m", 11, { created: sent + 600_001 })], { date: later }],
    ["one before its position", "none", [userJson("m", 9), before], { date: later }],
    [
      "one whose newest version is another",
      "none",
      [before, [userJson("m", 11), userJson("n", 11, { content: "x" })]],
      {
        date: later
      }
    ],
    [
      "one whose newest version is the same",
      "n",
      [before, [userJson("m", 11, { content: "x" }), userJson("n", 11)]],
      {}
    ],
    ["nothing, after the handler must have ended", "none", [before], { date: later }],
    ["nothing, a second too early", "not_found", [before], { date: later - 1_000 }],
    ["nothing, in a response without a date", "not_found", [before], {}],
    ["nothing, in a response from before the message", "unreadable", [before], { date: sent - 1_000 }],
    ["nothing, in a response of the moment of the message", "not_found", [before], { date: sent }],
    ["two that are equal", "ambiguous", [before, userJson("m", 11), userJson("n", 12)], { date: later }],
    ["without a time: after its position", "m", [before, userJson("m", 11, { created: 0 })], { notBefore: null }],
    ["without a time: nothing after its position", "not_found", [before], { notBefore: null, date: later }],
    ["without a time: long after its position", "m", [before, userJson("m", 11, { created: sent + 900_000 })], {
      notBefore: null
    }],
    ["in a conversation that was empty", "m", [userJson("m", 11, { created: 0 })], {
      notBefore: null,
      position: { rank: null, messageId: null }
    }],
    ["without ranks: after the message at its position", "m", [before, userJson("m", undefined, { created: 0 })], {
      notBefore: null,
      position: { rank: null, messageId: "before" }
    }],
    ["without ranks, and without the message at its position", "ambiguous", [userJson("m", undefined)], {
      notBefore: null,
      position: { rank: null, messageId: "before" }
    }],
    ["with a rank, and without the message at its position", "m", [userJson("m", 11)], { notBefore: null }],
    ["without a position: by its time", "m", [before, userJson("m", 11)], { position: null }],
    ["without a position: nothing of its time", "none", [before, userJson("m", 11, { created: sent - 1 })], {
      position: null,
      date: later
    }],
    ["without a position and a time", "ambiguous", [before, userJson("m", 11)], { position: null, notBefore: null }],
    ["nothing, without a position and a time", "not_found", [before], { position: null, notBefore: null, date: later }]
  ]
  it.effect.each(rows)("%s: %s", ([, expected, messages, { date, ...change }]) =>
    Effect.gen(function*() {
      const { found, requests } = yield* look([{ messages, date }], change)
      assert.strictEqual(found, expected)
      assert.deepStrictEqual(requests, [`GET ${path}?limit=20`])
    }))

  const old = (sId: string, rank: number, created = sent) => userJson(sId, rank, { content: "Older", created })
  const newest = { messages: [old("y", 80), userJson("m", 90)], before: 80 }
  const paths: ReadonlyArray<readonly [string, string, ReadonlyArray<Page>, Partial<DustUnconfirmedError>, string]> = [
    [
      "to its position",
      "m a",
      [
        { messages: [userJson("m", 60), agentJson("a", "m")], before: 60 },
        { messages: [old("w", 40), old("x", 50)], before: 40 },
        { messages: [before, old("v", 20)], before: 10 }
      ],
      {},
      "60 40"
    ],
    [
      "to its position, and no further than the message",
      "none",
      [
        { messages: [old("x", 50)], before: 50, date: later },
        { messages: [userJson("m", 9), before, old("w", 40)], before: 9 }
      ],
      {},
      "50"
    ],
    ["to the beginning", "m", [newest, { messages: [old("x", 60)] }], { position: null }, "80"],
    [
      "to messages that are a minute older",
      "m",
      [newest, {
        messages: [old("w", 60, sent - 60_001), old("x", 70)],
        before: 60
      }],
      {},
      "80"
    ],
    [
      "over messages that are less than a minute older",
      "m",
      [
        newest,
        { messages: [old("w", 60, sent - 60_000), old("x", 70)], before: 60 },
        { messages: [before], before: 10 }
      ],
      {},
      "80 60"
    ],
    ["over an empty page", "m", [newest, { messages: [], before: 60 }, { messages: [before] }], {}, "80 60"],
    ["until the cursor stays where it is", "m", [newest, { messages: [old("x", 79)], before: 80 }], {}, "80"],
    ["until the cursor goes back", "m", [newest, { messages: [old("x", 79)], before: 81 }], {}, "80"],
    [
      "over five pages without a position",
      "m",
      [80, 70, 60, 50, 40, 30].map((rank) => ({
        messages: rank === 80 ? newest.messages : [old(`${rank}`, rank)],
        before: rank
      })),
      { position: null },
      "80 70 60 50"
    ],
    [
      "and proves nothing with a page that ends early",
      "ambiguous",
      [newest, {
        messages: [old("x", 79)],
        before: 80
      }],
      { notBefore: null },
      "80"
    ],
    [
      "and proves nothing with the limit of pages",
      "ambiguous",
      [80, 70, 60, 50, 40].map((rank) => ({
        messages: rank === 60 ? [userJson("m", 60)] : [old("x", rank)],
        before: rank
      })),
      { position: null, notBefore: null },
      "80 70 60 50"
    ]
  ]
  it.effect.each(paths)("reads back %s: %s", ([, expected, pages, change, cursors]) =>
    Effect.gen(function*() {
      const { found, requests } = yield* look(pages, change)
      assert.strictEqual(found, expected)
      assert.deepStrictEqual(requests, [
        `GET ${path}?limit=20`,
        ...cursors.split(" ").map((cursor) => `GET ${path}?limit=100&lastValue=${cursor}`)
      ])
    }))

  const advice = "; it may still arrive, so look with conversations.findSent(error) before sending it again"
  const failures: ReadonlyArray<
    readonly [string, Page, Partial<DustUnconfirmedError>, { readonly message: string } & Record<string, unknown>]
  > = [
    ["nothing", { messages: [before] }, {}, {
      reason: "not_found",
      message: "the message is not in conversation c after a 500",
      details: place
    }],
    ["an old response", { messages: [before], date: sent - 1_000 }, { status: undefined, requestId: undefined }, {
      reason: "unreadable",
      message: "the message may be stored, and reading failed in conversation c",
      details: place,
      status: undefined,
      requestId: undefined
    }],
    ["two, and no time", { messages: [before, userJson("m", 11), userJson("n", 12)] }, {
      notBefore: null,
      details: "x"
    }, {
      reason: "ambiguous",
      message: "several messages match the one that was sent, in conversation c after a 500",
      details: { messageIds: ["m", "n"] },
      notBefore: null
    }],
    ["two", { messages: [before, userJson("m", 11), userJson("n", 12)] }, { attempts: 3 }, {
      reason: "ambiguous",
      message: "several messages match the one that was sent, in conversation c after a 500",
      details: { ...place, messageIds: ["m", "n"] },
      attempts: 3
    }]
  ]
  it.effect.each(failures)(
    "fails with all that a later look needs: %o",
    ([, page, change, expected]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual((yield* look([page], change)).error, {
          _tag: "DustUnconfirmedError",
          module: "Conversations",
          method: "findSent",
          request: { method: "GET", route },
          attempts: 1,
          status: 500,
          type: "message_unconfirmed",
          requestId: "request",
          conversationId: "c",
          author: "effect-dust",
          origin: "api",
          agentId: "helper",
          position: { rank: 10, messageId: "before" },
          notBefore: sent,
          fingerprint: fingerprint("c", "Hello"),
          ...expected,
          message: `Conversations.findSent: ${expected.message}${advice}`
        })
      })
  )

  it.effect("a message that it has found belongs to no other send", () => {
    const { layer } = Http.dust(() =>
      Http.json({ conversation: { sId: "c", created: 0, content: [[before], [userJson("m", 11)]] }, hasMore: false }, {
        headers: { date: new Date(later).toUTCString() }
      })
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      assert.isTrue(Option.isSome(yield* conversations.findSent(error())))
      assert.isTrue(Option.isNone(yield* conversations.findSent(error())))
    }).pipe(Effect.provide(layer))
  })

  const broken = (body: string, options: Parameters<typeof Http.dust>[1] = {}) => {
    const { layer } = Http.dust(() => new Response(body, { headers: { "content-type": "application/json" } }), options)
    return Effect.flatMap(Conversations, (one) => Effect.map(Effect.flip(one.findSent(error())), whole)).pipe(
      Effect.provide(layer)
    )
  }
  const named = { module: "Conversations", method: "findSent", request: { method: "GET", route }, attempts: 1 }

  it.effect("a response of another shape fails it, and names the field", () =>
    Effect.gen(function*() {
      const { details, issues, message, ...rest } = yield* broken("{}")
      assert.deepStrictEqual(rest, { ...named, _tag: "DustDecodeError", status: 200, type: "unexpected_answer" })
      assert.deepStrictEqual(details, { issues })
      assert.match(String(message), /^Conversations\.findSent: cannot decode the conversation/)
      assert.deepStrictEqual(issues, [{ path: "conversation", message: "is missing" }])
    }))

  it.effect("a response over the limit fails it, and one of just the limit does not", () =>
    Effect.gen(function*() {
      const body = JSON.stringify({ conversation: { sId: "c", created: 0, content: [] } })
      assert.deepStrictEqual(yield* broken(body, { maxResponseSize: body.length - 1 }), {
        ...named,
        _tag: "DustContentTooLargeError",
        type: "response_too_large",
        details: { limit: body.length - 1 },
        message: `Conversations.findSent: the response has more than ${
          body.length - 1
        } bytes; raise \`maxResponseSize\`, or request less`
      })
      assert.strictEqual((yield* broken(body, { maxResponseSize: body.length }))["_tag"], "DustUnconfirmedError")
    }))
})
