/**
 * Follows one event stream over as many connections as needed, as a pure function: `next(options, state, signal)`
 * returns the next state and action. It uses no clock, network or events; `resumable.ts` interprets it.
 */
import * as Duration from "effect/Duration"
import type { RequestError } from "../../DustAPIError.ts"

/** - `waiting`: connected, and nothing arrives until a person acts */
export type Phase = "connecting" | "reading" | "waiting" | "backingOff" | "asking" | "ended" | "failed"

export interface Options {
  /** Whether a conversation can be read when the stream cannot determine its own end. */
  readonly canAsk: boolean
  /** Milliseconds without an event after which a run that is not waiting for a person has failed; `Infinity`: never. */
  readonly silence: number
  /** Whether the run existed before this stream: the conversation is then read alongside the first connection. */
  readonly resumes: boolean
}

export interface State {
  readonly phase: Phase
  /** Connections opened. */
  readonly connections: number
  /** Consecutive connections without new events. */
  readonly fruitless: number
  /** Consecutive connections that broke soon after the previous one. */
  readonly cuts: number
  /** Consecutive responses that were not event streams of Dust. */
  readonly obstacles: number
  /** Milliseconds in which no connection could be opened. */
  readonly down: number
  /** An event has arrived or the conversation was read: the first look is over. */
  readonly looked: boolean
  /** The conversation is being read alongside an open connection. */
  readonly looking: boolean
  /** Consecutive reads of the conversation that found it waiting for a person. */
  readonly quiet: number
  /** The connection failure that led to reading the conversation. */
  readonly broken: Unreachable | undefined
  /** The action after a pause. */
  readonly afterPause: "connect" | "ask"
}

export const initial: State = {
  phase: "connecting",
  connections: 0,
  fruitless: 0,
  cuts: 0,
  obstacles: 0,
  down: 0,
  looked: false,
  looking: false,
  quiet: 0,
  broken: undefined,
  afterPause: "connect"
}

/** A connection could not be opened; the request path has used up its attempts. */
export interface Unreachable {
  readonly _tag: "Unreachable"
  readonly error: RequestError
  /** Duration of the attempt in milliseconds. */
  readonly took: number
  /** How many milliseconds to keep trying a stream that existed. */
  readonly patience: number
}

/** A connection has ended. */
export interface Closed {
  readonly _tag: "Closed"
  /** The failure, if it broke. */
  readonly error: RequestError | undefined
  /** It exceeded its idle limit and was closed by the client. */
  readonly silent: boolean
  /** The server announced the close, after delivering everything. */
  readonly orderly: boolean
  /** Events received, and the new ones among them. */
  readonly seen: number
  readonly fresh: number
  /**
   * Its last event, or that of the connections without new events before it, is later than the position from which the
   * next connection would continue.
   */
  readonly ahead: boolean
  /** Duration in milliseconds. */
  readonly lasted: number
  readonly silentFor: number
}

export type Signal =
  | { readonly _tag: "Started" }
  | { readonly _tag: "Connected" }
  | Unreachable
  /** Bytes that completed events. `verdict`: on the last event. */
  | { readonly _tag: "Received"; readonly verdict: "go" | "end" | "ask"; readonly fresh: number }
  /** An event exceeds the size limit. */
  | { readonly _tag: "Oversized" }
  | Closed
  /** An open connection has delivered no event for so long that the conversation is read. */
  | { readonly _tag: "Overdue" }
  | { readonly _tag: "Waited"; readonly took: number; readonly planned: number }
  /** The conversation was read. `fresh`: new events of the open connection, `undefined` without one. */
  | {
    readonly _tag: "Answered"
    readonly ended: boolean
    readonly waiting: boolean
    readonly fresh: number | undefined
    readonly silentFor: number
    /** Duration of the read in milliseconds. */
    readonly took: number
  }
  | {
    readonly _tag: "Unanswered"
    readonly error: RequestError
    readonly open: boolean
    readonly silentFor: number
    readonly took: number
  }

