/** Scripted failures of the network and the server. */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import {
  anything,
  type Check,
  duration,
  flag,
  fn,
  isRecord,
  nearest,
  object,
  oneOf,
  shown,
  wholeFrom
} from "../state/check.ts"
import { pause, type World } from "../state/state.ts"
import { cut, delayed, doubled, dripped, overJson, reordered, rewritten } from "./distort.ts"
import { bytes, encodeText, errorResponse, type LocalResponse, redirect, Reset, text } from "./http.ts"
import { DustTestRuleError } from "./patterns.ts"

/** A failure. @category models @since 0.1.0 */
export type Fault = Data.TaggedEnum<{
  /** Responds with this instead; the handler does not run. */
  Respond: { readonly response: LocalResponse }
  /** Delays the headers (the handler runs after the delay) or the body. */
  Delay: { readonly before: "headers" | "body"; readonly duration: Duration.DurationInput }
  /** Never responds. */
  NeverAnswer: { readonly handlerRuns: boolean }
  /** Refuses the connection. */
  Refuse: Record<never, never>
  /** Cuts the connection before the headers, before or after the handler runs. */
  Reset: { readonly handlerRuns: boolean }
  /** Stops the body after this many bytes: cut, or ended normally. */
  Cut: { readonly afterBytes: number; readonly orderly: boolean }
  /** Changes the JSON of the response. */
  TransformJson: { readonly f: (json: unknown) => unknown }
  /** Changes the text of the response. */
  TransformText: { readonly f: (text: string) => string }
  /** Sends each frame of an event stream twice. */
  DoubleFrames: Record<never, never>
  /** Swaps each pair of frames of an event stream. */
  ReorderFrames: Record<never, never>
  /** Sends the body in small pieces. */
  Drip: { readonly bytes: number; readonly every: Duration.DurationInput }
}>

const Fault = Data.taggedEnum<Fault>()

/** Constructors of faults. */
export const faults = {
  /**
   * Responds with a status. The body defaults to Dust's error envelope; `body` replaces it with any text (`""`: empty).
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
  /** Responds with an HTML page, as gateways do. The status defaults to 502. */
  html: (status = 502, body = "<html><body><h1>Bad Gateway</h1></body></html>"): Fault =>
    Fault.Respond({ response: bytes(encodeText(body), { status, contentType: "text/html" }) }),
  /** Redirects the client. The status defaults to 307. */
  redirect: (location: string, status = 307): Fault => Fault.Respond({ response: redirect(location, status) }),
  /** Delays the headers. */
  delayHeaders: (duration: Duration.DurationInput): Fault => Fault.Delay({ before: "headers", duration }),
  /** Sends the headers at once, and the body after this time. */
  delayBody: (duration: Duration.DurationInput): Fault => Fault.Delay({ before: "body", duration }),
  /** Never responds. The handler does not run, unless requested. */
  neverAnswer: (options?: { readonly handlerRuns?: boolean | undefined }): Fault =>
    Fault.NeverAnswer({ handlerRuns: options?.handlerRuns ?? false }),
  /**
   * Refuses the connection: the request never arrives. On a port the connection is cut instead, as by `resetBefore`.
   */
  refuse: (): Fault => Fault.Refuse(),
  /** Cuts the connection before the handler runs. */
  resetBefore: (): Fault => Fault.Reset({ handlerRuns: false }),
  /** Runs the handler, then cuts the connection before the first byte of the response. */
  resetAfter: (): Fault => Fault.Reset({ handlerRuns: true }),
  /** Cuts the body after this many bytes, also that of an event stream. */
  cut: (afterBytes: number): Fault => Fault.Cut({ afterBytes, orderly: false }),
  /** Ends an event stream normally, as far as HTTP can detect, after this many bytes. */
  end: (afterBytes: number): Fault => Fault.Cut({ afterBytes, orderly: true }),
  /** Breaks the JSON by removing its last character. In an event stream, that of every event. */
  malformedJson: (): Fault => Fault.TransformText({ f: (text) => text.slice(0, -1) }),
  /** Changes the shape of the JSON. In an event stream, that of every event: `{ eventId, data }`. */
  transformJson: (f: (json: unknown) => unknown): Fault => Fault.TransformJson({ f }),
  /** Changes the text of the body. In an event stream, that of every event. */
  transformText: (f: (text: string) => string): Fault => Fault.TransformText({ f }),
  /** Sends every frame of an event stream twice. */
  doubleFrames: (): Fault => Fault.DoubleFrames(),
  /** Sends the frames of an event stream in swapped pairs. */
  reorderFrames: (): Fault => Fault.ReorderFrames(),
  /** Sends the body in pieces of this many bytes. */
  drip: (bytes: number, every: Duration.DurationInput = 0): Fault => Fault.Drip({ bytes, every })
} as const

