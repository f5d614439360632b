/** Validates every response of Local Dust and every request body of the SDK against the official schemas. */
import * as Official from "@dust-tt/client"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream, TestClock } from "effect"
import { Apps } from "effect-dust/Apps"
import { Conversations } from "effect-dust/Conversations"
import { DataSources } from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import { McpServers } from "effect-dust/McpServers"
import { internalRoutes } from "../../src/internal/local/domains/systemKey.ts"
import { routes } from "../../src/internal/local/server/router.ts"
import { type Call, calls } from "../fixtures/calls.ts"
import { official as officialFields } from "../support/fields.ts"
import { get, type Json, parseFrames, post, send } from "../support/local.ts"
import { accepts, unexported, type ZodSchema } from "../support/referee.ts"

const hidden = await unexported(
  "CheckUpsertQueueResponseSchema",
  "DataSourceSearchResponseSchema",
  "DataSourceViewsListResponseSchema",
  "DeleteDocumentResponseSchema",
  "GetDocumentResponseSchema",
  "GetDocumentsResponseSchema",
  "GetTableResponseSchema",
  "GetTableRowsResponseSchema",
  "ListTableRowsResponseSchema",
  "ListTablesResponseSchema",
  "PostParentsResponseSchema",
  "UpsertDocumentResponseSchema",
  "UpsertTableResponseSchema",
  "UpsertTableRowsResponseSchema",
  "ValidateMemberResponseSchema"
)

const conversation = "/assistant/conversations/:conversationId"
const message = `${conversation}/messages/:messageId`
const agent = "/assistant/agent_configurations"
const app = "/spaces/:spaceId/apps"
const source = "/spaces/:spaceId/data_sources/:dataSourceId"
const view = "/spaces/:spaceId/data_source_views"

/** An asynchronous upsert has no `data_source`, which the schema wrongly requires (data-sources.md, "Response"). */
const upserted: ZodSchema = {
  safeParse: (value) =>
    hidden.UpsertDocumentResponseSchema.safeParse(
      Object.keys((value as Json).document).join() === "document_id"
        ? { ...value as Json, data_source: aDataSource }
        : value
    )
}
const aDataSource: Json = {
  id: 1,
  sId: "dts",
  createdAt: 0,
  name: "d",
  description: null,
  assistantDefaultSelected: true,
  dustAPIProjectId: "1",
  dustAPIDataSourceId: "1",
  connectorId: null,
  connectorProvider: null
}

