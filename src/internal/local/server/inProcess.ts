/** The way in without a socket: an HttpClient whose responses come straight from the handler. */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { decodeText, encodeText, type LocalRequest, type LocalResponse, type Reset } from "./http.ts"

class TransportFailure extends Error {
  override readonly name = "TransportFailure"
  readonly code: string
  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
}

const concat = (pieces: Iterable<Uint8Array>): Uint8Array => {
  const all = Array.from(pieces)
  if (all.length === 1) return all[0]!
  const joined = new Uint8Array(all.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of all) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}

class LocalClientResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly headers: Headers.Headers
  private readonly response: LocalResponse
  private read: Effect.Effect<Uint8Array, HttpClientError.ResponseError> | undefined

  constructor(request: HttpClientRequest.HttpClientRequest, response: LocalResponse) {
    super()
    this.request = request
    this.response = response
    this.headers = Headers.fromInput(response.headers)
  }

  get status(): number {
    return this.response.status
  }

  get cookies(): Cookies.Cookies {
    return Cookies.empty
  }

  get remoteAddress(): Option.Option<string> {
    return Option.none()
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  private failure(cause: unknown): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }

  get stream(): Stream.Stream<Uint8Array, HttpClientError.ResponseError> {
    const { body } = this.response
    switch (body._tag) {
      case "Empty":
        return Stream.empty
      case "Bytes":
        return Stream.make(body.bytes)
      case "Stream": {
        const terminated = () => this.failure(new TransportFailure("terminated", "ECONNRESET"))
        return body.pull === undefined
          ? Stream.mapError(body.stream, terminated)
          : Stream.fromPull(Effect.map(body.pull, Effect.mapError(Option.map(terminated))))
      }
    }
  }

  private get bytes(): Effect.Effect<Uint8Array, HttpClientError.ResponseError> {
    const { body } = this.response
    if (body._tag === "Empty") return Effect.succeed(new Uint8Array())
    if (body._tag === "Bytes") return Effect.succeed(body.bytes)
    return this.read ??= Effect.runSync(Effect.cached(Effect.map(Stream.runCollect(this.stream), concat)))
  }

  get text(): Effect.Effect<string, HttpClientError.ResponseError> {
    return Effect.map(this.bytes, decodeText)
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return Effect.tryMap(this.text, {
      try: (text) => text === "" ? null : JSON.parse(text) as unknown,
      catch: (cause) => this.failure(cause)
    })
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.ResponseError> {
    return Effect.map(this.bytes, (bytes) => bytes.slice().buffer)
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.flatMap(this.bytes, (bytes) =>
      Effect.tryPromise({
        try: () => new Response(bytes.slice(), { headers: this.headers }).formData(),
        catch: (cause) => this.failure(cause)
      }))
  }
}

interface ReadBody {
  readonly bytes: Uint8Array
  readonly contentType: string | undefined
}

const readBody = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<ReadBody, HttpClientError.RequestError> => {
  const { body } = request
  const encodeError = (cause: unknown) => new HttpClientError.RequestError({ request, reason: "Encode", cause })
  const viaResponse = (init: BodyInit) =>
    Effect.tryPromise({
      try: async () => {
        const response = new Response(init)
        return {
          bytes: new Uint8Array(await response.arrayBuffer()),
          contentType: response.headers.get("content-type") ?? undefined
        }
      },
      catch: encodeError
    })
  switch (body._tag) {
    case "Empty":
      return Effect.succeed({ bytes: new Uint8Array(), contentType: undefined })
    case "Uint8Array":
      return Effect.succeed({ bytes: body.body, contentType: body.contentType })
    case "FormData":
      return viaResponse(body.formData)
    case "Stream":
      return Stream.runCollect(body.stream).pipe(
        Effect.map((pieces) => ({ bytes: concat(pieces), contentType: body.contentType })),
        Effect.mapError(encodeError)
      )
    case "Raw":
      if (typeof body.body === "string") {
        return Effect.succeed({ bytes: encodeText(body.body), contentType: body.contentType })
      }
      if (body.body instanceof Uint8Array) return Effect.succeed({ bytes: body.body, contentType: body.contentType })
      return viaResponse(body.body as BodyInit)
  }
}

/** An HttpClient over the handler. Redirects are handed to the caller, as `undici.request` does. */
export const makeClient = (
  handle: (request: LocalRequest) => Effect.Effect<LocalResponse, Reset>
): HttpClient.HttpClient =>
  HttpClient.make((request, url, signal) =>
    Effect.flatMap(readBody(request), ({ bytes, contentType }) => {
      const headers: Record<string, string> = { ...request.headers }
      if (contentType !== undefined) headers["content-type"] ??= contentType
      if (bytes.length > 0) headers["content-length"] = String(bytes.length)
      return handle({ method: request.method, url, headers, body: bytes, signal }).pipe(
        Effect.mapBoth({
          onSuccess: (response) => new LocalClientResponse(request, response),
          onFailure: (reset) =>
            new HttpClientError.RequestError({
              request,
              reason: "Transport",
              cause: reset.kind === "refused"
                ? new TransportFailure(`connect ECONNREFUSED ${url.host}`, "ECONNREFUSED")
                : new TransportFailure("socket hang up", "ECONNRESET")
            })
        })
      )
    })
  )
