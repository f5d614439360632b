/**
 * Shares the rate limits of a workspace among all calls of a layer: messages, uploads and upserts wait for a free place
 * instead of being refused, and a refusal pauses all calls of its class until the limit resets.
 *
 * `Dust.layer` governs its calls by default, in memory. Provide {@link layer} to change the limits, {@link layerOff} to
 * switch it off, and {@link layerStore} to share the limits between processes and machines, in Redis for example. Local
 * Dust (`DustTest.layer`) is not governed unless a governor is provided.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { debug } from "./internal/telemetry/log.ts"
import { recording } from "./internal/telemetry/record.ts"
import { event } from "./internal/telemetry/span.ts"
import { inFlight, type Lane, Lanes, occupied, turn } from "./internal/util/lanes.ts"
import { monotonic, timeOfDay } from "./internal/util/monotonic.ts"
import { memory } from "./internal/util/placeStore.ts"
import { SlowStart } from "./internal/util/slowStart.ts"
import * as Telemetry from "./Telemetry.ts"

/**
 * What Dust limits: messages (per credential), uploads of files and upserts of documents (per workspace), and all other
 * `requests` (per workspace and route).
 *
 * @category models
 * @since 0.2.0
 */
export type LimitClass = "messages" | "uploads" | "upserts" | "requests"

/**
 * At most so many starts in any window of this length.
 *
 * @category models
 * @since 0.2.0
 */
export interface Limit {
  readonly limit: number
  readonly window: Duration.DurationInput
}

/**
 * The limits of Dust: 100 messages a minute and 3,000 an hour, 40 uploads a minute, 120 upserts a minute; other requests have
 * none.
 *
 * @category limits
 * @since 0.2.0
 */
export const defaultLimits: Readonly<Record<LimitClass, ReadonlyArray<Limit>>> = {
  messages: [{ limit: 100, window: "1 minute" }, { limit: 3000, window: "1 hour" }],
  uploads: [{ limit: 40, window: "1 minute" }],
  upserts: [{ limit: 120, window: "1 minute" }],
  requests: []
}

/**
 * Options of a governor.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options {
  /** Replaces the limits of a class; an empty list removes them. Defaults to {@link defaultLimits}. */
  readonly limits?: Partial<Readonly<Record<LimitClass, ReadonlyArray<Limit>>>> | undefined
  /** How many requests of a class may be in flight at once. Defaults to no limit. */
  readonly concurrency?: Partial<Readonly<Record<LimitClass, number>>> | undefined
  /**
   * How long a refusal without `Retry-After` pauses its class. Defaults to 60 seconds, the window of Dust's limits, and to 15
   * seconds for `requests`.
   */
  readonly pause?: Duration.DurationInput | undefined
}

/**
 * Counts the calls of each limit. A store that does not answer within five seconds is treated as failed: calls are not held
 * back, a warning is logged, and the store is used again after 30 seconds.
 *
 * @category models
 * @since 0.2.0
 */
export interface Store {
  /** Takes a place. Returns 0 if one was free; otherwise the milliseconds to wait before the next attempt. */
  readonly take: (key: string, limits: ReadonlyArray<Limit>) => Effect.Effect<number>
  /** Pauses a key for this many milliseconds. A longer pause remains in force. */
  readonly pause: (key: string, millis: number) => Effect.Effect<void>
  /** The milliseconds until the pause ends; 0 without a pause. */
  readonly pauseLeft: (key: string) => Effect.Effect<number>
}

/**
 * A call as the governor sees it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ticket {
  readonly limitClass: LimitClass
  /** Calls with the same key share the limits: the workspace, and the credential (`messages`) or the route (`requests`). */
  readonly key: string
}

/**
 * The methods of {@link Governor}.
 *
 * @category models
 * @since 0.2.0
 */
export interface Service {
  /** Whether calls of this class and key start at once: nothing limits them, and none has been refused recently. */
  readonly isFree: (ticket: Ticket) => boolean
  /**
   * Waits for a place, which the call occupies until the scope closes. If a pause is longer than `maxPause`, the call fails at
   * once with the error of `onPaused`.
   */
  readonly admit: <E>(ticket: Ticket, options: {
    readonly maxPause: Duration.Duration
    readonly onPaused: (left: Duration.Duration) => E
  }) => Effect.Effect<void, E, Scope.Scope>
  /**
   * Pauses the class of a refused call, for as long as the server asks, up to an hour, or for the configured pause.
   */
  readonly refused: (ticket: Ticket, retryAfter: Duration.Duration | undefined) => Effect.Effect<void>
}

