/** Markdown extensions in agent messages (citations, mentions, visualizations), parsed as in Dust's own interface. */

export interface Directives {
  /** The text without directives: `@name` for a mention, `[1]` for a citation. */
  readonly text: string
  /** The cited references; `[1]` is the first one. */
  readonly citations: ReadonlyArray<string>
  readonly mentions: ReadonlyArray<{ readonly type: "agent" | "user"; readonly id: string; readonly name: string }>
  /** The code of each visualization. */
  readonly visualizations: ReadonlyArray<string>
}

/**
 * Alternatives in order of precedence: visualization, fenced code, inline code, directive. Code contains no directives.
 * A visualization or code block that is still being written has no end yet.
 */
const syntax =
  /^:::visualization[^\n]*\n([\s\S]*?)(?:^:::[ \t]*(?:\n|$)|$(?![\s\S]))|^(`{3,}|~{3,})[\s\S]*?(?:^\2[^\n]*$|$(?![\s\S]))|`[^`\n]*`|:(cite|mention|mention_user)\[([^\]\n]*)\](?:\{([^}\n]*)\})?/gm

export const readDirectives = (markdown: string): Directives => {
  const citations: Array<string> = []
  const mentions: Array<Directives["mentions"][number]> = []
  const visualizations: Array<string> = []
  const cite = (reference: string): string => {
    let index = citations.indexOf(reference)
    if (index < 0) index = citations.push(reference) - 1
    return `[${index + 1}]`
  }
  const text = markdown.replace(
    syntax,
    (
      whole: string,
      visualization: string | undefined,
      _fence: string | undefined,
      name: string | undefined,
      label = "",
      attributes = ""
    ) => {
      if (visualization !== undefined) {
        visualizations.push(visualization.trimEnd())
        return ""
      }
      if (name === undefined) return whole
      if (name === "cite") {
        return label.split(",").map((one: string) => one.trim()).filter((one: string) => one !== "").map(cite).join("")
      }
      const id = /(?:^|\s)sId="?([^\s"]*)/.exec(attributes)?.[1] ?? ""
      mentions.push({ type: name === "mention" ? "agent" : "user", id, name: label })
      return `@${label}`
    }
  )
  return { text, citations, mentions, visualizations }
}
