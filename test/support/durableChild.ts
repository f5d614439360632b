/**
 * A runner of a cluster that asks with `DurableChat.Ask`, and kills itself at a step of that; or a process that approves.
 * Bundled and run by `test/laws/durable.test.ts`.
 */
import { ClusterWorkflowEngine, RunnerAddress, SingleRunner } from "@effect/cluster"
import { HttpClient, KeyValueStore } from "@effect/platform"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { LibsqlClient } from "@effect/sql-libsql"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Logger, LogLevel, Option, Predicate, Redacted, Schedule } from "effect"
import * as DurableChat from "effect-dust/DurableChat"
import * as Dust from "effect-dust/Dust"
import * as SqlKeyValueStore from "effect-dust/SqlKeyValueStore"

const { alone, apiKey, database, key, killAt, mode, port, url, workspaceId } = JSON.parse(process.argv[2] ?? "{}")

const die = (): never => {
  process.kill(process.pid, "SIGKILL")
  // The signal may take a moment.
  for (;;);
}
let step = 0
const point = Effect.sync(() => {
  if (step++ === killAt) die()
})
const around = <A, E, R>(self: Effect.Effect<A, E, R>) => point.pipe(Effect.zipRight(self), Effect.zipLeft(point))

const Killing = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, (client) => HttpClient.transform(client, (execute) => around(execute)))
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const Store = Layer.effect(
  KeyValueStore.KeyValueStore,
  Effect.map(KeyValueStore.KeyValueStore, (inner) => ({
    ...inner,
    get: (entry: string) => around(inner.get(entry)),
    set: (entry: string, value: string | Uint8Array) => around(inner.set(entry, value))
  }))
).pipe(Layer.provide(SqlKeyValueStore.layer()))

const Database = database.startsWith("postgres")
  ? PgClient.layer({ url: Redacted.make(database), maxConnections: 5 })
  : LibsqlClient.layer({ url: database, intMode: "bigint" })

const Live = DurableChat.layer({
  settle: "2 seconds",
  onWaiting: ({ token }) => alone === true ? DurableChat.approve({ token, decision: "approved" }) : Effect.void
}).pipe(
  Layer.provideMerge(ClusterWorkflowEngine.layer),
  Layer.provideMerge(SingleRunner.layer({
    runnerStorage: "sql",
    shardingConfig: {
      runnerAddress: Option.some(RunnerAddress.make("localhost", port)),
      shardsPerGroup: 8,
      shardLockExpiration: "3 seconds",
      shardLockRefreshInterval: "500 millis",
      entityMessagePollInterval: "300 millis",
      entityReplyPollInterval: "200 millis",
      refreshAssignmentsInterval: "500 millis",
      entityTerminationTimeout: "1 second"
    }
  })),
  Layer.provideMerge(Store),
  Layer.provideMerge(Layer.orDie(Database)),
  Layer.provideMerge(
    Dust.layer({ apiKey: Redacted.make(apiKey), workspaceId, baseUrl: url }).pipe(Layer.provide(Killing))
  )
)

const question = { key, agent: "mailer", message: `Question ${key}` }

const ask = Effect.map(
  Effect.retry(DurableChat.Ask.execute(question), { times: 3 }),
  ({ conversationId, text }) => ({ conversationId, text, steps: step })
)

const approve = Effect.gen(function*() {
  const executionId = yield* DurableChat.Ask.executionId(question)
  for (;;) {
    const waiting = yield* DurableChat.waitingFor({ executionId })
    if (Option.isSome(waiting)) {
      yield* DurableChat.approve({ token: waiting.value.token, decision: "approved" })
      return { approved: waiting.value._tag }
    }
    yield* Effect.sleep("200 millis")
  }
})

const program: Effect.Effect<object, unknown, Layer.Layer.Success<typeof Live>> = mode === "approve" ? approve : ask

program.pipe(
  Effect.tap((result) => Effect.sync(() => console.log(JSON.stringify(result)))),
  Effect.provide(Live),
  // Two processes that start on an empty database at the same time: the cluster's own tables are created by one of them only.
  Effect.retry({
    times: 5,
    schedule: Schedule.spaced("500 millis"),
    while: (error) => Predicate.isTagged(error, "SqlError")
  }),
  Logger.withMinimumLogLevel(LogLevel.None),
  Effect.runPromise
).then(() => process.exit(0), (error: unknown) => {
  console.error(error)
  process.exit(1)
})
