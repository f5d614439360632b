/** The one stream path: every event once, in order, over as many connections as it takes. */
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import type * as Stream from "effect/Stream"
import type { StreamError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
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
                // A finalizer of an interrupted fiber has to be able to wait; other regions give way to a caller's timeout.
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
 * Every event once, in order, over as many connections as it takes.
 *
 * A page that ends in order is followed by the next one at once; a connection that brings nothing is followed by a look at
 * the conversation; failures are followed by a growing pause. It ends on a terminal event, when the conversation says so, or
 * with a typed failure. Nothing is read before it is asked for.
 */
export const make = <Event, Route extends string>(
  client: Client,
  source: Source<Event, Route> | Effect.Effect<Source<Event, Route>, StreamError>
): Stream.Stream<Event, StreamError> =>
  Pulled.make(setUp(client, Effect.isEffect(source) ? source : Effect.succeed(source)))
