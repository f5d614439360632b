/** What a workspace can be given at the start. Each domain adds its own member. */

import type { AgentTagSeed } from "../domains/agents.ts"
import type { AppSeed } from "../domains/apps.ts"
import type { DataSourceSeed } from "../domains/dataSources.ts"
import type { FileSeed } from "../domains/files.ts"
import type { SearchSeed } from "../domains/search.ts"
import type { SkillSeed } from "../domains/skills.ts"
import type { SpaceSeed } from "../domains/spaces.ts"
import type { TriggersSeed } from "../domains/triggers.ts"
import type { AnalyticsSeed } from "../domains/workspace.ts"

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
