/**
 * Triggers: schedules and webhooks that start an agent; and webhooks to send.
 *
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
 * Runs every so many days.
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
  /** Whether the agent is given the payload. */
  includePayload: Schema.Boolean,
  event: nullable(Schema.String),
  /** An expression that the payload has to match. */
  filter: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface WebhookConfiguration extends Schema.Schema.Type<typeof WebhookConfiguration> {}

/**
 * A schedule or a webhook that starts an agent. Tell the kinds of configuration apart with `"cron" in configuration`, `"intervalDays" in configuration` and
 * `"includePayload" in configuration`; a kind that this version does not know is a record.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Trigger = Schema.Struct({
  sId: TriggerId,
  name: withDefault(Schema.String, () => ""),
  /** The agent that it starts. */
  agentId: nullable(AgentId).pipe(Schema.fromKey("agentConfigurationId")),
  kind: openLiteral("schedule", "webhook"),
  status: nullable(openLiteral("enabled", "disabled", "disabled_by_manager", "relocating", "downgraded")),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** The prompt that the agent is given. */
  customPrompt: nullable(Schema.String),
  naturalLanguageDescription: nullable(Schema.String),
  /** Who pays for the runs. */
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
  /** Where the webhook comes from; `provider` is `custom` when it is none that Dust knows. */
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
  /** Returns only triggers that start this agent. */
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
 * How to sign a webhook, for a source with a signing secret: a header with the HMAC of the body.
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
  /** Anything that JSON can carry, 2 MiB at most. */
  readonly payload: unknown
  /** Headers such as the name of the event. Dust keeps only those that it knows from known senders. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Signs the body, for a webhook source that asks for it. */
  readonly signature?: WebhookSignature | undefined
}
