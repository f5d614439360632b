/**
 * How one event stream is followed over as many connections as it takes, as a pure function: `next(options, state, signal)`
 * returns the next state and what to do. It knows no clock, no network and no events; `resumable.ts` interprets it.
 */
import * as Duration from "effect/Duration"
import type { RequestError } from "../../DustAPIError.ts"

/** - `waiting`: connected, and a person has to act before anything can arrive */
export type Phase = "connecting" | "reading" | "waiting" | "backingOff" | "asking" | "ended" | "failed"

export interface Options {
  /** Whether there is a conversation to ask when the stream cannot tell. */
  readonly canAsk: boolean
  /** Milliseconds without an event after which a run that waits for nobody has failed; `Infinity`: never. */
  readonly silence: number
  /** Whether what is followed was there before: then the conversation is asked beside the first connection. */
  readonly resumes: boolean
}

export interface State {
  readonly phase: Phase
  /** Connections that were made. */
  readonly connections: number
  /** Connections in a row that brought nothing new. */
  readonly fruitless: number
  /** Connections in a row that were cut soon after another one was. */
  readonly cuts: number
  /** Answers in a row that were none of Dust's event streams. */
  readonly obstacles: number
  /** Milliseconds in which no connection could be made. */
  readonly down: number
  /** An event has arrived, or the conversation was asked: the first look is over. */
  readonly looked: boolean
  /** The conversation is being asked beside an open connection. */
  readonly looking: boolean
  /** How often in a row the conversation said that a person is waited for. */
  readonly quiet: number
  /** Why the conversation is asked: the stream could not be continued. */
  readonly broken: Unreachable | undefined
  /** What follows a pause. */
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

/** A connection could not be made; the request path has spent its attempts. */
export interface Unreachable {
  readonly _tag: "Unreachable"
  readonly error: RequestError
  /** Milliseconds that the attempt took. */
  readonly took: number
  /** For how many milliseconds a stream that was there is tried. */
  readonly patience: number
}

/** A connection has ended. */
export interface Closed {
  readonly _tag: "Closed"
  /** It broke off. */
  readonly error: RequestError | undefined
  /** It was silent for too long, and was closed here. */
  readonly silent: boolean
  /** The server said that it closes, with everything delivered. */
  readonly orderly: boolean
  /** Events it has brought, and those of them that are new. */
  readonly seen: number
  readonly fresh: number
  /** Its last event is ahead of the position from which the next connection would continue. */
  readonly ahead: boolean
  /** Milliseconds. */
  readonly lasted: number
  readonly silentFor: number
}

export type Signal =
  | { readonly _tag: "Started" }
  | { readonly _tag: "Connected" }
  | Unreachable
  /** Bytes that completed events. `verdict`: of the last one. */
  | { readonly _tag: "Received"; readonly verdict: "go" | "end" | "ask"; readonly fresh: number }
  /** An event is over the limit. */
  | { readonly _tag: "Oversized" }
  | Closed
  /** An open connection has brought no event for so long that the conversation is to be asked. */
  | { readonly _tag: "Overdue" }
  /** A pause is over. */
  | { readonly _tag: "Waited"; readonly took: number; readonly planned: number }
  /** The conversation was read. `fresh`: new events of the open connection, `undefined` without one. */
  | {
    readonly _tag: "Answered"
    readonly ended: boolean
    readonly waiting: boolean
    readonly fresh: number | undefined
    readonly silentFor: number
    /** Milliseconds that reading it took. */
    readonly took: number
  }
  /** The conversation could not be read. */
  | {
    readonly _tag: "Unanswered"
    readonly error: RequestError
    readonly open: boolean
    readonly silentFor: number
    readonly took: number
  }

export type Action =
  /** Open a connection; with `look`, ask the conversation beside it. */
  | { readonly _tag: "Connect"; readonly look: boolean }
  /** Wait for what the open connection brings. */
  | { readonly _tag: "Read" }
  /** Ask the conversation beside the open connection. */
  | { readonly _tag: "Look" }
  /** Close the connection, if there is one, and ask the conversation. */
  | { readonly _tag: "Ask" }
  /** Wait for a random time within these milliseconds. */
  | { readonly _tag: "BackOff"; readonly atLeast: number; readonly atMost: number }
  | { readonly _tag: "End" }
  | { readonly _tag: "Fail"; readonly failure: Failure }

export type Failure =
  /** The error itself. */
  | { readonly _tag: "Refused"; readonly error: RequestError }
  /** The stream could not be continued. */
  | { readonly _tag: "Lost"; readonly error: RequestError }
  /** No event for too long. */
  | { readonly _tag: "Silent" }
  | { readonly _tag: "Oversized" }

export type Step = readonly [State, Action]

/** A connection that stayed open this long was no failure, even if it brought nothing. */
export const healthy = 10_000
/** Where nothing comes at first, the events may be forgotten and the run over: the conversation is asked after this time. */
export const firstLook = 10_000
/**
 * While a person is waited for, silence is expected, and an open connection brings what follows the decision at once. Only one
 * that is dead without a sign does not: the conversation is asked less and less often, up to this interval.
 */
export const quietest = Duration.toMillis("1 hour")
/** After this many connections in a row that brought nothing new, the conversation is asked, and what is known is skipped. */
export const fruitlessLimit = 3
/** So many answers in a row that are none of Dust's event streams are tolerated. */
export const obstacleLimit = 4

const shortest = 250
const longest = 5_000
/** All streams of a server that is replaced are cut at once: they come back spread over this range. */
const spread = { atLeast: 200, atMost: 3_000 }
/** A connection that was open for this long, or brought something, is one of those that a deploy cuts. */
const established = 1_000
/** Pauses are exact to this many milliseconds; what exceeds it is time in which the process stood still. */
export const standstill = 2_000

const closedClient: ReadonlySet<string> = new Set(["UND_ERR_DESTROYED", "UND_ERR_CLOSED"])

/** The HttpClient was closed: no later attempt can succeed. */
export const isClosedClient = (error: RequestError): boolean =>
  error._tag === "DustNetworkError" && error.type !== undefined && closedClient.has(error.type)

/** An answer that does not come from Dust: a challenge page, a login page, a gateway's own error. */
export const isObstacle = (error: RequestError): boolean =>
  error._tag === "DustDecodeError" ||
  (!error.isRetryable && error.type === undefined && error.status !== undefined && error.status >= 400)

const connect = (state: State): Step => [{ ...state, phase: "connecting", broken: undefined }, {
  _tag: "Connect",
  look: false
}]

const ask = (state: State): Step => [{ ...state, phase: "asking" }, { _tag: "Ask" }]

const fail = (state: State, failure: Failure): Step => [{ ...state, phase: "failed" }, { _tag: "Fail", failure }]

const backOff = (state: State, afterPause: State["afterPause"], atLeast: number, atMost: number): Step => [
  { ...state, phase: "backingOff", afterPause },
  { _tag: "BackOff", atLeast, atMost }
]

/** A pause that grows with the failures before it, at most about five seconds. */
const growing = (state: State, failures: number, atLeast = 0): Step => {
  const pause = Math.min(longest, shortest * 2 ** Math.min(failures, 10))
  return backOff(state, "connect", Math.max(pause * 0.8, atLeast), Math.max(pause * 1.2, atLeast * 1.1))
}

/** Opens the next connection, after the pause that the failures so far have earned. */
const reconnect = (state: State): Step =>
  state.fruitless > 0
    ? growing(state, state.fruitless - 1)
    : state.cuts === 1
    ? backOff(state, "connect", spread.atLeast, spread.atMost)
    : state.cuts > 1
    ? growing(state, 0)
    : connect(state)

/** Whether everything up to the last event of a closed connection counts as delivered, so that the next one skips it. */
export const settles = (state: State, closed: Closed): boolean =>
  // Nothing is on its way on one that was silent. One that broke off may have brought what is known ahead of what is not. What always does so would do it for ever.
  closed.orderly || closed.silent || (closed.fresh === 0 && state.fruitless + 1 >= fruitlessLimit)

const closed = (options: Options, state: State, signal: Closed): Step => {
  const { error, fresh, orderly, seen, silent } = signal
  if (error !== undefined && (isClosedClient(error) || !error.isRetryable)) {
    return fail(state, { _tag: "Refused", error })
  }
  const lasted = signal.lasted >= healthy
  const cut = !orderly && !silent && (fresh > 0 || signal.lasted >= established)
  const cuts = !cut ? 0 : lasted ? 1 : state.cuts + 1
  const overdue = options.canAsk && state.quiet === 0 && signal.silentFor >= options.silence
  const progressed = settles(state, signal) && signal.ahead
  if (fresh > 0) {
    const after: State = { ...state, fruitless: 0, cuts }
    return overdue ? ask(after) : reconnect(after)
  }
  // A page of known events is a step, if it leads to the next one.
  if ((orderly || silent) && progressed) return connect({ ...state, cuts })
  const after: State = { ...state, fruitless: lasted ? 0 : state.fruitless + 1, cuts }
  if (progressed) return reconnect(after)
  // One that broke off at once, or brought only known events, does not say that there is nothing more.
  const telling = silent || lasted || (orderly && seen === 0) || after.fruitless >= fruitlessLimit
  if (!options.canAsk || !(telling || overdue)) return reconnect(after)
  return lasted && cut ? backOff(after, "ask", spread.atLeast, spread.atMost) : ask(after)
}

/** The conversation does not know of an end, and the stream cannot be continued at the moment. */
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
  const refused = (): Step => fail(state, { _tag: "Refused", error })
  if (isClosedClient(error)) return refused()
  const known = state.connections > 0 || options.resumes
  if (!error.isRetryable && !isObstacle(error) && !(error._tag === "DustNotFoundError" && known && options.canAsk)) {
    return refused()
  }
  const after: State = error.isRetryable
    ? { ...state, fruitless: state.fruitless + 1, down: state.down + signal.took }
    : { ...state, obstacles: state.obstacles + 1, down: state.down + signal.took }
  // What one route says of a run that was there is checked against what another one says.
  return options.canAsk && !(isObstacle(error) && !known)
    ? ask({ ...after, broken: signal })
    : unreachable(after, signal)
}

