/**
 * Messages of people and agents, and attachments.
 *
 * Only ids and discriminators are required in a response; every other field is `null` or empty if it is missing. A message
 * of an unknown kind is an {@link UnknownMessage} and does not affect the others.
 *
 * ```ts
 * import { Conversations } from "effect-dust/Conversations"
 * import * as Message from "effect-dust/Message"
 * import { Effect } from "effect"
 *
 * const transcript = (conversationId: string) =>
 *   Effect.flatMap(Conversations, (conversations) => conversations.listMessages(conversationId)).pipe(
 *     Effect.map((messages) =>
 *       messages.map((message) => `${Message.authorName(message)}: ${Message.plainText(message)}`).join("\n")
 *     )
 *   )
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Agent, ModelSelection, RunError } from "./Agent.ts"
import { ActionId, AgentId, FileId, MessageId, UserId } from "./Ids.ts"
import { type Directives, readDirectives } from "./internal/chat/directives.ts"
import { list, nullable, openLiteral, record, withDefault } from "./internal/decode/schema.ts"
import { User } from "./User.ts"

const shared = {
  sId: MessageId,
  /** Epoch milliseconds. */
  created: withDefault(Schema.Number, () => 0),
  /** `pending`: queued behind a running answer. */
  visibility: withDefault(openLiteral("visible", "deleted", "pending"), () => "visible"),
  /** 0-based; the last version of a message is the current one. */
  version: withDefault(Schema.Number, () => 0),
  /** The position in the conversation. */
  rank: nullable(Schema.Number)
}

/**
 * A mention of an agent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMention = Schema.Struct({ configurationId: AgentId })

/**
 * @category models
 * @since 0.1.0
 */
export interface AgentMention extends Schema.Schema.Type<typeof AgentMention> {}

/**
 * A mention of a person.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserMention = Schema.Struct({ type: Schema.Literal("user"), userId: UserId })

/**
 * @category models
 * @since 0.1.0
 */
export interface UserMention extends Schema.Schema.Type<typeof UserMention> {}

/**
 * A mention: of an agent, which answers the message, or of a person.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Mention = Schema.Union(UserMention, AgentMention)

/**
 * @category models
 * @since 0.1.0
 */
export type Mention = AgentMention | UserMention

/**
 * A mention with its name and status. Unless `status` is `approved`, the mentioned agent cannot answer, or the mentioned
 * person cannot read the conversation, at least not yet.
 *
 * @category schemas
 * @since 0.2.0
 */
