/**
 * A process of the tests of durable answers: a runner that executes a workflow and kills itself at planned steps, or one that
 * approves or interrupts. Bundled and run by `test/laws/durable.test.ts`.
 */
import { ClusterWorkflowEngine, RunnerAddress, SingleRunner } from "@effect/cluster"
import { HttpClient, type HttpClientRequest, KeyValueStore } from "@effect/platform"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { LibsqlClient } from "@effect/sql-libsql"
import { PgClient } from "@effect/sql-pg"
import { Activity, Workflow } from "@effect/workflow"
import {
  Clock,
  Duration,
  Effect,
  Exit,
  Layer,
  Logger,
  LogLevel,
  Option,
  Predicate,
  Redacted,
  Schedule,
  Schema
} from "effect"
import * as DurableChat from "effect-dust/DurableChat"
import * as Dust from "effect-dust/Dust"
import { DustAPIError } from "effect-dust/DustAPIError"
import * as SqlKeyValueStore from "effect-dust/SqlKeyValueStore"
import { writeFileSync } from "node:fs"

export interface ChildOptions {
  readonly url: string
  readonly workspaceId: string
  readonly apiKey: string
  readonly database: string
  readonly key: string
  readonly port: number
  /** `ask` answers, `start` only begins, `fail` fails after it has sent its question; `approve` and `interrupt` run no workflow. */
  readonly mode: "ask" | "fail" | "approve" | "interrupt" | "start"
  /** The process that first reaches the first step dies there, and the one that then reaches the second. */
  readonly kills: ReadonlyArray<number>
  /** Where it is noted that a kill has happened. */
  readonly directory: string
  /** How far the clock is ahead. */
  readonly ahead: string
  /** Approves by itself: there is no other process. */
  readonly alone: boolean
}

const { ahead, alone, apiKey, database, directory, key, kills, mode, port, url, workspaceId }: ChildOptions = JSON
  .parse(
    process.argv[2] ?? "{}"
  )

/** Whether no other process has died for this kill. Where it dies is noted. */
const isFirst = (kill: number, where: string): boolean => {
  try {
    writeFileSync(`${directory}/${key}.${kill}`, where, { flag: "wx" })
    return true
  } catch {
    return false
  }
}

let step = 0
const point = (where: string) =>
  Effect.sync(() => {
    const now = step++
    for (const [index, at] of kills.entries()) {
      if (at !== now || !isFirst(index, where)) continue
      process.kill(process.pid, "SIGKILL")
      // The signal may take a moment.
      for (;;);
    }
  })
const around = <A, E, R>(what: string, self: Effect.Effect<A, E, R>) =>
  point(`before ${what}`).pipe(Effect.zipRight(self), Effect.zipLeft(point(`after ${what}`)))

/** A request without ids: its method and the last words of its path. */
const requestName = ({ method, url }: HttpClientRequest.HttpClientRequest) =>
  `${method} ${new URL(url).pathname.split("/").slice(5).filter((word) => !/[A-Z0-9]/.test(word)).join("/")}`
/** An entry without the id of the execution. */
const entryName = (entry: string) => entry.split("/").at(-1) ?? entry

const Killing = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    (client) => HttpClient.transform(client, (execute, request) => around(requestName(request), execute))
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const Store = Layer.effect(
  KeyValueStore.KeyValueStore,
  Effect.map(KeyValueStore.KeyValueStore, (inner) => ({
    ...inner,
    get: (entry: string) => around(`get ${entryName(entry)}`, inner.get(entry)),
    set: (entry: string, value: string | Uint8Array) => around(`set ${entryName(entry)}`, inner.set(entry, value))
  }))
).pipe(Layer.provide(SqlKeyValueStore.layer()))

const isPostgres = database.startsWith("postgres")
const Database = isPostgres
  ? PgClient.layer({ url: Redacted.make(database), maxConnections: 5 })
  : LibsqlClient.layer({ url: database, intMode: "bigint" })

/** A workflow that fails after its question was sent. */
const Failing = Workflow.make({
  name: "Failing",
  payload: { key: Schema.String },
  idempotencyKey: ({ key }) => key,
  success: Schema.Void,
  error: Schema.Union(DustAPIError, Schema.Literal("no budget"))
})

const FailingLive = Failing.toLayer(({ key }) =>
  DurableChat.send({ agent: "mailer", message: `Question ${key}`, settle: "2 seconds" }).pipe(
    DurableChat.withCancel(),
    Effect.zipRight(Activity.make({
      name: "budget",
      error: Schema.Literal("no budget"),
      execute: Effect.zipRight(point("failing"), Effect.fail("no budget" as const))
    }))
  )
)

const Clocked = Layer.unwrapEffect(Effect.map(Effect.clock, (clock) => {
  const millis = Duration.toMillis(Duration.decode(ahead as Duration.DurationInput))
  return Layer.setClock<Clock.Clock>({
    ...clock,
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    sleep: (duration) => clock.sleep(duration),
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + millis,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() + BigInt(millis) * 1_000_000n,
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
    currentTimeNanos: Effect.map(clock.currentTimeNanos, (now) => now + BigInt(millis) * 1_000_000n)
  })
}))

const Live = DurableChat.layer({
  settle: "2 seconds",
  onWaiting: ({ token }) => alone ? DurableChat.approve({ token, decision: "approved" }) : Effect.void
}).pipe(
  Layer.merge(FailingLive),
  Layer.provideMerge(ClusterWorkflowEngine.layer),
  Layer.provideMerge(SingleRunner.layer({
    runnerStorage: "sql",
    shardingConfig: {
      // Without an address, a process is a client of the cluster: it runs no workflow.
      runnerAddress: mode === "approve" || mode === "interrupt"
        ? Option.none()
        : Option.some(RunnerAddress.make("localhost", port)),
      shardsPerGroup: 8,
      // The locks of PostgreSQL end with their connection, and those of SQLite are of an address, which a runner that is started
      // again has, too. A cluster that cannot refresh its locks in time stops its steps, and may read them again ten minutes
      // later: on a loaded machine, seconds are not enough.
      shardLockExpiration: "60 seconds",
      shardLockRefreshInterval: "5 seconds",
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
  ),
  Layer.provideMerge(Clocked)
)

const question = { key, agent: "mailer", message: `Question ${key}` }

const waits = Effect.gen(function*() {
  const executionId = yield* DurableChat.Ask.executionId(question)
  return yield* DurableChat.waitingFor({ executionId }).pipe(
    Effect.flatMap((found) => found),
    Effect.retry(Schedule.spaced("200 millis"))
  )
})

const programs = {
  ask: Effect.map(DurableChat.Ask.execute(question), ({ conversationId, text }) => ({ conversationId, text })),
  fail: Effect.map(Effect.exit(Failing.execute({ key })), (exit) => ({ failed: Exit.isFailure(exit) })),
  approve: Effect.flatMap(waits, ({ token }) => DurableChat.approve({ token, decision: "approved" })),
  interrupt: Effect.flatMap(waits, ({ executionId }) => DurableChat.Ask.interrupt(executionId)),
  start: Effect.flatMap(DurableChat.Ask.execute(question, { discard: true }), () => waits)
} satisfies Record<ChildOptions["mode"], Effect.Effect<unknown, unknown, Layer.Layer.Success<typeof Live>>>

const program: Effect.Effect<unknown, unknown, Layer.Layer.Success<typeof Live>> = programs[mode]

program.pipe(
  Effect.exit,
  Effect.tap((exit) => Effect.sync(() => console.log(JSON.stringify({ exit, steps: step })))),
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
