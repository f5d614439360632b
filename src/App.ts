/**
 * Dust apps, their runs, and the events of a run.
 *
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { AppId, RunId, SpaceId } from "./Ids.ts"
import { anything, list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

const renamed = <A, I, const Key extends string>(schema: Schema.Schema<A, I>, key: Key) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(key))

/**
 * An app. Specification, configuration and run are texts as they were last saved in the editor, which is not what is
 * deployed.
 *
 * @category schemas
 * @since 0.2.0
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
 * @since 0.2.0
 */
export interface App extends Schema.Schema.Type<typeof App> {}

/**
 * What one block gave for one input, and for one iteration where the block is in a loop.
 *
 * @category schemas
 * @since 0.2.0
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
 * @since 0.2.0
 */
export interface BlockOutput extends Schema.Schema.Type<typeof BlockOutput> {}

/**
 * Where a run, or one of its blocks, is.
 *
 * @category schemas
 * @since 0.2.0
 */
export const RunState = openLiteral("running", "succeeded", "errored")

/**
 * @category models
 * @since 0.2.0
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
 * @since 0.2.0
 */
export const BlockStatus = Schema.Struct(blockStatus)

/**
 * @category models
 * @since 0.2.0
 */
export interface BlockStatus extends Schema.Schema.Type<typeof BlockStatus> {}

const BlockOutputs = Schema.Array(Schema.Array(BlockOutput))

/**
 * Everything that one block gave: `outputs[i][j]` is for input `i`, iteration `j` (0 outside loops).
 *
 * @category schemas
 * @since 0.2.0
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
 * @since 0.2.0
 */
export interface Trace extends Schema.Schema.Type<typeof Trace> {}

/**
 * A run of an app.
 *
 * @category schemas
 * @since 0.2.0
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
 * @since 0.2.0
 */
export interface Run extends Schema.Schema.Type<typeof Run> {}

/**
 * The value that a finished run gave for each input: that of the first iteration of the last block, `undefined` where it
 * failed. Empty for a run without results.
 *
 * @example
 * ```ts
 * import { values } from "effect-dust/App"
 * import { Apps } from "effect-dust/Apps"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const apps = yield* Apps
 *   const run = yield* apps.run({
 *     spaceId: "vlt_9gY7BmTQ",
 *     appId: "b2eBlaGd",
 *     specificationHash: "8f8f…",
 *     config: { MODEL: { provider_id: "openai", model_id: "gpt-5", use_cache: true } },
 *     inputs: [{ question: "Who wrote Dune?" }]
 *   })
 *   return values(run)
 * })
 * ```
 *
 * @category getters
 * @since 0.2.0
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

/** The run has begun, or has ended. @category schemas @since 0.2.0 */
export const RunStatusEvent = Schema.Struct({
  type: Schema.Literal("run_status"),
  runId: renamed(RunId, "run_id"),
  status: RunState
})

/** @category models @since 0.2.0 */
export interface RunStatusEvent extends Schema.Schema.Type<typeof RunStatusEvent> {}

/** How far one block is. @category schemas @since 0.2.0 */
export const BlockStatusEvent = Schema.Struct({ type: Schema.Literal("block_status"), ...blockStatus })

/** @category models @since 0.2.0 */
export interface BlockStatusEvent extends Schema.Schema.Type<typeof BlockStatusEvent> {}

/** A block is through with the inputs that it was given. @category schemas @since 0.2.0 */
export const BlockExecutionEvent = Schema.Struct({
  type: Schema.Literal("block_execution"),
  ...inBlock,
  /** `outputs[i][j]` is for input `i`, iteration `j`. */
  outputs: Schema.propertySignature(BlockOutputs).pipe(Schema.fromKey("execution"))
})

/** @category models @since 0.2.0 */
export interface BlockExecutionEvent extends Schema.Schema.Type<typeof BlockExecutionEvent> {}

