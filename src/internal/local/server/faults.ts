/** Scripted failures of the network and of the server. */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { pause, type World } from "../state/state.ts"
import { cut, delayed, doubled, dripped, overJson, reordered, rewritten } from "./distort.ts"
import { bytes, encodeText, errorResponse, type LocalResponse, redirect, Reset, text } from "./http.ts"

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

const reset = (kind: "refused" | "reset") => Effect.fail(new Reset({ kind }))

/** The answer to a request that a fault hits; `run` is what the server would have done. Every fault is handled here. */
export const inject = (
  world: World,
  fault: Fault,
  run: Effect.Effect<LocalResponse, Reset>
): Effect.Effect<LocalResponse, Reset> => {
  switch (fault._tag) {
    case "Respond":
      return Effect.succeed(fault.response)
    case "Refuse":
      return reset("refused")
    case "Reset":
      return Effect.zipRight(fault.handlerRuns ? run : Effect.void, reset("reset"))
    case "NeverAnswer":
      return Effect.zipRight(fault.handlerRuns ? run : Effect.void, Effect.never)
    case "Delay":
      return fault.before === "headers"
        ? Effect.zipRight(pause(world, fault.duration, "a fault that delays the answer"), run)
        : Effect.map(run, (response) => delayed(world, response, fault.duration))
    case "Cut":
      return Effect.map(run, (response) => cut(response, fault.afterBytes, fault.orderly))
    case "TransformJson":
      return Effect.map(run, (response) => rewritten(response, overJson(fault.f)))
    case "TransformText":
      return Effect.map(run, (response) => rewritten(response, fault.f))
    case "DoubleFrames":
      return Effect.map(run, doubled)
    case "ReorderFrames":
      return Effect.map(run, reordered)
    case "Drip":
      return Effect.map(run, (response) => dripped(world, response, fault.bytes, fault.every))
    default:
      return unhandled(fault)
  }
}

/** A new tag does not compile before `inject` handles it. */
const unhandled = (fault: never): never => fault
