import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { RowInput } from "../../DataSource.ts"
import type { CsvColumn, CsvColumnType } from "../../DataSync.ts"
import { hash53 } from "../util/hash.ts"
import { inSlices } from "../util/slices.ts"
import { columnName, ColumnNames } from "./columns.ts"
import {
  type CsvCell,
  expectation,
  isFormat,
  isPlainBoolean,
  isPlainNumber,
  type ReadCell,
  reader
} from "./csvCells.ts"
import { type CsvProblem, type CsvRecord, csvRecords, type Dialect, dialectOf } from "./csvRecords.ts"

export interface CsvOptions {
  readonly delimiter: string | undefined
  readonly rowId: string | undefined
  readonly infer: boolean
  readonly columns: Readonly<Record<string, CsvColumnType | CsvColumn>>
  readonly nulls: ReadonlyArray<string>
}

/** A CSV that has been read once and validated. */
export interface CsvTable {
  /** Reads it again, row by row. */
  readonly rows: Iterable<RowInput>
  readonly total: number
  /** The column for each header name. */
  readonly columns: Readonly<Record<string, string>>
}

interface Column {
  readonly header: string
  readonly name: string
  readonly rule: CsvColumn
  readonly read: ReadCell
  readonly nulls: ReadonlySet<string>
  /** The types that all values so far allow, while the type is inferred. */
  numbers: boolean
  booleans: boolean
}

type Problem = CsvProblem & { readonly field?: string }

const ruleOf = (
  options: CsvOptions,
  keys: ReadonlyArray<string>,
  used: Set<string>
): CsvColumn | CsvColumnType | undefined => {
  for (const key of keys) {
    if (Object.hasOwn(options.columns, key) && !used.has(key)) {
      used.add(key)
      return options.columns[key]
    }
  }
  return undefined
}

const maxHeader = 1024

const types: ReadonlySet<string> = new Set<CsvColumnType>(["text", "number", "datetime", "boolean"])

/** The columns of a header: unnamed and repeated ones are numbered; `columns` renames and types them. */
const columnsOf = (header: CsvRecord, options: CsvOptions): Either.Either<ReadonlyArray<Column>, Problem> => {
  const names = new ColumnNames()
  const used = new Set<string>()
  const columns: Array<Column> = []
  for (const [i, text] of header.values.entries()) {
    const given = text.trim()
    const name = columnName(given)
    const earlier = columns.filter((column) => column.header === given).length
    const keys = earlier === 0 ? [given, name] : [`${given}_${earlier + 1}`, `${name}_${earlier + 1}`]
    const rule = ruleOf(options, [...keys, `column_${i + 1}`], used) ?? {}
    const full: CsvColumn = typeof rule === "string" ? { type: rule } : rule
    if (given.length > maxHeader) {
      return Either.left({
        line: header.line,
        expected: `names of columns with at most ${maxHeader} characters; does the file have line breaks?`
      })
    }
    if (full.type !== undefined && !types.has(full.type)) {
      return Either.left({
        line: header.line,
        field: `columns.${given}.type`,
        expected: `one of ${[...types].join(", ")}`
      })
    }
    const { format, name: renamed, nulls } = full
    if (renamed !== undefined && !/^[a-z0-9_]+$/.test(renamed)) {
      return Either.left({
        line: header.line,
        field: `columns.${given}.name`,
        expected: "a name made of a-z, 0-9 and _"
      })
    }
    if (format !== undefined && !isFormat(format)) {
      return Either.left({
        line: header.line,
        field: `columns.${given}.format`,
        expected: "a format of YYYY, MM, DD, HH, mm and ss, each at most once"
      })
    }
    columns.push({
      header: given,
      name: names.add(renamed ?? name),
      rule: full,
      read: reader(full),
      nulls: new Set(nulls ?? options.nulls),
      numbers: options.infer,
      booleans: options.infer
    })
  }
  const unknown = Object.keys(options.columns).find((key) => !used.has(key))
  return unknown === undefined ? Either.right(columns) : Either.left({
    line: header.line,
    field: `columns.${unknown}`,
    expected: `one of the headers (${columns.map((column) => column.header).join(", ").slice(0, 200)})`
  })
}

/** Ids derived from content, not from positions: inserting a row at the top does not shift the others. */
const contentIds = () => {
  const times = new Map<string, number>()
  return (values: ReadonlyArray<string>): string => {
    const id = hash53(JSON.stringify(values))
    const n = (times.get(id) ?? 0) + 1
    times.set(id, n)
    return n === 1 ? id : `${id}-${n}`
  }
}

const checkValues = (columns: ReadonlyArray<Column>, { line, values }: CsvRecord): CsvProblem | undefined => {
  if (values.length !== columns.length) {
    return { line, expected: `${columns.length} values as in the header, but found ${values.length}` }
  }
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i]!
    const value = values[i]!
    if (column.nulls.has(value)) continue
    if (column.rule.type !== undefined) {
      if (column.read(value) === undefined) {
        return { line, expected: `${expectation(column.rule)} in column ${column.header || column.name}` }
      }
      continue
    }
    if (column.numbers && !isPlainNumber(value)) column.numbers = false
    if (column.booleans && !isPlainBoolean(value)) column.booleans = false
  }
  return undefined
}

