import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** Known values for completion and narrowing, any other string all the same. */
export type Open<Known extends string> = Known | (string & {})

export const openLiteral = <const Known extends ReadonlyArray<string>>(
  ..._known: Known
): Schema.Schema<Open<Known[number]>, string> => Schema.make<Open<Known[number]>, string>(Schema.String.ast)

type Defaulted<A, I> = Schema.PropertySignature<":", A, never, "?:", I | null | undefined, true>

/**
 * A field whose encoded side is lenient: missing, null, and whatever `fallback` turns into a value. Its decoded side is
 * strict, so that guards and encoders accept nothing else than what decoding gives.
 */
const lenient = <A, I>(
  schema: Schema.Schema<A, I>,
  strict: Schema.Schema<A>,
  value: () => A,
  fallback: (issue: ParseResult.ParseIssue) => Effect.Effect<A>
): Defaulted<A, I> =>
  Schema.optionalToRequired(
    Schema.Union(schema, Schema.Null, Schema.Undefined).annotations({ decodingFallback: fallback }),
    strict,
    {
      decode: (found): A => {
        const known = Option.getOrUndefined(found)
        return known === undefined || known === null ? value() : known
      },
      encode: (known) => Option.some(known)
    }
  ).pipe(Schema.withConstructorDefault(value))

/** A field that may be missing, null or of another shape than known: then it has the given value. */
export const withDefault = <A, I>(schema: Schema.Schema<A, I>, value: () => A): Defaulted<A, I> =>
  lenient(schema, Schema.typeSchema(schema), value, () => Effect.sync(value))

/** A field that may be missing, null or of another shape than known: then it is null. */
export const nullable = <A, I>(schema: Schema.Schema<A, I>): Defaulted<A | null, I | null> =>
  withDefault<A | null, I | null>(Schema.NullOr(schema), () => null)

/** The elements that have this shape. */
const those = <A, I>(element: Schema.Schema<A, I>): (all: ReadonlyArray<unknown>) => ReadonlyArray<A> => {
  const decode = ParseResult.decodeUnknownEither(element)
  return (all) => all.flatMap((one) => Either.match(decode(one), { onLeft: () => [], onRight: (value) => [value] }))
}

/** A list; elements of another shape than known are left out, the others stay. */
export const elements = <A, I>(element: Schema.Schema<A, I>): Schema.Array$<Schema.Schema<A, I>> => {
  const known = those(element)
  return Schema.Array(element).annotations({
    decodingFallback: (issue) => Array.isArray(issue.actual) ? Effect.succeed(known(issue.actual)) : Effect.fail(issue)
  })
}

/** A list that may be missing; elements of another shape than known are left out, the others stay. */
export const list = <A, I>(element: Schema.Schema<A, I>): Defaulted<ReadonlyArray<A>, ReadonlyArray<I>> => {
  const known = those(element)
  const array = Schema.Array(element)
  return lenient<ReadonlyArray<A>, ReadonlyArray<I>>(
    array,
    Schema.typeSchema(array),
    () => [],
    (issue) => Effect.succeed(Array.isArray(issue.actual) ? known(issue.actual) : [])
  )
}

/** Like {@link list}, with `null` for each dropped element, to count the elements that were sent. */
export const slots = <A, I>(element: Schema.Schema<A, I>) => {
  const slot = Schema.NullOr(element)
  return lenient<ReadonlyArray<A | null>, ReadonlyArray<I | null>>(
    Schema.Array(slot.annotations({ decodingFallback: () => Effect.succeed(null) })),
    Schema.typeSchema(Schema.Array(slot)),
    () => [],
    () => Effect.succeed([])
  )
}

/** An object whose members are not looked into. */
export const record = withDefault(
  Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  (): { readonly [key: string]: unknown } => ({})
)

/** Any JSON value, unchanged. */
export const anything = Schema.optional(Schema.Unknown)

/** Text that is not blank. */
export const nonBlank = (expected: string) =>
  Schema.String.pipe(
    Schema.filter((text) => text.trim() !== "" || expected, { description: expected, message: () => expected })
  )
