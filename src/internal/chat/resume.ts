import * as Effect from "effect/Effect"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"
import type { ConversationId, EventId, MessageId } from "../../Ids.ts"
import { badInput } from "../request/errors.ts"
import { identity } from "./identity.ts"
import { located } from "./place.ts"
import type { Ending, Run } from "./run.ts"
import { answerTo, type Context } from "./start.ts"

interface Answer {
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly lastEventId?: EventId | undefined
}

const refused = (field: string, expected: string, got?: string) =>
  Effect.fail(badInput(identity("resume"), field, expected, got))

/** Locates the reply that an error of `Chat` refers to. */
const placeOf = (context: Context, error: DustAPIError): Effect.Effect<Answer, DustAPIError> =>
  Effect.flatMap(context.workspaceId, (workspaceId) => {
    const { conversationId, lastEventId, messageId, userMessageId } = error
    if (conversationId === undefined || (messageId === undefined && userMessageId === undefined)) {
      return refused(
        "error",
        "an error of Chat with conversationId and messageId",
        `a ${error._tag} without them`
      )
    }
    if (error.workspaceId !== undefined && error.workspaceId !== workspaceId) {
      return refused("error.workspaceId", `${workspaceId}, the workspace of this layer`, error.workspaceId)
    }
    if (messageId !== undefined) return Effect.succeed({ conversationId, messageId, lastEventId })
    if (userMessageId === undefined) return refused("error.messageId", "the id of an agent message")
    // The question was still in the queue.
    return Effect.mapBoth(answerTo(context, "resume", undefined, conversationId, userMessageId), {
      onFailure: (failure) => located(failure, { workspaceId, conversationId, userMessageId }),
      onSuccess: ({ sId }): Answer => ({ conversationId, messageId: sId })
    })
  })

const given = (options: Answer): Effect.Effect<Answer, DustAPIError> => {
  for (const field of ["conversationId", "messageId"] as const) {
    if (typeof options[field] !== "string" || options[field].trim() === "") {
      return refused(field, "a non-blank id")
    }
  }
  return Effect.succeed(options)
}

/** Resumes a reply that was requested elsewhere. */
export const resumed = (
  context: Context,
  place: Answer | DustAPIError,
  onInterrupt: "cancel" | "leave" | undefined,
  ending: Ending
): Effect.Effect<Run, DustAPIError> =>
  Effect.gen(function*() {
    const { conversationId, lastEventId, messageId } = yield* isDustAPIError(place)
      ? placeOf(context, place)
      : given(place)
    if (onInterrupt !== "leave") ending.abandon = context.abandoned.runs(conversationId, [messageId])
    const workspaceId = yield* context.workspaceId
    return { workspaceId, conversationId, message: undefined, messageId, agent: undefined, lastEventId, resumed: true }
  })