/** The schema of each response. */
const answers: Readonly<Record<string, ZodSchema>> = {
  "GET /api/v1/me": Official.MeResponseSchema,
  "GET /exists": Official.GetWorkspaceExistsResponseSchema,
  "POST /assistant/conversations": Official.CreateConversationResponseSchema,
  "GET /assistant/conversations": Official.GetConversationsResponseSchema,
  [`GET ${conversation}`]: Official.GetConversationResponseSchema,
  [`PATCH ${conversation}`]: Official.PatchConversationResponseSchema,
  [`POST ${conversation}/messages`]: Official.PostUserMessageResponseSchema,
  [`POST ${conversation}/cancel`]: Official.CancelMessageGenerationResponseSchema,
  [`POST ${message}/edit`]: Official.PostUserMessageResponseSchema,
  [`POST ${message}/retry`]: Official.RetryMessageResponseSchema,
  [`POST ${conversation}/content_fragments`]: Official.PostContentFragmentResponseSchema,
  [`GET ${conversation}/actions/blocked`]: Official.BlockedActionsResponseSchema,
  [`POST ${message}/validate-action`]: Official.ValidateActionResponseSchema,
  [`POST ${message}/answer-question`]: Official.AnswerUserQuestionResponseSchema,
  [`GET ${conversation}/feedbacks`]: Official.GetFeedbacksResponseSchema,
  [`POST ${message}/feedbacks`]: Official.PostMessageFeedbackResponseSchema,
  [`DELETE ${message}/feedbacks`]: Official.PostMessageFeedbackResponseSchema,
  [`GET ${agent}`]: Official.GetAgentConfigurationsResponseSchema,
  [`GET ${agent}/search`]: Official.GetAgentConfigurationsResponseSchema,
  [`POST ${agent}/import`]: Official.ImportAgentConfigurationFromYAMLResponseSchema,
  [`GET ${agent}/:agentId`]: Official.GetOrPatchAgentConfigurationResponseSchema,
  [`PATCH ${agent}/:agentId`]: Official.GetOrPatchAgentConfigurationResponseSchema,
  [`DELETE ${agent}/:agentId`]: Official.DeleteAgentConfigurationResponseSchema,
  [`GET ${agent}/:agentId/export/yaml`]: Official.GetAgentConfigurationYAMLExportResponseSchema,
  [`GET ${app}`]: Official.GetAppsResponseSchema,
  [`POST ${app}/check`]: Official.AppsCheckResponseSchema,
  [`POST ${app}/:appId/runs`]: Official.RunAppResponseSchema,
  [`GET ${app}/:appId/runs/:runId`]: Official.RunAppResponseSchema,
  "GET /spaces/:spaceId/data_sources": Official.GetDataSourcesResponseSchema,
  [`GET ${source}/check_upsert_queue`]: hidden.CheckUpsertQueueResponseSchema,
  [`GET ${source}/documents`]: hidden.GetDocumentsResponseSchema,
  [`GET ${source}/documents/:documentId`]: hidden.GetDocumentResponseSchema,
  [`POST ${source}/documents/:documentId`]: upserted,
  [`DELETE ${source}/documents/:documentId`]: hidden.DeleteDocumentResponseSchema,
  [`POST ${source}/documents/:documentId/parents`]: hidden.PostParentsResponseSchema,
  [`GET ${source}/search`]: hidden.DataSourceSearchResponseSchema,
  [`POST ${source}/tokenize`]: Official.TokenizeResponseSchema,
  [`GET ${source}/tables`]: hidden.ListTablesResponseSchema,
  [`POST ${source}/tables`]: hidden.UpsertTableResponseSchema,
  [`GET ${source}/tables/:tableId`]: hidden.GetTableResponseSchema,
  [`GET ${source}/tables/:tableId/rows`]: hidden.ListTableRowsResponseSchema,
  [`POST ${source}/tables/:tableId/rows`]: hidden.UpsertTableRowsResponseSchema,
  [`GET ${source}/tables/:tableId/rows/:rowId`]: hidden.GetTableRowsResponseSchema,
  [`GET ${source}/folders`]: Official.GetFoldersResponseSchema,
  [`GET ${source}/folders/:folderId`]: Official.GetFolderResponseSchema,
  [`POST ${source}/folders/:folderId`]: Official.UpsertFolderResponseSchema,
  [`DELETE ${source}/folders/:folderId`]: Official.DeleteFolderResponseSchema,
  [`GET ${view}`]: hidden.DataSourceViewsListResponseSchema,
  [`GET ${view}/:dataSourceViewId`]: Official.DataSourceViewResponseSchema,
  [`PATCH ${view}/:dataSourceViewId`]: Official.DataSourceViewResponseSchema,
  [`GET ${view}/:dataSourceViewId/search`]: hidden.DataSourceSearchResponseSchema,
  "GET /data_source_views/search": Official.SearchDataSourceViewsResponseSchema,
  "POST /files": Official.FileUploadRequestResponseSchema,
  "POST /files/:fileId": Official.FileUploadedRequestResponseSchema,
  "GET /assistant/mentions/suggestions": Official.GetMentionSuggestionsResponseBodySchema,
  [`GET ${conversation}/mentions/suggestions`]: Official.GetMentionSuggestionsResponseBodySchema,
  "POST /assistant/mentions/parse": Official.ParseMentionsResponseBodySchema,
  "POST /mcp/register": Official.RegisterMCPResponseSchema,
  "POST /mcp/heartbeat": Official.HeartbeatMCPResponseSchema,
  "POST /mcp/results": Official.PostMCPResultsResponseSchema,
  "POST /members/validate": hidden.ValidateMemberResponseSchema,
  "POST /search": Official.PostWorkspaceSearchResponseBodySchema,
  "POST /search/tools/upload": Official.FileUploadedRequestResponseSchema,
  "POST /triggers/hooks/:webhookSourceId/:webhookSourceUrlSecret": Official.PostWebhookTriggerResponseSchema,
  "GET /spaces": Official.GetSpacesResponseSchema,
  "GET /spaces/:spaceId/mcp_server_views": Official.GetMCPServerViewsResponseSchema
}

