/** Shared by the data source routes: lookup, write access, body validation. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { badRequest, refuse, type Refusal } from "../../server/http.ts"
import { nullish, type Context, hasRole, param, query } from "../../server/route.ts"
import { maySee, spaces } from "../spaces.ts"
import { type LocalDataSource, localDataSources } from "./model.ts"

export const notFound = refuse(404, "data_source_not_found", "The data source you requested was not found.")

/**
 * Resolves the data source of the path by `sId` or name. Without a space in the path, searches the global space; with a
 * system key, every space.
 */
export const sourceOf = (context: Context, byName = true): Effect.Effect<LocalDataSource, Refusal> =>
  Effect.suspend((): Effect.Effect<LocalDataSource, Refusal> => {
    const wanted = param(context, "dataSourceId")
    const all = localDataSources(context.world)
    const source = all.byId.get(wanted)
      ?? (byName ? [...all.byId.values()].find((one) => one.name === wanted) : undefined)
    if (source === undefined) return notFound
    const spaceId = context.params["spaceId"]
      ?? (context.auth.kind === "system" ? source.spaceId : "vlt_global")
    const space = spaces(context.world).byId.get(source.spaceId)
    if (space?.kind === "conversations") {
      return refuse(404, "space_not_found", "The space you requested was not found.")
    }
    return source.spaceId !== spaceId || space === undefined || !maySee(context, space)
      ? notFound
      : Effect.succeed(source)
  })

const writable = (context: Context, source: LocalDataSource): Effect.Effect<LocalDataSource, Refusal> =>
  context.auth.kind === "system" || (source.connectorProvider === null && hasRole(context, "builder"))
    ? Effect.succeed(source)
    : refuse(403, "data_source_auth_error", "You are not allowed to update data in this data source.")

export const sourceToWrite = (context: Context) =>
  Effect.flatMap(sourceOf(context), (source) => writable(context, source))

const Paging = Schema.Struct({
  limit: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative())),
  offset: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()))
})

export const paging = (context: Context) =>
  Effect.map(query(context, Paging), ({ limit = 10, offset = 0 }) => ({ limit, offset }))

/** Converts seconds to milliseconds; ignores invalid values. */
export const moment = (timestamp: number | null | undefined): number | undefined =>
  timestamp === null || timestamp === undefined || !Number.isFinite(timestamp) || timestamp < 0
    ? undefined
    : timestamp < 1e10
    ? timestamp * 1000
    : timestamp

/**
 * Accepts http and https URLs without empty path segments. Source: `validateUrl` of
 * `front/types/shared/utils/url_utils.ts`.
 */
export const checkSourceUrl = (given: string | null | undefined): Effect.Effect<string | null, Refusal> => {
  if (given === null || given === undefined || given === "") return Effect.succeed(null)
  const url = URL.canParse(given) ? new URL(given) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && !url.pathname.includes("//")
    ? Effect.succeed(url.href)
    : badRequest("Invalid request `source_url` if provided must be a valid URL.")
}

export const ParentsBody = Schema.Struct({ parents: Schema.Array(Schema.String), parent_id: nullish(Schema.String) })

export const checkParents = (
  nodeId: string,
  { parent_id, parents }: typeof ParentsBody.Type
): Effect.Effect<void, Refusal> =>
  parents.length === 0
    ? badRequest("Invalid parents: must have at least one element.")
    : parents[0] !== nodeId
    ? badRequest("Invalid parents: parents[0] must be the id of the node.")
    : (parents[1] ?? null) !== (parent_id ?? null)
    ? badRequest("Invalid parent id: parents[1] and parent_id should be equal.")
    : Effect.void
