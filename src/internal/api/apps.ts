/** The endpoints of `Apps`. */
import * as Schema from "effect/Schema"
import { App, AppCheck, Run } from "../../App.ts"
import { list, nonBlank } from "../decode/schema.ts"
import { get, group, post, using } from "./endpoint.ts"

const app: Schema.Schema<App, typeof App.Encoded> = App
const check: Schema.Schema<AppCheck, typeof AppCheck.Encoded> = AppCheck
const run: Schema.Schema<Run, typeof Run.Encoded> = Run

/** Whether the app is unknown, in another space or may not be read comes with 404 and with 403. */
const errors = { app_not_found: "DustNotFoundError" } as const

const answer = {
  response: Schema.Struct({ run }),
  pick: (all: { readonly run: Run }) => all.run
}

const runs = post("/spaces/{spaceId}/apps/{appId}/runs", {
  ...answer,
  // The only rate limit of this route is that of a day, which waiting does not cure.
  errors: { ...errors, rate_limit_error: "DustQuotaExceededError" },
  timeouts: { headers: "10 minutes" },
  body: Schema.Struct({
    specificationHash: nonBlank("the hash of a deployed version").pipe(
      Schema.propertySignature,
      Schema.fromKey("specification_hash")
    ),
    config: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    inputs: Schema.Array(Schema.Unknown),
    stream: Schema.optional(Schema.Boolean),
    blocking: Schema.optional(Schema.Boolean),
    blockFilter: Schema.optional(Schema.Array(Schema.String)).pipe(Schema.fromKey("block_filter"))
  })
})

const oneRun = get("/spaces/{spaceId}/apps/{appId}/runs/{runId}", {
  ...answer,
  errors: { ...errors, run_error: "DustNotFoundError" }
})

export const apps = group("Apps", {
  /**
   * Returns the apps of a space, in one request. Retried automatically.
   *
   * Fails with `DustNotFoundError` if the space does not exist or the credential cannot see it.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/apps`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/apps/index.ts` in dust-tt/dust.
   */
  list: get("/spaces/{spaceId}/apps", { response: Schema.Struct({ apps: list(app) }), pick: ({ apps }) => apps }),
  run: using({ post: runs }),
  start: using({ post: runs }),
  stream: using({ post: runs }),
  /**
   * Returns the current state of a run. Retried automatically.
   *
   * Fails with `DustNotFoundError` if the app or the run does not exist, or the credential cannot read it; Dust does not
   * distinguish these.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs/{runId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/apps/[aId]/runs/[runId]/index.ts` in dust-tt/dust.
   */
  getRun: oneRun,
  awaitRun: using({ read: oneRun }),
  /**
   * Returns whether versions of apps of a space are deployed. Retried automatically.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/check` (not in Dust's reference);
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/apps/check.ts` in dust-tt/dust.
   */
  check: post("/spaces/{spaceId}/apps/check", {
    replay: "safe",
    body: Schema.Struct({
      apps: Schema.Array(Schema.Struct({
        appId: nonBlank("the id of an app"),
        appHash: nonBlank("the hash of a version")
      }))
    }),
    response: Schema.Struct({ apps: list(check) }),
    pick: ({ apps }) => apps
  })
})
