/** The endpoints of `Triggers`. */
import * as Schema from "effect/Schema"
import { Trigger, TriggerPageOptions } from "../../Trigger.ts"
import { get, group, post, using } from "./endpoint.ts"

const trigger: Schema.Schema<Trigger, typeof Trigger.Encoded> = Trigger
const page: Schema.Schema<TriggerPageOptions, typeof TriggerPageOptions.Encoded> = TriggerPageOptions

// Elements of another shape are left out only after they were counted: their number decides whether there is another page.
const read = get("/triggers", {
  query: page,
  response: Schema.Struct({ triggers: Schema.Array(Schema.Unknown) }),
  pick: ({ triggers }) => triggers
})

export const triggers = group("Triggers", {
  list: using({ read }),
  stream: using({ read }),
  page: using({ read }),
  /**
   * Returns one trigger. Fails with `DustNotFoundError` (`trigger_not_found`) for an unknown id.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers/{triggerId}`;
   * `front-api/routes/v1/w/[wId]/triggers/[tId]/index.ts` in dust-tt/dust.
   */
  get: get("/triggers/{triggerId}", {
    response: Schema.Struct({ trigger }),
    pick: (answer) => answer.trigger
  }),
  sendWebhook: using({
    post: post("/triggers/hooks/{webhookSourceId}/{webhookSourceUrlSecret}", { credential: "none" })
  })
})
