/** The one stream path: every event once, in order, over as many connections as it takes. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as HashSet from "effect/HashSet"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { DustDecodeError, DustNetworkError, type RequestError, type StreamError } from "../../DustAPIError.ts"
import type { Input, Operation, Service as Client } from "../../DustClient.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Identity } from "../api/operation.ts"
import { common, networkCode, streamError } from "../request/errors.ts"
import { type ByteSource, Compressed, isEmptyBody, sourceOf } from "./connection.ts"
import { Cursor, later } from "./cursor.ts"
import * as Machine from "./machine.ts"
import { eventLimit, Parser, TooLarge } from "./sse.ts"

/** What the conversation says of a stream that cannot tell by itself. */
export type Truth<Event> =
  /** It is over, and this is how. */
  | { readonly _tag: "Ended"; readonly events: () => ReadonlyArray<Event> }
  /** It goes on. `waiting`: for a person, so that silence means nothing. `events`: those missed so far. */
  | { readonly _tag: "Alive"; readonly waiting: boolean; readonly events: () => ReadonlyArray<Event> }

export interface Source<Event, Route extends string> {
  readonly operation: Operation<Route, undefined, void>
  readonly input: Input<Route, undefined>
  readonly lastEventId: string | undefined
  /** An event from the JSON the server sent; `undefined` for one that has already been delivered in another way. */
  readonly decode: (data: unknown, eventId: string | undefined) => Event | undefined
  readonly isUnknown: (event: Event) => boolean
  /**
   * - `end`: nothing comes after this event
   * - `ask`: the stream may be over, `truth` has to say
   * - `go`: more will come
   */
  readonly verdict: (event: Event, data: unknown) => "end" | "ask" | "go"
  /** Reads the state behind the stream, when the stream alone cannot tell. `undefined`: there is nothing to ask. */
  readonly truth: Effect.Effect<Truth<Event>, RequestError> | undefined
  /** How long a stream may bring no event at all, while it waits for nobody. `undefined`: for ever. */
  readonly silence: Duration.Duration | undefined
}

/** The next events; `undefined` at the end. */
type Pull<Event> = Effect.Effect<Chunk.Chunk<Event> | undefined, StreamError>

interface Connection {
  readonly scope: Scope.CloseableScope
  readonly source: ByteSource
  readonly parser: Parser
  readonly since: number
  readonly idle: number
  /** Events it has brought, and those of them that are new. */
  seen: number
  fresh: number
  /** The server said that it closes, with everything delivered. */
  orderly: boolean
}

/** What the conversation says of a resumed run is held back this long for events that are on their way. */
const grace = { atLeast: 100, atMost: 1_000 }

/** Follows one stream: the interpreter of the machine. */
class Follower<Event, Route extends string> {
  readonly #client: Client
  readonly #source: Source<Event, Route>
  readonly #clock: Clock.Clock
  readonly #span: Tracer.Span
  readonly #options: Machine.Options
  /** Whether waits are made interruptible in a region that is not. */
  readonly #forced: boolean
  readonly #cursor: Cursor
  #state = Machine.initial
  /** What to do next, when there is nothing to hand out. */
  #action: Machine.Action
  #connection: Connection | undefined
  /** Everything up to here has arrived: the end of a page that came whole. */
  #reached: string | undefined

  /** Events that were read and not handed out, and what the last one means. */
  #events: Array<Event> = []
  #unknown = 0
  #verdict: "go" | "end" | "ask" = "go"
  #fresh = 0
  #delivered = 0
  #defect: unknown

  /** Time in which the consumer asks for nothing does not count. */
  #away = true
  /** Since when the connection has brought nothing, and since when no event has arrived. */
  #quietSince = 0
  #silentSince = 0
  #waiter: ((effect: Pull<Event>) => void) | undefined
  #expired: "idle" | "overdue" | undefined
  #watcher: Fiber.RuntimeFiber<void> | undefined
  #wakesAt = 0

  /** A look at the conversation beside the connection, and what came of it. */
  #look: Fiber.RuntimeFiber<Truth<Event>, RequestError> | undefined
  #answer: Exit.Exit<Truth<Event>, RequestError> | undefined
  #freshAtLook = 0
  /** What was learned of a resumed run is held back until then, because of events that are on their way. */
  #heldUntil = 0

