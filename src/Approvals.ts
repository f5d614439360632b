/**
 * Who decides about the tools of an agent, and answers its questions: ready policies, and the types of one's own.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { ApprovalNeeded, QuestionAsked } from "./ChatEvent.ts"
import type { UserAnswer } from "./Conversation.ts"

/**
 * What somebody says about a tool that waits for approval. `always_approved` also holds for later uses; it needs a user's
 * credential, and a tool of low or medium stake.
 *
 * @category models
 * @since 0.2.0
 */
export type Decision = "approved" | "rejected" | "always_approved"

/**
 * Decides about one use of a tool. Runs beside the answer, which goes on in the meantime where it can. Whatever ends it
 * without a decision (a failure, a defect, an interruption) ends the answer with the same cause, and cancels the run.
 *
 * @category models
 * @since 0.2.0
 */
export type ApprovalHandler<E = never, R = never> = (request: ApprovalNeeded) => Effect.Effect<Decision, E, R>

/**
 * Answers one question of an agent. It ends the answer as an {@link ApprovalHandler} does.
 *
 * @category models
 * @since 0.2.0
 */
export type QuestionHandler<E = never, R = never> = (question: QuestionAsked) => Effect.Effect<UserAnswer, E, R>

/**
 * Approves every tool.
 *
 * @category policies
 * @since 0.2.0
 */
export const approveAll: ApprovalHandler = () => Effect.succeed("approved")

/**
 * Rejects every tool; the agent goes on without it.
 *
 * @category policies
 * @since 0.2.0
 */
export const rejectAll: ApprovalHandler = () => Effect.succeed("rejected")

/**
 * Decides by the stake of the tool; one without a stake, or with one that is not listed, is rejected.
 *
 * @example
 * ```ts
 * import * as Approvals from "effect-dust/Approvals"
 *
 * const policy = Approvals.byStake({ low: "approved", medium: "approved", high: "rejected" })
 * ```
 *
 * @category policies
 * @since 0.2.0
 */
export const byStake = (
  decisions: { readonly [K in "low" | "medium" | "high" | "never_ask"]?: Decision | undefined }
): ApprovalHandler =>
(request) => {
  const found = (["low", "medium", "high", "never_ask"] as const).find((stake) => stake === request.stake)
  return Effect.succeed((found === undefined ? undefined : decisions[found]) ?? "rejected")
}

/**
 * Decides by the name of the tool; one that is not listed is left to `otherwise` (rejected by default).
 *
 * @example
 * ```ts
 * import * as Approvals from "effect-dust/Approvals"
 *
 * const policy = Approvals.byTool({ search: "approved", send_email: "rejected" })
 * ```
 *
 * @category policies
 * @since 0.2.0
 */
export const byTool = <E = never, R = never>(
  decisions: Readonly<Record<string, Decision>>,
  otherwise?: ApprovalHandler<E, R>
): ApprovalHandler<E, R> =>
(request) => {
  const decision = Object.hasOwn(decisions, request.tool.toolName) ? decisions[request.tool.toolName] : undefined
  return decision !== undefined
    ? Effect.succeed(decision)
    : otherwise === undefined
    ? Effect.succeed("rejected")
    : otherwise(request)
}
