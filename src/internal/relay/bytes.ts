import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Shutdown } from "./shutdown.ts"

export interface Encoding<A, E> {
  readonly frame: (event: A) => string
  /** The last frame of a stream that failed. */
  readonly failure: (error: E) => string
  /** Runs before the last frame of a stream that failed. */
  readonly report: (error: E) => Effect.Effect<void>
  readonly defect: () => string
  /** The frames after the last event of a successful stream. */
  readonly end?: (() => string) | undefined
  readonly keepAlive: Duration.DurationInput
  readonly maxDuration: Duration.DurationInput | undefined
  readonly shutdown: Shutdown | undefined
}

const encoder = new TextEncoder()
/** Sent first, so that the headers are flushed before the agent starts. */
const comment = encoder.encode(":\n\n")
/** Buffered chunks for a slow page; reading pauses when the buffer is full. */
const capacity = 16

/**
 * One fiber reads and encodes; another writes comments while the stream is idle. Neither is started, raced or woken per
 * event, which keeps the cost low on a server that relays thousands of answers.
 */
export const bytesOf = <A, E, R>(
  events: Stream.Stream<A, E, R>,
  encoding: Encoding<A, E>
): Effect.Effect<Stream.Stream<Uint8Array>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    if (encoding.shutdown !== undefined) yield* encoding.shutdown.hold
    const bytes = yield* Mailbox.make<Uint8Array>(capacity)
    yield* bytes.offer(comment)
    let written = clock.unsafeCurrentTimeMillis()
    const write = (text: string) => {
      written = clock.unsafeCurrentTimeMillis()
      return text === "" ? Effect.void : bytes.offer(encoder.encode(text))
    }
    const end = encoding.end
    const reading = yield* Effect.forkScoped(
      Stream.runForEachChunk(events, (chunk) => write(Chunk.toReadonlyArray(chunk).map(encoding.frame).join(""))).pipe(
        Effect.zipRight(end === undefined ? bytes.end : Effect.zipRight(Effect.suspend(() => write(end())), bytes.end)),
        Effect.catchAllCause((cause) =>
          Either.match(Cause.failureOrCause(cause), {
            onLeft: (error) =>
              Effect.zipRight(encoding.report(error), Effect.zipRight(write(encoding.failure(error)), bytes.end)),
            // Applies if the event stream itself ends with an interruption, not if this fiber is interrupted.
            onRight: (defect) =>
              Effect.zipRight(
                Cause.isInterruptedOnly(defect) ? Effect.void : write(encoding.defect()),
                bytes.failCause(defect)
              )
          })
        )
      )
    )
    const interval = Duration.toMillis(encoding.keepAlive)
    if (Number.isFinite(interval)) {
      const comments: Effect.Effect<void> = Effect.suspend(() => {
        const now = clock.unsafeCurrentTimeMillis()
        const left = written + interval - now
        if (left > 0) return Effect.zipRight(Effect.sleep(left), comments)
        written = now
        return Effect.zipRight(bytes.offer(comment), comments)
      })
      yield* Effect.forkScoped(comments)
    }
    const over = [
      ...(encoding.shutdown === undefined ? [] : [encoding.shutdown.closing]),
      ...(encoding.maxDuration === undefined ? [] : [Effect.sleep(encoding.maxDuration)])
    ]
    if (over.length > 0) {
      yield* Effect.forkScoped(
        Effect.zipRight(Effect.raceAll(over), Effect.zipRight(Fiber.interrupt(reading), bytes.end))
      )
    }
    return Mailbox.toStream(bytes)
  })
