/**
 * Handlers that decide about the tools of an agent and answer its questions: ready-made policies, and the types to write your
 * own.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { ApprovalNeeded, QuestionAsked } from "./ChatEvent.ts"
import type { UserAnswer } from "./Conversation.ts"

/**
 * The decision on a tool that waits for approval. `always_approved` also applies to later calls; it requires a user access
 * token, and a tool of low or medium stake.
 *
 * @category models
 * @since 0.2.0
 */
export type Decision = "approved" | "rejected" | "always_approved"

/**
 * Decides on a tool call. Runs concurrently with the answer. If it ends without a decision (with a failure, a defect or an
 * interruption), the answer ends with the same cause and the run is cancelled.
 *
 * @category models
 * @since 0.2.0
 */
export type ApprovalHandler<E = never, R = never> = (request: ApprovalNeeded) => Effect.Effect<Decision, E, R>

/**
 * Answers a question of an agent. If it ends without an answer, so does the run: see {@link ApprovalHandler}.
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
 * Rejects every tool; the agent continues without it.
 *
 * @category policies
 * @since 0.2.0
 */
export const rejectAll: ApprovalHandler = () => Effect.succeed("rejected")

/**
 * Decides by the stake of the tool. Rejects tools without a stake, or with a stake that is not listed.
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
 * Decides by the name of the tool. `otherwise` decides on tools that are not listed; it rejects them by default.
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
