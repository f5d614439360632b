/** Event streams of conversations and messages. */
import * as Effect from "effect/Effect"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, type LocalResponse, pulled } from "../../server/http.ts"
import { connection, type Subscription } from "../../server/pubsub.ts"
import { type Context, param } from "../../server/route.ts"
import { findConversation, findMessage } from "./access.ts"

/** Headers of an event stream, including the server's `Content-Encoding: none`. */
export const eventStream = (context: Context, subscription: Omit<Subscription, "signal">): LocalResponse =>
  pulled(connection(context.world, { ...subscription, signal: context.request.signal }), {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "content-encoding": "none"
  })

const cursor = (context: Context): string | undefined => {
  const lastEventId = context.query.get("lastEventId")
  return lastEventId === null || lastEventId === "" ? undefined : lastEventId
}

export const eventAnswers = {
  "GET /assistant/conversations/{conversationId}/events": {
    auth: "any",
    sse: true,
    handler: (context) =>
      Effect.map(findConversation(context), (conversation) =>
        eventStream(context, {
          channel: conversation.channel,
          lastEventId: cursor(context),
          lifetime: undefined,
          silence: context.world.quirks.conversationStreamSilence,
          open: () => conversation.visibility !== "deleted"
        }))
  },
  "GET /assistant/conversations/{conversationId}/messages/{messageId}/events": {
    auth: "any",
    sse: true,
    handler: (context) =>
      Effect.gen(function*() {
        const conversation = yield* findConversation(context)
        const message = yield* findMessage(conversation, param(context, "messageId"))
        if (message.type !== "agent_message") {
          return yield* badRequest("Events are only available for agent messages.")
        }
        return eventStream(context, {
          channel: message.run.channel,
          lastEventId: cursor(context),
          lifetime: context.world.quirks.messageStreamLifetime,
          silence: undefined
        })
      })
  }
} satisfies Answers<typeof conversationsApi>
