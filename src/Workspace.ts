/**
 * The workspace itself: whether it can be reached, who is calling, who its members are, and exports of its usage.
 *
 * The two older usage exports (`/usage`, `/workspace-usage`) were withdrawn by Dust and are not offered:
 * {@link Service.analytics} has what they had.
 *
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
import { type DustBadRequestError, DustDecodeError, type RequestError, type StreamError } from "./DustAPIError.ts"
import { DustClient, type Service as Client } from "./DustClient.ts"
import { AgentId, ConversationId, MessageId, SkillId, SpaceId, TriggerId, UserId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { decodeJson } from "./internal/decode/json.ts"
import { elements, list, nonBlank, nullable, type Open, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { badInput, common, streamError } from "./internal/request/errors.ts"
import { Me } from "./User.ts"

/**
 * An active member of the workspace.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Member = Schema.Struct({
  sId: UserId,
  email: nullable(Schema.String),
  /** Only newer servers say so. */
  seatType: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Member extends Schema.Schema.Type<typeof Member> {}

const text = nullable(Schema.String)
const count = nullable(Schema.Union(Schema.Number, Schema.NumberFromString))
const flag = nullable(Schema.Union(
  Schema.Boolean,
  Schema.transform(Schema.Literal("true", "false"), Schema.Boolean, {
    decode: (value) => value === "true",
    encode: (value) => value ? "true" as const : "false" as const
  })
))
// Lists come as arrays, or as one text.
const texts = withDefault(
  Schema.Union(
    Schema.Array(Schema.String),
    Schema.transform(Schema.String, Schema.Array(Schema.String), {
      decode: (value) => value.split(";").map((one) => one.trim()).filter((one) => one !== ""),
      encode: (values) => values.join("; ")
    })
  ),
  () => []
)

/**
 * The rows of the analytics tables, by the name of the table. A column that the server does not send is `null` (a list:
 * empty), a text that it has not, ids included, is `""`; columns that were added since are left out.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AnalyticsRows = {
  usage_metrics: Schema.Struct({ date: text, messages: count, conversations: count, activeUsers: count }),
  /** Daily, weekly and monthly active users. */
  active_users: Schema.Struct({ date: text, dau: count, wau: count, mau: count }),
  /** Where messages came from. */
  source: Schema.Struct({ date: text, source: text, messageCount: count }),
  agents: Schema.Struct({
    agentId: nullable(AgentId),
    name: text,
    description: text,
    settings: nullable(openLiteral("published", "unpublished", "unknown", "global")),
    modelId: text,
    providerId: text,
    authorEmails: texts,
    editorEmails: texts,
    messages: count,
    distinctUsersReached: count,
    distinctConversations: count,
    lastEdit: text,
    credits: count
  }),
  users: Schema.Struct({
    userId: nullable(UserId),
    userName: text,
    userEmail: text,
    messageCount: count,
    lastMessageSent: text,
    activeDaysCount: count,
    groups: texts,
    credits: count
  }),
  skills: Schema.Struct({
    skillId: nullable(SkillId),
    name: text,
    description: text,
    editedByEmail: text,
    createdAt: text,
    lastEdit: text
  }),
  skill_usage: Schema.Struct({ date: text, skillName: text, executions: count, uniqueUsers: count }),
  tool_usage: Schema.Struct({ date: text, toolName: text, executions: count, uniqueUsers: count }),
  messages: Schema.Struct({
    messageId: nullable(MessageId),
    createdAt: text,
    assistantId: nullable(AgentId),
    assistantName: text,
    assistantSettings: text,
    assistantTags: texts,
    conversationId: nullable(ConversationId),
    parentMessageId: nullable(MessageId),
    userId: nullable(UserId),
    userEmail: text,
    source: text,
    toolsUsed: texts,
    skillsUsed: texts,
    modelId: text,
    modelProviderId: text,
    modelResolutionMethod: nullable(openLiteral("agent", "user", "auto")),
    credits: count
  }),
  feedback: Schema.Struct({
    feedbackId: nullable(Schema.Union(Schema.String, Schema.Number)),
    createdAt: text,
    assistantId: nullable(AgentId),
    assistantName: text,
    conversationId: nullable(ConversationId),
    conversationUrl: text,
    userId: nullable(UserId),
    userEmail: text,
    thumb: nullable(openLiteral("up", "down")),
    content: text,
    dismissed: flag
  })
} as const

