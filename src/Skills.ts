/**
 * Skills: instructions, with files and tools, that agents can take up.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { DustBadRequestError, RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { SkillId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { list, nullable, type Open, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { badInput } from "./internal/request/errors.ts"
import * as Multipart from "./internal/util/multipart.ts"
import { McpServerView } from "./Spaces.ts"

/**
 * A skill, with its instructions, files and tools.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Skill = Schema.Struct({
  sId: SkillId,
  name: withDefault(Schema.String, () => ""),
  status: nullable(openLiteral("active", "archived", "suggested")),
  /** When an agent should take it up. */
  agentFacingDescription: nullable(Schema.String),
  userFacingDescription: nullable(Schema.String),
  instructions: nullable(Schema.String),
  instructionsHtml: nullable(Schema.String),
  icon: nullable(Schema.String),
  /** Who may use it. Only newer servers say so. */
  availability: nullable(openLiteral("editors", "workspace_users", "users_and_agents")),
  source: nullable(openLiteral("web_app", "github", "api", "local_file")),
  sourceMetadata: nullable(Schema.Struct({
    repoUrl: nullable(Schema.String),
    filePath: nullable(Schema.String)
  })),
  reinforcement: nullable(openLiteral("auto", "on", "off")),
  requestedSpaceIds: list(Schema.String),
  fileAttachments: list(Schema.Struct({ fileId: Schema.String, fileName: nullable(Schema.String) })),
  tools: list(McpServerView),
  canWrite: nullable(Schema.Boolean),
  isExtendable: nullable(Schema.Boolean),
  isDefault: nullable(Schema.Boolean),
  extendedSkillId: nullable(Schema.String),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** Epoch milliseconds. */
  updatedAt: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Skill extends Schema.Schema.Type<typeof Skill> {}

/**
 * Who may use a skill.
 *
 * @category models
 * @since 0.1.0
 */
export type Availability = Open<"editors" | "workspace_users" | "users_and_agents">

/**
 * Which skills a list has.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOptions {
  /** Default `active`. */
  readonly status?: Open<"active" | "archived" | "suggested"> | undefined
  /** Only those with one of these. */
  readonly availability?: ReadonlyArray<Availability> | undefined
  /** Whether unpublished skills of other editors are listed, too: for administrators. Default `false`. */
  readonly bypassEditorVisibility?: boolean | undefined
}

/**
 * A file of a skill: `SKILL.md`, something beside it, or a ZIP archive of whole skills.
 *
 * @category models
 * @since 0.1.0
 */
export interface SkillFile {
  /** With its directory: `incident-report/SKILL.md`. */
  readonly name: string
  readonly content: string | Uint8Array | Blob
}

/**
 * Skills to create or to update.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImportOptions {
  /**
   * At least one. A skill is a directory with a `SKILL.md` that starts with YAML front matter (`name`, `description`), as
   * on agentskills.io. 5 MiB each, and 10 MiB for what is in a ZIP archive, were the limits when this was written.
   */
  readonly files: ReadonlyArray<SkillFile>
  /** Only these skills of the files. Default: all. */
  readonly names?: ReadonlyArray<string> | undefined
  /** What happens to a skill that has the name of an existing one. Default `error`, which imports nothing. */
  readonly onConflict?: "error" | "skip" | "override" | undefined
  /** E-mail addresses of active members. */
  readonly editors?: ReadonlyArray<string> | undefined
  /** Default: `editors` for new skills, unchanged for existing ones. */
  readonly availability?: Availability | undefined
}

/**
 * What an import has led to.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ImportResult = Schema.Struct({
  imported: list(Skill),
  updated: list(Skill),
  /** What was left out, and why. */
  skipped: list(Schema.Struct({
    name: withDefault(Schema.String, () => ""),
    message: withDefault(Schema.String, () => "")
  }))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ImportResult extends Schema.Schema.Type<typeof ImportResult> {}

const root = "/api/v1/w/{workspaceId}/skills"

const listOperation = Operation.make({
  name: "Skills.list",
  http: "GET",
  route: root,
  response: Schema.Struct({ skills: list(Skill) })
})

const importOperation = Operation.make({
  name: "Skills.importSkills",
  http: "POST",
  route: root,
  timeouts: { headers: "2 minutes" },
  response: ImportResult
})

