/** Follows one event stream: executes the machine's decisions. */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type { RequestError, StreamError } from "../../DustAPIError.ts"
import type { Input, Operation, Service as Client } from "../../DustClient.ts"
import { type Deadline, type Deadlines, deadlinesOf } from "../request/deadlines.ts"
import type { StreamTelemetry } from "../telemetry/stream.ts"
import { connect, type Connection } from "./connect.ts"
import { isEmptyBody } from "./connection.ts"
import { Cursor, later } from "./cursor.ts"
import { type Decoding, EventReader } from "./eventReader.ts"
import { brokenOff, failureOf } from "./failures.ts"
import * as Machine from "./machine.ts"
import type * as Pulled from "./pulled.ts"

/** The state of the conversation, for a stream that cannot determine its own end. */
export type Truth<Event> =
  /** The run is over; `events` end the stream. */
  | { readonly _tag: "Ended"; readonly events: () => ReadonlyArray<Event> }
  /** The run continues. `waiting`: for a person, so silence is expected. `events`: those missed so far. */
  | { readonly _tag: "Alive"; readonly waiting: boolean; readonly events: () => ReadonlyArray<Event> }

export interface Source<Event, Route extends string> extends Decoding<Event> {
  readonly operation: Operation<Route, undefined, void>
  readonly input: Input<Route, undefined>
  readonly lastEventId: string | undefined
  /** The run existed before this stream: its state is read alongside the first connection. */
  readonly resumes: boolean
  /** Reads the state of the conversation. `undefined`: the stream has no conversation. */
  readonly truth: Effect.Effect<Truth<Event>, RequestError> | undefined
  /** How long a stream may deliver no event while it is not waiting for a person. `undefined`: no limit. */
  readonly silence: Duration.Duration | undefined
}

type Pull<Event> = Pulled.Pull<Event, StreamError>

/** The state of a resumed run is held back this long for events in transit. */
const grace = { atLeast: 100, atMost: 1_000 }

/** Follows one stream: the interpreter of the machine. */
export class Follower<Event, Route extends string> implements Pulled.Pulled<Event, StreamError> {
  readonly #client: Client
  readonly #source: Source<Event, Route>
  readonly #clock: Clock.Clock
  readonly #telemetry: StreamTelemetry
  readonly #options: Machine.Options
  /** Whether waits are made interruptible in an uninterruptible region. */
  readonly #forced: boolean
  readonly #cursor: Cursor
  #state = Machine.initial
  /** The next action, when there are no events to emit. */
  #action: Machine.Action
  #connection: Connection | undefined
  /** Everything up to this id has arrived: the end of a complete page. */
  #reached: string | undefined

  readonly #reader: EventReader<Event>
  /** Whether the consumer is away: time without demand does not count. */
  #away = true
  #waiter: ((effect: Pull<Event>) => void) | undefined
  #expired: "idle" | "overdue" | undefined
  readonly #deadlines: Deadlines
  /** One deadline for all waits of a connection. It expires at the limit that was nearest when it was set. */
  readonly #deadline: Deadline = { at: Infinity, expire: () => this.#awoken() }
  #pending = false
  /** The same moment in wall-clock time, which continues while the process is suspended. */
  #wakesAt = 0

  /** A concurrent read of the conversation, and its result. */
  #look: Fiber.RuntimeFiber<Truth<Event>, RequestError> | undefined
  #answer: Exit.Exit<Truth<Event>, RequestError> | undefined
  #freshAtLook = 0
  /** The state of a resumed run is held back until then, for events in transit. */
  #heldUntil = 0

  constructor(
    client: Client,
    source: Source<Event, Route>,
    context: { readonly clock: Clock.Clock; readonly telemetry: StreamTelemetry; readonly forced: boolean }
  ) {
    this.#client = client
    this.#source = source
    this.#clock = context.clock
    this.#deadlines = deadlinesOf(context.clock)
    this.#telemetry = context.telemetry
    this.#forced = context.forced
    this.#cursor = new Cursor(source.lastEventId)
    this.#reader = new EventReader(source, this.#cursor, context.clock)
    this.#reached = source.lastEventId
    this.#options = {
      canAsk: source.truth !== undefined,
      silence: source.silence === undefined ? Infinity : Duration.toMillis(source.silence),
      resumes: source.resumes
    }
    const [state, action] = Machine.next(this.#options, Machine.initial, { _tag: "Started" })
    this.#state = state
    this.#action = action
  }

  /** The next events; `undefined` at the end. */
  readonly pull: Pull<Event> = Effect.suspend(() => this.#step())

  /** Stops all work in progress. */
  readonly close = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#waiter = undefined
      this.#disarm()
      interrupt(this.#look)
      this.#telemetry.end(exit, this.#state.phase, this.#state.connections)
      return this.#disconnect
    })

