/**
 * Sends a message at most once.
 *
 * A request is repeated only where it provably did not reach its handler. After any other failure the conversation is read
 * until the message is there. A message is recognised by what it says (author, mention, text) and by where it is: behind
 * the newest message that was known before. Clocks prove nothing, because this machine's may be wrong or stepped between
 * two requests; but a message that was created before this one was sent, by the date of the very answer that has it, is
 * another one, which a lagging read had not shown.
 *
 * The position costs nothing where this client created the conversation or has written to it or read it before. Otherwise
 * the newest message is read once, before the first message is sent.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import {
  DustTimeoutError,
  DustUnconfirmedError,
  type RequestError,
  type UnconfirmedReason
} from "../../DustAPIError.ts"
import { CurrentOptions, type Service as Client } from "../../DustClient.ts"
import type { ConversationId } from "../../Ids.ts"
import * as RetryPolicy from "../../RetryPolicy.ts"
import type { Identity } from "../api/operation.ts"
import { common } from "../request/errors.ts"
import type { Known } from "./known.ts"
import { type LookBack, monotonic } from "./lookBack.ts"
import { candidates, keyOf, type Position, type Posted, type Sought } from "./sameMessage.ts"

export interface Sending {
  readonly sought: Omit<Sought, "position">
  readonly onUnconfirmed: "fail" | "resend"
  /** One POST, repeated by the request path only where it provably was not handled. */
  readonly send: Effect.Effect<Posted, RequestError>
  /** Runs when the send is interrupted and the message may be stored. */
  readonly abandoned: (found: Effect.Effect<ReadonlyArray<Posted>, RequestError>) => Effect.Effect<void>
}

export type SendOnce = (sending: Sending) => Effect.Effect<Posted, RequestError | DustUnconfirmedError>

/** A handler may be at work for a minute after its connection broke: the conversation is read after each of these pauses. */
export const looks: ReadonlyArray<number> = [200, 800, 2_000, 4_000, 8_000, 10_000, 15_000, 15_000, 10_000]

/** The answers to a message may be seen a moment after it. */
const looksForAnswers = 3

/** Knowing the position is worth this long a wait, and no failure. */
const positionWait = "5 seconds"

/** The server may have stored the message, and did not get to say so. */
const isAmbiguous = (error: RequestError): boolean => {
  switch (error._tag) {
    // Without an attempt there was no message: the token did not come.
    case "DustTimeoutError":
      return error.attempts > 0
    case "DustDecodeError":
      return true
    case "DustNetworkError":
      return error.reachedServer
    case "DustServerError":
      return !(error.status === 503 && error.type === "service_unavailable")
    default:
      // A proxy's way to say that the client went away.
      return error.status === 499
  }
}

/** A read that is not repeated: another one follows. */
const once = <A, E, R>(self: Effect.Effect<A, E, R>, limit: Duration.DurationInput) =>
  Effect.flatMap(CurrentOptions, (options) =>
    Effect.interruptible(self).pipe(
      Effect.provideService(CurrentOptions, { ...options, retry: RetryPolicy.none }),
      Effect.timeoutOption(limit)
    ))

/** One at a time for each key. Waiting has a limit. */
const makeTurns = () => {
  const turns = new Map<string, Deferred.Deferred<void>>()
  const end = (key: string, turn: Deferred.Deferred<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (turns.get(key) === turn) turns.delete(key)
      return Effect.asVoid(Deferred.succeed(turn, undefined))
    })
  return <E2>(key: string, limit: number, onTimeout: () => E2) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const before = turns.get(key)
        const turn = Deferred.unsafeMake<void>(FiberId.none)
        turns.set(key, turn)
        return { before, turn }
      }),
      ({ before }): Effect.Effect<A, E | E2, R> =>
        before === undefined ? self : Effect.zipRight(
          Effect.timeoutFail(Effect.interruptible(Deferred.await(before)), { duration: limit, onTimeout }),
          self
        ),
      ({ before, turn }) =>
        before === undefined ? end(key, turn) : Effect.flatMap(Deferred.isDone(before), (done) =>
          done
            ? end(key, turn)
            // Given up before its turn came: whoever is behind still has to wait for those before.
            : Effect.asVoid(Effect.forkDaemon(Effect.zipRight(Deferred.await(before), end(key, turn)))))
    )
}

