import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type AgentMessageEvent, isTerminal, type TerminalEvent } from "../../AgentMessageEvent.ts"
import type { Blocked, ChatEvent } from "../../ChatEvent.ts"
import type { Service as Conversations } from "../../Conversations.ts"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"
import type { EventId } from "../../Ids.ts"
import * as Checks from "../input/validate.ts"
import { badInput, streamError } from "../request/errors.ts"
import * as EventStream from "../stream/resumable.ts"
import type { RunTelemetry } from "../telemetry/run.ts"
import { anywhere, inChild } from "./anywhere.ts"
import { finalMessage } from "./followRun.ts"
import { type Desk, type Handlers, makeDesk } from "./handlers.ts"
import { identity } from "./identity.ts"
import { located } from "./place.ts"
import { conclude } from "./reply.ts"
import type { Ending, Run } from "./run.ts"
import { Narrator } from "./uiEvents.ts"

export interface Following<E, R> extends Handlers<E, R> {
  readonly whenBlocked?: "wait" | "fail" | undefined
  readonly silence?: Duration.DurationInput | undefined
}

type Pull<A, E, R> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>, R>

/** What comes after the events that were given out. */
type End<E> = Exit.Exit<never, Option.Option<DustAPIError | E>>

const isBlocked = (event: ChatEvent): event is Blocked =>
  event._tag === "ApprovalNeeded" || event._tag === "QuestionAsked" || event._tag === "AuthenticationNeeded"

/** Folds the events of the server into those of a user interface, a whole chunk at a time. */
class Follower<E, R> {
  readonly #conversations: Conversations
  readonly #method: string
  readonly #options: Following<E, R>
  readonly #run: Run
  readonly #ending: Ending
  readonly #narrator: Narrator
  readonly #telemetry: RunTelemetry
  #desk: Desk<E, R> | undefined
  #lastEventId: EventId | undefined
  /** What the run waits for a person with. */
  readonly #open = new Map<string, Blocked>()
  #end: End<E> | undefined

  constructor(
    conversations: Conversations,
    method: string,
    options: Following<E, R>,
    run: Run,
    ending: Ending,
    telemetry: RunTelemetry
  ) {
    this.#conversations = conversations
    this.#method = method
    this.#options = options
    this.#run = run
    this.#ending = ending
    this.#telemetry = telemetry
    this.#narrator = new Narrator(run)
    this.#lastEventId = run.lastEventId
  }

