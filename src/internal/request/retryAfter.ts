import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const day = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
const month = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
const time = "\\d\\d:\\d\\d:\\d\\d"
/** The three forms of an HTTP date. `Date.parse` alone accepts `in 5` as a day in May. */
const httpDate = `${day}, \\d\\d ${month} \\d{4} ${time} GMT` +
  `|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \\d\\d-${month}-\\d\\d ${time} GMT` +
  `|${day} ${month} [ \\d]\\d ${time} \\d{4}`
const seconds = "\\d+(?:\\.\\d+)?"
const oneValue = new RegExp(`^\\s*(${seconds}|${httpDate})\\s*(?:,|$)`)

/** Longer than anyone waits, and finite: an error goes through JSON. */
const ever = 1e13

const dateOf = (text: string): number => Date.parse(text.endsWith("GMT") ? text : `${text} GMT`)

/**
 * The delay that a response requests: seconds, possibly with a fraction, or an HTTP date. A date is compared with the
 * date of the same response, because the clocks of two machines differ. If both the origin and a proxy send one, the
 * longest applies.
 */
export const retryAfter = (
  headers: Readonly<Record<string, string | undefined>>,
  now: number
): Option.Option<Duration.Duration> => {
  const serverNow = Date.parse(headers["date"] ?? "")
  const age = Number(headers["age"] ?? "0")
  // A cached response carries the date of the original one.
  const from = Number.isNaN(serverNow) ? now : serverNow + (age > 0 ? age * 1_000 : 0)
  let rest = headers["retry-after"] ?? ""
  let longest: number | undefined
  while (rest.trim() !== "") {
    const match = oneValue.exec(rest)
    if (match?.[1] === undefined) break
    rest = rest.slice(match[0].length)
    const millis = /^\d/.test(match[1]) ? Number(match[1]) * 1000 : Math.max(0, dateOf(match[1]) - from)
    if (!Number.isNaN(millis)) longest = Math.max(longest ?? 0, millis)
  }
  return Option.map(Option.fromNullable(longest), (millis) => Duration.millis(Math.min(millis, ever)))
}
