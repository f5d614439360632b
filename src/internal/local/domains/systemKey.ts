/** Routes for Dust's system keys: they refuse other credentials and have no effect here. */
import * as Effect from "effect/Effect"
import { text } from "../server/http.ts"
import { type Route, route } from "../server/route.ts"

const root = "/api/v1/w/:workspaceId"
const space = `${root}/spaces/:spaceId`

const handler: Route["handler"] = () => Effect.succeed(text("404 Not Found", { status: 404 }))

export const internalRoutes: ReadonlyArray<Route> = [
  route("GET", `${root}/members/emails`, {
    auth: "system",
    denied: { status: 404, type: "workspace_not_found", message: "The workspace was not found." },
    handler
  }),
  ...([
    ["GET", `${root}/feature_flags`],
    ["GET", `${root}/verified_domains`],
    ["GET", `${root}/models`],
    ["POST", `${root}/members/locale`],
    ["GET", `${root}/spaces/groups`],
    ["GET", `${space}/conversations`],
    ["GET", `${space}/conversation_ids`],
    ["GET", `${space}/project_files`],
    ["GET", `${space}/project_metadata`],
    ["GET", `${space}/apps/export`],
    ["POST", `${space}/apps/import`],
    ...[space, root].flatMap((base) =>
      [
        ["POST", `${base}/data_sources/:dataSourceId/tables/csv`],
        ["POST", `${base}/data_sources/:dataSourceId/tables/:tableId/parents`]
      ] as const
    ),
    ["GET", `${root}/data_sources/:dataSourceId/documents/:documentId/blob`]
  ] as const).map(([method, path]) => route(method, path, { auth: "system", handler }))
]
