import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** What does not fit. */
const failed = Symbol("failed")

/** The decoded value, or {@link failed}. */
type Decode = (input: unknown) => unknown

type Fields = Readonly<Record<string, unknown>>

const compiled = new WeakMap<AST.AST, Decode>()

/**
 * Decodes like `ParseResult.decodeUnknownEither`, but several times faster: in one pass, without checking the decoded
 * value again at every level. Leaves unsupported schemas, and values that do not fit, to `ParseResult`, which also
 * reports the issues.
 */
export const decoder = <A>(schema: Schema.Schema<A, unknown>): (input: unknown) => Either.Either<
  A,
  ParseResult.ParseIssue
> =>
(input) => {
  const value = compile(schema.ast)(input)
  return value === failed ? decodeLong(schema, input) : Either.right(value as A)
}

/** The decoded value, or `undefined` if it does not fit, for callers that do not need the issues. */
export const decoderOrUndefined = <A>(schema: Schema.Schema<A, unknown>) => (input: unknown): A | undefined => {
  const value = compile(schema.ast)(input)
  return value === failed ? undefined : value as A
}

/** With an object that cannot be made a string in the place of a discriminator, `ParseResult` throws. */
const decodeLong = <A>(schema: Schema.Schema<A, unknown>, input: unknown): Either.Either<A, ParseResult.ParseIssue> =>
  Either.flatMap(
    Either.try({
      try: () => ParseResult.decodeUnknownEither(schema)(input),
      catch: () => new ParseResult.Type(schema.ast, input)
    }),
    (decoded) => decoded
  )

const compile = (ast: AST.AST): Decode => {
  let decode = compiled.get(ast)
  if (decode === undefined) {
    decode = withFallback(ast, ast.annotations[AST.ParseOptionsAnnotationId] === undefined ? short(ast) : undefined)
    compiled.set(ast, decode)
  }
  return decode
}

const isPlain = ({ annotations }: AST.AST): boolean =>
  annotations[AST.ParseOptionsAnnotationId] === undefined &&
  annotations[AST.DecodingFallbackAnnotationId] === undefined

const withFallback = (ast: AST.AST, decode: Decode | undefined): Decode => {
  const long: Decode = (input) => {
    const decoded = decodeLong(Schema.make<unknown>(ast), input)
    return Either.isRight(decoded) ? decoded.right : failed
  }
  if (decode === undefined) return long
  if (ast.annotations[AST.DecodingFallbackAnnotationId] === undefined) return decode
  return (input) => {
    const value = decode(input)
    return value === failed ? long(input) : value
  }
}

const short = (ast: AST.AST): Decode | undefined => {
  switch (ast._tag) {
    case "StringKeyword":
      return (input) => typeof input === "string" ? input : failed
    case "NumberKeyword":
      return (input) => typeof input === "number" ? input : failed
    case "BooleanKeyword":
      return (input) => typeof input === "boolean" ? input : failed
    case "UndefinedKeyword":
      return (input) => input === undefined ? input : failed
    case "Literal":
      return (input) => input === ast.literal ? input : failed
    case "UnknownKeyword":
    case "AnyKeyword":
      return (input) => input
    case "TupleType":
      return array(ast)
    case "TypeLiteral":
      return ast.indexSignatures.length === 0 ? struct(ast, []) : record(ast)
    case "Transformation":
      return ast.from._tag === "TypeLiteral" && ast.from.indexSignatures.length === 0 &&
          ast.transformation._tag === "TypeLiteralTransformation" && isPlain(ast.from)
        ? struct(ast.from, ast.transformation.propertySignatureTransformations)
        : undefined
    case "Refinement": {
      const from = compile(ast.from)
      return (input) => {
        const value = from(input)
        return value === failed || Option.isSome(ast.filter(value, AST.defaultParseOption, ast)) ? failed : value
      }
    }
    case "Union":
      return union(ast)
    default:
      return undefined
  }
}

const isObject = (input: unknown): input is Fields => typeof input === "object" && input !== null

