/** Scripted failures of the network and of the server. */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { World } from "../state/state.ts"
import { bytes, decodeText, encodeText, errorResponse, type LocalResponse, redirect, Reset, text } from "./http.ts"

/** What goes wrong. @category models @since 0.1.0 */
export type Fault = Data.TaggedEnum<{
  /** The server answers this instead; the handler does not run. */
  Respond: { readonly response: LocalResponse }
  /** Time passes before the headers (the handler runs after it) or before the body. */
  Delay: { readonly before: "headers" | "body"; readonly duration: Duration.DurationInput }
  /** No answer, ever. */
  NeverAnswer: { readonly handlerRuns: boolean }
  /** The connection cannot be opened. */
  Refuse: Record<never, never>
  /** The connection is cut before the headers, before or after the handler ran. */
  Reset: { readonly handlerRuns: boolean }
  /** The body stops after so many bytes: cut, or ended in good order. */
  Cut: { readonly afterBytes: number; readonly orderly: boolean }
  /** The JSON of the response is changed. */
  TransformJson: { readonly f: (json: unknown) => unknown }
  /** The text of the response is changed. */
  TransformText: { readonly f: (text: string) => string }
  /** Frames of an event stream are sent twice. */
  DoubleFrames: Record<never, never>
  /** Each pair of frames of an event stream is swapped. */
  ReorderFrames: Record<never, never>
  /** The body comes in small pieces. */
  Drip: { readonly bytes: number; readonly every: Duration.DurationInput }
}>

const Fault = Data.taggedEnum<Fault>()

/** Constructors of faults. */
export const faults = {
  /**
   * Answers with a status. By default with Dust's error envelope; `body` replaces it by any text (`""`: an empty body).
   *
   * @example
   * ```ts
   * faults.status(429, { type: "rate_limit_error", headers: { "retry-after": "7" } })
   * ```
   */
  status: (
    status: number,
    options?: {
      readonly type?: string | undefined
      readonly message?: string | undefined
      readonly extra?: Readonly<Record<string, unknown>> | undefined
      readonly headers?: Readonly<Record<string, string>> | undefined
      readonly body?: string | undefined
      readonly contentType?: string | undefined
    }
  ): Fault =>
    Fault.Respond({
      response: options?.body === undefined
        ? errorResponse(
          status,
          options?.type ?? (status >= 500 ? "internal_server_error" : "invalid_request_error"),
          options?.message ?? "Scripted fault",
          options?.extra,
          options?.headers
        )
        : text(options.body, { status, contentType: options.contentType, headers: options.headers })
    }),
  /** Answers with a page of HTML, as gateways do. Default status 502. */
  html: (status = 502, body = "<html><body><h1>Bad Gateway</h1></body></html>"): Fault =>
    Fault.Respond({ response: bytes(encodeText(body), { status, contentType: "text/html" }) }),
  /** Sends the client elsewhere. Default status 307. */
  redirect: (location: string, status = 307): Fault => Fault.Respond({ response: redirect(location, status) }),
  /** Lets time pass before the headers. */
  delayHeaders: (duration: Duration.DurationInput): Fault => Fault.Delay({ before: "headers", duration }),
  /** Sends the headers, and the body only after this time. */
  delayBody: (duration: Duration.DurationInput): Fault => Fault.Delay({ before: "body", duration }),
  /** Never answers. The handler does not run, unless asked to. */
  neverAnswer: (options?: { readonly handlerRuns?: boolean | undefined }): Fault =>
    Fault.NeverAnswer({ handlerRuns: options?.handlerRuns ?? false }),
  /** The connection is refused: the request never arrives. On a port it can only be cut, as by `resetBefore`. */
  refuse: (): Fault => Fault.Refuse(),
  /** The connection is cut before the handler ran. */
  resetBefore: (): Fault => Fault.Reset({ handlerRuns: false }),
  /** The handler ran, but the connection is cut before the first byte of the answer. */
  resetAfter: (): Fault => Fault.Reset({ handlerRuns: true }),
  /** The body is cut after so many bytes; also for event streams. */
  cut: (afterBytes: number): Fault => Fault.Cut({ afterBytes, orderly: false }),
  /** An event stream ends, in good order as far as HTTP can tell, after so many bytes. */
  end: (afterBytes: number): Fault => Fault.Cut({ afterBytes, orderly: true }),
  /** The JSON is broken: its last character is missing. In an event stream, that of every event. */
  malformedJson: (): Fault => Fault.TransformText({ f: (text) => text.slice(0, -1) }),
  /** The JSON has another shape than expected. In an event stream, that of every event: `{ eventId, data }`. */
  transformJson: (f: (json: unknown) => unknown): Fault => Fault.TransformJson({ f }),
  /** The text of the body is another one. In an event stream, that of every event. */
  transformText: (f: (text: string) => string): Fault => Fault.TransformText({ f }),
  /** Every frame of an event stream arrives twice. */
  doubleFrames: (): Fault => Fault.DoubleFrames(),
  /** The frames of an event stream arrive in pairs the wrong way round. */
  reorderFrames: (): Fault => Fault.ReorderFrames(),
  /** The body arrives in pieces of so many bytes. */
  drip: (bytes: number, every: Duration.DurationInput = 0): Fault => Fault.Drip({ bytes, every })
} as const

