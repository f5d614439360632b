/** Bodies of requests, bounded, on every server. */
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { joined } from "../util/joined.ts"

type Request = HttpServerRequest.HttpServerRequest

/** The route rejects the request without calling Dust. */
export class Refused {
  readonly _tag = "Refused"
  constructor(readonly status: number, readonly error: string, readonly message: string) {}
}

export const refused = (status: number, error: string, message: string): Effect.Effect<never, Refused> =>
  Effect.fail(new Refused(status, error, message))

const tooLarge = (limit: number) => refused(413, "ContentTooLarge", `the body must have at most ${limit} bytes`)

const notArrived = () => new Refused(400, "BadRequest", "the body did not arrive")

/** Express and others parse bodies before their routes run; a stream that was read never ends a second time. */
const wasRead = ({ source }: Request): boolean =>
  (Predicate.hasProperty(source, "readableEnded") && source.readableEnded === true) ||
  (Predicate.hasProperty(source, "bodyUsed") && source.bodyUsed === true)

/** What a body parser made of the body. */
const parsedBody = ({ source }: Request): unknown => Predicate.hasProperty(source, "body") ? source.body : undefined

const alreadyRead = () =>
  refused(500, "BodyAlreadyRead", "the body was read before the route; mount the chat routes before body parsers")

const checkSize = (request: Request, limit: number): Effect.Effect<void, Refused> =>
  Number(request.headers["content-length"] ?? 0) > limit ? tooLarge(limit) : Effect.void

const readBytes = (request: Request, limit: number): Effect.Effect<Uint8Array, Refused> =>
  Effect.suspend(() => {
    // A web request without a body has no stream.
    if (parsedBody(request) === null) return Effect.succeed(new Uint8Array())
    const parts: Array<Uint8Array> = []
    let size = 0
    return request.stream.pipe(
      Stream.mapError(notArrived),
      Stream.runForEach((part) => {
        size += part.length
        if (size > limit) return tooLarge(limit)
        parts.push(part)
        return Effect.void
      }),
      Effect.map(() => joined(parts, size))
    )
  })

const decoder = new TextDecoder()

/**
 * The text of the request if it was read through `request.text` or `request.json`, which remember it. Read otherwise, it
 * never comes.
 */
const remembered = (request: Request): Effect.Effect<string, Refused> =>
  request.text.pipe(
    Effect.timeoutOption("100 millis"),
    Effect.catchAll(() => Effect.succeed(Option.none<string>())),
    Effect.flatMap(Option.match({ onNone: alreadyRead, onSome: Effect.succeed }))
  )

const readText = (request: Request, limit: number): Effect.Effect<string, Refused> =>
  request.headers["content-length"] === undefined
    ? Effect.map(readBytes(request, limit), (bytes) => decoder.decode(bytes))
    // Remembered for the options of the routes, which may read it, too.
    : request.text.pipe(HttpIncomingMessage.withMaxBodySize(Option.some(limit)), Effect.mapError(notArrived))

const parsed = (text: string): Effect.Effect<unknown, Refused> =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new Refused(400, "BadRequest", "the body must be JSON")
  })

export const jsonOf = (request: Request, limit: number): Effect.Effect<unknown, Refused> =>
  Effect.suspend(() => {
    if (!wasRead(request)) {
      return Effect.zipRight(checkSize(request, limit), Effect.flatMap(readText(request, limit), parsed))
    }
    const body = parsedBody(request)
    return Predicate.isRecord(body) && !(body instanceof ReadableStream)
      ? Effect.succeed(body)
      : Effect.flatMap(remembered(request), parsed)
  })

export const bytesOf = (request: Request, limit: number): Effect.Effect<Uint8Array, Refused> =>
  Effect.suspend(() => {
    if (!wasRead(request)) return Effect.zipRight(checkSize(request, limit), readBytes(request, limit))
    const body = parsedBody(request)
    return !(body instanceof Uint8Array) ? alreadyRead() : body.length > limit ? tooLarge(limit) : Effect.succeed(body)
  })
