/**
 * Triggers: lists the schedules and webhooks that start agents (for administrators), and sends webhooks.
 *
 * Dust's API cannot create or change triggers and webhook sources.
 *
 * @packageDocumentation
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
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type { Calls, Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import type { Identity } from "./internal/api/operation.ts"
import { triggers } from "./internal/api/triggers.ts"
import { badInput, tooLarge } from "./internal/request/errors.ts"
import { byOffset } from "./internal/util/paging.ts"
import {
  Trigger,
  type TriggerFilter,
  type TriggerPage,
  type TriggerPageOptions,
  type Webhook,
  type WebhookSignature
} from "./Trigger.ts"

/**
 * Reads require the administrator role (else `DustForbiddenError`), are retried as the retry policy says, and fail with
 * `RequestError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof triggers> {
  /**
   * Returns all triggers that match the filter, enabled ones only unless `status` is set. Makes as many requests as needed.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers`;
   * `front-api/routes/v1/w/[wId]/triggers/index.ts` in dust-tt/dust.
   */
  readonly list: (filter?: TriggerFilter) => Effect.Effect<ReadonlyArray<Trigger>, RequestError>
  /**
   * Streams all triggers that match the filter, page by page (100 at a time) as they are consumed.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers`;
   * `front-api/routes/v1/w/[wId]/triggers/index.ts` in dust-tt/dust.
   */
  readonly stream: (filter?: TriggerFilter) => Stream.Stream<Trigger, RequestError>
  /**
   * Returns one page of triggers, enabled ones only unless `status` is set.
   *
   * Fails with `DustBadRequestError` before any request if `limit` or `offset` is out of range.
   *
   * Source: `GET /api/v1/w/{workspaceId}/triggers`;
   * `front-api/routes/v1/w/[wId]/triggers/index.ts` in dust-tt/dust.
   */
  readonly page: (options?: TriggerPageOptions) => Effect.Effect<TriggerPage, RequestError>
  /**
   * Sends a webhook, as a third party would. The secret in the URL is the only credential; the credential of the layer is not
   * sent. Errors, logs and spans do not contain the secret.
   *
   * Succeeds once Dust has accepted the webhook, which does not mean that an agent runs: Dust also accepts payloads that
   * match no trigger, and webhooks beyond rate limits or credits. Never retried: after a lost response the webhook may have
   * been received. Fails with `DustContentTooLargeError` before any request if the payload exceeds 2 MiB, with
   * `DustUnauthorizedError` for a wrong secret, with `DustBadRequestError` for a missing or wrong signature, and with
   * `DustNotFoundError` for an unknown source.
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
   * Source: `POST /api/v1/w/{workspaceId}/triggers/hooks/{webhookSourceId}/{webhookSourceUrlSecret}`;
   * `front-api/routes/v1/w/[wId]/triggers/hooks/[webhookSourceId]/[webhookSourceUrlSecret]/index.ts` in dust-tt/dust.
   */
  readonly sendWebhook: (options: Webhook) => Effect.Effect<void, RequestError>
}

/**
 * The tag of the service: `yield* Triggers` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Triggers extends Context.Tag("effect-dust/Triggers")<Triggers, Service>() {}

const maxPayload = 2 * 1024 * 1024
const encoder = new TextEncoder()

/** The header's value: `sha256=` and the digest in hexadecimal digits. */
const sign = (
  operation: Identity,
  signature: WebhookSignature,
  text: Uint8Array<ArrayBuffer>
): Effect.Effect<string, RequestError> => {
  const algorithm = signature.algorithm ?? "sha256"
  return Effect.tryPromise({
    try: async () => {
      const hash = `SHA-${algorithm.slice(3)}`
      const secret = encoder.encode(Redacted.value(signature.secret))
      const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash }, false, ["sign"])
      const digest = new Uint8Array(await crypto.subtle.sign("HMAC", key, text))
      return `${algorithm}=${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`
    },
    catch: () => badInput(operation, "signature", "a non-empty secret with the algorithm sha1, sha256 or sha512")
  })
}

const decodeTrigger = Schema.decodeUnknownOption(Trigger)

type Read = Calls<typeof triggers>["page"]["read"]

/** One page. Undecodable elements keep their places: the number of elements decides whether another page follows. */
const readPage = (read: Read, options: TriggerPageOptions) =>
  Effect.map(read(options), (found) => found.map((one) => decodeTrigger(one)))

const all = (read: Read, filter: TriggerFilter): Stream.Stream<Trigger, RequestError> =>
  Stream.flattenIterables(byOffset({ module: "Triggers", method: "stream" }, {
    pageSize: 100,
    fetch: (page) =>
      Effect.map(
        readPage(read, { ...filter, ...page }),
        (found) => ({ items: found.map((one) => Option.toArray(one)) })
      )
  }))

const defaultLimit = 50

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(Triggers, triggers, (tools) => ({
  list: (filter: TriggerFilter = {}) =>
    Effect.map(
      tools.client.withTotal(tools.operation.list.read)(Stream.runCollect(all(tools.call.list.read, filter))),
      (found) => Arr.fromIterable(found)
    ),
  stream: (filter: TriggerFilter = {}) => all(tools.call.stream.read, filter),
  page: (options: TriggerPageOptions = {}) =>
    Effect.map(readPage(tools.call.page.read, options), (found): TriggerPage => ({
      triggers: Arr.getSomes(found),
      nextOffset: found.length < (options.limit ?? defaultLimit) ? null : (options.offset ?? 0) + found.length
    })),
  sendWebhook: Effect.fnUntraced(function*({ headers, payload, signature, urlSecret, webhookSourceId }: Webhook) {
    const operation = tools.operation.sendWebhook.post
    const json = yield* Effect.try({
      try: (): string | undefined => JSON.stringify(payload),
      catch: () => badInput(operation, "payload", "JSON-serializable")
    })
    if (json === undefined) return yield* badInput(operation, "payload", "JSON-serializable")
    const bytes = encoder.encode(json)
    if (bytes.length > maxPayload) {
      return yield* tooLarge(
        operation,
        0,
        "invalid_input",
        `payload is ${bytes.length} bytes; the maximum is 2 MiB (${maxPayload})`,
        { field: "payload", size: bytes.length, limit: maxPayload }
      )
    }
    const webhookSourceUrlSecret = yield* Effect.try({
      try: () => Redacted.value(urlSecret),
      catch: () => badInput(operation, "urlSecret", "a Redacted value that has not been wiped")
    })
    const signed = signature === undefined
      ? {}
      : { [signature.header.toLowerCase()]: yield* sign(operation, signature, bytes) }
    yield* tools.client.execute(operation, {
      path: { webhookSourceId, webhookSourceUrlSecret },
      headers: { ...headers, ...signed },
      secrets: [urlSecret],
      rawBody: HttpBody.uint8Array(bytes, "application/json")
    })
  })
}))

/**
 * Provides {@link Triggers} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Triggers, never, DustClient> = Layer.effect(Triggers, make)