/** Routes without an official response schema. */
const unjudged: Readonly<Record<string, string>> = {
  "GET /api/v1/auth/authorize": "a redirect",
  "POST /api/v1/auth/authenticate": "WorkOS answers, and the official client has no schema for it",
  [`GET ${conversation}/events`]: "a stream: its events are judged in referee/conversations.test.ts",
  [`GET ${message}/events`]: "a stream: its events are judged in referee/conversations.test.ts",
  "GET /mcp/requests": "a stream of JSON-RPC messages",
  "GET /search": "a stream: judged in referee/workspace.test.ts",
  [`GET ${conversation}/files/*rel`]: "bytes",
  "GET /files/:fileId": "bytes",
  "GET /local-dust-files/:fileId": "bytes",
  "GET /analytics/export": "rows, as CSV or JSON",
  "POST /analytics/consumption/export": "rows, as CSV or JSON",
  "DELETE /files/:fileId": "no body",
  [`DELETE ${source}/tables/:tableId`]: "no body",
  "DELETE /spaces/:spaceId/members/:userId": "no body",
  [`DELETE ${source}/tables/:tableId/rows/:rowId`]: "no schema",
  [`GET ${conversation}/consumption`]: "newer than the client",
  [`POST ${conversation}/tools`]: "refuses everybody",
  "POST /assistant/generic_agents": "refuses everybody",
  "POST /mcp/deregister": "no schema",
  "GET /members": "no schema",
  "GET /spaces/:spaceId/members": "no schema",
  "POST /spaces/:spaceId/members": "no schema",
  "GET /skills": "no schema",
  "POST /skills": "no schema",
  "DELETE /skills/:skillId": "no schema",
  "GET /triggers": "newer than the client",
  "GET /triggers/:triggerId": "newer than the client"
}

/** The schema of each request body of the SDK. */
const bodies: Readonly<Record<string, ZodSchema>> = {
  "POST /assistant/conversations": Official.PublicPostConversationsRequestBodySchema,
  [`PATCH ${conversation}`]: Official.PatchConversationRequestSchema,
  [`POST ${conversation}/messages`]: Official.PublicPostMessagesRequestBodySchema,
  [`POST ${conversation}/cancel`]: Official.CancelMessageGenerationRequestSchema,
  [`POST ${conversation}/content_fragments`]: Official.PublicPostContentFragmentRequestBodySchema,
  [`POST ${message}/edit`]: Official.PublicPostEditMessagesRequestBodySchema,
  [`POST ${message}/feedbacks`]: Official.PublicPostMessageFeedbackRequestBodySchema,
  [`POST ${message}/validate-action`]: Official.ValidateActionRequestBodySchema,
  [`POST ${message}/answer-question`]: Official.AnswerUserQuestionRequestBodySchema,
  [`PATCH ${agent}/:agentId`]: Official.PatchAgentConfigurationRequestSchema,
  [`POST ${app}/check`]: Official.AppsCheckRequestSchema,
  [`POST ${source}/documents/:documentId`]: Official.PostDataSourceDocumentRequestSchema,
  [`POST ${source}/documents/:documentId/parents`]: Official.PostTableParentsRequestSchema,
  [`POST ${source}/tables`]: Official.UpsertDatabaseTableRequestSchema,
  [`POST ${source}/tables/:tableId/rows`]: Official.UpsertTableRowsRequestSchema,
  [`PATCH ${view}/:dataSourceViewId`]: Official.PatchDataSourceViewRequestSchema,
  "POST /files": Official.FileUploadUrlRequestSchema,
  "POST /assistant/mentions/parse": Official.ParseMentionsRequestBodySchema,
  "POST /mcp/register": Official.PublicRegisterMCPRequestBodySchema,
  "POST /mcp/heartbeat": Official.PublicHeartbeatMCPRequestBodySchema,
  "POST /mcp/deregister": Official.PublicHeartbeatMCPRequestBodySchema,
  "POST /mcp/results": Official.PublicPostMCPResultsRequestBodySchema,
  "POST /members/validate": Official.ValidateMemberRequestSchema,
  "POST /search": Official.SearchRequestBodySchema,
  "POST /spaces/:spaceId/members": Official.PostSpaceMembersRequestBodySchema
}

