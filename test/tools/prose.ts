/**
 * Sentences of the kinds that CONTRIBUTING.md leaves behind. `npm run check:prose` fails when there are more of them than the
 * ceiling; `npx tsx test/tools/prose.ts --list` shows them. Lower the ceiling with every pass; never raise it.
 */
import { readdirSync, readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { root } from "./modules.ts"

export const ceiling = 8

const kinds: ReadonlyArray<readonly [kind: string, pattern: RegExp]> = [
  ["\"who\" for a client, caller or consumer", /\b(whoever|somebody|nobody|anybody|those who|for who)\b/i],
  ["things that tell, say or know", /\b(is|are|was|were) told\b|\btells?\b|\bsays? (who|what|which|how|so|where)\b/i],
  ["existence for identity", /\bthose there are\b|\bthere (is|are) none\b|\bnone of it\b|\bas it (is|comes)\b/i],
  [
    "calqued verbs",
    /\b(brings?|brought) (nothing|no|anything|what)\b|\btakes? no place\b|\bstays? behind\b|\bbecomes? of\b/i
  ],
  [
    "\"is no X\" for \"is not an X\"",
    /(?<!\bthere )\b(is|are|was|were) no (?!longer\b|more\b|such\b|less\b|fewer\b)[a-z]+/i
  ],
  ["a clause for a noun", /\bwhat is wrong with\b|\bhas to be known\b|\bwhat (nobody|somebody|one) \w+/i]
]

export interface Hit {
  readonly where: string
  readonly kind: string
  readonly text: string
}

const isProse = (file: string, line: string) =>
  file.endsWith(".md") || /^\s*(\*|\/\/|\/\*\*)/.test(line) || /\b(it|test|describe)(\.\w+)*\(\s*["`]/.test(line) ||
  (/(expected|message|logWarning|badInput)/.test(line) && /["`][^"`]{18,}["`]/.test(line))

const filesBelow = (directory: string) =>
  readdirSync(`${root}${directory}`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") || name.endsWith(".md"))
    .map((name) => `${directory}/${name}`)

export const hits = (): ReadonlyArray<Hit> =>
  ["README.md", ...["docs", "src", "examples", "test"].flatMap(filesBelow)]
    .filter((file) => file !== "test/tools/prose.ts")
    .flatMap((file) =>
      readFileSync(`${root}${file}`, "utf8").split("\n").flatMap((text, i) => {
        const kind = isProse(file, text) ? kinds.find(([, pattern]) => pattern.test(text))?.[0] : undefined
        return kind === undefined ? [] : [{ where: `${file}:${i + 1}`, kind, text: text.trim() }]
      })
    )

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const found = hits()
  if (process.argv.includes("--list")) {
    for (const { kind, text, where } of found) console.log(`${where} [${kind}] ${text.slice(0, 140)}`)
  }
  console.log(`${found.length} lines of a kind to leave behind; the ceiling is ${ceiling}`)
  if (found.length > ceiling) process.exitCode = 1
}
