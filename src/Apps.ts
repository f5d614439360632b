/**
 * Dust apps: chains of blocks that are run over inputs.
 *
 * A run is made in one of three ways: {@link Service.run} waits for it in one request, {@link Service.start} returns at once
 * and {@link Service.awaitRun} polls, {@link Service.stream} reports every block and token while it happens. Apps are a
 * product that Dust keeps stable and no longer extends; agents (`Chat`, `Conversations`) are what it offers today.
 *
 * A run belongs to a *deployed version* of an app, named by its specification hash: in Dust it is shown under the app's API
 * menu. An API key's limit is 10,000 runs per app and day (`DustRateLimitError`).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DustTimeoutError, type RequestError, type StreamError } from "./DustAPIError.ts"
import { DustClient, withStreamOptions } from "./DustClient.ts"
import { AppId, RunId, SpaceId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { eventDecoder, typeOf } from "./internal/decode/event.ts"
import { anything, list, nonBlank, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { badInput, common, streamError } from "./internal/request/errors.ts"
import { sseOnce } from "./internal/stream/once.ts"

const renamed = <A, I, const Key extends string>(schema: Schema.Schema<A, I>, key: Key) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(key))

/**
 * An app. Specification, configuration and run are texts as they were last saved in the editor, which is not what is
 * deployed.
 *
 * @category schemas
 * @since 0.1.0
 */
export const App = Schema.Struct({
  sId: AppId,
  name: Schema.String,
  description: nullable(Schema.String),
  savedSpecification: nullable(Schema.String),
  /** JSON. */
  savedConfig: nullable(Schema.String),
  /** The id of the last run in the editor. */
  savedRun: nullable(Schema.String),
  dustAPIProjectId: nullable(Schema.String),
  space: nullable(Schema.Struct({
    sId: SpaceId,
    name: Schema.String,
    kind: nullable(openLiteral("regular", "global", "system", "conversations", "public", "project"))
  }))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface App extends Schema.Schema.Type<typeof App> {}

/**
 * What one block gave for one input, and for one iteration where the block is in a loop.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BlockOutput = Schema.Struct({
  value: anything,
  /** Why there is no value. */
  error: nullable(Schema.String),
  /** Token counts and the like, depending on the block. */
  meta: anything
})

/**
 * @category models
 * @since 0.1.0
 */
export interface BlockOutput extends Schema.Schema.Type<typeof BlockOutput> {}

/**
 * Where a run, or one of its blocks, is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunState = openLiteral("running", "succeeded", "errored")

/**
 * @category models
 * @since 0.1.0
 */
export type RunState = typeof RunState.Type

const blockStatus = {
  blockType: renamed(Schema.String, "block_type"),
  name: Schema.String,
  status: RunState,
  /** Executions that gave a value. */
  successCount: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("success_count")),
  /** Executions that failed. */
  errorCount: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("error_count"))
}

/**
 * How far one block is, and how it went.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BlockStatus = Schema.Struct(blockStatus)

/**
 * @category models
 * @since 0.1.0
 */
export interface BlockStatus extends Schema.Schema.Type<typeof BlockStatus> {}

const BlockOutputs = Schema.Array(Schema.Array(BlockOutput))

/**
 * Everything that one block gave: `outputs[i][j]` is for input `i`, iteration `j` (0 outside loops).
 *
 * @category schemas
 * @since 0.1.0
 */
export const Trace = Schema.transform(
  Schema.Tuple(Schema.Tuple(Schema.String, Schema.String), BlockOutputs),
  Schema.typeSchema(Schema.Struct({ blockType: Schema.String, blockName: Schema.String, outputs: BlockOutputs })),
  {
    strict: true,
    decode: ([[blockType, blockName], outputs]) => ({ blockType, blockName, outputs }),
    encode: ({ blockName, blockType, outputs }) => [[blockType, blockName], outputs] as const
  }
)

/**
 * @category models
 * @since 0.1.0
 */
export interface Trace extends Schema.Schema.Type<typeof Trace> {}

