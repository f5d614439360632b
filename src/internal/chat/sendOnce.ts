/**
 * Sends a message at most once.
 *
 * A request is repeated only if it provably did not reach its handler. After any other failure, the conversation is
 * polled until the message appears. A message is identified by its content (author, mention, text) and its position:
 * after the newest message known before the send. Local clocks prove nothing, because they may be wrong or stepped
 * between two requests. But a message created before the send, by the date of the same response, is another message,
 * which a lagging read had not shown.
 *
 * The position costs no request if this client created the conversation, or has written to it or read it before.
 * Otherwise the newest message is read once, before the first message is sent.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { DustTimeoutError, DustUnconfirmedError, RequestError, UnconfirmedReason } from "../../DustAPIError.ts"
import { CurrentOptions, type Service as Client } from "../../DustClient.ts"
import type { ConversationId } from "../../Ids.ts"
import * as RetryPolicy from "../../RetryPolicy.ts"
import type { Identity } from "../api/operation.ts"
import { timeout, unconfirmedMessage } from "../request/errors.ts"
import { isUnhandled } from "../request/retry.ts"
import { warn } from "../telemetry/log.ts"
import { recording } from "../telemetry/record.ts"
import { monotonic } from "../util/monotonic.ts"
import type { Known } from "./known.ts"
import type { LookBack } from "./lookBack.ts"
import { candidates, keyOf, type Position, type Posted, type Sought } from "./sameMessage.ts"
import { makeTurns } from "./turns.ts"

export interface Sending {
  /** When the enclosing operation began, by {@link monotonic}: the total timeout counts from then. */
  readonly begun?: number | undefined
  readonly sought: Omit<Sought, "position">
  readonly onUnconfirmed: "fail" | "resend"
  /** One POST, repeated by the request path only if it was provably not handled. */
  readonly send: Effect.Effect<Posted, RequestError>
  /** Runs if the send is interrupted and the message may be stored. */
  readonly abandoned: (found: Effect.Effect<ReadonlyArray<Posted>, RequestError>) => Effect.Effect<void>
}

export type SendOnce = (sending: Sending) => Effect.Effect<Posted, RequestError | DustUnconfirmedError>

/**
 * A handler may keep running for a minute after its connection broke: the conversation is read after each of these
 * pauses.
 */
export const looks: ReadonlyArray<number> = [200, 800, 2_000, 4_000, 8_000, 10_000, 15_000, 15_000, 10_000]

/** The replies to a message may appear shortly after it. */
const looksForAnswers = 3

/** How long a send waits for the position before it continues without it. */
const positionWait = "5 seconds"

/** Whether the server may have handled the request without confirming it. */
const isAmbiguous = (error: RequestError): boolean => {
  switch (error._tag) {
    // Nothing is sent while a token is awaited, even if an attempt was refused before for an expired one.
    case "DustTimeoutError":
      return error.attempts > 0 && error.type !== "token_timeout"
    case "DustDecodeError":
      return true
    case "DustNetworkError":
      return error.reachedServer
    case "DustServerError":
      return !isUnhandled(error)
    default:
      // The status with which proxies report a closed client connection.
      return error.status === 499
  }
}

/** A single read without retries: another one follows. */
const once = <A, E, R>(self: Effect.Effect<A, E, R>, limit: Duration.DurationInput) =>
  Effect.flatMap(CurrentOptions, (options) =>
    Effect.interruptible(self).pipe(
      Effect.provideService(CurrentOptions, { ...options, retry: RetryPolicy.none }),
      Effect.timeoutOption(limit)
    ))

interface Context {
  readonly client: Client
  readonly identity: Identity
  readonly lookBack: LookBack
  readonly known: Known
}

/** The position before the message: known, or read. A failed read does not prevent the send. */
const positionOf = ({ known, lookBack }: Context, conversationId: ConversationId): Effect.Effect<Position | null> =>
  Effect.suspend(() => {
    const position = known.position(conversationId)
    return position !== undefined ?
      Effect.succeed(position) :
      once(lookBack.newest(conversationId), positionWait).pipe(
        Effect.map(Option.match({
          onNone: () => null,
          onSome: (messages) => known.learn(conversationId, messages)
        })),
        Effect.orElseSucceed(() => null)
      )
  })

