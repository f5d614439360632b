/** The span and the metrics of a call of a client-side tool. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Tracer from "effect/Tracer"
import * as Telemetry from "../../Telemetry.ts"
import { runsOf } from "./openRuns.ts"
import { record, tagsOf } from "./record.ts"
import { failure, inSpan } from "./span.ts"

const { attributes } = Telemetry

interface Call {
  /** The layer. */
  readonly owner: object
  readonly serverId: string
  readonly requestId: string | number
  readonly name: string
}

/** What a handler failed with, on the span of its call: the agent gets no more than "The tool failed". */
export const toolFailed = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  return Effect.annotateCurrentSpan(
    attributes.errorType,
    Predicate.hasProperty(error, "_tag") ? String(error._tag) : error instanceof Error ? error.name : "defect"
  )
}

/** JSON-RPC errors, and results marked as errors. */
const isFailure = (response: unknown): boolean =>
  Predicate.hasProperty(response, "error") ||
  (Predicate.hasProperty(response, "result") && Predicate.hasProperty(response.result, "isError") &&
    response.result.isError === true)

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): "succeeded" | "failed" | "interrupted" =>
  Exit.isSuccess(exit)
    ? isFailure(exit.value) ? "failed" : "succeeded"
    : Cause.isInterruptedOnly(exit.cause)
    ? "interrupted"
    : "failed"

const spanOf = ({ name, owner, requestId, serverId }: Call): Effect.Effect<Tracer.Span> =>
  Effect.suspend(() => {
    const runs = runsOf(owner, serverId)
    const [run] = runs
    return Effect.makeSpan(`${Telemetry.spans.tool} ${name}`, {
      captureStackTrace: false,
      ...(run !== undefined && runs.length === 1 ? { parent: run } : {
        root: true,
        links: runs.map((span): Tracer.SpanLink => ({ _tag: "SpanLink", span, attributes: {} }))
      }),
      attributes: {
        [attributes.operationName]: Telemetry.spans.tool,
        [attributes.toolName]: name,
        [attributes.toolType]: "function",
        [attributes.toolCallId]: String(requestId)
      }
    })
  })

/**
 * Runs a call under its span: a part of the run that it belongs to, or linked to those that it may belong to. Neither its
 * arguments nor its results are on the span.
 */
export const inToolCall = <A, E, R>(
  call: Call,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiberRuntime((fiber) => {
    const tags = tagsOf(fiber)
    const { name } = call
    return inSpan(spanOf(call), self, (span, exit, lasted) => {
      const outcome = outcomeOf(exit)
      record("toolCalls", { tool: name, outcome }, 1, tags)
      record("toolDuration", { tool: name }, lasted, tags)
      if (outcome !== "failed") return exit
      if (!span.attributes.has(attributes.errorType)) span.attribute(attributes.errorType, "tool_error")
      return Exit.fail(failure("ToolError", `the tool ${name} failed`))
    })
  })
