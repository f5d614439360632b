/**
 * The agents of the workspace ("agent configurations"): find, read, change, archive, import, export.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Agent, FullAgent, ModelSelection } from "./Agent.ts"
import type { RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import type { AgentId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { list, nonBlank, type Open, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { wrongCredential } from "./internal/request/errors.ts"

/**
 * A part of an update or an import that was not carried out.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SkippedAction = Schema.Struct({
  /** The tool that was left out. */
  name: withDefault(Schema.String, () => ""),
  reason: withDefault(Schema.String, () => "")
})

/**
 * @category models
 * @since 0.1.0
 */
export interface SkippedAction extends Schema.Schema.Type<typeof SkippedAction> {}

/**
 * What an update or an import has led to. Both can succeed in part: `skippedActions` names the tools that were left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Changed {
  readonly agent: FullAgent
  readonly skippedActions: ReadonlyArray<SkippedAction>
}

const within = (from: number, to: number, expected: string) =>
  Schema.Number.pipe(Schema.filter((value) => (value >= from && value <= to) || expected))

const Steps = within(1, Number.MAX_SAFE_INTEGER, "1 step or more")
const Temperature = within(0, 1, "a number from 0 to 1")
const Provider = ModelSelection.fields.providerId
const Effort = ModelSelection.fields.reasoningEffort.from

const AgentBasics = {
  description: Schema.optional(Schema.String),
  /** `visible`: in the workspace's list; `hidden`: for its editors. */
  scope: Schema.optional(openLiteral("visible", "hidden")),
  avatarUrl: Schema.optional(Schema.String).pipe(Schema.fromKey("avatar_url")),
  maxStepsPerRun: Schema.optional(Steps).pipe(Schema.fromKey("max_steps_per_run")),
  visualizationEnabled: Schema.optional(Schema.Boolean).pipe(Schema.fromKey("visualization_enabled"))
}

/**
 * How the model of an agent is used.
 *
 * @category schemas
 * @since 0.1.0
 */
export const GenerationSettings = Schema.Struct({
  modelId: Schema.String.pipe(Schema.propertySignature, Schema.fromKey("model_id")),
  providerId: Provider.pipe(Schema.propertySignature, Schema.fromKey("provider_id")),
  /** 0 to 1. */
  temperature: Temperature,
  reasoningEffort: Effort.pipe(Schema.propertySignature, Schema.fromKey("reasoning_effort"))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface GenerationSettings extends Schema.Schema.Type<typeof GenerationSettings> {}

/**
 * A tool of an agent. The members of `configuration` keep the names that Dust gives them (`mcp_server_name`, …): take
 * them from {@link Service.exportYaml} of an agent that has the tool.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Tool = Schema.Struct({
  name: nonBlank("the name of a tool"),
  description: Schema.String,
  type: openLiteral("MCP"),
  configuration: Schema.Record({ key: Schema.String, value: Schema.Unknown })
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Tool extends Schema.Schema.Type<typeof Tool> {}

const Tag = Schema.Struct({ name: nonBlank("the name of a tag"), kind: openLiteral("standard", "protected") })
const SkillRef = Schema.Struct({ sId: Schema.String, name: Schema.String })

const changeable = {
  tags: Schema.optional(Schema.Array(Tag)),
  editors: Schema.optional(Schema.Array(nonBlank("an e-mail address"))),
  skills: Schema.optional(Schema.Array(SkillRef)),
  toolset: Schema.optional(Schema.Array(Tool))
}

const PartialSettings = Schema.Struct({
  modelId: Schema.optional(Schema.String).pipe(Schema.fromKey("model_id")),
  providerId: Schema.optional(Provider).pipe(Schema.fromKey("provider_id")),
  temperature: Schema.optional(Temperature),
  reasoningEffort: Schema.optional(Effort).pipe(Schema.fromKey("reasoning_effort"))
})

const Update = Schema.Struct({
  /** Whether the agent is a favorite of the user behind the access token. */
  userFavorite: Schema.optional(Schema.Boolean),
  agent: Schema.optional(Schema.Struct({
    /** The name. */
    handle: Schema.optional(nonBlank("a non-blank name")),
    ...AgentBasics
  })),
  instructions: Schema.optional(Schema.String),
  generationSettings: Schema.optional(PartialSettings).pipe(Schema.fromKey("generation_settings")),
  ...changeable
})

