import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { concat } from "./joined.ts"

const encoder = new TextEncoder()

/** A boundary that no content contains, as far as chance goes. */
export const boundary: Effect.Effect<string> = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(0, 0x1_0000_0000), 4),
  (parts) => `effect-dust-${parts.map((part) => part.toString(16).padStart(8, "0")).join("")}`
)

// As browsers write it: quotes and line ends are percent-encoded, everything else stays UTF-8.
const quoted = (name: string): string => name.replace(/"/g, "%22").replace(/\r/g, "%0D").replace(/\n/g, "%0A")

export interface Part {
  readonly name: string
  readonly fileName: string
  readonly contentType: string
  /** Bytes. */
  readonly size: number
}

const frame = (part: Part, boundary: string) => ({
  head: encoder.encode(
    `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(part.name)}"; filename="${
      quoted(part.fileName)
    }"\r\nContent-Type: ${part.contentType}\r\n\r\n`
  ),
  tail: encoder.encode(`\r\n--${boundary}--\r\n`),
  contentType: `multipart/form-data; boundary=${boundary}`
})

/** One part in memory. */
export const ofBytes = (part: Part, content: Uint8Array, boundary: string): HttpBody.HttpBody => {
  const { contentType, head, tail } = frame(part, boundary)
  return HttpBody.uint8Array(concat([head, content, tail]), contentType)
}

/** A text, or a file in memory. */
export type Field =
  | { readonly name: string; readonly value: string }
  | { readonly name: string; readonly fileName: string; readonly contentType: string; readonly content: Uint8Array }

/**
 * Several parts in memory. Not by `FormData`: undici's client cannot send that of Node 20.
 */
export const ofFields = (fields: ReadonlyArray<Field>, boundary: string): HttpBody.HttpBody => {
  const pieces = fields.flatMap((field): Array<Uint8Array> =>
    "value" in field
      ? [encoder.encode(
        `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(field.name)}"\r\n\r\n${field.value}\r\n`
      )]
      : [
        frame({ ...field, size: field.content.length }, boundary).head,
        field.content,
        encoder.encode("\r\n")
      ]
  )
  pieces.push(encoder.encode(`--${boundary}--\r\n`))
  return HttpBody.uint8Array(concat(pieces), `multipart/form-data; boundary=${boundary}`)
}

/** One part that is never in memory as a whole. Its content must be as long as the part says. */
export const ofStream = (
  part: Part,
  content: Stream.Stream<Uint8Array, unknown>,
  boundary: string
): HttpBody.HttpBody => {
  const { contentType, head, tail } = frame(part, boundary)
  return HttpBody.stream(
    Stream.make(head).pipe(Stream.concat(content), Stream.concat(Stream.make(tail))),
    contentType,
    head.length + part.size + tail.length
  )
}
