/**
 * Usage of a workspace: rows of the analytics tables, and billed calls of models and tools. `Workspace` returns both.
 *
 * ```ts
 * import type { AnalyticsRow } from "effect-dust/Usage"
 * import { Workspace } from "effect-dust/Workspace"
 * import { Effect } from "effect"
 *
 * const label = (row: AnalyticsRow<"agents">) => `${row.name}: ${row.messages ?? 0} messages`
 *
 * const report = Effect.flatMap(Workspace, (workspace) =>
 *   workspace.analytics({ table: "agents", startDate: "2026-01-01", endDate: "2026-01-31" })).pipe(
 *     Effect.map((rows) => rows.map(label))
 *   )
 * ```
 *
 * @packageDocumentation
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
 * The rows of the analytics tables, by the name of the table. A missing column is `null`, a missing list is empty, and a
 * missing text or id is `""`. Unknown columns are dropped; `analyticsCsv` returns all columns.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AnalyticsRows = {
  usage_metrics: Schema.Struct({ date: text, messages: count, conversations: count, activeUsers: count }),
  /** Daily, weekly and monthly active users. */
  active_users: Schema.Struct({ date: text, dau: count, wau: count, mau: count }),
  /** Messages by origin. */
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
 * A row of an analytics table.
 *
 * @category models
 * @since 0.2.0
 */
export type AnalyticsRow<Table extends AnalyticsTable> = Schema.Schema.Type<(typeof AnalyticsRows)[Table]>

/**
 * Selects an analytics table and a period.
 *
 * @category models
 * @since 0.2.0
 */
export interface AnalyticsOptions<Table extends string = AnalyticsTable> {
  readonly table: Table
  /** The first day, `YYYY-MM-DD`. */
  readonly startDate: string
  /** The last day (inclusive), `YYYY-MM-DD`. */
  readonly endDate: string
  /** The time zone of the days, an IANA name. Defaults to `UTC`. */
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
  /** The kind of the call: of a model or of a tool. */
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
 * Selects calls that have one of the values of every given list. At most 500 values in total, of 256 characters each.
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
 * Selects calls and a period.
 *
 * @category models
 * @since 0.2.0
 */
export interface ConsumptionOptions {
  /** The start of the period. Text must be ISO 8601; without an offset it is UTC. */
  readonly startDate: DateTime.Utc | Date | string
  /** The end of the period (exclusive), at most 30 days after the start. */
  readonly endDate: DateTime.Utc | Date | string
  readonly filter?: ConsumptionFilter | undefined
}
