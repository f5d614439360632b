/**
 * Skills: what `Skills` returns, and the options that it takes.
 *
 * ```ts
 * import type { Skill } from "effect-dust/Skill"
 * import { Skills } from "effect-dust/Skills"
 * import { Effect } from "effect"
 *
 * const describe = (skill: Skill) => `${skill.name}: ${skill.userFacingDescription ?? ""}`
 *
 * const program = Effect.flatMap(Skills, (skills) => skills.list()).pipe(Effect.map((all) => all.map(describe)))
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { FileId, SkillId, SpaceId } from "./Ids.ts"
import { list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { onlyTrue } from "./internal/input/query.ts"
import { McpServerView } from "./Space.ts"

/**
 * A skill, with its instructions, files and tools.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Skill = Schema.Struct({
  sId: SkillId,
  name: withDefault(Schema.String, () => ""),
  status: nullable(openLiteral("active", "archived", "suggested")),
  /** When an agent should use it, for the agent. */
  agentFacingDescription: nullable(Schema.String),
  userFacingDescription: nullable(Schema.String),
  instructions: nullable(Schema.String),
  instructionsHtml: nullable(Schema.String),
  icon: nullable(Schema.String),
  /** `null` with older servers. */
  availability: nullable(openLiteral("editors", "workspace_users", "users_and_agents")),
  source: nullable(openLiteral("web_app", "github", "api", "local_file")),
  sourceMetadata: nullable(Schema.Struct({
    repoUrl: nullable(Schema.String),
    filePath: nullable(Schema.String)
  })),
  reinforcement: nullable(openLiteral("auto", "on", "off")),
  requestedSpaceIds: list(SpaceId),
  fileAttachments: list(Schema.Struct({ fileId: FileId, fileName: nullable(Schema.String) })),
  tools: list(McpServerView),
  canWrite: nullable(Schema.Boolean),
  isExtendable: nullable(Schema.Boolean),
  isDefault: nullable(Schema.Boolean),
  extendedSkillId: nullable(SkillId),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** Epoch milliseconds. */
  updatedAt: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface Skill extends Schema.Schema.Type<typeof Skill> {}

/**
 * The availability of a skill: to its editors, to members of the workspace, or to members and agents.
 *
 * @category schemas
 * @since 0.2.0
 */
export const SkillAvailability = openLiteral("editors", "workspace_users", "users_and_agents")

/**
 * @category models
 * @since 0.2.0
 */
export type SkillAvailability = typeof SkillAvailability.Type

/**
 * Selects the skills of a list.
 *
 * @category schemas
 * @since 0.2.0
 */
export const SkillFilter = Schema.Struct({
  /** Defaults to `active`. */
  status: Schema.optional(openLiteral("active", "archived", "suggested")),
  /** Returns only skills with one of these values. */
  availability: Schema.optional(Schema.Array(SkillAvailability)),
  /**
   * Includes skills that are available to their editors only. Requires the administrator role; other callers cannot list
   * these skills, even as editors. Defaults to `false`.
   */
  bypassEditorVisibility: onlyTrue
})

/**
 * @category models
 * @since 0.2.0
 */
export interface SkillFilter extends Schema.Schema.Type<typeof SkillFilter> {}

/**
 * A file of a skill: `SKILL.md`, a file beside it, or a ZIP archive of whole skills.
 *
 * @category models
 * @since 0.2.0
 */
export interface SkillFile {
  /** The path, including the directory: `incident-report/SKILL.md`. */
  readonly name: string
  readonly content: string | Uint8Array | Blob
}

/**
 * Skills to create or update.
 *
 * @category models
 * @since 0.2.0
 */
export interface SkillImport {
  /**
   * At least one. A skill is a directory with a `SKILL.md` that starts with YAML front matter (`name`, `description`) and
   * has instructions, as on agentskills.io. Dust accepts 5 MiB per file and 10 MiB for the contents of a ZIP archive.
   */
  readonly files: ReadonlyArray<SkillFile>
  /** Imports only the skills with these names. Defaults to all. */
  readonly names?: ReadonlyArray<string> | undefined
  /** What to do with a skill whose name exists. Defaults to `error`, which imports nothing. */
  readonly onConflict?: "error" | "skip" | "override" | undefined
  /** E-mail addresses of active members. Existing skills keep their editors and get these, too. */
  readonly editors?: ReadonlyArray<string> | undefined
  /** Defaults to `editors` for new skills. Existing skills keep their value. */
  readonly availability?: SkillAvailability | undefined
}

/**
 * The result of an import.
 *
 * @category schemas
 * @since 0.2.0
 */
export const SkillImportResult = Schema.Struct({
  imported: list(Skill),
  updated: list(Skill),
  /** Skipped skills, with the reason. */
  skipped: list(Schema.Struct({
    name: withDefault(Schema.String, () => ""),
    message: withDefault(Schema.String, () => "")
  }))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface SkillImportResult extends Schema.Schema.Type<typeof SkillImportResult> {}
