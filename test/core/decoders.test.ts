/** Which schemas are decoded in the short way, without `ParseResult`, and the decoders that are made of them. */
import { assert, describe, it } from "@effect/vitest"
import { Either, Option, Schema } from "effect"
import type * as ParseResult from "effect/ParseResult"
import { vi } from "vitest"
import { decoder, decoderOrUndefined } from "../../src/internal/decode/compile.ts"
import { eventDecoder, typeOf } from "../../src/internal/decode/event.ts"
import { fieldsOf } from "../../src/internal/decode/fields.ts"
import { decodeJson } from "../../src/internal/decode/json.ts"
import { decodeRunEvent } from "../../src/internal/decode/runEvent.ts"
import {
  anything,
  elements,
  list,
  nonBlank,
  nullable,
  openLiteral,
  record,
  slots,
  withDefault
} from "../../src/internal/decode/schema.ts"
import { decodeSearchEvent } from "../../src/internal/decode/searchResults.ts"
import { emptyToolMetadata } from "../../src/internal/decode/toolMetadata.ts"

const long = vi.hoisted(() => ({ calls: 0 }))
vi.mock("effect/ParseResult", async (original) => {
  const actual = await original<typeof ParseResult>()
  const decodeUnknownEither: typeof actual.decodeUnknownEither = (...args) => {
    long.calls++
    return actual.decodeUnknownEither(...args)
  }
  return { ...actual, decodeUnknownEither }
})

const loose = <A, I>(schema: Schema.Schema<A, I>) => schema as unknown as Schema.Schema<A, unknown>

/** The decoded value, and how often `ParseResult` was needed for it. */
const decoded = (schema: Schema.Schema.AnyNoContext, input: unknown) => {
  long.calls = 0
  const value = Either.getOrThrow(decoder(loose(schema as Schema.Schema<unknown>))(input))
  return [value, long.calls]
}

const kind = <const K extends string>(of: K, value: Schema.Schema<unknown, never> = Schema.Unknown as never) =>
  Schema.Struct({ kind: Schema.Literal(of), value })
const at = "2026-01-01T00:00:00.000Z"