/** A message in flight. */
interface Send {
  readonly sought: Sought
  readonly key: string
  /**
   * Whether a message of an earlier, identical send may still arrive. Every match of this send's own attempts is its
   * own.
   */
  readonly unresolved: boolean
  /** When the message was sent, by {@link monotonic}. */
  readonly at: number
  /** When the message was sent, by the server's clock, if known. */
  notBefore: number | undefined
  /** The remainder of the total timeout. */
  readonly left: Effect.Effect<number>
}

/** The messages that could be the one that was sent; `undefined` if the response is too old to show it. */
const lookFor = (
  { known, lookBack }: Context,
  send: Send
): Effect.Effect<ReadonlyArray<Posted> | undefined, RequestError> =>
  Effect.map(lookBack.since({ ...send.sought, sent: { _tag: "Here", at: send.at } }), (seen) => {
    // Keep the latest: a cached response has an old date.
    if (seen.notBefore !== undefined) send.notBefore = Math.max(send.notBefore ?? seen.notBefore, seen.notBefore)
    return seen.stale ? undefined : candidates(send.sought, seen, send.notBefore, (id) => known.isTaken(id))
  })

const unconfirmed = (
  { identity, known }: Context,
  { key, notBefore, sought }: Send,
  error: RequestError,
  reason: UnconfirmedReason,
  found: ReadonlyArray<Posted> = []
): DustUnconfirmedError => {
  known.leaveUnresolved(key)
  return unconfirmedError({ identity, sought, notBefore, error, reason, found })
}

/** Polls the conversation after an ambiguous failure until the message appears. */
const reconcile = (
  context: Context,
  send: Send,
  error: RequestError
): Effect.Effect<
  { readonly found: Posted } | { readonly found: undefined; readonly reason: UnconfirmedReason },
  DustUnconfirmedError
> =>
  Effect.gen(function*() {
    // Needed even if no time is left to look: the error includes the time of the send.
    send.notBefore = yield* context.lookBack.serverTimeOf(send.at)
    let readable = false
    let found: Posted | undefined
    let looksLeft = looks.length
    for (const pause of looks) {
      if (looksLeft-- <= 0) break
      yield* Effect.sleep(Math.min(pause, Math.max(0, (yield* send.left) / 2)))
      const rest = yield* send.left
      if (rest <= 0) break
      const seen = yield* Effect.option(Effect.flatten(once(lookFor(context, send), rest)))
      const some = Option.getOrUndefined(seen)
      if (some === undefined) continue
      readable = true
      const one = some[0]
      if (one === undefined) continue
      if (some.length > 1 || send.unresolved) return yield* unconfirmed(context, send, error, "ambiguous", some)
      if (found === undefined) looksLeft = Math.min(looksLeft, looksForAnswers)
      found = one
      if (isComplete(send.sought, one)) break
    }
    return found === undefined ? { found, reason: readable ? "not_found" : "unreadable" } : { found }
  })

/** One request and the handling of its failure; a second request is the caller's choice. */
const attempt = (
  context: Context,
  sending: Sending,
  send: Send,
  total: Duration.Duration,
  again: boolean
): Effect.Effect<Posted, RequestError | DustUnconfirmedError> =>
  Effect.catchIf(
    Effect.flatMap(
      send.left,
      (rest) =>
        rest <= 0 ? Effect.fail(tooLate(context.identity, total)) : within(sending.send, rest, Duration.toMillis(total))
    ),
    isAmbiguous,
    (error) =>
      Effect.flatMap(reconcile(context, send, error), (outcome) => {
        if (outcome.found !== undefined) return Effect.succeed(outcome.found)
        return Effect.flatMap(send.left, (rest) =>
          again && rest > 0
            ? attempt(context, sending, send, total, false)
            : unconfirmed(context, send, error, outcome.reason))
      })
  )

