import * as Either from "effect/Either"

/** An error in a CSV, and the line of the text in which it begins. */
export interface CsvProblem {
  readonly line: number
  readonly expected: string
}

export interface CsvRecord {
  readonly line: number
  readonly values: ReadonlyArray<string>
}

const QUOTE = 34
const LF = 10
const CR = 13

/** How a text is divided into records. */
export interface Dialect {
  readonly delimiter: string
  /** Lines end with a lone CR, as on old Macs; otherwise with LF or CRLF. */
  readonly crOnly: boolean
  /** Where the records start, and their line. */
  readonly from: number
  readonly line: number
}

class Reader {
  #at: number
  #line: number
  readonly #delimiter: number
  readonly #end: number

  constructor(readonly text: string, dialect: Dialect) {
    this.#at = dialect.from
    this.#line = dialect.line
    this.#delimiter = dialect.delimiter.charCodeAt(0)
    this.#end = dialect.crOnly ? CR : LF
  }

  get isAtEnd(): boolean {
    return this.#at >= this.text.length
  }

  /** The next record; `undefined` for a blank line. */
  next(): Either.Either<CsvRecord | undefined, CsvProblem> {
    const { text } = this
    const line = this.#line
    const values: Array<string> = []
    let quoted = false
    for (;;) {
      if (text.charCodeAt(this.#at) === QUOTE) {
        quoted = true
        const value = this.#quoted()
        if (typeof value !== "string") return Either.left(value)
        values.push(value)
      } else {
        const value = this.#plain()
        if (typeof value !== "string") return Either.left(value)
        values.push(value)
      }
      if (text.charCodeAt(this.#at) !== this.#delimiter) break
      this.#at++
    }
    if (this.#end === LF && text.charCodeAt(this.#at) === CR) this.#at++
    if (this.#at < text.length) this.#at++
    this.#line++
    // Spreadsheets write an empty row as a line of delimiters.
    const isBlank = !quoted && values.every((value) => value === "")
    return Either.right(isBlank ? undefined : { line, values })
  }

  #quoted(): string | CsvProblem {
    const { text } = this
    const opened = this.#line
    let value = ""
    let at = this.#at + 1
    for (;;) {
      const close = text.indexOf("\"", at)
      if (close < 0) return { line: opened, expected: "a closing quote" }
      for (let i = at; i < close; i++) if (text.charCodeAt(i) === this.#end) this.#line++
      value += text.slice(at, close)
      at = close + 1
      if (text.charCodeAt(at) !== QUOTE) break
      value += "\""
      at++
    }
    this.#at = at
    const after = text.charCodeAt(at)
    const ends = at >= text.length || after === this.#delimiter || after === this.#end ||
      (after === CR && text.charCodeAt(at + 1) === LF)
    return ends ? value : { line: this.#line, expected: "a delimiter or the end of the line after a closing quote" }
  }

  #plain(): string | CsvProblem {
    const { text } = this
    const from = this.#at
    let at = from
    let returns = 0
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === this.#delimiter || code === this.#end) break
      if (code === QUOTE) {
        return { line: this.#line, expected: "quotes around the whole value, with inner quotes doubled" }
      }
      if (code === CR) returns++
    }
    // The CR of a CRLF.
    if (returns > 0 && text.charCodeAt(at - 1) === CR && text.charCodeAt(at) !== this.#delimiter) {
      at--
      returns--
    }
    if (returns > 0) {
      return { line: this.#line, expected: "lines that end with LF or CRLF, and quotes around any other CR" }
    }
    this.#at = at
    return text.slice(from, at)
  }
}

/** The records of a text, in order; ends with the first error. */
export function* csvRecords(text: string, dialect: Dialect): Generator<Either.Either<CsvRecord, CsvProblem>> {
  const reader = new Reader(text, dialect)
  while (!reader.isAtEnd) {
    const record = reader.next()
    if (Either.isLeft(record)) {
      yield Either.left(record.left)
      return
    }
    if (record.right !== undefined) yield Either.right(record.right)
  }
}

const candidates = [",", ";", "\t", "|"]
const probedRecords = 50
const probedText = 64 * 1024

const newlines = (text: string, from: number): boolean => {
  const start = text.slice(from, from + probedText)
  return start.includes("\r") && !start.includes("\n")
}

/** The number of columns that a delimiter produces, and whether the first records agree on it. */
const probe = (text: string, dialect: Dialect, isAll: boolean) => {
  const counts: Array<number> = []
  for (const record of csvRecords(text, dialect)) {
    if (Either.isLeft(record)) break
    counts.push(record.right.values.length)
    if (counts.length >= probedRecords) break
  }
  // The last one may be truncated.
  if (!isAll && counts.length > 1 && counts.length < probedRecords) counts.pop()
  const columns = counts[0] ?? 0
  return { columns, agree: columns > 1 && counts.every((count) => count === columns) }
}

/**
 * Detects the start of the records, the line ends, and the delimiter unless it is given: the one of `,` `;` tab `|`
 * that splits the first records into equally many columns, otherwise the header into the most. Excel's `sep=;` line
 * takes precedence.
 */
export const dialectOf = (text: string, given: string | undefined): Dialect => {
  const start = text.startsWith("\ufeff") ? 1 : 0
  const said = /^("?)sep=([^\r\n])\1(\r\n|\r|\n)/i.exec(text.slice(start, start + 12))
  const from = start + (said?.[0].length ?? 0)
  const rest = { crOnly: newlines(text, from), from, line: said === null ? 1 : 2 }
  const delimiter = given ?? said?.[2]
  if (delimiter !== undefined) return { delimiter, ...rest }
  const head = text.slice(0, from + probedText)
  let best = { delimiter: ",", columns: 1, agree: false }
  for (const candidate of candidates) {
    const found = probe(head, { delimiter: candidate, ...rest }, head.length === text.length)
    const better = found.agree === best.agree ? found.columns > best.columns : found.agree
    if (better) best = { delimiter: candidate, ...found }
  }
  return { delimiter: best.delimiter, ...rest }
}
