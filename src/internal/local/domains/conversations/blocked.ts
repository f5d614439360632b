/** Blocked actions, and the routes that answer them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import type { Answers } from "../../server/declared.ts"
import { json, type Refusal, refuse } from "../../server/http.ts"
import { body, type Handler, type Context, param } from "../../server/route.ts"
import type { World } from "../../state/state.ts"
import { findConversation, success } from "./access.ts"
import { optional } from "./bodies.ts"
import {
  type AgentMessage,
  type BlockedAction,
  type BlockedAnswer,
  type Conversation,
  conversations,
  runningMessages
} from "./models.ts"

const blockedActions: Handler = (context) =>
  Effect.map(findConversation(context), (conversation) =>
    json({
      blockedActions: [...conversation.blocked.values()].filter((action) => action.answer === undefined).map((
        action
      ) => ({
        ...action.fields,
        messageId: action.agentMessageId,
        conversationId: action.conversationId,
        status: action.status
      }))
    }))

/** The runs in progress, with the pending action of those that wait for a person. */
export const describeRuns = (world: World): ReadonlyArray<string> =>
  [...conversations(world).byId.values()].flatMap((conversation) =>
    runningMessages(conversation).map(({ agent, sId }) => {
      const blocked = [...conversation.blocked.values()].find((action) =>
        action.answer === undefined && action.agentMessageId === sId
      )
      return blocked === undefined
        ? `${agent.sId} has not finished`
        : `${agent.sId} waits for an answer to ${blocked.toolName} (give one, or call resolveAction)`
    })
  )

/** Resumes a blocked action. */
export const answerAction = (action: BlockedAction, answer: BlockedAnswer): Effect.Effect<void> =>
  Effect.suspend(() => {
    action.answer = answer
    return Effect.asVoid(Deferred.succeed(action.answered, answer))
  })

const assertionFailed = refuse(500, "internal_server_error", "Failed to validate action")

const findAction = (
  context: Context,
  conversation: Conversation,
  actionId: string
): Effect.Effect<{ readonly blocked: BlockedAction | undefined; readonly message: AgentMessage }, Refusal> =>
  Effect.suspend(
    (): Effect.Effect<{ readonly blocked: BlockedAction | undefined; readonly message: AgentMessage }, Refusal> => {
      const message = conversation.bySId.get(param(context, "messageId"))
      if (message?.type !== "agent_message") return assertionFailed
      const known = message.actions.some((action) => action.sId === actionId)
      if (!known) return refuse(404, "action_not_found", "Action not found.")
      return Effect.succeed({ blocked: conversation.blocked.get(actionId), message })
    }
  )

const mayAnswer = (context: Context, conversation: Conversation, message: AgentMessage): boolean => {
  const parent = message.parentMessageId === null ? undefined : conversation.bySId.get(message.parentMessageId)
  if (parent?.type !== "user_message" || parent.user === null) return true
  return context.auth.user?.sId === parent.user.sId
}

const validateAction: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(
      context,
      Schema.Struct({
        actionId: Schema.String,
        approved: Schema.Literal("approved", "rejected", "always_approved")
      })
    )
    const conversation = yield* findConversation(context)
    const { blocked, message } = yield* findAction(context, conversation, input.actionId)
    if (!mayAnswer(context, conversation, message)) return yield* assertionFailed
    if (blocked === undefined || blocked.answer !== undefined || blocked.status !== "blocked_validation_required") {
      return yield* refuse(400, "action_not_blocked", "Action is not blocked.")
    }
    const { user } = context.auth
    if (
      input.approved === "always_approved" && user !== undefined &&
      (blocked.stake === "low" || blocked.stake === "medium")
    ) {
      conversations(context.world).alwaysApproved.add(`${user.sId}/${blocked.toolName}`)
    }
    yield* answerAction(blocked, { _tag: "Validated", approved: input.approved !== "rejected" })
    return success
  })

const answerQuestion: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(
      context,
      Schema.Struct({
        actionId: Schema.String,
        answer: Schema.Struct({
          selectedOptions: Schema.Array(Schema.Int),
          customResponse: optional(Schema.String)
        })
      })
    )
    const conversation = yield* findConversation(context)
    const { blocked, message } = yield* findAction(context, conversation, input.actionId)
    if (!mayAnswer(context, conversation, message)) {
      return yield* refuse(403, "workspace_auth_error", "Only the author of the message can answer.")
    }
    if (blocked === undefined || blocked.answer !== undefined || blocked.status !== "blocked_user_answer_required") {
      return yield* refuse(400, "action_not_blocked", "Action is not blocked.")
    }
    yield* answerAction(blocked, { _tag: "Answered", answer: input.answer })
    return success
  })

export const actionAnswers = {
  "GET /assistant/conversations/{conversationId}/actions/blocked": { auth: "any", handler: blockedActions },
  "POST /assistant/conversations/{conversationId}/messages/{messageId}/validate-action": {
    auth: "any",
    handler: validateAction
  },
  "POST /assistant/conversations/{conversationId}/messages/{messageId}/answer-question": {
    auth: "any",
    handler: answerQuestion
  }
} satisfies Answers<typeof conversationsApi>
