/** Writes the table of operations into `docs/coverage.md`: `npm run docs:coverage`. */
import { readFileSync, writeFileSync } from "node:fs"
import { withTable } from "./coverage.ts"

const file = new URL("../../docs/coverage.md", import.meta.url)
const guide = readFileSync(file, "utf8")
const written = withTable(guide)

if (written === undefined) {
  console.error("docs/coverage.md has no <!-- coverage:start --> and <!-- coverage:end -->")
  process.exitCode = 1
} else if (written === guide) {
  console.log("docs/coverage.md is up to date")
} else {
  writeFileSync(file, written)
  console.log("docs/coverage.md was updated")
}
