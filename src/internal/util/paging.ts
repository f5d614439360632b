/** Lists over many pages. Each ends, or fails when its pages do not lead on: none is read for ever. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { DustDecodeError } from "../../DustAPIError.ts"
import { type Named, notAdvancing } from "../request/errors.ts"

/**
 * Every item of a list that pages by offset: stops at the total, and on an empty page; where there is no total, on a page
 * shorter than asked for. With a total a short page is not the end: the server may give fewer at a time than it was asked
 * for. The next page is asked for when the last one is consumed. A server that ignores the offset returns one page again and
 * again: that is an error.
 */
export const byOffset = <A, E, R>(operation: Named, options: {
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
}): Stream.Stream<A, E | DustDecodeError, R> =>
  Stream.suspend(() => {
    let before: string | undefined
    let pages = 0
    return Stream.paginateChunkEffect(
      0,
      (offset) =>
        Effect.flatMap(
          options.fetch({ limit: options.pageSize, offset }),
          ({ items, received = items.length, total }) => {
            pages++
            const ends = items.length === 0 ? undefined : JSON.stringify([items[0], items.at(-1)])
            if (ends !== undefined && ends === before) {
              return Effect.fail(
                notAdvancing(operation, pages, `the page at offset ${offset} repeats the previous page`)
              )
            }
            before = ends
            const next = offset + received
            const more = received > 0 &&
              (total === undefined || total === null ? received >= options.pageSize : next < total)
            return Effect.succeed([Chunk.unsafeFromArray(items), more ? Option.some(next) : Option.none()] as const)
          }
        )
    )
  })

/** Every item of a list that pages by an opaque cursor; no cursor ends it, and one that was there before is an error. */
export const byCursor = <A, Cursor, E, R>(
  operation: Named,
  fetch: (cursor: Cursor | undefined) => Effect.Effect<
    {
      readonly items: ReadonlyArray<A>
      readonly next: Cursor | null | undefined
    },
    E,
    R
  >
): Stream.Stream<A, E | DustDecodeError, R> =>
  Stream.suspend(() => {
    const seen = new Set<Cursor>()
    return Stream.paginateChunkEffect<Cursor | undefined, A, E | DustDecodeError, R>(
      undefined,
      (cursor) =>
        Effect.flatMap(fetch(cursor), ({ items, next }) => {
          if (next === null || next === undefined) {
            return Effect.succeed([Chunk.unsafeFromArray(items), Option.none()] as const)
          }
          if (seen.has(next)) {
            return Effect.fail(notAdvancing(operation, seen.size + 1, "a cursor is repeated"))
          }
          seen.add(next)
          return Effect.succeed([Chunk.unsafeFromArray(items), Option.some(next)] as const)
        })
    )
  })
