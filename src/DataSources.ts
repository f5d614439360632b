/**
 * Data sources: reads, writes, syncs and searches documents, and loads tables.
 *
 * The caller chooses the ids of documents, tables and rows. Any text is allowed except blank text, `.` and `..`; slashes,
 * spaces and any script are encoded. Writing an id again replaces its content, so upserts and deletions are retried.
 *
 * | what | limit |
 * |---|---|
 * | upserts of documents | 120 a minute per workspace; beyond that `DustRateLimitError` |
 * | size of a document | depends on the plan; `DustQuotaExceededError` (`data_source_quota_error`) |
 * | size of the workspace | depends on the plan; `DustQuotaExceededError` (`workspace_quota_error`) |
 * | rows of a table | 500,000; refused before any request |
 *
 * All methods accept an API key or an access token. They fail with `DustNotFoundError` (`data_source_not_found`) if the data
 * source is not in the space or the credential cannot read it, and with `DustForbiddenError` (`data_source_auth_error`) if the
 * credential cannot write to it. Managed connections are read-only.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
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
 * Rows to write, and their table.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpsertRowsOptions extends Location {
  readonly tableId: TableId
  /** At most 500 000. */
  readonly rows: ReadonlyArray<RowInput>
  /** Whether to replace all rows of the table with these. Defaults to `false`. */
  readonly truncate?: boolean | undefined
}

