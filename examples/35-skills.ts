/**
 * Imports a skill from files, as a CI job for a repository of skills would; lists skills; archives the imported one.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Skills } from "effect-dust/Skills"
import { done, dustAs, note, says, title } from "./support.ts"

const files = [
  {
    name: "incident-report/SKILL.md",
    content: [
      "---",
      "name: incident-report",
      "description: Writes the report of an incident",
      "---",
      "Start with the timeline. Use template.md."
    ].join("\n")
  },
  { name: "incident-report/template.md", content: "# What happened\n\n# Why\n\n# What we change\n" }
]

const program = Effect.gen(function*() {
  const skills = yield* Skills

  yield* title("Importing")
  const first = yield* skills.importSkills({ files, onConflict: "override", availability: "workspace_users" })
  for (const skill of first.imported) yield* done(`${skill.name} is new: ${skill.sId}`)
  for (const skill of first.updated) yield* done(`${skill.name} was updated: ${skill.sId}`)

  yield* title("Importing again")
  const again = yield* skills.importSkills({ files, onConflict: "skip" })
  for (const { message, name } of again.skipped) yield* note(`${name}: ${message}`)

  yield* title("Skills of the workspace")
  const all = yield* skills.list()
  for (const skill of all) yield* says(skill.name, skill.userFacingDescription ?? "")

  // Removes only the skill created here.
  yield* Effect.forEach(
    first.imported,
    (skill) => Effect.zipRight(skills.archive(skill.sId), done(`${skill.name} is archived`))
  )
})

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)
