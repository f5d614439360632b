/**
 * Mentions: whom a text can mention, and mentions in a text.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import type { ConversationId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * An agent or a person that can be mentioned.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Suggestion = Schema.Struct({
  /** What a mention refers to: the id of the agent, or of the user. */
  id: Schema.String,
  type: openLiteral("agent", "user"),
  /** What is shown. */
  label: withDefault(Schema.String, () => ""),
  description: nullable(Schema.String),
  pictureUrl: nullable(Schema.String),
  userFavorite: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Suggestion extends Schema.Schema.Type<typeof Suggestion> {}

const assistant = "/api/v1/w/{workspaceId}/assistant"

const Suggestions = Schema.Struct({ suggestions: list(Suggestion) })

const suggestions = Operation.make({
  name: "Mentions.suggestions",
  http: "GET",
  route: `${assistant}/mentions/suggestions`,
  response: Suggestions
})

const conversationSuggestions = Operation.make({
  name: "Mentions.suggestions",
  http: "GET",
  route: `${assistant}/conversations/{conversationId}/mentions/suggestions`,
  response: Suggestions
})

const parse = Operation.make({
  name: "Mentions.parse",
  http: "POST",
  route: `${assistant}/mentions/parse`,
  replay: "safe",
  body: Schema.Struct({ markdown: Schema.String }),
  response: Schema.Struct({ markdown: Schema.String })
})

/**
 * What is being typed, and where.
 *
 * @category models
 * @since 0.1.0
 */
export interface SuggestionsOptions {
  /** What has been typed of the name. */
  readonly query: string
  /** Default: both. */
  readonly select?: ReadonlyArray<"agents" | "users"> | undefined
  /** Suggests for a message in this conversation: its participants come first. */
  readonly conversationId?: ConversationId | undefined
}

/**
 * Every method works with an API key and with a user's access token, fails with `RequestError`, and is retried as the
 * retry policy says.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * Agents and people whose name matches. Dust's `current` parameter is not offered: the server refuses any value of it.
   *
   * Sources: `GET /api/v1/w/{workspaceId}/assistant/mentions/suggestions`, and with a conversation
   * `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/mentions/suggestions`.
   */
  readonly suggestions: (options: SuggestionsOptions) => Effect.Effect<ReadonlyArray<Suggestion>, RequestError>
  /**
   * The same Markdown with each `@name` of a known agent or person made a mention. It changes nothing in Dust.
   *
   * @example
   * ```ts
   * import { Mentions } from "effect-dust/Mentions"
   * import { Effect } from "effect"
   *
   * const program = Effect.flatMap(Mentions, (mentions) => mentions.parse("Ask @Support about it"))
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/mentions/parse`.
   */
  readonly parse: (markdown: string) => Effect.Effect<string, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Mentions extends Context.Tag("effect-dust/Mentions")<Mentions, Service>() {}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) =>
  Mentions.of({
    suggestions: ({ conversationId, query, select }) =>
      Effect.map(
        conversationId === undefined
          ? client.execute(suggestions, { query: { query, select } })
          : client.execute(conversationSuggestions, { path: { conversationId }, query: { query, select } }),
        (answer) => answer.suggestions
      ),
    parse: (markdown) => Effect.map(client.execute(parse, { body: { markdown } }), (answer) => answer.markdown)
  }))

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Mentions, never, DustClient> = Layer.effect(Mentions, make)
