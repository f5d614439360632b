/** Seed data of all domains, as plain data. */
import type * as Duration from "effect/Duration"

/** Seed data of a Local Dust workspace. @category models @since 0.1.0 */
export interface Seed {
  /** Rows of the usage exports. Defaults to a few rows in some tables. */
  readonly analytics?: AnalyticsSeed | undefined
  /** The tags of agents. Defaults to `support` and `sales`. */
  readonly agentTags?: ReadonlyArray<AgentTagSeed> | undefined
  readonly apps?: ReadonlyArray<AppSeed> | undefined
  readonly conversations?: ReadonlyArray<ConversationSeed> | undefined
  /** Defaults to the folder `handbook` and the managed connection `wiki`, both in the global space. */
  readonly dataSources?: ReadonlyArray<DataSourceSeed> | undefined
  /** Files that are ready from the start. */
  readonly files?: ReadonlyArray<FileSeed> | undefined
  /** Results of workspace search. Defaults to a few nodes, and files of two tools. */
  readonly search?: SearchSeed | undefined
  /** Defaults to an active, an unpublished and an archived one. */
  readonly skills?: ReadonlyArray<SkillSeed> | undefined
  /** Added to the built-in spaces. Defaults to an open one, a restricted one and a project. */
  readonly spaces?: ReadonlyArray<SpaceSeed> | undefined
  /** Triggers and webhook sources. Defaults to three triggers, a source without a signature and one with. */
  readonly triggers?: TriggersSeed | undefined
}

/** A conversation that exists from the start. @category models @since 0.1.0 */
export interface ConversationSeed {
  /** Generated if absent. */
  readonly sId?: string | undefined
  readonly title?: string | undefined
  readonly spaceId?: string | undefined
  /** Oldest first. */
  readonly messages?: ReadonlyArray<MessageSeed> | undefined
}

/**
 * A message that exists from the start. `user` messages have no mention; `agent` messages are finished.
 *
 * @category models
 * @since 0.1.0
 */
export type MessageSeed =
  | {
    readonly role: "user"
    readonly content: string
    readonly sId?: string | undefined
    readonly username?: string | undefined
    /** Any string: stored messages may have names outside the accepted list. Defaults to `UTC`. */
    readonly timezone?: string | undefined
    readonly visibility?: string | undefined
  }
  | {
    readonly role: "agent"
    readonly content: string
    /** `sId` of the agent. Defaults to `echo`. */
    readonly agent?: string | undefined
    readonly sId?: string | undefined
    readonly status?: string | undefined
    readonly visibility?: string | undefined
  }

/** A tag of agents. @category models @since 0.2.0 */
export interface AgentTagSeed {
  readonly name: string
  /** Defaults to `standard`. */
  readonly kind?: "standard" | "protected" | undefined
}

/** Rows of the usage exports, in the JSON shape of each table. @category models @since 0.1.0 */
export interface AnalyticsSeed {
  /** Rows by table name. A row with a `date` is returned only for the requested days. */
  readonly tables?: Readonly<Record<string, ReadonlyArray<Readonly<Record<string, unknown>>>>> | undefined
  /** Rows of the consumption export. */
  readonly consumption?: ReadonlyArray<Readonly<Record<string, unknown>>> | undefined
  /** Aborts the consumption export after this many rows, with the line `ERROR: …`. */
  readonly consumptionFailure?: { readonly afterRows: number; readonly message: string } | undefined
  /** Defaults to `true`. */
  readonly consumptionEnabled?: boolean | undefined
}

