/**
 * Ask an agent, have its answer.
 *
 * Every message is sent exactly once, every answer arrives whole or fails with a reason, and whoever stops listening stops
 * the agent.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ModelSelection } from "./Agent.ts"
import { type AgentMessageEvent, isTerminal, type TerminalEvent } from "./AgentMessageEvent.ts"
import { Agents } from "./Agents.ts"
import type { ApprovalNeeded, Blocked, ChatEvent, QuestionAsked, Reply } from "./ChatEvent.ts"
import type { UserAnswer } from "./Conversation.ts"
import { type ContentFragmentInput, Conversations, type MessageContext } from "./Conversations.ts"
import { DustAgentError, type DustAPIError, DustNotFoundError, type RequestError } from "./DustAPIError.ts"
import type { AgentId, ConversationId, EventId, MessageId, SpaceId } from "./Ids.ts"
import type { Identity } from "./internal/api/operation.ts"
import { answering, finalMessage } from "./internal/chat/followRun.ts"
import { messageBody } from "./internal/chat/messageBody.ts"
import { citationsOf, Narrator } from "./internal/chat/uiEvents.ts"
import * as Checks from "./internal/input/validate.ts"
import { badInput, streamError } from "./internal/request/errors.ts"
import { Recent } from "./internal/util/recentSet.ts"
import { type AgentMessage, isAgentMessage, isFinal, type Message, type UserMessage } from "./Message.ts"
import * as Telemetry from "./Telemetry.ts"

/**
 * An agent: by id (`dust`, `0ec9852c2f`), or by name (`{ name: "Support" }`, `@Support`).
 *
 * @category models
 * @since 0.1.0
 */
export type AgentRef = AgentId | { readonly name: string }

/**
 * What somebody says about a tool that waits for approval. `always_approved` also holds for later uses; it needs a user's
 * credential, and a tool of low or medium stake.
 *
 * @category models
 * @since 0.1.0
 */
export type Decision = "approved" | "rejected" | "always_approved"

/**
 * Decides about one use of a tool. Runs beside the answer, which goes on in the meantime where it can.
 *
 * @category models
 * @since 0.1.0
 */
export type ApprovalHandler<E = never, R = never> = (request: ApprovalNeeded) => Effect.Effect<Decision, E, R>

/**
 * Answers one question of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export type QuestionHandler<E = never, R = never> = (question: QuestionAsked) => Effect.Effect<UserAnswer, E, R>

/**
 * How to follow an answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface FollowOptions<E = never, R = never> {
  /** Who decides about tools that need approval. Without it the run waits until somebody does so in Dust. */
  readonly onApproval?: ApprovalHandler<E, R> | undefined
  /** Who answers the agent's questions. Without it the run waits until somebody does so in Dust. */
  readonly onQuestion?: QuestionHandler<E, R> | undefined
  /**
   * What to do when the run waits for a person and nobody here answers for one: `wait`, for as long as it takes, or `fail`
   * with `DustStreamError` (`waiting_for_human`). Default `wait`.
   */
  readonly whenBlocked?: "wait" | "fail" | undefined
  /**
   * What becomes of the run when nobody listens any more (interruption, `Stream.take`, a lost race, a timeout, a failure of
   * the stream): `cancel` it on the server, or `leave` it running, for {@link Service.resume}. Default `cancel`.
   */
  readonly onInterrupt?: "cancel" | "leave" | undefined
  /** How long a run may bring nothing at all while it waits for nobody. Default 30 minutes. */
  readonly silence?: Duration.DurationInput | undefined
}

/**
 * A question to an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendOptions<E = never, R = never> extends FollowOptions<E, R> {
  /** Whom to ask. A name takes one more request, which lists the agents. */
  readonly agent: AgentRef
  /** What to ask. Not blank. */
  readonly message: string
  /** Ask in this conversation. Default: a new one. */
  readonly conversationId?: ConversationId | undefined
  /** The title of the new conversation. Default: the server finds one. */
  readonly title?: string | undefined
  /** The space of the new conversation. */
  readonly spaceId?: SpaceId | undefined
  /** Given to the agent with the message: text, uploaded files (`File.contentFragment`), nodes of data sources. */
  readonly attachments?: ReadonlyArray<ContentFragmentInput> | undefined
  /** Who asks, and from where. All of it has a default. */
  readonly context?: MessageContext | undefined
  /** A model to use instead of the agent's. */
  readonly modelSelection?: ModelSelection | undefined
  /** Run tools without asking anybody. Default `false`. */
  readonly skipToolsValidation?: boolean | undefined
}