const cellOf = (column: Column, value: string): CsvCell => {
  if (column.nulls.has(value)) return null
  if (column.rule.type !== undefined) return column.read(value) ?? null
  return column.numbers
    ? Number(value)
    : column.booleans
    ? value.toLowerCase() === "true"
    : value
}

const idColumnOf = (columns: ReadonlyArray<Column>, rowId: string | undefined): number | undefined => {
  if (rowId === undefined) return undefined
  const exact = columns.findIndex((column) => column.header === rowId || column.name === rowId)
  return exact >= 0 ? exact : columns.findIndex((column) => column.name === columnName(rowId))
}

/** Checks an id, once the position of the id column is known. */
const checkId = (ids: Set<string>, { line, values }: CsvRecord, at: number): CsvProblem | undefined => {
  const id = values[at]!
  if (id.trim() === "") return { line, expected: "an id in the id column" }
  if (ids.has(id)) return { line, expected: "a unique id" }
  ids.add(id)
  return undefined
}

function* rowsOf(
  text: string,
  dialect: Dialect,
  columns: ReadonlyArray<Column>,
  idColumn: number | undefined
): Generator<RowInput> {
  const contentId = contentIds()
  let isHeader = true
  for (const record of csvRecords(text, dialect)) {
    // The first reading found no error.
    if (Either.isLeft(record)) return
    const { values } = record.right
    if (!isHeader) {
      yield {
        rowId: idColumn === undefined ? contentId(values) : values[idColumn]!,
        value: Object.fromEntries(columns.map((column, i) => [column.name, cellOf(column, values[i]!)]))
      }
    }
    isHeader = false
  }
}

const isWellFormed = (text: string & { readonly isWellFormed?: () => boolean }): boolean =>
  // Text decoded from bytes always is; older platforms cannot check other text.
  text.isWellFormed?.() ?? true

const sliceSize = 1_000_000

/** Slices of a text, none of which splits a character. */
function* slices(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + sliceSize)
    if (/[\ud800-\udbff]/.test(text[end - 1]!) && end < text.length) end++
    yield text.slice(at, end)
    at = end
  }
}

/** Files that are often saved or downloaded in place of a CSV, and would be read as a table of one column. */
const imposters: ReadonlyArray<readonly [starts: ReadonlyArray<string>, name: string]> = [
  [["PK\u0003\u0004", "PK\u0005\u0006", "PK\u0007\u0008"], "a ZIP archive or an Excel workbook"],
  [["\u00d0\u00cf\u0011\u00e0"], "an Excel workbook"],
  [["%PDF-"], "a PDF"],
  [["\u001f\u008b"], "a gzip archive"],
  [["PAR1"], "a Parquet file"]
]

/** The kind of a file that is not a CSV. */
export const imposterOf = (start: string): string | undefined =>
  /^\s*<(?:!doctype|html|head|\?xml)\b/i.test(start)
    ? "an HTML or XML page"
    : imposters.find(([starts]) => starts.some((one) => start.startsWith(one)))?.[1]

const checkText = (slice: string): Problem | undefined =>
  slice.includes("\0")
    ? { line: 1, expected: "text without NUL characters; is it UTF-16?" }
    : isWellFormed(slice)
    ? undefined
    : { line: 1, expected: "well-formed Unicode" }

/** The first of repeated headers; the others are known by their column. */
const columnsByHeader = (columns: ReadonlyArray<Column>): Readonly<Record<string, string>> => {
  const byHeader = new Map<string, string>()
  for (const { header, name } of columns) if (!byHeader.has(header)) byHeader.set(header, name)
  return Object.fromEntries(byHeader)
}

/** Reads a CSV with a header: once to validate it and infer the types of its columns, then row by row. */
export const readCsv = (text: string, options: CsvOptions): Effect.Effect<CsvTable, Problem> =>
  Effect.suspend(() => {
    const imposter = imposterOf(text.slice(0, 1000).replace(/^\ufeff/, ""))
    if (imposter !== undefined) return Effect.fail({ line: 1, expected: `a CSV, but found ${imposter}` })
    const dialect = dialectOf(text, options.delimiter)
    const ids = new Set<string>()
    let columns: ReadonlyArray<Column> = []
    let idColumn: number | undefined
    let total = -1
    const visit = (record: Either.Either<CsvRecord, CsvProblem>): Problem | undefined => {
      if (Either.isLeft(record)) return record.left
      total++
      if (total > 0) {
        return checkValues(columns, record.right) ??
          (idColumn === undefined ? undefined : checkId(ids, record.right, idColumn))
      }
      const found = columnsOf(record.right, options)
      if (Either.isLeft(found)) return found.left
      columns = found.right
      idColumn = idColumnOf(columns, options.rowId)
      return idColumn === -1
        ? { line: record.right.line, expected: `a column named ${JSON.stringify(options.rowId)} (rowId)` }
        : undefined
    }
    const read = Effect.zipRight(inSlices(slices(text), checkText), inSlices(csvRecords(text, dialect), visit))
    return Effect.flatMap(read, () =>
      total < 0
        ? Effect.fail({ line: 1, expected: "a header with the names of the columns" })
        : Effect.succeed({
          rows: { [Symbol.iterator]: () => rowsOf(text, dialect, columns, idColumn) },
          total,
          columns: columnsByHeader(columns)
        }))
  })
