/**
 * Streams that are one effect which gives out the next elements, and one that ends it all. Each layer of a `Stream` costs
 * something for every chunk, and the first run of one more than a request: those of this module have a single layer, and
 * none where the SDK reads them itself.
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The next elements; `undefined` at the end. */
export type Pull<A, E = never, R = never> = Effect.Effect<Chunk.Chunk<A> | undefined, E, R>

export interface Pulled<A, E = never, R = never> {
  readonly pull: Pull<A, E, R>
  /** Ends everything that pulling has begun. */
  readonly close: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

const known = new WeakMap<object, Effect.Effect<Pulled<unknown, unknown, unknown>, unknown, unknown>>()

/** `open` must leave nothing behind when it is interrupted: what has to be ended, only a pull begins. */
export const make = <A, E, R>(open: Effect.Effect<Pulled<A, E, R>, E, R>): Stream.Stream<A, E, R> => {
  const stream: Stream.Stream<A, E, R> = Stream.fromChannel(
    Channel.unwrap(Effect.map(open, ({ close, pull }) => {
      const loop: Channel.Channel<Chunk.Chunk<A>, unknown, E, unknown, void, unknown, R> = Channel.flatMap(
        Channel.fromEffect(pull),
        (chunk) => chunk === undefined ? Channel.void : Channel.flatMap(Channel.write(chunk), () => loop)
      )
      return Channel.ensuringWith(loop, close)
    }))
  )
  known.set(stream, open)
  return stream
}

/**
 * Opens a stream to be read without the layers of a `Stream`, where nobody has changed it since {@link make} made it. Its waits
 * can be interrupted in regions that cannot, so that a caller's timeout holds there; `Stream.run` waits for a fiber that
 * cannot be interrupted.
 */
export const open = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<Pulled<A, E, R>, E, R> =>
  // What was kept for a stream has the types of that stream.
  (known.get(stream) as Effect.Effect<Pulled<A, E, R>, E, R> | undefined) ?? foreign(stream)

const foreign = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<Pulled<A, E, R>, never, R> =>
  Effect.flatMap(Scope.make(), (scope) =>
    Effect.map(Scope.extend(Stream.toPull(stream), scope), (pull) => ({
      pull: Effect.catchAll(
        pull,
        Option.match({ onNone: () => Effect.succeed(undefined), onSome: (error) => Effect.fail(error) })
      ),
      close: (exit) => Scope.close(scope, exit)
    })))

/** As `Stream.mapChunks`. `make` is called for every run of the stream. */
export const mapChunks = <A, B, E, R>(
  stream: Stream.Stream<A, E, R>,
  makeMap: () => (chunk: Chunk.Chunk<A>) => Chunk.Chunk<B>
): Stream.Stream<B, E, R> =>
  make(Effect.map(open(stream), ({ close, pull }): Pulled<B, E, R> => {
    const map = makeMap()
    return { pull: Effect.map(pull, (chunk) => chunk === undefined ? undefined : map(chunk)), close }
  }))

/** Runs a stream to its end: the last element. */
export const runLast = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(open(stream)), ({ close, pull }) => {
      let last = Option.none<A>()
      const loop: Effect.Effect<Option.Option<A>, E, R> = Effect.flatMap(pull, (chunk) => {
        if (chunk === undefined) return Effect.succeed(last)
        last = Option.orElse(Chunk.last(chunk), () => last)
        return loop
      })
      return Effect.matchCauseEffect(restore(loop), {
        onFailure: (cause) => Effect.zipRight(close(Exit.failCause(cause)), Effect.failCause(cause)),
        onSuccess: (last) => Effect.as(close(Exit.succeed(last)), last)
      })
    })
  )
