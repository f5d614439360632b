/**
 * The routes of `ChatRoutes` as a group of an `HttpApi`, to combine with your own groups, with an OpenAPI description
 * and `HttpApiClient`.
 *
 * @example
 * ```ts
 * import * as HttpApi from "@effect/platform/HttpApi"
 * import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
 * import * as ChatApi from "effect-dust/ChatApi"
 * import { Effect, Layer, Redacted } from "effect"
 *
 * class Api extends HttpApi.make("app").add(ChatApi.group.prefix("/chat")) {}
 *
 * const chat = HttpApiBuilder.group(
 *   Api,
 *   "chat",
 *   ChatApi.handlers({
 *     agents: ["dust"],
 *     // However your application knows its user.
 *     credential: ({ cookies }) => Effect.succeed({ accessToken: Redacted.make(cookies["token"] ?? "") })
 *   })
 * )
 * // Serve it with HttpApiBuilder.serve(), over Dust.layerEnv.
 * const api = HttpApiBuilder.api(Api).pipe(Layer.provide(chat))
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { RelayedError } from "./ChatRelay.ts"
import type { Options, Services } from "./ChatRoutes.ts"
import { Answer, Ask, Asked, Attached, Decide, makeHandlers, Stop } from "./internal/relay/chatHandlers.ts"

const events = HttpApiSchema.withEncoding(Schema.String, { kind: "Text", contentType: "text/event-stream" })

const ask = HttpApiEndpoint.post("ask", "/ask").setPayload(Ask).addSuccess(Asked)

const follow = HttpApiEndpoint.get("events", "/events/:id")
  .setPath(Schema.Struct({ id: Schema.String }))
  .addSuccess(events)

const stop = HttpApiEndpoint.post("stop", "/stop").setPayload(Stop).addSuccess(HttpApiSchema.NoContent)

const decide = HttpApiEndpoint.post("decide", "/decide").setPayload(Decide).addSuccess(HttpApiSchema.NoContent)

const answer = HttpApiEndpoint.post("answer", "/answer").setPayload(Answer).addSuccess(HttpApiSchema.NoContent)

const attach = HttpApiEndpoint.post("attach", "/files")
  .setHeaders(Schema.Struct({ "x-file-name": Schema.String }))
  .setPayload(HttpApiSchema.Uint8Array())
  .addSuccess(Attached)

/**
 * The group, named `chat`. Use `prefix` to mount it. Errors are `ChatRelay.RelayedError` with their status;
 * `Unauthorized` is for a `credential` that finds no user.
 *
 * @category api
 * @since 0.2.0
 */
export const group = HttpApiGroup.make("chat")
  .add(ask)
  .add(follow)
  .add(stop)
  .add(decide)
  .add(answer)
  .add(attach)
  .addError(HttpApiError.Unauthorized)
  .addError(RelayedError, { status: 400 })
  .addError(RelayedError, { status: 401 })
  .addError(RelayedError, { status: 403 })
  .addError(RelayedError, { status: 404 })
  .addError(RelayedError, { status: 409 })
  .addError(RelayedError, { status: 413 })
  .addError(RelayedError, { status: 415 })
  .addError(RelayedError, { status: 429 })
  .addError(RelayedError, { status: 500 })
  .addError(RelayedError, { status: 502 })
  .addError(RelayedError, { status: 503 })
  .addError(RelayedError, { status: 504 })

type Endpoints = HttpApiGroup.HttpApiGroup.Endpoints<typeof group>

/**
 * The handlers of the group, for `HttpApiBuilder.group`.
 *
 * @category handlers
 * @since 0.2.0
 */
export const handlers = <R = never>(options: Options<HttpApiError.Unauthorized, R>) => {
  const all = makeHandlers(options)
  return <E, Provides, R0>(
    build: HttpApiBuilder.Handlers<E | HttpApiError.Unauthorized | RelayedError, Provides, R0, Endpoints>
  ) =>
    build
      .handleRaw("ask", ({ request }) => all.ask(request))
      .handleRaw("events", ({ path, request }) => all.events(request, path.id))
      .handleRaw("stop", ({ request }) => all.stop(request))
      .handleRaw("decide", ({ request }) => all.decide(request))
      .handleRaw("answer", ({ request }) => all.answer(request))
      .handleRaw("attach", ({ request }) => all.attach(request))
}

export type { Services }
