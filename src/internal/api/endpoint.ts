/**
 * Endpoints as data. A group declares each endpoint of a service once; from it come the method and its type, its name in
 * errors, spans and metrics, its row in the coverage table, the templates that `DustTest` rules accept, and the routes that
 * Local Dust must answer.
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import type { RequestError } from "../../DustAPIError.ts"
import type * as Ids from "../../Ids.ts"
import * as Operation from "./operation.ts"

/** The services of the SDK that declare endpoints. */
export type ServiceName =
  | "Agents"
  | "Apps"
  | "Conversations"
  | "DataSources"
  | "DataSourceViews"
  | "Files"
  | "McpServers"
  | "Mentions"
  | "Search"
  | "Skills"
  | "Spaces"
  | "Triggers"
  | "Workspace"

/**
 * One endpoint: method, path template, and what else a call of it needs. A path is relative to `/api/v1/w/{workspaceId}`,
 * unless it starts with `/api/`. The type parameters past the path exist for the compiler only.
 */
export interface Endpoint<
  out Http extends Operation.HttpMethod,
  out Path extends string,
  out Query,
  out Body,
  out A,
  out Out
> {
  readonly _tag: "Endpoint"
  readonly http: Http
  readonly path: Path
  readonly settings: Settings
  readonly "~types"?: { readonly query: Query; readonly body: Body; readonly answer: A; readonly out: Out }
}

export type AnyEndpoint = Endpoint<Operation.HttpMethod, string, unknown, unknown, unknown, unknown>

/** What an endpoint was declared with, its types erased. */
interface Settings {
  readonly query: Schema.Schema.AnyNoContext | undefined
  readonly constant: Operation.Query | undefined
  readonly body: Schema.Schema.AnyNoContext | undefined
  readonly response: Schema.Schema.AnyNoContext | undefined
  readonly text: ((text: string) => unknown) | undefined
  readonly pick: ((answer: never) => unknown) | undefined
  readonly replay: Operation.Replay | undefined
  readonly credential: Operation.RequiredCredential | undefined
  readonly done: Operation.Done | undefined
  readonly final: Operation.Final | undefined
  readonly errors: Readonly<Record<string, Operation.ErrorTag>> | undefined
  readonly timeouts: Operation.OperationTimeouts | undefined
  readonly limits: Operation.Operation<string, unknown, unknown>["limits"]
}

/** The declaration of an endpoint. Without `response` and `text`, its answer is ignored. */
export interface Options<Q, QI extends Operation.Query, B, BI, A, I, Out> {
  /** Validates the query and gives its members their names on the wire. */
  readonly query?: Schema.Schema<Q, QI> | undefined
  /** Members of the query that are the same in every call. */
  readonly constant?: Operation.Query | undefined
  /** Validates and encodes the JSON body. Without it, POST and PATCH send `{}`. */
  readonly body?: Schema.Schema<B, BI> | undefined
  /** Decodes the JSON answer. */
  readonly response?: Schema.Schema<A, I> | undefined
  /** Reads an answer that is text. */
  readonly text?: ((text: string) => A) | undefined
  /** The part of the answer that the method returns. Defaults to all of it. */
  readonly pick?: ((answer: A) => Out) | undefined
  /** Whether a request that may have been handled is sent again. Defaults to `safe` for GET and DELETE, else `once`. */
  readonly replay?: Operation.Replay | undefined
  /** Defaults to `any`. */
  readonly credential?: Operation.RequiredCredential | undefined
  /** The errors of a repeated request that mean that an earlier attempt succeeded. Only where the answer is not looked at. */
  readonly done?: Operation.Done | undefined
  /** The errors that are permanent although their status is one of transient errors. */
  readonly final?: Operation.Final | undefined
  /** Error types that mean something else here than everywhere else. */
  readonly errors?: Readonly<Record<string, Operation.ErrorTag>> | undefined
  /** The time that the endpoint is known to need. */
  readonly timeouts?: Operation.OperationTimeouts | undefined
  /** The limit of the workspace that a call counts against. */
  readonly limits?: Operation.Operation<string, unknown, unknown>["limits"]
}

const declare = <const Http extends Operation.HttpMethod>(http: Http) =>
<
  const Path extends `/${string}`,
  Q = {},
  QI extends Operation.Query = {},
  B = undefined,
  BI = undefined,
  A = void,
  I = unknown,
  Out = A