describe("the short way of decoding", () => {
  const short: ReadonlyArray<readonly [string, Schema.Schema.AnyNoContext, unknown, unknown?]> = [
    ["a text", Schema.String, "x"],
    ["a number", Schema.Number, 7],
    ["a boolean", Schema.Boolean, false],
    ["undefined", Schema.Undefined, undefined],
    ["a literal", Schema.Literal("x"), "x"],
    ["null", Schema.Null, null],
    ["anything", Schema.Unknown, { a: 1 }],
    ["anything, with another name", Schema.Any, { a: 1 }],
    ["a list", Schema.Array(Schema.Number), [1, 2]],
    ["a record", Schema.Record({ key: Schema.String, value: Schema.Unknown }), { a: 1, b: [] }],
    ["an object", Schema.Struct({ a: Schema.String, b: Schema.optional(Schema.Number) }), { a: "x", c: 1 }, { a: "x" }],
    ["an optional member", Schema.Struct({ a: Schema.optional(Schema.Number) }), { a: undefined }],
    ["a refinement", Schema.Int.pipe(Schema.positive()), 7],
    ["an alternative without a discriminator", Schema.Union(Schema.String, Schema.Number, Schema.Null), null],
    ["an alternative with one", Schema.Union(kind("a"), kind("b")), { kind: "b", value: 1 }],
    ["an alternative with two of the same", Schema.Union(kind("a", Schema.String as never), kind("a")), {
      kind: "a",
      value: 1
    }],
    ["an alternative beside discriminated ones", Schema.Union(kind("a"), Schema.String), "x"],
    [
      "an alternative beside discriminated ones, with another value",
      Schema.Union(kind("a"), Schema.Struct({ b: Schema.String })),
      {
        kind: "c",
        b: "x"
      },
      { b: "x" }
    ],
    [
      "an alternative of transformations",
      Schema.Union(Schema.Struct({ kind: Schema.Literal("a"), d: nullable(Schema.String) }), kind("b")),
      {
        kind: "a"
      },
      { kind: "a", d: null }
    ],
    ["an alternative of refinements", Schema.Union(kind("a").pipe(Schema.filter(() => true)), kind("b")), {
      kind: "a",
      value: 1
    }],
    [
      "an optional literal, which discriminates nothing",
      Schema.Union(
        Schema.Struct({ a: Schema.optional(Schema.Literal("x")) }),
        Schema.Struct({ b: Schema.Literal("y") })
      ),
      { b: "y" }
    ],
    ["a member with a default", Schema.Struct({ a: withDefault(Schema.String, () => "d") }), {}, { a: "d" }],
    ["a member with a default, of null", Schema.Struct({ a: withDefault(Schema.String, () => "d") }), { a: null }, {
      a: "d"
    }],
    [
      "a default of Schema itself",
      Schema.Struct({ a: Schema.optionalWith(Schema.String, { default: () => "d" }) }),
      {},
      {
        a: "d"
      }
    ],
    [
      "a default of Schema itself, beside values that are never undefined",
      Schema.Struct({ a: Schema.optionalWith(Schema.String, { exact: true, default: () => "d" }) }),
      {},
      { a: "d" }
    ],
    ["an Option", Schema.Struct({ a: Schema.optionalWith(Schema.Number, { as: "Option" }) }), {}, { a: Option.none() }],
    ["a list that is all as it should be", Schema.Struct({ a: list(Schema.String) }), { a: ["x"] }]
  ]
  it.each(short.map(([title, schema, input, output]) => ({ title, schema, input, output: output ?? input })))(
    "decodes $title",
    ({ input, output, schema }) => {
      assert.deepStrictEqual(decoded(schema, input), [output, 0])
      assert.deepStrictEqual(Schema.decodeUnknownSync(schema as Schema.Schema<unknown>)(input), output)
    }
  )

  const Class = class Point extends Schema.Class<Point>("Point")({ x: Schema.Number }) {}
  const needed: ReadonlyArray<readonly [string, Schema.Schema.AnyNoContext, unknown, unknown]> = [
    ["a date", Schema.Date, at, new Date(at)],
    ["a tuple", Schema.Tuple(Schema.String), ["x"], ["x"]],
    ["a tuple with a rest", Schema.Tuple([Schema.String], Schema.Number), ["x", 1], ["x", 1]],
    ["a tuple with a rest of the same", Schema.Tuple([Schema.Number], Schema.Number), [1, 2], [1, 2]],
    ["a list that ends in something else", Schema.Tuple([], Schema.Number, Schema.String), [1, "x"], [1, "x"]],
    ["a record of numbers", Schema.Record({ key: Schema.String, value: Schema.Number }), { a: 1 }, { a: 1 }],
    [
      "a record with other keys",
      Schema.Record({ key: Schema.String.pipe(Schema.minLength(1)), value: Schema.Unknown }),
      { a: 1 },
      { a: 1 }
    ],
    [
      "an object with other members",
      Schema.Struct({ a: Schema.String }, Schema.Record({ key: Schema.String, value: Schema.Unknown })),
      { a: "x", b: 1 },
      { a: "x", b: 1 }
    ],
    ["an object without members", Schema.Struct({}), { a: 1 }, { a: 1 }],
    ["an object with a member of every object", Schema.Struct({ toString: Schema.String }), { toString: "x" }, {
      toString: "x"
    }],
    ["a renamed member", Schema.Struct({ a: Schema.String.pipe(Schema.propertySignature, Schema.fromKey("b")) }), {
      b: "x"
    }, { a: "x" }],
    [
      "its own options",
      Schema.Struct({ a: Schema.String }).annotations({ parseOptions: { onExcessProperty: "preserve" } }),
      {
        a: "x",
        b: 1
      },
      { a: "x", b: 1 }
    ],
    ["two discriminators", Schema.Union(kind("a"), Schema.Struct({ other: Schema.Literal(1) })), { other: 1 }, {
      other: 1
    }],
    [
      "two discriminators, beside something else",
      Schema.Union(kind("a"), Schema.Struct({ other: Schema.Literal(1) }), Schema.String),
      "x",
      "x"
    ],
    ["an alternative that is lazy", Schema.Union(Schema.Number, Schema.suspend(() => Schema.String)), 7, 7]
  ]
  it.each(needed)("is not taken for %s", (_, schema, input, output) => {
    assert.deepStrictEqual(decoded(schema, input), [output, 1])
  })

  it("is taken around what needs the other one, once for each of its values", () => {
    const schema = Schema.Struct({ a: Schema.Array(Schema.Date), p: Schema.optional(Class) })
    assert.deepStrictEqual(decoded(schema, { a: [at, at] }), [{ a: [new Date(at), new Date(at)] }, 2])
    const Lenient = Schema.Struct({ a: withDefault(Schema.String, () => "d"), at: Schema.Date })
    assert.deepStrictEqual(decoded(Lenient, { a: 7, at }), [{ a: "d", at: new Date(at) }, 2])
    const Whole = Schema.transform(kind("a"), Schema.String, { decode: () => "x", encode: () => ({}) as never })
    assert.deepStrictEqual(decoded(Whole, { kind: "a", value: 1 }), ["x", 1])
  })

  it("leaves a value that does not fit to the other one, which says why, and only if it is asked", () => {
    const schema = loose(Schema.Struct({ a: Schema.Array(Schema.String) }))
    long.calls = 0
    assert.isTrue(Either.isLeft(decoder(schema)({ a: [7] })))
    assert.strictEqual(long.calls, 1)
    assert.strictEqual(decoderOrUndefined(schema)({ a: [7] }), undefined)
    assert.deepStrictEqual(decoderOrUndefined(schema)({ a: ["x"] }), { a: ["x"] })
    assert.strictEqual(long.calls, 1)
    const broken = loose(Schema.Union(kind("a"), kind("b")))
    assert.isTrue(Either.isLeft(decoder(broken)({ kind: Object.create(null) })))
    assert.strictEqual(decoderOrUndefined(broken)({ kind: Object.create(null) }), undefined)
  })
})

