/** Gives every package of package-lock.json its integrity, from the registry that npm is configured with, and no address. */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { root } from "./modules.ts"

interface Locked {
  readonly packages: Record<string, { version?: string; integrity?: string; resolved?: string; link?: boolean }>
}

const file = `${root}package-lock.json`
const lock: Locked = JSON.parse(readFileSync(file, "utf8"))
for (const [path, one] of Object.entries(lock.packages)) {
  delete one.resolved
  if (path === "" || one.link === true || one.integrity !== undefined) continue
  const name = `${path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)}@${one.version}`
  try {
    one.integrity = execFileSync("npm", ["view", name, "dist.integrity"], { encoding: "utf8", stdio: "pipe" }).trim()
    console.log(`${name} ${one.integrity}`)
  } catch {
    // Binaries for other platforms are not in every mirror.
    console.log(`${name} is not in this registry`)
  }
}
writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`)
