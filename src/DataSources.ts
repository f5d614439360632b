/**
 * Data sources: documents, tables and rows that agents read, and the search in them.
 *
 * Every id below a data source is chosen by the caller and may be any text but a blank one, `.` and `..`: slashes, spaces
 * and any script are encoded. Writing the same id again replaces what was there, so that upserts and deletions are retried.
 *
 * | what | limit |
 * |---|---|
 * | upserts of documents | 120 a minute per workspace, then `DustRateLimitError` without a `retryAfter` |
 * | size of a document | that of the plan: `DustQuotaExceededError` (`data_source_quota_error`) |
 * | size of the workspace | that of the plan: `DustQuotaExceededError` (`workspace_quota_error`) |
 * | rows of a table | 500 000: refused here before any request |
 *
 * All methods take an API key or a user's access token. `DustNotFoundError` (`data_source_not_found`): no such data source
 * in that space, or no right to read it. `DustForbiddenError` (`data_source_auth_error`): no right to write, as in every
 * managed connection.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  type CellInput,
  DataSource,
  Document,
  LightDocument,
  Row,
  type RowInput,
  type Section,
  Table,
  TableSummary
} from "./DataSource.ts"
import {
  DustBadRequestError,
  DustConflictError,
  DustContentTooLargeError,
  DustNotFoundError,
  type DustServerError,
  type RequestError
} from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { type DataSourceId, DocumentId, type RowId, type SpaceId, TableId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { csvRows } from "./internal/data/csv.ts"
import { list, nonBlank, nullable, slots } from "./internal/decode/schema.ts"
import { epochMillis, type Moment } from "./internal/input/dates.ts"
import { encodeBody } from "./internal/input/encode.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { searchQuery, type SearchOptions } from "./internal/input/searchQuery.ts"
import { badInput, common } from "./internal/request/errors.ts"
import { segment } from "./internal/request/url.ts"
import { byOffset } from "./internal/util/paging.ts"
import { makeBudget } from "./internal/util/slidingWindow.ts"

const maxRows = 500_000
const maxTitle = 512
const maxDepth = 256
const maxIdsInUrl = 6_000
const missingDocument = "data_source_document_not_found"

const base = "/api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources" as const
const one = `${base}/{dataSourceId}` as const
const document = `${one}/documents/{documentId}` as const
const table = `${one}/tables/{tableId}` as const
const row = `${table}/rows/{rowId}` as const

const listSources = Operation.make({
  name: "DataSources.list",
  http: "GET",
  route: base,
  response: Schema.Struct({ data_sources: list(DataSource) })
})

const findSource = { ...listSources, method: "findByName" }

const listDocuments = Operation.make({
  name: "DataSources.listDocuments",
  http: "GET",
  route: `${one}/documents`,
  response: Schema.Struct({ documents: slots(Document), total: nullable(Schema.Number) })
})

const getDocument = Operation.make({
  name: "DataSources.getDocument",
  http: "GET",
  route: document,
  response: Schema.Struct({ document: Document })
})

interface WireSection {
  readonly prefix: string | null
  readonly content: string | null
  readonly sections: ReadonlyArray<WireSection>
}

const strings = Schema.Array(Schema.String)

const UpsertBody = Schema.Struct({
  text: Schema.optional(Schema.String),
  section: Schema.optional(Schema.declare((u: unknown): u is WireSection => Predicate.isRecord(u))),
  title: Schema.optional(
    Schema.String.pipe(
      Schema.filter((title) => title.trim().length <= maxTitle || `a title of at most ${maxTitle} characters`)
    )
  ),
  mimeType: Schema.optional(Schema.String).pipe(Schema.fromKey("mime_type")),
  sourceUrl: Schema.optional(
    Schema.String.pipe(Schema.filter((url) => URL.canParse(url) || "a valid URL"))
  ).pipe(Schema.fromKey("source_url")),
  tags: Schema.optional(strings),
  timestamp: Schema.optional(Schema.Number),
  light: Schema.optional(Schema.Literal(true)).pipe(Schema.fromKey("light_document_output")),
  async: Schema.optional(Schema.Literal(true)),
  upsertContext: Schema.optional(Schema.Struct({ sync_type: Schema.Literal("batch", "incremental") })).pipe(
    Schema.fromKey("upsert_context")
  )
})

const upsert = <A, I>(response: Schema.Schema<A, I>) =>
  Operation.make({
    name: "DataSources.upsertDocument",
    http: "POST",
    route: document,
    replay: "safe",
    // A synchronous upsert is embedded before the answer comes.
    timeouts: { headers: "3 minutes" },
    body: UpsertBody,
    response
  })

const upsertFull = upsert(Schema.Struct({ document: Document, data_source: nullable(DataSource) }))
const upsertLight = upsert(Schema.Struct({ document: LightDocument, data_source: nullable(DataSource) }))
const upsertAsync = upsert(Schema.Struct({ document: Schema.Struct({ document_id: DocumentId }) }))

/** It is the document that is missing, and not what it was in. */
const isMissingDocument: Operation.Done = ({ details, type }) =>
  type === missingDocument || (
    Predicate.hasProperty(details, "data_source_error") && Predicate.hasProperty(details.data_source_error, "code") &&
    details.data_source_error.code === missingDocument
  )

const deleteDocument = Operation.unit({
  name: "DataSources.deleteDocument",
  http: "DELETE",
  route: document,
  done: isMissingDocument
})

const updateParents = Operation.unit({
  name: "DataSources.updateParents",
  http: "POST",
  route: `${document}/parents`,
  replay: "safe",
  body: Schema.Struct({
    parents: Schema.NonEmptyArray(Schema.String),
    parentId: Schema.optional(Schema.String).pipe(Schema.fromKey("parent_id"))
  })
})

const search = Operation.make({
  name: "DataSources.search",
  http: "GET",
  route: `${one}/search`,
  response: Schema.Struct({ documents: list(Document) })
})

const tokenize = Operation.make({
  name: "DataSources.tokenize",
  http: "POST",
  route: `${one}/tokenize`,
  replay: "safe",
  timeouts: { headers: "280 seconds" },
  body: Schema.Struct({ text: Schema.String }),
  response: Schema.Struct({ tokens: list(Schema.Tuple(Schema.Number, Schema.String)) })
})

const listTables = Operation.make({
  name: "DataSources.listTables",
  http: "GET",
  route: `${one}/tables`,
  response: Schema.Struct({ tables: list(Table) })
})

const getTable = Operation.make({
  name: "DataSources.getTable",
  http: "GET",
  route: table,
  response: Schema.Struct({ table: Table })
})

