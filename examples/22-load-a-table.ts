/** Loads a CSV into a table, adds rows from a Stream, and reads the table page by page. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Stream } from "effect"
import * as DataSource from "effect-dust/DataSource"
import { DataSources } from "effect-dust/DataSources"
import { done, dustAs, failed, folder, note, says, title } from "./support.ts"

const csv = `SKU,Unit Price,In Stock,Note
tea-01,3.50,true,"Darjeeling, first flush"
tea-02,4,false,
mug-01,12,true,"holds 0.3 l"
`

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = yield* folder
  const table = { name: "effect_dust_stock", description: "What is in stock, and what it costs" }

  yield* title("Load a CSV")
  const loaded = yield* dataSources.loadTable({
    ...location,
    table,
    csv,
    rowId: "sku",
    // By default a column with 3.50 stays text: values are never changed silently.
    columns: { "Unit Price": "number" },
    replace: true,
    onProgress: ({ rows, total }) => note(`${rows} of ${total} rows`)
  })
  for (const column of loaded.table?.schema ?? []) yield* says(column.valueType, column.name)

  yield* title("Add rows from a Stream")
  const more = Stream.range(1, 1200).pipe(
    Stream.map((n) => ({ rowId: `pen-${n}`, value: { sku: `pen-${n}`, unit_price: n / 100, in_stock: true } }))
  )
  yield* dataSources.loadTableStream({ ...location, table: loaded.tableId, rows: more }).pipe(
    Stream.runForEach((event) => event._tag === "Done" ? done(`${event.rows} rows`) : note(`${event.rows} rows so far`))
  )

  yield* title("Read the rows")
  const expensive = yield* dataSources.streamRows({ ...location, tableId: loaded.tableId }).pipe(
    Stream.filter((row) => Number(DataSource.cell(row, "unit_price")) > 11.98),
    Stream.runCollect
  )
  for (const row of expensive) yield* says(row.rowId, String(DataSource.cell(row, "unit_price")))

  yield* title("A malformed CSV")
  yield* dataSources.loadTable({ ...location, table, csv: "a,b\n1,2\n3\n" }).pipe(
    Effect.catchTag("DustBadRequestError", (error) => failed(error.message))
  )

  yield* dataSources.deleteTable({ ...location, tableId: loaded.tableId })
}).pipe(
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)
