/**
 * The errors of this SDK, as tagged variants.
 *
 * Each variant is a `Schema.TaggedError`: `Effect.catchTag`, `Effect.catchTags` and `Match` work on it directly, and it can be
 * sent through RPC, workers and logs. No variant contains a credential or the content of a message.
 *
 * | tag | when | status |
 * |---|---|---|
 * | `DustBadRequestError` | the input is refused, before any request or by the server | none, 400, 405, 415, 422 and other 4xx |
 * | `DustUnauthorizedError` | the credential is missing, wrong, expired or of another workspace | 401 |
 * | `DustUserRequiredError` | the operation requires the other kind of credential, usually a user access token | none, 401, 403 |
 * | `DustForbiddenError` | the credential is valid, but lacks a permission | 403, 401 |
 * | `DustNotFoundError` | the resource does not exist, or the credential cannot see it | 404, 400 |
 * | `DustConflictError` | the conversation is busy, or the resource exists already | 409 |
 * | `DustContentTooLargeError` | a body or a file over a limit | none, 413, 400 |
 * | `DustRateLimitError` | too many requests; waiting helps | 429, 403 |
 * | `DustQuotaExceededError` | credits, plan or caps are used up; waiting does not help | 403, 429 |
 * | `DustServerError` | the server or a gateway failed | 5xx |
 * | `DustTimeoutError` | a limit of `DustConfig` was reached | none |
 * | `DustNetworkError` | no complete response | none |
 * | `DustDecodeError` | a successful response of an unexpected shape | 2xx |
 * | `DustStreamError` | an event stream ended before its terminal event | none |
 * | `DustAgentError` | the agent itself failed | none |
 * | `DustUnconfirmedError` | a message that may or may not have been stored | none, or that of the last response |
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
 * @packageDocumentation
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
import { isClosedClient } from "./internal/request/network.ts"

/**
 * The failed request: its HTTP method and the *templated* route, without path values.
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
  /** The module of the call, such as `Conversations`. */
  module: Schema.String,
  /** The method of that module, such as `createMessage`. */
  method: Schema.String,
  /** One line. */
  message: Schema.String,
  /** The HTTP status, if there was a response. */
  status: Schema.optional(Schema.Number),
  /** Dust's own error type (`conversation_not_found`), or `invalid_input` for input that is refused before any request. Open. */
  type: Schema.optional(Schema.String),
  /** The parsed `error` object of the response, its truncated text if it is not JSON, or details of a local failure. */
  details: Schema.Unknown,
  /** Method and templated route. */
  request: Schema.optional(RequestInfo),
  /** The request id that the server or a proxy returned, if any. */
  requestId: Schema.optional(Schema.String),
  /** The wait that the server requested. */
  retryAfter: Schema.optional(Schema.DurationFromMillis),
  /** The number of requests of this call. 0 if it was refused before any request. */
  attempts: Schema.Number,
  /** From `Chat`: the workspace of the conversation. */
  workspaceId: Schema.optional(WorkspaceId),
  /** From `Chat`: the conversation of the question. */
  conversationId: Schema.optional(ConversationId),
  /** From `Chat`: the user message, if it is stored. It must not be sent again. */
  userMessageId: Schema.optional(MessageId),
  /** From `Chat`: the agent message, if its run has begun. `chat.resume(error)` continues from here. */
  messageId: Schema.optional(MessageId),
  /** The last event that was emitted. */
  lastEventId: Schema.optional(EventId),
  /** From `Chat`: the approval, question or authorization that the run waits for. */
  waitingFor: Schema.optional(Blocked)
}

/** A stored message must not be sent again: an error after the question was stored is not retryable. */
const notSent = (error: { readonly messageId?: unknown; readonly userMessageId?: unknown }): boolean =>
  error.messageId === undefined && error.userMessageId === undefined

const prefix = "effect-dust/DustAPIError/"