// All of it is required by the server.
const Import = Schema.Struct({
  agent: Schema.Struct({
    /** The name. */
    handle: nonBlank("a non-blank name"),
    description: nonBlank("a non-blank description"),
    scope: Schema.Literal("visible", "hidden"),
    avatarUrl: nonBlank("the URL of a picture").pipe(Schema.propertySignature, Schema.fromKey("avatar_url")),
    maxStepsPerRun: Steps.pipe(Schema.propertySignature, Schema.fromKey("max_steps_per_run")),
    visualizationEnabled: Schema.Boolean.pipe(Schema.propertySignature, Schema.fromKey("visualization_enabled"))
  }),
  instructions: nonBlank("non-blank instructions"),
  generationSettings: GenerationSettings.pipe(Schema.propertySignature, Schema.fromKey("generation_settings")),
  ...changeable
})

/**
 * What {@link Service.update} can change. What is not given stays; lists replace the whole list.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpdateOptions extends Schema.Schema.Type<typeof Update> {
  readonly agentId: AgentId
}

/**
 * An agent to create. `editors` are e-mail addresses of members.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImportOptions extends Schema.Schema.Type<typeof Import> {}

/**
 * Which agents a list has. `list` (the user's own list) and `favorites` need a user behind the credential; `workspace` is
 * an older name of `published`.
 *
 * @category models
 * @since 0.1.0
 */
export type View = Open<"all" | "list" | "published" | "workspace" | "global" | "favorites">

/**
 * Which agents a list has.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOptions {
  /** Default: the server's: `all` for an API key, `list` for a user. */
  readonly view?: View | undefined
  /** Fills in `lastAuthors`. Default `false`. */
  readonly withAuthors?: boolean | undefined
}

const root = "/api/v1/w/{workspaceId}/assistant/agent_configurations"
const one = `${root}/{agentId}` as const

const AgentList = Schema.Struct({ agentConfigurations: list(Agent) })
const ChangedAnswer = Schema.Struct({ agentConfiguration: FullAgent, skippedActions: list(SkippedAction) })

const listOperation = Operation.make({ name: "Agents.list", http: "GET", route: root, response: AgentList })

const findOperation = Operation.make({ name: "Agents.findByName", http: "GET", route: root, response: AgentList })

const search = Operation.make({ name: "Agents.search", http: "GET", route: `${root}/search`, response: AgentList })

const get = Operation.make({
  name: "Agents.get",
  http: "GET",
  route: one,
  response: Schema.Struct({ agentConfiguration: Agent })
})

const getFull = Operation.make({
  name: "Agents.getFull",
  http: "GET",
  route: one,
  response: Schema.Struct({ agentConfiguration: FullAgent })
})

const update = Operation.make({
  name: "Agents.update",
  http: "PATCH",
  route: one,
  replay: "safe",
  body: Update,
  response: ChangedAnswer
})

const archive = Operation.unit({
  name: "Agents.archive",
  http: "DELETE",
  route: one,
  done: ({ status }) => status === 400
})

const importOperation = Operation.make({
  name: "Agents.importAgent",
  http: "POST",
  route: `${root}/import`,
  body: Import,
  response: ChangedAnswer
})

const exportYaml = Operation.text({
  name: "Agents.exportYaml",
  http: "GET",
  route: `${one}/export/yaml`,
  decode: (text) => text
})

