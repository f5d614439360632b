/**
 * The bytes of one response as they arrive, without an Effect, a fiber or a timer per chunk: the transport's body is
 * read directly if the platform's response exposes it; otherwise one fiber pulls the response's stream on demand.
 *
 * Until Effect 4: responses expose the transport's body only as an undocumented `source`.
 */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { codingOf, decompressed, isReadable } from "../request/compression.ts"

/** Buffer size at which the transport is paused. */
const bufferLimit = 64 * 1024

const nothing: ReadonlyArray<Uint8Array> = []

/** The body of a response. At most one consumer. */
export abstract class ByteSource {
  /** Called when bytes have arrived or the body has ended. */
  onArrival: () => void = () => {}
  /** How the body ended: `None` for a regular end, otherwise the transport's failure. */
  end: Option.Option<unknown> | undefined
  protected pieces: Array<Uint8Array> = []
  protected size = 0

  /** Returns the bytes that have arrived since the last call. */
  take(): ReadonlyArray<Uint8Array> {
    if (this.size === 0) return nothing
    const { pieces } = this
    this.pieces = []
    this.size = 0
    return pieces
  }

  /** Requests more bytes from the transport, because the consumer is waiting. */
  abstract demand(): void

  /** Stops reading; later arrivals are not reported. */
  close(): void {
    this.onArrival = () => {}
  }

  protected arrived(bytes: Uint8Array): void {
    this.pieces.push(bytes)
    this.size += bytes.length
    this.onArrival()
  }

  protected ended(end: Option.Option<unknown>): void {
    if (this.end !== undefined) return
    this.end = end
    this.onArrival()
  }
}

/** The subset of a Node stream in use, so that compiling does not require Node's types. */
interface NodeReadable {
  readonly on: (event: string, listener: (value: never) => void) => unknown
  readonly off: (event: string, listener: (value: never) => void) => unknown
  readonly pause: () => unknown
  readonly resume: () => unknown
  readonly destroyed?: boolean | undefined
  readonly errored?: unknown
  readonly readableEnded?: boolean | undefined
}

const isNodeReadable = (u: unknown): u is NodeReadable =>
  Predicate.isObject(u) &&
  (["on", "off", "pause", "resume", "read", "destroy"] as const).every((name) =>
    Predicate.hasProperty(u, name) && typeof u[name] === "function"
  )

const isWebReadable = (u: unknown): u is ReadableStream<Uint8Array> =>
  Predicate.hasProperty(u, "getReader") && typeof u.getReader === "function" && Predicate.hasProperty(u, "locked") &&
  u.locked === false