>(
  path: Path,
  options: Options<Q, QI, B, BI, A, I, Out> = {}
  // What a group expects of its members is not a source of their types.
): Endpoint<Http, Path, Types.NoInfer<Q>, Types.NoInfer<B>, Types.NoInfer<A>, Types.NoInfer<Out>> => ({
  _tag: "Endpoint",
  http,
  path,
  settings: {
    query: options.query,
    constant: options.constant,
    body: options.body,
    response: options.response,
    text: options.text,
    pick: options.pick,
    replay: options.replay,
    credential: options.credential,
    done: options.done,
    final: options.final,
    errors: options.errors,
    timeouts: options.timeouts,
    limits: options.limits
  }
})

export const get = declare("GET")
export const post = declare("POST")
export const patch = declare("PATCH")
export const del = declare("DELETE")

/** A method that is written by hand over the requests named here, such as `findByName` over a list. */
export interface Using<out Parts> {
  readonly _tag: "Using"
  readonly parts: Parts
}

export type AnyUsing = Using<Readonly<Record<string, AnyEndpoint>>>

/** Declares the requests of a method that is written by hand. Each of them has the name of the method. */
export const using = <const Parts extends Readonly<Record<string, AnyEndpoint>>>(parts: Parts): Using<Parts> => ({
  _tag: "Using",
  parts
})

export type Members = Readonly<Record<string, AnyEndpoint | AnyUsing>>

/** The endpoints of a service, by the names of its methods. */
export interface Group<out Name extends ServiceName, out M> {
  readonly name: Name
  readonly members: M
}

export const group = <const Name extends ServiceName, const M extends Members>(
  name: Name,
  members: M
): Group<Name, M> => ({
  name,
  members
})

type Prefix = "/api/v1/w/{workspaceId}"

/** The whole path of an endpoint. */
export type Route<Path extends string> = Path extends `/api/${string}` ? Path : `${Prefix}${Path}`

export const route = (path: string): string => path.startsWith("/api/") ? path : `/api/v1/w/{workspaceId}${path}`

/** The ids in paths that have a type of their own; every other path value is a string. */
interface PathIds {
  readonly actionId: Ids.ActionId
  readonly agentId: Ids.AgentId
  readonly appId: Ids.AppId
  readonly conversationId: Ids.ConversationId
  readonly dataSourceId: Ids.DataSourceId
  readonly dataSourceViewId: Ids.DataSourceViewId
  readonly documentId: Ids.DocumentId
  readonly fileId: Ids.FileId
  readonly messageId: Ids.MessageId
  readonly rowId: Ids.RowId
  readonly runId: Ids.RunId
  readonly skillId: Ids.SkillId
  readonly spaceId: Ids.SpaceId
  readonly tableId: Ids.TableId
  readonly triggerId: Ids.TriggerId
  readonly userId: Ids.UserId
}

type PathValues<Path extends string> = {
  readonly [K in Operation.PathParams<Path>]: K extends keyof PathIds ? PathIds[K] : string
}

type Flat<T> = { [K in keyof T]: T[K] }

/** Everything that the caller of an endpoint gives: path values, query and body in one object. A part alone keeps its name. */
export type Values<E> = E extends Endpoint<infer _H, infer Path, infer Query, infer Body, infer _A, infer _O>
  ? [Operation.PathParams<Path>] extends [never]
    ? [Body] extends [undefined] ? Query : [keyof Query] extends [never] ? Body : Flat<Query & Body>
  : Flat<PathValues<Path> & Query & ([Body] extends [undefined] ? unknown : Body)>
  : never

type IsUnion<T, U = T> = T extends unknown ? [U] extends [T] ? false : true : never

/** Whether there is one value, and it is required. */
type IsSingle<V> = IsUnion<V> extends true ? false
  : IsUnion<keyof V> extends true ? false
  : {} extends V ? false
  : true

type MethodOf<V, Out> = [keyof V] extends [never] ? () => Effect.Effect<Out, RequestError>
  : IsSingle<V> extends true ? (value: V[keyof V]) => Effect.Effect<Out, RequestError>
  : {} extends V ? (options?: V) => Effect.Effect<Out, RequestError>
  : (options: V) => Effect.Effect<Out, RequestError>

/**
 * The method of an endpoint: no argument where there is nothing to give, the value itself where there is one and it is
 * required, an object otherwise; the object may be left out if all of it may.
 */
export type Method<E> = E extends Endpoint<infer _H, infer _P, infer _Q, infer _B, infer _A, infer Out>
  ? MethodOf<Values<E>, Out>
  : never

type MembersOf<G> = G extends Group<infer _N, infer M> ? M : never

/** The methods that come from the declarations alone. */
export type Methods<G> = MethodsOfMembers<MembersOf<G>>

