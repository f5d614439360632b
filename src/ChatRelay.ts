/**
 * Relays an answer to a browser: encodes a stream of `Chat` as Server-Sent Events, and decodes them in the page.
 *
 * - On the server, use {@link toHttpServerResponse} for `@effect/platform`, {@link toWebResponse} for servers that
 *   return a web `Response`, and {@link toBytes} for others. `ChatRoutes` provides the routes of a whole chat.
 * - In a page with Effect, {@link subscribe} reads the events with `fetch` and resumes after a broken connection;
 *   {@link fromBytes} reads a single connection. `ChatRelayClient` does the same without Effect, in a few kilobytes.
 *
 * Every event has an id to resume from, made of the conversation, the message and the cursor. {@link placeOf} turns it
 * into the argument of `chat.resume`. The id comes from the page: use the credential of its user, or check that the
 * user owns the conversation.
 *
 * @packageDocumentation
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
 * The position in an answer: the argument of `chat.resume`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Place {
  readonly conversationId: ConversationId
  /** The agent message. */
  readonly messageId: MessageId
  /** The last event that was read. Defaults to the beginning. */
  readonly lastEventId?: EventId | undefined
}

/**
 * Returns a place as the id of an event. The id is safe in a header; encode it in a path, like any other value.
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
 * Returns the place that an id refers to, or `None` for any other text.
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
 * A failure as the page sees it: the last event of a failed stream, and the error of {@link fromBytes} and {@link
 * subscribe}. It has only the fields below.
 *
 * @category errors
 * @since 0.2.0
 */
export class RelayedError extends Schema.TaggedError<RelayedError>("effect-dust/ChatRelay/RelayedError")(
  "RelayedError",
  {
    /** The tag of the failure on the server: `DustAgentError`, or a tag of the application. */
    error: Schema.String,
    /** One sentence for a person. Of the application's own failures only what `describe` says. */
    message: Schema.String,
    /** Dust's code or type of the failure. */
    code: Schema.optional(Schema.String),
    conversationId: Schema.optional(ConversationId),
    messageId: Schema.optional(MessageId),
    lastEventId: Schema.optional(EventId)
  }
) {}

/**
 * The page could not receive the events. With an `id`, another {@link subscribe} can continue from there.
 *
 * - `network`: no response, or the connection broke
 * - `ended`: the stream ended without a last event
 * - `silent`: nothing was received for too long, not even a comment
 * - `status`: a status other than 200, in `status`
 * - `not_events`: the response is not an event stream
 * - `too_large`: an event exceeds the limit
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
  /** The id of the last event that was read. */
  id: Schema.optional(Schema.String)
}) {}

/**
 * Options for sending events.
 *
 * @category models
 * @since 0.2.0
 */
export interface RelayOptions<E = never> {
  /**
   * The time without an event after which a comment is sent, so that proxies keep the connection open. Defaults to 15
   * seconds.
   */
  readonly keepAlive?: Duration.DurationInput | undefined
  /**
   * Ends each response after this time; the page continues with the next one. For proxies that buffer a response until
   * it ends. By default, a response lasts as long as the answer.
   */
  readonly maxDuration?: Duration.DurationInput | undefined
  /**
   * Returns the message of a failure for the page. Defaults to the messages of Dust's errors, and to none for others.
   */
  readonly describe?: ((error: E) => string) | undefined
}

/**
 * Ends open responses when its layer closes, so that a server can shut down without waiting for answers.
 *
 * @category shutdown
 * @since 0.2.0
 */
export class Shutdown extends Context.Tag("effect-dust/ChatRelay/Shutdown")<Shutdown, ShutdownService>() {}

/**
 * The {@link Shutdown} of a web handler: provide it to the effects that make responses. When it closes, every open
 * response ends without a last event, and `onInterrupt` applies to its run: `"cancel"` stops the agent, `"leave"` lets
 * the page continue at another instance. It closes before `Chat`, which then sends the cancellations, and waits up to
 * `grace` (5 seconds by default) for responses to end.
 *
 * @category shutdown
 * @since 0.2.0
 */
