/** A CSV from its bytes to the rows of a table. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import type { RowInput } from "effect-dust/DataSource"
import { columnName, ColumnNames } from "../../src/internal/data/columns.ts"
import { type CsvOptions, readCsv } from "../../src/internal/data/csv.ts"
import { csvRecords, type Dialect, dialectOf } from "../../src/internal/data/csvRecords.ts"
import { decodeText } from "../../src/internal/data/csvText.ts"

describe("the name of a column", () => {
  const names: ReadonlyArray<readonly [string, string]> = [
    ["First Name", "first_name"],
    [" a  b-c.d ", "a_b_c_d"],
    ["__a__", "a"],
    ["userId2Go", "user_id2_go"],
    ["HTTPStatus", "http_status"],
    ["ABC", "abc"],
    ["Größe", "grosse"],
    ["Łódź", "lodz"],
    ["Æther, œuvre", "aether_oeuvre"],
    ["SØN", "son"],
    ["ÆRE Ære", "aere_aere"],
    ["a__b", "a__b"],
    ["Đorđe", "dorde"],
    ["ðæt", "daet"],
    ["Þing", "thing"],
    ["ılık", "ilik"],
    ["STRAẞE", "strasse"],
    ["ﬁle", "file"],
    ["名前", ""],
    ["", ""]
  ]
  it.each(names)("%j becomes %j", (name, expected) => assert.strictEqual(columnName(name), expected))

  it("is the same in every row, and that of one source name alone", () => {
    const columns = new ColumnNames()
    const of = ["User Id", "userId", "user_id", "名前", "価格", "_x", "User Id", "__proto__", "column_4"]
    assert.deepStrictEqual(of.map((name) => columns.of(name)), [
      "user_id",
      "user_id_2",
      "user_id_3",
      "column_4",
      "column_5",
      "_x",
      "user_id",
      "__proto__",
      "column_4_2"
    ])
    assert.deepStrictEqual(Object.entries(columns.entries), [
      ["User Id", "user_id"],
      ["userId", "user_id_2"],
      ["user_id", "user_id_3"],
      ["名前", "column_4"],
      ["価格", "column_5"],
      ["_x", "_x"],
      ["__proto__", "__proto__"],
      ["column_4", "column_4_2"]
    ])
  })
})

describe("the dialect of a CSV", () => {
  const probed = 64 * 1024
  /** Semicolons split the first records into two each, commas the header into three. */
  const agreeing = (records: number) => `x,y,z;w\n${"1;2\n".repeat(records - 1)}1;2;3\n`

  const rows: ReadonlyArray<readonly [string, string, Partial<Dialect>]> = [
    ["an empty text", "", {}],
    ["one column", "a\n1\n", {}],
    ["commas", "a,b\n1,2\n", {}],
    ["semicolons", "a;b\n1;2\n", { delimiter: ";" }],
    ["tabs", "a\tb\n1\t2\n", { delimiter: "\t" }],
    ["pipes", "a|b\n1|2\n", { delimiter: "|" }],
    ["a byte order mark", "\ufeffa;b\n", { delimiter: ";", from: 1 }],
    ["a sep line", "sep=;\na,b\n", { delimiter: ";", from: 6, line: 2 }],
    ["a sep line with CRLF behind a mark", "\ufeffSEP=,\r\na;b\r\n", { from: 8, line: 2 }],
    ["a sep line with CR", "sep=;\ra,b\r", { delimiter: ";", from: 6, line: 2, crOnly: true }],
    ["a quoted sep line", "\"sep=|\"\na,b\n", { delimiter: "|", from: 8, line: 2 }],
    ["a sep line that is the header", "sep=;", { delimiter: ";" }],
    ["lines that end with CR", "a,b\r1,2\r", { crOnly: true }],
    ["lines that end with CRLF", "a,b\r\n1,2\r\n", {}],
    ["a first LF behind the probed text", `a\r${"x".repeat(probed - 2)}\n`, { crOnly: true }],
    ["a first LF at the end of the probed text", `a\r${"x".repeat(probed - 3)}\n`, {}],
    ["two that agree, one of which splits into more", "a;b\tc\td\n1;2\t3\t4\n", { delimiter: "\t" }],
    ["two that agree in the same number", "a,b;c\n1,2;3\n", {}],
    ["one that agrees, and one that splits the header into more", "a,b,c;d\n1;2\n", { delimiter: ";" }],
    ["one that disagrees, and none that splits", "a;b\n1\n", { delimiter: ";" }],
    ["two that disagree, one of which splits the header into more", "a,b;c;d\n1,2,3\n4\n", { delimiter: ";" }],
    ["two that disagree in the same number", "a,b;c\n1\n", {}],
    ["an error in the third record", "x,y,z;w\n1;2\n\"3\"4\n", { delimiter: ";" }],
    ["a disagreement in the 51st record", agreeing(50), { delimiter: ";" }],
    ["a disagreement in the 50th record", agreeing(49), {}],
    ["a disagreement in the 50th of many records", `${agreeing(49)}${"1;2\n".repeat(20_000)}`, {}],
    ["a record that is cut off", `x,y,z;w\n1;2\n${"v".repeat(probed)};2\n`, { delimiter: ";" }],
    ["a short last record", "x,y,z;w\n1\n", {}],
    ["a header that is cut off", `a;b${"x".repeat(probed)}\n`, { delimiter: ";" }]
  ]
  it.each(rows)("of %s", (_, text, expected) => {
    const dialect = { delimiter: ",", crOnly: false, from: 0, line: 1, ...expected }
    assert.deepStrictEqual(dialectOf(text, undefined), dialect)
    assert.deepStrictEqual(dialectOf(text, "x"), { ...dialect, delimiter: "x" })
  })
})

