/**
 * Changes the core at random and looks whether a test notices: `npm run mutants -- --seed 1 --count 40`. Folders or
 * files as arguments restrict it. Every change that type-checks is run against the tests that reach it, the most
 * specific files first and slow tests last, up to `--budget` seconds of tests; what escapes is printed. It works on a
 * copy outside the repository.
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { parseArgs } from "node:util"
import ts from "typescript"
import { root } from "./modules.ts"
import type { Job, Outcome, Reached } from "./mutantRunner.ts"
import { changed, type Site, sitesOf, switched } from "./mutantSites.ts"

const core = ["request", "stream", "chat", "decode", "input", "data", "telemetry", "util", "mcp"].map((name) =>
  `src/internal/${name}/`
)

interface Mutant extends Site {
  readonly id: number
  readonly file: string
}

/** What the tests do without a change: how long each takes, and how often it reaches each place. */
interface Baseline {
  readonly [file: string]: ReadonlyArray<Reached>
}

const { positionals, values: options } = parseArgs({
  args: process.argv.slice(2).filter((argument) => argument !== "--"),
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(Date.now() % 10_000) },
    count: { type: "string", default: "30" },
    budget: { type: "string", default: "90" },
    tests: { type: "string", default: "^test/(core|services)/" },
    fresh: { type: "boolean", default: false },
    only: { type: "string" }
  }
})

const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n").filter((file) => file !== "" && existsSync(`${root}${file}`))
/** As it was at the start, so that the repository may change meanwhile. */
const texts = new Map(
  files.filter((file) => /^(src|test)\/.*\.ts$/.test(file)).map((
    file
  ) => [file, readFileSync(`${root}${file}`, "utf8")])
)
const read = (file: string) => texts.get(file) ?? readFileSync(`${root}${file}`, "utf8")

const all: ReadonlyArray<Mutant> = files
  .filter((file) => file.endsWith(".ts") && core.some((folder) => file.startsWith(folder)))
  .flatMap((file) => sitesOf(file, read(file)).map((site) => ({ ...site, file })))
  .map((mutant, id) => ({ ...mutant, id }))

/** Shuffled by a seed (mulberry32). */
const shuffled = <A>(values: ReadonlyArray<A>, seed: number): Array<A> => {
  let state = seed
  const random = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return values.map((value) => [random(), value] as const).sort(([a], [b]) => a - b).map(([, value]) => value)
}

/** Whether the changed file still type-checks; an unused name does not matter. */
const typeChecker = () => {
  const parsed = ts.parseJsonConfigFileContent(
    ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile).config,
    ts.sys,
    root
  )
  const replaced = new Map<string, string>()
  let version = 0
  const service = ts.createLanguageService({
    getCompilationSettings: () => ({
      ...parsed.options,
      noUnusedLocals: false,
      noUnusedParameters: false,
      plugins: []
    }),
    getScriptFileNames: () => files.filter((file) => /^src\/[^/]*\.ts$/.test(file)).map((file) => `${root}${file}`),
    getScriptVersion: (name) => replaced.has(name) ? String(version) : "0",
    getScriptSnapshot: (name) => {
      const text = replaced.get(name) ?? ts.sys.readFile(name)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getCurrentDirectory: () => root,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories
  })
  return (mutant: Mutant): boolean => {
    const name = `${root}${mutant.file}`
    version++
    replaced.set(name, changed(read(mutant.file), mutant))
    const valid = service.getSyntacticDiagnostics(name).length === 0 &&
      service.getSemanticDiagnostics(name).length === 0
    replaced.set(name, read(mutant.file))
    version++
    return valid
  }
}

const copy = (): string => {
  const directory = mkdtempSync(`${tmpdir()}/effect-dust-mutants-`)
  for (const file of files) cpSync(`${root}${file}`, `${directory}/${file}`)
  symlinkSync(`${root}node_modules`, `${directory}/node_modules`)
  for (const file of new Set(all.map(({ file }) => file))) {
    writeFileSync(
      `${directory}/${file}`,
      switched(file, read(file), all.find((mutant) => mutant.file === file)?.id ?? 0)
    )
  }
  return directory
}

