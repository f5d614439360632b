/** The client for endpoints that the SDK does not cover: adds the credential, and nothing else. */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { DustUnauthorizedError } from "../../DustAPIError.ts"
import type * as Checks from "../input/validate.ts"
import { Recent } from "../util/recentSet.ts"
import type { Context } from "./context.ts"
import { type Caller, CurrentCredential, type Tokens } from "./credential.ts"
import * as errors from "./errors.ts"
import { CurrentOptions, type Settings, settingsOf } from "./settings.ts"

type Request = HttpClientRequest.HttpClientRequest

export type RawClient = HttpClient.HttpClient.With<HttpClientError.HttpClientError | DustUnauthorizedError>

const rememberedTokens = 16
const identity = { module: "DustClient", method: "http" }

export const makeRawClient = (context: Context): RawClient => {
  const issued = new Issued()
  const guarded = HttpClient.makeWith(
    (request: Effect.Effect<Request, HttpClientError.HttpClientError>) =>
      Effect.flatMap(
        Effect.flatMap(request, (request) => leaving(context, issued, request)),
        (request) =>
          Effect.tapBoth(context.transport.execute(request), {
            onSuccess: (response) => issued.answered(request, response.status),
            onFailure: (error) =>
              error._tag === "ResponseError" ? issued.answered(request, error.response.status) : Effect.void
          })
      ),
    Effect.succeed
  )
  return HttpClient.mapRequestEffect(guarded, (request) => authorized(context, issued, request))
}

/** The credential as sent: the token may have been renewed before a redirect. */
class Issued {
  readonly #headers = new Recent(rememberedTokens)
  readonly #sources = new Map<string, WeakRef<Tokens>>()

  add(header: string, tokens: Tokens): void {
    this.#headers.add(header)
    this.#sources.set(header, new WeakRef(tokens))
    for (const old of this.#sources.keys()) {
      if (!this.#headers.has(old)) this.#sources.delete(old)
    }
  }

  has(header: string): boolean {
    return this.#headers.has(header)
  }

  /**
   * Only the body shows the kind of 401, and it belongs to the caller: after any 401, the next request obtains a new
   * token.
   */
  answered(request: Request, status: number): Effect.Effect<void> {
    return Effect.sync(() => {
      const header = request.headers["authorization"]
      if (status === 401 && header !== undefined) {
        this.#sources.get(header)?.deref()?.forget(header.slice("Bearer ".length))
      }
    })
  }
}

/** Removes the headers added for Dust from a request that `HttpClient.followRedirects` sends to another origin. */
const leaving = (context: Context, issued: Issued, request: Request): Effect.Effect<Request> => {
  const given = request.headers["authorization"]
  if (
    given === undefined || !issued.has(given) || !URL.canParse(request.url) ||
    new URL(request.url).origin === context.base.origin
  ) {
    return Effect.succeed(request)
  }
  return Effect.map(CurrentOptions, (options) => {
    const { headers } = Either.getOrElse(settingsOf(context.config, options), () => context.config)
    return HttpClientRequest.make(request.method)(request.url, {
      urlParams: request.urlParams,
      hash: Option.getOrUndefined(request.hash),
      body: request.body,
      headers: Headers.remove(request.headers, ["authorization", ...Object.keys(headers)])
    })
  })
}

/**
 * Adds the credential and the headers of the call to a request to Dust; a request to another origin stays unchanged.
 */
const authorized = (
  context: Context,
  issued: Issued,
  request: Request
): Effect.Effect<Request, HttpClientError.HttpClientError | DustUnauthorizedError> =>
  Effect.gen(function*() {
    const { settings, workspaceId, tokens } = yield* surroundings(context, request)
    const filled = request.url.replaceAll("{workspaceId}", workspaceId)
    const { base, config: { baseUrl } } = context
    const url = URL.canParse(filled) ? filled : `${baseUrl}${filled.startsWith("/") ? "" : "/"}${filled}`
    if (URL.canParse(url) && new URL(url).origin !== base.origin) return request
    const token = yield* Effect.mapError(tokens.current, (cause) =>
      errors.tokenUnavailable(
        identity,
        0,
        typeof cause === "object" && cause !== null && "_tag" in cause ? String(cause._tag) : typeof cause
      ))
    const authorization = `Bearer ${Redacted.value(token)}`
    issued.add(authorization, tokens)
    return HttpClientRequest.setHeaders(HttpClientRequest.setUrl(request, url), {
      ...Object.fromEntries(Object.entries(settings.headers).map(([name, value]) => [name, Redacted.value(value)])),
      ...request.headers,
      authorization
    })
  })

const surroundings = (
  context: Context,
  request: Request
): Effect.Effect<
  { readonly settings: Settings; readonly workspaceId: string; readonly tokens: Caller["tokens"] },
  HttpClientError.RequestError
> =>
  Effect.gen(function*() {
    const unusable = ({ expected, field }: Checks.Unusable) =>
      new HttpClientError.RequestError({ request, reason: "Encode", description: `${field} must be ${expected}` })
    const settings = yield* Either.mapLeft(settingsOf(context.config, yield* CurrentOptions), unusable)
    const { tokens, workspaceId } = yield* Either.mapLeft(context.callers.of(yield* CurrentCredential), unusable)
    return { settings, workspaceId, tokens }
  })
