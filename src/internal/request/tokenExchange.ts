/** The public token endpoint of Dust: it takes no client id, and responds like WorkOS. */
import type * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as EffectContext from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { RequestError } from "../../DustAPIError.ts"
import type * as DustConfig from "../../DustConfig.ts"
import type { Identity } from "../api/operation.ts"
import { pull } from "./body.ts"
import type { Context } from "./context.ts"
import { deadlinesOf, watching } from "./deadlines.ts"
import * as errors from "./errors.ts"
import { failureOf } from "./network.ts"
import { retryAfter } from "./retryAfter.ts"
import { withoutSecrets } from "./scrub.ts"
import { requestInitOf, untracedRefs } from "./transport.ts"

const identity: Identity = {
  module: "DustConfig",
  method: "refreshToken",
  http: "POST",
  route: "/api/v1/auth/authenticate",
  credential: "none",
  errors: {}
}

export const makeExchange = (
  context: Pick<Context, "config" | "base" | "execute">
): EffectContext.Tag.Service<DustConfig.TokenExchange> => ({
  refresh: (refreshToken) =>
    Effect.contextWithEffect((surroundings: EffectContext.Context<never>) =>
      Effect.clockWith((clock) => {
        const limit = context.config.timeouts.headers
        const deadlines = deadlinesOf(clock)
        return watching<DustConfig.ExchangedTokens, RequestError, FetchHttpClient.RequestInit>({
          deadlines,
          end: deadlines.now() + Duration.toMillis(limit),
          context: EffectContext.merge(surroundings, requestInitOf(surroundings)),
          refs: untracedRefs,
          onTimeout: () =>
            Effect.failSync(() =>
              errors.timeout(identity, 1, "headers", limit, `no response within ${Duration.format(limit)}`)
            )
        }, () => exchanged(context, refreshToken))
      })
    )
})

const exchanged = (
  context: Pick<Context, "config" | "base" | "execute">,
  refreshToken: Redacted.Redacted<string>
): Effect.Effect<DustConfig.ExchangedTokens, RequestError> => {
  const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: Redacted.value(refreshToken) })
  const request = HttpClientRequest.post(`${context.config.baseUrl}${identity.route}`, {
    headers: { accept: "application/json" },
    body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded")
  })
  return context.execute(request).pipe(
    Effect.mapError((error) => errors.transport(identity, 1, failureOf(error.cause), context.base.origin)),
    Effect.flatMap((answer) =>
      Effect.flatMap(
        Effect.zip(textOf(answer, context.config.timeouts.headers), Clock.currentTimeMillis),
        ([text, now]) => tokensOf(answer, text, refreshToken, now)
      )
    ),
    Effect.scoped
  )
}

/** A pair of tokens is far shorter than this. */
const longest = 64 * 1024

const textOf = (
  answer: HttpClientResponse.HttpClientResponse,
  idle: Duration.Duration
): Effect.Effect<string, RequestError> =>
  Stream.fromPull(pull(identity, answer, idle)).pipe(
    Stream.decodeText(),
    Stream.runFoldWhile("", (text) => text.length < longest, (text, piece) => text + piece)
  )

const stringAt = (value: unknown, key: string): string | undefined =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" && value[key] !== "" ? value[key] : undefined

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ""))
  } catch {
    return undefined
  }
}

const tokensOf = (
  { headers, status }: HttpClientResponse.HttpClientResponse,
  text: string,
  refreshToken: Redacted.Redacted<string>,
  now: number
): Effect.Effect<DustConfig.ExchangedTokens, RequestError> => {
  const json = jsonOf(text)
  const accessToken = stringAt(json, "access_token")
  if (status >= 200 && status < 300 && accessToken !== undefined) {
    const next = stringAt(json, "refresh_token")
    return Effect.succeed({
      accessToken: Redacted.make(accessToken),
      refreshToken: next === undefined ? undefined : Redacted.make(next)
    })
  }
  if (status === 429 || status >= 500) {
    return Effect.fail(
      errors.serverFailure(identity, 1, "token_endpoint", `the token endpoint responded with ${status}`, {
        status
      }, Option.getOrUndefined(retryAfter(headers, now)))
    )
  }
  const code = stringAt(json, "error")
  return Effect.fail(
    status < 400 || !Predicate.hasProperty(json, "error")
      // A login or challenge page, a proxy or another server.
      ? errors.tokenUnavailable(
        identity,
        1,
        `the token endpoint responded with ${status} and no token`,
        "; check `baseUrl` (DUST_BASE_URL) and the proxies on the way"
      )
      // The description may quote the token; the code does not.
      : errors.tokenUnavailable(
        identity,
        1,
        withoutSecrets(code ?? `status ${status}`, [refreshToken]).slice(0, 64),
        "; sign in again"
      )
  )
}
