/**
 * Ask an agent, have its answer.
 *
 * Every message is sent at most once, every answer arrives whole or fails with a reason, and interrupting the effect stops
 * the agent.
 *
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
import { makeAgentIds } from "./internal/chat/agentIds.ts"
import { anywhere } from "./internal/chat/anywhere.ts"
import { makeAbandoned } from "./internal/chat/cancelAbandoned.ts"
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
 * How to follow an answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface FollowOptions<E = never, R = never> {
  // Not by the name of its type, since a union of handlers could not be inferred then.
  /**
   * Decides on tools that need approval: an `Approvals.ApprovalHandler`. Without it the run waits until a person does
   * so in Dust.
   */
  readonly onApproval?: ((request: ApprovalNeeded) => Effect.Effect<Decision, E, R>) | undefined
  /**
   * Answers the agent's questions: an `Approvals.QuestionHandler`. Without it the run waits until a person does so in
   * Dust.
   */
  readonly onQuestion?: ((question: QuestionAsked) => Effect.Effect<UserAnswer, E, R>) | undefined
  /**
   * What to do when the run waits for a person and no handler is given: `wait`, for as long as it takes, or `fail`
   * with `DustStreamError` (`waiting_for_human`), whose `waitingFor` names the reason. The run goes on waiting: answer with
   * `Conversations.validateAction` or `answerQuestion`, and go on with {@link Service.resume}. Default `wait`.
   */
  readonly whenBlocked?: "wait" | "fail" | undefined
  /**
   * What to do with the run when its consumer stops (interruption, `Stream.take`, a lost race, a timeout, a consumer or a
   * handler that fails): `cancel` it on the server, or `leave` it running, for {@link Service.resume}. Leaving does not wait
   * for Dust: a fiber of the layer cancels the run, for up to 30 seconds, and logs a warning where it cannot. A failure to
   * follow the run, such as one of the network, never cancels it. Default `cancel`.
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
  /** Whom to ask. A name is looked up first, and remembered for a minute. */
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
  /** Run tools without asking for approval. Defaults to `false`. */
  readonly skipToolsValidation?: boolean | undefined
  /** As in `Conversations.createMessage`: what to do when it cannot be told whether the question is stored. Default `fail`. */
  readonly onUnconfirmed?: "fail" | "resend" | undefined
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
 * A question whose answer is not waited for.
 *
 * @category models
 * @since 0.2.0
 */
export interface StartOptions extends Omit<SendOptions, keyof FollowOptions> {
  readonly key?: undefined
}

/**
 * A question that is sent once for its key.
 *
 * @category models
 * @since 0.2.0
 */
export interface StartWithKeyOptions extends Omit<SendOptions, keyof FollowOptions> {
  /** Stands for this question, such as the id of the job that asks it. Not blank, and never used for another question. */
  readonly key: string
  /** Keeps what is known of the key. It has to be the same for all processes that use the key. */
  readonly store: KeyValueStore
  /**
   * How long a message that a process has sent before it died is looked for, from now on, before it is sent again. Default 70
   * seconds: a handler of Dust's server may be at work for a minute after its client is gone.
   */
  readonly settle?: Duration.DurationInput | undefined
}

/**
 * A question that was sent. It can be given to {@link Service.resume}.
 *
 * @category models
 * @since 0.2.0
 */
export interface Asked {
  readonly conversationId: ConversationId
  /** The agent message, which may still be written. */
  readonly messageId: MessageId
  /** The question. */
  readonly userMessageId: MessageId
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
   * with `DustAgentError` when the run fails or is cancelled elsewhere; with `DustStreamError` when its end cannot be
   * known; and with what the handlers fail with. Sent exactly once, whatever the network does; interrupted, the run is
   * cancelled.
   *
   * What it fails with after the question was stored has `conversationId`, `messageId` and what the run waits for, is not
   * `isRetryable`, and can be given to {@link Service.resume}: the run goes on.
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
   * Asks an agent and emits what happens, from {@link ChatEvent.Started} to {@link ChatEvent.Done}. Each event once and in
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
   * Asks an agent, and returns the ids before the answer: {@link Service.resume} follows it. The run goes on whatever becomes
   * of this process.
   *
   * With a `key`, the question is sent once and the same ids are returned at each call, also after the process was killed at
   * any step. The conversation and the newest message in it are stored before the message is sent. A later call that finds no
   * ids in the store looks behind that message for up to `settle`, and sends the question only if it is not there.
   *
   * The limits of a key: two calls in different processes must not run at the same time, because a `KeyValueStore` cannot
   * compare and set (in one process they wait for each other). A message that Dust stores later than `settle` after the
   * next call has begun is there twice. The store must have written an entry when `set` returns. A process that is killed may leave an empty
   * conversation behind, or send the attachments for a given conversation again. An equal message with the same
   * `username`, sent to the same conversation by others meanwhile, is a `DustUnconfirmedError` where both are found, and taken for
   * this one where it alone is.
   *
   * Credential: any. Fails as `Conversations.createMessage` does; with `DustNotFoundError` for a name that no agent has; with
   * `DustConflictError` when the key was used for another question (`key_reused`) or its entry is not readable
   * (`key_unreadable`); and with the errors of the store.
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
   * Continues to follow an answer that was asked for elsewhere, such as in a process that is gone, or whose stream has failed:
   * from its ids, or from the error. Approvals and questions that are still open come again.
   *
   * Credential: any. Nothing is sent, so nothing can be doubled. Errors as for `Conversations.messageEvents`
   * (`DustNotFoundError` for an unknown message), and `DustAgentError` when the run has failed. An error without ids, or of
   * another workspace, is a `DustBadRequestError` before any request. Stopped early, the run is cancelled.
   *
   * @example
   * ```ts
   * import { Chat } from "effect-dust/Chat"
   * import { Effect, Option, Stream } from "effect"
   *
   * // What the first process has stored of `Started`, and of the last event that it has handled.
   * const rest = (place: { conversationId: string; messageId: string; lastEventId?: string }) =>
   *   Stream.unwrap(Effect.map(Chat, (chat) => chat.resume(place)))
   *
   * // Once more from where the network broke down.
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
 * One conversation with one agent, turn by turn. Turns that are asked for at the same time wait for each other: the next one
 * begins when the answer before it has ended, whether that was consumed or not. A turn that a handler of a turn asks for would
 * wait for itself: it fails with `DustConflictError` (`turn_in_handler`). `E0` and `R0` are those of the session's own handlers.
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
  onConversation?: (id: ConversationId) => void
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
        telemetry.sending()
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
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, Conversations | Agents | DustClient | Scope.Scope> = Effect.gen(
  function*() {
    const conversations = yield* Conversations
    const client = yield* DustClient
    const context: Asking = {
      owner: client.config,
      conversations,
      abandoned: yield* makeAbandoned(conversations),
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
 * When it is closed, it waits up to two seconds for runs that are being cancelled.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Chat, never, Conversations | Agents | DustClient> = Layer.scoped(
  Chat,
  Effect.map(make, withCallSites)
)
