/** Members of a query string whose form on the wire is not that of the value. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** A boolean of which Dust accepts `true` only: `false` is not sent. */
export const onlyTrue = Schema.optionalToOptional(Schema.Literal(true), Schema.UndefinedOr(Schema.Boolean), {
  decode: (value: Option.Option<boolean | undefined>) => value,
  encode: Option.filter((value): value is true => value === true)
})

/** At least one value, all of them in one text with commas between them. */
export const commaSeparated = <A extends string>(
  element: Schema.Schema<A, A>,
  expected: string
): Schema.Schema<ReadonlyArray<A>, string> =>
  Schema.compose(
    Schema.split(","),
    Schema.Array(element).pipe(
      Schema.minItems(1),
      Schema.annotations({ message: () => ({ message: expected, override: true }) })
    ),
    { strict: false }
  )

/** A whole number within bounds. */
export const integer = (from: number, to: number = Number.MAX_SAFE_INTEGER) =>
  Schema.Number.pipe(Schema.filter((value) =>
    (Number.isInteger(value) && value >= from && value <= to) ||
    (to === Number.MAX_SAFE_INTEGER ? `a whole number, ${from} or more` : `a whole number from ${from} to ${to}`)
  ))
