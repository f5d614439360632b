/**
 * Sends a message to an agent and receives its reply: as a whole, as a stream, or in a session.
 *
 * Every message is stored at most once, every answer arrives complete or fails with a typed error, and interrupting the effect
 * stops the agent.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ModelSelection } from "./Agent.ts"
import { Agents } from "./Agents.ts"
import type { Decision } from "./Approvals.ts"
import type { ApprovalNeeded, ChatEvent, QuestionAsked, Reply } from "./ChatEvent.ts"
import type { UserAnswer } from "./Conversation.ts"
import { type ContentFragmentInput, Conversations, type MessageContext } from "./Conversations.ts"
import { type DustAPIError, isDustAPIError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import type { AgentId, ConversationId, EventId, MessageId, SpaceId } from "./Ids.ts"
import { makeAbandoned } from "./internal/chat/abandoned.ts"
import { makeAgentIds } from "./internal/chat/agentIds.ts"
import { anywhere } from "./internal/chat/anywhere.ts"
import { Attached } from "./internal/chat/conversationOf.ts"
import { follow } from "./internal/chat/follow.ts"
import { identity } from "./internal/chat/identity.ts"
import { resumed } from "./internal/chat/resume.ts"
import { Turns } from "./internal/chat/session.ts"
import { type Context as Asking, start } from "./internal/chat/start.ts"
import { makeStarts } from "./internal/chat/starts.ts"
import { textOf } from "./internal/chat/text.ts"
import { withCallSites } from "./internal/request/callSite.ts"
import { streamError } from "./internal/request/errors.ts"
import { runLast } from "./internal/stream/pulled.ts"

/**
 * An agent: by id (`dust`, `0ec9852c2f`), or by name (`{ name: "Support" }`, `@Support`).
 *
 * @category models
 * @since 0.1.0
 */
export type AgentRef = AgentId | { readonly name: string }

/**
 * Options to follow an answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface FollowOptions<E = never, R = never> {
  // Not by the name of its type, since a union of handlers could not be inferred then.
  /**
   * Decides on tools that require approval: an `Approvals.ApprovalHandler`. Without it, the run waits until a person decides in
   * Dust.
   */
  readonly onApproval?: ((request: ApprovalNeeded) => Effect.Effect<Decision, E, R>) | undefined
  /**
   * Answers the agent's questions: an `Approvals.QuestionHandler`. Without it, the run waits until a person answers in Dust.
   */
  readonly onQuestion?: ((question: QuestionAsked) => Effect.Effect<UserAnswer, E, R>) | undefined
  /**
   * What to do if the run waits for a person and there is no handler: `wait` for as long as it takes, or `fail` with
   * `DustStreamError` (`waiting_for_human`), whose `waitingFor` has the reason. The run continues to wait: answer with
   * `Conversations.validateAction` or `answerQuestion`, and continue with {@link Service.resume}. Defaults to `wait`.
   */
  readonly whenBlocked?: "wait" | "fail" | undefined
  /**
   * What to do with the run if its consumer stops (interruption, `Stream.take`, a lost race, a timeout, a consumer or a handler
   * that fails): `cancel` it on the server, or `leave` it running for {@link Service.resume}. The consumer does not wait for the
   * cancellation: a fiber of the layer cancels the run within 30 seconds, and logs a warning on failure. Failures to follow the
   * run, such as network failures, never cancel it. Defaults to `cancel`.
   */
  readonly onInterrupt?: "cancel" | "leave" | undefined
  /** Fails if the run emits no event for this long, unless it waits for a person. Defaults to 30 minutes. */
  readonly silence?: Duration.DurationInput | undefined
}

/**
 * A question to an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendOptions<E = never, R = never> extends FollowOptions<E, R> {
  /** The agent to ask. A name is looked up and cached for a minute. */
  readonly agent: AgentRef
  /** The text of the message. Must not be blank. */
  readonly message: string
  /** The conversation to send the message to. Defaults to a new one. */
  readonly conversationId?: ConversationId | undefined
  /** The title of the new conversation. Defaults to one that Dust generates. */
  readonly title?: string | undefined
  /** The space of the new conversation. */
  readonly spaceId?: SpaceId | undefined
  /**
   * Attachments of the message: text, uploaded files (`File.contentFragment`), nodes of data sources. In an existing
   * conversation they are posted before the message. If the message is refused, they stay there, and asking again on the same
   * layer does not post them again.
   */
  readonly attachments?: ReadonlyArray<ContentFragmentInput> | undefined
  /** Author and origin of the message. All fields are optional. */
  readonly context?: MessageContext | undefined
  /** A model to use instead of the agent's. */
  readonly modelSelection?: ModelSelection | undefined
  /** Run tools without asking for approval. Defaults to `false`. */
  readonly skipToolsValidation?: boolean | undefined
  /** What to do if the message may or may not be stored, as in `Conversations.createMessage`. Defaults to `fail`. */
  readonly onUnconfirmed?: "fail" | "resend" | undefined
}