/**
 * The same question to several agents, each in a conversation of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendToAllOptions<E = never, R = never> extends Omit<SendOptions<E, R>, "agent" | "conversationId"> {
  readonly agents: ReadonlyArray<AgentRef>
}

/**
 * An answer to continue.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResumeOptions<E = never, R = never> extends FollowOptions<E, R> {
  readonly conversationId: ConversationId
  /** The agent message, as {@link ChatEvent.Started} named it. */
  readonly messageId: MessageId
  /** The `eventId` of the last event that was handled. Default: from the beginning of what the server still has. */
  readonly lastEventId?: EventId | undefined
}

/**
 * One turn of a session.
 *
 * @category models
 * @since 0.1.0
 */
export type TurnOptions<E = never, R = never> = Omit<
  SendOptions<E, R>,
  "agent" | "conversationId" | "title" | "spaceId"
>

/**
 * What all turns of a session have in common.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionOptions<E = never, R = never> extends FollowOptions<E, R> {
  readonly agent: AgentRef
  /** Go on in this conversation. Default: a new one at the first turn. */
  readonly conversationId?: ConversationId | undefined
  /** The title of the new conversation. Default: the server finds one. */
  readonly title?: string | undefined
  /** The space of the new conversation. */
  readonly spaceId?: SpaceId | undefined
  /** For turns that have none of their own. */
  readonly context?: MessageContext | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * Asks an agent and waits for its whole answer. `text` is the final text as Dust keeps it, not a concatenation of what was
   * streamed.
   *
   * Credential: any. Fails as `Conversations.createMessage` does (input, rights, limits, network); with `DustNotFoundError`
   * for a name that no agent has, and `DustBadRequestError` (`agent_inaccessible`) for an id that is unknown or disabled;
   * with `DustAgentError` when the run fails or is cancelled by somebody else; with `DustStreamError` when its end cannot be
   * known; and with what the handlers fail with. Sent exactly once, whatever the network does; interrupted, the run is
   * cancelled.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const chat = yield* Chat
   *   const reply = yield* chat.send({ agent: "dust", message: "What changed this week?" })
   *   return reply.text
   * })
   * ```
   */
  readonly send: <E = never, R = never>(
    options: SendOptions<E, R>
  ) => Effect.Effect<Reply, DustAPIError | NoInfer<E>, NoInfer<R>>
  /**
   * Asks several agents at the same time, each in a conversation of its own, and waits for all of them: the replies are in
   * the order of `agents`. The first failure cancels the others. Credential and errors as for `send`.
   */
  readonly sendToAll: <E = never, R = never>(
    options: SendToAllOptions<E, R>
  ) => Effect.Effect<ReadonlyArray<Reply>, DustAPIError | NoInfer<E>, NoInfer<R>>
  /**
   * Asks an agent and tells what happens, from {@link ChatEvent.Started} to {@link ChatEvent.Done}. Each event once and in
   * order, over as many connections as it takes. Credential and errors as for `send`; stopped early, the run is cancelled.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Console, Effect, Stream } from "effect"
   *
   * const program = Effect.flatMap(Chat, (chat) =>
   *   chat.stream({ agent: "dust", message: "What changed this week?" }).pipe(Stream.runForEach((event) => {
   *     switch (event._tag) {
   *       case "ToolStarted":
   *         return Console.log(`uses ${event.action.toolName}`)
   *       case "Done":
   *         return Console.log(event.reply.text)
   *       default:
   *         return Effect.void
   *     }
   *   })))
   * ```
   */
  readonly stream: <E = never, R = never>(
    options: SendOptions<E, R>
  ) => Stream.Stream<ChatEvent, DustAPIError | NoInfer<E>, NoInfer<R>>
  /**
   * Only the text, as it comes. Put together it ends with exactly the final text: text of a step that is run again is not
   * repeated, what is missing at the end is added, and text before a tool is kept in front of it. Credential and errors as
   * for `send`; stopped early, the run is cancelled.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Effect, Stream } from "effect"
   *
   * const program = Effect.flatMap(Chat, (chat) =>
   *   chat.streamText({ agent: "dust", message: "Write a haiku" }).pipe(
   *     Stream.runForEach((text) => Effect.sync(() => process.stdout.write(text)))
   *   ))
   * ```
   */
  readonly streamText: <E = never, R = never>(
    options: SendOptions<E, R>
  ) => Stream.Stream<string, DustAPIError | NoInfer<E>, NoInfer<R>>
  /**
   * Continues to follow an answer that was asked for elsewhere, such as in a process that is gone. Approvals and questions
   * that are still open come again.
   *
   * Credential: any. Nothing is sent, so nothing can be doubled. Errors as for `Conversations.messageEvents`
   * (`DustNotFoundError` for an unknown message), and `DustAgentError` when the run has failed. Stopped early, the run is
   * cancelled.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Effect, Stream } from "effect"
   *
   * // What the first process has stored of `Started`, and of the last event that it has handled.
   * const rest = (place: { conversationId: string; messageId: string; lastEventId?: string }) =>
   *   Stream.unwrap(Effect.map(Chat, (chat) => chat.resume(place)))
   * ```
   */
  readonly resume: <E = never, R = never>(
    options: ResumeOptions<E, R>
  ) => Stream.Stream<ChatEvent, DustAPIError | NoInfer<E>, NoInfer<R>>
  /**
   * A conversation with one agent, turn by turn. Makes no request by itself: the conversation is created by the first turn.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const chat = yield* Chat
   *   const session = yield* chat.session({ agent: "dust", title: "Holidays" })
   *   yield* session.send("How many days of leave are there in a year?")
   *   const reply = yield* session.send("And in the first one?")
   *   return reply.text
   * })
   * ```
   */
  readonly session: <E = never, R = never>(
    options: SessionOptions<E, R>
  ) => Effect.Effect<Session<NoInfer<E>, NoInfer<R>>>
}

