/**
 * Mentions of agents and people in messages.
 *
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
