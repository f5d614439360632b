import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import {
  type AgentMessageEvent,
  type BlockingEvent,
  fromJson,
  isBlocking,
  isTerminal,
  isTerminalType,
  type TerminalEvent
} from "../../AgentMessageEvent.ts"
import { type BlockedAction, type Conversation, findMessage, messages } from "../../Conversation.ts"
import type { ConversationEvent } from "../../ConversationEvent.ts"
import type { DustNotFoundError, RequestError, StreamError } from "../../DustAPIError.ts"
import type { Operation, Service as Client } from "../../DustClient.ts"
import type { ConversationId, EventId, MessageId } from "../../Ids.ts"
import { type AgentMessage, isAgentMessage, isFinal, type Message } from "../../Message.ts"
import * as Checks from "../input/validate.ts"
import { badInput, streamError } from "../request/errors.ts"
import { runLast } from "../stream/pulled.ts"
import * as EventStream from "../stream/resumable.ts"

interface Ref {
  readonly conversationId: ConversationId
  readonly messageId: MessageId
}

interface Follow extends Ref {
  readonly lastEventId?: EventId | undefined
  readonly silence?: Duration.DurationInput | undefined
  readonly resume?: boolean | undefined
}

/** The terminal event of a finished message. */
const terminalOf = (message: AgentMessage): TerminalEvent => {
  const base = {
    messageId: message.sId,
    configurationId: message.configuration?.sId ?? null,
    created: message.completedTs ?? message.created
  }
  switch (message.status) {
    case "failed":
      return {
        type: "agent_error",
        ...base,
        error: message.error ??
          { code: "unknown_error", message: "Dust reported no details", metadata: {} }
      }
    case "cancelled":
      return { type: "agent_generation_cancelled", ...base, status: "cancelled" }
    default:
      return { type: "agent_message_success", ...base, message }
  }
}

/** Every other blocked action is waiting for approval. */
const blockedTypes: ReadonlyMap<string, BlockingEvent["type"]> = new Map<string, BlockingEvent["type"]>([
  ["blocked_user_answer_required", "tool_ask_user_question"],
  ["blocked_authentication_required", "tool_personal_auth_required"],
  ["blocked_file_authorization_required", "tool_file_auth_required"]
])

/** The event that announces a blocked action. */
const blockingOf = (action: BlockedAction): BlockingEvent => {
  const base = {
    messageId: action.messageId,
    conversationId: action.conversationId,
    actionId: action.actionId,
    inputs: action.inputs,
    stake: action.stake,
    metadata: action.metadata,
    isLastBlockingEventForStep: null,
    argumentsRequiringApproval: null
  }
  const event = fromJson({
    ...base,
    type: blockedTypes.get(action.status),
    question: action.question ?? undefined,
    authError: action.authError,
    fileAuthError: action.fileAuthError
  })
  return isBlocking(event) ? event : { type: "tool_approve_execution", ...base }
}

export const messageEventsOf = (
  options: Follow & {
    readonly client: Client
    readonly operation: Operation<
      "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages/{messageId}/events",
      undefined,
      void
    >
    readonly getMessage: (ref: Ref) => Effect.Effect<Message, RequestError>
    readonly blockedActions: (id: ConversationId) => Effect.Effect<ReadonlyArray<BlockedAction>, RequestError>
  }
): Stream.Stream<AgentMessageEvent, StreamError> =>
  EventStream.make(
    options.client,
    Effect.suspend(() => {
      const silence = Checks.duration("silence", options.silence ?? "30 minutes")
      return Either.isLeft(silence)
        ? Effect.fail(badInput(options.operation, "silence", silence.left.expected))
        : Effect.succeed(runOf(options, silence.right))
    })
  )

type MessageEvents = Parameters<typeof messageEventsOf>[0]