/**
 * The tag of the service: `yield* Governor` returns its {@link Service}.
 *
 * @category tags
 * @since 0.2.0
 */
export class Governor extends Context.Tag("effect-dust/Governor")<Governor, Service>() {}

/**
 * Called when a call has to wait for a place: with its class and the time (epoch milliseconds) at which it will probably
 * have one. Set it around calls to show that they wait.
 *
 * @category references
 * @since 0.2.0
 */
export class CurrentWaitObserver extends Context.Reference<CurrentWaitObserver>()(
  "effect-dust/Governor/CurrentWaitObserver",
  { defaultValue: () => (_limitClass: LimitClass, _until: number): Effect.Effect<void> => Effect.void }
) {}

/** Milliseconds. Dust counts requests when they arrive, which may be later for the first one of a window than for the last. */
const margin = 1000

/** A response of a proxy must not close a route for good: after Dust's longest window, a call asks again. */
const longestPause = Duration.hours(1)

/** Milliseconds. A store that says "soon" is not asked in a busy loop. */
const leastWait = 10

const waiting = (limitClass: LimitClass, until: number) =>
  Effect.flatMap(CurrentWaitObserver, (observe) =>
    Effect.all([
      observe(limitClass, until),
      recording("governorWaits", { class: limitClass }),
      event(Telemetry.events.governorWait, { [Telemetry.attributes.limitClass]: limitClass }),
      debug("Waiting for a rate limit of Dust", () => ({ class: limitClass, until: new Date(until).toISOString() }))
    ], { discard: true }))

/** Calls that wait behind others are reported, too. */
const queued = (limitClass: LimitClass, lane: Lane): Effect.Effect<void> =>
  Effect.flatMap(
    monotonic,
    (now) =>
      lane.until > now ? Effect.flatMap(timeOfDay(lane.until), (until) => waiting(limitClass, until)) : Effect.void
  )

/** Measures a wait; a call that does not wait takes no time by any clock. */
const measured = (limitClass: LimitClass) => <E, R>(admit: Effect.Effect<void, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(monotonic, (begun) =>
    Effect.zipRight(
      admit,
      Effect.flatMap(monotonic, (now) =>
        now - begun < leastWait
          ? Effect.void
          : recording("governorWaitDuration", { class: limitClass }, (now - begun) / 1_000))
    ))

/**
 * A governor over a store.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (store: Store, options: Options = {}): Service => {
  const lanes = new Lanes()
  const local = memoryStore()
  const limitsOf = (limitClass: LimitClass) => options.limits?.[limitClass] ?? defaultLimits[limitClass]
  // Calls without a limit are too many to ask another machine about each of them.
  const storeOf = ({ limitClass }: Ticket) => limitsOf(limitClass).length === 0 ? local : store
  const pauseOf = (limitClass: LimitClass) =>
    Duration.decode(options.pause ?? (limitClass === "requests" ? "15 seconds" : "60 seconds"))

  const nameOf = ({ key, limitClass }: Ticket) => `${limitClass}:${key}`
  const laneOf = (ticket: Ticket): Lane => lanes.of(nameOf(ticket), options.concurrency?.[ticket.limitClass])

  const place = <E>(ticket: Ticket, lane: Lane, notForLong: Effect.Effect<void, E>): Effect.Effect<void, E> =>
    Effect.flatMap(storeOf(ticket).take(nameOf(ticket), limitsOf(ticket.limitClass)), (millis) => {
      if (millis <= 0) return Effect.void
      return Effect.flatMap(Effect.zipRight(notForLong, monotonic), (now) => {
        const until = now + Math.max(millis, leastWait)
        const known = lane.until >= until
        lane.until = until
        return Effect.zipRight(
          known ? Effect.void : Effect.flatMap(timeOfDay(until), (until) => waiting(ticket.limitClass, until)),
          Effect.zipRight(Effect.sleep(until - now), place(ticket, lane, notForLong))
        )
      })
    })

  /** A place in the store, and a turn in this process, which knows its own refusals even if the store fails. */
  const admitted = <E>(
    ticket: Ticket,
    lane: Lane,
    notForLong: (left: number) => Effect.Effect<void, E>
  ): Effect.Effect<void, E, Scope.Scope> => {
    const inStore = Effect.flatMap(storeOf(ticket).pauseLeft(nameOf(ticket)), notForLong)
    const go: Effect.Effect<void, E, Scope.Scope> = Effect.zipRight(
      lane.queue.withPermits(1)(place(ticket, lane, inStore)),
      Effect.flatMap(turn(lane), (left) =>
        left === 0
          ? Effect.void
          : Effect.zipRight(notForLong(left), Effect.zipRight(Effect.sleep(left), go)))
    )
    return Effect.zipRight(inStore, go)
  }

  return {
    isFree: (ticket) =>
      limitsOf(ticket.limitClass).length === 0 && options.concurrency?.[ticket.limitClass] === undefined &&
      lanes.get(nameOf(ticket))?.slowStart === undefined,
    admit: (ticket, { maxPause, onPaused }) =>
      Effect.suspend(() => {
        const lane = laneOf(ticket)
        const notForLong = (left: number) =>
          left > Duration.toMillis(maxPause) ? Effect.fail(onPaused(Duration.millis(left))) : Effect.void
        return occupied(lane).pipe(
          Effect.zipRight(queued(ticket.limitClass, lane)),
          Effect.zipRight(inFlight(lane)),
          Effect.zipRight(admitted(ticket, lane, notForLong)),
          measured(ticket.limitClass)
        )
      }),
    refused: (ticket, retryAfter) =>
      Effect.suspend(() => {
        const pause = Duration.min(retryAfter ?? pauseOf(ticket.limitClass), longestPause)
        const lane = laneOf(ticket)
        lane.slowStart ??= new SlowStart()
        const { slowStart } = lane
        return Effect.all([
          Effect.map(monotonic, (now) => slowStart.refused(now, Duration.toMillis(pause))),
          storeOf(ticket).pause(nameOf(ticket), Duration.toMillis(pause)),
          recording("governorPauses", { class: ticket.limitClass }),
          debug("Dust reported a rate limit; its calls are paused", () => ({
            class: ticket.limitClass,
            pause: Duration.format(pause)
          }))
        ], { discard: true })
      })
  }
}

