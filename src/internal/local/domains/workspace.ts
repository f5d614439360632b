/** The workspace: the caller, its members, and usage exports. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { workspace as workspaceApi } from "../../api/workspace.ts"
import { isAcceptedTimezone } from "../../input/timezoneNames.ts"
import { routesOf } from "../server/declared.ts"
import { badRequest, encodeText, json, refuse, type Refusal, stream, text } from "../server/http.ts"
import { body, type Context, type Route, route } from "../server/route.ts"
import type { AnalyticsSeed } from "../state/seed.ts"
import { slice, type World } from "../state/state.ts"

/** The columns of each table, in order. */
const columns: Readonly<Record<string, ReadonlyArray<string>>> = {
  usage_metrics: ["date", "messages", "conversations", "activeUsers"],
  active_users: ["date", "dau", "wau", "mau"],
  source: ["date", "source", "messageCount"],
  agents: [
    "agentId",
    "name",
    "description",
    "settings",
    "modelId",
    "providerId",
    "authorEmails",
    "editorEmails",
    "messages",
    "distinctUsersReached",
    "distinctConversations",
    "lastEdit",
    "credits"
  ],
  users: [
    "userId",
    "userName",
    "userEmail",
    "messageCount",
    "lastMessageSent",
    "activeDaysCount",
    "groups",
    "credits"
  ],
  skills: ["skillId", "name", "description", "editedByEmail", "createdAt", "lastEdit"],
  skill_usage: ["date", "skillName", "executions", "uniqueUsers"],
  tool_usage: ["date", "toolName", "executions", "uniqueUsers"],
  messages: [
    "messageId",
    "createdAt",
    "assistantId",
    "assistantName",
    "assistantSettings",
    "assistantTags",
    "conversationId",
    "parentMessageId",
    "userId",
    "userEmail",
    "source",
    "toolsUsed",
    "skillsUsed",
    "modelId",
    "modelProviderId",
    "modelResolutionMethod",
    "credits"
  ],
  feedback: [
    "feedbackId",
    "createdAt",
    "assistantId",
    "assistantName",
    "conversationId",
    "conversationUrl",
    "userId",
    "userEmail",
    "thumb",
    "content",
    "dismissed"
  ]
}

const consumptionColumns: ReadonlyArray<string> = [
  "completedAt",
  "conversationId",
  "spaceId",
  "agentMessageId",
  "consumptionType",
  "agentId",
  "agentName",
  "agentVersion",
  "agentTagIds",
  "agentRootId",
  "agentParentId",
  "agentDepth",
  "modelProviderId",
  "modelId",
  "modelName",
  "modelReasoningEffort",
  "modelResolutionMethod",
  "userId",
  "userName",
  "userGroupIds",
  "userGroupNames",
  "triggerId",
  "contextOrigin",
  "apiKeyName",
  "toolName",
  "toolServerName",
  "toolDisplayName",
  "toolParentServerName",
  "toolActionId",
  "attributedSkillIds",
  "attributedSkillNames",
  "creditsSystem",
  "creditsInput",
  "creditsOutput",
  "creditsReasoning",
  "creditsAction",
  "totalCredits",
  "usageType",
  "status",
  "stepIndex",
  "executionTimeMs"
]

const sample: AnalyticsSeed = {
  tables: {
    usage_metrics: [
      { date: "2026-01-01", messages: 12, conversations: 4, activeUsers: 3 },
      { date: "2026-01-02", messages: 31, conversations: 9, activeUsers: 5 },
      { date: "2026-01-03", messages: 7, conversations: 2, activeUsers: 2 }
    ],
    agents: [{
      agentId: "dust",
      name: "dust",
      description: "The global agent, \"dust\"",
      settings: "global",
      modelId: "gpt-5",
      providerId: "openai",
      authorEmails: [],
      editorEmails: ["grace@local-dust.test", "ada@local-dust.test"],
      messages: 50,
      distinctUsersReached: 5,
      distinctConversations: 15,
      lastEdit: "",
      credits: 12.5
    }],
    users: [{
      userId: "usr_ada",
      userName: "Ada Lovelace",
      userEmail: "ada@local-dust.test",
      messageCount: 20,
      lastMessageSent: "2026-01-03T10:00:00.000Z",
      activeDaysCount: 3,
      groups: "",
      credits: 4
    }],
    feedback: [{
      feedbackId: "1",
      createdAt: "2026-01-02T09:00:00.000Z",
      assistantId: "dust",
      assistantName: "dust",
      conversationId: "cnv_1",
      conversationUrl: "",
      userId: "usr_ada",
      userEmail: "ada@local-dust.test",
      thumb: "up",
      content: "Just right",
      dismissed: "false"
    }]
  },
  consumption: [1, 2, 3].map((n) => ({
    completedAt: `2026-01-0${n}T08:00:00.000Z`,
    conversationId: "cnv_1",
    agentMessageId: `msg_${n}`,
    consumptionType: "llm",
    agentId: "dust",
    agentName: "dust",
    agentTagIds: "tag_1; tag_2",
    modelProviderId: "openai",
    modelId: "gpt-5",
    userGroupNames: "",
    apiKeyName: "Local Dust",
    totalCredits: n / 2,
    status: "succeeded",
    stepIndex: 0
  }))
}

