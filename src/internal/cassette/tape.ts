/** The model of a tape, and its encoding in lines. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/**
 * A tape that cannot be read. `line` is the line number in the file, starting at 1.
 *
 * @category errors
 * @since 0.2.0
 */
export class CassetteReadError extends Data.TaggedError("CassetteReadError")<{
  readonly message: string
  readonly line: number | undefined
}> {}

const Fields = Schema.Record({ key: Schema.String, value: Schema.String })

const Part = Schema.Struct({
  name: Schema.String,
  fileName: Schema.optional(Schema.String),
  contentType: Schema.optional(Schema.String),
  text: Schema.optional(Schema.String),
  bytes: Schema.optional(Schema.Number)
})

const Frame = Schema.Struct({
  at: Schema.Number,
  event: Schema.optional(Schema.String),
  id: Schema.optional(Schema.String),
  json: Schema.optional(Schema.Unknown),
  text: Schema.optional(Schema.String)
})

const Body = Schema.Union(
  Schema.Struct({ text: Schema.String }),
  Schema.Struct({ base64: Schema.String }),
  Schema.Struct({ parts: Schema.Array(Part) }),
  Schema.Struct({ events: Schema.Array(Frame) }),
  Schema.Struct({ omitted: Schema.Number }),
  // Last in the union: `Unknown` may be absent, so every object matches this member.
  Schema.Struct({ json: Schema.Unknown })
)

const Request = Schema.Struct({
  method: Schema.String,
  path: Schema.String,
  query: Schema.Record({ key: Schema.String, value: Schema.Union(Schema.String, Schema.Array(Schema.String)) }),
  headers: Fields,
  credential: Schema.Literal("apiKey", "accessToken", "none"),
  body: Schema.optional(Body)
})

const Response = Schema.Struct({
  status: Schema.Number,
  headers: Fields,
  body: Schema.optional(Body),
  end: Schema.Literal("complete", "left", "cut", "unread")
})

const Failure = Schema.Struct({ reason: Schema.String, message: Schema.String, code: Schema.optional(Schema.String) })

const Exchange = Schema.Struct({
  number: Schema.Number,
  at: Schema.Number,
  millis: Schema.Number,
  request: Request,
  response: Schema.optional(Response),
  failure: Schema.optional(Failure)
})

const Head = Schema.Struct({
  cassette: Schema.Literal(1),
  recordedAt: Schema.String,
  origin: Schema.String,
  workspaceId: Schema.optional(Schema.String),
  content: Schema.Literal("keep", "mask")
})

/** One part of a form. @category models @since 0.2.0 */
export interface FormPart extends Schema.Schema.Type<typeof Part> {}

/**
 * One frame of an event stream: `at` is the milliseconds since the request. `json` is its data; `text` is the raw frame
 * if it contains more.
 *
 * @category models
 * @since 0.2.0
 */
export interface EventFrame extends Schema.Schema.Type<typeof Frame> {}

/**
 * A body on the tape. Files in forms are kept by their size; a body above the limit of the recording is `omitted`, with its
 * size in bytes.
 *
 * @category models
 * @since 0.2.0
 */
export type RecordedBody = Schema.Schema.Type<typeof Body>

/** A request on the tape. Credentials are kept by their kind alone. @category models @since 0.2.0 */
export interface RecordedRequest extends Schema.Schema.Type<typeof Request> {}

/**
 * A response on the tape. `end` is `complete` if the body was read to its end, `left` if the client disconnected
 * before, `cut` if the connection broke, and `unread` if the body was never read.
 *
 * @category models
 * @since 0.2.0
 */
export interface RecordedResponse extends Schema.Schema.Type<typeof Response> {}

/** A request without an answer. @category models @since 0.2.0 */
export interface RecordedFailure extends Schema.Schema.Type<typeof Failure> {}

/**
 * A request with its response or failure. `number` is its place in the order of sending, `at` the milliseconds
 * since the recording began, `millis` the milliseconds until the response was complete.
 *
 * @category models
 * @since 0.2.0
 */
export interface Exchange extends Schema.Schema.Type<typeof Exchange> {}

/** The first line of a tape. @category models @since 0.2.0 */
export interface TapeHead extends Schema.Schema.Type<typeof Head> {}

