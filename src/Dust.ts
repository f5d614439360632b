/**
 * Builds the whole SDK as one layer: every service, from values, `Config`s or the environment.
 *
 * Calls wait for the rate limits of the workspace; provide a `Governor` to change that.
 *
 * Nothing is global: use two layers for two workspaces in one process. The layers of this module share nothing with each other.
 * The layers of single services are constants: to compose them for two workspaces in one graph, use `Layer.fresh` for each
 * workspace.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Agents from "./Agents.ts"
import * as Apps from "./Apps.ts"
import * as Chat from "./Chat.ts"
import * as Conversations from "./Conversations.ts"
import * as DataSources from "./DataSources.ts"
import * as DataSourceViews from "./DataSourceViews.ts"
import * as DustClient from "./DustClient.ts"
import * as DustConfig from "./DustConfig.ts"
import * as Files from "./Files.ts"
import * as Governor from "./Governor.ts"
import { governorOr } from "./internal/request/governed.ts"
import { graphPerConfig, ownGraph } from "./internal/util/ownGraph.ts"
import * as McpServers from "./McpServers.ts"
import * as Mentions from "./Mentions.ts"
import * as Search from "./Search.ts"
import * as Skills from "./Skills.ts"
import * as Spaces from "./Spaces.ts"
import * as Triggers from "./Triggers.ts"
import * as Workspace from "./Workspace.ts"

/**
 * Every service of the SDK.
 *
 * @category models
 * @since 0.1.0
 */
export type Services =
  | DustConfig.DustConfig
  | DustClient.DustClient
  | Agents.Agents
  | Apps.Apps
  | Chat.Chat
  | Conversations.Conversations
  | DataSources.DataSources
  | DataSourceViews.DataSourceViews
  | Files.Files
  | McpServers.McpServers
  | Mentions.Mentions
  | Search.Search
  | Skills.Skills
  | Spaces.Spaces
  | Triggers.Triggers
  | Workspace.Workspace

/**
 * Every service, over a configured {@link DustClient.DustClient}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerServices: Layer.Layer<
  Exclude<Services, DustConfig.DustConfig | DustClient.DustClient>,
  never,
  DustClient.DustClient
> = Layer.provideMerge(
  Chat.layer,
  Layer.mergeAll(
    Agents.layer,
    Apps.layer,
    Conversations.layer,
    DataSources.layer,
    DataSourceViews.layer,
    Files.layer,
    McpServers.layer,
    Mentions.layer,
    Search.layer,
    Skills.layer,
    Spaces.layer,
    Triggers.layer,
    Workspace.layer
  )
)

const services: Layer.Layer<
  Exclude<Services, DustConfig.DustConfig>,
  never,
  DustConfig.DustConfig | HttpClient.HttpClient
> = Layer.provideMerge(
  layerServices,
  Layer.provide(DustClient.layer, governorOr(Effect.map(Governor.storeMemory, (store) => Governor.make(store))))
)

/**
 * Every service, configured from values. Provide an `HttpClient`, such as `NodeHttpClient.layerUndici` or `FetchHttpClient.layer`.
 *
 * Each call returns a separate graph: two of them share nothing, even if they are merged, nested, used in a `LayerMap` or built
 * with one `MemoMap`. A single layer that is used twice is built once.
 *
 * @example
 * ```ts
 * import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
 * import * as Dust from "effect-dust/Dust"
 * import { Layer, Redacted } from "effect"
 *
 * const DustLive = Dust.layer({ workspaceId: "0ec9852c2f", apiKey: Redacted.make("sk-…"), region: "eu" }).pipe(
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: DustConfig.Options
): Layer.Layer<Services, ConfigError.ConfigError, HttpClient.HttpClient> =>
  ownGraph(Layer.provideMerge(services, DustConfig.layer(options)))

/**
 * Every service, configured from `Config`s. Each call returns a separate graph, like {@link layer}.
 *
 * The `Config`s are read at each use of the layer, through the `ConfigProvider` of that use. Uses over the same HttpClient
 * that read equal settings share one graph; uses that read different ones share nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  configs: DustConfig.Configs
): Layer.Layer<Services, ConfigError.ConfigError, HttpClient.HttpClient> =>
  graphPerConfig(DustConfig.fromConfigs(configs), services)

/**
 * Every service, configured from the environment. {@link DustConfig.layerEnv} lists the variables.
 *
 * The variables are read at each use of the layer, through the `ConfigProvider` of that use. Uses over the same HttpClient
 * that read equal settings share one graph; uses that read different ones share nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEnv: Layer.Layer<Services, ConfigError.ConfigError, HttpClient.HttpClient> = graphPerConfig(
  DustConfig.fromEnv,
  services
)
