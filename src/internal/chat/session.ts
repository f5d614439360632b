import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Stream from "effect/Stream"
import type { ChatEvent } from "../../ChatEvent.ts"
import type { DustConflictError } from "../../DustAPIError.ts"
import { conflict } from "../request/errors.ts"
import { anywhere } from "./anywhere.ts"
import type { Handlers } from "./handlers.ts"

/** A turn in progress. */
interface Turn {
  over: boolean
}

/** The turns whose handlers the current fiber belongs to. */
const currentTurns = FiberRef.unsafeMake<ReadonlyMap<object, Turn>>(new Map())

const inHandler = (method: string): DustConflictError =>
  conflict(
    { module: "Chat", method },
    0,
    "turn_in_handler",
    "a handler cannot start another turn of its own session, because that turn would wait for this one; use another session, or chat.send",
    { type: "turn_in_handler" }
  )

/** The turns of one session, run one at a time in the order they were requested. */
export class Turns {
  readonly #permit = Effect.unsafeMakeSemaphore(1)

  /**
   * Takes one turn. The reply is read eagerly to its end, so that the turn ends regardless of its consumer and its
   * pace: otherwise a turn requested meanwhile would wait for ever.
   */
  take<A extends ChatEvent, E, R, E2, R2>(
    method: string,
    handlers: Handlers<E2, R2>,
    run: (handlers: Handlers<E2, R2>) => Stream.Stream<A, E, R>
  ): Stream.Stream<A, E | DustConflictError, R> {
    const turn: Turn = { over: false }
    const mine = <B, E3, R3>(self: Effect.Effect<B, E3, R3>) =>
      Effect.locallyWith(self, currentTurns, (outer) => new Map([...outer, [this, turn]]))
    const { onApproval, onQuestion } = handlers
    const answering: Handlers<E2, R2> = {
      onApproval: onApproval === undefined ? undefined : (request) => mine(Effect.suspend(() => onApproval(request))),
      onQuestion: onQuestion === undefined ? undefined : (question) => mine(Effect.suspend(() => onQuestion(question)))
    }
    const release = Effect.suspend(() => {
      if (turn.over) return Effect.void
      turn.over = true
      return this.#permit.release(1)
    })
    // The scope of the stream closes only after its consumer has reached the end, too.
    const ending = (answer: Stream.Stream<A, E, R>) =>
      Stream.concat(Stream.tapErrorCause(answer, () => release), Stream.execute(release))
    const acquire = Effect.flatMap(FiberRef.get(currentTurns), (turns) => {
      const outer = turns.get(this)
      return outer !== undefined && !outer.over
        ? Effect.fail(inHandler(method))
        : anywhere(this.#permit.take(1), () => this.#permit.release(1))
    })
    return Stream.buffer(
      Stream.unwrapScoped(Effect.as(Effect.acquireRelease(acquire, () => release), ending(run(answering)))),
      { capacity: "unbounded" }
    )
  }
}