/**
 * A recording. `origin` and `workspaceId` are those of the first request.
 *
 * @category models
 * @since 0.2.0
 */
export interface Tape extends TapeHead {
  readonly exchanges: ReadonlyArray<Exchange>
}

export const headLine = (head: TapeHead): string => `${JSON.stringify(Schema.encodeSync(Head)(head))}\n`

export const exchangeLine = (exchange: Exchange): string => `${JSON.stringify(Schema.encodeSync(Exchange)(exchange))}\n`

export const format = ({ exchanges, ...head }: Tape): string =>
  headLine(head) + [...exchanges].sort((a, b) => a.number - b.number).map(exchangeLine).join("")

const reason = (error: unknown): string =>
  ParseResult.isParseError(error)
    ? ParseResult.ArrayFormatter.formatErrorSync(error).slice(0, 3).map(({ message, path }) =>
      `${path.length === 0 ? "" : `${path.join(".")}: `}${message}`
    ).join("; ")
    : error instanceof Error
    ? error.message
    : String(error)

/** What a schema cannot say about an exchange; `undefined` if nothing is wrong. */
const faultOf = (exchange: Exchange): string | undefined => {
  if (exchange.response === undefined && exchange.failure === undefined) return "neither a response nor a failure"
  const { request, response } = exchange
  if (
    response !== undefined && !(Number.isInteger(response.status) && response.status >= 100 && response.status < 600)
  ) {
    return `response.status: ${response.status} is not an HTTP status`
  }
  for (const body of [request.body, response?.body]) {
    if (
      body !== undefined && "base64" in body &&
      !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(body.base64)
    ) {
      return "body.base64: not base64"
    }
  }
  return undefined
}

const isHead = (value: unknown): boolean => typeof value === "object" && value !== null && "cassette" in value

/** The problem of the first line, before its schema. */
const headProblem = (value: unknown): string | undefined => {
  if (!isHead(value)) return "it is not the first line of a tape, which begins with {\"cassette\":1"
  const version = (value as { readonly cassette: unknown }).cassette
  return version === 1 ? undefined : `version ${String(version)} is unknown; this package reads version 1`
}

export const parse = (text: string): Effect.Effect<Tape, CassetteReadError> =>
  Effect.gen(function*() {
    const lines = text.split(/\r?\n/).map((content, index) => ({ content, line: index + 1 })).filter(({ content }) =>
      content.trim() !== ""
    )
    const unreadable = (line: number, why: string) =>
      new CassetteReadError({ message: `Line ${line} of the tape is unreadable: ${why}`, line })
    const decode = <A, I>(
      schema: Schema.Schema<A, I>,
      { content, line }: (typeof lines)[number],
      problem: (value: unknown) => string | undefined
    ) =>
      Effect.try(() => JSON.parse(content) as unknown).pipe(
        Effect.mapError((error) => reason(error.error)),
        Effect.filterOrElse((value) => problem(value) === undefined, (value) => Effect.fail(problem(value) ?? "")),
        // A misspelt field of a tape that was edited by hand would be lost otherwise.
        Effect.flatMap((value) =>
          Effect.mapError(Schema.decodeUnknown(schema, { onExcessProperty: "error" })(value), reason)
        ),
        Effect.mapError((why) => unreadable(line, why))
      )
    const [first, ...rest] = lines
    if (first === undefined) {
      return yield* new CassetteReadError({ message: "The tape is empty", line: undefined })
    }
    const head = yield* decode(Head, first, headProblem)
    const lineOf = new Map<number, number>()
    const exchanges = yield* Effect.forEach(rest, (line) =>
      Effect.tap(
        decode(Exchange, line, (value) => isHead(value) ? "a second tape begins here" : undefined),
        (exchange) => {
          const problem = faultOf(exchange)
          if (problem !== undefined) return unreadable(line.line, problem)
          const before = lineOf.get(exchange.number)
          if (before !== undefined) return unreadable(line.line, `number ${exchange.number} is on line ${before}, too`)
          lineOf.set(exchange.number, line.line)
          return Effect.void
        }
      ))
    return { ...head, exchanges: exchanges.sort((a, b) => a.number - b.number) }
  })
