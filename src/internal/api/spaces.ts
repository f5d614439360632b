/** The endpoints of `Spaces`. */
import * as Schema from "effect/Schema"
import { McpServerView, Space, SpaceFilter, SpaceMember } from "../../Space.ts"
import { list, nonBlank } from "../decode/schema.ts"
import { del, get, group, post, using } from "./endpoint.ts"

const filter: Schema.Schema<SpaceFilter, typeof SpaceFilter.Encoded> = SpaceFilter
const space: Schema.Schema<Space, typeof Space.Encoded> = Space
const member: Schema.Schema<SpaceMember, typeof SpaceMember.Encoded> = SpaceMember
const view: Schema.Schema<McpServerView, typeof McpServerView.Encoded> = McpServerView

// Here a 401 of this type is about the right to manage the space.
const forbidden = { workspace_auth_error: "DustForbiddenError" } as const

const spaceList = {
  query: filter,
  response: Schema.Struct({ spaces: list(space) }),
  pick: ({ spaces }: { readonly spaces: ReadonlyArray<Space> }) => spaces
}

export const spaces = group("Spaces", {
  /**
   * Returns the spaces that the caller can see, in one request. Without `kinds`, projects are not included.
   *
   * Fails with `DustBadRequestError` before any request if `kinds` is empty or has an unknown kind. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces`;
   * `front-api/routes/v1/w/[wId]/spaces/index.ts` in dust-tt/dust.
   */
  list: get("/spaces", spaceList),
  findByName: using({ list: get("/spaces", spaceList) }),
  /**
   * Returns the members added to a regular space or a project, in one request. Excludes members of the workspace with
   * access to an open space to which they were not added.
   *
   * Requires the administrator role; otherwise fails with `DustForbiddenError`. Fails with `DustNotFoundError` for other kinds of
   * spaces. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/members`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/members/index.ts` in dust-tt/dust.
   */
  listMembers: get("/spaces/{spaceId}/members", {
    response: Schema.Struct({ users: list(member) }),
    pick: ({ users }) => users
  }),
  /**
   * Adds members to a space and returns those that were added. Requires the administrator role.
   *
   * Never retried. Fails with `DustConflictError` if one of them is a member already, and with `DustNotFoundError` if a user does
   * not exist.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/members`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/members/index.ts` in dust-tt/dust.
   */
  addMembers: post("/spaces/{spaceId}/members", {
    errors: forbidden,
    body: Schema.Struct({
      userIds: Schema.Array(nonBlank("the id of a user")).pipe(
        Schema.filter((ids) => ids.length > 0 || "at least one user")
      )
    }),
    response: Schema.Struct({ space, users: list(member) })
  }),
  /**
   * Removes a member from a space. Requires the administrator role.
   *
   * Fails with `DustBadRequestError` if the user is not a member, unless an earlier attempt of this call removed the user, and with
   * `DustNotFoundError` if the space is open or managed by groups. Retried automatically.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/spaces/{spaceId}/members/{userId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/members/[userId].ts` in dust-tt/dust.
   */
  removeMember: del("/spaces/{spaceId}/members/{userId}", {
    errors: forbidden,
    done: ({ status }) => status === 400
  }),
  /**
   * Returns the MCP servers of a space, in one request. Without `includeAuto` (default `false`) only those that a person
   * added; with it also those that Dust provides. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/mcp_server_views`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/mcp_server_views/index.ts` in dust-tt/dust.
   */
  listMcpServerViews: get("/spaces/{spaceId}/mcp_server_views", {
    query: Schema.Struct({ includeAuto: Schema.optional(Schema.Boolean) }),
    response: Schema.Struct({ serverViews: list(view) }),
    pick: ({ serverViews }) => serverViews
  })
})
