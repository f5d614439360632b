/** The JSON Schema of a schema as a model reads it, complete, and what is said of a schema that has none. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { describesObject, type JsonObject, jsonSchema, objectSchema } from "../../src/internal/input/jsonSchema.ts"

const object = (properties: Readonly<Record<string, unknown>>, more: object = {}) => ({
  type: "object",
  required: Object.keys(properties),
  properties,
  additionalProperties: false,
  ...more
})
const text = { type: "string" }
const number = { type: "number" }

const Named = Schema.Struct({ x: Schema.String }).annotations({ identifier: "Named", description: "a name" })
const named = object({ x: text }, { description: "a name" })

interface Tree {
  readonly name: string
  readonly children: ReadonlyArray<Tree>
}
const Tree: Schema.Schema<Tree> = Schema.Struct({
  name: Schema.String,
  children: Schema.Array(Schema.suspend(() => Tree))
}).annotations({ identifier: "a/b~c" })
const treeRef = { $ref: "#/$defs/a~1b~0c" }
const tree = object({ name: text, children: { type: "array", items: treeRef } })

interface Odd {
  readonly even: Even | null
}
interface Even {
  readonly odd: Odd | null
  readonly named: { readonly x: string }
}
const Odd: Schema.Schema<Odd> = Schema.Struct({ even: Schema.NullOr(Schema.suspend(() => Even)) }).annotations({
  identifier: "Odd"
})
const Even: Schema.Schema<Even> = Schema.Struct({
  odd: Schema.NullOr(Schema.suspend(() => Odd)),
  named: Named
}).annotations({ identifier: "Even" })
const oneOf = (ref: string) => ({ anyOf: [{ $ref: `#/$defs/${ref}` }, { type: "null" }] })

const given = (schema: JsonObject) => Schema.Unknown.annotations({ jsonSchema: schema })

describe("the JSON Schema of a schema", () => {
  const rows: ReadonlyArray<readonly [string, Schema.Schema.AnyNoContext, object]> = [
    ["an empty object has no fields", Schema.Struct({}), { type: "object", properties: {} }],
    [
      "a described empty object keeps its description",
      Schema.Struct({}).annotations({ description: "nothing" }),
      { type: "object", properties: {}, description: "nothing" }
    ],
    [
      "anything has no constraints, as often as it occurs",
      Schema.Struct({
        a: Schema.Unknown,
        b: Schema.Unknown,
        c: Schema.Any,
        d: Schema.Object,
        e: Schema.Array(Schema.Unknown)
      }),
      object({
        a: {},
        b: {},
        c: {},
        d: { anyOf: [{ type: "object" }, { type: "array" }] },
        e: { type: "array", items: {} }
      })
    ],
    ["anything alone has none, either", Schema.Unknown, {}],
    ["a name stands for its definition", Named, named],
    [
      "a name stands for its definition, wherever it is",
      Schema.Struct({ a: Named, b: Schema.Array(Named) }),
      object({
        a: named,
        b: { type: "array", items: named }
      })
    ],
    ["a name in an alternative stands for its definition", Schema.Union(Named, Schema.String), {
      anyOf: [named, text]
    }],
    [
      "a recursive definition stays",
      Schema.Struct({ t: Tree, n: Named }),
      object({ t: treeRef, n: named }, {
        $defs: { "a/b~c": tree }
      })
    ],
    ["a recursive definition at the root is there twice", Tree, { ...tree, $defs: { "a/b~c": tree } }],
    [
      "definitions that lead to each other stay",
      Schema.Struct({ odd: Odd }),
      object({ odd: { $ref: "#/$defs/Odd" } }, {
        $defs: { Odd: object({ even: oneOf("Even") }), Even: object({ odd: oneOf("Odd"), named }) }
      })
    ],
    [
      "a definition that leads to a recursive one does not stay",
      Schema.Struct({ a: Schema.Struct({ t: Tree }).annotations({ identifier: "Outer" }) }),
      object({ a: object({ t: treeRef }) }, { $defs: { "a/b~c": tree } })
    ],
    [
      "a tuple is one of the draft of 2020",
      Schema.Tuple(Schema.String, Schema.Number),
      { type: "array", minItems: 2, prefixItems: [text, number], items: false }
    ],
    [
      "an annotation is taken without a change",
      Schema.Struct({ a: given({ $id: "urn:x", description: "d", title: "t" }) }),
      object({
        a: { $id: "urn:x", description: "d", title: "t" }
      })
    ],
    [
      "a reference of an annotation to nowhere stays",
      Schema.Struct({ n: Named, a: given({ $ref: "#/$defs/__proto__" }) }),
      object({
        n: named,
        a: { $ref: "#/$defs/__proto__" }
      })
    ],
    [
      "a reference of an annotation to elsewhere stays",
      Schema.Struct({ n: Named, a: given({ $ref: "#/other/Named" }) }),
      object({
        n: named,
        a: { $ref: "#/other/Named" }
      })
    ],
    [
      "a reference of an annotation to a name stands for its definition, with what is said beside it",
      Schema.Struct({ n: Named, a: given({ $ref: "#/$defs/Named", description: "mine" }) }),
      object({ n: named, a: { ...named, description: "mine" } })
    ]
  ]
  it.effect.each(rows)(
    "%s",
    ([, schema, expected]) =>
      Effect.map(jsonSchema(schema), (found) => assert.deepStrictEqual<unknown>(found, expected))
  )

  const lists = ": give it a jsonSchema annotation, or use a schema that is encoded as JSON"
  const wrong: ReadonlyArray<readonly [Schema.Schema.AnyNoContext, string]> = [
    [Schema.BigIntFromSelf, `a schema with a JSON Schema; it is bigint${lists}`],
    [
      Schema.Struct({ a: Schema.Struct({ b: Schema.BigIntFromSelf }) }),
      `a schema with a JSON Schema; the field a.b is bigint${lists}`
    ],
    [
      Schema.Struct({ a: Schema.Array(Schema.SymbolFromSelf) }),
      `a schema with a JSON Schema; the field a is symbol${lists}`
    ],
    [
      Schema.suspend(() => Schema.Struct({ a: Schema.String })),
      "a schema with a JSON Schema; it is recursive: give the schema inside Schema.suspend an identifier annotation"
    ],
    [
      Schema.Struct({ a: Schema.suspend(() => Schema.Struct({ b: Schema.String })) }),
      "a schema with a JSON Schema; the field a is recursive: give the schema inside Schema.suspend an identifier annotation"
    ],
    [
      given({
        get type() {
          throw "odd"
        }
      }),
      `a schema with a JSON Schema${lists}`
    ]
  ]
  it.effect.each(wrong)(
    "there is none of %s: it must be %s",
    ([schema, expected]) => Effect.map(Effect.flip(jsonSchema(schema)), (found) => assert.strictEqual(found, expected))
  )

  it.effect("of an object is one of the type object", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual<unknown>(yield* objectSchema(Schema.Struct({ a: Schema.Number })), object({ a: number }))
      for (const other of [Schema.String, Schema.Union(Named, Schema.Struct({}))]) {
        assert.strictEqual(
          yield* Effect.flip(objectSchema(other)),
          "the schema of an object, such as Schema.Struct"
        )
      }
    }))
})

describe("a JSON Schema that allows objects alone", () => {
  const plain = { type: "object" }
  const rows: ReadonlyArray<readonly [boolean, JsonObject]> = [
    [true, plain],
    [false, text],
    [false, {}],
    [true, { anyOf: [plain, plain] }],
    [false, { anyOf: [plain, text] }],
    [false, { anyOf: [text, plain] }],
    [false, { anyOf: [] }],
    [false, { anyOf: plain }],
    [true, { allOf: [text, plain] }],
    [false, { allOf: [text, text] }],
    [false, { allOf: [] }],
    [true, { anyOf: [{ allOf: [plain] }, { $ref: "#/$defs/a~1b" }], $defs: { "a/b": plain } }],
    [true, { $ref: "#/$defs/a", $defs: { a: plain } }],
    [false, { $ref: "#/$defs/a", $defs: { a: text } }],
    [false, { $ref: "#/$defs/a", $defs: { a: 7 } }],
    [false, { $ref: "#/$defs/a" }],
    [false, { $ref: 7, $defs: { a: plain } }],
    // Recursion that never comes to an object.
    [false, { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } }],
    [false, { $ref: "#/$defs/a", $defs: { a: { anyOf: [{ $ref: "#/$defs/a" }, plain] } } }],
    [true, { $ref: "#/$defs/a", $defs: { a: { allOf: [{ $ref: "#/$defs/a" }, plain] } } }]
  ]
  it.each(rows)("%s: %j", (expected, schema) => {
    assert.strictEqual(describesObject(schema), expected)
  })
})
