import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { apiIndex } from "../tools/api-index.ts"
import { importsOf, integrations, publicModules, root, sources } from "../tools/modules.ts"

/** The command line is built into one file with its libraries. Its rules are those of an application. */
const isCommandLine = (file: string) => file === "internal/bin.ts" || file.startsWith("internal/cli/")

const all = sources.filter(({ name }) => !isCommandLine(name)).flatMap((file) =>
  importsOf(file).map((one) => ({ file: file.name, ...one }))
)

const offenders = (wrong: (one: (typeof all)[number]) => boolean) =>
  all.filter(wrong).map(({ file, specifier }) => `${file}: ${specifier}`)

/** The packages that an integration may import, in its module and in its folder. */
const optional = (file: string): ReadonlyArray<string> =>
  file.startsWith("internal/ai/") ? ["@effect/ai"] : integrations[file.slice(0, -".ts".length)] ?? []

const forTests = (file: string) => /^(DustTest|Cassette)\.ts$/.test(file) || /^internal\/(local|cassette)\//.test(file)

describe("imports of src", () => {
  it("are found", () => {
    assert.isAbove(all.length, 300)
    assert.isAbove(publicModules.length, 25)
    assert.isTrue(all.some(({ dynamic, specifier }) => dynamic && specifier === "node:http"))
  })

  it("name modules, not barrels", () => {
    assert.deepStrictEqual(
      offenders(({ specifier }) =>
        ["effect", "@effect/platform", "@effect/platform/index", "./index.ts"].includes(specifier)
      ),
      []
    )
  })

  it("come from the peers, from here, and from nowhere else", () => {
    assert.deepStrictEqual(
      offenders(({ file, specifier }) =>
        !(optional(file).some((name) => specifier.startsWith(`${name}/`)) || specifier.startsWith("effect/") ||
          specifier.startsWith("@effect/platform/") || specifier.startsWith(".") ||
          (forTests(file) && specifier.startsWith("node:")))
      ),
      []
    )
    assert.deepStrictEqual(offenders(({ specifier }) => specifier.startsWith(".") && !specifier.endsWith(".ts")), [])
  })

  it("reach integrations with optional peers from nowhere else", () => {
    const isIntegration = (path: string) =>
      /(^|\/)internal\/(ai|durable)\//.test(path) ||
      Object.keys(integrations).some((name) => path.endsWith(`${name}.ts`))
    assert.deepStrictEqual(
      offenders(({ file, specifier, typeOnly }) =>
        specifier.startsWith(".") && !typeOnly && !isIntegration(file) &&
        (isIntegration(specifier) || /(^|\/)(ai|durable)\//.test(specifier))
      ),
      []
    )
  })

  it("reach Local Dust through DustTest, and cassettes through Cassette, only", () => {
    assert.deepStrictEqual(
      offenders(({ file, specifier }) =>
        !forTests(file) && /(\/local\/|\/cassette\/|DustTest|Cassette)/.test(specifier)
      ),
      []
    )
  })

  it("reach the command line nowhere", () => {
    assert.deepStrictEqual(offenders(({ specifier }) => /\/(cli\/|bin\.ts)/.test(specifier)), [])
  })

  it("reach builders for tests nowhere", () => {
    assert.deepStrictEqual(
      offenders(({ file, specifier }) =>
        !/^(Fixtures\.ts|internal\/fixtures\/)/.test(file) && /(\/fixtures\/|Fixtures)/.test(specifier)
      ),
      []
    )
  })

  it("need Node only where a port is asked for", () => {
    assert.deepStrictEqual(
      offenders(({ dynamic, specifier, typeOnly }) => specifier.startsWith("node:") && !typeOnly && !dynamic),
      []
    )
  })
})

describe("src/index.ts", () => {
  it("has every public module but those for tests and those with optional peers, in order (npx tsx test/tools/api-index.ts writes it)", () => {
    assert.strictEqual(readFileSync(`${root}src/index.ts`, "utf8"), apiIndex)
  })
})