describe("the records of a CSV", () => {
  const closing = "a delimiter or the end of the line after a closing quote"
  const quotes = "quotes around the whole value, with inner quotes doubled"
  const ends = "lines that end with LF or CRLF, and quotes around any other CR"
  type Shown = readonly [line: number, values: ReadonlyArray<string> | string]

  const rows: ReadonlyArray<readonly [string, ReadonlyArray<Shown>, Partial<Dialect>?]> = [
    ["a,b\n1,2", [[1, ["a", "b"]], [2, ["1", "2"]]]],
    ["a,b\r\n1,\r\n", [[1, ["a", "b"]], [2, ["1", ""]]]],
    ["a\n\n,\n\"\"\n\"\",\nb\r", [[1, ["a"]], [4, [""]], [5, ["", ""]], [6, ["b"]]]],
    ["\"a\nb\",\"c\r\n\"\"d\"\"\"\r\ne", [[1, ["a\nb", "c\r\n\"d\""]], [4, ["e"]]]],
    ["a\r\rb", [[1, ["a"]], [3, ["b"]]], { crOnly: true }],
    ["a\r\"b\r\nc\"\rd\ne\r", [[1, ["a"]], [2, ["b\r\nc"]], [4, ["d\ne"]]], { crOnly: true }],
    ["sep=;\na;\"b\"", [[2, ["a", "b"]]], { delimiter: ";", from: 6, line: 2 }],
    ["a\n\"b\nc", [[1, ["a"]], [2, "a closing quote"]]],
    ["\"a\nb\"c\nd", [[2, closing]]],
    ["\"a\" ,b", [[1, closing]]],
    ["\"a\"\r", [[1, closing]]],
    ["a\nb,c\"d\"\ne", [[1, ["a"]], [2, quotes]]],
    ["a\nb\rc\n", [[1, ["a"]], [2, ends]]],
    ["a\r,b\n", [[1, ends]]],
    ["a\r\r\n", [[1, ends]]]
  ]
  for (const [text, expected, dialect] of rows) {
    it(`are those of ${JSON.stringify(text)}`, () => {
      const records = [...csvRecords(text, { delimiter: ",", crOnly: false, from: 0, line: 1, ...dialect })]
      assert.deepStrictEqual(
        records.map(Either.match({
          onLeft: (problem): Shown => [problem.line, problem.expected],
          onRight: (record): Shown => [record.line, record.values]
        })),
        expected
      )
    })
  }

  it("takes time in proportion to its length, also in one long line of quoted values", () => {
    // The square of this much would take minutes, at the least.
    const values = 1_000_000
    const text = `${Array.from({ length: values }, () => "\"a\"\"b\"").join(",")}\n"x\ny"z`
    const [first, second] = csvRecords(text, { delimiter: ",", crOnly: false, from: 0, line: 1 })
    assert.strictEqual(Either.getOrThrow(first!).values.length, values)
    assert.strictEqual(Either.isLeft(second!) && second.left.line, 3)
  })
})