/**
 * The same message for several agents, each in a separate conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendToAllOptions<E = never, R = never> extends Omit<SendOptions<E, R>, "agent" | "conversationId"> {
  readonly agents: ReadonlyArray<AgentRef>
}

/**
 * A message to send without waiting for the answer.
 *
 * @category models
 * @since 0.2.0
 */
export interface StartOptions extends Omit<SendOptions, keyof FollowOptions> {
  readonly key?: undefined
}

/**
 * A message that is sent once per key.
 *
 * @category models
 * @since 0.2.0
 */
export interface StartWithKeyOptions extends Omit<SendOptions, keyof FollowOptions> {
  /** Identifies the question, such as the id of a job. Must not be blank, and must not be used for another question. */
  readonly key: string
  /** Stores the state of the key. All processes that use the key must share it. */
  readonly store: KeyValueStore
  /**
   * How long to look for the message of a process that died while sending, before it is sent again. Defaults to 70 seconds,
   * because Dust's server may take a minute to store a message whose client is gone.
   */
  readonly settle?: Duration.DurationInput | undefined
}

/**
 * A sent question. Pass it to {@link Service.resume}.
 *
 * @category models
 * @since 0.2.0
 */
export interface Asked {
  readonly conversationId: ConversationId
  /** The agent message, which may be in progress. */
  readonly messageId: MessageId
  /** The user message. */
  readonly userMessageId: MessageId
}

/**
 * The answer to continue.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResumeOptions<E = never, R = never> extends FollowOptions<E, R> {
  readonly conversationId: ConversationId
  /** The agent message: `messageId` of {@link ChatEvent.Started}. */
  readonly messageId: MessageId
  /** The `eventId` of the last handled event. By default, begins with the oldest event that Dust still has. */
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
 * Options of a session, which apply to all its turns.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionOptions<E = never, R = never> extends FollowOptions<E, R> {
  readonly agent: AgentRef
  /** The conversation to continue. Defaults to a new one, created by the first turn. */
  readonly conversationId?: ConversationId | undefined
  /** The title of the new conversation. Defaults to one that Dust generates. */
  readonly title?: string | undefined
  /** The space of the new conversation. */
  readonly spaceId?: SpaceId | undefined
  /** Used for turns without a context of their own. */
  readonly context?: MessageContext | undefined
}

