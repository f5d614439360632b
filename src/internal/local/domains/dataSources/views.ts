/** Views of data sources. */
import * as Effect from "effect/Effect"
import { badRequest, json, refuse, type Refusal } from "../../server/http.ts"
import { type Context, hasRole, jsonBody, param } from "../../server/route.ts"
import { spaceOf } from "../spaces.ts"
import { type LocalView, localDataSources, renderDataSource, renderView } from "./model.ts"

export const viewOf = (context: Context): Effect.Effect<LocalView, Refusal> =>
  Effect.flatMap(spaceOf(context), (space) => {
    const view = localDataSources(context.world).views.get(param(context, "dataSourceViewId"))
    return view === undefined || view.spaceId !== space.sId
      ? refuse(404, "data_source_view_not_found", "The data source view you requested was not found.")
      : Effect.succeed(view)
  })

const isStrings = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((one) => typeof one === "string")

export const patchView = (context: Context) =>
  Effect.gen(function*() {
    const view = yield* viewOf(context)
    if (!hasRole(context, "admin")) {
      return yield* refuse(
        401,
        "workspace_auth_error",
        "Only users that are `admins` for the current workspace can update data source views."
      )
    }
    const input = yield* jsonBody(context)
    const record = typeof input === "object" && input !== null ? input : {}
    // This variant comes first in the server's union and ignores `parentsIn`, which therefore has no effect.
    const toAdd = "parentsToAdd" in record ? record.parentsToAdd : undefined
    const toRemove = "parentsToRemove" in record ? record.parentsToRemove : undefined
    if ((toAdd !== undefined && !isStrings(toAdd)) || (toRemove !== undefined && !isStrings(toRemove))) {
      return yield* badRequest("Invalid request body: Validation error: Invalid input")
    }
    if (toAdd !== undefined || toRemove !== undefined) {
      const kept = (view.parentsIn ?? []).filter((parent) => toRemove?.includes(parent) !== true)
      view.parentsIn = [...new Set([...kept, ...(toAdd ?? [])])]
      view.updatedAt = context.world.now()
    }
    return json({ dataSourceView: renderView(view) })
  })

export const searchViews = (context: Context) =>
  Effect.sync(() => {
    const { query } = context
    const wanted = (name: string, value: string) => query.get(name) === null || query.get(name) === value
    return json({
      data_source_views: [...localDataSources(context.world).views.values()]
        .filter((view) =>
          wanted("dataSourceId", view.dataSource.sId) &&
          wanted("kind", view.parentsIn === null ? "default" : "custom") &&
          wanted("vaultId", view.spaceId)
        )
        .map(renderView)
    })
  })

export const listSources = (context: Context, spaceId: string) =>
  Effect.sync(() =>
    json({
      data_sources: [...localDataSources(context.world).byId.values()]
        .filter((source) => source.spaceId === spaceId)
        .map(renderDataSource)
    })
  )
