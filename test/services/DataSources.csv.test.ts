import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as DataSource from "effect-dust/DataSource"
import * as DataSources from "effect-dust/DataSources"
import * as DustTest from "effect-dust/DustTest"

const at = { spaceId: "vlt_global", dataSourceId: "dts_handbook" } as const
const local = Effect.provide(DustTest.layer({ seed: { dataSources: [{ sId: "dts_handbook", name: "handbook" }] } }))

type Csv = Extract<DataSources.TableContent, { readonly csv: unknown }>

const load = (options: Csv) =>
  Effect.gen(function*() {
    const dataSources = yield* DataSources.DataSources
    const result = yield* dataSources.loadTable({ ...at, table: { name: "t" }, ...options })
    const { rows } = yield* dataSources.pageRows({ ...at, tableId: result.tableId, limit: 100 })
    return { result, rows: rows.map((row) => row.value) }
  })

const utf16 = (text: string, bigEndian: boolean, mark = true) => {
  const bytes = Buffer.from(`${mark ? "\ufeff" : ""}${text}`, "utf16le")
  return new Uint8Array(bigEndian ? bytes.swap16() : bytes)
}
const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"))

const messy: ReadonlyArray<readonly [string, Csv, ReadonlyArray<Readonly<Record<string, unknown>>>]> = [
  ["semicolons and decimal commas", { csv: "Name;Preis\nTee;3,50\nKuchen;5\n" }, [
    { name: "Tee", preis: "3,50" },
    { name: "Kuchen", preis: "5" }
  ]],
  ["tabs", { csv: "a\tb\n1\t2,5\n" }, [{ a: 1, b: "2,5" }]],
  ["pipes", { csv: "a|b\n1|2\n" }, [{ a: 1, b: 2 }]],
  ["commas in quotes under semicolons", { csv: "a;b\n\"x,y,z\";\"1,2\"\n" }, [{ a: "x,y,z", b: "1,2" }]],
  ["Excel's sep line", { csv: "sep=;\r\na;b\r\n1;2\r\n" }, [{ a: 1, b: 2 }]],
  ["a quoted sep line", { csv: "\"sep=;\"\r\na;b\r\n1;2\r\n" }, [{ a: 1, b: 2 }]],
  ["booleans of Excel in other languages", {
    csv: "b,c\nWAHR,FAUX\nFALSCH,VRAI\n",
    columns: { b: "boolean", c: "boolean" }
  }, [
    { b: true, c: false },
    { b: false, c: true }
  ]],
  ["letters without a decomposition in headers", { csv: "Straße;Łódź;Ære;Søn\n1;2;3;4\n" }, [
    { strasse: 1, lodz: 2, aere: 3, son: 4 }
  ]],
  ["semicolons, which split every line into two, among commas", { csv: "a,b,c;d\n1,2,x;y\n3,4,z;w\n" }, [
    { a: 1, b: 2, c_d: "x;y" },
    { a: 3, b: 4, c_d: "z;w" }
  ]],
  ["one column", { csv: "n\n1\n2\n" }, [{ n: 1 }, { n: 2 }]],
  ["line ends of CR alone", { csv: "a,b\r1,2\r3,4\r" }, [{ a: 1, b: 2 }, { a: 3, b: 4 }]],
  ["CRLF and no last line end", { csv: "a,b\r\n1,2\r\n3,4" }, [{ a: 1, b: 2 }, { a: 3, b: 4 }]],
  ["a byte order mark", { csv: "\ufeffa,b\n1,2\n" }, [{ a: 1, b: 2 }]],
  ["line ends in quotes", { csv: "a,b\n\"x\ny\",1\n" }, [{ a: "x\ny", b: 1 }]],
  ["doubled quotes", { csv: "a\n\"say \"\"hi\"\"\"\n" }, [{ a: "say \"hi\"" }]],
  ["blank lines and lines of delimiters", { csv: "a,b\n\n1,2\n,\n3,4\n\n" }, [{ a: 1, b: 2 }, { a: 3, b: 4 }]],
  ["Japanese headers", { csv: "名前,価格,id\n茶,3,x\n" }, [{ column_1: "茶", column_2: 3, id: "x" }]],
  ["repeated headers", { csv: "name,Name,name\na,b,c\n" }, [{ name: "a", name_2: "b", name_3: "c" }]],
  ["empty headers of a spreadsheet", { csv: "a,,b,\n1,2,3,\n" }, [{ a: 1, column_2: 2, b: 3, column_4: null }]],
  ["accents in headers", { csv: "Größe,Prénom\n1,Zoé\n" }, [{ grosse: 1, prenom: "Zoé" }]],
  ["headers of camelCase", { csv: "userId,HTTPStatus\n1,200\n" }, [{ user_id: 1, http_status: 200 }]],
  ["versions, exponents, leading zeros and large ids", {
    csv: "version,code,zip,id\n1.10,1E5,01234,9007199254740993\n1.2,2E5,98765,1\n"
  }, [
    { version: "1.10", code: "1E5", zip: "01234", id: "9007199254740993" },
    { version: "1.2", code: "2E5", zip: "98765", id: "1" }
  ]],
  ["numbers that mean what they say", { csv: "n\n-1.5\n0\n1e-7\n" }, [{ n: -1.5 }, { n: 0 }, { n: 1e-7 }]],
  ["booleans", { csv: "b\ntrue\nFALSE\n\nTrue\n" }, [{ b: true }, { b: false }, { b: true }]],
  ["empty values", { csv: "a,b\n1,\n,x\n" }, [{ a: 1, b: null }, { a: null, b: "x" }]],
  ["values for null", { csv: "a,b\nNULL,n/a\n1,x\n", nulls: ["NULL", "n/a", ""] }, [
    { a: null, b: null },
    { a: 1, b: "x" }
  ]],
  ["a quoted empty value", { csv: "a,b\n\"\",1\n" }, [{ a: null, b: 1 }]],
  ["spaces, which stay", { csv: "a,b\n x , 1\n" }, [{ a: " x ", b: " 1" }]],
  ["UTF-8 bytes", { csv: new TextEncoder().encode("a\nZoé 🍵\n") }, [{ a: "Zoé 🍵" }]],
  ["UTF-16 LE bytes with a mark", { csv: utf16("a;b\nZoé;1\n", false) }, [{ a: "Zoé", b: 1 }]],
  ["UTF-16 bytes with a mark behind an empty piece", {
    csv: Stream.make(new Uint8Array(), utf16("a;b\nZoé;1\n", false))
  }, [{ a: "Zoé", b: 1 }]],
  ["UTF-16 BE bytes with a mark", { csv: utf16("a;b\nZoé;1\n", true) }, [{ a: "Zoé", b: 1 }]],
  ["UTF-16 bytes without a mark, named", { csv: utf16("a\nZoé\n", false, false), encoding: "utf-16le" }, [{
    a: "Zoé"
  }]],
  ["Latin-1 bytes, named", { csv: latin1("a\nZoé\n"), encoding: "latin1" }, [{ a: "Zoé" }]],
  ["windows-1252 bytes, named", { csv: new Uint8Array([97, 10, 0x80, 10]), encoding: "windows-1252" }, [{ a: "€" }]],
  ["a Stream of bytes cut inside a character", {
    csv: Stream.fromIterable([...new TextEncoder().encode("a,b\né,1\n")].map((byte) => new Uint8Array([byte])))
  }, [{ a: "é", b: 1 }]],
  ["a Stream of text", { csv: Stream.make("a,", "b\n1", ",2\n") }, [{ a: 1, b: 2 }]],
  ["decimal commas, named", {
    csv: "Preis;Menge\n1.234,50;1 000\n-2,5;3\n",
    columns: { Preis: { type: "number", decimal: "," }, Menge: { type: "number", decimal: "," } }
  }, [{ preis: 1234.5, menge: 1000 }, { preis: -2.5, menge: 3 }]],
  ["numbers and text, named", { csv: "price,zip\n3.50,1234\n4,99\n", columns: { price: "number", zip: "text" } }, [
    { price: 3.5, zip: "1234" },
    { price: 4, zip: "99" }
  ]],
  ["booleans, named", { csv: "b\nyes\n0\n", columns: { b: "boolean" } }, [{ b: true }, { b: false }]],
  ["columns renamed", { csv: "名前,価格\n茶,3\n", columns: { 名前: { name: "name" }, 価格: { name: "price" } } }, [
    { name: "茶", price: 3 }
  ]]
]

