/** The endpoints of `Workspace`. */
import * as Schema from "effect/Schema"
import { Me, WorkspaceMember } from "../../User.ts"
import { list, nonBlank } from "../decode/schema.ts"
import { get, group, post, using } from "./endpoint.ts"

const user: Schema.Schema<Me, typeof Me.Encoded> = Me
const member: Schema.Schema<WorkspaceMember, typeof WorkspaceMember.Encoded> = WorkspaceMember

const exported = { credential: "key", timeouts: { headers: "3 minutes", body: "5 minutes" } } as const

const values = Schema.optional(Schema.Array(
  nonBlank("a non-blank value").pipe(
    Schema.filter((value) => value.length <= 256 || "at most 256 characters long")
  )
))

const Filter = Schema.Struct({
  agents: values,
  users: values,
  apiKeys: values.pipe(Schema.fromKey("api_keys")),
  groups: values,
  models: values,
  tools: values,
  skills: values,
  sources: values,
  tags: values
}).pipe(
  Schema.filter((filter) =>
    Object.values(filter).reduce((sum, list) => sum + (list?.length ?? 0), 0) <= 500 || "at most 500 values in all"
  )
)

const consumption = post("/analytics/consumption/export", {
  ...exported,
  replay: "safe",
  body: Schema.Struct({
    startDate: Schema.String,
    endDate: Schema.String,
    format: Schema.Literal("csv", "ndjson"),
    filter: Schema.optional(Filter)
  })
})

export const workspace = group("Workspace", {
  exists: using({ get: get("/exists") }),
  /**
   * Returns the user of the access token, with the user's workspaces. Fails with `DustUserRequiredError` before any request with an
   * API key. Retried automatically.
   *
   * Source: `GET /api/v1/me`;
   * `front-api/routes/v1/me.ts` in dust-tt/dust.
   */
  me: get("/api/v1/me", { credential: "user", response: Schema.Struct({ user }), pick: (answer) => answer.user }),
  /**
   * Returns the active members, in one request. Requires the administrator role; otherwise fails with `DustForbiddenError`.
   * Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/members`;
   * `front-api/routes/v1/w/[wId]/members/index.ts` in dust-tt/dust.
   */
  listMembers: get("/members", {
    response: Schema.Struct({ users: list(member) }),
    pick: ({ users }) => users
  }),
  /**
   * Returns whether an e-mail address belongs to an active member. Retried automatically.
   *
   * Source: `POST /api/v1/w/{workspaceId}/members/validate`;
   * `front-api/routes/v1/w/[wId]/members/validate.ts` in dust-tt/dust.
   */
  validateMember: post("/members/validate", {
    replay: "safe",
    body: Schema.Struct({ email: nonBlank("an e-mail address") }),
    response: Schema.Struct({ valid: Schema.Boolean }),
    pick: ({ valid }) => valid
  }),
  analytics: using({ json: get("/analytics/export", { ...exported, response: Schema.Unknown }) }),
  analyticsCsv: using({ csv: get("/analytics/export", { ...exported, text: (csv) => csv }) }),
  streamAnalyticsCsv: using({ csv: get("/analytics/export", exported) }),
  streamConsumption: using({ ndjson: consumption }),
  streamConsumptionCsv: using({ csv: consumption })
})
