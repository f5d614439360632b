/** Loads agents and seeds from files. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { AgentBehavior } from "../agent/steps.ts"
import type { AgentOptions } from "../domains/agents.ts"
import type { Seed } from "../state/seed.ts"
import { nearest } from "./quirks.ts"

/** An unusable file. The message contains its path and the requirement. */
export class ScenarioError extends Data.TaggedError("ScenarioError")<{ readonly message: string }> {}

export type Agents = Readonly<Record<string, AgentOptions | AgentBehavior>>

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isSteps = (value: unknown): boolean =>
  Array.isArray(value) && value.every((step: unknown) => isRecord(step) && typeof step["_tag"] === "string")

/** Accepts steps, a text, a function or a stream; functions and streams are not evaluated. */
const isBehavior = (value: unknown): boolean =>
  typeof value === "string" || typeof value === "function" || isSteps(value) ||
  (typeof value === "object" && value !== null && "channel" in value)

const isAgent = (value: unknown): boolean =>
  isBehavior(value) || (isRecord(value) && (value["script"] === undefined || isBehavior(value["script"])))

const agentsOf = (module: unknown, path: string): Effect.Effect<Agents, ScenarioError> => {
  const found = isRecord(module) || typeof module === "object"
    ? (module as Readonly<Record<string, unknown>>)["agents"] ??
      (module as Readonly<Record<string, unknown>>)["default"]
    : undefined
  if (!isRecord(found)) {
    return new ScenarioError({
      message: `${path} must export its agents: export default { helper: "I can help" }, or a const named agents`
    })
  }
  for (const [sId, agent] of Object.entries(found)) {
    if (!isAgent(agent)) {
      return new ScenarioError({
        message:
          `${path}: the agent ${sId} must be a text, an array of steps (DustTest.text, DustTest.tool, …), a function of `
          + `the message, or an object with such a script`
      })
    }
  }
  // Functions and streams cannot be checked further without running them.
  return Effect.succeed(found as Agents)
}

const reason = (cause: unknown): string => cause instanceof Error ? cause.message.split("\n")[0]! : String(cause)

const advice = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && cause.code === "ERR_UNKNOWN_FILE_EXTENSION"
    ? "; Node reads TypeScript from 22.18 on, an older one needs a .js file or node --import tsx"
    : ""

/** Reloads a module when `version` changes. Its own imports are loaded only once. */
export const loadAgents = (path: string, version: string): Effect.Effect<Agents, ScenarioError> =>
  Effect.tryPromise({
    try: async (): Promise<unknown> => {
      const { pathToFileURL } = await import("node:url")
      const url = pathToFileURL(path)
      url.searchParams.set("version", version)
      return await import(/* @vite-ignore */ url.href) as unknown
    },
    catch: (cause) => new ScenarioError({ message: `${path} cannot be loaded: ${reason(cause)}${advice(cause)}` })
  }).pipe(Effect.flatMap((module) => agentsOf(module, path)))

const seedFields: { readonly [K in keyof Required<Seed>]: "list" | "object" } = {
  agentTags: "list",
  analytics: "object",
  apps: "list",
  conversations: "list",
  dataSources: "list",
  files: "list",
  search: "object",
  skills: "list",
  spaces: "list",
  triggers: "object"
}

const isObjects = (value: unknown): boolean => Array.isArray(value) && value.every(isRecord)

export const loadSeed = (files: FileSystem.FileSystem, path: string): Effect.Effect<Seed, ScenarioError> =>
  files.readFileString(path).pipe(
    Effect.mapError((error) =>
      new ScenarioError({
        message: `${path} cannot be read: ${
          error._tag === "SystemError" && error.reason === "NotFound" ? "no such file" : error.message
        }`
      })
    ),
    Effect.flatMap((text) =>
      Effect.try({
        try: () => JSON.parse(text) as unknown,
        catch: (cause) => new ScenarioError({ message: `${path} is no JSON: ${reason(cause)}` })
      })
    ),
    Effect.flatMap((seed) => {
      if (!isRecord(seed)) {
        return new ScenarioError({ message: `${path} must be an object, as the option seed of DustTest` })
      }
      const all = Object.keys(seedFields)
      const unknown = Object.keys(seed).find((field) => !all.includes(field))
      if (unknown !== undefined) {
        return new ScenarioError({
          message: `${path}: ${unknown} is no part of a seed; the nearest are ${nearest(unknown, all)}`
        })
      }
      for (const [field, kind] of Object.entries(seedFields)) {
        if (seed[field] === undefined || (kind === "list" ? isObjects(seed[field]) : isRecord(seed[field]))) continue
        return new ScenarioError({
          message: `${path}: ${field} must be ${kind === "list" ? "a list of objects" : "an object"}`
        })
      }
      return Effect.succeed(seed as Seed)
    })
  )

/** A version that changes with the file. */
export const versionOf = (files: FileSystem.FileSystem, path: string): Effect.Effect<string, ScenarioError> =>
  files.stat(path).pipe(
    Effect.map(({ mtime, size }) =>
      `${Option.match(mtime, { onNone: () => 0, onSome: (at) => at.getTime() })}-${size}`
    ),
    Effect.mapError(() => new ScenarioError({ message: `${path} cannot be read: no such file` }))
  )
