/**
 * The routes of a chat in a web application: ask, follow, resume, stop, decide, answer, attach, each with the credential of
 * its user.
 *
 * | route | body | answer |
 * |---|---|---|
 * | `POST /ask` | `{ message, agent?, conversationId?, attachments?, key? }` | `{ id, conversationId, messageId, userMessageId }`, before the agent has answered |
 * | `GET /events/:id` | | the events behind `id` as Server-Sent Events (`ChatRelay`) |
 * | `POST /stop` | `{ conversationId, messageId }` | 204; the end arrives as an event |
 * | `POST /decide` | `{ conversationId, messageId, actionId, decision }` | 204; also hours later, from another device |
 * | `POST /answer` | `{ conversationId, messageId, actionId, selectedOptions, customResponse? }` | 204 |
 * | `POST /files` | the bytes; headers `content-type`, `x-file-name` (encoded as in a URL) | `{ fileId, title }`, for `attachments` |
 *
 * `ChatRelayClient.make` calls them. What is refused has the JSON of a `ChatRelay.RelayedError`: the status of Dust for what is
 * wrong with the request (400, 401, 403, 404, 409, 413, 429), 502 and 504 for Dust itself. A question is one short request and
 * its answer another one, so that no lost connection leaves a page without the id of its answer.
 *
 * {@link router} is for servers of `@effect/platform`, {@link toWebHandler} for everything that answers a `Request` with a
 * `Response`, and `ChatApi` for an `HttpApi`.
 *
 * @since 0.2.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { AgentRef, Chat } from "./Chat.ts"
import type { Conversations, MessageContext } from "./Conversations.ts"
import type { CallCredential } from "./DustClient.ts"
import type { Files } from "./Files.ts"
import type { ConversationId, MessageId } from "./Ids.ts"
import { makeHandlers } from "./internal/relay/chatHandlers.ts"

/**
 * The services that the routes call.
 *
 * @category models
 * @since 0.2.0
 */
export type Services = Chat | Conversations | Files

/**
 * A question that was asked over `POST /ask`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Asked {
  /** For `GET /events/:id`. */
  readonly id: string
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly userMessageId: MessageId
}

/**
 * How the routes serve.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<E = never, R = never> {
  /**
   * The credential of the user who makes a request: an access token from your session, usually. Dust then decides what the
   * user may see. An effect that fails refuses the request with its own error.
   */
  readonly credential: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<CallCredential, E, R>
  /** The agents that a page may ask. The first one is asked when it names none. */
  readonly agents: readonly [AgentRef, ...ReadonlyArray<AgentRef>]
  /**
   * Whether the user of a request may use a conversation. **Needed where several users share one credential**, such as an API
   * key: the ids come from the page. A refusal is a 404. Default: Dust decides by the credential.
   */
  readonly mayUse?:
    | ((conversationId: ConversationId, request: HttpServerRequest.HttpServerRequest) => Effect.Effect<boolean, E, R>)
    | undefined
  /** Runs after a question was asked, before the page receives its id: the place to store the owner of the conversation. */
  readonly onAsked?:
    | ((asked: Asked, request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void, E, R>)
    | undefined
  /** Author and origin of a question, where the credential identifies no user. */
  readonly context?:
    | ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<MessageContext, E, R>)
    | undefined
  /**
   * What to do with the agent when the page that follows it goes away: `leave` it running, so that a reload or another tab
   * finds the answer, or `cancel` it. With `cancel` a reload stops the agent, too. Defaults to `leave`.
   */
  readonly onLeave?: "cancel" | "leave" | undefined
  /** Where `chat.start` keeps the keys of questions. Without it a question with a `key` is refused. */
  readonly store?: KeyValueStore | undefined
  /** As in `ChatRelay.RelayOptions`. Defaults to 15 seconds. */
  readonly keepAlive?: Duration.DurationInput | undefined
  /** As in `ChatRelay.RelayOptions`: for proxies that hold responses back. */
  readonly maxDuration?: Duration.DurationInput | undefined
  /** The size of the largest file, which is held in memory. Defaults to 10 MiB. */
  readonly maxFileBytes?: number | undefined
}

/**
 * The routes as a router, to be mounted where you like.
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
 * The routes as a function from `Request` to `Response`, for Next, Hono, Bun, Deno and workers. Other paths are a 404.
 *
 * `ChatRelay.layerShutdown()` in the runtime ends open answers when the runtime is disposed.
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
    /** Where the routes are, such as `/chat`. Default: at the root. */
    readonly path?: `/${string}` | undefined
  }
): (request: Request) => Promise<Response> => {
  const routes = router(options)
  const app = options.path === undefined ? routes : HttpRouter.mount(HttpRouter.empty, options.path, routes)
  let handler: Promise<(request: Request) => Promise<Response>> | undefined
  return async (request) => {
    handler ??= runtime.runtime().then((it) => HttpApp.toWebHandlerRuntime(it)(app))
    // What has failed to start may start the next time.
    handler.catch(() => {
      handler = undefined
    })
    return (await handler)(request)
  }
}
