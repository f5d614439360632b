/** Replaces a single service; members that the test does not define fail with a descriptive defect. Run with vitest. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Agents } from "effect-dust/Agents"
import * as Fixtures from "effect-dust/Fixtures"

const NoAgents = Layer.mock(Agents, {
  findByName: (name) => Effect.fail(Fixtures.error.DustNotFoundError({ message: `there is no agent ${name}` }))
})

it.effect("there is no such agent", () =>
  Effect.gen(function*() {
    const agents = yield* Agents
    const error = yield* Effect.flip(agents.findByName("Support"))
    assert.strictEqual(error.message, "there is no agent Support")
  }).pipe(Effect.provide(NoAgents)))
