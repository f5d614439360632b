/** Agents: their configurations and the routes about them. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type AgentBehavior, type AgentInput, Step, tokenize } from "../agent/steps.ts"
import { badRequest, bytes, encodeText, json, type LocalResponse, refuse, type Refusal } from "../server/http.ts"
import { body, type Handler, type Context, param, requireUser, type Route, route } from "../server/route.ts"
import { slice, type World } from "../state/state.ts"

/** A scripted agent and how the API describes it. @category models @since 0.1.0 */
export interface AgentOptions {
  /** What it does. Default: it echoes the message. */
  readonly script?: AgentBehavior | undefined
  /** Default: the sId. */
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly instructions?: string | undefined
  /** Default `visible`; `hidden` agents are the editors' and administrators' alone; `global` ones are Dust's own. */
  readonly scope?: "global" | "visible" | "hidden" | undefined
  /** Default `active`. */
  readonly status?: string | undefined
  readonly model?: {
    readonly providerId: string
    readonly modelId: string
    readonly temperature?: number | undefined
  } | undefined
  readonly pictureUrl?: string | undefined
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
  model: { readonly providerId: string; readonly modelId: string; readonly temperature: number }
  reasoningEffort: string | undefined
  maxStepsPerRun: number
  visualizationEnabled: boolean
  tags: ReadonlyArray<{ readonly sId: string; readonly name: string; readonly kind: string }>
  editors: ReadonlyArray<string>
  skills: ReadonlyArray<{ readonly sId: string; readonly name: string }>
  actions: ReadonlyArray<Readonly<Record<string, unknown>>>
  behavior: AgentBehavior
}

const isOptions = (value: AgentOptions | AgentBehavior): value is AgentOptions =>
  typeof value === "object" && !Array.isArray(value) && !("channel" in value)

/** Repeats the message, word by word. */
export const echo = (input: AgentInput): ReadonlyArray<Step> => [
  Step.Tokens({ tokens: tokenize(input.message), classification: "tokens", pace: undefined })
]

export const agents = slice("agents", () => ({ byId: new Map<string, Agent>() }))

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
    editors: known?.editors ?? [],
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
  requestedSpaceIds: [],
  tags: agent.tags,
  canRead: true,
  canEdit: agent.scope !== "global"
})

const BASE = "/api/v1/w/:workspaceId/assistant/agent_configurations"
const ONE = `${BASE}/:agentId`

const mayManage = ({ auth }: Context): boolean => auth.kind === "system" || auth.role === "admin"

const mayUse = (context: Context, agent: Agent): boolean =>
  agent.scope !== "hidden" || mayManage(context)
  || (context.auth.user !== undefined && agent.editors.includes(context.auth.user.email))

const VIEWS = new Set(["all", "list", "workspace", "published", "global", "favorites"])

const render = (context: Context, agent: Agent): Record<string, unknown> =>
  renderAgent(agent, { userId: context.auth.user?.sId })

const renderFull = (context: Context, agent: Agent): Record<string, unknown> => ({
  ...render(context, agent),
  instructionsHtml: agent.instructions === null ? null : `<p>${agent.instructions}</p>`,
  actions: agent.actions,
  skills: agent.skills
})

const list: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const view = context.query.get("view") ?? (auth.user === undefined ? "all" : "list")
    const withAuthors = context.query.get("withAuthors")
    if (!VIEWS.has(view)) {
      return yield* badRequest(`Invalid query parameters: Validation error: Invalid enum value "${view}" at "view"`)
    }
    if (withAuthors !== null && withAuthors !== "true" && withAuthors !== "false") {
      return yield* badRequest("Invalid query parameters: Validation error: Invalid enum value at \"withAuthors\"")
    }
    if (view === "list" || view === "favorites") {
      yield* requireUser(context, {
        status: 401,
        type: "invalid_request_error",
        message: "The user must be authenticated to retrieve this view of agents."
      })
    }
    const chosen = Array.from(agents(world).byId.values()).filter((agent) => {
      if (agent.status === "archived" || agent.status === "draft" || !mayUse(context, agent)) return false
      switch (view) {
        case "global":
          return agent.scope === "global"
        case "workspace":
        case "published":
          return agent.scope === "visible"
        case "favorites":
          return auth.user !== undefined && agent.favoriteOf.has(auth.user.sId)
        default:
          return true
      }
    })
    return json({
      agentConfigurations: chosen.map((agent) => ({
        ...render(context, agent),
        ...(withAuthors === "true" ? { lastAuthors: agent.scope === "global" ? ["Dust"] : agent.editors } : {})
      }))
    })
  })

