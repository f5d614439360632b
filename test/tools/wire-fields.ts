/**
 * Writes the names that models, requests and answers have on the wire: `npx tsx test/tools/wire-fields.ts`. Read the diff: each new name has to be
 * one that Dust's server sends or reads, and a changed one is probably a mistake.
 */
import { writeFileSync } from "node:fs"
import { ours } from "../support/fields.ts"
import { models } from "../support/models.ts"
import { operations } from "../support/operations.ts"

const lines = [...models, ...operations].map(([name, schema]) => {
  const fields = new Set([...ours(schema)].map((path) => path.split(".").at(-1)!))
  fields.delete("*")
  return `  ${JSON.stringify(name)}: ${JSON.stringify([...fields].sort().join(" "))}`
})

writeFileSync(new URL("../fixtures/wire-fields.json", import.meta.url), `{\n${lines.sort().join(",\n")}\n}\n`)