  constructor(
    client: Client,
    source: Source<Event, Route>,
    context: { readonly clock: Clock.Clock; readonly span: Tracer.Span; readonly forced: boolean }
  ) {
    this.#client = client
    this.#source = source
    this.#clock = context.clock
    this.#span = context.span
    this.#forced = context.forced
    this.#cursor = new Cursor(source.lastEventId)
    this.#reached = source.lastEventId
    this.#options = {
      canAsk: source.truth !== undefined,
      silence: source.silence === undefined ? Infinity : Duration.toMillis(source.silence),
      resumes: source.lastEventId !== undefined
    }
    const [state, action] = Machine.next(this.#options, Machine.initial, { _tag: "Started" })
    this.#state = state
    this.#action = action
  }

  /** The next events; `undefined` at the end. */
  readonly pull: Pull<Event> = Effect.suspend(() => this.#step())

  /** Ends everything that is under way. */
  readonly close = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#waiter = undefined
      interrupt(this.#watcher)
      interrupt(this.#look)
      this.#span.attribute(Telemetry.attributes.streamConnections, this.#state.connections)
      this.#span.attribute(Telemetry.attributes.streamEvents, this.#delivered)
      this.#span.end(this.#clock.unsafeCurrentTimeNanos(), exit)
      return this.#disconnect
    })

  get #now(): number {
    return this.#clock.unsafeCurrentTimeMillis()
  }

