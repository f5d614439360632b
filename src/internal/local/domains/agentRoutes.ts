/** The routes of agents. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { agents as agentsApi } from "../../api/agents.ts"
import { findMember } from "../server/auth.ts"
import { routesOf } from "../server/declared.ts"
import { badRequest, bytes, encodeText, json, type LocalResponse, refuse, type Refusal } from "../server/http.ts"
import { body, type Context, type Handler, param, requireUser, type Route } from "../server/route.ts"
import { addAgent, type Agent, agents, renderAgent } from "./agents.ts"
import { isKnownModel } from "./languageModels.ts"

const mayManage = ({ auth }: Context): boolean => auth.kind === "system" || auth.role === "admin"

const mayUse = (context: Context, agent: Agent): boolean =>
  agent.scope !== "hidden" || mayManage(context)
  || (context.auth.user !== undefined && agent.editors.includes(context.auth.user.email))

const VIEWS = new Set(["all", "all_unrestricted", "list", "workspace", "published", "global", "favorites"])

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
    // Source: `front-api/routes/v1/w/[wId]/assistant/agent_configurations.ts`.
    if (view === "all_unrestricted" && !mayManage(context)) {
      return yield* refuse(403, "app_auth_error", "Only administrators can list all agents of the workspace.")
    }
    const chosen = Array.from(agents(world).byId.values()).filter((agent) => {
      if (agent.status === "archived" || agent.status === "draft" || !mayUse(context, agent)) return false
      switch (view) {
        case "all_unrestricted":
          return agent.status === "active"
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
  avatar_url: optional(Schema.String.pipe(Schema.filter((text) => URL.canParse(text) || "Invalid url"))),
  max_steps_per_run: optional(Schema.Number),
  visualization_enabled: optional(Schema.Boolean)
})
const Generation = Schema.Struct({
  model_id: optional(Schema.String),
  provider_id: optional(Schema.String),
  temperature: optional(Schema.Number),
  response_format: optional(Schema.String),
  reasoning_effort: optional(Schema.NullOr(Schema.String))
})
const Tag = Schema.Struct({ name: Schema.String, kind: Schema.Literal("standard", "protected") })
const Tool = Schema.Struct({
  name: Schema.String,
  description: Schema.NonEmptyString,
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
  spaces: optional(Schema.Array(Schema.Struct({ space_id: Schema.String }))),
  toolset: optional(Schema.Array(Tool))
})
type AgentPatch = typeof AgentPatch.Type

/** Resolves the editors: ignores unknown addresses, adds the calling user, and requires at least one editor. */
const editorsOf = (context: Context, emails: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>, Refusal> => {
  const { auth, world } = context
  const known = [...new Set(emails.map((email) => email.toLowerCase()))]
    .filter((email) => findMember(world, email) !== undefined)
  const editors = auth.user === undefined || known.includes(auth.user.email) ? known : [...known, auth.user.email]
  return editors.length === 0 ? badRequest("At least one editor is required.") : Effect.succeed(editors)
}

/**
 * Validates the input. Source: `resolveEditorUsers`, `resolveTags` and `saveAgentConfigurationFromAssistant` of
 * `front/lib/api/assistant/configuration/yaml_import.ts`.
 */
const check = (context: Context, agent: Agent | undefined, input: AgentPatch) =>
  Effect.gen(function*() {
    const editors = yield* editorsOf(context, input.editors ?? agent?.editors ?? [])
    const missing = (input.tags ?? []).filter(({ name }) => !agents(context.world).tags.has(name))
    if (missing.length > 0) {
      return yield* badRequest(`Tags not found: ${missing.map(({ name }) => `"${name}"`).join(", ")}.`)
    }
    const providerId = input.generation_settings?.provider_id ?? agent?.model.providerId ?? "openai"
    const modelId = input.generation_settings?.model_id ?? agent?.model.modelId ?? "gpt-5"
    if (!isKnownModel(providerId, modelId)) {
      return yield* refuse(
        400,
        "assistant_saving_error",
        `Error creating agent: unknown model ${providerId}/${modelId}`
      )
    }
    return editors
  })

/**
 * Applies the patch. Tools of servers that are not in the workspace are skipped and reported. The step limit and the
 * visualization setting are accepted and ignored. `spaces`, `toolset` or `skills` replace the requested spaces; without
 * `spaces` the agent has none. Source: `patchAgentConfigurationFromJSON` of `yaml_import.ts`.
 */
const apply = (
  context: Context,
  agent: Agent,
  input: AgentPatch,
  editors: ReadonlyArray<string>
): ReadonlyArray<{ name: string; reason: string }> => {
  const { world } = context
  const skipped: Array<{ name: string; reason: string }> = []
  const { agent: fields, generation_settings: generation } = input
  if (fields?.handle !== undefined) agent.name = fields.handle
  if (fields?.description !== undefined) agent.description = fields.description
  if (fields?.scope !== undefined) agent.scope = fields.scope
  if (fields?.avatar_url !== undefined) agent.pictureUrl = fields.avatar_url
  if (input.instructions !== undefined) agent.instructions = input.instructions
  if (generation !== undefined) {
    agent.model = {
      providerId: generation.provider_id ?? agent.model.providerId,
      modelId: generation.model_id ?? agent.model.modelId,
      temperature: generation.temperature ?? agent.model.temperature,
      responseFormat: generation.response_format ?? agent.model.responseFormat
    }
    agent.reasoningEffort = generation.reasoning_effort ?? agent.reasoningEffort
  }
  if (input.tags !== undefined) {
    agent.tags = input.tags.flatMap(({ name }) => agents(world).tags.get(name) ?? [])
  }
  agent.editors = editors
  if (input.spaces !== undefined || input.toolset !== undefined || input.skills !== undefined) {
    agent.requestedSpaceIds = input.spaces?.map((space) => space.space_id) ?? []
  }
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
    const editors = yield* check(context, agent, input)
    return answer(context, agent, apply(context, agent, input, editors))
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
    const editors = yield* check(context, undefined, input)
    const agent = addAgent(world, world.sId(), { name: input.agent.handle, description: input.agent.description })
    const skippedActions = apply(context, agent, input, editors)
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

export const agentRoutes: ReadonlyArray<Route> = routesOf(agentsApi)({
  "GET /assistant/agent_configurations": { auth: "any", handler: list },
  "GET /assistant/agent_configurations/search": { auth: "any", handler: search },
  // No role check. Source: `front-api/routes/v1/w/[wId]/assistant/agent_configurations/import.ts`.
  "POST /assistant/agent_configurations/import": { auth: "any", handler: importAgent },
  "GET /assistant/agent_configurations/{agentId}": { auth: "any", handler: get },
  "PATCH /assistant/agent_configurations/{agentId}": { auth: "admin", handler: patch },
  "DELETE /assistant/agent_configurations/{agentId}": { auth: "admin", handler: archive },
  "GET /assistant/agent_configurations/{agentId}/export/yaml": { auth: "any", handler: exportYaml }
})
