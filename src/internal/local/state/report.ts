/** Reports warnings to the developer of a test. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"
import * as Logger from "effect/Logger"

/** Logs a warning; uses the console if there is no logger, as in `it.effect` of `@effect/vitest`. */
export const report = (message: string): Effect.Effect<void> =>
  Effect.flatMap(
    FiberRef.get(FiberRef.currentLoggers),
    // The tracer's logger only adds events to spans.
    (loggers) =>
      HashSet.size(HashSet.remove(loggers, Logger.tracerLogger)) === 0
        ? Console.warn(message)
        : Effect.logWarning(message)
  )
