/** The cells of a CSV: what a text means, with a type and without one. */
import { assert, describe, it } from "@effect/vitest"
import { imposterOf } from "../../src/internal/data/csv.ts"
import { expectation, isFormat, isPlainBoolean, isPlainNumber, reader } from "../../src/internal/data/csvCells.ts"

describe("a value of a CSV", () => {
  const all = (type: Parameters<typeof reader>[0], values: ReadonlyArray<string>) => values.map(reader(type))
  const none = (count: number) => Array.from({ length: count }, () => undefined)

  it("is a boolean in the words of Excel", () => {
    const yes = "true t yes y 1 wahr ja vrai oui verdadero s\u00ed vero s\u00ec waar verdadeiro".split(" ")
    const no = "false f no n 0 falsch nein faux non falso onwaar nee".split(" ")
    assert.deepStrictEqual(all({ type: "boolean" }, [...yes, " YES "]), Array.from({ length: 16 }, () => true))
    assert.deepStrictEqual(all({ type: "boolean" }, [...no, " No "]), Array.from({ length: 13 }, () => false))
    assert.deepStrictEqual(all({ type: "boolean" }, ["maybe", "", "2"]), none(3))
  })

  const numbers: ReadonlyArray<readonly [string, number]> = [
    ["1", 1],
    [" 7 ", 7],
    ["-1.5", -1.5],
    ["+3", 3],
    [".5", 0.5],
    ["5.", 5],
    ["0.10", 0.1],
    ["0", 0],
    ["1e3", 1000],
    ["1.5E-2", 0.015],
    ["1,234", 1234],
    ["1,234,567.5", 1_234_567.5],
    ["1'234", 1234],
    ["1\u2019234", 1234],
    ["1 234", 1234],
    ["1\u00a0234", 1234],
    ["1\u202f234", 1234]
  ]
  it.each(numbers)("%j is a number", (text, number) => {
    assert.strictEqual(reader({ type: "number" })(text), number)
    // The same with a decimal comma.
    const swapped = text.replaceAll(/[.,]/g, (mark) => mark === "." ? "," : ".")
    assert.strictEqual(reader({ type: "number", decimal: "," })(swapped), number)
  })

  it("is refused as a number if it is written otherwise, or would not come back", () => {
    const wrong = ["", "x", "12,34", "1234,567", "1,2345", ",234", "1e", "0x10", "1e400", "9007199254740993", "1 2"]
    assert.deepStrictEqual(all({ type: "number" }, wrong), none(wrong.length))
    assert.deepStrictEqual(all({ type: "number", decimal: "," }, ["1.5", "1.23,4"]), none(2))
  })

  const moments: ReadonlyArray<readonly [string, string | undefined, string | undefined]> = [
    [" 2026-01-31 ", undefined, "2026-01-31T00:00:00.000Z"],
    ["0099-01-01", undefined, "0099-01-01T00:00:00.000Z"],
    ["2026-01-31 23:59", undefined, "2026-01-31T23:59:00.000Z"],
    ["2026-01-31T12:30:05Z", undefined, "2026-01-31T12:30:05.000Z"],
    ["2026-01-31T12:30:05,5", undefined, "2026-01-31T12:30:05.500Z"],
    ["2026-01-31T12:30:05.123456789 Z", undefined, "2026-01-31T12:30:05.123Z"],
    ["2026-01-31T12:30+05:30", undefined, "2026-01-31T07:00:00.000Z"],
    ["2026-01-31T12:30-0530", undefined, "2026-01-31T18:00:00.000Z"],
    ["2026-01-31T12:30+10:00", undefined, "2026-01-31T02:30:00.000Z"],
    ["2026-02-30", undefined, undefined],
    ["2026-13-01", undefined, undefined],
    ["2026-01-31 24:00", undefined, undefined],
    ["2026-01-31 12:60", undefined, undefined],
    ["2026-01-31 12:00:60", undefined, undefined],
    ["2026-01-31 12:00+24:00", undefined, undefined],
    ["2026-01-31 12:00+01:60", undefined, undefined],
    ["2026-1-1", undefined, undefined],
    ["31.01.2026", undefined, undefined],
    ["31.1.2026", "DD.MM.YYYY", "2026-01-31T00:00:00.000Z"],
    ["1/31/2026 9:05:07", "MM/DD/YYYY HH:mm:ss", "2026-01-31T09:05:07.000Z"],
    ["(2026)", "(YYYY)", "2026-01-01T00:00:00.000Z"],
    ["31x01x2026", "DD.MM.YYYY", undefined],
    ["31.02.2026", "DD.MM.YYYY", undefined],
    ["0.1.2026", "DD.MM.YYYY", undefined],
    ["1.0.2026", "DD.MM.YYYY", undefined],
    ["1.13.2026", "DD.MM.YYYY", undefined],
    ["31.01.2026 9:05", "DD.MM.YYYY HH:mm", "2026-01-31T09:05:00.000Z"],
    ["31.01.2026 23h", "DD.MM.YYYY HHh", "2026-01-31T23:00:00.000Z"],
    ["31.01.2026 24:00", "DD.MM.YYYY HH:mm", undefined],
    ["31.01.2026 12:60", "DD.MM.YYYY HH:mm", undefined],
    ["31.01.2026 12:00:60", "DD.MM.YYYY HH:mm:ss", undefined],
    ["31.01.26", "DD.MM.YYYY", undefined],
    ["31.01.2026 9:5", "DD.MM.YYYY HH:mm", undefined]
  ]
  it.each(moments)("%j in the format %s is the time %s", (text, format, expected) => {
    const read = reader({ type: "datetime", format })(text)
    assert.strictEqual(read instanceof Date ? read.toISOString() : read, expected)
  })

  it("is expected in words", () => {
    assert.deepStrictEqual(
      ([
        { type: "number" },
        { type: "number", decimal: "," },
        { type: "boolean" },
        { type: "datetime" },
        { type: "datetime", format: "YYYY" },
        { type: "text" },
        {}
      ] as const).map(expectation),
      [
        "a number that can be stored exactly",
        "a number that can be stored exactly, with a decimal comma",
        "true or false, yes or no, 1 or 0",
        "an ISO 8601 date, with or without a time",
        "a date in the format YYYY",
        "text",
        "text"
      ]
    )
    assert.deepStrictEqual(all({ type: "text" }, [" x "]), [" x "])
    assert.deepStrictEqual(all({}, [" x "]), [" x "])
  })

  it("is a number or a boolean by itself only if nothing is lost", () => {
    const plain = ["0", "-1", "-1.5", "1.5", "1e-7", "123456789012345", "9007199254740992"]
    const kept = [
      "",
      "-",
      "-0",
      "00",
      "007",
      "-01",
      "1.10",
      "1E5",
      "1e5",
      "1:",
      "1/",
      " 1",
      "1 ",
      "NaN",
      "Infinity",
      "9007199254740993"
    ]
    assert.deepStrictEqual([...plain, ...kept].filter(isPlainNumber), plain)
    assert.deepStrictEqual(["true", "FALSE", "True", "yes", "1", "truer", "not true", ""].filter(isPlainBoolean), [
      "true",
      "FALSE",
      "True"
    ])
    assert.deepStrictEqual(["YYYY-MM", "YYYY", "DD", "YYYY MM MM", "YYYYYYYY"].filter(isFormat), ["YYYY-MM", "YYYY"])
  })

  const imposters: ReadonlyArray<readonly [string, string | undefined]> = [
    ["PK\u0003\u0004", "a ZIP archive or an Excel workbook"],
    ["PK\u0005\u0006", "a ZIP archive or an Excel workbook"],
    ["PK\u0007\u0008", "a ZIP archive or an Excel workbook"],
    ["\u00d0\u00cf\u0011\u00e0", "an Excel workbook"],
    ["%PDF-1.7", "a PDF"],
    ["\u001f\u008b", "a gzip archive"],
    ["PAR1", "a Parquet file"],
    [" <!doctype html>", "an HTML or XML page"],
    ["<head>", "an HTML or XML page"],
    ["<?xml version", "an HTML or XML page"],
    ["<header>,b", undefined],
    ["PK,PAR1", undefined]
  ]
  it.each(imposters)("a file that begins with %j is %s in place of a CSV", (start, expected) => {
    assert.strictEqual(imposterOf(start), expected)
  })
})