const search: Handler = (context) =>
  Effect.suspend(() => {
    const needle = context.query.get("q")
    if (needle === null) return badRequest("Invalid query parameters: Validation error: Required at \"q\"")
    return Effect.succeed(json({
      agentConfigurations: Array.from(agents(context.world).byId.values())
        .filter((agent) =>
          agent.status === "active" && mayUse(context, agent) && agent.name.toLowerCase().includes(needle.toLowerCase())
        )
        .map((agent) => render(context, agent))
    }))
  })

const find = (context: Context): Effect.Effect<Agent, Refusal> =>
  Effect.suspend(() => {
    const agent = agents(context.world).byId.get(param(context, "agentId"))
    if (agent === undefined) {
      return refuse(404, "agent_configuration_not_found", "The agent configuration was not found.")
    }
    return mayUse(context, agent)
      ? Effect.succeed(agent)
      : refuse(403, "workspace_auth_error", "Only administrators can access hidden agents.")
  })

const get: Handler = (context) =>
  Effect.gen(function*() {
    const variant = context.query.get("variant") ?? "light"
    if (variant !== "light" && variant !== "full") {
      return yield* badRequest("Invalid query parameters: Validation error: Invalid enum value at \"variant\"")
    }
    const agent = yield* find(context)
    return json({ agentConfiguration: variant === "full" ? renderFull(context, agent) : render(context, agent) })
  })

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(schema)

const AgentFields = Schema.Struct({
  handle: optional(Schema.String),
  description: optional(Schema.String),
  scope: optional(Schema.Literal("visible", "hidden")),
  avatar_url: optional(Schema.String),
  max_steps_per_run: optional(Schema.Number),
  visualization_enabled: optional(Schema.Boolean)
})
const Generation = Schema.Struct({
  model_id: optional(Schema.String),
  provider_id: optional(Schema.String),
  temperature: optional(Schema.Number),
  reasoning_effort: optional(Schema.NullOr(Schema.String))
})
const Tag = Schema.Struct({ name: Schema.String, kind: Schema.Literal("standard", "protected") })
const Tool = Schema.Struct({
  name: Schema.String,
  description: Schema.String,
  type: Schema.Literal("MCP"),
  configuration: Schema.Struct(
    { mcp_server_name: Schema.String },
    Schema.Record({ key: Schema.String, value: Schema.Unknown })
  )
})

const AgentPatch = Schema.Struct({
  userFavorite: optional(Schema.Boolean),
  agent: optional(AgentFields),
  instructions: optional(Schema.String),
  generation_settings: optional(Generation),
  tags: optional(Schema.Array(Tag)),
  editors: optional(Schema.Array(Schema.String)),
  skills: optional(Schema.Array(Schema.Struct({ sId: Schema.String, name: Schema.String }))),
  toolset: optional(Schema.Array(Tool))
})
type AgentPatch = typeof AgentPatch.Type

/** Applies what it can; tools of servers that the workspace does not have are skipped and reported. */
const apply = (context: Context, agent: Agent, input: AgentPatch): ReadonlyArray<{ name: string; reason: string }> => {
  const { world } = context
  const skipped: Array<{ name: string; reason: string }> = []
  const { agent: fields, generation_settings: generation } = input
  if (fields?.handle !== undefined) agent.name = fields.handle
  if (fields?.description !== undefined) agent.description = fields.description
  if (fields?.scope !== undefined) agent.scope = fields.scope
  if (fields?.avatar_url !== undefined) agent.pictureUrl = fields.avatar_url
  if (fields?.max_steps_per_run !== undefined) agent.maxStepsPerRun = fields.max_steps_per_run
  if (fields?.visualization_enabled !== undefined) agent.visualizationEnabled = fields.visualization_enabled
  if (input.instructions !== undefined) agent.instructions = input.instructions
  if (generation !== undefined) {
    agent.model = {
      providerId: generation.provider_id ?? agent.model.providerId,
      modelId: generation.model_id ?? agent.model.modelId,
      temperature: generation.temperature ?? agent.model.temperature
    }
    agent.reasoningEffort = generation.reasoning_effort ?? agent.reasoningEffort
  }
  if (input.tags !== undefined) agent.tags = input.tags.map((tag) => ({ sId: world.sId("tag"), ...tag }))
  if (input.editors !== undefined) agent.editors = input.editors.map((email) => email.toLowerCase())
  if (input.skills !== undefined) agent.skills = input.skills
  if (input.toolset !== undefined) {
    agent.actions = input.toolset.flatMap((tool) => {
      if (tool.configuration.mcp_server_name.startsWith("unknown")) {
        skipped.push({ name: tool.name, reason: `MCP server ${tool.configuration.mcp_server_name} not found` })
        return []
      }
      return [{ ...tool, id: world.numericId(), sId: world.sId("mcp") }]
    })
  }
  agent.version++
  agent.versionCreatedAt = world.now()
  return skipped
}

