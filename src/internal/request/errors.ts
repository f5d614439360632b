/** The only place where errors are constructed. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import {
  DustAgentError,
  DustBadRequestError,
  DustConflictError,
  DustContentTooLargeError,
  DustDecodeError,
  DustForbiddenError,
  DustNetworkError,
  DustNotFoundError,
  DustQuotaExceededError,
  DustRateLimitError,
  DustServerError,
  DustStreamError,
  DustTimeoutError,
  DustUnauthorizedError,
  DustUnconfirmedError,
  DustUserRequiredError,
  type RequestError,
  type StreamReason,
  type TimeoutPhase
} from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { withoutSpan } from "./callSite.ts"
import { advice, classify, oneLine, parseBody } from "./classify.ts"
import { type Failure, networkAdvice, networkType } from "./network.ts"
import { requestId } from "./requestId.ts"
import { retryAfter } from "./retryAfter.ts"

const constructors = {
  DustBadRequestError,
  DustUnauthorizedError,
  DustUserRequiredError,
  DustForbiddenError,
  DustNotFoundError,
  DustConflictError,
  DustContentTooLargeError,
  DustRateLimitError,
  DustQuotaExceededError,
  DustServerError
}

/** The operation that failed. Without a route, it was rejected before it had one. */
export type Named = Pick<Identity, "module" | "method"> & Partial<Pick<Identity, "http" | "route">>

const common = (identity: Named, attempts: number) => ({
  module: identity.module,
  method: identity.method,
  request: identity.http === undefined || identity.route === undefined
    ? undefined
    : { method: identity.http, route: identity.route },
  attempts
})

const nameOf = (identity: Named): string => `${identity.module}.${identity.method}`

/** Frames of the SDK and of Effect do not help the caller, and cost more than the rest of the error. */
const frameless = <E extends Error>(make: () => E): E => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return withoutSpan(make())
  } finally {
    Error.stackTraceLimit = limit
  }
}

const unchecked = { disableValidation: true }

interface Fields {
  readonly message: string
  readonly type: string | undefined
  readonly details: unknown
  readonly status?: number | undefined
  readonly attempts?: number | undefined
}

const fieldsOf = (identity: Named, { attempts, message, ...fields }: Fields) => ({
  ...common(identity, attempts ?? 0),
  ...fields,
  message: `${nameOf(identity)}: ${message}`
})

/** The error for a response whose status is not 2xx. */
export const fromResponse = (options: {
  readonly identity: Identity
  readonly hasUser: boolean
  readonly attempts: number
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  readonly now: number
}): RequestError => {
  const { headers, identity, status } = options
  const parsed = parseBody(options.body)
  const tag = classify(identity, options.hasUser, status, parsed)
  const id = requestId(headers)
  const hint = advice(tag, parsed, status)
  const text = parsed.message === undefined ? "" : oneLine(parsed.message).replace(new RegExp(`^${status} `), "")
  const said = text === "" ? "" : `: ${hint === "" ? text : text.replace(/[.:]+$/, "")}`
  return frameless(() =>
    new constructors[tag]({
      ...fieldsOf(identity, {
        message: `${status}${parsed.type === undefined ? "" : ` ${parsed.type}`}${said}${hint}${
          id === undefined ? "" : ` [${id}]`
        }`,
        status,
        type: parsed.type,
        details: parsed.details,
        attempts: options.attempts
      }),
      requestId: id,
      retryAfter: Option.getOrUndefined(retryAfter(headers, options.now))
    }, unchecked)
  )
}

/** A limit was reached. `what` describes the unfinished work. */
export const timeout = (
  identity: Named,
  attempts: number,
  phase: TimeoutPhase,
  limit: Duration.Duration,
  what: string,
  details: Readonly<Record<string, unknown>> = {},
  type: "timeout" | "token_timeout" = "timeout"
): DustTimeoutError =>
  frameless(() =>
    new DustTimeoutError({
      ...fieldsOf(identity, {
        message: what,
        type,
        details: { phase, limit: Duration.format(limit), ...details },
        attempts
      }),
      phase,
      limit
    }, unchecked)
  )

/** The connection failed, or broke before the end of the response. */
export const network = (
  identity: Named,
  attempts: number,
  message: string,
  options: {
    readonly type: string | undefined
    readonly reachedServer: boolean
    readonly retryAfter?: Duration.Duration | undefined
    readonly details?: unknown
  }
): DustNetworkError =>
  frameless(() =>
    new DustNetworkError({
      ...fieldsOf(identity, {
        message,
        type: options.type,
        details: options.details ?? { code: options.type },
        attempts
      }),
      retryAfter: options.retryAfter,
      reachedServer: options.reachedServer
    }, unchecked)
  )

