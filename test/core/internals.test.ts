import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber, TestClock } from "effect"
import type { DocumentInput } from "effect-dust/DataSource"
import * as Fixtures from "effect-dust/Fixtures"
import { candidatesIn } from "../../src/internal/agent/findJson.ts"
import { beginning, isNewer, newestOf, type Position } from "../../src/internal/chat/sameMessage.ts"
import { Growing } from "../../src/internal/chat/text.ts"
import { imposterOf } from "../../src/internal/data/csv.ts"
import { expectation, isFormat, isPlainBoolean, isPlainNumber, reader } from "../../src/internal/data/csvCells.ts"
import { csvRecords } from "../../src/internal/data/csvRecords.ts"
import { withFingerprint } from "../../src/internal/data/document.ts"
import { storageTarget } from "../../src/internal/request/redirect.ts"
import { makeBudget } from "../../src/internal/util/slidingWindow.ts"

describe("the budget of requests", () => {
  it.effect("a waiter that gives up does not free a place that it never had", () =>
    Effect.gen(function*() {
      const slot = yield* makeBudget(2, 60_000)
      yield* slot
      yield* slot
      const waiting = yield* Effect.fork(slot)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(waiting)
      let started = 0
      const more = yield* Effect.fork(Effect.forEach([1, 2], () => Effect.tap(slot, () => started++)))
      yield* TestClock.adjust("49 seconds")
      assert.strictEqual(started, 0)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(more)
      assert.strictEqual(started, 2)
    }))
})

