/**
 * Data sources with their documents, tables, rows and views: what `DataSources` and `DataSourceViews` return, and the options
 * that they take.
 *
 * Only ids and discriminators are required in a response; every other field is `null` or empty if it is missing.
 *
 * ```ts
 * import * as DataSource from "effect-dust/DataSource"
 * import { DataSources } from "effect-dust/DataSources"
 * import { Effect } from "effect"
 *
 * const bestPassage = (query: string) =>
 *   Effect.flatMap(DataSources, (dataSources) =>
 *     dataSources.search({ spaceId: "vlt_global", dataSourceId: "dts_handbook", query })).pipe(
 *       Effect.map((documents) => DataSource.passages(documents)[0]?.text)
 *     )
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { DataSourceId, DataSourceViewId, DocumentId, RowId, SpaceId, TableId } from "./Ids.ts"
import { list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"
import type { Moment } from "./internal/input/dates.ts"

export type { Moment }

/**
 * The last editor.
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
 * A data source. It belongs to one space; views make it, or a part of it, available in other spaces.
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
  /** `null` for a folder, `webcrawler` for a website. Any other value is a managed connection, which is read-only. */
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
 * Returns whether a data source is a folder, to which documents and tables can be written.
 *
 * @category guards
 * @since 0.1.0
 */
export const isFolder = (dataSource: Pick<DataSource, "connectorProvider">): boolean =>
  dataSource.connectorProvider === null

/**
 * Returns whether a data source is a website that Dust crawls.
 *
 * @category guards
 * @since 0.1.0
 */
export const isWebsite = (dataSource: Pick<DataSource, "connectorProvider">): boolean =>
  dataSource.connectorProvider === "webcrawler"

/**
 * A searchable part of a document. Search results contain only the chunks that match.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DocumentChunk = Schema.Struct({
  text: withDefault(Schema.String, () => ""),
  hash: nullable(Schema.String),
  /** The position in the document, counted in chunks. */
  offset: withDefault(Schema.Number, () => 0),
  /** The embedding. Usually `null`. */
  vector: nullable(Schema.Array(Schema.Number)),
  /** The relevance in search results; higher is better. */
  score: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface DocumentChunk extends Schema.Schema.Type<typeof DocumentChunk> {}

/**
 * A document. In search results, `chunks` has the passages that match. `text` is `null` unless the server sends it.
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
  /** Epoch milliseconds. Defaults to the time of the upsert. */
  timestamp: withDefault(Schema.Number, () => 0),
  tags: list(Schema.String),
  /** The ids of the document itself and of its parents, from the nearest to the farthest. */
  parents: list(Schema.String),
  parentId: nullable(Schema.String).pipe(Schema.fromKey("parent_id")),
  sourceUrl: nullable(Schema.String).pipe(Schema.fromKey("source_url")),
  /** Changes with the content. Computed by Dust; it cannot be derived from the content alone. */
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
 * A document as an upsert in mode `light` returns it, without its id.
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
 * A structured text. Each chunk of it begins with the prefixes of the sections that contain it.
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
 * The type of the values of a column.
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
 * A column. Dust derives its type from the rows.
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
  /** `null` for a table without rows. */
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
 * A table after rows were written.
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
 * A date and time in a cell. `epoch` is in milliseconds.
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
  /** The cells by column: text, numbers, booleans, `null`, and {@link DateTimeCell} for dates. */
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
 * - `undefined`, which omits the cell
 * - arrays and other objects, as JSON text; one with a `toJSON` that gives text or a number (decimals) as that
 *
 * @category models
 * @since 0.1.0
 */
export type CellInput = string | number | bigint | boolean | null | undefined | Date | DateTime.DateTime | object

/**
 * A row to write. It replaces an existing row with the same `rowId`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowInput {
  readonly rowId: RowId
  /**
   * The cells by column, each a {@link CellInput}. Dust accepts names made of `a`-`z`, `0`-`9` and `_`; other names are
   * converted (`userId` and `User ID` become `user_id`).
   */
  readonly value: object
}

const isDateTimeCell = Schema.is(DateTimeCell)

/**
 * Returns a cell of a row: text, a number, a boolean or `null`, and dates as `DateTime.Utc`. `undefined` if the row has no such
 * cell.
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
 * Identifies a data source and its space.
 *
 * @category models
 * @since 0.1.0
 */
