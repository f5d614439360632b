import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * Every item of a list that pages by offset: stops on a page shorter than asked for, and at the total where there is one.
 * The next page is asked for when the last one is consumed.
 */
export const byOffset = <A, E, R>(options: {
  readonly pageSize: number
  readonly fetch: (page: { readonly limit: number; readonly offset: number }) => Effect.Effect<
    {
      readonly items: ReadonlyArray<A>
      readonly total?: number | null | undefined
    },
    E,
    R
  >
}): Stream.Stream<A, E, R> =>
  Stream.paginateChunkEffect(
    0,
    (offset) =>
      Effect.map(options.fetch({ limit: options.pageSize, offset }), ({ items, total }) => {
        const next = offset + items.length
        const more = items.length >= options.pageSize && (total === undefined || total === null || next < total)
        return [Chunk.unsafeFromArray(items), more ? Option.some(next) : Option.none()] as const
      })
  )

/** Every item of a list that pages by an opaque cursor; no cursor ends it. */
export const byCursor = <A, Cursor, E, R>(
  fetch: (cursor: Cursor | undefined) => Effect.Effect<
    {
      readonly items: ReadonlyArray<A>
      readonly next: Cursor | null | undefined
    },
    E,
    R
  >
): Stream.Stream<A, E, R> =>
  Stream.paginateChunkEffect<Cursor | undefined, A, E, R>(
    undefined,
    (cursor) =>
      Effect.map(fetch(cursor), ({ items, next }) =>
        [
          Chunk.unsafeFromArray(items),
          next === null || next === undefined ? Option.none() : Option.some(next)
        ] as const)
  )
