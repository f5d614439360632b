/** The client of one workspace: composes the steps of the request path. */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as EffectContext from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DustTimeoutError, RequestError } from "../../DustAPIError.ts"
import type * as DustConfig from "../../DustConfig.ts"
import type { Service as Governor } from "../../Governor.ts"
import type { Identity, Input, Operation } from "../api/operation.ts"
import { monotonic } from "../util/monotonic.ts"
import * as Body from "./body.ts"
import { type CallSite, captureCallSite, CurrentCallSite, located } from "./callSite.ts"
import type { Call, Context, Execute, Open, OpenOptions } from "./context.ts"
import { CurrentCredential, makeCallers, UnusableCaller } from "./credential.ts"
import { deadlinesOf, watching } from "./deadlines.ts"
import * as errors from "./errors.ts"
import { execute, open } from "./execute.ts"
import { type AnyFiber, nameOf } from "./instrument.ts"
import { prepare } from "./prepare.ts"
import { makeRawClient } from "./rawClient.ts"
import { type CallOptions, CurrentOptions, CurrentTally, settingsOf, type Tally } from "./settings.ts"
import { makeExchange } from "./tokenExchange.ts"
import { untraced } from "./transport.ts"

export const make = (
  config: DustConfig.Service,
  client: HttpClient.HttpClient,
  governor: Governor | undefined
): Effect.Effect<ReturnType<typeof serviceOf>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const runtime = yield* Effect.runtime<never>()
    const plain = config.transformClient === undefined ? client : config.transformClient(client)
    const scoped = HttpClient.withScope(plain)
    const shared = {
      config,
      base: new URL(config.baseUrl),
      execute: scoped.execute,
      transport: untraced(plain)
    }
    const context: Context = {
      ...shared,
      callers: makeCallers(config, makeExchange(shared), scope, runtime),
      moved: new Set(),
      serverClock: { offset: undefined },
      governor
    }
    return serviceOf(context)
  })

const serviceOf = (context: Context) => {
  const { config } = context
  const settings = Effect.map(
    CurrentOptions,
    // Invalid options fail the call itself, before its request.
    (options) => Either.getOrElse(settingsOf(config, options), () => config)
  )
  return {
    config,
    http: makeRawClient(context),
    execute: executeOf(context),
    open: openOf(context),
    body: (operation: Identity, response: HttpClientResponse.HttpClientResponse) =>
      Stream.fromPull(Effect.flatMap(settings, ({ timeouts }) => Body.pull(operation, response, timeouts.idle))),
    anonymous: context.transport,
    serverTime: Effect.map(
      monotonic,
      (now) => Option.map(Option.fromNullable(context.serverClock.offset), (offset) => offset + now)
    ),
    settings,
    caller: Effect.map(
      CurrentCredential,
      // An invalid credential fails the call itself, before its request.
      (given) => Either.getOrElse(context.callers.of(given), () => new UnusableCaller(given))
    ),
    withTotal: withTotal(context)
  }
}

const executeOf =
  (context: Context): Execute =>
  <Route extends string, Body, A>(operation: Operation<Route, Body, A>, input: Input<Route, Body>) =>
    prepared<Route, Body, A, A, never>(
      context,
      operation,
      input,
      {},
      (call, fiber) => execute(context, call, fiber, operation)
    )

const openOf = (context: Context): Open =>
<Route extends string, Body, A>(
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>,
  options: OpenOptions = {}
) =>
  prepared<Route, Body, A, HttpClientResponse.HttpClientResponse, Scope.Scope>(
    context,
    operation,
    input,
    options,
    (call, fiber) => Effect.flatMap(Effect.scope, (scope) => open(context, call, fiber, scope))
  )

/** Validates a call when it runs, and records its call site. */
const prepared = <Route extends string, Body, A, B, R>(
  context: Context,
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>,
  options: OpenOptions,
  run: (call: Call, fiber: AnyFiber) => Effect.Effect<B, RequestError, R>
): Effect.Effect<B, RequestError, R> => {
  const here = captureCallSite()
  return Effect.withFiberRuntime<B, RequestError, R>((fiber) => {
    const surroundings = fiber.currentContext
    const site: CallSite = EffectContext.get(surroundings, CurrentCallSite) ?? here
    const call = prepare(context, operation, input, {
      options: EffectContext.get(surroundings, CurrentOptions),
      credential: EffectContext.get(surroundings, CurrentCredential),
      site,
      tally: EffectContext.get(surroundings, CurrentTally)
    }, options)
    return Either.isRight(call) ? run(call.right, fiber) : Effect.fail(located(call.left, nameOf(operation), site))
  })
}

/** Options to limit an Effect of several requests. */
export interface TotalOptions {
  /** Overrides the current limit. */
  readonly limit?: Duration.DurationInput | undefined
  /** The time that the work is known to need: raises a default limit, but not an explicit one. */
  readonly needs?: Duration.DurationInput | undefined
  /** Only requests take time: each of them ends by the limit, so no fiber has to watch them. */
  readonly onlyRequests?: boolean | undefined
  /** The error message when the limit is reached. */
  readonly message?: ((limit: Duration.Duration) => string) | undefined
  readonly details?: Readonly<Record<string, unknown>> | undefined
}

const withTotal =
  (context: Context) =>
  (operation: errors.Named, bounds: TotalOptions = {}) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | DustTimeoutError, R> =>
    Effect.contextWithEffect((surroundings: EffectContext.Context<R>) =>
      Effect.clockWith((clock) => {
        const total = totalFor(context, EffectContext.get(surroundings, CurrentOptions), bounds)
        if (!Duration.isFinite(total)) return self
        const deadlines = deadlinesOf(clock)
        const end = deadlines.now() + Duration.toMillis(total)
        const reached = (): DustTimeoutError =>
          errors.timeout(
            operation,
            tally.attempts,
            "total",
            total,
            bounds.message?.(total) ?? `not finished within ${Duration.format(total)}`,
            bounds.details
          )
        const tally: Tally = {
          attempts: 0,
          outer: EffectContext.get(surroundings, CurrentTally),
          limit: bounds.onlyRequests === true ? { end, reached } : undefined
        }
        if (bounds.onlyRequests === true) return Effect.provideService(self, CurrentTally, tally)
        return watching<A, E | DustTimeoutError, R>({
          deadlines,
          end,
          context: EffectContext.add(surroundings, CurrentTally, tally),
          onTimeout: () => Effect.failSync(reached)
        }, () => self)
      })
    )

const totalFor = ({ config }: Context, options: CallOptions, { limit, needs }: TotalOptions): Duration.Duration => {
  if (limit !== undefined) return Duration.decode(limit)
  const { timeouts: { total } } = Either.getOrElse(settingsOf(config, options), () => config)
  return needs === undefined || options.timeouts?.total !== undefined || config.chosenLimits?.includes("total") === true
    ? total
    : Duration.max(total, needs)
}
