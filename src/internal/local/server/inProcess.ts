/** The in-process transport: an HttpClient that calls the handler directly. */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ClientResponse, type Source } from "../../util/clientResponse.ts"
import { concat } from "../../util/joined.ts"
import { encodeText, type LocalRequest, type LocalResponse, type Reset } from "./http.ts"

export class TransportFailure extends Error {
  override readonly name = "TransportFailure"
  readonly code: string
  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
}

const noBytes = new Uint8Array()

const sourceOf = ({ body, headers, status }: LocalResponse): Source => ({
  status,
  headers: Headers.fromInput(headers),
  bytes: body._tag === "Empty" ? noBytes : body._tag === "Bytes" ? body.bytes : undefined,
  stream: (failure) => {
    switch (body._tag) {
      case "Empty":
        return Stream.empty
      case "Bytes":
        return Stream.make(body.bytes)
      case "Stream": {
        const terminated = () => failure(new TransportFailure("terminated", "ECONNRESET"))
        return body.pull === undefined
          ? Stream.mapError(body.stream, terminated)
          : Stream.fromPull(Effect.map(body.pull, Effect.mapError(Option.map(terminated))))
      }
    }
  }
})

export interface ReadBody {
  readonly bytes: Uint8Array
  readonly contentType: string | undefined
}

/** The bytes of a request body of any kind. */
export const readBody = (
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

/** An HttpClient over the handler. Redirects are returned to the caller, as by `undici.request`. */
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
          onSuccess: (response) => new ClientResponse(request, sourceOf(response)),
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
