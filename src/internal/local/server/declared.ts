/** Local Dust's routes for the endpoints that the SDK declares. */
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

/** What Local Dust does for one endpoint: who may call it, and the handler. */
export type Answer = Omit<Route, "method" | "path">

/** Handlers of some endpoints of a group, where they are in several files. */
export type Answers<G> = Partial<Handlers<G, Answer>>

/**
 * The routes of a group. A handler for each of its endpoints is demanded by the compiler, and no other is accepted: what
 * the SDK can send, Local Dust answers. Routes that the group shares with the `others` are left to those.
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
    // The names of handlers are those of the group: a method and a path, of which `{rel}` takes the rest.
    return { ...answer, method: method as Route["method"], path: colons(routeOf(path ?? "")).replace(":rel", "*rel") }
  })
