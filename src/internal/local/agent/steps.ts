/** What a scripted agent does, as plain data. */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Stream from "effect/Stream"

/** What a scripted agent is given. @category models @since 0.1.0 */
export interface AgentInput {
  /** The text of the user message that is being answered. */
  readonly message: string
  /** The conversation so far, oldest first, without the message that is being answered. */
  readonly history: ReadonlyArray<HistoryItem>
  /** The text of the content fragments (attachments) of the conversation, oldest first. */
  readonly attachments: ReadonlyArray<{ readonly title: string; readonly content: string }>
  readonly conversationId: string
  /** The sId of the user message. */
  readonly messageId: string
  /** The sId of the agent message that is being written. */
  readonly agentMessageId: string
  /** The agent's sId. */
  readonly agentId: string
  /** `context.username` of the user message. */
  readonly username: string
  /** The client-side MCP servers that the user message lists. */
  readonly clientSideMCPServerIds: ReadonlyArray<string>
  /** 0 for the first answer, 1 for its first retry, and so on. */
  readonly version: number
}

/** One earlier message. @category models @since 0.1.0 */
export interface HistoryItem {
  readonly role: "user" | "agent"
  readonly content: string
  /** The username, or the agent's name. */
  readonly author: string
}

/**
 * What an agent does: its steps in order, a stream of steps, or simply the text of its answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Script = ReadonlyArray<Step> | Stream.Stream<Step> | string

/** A scripted agent: always the same, or decided from the message and the history. @category models @since 0.1.0 */
export type AgentBehavior = Script | ((input: AgentInput) => Script)

/** The answer of a human to a question: indices of the options, or words of their own. @category models @since 0.1.0 */
export interface UserAnswer {
  readonly selectedOptions: ReadonlyArray<number>
  readonly customResponse?: string | undefined
}

/** How a tool call went. `output` is the text of its result. @category models @since 0.1.0 */
export interface ToolResult {
  readonly approved: boolean
  readonly isError: boolean
  readonly output: string
}

/** One progress notification of a tool. @category models @since 0.1.0 */
export interface ToolProgress {
  readonly label: string
  readonly progress?: number | undefined
  readonly total?: number | undefined
  /** `notification._meta.data.output` as it is sent. */
  readonly output?: Readonly<Record<string, unknown>> | undefined
  /** Time before the notification. Default 0. */
  readonly after?: Duration.DurationInput | undefined
}

/** A file that a tool made. */
export interface ToolFile {
  readonly fileId: string
  readonly title: string
  readonly contentType: string
  readonly snippet?: string | undefined
}

/** A tool call. @category models @since 0.1.0 */
export interface ToolOptions {
  readonly name: string
  readonly inputs?: Readonly<Record<string, unknown>> | undefined
  /** The text of the result, or its content blocks. Default "". */
  readonly output?: string | ReadonlyArray<Readonly<Record<string, unknown>>> | undefined
  /** Name of the MCP server. Default `local_tools`. */
  readonly server?: string | undefined
  /** Notifications before the result. */
  readonly progress?: ReadonlyArray<ToolProgress> | undefined
  /** Time the tool takes after its last notification. Default 0. */
  readonly duration?: Duration.DurationInput | undefined
  /** The tool ran but reports an error (`status: "errored"`); the agent goes on. */
  readonly errored?: boolean | undefined
  readonly files?: ReadonlyArray<ToolFile> | undefined
  /** What the agent does next, decided from the result. */
  readonly onResult?: ((result: ToolResult) => Script) | undefined
}

/** A tool call that a human must approve. @category models @since 0.1.0 */
export interface ApprovalOptions extends ToolOptions {
  /** Default `high`. `low` and `medium` can be approved for good with `always_approved`. */
  readonly stake?: string | undefined
  readonly argumentsRequiringApproval?: ReadonlyArray<string> | undefined
}

/** A question to the human. @category models @since 0.1.0 */
export interface QuestionOptions {
  readonly question: string
  readonly options?: ReadonlyArray<string | { readonly label: string; readonly description: string | null }> | undefined
  readonly multiSelect?: boolean | undefined
  /** What the agent does next, decided from the answer. */
  readonly onAnswer?: ((answer: UserAnswer) => Script) | undefined
}

/**
 * A tool that needs the human to connect an account. It waits until the test resolves it.
 *
 * @category models
 * @since 0.1.0
 */
export interface AuthenticationOptions extends ToolOptions {
  /** Default `github`. */
  readonly provider?: string | undefined
  readonly scope?: string | undefined
}

/**
 * A tool that needs the human to grant access to a file. It waits until the test resolves it.
 *
 * @category models
 * @since 0.1.0
 */
export interface FileAuthenticationOptions extends ToolOptions {
  readonly fileId: string
  readonly fileName: string
  /** Default `text/plain`. */
  readonly mimeType?: string | undefined
}

/** A tool of a client-side MCP server that the user message lists. @category models @since 0.1.0 */
export interface ClientToolOptions {
  readonly name: string
  readonly inputs?: Readonly<Record<string, unknown>> | undefined
  /** Default: the first server that the message lists. */
  readonly serverId?: string | undefined
  /** Ask the human first. Default false. */
  readonly approval?: boolean | undefined
  /** Give up after this time. Default: wait forever. */
  readonly timeout?: Duration.DurationInput | undefined
  readonly onResult?: ((result: ToolResult) => Script) | undefined
}

/** A call of another agent of the workspace, in a conversation of its own. @category models @since 0.1.0 */
export interface SubAgentOptions {
  readonly agent: string
  readonly query: string
  readonly onResult?: ((result: ToolResult) => Script) | undefined
}

/** The failure of an agent. `category` is `error.metadata.category`. @category models @since 0.1.0 */
export interface FailOptions {
  readonly code?: string | undefined
  readonly message?: string | undefined
  readonly category?: string | undefined
}

/** One thing that a scripted agent does; `DustTest` has a function for each. @category models @since 0.1.0 */
export type Step = Data.TaggedEnum<{
  Tokens: {
    readonly tokens: ReadonlyArray<string> | Iterable<string>
    readonly classification: "tokens" | "chain_of_thought"
    readonly pace: Duration.DurationInput | undefined
  }
  Delimiter: { readonly text: string; readonly kind: "opening_delimiter" | "closing_delimiter" }
  Tool: { readonly tool: ToolOptions }
  Approval: { readonly tool: ApprovalOptions }
  Question: { readonly question: QuestionOptions }
  Authentication: { readonly tool: AuthenticationOptions }
  FileAuthentication: { readonly tool: FileAuthenticationOptions }
  ClientTool: { readonly tool: ClientToolOptions }
  SubAgent: { readonly agent: SubAgentOptions }
  Parallel: { readonly steps: ReadonlyArray<Step> }
  Fail: { readonly error: FailOptions }
  ToolError: { readonly error: FailOptions }
  Silence: { readonly duration: Duration.DurationInput | undefined }
  Rerun: Record<never, never>
  ContextPruned: Record<never, never>
  GracefulStop: Record<never, never>
  Raw: { readonly event: unknown }
  Malformed: { readonly data: string }
}>

export const Step = Data.taggedEnum<Step>()

/** Words with the white space that follows them: joined again they are the text. */
export const tokenize = (text: string): ReadonlyArray<string> => text.match(/\S+\s*|\s+/g) ?? []
