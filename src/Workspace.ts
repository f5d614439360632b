/**
 * The workspace itself: checks that it can be reached, identifies the caller, lists members, and exports usage.
 *
 * Dust has withdrawn two older usage exports (`/usage`, `/workspace-usage`); {@link Service.analytics} replaces them.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { DustBadRequestError, RequestError, StreamError } from "./DustAPIError.ts"
import type { DustClient, Input, Operation, Service as Client } from "./DustClient.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement, type Tools } from "./internal/api/implement.ts"
import type { Identity, Query } from "./internal/api/operation.ts"
import { workspace } from "./internal/api/workspace.ts"
import { decodeJson } from "./internal/decode/json.ts"
import { elements, type Open } from "./internal/decode/schema.ts"
import { badInput, decode, streamError } from "./internal/request/errors.ts"
import {
  type AnalyticsOptions,
  type AnalyticsRow,
  AnalyticsRows,
  type AnalyticsTable,
  type ConsumptionOptions,
  ConsumptionRow
} from "./Usage.ts"

/**
 * All methods read, fail with `RequestError`, and are retried according to the retry policy; streams until they are open.
 * They accept any credential unless documented otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof workspace> {
  /**
   * Returns whether the workspace exists and the credential is valid for it: a cheap readiness check. Returns
   * `false` only if the workspace does not exist in this region; every other problem is an error.
   *
   * Source: `GET /api/v1/w/{workspaceId}/exists`;
   * `front-api/routes/v1/w/[wId]/exists.ts` in dust-tt/dust.
   */
  readonly exists: () => Effect.Effect<boolean, RequestError>
  /**
   * Returns a usage table as typed rows. Requires an API key with at least the builder role: fails with
   * `DustUserRequiredError` before any request with an access token, and with `DustForbiddenError` for a lower role. Dust
   * accepts 60 requests per minute; the retry policy waits beyond that.
   *
   * Fails with `DustBadRequestError` before any request for dates that do not exist or are in the wrong order.
   *
   * @example
   * ```ts
   * import { Workspace } from "effect-dust/Workspace"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const workspace = yield* Workspace
   *   const rows = yield* workspace.analytics({ table: "agents", startDate: "2026-01-01", endDate: "2026-01-31" })
   *   return rows.map((row) => `${row.name}: ${row.messages} messages`)
   * })
   * ```
   *
   * Source: `GET /api/v1/w/{workspaceId}/analytics/export?format=json`;
   * `front-api/routes/v1/w/[wId]/analytics/export.ts` in dust-tt/dust.
   */
  readonly analytics: <Table extends AnalyticsTable>(
    options: AnalyticsOptions<Table>
  ) => Effect.Effect<ReadonlyArray<AnalyticsRow<Table>>, RequestError>
  /**
   * Returns a usage table as CSV with all columns, even for tables that are unknown to this version. Credential and errors
   * as for `analytics`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/analytics/export?format=csv`;
   * `front-api/routes/v1/w/[wId]/analytics/export.ts` in dust-tt/dust.
   */
  readonly analyticsCsv: (options: AnalyticsOptions<Open<AnalyticsTable>>) => Effect.Effect<string, RequestError>
  /**
   * Streams the same CSV as it arrives. Credential and errors as for `analytics`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/analytics/export?format=csv`;
   * `front-api/routes/v1/w/[wId]/analytics/export.ts` in dust-tt/dust.
   */
  readonly streamAnalyticsCsv: (
    options: AnalyticsOptions<Open<AnalyticsTable>>
  ) => Stream.Stream<string, RequestError>
  /**
   * Streams every billed call of a model or a tool in a period of at most 30 days. Requires an administrator's API key and a
   * plan with this feature; otherwise fails with `DustForbiddenError`.
   *
   * Fails with `DustStreamError` (`remote`) after the rows received so far if the export fails on the server, which stops
   * after ten seconds. In that case, choose a shorter period.
   *
   * Source: `POST /api/v1/w/{workspaceId}/analytics/consumption/export` (`ndjson`);
   * `front-api/routes/v1/w/[wId]/analytics/consumption/export.ts` in dust-tt/dust.
   */
  readonly streamConsumption: (options: ConsumptionOptions) => Stream.Stream<ConsumptionRow, StreamError>
  /**
   * Streams the same calls as CSV, line by line. Credential and errors as for `streamConsumption`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/analytics/consumption/export` (`csv`);
   * `front-api/routes/v1/w/[wId]/analytics/consumption/export.ts` in dust-tt/dust.
   */
  readonly streamConsumptionCsv: (options: ConsumptionOptions) => Stream.Stream<string, StreamError>
}