/**
 * The methods of {@link DataSources}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
  /**
   * Finds the data source with this name: by an exact match, else ignoring case. Retried automatically.
   *
   * Fails with `DustNotFoundError` (`name_not_found`) for an unknown name (`details.near` has similar names), and with
   * `DustBadRequestError` (`ambiguous_name`) if several have it.
   */
  readonly findByName: (options: {
    readonly spaceId: SpaceId
    readonly name: string
  }) => Effect.Effect<DataSource, RequestError>
  /**
   * Returns one page of documents. While documents are added or deleted, pages can overlap or miss some. Retried automatically.
   *
   * Source: `GET …/data_sources/{dataSourceId}/documents`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/documents/index.ts` in dust-tt/dust.
   */
  readonly pageDocuments: (options: ListDocumentsOptions) => Effect.Effect<{
    readonly documents: ReadonlyArray<Document>
    readonly total: number
  }, RequestError>
  /** Streams all documents, page by page as they are consumed. Retried automatically. */
  readonly streamDocuments: (options: StreamDocumentsOptions) => Stream.Stream<Document, RequestError>
  /**
   * Creates a document, or replaces it completely: text, tags, title and source URL.
   *
   * By default, the document is embedded and searchable when this succeeds, and is returned in full. Mode `light` returns its
   * sizes only; mode `async` queues it and returns its id. Title, URL, timestamp and depth of sections are checked
   * before any request. Retried automatically: the same id is written again. To write many, use {@link Service.syncDocuments}.
   *
   * Source: `POST …/data_sources/{dataSourceId}/documents/{documentId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/documents/[documentId]/index.ts` in dust-tt/dust.
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
   * Sets the parents of a document, from the nearest to the farthest. An empty list moves it to the top. Retried
   * automatically.
   *
   * Source: `POST …/data_sources/{dataSourceId}/documents/{documentId}/parents`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/documents/[documentId]/parents.ts` in dust-tt/dust.
   */
  readonly updateParents: (
    options: Location & { readonly documentId: DocumentId; readonly parents: ReadonlyArray<string> }
  ) => Effect.Effect<void, RequestError>
  /**
   * Searches documents by meaning. Returns each document with the chunks that match and their scores;
   * `DataSource.passages` returns them as one list. `topK` defaults to 10. Retried automatically.
   *
   * Source: `GET …/data_sources/{dataSourceId}/search`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/search.ts` in dust-tt/dust.
   */
  readonly search: (options: Location & SearchOptions) => Effect.Effect<ReadonlyArray<Document>, RequestError>
  /**
   * Creates a table without rows, or replaces the description of the table with this id. Retried automatically if an id is
   * given; otherwise only if the request provably did not arrive.
   *
   * Fails with `DustConflictError` (`table_name_taken`) if another table has the name.
   *
   * Source: `POST …/data_sources/{dataSourceId}/tables`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/index.ts` in dust-tt/dust.
   */
  readonly upsertTable: (options: Location & TableInput) => Effect.Effect<Table, RequestError>
  /**
   * Returns one page of rows. Retried automatically. Fails with `DustNotFoundError` (`table_not_found`) if the table does not
   * exist.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}/rows`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/[tId]/rows/index.ts` in dust-tt/dust.
   */
  readonly pageRows: (options: Location & Page & { readonly tableId: TableId }) => Effect.Effect<{
    readonly rows: ReadonlyArray<Row>
    readonly total: number
  }, RequestError>
  /**
   * Streams all rows, page by page as they are consumed. Retried automatically. Fails with `DustNotFoundError`
   * (`table_not_found`) if the table does not exist.
   */
  readonly streamRows: (
    options: Location & {
      readonly tableId: TableId
      /** Rows per request. Defaults to 500. */
      readonly pageSize?: number | undefined
    }
  ) => Stream.Stream<Row, RequestError>
  /**
   * Returns one row. Retried automatically. Fails with `DustServerError` if the row does not exist, because Dust responds with
   * 500. For a missing table, see
   * {@link Service.pageRows}.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/[tId]/rows/[rId].ts` in dust-tt/dust.
   */
  readonly getRow: (
    options: Location & { readonly tableId: TableId; readonly rowId: RowId }
  ) => Effect.Effect<Row, RequestError>
  /**
   * Writes rows in one request. A row with an existing `rowId` replaces it. Dust derives the columns from the rows. Names of columns,
   * cells and the number of rows are checked before any request. Retried automatically. To write many rows, use
   * {@link Service.loadTable}.
   *
   * Fails with `DustRateLimitError` if too many updates of the table are waiting. For a missing table, see
   * {@link Service.pageRows}.
   *
   * Source: `POST …/data_sources/{dataSourceId}/tables/{tableId}/rows`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/[tId]/rows/index.ts` in dust-tt/dust.
   */
  readonly upsertRows: (options: UpsertRowsOptions) => Effect.Effect<TableSummary, RequestError>
  /**
   * Loads a table from rows, records or a CSV, batch by batch. Creates the table if the name or id is new.
   *
   * Validates the description of the table, arrays and CSVs before any request: ids, cells, and the limit of 500,000 rows
   * (`DustContentTooLargeError`). For a CSV, `details.line` is the line of the error. A Stream is validated batch by batch; if
   * it fails, so does the load.
   *
   * With `replace`, all rows are written before other rows are deleted, so that a failure keeps the old rows; a source of a
   * single batch replaces them in one request. Fails with `DustBadRequestError` if the source is empty or would shrink the
   * table by more than half; see `allowEmpty` and `maxDeletions`.
   *
   * Waits for rate limits as long as the retry policy and the `total` timeout of each batch allow. By default, the load as a whole
   * has no limit, because it takes as long as its source; a `total` that you set bounds it (`DustTimeoutError`). Run the load again
   * after a failure: the same ids replace the same rows.
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
  /**
   * Loads a table like {@link Service.loadTable}, as a Stream: a `Progress` after each batch, then `Done`. No `total` bounds
   * it as a whole.
   */
  readonly loadTableStream: <E = never, R = never>(
    options: LoadTableOptions<E, R>
  ) => Stream.Stream<LoadEvent, E | RequestError, R>
  /**
   * Syncs a data source with a source: writes its documents within Dust's rate limit, skips unchanged ones, and optionally
   * deletes documents that the source no longer contains. Emits events as documents finish, not necessarily in the order of
   * the source.
   *
   * Emits `Failed` for a document that cannot be written (invalid input, a quota, a firewall, a server error after its retries,
   * a duplicate id) and continues. The Stream fails if no document can be written (the credential is refused, the data source
   * is missing or read-only), if a rate limit requires a longer wait than the retry policy allows, and if the source fails.
   *
   * Every request has its limits; the sync as a whole has none, like every Stream. To bound a source that may fall silent, use
   * `Stream.timeoutFail`.
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
   * Returns what {@link Service.syncDocuments} with the same options would write, skip, refuse and delete. Only reads. By
   * default, it takes as long as its source; a `total` that you set bounds it. Retried automatically. Fails with the errors of
   * the source.
   */
  readonly planSync: <E = never, R = never>(
    options: SyncOptions<E, R>
  ) => Effect.Effect<SyncPlan, E | RequestError, R>
}

/**
 * The tag of the service: `yield* DataSources` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class DataSources extends Context.Tag("effect-dust/DataSources")<DataSources, Service>() {}

type InTable = Location & { readonly tableId: TableId }

/** A job takes as long as its source: only a configured `total` bounds the whole. */
const unlessChosen = { needs: Duration.infinity }

/**
 * Makes the service.
 *
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
    ) =>
      client.withTotal(operation.loadTable.write, unlessChosen)(
        loaded(loadTable(tableStore(tools, "loadTable", options), options), onProgress)
      ),
    loadTableStream: <E = never, R = never>(options: LoadTableOptions<E, R>) =>
      loadTable(tableStore(tools, "loadTableStream", options), options),
    syncDocuments: <E = never, R = never>(options: SyncOptions<E, R>) =>
      syncDocuments(documentStore(tools, options), options),
    planSync: <E = never, R = never>(options: SyncOptions<E, R>) =>
      client.withTotal(operation.planSync.list, unlessChosen)(planSync(documentStore(tools, options), options))
  }
})

/**
 * Provides {@link DataSources} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSources, never, DustClient> = Layer.effect(DataSources, make)
