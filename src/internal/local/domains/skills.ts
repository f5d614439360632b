/** Custom skills of the workspace. */
import * as Effect from "effect/Effect"
import { skills as skillsApi } from "../../api/skills.ts"
import { routesOf } from "../server/declared.ts"
import { badRequest, json, refuse, type Refusal } from "../server/http.ts"
import { type Context, hasRole, param, type Route } from "../server/route.ts"
import type { SkillSeed } from "../state/seed.ts"
import { slice, type World } from "../state/state.ts"

interface LocalSkill {
  readonly sId: string
  readonly name: string
  description: string
  instructions: string
  status: string
  availability: string
  editors: ReadonlyArray<string>
  readonly source: string
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
  sourceMetadata: null,
  reinforcement: "auto",
  lastReinforcementAnalysisAt: null,
  requestedSpaceIds: [],
  fileAttachments: [],
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

const list = (context: Context) =>
  Effect.suspend(() => {
    const status = context.query.get("status") ?? "active"
    if (!statuses.has(status)) {
      return badRequest(`Invalid query parameters: Validation error: Invalid enum value "${status}" at "status"`)
    }
    const bypass = context.query.get("bypassEditorVisibility") === "true"
    if (bypass && !hasRole(context, "admin")) {
      return refuse(403, "app_auth_error", "Only administrators can bypass the visibility of editors.")
    }
    const wanted = context.query.getAll("availability")
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

interface Found {
  readonly name: string
  readonly description: string
  readonly instructions: string
}

/** Parses a `SKILL.md`: YAML front matter with a name and a description, then the instructions. */
const parseSkill = (text: string): Found | undefined => {
  const front = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?([\s\S]*)$/.exec(text)
  const field = (name: string) =>
    new RegExp(`^${name}:\\s*(.+)$`, "m").exec(front?.[1] ?? "")?.[1]?.trim().replace(/^["']|["']$/g, "")
  const name = field("name")
  return front === null || name === undefined || name.length > 256
    ? undefined
    : { name, description: field("description") ?? "", instructions: (front[2] ?? "").trim() }
}

const fileLimit = 5 * 1024 * 1024

const form = (context: Context): Effect.Effect<FormData, Refusal> =>
  Effect.tryPromise(() =>
    new Response(new Uint8Array(context.request.body), {
      headers: { "content-type": context.request.headers["content-type"] ?? "" }
    }).formData()
  ).pipe(Effect.catchAll(() => badRequest("Failed to parse the multipart form.")))

const texts = (data: FormData, name: string): ReadonlyArray<string> =>
  data.getAll(name).filter((value) => typeof value === "string")

const importSkills = (context: Context) =>
  Effect.gen(function*() {
    const { world } = context
    const data = yield* form(context)
    const files = data.getAll("files").filter((value) => typeof value !== "string")
    if (files.length === 0) return yield* badRequest("No files uploaded.")
    const found: Array<Found> = []
    for (const file of files) {
      if (file.size > fileLimit) return yield* badRequest(`The file ${file.name} is over the limit of 5 MiB.`)
      if (!/(^|\/)SKILL\.md$/i.test(file.name)) continue
      const skill = parseSkill(yield* Effect.promise(() => file.text()))
      if (skill === undefined) return yield* badRequest(`Invalid skill in ${file.name}: a name is required.`)
      found.push(skill)
    }
    const names = texts(data, "names")
    const wanted = names.length === 0 ? found : found.filter((skill) => names.includes(skill.name))
    if (wanted.length === 0) return yield* badRequest("No skills found in the uploaded files.")
    const editors = texts(data, "editors")
    const members = [...world.members.values()].map(({ user }) => user.email)
    const stranger = editors.find((email) => !members.includes(email))
    if (stranger !== undefined) return yield* badRequest(`${stranger} is not an active member of the workspace.`)
    const onConflict = texts(data, "onConflict")[0] ?? "error"
    const availability = texts(data, "availability")[0]
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
        byId.set(made.sId, made)
        imported.push(made)
      } else if (onConflict === "override") {
        known.description = skill.description
        known.instructions = skill.instructions
        known.updatedAt = world.now()
        if (availability !== undefined) known.availability = availability
        if (editors.length > 0) known.editors = editors
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
    if (skill === undefined) return refuse(404, "skill_not_found", "The skill was not found.")
    if (!hasRole(context, "admin") && !isEditor(context, skill)) {
      return refuse(403, "app_auth_error", "Only administrators and editors can archive a skill.")
    }
    skill.status = "archived"
    return Effect.succeed(json({ success: true }))
  })

export const skillRoutes: ReadonlyArray<Route> = routesOf(skillsApi)({
  "GET /skills": { auth: "any", handler: list },
  "POST /skills": { auth: "any", handler: importSkills },
  "DELETE /skills/{skillId}": { auth: "any", handler: archive }
})
