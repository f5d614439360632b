/** Triggers and webhooks. */
import * as Effect from "effect/Effect"
import { triggers as triggersApi } from "../../api/triggers.ts"
import { routesOf } from "../server/declared.ts"
import { badRequest, decodeText, json, refuse, type Refusal } from "../server/http.ts"
import { type Context, param, type Route } from "../server/route.ts"
import type { TriggerSeed, WebhookSourceSeed } from "../state/seed.ts"
import { slice } from "../state/state.ts"

/** An accepted webhook request. */
export interface ReceivedWebhook {
  readonly webhookSourceId: string
  readonly payload: unknown
  readonly at: number
}

const sampleTriggers: ReadonlyArray<TriggerSeed> = [
  {
    sId: "trg_weekly",
    name: "Weekly summary",
    customPrompt: "Summarize the week",
    configuration: { cron: "0 9 * * 1", timezone: "Europe/Paris" }
  },
  { sId: "trg_deploys", name: "Deployments", configuration: { includePayload: true } },
  {
    sId: "trg_old",
    name: "Old report",
    status: "disabled",
    configuration: { intervalDays: 2, dayOfWeek: null, hour: 8, minute: 30, timezone: "UTC" }
  }
]

const sampleSources: ReadonlyArray<WebhookSourceSeed> = [
  { sId: "whs_deploys", urlSecret: "local-webhook-secret", name: "Deployments" },
  {
    sId: "whs_signed",
    urlSecret: "local-webhook-secret",
    name: "Signed",
    signature: { header: "x-local-signature", secret: "local-signing-secret", algorithm: "sha256" }
  }
]

export const triggers = slice("triggers", (world) => {
  const seed = world.seed.triggers
  const source = seed?.webhookSources ?? sampleSources
  return {
    list: (seed?.triggers ?? sampleTriggers).map((trigger) => {
      const webhook = "includePayload" in trigger.configuration
      return {
        id: world.numericId(),
        sId: trigger.sId ?? world.sId("trg"),
        name: trigger.name,
        agentConfigurationId: trigger.agentId ?? "echo",
        kind: webhook ? "webhook" : "schedule",
        status: trigger.status ?? "enabled",
        createdAt: world.now(),
        customPrompt: trigger.customPrompt ?? null,
        naturalLanguageDescription: null,
        executionMode: "workspace_pool",
        configuration: trigger.configuration,
        ...(webhook ? { webhookSource: { name: source[0]?.name ?? "Webhook", provider: "custom" } } : {})
      }
    }),
    sources: new Map(source.map((one) => [one.sId, one])),
    /** Accepted webhook requests, oldest first. */
    received: [] as Array<ReceivedWebhook>
  }
})

const kinds: ReadonlySet<string> = new Set(["schedule", "webhook"])
const statuses: ReadonlySet<string> = new Set([
  "enabled",
  "disabled",
  "disabled_by_manager",
  "relocating",
  "downgraded"
])

const list = (context: Context) =>
  Effect.suspend(() => {
    const kind = context.query.get("kind")
    const status = context.query.get("status") ?? "enabled"
    const agentId = context.query.get("agentConfigurationId")
    const limit = Number(context.query.get("limit") ?? "50")
    const offset = Number(context.query.get("offset") ?? "0")
    if (
      (kind !== null && !kinds.has(kind)) || !statuses.has(status) ||
      !Number.isInteger(limit) || limit < 1 || limit > 100 || !Number.isInteger(offset) || offset < 0
    ) return badRequest("Invalid query parameters: Validation error")
    const found = triggers(context.world).list.filter((trigger) =>
      trigger.status === status && (kind === null || trigger.kind === kind) &&
      (agentId === null || trigger.agentConfigurationId === agentId)
    )
    return Effect.succeed(json({ triggers: found.slice(offset, offset + limit) }))
  })

const get = (context: Context) =>
  Effect.suspend(() => {
    const triggerId = param(context, "triggerId")
    const trigger = triggers(context.world).list.find((one) => one.sId === triggerId)
    return trigger === undefined
      ? refuse(404, "trigger_not_found", `Trigger ${triggerId} not found.`)
      : Effect.succeed(json({ trigger }))
  })

const limit = 2 * 1024 * 1024

type Algorithm = NonNullable<WebhookSourceSeed["signature"]>["algorithm"]

/** The signature as GitHub sends it (`sha256=` and hexadecimal digits), and as base64. Source: `webhook_source_server.ts`. */
const signaturesOf = (algorithm: Algorithm, secret: string, body: Uint8Array) =>
  Effect.promise(async () => {
    const name = { name: "HMAC", hash: `SHA-${algorithm.slice(3)}` }
    const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), name, false, ["sign"])
    const made = new Uint8Array(await crypto.subtle.sign("HMAC", key, new Uint8Array(body)))
    return [
      `${algorithm}=${Array.from(made, (byte) => byte.toString(16).padStart(2, "0")).join("")}`,
      btoa(String.fromCharCode(...made))
    ]
  })

/** The order is the server's: the request, the workspace, the source, the secret, the signature. */
const receive = (context: Context) =>
  Effect.gen(function*() {
    const { request, world } = context
    if (request.headers["content-type"]?.includes("application/json") !== true) {
      return yield* badRequest("Content-Type must be application/json.")
    }
    if (request.body.length > limit) return yield* badRequest("Request body too large.")
    const payload = yield* Effect.try(() => JSON.parse(decodeText(request.body)) as unknown).pipe(
      Effect.catchAll(() => badRequest("Invalid JSON body."))
    )
    const workspaceId = param(context, "workspaceId")
    if (workspaceId !== world.workspaceId) {
      return yield* refuse(404, "workspace_not_found", `Workspace ${workspaceId} not found.`)
    }
    const { received, sources } = triggers(world)
    const sourceId = param(context, "webhookSourceId")
    const source = sources.get(sourceId)
    if (source === undefined) {
      return yield* refuse(
        404,
        "webhook_source_not_found",
        `Webhook source ${sourceId} not found in workspace ${workspaceId}.`
      )
    }
    if (source.urlSecret !== param(context, "webhookSourceUrlSecret")) {
      return yield* refuse(401, "webhook_source_auth_error", "Invalid webhook path.")
    }
    if (source.signature !== undefined) {
      const given = request.headers[source.signature.header.toLowerCase()]
      if (given === undefined) return yield* missingSignature(source.signature.header)
      const expected = yield* signaturesOf(source.signature.algorithm, source.signature.secret, request.body)
      if (!expected.includes(given)) return yield* badRequest("Invalid webhook signature.")
    }
    received.push({ webhookSourceId: source.sId, payload, at: world.now() })
    return json({ success: true })
  })

const missingSignature = (header: string): Effect.Effect<never, Refusal> =>
  badRequest(`Missing signature header: ${header}`)

export const triggerRoutes: ReadonlyArray<Route> = routesOf(triggersApi)({
  "GET /triggers": { auth: "admin", handler: list },
  "GET /triggers/{triggerId}": { auth: "admin", handler: get },
  "POST /triggers/hooks/{webhookSourceId}/{webhookSourceUrlSecret}": { auth: "none", handler: receive }
})