describe("CSV", () => {
  it("takes time in proportion to its length, also in one long line of quoted values", () => {
    // The square of this much would take minutes, at the least.
    const values = 1_000_000
    const text = `${Array.from({ length: values }, () => "\"a\"\"b\"").join(",")}\n"x\ny"z`
    const [first, second] = csvRecords(text, { delimiter: ",", crOnly: false, from: 0, line: 1 })
    assert.strictEqual(Either.getOrThrow(first!).values.length, values)
    assert.strictEqual(Either.isLeft(second!) && second.left.line, 3)
  })
})

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

  it("is no number if it is written otherwise, or would not come back", () => {
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
    ["2026-02-30", undefined, undefined],
    ["2026-13-01", undefined, undefined],
    ["2026-01-31 24:00", undefined, undefined],
    ["2026-01-31 12:60", undefined, undefined],
    ["2026-1-1", undefined, undefined],
    ["31.01.2026", undefined, undefined],
    ["31.1.2026", "DD.MM.YYYY", "2026-01-31T00:00:00.000Z"],
    ["1/31/2026 9:05:07", "MM/DD/YYYY HH:mm:ss", "2026-01-31T09:05:07.000Z"],
    ["(2026)", "(YYYY)", "2026-01-01T00:00:00.000Z"],
    ["31x01x2026", "DD.MM.YYYY", undefined],
    ["31.02.2026", "DD.MM.YYYY", undefined],
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

describe("the JSON in an answer", () => {
  const parts = {
    "openings": "{\"a\":[",
    "openings of strings": "{\"",
    "openings of comments": "{/*",
    "code fences": "```\n[1\n",
    "commas": "{\"a\":1,}, "
  }
  for (const [what, part] of Object.entries(parts)) {
    it(`is found in a time that grows with the length of the answer alone: ${what}`, () => {
      const before = process.cpuUsage()
      candidatesIn(part.repeat(100_000 / part.length), true)
      // Microseconds of the processor, not of the clock: the machine may be busy with other work.
      assert.isBelow(process.cpuUsage(before).user, 20_000_000)
    })
  }
})

describe("a position in a conversation", () => {
  const message = (sId: string, rank: number | null) => Fixtures.userMessage({ sId, rank })
  const at = (sId: string, rank: number | null): Position => ({ messageId: sId, rank })

  const rows: ReadonlyArray<readonly [string, Position, boolean | undefined]> = [
    ["itself", at("m", 5), false],
    ["itself, without ranks", at("m", null), false],
    ["the beginning", beginning, true],
    ["a lower rank", at("other", 4), true],
    ["the same rank", at("other", 5), false],
    ["a higher rank", at("other", 6), false],
    ["another message without a rank", at("other", null), undefined]
  ]
  it.each(rows)("a message after %s", (_, position, expected) => {
    assert.strictEqual(isNewer(message("m", 5), position), expected)
  })

  it("a message without a rank is after the beginning; otherwise its place in the list decides", () => {
    assert.isFalse(isNewer(message("m", null), at("m", null)))
    assert.isUndefined(isNewer(message("m", null), at("other", 4)))
    assert.isTrue(isNewer(message("m", null), beginning))
  })

  it("moves to the message with the highest rank, or to the last one without ranks, and never back", () => {
    assert.deepStrictEqual(newestOf(at("b", 2), [message("a", 1), message("c", 3), message("b", 2)]), at("c", 3))
    assert.deepStrictEqual(newestOf(at("b", 2), [message("a", 1)]), at("b", 2))
    assert.deepStrictEqual(newestOf(at("b", 2), [message("b", null)]), at("b", 2))
    assert.deepStrictEqual(newestOf(beginning, [message("a", null), message("b", null)]), at("b", null))
    assert.deepStrictEqual(newestOf(at("b", 2), [message("", 3)]), at("b", 2))
    assert.deepStrictEqual(newestOf(beginning, []), beginning)
  })
})

describe("text that only grows", () => {
  const events = {
    a: (text: string) => Fixtures.chatEvent.TextDelta({ text }),
    r: (text: string) => Fixtures.chatEvent.Reset({ text }),
    d: (text: string) => Fixtures.chatEvent.Done({ reply: Fixtures.reply({ text }) })
  }
  // Added, reset, done.
  type Step = readonly ["a" | "r" | "d", string]
  const rows: ReadonlyArray<readonly [string, ReadonlyArray<Step>, ReadonlyArray<string>]> = [
    ["is that of the events", [["a", "x"], ["a", "y"], ["d", "xy"]], ["x", "y"]],
    ["is the whole text at once without events", [["d", "xy"]], ["xy"]],
    ["is nothing for an empty text", [["d", ""]], []],
    ["has what the last text adds", [["a", "x"], ["d", "xyz"]], ["x", "yz"]],
    ["has what a new text adds, at its end", [["a", "x"], ["r", "xyz"], ["d", "xyz"]], ["x", "yz"]],
    ["has what a new text adds, with its next piece", [["a", "x"], ["r", "xy"], ["a", "z"], ["a", "!"]], [
      "x",
      "yz",
      "!"
    ]],
    [
      "waits for a new text that begins in the same way",
      [["a", "xyz"], ["r", "x"], ["a", "y"], ["a", "z"], ["a", "!"], ["d", "xyz!"]],
      ["xyz", "!"]
    ],
    [
      "is followed by a new text that differs, at its end",
      [["a", "xyz"], ["r", "abc"], ["a", "d"], ["a", "e"], ["d", "abcde"]],
      ["xyz", "\n\nabcde"]
    ],
    ["is not followed by the same text with other line ends", [["a", "x\r\ny "], ["d", "x\ny"]], ["x\r\ny "]],
    ["is not followed by a text that it ends with", [["a", "Hm. Yes"], ["d", "Yes"]], ["Hm. Yes"]],
    ["begins anew with a second reset", [["a", "x"], ["r", "abc"], ["a", "d"], ["r", "xy"], ["a", "z"]], ["x", "yz"]]
  ]
  it.each(rows)("%s", (_, steps, expected) => {
    const text = new Growing()
    const out: Array<string> = []
    for (const [kind, value] of steps) text.push(events[kind](value), out)
    assert.deepStrictEqual(out, expected)
  })
})

describe("the fingerprint of a document", () => {
  const of = (input: DocumentInput) =>
    Either.getOrThrow(withFingerprint(input)).tags?.filter((tag) => tag.startsWith("fingerprint:"))
  const base = {
    documentId: "a",
    text: "\u00e9\nx",
    title: "T",
    tags: ["u", "t"],
    sourceUrl: "https://example.com/"
  }

  it("stays the same from version to version: another one would send every document again", () => {
    assert.deepStrictEqual(of(base), ["fingerprint:0ecdb87610ef76"])
  })

  const same: ReadonlyArray<readonly [string, Partial<typeof base>]> = [
    ["line ends of CRLF", { text: "\u00e9\r\nx" }],
    ["line ends of CR", { text: "\u00e9\rx" }],
    ["another Unicode form", { text: "e\u0301\nx" }],
    ["spaces around the title", { title: " T " }],
    ["another order of the tags, one of them twice", { tags: ["t", "u", "t"] }],
    ["the tag that Dust adds for the title", { tags: ["u", "t", "title:T"] }],
    ["an earlier fingerprint", { tags: ["u", "t", "fingerprint:0"] }],
    ["another spelling of the address", { sourceUrl: "HTTPS://example.com" }]
  ]
  it.each(same)("is not changed by %s", (_, change) => {
    assert.deepStrictEqual(of({ ...base, ...change }), of(base))
  })

  it("of a document without a title ignores a blank one, and the tag that Dust adds for the id", () => {
    const untitled = of({ documentId: "a", text: "x" })
    assert.deepStrictEqual(of({ documentId: "a", text: "x", title: " ", tags: ["title:a"] }), untitled)
    assert.notDeepEqual(of({ documentId: "a", text: "x", tags: ["title:b"] }), untitled)
  })
})

describe("the address of a file in the storage", () => {
  const targetOf = (base: string, location: string | undefined) =>
    storageTarget(new URL(base), `${base}/api`, location)?.href
  const dust = "https://dust.example"

  it("is one of Dust itself, or a public one with https", () => {
    const hosts = [
      "storage.example",
      "9.0.0.1",
      "11.0.0.1",
      "100.63.0.1",
      "100.128.0.1",
      "126.0.0.1",
      "128.0.0.1",
      "169.253.0.1",
      "172.15.0.1",
      "172.32.0.1",
      "192.167.0.1",
      "223.0.0.1",
      "[2001:db8::1]"
    ]
    for (const host of hosts) assert.strictEqual(targetOf(dust, `https://${host}/x`), `https://${host}/x`)
    assert.strictEqual(targetOf(dust, "/x"), `${dust}/x`)
  })

  it("is refused if it is missing, has a password or no https, or is a private one", () => {
    const refused = [
      undefined,
      "http://",
      "http://storage.example/x",
      "ftp://storage.example/x",
      "https://user@storage.example/x",
      "https://:password@storage.example/x",
      ...[
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.0.1",
        "192.168.0.1",
        "224.0.0.1",
        "[::1]",
        "[fc00::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[febf::1]",
        "localhost",
        "localhost.",
        "metadata.google.internal",
        "printer.local",
        "host.localdomain",
        "intranet"
      ].map((host) => `https://${host}/x`)
    ]
    assert.deepStrictEqual(refused.filter((location) => targetOf(dust, location) !== undefined), [])
  })

  it("is private and without https only beside a server of the same machine", () => {
    const rows: ReadonlyArray<readonly [string, string, boolean]> = [
      ["http://localhost:3000", "http://127.0.0.1:9000/x", true],
      ["http://localhost:3000", "https://10.0.0.1/x", true],
      ["http://localhost:3000", "http://storage.example/x", false],
      ["http://localhost:3000", "http://10.0.0.1/x", false],
      ["https://localhost:3000", "http://localhost:9000/x", false],
      ["http://10.0.0.1", "http://localhost:9000/x", false],
      ["http://dust.example", "http://localhost:9000/x", false]
    ]
    for (const [base, location, followed] of rows) {
      assert.strictEqual(targetOf(base, location) !== undefined, followed, `${base} → ${location}`)
    }
  })
})