export const makeSendOnce = (options: {
  readonly client: Client
  readonly identity: Identity
  readonly lookBack: LookBack
  readonly known: Known
}): SendOnce => {
  const { client, identity, known, lookBack } = options
  const inTurn = makeTurns()

  /** The position before the message: known, or read. Failing to read it is no reason not to send. */
  const positionOf = (conversationId: ConversationId): Effect.Effect<Position | null> =>
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

  return (sending) =>
    Effect.gen(function*() {
      const begun = yield* monotonic
      const { timeouts } = yield* client.settings
      const total = Duration.toMillis(timeouts.total)
      const left = Effect.map(monotonic, (now) => begun + total - now)
      const key = keyOf(sending.sought)
      const late = () => tooLate(identity, timeouts.total)

      const sendFrom = (sought: Sought) =>
        Effect.gen(function*() {
          const sent = { _tag: "Here", at: yield* monotonic } as const
          /** Another send of the same may still arrive. Those of this one are all its own. */
          const unresolved = known.isUnresolved(key)
          let again = sending.onUnconfirmed === "resend"
          let notBefore: number | undefined
          const look = Effect.map(lookBack.since({ ...sought, sent }), (seen) => {
            // The latest: an answer out of a cache has an old date.
            if (seen.notBefore !== undefined) notBefore = Math.max(notBefore ?? seen.notBefore, seen.notBefore)
            return seen.stale ? undefined : candidates(sought, seen, notBefore, (id) => known.isTaken(id))
          })
          const unconfirmed = (error: RequestError, reason: UnconfirmedReason, found: ReadonlyArray<Posted> = []) => {
            known.leaveUnresolved(key)
            return unconfirmedError({ identity, sought, notBefore, error, reason, found })
          }

          const judge = (error: RequestError): Effect.Effect<Posted, RequestError | DustUnconfirmedError> =>
            Effect.gen(function*() {
              if (error.status !== undefined) yield* lookBack.noteClock
              let readable = false
              let found: Posted | undefined
              let looksLeft = looks.length
              for (const pause of looks) {
                if (looksLeft-- <= 0) break
                yield* Effect.sleep(Math.min(pause, Math.max(0, (yield* left) / 2)))
                const rest = yield* left
                if (rest <= 0) break
                const seen = yield* Effect.option(Effect.flatten(once(look, rest)))
                const some = Option.getOrUndefined(seen)
                if (some === undefined) continue
                readable = true
                const one = some[0]
                if (one === undefined) continue
                if (some.length > 1 || unresolved) return yield* unconfirmed(error, "ambiguous", some)
                if (found === undefined) looksLeft = Math.min(looksLeft, looksForAnswers)
                found = one
                if (isComplete(sought, one)) break
              }
              if (found !== undefined) return found
              if (!again || (yield* left) <= 0) return yield* unconfirmed(error, readable ? "not_found" : "unreadable")
              // A second message is the caller's choice.
              again = false
              return yield* attempt
            })

          const attempt: Effect.Effect<Posted, RequestError | DustUnconfirmedError> = Effect.catchIf(
            Effect.flatMap(left, (rest) => rest <= 0 ? Effect.fail(late()) : within(sending.send, rest, total)),
            isAmbiguous,
            judge
          )

          return known.take(
            sought.conversationId,
            yield* Effect.acquireUseRelease(
              Effect.sync(() => known.begin(key)),
              () => attempt,
              () => Effect.sync(() => known.end(key))
            ).pipe(Effect.onInterrupt(() => {
              known.leaveUnresolved(key)
              // What the same send that is under way now has stored is not to be taken for this one's.
              return sending.abandoned(Effect.map(look, (found = []) => known.isUnderway(key) ? [] : found))
            }))
          )
        })

      return yield* inTurn(key, total, late)(
        Effect.flatMap(
          positionOf(sending.sought.conversationId),
          (position) => sendFrom({ ...sending.sought, position })
        )
      )
    })
}

/** Whoever mentions an agent is answered, or waits for the turn. */
const isComplete = (sought: Sought, { agentMessages, message }: Posted): boolean =>
  sought.agentId === null || agentMessages.length > 0 || message.visibility === "pending"

/** What is left of the total once something else has taken its time. */
const within = <A, E, R>(self: Effect.Effect<A, E, R>, rest: number, total: number): Effect.Effect<A, E, R> =>
  rest >= total ? self : Effect.flatMap(CurrentOptions, (options) =>
    Effect.provideService(self, CurrentOptions, {
      ...options,
      timeouts: { ...options.timeouts, total: Duration.millis(rest) }
    }))

const tooLate = (identity: Identity, limit: Duration.Duration): DustTimeoutError =>
  new DustTimeoutError({
    ...common(identity, 0),
    message: `${identity.module}.${identity.method}: not sent within ${Duration.format(limit)}`,
    type: "timeout",
    details: { phase: "total", limit: Duration.format(limit) },
    phase: "total",
    limit
  }, { disableValidation: true })

const explanations: Readonly<Record<UnconfirmedReason, string>> = {
  not_found: "the message is not in conversation",
  unreadable: "the message may be stored, and reading failed in conversation",
  ambiguous: "several messages could be the one that was sent in conversation"
}

export const unconfirmedError = (options: {
  readonly identity: Identity
  readonly sought: Sought
  readonly notBefore: number | undefined
  readonly reason: UnconfirmedReason
  /** What the request failed with. */
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
  return new DustUnconfirmedError({
    ...common(identity, error.attempts),
    message: `${identity.module}.${identity.method}: ${explanations[reason]} ${sought.conversationId}${
      error.status === undefined ? "" : ` after a ${error.status}`
    }; it may still arrive, so look with conversations.findSent(error) before sending it again`,
    status: error.status,
    type: "message_unconfirmed",
    details: reason === "ambiguous"
      ? { ...(typeof cause === "object" ? cause : {}), messageIds: options.found.map(({ message }) => message.sId) }
      : cause,
    requestId: error.requestId,
    reason,
    conversationId: sought.conversationId,
    author: sought.author,
    origin: sought.origin,
    agentId: sought.agentId,
    position: sought.position,
    notBefore: options.notBefore ?? null,
    fingerprint: sought.fingerprint
  }, { disableValidation: true })
}
