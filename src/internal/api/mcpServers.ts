/** The endpoints of `McpServers`. */
import * as Schema from "effect/Schema"
import { McpServerId } from "../../Ids.ts"
import { Registration } from "../../McpServer.ts"
import { nonBlank, nullable } from "../decode/schema.ts"
import { get, group, post, using } from "./endpoint.ts"

const registration: Schema.Schema<Registration, typeof Registration.Encoded> = Registration

const serverId: Schema.Schema<McpServerId, string> = Schema.compose(nonBlank("the id of a server"), McpServerId)

const serverName = Schema.String.pipe(
  Schema.filter((name) => (name.trim() !== "" && name.length >= 5 && name.length <= 30) || "5 to 30 characters long", {
    message: () => "5 to 30 characters long"
  })
)

const register = post("/mcp/register", {
  credential: "user",
  body: Schema.Struct({ serverName }),
  response: registration
})

export const mcpServers = group("McpServers", {
  /**
   * Registers a server by name (5 to 30 characters). Another registration of the same name gets another id.
   *
   * Requires a user access token. Not retried once it may have reached Dust. Fails with `DustBadRequestError` for a name
   * of the wrong length, and if there are more than 256 servers of this name.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/register`;
   * `front-api/routes/v1/w/[wId]/mcp/register.ts` in dust-tt/dust.
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
   * Posts the answer to a request: a complete JSON-RPC message (`{ jsonrpc, id, result }` or `error`) of at most 16 MiB. Dust does
   * not validate it, and drops malformed messages without an error.
   *
   * Requires a user access token. Retried automatically; Dust counts an id once. Fails with `DustForbiddenError`
   * (`mcp_auth_error`) if the server is not registered, and with `DustContentTooLargeError`.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/results`;
   * `front-api/routes/v1/w/[wId]/mcp/results.ts` in dust-tt/dust.
   */
  postResult: post("/mcp/results", {
    credential: "user",
    replay: "safe",
    body: Schema.Struct({ serverId, result: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
  }),
  /**
   * Deregisters a server. Succeeds if it is not registered.
   *
   * Requires a user access token. Retried automatically.
   *
   * Source: `POST /api/v1/w/{workspaceId}/mcp/deregister`;
   * `front-api/routes/v1/w/[wId]/mcp/deregister.ts` in dust-tt/dust.
   */
  deregister: post("/mcp/deregister", { credential: "user", replay: "safe", body: Schema.Struct({ serverId }) })
})