describe("a lenient field", () => {
  const of = (field: Schema.Struct.Field, input: unknown): unknown => {
    const schema = Schema.Struct({ f: field as Schema.PropertySignature.All & typeof Schema.Unknown })
    return Either.getOrThrow(decoder(loose(schema as unknown as Schema.Schema<{ f: unknown }>))(input)).f
  }
  const A = Schema.Struct({ a: Schema.String })
  const bad = [{ f: [{ a: "x" }, { a: 7 }, null] }, { f: 7 }, { f: null }, { f: undefined }, {}]
  const rows: ReadonlyArray<readonly [string, Schema.Struct.Field, ReadonlyArray<unknown>]> = [
    ["withDefault", withDefault(Schema.Array(A), () => [{ a: "d" }]), [1, 2, 3, 4, 5].map(() => [{ a: "d" }])],
    ["nullable", nullable(Schema.Array(A)), [null, null, null, null, null]],
    ["list", list(A), [[{ a: "x" }], [], [], [], []]],
    ["slots", slots(A), [[{ a: "x" }, null, null], [], [], [], []]],
    ["record", record, [{}, {}, {}, {}, {}]],
    ["anything", anything, [[{ a: "x" }, { a: 7 }, null], 7, null, undefined, undefined]]
  ]
  it.each(rows)("%s: takes what it can", (_, field, expected) => {
    assert.deepStrictEqual(bad.map((input) => of(field, input)), expected)
  })

  it("takes what fits without a change", () => {
    const good = { f: [{ a: "x" }, { a: "y" }] }
    for (
      const field of [withDefault(Schema.Array(A), () => []), nullable(Schema.Array(A)), list(A), slots(A), elements(A)]
    ) {
      assert.deepStrictEqual(of(field as Schema.Struct.Field, good), good.f)
    }
    assert.deepStrictEqual(of(record, { f: { a: 1 } }), { a: 1 })
    assert.deepStrictEqual(of(elements(A), bad[0]), [{ a: "x" }])
    assert.throws(() => of(elements(A), { f: 7 }))
    assert.throws(() => of(elements(A), {}))
  })

  it("is strict where values are encoded or made, and has its default there", () => {
    const S = Schema.Struct({
      d: withDefault(Schema.String, () => "d"),
      n: nullable(Schema.Number),
      l: list(Schema.String)
    })
    assert.deepStrictEqual(S.make(), { d: "d", n: null, l: [] })
    assert.deepStrictEqual(Schema.encodeSync(S)({ d: "x", n: null, l: ["y"] }), { d: "x", n: null, l: ["y"] })
    const is = Schema.is(S)
    assert.isTrue(is({ d: "x", n: 7, l: [] }))
    for (
      const wrong of [{ d: null, n: 7, l: [] }, { d: "x", l: [] }, { d: "x", n: "7", l: [] }, { d: "x", n: 7, l: [7] }]
    ) {
      assert.isFalse(is(wrong))
    }
    assert.isFalse(Schema.is(Schema.Struct({ s: slots(Schema.String) }))({ s: [7] }))
  })

  it("a known text is any text, and a text that is not blank stays unchanged", () => {
    assert.strictEqual(Schema.decodeUnknownSync(openLiteral("a", "b"))("c"), "c")
    const named = nonBlank("a non-blank name")
    assert.strictEqual(Schema.decodeUnknownSync(named)(" x "), " x ")
    assert.throws(() => Schema.decodeUnknownSync(named)(" "), /^a non-blank name$/)
    assert.throws(() => Schema.decodeUnknownSync(named)(7))
    assert.strictEqual(String(named), "a non-blank name")
  })
})

