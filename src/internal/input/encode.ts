import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type { DecodeIssue, DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { badInput } from "../request/errors.ts"

const issueLimit = 10

/** Paths and expectations of a parse error: never the values. */
export const issuesOf = (issue: ParseResult.ParseIssue): ReadonlyArray<DecodeIssue> => {
  const seen = new Set<string>()
  const issues: Array<DecodeIssue> = []
  for (const { message, path } of ParseResult.ArrayFormatter.formatIssueSync(issue)) {
    const at = path.map(String).join(".")
    // Of the members of a union, those that only say "not this literal" explain nothing once another one goes deeper.
    const text = message.replace(/, actual [\s\S]*$/, "").replace(/^Expected /, "").slice(0, 200)
    const key = `${at}\n${text}`
    if (seen.has(key)) continue
    seen.add(key)
    issues.push({ path: at, message: text })
    if (issues.length === issueLimit) break
  }
  return issues
}

/** `optional` does not belong into the message about a field that has a value. */
const isNothing = (expected: string): boolean => expected === "null" || expected === "undefined"

/** The first field that does not fit, with all alternatives that it could be. */
export const problemOf = (issue: ParseResult.ParseIssue): { readonly path: string; readonly expected: string } => {
  const [first, ...rest] = issuesOf(issue)
  const same = rest.filter((other) => other.path === first?.path && !isNothing(other.message))
    .map((other) => other.message)
  return { path: first?.path ?? "", expected: [first?.message ?? "a valid value", ...same].join(", or ") }
}

/** Validates and encodes a body. An error names the field, and nothing is sent. */
export const encodeBody = <A, I>(
  identity: Identity,
  schema: Schema.Schema<A, I>
): (value: A) => Either.Either<unknown, DustBadRequestError> => {
  const encode = ParseResult.encodeUnknownEither(schema)
  return (value) =>
    Either.mapLeft(encode(value), (issue) => {
      const { expected, path } = problemOf(issue)
      return badInput(identity, path === "" ? "body" : path, expected)
    })
}
