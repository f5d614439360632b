/** Who am I, and does the workspace exist. */
import * as Effect from "effect/Effect"
import { json } from "../server/http.ts"
import { type Route, route } from "../server/route.ts"

export const identityRoutes: ReadonlyArray<Route> = [
  route("GET", "/api/v1/me", {
    auth: "user",
    denied: {
      status: 401,
      type: "not_authenticated",
      message: "The user does not have an active session or is not authenticated."
    },
    handler: ({ auth, world }) =>
      Effect.sync(() =>
        json({
          user: {
            ...auth.user,
            workspaces: [world.owner(auth)],
            organizations: [],
            origin: "invited",
            selectedWorkspace: world.workspaceId
          }
        })
      )
  }),
  route("GET", "/api/v1/w/:workspaceId/exists", {
    auth: "any",
    handler: () => Effect.succeed(json({ exists: true }))
  })
]
