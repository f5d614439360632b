/** Every model of the wire that the SDK exports, by module and name. */
import { Schema } from "effect"
import * as SDK from "effect-dust"
import { ours } from "./fields.ts"

/** Not of the wire: the SDK's own errors, events of chats, ids, and Local Dust. */
const own = new Set(["Chat", "ChatEvent", "Dust", "DustAPIError", "DustClient", "DustConfig", "DustTest", "Ids"])
const ownModels = new Set(["AgentMessageEvent.UnknownEvent", "App.UnknownRunEvent", "McpServers.ToolError"])

const schemasIn = (name: string, value: unknown): ReadonlyArray<readonly [string, Schema.Schema.All]> => {
  if (Schema.isSchema(value)) return [[name, value as Schema.Schema.All]]
  // Some modules export a record of schemas.
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    Schema.isSchema(inner) ? [[`${name}.${key}`, inner as Schema.Schema.All] as const] : []
  )
}

export const models: ReadonlyArray<readonly [name: string, schema: Schema.Schema.All]> = Object.entries(SDK)
  .filter(([module]) => !own.has(module))
  .flatMap(([module, members]) =>
    Object.entries(members).flatMap(([name, value]) => schemasIn(`${module}.${name}`, value))
  )
  .filter(([name, schema]) => !ownModels.has(name) && ours(schema).size > 0)
