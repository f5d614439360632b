/** Decodes responses that were compressed without being requested: not every HttpClient does. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"

/** The next bytes. Fails with `None` at the end. */
export type Bytes<E> = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<E>>

type Format = "gzip" | "deflate" | "deflate-raw"

/** Values for an uncompressed body; Dust itself sends `none` with event streams. */
const plain: ReadonlySet<string> = new Set(["", "identity", "none"])

/** The last coding in a `content-encoding`; `undefined` for an uncompressed body. */
export const codingOf = (contentEncoding: string | undefined): string | undefined =>
  (contentEncoding ?? "").toLowerCase().split(",").map((one) => one.trim()).filter((one) => !plain.has(one)).at(-1)

const readable: ReadonlySet<string> = new Set(["gzip", "x-gzip", "deflate"])

/** Whether the platform can decode a coding. */
export const isReadable = (coding: string): boolean => readable.has(coding)

/** The header alone is not conclusive: `fetch` decodes the body and keeps the header. */
const formatOf = (coding: string, first: Uint8Array): Format | "unreadable" | undefined => {
  // If the body arrives byte by byte, the first byte must suffice: text starts with neither.
  const [a = 0, b] = first
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return a === 0x1f && (b === undefined || b === 0x8b) ? "gzip" : undefined
    case "deflate":
      return (a & 0x0f) === 8 && (b === undefined || ((a << 8) | b) % 31 === 0)
        ? "deflate"
        : isText(first)
        ? undefined
        : "deflate-raw"
    default:
      return isText(first) ? undefined : "unreadable"
  }
}

/** JSON, events and pages are text, without control characters other than white space. */
const isText = (bytes: Uint8Array): boolean => {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, 256), { stream: true })
    // eslint-disable-next-line no-control-regex
    return !/[\u0000-\u0008\u000b\u000e-\u001f]/.test(text)
  } catch {
    return false
  }
}

const nonEmpty = (bytes: Chunk.Chunk<Uint8Array>): Uint8Array | undefined =>
  Chunk.toReadonlyArray(bytes).find((one) => one.length > 0)

/**
 * Decompresses a body as it arrives. An uncompressed body passes through unchanged. `unreadable`: the error for a
 * coding that the platform cannot decode, or for corrupt bytes. `cut`: the error for a compressed body without its end.
 */
export const decompressed = <E>(
  pull: Bytes<E>,
  contentEncoding: string | undefined,
  unreadable: (coding: string) => E,
  cut: () => E = () => unreadable(codingOf(contentEncoding) ?? "")
): Effect.Effect<Bytes<E>, never, Scope.Scope> => {
  const coding = codingOf(contentEncoding)
  if (coding === undefined) return Effect.succeed(pull)
  return Effect.map(Effect.scope, (scope) => {
    let ready: Bytes<E> | undefined
    const begin: Bytes<E> = Effect.flatMap(pull, (bytes) => {
      const first = nonEmpty(bytes)
      if (first === undefined) return begin
      const format = formatOf(coding, first)
      if (format === undefined) {
        ready = pull
        return Effect.succeed(bytes)
      }
      return format === "unreadable"
        ? Effect.fail(Option.some(unreadable(coding)))
        : Effect.flatMap(
          inflating(pull, bytes, format, scope, (isCut) => isCut ? cut() : unreadable(coding)),
          (inflated) => {
            ready = inflated
            return inflated
          }
        )
    })
    return Effect.suspend(() => ready ?? begin)
  })
}

/** The platforms have no common code for compressed bytes without an end. */
const isCut = (cause: unknown): boolean =>
  cause instanceof Error &&
  (("code" in cause && cause.code === "Z_BUF_ERROR") || /truncated|unexpected end/i.test(cause.message))

const inflating = <E>(
  pull: Bytes<E>,
  first: Chunk.Chunk<Uint8Array>,
  format: Format,
  scope: Scope.Scope,
  damaged: (cut: boolean) => E
): Effect.Effect<Bytes<E>> =>
  Effect.gen(function*() {
    const { readable, writable } = new DecompressionStream(format)
    const writer = writable.getWriter()
    const reader = readable.getReader()
    let failure: Option.Option<E> | undefined
    const attempt = <A>(promise: () => Promise<A>) =>
      Effect.tryPromise({ try: promise, catch: (cause) => Option.some(damaged(isCut(cause))) })
    const write = (bytes: Chunk.Chunk<Uint8Array>) =>
      Effect.forEach(bytes, (one) => attempt(() => writer.write(one.slice())), { discard: true })
    // A write waits until the previous one is consumed: the source is read at most one chunk ahead.
    const feed = Effect.zipRight(write(first), Effect.forever(Effect.flatMap(pull, write))).pipe(
      Effect.catchAll((error) => {
        if (Option.isNone(error)) return attempt(() => writer.close())
        failure = error
        return attempt(() => writer.abort())
      }),
      Effect.ignore
    )
    const feeding = yield* Effect.forkIn(Effect.interruptible(feed), scope)
    return attempt(() => reader.read()).pipe(
      Effect.catchAll((error) => Effect.fail(failure ?? error)),
      Effect.flatMap(({ done, value }) =>
        done
          ? Effect.zipRight(Fiber.await(feeding), Effect.fail(failure ?? Option.none<E>()))
          : Effect.succeed(Chunk.of(value))
      )
    )
  })
