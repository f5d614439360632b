import type { Blocked } from "../../ChatEvent.ts"
import type { DustAPIError } from "../../DustAPIError.ts"
import type { ConversationId, EventId, MessageId, WorkspaceId } from "../../Ids.ts"
import { sameSite } from "../request/callSite.ts"

/** The position of a chat: the ids needed to continue from there. */
export interface Place {
  readonly workspaceId?: WorkspaceId | undefined
  readonly conversationId?: ConversationId | undefined
  readonly userMessageId?: MessageId | undefined
  readonly messageId?: MessageId | undefined
  readonly lastEventId?: EventId | undefined
  readonly waitingFor?: Blocked | undefined
}

const words = ({ conversationId, messageId, userMessageId }: Place): string => {
  const parts = [
    conversationId === undefined ? "" : `conversation ${conversationId}`,
    messageId !== undefined
      ? `message ${messageId}`
      : userMessageId === undefined
      ? ""
      : `question ${userMessageId}`
  ].filter((part) => part !== "")
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`
}

/**
 * Returns a copy of the error with its place. A copy, because callers may share one error, such as that of a token
 * refresh.
 */
export const located = <E extends DustAPIError>(error: E, place: Place): E => {
  if (error.messageId !== undefined || error.userMessageId !== undefined) return error
  const known = Object.fromEntries(Object.entries(place).filter(([, value]) => value !== undefined))
  // Each error variant is constructed from its own fields.
  const Variant = error.constructor as new(props: object, options: { readonly disableValidation: boolean }) => E
  const copy = new Variant(
    { ...error, ...known, message: `${error.message}${words(place)}` },
    { disableValidation: true }
  )
  return sameSite(copy, error)
}