/** A run as an event source. Each call tracks its own set of announced blocked actions. */
const runOf = (
  options: MessageEvents,
  silence: Duration.Duration
): EventStream.Source<AgentMessageEvent, MessageEvents["operation"]["route"]> => {
  const { conversationId, messageId } = options
  const announced = new Set<string>()
  /** Actions announced only by the list of blocked actions: the stream may deliver the same ones later. */
  const listed = new Set<string>()
  let last: AgentMessageEvent["type"] | undefined
  // Made when needed: most runs end without a look at the conversation.
  const message = Effect.suspend(() => options.getMessage({ conversationId, messageId }))
  const actions = Effect.suspend(() => options.blockedActions(conversationId))
  const truth = (
    message: Message,
    actions: Effect.Effect<ReadonlyArray<BlockedAction>, RequestError>
  ): Effect.Effect<EventStream.Truth<AgentMessageEvent>, RequestError> => {
    if (!isAgentMessage(message)) return Effect.succeed({ _tag: "Alive", waiting: false, events: () => [] })
    if (isFinal(message)) {
      return Effect.succeed({
        _tag: "Ended",
        // The failed tool ended the run, unless the run continued after it.
        events: () => last === "tool_error" && message.status === "failed" ? [] : [terminalOf(message)]
      })
    }
    return Effect.map(actions, (actions): EventStream.Truth<AgentMessageEvent> => {
      // A sub-agent's action belongs to a message of its own conversation.
      const blocked = actions.filter((action) =>
        action.messageId === messageId || action.conversationId !== conversationId
      )
      return {
        _tag: "Alive",
        waiting: blocked.length > 0,
        events: () => {
          const missed = blocked.filter((action) => !announced.has(action.actionId))
          announced.clear()
          for (const action of blocked) announced.add(action.actionId)
          for (const action of missed) listed.add(action.actionId)
          return missed.map(blockingOf)
        }
      }
    })
  }
  const resumes = options.resume ?? options.lastEventId !== undefined
  let first = resumes
  return {
    operation: options.operation,
    input: { path: { conversationId, messageId } },
    lastEventId: options.lastEventId,
    resumes,
    decode: (data, eventId) => {
      const event = fromJson(data, eventId)
      last = event.type
      if (isBlocking(event)) {
        announced.add(event.actionId)
        if (listed.delete(event.actionId)) return undefined
      }
      return event
    },
    isUnknown: (event) => event.type === "unknown",
    verdict: (event) => {
      // A failed tool may or may not end the run: only the message shows which.
      if (event.type === "tool_error") return "ask"
      if (isTerminal(event)) return "end"
      return event.type === "unknown" && event.kind !== null && isTerminalType(event.kind) ? "ask" : "go"
    },
    truth: Effect.suspend(() => {
      if (!first) return Effect.flatMap(message, (message) => truth(message, actions))
      // A resuming consumer needs both, so both are read concurrently.
      first = false
      return Effect.flatMap(
        Effect.zip(message, Effect.either(actions), { concurrent: true }),
        ([message, actions]) => truth(message, actions)
      )
    }),
    silence
  }
}

/** The state of a message lags slightly behind its last event. */
const settling = [0, 200, 1_000, 2_000, 4_000]

const settled = (
  getMessage: (ref: Ref) => Effect.Effect<Message, RequestError>,
  ref: Ref,
  event: TerminalEvent | undefined
): Effect.Effect<AgentMessage, StreamError> => {
  const look = (index: number): Effect.Effect<AgentMessage, StreamError> =>
    Effect.sleep(settling[index] ?? 0).pipe(
      Effect.zipRight(getMessage(ref)),
      Effect.flatMap((message) => {
        if (!isAgentMessage(message)) {
          return Effect.fail(streamError(
            { module: "Conversations", method: "answer", http: "GET", route: "", credential: "any", errors: {} },
            "ended",
            "the message is not an agent message"
          ))
        }
        if (isFinal(message)) return Effect.succeed(message)
        if (index + 1 < settling.length) return look(index + 1)
        return Effect.succeed<AgentMessage>(
          event?.type === "agent_generation_cancelled"
            ? { ...message, status: "cancelled" }
            : {
              ...message,
              status: "failed",
              error: message.error ?? (event !== undefined && "error" in event ? event.error : null)
            }
        )
      })
    )
  return look(0)
}