const memoryStore = (): Store => memory((limit: Limit) => Duration.toMillis(limit.window) + margin)

/**
 * A store in the memory of this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const storeMemory: Effect.Effect<Store> = Effect.sync(memoryStore)

const storeFailed = Effect.logWarning("The rate limit store failed")

/**
 * Another machine may be silent for ever. A store that has not answered is not asked for half a minute: otherwise every call
 * would wait for it, one after the other.
 */
const answeringStore = (store: Store): Store => {
  let askAgain = Number.NEGATIVE_INFINITY
  const answering = <A>(self: Effect.Effect<A>, otherwise: A): Effect.Effect<A> =>
    Effect.flatMap(monotonic, (now) =>
      now < askAgain ? Effect.succeed(otherwise) : Effect.flatMap(
        Effect.timeoutOption(Effect.disconnect(self), "5 seconds"),
        Option.match({
          onNone: () =>
            Effect.flatMap(monotonic, (now) => {
              askAgain = now + 30_000
              return Effect.as(storeFailed, otherwise)
            }),
          onSome: Effect.succeed
        })
      ))
  return {
    take: (key, limits) => answering(store.take(key, limits), 0),
    pause: (key, millis) => answering(store.pause(key, millis), undefined),
    pauseLeft: (key) => answering(store.pauseLeft(key), 0)
  }
}

/**
 * The part of the `RateLimiterStore` of `@effect/experimental` that {@link storeTokenBucket} needs.
 *
 * @category models
 * @since 0.2.0
 */
export interface TokenBucketStore<E> {
  /** Takes tokens, and returns how many are left; a negative number if there were too few. */
  readonly tokenBucket: (options: {
    readonly key: string
    readonly tokens: number
    readonly limit: number
    readonly refillRate: Duration.Duration
    readonly allowOverflow: boolean
  }) => Effect.Effect<number, E>
}

