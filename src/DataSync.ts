/**
 * Jobs over a data source: the options, events and results of `DataSources.syncDocuments`, `planSync` and `loadTable`.
 *
 * All of them keep what is there until its replacement is written. A failure, an empty source, a bad row or an early end
 * never leaves less than there was before, unless the caller allows it with `maxDeletions` or `allowEmpty`.
 *
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Document, DocumentInput, Location, Moment, RowInput, TableInput, TableSummary } from "./DataSource.ts"
import type { RequestError } from "./DustAPIError.ts"
import type { DocumentId, TableId } from "./Ids.ts"

/**
 * How many deletions a job may make: a number, or a share of what was there before, rounded up (`"10%"`). One more, and
 * the job fails with `DustBadRequestError` (`too_many_deletions`) and deletes nothing.
 *
 * @category models
 * @since 0.2.0
 */
export type MaxDeletions = number | `${number}%`

/**
 * A source, and how to bring a data source to its state.
 *
 * @category models
 * @since 0.1.0
 */
export type SyncOptions<E = never, R = never> = Location & {
  /**
   * The documents of the source. An Iterable, a generator too, is asked for its next document only when one is about to
   * be written; so at most `concurrency` documents are in memory. A Stream may fail and may have requirements.
   */
  readonly documents: Iterable<DocumentInput> | Stream.Stream<DocumentInput, E, R>
  /** How many documents the source has, for the progress. Defaults to the length of an array. */
  readonly total?: number | undefined
  /** `light` (default): each document is searchable when its event arrives. `async`: it is queued. */
  readonly mode?: "light" | "async" | undefined
  /** Concurrent upserts and deletions. Defaults to 8. */
  readonly concurrency?: number | undefined
  /** Upserts in any 60 seconds. Dust allows 120 for the whole workspace. Defaults to 110. */
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
   * At the end, deletes documents that existed when the sync began and are not in the source; or only those for which the
   * function returns true. Documents that others add during the sync are never deleted. Nothing is deleted when the source
   * or the sync fails. Defaults to `false`.
   */
  readonly deleteStale?: boolean | ((existing: Document) => boolean) | undefined
  /**
   * How many stale documents may be deleted. By default the data source may not shrink to less than half of the documents
   * it had.
   */
  readonly maxDeletions?: MaxDeletions | undefined
  /**
   * `true`: a source without any document is taken as it is, and `deleteStale` deletes everything. By default it is a
   * `DustBadRequestError` and deletes nothing, since such a source is usually broken.
   */
  readonly allowEmpty?: boolean | undefined
  /**
   * What to do with a document whose `sourceUrl` Dust would refuse (not http or https, or `//` in its path): `fail`
   * (default) the document, or `omit` the address.
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
  /** Documents of the source that are finished, in whatever way. */
  readonly processed: number
  readonly upserted: number
  readonly skipped: number
  readonly failed: number
  readonly deleted: number
  /** Documents of the source: `total`, or the length of an array. */
  readonly total: number | undefined
  /**
   * This document and all before it are finished: the `resumeAfter` of a later sync. A failure that may pass (a server
   * error, the network, a limit) holds it back, so that a resumed sync writes that document again. One that repeating
   * cannot cure does not.
   */
  readonly checkpoint: DocumentId | undefined
}

/**
 * An event of a sync.
 *
 * - `Listing`: the existing documents are being listed, which `unchanged` and `deleteStale` need first
 * - `Waiting`: nothing is written before `until`, because of `perMinute` or a rate limit
 * - `Upserted`, `Skipped`, `Failed`, `Deleted`: one document is finished
 * - `Done`: the last event
 *
 * @category models
 * @since 0.1.0
 */
