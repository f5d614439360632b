import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RowInput, Table, TableInput, TableSummary } from "../../DataSource.ts"
import type { CsvEncoding, LoadEvent, LoadProgress, LoadTableOptions, TableContent } from "../../DataSync.ts"
import type { RequestError } from "../../DustAPIError.ts"
import type { Settings } from "../../DustClient.ts"
import type { RowId, TableId } from "../../Ids.ts"
import { maxRows, operations, type WireRow } from "../api/dataSources.ts"
import { badInput, badRequest } from "../request/errors.ts"
import { inSlices } from "../util/slices.ts"
import { ColumnNames } from "./columns.ts"
import { sourceOf } from "./content.ts"
import { readCsv } from "./csv.ts"
import { decodeText } from "./csvText.ts"
import { allowed, checkLimit, emptySource, tooMany } from "./deletions.ts"
import { makePersist, type Persist } from "./persist.ts"
import { tooManyRows, wireRows } from "./rows.ts"
import { checkSource, type Pull, pulled, type Source } from "./source.ts"

const identity = operations.loadTable.write

/** The operations of a load on the tables of one data source. */
export interface TableStore {
  readonly settings: Effect.Effect<Settings>
  readonly check: (table: TableInput) => Effect.Effect<void, RequestError>
  readonly tables: Effect.Effect<ReadonlyArray<Table>, RequestError>
  readonly create: (table: TableInput) => Effect.Effect<Table, RequestError>
  readonly write: (
    tableId: TableId,
    rows: ReadonlyArray<WireRow>,
    truncate: boolean
  ) => Effect.Effect<TableSummary, RequestError>
  readonly rowIds: (tableId: TableId) => Stream.Stream<RowId, RequestError>
  readonly count: (tableId: TableId) => Effect.Effect<number | null, RequestError>
  /** Also succeeds if the row is already deleted. */
  readonly remove: (tableId: TableId, rowId: RowId) => Effect.Effect<void, RequestError>
}

const deletionsAtOnce = 8

interface Content<E, R> {
  readonly rows: Source<RowInput, E, R>
  /** The number of rows and of distinct ids, if all rows are in memory; they are validated then. */
  readonly known: { readonly total: number; readonly distinct: number } | undefined
  readonly columns: ColumnNames
  /** The column for each source name. */
  readonly names: () => Readonly<Record<string, string>>
}

const keyed = (rowId: string | ((record: never) => string)) => (record: object): RowInput => {
  if (!Predicate.isObject(record)) return record
  // The function takes records of the caller's source, whose type is erased here: hence `never`.
  const id: unknown = typeof rowId === "function"
    ? rowId(record as never)
    : (record as Readonly<Record<string, unknown>>)[rowId]
  // An invalid id is rejected with the position of the row.
  const text = typeof id === "number" || typeof id === "bigint" ? String(id) : id
  return { rowId: text as string, value: record }
}

function* mapped<A, B>(source: Iterable<A>, f: (a: A) => B): Generator<B> {
  for (const one of source) yield f(one)
}

const csvProblem = (problem: { readonly field?: string; readonly line?: number; readonly expected: string }) => {
  const { expected, field = "csv", line } = problem
  return badRequest(
    identity,
    0,
    "invalid_input",
    `${field}: ${line === undefined ? "" : `line ${line}: `}expected ${expected}`,
    { field, line, expected }
  )
}

const encodings: ReadonlySet<string> = new Set<CsvEncoding>(["utf-8", "utf-16le", "utf-16be", "latin1", "windows-1252"])

type CsvContent<E, R> = Extract<TableContent<E, R>, { readonly delimiter?: unknown }>

