/** Patterns of requests: methods and paths. Rejects patterns that cannot match any request. */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { RoutePath } from "../../api/groups.ts"
import { distance } from "../../input/findByName.ts"
import { routes } from "./router.ts"

/**
 * A rule or a filter that cannot match any request, such as one with an unknown method or path, or that is used after the
 * end of the workspace. The message contains the closest names. Also the defect of a fault with `required: true` that never
 * occurred.
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

/** Which requests a pattern selects, to compare two of them. */
interface Coverage {
  readonly method: string | undefined
  /** The known routes; `undefined` for every path. A RegExp covers what the same RegExp covers. */
  readonly routes: ReadonlySet<string> | undefined
  readonly expression: string | undefined
  readonly fixed: ReadonlyMap<number, string>
}

/** A compiled pattern. */
export interface Pattern {
  readonly matches: (target: Pick<FaultTarget, "method" | "pathname" | "route">) => boolean
  readonly coverage: Coverage
}

/** Whether every request that `b` selects is selected by `a`, too. */
export const includes = ({ coverage: a }: Pattern, { coverage: b }: Pattern): boolean => {
  if (a.method !== undefined && a.method !== b.method) return false
  if (a.expression !== undefined || b.expression !== undefined) {
    return a.routes === undefined && (a.expression === undefined || a.expression === b.expression)
  }
  if (a.routes === undefined) return true
  if (b.routes === undefined) return false
  return [...b.routes].every((route) => a.routes?.has(route) === true)
    && [...a.fixed].every(([index, value]) => b.fixed.get(index) === value)
}

const decoded = (segment: string): string =>
  Option.getOrElse(Option.liftThrowable(() => decodeURIComponent(segment))(), () => segment)

const withoutStream = (path: string): string =>
  path.startsWith("/api/sse/") ? `/api/${path.slice("/api/sse/".length)}` : path

/** Segments in a notation that paths do not have, and values that a template literal left by mistake. */
const mistaken = (segment: string): string | undefined => {
  const name = segment.replace(/[^\w]/g, "") || "name"
  if (/^(?:undefined|null|NaN|\[object \w+\])$/.test(segment)) return `it contains ${segment}, which is not an id`
  if (segment === "*" || segment === "**" || /^[<[({$]|[>\])}]$/.test(segment)) {
    return `a parameter is written {${name}} or :${name}, not ${segment}`
  }
  return undefined
}

const mistakeIn = (path: string, given: string): string | undefined => {
  if (/^https?:/i.test(path)) return "a path starts with /, without the origin"
  if (!path.startsWith("/")) return "a path starts with /"
  if (/[?#]/.test(path)) return "a path has no query; test it in a condition"
  for (const segment of given.split("/")) {
    const problem = segment.startsWith("*") && segment.length > 1 ? undefined : mistaken(segment)
    if (problem !== undefined) return problem
  }
  return undefined
}

const compilePath = (
  path: string,
  method: string | undefined
): Either.Either<Omit<Coverage, "method">, DustTestRuleError> => {
  const given = withColons(path)
  const direct = withoutStream(given)
  const near = nearest(given.replace(/^https?:\/\/[^/]*/i, "").replace(/[?#].*$/, "").replace(/^(?=[^/])/, "/"), method)
  const close = near.length === 0 ? "" : `; similar: ${near.join(", ")}`
  const mistake = mistakeIn(path, given)
  if (mistake !== undefined) return refused(`the path ${path} cannot match: ${mistake}${close}`)
  for (const template of [direct, PREFIX + given]) {
    const covered = routes.filter((route) => covers(template, route.path))
    if (covered.length === 0) continue
    const methods = [...new Set(covered.map((route) => route.method))]
    if (method !== undefined && !methods.some((known) => known === method)) {
      return refused(`there is no ${method} ${path}; that path has ${methods.join(", ")}`)
    }
    return Either.right({
      routes: new Set(covered.map((route) => route.path)),
      expression: undefined,
      fixed: new Map(values(template).map(([index, value]) => [index, decoded(value)]))
    })
  }
  return refused(`no route has the path ${path}${close}. Use a RegExp for a path that Local Dust does not serve`)
}

const everything: Omit<Coverage, "method"> = { routes: undefined, expression: undefined, fixed: new Map() }

const matcher = (
  { expression, fixed, method, routes }: Coverage,
  path: RequestPattern["path"]
): Pattern["matches"] => {
  const isMethod = (target: { readonly method: string }) => method === undefined || method === target.method
  if (expression !== undefined && path instanceof RegExp) {
    // Without the flags that give a RegExp a memory.
    const pure = new RegExp(path.source, path.flags.replace(/[gy]/g, ""))
    return (target) => isMethod(target) && pure.test(target.pathname)
  }
  if (routes === undefined) return isMethod
  return (target) => {
    if (!isMethod(target)) return false
    if (target.pathname === path) return true
    if (target.route === undefined || !routes.has(target.route)) return false
    const segments = withoutStream(target.pathname).split("/")
    return [...fixed].every(([index, value]) => decoded(segments[index] ?? "") === value)
  }
}

/** Compiles a pattern. Left: the reason why it cannot match any request. */
export const compile = (pattern: RequestPattern): Either.Either<Pattern, DustTestRuleError> =>
  Either.gen(function*() {
    const method = pattern.method?.toUpperCase()
    if (method !== undefined && !METHODS.includes(method)) {
      const near = METHODS.filter((known) => distance(known, method) <= 2)
      return yield* refused(
        `${pattern.method} is not an HTTP method${near.length === 0 ? "" : `; similar: ${near.join(", ")}`}`
      )
    }
    const { path } = pattern
    const place = path === undefined
      ? everything
      : typeof path === "string"
      ? yield* compilePath(path, method)
      : { ...everything, expression: String(path) }
    const coverage = { method, ...place }
    return { matches: matcher(coverage, path), coverage }
  })
