/** What a bundle has in it. */
import { build } from "esbuild"
import { gzipSync } from "node:zlib"
import { importsOf, root, sources } from "./modules.ts"

export interface Bundle {
  /** Bytes, minified and compressed. */
  readonly gzip: number
  /** The files below `src` that have code in it. */
  readonly own: ReadonlyArray<string>
}

const common = {
  bundle: true,
  write: false,
  minify: true,
  format: "esm",
  platform: "node",
  target: "node20",
  metafile: true,
  logLevel: "silent",
  absWorkingDir: root,
  tsconfig: `${root}tsconfig.json`
} as const

const filesIn = (inputs: Readonly<Record<string, { readonly bytesInOutput: number }>>): ReadonlyArray<string> =>
  Object.entries(inputs).flatMap(([name, { bytesInOutput }]) =>
    name.startsWith("src/") && bytesInOutput > 0 ? [name.slice("src/".length)] : []
  )

export const bundle = async (program: string): Promise<Bundle> => {
  const { metafile, outputFiles } = await build({
    ...common,
    stdin: { contents: program, resolveDir: `${root}test`, sourcefile: "program.ts", loader: "ts" }
  })
  return {
    gzip: gzipSync(outputFiles[0]?.contents ?? new Uint8Array(), { level: 9 }).length,
    own: filesIn(Object.values(metafile.outputs)[0]?.inputs ?? {})
  }
}

/** For each module alone: the files below `src` that have code in a bundle of it. */
export const ownOf = async (modules: ReadonlyArray<string>): Promise<ReadonlyMap<string, ReadonlyArray<string>>> => {
  const { metafile } = await build({
    ...common,
    entryPoints: modules.map((name) => `${root}src/${name}.ts`),
    outdir: `${root}unwritten`
  })
  return new Map(
    Object.entries(metafile.outputs).map(([file, { inputs }]) => [file.replace(/^.*\/|\.js$/g, ""), filesIn(inputs)])
  )
}

/** The smallest program that calls a method of a service. */
export const smallest = (module: string, method = "get"): string => `
  import * as Effect from "effect/Effect"
  import { ${module} } from "effect-dust/${module}"
  console.log(Effect.flatMap(${module}, (service) => service.${method}))
`

/** A program with nothing but what these files use of Effect and its platform. */
export const effectOf = (files: ReadonlyArray<string>): string => {
  const used = new Map<string, Set<string>>()
  for (const file of sources.filter(({ name }) => files.includes(name))) {
    const code = file.text.replace(/\/\*[\s\S]*?\*\//g, "")
    for (const { specifier, typeOnly } of importsOf(file)) {
      const name = new RegExp(`^import \\* as (\\w+) from "${specifier}"`, "m").exec(code)?.[1]
      if (typeOnly || name === undefined || !/^(effect|@effect\/platform)\//.test(specifier)) continue
      const members = used.get(specifier) ?? new Set()
      used.set(specifier, members)
      for (const [, member = ""] of code.matchAll(new RegExp(`\\b${name}\\.(\\w+)`, "g"))) members.add(member)
    }
  }
  const modules = [...used]
  return [
    ...modules.map(([specifier], i) => `import * as _${i} from "${specifier}"`),
    `console.log(${modules.flatMap(([, members], i) => [...members].map((member) => `_${i}.${member}`)).join(", ")})`
  ].join("\n")
}