/** Follows one agent message to its final state. */
export const answerOf = (
  options: Follow & {
    readonly messageEvents: (options: Follow) => Stream.Stream<AgentMessageEvent, StreamError>
    readonly getMessage: (ref: Ref) => Effect.Effect<Message, RequestError>
  }
): Effect.Effect<AgentMessage, StreamError> =>
  Effect.flatMap(runLast(options.messageEvents(options)), (last) => {
    const event = Option.getOrUndefined(Option.filter(last, isTerminal))
    return finalMessage({ event, ref: options, getMessage: options.getMessage })
  })

/** The final message for a terminal event. */
export const finalMessage = (options: {
  readonly event: TerminalEvent | undefined
  readonly ref: Ref
  readonly getMessage: (ref: Ref) => Effect.Effect<Message, RequestError>
}): Effect.Effect<AgentMessage, StreamError> => {
  const { event } = options
  if (event?.type === "agent_message_success" || event?.type === "agent_message_gracefully_stopped") {
    const { message } = event
    return Effect.succeed(isFinal(message) ? message : { ...message, status: "succeeded" })
  }
  return settled(options.getMessage, options.ref, event)
}

const answersIn = (conversation: Conversation, messageId: MessageId): ReadonlyArray<AgentMessage> =>
  messages(conversation).filter(isAgentMessage).filter((message) => message.parentMessageId === messageId)

/** The agent messages that reply to a user message, once there are any: a queued message waits for its turn. */
export const answering = (
  options: Ref & {
    readonly readConversation: Effect.Effect<Conversation, RequestError>
    readonly notFound: DustNotFoundError
    readonly events: (options: {
      readonly conversationId: ConversationId
    }) => Stream.Stream<ConversationEvent, StreamError>
  }
): Effect.Effect<ReadonlyArray<AgentMessage>, StreamError> => {
  const { messageId } = options
  const lookOf = (idle: { ticks: number }) => (tick: boolean) =>
    Effect.flatMap(options.readConversation, (conversation): Effect.Effect<
      Option.Option<ReadonlyArray<AgentMessage>>,
      StreamError
    > => {
      const message = findMessage(conversation, messageId)
      if (message === undefined) return Effect.fail(options.notFound)
      const answers = answersIn(conversation, messageId)
      if (answers.length > 0) return Effect.succeedSome(answers)
      if (message.visibility === "pending") return Effect.succeedNone
      // Visible for a while and still without a reply: the run it was queued behind was cancelled.
      if (tick) idle.ticks++
      return idle.ticks > 1 ? Effect.succeedSome([]) : Effect.succeedNone
    })
  return Effect.flatMap(options.readConversation, (conversation) => {
    const message = findMessage(conversation, messageId)
    if (message === undefined) return Effect.fail(options.notFound)
    const answers = answersIn(conversation, messageId)
    if (answers.length > 0 || message.visibility !== "pending") return Effect.succeed(answers)
    const signals = Stream.merge(
      Stream.map(
        Stream.filter(
          options.events(options),
          (event) =>
            (event.type === "agent_message_new" && event.message.parentMessageId === messageId) ||
            (event.type === "user_message_promoted" && event.messageId === messageId)
        ),
        () => false
      ),
      Stream.map(Stream.tick("15 seconds"), () => true)
    )
    return signals.pipe(
      Stream.mapEffect(lookOf({ ticks: 0 })),
      Stream.filterMap((found) => found),
      Stream.runHead,
      Effect.map(Option.getOrElse(() => []))
    )
  })
}

/** The final replies to a user message. */
export const answersTo = (
  options: Parameters<typeof answering>[0] & {
    readonly answer: (options: Follow) => Effect.Effect<AgentMessage, StreamError>
  }
): Effect.Effect<ReadonlyArray<AgentMessage>, StreamError> =>
  Effect.flatMap(answering(options), (answers) =>
    Effect.forEach(
      answers,
      (message) =>
        isFinal(message)
          ? Effect.succeed(message)
          : options.answer({ conversationId: options.conversationId, messageId: message.sId }),
      { concurrency: "unbounded" }
    ))
