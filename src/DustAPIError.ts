/**
 * Everything that can go wrong between a program and Dust, as tagged variants.
 *
 * Each variant is a `Schema.TaggedError`, so `Effect.catchTag`, `Effect.catchTags` and `Match` work on it directly, and it
 * can be sent through RPC, workers and logs. None of them ever carries a credential or the content of a message.
 *
 * | tag | when | status |
 * |---|---|---|
 * | `DustBadRequestError` | the input is refused, here before any request or by the server | none, 400, 405, 415, 422 and other 4xx |
 * | `DustUnauthorizedError` | the credential is missing, wrong, expired or of another workspace | 401 |
 * | `DustUserRequiredError` | the credential is of the wrong kind: a user's is needed, or an API key | none, 401, 403 |
 * | `DustForbiddenError` | the credential is fine, the right is missing | 403, 401 |
 * | `DustNotFoundError` | no such thing, or it may not be seen with this credential | 404, 400 |
 * | `DustConflictError` | the conversation is busy, or the thing exists already | 409 |
 * | `DustContentTooLargeError` | a body or a file over a limit | none, 413, 400 |
 * | `DustRateLimitError` | too many requests: waiting cures it | 429, 403 |
 * | `DustQuotaExceededError` | credits, plan and caps: waiting does not cure it | 403, 429 |
 * | `DustServerError` | the server, or something in front of it, failed | 5xx |
 * | `DustTimeoutError` | one of the limits of `DustConfig` was reached | none |
 * | `DustNetworkError` | no complete answer came back | none |
 * | `DustDecodeError` | an answer with a good status that cannot be understood | 2xx |
 * | `DustStreamError` | an event stream that could not be brought to its end | none |
 * | `DustAgentError` | the agent itself failed | none |
 * | `DustUnconfirmedError` | a message that may or may not have been stored | none, or that of the last answer |
 *
 * @example
 * ```ts
 * import { Chat } from "effect-dust/Chat"
 * import { Console, Effect } from "effect"
 *
 * const program = Effect.flatMap(Chat, (chat) => chat.send({ agent: "dust", message: "Hello" })).pipe(
 *   Effect.map((reply) => reply.text),
 *   Effect.catchTags({
 *     DustAgentError: (error) => Effect.succeed(`The agent could not answer (${error.code}).`),
 *     DustUnauthorizedError: (error) => Console.error(error.message).pipe(Effect.as("Check the credential."))
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { Blocked } from "./ChatEvent.ts"
import { AgentId, ConversationId, EventId, MessageId, WorkspaceId } from "./Ids.ts"

/**
 * Which call failed: the HTTP method and the *templated* route, never the filled-in one.
 *
 * @category models
 * @since 0.1.0
 */