export const RichMention = Schema.Struct({
  /** The id of the agent or the person. */
  id: withDefault(Schema.String, () => ""),
  type: withDefault(openLiteral("agent", "user"), () => ""),
  label: nullable(Schema.String),
  description: nullable(Schema.String),
  pictureUrl: nullable(Schema.String),
  status: nullable(
    openLiteral(
      "approved",
      "rejected",
      "pending_conversation_access",
      "pending_project_membership",
      "user_restricted_by_conversation_access",
      "agent_restricted_by_space_usage"
    )
  ),
  dismissed: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface RichMention extends Schema.Schema.Type<typeof RichMention> {}

/**
 * The application that a message came from. `api` is always accepted; the others require certain credentials and headers.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Origin = openLiteral(
  "api",
  "cli",
  "cli_programmatic",
  "email",
  "excel",
  "extension",
  "gsheet",
  "make",
  "n8n",
  "powerpoint",
  "raycast",
  "slack",
  "slack_workflow",
  "teams",
  "transcript",
  "triggered",
  "triggered_programmatic",
  "wakeup",
  "web",
  "zapier",
  "zendesk"
)

/**
 * @category models
 * @since 0.1.0
 */
export type Origin = typeof Origin.Type

/**
 * The author of a message, and the application that it came from.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserMessageContext = Schema.Struct({
  username: nullable(Schema.String),
  timezone: nullable(Schema.String),
  fullName: nullable(Schema.String),
  email: nullable(Schema.String),
  profilePictureUrl: nullable(Schema.String),
  origin: nullable(Origin),
  clientSideMCPServerIds: list(Schema.String),
  selectedMCPServerViewIds: list(Schema.String),
  excludedRetrievalTags: list(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface UserMessageContext extends Schema.Schema.Type<typeof UserMessageContext> {}

/**
 * An attachment of a conversation.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ContentFragment = Schema.Struct({
  type: Schema.Literal("content_fragment"),
  ...shared,
  title: withDefault(Schema.String, () => ""),
  contentType: withDefault(Schema.String, () => "application/octet-stream"),
  contentFragmentId: nullable(Schema.String),
  contentFragmentVersion: nullable(openLiteral("latest", "superseded")),
  contentFragmentType: nullable(openLiteral("file", "content_node")),
  /** Set if the content no longer exists; its other fields are then `null`. */
  expiredReason: nullable(openLiteral("data_source_deleted", "file_deleted")),
  sourceUrl: nullable(Schema.String),
  fileId: nullable(FileId),
  snippet: nullable(Schema.String),
  textUrl: nullable(Schema.String),
  textBytes: nullable(Schema.Number),
  generatedTables: list(Schema.String),
  nodeId: nullable(Schema.String),
  nodeDataSourceViewId: nullable(Schema.String),
  nodeType: nullable(openLiteral("document", "table", "folder")),
  /** The connector that the content comes from, such as `notion`. */
  sourceProvider: nullable(Schema.String),
  sourceIcon: nullable(Schema.String),
  /** The connector and the space of a node of a data source. */
  contentNodeData: nullable(Schema.Struct({ provider: nullable(Schema.String), spaceName: nullable(Schema.String) })),
  context: nullable(Schema.Struct({
    username: nullable(Schema.String),
    fullName: nullable(Schema.String),
    email: nullable(Schema.String),
    profilePictureUrl: nullable(Schema.String)
  }))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ContentFragment extends Schema.Schema.Type<typeof ContentFragment> {}

/**
 * An emoji reaction to a message.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Reaction = Schema.Struct({
  emoji: Schema.String,
  users: list(Schema.Struct({
    userId: nullable(Schema.Union(UserId, Schema.Number)),
    username: nullable(Schema.String),
    fullName: nullable(Schema.String)
  }))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface Reaction extends Schema.Schema.Type<typeof Reaction> {}

/**
 * A message of a person, or of a program with an API key.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserMessage = Schema.Struct({
  type: Schema.Literal("user_message"),
  ...shared,
  content: withDefault(Schema.String, () => ""),
  mentions: list(Mention),
  /** The mentions with their names, and whether they are allowed. */
  richMentions: list(RichMention),
  /** `null` if the message was sent with an API key, unless it was attributed to a member by e-mail address. */
  user: nullable(User),
  context: withDefault(UserMessageContext, () => emptyContext),
  contentFragments: list(ContentFragment),
  /** The accepted model selection. */
  requestedModel: nullable(ModelSelection),
  /** Set on messages that agents write to other agents. */
  agenticMessageData: nullable(Schema.Struct({
    type: withDefault(openLiteral("run_agent", "agent_handover"), () => ""),
    originMessageId: nullable(MessageId)
  })),
  reactions: list(Reaction),
  branchId: nullable(Schema.String)
})

const emptyContext: UserMessageContext = {
  username: null,
  timezone: null,
  fullName: null,
  email: null,
  profilePictureUrl: null,
  origin: null,
  clientSideMCPServerIds: [],
  selectedMCPServerViewIds: [],
  excludedRetrievalTags: []
}

/**
 * @category models
 * @since 0.1.0
 */
export interface UserMessage extends Schema.Schema.Type<typeof UserMessage> {}

/**
 * A file that an agent created.
 *
 * @category schemas
 * @since 0.1.0
 */