describe("the members of a schema", () => {
  it("are those of one object", () => {
    const S = Schema.Struct({ a: Schema.String, b: Schema.optional(Schema.Number), c: nullable(Schema.String) })
    assert.deepStrictEqual(fieldsOf(S), [
      { name: "a", isOptional: false },
      { name: "b", isOptional: true },
      { name: "c", isOptional: false }
    ])
    assert.deepStrictEqual(fieldsOf(undefined), [])
    assert.strictEqual(fieldsOf(Schema.Union(S, Schema.Struct({}))), undefined)
  })
})

describe("JSON of a response", () => {
  it("is decoded, or says why it cannot be", () => {
    const S = loose(Schema.Struct({ a: Schema.Number }))
    assert.deepStrictEqual(decodeJson(S, "{\"a\":1}"), Either.right({ a: 1 }))
    assert.deepStrictEqual(decodeJson(S, "{"), Either.left({ json: false, issues: [{ path: "", message: "JSON" }] }))
    assert.deepStrictEqual(
      decodeJson(S, "{\"a\":\"x\"}"),
      Either.left({ json: true, issues: [{ path: "a", message: "number" }] })
    )
  })
})

describe("an event", () => {
  it("has a type, and is decoded by it", () => {
    assert.deepStrictEqual([{ type: "a" }, { type: 7 }, {}, null, "type"].map(typeOf), ["a", null, null, null, null])
    const decode = eventDecoder([
      Schema.Struct({ type: Schema.Literal("a"), x: Schema.Number }),
      Schema.Struct({ type: Schema.Literal("b") })
    ])
    assert.deepStrictEqual(decode("a", { type: "a", x: 1, y: 2 }), { type: "a", x: 1 })
    assert.deepStrictEqual(decode("b", { type: "b" }), { type: "b" })
    assert.deepStrictEqual([decode("a", { type: "a" }), decode("c", { type: "c" }), decode(null, {})], [
      undefined,
      undefined,
      undefined
    ])
  })

  const run: ReadonlyArray<readonly [string, object]> = [
    ["{", { type: "unknown", kind: null, raw: "{" }],
    ["null", { type: "unknown", kind: null, raw: null }],
    ["{\"type\":\"new\",\"content\":{\"a\":1}}", {
      type: "unknown",
      kind: "new",
      raw: { type: "new", content: { a: 1 } }
    }],
    ["{\"type\":\"run_status\",\"content\":7}", {
      type: "unknown",
      kind: "run_status",
      raw: { type: "run_status", content: 7 }
    }],
    ["{\"type\":\"error\",\"content\":{\"type\":\"final\",\"code\":\"c\"}}", { type: "error", code: "c", message: "" }],
    ["{\"type\":\"final\"}", { type: "final" }],
    ["{\"type\":\"final\",\"content\":[1]}", { type: "final" }]
  ]
  it.each(run)("of an app's run: %s", (data, expected) => {
    assert.deepStrictEqual<unknown>(decodeRunEvent(data), expected)
  })

  it("of an app's run: has one of ten known types, each with its content", () => {
    const block = { block_type: "llm", block_name: "B" }
    const execution = { ...block, input_index: 0 }
    const tokens = { text: "t" }
    const contents = {
      run_status: { run_id: "r", status: "running" },
      block_status: { block_type: "llm", name: "B", status: "running" },
      block_execution: { ...block, execution: [] },
      tokens: { ...execution, tokens },
      reasoning_tokens: { ...execution, tokens },
      reasoning_item: { ...execution, item: 7 },
      function_call: { ...execution, function_call: { name: "f" } },
      function_call_arguments_tokens: { ...execution, tokens },
      error: { code: "c", message: "m" },
      final: {}
    }
    for (const [type, content] of Object.entries(contents)) {
      assert.strictEqual(decodeRunEvent(JSON.stringify({ type, content })).type, type)
    }
  })

  const search: ReadonlyArray<readonly [string, object]> = [
    ["{", { _tag: "UnknownResults", raw: "{" }],
    ["null", { _tag: "UnknownResults", raw: null }],
    ["{\"error\":\"\"}", { _tag: "Failure", status: 500, body: "{\"error\":\"\"}" }],
    ["{\"error\":null}", { _tag: "UnknownResults", raw: { error: null } }],
    ["{\"error\":\"no\"}", { _tag: "Failure", status: 500, body: "{\"error\":\"no\"}" }],
    ["{\"error\":{\"status\":404,\"error\":{\"type\":\"t\"}}}", {
      _tag: "Failure",
      status: 404,
      body: "{\"error\":{\"type\":\"t\"}}"
    }],
    ["{\"error\":{\"status\":\"404\",\"error\":1}}", {
      _tag: "Failure",
      status: 500,
      body: "{\"error\":{\"status\":\"404\",\"error\":1}}"
    }],
    ["{\"knowledgeResults\":7,\"toolResults\":[]}", { _tag: "ToolResults", files: [] }],
    ["{\"knowledgeResults\":7}", { _tag: "UnknownResults", raw: { knowledgeResults: 7 } }]
  ]
  it.each(search)("of a search: %s", (data, expected) => {
    assert.deepStrictEqual<unknown>(decodeSearchEvent(data), expected)
  })

  it("of a search: has nodes or files", () => {
    const nodes = decodeSearchEvent(
      JSON.stringify({ knowledgeResults: { nodes: [], nextPageCursor: null, resultsCount: 0 } })
    )
    assert.strictEqual(nodes._tag, "KnowledgeResults")
    assert.deepPropertyVal(nodes, "nodes", [])
  })

  it("of a tool without metadata has empty ones", () => {
    assert.deepStrictEqual(emptyToolMetadata, {
      toolName: "",
      mcpServerName: "",
      mcpServerDisplayName: null,
      mcpServerId: null,
      agentName: null,
      icon: null
    })
  })
})
