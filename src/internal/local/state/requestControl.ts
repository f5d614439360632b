/** The handle's functions for requests and faults. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Fault } from "../server/faults.ts"
import type { Handler, SeenRequest } from "../server/pipeline.ts"
import { activate, type ActiveRule, compile, DustTestRuleError, type FaultRule } from "../server/rules.ts"
import { type Control, DustTestNotFoundError, type RequestFilter } from "./control.ts"
import { renderRequests } from "./snapshot.ts"
import type { World } from "./state.ts"

/** The predicate of a filter; a filter that cannot match any request is a defect. */
const selector = (filter: RequestFilter | undefined): Effect.Effect<(request: SeenRequest) => boolean> => {
  if (filter === undefined) return Effect.succeed(() => true)
  return Either.match(compile(filter), {
    onLeft: ({ message }) =>
      Effect.die(new DustTestRuleError({ message: `A filter cannot select anything: ${message}.` })),
    onRight: (matches) =>
      Effect.succeed((request) =>
        matches({ method: request.method, pathname: request.path, route: request.route })
        && (filter.status === undefined || filter.status === request.status)
        && (filter.outcome === undefined || filter.outcome === request.outcome)
        && (filter.where === undefined || filter.where(request))
      )
  })
}

const isFault = (rule: FaultRule | Fault): rule is Fault => "_tag" in rule

const isOpen = (request: SeenRequest) => request.outcome === "open"

/** Waits until a request in the log matches. */
const until = <A>(handler: Handler, look: () => A | undefined): Effect.Effect<A> =>
  Effect.suspend(() => {
    const now = look()
    if (now !== undefined) return Effect.succeed(now)
    return Effect.async<A>((resume) => {
      const listener = () => {
        const found = look()
        if (found === undefined) return
        handler.listeners.delete(listener)
        resume(Effect.succeed(found))
      }
      handler.listeners.add(listener)
      return Effect.sync(() => handler.listeners.delete(listener))
    })
  })

export const requestControl = (
  world: World,
  handler: Handler
): Pick<
  Control,
  | "requests"
  | "countRequests"
  | "lastRequest"
  | "waitForRequest"
  | "snapshot"
  | "clearRequests"
  | "openConnections"
  | "openStreams"
  | "allClosed"
> => {
  const requests = (filter?: RequestFilter) =>
    Effect.map(selector(filter), (matches) => handler.log().filter(matches).map((request) => ({ ...request })))

  return {
    requests,
    countRequests: (filter) => Effect.map(requests(filter), (found) => found.length),
    lastRequest: (filter) =>
      Effect.flatMap(requests(filter), (found) => {
        const last = found[found.length - 1]
        return last === undefined
          ? Effect.fail(new DustTestNotFoundError({ message: "Local Dust has seen no such request" }))
          : Effect.succeed(last)
      }),
    waitForRequest: (filter) =>
      Effect.flatMap(
        typeof filter === "function" ? Effect.succeed(filter) : selector(filter),
        (matches) =>
          until(handler, () => {
            const found = handler.log().find(matches)
            return found === undefined ? undefined : { ...found }
          })
      ),
    snapshot: (filter) => Effect.map(requests(filter), (found) => renderRequests(world, found)),
    clearRequests: Effect.sync(() => handler.clearLog()),
    openConnections: Effect.sync(() => handler.log().filter(isOpen).map((request) => ({ ...request }))),
    openStreams: Effect.sync(() =>
      handler.log().filter((request) => isOpen(request) && request.status !== undefined).length
    ),
    allClosed: Effect.asVoid(until(handler, () => handler.log().some(isOpen) ? undefined : true))
  }
}

/** `scripted` keeps every rule until the end, including removed ones. */
export const faultControl = (
  handler: Handler,
  scripted: Array<ActiveRule>
): Pick<Control, "fault" | "clearFaults"> => ({
  fault: (rule) =>
    Effect.map(activate(isFault(rule) ? { fault: rule } : rule), (active) => {
      handler.rules.push(active)
      scripted.push(active)
    }),
  clearFaults: Effect.sync(() => {
    handler.rules.length = 0
  })
})