const TableBody = Schema.Struct({
  tableId: Schema.optional(nonBlank("a non-blank id")).pipe(Schema.fromKey("table_id")),
  name: nonBlank("a non-blank name"),
  title: Schema.String,
  description: Schema.String,
  timestamp: Schema.optional(Schema.Number),
  tags: Schema.optional(strings),
  sourceUrl: Schema.optional(
    Schema.String.pipe(Schema.filter((url) => URL.canParse(url) || "a valid URL"))
  ).pipe(Schema.fromKey("source_url"))
})

const writeTable = (replay: Operation.Replay) =>
  Operation.make({
    name: "DataSources.upsertTable",
    http: "POST",
    route: `${one}/tables`,
    replay,
    body: TableBody,
    response: Schema.Struct({ table: Table })
  })

const createTable = writeTable("once")
const replaceTable = writeTable("safe")

const deleteTable = Operation.unit({
  name: "DataSources.deleteTable",
  http: "DELETE",
  route: table,
  done: ({ type }) => type === "table_not_found"
})

const listRows = Operation.make({
  name: "DataSources.listRows",
  http: "GET",
  route: `${table}/rows`,
  response: Schema.Struct({ rows: slots(Row), total: nullable(Schema.Number) })
})

const getRow = Operation.make({
  name: "DataSources.getRow",
  http: "GET",
  route: row,
  response: Schema.Struct({ row: Row })
})

interface WireRow {
  readonly row_id: string
  readonly value: Readonly<Record<string, unknown>>
}

const upsertRows = Operation.make({
  name: "DataSources.upsertRows",
  http: "POST",
  route: `${table}/rows`,
  replay: "safe",
  timeouts: { headers: "3 minutes" },
  body: Schema.Struct({
    // Checked row by row in `wireRows`.
    rows: Schema.declare((u: unknown): u is ReadonlyArray<WireRow> => Array.isArray(u)),
    truncate: Schema.optional(Schema.Boolean)
  }),
  response: Schema.Struct({ table: TableSummary })
})

const deleteRow = Operation.unit({ name: "DataSources.deleteRow", http: "DELETE", route: row })

const loadTable = { ...upsertRows, method: "loadTable" }
const syncDocuments = { ...upsertLight, method: "syncDocuments" }

export type { Moment, SearchOptions }

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
  | { readonly section: Section; readonly text?: undefined }

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
  readonly title?: string | undefined
  /** Default `application/octet-stream`. */
  readonly mimeType?: string | undefined
  /** A valid URL; agents cite it. */
  readonly sourceUrl?: string | undefined
  /** When they are given, Dust adds `title:<title>` to them; in the mode `async` always. */
  readonly tags?: ReadonlyArray<string> | undefined
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
 * The document is queued. Nothing tells when it is there but its `hash` or `timestamp` in `getDocument`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AsyncUpsert {
  readonly documentId: DocumentId
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
  /** A valid URL. */
  readonly sourceUrl?: string | undefined
}

/**
 * Rows, and the table to write them to.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpsertRowsOptions extends Location {
  readonly tableId: TableId
  /** At most 500 000. */
  readonly rows: ReadonlyArray<RowInput>
  /** Replace all rows of the table with these. Default `false`. */
  readonly truncate?: boolean | undefined
}

/**
 * What fills a table: rows, or the text of a CSV with a header.
 *
 * @category models
 * @since 0.1.0
 */
export type TableContent<E = never> =
  | { readonly rows: Iterable<RowInput> | Stream.Stream<RowInput, E>; readonly csv?: undefined }
  | {
    /**
     * Names of columns are made to fit (`First Name` becomes `first_name`). A column is numbers or booleans when every
     * value in it is, and text otherwise, also with more digits than a number holds; empty values are `null`.
     */
    readonly csv: string
    readonly rows?: undefined
    /** One character. Default `,`. */
    readonly delimiter?: string | undefined
    /** The column with the ids of the rows. Default: ids are positions, `0`, `1`, … */
    readonly rowId?: string | undefined
    /** `false`: everything stays text. Default `true`. */
    readonly infer?: boolean | undefined
  }

/**
 * What to load into which table.
 *
 * @category models
 * @since 0.1.0
 */
export type LoadTableOptions<E = never> = Location & TableContent<E> & {
  /** An existing table by its id, or one that is found by its name or id and made when there is none. */
  readonly table: TableId | TableInput
  /** Replace all rows of the table: done with the first batch. Default `false`. */
  readonly truncate?: boolean | undefined
  /** Rows per request. Default 500. */
  readonly batchSize?: number | undefined
}

/**
 * How far a table is loaded.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadProgress {
  readonly tableId: TableId
  /** Rows that are written. */
  readonly rows: number
  /** Rows in all; undefined when they come from a Stream or an Iterable that is no array. */
  readonly total: number | undefined
  /** Requests so far. */
  readonly batches: number
}

/**
 * A table that is loaded.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadResult extends LoadProgress {
  /** As it is after the last batch; `null` when there was no row at all. */
  readonly table: TableSummary | null
}

/**
 * What {@link Service.loadTableStream} emits.
 *
 * @category models
 * @since 0.1.0
 */
export type LoadEvent =
  | { readonly _tag: "Progress" } & LoadProgress
  | { readonly _tag: "Done" } & LoadResult

/**
 * A source, and how to bring a data source to its state.
 *
 * @category models
 * @since 0.1.0
 */
export type SyncOptions<E = never> = Location & {
  readonly documents: Iterable<DocumentInput> | Stream.Stream<DocumentInput, E>
  /** `light` (default): each document is there when its event comes. `async`: it is queued. */
  readonly mode?: "light" | "async" | undefined
  /** Upserts and deletions at the same time. Default 8. */
  readonly concurrency?: number | undefined
  /** Upserts in any 60 seconds. Dust allows 120 for the whole workspace. Default 110. */
  readonly perMinute?: number | undefined
  /**
   * Leaves out what has not changed, which takes a list of what is there at the start:
   *
   * - `timestamp`: the document there has the same `timestamp`; documents without one are always written
   * - `fingerprint`: the document there carries the tag `fingerprint:…` of the same content, which this adds to each
   * - a function of the document and of the one there
   */
  readonly unchanged?:
    | "timestamp"
    | "fingerprint"
    | ((document: DocumentInput, existing: Document) => boolean)
    | undefined
  /** Leaves out documents whose `timestamp` is not after this one. */
  readonly since?: Moment | undefined
  /**
   * Leaves out everything up to and including this document: the `checkpoint` of an earlier sync of the same source, in the
   * same order, that did not come to its end. After `Done`, begin without it. Should the source not have it any more, all of
   * it is left out, and the sync fails with `DustBadRequestError` only when the source has ended.
   */
  readonly resumeAfter?: DocumentId | undefined
  /**
   * At the end, deletes what is there and was not among `documents`; or only what the function says of it. Not done when
   * the source fails, and not after a fatal error. `true` with a source that had no document at all is an error and deletes
   * nothing: more often than not, such a source is broken. Default `false`.
   */
  readonly deleteStale?: boolean | ((existing: Document) => boolean) | undefined
}