export const RequestInfo = Schema.Struct({
  method: Schema.String,
  route: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export interface RequestInfo extends Schema.Schema.Type<typeof RequestInfo> {}

const common = {
  /** The SDK module the call belongs to: `Conversations`. */
  module: Schema.String,
  /** The method of that module: `createMessage`. */
  method: Schema.String,
  /** One line for a person. */
  message: Schema.String,
  /** The HTTP status, when an answer came back. */
  status: Schema.optional(Schema.Number),
  /** Dust's own error type (`conversation_not_found`), or `invalid_input` for what is refused before any request. Open. */
  type: Schema.optional(Schema.String),
  /** The parsed `error` object of the answer, its bounded text when it was not JSON, or what is known of a local failure. */
  details: Schema.Unknown,
  /** Method and templated route. */
  request: Schema.optional(RequestInfo),
  /** The id that the server, or the proxy before it, gave the request, if any. */
  requestId: Schema.optional(Schema.String),
  /** How long the server asked to wait. */
  retryAfter: Schema.optional(Schema.DurationFromMillis),
  /** How many requests were made for this call. 0: it was refused before any request. */
  attempts: Schema.Number,
  /** From `Chat`: the workspace of the conversation. */
  workspaceId: Schema.optional(WorkspaceId),
  /** From `Chat`: the conversation of the question. */
  conversationId: Schema.optional(ConversationId),
  /** From `Chat`: the question, when it is stored. It must not be sent again. */
  userMessageId: Schema.optional(MessageId),
  /** From `Chat`: the agent message, when its run had begun. `chat.resume(error)` goes on from here. */
  messageId: Schema.optional(MessageId),
  /** The last event that was handed over. */
  lastEventId: Schema.optional(EventId),
  /** From `Chat`: the approval, question or authorization that the run waits for. */
  waitingFor: Schema.optional(Blocked)
}

/** What was sent must not be sent again: an error that came after the question was stored is none to retry. */
const notSent = (error: { readonly messageId?: unknown; readonly userMessageId?: unknown }): boolean =>
  error.messageId === undefined && error.userMessageId === undefined

const prefix = "effect-dust/DustAPIError/"

/**
 * The input was refused: before any request (`attempts` is 0, `details.field` names the field and `details.expected` says
 * what was expected), or by the server with a 400.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustBadRequestError extends Schema.TaggedError<DustBadRequestError>(`${prefix}DustBadRequestError`)(
  "DustBadRequestError",
  common
) {
  /** Sending the same again cannot help. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The credential itself is the problem: missing, malformed, unknown, expired, or of another workspace.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustUnauthorizedError extends Schema.TaggedError<DustUnauthorizedError>(`${prefix}DustUnauthorizedError`)(
  "DustUnauthorizedError",
  common
) {
  /** An expired token has already been refreshed once by the time this is seen. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The operation needs another kind of credential: a user's (OAuth) token where an API key is configured, or the reverse.
 * Known cases fail before any request, with `attempts` 0.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustUserRequiredError extends Schema.TaggedError<DustUserRequiredError>(`${prefix}DustUserRequiredError`)(
  "DustUserRequiredError",
  common
) {
  /** Only another credential can help. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The credential is valid and lacks the right: a role, a membership, a space, a feature of the plan.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustForbiddenError extends Schema.TaggedError<DustForbiddenError>(`${prefix}DustForbiddenError`)(
  "DustForbiddenError",
  common
) {
  /** Only another right can help. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * There is no such thing, or this credential may not see it: Dust does not tell the two apart. A `redirect` in `details`
 * names the region that the workspace lives in.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustNotFoundError extends Schema.TaggedError<DustNotFoundError>(`${prefix}DustNotFoundError`)(
  "DustNotFoundError",
  common
) {
  /** The same request would find nothing again. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The conversation is busy (compaction, or files being copied), or the thing exists already.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustConflictError extends Schema.TaggedError<DustConflictError>(`${prefix}DustConflictError`)(
  "DustConflictError",
  common
) {
  /** A busy conversation becomes free; an existing thing stays, and so does a message that was replaced. */
  get isRetryable(): boolean {
    return notSent(this) && this.type !== "message_outdated" && this.request !== undefined &&
      this.request.route.includes("/assistant/conversations")
  }
}

/**
 * A body or a file is over a limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustContentTooLargeError extends Schema.TaggedError<DustContentTooLargeError>(
  `${prefix}DustContentTooLargeError`
)("DustContentTooLargeError", common) {
  /** The same content stays too large. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * Too many requests. `retryAfter` says how long to wait when the server said so. Dust sends it as 429 and as 403.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustRateLimitError extends Schema.TaggedError<DustRateLimitError>(`${prefix}DustRateLimitError`)(
  "DustRateLimitError",
  common
) {
  /** Waiting cures it. */
  get isRetryable(): boolean {
    return notSent(this)
  }
}

/**
 * Credits, seats, plan limits and caps. Waiting a little does not cure it: somebody has to act in Dust.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustQuotaExceededError extends Schema.TaggedError<DustQuotaExceededError>(
  `${prefix}DustQuotaExceededError`
)("DustQuotaExceededError", common) {
  /** Waiting a little does not cure it. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The server, or a proxy in front of it, answered 5xx, with an envelope or without.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustServerError extends Schema.TaggedError<DustServerError>(`${prefix}DustServerError`)(
  "DustServerError",
  common
) {
  /** Another attempt may meet a healthy server. Whether the SDK makes it itself depends on the operation. */
  get isRetryable(): boolean {
    return notSent(this)
  }
}

