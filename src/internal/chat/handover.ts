import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FollowOptions, Service as Chat } from "../../Chat.ts"
import type { ChatEvent, Reply } from "../../ChatEvent.ts"
import type { DustAPIError } from "../../DustAPIError.ts"

/** One reply. An agent that hands over to another agent writes no text itself: the other agent's reply follows. */
export const answerOf = <E, R>(
  chat: Chat,
  options: FollowOptions<E, R>,
  events: Stream.Stream<ChatEvent, DustAPIError | E, R>,
  onReply: (reply: Reply) => void
): Stream.Stream<ChatEvent, DustAPIError | E, R> =>
  Stream.suspend(() => {
    let reply: Reply | undefined
    return Stream.concat(
      Stream.tap(events, (event) =>
        Effect.sync(() => {
          if (event._tag === "Done") reply = event.reply
        })),
      Stream.suspend(() => {
        if (reply === undefined) return Stream.empty
        onReply(reply)
        const { conversationId, handedOverTo } = reply
        return handedOverTo === null ? Stream.empty : answerOf(
          chat,
          options,
          chat.resume({ ...options, conversationId, messageId: handedOverTo, lastEventId: undefined }),
          onReply
        )
      })
    )
  })