/**
 * The input is refused: before any request (`attempts` is 0, `details.field` is the field and `details.expected` the
 * requirement), or by the server with a 400.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustBadRequestError extends Schema.TaggedError<DustBadRequestError>(`${prefix}DustBadRequestError`)(
  "DustBadRequestError",
  common
) {
  /** Always `false`: the same input is refused again. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The credential is missing, malformed, unknown, expired, or of another workspace.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustUnauthorizedError extends Schema.TaggedError<DustUnauthorizedError>(`${prefix}DustUnauthorizedError`)(
  "DustUnauthorizedError",
  common
) {
  /** Always `false`: an expired token was already renewed once. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The operation requires the other kind of credential: a user access token instead of an API key, or the reverse. Known cases
 * fail before any request, with `attempts` 0.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustUserRequiredError extends Schema.TaggedError<DustUserRequiredError>(`${prefix}DustUserRequiredError`)(
  "DustUserRequiredError",
  common
) {
  /** Always `false`: use another credential. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The credential is valid, but lacks a role, a membership, access to a space, or a feature of the plan.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustForbiddenError extends Schema.TaggedError<DustForbiddenError>(`${prefix}DustForbiddenError`)(
  "DustForbiddenError",
  common
) {
  /** Always `false`: the permission must be granted first. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The resource does not exist, or the credential cannot see it; Dust does not distinguish the two. If the workspace is in
 * another region, `details.redirect` names the region.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustNotFoundError extends Schema.TaggedError<DustNotFoundError>(`${prefix}DustNotFoundError`)(
  "DustNotFoundError",
  common
) {
  /** Always `false`. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The conversation is busy (it is being compacted, or files are being copied), or the resource exists already.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustConflictError extends Schema.TaggedError<DustConflictError>(`${prefix}DustConflictError`)(
  "DustConflictError",
  common
) {
  /** `true` for a busy conversation; `false` for an existing resource or a replaced message. */
  get isRetryable(): boolean {
    return notSent(this) && this.type !== "message_outdated" && this.request !== undefined &&
      this.request.route.includes("/assistant/conversations")
  }
}

/**
 * A body or a file exceeds a size limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustContentTooLargeError extends Schema.TaggedError<DustContentTooLargeError>(
  `${prefix}DustContentTooLargeError`
)("DustContentTooLargeError", common) {
  /** Always `false`. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * Too many requests (429 or 403). `retryAfter` is the wait that the server requested, if any.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustRateLimitError extends Schema.TaggedError<DustRateLimitError>(`${prefix}DustRateLimitError`)(
  "DustRateLimitError",
  common
) {
  /** `true`, unless the message of the call is stored already. */
  get isRetryable(): boolean {
    return notSent(this)
  }
}

/**
 * Credits, seats, plan limits or caps are used up. Waiting does not help; an administrator must act in Dust.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustQuotaExceededError extends Schema.TaggedError<DustQuotaExceededError>(
  `${prefix}DustQuotaExceededError`
)("DustQuotaExceededError", common) {
  /** Always `false`. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The server or a gateway responded with a 5xx status, with or without Dust's error envelope.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustServerError extends Schema.TaggedError<DustServerError>(`${prefix}DustServerError`)(
  "DustServerError",
  common
) {
  /** `true`, unless the message of the call is stored already. Whether the SDK retries by itself depends on the operation. */
  get isRetryable(): boolean {
    return notSent(this)
  }
}

/**
 * The limit that was reached: waiting for response `headers`, reading the `body`, silence of a stream (`idle`), or the whole
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
 * A limit of `DustConfig` or `DustClient.withOptions` was reached. `phase` names the limit, and `limit` is its duration.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustTimeoutError extends Schema.TaggedError<DustTimeoutError>(`${prefix}DustTimeoutError`)(
  "DustTimeoutError",
  { ...common, phase: TimeoutPhase, limit: Schema.DurationFromMillis }
) {
  /** `true`, unless the message of the call is stored already. A POST may have been processed. */
  get isRetryable(): boolean {
    return notSent(this)
  }
}

