/**
 * Agents, which Dust's API calls "agent configurations": their models, and the options to create and change them.
 *
 * ```ts
 * import { Agents } from "effect-dust/Agents"
 * import type { Agent } from "effect-dust/Agent"
 * import { Effect } from "effect"
 *
 * const label = (agent: Agent) => `@${agent.name} (${agent.model?.modelId ?? "default model"})`
 *
 * const labels = Effect.flatMap(Agents, (agents) => agents.list()).pipe(Effect.map((all) => all.map(label)))
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { AgentId, SkillId, SpaceId } from "./Ids.ts"
import { list, nonBlank, nullable, openLiteral, record, withDefault } from "./internal/decode/schema.ts"
import { User } from "./User.ts"

/**
 * A model by Dust's provider and model ids. The server refuses unknown ids. If the model is disabled, it uses the agent's
 * own model instead.
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
  /** The id to mention. Dust's own agents have fixed ids such as `dust`. */
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
  /** `null` unless `withAuthors` is set. */
  lastAuthors: nullable(Schema.Array(Schema.String)),
  usage: nullable(Schema.Struct({
    messageCount: nullable(Schema.Number),
    conversationCount: nullable(Schema.Number),
    userCount: nullable(Schema.Number),
    /** The length of the period that these numbers cover, in seconds. */
    timePeriodSec: nullable(Schema.Number)
  })),
  visualizationEnabled: nullable(Schema.Boolean),
  requestedSpaceIds: list(SpaceId),
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
  /** Ids, or objects with `sId` and `name`, depending on the server's version. */
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

/**
 * A tool that an update or an import skipped.
 *
 * @category schemas
 * @since 0.2.0
 */
export const SkippedAction = Schema.Struct({
  /** The name of the tool. */
  name: withDefault(Schema.String, () => ""),
  reason: withDefault(Schema.String, () => "")
})

/**
 * @category models
 * @since 0.2.0
 */
export interface SkippedAction extends Schema.Schema.Type<typeof SkippedAction> {}

/**
 * The result of an update or an import. Both can succeed in part: `skippedActions` lists the tools that Dust skipped.
 *
 * @category models
 * @since 0.2.0
 */
export interface AgentChange {
  readonly agent: FullAgent
  readonly skippedActions: ReadonlyArray<SkippedAction>
}

/**
 * Selects agents by view. `list` and `favorites` need a user behind the credential; `all_unrestricted` (every active agent,
 * unpublished and restricted ones included) needs the administrator role; `workspace` is an older name of `published`.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentView = openLiteral(
  "all",
  "all_unrestricted",
  "list",
  "published",
  "workspace",
  "global",
  "favorites"
)

/**
 * @category models
 * @since 0.2.0
 */
export type AgentView = typeof AgentView.Type

/**
 * Selects the agents of a list.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentFilter = Schema.Struct({
  /** Defaults to the server's default: `all` for an API key, `list` for a user. */
  view: Schema.optional(AgentView),
  /** Fills in `lastAuthors`. Defaults to `false`. */
  withAuthors: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface AgentFilter extends Schema.Schema.Type<typeof AgentFilter> {}

const Temperature = Schema.Number.pipe(
  Schema.filter((value) => (value >= 0 && value <= 1) || "a number from 0 to 1")
)

const Url = Schema.String.pipe(Schema.filter((text) => URL.canParse(text) || "a URL"))

/**
 * The model of an agent and its settings.
 *
 * @category schemas
 * @since 0.2.0
 */
