/**
 * Routes for a chat in a web application: ask, follow, resume, stop, decide, answer and attach, each with the
 * credential of its user.
 *
 * | route | body | answer |
 * |---|---|---|
 * | `POST /ask` | `{ message, agent?, conversationId?, attachments?, key? }` | `{ id, conversationId, messageId, userMessageId }`, before the agent answers |
 * | `GET /events/:id` | | the events after `id` as Server-Sent Events (`ChatRelay`) |
 * | `POST /stop` | `{ conversationId, messageId }` | 204; the end arrives as an event |
 * | `POST /decide` | `{ conversationId, messageId, actionId, decision }` | 204; also hours later or from another device |
 * | `POST /answer` | `{ conversationId, messageId, actionId, selectedOptions, customResponse? }` | 204 |
 * | `POST /files` | the bytes; headers `content-type`, `x-file-name` (encoded as in a URL) | `{ fileId, title }`, for `attachments` |
 *
 * `ChatRelayClient.make` calls these routes. The body of an error is a `ChatRelay.RelayedError`. 401 means that the
 * user must sign in; 400, 403, 404, 409, 413, 415 and 429 are errors of the request; 502 and 504 failures of Dust.
 * Asking and following are separate requests, so that a lost connection never leaves a page without the id of its
 * answer.
 *
 * Use {@link router} for servers of `@effect/platform`, {@link toWebHandler} for functions from `Request` to
 * `Response`, and `ChatApi` for an `HttpApi`.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { Chat } from "./Chat.ts"
import type { Conversations } from "./Conversations.ts"
import type { Files } from "./Files.ts"
import type { ConversationId, MessageId } from "./Ids.ts"
import { makeHandlers, type Options } from "./internal/relay/chatHandlers.ts"
import { report } from "./internal/relay/sentences.ts"

export type { Options } from "./internal/relay/chatHandlers.ts"

/**
 * The services that the routes call.
 *
 * @category models
 * @since 0.2.0
 */
export type Services = Chat | Conversations | Files

/**
 * A question that was sent to `POST /ask`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Asked {
  /** The id for `GET /events/:id`. */
  readonly id: string
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly userMessageId: MessageId
}

/**
 * The routes as a router to mount in your application.
 *
 * @example
 * ```ts
 * import * as HttpRouter from "@effect/platform/HttpRouter"
 * import * as ChatRoutes from "effect-dust/ChatRoutes"
 * import { Effect, Redacted } from "effect"
 *
 * const app = HttpRouter.empty.pipe(
 *   HttpRouter.mount(
 *     "/chat",
 *     ChatRoutes.router({
 *       agents: ["dust"],
 *       // However your application knows its user.
 *       credential: ({ cookies }) => Effect.succeed({ accessToken: Redacted.make(cookies["token"] ?? "") })
 *     })
 *   )
 * )
 * ```
 *
 * @category routes
 * @since 0.2.0
 */
export const router = <E = never, R = never>(
  options: Options<E, R>
): HttpRouter.HttpRouter<E, Services | R> => {
  const handlers = makeHandlers(options)
  const withRequest = <A, E2, R2>(
    handler: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<A, E2, R2>
  ) => Effect.flatMap(HttpServerRequest.HttpServerRequest, handler)
  return HttpRouter.empty.pipe(
    HttpRouter.post("/ask", withRequest(handlers.ask)),
    HttpRouter.get(
      "/events/:id",
      Effect.flatMap(HttpRouter.params, ({ id }) => withRequest((request) => handlers.events(request, id ?? "")))
    ),
    HttpRouter.post("/stop", withRequest(handlers.stop)),
    HttpRouter.post("/decide", withRequest(handlers.decide)),
    HttpRouter.post("/answer", withRequest(handlers.answer)),
    HttpRouter.post("/files", withRequest(handlers.attach))
  )
}

/**
 * The routes as a function from `Request` to `Response`, for Next, Hono, Bun, Deno and workers. Returns 404 for other
 * paths.
 *
 * Add `ChatRelay.layerShutdown()` to the runtime to end open answers when the runtime is disposed.
 *
 * @example
 * ```ts
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import * as ChatRelay from "effect-dust/ChatRelay"
 * import * as ChatRoutes from "effect-dust/ChatRoutes"
 * import * as Dust from "effect-dust/Dust"
 * import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
 *
 * const runtime = ManagedRuntime.make(
 *   ChatRelay.layerShutdown().pipe(Layer.provideMerge(Dust.layerEnv), Layer.provide(FetchHttpClient.layer))
 * )
 *
 * export const handler = ChatRoutes.toWebHandler(runtime, {
 *   path: "/chat",
 *   agents: ["dust"],
 *   credential: ({ cookies }) => Effect.succeed({ accessToken: Redacted.make(cookies["token"] ?? "") })
 * })
 * ```
 *
 * @category routes
 * @since 0.2.0
 */
export const toWebHandler = <RO, ER, E = never, R extends RO = never>(
  runtime: ManagedRuntime.ManagedRuntime<RO | Services, ER>,
  options: Options<E, R> & {
    /** The path of the routes, such as `/chat`. Defaults to the root. */
    readonly path?: `/${string}` | undefined
  }
): (request: Request) => Promise<Response> => {
  const routes = router(options)
  const mounted = options.path === undefined ? routes : HttpRouter.mount(HttpRouter.empty, options.path, routes)
  // Nothing else would see it: the response is an empty 500.
  const app = Effect.tapError(
    mounted,
    (error) => HttpServerRespondable.isRespondable(error) ? Effect.void : report(error)
  )
  let handler: Promise<(request: Request) => Promise<Response>> | undefined
  return async (request) => {
    handler ??= runtime.runtime().then((it) => HttpApp.toWebHandlerRuntime(it)(app))
    // A runtime that failed to start is started again by the next request.
    handler.catch(() => {
      handler = undefined
    })
    return (await handler)(request)
  }
}
