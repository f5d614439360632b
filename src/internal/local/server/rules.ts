/** Matches faults and filters to requests, and rejects patterns that cannot match. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { RoutePath } from "../../api/groups.ts"
import { distance } from "../../input/findByName.ts"
import { report } from "../state/report.ts"
import type { World } from "../state/state.ts"
import type { Fault } from "./faults.ts"
import type { Route } from "./route.ts"
import { routes } from "./router.ts"

/**
 * A rule or a filter that cannot match any request: its method or path is unknown. The message contains the closest
 * paths. Also the defect of a fault with `required: true` that never occurred.
 *
 * @category errors
 * @since 0.2.0
 */
export class DustTestRuleError extends Data.TaggedError("DustTestRuleError")<{ readonly message: string }> {}

/** A request, as rules match it. */
export interface FaultTarget {
  readonly method: string
  readonly pathname: string
  /** The route's template; `undefined` for an unknown route and for the redirect of an event stream. */
  readonly route: string | undefined
  readonly query: URLSearchParams
  readonly body: unknown
}

/**
 * Paths accepted by rules and filters: those of the SDK's endpoints, and of Local Dust's storage.
 *
 * @category models
 * @since 0.2.0
 */
export type RulePath = RoutePath | "/local-dust-files/{fileId}" | "/local-dust-files/:fileId"

/**
 * A path that is computed at run time, such as one with an id in place of a parameter. If no route of Local Dust
 * matches it, the rule or filter fails with `DustTestRuleError`. For other paths use a RegExp.
 *
 * @category constructors
 * @since 0.2.0
 */
export const path = (text: string): RulePath =>
  // Validated by the rule or filter that uses it.
  text as RulePath

/** Selects requests. */
export interface RequestPattern {
  /** `GET`, `POST`, … Defaults to any method. */
  readonly method?: string | undefined
  /**
   * A path of Dust's API, in the notation of its documentation (`/assistant/conversations/{conversationId}/messages`)
   * or with colons (`:conversationId`), with or without its `/api/v1/w/{workspaceId}`; or a RegExp that is tested
   * against the path. Use `path` for one that is computed at run time.
   */
  readonly path?: RulePath | RegExp | undefined
}

/** Conditions of a fault. Without any, every request is hit. @category models @since 0.1.0 */
export interface FaultRule extends RequestPattern {
  readonly when?: ((request: FaultTarget) => boolean) | undefined
  /** Only the nth matching request (from 1), or several of them. */
  readonly nth?: number | ReadonlyArray<number> | undefined
  /** Only the first matching requests, up to this number. */
  readonly times?: number | undefined
  /** Probability between 0 and 1, decided by the workspace's random seed. */
  readonly probability?: number | undefined
  /**
   * Whether the workspace's scope ends with the defect `DustTestRuleError` if the fault never occurred. Defaults to
   * `false`, which logs a warning.
   */
  readonly required?: boolean | undefined
  readonly fault: Fault
}

export interface ActiveRule {
  readonly rule: FaultRule
  readonly matches: Matcher
  /** The numbers of matching requests and of hits. */
  seen: number
  fired: number
}

type Matcher = (target: Pick<FaultTarget, "method" | "pathname" | "route">) => boolean

const PREFIX = "/api/v1/w/:workspaceId"
const METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"]

const withColons = (path: string): string => path.replace(/\{([^{}/]+)\}/g, ":$1")
const withBraces = (path: string): string => path.replace(/\/[:*]([^/]+)/g, "/{$1}")
const relative = (path: string): string => withBraces(path.startsWith(`${PREFIX}/`) ? path.slice(PREFIX.length) : path)

const isParameter = (segment: string): boolean => segment.startsWith(":") || segment.startsWith("*")

/** Whether the template can match this route. Parameters may have any name; a value may replace a parameter. */
const covers = (template: string, route: string): boolean => {
  const wanted = template.split("/")
  const segments = route.split("/")
  const rest = segments.findIndex((segment) => segment.startsWith("*"))
  if (rest === -1 ? wanted.length !== segments.length : wanted.length < segments.length) return false
  return segments.every((segment, index) =>
    isParameter(segment) ? index === rest || wanted[index] !== "" : wanted[index] === segment
  )
}

const shape = (path: string): string => path.replace(/\/[:*][^/]+/g, "/:")

/** The closest templates, best first. */
const nearest = (template: string, method: string | undefined): ReadonlyArray<string> => {
  const wanted = shape(template.startsWith("/api/") ? template : PREFIX + template)
  const all = new Map<string, number>()
  for (const route of routes) {
    const edits = distance(wanted, shape(route.path)) + (method === undefined || method === route.method ? 0 : 3)
    const name = `${route.method} ${relative(route.path)}`
    if (edits <= 12) all.set(name, Math.min(edits, all.get(name) ?? Infinity))
  }
  return [...all].sort((a, b) => a[1] - b[1]).slice(0, 3).map(([name]) => name)
}

const refused = (message: string) => Either.left(new DustTestRuleError({ message }))