const statusCheck: Check = (value, place) => {
  const status = isRecord(value) ? value["status"] : undefined
  return typeof status === "number" && Number.isInteger(status) && status >= 200 && status < 600
    ? undefined
    : `${place}.status must be a whole number from 200 to 599, not ${shown(status)}`
}

type Parts<Tag extends Fault["_tag"]> = Required<Omit<Extract<Fault, { readonly _tag: Tag }>, "_tag">>

const checks: { readonly [Tag in Fault["_tag"]]: { readonly [K in keyof Parts<Tag>]: Check } } = {
  Respond: { response: statusCheck },
  Delay: { before: oneOf("headers", "body"), duration },
  NeverAnswer: { handlerRuns: flag },
  Refuse: {},
  Reset: { handlerRuns: flag },
  Cut: { afterBytes: wholeFrom(0), orderly: flag },
  TransformJson: { f: fn },
  TransformText: { f: fn },
  DoubleFrames: {},
  ReorderFrames: {},
  Drip: { bytes: wholeFrom(1), every: duration }
}

/** A fault, as the constructors make it. */
export const checkFault: Check = (value, place) => {
  if (typeof value === "function") return `${place} is a function; call it, as in DustTest.faults.resetAfter()`
  const name = isRecord(value) ? value["_tag"] : undefined
  if (typeof name !== "string") return `${place} must be made by DustTest.faults, not ${shown(value)}`
  const known = Object.entries<Readonly<Record<string, Check>>>(checks).find(([one]) => one === name)
  return known === undefined
    ? `${place} is an unknown fault: ${name}; similar: ${nearest(name, Object.keys(checks))}`
    : object({ _tag: anything, ...known[1] }, {})(value, place)
}

/** The function of a fault; its mistakes are those of the rule. */
const guarded = <A, B>(name: string, f: (before: A) => B) => (before: A): B => {
  let after: B
  try {
    after = f(before)
  } catch (cause) {
    throw new DustTestRuleError({ message: `The function of ${name} threw ${String(cause)}.` })
  }
  if (after === undefined || after instanceof Promise) {
    throw new DustTestRuleError({ message: `The function of ${name} must return the new body, not ${shown(after)}.` })
  }
  return after
}

/** Why a fault does not change this response, if it does not. */
const idleAt = (fault: Fault, { body, headers }: LocalResponse): string | undefined => {
  switch (fault._tag) {
    case "DoubleFrames":
    case "ReorderFrames":
      return headers["content-type"]?.startsWith("text/event-stream") === true
        ? undefined
        : "the response is not an event stream"
    case "Cut":
    case "TransformJson":
    case "TransformText":
    case "Drip":
      if (body._tag === "Empty") return "the response has no body"
      return fault._tag === "Cut" && body._tag === "Bytes" && body.bytes.length < fault.afterBytes
        ? `the body has only ${body.bytes.length} bytes`
        : undefined
    default:
      return undefined
  }
}

const reset = (kind: "refused" | "reset") => Effect.fail(new Reset({ kind }))

/**
 * The response to a request that a fault hits; `run` is the regular handling. `onIdle` is called if the fault does not
 * change the response.
 */
export const inject = (
  world: World,
  fault: Fault,
  handled: Effect.Effect<LocalResponse, Reset>,
  onIdle: (reason: string) => void
): Effect.Effect<LocalResponse, Reset> => {
  const run = Effect.tap(handled, (response) =>
    Effect.sync(() => {
      const reason = idleAt(fault, response)
      if (reason !== undefined) onIdle(reason)
    }))
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
      return Effect.map(run, (response) => cut(response, fault.afterBytes, fault.orderly, onIdle))
    case "TransformJson":
      return Effect.map(run, (response) => rewritten(response, overJson(guarded("transformJson", fault.f))))
    case "TransformText":
      return Effect.map(run, (response) => rewritten(response, guarded("transformText", fault.f)))
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

/** Exhaustive: a new tag does not compile until `inject` handles it. */
const unhandled = (fault: never): never => fault
