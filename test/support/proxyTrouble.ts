/** What a misbehaving proxy can do to a request and its answer. */
import { Data } from "effect"
import * as Http from "node:http"

/** Times are in milliseconds. */
export type Trouble = Data.TaggedEnum<{
  /** Waits before the request is forwarded, and before its answer is handed on. */
  Delay: { readonly request: number; readonly response: number }
  /** Resets the connection, before the request is forwarded or once the origin has answered. */
  Reset: { readonly forwarded: boolean }
  /** Accepts the request and never answers; the origin may get it. */
  HalfOpen: { readonly forwarded: boolean }
  /** Answers with a page of its own after `after`. The origin gets the request after `origin`, or never. */
  Gateway: {
    readonly status: number
    readonly after: number
    readonly origin: number | undefined
    readonly body: string
    readonly headers: Readonly<Record<string, string>>
  }
  /** Resets the connection after so many bytes of the body, or after so many events. */
  Cut: { readonly unit: "bytes" | "events"; readonly after: number }
  /** Compresses the body, whether or not the client accepts it. */
  Compress: { readonly encoding: "gzip" | "br" | "deflate" }
  /** Answers a repeated GET with the first answer, its `Date`, and an `Age` of at least this many seconds. */
  Cache: { readonly age: number }
  /** Changes the `Date` of the answer by so many seconds. */
  SkewDate: { readonly seconds: number }
  /** Passes the body on in pieces of so many bytes, with a pause before each. */
  Drip: { readonly bytes: number; readonly every: number }
  /** Passes nothing on until the origin has finished. */
  Buffer: Record<never, never>
  /** Resets the connection when the origin has sent nothing for so long. */
  IdleCut: { readonly after: number }
  /** Adds a comment to an event stream, between events, whenever the origin has been quiet for so long. */
  Comments: { readonly every: number; readonly text: string }
  /** Sends the whole body, and closes it only after this time. */
  SlowClose: { readonly after: number }
}>

export const Trouble = Data.taggedEnum<Trouble>()

const page = (status: number) =>
  `<html><head><title>${status}</title></head><body><center><h1>${status} ${
    Http.STATUS_CODES[status] ?? "Origin Error"
  }</h1></center><hr><center>edge</center></body></html>`

/** Waits before the request is forwarded, or before its answer is handed on. */
export const delay = (times: { readonly request?: number; readonly response?: number }): Trouble =>
  Trouble.Delay({ request: times.request ?? 0, response: times.response ?? 0 })
export const resetBefore: Trouble = Trouble.Reset({ forwarded: false })
export const resetAfter: Trouble = Trouble.Reset({ forwarded: true })
/** No answer. With `forwarded`, the origin handles the request all the same. */
export const halfOpen = (options: { readonly forwarded?: boolean } = {}): Trouble =>
  Trouble.HalfOpen({ forwarded: options.forwarded ?? false })
/**
 * An HTML page of a gateway. With `origin`, the origin gets the request that much later, also when that is after the page:
 * a handler that is slower than the gateway waits.
 */
export const gateway = (
  status: number,
  options: { readonly after?: number; readonly origin?: number; readonly headers?: Record<string, string> } = {}
): Trouble =>
  Trouble.Gateway({
    status,
    after: options.after ?? 0,
    origin: options.origin,
    body: page(status),
    headers: options.headers ?? {}
  })
/** The page of a firewall that wants to see a browser. The origin gets nothing. */
export const challenge = (status = 403): Trouble =>
  Trouble.Gateway({
    status,
    after: 0,
    origin: undefined,
    body: "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>",
    headers: { "cf-mitigated": "challenge" }
  })
export const cutBytes = (after: number): Trouble => Trouble.Cut({ unit: "bytes", after })
export const cutEvents = (after: number): Trouble => Trouble.Cut({ unit: "events", after })
export const compress = (encoding: "gzip" | "br" | "deflate" = "gzip"): Trouble => Trouble.Compress({ encoding })
export const cache = (age = 60): Trouble => Trouble.Cache({ age })
export const skewDate = (seconds: number): Trouble => Trouble.SkewDate({ seconds })
export const drip = (bytes: number, every = 0): Trouble => Trouble.Drip({ bytes, every })
export const buffer: Trouble = Trouble.Buffer()
export const idleCut = (after: number): Trouble => Trouble.IdleCut({ after })
export const comments = (every: number, text = "ping"): Trouble => Trouble.Comments({ every, text })
export const slowClose = (after: number): Trouble => Trouble.SlowClose({ after })

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export const random = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
