/** What a workspace can be given at the start: plain data, of every domain. */
import type * as Duration from "effect/Duration"

/** Seed data of a Local Dust workspace. @category models @since 0.1.0 */
export interface Seed {
  /** Rows of the exports of usage. Default: a few of some tables. */
  readonly analytics?: AnalyticsSeed | undefined
  /** The tags that agents can have. Default: `support` and `sales`. */
  readonly agentTags?: ReadonlyArray<AgentTagSeed> | undefined
  readonly apps?: ReadonlyArray<AppSeed> | undefined
  readonly conversations?: ReadonlyArray<ConversationSeed> | undefined
  /** Default: the folder `handbook` and the managed connection `wiki`, both in the global space. */
  readonly dataSources?: ReadonlyArray<DataSourceSeed> | undefined
  /** Files that are ready from the start. */
  readonly files?: ReadonlyArray<FileSeed> | undefined
  /** What workspace search finds. Default: a few nodes, and files of two tools. */
  readonly search?: SearchSeed | undefined
  /** Default: an active, an unpublished and an archived one. */
  readonly skills?: ReadonlyArray<SkillSeed> | undefined
  /** Beside the spaces that every workspace has. Default: an open one, a restricted one and a project. */
  readonly spaces?: ReadonlyArray<SpaceSeed> | undefined
  /** Triggers, and where webhooks arrive. Default: three triggers, a source without and one with a signature. */
  readonly triggers?: TriggersSeed | undefined
}

/** A conversation that exists from the start. @category models @since 0.1.0 */
export interface ConversationSeed {
  /** Its id; generated when absent. */
  readonly sId?: string | undefined
  readonly title?: string | undefined
  readonly spaceId?: string | undefined
  /** Its messages, oldest first. */
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
    /** Any string: stored messages can carry names outside the accepted list. Default `UTC`. */
    readonly timezone?: string | undefined
    readonly visibility?: string | undefined
  }
  | {
    readonly role: "agent"
    readonly content: string
    /** The agent's sId. Default `echo`. */
    readonly agent?: string | undefined
    readonly sId?: string | undefined
    readonly status?: string | undefined
    readonly visibility?: string | undefined
  }

/** A tag that agents can have. @category models @since 0.2.0 */
export interface AgentTagSeed {
  readonly name: string
  /** Default `standard`. */
  readonly kind?: "standard" | "protected" | undefined
}

/** Rows of the exports: each is what the table's JSON has. @category models @since 0.1.0 */
export interface AnalyticsSeed {
  /** Rows by the name of the table. A row with a `date` is given only for the days that are asked for. */
  readonly tables?: Readonly<Record<string, ReadonlyArray<Readonly<Record<string, unknown>>>>> | undefined
  /** Rows of the consumption export. */
  readonly consumption?: ReadonlyArray<Readonly<Record<string, unknown>>> | undefined
  /** The consumption export breaks off after so many rows, with the line `ERROR: …`. */
  readonly consumptionFailure?: { readonly afterRows: number; readonly message: string } | undefined
  /** Default true. */
  readonly consumptionEnabled?: boolean | undefined
}

/** An app that exists from the start. @category models @since 0.1.0 */
export interface AppSeed {
  readonly sId: string
  /** Default: the sId. */
  readonly name?: string | undefined
  readonly description?: string | undefined
  /** Default: the space of the company's data. */
  readonly spaceId?: string | undefined
  /** The version that is deployed. Default `latest`. */
  readonly specificationHash?: string | undefined
  /** False: it is listed, but running and reading it is refused (403 `app_not_found`). Default true. */
  readonly readable?: boolean | undefined
  /**
   * The value of the last block for one input: the value, or an Effect of it. A failed Effect is the error of the block for
   * this input, and makes the run `errored`. Default: the input.
   */
  readonly run?: ((input: unknown, config: Readonly<Record<string, unknown>>) => unknown) | undefined
  /** Time that a run takes. Default 0. */
  readonly duration?: Duration.DurationInput | undefined
  /** What a streamed run sends instead of its own events: JSON values, each one event. */
  readonly events?: ReadonlyArray<unknown> | undefined
}

/** A document that is there from the start. @category models @since 0.1.0 */
export interface DocumentSeed {
  readonly documentId: string
  readonly text: string
  readonly title?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly sourceUrl?: string | undefined
  readonly mimeType?: string | undefined
  /** Epoch milliseconds. Default: the start. */
  readonly timestamp?: number | undefined
  /** The nodes above it, from the nearest to the farthest. */
  readonly parents?: ReadonlyArray<string> | undefined
}

/** A table that is there from the start. @category models @since 0.1.0 */
export interface TableSeed {
  readonly tableId?: string | undefined
  readonly name: string
  readonly title?: string | undefined
  readonly description?: string | undefined
  /** Rows with ids. */
  readonly rows?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined
}

/** A data source that is there from the start. @category models @since 0.1.0 */
export interface DataSourceSeed {
  readonly sId?: string | undefined
  readonly name: string
  readonly description?: string | undefined
  /** Default `vlt_global`. */
  readonly spaceId?: string | undefined
  /** A managed connection, which ordinary keys cannot write to. Default: a folder. */
  readonly connectorProvider?: string | undefined
  readonly documents?: ReadonlyArray<DocumentSeed> | undefined
  readonly tables?: ReadonlyArray<TableSeed> | undefined
  /** Further views of it, beside the one of everything in its own space. */
  readonly views?: ReadonlyArray<DataSourceViewSeed> | undefined
}

