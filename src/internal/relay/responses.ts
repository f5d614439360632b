/** Encoded events as a response of a server. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** The headers of an encoding, including its content type. */
type Headers = Readonly<Record<string, string>>

export const serverResponse = <R>(
  bytes: Stream.Stream<Uint8Array, never, R>,
  headers: Headers
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.map(Effect.context<R>(), (context) =>
    HttpServerResponse.stream(Stream.provideSomeContext(bytes, context), {
      headers,
      contentType: headers["content-type"]
    }))

export const webResponse = <R>(
  bytes: Stream.Stream<Uint8Array, never, R>,
  headers: Headers
): Effect.Effect<Response, never, R> =>
  Effect.map(Stream.toReadableStreamEffect(bytes), (body) => new Response(body, { headers }))
