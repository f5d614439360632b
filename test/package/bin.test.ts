import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../../src/internal/bin.ts", import.meta.url))

const start = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, ["--import", "tsx", bin, ...args])),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )

/** What it says, until it says this, or ends. */
const says = (child: ChildProcess, enough: RegExp) =>
  Effect.async<string>((resume) => {
    let said = ""
    const more = (text: unknown) => {
      said += String(text)
      if (enough.test(said)) resume(Effect.succeed(said))
    }
    child.stdout?.on("data", more)
    child.stderr?.on("data", more)
    child.once("close", () => resume(Effect.succeed(said)))
  })

describe("effect-dust", () => {
  it.scopedLive("--version", () =>
    Effect.gen(function*() {
      const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
      const child = yield* start("--version")
      const closed = once(child, "close")
      assert.strictEqual(yield* says(child, /^\d\S*\n/), `${manifest.version}\n`)
      assert.deepStrictEqual(yield* Effect.promise(() => closed), [0, null])
    }))
})

describe("effect-dust serve", () => {
  it.scopedLive("serves until it is interrupted, with streams still open", () =>
    Effect.gen(function*() {
      const child = yield* start("serve", "--port", "0")
      const said = yield* says(child, /Ctrl-C/)
      const variable = (name: string) => new RegExp(`export ${name}=(.*)`).exec(said)?.[1] ?? ""
      const base = `${variable("DUST_BASE_URL")}/api/v1/w/${variable("DUST_WORKSPACE_ID")}/assistant/conversations`
      const headers = { authorization: `Bearer ${variable("DUST_API_KEY")}`, "content-type": "application/json" }
      const stream = yield* Effect.promise(async () => {
        const response = await fetch(base, { method: "POST", headers, body: "{}" })
        const { conversation } = await response.json() as { readonly conversation: { readonly sId: string } }
        return fetch(`${base}/${conversation.sId}/events`, { headers })
      })
      assert.strictEqual(stream.status, 200)
      const closed = once(child, "close")
      child.kill("SIGINT")
      assert.deepStrictEqual(yield* Effect.promise(() => closed), [0, null])
    }))

  it.scopedLive("--no-limits: more than 100 messages a minute; a public address is a warning", () =>
    Effect.gen(function*() {
      const child = yield* start("serve", "--port", "0", "--host", "0.0.0.0", "--no-limits")
      const said = yield* says(child, /Ctrl-C/)
      assert.match(said, /Warning: 0\.0\.0\.0 may be reached from other machines/)
      const variable = (name: string) => new RegExp(`export ${name}=(.*)`).exec(said)?.[1] ?? ""
      const base = `${variable("DUST_BASE_URL")}/api/v1/w/${variable("DUST_WORKSPACE_ID")}/assistant/conversations`
      const headers = { authorization: `Bearer ${variable("DUST_API_KEY")}`, "content-type": "application/json" }
      const statuses = yield* Effect.promise(async () => {
        const created = await fetch(base, { method: "POST", headers, body: "{}" })
        const { conversation } = await created.json() as { readonly conversation: { readonly sId: string } }
        const body = JSON.stringify({ content: "x", mentions: [], context: { username: "ada", timezone: "UTC" } })
        const send = () => fetch(`${base}/${conversation.sId}/messages`, { method: "POST", headers, body })
        const all: Array<number> = []
        for (let i = 0; i < 105; i++) all.push((await send()).status)
        return all
      })
      assert.deepStrictEqual([...new Set(statuses)], [200])
    }))

  for (
    const [args, complaint] of [
      [["serve", "--port", ""], /--port: expected a number/],
      [["serve", "--host", "192.0.2.1"], /cannot listen: .*192\.0\.2\.1/]
    ] as const
  ) {
    it.scopedLive(`refuses: ${args.join(" ")}`, () =>
      Effect.gen(function*() {
        const child = yield* start(...args)
        const closed = once(child, "close")
        assert.match(yield* says(child, complaint), complaint)
        assert.deepStrictEqual(yield* Effect.promise(() => closed), [1, null])
      }))
  }
})
