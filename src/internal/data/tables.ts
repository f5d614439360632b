/** Tables of a data source and their rows. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Location, Page, Row, Table, TableInput, TableSummary } from "../../DataSource.ts"
import type { LoadEvent, LoadResult, OnLoadProgress } from "../../DataSync.ts"
import type { DustConflictError, DustServerError, RequestError } from "../../DustAPIError.ts"
import type { RowId, TableId } from "../../Ids.ts"
import { type dataSources, TableBody, type WireRow } from "../api/dataSources.ts"
import type { Calls } from "../api/endpoint.ts"
import type { Tools } from "../api/implement.ts"
import type { Identity } from "../api/operation.ts"
import { epochMillis } from "../input/dates.ts"
import { encodeBody } from "../input/encode.ts"
import { conflict, notFound } from "../request/errors.ts"
import { byOffset } from "../util/paging.ts"
import { at, checkPageSize } from "./documents.ts"
import type { TableStore } from "./table.ts"

type All = Calls<typeof dataSources>

type InTable = Location & { readonly tableId: TableId }

const tableBody = (table: TableInput, timestamp: number | undefined): typeof TableBody.Type => ({
  tableId: table.tableId,
  name: table.name,
  title: table.title ?? table.name,
  description: table.description ?? "",
  timestamp,
  tags: table.tags,
  sourceUrl: table.sourceUrl
})

/** The server responds with a 500 if a table is missing. */
const orMissingTable = (
  call: All,
  identity: Identity,
  options: InTable
) =>
<A>(self: Effect.Effect<A, RequestError>): Effect.Effect<A, RequestError> =>
  Effect.catchTag(
    self,
    "DustServerError",
    (error: DustServerError) =>
      error.status !== 500 ?
        Effect.fail(error) :
        Effect.flatMap(Effect.either(call.getTable({ ...at(options), tableId: options.tableId })), (found) =>
          Effect.fail(
            Either.isLeft(found) && found.left._tag === "DustNotFoundError"
              ? notFound(
                identity,
                error.attempts,
                found.left.type,
                "the table does not exist",
                found.left.details,
                error
              )
              : error
          ))
  )

const nameTaken = (identity: Identity, error: DustServerError, name: string, holder: Table): DustConflictError =>
  conflict(
    identity,
    error.attempts,
    "table_name_taken",
    `another table (${holder.tableId}) has the name ${JSON.stringify(name.slice(0, 64))}`,
    { field: "name", tableId: holder.tableId },
    error
  )

/** Creates a table, or replaces its metadata. */
export const upsertTableWith = (
  { call, operation }: Tools<typeof dataSources>
) =>
(options: Location & TableInput): Effect.Effect<Table, RequestError> =>
  Effect.flatMap(epochMillis(operation.upsertTable.create, "timestamp", options.timestamp), (timestamp) => {
    const { name, tableId } = options
    const body = { ...at(options), ...tableBody(options, timestamp) }
    const write = tableId === undefined ? call.upsertTable.create : call.upsertTable.replace
    return Effect.catchTag(
      write(body),
      "DustServerError",
      (error) =>
        error.status !== 500 ?
          Effect.fail(error) :
          Effect.flatMap(Effect.either(call.listTables(at(options))), (known) => {
            const holder = Either.isRight(known)
              ? known.right.find((table) => table.name === name && table.tableId !== tableId)
              : undefined
            if (holder !== undefined) return Effect.fail(nameTaken(operation.upsertTable.create, error, name, holder))
            return tableId === undefined ? Effect.fail(error) : call.upsertTable.repeat(body)
          })
    )
  })

/** One page. `received` includes the rows dropped because their shape is unknown. */
export const readRows = (
  { call, operation }: Tools<typeof dataSources>,
  method: "pageRows" | "streamRows",
  { limit, offset, tableId, ...location }: InTable & Page
) =>
  call[method].read({ ...at(location), tableId, limit, offset }).pipe(
    Effect.map(({ rows, total }) => ({ items: rows.filter(Predicate.isNotNull), received: rows.length, total })),
    orMissingTable(call, operation[method].read, { ...location, tableId })
  )

export const allRows = (
  tools: Tools<typeof dataSources>,
  { pageSize = 500, ...table }: InTable & { readonly pageSize?: number | undefined }
): Stream.Stream<Row, RequestError> => {
  const { read } = tools.operation.streamRows
  return Stream.unwrap(Effect.as(
    checkPageSize(read, pageSize),
    byOffset(read, { pageSize, fetch: (page) => readRows(tools, "streamRows", { ...table, ...page }) })
  ))
}

export const readRow = (
  { call, operation }: Tools<typeof dataSources>,
  { rowId, tableId, ...location }: InTable & { readonly rowId: RowId }
): Effect.Effect<Row, RequestError> =>
  call.getRow.read({ ...at(location), tableId, rowId }).pipe(
    orMissingTable(call, operation.getRow.read, { ...location, tableId })
  )

/** Sends encoded rows in one request. */
export const writeRows = (
  { call, operation }: Tools<typeof dataSources>,
  method: "upsertRows" | "loadTable" | "loadTableStream",
  { tableId, truncate, ...location }: InTable & { readonly truncate?: boolean | undefined },
  rows: ReadonlyArray<WireRow>
): Effect.Effect<TableSummary, RequestError> =>
  call[method].write({ ...at(location), tableId, rows, truncate }).pipe(
    orMissingTable(call, operation[method].write, { ...location, tableId })
  )

/** The operations of a load, in one data source. */
export const tableStore = (
  tools: Tools<typeof dataSources>,
  method: "loadTable" | "loadTableStream",
  location: Location
): TableStore => {
  const { call, client, operation } = tools
  const identity = operation[method].write
  const upsertTable = upsertTableWith(tools)
  return {
    settings: client.settings,
    check: (table) =>
      Effect.flatMap(
        epochMillis(identity, "table.timestamp", table.timestamp),
        (timestamp) => encodeBody(identity, Schema.Struct({ table: TableBody }))({ table: tableBody(table, timestamp) })
      ),
    tables: call.listTables(at(location)),
    create: (table) => upsertTable({ ...at(location), ...table }),
    write: (tableId, rows, truncate) =>
      writeRows(tools, method, { ...at(location), tableId, truncate: truncate ? true : undefined }, rows),
    rowIds: (tableId) => Stream.map(allRows(tools, { ...at(location), tableId }), (row) => row.rowId),
    count: (tableId) =>
      Effect.map(readRows(tools, "pageRows", { ...at(location), tableId, limit: 1 }), ({ total }) => total),
    remove: (tableId, rowId) => call.deleteRow({ ...at(location), tableId, rowId })
  }
}

/** The last event of a load, which is its result. */
export const loaded = <E, R, E2, R2>(
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
      // A successful load ends with its result.
      Effect.flatMap(() =>
        result === undefined ? Effect.dieMessage("a load ended without a result") : Effect.succeed(result)
      )
    )
  })
