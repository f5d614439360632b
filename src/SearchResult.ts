/**
 * Results of `Search`: nodes of the workspace, and files of connected tools.
 *
 * ```ts
 * import type { UnifiedResults } from "effect-dust/SearchResult"
 *
 * const titles = (results: UnifiedResults) =>
 *   results._tag === "KnowledgeResults"
 *     ? results.nodes.map((node) => node.title)
 *     : results._tag === "ToolResults"
 *     ? results.files.map((file) => file.title)
 *     : []
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { DataSource, DataSourceView } from "./DataSource.ts"
import { McpServerViewId } from "./Ids.ts"
import { list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * A document, a table or a folder. It can be in several views. To attach it to a message, pass `internalId` as `nodeId`, and
 * the `sId` of one of its `dataSourceViews` as `nodeDataSourceViewId`.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Node = Schema.Struct({
  internalId: Schema.String,
  title: withDefault(Schema.String, () => ""),
  type: openLiteral("document", "table", "folder"),
  mimeType: nullable(Schema.String),
  /** Whether it has child nodes. */
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
  /** `truncated-query-clauses`: the query was too long, and a part of it was dropped. */
  warningCode: nullable(openLiteral("truncated-query-clauses")),
  /** Pass it as `cursor` for the next page. `null` on the last one. */
  nextPageCursor: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface NodePage extends Schema.Schema.Type<typeof NodePage> {}

/**
 * A file of a connected tool. `Search.uploadToolFile` copies it into Dust.
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
 * Nodes of the workspace. Emitted once per search.
 *
 * @category models
 * @since 0.2.0
 */
export interface KnowledgeResults extends NodePage {
  readonly _tag: "KnowledgeResults"
}

/**
 * Files of one connected tool.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolResults {
  readonly _tag: "ToolResults"
  readonly files: ReadonlyArray<ToolFile>
}

/**
 * Results of an unknown kind. `raw` is the value that the server sent.
 *
 * @category models
 * @since 0.2.0
 */
export interface UnknownResults {
  readonly _tag: "UnknownResults"
  readonly raw: unknown
}

/**
 * The results of one source. `_tag` discriminates the union.
 *
 * @category models
 * @since 0.2.0
 */
export type UnifiedResults = KnowledgeResults | ToolResults | UnknownResults
