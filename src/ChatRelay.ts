/**
 * An answer on its way to a browser: from a stream of `Chat` to Server-Sent Events, and back to the same events in the page.
 *
 * - On the server: {@link toHttpServerResponse} for `@effect/platform`, {@link toWebResponse} for everything that answers
 *   with a web `Response`, {@link toBytes} for the rest. `ChatRoutes` has the routes of a whole chat.
 * - In a page with Effect: {@link subscribe} reads them with `fetch` and resumes where a connection broke; {@link fromBytes}
 *   reads one connection. `ChatRelayClient` does the same without Effect, in a few kilobytes.
 *
 * Every event has an id to resume from: conversation, message and cursor. {@link placeOf} makes it into what
 * `chat.resume` takes. It comes from the page: call with the credential of its user, or see for yourself that the
 * conversation is theirs.
 *
 * @since 0.2.0
 */
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Chat } from "./Chat.ts"
import { ChatEvent } from "./ChatEvent.ts"
import { type DustAPIError, isDustAPIError } from "./DustAPIError.ts"
import { ConversationId, EventId, MessageId } from "./Ids.ts"
import { bytesOf } from "./internal/relay/bytes.ts"
import { isTransientStatus, pauseAfter, Reader } from "./internal/relay/reader.ts"
import { serverResponse, webResponse } from "./internal/relay/responses.ts"
import { noAnswer, report, sentenceOf } from "./internal/relay/sentences.ts"
import { makeShutdown, type Shutdown as ShutdownService } from "./internal/relay/shutdown.ts"
import { later } from "./internal/stream/cursor.ts"
import { eventLimit, Parser, TooLarge } from "./internal/stream/sse.ts"

/**
 * Where an answer is, and how far it has been read: what `chat.resume` takes.
 *
 * @category models
 * @since 0.2.0
 */
export interface Place {
  readonly conversationId: ConversationId
  /** The agent message. */
  readonly messageId: MessageId
  /** The last event that was read. Default: from the beginning. */
  readonly lastEventId?: EventId | undefined
}

/**
 * A place as the id of an event: one word that is safe in a header and, as any other value, has to be encoded in a path.
 *
 * @category ids
 * @since 0.2.0
 */
export const idOf = ({ conversationId, lastEventId, messageId }: Place): string =>
  [conversationId, messageId, ...(lastEventId === undefined ? [] : [lastEventId])]
    // `~` is what separates.
    .map((part) => encodeURIComponent(part).replaceAll("~", "%7E")).join("~")

