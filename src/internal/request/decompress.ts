/** Compression that nobody asked for: the clients of Node leave it to the caller, `fetch` undoes it. */

/** What a `content-encoding` names that the platform can undo. */
const formats: ReadonlyMap<string, "gzip" | "deflate"> = new Map([
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["deflate", "deflate"]
])

/** Values that say that the body is as it is; Dust itself sends `none`. */
const plain: ReadonlySet<string> = new Set(["", "identity", "none"])

export type Encoding =
  /** Not compressed, or already decompressed. */
  | undefined
  | "gzip"
  | "deflate"
  /** Compressed in a way that cannot be undone here, such as `br`. */
  | "unknown"

/**
 * How a body is compressed, by its `content-encoding` and its first bytes: clients that decompress leave the header in place.
 * `first` may be empty when nothing has arrived; then the header alone decides.
 */
export const encodingOf = (contentEncoding: string | undefined, first: Uint8Array): Encoding => {
  const named = (contentEncoding ?? "").trim().toLowerCase()
  if (plain.has(named)) return undefined
  const format = formats.get(named)
  if (format === undefined) return "unknown"
  const [one, two] = first
  if (one === undefined) return format
  // The magic numbers of gzip and zlib; text begins with neither.
  return format === "gzip"
    ? one === 0x1f ? "gzip" : undefined
    : two === undefined || ((one & 0x0f) === 8 && ((one << 8) | two) % 31 === 0)
    ? "deflate"
    : undefined
}

/** Decompresses a body piece by piece, unless its first bytes show that somebody has already done so. */
export const decompressed = (body: ReadableStream<Uint8Array>, contentEncoding: string): ReadableStream<Uint8Array> => {
  const reader = body.getReader()
  let first: Uint8Array | undefined
  const rest = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      if (first !== undefined) {
        controller.enqueue(first)
        first = undefined
        return
      }
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason)
  }, { highWaterMark: 0 })
  let plainReader: ReadableStreamDefaultReader<Uint8Array> | undefined
  const begin = async (): Promise<ReadableStreamDefaultReader<Uint8Array>> => {
    const { done, value } = await reader.read()
    if (done) return rest.getReader()
    first = value
    const encoding = encodingOf(contentEncoding, value)
    return (encoding === "gzip" || encoding === "deflate" ? decompress(rest, encoding) : rest).getReader()
  }
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      plainReader ??= await begin()
      const { done, value } = await plainReader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => (plainReader ?? reader).cancel(reason)
  }, { highWaterMark: 0 })
}

const decompress = (body: ReadableStream<Uint8Array>, encoding: "gzip" | "deflate"): ReadableStream<Uint8Array> =>
  body.pipeThrough(
    // DOM types a DecompressionStream's input as any buffer source, which a stream of byte arrays satisfies.
    new DecompressionStream(encoding) as unknown as ReadableWritablePair<Uint8Array, Uint8Array>
  )