export type Action =
  /** Open a connection; with `look`, read the conversation alongside it. */
  | { readonly _tag: "Connect"; readonly look: boolean }
  /** Wait for the open connection. */
  | { readonly _tag: "Read" }
  /** Read the conversation alongside the open connection. */
  | { readonly _tag: "Look" }
  /** Close the connection, if any, and read the conversation. */
  | { readonly _tag: "Ask" }
  /** Wait for a random time in this range of milliseconds. */
  | { readonly _tag: "BackOff"; readonly atLeast: number; readonly atMost: number }
  | { readonly _tag: "End" }
  | { readonly _tag: "Fail"; readonly failure: Failure }

export type Failure =
  /** Fail with this error. */
  | { readonly _tag: "Refused"; readonly error: RequestError }
  /** The stream could not be continued. */
  | { readonly _tag: "Lost"; readonly error: RequestError }
  /** No event within the silence limit. */
  | { readonly _tag: "Silent" }
  | { readonly _tag: "Oversized" }

export type Step = readonly [State, Action]

/** A connection open for this long counts as healthy, even without new events. */
export const healthy = 10_000
/**
 * If nothing arrives at first, the events may have expired and the run may be over: read the conversation after this
 * time.
 */
export const firstLook = 10_000
/**
 * Silence is expected while waiting for a person, and an open connection delivers what follows the decision at once.
 * Because a connection can be dead without a sign, the conversation is still read, at intervals that grow up to this
 * one.
 */
export const quietest = Duration.toMillis("1 hour")
/** After this many consecutive connections without new events, read the conversation and skip the known events. */
export const fruitlessLimit = 3
/** How many consecutive responses that are not event streams of Dust are tolerated. */
export const obstacleLimit = 4

const shortest = 250
const longest = 5_000
/** A server that is replaced drops all its streams at once: their reconnections are spread over this range. */
const spread = { atLeast: 200, atMost: 3_000 }
/** A connection that was open for this long, or delivered an event, may have been dropped by a deploy. */
const established = 1_000
/** Pauses are accurate to this many milliseconds; any excess is time in which the process was suspended. */
export const standstill = 2_000

/** A response that is not from Dust: a challenge page, a login page or a gateway's own error. */
export const isObstacle = (error: RequestError): boolean =>
  error._tag === "DustDecodeError" ||
  (!error.isRetryable && error.type === undefined && error.status !== undefined && error.status >= 400)

const connect = (state: State): Step => [{ ...state, phase: "connecting" }, { _tag: "Connect", look: false }]

const ask = (state: State): Step => [{ ...state, phase: "asking" }, { _tag: "Ask" }]

const fail = (state: State, failure: Failure): Step => [{ ...state, phase: "failed" }, { _tag: "Fail", failure }]

const backOff = (state: State, afterPause: State["afterPause"], atLeast: number, atMost: number): Step => [
  { ...state, phase: "backingOff", afterPause },
  { _tag: "BackOff", atLeast, atMost }
]

/** A pause that grows with the number of failures, up to about five seconds. */
const growing = (state: State, failures: number, atLeast = 0): Step => {
  const pause = Math.min(longest, shortest * 2 ** failures)
  return backOff(state, "connect", Math.max(pause * 0.8, atLeast), Math.max(pause * 1.2, atLeast * 1.1))
}

/** Reconnects, with backoff. */
const reconnect = (state: State): Step =>
  state.fruitless > 0
    ? growing(state, state.fruitless - 1)
    : state.cuts === 0
    ? connect(state)
    : state.cuts === 1
    ? backOff(state, "connect", spread.atLeast, spread.atMost)
    : growing(state, 0)

/**
 * Whether everything up to the last event of a closed connection counts as delivered, so that the next connection skips
 * it.
 */
