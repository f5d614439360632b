import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import {
  DustBadRequestError,
  DustConflictError,
  DustContentTooLargeError,
  DustForbiddenError,
  DustNotFoundError,
  DustQuotaExceededError,
  DustRateLimitError,
  DustServerError,
  DustStreamError,
  DustUnauthorizedError,
  DustUserRequiredError,
  type RequestError,
  type StreamReason
} from "../../DustAPIError.ts"
import type { ErrorTag, Identity } from "../api/operation.ts"

const detailsLimit = 2048
/** So much of a page is searched for something to say: expressions that strip tags are not linear. */
const pageLimit = 8192

const quotaTypes: ReadonlySet<string> = new Set([
  "plan_limit_error",
  "plan_message_limit_exceeded",
  "credits_exhausted",
  "user_cap_reached",
  "group_shared_usage_limit_reached",
  "no_seat",
  "no_seats_available",
  "workspace_quota_error",
  "data_source_quota_error",
  "subscription_payment_failed",
  "subscription_not_found",
  "subscription_state_invalid",
  "trial_restriction"
])

const tooLargeTypes: ReadonlySet<string> = new Set(["content_too_large", "file_too_large"])

/** 401s that are about the credential itself. Every other 401 is about what it may do. */
const credentialTypes: ReadonlySet<string> = new Set([
  "not_authenticated",
  "missing_authorization_header_error",
  "malformed_authorization_header_error",
  "invalid_basic_authorization_error",
  "invalid_oauth_token_error",
  "expired_oauth_token_error",
  "invalid_api_key_error",
  "invalid_sandbox_token_error",
  "workspace_auth_error",
  "webhook_source_auth_error",
  "sso_enforced"
])

const userRequiredTypes: ReadonlySet<string> = new Set(["invalid_request_error", "user_authentication_required"])

/** A rate limit that only a person can lift is told apart from one that passes by its text alone. */
const cappedText = /\bcredits?\b|\bcap\b|\bquota\b|\bspend(?:ing)?\b|monthly|upgrade|top.?up|billing/i

const refreshable: ReadonlySet<string> = new Set(["expired_oauth_token_error", "invalid_oauth_token_error"])

interface Parsed {
  readonly type: string | undefined
  readonly message: string | undefined
  readonly nested: string | undefined
  readonly redirect: { readonly region: string | undefined; readonly url: string | undefined } | undefined
  readonly details: unknown
}

const stringAt = (value: unknown, key: string): string | undefined =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" ? value[key] : undefined

const nestedKeys = ["data_source_error", "run_error", "app_error", "connectors_error"]

const parseBody = (body: string): Parsed => {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    const text = body.slice(0, pageLimit).replace(/<(style|script)[\s\S]*?<\/\1>/gi, " ").replace(
      /<(?!redacted>)[^>]*>/g,
      " "
    )
      .replace(/\s+/g, " ")
      .trim()
    const bounded = body.length > detailsLimit ? `${body.slice(0, detailsLimit)}…` : body
    return {
      type: undefined,
      message: text === "" ? undefined : text.slice(0, 160),
      nested: undefined,
      redirect: undefined,
      details: bounded
    }
  }
  const error = Predicate.hasProperty(json, "error") ? json.error : json
  const nestedKey = nestedKeys.find((key) => Predicate.hasProperty(error, key))
  const nested = nestedKey !== undefined && Predicate.hasProperty(error, nestedKey) ? error[nestedKey] : undefined
  const redirect = Predicate.hasProperty(error, "redirect") ? error.redirect : undefined
  return {
    type: stringAt(error, "type"),
    message: typeof error === "string" ? error : stringAt(error, "message"),
    nested: stringAt(nested, "code") ?? stringAt(nested, "type"),
    redirect: redirect === undefined
      ? undefined
      : { region: stringAt(redirect, "region"), url: stringAt(redirect, "url") },
    details: error
  }
}