  #signal(signal: Machine.Signal): void {
    const before = this.#state
    const [state, action] = Machine.next(this.#options, before, signal)
    this.#state = state
    this.#action = action
    // A limit may be nearer now than the one that the watcher waits for.
    if (before.quiet !== state.quiet || before.looking !== state.looking || before.looked !== state.looked) {
      interrupt(this.#watcher)
      this.#watcher = undefined
    }
  }

  #step(): Pull<Event> {
    if (this.#away) {
      this.#away = false
      this.#quietSince = this.#silentSince = this.#now
    }
    if (this.#defect !== undefined) return Effect.die(this.#defect)
    const action = this.#action
    switch (action._tag) {
      case "Read":
        return this.#connection === undefined ? this.#connect(false) : this.#read(this.#connection)
      case "Connect":
        return this.#connect(action.look)
      case "Look":
        this.#action = { _tag: "Read" }
        return Effect.zipRight(this.#lookBeside(this.#truth), this.pull)
      case "Ask":
        return this.#ask()
      case "BackOff":
        return this.#backOff(action.atLeast, action.atMost)
      case "End":
        return Effect.zipRight(this.#disconnect, Effect.succeed(undefined))
      case "Fail":
        return Effect.zipRight(this.#disconnect, Effect.fail(this.#failure(action.failure)))
    }
  }

  // -- Reading --------------------------------------------------------------------------------------------------------

  #read(connection: Connection): Pull<Event> {
    this.#digest(connection)
    if (this.#verdict !== "go") {
      const verdict = this.#verdict
      this.#verdict = "go"
      this.#signal({ _tag: "Received", verdict, fresh: connection.fresh })
      // Where the conversation decides, it does so before the events are handed out.
      return Effect.zipRight(this.#disconnect, verdict === "end" ? this.#emit() : this.pull)
    }
    if (this.#events.length > 0) {
      const { fruitless, looked, obstacles, phase, quiet } = this.#state
      if (phase !== "reading" || !looked || fruitless + obstacles + quiet > 0) {
        this.#signal({ _tag: "Received", verdict: "go", fresh: connection.fresh })
      }
      return this.#emit()
    }
    if (connection.parser.tooLarge) {
      this.#signal({ _tag: "Oversized" })
      return this.pull
    }
    if (this.#answer !== undefined && this.#now >= this.#heldUntil) {
      const answer = this.#answer
      this.#answer = undefined
      return this.#answered(answer, 0)
    }
    if (connection.source.end !== undefined) return this.#closed(connection, connection.source.end)
    const expired = this.#expired
    this.#expired = undefined
    if (expired === "idle") return this.#closed(connection, undefined)
    if (expired === "overdue") {
      this.#signal({ _tag: "Overdue" })
      return this.pull
    }
    if (this.#watcher !== undefined) return this.#parked
    return Effect.flatMap(Effect.forkDaemon(Effect.interruptible(this.#watch)), (fiber) => {
      this.#watcher = fiber
      return this.#parked
    })
  }

  /** Waits until something has arrived; the waiting fiber looks for itself, so that an interrupted one loses nothing. */
  get #parked(): Pull<Event> {
    return this.#forced ? Effect.interruptible(this.#wait) : this.#wait
  }

  readonly #wait: Pull<Event> = Effect.async((resume) => {
    this.#waiter = resume
    this.#connection?.source.demand()
  })

  #wake(): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.(this.pull)
  }

  /** Runs in the transport's own callback. */
  readonly #arrived = (): void => {
    const connection = this.#connection
    if (this.#waiter === undefined || connection === undefined) return
    this.#digest(connection)
    if (
      this.#events.length > 0 || this.#verdict !== "go" || connection.source.end !== undefined ||
      connection.parser.tooLarge || this.#defect !== undefined
    ) {
      this.#wake()
    } else {
      connection.source.demand()
    }
  }

  #digest(connection: Connection): void {
    const pieces = connection.source.take()
    if (pieces.length === 0) return
    try {
      for (const piece of pieces) {
        if (this.#verdict !== "go" || !this.#parse(connection, piece)) return
      }
    } catch (defect) {
      this.#defect = defect
    }
  }

  /** Everything that the next bytes complete, up to an event after which nothing can be taken for granted. */
  #parse(connection: Connection, bytes: Uint8Array): boolean {
    const frames = connection.parser.push(bytes)
    if (frames instanceof TooLarge) return false
    // Comments and blank lines are no progress; the parts of a long event are.
    if (frames.length === 0 && connection.parser.insideEvent) this.#quietSince = this.#now
    for (const frame of frames) {
      // Named events are the server's own; the first one of every connection is a handshake.
      if (frame.event !== undefined && frame.event !== "message") continue
      if (frame.data === "done") {
        connection.orderly = true
        continue
      }
      const envelope = parseEnvelope(frame.data)
      if (envelope === undefined) continue
      connection.seen++
      this.#quietSince = this.#now
      if (envelope.eventId !== undefined && !this.#cursor.accept(envelope.eventId)) continue
      if (isEndMarker(envelope.data)) {
        this.#verdict = "ask"
        continue
      }
      connection.fresh++
      this.#fresh++
      this.#silentSince = this.#quietSince
      const event = this.#source.decode(envelope.data, envelope.eventId)
      if (event === undefined) continue
      if (this.#source.isUnknown(event)) this.#unknown++
      this.#events.push(event)
      const verdict = this.#source.verdict(event, envelope.data)
      if (verdict === "go") continue
      this.#verdict = verdict
      return false
    }
    return true
  }

  #emit(): Pull<Event> {
    const events = this.#events
    this.#events = []
    this.#away = true
    this.#delivered += events.length
    const chunk = Effect.succeed(Chunk.unsafeFromArray(events))
    if (this.#unknown === 0) return chunk
    const unknown = this.#unknown
    this.#unknown = 0
    return Effect.zipRight(Metric.incrementBy(Telemetry.unknownEvents, unknown), chunk)
  }

  /** One timer for all waits of a connection: it sleeps until the limit that was the nearest one when it went to sleep. */
  readonly #watch: Effect.Effect<void> = Effect.suspend(() => {
    const connection = this.#connection
    if (this.#waiter === undefined || connection === undefined) return this.#watched
    const { at, timer } = Machine.deadline(this.#options, this.#state, {
      idle: connection.idle,
      quietSince: this.#quietSince,
      silentSince: this.#silentSince
    })
    const held = this.#answer === undefined ? Infinity : this.#heldUntil
    const left = Math.min(at, held) - this.#now
    if (left <= 0) {
      if (at <= held) this.#expired = timer
      this.#wake()
      return this.#watched
    }
    if (!Number.isFinite(left)) return this.#watched
    this.#wakesAt = this.#now + left
    return Effect.zipRight(this.#clock.sleep(Duration.millis(left)), this.#awoken)
  })

  readonly #watched: Effect.Effect<void> = Effect.sync(() => {
    this.#watcher = undefined
  })

