import * as Either from "effect/Either"
import { columnName } from "./columns.ts"
import { hash53 } from "./document.ts"

/** What is wrong with a CSV, and in which line of the text it begins. */
export interface CsvProblem {
  readonly line: number
  readonly expected: string
}

export interface CsvRecord {
  readonly line: number
  readonly values: ReadonlyArray<string>
}

/** RFC 4180: quotes, doubled quotes, line ends inside quotes, LF or CRLF, an optional BOM. Blank lines are left out. */
export const parseCsv = (
  text: string,
  delimiter: string
): Either.Either<ReadonlyArray<CsvRecord>, CsvProblem> => {
  const records: Array<CsvRecord> = []
  let at = text.startsWith("\ufeff") ? 1 : 0
  let line = 1
  // Looked for again only once passed, so that a long line is not searched for its end value by value.
  let nextLine = text.indexOf("\n")
  while (at < text.length) {
    const startLine = line
    const values: Array<string> = []
    let quotedAny = false
    for (;;) {
      let value = ""
      if (text[at] === "\"") {
        quotedAny = true
        const opened = line
        at++
        for (;;) {
          const close = text.indexOf("\"", at)
          if (close < 0) return Either.left({ line: opened, expected: "a closing quote" })
          while (nextLine >= 0 && nextLine < close) {
            if (nextLine >= at) line++
            nextLine = text.indexOf("\n", nextLine + 1)
          }
          value += text.slice(at, close)
          at = close + 1
          if (text[at] !== "\"") break
          value += "\""
          at++
        }
        if (at < text.length && text[at] !== delimiter && text[at] !== "\n" && !text.startsWith("\r\n", at)) {
          return Either.left({ line, expected: "a delimiter or the end of the line after a closing quote" })
        }
      } else {
        let end = at
        while (end < text.length && text[end] !== delimiter && text[end] !== "\n" && text[end] !== "\"") end++
        if (text[end] === "\"") {
          return Either.left({ line, expected: "quotes around the whole value, and inside it doubled" })
        }
        value = text.slice(at, end)
        at = end
        if (text[at] !== delimiter && value.endsWith("\r")) value = value.slice(0, -1)
        // With line ends of CR alone all of it would be the header, and the table would have no rows.
        if (value.includes("\r")) {
          return Either.left({ line, expected: "lines that end with LF or CRLF, and quotes around any other CR" })
        }
      }
      values.push(value)
      if (text[at] === delimiter) {
        at++
        continue
      }
      break
    }
    if (text.startsWith("\r\n", at)) at += 2
    else if (text[at] === "\n") at++
    line++
    if (values.length > 1 || values[0] !== "" || quotedAny) records.push({ line: startLine, values })
  }
  return Either.right(records)
}

const numeric = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** The digits that count: without zeros at either end, sign, point and exponent. */
const digits = (value: string): string => value.replace(/[eE].*$|[-.]/g, "").replace(/^0+|0+$/g, "")

/** A number that a double holds: with more digits than that, a value would not come back as it was. */
const isNumber = (value: string): boolean =>
  numeric.test(value) && Number.isFinite(Number(value)) &&
  (/[.eE]/.test(value) || Number.isSafeInteger(Number(value))) && digits(String(Number(value))) === digits(value)

/** A column is numbers or booleans when every value in it is; else it stays text. An empty value is `null`. */
const converter = (values: ReadonlyArray<string>): (value: string) => string | number | boolean | null => {
  const filled = values.filter((value) => value !== "")
  const convert: (value: string) => string | number | boolean = filled.length === 0
    ? (value) => value
    : filled.every(isNumber)
    ? Number
    : filled.every((value) => /^(true|false)$/i.test(value))
    ? (value) => value.toLowerCase() === "true"
    : (value) => value
  return (value) => value === "" ? null : convert(value)
}

export interface CsvRow {
  readonly rowId: string
  readonly value: Readonly<Record<string, string | number | boolean | null>>
}

/** Ids made of content, not of positions: a row that is inserted at the top does not shift the others. */
const contentIds = () => {
  const times = new Map<string, number>()
  return (values: ReadonlyArray<string>): string => {
    const id = hash53(JSON.stringify(values))
    const n = (times.get(id) ?? 0) + 1
    times.set(id, n)
    return n === 1 ? id : `${id}-${n}`
  }
}

/** Rows of a CSV with a header. Without a column for the ids they are made of the content of the rows. */
export const csvRows = (text: string, options: {
  readonly delimiter: string
  readonly rowId: string | undefined
  readonly infer: boolean
}): Either.Either<ReadonlyArray<CsvRow>, CsvProblem> =>
  Either.gen(function*() {
    const [header, ...records] = yield* parseCsv(text, options.delimiter)
    if (header === undefined) return yield* Either.left({ line: 1, expected: "a header with the names of the columns" })
    const names = header.values.map(columnName)
    const seen = new Set<string>()
    for (const [i, name] of names.entries()) {
      if (name === "") {
        return yield* Either.left({
          line: header.line,
          expected: `a name with letters or digits for column ${i + 1}`
        })
      }
      if (seen.has(name)) {
        return yield* Either.left({ line: header.line, expected: `no second column named ${name}` })
      }
      seen.add(name)
    }
    const idColumn = options.rowId === undefined ? undefined : names.indexOf(columnName(options.rowId))
    if (idColumn === -1) {
      return yield* Either.left({ line: header.line, expected: `the column of the ids (rowId)` })
    }
    for (const record of records) {
      if (record.values.length !== names.length) {
        return yield* Either.left({
          line: record.line,
          expected: `${names.length} values, as many as in the header, and not ${record.values.length}`
        })
      }
    }
    const converters = names.map((_, i) =>
      options.infer ? converter(records.map((record) => record.values[i]!)) : (value: string) => value
    )
    const ids = new Set<string>()
    const rows: Array<CsvRow> = []
    const contentId = contentIds()
    for (const record of records) {
      const rowId = idColumn === undefined ? contentId(record.values) : record.values[idColumn]!
      if (rowId.trim() === "") {
        return yield* Either.left({ line: record.line, expected: "an id in the column of the ids" })
      }
      if (ids.has(rowId)) {
        return yield* Either.left({ line: record.line, expected: "an id that no earlier row has" })
      }
      ids.add(rowId)
      rows.push({ rowId, value: Object.fromEntries(names.map((name, i) => [name, converters[i]!(record.values[i]!)])) })
    }
    return rows
  })
