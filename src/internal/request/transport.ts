/** Configures the application's HttpClient: no spans of its own, and no redirects. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"

// Some platforms reject the option instead of ignoring it.
const acceptsCache = (): boolean => {
  try {
    return typeof Request === "function" && new Request("https://dust.tt", { cache: "no-store" }).cache === "no-store"
  } catch {
    return false
  }
}

/** Redirects are followed by the SDK, with or without the credential, and cached responses are of no use. */
const requestInit: RequestInit = acceptsCache() ? { redirect: "manual", cache: "no-store" } : { redirect: "manual" }

const plain = Context.make(FetchHttpClient.RequestInit, requestInit)

/** Combines the application's `fetch` options with those that the SDK needs. */
export const requestInitOf = (context: Context.Context<never>): Context.Context<FetchHttpClient.RequestInit> => {
  const given = Context.getOption(context, FetchHttpClient.RequestInit)
  return Option.isNone(given)
    ? plain
    : Context.make(FetchHttpClient.RequestInit, { ...given.value, ...requestInit })
}

const always = () => true

/**
 * For fibers that send requests: the platform's span would include the full URL with its query, and every header.
 * Without a span no tracing headers are sent, either.
 */
export const untracedRefs: NonNullable<Runtime.RunForkOptions["updateRefs"]> = (refs, id) =>
  FiberRefs.updateAs(refs, { fiberId: id, fiberRef: HttpClient.currentTracerDisabledWhen, value: always })

/** The same for a client used in other fibers. */
export const untraced = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  client.pipe(
    HttpClient.withTracerDisabledWhen(always),
    HttpClient.transformResponse((effect) =>
      Effect.mapInputContext(
        effect,
        (context: Context.Context<never>) => Context.merge(context, requestInitOf(context))
      )
    )
  )
