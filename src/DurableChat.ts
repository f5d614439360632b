/**
 * Runs an agent as a step of a workflow of `@effect/workflow`, so that its answer survives the process and the machine.
 *
 * Requires the optional peer `@effect/workflow` (0.19); import it from its own path. With `ClusterWorkflowEngine` of
 * `@effect/cluster`, a workflow continues on another machine; with `WorkflowEngine.layerMemory`, it ends with its process.
 *
 * ```ts
 * import * as DurableChat from "effect-dust/DurableChat"
 * import { Effect } from "effect"
 *
 * // In any process: asks once per key and waits. Executed again with the same key, it returns the same answer.
 * const report = DurableChat.Ask.execute({ key: "order-42", agent: "dust", message: "Check order 42" }).pipe(
 *   Effect.map((answer) => answer.text)
 * )
 * ```
 *
 * - The question is sent once (`Chat.start` with a key): if a process dies, the next one finds the message.
 * - The answer is followed from a stored cursor. The run at Dust continues without the process.
 * - A tool that requires approval, or a question of the agent, suspends the workflow until a person answers from any process
 *   ({@link approve}, {@link reply}) or in Dust, or until the time limit.
 * - A workflow that fails or is interrupted cancels the run.
 *
 * All machines must share one `KeyValueStore`, such as `SqlKeyValueStore` in the database of the cluster.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Activity from "@effect/workflow/Activity"
import * as DurableClock from "@effect/workflow/DurableClock"
import * as DurableDeferred from "@effect/workflow/DurableDeferred"
import * as Workflow from "@effect/workflow/Workflow"
import { type WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Chat, type StartWithKeyOptions } from "./Chat.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import { UserAnswer } from "./Conversation.ts"
import { Conversations } from "./Conversations.ts"
import { DustAPIError } from "./DustAPIError.ts"
import { ActionId, AgentId, ConversationId, MessageId, SpaceId } from "./Ids.ts"
import { followedMessage, followToOutcome } from "./internal/durable/follow.ts"
import { Answer, approvalFields, Outcome, questionFields } from "./internal/durable/outcome.ts"
import { persistently } from "./internal/durable/persist.ts"

export { Answer, Outcome } from "./internal/durable/outcome.ts"

/**
 * The ids of a question.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Asked = Schema.Struct({
  conversationId: ConversationId,
  /** The agent message that answers. */
  messageId: MessageId,
  userMessageId: MessageId
})

/** @category models @since 0.2.0 */
export interface Asked extends Schema.Schema.Type<typeof Asked> {}

/**
 * The decision on a tool that waits for approval.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Decision = Schema.Literal("approved", "rejected", "always_approved")

/** @category models @since 0.2.0 */
export type Decision = typeof Decision.Type

const waitingFields = {
  /** For {@link approve} or {@link reply}, in any process. */
  token: DurableDeferred.Token,
  executionId: Schema.String,
  /** The time until which an answer is awaited, in epoch milliseconds. */
  until: Schema.Number
}

/**
 * The reason why a workflow waits: the approval of a tool, or the answer to a question.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Waiting = Schema.Union(
  Schema.TaggedStruct("Approval", { ...approvalFields, ...waitingFields }),
  Schema.TaggedStruct("Question", { ...questionFields, ...waitingFields })
)

/** @category models @since 0.2.0 */
export type Waiting = typeof Waiting.Type

const agent = Schema.Union(AgentId, Schema.Struct({ name: Schema.String }))

/**
 * Options of a question in a workflow.
 *
 * @category models
 * @since 0.2.0
 */
export interface AskOptions<R = never> extends Omit<StartWithKeyOptions, "key" | "store"> {
  /** Identifies a question within its workflow. Defaults to `ask`. */
  readonly name?: string | undefined
  /**
   * How long to wait for a person. After that, the tool is rejected, or the question is answered with a text that there was no
   * answer, and the agent continues. Defaults to 7 days; `Duration.infinity` waits for as long as it takes.
   */
  readonly limit?: Duration.DurationInput | undefined
  /**
   * When a waiting workflow first checks for an answer in Dust. The interval doubles with each check, up to a day, because every
   * check is stored. Defaults to 10 minutes; at least 1 second.
   */
  readonly recheck?: Duration.DurationInput | undefined
  /** How long to retry failures of the network and of Dust before the workflow fails. Defaults to 1 day. */
  readonly patience?: Duration.DurationInput | undefined
  /** Called when the workflow begins to wait, for example to send the token to a person; again if the process dies meanwhile. */
  readonly onWaiting?: ((waiting: Waiting) => Effect.Effect<void, never, R>) | undefined
  /** Called with every event of the answer; with the last ones again after a process has died. */
  readonly onEvent?: ((event: ChatEvent) => Effect.Effect<void, never, R>) | undefined
}

