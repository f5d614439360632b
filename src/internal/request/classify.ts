/** Classifies a failed response: by Dust's error type if it is more specific than the status, otherwise by status. */
import * as Predicate from "effect/Predicate"
import type { ErrorTag, Identity } from "../api/operation.ts"

const detailsLimit = 2048
const detailsDepth = 6
const detailsMembers = 32
/** How much of a page is searched for a message: expressions that strip tags are not linear. */
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

/** 401s about the credential itself. Every other 401 is about its permissions. */
export const credentialTypes: ReadonlySet<string> = new Set([
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

/** Only the text distinguishes a rate limit that a person must lift from one that resets. */
const cappedText = /\bcredits?\b|\bcap\b|\bquota\b|\bspend(?:ing)?\b|monthly|upgrade|top.?up|billing|24 hours/i

const refreshable: ReadonlySet<string> = new Set(["expired_oauth_token_error", "invalid_oauth_token_error"])

export const isTokenExpired = (error: { readonly status?: number | undefined; readonly type?: string | undefined }) =>
  error.status === 401 && error.type !== undefined && refreshable.has(error.type)

export interface Parsed {
  readonly type: string | undefined
  readonly message: string | undefined
  readonly nested: string | undefined
  /** Where the workspace is, if it is elsewhere. */
  readonly region: string | undefined
  readonly regionUrl: string | undefined
  readonly details: unknown
}

const stringAt = (value: unknown, key: string): string | undefined =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" ? value[key] : undefined

const nestedKeys = ["data_source_error", "run_error", "app_error", "connectors_error"]

/** The part of a response that an error keeps: readable, but bounded. */
const bounded = (value: unknown, depth = 0): unknown => {
  if (typeof value === "string") return value.length > detailsLimit ? `${value.slice(0, detailsLimit)}…` : value
  if (typeof value !== "object" || value === null) return value
  if (depth >= detailsDepth) return "…"
  if (Array.isArray(value)) return value.slice(0, detailsMembers).map((one) => bounded(one, depth + 1))
  return Object.fromEntries(
    Object.entries(value).slice(0, detailsMembers).map(([key, one]) => [key, bounded(one, depth + 1)])
  )
}

export const parseBody = (body: string): Parsed => {
  let json: unknown
  try {
    json = JSON.parse(body.startsWith("\ufeff") ? body.slice(1) : body)
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
      message: text.slice(0, 160),
      nested: undefined,
      region: undefined,
      regionUrl: undefined,
      details: bounded
    }
  }
  const error = Predicate.hasProperty(json, "error") ? json.error : json
  const nested = nestedKeys.flatMap((key) => Predicate.hasProperty(error, key) ? [error[key]] : [])[0]
  const redirect = Predicate.hasProperty(error, "redirect") ? error.redirect : undefined
  return {
    type: stringAt(error, "type"),
    message: typeof error === "string" ? error : stringAt(error, "message"),
    nested: stringAt(nested, "code") ?? stringAt(nested, "type"),
    region: stringAt(redirect, "region"),
    regionUrl: stringAt(redirect, "url"),
    details: bounded(error)
  }
}

export const classify = (identity: Identity, hasUser: boolean, status: number, parsed: Parsed): ErrorTag => {
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
    // Sent with a 500, although no retry can succeed: the message has a newer version.
    if (type === "message_outdated") return "DustConflictError"
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

export const advice = (tag: ErrorTag, parsed: Parsed, status: number): string => {
  if (parsed.region !== undefined) {
    return `; the workspace is in the region ${parsed.region}${
      parsed.regionUrl === undefined ? "" : ` (${parsed.regionUrl})`
    }; set \`region\` (DUST_REGION) or \`baseUrl\` (DUST_BASE_URL) accordingly`
  }
  switch (tag) {
    case "DustUnauthorizedError":
      return parsed.type === "workspace_auth_error"
        ? "; the credential does not belong to this workspace; check both the credential and the workspace id"
        : parsed.type === "webhook_source_auth_error"
        ? "; check the URL of the webhook"
        : "; check the API key or access token"
    case "DustUserRequiredError":
      return "; use a user's access token, because an API key does not identify a user"
    case "DustNotFoundError":
      return parsed.type === "workspace_not_found"
        ? "; check the workspace id and its region"
        : parsed.type === undefined && status === 404
        ? ": no such route; check `baseUrl` (DUST_BASE_URL)"
        : ""
    case "DustBadRequestError":
      return status === 407
        ? ": a proxy on the way to Dust requires authentication; check HTTP_PROXY"
        : parsed.type === "agent_inaccessible"
        ? "; Agents.list returns the available agents"
        : ""
    default:
      return ""
  }
}

/** A server's message on a single line of at most 300 characters. */
export const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