/**
 * No complete response. `reachedServer` is `false` if the request provably was not sent (connection refused, unknown host,
 * TLS failure), and `true` if the server may have processed it.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustNetworkError extends Schema.TaggedError<DustNetworkError>(`${prefix}DustNetworkError`)(
  "DustNetworkError",
  { ...common, reachedServer: Schema.Boolean }
) {
  /**
   * `true`, unless the `HttpClient` is closed or the message of the call is stored already. Within a call, the SDK does not
   * retry what a proxy or an untrusted certificate refuses.
   */
  get isRetryable(): boolean {
    return notSent(this) && !isClosedClient(this.type)
  }
}

/**
 * A part of a response that has an unexpected shape.
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
 * A successful response has an unexpected shape. `issues` has the paths and the expectations, but never the payload. Unknown
 * fields, enum values and message types do not cause this error.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustDecodeError extends Schema.TaggedError<DustDecodeError>(`${prefix}DustDecodeError`)(
  "DustDecodeError",
  { ...common, issues: Schema.Array(DecodeIssue) }
) {
  /** Always `false`. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The reason why a stream ended before its terminal event.
 *
 * - `ended`: connections repeatedly closed without a terminal event, and the conversation does not contain the outcome
 * - `event_too_large`: an event exceeds the limit of characters
 * - `truncated`: the connection ended before the end marker of a stream that cannot be resumed
 * - `remote`: the server reported a failure inside the stream
 * - `waiting_for_human`: the run waits for a person, and `whenBlocked` is `"fail"`
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
 * An event stream ended before its terminal event. Continue from the cursor in `lastEventId`, or with `chat.resume(error)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class DustStreamError extends Schema.TaggedError<DustStreamError>(`${prefix}DustStreamError`)(
  "DustStreamError",
  { ...common, reason: StreamReason }
) {
  /** `false` for `Chat`, once the message is stored: use `chat.resume(error)` instead of sending again. */
  get isRetryable(): boolean {
    return notSent(this) && (this.reason === "ended" || this.reason === "truncated")
  }
}

/**
 * The agent failed: its run ended with an error, was cancelled, or no longer exists. `code` and `category` are
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
  /** Always `false`, because sending again would store the message twice. See {@link isTransient}. */
  get isRetryable(): boolean {
    return false
  }

  /** Whether the failure is temporary, so that `Conversations.retryMessage` may succeed. */
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
 * - `ambiguous`: several messages match the one that was sent; `details.messageIds` has their ids
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
 * A message may or may not be stored: its request failed in an ambiguous way, and the conversation did not settle it. The SDK
 * does not send it again, because a slow server may still store it. Pass the error to `Conversations.findSent` to look again
 * later, in this process or in another one (encode the error with its schema). The error identifies the message without
 * containing its text. `details.cause` describes the failure of the request.
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
    /** The newest message before the send; the sent message is placed after it. `null` if unknown. */
    position: Schema.NullOr(Schema.Struct({
      rank: Schema.NullOr(Schema.Number),
      messageId: Schema.NullOr(MessageId)
    })),
    /** The message is not older than this, in epoch milliseconds of the server's clock. `null` if unknown. */
    notBefore: Schema.NullOr(Schema.Number),
    /** A digest of the normalized text. */
    fingerprint: Schema.String
  }
) {
  /** Always `false`, because sending again could store the message twice. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The errors of a single request.
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
 * The errors of an event stream.
 *
 * @category errors
 * @since 0.1.0
 */
export type StreamError = RequestError | DustStreamError

/**
 * The errors of sending a message.
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

/** Structural equality, so that an error that passed through a queue equals the original. */
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
 * Finds an error of this SDK in a value: the value itself, or the failure behind a rejection of `Effect.runPromise`.
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
 * Returns whether a value is one of the variants, or a rejection of `Effect.runPromise` caused by one. Such a rejection
 * receives the members of the failure (`_tag`, `status`, `details`, …).
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
 * Returns whether waiting and retrying may help. After an ambiguous failure of a POST, check before repeating it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetryable = (u: unknown): boolean => isDustAPIError(u) && u.isRetryable