const values = (template: string): ReadonlyArray<readonly [index: number, value: string]> =>
  template.split("/").flatMap((segment, index) => isParameter(segment) ? [] : [[index, segment] as const])

const matchTemplate = (template: string, covered: ReadonlyArray<Route>): Matcher => {
  const known = new Set(covered.map(({ path }) => path))
  const fixed = values(template)
  return ({ pathname, route }) => {
    if (route === undefined || !known.has(route)) return false
    const segments = (pathname.startsWith("/api/sse/") ? `/api/${pathname.slice("/api/sse/".length)}` : pathname).split(
      "/"
    )
    return fixed.every(([index, value]) => segments[index] === value)
  }
}

const compilePath = (path: string, method: string | undefined): Either.Either<Matcher, DustTestRuleError> => {
  const given = withColons(path)
  const direct = given.startsWith("/api/sse/") ? `/api/${given.slice("/api/sse/".length)}` : given
  for (const template of [direct, PREFIX + given]) {
    const covered = routes.filter((route) => covers(template, route.path))
    if (covered.length === 0) continue
    const methods = [...new Set(covered.map((route) => route.method))]
    if (method !== undefined && !methods.some((known) => known === method)) {
      return refused(`there is no ${method} ${path}; that path has ${methods.join(", ")}`)
    }
    const matches = matchTemplate(template, covered)
    return Either.right((target) => target.pathname === path || matches(target))
  }
  const near = nearest(given, method)
  return refused(
    `no route has the path ${path}${near.length === 0 ? "" : `; the nearest: ${near.join(", ")}`}. `
      + "Use a RegExp for a path that Local Dust does not serve"
  )
}

/** A matcher for the pattern. Left: the reason why it cannot match any request. */
export const compile = (pattern: RequestPattern): Either.Either<Matcher, DustTestRuleError> =>
  Either.gen(function*() {
    const method = pattern.method?.toUpperCase()
    if (method !== undefined && !METHODS.includes(method)) {
      const near = METHODS.filter((known) => distance(known, method) <= 2)
      return yield* refused(
        `${pattern.method} is no HTTP method${near.length === 0 ? "" : `; the nearest: ${near.join(", ")}`}`
      )
    }
    const { path } = pattern
    if (path === undefined) return (target) => method === undefined || method === target.method
    if (typeof path === "string") {
      const matches = yield* compilePath(path, method)
      return (target) => (method === undefined || method === target.method) && matches(target)
    }
    const expression = new RegExp(path.source, path.flags.replace(/[gy]/g, ""))
    return (target) => (method === undefined || method === target.method) && expression.test(target.pathname)
  })

/** Activates a rule. A rule that cannot match any request is a defect, so that the test fails early. */
export const activate = (rule: FaultRule): Effect.Effect<ActiveRule> =>
  Either.match(compile(rule), {
    onLeft: ({ message }) => Effect.die(new DustTestRuleError({ message: `A fault cannot occur: ${message}.` })),
    onRight: (matches) => Effect.succeed({ rule, matches, seen: 0, fired: 0 })
  })

/** The first rule that hits. Every matching rule counts the request. */
export const pickFault = (world: World, rules: ReadonlyArray<ActiveRule>, target: FaultTarget): Fault | undefined => {
  let picked: Fault | undefined
  for (const active of rules) {
    const { rule } = active
    if (!active.matches(target) || (rule.when !== undefined && !rule.when(target))) continue
    active.seen++
    if (picked !== undefined) continue
    if (rule.nth !== undefined && !(typeof rule.nth === "number" ? [rule.nth] : rule.nth).includes(active.seen)) {
      continue
    }
    if (rule.times !== undefined && active.seen > rule.times) continue
    if (rule.probability !== undefined && world.random() >= rule.probability) continue
    active.fired++
    picked = rule.fault
  }
  return picked
}

const describe = ({ rule, seen }: ActiveRule): string => {
  const about = [rule.method?.toUpperCase(), rule.path === undefined ? undefined : String(rule.path)]
    .filter((part) => part !== undefined)
  const why = seen === 0
    ? "no request matched"
    : `${seen} matched${rule.nth === undefined ? "" : `, nth is ${String(rule.nth)}`}`
  return `${rule.fault._tag} at ${about.length === 0 ? "any request" : about.join(" ")}${
    rule.when === undefined ? "" : " with a condition"
  } (${why})`
}

/** Reports faults that never occurred, at the end of the workspace. */
export const reportUnused = (all: ReadonlyArray<ActiveRule>): Effect.Effect<void> => {
  const unused = all.filter((active) => active.fired === 0)
  const required = unused.filter(({ rule }) => rule.required === true)
  const doubtful = unused.filter(({ rule }) => rule.required !== true && rule.probability === undefined)
  return Effect.zipRight(
    doubtful.length === 0
      ? Effect.void
      : report(`Local Dust: a scripted fault never occurred: ${doubtful.map(describe).join("; ")}`),
    required.length === 0
      ? Effect.void
      : Effect.die(
        new DustTestRuleError({ message: `A required fault never occurred: ${required.map(describe).join("; ")}.` })
      )
  )
}
