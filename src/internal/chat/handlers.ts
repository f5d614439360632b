import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { ApprovalHandler, QuestionHandler } from "../../Approvals.ts"
import type { Blocked } from "../../ChatEvent.ts"
import type { Service as Conversations } from "../../Conversations.ts"
import type { DustAPIError, RequestError } from "../../DustAPIError.ts"

export interface Handlers<E, R> {
  readonly onApproval?: ApprovalHandler<E, R> | undefined
  readonly onQuestion?: QuestionHandler<E, R> | undefined
}

/** Runs the approval and question handlers of a run. */
export interface Desk<E, R> {
  /** Whether a handler is at work on this action. */
  readonly has: (actionId: string) => boolean
  /** Whether any handler is running: only then can one fail. */
  readonly busy: () => boolean
  /** The first failure of a handler. */
  readonly failed: () => Exit.Exit<never, DustAPIError | E> | undefined
  readonly failure: Effect.Effect<never, DustAPIError | E>
  /** Passes a request to its handler; `undefined` if no handler is set. */
  readonly give: (blocked: Blocked) => Effect.Effect<void, never, R> | undefined
}

const isActionNotBlocked = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "type" in error && error.type === "action_not_blocked"

/** `unsent` runs when a handler has decided, but the decision could not be sent to Dust. */
const answer = <E, R>(
  conversations: Conversations,
  { onApproval, onQuestion }: Handlers<E, R>,
  blocked: Blocked,
  unsent: () => void
): Effect.Effect<void, RequestError | E, R> | undefined => {
  const ref = { conversationId: blocked.conversationId, messageId: blocked.messageId, actionId: blocked.actionId }
  const sent = (self: Effect.Effect<void, RequestError>) =>
    self.pipe(
      // Another client may have responded first.
      Effect.catchIf(isActionNotBlocked, () => Effect.void),
      Effect.tapError(() => Effect.sync(unsent))
    )
  switch (blocked._tag) {
    case "ApprovalNeeded":
      return onApproval === undefined
        ? undefined
        : Effect.flatMap(
          Effect.suspend(() => onApproval(blocked)),
          (approved) => sent(conversations.validateAction({ ...ref, approved }))
        )
    case "QuestionAsked":
      return onQuestion === undefined
        ? undefined
        : Effect.flatMap(
          Effect.suspend(() => onQuestion(blocked)),
          (answer) => sent(conversations.answerQuestion({ ...ref, answer }))
        )
    case "AuthenticationNeeded":
      return undefined
  }
}

/** `undefined` if no handler is set. */
export const makeDesk = <E, R>(
  conversations: Conversations,
  handlers: Handlers<E, R>,
  options: {
    readonly located: (error: RequestError | E) => DustAPIError | E
    readonly unsent: () => void
  }
): Effect.Effect<Desk<E, R> | undefined, never, Scope.Scope> =>
  handlers.onApproval === undefined && handlers.onQuestion === undefined ?
    Effect.succeed(undefined) :
    Effect.gen(function*() {
      const fibers = yield* FiberSet.make<void>()
      const failure = yield* Deferred.make<never, DustAPIError | E>()
      const open = new Set<string>()
      let failed: Exit.Exit<never, DustAPIError | E> | undefined
      return {
        has: (actionId) => open.has(actionId),
        busy: () => open.size > 0,
        failed: () => failed,
        failure: Deferred.await(failure),
        give: (blocked) => {
          const work = answer(conversations, handlers, blocked, options.unsent)
          if (work === undefined) return undefined
          open.add(blocked.actionId)
          const watched = Effect.matchCauseEffect(Effect.interruptible(work), {
            onSuccess: () => Effect.void,
            // A handler failed, died or was interrupted: the run ends with the same cause.
            onFailure: (cause) => {
              failed = Exit.failCause(Cause.map(cause, options.located))
              return Deferred.done(failure, failed)
            }
          })
          return FiberSet.run(
            fibers,
            Effect.ensuring(watched, Effect.sync(() => open.delete(blocked.actionId)))
          )
        }
      }
    })
