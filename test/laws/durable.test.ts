/**
 * A durable question is asked once and answered, whichever of two runners is killed with -9 at whatever step. `KILLS=100` kills
 * that often in each test, and prints where; `npm test` a few times.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Redacted, Schedule } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { chownSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { compile } from "../support/child.ts"
import type { ChildOptions } from "../support/durableChild.ts"

// @effect-diagnostics-next-line processEnv:off
const wanted = Number(process.env["KILLS"] ?? 0)

interface Ended {
  readonly killed: boolean
  readonly output: string
  readonly errors: string
}

/** Databases, each a copy of one that a cluster has been started on. */
interface Databases {
  /** Whether several processes may use one at the same time: the driver of SQLite has no busy timeout. */
  readonly shared: boolean
  readonly first: string
  readonly copy: (name: string) => string
}
const mailer: DustTest.AgentBehavior = [
  DustTest.text("I will write. ", { pace: "5 millis" }),
  DustTest.approval({
    name: "send_email",
    inputs: { to: "team@example.com" },
    stake: "high",
    output: "sent",
    onResult: ({ approved }) => approved ? "It is on its way." : "I did not send it."
  })
]

/** Debian's PostgreSQL, started for this file. It refuses to run as root. */
const postgres = () => {
  const bin = ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"].find(
    existsSync
  )
  if (bin === undefined) return "there is no PostgreSQL on this machine (apt-get install postgresql)"
  const asRoot = userInfo().uid === 0
  const id = asRoot ? spawnSync("id", ["-u", "postgres"], { encoding: "utf8" }) : undefined
  if (id !== undefined && id.status !== 0) return "PostgreSQL does not run as root, and there is no user postgres"
  const uid = id === undefined ? undefined : Number(id.stdout)
  const directory = mkdtempSync(`${tmpdir()}/durable-`)
  if (uid !== undefined) chownSync(directory, uid, -1)
  // The locale of the environment may not exist on the machine.
  // @effect-diagnostics-next-line processEnv:off
  const env = { PATH: process.env["PATH"], LC_ALL: "C" }
  const options = { cwd: directory, env, ...(uid === undefined ? {} : { uid }) }
  execFileSync(`${bin}/initdb`, ["-D", `${directory}/data`, "-A", "trust", "-U", "postgres", "--no-sync"], {
    ...options,
    stdio: "ignore"
  })
  // A socket in the folder, and no port, which another program might have.
  const server = spawn(
    `${bin}/postgres`,
    [
      "-D",
      `${directory}/data`,
      "-p",
      "5432",
      "-k",
      directory,
      "-c",
      "listen_addresses=",
      "-c",
      "fsync=off"
    ],
    { ...options, stdio: "ignore" }
  )
  const stop = () => {
    server.kill("SIGKILL")
    // Its own processes may still be writing.
    rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
  }
  const run = (sql: string) =>
    spawnSync(`${bin}/psql`, ["-h", directory, "-p", "5432", "-U", "postgres", "-c", sql], { stdio: "ignore" })
  for (let attempt = 0; run("SELECT 1").status !== 0; attempt++) {
    if (attempt > 600) {
      stop()
      return "PostgreSQL did not start"
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
  const database = (name: string, from = "template1") => {
    run(`CREATE DATABASE ${name} TEMPLATE ${from}`)
    return `postgres://postgres@localhost/${name}?host=${encodeURIComponent(directory)}&port=5432`
  }
  return {
    databases: (): Databases => ({ shared: true, first: database("first"), copy: (name) => database(name, "first") }),
    stop
  }
}

/** Databases of SQLite in a folder. */
const sqlite = (folder: string): Databases => ({
  shared: false,
  first: `file:${folder}/first.db`,
  copy: (name) => {
    copyFileSync(`${folder}/first.db`, `${folder}/${name}.db`)
    return `file:${folder}/${name}.db`
  }
})

/** What happens to a question: a third process acts on it, or its workflow fails by itself. */
interface Story {
  readonly mode: "ask" | "fail"
  readonly third: "approve" | "interrupt" | undefined
  readonly ends: "succeeded" | "cancelled"
}

const stories = {
  approved: { mode: "ask", third: "approve", ends: "succeeded" },
  interrupted: { mode: "ask", third: "interrupt", ends: "cancelled" },
  failing: { mode: "fail", third: undefined, ends: "cancelled" }
} as const satisfies Record<string, Story>

/** How often processes died at which step. */
const killTable = (directory: string): string => {
  const counts = new Map<string, number>()
  for (const note of readdirSync(directory)) {
    const where = readFileSync(`${directory}/${note}`, "utf8")
    counts.set(where, (counts.get(where) ?? 0) + 1)
  }
  return [...counts].map(([where, count]) => `${String(count).padStart(4)}  ${where}`).sort().join("\n")
}

describe("a durable question", () => {
  let compiled: string
  beforeAll(async () => {
    // With all that it imports, since hundreds of processes start.
    compiled = await compile("durableChild", {
      packages: "bundle",
      external: ["@libsql/*", "libsql", "pg", "pg-*", "undici"]
    })
  })
  afterAll(() => rmSync(compiled, { recursive: true, force: true, maxRetries: 20 }))

  const run = (options: ChildOptions): Effect.Effect<Ended> =>
    Effect.async((resume) => {
      const child = execFile(
        process.execPath,
        ["--no-deprecation", `${compiled}/child.mjs`, JSON.stringify(options)],
        { timeout: 300_000 },
        (error, stdout, stderr) =>
          resume(Effect.succeed({ killed: error?.signal === "SIGKILL", output: stdout, errors: stderr }))
      )
      // Its locks in the database end with it, and not before.
      return Effect.async<void>((ended) => {
        if (child.exitCode !== null || child.signalCode !== null) return ended(Effect.void)
        child.once("exit", () => ended(Effect.void))
        child.kill("SIGKILL")
      })
    })

  const served = Effect.map(DustTest.serve({ limits: false, agents: { mailer } }), (dust) => ({
    dust,
    common: {
      url: dust.url,
      workspaceId: dust.workspaceId,
      apiKey: Redacted.value(dust.apiKey),
      directory: mkdtempSync(`${compiled}/kills-`),
      kills: [],
      ahead: "0 millis",
      alone: false
    }
  }))

  let port = 10_000

  /**
   * Two runners at the same time, and a third process; one runner where the database cannot be shared. A runner that is killed is
   * started again, as a supervisor does.
   */
  const survives = (databases: Databases, name: string, { ends, mode, third }: Story) =>
    Effect.gen(function*() {
      const { common, dust } = yield* served
      let killed = 0
      const attempt = (kills: ReadonlyArray<number>, database: string, key: string) =>
        Effect.gen(function*() {
          const by: Array<number> = []
          const runner = (which: number): Effect.Effect<Ended> => {
            const options = { ...common, key, database, mode, kills, port: port++, alone: !databases.shared }
            return Effect.repeat(run(options), {
              while: (ended) => {
                if (ended.killed) by.push(which)
                return ended.killed
              }
            })
          }
          const isAsked = Effect.map(
            dust.userMessages(),
            (messages) => messages.some(({ content }) => content === `Question ${key}`)
          )
          // Not before the cluster of the runners has created its tables.
          const acting = yield* Effect.fork(
            third === undefined || !databases.shared ? Effect.void : Effect.zipRight(
              Effect.repeat(isAsked, { until: (asked) => asked, schedule: Schedule.spaced("100 millis") }),
              run({ ...common, key, database, mode: third, port: port++ })
            )
          )
          const [first, second] = yield* Effect.all([
            runner(1),
            kills.length === 0 || !databases.shared ? Effect.succeed(undefined) : runner(2)
          ], { concurrency: "unbounded" })
          // It may wait for a confirmation that no runner is left to give.
          yield* Fiber.interrupt(acting)
          const [one, other] = [first, second ?? first].map(({ errors, output }) => {
            assert.strictEqual(errors, "", key)
            return JSON.parse(output)
          })
          assert.deepStrictEqual(one.exit, other.exit, key)
          if (ends === "succeeded") assert.strictEqual(one.exit.value?.text, "It is on its way.", key)
          else assert.strictEqual(one.exit._tag === "Failure" || one.exit.value.failed, true, key)
          const asked = (yield* dust.userMessages()).filter(({ content }) => content === `Question ${key}`)
          assert.strictEqual(asked.length, 1, key)
          const answers = (yield* dust.agentMessages()).filter(({ json }) => json["parentMessageId"] === asked[0]?.sId)
          assert.deepStrictEqual(answers.map(({ status }) => status), [ends], key)
          killed += by.length
          return { steps: Math.max(one.steps, other.steps), by }
        })
      const { steps } = yield* attempt([], databases.first, `${name}_first`)
      assert.isAbove(steps, 15)
      const points = wanted > 0
        ? Array.from({ length: wanted }, (_, index) => index % steps)
        : [Math.floor(steps / 2)]
      const table = yield* Effect.forEach(points, (point, index) => {
        const key = `${name}_${index}`
        // Every third time, the other one dies as well.
        const kills = index % 3 === 2 ? [point, Math.floor(Math.random() * steps)] : [point]
        return attempt(kills, databases.copy(key), key)
      }, { concurrency: wanted > 0 ? 3 : 1 })
      if (wanted > 0) console.log(killTable(common.directory))
      const of = (which: number) => table.filter(({ by }) => by.includes(which)).length
      console.log(
        `${name}: ${killed} kills in ${points.length} runs at ${Math.min(points.length, steps)} of ${steps} steps ` +
          `(of the first runner in ${of(1)}, of the second in ${of(2)}), one message each, ${ends}`
      )
      assert.isAbove(killed, 0)
    }).pipe(Effect.scoped)

  const limit = wanted > 0 ? 7_200_000 : 300_000

  for (const what of ["approved", "failing"] as const) {
    it.live(
      `in SQLite, ${what}: is asked once, and ends in the next process, when one is killed with -9`,
      () => survives(sqlite(mkdtempSync(`${compiled}/sqlite-`)), what, stories[what]),
      limit
    )
  }

  const inPostgres = <A, E>(use: (databases: Databases) => Effect.Effect<A, E>) =>
    Effect.gen(function*() {
      const server = postgres()
      if (typeof server === "string") return console.log(`not run: ${server}`)
      yield* Effect.addFinalizer(() => Effect.sync(server.stop))
      yield* use(server.databases())
    }).pipe(Effect.scoped)

  for (const [what, story] of Object.entries(stories)) {
    it.live(
      `in PostgreSQL, ${what}: is asked once, and ends the same in both runners, when either is killed with -9`,
      () => inPostgres((databases) => survives(databases, what, story)),
      limit
    )
  }

  /** The clocks of the processes are ahead; the database and Dust keep theirs. */
  const outlivesAWeek = (databases: Databases) =>
    Effect.gen(function*() {
      const { common, dust } = yield* served
      // As one runner that is started again: it has the locks of the process before it.
      const options = { ...common, key: "week", database: databases.first, port: port++ }
      const decisions = Effect.map(dust.requests(), (requests) =>
        requests.flatMap(({ body, path }) =>
          path.endsWith("/validate-action") ? [Object(body).approved] : []
        ))
      const started = yield* run({ ...options, mode: "start" })
      assert.strictEqual(started.errors, "")
      const early = yield* Effect.timeoutOption(
        run({ ...options, mode: "ask", ahead: "167 hours" }),
        "10 seconds"
      )
      assert.isTrue(Option.isNone(early))
      assert.deepStrictEqual(yield* decisions, [])
      const late = yield* run({ ...options, mode: "ask", ahead: "169 hours" })
      assert.strictEqual(late.errors, "")
      assert.strictEqual(JSON.parse(late.output).exit.value?.text, "I did not send it.")
      assert.deepStrictEqual(yield* decisions, ["rejected"])
      assert.strictEqual((yield* dust.userMessages()).length, 1)
    }).pipe(Effect.scoped)

  it.live(
    "in SQLite: waits for an approval through restarts, and rejects the tool after its limit of a week",
    () => outlivesAWeek(sqlite(mkdtempSync(`${compiled}/sqlite-`))),
    120_000
  )

  it.live(
    "in PostgreSQL: waits for an approval through restarts, and rejects the tool after its limit of a week",
    () => inPostgres(outlivesAWeek),
    120_000
  )
})
