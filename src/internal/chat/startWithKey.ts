/**
 * Sends a question once per key, even if processes die on the way.
 *
 * Two entries are stored, each with a single `set`: `sending`, before the request, with the conversation and the
 * position in it; and `sent`, with the ids, after it. An entry that is not valid JSON was truncated when its process
 * ended. Without `sending`, no request was made; without `sent`, the message is looked up after the position.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { MessageCreated } from "../../Conversations.ts"
import type { DustAPIError, DustConflictError, DustTimeoutError } from "../../DustAPIError.ts"
import { ConversationId, MessageId } from "../../Ids.ts"
import type { AgentMessage, UserMessage } from "../../Message.ts"
import { badInput, conflict, unconfirmedMessage } from "../request/errors.ts"
import { monotonic } from "../util/monotonic.ts"
import { attach, newConversation } from "./conversationOf.ts"
import { isRefusal } from "./createMessage.ts"
import { identity } from "./identity.ts"
import { messageBody } from "./messageBody.ts"
import { located } from "./place.ts"
import { beginning, fingerprint, newestOf, soughtOf } from "./sameMessage.ts"
import { answerTo, checked, type Context, post, type Question, unanswered } from "./start.ts"

/** Where a question was asked, and which agent replies. */
export interface Place {
  readonly conversationId: ConversationId
  readonly userMessageId: MessageId
  readonly messageId: MessageId
}

/** The subset of `KeyValueStore` in use. */
export interface Store {
  readonly get: (entry: string) => Effect.Effect<Option.Option<string>, PlatformError | DustTimeoutError>
  readonly set: (entry: string, value: string) => Effect.Effect<void, PlatformError | DustTimeoutError>
}

export interface Key {
  readonly key: string
  readonly store: Store
  readonly settle: Duration.DurationInput
  /**
   * The messages sent by this process, by entry, until their ids are stored: `findSent` finds only messages that no
   * send of this process has claimed.
   */
  readonly posted: Map<string, MessageCreated & { readonly conversationId: ConversationId }>
}

const Sending = Schema.Struct({
  conversationId: ConversationId,
  author: Schema.String,
  origin: Schema.String,
  agentId: Schema.NullOr(Schema.String),
  fingerprint: Schema.String,
  position: Schema.Struct({ rank: Schema.NullOr(Schema.Number), messageId: Schema.NullOr(MessageId) }),
  /** The server refused the message: it will not arrive. */
  refused: Schema.Boolean
})
type Sending = typeof Sending.Type

const Sent = Schema.Struct({
  conversationId: ConversationId,
  userMessageId: MessageId,
  messageId: MessageId,
  fingerprint: Schema.String
})
type Sent = typeof Sent.Type

const named = identity("start")

const keyConflict = (key: string, type: "key_reused" | "key_unreadable", why: string) =>
  conflict({ module: named.module, method: named.method }, 0, type, `the key ${JSON.stringify(key)} ${why}`, {
    type,
    key
  })

const reused = (key: string) =>
  keyConflict(key, "key_reused", "was used for another question; use one key for each question")

/** Whether an entry stands for another message, or for one in another conversation. */
const isOther = (question: Question, entry: Pick<Sent, "conversationId" | "fingerprint">): boolean =>
  entry.fingerprint !== fingerprint(entry.conversationId, question.message) ||
  (question.conversationId !== undefined && question.conversationId !== entry.conversationId)

const read = <A, I>(
  { key, store }: Key,
  entry: string,
  schema: Schema.Schema<A, I>
): Effect.Effect<Option.Option<A>, PlatformError | DustConflictError | DustTimeoutError> =>
  Effect.flatMap(store.get(entry), (text): Effect.Effect<Option.Option<A>, DustConflictError> => {
    const json = Option.flatMap(text, Option.liftThrowable((one): unknown => JSON.parse(one)))
    if (Option.isNone(json)) return Effect.succeedNone
    return Either.match(Schema.decodeUnknownEither(schema)(json.value), {
      onLeft: () =>
        Effect.fail(keyConflict(key, "key_unreadable", "has an entry in the store that another program wrote")),
      onRight: (value) => Effect.succeedSome(value)
    })
  })

const pauses = [0, 200, 800, 2_000, 4_000]

/** Looks for a message of an earlier process until it has had time to arrive. */
const lookFor = (
  { conversations }: Context,
  sending: Sending,
  settle: number
): Effect.Effect<Option.Option<MessageCreated>, DustAPIError> =>
  Effect.gen(function*() {
    const error = unconfirmedMessage(
      named,
      `looking for the message of an earlier process in conversation ${sending.conversationId}`,
      { conversationId: sending.conversationId },
      { ...sending, reason: "not_found", notBefore: null }
    )
    const begun = yield* monotonic
    for (let look = 0;; look++) {
      const left = begun + settle - (yield* monotonic)
      // `settle` decides whether it could still arrive.
      const found = yield* Effect.catchIf(
        conversations.findSent(error),
        (error) => error._tag === "DustUnconfirmedError" && error.reason === "not_found",
        () => Effect.succeedNone
      )
      if (Option.isSome(found) || left <= 0) return found
      yield* Effect.sleep(Math.min(left, pauses[Math.min(look + 1, pauses.length - 1)] ?? 0))
    }
  })