/**
 * The tag of the service: `yield* Workspace` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Workspace extends Context.Tag("effect-dust/Workspace")<Workspace, Service>() {}

/** JavaScript takes 31 February for 3 March. */
const isDay = (value: string): boolean => {
  const parsed = /^\d{4}-\d{2}-\d{2}$/.test(value) ? DateTime.make(`${value}T00:00:00Z`) : Option.none()
  return Option.isSome(parsed) && DateTime.formatIsoDateUtc(parsed.value) === value
}

const day = (identity: Identity, field: string, value: string) =>
  isDay(value) ? Either.right(value) : Either.left(badInput(identity, field, "an existing day in the form YYYY-MM-DD"))

const isoText = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/i

const analyticsQuery = (
  identity: Identity,
  options: AnalyticsOptions<string>,
  format: "csv" | "json"
): Either.Either<Query, DustBadRequestError> =>
  Either.gen(function*() {
    const startDate = yield* day(identity, "startDate", options.startDate)
    const endDate = yield* day(identity, "endDate", options.endDate)
    if (startDate > endDate) {
      return yield* Either.left(badInput(identity, "endDate", "on or after startDate"))
    }
    return { table: options.table, startDate, endDate, timezone: options.timezone, format }
  })

const longest = Duration.days(30)

const consumptionBody = (
  identity: Identity,
  { endDate, filter, startDate }: ConsumptionOptions,
  format: "csv" | "ndjson"
) =>
  Either.gen(function*() {
    const instant = (field: string, value: DateTime.Utc | Date | string) =>
      Either.fromOption(
        typeof value === "string" && !(isoText.test(value) && isDay(value.slice(0, 10)))
          ? Option.none()
          : DateTime.make(value),
        () => badInput(identity, field, "a valid Date, DateTime or ISO 8601 text")
      )
    const start = yield* instant("startDate", startDate)
    const end = yield* instant("endDate", endDate)
    if (!DateTime.lessThan(start, end)) {
      return yield* Either.left(badInput(identity, "endDate", "later than startDate"))
    }
    if (Duration.greaterThan(DateTime.distanceDuration(start, end), longest)) {
      return yield* Either.left(badInput(identity, "endDate", "at most 30 days after startDate"))
    }
    return { startDate: DateTime.formatIso(start), endDate: DateTime.formatIso(end), format, filter }
  })

/** The text of an answer, in the pieces in which it arrives. */
const streamText = <Route extends string, Body>(
  client: Client,
  operation: Operation<Route, Body, void>,
  input: Input<Route, Body>,
  accept: string
): Stream.Stream<string, RequestError> =>
  Stream.unwrapScoped(Effect.map(client.open<Route, Body, void>(operation, input, { accept }), (response) => {
    const decoder = new TextDecoder()
    return Stream.map(client.body(operation, response), (bytes) => decoder.decode(bytes, { stream: true })).pipe(
      Stream.concat(Stream.sync(() => decoder.decode())),
      Stream.filter((piece) => piece !== "")
    )
  }))

/** Lines with their ends; the last one may have none. */
const linesOf = <E>(pieces: Stream.Stream<string, E>): Stream.Stream<string, E> =>
  Stream.suspend(() => {
    let parts: Array<string> = []
    return Stream.mapConcat(pieces, (piece) => {
      const lines: Array<string> = []
      let start = 0
      for (let end = piece.indexOf("\n"); end !== -1; end = piece.indexOf("\n", start)) {
        parts.push(piece.slice(start, end + 1))
        lines.push(parts.join(""))
        parts = []
        start = end + 1
      }
      if (start < piece.length) parts.push(piece.slice(start))
      return lines
    }).pipe(Stream.concat(Stream.suspend(() => parts.length === 0 ? Stream.empty : Stream.succeed(parts.join("")))))
  })

const errorLine = /^ERROR:\s*(.*)/

/** The error envelope, in a line of its own. */
const ErrorLine = Schema.Struct({ error: Schema.Struct({ message: Schema.String }) })
const decodeErrorLine = Schema.decodeUnknownOption(Schema.parseJson(ErrorLine))

const remoteFailure = (operation: Identity, text: string) => {
  const said = text.trim().slice(0, 300)
  return streamError(operation, "remote", `the export failed: ${said}`, {
    type: /timed out/i.test(said) ? "export_timed_out" : "export_failed",
    details: { message: said }
  })
}

