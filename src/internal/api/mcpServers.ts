/** The endpoints of `McpServers`. */
import * as Schema from "effect/Schema"
import { McpServerId } from "../../Ids.ts"
import { Registration } from "../../McpServer.ts"
import { nonBlank, nullable } from "../decode/schema.ts"
import { get, group, post, using } from "./endpoint.ts"

const registration: Schema.Schema<Registration, typeof Registration.Encoded> = Registration

const serverId: Schema.Schema<McpServerId, string> = Schema.compose(nonBlank("the id of a server"), McpServerId)

const serverName = Schema.String.pipe(
  Schema.filter((name) => (name.trim() !== "" && name.length >= 5 && name.length <= 30) || "5 to 30 characters", {
    message: () => "5 to 30 characters"
  })
)

const register = post("/mcp/register", {
  credential: "user",
  body: Schema.Struct({ serverName }),
  response: registration
})

export const mcpServers = group("McpServers", {
  /**
   * Registers a server by name (5 to 30 characters). While a server of this name is alive, another registration under it
   * gets another id.
   *
   * Requires a user access token. Never repeated once it may have reached Dust. Fails with `DustBadRequestError` for a name
   * of the wrong length, and if there are more than 256 servers of this name.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/register`.
   */
  register,
  serve: using({ register }),
  transport: using({ register }),
  heartbeat: using({
    renew: post("/mcp/heartbeat", {
      credential: "user",
      replay: "safe",
      body: Schema.Struct({ serverId }),
      response: Schema.Struct({ expiresAt: nullable(Schema.String) })
    })
  }),
  requests: using({ stream: get("/mcp/requests", { credential: "user" }) }),
  /**
   * Posts the answer to a request: a whole JSON-RPC message (`{ jsonrpc, id, result }` or `error`), at most 16 MiB. Dust
   * does not validate it and drops a malformed one without an error.
   *
   * Requires a user access token. Retried automatically: the same id counts once. Fails with `DustForbiddenError` (type
   * `mcp_auth_error`) if Dust does not know the server, or no longer does, and with `DustContentTooLargeError`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/results`.
   */
  postResult: post("/mcp/results", {
    credential: "user",
    replay: "safe",
    body: Schema.Struct({ serverId, result: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
  }),
  /**
   * Removes a server. Succeeds if it is already gone.
   *
   * Requires a user access token. Retried automatically.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/deregister`.
   */
  deregister: post("/mcp/deregister", { credential: "user", replay: "safe", body: Schema.Struct({ serverId }) })
})