const sendFrom = (
  context: Context,
  sending: Sending,
  send: Send,
  total: Duration.Duration
): Effect.Effect<Posted, RequestError | DustUnconfirmedError> => {
  const { known } = context
  const { key, sought } = send
  return Effect.acquireUseRelease(
    Effect.sync(() => known.begin(key)),
    () => attempt(context, sending, send, total, sending.onUnconfirmed === "resend"),
    () => Effect.sync(() => known.end(key))
  ).pipe(
    Effect.onInterrupt(() => {
      known.leaveUnresolved(key)
      // Do not claim the message of an identical send that is in flight.
      return sending.abandoned(
        Effect.map(lookFor(context, send), (found = []) => known.isUnderway(key) ? [] : found)
      )
    }),
    Effect.map((posted) => known.take(sought.conversationId, posted))
  )
}

export const makeSendOnce = (context: Context): SendOnce => {
  const inTurn = makeTurns()
  return (sending) =>
    Effect.gen(function*() {
      const begun = sending.begun ?? (yield* monotonic)
      const { timeouts: { total } } = yield* context.client.settings
      const millis = Duration.toMillis(total)
      const left = Effect.map(monotonic, (now) => begun + millis - now)
      const key = keyOf(sending.sought)
      return yield* inTurn(key, yield* left, () => tooLate(context.identity, total))(Effect.gen(function*() {
        const position = yield* positionOf(context, sending.sought.conversationId)
        const unresolved = context.known.isUnresolved(key)
        const send: Send = {
          // An equal message of an earlier send may follow the position: only its time distinguishes it.
          sought: { ...sending.sought, position: unresolved ? null : position },
          key,
          unresolved,
          at: yield* monotonic,
          notBefore: undefined,
          left
        }
        return yield* sendFrom(context, sending, send, total)
      }))
    }).pipe(Effect.tapError((error) =>
      error._tag === "DustUnconfirmedError"
        ? Effect.zipRight(
          recording("unconfirmed", { reason: error.reason }),
          warn(`A message may or may not be stored (conversation ${error.conversationId}): ${error.reason}`, {
            conversationId: error.conversationId,
            reason: error.reason
          })
        )
        : Effect.void
    ))
}

/** Whether the replies are there: a message that mentions an agent has a reply or is queued. */
const isComplete = (sought: Sought, { agentMessages, message }: Posted): boolean =>
  sought.agentId === null || agentMessages.length > 0 || message.visibility === "pending"

/** Limits an effect to the remainder of the total timeout. */
export const within = <A, E, R>(self: Effect.Effect<A, E, R>, rest: number, total: number): Effect.Effect<A, E, R> =>
  rest >= total ? self : Effect.flatMap(CurrentOptions, (options) =>
    Effect.provideService(self, CurrentOptions, {
      ...options,
      timeouts: { ...options.timeouts, total: Duration.millis(rest) }
    }))

const tooLate = (identity: Identity, limit: Duration.Duration): DustTimeoutError =>
  timeout(identity, 0, "total", limit, `not sent within ${Duration.format(limit)}`)

const explanations: Readonly<Record<UnconfirmedReason, string>> = {
  not_found: "the message is not in conversation",
  unreadable: "the message may be stored, and reading failed in conversation",
  ambiguous: "several messages match the one that was sent, in conversation"
}

export const unconfirmedError = (options: {
  readonly identity: Identity
  readonly sought: Sought
  readonly notBefore: number | undefined
  readonly reason: UnconfirmedReason
  /** The failure of the request. */
  readonly error: RequestError | DustUnconfirmedError
  readonly found: ReadonlyArray<Posted>
}): DustUnconfirmedError => {
  const { error, identity, reason, sought } = options
  const cause = error._tag === "DustUnconfirmedError"
    ? error.details
    : {
      conversationId: sought.conversationId,
      cause: { _tag: error._tag, message: error.message }
    }
  return unconfirmedMessage(
    identity,
    `${explanations[reason]} ${sought.conversationId}${
      error.status === undefined ? "" : ` after a ${error.status}`
    }; it may still arrive, so look with conversations.findSent(error) before sending it again`,
    reason === "ambiguous"
      ? { ...(typeof cause === "object" ? cause : {}), messageIds: options.found.map(({ message }) => message.sId) }
      : cause,
    { ...sought, reason, notBefore: options.notBefore ?? null },
    error
  )
}
