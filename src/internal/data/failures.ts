import type { RequestError } from "../../DustAPIError.ts"
import { credentialTypes } from "../request/classify.ts"

/**
 * Error types of Dust itself after which no other write to this data source can succeed. A 403 or 404 of a firewall or
 * proxy has none of them, and concerns a single document.
 */
const finalTypes: ReadonlySet<string> = new Set([
  // 401 and 403: the credential
  ...credentialTypes,
  "user_not_found",
  "user_authentication_required",
  "token_unavailable",
  "key_required",
  "user_required",
  // 403: write permission
  "data_source_auth_error",
  // 404: the data source
  "workspace_not_found",
  "space_not_found",
  "data_source_not_found",
  "table_not_found",
  "workspace_in_different_region"
])

/** Whether a failure ends a job, because no other document or row could be written either. */
export const cannotGoOn = (error: RequestError): boolean => {
  switch (error._tag) {
    case "DustUnauthorizedError":
    case "DustUserRequiredError":
    case "DustForbiddenError":
    case "DustNotFoundError":
      return error.type !== undefined && finalTypes.has(error.type)
    // The limit does not reset while the job could wait for it.
    case "DustRateLimitError":
      return error.retryAfter !== undefined
    default:
      return false
  }
}

/** Whether writing the same document again would always fail. */
export const isPermanent = (error: RequestError): boolean =>
  !error.isRetryable && error._tag !== "DustDecodeError" && error.type !== "workspace_quota_error"
