/** In every worker of `mutants.ts`: which change holds, and which places each test of a file reaches. */
import { readFileSync, writeFileSync } from "node:fs"
import { afterAll, afterEach, beforeEach, type RunnerTask } from "vitest"
import type { Reached } from "./mutantRunner.ts"

const { active, reached } = JSON.parse(
  readFileSync(new URL("../../mutants.json", import.meta.url), "utf8")
) as { readonly active: number; readonly reached?: string }

const ids = new Map<number, number>()
Object.assign(globalThis, {
  mutant: reached === undefined
    ? (id: number) => id === active
    : (id: number) => {
      ids.set(id, (ids.get(id) ?? 0) + 1)
      return false
    }
})

/** As Vitest compares it with a pattern. */
const nameOf = (task: RunnerTask): string => task.suite === undefined ? task.name : `${nameOf(task.suite)} ${task.name}`

if (reached !== undefined) {
  const tests: Array<Reached> = []
  /** What the file itself reaches when it is loaded counts for all its tests. */
  let loaded: ReadonlyArray<readonly [number, number]> | undefined
  let start = 0
  beforeEach(() => {
    if (loaded === undefined) {
      loaded = [...ids]
      ids.clear()
    }
    start = performance.now()
  })
  afterEach(({ task }) => {
    // A test that also fails without the change is not evidence.
    if (task.result?.state !== "fail") {
      tests.push({ name: nameOf(task), milliseconds: performance.now() - start, places: [...ids] })
    }
    ids.clear()
  })
  afterAll(() => writeFileSync(reached, JSON.stringify({ loaded, tests })))
}
