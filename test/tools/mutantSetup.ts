/** In every worker of `mutants.ts`: which change holds, and which places the tests of a file reach. */
import { readFileSync, writeFileSync } from "node:fs"
import { afterAll } from "vitest"

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

if (reached !== undefined) afterAll(() => writeFileSync(reached, JSON.stringify([...ids])))
