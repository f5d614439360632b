/** Loads a CSV exported by a spreadsheet in another language. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import * as DataSource from "effect-dust/DataSource"
import { DataSources } from "effect-dust/DataSources"
import { done, dustAs, failed, folder, note, says, title } from "./support.ts"

// Semicolons, decimal commas, windows-1252, another date order, an empty and a repeated header.
const text = "Artikel-Nr;Größe;Preis;Preis;;Datum;Vorrätig\r\n" +
  "007;XL;1.234,50;;x;31.01.2026;ja\r\n" +
  "1E5;M;3,5;2,0;;01.02.2026;k.A.\r\n"
const bytes = new Uint8Array(Buffer.from(text, "latin1"))

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = yield* folder
  const table = { name: "effect_dust_articles", description: "Articles, from the ERP's export" }

  yield* title("Bytes that are not UTF-8 are refused, not garbled")
  yield* Effect.catchTag(
    dataSources.loadTable({ ...location, table, csv: bytes }),
    "DustBadRequestError",
    (error) => failed(error.message)
  )

  yield* title("With an encoding, names and types")
  const loaded = yield* dataSources.loadTable({
    ...location,
    table,
    csv: bytes,
    encoding: "windows-1252",
    rowId: "Artikel-Nr",
    nulls: ["", "k.A."],
    columns: {
      "Artikel-Nr": { name: "article_no", type: "text" },
      "Größe": { name: "size" },
      Preis: { name: "price", type: "number", decimal: "," },
      Preis_2: { name: "discount", type: "number", decimal: "," },
      Datum: { name: "date", type: "datetime", format: "DD.MM.YYYY" }
    },
    replace: true
  })
  for (const [header, column] of Object.entries(loaded.columns)) yield* note(`${header || "(empty)"} is ${column}`)
  const { rows } = yield* dataSources.pageRows({ ...location, tableId: loaded.tableId })
  for (const row of rows) {
    yield* says(row.rowId, ["size", "price", "date"].map((name) => String(DataSource.cell(row, name))).join(" "))
  }
  yield* done(`${loaded.rowsInTable} rows`)
  yield* dataSources.deleteTable({ ...location, tableId: loaded.tableId })
}).pipe(
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)
