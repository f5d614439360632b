import * as Predicate from "effect/Predicate"
import type { Citation } from "../../ChatEvent.ts"
import type { AgentAction } from "../../Message.ts"

const stringOf = (value: unknown, ...keys: ReadonlyArray<string>): string | null => {
  for (const key of keys) {
    if (Predicate.hasProperty(value, key) && typeof value[key] === "string" && value[key] !== "") return value[key]
  }
  return null
}

/** The tool results that the text can cite: search and web results, including those of sub-agents. */
export const citationsOf = (actions: ReadonlyArray<AgentAction>): ReadonlyArray<Citation> => {
  const citations = new Map<string, Citation>()
  for (const action of actions) {
    for (const block of action.output ?? []) {
      const resource = block["resource"]
      const ref = stringOf(resource, "ref", "reference")
      if (ref !== null) {
        const source = Predicate.hasProperty(resource, "source") ? resource.source : undefined
        citations.set(ref, {
          ref,
          title: stringOf(resource, "title", "text"),
          url: stringOf(resource, "uri"),
          provider: stringOf(source, "provider") ??
            (stringOf(resource, "mimeType")?.includes("websearch") === true ? "web" : null)
        })
      }
      const refs = Predicate.hasProperty(resource, "refs") ? resource.refs : undefined
      if (!Predicate.isRecord(refs)) continue
      for (const [ref, value] of Object.entries(refs)) {
        citations.set(ref, {
          ref,
          title: stringOf(value, "title"),
          url: stringOf(value, "href"),
          provider: stringOf(value, "provider")
        })
      }
    }
  }
  return [...citations.values()]
}
