/**
 * What a user interface shows of an answer while it comes.
 *
 * The text is kept with two rules: append every {@link TextDelta}, and replace everything by the text of a {@link Reset}.
 * Whatever happened on the way, it is then exactly the final text when {@link Done} comes.
 *
 * @since 0.1.0
 */
import type { AgentMessageEvent, ToolFileAuthRequired, ToolPersonalAuthRequired } from "./AgentMessageEvent.ts"
import type { Stake, ToolMetadata, UserQuestion } from "./Conversation.ts"
import type { ActionId, ConversationId, EventId, MessageId } from "./Ids.ts"
import type { AgentAction, AgentMessage, GeneratedFile, UserMessage } from "./Message.ts"

interface Base {
  /** The cursor to continue from after this event, if it stands for an event of the server. */
  readonly eventId: EventId | undefined
}

/**
 * The message was sent, and the agent has begun. Keep the ids to continue in another process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Started extends Base {
  readonly _tag: "Started"
  readonly conversationId: ConversationId
  /** `undefined` when an answer is continued. */
  readonly message: UserMessage | undefined
  /** The agent message. */
  readonly messageId: MessageId
}

/**
 * More text.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextDelta extends Base {
  readonly _tag: "TextDelta"
  readonly text: string
}

/**
 * The text so far is replaced by this one: a step is run again, or the final text is another one. An answer that is
 * continued from an event has one at its end, since what came before is not known here.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reset extends Base {
  readonly _tag: "Reset"
  readonly text: string
}

/**
 * The agent thinks aloud.
 *
 * @category models
 * @since 0.1.0
 */
export interface Thinking extends Base {
  readonly _tag: "Thinking"
  readonly text: string
}

/**
 * The agent is about to use a tool; its input is still being written.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolAnnounced extends Base {
  readonly _tag: "ToolAnnounced"
  readonly toolName: string
}

/**
 * A tool is used. `action.params` is its input.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolStarted extends Base {
  readonly _tag: "ToolStarted"
  readonly action: AgentAction
}

/**
 * A tool reports progress.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolProgress extends Base {
  readonly _tag: "ToolProgress"
  readonly action: AgentAction
  readonly progress: number | null
  readonly total: number | null
  /** What it is doing, for people. */
  readonly label: string | null
}

/**
 * A tool has finished. `action.output` is what it returned.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolFinished extends Base {
  readonly _tag: "ToolFinished"
  readonly action: AgentAction
}

/**
 * A tool waits for somebody's approval.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApprovalNeeded extends Base {
  readonly _tag: "ApprovalNeeded"
  /** Of a sub-agent, where the tool belongs to one. */
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly actionId: ActionId
  readonly tool: ToolMetadata
  readonly inputs: { readonly [name: string]: unknown }
  readonly stake: Stake | null
}

/**
 * The agent asks somebody a question.
 *
 * @category models
 * @since 0.1.0
 */
export interface QuestionAsked extends Base {
  readonly _tag: "QuestionAsked"
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly actionId: ActionId
  readonly question: UserQuestion
}

/**
 * A tool waits until somebody has connected an account, or given access to a file, in Dust.
 *
 * @category models
 * @since 0.1.0
 */
export interface AuthenticationNeeded extends Base {
  readonly _tag: "AuthenticationNeeded"
  readonly conversationId: ConversationId
  readonly messageId: MessageId
  readonly actionId: ActionId
  readonly tool: ToolMetadata
  readonly account: ToolPersonalAuthRequired["authError"]
  readonly file: ToolFileAuthRequired["fileAuthError"]
}

/**
 * Anything else that the server reports: context pruned, credit alerts, events that this version does not know.
 *
 * @category models
 * @since 0.1.0
 */
export interface Other extends Base {
  readonly _tag: "Other"
  readonly event: AgentMessageEvent
}

/**
 * Something that the answer refers to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Citation {
  /** The short key by which the text refers to it. */
  readonly ref: string
  readonly title: string | null
  readonly url: string | null
  /** Where it was found: `notion`, `slack`, `web`, … */
  readonly provider: string | null
}

/**
 * The whole answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reply {
  /** The final text of the agent's message, as Markdown. */
  readonly text: string
  readonly conversationId: ConversationId
  /** What was asked; `undefined` when an answer was continued. */
  readonly message: UserMessage | undefined
  /** The answer as Dust keeps it. */
  readonly agentMessage: AgentMessage
  /** The tools that were used, with inputs and outputs. */
  readonly actions: ReadonlyArray<AgentAction>
  readonly chainOfThought: string | null
  /** What the tools found that can be referred to. */
  readonly citations: ReadonlyArray<Citation>
  readonly generatedFiles: ReadonlyArray<GeneratedFile>
}

/**
 * The last event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Done extends Base {
  readonly _tag: "Done"
  readonly reply: Reply
}

/**
 * What a run waits for a person with.
 *
 * @category models
 * @since 0.1.0
 */
export type Blocked = ApprovalNeeded | QuestionAsked | AuthenticationNeeded

/**
 * Everything that a stream of `Chat` emits, told apart by `_tag`.
 *
 * @category models
 * @since 0.1.0
 */
export type ChatEvent =
  | Started
  | TextDelta
  | Reset
  | Thinking
  | ToolAnnounced
  | ToolStarted
  | ToolProgress
  | ToolFinished
  | Blocked
  | Other
  | Done
