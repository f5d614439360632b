/** The endpoints of `Agents`. */
import * as Schema from "effect/Schema"
import { Agent, AgentFilter, AgentImport, AgentPatch, FullAgent, SkippedAction } from "../../Agent.ts"
import { list } from "../decode/schema.ts"
import { del, get, group, patch, post, using } from "./endpoint.ts"

const agent: Schema.Schema<Agent, typeof Agent.Encoded> = Agent
const full: Schema.Schema<FullAgent, typeof FullAgent.Encoded> = FullAgent
const filter: Schema.Schema<AgentFilter, typeof AgentFilter.Encoded> = AgentFilter
const skipped: Schema.Schema<SkippedAction, typeof SkippedAction.Encoded> = SkippedAction
const change: Schema.Schema<AgentPatch, typeof AgentPatch.Encoded> = AgentPatch

const answer = {
  response: Schema.Struct({ agentConfigurations: list(agent) }),
  pick: (all: { readonly agentConfigurations: ReadonlyArray<Agent> }) => all.agentConfigurations
}

const Changed = Schema.Struct({ agentConfiguration: full, skippedActions: list(skipped) })

const listed = get("/assistant/agent_configurations", { ...answer, query: filter })

/** Required by the server's schema, which then ignores them: callers do not pass them. */
export const ignoredSettings = { max_steps_per_run: 8, visualization_enabled: false } as const

const Creation = Schema.Struct({
  ...AgentImport.fields,
  agent: Schema.Struct({
    ...AgentImport.fields.agent.fields,
    max_steps_per_run: Schema.Number,
    visualization_enabled: Schema.Boolean
  })
})

export const agents = group("Agents", {
  list: using({ read: listed }),
  findByName: using({ list: listed }),
  /**
   * Searches agents by name. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/search`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations/search.ts` in dust-tt/dust.
   */
  search: get("/assistant/agent_configurations/search", {
    ...answer,
    query: Schema.Struct({ text: Schema.String.pipe(Schema.propertySignature, Schema.fromKey("q")) })
  }),
  /**
   * Returns one agent, without its tools. Retried automatically.
   *
   * Fails with `DustNotFoundError` for an unknown id (also of a retired agent of Dust), and with
   * `DustForbiddenError` for a hidden agent, unless the caller is an administrator.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}?variant=light`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations/[sId]/index.ts` in dust-tt/dust.
   */
  get: get("/assistant/agent_configurations/{agentId}", {
    constant: { variant: "light" },
    response: Schema.Struct({ agentConfiguration: agent }),
    pick: ({ agentConfiguration }) => agentConfiguration
  }),
  /**
   * Returns one agent with its tools and skills. Errors as for `get`. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}?variant=full`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations/[sId]/index.ts` in dust-tt/dust.
   */
  getFull: get("/assistant/agent_configurations/{agentId}", {
    constant: { variant: "full" },
    response: Schema.Struct({ agentConfiguration: full }),
    pick: ({ agentConfiguration }) => agentConfiguration
  }),
  update: using({
    patch: patch("/assistant/agent_configurations/{agentId}", { replay: "safe", body: change, response: Changed })
  }),
  /**
   * Archives an agent. Requires the administrator role. Retried automatically.
   *
   * Fails with `DustBadRequestError` if it is archived already, unless this call was retried after a lost response.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations/[sId]/index.ts` in dust-tt/dust.
   */
  archive: del("/assistant/agent_configurations/{agentId}", { done: ({ status }) => status === 400 }),
  importAgent: using({
    post: post("/assistant/agent_configurations/import", { body: Creation, response: Changed })
  }),
  /**
   * Returns the complete configuration of an agent as YAML. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}/export/yaml`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations/[sId]/export/yaml.ts` in dust-tt/dust.
   */
  exportYaml: get("/assistant/agent_configurations/{agentId}/export/yaml", { text: (text) => text })
})