const classify = (identity: Identity, hasUser: boolean, status: number, parsed: Parsed): ErrorTag => {
  const { nested, type } = parsed
  if (type !== undefined) {
    const own = status < 500 && Object.hasOwn(identity.errors, type) ? identity.errors[type] : undefined
    if (own !== undefined) return own
    if (type === "rate_limit_error") {
      return parsed.message !== undefined && cappedText.test(parsed.message)
        ? "DustQuotaExceededError"
        : "DustRateLimitError"
    }
    if (quotaTypes.has(type)) return "DustQuotaExceededError"
    if (tooLargeTypes.has(type)) return "DustContentTooLargeError"
    if (type === "workspace_in_different_region") return "DustNotFoundError"
    if (status === 400 && (type.endsWith("_not_found") || nested?.endsWith("_not_found") === true)) {
      return "DustNotFoundError"
    }
    if (type === "message_deletion_not_authorized") return "DustForbiddenError"
  }
  switch (status) {
    case 401: {
      if (type === undefined) return "DustUnauthorizedError"
      if (type === "user_not_found") return hasUser ? "DustUnauthorizedError" : "DustUserRequiredError"
      if (userRequiredTypes.has(type)) return "DustUserRequiredError"
      return credentialTypes.has(type) ? "DustUnauthorizedError" : "DustForbiddenError"
    }
    case 402:
      return "DustQuotaExceededError"
    case 403:
      return "DustForbiddenError"
    case 404:
    case 410:
      return "DustNotFoundError"
    case 408:
    case 425:
      return "DustServerError"
    case 409:
      return "DustConflictError"
    case 413:
      return "DustContentTooLargeError"
    case 429:
      return "DustRateLimitError"
  }
  return status >= 500 ? "DustServerError" : "DustBadRequestError"
}

const advice = (tag: ErrorTag, parsed: Parsed, status: number): string => {
  if (parsed.redirect?.region !== undefined) {
    return `: the workspace lives in the region ${parsed.redirect.region}${
      parsed.redirect.url === undefined ? "" : ` (${parsed.redirect.url})`
    }; set \`region\` (DUST_REGION) or \`baseUrl\` (DUST_BASE_URL) accordingly`
  }
  switch (tag) {
    case "DustUnauthorizedError":
      return parsed.type === "workspace_auth_error"
        ? ": the credential is not one of this workspace; check that it and the workspace id belong together"
        : parsed.type === "webhook_source_auth_error"
        ? ": check the address of the webhook"
        : ": check the API key or access token"
    case "DustUserRequiredError":
      return ": this needs a user's access token, an API key has no user behind it"
    case "DustNotFoundError":
      return parsed.type === "workspace_not_found"
        ? ": check the workspace id, and that the region is the one it lives in"
        : parsed.type === undefined && status === 404
        ? ": no such route; check `baseUrl` (DUST_BASE_URL)"
        : ""
    case "DustBadRequestError":
      return parsed.type === "agent_inaccessible" ? ": check the id of the agent; Agents.list has those there are" : ""
    default:
      return ""
  }
}

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

export interface CommonFields {
  readonly module: string
  readonly method: string
  readonly request: { readonly method: string; readonly route: string }
  readonly attempts: number
}

export const common = (identity: Identity, attempts: number): CommonFields => ({
  module: identity.module,
  method: identity.method,
  request: { method: identity.http, route: identity.route },
  attempts
})

/** The variant for an answer whose status is not 2xx: by Dust's type where it says more than the status, then by status. */
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
  return new constructors[tag]({
    ...common(identity, options.attempts),
    message: `${identity.module}.${identity.method}: ${status}${
      parsed.type === undefined ? "" : ` ${parsed.type}`
    }${said}${hint}${id === undefined ? "" : ` [${id}]`}`,
    status,
    type: parsed.type,
    details: parsed.details,
    requestId: id,
    retryAfter: Option.getOrUndefined(retryAfter(headers["retry-after"], options.now))
  }, { disableValidation: true })
}

const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

const requestIdHeaders = ["x-request-id", "request-id", "x-dust-request-id", "x-cloud-trace-context", "cf-ray"]

const requestId = (headers: Readonly<Record<string, string | undefined>>): string | undefined => {
  const name = requestIdHeaders.find((header) => headers[header] !== undefined && headers[header] !== "")
  return name === undefined ? undefined : headers[name]?.slice(0, 128)
}

const day = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
const month = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
const time = "\\d\\d:\\d\\d:\\d\\d"
/** The three forms of an HTTP date. `Date.parse` alone takes `in 5` for a day in May. */
const httpDate = new RegExp(
  `^(?:${day}, \\d\\d ${month} \\d{4} ${time} GMT` +
    `|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \\d\\d-${month}-\\d\\d ${time} GMT` +
    `|(${day} ${month} [ \\d]\\d ${time} \\d{4}))$`
)

