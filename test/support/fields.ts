/** The names of fields on the wire: those of our schemas, and those of the official client's zod schemas. */
import { Schema, SchemaAST } from "effect"

/** `name` and, for objects and lists inside, `name.inner`. */
export type Fields = ReadonlySet<string>

interface Walk {
  readonly found: Set<string>
  readonly seen: Set<unknown>
}

const fromAST = (ast: SchemaAST.AST, prefix: string, { found, seen }: Walk): void => {
  if (prefix.split(".").length > 8) return
  switch (ast._tag) {
    case "TypeLiteral":
      for (const { name, type } of ast.propertySignatures) {
        found.add(prefix + String(name))
        fromAST(type, `${prefix}${String(name)}.`, { found, seen })
      }
      for (const { type } of ast.indexSignatures) fromAST(type, `${prefix}*.`, { found, seen })
      return
    case "TupleType":
      for (const { type } of [...ast.elements, ...ast.rest]) fromAST(type, prefix, { found, seen })
      return
    case "Union":
      for (const type of ast.types) fromAST(type, prefix, { found, seen })
      return
    case "Suspend":
      if (seen.has(ast)) return
      return fromAST(ast.f(), prefix, { found, seen: new Set([...seen, ast]) })
    case "Refinement":
      return fromAST(ast.from, prefix, { found, seen })
    case "Transformation":
      return fromAST(ast.from, prefix, { found, seen })
  }
}

/** The fields that a schema reads, as they are on the wire. */
export const ours = (schema: Schema.Schema.All): Fields => {
  const found = new Set<string>()
  fromAST(SchemaAST.encodedAST(schema.ast), "", { found, seen: new Set() })
  return found
}

/** A zod schema, as far as its fields are concerned. */
interface Zod {
  readonly _def: {
    readonly typeName: string
    readonly shape?: () => Record<string, Zod>
    readonly type?: Zod
    readonly innerType?: Zod
    readonly schema?: Zod
    readonly valueType?: Zod
    readonly in?: Zod
    readonly left?: Zod
    readonly right?: Zod
    readonly options?: ReadonlyArray<Zod> | ReadonlyMap<string, Zod>
    readonly items?: ReadonlyArray<Zod>
    readonly getter?: () => Zod
  }
}

const fromZod = (zod: Zod, prefix: string, walk: Walk): void => {
  const { _def: def } = zod
  if (prefix.split(".").length > 8) return
  if (def.typeName === "ZodObject") {
    for (const [name, inner] of Object.entries(def.shape?.() ?? {})) {
      walk.found.add(prefix + name)
      fromZod(inner, `${prefix}${name}.`, walk)
    }
    return
  }
  if (def.typeName === "ZodLazy") {
    if (walk.seen.has(zod)) return
    return fromZod(def.getter!(), prefix, { ...walk, seen: new Set([...walk.seen, zod]) })
  }
  if (def.typeName === "ZodRecord") return fromZod(def.valueType!, `${prefix}*.`, walk)
  const options = def.options === undefined ? [] : [...def.options.values()]
  const inner = [def.type, def.innerType, def.schema, def.in, def.left, def.right, ...options, ...(def.items ?? [])]
  for (const one of inner) if (typeof one === "object" && "_def" in one) fromZod(one, prefix, walk)
}

/** The fields that an official schema has. `path` leads to the part that is meant: `["conversation", "owner"]`. */
export const official = (zod: unknown, path: ReadonlyArray<string> = []): Fields => {
  const found = new Set<string>()
  fromZod(zod as Zod, "", { found, seen: new Set() })
  const prefix = path.map((name) => `${name}.`).join("")
  return new Set([...found].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)))
}

const valueOf = (ast: SchemaAST.AST, depth: number): unknown => {
  switch (ast._tag) {
    case "Literal":
      return ast.literal
    case "StringKeyword":
    case "TemplateLiteral":
      // A URL, too.
      return "a:a"
    case "NumberKeyword":
      return 1
    case "BooleanKeyword":
      return true
    case "TypeLiteral":
      return Object.fromEntries([
        ...ast.propertySignatures.map(({ name, type }) => [name, valueOf(type, depth + 1)] as const),
        ...ast.indexSignatures.map(({ type }) => ["key", valueOf(type, depth + 1)] as const)
      ])
    case "TupleType":
      return [...ast.elements, ...ast.rest].map(({ type }) => valueOf(type, depth + 1))
    case "Union": {
      const weight = ({ _tag }: SchemaAST.AST) => _tag === "TypeLiteral" ? 2 : _tag === "UndefinedKeyword" ? 0 : 1
      const members = ast.types.filter((type) => !(type._tag === "Literal" && type.literal === null))
      return valueOf([...members].sort((a, b) => weight(b) - weight(a))[0] ?? ast, depth)
    }
    case "Suspend":
      return depth > 4 ? null : valueOf(ast.f(), depth + 1)
    case "Refinement":
    case "Transformation":
      return valueOf(ast.from, depth)
    default:
      return { any: "thing" }
  }
}

/** A value on the wire with every field of the schema, none of them null or absent. */
export const sample = (schema: Schema.Schema.All): unknown => valueOf(SchemaAST.encodedAST(schema.ast), 0)
