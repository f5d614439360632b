/** A call from what the caller gave: everything is checked before anything is sent. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { RequestError } from "../../DustAPIError.ts"
import type { Input, Operation, OperationTimeouts, RequiredCredential } from "../api/operation.ts"
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

/** What is in force where a call is made. */
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
): Either.Either<Call, RequestError> =>
  Either.gen(function*() {
    const unusable = ({ expected, field }: Checks.Unusable) => errors.badInput(operation, field, expected)
    const settings = yield* Either.mapLeft(settingsOf(context.config, surroundings.options), unusable)
    const caller = yield* Either.mapLeft(context.callers.of(surroundings.credential), (problem) =>
      unusable({ ...problem, field: `credential.${problem.field}` }))
    if (refuses(operation.credential, caller)) {
      return yield* Either.left(errors.wrongCredential(operation))
    }
    const own = yield* Either.mapLeft(Checks.headers(input.headers ?? {}), unusable)
    const origin = options.origin ?? "dust"
    const accept = options.accept ?? "application/json"
    return {
      identity: operation,
      replay: operation.replay,
      limits: operation.limits,
      settings: withNeeded(context, operation, settings, surroundings.options),
      caller,
      origin,
      url: yield* addressOf(context, operation, input, caller, accept, origin),
      body: yield* bodyOf(operation, input),
      headers: origin === "storage"
        // Only what the call itself asks for, such as a part of a file.
        ? { accept, ...Object.fromEntries(Object.entries(own).map(([name, value]) => [name, Redacted.value(value)])) }
        : headersOf(settings, own, accept),
      redirects: options.redirects ?? "follow",
      acceptsEvents: accept === eventStream,
      secrets: input.secrets ?? [],
      site: surroundings.site,
      tally: surroundings.tally,
      hasOwnTotal: surroundings.options.timeouts?.total !== undefined ||
        context.config.chosenLimits?.includes("total") === true
    }
  })

/** The server is known to refuse it. */
const refuses = (required: RequiredCredential, caller: Caller): boolean =>
  required !== "any" && required !== "none" && (required === "user") !== caller.hasUser

const headersOf = (
  settings: Settings,
  own: Readonly<Record<string, Redacted.Redacted<string>>>,
  accept: string
): Record<string, string> => {
  const headers: Record<string, string> = { accept, "user-agent": userAgent }
  for (const all of [settings.headers, own]) {
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
      // The path is checked all the same: it names what the address is for.
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
): Either.Either<HttpBody.HttpBody, RequestError> =>
  Either.gen(function*() {
    if (input.rawBody !== undefined) return input.rawBody
    if (operation.http === "GET" || operation.http === "DELETE") return HttpBody.empty
    // The server refuses a JSON content type with nothing behind it.
    const encoded = operation.body === undefined
      ? {}
      // Declared, a body is required: only its type is lost between the two.
      : yield* encodeBody(operation, operation.body)(input.body as Body)
    const json = yield* Either.try({
      try: () => JSON.stringify(encoded),
      catch: () => errors.badInput(operation, "body", "something that JSON can carry")
    })
    return HttpBody.text(json, "application/json")
  })

/** The time that an operation is known to need raises a default. What the caller has chosen is a ceiling. */
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
