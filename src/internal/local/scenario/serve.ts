/** Serves Local Dust on a port, with agents and a seed from files, and a page that shows its state. */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import { type DustTestServeError, listen } from "../server/node.ts"
import { DustTestOptionsError } from "../state/check.ts"
import type { Control } from "../state/control.ts"
import { defaultPlace, makeWorkspace } from "../state/workspace.ts"
import { type Agents, loadAgents, loadSeed, ScenarioError, versionOf } from "./files.ts"
import { parseQuirks } from "./quirks.ts"
import { viewPath, withView } from "./view.ts"

export interface ScenarioOptions {
  readonly port: number
  readonly host: string
  readonly pace: Duration.DurationInput
  readonly limits: boolean
  /** A module that exports agents; reloaded when it changes. */
  readonly agents?: string | undefined
  /** A JSON file with the seed. */
  readonly seed?: string | undefined
  /** Quirks such as `doneFrame=false`. */
  readonly quirks: ReadonlyArray<string>
  /** Called after each reload of the agents, whether it succeeded or failed. */
  readonly onReload: (message: string) => Effect.Effect<void>
  /** Polling interval of the agents file. */
  readonly watchEvery?: Duration.DurationInput | undefined
}

export interface Served {
  readonly control: Control
  /** URL of the page; `undefined` if other machines could reach it. */
  readonly view: string | undefined
  /** The agents' ids. */
  readonly agents: ReadonlyArray<string>
  /** Whether other machines can reach the server. */
  readonly isPublic: boolean
}

const MiB = 1024 * 1024

/** Body limit: large enough for interactive use, and protects the memory. */
const requestSize = 64 * MiB

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host)

/**
 * Polls the file until the scope closes. A file that is still being written is not read: a version counts once two looks
 * have seen it. If it cannot be loaded, the agents remain unchanged.
 */
const watching = (
  path: string,
  first: string,
  control: Control,
  files: FileSystem.FileSystem,
  { onReload, watchEvery }: ScenarioOptions
): Effect.Effect<never> => {
  let known = first
  let seen = first
  const look = Effect.gen(function*() {
    const version = yield* versionOf(files, path)
    const settled = version === seen
    seen = version
    if (version === known || !settled) return
    known = version
    const agents = yield* loadAgents(path, version)
    for (const [sId, agent] of Object.entries(agents)) yield* control.setAgent(sId, agent)
    yield* onReload(`Loaded ${path} again: ${Object.keys(agents).join(", ")}`)
  }).pipe(
    // Editors remove a file before they replace it.
    Effect.catchAll(({ message }) =>
      message.endsWith("no such file") ? Effect.void : onReload(`Not loaded: ${message}`)
    )
  )
  return Effect.forever(Effect.delay(look, watchEvery ?? "500 millis"))
}

export const serveScenario = (
  options: ScenarioOptions
): Effect.Effect<Served, ScenarioError | DustTestServeError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const quirks = parseQuirks(options.quirks)
    if (Either.isLeft(quirks)) return yield* new ScenarioError({ message: quirks.left })
    const seed = options.seed === undefined ? undefined : yield* loadSeed(files, options.seed)
    const path = options.agents === undefined
      ? undefined
      : yield* Effect.promise(async () => (await import("node:path")).resolve(options.agents!))
    const version = path === undefined ? "" : yield* versionOf(files, path)
    const agents: Agents = path === undefined ? {} : yield* loadAgents(path, version)
    const place = defaultPlace()
    const workspace = yield* makeWorkspace({
      pace: options.pace,
      limits: options.limits ? { requestSize } : noRates,
      quirks: quirks.right,
      seed,
      agents
    }, place).pipe(
      Effect.catchAllDefect((defect) =>
        defect instanceof DustTestOptionsError
          ? new ScenarioError({
            message: `${options.seed ?? "the seed"}: ${defect.message.replace("Local Dust: ", "")}`
          })
          : Effect.die(defect)
      )
    )
    const isLocal = isLoopback(options.host)
    const handle = yield* withView(workspace, isLocal)
    yield* listen(handle, place, { port: options.port, host: options.host })
    const { control } = workspace
    if (path !== undefined) yield* Effect.forkScoped(watching(path, version, control, files, options))
    return {
      control,
      view: isLocal ? `${control.url}${viewPath}` : undefined,
      agents: [...new Set(["dust", "echo", ...Object.keys(agents)])],
      isPublic: !isLocal
    }
  })

const noRates = {
  requestSize,
  messagesPerMinute: Infinity,
  messagesPerHour: Infinity,
  upsertsPerMinute: Infinity,
  uploadsPerMinute: Infinity
}
