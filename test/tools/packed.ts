/** The package as an application gets it: built, and installed beside a program. */
import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { promisify } from "node:util"
import { buildOnce } from "./build.ts"
import { root } from "./modules.ts"

const run = promisify(execFile)

export interface Packed {
  /** The installed package. */
  readonly directory: string
  /** Runs a program as a module in plain Node and returns its output. */
  readonly node: (program: string) => Promise<string>
  /** Compiles a program against the declarations of the package; gives what the compiler prints. */
  readonly compile: (program: string, options?: Readonly<Record<string, unknown>>) => Promise<string>
  readonly remove: () => void
}

export const packed = async (): Promise<Packed> => {
  // Below the repository, so that the peers are found.
  const cache = `${root}node_modules/.cache`
  mkdirSync(cache, { recursive: true })
  const application = mkdtempSync(`${cache}/effect-dust-`)
  const directory = `${application}/node_modules/effect-dust`
  mkdirSync(directory, { recursive: true })
  // Without a package of its own the program would be taken for a part of this repository.
  writeFileSync(`${application}/package.json`, JSON.stringify({ name: "application", private: true }))
  const { files }: { readonly files: ReadonlyArray<string> } = JSON.parse(readFileSync(`${root}package.json`, "utf8"))
  // npm adds the first three by itself; `dist` is built below.
  for (const name of ["package.json", "README.md", "LICENSE", ...files.filter((name) => name !== "dist")]) {
    cpSync(`${root}${name}`, `${directory}/${name}`, { recursive: true })
  }
  await buildOnce(`${directory}/dist`)
  const tsc = `${root}node_modules/typescript/bin/tsc`
  let programs = 0
  return {
    directory,
    node: async (program) => {
      const file = `${application}/program${++programs}.mjs`
      writeFileSync(file, program)
      return (await run(process.execPath, [file], { cwd: application })).stdout
    },
    compile: async (program, options) => {
      const name = `program${++programs}`
      writeFileSync(`${application}/${name}.mts`, program)
      writeFileSync(
        `${application}/${name}.json`,
        JSON.stringify({
          compilerOptions: {
            target: "ES2022",
            lib: ["ES2022", "DOM"],
            module: "NodeNext",
            moduleResolution: "NodeNext",
            strict: true,
            exactOptionalPropertyTypes: true,
            skipLibCheck: true,
            noEmit: true,
            types: [],
            ...options
          },
          files: [`${name}.mts`]
        })
      )
      const { stdout } = await run(
        process.execPath,
        [tsc, "-p", `${application}/${name}.json`, "--extendedDiagnostics"]
      ).catch((error: { readonly stdout: string }) => {
        throw new Error(error.stdout)
      })
      return stdout
    },
    remove: () => rmSync(application, { recursive: true, force: true })
  }
}
