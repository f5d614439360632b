/** The resumable stream path: each event exactly once, in order, over as many connections as needed. */
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import type * as Stream from "effect/Stream"
import type { StreamError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import { calledAt, captureCallSite } from "../request/callSite.ts"
import { streamTelemetry } from "../telemetry/stream.ts"
import { Follower, type Source } from "./follower.ts"
import * as Pulled from "./pulled.ts"

export type { Source, Truth } from "./follower.ts"

const setUp = <Event, Route extends string>(
  client: Client,
  make: Effect.Effect<Source<Event, Route>, StreamError>
): Effect.Effect<Follower<Event, Route>, StreamError> =>
  Effect.flatMap(
    make,
    (source) =>
      Effect.checkInterruptible((interruptible) =>
        Effect.descriptorWith(({ interruptors }) =>
          Effect.clockWith((clock) =>
            Effect.map(
              streamTelemetry(client, source.operation, source.input.path),
              (telemetry) =>
                // A finalizer of an interrupted fiber must be able to wait; other regions yield to a caller's timeout.
                new Follower(client, source, {
                  clock,
                  telemetry,
                  forced: !interruptible && HashSet.size(interruptors) === 0
                })
            )
          )
        )
      )
  )

/**
 * Emits each event exactly once, in order, over as many connections as needed.
 *
 * After a complete page, the next one is requested at once; after a connection without events, the conversation is
 * read; after a failure, it backs off. The stream ends with a terminal event, at an end found in the conversation, or
 * with a typed failure. It is pull-based: nothing is read before the consumer asks.
 */
export const make = <Event, Route extends string>(
  client: Client,
  source: Source<Event, Route> | Effect.Effect<Source<Event, Route>, StreamError>
): Stream.Stream<Event, StreamError> => {
  // Connections are opened later, on behalf of this call.
  const called = calledAt(captureCallSite())
  const open: Client["open"] = (...call) => called(client.open(...call))
  return Pulled.make(setUp({ ...client, open }, Effect.isEffect(source) ? source : Effect.succeed(source)))
}
