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

/** Runs a task after all tasks that are ready. */
const soon: (task: () => void) => void = typeof setImmediate === "function"
  ? setImmediate
  : (task) => setTimeout(task, 0)

/** A wait with a limit. The limit may be moved while it is pending. */
export interface Deadline {
  /** Milliseconds of the clock; `Infinity`: no limit at present. */
  at: number
  readonly expire: () => void
}

/**
 * The pending deadlines of one clock, sharing one timer.
 *
 * Racing each wait against its own timer takes two fibers, and costs more than most of the waits themselves.
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

  /** Monotonic: a step of the wall clock reaches no limit. */
  now(): number {
    return monotonicOf(this.#clock)
  }

  add(deadline: Deadline): void {
    this.#pending.add(deadline)
    this.moved(deadline)
  }

  /** Must be called after `at` has changed. A later time needs no action: the timer checks again when it fires. */
  moved(deadline: Deadline): void {
    if (deadline.at < this.#wakesAt) this.#wakeAt(deadline.at)
  }

  delete(deadline: Deadline): void {
    this.#pending.delete(deadline)
    // A timer left running would keep the process alive.
    if (this.#pending.size === 0) this.#idle()
  }

  /**
   * Stops the timer with a delay: the next call often starts before this one returns to the event loop, and reuses it.
   */
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
    // Rounded up to whole milliseconds: a shorter timer would fire at once, without reaching the deadline.
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

/** The deadlines of a clock, separate so that tests with their own clocks do not wait for each other. */
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

/** A wait of several phases, each with a limit, and an overall limit. */
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

  /** Starts the next phase. */
  enter(name: Phase, limit: Duration.Duration): void {
    this.#phase = { name, limit }
    this.#move(Math.min(this.#end, this.#deadlines.now() + Duration.toMillis(limit)))
  }

  /** Ends the phase: only the overall limit applies. */
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
 * The work runs in its own interruptible fiber, whatever the region of the caller, so that limits also apply while a
 * resource is acquired and in finalizers. Abandoned work is not awaited.
 */
export const watching = <A, E, R, Phase = never>(options: {
  readonly deadlines: Deadlines
  /** The overall limit, in milliseconds of the clock. */
  readonly end: number
  /** The context of the work. */
  readonly context: Context.Context<R>
  readonly refs?: Runtime.RunForkOptions["updateRefs"]
  /** Closed at once if the work fails. After a success, its owner closes it. */
  readonly scope?: Scope.CloseableScope | undefined
  /** `undefined`: the overall limit was reached. */
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
      // Its end closes the watch.
      return Fiber.interrupt(child)
    })
  )
