import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type AgentMessageEvent, isTerminal, type TerminalEvent } from "../../AgentMessageEvent.ts"
import type { Blocked, ChatEvent } from "../../ChatEvent.ts"
import type { Service as Conversations } from "../../Conversations.ts"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"
import type { EventId } from "../../Ids.ts"
import * as Checks from "../input/validate.ts"
import { calledAt, captureCallSite } from "../request/callSite.ts"
import { badInput, streamError } from "../request/errors.ts"
import * as Pulled from "../stream/pulled.ts"
import { type RunOptions, type RunTelemetry, runTelemetry } from "../telemetry/run.ts"
import { anywhere, inChild } from "./anywhere.ts"
import { finalMessage } from "./followRun.ts"
import { type Desk, type Handlers, makeDesk } from "./handlers.ts"
import { identity } from "./identity.ts"
import { located } from "./place.ts"
import { conclude } from "./reply.ts"
import { type Ending, makeEnding, type Run } from "./run.ts"
import { Narrator } from "./uiEvents.ts"

export interface Following<E, R> extends Handlers<E, R> {
  readonly whenBlocked?: "wait" | "fail" | undefined
  readonly silence?: Duration.DurationInput | undefined
}

type Pull<E, R> = Pulled.Pull<ChatEvent, DustAPIError | E, R>

/** How the stream ends after its last event. */
type End<E> = Exit.Exit<undefined, DustAPIError | E>

const isBlocked = (event: ChatEvent): event is Blocked =>
  event._tag === "ApprovalNeeded" || event._tag === "QuestionAsked" || event._tag === "AuthenticationNeeded"

/** Converts server events into user interface events, one chunk at a time. */
class Follower<E, R> {
  readonly #conversations: Conversations
  readonly #method: string
  readonly #options: Following<E, R>
  readonly #run: Run
  readonly #ending: Ending
  readonly #narrator: Narrator
  readonly #telemetry: RunTelemetry
  /** Scope of the handlers. */
  #scope: Scope.CloseableScope | undefined
  #desk: Desk<E, R> | undefined
  #upstream: Pulled.Pulled<AgentMessageEvent, DustAPIError> | undefined
  #next: Pull<E, R> = Effect.succeed(undefined)
  #lastEventId: EventId | undefined
  /** The requests that block the run until a person responds. */
  readonly #open = new Map<string, Blocked>()
  #end: End<E> | undefined

  constructor({ conversations, method, options }: Follow<E, R>, run: Run, ending: Ending, telemetry: RunTelemetry) {
    this.#conversations = conversations
    this.#method = method
    this.#options = options
    this.#run = run
    this.#ending = ending
    this.#telemetry = telemetry
    this.#narrator = new Narrator(run)
    this.#lastEventId = run.lastEventId
  }

  /** Prepares to follow the run. */
  get begin(): Effect.Effect<void, DustAPIError> {
    const { onApproval, onQuestion, silence } = this.#options
    const { conversationId, lastEventId, messageId, resumed } = this.#run
    const events = Pulled.open(
      this.#conversations.messageEvents({ conversationId, messageId, lastEventId, silence, resume: resumed })
    )
    const connected = Effect.map(events, (upstream) => {
      this.#upstream = upstream
      this.#next = Effect.matchCauseEffect(upstream.pull, {
        onSuccess: (chunk): Pull<E, R> =>
          // A stream ended by a failed tool has no terminal event of its own.
          chunk === undefined ? Effect.suspend(() => this.#finish(undefined, [])) : this.#fold(chunk),
        onFailure: (cause) => this.#closed(cause)
      })
    })
    // Without handlers, no desk is needed.
    return onApproval === undefined && onQuestion === undefined
      ? connected
      : Effect.zipRight(this.#openDesk, connected)
  }

