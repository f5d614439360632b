/** The handlers of the chat routes, independent of the router. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type AgentRef, Chat } from "../../Chat.ts"
import * as ChatRelay from "../../ChatRelay.ts"
import { UserAnswer } from "../../Conversation.ts"
import { Conversations, type MessageContext } from "../../Conversations.ts"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"
import * as DustClient from "../../DustClient.ts"
import * as File from "../../File.ts"
import { Files } from "../../Files.ts"
import { ActionId, ConversationId, FileId, MessageId } from "../../Ids.ts"
import * as Checks from "../input/validate.ts"
import { bytesOf, jsonOf, Refused, refused } from "./requestBody.ts"
import { report } from "./sentences.ts"

const bounded = (longest: number) => Schema.String.pipe(Schema.minLength(1), Schema.maxLength(longest))

export const Ask = Schema.Struct({
  message: Schema.String,
  agent: Schema.optional(bounded(200)),
  conversationId: Schema.optional(ConversationId),
  attachments: Schema.optional(Schema.Array(Schema.Struct({ fileId: FileId, title: bounded(512) }))),
  key: Schema.optional(bounded(200))
})

export const Asked = Schema.Struct({
  id: Schema.String,
  conversationId: ConversationId,
  messageId: MessageId,
  userMessageId: MessageId
})

const answer = { conversationId: ConversationId, messageId: MessageId }

export const Stop = Schema.Struct(answer)

export const Decide = Schema.Struct({
  ...answer,
  actionId: ActionId,
  decision: Schema.Literal("approved", "rejected", "always_approved")
})

export const Answer = Schema.Struct({ ...answer, actionId: ActionId, ...UserAnswer.fields })

export const Attached = Schema.Struct({ fileId: FileId, title: Schema.String })

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/**
 * Options of the routes.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<E = never, R = never> {
  /**
   * The credential for a request, usually an access token from the user's session. Dust then decides what the user may
   * see. If it is `undefined` or blank, no user is signed in, and the route responds with 401. If the effect fails, the
   * route fails with the same error.
   */
  readonly credential: (request: Request) => Effect.Effect<DustClient.CallCredential | undefined, E, R>
  /** The agents that a page may ask. Defaults to the first one if the page names none. */
  readonly agents: readonly [AgentRef, ...ReadonlyArray<AgentRef>]
  /**
   * Whether the user of a request may use a conversation. **Needed where several users share one credential**, such as an API
   * key: the ids come from the page. A refusal is a 404. Default: Dust decides by the credential.
   */
  readonly mayUse?:
    | ((conversationId: ConversationId, request: Request) => Effect.Effect<boolean, E, R>)
    | undefined
  /** Runs after a question was asked, before the page receives its id: the place to store the owner of the conversation. */
  readonly onAsked?:
    | ((asked: typeof Asked.Type, request: Request) => Effect.Effect<void, E, R>)
    | undefined
  /** Author and origin of a question, where the credential identifies no user. */
  readonly context?:
    | ((request: Request) => Effect.Effect<MessageContext, E, R>)
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
  /** The size of the largest body of the other routes, such as a question. Defaults to 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * What a page may read about a failure of Dust, such as a text in the language of your users. Defaults to one sentence in
   * English, without anything internal.
   */
  readonly describe?: Describe | undefined
}

type Describe = (error: DustAPIError) => string

const defaultBodyBytes = 1024 * 1024

const encodeError = Schema.encodeSync(ChatRelay.RelayedError)

const respondWith = (status: number, error: ChatRelay.RelayedError, headers: Record<string, string> = {}): Response =>
  HttpServerResponse.unsafeJson(encodeError(error), { status, headers: { "cache-control": "no-store", ...headers } })

/** By tag: Dust sends some of them with more than one status, and some have none. */
const statuses: { readonly [Tag in DustAPIError["_tag"]]: number } = {
  DustBadRequestError: 400,
  DustUnauthorizedError: 401,
  DustUserRequiredError: 403,
  DustForbiddenError: 403,
  DustNotFoundError: 404,
  DustConflictError: 409,
  DustContentTooLargeError: 413,
  DustRateLimitError: 429,
  DustQuotaExceededError: 403,
  DustServerError: 502,
  DustTimeoutError: 504,
  DustNetworkError: 502,
  DustDecodeError: 502,
  DustStreamError: 502,
  DustAgentError: 502,
  DustUnconfirmedError: 502
}

