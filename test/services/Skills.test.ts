import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DustTest from "effect-dust/DustTest"
import * as Skills from "effect-dust/Skills"
import { deflateRawSync } from "node:zlib"

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

const skill = (name: string, text = "Start with the timeline.") =>
  `---\nname: ${name}\ndescription: Writes ${name}\n---\n${text}\n`

/** A ZIP archive of compressed files, which may lie about their sizes. */
const zip = (files: Readonly<Record<string, string>>, declared?: number): Uint8Array => {
  const entries = Object.entries(files).map(([path, text]) => {
    const content = new TextEncoder().encode(text)
    return { path: Buffer.from(path), size: declared ?? content.length, packed: deflateRawSync(content) }
  })
  const number = (...values: ReadonlyArray<readonly [value: number, bytes: number]>) =>
    Buffer.concat(values.map(([value, bytes]) => {
      const buffer = Buffer.alloc(bytes)
      buffer.writeUIntLE(value, 0, bytes)
      return buffer
    }))
  const sizes = (one: typeof entries[number]) =>
    [[20, 2], [0, 2], [8, 2], [0, 4], [0, 4], [one.packed.length, 4], [one.size, 4], [one.path.length, 2]] as const
  let at = 0
  const offsets: Array<number> = []
  const bodies = entries.map((one) => {
    const body = Buffer.concat([number([0x04034b50, 4], ...sizes(one), [0, 2]), one.path, one.packed])
    offsets.push(at)
    at += body.length
    return body
  })
  const directory = entries.map((one, index) =>
    Buffer.concat([
      number([0x02014b50, 4], [20, 2], ...sizes(one), [0, 2], [0, 2], [0, 2], [0, 2], [0, 4], [offsets[index]!, 4]),
      one.path
    ])
  )
  const size = directory.reduce((sum, { length }) => sum + length, 0)
  const end = number([0x06054b50, 4], [0, 4], [entries.length, 2], [entries.length, 2], [size, 4], [at, 4], [0, 2])
  return new Uint8Array(Buffer.concat([...bodies, ...directory, end]))
}