  /** Sets up what is needed to follow the run, in the scope of the stream. */
  get pull(): Effect.Effect<Pull<ChatEvent, DustAPIError | E, R>, never, Scope.Scope | R> {
    const { conversationId, lastEventId, messageId, resumed } = this.#run
    return Effect.gen(this, function*() {
      this.#desk = yield* makeDesk(this.#conversations, this.#options, {
        located: (error) => isDustAPIError(error) ? this.#located(error) : error,
        unsent: () => {
          this.#ending.over = true
        }
      })
      // Closed before the handlers and before the run is cancelled.
      const upstream = yield* EventStream.toPull(
        this.#conversations.messageEvents({
          conversationId,
          messageId,
          lastEventId,
          silence: this.#options.silence,
          resume: resumed
        })
      )
      const next: Pull<ChatEvent, DustAPIError | E, R> = Effect.matchCauseEffect(upstream, {
        onSuccess: (chunk): Pull<ChatEvent, DustAPIError | E, R> =>
          // A stream that a failed tool has ended has no terminal event of its own.
          chunk === undefined ? Effect.suspend(() => this.#finish(undefined, [])) : this.#fold(chunk),
        onFailure: (cause) => this.#closed(cause)
      })
      return Effect.checkInterruptible((interruptible) => {
        const desk = this.#desk
        const failed = desk?.failed()
        if (failed !== undefined) return Exit.mapError(failed, Option.some)
        if (this.#end !== undefined) return this.#end
        // Only while a handler is at work can one fail.
        const pulled = desk === undefined || !desk.busy()
          ? next
          : Effect.raceFirst(
            Effect.interruptible(next),
            Effect.interruptible(Effect.mapError(desk.failure, Option.some))
          )
        return interruptible ? pulled : inChild(pulled)
      })
    })
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

  /** A failure to follow the run is none of the run: that goes on, and the error says where. */
  #lost(error: DustAPIError): End<E> {
    this.#ending.over = true
    this.#telemetry.lost(error)
    return Exit.fail(Option.some(this.#located(error)))
  }

  #fold(chunk: Chunk.Chunk<AgentMessageEvent>): Pull<ChatEvent, DustAPIError | E, R> {
    const all: Array<ChatEvent> = []
    let last: AgentMessageEvent | undefined
    for (const event of chunk) {
      if (event.eventId !== undefined) this.#lastEventId = event.eventId
      if (event.type === "agent_action_success") this.#open.delete(event.action.sId)
      this.#narrator.push(event, all)
      last = event
    }
    const out: Array<ChatEvent> = []
    let more: Effect.Effect<void, never, R> | undefined
    let text = false
    for (const event of all) {
      this.#telemetry.saw(event)
      if (isBlocked(event)) {
        // A sub-agent's action may be announced twice: by an event, and by the list of what is blocked.
        if (this.#desk?.has(event.actionId) === true) continue
        out.push(event)
        const handled = this.#blocked(event)
        if (handled !== undefined) more = more === undefined ? handled : Effect.zipRight(more, handled)
        if (this.#end !== undefined) break
      } else if (event._tag !== "Reset" || this.#run.lastEventId === undefined) {
        if (event._tag === "TextDelta") text = true
        out.push(event)
      }
    }
    if (text) this.#open.clear()
    // After a failed tool, the run may go on.
    if (this.#end === undefined && last !== undefined && isTerminal(last) && last.type !== "tool_error") {
      const finished = this.#finish(last, out)
      return more === undefined ? finished : Effect.zipRight(more, finished)
    }
    const given = Effect.succeed(Chunk.unsafeFromArray(out))
    return more === undefined ? given : Effect.zipRight(more, given)
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
    return finalMessage({ event, ref: this.#run, getMessage: this.#conversations.getMessage }).pipe(
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
          this.#end = Exit.fail(Option.none())
        }
      }),
      Effect.map(() => Chunk.unsafeFromArray(out))
    )
  }

  #closed(cause: Cause.Cause<DustAPIError>): Pull<ChatEvent, DustAPIError | E, never> {
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return this.#lost(failure.value)
    // A defect is no reason to stop the run, either.
    if (!Cause.isInterruptedOnly(cause)) this.#ending.over = true
    return Effect.failCause(Cause.map(cause, Option.some))
  }
}

/** The events of a run that has been started, to its end. */
export const follow = <E, R>(
  conversations: Conversations,
  method: string,
  options: Following<E, R>,
  telemetry: RunTelemetry,
  started: (ending: Ending) => Effect.Effect<Run, DustAPIError, Scope.Scope>
): Stream.Stream<ChatEvent, DustAPIError | E, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    // What is wrong has to be known before anything is sent.
    yield* Either.mapLeft(
      Checks.duration("silence", options.silence ?? "30 minutes"),
      ({ expected, field }) => badInput(identity(method), field, expected)
    )
    const ending: Ending = { over: false }
    const run = yield* anywhere(started(ending))
    telemetry.started(run)
    const pull = yield* new Follower(conversations, method, options, run, ending, telemetry).pull
    const begin: ChatEvent = {
      _tag: "Started",
      // A page that loses its connection right after it resumes here, not at the beginning.
      eventId: run.lastEventId,
      conversationId: run.conversationId,
      message: run.message,
      messageId: run.messageId
    }
    return Stream.concat(Stream.make(begin), Stream.fromPull(Effect.succeed(pull)))
  }))
