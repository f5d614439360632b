/** The bytes of a file: from Dust, or from its storage, where an interrupted download can resume. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { CollectOptions, ReadOptions } from "../../File.ts"
import type { Operations } from "../api/endpoint.ts"
import type { files } from "../api/files.ts"
import type { Identity } from "../api/operation.ts"
import * as errors from "../request/errors.ts"
import { isRedirect } from "../request/redirect.ts"
import { delays } from "../request/retry.ts"

type Read = Operations<typeof files>["download"]["read"]

const collectLimit = 100 * 1024 * 1024

const capped = (
  identity: Identity,
  maxBytes: number | undefined,
  response: HttpClientResponse.HttpClientResponse,
  body: Stream.Stream<Uint8Array, RequestError>
): Stream.Stream<Uint8Array, RequestError> =>
  Stream.suspend(() => {
    const { headers } = response
    const declared = headers["content-encoding"] === undefined && headers["content-length"] !== undefined
      ? Number(headers["content-length"])
      : undefined
    const over = () => errors.overLimit(identity, "max_bytes", `the file has more than ${maxBytes} bytes (maxBytes)`)
    if (maxBytes !== undefined && declared !== undefined && declared > maxBytes) return Stream.fail(over())
    let received = 0
    return body.pipe(
      Stream.mapEffect((piece) => {
        received += piece.length
        return maxBytes !== undefined && received > maxBytes ? Effect.fail(over()) : Effect.succeed(piece)
      }),
      Stream.concat(Stream.suspend(() =>
        declared !== undefined && received < declared
          ? Stream.fail(
            errors.network(identity, 1, `the download ended after ${received} of ${declared} bytes`, {
              type: "truncated",
              reachedServer: true,
              details: { received, declared }
            })
          )
          : Stream.empty
      ))
    )
  })

const breaksOff = (error: RequestError): boolean =>
  error._tag === "DustNetworkError" || (error._tag === "DustTimeoutError" && error.phase === "idle")

const concat = (pieces: Chunk.Chunk<Uint8Array>): Uint8Array => {
  const joined = new Uint8Array(Chunk.reduce(pieces, 0, (sum, piece) => sum + piece.length))
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}

/** Resumes an interrupted download where it stopped, if the storage can send a range of the same file. */
const continued = (
  client: Client,
  operation: Read,
  location: string,
  { fileId, maxBytes }: ReadOptions,
  first: HttpClientResponse.HttpClientResponse
): Stream.Stream<Uint8Array, RequestError> =>
  Stream.unwrap(Effect.gen(function*() {
    const next = yield* Effect.flatMap(client.settings, ({ retry }) => delays(retry))
    const { headers } = first
    const version = headers["etag"] ?? headers["last-modified"]
    const resumes = headers["accept-ranges"] === "bytes" && version !== undefined &&
      headers["content-encoding"] === undefined
    let received = 0
    const go = (response: HttpClientResponse.HttpClientResponse): Stream.Stream<Uint8Array, RequestError> => {
      const left = maxBytes === undefined ? undefined : maxBytes - received
      return capped(operation, left, response, client.body(operation, response)).pipe(
        Stream.tap((piece) =>
          Effect.sync(() => {
            received += piece.length
          })
        ),
        Stream.catchAll((error) => resumes && breaksOff(error) ? Stream.unwrapScoped(again(error)) : Stream.fail(error))
      )
    }
    const again = (error: RequestError) =>
      Effect.gen(function*() {
        const delay = yield* next(error)
        if (Option.isNone(delay)) return yield* Effect.fail(error)
        yield* Effect.sleep(delay.value)
        const rest = yield* client.open(operation, {
          path: { fileId },
          url: location,
          headers: { range: `bytes=${received}-`, "if-range": version ?? "" }
        }, { accept: "*/*", origin: "storage" })
        // Any other status means the file from its beginning, or another file.
        return rest.status === 206 ? go(rest) : Stream.fail(error)
      })
    return go(first)
  }))

export const read = (
  client: Client,
  operation: Read,
  action: "download" | "view",
  options: ReadOptions
): Stream.Stream<Uint8Array, RequestError> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const outer = yield* Effect.scope
    const inner = yield* Scope.fork(outer, ExecutionStrategy.sequential)
    const response = yield* Scope.extend(
      client.open(operation, {
        path: { fileId: options.fileId },
        query: { action, version: options.version }
      }, { accept: "*/*", redirects: "return" }),
      inner
    )
    if (!isRedirect(response.status)) {
      return capped(operation, options.maxBytes, response, client.body(operation, response))
    }
    const location = response.headers["location"] ?? ""
    yield* Scope.close(inner, Exit.void)
    const stored = yield* client.open(operation, { path: { fileId: options.fileId }, url: location }, {
      accept: "*/*",
      origin: "storage"
    })
    return continued(client, operation, location, options, stored)
  }))

/** Collects the whole file in memory, within the time and size limits. */
export const collect = (
  client: Client,
  operation: Read,
  action: "download" | "view",
  { maxBytes = collectLimit, ...options }: CollectOptions
): Effect.Effect<Uint8Array, RequestError> =>
  client.withTotal(operation)(
    Effect.map(Stream.runCollect(read(client, operation, action, { ...options, maxBytes })), concat)
  )
