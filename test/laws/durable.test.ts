/**
 * A durable question is asked once and answered, whichever of two runners is killed with -9 at whatever step. `KILLS=100` kills
 * that often on each database; `npm test` a few times.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { chownSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { compile } from "../support/child.ts"

// @effect-diagnostics-next-line processEnv:off
const wanted = Number(process.env["KILLS"] ?? 0)

interface Ended {
  readonly killed: boolean
  readonly output: string
  readonly errors: string
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
  const options = { cwd: directory, ...(uid === undefined ? {} : { uid }) }
  execFileSync(`${bin}/initdb`, ["-D", `${directory}/data`, "-A", "trust", "-U", "postgres", "--no-sync"], {
    ...options,
    stdio: "ignore"
  })
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const server = spawn(
    `${bin}/postgres`,
    [
      "-D",
      `${directory}/data`,
      "-p",
      String(port),
      "-k",
      directory,
      "-c",
      "listen_addresses=127.0.0.1",
      "-c",
      "fsync=off"
    ],
    { ...options, stdio: "ignore" }
  )
  const run = (sql: string) =>
    spawnSync(`${bin}/psql`, ["-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-c", sql], { stdio: "ignore" })
  for (let attempt = 0; run("SELECT 1").status !== 0; attempt++) {
    if (attempt > 100) return "PostgreSQL did not start"
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
  return {
    database: (name: string) => {
      run(`CREATE DATABASE ${name}`)
      return `postgres://postgres@127.0.0.1:${port}/${name}`
    },
    stop: () => {
      server.kill("SIGKILL")
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

describe("a durable question", () => {
  let compiled: string
  beforeAll(async () => {
    compiled = await compile("durableChild")
  }, 60_000)
  afterAll(() => rmSync(compiled, { recursive: true, force: true }))

  const run = (options: object): Effect.Effect<Ended> =>
    Effect.async((resume) => {
      const child = execFile(
        process.execPath,
        ["--no-deprecation", `${compiled}/child.mjs`, JSON.stringify(options)],
        { timeout: 300_000 },
        (error, stdout, stderr) =>
          resume(Effect.succeed({ killed: error?.signal === "SIGKILL", output: stdout, errors: stderr }))
      )
      return Effect.sync(() => child.kill("SIGKILL"))
    })

  /** `together`: two runners and a process that approves, at the same time; otherwise one runner after the other. */
  const survives = (database: (name: string) => string, together: boolean) =>
    Effect.gen(function*() {
      const dust = yield* DustTest.serve({ limits: false, agents: { mailer } })
      const common = { url: dust.url, workspaceId: dust.workspaceId, apiKey: Redacted.value(dust.apiKey) }
      let kills = 0
      /** Two runners, of which the first is killed at a step, and a third process that approves. Returns how many steps there are. */
      const attempt = (killAt: number, index: number) =>
        Effect.gen(function*() {
          const key = `k${index}`
          const options = { ...common, key, database: database(key) }
          const port = 10_000 + 10 * index
          const spare = run({ ...options, port: port + 1, killAt: -1, alone: !together })
          const [first, second] = together
            ? yield* Effect.all([
              run({ ...options, port, killAt }),
              killAt < 0 ? Effect.succeed(undefined) : Effect.delay(spare, "1 second"),
              Effect.delay(run({ ...options, port: port + 2, killAt: -1, mode: "approve" }), "1 second")
            ], { concurrency: "unbounded" })
            : [yield* run({ ...options, port, killAt, alone: true }), killAt < 0 ? undefined : yield* spare]
          const last = second ?? first
          assert.strictEqual(last.errors, "", key)
          if (first.killed) kills++
          const { conversationId, steps, text } = JSON.parse(last.output)
          assert.strictEqual(text, "It is on its way.", key)
          const asked = (yield* dust.userMessages()).filter(({ content }) => content === `Question ${key}`)
          assert.strictEqual(asked.length, 1, key)
          assert.strictEqual((yield* dust.agentMessages(conversationId)).length, 1, key)
          return Number(steps)
        })
      const steps = yield* attempt(-1, 0)
      assert.isAbove(steps, 15)
      const points = wanted > 0
        ? Array.from({ length: wanted }, (_, index) => index % steps)
        : [Math.floor(steps / 4), Math.floor(steps / 2)]
      yield* Effect.forEach(points, (point, index) => attempt(point, index + 1), {
        concurrency: wanted > 0 ? 2 : 1,
        discard: true
      })
      // If the other runner reached the steps first, no process was killed.
      yield* Effect.iterate(points.length + 1, {
        while: (more) => kills === 0 && more < points.length + 10,
        body: (more) => Effect.as(attempt(Math.floor(steps / 4), more), more + 1)
      })
      console.log(
        `${kills} kills at ${Math.min(points.length, steps)} of ${steps} steps, one message and one answer each`
      )
      assert.isAbove(kills, 0)
    }).pipe(Effect.scoped)

  const limit = wanted > 0 ? 7_200_000 : 300_000

  it.live(
    "in SQLite: is asked once and answered by the next process, when a runner is killed with -9",
    // Not at the same time: the driver has no busy timeout, so two processes lock each other out.
    () => survives((name) => `file:${compiled}/${name}.db`, false),
    limit
  )

  it.live(
    "in PostgreSQL: is asked once and answered by the other runner, when one is killed with -9",
    () =>
      Effect.gen(function*() {
        const server = postgres()
        if (typeof server === "string") return console.log(`not run: ${server}`)
        yield* Effect.addFinalizer(() => Effect.sync(server.stop))
        yield* survives(server.database, true)
      }).pipe(Effect.scoped),
    limit
  )
})
