/** Follows an answer from the last stored cursor until it ends or waits for a person. */
import type { PlatformError } from "@effect/platform/Error"
import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Service as Chat } from "../../Chat.ts"
import type { ChatEvent, Done } from "../../ChatEvent.ts"
import type { DustAPIError } from "../../DustAPIError.ts"
import { type ConversationId, EventId, MessageId } from "../../Ids.ts"
import { identity } from "../chat/identity.ts"
import { streamError } from "../request/errors.ts"
import type { Outcome } from "./outcome.ts"

/** The agent message that is followed (another one after a handover), and the last event seen of it. */
const Cursor = Schema.parseJson(Schema.Struct({ messageId: MessageId, lastEventId: Schema.optional(EventId) }))
type Cursor = typeof Cursor.Type

/** How often the cursor is stored while text streams. Later events are read again, so none is lost. */
const checkpoint = 1_000

const readCursor = (store: KeyValueStore, entry: string): Effect.Effect<Option.Option<Cursor>, PlatformError> =>
  // With an unreadable cursor, the answer is read from its beginning.
  Effect.map(store.get(entry), Option.flatMap(Schema.decodeOption(Cursor)))

const writeCursor = (store: KeyValueStore, entry: string, cursor: Cursor) => store.set(entry, JSON.stringify(cursor))

/** The end of a round: the final answer, or a pending approval or question. */
const ending = (event: ChatEvent, at: number): Option.Option<Done | Outcome> => {
  switch (event._tag) {
    case "Done":
      return Option.some(event)
    case "ApprovalNeeded": {
      const { actionId, conversationId, inputs, messageId, stake, tool } = event
      return Option.some({
        _tag: "Approval",
        at,
        actionId,
        conversationId,
        messageId,
        tool: tool.toolName,
        inputs,
        stake
      })
    }
    case "QuestionAsked": {
      const { actionId, conversationId, messageId, question } = event
      return Option.some({ _tag: "Question", at, actionId, conversationId, messageId, question })
    }
    default:
      return Option.none()
  }
}

export interface Followed<R> {
  readonly chat: Chat
  readonly store: KeyValueStore
  /** The store entry of the cursor. */
  readonly entry: string
  readonly conversationId: ConversationId
  /** The agent message to start with, unless the store has another one. */
  readonly messageId: MessageId
  readonly onEvent: ((event: ChatEvent) => Effect.Effect<void, never, R>) | undefined
}

/** Reads the events once, starting at the cursor. */
const round = <R>(
  { chat, conversationId, entry, onEvent, store }: Followed<R>,
  { lastEventId, messageId }: Cursor
): Effect.Effect<Done | Outcome, DustAPIError | PlatformError, R> =>
  Effect.gen(function*() {
    let stored = yield* Clock.currentTimeMillis
    const seen = (event: ChatEvent) =>
      Effect.gen(function*() {
        if (onEvent !== undefined) yield* onEvent(event)
        const { eventId } = event
        const now = yield* Clock.currentTimeMillis
        // A request for a decision must not repeat once settled. Until then, `resume` emits it for any cursor.
        const asks = event._tag === "ApprovalNeeded" || event._tag === "QuestionAsked"
        if (eventId === undefined || event._tag === "Done" || (!asks && now - stored < checkpoint)) return
        stored = now
        yield* writeCursor(store, entry, { messageId, lastEventId: eventId })
      })
    const found = yield* chat.resume({ conversationId, messageId, lastEventId, onInterrupt: "leave" }).pipe(
      Stream.tap(seen),
      Stream.mapEffect((event) => Effect.map(Clock.currentTimeMillis, (now) => ending(event, now))),
      Stream.filterMap((one) => one),
      Stream.runHead
    )
    return yield* Option.match(found, {
      onNone: () => Effect.fail(streamError(identity("follow"), "ended", "the answer ended without a final message")),
      onSome: Effect.succeed
    })
  })

/** Follows an answer across handovers. */
export const followToOutcome = <R>(
  followed: Followed<R>
): Effect.Effect<Outcome, DustAPIError | PlatformError, R> =>
  Effect.gen(function*() {
    const { conversationId, entry, store } = followed
    const before = yield* readCursor(store, entry)
    const end = yield* round(followed, Option.getOrElse(before, () => ({ messageId: followed.messageId })))
    if (end._tag !== "Done") return end
    const { reply } = end
    if (reply.handedOverTo !== null) {
      yield* writeCursor(store, entry, { messageId: reply.handedOverTo })
      return yield* followToOutcome(followed)
    }
    return {
      _tag: "Answered" as const,
      answer: {
        text: reply.text,
        conversationId,
        messageId: reply.agentMessage.sId,
        citations: reply.citations,
        generatedFiles: reply.generatedFiles
      }
    }
  })

/** The agent message that is currently followed. */
export const followedMessage = (store: KeyValueStore, entry: string, asked: MessageId) =>
  Effect.map(
    readCursor(store, entry),
    Option.match({ onNone: () => asked, onSome: ({ messageId }) => messageId })
  )
