/** Scripted agents and their configurations. */
import { type AgentBehavior, type AgentInput, Step, tokenize } from "../agent/steps.ts"
import type { AgentTagSeed } from "../state/seed.ts"
import { slice, type World } from "../state/state.ts"

/** A scripted agent and its configuration in the API. @category models @since 0.1.0 */
export interface AgentOptions {
  /** Behavior of the agent. Defaults to echoing the message. */
  readonly script?: AgentBehavior | undefined
  /** Defaults to the `sId`. */
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly instructions?: string | undefined
  /**
   * Defaults to `visible`. `hidden` agents are visible to editors and administrators only; `global` ones are Dust's
   * own.
   */
  readonly scope?: "global" | "visible" | "hidden" | undefined
  /** Defaults to `active`. */
  readonly status?: string | undefined
  readonly model?: {
    readonly providerId: string
    readonly modelId: string
    readonly temperature?: number | undefined
  } | undefined
  readonly pictureUrl?: string | undefined
  /** E-mail addresses of the editors. Defaults to Grace Hopper's, `grace@local-dust.test`. */
  readonly editors?: ReadonlyArray<string> | undefined
  /** The restricted spaces that the agent requires. Defaults to none. */
  readonly requestedSpaceIds?: ReadonlyArray<string> | undefined
  /**
   * Status of a mention of the agent. With a status other than `approved`, the message is stored and the agent does not
   * answer. Defaults to `approved`.
   */
  readonly mentionStatus?:
    | "approved"
    | "rejected"
    | "pending_conversation_access"
    | "pending_project_membership"
    | "user_restricted_by_conversation_access"
    | "agent_restricted_by_space_usage"
    | undefined
}

export interface Agent {
  readonly id: number
  readonly sId: string
  version: number
  versionCreatedAt: number
  name: string
  description: string
  instructions: string | null
  pictureUrl: string
  status: string
  scope: string
  readonly favoriteOf: Set<string>
  model: {
    readonly providerId: string
    readonly modelId: string
    readonly temperature: number
    readonly responseFormat?: string | undefined
  }
  reasoningEffort: string | undefined
  maxStepsPerRun: number
  visualizationEnabled: boolean
  tags: ReadonlyArray<{ readonly sId: string; readonly name: string; readonly kind: string }>
  editors: ReadonlyArray<string>
  requestedSpaceIds: ReadonlyArray<string>
  readonly mentionStatus: NonNullable<AgentOptions["mentionStatus"]>
  skills: ReadonlyArray<{ readonly sId: string; readonly name: string }>
  actions: ReadonlyArray<Readonly<Record<string, unknown>>>
  behavior: AgentBehavior
}

const isOptions = (value: AgentOptions | AgentBehavior): value is AgentOptions =>
  typeof value === "object" && !Array.isArray(value) && !("channel" in value)

/** Echoes the message word by word. */
export const echo = (input: AgentInput): ReadonlyArray<Step> => [
  Step.Tokens({ tokens: tokenize(input.message), classification: "tokens", pace: undefined })
]

export const agents = slice("agents", (world) => ({
  byId: new Map<string, Agent>(),
  tags: new Map(
    (world.seed.agentTags ?? sampleTags).map(({ kind, name }) => [
      name,
      { sId: world.sId("tag"), name, kind: kind ?? "standard" }
    ])
  )
}))

const sampleTags: ReadonlyArray<AgentTagSeed> = [{ name: "support" }, { name: "sales" }]

export const addAgent = (world: World, sId: string, given: AgentOptions | AgentBehavior): Agent => {
  const options: AgentOptions = isOptions(given) ? given : { script: given }
  const known = agents(world).byId.get(sId)
  const agent: Agent = {
    id: known?.id ?? world.numericId(),
    sId,
    version: known === undefined ? 0 : known.version + 1,
    versionCreatedAt: world.now(),
    name: options.name ?? known?.name ?? sId,
    description: options.description ?? known?.description ?? `The scripted agent ${sId}`,
    instructions: options.instructions ?? known?.instructions ?? null,
    pictureUrl: options.pictureUrl ?? known?.pictureUrl ??
      `${world.origin()}/static/agents/${encodeURIComponent(sId)}.png`,
    status: options.status ?? "active",
    scope: options.scope ?? known?.scope ?? "visible",
    favoriteOf: known?.favoriteOf ?? new Set(),
    model: {
      providerId: options.model?.providerId ?? known?.model.providerId ?? "openai",
      modelId: options.model?.modelId ?? known?.model.modelId ?? "gpt-5",
      temperature: options.model?.temperature ?? known?.model.temperature ?? 0.7
    },
    reasoningEffort: known?.reasoningEffort,
    maxStepsPerRun: known?.maxStepsPerRun ?? 64,
    visualizationEnabled: known?.visualizationEnabled ?? false,
    tags: known?.tags ?? [],
    editors: options.editors ?? known?.editors ?? ["grace@local-dust.test"],
    requestedSpaceIds: options.requestedSpaceIds ?? known?.requestedSpaceIds ?? [],
    mentionStatus: options.mentionStatus ?? known?.mentionStatus ?? "approved",
    skills: known?.skills ?? [],
    actions: known?.actions ?? [],
    behavior: options.script ?? echo
  }
  agents(world).byId.set(sId, agent)
  return agent
}

export const renderAgent = (
  agent: Agent,
  options?: { readonly userId?: string | undefined }
): Record<string, unknown> => ({
  id: agent.id,
  sId: agent.sId,
  version: agent.version,
  versionCreatedAt: agent.scope === "global" ? null : new Date(agent.versionCreatedAt).toISOString(),
  versionAuthorId: null,
  name: agent.name,
  description: agent.description,
  instructions: agent.instructions,
  pictureUrl: agent.pictureUrl,
  status: agent.status,
  scope: agent.scope,
  userFavorite: options?.userId !== undefined && agent.favoriteOf.has(options.userId),
  model: agent.reasoningEffort === undefined ? agent.model : { ...agent.model, reasoningEffort: agent.reasoningEffort },
  maxStepsPerRun: agent.maxStepsPerRun,
  templateId: null,
  visualizationEnabled: agent.visualizationEnabled,
  requestedGroupIds: [],
  requestedSpaceIds: agent.requestedSpaceIds,
  tags: agent.tags,
  canRead: true,
  canEdit: agent.scope !== "global"
})