const statusOf = (error: DustAPIError): number =>
  error.type === "action_not_blocked" ? 409 : error.type === "response_too_large" ? 502 : statuses[error._tag]

const failed = (error: DustAPIError, describe: Describe | undefined): Response =>
  respondWith(
    statusOf(error),
    ChatRelay.toRelayedError(error, describe),
    error.retryAfter === undefined ? {} : { "retry-after": `${Math.ceil(Duration.toSeconds(error.retryAfter))}` }
  )

/** Rejects cross-site requests: another site cannot make a browser send JSON or a custom header. */
const bodyOf = <A, I>(
  schema: Schema.Schema<A, I>,
  request: Request,
  limit = defaultBodyBytes
): Effect.Effect<A, Refused> =>
  (request.headers["content-type"] ?? "").toLowerCase().startsWith("application/json")
    ? Effect.flatMap(jsonOf(request, limit), (json) =>
      Effect.mapError(
        Schema.decodeUnknown(schema)(json),
        ({ message }) => new Refused(400, "BadRequest", `the body must be what the route expects: ${message}`)
      ))
    : refused(415, "UnsupportedMediaType", "content-type must be application/json")

const decoded = (name: string): string | undefined => {
  try {
    return decodeURIComponent(name)
  } catch {
    return undefined
  }
}

const nameOf = (agent: AgentRef): string => typeof agent === "string" ? agent : agent.name

const json = (body: unknown): Response =>
  HttpServerResponse.unsafeJson(body, { headers: { "cache-control": "no-store" } })

const noStore = () => refused(503, "Unavailable", "the store of keys is not available")

/** A session without a token identifies no user. */
const signedIn = (credential: DustClient.CallCredential | undefined): DustClient.CallCredential | undefined => {
  const secret = credential?.accessToken ?? credential?.apiKey
  const text = secret === undefined ? "" : Option.getOrUndefined(Checks.revealed(secret))
  return typeof text === "string" && text.trim() === "" ? undefined : credential
}

/** The part of every route that depends on the user and the options. */
const accessOf = <E, R>(options: Options<E, R>) => ({
  /** Runs with the credential of the request, and converts errors of Dust into responses. */
  asCaller: <E2, R2>(
    request: Request,
    work: Effect.Effect<Response, E2 | DustAPIError | Refused, R2>
  ): Effect.Effect<Response, E | Exclude<E2, DustAPIError | Refused>, R | R2> =>
    Effect.flatMap(options.credential(request), (given) => {
      const credential = signedIn(given)
      return credential === undefined
        ? refused(401, "Unauthorized", "Please sign in.")
        : DustClient.withCredential(work, credential)
    }).pipe(
      Effect.catchAll((error) =>
        error instanceof Refused
          ? Effect.succeed(respondWith(
            error.status,
            new ChatRelay.RelayedError({ error: error.error, message: error.message })
          ))
          : isDustAPIError(error)
          ? Effect.as(report(error), failed(error, options.describe))
          : Effect.fail(error as E | Exclude<E2, DustAPIError | Refused>)
      )
    ),
  /** Fails if the user may not use the conversation. */
  allowed: (request: Request, conversationId: ConversationId): Effect.Effect<void, E | Refused, R> =>
    options.mayUse === undefined
      ? Effect.void
      : Effect.flatMap(
        options.mayUse(conversationId, request),
        (yes) => yes ? Effect.void : refused(404, "NotFound", "there is no such conversation")
      ),
  agentOf: (name: string | undefined): Effect.Effect<AgentRef, Refused> => {
    const agent = name === undefined ? options.agents[0] : options.agents.find((one) => nameOf(one) === name)
    return agent === undefined
      ? refused(400, "BadRequest", "agent: must be one of those that the server offers")
      : Effect.succeed(agent)
  }
})

type Access<E, R> = ReturnType<typeof accessOf<E, R>>

