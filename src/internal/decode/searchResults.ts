/** The events of a search over the workspace and its tools. */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { NodePage, ToolFile, type UnifiedResults } from "../../SearchResult.ts"
import { list } from "./schema.ts"

const decodeKnowledge = Schema.decodeUnknownEither(NodePage)
const decodeTools = Schema.decodeUnknownEither(Schema.Struct({ toolResults: list(ToolFile) }))
const decodeFailure = Schema.decodeUnknownOption(Schema.Struct({ status: Schema.Number, error: Schema.Unknown }))

/** The content of an event; the caller turns a `Failure` into an error. */
export type SearchEvent = UnifiedResults | { readonly _tag: "Failure"; readonly status: number; readonly body: string }

export const decodeSearchEvent = (data: string): SearchEvent => {
  let json: unknown
  try {
    json = JSON.parse(data)
  } catch {
    return { _tag: "UnknownResults", raw: data }
  }
  if (Predicate.hasProperty(json, "error") && Predicate.isNotNullable(json.error)) {
    const failure = Option.getOrElse(decodeFailure(json.error), () => ({ status: 500, error: json.error }))
    return { _tag: "Failure", status: failure.status, body: JSON.stringify({ error: failure.error }) }
  }
  if (Predicate.hasProperty(json, "knowledgeResults")) {
    const page = decodeKnowledge(json.knowledgeResults)
    if (Either.isRight(page)) return { _tag: "KnowledgeResults", ...page.right }
  }
  if (Predicate.hasProperty(json, "toolResults")) {
    const tools = decodeTools(json)
    if (Either.isRight(tools)) return { _tag: "ToolResults", files: tools.right.toolResults }
  }
  return { _tag: "UnknownResults", raw: json }
}
