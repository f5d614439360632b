/**
 * Agents ("agent configurations").
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { AgentId } from "./Ids.ts"
import { list, nullable, openLiteral, record } from "./internal/decode/schema.ts"
import { User } from "./User.ts"

/**
 * A model, named as Dust names it. The server refuses unknown ids, and falls back to the agent's own model for one that is
 * disabled.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ModelSelection = Schema.Struct({
  providerId: openLiteral("openai", "anthropic", "mistral", "google_ai_studio", "deepseek", "fireworks", "xai", "auto"),
  modelId: Schema.String,
  reasoningEffort: Schema.optional(openLiteral("none", "light", "medium", "high"))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ModelSelection extends Schema.Schema.Type<typeof ModelSelection> {}

/**
 * An agent, without its tools.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Agent = Schema.Struct({
  /** What a mention refers to. The agents of Dust itself have fixed ids such as `dust`. */
  sId: AgentId,
  name: Schema.String,
  description: nullable(Schema.String),
  instructions: nullable(Schema.String),
  pictureUrl: nullable(Schema.String),
  status: nullable(
    openLiteral(
      "active",
      "archived",
      "draft",
      "pending",
      "disabled_by_admin",
      "disabled_missing_datasource",
      "disabled_free_workspace"
    )
  ),
  scope: nullable(openLiteral("global", "visible", "hidden")),
  version: nullable(Schema.Number),
  /** ISO 8601. */
  versionCreatedAt: nullable(Schema.String),
  userFavorite: nullable(Schema.Boolean),
  model: nullable(Schema.Struct({
    providerId: Schema.String,
    modelId: Schema.String,
    temperature: nullable(Schema.Number),
    reasoningEffort: nullable(Schema.String)
  })),
  maxStepsPerRun: nullable(Schema.Number),
  templateId: nullable(Schema.String),
  /** Only with `withAuthors`. */
  lastAuthors: nullable(Schema.Array(Schema.String)),
  usage: nullable(Schema.Struct({
    messageCount: nullable(Schema.Number),
    conversationCount: nullable(Schema.Number),
    userCount: nullable(Schema.Number),
    /** The period these numbers are about, in seconds. */
    timePeriodSec: nullable(Schema.Number)
  })),
  visualizationEnabled: nullable(Schema.Boolean),
  requestedSpaceIds: list(Schema.String),
  tags: list(Schema.Struct({ name: Schema.String, kind: nullable(Schema.String), sId: nullable(Schema.String) })),
  editors: list(User),
  canRead: nullable(Schema.Boolean),
  canEdit: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Agent extends Schema.Schema.Type<typeof Agent> {}

/**
 * An agent with its tools and skills.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FullAgent = Schema.Struct({
  ...Agent.fields,
  instructionsHtml: nullable(Schema.String),
  /** The configured tools, as Dust describes them. */
  actions: list(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  /** Ids, or objects with `sId` and `name`, depending on the age of the server. */
  skills: list(Schema.Unknown)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface FullAgent extends Schema.Schema.Type<typeof FullAgent> {}

/**
 * Why a run failed. `metadata.category` classifies it: `retryable_model_error`, `context_window_exceeded`,
 * `credits_exhausted`, … (open).
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunError = Schema.Struct({
  code: Schema.String,
  message: Schema.String,
  metadata: record
})

/**
 * @category models
 * @since 0.1.0
 */
export interface RunError extends Schema.Schema.Type<typeof RunError> {}
