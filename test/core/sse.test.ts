import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import { eventLimit, type Frame, Parser, TooLarge } from "../../src/internal/stream/sse.ts"
import { seed } from "../support/seed.ts"

const encode = (text: string) => new TextEncoder().encode(text)

const parse = (pieces: Iterable<Uint8Array>, limit = 1_000_000): Array<Frame> => {
  const parser = new Parser(limit)
  const all: Array<Frame> = []
  for (const piece of pieces) {
    const frames = parser.push(piece)
    if (frames instanceof TooLarge) throw new Error("too large")
    all.push(...frames)
  }
  return all
}

const data = (text: string) => parse([encode(text)]).map((frame) => frame.data)

/** The text cut at every byte of it, in all ways that one or two cuts allow. */
const everyCut = (text: string): ReadonlyArray<ReadonlyArray<Uint8Array>> => {
  const bytes = encode(text)
  const all: Array<ReadonlyArray<Uint8Array>> = []
  for (let i = 0; i <= bytes.length; i++) {
    for (let j = i; j <= bytes.length; j++) {
      all.push([bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)])
    }
  }
  return all
}

describe("server-sent events, as the HTML standard says", () => {
  it("lines end with LF, CR or CRLF, and with all of them mixed", () => {
    assert.deepStrictEqual(data("data: a\n\ndata: b\n\n"), ["a", "b"])
    assert.deepStrictEqual(data("data: a\r\rdata: b\r\r"), ["a", "b"])
    assert.deepStrictEqual(data("data: a\r\n\r\ndata: b\r\n\r\n"), ["a", "b"])
    assert.deepStrictEqual(data("data: a\r\n\ndata: b\n\rdata: c\r\r\n"), ["a", "b", "c"])
  })

  it("a CRLF that is cut in two is one line end", () => {
    assert.deepStrictEqual(parse(["data: a\r", "\ndata: b\r", "\n\r", "\n"].map(encode)), [{
      event: undefined,
      data: "a\nb"
    }])
    assert.deepStrictEqual(parse(["data: a\r", "", "\n\r\n"].map(encode)), [{ event: undefined, data: "a" }])
  })

  it("a CR at the end of a piece ends its line at once, without waiting for the next piece", () => {
    const parser = new Parser(100)
    assert.deepStrictEqual(parser.push(encode("data: a\r\r")), [{ event: undefined, data: "a" }])
    assert.deepStrictEqual(parser.push(encode("\ndata: b\n\n")), [{ event: undefined, data: "b" }])
  })

  it("a byte order mark is skipped at the start, and kept elsewhere", () => {
    assert.deepStrictEqual(data("\uFEFFdata: a\n\n"), ["a"])
    assert.deepStrictEqual(data("data: \uFEFFa\n\n\uFEFFdata: b\n\n"), ["\uFEFFa"])
    // Also where a chunk begins with it, whether or not the chunk ends with ASCII.
    for (const rest of ["\uFEFFb\n\n", "\uFEFFé"]) {
      const frames = parse(["data: a", rest, "\n\n"].map(encode))
      assert.deepStrictEqual(frames, [{ event: undefined, data: `a${rest.trimEnd()}` }])
    }
    const bom = encode("\uFEFFdata: a\n\n")
    assert.deepStrictEqual(parse([bom.subarray(0, 1), bom.subarray(1, 2), bom.subarray(2)]).length, 1)
  })

  it("comments, `id`, `retry` and unknown fields are ignored", () => {
    assert.deepStrictEqual(data(": ping\n\n:\n\nid: 7\nretry: 10\nfoo: bar\nfoo\ndata: a\n: in between\n\n"), ["a"])
  })

  it("several data lines are one text", () => {
    assert.deepStrictEqual(data("data: a\ndata:\ndata\ndata: b\n\n"), ["a\n\n\nb"])
  })

  it("one space after the colon is taken away, and only one", () => {
    assert.deepStrictEqual(data("data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\ndata: a: b\n\n"), [
      "a",
      "a",
      " a",
      "\ta",
      "a: b"
    ])
  })

  it("empty data is an event, no data is none; `data` needs no colon", () => {
    assert.deepStrictEqual(data("data\n\ndata\ndata\n\ndata:\n\nevent: x\n\n\n\n"), ["", "\n", ""])
  })

  it("fields are named exactly", () => {
    assert.deepStrictEqual(data("Data: a\n\n data: b\n\ndatax: c\n\ndata : d\n\n"), [])
  })

  it("names belong to one event only; an empty name is none", () => {
    assert.deepStrictEqual(
      parse([
        encode(
          "event: dust-handshake\ndata: {}\n\ndata: a\n\nevent: lost\n\ndata: b\n\nevent:\ndata: c\n\nevent\ndata: d\n\n"
        )
      ]),
      [
        { event: "dust-handshake", data: "{}" },
        { event: undefined, data: "a" },
        { event: undefined, data: "b" },
        { event: undefined, data: "c" },
        { event: undefined, data: "d" }
      ]
    )
  })

  it("names and ids need no space after the colon; without a colon, they are empty", () => {
    const text = "event:first\nid:7\ndata:a\n\nevent: second\nid: 8\ndata: b\n\nevent\nid\ndata: c\n\n"
    assert.deepStrictEqual(parse([encode(text)]), [
      { event: "first", data: "a", id: "7" },
      { event: "second", data: "b", id: "8" },
      { event: undefined, data: "c", id: "" }
    ])
  })

  it("an event that is not ended by a blank line is discarded", () => {
    assert.deepStrictEqual(data("data: a\n\ndata: b\n"), ["a"])
    assert.deepStrictEqual(data("data: a\n\ndata: b"), ["a"])
  })

  it("Every event once, in order: whatever the cuts, also within a character", () => {
    const text = "\uFEFFevent: h\r\ndata: {}\r\n\r\n: c\rdata: né\r\rdata: 😀€–\ndata:x\n\ndata: done\n\n"
    const expected = parse([encode(text)])
    assert.deepStrictEqual(expected.map((frame) => frame.data), ["{}", "né", "😀€–\nx", "done"])
    for (const pieces of everyCut(text)) assert.deepStrictEqual(parse(pieces), expected)
  })

  it("Every event once, in order: every chunking of any stream gives the same frames", () => {
    const token = fc.constantFrom(
      "data",
      "data:",
      "data: ",
      "event: e",
      ":",
      "\n",
      "\r",
      "\r\n",
      "\n\n",
      "é",
      "😀",
      "a",
      " ",
      "id: 1"
    )
    fc.assert(
      fc.property(
        fc.array(token, { maxLength: 60 }),
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 200 }),
        (tokens, sizes) => {
          const bytes = encode(tokens.join(""))
          const pieces: Array<Uint8Array> = []
          let at = 0
          for (const size of sizes) {
            pieces.push(bytes.subarray(at, at + size))
            at += size
          }
          pieces.push(bytes.subarray(at))
          assert.deepStrictEqual(parse(pieces), parse([bytes]))
        }
      ),
      { numRuns: 2_000, seed }
    )
  })

  it("bytes that are not UTF-8 are replaced, and cost nothing else", () => {
    const pieces = [encode("data: a"), new Uint8Array([0xff, 0xc3]), encode("\n\ndata: b\n\n")]
    assert.deepStrictEqual(parse(pieces).map((frame) => frame.data), ["a\uFFFD\uFFFD", "b"])
  })

  it("an event over the limit is refused; those before it are given out; one at the limit passes", () => {
    const of = (size: number) => `data: ${"x".repeat(size - 6)}\n\n`
    assert.lengthOf(parse([encode(of(100) + of(100))], 100), 2)
    assert.lengthOf(parse([encode(of(100).slice(0, 100)), encode("\n\n")], 100), 1)
    const parser = new Parser(100)
    assert.deepStrictEqual(parser.push(encode(`data: a\n\n${of(101)}`)), [{ event: undefined, data: "a" }])
    assert.instanceOf(parser.push(encode("data: b\n\n")), TooLarge)
    // Also while it is still coming, in many lines, and in comments.
    const slow = new Parser(100)
    let pieces = 0
    while (!(slow.push(encode("data: x\n")) instanceof TooLarge)) pieces++
    assert.isBelow(pieces, 20)
    const comment = new Parser(100)
    assert.instanceOf(comment.push(encode(`:${"x".repeat(200)}`)), TooLarge)
  })

  it("the limit is 64 MiB of characters", () => assert.strictEqual(eventLimit, 67_108_864))

  it("an event is begun by anything but comments and blank lines, and ended by a blank line", () => {
    const states: ReadonlyArray<readonly [text: string, insideEvent: boolean]> = [
      ["", false],
      ["\n", false],
      [": ping", false],
      [": ping\n\n", false],
      [": ping\n:", false],
      ["d", true],
      [";", true],
      ["data: a\n", true],
      ["data: a\n: ping", true],
      ["data: a\n\n", false],
      ["data: a\n\ndata: b", true]
    ]
    for (const [text, insideEvent] of states) {
      const parser = new Parser(100)
      parser.push(encode(text))
      assert.deepStrictEqual([text, parser.insideEvent], [text, insideEvent])
    }
  })

  it("Nothing hangs: an event of 32 MB in pieces of 1 KiB is work of 32 MB, not of its square", () => {
    const piece = encode("x".repeat(1024))
    const parser = new Parser(64 * 1024 * 1024)
    parser.push(encode("data: "))
    // The square of this much would take minutes.
    for (let i = 0; i < 32 * 1024; i++) parser.push(piece)
    const frames = parser.push(encode("\n\n"))
    assert.isTrue(Array.isArray(frames) && frames[0]!.data.length === 32 * 1024 * 1024)
  })
})
