/** What the SDK logs: nothing is built before it is known that the level is enabled. */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"

export type Annotations = Readonly<Record<string, string | number | boolean | undefined>>

const annotated = (self: Effect.Effect<void>, annotations: Annotations): Effect.Effect<void> =>
  Effect.annotateLogs(
    self,
    Object.fromEntries(Object.entries(annotations).filter(([, value]) => value !== undefined))
  )

/** Logs at level debug. */
export const debug = (message: string, annotations: () => Annotations): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) =>
    LogLevel.greaterThan(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), LogLevel.Debug)
      ? Effect.void
      : annotated(Effect.logDebug(message), annotations())
  )

/** Logs events that may cost money. */
export const warn = (message: string, annotations: Annotations): Effect.Effect<void> =>
  annotated(Effect.logWarning(message), annotations)