const archive = Operation.unit({ name: "Skills.archive", http: "DELETE", route: `${root}/{skillId}` })

/**
 * Every method works with an API key and with a user's access token, and fails with `RequestError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * The skills that were made in the workspace (not those of Dust), in one answer. `bypassEditorVisibility` needs the
   * administrator role, else `DustForbiddenError`. Retried as the retry policy says.
   *
   * Source: `GET /api/v1/w/{workspaceId}/skills`.
   */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<Skill>, RequestError>
  /**
   * Creates and updates skills from files. All that is wrong with them is a `DustBadRequestError` whose message says what:
   * no skill found, a name that is taken, a file that is too large. Sent once: after a lost answer the skills may exist;
   * repeating the import with `onConflict: "override"` leads to the same skills.
   *
   * @example
   * ```ts
   * import { Skills } from "effect-dust/Skills"
   * import { Effect } from "effect"
   *
   * const program = Effect.flatMap(Skills, (skills) =>
   *   skills.importSkills({
   *     files: [{
   *       name: "incident-report/SKILL.md",
   *       content: "---\nname: incident-report\ndescription: Writes incident reports\n---\nStart with the timeline."
   *     }],
   *     onConflict: "override"
   *   }))
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/skills` (multipart).
   */
  readonly importSkills: (options: ImportOptions) => Effect.Effect<ImportResult, RequestError>
  /**
   * Archives a skill. `DustNotFoundError` (`skill_not_found`) when there is none, `DustForbiddenError` for those who are
   * neither administrator nor one of its editors. Retried as the retry policy says.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/skills/{skillId}`.
   */
  readonly archive: (skillId: SkillId) => Effect.Effect<void, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Skills extends Context.Tag("effect-dust/Skills")<Skills, Service>() {}

const encoder = new TextEncoder()

const bytesOf = (file: SkillFile, index: number): Effect.Effect<Uint8Array, DustBadRequestError> => {
  const { content } = file
  if (typeof content === "string") return Effect.succeed(encoder.encode(content))
  if (content instanceof Uint8Array) return Effect.succeed(content)
  return Effect.tryPromise({
    try: async () => new Uint8Array(await content.arrayBuffer()),
    catch: () => badInput(importOperation, `files.${index}.content`, "a Blob that can be read")
  })
}

const fieldsOf = (options: ImportOptions): Effect.Effect<ReadonlyArray<Multipart.Field>, DustBadRequestError> =>
  Effect.map(
    Effect.forEach(
      options.files,
      (file, index): Effect.Effect<Multipart.Field, DustBadRequestError> =>
        Effect.map(bytesOf(file, index), (content) => ({
          name: "files",
          fileName: file.name,
          contentType: /\.zip$/i.test(file.name) ? "application/zip" : "text/plain",
          content
        }))
    ),
    (files) => [
      ...files,
      ...(options.names ?? []).map((value) => ({ name: "names", value })),
      ...(options.onConflict === undefined ? [] : [{ name: "onConflict", value: options.onConflict }]),
      ...(options.editors ?? []).map((value) => ({ name: "editors", value })),
      ...(options.availability === undefined ? [] : [{ name: "availability", value: options.availability }])
    ]
  )

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) =>
  Skills.of({
    list: (options = {}) =>
      Effect.map(
        client.execute(listOperation, {
          query: {
            status: options.status,
            availability: options.availability,
            // Any text but "true" is refused or ignored.
            bypassEditorVisibility: options.bypassEditorVisibility === true ? true : undefined
          }
        }),
        (answer) => answer.skills
      ),
    importSkills: (options) =>
      Effect.gen(function*() {
        if (options.files.length === 0) return yield* badInput(importOperation, "files", "at least one file")
        const nameless = options.files.findIndex((file) => file.name.trim() === "")
        if (nameless !== -1) return yield* badInput(importOperation, `files.${nameless}.name`, "the name of a file")
        const rawBody = Multipart.ofFields(yield* fieldsOf(options), yield* Multipart.boundary)
        return yield* client.execute(importOperation, { rawBody })
      }),
    archive: (skillId) => client.execute(archive, { path: { skillId } })
  }))

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Skills, never, DustClient> = Layer.effect(Skills, make)