/**
 * The methods of {@link Chat}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * Asks an agent and waits for its complete answer. `text` is the final text as Dust stores it, not a concatenation of the
   * streamed pieces. The message is stored at most once. Interruption cancels the run.
   *
   * Accepts any credential. Fails with the errors of `Conversations.createMessage`; with `DustNotFoundError` for an unknown
   * name and `DustBadRequestError` (`agent_inaccessible`) for an unknown or disabled id; with `DustAgentError` if the run fails
   * or is cancelled elsewhere; with `DustStreamError` if the run cannot be followed to its end; and with the errors of the
   * handlers.
   *
   * Errors after the message is stored have `conversationId`, `messageId` and what the run waits for. They are not
   * `isRetryable`; pass them to {@link Service.resume} to continue.
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
   * Asks several agents concurrently, each in a separate conversation, and returns their replies in the order of `agents`. The
   * first failure cancels the others. Credential and errors as for `send`.
   */
  readonly sendToAll: <E = never, R = never>(
    options: SendToAllOptions<E, R>
  ) => Effect.Effect<ReadonlyArray<Reply>, DustAPIError | NoInfer<E>, NoInfer<R>>
  /**
   * Asks an agent and streams the events of its answer, from {@link ChatEvent.Started} to {@link ChatEvent.Done}, each once and
   * in order across reconnections. Stopping early cancels the run. Credential and errors as for `send`.
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
   * Asks an agent and streams the text of its answer. The pieces, put together, end with the final text; text before a
   * tool call precedes it. If the pieces shown so far cannot become the final text, because events were lost or the agent
   * started over, the final text follows whole after a blank line. Stopping early cancels the run. Credential and errors
   * as for `send`.
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
   * Asks an agent and returns the ids before the answer; follow it with {@link Service.resume}. The run continues if this process
   * ends.
   *
   * With a `key`, sends the question once and returns the same ids for each call, even if processes are killed at any step.
   * Before sending, it stores the conversation and its newest message. A later call that finds no ids in the store looks for
   * the message after that one for up to `settle`, and sends it only if it is not there.
   *
   * Limits of a key: two processes must not use it at the same time, because a `KeyValueStore` has no compare-and-set; calls in
   * one process wait for each other. A message that Dust stores later than `settle` after the start of the next call is stored
   * twice. `set` of the store must be durable when it returns. A killed process may leave an empty conversation, or attach the
   * attachments twice. An equal message of the same `username` in the same conversation leads to `DustUnconfirmedError` if both
   * are stored, and is adopted if only the other one is.
   *
   * Accepts any credential. Fails with the errors of `Conversations.createMessage`; with `DustNotFoundError` for an unknown name;
   * with `DustConflictError` if the key was used for another question (`key_reused`) or its entry is invalid (`key_unreadable`);
   * with `DustTimeoutError` if the store does not answer within 30 seconds, or within the `total` of the call; and with the
   * errors of the store.
   *
   * @example
   * ```ts
   * import { KeyValueStore } from "@effect/platform"
   * import { Chat } from "effect-dust/Chat"
   * import { Effect, Stream } from "effect"
   *
   * // Run again with the same order after a crash, it follows the same answer.
   * const report = (orderId: string) =>
   *   Effect.gen(function*() {
   *     const chat = yield* Chat
   *     const store = yield* KeyValueStore.KeyValueStore
   *     const asked = yield* chat.start({ agent: "dust", message: `Check order ${orderId}`, key: `check-${orderId}`, store })
   *     return yield* Stream.runLast(chat.resume({ ...asked, onInterrupt: "leave" }))
   *   })
   * ```
   */
  readonly start: {
    (options: StartWithKeyOptions): Effect.Effect<Asked, DustAPIError | PlatformError>
    (options: StartOptions): Effect.Effect<Asked, DustAPIError>
  }
  /**
   * Continues to follow an answer, from its ids or from the error of a failed stream: in the same process or in another one.
   * Sends no message. Open approvals and questions are emitted again. Stopping early cancels the run.
   *
   * Accepts any credential. Fails with the errors of `Conversations.messageEvents` (`DustNotFoundError` for an unknown message),
   * with `DustAgentError` if the run has failed, and with `DustBadRequestError` before any request for an error without ids or of
   * another workspace.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Effect, Option, Stream } from "effect"
   *
   * // Stored by the first process, from `Started` and from the last event that it handled.
   * const rest = (place: { conversationId: string; messageId: string; lastEventId?: string }) =>
   *   Stream.unwrap(Effect.map(Chat, (chat) => chat.resume(place)))
   *
   * // Continues once after a failure.
   * const persistent = Effect.gen(function*() {
   *   const chat = yield* Chat
   *   return yield* chat.send({ agent: "dust", message: "What changed this week?" }).pipe(
   *     Effect.catchTag("DustStreamError", (error) =>
   *       Effect.flatMap(Stream.runLast(chat.resume(error)), (last) =>
   *         Option.isSome(last) && last.value._tag === "Done" ? Effect.succeed(last.value.reply) : Effect.fail(error)))
   *   )
   * })
   * ```
   */
  readonly resume: {
    <E = never, R = never>(
      options: ResumeOptions<E, R>
    ): Stream.Stream<ChatEvent, DustAPIError | NoInfer<E>, NoInfer<R>>
    <E = never, R = never>(
      error: DustAPIError,
      options?: FollowOptions<E, R>
    ): Stream.Stream<ChatEvent, DustAPIError | NoInfer<E>, NoInfer<R>>
  }
  /**
   * Creates a session: a conversation with one agent, turn by turn. Makes no request by itself; the first turn creates the
   * conversation.
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
 * A conversation with one agent, turn by turn. Concurrent turns wait for each other: the next one begins when the
 * previous answer has ended, whether or not it was consumed. A turn started by a handler of the current turn would wait
 * for itself, and fails with `DustConflictError` (`turn_in_handler`). `E0` and `R0` are those of the session's
 * handlers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session<E0 = never, R0 = never> {
  /** `None` before the first turn, which starts the conversation. */
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
 * The tag of the service: `yield* Chat` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Chat extends Context.Tag("effect-dust/Chat")<Chat, Service>() {}

/** The reply of a stream that is read to its end. */
const replyOf = <E, R>(
  method: string,
  events: Stream.Stream<ChatEvent, DustAPIError | E, R>
): Effect.Effect<Reply, DustAPIError | E, R> =>
  // As a whole: where a stream is run in an uninterruptible region, its fiber cannot be interrupted.
  Effect.flatMap(anywhere(runLast(events)), (event) =>
    Option.isSome(event) && event.value._tag === "Done"
      ? Effect.succeed(event.value.reply)
      : Effect.fail(streamError(identity(method), "ended", "the answer ended without a final message")))