type MethodsOfMembers<M> = { readonly [K in keyof M as M[K] extends AnyEndpoint ? K : never]: Method<M[K]> }

/** Every endpoint of a group as a method: those of methods written by hand one level deeper. */
export type Calls<G> = CallsOfMembers<MembersOf<G>>

type CallsOfMembers<M> = {
  readonly [K in keyof M]: M[K] extends Using<infer Parts> ? { readonly [P in keyof Parts]: Method<Parts[P]> }
    : Method<M[K]>
}

/** Every endpoint of a group as an operation, for what a method cannot say: raw bodies, headers, streams. */
export type Operations<G> = OperationsOfMembers<MembersOf<G>>

type OperationsOfMembers<M> = {
  readonly [K in keyof M]: M[K] extends Using<infer Parts> ? { readonly [P in keyof Parts]: OperationOf<Parts[P]> }
    : OperationOf<M[K]>
}

type OperationOf<E> = E extends Endpoint<infer _H, infer Path, infer _Q, infer Body, infer A, infer _O>
  ? Operation.Operation<Route<Path>, Body, A>
  : never

type EndpointsOfMembers<M> = M extends Members
  ? { [K in keyof M]: M[K] extends Using<infer Parts> ? Parts[keyof Parts] : M[K] }[keyof M]
  : never

/** `GET /skills`: the endpoints of a group, each once. */
export type RouteName<G> = EndpointsOfMembers<MembersOf<G>> extends infer E
  ? E extends Endpoint<infer Http, infer Path, infer _Q, infer _B, infer _A, infer _O> ? `${Http} ${Path}` : never
  : never

/** What Local Dust has to answer for a group. A missing or unknown one does not compile. */
export type Handlers<G, Handler> = { readonly [K in RouteName<G>]: Handler }

/** The paths of a group as they are declared. */
export type Template<G> = EndpointsOfMembers<MembersOf<G>> extends infer E
  ? E extends Endpoint<infer _H, infer Path, infer _Q, infer _B, infer _A, infer _O> ? Path : never
  : never

/** A template in the notation of routers: `/skills/:skillId`. */
export type Colons<Path extends string> = Path extends `${infer Before}{${infer Name}}${infer After}`
  ? `${Before}:${Name}${Colons<After>}`
  : Path

export const colons = (path: string): string => path.replace(/\{([^}]+)\}/g, ":$1")

/** One endpoint of a group, with the method that makes it. */
export interface Declared {
  /** `Skills.archive`. */
  readonly name: `${ServiceName}.${string}`
  readonly http: Operation.HttpMethod
  /** The declared path: `/skills/{skillId}`. */
  readonly path: string
}

/** Every endpoint of a group, in the order of the declarations. */
export const declared = (group: Group<ServiceName, Members>): ReadonlyArray<Declared> =>
  Object.entries(group.members).flatMap(([method, member]) =>
    (member._tag === "Using" ? Object.values(member.parts) : [member])
      .map(({ http, path }) => ({ name: `${group.name}.${method}` as const, http, path }))
  )

/** The operation of an endpoint, named after its group and its key. */
export const operationOf = (
  name: `${ServiceName}.${string}`,
  { http, path, settings }: AnyEndpoint
): Operation.Operation<string, unknown, unknown> => {
  const { body, credential, done, errors, final, limits, replay, response, text, timeouts } = settings
  const common = { name, http, route: route(path), replay, credential, errors, timeouts, limits, final, body }
  return response === undefined
    ? Operation.text({ ...common, decode: text ?? (() => undefined), done })
    : Operation.make({ ...common, response })
}

/** A group's members with every endpoint replaced; those of a method written by hand keep their level. */
export const mapMembers = <A>(
  group: Group<ServiceName, Members>,
  f: (name: `${ServiceName}.${string}`, endpoint: AnyEndpoint) => A
): Record<string, A | Record<string, A>> =>
  Object.fromEntries(
    Object.entries(group.members).map(([method, member]) => {
      const name = `${group.name}.${method}` as const
      return [
        method,
        member._tag === "Endpoint"
          ? f(name, member)
          : Object.fromEntries(Object.entries(member.parts).map(([part, endpoint]) => [part, f(name, endpoint)]))
      ]
    })
  )

/** The operations of a group without a client, for the errors of invalid input. */
export const operationsOf = <const Name extends ServiceName, M extends Members>(
  group: Group<Name, M>
): Operations<Group<Name, M>> =>
  // The types of declared endpoints exist for the compiler only; the keys are those of the group.
  mapMembers(group, operationOf) as unknown as Operations<Group<Name, M>>