describe("Skills", () => {
  it.effect("lists the active ones, and others by status and availability", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const active = yield* skills.list()
      assert.deepStrictEqual(active.map((one) => [one.sId, one.status, one.canWrite]), [
        ["skl_minutes", "active", false]
      ])
      assert.deepStrictEqual((yield* last).query, {})
      const archived = yield* skills.list({ status: "archived" })
      assert.deepStrictEqual(archived.map((one) => one.name), ["retired"])
      assert.deepStrictEqual(yield* skills.list({ availability: ["editors", "users_and_agents"] }), [])
      assert.deepStrictEqual((yield* last).query, { availability: ["editors", "users_and_agents"] })
      yield* skills.list({ bypassEditorVisibility: false })
      assert.deepStrictEqual((yield* last).query, {})
    }).pipe(local()))

  it.effect("lists unpublished skills for administrators on request", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const denied = yield* Effect.flip(skills.list({ bypassEditorVisibility: true }))
      assert.strictEqual(denied._tag, "DustForbiddenError")
      assert.strictEqual(denied.type, "app_auth_error")
      yield* Effect.gen(function*() {
        const skills = yield* Skills.Skills
        const all = yield* skills.list({ bypassEditorVisibility: true })
        assert.deepStrictEqual(all.map((one) => one.sId), ["skl_minutes", "skl_draft"])
        assert.deepStrictEqual((yield* last).query, { bypassEditorVisibility: "true" })
      }).pipe(local({ credential: "adminApiKey" }))
    }).pipe(local()))

  it.effect("imports texts, bytes and blobs", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const result = yield* skills.importSkills({
        files: [
          { name: "incident-report/SKILL.md", content: skill("incident-report", "Commencez ☕") },
          { name: "changelog/SKILL.md", content: new TextEncoder().encode(skill("changelog")) },
          { name: "retro/SKILL.md", content: new Blob([skill("retro")]) },
          { name: "retro/template.txt", content: "What went well?" }
        ],
        names: ["incident-report", "changelog", "retro"],
        editors: ["ada@local-dust.test"],
        availability: "users_and_agents"
      })
      assert.deepStrictEqual(result.imported.map((one) => [one.name, one.instructions, one.availability]), [
        ["incident-report", "Commencez ☕", "users_and_agents"],
        ["changelog", "Start with the timeline.", "users_and_agents"],
        ["retro", "Start with the timeline.", "users_and_agents"]
      ])
      assert.deepStrictEqual(result.updated, [])
      assert.deepStrictEqual(result.skipped, [])
      assert.match((yield* last).headers["content-type"] ?? "", /^multipart\/form-data; ?boundary=/)
      assert.strictEqual((yield* skills.list()).length, 4)
    }).pipe(local()))

  it.effect("imports only the named ones", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const result = yield* skills.importSkills({
        files: [{ name: "a/SKILL.md", content: skill("a") }, { name: "b/SKILL.md", content: skill("b") }],
        names: ["b"]
      })
      assert.deepStrictEqual(result.imported.map((one) => one.name), ["b"])
    }).pipe(local()))

  it.effect("imports a ZIP archive, with the other files of its skills", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const content = zip({
        "pack/a/SKILL.md": skill("a", "Use the template."),
        "pack/a/template.txt": "Dear",
        "pack/b/SKILL.md": skill("b")
      })
      const { imported } = yield* skills.importSkills({ files: [{ name: "pack.zip", content }] })
      assert.deepStrictEqual(
        imported.map((one) => [one.name, one.instructions, one.fileAttachments.map(({ fileName }) => fileName)]),
        [["a", "Use the template.", ["template.txt"]], ["b", "Start with the timeline.", []]]
      )
      for (
        const [file, expected] of [
          [{ name: "not.zip", content: "text" }, "Failed to open ZIP"],
          [{ name: "huge.zip", content: zip({ "a.txt": "x".repeat(10 * 1024 * 1024 + 1) }) }, "decompressed size"],
          [
            { name: "lie.zip", content: zip({ "SKILL.md": skill("a", "x".repeat(20_000_000)) }, 99) },
            "Failed to open ZIP"
          ],
          [{ name: "less.zip", content: zip({ "SKILL.md": skill("a") }, 999) }, "Failed to open ZIP"],
          [{ name: "c/SKILL.md", content: skill("c", " ") }, "No matching importable skills"]
        ] as const
      ) {
        const error = yield* Effect.flip(skills.importSkills({ files: [file] }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.include(error.message, expected)
      }
    }).pipe(local()))

  it.effect("importSkills: adds editors to those that a skill has, and refuses unknown options", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const files = [{ name: "SKILL.md", content: skill("drafted") }]
      yield* skills.importSkills({ files, onConflict: "override", editors: ["ada@local-dust.test"] })
      const asked = yield* Effect.flip(skills.archive("skl_minutes"))
      assert.strictEqual(asked._tag, "DustForbiddenError")
      yield* skills.archive("skl_draft")
      for (const more of [{ availability: "all" }, { onConflict: "replace" as "skip" }]) {
        const error = yield* Effect.flip(skills.importSkills({ files, ...more }))
        assert.include(error.message, "Invalid")
      }
    }).pipe(local({ credential: "userToken" })))

  it.effect("importSkills: handles an existing name according to onConflict", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const files = [{ name: "SKILL.md", content: skill("meeting-minutes", "Decisions last.") }]
      const conflict = yield* Effect.flip(skills.importSkills({ files }))
      assert.strictEqual(conflict._tag, "DustBadRequestError")
      assert.include(conflict.message, "already exists")
      const skipped = yield* skills.importSkills({ files, onConflict: "skip" })
      assert.deepStrictEqual(skipped.skipped.map((one) => one.name), ["meeting-minutes"])
      assert.deepStrictEqual((yield* skills.list()).map((one) => one.instructions), ["List decisions first."])
      const updated = yield* skills.importSkills({ files, onConflict: "override" })
      assert.deepStrictEqual(updated.updated.map((one) => [one.sId, one.instructions]), [
        ["skl_minutes", "Decisions last."]
      ])
    }).pipe(local()))

  it.effect("refuses files without a skill, and nothing at all before any request", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const none = yield* Effect.flip(skills.importSkills({ files: [] }))
      assert.deepPropertyVal(none.details, "field", "files")
      const nameless = yield* Effect.flip(
        skills.importSkills({ files: [{ name: "SKILL.md", content: "" }, { name: " ", content: "" }] })
      )
      assert.deepPropertyVal(nameless.details, "field", "files.1.name")
      assert.strictEqual(yield* requests, 0)
      const empty = yield* Effect.flip(skills.importSkills({ files: [{ name: "notes.txt", content: "" }] }))
      assert.include(empty.message, "No skills found")
      const stranger = yield* Effect.flip(
        skills.importSkills({ files: [{ name: "SKILL.md", content: skill("x") }], editors: ["who@example.com"] })
      )
      assert.strictEqual(stranger._tag, "DustBadRequestError")
    }).pipe(local()))

  it.effect("imports once", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      const error = yield* Effect.flip(
        skills.importSkills({ files: [{ name: "SKILL.md", content: skill("once") }] })
      )
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(yield* requests, 1)
    }).pipe(local({ faults: [{ method: "POST", fault: DustTest.faults.resetAfter() }] })))

  it.effect("archives one, with the right to", () =>
    Effect.gen(function*() {
      const skills = yield* Skills.Skills
      assert.strictEqual((yield* Effect.flip(skills.archive("skl_minutes")))._tag, "DustForbiddenError")
      const missing = yield* Effect.flip(skills.archive("nothing like a skill"))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.strictEqual(missing.type, "skill_not_found")
      yield* Effect.gen(function*() {
        const skills = yield* Skills.Skills
        yield* skills.archive("skl_minutes")
        assert.deepStrictEqual((yield* skills.list({ status: "archived" })).map((one) => one.sId), [
          "skl_minutes",
          "skl_old"
        ])
      }).pipe(local({ credential: "adminApiKey" }))
    }).pipe(local()))
})
