/** The runs of this process that may call a client-side tool, so that the span of the call belongs to them. */
import type * as Tracer from "effect/Tracer"

/** By the layer, and by the id of the server that the message listed. */
const open = new WeakMap<object, Map<string, Set<Tracer.Span>>>()

export const listServers = (owner: object, serverIds: ReadonlyArray<string>, run: Tracer.Span): void => {
  const servers = open.get(owner) ?? new Map<string, Set<Tracer.Span>>()
  open.set(owner, servers)
  for (const id of serverIds) servers.set(id, (servers.get(id) ?? new Set()).add(run))
}

export const forgetServers = (owner: object, serverIds: ReadonlyArray<string>, run: Tracer.Span): void => {
  const servers = open.get(owner)
  for (const id of serverIds) {
    const runs = servers?.get(id)
    runs?.delete(run)
    if (runs?.size === 0) servers?.delete(id)
  }
}

export const runsOf = (owner: object, serverId: string): ReadonlyArray<Tracer.Span> => [
  ...open.get(owner)?.get(serverId) ?? []
]
