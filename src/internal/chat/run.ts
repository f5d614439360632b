import * as Effect from "effect/Effect"
import type { AgentId, ConversationId, EventId, MessageId, WorkspaceId } from "../../Ids.ts"
import type { UserMessage } from "../../Message.ts"

/** An answer that is being followed. */
export interface Run {
  readonly workspaceId: WorkspaceId
  readonly conversationId: ConversationId
  readonly message: UserMessage | undefined
  readonly messageId: MessageId
  /** Unknown where the run was started elsewhere. */
  readonly agent: { readonly id: AgentId; readonly name: string } | undefined
  readonly lastEventId: EventId | undefined
  /** It was started elsewhere. */
  readonly resumed: boolean
}

/**
 * Whether there is nothing left to cancel when the stream is left: the run has ended, or following it has failed, which is
 * no reason to stop it.
 */
export interface Ending {
  over: boolean
  /** Tells Dust that nobody waits for the answer any more. */
  abandon: Effect.Effect<void>
}

export const makeEnding = (): Ending => ({ over: false, abandon: Effect.void })
