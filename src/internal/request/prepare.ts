/** Builds a call from the caller's input, and validates everything before anything is sent. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { RequestError } from "../../DustAPIError.ts"
import type { Identity, Input, Operation, OperationTimeouts, RequiredCredential } from "../api/operation.ts"
import { encodeBody } from "../input/encode.ts"
import * as Checks from "../input/validate.ts"
import { version } from "../version.ts"
import type { CallSite } from "./callSite.ts"
import type { Call, Context, OpenOptions, Origin } from "./context.ts"
import type { CallCredential, Caller } from "./credential.ts"
import * as errors from "./errors.ts"
import { dustTarget, foreignAddress, movedStream, storageTarget } from "./redirect.ts"
import { type CallOptions, type Settings, settingsOf, type Tally } from "./settings.ts"
import { fillRoute, queryString } from "./url.ts"

/** The settings and the caller in effect at the call site. */
export interface Surroundings {
  readonly options: CallOptions
  readonly credential: CallCredential | undefined
  readonly site: CallSite | undefined
  readonly tally: Tally | undefined
}

const userAgent = `effect-dust/${version}`
const eventStream = "text/event-stream"

export const prepare = <Route extends string, Body, A>(
  context: Context,
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>,
  surroundings: Surroundings,
  options: OpenOptions
): Either.Either<Call, RequestError> => {
  const unusable = ({ expected, field }: Checks.Unusable) => Either.left(errors.badInput(operation, field, expected))
  const settings = settingsOf(context.config, surroundings.options)
  if (Either.isLeft(settings)) return unusable(settings.left)
  const caller = context.callers.of(surroundings.credential)
  if (Either.isLeft(caller)) return unusable({ ...caller.left, field: `credential.${caller.left.field}` })
  if (refuses(operation.credential, caller.right)) return Either.left(errors.wrongCredential(operation))
  const own = input.headers === undefined ? noHeaders : Checks.headers(input.headers)
  if (Either.isLeft(own)) return unusable(own.left)
  const { accept = "application/json", origin = "dust", redirects = "follow" } = options
  const url = addressOf(context, operation, input, caller.right, accept, origin)
  if (Either.isLeft(url)) return Either.left(url.left)
  const body = bodyOf(operation, input)
  if (Either.isLeft(body)) return Either.left(body.left)
  return Either.right({
    identity: operation,
    replay: operation.replay,
    final: operation.final,
    limits: operation.limits,
    settings: withNeeded(context, operation, settings.right, surroundings.options),
    caller: caller.right,
    origin,
    url: url.right,
    body: body.right,
    // The storage receives only headers of the call itself, such as a range.
    headers: headersOf(accept, origin === "storage" ? [own.right] : [settings.right.headers, own.right], origin),
    redirects,
    acceptsEvents: accept === eventStream,
    secrets: input.secrets ?? [],
    site: surroundings.site,
    tally: surroundings.tally,
    hasOwnTotal: surroundings.options.timeouts?.total !== undefined ||
      context.config.chosenLimits?.includes("total") === true
  })
}

const noHeaders: ReturnType<typeof Checks.headers> = Either.right({})

/** Whether the server is known to refuse this credential. */
const refuses = (required: RequiredCredential, caller: Caller): boolean =>
  required !== "any" && required !== "none" && (required === "user") !== caller.hasUser

const headersOf = (
  accept: string,
  given: ReadonlyArray<Readonly<Record<string, Redacted.Redacted<string>>>>,
  origin: Origin
): Record<string, string> => {
  const headers: Record<string, string> = origin === "storage" ? { accept } : { accept, "user-agent": userAgent }
  for (const all of given) {
    for (const name in all) headers[name] = Redacted.value(all[name]!)
  }
  return headers
}

const addressOf = <Route extends string, Body, A>(
  context: Context,
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>,
  caller: Caller,
  accept: string,
  origin: Origin
): Either.Either<string, RequestError> => {
  const { base, config: { baseUrl } } = context
  if (input.url !== undefined) {
    const target = (origin === "storage" ? storageTarget : dustTarget)(base, baseUrl, input.url)
    return target === undefined
      ? Either.left(foreignAddress(context, operation, input.url, origin))
      // The path is still validated: it identifies the target of the address.
      : Either.map(fillRoute(operation, caller.workspaceId, input.path ?? {}), () => target.href)
  }
  return Either.map(fillRoute(operation, caller.workspaceId, input.path ?? {}), (path) => {
    const url = `${baseUrl}${path}${queryString(input.query)}`
    return accept === eventStream && context.moved.has(operation.route) ? movedStream(base, url) : url
  })
}

const bodyOf = <Route extends string, Body, A>(
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>
): Either.Either<HttpBody.HttpBody, RequestError> => {
  if (input.rawBody !== undefined) return Either.right(input.rawBody)
  if (operation.http === "GET" || operation.http === "DELETE") return Either.right(HttpBody.empty)
  // The server refuses a JSON content type without a body.
  if (operation.body === undefined) return Either.right(emptyObject)
  // A declared body is required; its type is lost between the two.
  const encoded = encoderOf(operation, operation.body)(input.body as Body)
  if (Either.isLeft(encoded)) return Either.left(encoded.left)
  try {
    return Either.right(HttpBody.text(JSON.stringify(encoded.right), "application/json"))
  } catch {
    return Either.left(errors.badInput(operation, "body", "JSON-serializable"))
  }
}

const emptyObject = HttpBody.text("{}", "application/json")

const encoders = new WeakMap<object, ReturnType<typeof encodeBody<never, unknown>>>()

/** Created once per operation. */
const encoderOf = <Body>(
  operation: Identity,
  schema: Schema.Schema<Body, unknown>
): (body: Body) => Either.Either<unknown, RequestError> => {
  const known = encoders.get(operation)
  // The encoder of this operation, whose bodies have this type.
  if (known !== undefined) return known as (body: Body) => Either.Either<unknown, RequestError>
  const made = encodeBody(operation, schema)
  encoders.set(operation, made)
  return made
}

/** Raises default limits to the time that an operation is known to need. Explicit limits are kept. */
const withNeeded = (
  { config }: Context,
  { timeouts: needed }: { readonly timeouts: OperationTimeouts },
  settings: Settings,
  options: CallOptions
): Settings => {
  if (needed.headers === undefined && needed.body === undefined) return settings
  const raised = (name: "headers" | "body" | "total", atLeast: Duration.DurationInput | undefined) =>
    atLeast === undefined || options.timeouts?.[name] !== undefined || config.chosenLimits?.includes(name) === true
      ? settings.timeouts[name]
      : Duration.max(settings.timeouts[name], Duration.decode(atLeast))
  return {
    ...settings,
    timeouts: {
      ...settings.timeouts,
      headers: raised("headers", needed.headers),
      body: raised("body", needed.body),
      total: raised("total", needed.headers)
    }
  }
}
