import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { RowInput } from "../../DataSource.ts"
import type { DustBadRequestError, DustContentTooLargeError } from "../../DustAPIError.ts"
import { maxRows, type WireRow } from "../api/dataSources.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, tooLarge } from "../request/errors.ts"
import type { ColumnNames } from "./columns.ts"

type Checked<A> = Either.Either<A, DustBadRequestError>

type Cell = string | number | boolean | null | { readonly type: "datetime"; readonly epoch: number }

const plainText = /[\0]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

const unsupported = "text, a number, a boolean, a date, null, or a value that JSON can represent"

const text = (value: string): Either.Either<Cell, string> =>
  plainText.test(value)
    ? Either.left("text without NUL characters or lone surrogates, which Dust cannot store")
    : Either.right(value)

const moment = (epoch: number): Either.Either<Cell, string> =>
  Number.isFinite(epoch) ? Either.right({ type: "datetime", epoch }) : Either.left("a valid date")

/** Checks by tag: dates from another realm (vm, jsdom, workers) fail `instanceof Date`. */
const isDate = (value: object): value is Date => Object.prototype.toString.call(value) === "[object Date]"

const isBinary = (value: object): boolean =>
  ArrayBuffer.isView(value) || /^\[object (?:Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(value))

const json = (value: object): Either.Either<Cell, string> => {
  try {
    const encoded = JSON.stringify(value)
    // Decimal types of database drivers encode themselves as a string or number, which is their value.
    const own = "toJSON" in value ? JSON.parse(encoded) as unknown : undefined
    return typeof own === "string" ? text(own) : typeof own === "number" ? Either.right(own) : text(encoded)
  } catch {
    // A circle, or what encodes itself as nothing.
    return Either.left(unsupported)
  }
}

const wireObject = (value: object): Either.Either<Cell, string> => {
  if (isDate(value)) return moment(value.getTime())
  if (DateTime.isDateTime(value)) return moment(value.epochMillis)
  if (Predicate.hasProperty(value, "type") && value.type === "datetime" && Predicate.hasProperty(value, "epoch")) {
    return typeof value.epoch === "number"
      ? moment(value.epoch)
      : Either.left("a datetime with an epoch in milliseconds")
  }
  return isBinary(value) ? Either.left(unsupported) : json(value)
}

/** The encoded cell; `undefined` to omit it. A value that a number cannot hold exactly is sent as text. */
export const wireCell = (value: unknown): Either.Either<Cell | undefined, string> => {
  switch (typeof value) {
    case "undefined":
      return Either.right(undefined)
    case "string":
      return text(value)
    case "boolean":
      return Either.right(value)
    case "number":
      return Number.isFinite(value) ? Either.right(value) : Either.left("a finite number")
    case "bigint": {
      const number = Number(value)
      return Either.right(Number.isSafeInteger(number) ? number : String(value))
    }
    case "object":
      return value === null ? Either.right(null) : wireObject(value)
    default:
      return Either.left(unsupported)
  }
}

const wireRow = (
  identity: Identity,
  columns: ColumnNames,
  row: RowInput,
  at: number
): Checked<WireRow> => {
  const refused = (where: string, expected: string) => Either.left(badInput(identity, `rows.${at}.${where}`, expected))
  if (!Predicate.isObject(row)) return Either.left(badInput(identity, `rows.${at}`, "an object"))
  const { rowId, value } = row
  if (typeof rowId !== "string" || rowId.trim() === "" || plainText.test(rowId)) {
    return refused("rowId", "a non-blank string")
  }
  if (typeof value !== "object" || value === null) return refused("value", "an object with one cell per column")
  const cells: Array<readonly [string, Cell]> = []
  for (const [key, cell] of Object.entries(value)) {
    const checked = wireCell(cell)
    if (Either.isLeft(checked)) return refused(`value.${key.slice(0, 64)}`, checked.left)
    if (checked.right !== undefined) cells.push([columns.of(key), checked.right])
  }
  // `fromEntries`, because a column may have the name of an inherited property, such as `__proto__`.
  return Either.right({ row_id: rowId, value: Object.fromEntries(cells) })
}

/** Encodes rows. `first` is the position of the first one in the source, for error messages. */
export const wireRows = (
  identity: Identity,
  columns: ColumnNames,
  rows: Iterable<RowInput>,
  first = 0
): Checked<ReadonlyArray<WireRow>> => {
  const wire: Array<WireRow> = []
  let at = first
  for (const row of rows) {
    const checked = wireRow(identity, columns, row, at++)
    if (Either.isLeft(checked)) return Either.left(checked.left)
    wire.push(checked.right)
  }
  return Either.right(wire)
}

export const tooManyRows = (identity: Identity): DustContentTooLargeError =>
  tooLarge(identity, 0, "too_many_rows", `rows must be at most ${maxRows}, the limit of a table`, {
    field: "rows",
    limit: maxRows
  })
