/** Declaration of routes, and access to the request in handlers. */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { atLeast, type Auth, type Role, type World } from "../state/state.ts"
import {
  badRequest,
  decodeText,
  type LocalFailure,
  type LocalRequest,
  type LocalResponse,
  refuse,
  type Refusal
} from "./http.ts"

/**
 * Access rule of a route. Checked before the handler runs, after the common gate (workspace, header, token):
 *
 * - `any`: an API key or a user token
 * - `none`: no checks (no credential, no workspace gate)
 * - `workspace`: the workspace must exist; no credential is required
 * - `user`: a user token, else `denied` (401 `user_not_found` by default)
 * - `key`: an API key, else `denied` (403 `invalid_request_error`)
 * - `admin`, `builder`: that role or a higher one, else `denied` (403 `workspace_auth_error`)
 * - `system`: Dust's own keys, else `denied` (403 `invalid_oauth_token_error`)
 * - `private`: the web application's own routes: a user token, else 401 `not_authenticated`
 */
export type Requirement = "any" | "none" | "workspace" | "user" | "key" | "admin" | "builder" | "system" | "private"

/** A field that may be absent or null. */
export const nullish = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))

/** The query as a record: a string for each name, or an array if the name is repeated. */
export const groupQuery = (query: URLSearchParams): Record<string, string | ReadonlyArray<string>> => {
  const record: Record<string, string | ReadonlyArray<string>> = {}
  for (const name of new Set(query.keys())) {
    const all = query.getAll(name)
    record[name] = all.length === 1 ? all[0]! : all
  }
  return record
}

/** Input of a handler. */
export interface Context {
  readonly world: World
  readonly request: LocalRequest
  /** Path parameters, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly auth: Auth
}

export type Handler = (context: Context) => Effect.Effect<LocalResponse, LocalFailure>

export interface Route {
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE"
  /** `/api/v1/w/:workspaceId/…`; a last segment `*name` matches the rest of the path, slashes included. */
  readonly path: string
  readonly auth: Requirement
  /** The error for a caller that does not satisfy `auth`, if it is not the default one. */
  readonly denied?: { readonly status: number; readonly type: string; readonly message: string } | undefined
  /** An event stream: `/api/v1/…` answers 307 to `/api/sse/v1/…`, where the handler is. */
  readonly sse?: boolean | undefined
  readonly handler: Handler
}

export const route = (
  method: Route["method"],
  path: string,
  options: Omit<Route, "method" | "path">
): Route => ({ method, path, ...options })

/** The path parameter; guaranteed by the path template. */
export const param = (context: Context, name: string): string => context.params[name] ?? ""

const formatError = (target: string, error: ParseResult.ParseError): string => {
  const issues = ParseResult.ArrayFormatter.formatErrorSync(error).slice(0, 3).map((issue) =>
    `${issue.message}${issue.path.length > 0 ? ` at "${issue.path.join(".")}"` : ""}`
  )
  return `Invalid ${target}: Validation error: ${issues.join("; ")}`
}

/**
 * The JSON body. A JSON content type with an empty or malformed body is a 400; without a JSON content type any body
 * counts as `{}`.
 */
export const jsonBody = (context: Context): Effect.Effect<unknown, Refusal> =>
  Effect.suspend((): Effect.Effect<unknown, Refusal> => {
    const contentType = context.request.headers["content-type"] ?? ""
    if (!/^application\/([a-z-.]+\+)?json(;|$)/i.test(contentType.trim())) return Effect.succeed({})
    if (context.request.body.length === 0 && !context.world.quirks.emptyJsonBodyRefused) return Effect.succeed({})
    return Effect.try(() => JSON.parse(decodeText(context.request.body)) as unknown).pipe(
      Effect.catchAll(() => badRequest("Malformed JSON in request body"))
    )
  })

/** Decodes a value; `target` names it in the error message. */
export const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  value: unknown,
  target: string
): Effect.Effect<A, Refusal> =>
  Schema.decodeUnknown(schema, { errors: "all" })(value).pipe(
    Effect.catchAll((error) => badRequest(formatError(target, error)))
  )

/** The JSON body, validated: a mismatch is `400 invalid_request_error` "Invalid request body: …". */
export const body = <A, I>(context: Context, schema: Schema.Schema<A, I>): Effect.Effect<A, Refusal> =>
  Effect.flatMap(jsonBody(context), (value) => decode(schema, value, "request body"))

/**
 * The query, validated as a record of strings (arrays of strings for repeated names): a mismatch is
 * `400 invalid_request_error` "Invalid query parameters: …".
 */
export const query = <A, I>(context: Context, schema: Schema.Schema<A, I>): Effect.Effect<A, Refusal> =>
  Effect.suspend(() => {
    return decode(schema, groupQuery(context.query), "query parameters")
  })

/** Fails unless the credential belongs to a user. */
export const requireUser = (
  context: Context,
  denied: { readonly status: number; readonly type: string; readonly message: string }
): Effect.Effect<NonNullable<Auth["user"]>, Refusal> =>
  context.auth.user === undefined
    ? refuse(denied.status, denied.type, denied.message)
    : Effect.succeed(context.auth.user)

/** Whether the caller has at least this role. */
export const hasRole = (context: Context, role: Role): boolean =>
  context.auth.kind === "system" || atLeast(context.auth.role, role)