const decoded = (part: string): string | undefined => {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

/**
 * The place that an id refers to; none for any other text.
 *
 * @category ids
 * @since 0.2.0
 */
export const placeOf = (id: string): Option.Option<Place> => {
  const [conversationId, messageId, lastEventId, ...more] = id.split("~").map(decoded)
  return !conversationId || !messageId || lastEventId === "" || more.length > 0
    ? Option.none()
    : Option.some({ conversationId, messageId, lastEventId })
}

/**
 * A failure as a page may see it: the last event of a stream that failed, and what {@link fromBytes} and {@link subscribe}
 * then fail with. It has only the fields below.
 *
 * @category errors
 * @since 0.2.0
 */
export class RelayedError extends Schema.TaggedError<RelayedError>("effect-dust/ChatRelay/RelayedError")(
  "RelayedError",
  {
    /** The tag of the failure on the server: `DustAgentError`, or one of the application's own. */
    error: Schema.String,
    /** One sentence for a person. Of the application's own failures only what `describe` says. */
    message: Schema.String,
    /** Dust's own code or type of the failure. */
    code: Schema.optional(Schema.String),
    conversationId: Schema.optional(ConversationId),
    messageId: Schema.optional(MessageId),
    lastEventId: Schema.optional(EventId)
  }
) {}

/**
 * The page could not be reached by the events. With an `id`, another {@link subscribe} can go on from there.
 *
 * - `network`: there was no answer, or it broke off
 * - `ended`: it ended without a last event
 * - `silent`: nothing came for too long, not even a comment
 * - `status`: any status but 200, in `status`
 * - `not_events`: it was no event stream
 * - `too_large`: one event was over the limit
 *
 * @category errors
 * @since 0.2.0
 */
export class RelayConnectionError extends Schema.TaggedError<RelayConnectionError>(
  "effect-dust/ChatRelay/RelayConnectionError"
)("RelayConnectionError", {
  message: Schema.String,
  reason: Schema.Literal("network", "ended", "silent", "status", "not_events", "too_large"),
  status: Schema.optional(Schema.Number),
  /** Of the last event that was read. */
  id: Schema.optional(Schema.String)
}) {}

/**
 * How events are sent.
 *
 * @category models
 * @since 0.2.0
 */
export interface RelayOptions<E = never> {
  /** After so long without an event a comment is sent, so that no proxy takes the connection for dead. Default 15 seconds. */
  readonly keepAlive?: Duration.DurationInput | undefined
  /**
   * Ends a response after this long; the page continues with the next one. For proxies that hold back a response until it
   * has ended. Default: a response lasts as long as the answer.
   */
  readonly maxDuration?: Duration.DurationInput | undefined
  /**
   * What a page may read about a failure. Defaults to one sentence in English, without anything internal. The message of the
   * error is logged on the server.
   */
  readonly describe?: ((error: E) => string) | undefined
}

/**
 * Ends the responses that are still open when its layer closes, so that a server that shuts down waits for no answer.
 *
 * @category shutdown
 * @since 0.2.0
 */
export class Shutdown extends Context.Tag("effect-dust/ChatRelay/Shutdown")<Shutdown, ShutdownService>() {}

/**
 * The {@link Shutdown} of a web handler: provide it to what makes the responses. When it closes, every open response ends
 * without a last event, and what `onInterrupt` chose for its run happens: `"cancel"` stops the agent, `"leave"` lets the page
 * continue at another instance. It closes before `Chat`, which then sends the cancellations, and waits at most `grace`
 * (default 5 seconds) for responses to end.
 *
 * @category shutdown
 * @since 0.2.0
 */
export const layerShutdown = (
  options: { readonly grace?: Duration.DurationInput | undefined } = {}
): Layer.Layer<Shutdown, never, Chat> =>
  Layer.scoped(Shutdown, Effect.zipRight(Chat, makeShutdown(options.grace ?? "5 seconds")))

/**
 * {@link layerShutdown} for an HTTP server of `@effect/platform`: it also closes before the server does. Without it, a server
 * that has to stop (SIGTERM) waits for every open answer to end by itself.
 *
 * @example
 * ```ts
 * import * as HttpRouter from "@effect/platform/HttpRouter"
 * import * as HttpServer from "@effect/platform/HttpServer"
 * import * as ChatRelay from "effect-dust/ChatRelay"
 * import { Layer } from "effect"
 *
 * // Below it, NodeHttpServer.layer and Dust.layerEnv.
 * const app = HttpRouter.empty.pipe(
 *   HttpServer.serve(),
 *   Layer.provide(ChatRelay.layerServerShutdown())
 * )
 * ```
 *
 * @category shutdown
 * @since 0.2.0
 */
export const layerServerShutdown = (
  options: { readonly grace?: Duration.DurationInput | undefined } = {}
): Layer.Layer<Shutdown, never, Chat | HttpServer.HttpServer> =>
  Layer.unwrapEffect(Effect.as(HttpServer.HttpServer, layerShutdown(options)))

/**
 * The headers of an event stream that nothing on the way may keep back, store or change.
 *
 * @category encoding
 * @since 0.2.0
 */
export const headers: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no"
}

const encodeEvent = Schema.encodeSync(ChatEvent)
const encodeError = Schema.encodeSync(RelayedError)
const decodeEvent = Schema.decodeUnknownEither(ChatEvent)
const decodeError = Schema.decodeUnknownOption(RelayedError)

const frameOf = (json: unknown, id: string | undefined): string =>
  `${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(json)}\n\n`

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/**
 * What a page may see of a failure: of Dust's own errors their tag, code and ids, and a sentence for a person; of others the
 * tag only, unless `describe` says more. The message of the error itself is for developers, and is in the log of the server.
 * For routes beside those of the relay.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toRelayedError = <E>(error: E, describe?: (error: E) => string): RelayedError => {
  const tag = Predicate.isRecord(error) ? text(error["_tag"]) : undefined
  const dust: Partial<DustAPIError> = isDustAPIError(error) ? error : {}
  return new RelayedError({
    error: tag ?? "Error",
    message: describe?.(error) ?? (isDustAPIError(error) ? sentenceOf(error) : noAnswer),
    code: "code" in dust ? text(dust.code) ?? dust.type : dust.type,
    conversationId: dust.conversationId,
    messageId: dust.messageId,
    lastEventId: "lastEventId" in dust ? dust.lastEventId : undefined
  })
}

/** Events as frames, each with the id to resume from. */
const framing = () => {
  let place: Place | undefined
  return (event: ChatEvent): string => {
    if (event._tag === "Started") {
      const { conversationId, eventId, messageId } = event
      place = { conversationId, messageId, lastEventId: eventId }
    } else if (place !== undefined && event.eventId !== undefined) {
      place = { ...place, lastEventId: later(place.lastEventId, event.eventId) }
    }
    // Text, which is most of what agents send, needs no encoding.
    const json = event._tag === "TextDelta" || event._tag === "Thinking" ? event : encodeEvent(event)
    return frameOf(json, place && idOf(place))
  }
}

