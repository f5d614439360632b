/** The results of following an answer, as a workflow stores them. */
import * as Schema from "effect/Schema"
import { Citation } from "../../ChatEvent.ts"
import { Stake, UserQuestion } from "../../Conversation.ts"
import { ActionId, ConversationId, MessageId } from "../../Ids.ts"
import { GeneratedFile } from "../../Message.ts"

/**
 * An answer, as a workflow stores it. `Conversations.getMessage` returns the rest, such as the tool calls.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Answer = Schema.Struct({
  text: Schema.String,
  conversationId: ConversationId,
  messageId: MessageId,
  citations: Schema.Array(Citation),
  generatedFiles: Schema.Array(GeneratedFile)
})

/** @category models @since 0.2.0 */
export interface Answer extends Schema.Schema.Type<typeof Answer> {}

const waited = {
  /** When it was seen, in epoch milliseconds. */
  at: Schema.Number,
  actionId: ActionId,
  /** Of a sub-agent, where the tool belongs to one. */
  conversationId: ConversationId,
  messageId: MessageId
}

export const approvalFields = {
  ...waited,
  tool: Schema.String,
  /** The input of the tool. */
  inputs: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  stake: Schema.NullOr(Stake)
}

export const questionFields = { ...waited, question: UserQuestion }

/**
 * The end of a round of following an answer.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Outcome = Schema.Union(
  Schema.TaggedStruct("Answered", { answer: Answer }),
  Schema.TaggedStruct("Approval", approvalFields),
  Schema.TaggedStruct("Question", questionFields)
)

/** @category models @since 0.2.0 */
export type Outcome = typeof Outcome.Type
