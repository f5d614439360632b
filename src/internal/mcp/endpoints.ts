/** What serving stands on: the endpoints of client-side MCP. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { RequestError, StreamError } from "../../DustAPIError.ts"
import type { EventId, McpServerId } from "../../Ids.ts"
import type { McpRequest, Registration } from "../../McpServer.ts"

export interface Endpoints {
  /** Stands for the layer that they belong to. */
  readonly owner: object
  readonly register: (serverName: string) => Effect.Effect<Registration, RequestError>
  readonly heartbeat: (serverId: McpServerId) => Effect.Effect<Registration, RequestError>
  readonly requests: (options: {
    readonly serverId: McpServerId
    readonly lastEventId?: EventId | undefined
  }) => Stream.Stream<McpRequest, StreamError>
  readonly postResult: (options: {
    readonly serverId: McpServerId
    readonly result: Readonly<Record<string, unknown>>
  }) => Effect.Effect<void, RequestError>
  readonly deregister: (serverId: McpServerId) => Effect.Effect<void, RequestError>
}
