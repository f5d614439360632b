/**
 * What a search over the workspace finds: nodes, and files of connected tools.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { DataSource, DataSourceView } from "./DataSource.ts"
import { McpServerViewId } from "./Ids.ts"
import { list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * A document, a table or a folder. `internalId` together with the `sId` of one of its `dataSourceViews` is what a content
 * fragment wants as `nodeId` and `nodeDataSourceViewId`. It can be in several views.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Node = Schema.Struct({
  internalId: Schema.String,
  title: withDefault(Schema.String, () => ""),
  type: openLiteral("document", "table", "folder"),
  mimeType: nullable(Schema.String),
  /** Whether it has nodes below it. */
  expandable: nullable(Schema.Boolean),
  /** Epoch milliseconds. */
  lastUpdatedAt: nullable(Schema.Number),
  parentInternalId: nullable(Schema.String),
  parentsInternalIds: list(Schema.String),
  parentTitle: nullable(Schema.String),
  sourceUrl: nullable(Schema.String),
  providerVisibility: nullable(openLiteral("public", "private")),
  preventSelection: nullable(Schema.Boolean),
  dataSource: nullable(DataSource),
  dataSourceViews: list(DataSourceView)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface Node extends Schema.Schema.Type<typeof Node> {}

/**
 * A page of nodes.
 *
 * @category schemas
 * @since 0.2.0
 */
export const NodePage = Schema.Struct({
  nodes: list(Node),
  /** The total number of results, if the server returns it. */
  resultsCount: nullable(Schema.Number),
  /** `truncated-query-clauses`: the query was too long, a part of it was left out. */
  warningCode: nullable(openLiteral("truncated-query-clauses")),
  /** Pass it as `cursor` for the next page; `null`: this is the last one. */
  nextPageCursor: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface NodePage extends Schema.Schema.Type<typeof NodePage> {}

/**
 * A file that a connected tool has found. `Search.uploadToolFile` copies it into Dust.
 *
 * @category schemas
 * @since 0.2.0
 */
export const ToolFile = Schema.Struct({
  externalId: Schema.String,
  serverViewId: McpServerViewId,
  internalId: nullable(Schema.String),
  title: withDefault(Schema.String, () => ""),
  type: nullable(Schema.String),
  mimeType: nullable(Schema.String),
  serverName: nullable(Schema.String),
  serverIcon: nullable(Schema.String),
  sourceUrl: nullable(Schema.String),
  url: nullable(Schema.String),
  score: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface ToolFile extends Schema.Schema.Type<typeof ToolFile> {}

/**
 * Nodes of the workspace: the first, and only, answer of its own knowledge.
 *
 * @category models
 * @since 0.2.0
 */
export interface KnowledgeResults extends NodePage {
  readonly _tag: "KnowledgeResults"
}

/**
 * Files that one connected tool has found.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolResults {
  readonly _tag: "ToolResults"
  readonly files: ReadonlyArray<ToolFile>
}

/**
 * Results of a kind that this version does not know, as they came.
 *
 * @category models
 * @since 0.2.0
 */
export interface UnknownResults {
  readonly _tag: "UnknownResults"
  readonly raw: unknown
}

/**
 * The results of one source, by `_tag`.
 *
 * @category models
 * @since 0.2.0
 */
export type UnifiedResults = KnowledgeResults | ToolResults | UnknownResults
