/** Custom skills of the workspace. */
import * as Effect from "effect/Effect"
import { contentTypeOf } from "../../../File.ts"
import { skills as skillsApi } from "../../api/skills.ts"
import { routesOf } from "../server/declared.ts"
import { badRequest, json, refuse, type Refusal } from "../server/http.ts"
import { type Context, hasRole, param, type Route } from "../server/route.ts"
import type { SkillSeed } from "../state/seed.ts"
import { slice, type World } from "../state/state.ts"
import { addFile } from "./files.ts"
import { findSkills, type FoundSkill } from "./skillFiles.ts"

interface Attachment {
  readonly fileId: string
  readonly fileName: string
}

interface LocalSkill {
  readonly sId: string
  readonly name: string
  description: string
  instructions: string
  status: string
  availability: string
  editors: ReadonlyArray<string>
  readonly source: string
  filePath: string | null
  attachments: ReadonlyArray<Attachment>
  readonly createdAt: number
  updatedAt: number
}

const sample: ReadonlyArray<SkillSeed> = [
  {
    sId: "skl_minutes",
    name: "meeting-minutes",
    description: "Writes minutes of a meeting",
    instructions: "List decisions first."
  },
  { sId: "skl_draft", name: "drafted", availability: "editors", editors: ["grace@local-dust.test"] },
  { sId: "skl_old", name: "retired", status: "archived" }
]

const make = (world: World, seed: SkillSeed, source: string): LocalSkill => ({
  sId: seed.sId ?? world.sId("skl"),
  name: seed.name,
  description: seed.description ?? "",
  instructions: seed.instructions ?? "",
  status: seed.status ?? "active",
  availability: seed.availability ?? "workspace_users",
  editors: seed.editors ?? [],
  source,
  filePath: null,
  attachments: [],
  createdAt: world.now(),
  updatedAt: world.now()
})

const skills = slice("skills", (world) => ({
  byId: new Map((world.seed.skills ?? sample).map((seed) => {
    const skill = make(world, seed, "web_app")
    return [skill.sId, skill]
  }))
}))

const isEditor = (context: Context, skill: LocalSkill): boolean =>
  context.auth.user !== undefined && skill.editors.includes(context.auth.user.email)

const render = (context: Context, skill: LocalSkill): Record<string, unknown> => ({
  sId: skill.sId,
  name: skill.name,
  status: skill.status,
  agentFacingDescription: skill.description,
  userFacingDescription: skill.description,
  instructions: skill.instructions,
  instructionsHtml: null,
  icon: null,
  availability: skill.availability,
  source: skill.source,
  sourceMetadata: skill.filePath === null ? null : { filePath: skill.filePath },
  reinforcement: "auto",
  lastReinforcementAnalysisAt: null,
  requestedSpaceIds: [],
  fileAttachments: skill.attachments,
  tools: [],
  canWrite: hasRole(context, "admin") || isEditor(context, skill),
  isExtendable: false,
  isDefault: false,
  extendedSkillId: null,
  editedBy: null,
  createdAt: skill.createdAt,
  updatedAt: skill.updatedAt
})

const statuses: ReadonlySet<string> = new Set(["active", "archived", "suggested"])

const availabilities: ReadonlySet<string> = new Set(["editors", "workspace_users", "users_and_agents"])

const invalidAvailability = badRequest(
  "Invalid availability. Expected \"editors\", \"workspace_users\", or \"users_and_agents\"."
)

const list = (context: Context) =>
  Effect.suspend(() => {
    const status = context.query.get("status") ?? "active"
    if (!statuses.has(status)) {
      return badRequest(`Invalid query parameters: Validation error: Invalid enum value "${status}" at "status"`)
    }
    const bypass = context.query.get("bypassEditorVisibility") === "true"
    if (bypass && !hasRole(context, "admin")) {
      return refuse(403, "app_auth_error", "Only admins can bypass editor visibility.")
    }
    const wanted = context.query.getAll("availability")
    if (wanted.some((availability) => !availabilities.has(availability))) return invalidAvailability
    return Effect.succeed(json({
      skills: [...skills(context.world).byId.values()]
        .filter((skill) =>
          skill.status === status && (wanted.length === 0 || wanted.includes(skill.availability)) &&
          // Hidden from editors, too. Source: `front-api/routes/v1/w/[wId]/skills/index.ts`.
          (bypass || skill.availability !== "editors")
        )
        .map((skill) => render(context, skill))
    }))
  })

const form = (context: Context): Effect.Effect<FormData, Refusal> =>
  Effect.tryPromise(() =>
    new Response(new Uint8Array(context.request.body), {
      headers: { "content-type": context.request.headers["content-type"] ?? "" }
    }).formData()
  ).pipe(Effect.catchAll(() => badRequest("File upload failed: no multipart form.")))

