import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DustTest from "effect-dust/DustTest"
import * as Mentions from "effect-dust/Mentions"

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({
    agents: { agt_triage: { name: "triage", description: "Sorts tickets" } },
    seed: { conversations: [{ sId: "cnv_1", title: "One" }] },
    ...options
  }))

const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

describe("Mentions", () => {
  it.effect("suggests agents and people", () =>
    Effect.gen(function*() {
      const mentions = yield* Mentions.Mentions
      const agents = yield* mentions.suggestions({ query: "tri" })
      assert.deepStrictEqual(agents.map(({ description, id, label, type }) => ({ description, id, label, type })), [
        { description: "Sorts tickets", id: "agt_triage", label: "triage", type: "agent" }
      ])
      const people = yield* mentions.suggestions({ query: "a", select: ["users"] })
      assert.deepStrictEqual(people.map((one) => [one.type, one.label, one.userFavorite]), [
        ["user", "Ada Lovelace", null],
        ["user", "Grace Hopper", null]
      ])
      assert.deepStrictEqual((yield* last).query, { query: "a", select: "users" })
    }).pipe(local()))

  it.effect("repeats `select`, and never sends `current`", () =>
    Effect.gen(function*() {
      const mentions = yield* Mentions.Mentions
      yield* mentions.suggestions({ query: "a", select: ["agents", "users"], conversationId: "cnv_1" })
      const request = yield* last
      assert.strictEqual(
        request.route,
        "/api/v1/w/:workspaceId/assistant/conversations/:conversationId/mentions/suggestions"
      )
      assert.deepStrictEqual(request.query, { query: "a", select: ["agents", "users"] })
      const missing = yield* Effect.flip(mentions.suggestions({ query: "a", conversationId: "cnv_none" }))
      assert.strictEqual(missing.type, "conversation_not_found")
    }).pipe(local()))

  it.effect("makes names mentions", () =>
    Effect.gen(function*() {
      const mentions = yield* Mentions.Mentions
      assert.strictEqual(
        yield* mentions.parse("@triage, **look** at this"),
        ":mention[triage]{sId=agt_triage}, **look** at this"
      )
      assert.deepStrictEqual((yield* last).body, { markdown: "@triage, **look** at this" })
    }).pipe(local()))
})
