/** Records every exchange of an HttpClient as it ends. */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { codingOf, decompressed } from "../request/compression.ts"
import { ClientResponse } from "../util/clientResponse.ts"
import { concat } from "../util/joined.ts"
import { type Arrival, type Observed, observe, recordedBody, recordedEvents } from "./bodies.ts"
import type { Redactor } from "./redact.ts"
import type { Exchange, RecordedBody, RecordedRequest, RecordedResponse } from "./tape.ts"

const requestHeaders = new Set(["accept", "content-type", "last-event-id", "range"])
const responseHeaders = new Set([
  "accept-ranges",
  "content-disposition",
  "content-range",
  "content-type",
  "date",
  "location",
  "retry-after"
])

const only = (headers: Readonly<Record<string, string>>, names: ReadonlySet<string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => names.has(name)))

export const queryOf = (url: URL): Record<string, string | ReadonlyArray<string>> =>
  Object.fromEntries([...new Set(url.searchParams.keys())].map((name) => {
    const all = url.searchParams.getAll(name)
    return [name, all.length === 1 ? all[0]! : all]
  }))

export const credentialOf = (headers: Readonly<Record<string, string>>): RecordedRequest["credential"] => {
  const value = headers["authorization"]
  return value === undefined ? "none" : /^Bearer\s+sk-/i.test(value) ? "apiKey" : "accessToken"
}

/** An exchange in progress. */
export interface OpenExchange {
  /** The exchange so far. */
  readonly now: () => Exchange
  /** Ends the exchange in its current state. */
  readonly end: () => void
}

export interface Session {
  readonly redactor: Redactor
  /** The largest body on the tape, in bytes. */
  readonly limit: number
  readonly startedAt: number
  /** Called once when an exchange ends. */
  readonly ended: (exchange: Exchange) => void
  /** Called when a credential is seen for the first time. */
  readonly learned: () => void
  /** The exchanges in progress. */
  readonly open: Set<OpenExchange>
  count: number
  origin: string | undefined
}

/** One exchange, from its request to its end. */
class Recording implements OpenExchange {
  readonly #number: number
  #status: { readonly status: number; readonly headers: Record<string, string> } | undefined
  #pieces: Array<Uint8Array> = []
  #arrivals: Array<Arrival> = []
  #size = 0
  #read = false
  readonly #decoder = new TextDecoder()

  constructor(
    readonly session: Session,
    readonly startedAt: number,
    readonly clock: () => number,
    readonly request: () => RecordedRequest
  ) {
    this.#number = ++session.count
    session.open.add(this)
  }

  readonly now = (): Exchange => this.#exchange(this.#read ? "left" : "unread")

  readonly end = (): void => this.finish(this.#read ? "left" : "unread")

  answered(status: number, headers: Readonly<Record<string, string>>): void {
    if (this.session.redactor.learnHeaders(headers)) this.session.learned()
    this.#status = { status, headers: only(headers, responseHeaders) }
    // The bodies of redirects and of empty responses are never read.
    if ((status >= 300 && status < 400) || status === 204 || headers["content-length"] === "0") this.finish("complete")
  }

  get #isEvents(): boolean {
    return this.#status?.headers["content-type"]?.startsWith("text/event-stream") === true
  }