/** Fields of request bodies that only the SDK sends here, or that only the official schema has. */
const fieldsApart: Readonly<Record<string, readonly [beyond: string, leftOut: string]>> = {
  // The first message is sent to the message route.
  "POST /assistant/conversations": [
    "",
    "agenticMessageData blocking clientSideMCPServerIds configurationId content contentFragment contentFragments contentType context depth email fileId fullName lastTriggerRunAt mentions message modelId modelSelection nodeDataSourceViewId nodeId origin originMessageId profilePictureUrl providerId reasoningEffort selectedMCPServerViewIds skipToolsValidation supersededContentFragmentId timezone type url userId username"
  ],
  // A user mention, and fields reserved for system keys; the rest is optional and unused in these calls.
  [`POST ${conversation}/messages`]: [
    "",
    "agenticMessageData blocking clientSideMCPServerIds email fullName lastTriggerRunAt originMessageId profilePictureUrl reasoningEffort selectedMCPServerViewIds type userId"
  ],
  [`POST ${conversation}/content_fragments`]: [
    "",
    "context email fullName profilePictureUrl supersededContentFragmentId username"
  ],
  [`POST ${message}/edit`]: ["", "skipToolsValidation type userId"],
  // The official schema has only the original fields.
  [`PATCH ${agent}/:agentId`]: [
    "agent description editors generation_settings instructions skills space_id spaces tags temperature toolset",
    ""
  ],
  [`POST ${source}/documents/:documentId`]: ["", "parent_id parents"],
  [`POST ${source}/tables`]: [
    "",
    "mime_type parent_id parents remote_database_secret_id remote_database_table_id"
  ],
  // A column of the table; a date among its values.
  [`POST ${source}/tables/:tableId/rows`]: ["a", "epoch type"],
  // One of parentsIn, parentsToAdd and parentsToRemove.
  [`PATCH ${view}/:dataSourceViewId`]: ["", "parentsIn"],
  // Any JSON-RPC message.
  "POST /mcp/results": ["id jsonrpc", ""]
}

/** Request bodies without an official schema. */
const unjudgedBodies: ReadonlyArray<string> = [
  `POST ${message}/retry`,
  `POST ${agent}/import`,
  `POST ${app}/:appId/runs`,
  `POST ${source}/tokenize`,
  "POST /files/:fileId",
  "POST /analytics/consumption/export",
  "POST /search/tools/upload",
  "POST /skills",
  "POST /triggers/hooks/:webhookSourceId/:webhookSourceUrlSecret"
]

const queries: Readonly<Record<string, ZodSchema>> = {
  "GET /analytics/export": Official.GetAnalyticsExportRequestSchema,
  "GET /mcp/requests": Official.PostMCPRequestsRequestQuerySchema,
  "GET /assistant/mentions/suggestions": Official.GetMentionSuggestionsRequestQuerySchema,
  "GET /spaces/:spaceId/mcp_server_views": Official.GetMCPServerViewsQuerySchema
}

/** The only two routes that respond to every method. */
const wrongMethods = routes.filter(({ method, path }) =>
  (path.endsWith("/analytics/export") && method !== "GET")
  || (path.endsWith("/analytics/consumption/export") && method !== "POST")
)

/** A route without its workspace; paths without a space are mapped to those with one. */
const short = (method: string, path: string) =>
  `${method} ${path.replace("/api/v1/w/:workspaceId", "").replace(/^\/data_sources/, "/spaces/:spaceId/data_sources")}`

const system = "sk-dust-itself"

const options: DustTest.Options = {
  agents: {
    careful: [DustTest.approval({ name: "delete", stake: "low" })],
    curious: [DustTest.question({ question: "Which?", options: ["a", "b"] })]
  },
  credentials: {
    apiKeys: [{ value: system, system: true }],
    userTokens: [{ value: "member.user.token", user: { sId: "usr_1", email: "member@local-dust.test" } }]
  },
  seed: {
    conversations: [{
      sId: "cnv_1",
      messages: [{ role: "user", sId: "asked", content: "Hi" }, { role: "agent", sId: "msg_1", content: "Hello" }]
    }],
    dataSources: [{
      sId: "dts_1",
      name: "x",
      documents: [{ documentId: "a", text: "x", tags: ["a"], parents: ["c"], timestamp: 1_750_000_000_000 }],
      tables: [{ tableId: "tbl_1", name: "t", rows: { r0: { a: 1 }, r1: { a: 2 }, r2: { a: null } } }]
    }],
    files: [{ sId: "fil_1", fileName: "a.txt", content: "text" }],
    search: { toolFiles: [{ serverViewId: "msv_1", externalId: "ext_1", title: "Roadmap" }] },
    skills: [{ sId: "skl_1", name: "s" }],
    triggers: {
      triggers: [{ sId: "trg_1", name: "t", configuration: { cron: "* * * * *", timezone: "UTC" } }],
      webhookSources: [{ sId: "whs_1", urlSecret: "secret" }]
    }
  },
  limits: false
}

