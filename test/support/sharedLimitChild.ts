/** A process that writes documents under limits it shares with other processes in Redis. Prints when it began, and when it sent each request. */
import * as RateLimiter from "@effect/experimental/RateLimiter"
import * as Redis from "@effect/experimental/RateLimiter/Redis"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { Clock, Effect, Layer, Redacted, Schedule } from "effect"
import { DataSources } from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as Governor from "effect-dust/Governor"
import { existsSync, writeFileSync } from "node:fs"

interface Options {
  readonly name: string
  /** The other process: both begin when both are there. */
  readonly other: string
  readonly directory: string
  readonly documents: number
  readonly limit: number
  readonly socket: string
  readonly url: string
  readonly workspaceId: string
  readonly apiKey: string
}

const options: Options = JSON.parse(process.argv[2] ?? "{}")

/** What it prints; times in milliseconds. */
export interface Ended {
  /** Before the first request. */
  readonly begun: number
  readonly starts: ReadonlyArray<number>
}

const starts: Array<number> = []

const Client = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    HttpClient.tapRequest((request) =>
      Effect.sync(() => {
        if (request.method === "POST") starts.push(Date.now())
      })
    )
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const Limits = Governor.layerStore(
  Effect.map(RateLimiter.RateLimiterStore, Governor.storeTokenBucket),
  { limits: { upserts: [{ limit: options.limit, window: "4 seconds" }] } }
).pipe(Layer.provide(Redis.layerStore({ path: options.socket })))

/** Writes the documents from one number to another. */
const job = (from: number, to: number) =>
  Effect.flatMap(
    DataSources,
    (dataSources) =>
      Effect.forEach(Array.from({ length: to - from }, (_, i) => from + i), (i) =>
        dataSources.upsertDocument({
          spaceId: "vlt_global",
          dataSourceId: "dts_handbook",
          documentId: `${options.name}-${i}`,
          text: `text ${i}`
        }), { concurrency: "unbounded", discard: true })
  )

const Live = Dust.layer({
  workspaceId: options.workspaceId,
  apiKey: Redacted.make(options.apiKey),
  baseUrl: options.url
}).pipe(Layer.provide(Limits), Layer.provide(Client))

/** Waits until the other process has come here, too. */
const meet = (where: string) =>
  Effect.sync(() => writeFileSync(`${options.directory}/${options.name}.${where}`, "")).pipe(
    Effect.zipRight(Effect.repeat(
      Effect.sync(() => existsSync(`${options.directory}/${options.other}.${where}`)),
      { until: (isThere) => isThere, schedule: Schedule.spaced("5 millis") }
    ))
  )

const program = Effect.gen(function*() {
  yield* meet("begin")
  const begun = yield* Clock.currentTimeMillis
  yield* job(0, 1)
  yield* meet("first")
  yield* job(1, options.documents)
  return { begun, starts } satisfies Ended
})

process.stdout.write(JSON.stringify(await Effect.runPromise(Effect.provide(program, Live))))