export interface Location {
  readonly spaceId: SpaceId
  /** Its `sId`, from `list` or `findByName`. */
  readonly dataSourceId: DataSourceId
}

/**
 * Selects a part of a list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page {
  /** Defaults to 10. */
  readonly limit?: number | undefined
  /** Defaults to 0. */
  readonly offset?: number | undefined
}

/**
 * Selects a page of documents.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListDocumentsOptions extends Location, Page {
  /**
   * Returns only these documents; none for an empty list. The ids are part of the URL, which has room for some hundreds.
   * `streamDocuments` accepts more.
   */
  readonly documentIds?: ReadonlyArray<DocumentId> | undefined
}

/**
 * Selects the documents to stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamDocumentsOptions extends Location {
  /** Returns only these documents; none for an empty list. Any number: they are requested in groups that fit into a URL. */
  readonly documentIds?: ReadonlyArray<DocumentId> | undefined
  /** Documents per request. Defaults to 100. */
  readonly pageSize?: number | undefined
}

/**
 * The content of a document: a text, or sections.
 *
 * @category models
 * @since 0.1.0
 */
export type DocumentContent =
  | { readonly text: string; readonly section?: undefined }
  | { readonly section: Section; readonly text?: null | undefined }

/**
 * The fields of a document besides its content.
 *
 * @category models
 * @since 0.1.0
 */
export interface DocumentFields {
  /** Chosen by the caller. An existing document with the same id is replaced. */
  readonly documentId: DocumentId
  /** At most 512 characters. Defaults to the document id. */
  readonly title?: string | null | undefined
  /** Defaults to `application/octet-stream`. */
  readonly mimeType?: string | null | undefined
  /** An http or https URL without `//` in its path; agents cite it. */
  readonly sourceUrl?: string | null | undefined
  /** Dust adds the tag `title:<title>` to the given tags, and always in mode `async`. */
  readonly tags?: ReadonlyArray<string> | null | undefined
  /**
   * The date of the content, or epoch milliseconds. Numbers below 1e10 are refused, because Dust would read them as seconds.
   * Defaults to now.
   */
  readonly timestamp?: Moment | undefined
}

/**
 * A document to write. To set its parents, use `updateParents`: Dust refuses them here.
 *
 * @category models
 * @since 0.1.0
 */
export type DocumentInput = DocumentFields & DocumentContent

/**
 * A document to write, and the data source to write it to.
 *
 * @category models
 * @since 0.1.0
 */
export type UpsertDocumentOptions = Location & DocumentInput

/**
 * The result of an upsert in mode `full`.
 *
 * @category models
 * @since 0.1.0
 */
export interface FullUpsert {
  readonly document: Document
  readonly dataSource: DataSource | null
}

/**
 * The result of an upsert in mode `light`: sizes only.
 *
 * @category models
 * @since 0.1.0
 */
export interface LightUpsert {
  readonly document: LightDocument
  readonly dataSource: DataSource | null
}

/**
 * The result of an upsert in mode `async`: the document is queued. Compare `hash` or `timestamp` of `getDocument` to detect
 * when it is processed.
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
 * A table to create or replace.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableInput {
  /** Unique in the data source. */
  readonly name: string
  /** Defaults to an id that Dust generates. An existing table with this id is replaced and keeps its rows. */
  readonly tableId?: TableId | undefined
  /** Defaults to the name. */
  readonly title?: string | undefined
  /** A description for agents. Defaults to an empty one. */
  readonly description?: string | undefined
  readonly timestamp?: Moment | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  /** An http or https URL without `//` in its path. */
  readonly sourceUrl?: string | undefined
}

/**
 * A view: a data source, or a part of it, in a space.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DataSourceView = Schema.Struct({
  sId: DataSourceViewId,
  category: nullable(openLiteral("managed", "folder", "website", "apps", "actions", "triggers")),
  /** `default` contains everything, `custom` only the nodes below `parentsIn`. */
  kind: withDefault(openLiteral("default", "custom"), () => "default"),
  /** `null` for everything. */
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
 * A passage of a document in search results.
 *
 * @category models
 * @since 0.1.0
 */
export interface Passage {
  readonly documentId: DocumentId
  readonly title: string | null
  readonly sourceUrl: string | null
  readonly text: string
  /** The relevance; higher is better. `null` if the server does not send it. */
  readonly score: number | null
}

/**
 * Returns the passages of search results, the best first.
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