/**
 * How far a sync is.
 *
 * @category models
 * @since 0.1.0
 */
export interface SyncProgress {
  /** Documents of the source that are done with, in whatever way. */
  readonly processed: number
  readonly upserted: number
  readonly skipped: number
  readonly failed: number
  readonly deleted: number
  /** Documents of the source; undefined unless they were given as an array. */
  readonly total: number | undefined
  /**
   * This document and all before it are done without a failure: the `resumeAfter` of a later sync. One that fails holds it
   * where it is, also when that is for good, or its id was there before: what comes after it is done again then.
   */
  readonly checkpoint: DocumentId | undefined
}

/**
 * What {@link Service.syncDocuments} emits: an event for each document as it is done with, then `Done`.
 *
 * @category models
 * @since 0.1.0
 */
export type SyncEvent =
  | { readonly _tag: "Upserted"; readonly documentId: DocumentId; readonly progress: SyncProgress }
  | {
    readonly _tag: "Skipped"
    readonly documentId: DocumentId
    readonly reason: "unchanged" | "since" | "resumed"
    readonly progress: SyncProgress
  }
  | {
    readonly _tag: "Failed"
    readonly documentId: DocumentId
    readonly action: "upsert" | "delete"
    readonly error: RequestError
    readonly progress: SyncProgress
  }
  | { readonly _tag: "Deleted"; readonly documentId: DocumentId; readonly progress: SyncProgress }
  | { readonly _tag: "Done"; readonly progress: SyncProgress }

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
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * The data sources of a space. There is no paging, and no way to make, change or delete one.
   *
   * `DustNotFoundError` (`space_not_found`): the space is unknown or hidden. Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources`
   */
  readonly list: (spaceId: SpaceId) => Effect.Effect<ReadonlyArray<DataSource>, RequestError>
  /**
   * The data source with this name: exactly, else without regard to case. `DustNotFoundError` (`name_not_found`) names
   * those that come close, `DustBadRequestError` (`ambiguous_name`) those that share the name. Retried.
   */
  readonly findByName: (options: {
    readonly spaceId: SpaceId
    readonly name: string
  }) => Effect.Effect<DataSource, RequestError>
  /**
   * One page of documents. While documents come and go, pages can overlap or leave some out. Retried.
   *
   * Source: `GET …/data_sources/{dataSourceId}/documents`
   */
  readonly listDocuments: (options: ListDocumentsOptions) => Effect.Effect<{
    readonly documents: ReadonlyArray<Document>
    readonly total: number
  }, RequestError>
  /** Every document, page by page. */
  readonly streamDocuments: (options: StreamDocumentsOptions) => Stream.Stream<Document, RequestError>
  /**
   * One document with its chunks. A missing one is a `DustNotFoundError` (the server says 400 `data_source_error`).
   * Retried.
   *
   * Source: `GET …/data_sources/{dataSourceId}/documents/{documentId}`
   */
  readonly getDocument: (
    options: Location & { readonly documentId: DocumentId }
  ) => Effect.Effect<Document, RequestError>
  /**
   * Creates or replaces a document, all of it: text, tags, title and source URL together.
   *
   * By default the document is there, embedded and searchable, when this succeeds, and comes back in full; `light` brings
   * back its sizes only; `async` queues it and brings back its id. Title, URL, timestamp and depth of sections are checked
   * before any request. Retried: the same id is written again. Many documents: {@link Service.syncDocuments}.
   *
   * Source: `POST …/data_sources/{dataSourceId}/documents/{documentId}`
   *
   * @example
   * ```ts
   * import { DataSources } from "effect-dust/DataSources"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const dataSources = yield* DataSources
   *   const { sId } = yield* dataSources.findByName({ spaceId: "vlt_global", name: "handbook" })
   *   return yield* dataSources.upsertDocument({
   *     spaceId: "vlt_global",
   *     dataSourceId: sId,
   *     documentId: "guides/onboarding.md",
   *     title: "Onboarding",
   *     text: "On the first day, …",
   *     timestamp: new Date("2026-05-01")
   *   })
   * })
   * ```
   */
  readonly upsertDocument: {
    (options: UpsertDocumentOptions & { readonly mode?: "full" | undefined }): Effect.Effect<FullUpsert, RequestError>
    (options: UpsertDocumentOptions & { readonly mode: "light" }): Effect.Effect<LightUpsert, RequestError>
    (
      options: UpsertDocumentOptions & {
        readonly mode: "async"
        /** A hint for the queue. */
        readonly syncType?: "batch" | "incremental" | undefined
      }
    ): Effect.Effect<AsyncUpsert, RequestError>
  }
  /**
   * Deletes a document. Retried; that it is missing is a success when this very call has been repeated after a lost answer.
   *
   * Source: `DELETE …/data_sources/{dataSourceId}/documents/{documentId}`
   */
  readonly deleteDocument: (
    options: Location & { readonly documentId: DocumentId }
  ) => Effect.Effect<void, RequestError>
  /**
   * Puts a document below others. `parents` are the ones above it, from the nearest to the farthest; none: it is at the
   * top. Retried.
   *
   * Source: `POST …/data_sources/{dataSourceId}/documents/{documentId}/parents`
   */
  readonly updateParents: (
    options: Location & { readonly documentId: DocumentId; readonly parents: ReadonlyArray<string> }
  ) => Effect.Effect<void, RequestError>
  /**
   * Semantic search: the documents, each with the chunks that match and their scores (`DataSource.passages` lines them
   * up). Without a `topK` it is 10. Retried.
   *
   * Source: `GET …/data_sources/{dataSourceId}/search`
   */
  readonly search: (options: Location & SearchOptions) => Effect.Effect<ReadonlyArray<Document>, RequestError>
  /**
   * How the embedding model of the data source cuts a text into tokens. It has 280 seconds. Retried.
   *
   * Source: `POST …/data_sources/{dataSourceId}/tokenize`
   */
  readonly tokenize: (
    options: Location & { readonly text: string }
  ) => Effect.Effect<ReadonlyArray<Token>, RequestError>
  /**
   * Every table of a data source. There is no paging. Retried.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables`
   */
  readonly listTables: (options: Location) => Effect.Effect<ReadonlyArray<Table>, RequestError>
  /**
   * One table with its columns. `DustNotFoundError` (`table_not_found`) when it is missing. Retried.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}`
   */
  readonly getTable: (options: Location & { readonly tableId: TableId }) => Effect.Effect<Table, RequestError>
  /**
   * Creates a table without rows, or replaces what is said of one with this id. Retried when an id is given; without one,
   * only when the request did not arrive.
   *
   * A name that another table has is answered with 500; then the tables are listed, and when the name is among them it is
   * a `DustConflictError` (`table_name_taken`).
   *
   * Source: `POST …/data_sources/{dataSourceId}/tables`
   */
  readonly upsertTable: (options: Location & TableInput) => Effect.Effect<Table, RequestError>
  /**
   * Deletes a table with its rows. The caller needs the role of a builder: without it this is a `DustNotFoundError`
   * (`data_source_not_found`). `DustNotFoundError` (`table_not_found`) when it is missing. Retried; that it is missing is a
   * success when this very call has been repeated after a lost answer.
   *
   * Source: `DELETE …/data_sources/{dataSourceId}/tables/{tableId}`
   */
  readonly deleteTable: (options: Location & { readonly tableId: TableId }) => Effect.Effect<void, RequestError>
  /**
   * One page of rows. Retried. The server answers 500 for a table that is missing; then the table is looked up, and this
   * is a `DustNotFoundError` (`table_not_found`).
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}/rows`
   */
  readonly listRows: (options: Location & Page & { readonly tableId: TableId }) => Effect.Effect<{
    readonly rows: ReadonlyArray<Row>
    readonly total: number
  }, RequestError>
  /** Every row, page by page. */
  readonly streamRows: (
    options: Location & {
      readonly tableId: TableId
      /** Rows per request. Default 500. */
      readonly pageSize?: number | undefined
    }
  ) => Stream.Stream<Row, RequestError>
  /**
   * One row. Retried. The server answers 500 for a row that is missing: a `DustServerError`; for a missing table, see
   * {@link Service.listRows}.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}`
   */
  readonly getRow: (
    options: Location & { readonly tableId: TableId; readonly rowId: RowId }
  ) => Effect.Effect<Row, RequestError>
  /**
   * Writes rows in one request; the same `rowId` replaces a row. The columns are derived from the rows. Names of columns,
   * cells and the number of rows are checked before any request. Retried. Many rows: {@link Service.loadTable}.
   *
   * `DustRateLimitError` when too many updates of the table are waiting. For a missing table, see
   * {@link Service.listRows}.
   *
   * Source: `POST …/data_sources/{dataSourceId}/tables/{tableId}/rows`
   */
  readonly upsertRows: (options: UpsertRowsOptions) => Effect.Effect<TableSummary, RequestError>
  /**
   * Deletes a row. `DustNotFoundError` (`table_not_found`) when the table is missing. Retried.
   *
   * Source: `DELETE …/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}`
   */
  readonly deleteRow: (
    options: Location & { readonly tableId: TableId; readonly rowId: RowId }
  ) => Effect.Effect<void, RequestError>
  /**
   * Fills a table from rows, a Stream of rows, or a CSV, in batches, one after the other. The table is made when there is
   * none with that name or id.
   *
   * What `table` says is checked before any request, and so are an array and a CSV as a whole: 500 000 rows at most
   * (`DustContentTooLargeError`), names of columns, cells; for a CSV, `details.line` says where it is wrong. A Stream is
   * checked batch by batch, and its failure is the failure of this. A batch that meets `DustRateLimitError` waits, up to
   * two minutes. After a failure the batches before it stay written; the same load can be run again.
   *
   * @example
   * ```ts
   * import { DataSources } from "effect-dust/DataSources"
   * import { Console, Effect } from "effect"
   *
   * const program = Effect.flatMap(DataSources, (dataSources) =>
   *   dataSources.loadTable({
   *     spaceId: "vlt_global",
   *     dataSourceId: "dts_handbook",
   *     table: { name: "prices", description: "What things cost" },
   *     csv: "item,price\ntea,3\ncake,5\n",
   *     rowId: "item",
   *     truncate: true,
   *     onProgress: ({ rows, total }) => Console.log(`${rows} of ${total}`)
   *   }))
   * ```
   */
  readonly loadTable: <E = never>(
    options: LoadTableOptions<E> & {
      readonly onProgress?: ((progress: LoadProgress) => Effect.Effect<void>) | undefined
    }
  ) => Effect.Effect<LoadResult, E | RequestError>
  /** {@link Service.loadTable} as a Stream: a `Progress` after each batch, then `Done`. */
  readonly loadTableStream: <E = never>(options: LoadTableOptions<E>) => Stream.Stream<LoadEvent, E | RequestError>
  /**
   * Brings a data source to the state of a source: writes its documents, under the limit of Dust and some at a time, leaves
   * out what is unchanged, and can delete what the source no longer has. Events come as they happen, and so not always in
   * the order of the source.
   *
   * A document that cannot be written is a `Failed` event, and the others go on: bad input (before any request), a quota, a
   * server error after its retries, a limit that does not pass within two minutes. So is a document whose id was there
   * before in the same sync. The Stream itself fails when no document could be written any more: the credential is refused,
   * the data source is missing or may not be written; and when the source fails.
   *
   * To go on after a stop, use `unchanged`, or pass the last `progress.checkpoint` as `resumeAfter`. Forget it at `Done`: it
   * is a place in the source, and a later sync would leave out everything up to it, changed or not.
   *
   * @example
   * ```ts
   * import { DataSources } from "effect-dust/DataSources"
   * import { Console, Effect, Stream } from "effect"
   *
   * const program = Effect.flatMap(DataSources, (dataSources) =>
   *   dataSources.syncDocuments({
   *     spaceId: "vlt_global",
   *     dataSourceId: "dts_handbook",
   *     documents: [{ documentId: "a.md", text: "A" }, { documentId: "b.md", text: "B" }],
   *     unchanged: "fingerprint",
   *     deleteStale: true
   *   }).pipe(Stream.runForEach((event) =>
   *     event._tag === "Failed" ? Console.error(`${event.documentId}: ${event.error.message}`) : Effect.void
   *   )))
   * ```
   */
  readonly syncDocuments: <E = never>(options: SyncOptions<E>) => Stream.Stream<SyncEvent, E | RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class DataSources extends Context.Tag("effect-dust/DataSources")<DataSources, Service>() {}

