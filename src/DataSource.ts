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
import type { Moment } from "./internal/input/dates.ts"

export type { Moment }

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
 * A searchable part of a document. In search results these are the passages that match.
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
 * The value of a cell in a response.
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
 * A row in a response. {@link cell} reads one of its cells.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row extends Schema.Schema.Type<typeof Row> {}

/**
 * A value that can be written to a cell:
 *
 * - text (without NUL characters), finite numbers, booleans, `null`
 * - dates, which become {@link DateTimeCell}s
 * - `bigint`s, as numbers when a number holds them exactly and as text otherwise
 * - `undefined`, which leaves the cell out
 * - arrays and other objects, as JSON text; one with a `toJSON` that gives text or a number (decimals) as that
 *
 * @category models
 * @since 0.1.0
 */
export type CellInput = string | number | bigint | boolean | null | undefined | Date | DateTime.DateTime | object

/**
 * A row to be written. The same `rowId` replaces the row.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowInput {
  readonly rowId: RowId
  /**
   * The cells by column, each a {@link CellInput}. Dust takes names made of `a`-`z`, `0`-`9` and `_`; others are converted
   * (`userId` and `User ID` become `user_id`).
   */
  readonly value: object
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
 * Where a data source is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Location {
  readonly spaceId: SpaceId
  /** Its `sId`; `findByName` gives it. */
  readonly dataSourceId: DataSourceId
}

/**
 * Which part of a list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page {
  /** Default 10. */
  readonly limit?: number | undefined
  /** Default 0. */
  readonly offset?: number | undefined
}

/**
 * Which documents to list, a page of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListDocumentsOptions extends Location, Page {
  /**
   * Only these; an empty list: none. They travel in the URL, which has room for some hundreds; `streamDocuments` takes
   * more.
   */
  readonly documentIds?: ReadonlyArray<DocumentId> | undefined
}

/**
 * Which documents to list, all of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamDocumentsOptions extends Location {
  /** Only these; an empty list: none. As many as one likes: they are asked for in groups that fit into a URL. */
  readonly documentIds?: ReadonlyArray<DocumentId> | undefined
  /** Documents per request. Default 100. */
  readonly pageSize?: number | undefined
}

/**
 * What a document is made of: a text, or sections.
 *
 * @category models
 * @since 0.1.0
 */
export type DocumentContent =
  | { readonly text: string; readonly section?: undefined }
  | { readonly section: Section; readonly text?: null | undefined }

/**
 * What a document has beside its content.
 *
 * @category models
 * @since 0.1.0
 */
export interface DocumentFields {
  /** Chosen by you: the same id replaces the document. */
  readonly documentId: DocumentId
  /** At most 512 characters. Default: the document id. */
  readonly title?: string | null | undefined
  /** Defaults to `application/octet-stream`. */
  readonly mimeType?: string | null | undefined
  /** An http or https URL without `//` in its path; agents cite it. */
  readonly sourceUrl?: string | null | undefined
  /** When tags are given, Dust adds `title:<title>` to them; in the mode `async` always. */
  readonly tags?: ReadonlyArray<string> | null | undefined
  /**
   * When the content is from: a date, or epoch milliseconds. Numbers below 1e10 are refused, since Dust would take them for
   * seconds. Default: now.
   */
  readonly timestamp?: Moment | undefined
}

/**
 * A document to be written. Parents are not part of it: Dust refuses them here from ordinary credentials, see
 * `updateParents`.
 *
 * @category models
 * @since 0.1.0
 */
export type DocumentInput = DocumentFields & DocumentContent

/**
 * A document, and where to write it.
 *
 * @category models
 * @since 0.1.0
 */
export type UpsertDocumentOptions = Location & DocumentInput

/**
 * A written document, in full.
 *
 * @category models
 * @since 0.1.0
 */
export interface FullUpsert {
  readonly document: Document
  readonly dataSource: DataSource | null
}

/**
 * A written document, its sizes only.
 *
 * @category models
 * @since 0.1.0
 */
export interface LightUpsert {
  readonly document: LightDocument
  readonly dataSource: DataSource | null
}

/**
 * The document is queued. Compare its `hash` or `timestamp` in `getDocument` to see when it has been processed.
 *
 * @category models
 * @since 0.1.0
 */
export interface AsyncUpsert {
  readonly documentId: DocumentId
}

/**
 * A token of an embedding model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Token {
  readonly id: number
  readonly text: string
}

/**
 * A table to be created or replaced.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableInput {
  /** Unique in the data source. */
  readonly name: string
  /** Default: made by the server. With an id the table is replaced, its rows stay. */
  readonly tableId?: TableId | undefined
  /** Default: the name. */
  readonly title?: string | undefined
  /** What the table is about; agents read it. Default: empty. */
  readonly description?: string | undefined
  readonly timestamp?: Moment | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  /** An http or https URL without `//` in its path. */
  readonly sourceUrl?: string | undefined
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
