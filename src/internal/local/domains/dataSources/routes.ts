/** The routes of data sources and their views. */
import * as Effect from "effect/Effect"
import { json, refuse } from "../../server/http.ts"
import { param, type Requirement, type Route, route } from "../../server/route.ts"
import { spaceOf } from "../spaces.ts"
import { paging, sourceOf } from "./access.ts"
import {
  deleteDocument,
  documentOf,
  listDocuments,
  tokenize,
  updateParents,
  upsertDocument,
  wholeDocument
} from "./documents.ts"
import { renderFolder, upsertFolder } from "./folders.ts"
import { isShown, localDataSources, renderView } from "./model.ts"
import { searchIn } from "./search.ts"
import {
  deleteRow,
  deleteTable,
  getRow,
  listRows,
  missingTable,
  renderTable,
  tableOf,
  upsertRows,
  upsertTable
} from "./tables.ts"
import { listSources, patchView, searchViews, viewOf } from "./views.ts"

const root = "/api/v1/w/:workspaceId"

/** The routes below a data source, which exist with a space in the path and without one. */
const below = (base: string): ReadonlyArray<Route> => {
  const at = (
    method: Route["method"],
    path: string,
    handler: Route["handler"],
    auth: Requirement = "any"
  ) => route(method, `${base}/:dataSourceId${path}`, { auth, handler })
  return [
    route("GET", `${base}/:dataSourceId/check_upsert_queue`, {
      auth: "system",
      denied: { status: 403, type: "data_source_auth_error", message: "Only system keys can check the upsert queue." },
      handler: (context) => Effect.as(sourceOf(context), json({ running_count: 0 }))
    }),
    at("GET", "/documents", listDocuments),
    at(
      "GET",
      "/documents/:documentId",
      (context) =>
        Effect.flatMap(
          sourceOf(context),
          (source) =>
            Effect.map(documentOf(context, source), (document) => json({ document: wholeDocument(source, document) }))
        )
    ),
    at("POST", "/documents/:documentId", upsertDocument),
    at("DELETE", "/documents/:documentId", deleteDocument),
    at("POST", "/documents/:documentId/parents", updateParents),
    at(
      "GET",
      "/search",
      (context) => Effect.flatMap(sourceOf(context), (source) => searchIn(context, source, () => true))
    ),
    at("POST", "/tokenize", tokenize),
    at(
      "GET",
      "/tables",
      (context) =>
        Effect.map(
          sourceOf(context),
          (source) => json({ tables: [...source.tables.values()].map((table) => renderTable(table, true)) })
        )
    ),
    at("POST", "/tables", upsertTable),
    at(
      "GET",
      "/tables/:tableId",
      (context) =>
        Effect.flatMap(
          sourceOf(context),
          (source) =>
            Effect.map(tableOf(context, source, missingTable), (table) => json({ table: renderTable(table, true) }))
        )
    ),
    at("DELETE", "/tables/:tableId", deleteTable),
    at("GET", "/tables/:tableId/rows", listRows),
    at("POST", "/tables/:tableId/rows", upsertRows),
    at("GET", "/tables/:tableId/rows/:rowId", getRow),
    at("DELETE", "/tables/:tableId/rows/:rowId", deleteRow),
    at("GET", "/folders", (context) =>
      Effect.gen(function*() {
        const source = yield* sourceOf(context, false)
        const { limit, offset } = yield* paging(context)
        const all = [...source.folders.values()]
        return json({
          folders: all.slice(offset, offset + limit).map((folder) => renderFolder(source, folder)),
          total: all.length
        })
      }), "system"),
    at("GET", "/folders/:folderId", (context) =>
      Effect.flatMap(sourceOf(context, false), (source) => {
        const folder = source.folders.get(param(context, "folderId"))
        return folder === undefined
          ? refuse(404, "data_source_error", "There was an error retrieving the folder.")
          : Effect.succeed(json({ folder: renderFolder(source, folder) }))
      }), "system"),
    at("POST", "/folders/:folderId", upsertFolder, "system"),
    at("DELETE", "/folders/:folderId", (context) =>
      Effect.map(sourceOf(context, false), (source) => {
        const folderId = param(context, "folderId")
        source.folders.delete(folderId)
        return json({ folder: { folder_id: folderId } })
      }), "system")
  ]
}

export const dataSourceRoutes: ReadonlyArray<Route> = [
  route("GET", `${root}/spaces/:spaceId/data_sources`, {
    auth: "any",
    handler: (context) => Effect.flatMap(spaceOf(context), (space) => listSources(context, space.sId))
  }),
  route("GET", `${root}/data_sources`, {
    auth: "any",
    handler: (context) => listSources(context, "vlt_global")
  }),
  ...below(`${root}/spaces/:spaceId/data_sources`),
  ...below(`${root}/data_sources`),
  route("GET", `${root}/spaces/:spaceId/data_source_views`, {
    auth: "any",
    handler: (context) =>
      Effect.map(spaceOf(context), (space) =>
        json({
          dataSourceViews: [...localDataSources(context.world).views.values()]
            .filter((view) => view.spaceId === space.sId)
            .map(renderView)
        }))
  }),
  route("GET", `${root}/spaces/:spaceId/data_source_views/:dataSourceViewId`, {
    auth: "any",
    handler: (context) => Effect.map(viewOf(context), (view) => json({ dataSourceView: renderView(view) }))
  }),
  route("PATCH", `${root}/spaces/:spaceId/data_source_views/:dataSourceViewId`, { auth: "any", handler: patchView }),
  route("GET", `${root}/spaces/:spaceId/data_source_views/:dataSourceViewId/search`, {
    auth: "any",
    handler: (context) =>
      Effect.flatMap(
        viewOf(context),
        (view) => searchIn(context, view.dataSource, (document) => isShown(view, document.parents))
      )
  }),
  route("GET", `${root}/data_source_views/search`, { auth: "system", handler: searchViews })
]
