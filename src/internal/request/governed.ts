/** Applies the rate limits of a workspace before each attempt of a rate-limited call. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { RequestError } from "../../DustAPIError.ts"
import { Governor, type Service, type Ticket } from "../../Governor.ts"
import { hash53 } from "../util/hash.ts"
import type { Call, Context, Trip } from "./context.ts"
import * as errors from "./errors.ts"

export interface Governed {
  /** Waits for admission. */
  readonly admit: Effect.Effect<void, RequestError>
  /** Runs an admitted attempt, and shares with all calls what its response reveals about the limit. */
  readonly attempt: <A, R>(once: Effect.Effect<A, RequestError, R>) => Effect.Effect<A, RequestError, R>
}

/** Credentials that are Effects are distinguished by identity. */
const tokens = new WeakMap<object, number>()
let made = 0

const secretOf = ({ caller }: Call): string => {
  if (!("credential" in caller)) return ""
  const { credential } = caller
  const secret = credential._tag === "ApiKey" ? credential.apiKey : credential.accessToken
  if (Redacted.isRedacted(secret)) return hash53(Redacted.value(secret))
  const known = tokens.get(secret) ?? ++made
  tokens.set(secret, known)
  return `token-${known}`
}

const ticketOf = ({ base }: Context, call: Call): Ticket | undefined => {
  const { limits } = call
  if (limits === undefined) return undefined
  const workspace = `${base.host}/${call.caller.workspaceId}`
  return { limitClass: limits, key: limits === "messages" ? `${workspace}/${secretOf(call)}` : workspace }
}

const paused = (trip: Trip, ticket: Ticket) => (left: Duration.Duration): RequestError =>
  errors.rateLimited(
    trip.call.identity,
    trip.attempts,
    `Dust's limit of ${ticket.limitClass} is closed for ${Duration.format(left)}, longer than the retry policy waits ` +
      "(maxRetryAfter)",
    { retryAfter: left, details: { limit: ticket.limitClass } }
  )

/** The rate limit that applies to a call, if any. */
export const governedBy = (context: Context, trip: Trip): Governed | undefined => {
  const { governor } = context
  const ticket = ticketOf(context, trip.call)
  if (governor === undefined || ticket === undefined) return undefined
  return {
    admit: governor.admit(ticket, {
      maxPause: trip.call.settings.retry.maxRetryAfter,
      onPaused: paused(trip, ticket)
    }),
    attempt: (once) =>
      Effect.tapError(
        governor.bound(ticket)(once),
        (error) => error._tag === "DustRateLimitError" ? governor.refused(ticket, error.retryAfter) : Effect.void
      )
  }
}

/** The application's governor if one is provided, otherwise another one. */
export const governorOr = (otherwise: Effect.Effect<Service>): Layer.Layer<Governor> =>
  Layer.effect(
    Governor,
    Effect.flatMap(
      Effect.serviceOption(Governor),
      Option.match({ onNone: () => otherwise, onSome: Effect.succeed })
    )
  )