/**
 * The events as bytes of `text/event-stream`. A failure becomes the last event ({@link RelayedError}); a defect is announced
 * to the page in general terms, and stays one.
 *
 * `onInterrupt` of the stream decides about the agent when the page goes away: `"cancel"` stops it,
 * `"leave"` lets the page come back with the id of the last event.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toBytes = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options: RelayOptions<NoInfer<E>> = {}
): Stream.Stream<Uint8Array, never, R> =>
  Stream.unwrapScoped(
    Effect.flatMap(Effect.serviceOption(Shutdown), (shutdown) =>
      bytesOf(events, {
        frame: framing(),
        failure: (error: E) => frameOf(encodeError(toRelayedError(error, options.describe)), undefined),
        report,
        defect: () => frameOf(encodeError(toRelayedError(undefined)), undefined),
        keepAlive: options.keepAlive ?? "15 seconds",
        maxDuration: options.maxDuration,
        shutdown: Option.getOrUndefined(shutdown)
      }))
  )

/**
 * The events as the response of an `@effect/platform` route. Credential and options of the effect that it runs in
 * (`DustClient.withCredential`) stay those of the stream.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toHttpServerResponse = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options?: RelayOptions<NoInfer<E>>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> => serverResponse(toBytes(events, options), headers)

/**
 * The events as a web `Response`. The stream is interrupted when the reader of the body cancels it, which servers do when the
 * page goes away.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toWebResponse = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options?: RelayOptions<NoInfer<E>>
): Effect.Effect<Response, never, R> => webResponse(toBytes(events, options), headers)

const parsed = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return data
  }
}

/**
 * One event from the `data` of a message, such as an `EventSource` has it: a {@link RelayedError} is the last one. What this
 * version does not know is `Other`, with the JSON as it was.
 *
 * @category decoding
 * @since 0.2.0
 */
export const fromData = (data: string): ChatEvent | RelayedError => {
  const json = parsed(data)
  const error = decodeError(json)
  if (Option.isSome(error)) return error.value
  return Either.getOrElse(decodeEvent(json), (): ChatEvent => ({
    _tag: "Other",
    event: {
      type: "unknown",
      eventId: undefined,
      kind: Predicate.hasProperty(json, "_tag") ? text(json._tag) ?? null : null,
      raw: json
    }
  }))
}

type Read = ChatEvent | RelayedError | RelayConnectionError

const readerOf = (id: string | undefined) => new Reader<ChatEvent | RelayedError>(id, fromData)

const connectionError = (
  reader: Reader<ChatEvent | RelayedError>,
  reason: RelayConnectionError["reason"],
  message: string,
  status?: number
) => new RelayConnectionError({ reason, message, status, id: reader.id })

const isError = (read: Read): read is RelayedError | RelayConnectionError =>
  read._tag === "RelayedError" || read._tag === "RelayConnectionError"

