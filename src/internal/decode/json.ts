import * as Either from "effect/Either"
import type * as Schema from "effect/Schema"
import type { DecodeIssue } from "../../DustAPIError.ts"
import { issuesOf } from "../input/encode.ts"
import { decoder } from "./compile.ts"

export interface Undecodable {
  /** Whether the text was JSON at all. */
  readonly json: boolean
  readonly issues: ReadonlyArray<DecodeIssue>
}

/** Decodes JSON text with a schema, or returns the issues. */
export const decodeJson = <A>(schema: Schema.Schema<A, unknown>, text: string): Either.Either<A, Undecodable> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return Either.left({ json: false, issues: [{ path: "", message: "JSON" }] })
  }
  return Either.mapLeft(decoder(schema)(json), (issue) => ({
    json: true,
    issues: issuesOf(issue)
  }))
}