export const settles = (state: State, closed: Closed): boolean =>
  // An idle connection has nothing in transit. A broken one may have delivered known events ahead of new ones; one that
  // always does so would repeat them for ever.
  closed.orderly || closed.silent || (closed.fresh === 0 && state.fruitless + 1 >= fruitlessLimit)

const closed = (options: Options, state: State, signal: Closed): Step => {
  const { error, fresh, orderly, seen, silent } = signal
  if (error?.isRetryable === false) return fail(state, { _tag: "Refused", error })
  const lasted = signal.lasted >= healthy
  const cut = !orderly && !silent && (fresh > 0 || signal.lasted >= established)
  const cuts = !cut ? 0 : lasted ? 1 : state.cuts + 1
  const overdue = options.canAsk && state.quiet === 0 && signal.silentFor >= options.silence
  const progressed = settles(state, signal) && signal.ahead
  if (fresh > 0) {
    const after: State = { ...state, fruitless: 0, cuts }
    return overdue ? ask(after) : reconnect(after)
  }
  // A page of known events is progress if it leads to the next page.
  if ((orderly || silent) && progressed) return connect({ ...state, cuts })
  const after: State = { ...state, fruitless: lasted ? 0 : state.fruitless + 1, cuts }
  if (progressed) return growing({ ...after, fruitless: 0 }, after.fruitless - 1)
  // A connection that broke at once, or delivered only known events, does not prove that the stream is over.
  const telling = silent || lasted || (orderly && seen === 0) || after.fruitless >= fruitlessLimit
  if (!options.canAsk || !(telling || overdue)) return reconnect(after)
  return lasted && cut ? backOff(after, "ask", spread.atLeast, spread.atMost) : ask(after)
}

/** The conversation shows no end, and the stream cannot be continued at the moment. */
const unreachable = (state: State, { error, patience }: Unreachable): Step => {
  const after: State = { ...state, broken: undefined }
  const asked = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
  if (!error.isRetryable) {
    return state.obstacles <= obstacleLimit
      ? growing(after, state.obstacles, asked)
      : fail(state, { _tag: state.connections > 0 ? "Lost" : "Refused", error })
  }
  return state.connections > 0 && state.down + asked < patience
    ? growing(after, state.fruitless - 1, asked)
    : fail(state, { _tag: "Lost", error })
}

const notConnected = (options: Options, state: State, signal: Unreachable): Step => {
  const { error } = signal
  const known = state.connections > 0 || options.resumes
  if (!error.isRetryable && !isObstacle(error) && !(error._tag === "DustNotFoundError" && known && options.canAsk)) {
    return fail(state, { _tag: "Refused", error })
  }
  const after: State = error.isRetryable
    ? { ...state, fruitless: state.fruitless + 1, down: state.down + signal.took }
    : { ...state, obstacles: state.obstacles + 1, down: state.down + signal.took }
  // If one route reports an existing run as missing, check the other route.
  return options.canAsk && !(isObstacle(error) && !known)
    ? ask({ ...after, broken: signal })
    : unreachable(after, signal)
}

/** The conversation was read and shows no end. */
const onward = (options: Options, state: State, open: boolean, silentFor: number): Step => {
  if (state.broken !== undefined) return unreachable(state, state.broken)
  if (state.quiet === 0 && silentFor >= options.silence) return fail(state, { _tag: "Silent" })
  return open ? [{ ...state, phase: state.quiet > 0 ? "waiting" : "reading" }, { _tag: "Read" }] : reconnect(state)
}