  readonly #awoken: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.#now
    const late = now - this.#wakesAt
    // The process stood still: that was no silence, but the connection may be dead after it.
    if (late > Machine.standstill) {
      this.#quietSince = this.#silentSince = now
      const idle = this.#connection?.idle ?? Infinity
      if (late > idle) this.#quietSince -= idle
    }
    return this.#watch
  })

  // -- Connecting -----------------------------------------------------------------------------------------------------

  #connect(look: boolean): Pull<Event> {
    this.#action = { _tag: "Connect", look: false }
    const started = this.#now
    const connected = Effect.matchEffect(this.#open, {
      onSuccess: (connection) => {
        this.#connection = connection
        connection.source.onArrival = this.#arrived
        this.#cursor.connected()
        this.#quietSince = this.#now
        this.#signal({ _tag: "Connected" })
        if (this.#heldUntil === Infinity) {
          this.#heldUntil = this.#now + Math.min(Math.max(this.#now - started, grace.atLeast), grace.atMost)
        }
        return this.pull
      },
      onFailure: (error) =>
        Effect.flatMap(this.#client.settings, ({ retry, timeouts }) => {
          const took = this.#now - started
          const most = Duration.toMillis(timeouts.total) + Machine.standstill
          if (took > most) this.#silentSince += took - most
          this.#signal({
            _tag: "Unreachable",
            error,
            took: Math.min(took, most),
            patience: Duration.toMillis(retry.maxElapsed)
          })
          return this.pull
        })
    })
    if (!look || this.#source.truth === undefined) return connected
    this.#heldUntil = Infinity
    return Effect.zipRight(this.#lookBeside(this.#truth), connected)
  }

  get #open(): Effect.Effect<Connection, RequestError> {
    const { input, operation } = this.#source
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) => {
        const query = { ...input.query, lastEventId: later(this.#reached, this.#cursor.safePosition) }
        const opened = this.#client.open(operation, { ...input, query }, { accept: "text/event-stream" }).pipe(
          Effect.zip(this.#client.settings),
          Effect.flatMap(([response, { timeouts: { idle } }]) =>
            Effect.map(eventStreamOf(operation, response), (source): Connection => ({
              scope,
              source,
              parser: new Parser(eventLimit),
              since: this.#now,
              idle: Duration.toMillis(idle),
              seen: 0,
              fresh: 0,
              orderly: false
            }))
          ),
          Scope.extend(scope),
          Effect.withParentSpan(this.#span)
        )
        return Effect.onError(
          restore(this.#forced ? Effect.interruptible(opened) : opened),
          (cause) => Scope.close(scope, Exit.failCause(cause))
        )
      })
    )
  }

  readonly #disconnect: Effect.Effect<void> = Effect.suspend(() => {
    const current = this.#connection
    this.#connection = undefined
    this.#expired = undefined
    return current === undefined ? Effect.void : Effect.uninterruptible(Scope.close(current.scope, Exit.void))
  })

  /** `end`: how the body ended; `undefined` where the connection was silent for too long. */
  #closed(connection: Connection, end: Option.Option<unknown> | undefined): Pull<Event> {
    const { operation } = this.#source
    const error = end === undefined || Option.isNone(end) || isEmptyBody(end.value)
      ? undefined
      : brokenOff(operation, end.value)
    const now = this.#now
    const ahead = later(this.#reached, this.#cursor.latest)
    const signal: Machine.Closed = {
      _tag: "Closed",
      error,
      silent: end === undefined,
      orderly: error === undefined && connection.orderly,
      seen: connection.seen,
      fresh: connection.fresh,
      ahead: ahead !== this.#reached,
      lasted: now - connection.since,
      silentFor: now - this.#silentSince
    }
    if (Machine.settles(this.#state, signal)) this.#reached = ahead
    this.#signal(signal)
    const reason = signal.silent || (connection.seen === 0 && signal.lasted >= Machine.healthy)
      ? "silence"
      : error === undefined
      ? "page"
      : "failure"
    return this.#disconnect.pipe(
      Effect.zipRight(Effect.tagMetrics(Metric.increment(Telemetry.streamResumes), {
        operation: `${operation.module}.${operation.method}`,
        reason
      })),
      Effect.zipRight(this.pull)
    )
  }

  #backOff(atLeast: number, atMost: number): Pull<Event> {
    const started = this.#now
    return Effect.flatMap(Random.nextRange(atLeast, atMost), (planned) =>
      Effect.zipRight(
        this.#forced ? Effect.interruptible(Effect.sleep(planned)) : Effect.sleep(planned),
        Effect.suspend(() => {
          const took = this.#now - started
          if (took > planned + Machine.standstill) this.#silentSince += took - planned
          this.#signal({ _tag: "Waited", took, planned })
          return this.pull
        })
      ))
  }

  // -- Asking the conversation ----------------------------------------------------------------------------------------

  get #truth(): Effect.Effect<Truth<Event>, RequestError> {
    return this.#source.truth === undefined
      ? Effect.succeed({ _tag: "Alive", waiting: false, events: () => [] })
      : Effect.withParentSpan(this.#source.truth, this.#span)
  }

  #lookBeside(truth: Effect.Effect<Truth<Event>, RequestError>): Effect.Effect<void> {
    this.#freshAtLook = this.#fresh
    return Effect.map(Effect.forkDaemon(Effect.interruptible(truth)), (fiber) => {
      this.#look = fiber
      fiber.addObserver((exit) => {
        if (this.#look !== fiber) return
        this.#look = undefined
        this.#answer = exit
        if (this.#connection === undefined) return
        interrupt(this.#watcher)
        this.#watcher = undefined
        this.#wake()
      })
    })
  }

  #ask(): Pull<Event> {
    const look = this.#look
    const answer = this.#answer
    this.#look = undefined
    this.#answer = undefined
    const started = this.#now
    // One that is under way or has just come is as good as another one.
    const truth: Effect.Effect<Truth<Event>, RequestError> = answer ??
      (look === undefined ? this.#truth : Fiber.join(look))
    if (answer === undefined && look === undefined) this.#freshAtLook = this.#fresh
    return this.#disconnect.pipe(
      Effect.zipRight(Effect.exit(this.#forced ? Effect.interruptible(truth) : truth)),
      Effect.flatMap((exit) => this.#answered(exit, this.#now - started))
    )
  }

  #answered(exit: Exit.Exit<Truth<Event>, RequestError>, took: number): Pull<Event> {
    const now = this.#now
    const open = this.#connection !== undefined
    if (Exit.isFailure(exit)) {
      if (exit.cause._tag !== "Fail") return Effect.failCause(Cause.map(exit.cause, (error): StreamError => error))
      this.#signal({ _tag: "Unanswered", error: exit.cause.error, open, silentFor: now - this.#silentSince, took })
      return this.pull
    }
    const truth = exit.value
    const waiting = truth._tag === "Alive" && truth.waiting
    this.#signal({
      _tag: "Answered",
      ended: truth._tag === "Ended",
      waiting,
      fresh: open ? this.#fresh - this.#freshAtLook : undefined,
      silentFor: now - this.#silentSince,
      took
    })
    // The time that a person takes is no silence.
    if (waiting) this.#silentSince = now
    if (truth._tag === "Alive" || this.#action._tag === "End") this.#events.push(...truth.events())
    if (this.#events.length === 0) return this.pull
    return this.#action._tag === "End" ? Effect.zipRight(this.#disconnect, this.#emit()) : this.#emit()
  }

  #failure(failure: Machine.Failure): StreamError {
    const { operation, silence } = this.#source
    const lastEventId = this.#cursor.position
    switch (failure._tag) {
      case "Refused":
        return failure.error
      case "Lost":
        return this.#options.canAsk
          ? streamError(operation, "ended", `the stream could not be continued: ${failure.error.message}`, {
            lastEventId,
            cause: failure.error
          })
          : failure.error
      case "Silent":
        return streamError(
          operation,
          "ended",
          `no event for ${
            silence === undefined ? "too long" : Duration.format(silence)
          }, and the run is still in progress`,
          { lastEventId }
        )
      case "Oversized":
        return streamError(operation, "event_too_large", `an event is longer than ${eventLimit} characters`, {
          lastEventId
        })
    }
  }
}

const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined): void =>
  fiber?.unsafeInterruptAsFork(FiberId.none)