const ask = <E, R>(options: Options<E, R>, { agentOf, allowed }: Access<E, R>, request: Request) =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const { store } = options
    const { attachments, conversationId, key, message, ...body } = yield* bodyOf(Ask, request, options.maxBodyBytes)
    if (conversationId !== undefined) yield* allowed(request, conversationId)
    const question = {
      agent: yield* agentOf(body.agent),
      message,
      conversationId,
      attachments,
      context: options.context === undefined ? undefined : yield* options.context(request)
    }
    if (key !== undefined && store === undefined) {
      return yield* refused(400, "BadRequest", "key: the server has no store for keys")
    }
    const ids = yield* key === undefined || store === undefined
      ? chat.start(question)
      : Effect.catchTags(chat.start({ ...question, key, store }), { BadArgument: noStore, SystemError: noStore })
    const asked = { id: ChatRelay.idOf(ids), ...ids }
    if (options.onAsked !== undefined) yield* options.onAsked(asked, request)
    return json(asked)
  })

const attach = (request: Request, largest: number) =>
  Effect.gen(function*() {
    const files = yield* Files
    const fileName = decoded(request.headers["x-file-name"] ?? "")
    if (fileName === undefined || fileName === "") {
      return yield* refused(400, "BadRequest", "x-file-name: must be the encoded name of the file")
    }
    const content = yield* bytesOf(request, largest)
    const file = yield* files.upload({
      fileName,
      content,
      contentType: request.headers["content-type"]
    })
    return json(File.contentFragment(file))
  })

/** An `EventSource` keeps its URL when it reconnects, and sends the id of its last event beside it. */
const continued = (place: ChatRelay.Place, lastEventId: string | undefined): ChatRelay.Place =>
  Option.getOrElse(
    Option.filter(
      ChatRelay.placeOf(lastEventId ?? ""),
      ({ conversationId, messageId }) => conversationId === place.conversationId && messageId === place.messageId
    ),
    () => place
  )

/** Dust has no status of its own for a decision that is not the caller's to make. */
const mayNotDecide = ({ _tag, status }: DustAPIError): boolean => _tag === "DustServerError" && status === 500

export const makeHandlers = <E, R>(options: Options<E, R>) => {
  const access = accessOf(options)
  const { allowed, asCaller } = access
  const onInterrupt = options.onLeave ?? "leave"
  const relay: ChatRelay.RelayOptions<DustAPIError> = {
    keepAlive: options.keepAlive,
    maxDuration: options.maxDuration,
    describe: options.describe
  }
  const done = (work: Effect.Effect<unknown, DustAPIError | Refused | E, Conversations | R>) =>
    Effect.as(work, HttpServerResponse.empty({ status: 204 }))

  return {
    ask: (request: Request) => asCaller(request, ask(options, access, request)),
    events: (request: Request, id: string) =>
      asCaller(
        request,
        Effect.gen(function*() {
          const chat = yield* Chat
          const place = ChatRelay.placeOf(id)
          if (Option.isNone(place)) return yield* refused(400, "BadRequest", "id: must be the id of an event")
          yield* allowed(request, place.value.conversationId)
          const from = continued(place.value, request.headers["last-event-id"])
          return yield* ChatRelay.toHttpServerResponse(chat.resume({ ...from, onInterrupt }), relay)
        })
      ),
    stop: (request: Request) =>
      asCaller(
        request,
        done(Effect.gen(function*() {
          const { conversationId, messageId } = yield* bodyOf(Stop, request, options.maxBodyBytes)
          yield* allowed(request, conversationId)
          yield* (yield* Conversations).cancel({ conversationId, messageIds: [messageId] })
        }))
      ),
    decide: (request: Request) =>
      asCaller(
        request,
        done(Effect.gen(function*() {
          const { decision, ...at } = yield* bodyOf(Decide, request, options.maxBodyBytes)
          yield* allowed(request, at.conversationId)
          yield* Effect.catchIf(
            (yield* Conversations).validateAction({ ...at, approved: decision }),
            mayNotDecide,
            () => refused(403, "DustForbiddenError", "Only the person who asked can decide.")
          )
        }))
      ),
    answer: (request: Request) =>
      asCaller(
        request,
        done(Effect.gen(function*() {
          const { customResponse, selectedOptions, ...at } = yield* bodyOf(Answer, request, options.maxBodyBytes)
          yield* allowed(request, at.conversationId)
          yield* (yield* Conversations).answerQuestion({
            ...at,
            answer: customResponse === undefined ? { selectedOptions } : { selectedOptions, customResponse }
          })
        }))
      ),
    attach: (request: Request) => asCaller(request, attach(request, options.maxFileBytes ?? 10 * 1024 * 1024))
  }
}