/** The request could not be sent, or its response did not start. */
export const transport = (identity: Named, attempts: number, failure: Failure, origin: string): DustNetworkError =>
  network(identity, attempts, networkAdvice(failure, origin), {
    type: networkType(failure),
    reachedServer: !failure.neverSent
  })

/** A successful response that cannot be decoded. */
export const decode = (
  identity: Named,
  attempts: number,
  message: string,
  issues: DustDecodeError["issues"],
  more: { readonly status?: number | undefined; readonly type?: string | undefined } = {}
): DustDecodeError =>
  frameless(() =>
    new DustDecodeError({
      ...fieldsOf(identity, {
        message,
        status: more.status,
        type: more.type ?? "unexpected_answer",
        details: { issues },
        attempts
      }),
      issues
    }, unchecked)
  )

/** A list whose pages do not advance, and so would never end. */
export const notAdvancing = (identity: Named, attempts: number, what: string): DustDecodeError =>
  decode(identity, attempts, `the list does not advance: ${what}`, [{ path: "", message: "another page" }], {
    type: "list_not_advancing"
  })

/** Content over a size limit, detected before sending or while reading. */
export const tooLarge = (
  identity: Named,
  attempts: number,
  type: string,
  message: string,
  details: unknown = { reason: message }
): DustContentTooLargeError =>
  frameless(() => new DustContentTooLargeError(fieldsOf(identity, { message, type, details, attempts }), unchecked))

/** A response over the size limit of the client. */
export const responseTooLarge = (identity: Named, attempts: number, limit: number): DustContentTooLargeError => {
  const message = `the response has more than ${limit} bytes; raise \`maxResponseSize\`, or request less`
  return tooLarge(identity, attempts, "response_too_large", message, { limit })
}

/** Content over a limit of the caller, detected before it is sent or kept. */
export const overLimit = (identity: Named, type: string, expected: string): DustContentTooLargeError =>
  tooLarge(identity, 0, type, expected, { expected })

/** A refusal to send a request to an address. */
export const refusedAddress = (
  identity: Named,
  attempts: number,
  options: {
    readonly message: string
    readonly type: "redirect_refused" | "address_refused"
    readonly origin: string
    readonly status?: number | undefined
  }
): DustBadRequestError =>
  frameless(() =>
    new DustBadRequestError(
      fieldsOf(identity, {
        message: options.message,
        status: options.status,
        type: options.type,
        details: { origin: options.origin },
        attempts
      }),
      unchecked
    )
  )

/** An access token that could not be obtained. */
export const tokenUnavailable = (
  identity: Named,
  attempts: number,
  reason: string,
  advice = ""
): DustUnauthorizedError =>
  frameless(() =>
    new DustUnauthorizedError(
      fieldsOf(identity, {
        message: `the access token could not be obtained (${reason})${advice}`,
        type: "token_unavailable",
        details: advice === "" ? { reason } : { reason, advice },
        attempts
      }),
      unchecked
    )
  )

/** A request that succeeded, but whose work failed on the server. */
export const serverFailure = (
  identity: Named,
  attempts: number,
  type: string,
  message: string,
  details: unknown,
  retryAfter?: Duration.Duration
) =>
  frameless(() =>
    new DustServerError({ ...fieldsOf(identity, { message, type, details, attempts }), retryAfter }, unchecked)
  )

/** The response that an error was made from. */
type Answered = Pick<RequestError, "status" | "requestId">

/** Something missing from a response, or shown to be missing by an error. */
export const notFound = (
  identity: Named,
  attempts: number,
  type: string | undefined,
  message: string,
  details: unknown,
  { requestId, status }: Answered = {}
): DustNotFoundError =>
  frameless(() =>
    new DustNotFoundError(
      { ...fieldsOf(identity, { message, status, type, details, attempts }), requestId },
      unchecked
    )
  )

/** A conflict with something that exists or is in progress. */
export const conflict = (
  identity: Named,
  attempts: number,
  type: string,
  message: string,
  details: unknown,
  { requestId, status }: Answered = {}
): DustConflictError =>
  frameless(() =>
    new DustConflictError(
      { ...fieldsOf(identity, { message, status, type, details, attempts }), requestId },
      unchecked
    )
  )