/** An app that exists from the start. @category models @since 0.1.0 */
export interface AppSeed {
  readonly sId: string
  /** Defaults to the `sId`. */
  readonly name?: string | undefined
  readonly description?: string | undefined
  /** Defaults to the space of the company's data. */
  readonly spaceId?: string | undefined
  /** The deployed version. Defaults to `latest`. */
  readonly specificationHash?: string | undefined
  /** `false`: the app is listed, but reading and running it is refused (403 `app_not_found`). Defaults to `true`. */
  readonly readable?: boolean | undefined
  /**
   * The value of the last block for an input, or an Effect of it. A failed Effect is the error of the block for this
   * input and makes the run `errored`. Defaults to the input.
   */
  readonly run?: ((input: unknown, config: Readonly<Record<string, unknown>>) => unknown) | undefined
  /** Duration of a run. Defaults to 0. */
  readonly duration?: Duration.DurationInput | undefined
  /** Replaces the events of a streamed run: JSON values, each one event. */
  readonly events?: ReadonlyArray<unknown> | undefined
}

/** A document that exists from the start. @category models @since 0.1.0 */
export interface DocumentSeed {
  readonly documentId: string
  readonly text: string
  readonly title?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly sourceUrl?: string | undefined
  readonly mimeType?: string | undefined
  /** Epoch milliseconds. Defaults to the start. */
  readonly timestamp?: number | undefined
  /** Ancestors of the node, nearest first. */
  readonly parents?: ReadonlyArray<string> | undefined
}

/** A table that exists from the start. @category models @since 0.1.0 */
export interface TableSeed {
  readonly tableId?: string | undefined
  readonly name: string
  readonly title?: string | undefined
  readonly description?: string | undefined
  /** Rows with ids. */
  readonly rows?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined
}

/** A data source that exists from the start. @category models @since 0.1.0 */
export interface DataSourceSeed {
  readonly sId?: string | undefined
  readonly name: string
  readonly description?: string | undefined
  /** Defaults to `vlt_global`. */
  readonly spaceId?: string | undefined
  /** A managed connection, which ordinary keys cannot write to. Defaults to a folder. */
  readonly connectorProvider?: string | undefined
  readonly documents?: ReadonlyArray<DocumentSeed> | undefined
  readonly tables?: ReadonlyArray<TableSeed> | undefined
  /** Additional views, besides the default one in its own space. */
  readonly views?: ReadonlyArray<DataSourceViewSeed> | undefined
}

/** A view that exists from the start. @category models @since 0.1.0 */
export interface DataSourceViewSeed {
  readonly sId?: string | undefined
  readonly spaceId: string
  /** The ids of its nodes. Defaults to all nodes. */
  readonly parentsIn?: ReadonlyArray<string> | undefined
}

/** A file that exists from the start. @category models @since 0.1.0 */
export interface FileSeed {
  /** Generated if absent. */
  readonly sId?: string | undefined
  readonly fileName: string
  /** Defaults to the type of the file name. */
  readonly contentType?: string | undefined
  readonly content: string | Uint8Array
  /** Defaults to `conversation`. Ordinary callers cannot read files with another use case. */
  readonly useCase?: string | undefined
}

/** A node in the search index. @category models @since 0.1.0 */
export interface NodeSeed {
  readonly internalId: string
  readonly title: string
  /** Defaults to `document`. */
  readonly type?: "document" | "table" | "folder" | undefined
  readonly mimeType?: string | undefined
  readonly sourceUrl?: string | undefined
  /** The spaces with a view of it. Defaults to Company Data. */
  readonly spaceIds?: ReadonlyArray<string> | undefined
  /** The name of its data source. Defaults to `notes`. */
  readonly dataSource?: string | undefined
  readonly parentInternalId?: string | undefined
}

/** A file in the search results of a connected tool. @category models @since 0.1.0 */
export interface ToolFileSeed {
  readonly externalId: string
  readonly title: string
  readonly mimeType?: string | undefined
  /** Defaults to a generated text. */
  readonly content?: string | undefined
  /** Defaults to `drive`. Each server responds separately. */
  readonly serverName?: string | undefined
  /** Defaults to `msv_<serverName>`. */
  readonly serverViewId?: string | undefined
}

