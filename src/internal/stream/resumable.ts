/** The one stream path: every event once, in order, over as many connections as it takes. */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StreamError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import { streamTelemetry } from "../telemetry/stream.ts"
import { Follower, type Pull, type Source } from "./follower.ts"

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

/** How the streams of this module can be pulled without the layers of a Stream. */
const pulls = new WeakMap<object, Effect.Effect<Pull<unknown>, StreamError, Scope.Scope>>()

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
): Stream.Stream<Event, StreamError> => {
  const follower = setUp(client, Effect.isEffect(source) ? source : Effect.succeed(source))
  const stream: Stream.Stream<Event, StreamError> = Stream.fromChannel(
    Channel.unwrap(Effect.map(follower, ({ close, pull }) => {
      const loop: Channel.Channel<Chunk.Chunk<Event>, unknown, StreamError, unknown, void, unknown> = Channel.flatMap(
        Channel.fromEffect(pull),
        (chunk) => chunk === undefined ? Channel.void : Channel.flatMap(Channel.write(chunk), () => loop)
      )
      return Channel.ensuringWith(loop, close)
    }))
  )
  pulls.set(
    stream,
    Effect.map(
      Effect.acquireRelease(follower, ({ close }, exit) => close(exit)),
      ({ pull }) => pull
    )
  )
  return stream
}

/**
 * `Stream.toPull`, but cheaper for streams that {@link make} made and nobody changed: the next events, `undefined` at the
 * end. Its waits can be interrupted in regions that cannot, so that a caller's timeout holds there; `Stream.run` waits for a
 * fiber that cannot be interrupted.
 */
export const toPull = <Event, E, R>(
  stream: Stream.Stream<Event, E, R>
): Effect.Effect<Effect.Effect<Chunk.Chunk<Event> | undefined, E, R>, never, Scope.Scope | R> => {
  // What was kept for a stream has the types of that stream.
  const known = pulls.get(stream) as
    | Effect.Effect<Effect.Effect<Chunk.Chunk<Event> | undefined, E>, E, Scope.Scope>
    | undefined
  return known === undefined
    ? Effect.map(
      Stream.toPull(stream),
      (pull) => Effect.catchAll(pull, Option.match({ onNone: () => Effect.succeed(undefined), onSome: Effect.fail }))
    )
    : Effect.catchAll(known, (error) => Effect.succeed(Effect.fail(error)))
}

/** Runs a stream to its end: the last event. */
export const runLast = <Event, E, R>(stream: Stream.Stream<Event, E, R>): Effect.Effect<Option.Option<Event>, E, R> =>
  Effect.scoped(Effect.flatMap(toPull(stream), (pull) => {
    let last = Option.none<Event>()
    const loop: Effect.Effect<Option.Option<Event>, E, R> = Effect.flatMap(pull, (chunk) => {
      if (chunk === undefined) return Effect.succeed(last)
      last = Option.orElse(Chunk.last(chunk), () => last)
      return loop
    })
    return loop
  }))