/** A view that is there from the start. @category models @since 0.1.0 */
export interface DataSourceViewSeed {
  readonly sId?: string | undefined
  readonly spaceId: string
  /** The nodes it shows. Default: everything. */
  readonly parentsIn?: ReadonlyArray<string> | undefined
}

/** A file that is there from the start. @category models @since 0.1.0 */
export interface FileSeed {
  /** Its id; generated when absent. */
  readonly sId?: string | undefined
  readonly fileName: string
  /** Default: by the file name. */
  readonly contentType?: string | undefined
  readonly content: string | Uint8Array
  /** Default `conversation`. Ordinary callers cannot read files of another use. */
  readonly useCase?: string | undefined
}

/** A node that search finds from the start. @category models @since 0.1.0 */
export interface NodeSeed {
  readonly internalId: string
  readonly title: string
  /** Default `document`. */
  readonly type?: "document" | "table" | "folder" | undefined
  readonly mimeType?: string | undefined
  readonly sourceUrl?: string | undefined
  /** The spaces in which there is a view of it. Default: Company Data. */
  readonly spaceIds?: ReadonlyArray<string> | undefined
  /** The name of its data source. Default `notes`. */
  readonly dataSource?: string | undefined
  readonly parentInternalId?: string | undefined
}

/** A file that a connected tool finds. @category models @since 0.1.0 */
export interface ToolFileSeed {
  readonly externalId: string
  readonly title: string
  readonly mimeType?: string | undefined
  /** Default: a text about itself. */
  readonly content?: string | undefined
  /** Default `drive`. Each server answers on its own. */
  readonly serverName?: string | undefined
  /** Default `msv_<serverName>`. */
  readonly serverViewId?: string | undefined
}

/** What the search of the workspace finds. @category models @since 0.1.0 */
export interface SearchSeed {
  /** Beside the documents, tables and folders of the data sources. */
  readonly nodes?: ReadonlyArray<NodeSeed> | undefined
  readonly toolFiles?: ReadonlyArray<ToolFileSeed> | undefined
  /** How long each connected tool takes. Default: no time. */
  readonly toolDelay?: Duration.DurationInput | undefined
  /** Nodes per page when the address has no `limit`. Default 10. */
  readonly defaultPageSize?: number | undefined
}

/** A skill that exists from the start. @category models @since 0.1.0 */
export interface SkillSeed {
  readonly sId?: string | undefined
  readonly name: string
  readonly description?: string | undefined
  readonly instructions?: string | undefined
  /** Default `active`. */
  readonly status?: "active" | "archived" | "suggested" | undefined
  /**
   * `editors` hides it from lists, also from its editors: only administrators who ask for it see it. Default
   * `workspace_users`.
   */
  readonly availability?: "editors" | "workspace_users" | "users_and_agents" | undefined
  /** E-mail addresses. */
  readonly editors?: ReadonlyArray<string> | undefined
}

/** A tool server that exists in a space from the start. @category models @since 0.1.0 */
export interface ServerViewSeed {
  readonly sId?: string | undefined
  readonly name: string
  readonly description?: string | undefined
  /** Default `remote`. */
  readonly serverType?: "remote" | "internal" | undefined
  /** `manual` (the default) is always listed, `auto` with `includeAuto` only, `auto_hidden_builder` never. */
  readonly availability?: "manual" | "auto" | "auto_hidden_builder" | undefined
  readonly tools?: ReadonlyArray<{ readonly name: string; readonly description: string }> | undefined
}

/**
 * A space that exists from the start, beside the ones that every workspace has (system, global, conversations).
 *
 * @category models
 * @since 0.1.0
 */
export interface SpaceSeed {
  readonly sId?: string | undefined
  readonly name: string
  /** Default `regular`. */
  readonly kind?: "regular" | "project" | "global" | undefined
  /** Only its members, and API keys that were given access, see it; administrators do not. Default `false`. */
  readonly isRestricted?: boolean | undefined
  /** E-mail addresses of members. */
  readonly members?: ReadonlyArray<string> | undefined
  /** Names of API keys that were given access. A key sees no restricted space and no project without it. */
  readonly keys?: ReadonlyArray<string> | undefined
  readonly mcpServerViews?: ReadonlyArray<ServerViewSeed> | undefined
}

/** A trigger that exists from the start. @category models @since 0.1.0 */
export interface TriggerSeed {
  readonly sId?: string | undefined
  readonly name: string
  /** Default `echo`. */
  readonly agentId?: string | undefined
  /** Default `enabled`. */
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

/** Where webhooks arrive. @category models @since 0.1.0 */
export interface WebhookSourceSeed {
  readonly sId: string
  /** The last part of its URL. */
  readonly urlSecret: string
  readonly name?: string | undefined
  /** Asks for an HMAC of the body in this header. */
  readonly signature?: {
    readonly header: string
    readonly secret: string
    readonly algorithm: "sha1" | "sha256" | "sha512"
  } | undefined
}

/** Triggers, and the sources of webhooks. @category models @since 0.1.0 */
export interface TriggersSeed {
  readonly triggers?: ReadonlyArray<TriggerSeed> | undefined
  readonly webhookSources?: ReadonlyArray<WebhookSourceSeed> | undefined
}