export type SyncEvent =
  | {
    readonly _tag: "Listing"
    /** Existing documents that are listed so far, and how many there are. */
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
 * Why a sync does not write a document.
 *
 * @category models
 * @since 0.2.0
 */
export type SkipReason = "unchanged" | "since" | "resumed"

/**
 * What a sync would do, without doing it.
 *
 * @category models
 * @since 0.2.0
 */
export interface SyncPlan {
  /** Documents that would be written. */
  readonly upserts: ReadonlyArray<{ readonly documentId: DocumentId; readonly exists: boolean }>
  readonly skipped: ReadonlyArray<{ readonly documentId: DocumentId; readonly reason: SkipReason }>
  /** Documents that would fail before any request. */
  readonly refused: ReadonlyArray<{ readonly documentId: DocumentId; readonly error: RequestError }>
  /** Documents that would be deleted; empty without `deleteStale`. */
  readonly deletions: ReadonlyArray<DocumentId>
  /** How many of them `maxDeletions` allows. With more, the sync fails before it deletes any. */
  readonly allowedDeletions: number
}

/**
 * What fills a table: rows, records with a key, or a CSV with a header.
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
    /** The property that identifies a record, or a function that makes its id. */
    readonly rowId: string | ((record: never) => string)
    readonly rows?: undefined
    readonly csv?: undefined
  }
  | {
    /**
     * A CSV with a header: text, bytes, or a Stream of either (`fileSystem.stream(path)`). All of it is read and checked
     * before the first request.
     *
     * A column is numbers or booleans if every value in it is written the way it comes back, and text otherwise: `1.10`,
     * `1E5`, `007` and integers over 2^53 stay text unless `columns` says what they are. Blank lines are left out.
     */
    readonly csv: string | Uint8Array | Stream.Stream<string | Uint8Array, E, R>
    readonly rows?: undefined
    readonly records?: undefined
    /** One character. Defaults to the one of `,` `;` tab `|` that divides the first records into the same columns. */
    readonly delimiter?: string | undefined
    /** Of bytes. Defaults to UTF-8, or UTF-16 if a byte order mark says so; bytes that do not fit are an error. */
    readonly encoding?: CsvEncoding | undefined
    /**
     * Names and types of columns, by their header. By default names are converted to what Dust takes (`First Name` becomes
     * `first_name`), headers without Latin letters or digits become `column_3`, and repeated ones get a number.
     */
    readonly columns?: Readonly<Record<string, CsvColumnType | CsvColumn>> | undefined
    /** Values that stand for `null`. Defaults to the empty one. */
    readonly nulls?: ReadonlyArray<string> | undefined
    /** The column with the ids of the rows. Defaults to ids made of the content of each row. */
    readonly rowId?: string | undefined
    /** `false`: columns without a type stay text. Defaults to `true`. */
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
 * Types of a column of a CSV. A value that does not fit is an error with its line.
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
  /** Defaults to what its values are. */
  readonly type?: CsvColumnType | undefined
  /** The decimal separator of a `number`; the other one may group thousands. Defaults to `.`. */
  readonly decimal?: "." | "," | undefined
  /**
   * How a `datetime` is written, of `YYYY`, `MM`, `DD`, `HH`, `mm` and `ss`: `DD.MM.YYYY HH:mm`. Defaults to ISO 8601.
   * Without a time zone it is UTC.
   */
  readonly format?: string | undefined
  /** Values that stand for `null` in this column. Defaults to those of the load. */
  readonly nulls?: ReadonlyArray<string> | undefined
}

/**
 * What to load into which table, and what becomes of the rows that are there.
 *
 * @category models
 * @since 0.1.0
 */
export type LoadTableOptions<E = never, R = never> = Location & TableContent<E, R> & {
  /** An existing table by its id; or one to be found by its name or id, and created if there is none. */
  readonly table: TableId | TableInput
  /**
   * `true`: the table holds exactly these rows at the end. All of them are written first; then the rows that are not among
   * them are deleted. If the load fails, the old rows are still there. Defaults to `false`: other rows stay.
   */
  readonly replace?: boolean | undefined
  /** @deprecated Use `replace`. */
  readonly truncate?: boolean | undefined
  /**
   * How many rows `replace` may delete. By default the table may not shrink to less than half of the rows it had.
   */
  readonly maxDeletions?: MaxDeletions | undefined
  /** `true`: with `replace`, a source without rows empties the table. By default it is a `DustBadRequestError`. */
  readonly allowEmpty?: boolean | undefined
  /** Rows per request. Defaults to 500. */
  readonly batchSize?: number | undefined
  /** How many rows the source has, for the progress. Defaults to the length of an array. */
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
  /** Rows that are written. */
  readonly rows: number
  /** Rows of the source: `total`, or the length of an array. */
  readonly total: number | undefined
  /** Write requests so far. */
  readonly batches: number
  /** Rows that were there before, are not in the source, and were deleted. */
  readonly deleted: number
}

/**
 * The result of a load.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadResult extends LoadProgress {
  /** Rows of the source with the id of an earlier one, which they replaced. */
  readonly duplicates: number
  /** Rows in the table now, those of earlier loads included; `null` if Dust does not report it. */
  readonly rowsInTable: number | null
  /** The column that each name of the source went to. */
  readonly columns: Readonly<Record<string, string>>
  /** As it was after the last batch; `null` if the source had no rows. */
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