/** One question, as a stream. */
const asking = (context: Asking) =>
<E, R>(
  method: string,
  options: SendOptions<E, R>,
  onConversation?: (id: ConversationId | undefined) => void
): Stream.Stream<ChatEvent, DustAPIError | E, R> =>
  follow({
    conversations: context.conversations,
    method,
    options,
    run: {
      agent: options.agent,
      model: options.modelSelection?.modelId,
      owner: context.owner,
      serverIds: options.context?.clientSideMCPServerIds
    },
    started: (ending, telemetry) =>
      start(context, method, options, ending, (id) => {
        if (id !== undefined) telemetry.sending()
        onConversation?.(id)
      })
  })

const makeSession =
  (context: Asking) => <E0 = never, R0 = never>(options: SessionOptions<E0, R0>): Effect.Effect<Session<E0, R0>> =>
    Effect.sync(() => {
      const turns = new Turns()
      let conversationId = options.conversationId
      const take = <E, R>(method: string, turn: string | TurnOptions<E, R>) => {
        const question: SendOptions<E | E0, R | R0> = {
          ...options,
          ...(typeof turn === "string" ? { message: turn } : turn),
          agent: options.agent
        }
        return turns.take(
          method,
          question,
          (handlers) =>
            Stream.suspend(() =>
              asking(context)(method, { ...question, ...handlers, conversationId }, (id) => {
                conversationId = id
              })
            )
        )
      }
      return {
        conversationId: Effect.sync(() => Option.fromNullable(conversationId)),
        send: <E = never, R = never>(turn: string | TurnOptions<E, R>) =>
          replyOf("session.send", take("session.send", turn)),
        stream: <E = never, R = never>(turn: string | TurnOptions<E, R>) => take("session.stream", turn),
        streamText: <E = never, R = never>(turn: string | TurnOptions<E, R>) => textOf(take("session.streamText", turn))
      }
    })

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, Conversations | Agents | DustClient | Scope.Scope> = Effect.gen(
  function*() {
    const conversations = yield* Conversations
    const client = yield* DustClient
    const context: Asking = {
      owner: client.config,
      client,
      conversations,
      abandoned: yield* makeAbandoned({
        cancel: (options) => conversations.cancel(options),
        deleteMessage: (ref) => conversations.deleteMessage(ref),
        deleteConversation: (conversationId) => conversations.delete({ conversationId, force: true }),
        allMessages: (id) => conversations.listMessages(id, { allVersions: true, deleted: true })
      }),
      attached: new Attached(),
      agentId: makeAgentIds(yield* Agents, client.caller),
      workspaceId: Effect.map(client.caller, ({ workspaceId }) => workspaceId)
    }
    const ask = asking(context)
    const send = <E = never, R = never>(options: SendOptions<E, R>) => replyOf("send", ask("send", options))
    const resume = <E = never, R = never>(
      place: ResumeOptions<E, R> | DustAPIError,
      more: FollowOptions<E, R> = {}
    ): Stream.Stream<ChatEvent, DustAPIError | E, R> => {
      const options = isDustAPIError(place) ? more : place
      return follow({
        conversations,
        method: "resume",
        options,
        run: { agent: undefined, model: undefined, owner: context.owner, serverIds: undefined },
        started: (ending) => resumed(context, place, options.onInterrupt, ending)
      })
    }
    const starts = makeStarts(context)
    function startOne(options: StartWithKeyOptions): Effect.Effect<Asked, DustAPIError | PlatformError>
    function startOne(options: StartOptions): Effect.Effect<Asked, DustAPIError>
    function startOne(options: StartOptions | StartWithKeyOptions): Effect.Effect<Asked, DustAPIError | PlatformError> {
      return options.key === undefined ? starts.plain(options) : starts.once(options)
    }
    return Chat.of({
      send,
      sendToAll: <E = never, R = never>({ agents, ...options }: SendToAllOptions<E, R>) =>
        Effect.forEach(agents, (agent) => send({ ...options, agent }), { concurrency: "unbounded" }),
      stream: <E = never, R = never>(options: SendOptions<E, R>) => ask("stream", options),
      streamText: <E = never, R = never>(options: SendOptions<E, R>) => textOf(ask("streamText", options)),
      start: startOne,
      resume,
      session: makeSession(context)
    })
  }
)

/**
 * Closing it waits up to two seconds for runs that are being cancelled.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Chat, never, Conversations | Agents | DustClient> = Layer.scoped(
  Chat,
  Effect.map(make, withCallSites)
)
