/** Converts bodies between the wire and the tape. */
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { concat } from "../util/joined.ts"
import type { EventFrame, FormPart, RecordedBody } from "./tape.ts"

const encoder = new TextEncoder()

const textual = /^text\/|[/+](?:json|xml|csv|yaml|javascript|x-www-form-urlencoded)\b|^application\/(?:x-)?ndjson/i

const utf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const parsed = (text: string): { readonly json: unknown } | undefined => {
  try {
    return { json: JSON.parse(text) as unknown }
  } catch {
    return undefined
  }
}

const toBase64 = (bytes: Uint8Array): string => {
  let binary = ""
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(binary)
}

export const fromBase64 = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))

/** The body as recorded on the tape. */
export const recordedBody = (
  bytes: Uint8Array,
  contentType: string | undefined,
  limit: number
): RecordedBody | undefined => {
  if (bytes.length === 0) return undefined
  if (bytes.length > limit) return { omitted: bytes.length }
  const text = textual.test(contentType ?? "text/plain") ? utf8(bytes) : undefined
  if (text === undefined) return { base64: toBase64(bytes) }
  return (/json/i.test(contentType ?? "json") ? parsed(text) : undefined) ?? { text }
}

/** The text received from an event stream, by arrival time. */
export interface Arrival {
  readonly at: number
  readonly text: string
}

const frameText = ({ event, id, json, text }: EventFrame): string =>
  text ??
    `${event === undefined ? "" : `event: ${event}\n`}${id === undefined ? "" : `id: ${id}\n`}data: ${
      JSON.stringify(json)
    }\n\n`

const frameOf = (at: number, text: string): EventFrame => {
  const [, event, id, data] = /^(?:event: ([^\n]*)\n)?(?:id: ([^\n]*)\n)?data: ([^\n]*)\n\n$/.exec(text) ?? []
  const json = data === undefined ? undefined : parsed(data)
  if (json === undefined) return { at, text }
  const frame: EventFrame = {
    at,
    ...(event === undefined ? {} : { event }),
    ...(id === undefined ? {} : { id }),
    ...json
  }
  return frameText(frame) === text ? frame : { at, text }
}

/** The frames of an event stream, independent of how the network split them. */
export const recordedEvents = (arrivals: ReadonlyArray<Arrival>): ReadonlyArray<EventFrame> => {
  const frames: Array<EventFrame> = []
  let open = ""
  let last = 0
  for (const { at, text } of arrivals) {
    last = at
    open += text
    for (let end = /\r?\n\r?\n/.exec(open); end !== null; end = /\r?\n\r?\n/.exec(open)) {
      const length = end.index + end[0].length
      frames.push(frameOf(at, open.slice(0, length)))
      open = open.slice(length)
    }
  }
  return open === "" ? frames : [...frames, { at: last, text: open }]
}

/** The bytes of a body on the tape; `undefined` if the tape omits them. */
export const bytesOf = (body: RecordedBody | undefined): Uint8Array | undefined => {
  if (body === undefined) return new Uint8Array()
  if ("json" in body) return encoder.encode(JSON.stringify(body.json))
  if ("text" in body) return encoder.encode(body.text)
  if ("base64" in body) return fromBase64(body.base64)
  return undefined
}

export const bytesOfFrame = (frame: EventFrame): Uint8Array => encoder.encode(frameText(frame))

const partsOf = (form: FormData): ReadonlyArray<FormPart> =>
  Array.from(form.entries(), ([name, value]): FormPart =>
    typeof value === "string"
      ? { name, text: value }
      : {
        name,
        fileName: value.name,
        ...(value.type === "" ? {} : { contentType: value.type }),
        bytes: value.size
      })

/** Parses the parts of a form from its bytes. */
const partsFrom = (bytes: Uint8Array, contentType: string): ReadonlyArray<FormPart> | undefined => {
  const boundary = /boundary="?([^";]+)/i.exec(contentType)?.[1]
  if (boundary === undefined) return undefined
  // One character per byte keeps offsets equal.
  let raw = ""
  for (let at = 0; at < bytes.length; at += 0x8000) raw += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return raw.split(`--${boundary}`).slice(1, -1).map((section): FormPart => {
    const end = section.indexOf("\r\n\r\n")
    const head = section.slice(0, end)
    const content = section.slice(end + 4).replace(/\r\n$/, "")
    const ofHead = (expression: RegExp) => {
      const found = expression.exec(head)?.[1]
      return found === undefined ? undefined : utf8(Uint8Array.from(found, (char) => char.charCodeAt(0))) ?? found
    }
    const name = ofHead(/[; ]name="([^"]*)"/i) ?? ""
    const fileName = ofHead(/filename="([^"]*)"/i)
    const type = ofHead(/content-type:\s*([^\r\n]+)/i)
    return {
      name,
      ...(fileName === undefined
        ? { text: utf8(Uint8Array.from(content, (char) => char.charCodeAt(0))) ?? content }
        : { fileName, ...(type === undefined ? {} : { contentType: type }), bytes: content.length })
    }
  })
}

/** The body of a request as recorded on the tape. */
export const sentBody = (
  bytes: Uint8Array,
  contentType: string | undefined,
  limit: number
): RecordedBody | undefined => {
  if (bytes.length > 0 && /^multipart\/form-data/i.test(contentType ?? "")) {
    const parts = partsFrom(bytes, contentType ?? "")
    if (parts !== undefined) return { parts }
  }
  return recordedBody(bytes, contentType, limit)
}

/** An outgoing request, and its body, which is known once it is sent. */
export interface Observed {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly body: () => RecordedBody | undefined
}

const typeOf = (request: HttpClientRequest.HttpClientRequest, body: HttpBody.HttpBody): string | undefined =>
  request.headers["content-type"] ?? body.contentType

/** Records a body while it is sent, without changing it. */
export const observe = (request: HttpClientRequest.HttpClientRequest, limit: number): Observed => {
  const { body } = request
  const type = typeOf(request, body)
  switch (body._tag) {
    case "Empty":
      return { request, body: () => undefined }
    case "Uint8Array":
      return { request, body: () => sentBody(body.body, type, limit) }
    case "FormData":
      return { request, body: () => ({ parts: partsOf(body.formData) }) }
    case "Stream": {
      let pieces: Array<Uint8Array> = []
      let size = 0
      const seen = Stream.tap(body.stream, (piece) => {
        size += piece.length
        if (size <= limit) pieces.push(piece.slice())
        else pieces = []
        return Effect.void
      })
      return {
        request: HttpClientRequest.bodyStream(request, seen, {
          contentType: body.contentType,
          contentLength: body.contentLength
        }),
        body: () => size > limit ? { omitted: size } : sentBody(concat(pieces), type, limit)
      }
    }
    case "Raw": {
      const value = body.body
      if (typeof value === "string") return { request, body: () => sentBody(encoder.encode(value), type, limit) }
      if (value instanceof Uint8Array) return { request, body: () => sentBody(value, type, limit) }
      return { request, body: () => ({ omitted: body.contentLength ?? 0 }) }
    }
  }
}
