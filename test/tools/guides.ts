/** The guides in the order of the table of contents in the README, which is the only one. */
import { readFileSync } from "node:fs"
import { root } from "./modules.ts"

export interface Guide {
  /** Relative to the repository, such as `docs/errors.md`. */
  readonly path: string
  readonly section: string
  readonly title: string
  /** The first paragraph, in one line. */
  readonly summary: string
  readonly text: string
}

const paragraphOf = (text: string) => {
  const [, paragraph = ""] = /^# .*\n\n((?:(?!#|```|\||<!--).+\n?)+)/.exec(text) ?? []
  return paragraph.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/\s+/g, " ").trim()
}

export const guides = (readme = readFileSync(`${root}README.md`, "utf8")): ReadonlyArray<Guide> =>
  readme.slice(readme.indexOf("## Guides")).split(/^(?=\*\*)/m).flatMap((part) => {
    const [, section = ""] = /^\*\*(.*?)\*\*/.exec(part) ?? []
    return [...part.matchAll(/^- \[.*\]\((docs\/[^)#]*\.md)\)/gm)].map(([, path = ""]) => {
      const text = readFileSync(`${root}${path}`, "utf8")
      return { path, section, title: /^# (.*)/.exec(text)?.[1] ?? "", summary: paragraphOf(text), text }
    })
  })

/** `llms.txt` of the site: https://llmstxt.org. */
export const llmsText = (modules: ReadonlyArray<{ readonly name: string; readonly summary: string }>): string => {
  const all = guides()
  const list = (name: string, path: string, summary: string) => `- [${name}](${path})${summary && `: ${summary}`}`
  return [
    "# effect-dust",
    "",
    "> An Effect SDK for the Dust API: ask AI agents, stream their answers, and sync the knowledge that they use.",
    "",
    "Import each module from its own path (`effect-dust/Chat`). Peer dependencies: `effect` 3 and `@effect/platform` below 1.",
    "",
    ...[...new Set(all.map(({ section }) => section))].flatMap((section) => [
      `## ${section}`,
      "",
      ...all.filter((guide) => guide.section === section).map((guide) => list(guide.title, guide.path, guide.summary)),
      ""
    ]),
    "## Reference",
    "",
    ...modules.map(({ name, summary }) => list(name, `modules/${name}.html`, summary)),
    ""
  ].join("\n")
}

/** Every guide as one text, for models with a large context. */
export const fullText = (): string => guides().map(({ text }) => text.trim()).join("\n\n") + "\n"
