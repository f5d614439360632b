/** A SQLite database with orders, for the example that loads it into a table. Use your own database instead. */
import { LibsqlClient } from "@effect/sql-libsql"
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, String } from "effect"

// Columns in snake_case become properties in camelCase.
export const Database = LibsqlClient.layer({
  url: "file::memory:",
  transformResultNames: String.snakeToCamel,
  transformQueryNames: String.camelToSnake
})

/** Creates and fills the table of orders. */
export const fillDatabase = Effect.gen(function*() {
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