/**
 * Every method works with an API key and with a user's access token, unless it says otherwise, and fails with
 * `RequestError`. Reads are retried as the retry policy says.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * The agents that the caller can see, in one answer: this list does not page.
   *
   * The views `list` and `favorites` need a user: with an API key they fail with `DustUserRequiredError` before any
   * request. An unknown view is a `DustBadRequestError`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations`.
   */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<Agent>, RequestError>
  /**
   * Agents whose name matches a text.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/search`.
   */
  readonly search: (text: string) => Effect.Effect<ReadonlyArray<Agent>, RequestError>
  /**
   * One agent, without its tools. `DustNotFoundError` when there is none, also for agents of Dust that were retired;
   * `DustForbiddenError` for a hidden agent, unless the caller is an administrator.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}?variant=light`.
   */
  readonly get: (agentId: AgentId) => Effect.Effect<Agent, RequestError>
  /**
   * One agent, with its tools and skills. Errors as for `get`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}?variant=full`.
   */
  readonly getFull: (agentId: AgentId) => Effect.Effect<FullAgent, RequestError>
  /**
   * The agent with this name: exactly, else without regard to case. A leading `@` is ignored.
   *
   * None: `DustNotFoundError` with `details.near`, the names that come close. Several: `DustBadRequestError` with
   * `details.candidates`.
   *
   * @example
   * ```ts
   * import { Agents } from "effect-dust/Agents"
   * import { Effect } from "effect"
   *
   * const program = Agents.pipe(
   *   Effect.flatMap((agents) => agents.findByName("Support triage")),
   *   Effect.map((agent) => agent.sId)
   * )
   * ```
   */
  readonly findByName: (name: string) => Effect.Effect<Agent, RequestError>
  /**
   * Changes an agent. Lists (`tags`, `editors`, `skills`, `toolset`) replace what was there; what is not given stays.
   * It may succeed in part: look at `skippedActions`.
   *
   * Needs the administrator role, else `DustForbiddenError`. `userFavorite` is about the user behind an access token: with
   * an API key, which the server would silently do nothing for, it fails with `DustUserRequiredError` before any request.
   * Repeated after a lost answer, since the same change again changes nothing.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}`.
   */
  readonly update: (options: UpdateOptions) => Effect.Effect<Changed, RequestError>
  /**
   * Archives an agent. Needs the administrator role. One that is archived already is a `DustBadRequestError`, except when
   * this very call has been repeated after a lost answer.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}`.
   */
  readonly archive: (agentId: AgentId) => Effect.Effect<void, RequestError>
  /**
   * Creates an agent. Everything but the lists is required, as by the server; lists that are not given are empty. It may
   * succeed in part: look at `skippedActions`. Sent once: a lost answer is an error, and the agent may exist.
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/agent_configurations/import`.
   */
  readonly importAgent: (options: ImportOptions) => Effect.Effect<Changed, RequestError>
  /**
   * The whole configuration of an agent as YAML text.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}/export/yaml`.
   */
  readonly exportYaml: (agentId: AgentId) => Effect.Effect<string, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Agents extends Context.Tag("effect-dust/Agents")<Agents, Service>() {}

const needsUser: ReadonlySet<string> = new Set(["list", "favorites"])

const changed = (answer: typeof ChangedAnswer.Type): Changed => ({
  agent: answer.agentConfiguration,
  skippedActions: answer.skippedActions
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const withoutUser = client.config.credential._tag === "ApiKey"
  return Agents.of({
    list: (options = {}) =>
      withoutUser && options.view !== undefined && needsUser.has(options.view)
        ? Effect.fail(wrongCredential({ ...listOperation, credential: "user" }))
        : client.execute(listOperation, { query: { view: options.view, withAuthors: options.withAuthors } }).pipe(
          Effect.map((answer) => answer.agentConfigurations)
        ),
    search: (text) =>
      Effect.map(client.execute(search, { query: { q: text } }), (answer) => answer.agentConfigurations),
    get: (agentId) =>
      Effect.map(
        client.execute(get, { path: { agentId }, query: { variant: "light" } }),
        (answer) => answer.agentConfiguration
      ),
    getFull: (agentId) =>
      Effect.map(
        client.execute(getFull, { path: { agentId }, query: { variant: "full" } }),
        (answer) => answer.agentConfiguration
      ),
    findByName: (name) =>
      pickByName(
        findOperation,
        "agent",
        name.trim().replace(/^@/, ""),
        Effect.map(
          client.execute(findOperation, { query: { view: "all" } }),
          (answer) => answer.agentConfigurations
        )
      ),
    update: ({ agentId, ...body }) =>
      withoutUser && body.userFavorite !== undefined
        ? Effect.fail(wrongCredential({ ...update, credential: "user" }))
        : Effect.map(client.execute(update, { path: { agentId }, body }), changed),
    archive: (agentId) => client.execute(archive, { path: { agentId } }),
    importAgent: (options) =>
      Effect.map(
        client.execute(importOperation, {
          body: {
            ...options,
            tags: options.tags ?? [],
            editors: options.editors ?? [],
            toolset: options.toolset ?? []
          }
        }),
        changed
      ),
    exportYaml: (agentId) => client.execute(exportYaml, { path: { agentId } })
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Agents, never, DustClient> = Layer.effect(Agents, make)
