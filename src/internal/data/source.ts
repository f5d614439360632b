import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { badInput } from "../request/errors.ts"

export type Source<A, E, R> = Iterable<A> | Stream.Stream<A, E, R>

export const isStream = <A, E, R>(source: Source<A, E, R>): source is Stream.Stream<A, E, R> =>
  Predicate.hasProperty(source, Stream.StreamTypeId)

/** Rejects what plain JavaScript may pass instead of a source, such as a Promise or text. */
export const checkSource = (
  identity: Identity,
  field: string,
  source: unknown
): Either.Either<void, DustBadRequestError> =>
  Predicate.hasProperty(source, Stream.StreamTypeId) ||
    (typeof source === "object" && source !== null && Symbol.iterator in source)
    ? Either.void
    : Either.left(badInput(
      identity,
      field,
      Predicate.hasProperty(source, Symbol.asyncIterator)
        ? "an Iterable or a Stream (Stream.fromAsyncIterable)"
        : "an Iterable or a Stream"
    ))

/** The next element of a source, `None` at its end. */
export type Pull<A, E, R> = Effect.Effect<Option.Option<A>, E, R>

const ofIterable = <A>(source: Iterable<A>): Effect.Effect<Pull<A, never, never>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({ iterator: source[Symbol.iterator](), open: true })),
      // A generator has its own `finally`.
      (state) =>
        Effect.sync(() => {
          if (state.open) state.iterator.return?.()
        })
    ),
    (state) =>
      Effect.sync(() => {
        if (!state.open) return Option.none()
        const next = state.iterator.next()
        if (next.done !== true) return Option.some(next.value)
        state.open = false
        return Option.none()
      })
  )

const ofStream = <A, E, R>(
  source: Stream.Stream<A, E, R>
): Effect.Effect<Pull<A, E, R>, never, Scope.Scope | R> =>
  Effect.map(Stream.toPull(source), (pull) => {
    let chunk: ReadonlyArray<A> = []
    let at = 0
    const next: Pull<A, E, R> = Effect.suspend(() => {
      if (at < chunk.length) return Effect.succeed(Option.some(chunk[at++]!))
      return Effect.matchEffect(pull, {
        onSuccess: (received: Chunk.Chunk<A>) => {
          chunk = [...received]
          at = 0
          return next
        },
        onFailure: (error) => Option.isNone(error) ? Effect.succeedNone : Effect.fail(error.value)
      })
    })
    return next
  })

/** Pulls a source one element at a time: an Iterable produces its next element only on demand. */
export const pulled = <A, E, R>(source: Source<A, E, R>): Effect.Effect<Pull<A, E, R>, never, Scope.Scope | R> =>
  isStream(source) ? ofStream(source) : ofIterable(source)
