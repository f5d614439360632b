/**
 * Runs Dust apps: chains of blocks that process inputs.
 *
 * A run is made in one of three ways: {@link Service.run} waits for it in one request, {@link Service.start} returns at once
 * and {@link Service.awaitRun} polls, {@link Service.stream} reports every block and token while it happens. Apps are a
 * product that Dust keeps stable and no longer extends; use agents (`Chat`, `Conversations`) for new work.
 *
 * A run uses a *deployed version* of an app, identified by its specification hash, which Dust shows in the API menu of the
 * app. An API key's limit is 10,000 runs per app in 24 hours (`DustQuotaExceededError`).
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { AppRunOptions, Run, RunEvent } from "./App.ts"
import type { RequestError, StreamError } from "./DustAPIError.ts"
import { type DustClient, withStreamOptions } from "./DustClient.ts"
import type { AppId, RunId, SpaceId } from "./Ids.ts"
import { apps } from "./internal/api/apps.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement, type Tools } from "./internal/api/implement.ts"
import { decodeRunEvent } from "./internal/decode/runEvent.ts"
import { badInput, streamError } from "./internal/request/errors.ts"
import { sseOnce } from "./internal/stream/once.ts"

/**
 * The methods of {@link Apps}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof apps> {
  /**
   * Runs an app and waits for its end, in one request, for up to ten minutes. Also returns a run with failed blocks: its
   * `status.run` is `errored`, and its traces contain the errors.
   *
   * `blockFilter` limits the traces and statuses to the named blocks.
   *
   * Accepts any credential. Not retried once it may have reached Dust. Fails with `DustNotFoundError` if the app is not in the
   * space, with `DustBadRequestError` (`run_error`) for a wrong hash or configuration, and with `DustQuotaExceededError` beyond
   * 10,000 runs of the app in 24 hours (`apps/[aId]/runs/index.ts` in dust-tt/dust).
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs` with `blocking`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/apps/[aId]/runs/index.ts` in dust-tt/dust.
   */
  readonly run: (
    options: AppRunOptions & { readonly blockFilter?: ReadonlyArray<string> | undefined }
  ) => Effect.Effect<Run, RequestError>
  /**
   * Starts a run and returns at once: its `status.run` is `running`, and {@link Service.awaitRun} waits for its end.
   *
   * Credential, repetition and errors as for {@link Service.run}.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/apps/[aId]/runs/index.ts` in dust-tt/dust.
   */
  readonly start: (options: AppRunOptions) => Effect.Effect<Run, RequestError>
  /**
   * Waits until a run is no longer `running`. Reads it every `pollInterval` (defaults to 2 seconds, at least 100 milliseconds) for
   * at most `timeout` (defaults to the configured `total` limit, or else 10 minutes; `Duration.infinity` for no limit). Returns
   * runs that `errored`.
   *
   * Errors as for {@link Service.getRun}, and `DustTimeoutError` of phase `total`.
   */
  readonly awaitRun: (options: {
    readonly spaceId: SpaceId
    readonly appId: AppId
    readonly runId: RunId
    readonly pollInterval?: Duration.DurationInput | undefined
    readonly timeout?: Duration.DurationInput | undefined
  }) => Effect.Effect<Run, RequestError>
  /**
   * Runs an app and streams its events; the last one is `final`. The first `run_status` has the id of the run.
   *
   * After an `error` event, the stream emits the remaining events and then fails with `DustStreamError` (`remote`), which has the
   * same code and message. A stream that ends without `final` fails with reason `truncated`; it cannot be resumed, but the run
   * may continue, and `getRun` returns its state. Fails with `DustTimeoutError` after ten minutes of silence, or after the
   * configured `idle` limit if that is longer.
   *
   * Credential, repetition and other errors as for {@link Service.run}. Each run of the stream is another run of the app.
   *
   * @example
   * ```ts
   * import { Apps } from "effect-dust/Apps"
   * import { Console, Effect, Stream } from "effect"
   *
   * const program = Effect.flatMap(Apps, (apps) =>
   *   apps.stream({
   *     spaceId: "vlt_9gY7BmTQ",
   *     appId: "b2eBlaGd",
   *     specificationHash: "8f8f…",
   *     config: { MODEL: { provider_id: "openai", model_id: "gpt-5", use_stream: true } },
   *     inputs: [{ question: "Who wrote Dune?" }]
   *   }).pipe(Stream.runForEach((event) =>
   *     event.type === "tokens" ? Console.log(event.tokens.text) : Effect.void
   *   )))
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs` with `stream`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/apps/[aId]/runs/index.ts` in dust-tt/dust.
   */
  readonly stream: (options: AppRunOptions) => Stream.Stream<RunEvent, StreamError>
}

