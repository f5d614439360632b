/** The JSON Schema (draft 2020-12) of a value, as models and MCP clients read it. */
import * as Effect from "effect/Effect"
import * as JSONSchema from "effect/JSONSchema"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"

export type JsonObject = Readonly<Record<string, unknown>>

const unescaped = (name: string): string => name.replaceAll("~1", "/").replaceAll("~0", "~")

/**
 * Effect gives the schemas without constraints an `$id` each. One `$id` may stand in a document only once, so two unknown
 * fields would make it invalid.
 */
const withoutIds = (part: unknown): unknown => {
  if (Array.isArray(part)) return part.map(withoutIds)
  if (!Predicate.isRecord(part)) return part
  const { $id, ...rest } = part
  const own = typeof $id === "string" && $id.startsWith("/schemas/")
  const { description: _description, title: _title, ...constraints } = rest
  return Object.fromEntries(Object.entries(own ? constraints : part).map(([key, value]) => [key, withoutIds(value)]))
}

/** The schema at the root: never a reference, and `{}` for the schema without fields. */
const rooted = (document: JsonObject): JsonObject => {
  const { $ref, $schema: _schema, ...rest } = document
  if (typeof $ref === "string" && Predicate.isRecord(rest["$defs"])) {
    const named = rest["$defs"][unescaped($ref.slice("#/$defs/".length))]
    return Predicate.isRecord(named) ? { ...named, $defs: rest["$defs"] } : document
  }
  if (document["$id"] === "/schemas/%7B%7D") {
    const { $id: _id, anyOf: _anyOf, ...others } = rest
    return { type: "object", properties: {}, ...others }
  }
  return rest
}

/** Not every model follows references, so only those of recursive definitions stay. */
const dereferenced = (root: JsonObject): JsonObject => {
  const { $defs, ...rest } = root
  if (!Predicate.isRecord($defs)) return root
  const kept = new Map<string, unknown>()
  const definition = (reference: unknown): string | undefined => {
    const name = typeof reference === "string" && reference.startsWith("#/$defs/")
      ? unescaped(reference.slice("#/$defs/".length))
      : ""
    return Object.hasOwn($defs, name) ? name : undefined
  }
  const reaches = (from: unknown, name: string, seen = new Set<string>()): boolean => {
    if (typeof from !== "object" || from === null) return false
    const next = "$ref" in from ? definition(from.$ref) : undefined
    if (next === name) return true
    if (next !== undefined && !seen.has(next) && reaches($defs[next], name, seen.add(next))) return true
    return Object.values(from).some((part) => reaches(part, name, seen))
  }
  const expand = (part: unknown): unknown =>
    Array.isArray(part) ? part.map(expand) : Predicate.isRecord(part) ? expandRecord(part) : part
  const expandRecord = (part: JsonObject): JsonObject => {
    const { $ref, ...others } = part
    const name = definition($ref)
    const named = name === undefined ? undefined : $defs[name]
    if (name === undefined || !Predicate.isRecord(named)) {
      return Object.fromEntries(Object.entries(part).map(([key, one]) => [key, expand(one)]))
    }
    if (!reaches(named, name)) return { ...expandRecord(named), ...others }
    if (!kept.has(name)) {
      kept.set(name, undefined)
      kept.set(name, expandRecord(named))
    }
    return part
  }
  const expanded = expandRecord(rest)
  return kept.size === 0 ? expanded : { ...expanded, $defs: Object.fromEntries(kept) }
}

/** What Effect says of a schema that has no JSON Schema: the path of the field, and the type that stands there. */
const unwritable = (error: unknown): string => {
  const message = String(error)
  const path = [.../^at path: (.*)$/m.exec(message)?.[1]?.matchAll(/\["?([^\]"]*)"?\]/g) ?? []].map((part) => part[1])
  const type = /^schema \([^)]*\): (.*)$/m.exec(message)?.[1]
  const where = path.length === 0 ? "" : `; the field ${path.join(".")}`
  if (message.includes(`an "identifier" annotation`)) {
    return `a schema with a JSON Schema${where === "" ? "; it" : where} is recursive: ` +
      "give the schema inside Schema.suspend an identifier annotation"
  }
  const what = type === undefined ? "" : `${where === "" ? "; it" : ""} is ${type}`
  return "a schema with a JSON Schema" + where + what +
    ": give it a jsonSchema annotation, or use a schema that is encoded as JSON"
}

/** The JSON Schema of a schema, or the requirement that the schema does not meet. */
export const jsonSchema = (schema: Schema.Schema.All): Effect.Effect<JsonObject, string> =>
  Effect.map(
    Effect.try({
      // What a schema requires to decode is of no matter for its JSON Schema.
      try: (): unknown => JSONSchema.make(schema as Schema.Schema<unknown>, { target: "jsonSchema2020-12" }),
      catch: unwritable
    }),
    (made) => {
      const plain = withoutIds(dereferenced(Predicate.isRecord(made) ? rooted(made) : {}))
      return Predicate.isRecord(plain) ? plain : {}
    }
  )

/** Whether every value that a JSON Schema allows is an object. */
export const describesObject = (root: JsonObject): boolean => {
  const { $defs } = root
  const isObject = (part: unknown, within: ReadonlyArray<unknown> = []): boolean => {
    if (!Predicate.isRecord(part) || within.includes(part)) return false
    const inside = (one: unknown) => isObject(one, [...within, part])
    const { $ref, allOf, anyOf, type } = part
    const named = typeof $ref === "string" && Predicate.isRecord($defs)
      ? $defs[unescaped($ref.slice("#/$defs/".length))]
      : undefined
    return type === "object" || inside(named) ||
      (Array.isArray(anyOf) && anyOf.length > 0 && anyOf.every(inside)) || (Array.isArray(allOf) && allOf.some(inside))
  }
  return isObject(root)
}

/** The JSON Schema of an object, or the requirement that the schema does not meet. */
export const objectSchema = (schema: Schema.Schema.All): Effect.Effect<JsonObject, string> =>
  Effect.filterOrFail(
    jsonSchema(schema),
    (plain) => plain["type"] === "object",
    () => "the schema of an object, such as Schema.Struct"
  )
