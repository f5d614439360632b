/**
 * Messy CSV files, parsed by `loadTable` and by two maintained parsers, papaparse and csv-parse: every value is
 * compared. Where a file is refused, or a parser differs, the reason is given.
 */
import { assert, describe, it } from "@effect/vitest"
import { parse } from "csv-parse/sync"
import { Effect, Either } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as DustTest from "effect-dust/DustTest"
import Papa from "papaparse"

const at = { spaceId: "vlt_global", dataSourceId: "dts_handbook" } as const
const local = Effect.provide(DustTest.layer({ seed: { dataSources: [{ sId: "dts_handbook", name: "handbook" }] } }))

type Values = ReadonlyArray<ReadonlyArray<string>>

interface Body {
  readonly rows: ReadonlyArray<{ readonly value: Readonly<Record<string, string>> }>
}

/** The rows that `loadTable` sends, every value as text. Left: the error in the file. */
const sent = (csv: string) =>
  Effect.gen(function*() {
    const dataSources = yield* DataSources.DataSources
    const options = { ...at, table: { name: "t" }, csv, infer: false, nulls: [], batchSize: 10_000 }
    const loaded = yield* Effect.either(dataSources.loadTable(options))
    if (Either.isLeft(loaded)) return Either.left(loaded.left.message)
    const dust = yield* DustTest.DustTest
    const request = (yield* dust.requests()).find((one) => one.method === "POST" && one.path.endsWith("/rows"))
    const { rows } = request?.body as Body ?? { rows: [] }
    return Either.right(rows.map(({ value }) => Object.values(value)))
  })

const byPapa = (csv: string): Values => {
  const text = csv.replace(/^\ufeff/, "").replace(/^sep=.\r?\n/, "")
  return Papa.parse<ReadonlyArray<string>>(text, { skipEmptyLines: "greedy" }).data.slice(1)
}

const byCsvParse = (csv: string, delimiter: string): Values => {
  const text = csv.replace(/^sep=.\r?\n/, "")
  const options = { bom: true, delimiter, skipEmptyLines: true, skipRecordsWithEmptyValues: true }
  return (parse(text, options) as Array<ReadonlyArray<string>>).slice(1)
}

const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n")

/** A name, a file, and its delimiter unless it is a comma. */
const files: ReadonlyArray<readonly [string, string, string?]> = [
  ["nothing unusual", "a,b\n1,2\n3,4\n"],
  ["semicolons", "a;b\n1,5;2,5\n3;4\n", ";"],
  ["tabs", "a\tb\n1,5\t2\n3\t4,5\n", "\t"],
  ["pipes", "a|b\n1|2\n", "|"],
  ["CRLF", "a,b\r\n1,2\r\n3,4\r\n"],
  ["CR alone", "a,b\r1,2\r3,4\r"],
  ["no last line end", "a,b\n1,2"],
  ["a byte order mark", "\ufeffa,b\n1,2\n"],
  ["a byte order mark before a quoted header", "\ufeff\"a\",b\n1,2\n"],
  ["quoted delimiters", "a,b\n\"x,y\",2\n\",\",\",,\"\n"],
  ["quoted line ends", "a,b\n\"x\ny\",2\n\"\n\",3\n"],
  ["quoted CRLF", "a,b\r\n\"x\r\ny\",2\r\n"],
  ["doubled quotes", "a,b\n\"say \"\"hi\"\"\",\"\"\"\"\n"],
  ["quotes around quotes alone", "a,b\n\"\"\"\"\"\",1\n"],
  ["every value quoted", "\"a\",\"b\"\n\"1\",\"2\"\n"],
  ["empty values", "a,b,c\n1,,3\n,2,\n"],
  ["quoted empty values", "a,b\n\"\",1\n2,\"\"\n"],
  ["blank lines", "a,b\n\n1,2\n\n\n3,4\n\n"],
  ["lines of delimiters", "a,b\n1,2\n,\n3,4\n,\n"],
  ["spaces that stay", "a,b\n 1 , 2\n\t3,4 \n"],
  ["Unicode", "名前,größe\n茶,ü\n🍵,e\u0301\n"],
  ["right-to-left text", "a,b\nשלום,مرحبا\n"],
  ["repeated headers", "x,x,X\n1,2,3\n"],
  ["empty headers", "a,,b,\n1,2,3,4\n"],
  ["one column", "a\n1\n2\n"],
  ["one column with quoted commas", "a\n\"1,2\"\n\"3,4\"\n"],
  ["Excel's sep line", "sep=;\na;b\n1,5;2\n", ";"],
  ["semicolons and quoted commas", "a;b\n\"x,y,z\";1\n\"p,q,r\";2\n", ";"],
  ["decimal commas in most columns", "n;x;y\na;1,5;2,25\nb;3,0;4,75\n", ";"],
  ["thousands in quotes", "n,amount\na,\"1,234.50\"\nb,\"9,999.00\"\n"],
  ["numbers that lose when parsed", "a,b,c,d\n1.10,1E5,007,9007199254740993\n"],
  ["formulas", "a,b\n=1+1,+2\n-3,@x\n"],
  ["long text", `a,b\n"${"word, ".repeat(5_000)}",1\n`],
  [
    "many columns",
    `${Array.from({ length: 200 }, (_, i) => `c${i}`).join(",")}\n${
      Array.from({ length: 200 }, (_, i) => String(i)).join(",")
    }\n`
  ],
  ["many lines", `a,b\n${lines(5_000, (i) => `${i},"line ${i}, ""quoted"""`)}\n`],
  ["control characters", "a,b\nx\u0007,y\u001f\nz,\u200b\n"]
]

/** Files that are refused, since a guess would change or lose values. */
const refused: ReadonlyArray<readonly [string, string, string]> = [
  ["a line with a value too many", "a,b\n1,2,3\n", "line 2: expected 2 values"],
  ["a line with a value too few", "a,b\n1\n", "line 2: expected 2 values"],
  ["a quote that never closes", "a,b\n\"1,2\n", "line 2: expected a closing quote"],
  ["a quote inside a plain value", "a,b\n5\" pipe,2\n", "line 2: expected quotes around the whole value"],
  ["text after a closing quote", "a,b\n\"1\"x,2\n", "line 2: expected a delimiter"],
  ["lone CRs between LFs", "a,b\n1\r2,3\n", "line 2: expected lines that end with LF or CRLF"]
]

describe("CSV files, read by loadTable, papaparse and csv-parse", () => {
  for (const [name, csv, delimiter = ","] of files) {
    it.effect(`with ${name} have the same values`, () =>
      Effect.gen(function*() {
        const values = yield* Effect.flatten(sent(csv))
        assert.isAbove(values.length, 0)
        assert.deepStrictEqual(values, byPapa(csv), "papaparse")
        assert.deepStrictEqual(values, byCsvParse(csv, delimiter), "csv-parse")
      }).pipe(local))
  }

  for (const [name, csv, message] of refused) {
    it.effect(`with ${name} are refused, with the line`, () =>
      Effect.gen(function*() {
        const problem = yield* Effect.flip(Effect.flatten(sent(csv)))
        assert.include(problem, message)
      }).pipe(local))
  }
})
