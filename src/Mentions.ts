/**
 * Suggests agents and people to mention, and turns `@name` in a text into mentions.
 *
 * ```ts
 * import { Mentions } from "effect-dust/Mentions"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const mentions = yield* Mentions
 *   const suggestions = yield* mentions.suggestions({ query: "su", select: ["agents"] })
 *   const markdown = yield* mentions.parse("@Support, please have a look")
 *   return { suggestions, markdown }
 * })
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type { ConversationId } from "./Ids.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { mentions } from "./internal/api/mentions.ts"
import type { MentionSuggestion } from "./Mention.ts"

/**
 * The text typed so far, and the conversation it is typed in.
 *
 * @category models
 * @since 0.2.0
 */
export interface SuggestionsOptions {
  /** The part of the name that has been typed. */
  readonly query: string
  /** Defaults to both. */
  readonly select?: ReadonlyArray<"agents" | "users"> | undefined
  /** Suggests for a message in this conversation: its participants come first. */
  readonly conversationId?: ConversationId | undefined
}

/**
 * All methods accept an API key or an access token, fail with `RequestError`, and are retried according to the retry
 * policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof mentions> {
  /**
   * Returns the agents and people whose name matches. Dust's parameter `current` is not offered, because the server
   * refuses every value of it.
   *
   * Sources: `GET /api/v1/w/{workspaceId}/assistant/mentions/suggestions`, and with a conversation
   * `GET /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/mentions/suggestions`.
   */
  readonly suggestions: (options: SuggestionsOptions) => Effect.Effect<ReadonlyArray<MentionSuggestion>, RequestError>
}

/**
 * The tag of the service: `yield* Mentions` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Mentions extends Context.Tag("effect-dust/Mentions")<Mentions, Service>() {}

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(Mentions, mentions, ({ call }) => ({
  suggestions: ({ conversationId, ...options }: SuggestionsOptions) =>
    conversationId === undefined
      ? call.suggestions.anywhere(options)
      : call.suggestions.inConversation({ ...options, conversationId })
}))

/**
 * Provides {@link Mentions} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Mentions, never, DustClient> = Layer.effect(Mentions, make)
