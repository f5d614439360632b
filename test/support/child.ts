/** Programs of the tests that run in a process of their own, so that it can be killed. */
import { Effect } from "effect"
import { build, type BuildOptions } from "esbuild"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The options of every bundle: the sources of the package, and its dependencies as they are installed. */
export const bundling = {
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
} satisfies BuildOptions

/** A new folder below the repository, so that programs in it find its packages. */
export const newFolder = (name: string): string => {
  const cache = `${root}node_modules/.cache`
  mkdirSync(cache, { recursive: true })
  return mkdtempSync(`${cache}/${name}-`)
}

/** Bundles a file of `test/support` into a new folder, which it returns. */
export const compile = async (name: string, options: BuildOptions = {}): Promise<string> => {
  const folder = newFolder(name)
  await build({
    ...bundling,
    ...options,
    entryPoints: [`${root}test/support/${name}.ts`],
    outfile: `${folder}/child.mjs`
  })
  return folder
}

export interface Ended {
  readonly signal: string | undefined
  readonly output: string
  readonly errors: string
}

/** Runs a compiled program until it ends; it is killed if it takes longer than 100 seconds. */
export const run = (folder: string, options: object): Effect.Effect<Ended> =>
  Effect.async((resume) => {
    execFile(
      process.execPath,
      [`${folder}/child.mjs`, JSON.stringify(options)],
      { timeout: 100_000 },
      (error, stdout, stderr) =>
        resume(Effect.succeed({ signal: error?.signal ?? undefined, output: stdout, errors: stderr }))
    )
  })