/** Seconds, with or without a fraction, or an HTTP date. */
export const retryAfter = (value: string | undefined, now: number): Option.Option<Duration.Duration> => {
  const text = value?.trim() ?? ""
  if (/^\d{1,12}(?:\.\d+)?$/.test(text)) return Option.some(Duration.seconds(Number(text)))
  const match = httpDate.exec(text)
  if (match === null) return Option.none()
  // The form of asctime does not say that it is GMT.
  const date = Date.parse(match[1] === undefined ? text : `${text} GMT`)
  return Number.isNaN(date) ? Option.none() : Option.some(Duration.millis(Math.max(0, date - now)))
}

export const isTokenExpired = (error: RequestError): boolean =>
  error.status === 401 && error.type !== undefined && refreshable.has(error.type)

const notSentCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "EHOSTDOWN",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "ERR_SSL_WRONG_VERSION_NUMBER"
])

const causes = (cause: unknown): ReadonlyArray<unknown> => {
  const out: Array<unknown> = []
  let current = cause
  for (let depth = 0; depth < 6 && current !== undefined && current !== null; depth++) {
    out.push(current)
    if (Predicate.hasProperty(current, "errors") && Array.isArray(current.errors)) out.push(...current.errors)
    current = Predicate.hasProperty(current, "cause") ? current.cause : undefined
  }
  return out
}

/** The system's code of a transport failure (`ECONNREFUSED`), wherever the HttpClient put it. */
export const networkCode = (cause: unknown): string | undefined => {
  for (const one of causes(cause)) {
    const code = stringAt(one, "code")
    if (code !== undefined) return code
  }
  return undefined
}

/** True only where the request provably never left: the connection was not made, or its TLS handshake failed. */
export const neverSent = (code: string | undefined): boolean =>
  code !== undefined &&
  (notSentCodes.has(code) || code.startsWith("CERT_") || code.startsWith("ERR_TLS_") || code.includes("SELF_SIGNED") ||
    code.startsWith("UNABLE_TO_"))

export const networkAdvice = (code: string | undefined, origin: string): string => {
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return `nothing listens at ${origin}; check \`baseUrl\` (DUST_BASE_URL) and the network`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the host of ${origin} cannot be resolved; check \`baseUrl\` (DUST_BASE_URL) and the network`
    default:
      return code === undefined
        ? `the connection to ${origin} failed`
        : `the connection to ${origin} failed (${code})`
  }
}

/** A stream that could not be brought to its end. */
export const streamError = (
  identity: Identity,
  reason: StreamReason,
  message: string,
  more: {
    readonly lastEventId?: string | undefined
    /** What the stream failed of. */
    readonly cause?: RequestError | undefined
    readonly type?: string | undefined
    readonly details?: unknown
  } = {}
): DustStreamError => {
  const { cause } = more
  return new DustStreamError({
    ...common(identity, cause?.attempts ?? 1),
    message: `${identity.module}.${identity.method}: ${message}`,
    status: cause?.status,
    type: more.type ?? cause?.type,
    details: more.details ?? (cause === undefined ? { reason } : { reason, cause: cause._tag, message: cause.message }),
    requestId: cause?.requestId,
    retryAfter: cause?.retryAfter,
    reason,
    lastEventId: more.lastEventId
  }, { disableValidation: true })
}

/** Input that is refused before any request. */
export const badInput = (
  identity: Pick<Identity, "module" | "method"> & Partial<Pick<Identity, "http" | "route">>,
  field: string,
  expected: string,
  got?: string
): DustBadRequestError =>
  new DustBadRequestError({
    module: identity.module,
    method: identity.method,
    message: `${identity.module}.${identity.method}: ${field}: expected ${expected}${
      got === undefined ? "" : `, got ${got}`
    }`,
    type: "invalid_input",
    details: { field, expected },
    request: identity.http === undefined || identity.route === undefined
      ? undefined
      : { method: identity.http, route: identity.route },
    attempts: 0
  }, { disableValidation: true })

/** A credential that the server is known to refuse for this operation. */
export const wrongCredential = (identity: Identity): DustUserRequiredError =>
  new DustUserRequiredError({
    ...common(identity, 0),
    message: identity.credential === "key"
      ? `${identity.module}.${identity.method}: needs an API key; the configured credential is a user's access token`
      : `${identity.module}.${identity.method}: needs a user's access token (\`accessToken\`, DUST_ACCESS_TOKEN); the configured credential is an API key`,
    type: identity.credential === "key" ? "key_required" : "user_required",
    details: { required: identity.credential }
  }, { disableValidation: true })