/** Where to ask the question, and how to identify it. */
const placed = (context: Context, question: Question, entry: string, { store }: Key) =>
  Effect.gen(function*() {
    const agentId = yield* context.agentId("start", question.agent)
    const { hasUser } = yield* context.client.caller
    const body = yield* messageBody(named, hasUser, {
      context: question.context,
      content: question.message,
      mentions: [{ configurationId: agentId }]
    })
    const { conversations } = context
    const conversationId = question.conversationId ?? (yield* newConversation(context, question)).sId
    const position = question.conversationId === undefined
      ? beginning
      : newestOf(beginning, (yield* conversations.pageMessages({ conversationId, limit: 1, deleted: true })).messages)
    const sending: Sending = { ...soughtOf(conversationId, body), position, refused: false }
    yield* store.set(entry, JSON.stringify(sending))
    return sending
  })

/** Sends the message, and records a refusal by the server. */
const sent = (context: Context, question: Question, sending: Sending, entry: string, { posted, store }: Key) =>
  Effect.gen(function*() {
    const { conversationId } = sending
    const agentId = yield* context.agentId("start", question.agent)
    if (sending.refused) yield* store.set(entry, JSON.stringify({ ...sending, refused: false }))
    // The content fragments of a new conversation were created with it.
    if (question.conversationId !== undefined) yield* attach(context, conversationId, question)
    return yield* post(context, conversationId, agentId, { ...question, onInterrupt: "leave" }).pipe(
      Effect.map((one) => {
        posted.set(entry, { ...one, conversationId })
        context.attached.clear(conversationId)
        return one
      }),
      Effect.tapError((error) =>
        isRefusal(error) ? store.set(entry, JSON.stringify({ ...sending, refused: true })) : Effect.void
      ),
      Effect.mapError((error) =>
        error._tag === "BadArgument" || error._tag === "SystemError" ? error : located(error, { conversationId })
      )
    )
  })

/** The agent message that replies; none yet while the message is queued. */
const answerOf = (
  context: Context,
  agentId: string | null,
  conversationId: ConversationId,
  message: UserMessage,
  answers: ReadonlyArray<AgentMessage>
): Effect.Effect<MessageId, DustAPIError> => {
  const [answer] = answers
  if (answer !== undefined) return Effect.succeed(answer.sId)
  return message.visibility === "pending"
    ? Effect.map(answerTo(context, "start", agentId ?? undefined, conversationId, message.sId), ({ sId }) => sId)
    : Effect.fail(unanswered("start", agentId ?? "", conversationId, message))
}

export const startWithKey = (
  context: Context,
  question: Question,
  options: Key
): Effect.Effect<Place, DustAPIError | PlatformError> =>
  Effect.gen(function*() {
    const { key, store } = options
    if (key.trim() === "") return yield* Effect.fail(badInput(named, "key", "non-blank text"))
    const settle = Option.getOrUndefined(Duration.decodeUnknown(options.settle))
    if (settle === undefined) {
      return yield* Effect.fail(badInput(named, "settle", "a duration such as \"70 seconds\""))
    }
    yield* checked(context, "start", question)
    const prefix = `effect-dust/start/${yield* context.workspaceId}/${key}`
    const before = yield* read(options, `${prefix}/sent`, Sent)
    if (Option.isSome(before)) {
      const { fingerprint: _, ...place } = before.value
      return isOther(question, before.value) ? yield* Effect.fail(reused(key)) : place
    }
    const entry = `${prefix}/sending`
    const earlier = yield* read(options, entry, Sending)
    if (Option.exists(earlier, (one) => isOther(question, one))) return yield* Effect.fail(reused(key))
    const sending = Option.isSome(earlier) ? earlier.value : yield* placed(context, question, entry, options)
    const own = options.posted.get(entry)
    const found = own?.conversationId === sending.conversationId
      ? Option.some(own)
      : Option.isSome(earlier) && !sending.refused
      ? yield* lookFor(context, sending, Duration.toMillis(settle))
      : Option.none()
    const posted = Option.isSome(found) ? found.value : yield* sent(context, question, sending, entry, options)
    const { conversationId } = sending
    const userMessageId = posted.message.sId
    const messageId = yield* Effect.mapError(
      answerOf(context, sending.agentId, conversationId, posted.message, posted.agentMessages),
      (error) => located(error, { conversationId, userMessageId })
    )
    const place = { conversationId, userMessageId, messageId }
    yield* store.set(`${prefix}/sent`, JSON.stringify({ ...place, fingerprint: sending.fingerprint }))
    options.posted.delete(entry)
    return place
  })