/** The body of a response that is an event stream; anything else is none of Dust's answers. */
const eventStreamOf = (
  operation: Identity,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<ByteSource, DustDecodeError, Scope.Scope> => {
  const contentType = response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase()
  const unexpected = (received: string) => {
    const issues = [{ path: "", message: "text/event-stream" }]
    return Effect.fail(
      new DustDecodeError({
        ...common(operation, 1),
        message: `${operation.module}.${operation.method}: expected text/event-stream but received ${received}`,
        status: response.status,
        type: "unexpected_answer",
        details: { issues },
        issues
      }, { disableValidation: true })
    )
  }
  if (response.status === 204 || response.status === 205) return unexpected(`an empty answer (${response.status})`)
  if (contentType !== undefined && contentType !== "text/event-stream") return unexpected(contentType)
  return Effect.flatMap(sourceOf(response), (source) =>
    source instanceof Compressed
      ? unexpected(`content-encoding ${response.headers["content-encoding"]}, which cannot be decompressed here`)
      : Effect.succeed(source))
}

const brokenOff = (operation: Identity, cause: unknown): DustNetworkError => {
  const code = networkCode(cause)
  const error = new DustNetworkError({
    ...common(operation, 1),
    message: `${operation.module}.${operation.method}: the connection broke off before the end`,
    type: code,
    details: { code },
    reachedServer: true
  }, { disableValidation: true })
  return !Machine.isClosedClient(error) ? error : new DustNetworkError({
    ...common(operation, 1),
    message:
      `${operation.module}.${operation.method}: the HttpClient was closed while the stream was open (${code}); the scope of its layer must outlive the stream`,
    type: code,
    details: { code },
    reachedServer: true
  }, { disableValidation: true })
}

const setUp = <Event, Route extends string>(
  client: Client,
  make: Effect.Effect<Source<Event, Route>, StreamError>
): Effect.Effect<Follower<Event, Route>, StreamError> =>
  Effect.flatMap(
    make,
    (source) =>
      Effect.checkInterruptible((interruptible) =>
        Effect.descriptorWith(({ interruptors }) =>
          Effect.clockWith((clock) =>
            Effect.map(
              Effect.makeSpan(`${source.operation.module}.${source.operation.method}`, {
                kind: "client",
                captureStackTrace: false,
                attributes: {
                  [Telemetry.attributes.workspaceId]: client.config.workspaceId,
                  [Telemetry.attributes.route]: source.operation.route
                }
              }),
              (span) =>
                // A finalizer of an interrupted fiber has to be able to wait; other regions give way to a caller's timeout.
                new Follower(client, source, {
                  clock,
                  span,
                  forced: !interruptible && HashSet.size(interruptors) === 0
                })
            )
          )
        )
      )
  )

/** How the streams of this module can be pulled without the layers of a Stream. */
const pulls = new WeakMap<object, Effect.Effect<Pull<unknown>, StreamError, Scope.Scope>>()

/**
 * Every event once, in order, over as many connections as it takes.
 *
 * A page that ends in order is followed by the next one at once; a connection that brings nothing is followed by a look at
 * the conversation; failures are followed by a growing pause. It ends on a terminal event, when the conversation says so, or
 * with a typed failure. Nothing is read before it is asked for.
 */
export const make = <Event, Route extends string>(
  client: Client,
  source: Source<Event, Route> | Effect.Effect<Source<Event, Route>, StreamError>
): Stream.Stream<Event, StreamError> => {
  const follower = setUp(client, Effect.isEffect(source) ? source : Effect.succeed(source))
  const stream: Stream.Stream<Event, StreamError> = Stream.fromChannel(
    Channel.unwrap(Effect.map(follower, ({ close, pull }) => {
      const loop: Channel.Channel<Chunk.Chunk<Event>, unknown, StreamError, unknown, void, unknown> = Channel.flatMap(
        Channel.fromEffect(pull),
        (chunk) => chunk === undefined ? Channel.void : Channel.flatMap(Channel.write(chunk), () => loop)
      )
      return Channel.ensuringWith(loop, close)
    }))
  )
  pulls.set(
    stream,
    Effect.map(
      Effect.acquireRelease(follower, ({ close }, exit) => close(exit)),
      ({ pull }) => pull
    )
  )
  return stream
}

/**
 * `Stream.toPull`, but cheaper for streams that {@link make} made and nobody changed: the next events, `undefined` at the
 * end. Its waits can be interrupted in regions that cannot, so that a caller's timeout holds there; `Stream.run` waits for a
 * fiber that cannot be interrupted.
 */
export const toPull = <Event, E, R>(
  stream: Stream.Stream<Event, E, R>
): Effect.Effect<Effect.Effect<Chunk.Chunk<Event> | undefined, E, R>, E, Scope.Scope | R> => {
  // What was kept for a stream has the types of that stream.
  const known = pulls.get(stream) as
    | Effect.Effect<Effect.Effect<Chunk.Chunk<Event> | undefined, E>, E, Scope.Scope>
    | undefined
  return known ??
    Effect.map(
      Stream.toPull(stream),
      (pull) => Effect.catchAll(pull, Option.match({ onNone: () => Effect.succeed(undefined), onSome: Effect.fail }))
    )
}

/** Runs a stream to its end: the last event. */
export const runLast = <Event, E, R>(stream: Stream.Stream<Event, E, R>): Effect.Effect<Option.Option<Event>, E, R> =>
  Effect.scoped(Effect.flatMap(toPull(stream), (pull) => {
    let last = Option.none<Event>()
    const loop: Effect.Effect<Option.Option<Event>, E, R> = Effect.flatMap(pull, (chunk) => {
      if (chunk === undefined) return Effect.succeed(last)
      last = Option.orElse(Chunk.last(chunk), () => last)
      return loop
    })
    return loop
  }))

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
