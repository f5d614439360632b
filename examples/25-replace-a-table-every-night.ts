/** Replaces a table with the rows of a database (SQLite) every night. If anything fails, the old rows remain. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import { Chunk, Data, Effect, Option, Stream } from "effect"
import { DataSources } from "effect-dust/DataSources"
import { Database, fillDatabase } from "./orders.ts"
import { done, dustAs, failed, folder, note, title } from "./support.ts"

class ConnectionLost extends Data.TaggedError("ConnectionLost")<{ readonly after: number }> {}

/**
 * The orders of a database, a page at a time, so that the table may be large. SQLite drivers have no streams; with PostgreSQL
 * or MySQL, `sql`SELECT …`.stream` is enough.
 */
const orders = Stream.unwrap(
  Effect.map(SqlClient.SqlClient, (sql) =>
    Stream.paginateChunkEffect(0, (after) =>
      Effect.map(
        sql<
          { readonly orderId: number; readonly orderedAt: string }
        >`SELECT * FROM orders WHERE order_id > ${after} ORDER BY order_id LIMIT 500`,
        (rows) => [
          // SQLite stores dates as text; as a Date, it becomes a datetime.
          Chunk.unsafeFromArray(rows.map((row) => ({ ...row, orderedAt: new Date(row.orderedAt) }))),
          Option.map(Option.fromNullable(rows.at(-1)), ({ orderId }) => orderId)
        ]
      )))
)

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = yield* folder
  const sql = yield* fillDatabase
  const load = <E, R>(rows: Stream.Stream<object, E, R>) =>
    dataSources.loadTable({
      ...location,
      table: { name: "effect_dust_orders", description: "All orders, replaced every night" },
      records: rows,
      rowId: "orderId",
      replace: true,
      onProgress: ({ deleted, rows }) => note(`${rows} rows written, ${deleted} deleted`)
    })
  const inTable = (tableId: string) =>
    Effect.map(dataSources.pageRows({ ...location, tableId, limit: 1 }), ({ total }) => `${total} rows in the table`)

  yield* title("The first night")
  const first = yield* load(orders)
  yield* done(`${first.rowsInTable} rows in the table, columns ${Object.values(first.columns).join(", ")}`)

  yield* title("The database disconnects during the load")
  const lost = Stream.concat(Stream.take(orders, 700), Stream.fail(new ConnectionLost({ after: 700 })))
  yield* Effect.catchTag(load(lost), "ConnectionLost", ({ after }) => failed(`connection lost after ${after} rows`))
  yield* note(yield* inTable(first.tableId))

  yield* title("The query returns far too few rows")
  yield* Effect.catchTag(load(Stream.take(orders, 20)), "DustBadRequestError", (error) => failed(error.message))
  yield* note(yield* inTable(first.tableId))

  yield* title("The next night: 100 orders are gone, one has changed")
  yield* sql`DELETE FROM orders WHERE order_id <= 100`
  yield* sql`UPDATE orders SET total = 0 WHERE order_id = 101`
  const last = yield* load(orders)
  yield* done(`${last.rows} written, ${last.deleted} deleted, ${last.rowsInTable} in the table`)
  yield* dataSources.deleteTable({ ...location, tableId: first.tableId })
}).pipe(
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide([dustAs("adminApiKey"), Database]), NodeRuntime.runMain)