/** A request as a rule sees it. */
export interface FaultTarget {
  readonly method: string
  readonly pathname: string
  /** The route's template, undefined for an unknown route and for the redirect in front of an event stream. */
  readonly route: string | undefined
  readonly query: URLSearchParams
  readonly body: unknown
}

/** When something goes wrong. Without conditions: at every request. @category models @since 0.1.0 */
export interface FaultRule {
  /** `GET`, `POST`, … */
  readonly method?: string | undefined
  /**
   * A route template with or without its `/api/v1/w/:workspaceId` (`/assistant/conversations/:conversationId/messages`),
   * an exact path, or a pattern tested against the path.
   */
  readonly path?: string | RegExp | undefined
  readonly when?: ((request: FaultTarget) => boolean) | undefined
  /** Only the nth matching request (from 1), or several of them. */
  readonly nth?: number | ReadonlyArray<number> | undefined
  /** Only the first so many matching requests. */
  readonly times?: number | undefined
  /** A number between 0 and 1, decided with the workspace's random seed. */
  readonly probability?: number | undefined
  readonly fault: Fault
}

export interface ActiveRule {
  readonly rule: FaultRule
  seen: number
}

const PREFIX = "/api/v1/w/:workspaceId"

const matches = (rule: FaultRule, target: FaultTarget): boolean => {
  if (rule.method !== undefined && rule.method.toUpperCase() !== target.method) return false
  if (rule.path !== undefined) {
    if (typeof rule.path === "string") {
      const wanted = [rule.path, PREFIX + rule.path]
      if (!(target.route !== undefined && wanted.includes(target.route)) && target.pathname !== rule.path) return false
    } else if (!new RegExp(rule.path.source, rule.path.flags.replace(/[gy]/g, "")).test(target.pathname)) return false
  }
  return rule.when === undefined || rule.when(target)
}

/** The first rule that hits. Every matching rule counts the request. */
export const pickFault = (world: World, rules: ReadonlyArray<ActiveRule>, target: FaultTarget): Fault | undefined => {
  let picked: Fault | undefined
  for (const active of rules) {
    const { rule } = active
    if (!matches(rule, target)) continue
    active.seen++
    if (picked !== undefined) continue
    if (rule.nth !== undefined && !(typeof rule.nth === "number" ? [rule.nth] : rule.nth).includes(active.seen)) {
      continue
    }
    if (rule.times !== undefined && active.seen > rule.times) continue
    if (rule.probability !== undefined && world.random() >= rule.probability) continue
    picked = rule.fault
  }
  return picked
}

const bodyStream = (response: LocalResponse): Stream.Stream<Uint8Array, Reset> => {
  switch (response.body._tag) {
    case "Empty":
      return Stream.empty
    case "Bytes":
      return Stream.make(response.body.bytes)
    case "Stream":
      return response.body.stream
  }
}

const withStream = (
  response: LocalResponse,
  f: (stream: Stream.Stream<Uint8Array, Reset>) => Stream.Stream<Uint8Array, Reset>
): LocalResponse => ({ ...response, body: { _tag: "Stream", stream: f(bodyStream(response)) } })

