/** Routes of Local Dust for the endpoints that the SDK declares. */
import {
  colons,
  type Group,
  type Handlers,
  type Members,
  route as routeOf,
  type RouteName,
  type ServiceName
} from "../../api/endpoint.ts"
import type { Route } from "./route.ts"

/** The access rule and the handler of an endpoint. */
export type Answer = Omit<Route, "method" | "path">

/** Handlers for some endpoints of a group, when they are spread over several files. */
export type Answers<G> = Partial<Handlers<G, Answer>>

/**
 * The routes of a group. The compiler requires exactly one handler for each of its endpoints, so Local Dust answers
 * every request that the SDK can send. Routes that the group shares with the `others` are defined there.
 */
export const routesOf = <
  const Name extends ServiceName,
  M extends Members,
  const Others extends ReadonlyArray<Group<ServiceName, Members>> = []
>(_group: Group<Name, M>, ..._others: Others) =>
(
  handlers: Omit<Handlers<Group<Name, M>, Answer>, RouteName<Others[number]>>
): ReadonlyArray<Route> =>
  Object.entries<Answer>(handlers).map(([name, answer]) => {
    const [method, path] = name.split(" ")
    // Handlers are named by method and path, as in the group; `{rel}` matches the remainder of the path.
    return { ...answer, method: method as Route["method"], path: colons(routeOf(path ?? "")).replace(":rel", "*rel") }
  })