/**
 * A run of an app.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Run = Schema.Struct({
  runId: renamed(RunId, "run_id"),
  /** Epoch milliseconds. */
  created: nullable(Schema.Number),
  runType: nullable(openLiteral("deploy", "local", "execute")).pipe(Schema.fromKey("run_type")),
  specificationHash: nullable(Schema.String).pipe(Schema.fromKey("specification_hash")),
  config: anything,
  status: Schema.Struct({ run: RunState, blocks: list(BlockStatus) }),
  /** What each block gave, in the order of the specification. Empty while the run is going on. */
  traces: list(Trace),
  /**
   * What the last block gave: `results[i][j]` is for input `i`, iteration `j` (0 outside loops). `null` unless the run
   * succeeded. With a `blockFilter`: what the last block that passed it gave.
   */
  results: nullable(BlockOutputs)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Run extends Schema.Schema.Type<typeof Run> {}

/**
 * The value that a finished run gave for each input: that of the first iteration of the last block, `undefined` where it
 * failed. Empty for a run without results.
 *
 * @example
 * ```ts
 * import * as Apps from "effect-dust/Apps"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const apps = yield* Apps.Apps
 *   const run = yield* apps.run({
 *     spaceId: "vlt_9gY7BmTQ",
 *     appId: "b2eBlaGd",
 *     specificationHash: "8f8f…",
 *     config: { MODEL: { provider_id: "openai", model_id: "gpt-5", use_cache: true } },
 *     inputs: [{ question: "Who wrote Dune?" }]
 *   })
 *   return Apps.values(run)
 * })
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const values = (run: Run): ReadonlyArray<unknown> =>
  (run.results ?? []).map((iterations) => iterations[0]?.value)

const inBlock = {
  blockType: renamed(Schema.String, "block_type"),
  blockName: renamed(Schema.String, "block_name")
}

const inExecution = {
  ...inBlock,
  /** Which input. */
  inputIndex: renamed(Schema.Number, "input_index"),
  /** Which iteration, inside a loop. */
  map: nullable(Schema.Struct({ name: Schema.String, iteration: Schema.Number }))
}

/** The run has begun, or has ended. @category schemas @since 0.1.0 */
export const RunStatusEvent = Schema.Struct({
  type: Schema.Literal("run_status"),
  runId: renamed(RunId, "run_id"),
  status: RunState
})

/** @category models @since 0.1.0 */
export interface RunStatusEvent extends Schema.Schema.Type<typeof RunStatusEvent> {}

/** How far one block is. @category schemas @since 0.1.0 */
export const BlockStatusEvent = Schema.Struct({ type: Schema.Literal("block_status"), ...blockStatus })

/** @category models @since 0.1.0 */
export interface BlockStatusEvent extends Schema.Schema.Type<typeof BlockStatusEvent> {}

/** A block is through with the inputs that it was given. @category schemas @since 0.1.0 */
export const BlockExecutionEvent = Schema.Struct({
  type: Schema.Literal("block_execution"),
  ...inBlock,
  /** `outputs[i][j]` is for input `i`, iteration `j`. */
  outputs: Schema.propertySignature(BlockOutputs).pipe(Schema.fromKey("execution"))
})

/** @category models @since 0.1.0 */
export interface BlockExecutionEvent extends Schema.Schema.Type<typeof BlockExecutionEvent> {}