type Durable = WorkflowEngine | WorkflowInstance

const execution = Effect.map(WorkflowInstance, ({ executionId }) => executionId)

const entryOf = (executionId: string, name: string, what: "cursor" | "waiting") =>
  `effect-dust/durable/${executionId}/${name}/${what}`

/** The last moment that a date has: a limit without end is not a number in JSON. */
const endOfTime = 8.64e15

/** Twice as long each time, until it is a day. */
const untilNextLook = (recheck: Duration.DurationInput, looks: number): Duration.Duration => {
  const first = Duration.max(recheck, "1 second")
  return Duration.min(Duration.times(first, 2 ** looks), Duration.max(first, "1 day"))
}

const defaults = {
  name: "ask",
  limit: Duration.days(7),
  recheck: Duration.minutes(10),
  patience: Duration.days(1)
}

/**
 * An activity that creates a conversation. A process that dies before it stores the id leaves an empty conversation.
 *
 * @category activities
 * @since 0.2.0
 */
export const create = (
  options: { readonly name?: string | undefined; readonly title?: string | undefined; readonly spaceId?: SpaceId } = {}
): Effect.Effect<ConversationId, DustAPIError, Conversations | Durable> =>
  Activity.make({
    name: `${options.name ?? "create"}/conversation`,
    success: ConversationId,
    error: DustAPIError,
    execute: Effect.flatMap(Conversations, (conversations) =>
      conversations.create({ title: options.title, spaceId: options.spaceId })).pipe(
        Effect.map(({ sId }) =>
          sId
        ),
        persistently(defaults.patience)
      )
  })

/**
 * An activity that sends a question once, and returns its ids before the answer; see `Chat.start` for the limits.
 *
 * @category activities
 * @since 0.2.0
 */
export const send = (
  { name = defaults.name, patience = defaults.patience, ...question }:
    & Pick<AskOptions, "name" | "patience">
    & Omit<StartWithKeyOptions, "key" | "store">
): Effect.Effect<Asked, DustAPIError, Chat | KeyValueStore | Durable> =>
  Effect.flatMap(execution, (executionId) =>
    Activity.make({
      name: `${name}/send`,
      success: Asked,
      error: DustAPIError,
      execute: Effect.gen(function*() {
        const chat = yield* Chat
        const store = yield* KeyValueStore
        return yield* chat.start({ ...question, key: `${executionId}/${name}`, store }).pipe(persistently(patience))
      })
    }))

/**
 * An activity that follows an answer until it ends or waits for a person. `round` numbers the rounds of one answer. Also waits for
 * sign-ins that a tool requires, which are possible only in Dust.
 *
 * @category activities
 * @since 0.2.0
 */
export const follow = <R = never>(
  options: Pick<Asked, "conversationId" | "messageId"> & Pick<AskOptions<R>, "name" | "patience" | "onEvent"> & {
    readonly round?: number | undefined
  }
): Effect.Effect<Outcome, DustAPIError, Chat | KeyValueStore | R | Durable> =>
  Effect.flatMap(execution, (executionId) => {
    const name = options.name ?? defaults.name
    return Activity.make({
      name: `${name}/follow/${options.round ?? 0}`,
      success: Outcome,
      error: DustAPIError,
      execute: Effect.gen(function*() {
        const chat = yield* Chat
        const store = yield* KeyValueStore
        return yield* followToOutcome({
          chat,
          store,
          entry: entryOf(executionId, name, "cursor"),
          conversationId: options.conversationId,
          messageId: options.messageId,
          onEvent: options.onEvent
        }).pipe(persistently(options.patience ?? defaults.patience))
      })
    })
  }) as Effect.Effect<Outcome, DustAPIError, Chat | KeyValueStore | R | Durable>

