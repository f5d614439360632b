/** A process that writes documents under limits it shares with other processes in Redis. Prints when it sent each request. */
import * as RateLimiter from "@effect/experimental/RateLimiter"
import * as Redis from "@effect/experimental/RateLimiter/Redis"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { Effect, Layer, Redacted } from "effect"
import { DataSources } from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as Governor from "effect-dust/Governor"

interface Options {
  readonly name: string
  readonly documents: number
  readonly limit: number
  readonly port: number
  readonly url: string
  readonly workspaceId: string
  readonly apiKey: string
}

const options: Options = JSON.parse(process.argv[2] ?? "{}")

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
).pipe(Layer.provide(Redis.layerStore({ host: "127.0.0.1", port: options.port })))

const job = Effect.flatMap(
  DataSources,
  (dataSources) =>
    Effect.forEach(Array.from({ length: options.documents }, (_, i) => i), (i) =>
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

await Effect.runPromise(Effect.provide(job, Live))
process.stdout.write(JSON.stringify(starts))
