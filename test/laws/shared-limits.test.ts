/** Two processes share the limits of a workspace in a real Redis (Debian: `apt-get install redis-server`); without one, the test is left out. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Redacted, Stream } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { compile, run } from "../support/child.ts"
import type { Ended } from "../support/sharedLimitChild.ts"

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0
if (!hasRedis) {
  console.warn("shared-limits: left out, there is no redis-server on this machine (apt-get install redis-server)")
}

const listens = (path: string) =>
  new Promise<boolean>((resolve) => {
    const connection = connect(path)
    connection.once("connect", () => resolve(true)).once("error", () => resolve(false))
    connection.once("connect", () => connection.destroy())
  })

const perWindow = 100
const window = 4_000

describe.runIf(hasRedis)("Limits shared in Redis", () => {
  let folder: string
  let directory: string
  let socket: string
  let redis: ReturnType<typeof spawn>
  beforeAll(async () => {
    folder = await compile("sharedLimitChild")
    directory = mkdtempSync(`${tmpdir()}/redis-`)
    // No port, which another program might have.
    socket = `${directory}/socket`
    redis = spawn("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"], {
      stdio: "ignore"
    })
    while (!await listens(socket)) await new Promise((resolve) => setTimeout(resolve, 20))
  })
  afterAll(() => {
    redis?.kill("SIGKILL")
    for (const one of [folder, directory]) if (one !== undefined) rmSync(one, { recursive: true, force: true })
  })

  it.live(
    "two processes together start no more than one may, and lose nothing, also if Dust refuses some",
    () =>
      Effect.gen(function*() {
        let seen = 0
        let refused = 0
        const dust = yield* DustTest.serve({
          limits: false,
          faults: [{
            method: "POST",
            when: () => {
              const isRefused = ++seen > 40 && seen <= 45
              if (isRefused) refused++
              return isRefused
            },
            fault: DustTest.faults.status(429, { type: "rate_limit_error", headers: { "retry-after": "1" } })
          }]
        })
        const common = {
          socket,
          directory,
          documents: 75,
          limit: perWindow,
          url: dust.url,
          workspaceId: dust.workspaceId,
          apiKey: Redacted.value(dust.apiKey)
        }
        const ended = yield* Effect.all(
          ["a", "b"].map((name, i, all) => run(folder, { ...common, name, other: all[1 - i] })),
          { concurrency: 2 }
        )
        assert.deepStrictEqual(ended.map(({ errors }) => errors), ["", ""])
        const each = ended.map(({ output }): Ended => JSON.parse(output))
        const begun = Math.min(...each.map(({ begun }) => begun))
        const starts = each.flatMap(({ starts }) => starts).sort((a, b) => a - b)
        assert.strictEqual(refused, 5)
        assert.strictEqual(starts.length, 155)
        // They were there at the same time: the greater part of each comes after the first of both.
        const both = Math.max(...each.map(({ starts: own }) => Math.min(...own)))
        assert.isTrue(each.every(({ starts: own }) => own.filter((at) => at >= both).length > 70))
        // A slow machine may delay starts, also the first one, but never bring them forward: time counts from before the first.
        for (const [i, at] of starts.entries()) {
          const allowed = perWindow / 10 + 0.9 * perWindow * (at - begun + 100) / window
          assert.isAtMost(i + 1, Math.ceil(allowed) + 1, `start ${i + 1} after ${at - begun} ms`)
        }
        const stored = yield* Effect.flatMap(DataSources.DataSources, (dataSources) =>
          Stream.runCollect(
            dataSources.streamDocuments({ spaceId: "vlt_global", dataSourceId: "dts_handbook" })
          )).pipe(Effect.provide(
            Dust.layer({ workspaceId: dust.workspaceId, apiKey: dust.apiKey, baseUrl: dust.url }).pipe(
              Layer.provide(NodeHttpClient.layerUndici)
            )
          ))
        const ids = new Set(Chunk.toReadonlyArray(stored).map(({ documentId }) => documentId))
        for (const name of ["a", "b"]) for (let i = 0; i < 75; i++) assert.isTrue(ids.has(`${name}-${i}`))
      }).pipe(Effect.scoped),
    120_000
  )
})
