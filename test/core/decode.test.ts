import { assert, describe, it } from "@effect/vitest"
import { Either, ParseResult, Schema } from "effect"
import * as AgentMessageEvent from "effect-dust/AgentMessageEvent"
import { Conversation } from "effect-dust/Conversation"
import * as ConversationEvent from "effect-dust/ConversationEvent"
import { Message } from "effect-dust/Message"
import { decoder } from "../../src/internal/decode/compile.ts"
import { list, nullable, record, withDefault } from "../../src/internal/decode/schema.ts"
import { action, agentMessage, conversation } from "../bench/payloads.ts"

/** The value with one place of it changed, for every place and every change. */
const mutations = function*(value: unknown): Generator<unknown> {
  if (typeof value !== "object" || value === null) return
  for (const key of Object.keys(value)) {
    const replace = (one: unknown) =>
      Array.isArray(value) ? value.map((was, i) => String(i) === key ? one : was) : { ...value, [key]: one }
    const was = (value as Record<string, unknown>)[key]
    for (const one of [undefined, null, "text", 7, true, {}, [], [null, "text", {}], { type: 7 }, { toString: 1 }]) {
      yield replace(one)
    }
    if (!Array.isArray(value)) {
      const { [key]: _, ...rest } = value as Record<string, unknown>
      yield rest
    }
    for (const inner of mutations(was)) yield replace(inner)
  }
}

const agrees = <A>(schema: Schema.Schema<A, unknown>, input: unknown) => {
  const actual = decoder(schema)(input)
  let expected: typeof actual
  try {
    expected = ParseResult.decodeUnknownEither(schema)(input)
  } catch {
    // Schema itself breaks on a discriminator that cannot be made a string.
    return false
  }
  if (Either.isRight(expected)) assert.deepStrictEqual(actual, expected)
  else {
    assert.isTrue(Either.isLeft(actual), JSON.stringify(input))
    if (Either.isLeft(actual)) {
      assert.strictEqual(
        ParseResult.TreeFormatter.formatIssueSync(actual.left),
        ParseResult.TreeFormatter.formatIssueSync(expected.left)
      )
    }
  }
  return Either.isRight(expected)
}

const every = <A>(schema: Schema.Schema<A, unknown>, sample: unknown) => {
  const inputs = [sample, undefined, null, 1, "text", [], {}, [sample], ...mutations(sample)]
  const results = inputs.map((input) => agrees(schema, input))
  assert.isTrue(results[0], "the sample itself is as expected")
  return results
}

const loose = <A, I>(schema: Schema.Schema<A, I>) => schema as unknown as Schema.Schema<A, unknown>

describe("the short way of decoding gives what Schema gives", () => {
  it("for every model, with anything in any place", () => {
    const { conversation: sample } = JSON.parse(conversation(1))
    const results = every(loose(Conversation), sample)
    assert.isAbove(results.filter((one) => one).length, 1_000)
    assert.isAbove(results.filter((one) => !one).length, 5)
    for (const message of sample.content.flat()) every(Message, message)
    every(Message, {
      type: "content_fragment",
      sId: "cf1",
      title: "notes",
      contentType: "text/plain",
      expiredReason: null,
      context: { username: "ada", fullName: null }
    })
    every(Message, { type: "compaction_message", sId: "x", rank: 3 })
  })

  it("for events", () => {
    const common = { messageId: "m", configurationId: "a", created: 1, step: 0, eventId: "1-0" }
    const samples = [
      [AgentMessageEvent.GenerationTokens, { type: "generation_tokens", text: "hi", classification: "tokens" }],
      [AgentMessageEvent.ToolNotification, {
        type: "tool_notification",
        action: action(1, 10),
        notification: { progress: 1, total: 2, _meta: { data: {} }, data: { label: "x" } }
      }],
      [AgentMessageEvent.AgentMessageSuccess, { type: "agent_message_success", message: agentMessage(1, 10, 1) }],
      [AgentMessageEvent.ToolError, { type: "tool_error", error: { code: "c", message: "m", metadata: { a: 1 } } }],
      [AgentMessageEvent.ToolPersonalAuthRequired, {
        type: "tool_personal_auth_required",
        actionId: "x",
        inputs: { a: 1 },
        metadata: {},
        authError: { message: "no" }
      }],
      [ConversationEvent.ConversationTitle, { type: "conversation_title", title: "t" }]
    ] as const
    for (const [schema, sample] of samples) every(schema as unknown as Schema.Schema<unknown>, { ...sample, ...common })
  })

  it("for what callers declare themselves", () => {
    const A = Schema.Struct({ kind: Schema.Literal("a"), value: Schema.NumberFromString })
    const B = Schema.Struct({ kind: Schema.Literal("b"), value: Schema.optional(Schema.String) })
    const Loose = Schema.Struct({ value: Schema.Unknown })
    class Point extends Schema.Class<Point>("Point")({ x: Schema.Number }) {}
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Schema<Tree> = Schema.Struct({ children: Schema.Array(Schema.suspend(() => Tree)) })
    const samples: ReadonlyArray<readonly [Schema.Schema<never, never>, unknown]> = [
      [Schema.Union(Loose, A, B), { kind: "a", value: "1" }],
      [Schema.Union(Loose, A, B), { kind: "b" }],
      [Schema.Union(A, Schema.Struct({ other: Schema.Literal(1), kind: Schema.String })), { kind: "a", value: "2" }],
      [Schema.Struct({ at: Schema.Date, n: Schema.Int.pipe(Schema.positive()) }), { at: "2026-01-01", n: 3 }],
      [Schema.Struct({ a: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("b")) }), { b: "x" }],
      [Schema.Struct({ a: Schema.optionalWith(Schema.String, { as: "Option", nullable: true }) }), { a: "x" }],
      [Schema.Struct({ a: Schema.optionalWith(Schema.String, { exact: true }) }), { a: "x" }],
      [Schema.Struct({ a: Schema.String }, Schema.Record({ key: Schema.String, value: Schema.String })), {
        a: "x",
        b: "y"
      }],
      [Schema.Record({ key: Schema.String, value: Schema.Number }), { a: 1 }],
      [Schema.Tuple(Schema.String, Schema.Number), ["a", 1]],
      [Schema.Struct({}), { a: 1 }],
      [Schema.Struct({ p: Point }), { p: { x: 1 } }],
      [Tree, { children: [{ children: [] }] }],
      [Schema.Struct({ a: Schema.String }).annotations({ parseOptions: { onExcessProperty: "error" } }), { a: "x" }],
      [Schema.Struct({ toString: Schema.optional(Schema.String) }), { toString: "x" }],
      [
        Schema.Struct({ l: list(A), n: nullable(B), r: record, d: withDefault(Schema.Array(Loose), () => []) }),
        { l: [{ kind: "a", value: "1" }], n: { kind: "b", value: "x" }, r: { a: 1 }, d: [{ value: 1 }] }
      ]
    ] as never
    for (const [schema, sample] of samples) every(schema as unknown as Schema.Schema<unknown>, sample)
  })
})