const cutAfter = (self: Stream.Stream<Uint8Array, Reset>, bytes: number, orderly: boolean) =>
  Stream.suspend(() => {
    let left = bytes
    return self.pipe(
      Stream.mapChunks(Chunk.flatMap((piece) => {
        if (left <= 0) return Chunk.empty<Uint8Array>()
        const taken = piece.length <= left ? piece : piece.subarray(0, left)
        left -= taken.length
        return Chunk.of(taken)
      })),
      Stream.takeUntil(() => left <= 0),
      Stream.concat(
        Stream.suspend(() => left <= 0 && !orderly ? Stream.fail(new Reset({ kind: "reset" })) : Stream.empty)
      )
    )
  })

const pieces = (bytes: Uint8Array, size: number): Chunk.Chunk<Uint8Array> => {
  const all: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += size) all.push(bytes.subarray(at, at + size))
  return Chunk.unsafeFromArray(all)
}

/** Works on whole frames, whatever the pieces they come in. */
const mapFrames = (
  self: Stream.Stream<Uint8Array, Reset>,
  make: () => { readonly frame: (frame: string) => string; readonly end: () => string }
) =>
  Stream.suspend(() => {
    const mapper = make()
    let rest = ""
    return self.pipe(
      Stream.map((piece) => {
        const parts = (rest + decodeText(piece)).split("\n\n")
        rest = parts.pop() ?? ""
        return parts.map((part) => mapper.frame(`${part}\n\n`)).join("")
      }),
      Stream.concat(Stream.sync(() => mapper.end() + rest)),
      Stream.filter((text) => text !== ""),
      Stream.map(encodeText)
    )
  })

const isOrdinary = (frame: string): boolean => frame.startsWith("data: {")

/** Changes a response that the handler gave. */
export const distort = (world: World, fault: Fault, response: LocalResponse): LocalResponse => {
  switch (fault._tag) {
    case "Delay":
      return fault.before === "headers"
        ? response
        : withStream(
          response,
          (stream) => Stream.unwrap(Effect.as(world.clock.sleep(Duration.decode(fault.duration)), stream))
        )
    case "Cut": {
      const { "content-length": length, ...rest } = response.headers
      // A body that ends early in good order never announced its length.
      const headers = fault.orderly || length === undefined ? rest : response.headers
      return withStream({ ...response, headers }, (stream) => cutAfter(stream, fault.afterBytes, fault.orderly))
    }
    case "TransformJson":
    case "TransformText": {
      const change = (before: string): string =>
        fault._tag === "TransformText"
          ? fault.f(before)
          : JSON.stringify(fault.f(Option.getOrNull(Option.liftThrowable(() => JSON.parse(before) as unknown)())))
      if (response.body._tag === "Empty") return response
      if (response.body._tag === "Bytes") {
        const body = encodeText(change(decodeText(response.body.bytes)))
        return {
          ...response,
          headers: { ...response.headers, "content-length": String(body.length) },
          body: { _tag: "Bytes", bytes: body }
        }
      }
      return withStream(response, (stream) =>
        response.headers["content-type"] === "text/event-stream"
          ? mapFrames(stream, () => ({
            frame: (frame) => isOrdinary(frame) ? `data: ${change(frame.slice("data: ".length, -2))}\n\n` : frame,
            end: () => ""
          }))
          : Stream.unwrap(
            Effect.map(
              Stream.runFold(stream, "", (text, piece) => text + decodeText(piece)),
              (text) => Stream.make(encodeText(change(text)))
            )
          ))
    }
    case "DoubleFrames":
      return withStream(
        response,
        (stream) =>
          mapFrames(stream, () => ({ frame: (frame) => isOrdinary(frame) ? frame + frame : frame, end: () => "" }))
      )
    case "ReorderFrames":
      return withStream(response, (stream) =>
        mapFrames(stream, () => {
          let held = ""
          const release = (next: string) => {
            const frames = next + held
            held = ""
            return frames
          }
          return {
            frame: (frame) => {
              if (!isOrdinary(frame)) {
                const before = release("")
                return before + frame
              }
              if (held !== "") return release(frame)
              held = frame
              return ""
            },
            end: () => release("")
          }
        }))
    case "Drip": {
      const every = Duration.decode(fault.every)
      const pause = Duration.equals(every, Duration.zero) ? Effect.yieldNow() : world.clock.sleep(every)
      return withStream(response, (stream) =>
        stream.pipe(
          Stream.mapConcatChunk((piece) => pieces(piece, Math.max(1, fault.bytes))),
          Stream.rechunk(1),
          Stream.mapEffect((piece) => Effect.as(pause, piece))
        ))
    }
    default:
      return response
  }
}
