/**
 * The identifiers of Dust: short opaque strings, which the server calls `sId`.
 *
 * Each kind has a type of its own, so that a message id cannot be passed where a conversation id is wanted; a plain string
 * literal or variable satisfies all of them.
 *
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

/** The part after `/w/` in the address of a workspace. @category ids @since 0.1.0 */
export type WorkspaceId = Id<"WorkspaceId">
/** @category schemas @since 0.1.0 */
export const WorkspaceId: Schema.Schema<WorkspaceId, string> = id("WorkspaceId")

/** `Conversations.create` and `Reply.conversationId` give it. @category ids @since 0.1.0 */
export type ConversationId = Id<"ConversationId">
/** @category schemas @since 0.1.0 */
export const ConversationId: Schema.Schema<ConversationId, string> = id("ConversationId")

/** Of a message of a user or an agent. Each version of a message has its own. @category ids @since 0.1.0 */
export type MessageId = Id<"MessageId">
/** @category schemas @since 0.1.0 */
export const MessageId: Schema.Schema<MessageId, string> = id("MessageId")

/** Agents of Dust have fixed ones such as `dust`; others are found with `Agents.findByName`. @category ids @since 0.1.0 */
export type AgentId = Id<"AgentId">
/** @category schemas @since 0.1.0 */
export const AgentId: Schema.Schema<AgentId, string> = id("AgentId")

/** Of a member; `Workspace.members` has them. @category ids @since 0.1.0 */
export type UserId = Id<"UserId">
/** @category schemas @since 0.1.0 */
export const UserId: Schema.Schema<UserId, string> = id("UserId")

/** Of one use of a tool by an agent. @category ids @since 0.1.0 */
export type ActionId = Id<"ActionId">
/** @category schemas @since 0.1.0 */
export const ActionId: Schema.Schema<ActionId, string> = id("ActionId")

/** The id of one event of a stream, `<milliseconds>-<counter>`: the cursor to continue from. @category ids @since 0.1.0 */
export type EventId = Id<"EventId">
/** @category schemas @since 0.1.0 */
export const EventId: Schema.Schema<EventId, string> = id("EventId")

/** `Files.upload` gives it. @category ids @since 0.1.0 */
export type FileId = Id<"FileId">
/** @category schemas @since 0.1.0 */
export const FileId: Schema.Schema<FileId, string> = id("FileId")

/** `Spaces.list` and `Spaces.findByName` give it. @category ids @since 0.1.0 */
export type SpaceId = Id<"SpaceId">
/** @category schemas @since 0.1.0 */
export const SpaceId: Schema.Schema<SpaceId, string> = id("SpaceId")

/** `DataSources.list` and `DataSources.findByName` give it. @category ids @since 0.1.0 */
export type DataSourceId = Id<"DataSourceId">
/** @category schemas @since 0.1.0 */
export const DataSourceId: Schema.Schema<DataSourceId, string> = id("DataSourceId")

/** `DataSourceViews.list` and `DataSourceViews.findByName` give it. @category ids @since 0.1.0 */
export type DataSourceViewId = Id<"DataSourceViewId">
/** @category schemas @since 0.1.0 */
export const DataSourceViewId: Schema.Schema<DataSourceViewId, string> = id("DataSourceViewId")

/** Chosen by the caller: any non-empty string except `.` and `..`. @category ids @since 0.1.0 */
export type DocumentId = Id<"DocumentId">
/** @category schemas @since 0.1.0 */
export const DocumentId: Schema.Schema<DocumentId, string> = id("DocumentId")

/** Chosen by the caller, or by the server when none is given. @category ids @since 0.1.0 */
export type TableId = Id<"TableId">
/** @category schemas @since 0.1.0 */
export const TableId: Schema.Schema<TableId, string> = id("TableId")

/** Chosen by the caller. @category ids @since 0.1.0 */
export type RowId = Id<"RowId">
/** @category schemas @since 0.1.0 */
export const RowId: Schema.Schema<RowId, string> = id("RowId")

/** `Apps.list` gives it. @category ids @since 0.1.0 */
export type AppId = Id<"AppId">
/** @category schemas @since 0.1.0 */
export const AppId: Schema.Schema<AppId, string> = id("AppId")

/** Of a run of an app. @category ids @since 0.1.0 */
export type RunId = Id<"RunId">
/** @category schemas @since 0.1.0 */
export const RunId: Schema.Schema<RunId, string> = id("RunId")

/** Of a client-side MCP server while it is registered: `Server.serverId` gives it. @category ids @since 0.1.0 */
export type McpServerId = Id<"McpServerId">
/** @category schemas @since 0.1.0 */
export const McpServerId: Schema.Schema<McpServerId, string> = id("McpServerId")

/** Of a tool server in one space; `Spaces.listMcpServerViews` has them. @category ids @since 0.1.0 */
export type McpServerViewId = Id<"McpServerViewId">
/** @category schemas @since 0.1.0 */
export const McpServerViewId: Schema.Schema<McpServerViewId, string> = id("McpServerViewId")

/** `Triggers.list` gives it. @category ids @since 0.1.0 */
export type TriggerId = Id<"TriggerId">
/** @category schemas @since 0.1.0 */
export const TriggerId: Schema.Schema<TriggerId, string> = id("TriggerId")

/** `Skills.list` gives it. @category ids @since 0.1.0 */
export type SkillId = Id<"SkillId">
/** @category schemas @since 0.1.0 */
export const SkillId: Schema.Schema<SkillId, string> = id("SkillId")
