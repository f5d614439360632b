/** The endpoints of `Mentions`. */
import * as Schema from "effect/Schema"
import { MentionSuggestion } from "../../Mention.ts"
import { list } from "../decode/schema.ts"
import { get, group, post, using } from "./endpoint.ts"

const suggestion: Schema.Schema<MentionSuggestion, typeof MentionSuggestion.Encoded> = MentionSuggestion

const suggestions = {
  query: Schema.Struct({
    query: Schema.String,
    select: Schema.optional(Schema.Array(Schema.Literal("agents", "users")))
  }),
  response: Schema.Struct({ suggestions: list(suggestion) }),
  pick: (answer: { readonly suggestions: ReadonlyArray<MentionSuggestion> }) => answer.suggestions
}

export const mentions = group("Mentions", {
  suggestions: using({
    anywhere: get("/assistant/mentions/suggestions", suggestions),
    inConversation: get("/assistant/conversations/{conversationId}/mentions/suggestions", suggestions)
  }),
  /**
   * Turns each `@name` of a known agent or person in a Markdown text into a mention, and returns the text. Changes nothing
   * in Dust. Retried automatically.
   *
   * @example
   * ```ts
   * import { Mentions } from "effect-dust/Mentions"
   * import { Effect } from "effect"
   *
   * const program = Effect.flatMap(Mentions, (mentions) => mentions.parse("Ask @Support about it"))
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/mentions/parse`;
   * `front-api/routes/v1/w/[wId]/assistant/mentions/parse.ts` in dust-tt/dust.
   */
  parse: post("/assistant/mentions/parse", {
    replay: "safe",
    body: Schema.Struct({ markdown: Schema.String }),
    response: Schema.Struct({ markdown: Schema.String }),
    pick: ({ markdown }) => markdown
  })
})
