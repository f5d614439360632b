/**
 * Ids of Dust's resources: short opaque strings, which the API calls `sId`.
 *
 * Each kind has its own type, so that a message id cannot be passed where a conversation id is required. A plain string is
 * assignable to all of them:
 *
 * ```ts
 * import type { ConversationId } from "effect-dust/Ids"
 *
 * const conversationId: ConversationId = "cnv_9gY7BmTQ"
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A string of one kind. `string` is assignable to it; an id of another kind is not.
 *
 * @category models
 * @since 0.1.0
 */
export type Id<Kind extends string> = string & { readonly "~effect-dust/id"?: Kind }

const id = <const Kind extends string>(identifier: Kind): Schema.Schema<Id<Kind>, string> =>
  Schema.make<Id<Kind>, string>(Schema.String.annotations({ identifier }).ast)

/** Identifies a workspace: the part of its address after `/w/`. @category ids @since 0.1.0 */
export type WorkspaceId = Id<"WorkspaceId">
/** @category schemas @since 0.1.0 */
export const WorkspaceId: Schema.Schema<WorkspaceId, string> = id("WorkspaceId")

/** Identifies a conversation. From `Conversations.create` or `Reply.conversationId`. @category ids @since 0.1.0 */
export type ConversationId = Id<"ConversationId">
/** @category schemas @since 0.1.0 */
export const ConversationId: Schema.Schema<ConversationId, string> = id("ConversationId")

/** Identifies a message of a user or an agent. Each version of a message has its own id. @category ids @since 0.1.0 */
export type MessageId = Id<"MessageId">
/** @category schemas @since 0.1.0 */
export const MessageId: Schema.Schema<MessageId, string> = id("MessageId")

/** Identifies an agent. Dust's own agents have fixed ids such as `dust`; `Agents.findByName` returns others. @category ids @since 0.1.0 */
export type AgentId = Id<"AgentId">
/** @category schemas @since 0.1.0 */
export const AgentId: Schema.Schema<AgentId, string> = id("AgentId")

/** Identifies a member. From `Workspace.listMembers`. @category ids @since 0.1.0 */
export type UserId = Id<"UserId">
/** @category schemas @since 0.1.0 */
export const UserId: Schema.Schema<UserId, string> = id("UserId")

/** Identifies one tool call of an agent. @category ids @since 0.1.0 */
export type ActionId = Id<"ActionId">
/** @category schemas @since 0.1.0 */
export const ActionId: Schema.Schema<ActionId, string> = id("ActionId")

/** Identifies an event of a stream, `<milliseconds>-<counter>`: the cursor to continue from. @category ids @since 0.1.0 */
export type EventId = Id<"EventId">
/** @category schemas @since 0.1.0 */
export const EventId: Schema.Schema<EventId, string> = id("EventId")

/** Identifies a file. From `Files.upload`. @category ids @since 0.1.0 */
export type FileId = Id<"FileId">
/** @category schemas @since 0.1.0 */
export const FileId: Schema.Schema<FileId, string> = id("FileId")

/** Identifies a space. From `Spaces.list` or `Spaces.findByName`. @category ids @since 0.1.0 */
export type SpaceId = Id<"SpaceId">
/** @category schemas @since 0.1.0 */
export const SpaceId: Schema.Schema<SpaceId, string> = id("SpaceId")

/** Identifies a data source. From `DataSources.list` or `DataSources.findByName`. @category ids @since 0.1.0 */
export type DataSourceId = Id<"DataSourceId">
/** @category schemas @since 0.1.0 */
export const DataSourceId: Schema.Schema<DataSourceId, string> = id("DataSourceId")

/** Identifies a view of a data source. From `DataSourceViews.list` or `DataSourceViews.findByName`. @category ids @since 0.1.0 */
export type DataSourceViewId = Id<"DataSourceViewId">
/** @category schemas @since 0.1.0 */
export const DataSourceViewId: Schema.Schema<DataSourceViewId, string> = id("DataSourceViewId")

/** Identifies a document. Chosen by the caller: any non-empty string except `.` and `..`. @category ids @since 0.1.0 */
export type DocumentId = Id<"DocumentId">
/** @category schemas @since 0.1.0 */
export const DocumentId: Schema.Schema<DocumentId, string> = id("DocumentId")

/** Identifies a table. Chosen by the caller, or by Dust if omitted. @category ids @since 0.1.0 */
export type TableId = Id<"TableId">
/** @category schemas @since 0.1.0 */
export const TableId: Schema.Schema<TableId, string> = id("TableId")

/** Identifies a row of a table. Chosen by the caller. @category ids @since 0.1.0 */
export type RowId = Id<"RowId">
/** @category schemas @since 0.1.0 */
export const RowId: Schema.Schema<RowId, string> = id("RowId")

/** Identifies an app. From `Apps.list`. @category ids @since 0.1.0 */
export type AppId = Id<"AppId">
/** @category schemas @since 0.1.0 */
export const AppId: Schema.Schema<AppId, string> = id("AppId")

/** Identifies a run of an app. @category ids @since 0.1.0 */
export type RunId = Id<"RunId">
/** @category schemas @since 0.1.0 */
export const RunId: Schema.Schema<RunId, string> = id("RunId")

/** Identifies a client-side MCP server while it is registered. From `Server.serverId`. @category ids @since 0.1.0 */
export type McpServerId = Id<"McpServerId">
/** @category schemas @since 0.1.0 */
export const McpServerId: Schema.Schema<McpServerId, string> = id("McpServerId")

/** Identifies an MCP server in a space. From `Spaces.listMcpServerViews`. @category ids @since 0.1.0 */
export type McpServerViewId = Id<"McpServerViewId">
/** @category schemas @since 0.1.0 */
export const McpServerViewId: Schema.Schema<McpServerViewId, string> = id("McpServerViewId")

/** Identifies a trigger. From `Triggers.list`. @category ids @since 0.1.0 */
export type TriggerId = Id<"TriggerId">
/** @category schemas @since 0.1.0 */
export const TriggerId: Schema.Schema<TriggerId, string> = id("TriggerId")

/** Identifies a skill. From `Skills.list`. @category ids @since 0.1.0 */
export type SkillId = Id<"SkillId">
/** @category schemas @since 0.1.0 */
export const SkillId: Schema.Schema<SkillId, string> = id("SkillId")
