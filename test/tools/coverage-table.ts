/** Writes the table of operations into the README: `npm run docs:coverage`. */
import { readFileSync, writeFileSync } from "node:fs"
import { withTable } from "./coverage.ts"

const file = new URL("../../README.md", import.meta.url)
const readme = readFileSync(file, "utf8")
const written = withTable(readme)

if (written === undefined) {
  console.error("README.md has no <!-- coverage:start --> and <!-- coverage:end -->")
  process.exitCode = 1
} else if (written === readme) {
  console.log("README.md is up to date")
} else {
  writeFileSync(file, written)
  console.log("README.md was updated")
}