const read = (text: string, options: Partial<CsvOptions> = {}) =>
  readCsv(text, { delimiter: undefined, rowId: undefined, infer: true, columns: {}, nulls: [""], ...options })

describe("the table of a CSV", () => {
  it.effect("has an id, a value for each column, and the types that all values of a column have", () =>
    Effect.gen(function*() {
      const table = yield* read(
        "Order Id,Name,Paid,Price,Note,Mixed,x,x,\na1,Zoé,true,1.5,,1,p,q,r\n b2,,FALSE,,,true,,2,\n",
        { rowId: "Order Id" }
      )
      const rows: ReadonlyArray<RowInput> = [
        {
          rowId: "a1",
          value: {
            order_id: "a1",
            name: "Zoé",
            paid: true,
            price: 1.5,
            note: null,
            mixed: "1",
            x: "p",
            x_2: "q",
            column_9: "r"
          }
        },
        {
          rowId: " b2",
          value: {
            order_id: " b2",
            name: null,
            paid: false,
            price: null,
            note: null,
            mixed: "true",
            x: null,
            x_2: "2",
            column_9: null
          }
        }
      ]
      assert.deepStrictEqual([...table.rows], rows)
      assert.deepStrictEqual([...table.rows], rows)
      assert.strictEqual(table.total, 2)
      assert.deepStrictEqual(table.columns, {
        "Order Id": "order_id",
        Name: "name",
        Paid: "paid",
        Price: "price",
        Note: "note",
        Mixed: "mixed",
        x: "x",
        "": "column_9"
      })
    }))

  it.effect("has ids by content without a column of ids: a line more shifts no other", () =>
    Effect.gen(function*() {
      const idsOf = (text: string) => Effect.map(read(text), ({ rows }) => Array.from(rows, ({ rowId }) => rowId))
      assert.deepStrictEqual(yield* idsOf("n\n5\n5\n6\n5\n"), [
        "15b7d90035b3b0",
        "15b7d90035b3b0-2",
        "0df279fb902825",
        "15b7d90035b3b0-3"
      ])
    }))

  it.effect("may have a header alone", () =>
    Effect.gen(function*() {
      const { rows, ...table } = yield* read("\na,b\n")
      assert.deepStrictEqual({ ...table, rows: [...rows] }, { total: 0, columns: { a: "a", b: "b" }, rows: [] })
    }))

  it.effect("has rules for columns by their header, their name or their position, also for repeated ones", () =>
    Effect.gen(function*() {
      const values = (text: string, options: Partial<CsvOptions>) =>
        Effect.map(read(text, options), ({ rows }) => Array.from(rows, ({ value }) => value))
      assert.deepStrictEqual(
        yield* values("X Y,X Y,X Y,,Größe,n\n1,2,3,4,5,6\n", {
          columns: {
            "X Y": "text",
            "X Y_2": { type: "number" },
            x_y_3: "text",
            column_4: { name: "fourth", type: "text" },
            grosse: "text"
          }
        }),
        [{ x_y: "1", x_y_2: 2, x_y_3: "3", fourth: "4", grosse: "5", n: 6 }]
      )
      assert.deepStrictEqual(
        yield* values("a,b,c,d\n-,n/a,1,true\n", {
          nulls: ["-", "n/a"],
          columns: { b: { nulls: ["x"] }, c: { type: "number", nulls: ["1"] } },
          infer: false
        }),
        [{ a: null, b: "n/a", c: null, d: "true" }]
      )
      assert.deepStrictEqual(
        yield* values("a,b\n\"1,5\",31.12.2026\n", {
          columns: { a: { type: "number", decimal: "," }, b: { type: "datetime", format: "DD.MM.YYYY", name: "day" } }
        }),
        [{ a: 1.5, day: new Date("2026-12-31T00:00:00Z") }]
      )
      // A rule belongs to one column.
      assert.deepStrictEqual(yield* values("A,a\n1,2\n", { columns: { a: "text" } }), [{ a: "1", a_2: 2 }])
    }))

  const ids: ReadonlyArray<readonly [string, string, string]> = [
    ["名前", "名前,b\n1,2\n", "1"],
    ["Order No", "x,Order No\n1,2\n", "2"],
    ["order_no", "x,Order No\n1,2\n", "2"],
    ["ORDER no.", "x,Order No\n1,2\n", "2"],
    ["b", "B,b\n1,2\n", "1"]
  ]
  it.effect.each(ids)("has its ids in the column %j", ([rowId, text, expected]) =>
    Effect.gen(function*() {
      const { rows } = yield* read(text, { rowId })
      assert.deepStrictEqual(Array.from(rows, (row) => row.rowId), [expected])
    }))

  const headers = Array.from({ length: 60 }, (_, i) => `col_${i}`)
  type Problem = { readonly line: number; readonly expected: string; readonly field?: string }
  const wrong: ReadonlyArray<readonly [string, string, Partial<CsvOptions>, Problem]> = [
    ["no text", "", {}, { line: 1, expected: "a header with the names of the columns" }],
    ["blank lines alone", "\n\n,,\n", {}, { line: 1, expected: "a header with the names of the columns" }],
    ["a page behind a mark", "\ufeff\n<html lang=en>", {}, {
      line: 1,
      expected: "a CSV, but found an HTML or XML page"
    }],
    ["another file", "PAR1", {}, { line: 1, expected: "a CSV, but found a Parquet file" }],
    ["a NUL character", "a\n\0\n", {}, { line: 1, expected: "text without NUL characters; is it UTF-16?" }],
    ["a NUL at its start", "\0a\n", {}, { line: 1, expected: "text without NUL characters; is it UTF-16?" }],
    ["half a character", "a\n1\ud83d", {}, { line: 1, expected: "well-formed Unicode" }],
    ["a broken record", "a,b\n1,\"2\n", {}, { line: 2, expected: "a closing quote" }],
    ["a long header", `sep=,\n${"x".repeat(1025)},b\n`, {}, {
      line: 2,
      expected: "names of columns with at most 1024 characters; does the file have line breaks?"
    }],
    ["an unknown type", "\na,b\n", { columns: { b: "int" as "text" } }, {
      line: 2,
      field: "columns.b.type",
      expected: "one of text, number, datetime, boolean"
    }],
    ["a bad name", "\na,b\n", { columns: { b: { name: "a-b" } } }, {
      line: 2,
      field: "columns.b.name",
      expected: "a name made of a-z, 0-9 and _"
    }],
    ["a bad format", "\na,b\n", { columns: { b: { type: "datetime", format: "DD" } } }, {
      line: 2,
      field: "columns.b.format",
      expected: "a format of YYYY, MM, DD, HH, mm and ss, each at most once"
    }],
    ["a rule for no column", "\nA a,b\n", { columns: { b: "text", c: "text", d: "text" } }, {
      line: 2,
      field: "columns.c",
      expected: "one of the headers (A a, b)"
    }],
    ["a rule for none of many columns", `${headers.join(",")}\n`, { columns: { c: "text" } }, {
      line: 1,
      field: "columns.c",
      expected: `one of the headers (${headers.join(", ").slice(0, 200)})`
    }],
    ["no column of ids", "\na,b\n", { rowId: "c" }, { line: 2, expected: "a column named \"c\" (rowId)" }],
    ["a blank id", "a,id\n1,x\n2, \n", { rowId: "id" }, { line: 3, expected: "an id in the id column" }],
    ["an id twice", "a,id\n1,x\n2,y\n3,x\n", { rowId: "id" }, { line: 4, expected: "a unique id" }],
    ["a value too many", "a,b\n1,2\n1,2,3\n", {}, {
      line: 3,
      expected: "2 values as in the header, but found 3"
    }],
    ["a value too few", "a,b\n1\n", {}, { line: 2, expected: "2 values as in the header, but found 1" }],
    ["a value of another type", "a,b\n1,2\n1,x\n", { columns: { b: "number" } }, {
      line: 3,
      expected: "a number that can be stored exactly in column b"
    }],
    ["a value of another type without a header", "a,\n1,x\n", { columns: { column_2: "boolean" } }, {
      line: 2,
      expected: "true or false, yes or no, 1 or 0 in column column_2"
    }]
  ]
  it.effect.each(wrong)("is refused with %s", ([, text, options, problem]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.flip(read(text, options)), problem)
    }))

  it.effect("may have a header of 1024 characters, and a character where the text is divided", () =>
    Effect.gen(function*() {
      const header = "x".repeat(1024)
      // Texts are looked at in pieces of a million.
      const value = `${"y".repeat(999_998 - header.length)}🍵z`
      const { columns, rows } = yield* read(`${header}\n${value}`)
      assert.deepStrictEqual(columns, { [header]: header })
      assert.deepStrictEqual(Array.from(rows, (row) => row.value), [{ [header]: value }])
    }))
})

