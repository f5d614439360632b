/** Responses that were compressed without being requested: which bytes are decompressed, as tables. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Option, Stream } from "effect"
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib"
import { codingOf, decompressed, isReadable } from "../../src/internal/request/compression.ts"

const bytesOf = (text: string) => new TextEncoder().encode(text)

/** Each element is a chunk with these pieces; at the end comes the failure, if any. */
const read = (pieces: ReadonlyArray<Uint8Array>, encoding: string | undefined, options: {
  readonly failure?: string
  readonly withoutCut?: boolean
} = {}) =>
  Effect.gen(function*() {
    let at = 0
    const pull = Effect.suspend(() => {
      const piece = pieces[at++]
      return piece === undefined
        ? Effect.fail(Option.fromNullable(options.failure))
        : Effect.succeed(Chunk.of(piece))
    })
    const unreadable = (coding: string) => `unreadable ${coding}`
    const bytes = yield* options.withoutCut === true
      ? decompressed(pull, encoding, unreadable)
      : decompressed(pull, encoding, unreadable, () => "cut")
    const decoder = new TextDecoder("latin1")
    return yield* Stream.fromPull(Effect.succeed(bytes)).pipe(
      Stream.runFold("", (text, piece: Uint8Array) => text + decoder.decode(piece))
    )
  }).pipe(Effect.scoped, Effect.merge)

describe("the content-encoding of a response", () => {
  const rows: ReadonlyArray<readonly [string | undefined, string | undefined]> = [
    [undefined, undefined],
    ["", undefined],
    ["identity", undefined],
    ["none", undefined],
    [" NONE , identity", undefined],
    ["GZIP", "gzip"],
    ["gzip, identity", "gzip"],
    ["gzip, br", "br"],
    ["br,gzip ", "gzip"]
  ]
  it.each(rows)("%j is the coding %s", (header, coding) => {
    assert.strictEqual(codingOf(header), coding)
  })

  it("can be decoded if it is one of three", () => {
    assert.deepStrictEqual(["gzip", "x-gzip", "deflate", "br", "zstd", ""].filter(isReadable), [
      "gzip",
      "x-gzip",
      "deflate"
    ])
  })
})