/** It was answered before, in Dust or by an attempt whose result was lost. */
const isSettled = (error: DustAPIError) => error.type === "action_not_blocked"

/**
 * An activity that sends a decision, or the answer to a question, to Dust. Has no effect if it is answered already.
 *
 * @category activities
 * @since 0.2.0
 */
export const react = (
  options:
    & Pick<Waiting, "actionId" | "conversationId" | "messageId">
    & Pick<AskOptions, "name" | "patience">
    & { readonly reaction: Decision | UserAnswer }
): Effect.Effect<void, DustAPIError, Conversations | Durable> => {
  const { actionId, conversationId, messageId, name = defaults.name, reaction } = options
  return Activity.make({
    name: `${name}/react/${actionId}`,
    error: DustAPIError,
    execute: Effect.flatMap(
      Conversations,
      (conversations): Effect.Effect<unknown, DustAPIError> =>
        typeof reaction === "string"
          ? conversations.validateAction({ conversationId, messageId, actionId, approved: reaction })
          : conversations.answerQuestion({ conversationId, messageId, actionId, answer: reaction })
    ).pipe(
      persistently(options.patience ?? defaults.patience),
      Effect.catchIf(isSettled, () => Effect.void),
      Effect.asVoid
    )
  })
}

/**
 * Cancels the run of an answer. Never fails; a failure to cancel is logged. Use {@link withCancel} as a compensation: it does not
 * cancel the run if only the process stops.
 *
 * @category activities
 * @since 0.2.0
 */
export const cancel = (
  { conversationId, messageId, name = defaults.name }: Pick<Asked, "conversationId" | "messageId"> & {
    readonly name?: string | undefined
  }
): Effect.Effect<void, never, Conversations | KeyValueStore | WorkflowInstance> =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const current = yield* followedMessage(
      yield* KeyValueStore,
      entryOf(yield* execution, name, "cursor"),
      messageId
    )
    yield* conversations.cancel({ conversationId, messageIds: [current] })
  }).pipe(
    persistently("1 minute"),
    Effect.catchAllCause((cause) =>
      Effect.annotateLogs(Effect.logWarning("The run of a failed workflow could not be cancelled", cause), {
        conversationId
      })
    )
  )

/**
 * Cancels the run of a sent question if the workflow fails or is interrupted. A runner that stops, or hands the workflow over to
 * another one, does not cancel the run: the workflow continues elsewhere.
 *
 * @category activities
 * @since 0.2.0
 */
