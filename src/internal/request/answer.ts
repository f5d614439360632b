/** Reads the response of a call up to its size limit, and decodes it. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError } from "../../DustAPIError.ts"
import type { ResponseKind } from "../api/operation.ts"
import { decodeJson } from "../decode/json.ts"
import { type ByteSource, directSource } from "../stream/connection.ts"
import { joined } from "../util/joined.ts"
import { unreadable } from "./body.ts"
import { type Bytes, decompressed } from "./compression.ts"
import type { Context, Trip } from "./context.ts"
import * as errors from "./errors.ts"
import { failureOf } from "./network.ts"

type Answer = HttpClientResponse.HttpClientResponse

/** The text of a response. */
export const readText = (
  context: Context,
  trip: Trip,
  answer: Answer
): Effect.Effect<string, RequestError, Scope.Scope> => {
  const { call, headers } = trip
  trip.entering("body", call.settings.timeouts.body)
  const limit = context.config.maxResponseSize ?? Number.POSITIVE_INFINITY
  const coding = headers["content-encoding"]
  const over = () => errors.responseTooLarge(call.identity, trip.attempts, limit)
  if (Number(headers["content-length"] ?? Number.NaN) > limit) return Effect.fail(over())
  const broken = (cause: unknown) =>
    errors.network(call.identity, trip.attempts, "the connection closed before the end of the response", {
      type: failureOf(cause).code,
      reachedServer: true
    })
  const text = (pieces: ReadonlyArray<Uint8Array>, size: number) =>
    textOf(joined(pieces, size), headers["content-type"])
  const source = coding === undefined ? directSource(answer) : undefined
  if (source !== undefined) return whole(source, { limit, over, broken, text })
  return Effect.flatMap(Stream.toPull(answer.stream), (pull) =>
    Effect.flatMap(
      decompressed<RequestError>(
        Effect.mapError(
          pull,
          Option.flatMap((error): Option.Option<RequestError> =>
            error.reason === "EmptyBody" ? Option.none() : Option.some(broken(error.cause))
          )
        ),
        coding,
        (coding) => unreadable(call.identity, trip.attempts, coding),
        () => broken(undefined)
      ),
      (bytes) => collected(bytes, { limit, over, text })
    ))
}

/** How a body is read. */
interface Reading {
  /** In bytes. */
  readonly limit: number
  readonly over: () => RequestError
  readonly text: (pieces: ReadonlyArray<Uint8Array>, size: number) => string
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/**
 * Decodes a body. Dust sends UTF-8, and some gateways declare another encoding without changing it: the declaration
 * counts only for bytes that are not UTF-8.
 */
const textOf = (bytes: Uint8Array, contentType: string | undefined): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    const charset = /charset\s*=\s*"?([\w-]+)/i.exec(contentType ?? "")?.[1] ?? "utf-8"
    try {
      return new TextDecoder(charset).decode(bytes)
    } catch {
      return new TextDecoder().decode(bytes)
    }
  }
}

/** Reads a body to its end, without an Effect per chunk. */
const whole = (
  source: ByteSource,
  { broken, limit, over, text }: Reading & { readonly broken: (cause: unknown) => RequestError }
): Effect.Effect<string, RequestError> =>
  // If the attempt fails, the rest of the body is closed with its scope.
  Effect.async((resume) => {
    const pieces: Array<Uint8Array> = []
    let size = 0
    const finish = (result: Effect.Effect<string, RequestError>): void => {
      source.close()
      resume(result)
    }
    source.onArrival = () => {
      for (const piece of source.take()) {
        size += piece.length
        pieces.push(piece)
      }
      if (size > limit) finish(Effect.failSync(over))
      else if (source.end === undefined) source.demand()
      else if (Option.isNone(source.end)) finish(Effect.succeed(text(pieces, size)))
      else finish(Effect.fail(broken(source.end.value)))
    }
    source.onArrival()
  })

const collected = (
  pull: Bytes<RequestError>,
  { limit, over, text }: Reading
): Effect.Effect<string, RequestError> =>
  Effect.suspend(() => {
    const pieces: Array<Uint8Array> = []
    let size = 0
    const more: Effect.Effect<string, RequestError> = Effect.matchEffect(pull, {
      onFailure: Option.match({
        onNone: () => Effect.succeed(text(pieces, size)),
        onSome: (error) => Effect.fail(error)
      }),
      onSuccess: (chunk) => {
        for (const piece of chunk) {
          size += piece.length
          if (size > limit) return Effect.fail(over())
          pieces.push(piece)
        }
        return more
      }
    })
    return more
  })

/** Decodes the text of a response. */
export const decoded = <A>(
  trip: Trip,
  answer: Answer,
  kind: ResponseKind<A>,
  text: string
): Either.Either<A, RequestError> => {
  // Some proxies and services prepend a byte order mark, which not every client removes.
  const plain = text.startsWith("\ufeff") ? text.slice(1) : text
  if (kind._tag === "Text") {
    return isPage(trip)
      ? Either.left(notDust(trip, answer, "Dust's response", "no web page"))
      : Either.right(kind.decode(plain))
  }
  return Either.mapLeft(decodedJson(kind.schema, plain), ({ issues, json }) => {
    if (!json) {
      return notDust(trip, answer, "JSON", "JSON", isGzip(plain) ? "gzip without a content-encoding" : undefined)
    }
    const [first] = issues
    const at = first === undefined ? "" : `: ${first.path || "the body"} ${errors.requirement(first.message)}`
    return errors.decode(trip.call.identity, trip.attempts, `unexpected response${at}`, issues, {
      status: answer.status
    })
  })
}

/** A deeply nested response can exhaust the stack while it is decoded. */
const decodedJson: typeof decodeJson = (schema, text) => {
  try {
    return decodeJson(schema, text)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return Either.left({ json: true, issues: [{ path: "", message: "less deeply nested" }] })
  }
}

/** The first bytes of gzip, decoded as text. */
const isGzip = (text: string): boolean => text.startsWith("\u001f\ufffd")

/** No operation that is read as a whole returns a web page: it comes from a proxy or another server. */
const isPage = (trip: Trip): boolean => /^(?:text\/html|application\/xhtml)/i.test(trip.headers["content-type"] ?? "")

const notDust = (
  trip: Trip,
  answer: Answer,
  wanted: string,
  expected: string,
  received = trip.headers["content-type"]?.split(";")[0] ?? "a body without a content type"
): RequestError =>
  errors.decode(
    trip.call.identity,
    trip.attempts,
    `expected ${wanted} but received ${received}; check that \`baseUrl\` (DUST_BASE_URL) is the address of Dust`,
    [{ path: "", message: expected }],
    { status: answer.status }
  )