const Row = Schema.make<ConsumptionRow, unknown>(ConsumptionRow.ast)

const decodeRow = (
  operation: Identity,
  line: string
): Either.Either<ConsumptionRow, StreamError> | undefined => {
  if (line.trim() === "") return undefined
  const said = errorLine.exec(line)?.[1]
    ?? (line.startsWith("{\"error\"") ? Option.getOrUndefined(decodeErrorLine(line))?.error.message : undefined)
  if (said !== undefined) return Either.left(remoteFailure(operation, said))
  return Either.mapLeft(decodeJson(Row, line), ({ issues, json }) =>
    json || line.endsWith("\n")
      ? decode(operation, 1, "a row has an unexpected shape", issues)
      : streamError(operation, "truncated", "the export ended in the middle of a row"))
}

type WorkspaceTools = Tools<typeof workspace>

const readAnalytics = ({ client, operation }: WorkspaceTools) =>
<Table extends AnalyticsTable>(
  options: AnalyticsOptions<Table>
): Effect.Effect<ReadonlyArray<AnalyticsRow<Table>>, RequestError> => {
  const { json } = operation.analytics
  if (!Object.hasOwn(AnalyticsRows, options.table)) {
    const expected = `one of ${Object.keys(AnalyticsRows).join(", ")}; use analyticsCsv for others`
    return Effect.fail(badInput(json, "table", expected))
  }
  // The rows have the schema of the table, which is known only now.
  const schema = Schema.make<ReadonlyArray<AnalyticsRow<Table>>, unknown>(
    elements<unknown, unknown>(Schema.make(AnalyticsRows[options.table].ast)).ast
  )
  return Effect.flatMap(
    analyticsQuery(json, options, "json"),
    (query) => client.execute({ ...json, response: { _tag: "Json" as const, schema } }, { query })
  )
}

const streamRows = ({ client, operation }: WorkspaceTools) => (options: ConsumptionOptions) => {
  const { ndjson } = operation.streamConsumption
  return Stream.unwrap(
    Effect.map(
      consumptionBody(ndjson, options, "ndjson"),
      (body) =>
        linesOf(streamText(client, ndjson, { body }, "application/x-ndjson")).pipe(
          Stream.filterMap((line) => Option.fromNullable(decodeRow(ndjson, line))),
          Stream.mapEffect((row): Effect.Effect<ConsumptionRow, StreamError> => row)
        )
    )
  )
}

const streamCsv = ({ client, operation }: WorkspaceTools) => (options: ConsumptionOptions) => {
  const { csv } = operation.streamConsumptionCsv
  return Stream.unwrap(Effect.map(consumptionBody(csv, options, "csv"), (body) => {
    let quoted = false
    return Stream.mapEffect(
      linesOf(streamText(client, csv, { body }, "text/csv")),
      (line): Effect.Effect<string, StreamError> => {
        // Inside a quoted cell such a line is nothing but text.
        const said = quoted ? undefined : errorLine.exec(line)?.[1]
        if (said !== undefined) return Effect.fail(remoteFailure(csv, said))
        for (let at = line.indexOf("\""); at !== -1; at = line.indexOf("\"", at + 1)) quoted = !quoted
        return Effect.succeed(line)
      }
    )
  }))
}

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(Workspace, workspace, (tools) => {
  const { call, client, operation } = tools
  return {
    exists: () =>
      Effect.catchIf(
        Effect.as(call.exists.get(), true),
        (error) =>
          error._tag === "DustNotFoundError" && error.type === "workspace_not_found" &&
          !Predicate.hasProperty(error.details, "redirect"),
        () => Effect.succeed(false)
      ),
    analytics: readAnalytics(tools),
    analyticsCsv: (options: AnalyticsOptions<Open<AnalyticsTable>>) => {
      const { csv } = operation.analyticsCsv
      return Effect.flatMap(analyticsQuery(csv, options, "csv"), (query) => client.execute(csv, { query }))
    },
    streamAnalyticsCsv: (options: AnalyticsOptions<Open<AnalyticsTable>>) => {
      const { csv } = operation.streamAnalyticsCsv
      return Stream.unwrap(
        Effect.map(analyticsQuery(csv, options, "csv"), (query) => streamText(client, csv, { query }, "text/csv"))
      )
    },
    streamConsumption: streamRows(tools),
    streamConsumptionCsv: streamCsv(tools)
  }
})

/**
 * Provides {@link Workspace} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Workspace, never, DustClient> = Layer.effect(Workspace, make)
