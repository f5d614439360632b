import type { CsvColumn } from "../../DataSync.ts"

export type CsvCell = string | number | boolean | null | Date

/** Parses a value; `undefined` if it does not have the type. */
export type ReadCell = (value: string) => CsvCell | undefined

/** An integer that a double holds in any case, without a leading zero: most numbers, in a third of the time. */
const smallInteger = /^(?:0|-?[1-9]\d{0,14})$/

/**
 * A number in canonical form, which survives a round trip: not `1.10`, `1E5`, `007`, nor more digits than a double
 * holds.
 */
export const isPlainNumber = (value: string): boolean =>
  smallInteger.test(value) || (/^-?\d/.test(value) && String(Number(value)) === value)

export const isPlainBoolean = (value: string): boolean => {
  const { length } = value
  return (length === 4 || length === 5) && /^(?:true|false)$/i.test(value)
}

/** The significant digits: without leading and trailing zeros, sign, decimal point and exponent. */
const digits = (value: string): string => value.replace(/[eE].*$|[-+.]/g, "").replace(/^0+|0+$/g, "")

const readNumber = (decimal: "." | ","): ReadCell => {
  const group = decimal === "." ? "," : "."
  const grouped = new RegExp(`^[-+]?\\d{1,3}(?:[${group}'\u2019 \u00a0\u202f]\\d{3})+(?:\\${decimal}\\d*)?$`)
  const plain = new RegExp(`^[-+]?(?:\\d+\\${decimal}?\\d*|\\${decimal}\\d+)(?:[eE][-+]?\\d+)?$`)
  return (value) => {
    const text = value.trim()
    if (!plain.test(text) && !grouped.test(text)) return undefined
    const normal = text.replace(new RegExp(`[${group}'\u2019 \u00a0\u202f]`, "g"), "").replace(decimal, ".")
    const number = Number(normal)
    // A value with more digits would not survive a round trip.
    return Number.isFinite(number) && digits(String(number)) === digits(normal) ? number : undefined
  }
}

/** With the words that Excel writes in other languages. */
const truths: ReadonlySet<string> = new Set(
  [
    "true",
    "t",
    "yes",
    "y",
    "1",
    "wahr",
    "ja",
    "vrai",
    "oui",
    "verdadero",
    "s\u00ed",
    "vero",
    "s\u00ec",
    "waar",
    "verdadeiro"
  ]
)
const falsehoods: ReadonlySet<string> = new Set(
  ["false", "f", "no", "n", "0", "falsch", "nein", "faux", "non", "falso", "onwaar", "nee"]
)

const readBoolean: ReadCell = (value) => {
  const text = value.trim().toLowerCase()
  return truths.has(text) ? true : falsehoods.has(text) ? false : undefined
}

const iso =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,9}))?)?\s?(Z|[-+](?:[01]\d|2[0-3]):?[0-5]\d)?)?$/

const millis = (hours: number, minutes: number, seconds = 0): number => ((hours * 60 + minutes) * 60 + seconds) * 1000

/** The day in UTC, and the time since its beginning in milliseconds. */
const moment = (year: number, month: number, day: number, time: number): Date | undefined => {
  const date = new Date(time)
  date.setUTCFullYear(year, month - 1, day)
  // 31 February is not a date.
  return date.getUTCMonth() === month - 1 ? date : undefined
}

const readIso: ReadCell = (value) => {
  const match = iso.exec(value.trim())
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction, zone] = match
  const time = millis(Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)) +
    Number(`${fraction ?? ""}000`.slice(0, 3))
  const date = moment(Number(year), Number(month), Number(day), time)
  if (date === undefined || zone === undefined || zone === "Z") return date
  const offset = millis(Number(zone.slice(1, 3)), Number(zone.slice(-2)))
  return new Date(zone.startsWith("-") ? date.getTime() + offset : date.getTime() - offset)
}

const tokens: Readonly<Record<string, string>> = {
  YYYY: "(?<YYYY>\\d{4})",
  MM: "(?<MM>\\d{1,2})",
  DD: "(?<DD>\\d{1,2})",
  HH: "(?<HH>[01]?\\d|2[0-3])",
  mm: "(?<mm>[0-5]\\d)",
  ss: "(?<ss>[0-5]\\d)"
}

const readFormat = (format: string): ReadCell => {
  const pattern = new RegExp(
    `^${
      format.replace(
        /YYYY|MM|DD|HH|mm|ss|[^]/g,
        (part) => tokens[part] ?? part.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")
      )
    }$`
  )
  return (value) => {
    const found = pattern.exec(value.trim())?.groups
    return found === undefined ? undefined : moment(
      Number(found["YYYY"]),
      Number(found["MM"] ?? 1),
      Number(found["DD"] ?? 1),
      millis(Number(found["HH"] ?? 0), Number(found["mm"] ?? 0), Number(found["ss"] ?? 0))
    )
  }
}

/** Whether a format uses each date part at most once. */
export const isFormat = (format: string): boolean =>
  format.includes("YYYY") &&
  (format.match(/YYYY|MM|DD|HH|mm|ss/g) ?? []).every((token, i, all) => all.indexOf(token) === i)

const asText: ReadCell = (value) => value

/** The parser for the values of a typed column. */
export const reader = ({ decimal = ".", format, type }: CsvColumn): ReadCell => {
  switch (type) {
    case "number":
      return readNumber(decimal)
    case "boolean":
      return readBoolean
    case "datetime":
      return format === undefined ? readIso : readFormat(format)
    default:
      return asText
  }
}

/** The expectation for the values of a typed column, in words. */
export const expectation = ({ decimal, format, type }: CsvColumn): string => {
  switch (type) {
    case "number":
      return `a number that can be stored exactly${decimal === "," ? ", with a decimal comma" : ""}`
    case "boolean":
      return "true or false, yes or no, 1 or 0"
    case "datetime":
      return format === undefined ? "an ISO 8601 date, with or without a time" : `a date in the format ${format}`
    default:
      return "text"
  }
}
