/** Matches requests to the exchanges of a tape. */
import * as Data from "effect/Data"
import { leaves } from "./shape.ts"
import type { Exchange, RecordedRequest } from "./tape.ts"

/**
 * A request that is not on the tape. The message includes the nearest recorded request and the first difference.
 *
 * @category errors
 * @since 0.2.0
 */
export class CassetteMissError extends Data.TaggedError("CassetteMissError")<{
  readonly message: string
  readonly request: { readonly method: string; readonly path: string }
  /** The nearest exchange; `undefined` on an empty tape. */
  readonly nearest: Exchange | undefined
  /** Where the two differ, such as `body.message.content`. */
  readonly differences: ReadonlyArray<string>
}> {}

/** The path without the workspace id. */
const placeless = (path: string): string => path.replace(/\/w\/[^/]+/, "/w/*")

interface Comparable {
  readonly method: string
  readonly path: string
  readonly content: ReadonlyMap<string, string>
}

const contentOf = ({ body, query }: RecordedRequest, ignored: ReadonlySet<string>): ReadonlyMap<string, string> => {
  const content = body === undefined
    ? undefined
    : "json" in body
    ? body.json
    : body
  const all = [...leaves(query, "query"), ...leaves(content, "body")]
  return new Map(all.filter(([path]) => !path.split(".").some((name) => ignored.has(name))))
}

const comparable = (request: RecordedRequest, ignored: ReadonlySet<string>): Comparable => ({
  method: request.method,
  path: placeless(request.path),
  content: contentOf(request, ignored)
})

const differing = (a: Comparable, b: Comparable): ReadonlyArray<string> =>
  [...new Set([...a.content.keys(), ...b.content.keys()])].filter((path) => a.content.get(path) !== b.content.get(path))

const isSame = (a: Comparable, b: Comparable): boolean =>
  a.method === b.method && a.path === b.path && differing(a, b).length === 0

/** The distance between two requests: the path weighs most, then the method, then the body. */
const distance = (a: Comparable, b: Comparable): number => {
  const [one, two] = [a.path.split("/"), b.path.split("/")]
  let segments = 0
  for (let i = 0; i < Math.max(one.length, two.length); i++) if (one[i] !== two[i]) segments++
  return segments * 20 + (a.method === b.method ? 0 : 15) + Math.min(differing(a, b).length, 10)
}

const short = (value: string | undefined): string =>
  value === undefined ? "nothing" : value.length > 60 ? `${value.slice(0, 60)}…` : value

const difference = (asked: Comparable, taped: Comparable, path: string): string =>
  `${path} is ${short(asked.content.get(path))}, recorded ${short(taped.content.get(path))}`

export interface Matching {
  /** Names of query and body fields to ignore. */
  readonly ignore: ReadonlyArray<string>
  /** Which exchanges are replayed again after all matching ones have been played. */
  readonly repeats: "reads" | "all" | "none"
}

interface Candidate {
  readonly exchange: Exchange
  readonly comparable: Comparable
}

/** The exchanges of a tape, each to be played once and in order. */
export class Deck {
  readonly #candidates: ReadonlyArray<Candidate>
  readonly #ignored: ReadonlySet<string>
  readonly #repeats: Matching["repeats"]
  readonly #played = new Set<Exchange>()

  constructor(exchanges: ReadonlyArray<Exchange>, { ignore, repeats }: Matching) {
    this.#ignored = new Set(ignore)
    this.#repeats = repeats
    this.#candidates = exchanges.map((exchange) => ({
      exchange,
      comparable: comparable(exchange.request, this.#ignored)
    }))
  }

  get unplayed(): ReadonlyArray<Exchange> {
    return this.#candidates.map(({ exchange }) => exchange).filter((exchange) => !this.#played.has(exchange))
  }

  next(request: RecordedRequest): Exchange | CassetteMissError {
    const asked = comparable(request, this.#ignored)
    const same = this.#candidates.filter((one) => isSame(one.comparable, asked))
    const fresh = same.filter(({ exchange }) => !this.#played.has(exchange))
    // The workspace's own first, where a tape has several.
    const found = fresh.find(({ exchange }) => exchange.request.path === request.path) ?? fresh[0] ?? this.#again(same)
    if (found === undefined) return this.#miss(request, asked, same)
    this.#played.add(found.exchange)
    return found.exchange
  }

  #again(same: ReadonlyArray<Candidate>): Candidate | undefined {
    const last = same.at(-1)
    const isRead = last?.comparable.method === "GET"
    return this.#repeats === "all" || (this.#repeats === "reads" && isRead) ? last : undefined
  }

  #miss(request: RecordedRequest, asked: Comparable, same: ReadonlyArray<Candidate>): CassetteMissError {
    const { method, path } = request
    const begin = `The tape has no response to ${method} ${path}`
    if (same.length > 0) {
      return new CassetteMissError({
        message: `${begin}: it was recorded ${
          same.length === 1 ? "once" : `${same.length} times`
        } and was requested once more`,
        request: { method, path },
        nearest: same.at(-1)!.exchange,
        differences: []
      })
    }
    const nearest = this.#candidates.reduce<{ readonly one: Candidate; readonly far: number } | undefined>(
      (best, one) => {
        const far = distance(one.comparable, asked)
        return best === undefined || far < best.far ? { one, far } : best
      },
      undefined
    )?.one
    if (nearest === undefined) {
      return new CassetteMissError({
        message: `${begin}: it is empty`,
        request: { method, path },
        nearest: undefined,
        differences: []
      })
    }
    const paths = differing(asked, nearest.comparable)
    const shown = paths.slice(0, 5).map((one) => difference(asked, nearest.comparable, one))
    if (paths.length > shown.length) shown.push(`and ${paths.length - shown.length} more`)
    const taped = nearest.exchange.request
    return new CassetteMissError({
      message: `${begin}; the nearest is number ${nearest.exchange.number}, ${taped.method} ${taped.path}${
        shown.length === 0 ? "" : `: ${shown.join("; ")}`
      }`,
      request: { method, path },
      nearest: nearest.exchange,
      differences: paths
    })
  }
}