const readWith = <E, R>(
  reader: Reader<ChatEvent | RelayedError>,
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<ChatEvent, E | RelayedError | RelayConnectionError, R> =>
  Stream.suspend(() => {
    const parser = new Parser(eventLimit)
    return bytes.pipe(
      Stream.mapConcat((piece): ReadonlyArray<Read> => {
        const frames = parser.push(piece)
        return frames instanceof TooLarge
          ? [connectionError(reader, "too_large", `an event has more than ${frames.limit} characters`)]
          : reader.read(frames)
      }),
      Stream.mapEffect((read) => isError(read) ? Effect.fail(read) : Effect.succeed(read)),
      Stream.takeUntil((event) => event._tag === "Done"),
      Stream.concat(Stream.suspend(() =>
        reader.over
          ? Stream.empty
          : Stream.fail(connectionError(reader, "ended", "the events ended before the answer did"))
      ))
    )
  })

/**
 * The events of one connection, however its bytes are cut. Ends with `Done`, or fails: with what the server relayed, or with
 * `RelayConnectionError` when the bytes end before the answer does.
 *
 * @category decoding
 * @since 0.2.0
 */
export const fromBytes = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<ChatEvent, E | RelayedError | RelayConnectionError, R> =>
  Stream.suspend(() => readWith(readerOf(undefined), bytes))

/**
 * How a page follows an answer.
 *
 * @category models
 * @since 0.2.0
 */
export interface SubscribeOptions {
  /** Where to begin: the id of an event, such as {@link idOf} of `Started`. Default: `open` asks a question. */
  readonly id?: string | undefined
  /** Time without a byte, comments included, after which a connection is replaced. Defaults to 1 minute. */
  readonly silence?: Duration.DurationInput | undefined
  /**
   * How often to connect again in a row without a new event; a connection that the server kept open for five seconds does
   * not count. 0: never again. Defaults to 10.
   */
  readonly attempts?: number | undefined
}

/** A route explains a refusal in its body. */
const refusalOf = (response: Response): Promise<Option.Option<RelayedError>> =>
  response.text().then((body) => decodeError(parsed(body)), () => Option.none())

/** Another connection may do better, and asks nothing a second time. */
const isTransient = (error: RelayedError | RelayConnectionError): boolean =>
  error._tag === "RelayConnectionError" && error.id !== undefined &&
  (error.reason === "network" || error.reason === "ended" || error.reason === "silent" ||
    (error.status !== undefined && isTransientStatus(error.status)))

/**
 * The events of an answer, in the page: each once, over as many connections as it takes. `open` makes a connection: the
 * first one, where `id` is `undefined`, asks the question; all others go on behind `id`. A question whose connection breaks
 * before an event has come is not asked again: that is a `RelayConnectionError` without an id.
 *
 * @example
 * ```ts
 * import * as ChatRelay from "effect-dust/ChatRelay"
 * import { Stream } from "effect"
 *
 * const ask = (question: string) =>
 *   ChatRelay.subscribe((id, signal) =>
 *     id === undefined
 *       ? fetch("/ask", { method: "POST", body: JSON.stringify({ question }), signal })
 *       : fetch(`/events/${encodeURIComponent(id)}`, { signal })
 *   )
 *
 * // Without Effect in the rest of the page.
 * const show = async (question: string) => {
 *   for await (const event of Stream.toAsyncIterable(ask(question))) console.log(event._tag)
 * }
 * ```
 *
 * @category decoding
 * @since 0.2.0
 */
export const subscribe = (
  open: (id: string | undefined, signal: AbortSignal) => Promise<Response>,
  options: SubscribeOptions = {}
): Stream.Stream<ChatEvent, RelayedError | RelayConnectionError> =>
  Stream.suspend(() => {
    const reader = readerOf(options.id)
    const broken = () => connectionError(reader, "network", "the connection could not be made, or broke off")
    const silent = () => connectionError(reader, "silent", "nothing came for too long")
    const silence = options.silence ?? "1 minute"
    const connect = Effect.gen(function*() {
      const controller = yield* Effect.acquireRelease(
        Effect.sync(() => new AbortController()),
        (controller) => Effect.sync(() => controller.abort())
      )
      const response = yield* Effect.tryPromise({ try: () => open(reader.id, controller.signal), catch: broken }).pipe(
        Effect.timeoutFail({ duration: silence, onTimeout: silent })
      )
      const { body, status } = response
      if (status !== 200) {
        const said = isTransientStatus(status) ? Option.none() : yield* Effect.promise(() => refusalOf(response))
        return yield* Option.getOrElse(
          said,
          () => connectionError(reader, "status", `the answer was ${status}`, status)
        )
      }
      if (body === null || !(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
        return yield* connectionError(reader, "not_events", "the answer was no event stream")
      }
      const bytes = Stream.fromReadableStream({ evaluate: () => body, onError: broken })
      return readWith(reader, Stream.timeoutFail(bytes, silent, silence))
    })
    const { attempts = 10 } = options
    let fruitless = 0
    const clock = Effect.map(Effect.clock, (clock) => () => clock.unsafeCurrentTimeMillis())
    return Stream.unwrap(Effect.map(clock, (now) =>
      Stream.suspend(() => {
        reader.connecting(now())
        return Stream.unwrapScoped(connect)
      }).pipe(
        Stream.retry(
          Schedule.forever.pipe(
            Schedule.whileInput((error: RelayedError | RelayConnectionError) => {
              fruitless = reader.fruitless(now())
              return isTransient(error) && attempts > 0 && fruitless <= attempts
            }),
            Schedule.delayed(() => Duration.millis(pauseAfter(fruitless)))
          )
        )
      )))
  })
