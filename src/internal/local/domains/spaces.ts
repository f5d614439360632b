/** Spaces, their members and the tools in them. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spaces as spacesApi } from "../../api/spaces.ts"
import { routesOf } from "../server/declared.ts"
import { badRequest, empty, json, refuse, type Refusal } from "../server/http.ts"
import { body, type Context, hasRole, param, type Route } from "../server/route.ts"
import type { ServerViewSeed, SpaceSeed } from "../state/seed.ts"
import { slice, type World } from "../state/state.ts"

export interface LocalServerView extends Required<Omit<ServerViewSeed, "sId">> {
  readonly id: number
  readonly sId: string
  readonly serverId: string
  readonly createdAt: number
}

export interface LocalSpace {
  readonly id: number
  readonly sId: string
  readonly name: string
  readonly kind: "regular" | "project" | "global" | "system" | "conversations"
  readonly isRestricted: boolean
  readonly createdAt: number
  readonly groupId: string
  /** `sId`s of users. */
  readonly members: Set<string>
  /** Names of API keys. */
  readonly keys: ReadonlySet<string>
  readonly serverViews: Array<LocalServerView>
}

/** The default spaces of a workspace. */
const sample: ReadonlyArray<SpaceSeed> = [
  {
    sId: "vlt_product",
    name: "Product",
    mcpServerViews: [{
      sId: "msv_tickets",
      name: "tickets",
      description: "Reads and writes tickets",
      tools: [{ name: "create_ticket", description: "Creates a ticket" }]
    }]
  },
  { sId: "vlt_launch", name: "Launch", kind: "project", members: ["ada@local-dust.test"] },
  { sId: "vlt_board", name: "Board", isRestricted: true, members: ["grace@local-dust.test"] }
]

const builtInTools: ReadonlyArray<ServerViewSeed> = [
  {
    sId: "msv_web_search",
    name: "web_search_&_browse",
    description: "Searches the web and reads pages",
    serverType: "internal",
    availability: "auto",
    tools: [{ name: "websearch", description: "Searches the web" }]
  },
  {
    sId: "msv_notes",
    name: "notes",
    description: "Takes notes",
    tools: [{ name: "take_note", description: "Takes a note" }]
  },
  {
    sId: "msv_reasoning",
    name: "reasoning",
    serverType: "internal",
    availability: "auto_hidden_builder"
  }
]

const makeSpace = (
  world: World,
  seed: Omit<SpaceSeed, "kind"> & { readonly kind?: LocalSpace["kind"] | undefined }
): LocalSpace => ({
  id: world.numericId(),
  sId: seed.sId ?? world.sId("vlt"),
  name: seed.name,
  kind: seed.kind ?? "regular",
  isRestricted: seed.isRestricted ?? false,
  createdAt: world.now(),
  groupId: world.sId("grp"),
  members: new Set(
    [...world.members.values()]
      .filter(({ user }) => seed.members?.includes(user.email) === true)
      .map(({ user }) => user.sId)
  ),
  keys: new Set(seed.keys),
  serverViews: (seed.mcpServerViews ?? []).map((view) => ({
    id: world.numericId(),
    sId: view.sId ?? world.sId("msv"),
    serverId: world.sId(view.serverType === "internal" ? "ims" : "rms"),
    name: view.name,
    description: view.description ?? "",
    serverType: view.serverType ?? "remote",
    availability: view.availability ?? "manual",
    tools: view.tools ?? [],
    createdAt: world.now()
  }))
})

export const spaces = slice("spaces", (world) => {
  const byId = new Map<string, LocalSpace>()
  const add = (space: LocalSpace) => byId.set(space.sId, space)
  add(makeSpace(world, { sId: "vlt_system", name: "System", kind: "system" }))
  add(makeSpace(world, { sId: "vlt_global", name: "Company Data", kind: "global", mcpServerViews: builtInTools }))
  add(makeSpace(world, { sId: "vlt_conversations", name: "Conversations", kind: "conversations" }))
  for (const seed of world.seed.spaces ?? sample) add(makeSpace(world, seed))
  return { byId }
})

/**
 * Whether the caller has access to the space. Open spaces are readable by every caller; restricted spaces and projects
 * only by their members and by API keys with access, which excludes other administrators. Source: `isMember` and
 * `canRead` of `SpaceResource` (`front/lib/resources/space_resource.ts`).
 */
export const maySee = (context: Context, space: LocalSpace): boolean => {
  const { auth } = context
  if (space.kind === "conversations") return false
  if (auth.kind === "system") return true
  if (space.kind === "system") return hasRole(context, "builder")
  return (!space.isRestricted && space.kind !== "project")
    || (auth.user !== undefined && space.members.has(auth.user.sId))
    || (auth.key !== undefined && space.keys.has(auth.key.name))
}

/** The spaces visible to the caller, without the system space. */
export const visibleSpaces = (context: Context): ReadonlyArray<LocalSpace> =>
  [...spaces(context.world).byId.values()].filter((space) => space.kind !== "system" && maySee(context, space))

const notFound = refuse(404, "space_not_found", "The space you requested was not found.")