class NodeSource extends ByteSource {
  readonly #readable: NodeReadable
  #paused = false
  readonly #data = (bytes: Uint8Array): void => {
    if (this.size + bytes.length >= bufferLimit && !this.#paused) {
      this.#paused = true
      this.#readable.pause()
    }
    this.arrived(bytes)
  }
  readonly #ended = (): void => this.ended(Option.none())
  readonly #failed = (error: unknown): void => this.ended(Option.some(error))
  readonly #closed = (): void => {
    if (this.end === undefined) this.ended(Option.some(new Error("closed before the end")))
  }

  constructor(readable: NodeReadable) {
    super()
    this.#readable = readable
    if (readable.readableEnded === true) this.end = Option.none()
    else if (readable.destroyed === true) this.end = Option.some(readable.errored)
    readable.on("end", this.#ended)
    readable.on("error", this.#failed)
    readable.on("close", this.#closed)
    readable.on("data", this.#data)
  }

  override take(): ReadonlyArray<Uint8Array> {
    const pieces = super.take()
    if (this.#paused) {
      this.#paused = false
      this.#readable.resume()
    }
    return pieces
  }

  demand(): void {}

  override close(): void {
    super.close()
    this.#readable.off("data", this.#data)
    this.#readable.off("end", this.#ended)
    this.#readable.off("close", this.#closed)
  }
}

class WebSource extends ByteSource {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #reading = false
  readonly #result = (result: ReadableStreamReadResult<Uint8Array>): void => {
    this.#reading = false
    if (result.done) this.ended(Option.none())
    else this.arrived(result.value)
  }
  readonly #failed = (error: unknown): void => this.ended(Option.some(error))

  constructor(body: ReadableStream<Uint8Array>) {
    super()
    this.#reader = body.getReader()
  }

  demand(): void {
    if (this.#reading || this.end !== undefined) return
    this.#reading = true
    this.#reader.read().then(this.#result, this.#failed)
  }

  override close(): void {
    super.close()
    this.#reader.cancel().catch(() => {})
  }
}

/** Any other response: one fiber pulls its stream, chunk by chunk, on demand. */
class PulledSource extends ByteSource {
  #demanded = false
  #wake: ((effect: Effect.Effect<void>) => void) | undefined
  #fiber: Fiber.RuntimeFiber<void> | undefined

  /** Interruptible in every region. */
  start(stream: Stream.Stream<Uint8Array, unknown>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.flatMap(Stream.toPull(stream), (pull) => {
      const idle = Effect.async<void>((resume) => {
        if (this.#demanded) resume(Effect.void)
        else this.#wake = resume
      })
      const loop: Effect.Effect<void> = Effect.zipRight(
        idle,
        Effect.matchCauseEffect(pull, {
          onSuccess: (pieces) => {
            // An empty chunk does not satisfy a waiting consumer.
            if (pieces.length > 0) this.#demanded = false
            for (const piece of pieces) this.arrived(piece)
            return loop
          },
          onFailure: (cause) =>
            Effect.sync(() => {
              const failure = Cause.failureOption(cause)
              this.ended(Option.isSome(failure) ? failure.value : Option.some(Cause.squash(cause)))
            })
        })
      )
      return Effect.map(Effect.forkDaemon(Effect.interruptible(loop)), (fiber) => {
        this.#fiber = fiber
      })
    })
  }

  demand(): void {
    this.#demanded = true
    this.#wake?.(Effect.void)
  }

  override close(): void {
    super.close()
    this.#fiber?.unsafeInterruptAsFork(this.#fiber.id())
  }
}

/** The transport's body behind a response, unless a middleware has wrapped it. */
const transportBody = (response: HttpClientResponse.HttpClientResponse): unknown => {
  if (!Object.hasOwn(response, "source") || Object.hasOwn(response, "stream")) return undefined
  const { source } = response as unknown as { readonly source: unknown }
  return isNodeReadable(source) ? source : Predicate.hasProperty(source, "body") ? source.body : undefined
}

/** A body that can be read without an Effect per chunk; `undefined` if the response hides it. */
export const directSource = (response: HttpClientResponse.HttpClientResponse): ByteSource | undefined => {
  const body = transportBody(response)
  return isWebReadable(body) ? new WebSource(body) : isNodeReadable(body) ? new NodeSource(body) : undefined
}

/** A body that cannot be read because of its compression. */
export class Compressed {
  readonly _tag = "Compressed"
}

// `Effect.addFinalizer` would keep all references of the fiber that opened it.
const opened = (source: ByteSource): Effect.Effect<ByteSource, never, Scope.Scope> =>
  Effect.scopeWith((scope) => Effect.as(Scope.addFinalizer(scope, Effect.sync(() => source.close())), source))

const pulled = (stream: Stream.Stream<Uint8Array, unknown>): Effect.Effect<ByteSource, never, Scope.Scope> => {
  const source = new PulledSource()
  return Effect.zipRight(source.start(stream), opened(source))
}

/** The bytes of a response; closing the scope stops reading. An unrequested compression is decoded chunk by chunk. */
export const sourceOf = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<ByteSource | Compressed, never, Scope.Scope> =>
  Effect.suspend((): Effect.Effect<ByteSource | Compressed, never, Scope.Scope> => {
    const body = transportBody(response)
    const coding = codingOf(response.headers["content-encoding"])
    if (coding !== undefined && isReadable(coding)) {
      return pulled(Stream.fromPull(
        Effect.flatMap(
          Stream.toPull(response.stream),
          (pull) => decompressed<unknown>(pull, coding, () => new Compressed())
        )
      ))
    }
    // Clients that decode other codings keep the header.
    if (isWebReadable(body)) return opened(new WebSource(body))
    if (coding !== undefined) return Effect.succeed(new Compressed())
    return isNodeReadable(body) ? opened(new NodeSource(body)) : pulled(response.stream)
  })

/** A response without a body ends at once. */
export const isEmptyBody = (error: unknown): boolean =>
  Predicate.hasProperty(error, "reason") && error.reason === "EmptyBody"