/** A runner that is started again after it had to be killed. */
const runner = (directory: string) => {
  let child: ChildProcess | undefined
  /** Its next message; `undefined` if it ends before. */
  const next = (process: ChildProcess) =>
    new Promise<unknown>((resolve) => {
      const end = (message?: unknown) => {
        process.off("message", end).off("exit", ended)
        resolve(message)
      }
      const ended = () => end()
      process.on("message", end).on("exit", ended)
    })
  /** With its workers, which may be in a loop that never ends. */
  const stop = () => {
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, "SIGKILL")
    }
    child = undefined
  }
  process.once("exit", stop)
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1))
  const run = async (job: Job, limit: number): Promise<Outcome> => {
    if (child === undefined || child.exitCode !== null) {
      child = fork(`${root}test/tools/mutantRunner.ts`, [directory], {
        cwd: directory,
        detached: true,
        execArgv: ["--import", "tsx"],
        stdio: ["ignore", "ignore", "ignore", "ipc"]
      })
      await next(child)
    }
    const answer = next(child)
    child.send(job)
    const timer = setTimeout(stop, limit)
    const outcome = await answer
    clearTimeout(timer)
    if (outcome === undefined) child = undefined
    return (outcome as Outcome | undefined) ?? { passed: false, milliseconds: limit }
  }
  return { run, stop }
}

/** By default the tests of single modules, the quickest; those of whole applications would take most of the time. */
const tests = new RegExp(options.tests)

const hashOf = (...texts: ReadonlyArray<string>): string =>
  texts.reduce((hash, text) => hash.update(text), createHash("sha256")).digest("hex").slice(0, 16)

/** Where the numbers of each source begin. */
interface Numbering {
  readonly file: string
  readonly hash: string
  readonly first: number
}

const numbering: ReadonlyArray<Numbering> = [...new Set(all.map(({ file }) => file))].map((file) => ({
  file,
  hash: hashOf(read(file)),
  first: all.findIndex((mutant) => mutant.file === file)
}))

/** What a file of tests reached when it was measured. */
interface Measured {
  readonly sources: ReadonlyArray<Numbering>
  readonly loaded: Reached["places"]
  readonly tests: ReadonlyArray<Reached>
}

/**
 * What a test reaches by today's numbers: every place of a source that has changed since it was measured, if it reached
 * any.
 */
const renumbered = ({ loaded, sources }: Measured, { places }: Reached): Reached["places"] => {
  const out = new Map<number, number>()
  const add = (id: number, times: number, isLoaded: boolean) => {
    const then = sources.findLast(({ first }) => first <= id)
    const now = numbering.find(({ file }) => file === then?.file)
    if (then === undefined || now === undefined) return
    if (then.hash === now.hash) {
      out.set(id - then.first + now.first, times)
    } else if (!isLoaded && !out.has(now.first)) {
      for (const mutant of all) if (mutant.file === now.file) out.set(mutant.id, 1)
    }
  }
  for (const [id, times] of loaded) add(id, times, true)
  for (const [id, times] of places) add(id, times, false)
  return [...out]
}

/** Kept between runs for each state of the test, as far as it got; `--fresh` measures again. */
const baselineOf = async (directory: string, run: ReturnType<typeof runner>["run"]): Promise<Baseline> => {
  const folder = `${tmpdir()}/effect-dust-mutants`
  mkdirSync(folder, { recursive: true })
  const baseline: Record<string, Baseline[string]> = {}
  const reached = `${directory}/reached.json`
  for (const file of files.filter((file) => /^test\/.*\.test\.ts$/.test(file) && tests.test(file))) {
    const cache = `${folder}/${hashOf(file, read(file))}.json`
    if (options.fresh || !existsSync(cache)) {
      rmSync(reached, { force: true })
      await run({ file, active: -1, reached }, 600_000)
      const found = existsSync(reached) ? JSON.parse(readFileSync(reached, "utf8")) : { loaded: [], tests: [] }
      writeFileSync(cache, JSON.stringify({ sources: numbering, ...found }))
    }
    const measured: Measured = JSON.parse(readFileSync(cache, "utf8"))
    if (measured.tests.length === 0) console.log(`left out, as it fails without a change: ${file}`)
    baseline[file] = measured.tests.map((test) => ({
      ...test,
      places: renumbered(measured, test)
    }))
  }
  return baseline
}

