/** The defect of a use after the end of a workspace. */
import * as Effect from "effect/Effect"
import { DustTestRuleError } from "../server/patterns.ts"
import type { World } from "./state.ts"

export const afterTheEnd = (what: string): DustTestRuleError =>
  new DustTestRuleError({
    message:
      `${what} came after the workspace was closed, together with the scope of its layer. Provide the layer to the whole test.`
  })

/** An effect of the handle, which is a defect after the end of the workspace. */
export const alive = <A, E>(world: World, name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => world.life.ended ? Effect.die(afterTheEnd(`DustTest.${name}`)) : effect)
