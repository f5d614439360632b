/** Support for Effect's TestClock: warns when a test does not move it, and keeps long waits cheap. */
import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { TestClock } from "effect/TestClock"
import type { SeenRequest } from "../server/pipeline.ts"
import { report } from "./report.ts"
import type { World } from "./state.ts"

interface Sleeps {
  readonly instant: number
  readonly sleeps: Chunk.Chunk<readonly [until: number, deferred: Deferred.Deferred<void>]>
}

/** Members of Effect's implementation that its interface omits. */
interface KnownTestClock extends TestClock {
  readonly clockState: Ref.Ref<Sleeps>
  readonly warningStart: () => Effect.Effect<void>
  sleep: Clock.Clock["sleep"]
}

/** Structural check: importing Effect's class here would load it for every user. */
const isTestClock = (clock: Clock.Clock): clock is KnownTestClock =>
  "clockState" in clock && Ref.RefTypeId in Object(clock.clockState) && "sleeps" in clock
  && "warningStart" in clock && typeof clock.warningStart === "function"

const improved = new WeakSet<Clock.Clock>()

/**
 * An interrupted sleep remains in the TestClock's list and costs some milliseconds of real time when the clock passes
 * it. Every request leaves a few (its timeouts): an approval that waits a day has 1,500 of them, which took ten
 * seconds. They are therefore removed from the list before the clock moves.
 */
export const forgetInterruptedSleeps = (clock: Clock.Clock): void => {
  if (!isTestClock(clock) || improved.has(clock)) return
  improved.add(clock)
  const gone = new Set<Deferred.Deferred<void>>()
  const remove = () => {
    const removed = new Set(gone)
    gone.clear()
    Effect.runSync(
      Ref.update(clock.clockState, (state) => ({
        ...state,
        sleeps: Chunk.filter(state.sleeps, ([, deferred]) => !removed.has(deferred))
      }))
    )
  }
  clock.sleep = (duration) =>
    Effect.gen(function*() {
      const deferred = yield* Deferred.make<void>()
      const waits = yield* Ref.modify(clock.clockState, (state): readonly [boolean, Sleeps] => {
        const until = state.instant + Duration.toMillis(duration)
        return until > state.instant
          ? [true, { ...state, sleeps: Chunk.prepend(state.sleeps, [until, deferred] as const) }]
          : [false, state]
      })
      if (!waits) return
      yield* clock.warningStart()
      yield* Effect.onInterrupt(Deferred.await(deferred), () =>
        Effect.sync(() => {
          // Once for all sleeps interrupted together: the clock moves only after pending timers have run.
          if (gone.size === 0) queueMicrotask(remove)
          gone.add(deferred)
        }))
    })
}

const CHECK_EVERY = 250
const UNMOVED_FOR = 1000

const span = (millis: number): string => Duration.format(Duration.millis(Math.max(0, millis)))

const describeRequest = (request: SeenRequest): string =>
  `${request.method} ${request.route ?? request.path} (${
    request.status === undefined ? "not answered yet" : `answered ${request.status}, still open`
  })`

const shorten = (all: ReadonlyArray<string>): string =>
  all.length <= 5 ? all.join("; ") : `${all.slice(0, 5).join("; ")}; ${all.length - 5} more`

const describeStandstill = (
  world: World,
  until: ReadonlyArray<number>,
  requests: ReadonlyArray<SeenRequest>
): string => {
  const now = world.now()
  const open = requests.filter(({ outcome }) => outcome === "open").map(describeRequest)
  const own = [...world.waits].map(({ until, what }) => `${what} (${span(until - now)} to go)`)
  const last = requests[requests.length - 1]
  const refused = open.length === 0 && last?.status !== undefined && last.status >= 400
    ? [
      `a client that tries again, perhaps: the last request, ${last.method} ${
        last.route ?? last.path
      }, was answered ${last.status}`
    ]
    : []
  const who = [...own, ...open, ...refused]
  const first = until.reduce((a, b) => Math.min(a, b), Infinity) - now
  const latest = until.reduce((a, b) => Math.max(a, b), 0) - now
  const count = until.length === 1 ? "1 wait" : `${until.length} waits`
  return `Local Dust: nothing has happened for a second of real time, and ${count} of the TestClock cannot end, because nobody `
    + `moves it: the first ends in ${span(first)}${latest === first ? "" : `, the last in ${span(latest)}`}. `
    + (who.length === 0 ? "" : `Waiting: ${shorten(who)}. `)
    + `Fork what waits and move the clock (TestClock.adjust("${
      span(first)
    }")), or run the test on the live clock (it.live).`
}

/** Reports, once for each standstill, the waits on a TestClock that does not move. */
export const watchTestClock = (
  world: World,
  requests: () => ReadonlyArray<SeenRequest>,
  listeners: Set<() => void>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { clock } = world
    if (!isTestClock(clock)) return
    const runtime = yield* Effect.runtime()
    let activity = 0
    let seen = ""
    let since = performance.now()
    let checks = 0
    const listener = () => {
      activity++
    }
    const check = () => {
      const until = Chunk.toReadonlyArray(Effect.runSync(clock.sleeps))
      const state = `${world.now()}/${activity}/${until.length}/${until.reduce((sum, at) => sum + at, 0)}`
      if (state !== seen || until.length === 0) {
        seen = state
        since = performance.now()
        checks = 0
        return
      }
      // Several checks, so that a busy or suspended process is not reported.
      checks++
      if (checks < UNMOVED_FOR / CHECK_EVERY || performance.now() - since < UNMOVED_FOR || checks === Infinity) return
      checks = Infinity
      Runtime.runFork(runtime)(report(describeStandstill(world, until, requests())))
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        listeners.add(listener)
        const timer: unknown = setInterval(check, CHECK_EVERY)
        // Node's timers keep a process alive; in browsers they are numbers.
        if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function") {
          timer.unref()
        }
        return () => clearInterval(timer as ReturnType<typeof setInterval>)
      }),
      (stop) =>
        Effect.sync(() => {
          listeners.delete(listener)
          stop()
        })
    )
  })