const seedOf = (world: World): AnalyticsSeed => world.seed.analytics ?? sample

const csvCell = (value: unknown): string => {
  const cell = value === null || value === undefined ? "" : Array.isArray(value) ? value.join("; ") : String(value)
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll("\"", "\"\"")}"` : cell
}

const csvLine = (cells: ReadonlyArray<unknown>): string => `${cells.map(csvCell).join(",")}\n`

const invalid = (message: string) => badRequest(`Invalid query parameters: Validation error: ${message}`)

/** Requests per minute: the only rate limit of usage exports that Dust enforces. */
const exportsPerMinute = 60

const calls = slice("analytics", () => ({ minute: 0, count: 0 }))

const limited = (world: World): Effect.Effect<void, Refusal> =>
  Effect.suspend(() => {
    const seen = calls(world)
    const minute = Math.floor(world.now() / 60_000)
    if (seen.minute !== minute) {
      seen.minute = minute
      seen.count = 0
    }
    return ++seen.count <= exportsPerMinute ? Effect.void : refuse(
      429,
      "rate_limit_error",
      "The rate limit of this endpoint is exceeded.",
      {},
      { "retry-after": String(Math.max(1, Math.ceil((60_000 - (world.now() % 60_000)) / 1000))) }
    )
  })

/** Exports are for API keys, whatever the role of a user. */
const requireKey = ({ auth, world }: Context): Effect.Effect<void, Refusal> =>
  auth.kind === "user" && world.quirks.credentialRules
    ? refuse(403, "workspace_auth_error", "Workspace analytics export requires API key authentication.")
    : Effect.void

const exportAnalytics = (context: Context) =>
  Effect.gen(function*() {
    const { query, world } = context
    yield* requireKey(context)
    yield* limited(world)
    const table = query.get("table") ?? ""
    const format = query.get("format") ?? "csv"
    const names = Object.hasOwn(columns, table) ? columns[table] : undefined
    if (names === undefined) return yield* invalid(`Invalid enum value "${table}" at "table"`)
    if (format !== "csv" && format !== "json") return yield* invalid(`Invalid enum value "${format}" at "format"`)
    const timezone = query.get("timezone") ?? "UTC"
    if (world.quirks.fixedTimezones && !isAcceptedTimezone(timezone)) return yield* invalid("Invalid timezone")
    const from = query.get("startDate") ?? ""
    const to = query.get("endDate") ?? ""
    for (const date of [from, to]) {
      if (!/^\d{4}-\d{2}-\d{2}$/.test(date)) return yield* invalid("dates must be YYYY-MM-DD")
    }
    if (from > to) return yield* invalid("startDate must not be after endDate")
    const rows = (seedOf(world).tables?.[table] ?? []).filter((row) =>
      typeof row["date"] !== "string" || (row["date"] >= from && row["date"] <= to)
    )
    return format === "json" ? json(rows) : text(
      [names, ...rows.map((row) => names.map((name) => row[name]))].map(csvLine).join(""),
      {
        contentType: "text/csv",
        headers: { "content-disposition": `attachment; filename="dust_${table}_${from}_${to}.csv"` }
      }
    )
  })

const filterNames: ReadonlyMap<string, string> = new Map([
  ["agents", "agentId"],
  ["users", "userId"],
  ["api_keys", "apiKeyName"],
  ["groups", "userGroupIds"],
  ["models", "modelId"],
  ["tools", "toolName"],
  ["skills", "attributedSkillIds"],
  ["sources", "contextOrigin"],
  ["tags", "agentTagIds"]
])

const month = 30 * 24 * 60 * 60 * 1000

