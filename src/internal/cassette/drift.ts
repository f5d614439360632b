/** Finds differences between a recording and Local Dust. */
import * as Effect from "effect/Effect"
import { buildTree, find } from "../local/server/match.ts"
import { routes } from "../local/server/router.ts"
import type { Answer } from "./answer.ts"
import { Identities } from "./identities.ts"
import { answerOf, type Local, recordedAnswer, requestOf } from "./resend.ts"
import { differences, shapeOf } from "./shape.ts"
import type { Exchange, Tape } from "./tape.ts"

/**
 * One difference between a recording and Local Dust.
 *
 * @category models
 * @since 0.2.0
 */
export interface Difference {
  /** The method and the template of the route. */
  readonly route: string
  /** `status`, a field such as `body.conversation.title`, or an event such as `events.agent_error`. */
  readonly where: string
  readonly recorded: string
  readonly local: string
  /** The exchanges of the tape with this difference. */
  readonly exchanges: ReadonlyArray<number>
}

/**
 * The result of comparing a recording with Local Dust.
 *
 * @category models
 * @since 0.2.0
 */
export interface DriftReport {
  /** How many exchanges were compared. */
  readonly compared: number
  readonly differences: ReadonlyArray<Difference>
  /** The exchanges that could not be compared, with the reason. */
  readonly skipped: ReadonlyArray<{ readonly exchange: number; readonly reason: string }>
}

type Found = Omit<Difference, "route" | "exchanges">

const tree = buildTree(routes)

const routeOf = ({ request: { method, path } }: Exchange): string | undefined => {
  const canonical = path.startsWith("/api/sse/") ? `/api/${path.slice("/api/sse/".length)}` : path
  const route = find(tree, method, canonical)?.route
  return route === undefined ? undefined : `${route.method} ${route.path}`
}

const bodiesDiffer = (recorded: Answer, local: Answer): ReadonlyArray<Found> => {
  const [one, two] = [recorded.body, local.body]
  if (one === undefined || two === undefined) return []
  if (one._tag !== two._tag) return [{ where: "body", recorded: one._tag, local: two._tag }]
  if (one._tag === "json" && two._tag === "json") {
    return differences(shapeOf(one.value), shapeOf(two.value)).map(({ path, ...rest }) => ({
      where: path === "" ? "body" : `body.${path}`,
      ...rest
    }))
  }
  if (one._tag !== "events" || two._tag !== "events") return []
  const found: Array<Found> = []
  for (const kind of new Set([...one.kinds.keys(), ...two.kinds.keys()])) {
    const [seen, sent] = [one.kinds.get(kind), two.kinds.get(kind)]
    const where = `events.${kind}`
    if (seen === undefined) {
      // A client that disconnected early did not receive every event.
      if (one.isWhole) found.push({ where, recorded: "never sent", local: "sent" })
    } else if (sent === undefined) found.push({ where, recorded: "sent", local: "never sent" })
    else {
      for (const { path, ...rest } of differences(shapeOf(seen), shapeOf(sent))) {
        // Its members are the events of this kind.
        found.push({ where: path.replace(/^\*\.?/, `${where}.`).replace(/\.$/, ""), ...rest })
      }
    }
  }
  return found
}

const compare = (recorded: Answer, local: Answer): ReadonlyArray<Found> =>
  recorded.status !== local.status
    ? [{ where: "status", recorded: describe(recorded), local: describe(local) }]
    : bodiesDiffer(recorded, local)

const describe = ({ body, status }: Answer): string => {
  const error = body?._tag === "json" && typeof body.value === "object" && body.value !== null && "error" in body.value
    ? body.value.error
    : undefined
  return typeof error === "object" && error !== null && "type" in error
    ? `${status} ${String(error.type)}`
    : `${status}`
}

export interface Comparing {
  readonly local: Local
  /** Prefixes of fields to exclude from the comparison. */
  readonly ignore: ReadonlyArray<string>
}

export const compareTape = (tape: Tape, { ignore, local }: Comparing): Effect.Effect<DriftReport> =>
  Effect.gen(function*() {
    const identities = new Identities()
    const skipped: Array<DriftReport["skipped"][number]> = []
    const found = new Map<string, Difference & { readonly exchanges: Array<number> }>()
    let compared = 0
    const note = (exchange: Exchange, route: string, one: Found) => {
      if (ignore.some((prefix) => one.where === prefix || one.where.startsWith(`${prefix}.`))) return
      const key = JSON.stringify([route, one])
      const known = found.get(key) ?? { route, ...one, exchanges: [] }
      known.exchanges.push(exchange.number)
      found.set(key, known)
    }
    for (const exchange of tape.exchanges) {
      const skip = (reason: string) => skipped.push({ exchange: exchange.number, reason })
      const request = requestOf(exchange, identities, local)
      const recorded = recordedAnswer(exchange)
      if (recorded === undefined) {
        skip("it has no answer")
        continue
      }
      if (typeof request === "string") {
        skip(request)
        continue
      }
      compared++
      const route = routeOf(exchange)
      if (route === undefined && request.isApi) {
        note(exchange, `${exchange.request.method} ${exchange.request.path}`, {
          where: "route",
          recorded: describe(recorded),
          local: "no such route"
        })
        continue
      }
      const answer = yield* answerOf(request.request, local, recorded)
      identities.learn(recorded, answer)
      for (const one of compare(recorded, answer)) {
        note(exchange, route ?? `${exchange.request.method} ${exchange.request.path}`, one)
      }
    }
    return { compared, differences: [...found.values()], skipped }
  })

export const formatReport = ({ compared, differences: all, skipped }: DriftReport): string => {
  const lines = [
    `${compared} ${compared === 1 ? "exchange" : "exchanges"} compared, ${all.length} ${
      all.length === 1 ? "difference" : "differences"
    }`
  ]
  for (const route of new Set(all.map((one) => one.route))) {
    lines.push("", route)
    for (const one of all.filter((each) => each.route === route)) {
      const numbers = one.exchanges.length > 5
        ? `${one.exchanges.slice(0, 5).join(", ")}, …`
        : one.exchanges.join(", ")
      lines.push(`  ${one.where}: recorded ${one.recorded}, Local Dust ${one.local} (number ${numbers})`)
    }
  }
  if (skipped.length > 0) {
    lines.push("", "not compared")
    for (const { exchange, reason } of skipped) lines.push(`  number ${exchange}: ${reason}`)
  }
  return lines.join("\n")
}