/**
 * One conversation with one agent, turn by turn. Turns that are asked for at the same time wait for each other. `E0` and
 * `R0` are those of the session's own handlers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session<E0 = never, R0 = never> {
  /** None before the first turn, which starts the conversation. */
  readonly conversationId: Effect.Effect<Option.Option<ConversationId>>
  /** As {@link Service.send}. */
  readonly send: <E = never, R = never>(
    turn: string | TurnOptions<E, R>
  ) => Effect.Effect<Reply, DustAPIError | E0 | NoInfer<E>, R0 | NoInfer<R>>
  /** As {@link Service.stream}. */
  readonly stream: <E = never, R = never>(
    turn: string | TurnOptions<E, R>
  ) => Stream.Stream<ChatEvent, DustAPIError | E0 | NoInfer<E>, R0 | NoInfer<R>>
  /** As {@link Service.streamText}. */
  readonly streamText: <E = never, R = never>(
    turn: string | TurnOptions<E, R>
  ) => Stream.Stream<string, DustAPIError | E0 | NoInfer<E>, R0 | NoInfer<R>>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Chat extends Context.Tag("effect-dust/Chat")<Chat, Service>() {}

// ---------------------------------------------------------------------------------------------------------------------
// Approval policies
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Approves every tool.
 *
 * @category policies
 * @since 0.1.0
 */
export const approveAll: ApprovalHandler = () => Effect.succeed("approved")

/**
 * Rejects every tool; the agent goes on without it.
 *
 * @category policies
 * @since 0.1.0
 */
export const rejectAll: ApprovalHandler = () => Effect.succeed("rejected")

/**
 * Decides by the stake of the tool; one without a stake, or with one that is not listed, is rejected.
 *
 * @example
 * ```ts
 * import * as Chat from "effect-dust/Chat"
 *
 * const policy = Chat.byStake({ low: "approved", medium: "approved", high: "rejected" })
 * ```
 *
 * @category policies
 * @since 0.1.0
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
 * import * as Chat from "effect-dust/Chat"
 *
 * const policy = Chat.byTool({ search: "approved", send_email: "rejected" })
 * ```
 *
 * @category policies
 * @since 0.1.0
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

// ---------------------------------------------------------------------------------------------------------------------
// Service
// ---------------------------------------------------------------------------------------------------------------------

const identity = (method: string): Identity => ({
  module: "Chat",
  method,
  http: "POST",
  route: "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages",
  credential: "any",
  errors: {}
})

interface Run {
  readonly conversationId: ConversationId
  readonly message: UserMessage | undefined
  readonly messageId: MessageId
  readonly lastEventId: EventId | undefined
}

/** Whether the run has ended by itself. */
interface Ending {
  over: boolean
}

