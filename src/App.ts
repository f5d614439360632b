/**
 * Dust apps, their runs, and the events of a run: what `Apps` returns and takes. {@link values} returns the results of a run.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { AppId, RunId, SpaceId } from "./Ids.ts"
import { anything, list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

const renamed = <A, I, const Key extends string>(schema: Schema.Schema<A, I>, key: Key) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(key))

/**
 * An app. Its specification, configuration and run are those last saved in the editor, not the deployed version.
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
 * The output of a block for one input and, inside a loop, for one iteration.
 *
 * @category schemas
 * @since 0.2.0
 */
export const BlockOutput = Schema.Struct({
  value: anything,
  /** The reason why there is no value. */
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
 * The state of a run or of a block.
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
  /** Successful executions. */
  successCount: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("success_count")),
  /** Failed executions. */
  errorCount: withDefault(Schema.Number, () => 0).pipe(Schema.fromKey("error_count"))
}

/**
 * The progress of a block.
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
 * All outputs of a block: `outputs[i][j]` for input `i` and iteration `j` (0 outside loops).
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
  /** The outputs of each block, in the order of the specification. Empty while the run is in progress. */
  traces: list(Trace),
  /**
   * The outputs of the last block: `results[i][j]` for input `i` and iteration `j` (0 outside loops). `null` unless the run
   * succeeded. With a `blockFilter`, the outputs of the last block that matches it.
   */
  results: nullable(BlockOutputs)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface Run extends Schema.Schema.Type<typeof Run> {}

/**
 * Returns the result of a finished run for each input: the value of the first iteration of the last block, or `undefined` if
 * it failed. Empty for a run without results.
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
  /** The index of the input. */
  inputIndex: renamed(Schema.Number, "input_index"),
  /** The iteration, inside a loop. */
  map: nullable(Schema.Struct({ name: Schema.String, iteration: Schema.Number }))
}

/** The run has started or ended. @category schemas @since 0.2.0 */
export const RunStatusEvent = Schema.Struct({
  type: Schema.Literal("run_status"),
  runId: renamed(RunId, "run_id"),
  status: RunState
})

/** @category models @since 0.2.0 */
export interface RunStatusEvent extends Schema.Schema.Type<typeof RunStatusEvent> {}

/** The progress of a block. @category schemas @since 0.2.0 */
export const BlockStatusEvent = Schema.Struct({ type: Schema.Literal("block_status"), ...blockStatus })

/** @category models @since 0.2.0 */
export interface BlockStatusEvent extends Schema.Schema.Type<typeof BlockStatusEvent> {}

/** A block has processed its inputs. @category schemas @since 0.2.0 */
export const BlockExecutionEvent = Schema.Struct({
  type: Schema.Literal("block_execution"),
  ...inBlock,
  /** `outputs[i][j]` for input `i` and iteration `j`. */
  outputs: Schema.propertySignature(BlockOutputs).pipe(Schema.fromKey("execution"))
})

/** @category models @since 0.2.0 */
export interface BlockExecutionEvent extends Schema.Schema.Type<typeof BlockExecutionEvent> {}

/** Text of a model. @category schemas @since 0.2.0 */
export const TokensEvent = Schema.Struct({
  type: Schema.Literal("tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String, tokens: anything, logprobs: anything })
})

/** @category models @since 0.2.0 */
export interface TokensEvent extends Schema.Schema.Type<typeof TokensEvent> {}

/** Reasoning of a model. @category schemas @since 0.2.0 */
export const ReasoningTokensEvent = Schema.Struct({
  type: Schema.Literal("reasoning_tokens"),
  ...inExecution,
  tokens: Schema.Struct({ text: Schema.String })
})

/** @category models @since 0.2.0 */
export interface ReasoningTokensEvent extends Schema.Schema.Type<typeof ReasoningTokensEvent> {}

/** A complete part of a model's reasoning. @category schemas @since 0.2.0 */
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

/** The run failed. The stream also fails at its end. @category schemas @since 0.2.0 */
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

/** An event of an unknown type or shape. @category schemas @since 0.2.0 */
export const UnknownRunEvent = Schema.Struct({
  type: Schema.Literal("unknown"),
  /** The type that the server sent, if any. */
  kind: Schema.NullOr(Schema.String),
  /** The value that the server sent. */
  raw: Schema.Unknown
})

/** @category models @since 0.2.0 */
export interface UnknownRunEvent extends Schema.Schema.Type<typeof UnknownRunEvent> {}

/**
 * An event of a run. `type` discriminates the union; the `content` of the response is flattened into the event.
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
 * The deployment status of a version of an app.
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