export const withCancel =
  (options: { readonly name?: string | undefined } = {}) =>
  <A extends Pick<Asked, "conversationId" | "messageId">, E, R>(
    self: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R | Conversations | KeyValueStore | WorkflowInstance | Scope.Scope> =>
    Workflow.withCompensation(
      self,
      ({ conversationId, messageId }, cause) =>
        Effect.flatMap(WorkflowInstance, ({ interrupted }) =>
          Cause.isInterruptedOnly(cause) && !interrupted
            ? Effect.void
            : cancel({ conversationId, messageId, name: options.name }))
    )

const Reaction = Schema.Union(Decision, UserAnswer)

const deferredOf = (name: string, actionId: ActionId) =>
  DurableDeferred.make(`${name}/reaction/${actionId}`, { success: Reaction })

/** Calls `onWaiting` once, and stores the reason for {@link waitingFor}. */
const announce = <R>(name: string, waiting: Waiting, onWaiting: AskOptions<R>["onWaiting"]) =>
  Activity.make({
    name: `${name}/announce/${waiting.actionId}`,
    execute: Effect.gen(function*() {
      const store = yield* KeyValueStore
      const text = yield* Effect.orDie(Schema.encode(Schema.parseJson(Waiting))(waiting))
      yield* persistently(defaults.patience)(store.set(entryOf(waiting.executionId, name, "waiting"), text))
      if (onWaiting !== undefined) yield* onWaiting(waiting)
    }).pipe(Effect.orDie)
  })

const noAnswer: UserAnswer = { selectedOptions: [], customResponse: "Nobody answered in time." }

const Waited = Schema.Union(Reaction, Schema.Literal("elapsed"))

/** Always by the stored clock: a sleeping activity would keep the workflow from noticing a reaction. */
const durableSleep = (name: string, duration: Duration.Duration): Effect.Effect<void, never, Durable> =>
  DurableClock.sleep({ name, duration, inMemoryThreshold: "0 millis" })

/** Waits for a reaction, or for a while. */
const reactionWithin = (name: string, waiting: Waiting, round: number, duration: Duration.Duration) => {
  const reaction: Effect.Effect<typeof Waited.Type, never, Durable> = DurableDeferred.await(
    deferredOf(name, waiting.actionId)
  )
  const clock: Effect.Effect<typeof Waited.Type, never, Durable> = Effect.as(
    durableSleep(`${name}/clock/${waiting.actionId}/${round}`, duration),
    "elapsed" as const
  )
  return DurableDeferred.raceAll({
    name: `${name}/wait/${waiting.actionId}/${round}`,
    success: Waited,
    error: Schema.Never,
    effects: [reaction, clock]
  })
}

/**
 * Asks an agent in a workflow and returns its answer: {@link send}, {@link follow}, waits for people, and {@link withCancel} as
 * compensation. Use it directly in a workflow, not within an activity.
 *
 * Fails with permanent errors of `Chat.start` and `Chat.resume`, such as `DustAgentError`; other errors are retried for `patience`.
 * Sends the message once, within the limits of a key of `Chat.start`. The engine must not run one execution in two processes at the
 * same time; a cluster guarantees this while the locks of its shards are refreshed.
 *
 * @example
 * ```ts
 * import { Workflow } from "@effect/workflow"
 * import * as DurableChat from "effect-dust/DurableChat"
 * import { DustAPIError } from "effect-dust/DustAPIError"
 * import { Console, Effect, Schema } from "effect"
 *
 * const Report = Workflow.make({
 *   name: "Report",
 *   payload: { week: Schema.String },
 *   idempotencyKey: ({ week }) => week,
 *   success: Schema.String,
 *   error: DustAPIError
 * })
 *
 * const ReportLive = Report.toLayer(({ week }) =>
 *   Effect.gen(function*() {
 *     const facts = yield* DurableChat.ask({ name: "facts", agent: "dust", message: `What happened in ${week}?` })
 *     const mail = yield* DurableChat.ask({
 *       name: "mail",
 *       agent: { name: "Mailer" },
 *       message: `Send this to the team:\n${facts.text}`,
 *       limit: "2 days",
 *       onWaiting: (waiting) => Console.log(`approve with ${waiting.token}`)
 *     })
 *     return mail.text
 *   })
 * )
 * ```
 *
 * @category workflows
 * @since 0.2.0
 */
export const ask = <R = never>(
  options: AskOptions<R>
): Effect.Effect<Answer, DustAPIError, Chat | Conversations | KeyValueStore | R | Durable | Scope.Scope> =>
  Effect.gen(function*() {
    const {
      limit: limitInput = defaults.limit,
      name = defaults.name,
      onEvent,
      onWaiting,
      patience,
      recheck = defaults.recheck,
      ...question
    } = options
    const limit = Duration.decode(limitInput)
    const executionId = yield* execution
    const asked = yield* send({ name, patience, ...question }).pipe(
      withCancel({ name })
    )
    const seen = new Map<ActionId, { readonly since: number; readonly looks: number }>()
    const settled = new Set<ActionId>()
    for (let round = 0;; round++) {
      const outcome = yield* follow({ ...asked, name, patience, onEvent, round })
      if (outcome._tag === "Answered") return outcome.answer
      const { actionId, at } = outcome
      const { looks, since } = seen.get(actionId) ?? { since: at, looks: 0 }
      const until = Math.min(since + Duration.toMillis(limit), endOfTime)
      // An action that was just decided may still be listed for a moment.
      if (settled.has(actionId)) {
        seen.set(actionId, { since, looks: looks + 1 })
        yield* durableSleep(`${name}/clock/${actionId}/${round}`, Duration.times("5 seconds", 2 ** looks))
        continue
      }
      const token = yield* DurableDeferred.token(deferredOf(name, actionId))
      const waiting: Waiting = { ...outcome, token, executionId, until }
      if (looks === 0) yield* announce(name, waiting, onWaiting)
      seen.set(actionId, { since, looks: looks + 1 })
      const left = Duration.millis(Math.max(0, until - at))
      const within = Duration.min(left, untilNextLook(recheck, looks))
      const reaction = Duration.isZero(left) ? "elapsed" : yield* reactionWithin(name, waiting, round, within)
      // A person may have answered in Dust in the meantime.
      if (reaction === "elapsed" && Duration.greaterThan(left, within)) continue
      yield* react({
        ...waiting,
        name,
        patience,
        reaction: reaction !== "elapsed" ? reaction : outcome._tag === "Approval" ? "rejected" : noAnswer
      })
      settled.add(actionId)
    }
  })

/**
 * Decides on a tool that a workflow waits for, from any process with the same engine. The first decision counts.
 *
 * @category reactions
 * @since 0.2.0
 */
export const approve = (
  options: { readonly token: DurableDeferred.Token; readonly decision: Decision }
): Effect.Effect<void, never, WorkflowEngine> =>
  DurableDeferred.succeed(DurableDeferred.make("reaction", { success: Reaction }), {
    token: options.token,
    value: options.decision
  })

/**
 * Answers a question that a workflow waits for, from any process with the same engine. The first answer counts.
 *
 * @category reactions
 * @since 0.2.0
 */
export const reply = (
  options: { readonly token: DurableDeferred.Token; readonly answer: UserAnswer }
): Effect.Effect<void, never, WorkflowEngine> =>
  DurableDeferred.succeed(DurableDeferred.make("reaction", { success: Reaction }), {
    token: options.token,
    value: options.answer
  })

/**
 * Returns the reason why an execution waits, or waited last. A failure of the store is a defect.
 *
 * @category reactions
 * @since 0.2.0
 */
export const waitingFor = (
  options: { readonly executionId: string; readonly name?: string | undefined }
): Effect.Effect<Option.Option<Waiting>, never, KeyValueStore> =>
  Effect.flatMap(
    KeyValueStore,
    (store) => store.get(entryOf(options.executionId, options.name ?? defaults.name, "waiting"))
  )
    .pipe(Effect.orDie, Effect.map(Option.flatMap(Schema.decodeOption(Schema.parseJson(Waiting)))))

/**
 * A ready-made workflow: asks an agent once per `key` and returns its answer. {@link layer} runs it. A process that only starts or
 * polls it requires only the engine.
 *
 * @example
 * ```ts
 * import * as DurableChat from "effect-dust/DurableChat"
 * import { Effect } from "effect"
 *
 * // Returns the id of the execution at once; `Ask.poll(id)` returns its result later.
 * const start = Effect.fn("start")(function*(orderId: string) {
 *   return yield* DurableChat.Ask.execute(
 *     { key: orderId, agent: "dust", message: `Check order ${orderId}` },
 *     { discard: true }
 *   )
 * })
 * ```
 *
 * @category workflows
 * @since 0.2.0
 */
export const Ask = Workflow.make({
  name: "effect-dust/Ask",
  payload: {
    /** Identifies the question. The first question of a key counts. */
    key: Schema.String,
    agent,
    message: Schema.String,
    conversationId: Schema.optional(ConversationId),
    title: Schema.optional(Schema.String),
    spaceId: Schema.optional(SpaceId),
    /** The author of the question. */
    context: Schema.optional(Schema.Struct({
      username: Schema.optional(Schema.String),
      timezone: Schema.optional(Schema.String),
      fullName: Schema.optional(Schema.String),
      email: Schema.optional(Schema.String)
    })),
    skipToolsValidation: Schema.optional(Schema.Boolean)
  },
  idempotencyKey: ({ key }) => key,
  success: Answer,
  error: DustAPIError
})

/**
 * @category models
 * @since 0.2.0
 */
export interface LayerOptions<R = never>
  extends Pick<AskOptions<R>, "limit" | "recheck" | "patience" | "settle" | "onWaiting" | "onEvent">
{}

/**
 * Runs {@link Ask} in this process, with the options of {@link ask}.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <R = never>(
  options?: LayerOptions<R>
): Layer.Layer<never, never, WorkflowEngine | Chat | Conversations | KeyValueStore | R> =>
  Ask.toLayer((question) => ask({ ...options, ...question })) as Layer.Layer<
    never,
    never,
    WorkflowEngine | Chat | Conversations | KeyValueStore | R
  >