const csvText = <E, R>({ csv, encoding }: CsvContent<E, R>): Effect.Effect<string, E | RequestError, R> => {
  const decoded = (chunks: ReadonlyArray<Uint8Array>) =>
    Effect.mapError(decodeText(chunks, encoding), (problem) => csvProblem({ field: "encoding", ...problem }))
  if (typeof csv === "string") return Effect.succeed(csv)
  if (encoding !== undefined && !encodings.has(encoding)) {
    return Effect.fail(badInput(identity, "encoding", `one of ${[...encodings].join(", ")}`))
  }
  const source = sourceOf<E, R, RequestError>(csv, () => badInput(identity, "csv", "content that can be read"))
  if (source === undefined) return Effect.fail(badInput(identity, "csv", "text, bytes, or a Stream of either"))
  if (source.bytes !== undefined) return decoded([source.bytes])
  // A Stream may also be one of text.
  const content: Stream.Stream<string | Uint8Array, E | RequestError, R> = source.stream
  return Effect.flatMap(Stream.runCollect(content), (pieces) => {
    const texts: Array<string> = []
    const chunks: Array<Uint8Array> = []
    for (const piece of pieces) {
      if (typeof piece === "string") texts.push(piece)
      else chunks.push(piece)
    }
    if (chunks.length === 0) return Effect.succeed(texts.join(""))
    return texts.length === 0 ? decoded(chunks) : Effect.fail(badInput(identity, "csv", "a Stream of text or of bytes"))
  })
}

const csvContent = <E, R>(options: CsvContent<E, R>): Effect.Effect<Content<E, R>, E | RequestError, R> => {
  const { delimiter } = options
  if (delimiter !== undefined && !/^[^"\r\n]$/.test(delimiter)) {
    return Effect.fail(badInput(identity, "delimiter", "one character, neither a quote nor a line break"))
  }
  const settings = {
    delimiter,
    rowId: options.rowId,
    infer: options.infer ?? true,
    columns: options.columns ?? {},
    nulls: options.nulls ?? [""]
  }
  return csvText(options).pipe(
    Effect.flatMap((text) => Effect.mapError(readCsv(text, settings), csvProblem)),
    Effect.map(({ columns, rows, total }) => ({
      rows,
      known: { total, distinct: total },
      columns: new ColumnNames(),
      names: () => columns
    }))
  )
}

/** Validates a whole array before the first request. */
const arrayContent = <E, R>(rows: ReadonlyArray<RowInput>): Effect.Effect<Content<E, R>, RequestError> => {
  const columns = new ColumnNames()
  const ids = new Set<string>()
  let at = 0
  const visit = (row: RowInput) => {
    const checked = wireRows(identity, columns, [row], at++)
    if (Either.isLeft(checked)) return checked.left
    ids.add(row.rowId)
    return undefined
  }
  return rows.length > maxRows ? Effect.fail(tooManyRows(identity)) : Effect.map(inSlices(rows, visit), () => ({
    rows,
    known: { total: rows.length, distinct: ids.size },
    columns,
    names: () => columns.entries
  }))
}

const sourceContent = <E, R>(rows: Source<RowInput, E, R>): Content<E, R> => {
  const columns = new ColumnNames()
  return { rows, known: undefined, columns, names: () => columns.entries }
}

const contentOf = <E, R>(options: LoadTableOptions<E, R>): Effect.Effect<Content<E, R>, E | RequestError, R> => {
  if (options.csv !== undefined) return csvContent(options)
  const checked = checkSource(
    identity,
    options.records === undefined ? "rows" : "records",
    options.records ?? options.rows
  )
  if (Either.isLeft(checked)) return Effect.fail(checked.left)
  if (options.records === undefined) {
    const { rows } = options
    return Array.isArray(rows)
      ? arrayContent(rows as ReadonlyArray<RowInput>)
      : Effect.succeed(sourceContent(rows))
  }
  const { records } = options
  const toRow = keyed(options.rowId)
  if (Array.isArray(records)) return arrayContent((records as ReadonlyArray<object>).map(toRow))
  return Effect.succeed(sourceContent<E, R>(
    Symbol.iterator in records
      ? { [Symbol.iterator]: () => mapped(records, toRow) }
      : Stream.map(records, toRow)
  ))
}

interface Rules {
  readonly batchSize: number
  readonly replace: boolean
  /** `false` refuses an empty source also where nothing would be deleted. */
  readonly allowEmpty: boolean | undefined
  readonly columns: ColumnNames
}

const rulesOf = <E, R>(options: LoadTableOptions<E, R>): Either.Either<Omit<Rules, "columns">, RequestError> =>
  Either.gen(function*() {
    const { batchSize = 500 } = options
    if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
      return yield* Either.left(badInput(identity, "batchSize", "a whole number, at least 1"))
    }
    yield* checkLimit(identity, options.maxDeletions)
    return {
      batchSize,
      replace: options.replace ?? options.truncate ?? false,
      allowEmpty: options.allowEmpty
    }
  })