describe("the body of a response", () => {
  const text = "{\"ok\":\"xylophone\"}\r\n\t\f"
  const long = JSON.stringify(Array.from({ length: 2_000 }, (_, i) => i))
  const control = (code: number) => new Uint8Array([code, 0x61])
  const border = (rest: ReadonlyArray<number>, before = 256) =>
    new Uint8Array([...Array.from({ length: before }, () => 0x61), ...rest])
  const latin = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes)

  const rows: ReadonlyArray<readonly [string, string | undefined, Uint8Array, string]> = [
    ["plain text", undefined, bytesOf(text), text],
    ["plain text that is declared so", "identity", bytesOf(text), text],
    ["gzip", "gzip", gzipSync(text), text],
    ["a long gzip", "gzip", gzipSync(long), long],
    ["gzip under its old name", "x-gzip", gzipSync(text), text],
    ["gzip that is not declared", undefined, gzipSync(""), latin(gzipSync(""))],
    ["deflate", "deflate", deflateSync(text), text],
    ["deflate without a header", "deflate", deflateRawSync(text), text],
    // `fetch` decodes the body and keeps the header.
    ["gzip that is decoded already", "gzip", bytesOf(text), text],
    ["gzip by its first byte alone", "gzip", new Uint8Array([0x1f, 0x20]), "\x1f "],
    ["gzip by its second byte alone", "gzip", new Uint8Array([0x20, 0x8b]), " \x8b"],
    ["deflate that is decoded already", "deflate", bytesOf(text), text],
    ["deflate that begins like a header", "deflate", bytesOf("xylophone"), "xylophone"],
    ["deflate that is almost a header", "deflate", bytesOf("y\u0001".slice(0, 1)), "y"],
    ["brotli that is decoded already", "br", bytesOf(text), text],
    ["brotli", "br", new Uint8Array([0x8b, 0x02, 0x80]), "unreadable br"],
    ["brotli that begins with a control character", "br", control(0), "unreadable br"],
    ["brotli with a backspace", "br", control(8), "unreadable br"],
    ["brotli with a vertical tab", "br", control(0x0b), "unreadable br"],
    ["brotli with an escape", "br", control(0x1b), "unreadable br"],
    ["text in brotli's place with a control character late", "br", border([0]), `${"a".repeat(256)}\0`],
    ["text in brotli's place with a control character just in time", "br", border([0], 255), "unreadable br"],
    ["text that is cut within a character", "br", border([0xc3, 0xa9], 255), `${"a".repeat(255)}\xc3\xa9`],
    ["a damaged gzip", "gzip", new Uint8Array([0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), "unreadable gzip"],
    ["half a gzip", "gzip", gzipSync(text).subarray(0, -6), "cut"],
    ["half a deflate", "deflate", deflateSync(long).subarray(0, 500), "cut"],
    ["nothing", "gzip", new Uint8Array(0), ""]
  ]
  it.live.each(rows)("%s", ([, encoding, bytes, expected]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* read([bytes], encoding), expected)
      assert.strictEqual(yield* read([new Uint8Array(0), bytes, new Uint8Array(0)], encoding), expected)
    }))

  it.live("is recognized by its first byte", () =>
    Effect.gen(function*() {
      const bytewise = (bytes: Uint8Array) => [...bytes].map((byte) => new Uint8Array([byte]))
      assert.strictEqual(yield* read(bytewise(gzipSync(text)), "gzip"), text)
      assert.strictEqual(yield* read(bytewise(deflateSync(text)), "deflate"), text)
      assert.strictEqual(yield* read(bytewise(bytesOf(text)), "gzip"), text)
      assert.strictEqual(yield* read(bytewise(bytesOf(text)), "deflate"), text)
    }))

  it.live("of which there is only a part fails as its connection did, compressed or not", () =>
    Effect.gen(function*() {
      const failure = "reset"
      assert.strictEqual(yield* read([bytesOf("a")], undefined, { failure }), "reset")
      assert.strictEqual(yield* read([bytesOf("a")], "gzip", { failure }), "reset")
      assert.strictEqual(yield* read([], "gzip", { failure }), "reset")
      assert.strictEqual(yield* read([gzipSync(long).subarray(0, 900)], "gzip", { failure }), "reset")
      assert.strictEqual(yield* read([gzipSync(text)], "gzip", { failure }), "reset")
    }))

  it.live("that is cut is damaged like any other if its reader makes no difference", () =>
    Effect.map(
      read([gzipSync(long).subarray(0, 900)], "gzip", { withoutCut: true }),
      (found) => assert.strictEqual(found, "unreadable gzip")
    ))

  // Node, Bun and browsers differ in what they say of a body without an end.
  const causes: ReadonlyArray<readonly [unknown, string]> = [
    [Object.assign(new Error("odd"), { code: "Z_BUF_ERROR" }), "cut"],
    [Object.assign(new Error("odd"), { code: "Z_DATA_ERROR" }), "unreadable gzip"],
    [new TypeError("The input is Truncated"), "cut"],
    [new TypeError("Unexpected end of file"), "cut"],
    [new TypeError("incorrect header"), "unreadable gzip"],
    [{ code: "Z_BUF_ERROR", message: "truncated" }, "unreadable gzip"],
    [undefined, "unreadable gzip"]
  ]
  it.live.each(causes)(
    "whose decompression fails with %o is damaged or cut",
    ([cause, expected]) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const { DecompressionStream } = globalThis
          globalThis.DecompressionStream = class {
            readonly writable = new WritableStream()
            readonly readable = new ReadableStream({ pull: (controller) => controller.error(cause) })
          } as never
          return DecompressionStream
        }),
        () => Effect.map(read([gzipSync(text)], "gzip"), (found) => assert.strictEqual(found, expected)),
        (before) => Effect.sync(() => globalThis.DecompressionStream = before)
      )
  )

  it.live("is no longer read when its reader has left", () =>
    Effect.gen(function*() {
      const waiting = yield* Deferred.make<void>()
      let pulls = 0
      let interrupted = 0
      const pull = Effect.suspend(() =>
        pulls++ === 0
          ? Effect.succeed(Chunk.of(new Uint8Array(gzipSync(text).subarray(0, 12))))
          : Effect.onInterrupt(
            Effect.zipRight(Deferred.succeed(waiting, undefined), Effect.never),
            () => Effect.sync(() => interrupted++)
          )
      )
      const reading = Effect.flatten(decompressed<string>(pull, "gzip", () => "unreadable"))
      const fiber = yield* Effect.fork(Effect.scoped(reading))
      yield* Deferred.await(waiting)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(interrupted, 1)
    }))
})