  get #openDesk(): Effect.Effect<void> {
    return Effect.flatMap(Scope.make(), (scope) => {
      this.#scope = scope
      const desk = makeDesk(this.#conversations, this.#options, {
        located: (error) => isDustAPIError(error) ? this.#located(error) : error,
        unsent: () => {
          this.#ending.over = true
        }
      })
      return Effect.map(Scope.extend(desk, scope), (desk) => {
        this.#desk = desk
      })
    })
  }

  readonly pull: Pull<E, R> = Effect.checkInterruptible((interruptible) => {
    const desk = this.#desk
    const failed = desk?.failed()
    if (failed !== undefined) return failed
    if (this.#end !== undefined) return this.#end
    // Handlers can only fail while one is running.
    const pulled = desk === undefined || !desk.busy()
      ? this.#next
      : Effect.raceFirst(Effect.interruptible(this.#next), Effect.interruptible(desk.failure))
    return interruptible ? pulled : inChild(pulled)
  })

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const upstream = this.#upstream === undefined ? Effect.void : this.#upstream.close(exit)
    return this.#scope === undefined ? upstream : Effect.zipRight(upstream, Scope.close(this.#scope, exit))
  }

  #inSpan<A, E2, R2>(self: Effect.Effect<A, E2, R2>): Effect.Effect<A, E2, R2> {
    return Effect.withParentSpan(self, this.#telemetry.span)
  }

  #located<E2 extends DustAPIError>(error: E2): E2 {
    const { conversationId, message, messageId, workspaceId } = this.#run
    return located(error, {
      workspaceId,
      conversationId,
      userMessageId: message?.sId,
      messageId,
      lastEventId: this.#lastEventId,
      waitingFor: [...this.#open.values()].at(-1)
    })
  }

  /** Losing the stream is not a failure of the run: the run continues, and the error includes its ids. */
  #lost(error: DustAPIError): End<E> {
    this.#ending.over = true
    this.#telemetry.lost(error)
    return Exit.fail(this.#located(error))
  }

  #fold(chunk: Chunk.Chunk<AgentMessageEvent>): Pull<E, R> {
    const all: Array<ChatEvent> = []
    let last: AgentMessageEvent | undefined
    for (const event of chunk) {
      if (event.eventId !== undefined) this.#lastEventId = event.eventId
      this.#narrator.push(event, all)
      last = event
    }
    const out: Array<ChatEvent> = []
    let more: Effect.Effect<void, never, R> | undefined
    for (const event of all) {
      this.#telemetry.saw(event)
      if (isBlocked(event)) {
        // A sub-agent's action may be announced twice: by an event and by the list of blocked actions.
        if (this.#desk?.has(event.actionId) === true) continue
        out.push(event)
        const handled = this.#blocked(event)
        if (handled !== undefined) more = more === undefined ? handled : Effect.zipRight(more, handled)
        if (this.#end !== undefined) break
      } else if (event._tag !== "Reset" || this.#run.lastEventId === undefined) {
        if (event._tag === "TextDelta") this.#open.clear()
        else if (event._tag === "ToolFinished") this.#open.delete(event.action.sId)
        out.push(event)
      }
    }
    // The run may continue after a failed tool.
    if (this.#end === undefined && last !== undefined && isTerminal(last) && last.type !== "tool_error") {
      const finished = this.#finish(last, out)
      return more === undefined ? finished : Effect.zipRight(this.#inSpan(more), finished)
    }
    const given = Effect.succeed(Chunk.unsafeFromArray(out))
    return more === undefined ? given : Effect.zipRight(this.#inSpan(more), given)
  }

  #blocked(event: Blocked): Effect.Effect<void, never, R> | undefined {
    this.#open.set(event.actionId, event)
    const given = this.#desk?.give(event)
    if (given === undefined && this.#options.whenBlocked === "fail") {
      this.#lastEventId = event.eventId ?? this.#lastEventId
      this.#end = this.#lost(
        streamError(identity(this.#method), "waiting_for_human", `the run waits for a person (${event._tag})`)
      )
    }
    return given
  }

  #finish(event: TerminalEvent | undefined, out: Array<ChatEvent>): Effect.Effect<Chunk.Chunk<ChatEvent>> {
    return this.#inSpan(
      finalMessage({ event, ref: this.#run, getMessage: this.#conversations.getMessage }).pipe(
        Effect.flatMap((message) => {
          this.#ending.over = true
          this.#open.clear()
          this.#telemetry.finished(message)
          return conclude(this.#conversations, this.#method, this.#run, message, this.#narrator.text, event?.eventId)
        }),
        Effect.match({
          onFailure: (error) => {
            this.#end = this.#lost(error)
          },
          onSuccess: (last) => {
            out.push(...last)
            this.#end = Exit.succeed(undefined)
          }
        }),
        Effect.map(() => Chunk.unsafeFromArray(out))
      )
    )
  }

  #closed(cause: Cause.Cause<DustAPIError>): Effect.Effect<undefined, DustAPIError | E> {
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return this.#lost(failure.value)
    // A defect here does not stop the run either.
    if (!Cause.isInterruptedOnly(cause)) this.#ending.over = true
    return Effect.failCause(cause)
  }
}

interface Follow<E, R> {
  readonly conversations: Conversations
  readonly method: string
  readonly options: Following<E, R>
  readonly run: RunOptions
  /** Starts or resumes the run. */
  readonly started: (ending: Ending, telemetry: RunTelemetry) => Effect.Effect<Run, DustAPIError>
}

/** The events of a run, from start to end. */
export const follow = <E, R>(options: Follow<E, R>): Stream.Stream<ChatEvent, DustAPIError | E, R> => {
  const called = calledAt(captureCallSite())
  return Pulled.make(
    Effect.flatMap(
      runTelemetry(options.run),
      (telemetry) => Effect.map(Effect.context<R>(), (context) => opened(options, telemetry, context, called))
    )
  )
}

const opened = <E, R>(
  options: Follow<E, R>,
  telemetry: RunTelemetry,
  context: Context.Context<R>,
  called: ReturnType<typeof calledAt>
): Pulled.Pulled<ChatEvent, DustAPIError | E, R> => {
  const ending = makeEnding()
  let follower: Follower<E, R> | undefined
  const inSpan = <A, E2, R2>(self: Effect.Effect<A, E2, R2>) => Effect.withParentSpan(self, telemetry.span)
  const begin = called(anywhere(inSpan(Effect.gen(function*() {
    // Validate before sending anything.
    yield* Either.mapLeft(
      Checks.duration("silence", options.options.silence ?? "30 minutes"),
      ({ expected, field }) => badInput(identity(options.method), field, expected)
    )
    const run = yield* options.started(ending, telemetry)
    telemetry.started(run)
    follower = new Follower(options, run, ending, telemetry)
    yield* follower.begin
    return Chunk.of<ChatEvent>({
      _tag: "Started",
      // If the connection drops right after the start, the page resumes here instead of at the beginning.
      eventId: run.lastEventId,
      conversationId: run.conversationId,
      message: run.message,
      messageId: run.messageId
    })
  }))))
  // Cancel the run with the credential that started it.
  const abandoned = Effect.provide(inSpan(Effect.suspend(() => ending.abandon)), context)
  return {
    pull: Effect.suspend(() => follower === undefined ? begin : follower.pull),
    close: (exit) =>
      Effect.suspend(() => follower === undefined ? Effect.void : follower.close(exit)).pipe(
        Effect.zipRight(Effect.suspend(() => ending.over ? Effect.void : abandoned)),
        Effect.zipRight(Effect.sync(() => telemetry.end(exit)))
      )
  }
}
