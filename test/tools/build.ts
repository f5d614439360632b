/**
 * Builds `dist`: a module and its declarations for each of `src`, and the command line as one file with all it needs.
 *
 *     npx tsx test/tools/build.ts [folder]
 */
import { build as bundle, transform } from "esbuild"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { root, sources } from "./modules.ts"

const run = promisify(execFile)

/**
 * The compiler copies the type of `Data.TaggedError` into declarations, with a name that effect has since 3.19.20 only. It means
 * its argument, unless an error has no fields.
 */
const constructorOfNow = /import\("effect\/Types"\)\.VoidIfEmpty<(\{[^{}]*\})>/g

const relative = /(?:from\s*|import\s*\(?\s*)"(\.[^"]+)"/g

/** The files that the public modules import. The others belong to the command line, or declare what no program can meet. */
const reached = (folder: string, extension: ".js" | ".d.ts"): ReadonlySet<string> => {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, path = ""] of readFileSync(file, "utf8").matchAll(relative)) {
      visit(join(dirname(file), path.replace(/\.[jt]s$/, extension)))
    }
  }
  for (const name of readdirSync(folder)) if (name.endsWith(extension)) visit(join(folder, name))
  return seen
}

const removeUnreached = (folder: string): void => {
  const kept = new Set([...reached(folder, ".js"), ...reached(folder, ".d.ts")])
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (/\.(js|d\.ts)$/.test(name) && !kept.has(join(folder, name))) rmSync(join(folder, name))
  }
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).toSorted().toReversed()) {
    const path = join(folder, name)
    if (statSync(path).isDirectory() && readdirSync(path).length === 0) rmdirSync(path)
  }
}

/** Modules and declarations. Comments stay in the declarations, where editors read them. */
const modules = async (folder: string) => {
  const tsc = `${root}node_modules/typescript/bin/tsc`
  await run(process.execPath, [tsc, "-p", `${root}tsconfig.build.json`, "--outDir", folder]).catch(
    (error: { readonly stdout: string }) => {
      throw new Error(error.stdout)
    }
  )
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const file = `${folder}/${name}`
    if (name.endsWith(".d.ts")) {
      writeFileSync(file, readFileSync(file, "utf8").replace(constructorOfNow, "$1"))
    } else if (name.endsWith(".js")) {
      const { code } = await transform(readFileSync(file, "utf8"), { target: "es2022", legalComments: "none" })
      writeFileSync(file, code)
    }
  }
  removeUnreached(folder)
}

/** The packages that are in the bundle, with their licenses. */
const licensesOf = (inputs: ReadonlyArray<string>): string => {
  const folders = new Set(inputs.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []))
  return [...folders].toSorted().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(`${root}${folder}/package.json`, "utf8"))
    const license = readdirSync(`${root}${folder}`).find((file) => /^licen[cs]e/i.test(file))
    if (license === undefined) throw new Error(`${name} has no license file`)
    return `${name} ${version}\n\n${readFileSync(`${root}${folder}/${license}`, "utf8").trim()}\n`
  }).join(`\n${"-".repeat(80)}\n\n`)
}

/** `internal/bin.js`, for Node alone. */
export const buildCommandLine = async (folder: string): Promise<void> => {
  const outfile = `${folder}/internal/bin.js`
  const { metafile } = await bundle({
    entryPoints: [`${root}src/internal/bin.ts`],
    absWorkingDir: root,
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node20",
    legalComments: "none",
    metafile: true,
    logLevel: "silent"
  })
  chmodSync(outfile, 0o755)
  writeFileSync(`${dirname(outfile)}/bin.licenses.txt`, licensesOf(Object.keys(metafile.inputs)))
}

export const build = async (folder: string): Promise<void> => {
  rmSync(folder, { recursive: true, force: true })
  await modules(folder)
  await buildCommandLine(folder)
}

/** What a build depends on. */
const inputs = (): string => {
  const hash = createHash("sha256")
  for (const { name, text } of sources) hash.update(name).update(text)
  for (const name of ["package-lock.json", "tsconfig.json", "tsconfig.build.json", "test/tools/build.ts"]) {
    hash.update(readFileSync(`${root}${name}`))
  }
  return hash.digest("hex").slice(0, 16)
}

/** The same as `build`, but copies an earlier build of the same sources. For tests, of which several need one. */
export const buildOnce = async (folder: string): Promise<void> => {
  const cache = `${root}node_modules/.cache`
  const kept = `${cache}/effect-dust-build-${inputs()}`
  if (!existsSync(kept)) {
    mkdirSync(cache, { recursive: true })
    for (const name of readdirSync(cache)) {
      // Another process may have just finished this one.
      if (!name.startsWith("effect-dust-build-") || name === basename(kept)) continue
      rmSync(`${cache}/${name}`, { recursive: true, force: true })
    }
    const fresh = mkdtempSync(`${cache}/effect-dust-fresh-`)
    await build(`${fresh}/dist`)
    try {
      renameSync(`${fresh}/dist`, kept)
    } catch (error) {
      // Unless another process was quicker.
      if (!existsSync(kept)) throw error
    }
    rmSync(fresh, { recursive: true, force: true })
  }
  cpSync(kept, folder, { recursive: true })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build(process.argv[2] ?? `${root}dist`)