export const GeneratedFile = Schema.Struct({
  title: withDefault(Schema.String, () => ""),
  contentType: withDefault(Schema.String, () => "application/octet-stream"),
  /** For `Files.download`; `null` when it exists only as `filePath` in the conversation. */
  fileId: nullable(FileId),
  filePath: nullable(Schema.String),
  snippet: nullable(Schema.String),
  hidden: nullable(Schema.Boolean),
  isInProjectContext: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface GeneratedFile extends Schema.Schema.Type<typeof GeneratedFile> {}

/**
 * A tool call of an agent. `output` has the content blocks that the tool returned, as the Model Context Protocol defines them:
 * `{ type: "text", text }`, `{ type: "resource", resource }`, …
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentAction = Schema.Struct({
  sId: ActionId,
  toolName: withDefault(Schema.String, () => ""),
  mcpServerId: nullable(Schema.String),
  internalMCPServerName: nullable(Schema.String),
  functionCallName: nullable(Schema.String),
  functionCallId: nullable(Schema.String),
  status: nullable(openLiteral("running", "succeeded", "errored", "denied")),
  /** The input of the tool. */
  params: record,
  /** The step of the agent's loop. */
  step: nullable(Schema.Number),
  executionDurationMs: nullable(Schema.Number),
  output: nullable(Schema.Array(Schema.Record({ key: Schema.String, value: Schema.Unknown }))),
  generatedFiles: list(GeneratedFile),
  displayLabels: nullable(Schema.Struct({ running: nullable(Schema.String), done: nullable(Schema.String) })),
  createdAt: nullable(Schema.Number),
  updatedAt: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface AgentAction extends Schema.Schema.Type<typeof AgentAction> {}

/**
 * The answer of an agent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AgentMessage = Schema.Struct({
  type: Schema.Literal("agent_message"),
  ...shared,
  /** The user message that it answers. */
  parentMessageId: nullable(MessageId),
  /** The agent message that handed the conversation over. */
  parentAgentMessageId: nullable(MessageId),
  /** The agent at the time of the run. */
  configuration: nullable(Agent),
  /** `created` while it runs; every other value is final. */
  status: withDefault(openLiteral("created", "succeeded", "failed", "cancelled"), () => "created"),
  /** The answer, as Markdown; `null` while it runs. */
  content: nullable(Schema.String),
  chainOfThought: nullable(Schema.String),
  actions: list(AgentAction),
  /** The reason of a failure. */
  error: nullable(RunError),
  completedTs: nullable(Schema.Number),
  completionDurationMs: nullable(Schema.Number),
  /** Billed credits; `null` until they are settled. */
  costCredits: nullable(Schema.Number),
  /** Billed credits of its sub-agents. */
  subAgentCostCredits: nullable(Schema.Number),
  resolvedModel: nullable(ModelSelection),
  /** The origin of the choice of model. */
  modelResolutionMethod: nullable(openLiteral("agent", "user", "auto")),
  /** The time that the model took, in milliseconds. */
  modelInteractionDurationMs: nullable(Schema.Number),
  /** Whether its tools ran without approval. */
  skipToolsValidation: nullable(Schema.Boolean),
  /** Whether parts of the conversation were dropped because it was too long for the model. */
  prunedContext: nullable(Schema.Boolean),
  /** The raw content of each step: `{ type: "text_content", value }`, … */
  contents: list(Schema.Struct({ step: Schema.Number, content: record })),
  /** The text of each step. */
  rawContents: list(Schema.Struct({ step: Schema.Number, content: withDefault(Schema.String, () => "") })),
  richMentions: list(RichMention),
  reactions: list(Reaction)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface AgentMessage extends Schema.Schema.Type<typeof AgentMessage> {}

/**
 * A message of an unknown kind or shape. `raw` is the value that the server sent.
 *
 * @category schemas
 * @since 0.1.0
 */
export interface UnknownMessage {
  readonly type: "unknown"
  /** Empty if the server sent none. */
  readonly sId: MessageId
  /** The server's own `type`. */
  readonly kind: string | null
  readonly visibility: string
  readonly version: number
  readonly rank: number | null
  readonly created: number
  readonly raw: unknown
}

const Raw = Schema.Struct({
  type: nullable(Schema.String),
  ...shared,
  sId: withDefault(MessageId, () => "")
})

const decodeRaw = Schema.decodeUnknownSync(Raw)

/**
 * @category schemas
 * @since 0.1.0
 */
export const UnknownMessage: Schema.Schema<UnknownMessage, unknown> = Schema.transform(
  Schema.Unknown,
  Schema.Struct({
    type: Schema.Literal("unknown"),
    sId: MessageId,
    kind: Schema.NullOr(Schema.String),
    visibility: Schema.String,
    version: Schema.Number,
    rank: Schema.NullOr(Schema.Number),
    created: Schema.Number,
    raw: Schema.Unknown
  }),
  {
    strict: true,
    decode: (raw): UnknownMessage => {
      const known = decodeRaw(typeof raw === "object" && raw !== null && !Array.isArray(raw) ? raw : {})
      return { ...known, type: "unknown", kind: known.type, raw }
    },
    encode: (message) => message.raw
  }
)

/**
 * @category models
 * @since 0.1.0
 */
export type Message = UserMessage | AgentMessage | ContentFragment | UnknownMessage

/**
 * A message of a conversation. `type` discriminates the union.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Message: Schema.Schema<Message, unknown> = Schema.Union(
  UserMessage,
  AgentMessage,
  ContentFragment,
  UnknownMessage
)

/**
 * Returns the name of the author: of the person or of the agent. Empty if unknown.
 *
 * @category accessors
 * @since 0.1.0
 */
export const authorName = (message: Message): string => {
  switch (message.type) {
    case "user_message":
      return message.user?.fullName ?? message.context.fullName ?? message.context.username ?? ""
    case "agent_message":
      return message.configuration?.name ?? ""
    case "content_fragment":
      return message.context?.fullName ?? message.context?.username ?? ""
    case "unknown":
      return ""
  }
}

/**
 * Returns the text of a message, or the title of an attachment.
 *
 * @category accessors
 * @since 0.1.0
 */
export const text = (message: Message): string => {
  switch (message.type) {
    case "user_message":
      return message.content
    case "agent_message":
      return message.content ?? ""
    case "content_fragment":
      return message.title
    case "unknown":
      return ""
  }
}

/**
 * Separates the directives that agents write into their Markdown from the text: citations (`:cite[…]`), mentions
 * (`:mention[…]`) and visualizations (`:::visualization`). In `text`, a mention becomes `@name`, a citation becomes `[1]`,
 * and visualizations are removed. Code blocks are left unchanged.
 *
 * @example
 * ```ts
 * import * as Message from "effect-dust/Message"
 *
 * const { citations, text } = Message.directives("Sales rose :cite[abc,def]{} says :mention[dust]{sId=dust}.")
 * // text: "Sales rose [1][2] says @dust.", citations: ["abc", "def"]
 * ```
 *
 * @category accessors
 * @since 0.2.0
 */
export const directives = (message: Message | string): Directives =>
  readDirectives(typeof message === "string" ? message : text(message))

/**
 * Returns the text of a message as plain Markdown, to show outside Dust. See {@link directives}.
 *
 * @category accessors
 * @since 0.2.0
 */
export const plainText = (message: Message | string): string => directives(message).text

export type {
  /**
   * @category models
   * @since 0.2.0
   */
  Directives
}

/**
 * Returns whether an answer is final, successful or not. Every status except `created` is final, unknown ones included.
 *
 * @category guards
 * @since 0.1.0
 */
export const isFinal = (message: AgentMessage): boolean => message.status !== "created"

/**
 * Returns whether a message is the answer of an agent.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAgentMessage = (message: Message): message is AgentMessage => message.type === "agent_message"

/**
 * Returns whether a message was sent by a person or with an API key.
 *
 * @category guards
 * @since 0.1.0
 */
export const isUserMessage = (message: Message): message is UserMessage => message.type === "user_message"

/**
 * Mentions an agent by id.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mentionAgent = (agentId: AgentId): AgentMention => ({ configurationId: agentId })

/**
 * Mentions a person by user id.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mentionUser = (userId: UserId): UserMention => ({ type: "user", userId })
