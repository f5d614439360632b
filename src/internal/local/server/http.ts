/** Requests, responses and failures of Local Dust, independent of sockets and promises. */
import type * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** A request with its complete body. Header names are lower-case. */
export interface LocalRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** The body exceeds the limit; `body` is the part that was read. */
  readonly tooLarge?: boolean | undefined
  /** Aborts when the client disconnects. */
  readonly signal?: AbortSignal | undefined
}

/** A broken connection. `refused`: never opened. `reset`: cut, before or after the headers. */
export class Reset extends Data.TaggedError("Reset")<{ readonly kind: "refused" | "reset" }> {}

/** A minimal pull stream: opened in a scope, then pulled piece by piece. */
export type Pull = Effect.Effect<Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<Reset>>, never, Scope.Scope>

export type LocalBody =
  | { readonly _tag: "Empty" }
  | { readonly _tag: "Bytes"; readonly bytes: Uint8Array }
  | {
    readonly _tag: "Stream"
    readonly stream: Stream.Stream<Uint8Array, Reset>
    /** The same stream without `Stream`'s overhead, which matters with ten thousand connections. */
    readonly pull?: Pull | undefined
  }

export interface LocalResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: LocalBody
}

/** A response in place of the regular one: an error envelope, a redirect, a plain 404. */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly response: LocalResponse }> {}

export type LocalFailure = Refusal | Reset

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const encodeText = (text: string): Uint8Array => encoder.encode(text)
export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes)

export const json = (
  value: unknown,
  options?: { readonly status?: number | undefined; readonly headers?: Readonly<Record<string, string>> | undefined }
): LocalResponse => {
  const bytes = encoder.encode(JSON.stringify(value))
  return {
    status: options?.status ?? 200,
    headers: { "content-type": "application/json", "content-length": String(bytes.length), ...options?.headers },
    body: { _tag: "Bytes", bytes }
  }
}

export const text = (
  value: string,
  options?: {
    readonly status?: number | undefined
    readonly contentType?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): LocalResponse => bytes(encoder.encode(value), { contentType: "text/plain;charset=UTF-8", ...options })

export const bytes = (
  value: Uint8Array,
  options: {
    readonly contentType?: string | undefined
    readonly status?: number | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): LocalResponse => ({
  status: options.status ?? 200,
  headers: {
    "content-type": options.contentType ?? "application/octet-stream",
    "content-length": String(value.length),
    ...options.headers
  },
  body: { _tag: "Bytes", bytes: value }
})

/** A response without a body. The status defaults to 200, as some routes return an empty 200. */
export const empty = (
  status = 200,
  headers: Readonly<Record<string, string>> = {}
): LocalResponse => ({
  status,
  headers: status === 204 ? headers : { "content-length": "0", ...headers },
  body: { _tag: "Empty" }
})

export const redirect = (location: string, status = 307): LocalResponse => empty(status, { location })

export const stream = (
  body: Stream.Stream<Uint8Array, Reset>,
  options?: {
    readonly status?: number | undefined
    readonly contentType?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): LocalResponse => ({
  status: options?.status ?? 200,
  headers: { "content-type": options?.contentType ?? "application/octet-stream", ...options?.headers },
  body: { _tag: "Stream", stream: body }
})

/** A response with a pull-based body. */
export const pulled = (pull: Pull, headers: Readonly<Record<string, string>>): LocalResponse => ({
  status: 200,
  headers,
  body: { _tag: "Stream", stream: Stream.fromPull(pull), pull }
})

/** The error envelope: `{ "error": { type, message, ...extra } }`. */
export const errorResponse = (
  status: number,
  type: string,
  message: string,
  extra?: Readonly<Record<string, unknown>>,
  headers?: Readonly<Record<string, string>>
): LocalResponse => json({ error: { type, message, ...extra } }, { status, headers })

/** Fails with the error envelope. */
export const refuse = (
  status: number,
  type: string,
  message: string,
  extra?: Readonly<Record<string, unknown>>,
  headers?: Readonly<Record<string, string>>
): Effect.Effect<never, Refusal> =>
  Effect.fail(new Refusal({ response: errorResponse(status, type, message, extra, headers) }))

/** Fails with `400 invalid_request_error`. */
export const badRequest = (message: string): Effect.Effect<never, Refusal> =>
  refuse(400, "invalid_request_error", message)