/**
 * The names of the analytics tables.
 *
 * @category models
 * @since 0.1.0
 */
export type AnalyticsTable = keyof typeof AnalyticsRows

/**
 * A row of one of the tables.
 *
 * @category models
 * @since 0.1.0
 */
export type AnalyticsRow<Table extends AnalyticsTable> = Schema.Schema.Type<(typeof AnalyticsRows)[Table]>

/**
 * Which table, of which days.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnalyticsOptions<Table extends string = AnalyticsTable> {
  readonly table: Table
  /** The first day, `YYYY-MM-DD`. */
  readonly startDate: string
  /** The last day, itself included, `YYYY-MM-DD`. */
  readonly endDate: string
  /** An IANA name, which says when days begin. Default `UTC`. */
  readonly timezone?: string | undefined
}

/**
 * One billed call of a model or a tool.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ConsumptionRow = Schema.Struct({
  completedAt: text,
  /** Whether a model or a tool was called. */
  consumptionType: text,
  usageType: text,
  status: text,
  conversationId: nullable(ConversationId),
  spaceId: nullable(SpaceId),
  agentMessageId: nullable(MessageId),
  agentId: nullable(AgentId),
  agentName: text,
  agentVersion: count,
  agentTagIds: texts,
  agentRootId: nullable(AgentId),
  agentParentId: nullable(AgentId),
  agentDepth: count,
  modelProviderId: text,
  modelId: text,
  modelName: text,
  modelReasoningEffort: text,
  modelResolutionMethod: text,
  userId: nullable(UserId),
  userName: text,
  userGroupIds: texts,
  userGroupNames: texts,
  triggerId: nullable(TriggerId),
  contextOrigin: text,
  apiKeyName: text,
  toolName: text,
  toolServerName: text,
  toolDisplayName: text,
  toolParentServerName: text,
  toolActionId: text,
  attributedSkillIds: texts,
  attributedSkillNames: texts,
  creditsSystem: count,
  creditsInput: count,
  creditsOutput: count,
  creditsReasoning: count,
  creditsAction: count,
  totalCredits: count,
  stepIndex: count,
  executionTimeMs: count
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ConsumptionRow extends Schema.Schema.Type<typeof ConsumptionRow> {}

/**
 * Only calls with one of the values of each list. At most 500 values in all, of 256 characters each.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumptionFilter {
  readonly agents?: ReadonlyArray<string> | undefined
  readonly users?: ReadonlyArray<string> | undefined
  readonly apiKeys?: ReadonlyArray<string> | undefined
  readonly groups?: ReadonlyArray<string> | undefined
  readonly models?: ReadonlyArray<string> | undefined
  readonly tools?: ReadonlyArray<string> | undefined
  readonly skills?: ReadonlyArray<string> | undefined
  readonly sources?: ReadonlyArray<string> | undefined
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * Which calls, of which period.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsumptionOptions {
  /** From this instant on. A text is ISO 8601, and UTC unless it says otherwise. */
  readonly startDate: DateTime.Utc | Date | string
  /** Before this instant, at most 30 days later. */
  readonly endDate: DateTime.Utc | Date | string
  readonly filter?: ConsumptionFilter | undefined
}

const root = "/api/v1/w/{workspaceId}"

const exists = Operation.unit({ name: "Workspace.exists", http: "GET", route: `${root}/exists` })

const me = Operation.make({
  name: "Workspace.me",
  http: "GET",
  route: "/api/v1/me",
  credential: "user",
  response: Schema.Struct({ user: Me })
})

const members = Operation.make({
  name: "Workspace.members",
  http: "GET",
  route: `${root}/members`,
  response: Schema.Struct({ users: list(Member) })
})

const validateMember = Operation.make({
  name: "Workspace.validateMember",
  http: "POST",
  route: `${root}/members/validate`,
  replay: "safe",
  body: Schema.Struct({ email: nonBlank("an e-mail address") }),
  response: Schema.Struct({ valid: Schema.Boolean })
})