  get #now(): number {
    return this.#clock.unsafeCurrentTimeMillis()
  }

  /** How long work takes. Time for which the process was suspended meanwhile counts neither as work nor as silence. */
  #timed(): () => number {
    const since = this.#now
    const started = this.#deadlines.now()
    return () => {
      const took = this.#deadlines.now() - started
      const suspended = this.#now - since - took
      if (suspended > Machine.standstill) this.#reader.silentSince += suspended
      return took
    }
  }

  #signal(signal: Machine.Signal): void {
    const before = this.#state
    const [state, action] = Machine.next(this.#options, before, signal)
    this.#state = state
    this.#action = action
    // A limit may be nearer now than the pending one.
    if (before.quiet !== state.quiet || before.looking !== state.looking || before.looked !== state.looked) {
      this.#disarm()
    }
  }

  #step(): Pull<Event> {
    if (this.#away) {
      this.#away = false
      this.#reader.quietSince = this.#reader.silentSince = this.#now
    }
    if (this.#reader.defect !== undefined) return Effect.die(this.#reader.defect)
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
        return Effect.zipRight(
          this.#disconnect,
          Effect.fail(failureOf(action.failure, this.#source, this.#cursor.position))
        )
    }
  }

  // -- Reading --------------------------------------------------------------------------------------------------------

  #read(connection: Connection): Pull<Event> {
    this.#reader.read(connection)
    if (this.#reader.verdict !== "go") {
      const verdict = this.#reader.verdict
      this.#reader.verdict = "go"
      this.#signal({ _tag: "Received", verdict, fresh: connection.fresh })
      // If the conversation decides, it does so before the events are emitted.
      return Effect.zipRight(this.#disconnect, verdict === "end" ? this.#emit() : this.pull)
    }
    if (this.#reader.events.length > 0) {
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
    return this.#pending || !this.#arm(connection) ? this.#parked : this.pull
  }

  /** Waits for an arrival. The waiting fiber reads the events itself, so an interruption loses nothing. */
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

  /** Runs in the transport's callback. */
  readonly #arrived = (): void => {
    const connection = this.#connection
    if (this.#waiter === undefined || connection === undefined) return
    this.#reader.read(connection)
    if (
      this.#reader.events.length > 0 || this.#reader.verdict !== "go" || connection.source.end !== undefined ||
      connection.parser.tooLarge || this.#reader.defect !== undefined
    ) {
      this.#wake()
    } else {
      connection.source.demand()
    }
  }

  #emit(): Pull<Event> {
    const events = this.#reader.events
    this.#reader.events = []
    this.#away = true
    this.#telemetry.delivered += events.length
    const chunk = Effect.succeed(Chunk.unsafeFromArray(events))
    if (this.#reader.unknown === 0) return chunk
    const unknown = this.#reader.unknown
    this.#reader.unknown = 0
    this.#telemetry.unknown(unknown)
    return chunk
  }

  /** Sets the deadline of a connection; `true` if it has already passed. */
  #arm(connection: Connection): boolean {
    const { at, timer } = Machine.deadline(this.#options, this.#state, {
      idle: connection.idle,
      quietSince: this.#reader.quietSince,
      silentSince: this.#reader.silentSince
    })
    const held = this.#answer === undefined ? Infinity : this.#heldUntil
    const left = Math.min(at, held) - this.#now
    if (left <= 0) {
      if (at <= held) this.#expired = timer
      return true
    }
    if (!Number.isFinite(left)) return false
    this.#wakesAt = this.#now + left
    this.#deadline.at = this.#deadlines.now() + left
    this.#pending = true
    this.#deadlines.add(this.#deadline)
    return false
  }

  #disarm(): void {
    if (!this.#pending) return
    this.#pending = false
    this.#deadlines.delete(this.#deadline)
  }

  #awoken(): void {
    this.#pending = false
    const connection = this.#connection
    if (this.#waiter === undefined || connection === undefined) return
    const now = this.#now
    const late = now - this.#wakesAt
    // The process was suspended: the time does not count as silence, but the connection may be dead.
    if (late > Machine.standstill) {
      this.#reader.quietSince = this.#reader.silentSince = now
      if (late > connection.idle) this.#expired = "idle"
    }
    if (this.#expired !== undefined || this.#arm(connection)) this.#wake()
  }

  // -- Connecting -----------------------------------------------------------------------------------------------------

  #connect(look: boolean): Pull<Event> {
    this.#action = { _tag: "Connect", look: false }
    this.#telemetry.connecting()
    const started = this.#now
    const timed = this.#timed()
    const { input, operation } = this.#source
    const opened = connect(this.#client, operation, input, {
      lastEventId: later(this.#reached, this.#cursor.safePosition),
      interruptible: this.#forced,
      span: this.#telemetry.span,
      now: () => this.#now
    })
    const connected = Effect.matchEffect(opened, {
      onSuccess: (connection) => {
        this.#connection = connection
        connection.source.onArrival = this.#arrived
        if (this.#state.fruitless === 0) this.#cursor.connected()
        this.#reader.quietSince = this.#now
        this.#signal({ _tag: "Connected" })
        if (this.#heldUntil === Infinity) {
          this.#heldUntil = this.#now + Math.min(Math.max(this.#now - started, grace.atLeast), grace.atMost)
        }
        return this.pull
      },
      onFailure: (error) =>
        Effect.flatMap(this.#client.settings, ({ retry, timeouts }) => {
          const took = timed()
          const most = Duration.toMillis(timeouts.total) + Machine.standstill
          this.#reader.silentSince += Math.max(0, took - most)
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

  readonly #disconnect: Effect.Effect<void> = Effect.suspend(() => {
    const current = this.#connection
    this.#connection = undefined
    this.#expired = undefined
    return current === undefined ? Effect.void : Effect.uninterruptible(Scope.close(current.scope, Exit.void))
  })

  /** `end`: how the body ended; `undefined` if the connection exceeded its idle limit. */
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
      silentFor: now - this.#reader.silentSince
    }
    if (Machine.settles(this.#state, signal)) this.#reached = ahead
    this.#signal(signal)
    const reason = signal.silent || (connection.seen === 0 && signal.lasted >= Machine.healthy)
      ? "silence"
      : error === undefined
      ? "page"
      : "failure"
    return this.#disconnect.pipe(
      Effect.zipRight(this.#telemetry.reconnecting(reason, signal.lasted)),
      Effect.zipRight(this.pull)
    )
  }

  #backOff(atLeast: number, atMost: number): Pull<Event> {
    const timed = this.#timed()
    return Effect.flatMap(Random.nextRange(atLeast, atMost), (planned) =>
      Effect.zipRight(
        this.#forced ? Effect.interruptible(Effect.sleep(planned)) : Effect.sleep(planned),
        Effect.suspend(() => {
          const took = timed()
          if (took > planned + Machine.standstill) this.#reader.silentSince += took - planned
          this.#signal({ _tag: "Waited", took, planned })
          return this.pull
        })
      ))
  }

  // -- Asking the conversation ----------------------------------------------------------------------------------------

  get #truth(): Effect.Effect<Truth<Event>, RequestError> {
    return this.#source.truth === undefined
      ? Effect.succeed({ _tag: "Alive", waiting: false, events: () => [] })
      : Effect.zipRight(this.#telemetry.looking, Effect.withParentSpan(this.#source.truth, this.#telemetry.span))
  }

  #lookBeside(truth: Effect.Effect<Truth<Event>, RequestError>): Effect.Effect<void> {
    this.#freshAtLook = this.#reader.fresh
    return Effect.map(Effect.forkDaemon(Effect.interruptible(truth)), (fiber) => {
      this.#look = fiber
      fiber.addObserver((exit) => {
        if (this.#look !== fiber) return
        this.#look = undefined
        this.#answer = exit
        if (this.#connection === undefined) return
        this.#disarm()
        this.#wake()
      })
    })
  }

  #ask(): Pull<Event> {
    const look = this.#look
    const answer = this.#answer
    this.#look = undefined
    this.#answer = undefined
    const timed = this.#timed()
    // Reuse a read that is in progress or has just completed.
    const truth: Effect.Effect<Truth<Event>, RequestError> = answer ??
      (look === undefined ? this.#truth : Fiber.join(look))
    if (answer === undefined && look === undefined) this.#freshAtLook = this.#reader.fresh
    return this.#disconnect.pipe(
      Effect.zipRight(Effect.exit(this.#forced ? Effect.interruptible(truth) : truth)),
      Effect.flatMap((exit) => this.#answered(exit, timed()))
    )
  }

  #answered(exit: Exit.Exit<Truth<Event>, RequestError>, took: number): Pull<Event> {
    const now = this.#now
    const open = this.#connection !== undefined
    if (Exit.isFailure(exit)) {
      if (exit.cause._tag !== "Fail") return Effect.failCause(Cause.map(exit.cause, (error): StreamError => error))
      this.#signal({
        _tag: "Unanswered",
        error: exit.cause.error,
        open,
        silentFor: now - this.#reader.silentSince,
        took
      })
      return this.pull
    }
    const truth = exit.value
    const waiting = truth._tag === "Alive" && truth.waiting
    // Time spent waiting for a person is not silence, and the person may have decided just now.
    if (waiting || this.#state.quiet > 0) this.#reader.silentSince = now
    if (waiting) this.#reader.quietSince = now
    this.#signal({
      _tag: "Answered",
      ended: truth._tag === "Ended",
      waiting,
      fresh: open ? this.#reader.fresh - this.#freshAtLook : undefined,
      silentFor: now - this.#reader.silentSince,
      took
    })
    if (truth._tag === "Alive" || this.#action._tag === "End") this.#reader.events.push(...truth.events())
    if (this.#reader.events.length === 0) return this.pull
    return this.#action._tag === "End" ? Effect.zipRight(this.#disconnect, this.#emit()) : this.#emit()
  }
}

const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined): void =>
  fiber?.unsafeInterruptAsFork(FiberId.none)
