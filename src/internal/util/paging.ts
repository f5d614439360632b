import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * Every item of a list that pages by offset: stops at the total, and on an empty page; where there is no total, on a page
 * shorter than asked for. With a total a short page is not the end: the server may give fewer at a time than it was asked
 * for. The next page is asked for when the last one is consumed.
 */
export const byOffset = <A, E, R>(options: {
  readonly pageSize: number
  readonly fetch: (page: { readonly limit: number; readonly offset: number }) => Effect.Effect<
    {
      readonly items: ReadonlyArray<A>
      /** How many there were on the page, should some of them not be among `items`. */
      readonly received?: number | undefined
      readonly total?: number | null | undefined
    },
    E,
    R
  >
}): Stream.Stream<A, E, R> =>
  Stream.paginateChunkEffect(
    0,
    (offset) =>
      Effect.map(options.fetch({ limit: options.pageSize, offset }), ({ items, received = items.length, total }) => {
        const next = offset + received
        const more = received > 0 &&
          (total === undefined || total === null ? received >= options.pageSize : next < total)
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