/** Something that exists, and may not be used this way. */
export const forbidden = (
  identity: Named,
  attempts: number,
  type: string,
  message: string,
  details: unknown
): DustForbiddenError =>
  frameless(() => new DustForbiddenError(fieldsOf(identity, { message, type, details, attempts }), unchecked))

/** A run that ended without an answer. */
export const agentFailed = (
  identity: Named,
  { code, message, details, ...rest }: Pick<DustAgentError, "code" | "message" | "details" | "category" | "agentId">
): DustAgentError =>
  frameless(() =>
    new DustAgentError(
      { ...fieldsOf(identity, { message, type: code, details, attempts: 1 }), code, ...rest },
      unchecked
    )
  )

/** A message that may or may not be stored. */
export const unconfirmedMessage = (
  identity: Named,
  message: string,
  details: unknown,
  sent: Pick<
    DustUnconfirmedError,
    "reason" | "conversationId" | "author" | "origin" | "agentId" | "position" | "notBefore" | "fingerprint"
  >,
  after: Answered & { readonly attempts?: number } = {}
): DustUnconfirmedError =>
  frameless(() =>
    new DustUnconfirmedError({
      // First, because an earlier error has all members.
      ...sent,
      ...fieldsOf(identity, {
        message,
        status: after.status,
        type: "message_unconfirmed",
        details,
        attempts: after.attempts
      }),
      requestId: after.requestId
    }, unchecked)
  )

/** A rate limit that is reached before the request is sent. */
export const rateLimited = (
  identity: Named,
  attempts: number,
  message: string,
  { details, retryAfter }: { readonly details: unknown; readonly retryAfter: Duration.Duration }
): DustRateLimitError =>
  frameless(() =>
    new DustRateLimitError(
      { ...fieldsOf(identity, { message, type: "rate_limit_error", details, attempts }), retryAfter },
      unchecked
    )
  )

/** A stream that could not be completed. */
export const streamError = (
  identity: Identity,
  reason: StreamReason,
  message: string,
  more: {
    readonly lastEventId?: string | undefined
    /** The failure that ended the stream. */
    readonly cause?: RequestError | undefined
    readonly type?: string | undefined
    readonly details?: unknown
  } = {}
): DustStreamError => {
  const { cause } = more
  return frameless(() =>
    new DustStreamError({
      ...fieldsOf(identity, {
        message,
        status: cause?.status,
        type: more.type ?? cause?.type,
        details: more.details ??
          (cause === undefined ? { reason } : { reason, cause: cause._tag, message: cause.message }),
        attempts: cause?.attempts ?? 1
      }),
      requestId: cause?.requestId,
      retryAfter: cause?.retryAfter,
      reason,
      lastEventId: more.lastEventId
    }, unchecked)
  )
}

/** A type of TypeScript in words; any other text is returned unchanged. */
const inWords = (expected: string): string =>
  /^(?:string|number|boolean)\b/.test(expected)
    ? `a ${expected}`
    : expected.startsWith("ReadonlyArray<")
    ? "an array"
    : expected.startsWith("{ ")
    ? "an object"
    : expected

/** A noun phrase or "is missing", as the predicate of a field. */
export const requirement = (expected: string, got?: string): string =>
  expected === "is missing"
    ? expected
    : `must be ${inWords(expected)}${got === undefined ? "" : `, got ${got}`}`

/** Input rejected before any request, with the expectation it failed. */
export const badInput = (identity: Named, field: string, expected: string, got?: string): DustBadRequestError =>
  frameless(() =>
    new DustBadRequestError(
      fieldsOf(identity, {
        message: `${field} ${requirement(expected, got)}`,
        type: "invalid_input",
        details: { field, expected }
      }),
      unchecked
    )
  )

/** Input rejected for a reason other than its shape. */
export const badRequest = (identity: Named, attempts: number, type: string, message: string, details: unknown) =>
  frameless(() => new DustBadRequestError(fieldsOf(identity, { message, type, details, attempts }), unchecked))

/** A credential that the server always refuses for this operation, or for part of its input. */
export const wrongCredential = (identity: Identity, what?: string): DustUserRequiredError =>
  frameless(() =>
    new DustUserRequiredError(
      fieldsOf(identity, {
        message: identity.credential === "key"
          ? "requires an API key; the credential of this call is a user's access token"
          : `${
            what === undefined ? "" : `${what} `
          }requires a user's access token (\`accessToken\`, DUST_ACCESS_TOKEN); the credential of this call is an API key`,
        type: identity.credential === "key" ? "key_required" : "user_required",
        details: what === undefined ? { required: identity.credential } : { required: "user", field: what }
      }),
      unchecked
    )
  )