export const GenerationSettings = Schema.Struct({
  modelId: Schema.String.pipe(Schema.propertySignature, Schema.fromKey("model_id")),
  providerId: ModelSelection.fields.providerId.pipe(Schema.propertySignature, Schema.fromKey("provider_id")),
  /** 0 to 1. */
  temperature: Temperature,
  reasoningEffort: ModelSelection.fields.reasoningEffort.from.pipe(
    Schema.propertySignature,
    Schema.fromKey("reasoning_effort")
  ),
  /** The JSON Schema of the answers, as JSON text. */
  responseFormat: Schema.optional(Schema.String).pipe(Schema.fromKey("response_format"))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface GenerationSettings extends Schema.Schema.Type<typeof GenerationSettings> {}

/**
 * A tool of an agent. The members of `configuration` keep the names that Dust gives them (`mcp_server_name`, …): copy
 * them from `Agents.exportYaml` of an agent that has the tool.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentTool = Schema.Struct({
  name: nonBlank("the name of a tool"),
  description: nonBlank("a non-blank description"),
  type: openLiteral("MCP"),
  configuration: Schema.Record({ key: Schema.String, value: Schema.Unknown })
})

/**
 * @category models
 * @since 0.2.0
 */
export interface AgentTool extends Schema.Schema.Type<typeof AgentTool> {}

const lists = {
  /** Names of existing tags: Dust refuses others. */
  tags: Schema.optional(Schema.Array(Schema.Struct({
    name: nonBlank("the name of a tag"),
    kind: openLiteral("standard", "protected")
  }))),
  /** E-mail addresses of members. Dust ignores unknown addresses, and adds the user of the access token. */
  editors: Schema.optional(Schema.Array(nonBlank("an e-mail address"))),
  /** Dust ignores unknown skills and skills that the caller cannot read. */
  skills: Schema.optional(Schema.Array(Schema.Struct({ sId: SkillId, name: Schema.String }))),
  toolset: Schema.optional(Schema.Array(AgentTool))
}

const SpaceReference = Schema.transform(
  Schema.Struct({ space_id: Schema.String }),
  SpaceId,
  { strict: true, decode: ({ space_id }) => space_id, encode: (space_id) => ({ space_id }) }
)

const spacesExpected =
  "the ids of the spaces that the agent remains restricted to ([] for none), because Dust removes restrictions that are not repeated " +
  "with toolset or skills"

/**
 * The changes of an update, without the agent's id.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentPatch = Schema.Struct({
  /** Whether the agent is a favorite of the user of the access token. */
  userFavorite: Schema.optional(Schema.Boolean),
  agent: Schema.optional(Schema.Struct({
    /** The name. */
    handle: Schema.optional(nonBlank("a non-blank name")),
    description: Schema.optional(Schema.String),
    /** `visible`: listed in the workspace; `hidden`: only for its editors. */
    scope: Schema.optional(openLiteral("visible", "hidden")),
    avatarUrl: Schema.optional(Url).pipe(Schema.fromKey("avatar_url"))
  })),
  instructions: Schema.optional(Schema.String),
  generationSettings: Schema.optional(Schema.Struct({
    modelId: Schema.optional(Schema.String).pipe(Schema.fromKey("model_id")),
    providerId: Schema.optional(ModelSelection.fields.providerId).pipe(Schema.fromKey("provider_id")),
    temperature: Schema.optional(Temperature),
    reasoningEffort: ModelSelection.fields.reasoningEffort.pipe(Schema.fromKey("reasoning_effort")),
    responseFormat: Schema.optional(Schema.String).pipe(Schema.fromKey("response_format"))
  })).pipe(Schema.fromKey("generation_settings")),
  ...lists,
  /**
   * The spaces that the agent is restricted to, in addition to those of its tools. Required with `toolset` or `skills`,
   * because Dust then replaces the whole list and drops every restriction that is missing from it.
   */
  spaces: Schema.optional(Schema.Array(SpaceReference))
}).pipe(
  Schema.filter(({ skills, spaces, toolset }) =>
    spaces !== undefined || (skills === undefined && toolset === undefined) ||
    { path: ["spaces"], message: spacesExpected }
  )
)

/**
 * @category models
 * @since 0.2.0
 */
export interface AgentPatch extends Schema.Schema.Type<typeof AgentPatch> {}

/**
 * The changes to an agent. Omitted fields keep their value; a list replaces the whole list. `spaces` is required together
 * with `toolset` or `skills`.
 *
 * @category models
 * @since 0.2.0
 */
export type AgentUpdate =
  & AgentPatch
  & { readonly agentId: AgentId }
  & (
    | { readonly spaces: ReadonlyArray<SpaceId> }
    | { readonly toolset?: undefined; readonly skills?: undefined }
  )

/**
 * An agent to create.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentImport = Schema.Struct({
  agent: Schema.Struct({
    /** The name. */
    handle: nonBlank("a non-blank name"),
    description: nonBlank("a non-blank description"),
    /** `visible`: listed in the workspace; `hidden`: only for its editors. */
    scope: Schema.Literal("visible", "hidden"),
    avatarUrl: Schema.optional(Url).pipe(Schema.fromKey("avatar_url"))
  }),
  instructions: nonBlank("non-blank instructions"),
  generationSettings: GenerationSettings.pipe(Schema.propertySignature, Schema.fromKey("generation_settings")),
  ...lists
})

/**
 * @category models
 * @since 0.2.0
 */
export interface AgentImport extends Schema.Schema.Type<typeof AgentImport> {}