const notEmpty = ({ allowEmpty, replace }: Rules): Either.Either<void, RequestError> =>
  allowEmpty ?? !replace ? Either.void : Either.left(emptySource(identity, "rows", replace ? "row" : undefined))

/** The next rows of the source, up to `size`; fewer at its end. */
const batch = <E, R>(pull: Pull<RowInput, E, R>, size: number): Effect.Effect<ReadonlyArray<RowInput>, E, R> =>
  Effect.gen(function*() {
    const rows: Array<RowInput> = []
    while (rows.length < size) {
      const row = yield* pull
      if (Option.isNone(row)) break
      rows.push(row.value)
    }
    return rows
  })

/** Keeps the last of several rows with the same id, as separate requests would. */
const lastOfEach = (rows: ReadonlyArray<WireRow>): ReadonlyArray<WireRow> => [
  ...new Map(rows.map((row) => [row.row_id, row])).values()
]

class Load {
  readonly seen = new Set<string>()
  table: TableSummary | null = null
  rows = 0
  batches = 0
  deleted = 0

  constructor(
    readonly tableId: TableId,
    /** The table existed before this load. */
    readonly existed: boolean,
    readonly total: number | undefined,
    readonly rules: Rules,
    readonly store: TableStore,
    readonly persist: Persist
  ) {}

  get progress(): LoadProgress {
    const { batches, deleted, rows, tableId, total } = this
    return { tableId, rows, total, batches, deleted }
  }
}

const writeBatch = (
  load: Load,
  rows: ReadonlyArray<RowInput>,
  truncate: boolean
): Effect.Effect<LoadEvent, RequestError> =>
  Effect.gen(function*() {
    if (load.rows + rows.length > maxRows) return yield* Effect.fail(tooManyRows(identity))
    const wire = yield* wireRows(identity, load.rules.columns, rows, load.rows)
    load.table = yield* load.persist(load.store.write(load.tableId, lastOfEach(wire), truncate))
    for (const row of wire) load.seen.add(row.row_id)
    load.rows += rows.length
    load.batches++
    return { _tag: "Progress", ...load.progress } as const
  })

interface Found {
  readonly tableId: TableId
  readonly existed: boolean
}

const findTable = (store: TableStore, table: TableId | TableInput): Effect.Effect<Found, RequestError> =>
  typeof table === "string"
    ? Effect.succeed({ tableId: table, existed: true })
    : Effect.flatMap(store.tables, (all): Effect.Effect<Found, RequestError> => {
      const found = all.find((one) =>
        table.tableId === undefined ? one.name === table.name : one.tableId === table.tableId
      )
      return found === undefined
        ? Effect.map(store.create(table), ({ tableId }) => ({ tableId, existed: false }))
        : Effect.succeed({ tableId: found.tableId, existed: true })
    })

const distinct = (rows: ReadonlyArray<RowInput>): number => new Set(rows.map((row) => row.rowId)).size

/** Without an explicit limit, a table keeps at least half of its rows. */
const notShrunk = (rows: number, existing: number): Either.Either<void, RequestError> => {
  const limit = allowed("50%", existing)
  return existing - rows <= limit
    ? Either.void
    : Either.left(tooMany(identity, "rows", { deletions: existing - rows, existing, allowed: limit }))
}

/**
 * Replaces the table in a single request, if the source fits into one. Not used with an explicit limit on deletions:
 * only the ids show which rows would be deleted.
 */
const replaceAtOnce = (
  load: Load,
  rows: ReadonlyArray<RowInput>,
  existing: number
): Effect.Effect<LoadEvent, RequestError> =>
  Effect.gen(function*() {
    if (rows.length > 0) yield* notShrunk(distinct(rows), existing)
    return yield* writeBatch(load, rows, true)
  })

