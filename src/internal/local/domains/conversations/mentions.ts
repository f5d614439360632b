/** Mention suggestions, and the markup of mentions in text. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mentions } from "../../../api/mentions.ts"
import { routesOf } from "../../server/declared.ts"
import { badRequest, json, type LocalFailure, type LocalResponse } from "../../server/http.ts"
import { body, type Context, query, type Route } from "../../server/route.ts"
import { agents } from "../agents.ts"
import { findConversation } from "./access.ts"

const suggestions = (context: Context): Effect.Effect<LocalResponse, LocalFailure> =>
  Effect.gen(function*() {
    const { auth, world } = context
    if (context.query.has("current") && world.quirks.suggestionsCurrentRefused) {
      return yield* badRequest(
        "Invalid query parameters: Validation error: Expected boolean, received string at \"current\""
      )
    }
    const kind = Schema.Literal("agents", "users")
    const input = yield* query(
      context,
      Schema.Struct({
        query: Schema.String,
        select: Schema.optional(Schema.Union(kind, Schema.Array(kind)))
      })
    )
    const wanted = input.select === undefined ? ["agents", "users"] : [input.select].flat()
    const needle = input.query.toLowerCase()
    const found = [
      ...wanted.includes("agents")
        ? Array.from(agents(world).byId.values())
          .filter((agent) =>
            agent.status === "active" && agent.scope !== "hidden" && agent.name.toLowerCase().includes(needle)
          )
          .map((agent) => ({
            id: agent.sId,
            type: "agent",
            label: agent.name,
            pictureUrl: agent.pictureUrl,
            description: agent.description,
            userFavorite: auth.user !== undefined && agent.favoriteOf.has(auth.user.sId)
          }))
        : [],
      ...wanted.includes("users")
        ? Array.from(world.members.values())
          .filter(({ user }) => user.fullName.toLowerCase().includes(needle) || user.email.includes(needle))
          .map(({ user }) => ({
            id: user.sId,
            type: "user",
            label: user.fullName,
            pictureUrl: user.image ?? "",
            description: user.email
          }))
        : []
    ]
    return json({ suggestions: found })
  })

const parse = (context: Context): Effect.Effect<LocalResponse, LocalFailure> =>
  Effect.map(body(context, Schema.Struct({ markdown: Schema.String })), ({ markdown }) => {
    let parsed = markdown
    for (const agent of agents(context.world).byId.values()) {
      parsed = parsed.replaceAll(`@${agent.name}`, `:mention[${agent.name}]{sId=${agent.sId}}`)
    }
    for (const { user } of context.world.members.values()) {
      parsed = parsed.replaceAll(`@${user.fullName}`, `:mention_user[${user.fullName}]{sId=${user.sId}}`)
    }
    return json({ markdown: parsed })
  })

export const mentionRoutes: ReadonlyArray<Route> = routesOf(mentions)({
  "GET /assistant/mentions/suggestions": { auth: "any", handler: suggestions },
  "GET /assistant/conversations/{conversationId}/mentions/suggestions": {
    auth: "any",
    handler: (context) => Effect.zipRight(findConversation(context), suggestions(context))
  },
  "POST /assistant/mentions/parse": { auth: "any", handler: parse }
})
