/**
 * Streams represented by one effect that returns the next elements and one that closes it. Each layer of a `Stream`
 * adds a cost per chunk, and the first run of one costs more than a request: the streams of this module have a single
 * layer, and none if the SDK reads them itself.
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
  /** Stops all work that pulling has started. */
  readonly close: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

const known = new WeakMap<object, Effect.Effect<Pulled<unknown, unknown, unknown>, unknown, unknown>>()

/** Interrupting `open` must leak nothing: only a pull may start work that `close` ends. */
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
 * Opens a stream for reading without the layers of a `Stream`, if it is unchanged since {@link make}. Its waits are
 * interruptible even in uninterruptible regions, so a caller's timeout works there; `Stream.run` waits for a fiber that
 * cannot be interrupted.
 */
export const open = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<Pulled<A, E, R>, E, R> =>
  // The entry of a stream has the types of that stream.
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

/** Like `Stream.mapChunks`. `make` is called for every run of the stream. */
export const mapChunks = <A, B, E, R>(
  stream: Stream.Stream<A, E, R>,
  makeMap: () => (chunk: Chunk.Chunk<A>) => Chunk.Chunk<B>
): Stream.Stream<B, E, R> =>
  make(Effect.map(open(stream), ({ close, pull }): Pulled<B, E, R> => {
    const map = makeMap()
    return { pull: Effect.map(pull, (chunk) => chunk === undefined ? undefined : map(chunk)), close }
  }))

/** Runs a stream to its end and returns the last element. */
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