describe("the text of a CSV", () => {
  const bytes = (text: string, encoding: BufferEncoding) => new Uint8Array(Buffer.from(text, encoding))
  const big = (text: string) => new Uint8Array(Buffer.from(text, "utf16le").swap16())
  const none = new Uint8Array()

  type Encoding = Parameters<typeof decodeText>[1]
  const texts: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, Encoding, string]> = [
    ["nothing", [], undefined, ""],
    ["empty pieces", [none, none], undefined, ""],
    ["UTF-8", [bytes("a,é\n", "utf8")], undefined, "a,é\n"],
    ["UTF-8 with a mark", [bytes("\ufeffa", "utf8")], undefined, "a"],
    ["UTF-8 cut in a character", [bytes("é", "utf8").subarray(0, 1), bytes("é", "utf8").subarray(1)], undefined, "é"],
    ["UTF-8 in a large piece", [bytes("aé".repeat(200_000), "utf8")], undefined, "aé".repeat(200_000)],
    ["UTF-16 LE with a mark", [none, bytes("\ufeffé", "utf16le")], undefined, "é"],
    ["UTF-16 LE cut in its mark", [new Uint8Array([0xff]), new Uint8Array([0xfe, 0xe9, 0])], undefined, "é"],
    ["UTF-16 BE with a mark", [big("\ufeffé")], undefined, "é"],
    ["UTF-16 LE", [bytes("é", "utf16le")], "utf-16le", "é"],
    ["UTF-16 BE", [big("é")], "utf-16be", "é"],
    ["Latin-1", [bytes("é", "latin1")], "latin1", "é"],
    ["windows-1252", [new Uint8Array([0x80])], "windows-1252", "€"],
    ["bytes that begin like half a mark", [bytes("ÿa", "latin1")], "latin1", "ÿa"],
    ["a NUL far behind", [bytes(`${"a".repeat(1024)}\0`, "utf8")], undefined, `${"a".repeat(1024)}\0`]
  ]
  it.effect.each(texts)("is decoded from %s", ([, chunks, encoding, expected]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* decodeText(chunks, encoding), expected)
    }))

  const noUtf8 = "UTF-8, or UTF-16 with a byte order mark; set encoding if it is another one, such as windows-1252"
  const nul = "text without NUL bytes; set encoding if it is utf-16le or utf-16be"
  type Problem = { readonly field?: string; readonly expected: string }
  const wrong: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, Encoding, Problem]> = [
    ["a page", [bytes(`${" ".repeat(20)}<html>`, "latin1")], undefined, {
      field: "csv",
      expected: "a CSV, but found an HTML or XML page"
    }],
    ["a workbook in pieces", [...bytes("PK\u0003\u0004", "latin1")].map((byte) => new Uint8Array([byte])), "latin1", {
      field: "csv",
      expected: "a CSV, but found a ZIP archive or an Excel workbook"
    }],
    ["a workbook", [none, bytes("PK\u0003\u0004\u0014", "latin1")], "latin1", {
      field: "csv",
      expected: "a CSV, but found a ZIP archive or an Excel workbook"
    }],
    ["Latin-1", [bytes("aé\n", "latin1")], undefined, { expected: noUtf8 }],
    ["half a mark of UTF-16 LE", [bytes("ÿa", "latin1")], undefined, { expected: noUtf8 }],
    ["half a mark of UTF-16 BE", [bytes("þa", "latin1")], undefined, { expected: noUtf8 }],
    ["UTF-8 without its last byte", [bytes("é", "utf8").subarray(0, 1)], undefined, { expected: noUtf8 }],
    ["Latin-1 named UTF-8", [bytes("é", "latin1")], "utf-8", {
      expected: "bytes that are utf-8; is the file truncated?"
    }],
    ["UTF-16 without its last byte", [bytes("\ufeffab", "utf16le").subarray(0, -1)], undefined, {
      expected: "bytes that are utf-16le; is the file truncated?"
    }],
    ["UTF-16 without a mark", [bytes("ab", "utf16le")], undefined, { expected: nul }],
    ["UTF-16 BE without a mark", [big("a")], undefined, { expected: nul }],
    ["a NUL among the first bytes", [bytes(`${"a".repeat(1023)}\0`, "utf8")], undefined, { expected: nul }]
  ]
  it.effect.each(wrong)("is refused as %s", ([, chunks, encoding, problem]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.flip(decodeText(chunks, encoding)), problem)
    }))
})