/** Results of workspace search. @category models @since 0.1.0 */
export interface SearchSeed {
  /** Added to the documents, tables and folders of the data sources. */
  readonly nodes?: ReadonlyArray<NodeSeed> | undefined
  readonly toolFiles?: ReadonlyArray<ToolFileSeed> | undefined
  /** Delay of each connected tool. Defaults to none. */
  readonly toolDelay?: Duration.DurationInput | undefined
  /** Nodes per page if the query has no `limit`. Defaults to 10. */
  readonly defaultPageSize?: number | undefined
}

/** A skill that exists from the start. @category models @since 0.1.0 */
export interface SkillSeed {
  readonly sId?: string | undefined
  readonly name: string
  readonly description?: string | undefined
  readonly instructions?: string | undefined
  /** Defaults to `active`. */
  readonly status?: "active" | "archived" | "suggested" | undefined
  /**
   * `editors` hides it from lists, even for its editors: only administrators see it, on request. Defaults to
   * `workspace_users`.
   */
  readonly availability?: "editors" | "workspace_users" | "users_and_agents" | undefined
  /** E-mail addresses of the editors. */
  readonly editors?: ReadonlyArray<string> | undefined
}

/** A tool server that exists in a space from the start. @category models @since 0.1.0 */
export interface ServerViewSeed {
  readonly sId?: string | undefined
  readonly name: string
  readonly description?: string | undefined
  /** Defaults to `remote`. */
  readonly serverType?: "remote" | "internal" | undefined
  /** `manual` (the default) is always listed, `auto` only with `includeAuto`, `auto_hidden_builder` never. */
  readonly availability?: "manual" | "auto" | "auto_hidden_builder" | undefined
  readonly tools?: ReadonlyArray<{ readonly name: string; readonly description: string }> | undefined
}

/**
 * A space that exists from the start, besides the built-in ones (system, global, conversations).
 *
 * @category models
 * @since 0.1.0
 */
export interface SpaceSeed {
  readonly sId?: string | undefined
  readonly name: string
  /** Defaults to `regular`. */
  readonly kind?: "regular" | "project" | "global" | undefined
  /**
   * Restricts visibility to members and API keys with access; administrators do not see it either. Defaults to `false`.
   */
  readonly isRestricted?: boolean | undefined
  /** E-mail addresses of members. */
  readonly members?: ReadonlyArray<string> | undefined
  /** Names of API keys with access. Without it, a key sees no restricted space and no project. */
  readonly keys?: ReadonlyArray<string> | undefined
  readonly mcpServerViews?: ReadonlyArray<ServerViewSeed> | undefined
}

/** A trigger that exists from the start. @category models @since 0.1.0 */
export interface TriggerSeed {
  readonly sId?: string | undefined
  readonly name: string
  /** Defaults to `echo`. */
  readonly agentId?: string | undefined
  /** Defaults to `enabled`. */
  readonly status?: string | undefined
  readonly customPrompt?: string | undefined
  readonly configuration:
    | { readonly cron: string; readonly timezone: string }
    | {
      readonly intervalDays: number
      readonly dayOfWeek: number | null
      readonly hour: number
      readonly minute: number
      readonly timezone: string
    }
    | {
      readonly includePayload: boolean
      readonly event?: string | undefined
      readonly filter?: string | undefined
    }
}

/** A webhook source. @category models @since 0.1.0 */
export interface WebhookSourceSeed {
  readonly sId: string
  /** The last part of its URL. */
  readonly urlSecret: string
  readonly name?: string | undefined
  /** Requires an HMAC of the body in this header. */
  readonly signature?: {
    readonly header: string
    readonly secret: string
    readonly algorithm: "sha1" | "sha256" | "sha512"
  } | undefined
}

/** Triggers and webhook sources. @category models @since 0.1.0 */
export interface TriggersSeed {
  readonly triggers?: ReadonlyArray<TriggerSeed> | undefined
  readonly webhookSources?: ReadonlyArray<WebhookSourceSeed> | undefined
}
