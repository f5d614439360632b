/** Support for Effect's TestClock: warns when a test does not move it, and keeps long waits cheap. */
import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { TestClock } from "effect/TestClock"
import type * as Tracer from "effect/Tracer"
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

/** Whose sleep it is. */
const callers = new WeakMap<Deferred.Deferred<void>, Caller>()

/** `limit`: a time limit of the SDK, whose timer runs outside of every caller. */
type Caller = { readonly span: Tracer.AnySpan | undefined; readonly limit: boolean }

const callerOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Caller => ({
  span: fiber.currentSpan,
  limit: fiber.currentContext.unsafeMap.size === 0
})

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
  clock.sleep = (duration) => Effect.withFiberRuntime((fiber) => sleep(duration, callerOf(fiber)))
  const sleep = (duration: Duration.Duration, caller: Caller) =>
    Effect.gen(function*() {
      const deferred = yield* Deferred.make<void>()
      callers.set(deferred, caller)
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

/** Of a sleep that began before Local Dust. */
const unknownCaller: Caller = { span: undefined, limit: false }

const CHECK_EVERY = 250
const UNMOVED_FOR = 1000

const span = (millis: number): string => Duration.format(Duration.millis(Math.ceil(Math.max(0, millis))))

const units = [["hour", 3_600_000], ["minute", 60_000], ["second", 1000]] as const

/** A duration as `TestClock.adjust` takes it: rounded up to seconds, or to milliseconds below one. */
const input = (millis: number): string => {
  const whole = millis < 1000 ? Math.ceil(millis) : Math.ceil(millis / 1000) * 1000
  const [unit, size] = units.find(([, size]) => whole % size === 0) ?? ["millis", 1]
  return `${whole / size} ${unit}${whole === size || unit === "millis" ? "" : "s"}`
}

/** The spans of the caller from the outside, and what happened last in the innermost one: a retry, a pause. */
const describeCaller = ({ limit, span }: Caller): string => {
  if (limit) return "a limit of the SDK"
  const names: Array<string> = []
  for (
    let one = span;
    one !== undefined && one._tag === "Span";
    one = Option.getOrUndefined(one.parent)
  ) names.unshift(one.name)
  if (names.length === 0) return "an effect without a span"
  const events: unknown = span !== undefined && "events" in span ? span.events : undefined
  const last: unknown = Array.isArray(events) ? events[events.length - 1] : undefined
  const event = Array.isArray(last) ? ` after ${String(last[0])}` : ""
  return `${names.length > 3 ? [names[0], "…", names[names.length - 1]].join(" > ") : names.join(" > ")}${event}`
}

interface Sleep {
  readonly until: number
  readonly caller: Caller
}

/** One entry for each caller, with the times for which it waits. */
const describeSleeps = (sleeps: ReadonlyArray<Sleep>, now: number): ReadonlyArray<string> => {
  const byCaller = new Map<string, Set<number>>()
  for (const { caller, until } of sleeps) {
    const name = describeCaller(caller)
    byCaller.set(name, (byCaller.get(name) ?? new Set()).add(until))
  }
  return Array.from(byCaller, ([name, all]) => {
    const times = [...all].sort((a, b) => a - b).map((until) => span(until - now))
    return `${name} (${times.slice(0, 3).join(", ")}${times.length > 3 ? ", …" : ""} to go)`
  })
}

const describeRequest = (request: SeenRequest): string =>
  `${request.method} ${request.route ?? request.path} (${
    request.status === undefined ? "not answered yet" : `answered ${request.status}, still open`
  })`

const shorten = (all: ReadonlyArray<string>): string =>
  all.length <= 5 ? all.join("; ") : `${all.slice(0, 5).join("; ")}; ${all.length - 5} more`

const describeStandstill = (
  world: World,
  sleeps: ReadonlyArray<Sleep>,
  requests: ReadonlyArray<SeenRequest>,
  inProgress: ReadonlyArray<string>
): string => {
  const now = world.now()
  const open = requests.filter(({ outcome }) => outcome === "open").map(describeRequest)
  const own = [...world.waits].map(({ until, what }) => `${what} (${span(until - now)} to go)`)
  const ownTimes = new Set([...world.waits].map(({ until }) => until))
  const last = requests[requests.length - 1]
  const failed = open.length === 0 && last !== undefined && (last.outcome === "reset" || (last.status ?? 0) >= 400)
    ? [
      `possibly a client that retries: the last request, ${last.method} ${last.route ?? last.path}, was ${
        last.outcome === "reset" ? "cut" : `answered ${last.status}`
      }`
    ]
    : []
  const others = sleeps.filter(({ caller, until }) => !caller.limit && !ownTimes.has(until))
  const runs = own.length === 0 ? inProgress : []
  const who = [...own, ...runs, ...describeSleeps(others, now), ...failed, ...open]
  const until = sleeps.map((sleep) => sleep.until)
  const first = Math.min(...until) - now
  const latest = Math.max(...until) - now
  const wanted = sleeps.filter(({ caller }) => !caller.limit).map((sleep) => sleep.until)
  const count = until.length === 1 ? "1 wait" : `${until.length} waits`
  return `Local Dust: nothing has happened for a second of real time, and ${count} on the TestClock cannot end, because the `
    + `test does not adjust it: the first ends in ${span(first)}${
      latest === first ? "" : `, the last in ${span(latest)}`
    }. `
    + (who.length === 0 ? "" : `Waiting: ${shorten(who)}. `)
    + `Fork the effect that waits and adjust the clock (TestClock.adjust("${
      input(wanted.length === 0 ? first : Math.max(...wanted) - now)
    }")), or run the test on the live clock (it.live).`
}

/** Reports, once for each standstill, the waits on a TestClock that does not move. `runs`: those in progress. */
export const watchTestClock = (
  world: World,
  requests: () => ReadonlyArray<SeenRequest>,
  runs: () => ReadonlyArray<string>,
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
      const sleeps = Chunk.toReadonlyArray(Effect.runSync(Ref.get(clock.clockState)).sleeps).map((
        [until, deferred]
      ) => ({
        until,
        caller: callers.get(deferred) ?? unknownCaller
      }))
      const until = sleeps.map((sleep) => sleep.until)
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
      Runtime.runFork(runtime)(report(describeStandstill(world, sleeps, requests(), runs())))
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
