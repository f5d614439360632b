import * as Effect from "effect/Effect"
import type { CsvEncoding } from "../../DataSync.ts"
import { inSlices } from "../util/slices.ts"
import { imposterOf } from "./csv.ts"

/** An error in the encoding of a CSV. */
export interface EncodingProblem {
  readonly field?: string
  readonly expected: string
}

const pieceSize = 256 * 1024

/** The first bytes, however they are cut into pieces. */
const headOf = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<number> => {
  const head: Array<number> = []
  for (const chunk of chunks) head.push(...chunk.subarray(0, 1024 - head.length))
  return head
}

/** The encoding indicated by the first bytes. */
const detected = (head: ReadonlyArray<number>): CsvEncoding | "utf-16" => {
  const [a, b] = head
  if (a === 0xff && b === 0xfe) return "utf-16le"
  if (a === 0xfe && b === 0xff) return "utf-16be"
  // ASCII in UTF-16 has a zero byte in each character.
  return head.includes(0) ? "utf-16" : "utf-8"
}

function* pieces(chunks: ReadonlyArray<Uint8Array>): Generator<Uint8Array> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += pieceSize) yield chunk.subarray(at, at + pieceSize)
  }
}

const unreadable = (encoding: CsvEncoding, given: boolean): EncodingProblem => ({
  expected: given || encoding !== "utf-8"
    ? `bytes that are ${encoding}; is the file truncated?`
    : "UTF-8, or UTF-16 with a byte order mark; set encoding if it is another one, such as windows-1252"
})

/** Decodes a CSV. Defaults to UTF-8, or UTF-16 with a byte order mark; invalid bytes are an error, never replaced. */
export const decodeText = (
  chunks: ReadonlyArray<Uint8Array>,
  encoding: CsvEncoding | undefined
): Effect.Effect<string, EncodingProblem> =>
  Effect.suspend(() => {
    const head = headOf(chunks)
    // Bytes as characters: a file of another kind has no encoding.
    const imposter = imposterOf(String.fromCharCode(...head))
    if (imposter !== undefined) return Effect.fail({ field: "csv", expected: `a CSV, but found ${imposter}` })
    const found = encoding ?? detected(head)
    if (found === "utf-16") {
      return Effect.fail({ expected: "text without NUL bytes; set encoding if it is utf-16le or utf-16be" })
    }
    // A label of the Encoding Standard, in which `latin1` also means windows-1252.
    const decoder = new TextDecoder(found, { fatal: true })
    const parts: Array<string> = []
    const failure = unreadable(found, encoding !== undefined)
    const decode = (piece?: Uint8Array): EncodingProblem | undefined => {
      try {
        parts.push(piece === undefined ? decoder.decode() : decoder.decode(piece, { stream: true }))
        return undefined
      } catch {
        return failure
      }
    }
    return Effect.zipRight(
      inSlices(pieces(chunks), decode),
      Effect.suspend(() => {
        const last = decode()
        return last === undefined ? Effect.succeed(parts.join("")) : Effect.fail(last)
      })
    )
  })