/**
 * The tag of the service: `yield* Apps` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Apps extends Context.Tag("effect-dust/Apps")<Apps, Service>() {}

type AppTools = Tools<typeof apps>

const patience = Duration.minutes(10)
const shortest = Duration.millis(100)

const awaitRun = ({ call, client, operation }: AppTools): Service["awaitRun"] => (options) => {
  const { read } = operation.awaitRun
  const interval = Option.getOrUndefined(Duration.decodeUnknown(options.pollInterval ?? "2 seconds"))
  const limit = Option.getOrUndefined(Duration.decodeUnknown(options.timeout ?? patience))
  if (interval === undefined) return Effect.fail(badInput(read, "pollInterval", "a duration such as \"2 seconds\""))
  if (limit === undefined) return Effect.fail(badInput(read, "timeout", "a duration such as \"5 minutes\""))
  const pause = Duration.max(interval, shortest)
  const poll: Effect.Effect<Run, RequestError> = Effect.flatMap(
    call.awaitRun.read({ spaceId: options.spaceId, appId: options.appId, runId: options.runId }),
    (current) => current.status.run === "running" ? Effect.zipRight(Effect.sleep(pause), poll) : Effect.succeed(current)
  )
  return client.withTotal(read, {
    ...(options.timeout === undefined ? { needs: limit } : { limit }),
    message: (limit) => `the run is still in progress after ${Duration.format(limit)}`,
    details: { runId: options.runId }
  })(poll)
}

const streamRun =
  ({ client, operation }: AppTools): Service["stream"] => ({ appId, config, inputs, spaceId, specificationHash }) => {
    const { post } = operation.stream
    return Stream.unwrap(Effect.map(client.settings, ({ timeouts }) => {
      let failure: { readonly code: string; readonly message: string } | undefined
      let complete = false
      const events = sseOnce(client, post, {
        path: { spaceId, appId },
        body: { specificationHash, config, inputs, stream: true }
      }, decodeRunEvent).pipe(
        Stream.mapChunks((events) => {
          for (const event of events) {
            if (event.type === "error") failure ??= event
            else if (event.type === "final") complete = true
          }
          return events
        }),
        Stream.takeUntil((event) => event.type === "final"),
        Stream.concat(Stream.suspend(() => {
          if (failure !== undefined) {
            return Stream.fail(
              streamError(post, "remote", `the run failed: ${failure.code}: ${failure.message.slice(0, 300)}`, {
                type: failure.code,
                details: { code: failure.code, message: failure.message }
              })
            )
          }
          return complete
            ? Stream.empty
            : Stream.fail(streamError(post, "truncated", "the stream ended before the run did"))
        }))
      )
      return withStreamOptions({ timeouts: { idle: Duration.max(timeouts.idle, patience) } })(events)
    }))
  }

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(Apps, apps, (tools) => ({
  run: (options: AppRunOptions & { readonly blockFilter?: ReadonlyArray<string> | undefined }) =>
    tools.call.run.post({ ...options, blocking: true }),
  start: ({ appId, config, inputs, spaceId, specificationHash }: AppRunOptions) =>
    tools.call.start.post({ appId, config, inputs, spaceId, specificationHash }),
  awaitRun: awaitRun(tools),
  stream: streamRun(tools)
}))

/**
 * Provides {@link Apps} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Apps, never, DustClient> = Layer.effect(Apps, make)