const exportConsumption = (context: Context) =>
  Effect.gen(function*() {
    const { world } = context
    const seed = seedOf(world)
    const input = yield* body(
      context,
      Schema.Struct({
        startDate: Schema.String,
        endDate: Schema.String,
        format: Schema.optionalWith(Schema.Literal("csv", "ndjson"), { default: () => "csv" as const }),
        filter: Schema.optional(
          Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String.pipe(Schema.maxLength(256))) })
        )
      })
    )
    const from = Date.parse(input.startDate)
    const to = Date.parse(input.endDate)
    const filter = Object.entries(input.filter ?? {})
    const problem = Number.isNaN(from) || Number.isNaN(to)
      ? "Invalid datetime"
      : from >= to
      ? "startDate must be strictly before endDate"
      : to - from > month
      ? "Time range must not exceed 30 days"
      : filter.some(([name]) => !filterNames.has(name))
      ? "Unrecognized key(s) in \"filter\""
      : filter.reduce((sum, [, values]) => sum + values.length, 0) > 500
      ? "Filter must not exceed 500 values total"
      : undefined
    if (problem !== undefined) return yield* badRequest(`Invalid request body: Validation error: ${problem}`)
    yield* requireKey(context)
    if (seed.consumptionEnabled === false) {
      return yield* refuse(
        403,
        "feature_flag_not_found",
        "The workspace does not have access to the consumption export API."
      )
    }
    const rows = (seed.consumption ?? []).filter((row) => {
      const at = Date.parse(String(row["completedAt"]))
      return at >= from && at < to && filter.every(([name, wanted]) =>
        String(row[filterNames.get(name) ?? ""] ?? "").split("; ").some((value) => wanted.includes(value))
      )
    })
    const failure = seed.consumptionFailure
    const given = failure === undefined ? rows : rows.slice(0, failure.afterRows)
    const lines = input.format === "ndjson"
      ? given.map((row) =>
        `${JSON.stringify(Object.fromEntries(consumptionColumns.map((name) => [name, row[name] ?? null])))}\n`
      )
      : [csvLine(consumptionColumns), ...given.map((row) => csvLine(consumptionColumns.map((name) => row[name])))]
    if (failure !== undefined && world.quirks.exportErrorLine) lines.push(`ERROR: ${failure.message}`)
    return stream(
      Stream.unfoldChunk(0, (at: number) => {
        const line = lines[at]
        return line === undefined ? Option.none() : Option.some([Chunk.of(encodeText(line)), at + 1] as const)
      }),
      {
        contentType: input.format === "csv" ? "text/csv" : "application/x-ndjson",
        headers: {
          "content-disposition": `attachment; filename="dust_consumption_${new Date(from).toISOString()}_${
            new Date(to).toISOString()
          }.${input.format}"`
        }
      }
    )
  })

const base = "/api/v1/w/:workspaceId"

/** Only these two routes respond to other methods with 405. */
const otherMethods = (method: Route["method"], path: string): ReadonlyArray<Route> =>
  (["GET", "POST", "PATCH", "PUT", "DELETE"] as const).filter((one) => one !== method).map((one) =>
    route(one, path, {
      auth: "any",
      handler: () =>
        refuse(405, "method_not_supported_error", `The method passed is not supported, ${method} is expected.`)
    })
  )

export const workspaceRoutes: ReadonlyArray<Route> = [
  ...routesOf(workspaceApi)({
    "GET /api/v1/me": {
      auth: "user",
      denied: {
        status: 401,
        type: "not_authenticated",
        message: "The request does not have valid authentication credentials."
      },
      handler: ({ auth, world }) =>
        Effect.sync(() =>
          json({
            user: {
              ...auth.user,
              workspaces: [world.owner(auth)],
              organizations: [],
              origin: "invited",
              selectedWorkspace: world.workspaceId
            }
          })
        )
    },
    "GET /exists": {
      auth: "any",
      handler: () => Effect.succeed(json({ exists: true }))
    },
    "GET /members": {
      auth: "admin",
      handler: ({ world }) =>
        Effect.sync(() =>
          json({
            users: [...world.members.values()].map(({ user }) => ({
              sId: user.sId,
              id: user.id,
              email: user.email,
              seatType: "workspace"
            }))
          })
        )
    },
    "POST /members/validate": {
      auth: "any",
      handler: (context) =>
        Effect.map(body(context, Schema.Struct({ email: Schema.String })), ({ email }) =>
          json({
            valid: [...context.world.members.values()].some(({ user }) => user.email === email.trim().toLowerCase())
          }))
    },
    "GET /analytics/export": { auth: "builder", handler: exportAnalytics },
    "POST /analytics/consumption/export": { auth: "admin", handler: exportConsumption }
  }),
  ...otherMethods("GET", `${base}/analytics/export`),
  ...otherMethods("POST", `${base}/analytics/consumption/export`)
]
