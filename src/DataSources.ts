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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type {
  AsyncUpsert,
  DataSource,
  Document,
  FullUpsert,
  LightUpsert,
  ListDocumentsOptions,
  Location,
  Page,
  Row,
  RowInput,
  StreamDocumentsOptions,
  Table,
  TableInput,
  TableSummary,
  UpsertDocumentOptions
} from "./DataSource.ts"
import type {
  LoadEvent,
  LoadResult,
  LoadTableOptions,
  OnLoadProgress,
  SyncEvent,
  SyncOptions,
  SyncPlan
} from "./DataSync.ts"
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type { DocumentId, RowId, SpaceId, TableId } from "./Ids.ts"
import { dataSources as endpoints, maxRows } from "./internal/api/dataSources.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { ColumnNames } from "./internal/data/columns.ts"
import { allDocuments, at, documentStore, readDocuments, upsertDocumentWith } from "./internal/data/documents.ts"
import { tooManyRows, wireRows } from "./internal/data/rows.ts"
import { planSync, syncDocuments } from "./internal/data/sync.ts"
import { loadTable } from "./internal/data/table.ts"
import { allRows, loaded, readRow, readRows, tableStore, upsertTableWith, writeRows } from "./internal/data/tables.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { searchQuery, type SearchOptions } from "./internal/input/searchQuery.ts"

export type {
  AsyncUpsert,
  DocumentContent,
  DocumentFields,
  DocumentInput,
  FullUpsert,
  LightUpsert,
  ListDocumentsOptions,
  Location,
  Moment,
  Page,
  StreamDocumentsOptions,
  TableInput,
  Token,
  UpsertDocumentOptions
} from "./DataSource.ts"
export type * from "./DataSync.ts"
export type { SearchOptions }

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
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
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
  readonly pageDocuments: (options: ListDocumentsOptions) => Effect.Effect<{
    readonly documents: ReadonlyArray<Document>
    readonly total: number
  }, RequestError>
  /** Every document, page by page. */
  readonly streamDocuments: (options: StreamDocumentsOptions) => Stream.Stream<Document, RequestError>
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
   * One page of rows. Retried. The server answers 500 for a table that is missing; then the table is looked up, and this
   * is a `DustNotFoundError` (`table_not_found`).
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}/rows`
   */
  readonly pageRows: (options: Location & Page & { readonly tableId: TableId }) => Effect.Effect<{
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
   * {@link Service.pageRows}.
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
   * {@link Service.pageRows}.
   *
   * Source: `POST …/data_sources/{dataSourceId}/tables/{tableId}/rows`
   */
  readonly upsertRows: (options: UpsertRowsOptions) => Effect.Effect<TableSummary, RequestError>
  /**
   * Fills a table from rows, records or a CSV, in batches, one after the other. Creates the table if there is none with
   * that name or id.
   *
   * The description of the table, an array and a CSV are checked before any request: at most 500,000 rows
   * (`DustContentTooLargeError`), ids, cells; for a CSV, `details.line` is the line of the mistake. A Stream is checked
   * batch by batch, and its failure is the failure of the load.
   *
   * With `replace`, all rows are written first, and only then the rows that are not among them are deleted: whatever
   * fails, the old rows are still there (a source of a single batch replaces them in one request). An empty source, or one
   * that would shrink the table by more than half, is a `DustBadRequestError`; see `allowEmpty` and `maxDeletions`.
   *
   * A rate limit is waited for, as long as the retry policy and the `total` timeout allow for each batch. A load can be
   * run again after a failure: the same ids replace the same rows.
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
   *     replace: true,
   *     onProgress: ({ rows, total }) => Console.log(`${rows} of ${total}`)
   *   }))
   * ```
   */
  readonly loadTable: <E = never, R = never, E2 = never, R2 = never>(
    options: LoadTableOptions<E, R> & { readonly onProgress?: OnLoadProgress<E2, R2> | undefined }
  ) => Effect.Effect<LoadResult, E | E2 | RequestError, R | R2>
  /** {@link Service.loadTable} as a Stream: a `Progress` after each batch, then `Done`. */
  readonly loadTableStream: <E = never, R = never>(
    options: LoadTableOptions<E, R>
  ) => Stream.Stream<LoadEvent, E | RequestError, R>
  /**
   * Brings a data source to the state of a source: writes its documents, within the rate limit of Dust, skips unchanged
   * ones, and can delete what the source no longer has. Events arrive as documents finish, not always in the order of the
   * source.
   *
   * A document that cannot be written is a `Failed` event, and the sync goes on: bad input (before any request), a quota,
   * a firewall that refuses it, a server error after its retries, a duplicate id. The Stream itself fails when Dust says
   * that no document can be written (the credential is refused, the data source is missing or read-only), when a rate
   * limit asks for a longer wait than the retry policy allows, and when the source fails.
   *
   * To continue after a stop, use `unchanged`, or pass the last `progress.checkpoint` as `resumeAfter`; discard it after
   * `Done`. {@link Service.planSync} shows what a sync would do.
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
  readonly syncDocuments: <E = never, R = never>(
    options: SyncOptions<E, R>
  ) => Stream.Stream<SyncEvent, E | RequestError, R>
  /**
   * What {@link Service.syncDocuments} with the same options would write, skip, refuse and delete. Only reads.
   */
  readonly planSync: <E = never, R = never>(
    options: SyncOptions<E, R>
  ) => Effect.Effect<SyncPlan, E | RequestError, R>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class DataSources extends Context.Tag("effect-dust/DataSources")<DataSources, Service>() {}

