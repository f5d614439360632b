/** The handle's functions for requests and faults. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Fault } from "../server/faults.ts"
import { compile, DustTestRuleError } from "../server/patterns.ts"
import type { Handler, SeenRequest } from "../server/pipeline.ts"
import { activate, type ActiveRule, decide, type FaultRule, pathCheck } from "../server/rules.ts"
import { fn, isRecord, object, oneOf, text, wholeFrom } from "./check.ts"
import { type Control, DustTestNotFoundError, type RequestFilter } from "./control.ts"
import { alive } from "./ended.ts"
import { renderRequests } from "./snapshot.ts"
import type { World } from "./state.ts"
import { awaiting } from "./waiting.ts"

const filterCheck = object<RequestFilter>({}, {
  method: text,
  path: pathCheck,
  status: wholeFrom(100),
  outcome: oneOf("open", "complete", "aborted", "reset"),
  where: fn
})

const useless = (why: string) =>
  Effect.die(new DustTestRuleError({ message: `A filter cannot select anything: ${why}.` }))

/** The predicate of a filter; a filter that cannot match any request is a defect. */
const selector = (filter: RequestFilter | undefined): Effect.Effect<(request: SeenRequest) => boolean> => {
  if (filter === undefined) return Effect.succeed(() => true)
  const problem = filterCheck(filter, "")
  if (problem !== undefined) return useless(problem.trim())
  return Either.match(compile(filter), {
    onLeft: ({ message }) => useless(message),
    onRight: ({ matches }) =>
      Effect.succeed((request) =>
        matches({ method: request.method, pathname: request.path, route: request.route })
        && (filter.status === undefined || filter.status === request.status)
        && (filter.outcome === undefined || filter.outcome === request.outcome)
        && (filter.where === undefined || decide(filter.where, request, "The condition of a filter"))
      )
  })
}

const isFault = (rule: FaultRule | Fault): rule is Fault => isRecord(rule) && "_tag" in rule

const inWords = (filter: RequestFilter | ((request: SeenRequest) => boolean)): string =>
  typeof filter === "function"
    ? " that a condition accepts"
    : [
      filter.method,
      filter.path,
      filter.status,
      filter.outcome,
      filter.where === undefined ? undefined : "with a condition"
    ]
      .filter((part) => part !== undefined).map((part) => ` ${String(part)}`).join("")

const isOpen = (request: SeenRequest) => request.outcome === "open"

const attempt = <A>(look: () => A): Exit.Exit<A> => {
  try {
    return Exit.succeed(look())
  } catch (cause) {
    return Exit.die(cause)
  }
}

/** Waits until a request in the log matches. */
const until = <A>(world: World, handler: Handler, what: string, look: () => A | undefined): Effect.Effect<A> =>
  Effect.suspend(() => {
    const now = look()
    if (now !== undefined) return Effect.succeed(now)
    const found = Effect.async<A>((resume) => {
      const listener = () => {
        // A condition that throws fails the wait, not the request.
        const result = attempt(look)
        if (Exit.isSuccess(result) && result.value === undefined) return
        handler.listeners.delete(listener)
        resume(Exit.map(result, (value) => value!))
      }
      handler.listeners.add(listener)
      return Effect.sync(() => handler.listeners.delete(listener))
    })
    return awaiting(world, what, found)
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
          ? Effect.fail(new DustTestNotFoundError({ message: "Local Dust has received no such request" }))
          : Effect.succeed(last)
      }),
    waitForRequest: (filter) =>
      Effect.flatMap(
        alive(world, "waitForRequest", typeof filter === "function" ? Effect.succeed(filter) : selector(filter)),
        (matches) =>
          until(world, handler, `a request${inWords(filter)}`, () => {
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
    allClosed: Effect.asVoid(
      until(world, handler, "all connections to be closed", () => handler.log().some(isOpen) ? undefined : true)
    )
  }
}

/** `scripted` keeps every rule until the end, including removed ones. */
export const faultControl = (
  world: World,
  handler: Handler,
  scripted: Array<ActiveRule>
): Pick<Control, "fault" | "clearFaults"> => ({
  fault: (rule) =>
    alive(
      world,
      "fault",
      Effect.map(Effect.suspend(() => activate(isFault(rule) ? { fault: rule } : rule, handler.rules)), (active) => {
        handler.rules.push(active)
        scripted.push(active)
      })
    ),
  clearFaults: Effect.sync(() => {
    handler.rules.length = 0
  })
})