  arrived(piece: Uint8Array): void {
    this.#read = true
    this.#size += piece.length
    if (this.#size > this.session.limit) this.#pieces = []
    else if (this.#isEvents) {
      this.#arrivals.push({ at: this.clock() - this.startedAt, text: this.#decoder.decode(piece, { stream: true }) })
    } else this.#pieces.push(piece.slice())
  }

  #body(): RecordedBody | undefined {
    if (this.#size > this.session.limit) return { omitted: this.#size }
    if (this.#isEvents) return { events: recordedEvents(this.#arrivals) }
    return recordedBody(concat(this.#pieces), this.#status?.headers["content-type"] ?? "", this.session.limit)
  }

  #exchange(end: RecordedResponse["end"], failure?: Exchange["failure"]): Exchange {
    const body = this.#status === undefined ? undefined : this.#body()
    return {
      number: this.#number,
      at: this.startedAt - this.session.startedAt,
      millis: this.clock() - this.startedAt,
      request: this.request(),
      ...(this.#status === undefined ? {} : {
        response: { ...this.#status, ...(body === undefined ? {} : { body }), end }
      }),
      ...(failure === undefined ? {} : { failure })
    }
  }

  finish(end: RecordedResponse["end"], failure?: Exchange["failure"]): void {
    if (this.session.open.delete(this)) this.session.ended(this.#exchange(end, failure))
  }
}

const failureOf = (error: HttpClientError.HttpClientError): NonNullable<Exchange["failure"]> => {
  let code: string | undefined
  for (let cause: unknown = error.cause; typeof cause === "object" && cause !== null && code === undefined;) {
    if ("code" in cause && typeof cause.code === "string") code = cause.code
    cause = "cause" in cause ? cause.cause : undefined
  }
  return {
    reason: error.reason,
    message: error.cause instanceof Error ? error.cause.message : error.message,
    ...(code === undefined ? {} : { code })
  }
}

type Pull = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<HttpClientError.ResponseError>>

/** Records the body as the consumer reads it, decompressed so that redaction can find secrets. */
const noted = (
  inner: HttpClientResponse.HttpClientResponse,
  recording: Recording,
  failure: (cause: unknown) => HttpClientError.ResponseError
): Stream.Stream<Uint8Array, HttpClientError.ResponseError> =>
  Stream.fromPull(Effect.gen(function*() {
    yield* Effect.addFinalizer(() => Effect.sync(recording.end))
    const pull: Pull = yield* decompressed(
      yield* Stream.toPull(inner.stream),
      inner.headers["content-encoding"],
      (coding) => failure(new Error(`the body cannot be recorded: ${coding} cannot be decoded here`))
    )
    return Effect.onExit(pull, (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) return Chunk.forEach(exit.value, (piece) => recording.arrived(piece))
        const error = errorOf(exit)
        // An interruption is recorded when the scope closes.
        if (Option.isNone(error)) return
        Option.match(error.value, {
          onNone: () => recording.finish("complete"),
          onSome: (broken) => recording.finish("cut", failureOf(broken))
        })
      }))
  }))

const errorOf = <A, E>(exit: Exit.Exit<A, E>): Option.Option<E> =>
  Exit.isSuccess(exit) ? Option.none() : Cause.failureOption(exit.cause)

const recorded = (
  answering: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>,
  session: Session,
  { body, request }: Observed
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> =>
  Effect.flatMap(Effect.clock, (clock: Clock.Clock) => {
    const now = () => clock.unsafeCurrentTimeMillis()
    const url = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
    if (Either.isLeft(url)) return answering
    session.origin ??= url.right.origin
    if (session.redactor.learnHeaders(request.headers)) session.learned()
    const recording = new Recording(session, now(), now, () => {
      const sent = body()
      return {
        method: request.method,
        path: url.right.pathname,
        query: queryOf(url.right),
        headers: only(request.headers, requestHeaders),
        credential: credentialOf(request.headers),
        ...(sent === undefined ? {} : { body: sent })
      }
    })
    return answering.pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) {
            recording.finish(
              "cut",
              Option.match(errorOf(exit), { onNone: () => left, onSome: failureOf })
            )
          }
        })
      ),
      Effect.map((inner) => {
        recording.answered(inner.status, inner.headers)
        return new ClientResponse(request, {
          status: inner.status,
          headers: codingOf(inner.headers["content-encoding"]) === undefined
            ? inner.headers
            : Headers.remove(inner.headers, ["content-encoding", "content-length"]),
          cookies: inner.cookies,
          remoteAddress: inner.remoteAddress,
          stream: (failure) => noted(inner, recording, failure)
        })
      })
    )
  })

const left = { reason: "Interrupted", message: "the client disconnected before the response" }

/** The same client, recorded. */
export const recording = (self: HttpClient.HttpClient, session: Session): HttpClient.HttpClient => {
  const observed = new WeakMap<HttpClientRequest.HttpClientRequest, Observed>()
  return self.pipe(
    HttpClient.mapRequest((request) => {
      const one = observe(request, session.limit)
      observed.set(one.request, one)
      return one.request
    }),
    HttpClient.transform((answering, request) =>
      recorded(answering, session, observed.get(request) ?? observe(request, session.limit))
    )
  )
}
