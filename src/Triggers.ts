/**
 * Triggers: what starts an agent by itself, on a schedule or on a webhook; and the webhooks themselves.
 *
 * Triggers can be read (by administrators) and webhooks can be sent; neither is created or changed through the API.
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DustContentTooLargeError, type RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { AgentId, TriggerId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { nullable, type Open, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { badInput, common } from "./internal/request/errors.ts"
import { byOffset } from "./internal/util/paging.ts"

/**
 * Runs at the times of a cron expression.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CronSchedule = Schema.Struct({ cron: Schema.String, timezone: nullable(Schema.String) })

/**
 * @category models
 * @since 0.1.0
 */
export interface CronSchedule extends Schema.Schema.Type<typeof CronSchedule> {}

/**
 * Runs every so many days.
 *
 * @category schemas
 * @since 0.1.0
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
 * @since 0.1.0
 */
export interface IntervalSchedule extends Schema.Schema.Type<typeof IntervalSchedule> {}

/**
 * Runs when a webhook arrives.
 *
 * @category schemas
 * @since 0.1.0
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
 * @since 0.1.0
 */
export interface WebhookConfiguration extends Schema.Schema.Type<typeof WebhookConfiguration> {}

/**
 * Tell the kinds of configuration apart with `"cron" in configuration`, `"intervalDays" in configuration` and
 * `"includePayload" in configuration`; a kind that this version does not know is a record.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Trigger = Schema.Struct({
  sId: TriggerId,
  name: withDefault(Schema.String, () => ""),
  /** The agent that it starts. */
  agentConfigurationId: nullable(AgentId),
  kind: openLiteral("schedule", "webhook"),
  status: nullable(openLiteral("enabled", "disabled", "disabled_by_manager", "relocating", "downgraded")),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** What the agent is told. */
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
 * @since 0.1.0
 */
export interface Trigger extends Schema.Schema.Type<typeof Trigger> {}

/**
 * Which triggers are listed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Filter {
  readonly kind?: "schedule" | "webhook" | undefined
  /** Default: `enabled` only. */
  readonly status?: Open<"enabled" | "disabled" | "disabled_by_manager" | "relocating" | "downgraded"> | undefined
  /** Only those that start this agent. */
  readonly agentId?: AgentId | undefined
}

/**
 * One page of triggers.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOptions extends Filter {
  /** 1 to 100. Default 50. */
  readonly limit?: number | undefined
  /** Default 0. */
  readonly offset?: number | undefined
}

/**
 * The header by which a webhook source with a signing secret recognises its sender: the HMAC of the body.
 *
 * @category models
 * @since 0.1.0
 */
export interface Signature {
  /** The name of the header that is configured on the webhook source. */
  readonly header: string
  readonly secret: Redacted.Redacted<string>
  /** Default `sha256`. */
  readonly algorithm?: "sha1" | "sha256" | "sha512" | undefined
}

/**
 * A webhook to send.
 *
 * @category models
 * @since 0.1.0
 */
export interface WebhookOptions {
  readonly webhookSourceId: string
  /** The last part of the URL of the webhook. */
  readonly urlSecret: Redacted.Redacted<string>
  /** Anything that JSON can carry, 2 MiB at most. */
  readonly payload: unknown
  /** Headers such as the name of the event. Dust keeps only those that it knows from known senders. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Signs the body, for a webhook source that asks for it. */
  readonly signature?: Signature | undefined
}

const root = "/api/v1/w/{workspaceId}/triggers"

// Odd elements are left out only after they were counted: their number decides whether there is another page.
const TriggerPage = Schema.Struct({ triggers: Schema.Array(Schema.Unknown) })

const listOperation = Operation.make({ name: "Triggers.list", http: "GET", route: root, response: TriggerPage })

const streamOperation = Operation.make({ name: "Triggers.stream", http: "GET", route: root, response: TriggerPage })

const get = Operation.make({
  name: "Triggers.get",
  http: "GET",
  route: `${root}/{triggerId}`,
  response: Schema.Struct({ trigger: Trigger })
})

const sendWebhook = Operation.unit({
  name: "Triggers.sendWebhook",
  http: "POST",
  route: `${root}/hooks/{webhookSourceId}/{webhookSourceUrlSecret}`,
  credential: "none"
})

