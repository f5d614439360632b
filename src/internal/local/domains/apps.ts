/** Dust apps and their runs. The output of an app is scripted as a function of the input. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { apps as appsApi } from "../../api/apps.ts"
import { tokenize } from "../agent/steps.ts"
import { routesOf } from "../server/declared.ts"
import { encodeText, json, type LocalResponse, refuse, type Refusal, stream } from "../server/http.ts"
import { body, type Context, param, type Route } from "../server/route.ts"
import type { AppSeed } from "../state/seed.ts"
import { pause, slice, type World } from "../state/state.ts"
import { type LocalSpace, renderSpace, spaceOf } from "./spaces.ts"

interface LocalApp {
  readonly id: number
  readonly seed: AppSeed
  readonly spaceId: string
  readonly hash: string
  readonly startedAt: Array<number>
}

interface Output {
  readonly value: unknown
  readonly error: string | null
  readonly meta: unknown
}

type TraceEntry = readonly [readonly [blockType: string, blockName: string], ReadonlyArray<ReadonlyArray<Output>>]

interface LocalRun {
  readonly run_id: string
  readonly created: number
  readonly run_type: string
  readonly specification_hash: string
  readonly config: Readonly<Record<string, unknown>>
  status: { readonly run: string; readonly blocks: ReadonlyArray<Readonly<Record<string, unknown>>> }
  traces: ReadonlyArray<TraceEntry>
  results: ReadonlyArray<ReadonlyArray<Output>> | null
}

const RUNS_PER_DAY = 10_000
const DAY = Duration.toMillis("1 day")

/** The space of the company's data, readable by every member. */
export const companySpace = "vlt_global"

const defaultApps: ReadonlyArray<AppSeed> = [{
  sId: "echo",
  name: "Echo",
  description: "Gives every input back"
}]

export const apps = slice("apps", (world) => ({
  byId: new Map(
    (world.seed.apps ?? defaultApps).map((seed): readonly [string, LocalApp] => [seed.sId, {
      id: world.numericId(),
      seed,
      spaceId: seed.spaceId ?? companySpace,
      hash: seed.specificationHash ?? "latest",
      startedAt: []
    }])
  ),
  runs: new Map<string, { readonly app: LocalApp; readonly run: LocalRun }>()
}))

const appOf = (context: Context): Effect.Effect<LocalApp, Refusal> =>
  Effect.flatMap(spaceOf(context), (space) => {
    const app = apps(context.world).byId.get(param(context, "appId"))
    if (app === undefined || app.spaceId !== space.sId) {
      return refuse(404, "app_not_found", "The app was not found.")
    }
    return app.seed.readable === false
      ? refuse(403, "app_not_found", "The app was not found.")
      : Effect.succeed(app)
  })

const render = (space: LocalSpace, app: LocalApp) => ({
  id: app.id,
  sId: app.seed.sId,
  name: app.seed.name ?? app.seed.sId,
  description: app.seed.description ?? null,
  savedSpecification: null,
  savedConfig: null,
  savedRun: null,
  dustAPIProjectId: String(app.id),
  space: renderSpace(space)
})

const RunBody = Schema.Struct({
  specification_hash: Schema.String,
  config: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  inputs: Schema.Array(Schema.Unknown),
  stream: Schema.optional(Schema.Boolean),
  blocking: Schema.optional(Schema.Boolean),
  block_filter: Schema.optional(Schema.Array(Schema.String))
})

const begin = (context: Context, app: LocalApp, input: typeof RunBody.Type): Effect.Effect<LocalRun, Refusal> =>
  Effect.suspend(() => {
    const { world } = context
    const now = world.now()
    if (input.specification_hash !== app.hash) {
      const message = `There was an error retrieving the app specification ${input.specification_hash}`
      return refuse(400, "run_error", "There was an error running the app.", {
        run_error: { code: "specification_error", message }
      })
    }
    while (app.startedAt.length > 0 && now - app.startedAt[0]! >= DAY) app.startedAt.shift()
    if (app.startedAt.length >= RUNS_PER_DAY && context.auth.kind !== "system") {
      return refuse(429, "rate_limit_error", "You have reached the maximum number of runs of this app for today.")
    }
    app.startedAt.push(now)
    const run: LocalRun = {
      run_id: world.sId("run"),
      created: now,
      run_type: "deploy",
      specification_hash: app.hash,
      config: { blocks: input.config },
      status: { run: "running", blocks: [] },
      traces: [],
      results: null
    }
    apps(world).runs.set(run.run_id, { app, run })
    return Effect.succeed(run)
  })

const output = (app: LocalApp, input: unknown, config: Readonly<Record<string, unknown>>): Effect.Effect<Output> =>
  Effect.suspend(() => {
    const value: unknown = app.seed.run === undefined ? input : app.seed.run(input, config)
    return Effect.isEffect(value) ? value as Effect.Effect<unknown, unknown> : Effect.succeed(value)
  }).pipe(
    Effect.either,
    Effect.map((result): Output =>
      Either.isRight(result)
        ? { value: result.right ?? null, error: null, meta: null }
        : { value: null, error: String(result.left), meta: null }
    )
  )

