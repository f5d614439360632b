/** A whole night through a misbehaving proxy: `npm run night -- [documents] [rows] [share of troubled requests]`. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as Governor from "effect-dust/Governor"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { documents, rows } from "../support/nights.ts"
import * as Proxy from "../support/proxy.ts"

const [documentCount = 5_000, rowCount = 300_000, rate = 0.1] = process.argv.slice(2).map(Number)
const location = { spaceId: "vlt_global", dataSourceId: "dts_night" } as const

const limited = { type: "rate_limit_error", message: "Too many requests" }
const troubles: ReadonlyArray<Proxy.Trouble> = [
  Proxy.resetBefore,
  Proxy.resetAfter,
  Proxy.gateway(503),
  Proxy.gateway(504, { after: 50, origin: 0 }),
  Proxy.Trouble.Gateway({
    status: 429,
    after: 0,
    origin: undefined,
    body: JSON.stringify({ error: limited }),
    headers: { "content-type": "application/json", "retry-after": "1" }
  }),
  Proxy.challenge(503),
  Proxy.cutBytes(40),
  Proxy.delay({ request: 50, response: 200 }),
  Proxy.drip(64, 1)
]

/** The memory that is in use after a collection, in MB; `node --expose-gc`. */
const heap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1e6
}

const seconds = (from: number) => (performance.now() - from) / 1000

const sync = Effect.gen(function*() {
  const dataSources = yield* DataSources.DataSources
  const from = performance.now()
  const failed: Array<string> = []
  yield* Stream.runForEach(
    dataSources.syncDocuments({
      ...location,
      documents: documents(0, documentCount, "tonight"),
      total: documentCount,
      perMinute: 1_000_000,
      deleteStale: true
    }),
    (event) =>
      Effect.sync(() => {
        if (event._tag === "Failed") failed.push(`${event.documentId}: ${event.error.message}`)
        const { processed } = event.progress
        if (event._tag === "Upserted" && processed % 1_000 === 0) {
          console.log(`  ${processed} documents, ${heap().toFixed(0)} MB`)
        }
      })
  )
  const took = seconds(from)
  const found = new Set<string>()
  yield* Stream.runForEach(
    dataSources.streamDocuments(location),
    ({ documentId }) => Effect.sync(() => found.add(documentId))
  )
  for (const line of failed.slice(0, 3)) console.log(`  ${line}`)
  return { written: found.size, failed: failed.length, perMinute: Math.round(found.size / took * 60), seconds: took }
})

const load = Effect.gen(function*() {
  const dataSources = yield* DataSources.DataSources
  const from = performance.now()
  const result = yield* dataSources.loadTable({
    ...location,
    table: { name: "night" },
    rows: Stream.fromIterable(rows(0, rowCount, "tonight")),
    total: rowCount,
    replace: true,
    onProgress: ({ rows }) =>
      Effect.sync(() => {
        if (rows % 50_000 === 0) console.log(`  ${rows} rows, ${heap().toFixed(0)} MB`)
      })
  })
  return { ...result, seconds: seconds(from), table: undefined, columns: undefined }
})

interface Place {
  readonly url: string
  readonly workspaceId: string
  readonly apiKey: string
}

/** Local Dust behind the proxy, in a process of its own: its memory is not that of the job. */
const serve = Effect.gen(function*() {
  const local = yield* DustTest.serve({
    limits: false,
    seed: { dataSources: [{ sId: "dts_night", name: "night" }] }
  })
  const proxy = yield* Proxy.make({
    origin: local.url,
    rules: [Proxy.randomly({ seed: 20_261_127, rate, path: /data_sources/, troubles })]
  })
  const place: Place = { url: proxy.url, workspaceId: local.workspaceId, apiKey: Redacted.value(local.apiKey) }
  process.send?.(place)
  yield* Effect.async<void>((resume) => {
    process.once("message", () => resume(Effect.void))
  })
  process.send?.(proxy.counts)
})

const work = Effect.gen(function*() {
  const server = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
    env: { ...process.env, NIGHT_SERVER: "1" }
  })
  const message = Effect.async<never>((resume) => {
    server.once("message", (value) => resume(Effect.succeed(value as never)))
  })
  const { apiKey, url, workspaceId }: Place = yield* message
  const client = Dust.layer({ workspaceId, apiKey: Redacted.make(apiKey), baseUrl: url }).pipe(
    Layer.provide(Governor.layerOff),
    Layer.provide(NodeHttpClient.layerUndici)
  )
  console.log(JSON.stringify({ sync: yield* Effect.provide(sync, client) }))
  console.log(JSON.stringify({ load: yield* Effect.provide(load, client) }))
  const counts = message
  server.send("counts")
  console.log(JSON.stringify({ proxy: yield* counts }))
})

// @effect-diagnostics-next-line processEnv:off
await (process.env["NIGHT_SERVER"] === "1" ? Effect.runPromise(Effect.scoped(serve)) : Effect.runPromise(work))
process.exit()