/**
 * Reads need the administrator role (else `DustForbiddenError`), are retried as the retry policy says, and fail with
 * `RequestError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * One page of triggers. Without `status` only those that are enabled.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers`.
   */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<Trigger>, RequestError>
  /**
   * All triggers that the filter lets through, page by page (100 at a time) as they are consumed.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers`.
   */
  readonly stream: (filter?: Filter) => Stream.Stream<Trigger, RequestError>
  /**
   * One trigger. `DustNotFoundError` (`trigger_not_found`) when there is none.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers/{triggerId}`.
   */
  readonly get: (triggerId: TriggerId) => Effect.Effect<Trigger, RequestError>
  /**
   * Sends a webhook, as a third party would: the secret in the URL is the only credential, the one of the layer is not
   * sent. The secret is in no error, log or span.
   *
   * Success means that the webhook was accepted, not that an agent runs: a payload that no trigger wants, rate limits and
   * exhausted credits are success too. Over 2 MiB: `DustContentTooLargeError` before any request. Wrong secret:
   * `DustUnauthorizedError`. Missing or wrong signature: `DustBadRequestError`. Unknown source: `DustNotFoundError`. Sent
   * once: after a lost answer the webhook may have been received.
   *
   * @example
   * ```ts
   * import { Triggers } from "effect-dust/Triggers"
   * import { Effect, Redacted } from "effect"
   *
   * const program = Effect.flatMap(Triggers, (triggers) =>
   *   triggers.sendWebhook({
   *     webhookSourceId: "whs_9aXb3Kq2Lm",
   *     urlSecret: Redacted.make("…"),
   *     payload: { event: "deployed", service: "checkout" },
   *     signature: { header: "X-Signature", secret: Redacted.make("…") }
   *   }))
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/triggers/hooks/{webhookSourceId}/{webhookSourceUrlSecret}`.
   */
  readonly sendWebhook: (options: WebhookOptions) => Effect.Effect<void, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Triggers extends Context.Tag("effect-dust/Triggers")<Triggers, Service>() {}

const maxPayload = 2 * 1024 * 1024
const encoder = new TextEncoder()

const decodeTrigger = Schema.decodeUnknownOption(Trigger)

const known = (answer: typeof TriggerPage.Type): ReadonlyArray<Trigger> =>
  Arr.filterMap(answer.triggers, (one) => decodeTrigger(one))

const filterQuery = (filter: Filter) => ({
  kind: filter.kind,
  status: filter.status,
  agentConfigurationId: filter.agentId
})

const isIntegerIn = (value: number | undefined, from: number, to: number): boolean =>
  value === undefined || (Number.isInteger(value) && value >= from && value <= to)

/** The header's value: `sha256=` and the digest in hexadecimal digits. */
const sign = (signature: Signature, text: Uint8Array<ArrayBuffer>): Effect.Effect<string, RequestError> => {
  const algorithm = signature.algorithm ?? "sha256"
  return Effect.tryPromise({
    try: async () => {
      const hash = `SHA-${algorithm.slice(3)}`
      const secret = encoder.encode(Redacted.value(signature.secret))
      const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash }, false, ["sign"])
      const digest = new Uint8Array(await crypto.subtle.sign("HMAC", key, text))
      return `${algorithm}=${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`
    },
    catch: () => badInput(sendWebhook, "signature", "a non-empty secret and one of sha1, sha256 and sha512")
  })
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) =>
  Triggers.of({
    list: (options = {}) => {
      if (!isIntegerIn(options.limit, 1, 100)) {
        return Effect.fail(badInput(listOperation, "limit", "a whole number from 1 to 100"))
      }
      if (!isIntegerIn(options.offset, 0, Number.MAX_SAFE_INTEGER)) {
        return Effect.fail(badInput(listOperation, "offset", "a whole number, 0 or more"))
      }
      return Effect.map(
        client.execute(listOperation, {
          query: { ...filterQuery(options), limit: options.limit, offset: options.offset }
        }),
        known
      )
    },
    stream: (filter = {}) =>
      Stream.flattenIterables(byOffset({
        pageSize: 100,
        fetch: ({ limit, offset }) =>
          Effect.map(
            client.execute(streamOperation, { query: { ...filterQuery(filter), limit, offset } }),
            (answer) => ({ items: answer.triggers.map((one) => Option.toArray(decodeTrigger(one))) })
          )
      })),
    get: (triggerId) => Effect.map(client.execute(get, { path: { triggerId } }), (answer) => answer.trigger),
    sendWebhook: ({ headers, payload, signature, urlSecret, webhookSourceId }) =>
      Effect.gen(function*() {
        const json = yield* Effect.try({
          try: (): string | undefined => JSON.stringify(payload),
          catch: () => badInput(sendWebhook, "payload", "something that JSON can carry")
        })
        if (json === undefined) return yield* badInput(sendWebhook, "payload", "something that JSON can carry")
        const bytes = encoder.encode(json)
        if (bytes.length > maxPayload) {
          return yield* new DustContentTooLargeError({
            ...common(sendWebhook, 0),
            message: `Triggers.sendWebhook: the payload has ${bytes.length} bytes, 2 MiB (${maxPayload}) is the most`,
            type: "invalid_input",
            details: { field: "payload", size: bytes.length, limit: maxPayload }
          }, { disableValidation: true })
        }
        const webhookSourceUrlSecret = yield* Effect.try({
          try: () => Redacted.value(urlSecret),
          catch: () => badInput(sendWebhook, "urlSecret", "a secret that was not wiped")
        })
        const signed = signature === undefined
          ? {}
          : { [signature.header.toLowerCase()]: yield* sign(signature, bytes) }
        yield* client.execute(sendWebhook, {
          path: { webhookSourceId, webhookSourceUrlSecret },
          headers: { ...headers, ...signed },
          secrets: [urlSecret],
          rawBody: HttpBody.uint8Array(bytes, "application/json")
        })
      })
  }))

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Triggers, never, DustClient> = Layer.effect(Triggers, make)