type Checked<A> = Either.Either<A, DustBadRequestError>

const wireSection = (section: Section, depth = 0): Checked<WireSection> =>
  depth > maxDepth
    ? Either.left(badInput(upsertFull, "section", `sections that are at most ${maxDepth} deep`))
    : Either.map(
      Either.all((section.sections ?? []).map((inner) => wireSection(inner, depth + 1))),
      (sections) => ({ prefix: section.prefix ?? null, content: section.content ?? null, sections })
    )

const documentBody = (input: DocumentInput) =>
  Either.gen(function*() {
    const timestamp = yield* epochMillis(upsertFull, "timestamp", input.timestamp)
    if ((input.text === undefined) === (input.section === undefined)) {
      return yield* Either.left(badInput(upsertFull, "text", "either a text or a section"))
    }
    return {
      text: input.text,
      section: input.section === undefined ? undefined : yield* wireSection(input.section),
      title: input.title,
      mimeType: input.mimeType,
      sourceUrl: input.sourceUrl,
      tags: input.tags,
      timestamp
    }
  })

const tableBody = (table: TableInput, timestamp: number | undefined): typeof TableBody.Type => ({
  tableId: table.tableId,
  name: table.name,
  title: table.title ?? table.name,
  description: table.description ?? "",
  timestamp,
  tags: table.tags,
  sourceUrl: table.sourceUrl
})

