/**
 * Spaces: what separates the knowledge and the tools of a workspace; their members and their tools.
 *
 * A space that is unknown, hidden, or for which the caller lacks the right is a `DustNotFoundError` (`space_not_found`):
 * Dust does not tell these apart. There is no way to create, change or delete a space.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { type SpaceId, UserId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { list, nonBlank } from "./internal/decode/schema.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { badInput } from "./internal/request/errors.ts"
import { type ListedKind, McpServerView, Space, SpaceMember } from "./Space.ts"

const spaces = "/api/v1/w/{workspaceId}/spaces"
const members = `${spaces}/{spaceId}/members` as const

const SpaceList = Schema.Struct({ spaces: list(Space) })

const listOperation = Operation.make({ name: "Spaces.list", http: "GET", route: spaces, response: SpaceList })

const findOperation = Operation.make({ name: "Spaces.findByName", http: "GET", route: spaces, response: SpaceList })

const listMembers = Operation.make({
  name: "Spaces.listMembers",
  http: "GET",
  route: members,
  response: Schema.Struct({ users: list(SpaceMember) })
})

// Here a 401 of this type is about the right to manage the space.
const forbidden = { workspace_auth_error: "DustForbiddenError" } as const

const addMembers = Operation.make({
  name: "Spaces.addMembers",
  http: "POST",
  route: members,
  errors: forbidden,
  body: Schema.Struct({
    userIds: Schema.Array(nonBlank("the id of a user")).pipe(
      Schema.filter((ids) => ids.length > 0 || "at least one user")
    )
  }),
  response: Schema.Struct({ space: Space, users: list(SpaceMember) })
})

const removeMember = Operation.unit({
  name: "Spaces.removeMember",
  http: "DELETE",
  route: `${members}/{userId}`,
  errors: forbidden,
  done: ({ status }) => status === 400
})

const mcpServerViews = Operation.make({
  name: "Spaces.mcpServerViews",
  http: "GET",
  route: `${spaces}/{spaceId}/mcp_server_views`,
  response: Schema.Struct({ serverViews: list(McpServerView) })
})

/**
 * Which spaces a list has.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOptions {
  /** Default: system, global and regular. Projects are listed only when asked for. */
  readonly kinds?: ReadonlyArray<ListedKind> | undefined
}

/**
 * Every method works with an API key and with a user's access token, unless it says otherwise, and fails with
 * `RequestError`. Reads are retried as the retry policy says.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * The spaces that the caller is a member of, in one answer: this list does not page. Kinds that Dust does not list
   * (`public`, `conversations`) are refused before any request.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces`.
   */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<Space>, RequestError>
  /**
   * The space with this name, projects included: exactly, else without regard to case.
   *
   * None: `DustNotFoundError` with `details.near`, the names that come close. Several: `DustBadRequestError` with
   * `details.candidates`.
   *
   * @example
   * ```ts
   * import { Spaces } from "effect-dust/Spaces"
   * import { Effect } from "effect"
   *
   * const program = Spaces.pipe(
   *   Effect.flatMap((spaces) => spaces.findByName("Company Data")),
   *   Effect.map((space) => space.sId)
   * )
   * ```
   */
  readonly findByName: (name: string) => Effect.Effect<Space, RequestError>
  /**
   * The members who were added to a regular space or a project, in one answer. Those who see an open space only because
   * everybody does are not listed. Needs the administrator role, else `DustForbiddenError`; other kinds of spaces have no
   * members: `DustNotFoundError`.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/members`.
   */
  readonly listMembers: (spaceId: SpaceId) => Effect.Effect<ReadonlyArray<SpaceMember>, RequestError>
  /**
   * Adds members, and answers with those that were added. Needs the administrator role. `DustConflictError` when one is a
   * member already, `DustNotFoundError` when there is no such user. Sent once.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/members`.
   */
  readonly addMembers: (options: {
    readonly spaceId: SpaceId
    readonly userIds: ReadonlyArray<UserId>
  }) => Effect.Effect<{ readonly space: Space; readonly users: ReadonlyArray<SpaceMember> }, RequestError>
  /**
   * Removes a member. Needs the administrator role. `DustBadRequestError` when the user is not a member, except when this
   * very call has been repeated after a lost answer; `DustNotFoundError` when the space is open or managed by groups.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/spaces/{spaceId}/members/{userId}`.
   */
  readonly removeMember: (options: {
    readonly spaceId: SpaceId
    readonly userId: UserId
  }) => Effect.Effect<void, RequestError>
  /**
   * The tool servers of a space. Without `includeAuto` (default `false`) only those that somebody added; with it also
   * those that Dust brings along. In one answer.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/mcp_server_views`.
   */
  readonly mcpServerViews: (options: {
    readonly spaceId: SpaceId
    readonly includeAuto?: boolean | undefined
  }) => Effect.Effect<ReadonlyArray<McpServerView>, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Spaces extends Context.Tag("effect-dust/Spaces")<Spaces, Service>() {}

const listed: ReadonlySet<string> = new Set<ListedKind>(["system", "global", "regular", "project"])

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) =>
  Spaces.of({
    list: ({ kinds } = {}) => {
      if (kinds !== undefined && (kinds.length === 0 || kinds.some((kind) => !listed.has(kind)))) {
        return Effect.fail(badInput(listOperation, "kinds", "at least one of system, global, regular and project"))
      }
      return Effect.map(
        client.execute(listOperation, { query: { kinds: kinds?.join(",") } }),
        (answer) => answer.spaces
      )
    },
    findByName: (name) =>
      pickByName(
        findOperation,
        "space",
        name,
        Effect.map(
          client.execute(findOperation, { query: { kinds: "system,global,regular,project" } }),
          (answer) => answer.spaces
        )
      ),
    listMembers: (spaceId) => Effect.map(client.execute(listMembers, { path: { spaceId } }), (answer) => answer.users),
    addMembers: ({ spaceId, userIds }) => client.execute(addMembers, { path: { spaceId }, body: { userIds } }),
    removeMember: ({ spaceId, userId }) => client.execute(removeMember, { path: { spaceId, userId } }),
    mcpServerViews: ({ includeAuto, spaceId }) =>
      Effect.map(
        client.execute(mcpServerViews, { path: { spaceId }, query: { includeAuto } }),
        (answer) => answer.serverViews
      )
  }))

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spaces, never, DustClient> = Layer.effect(Spaces, make)