/** Deletes the rows that are not in the source, after all of its rows are written. */
const deleteGone = <E, R>(
  load: Load,
  options: LoadTableOptions<E, R>,
  existing: number,
  emit: (event: LoadEvent) => Effect.Effect<unknown>
): Effect.Effect<void, RequestError> =>
  Effect.gen(function*() {
    if (options.maxDeletions === undefined) yield* notShrunk(load.seen.size, existing)
    const gone: Array<RowId> = []
    yield* Stream.runForEach(load.store.rowIds(load.tableId), (rowId) =>
      Effect.sync(() => {
        if (!load.seen.has(rowId)) gone.push(rowId)
      }))
    const limit = options.maxDeletions === undefined ? Infinity : allowed(options.maxDeletions, existing)
    if (gone.length > limit) {
      return yield* Effect.fail(tooMany(identity, "rows", { deletions: gone.length, existing, allowed: limit }))
    }
    yield* Effect.forEach(gone, (rowId) =>
      Effect.flatMap(load.persist(load.store.remove(load.tableId, rowId)), () => {
        load.deleted++
        return load.deleted % 100 === 0 || load.deleted === gone.length
          ? emit({ _tag: "Progress", ...load.progress })
          : Effect.void
      }), { concurrency: deletionsAtOnce, discard: true })
  })

const runLoad = <E, R>(
  store: TableStore,
  options: LoadTableOptions<E, R>,
  emit: (event: LoadEvent) => Effect.Effect<unknown>
): Effect.Effect<void, E | RequestError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const limits = yield* rulesOf(options)
    const content = yield* contentOf(options)
    const { known } = content
    const rules: Rules = { ...limits, columns: content.columns }
    if (known !== undefined && known.total > maxRows) return yield* Effect.fail(tooManyRows(identity))
    const { table } = options
    if (typeof table !== "string") yield* store.check(table)
    const pull = yield* pulled(content.rows)
    let rows = yield* batch(pull, rules.batchSize)
    if (rows.length === 0) yield* notEmpty(rules)
    // Report an invalid first row before the table is created.
    yield* wireRows(identity, rules.columns, rows)
    const { existed, tableId } = yield* findTable(store, table)
    const total = options.total ?? known?.total
    const load: Load = new Load(
      tableId,
      existed,
      total,
      rules,
      store,
      makePersist(
        yield* store.settings,
        (until) => Effect.asVoid(emit({ _tag: "Waiting", until: DateTime.unsafeMake(until), ...load.progress }))
      )
    )
    const replace = rules.replace && existed
    const existing = replace ? (yield* load.persist(store.count(tableId))) ?? 0 : 0
    const isAll = rows.length < rules.batchSize || rows.length === known?.total
    if (replace && known !== undefined && known.total > 0 && options.maxDeletions === undefined) {
      yield* notShrunk(known.distinct, existing)
    }
    if (replace && isAll && options.maxDeletions === undefined) {
      yield* emit(yield* replaceAtOnce(load, rows, existing))
    } else {
      while (rows.length > 0) {
        yield* emit(yield* writeBatch(load, rows, false))
        rows = yield* batch(pull, rules.batchSize)
      }
      if (replace) yield* deleteGone(load, options, existing, emit)
    }
    const rowsInTable = yield* load.persist(store.count(tableId))
    yield* emit({
      _tag: "Done",
      ...load.progress,
      duplicates: load.rows - load.seen.size,
      rowsInTable,
      columns: content.names(),
      table: load.table
    })
  })

/** Loads a table and emits the progress. */
export const loadTable = <E, R>(
  store: TableStore,
  options: LoadTableOptions<E, R>
): Stream.Stream<LoadEvent, E | RequestError, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const mailbox = yield* Mailbox.make<LoadEvent, E | RequestError>({ capacity: 1 })
    yield* Effect.scoped(runLoad(store, options, (event) => mailbox.offer(event))).pipe(
      Mailbox.into(mailbox),
      Effect.interruptible,
      Effect.forkScoped
    )
    return Mailbox.toStream(mailbox)
  }))