const unanswered = (
  options: Options,
  state: State,
  signal: Extract<Signal, { readonly _tag: "Unanswered" }>
): Step => {
  const { error, open, silentFor } = signal
  const after: State = { ...state, looking: false, down: state.down + (state.broken === undefined ? 0 : signal.took) }
  if (error.isRetryable) {
    return onward(
      options,
      open || state.broken !== undefined ? after : { ...after, fruitless: after.fruitless + 1 },
      open,
      silentFor
    )
  }
  if (!isObstacle(error) || state.obstacles >= obstacleLimit) return fail(after, { _tag: "Refused", error })
  if (state.broken !== undefined) return unreachable(after, state.broken)
  return onward(options, { ...after, obstacles: state.obstacles + 1, fruitless: after.fruitless + 1 }, open, silentFor)
}

/** Returns the next state and action. */
export const next = (options: Options, state: State, signal: Signal): Step => {
  switch (signal._tag) {
    case "Started": {
      const look = options.resumes && options.canAsk
      return [{ ...state, looked: look, looking: look }, { _tag: "Connect", look }]
    }
    case "Connected":
      return [
        {
          ...state,
          phase: state.quiet > 0 ? "waiting" : "reading",
          connections: state.connections + 1,
          down: 0
        },
        { _tag: "Read" }
      ]
    case "Received": {
      if (signal.verdict === "end") return [{ ...state, phase: "ended" }, { _tag: "End" }]
      const after: State = signal.fresh === 0
        ? state
        : { ...state, phase: "reading", fruitless: 0, obstacles: 0, quiet: 0, looked: true }
      if (signal.verdict === "go") return [after, { _tag: "Read" }]
      const fruitless = signal.fresh === 0 ? state.fruitless + 1 : 0
      return options.canAsk ? ask({ ...after, fruitless }) : reconnect({ ...after, fruitless })
    }
    case "Oversized":
      return fail(state, { _tag: "Oversized" })
    case "Closed":
      return closed(options, state, signal)
    case "Unreachable":
      return notConnected(options, state, signal)
    case "Overdue":
      return options.canAsk
        ? [{ ...state, looked: true, looking: true }, { _tag: "Look" }]
        : fail(state, { _tag: "Silent" })
    case "Waited": {
      // Any excess over the pause is time in which the process was suspended.
      const after: State = { ...state, down: state.down + Math.min(signal.took, signal.planned + standstill) }
      return state.afterPause === "ask" ? ask(after) : connect(after)
    }
    case "Answered": {
      if (signal.ended) {
        // The open connection is delivering events from before the end: it will deliver the end, too.
        return signal.fresh !== undefined && signal.fresh > 0
          ? [{ ...state, looking: false }, { _tag: "Read" }]
          : [{ ...state, phase: "ended", looking: false }, { _tag: "End" }]
      }
      const quiet = signal.waiting ? Math.min(state.quiet + 1, 10) : 0
      return onward(
        options,
        {
          ...state,
          looking: false,
          looked: true,
          quiet,
          down: state.down + (state.broken === undefined ? 0 : signal.took)
        },
        signal.fresh !== undefined,
        signal.silentFor
      )
    }
    case "Unanswered":
      return unanswered(options, state, signal)
  }
}

/** When an open connection has gone too long without an event, in milliseconds of the clock, and the signal for it. */
export const deadline = (options: Options, state: State, facts: {
  /** The idle limit of a connection. */
  readonly idle: number
  /** When this connection last made progress. */
  readonly quietSince: number
  /** When the last event arrived. */
  readonly silentSince: number
}): { readonly at: number; readonly timer: "idle" | "overdue" } => {
  if (state.quiet > 0) {
    const pause = Math.max(facts.idle, Math.min(facts.idle * 2 ** state.quiet, quietest))
    return { at: state.looking ? Infinity : facts.quietSince + pause, timer: "overdue" }
  }
  const idle = facts.quietSince + facts.idle
  const look = state.looked || !options.canAsk ? Infinity : facts.quietSince + firstLook
  const silent = state.looking ? Infinity : facts.silentSince + options.silence
  const overdue = Math.min(look, silent)
  return overdue <= idle ? { at: overdue, timer: "overdue" } : { at: idle, timer: "idle" }
}
