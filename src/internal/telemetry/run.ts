/** The span and the metrics of one agent run, from sending the message to the end of its answer. */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { ChatEvent } from "../../ChatEvent.ts"
import { isDustAPIError } from "../../DustAPIError.ts"
import type { AgentAction, AgentMessage } from "../../Message.ts"
import * as Telemetry from "../../Telemetry.ts"
import { nameOf, type Ref } from "../chat/agentIds.ts"
import type { Run } from "../chat/run.ts"
import { forgetServers, listServers } from "./openRuns.ts"
import { move, record, type Tags, tagsOf } from "./record.ts"
import { addEvent, failure, setAttributes } from "./span.ts"

const { attributes, events } = Telemetry

export interface RunOptions {
  /** Unknown for a run that was started elsewhere. */
  readonly agent: Ref | undefined
  readonly model: string | undefined
  /** The layer, and the client-side servers whose tools the run may call. */
  readonly owner: object
  readonly serverIds: ReadonlyArray<string> | undefined
}

const unknownAgent = "unknown"

const seconds = (nanos: bigint): number => Number(nanos / 1_000n) / 1e6

const toolAttributes = (action: AgentAction): Record<string, unknown> => ({
  [attributes.toolName]: action.toolName,
  [attributes.actionId]: action.sId,
  ...(action.status === null ? {} : { status: action.status })
})

export class RunTelemetry {
  readonly span: Tracer.Span
  readonly #clock: Clock.Clock
  readonly #tags: Tags
  readonly #options: RunOptions
  readonly #begun: bigint
  #agent: string
  #sent: bigint | undefined
  /** The label under which the run is counted as open. */
  #open: string | undefined
  #resumed = false
  #texted = false
  /** The actions that a person has to decide on, and since when there has been one. */
  readonly #waitingFor = new Set<string>()
  #waitingSince = 0n
  #waited = 0n
  #outcome: Telemetry.Outcome | undefined
  #error: unknown

  constructor(span: Tracer.Span, clock: Clock.Clock, tags: Tags, options: RunOptions) {
    const { agent } = options
    this.#options = options
    if (options.serverIds !== undefined) listServers(options.owner, options.serverIds, span)
    this.span = span
    this.#clock = clock
    this.#tags = tags
    this.#begun = this.#now
    this.#resumed = agent === undefined
    this.#agent = agent === undefined ? unknownAgent : nameOf(agent) ?? String(agent)
  }