/** The conversation was asked, and knows of no end. */
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
  if (isClosedClient(error)) return fail(after, { _tag: "Refused", error })
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

/** The next state, and what to do. */
export const next = (options: Options, state: State, signal: Signal): Step => {
  switch (signal._tag) {
    case "Started": {
      const look = options.resumes && options.canAsk
      return [{ ...state, looked: look || !options.canAsk, looking: look }, { _tag: "Connect", look }]
    }
    case "Connected":
      return [
        {
          ...state,
          phase: state.quiet > 0 ? "waiting" : "reading",
          connections: state.connections + 1,
          down: 0,
          broken: undefined
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
      // What exceeds the pause is time in which the process stood still.
      const after: State = { ...state, down: state.down + Math.min(signal.took, signal.planned + standstill) }
      return state.afterPause === "ask" ? ask(after) : connect(after)
    }
    case "Answered": {
      if (signal.ended) {
        // The open connection brings events that came before the end: it will bring the end, too.
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
        signal.waiting ? 0 : signal.silentFor
      )
    }
    case "Unanswered":
      return unanswered(options, state, signal)
  }
}

/** When an open connection has been without an event for too long, in milliseconds of the clock, and what that means. */
export const deadline = (options: Options, state: State, facts: {
  /** The idle limit of a connection. */
  readonly idle: number
  /** Since when this connection has made no progress. */
  readonly quietSince: number
  /** Since when no event has arrived. */
  readonly silentSince: number
}): { readonly at: number; readonly timer: "idle" | "overdue" } => {
  if (state.quiet > 0 && options.canAsk) {
    const pause = Math.max(facts.idle, Math.min(facts.idle * 2 ** state.quiet, quietest))
    return { at: state.looking ? Infinity : facts.quietSince + pause, timer: "overdue" }
  }
  const idle = facts.quietSince + facts.idle
  const look = state.looked || !options.canAsk ? Infinity : facts.quietSince + firstLook
  const silent = state.looking ? Infinity : facts.silentSince + options.silence
  const overdue = Math.min(look, silent)
  return overdue <= idle ? { at: overdue, timer: "overdue" } : { at: idle, timer: "idle" }
}
