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
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
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
import { DustConflictError, DustNotFoundError, type DustServerError, type RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import type { DocumentId, RowId, SpaceId, TableId } from "./Ids.ts"
import {
  createTable,
  deleteDocument,
  deleteRow,
  deleteTable,
  findSource,
  getDocument,
  getRow,
  getTable,
  isMissingDocument,
  listDocuments,
  listRows,
  listSources,
  listTables,
  loadTable,
  maxRows,
  replaceTable,
  search,
  TableBody,
  tokenize,
  updateParents,
  upsertAsync,
  upsertFull,
  upsertLight,
  upsertRows,
  type WireRow
} from "./internal/api/dataSources.ts"
import type * as Operation from "./internal/api/operation.ts"
import { ColumnNames } from "./internal/data/columns.ts"
import { documentBody } from "./internal/data/document.ts"
import { tooManyRows, wireRows } from "./internal/data/rows.ts"
import { type DocumentStore, planSync, syncDocuments } from "./internal/data/sync.ts"
import { loadTable as loadEvents, type TableStore } from "./internal/data/table.ts"
import { epochMillis } from "./internal/input/dates.ts"
import { encodeBody } from "./internal/input/encode.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { searchQuery, type SearchOptions } from "./internal/input/searchQuery.ts"
import { badInput, common } from "./internal/request/errors.ts"
import { byOffset } from "./internal/util/paging.ts"

const maxIdsInUrl = 6_000

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

const tableBody = (table: TableInput, timestamp: number | undefined): typeof TableBody.Type => ({
  tableId: table.tableId,
  name: table.name,
  title: table.title ?? table.name,
  description: table.description ?? "",
  timestamp,
  tags: table.tags,
  sourceUrl: table.sourceUrl
})

/** Each id once, in groups that leave room in a URL: servers begin to refuse one at 8 kB. */
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

/** The last event of a load, which is its result. */
const loaded = <E, R, E2, R2>(
  events: Stream.Stream<LoadEvent, E | RequestError, R>,
  onProgress: OnLoadProgress<E2, R2> | undefined
): Effect.Effect<LoadResult, E | E2 | RequestError, R | R2> =>
  Effect.suspend(() => {
    let result: LoadResult | undefined
    return events.pipe(
      Stream.runForEach(({ _tag, ...event }): Effect.Effect<void, E2, R2> => {
        if ("rowsInTable" in event) result = event
        return _tag === "Progress" && onProgress !== undefined ? onProgress(event) : Effect.void
      }),
      // A load that does not fail ends with its result.
      Effect.flatMap(() =>
        result === undefined ? Effect.dieMessage("a load ended without a result") : Effect.succeed(result)
      )
    )
  })

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
          byOffset(listDocuments, {
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

  const streamRows: Service["streamRows"] = ({ pageSize = 500, ...options }) =>
    wholeNumber(pageSize)
      ? byOffset(listRows, { pageSize, fetch: (page) => rowsPage({ ...options, ...page }) })
      : Stream.fail(badInput(listRows, "pageSize", "a whole number, at least 1"))

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

  const documentStore = (location: Location): DocumentStore => ({
    settings: client.settings,
    list: (onPage) =>
      byOffset(listDocuments, {
        pageSize: 100,
        fetch: (page) =>
          Effect.tap(
            documentsPage({ ...at(location), ...page }),
            ({ received, total }) => onPage(page.offset + received, total ?? undefined)
          )
      }),
    write: (input, mode) =>
      mode === "async"
        ? Effect.asVoid(upsertDocument({ ...at(location), ...input, mode, syncType: "batch" }))
        : Effect.asVoid(upsertDocument({ ...at(location), ...input, mode })),
    remove: (documentId) =>
      Effect.catchIf(
        client.execute(deleteDocument, { path: { ...at(location), documentId } }),
        isMissingDocument,
        () => Effect.void
      )
  })

  const tableStore = (location: Location): TableStore => ({
    settings: client.settings,
    check: (table) =>
      Effect.flatMap(
        epochMillis(loadTable, "table.timestamp", table.timestamp),
        (timestamp) =>
          encodeBody(loadTable, Schema.Struct({ table: TableBody }))({ table: tableBody(table, timestamp) })
      ),
    tables: tables(location),
    create: (table) => upsertTable({ ...at(location), ...table }),
    write: (tableId, rows, truncate) =>
      sendRows(loadTable, { ...at(location), tableId, truncate: truncate ? true : undefined }, rows),
    rowIds: (tableId) => Stream.map(streamRows({ ...at(location), tableId }), (row) => row.rowId),
    count: (tableId) => Effect.map(rowsPage({ ...at(location), tableId, limit: 1 }), ({ total }) => total),
    remove: (tableId, rowId) => client.execute(deleteRow, { path: { ...at(location), tableId, rowId } })
  })

  const loadTableStream: Service["loadTableStream"] = (options) => loadEvents(tableStore(options), options)

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
    streamRows,
    getRow: (options) =>
      client.execute(getRow, { path: { ...at(options), tableId: options.tableId, rowId: options.rowId } }).pipe(
        Effect.map((answer) => answer.row),
        orMissingTable(getRow, options)
      ),
    upsertRows: (options) =>
      options.rows.length > maxRows
        ? Effect.fail(tooManyRows(upsertRows))
        : Effect.flatMap(wireRows(upsertRows, new ColumnNames(), options.rows), (rows) =>
          sendRows(upsertRows, options, rows)),
    deleteRow: (options) =>
      client.execute(deleteRow, { path: { ...at(options), tableId: options.tableId, rowId: options.rowId } }),
    loadTable: ({ onProgress, ...options }) => loaded(loadTableStream(options), onProgress),
    loadTableStream,
    syncDocuments: (options) => syncDocuments(documentStore(options), options),
    planSync: (options) => planSync(documentStore(options), options)
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSources, never, DustClient> = Layer.effect(DataSources, make)