const array = (ast: AST.TupleType): Decode | undefined => {
  const [rest] = ast.rest
  if (ast.elements.length > 0 || ast.rest.length !== 1 || rest === undefined) return undefined
  const element = compile(rest.type)
  return (input) => {
    if (!Array.isArray(input)) return failed
    const output: Array<unknown> = []
    for (let i = 0; i < input.length; i++) {
      const value = element(input[i])
      if (value === failed) return failed
      output.push(value)
    }
    return output
  }
}

/** An object whose members are not looked into. */
const record = (ast: AST.TypeLiteral): Decode | undefined => {
  const [signature] = ast.indexSignatures
  return ast.propertySignatures.length === 0 && ast.indexSignatures.length === 1 &&
      signature?.parameter._tag === "StringKeyword" && signature.type._tag === "UnknownKeyword"
    ? (input) => isObject(input) && !Array.isArray(input) ? { ...input } : failed
    : undefined
}

const struct = (
  ast: AST.TypeLiteral,
  transformations: ReadonlyArray<AST.PropertySignatureTransformation>
): Decode | undefined => {
  if (ast.propertySignatures.length === 0 || transformations.some(({ from, to }) => from !== to)) return undefined
  const changes = new Map(transformations.map(({ decode, from }) => [from, decode]))
  const fields: Array<{
    readonly name: string
    readonly optional: boolean
    readonly decode: Decode
    readonly change: AST.PropertySignatureTransformation["decode"] | undefined
  }> = []
  for (const { isOptional, name, type } of ast.propertySignatures) {
    if (typeof name !== "string" || name in Object.prototype) return undefined
    fields.push({ name, optional: isOptional, decode: compile(type), change: changes.get(name) })
  }
  return (input) => {
    if (!isObject(input) || Array.isArray(input)) return failed
    const output: Record<string, unknown> = {}
    for (let i = 0; i < fields.length; i++) {
      const { change, decode, name, optional } = fields[i]!
      let value = input[name]
      const missing = value === undefined && optional && !Object.hasOwn(input, name)
      if (!missing) {
        value = decode(value)
        if (value === failed) return failed
      }
      if (change !== undefined) {
        const changed: Option.Option<unknown> = change(missing ? Option.none() : Option.some(value))
        if (Option.isSome(changed)) output[name] = changed.value
      } else if (!missing) {
        output[name] = value
      }
    }
    return output
  }
}

/** The fields that discriminate the members of a union. */
const literals = (ast: AST.AST): ReadonlyArray<readonly [PropertyKey, AST.LiteralValue]> => {
  switch (ast._tag) {
    case "TypeLiteral":
      return ast.propertySignatures.flatMap(({ isOptional, name, type }) => {
        const encoded = AST.encodedAST(type)
        return encoded._tag === "Literal" && !isOptional ? [[name, encoded.literal] as const] : []
      })
    case "Refinement":
    case "Transformation":
      return literals(ast.from)
    default:
      return []
  }
}

/** As `ParseResult` does: the members that the literal selects, then those without one, each in the order of declaration. */
const union = (ast: AST.Union): Decode | undefined => {
  const told = ast.types.map(literals)
  const names = new Set(told.flat().map(([name]) => name))
  if (names.size > 1 || ast.types.some(({ _tag }) => _tag === "Suspend" || _tag === "Declaration")) return undefined
  const members = ast.types.map(compile)
  const rest = members.filter((_, i) => told[i]!.length === 0)
  const first = (candidates: ReadonlyArray<Decode>, input: unknown): unknown => {
    for (let i = 0; i < candidates.length; i++) {
      const value = candidates[i]!(input)
      if (value !== failed) return value
    }
    return failed
  }
  const [name] = names
  if (typeof name !== "string") return name === undefined ? (input) => first(rest, input) : undefined
  const selected = new Map<unknown, ReadonlyArray<Decode>>()
  for (const [, literal] of told.flat()) {
    if (selected.has(literal)) continue
    selected.set(literal, [...members.filter((_, i) => told[i]!.some((one) => one[1] === literal)), ...rest])
  }
  return (input) => first(isObject(input) ? selected.get(input[name]) ?? rest : rest, input)
}
