/** Reports a test that waits for something that does not happen. */
import * as Effect from "effect/Effect"
import { report } from "./report.ts"
import type { World } from "./state.ts"

const checkEvery = 250

/** Real time without a request or a change of the clock after which a wait is reported. */
const idleFor = 2000

/**
 * Runs a wait of the handle. Reports once if nothing at all has happened for two seconds of real time, and nothing in the
 * workspace waits for a time that comes by itself.
 */
export const awaiting = <A, E, R>(world: World, what: string, wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const watch = Effect.gen(function*() {
    let seen: number | undefined
    let idle = 0
    while (true) {
      yield* Effect.async<void>((resume) => {
        const timer: unknown = setTimeout(() => resume(Effect.void), checkEvery)
        // Node's timers keep a process alive; in browsers they are numbers.
        if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function") {
          timer.unref()
        }
        return Effect.sync(() => clearTimeout(timer as ReturnType<typeof setTimeout>))
      })
      const now = world.life.activity
      // Several checks, so that a busy or suspended process is not reported.
      idle = now === seen && world.waits.size === 0 ? idle + checkEvery : 0
      seen = now
      if (idle < idleFor) continue
      return yield* report(
        `Local Dust: a test waits for ${what}, and nothing has happened for two seconds. ${world.life.recent()}`
      )
    }
  })
  return Effect.scoped(Effect.zipRight(Effect.forkScoped(Effect.interruptible(watch)), wait))
}
