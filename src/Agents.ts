/**
 * Finds, reads, changes, archives, imports and exports the agents of the workspace ("agent configurations").
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Agent, AgentChange, AgentFilter, AgentImport, AgentUpdate, FullAgent, SkippedAction } from "./Agent.ts"
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import { agents, ignoredSettings } from "./internal/api/agents.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { badInput, wrongCredential } from "./internal/request/errors.ts"

/**
 * All methods accept an API key or an access token unless documented otherwise, and fail with `RequestError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof agents> {
  /**
   * Returns the agents that the caller can see, in one request. Retried automatically.
   *
   * The views `list` and `favorites` require a user access token; with an API key they fail with `DustUserRequiredError` before any
   * request. `all_unrestricted` returns every agent of the workspace and requires the administrator role; otherwise it fails with
   * `DustForbiddenError`. Fails with `DustBadRequestError` for an unknown view.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations.ts` in dust-tt/dust.
   */
  readonly list: (options?: AgentFilter) => Effect.Effect<ReadonlyArray<Agent>, RequestError>
  /**
   * Finds the agent with this name: by an exact match, else ignoring case. A leading `@` is ignored. Retried automatically.
   *
   * Fails with `DustNotFoundError` for an unknown name (`details.near` has similar names), and with `DustBadRequestError` if several
   * agents have it (`details.candidates`).
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
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/agent_configurations`;
   * `front-api/routes/v1/w/[wId]/assistant/agent_configurations.ts` in dust-tt/dust.
   */
  readonly findByName: (name: string) => Effect.Effect<Agent, RequestError>
  /**
   * Changes an agent. Omitted fields keep their value; lists (`tags`, `editors`, `skills`, `toolset`, `spaces`) replace the whole
   * list. The change may succeed in part; see `skippedActions`.
   *
   * With `toolset` or `skills`, Dust also replaces the spaces that the agent is restricted to. Without `spaces` it would remove
   * every restriction that the tools do not require, so the call fails with `DustBadRequestError` before any request.
   *
   * Requires the administrator role; otherwise fails with `DustForbiddenError`. `userFavorite` requires a user access token; with an
   * API key it fails with `DustUserRequiredError` before any request. With an API key, `editors` must not be empty. Retried
   * automatically, because repeating a change has no further effect.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/agent_configurations/{agentId}`;
   * `front/lib/api/assistant/configuration/yaml_import.ts` (`patchAgentConfigurationFromJSON`) in dust-tt/dust.
   */
  readonly update: (options: AgentUpdate) => Effect.Effect<AgentChange, RequestError>
  /**
   * Creates an agent, restricted to the spaces that its tools require. The import may succeed in part; see `skippedActions`. Never
   * retried: if the response is lost, the agent may exist.
   *
   * An agent requires an editor. With an API key, `editors` must have at least one member; otherwise the call fails with
   * `DustBadRequestError` before any request. With an access token, its user is added.
   *
   * Source: `POST /api/v1/w/{workspaceId}/assistant/agent_configurations/import`;
   * `front/lib/api/assistant/configuration/yaml_import.ts` (`importAgentConfigurationFromJSON`) in dust-tt/dust.
   */
  readonly importAgent: (options: AgentImport) => Effect.Effect<AgentChange, RequestError>
}

/**
 * The tag of the service: `yield* Agents` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Agents extends Context.Tag("effect-dust/Agents")<Agents, Service>() {}

const needsUser: ReadonlySet<string> = new Set(["list", "favorites"])

const changed = (answer: {
  readonly agentConfiguration: FullAgent
  readonly skippedActions: ReadonlyArray<SkippedAction>
}): AgentChange => ({ agent: answer.agentConfiguration, skippedActions: answer.skippedActions })

const editorExpected = "at least one member's e-mail address, because an API key has no user who could be the editor"

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(
  Agents,
  agents,
  ({ call, client, operation }) => {
    // The credential is that of the call, not of the layer.
    const byUser = <A>(use: (withoutUser: boolean) => Effect.Effect<A, RequestError>) =>
      Effect.flatMap(client.caller, ({ hasUser }) => use(!hasUser))
    return {
      list: (options: AgentFilter = {}) =>
        byUser((withoutUser) =>
          withoutUser && options.view !== undefined && needsUser.has(options.view)
            ? Effect.fail(wrongCredential({ ...operation.list.read, credential: "user" }))
            : call.list.read(options)
        ),
      findByName: (name: string) =>
        pickByName(
          operation.findByName.list,
          "agent",
          name.trim().replace(/^@/, ""),
          call.findByName.list({ view: "all" })
        ),
      update: (options: AgentUpdate) =>
        byUser((withoutUser) => {
          if (withoutUser && options.userFavorite !== undefined) {
            return Effect.fail(wrongCredential({ ...operation.update.patch, credential: "user" }))
          }
          if (withoutUser && options.editors?.length === 0) {
            return Effect.fail(badInput(operation.update.patch, "editors", editorExpected))
          }
          return Effect.map(call.update.patch(options), changed)
        }),
      importAgent: (options: AgentImport) => {
        const { agent, editors = [], tags = [], toolset = [], ...rest } = options
        return byUser((withoutUser) =>
          withoutUser && editors.length === 0
            ? Effect.fail(badInput(operation.importAgent.post, "editors", editorExpected))
            : Effect.map(
              call.importAgent.post({ ...rest, agent: { ...agent, ...ignoredSettings }, editors, tags, toolset }),
              changed
            )
        )
      }
    }
  }
)

/**
 * Provides {@link Agents} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Agents, never, DustClient> = Layer.effect(Agents, make)
