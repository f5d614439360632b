/**
 * Options, events and results of `DataSources.syncDocuments`, `planSync` and `loadTable`.
 *
 * These jobs keep existing data until its replacement is written. A failure, an empty source, an invalid row or an early end
 * never removes data, unless the caller allows it with `maxDeletions` or `allowEmpty`.
 *
 * ```ts
 * import type { SyncEvent } from "effect-dust/DataSync"
 *
 * const line = (event: SyncEvent) =>
 *   event._tag === "Failed"
 *     ? `${event.documentId}: ${event.error.message}`
 *     : `${event.progress.processed} of ${event.progress.total ?? "?"}`
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Document, DocumentInput, Location, Moment, RowInput, TableInput, TableSummary } from "./DataSource.ts"
import type { RequestError } from "./DustAPIError.ts"
import type { DocumentId, TableId } from "./Ids.ts"

/**
 * The maximum number of deletions of a job: a number, or a share of the existing documents or rows, rounded up (`"10%"`). Beyond
 * it, the job fails with `DustBadRequestError` (`too_many_deletions`) and deletes nothing.
 *
 * @category models
 * @since 0.2.0
 */
export type MaxDeletions = number | `${number}%`

/**
 * The source of a sync and its options.
 *
 * @category models
 * @since 0.1.0
 */
export type SyncOptions<E = never, R = never> = Location & {
  /**
   * The documents of the source. An Iterable, such as a generator, is read one document at a time, so that at most
   * `concurrency` documents are in memory. A Stream may fail and may have requirements.
   */
  readonly documents: Iterable<DocumentInput> | Stream.Stream<DocumentInput, E, R>
  /** The number of documents, for the progress. Defaults to the length of an array. */
  readonly total?: number | undefined
  /** `light` (default): each document is searchable when its event arrives. `async`: it is queued. */
  readonly mode?: "light" | "async" | undefined
  /** Concurrent upserts and deletions. Defaults to 8. */
  readonly concurrency?: number | undefined
  /** The maximum number of upserts in any 60 seconds. Dust allows 120 per workspace. Defaults to 110. */
  readonly perMinute?: number | undefined
  /**
   * Skips documents that have not changed:
   *
   * - `timestamp`: the existing document has the same `timestamp`; documents without one are always written
   * - `fingerprint`: the existing document carries the tag `fingerprint:…` of the same content, which the sync adds to each
   *   document; the order of tags, line ends and the Unicode form make no difference
   * - a function of the document and the existing one
   */
  readonly unchanged?:
    | "timestamp"
    | "fingerprint"
    | ((document: DocumentInput, existing: Document) => boolean)
    | undefined
  /** Skips documents whose `timestamp` is not after this one. */
  readonly since?: Moment | undefined
  /**
   * Skips every document up to and including this one: the `checkpoint` of an earlier, unfinished sync of the same source
   * in the same order. Discard it after `Done`. If the source does not contain this id, every document is skipped, and the
   * sync fails with `DustBadRequestError` once the source ends.
   */
  readonly resumeAfter?: DocumentId | undefined
  /**
   * At the end, deletes documents that existed when the sync began and are not in the source, or only those for which the
   * function returns `true`. Never deletes documents that are added during the sync, and deletes nothing if the source or the
   * sync fails. Defaults to `false`.
   */
  readonly deleteStale?: boolean | ((existing: Document) => boolean) | undefined
  /**
   * The maximum number of stale documents to delete. By default, at least half of the existing documents must remain.
   */
  readonly maxDeletions?: MaxDeletions | undefined
  /**
   * `true` accepts a source without documents, so that `deleteStale` deletes everything. By default, an empty source fails with
   * `DustBadRequestError` (`empty_source`) and deletes nothing, because it is usually broken.
   */
  readonly allowEmpty?: boolean | undefined
  /**
   * What to do with a document whose `sourceUrl` Dust refuses (not http or https, or `//` in its path): `fail` the document
   * (default), or `omit` the URL.
   */
  readonly invalidSourceUrl?: "fail" | "omit" | undefined
}

/**
 * The progress of a sync.
 *
 * @category models
 * @since 0.1.0
 */
