/** Recognizes the content types of an upload by their capabilities: objects from another realm fail `instanceof`. */
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"

const encoder = new TextEncoder()

interface BlobLike {
  readonly size: number
  readonly type: string
  readonly name?: unknown
  readonly stream: () => ReadableStream<Uint8Array>
}

const isBlob = (content: unknown): content is BlobLike =>
  Predicate.hasProperty(content, "stream") && typeof content.stream === "function" &&
  Predicate.hasProperty(content, "size") && typeof content.size === "number" &&
  Predicate.hasProperty(content, "type") && typeof content.type === "string"

const isReadable = (content: unknown): content is ReadableStream<Uint8Array> =>
  Predicate.hasProperty(content, "getReader") && typeof content.getReader === "function"

const isBuffer = (content: unknown): content is ArrayBuffer =>
  /^\[object (?:Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(content))

/** The same bytes, not a copy. */
const viewOf = (content: unknown): Uint8Array | undefined => {
  if (typeof content === "string") return encoder.encode(content)
  if (ArrayBuffer.isView(content)) return new Uint8Array(content.buffer, content.byteOffset, content.byteLength)
  return isBuffer(content) ? new Uint8Array(content) : undefined
}

/** Content with its own metadata. */
export interface Source<E, R> {
  readonly bytes: Uint8Array | undefined
  readonly stream: Stream.Stream<Uint8Array, E, R>
  readonly size: number | undefined
  readonly name: string | undefined
  readonly type: string | undefined
  /** Whether it can be read only once, so that an upload cannot be restarted. */
  readonly once: boolean
}

const unnamed = { size: undefined, name: undefined, type: undefined, once: false }

/** `undefined` if the type is not supported. */
export const sourceOf = <E, R, E2>(
  content: unknown,
  broken: () => E2
): Source<E | E2, R> | undefined => {
  const bytes = viewOf(content)
  if (bytes !== undefined) return { ...unnamed, bytes, stream: Stream.make(bytes), size: bytes.length }
  if (Predicate.hasProperty(content, Stream.StreamTypeId)) {
    // The types of its errors and requirements are those of the option.
    return { ...unnamed, bytes: undefined, stream: content as unknown as Stream.Stream<Uint8Array, E, R> }
  }
  if (isBlob(content)) {
    return {
      bytes: undefined,
      stream: Stream.fromReadableStream({ evaluate: () => content.stream(), onError: broken }),
      size: content.size,
      name: typeof content.name === "string" ? content.name : undefined,
      type: content.type,
      once: false
    }
  }
  if (!isReadable(content)) return undefined
  return {
    ...unnamed,
    bytes: undefined,
    stream: Stream.fromReadableStream({ evaluate: () => content, onError: broken }),
    once: true
  }
}