/**
 * Which limit was reached: waiting for response `headers`, reading the `body`, silence of a stream (`idle`), or the whole
 * call (`total`).
 *
 * @category models
 * @since 0.1.0
 */
export const TimeoutPhase = Schema.Literal("headers", "body", "idle", "total")

/**
 * @category models
 * @since 0.1.0
 */
export type TimeoutPhase = typeof TimeoutPhase.Type

/**
 * A limit of `DustConfig` (or of `DustClient.withOptions`) was reached; `phase` says which and `limit` how long it was.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustTimeoutError extends Schema.TaggedError<DustTimeoutError>(`${prefix}DustTimeoutError`)(
  "DustTimeoutError",
  { ...common, phase: TimeoutPhase, limit: Schema.DurationFromMillis }
) {
  /** A slow answer may be quicker the next time. A POST may have been carried out. */
  get isRetryable(): boolean {
    return notSent(this)
  }
}

/** An HttpClient that was closed never sends anything again. */
const closedCodes: ReadonlySet<string> = new Set(["UND_ERR_DESTROYED", "UND_ERR_CLOSED"])

/**
 * No complete answer came back. `reachedServer` is `false` when the request provably never left (connection refused, unknown
 * host, TLS) and `true` when the server may have carried it out.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustNetworkError extends Schema.TaggedError<DustNetworkError>(`${prefix}DustNetworkError`)(
  "DustNetworkError",
  { ...common, reachedServer: Schema.Boolean }
) {
  /** Another attempt may get through, unless the HttpClient itself was closed. */
  get isRetryable(): boolean {
    return notSent(this) && !closedCodes.has(this.type ?? "")
  }
}

/**
 * One place where an answer was not as expected.
 *
 * @category models
 * @since 0.1.0
 */
