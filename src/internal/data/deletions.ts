import * as Either from "effect/Either"
import type { MaxDeletions } from "../../DataSync.ts"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, badRequest } from "../request/errors.ts"

/** The maximum number of deletions among this many existing items. */
export const allowed = (limit: MaxDeletions, existing: number): number =>
  typeof limit === "number" ? limit : Math.ceil(existing * Number(limit.slice(0, -1)) / 100)

/** Validates a limit. */
export const checkLimit = (
  identity: Identity,
  limit: MaxDeletions | undefined
): Either.Either<void, DustBadRequestError> =>
  limit === undefined || (typeof limit === "number" ? limit >= 0 : /^\d{1,3}(?:\.\d+)?%$/.test(limit))
    ? Either.void
    : Either.left(badInput(identity, "maxDeletions", "a number of at least 0, or a share such as \"10%\""))

export const tooMany = (
  identity: Identity,
  what: string,
  counts: { readonly deletions: number; readonly existing: number; readonly allowed: number }
): DustBadRequestError =>
  badRequest(
    identity,
    0,
    "too_many_deletions",
    `would delete ${counts.deletions} of ${counts.existing} ${what}; at most ${counts.allowed} are allowed, and nothing was ` +
      "deleted. Check that the source is complete, or raise maxDeletions",
    { field: "maxDeletions", ...counts }
  )

/** `what`: what would be deleted, if anything. */
export const emptySource = (identity: Identity, field: string, what?: string): DustBadRequestError => {
  const expected = `a non-empty source${
    what === undefined ? "" : `: an empty one would delete every ${what}`
  }. Set allowEmpty if that is intended`
  return badRequest(identity, 0, "empty_source", `${field} must be ${expected}`, { field, expected })
}
