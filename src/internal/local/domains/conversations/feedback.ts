/** Feedback on agent messages. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import { findMember } from "../../server/auth.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, json, type Refusal, refuse } from "../../server/http.ts"
import { body, nullish, type Handler, type Context, param, requireUser } from "../../server/route.ts"
import type { LocalUser } from "../../state/state.ts"
import { findAgentMessage, findConversation, findMessage, success } from "./access.ts"
import { optional } from "./bodies.ts"
import type { Conversation } from "./models.ts"

const feedbackUser = (context: Context): Effect.Effect<LocalUser, Refusal> => {
  const user = context.auth.user ?? findMember(context.world, context.request.headers["x-api-user-email"])
  return user === undefined
    ? refuse(401, "not_authenticated", "The user does not have an active session or is not authenticated.")
    : Effect.succeed(user)
}

const postFeedback: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const input = yield* body(
      context,
      Schema.Struct({
        thumbDirection: Schema.Literal("up", "down"),
        feedbackContent: nullish(Schema.String),
        isConversationShared: optional(Schema.Boolean)
      })
    )
    const user = yield* feedbackUser(context)
    const conversation = yield* findConversation(context)
    const message = yield* findAgentMessage(conversation, param(context, "messageId"), "Feedback")
    removeFeedback(conversation, message.sId, user)
    conversation.feedbacks.push({
      messageId: message.sId,
      agentMessageId: message.agentMessageId,
      user,
      thumbDirection: input.thumbDirection,
      content: input.feedbackContent ?? "",
      createdAt: world.now(),
      agentConfigurationId: message.agent.sId,
      agentConfigurationVersion: message.agent.version,
      isConversationShared: input.isConversationShared ?? false
    })
    return success
  })

const removeFeedback = (conversation: Conversation, messageId: string, user: LocalUser): boolean => {
  const index = conversation.feedbacks.findIndex((one) => one.messageId === messageId && one.user.sId === user.sId)
  if (index >= 0) conversation.feedbacks.splice(index, 1)
  return index >= 0
}

const deleteFeedback: Handler = (context) =>
  Effect.gen(function*() {
    const user = yield* feedbackUser(context)
    const conversation = yield* findConversation(context)
    yield* findMessage(conversation, param(context, "messageId"))
    return removeFeedback(conversation, param(context, "messageId"), user)
      ? success
      : yield* badRequest("The message you're trying to give feedback to does not exist.")
  })

const listFeedbacks: Handler = (context) =>
  Effect.gen(function*() {
    const conversation = yield* findConversation(context)
    // After the conversation. Source: `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/feedbacks.ts`.
    const user = yield* requireUser(context, {
      status: 401,
      type: "user_authentication_required",
      message: "You must be logged in as a user to access this resource."
    })
    return json({
      feedbacks: conversation.feedbacks.filter((one) => one.user.sId === user.sId).map(({ user, ...one }) => ({
        ...one,
        userId: user.id
      }))
    })
  })

export const feedbackAnswers = {
  "GET /assistant/conversations/{conversationId}/feedbacks": { auth: "any", handler: listFeedbacks },
  "POST /assistant/conversations/{conversationId}/messages/{messageId}/feedbacks": {
    auth: "any",
    handler: postFeedback
  },
  "DELETE /assistant/conversations/{conversationId}/messages/{messageId}/feedbacks": {
    auth: "any",
    handler: deleteFeedback
  }
} satisfies Answers<typeof conversationsApi>