describe("DataSources.loadTable: a CSV", () => {
  const imposters: ReadonlyArray<readonly [string, string, string]> = [
    ["a workbook", "PK\u0003\u0004\u0014\u0000\u0006", "Excel workbook"],
    ["an old workbook", "\u00d0\u00cf\u0011\u00e0\u00a1", "Excel workbook"],
    ["a PDF", "%PDF-1.7\n", "a PDF"],
    ["a gzip archive", "\u001f\u008b\u0008", "gzip"],
    ["a page of a firewall", "\n<!DOCTYPE html>\n<title>Sign in</title>\n", "HTML"]
  ]
  for (const [name, content, found] of imposters) {
    for (const encoding of [undefined, "windows-1252"] as const) {
      it.effect(`refuses ${name} in place of a CSV, and names it (encoding: ${encoding})`, () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(load({ csv: latin1(content), encoding }))
          assert.deepInclude(error.details, { field: "csv" })
          assert.include(error.message, found)
        }).pipe(local))
    }
  }

  it.effect("refuses a file without line breaks, a truncated one, and what is neither text nor bytes", () =>
    Effect.gen(function*() {
      const long = yield* Effect.flip(load({ csv: `${"x".repeat(5000)},b` }))
      assert.include(long.message, "line breaks")
      const cut = yield* Effect.flip(load({ csv: utf16("a\tb\n1\t2\n", false).subarray(0, -1) }))
      assert.include(cut.message, "utf-16le; is the file truncated?")
      const lines: unknown = ["a", "1"]
      const odd = yield* Effect.flip(load({ csv: lines as string }))
      assert.deepInclude(odd.details, { field: "csv" })
      const encoding: unknown = "ebcdic"
      const unknown = yield* Effect.flip(load({ csv: latin1("a\n1\n"), encoding: encoding as "latin1" }))
      assert.deepInclude(unknown.details, { field: "encoding" })
      const type: unknown = "int"
      const typed = yield* Effect.flip(load({ csv: "a\n1\n", columns: { a: type as "number" } }))
      assert.deepInclude(typed.details, { field: "columns.a.type" })
    }).pipe(local))

  it.effect("takes the bytes of a Blob, a buffer and a web stream", () =>
    Effect.gen(function*() {
      const text = "a,b\n1,x\n"
      const contents: ReadonlyArray<unknown> = [
        new Blob([text]),
        latin1(text).buffer.slice(0),
        new Blob([text]).stream()
      ]
      for (const csv of contents) {
        assert.deepStrictEqual((yield* load({ csv: csv as string })).rows, [{ a: 1, b: "x" }])
      }
    }).pipe(local))

  for (const [name, options, expected] of messy) {
    it.effect(`with ${name} is read value by value`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual((yield* load(options)).rows, expected)
      }).pipe(local))
  }

  const dates: ReadonlyArray<readonly [string, string | undefined, string]> = [
    ["2026-01-31", undefined, "2026-01-31T00:00:00.000Z"],
    ["2026-01-31 12:30", undefined, "2026-01-31T12:30:00.000Z"],
    ["2026-01-31T12:30:05.25+02:00", undefined, "2026-01-31T10:30:05.250Z"],
    ["31.01.2026", "DD.MM.YYYY", "2026-01-31T00:00:00.000Z"],
    ["1/31/2026 9:05", "MM/DD/YYYY HH:mm", "2026-01-31T09:05:00.000Z"]
  ]
  it.effect.each(dates)(
    "datetime: reads %s in the format %s as %s",
    ([value, format, expected]) =>
      Effect.gen(function*() {
        const { rows } = yield* load({ csv: `d;e\n${value};x\n`, columns: { d: { type: "datetime", format } } })
        const cell = DataSource.cell({ value: rows[0]! }, "d")
        assert.strictEqual(
          typeof cell === "object" && cell !== null ? new Date(cell.epochMillis).toISOString() : "",
          expected
        )
      }).pipe(local)
  )

  const wrong: ReadonlyArray<readonly [string, Csv, string, string]> = [
    ["bytes of another encoding", { csv: latin1("a\nZoé\n") }, "encoding", "windows-1252"],
    ["UTF-16 bytes without a mark", { csv: utf16("a\n1\n", false, false) }, "encoding", "utf-16"],
    ["bytes that are not of the named encoding", { csv: latin1("é"), encoding: "utf-8" }, "encoding", "utf-8"],
    ["a number that is none", { csv: "n\n1\nx\n", columns: { n: "number" } }, "csv", "line 3"],
    ["a number too long to be stored", { csv: "n\n9007199254740993\n", columns: { n: "number" } }, "csv", "exactly"],
    ["a date that is none", { csv: "d\n2026-02-30\n", columns: { d: "datetime" } }, "csv", "line 2"],
    ["another boolean", { csv: "b\nmaybe\n", columns: { b: "boolean" } }, "csv", "line 2"],
    [
      "a boolean in other words",
      { csv: "b\nhai\n", columns: { b: "boolean" } },
      "csv",
      "true or false, yes or no, 1 or 0"
    ],
    ["a column that is not in the header", { csv: "a,b\n1,2\n", columns: { c: "text" } }, "columns.c", "a, b"],
    ["a name that Dust does not take", { csv: "a\n1\n", columns: { a: { name: "A B" } } }, "columns.a.name", "a-z"],
    [
      "a format without a year",
      { csv: "a\n1\n", columns: { a: { type: "datetime", format: "DD" } } },
      "columns.a.format",
      "YYYY"
    ],
    ["NUL characters", { csv: "a\n\0\n" }, "csv", "UTF-16"]
  ]
  for (const [name, options, field, text] of wrong) {
    it.effect(`with ${name} is refused before any request`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(load(options))
        assert.deepStrictEqual([error._tag, error.type, error.attempts], ["DustBadRequestError", "invalid_input", 0])
        assert.propertyVal(error.details, "field", field)
        assert.include(error.message, text)
        const dust = yield* DustTest.DustTest
        assert.strictEqual((yield* dust.requests()).length, 0)
      }).pipe(local))
  }

  it.effect("reports the column that each header went to", () =>
    Effect.gen(function*() {
      const { result } = yield* load({ csv: "User Id,名前,x,x\n1,2,3,4\n" })
      assert.deepStrictEqual(result.columns, { "User Id": "user_id", 名前: "column_2", x: "x" })
    }).pipe(local))

  it.effect("finds ids by header or by column, and repeated lines have ids of their own", () =>
    Effect.gen(function*() {
      const dataSources = yield* DataSources.DataSources
      for (const rowId of ["Order No", "order_no"]) {
        const { result } = yield* load({ csv: "Order No,n\na1,1\n", rowId })
        assert.strictEqual((yield* dataSources.getRow({ ...at, tableId: result.tableId, rowId: "a1" })).value["n"], 1)
      }
      const { result } = yield* load({ csv: "n\n5\n5\n6\n5\n" })
      assert.strictEqual(result.duplicates, 0)
      // Other ids would be other rows after an update of the SDK.
      const rows = yield* Stream.runCollect(dataSources.streamRows({ ...at, tableId: result.tableId }))
      assert.deepStrictEqual(Array.from(rows, ({ rowId }) => rowId).toSorted(), [
        "0df279fb902825",
        "15b7d90035b3b0",
        "15b7d90035b3b0-2",
        "15b7d90035b3b0-3",
        "a1"
      ])
    }).pipe(local))

  it.effect("leaves the event loop free while a large one is read", () =>
    Effect.gen(function*() {
      let turns = 0
      const timer = setInterval(() => turns++, 1)
      const rows = Array.from({ length: 200_000 }, (_, i) => `${i},name ${i},${i / 4},true`).join("\n")
      yield* Effect.flip(load({ csv: `id,name,n,b\n${rows}\nlast` }))
      clearInterval(timer)
      // In one piece there would be none.
      assert.isAbove(turns, 3)
    }).pipe(local))
})
