import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scope from "effect/Scope"
import { monotonicOf } from "../util/monotonic.ts"

/** After what is ready to run has run. */
const soon: (task: () => void) => void = typeof setImmediate === "function"
  ? setImmediate
  : (task) => setTimeout(task, 0)

/** A wait with a limit. The moment may be moved while it is pending. */
export interface Deadline {
  /** Milliseconds of the clock; infinite: none at present. */
  at: number
  readonly expire: () => void
}

/**
 * The pending deadlines of one clock, watched by one timer.
 *
 * A race of each wait against a timer of its own takes two fibers, and costs more than most of the waits themselves.
 */
export class Deadlines {
  readonly #pending = new Set<Deadline>()
  readonly #clock: Clock.Clock
  #timer: Fiber.RuntimeFiber<void> | undefined
  #wakesAt = Number.POSITIVE_INFINITY
  #ending = false

  constructor(clock: Clock.Clock) {
    this.#clock = clock
  }

  /** The time of day may be stepped, and no limit is reached by that. */
  now(): number {
    return monotonicOf(this.#clock)
  }

  add(deadline: Deadline): void {
    this.#pending.add(deadline)
    this.moved(deadline)
  }

  /** Called after `at` has changed. A later moment needs nothing: the timer looks again when it wakes up. */
  moved(deadline: Deadline): void {
    if (deadline.at < this.#wakesAt) this.#wakeAt(deadline.at)
  }

  delete(deadline: Deadline): void {
    this.#pending.delete(deadline)
    // A timer left running would keep the process alive.
    if (this.#pending.size === 0) this.#idle()
  }

  /** The next call often begins before the present one has returned to the event loop: it takes the timer over. */
  #idle(): void {
    if (this.#ending) return
    this.#ending = true
    soon(() => {
      this.#ending = false
      if (this.#pending.size === 0) this.#stop()
    })
  }

  #stop(): void {
    this.#timer?.unsafeInterruptAsFork(FiberId.none)
    this.#timer = undefined
    this.#wakesAt = Number.POSITIVE_INFINITY
  }

  #wakeAt(at: number): void {
    this.#stop()
    this.#wakesAt = at
    // Whole milliseconds: less than the clock can tell would be over at once, and leave as much again.
    const timer = Effect.runFork(this.#clock.sleep(Duration.millis(Math.ceil(Math.max(0, at - this.now())))))
    this.#timer = timer
    timer.addObserver(() => {
      if (this.#timer !== timer) return
      this.#timer = undefined
      this.#wakesAt = Number.POSITIVE_INFINITY
      this.#expire()
    })
  }

  #expire(): void {
    const now = this.now()
    let next = Number.POSITIVE_INFINITY
    for (const deadline of this.#pending) {
      if (deadline.at <= now) {
        this.#pending.delete(deadline)
        deadline.expire()
      } else if (deadline.at < next) {
        next = deadline.at
      }
    }
    if (next < this.#wakesAt) this.#wakeAt(next)
  }
}

const byClock = new WeakMap<Clock.Clock, Deadlines>()

/** Those of a clock, so that tests with clocks of their own do not wait for each other. */
export const deadlinesOf = (clock: Clock.Clock): Deadlines => {
  const known = byClock.get(clock)
  if (known !== undefined) return known
  const made = new Deadlines(clock)
  byClock.set(clock, made)
  return made
}

/** A phase and its limit. */
export interface Reached<Phase> {
  readonly name: Phase
  readonly limit: Duration.Duration
}

/** One wait of several phases, each with a limit, and a limit for all of them. */
export class Watch<Phase> {
  readonly #deadlines: Deadlines
  readonly #deadline: Deadline
  readonly #end: number
  #phase: Reached<Phase> | undefined

  constructor(
    deadlines: Deadlines,
    end: number,
    expire: (phase: Reached<Phase> | undefined) => void
  ) {
    this.#deadlines = deadlines
    this.#end = end
    this.#deadline = {
      at: end,
      expire: () => expire(this.#deadline.at === this.#end ? undefined : this.#phase)
    }
    deadlines.add(this.#deadline)
  }

  /** The next phase begins. */
  enter(name: Phase, limit: Duration.Duration): void {
    this.#phase = { name, limit }
    this.#move(Math.min(this.#end, this.#deadlines.now() + Duration.toMillis(limit)))
  }

  /** No phase is under way: only the limit for all of them counts. */
  leave(): void {
    this.#phase = undefined
    this.#move(this.#end)
  }

  close(): void {
    this.#deadlines.delete(this.#deadline)
  }

  #move(at: number): void {
    this.#deadline.at = at
    this.#deadlines.moved(this.#deadline)
  }
}

/**
 * Runs work under a watch, and fails when one of its limits is reached.
 *
 * The work runs in a fiber of its own that can be interrupted, whatever the region of the caller: a limit holds in the
 * acquisition of a resource and in a finalizer, too. Nobody waits for work that is given up.
 */
export const watching = <A, E, R, Phase = never>(options: {
  readonly deadlines: Deadlines
  /** When all of it has to be over, in milliseconds of the clock. */
  readonly end: number
  /** What the work runs with. */
  readonly context: Context.Context<R>
  readonly refs?: Runtime.RunForkOptions["updateRefs"]
  /** Closed at once when the work has failed. What has succeeded still needs it, or has no use for it. */
  readonly scope?: Scope.CloseableScope | undefined
  /** No phase: the end was reached. */
  readonly onTimeout: (phase: Reached<Phase> | undefined) => Effect.Effect<never, E>
}, work: (watch: Watch<Phase>) => Effect.Effect<A, E, R>): Effect.Effect<A, E> =>
  Effect.withFiberRuntime<A, E>((fiber, { runtimeFlags }) =>
    Effect.async<A, E>((resume) => {
      if (options.end <= options.deadlines.now()) {
        resume(Effect.suspend(() => options.onTimeout(undefined)))
        return
      }
      const watch = new Watch<Phase>(options.deadlines, options.end, (phase) => {
        resume(Effect.zipRight(Fiber.interruptFork(child), Effect.suspend(() => options.onTimeout(phase))))
      })
      const runtime = Runtime.make({
        context: options.context,
        fiberRefs: fiber.getFiberRefs(),
        runtimeFlags: RuntimeFlags.enable(runtimeFlags, RuntimeFlags.Interruption)
      })
      const child = Runtime.runFork(runtime, Effect.suspend(() => work(watch)), { updateRefs: options.refs })
      child.addObserver((exit) => {
        watch.close()
        if (exit._tag === "Failure" && options.scope !== undefined) Effect.runFork(Scope.close(options.scope, exit))
        resume(exit)
      })
      return Effect.suspend(() => {
        watch.close()
        return Fiber.interrupt(child)
      })
    })
  )
