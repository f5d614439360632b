/** Event streams that are read once, from the first event to the end marker: they cannot be resumed. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DustStreamError, RequestError, StreamError } from "../../DustAPIError.ts"
import type { Service } from "../../DustClient.ts"
import type { Input, Operation } from "../api/operation.ts"
import { streamError } from "../request/errors.ts"
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
): Stream.Stream<A, StreamError> =>
  Stream.unwrapScoped(
    Effect.map(client.open<Route, Body, Whole>(operation, input, { accept: "text/event-stream" }), (response) => {
      const parser = new Parser(eventLimit)
      const bytes: Stream.Stream<Uint8Array, RequestError> = client.body(operation, response)
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
        return Effect.succeed(Chunk.unsafeFromArray(events))
      })
    })
  )
