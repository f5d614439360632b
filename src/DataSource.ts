/**
 * Data sources: what they hold (documents, tables, rows) and how they are seen (views).
 *
 * Ids and discriminators are required of what the server sends, everything else is `null` or empty when it is missing.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { DataSourceId, DataSourceViewId, DocumentId, RowId, SpaceId, TableId } from "./Ids.ts"
import { list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * Who changed something last.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EditedBy = Schema.Struct({
  /** Epoch milliseconds. */
  editedAt: nullable(Schema.Number),
  fullName: nullable(Schema.String),
  imageUrl: nullable(Schema.String),
  email: nullable(Schema.String),
  userId: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface EditedBy extends Schema.Schema.Type<typeof EditedBy> {}

/**
 * A data source. It lives in one space; views can show it, or a part of it, in others.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DataSource = Schema.Struct({
  sId: DataSourceId,
  name: withDefault(Schema.String, () => ""),
  description: nullable(Schema.String),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  assistantDefaultSelected: nullable(Schema.Boolean),
  /** `null` for a folder, see {@link isFolder}. */
  connectorId: nullable(Schema.String),
  /** `null` for a folder, `webcrawler` for a website; anything else is a managed connection, read-only for ordinary keys. */
  connectorProvider: nullable(openLiteral(
    "bigquery",
    "confluence",
    "discord_bot",
    "github",
    "gong",
    "google_drive",
    "intercom",
    "microsoft",
    "microsoft_bot",
    "notion",
    "salesforce",
    "slack",
    "slack_bot",
    "snowflake",
    "webcrawler",
    "zendesk"
  )),
  dustAPIProjectId: nullable(Schema.String),
  dustAPIDataSourceId: nullable(Schema.String),
  editedByUser: nullable(EditedBy)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface DataSource extends Schema.Schema.Type<typeof DataSource> {}

/**
 * Whether a data source is a folder: documents and tables can be written to it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isFolder = (dataSource: Pick<DataSource, "connectorProvider">): boolean =>
  dataSource.connectorProvider === null

/**
 * Whether a data source is a website that Dust reads by itself.
 *
 * @category guards
 * @since 0.1.0
 */
export const isWebsite = (dataSource: Pick<DataSource, "connectorProvider">): boolean =>
  dataSource.connectorProvider === "webcrawler"

/**
 * A part of a document, as it is searched. In search results these are the passages that match.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DocumentChunk = Schema.Struct({
  text: withDefault(Schema.String, () => ""),
  hash: nullable(Schema.String),
  /** The position in the document, counted in chunks. */
  offset: withDefault(Schema.Number, () => 0),
  /** The embedding; rarely sent. */
  vector: nullable(Schema.Array(Schema.Number)),
  /** How well it matches, in search results. */
  score: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface DocumentChunk extends Schema.Schema.Type<typeof DocumentChunk> {}

/**
 * A document. In search results `chunks` are the passages that match; `text` is `null` unless the server sends it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Document = Schema.Struct({
  documentId: Schema.propertySignature(DocumentId).pipe(Schema.fromKey("document_id")),
  dataSourceId: nullable(Schema.String).pipe(Schema.fromKey("data_source_id")),
  /** Epoch milliseconds. */
  created: withDefault(Schema.Number, () => 0),
  title: nullable(Schema.String),
  mimeType: nullable(Schema.String).pipe(Schema.fromKey("mime_type")),
  /** Epoch milliseconds; what it was upserted with, else when it was. */
  timestamp: withDefault(Schema.Number, () => 0),
  tags: list(Schema.String),
  /** The document itself, then its parents from the nearest to the farthest. */
  parents: list(Schema.String),
  parentId: nullable(Schema.String).pipe(Schema.fromKey("parent_id")),
  sourceUrl: nullable(Schema.String).pipe(Schema.fromKey("source_url")),
  /** Changes with the content. It is Dust's own: the content alone does not give it. */
  hash: nullable(Schema.String),
  textSize: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("text_size")),
  chunkCount: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("chunk_count")),
  chunks: list(DocumentChunk),
  text: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Document extends Schema.Schema.Type<typeof Document> {}

/**
 * What an upsert says of a document in the mode `light`. There is no id in it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LightDocument = Schema.Struct({
  hash: nullable(Schema.String),
  textSize: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("text_size")),
  chunkCount: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("chunk_count")),
  tokenCount: nullable(Schema.Number).pipe(Schema.fromKey("token_count")),
  /** Epoch milliseconds. */
  created: withDefault(Schema.Number, () => 0)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface LightDocument extends Schema.Schema.Type<typeof LightDocument> {}

/**
 * A text with a structure: each chunk that is made of it begins with the prefixes above it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Section {
  /** A heading, repeated at the beginning of each chunk below it. */
  readonly prefix?: string | null | undefined
  readonly content?: string | null | undefined
  readonly sections?: ReadonlyArray<Section> | undefined
}

/**
 * The kinds of values in a column.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ValueType = openLiteral("int", "float", "text", "bool", "datetime")

/**
 * @category models
 * @since 0.1.0
 */
export type ValueType = typeof ValueType.Type

