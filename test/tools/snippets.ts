/** The TypeScript of the documentation: README, guides, and doc comments of the public modules. */
import { readdirSync, readFileSync } from "node:fs"
import { publicModules, root } from "./modules.ts"

export interface Snippet {
  /** File and first line, such as `docs/errors.md:12`. */
  readonly where: string
  readonly code: string
}

/** The blocks of a language in a text; `strip` removes what precedes each line. */
const blocks = (file: string, strip?: RegExp, language = "ts"): ReadonlyArray<Snippet> => {
  const found: Array<Snippet> = []
  const lines = readFileSync(`${root}${file}`, "utf8").split("\n")
    .map((line) => strip === undefined ? line : line.replace(strip, ""))
  let start = -1
  lines.forEach((line, index) => {
    if (start === -1 && line.trimEnd() === `\`\`\`${language}`) start = index + 1
    else if (start !== -1 && line.trimEnd() === "```") {
      found.push({ where: `${file}:${start + 1}`, code: lines.slice(start, index).join("\n") })
      start = -1
    }
  })
  return found
}

export const guideFiles: ReadonlyArray<string> = readdirSync(`${root}docs`).filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`)

export const guideSnippets: ReadonlyArray<Snippet> = ["README.md", ...guideFiles].flatMap((file) => blocks(file))

export const commentSnippets: ReadonlyArray<Snippet> = publicModules.flatMap((name) =>
  blocks(`src/${name}.ts`, /^\s*\*(?: |$)/)
)

/** Snippets that define a `program`, an Effect that requires nothing but services of the SDK. */
export const runnable: ReadonlyArray<Snippet> = guideSnippets.filter(({ code }) => /^const program = /m.test(code))

/** The agents that the guides ask for, as a reader serves them. */
export const guideAgents: Snippet = blocks("docs/first-question.md", undefined, "js")[0]!
