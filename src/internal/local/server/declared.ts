/** Local Dust's routes for the endpoints that the SDK declares. */
import {
  colons,
  type Group,
  type Handlers,
  type Members,
  route as routeOf,
  type ServiceName
} from "../../api/endpoint.ts"
import type { Route } from "./route.ts"

/** What Local Dust does for one endpoint: who may call it, and the handler. */
export type Answer = Omit<Route, "method" | "path">

/**
 * The routes of a group. A handler for each of its endpoints is demanded by the compiler, and no other is accepted: what
 * the SDK can send, Local Dust answers.
 */
export const routesOf = <const Name extends ServiceName, M extends Members>(_group: Group<Name, M>) =>
(
  handlers: Handlers<Group<Name, M>, Answer>
): ReadonlyArray<Route> =>
  Object.entries<Answer>(handlers).map(([name, answer]) => {
    const [method, path] = name.split(" ")
    // The names of handlers are those of the group: a method and a path, of which `{rel}` takes the rest.
    return { ...answer, method: method as Route["method"], path: colons(routeOf(path ?? "")).replace(":rel", "*rel") }
  })
