/** A workspace: its state, its handler, and its handle for tests. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { addAgent } from "../domains/agents.ts"
import { describeRuns } from "../domains/conversations/blocked.ts"
import { installDataSources } from "../domains/dataSources/model.ts"
import { installFiles } from "../domains/files.ts"
import { installSpaces } from "../domains/spaces.ts"
import { type Handler, makeHandler } from "../server/pipeline.ts"
import { closeChannels } from "../server/pubsub.ts"
import { activate, type ActiveRule, reportUnused } from "../server/rules.ts"
import { checkOptions } from "./checkOptions.ts"
import { checkReferences } from "./checkReferences.ts"
import type { Control } from "./control.ts"
import { conversationControl } from "./conversationControl.ts"
import { makeWorld, type Place } from "./create.ts"
import { defaults } from "./defaults.ts"
import { alive } from "./ended.ts"
import { eventControl } from "./eventControl.ts"
import { allConversations } from "./find.ts"
import type { WorkspaceOptions } from "./options.ts"
import { faultControl, requestControl } from "./requestControl.ts"
import { seedConversation } from "./seeding.ts"
import type { World } from "./state.ts"
import { watchTestClock } from "./testClock.ts"

export interface Workspace {
  readonly world: World
  readonly handler: Handler
  readonly control: Control
}

export const defaultPlace = (): Place => ({
  origin: defaults.origin,
  storageOrigin: defaults.storageOrigin,
  requestSize: Infinity
})

export const makeWorkspace = (
  options: WorkspaceOptions,
  place: Place
): Effect.Effect<Workspace, never, Scope.Scope> =>
  Effect.gen(function*() {
    yield* checkOptions(options)
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const world = yield* makeWorld(options, scope, place)
    const handler = makeHandler(world)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        world.life.ended = true
      })
    )
    yield* watchTestClock(world, handler.log, () => describeRuns(world), handler.listeners)
    for (const rule of options.faults ?? []) handler.rules.push(yield* activate(rule, handler.rules))
    const own = [...handler.rules]
    const scripted: Array<ActiveRule> = []
    yield* Effect.addFinalizer(() => reportUnused([...own, ...scripted]))
    yield* furnish(world, options)
    const reset = Effect.gen(function*() {
      yield* endWaits(world)
      yield* world.restart
      handler.restart()
      handler.rules.splice(0, Infinity, ...own)
      for (const rule of own) rule.seen = 0
      yield* furnish(world, options)
      yield* reportUnused(scripted.splice(0))
    })
    return { world, handler, control: makeControl(world, handler, place, scripted, reset) }
  })

/** Initial content of a workspace. */
const furnish = (world: World, options: WorkspaceOptions): Effect.Effect<void> =>
  Effect.gen(function*() {
    installSpaces(world)
    installFiles(world)
    installDataSources(world)
    addAgent(world, "echo", { description: "Repeats the message" })
    addAgent(world, "dust", { name: "dust", description: "The global agent", scope: "global" })
    for (const [sId, agent] of Object.entries(options.agents ?? {})) addAgent(world, sId, agent)
    yield* checkReferences(world)
    const ada = world.userTokens.get(defaults.userToken)?.user ?? null
    for (const seed of world.seed.conversations ?? []) yield* seedConversation(world, seed, ada)
  })

/** Answers requests that wait for an event or for the end of a run, since neither will come. */
const endWaits = (world: World): Effect.Effect<void> =>
  Effect.suspend(() => {
    closeChannels(world)
    const running = allConversations(world).flatMap(({ ranks }) => ranks.flat()).filter((message) =>
      message.type === "agent_message"
    )
    return Effect.forEach(running, ({ run }) => Deferred.succeed(run.done, undefined), { discard: true })
  })

/** Read late: `serve` sets the address once it listens. */
const makeControl = (
  world: World,
  handler: Handler,
  place: Place,
  scripted: Array<ActiveRule>,
  reset: Effect.Effect<void>
): Control => ({
  reset: alive(world, "reset", reset),
  get url() {
    return place.origin
  },
  workspaceId: world.workspaceId,
  apiKey: Redacted.make(defaults.apiKey),
  adminApiKey: Redacted.make(defaults.adminApiKey),
  userToken: Redacted.make(defaults.userToken),
  adminToken: Redacted.make(defaults.adminToken),
  ...requestControl(world, handler),
  ...faultControl(world, handler, scripted),
  ...conversationControl(world),
  ...eventControl(world)
})