/** Everything that is known to be wrong with a document before a request, and so before it takes a place of the limit. */
const checkedDocument = (input: DocumentInput): Checked<unknown> =>
  Either.flatMap(
    segment(upsertFull, "documentId", input.documentId),
    () => Either.flatMap(documentBody(input), encodeBody(upsertFull, UpsertBody))
  )

const refused = (
  identity: Operation.Identity,
  at: number,
  where: string,
  expected: string,
  got?: string
): DustBadRequestError => badInput(identity, `rows.${at}.${where}`, expected, got)

const columnPattern = /^[a-z0-9_]+$/

const wireCell = (identity: Operation.Identity, at: number, column: string, cell: CellInput): Checked<unknown> => {
  const where = `value.${column}`
  switch (typeof cell) {
    case "string":
    case "boolean":
      return Either.right(cell)
    case "number":
      return Number.isFinite(cell) ? Either.right(cell) : Either.left(refused(identity, at, where, "a finite number"))
  }
  if (cell === null) return Either.right(null)
  const epoch = cell instanceof Date
    ? cell.getTime()
    : DateTime.isDateTime(cell)
    ? cell.epochMillis
    : Predicate.hasProperty(cell, "type") && cell.type === "datetime"
    ? cell.epoch
    : undefined
  return epoch !== undefined && Number.isFinite(epoch)
    ? Either.right({ type: "datetime", epoch })
    : Either.left(refused(identity, at, where, "text, a finite number, a boolean, null or a date"))
}

/** Rows as they are sent. `first` is the position of the first of them, for what is said of a wrong one. */
const wireRows = (
  identity: Operation.Identity,
  rows: Iterable<RowInput>,
  first = 0
): Checked<ReadonlyArray<WireRow>> => {
  const wire: Array<WireRow> = []
  let at = first
  for (const { rowId, value } of rows) {
    if (typeof rowId !== "string" || rowId.trim() === "") {
      return Either.left(refused(identity, at, "rowId", "a non-blank id"))
    }
    const cells: Array<readonly [string, unknown]> = []
    for (const [column, cell] of Object.entries(value)) {
      if (!columnPattern.test(column)) {
        return Either.left(
          refused(identity, at, "value", "names of columns made of a-z, 0-9 and _", JSON.stringify(column.slice(0, 64)))
        )
      }
      const checked = wireCell(identity, at, column, cell)
      if (Either.isLeft(checked)) return Either.left(checked.left)
      cells.push([column, checked.right])
    }
    // A column may have the name of something that objects have anyway, such as `__proto__`.
    wire.push({ row_id: rowId, value: Object.fromEntries(cells) })
    at++
  }
  return Either.right(wire)
}

const tooManyRows = (identity: Operation.Identity) =>
  new DustContentTooLargeError({
    ...common(identity, 0),
    message: `${identity.module}.${identity.method}: rows: more than the ${maxRows} that a table takes`,
    type: "too_many_rows",
    details: { field: "rows", limit: maxRows }
  }, { disableValidation: true })

const isStream = <A, E>(source: Iterable<A> | Stream.Stream<A, E>): source is Stream.Stream<A, E> =>
  Predicate.hasProperty(source, Stream.StreamTypeId)

const asStream = <A, E>(source: Iterable<A> | Stream.Stream<A, E>): Stream.Stream<A, E> =>
  isStream(source) ? source : Stream.fromIterable(source)

/** Each id once, in groups that leave room in a URL: servers begin to refuse it at 8 kB. */
const urlGroups = (ids: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const groups: Array<Array<string>> = []
  let room = 0
  for (const id of new Set(ids)) {
    const size = new URLSearchParams({ document_ids: id }).toString().length + 1
    const group = groups.at(-1)
    if (group === undefined || size > room) {
      groups.push([id])
      room = maxIdsInUrl - size
    } else {
      group.push(id)
      room -= size
    }
  }
  return groups
}

const wholeNumber = (value: number): boolean => Number.isSafeInteger(value) && value > 0

/** cyrb53: 53 bits, quick, and the same everywhere. It tells changes apart, it does not protect from anybody. */
const hash53 = (text: string): string => {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 2654435761)
    b = Math.imul(b ^ code, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(16).padStart(14, "0")
}

const fingerprintPrefix = "fingerprint:"

const isFingerprint = (tag: string): boolean => tag.startsWith(fingerprintPrefix)

/** One that came along with the tags of a document that was read says nothing of what is written now. */
const withFingerprint = (input: DocumentInput): Checked<DocumentInput> => {
  const own = input.tags?.filter((tag) => !isFingerprint(tag))
  return Either.map(documentBody({ ...input, tags: own }), (body) => ({
    ...input,
    tags: [...(own ?? []), `${fingerprintPrefix}${hash53(JSON.stringify(body))}`]
  }))
}

