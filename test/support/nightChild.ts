/** A process that syncs documents or loads a table, and may kill itself during one of its requests. */
import { HttpClient } from "@effect/platform"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer, Redacted, Stream } from "effect"
import { DataSources } from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as Governor from "effect-dust/Governor"
import { documents, type Night, rows } from "./nights.ts"

const night: Night = JSON.parse(process.argv[2] ?? "{}")

let requests = 0

/** On its way: the server may have the request by then, its answer may be there, or neither. */
const killed = Effect.zipRight(
  Effect.sleep(Math.random() * 12),
  // @effect-diagnostics-next-line lazyPromiseInEffectSync:off
  Effect.sync((): never => {
    process.kill(process.pid, "SIGKILL")
    for (;;);
  })
)

const Client = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    (client) =>
      HttpClient.transform(client, (execute) =>
        Effect.suspend(() =>
          requests++ === night.killAt
            ? Effect.raceFirst(Effect.zipRight(Effect.exit(execute), Effect.never), killed)
            : execute
        ))
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const job = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = { spaceId: "vlt_global", dataSourceId: night.dataSourceId }
  if (night.job === "sync") {
    yield* Stream.runDrain(dataSources.syncDocuments({
      ...location,
      documents: documents(night.from, night.to, "new"),
      unchanged: "fingerprint",
      deleteStale: true
    }))
  } else {
    yield* dataSources.loadTable({
      ...location,
      table: { name: "orders" },
      rows: rows(night.from, night.to, "new"),
      batchSize: 50,
      replace: true
    })
  }
})

const dust = Dust.layer({
  workspaceId: night.workspaceId,
  apiKey: Redacted.make(night.apiKey),
  baseUrl: night.url
}).pipe(Layer.provide(Governor.layerOff), Layer.provide(Client))

await Effect.runPromise(Effect.provide(job, dust))
process.stdout.write(String(requests))
