/** How Local Dust says something to the person who runs a test. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"

/** A warning in the log; on the console where there is no logger, as in `it.effect` of `@effect/vitest`. */
export const report = (message: string): Effect.Effect<void> =>
  Effect.flatMap(
    FiberRef.get(FiberRef.currentLoggers),
    (loggers) => HashSet.size(loggers) === 0 ? Console.warn(message) : Effect.logWarning(message)
  )