const slow = { headers: "3 minutes", body: "5 minutes" } as const

const analyticsRoute = `${root}/analytics/export` as const

const analyticsOf = <Table extends AnalyticsTable>(table: Table) =>
  Operation.make({
    name: "Workspace.analytics",
    http: "GET",
    route: analyticsRoute,
    credential: "key",
    timeouts: slow,
    response: Schema.make<ReadonlyArray<AnalyticsRow<Table>>, unknown>(
      elements<unknown, unknown>(Schema.make(AnalyticsRows[table].ast)).ast
    )
  })

const analyticsCsv = Operation.text({
  name: "Workspace.analyticsCsv",
  http: "GET",
  route: analyticsRoute,
  credential: "key",
  timeouts: slow,
  decode: (csv) => csv
})

const streamAnalyticsCsv = Operation.unit({
  name: "Workspace.streamAnalyticsCsv",
  http: "GET",
  route: analyticsRoute,
  credential: "key",
  timeouts: slow
})

const values = Schema.optional(Schema.Array(
  nonBlank("a non-blank value").pipe(
    Schema.filter((value) => value.length <= 256 || "at most 256 characters")
  )
))

const Filter = Schema.Struct({
  agents: values,
  users: values,
  apiKeys: values.pipe(Schema.fromKey("api_keys")),
  groups: values,
  models: values,
  tools: values,
  skills: values,
  sources: values,
  tags: values
}).pipe(
  Schema.filter((filter) =>
    Object.values(filter).reduce((sum, list) => sum + (list?.length ?? 0), 0) <= 500 || "at most 500 values in all"
  )
)

const consumptionOperation = (method: string) =>
  Operation.unit({
    name: `Workspace.${method}`,
    http: "POST",
    route: `${root}/analytics/consumption/export`,
    credential: "key",
    replay: "safe",
    timeouts: slow,
    body: Schema.Struct({
      startDate: Schema.String,
      endDate: Schema.String,
      format: Schema.Literal("csv", "ndjson"),
      filter: Schema.optional(Filter)
    })
  })

const consumption = consumptionOperation("consumption")
const consumptionCsv = consumptionOperation("consumptionCsv")

/**
 * Methods fail with `RequestError` and are retried as the retry policy says: all of them only read. Streams are retried until
 * they are open, not after. The credential is any, unless a method says otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * Whether the workspace is there, with a credential that is good for it: the cheapest probe of readiness. `false` only
   * when there is no such workspace in this region; everything else that is wrong is an error, as everywhere.
   *
   * Source: `GET /api/v1/w/{workspaceId}/exists`.
   */
  readonly exists: Effect.Effect<boolean, RequestError>
  /**
   * The user behind the access token, with their workspaces. With an API key it fails with `DustUserRequiredError` before
   * any request.
   *
   * Source: `GET /api/v1/me`.
   */
  readonly me: Effect.Effect<Me, RequestError>
  /**
   * The active members, in one answer. Needs the administrator role, else `DustForbiddenError`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/members`.
   */
  readonly members: Effect.Effect<ReadonlyArray<Member>, RequestError>
  /**
   * Whether an e-mail address is that of an active member.
   *
   * Source: `POST /api/v1/w/{workspaceId}/members/validate`.
   */
  readonly validateMember: (email: string) => Effect.Effect<boolean, RequestError>
  /**
   * A table of usage, as typed rows. Needs an API key (with a user's token: `DustUserRequiredError` before any request)
   * with at least the builder role, else `DustForbiddenError`. 60 per minute: beyond that Dust asks to wait, and the
   * retry policy does.
   *
   * Dates that do not exist or are in the wrong order fail before any request.
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
   * Source: `GET /api/v1/w/{workspaceId}/analytics/export?format=json`.
   */
  readonly analytics: <Table extends AnalyticsTable>(
    options: AnalyticsOptions<Table>
  ) => Effect.Effect<ReadonlyArray<AnalyticsRow<Table>>, RequestError>
  /**
   * The same table as CSV, with all the columns that the server sends; also tables that this version does not know.
   * Credential and errors as for `analytics`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/analytics/export?format=csv`.
   */
  readonly analyticsCsv: (options: AnalyticsOptions<Open<AnalyticsTable>>) => Effect.Effect<string, RequestError>
  /**
   * The same CSV in pieces, as they arrive. Credential and errors as for `analytics`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/analytics/export?format=csv`.
   */
  readonly streamAnalyticsCsv: (
    options: AnalyticsOptions<Open<AnalyticsTable>>
  ) => Stream.Stream<string, RequestError>
  /**
   * Every billed call of a model or a tool in a period of 30 days at most, row by row as they arrive. Needs an
   * administrator's API key and a feature of the plan, else `DustForbiddenError`.
   *
   * The server gives up after ten seconds, and reports that and other failures as a last line inside a 200: here it is a
   * `DustStreamError` (`remote`) after the rows that came before it. Take a shorter period then.
   *
   * Source: `POST /api/v1/w/{workspaceId}/analytics/consumption/export` (`ndjson`).
   */
  readonly consumption: (options: ConsumptionOptions) => Stream.Stream<ConsumptionRow, StreamError>
  /**
   * The same as CSV, line by line. The line that reports a failure is no part of it: it is a `DustStreamError`
   * (`remote`).
   *
   * Source: `POST /api/v1/w/{workspaceId}/analytics/consumption/export` (`csv`).
   */
  readonly consumptionCsv: (options: ConsumptionOptions) => Stream.Stream<string, StreamError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Workspace extends Context.Tag("effect-dust/Workspace")<Workspace, Service>() {}

