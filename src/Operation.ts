/**
 * Operations: declared endpoints. `DustClient.operation` declares one; these are its types, for applications and libraries that
 * export an operation.
 *
 * ```ts
 * import { operation } from "effect-dust/DustClient"
 * import type { Operation } from "effect-dust/Operation"
 * import { Schema } from "effect"
 *
 * const reports = operation({
 *   name: "MyApp.reports",
 *   http: "GET",
 *   route: "/api/v1/w/{workspaceId}/reports",
 *   response: Schema.Struct({ total: Schema.Number })
 * })
 *
 * type Reports = typeof reports extends Operation<string, infer _Body, infer A> ? A : never
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as HttpBody from "@effect/platform/HttpBody"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { RequestError } from "./DustAPIError.ts"
import type { LimitClass } from "./Governor.ts"

/**
 * Whether a request may be repeated after it may have reached its handler. A `creation` may leave a duplicate behind;
 * it is repeated only if the caller's policy allows it.
 *
 * @category models
 * @since 0.2.0
 */
export type Replay = "safe" | "once" | "creation"

/**
 * The credentials that the server accepts. Others fail before any request.
 *
 * @category models
 * @since 0.2.0
 */
export type RequiredCredential = "any" | "user" | "key" | "none"

/**
 * The names between braces in a route, except `workspaceId`, which the client fills in.
 *
 * @category models
 * @since 0.2.0
 */
export type PathParams<Route extends string> = Route extends `${string}{${infer Name}}${infer Rest}`
  ? (Name extends "workspaceId" ? never : Name) | PathParams<Rest>
  : never

/**
 * @category models
 * @since 0.2.0
 */
export type HttpMethod = "GET" | "POST" | "PATCH" | "PUT" | "DELETE"

/**
 * @category models
 * @since 0.2.0
 */
export type ErrorTag =
  | "DustBadRequestError"
  | "DustUnauthorizedError"
  | "DustUserRequiredError"
  | "DustForbiddenError"
  | "DustNotFoundError"
  | "DustConflictError"
  | "DustContentTooLargeError"
  | "DustRateLimitError"
  | "DustQuotaExceededError"
  | "DustServerError"

/**
 * @category models
 * @since 0.2.0
 */
export interface OperationTimeouts {
  readonly headers?: Duration.DurationInput | undefined
  readonly body?: Duration.DurationInput | undefined
}

/**
 * @category models
 * @since 0.2.0
 */
export interface Identity {
  readonly module: string
  readonly method: string
  readonly http: HttpMethod
  readonly route: string
  readonly credential: RequiredCredential
  /** Error types with a different meaning for this operation than for others. */
  readonly errors: Readonly<Record<string, ErrorTag>>
}

/**
 * Whether an error means that the work is already done. Treated as a success only if an earlier attempt of the same
 * call may have done it.
 *
 * @category models
 * @since 0.2.0
 */
export type Done = (error: RequestError) => boolean

/**
 * Whether an error is permanent although its status is one of transient errors.
 *
 * @category models
 * @since 0.2.0
 */
export type Final = (error: RequestError) => boolean

/**
 * The `final` of endpoints for which Dust responds to permanent failures with 500 `internal_server_error`.
 *
 * @category constants
 * @since 0.2.0
 */
export const refusedWith500: Final = ({ status, type }) => status === 500 && type === "internal_server_error"

/**
 * @category models
 * @since 0.2.0
 */
export type ResponseKind<A> =
  | { readonly _tag: "Json"; readonly schema: Schema.Schema<A, unknown> }
  | { readonly _tag: "Text"; readonly decode: (text: string) => A; readonly done?: Done | undefined }

/**
 * @category models
 * @since 0.2.0
 */
export interface Operation<Route extends string, Body, A> extends Identity {
  readonly route: Route
  readonly replay: Replay
  readonly body: Schema.Schema<Body, unknown> | undefined
  readonly response: ResponseKind<A>
  readonly timeouts: OperationTimeouts
  /** The rate limit of Dust that a call counts against. */
  readonly limits: LimitClass | undefined
  readonly final: Final | undefined
}

/**
 * The declaration that every endpoint has.
 *
 * @category models
 * @since 0.2.0
 */
