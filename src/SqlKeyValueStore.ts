/**
 * A `KeyValueStore` in a SQL database, for state that must survive a machine: the keys of `Chat.start`, and the cursors of
 * `DurableChat`.
 *
 * Requires the optional peer `@effect/sql`; import it from its own path. Supports databases with `ON CONFLICT`, such as PostgreSQL and
 * SQLite.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Error from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/**
 * @category models
 * @since 0.2.0
 */
export interface Options {
  /** Defaults to `effect_dust_store`. Created if it does not exist. */
  readonly table?: string | undefined
}

const failure = (method: string) => (error: SqlError) =>
  new Error.SystemError({
    reason: "Unknown",
    module: "KeyValueStore",
    method,
    description: error.message,
    cause: error
  })

/**
 * Creates the table and returns the store. An entry is written when `set` returns, in a separate transaction or in that of the
 * caller.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<KeyValueStore.KeyValueStore, SqlError, SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient
    const table = sql(options.table ?? "effect_dust_store")
    yield* sql`CREATE TABLE IF NOT EXISTS ${table} (id TEXT PRIMARY KEY, value TEXT NOT NULL)`.pipe(
      // PostgreSQL refuses one of two processes that create it at the same time.
      Effect.retry(Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(5)))
    )
    return KeyValueStore.makeStringOnly({
      get: (key) =>
        sql<{ readonly value: string }>`SELECT value FROM ${table} WHERE id = ${key}`.pipe(
          Effect.map(([row]) => Option.map(Option.fromNullable(row), ({ value }) => value)),
          Effect.mapError(failure("get"))
        ),
      set: (key, value) =>
        sql`INSERT INTO ${table} (id, value) VALUES (${key}, ${value}) ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value`
          .pipe(Effect.asVoid, Effect.mapError(failure("set"))),
      remove: (key) =>
        sql`DELETE FROM ${table} WHERE id = ${key}`.pipe(Effect.asVoid, Effect.mapError(failure("remove"))),
      clear: sql`DELETE FROM ${table}`.pipe(Effect.asVoid, Effect.mapError(failure("clear"))),
      size: sql<{ readonly count: number | bigint | string }>`SELECT COUNT(*) AS count FROM ${table}`.pipe(
        Effect.map(([row]) => Number(row?.count ?? 0)),
        Effect.mapError(failure("size"))
      )
    })
  })

/**
 * Fails if the table cannot be created.
 *
 * @example
 * ```ts
 * import { ClusterWorkflowEngine, SingleRunner } from "@effect/cluster"
 * import type { SqlClient } from "@effect/sql"
 * import * as DurableChat from "effect-dust/DurableChat"
 * import * as SqlKeyValueStore from "effect-dust/SqlKeyValueStore"
 * import { Layer } from "effect"
 *
 * // One database for the cluster and for the keys of questions.
 * declare const Database: Layer.Layer<SqlClient.SqlClient>
 *
 * const Live = DurableChat.layer().pipe(
 *   Layer.provideMerge(ClusterWorkflowEngine.layer),
 *   Layer.provideMerge(SingleRunner.layer()),
 *   Layer.provideMerge(SqlKeyValueStore.layer()),
 *   Layer.provide(Database)
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: Options
): Layer.Layer<KeyValueStore.KeyValueStore, SqlError, SqlClient> =>
  Layer.effect(KeyValueStore.KeyValueStore, make(options))
