/** An HttpClient that responds from a tape. */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { readBody } from "../local/server/inProcess.ts"
import { ClientResponse } from "../util/clientResponse.ts"
import { bytesOf, bytesOfFrame, sentBody } from "./bodies.ts"
import { CassetteMissError, type Deck } from "./match.ts"
import { credentialOf, queryOf } from "./record.ts"
import type { Redactor } from "./redact.ts"
import type { Exchange, RecordedFailure, RecordedRequest, RecordedResponse } from "./tape.ts"

/** The failure that was recorded. */
class RecordedCause extends Error {
  override readonly name = "RecordedCause"
  readonly code: string | undefined
  constructor({ code, message }: RecordedFailure) {
    super(message)
    this.code = code
  }
}

const terminated: RecordedFailure = { reason: "Decode", message: "terminated", code: "ECONNRESET" }

const asked = (
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  redactor: Redactor
): Effect.Effect<RecordedRequest, HttpClientError.RequestError> =>
  Effect.map(readBody(request), ({ bytes, contentType }) => {
    redactor.learnHeaders(request.headers)
    const body = sentBody(bytes, request.headers["content-type"] ?? contentType, Infinity)
    return redactor.exchange({
      number: 0,
      at: 0,
      millis: 0,
      request: {
        method: request.method,
        path: url.pathname,
        query: queryOf(url),
        headers: {},
        credential: credentialOf(request.headers),
        ...(body === undefined ? {} : { body })
      }
    }).request
  })

export interface Playing {
  readonly deck: Deck
  readonly redactor: Redactor
  readonly pace: "instant" | "recorded"
}

const streamOf = (
  exchange: Exchange,
  { body, end }: RecordedResponse,
  pace: Playing["pace"],
  failure: (cause: unknown) => HttpClientError.ResponseError
): Stream.Stream<Uint8Array, HttpClientError.ResponseError> => {
  const broken = end === "cut"
    ? Stream.fail(failure(new RecordedCause(exchange.failure ?? terminated)))
    : Stream.empty
  if (body !== undefined && "events" in body) {
    let at = 0
    const frames = Stream.mapEffect(Stream.fromIterable(body.events), (frame) => {
      const bytes = bytesOfFrame(frame)
      if (pace === "instant") return Effect.succeed(bytes)
      const wait = frame.at - at
      at = frame.at
      return Effect.delay(Effect.succeed(bytes), wait)
    })
    return Stream.concat(frames, broken)
  }
  const bytes = bytesOf(body)
  return bytes === undefined
    ? Stream.die(
      new CassetteMissError({
        message:
          `The tape has no body for number ${exchange.number}, ${exchange.request.method} ${exchange.request.path}: ${
            body !== undefined && "omitted" in body ? `its ${body.omitted} bytes were left out` : "it is a form"
          }`,
        request: exchange.request,
        nearest: exchange,
        differences: []
      })
    )
    : Stream.concat(bytes.length === 0 ? Stream.empty : Stream.make(bytes), broken)
}

const play = (
  request: HttpClientRequest.HttpClientRequest,
  exchange: Exchange,
  pace: Playing["pace"]
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> => {
  const { failure, response } = exchange
  if (response === undefined) {
    const known = failure ?? terminated
    return Effect.fail(
      new HttpClientError.RequestError({ request, reason: "Transport", cause: new RecordedCause(known) })
    )
  }
  return Effect.delay(
    Effect.succeed(
      new ClientResponse(request, {
        status: response.status,
        headers: Headers.fromInput(response.headers),
        stream: (made) => streamOf(exchange, response, pace, made)
      })
    ),
    pace === "recorded" && response.body !== undefined && !("events" in response.body) ? exchange.millis : 0
  )
}

export const replaying = ({ deck, pace, redactor }: Playing): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.flatMap(asked(request, url, redactor), (wanted) => {
      const found = deck.next(wanted)
      // A defect, so that no retry or fallback of the program under test hides it.
      return found instanceof CassetteMissError ? Effect.die(found) : play(request, found, pace)
    })
  )