export interface BaseOptions<Route extends string> {
  /** `Conversations.get`: the module and the method, for errors and spans. */
  readonly name: `${string}.${string}`
  readonly http: HttpMethod
  readonly route: Route
  /** Defaults to `safe` for GET and DELETE, `once` for everything else. */
  readonly replay?: Replay | undefined
  /** Defaults to `any`. */
  readonly credential?: RequiredCredential | undefined
  readonly errors?: Readonly<Record<string, ErrorTag>> | undefined
  readonly timeouts?: OperationTimeouts | undefined
  readonly limits?: LimitClass | undefined
  /** The additional errors after which the request is not repeated. */
  readonly final?: Final | undefined
}

/**
 * @category models
 * @since 0.2.0
 */
export interface Options<Route extends string, B, BI, A, I> extends BaseOptions<Route> {
  /** Validates and encodes the JSON body. Without it, POST and PATCH send `{}`. */
  readonly body?: Schema.Schema<B, BI> | undefined
  readonly response: Schema.Schema<A, I>
}

const base = <Route extends string>(options: BaseOptions<Route>) => {
  const dot = options.name.indexOf(".")
  return {
    module: options.name.slice(0, dot),
    method: options.name.slice(dot + 1),
    http: options.http,
    route: options.route,
    replay: options.replay ?? (options.http === "GET" || options.http === "DELETE" ? "safe" : "once"),
    credential: options.credential ?? "any",
    errors: options.errors ?? {},
    timeouts: options.timeouts ?? {},
    limits: options.limits,
    final: options.final
  } as const
}

/**
 * Declares an endpoint that returns JSON.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <const Route extends string, A, I, B = undefined, BI = undefined>(
  options: Options<Route, B, BI, A, I>
): Operation<Route, B, A> => ({
  ...base(options),
  body: options.body as Schema.Schema<B, unknown> | undefined,
  response: { _tag: "Json", schema: options.response as Schema.Schema<A, unknown> }
})

/**
 * Declares an endpoint that returns text or an empty body.
 *
 * @category constructors
 * @since 0.2.0
 */
export const text = <const Route extends string, A, B = undefined, BI = undefined>(
  options: BaseOptions<Route> & {
    readonly body?: Schema.Schema<B, BI> | undefined
    readonly decode: (text: string) => A
    readonly done?: Done | undefined
  }
): Operation<Route, B, A> => ({
  ...base(options),
  body: options.body as Schema.Schema<B, unknown> | undefined,
  response: { _tag: "Text", decode: options.decode, done: options.done }
})

/**
 * Declares an endpoint without a meaningful response: an empty body, or `{ "success": true }`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const unit = <const Route extends string, B = undefined, BI = undefined>(
  options: BaseOptions<Route> & {
    readonly body?: Schema.Schema<B, BI> | undefined
    readonly done?: Done | undefined
  }
): Operation<Route, B, void> => text<Route, void, B, BI>({ ...options, decode: () => undefined })

/**
 * @category models
 * @since 0.2.0
 */
export type QueryValue = string | number | boolean | null | undefined | ReadonlyArray<string>

/**
 * @category models
 * @since 0.2.0
 */
export type Query = Readonly<Record<string, QueryValue>>

/**
 * The arguments that every call may have.
 *
 * @category models
 * @since 0.2.0
 */
export interface FieldsOf<Body> {
  readonly query?: Query | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A body that the caller constructs, sent unchanged. It may be a stream. */
  readonly rawBody?: HttpBody.HttpBody | undefined
  /** A URL that the server returned for this call. Refused before any request unless it is on the Dust origin. */
  readonly url?: string | undefined
  /** Secret parts of the path, removed from errors if a response repeats them. */
  readonly secrets?: ReadonlyArray<Redacted.Redacted<string>> | undefined
  readonly body?: Body | undefined
}

/**
 * The arguments of a call: path values, and the body if one is declared.
 *
 * @category models
 * @since 0.2.0
 */
export type Input<Route extends string, Body> =
  & FieldsOf<Body>
  & ([PathParams<Route>] extends [never] ? { readonly path?: undefined }
    : { readonly path: { readonly [K in PathParams<Route>]: string } })
  & ([Body] extends [undefined] ? unknown : { readonly body: Body })
