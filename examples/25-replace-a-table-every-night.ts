/** Replaces a table with the rows of a database (SQLite) every night. If anything fails, the old rows remain. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { LibsqlClient } from "@effect/sql-libsql"
import * as SqlClient from "@effect/sql/SqlClient"
import { Chunk, Data, Effect, Option, Stream, String } from "effect"
import { DataSources } from "effect-dust/DataSources"
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

/** A database to run this example with. Use your own. */
const database = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_name TEXT, total REAL, labels TEXT, ordered_at TEXT)`
  for (let from = 1; from <= 1500; from += 100) {
    yield* sql`INSERT INTO orders ${
      sql.insert(Array.from({ length: 100 }, (_, i) => ({
        orderId: from + i,
        customerName: `Customer ${(from + i) % 97}`,
        total: (from + i) / 4,
        labels: JSON.stringify(["web", "paid"]),
        orderedAt: new Date(Date.UTC(2026, 0, 1) + (from + i) * 60_000).toISOString()
      })))
    }`
  }
  return sql
})

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = yield* folder
  const sql = yield* database
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

// Columns in snake_case become properties in camelCase.
const Database = LibsqlClient.layer({
  url: "file::memory:",
  transformResultNames: String.snakeToCamel,
  transformQueryNames: String.camelToSnake
})

program.pipe(Effect.provide([dustAs("adminApiKey"), Database]), NodeRuntime.runMain)