export const layerShutdown = (
  options: { readonly grace?: Duration.DurationInput | undefined } = {}
): Layer.Layer<Shutdown, never, Chat> =>
  Layer.scoped(Shutdown, Effect.zipRight(Chat, makeShutdown(options.grace ?? "5 seconds")))

/**
 * {@link layerShutdown} for an HTTP server of `@effect/platform`; it closes before the server. Without it, a server
 * that stops (SIGTERM) waits until every open answer ends.
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
 * The headers of an event stream that proxies must not buffer, store or change.
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
 * Returns the parts of a failure that a page may see: tag, message, code and ids of Dust's errors, and only the tag of
 * others, unless `describe` adds a message. For routes of your own beside the relay.
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

/** Encodes events as frames, each with the id to resume from. */
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
 * Encodes events as bytes of `text/event-stream`. A failure becomes the last event ({@link RelayedError}). A defect is
 * announced to the page in general terms, and remains a defect.
 *
 * `onInterrupt` of the stream decides what happens to the run when the page disconnects: `"cancel"` stops the agent,
 * `"leave"` lets the page return with the id of the last event.
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
 * Encodes events as the response of an `@effect/platform` route. The stream keeps the credential and the options of the
 * effect that it runs in (`DustClient.withCredential`).
 *
 * @category encoding
 * @since 0.2.0
 */
export const toHttpServerResponse = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options?: RelayOptions<NoInfer<E>>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> => serverResponse(toBytes(events, options), headers)

/**
 * Encodes events as a web `Response`. The stream is interrupted when the reader of the body cancels it, as servers do
 * when the page disconnects.
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
 * Decodes an event from the `data` of a message, for example of an `EventSource`. A {@link RelayedError} is the last
 * event. An unknown event becomes `Other` with its JSON.
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
          : Stream.fail(connectionError(reader, "ended", "the event stream ended before the answer"))
      ))
    )
  })

/**
 * Decodes the events of one connection, regardless of where its bytes are split. Ends with `Done`; fails with the
 * relayed failure, or with `RelayConnectionError` if the bytes end before the answer.
 *
 * @category decoding
 * @since 0.2.0
 */
export const fromBytes = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<ChatEvent, E | RelayedError | RelayConnectionError, R> =>
  Stream.suspend(() => readWith(readerOf(undefined), bytes))

/**
 * Options for following an answer in a page.
 *
 * @category models
 * @since 0.2.0
 */
export interface SubscribeOptions {
  /** The id of the event to continue after, such as {@link idOf} of `Started`. By default, `open` asks a question. */
  readonly id?: string | undefined
  /** The time without any byte, including comments, after which a connection is replaced. Defaults to 1 minute. */
  readonly silence?: Duration.DurationInput | undefined
  /**
   * The maximum number of consecutive reconnections without a new event, not counting connections that stayed open for
   * five seconds. 0 disables reconnection. Defaults to 10.
   */
  readonly attempts?: number | undefined
}

/** A route explains a refusal in its body. */
const refusalOf = (response: Response): Promise<Option.Option<RelayedError>> =>
  response.text().then((body) => decodeError(parsed(body)), () => Option.none())

/** Whether another connection may succeed without asking again. */
const isTransient = (error: RelayedError | RelayConnectionError): boolean =>
  error._tag === "RelayConnectionError" && error.id !== undefined &&
  (error.reason === "network" || error.reason === "ended" || error.reason === "silent" ||
    (error.status !== undefined && isTransientStatus(error.status)))

/**
 * Streams the events of an answer in the page, each once, across as many connections as needed. `open` makes a
 * connection: the first one, with `id` `undefined`, asks the question; later ones continue after `id`. If the first
 * connection breaks before any event, the question is not asked again; the stream fails with a `RelayConnectionError`
 * without an id.
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
    const broken = () => connectionError(reader, "network", "the connection failed")
    const silent = () => connectionError(reader, "silent", "nothing was received for too long")
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
          () => connectionError(reader, "status", `the server responded with ${status}`, status)
        )
      }
      if (body === null || !(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
        return yield* connectionError(reader, "not_events", "the response is not an event stream")
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
