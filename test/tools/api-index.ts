/** What `src/index.ts` has to be: every public module by name, except those that are for tests or need an optional peer. */
import { writeFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { publicModules, root, byPathOnly } from "./modules.ts"

const byName = (a: string, b: string) => a.toLowerCase() < b.toLowerCase() ? -1 : 1

export const apiIndex = publicModules
  .filter((name) => !byPathOnly.includes(name))
  .toSorted(byName)
  .map((name) => `export * as ${name} from "./${name}.ts"\n`)
  .join("")

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(`${root}src/index.ts`, apiIndex)
