/** Failures of the SDK as failures of `@effect/ai`. Each keeps the original as its `cause`. */
import * as AiError from "@effect/ai/AiError"
import * as Option from "effect/Option"
import type { AgentOutputError } from "../../AgentFunction.ts"
import type { DustAPIError } from "../../DustAPIError.ts"

const module = "DustLanguageModel"

const methods = ["GET", "POST", "PATCH", "PUT", "DELETE"] as const

/** Method and route without what a URL or a header could give away. */
const requestOf = ({ request }: DustAPIError): typeof AiError.HttpRequestDetails.Type => ({
  method: methods.find((method) => method === request?.method) ?? "POST",
  url: request?.route ?? "",
  urlParams: [],
  hash: Option.none(),
  headers: {}
})

/** For an input that Dust does not support: `description` names the alternative. */
export const unmappable = (method: string, description: string): AiError.AiError =>
  new AiError.MalformedInput({ module, method, description })

export const aiError = (method: string) => (error: DustAPIError): AiError.AiError => {
  const { message: description, status } = error
  switch (error._tag) {
    case "DustBadRequestError":
      return new AiError.MalformedInput({ module, method, description, cause: error })
    case "DustDecodeError":
      return new AiError.MalformedOutput({ module, method, description, cause: error })
    case "DustNetworkError":
    case "DustTimeoutError":
      return new AiError.HttpRequestError({
        module,
        method,
        reason: "Transport",
        request: requestOf(error),
        description,
        cause: error
      })
  }
  if (status === undefined || error.request === undefined) {
    return new AiError.UnknownError({ module, method, description, cause: error })
  }
  const refused = new AiError.HttpResponseError({
    module,
    method,
    reason: "StatusCode",
    request: requestOf(error),
    response: { status, headers: {} },
    description
  })
  // This variant has no field for it, and is an `Error` like the others.
  refused.cause = error
  return refused
}

/** An answer that was asked for as JSON, and was none to the end. */
export const noObject = (method: string, error: AgentOutputError): AiError.AiError =>
  new AiError.MalformedOutput({ module, method, description: error.message, cause: error })