/** A model wrote something. @category schemas @since 0.2.0 */
export const TokensEvent = Schema.Struct({
  type: Schema.Literal("tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String, tokens: anything, logprobs: anything })
})

/** @category models @since 0.2.0 */
export interface TokensEvent extends Schema.Schema.Type<typeof TokensEvent> {}

/** A model thought something. @category schemas @since 0.2.0 */
export const ReasoningTokensEvent = Schema.Struct({
  type: Schema.Literal("reasoning_tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String })
})

/** @category models @since 0.2.0 */
export interface ReasoningTokensEvent extends Schema.Schema.Type<typeof ReasoningTokensEvent> {}

/** A part of a model's reasoning, complete. @category schemas @since 0.2.0 */
export const ReasoningItemEvent = Schema.Struct({
  type: Schema.Literal("reasoning_item"),
  ...inExecution,
  item: anything
})

/** @category models @since 0.2.0 */
export interface ReasoningItemEvent extends Schema.Schema.Type<typeof ReasoningItemEvent> {}

/** A model called a function. @category schemas @since 0.2.0 */
export const FunctionCallEvent = Schema.Struct({
  type: Schema.Literal("function_call"),
  ...inExecution,
  functionCall: Schema.propertySignature(Schema.Struct({ name: Schema.String })).pipe(Schema.fromKey("function_call"))
})

/** @category models @since 0.2.0 */
export interface FunctionCallEvent extends Schema.Schema.Type<typeof FunctionCallEvent> {}

/** A piece of the arguments of a function call. @category schemas @since 0.2.0 */
export const FunctionCallArgumentsEvent = Schema.Struct({
  type: Schema.Literal("function_call_arguments_tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String })
})

/** @category models @since 0.2.0 */
export interface FunctionCallArgumentsEvent extends Schema.Schema.Type<typeof FunctionCallArgumentsEvent> {}

/** The run failed. The stream fails too, once it is at its end. @category schemas @since 0.2.0 */
export const RunErrorEvent = Schema.Struct({
  type: Schema.Literal("error"),
  /** Open. */
  code: withDefault(Schema.String, () => "unknown"),
  message: withDefault(Schema.String, () => "")
})

/** @category models @since 0.2.0 */
export interface RunErrorEvent extends Schema.Schema.Type<typeof RunErrorEvent> {}

/** The end marker. @category schemas @since 0.2.0 */
export const FinalEvent = Schema.Struct({ type: Schema.Literal("final") })

/** @category models @since 0.2.0 */
export interface FinalEvent extends Schema.Schema.Type<typeof FinalEvent> {}

/** An event of a type that this version does not know, or of another shape. @category schemas @since 0.2.0 */
export const UnknownRunEvent = Schema.Struct({
  type: Schema.Literal("unknown"),
  /** The type that it was sent with, if any. */
  kind: Schema.NullOr(Schema.String),
  /** What was sent. */
  raw: Schema.Unknown
})

/** @category models @since 0.2.0 */
export interface UnknownRunEvent extends Schema.Schema.Type<typeof UnknownRunEvent> {}

/**
 * What happens during a run. `content` of the wire is flattened into the event.
 *
 * @category schemas
 * @since 0.2.0
 */
export const RunEvent = Schema.Union(
  RunStatusEvent,
  BlockStatusEvent,
  BlockExecutionEvent,
  TokensEvent,
  ReasoningTokensEvent,
  ReasoningItemEvent,
  FunctionCallEvent,
  FunctionCallArgumentsEvent,
  RunErrorEvent,
  FinalEvent,
  UnknownRunEvent
)

/**
 * @category models
 * @since 0.2.0
 */
export type RunEvent = typeof RunEvent.Type

/**
 * Whether one version of an app is deployed.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AppCheck = Schema.Struct({
  appId: AppId,
  appHash: Schema.String,
  deployed: Schema.Boolean
})

/**
 * @category models
 * @since 0.2.0
 */
export interface AppCheck extends Schema.Schema.Type<typeof AppCheck> {}

/**
 * The app to run, its configuration and its inputs.
 *
 * @category models
 * @since 0.2.0
 */
export interface AppRunOptions {
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