/** JavaScript takes 31 February for 3 March. */
const isDay = (value: string): boolean => {
  const parsed = /^\d{4}-\d{2}-\d{2}$/.test(value) ? DateTime.make(`${value}T00:00:00Z`) : Option.none()
  return Option.isSome(parsed) && DateTime.formatIsoDateUtc(parsed.value) === value
}

const day = (identity: Operation.Identity, field: string, value: string) =>
  isDay(value) ? Either.right(value) : Either.left(badInput(identity, field, "a day that exists, as YYYY-MM-DD"))

const isoText = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/i

const analyticsQuery = (
  identity: Operation.Identity,
  options: AnalyticsOptions<string>,
  format: "csv" | "json"
): Either.Either<Operation.Query, DustBadRequestError> =>
  Either.gen(function*() {
    const startDate = yield* day(identity, "startDate", options.startDate)
    const endDate = yield* day(identity, "endDate", options.endDate)
    if (startDate > endDate) {
      return yield* Either.left(badInput(identity, "endDate", "a day that is not before startDate"))
    }
    return { table: options.table, startDate, endDate, timezone: options.timezone, format }
  })

const longest = Duration.days(30)

const consumptionBody = (
  identity: Operation.Identity,
  { endDate, filter, startDate }: ConsumptionOptions,
  format: "csv" | "ndjson"
) =>
  Either.gen(function*() {
    const instant = (field: string, value: DateTime.Utc | Date | string) =>
      Either.fromOption(
        typeof value === "string" && !(isoText.test(value) && isDay(value.slice(0, 10)))
          ? Option.none()
          : DateTime.make(value),
        () => badInput(identity, field, "an instant that exists: a Date, a DateTime or ISO 8601 text")
      )
    const start = yield* instant("startDate", startDate)
    const end = yield* instant("endDate", endDate)
    if (!DateTime.lessThan(start, end)) {
      return yield* Either.left(badInput(identity, "endDate", "an instant after startDate"))
    }
    if (Duration.greaterThan(DateTime.distanceDuration(start, end), longest)) {
      return yield* Either.left(badInput(identity, "endDate", "an instant at most 30 days after startDate"))
    }
    return { startDate: DateTime.formatIso(start), endDate: DateTime.formatIso(end), format, filter }
  })