export interface SyncProgress {
  /** Finished documents of the source, including skipped and failed ones. */
  readonly processed: number
  readonly upserted: number
  readonly skipped: number
  readonly failed: number
  readonly deleted: number
  /** Documents of the source: `total`, or the length of an array. */
  readonly total: number | undefined
  /**
   * The `resumeAfter` of a later sync: this document and all before it are finished. A temporary failure (a server error, the
   * network, a limit) holds it back, so that a resumed sync writes that document again. A permanent one does not.
   */
  readonly checkpoint: DocumentId | undefined
}

/**
 * An event of a sync.
 *
 * - `Listing`: the existing documents are being listed, which `unchanged` and `deleteStale` need first
 * - `Waiting`: the sync pauses until `until`, because of `perMinute` or a rate limit
 * - `Upserted`, `Skipped`, `Failed`, `Deleted`: one document is finished
 * - `Done`: the last event
 *
 * @category models
 * @since 0.1.0
 */
export type SyncEvent =
  | {
    readonly _tag: "Listing"
    /** The number of documents listed so far, and the total. */
    readonly listed: number
    readonly existing: number | undefined
    readonly progress: SyncProgress
  }
  | {
    readonly _tag: "Waiting"
    readonly until: DateTime.Utc
    readonly reason: "perMinute" | "rateLimit"
    readonly progress: SyncProgress
  }
  | { readonly _tag: "Upserted"; readonly documentId: DocumentId; readonly progress: SyncProgress }
  | {
    readonly _tag: "Skipped"
    readonly documentId: DocumentId
    readonly reason: SkipReason
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
 * The reason why a sync skips a document.
 *
 * @category models
 * @since 0.2.0
 */
export type SkipReason = "unchanged" | "since" | "resumed"

/**
 * The plan of a sync: the changes that it would make.
 *
 * @category models
 * @since 0.2.0
 */
export interface SyncPlan {
  /** Documents to write. */
  readonly upserts: ReadonlyArray<{ readonly documentId: DocumentId; readonly exists: boolean }>
  readonly skipped: ReadonlyArray<{ readonly documentId: DocumentId; readonly reason: SkipReason }>
  /** Documents that fail before any request. */
  readonly refused: ReadonlyArray<{ readonly documentId: DocumentId; readonly error: RequestError }>
  /** Documents to delete; empty without `deleteStale`. */
  readonly deletions: ReadonlyArray<DocumentId>
  /** The number of deletions that `maxDeletions` allows. With more, the sync fails and deletes nothing. */
  readonly allowedDeletions: number
}

/**
 * The content of a table: rows, records with a key, or a CSV with a header.
 *
 * @category models
 * @since 0.1.0
 */
export type TableContent<E = never, R = never> =
  | {
    readonly rows: Iterable<RowInput> | Stream.Stream<RowInput, E, R>
    readonly records?: undefined
    readonly csv?: undefined
  }
  | {
    /** Plain objects, as database drivers return them. */
    readonly records: Iterable<object> | Stream.Stream<object, E, R>
    /** The property that identifies a record, or a function that returns its id. */
    readonly rowId: string | ((record: never) => string)
    readonly rows?: undefined
    readonly csv?: undefined
  }
  | {
    /**
     * A CSV with a header: text, bytes, or a Stream of either (`fileSystem.stream(path)`). All of it is read and checked
     * before the first request.
     *
     * A column becomes numbers or booleans if that preserves the spelling of every value, and text otherwise: `1.10`, `1E5`,
     * `007` and integers over 2^53 remain text unless `columns` sets a type. Blank lines are ignored.
     */
    readonly csv: string | Uint8Array | Stream.Stream<string | Uint8Array, E, R>
    readonly rows?: undefined
    readonly records?: undefined
    /** One character. Defaults to the one of `,`, `;`, tab and `|` that splits the first records into equal numbers of columns. */
    readonly delimiter?: string | undefined
    /** The encoding of bytes. Defaults to UTF-8, or to UTF-16 with a byte order mark; invalid bytes are an error. */
    readonly encoding?: CsvEncoding | undefined
    /**
     * Names and types of columns, by their header. By default, names are converted to what Dust accepts (`First Name` becomes
     * `first_name`), headers without Latin letters or digits become `column_3`, and repeated headers get a number.
     */
    readonly columns?: Readonly<Record<string, CsvColumnType | CsvColumn>> | undefined
    /** Values to read as `null`. Defaults to the empty text. */
    readonly nulls?: ReadonlyArray<string> | undefined
    /** The column with the row ids. Defaults to ids derived from the content of each row. */
    readonly rowId?: string | undefined
    /** `false` keeps columns without a type as text. Defaults to `true`. */
    readonly infer?: boolean | undefined
  }

/**
 * Encodings of a CSV. `latin1` is read as windows-1252, as browsers do.
 *
 * @category models
 * @since 0.2.0
 */
export type CsvEncoding = "utf-8" | "utf-16le" | "utf-16be" | "latin1" | "windows-1252"

/**
 * Types of a CSV column. An invalid value is an error with its line.
 *
 * @category models
 * @since 0.2.0
 */
export type CsvColumnType = "text" | "number" | "datetime" | "boolean"

/**
 * A column of a CSV.
 *
 * @category models
 * @since 0.2.0
 */
export interface CsvColumn {
  /** The name in the table: `a`-`z`, `0`-`9` and `_`. */
  readonly name?: string | undefined
  /** Defaults to the type of its values. */
  readonly type?: CsvColumnType | undefined
  /** The decimal separator of a `number`; the other character may group thousands. Defaults to `.`. */
  readonly decimal?: "." | "," | undefined
  /**
   * The format of a `datetime`, made of `YYYY`, `MM`, `DD`, `HH`, `mm` and `ss`, such as `DD.MM.YYYY HH:mm`. Defaults to ISO
   * 8601. Without a time zone it is UTC.
   */
  readonly format?: string | undefined
  /** Values to read as `null` in this column. Defaults to those of the load. */
  readonly nulls?: ReadonlyArray<string> | undefined
}

/**
 * The content to load, the table, and the treatment of existing rows.
 *
 * @category models
 * @since 0.1.0
 */
export type LoadTableOptions<E = never, R = never> = Location & TableContent<E, R> & {
  /** The id of an existing table, or a description: the table is found by its name or id, or created. */
  readonly table: TableId | TableInput
  /**
   * `true` replaces all rows of the table. New rows are written first; then other rows are deleted. If the load fails, the old
   * rows remain. Defaults to `false`, which keeps other rows.
   */
  readonly replace?: boolean | undefined
  /** @deprecated Use `replace`. */
  readonly truncate?: boolean | undefined
  /**
   * The maximum number of rows that `replace` may delete. By default, at least half of the existing rows must remain.
   */
  readonly maxDeletions?: MaxDeletions | undefined
  /**
   * What to do with a source without rows. `true` accepts it, so that `replace` empties the table; `false` fails with
   * `DustBadRequestError` (`empty_source`) before the table is created. Defaults to `false` with `replace`, and to `true` without.
   */
  readonly allowEmpty?: boolean | undefined
  /** Rows per request. Defaults to 500. */
  readonly batchSize?: number | undefined
  /** The number of rows, for the progress. Defaults to the length of an array. */
  readonly total?: number | undefined
}

/**
 * The progress of a load.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadProgress {
  readonly tableId: TableId
  /** Written rows. */
  readonly rows: number
  /** Rows of the source: `total`, or the length of an array. */
  readonly total: number | undefined
  /** Write requests so far. */
  readonly batches: number
  /** Deleted rows: existing rows that are not in the source. */
  readonly deleted: number
}

/**
 * The result of a load.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadResult extends LoadProgress {
  /** Rows of the source that replaced an earlier row of the source with the same id. */
  readonly duplicates: number
  /** Rows in the table, including those of earlier loads; `null` if Dust does not return it. */
  readonly rowsInTable: number | null
  /** The column of each name of the source. */
  readonly columns: Readonly<Record<string, string>>
  /** The table after the last batch; `null` if the source had no rows. */
  readonly table: TableSummary | null
}

/**
 * An event of `DataSources.loadTableStream`. `Waiting`: nothing is written before `until`, because of a rate limit.
 *
 * @category models
 * @since 0.1.0
 */
export type LoadEvent =
  | { readonly _tag: "Progress" } & LoadProgress
  | { readonly _tag: "Waiting"; readonly until: DateTime.Utc } & LoadProgress
  | { readonly _tag: "Done" } & LoadResult

/**
 * What `DataSources.loadTable` calls after each batch.
 *
 * @category models
 * @since 0.2.0
 */
export type OnLoadProgress<E = never, R = never> = (progress: LoadProgress) => Effect.Effect<void, E, R>
