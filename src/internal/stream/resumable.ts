import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError, StreamError } from "../../DustAPIError.ts"
import type { Input, Operation, Service as Client } from "../../DustClient.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Query } from "../api/operation.ts"
import * as Body from "../request/body.ts"
import { streamError } from "../request/errors.ts"
import { Cursor, later } from "./cursor.ts"
import { eventLimit, Parser, TooLarge } from "./sse.ts"

/** What is known of a stream that has gone quiet. */
export type Truth<Event> =
  /** It is over, and this is how. */
  | { readonly _tag: "Ended"; readonly events: ReadonlyArray<Event> }
  /** It goes on. `waiting`: for a person, so that silence means nothing. `events` were missed. */
  | { readonly _tag: "Alive"; readonly waiting: boolean; readonly events: ReadonlyArray<Event> }

export interface Source<Event, Route extends string> {
  readonly operation: Operation<Route, undefined, void>
  readonly input: Input<Route, undefined>
  readonly lastEventId: string | undefined
  /** An event from the JSON the server sent; whether it is unknown; whether it ends the stream. */
  readonly decode: (data: unknown, eventId: string | undefined) => Event
  readonly isUnknown: (event: Event) => boolean
  /**
   * - `end`: nothing comes after this event
   * - `ask`: the stream may be over, `truth` has to say
   * - `go`: more will come
   */
  readonly verdict: (event: Event, data: unknown) => "end" | "ask" | "go"
  /** Reads the state behind the stream, when the stream alone cannot tell. `undefined`: there is nothing to ask. */
  readonly truth: Effect.Effect<Truth<Event>, RequestError> | undefined
  /** How long a stream may bring nothing at all, while it waits for nobody. `undefined`: for ever. */
  readonly silence: Duration.Duration | undefined
}

interface Connection {
  readonly scope: Scope.CloseableScope
  readonly pull: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<RequestError>>
  readonly parser: Parser
  readonly since: number
  /** Events it has brought, and those of them that are new. */
  seen: number
  fresh: number
  /** The server said that it closes, with everything delivered. */
  orderly: boolean
  /** The server said that the run behind the stream is over. */
  over: boolean
}

const shortest = 250
const longest = 5_000
/** A connection that stayed open this long was no failure, even if it brought nothing. */
const healthy = 10_000
/** Where nothing comes at first, the events may be forgotten and the run over: the truth is asked after this time. */
const patience = 10_000
/** While a person is waited for, silence is what is expected: connections are replaced less and less often. */
const quietest = Duration.minutes(10)
/** So many connections in a row that brought nothing new, and the truth is asked, or what is known is left behind. */
const fruitless = 3

const backOff = (failures: number): Effect.Effect<void> =>
  Effect.flatMap(
    Random.nextRange(0.8, 1.2),
    (jitter) => Effect.sleep(Math.min(longest, shortest * 2 ** Math.min(failures, 10)) * jitter)
  )

/**
 * The one stream path: every event once, in order, over as many connections as it takes.
 *
 * A page that ends in order is followed by the next one at once; a connection that brings nothing is followed by a look at
 * the truth; failures are followed by a growing pause. It ends on a terminal event, on the truth, or with a typed failure.
 * Nothing is read before it is asked for.
 */
