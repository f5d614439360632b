/** Matches a method and a path to a route. */
import * as Option from "effect/Option"
import type { Route } from "./route.ts"

export interface Node {
  readonly literals: Map<string, Node>
  parameter: Node | undefined
  readonly byMethod: Map<
    string,
    { readonly route: Route; readonly names: ReadonlyArray<string>; readonly rest: boolean }
  >
  readonly restByMethod: Map<
    string,
    { readonly route: Route; readonly names: ReadonlyArray<string>; readonly rest: boolean }
  >
}

const emptyNode = (): Node => ({
  literals: new Map(),
  parameter: undefined,
  byMethod: new Map(),
  restByMethod: new Map()
})

export const buildTree = (all: ReadonlyArray<Route>): Node => {
  const root = emptyNode()
  for (const route of all) {
    let node = root
    const names: Array<string> = []
    let rest = false
    for (const segment of route.path.split("/").slice(1)) {
      if (segment.startsWith("*")) {
        names.push(segment.slice(1))
        rest = true
      } else if (segment.startsWith(":")) {
        names.push(segment.slice(1))
        node = node.parameter ??= emptyNode()
      } else {
        const known = node.literals.get(segment) ?? emptyNode()
        node.literals.set(segment, known)
        node = known
      }
    }
    ;(rest ? node.restByMethod : node.byMethod).set(route.method, { route, names, rest })
  }
  return root
}

export interface Match {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

const decodeSegment = (segment: string): string =>
  Option.getOrElse(Option.liftThrowable(() => decodeURIComponent(segment))(), () => segment)

export const find = (root: Node, method: string, pathname: string): Match | undefined => {
  const segments = pathname.split("/").slice(1)
  const walk = (node: Node, at: number, values: ReadonlyArray<string>): Match | undefined => {
    if (at === segments.length) {
      const hit = node.byMethod.get(method)
      return hit === undefined
        ? undefined
        : {
          route: hit.route,
          params: Object.fromEntries(hit.names.map((name, i) => [name, decodeSegment(values[i] ?? "")]))
        }
    }
    const segment = segments[at]!
    const literal = node.literals.get(segment)
    const found = literal === undefined ? undefined : walk(literal, at + 1, values)
    if (found !== undefined) return found
    if (node.parameter !== undefined && segment !== "") {
      const viaParameter = walk(node.parameter, at + 1, [...values, segment])
      if (viaParameter !== undefined) return viaParameter
    }
    const hit = node.restByMethod.get(method)
    if (hit === undefined) return undefined
    const all = [...values, segments.slice(at).join("/")]
    return {
      route: hit.route,
      params: Object.fromEntries(hit.names.map((name, i) => [name, decodeSegment(all[i] ?? "")]))
    }
  }
  return walk(root, 0, [])
}