const answer = (
  context: Context,
  agent: Agent,
  skippedActions: ReadonlyArray<{ name: string; reason: string }>
): LocalResponse =>
  json({
    agentConfiguration: renderFull(context, agent),
    ...(skippedActions.length === 0 ? {} : { skippedActions })
  })

const patch: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(context, AgentPatch)
    const agent = yield* find(context)
    const { user } = context.auth
    if (input.userFavorite !== undefined && user !== undefined) {
      if (input.userFavorite) agent.favoriteOf.add(user.sId)
      else agent.favoriteOf.delete(user.sId)
    }
    const others = Object.keys(input).filter((key) => key !== "userFavorite")
    if (others.length === 0) return answer(context, agent, [])
    if (agent.scope === "global") return yield* badRequest("Global agents cannot be changed.")
    return answer(context, agent, apply(context, agent, input))
  })

const archive: Handler = (context) =>
  Effect.gen(function*() {
    const agent = yield* find(context)
    if (agent.status === "archived") return yield* badRequest("The agent is already archived.")
    if (agent.scope === "global") return yield* badRequest("Global agents cannot be archived.")
    agent.status = "archived"
    return json({ success: true })
  })

const importAgent: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const input = yield* body(
      context,
      Schema.Struct({
        agent: Schema.Struct({ ...AgentFields.fields, handle: Schema.String, description: Schema.String }),
        instructions: Schema.String,
        generation_settings: Generation,
        tags: Schema.Array(Tag),
        editors: Schema.Array(Schema.String),
        toolset: Schema.Array(Tool)
      })
    )
    const agent = addAgent(world, world.sId(), { name: input.agent.handle, description: input.agent.description })
    const skippedActions = apply(context, agent, input)
    agent.version = 0
    return json({ agentConfiguration: renderFull(context, agent), skippedActions })
  })

const quote = (value: string): string => JSON.stringify(value)

const exportYaml: Handler = (context) =>
  Effect.map(find(context), (agent) =>
    bytes(
      encodeText([
        "agent:",
        `  handle: ${quote(agent.name)}`,
        `  description: ${quote(agent.description)}`,
        `  scope: ${agent.scope}`,
        `  avatar_url: ${quote(agent.pictureUrl)}`,
        `  max_steps_per_run: ${agent.maxStepsPerRun}`,
        `  visualization_enabled: ${agent.visualizationEnabled}`,
        `instructions: ${quote(agent.instructions ?? "")}`,
        "generation_settings:",
        `  model_id: ${quote(agent.model.modelId)}`,
        `  provider_id: ${quote(agent.model.providerId)}`,
        `  temperature: ${agent.model.temperature}`,
        agent.tags.length === 0 ? "tags: []" : "tags:",
        ...agent.tags.map((tag) => `  - name: ${quote(tag.name)}\n    kind: ${tag.kind}`),
        agent.editors.length === 0 ? "editors: []" : "editors:",
        ...agent.editors.map((email) => `  - ${quote(email)}`),
        "toolset: []",
        ""
      ].join("\n")),
      {
        contentType: "text/yaml",
        headers: { "content-disposition": `attachment; filename="${agent.sId}.yaml"` }
      }
    ))

export const agentRoutes: ReadonlyArray<Route> = [
  route("GET", BASE, { auth: "any", handler: list }),
  route("GET", `${BASE}/search`, { auth: "any", handler: search }),
  route("POST", `${BASE}/import`, { auth: "admin", handler: importAgent }),
  route("GET", ONE, { auth: "any", handler: get }),
  route("PATCH", ONE, { auth: "admin", handler: patch }),
  route("DELETE", ONE, { auth: "admin", handler: archive }),
  route("GET", `${ONE}/export/yaml`, { auth: "any", handler: exportYaml })
]
