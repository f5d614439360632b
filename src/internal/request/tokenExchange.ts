/** The public token endpoint of Dust: it takes no client id, and responds like WorkOS. */
import type * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as EffectContext from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { RequestError } from "../../DustAPIError.ts"
import type * as DustConfig from "../../DustConfig.ts"
import type { Identity } from "../api/operation.ts"
import type { Context } from "./context.ts"
import { deadlinesOf, watching } from "./deadlines.ts"
import * as errors from "./errors.ts"
import { failureOf } from "./network.ts"
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
    Effect.flatMap((answer) => Effect.map(answer.text, (text) => ({ answer, text }))),
    Effect.scoped,
    Effect.mapError((error) => errors.transport(identity, 1, failureOf(error.cause), context.base.origin)),
    Effect.flatMap(({ answer, text }) => tokensOf(answer, text))
  )
}

const stringAt = (value: unknown, key: string): string | undefined =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" && value[key] !== "" ? value[key] : undefined

const tokensOf = (
  answer: HttpClientResponse.HttpClientResponse,
  text: string
): Effect.Effect<DustConfig.ExchangedTokens, RequestError> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  const accessToken = stringAt(json, "access_token")
  if (answer.status >= 200 && answer.status < 300 && accessToken !== undefined) {
    const next = stringAt(json, "refresh_token")
    return Effect.succeed({
      accessToken: Redacted.make(accessToken),
      refreshToken: next === undefined ? undefined : Redacted.make(next)
    })
  }
  return Effect.fail(
    answer.status === 429 || answer.status >= 500
      ? errors.serverFailure(identity, 1, "token_endpoint", `the token endpoint responded with ${answer.status}`, {
        status: answer.status
      })
      // The description may quote the token; the code does not.
      : errors.tokenUnavailable(identity, 1, stringAt(json, "error") ?? `status ${answer.status}`, "; sign in again")
  )
}
