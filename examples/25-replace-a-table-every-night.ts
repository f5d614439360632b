/** Replaces a table with the rows of a database every night. If anything fails, the old rows remain. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Data, Effect, Stream } from "effect"
import { DataSources } from "effect-dust/DataSources"
import { done, dustAs, failed, folder, note, title } from "./support.ts"

class ConnectionLost extends Data.TaggedError("ConnectionLost")<{ readonly after: number }> {}

/**
 * Rows as a driver streams them: camelCase columns, `bigint` counts, JSON, dates. With `@effect/sql` this is
 * `sql<Order>`SELECT * FROM orders`.stream`.
 */
const orders = (from: number, to: number, lostAfter = Infinity) =>
  Stream.mapEffect(Stream.range(from, to - 1), (orderId) =>
    orderId - from >= lostAfter
      ? Effect.fail(new ConnectionLost({ after: lostAfter }))
      : Effect.succeed({
        orderId,
        customerName: `Customer ${orderId % 97}`,
        items: BigInt(orderId % 5),
        total: orderId / 4,
        labels: ["web", "paid"],
        orderedAt: new Date(Date.UTC(2026, 0, 1) + orderId * 60_000)
      }))

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = yield* folder
  const load = <E>(rows: Stream.Stream<object, E>) =>
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
  const first = yield* load(orders(0, 1500))
  yield* done(`${first.rowsInTable} rows in the table, columns ${Object.values(first.columns).join(", ")}`)

  yield* title("The database goes away in the middle")
  yield* Effect.catchTag(
    load(orders(100, 1600, 700)),
    "ConnectionLost",
    ({ after }) => failed(`connection lost after ${after} rows`)
  )
  yield* note(yield* inTable(first.tableId))

  yield* title("The query returns far too little")
  yield* Effect.catchTag(load(orders(100, 120)), "DustBadRequestError", (error) => failed(error.message))
  yield* note(yield* inTable(first.tableId))

  yield* title("All is well again")
  const last = yield* load(orders(100, 1600))
  yield* done(`${last.rows} written, ${last.deleted} deleted, ${last.rowsInTable} in the table`)
  yield* dataSources.deleteTable({ ...location, tableId: first.tableId })
}).pipe(
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)
