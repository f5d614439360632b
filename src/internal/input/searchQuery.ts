import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity, Query } from "../api/operation.ts"
import { badInput } from "../request/errors.ts"
import { epochMillis, type Moment } from "./dates.ts"

/**
 * What a semantic search asks for.
 *
 * @category models
 * @since 0.1.0
 */
export interface SearchOptions {
  /** What the passages shall be about. */
  readonly query: string
  /** How many passages to find. Default 10. */
  readonly topK?: number | undefined
  /** Also send the whole text of each document. Default `false`. */
  readonly fullText?: boolean | undefined
  /** Widen each passage with its neighbours up to about so many tokens per document. */
  readonly targetDocumentTokens?: number | undefined
  /** Only documents newer than this. */
  readonly timestampGt?: Moment | undefined
  /** Only documents older than this. */
  readonly timestampLt?: Moment | undefined
  /** Only documents that have one of these tags; at least one. */
  readonly tagsIn?: ReadonlyArray<string> | undefined
  /** No documents that have one of these tags. */
  readonly tagsNot?: ReadonlyArray<string> | undefined
  /** Only documents at or below one of these nodes; at least one. */
  readonly parentsIn?: ReadonlyArray<string> | undefined
  /** No documents at or below one of these nodes. */
  readonly parentsNot?: ReadonlyArray<string> | undefined
}

const counts = (value: number | undefined): boolean => value === undefined || (Number.isInteger(value) && value > 0)

export const searchQuery = (
  identity: Identity,
  options: SearchOptions
): Effect.Effect<Query, DustBadRequestError> =>
  Either.gen(function*() {
    if (options.query.trim() === "") return yield* Either.left(badInput(identity, "query", "non-blank text"))
    if (!counts(options.topK)) return yield* Either.left(badInput(identity, "topK", "a whole number, at least 1"))
    if (!counts(options.targetDocumentTokens)) {
      return yield* Either.left(badInput(identity, "targetDocumentTokens", "a whole number, at least 1"))
    }
    // The server treats an empty list as no filter, and would return more than the caller asked for.
    for (const field of ["tagsIn", "parentsIn"] as const) {
      if (options[field]?.length === 0) {
        return yield* Either.left(badInput(identity, field, "a non-empty list; omit it for no filter"))
      }
    }
    return {
      query: options.query,
      top_k: options.topK ?? 10,
      // To the server every non-empty value is true, `false` too.
      full_text: options.fullText === true ? true : undefined,
      target_document_tokens: options.targetDocumentTokens,
      timestamp_gt: yield* epochMillis(identity, "timestampGt", options.timestampGt),
      timestamp_lt: yield* epochMillis(identity, "timestampLt", options.timestampLt),
      tags_in: options.tagsIn,
      tags_not: options.tagsNot,
      parents_in: options.parentsIn,
      parents_not: options.parentsNot
    }
  })
