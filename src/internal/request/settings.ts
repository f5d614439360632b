/** The limits, retries and headers of one call. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import type { DustTimeoutError } from "../../DustAPIError.ts"
import type * as DustConfig from "../../DustConfig.ts"
import type { RetryPolicy } from "../../RetryPolicy.ts"
import * as Checks from "../input/validate.ts"
import { totalOf } from "./retry.ts"

export interface CallOptions {
  readonly timeouts?: DustConfig.TimeoutOptions | undefined
  readonly retry?: RetryPolicy | undefined
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

export interface Settings {
  readonly timeouts: DustConfig.Timeouts
  readonly retry: RetryPolicy
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
}

/**
 * The options of the current call. Set it with `DustClient.withOptions` or `DustClient.withStreamOptions`.
 *
 * @category references
 * @since 0.1.0
 */
export class CurrentOptions extends Context.Reference<CurrentOptions>()("effect-dust/DustClient/CurrentOptions", {
  defaultValue: (): CallOptions => ({})
}) {}

/** Counts the attempts of all requests inside an Effect with a common limit. */
export interface Tally {
  attempts: number
  readonly outer: Tally | undefined
  /** The end of the requests, if no fiber watches them. */
  readonly limit: { readonly end: number; readonly reached: () => DustTimeoutError } | undefined
}

/** The earliest end that applies to the requests. */
export const limitOf = (tally: Tally | undefined): Tally["limit"] => {
  let earliest: Tally["limit"]
  for (let at = tally; at !== undefined; at = at.outer) {
    if (at.limit !== undefined && (earliest === undefined || at.limit.end < earliest.end)) earliest = at.limit
  }
  return earliest
}

/** The tally of the current call. */
export class CurrentTally extends Context.Reference<CurrentTally>()("effect-dust/internal/CurrentTally", {
  defaultValue: (): Tally | undefined => undefined
}) {}

/** Nests options: the inner ones override the outer ones. */
export const merge = (outer: CallOptions, inner: CallOptions): CallOptions => ({
  timeouts: { ...outer.timeouts, ...defined(inner.timeouts ?? {}) },
  retry: inner.retry ?? outer.retry,
  headers: { ...outer.headers, ...inner.headers }
})

const defined = (timeouts: DustConfig.TimeoutOptions): DustConfig.TimeoutOptions =>
  Object.fromEntries(Object.entries(timeouts).filter(([, value]) => value !== undefined))

/** A default total limit depends on the retry policy and the other limits of the call. */
const totalFollows = ({ chosenLimits, retry, timeouts }: DustConfig.Service): boolean =>
  chosenLimits === undefined
    ? Duration.equals(timeouts.total, totalOf(retry, timeouts.headers, timeouts.body))
    : !chosenLimits.includes("total")

export const settingsOf = (
  config: DustConfig.Service,
  options: CallOptions
): Either.Either<Settings, Checks.Unusable> => {
  if (options.timeouts === undefined && options.retry === undefined && options.headers === undefined) {
    return Either.right(config)
  }
  const limit = (name: keyof DustConfig.Timeouts) => {
    const value = options.timeouts?.[name]
    return value === undefined
      ? Either.right(config.timeouts[name])
      : Checks.duration(`timeouts.${name}`, value)
  }
  return Either.gen(function*() {
    const retry = options.retry ?? config.retry
    const headers = yield* limit("headers")
    const body = yield* limit("body")
    const total = yield* limit("total")
    return {
      retry,
      headers: { ...config.headers, ...(yield* Checks.headers(options.headers ?? {})) },
      timeouts: {
        headers,
        body,
        idle: yield* limit("idle"),
        total: options.timeouts?.total === undefined && totalFollows(config) ? totalOf(retry, headers, body) : total
      }
    }
  })
}