/** Calls that the fixture cannot make, since it has only its own ids. */
const more: ReadonlyArray<Call["run"]> = [
  Effect.gen(function*() {
    const conversations = yield* Conversations
    for (const agent of ["careful", "curious"]) {
      const asked = yield* conversations.create({ message: { content: "?", mentions: [{ configurationId: agent }] } })
      // The agent runs until it is blocked.
      yield* Effect.sleep("1 second")
      const messageId = asked.agentMessages[0]!.sId
      const [blocked] = yield* conversations.blockedActions(asked.sId)
      const at = { conversationId: asked.sId, messageId, actionId: blocked!.actionId }
      yield* agent === "careful"
        ? conversations.validateAction({ ...at, approved: "always_approved" })
        : conversations.answerQuestion({ ...at, answer: { selectedOptions: [0], customResponse: "c" } })
    }
    yield* conversations.editMessage({ conversationId: "cnv_1", messageId: "asked", content: "Again" })
  }),
  Effect.gen(function*() {
    const apps = yield* Apps
    const at = { spaceId: "vlt_global", appId: "echo" }
    const { runId } = yield* apps.start({ ...at, specificationHash: "latest", config: {}, inputs: [1] })
    yield* apps.getRun({ ...at, runId })
  }),
  Effect.gen(function*() {
    const dataSources = yield* DataSources
    const at = { spaceId: "vlt_global", dataSourceId: "dts_1" }
    yield* dataSources.upsertDocument({ ...at, documentId: "s", text: "text" })
    yield* dataSources.updateParents({ ...at, documentId: "s", parents: ["x"] })
  }),
  Effect.gen(function*() {
    const servers = yield* McpServers
    const { serverId } = yield* servers.register("My other desk")
    yield* servers.heartbeat(serverId)
    yield* servers.postResult({ serverId, result: { jsonrpc: "2.0", id: 1, result: {} } })
    yield* servers.deregister(serverId)
  })
]

/** Field names in JSON, at any depth. */
const fieldsOf = (value: Json): ReadonlyArray<string> =>
  typeof value !== "object" || value === null
    ? []
    : Array.isArray(value)
    ? value.flatMap(fieldsOf)
    : Object.entries(value).flatMap(([name, inner]) => [name, ...fieldsOf(inner)])

const lastNames = (fields: Iterable<string>) =>
  new Set([...fields].map((path) => path.split(".").at(-1)!).filter((name) => name !== "*"))

const isLast = ({ method }: Call) => /\.(delete|archive|remove|deregister)/.test(method)