type InTable = Location & { readonly tableId: TableId }

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(DataSources, endpoints, (tools) => {
  const { call, client, operation } = tools
  return {
    findByName: ({ name, spaceId }: { readonly spaceId: SpaceId; readonly name: string }) =>
      pickByName(operation.findByName.list, "data source", name, call.findByName.list(spaceId)),
    pageDocuments: (options: ListDocumentsOptions) =>
      Effect.map(
        readDocuments(call.pageDocuments.read, options),
        ({ items, total }) => ({ documents: items, total: total ?? 0 })
      ),
    streamDocuments: (options: StreamDocumentsOptions) =>
      allDocuments(operation.streamDocuments.read, call.streamDocuments.read, options),
    upsertDocument: upsertDocumentWith(call.upsertDocument),
    updateParents: (
      { documentId, parents, ...location }: Location & {
        readonly documentId: DocumentId
        readonly parents: ReadonlyArray<string>
      }
    ) =>
      call.updateParents.post({
        ...at(location),
        documentId,
        parents: [documentId, ...parents],
        parentId: parents[0]
      }),
    search: (options: Location & SearchOptions) =>
      Effect.flatMap(
        searchQuery(operation.search.get, options),
        (query) =>
          Effect.map(client.execute(operation.search.get, { path: at(options), query }), (answer) => answer.documents)
      ),
    upsertTable: upsertTableWith(tools),
    pageRows: (options: InTable & Page) =>
      Effect.map(readRows(tools, "pageRows", options), ({ items, total }) => ({ rows: items, total: total ?? 0 })),
    streamRows: (options: InTable & { readonly pageSize?: number | undefined }) => allRows(tools, options),
    getRow: (options: InTable & { readonly rowId: RowId }) => readRow(tools, options),
    upsertRows: ({ rows, ...table }: UpsertRowsOptions) => {
      const { write } = operation.upsertRows
      return rows.length > maxRows
        ? Effect.fail(tooManyRows(write))
        : Effect.flatMap(
          wireRows(write, new ColumnNames(), rows),
          (wire) => writeRows(tools, "upsertRows", table, wire)
        )
    },
    loadTable: <E = never, R = never, E2 = never, R2 = never>(
      { onProgress, ...options }: LoadTableOptions<E, R> & {
        readonly onProgress?: OnLoadProgress<E2, R2> | undefined
      }
    ) => loaded(loadTable(tableStore(tools, "loadTable", options), options), onProgress),
    loadTableStream: <E = never, R = never>(options: LoadTableOptions<E, R>) =>
      loadTable(tableStore(tools, "loadTableStream", options), options),
    syncDocuments: <E = never, R = never>(options: SyncOptions<E, R>) =>
      syncDocuments(documentStore(tools, options), options),
    planSync: <E = never, R = never>(options: SyncOptions<E, R>) => planSync(documentStore(tools, options), options)
  }
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSources, never, DustClient> = Layer.effect(DataSources, make)
