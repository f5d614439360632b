/** The client of the request path alone, without services, over a recording HttpClient. */
import { type Duration, Effect, Either, Fiber, type Scope, TestClock } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import * as DustConfig from "effect-dust/DustConfig"
import type { Service as Governor } from "effect-dust/Governor"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { make } from "../../src/internal/request/make.ts"
import { complete } from "./failures.ts"
import { type Answer, defaults, type Recorded, recorder } from "./http.ts"

export type Client = Effect.Effect.Success<ReturnType<typeof make>>

/** Without retries, unless the options have another policy. */
export const clientOf = (
  handler: (request: Recorded) => Answer,
  options: Partial<Omit<DustConfig.ApiKeyOptions, "accessToken">> = {},
  governor?: Governor
): Effect.Effect<
  Client & { readonly requests: ReadonlyArray<Recorded>; readonly sent: () => ReadonlyArray<object> },
  never,
  Scope.Scope
> => {
  const { client, requests } = recorder(handler)
  const config = Either.getOrThrow(DustConfig.check({ ...defaults, retry: RetryPolicy.none, ...options }))
  return Effect.map(make(config, client, governor), (service) => ({
    ...service,
    requests,
    sent: () =>
      requests.map(({ body, headers, method, url }) => ({ method, url: url.href, headers: { ...headers }, body }))
  }))
}

/** Moves the clock until the effect has ended. */
export const untilEnded = <A, E, R>(self: Effect.Effect<A, E, R>, step: Duration.DurationInput = "10 seconds") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    for (let steps = 0; fiber.unsafePoll() === null; steps++) {
      if (steps === 1_000) return yield* Effect.die(new Error("it does not end"))
      yield* TestClock.adjust(step)
    }
    return yield* Fiber.join(fiber)
  })

/** The complete error of a call, whatever time it takes. */
export const failed = (self: Effect.Effect<unknown, RequestError>, step?: Duration.DurationInput) =>
  Effect.map(untilEnded(Effect.flip(self), step), complete)
