import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import type { Service as Agents } from "../../Agents.ts"
import type { RequestError } from "../../DustAPIError.ts"
import type { Caller } from "../../DustClient.ts"
import type { AgentId } from "../../Ids.ts"
import { badInput } from "../request/errors.ts"
import { identity } from "./identity.ts"

export type Ref = AgentId | { readonly name: string }

const remembered = 60_000
const most = 256

interface Known {
  readonly id: AgentId
  readonly until: number
}

/** The name, for an agent referenced by name. */
export const nameOf = (agent: Ref): string | undefined => {
  if (typeof agent === "object" && agent !== null) return typeof agent.name === "string" ? agent.name : ""
  return typeof agent === "string" && agent.startsWith("@") ? agent.slice(1) : undefined
}

/**
 * Resolves agent references to ids. Each name is cached for a minute per credential, because another credential may see
 * other agents.
 */
export const makeAgentIds = (
  agents: Agents,
  caller: Effect.Effect<Caller>
): (method: string, agent: Ref) => Effect.Effect<AgentId, RequestError> => {
  const memories = MutableHashMap.empty<Caller, Map<string, Known>>()
  const memoryOf = (owner: Caller): Map<string, Known> =>
    Option.getOrElse(MutableHashMap.get(memories, owner), () => {
      if (MutableHashMap.size(memories) >= most) MutableHashMap.clear(memories)
      const memory = new Map<string, Known>()
      MutableHashMap.set(memories, owner, memory)
      return memory
    })

  const find = (name: string): Effect.Effect<AgentId, RequestError> => {
    const wanted = name.trim().normalize("NFC")
    if (wanted === "") return Effect.map(agents.findByName(name), ({ sId }) => sId)
    return agents.search(wanted).pipe(
      // The search is only a shortcut: after a permanent failure, the full list decides.
      Effect.catchAll((error) => error.isRetryable ? Effect.fail(error) : Effect.succeed([])),
      Effect.flatMap((found) => {
        const exact = found.filter((agent) => agent.name.normalize("NFC") === wanted)
        return exact.length === 1
          ? Effect.succeed(exact[0]!.sId)
          : Effect.map(agents.findByName(wanted), ({ sId }) => sId)
      })
    )
  }

  return (method, agent) => {
    const name = nameOf(agent)
    if (name === undefined) {
      return typeof agent === "string" && agent.trim() !== ""
        ? Effect.succeed(agent)
        : Effect.fail(badInput(identity(method), "agent", "a non-blank id, or { name }"))
    }
    return Effect.flatMap(Effect.zip(caller, Clock.currentTimeMillis), ([owner, now]) => {
      const memory = memoryOf(owner)
      const known = memory.get(name)
      if (known !== undefined && known.until > now) return Effect.succeed(known.id)
      return Effect.map(find(name), (id) => {
        if (memory.size >= most) memory.clear()
        memory.set(name, { id, until: now + remembered })
        return id
      })
    })
  }
}