describe("the official schemas", () => {
  it("cover every route of Local Dust, with the listed exceptions", () => {
    const all = new Set(
      routes.filter((one) => !internalRoutes.includes(one) && !wrongMethods.includes(one))
        .map(({ method, path }) => short(method, path)).filter((one) => !one.includes(" /api/w/"))
    )
    assert.sameMembers([...all], [...Object.keys(answers), ...Object.keys(unjudged)])
  })

  it.effect("accept every response of Local Dust and every body of the SDK", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const received = new Map<string, Json>()
      let sent = 0
      const client = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequest((request) => HttpClientRequest.setHeader(request, "x-number", String(++sent))),
        HttpClient.tap((response) => {
          const type = response.headers["content-type"] ?? ""
          return /json|yaml/.test(type) && !type.includes("ndjson")
            ? Effect.map(response.text, (text) => {
              const value: Json = type.includes("json") ? JSON.parse(text) : text
              received.set(response.request.headers["x-number"]!, value)
            }).pipe(Effect.orDie)
            : Effect.void
        })
      )
      const as = (credential: Call["credential"]) =>
        Dust.layer({
          workspaceId: dust.workspaceId,
          baseUrl: dust.url,
          ...(credential === "userToken" || credential === "adminToken"
            ? { accessToken: dust[credential] }
            : { apiKey: dust[credential as "apiKey"] })
        }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
      for (
        const { credential, run } of [
          ...calls.filter((call) => !isLast(call)),
          ...more.map((run) => ({ credential: "userToken" as const, run })),
          ...calls.filter(isLast)
        ]
      ) {
        // A stream that waits forever is closed after a while.
        const fiber = yield* Effect.fork(Effect.provide(run, as(credential)))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.interrupt(fiber)
      }
      const folder = "/spaces/vlt_global/data_sources/dts_1/folders"
      const numbered = Effect.provideService(HttpClient.HttpClient, client)
      yield* post(`${folder}/f`, { timestamp: 1, title: "F", mime_type: "x" }, { token: system }).pipe(numbered)
      yield* get(folder, { token: system }).pipe(numbered)
      yield* get(`${folder}/f`, { token: system }).pipe(numbered)
      yield* send("DELETE", `${folder}/f`, { token: system }).pipe(numbered)
      yield* get("/spaces/vlt_global/data_sources/dts_1/check_upsert_queue", { token: system }).pipe(numbered)
      yield* get("/data_source_views/search", { token: system }).pipe(numbered)

      const answered = new Set<string>()
      const asked = new Set<string>()
      const sentFields = new Map<string, Set<string>>()
      for (const request of yield* dust.requests({ where: ({ route }) => route !== undefined })) {
        const route = short(request.method, request.route!)
        const what = `${request.status} ${route}`
        const answer = received.get(request.headers["x-number"]!)
        if (request.status !== undefined && request.status >= 400) {
          accepts(Official.APIErrorSchema, answer?.error, what)
        } else if (answers[route] !== undefined && answer !== undefined) {
          accepts(answers[route], answer, what)
          answered.add(route)
        }
        if (queries[route] !== undefined) accepts(queries[route], request.query, `the query of ${route}`)
        if (request.body === undefined || request.credential === "key:Local Dust key") continue
        asked.add(route)
        if (bodies[route] !== undefined) accepts(bodies[route], request.body, `the body of ${route}`)
        const names = sentFields.get(route) ?? new Set()
        for (const name of fieldsOf(request.body)) names.add(name)
        sentFields.set(route, names)
      }
      assert.sameMembers([...answered], Object.keys(answers))
      assert.sameMembers([...asked], [...Object.keys(bodies), ...unjudgedBodies])
      // An official schema ignores unknown fields, so a misspelt one would pass.
      for (const [route, schema] of Object.entries(bodies)) {
        const [mine, theirs] = [sentFields.get(route) ?? new Set<string>(), lastNames(officialFields(schema))]
        const [beyond, leftOut] = fieldsApart[route] ?? ["", ""]
        assert.deepStrictEqual(
          [...mine].filter((name) => !theirs.has(name)).sort().join(" "),
          beyond,
          `only ours: ${route}`
        )
        assert.deepStrictEqual(
          [...theirs].filter((name) => !mine.has(name)).sort().join(" "),
          leftOut,
          `only theirs: ${route}`
        )
      }
    }).pipe(Effect.provide(DustTest.layerHttpClient(options))))

  it.effect("accept every event of a run of an app", () =>
    Effect.gen(function*() {
      const events: Readonly<Record<string, ZodSchema>> = {
        run_status: Official.DustAppRunRunStatusEventSchema,
        tokens: Official.DustAppRunTokensEventSchema,
        block_execution: Official.DustAppRunBlockExecutionEventSchema,
        block_status: Official.DustAppRunBlockStatusEventSchema,
        final: Official.DustAppRunFinalEventSchema
      }
      const response = yield* send("POST", "/spaces/vlt_global/apps/echo/runs", {
        body: { specification_hash: "latest", config: {}, inputs: ["two words"], stream: true }
      })
      const text = yield* Stream.mkString(Stream.decodeText(response.stream))
      const seen = new Set<string>()
      for (const { data } of parseFrames(text)) {
        const event: Json = JSON.parse(data)
        accepts(events[event.type]!, event, `the event ${event.type}`)
        seen.add(event.type)
      }
      assert.sameMembers([...seen], Object.keys(events))
    }).pipe(Effect.provide(DustTest.layerHttpClient())))
})