/**
 * A column, as the server derives it from the rows.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Column = Schema.Struct({
  name: Schema.String,
  valueType: withDefault(ValueType, () => "text").pipe(Schema.fromKey("value_type")),
  possibleValues: nullable(Schema.Array(Schema.String)).pipe(Schema.fromKey("possible_values"))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Column extends Schema.Schema.Type<typeof Column> {}

const columns = {
  name: withDefault(Schema.String, () => ""),
  description: nullable(Schema.String),
  /** `null` until there are rows. */
  schema: nullable(Schema.Array(Column))
}

/**
 * A table, without its rows.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Table = Schema.Struct({
  tableId: Schema.propertySignature(TableId).pipe(Schema.fromKey("table_id")),
  ...columns,
  title: nullable(Schema.String),
  /** Epoch milliseconds. */
  timestamp: nullable(Schema.Number),
  tags: list(Schema.String),
  parents: list(Schema.String),
  parentId: nullable(Schema.String).pipe(Schema.fromKey("parent_id")),
  mimeType: nullable(Schema.String).pipe(Schema.fromKey("mime_type"))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Table extends Schema.Schema.Type<typeof Table> {}

/**
 * What is said of a table after rows were written.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TableSummary = Schema.Struct({
  tableId: Schema.propertySignature(TableId).pipe(Schema.fromKey("table_id")),
  ...columns
})

/**
 * @category models
 * @since 0.1.0
 */
export interface TableSummary extends Schema.Schema.Type<typeof TableSummary> {}

/**
 * A moment in a cell. `epoch` is in milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DateTimeCell = Schema.Struct({
  type: Schema.Literal("datetime"),
  epoch: Schema.Number,
  string_value: Schema.optional(Schema.NullOr(Schema.String))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface DateTimeCell extends Schema.Schema.Type<typeof DateTimeCell> {}

/**
 * A value in a cell, as it comes back.
 *
 * @category models
 * @since 0.1.0
 */
export type Cell = string | number | boolean | null | DateTimeCell

/**
 * A row of a table.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Row = Schema.Struct({
  rowId: Schema.propertySignature(RowId).pipe(Schema.fromKey("row_id")),
  /** The cells by column: text, numbers, booleans, `null`, and {@link DateTimeCell} for moments. */
  value: withDefault(
    Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    (): { readonly [column: string]: unknown } => ({})
  )
})

/**
 * A row as it comes back. {@link cell} reads one of its cells.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row extends Schema.Schema.Type<typeof Row> {}

/**
 * A value that can be written to a cell. Dates become moments; numbers must be finite.
 *
 * @category models
 * @since 0.1.0
 */
export type CellInput = string | number | boolean | null | Date | DateTime.DateTime | {
  readonly type: "datetime"
  /** Milliseconds. */
  readonly epoch: number
}

/**
 * A row to be written. The same `rowId` replaces the row.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowInput {
  readonly rowId: RowId
  /** The cells by column. Names of columns are made of `a`-`z`, `0`-`9` and `_`. */
  readonly value: Readonly<Record<string, CellInput>>
}

const isDateTimeCell = Schema.is(DateTimeCell)

/**
 * A cell of a row: text, number, boolean or `null` as it is, a moment as `DateTime.Utc`. Undefined: there is no such cell.
 *
 * @category accessors
 * @since 0.1.0
 */
export const cell = (
  row: Pick<Row, "value">,
  column: string
): string | number | boolean | null | DateTime.Utc | undefined => {
  const value = Object.hasOwn(row.value, column) ? row.value[column] : undefined
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value
  }
  if (value === null) return null
  return isDateTimeCell(value) && Math.abs(value.epoch) <= 8.64e15
    ? DateTime.unsafeMake(value.epoch)
    : undefined
}

/**
 * A data source, or a part of it, as it is shown in a space.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DataSourceView = Schema.Struct({
  sId: DataSourceViewId,
  category: nullable(openLiteral("managed", "folder", "website", "apps", "actions", "triggers")),
  /** `default` shows everything, `custom` what is under `parentsIn`. */
  kind: withDefault(openLiteral("default", "custom"), () => "default"),
  /** `null`: everything. */
  parentsIn: nullable(Schema.Array(Schema.String)),
  spaceId: nullable(SpaceId),
  dataSource: DataSource,
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** Epoch milliseconds. */
  updatedAt: nullable(Schema.Number),
  editedByUser: nullable(EditedBy)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface DataSourceView extends Schema.Schema.Type<typeof DataSourceView> {}

/**
 * A passage of a document that a search found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Passage {
  readonly documentId: DocumentId
  readonly title: string | null
  readonly sourceUrl: string | null
  readonly text: string
  /** How well it matches: higher is better. `null` when the server does not say. */
  readonly score: number | null
}

/**
 * The passages of search results, best first.
 *
 * @category accessors
 * @since 0.1.0
 */
export const passages = (documents: ReadonlyArray<Document>): ReadonlyArray<Passage> =>
  documents
    .flatMap((document) =>
      document.chunks.map((chunk): Passage => ({
        documentId: document.documentId,
        title: document.title,
        sourceUrl: document.sourceUrl,
        text: chunk.text,
        score: chunk.score
      }))
    )
    .sort((a, b) => (b.score ?? 0) - (a.score ?? 0))
