/** Search in the documents of a data source or a view. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { json, type LocalResponse, type Refusal } from "../../server/http.ts"
import { type Context, query } from "../../server/route.ts"
import { renderDocument } from "./documents.ts"
import { type LocalDataSource, type LocalDocument, chunksOf } from "./model.ts"

const words = (text: string): ReadonlyArray<string> => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []

const Moment = Schema.optional(Schema.NumberFromString)

const SearchQuery = Schema.Struct({
  query: Schema.String,
  top_k: Schema.NumberFromString.pipe(Schema.finite()),
  target_document_tokens: Moment,
  timestamp_gt: Moment,
  timestamp_lt: Moment
})

/** Scores a document by the share of query terms that it contains: simple and deterministic. */
export const searchIn = (
  context: Context,
  source: LocalDataSource,
  shown: (document: LocalDocument) => boolean
): Effect.Effect<LocalResponse, Refusal> =>
  Effect.gen(function*() {
    const input = yield* query(context, SearchQuery)
    const all = (name: string) => context.query.getAll(name)
    const fullText = (context.query.get("full_text") ?? "") !== ""
    const terms = [...new Set(words(input.query))]
    const tagsIn = all("tags_in")
    const parentsIn = all("parents_in")
    const found = [...source.documents.values()]
      .filter((document) =>
        shown(document) &&
        (tagsIn.length === 0 || document.tags.some((tag) => tagsIn.includes(tag))) &&
        !document.tags.some((tag) => all("tags_not").includes(tag)) &&
        (parentsIn.length === 0 || document.parents.some((parent) => parentsIn.includes(parent))) &&
        !document.parents.some((parent) => all("parents_not").includes(parent)) &&
        (input.timestamp_gt === undefined || document.timestamp > input.timestamp_gt) &&
        (input.timestamp_lt === undefined || document.timestamp < input.timestamp_lt)
      )
      .flatMap((document) =>
        chunksOf(document.text).map((text, offset) => {
          const has = new Set([...words(text), ...words(document.title)])
          const score = terms.length === 0 ? 0 : terms.filter((term) => has.has(term)).length / terms.length
          return { document, text, offset, score }
        })
      )
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, input.top_k)
    const byDocument = new Map<LocalDocument, Array<{ text: string; offset: number; score: number }>>()
    for (const { document, offset, score, text } of found) {
      const chunk = { text, offset, score }
      const known = byDocument.get(document)
      if (known === undefined) byDocument.set(document, [chunk])
      else known.push(chunk)
    }
    return json({
      documents: [...byDocument].map(([document, chunks]) =>
        renderDocument(source, document, chunks, fullText ? document.text : null)
      )
    })
  })