/** The text of an answer, in the pieces in which it arrives. */
const streamText = <Route extends string, Body>(
  client: Client,
  operation: Operation.Operation<Route, Body, void>,
  input: Operation.Input<Route, Body>,
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

const remoteFailure = (operation: Operation.Identity, text: string) => {
  const said = text.trim().slice(0, 300)
  return streamError(operation, "remote", `the export broke off: ${said}`, {
    type: /timed out/i.test(said) ? "export_timed_out" : "export_failed",
    details: { message: said }
  })
}

const Row = Schema.make<ConsumptionRow, unknown>(ConsumptionRow.ast)

const decodeRow = (line: string): Either.Either<ConsumptionRow, StreamError> | undefined => {
  if (line.trim() === "") return undefined
  const said = errorLine.exec(line)?.[1]
    ?? (line.startsWith("{\"error\"") ? Option.getOrUndefined(decodeErrorLine(line))?.error.message : undefined)
  if (said !== undefined) return Either.left(remoteFailure(consumption, said))
  return Either.mapLeft(decodeJson(Row, line), ({ issues, json }) =>
    json || line.endsWith("\n")
      ? new DustDecodeError({
        ...common(consumption, 1),
        message: `Workspace.consumption: a row is not as expected`,
        type: "unexpected_answer",
        details: { issues },
        issues
      }, { disableValidation: true })
      : streamError(consumption, "truncated", "the export ended in the middle of a row"))
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) =>
  Workspace.of({
    exists: Effect.catchIf(
      Effect.as(client.execute(exists, {}), true),
      (error) =>
        error._tag === "DustNotFoundError" && error.type === "workspace_not_found" &&
        !Predicate.hasProperty(error.details, "redirect"),
      () => Effect.succeed(false)
    ),
    me: Effect.map(client.execute(me, {}), (answer) => answer.user),
    members: Effect.map(client.execute(members, {}), (answer) => answer.users),
    validateMember: (email) =>
      Effect.map(client.execute(validateMember, { body: { email } }), (answer) => answer.valid),
    analytics: <Table extends AnalyticsTable>(options: AnalyticsOptions<Table>) => {
      if (!Object.hasOwn(AnalyticsRows, options.table)) {
        return Effect.fail(badInput(
          analyticsCsv,
          "table",
          `one of ${Object.keys(AnalyticsRows).join(", ")}; use analyticsCsv for others`
        ))
      }
      const operation = analyticsOf(options.table)
      return Effect.flatMap(
        analyticsQuery(operation, options, "json"),
        (query): Effect.Effect<ReadonlyArray<AnalyticsRow<Table>>, RequestError> => client.execute(operation, { query })
      )
    },
    analyticsCsv: (options) =>
      Effect.flatMap(
        analyticsQuery(analyticsCsv, options, "csv"),
        (query) => client.execute(analyticsCsv, { query })
      ),
    streamAnalyticsCsv: (options) =>
      Stream.unwrap(Effect.map(
        analyticsQuery(streamAnalyticsCsv, options, "csv"),
        (query) => streamText(client, streamAnalyticsCsv, { query }, "text/csv")
      )),
    consumption: (options) =>
      Stream.unwrap(Effect.map(consumptionBody(consumption, options, "ndjson"), (body) =>
        linesOf(streamText(client, consumption, { body }, "application/x-ndjson")).pipe(
          Stream.filterMap((line) => Option.fromNullable(decodeRow(line))),
          Stream.mapEffect((row): Effect.Effect<ConsumptionRow, StreamError> =>
            row
          )
        ))),
    consumptionCsv: (options) =>
      Stream.unwrap(Effect.map(consumptionBody(consumptionCsv, options, "csv"), (body) => {
        let quoted = false
        return Stream.mapEffect(
          linesOf(streamText(client, consumptionCsv, { body }, "text/csv")),
          (line): Effect.Effect<string, StreamError> => {
            // Inside a quoted cell such a line is nothing but text.
            const said = quoted ? undefined : errorLine.exec(line)?.[1]
            if (said !== undefined) return Effect.fail(remoteFailure(consumptionCsv, said))
            for (let at = line.indexOf("\""); at !== -1; at = line.indexOf("\"", at + 1)) quoted = !quoted
            return Effect.succeed(line)
          }
        )
      }))
  }))

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Workspace, never, DustClient> = Layer.effect(Workspace, make)
