import * as Effect from "effect/Effect"

/** Milliseconds of work between two breaths. */
const slice = 12

/** Lets timers and sockets of the process have their turn; a fiber that yields does not do that each time. */
const breathe: Effect.Effect<void> = Effect.async((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 0)
  return Effect.sync(() => clearTimeout(timer))
})

/** Visits every element in slices of some milliseconds, so that long work never blocks the event loop. */
export const inSlices = <A, E>(
  elements: Iterable<A>,
  visit: (element: A) => E | undefined
): Effect.Effect<void, E> =>
  Effect.suspend(() => {
    const iterator = elements[Symbol.iterator]()
    const go: Effect.Effect<void, E> = Effect.suspend(() => {
      const until = performance.now() + slice
      for (let n = 1;; n++) {
        const next = iterator.next()
        if (next.done === true) return Effect.void
        const failure = visit(next.value)
        if (failure !== undefined) return Effect.fail(failure)
        if (n % 16 === 0 && performance.now() > until) return Effect.zipRight(breathe, go)
      }
    })
    return go
  })
