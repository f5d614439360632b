/** Exposes an HttpClient as a `fetch` function, for clients without Effect. */
import * as PlatformHeaders from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Stream from "effect/Stream"

const mostRedirects = 20

type Method = Parameters<typeof HttpClientRequest.make>[0]

/** The methods that HttpClient supports. `fetch` rejects the others, or they have no use here. */
const methodOf = (method: string): Method => method as Method

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

const bodiless = new Set([204, 205, 304])

const credentials = ["authorization", "cookie", "proxy-authorization"]

/** The request after a redirect. As in `fetch`, credentials are not sent to another origin. */
const redirected = (
  request: HttpClientRequest.HttpClientRequest,
  { headers, status }: HttpClientResponse.HttpClientResponse
): HttpClientRequest.HttpClientRequest => {
  const url = new URL(headers["location"] ?? "", request.url)
  const isForeign = url.origin !== new URL(request.url).origin
  const becomesGet = status === 303 || (status < 303 && request.method === "POST")
  return HttpClientRequest.make(becomesGet ? "GET" : request.method)(url, {
    headers: isForeign ? PlatformHeaders.remove(request.headers, credentials) : request.headers,
    ...(becomesGet ? {} : { body: request.body })
  })
}

const following = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  left: number
): Effect.Effect<HttpClientResponse.HttpClientResponse, unknown> =>
  Effect.flatMap(
    client.execute(request),
    (response) =>
      left < 0 || !isRedirect(response.status) || response.headers["location"] === undefined
        ? Effect.succeed(response)
        : left === 0
        // The error that fetch rejects with.
        ? Effect.fail("too many redirects")
        : following(client, redirected(request, response), left - 1)
  )

const requestOf = async (wanted: Request): Promise<HttpClientRequest.HttpClientRequest> => {
  const headers = Object.fromEntries(wanted.headers.entries())
  const request = HttpClientRequest.make(methodOf(wanted.method))(wanted.url, { headers })
  const bytes = new Uint8Array(await wanted.arrayBuffer())
  return bytes.length === 0 ? request : HttpClientRequest.bodyUint8Array(request, bytes, headers["content-type"])
}

const aborted = (signal: AbortSignal): Effect.Effect<never, unknown> =>
  Effect.async<never, unknown>((resume) => {
    const leave = () => resume(Effect.fail(signal.reason))
    if (signal.aborted) return leave()
    signal.addEventListener("abort", leave, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", leave))
  })

export const toFetch = (client: HttpClient.HttpClient): Effect.Effect<typeof globalThis.fetch> =>
  Effect.map(Effect.runtime<never>(), (surrounding) => async (input, init) => {
    // Interruptible even if called in an uninterruptible region, such as `acquireRelease`.
    const runtime = Runtime.enableRuntimeFlag(surrounding, RuntimeFlags.Interruption)
    const wanted = new Request(input, init)
    const request = await requestOf(wanted)
    const answering = Effect.mapError(
      following(client, request, wanted.redirect === "follow" ? mostRedirects : -1),
      // @effect-diagnostics-next-line globalErrorInEffectFailure:off
      (cause) => new TypeError("fetch failed", { cause })
    )
    const exit = await Runtime.runPromiseExit(runtime)(Effect.raceFirst(answering, aborted(wanted.signal)))
    if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
    const response = exit.value
    const body = bodiless.has(response.status)
      ? null
      : Stream.toReadableStreamRuntime(Stream.interruptWhen(response.stream, aborted(wanted.signal)), runtime)
    return new Response(body, { status: response.status, headers: new Headers(response.headers) })
  })