export const DecodeIssue = Schema.Struct({
  path: Schema.String,
  message: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export interface DecodeIssue extends Schema.Schema.Type<typeof DecodeIssue> {}

/**
 * The status was good and the body could not be understood. `issues` names the paths and what was expected there; the
 * payload itself is never included. Unknown fields, enum values and message types do not lead here.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustDecodeError extends Schema.TaggedError<DustDecodeError>(`${prefix}DustDecodeError`)(
  "DustDecodeError",
  { ...common, issues: Schema.Array(DecodeIssue) }
) {
  /** The same answer would come again. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * Why a stream could not be brought to its end.
 *
 * - `ended`: it closed without a terminal event, again and again, and the conversation does not tell the outcome either
 * - `event_too_large`: one event is over the limit of characters
 * - `truncated`: the connection ended before the end marker of a stream that cannot be resumed
 * - `remote`: the server reported a failure inside the stream
 * - `waiting_for_human`: the run waits for a person, and the caller chose not to wait
 *
 * @category models
 * @since 0.1.0
 */
export const StreamReason = Schema.Literal("ended", "event_too_large", "truncated", "remote", "waiting_for_human")

/**
 * @category models
 * @since 0.1.0
 */
export type StreamReason = typeof StreamReason.Type

/**
 * An event stream could not be brought to its end. `lastEventId` is the cursor from which another one can continue.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustStreamError extends Schema.TaggedError<DustStreamError>(`${prefix}DustStreamError`)(
  "DustStreamError",
  { ...common, reason: StreamReason }
) {
  /** Continuing from `lastEventId` may succeed; a question of `Chat` must not be sent again, use `chat.resume(error)`. */
  get isRetryable(): boolean {
    return notSent(this) && (this.reason === "ended" || this.reason === "truncated")
  }
}

/**
 * The agent itself failed: its run ended in an error, or the run was cancelled or is gone. `code` and `category` are
 * Dust's own (`category`: `retryable_model_error`, `context_window_exceeded`, `credits_exhausted`, … open).
 *
 * @category errors
 * @since 0.1.0
 */
export class DustAgentError extends Schema.TaggedError<DustAgentError>(`${prefix}DustAgentError`)(
  "DustAgentError",
  {
    ...common,
    /** Dust's code of the failure, open; `cancelled` when the run was cancelled. */
    code: Schema.String,
    /** Dust's classification of the failure, open. */
    category: Schema.NullOr(Schema.String),
    agentId: Schema.NullOr(Schema.String)
  }
) {
  /** Sent again, the question would be there twice: see {@link isTransient}. */
  get isRetryable(): boolean {
    return false
  }

  /** The model failed in a way that passes: `Conversations.retryMessage` may get an answer to the same question. */
  get isTransient(): boolean {
    return this.category === "retryable_model_error" || this.category === "provider_internal_error" ||
      this.category === "stream_error"
  }
}

/**
 * Why a message could not be confirmed.
 *
 * - `not_found`: the conversation was read for about a minute, or until `timeouts.total`, and the message was not there
 * - `unreadable`: the conversation could not be read
 * - `ambiguous`: several messages could be the one that was sent; `details.messageIds` has their ids
 *
 * @category schemas
 * @since 0.2.0
 */
export const UnconfirmedReason = Schema.Literal("not_found", "unreadable", "ambiguous")

/**
 * @category models
 * @since 0.2.0
 */
export type UnconfirmedReason = typeof UnconfirmedReason.Type

/**
 * A message may or may not have been stored: its request ended without an answer, or with one that says nothing about the
 * message, and the conversation did not settle it. The message is never sent again for this reason, because a slow server
 * may still store it. Pass the error to `Conversations.findSent` later to look again, in this process or in another one
 * (encode the error with its schema). It carries what identifies the message, and not its text. `details.cause` describes
 * the failure of the request.
 *
 * @category errors
 * @since 0.2.0
 */
export class DustUnconfirmedError extends Schema.TaggedError<DustUnconfirmedError>(`${prefix}DustUnconfirmedError`)(
  "DustUnconfirmedError",
  {
    ...common,
    reason: UnconfirmedReason,
    conversationId: ConversationId,
    /** The `username` of the message. */
    author: Schema.String,
    /** The `origin` of the message. */
    origin: Schema.String,
    /** The agent that the message mentions. */
    agentId: Schema.NullOr(AgentId),
    /** The newest message that was there before: the one that was sent is behind it. `null`: unknown. */
    position: Schema.NullOr(Schema.Struct({
      rank: Schema.NullOr(Schema.Number),
      messageId: Schema.NullOr(MessageId)
    })),
    /** The message is not older than this, in epoch milliseconds of the server's clock. `null`: unknown. */
    notBefore: Schema.NullOr(Schema.Number),
    /** Of the text, as servers may normalize it. */
    fingerprint: Schema.String
  }
) {
  /** Sent again, the message could be there twice. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * What one request can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type RequestError =
  | DustBadRequestError
  | DustUnauthorizedError
  | DustUserRequiredError
  | DustForbiddenError
  | DustNotFoundError
  | DustConflictError
  | DustContentTooLargeError
  | DustRateLimitError
  | DustQuotaExceededError
  | DustServerError
  | DustTimeoutError
  | DustNetworkError
  | DustDecodeError

/**
 * What an event stream can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type StreamError = RequestError | DustStreamError

/**
 * What sending a message can fail with.
 *
 * @category errors
 * @since 0.2.0
 */
export type SendError = StreamError | DustUnconfirmedError

/**
 * Every variant.
 *
 * @category errors
 * @since 0.1.0
 */
export type DustAPIError = SendError | DustAgentError

/**
 * Every variant as one schema, for RPC, queues and logs.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DustAPIError: Schema.Union<[
  typeof DustBadRequestError,
  typeof DustUnauthorizedError,
  typeof DustUserRequiredError,
  typeof DustForbiddenError,
  typeof DustNotFoundError,
  typeof DustConflictError,
  typeof DustContentTooLargeError,
  typeof DustRateLimitError,
  typeof DustQuotaExceededError,
  typeof DustServerError,
  typeof DustTimeoutError,
  typeof DustNetworkError,
  typeof DustDecodeError,
  typeof DustStreamError,
  typeof DustAgentError,
  typeof DustUnconfirmedError
]> = Schema.Union(
  DustBadRequestError,
  DustUnauthorizedError,
  DustUserRequiredError,
  DustForbiddenError,
  DustNotFoundError,
  DustConflictError,
  DustContentTooLargeError,
  DustRateLimitError,
  DustQuotaExceededError,
  DustServerError,
  DustTimeoutError,
  DustNetworkError,
  DustDecodeError,
  DustStreamError,
  DustAgentError,
  DustUnconfirmedError
)

/** Equal in all members, however deep: an error that went through a queue equals the one that was sent. */
const sameValue = (a: unknown, b: unknown): boolean => {
  if (Equal.equals(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const present = (value: object) =>
    Object.entries(value).filter(([name, one]) => name !== "stack" && one !== undefined)
  const left = present(a)
  const right = new Map(present(b))
  return left.length === right.size &&
    left.every(([name, value]) => right.has(name) && sameValue(value, right.get(name)))
}

for (const { prototype } of DustAPIError.members) {
  Object.defineProperties(prototype, {
    [Equal.symbol]: {
      configurable: true,
      value(this: DustAPIError, that: unknown): boolean {
        return this === that || (isVariant(that) && that._tag === this._tag && that.message === this.message &&
          sameValue({ ...this }, { ...that }))
      }
    },
    [Hash.symbol]: {
      configurable: true,
      value(this: DustAPIError): number {
        return Hash.string(`${this._tag} ${this.message}`)
      }
    }
  })
}

const tags: ReadonlySet<string> = new Set(DustAPIError.members.map((member) => member._tag))

/**
 * The error of this SDK in a value: the value itself, or the failure behind what `Effect.runPromise` rejects with.
 *
 * @example
 * ```ts
 * import * as DustAPIError from "effect-dust/DustAPIError"
 * import { Effect, Option } from "effect"
 *
 * declare const program: Effect.Effect<string, DustAPIError.DustAPIError>
 *
 * Effect.runPromise(program).catch((rejection) =>
 *   Option.match(DustAPIError.find(rejection), {
 *     onNone: () => console.error(rejection),
 *     onSome: (error) => console.error(error._tag, error.message)
 *   })
 * )
 * ```
 *
 * @category getters
 * @since 0.2.0
 */
export const find = (u: unknown): Option.Option<DustAPIError> => {
  if (isVariant(u)) return Option.some(u)
  return Runtime.isFiberFailure(u)
    ? Option.filter(Cause.failureOption(u[Runtime.FiberFailureCauseId]), isVariant)
    : Option.none()
}

const isVariant = (u: unknown): u is DustAPIError =>
  Predicate.hasProperty(u, "_tag") && typeof u._tag === "string" && tags.has(u._tag) && u instanceof Error

/**
 * Whether a value is one of the variants, also where it is what `Effect.runPromise` rejects with: such a rejection receives
 * the members of the failure behind it (`_tag`, `status`, `details`, …), so that they can be read from it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isDustAPIError = (u: unknown): u is DustAPIError => {
  if (isVariant(u)) return true
  const found = find(u)
  if (Option.isNone(found) || !Predicate.isObject(u)) return false
  const error = found.value
  for (const name of [...Object.keys(error), "_tag", "isRetryable"]) {
    if (!(name in u)) {
      Object.defineProperty(u, name, { get: () => Reflect.get(error, name), enumerable: false, configurable: true })
    }
  }
  return true
}

/**
 * Whether waiting and trying again may help. For a POST that may already have been carried out, look before repeating it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetryable = (u: unknown): boolean => isDustAPIError(u) && u.isRetryable
