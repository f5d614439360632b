/** Runs one test file at a time for `mutants.ts`, in a process that it may kill, over one server that keeps transforms. */
import { writeFileSync } from "node:fs"
import { createVitest } from "vitest/node"

/** How often a test reaches each place. */
export interface Reached {
  readonly name: string
  readonly milliseconds: number
  readonly places: ReadonlyArray<readonly [number, number]>
}

export interface Job {
  readonly file: string
  /** The tests to run; all by default. */
  readonly names?: ReadonlyArray<string>
  readonly active: number
  /** Where the reached changes go, when none is active. */
  readonly reached?: string
}

export interface Outcome {
  readonly passed: boolean
  readonly milliseconds: number
}

const root = process.argv[2] ?? "."

const vitest = await createVitest("test", {
  root,
  config: `${root}/vitest.config.ts`,
  watch: false,
  reporters: [{}],
  setupFiles: [`${root}/test/support/setup.ts`, `${root}/test/tools/mutantSetup.ts`],
  maxWorkers: 1,
  minWorkers: 1
}, { cacheDir: `${root}/.vite`, logLevel: "silent" })

const patternOf = (names: ReadonlyArray<string>): RegExp =>
  new RegExp(`^(?:${names.map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})$`)

const run = async ({ active, file, names, reached }: Job): Promise<Outcome> => {
  if (names === undefined) vitest.resetGlobalTestNamePattern()
  else vitest.setGlobalTestNamePattern(patternOf(names))
  writeFileSync(`${root}/mutants.json`, JSON.stringify({ active, reached }))
  // Failures of an earlier run would count as those of this one.
  vitest.state.filesMap.clear()
  vitest.state.idMap.clear()
  vitest.config.bail = reached === undefined ? 1 : 0
  const start = performance.now()
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications([
    vitest.getRootProject().createSpecification(`${root}/${file}`)
  ])
  const passed = unhandledErrors.length === 0 && testModules.length === 1 && testModules[0]?.ok() === true
  return { passed, milliseconds: performance.now() - start }
}

process.on("message", (job: Job) => void run(job).then((outcome) => process.send?.(outcome)))
process.send?.("ready")