const agentError = (method: string, run: Run, message: AgentMessage): DustAgentError => {
  const cancelled = message.status === "cancelled"
  const category = message.error?.metadata["category"]
  const code = cancelled ? "cancelled" : message.error?.code ?? "unknown_error"
  return new DustAgentError({
    module: "Chat",
    method,
    message: `Chat.${method}: the agent ${message.configuration?.name ?? ""} ${
      cancelled ? "was cancelled" : `failed: ${message.error?.message ?? "the server did not say why"} (${code})`
    }`.replace("  ", " "),
    type: code,
    details: message.error ?? { status: message.status },
    attempts: 1,
    code,
    category: typeof category === "string" ? category : null,
    agentId: message.configuration?.sId ?? null,
    conversationId: run.conversationId,
    messageId: run.messageId
  }, { disableValidation: true })
}

/** A message may be at the server already, and not yet be seen in its conversation. */
const cancelLooks = [500, 2_000]

const rememberedMessages = 1024

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, Conversations | Agents> = Effect.gen(function*() {
  const conversations = yield* Conversations
  const agents = yield* Agents
  /** The messages that were sent here, and how many of each text are on their way to a conversation. */
  const sent = new Recent(rememberedMessages)
  const sending = new Map<string, number>()

  const resolveAgent = (method: string, agent: AgentRef): Effect.Effect<AgentId, RequestError> => {
    const name = typeof agent !== "string" ? agent.name : agent.startsWith("@") ? agent.slice(1) : undefined
    if (name !== undefined) return Effect.map(agents.findByName(name), (found) => found.sId)
    return typeof agent === "string" && agent.trim() !== ""
      ? Effect.succeed(agent)
      : Effect.fail(badInput(identity(method), "agent", "the id of an agent, or { name }", "a blank one"))
  }

  /** What is done for a run that nobody follows any more may take a moment, and must not take long. */
  const briefly = (warning: string) => (self: Effect.Effect<void, RequestError>): Effect.Effect<void> =>
    // In a child of its own, because a fiber that is being interrupted cannot limit anything in time.
    Effect.interruptible(self).pipe(
      Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => ({ message: "no answer within 10 seconds" }) }),
      Effect.catchAll((error) => Effect.logWarning(warning, error.message))
    )

  const cancel = (conversationId: ConversationId, messageIds: ReadonlyArray<MessageId>): Effect.Effect<void> =>
    messageIds.length === 0
      ? Effect.void
      : briefly("An abandoned run could not be cancelled")(conversations.cancel({ conversationId, messageIds }))

  /** Cancels what answers the messages that `mine` recognises. */
  const cancelAnswers = (
    conversationId: ConversationId,
    read: Effect.Effect<ReadonlyArray<Message>, RequestError>,
    mine: (message: UserMessage) => boolean
  ): Effect.Effect<void> =>
    read.pipe(
      Effect.flatMap((messages) => {
        const asked = new Set(
          messages.flatMap((message) => message.type === "user_message" && mine(message) ? [message.sId] : [])
        )
        return cancel(
          conversationId,
          messages.filter(isAgentMessage).filter((message) =>
            !isFinal(message) && message.parentMessageId !== null && asked.has(message.parentMessageId)
          ).map((message) => message.sId)
        )
      }),
      briefly("An abandoned run could not be looked for")
    )

  /**
   * Cancels what was started by a message of which it is not known yet whether it arrived: now, and a little later, when
   * the server has had the time to take it. Not while the same text is on its way again: then it could be either one.
   */
  const cancelUnknown = (conversationId: ConversationId, content: string, since: number): Effect.Effect<void> => {
    const look = cancelAnswers(
      conversationId,
      Effect.map(conversations.messagePage({ conversationId, limit: 20 }), ({ messages }) => messages),
      (message) =>
        message.content === content && message.created >= since && !sent.has(message.sId) &&
        !sending.has(sendingKey(conversationId, content))
    )
    return Effect.zipRight(
      look,
      Effect.forkDaemon(Effect.interruptible(
        Effect.forEach(cancelLooks, (pause) => Effect.zipRight(Effect.sleep(pause), look), { discard: true })
      ))
    )
  }

  const sendingKey = (conversationId: ConversationId, content: string) => `${conversationId}\n${content}`

  const counted = <A, E>(key: string, self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => sending.set(key, (sending.get(key) ?? 0) + 1)),
      () => self,
      () =>
        Effect.sync(() => {
          const others = (sending.get(key) ?? 1) - 1
          if (others === 0) sending.delete(key)
          else sending.set(key, others)
        })
    )

  /** Stops what a message has started; one that still waits for its turn is taken back. */
  const abandon = (
    conversationId: ConversationId,
    message: UserMessage,
    answers: ReadonlyArray<AgentMessage>
  ): Effect.Effect<void> =>
    answers.length > 0
      ? cancel(conversationId, answers.map((answer) => answer.sId))
      : message.visibility === "pending"
      ? Effect.zipRight(
        briefly("An abandoned message could not be taken back")(
          conversations.deleteMessage({ conversationId, messageId: message.sId })
        ),
        // Its turn may have come in between: then the newest versions are deleted ones, and what runs is behind them.
        cancelAnswers(
          conversationId,
          conversations.listMessages(conversationId, { allVersions: true, deleted: true }),
          ({ sId }) => sId === message.sId
        )
      )
      : Effect.void

  /** Sends the message, and finds out which agent message answers it. */
  const start = <E, R>(
    method: string,
    options: SendOptions<E, R>,
    ending: Ending
  ): Effect.Effect<Run, DustAPIError, Scope.Scope> =>
    Effect.gen(function*() {
      // What is wrong with the message has to be known before a conversation is made for it.
      if (typeof options.message !== "string" || options.message.trim() === "") {
        return yield* Effect.fail(badInput(identity(method), "message", "text that is not blank"))
      }
      yield* messageBody(identity(method), true, { ...options, content: options.message, mentions: [] })
      const agentId = yield* resolveAgent(method, options.agent)
      let { conversationId } = options
      if (conversationId === undefined) {
        const created = yield* conversations.create({
          title: options.title,
          spaceId: options.spaceId,
          contentFragments: options.attachments
        })
        conversationId = created.sId
      } else {
        for (const fragment of options.attachments ?? []) {
          yield* conversations.createContentFragment({ conversationId, fragment })
        }
      }
      const id = conversationId
      const leave = options.onInterrupt === "leave"
      const since = (yield* Clock.currentTimeMillis) - 3_000
      let answers: ReadonlyArray<AgentMessage> = []
      const { message } = yield* Effect.uninterruptibleMask((restore) =>
        counted(
          sendingKey(id, options.message),
          Effect.tap(
            restore(conversations.createMessage({
              conversationId: id,
              content: options.message,
              mentions: [{ configurationId: agentId }],
              context: options.context,
              modelSelection: options.modelSelection,
              skipToolsValidation: options.skipToolsValidation
            })),
            ({ agentMessages, message }) =>
              Effect.sync(() => {
                sent.add(message.sId)
                answers = agentMessages
              })
          )
        ).pipe(
          Effect.onInterrupt(() => leave ? Effect.void : cancelUnknown(id, options.message, since)),
          Effect.tap(({ message }) =>
            leave ? Effect.void : Effect.addFinalizer(() => ending.over ? Effect.void : abandon(id, message, answers))
          )
        )
      )
      if (answers.length === 0 && message.visibility === "pending") {
        answers = yield* answering({
          conversationId: id,
          messageId: message.sId,
          readConversation: conversations.get(id),
          events: conversations.events,
          notFound: noAnswer(method, agentId)
        })
      }
      const first = answers[0]
      if (first === undefined) return yield* Effect.fail(noAnswer(method, agentId))
      return { conversationId: id, message, messageId: first.sId, lastEventId: undefined }
    })

  const noAnswer = (method: string, agentId: AgentId) =>
    new DustNotFoundError({
      module: "Chat",
      method,
      message: `Chat.${method}: no agent answered: check that ${
        JSON.stringify(agentId)
      } is the id of an agent that this credential may use`,
      type: "agent_not_found",
      details: { agentId },
      attempts: 1
    }, { disableValidation: true })

  const handle = <E, R>(
    options: FollowOptions<E, R>,
    blocked: Blocked
  ): Effect.Effect<void, RequestError | E, R> | undefined => {
    const ref = { conversationId: blocked.conversationId, messageId: blocked.messageId, actionId: blocked.actionId }
    // Somebody else may have been quicker.
    const answered = <E2>(self: Effect.Effect<void, RequestError | E2, R>) =>
      Effect.catchIf(
        self,
        (error) => isActionNotBlocked(error),
        () => Effect.void
      )
    switch (blocked._tag) {
      case "ApprovalNeeded":
        return options.onApproval === undefined ? undefined : Effect.flatMap(
          options.onApproval(blocked),
          (approved) => answered(conversations.validateAction({ ...ref, approved }))
        )
      case "QuestionAsked":
        return options.onQuestion === undefined ? undefined : Effect.flatMap(
          options.onQuestion(blocked),
          (answer) => answered(conversations.answerQuestion({ ...ref, answer }))
        )
      case "AuthenticationNeeded":
        return undefined
    }
  }

  /** The events of a run that has been started, to its end. */
  const follow = <E, R>(
    method: string,
    options: FollowOptions<E, R>,
    started: (ending: Ending) => Effect.Effect<Run, DustAPIError, Scope.Scope>
  ): Stream.Stream<ChatEvent, DustAPIError | E, R> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      // What is wrong has to be known before anything is sent.
      yield* Either.mapLeft(
        Checks.duration("silence", options.silence ?? "30 minutes"),
        ({ expected, field }) => badInput(identity(method), field, expected)
      )
      const begun = yield* Clock.currentTimeMillis
      const ending: Ending = { over: false }
      const run = yield* started(ending)
      yield* Effect.annotateCurrentSpan({
        [Telemetry.attributes.conversationId]: run.conversationId,
        [Telemetry.attributes.messageId]: run.messageId
      })
      const narrator = new Narrator(run)
      const failure = yield* Deferred.make<never, RequestError | E>()
      const handlers = yield* FiberSet.make<void, never>()
      /** The actions whose handler is at work. */
      const asked = new Set<string>()
      // Closed before the handlers and before the run is cancelled.
      const upstream: Effect.Effect<Chunk.Chunk<AgentMessageEvent>, Option.Option<DustAPIError | E>> = yield* Stream
        .toPull(conversations.messageEvents({
          conversationId: run.conversationId,
          messageId: run.messageId,
          lastEventId: run.lastEventId,
          silence: options.silence
        }))
      const next = options.onApproval === undefined && options.onQuestion === undefined
        ? upstream
        : Effect.raceFirst(
          upstream,
          Effect.mapError(Deferred.await(failure), (error) => Option.some<DustAPIError | E>(error))
        )
      let first = true
      /** What comes after the events that were given out. */
      let end: Exit.Exit<never, Option.Option<DustAPIError | E>> | undefined

      const react = (event: Blocked): Effect.Effect<void, never, R> => {
        const handler = handle(options, event)
        if (handler === undefined) {
          if (options.whenBlocked === "fail") {
            end = Exit.fail(Option.some(streamError(
              identity(method),
              "waiting_for_human",
              `the run waits for a person (${event._tag})`,
              { lastEventId: event.eventId }
            )))
          }
          return Effect.void
        }
        asked.add(event.actionId)
        return Effect.asVoid(FiberSet.run(
          handlers,
          handler.pipe(
            Effect.catchAllCause((cause) =>
              Cause.isInterruptedOnly(cause) ? Effect.void : Deferred.failCause(failure, cause)
            ),
            Effect.ensuring(Effect.sync(() => asked.delete(event.actionId)))
          )
        ))
      }

      const firstText = Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => Metric.update(Telemetry.timeToFirstText, Duration.millis(now - begun))
      )

      const finish = (event: TerminalEvent | undefined, out: Array<ChatEvent>): Effect.Effect<void> =>
        finalMessage({ event, ref: run, getMessage: conversations.getMessage }).pipe(
          Effect.flatMap((message) => {
            ending.over = true
            return conclude(method, run, message, narrator, event?.eventId)
          }),
          Effect.match({
            onFailure: (error) => {
              end = Exit.fail(Option.some(error))
            },
            onSuccess: (last) => {
              out.push(...last)
              end = Exit.fail(Option.none())
            }
          })
        )

      const narrate = (chunk: Chunk.Chunk<AgentMessageEvent>): Effect.Effect<Chunk.Chunk<ChatEvent>, never, R> =>
        Effect.gen(function*() {
          const all: Array<ChatEvent> = []
          for (const event of chunk) narrator.push(event, all)
          const out: Array<ChatEvent> = []
          for (const event of all) {
            if (isBlocked(event)) {
              // A sub-agent's action may be announced twice: by an event, and by the list of what is blocked.
              if (asked.has(event.actionId)) continue
              out.push(event)
              yield* react(event)
              if (end !== undefined) return Chunk.unsafeFromArray(out)
            } else if (event._tag !== "Reset" || run.lastEventId === undefined) {
              out.push(event)
            }
          }
          if (first && out.some((event) => event._tag === "TextDelta")) {
            first = false
            yield* firstText
          }
          const last = Option.getOrUndefined(Chunk.last(chunk))
          // After a failed tool, the run may go on.
          if (last !== undefined && isTerminal(last) && last.type !== "tool_error") yield* finish(last, out)
          return Chunk.unsafeFromArray(out)
        })

      /** A stream that a failed tool has ended has no terminal event of its own. */
      const ended = Effect.suspend(() => {
        const out: Array<ChatEvent> = []
        return Effect.map(finish(undefined, out), () => Chunk.unsafeFromArray(out))
      })

      const pull: Effect.Effect<Chunk.Chunk<ChatEvent>, Option.Option<DustAPIError | E>, R> = Effect.suspend(() =>
        end ?? Effect.matchEffect(next, {
          onSuccess: narrate,
          onFailure: Option.match({
            onNone: () => ended,
            onSome: (error) => Effect.fail(Option.some(error))
          })
        })
      )
      const begin: ChatEvent = {
        _tag: "Started",
        eventId: undefined,
        conversationId: run.conversationId,
        message: run.message,
        messageId: run.messageId
      }
      return Stream.concat(Stream.make(begin), Stream.fromPull(Effect.succeed(pull)))
    }))

  const conclude = (
    method: string,
    run: Run,
    message: AgentMessage,
    narrator: Narrator,
    eventId: EventId | undefined
  ): Effect.Effect<ReadonlyArray<ChatEvent>, DustAgentError> => {
    if (message.status === "failed" || message.status === "cancelled") {
      return Effect.fail(agentError(method, run, message))
    }
    const text = message.content ?? ""
    const done: ChatEvent = {
      _tag: "Done",
      eventId,
      reply: {
        text,
        conversationId: run.conversationId,
        message: run.message,
        agentMessage: message,
        actions: message.actions,
        chainOfThought: message.chainOfThought,
        citations: citationsOf(message.actions),
        generatedFiles: message.actions.flatMap((action) => action.generatedFiles),
        handedOverTo: null
      }
    }
    // Who continues from an event has text that was never seen here.
    const complete = narrator.text === text && run.lastEventId === undefined
    return Effect.succeed(complete ? [done] : [{ _tag: "Reset", eventId: undefined, text }, done])
  }

  const observed = (agent: AgentRef | undefined) => ({
    kind: "client" as const,
    captureStackTrace: false,
    attributes: {
      [Telemetry.attributes.operationName]: "invoke_agent",
      [Telemetry.attributes.providerName]: "dust",
      ...(typeof agent === "string" ? { [Telemetry.attributes.agentId]: agent } : {})
    }
  })

  const streamAs = (method: string) =>
  <E = never, R = never>(
    options: SendOptions<E, R>
  ): Stream.Stream<ChatEvent, DustAPIError | E, R> =>
    Stream.withSpan(
      follow(method, options, (ending) => start(method, options, ending)),
      Telemetry.agentSpan,
      observed(options.agent)
    )

  const last = <E, R>(
    method: string,
    events: Stream.Stream<ChatEvent, DustAPIError | E, R>
  ): Effect.Effect<Reply, DustAPIError | E, R> =>
    Effect.flatMap(Stream.runLast(events), (event) =>
      Option.isSome(event) && event.value._tag === "Done"
        ? Effect.succeed(event.value.reply)
        : Effect.fail(streamError(identity(method), "ended", "the answer ended without a final message")))

  const send = <E = never, R = never>(options: SendOptions<E, R>) => last("send", streamAs("send")(options))

  const resume = <E = never, R = never>(options: ResumeOptions<E, R>) =>
    Stream.withSpan(
      follow(
        "resume",
        options,
        (ending) =>
          Effect.as(
            Effect.addFinalizer(() =>
              ending.over || options.onInterrupt === "leave"
                ? Effect.void
                : cancel(options.conversationId, [options.messageId])
            ),
            {
              conversationId: options.conversationId,
              message: undefined,
              messageId: options.messageId,
              lastEventId: options.lastEventId
            }
          )
      ),
      Telemetry.agentSpan,
      observed(undefined)
    )

  const session = <E0 = never, R0 = never>(options: SessionOptions<E0, R0>): Effect.Effect<Session<E0, R0>> =>
    Effect.sync(() => {
      const turns = Effect.unsafeMakeSemaphore(1)
      let conversationId = options.conversationId
      const run = <E, R>(method: string, turn: string | TurnOptions<E, R>) => {
        const send: SendOptions<E | E0, R | R0> = {
          ...options,
          ...(typeof turn === "string" ? { message: turn } : turn),
          agent: options.agent
        }
        const started = (ending: Ending) =>
          Effect.gen(function*() {
            if (conversationId === undefined) {
              const created = yield* conversations.create({ title: options.title, spaceId: options.spaceId })
              conversationId = created.sId
            }
            return yield* start(method, { ...send, conversationId }, ending)
          })
        return Stream.unwrapScoped(Effect.as(
          Effect.acquireRelease(Effect.interruptible(turns.take(1)), () => turns.release(1)),
          Stream.withSpan(follow(method, send, started), Telemetry.agentSpan, observed(options.agent))
        ))
      }
      return {
        conversationId: Effect.sync(() => Option.fromNullable(conversationId)),
        send: <E = never, R = never>(turn: string | TurnOptions<E, R>) =>
          last("session.send", run("session.send", turn)),
        stream: <E = never, R = never>(turn: string | TurnOptions<E, R>) => run("session.stream", turn),
        streamText: <E = never, R = never>(turn: string | TurnOptions<E, R>) => textOf(run("session.streamText", turn))
      }
    })

  return Chat.of({
    send,
    sendToAll: <E = never, R = never>({ agents, ...options }: SendToAllOptions<E, R>) =>
      Effect.forEach(agents, (agent) => send({ ...options, agent }), { concurrency: "unbounded" }),
    stream: streamAs("stream"),
    streamText: <E = never, R = never>(options: SendOptions<E, R>) => textOf(streamAs("streamText")(options)),
    resume,
    session
  })
})