/** Waits for a limit that others have used up: eight times, a quarter of a minute apart. */
const patiently = <A>(self: Effect.Effect<A, RequestError>): Effect.Effect<A, RequestError> =>
  Effect.retry(self, {
    while: (error) => error._tag === "DustRateLimitError",
    schedule: Schedule.intersect(Schedule.spaced(Duration.seconds(15)), Schedule.recurs(8))
  })

/** After these no other document of the same sync could be written either. */
const isFatal = (error: RequestError): boolean => {
  switch (error._tag) {
    case "DustUnauthorizedError":
    case "DustUserRequiredError":
    case "DustForbiddenError":
    case "DustNotFoundError":
      return true
    default:
      return false
  }
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const at = ({ dataSourceId, spaceId }: Location) => ({ spaceId, dataSourceId })

  const documentsPage = (options: ListDocumentsOptions) =>
    // Without a single id the server would leave out the filter, and answer with all of them.
    options.documentIds?.length === 0 ? Effect.succeed({ items: [], received: 0, total: 0 }) : Effect.map(
      client.execute(listDocuments, {
        path: at(options),
        query: { limit: options.limit, offset: options.offset, document_ids: options.documentIds }
      }),
      ({ documents, total }) => ({
        items: documents.filter(Predicate.isNotNull),
        received: documents.length,
        total
      })
    )

  const streamDocuments: Service["streamDocuments"] = ({ documentIds, pageSize = 100, ...options }) =>
    wholeNumber(pageSize)
      ? Stream.flatMap(
        documentIds === undefined ? Stream.make(undefined) : Stream.fromIterable(urlGroups(documentIds)),
        (documentIds) =>
          byOffset({
            pageSize,
            fetch: (page) => documentsPage({ ...options, documentIds, ...page })
          })
      )
      : Stream.fail(badInput(listDocuments, "pageSize", "a whole number, at least 1"))

  function upsertDocument(
    options: UpsertDocumentOptions & { readonly mode?: "full" | undefined }
  ): Effect.Effect<FullUpsert, RequestError>
  function upsertDocument(
    options: UpsertDocumentOptions & { readonly mode: "light" }
  ): Effect.Effect<LightUpsert, RequestError>
  function upsertDocument(
    options: UpsertDocumentOptions & {
      readonly mode: "async"
      readonly syncType?: "batch" | "incremental" | undefined
    }
  ): Effect.Effect<AsyncUpsert, RequestError>
  function upsertDocument(
    options: UpsertDocumentOptions & {
      readonly mode?: "full" | "light" | "async" | undefined
      readonly syncType?: "batch" | "incremental" | undefined
    }
  ): Effect.Effect<FullUpsert | LightUpsert | AsyncUpsert, RequestError> {
    return Effect.flatMap(
      documentBody(options),
      (body): Effect.Effect<FullUpsert | LightUpsert | AsyncUpsert, RequestError> => {
        const path = { ...at(options), documentId: options.documentId }
        switch (options.mode) {
          case "async":
            return Effect.map(
              client.execute(upsertAsync, {
                path,
                body: {
                  ...body,
                  async: true,
                  upsertContext: options.syncType === undefined ? undefined : { sync_type: options.syncType }
                }
              }),
              (answer) => ({ documentId: answer.document.document_id })
            )
          case "light":
            return Effect.map(
              client.execute(upsertLight, { path, body: { ...body, light: true } }),
              (answer) => ({ document: answer.document, dataSource: answer.data_source })
            )
          default:
            return Effect.map(
              client.execute(upsertFull, { path, body }),
              (answer) => ({ document: answer.document, dataSource: answer.data_source })
            )
        }
      }
    )
  }

  const tables: Service["listTables"] = (options) =>
    Effect.map(client.execute(listTables, { path: at(options) }), (answer) => answer.tables)

  const oneTable: Service["getTable"] = (options) =>
    Effect.map(
      client.execute(getTable, { path: { ...at(options), tableId: options.tableId } }),
      (answer) => answer.table
    )

  /** The server says 500 for a table that is missing. */
  const orMissingTable =
    (identity: Operation.Identity, options: Location & { readonly tableId: TableId }) =>
    <A>(self: Effect.Effect<A, RequestError>): Effect.Effect<A, RequestError> =>
      Effect.catchTag(
        self,
        "DustServerError",
        (error: DustServerError) =>
          error.status !== 500 ?
            Effect.fail(error) :
            Effect.flatMap(Effect.either(oneTable(options)), (found) =>
              Effect.fail(
                Either.isLeft(found) && found.left._tag === "DustNotFoundError"
                  ? new DustNotFoundError({
                    ...common(identity, error.attempts),
                    message: `${identity.module}.${identity.method}: there is no such table`,
                    status: error.status,
                    type: found.left.type,
                    details: found.left.details,
                    requestId: error.requestId
                  }, { disableValidation: true })
                  : error
              ))
      )

  const upsertTable: Service["upsertTable"] = (options) =>
    Effect.flatMap(epochMillis(createTable, "timestamp", options.timestamp), (timestamp) => {
      const write = options.tableId === undefined ? createTable : replaceTable
      const { name, tableId } = options
      return client.execute(write, { path: at(options), body: tableBody(options, timestamp) }).pipe(
        Effect.map((answer) => answer.table),
        Effect.catchTag(
          "DustServerError",
          (error) =>
            error.status !== 500 ? Effect.fail(error) : Effect.flatMap(Effect.either(tables(options)), (known) => {
              const holder = Either.isRight(known)
                ? known.right.find((table) => table.name === name && table.tableId !== tableId)
                : undefined
              return Effect.fail(
                holder === undefined ? error : new DustConflictError({
                  ...common(write, error.attempts),
                  message: `DataSources.upsertTable: another table (${holder.tableId}) has the name ${
                    JSON.stringify(name.slice(0, 64))
                  }`,
                  status: error.status,
                  type: "table_name_taken",
                  details: { field: "name", tableId: holder.tableId },
                  requestId: error.requestId
                }, { disableValidation: true })
              )
            })
        )
      )
    })

  const rowsPage = (options: Location & Page & { readonly tableId: TableId }) =>
    client.execute(listRows, {
      path: { ...at(options), tableId: options.tableId },
      query: { limit: options.limit, offset: options.offset }
    }).pipe(
      Effect.map(({ rows, total }) => ({ items: rows.filter(Predicate.isNotNull), received: rows.length, total })),
      orMissingTable(listRows, options)
    )

  const sendRows = (
    operation: typeof upsertRows,
    options: Location & { readonly tableId: TableId; readonly truncate?: boolean | undefined },
    rows: ReadonlyArray<WireRow>
  ) =>
    client.execute(operation, {
      path: { ...at(options), tableId: options.tableId },
      body: { rows, truncate: options.truncate }
    }).pipe(
      Effect.map((answer) => answer.table),
      orMissingTable(operation, options)
    )

  const loadTableStream: Service["loadTableStream"] = <E = never>(
    options: LoadTableOptions<E>
  ): Stream.Stream<LoadEvent, E | RequestError> =>
    Stream.unwrap(Effect.gen(function*() {
      const batchSize = options.batchSize ?? 500
      if (!wholeNumber(batchSize)) {
        return yield* Effect.fail(badInput(loadTable, "batchSize", "a whole number, at least 1"))
      }
      if (options.csv !== undefined && !/^[^"\r\n]$/.test(options.delimiter ?? ",")) {
        return yield* Effect.fail(badInput(loadTable, "delimiter", "one character, no quote and no line end"))
      }
      const content = options.csv === undefined ? options.rows : yield* Either.mapLeft(
        csvRows(options.csv, {
          delimiter: options.delimiter ?? ",",
          rowId: options.rowId,
          infer: options.infer ?? true
        }),
        ({ expected, line }) =>
          new DustBadRequestError({
            ...common(loadTable, 0),
            message: `DataSources.loadTable: csv: line ${line}: expected ${expected}`,
            type: "invalid_input",
            details: { field: "csv", line, expected }
          }, { disableValidation: true })
      )
      const known: ReadonlyArray<RowInput> | undefined = Array.isArray(content) ? content : undefined
      if (known !== undefined) {
        if (known.length > maxRows) return yield* Effect.fail(tooManyRows(loadTable))
        yield* wireRows(loadTable, known)
      }
      const { table } = options
      let tableId: TableId
      if (typeof table === "string") {
        tableId = table
      } else {
        const timestamp = yield* epochMillis(loadTable, "table.timestamp", table.timestamp)
        yield* encodeBody(loadTable, Schema.Struct({ table: TableBody }))({ table: tableBody(table, timestamp) })
        const found = (yield* tables(options)).find((one) =>
          table.tableId === undefined ? one.name === table.name : one.tableId === table.tableId
        )
        tableId = (found ?? (yield* upsertTable({ ...at(options), ...table }))).tableId
      }
      const total = known?.length
      let rows = 0
      let batches = 0
      let last: TableSummary | null = null
      const write = (batch: Chunk.Chunk<RowInput>) =>
        Effect.gen(function*() {
          if (rows + batch.length > maxRows) return yield* Effect.fail(tooManyRows(loadTable))
          const wire = yield* wireRows(loadTable, batch, rows)
          last = yield* patiently(
            sendRows(
              loadTable,
              { ...at(options), tableId, truncate: batches === 0 ? options.truncate : undefined },
              wire
            )
          )
          rows += batch.length
          batches++
          return { _tag: "Progress", tableId, rows, total, batches } as const
        })
      return asStream<RowInput, E>(content).pipe(
        Stream.grouped(batchSize),
        Stream.mapEffect(write),
        Stream.concat(Stream.unwrap(Effect.suspend(() =>
          Effect.map(
            batches === 0 && options.truncate === true ? write(Chunk.empty()) : Effect.void,
            () => Stream.make({ _tag: "Done", tableId, rows, total, batches, table: last } as const)
          )
        )))
      )
    }))

  const sync: Service["syncDocuments"] = <E = never>(
    options: SyncOptions<E>
  ): Stream.Stream<SyncEvent, E | RequestError> =>
    Stream.unwrap(Effect.gen(function*() {
      const { concurrency = 8, deleteStale = false, perMinute = 110, resumeAfter, unchanged } = options
      if (!wholeNumber(concurrency)) {
        return yield* Effect.fail(badInput(syncDocuments, "concurrency", "a whole number, at least 1"))
      }
      if (!wholeNumber(perMinute)) {
        return yield* Effect.fail(badInput(syncDocuments, "perMinute", "a whole number, at least 1"))
      }
      const since = yield* epochMillis(syncDocuments, "since", options.since)
      const slot = yield* makeBudget(perMinute, 60_000)
      const there = Effect.map(
        Stream.runFold(
          streamDocuments(at(options)),
          new Map<string, Document>(),
          (all, one) => all.set(one.documentId, { ...one, chunks: [], text: null })
        ),
        (all): ReadonlyMap<string, Document> => all
      )
      const before = unchanged === undefined ? undefined : yield* there

      const counts = { processed: 0, upserted: 0, skipped: 0, failed: 0, deleted: 0 }
      const total = Array.isArray(options.documents) ? options.documents.length : undefined
      const seen = new Set<string>()
      const finished = new Map<number, DocumentId>()
      let next = 0
      let checkpoint: DocumentId | undefined
      let resuming = resumeAfter !== undefined

      const progress = (): SyncProgress => ({ ...counts, total, checkpoint })
      const finish = (index: number, documentId: DocumentId) => {
        counts.processed++
        finished.set(index, documentId)
        for (let id = finished.get(next); id !== undefined; id = finished.get(++next)) {
          finished.delete(next)
          checkpoint = id
        }
      }
      const skip = (index: number, documentId: DocumentId, reason: "unchanged" | "since" | "resumed"): SyncEvent => {
        counts.skipped++
        finish(index, documentId)
        return { _tag: "Skipped", documentId, reason, progress: progress() }
      }
      const fail = (documentId: DocumentId, error: RequestError): SyncEvent => {
        counts.processed++
        counts.failed++
        return { _tag: "Failed", documentId, action: "upsert", error, progress: progress() }
      }
      const isUnchanged = (input: DocumentInput, timestamp: number | undefined): boolean => {
        const existing = before?.get(input.documentId)
        if (existing === undefined || unchanged === undefined) return false
        if (typeof unchanged === "function") return unchanged(input, existing)
        return unchanged === "timestamp"
          ? timestamp !== undefined && existing.timestamp === timestamp
          : input.tags?.some((tag) => isFingerprint(tag) && existing.tags.includes(tag)) === true
      }

      interface Item {
        readonly input: DocumentInput
        readonly index: number
        readonly resumed: boolean
        readonly again: boolean
      }
      const register = (input: DocumentInput, index: number): Item => {
        const resumed = resuming
        if (resuming && input.documentId === resumeAfter) resuming = false
        const again = seen.has(input.documentId)
        seen.add(input.documentId)
        return { input, index, resumed, again }
      }

      const write = (input: DocumentInput) =>
        patiently(Effect.zipRight(
          slot,
          options.mode === "async"
            ? Effect.asVoid(upsertDocument({ ...at(options), ...input, mode: "async", syncType: "batch" }))
            : Effect.asVoid(upsertDocument({ ...at(options), ...input, mode: "light" }))
        ))

      const process = ({ again, index, input: given, resumed }: Item): Effect.Effect<SyncEvent, RequestError> => {
        const { documentId } = given
        if (resumed) return Effect.succeed(skip(index, documentId, "resumed"))
        return Effect.gen(function*() {
          if (again) {
            return yield* Effect.fail(
              badInput(syncDocuments, "documentId", "an id that no earlier document of the sync has")
            )
          }
          const timestamp = yield* epochMillis(syncDocuments, "timestamp", given.timestamp)
          if (since !== undefined && timestamp !== undefined && timestamp <= since) {
            return skip(index, documentId, "since")
          }
          const input = unchanged === "fingerprint" ? yield* withFingerprint(given) : given
          if (isUnchanged(input, timestamp)) return skip(index, documentId, "unchanged")
          yield* checkedDocument(input)
          yield* write(input)
          counts.upserted++
          finish(index, documentId)
          return { _tag: "Upserted", documentId, progress: progress() } as const
        }).pipe(
          Effect.catchAll((error) => isFatal(error) ? Effect.fail(error) : Effect.sync(() => fail(documentId, error)))
        )
      }

      const erase = (documentId: DocumentId): Effect.Effect<SyncEvent, RequestError> =>
        client.execute(deleteDocument, { path: { ...at(options), documentId } }).pipe(
          // Somebody else was quicker.
          Effect.catchIf(isMissingDocument, () => Effect.void),
          Effect.map((): SyncEvent => {
            counts.deleted++
            return { _tag: "Deleted", documentId, progress: progress() }
          }),
          Effect.catchAll((error) =>
            isFatal(error) ? Effect.fail(error) : Effect.sync((): SyncEvent => {
              counts.failed++
              return { _tag: "Failed", documentId, action: "delete", error, progress: progress() }
            })
          )
        )

      const stale = Stream.unwrap(Effect.gen(function*() {
        if (resuming) {
          return yield* Effect.fail(badInput(syncDocuments, "resumeAfter", "the id of one of the documents"))
        }
        if (deleteStale === false) return Stream.empty
        if (deleteStale === true && seen.size === 0) {
          return yield* Effect.fail(badInput(
            syncDocuments,
            "documents",
            "at least one: with none, deleteStale would delete everything; a function as deleteStale can still say so"
          ))
        }
        const gone = [...(before ?? (yield* there)).values()].filter((existing) =>
          !seen.has(existing.documentId) && (deleteStale === true || deleteStale(existing))
        )
        return Stream.fromIterable(gone).pipe(
          Stream.mapEffect((existing) => erase(existing.documentId), { concurrency, unordered: true })
        )
      }))

      let position = 0
      return asStream<DocumentInput, E>(options.documents).pipe(
        Stream.map((input) => register(input, position++)),
        Stream.mapEffect(process, { concurrency, unordered: true }),
        Stream.concat(stale),
        Stream.concat(Stream.sync(() => ({ _tag: "Done", progress: progress() } as const)))
      )
    }))

  const allSources = (operation: typeof listSources, spaceId: SpaceId) =>
    Effect.map(client.execute(operation, { path: { spaceId } }), (answer) => answer.data_sources)

  return DataSources.of({
    list: (spaceId) => allSources(listSources, spaceId),
    findByName: ({ name, spaceId }) => pickByName(findSource, "data source", name, allSources(findSource, spaceId)),
    listDocuments: (options) =>
      Effect.map(documentsPage(options), ({ items, total }) => ({ documents: items, total: total ?? 0 })),
    streamDocuments,
    getDocument: (options) =>
      Effect.map(
        client.execute(getDocument, { path: { ...at(options), documentId: options.documentId } }),
        (answer) => answer.document
      ),
    upsertDocument,
    deleteDocument: (options) =>
      client.execute(deleteDocument, { path: { ...at(options), documentId: options.documentId } }),
    updateParents: (options) =>
      client.execute(updateParents, {
        path: { ...at(options), documentId: options.documentId },
        body: { parents: [options.documentId, ...options.parents], parentId: options.parents[0] }
      }),
    search: (options) =>
      Effect.flatMap(
        searchQuery(search, options),
        (query) => Effect.map(client.execute(search, { path: at(options), query }), (answer) => answer.documents)
      ),
    tokenize: (options) =>
      Effect.map(
        client.execute(tokenize, { path: at(options), body: { text: options.text } }),
        (answer) => answer.tokens.map(([id, text]): Token => ({ id, text }))
      ),
    listTables: tables,
    getTable: oneTable,
    upsertTable,
    deleteTable: (options) => client.execute(deleteTable, { path: { ...at(options), tableId: options.tableId } }),
    listRows: (options) => Effect.map(rowsPage(options), ({ items, total }) => ({ rows: items, total: total ?? 0 })),
    streamRows: ({ pageSize = 500, ...options }) =>
      wholeNumber(pageSize)
        ? byOffset({
          pageSize,
          fetch: (page) => rowsPage({ ...options, ...page })
        })
        : Stream.fail(badInput(listRows, "pageSize", "a whole number, at least 1")),
    getRow: (options) =>
      client.execute(getRow, { path: { ...at(options), tableId: options.tableId, rowId: options.rowId } }).pipe(
        Effect.map((answer) => answer.row),
        orMissingTable(getRow, options)
      ),
    upsertRows: (options) =>
      options.rows.length > maxRows
        ? Effect.fail(tooManyRows(upsertRows))
        : Effect.flatMap(wireRows(upsertRows, options.rows), (rows) => sendRows(upsertRows, options, rows)),
    deleteRow: (options) =>
      client.execute(deleteRow, { path: { ...at(options), tableId: options.tableId, rowId: options.rowId } }),
    loadTable: ({ onProgress, ...options }) => {
      const { table } = options
      const nothing: LoadResult = {
        tableId: typeof table === "string" ? table : table.tableId ?? "",
        rows: 0,
        total: undefined,
        batches: 0,
        table: null
      }
      return Stream.runFoldEffect(loadTableStream(options), nothing, (result, { _tag, ...event }) => {
        const current: LoadResult = { ...result, ...event }
        return _tag === "Done" || onProgress === undefined
          ? Effect.succeed(current)
          : Effect.as(onProgress(event), current)
      })
    },
    loadTableStream,
    syncDocuments: sync
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSources, never, DustClient> = Layer.effect(DataSources, make)
