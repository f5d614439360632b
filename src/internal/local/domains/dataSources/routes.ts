/** The routes of data sources and their views. */
import * as Effect from "effect/Effect"
import { dataSources as dataSourcesApi } from "../../../api/dataSources.ts"
import { dataSourceViews as viewsApi } from "../../../api/dataSourceViews.ts"
import { routesOf } from "../../server/declared.ts"
import { json, refuse } from "../../server/http.ts"
import { type Handler, param, type Route, route } from "../../server/route.ts"
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

const any = (handler: Handler) => ({ auth: "any", handler }) as const

const declared = routesOf(dataSourcesApi)({
  "GET /spaces/{spaceId}/data_sources": any((context) =>
    Effect.flatMap(spaceOf(context), (space) => listSources(context, space.sId))
  ),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/documents": any(listDocuments),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}": any((context) =>
    Effect.flatMap(
      sourceOf(context),
      (source) =>
        Effect.map(documentOf(context, source), (document) => json({ document: wholeDocument(source, document) }))
    )
  ),
  "POST /spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}": any(upsertDocument),
  "DELETE /spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}": any(deleteDocument),
  "POST /spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}/parents": any(updateParents),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/search": any((context) =>
    Effect.flatMap(sourceOf(context), (source) => searchIn(context, source, () => true))
  ),
  "POST /spaces/{spaceId}/data_sources/{dataSourceId}/tokenize": any(tokenize),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/tables": any((context) =>
    Effect.map(
      sourceOf(context),
      (source) => json({ tables: [...source.tables.values()].map((table) => renderTable(table, true)) })
    )
  ),
  "POST /spaces/{spaceId}/data_sources/{dataSourceId}/tables": any(upsertTable),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}": any((context) =>
    Effect.flatMap(
      sourceOf(context),
      (source) =>
        Effect.map(tableOf(context, source, missingTable), (table) => json({ table: renderTable(table, true) }))
    )
  ),
  "DELETE /spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}": any(deleteTable),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows": any(listRows),
  "POST /spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows": any(upsertRows),
  "GET /spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}": any(getRow),
  "DELETE /spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}": any(deleteRow)
})

/** Operations on a data source that require a system key. */
const system = (base: string): ReadonlyArray<Route> => {
  const at = (method: Route["method"], path: string, handler: Handler) =>
    route(method, `${base}/:dataSourceId${path}`, { auth: "system", handler })
  return [
    route("GET", `${base}/:dataSourceId/check_upsert_queue`, {
      auth: "system",
      denied: { status: 403, type: "data_source_auth_error", message: "Only system keys can check the upsert queue." },
      handler: (context) => Effect.as(sourceOf(context), json({ running_count: 0 }))
    }),
    at("GET", "/folders", (context) =>
      Effect.gen(function*() {
        const source = yield* sourceOf(context, false)
        const { limit, offset } = yield* paging(context)
        const all = [...source.folders.values()]
        return json({
          folders: all.slice(offset, offset + limit).map((folder) => renderFolder(source, folder)),
          total: all.length
        })
      })),
    at("GET", "/folders/:folderId", (context) =>
      Effect.flatMap(sourceOf(context, false), (source) => {
        const folder = source.folders.get(param(context, "folderId"))
        return folder === undefined
          ? refuse(404, "data_source_error", "There was an error retrieving the folder.")
          : Effect.succeed(json({ folder: renderFolder(source, folder) }))
      })),
    at("POST", "/folders/:folderId", upsertFolder),
    at("DELETE", "/folders/:folderId", (context) =>
      Effect.map(sourceOf(context, false), (source) => {
        const folderId = param(context, "folderId")
        source.folders.delete(folderId)
        return json({ folder: { folder_id: folderId } })
      }))
  ]
}

const inSpace = `${root}/spaces/:spaceId/data_sources`
const anywhere = `${root}/data_sources`

export const dataSourceRoutes: ReadonlyArray<Route> = [
  ...declared,
  // The routes below a data source also exist without a space in the path.
  ...declared.filter(({ path }) => path !== inSpace).map((one) => ({
    ...one,
    path: one.path.replace(inSpace, anywhere)
  })),
  route("GET", anywhere, any((context) => listSources(context, "vlt_global"))),
  ...system(inSpace),
  ...system(anywhere),
  ...routesOf(viewsApi)({
    "GET /spaces/{spaceId}/data_source_views": any((context) =>
      Effect.map(spaceOf(context), (space) =>
        json({
          dataSourceViews: [...localDataSources(context.world).views.values()]
            .filter((view) => view.spaceId === space.sId)
            .map(renderView)
        }))
    ),
    "GET /spaces/{spaceId}/data_source_views/{dataSourceViewId}": any((context) =>
      Effect.map(viewOf(context), (view) => json({ dataSourceView: renderView(view) }))
    ),
    "PATCH /spaces/{spaceId}/data_source_views/{dataSourceViewId}": any(patchView),
    "GET /spaces/{spaceId}/data_source_views/{dataSourceViewId}/search": any((context) =>
      Effect.flatMap(
        viewOf(context),
        (view) => searchIn(context, view.dataSource, (document) => isShown(view, document.parents))
      )
    )
  }),
  route("GET", `${root}/data_source_views/search`, { auth: "system", handler: searchViews })
]
