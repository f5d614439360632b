/**
 * Triggers (schedules and webhooks that start an agent) and webhooks to send: what `Triggers` returns and takes.
 *
 * ```ts
 * import type { Trigger } from "effect-dust/Trigger"
 *
 * const schedule = ({ configuration }: Trigger) => "cron" in configuration ? configuration.cron : undefined
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { AgentId, TriggerId } from "./Ids.ts"
import { nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { integer } from "./internal/input/query.ts"

/**
 * Runs at the times of a cron expression.
 *
 * @category schemas
 * @since 0.2.0
 */
export const CronSchedule = Schema.Struct({ cron: Schema.String, timezone: nullable(Schema.String) })

/**
 * @category models
 * @since 0.2.0
 */
export interface CronSchedule extends Schema.Schema.Type<typeof CronSchedule> {}

/**
 * Runs at an interval of days.
 *
 * @category schemas
 * @since 0.2.0
 */
export const IntervalSchedule = Schema.Struct({
  intervalDays: Schema.Number,
  dayOfWeek: nullable(Schema.Number),
  hour: nullable(Schema.Number),
  minute: nullable(Schema.Number),
  timezone: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface IntervalSchedule extends Schema.Schema.Type<typeof IntervalSchedule> {}

/**
 * Runs when a webhook arrives.
 *
 * @category schemas
 * @since 0.2.0
 */
export const WebhookConfiguration = Schema.Struct({
  /** Whether the agent receives the payload. */
  includePayload: Schema.Boolean,
  event: nullable(Schema.String),
  /** An expression that the payload must match. */
  filter: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface WebhookConfiguration extends Schema.Schema.Type<typeof WebhookConfiguration> {}

/**
 * A schedule or a webhook that starts an agent. Check `"cron" in configuration`, `"intervalDays" in configuration` or
 * `"includePayload" in configuration` for the kind of configuration; an unknown kind is a record.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Trigger = Schema.Struct({
  sId: TriggerId,
  name: withDefault(Schema.String, () => ""),
  /** The agent to start. */
  agentId: nullable(AgentId).pipe(Schema.fromKey("agentConfigurationId")),
  kind: openLiteral("schedule", "webhook"),
  status: nullable(openLiteral("enabled", "disabled", "disabled_by_manager", "relocating", "downgraded")),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** The prompt for the agent. */
  customPrompt: nullable(Schema.String),
  naturalLanguageDescription: nullable(Schema.String),
  /** The account that the runs are charged to. */
  executionMode: nullable(openLiteral("user_pool", "workspace_pool")),
  configuration: withDefault(
    Schema.Union(
      CronSchedule,
      IntervalSchedule,
      WebhookConfiguration,
      Schema.Record({ key: Schema.String, value: Schema.Unknown })
    ),
    () => ({})
  ),
  /** The source of the webhook; `provider` is `custom` for a provider that Dust has no integration for. */
  webhookSource: nullable(Schema.Struct({
    name: nullable(Schema.String),
    provider: nullable(Schema.String)
  }))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface Trigger extends Schema.Schema.Type<typeof Trigger> {}

/**
 * Selects triggers.
 *
 * @category schemas
 * @since 0.2.0
 */
export const TriggerFilter = Schema.Struct({
  kind: Schema.optional(Schema.Literal("schedule", "webhook")),
  /** Defaults to `enabled`. */
  status: Schema.optional(openLiteral("enabled", "disabled", "disabled_by_manager", "relocating", "downgraded")),
  /** Returns only triggers of this agent. */
  agentId: Schema.optional(AgentId).pipe(Schema.fromKey("agentConfigurationId"))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface TriggerFilter extends Schema.Schema.Type<typeof TriggerFilter> {}

/**
 * Selects one page of triggers.
 *
 * @category schemas
 * @since 0.2.0
 */
export const TriggerPageOptions = Schema.Struct({
  ...TriggerFilter.fields,
  /** 1 to 100. Defaults to 50. */
  limit: Schema.optional(integer(1, 100)),
  /** The number of triggers to skip. Defaults to 0. */
  offset: Schema.optional(integer(0))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface TriggerPageOptions extends Schema.Schema.Type<typeof TriggerPageOptions> {}

/**
 * One page of triggers.
 *
 * @category models
 * @since 0.2.0
 */
export interface TriggerPage {
  readonly triggers: ReadonlyArray<Trigger>
  /** Pass it as `offset` for the next page; `null` on the last one. */
  readonly nextOffset: number | null
}

/**
 * The signature of a webhook, for a source with a signing secret: a header with the HMAC of the body.
 *
 * @category models
 * @since 0.2.0
 */
export interface WebhookSignature {
  /** The name of the header that is configured on the webhook source. */
  readonly header: string
  readonly secret: Redacted.Redacted<string>
  /** Defaults to `sha256`. */
  readonly algorithm?: "sha1" | "sha256" | "sha512" | undefined
}

/**
 * A webhook to send.
 *
 * @category models
 * @since 0.2.0
 */
export interface Webhook {
  readonly webhookSourceId: string
  /** The last part of the URL of the webhook. */
  readonly urlSecret: Redacted.Redacted<string>
  /** Must be JSON-serializable; at most 2 MiB. */
  readonly payload: unknown
  /** Additional headers, such as the name of the event. Dust keeps only the known headers of known senders. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Signs the body, for a webhook source that requires it. */
  readonly signature?: WebhookSignature | undefined
}