  get #now(): bigint {
    return this.#clock.unsafeCurrentTimeNanos()
  }

  /** The message is about to be sent. */
  sending(): void {
    this.#sent = this.#now
  }

  /** The run is there, and is followed. */
  started(run: Run): void {
    this.#agent = run.agent?.name ?? this.#agent
    this.#open = this.#agent
    move("openRuns", { agent: this.#open }, 1, this.#tags)
    setAttributes(this.span, {
      [attributes.workspaceId]: run.workspaceId,
      [attributes.conversationId]: run.conversationId,
      [attributes.messageId]: run.messageId,
      [attributes.userMessageId]: run.message?.sId,
      [attributes.agentId]: run.agent?.id,
      [attributes.agentName]: run.agent?.name
    })
    addEvent(this.span, events.started, this.#now, { [attributes.messageId]: run.messageId })
  }

  /** Called for every event: those of text, which are nearly all of them, cost two comparisons. */
  saw(event: ChatEvent): void {
    switch (event._tag) {
      case "TextDelta":
        if (!this.#texted) this.#firstText()
        if (this.#waitingFor.size > 0) this.#continued()
        return
      case "ToolStarted":
        addEvent(this.span, events.toolStarted, this.#now, toolAttributes(event.action))
        return
      case "ToolFinished":
        addEvent(this.span, events.toolFinished, this.#now, toolAttributes(event.action))
        if (this.#waitingFor.delete(event.action.sId) && this.#waitingFor.size === 0) this.#continued()
        return
      case "ApprovalNeeded":
      case "QuestionAsked":
      case "AuthenticationNeeded":
        if (this.#waitingFor.size === 0) {
          this.#waitingSince = this.#now
          move("waitingRuns", { agent: this.#open ?? this.#agent }, 1, this.#tags)
        }
        this.#waitingFor.add(event.actionId)
        addEvent(this.span, events.waiting, this.#now, {
          [attributes.waitingFor]: event._tag,
          [attributes.actionId]: event.actionId
        })
    }
  }

  #firstText(): void {
    this.#texted = true
    const now = this.#now
    addEvent(this.span, events.firstText, now)
    if (this.#resumed || this.#sent === undefined) return
    const time = seconds(now - this.#sent)
    this.span.attribute(attributes.timeToFirstText, time)
    record("timeToFirstText", { agent: this.#agent }, time, this.#tags)
  }

  #continued(): void {
    this.#waitingFor.clear()
    const now = this.#now
    const waited = now - this.#waitingSince
    this.#waited += waited
    addEvent(this.span, events.continued, now)
    move("waitingRuns", { agent: this.#open ?? this.#agent }, -1, this.#tags)
    record("runWaitDuration", { agent: this.#agent }, seconds(waited), this.#tags)
  }

  /** The final message is known. */
  finished(message: AgentMessage): void {
    this.#outcome = message.status === "failed" || message.status === "cancelled" ? message.status : "succeeded"
    this.#agent = message.configuration?.name ?? this.#agent
    setAttributes(this.span, {
      [attributes.agentId]: message.configuration?.sId,
      [attributes.agentName]: message.configuration?.name,
      [attributes.responseModel]: message.resolvedModel?.modelId,
      [attributes.finishReasons]: message.status,
      [attributes.costCredits]: message.costCredits
    })
  }

  /** Following has failed, which says nothing of the run. */
  lost(error: unknown): void {
    this.#error = error
    const waiting = isDustAPIError(error) && error._tag === "DustStreamError" && error.reason === "waiting_for_human"
    this.#outcome ??= waiting ? "waiting" : "lost"
  }

  /** An error of the run itself, or of following it once it is known. */
  failed(error: unknown): void {
    if (this.#open !== undefined) this.lost(error)
  }

  end(exit: Exit.Exit<unknown, unknown>): void {
    const { owner, serverIds } = this.#options
    if (serverIds !== undefined) forgetServers(owner, serverIds, this.span)
    if (this.#waitingFor.size > 0) this.#continued()
    if (this.#open !== undefined) move("openRuns", { agent: this.#open }, -1, this.#tags)
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    const error = failure ?? this.#error
    const outcome = this.#outcome ?? this.#outcomeOf(exit, failure)
    const now = this.#now
    record("runs", { agent: this.#agent, outcome }, 1, this.#tags)
    if (this.#open !== undefined) {
      record("runDuration", { agent: this.#agent }, seconds(now - (this.#sent ?? this.#begun)), this.#tags)
    }
    setAttributes(this.span, {
      [attributes.outcome]: outcome,
      [attributes.waited]: this.#waited === 0n ? undefined : seconds(this.#waited),
      [attributes.errorType]: outcome === "succeeded" ? undefined : errorTypeOf(error, exit, outcome),
      [attributes.errorCode]: isDustAPIError(error) ? error.type : undefined
    })
    this.span.end(now, outcome === "interrupted" ? Exit.interrupt(FiberId.none) : withoutWords(exit))
  }

  #outcomeOf(exit: Exit.Exit<unknown, unknown>, failure: unknown): Telemetry.Outcome {
    if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return "interrupted"
    if (this.#open !== undefined) return "handler_failed"
    if (!isDustAPIError(failure)) return "not_sent"
    if (failure._tag === "DustUnconfirmedError") return "unconfirmed"
    return this.#resumed || failure.userMessageId !== undefined ? "lost" : "not_sent"
  }
}

const errorTypeOf = (
  error: unknown,
  exit: Exit.Exit<unknown, unknown>,
  outcome: Telemetry.Outcome
): string | undefined => {
  if (typeof error === "object" && error !== null && "_tag" in error) return String(error._tag)
  if (error instanceof Error) return error.name
  if (error !== undefined) return "_OTHER"
  if (Exit.isFailure(exit)) return Cause.isInterruptedOnly(exit.cause) ? undefined : "defect"
  // A failed run is a success of the method that reads its message.
  return outcome === "failed" || outcome === "cancelled" ? "DustAgentError" : undefined
}

/** What an agent says of its failure may quote the conversation. */
const withoutWords = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  Exit.mapError(exit, (error) => {
    if (!isDustAPIError(error) || error._tag !== "DustAgentError") return error
    return failure(error._tag, `the agent ${error.type === "cancelled" ? "was cancelled" : "failed"} (${error.code})`)
  })

/** Follows a run, whose answer is wanted as a whole, under a span of its own. */
export const inRun = <A, E, R>(
  options: RunOptions,
  follow: (telemetry: RunTelemetry) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    runTelemetry(options),
    (telemetry) =>
      Effect.withParentSpan(
        Effect.tapError(follow(telemetry), (error) => Effect.sync(() => telemetry.failed(error))),
        telemetry.span
      ),
    (telemetry, exit) => Effect.sync(() => telemetry.end(exit))
  )

/** Begins the span of a run, which {@link RunTelemetry.end} ends. */
export const runTelemetry = (options: RunOptions): Effect.Effect<RunTelemetry> =>
  Effect.flatMap(
    begin(options),
    (span) =>
      Effect.withFiberRuntime<RunTelemetry>((fiber) =>
        Effect.clockWith((clock) => Effect.succeed(new RunTelemetry(span, clock, tagsOf(fiber), options)))
      )
  )

const begin = ({ agent, model }: RunOptions): Effect.Effect<Tracer.Span> => {
  const name = agent === undefined ? undefined : nameOf(agent)
  return Effect.makeSpan(
    agent === undefined ? Telemetry.spans.run : `${Telemetry.spans.run} ${name ?? String(agent)}`,
    {
      kind: "client",
      captureStackTrace: false,
      attributes: {
        [attributes.operationName]: Telemetry.spans.run,
        [attributes.providerName]: "dust",
        ...(agent === undefined || name !== undefined ? {} : { [attributes.agentId]: agent }),
        ...(name === undefined ? {} : { [attributes.agentName]: name }),
        ...(model === undefined ? {} : { [attributes.requestModel]: model })
      }
    }
  )
}
