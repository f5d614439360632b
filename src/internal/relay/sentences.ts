/** Failures in the words of a person. Their own messages are for developers: they name hosts, variables and methods. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"
import { warn } from "../telemetry/log.ts"

export const noAnswer = "The answer failed."
const unreachable = "Dust cannot be reached at the moment. Please try again later."

const sentences: { readonly [Tag in DustAPIError["_tag"]]: string } = {
  DustBadRequestError: "The request was not accepted.",
  DustUnauthorizedError: "Please sign in again.",
  DustUserRequiredError: "Please sign in to do this.",
  DustForbiddenError: "You may not do this.",
  DustNotFoundError: "It does not exist, or you do not have access to it.",
  DustConflictError: "The conversation is busy. Please try again in a moment.",
  DustContentTooLargeError: "The content is too large.",
  DustRateLimitError: "There are too many requests. Please try again in a minute.",
  DustQuotaExceededError: "The credits or limits of the workspace are used up.",
  DustServerError: unreachable,
  DustTimeoutError: unreachable,
  DustNetworkError: unreachable,
  DustDecodeError: noAnswer,
  DustStreamError: "The answer was interrupted. Please open it again.",
  DustAgentError: "The agent failed.",
  DustUnconfirmedError: "The message may or may not have arrived. Please look before you send it again."
}

/** Their details have what Dust said, and Dust says it to users. */
const said: ReadonlySet<string> = new Set<DustAPIError["_tag"]>([
  "DustBadRequestError",
  "DustForbiddenError",
  "DustNotFoundError",
  "DustConflictError",
  "DustContentTooLargeError",
  "DustQuotaExceededError",
  "DustAgentError"
])

export const sentenceOf = (error: DustAPIError): string => {
  const { details } = error
  if (error.type === "invalid_input") return error.message.replace(/^\w+\.\w+: /, "")
  if (error.type === "action_not_blocked") return "This has been decided already."
  if (error._tag === "DustAgentError" && error.code === "cancelled") return "The agent was stopped."
  if (error._tag === "DustStreamError" && error.reason === "waiting_for_human") {
    return "The answer waits for a decision."
  }
  return said.has(error._tag) && Predicate.hasProperty(details, "message") && typeof details.message === "string" &&
      details.message !== ""
    ? details.message
    : sentences[error._tag]
}

/** Logs the whole failure, because the page receives only a sentence. */
export const report = (error: unknown): Effect.Effect<void> => {
  if (!isDustAPIError(error)) return Effect.logError("A failure of the application ended a response", Cause.fail(error))
  switch (error._tag) {
    case "DustServerError":
    case "DustTimeoutError":
    case "DustNetworkError":
    case "DustDecodeError":
    case "DustStreamError":
    case "DustUnconfirmedError": {
      const { conversationId, messageId, requestId } = error
      return warn(`A failure was relayed to a page: ${error.message}`, { conversationId, messageId, requestId })
    }
    default:
      return Effect.void
  }
}
