/**
 * Suggestions of agents and people to mention in a message, as `Mentions.suggestions` returns them.
 *
 * ```ts
 * import type { MentionSuggestion } from "effect-dust/Mention"
 * import { Mentions } from "effect-dust/Mentions"
 * import { Effect } from "effect"
 *
 * const option = ({ label, type }: MentionSuggestion) => ({ label: `@${label}`, isAgent: type === "agent" })
 *
 * const options = (query: string) =>
 *   Effect.flatMap(Mentions, (mentions) => mentions.suggestions({ query })).pipe(Effect.map((all) => all.map(option)))
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * An agent or a person that a message can mention.
 *
 * @category schemas
 * @since 0.2.0
 */
export const MentionSuggestion = Schema.Struct({
  /** The id of the agent or of the user, depending on `type`. */
  id: Schema.String,
  type: openLiteral("agent", "user"),
  /** The name to show. */
  label: withDefault(Schema.String, () => ""),
  description: nullable(Schema.String),
  pictureUrl: nullable(Schema.String),
  userFavorite: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface MentionSuggestion extends Schema.Schema.Type<typeof MentionSuggestion> {}
