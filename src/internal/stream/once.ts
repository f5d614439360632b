/** Event streams that are read once, from the first event to the end marker, and cannot be resumed. */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError, StreamError } from "../../DustAPIError.ts"
import type { Service } from "../../DustClient.ts"
import type { Identity, Input, Operation } from "../api/operation.ts"
import { streamError, timeout } from "../request/errors.ts"
import { watched } from "../request/idleTimeout.ts"
import { type StreamTelemetry, streamTelemetry } from "../telemetry/stream.ts"
import { eventLimit, Parser, TooLarge } from "./sse.ts"

/**
 * Opens the operation as an event stream and decodes its events chunk by chunk. `decode` receives the text of every
 * event that is neither named nor the literal `done`; an event decoded to `undefined` is dropped. Closing the stream
 * closes the connection. `idle` limits the time between two events. The stream does not fail if the connection ends
 * early: the caller checks that the events are complete.
 */
export const sseOnce = <Route extends string, Body, Whole, A>(
  client: Service,
  operation: Operation<Route, Body, Whole>,
  input: Input<Route, Body>,
  decode: (data: string) => A | undefined
): Stream.Stream<A, StreamError> => {
  // Called here, because it records its call site.
  const open = client.open<Route, Body, Whole>(operation, input, { accept: "text/event-stream" })
  const followed = Effect.acquireRelease(
    streamTelemetry(client, operation, input.path),
    (telemetry, exit) =>
      Effect.sync(() => {
        const failed = Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)
        telemetry.end(exit, telemetry.over ? "ended" : failed ? "failed" : "reading", 1)
      })
  )
  return Stream.unwrapScoped(Effect.flatMap(followed, (telemetry) => {
    telemetry.connecting()
    return Effect.zipWith(
      Effect.withParentSpan(open, telemetry.span),
      client.settings,
      (response, { timeouts: { idle } }) =>
        Stream.concat(
          eventsOf(client.body(operation, response), operation, idle, telemetry, decode),
          Stream.execute(Effect.sync(() => {
            telemetry.over = true
          }))
        )
    )
  }))
}

const eventsOf = <A>(
  bytes: Stream.Stream<Uint8Array, RequestError>,
  operation: Identity,
  idle: Duration.Duration,
  telemetry: StreamTelemetry,
  decode: (data: string) => A | undefined
): Stream.Stream<A, StreamError> =>
  Stream.fromPull(Effect.flatMap(Stream.toPull(bytes), (pull) => {
    const parser = new Parser(eventLimit)
    const next: Effect.Effect<Chunk.Chunk<A>, Option.Option<StreamError>> = Effect.flatMap(pull, (pieces) => {
      const events: Array<A> = []
      let isEvent = false
      for (const piece of pieces) {
        const frames = parser.push(piece)
        if (frames instanceof TooLarge) {
          return Effect.fail(Option.some(
            streamError(operation, "event_too_large", `an event is over the limit of ${frames.limit} characters`)
          ))
        }
        for (const frame of frames) {
          isEvent = true
          if (frame.event !== undefined || frame.data === "done") continue
          const event = decode(frame.data)
          if (event !== undefined) events.push(event)
        }
      }
      telemetry.delivered += events.length
      return isEvent ? Effect.succeed(Chunk.unsafeFromArray(events)) : next
    })
    // Bytes that complete no event, such as comments, do not reset the limit.
    return watched(next, idle, () =>
      Option.some<StreamError>(
        timeout(operation, 1, "idle", idle, `received no event within ${Duration.format(idle)}`)
      ))
  }))