/**
 * A store over token buckets, such as the `RateLimiterStore` of `@effect/experimental`, which has one for Redis. A tenth of
 * a limit may start at once; the rest is spread evenly over the window, so that no window ever has more starts than the
 * limit. While the store fails, calls are not held back, and a warning is logged.
 *
 * @example
 * ```ts
 * import * as Governor from "effect-dust/Governor"
 * import { Effect } from "effect"
 *
 * // import { RateLimiterStore } from "@effect/experimental/RateLimiter"
 * // import * as Redis from "@effect/experimental/RateLimiter/Redis"
 * declare const RateLimiterStore: Effect.Effect<Governor.TokenBucketStore<Error>>
 *
 * const shared = Governor.layerStore(Effect.map(RateLimiterStore, Governor.storeTokenBucket))
 * // .pipe(Layer.provide(Redis.layerStore({ host: "redis.internal", prefix: "dust:" })))
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const storeTokenBucket = <E>(buckets: TokenBucketStore<E>): Store => {
  const shape = ({ limit, window }: Limit) => {
    const burst = Math.max(1, Math.floor(limit / 10))
    const millis = Duration.toMillis(window) / Math.max(1, limit - burst)
    return { limit: burst, millis, refillRate: Duration.millis(Math.ceil(millis)) }
  }
  const bucket = (key: string, limit: Limit, tokens: number, allowOverflow: boolean) => {
    const { limit: burst, refillRate } = shape(limit)
    const name = `${key}:${limit.limit}/${Duration.toMillis(limit.window)}`
    return buckets.tokenBucket({ key: name, tokens, limit: burst, refillRate, allowOverflow })
  }
  const open = <A>(self: Effect.Effect<A, E>, otherwise: A): Effect.Effect<A> =>
    Effect.catchAll(self, () => Effect.as(storeFailed, otherwise))
  /** The longest window first, so that the others are taken from only once it has a place. */
  const ordered = (limits: ReadonlyArray<Limit>) =>
    [...limits].sort((a, b) => Duration.toMillis(b.window) - Duration.toMillis(a.window))
  const pauses = pauseBucket(buckets)

  return answeringStore({
    take: (key, limits) =>
      open(
        Effect.gen(function*() {
          const paused = yield* pauses.left(key)
          if (paused > 0) return paused
          const taken: Array<Limit> = []
          for (const limit of ordered(limits)) {
            const left = yield* bucket(key, limit, 1, false)
            if (left < 0) {
              yield* Effect.forEach(taken, (one) => bucket(key, one, -1, true), { discard: true })
              return -left * shape(limit).millis
            }
            taken.push(limit)
          }
          return 0
        }),
        0
      ),
    pause: (key, millis) => open(pauses.extend(key, millis), undefined),
    pauseLeft: (key) => open(Effect.map(pauses.left(key), (left) => Math.max(0, left)), 0)
  })
}

/** A pause as a debt of tokens, one for each 100 milliseconds: other processes see it, too. */
const pauseBucket = <E>(buckets: TokenBucketStore<E>) => {
  const step = 100
  const take = (key: string, tokens: number) =>
    buckets.tokenBucket({
      key: `${key}:pause`,
      tokens,
      limit: 1,
      refillRate: Duration.millis(step),
      allowOverflow: true
    })
  const left = (key: string) => Effect.map(take(key, 0), (tokens) => Math.max(0, 1 - tokens) * step)
  return {
    left,
    extend: (key: string, millis: number) =>
      Effect.flatMap(
        left(key),
        (already) => millis > already ? Effect.asVoid(take(key, Math.ceil((millis - already) / step))) : Effect.void
      )
  }
}

/**
 * A governor in the memory of this process. Provide it to several layers of one workspace to share the limits.
 *
 * @example
 * ```ts
 * import * as Dust from "effect-dust/Dust"
 * import * as Governor from "effect-dust/Governor"
 * import { Layer } from "effect"
 *
 * // Leaves half of the limit to other applications.
 * const DustLive = Dust.layerEnv.pipe(
 *   Layer.provide(Governor.layer({ limits: { messages: [{ limit: 50, window: "1 minute" }] } }))
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options?: Options): Layer.Layer<Governor> =>
  Layer.effect(Governor, Effect.map(storeMemory, (store) => make(store, options)))

/**
 * A governor over a store of your own, which processes can share.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStore = <E, R>(
  store: Effect.Effect<Store, E, R>,
  options?: Options
): Layer.Layer<Governor, E, R> =>
  Layer.effect(Governor, Effect.map(store, (store) => make(answeringStore(store), options)))

/**
 * No governor: every call starts at once.
 *
 * @category constructors
 * @since 0.2.0
 */
export const off: Service = {
  isFree: () => true,
  admit: () => Effect.void,
  refused: () => Effect.void
}

/**
 * No governor: every call starts at once.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerOff: Layer.Layer<Governor> = Layer.succeed(Governor, off)