const texts = (data: FormData, name: string): ReadonlyArray<string> =>
  data.getAll(name).filter((value) => typeof value === "string")

interface ImportOptions {
  readonly names: ReadonlyArray<string>
  readonly editors: ReadonlyArray<string>
  readonly availability: string | undefined
  readonly onConflict: string
}

const optionsOf = ({ world }: Context, data: FormData): Effect.Effect<ImportOptions, Refusal> =>
  Effect.suspend((): Effect.Effect<ImportOptions, Refusal> => {
    const availability = texts(data, "availability")[0]
    if (availability !== undefined && !availabilities.has(availability)) return invalidAvailability
    const onConflict = texts(data, "onConflict")[0] ?? "error"
    if (!["error", "skip", "override"].includes(onConflict)) {
      return badRequest(`Invalid onConflict value: "${onConflict}". Must be one of: error, skip, override.`)
    }
    const editors = texts(data, "editors")
    const members = [...world.members.values()].map(({ user }) => user.email)
    const stranger = editors.find((email) => !members.includes(email))
    return stranger === undefined
      ? Effect.succeed({ names: texts(data, "names"), editors, availability, onConflict })
      : badRequest(`${stranger} is not an active member of the workspace.`)
  })

const attach = (world: World, { attachments }: FoundSkill): ReadonlyArray<Attachment> =>
  attachments.map(({ content, path }) => {
    const contentType = contentTypeOf(path) ?? "application/octet-stream"
    const file = addFile(world, { fileName: path, contentType, bytes: content, useCase: "skill_attachment" })
    return { fileId: file.sId, fileName: path }
  })

const importSkills = (context: Context) =>
  Effect.gen(function*() {
    const { world } = context
    const data = yield* form(context)
    const files = data.getAll("files").filter((value) => typeof value !== "string")
    if (files.length === 0) return yield* badRequest("No files uploaded.")
    const { availability, editors, names, onConflict } = yield* optionsOf(context, data)
    const found = yield* findSkills(files)
    if (found.length === 0) {
      return yield* badRequest(
        "No skills found. Skills must contain a SKILL.md file with valid YAML frontmatter (see https://agentskills.io/specification)."
      )
    }
    const wanted = found.filter((skill) =>
      skill.instructions !== "" && (names.length === 0 || names.includes(skill.name))
    )
    if (wanted.length === 0) return yield* badRequest("No matching importable skills found.")
    const { byId } = skills(world)
    const existing = (name: string) =>
      [...byId.values()].find((skill) => skill.name === name && skill.status === "active")
    const conflict = wanted.find((skill) => existing(skill.name) !== undefined)
    if (conflict !== undefined && onConflict === "error") {
      return yield* badRequest(`A skill named "${conflict.name}" already exists.`)
    }
    const imported: Array<LocalSkill> = []
    const updated: Array<LocalSkill> = []
    const skipped: Array<{ readonly name: string; readonly message: string }> = []
    for (const skill of wanted) {
      const known = existing(skill.name)
      if (known === undefined) {
        const made = make(world, { ...skill, editors }, "api")
        made.availability = availability ?? "editors"
        made.filePath = skill.path
        made.attachments = attach(world, skill)
        byId.set(made.sId, made)
        imported.push(made)
      } else if (onConflict === "override") {
        known.description = skill.description
        known.instructions = skill.instructions
        known.updatedAt = world.now()
        known.filePath = skill.path
        known.attachments = attach(world, skill)
        if (availability !== undefined) known.availability = availability
        known.editors = [...new Set([...known.editors, ...editors])]
        updated.push(known)
      } else {
        skipped.push({ name: skill.name, message: "A skill with this name already exists." })
      }
    }
    return json({
      imported: imported.map((skill) => render(context, skill)),
      updated: updated.map((skill) => render(context, skill)),
      skipped
    })
  })

const archive = (context: Context) =>
  Effect.suspend(() => {
    const skill = skills(context.world).byId.get(param(context, "skillId"))
    if (skill === undefined) return refuse(404, "skill_not_found", "The skill you requested was not found.")
    if (!hasRole(context, "admin") && !isEditor(context, skill)) {
      return refuse(403, "app_auth_error", "Only admins and editors can archive this skill.")
    }
    skill.status = "archived"
    return Effect.succeed(json({ success: true }))
  })

export const skillRoutes: ReadonlyArray<Route> = routesOf(skillsApi)({
  "GET /skills": { auth: "any", handler: list },
  "POST /skills": { auth: "any", handler: importSkills },
  "DELETE /skills/{skillId}": { auth: "any", handler: archive }
})
