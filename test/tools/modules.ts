/** The source files, as the gates see them. */
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

export interface SourceFile {
  /** Below `src`, such as `internal/url.ts`. */
  readonly name: string
  readonly text: string
}

export const sources: ReadonlyArray<SourceFile> = readdirSync(`${root}src`, { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts"))
  .sort()
  .map((name) => ({ name, text: readFileSync(`${root}src/${name}`, "utf8") }))

/** The modules that everybody may import. */
export const publicModules: ReadonlyArray<string> = sources.map(({ name }) => name)
  .filter((name) => !name.includes("/") && name !== "index.ts")
  .map((name) => name.slice(0, -".ts".length))

/** Modules for tests, which are imported by their path only. */
export const testModules: ReadonlyArray<string> = ["Cassette", "DustTest", "Fixtures"]

/** Modules that need an optional peer: the packages that each may import. */
export const integrations: Readonly<Record<string, ReadonlyArray<string>>> = {
  DurableChat: ["@effect/workflow"],
  DustLanguageModel: ["@effect/ai"],
  SqlKeyValueStore: ["@effect/sql"]
}

/** Those that `src/index.ts` leaves out: they are imported by their path. */
export const byPathOnly: ReadonlyArray<string> = [...testModules, ...Object.keys(integrations)]

export interface Import {
  readonly specifier: string
  /** Gone once it is compiled. */
  readonly typeOnly: boolean
  /** `import("…")`. */
  readonly dynamic: boolean
}

const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "")

export const importsOf = ({ text }: SourceFile): ReadonlyArray<Import> => {
  const code = withoutComments(text)
  const fixed = [...code.matchAll(/^(?:import|export)\s+(type\s)?[^"'`;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"/gm)]
    .map((match): Import => ({
      specifier: match[2] ?? match[3] ?? "",
      typeOnly: match[1] !== undefined,
      dynamic: false
    }))
  const dynamic = [...code.matchAll(/\bimport\("([^"]+)"\)(\.|\)\[)?/g)]
    .filter((match) => !/typeof\s*$/.test(code.slice(0, match.index)))
    .map((match): Import => ({ specifier: match[1] ?? "", typeOnly: false, dynamic: true }))
  return [...fixed, ...dynamic]
}
