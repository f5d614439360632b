/** Methods from declarations, and services from methods. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { RequestError } from "../../DustAPIError.ts"
import { DustClient } from "../../DustClient.ts"
import { fieldsOf } from "../decode/fields.ts"
import { encodeBody } from "../input/encode.ts"
import { isDirect, withCallSites } from "../request/callSite.ts"
import {
  type AnyEndpoint,
  type Calls,
  type Group,
  mapMembers,
  type Members,
  type Methods,
  operationOf,
  type Operations,
  operationsOf,
  type ServiceName
} from "./endpoint.ts"
import type * as Operation from "./operation.ts"

type Client = Context.Tag.Service<DustClient>
type AnyOperation = Operation.Operation<string, unknown, unknown>
type Values = Readonly<Record<string, unknown>>

const pick = (from: Values, names: ReadonlyArray<string>): Values => {
  const out: Record<string, unknown> = {}
  for (const name of names) if (name in from) out[name] = from[name]
  return out
}

const omit = (from: Values, names: ReadonlyArray<string>): Values => {
  const out: Record<string, unknown> = {}
  for (const name of Object.keys(from)) if (!names.includes(name)) out[name] = from[name]
  return out
}

/** How the one argument of a method is divided among path, query and body. */
const planOf = (endpoint: AnyEndpoint) => {
  const path = [...endpoint.path.matchAll(/\{([^}]+)\}/g)].flatMap(([, name]) =>
    name === undefined || name === "workspaceId" ? [] : [name]
  )
  const query = fieldsOf(endpoint.settings.query) ?? []
  const body = fieldsOf(endpoint.settings.body)
  const all = body === undefined ? undefined : [...path.map((name) => ({ name, isOptional: false })), ...query, ...body]
  const [first, ...rest] = all ?? []
  return {
    path,
    query: query.map(({ name }) => name),
    /** What the body has not. */
    besides: [...path, ...query.map(({ name }) => name)],
    /** The name of the value that is the whole argument. */
    single: first !== undefined && rest.length === 0 && !first.isOptional ? first.name : undefined
  }
}

/** The method of one endpoint. */
const methodOf = (client: Client, operation: AnyOperation, endpoint: AnyEndpoint) => {
  const { settings } = endpoint
  const plan = planOf(endpoint)
  const encodeQuery = settings.query === undefined ? undefined : encodeBody(operation, settings.query)
  const { constant } = settings
  return isDirect((argument?: unknown): Effect.Effect<unknown, RequestError> => {
    // The types of the methods decide which of the two it is.
    const values = plan.single === undefined ? (argument ?? {}) as Values : { [plan.single]: argument }
    const query = encodeQuery?.(pick(values, plan.query))
    if (query !== undefined && Either.isLeft(query)) return Effect.fail(query.left)
    const input = {
      path: pick(values, plan.path),
      query: query === undefined ? constant : { ...query.right as Values, ...constant },
      body: settings.body === undefined ? undefined : omit(values, plan.besides)
    }
    // The template determines the path values, and `Options` accepts only schemas that encode to a query.
    const answer = client.execute(operation, input as unknown as Operation.Input<string, unknown>)
    const { pick: part } = settings
    // The answer is what `response` decodes, which `pick` takes; the types of settings are erased.
    return part === undefined ? answer : Effect.map(answer, (all) => part(all as never))
  })
}

/** What a method that is written by hand stands on. */
export interface Tools<G> {
  readonly client: Client
  /** The declared endpoints as methods; those of methods written by hand one level deeper. */
  readonly call: Calls<G>
  /** The declared endpoints as operations. */
  readonly operation: Operations<G>
}

/** The tag of a service, whose key ends in the name of the group. */
interface TagOf<Name extends string, I, S> extends Context.Tag<I, S> {
  readonly key: `effect-dust/${Name}`
}

/**
 * Makes the service of a group: the methods that the declarations describe, and those that are written by hand. Whatever the
 * service has and neither gives does not compile, and neither does a declaration that the service does not have.
 */
export const implement = <
  I,
  S extends Methods<Group<Name, M>> & { readonly [K in keyof M]: unknown },
  const Name extends ServiceName,
  M extends Members
>(
  tag: TagOf<Name, I, S>,
  group: Group<Name, M>,
  written: (tools: Tools<Group<Name, M>>) => Omit<S, keyof Methods<Group<Name, M>>>
): Effect.Effect<S, never, DustClient> =>
  Effect.map(DustClient, (client) => {
    const operation = operationsOf(group)
    const call = mapMembers(group, (name, endpoint) => methodOf(client, operationOf(name, endpoint), endpoint))
    const thin = Object.fromEntries(Object.entries(call).filter(([name]) => group.members[name]?._tag === "Endpoint"))
    // The types of declared endpoints exist for the compiler only; the keys are those of the group.
    const tools = { client, call, operation } as unknown as Tools<Group<Name, M>>
    return tag.of(withCallSites({ ...thin, ...written(tools) } as S))
  })