const blockStatus = ([[block_type, name], outputs]: TraceEntry) => {
  const error_count = outputs.flat().filter((one) => one.error !== null).length
  return {
    block_type,
    name,
    status: error_count > 0 ? "errored" : "succeeded",
    success_count: outputs.flat().length - error_count,
    error_count
  }
}

const complete = (world: World, app: LocalApp, run: LocalRun, input: typeof RunBody.Type): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* pause(world, app.seed.duration ?? 0, "a run of an app")
    const outputs = yield* Effect.forEach(
      input.inputs,
      (one) => Effect.map(output(app, one, input.config), (out) => [out])
    )
    const type = outputs.some(([one]) => typeof one?.value === "string") ? "chat" : "code"
    run.traces = [
      [["input", "INPUT"], input.inputs.map((value) => [{ value, error: null, meta: null }])],
      [[type, "OUTPUT"], outputs]
    ]
    const blocks = run.traces.map(blockStatus)
    const succeeded = blocks.every((block) => block.status === "succeeded")
    run.status = { run: succeeded ? "succeeded" : "errored", blocks }
    run.results = succeeded ? outputs : null
  })

const frame = (event: unknown): Uint8Array => encodeText(`data: ${JSON.stringify(event)}\n\n`)

const eventsOf = (run: LocalRun): ReadonlyArray<unknown> => [
  ...run.traces.flatMap((trace) => {
    const [[block_type, block_name], execution] = trace
    const tokens = block_type !== "chat" ?
      [] :
      execution.flatMap(([one], input_index) =>
        typeof one?.value !== "string" ? [] : tokenize(one.value).map((text) => ({
          type: "tokens",
          content: { block_type, block_name, input_index, map: null, tokens: { text } }
        }))
      )
    return [
      ...tokens,
      { type: "block_execution", content: { block_type, block_name, execution } },
      { type: "block_status", content: blockStatus(trace) }
    ]
  }),
  { type: "run_status", content: { run_id: run.run_id, status: run.status.run } },
  { type: "final" }
]

const filtered = (run: LocalRun, names: ReadonlyArray<string> | undefined): LocalRun => {
  if (names === undefined) return run
  const traces = run.traces.filter(([[, name]]) => names.includes(name))
  return {
    ...run,
    traces,
    status: { ...run.status, blocks: run.status.blocks.filter((block) => names.includes(String(block["name"]))) },
    results: run.results === null ? null : traces[traces.length - 1]?.[1] ?? null
  }
}

const runs = (context: Context): Effect.Effect<LocalResponse, Refusal> =>
  Effect.gen(function*() {
    const { world } = context
    const app = yield* appOf(context)
    const input = yield* body(context, RunBody)
    const run = yield* begin(context, app, input)
    const finish = complete(world, app, run, input)
    if (input.stream === true) {
      const first = { type: "run_status", content: { run_id: run.run_id, status: "running" } }
      const scripted = app.seed.events
      return stream(
        scripted !== undefined
          ? Stream.fromIterable(scripted.map(frame))
          : Stream.concat(
            Stream.make(frame(first)),
            Stream.unwrap(Effect.map(finish, () => Stream.fromIterable(eventsOf(run).map(frame))))
          ),
        { contentType: "text/event-stream" }
      )
    }
    if (input.blocking === true) {
      yield* finish
      return json({ run: filtered(run, input.block_filter) })
    }
    const started = json({ run })
    yield* Effect.forkIn(finish, world.scope)
    return started
  })

const CheckBody = Schema.Struct({
  apps: Schema.Array(Schema.Struct({ appId: Schema.String, appHash: Schema.String }))
})

export const appRoutes: ReadonlyArray<Route> = routesOf(appsApi)({
  "GET /spaces/{spaceId}/apps": {
    auth: "any",
    handler: (context) =>
      Effect.map(spaceOf(context), (space) =>
        json({
          apps: [...apps(context.world).byId.values()].filter((app) => app.spaceId === space.sId).map((app) =>
            render(space, app)
          )
        }))
  },
  "POST /spaces/{spaceId}/apps/check": {
    auth: "any",
    handler: (context) =>
      Effect.gen(function*() {
        const space = yield* spaceOf(context)
        const input = yield* body(context, CheckBody)
        return json({
          apps: input.apps.map(({ appHash, appId }) => {
            const app = apps(context.world).byId.get(appId)
            return { appId, appHash, deployed: app?.spaceId === space.sId && app.hash === appHash }
          })
        })
      })
  },
  "POST /spaces/{spaceId}/apps/{appId}/runs": { auth: "any", handler: runs },
  "GET /spaces/{spaceId}/apps/{appId}/runs/{runId}": {
    auth: "any",
    handler: (context) =>
      Effect.flatMap(appOf(context), (app) => {
        const known = apps(context.world).runs.get(param(context, "runId"))
        return known === undefined || known.app !== app
          ? refuse(400, "run_error", "There was an error retrieving the run.", {
            run_error: { code: "run_not_found_error", message: "Run not found" }
          })
          : Effect.succeed(json({ run: known.run }))
      })
  }
})
