/** One workspace: its state, its handler, and what a test can ask and do. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { AgentBehavior } from "../agent/steps.ts"
import { addAgent, type AgentOptions } from "../domains/agents.ts"
import { installDataSources } from "../domains/dataSources/model.ts"
import { installFiles } from "../domains/files.ts"
import { installSpaces } from "../domains/spaces.ts"
import { type Handler, makeHandler } from "../server/pipeline.ts"
import { activate, type ActiveRule, type FaultRule, reportUnused } from "../server/rules.ts"
import type { Control } from "./control.ts"
import { conversationControl } from "./conversationControl.ts"
import { defaults, makeWorld, type Place, type WorldOptions } from "./create.ts"
import { eventControl } from "./eventControl.ts"
import { faultControl, requestControl } from "./requestControl.ts"
import { seedConversation } from "./seeding.ts"
import type { World } from "./state.ts"
import { watchTestClock } from "./testClock.ts"

export interface Workspace {
  readonly world: World
  readonly handler: Handler
  readonly control: Control
}

export interface WorkspaceOptions extends WorldOptions {
  readonly agents?: Readonly<Record<string, AgentOptions | AgentBehavior>> | undefined
  readonly faults?: ReadonlyArray<FaultRule> | undefined
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
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const world = yield* makeWorld(options, scope, place)
    installSpaces(world)
    installFiles(world)
    installDataSources(world)
    const handler = makeHandler(world)
    yield* watchTestClock(world, handler.log, handler.listeners)
    addAgent(world, "echo", { description: "Repeats the message" })
    addAgent(world, "dust", { name: "dust", description: "The global agent", scope: "global" })
    for (const [sId, agent] of Object.entries(options.agents ?? {})) addAgent(world, sId, agent)
    const scripted: Array<ActiveRule> = []
    for (const rule of options.faults ?? []) scripted.push(yield* activate(rule))
    handler.rules.push(...scripted)
    yield* Effect.addFinalizer(() => reportUnused(scripted))
    const ada = world.userTokens.get(defaults.userToken)?.user ?? null
    for (const seed of world.seed.conversations ?? []) yield* seedConversation(world, seed, ada)
    return { world, handler, control: makeControl(world, handler, place, scripted) }
  })

/** The address is read late: `serve` knows it only once it listens. */
const makeControl = (world: World, handler: Handler, place: Place, scripted: Array<ActiveRule>): Control => ({
  get url() {
    return place.origin
  },
  workspaceId: world.workspaceId,
  apiKey: Redacted.make(defaults.apiKey),
  adminApiKey: Redacted.make(defaults.adminApiKey),
  userToken: Redacted.make(defaults.userToken),
  adminToken: Redacted.make(defaults.adminToken),
  ...requestControl(handler),
  ...faultControl(handler, scripted),
  ...conversationControl(world),
  ...eventControl(world)
})