const isBlocked = (event: ChatEvent): event is Blocked =>
  event._tag === "ApprovalNeeded" || event._tag === "QuestionAsked" || event._tag === "AuthenticationNeeded"

const isActionNotBlocked = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "type" in error && error.type === "action_not_blocked"

/** Text that can only grow, out of text that may be replaced. */
const textOf = <E, R>(events: Stream.Stream<ChatEvent, E, R>): Stream.Stream<string, E, R> =>
  Stream.suspend(() => {
    /** What has been given out, and what it should be by now. */
    let shown = ""
    let wanted = ""
    let together = true
    /** What should be is longer than what was given out, and does not begin with it: more of it changes nothing. */
    let apart = false
    const show = (out: Array<string>, final: boolean) => {
      if (wanted.startsWith(shown)) {
        if (wanted.length > shown.length) out.push(wanted.slice(shown.length))
        shown = wanted
        together = true
      } else if (final && !shown.endsWith(wanted)) {
        out.push(`\n\n${wanted}`)
        shown = wanted
      } else if (wanted.length >= shown.length) {
        apart = true
      }
    }
    return Stream.mapChunks(events, (chunk) => {
      const out: Array<string> = []
      for (const event of chunk) {
        if (event._tag === "TextDelta") {
          wanted += event.text
          if (together) {
            shown = wanted
            out.push(event.text)
          } else if (!apart) {
            show(out, false)
          }
        } else if (event._tag === "Reset") {
          wanted = event.text
          together = false
          apart = false
        } else if (event._tag === "Done") {
          wanted = event.reply.text
          show(out, true)
        }
      }
      return Chunk.unsafeFromArray(out)
    })
  })

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Chat, never, Conversations | Agents> = Layer.effect(Chat, make)
