/** Applies the rate limits of a workspace before each attempt of a rate-limited call. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { RequestError } from "../../DustAPIError.ts"
import { Governor, type Service, type Ticket } from "../../Governor.ts"
import { hash53 } from "../util/hash.ts"
import type { Call, Context, Trip } from "./context.ts"
import * as errors from "./errors.ts"

export interface Governed {
  /** Whether an attempt may start without admission. */
  readonly isFree: () => boolean
  /** Waits for admission, which lasts until the scope closes. */
  readonly admit: Effect.Effect<void, RequestError, Scope.Scope>
  /** Shares with all calls what a failed attempt reveals about the limit. */
  readonly failed: (error: RequestError) => Effect.Effect<void>
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
  const { identity, limits } = call
  if (call.origin === "storage" || identity.credential === "none") return undefined
  const workspace = `${base.host}/${call.caller.workspaceId}`
  if (limits === undefined) return { limitClass: "requests", key: `${workspace} ${identity.http} ${identity.route}` }
  return { limitClass: limits, key: limits === "messages" ? `${workspace}/${secretOf(call)}` : workspace }
}

const described = (trip: Trip, { limitClass }: Ticket): string =>
  limitClass === "requests" ? `The limit of ${trip.call.identity.route}` : `Dust's limit of ${limitClass}`

const paused = (trip: Trip, ticket: Ticket) => (left: Duration.Duration): RequestError =>
  errors.rateLimited(
    trip.call.identity,
    trip.attempts,
    `${described(trip, ticket)} is closed for ${Duration.format(left)}, longer than the call waits`,
    { retryAfter: left, details: { limit: ticket.limitClass } }
  )

/** The rate limit that applies to a call, if any. */
export const governedBy = (context: Context, trip: Trip): Governed | undefined => {
  const { governor } = context
  const ticket = ticketOf(context, trip.call)
  if (governor === undefined || ticket === undefined) return undefined
  const { hasOwnTotal, settings } = trip.call
  return {
    isFree: () => governor.isFree(ticket),
    admit: governor.admit(ticket, {
      maxPause: hasOwnTotal
        ? Duration.min(settings.retry.maxRetryAfter, settings.timeouts.total)
        : settings.retry.maxRetryAfter,
      onPaused: paused(trip, ticket)
    }),
    failed: (error) => error._tag === "DustRateLimitError" ? governor.refused(ticket, error.retryAfter) : Effect.void
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