/** The space of `:spaceId`; `404 space_not_found` if it is unknown or hidden from the caller. */
export const spaceOf = (context: Context): Effect.Effect<LocalSpace, Refusal> =>
  Effect.suspend(() => {
    const space = spaces(context.world).byId.get(param(context, "spaceId"))
    return space !== undefined && maySee(context, space) ? Effect.succeed(space) : notFound
  })

export const renderSpace = (space: LocalSpace): Record<string, unknown> => ({
  sId: space.sId,
  name: space.name,
  kind: space.kind,
  groupIds: [space.groupId],
  isRestricted: space.isRestricted,
  managementMode: "manual",
  createdAt: space.createdAt,
  updatedAt: space.createdAt
})

export const renderServerView = (space: LocalSpace, view: LocalServerView): Record<string, unknown> => ({
  id: view.id,
  sId: view.sId,
  name: null,
  description: null,
  createdAt: view.createdAt,
  updatedAt: view.createdAt,
  spaceId: space.sId,
  serverType: view.serverType,
  server: {
    sId: view.serverId,
    name: view.name,
    version: "1.0.0",
    description: view.description,
    icon: "ActionCommandIcon",
    authorization: null,
    tools: view.tools,
    availability: view.availability,
    allowMultipleInstances: false,
    documentationUrl: null
  },
  oAuthUseCase: null,
  editedByUser: null
})

const kinds: ReadonlySet<string> = new Set(["system", "global", "regular", "project"])

/** Only regular and project spaces have members. Administrators manage them without being a member. */
const memberSpace = (context: Context): Effect.Effect<LocalSpace, Refusal> =>
  Effect.suspend(() => {
    const space = spaces(context.world).byId.get(param(context, "spaceId"))
    return space?.kind === "regular" || space?.kind === "project" ? Effect.succeed(space) : notFound
  })

const renderMembers = (world: World, space: LocalSpace, ids: Iterable<string>, withId: boolean) =>
  [...ids].flatMap((sId) => {
    const member = world.members.get(sId)
    return member === undefined || !space.members.has(sId)
      ? []
      : [{ sId, ...(withId ? { id: member.user.id } : {}), email: member.user.email }]
  })

export const spaceRoutes: ReadonlyArray<Route> = routesOf(spacesApi)({
  "GET /spaces": {
    auth: "any",
    handler: (context) =>
      Effect.suspend(() => {
        const wanted = (context.query.get("kinds") ?? "system,global,regular").split(",")
        const unknown = wanted.find((kind) => !kinds.has(kind))
        return unknown === undefined
          ? Effect.succeed(
            json({ spaces: visibleSpaces(context).filter((space) => wanted.includes(space.kind)).map(renderSpace) })
          )
          : badRequest(`Invalid query parameters: Validation error: unknown space kind "${unknown}" at "kinds"`)
      })
  },
  "GET /spaces/{spaceId}/members": {
    auth: "admin",
    handler: (context) =>
      Effect.map(
        memberSpace(context),
        (space) => json({ users: renderMembers(context.world, space, space.members, false) })
      )
  },
  "POST /spaces/{spaceId}/members": {
    auth: "admin",
    handler: (context) =>
      Effect.gen(function*() {
        const space = yield* memberSpace(context)
        const { userIds } = yield* body(context, Schema.Struct({ userIds: Schema.Array(Schema.String) }))
        for (const userId of userIds) {
          if (!context.world.members.has(userId)) {
            return yield* refuse(404, "user_not_found", "The user requested was not found.")
          }
          if (space.members.has(userId)) {
            return yield* refuse(409, "invalid_request_error", "The user is already a member of the space.")
          }
        }
        for (const userId of userIds) space.members.add(userId)
        return json({ space: renderSpace(space), users: renderMembers(context.world, space, userIds, true) })
      })
  },
  "DELETE /spaces/{spaceId}/members/{userId}": {
    auth: "admin",
    handler: (context) =>
      Effect.gen(function*() {
        const space = yield* memberSpace(context)
        const userId = param(context, "userId")
        if (!context.world.members.has(userId)) {
          return yield* refuse(404, "user_not_found", "The user requested was not found.")
        }
        if (!space.members.delete(userId)) {
          return yield* badRequest("The user is not a member of the space.")
        }
        return context.world.quirks.emptyOkBodies ? empty() : json({ success: true })
      })
  },
  "GET /spaces/{spaceId}/mcp_server_views": {
    auth: "any",
    handler: (context) =>
      Effect.gen(function*() {
        const space = yield* spaceOf(context)
        const includeAuto = context.query.get("includeAuto") ?? "false"
        if (includeAuto !== "true" && includeAuto !== "false") {
          return yield* badRequest(
            `Invalid query parameters: Validation error: expected "true" or "false" at "includeAuto"`
          )
        }
        return json({
          success: true,
          serverViews: space.serverViews
            .filter(({ availability }) =>
              availability === "manual" || (includeAuto === "true" && availability === "auto")
            )
            .map((view) => renderServerView(space, view))
        })
      })
  }
})

/** Space lookup for other domains. */
export const installSpaces = (world: World): void => {
  world.lookups.space = (spaceId) => {
    const space = spaces(world).byId.get(spaceId)
    return space === undefined || space.kind === "conversations" ? undefined : { name: space.name }
  }
}