/** A model wrote something. @category schemas @since 0.1.0 */
export const TokensEvent = Schema.Struct({
  type: Schema.Literal("tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String, tokens: anything, logprobs: anything })
})

/** @category models @since 0.1.0 */
export interface TokensEvent extends Schema.Schema.Type<typeof TokensEvent> {}

/** A model thought something. @category schemas @since 0.1.0 */
export const ReasoningTokensEvent = Schema.Struct({
  type: Schema.Literal("reasoning_tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String })
})

/** @category models @since 0.1.0 */
export interface ReasoningTokensEvent extends Schema.Schema.Type<typeof ReasoningTokensEvent> {}

/** A part of a model's reasoning, complete. @category schemas @since 0.1.0 */
export const ReasoningItemEvent = Schema.Struct({
  type: Schema.Literal("reasoning_item"),
  ...inExecution,
  item: anything
})

/** @category models @since 0.1.0 */
export interface ReasoningItemEvent extends Schema.Schema.Type<typeof ReasoningItemEvent> {}

/** A model called a function. @category schemas @since 0.1.0 */
export const FunctionCallEvent = Schema.Struct({
  type: Schema.Literal("function_call"),
  ...inExecution,
  functionCall: Schema.propertySignature(Schema.Struct({ name: Schema.String })).pipe(Schema.fromKey("function_call"))
})

/** @category models @since 0.1.0 */
export interface FunctionCallEvent extends Schema.Schema.Type<typeof FunctionCallEvent> {}

/** A piece of the arguments of a function call. @category schemas @since 0.1.0 */
export const FunctionCallArgumentsEvent = Schema.Struct({
  type: Schema.Literal("function_call_arguments_tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String })
})

/** @category models @since 0.1.0 */
export interface FunctionCallArgumentsEvent extends Schema.Schema.Type<typeof FunctionCallArgumentsEvent> {}

/** The run failed. The stream fails too, once it is at its end. @category schemas @since 0.1.0 */
export const RunErrorEvent = Schema.Struct({
  type: Schema.Literal("error"),
  /** Open. */
  code: withDefault(Schema.String, () => "unknown"),
  message: withDefault(Schema.String, () => "")
})

/** @category models @since 0.1.0 */
export interface RunErrorEvent extends Schema.Schema.Type<typeof RunErrorEvent> {}

/** The end marker. @category schemas @since 0.1.0 */
export const FinalEvent = Schema.Struct({ type: Schema.Literal("final") })

/** @category models @since 0.1.0 */
export interface FinalEvent extends Schema.Schema.Type<typeof FinalEvent> {}

/** An event of a type that this version does not know, or of another shape. @category schemas @since 0.1.0 */
export const UnknownRunEvent = Schema.Struct({
  type: Schema.Literal("unknown"),
  /** The type it was sent with, when it has one. */
  rawType: Schema.NullOr(Schema.String),
  /** What was sent. */
  raw: Schema.Unknown
})

/** @category models @since 0.1.0 */
export interface UnknownRunEvent extends Schema.Schema.Type<typeof UnknownRunEvent> {}

const known = [
  RunStatusEvent,
  BlockStatusEvent,
  BlockExecutionEvent,
  TokensEvent,
  ReasoningTokensEvent,
  ReasoningItemEvent,
  FunctionCallEvent,
  FunctionCallArgumentsEvent,
  RunErrorEvent,
  FinalEvent
] as const

/**
 * What happens during a run. `content` of the wire is flattened into the event.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunEvent = Schema.Union(...known, UnknownRunEvent)

/**
 * @category models
 * @since 0.1.0
 */
export type RunEvent = typeof RunEvent.Type

const decodeKnown = eventDecoder(known)

const decodeEvent = (data: string): RunEvent => {
  let raw: unknown
  try {
    raw = JSON.parse(data)
  } catch {
    return { type: "unknown", rawType: null, raw: data }
  }
  const type = typeOf(raw)
  const content = Predicate.hasProperty(raw, "content") && Predicate.isRecord(raw.content) ? raw.content : {}
  return decodeKnown(type, { ...content, type }) ?? { type: "unknown", rawType: type, raw }
}

/**
 * Whether one version of an app is deployed.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AppCheck = Schema.Struct({
  appId: AppId,
  appHash: Schema.String,
  deployed: Schema.Boolean
})

/**
 * @category models
 * @since 0.1.0
 */
export interface AppCheck extends Schema.Schema.Type<typeof AppCheck> {}

/**
 * What a run needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions {
  readonly spaceId: SpaceId
  readonly appId: AppId
  /** The deployed version. */
  readonly specificationHash: string
  /**
   * By name of block. Blocks with a model want `{ provider_id, model_id, use_cache, use_stream, … }`; the `dataset` of an
   * input block is ignored, since `inputs` replaces it.
   */
  readonly config: Readonly<Record<string, unknown>>
  /** One execution for each. */
  readonly inputs: ReadonlyArray<unknown>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * The apps of a space. They do not page.
   *
   * Credential: any. Retried. Fails with `DustNotFoundError` for a space that is unknown or may not be seen.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/apps`.
   */
  readonly list: (spaceId: SpaceId) => Effect.Effect<ReadonlyArray<App>, RequestError>
  /**
   * Runs an app and waits for its end, in one request, for up to ten minutes. A run whose blocks failed is returned as
   * well: its `status.run` is `errored`, its traces tell where.
   *
   * `blockFilter` keeps the traces and statuses of the named blocks only; no other way of running an app has it.
   *
   * Credential: any. Not repeated once it may have reached Dust. `DustNotFoundError`: no such app in this space.
   * `DustBadRequestError` with type `run_error`: a wrong hash or configuration. `DustRateLimitError`: over 10,000 runs of
   * the app in a day.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs` with `blocking`.
   */
  readonly run: (
    options: RunOptions & { readonly blockFilter?: ReadonlyArray<string> | undefined }
  ) => Effect.Effect<Run, RequestError>
  /**
   * Starts a run and returns at once: its `status.run` is `running`, and {@link Service.awaitRun} waits for its end.
   *
   * Credential, repetition and errors as for {@link Service.run}.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs`.
   */
  readonly start: (options: RunOptions) => Effect.Effect<Run, RequestError>
  /**
   * A run as it is now.
   *
   * Credential: any. Retried. `DustNotFoundError`: no such app or run, or the run cannot be read (Dust does not tell).
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs/{runId}`.
   */
  readonly getRun: (options: {
    readonly spaceId: SpaceId
    readonly appId: AppId
    readonly runId: RunId
  }) => Effect.Effect<Run, RequestError>
  /**
   * Waits until a run has left `running`: reads it every `pollInterval` (default 2 seconds, at least 100
   * milliseconds), for `timeout` at most (default 10 minutes, `Duration.infinity` for no limit). A run that `errored` is
   * returned, not failed with.
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
   * Runs an app and reports what happens while it does, `final` last. The run's id is in the first `run_status`.
   *
   * An `error` event is passed on, and what follows it; then, at its end, the stream fails with a `DustStreamError` of
   * reason `remote` that carries the same code and message. A stream that ends without `final` fails with reason
   * `truncated`: the run may still have gone on, and {@link Service.getRun} knows. It cannot be resumed. Silence of more
   * than ten minutes (or the configured `idle` limit, if that is longer) is a `DustTimeoutError`.
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
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs` with `stream`.
   */
  readonly stream: (options: RunOptions) => Stream.Stream<RunEvent, StreamError>
  /**
   * Whether versions of apps of a space are deployed.
   *
   * Credential: any. Retried.
   *
   * Source: `POST /api/v1/w/{workspaceId}/spaces/{spaceId}/apps/check` (not in Dust's reference).
   */
  readonly check: (options: {
    readonly spaceId: SpaceId
    readonly apps: ReadonlyArray<{ readonly appId: AppId; readonly appHash: string }>
  }) => Effect.Effect<ReadonlyArray<AppCheck>, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Apps extends Context.Tag("effect-dust/Apps")<Apps, Service>() {}

/** Whether the app is unknown, in another space or may not be read comes with 404 and with 403. */
const errors = { app_not_found: "DustNotFoundError" } as const

const listApps = Operation.make({
  name: "Apps.list",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/apps",
  response: Schema.Struct({ apps: list(App) })
})

const RunBody = Schema.Struct({
  specificationHash: renamed(nonBlank("the hash of a deployed version"), "specification_hash"),
  config: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  inputs: Schema.Array(Schema.Unknown),
  stream: Schema.optional(Schema.Boolean),
  blocking: Schema.optional(Schema.Boolean),
  blockFilter: Schema.optional(Schema.Array(Schema.String)).pipe(Schema.fromKey("block_filter"))
})

const runApp = <const Method extends "run" | "start" | "stream">(method: Method) =>
  Operation.make({
    name: `Apps.${method}`,
    http: "POST",
    route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs",
    errors,
    body: RunBody,
    response: Schema.Struct({ run: Run }),
    timeouts: { headers: "10 minutes" }
  })

const run = runApp("run")
const start = runApp("start")
const stream = runApp("stream")

const getRun = Operation.make({
  name: "Apps.getRun",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/apps/{appId}/runs/{runId}",
  errors: { ...errors, run_error: "DustNotFoundError" },
  response: Schema.Struct({ run: Run })
})

const awaited = { ...getRun, method: "awaitRun" }

const check = Operation.make({
  name: "Apps.check",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/apps/check",
  replay: "safe",
  body: Schema.Struct({
    apps: Schema.Array(Schema.Struct({
      appId: nonBlank("the id of an app"),
      appHash: nonBlank("the hash of a version")
    }))
  }),
  response: Schema.Struct({ apps: list(AppCheck) })
})

const patience = Duration.minutes(10)
const shortest = Duration.millis(100)

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const post = (
    operation: typeof run,
    { appId, config, inputs, spaceId, specificationHash }: RunOptions,
    mode: { readonly blocking?: boolean; readonly blockFilter?: ReadonlyArray<string> | undefined }
  ) =>
    Effect.map(
      client.execute(operation, {
        path: { spaceId, appId },
        body: { specificationHash, config, inputs, ...mode }
      }),
      (answer) => answer.run
    )

  const readRun: Service["getRun"] = ({ appId, runId, spaceId }) =>
    Effect.map(client.execute(getRun, { path: { spaceId, appId, runId } }), (answer) => answer.run)

  const service: Service = {
    list: (spaceId) => Effect.map(client.execute(listApps, { path: { spaceId } }), (answer) => answer.apps),
    run: (options) => post(run, options, { blocking: true, blockFilter: options.blockFilter }),
    start: (options) => post(start, options, {}),
    getRun: readRun,
    awaitRun: (options) => {
      const interval = Option.getOrUndefined(Duration.decodeUnknown(options.pollInterval ?? "2 seconds"))
      const limit = Option.getOrUndefined(Duration.decodeUnknown(options.timeout ?? patience))
      if (interval === undefined) return Effect.fail(badInput(awaited, "pollInterval", "a duration"))
      if (limit === undefined) return Effect.fail(badInput(awaited, "timeout", "a duration"))
      const pause = Duration.max(interval, shortest)
      const poll: Effect.Effect<Run, RequestError> = Effect.flatMap(
        readRun(options),
        (current) =>
          current.status.run === "running" ? Effect.zipRight(Effect.sleep(pause), poll) : Effect.succeed(current)
      )
      if (!Duration.isFinite(limit)) return poll
      return Effect.timeoutFail(poll, {
        duration: limit,
        onTimeout: () =>
          new DustTimeoutError({
            ...common(awaited, 1),
            message: `Apps.awaitRun: the run is still going on after ${Duration.format(limit)}`,
            type: "timeout",
            details: { phase: "total", limit: Duration.format(limit), runId: options.runId },
            phase: "total",
            limit
          }, { disableValidation: true })
      })
    },
    stream: ({ appId, config, inputs, spaceId, specificationHash }) =>
      Stream.unwrap(Effect.map(client.settings, ({ timeouts }) => {
        let failure: { readonly code: string; readonly message: string } | undefined
        let complete = false
        const events = sseOnce(client, stream, {
          path: { spaceId, appId },
          body: { specificationHash, config, inputs, stream: true }
        }, decodeEvent).pipe(
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
                streamError(stream, "remote", `the run failed: ${failure.code}: ${failure.message.slice(0, 300)}`, {
                  type: failure.code,
                  details: { code: failure.code, message: failure.message }
                })
              )
            }
            return complete
              ? Stream.empty
              : Stream.fail(streamError(stream, "truncated", "the stream ended before the run did"))
          }))
        )
        return withStreamOptions({ timeouts: { idle: Duration.max(timeouts.idle, patience) } })(events)
      })),
    check: ({ apps, spaceId }) =>
      Effect.map(client.execute(check, { path: { spaceId }, body: { apps } }), (answer) => answer.apps)
  }
  return Apps.of(service)
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Apps, never, DustClient> = Layer.effect(Apps, make)
