/** Loads agents and seeds from files. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { AgentBehavior } from "../agent/steps.ts"
import type { AgentOptions } from "../domains/agents.ts"
import { isRecord } from "../state/check.ts"
import { agentCheck, seedCheck } from "../state/checkOptions.ts"
import type { Seed } from "../state/seed.ts"

/** An unusable file. The message contains its path and the requirement. */
export class ScenarioError extends Data.TaggedError("ScenarioError")<{ readonly message: string }> {}

export type Agents = Readonly<Record<string, AgentOptions | AgentBehavior>>

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
    const problem = agentCheck(agent, `the agent ${sId}`)
    if (problem !== undefined) return new ScenarioError({ message: `${path}: ${problem}` })
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
        catch: (cause) => new ScenarioError({ message: `${path} is not JSON: ${reason(cause)}` })
      })
    ),
    Effect.flatMap((seed) => {
      if (!isRecord(seed)) {
        return new ScenarioError({ message: `${path} must be an object, as the option seed of DustTest` })
      }
      const problem = seedCheck(seed, "")
      return problem === undefined
        ? Effect.succeed(seed as Seed)
        : new ScenarioError({ message: `${path}: ${problem}` })
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
