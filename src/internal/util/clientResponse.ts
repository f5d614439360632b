/** An answer of an HttpClient that is made here, rather than by a platform. */
import * as Cookies from "@effect/platform/Cookies"
import type * as Headers from "@effect/platform/Headers"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { concat } from "./joined.ts"

/** Where an answer comes from. */
export interface Source {
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies?: Cookies.Cookies | undefined
  readonly remoteAddress?: Option.Option<string> | undefined
  /** The whole body, where it is known already. */
  readonly bytes?: Uint8Array | undefined
  /** The body as a stream. `failure` maps the cause of an interruption to an error. */
  readonly stream: (
    failure: (cause: unknown) => HttpClientError.ResponseError
  ) => Stream.Stream<Uint8Array, HttpClientError.ResponseError>
}

const decoder = new TextDecoder()

export class ClientResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  private readonly source: Source
  private read: Effect.Effect<Uint8Array, HttpClientError.ResponseError> | undefined

  constructor(request: HttpClientRequest.HttpClientRequest, source: Source) {
    super()
    this.request = request
    this.source = source
  }

  get status(): number {
    return this.source.status
  }

  get headers(): Headers.Headers {
    return this.source.headers
  }

  get cookies(): Cookies.Cookies {
    return this.source.cookies ?? Cookies.empty
  }

  get remoteAddress(): Option.Option<string> {
    return this.source.remoteAddress ?? Option.none()
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
    return this.source.stream((cause) => this.failure(cause))
  }

  private get bytes(): Effect.Effect<Uint8Array, HttpClientError.ResponseError> {
    if (this.source.bytes !== undefined) return Effect.succeed(this.source.bytes)
    return this.read ??= Effect.runSync(Effect.cached(Effect.map(Stream.runCollect(this.stream), concat)))
  }

  get text(): Effect.Effect<string, HttpClientError.ResponseError> {
    return Effect.map(this.bytes, (bytes) => decoder.decode(bytes))
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
