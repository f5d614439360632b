/**
 * Usage of a workspace: the rows of the analytics tables, and billed calls of models and tools.
 *
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { AgentId, ConversationId, MessageId, SkillId, SpaceId, TriggerId, UserId } from "./Ids.ts"
import { nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

const text = nullable(Schema.String)
const count = nullable(Schema.Union(Schema.Number, Schema.NumberFromString))
const flag = nullable(Schema.Union(
  Schema.Boolean,
  Schema.transform(Schema.Literal("true", "false"), Schema.Boolean, {
    decode: (value) => value === "true",
    encode: (value) => value ? "true" as const : "false" as const
  })
))
// Lists come as arrays, or as one text.
const texts = withDefault(
  Schema.Union(
    Schema.Array(Schema.String),
    Schema.transform(Schema.String, Schema.Array(Schema.String), {
      decode: (value) => value.split(";").map((one) => one.trim()).filter((one) => one !== ""),
      encode: (values) => values.join("; ")
    })
  ),
  () => []
)

/**
 * The rows of the analytics tables, by the name of the table. A column that the server does not send is `null` (a list:
 * empty), a text that it has not, ids included, is `""`; columns that were added since are left out.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AnalyticsRows = {
  usage_metrics: Schema.Struct({ date: text, messages: count, conversations: count, activeUsers: count }),
  /** Daily, weekly and monthly active users. */
  active_users: Schema.Struct({ date: text, dau: count, wau: count, mau: count }),
  /** Where messages came from. */
  source: Schema.Struct({ date: text, source: text, messageCount: count }),
  agents: Schema.Struct({
    agentId: nullable(AgentId),
    name: text,
    description: text,
    settings: nullable(openLiteral("published", "unpublished", "unknown", "global")),
    modelId: text,
    providerId: text,
    authorEmails: texts,
    editorEmails: texts,
    messages: count,
    distinctUsersReached: count,
    distinctConversations: count,
    lastEdit: text,
    credits: count
  }),
  users: Schema.Struct({
    userId: nullable(UserId),
    userName: text,
    userEmail: text,
    messageCount: count,
    lastMessageSent: text,
    activeDaysCount: count,
    groups: texts,
    credits: count
  }),
  skills: Schema.Struct({
    skillId: nullable(SkillId),
    name: text,
    description: text,
    editedByEmail: text,
    createdAt: text,
    lastEdit: text
  }),
  skill_usage: Schema.Struct({ date: text, skillName: text, executions: count, uniqueUsers: count }),
  tool_usage: Schema.Struct({ date: text, toolName: text, executions: count, uniqueUsers: count }),
  messages: Schema.Struct({
    messageId: nullable(MessageId),
    createdAt: text,
    assistantId: nullable(AgentId),
    assistantName: text,
    assistantSettings: text,
    assistantTags: texts,
    conversationId: nullable(ConversationId),
    parentMessageId: nullable(MessageId),
    userId: nullable(UserId),
    userEmail: text,
    source: text,
    toolsUsed: texts,
    skillsUsed: texts,
    modelId: text,
    modelProviderId: text,
    modelResolutionMethod: nullable(openLiteral("agent", "user", "auto")),
    credits: count
  }),
  feedback: Schema.Struct({
    feedbackId: nullable(Schema.Union(Schema.String, Schema.Number)),
    createdAt: text,
    assistantId: nullable(AgentId),
    assistantName: text,
    conversationId: nullable(ConversationId),
    conversationUrl: text,
    userId: nullable(UserId),
    userEmail: text,
    thumb: nullable(openLiteral("up", "down")),
    content: text,
    dismissed: flag
  })
} as const

/**
 * The names of the analytics tables.
 *
 * @category models
 * @since 0.2.0
 */
export type AnalyticsTable = keyof typeof AnalyticsRows

/**
 * A row of one of the tables.
 *
 * @category models
 * @since 0.2.0
 */
export type AnalyticsRow<Table extends AnalyticsTable> = Schema.Schema.Type<(typeof AnalyticsRows)[Table]>

/**
 * Which table, of which days.
 *
 * @category models
 * @since 0.2.0
 */
export interface AnalyticsOptions<Table extends string = AnalyticsTable> {
  readonly table: Table
  /** The first day, `YYYY-MM-DD`. */
  readonly startDate: string
  /** The last day, itself included, `YYYY-MM-DD`. */
  readonly endDate: string
  /** An IANA name, which says when days begin. Default `UTC`. */
  readonly timezone?: string | undefined
}

/**
 * One billed call of a model or a tool.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ConsumptionRow = Schema.Struct({
  completedAt: text,
  /** Whether a model or a tool was called. */
  consumptionType: text,
  usageType: text,
  status: text,
  conversationId: nullable(ConversationId),
  spaceId: nullable(SpaceId),
  agentMessageId: nullable(MessageId),
  agentId: nullable(AgentId),
  agentName: text,
  agentVersion: count,
  agentTagIds: texts,
  agentRootId: nullable(AgentId),
  agentParentId: nullable(AgentId),
  agentDepth: count,
  modelProviderId: text,
  modelId: text,
  modelName: text,
  modelReasoningEffort: text,
  modelResolutionMethod: text,
  userId: nullable(UserId),
  userName: text,
  userGroupIds: texts,
  userGroupNames: texts,
  triggerId: nullable(TriggerId),
  contextOrigin: text,
  apiKeyName: text,
  toolName: text,
  toolServerName: text,
  toolDisplayName: text,
  toolParentServerName: text,
  toolActionId: text,
  attributedSkillIds: texts,
  attributedSkillNames: texts,
  creditsSystem: count,
  creditsInput: count,
  creditsOutput: count,
  creditsReasoning: count,
  creditsAction: count,
  totalCredits: count,
  stepIndex: count,
  executionTimeMs: count
})

/**
 * @category models
 * @since 0.2.0
 */
export interface ConsumptionRow extends Schema.Schema.Type<typeof ConsumptionRow> {}

/**
 * Only calls with one of the values of each list. At most 500 values in all, of 256 characters each.
 *
 * @category models
 * @since 0.2.0
 */
export interface ConsumptionFilter {
  readonly agents?: ReadonlyArray<string> | undefined
  readonly users?: ReadonlyArray<string> | undefined
  readonly apiKeys?: ReadonlyArray<string> | undefined
  readonly groups?: ReadonlyArray<string> | undefined
  readonly models?: ReadonlyArray<string> | undefined
  readonly tools?: ReadonlyArray<string> | undefined
  readonly skills?: ReadonlyArray<string> | undefined
  readonly sources?: ReadonlyArray<string> | undefined
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * Which calls, of which period.
 *
 * @category models
 * @since 0.2.0
 */
export interface ConsumptionOptions {
  /** From this instant on. A text is ISO 8601, and UTC unless it says otherwise. */
  readonly startDate: DateTime.Utc | Date | string
  /** Before this instant, at most 30 days later. */
  readonly endDate: DateTime.Utc | Date | string
  readonly filter?: ConsumptionFilter | undefined
}
