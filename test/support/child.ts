/** Programs of the tests that run in a process of their own, so that it can be killed. */
import { Effect } from "effect"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Bundles a file of `test/support` with the sources of the package into a new folder, which it returns. */
export const compile = async (name: string): Promise<string> => {
  const cache = `${root}node_modules/.cache`
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(`${cache}/${name}-`)
  await build({
    entryPoints: [`${root}test/support/${name}.ts`],
    outfile: `${folder}/child.mjs`,
    bundle: true,
    packages: "external",
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "silent",
    plugins: [{
      name: "source",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^effect-dust(\/|$)/ }, ({ path }) => ({
          path: `${root}src/${path.slice("effect-dust/".length) || "index"}.ts`
        }))
    }]
  })
  return folder
}

export interface Ended {
  readonly signal: string | undefined
  readonly output: string
  readonly errors: string
}

/** Runs a compiled program until it ends; it is killed if it takes longer than a minute. */
export const run = (folder: string, options: object): Effect.Effect<Ended> =>
  Effect.async((resume) => {
    execFile(
      process.execPath,
      [`${folder}/child.mjs`, JSON.stringify(options)],
      { timeout: 60_000 },
      (error, stdout, stderr) =>
        resume(Effect.succeed({ signal: error?.signal ?? undefined, output: stdout, errors: stderr }))
    )
  })