export const make = <Event, Route extends string>(
  client: Client,
  source: Source<Event, Route>
): Stream.Stream<Event, StreamError> => {
  const { operation } = source
  const name = `${operation.module}.${operation.method}`
  return Stream.fromPull(Effect.gen(function*() {
    const cursor = new Cursor(source.lastEventId)
    let connection: Connection | undefined
    let finished = false
    let failed: StreamError | undefined
    let probed = source.truth === undefined
    /** Everything up to here has arrived: the end of a page that came whole. */
    let reached = source.lastEventId
    let failures = 0
    let waiting = false
    let quiet = 0
    /** Since when nothing has come. Time in which nobody asks for more does not count. */
    let nothingSince: number | undefined
    let connections = 0
    /** Since when none could be made. */
    let downSince: number | undefined
    let delivered = 0

    const disconnect = Effect.uninterruptible(Effect.suspend(() => {
      const current = connection
      connection = undefined
      return current === undefined ? Effect.void : Scope.close(current.scope, Exit.void)
    }))
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        disconnect,
        Effect.annotateCurrentSpan({
          [Telemetry.attributes.streamConnections]: connections,
          [Telemetry.attributes.streamEvents]: delivered
        })
      )
    )

    const fail = (error: StreamError) => Effect.fail(Option.some(error))
    const end = Effect.fail(Option.none<StreamError>())

    const connect: Effect.Effect<Connection, Option.Option<RequestError>> = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) => {
        const from = later(reached, cursor.safePosition)
        const query: Query = { ...source.input.query, lastEventId: from }
        const opened = client.open(operation, { ...source.input, query }, { accept: "text/event-stream" }).pipe(
          Effect.zip(client.settings),
          Effect.flatMap(([response, { timeouts: { idle } }]) =>
            Body.pull(
              operation,
              response,
              quiet === 0 ? idle : Duration.max(idle, Duration.min(Duration.times(idle, 2 ** quiet), quietest))
            )
          ),
          Effect.zip(Clock.currentTimeMillis),
          Scope.extend(scope)
        )
        return restore(opened).pipe(
          Effect.map(([pull, since]): Connection => {
            connections++
            downSince = undefined
            cursor.connected()
            connection = {
              scope,
              pull,
              since,
              parser: new Parser(eventLimit),
              seen: 0,
              fresh: 0,
              orderly: false,
              over: false
            }
            return connection
          }),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
          Effect.mapError(Option.some)
        )
      })
    )

    /** Everything that the next bytes complete, up to the terminal event. */
    const parse = (current: Connection, bytes: Chunk.Chunk<Uint8Array>): ParsedEvents<Event> => {
      const events: Array<Event> = []
      let unknown = 0
      let ask = false
      for (const piece of bytes) {
        const frames = current.parser.push(piece)
        if (frames instanceof TooLarge) break
        for (const frame of frames) {
          // Named events are the server's own; the first one of every connection only says hello.
          if (frame.event !== undefined && frame.event !== "message") continue
          if (frame.data === "done") {
            current.orderly = true
            continue
          }
          const envelope = parseEnvelope(frame.data)
          if (envelope === undefined) continue
          current.seen++
          if (envelope.eventId !== undefined && !cursor.accept(envelope.eventId)) continue
          if (isEndMarker(envelope.data)) {
            current.over = true
            continue
          }
          const event = source.decode(envelope.data, envelope.eventId)
          current.fresh++
          probed = true
          if (source.isUnknown(event)) unknown++
          const verdict = source.verdict(event, envelope.data)
          events.push(event)
          if (verdict === "go") continue
          return { events, unknown, ended: verdict === "end", ask: verdict === "ask" }
        }
        if (current.over) ask = true
      }
      if (current.parser.tooLarge) {
        failed = streamError(
          operation,
          "event_too_large",
          `an event is longer than ${eventLimit} characters`,
          { lastEventId: cursor.position }
        )
      }
      return { events, unknown, ended: false, ask }
    }

    const emit = (events: ReadonlyArray<Event>, unknown = 0): Effect.Effect<Chunk.Chunk<Event>> => {
      delivered += events.length
      nothingSince = undefined
      const chunk = Effect.succeed(Chunk.unsafeFromArray(events))
      return unknown === 0 ? chunk : Effect.zipRight(Metric.incrementBy(Telemetry.unknownEvents, unknown), chunk)
    }

    /** Another connection, after the pause that the failures so far have earned. */
    const again: Pull<Event> = Effect.suspend(() =>
      failures === 0 ? pull : Effect.zipRight(backOff(failures - 1), pull)
    )

    const overdue = (now: number): boolean =>
      source.silence !== undefined && !waiting &&
      now - (nothingSince ?? now) > Duration.toMillis(source.silence)

    /** The same, where the truth has just been asked: it knows of no end, and of nobody who is waited for. */
    const againInTime: Pull<Event> = Effect.flatMap(
      Clock.currentTimeMillis,
      (now) =>
        source.silence !== undefined && overdue(now)
          ? fail(streamError(
            operation,
            "ended",
            `nothing came for ${Duration.format(source.silence)}, and the run has not ended`,
            { lastEventId: cursor.position }
          ))
          : again
    )

    /**
     * A stream that was there is tried for as long as the retry policy lasts, and not just as often as one request: a server
     * that is being replaced may be away for longer.
     */
    const unreachable = (error: RequestError): Pull<Event> =>
      Effect.flatMap(Effect.zip(client.settings, Clock.currentTimeMillis), ([{ retry }, now]) => {
        downSince ??= now
        if (connections > 0 && now - downSince < Duration.toMillis(retry.maxElapsed)) return again
        return fail(
          source.truth === undefined ? error : streamError(
            operation,
            "ended",
            `the stream could not be continued: ${error.message}`,
            { lastEventId: cursor.position, cause: error }
          )
        )
      })

    /**
     * Asks what the stream cannot tell. `broken`: it cannot be continued at the moment either.
     */
    const askTruth = (
      pending: ReadonlyArray<Event>,
      unknown: number,
      broken: RequestError | undefined
    ): Pull<Event> => {
      const onward = Effect.suspend(() =>
        broken !== undefined ? unreachable(broken) : pending.length > 0 ? emit(pending, unknown) : againInTime
      )
      if (source.truth === undefined) return onward
      return Effect.matchEffect(Effect.zip(source.truth, Clock.currentTimeMillis), {
        onFailure: (error) => {
          if (!error.isRetryable) return fail(error)
          if (broken === undefined) failures++
          return onward
        },
        onSuccess: ([truth, now]) => {
          const events = truth.events.length === 0 ? pending : [...pending, ...truth.events]
          if (truth._tag === "Ended") {
            finished = true
            return Effect.zipRight(disconnect, events.length === 0 ? end : emit(events, unknown))
          }
          waiting = truth.waiting
          quiet = waiting ? Math.min(quiet + 1, 10) : 0
          // The time that a person takes is no silence.
          if (waiting) nothingSince = now
          return events.length > 0 ? emit(events, unknown) : onward
        }
      })
    }

    const resumed = (reason: "page" | "silence" | "failure") =>
      Effect.tagMetrics(Metric.increment(Telemetry.streamResumes), { operation: name, reason })

    const closed = (current: Connection, error: RequestError | undefined): Pull<Event> =>
      Effect.zipRight(
        disconnect,
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (error !== undefined && !error.isRetryable) return fail(error)
          const orderly = error === undefined && current.orderly
          // One that broke off may have brought what is known ahead of what is not. What always does so would do it for
          // ever: that is behind us then.
          const whole = orderly || (current.fresh === 0 && failures + 1 >= fruitless)
          const before = reached
          if (whole) reached = later(reached, cursor.latest)
          const silent = error?._tag === "DustTimeoutError" && error.phase === "idle"
          const lasted = now - current.since >= healthy
          const reason = silent || (lasted && current.seen === 0)
            ? "silence"
            : error === undefined
            ? "page"
            : "failure"
          if (current.fresh > 0) {
            failures = error === undefined || silent ? 0 : 1
            return Effect.zipRight(resumed(reason), overdue(now) ? askTruth([], 0, undefined) : again)
          }
          // A page of what is known is a step, if it leads to the next one.
          if (orderly && reached !== before) return Effect.zipRight(resumed(reason), again)
          failures = lasted ? 0 : failures + 1
          if (reached !== before) return Effect.zipRight(resumed(reason), again)
          // One that broke off at once, or brought only what is known, does not say that there is nothing more.
          const telling = silent || lasted || (orderly && current.seen === 0) || failures >= fruitless
          return Effect.zipRight(resumed(reason), telling || overdue(now) ? askTruth([], 0, undefined) : again)
        })
      )

    const bytesOf = (current: Connection): Connection["pull"] => {
      if (probed) return current.pull
      return Effect.flatten(Effect.timeoutTo(current.pull, {
        duration: patience,
        onSuccess: Effect.succeed,
        onTimeout: () => {
          probed = true
          return Effect.fail(Option.none())
        }
      }))
    }

    const read = (current: Connection): Pull<Event> =>
      Effect.matchEffect(bytesOf(current), {
        onFailure: Option.match({
          onNone: () => closed(current, undefined),
          onSome: (error) => closed(current, error)
        }),
        onSuccess: (bytes) => {
          const { ask, ended, events, unknown } = parse(current, bytes)
          if (failed !== undefined) {
            return Effect.zipRight(disconnect, events.length > 0 ? emit(events, unknown) : pull)
          }
          if (ended) {
            finished = true
            return Effect.zipRight(disconnect, emit(events, unknown))
          }
          if (ask && current.fresh === 0) failures++
          if (events.length > 0) {
            failures = 0
            waiting = false
            quiet = 0
          }
          return ask
            ? Effect.zipRight(disconnect, askTruth(events, unknown, undefined))
            : events.length > 0
            ? emit(events, unknown)
            : pull
        }
      })

    const pull: Pull<Event> = Effect.suspend(() => {
      if (failed !== undefined) return fail(failed)
      if (finished) return end
      if (nothingSince === undefined) {
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          nothingSince = now
          return pull
        })
      }
      if (connection !== undefined) return read(connection)
      return Effect.matchEffect(connect, {
        onSuccess: read,
        onFailure: Option.match({
          onNone: () => end,
          // The request path has spent its attempts; the truth has the last word.
          onSome: (error) => error.isRetryable ? (failures++, askTruth([], 0, error)) : fail(error)
        })
      })
    })
    return pull
  })).pipe(
    Stream.withSpan(name, {
      kind: "client",
      captureStackTrace: false,
      attributes: {
        [Telemetry.attributes.workspaceId]: client.config.workspaceId,
        [Telemetry.attributes.route]: operation.route
      }
    })
  )
}

type Pull<Event> = Effect.Effect<Chunk.Chunk<Event>, Option.Option<StreamError>>

interface ParsedEvents<Event> {
  readonly events: ReadonlyArray<Event>
  readonly unknown: number
  readonly ended: boolean
  readonly ask: boolean
}

interface Envelope {
  readonly eventId: string | undefined
  readonly data: unknown
}

/** `undefined` for what carries nothing: the empty object of a handshake. Text that is not JSON is passed on as text. */
const parseEnvelope = (text: string): Envelope | undefined => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { eventId: undefined, data: text }
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return { eventId: undefined, data: json }
  const { data, eventId } = json as { readonly data?: unknown; readonly eventId?: unknown }
  if (data === undefined && eventId === undefined) {
    return Object.keys(json).length === 0 ? undefined : { eventId: undefined, data: json }
  }
  return { eventId: typeof eventId === "string" ? eventId : undefined, data }
}

const isEndMarker = (data: unknown): boolean =>
  typeof data === "object" && data !== null && "type" in data && data.type === "end-of-stream"
