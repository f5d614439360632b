import * as Effect from "effect/Effect"
import type { AgentId, ConversationId, EventId, MessageId, WorkspaceId } from "../../Ids.ts"
import type { UserMessage } from "../../Message.ts"

/** A reply that is being followed. */
export interface Run {
  readonly workspaceId: WorkspaceId
  readonly conversationId: ConversationId
  readonly message: UserMessage | undefined
  readonly messageId: MessageId
  /** Unknown if the run was started elsewhere. */
  readonly agent: { readonly id: AgentId; readonly name: string } | undefined
  readonly lastEventId: EventId | undefined
  /** The run was started elsewhere. */
  readonly resumed: boolean
}

/**
 * Cleanup when the consumer stops. `over`: there is nothing to cancel, because the run has ended or following it has
 * failed, which is not a reason to stop it.
 */
export interface Ending {
  over: boolean
  /** Cancels the run after its consumer stopped. */
  abandon: Effect.Effect<void>
}

export const makeEnding = (): Ending => ({ over: false, abandon: Effect.void })
