import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { badInput } from "../request/errors.ts"

/**
 * A moment: a `Date`, a `DateTime`, or epoch milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type Moment = number | Date | DateTime.DateTime

// The server takes anything below for seconds.
const leastMillis = 1e10

/** Epoch milliseconds that the server will not take for something else. */
export const epochMillis = <A extends Moment | undefined>(
  identity: Identity,
  field: string,
  moment: A
): Either.Either<number | Extract<A, undefined>, DustBadRequestError> => {
  if (moment === undefined) return Either.right(undefined as Extract<A, undefined>)
  const millis = typeof moment === "number"
    ? moment
    : DateTime.isDateTime(moment)
    ? moment.epochMillis
    : moment.getTime()
  if (!Number.isFinite(millis) || millis > 8.64e15) {
    return Either.left(badInput(identity, field, "a valid Date, DateTime or number of epoch milliseconds"))
  }
  return millis < leastMillis
    ? Either.left(
      badInput(
        identity,
        field,
        "epoch milliseconds of at least 10000000000 (26 April 1970), because Dust reads smaller numbers as seconds",
        String(millis)
      )
    )
    : Either.right(Math.trunc(millis))
}