/** Tests of a file that reach a change. */
interface Candidate {
  readonly file: string
  readonly names: ReadonlyArray<string>
  readonly milliseconds: number
}

/** A test that takes this long, in milliseconds, is run after the others of all files. */
const slow = 3_000

/**
 * The tests that reach the change by file, those first that reach most of its surroundings in the shortest time, and
 * slow tests last.
 */
const candidates = (
  mutant: Mutant,
  baseline: Baseline,
  noticed: ReadonlyMap<string, number>
): ReadonlyArray<Candidate> => {
  const near = new Set(
    all.filter(({ file, line }) => file === mutant.file && Math.abs(line - mutant.line) <= 30).map(({ id }) => id)
  )
  const ranked = Object.entries(baseline).flatMap(([file, tests]) => {
    const reaching = tests.filter(({ places }) => places.some(([id]) => id === mutant.id))
    return [reaching.filter((test) => test.milliseconds < slow), reaching.filter((test) => test.milliseconds >= slow)]
      .map((some, index) => {
        const milliseconds = some.reduce((sum, test) => sum + test.milliseconds, 0)
        const hits = some.flatMap(({ places }) => places).filter(([id]) => near.has(id))
          .reduce((sum, [, times]) => sum + Math.min(times, 20), 0)
        const rank = hits * (1 + (noticed.get(`${file} ${mutant.file}`) ?? 0)) / (milliseconds + 2000)
        return { file, names: some.map(({ name }) => name), milliseconds, rank, late: index }
      })
      .filter(({ names }) => names.length > 0)
  })
  return ranked.sort((a, b) => a.late - b.late || b.rank - a.rank)
}

const main = async () => {
  const directory = copy()
  const { run, stop } = runner(directory)
  try {
    const baseline = await baselineOf(directory, run)
    const typed = typeChecker()
    const noticed = new Map<string, number>()
    const escaped: Array<string> = []
    const unreached: Array<string> = []
    const pool = options.only === undefined
      ? shuffled(
        all.filter(({ file }) => positionals.length === 0 || positionals.some((path) => file.startsWith(path))),
        Number(options.seed)
      )
      : all.filter(({ id }) => options.only?.split(",").includes(String(id)))
    let untyped = 0
    let tried = 0
    for (const mutant of pool) {
      if (tried === Number(options.count)) break
      if (!typed(mutant)) {
        untyped++
        continue
      }
      const label = `#${mutant.id} ${mutant.file}:${mutant.line} ${mutant.kind}: ${mutant.before} → ${mutant.after}`
      const reaching = candidates(mutant, baseline, noticed)
      if (reaching.length === 0) {
        unreached.push(label)
        continue
      }
      tried++
      let spent = 0
      let by: string | undefined
      let ran = 0
      for (const { file, milliseconds, names } of reaching) {
        if (spent > 0 && spent + milliseconds > Number(options.budget) * 1000) continue
        spent += milliseconds
        ran++
        const limit = 60_000 + milliseconds * 5
        if ((await run({ file, names, active: mutant.id }, limit)).passed) continue
        // On a busy machine, or since it was measured, a test may fail without the change.
        if (!(await run({ file, names, active: -1 }, limit)).passed) {
          console.log(`fails without a change: ${file}`)
          continue
        }
        by = file
        noticed.set(`${file} ${mutant.file}`, (noticed.get(`${file} ${mutant.file}`) ?? 0) + 1)
        break
      }
      if (by === undefined) escaped.push(label)
      console.log(
        `${by === undefined ? `ESCAPED (${ran} of ${reaching.length} groups of tests)` : "noticed"} ${label}${
          by === undefined ? "" : ` | ${by}`
        }`
      )
    }
    console.log(
      `seed ${options.seed}: ${tried - escaped.length} of ${tried} noticed; ${untyped} more did not type-check`
    )
    for (const label of escaped) console.log(`  escaped: ${label}`)
    for (const label of unreached) console.log(`  reached by none of these tests: ${label}`)
  } finally {
    stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
