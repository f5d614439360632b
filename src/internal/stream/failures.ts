/** The errors of a stream. */
import * as Duration from "effect/Duration"
import type { DustNetworkError, StreamError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { network, streamError } from "../request/errors.ts"
import { isClosedClient, failureOf as transportFailure } from "../request/network.ts"
import type { Failure } from "./machine.ts"
import { eventLimit } from "./sse.ts"

/** The error for a broken connection, or for an HttpClient that was closed while in use. */
export const brokenOff = (operation: Identity, cause: unknown): DustNetworkError => {
  const code = transportFailure(cause).code
  return network(
    operation,
    1,
    isClosedClient(code)
      ? `the HttpClient was closed while the stream was open (${code}); the scope of its layer must outlive the stream`
      : "the connection closed before the end of the stream",
    { type: code, reachedServer: true }
  )
}

/** The error for a failure that the machine decided on. `lastEventId`: where another stream can continue. */
export const failureOf = (
  failure: Failure,
  source: { readonly operation: Identity; readonly silence: Duration.Duration | undefined; readonly truth: unknown },
  lastEventId: string | undefined
): StreamError => {
  const { operation, silence, truth } = source
  switch (failure._tag) {
    case "Refused":
      return failure.error
    case "Lost":
      return truth === undefined ? failure.error : streamError(
        operation,
        "ended",
        `the stream could not be continued: ${failure.error.message}`,
        { lastEventId, cause: failure.error }
      )
    case "Silent":
      return streamError(
        operation,
        "ended",
        `no event for ${
          silence === undefined ? "too long" : Duration.format(silence)
        }, and the run is still in progress`,
        { lastEventId }
      )
    case "Oversized":
      return streamError(operation, "event_too_large", `an event is longer than ${eventLimit} characters`, {
        lastEventId
      })
  }
}
