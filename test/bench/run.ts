/**
 * The speed of this SDK, as ratios to bare `fetch` with `JSON.parse` and to the official client, measured in one run.
 *
 * `npm run bench`: a table. `--json`: one line per figure. `--quick`: small sizes, for CI. Any other argument: only the
 * figures of that group: `paced`, `small`, `send`, `open` (what agents and applications really send), `streaming`, `large`,
 * `history`, `stop`, `read`, `flat`, `concurrent`, `import`.
 */
import { build } from "esbuild"
import { fork, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { type Figure, median, round } from "./measure.ts"

type Reported = Figure & { readonly vsBare?: number | undefined; readonly vsOfficial?: number | undefined }

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, "../..")
const out = join(root, "node_modules/.cache/effect-dust-bench")
const json = process.argv.includes("--json")
const quick = process.argv.includes("--quick")
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("--"))

const shared = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  alias: { "effect-dust": join(root, "src") },
  logLevel: "error"
} as const

// Measures the published form, plain JavaScript: a loader would add its own helpers.
const compile = async () => {
  await rm(out, { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  await build({
    ...shared,
    packages: "external",
    entryPoints: [join(here, "figures.ts"), join(here, "traffic.ts"), join(here, "server.ts")],
    outdir: out,
    outExtension: { ".js": ".mjs" }
  })
}

const show = (figure: Reported) => {
  if (json) {
    process.stdout.write(`${JSON.stringify(figure)}\n`)
    return
  }
  const missed = (figure.targets ?? []).filter((target) => !target.met)
  const cells = [
    missed.length === 0 ? " " : "!",
    figure.figure.padEnd(62),
    String(figure.ours).padStart(8),
    figure.unit.padEnd(29),
    (figure.vsBare === undefined ? "" : `${figure.vsBare} x`).padStart(8),
    (figure.vsOfficial === undefined ? "" : `${figure.vsOfficial} x`).padStart(9),
    missed.map((target) => target.text).join(", ")
  ]
  process.stdout.write(`${cells.join("  ").trimEnd()}\n`)
  if (figure.note !== undefined) process.stdout.write(`     ${figure.note}\n`)
}

const figures: Array<Reported> = []
const add = (figure: Reported) => {
  figures.push(figure)
  show(figure)
}

/** The groups of `traffic.ts`: what agents and applications really send. */
const traffic = ["paced", "small", "send", "open"]

const runGroup = async (group: string, baseUrl: string) => {
  const child = spawn(
    process.execPath,
    [
      "--expose-gc",
      join(out, traffic.includes(group) ? "traffic.mjs" : "figures.mjs"),
      group,
      baseUrl,
      ...(quick ? ["--quick"] : [])
    ],
    { stdio: ["ignore", "pipe", "inherit"] }
  )
  const exit = once(child, "exit")
  for await (const line of createInterface({ input: child.stdout })) add(JSON.parse(line))
  const [code] = await exit
  if (code !== 0) throw new Error(`the figures of ${group} could not be taken`)
}

const importTime = (file: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const code = `const start = performance.now(); await import(${
      JSON.stringify(file)
    }); console.log(performance.now() - start)`
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.on("data", (data) => text += data)
    child.on("close", (code) => code === 0 ? resolve(Number(text)) : reject(new Error(`cannot import ${file}`)))
  })

/** What it costs to import one service: time, and bytes of a bundle. */
const importing = async () => {
  const entry = join(out, "entry.ts")
  await writeFile(entry, `export * from "effect-dust/Conversations"\n`)
  const own = await build({
    ...shared,
    packages: "external",
    entryPoints: [entry],
    outfile: join(out, "own.mjs"),
    metafile: true
  })
  const needed = new Set(
    Object.values(own.metafile.outputs).flatMap((output) => output.imports.map((one) => one.path))
  )
  await writeFile(join(out, "needed.mjs"), [...needed].map((path) => `import ${JSON.stringify(path)}\n`).join(""))
  await writeFile(join(out, "official.mjs"), `import "@dust-tt/client"\n`)
  const times: Record<"own" | "needed" | "official", Array<number>> = { own: [], needed: [], official: [] }
  for (let i = 0; i < (quick ? 3 : 15); i++) {
    for (const name of ["own", "needed", "official"] as const) {
      times[name].push(await importTime(join(out, `${name}.mjs`)))
    }
  }
  add({
    figure: "import effect-dust/Conversations; bare: what it needs of Effect",
    unit: "ms",
    ours: round(median(times.own)),
    bare: round(median(times.needed)),
    official: round(median(times.official)),
    vsBare: round(median(times.own) / median(times.needed)),
    vsOfficial: round(median(times.official) / median(times.own)),
    targets: [{ text: "times bare <= 1.3", met: median(times.own) / median(times.needed) <= 1.3 }]
  })
  const bytes = async (contents: string, external: boolean) => {
    const { outputFiles } = await build({
      ...shared,
      minify: true,
      stdin: { contents, resolveDir: here, loader: "ts" },
      write: false,
      ...(external ? { packages: "external" as const } : {})
    })
    return gzipSync(outputFiles[0]!.contents).length / 1024
  }
  const all = await bytes(`export * from "effect-dust/Conversations"`, false)
  const mine = await bytes(`export * from "effect-dust/Conversations"`, true)
  const client = await bytes(`export { DustAPI } from "@dust-tt/client"`, false)
  add({
    figure: "bundle of effect-dust/Conversations; bare: its share of Effect",
    unit: "KiB gzip",
    ours: round(all),
    bare: round(all - mine),
    official: round(client),
    vsBare: round(all / (all - mine)),
    vsOfficial: round(client / all),
    note: "the budgets are kept by npm run size"
  })
}

await compile()
const server = fork(join(out, "server.mjs"), { execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] })
const [port] = await once(server, "message")
const baseUrl = `http://127.0.0.1:${port}`

if (!json) {
  process.stdout.write(
    `${"".padEnd(66)}${"here".padStart(8)}${"".padEnd(31)}${"of bare".padStart(8)}  ${"less than".padStart(9)}\n`
  )
  process.stdout.write(`${"".padEnd(116)}${"official".padStart(8)}\n`)
}
try {
  for (const group of [...traffic, "streaming", "large", "history", "stop", "read", "flat", "concurrent"]) {
    if (wanted.length === 0 || wanted.includes(group)) await runGroup(group, baseUrl)
  }
  if (wanted.length === 0 || wanted.includes("import")) await importing()
} finally {
  server.disconnect()
}
const missed = figures.flatMap((figure) => (figure.targets ?? []).filter((target) => !target.met))
if (!json) process.stdout.write(`\n${figures.length} figures, ${missed.length} targets missed\n`)
