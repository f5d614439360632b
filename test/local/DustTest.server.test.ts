/**
 * What a handler of Dust's server does beyond its schema, as Local Dust does it. Each row names the handler in dust-tt/dust,
 * below `front-api/routes/v1/w/[wId]`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { call, type CallOptions, type Json, message, token } from "../support/local.ts"

interface Row {
  readonly handler: string
  /** What the handler does. */
  readonly does: string
  readonly request: readonly [method: "GET" | "POST" | "PATCH" | "DELETE", path: string, body?: Json, token?: string]
  /** The status, and the type of the error or what the answer must contain. */
  readonly answers: readonly [status: number, expected: string | Json]
}

const source = "/spaces/vlt_global/data_sources/dts_1"
const table = `${source}/tables/tbl_1`
const conversation = "/assistant/conversations/cnv_1"
const january = { startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-15T00:00:00Z" }
const dataSources = "spaces/[spaceId]/data_sources/[dsId]"
const conversations = "assistant/conversations/[cId]"

const rows: ReadonlyArray<Row> = [
  // Tables and rows
  {
    handler: `${dataSources}/tables/[tId]/rows/index.ts`,
    does: "lists 10 rows from the first one, and returns limit, offset and total",
    request: ["GET", `${table}/rows`],
    answers: [200, { limit: 10, offset: 0, total: 12 }]
  },
  {
    handler: `${dataSources}/tables/[tId]/rows/index.ts`,
    does: "refuses a negative limit",
    request: ["GET", `${table}/rows?limit=-1`],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${dataSources}/tables/[tId]/rows/index.ts`,
    does: "answers 500 for the rows of a table that does not exist",
    request: ["GET", `${source}/tables/none/rows`],
    answers: [500, "internal_server_error"]
  },
  {
    handler: `${dataSources}/tables/[tId]/rows/index.ts`,
    does: "answers 500 for rows that are written to a table that does not exist",
    request: ["POST", `${source}/tables/none/rows`, { rows: [{ row_id: "a", value: { a: 1 } }] }],
    answers: [500, "internal_server_error"]
  },
  {
    handler: `${dataSources}/tables/[tId]/rows/index.ts`,
    does: "refuses columns that are not in lower case",
    request: ["POST", `${table}/rows`, { rows: [{ row_id: "a", value: { Name: 1 } }] }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${dataSources}/tables/[tId]/rows/[rId].ts`,
    does: "answers 500 for a row that does not exist",
    request: ["GET", `${table}/rows/none`],
    answers: [500, "internal_server_error"]
  },
  {
    handler: `${dataSources}/tables/[tId]/rows/[rId].ts`,
    does: "answers 404 for the deletion of a row of a table that does not exist",
    request: ["DELETE", `${source}/tables/none/rows/a`],
    answers: [404, "table_not_found"]
  },
  {
    handler: `${dataSources}/tables/[tId]/index.ts`,
    does: "answers 404 for a table that does not exist",
    request: ["GET", `${source}/tables/none`],
    answers: [404, "table_not_found"]
  },
  {
    handler: `${dataSources}/tables/[tId]/index.ts`,
    does: "hides the data source from members who are not builders and delete a table",
    request: ["DELETE", table, undefined, token.user],
    answers: [404, "data_source_not_found"]
  },
  {
    handler: `${dataSources}/tables/[tId]/index.ts`,
    does: "answers the deletion of a table with an empty body",
    request: ["DELETE", table],
    answers: [200, ""]
  },
  // Documents
  {
    handler: `${dataSources}/documents/index.ts`,
    does: "lists 10 documents",
    request: ["GET", `${source}/documents`],
    answers: [200, { total: 1 }]
  },
  {
    handler: `${dataSources}/documents/index.ts`,
    does: "finds a data source by its name, too",
    request: ["GET", "/spaces/vlt_global/data_sources/files/documents"],
    answers: [200, { total: 1 }]
  },
  {
    handler: `${dataSources}/documents/index.ts`,
    does: "answers 404 if the data source is in another space",
    request: ["GET", "/spaces/vlt_product/data_sources/dts_1/documents"],
    answers: [404, "data_source_not_found"]
  },
  {
    handler: `${dataSources}/documents/[documentId]/parents.ts`,
    does: "refuses an empty list of parents",
    request: ["POST", `${source}/documents/a/parents`, { parents: [] }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${dataSources}/documents/[documentId]/parents.ts`,
    does: "refuses parents that do not begin with the document",
    request: ["POST", `${source}/documents/a/parents`, { parents: ["b"] }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${dataSources}/documents/[documentId]/parents.ts`,
    does: "refuses a second parent that is not parent_id",
    request: ["POST", `${source}/documents/a/parents`, { parents: ["a", "b"], parent_id: "c" }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${dataSources}/documents/[documentId]/parents.ts`,
    does: "answers 500 for a document that does not exist",
    request: ["POST", `${source}/documents/none/parents`, { parents: ["none"] }],
    answers: [500, "internal_server_error"]
  },
  {
    handler: `${dataSources}/search.ts`,
    does: "requires query, top_k and full_text",
    request: ["GET", `${source}/search?query=x`],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${dataSources}/tokenize.ts`,
    does: "requires a text",
    request: ["POST", `${source}/tokenize`, {}],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "spaces/[spaceId]/data_source_views/[dsvId]/index.ts",
    does: "refuses changes of members who may not write with 401",
    request: [
      "PATCH",
      "/spaces/vlt_global/data_source_views/dsv_1",
      { parentsToAdd: ["a"], parentsToRemove: [] },
      token.user
    ],
    answers: [401, "workspace_auth_error"]
  },
  // Conversations
  {
    handler: `${conversations}/cancel.ts`,
    does: "ignores messages that do not exist",
    request: ["POST", `${conversation}/cancel`, { messageIds: ["none"] }],
    answers: [200, { success: true }]
  },
  {
    handler: `${conversations}/cancel.ts`,
    does: "answers 404 for a conversation that does not exist",
    request: ["POST", "/assistant/conversations/none/cancel", { messageIds: ["none"] }],
    answers: [404, "conversation_not_found"]
  },
  {
    handler: `${conversations}/feedbacks.ts`,
    does: "looks for the conversation before it requires a user",
    request: ["GET", "/assistant/conversations/none/feedbacks"],
    answers: [404, "conversation_not_found"]
  },
  {
    handler: `${conversations}/feedbacks.ts`,
    does: "requires a user",
    request: ["GET", `${conversation}/feedbacks`],
    answers: [401, "user_authentication_required"]
  },
  {
    handler: `${conversations}/consumption.ts`,
    does: "answers 404 for a conversation that does not exist",
    request: ["GET", "/assistant/conversations/none/consumption"],
    answers: [404, "conversation_not_found"]
  },
  {
    handler: `${conversations}/actions/blocked.ts`,
    does: "answers 404 for a conversation that does not exist",
    request: ["GET", "/assistant/conversations/none/actions/blocked"],
    answers: [404, "conversation_not_found"]
  },
  {
    handler: `${conversations}/content_fragments.ts`,
    does: "refuses a content of more than 512 x 1024 characters",
    request: ["POST", `${conversation}/content_fragments`, {
      title: "T",
      content: "x".repeat(512 * 1024 + 1),
      contentType: "text/plain",
      url: null
    }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${conversations}/content_fragments.ts`,
    does: "refuses a fragment without content and without a file",
    request: ["POST", `${conversation}/content_fragments`, { title: "T" }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${conversations}/messages/[mId]/validate-action.ts`,
    does: "answers 404 for an action that does not exist",
    request: ["POST", `${conversation}/messages/msg_1/validate-action`, { actionId: "none", approved: "approved" }],
    answers: [404, "action_not_found"]
  },
  {
    handler: `${conversations}/messages/[mId]/validate-action.ts`,
    does: "requires one of three decisions, although its description says a boolean",
    request: ["POST", `${conversation}/messages/msg_1/validate-action`, { actionId: "none", approved: true }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${conversations}/mentions/suggestions.ts`,
    does: "answers 404 for a conversation that does not exist",
    request: ["GET", "/assistant/conversations/none/mentions/suggestions?query=e"],
    answers: [404, "conversation_not_found"]
  },
  {
    handler: `${conversations}/index.ts`,
    does: "reads a limit of 1.9 as 1",
    request: ["GET", `${conversation}?limit=1.9`],
    answers: [200, { hasMore: true, lastValue: "2" }]
  },
  {
    handler: `${conversations}/index.ts`,
    does: "returns nothing for a limit of 0, and says that there is more",
    request: ["GET", `${conversation}?limit=0`],
    answers: [200, { hasMore: true, lastValue: null }]
  },
  {
    handler: `${conversations}/index.ts`,
    does: "ignores a position without a limit",
    request: ["GET", `${conversation}?lastValue=1`],
    answers: [200, { hasMore: undefined }]
  },
  {
    handler: "assistant/conversations/index.ts",
    does: "refuses a depth of 4",
    request: ["POST", "/assistant/conversations", { depth: 4 }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${conversations}/messages/index.ts`,
    does: "refuses an origin that is reserved",
    request: [
      "POST",
      `${conversation}/messages`,
      message("x", null, {
        context: { username: "ada", timezone: "UTC", origin: "slack" }
      })
    ],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${conversations}/messages/[mId]/edit.ts`,
    does: "refuses everybody but the author",
    request: ["POST", `${conversation}/messages/msg_0/edit`, { content: "x", mentions: [] }],
    answers: [403, "workspace_auth_error"]
  },
  {
    handler: `${conversations}/messages/[mId]/edit.ts`,
    does: "refuses an agent that is archived",
    request: ["POST", `${conversation}/messages/msg_0/edit`, {
      content: "x",
      mentions: [{ configurationId: "archived" }]
    }, token.user],
    answers: [400, "agent_inaccessible"]
  },
  {
    handler: `${conversations}/messages/[mId]/edit.ts`,
    does: "accepts an empty content, and lets no agent answer again",
    request: ["POST", `${conversation}/messages/msg_0/edit`, {
      content: "",
      mentions: [{ configurationId: "echo" }]
    }, token.user],
    answers: [200, { agentMessages: [] }]
  },
  {
    handler: `${conversations}/messages/[mId]/retry.ts`,
    does: "refuses an answer whose agent is archived",
    request: ["POST", `${conversation}/messages/msg_2/retry`, {}],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: `${conversations}/messages/[mId]/feedbacks.ts`,
    does: "requires a user before it looks for the message",
    request: ["POST", `${conversation}/messages/none/feedbacks`, { thumbDirection: "up" }],
    answers: [401, "not_authenticated"]
  },
  // MCP servers
  {
    handler: "mcp/heartbeat.ts",
    does: "answers 404 for a server that is not registered",
    request: ["POST", "/mcp/heartbeat", { serverId: "none" }, token.user],
    answers: [404, "mcp_server_connection_not_found"]
  },
  {
    handler: "mcp/results.ts",
    does: "answers 403 for a server that is not registered",
    request: ["POST", "/mcp/results", { serverId: "none", result: {} }, token.user],
    answers: [403, "mcp_auth_error"]
  },
  {
    handler: "mcp/deregister.ts",
    does: "accepts a server that is not registered",
    request: ["POST", "/mcp/deregister", { serverId: "none" }, token.user],
    answers: [200, { success: true }]
  },
  // Webhooks, skills, files, exports
  {
    handler: "triggers/hooks/[webhookSourceId]/[webhookSourceUrlSecret]/index.ts",
    does: "answers 404 for a source that does not exist",
    request: ["POST", "/triggers/hooks/none/x", {}],
    answers: [404, "webhook_source_not_found"]
  },
  {
    handler: "triggers/hooks/[webhookSourceId]/[webhookSourceUrlSecret]/index.ts",
    does: "looks at the body first",
    request: ["POST", "/triggers/hooks/none/x"],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "skills/index.ts",
    does: "refuses an availability that does not exist",
    request: ["GET", "/skills?availability=all"],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "files/index.ts",
    does: "requires an object as metadata, although its description says a string",
    request: ["POST", "/files", {
      contentType: "text/plain",
      fileName: "a",
      fileSize: 1,
      useCase: "conversation",
      useCaseMetadata: "{}"
    }],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "analytics/export.ts",
    does: "refuses a timezone that is not in the server's list",
    request: ["GET", "/analytics/export?table=users&startDate=2026-01-01&endDate=2026-01-02&timezone=Mars"],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "analytics/export.ts",
    does: "does not look for a date in the calendar",
    request: ["GET", "/analytics/export?table=users&startDate=2026-02-31&endDate=2026-02-31"],
    answers: [200, {}]
  },
  {
    handler: "analytics/consumption/export.ts",
    does: "refuses administrators without an API key, after the body",
    request: ["POST", "/analytics/consumption/export", january, token.admin],
    answers: [403, "workspace_auth_error"]
  },
  {
    handler: "analytics/consumption/export.ts",
    does: "refuses more than 500 values in a filter",
    request: ["POST", "/analytics/consumption/export", {
      ...january,
      filter: { agents: Array.from({ length: 501 }, () => "a") }
    }, token.adminKey],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "analytics/consumption/export.ts",
    does: "refuses a value of more than 256 characters in a filter",
    request: ["POST", "/analytics/consumption/export", {
      ...january,
      filter: { agents: ["a".repeat(257)] }
    }, token.adminKey],
    answers: [400, "invalid_request_error"]
  },
  // The rest
  {
    handler: "members/validate.ts",
    does: "finds active members by their e-mail address",
    request: ["POST", "/members/validate", { email: "ada@local-dust.test" }],
    answers: [200, { valid: true }]
  },
  {
    handler: "members/validate.ts",
    does: "finds nobody else",
    request: ["POST", "/members/validate", { email: "nobody@local-dust.test" }],
    answers: [200, { valid: false }]
  },
  {
    handler: "search/tools/upload.ts",
    does: "answers 400 for a tool server that does not exist",
    request: ["POST", "/search/tools/upload", { serverViewId: "none", externalId: "x" }, token.user],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "search/tools/upload.ts",
    does: "answers 500 for a file that the tool does not have",
    request: ["POST", "/search/tools/upload", { serverViewId: "msv_drive", externalId: "none" }, token.user],
    answers: [500, "internal_server_error"]
  },
  {
    handler: "search/tools/upload.ts",
    does: "refuses an empty id",
    request: ["POST", "/search/tools/upload", { serverViewId: "", externalId: "x" }, token.user],
    answers: [400, "invalid_request_error"]
  },
  {
    handler: "spaces/[spaceId]/apps/[aId]/runs/[runId]/index.ts",
    does: "answers 400 run_error for a run that does not exist",
    request: ["GET", "/spaces/vlt_global/apps/echo/runs/none"],
    answers: [400, "run_error"]
  },
  {
    handler: "spaces/[spaceId]/apps/[aId]/runs/[runId]/index.ts",
    does: "answers 404 for an app that does not exist",
    request: ["GET", "/spaces/vlt_global/apps/none/runs/none"],
    answers: [404, "app_not_found"]
  },
  {
    handler: "spaces/[spaceId]/apps/check.ts",
    does: "answers 404 for a space that does not exist",
    request: ["POST", "/spaces/none/apps/check", { apps: [] }],
    answers: [404, "space_not_found"]
  },
  {
    handler: "spaces/[spaceId]/mcp_server_views/index.ts",
    does: "lists the servers that a person added, and says success",
    request: ["GET", "/spaces/vlt_global/mcp_server_views"],
    answers: [200, { success: true }]
  },
  {
    handler: "spaces/[spaceId]/members/[userId].ts",
    does: "requires an administrator",
    request: ["DELETE", "/spaces/vlt_global/members/usr_1"],
    answers: [403, "workspace_auth_error"]
  },
  {
    handler: "spaces/[spaceId]/members/[userId].ts",
    does: "answers 404 for a space that does not exist",
    request: ["DELETE", "/spaces/none/members/usr_1", undefined, token.adminKey],
    answers: [404, "space_not_found"]
  }
]

const options: DustTest.Options = {
  agents: { archived: { status: "archived" } },
  seed: {
    conversations: [{
      sId: "cnv_1",
      messages: [
        { role: "user", sId: "msg_0", content: "Hi" },
        { role: "agent", sId: "msg_1", content: "x" },
        { role: "agent", sId: "msg_2", agent: "archived", content: "y" }
      ]
    }],
    dataSources: [{
      sId: "dts_1",
      name: "files",
      documents: [{ documentId: "a", text: "x" }],
      tables: [{
        tableId: "tbl_1",
        name: "t",
        rows: Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`r${i}`, { a: i }]))
      }]
    }]
  }
}

describe("Local Dust as the server", () => {
  for (const { answers: [status, expected], does, handler, request: [method, path, body, credential] } of rows) {
    it.effect(`${handler}: ${does}`, () =>
      Effect.gen(function*() {
        const given: CallOptions = { ...(body === undefined ? {} : { body }), token: credential ?? token.key }
        const answer = yield* call(method, path, given)
        assert.strictEqual(answer.status, status, answer.text)
        if (typeof expected === "object") {
          const found = Object.fromEntries(Object.keys(expected).map((name) => [name, answer.json[name]]))
          assert.deepStrictEqual(found, expected)
        } else if (expected === "") assert.strictEqual(answer.text, "")
        else assert.strictEqual(answer.type, expected)
      }).pipe(Effect.provide(DustTest.layerHttpClient(options))))
  }
})
