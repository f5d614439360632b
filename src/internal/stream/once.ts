/** Event streams that are read once, from the first event to the end marker: they cannot be resumed. */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { DustStreamError, RequestError, StreamError } from "../../DustAPIError.ts"
import type { Service } from "../../DustClient.ts"
import type { Identity, Input, Operation } from "../api/operation.ts"
import { streamError } from "../request/errors.ts"
import { type StreamTelemetry, streamTelemetry } from "../telemetry/stream.ts"
import { eventLimit, Parser, TooLarge } from "./sse.ts"

/**
 * Opens the operation as an event stream and decodes its events a piece at a time. `decode` is given the text of every
 * event that is neither named nor the literal `done`; what it answers with `undefined` is left out. The connection is
 * closed with the stream. A stream that just ends, ends: what has to come before that is for the caller to know.
 */
export const sseOnce = <Route extends string, Body, Whole, A>(
  client: Service,
  operation: Operation<Route, Body, Whole>,
  input: Input<Route, Body>,
  decode: (data: string) => A | undefined
): Stream.Stream<A, StreamError> => {
  // Here, because it notes where it is called.
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
    return Effect.map(
      Effect.withParentSpan(open, telemetry.span),
      (response) =>
        Stream.concat(
          eventsOf(client.body(operation, response), operation, telemetry, decode),
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
  telemetry: StreamTelemetry,
  decode: (data: string) => A | undefined
): Stream.Stream<A, StreamError> =>
  Stream.suspend(() => {
    const parser = new Parser(eventLimit)
    return Stream.mapChunksEffect(bytes, (pieces): Effect.Effect<Chunk.Chunk<A>, DustStreamError> => {
      const events: Array<A> = []
      for (const piece of pieces) {
        const frames = parser.push(piece)
        if (frames instanceof TooLarge) {
          return Effect.fail(
            streamError(operation, "event_too_large", `an event is over the limit of ${frames.limit} characters`)
          )
        }
        for (const frame of frames) {
          if (frame.event !== undefined || frame.data === "done") continue
          const event = decode(frame.data)
          if (event !== undefined) events.push(event)
        }
      }
      telemetry.delivered += events.length
      return Effect.succeed(Chunk.unsafeFromArray(events))
    })
  })
