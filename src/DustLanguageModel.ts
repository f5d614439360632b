/**
 * A Dust agent as the `LanguageModel` of `@effect/ai`, beside the models of other providers.
 *
 * Requires the optional peer `@effect/ai` (0.37); import it from its own path.
 *
 * ```ts
 * import { LanguageModel } from "@effect/ai"
 * import * as DustLanguageModel from "effect-dust/DustLanguageModel"
 * import { Effect } from "effect"
 *
 * const program = LanguageModel.generateText({ prompt: "What changed this week?" }).pipe(
 *   Effect.map((response) => response.text),
 *   Effect.provide(DustLanguageModel.model("dust"))
 * )
 * ```
 *
 * Prompts are mapped as follows.
 *
 * | In `@effect/ai` | In Dust |
 * | --- | --- |
 * | the messages of a prompt | one message: earlier turns and system messages become tagged text before the last one |
 * | files | attachments, uploaded first; a URL is refused, since Dust does not fetch URLs |
 * | `toolkit` | refused: Dust runs tools while the agent answers; use {@link withToolkit} |
 * | `generateObject` | the JSON Schema in the message; an invalid answer is sent back with its issues |
 * | reasoning, sources | the agent's thoughts, and its citations |
 * | `metadata.dust` of the finish part | conversation, message, tools used, generated files |
 * | `usage` | undefined: Dust does not report tokens per message |
 *
 * The model and its temperature belong to the agent: set `generationSettings` with `Agents.importAgent`, or choose
 * another model for single calls with `modelSelection` in {@link withConfig}.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as AiError from "@effect/ai/AiError"
import * as LanguageModel from "@effect/ai/LanguageModel"
import * as Model from "@effect/ai/Model"
import { addGenAIAnnotations } from "@effect/ai/Telemetry"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AgentOutputError } from "./AgentFunction.ts"
import { type AgentRef, Chat, type SendOptions } from "./Chat.ts"
import type { ChatEvent, Reply } from "./ChatEvent.ts"
import { type DustAPIError, isDustAPIError } from "./DustAPIError.ts"
import { contentFragment } from "./File.ts"
import { Files } from "./Files.ts"
import type { ConversationId } from "./Ids.ts"
import { correction, givenUp, outputOf, question as questionText } from "./internal/agent/typedAnswer.ts"
import { aiError, noObject, unmappable } from "./internal/ai/aiError.ts"
import { type FinishMetadata, partsOf, StreamParts } from "./internal/ai/parts.ts"
import { filesOf, type Seen, seenOf, unseen, wordsOf } from "./internal/ai/prompt.ts"
import { anywhere } from "./internal/chat/anywhere.ts"
import { answerOf } from "./internal/chat/handover.ts"
import type { ToolkitWithHandlers } from "./McpServer.ts"
import { fromToolkit, McpServers } from "./McpServers.ts"

export type { FinishMetadata } from "./internal/ai/parts.ts"

declare module "@effect/ai/Response" {
  export interface FinishPartMetadata extends ProviderMetadata {
    readonly dust?: FinishMetadata | undefined
  }
  export interface ResponseMetadataPartMetadata extends ProviderMetadata {
    readonly dust?: { readonly conversationId: string; readonly messageId: string } | undefined
  }
  export interface UrlSourcePartMetadata extends ProviderMetadata {
    readonly dust?: { readonly provider: string | null } | undefined
  }
  export interface DocumentSourcePartMetadata extends ProviderMetadata {
    readonly dust?: { readonly provider: string | null } | undefined
  }
}

/**
 * Options for asking the agent. With a `conversationId`, only the messages after the last answer in the prompt are
 * sent, because the conversation already contains the others.
 *
 * @category models
 * @since 0.2.0
 */
export interface Settings extends Omit<SendOptions<DustAPIError>, "agent" | "message"> {
  /** The agent to ask instead. */
  readonly agent?: AgentRef | undefined
  /** The number of times to send an answer that is not the requested object back with its issues. Defaults to 2. */
  readonly repairs?: number | undefined
}

/**
 * @category models
 * @since 0.2.0
 */
export interface Options extends Settings {
  readonly agent: AgentRef
}

/**
 * Settings of single calls. Each replaces that of the model; see {@link withConfig}. For a Stream, use
 * `Stream.provideService(DustLanguageModel.Config, settings)`.
 *
 * @category tags
 * @since 0.2.0
 */
export class Config extends Context.Tag("effect-dust/DustLanguageModel/Config")<Config, Settings>() {}

/** The conversation that the calls of an Effect share. */
interface Shared {
  readonly turns: Effect.Semaphore
  conversationId: ConversationId | undefined
  seen: Seen | undefined
}

class CurrentConversation
  extends Context.Tag("effect-dust/DustLanguageModel/CurrentConversation")<CurrentConversation, Shared>()
{}

const settingsOf = (options: Options): Effect.Effect<Options> =>
  Effect.map(Effect.serviceOption(Config), (found) => {
    const config = Option.getOrUndefined(found)
    return { ...options, ...config, agent: config?.agent ?? options.agent }
  })

/** A handler that asks again would wait for its own turn. */
const outside = <A, B, E, R>(handler: ((input: A) => Effect.Effect<B, E, R>) | undefined) =>
  handler === undefined ? undefined : (input: A) => withConversation(handler(input))

/** The next turn of the shared conversation, which belongs to the scope. */
const turnOf = (shared: Option.Option<Shared>): Effect.Effect<void, never, Scope.Scope> =>
  Option.match(shared, {
    onNone: () => Effect.void,
    onSome: ({ turns }) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.zipRight(restore(turns.take(1)), Effect.addFinalizer(() => turns.release(1)))
      )
  })

/** The prompt and the options of one call. */
interface Asked {
  readonly question: SendOptions<DustAPIError>
  readonly settings: Options
  readonly shared: Option.Option<Shared>
}

const makeAsk = (files: Files["Type"]) => (method: string, options: Options, request: LanguageModel.ProviderOptions) =>
  Effect.gen(function*() {
    if (request.tools.length > 0 && request.toolChoice !== "none") {
      return yield* Effect.fail(unmappable(
        method,
        "the option toolkit cannot be used: Dust runs tools while the agent answers; serve the toolkit with DustLanguageModel.withToolkit instead"
      ))
    }
    const settings = yield* settingsOf(options)
    const shared = yield* Effect.serviceOption(CurrentConversation)
    yield* turnOf(shared)
    const conversationId = settings.conversationId ?? Option.getOrUndefined(shared)?.conversationId
    const messages = conversationId === undefined
      ? request.prompt.content
      : unseen(request.prompt, Option.getOrUndefined(shared)?.seen)
    const message = wordsOf(messages)
    if (message === "") {
      return yield* Effect.fail(unmappable(method, "the prompt must have text that the conversation does not have yet"))
    }
    const attachments = yield* Effect.forEach(
      yield* filesOf(method, messages),
      (file) => Effect.map(files.upload(file), (uploaded) => contentFragment(uploaded))
    ).pipe(Effect.mapError((error) => isDustAPIError(error) ? aiError(method)(error) : error))
    const { repairs: _, ...rest } = settings
    const question: SendOptions<DustAPIError> = {
      ...rest,
      conversationId,
      message,
      attachments: [...settings.attachments ?? [], ...attachments],
      ...(Option.isNone(shared)
        ? {}
        : { onApproval: outside(settings.onApproval), onQuestion: outside(settings.onQuestion) })
    }
    return { question, settings, shared } satisfies Asked
  })

/** Streams the answer to one question. The shared conversation continues with it. */
const eventsOf = (
  chat: Chat["Type"],
  question: SendOptions<DustAPIError>,
  { shared }: Asked,
  prompt: LanguageModel.ProviderOptions["prompt"]
): Stream.Stream<ChatEvent, DustAPIError> =>
  Stream.tap(answerOf(chat, question, chat.stream(question), () => {}), (event) =>
    Effect.sync(() => {
      if (Option.isNone(shared)) return
      if (event._tag === "Started") shared.value.conversationId = event.conversationId
      if (event._tag === "Done") shared.value.seen = seenOf(prompt)
    }))

const replyOf = (events: Stream.Stream<ChatEvent, DustAPIError>): Effect.Effect<Reply, DustAPIError> =>
  Effect.map(
    // As a whole, so that it can be interrupted in an uninterruptible region.
    anywhere(Stream.runFold(events, undefined as Reply | undefined, (reply, event) =>
      event._tag === "Done" ? event.reply : reply)),
    // A stream of `Chat` ends with its reply, or fails.
    (reply) =>
      Option.getOrThrow(Option.fromNullable(reply))
  )

const nameOf = (agent: AgentRef): string => typeof agent === "string" ? agent : agent.name

const timestamp = Effect.map(Clock.currentTimeMillis, (now) => new Date(now).toISOString())

const annotated = (request: LanguageModel.ProviderOptions, agent: AgentRef, messageId?: string) =>
  addGenAIAnnotations(request.span, {
    system: "dust",
    operation: { name: "chat" },
    request: { model: nameOf(agent) },
    ...(messageId === undefined
      ? {}
      : { response: { id: messageId, model: nameOf(agent), finishReasons: ["stop"] } })
  })

/** A reply whose text is the JSON of the object asked for. */
const objectOf = (
  ask: (question: SendOptions<DustAPIError>) => Effect.Effect<Reply, AiError.AiError>,
  { question, settings: { repairs = 2 } }: Asked,
  schema: Schema.Schema.Any
) =>
  Effect.gen(function*() {
    const method = "generateObject"
    if (!Number.isSafeInteger(repairs) || repairs < 0) {
      return yield* Effect.fail(unmappable(method, `repairs must be a whole number, 0 or more; it is ${repairs}`))
    }
    // The requirements are those of the caller of `generateObject`.
    const plain = schema as Schema.Schema<unknown>
    const reader = yield* outputOf(plain, { module: "DustLanguageModel", method }).pipe(
      Effect.mapError(aiError(method))
    )
    let next: SendOptions<DustAPIError> = {
      ...question,
      message: questionText({ instructions: question.message, input: undefined, description: reader.description })
    }
    for (let attempts = 1;; attempts++) {
      const reply = yield* ask(next)
      const read = yield* reader.read(reply.text)
      if (Either.isRight(read)) return { reply, text: JSON.stringify(read.right.json), attempts }
      const issues = read.left
      if (attempts > repairs) {
        return yield* Effect.fail(noObject(
          method,
          new AgentOutputError({
            message: `the ${givenUp(issues, attempts)}`,
            text: reply.text,
            issues,
            attempts,
            conversationId: reply.conversationId,
            messageId: reply.agentMessage.sId
          })
        ))
      }
      const { attachments: _, spaceId: _s, title: _t, ...rest } = next
      next = { ...rest, conversationId: reply.conversationId, message: correction(issues) }
    }
  })

/**
 * Makes the service. Makes no request by itself.
 *
 * Fails with the errors of `@effect/ai`, with the error of this SDK as their `cause` ({@link dustError} finds it):
 * `MalformedInput` for an unsupported prompt (before any request), `HttpRequestError` for network failures and
 * timeouts, `HttpResponseError` for a response with a status such as 401 or 429, `MalformedOutput` for a response that
 * cannot be read or is not the requested object, and `UnknownError` for a failed run. Each message is sent at most
 * once; interruption cancels the run.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: Options): Effect.Effect<LanguageModel.Service, never, Chat | Files> =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const ask = makeAsk(yield* Files)
    return yield* LanguageModel.make({
      generateText: (request) =>
        Effect.scoped(Effect.gen(function*() {
          const { responseFormat } = request
          const method = responseFormat.type === "json" ? "generateObject" : "generateText"
          const asked = yield* ask(method, options, request)
          const send = (question: SendOptions<DustAPIError>) =>
            Effect.mapError(replyOf(eventsOf(chat, question, asked, request.prompt)), aiError(method))
          const { attempts, reply, text } = responseFormat.type === "json"
            ? yield* objectOf(send, asked, responseFormat.schema)
            : yield* Effect.map(send(asked.question), (reply) => ({ reply, text: reply.text, attempts: 1 }))
          const { agent } = asked.settings
          annotated(request, agent, reply.agentMessage.sId)
          return partsOf(reply, { text, attempts, modelId: nameOf(agent), timestamp: yield* timestamp })
        })),
      streamText: (request) =>
        Stream.unwrapScoped(Effect.gen(function*() {
          const method = "streamText"
          const asked = yield* ask(method, options, request)
          annotated(request, asked.settings.agent)
          const parts = new StreamParts(nameOf(asked.settings.agent))
          return eventsOf(chat, asked.question, asked, request.prompt).pipe(
            Stream.mapError(aiError(method)),
            Stream.mapConcatEffect((event) => Effect.map(timestamp, (now) => parts.of(event, now)))
          )
        }))
    })
  })

/**
 * The agent as the `LanguageModel` of an application. Over `DustTest.layer`, it is a test double for any program that uses a
 * `LanguageModel`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: Options): Layer.Layer<LanguageModel.LanguageModel, never, Chat | Files> =>
  Layer.effect(LanguageModel.LanguageModel, make(options))

/**
 * The agent as a `Model`: for `Effect.provide`, and for an `ExecutionPlan` with models of other providers.
 *
 * A call may fail after the agent was asked, so that another attempt asks again. For safe retries only, use {@link
 * isRetryable} as the condition of a step; a plan tries its next step after every failure.
 *
 * @example
 * ```ts
 * import { LanguageModel } from "@effect/ai"
 * import * as DustLanguageModel from "effect-dust/DustLanguageModel"
 * import { Effect, ExecutionPlan } from "effect"
 *
 * const Plan = ExecutionPlan.make(
 *   { provide: DustLanguageModel.model("researcher"), attempts: 2, while: DustLanguageModel.isRetryable },
 *   { provide: DustLanguageModel.model("dust") }
 * )
 *
 * const answer = LanguageModel.generateText({ prompt: "What changed this week?" }).pipe(
 *   Effect.withExecutionPlan(Plan)
 * )
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const model = (
  agent: AgentRef,
  settings?: Omit<Settings, "agent">
): Model.Model<"dust", LanguageModel.LanguageModel, Chat | Files> => Model.make("dust", layer({ ...settings, agent }))

/**
 * Replaces settings of the model for the calls inside an Effect.
 *
 * @example
 * ```ts
 * import { LanguageModel } from "@effect/ai"
 * import * as DustLanguageModel from "effect-dust/DustLanguageModel"
 *
 * const answer = LanguageModel.generateText({ prompt: "And in 2025?" }).pipe(
 *   DustLanguageModel.withConfig({ conversationId: "cnv_1", context: { timezone: "Europe/Paris" } })
 * )
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const withConfig: {
  (settings: Settings): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, settings: Settings): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, settings: Settings): Effect.Effect<A, E, R> =>
    Effect.flatMap(
      Effect.serviceOption(Config),
      (outer) => Effect.provideService(self, Config, { ...Option.getOrUndefined(outer), ...settings })
    )
)

/**
 * Keeps one Dust conversation for all calls inside an Effect. The first call starts it, and each later call sends only
 * the messages that the conversation does not have yet. Without it, every call is a new conversation, and earlier turns
 * are sent as text. Concurrent calls wait for each other.
 *
 * @example
 * ```ts
 * import { Chat } from "@effect/ai"
 * import * as DustLanguageModel from "effect-dust/DustLanguageModel"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* Chat.empty
 *   yield* chat.generateText({ prompt: "How many days of leave are there?" })
 *   return yield* chat.generateText({ prompt: "And in the first year?" })
 * }).pipe(DustLanguageModel.withConversation)
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const withConversation = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() =>
    Effect.provideService(self, CurrentConversation, {
      turns: Effect.unsafeMakeSemaphore(1),
      conversationId: undefined,
      seen: undefined
    })
  )

/**
 * Serves a Toolkit with its handlers while an Effect runs, and makes its tools available to the agents that are asked
 * inside.
 *
 * Requires a user access token. Errors as for `McpServers.serve`. `name` is the name of the server that the agent sees.
 *
 * @example
 * ```ts
 * import { LanguageModel, Tool, Toolkit } from "@effect/ai"
 * import * as DustLanguageModel from "effect-dust/DustLanguageModel"
 * import { Effect, Schema } from "effect"
 *
 * const Clock = Toolkit.make(
 *   Tool.make("current_time", { parameters: { city: Schema.String }, success: Schema.String })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const toolkit = yield* Clock
 *   return yield* LanguageModel.generateText({ prompt: "What time is it in Paris?" }).pipe(
 *     DustLanguageModel.withToolkit({ name: "My desk clock", toolkit })
 *   )
 * }).pipe(Effect.provide(Clock.toLayer({ current_time: ({ city }) => Effect.succeed(`Noon in ${city}`) })))
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const withToolkit: {
  <R2>(options: { readonly name: string; readonly toolkit: ToolkitWithHandlers<R2> }): <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | DustAPIError, R | McpServers | Exclude<R2, Scope.Scope>>
  <A, E, R, R2>(
    self: Effect.Effect<A, E, R>,
    options: { readonly name: string; readonly toolkit: ToolkitWithHandlers<R2> }
  ): Effect.Effect<A, E | DustAPIError, R | McpServers | Exclude<R2, Scope.Scope>>
} = dual(
  2,
  <A, E, R, R2>(
    self: Effect.Effect<A, E, R>,
    { name, toolkit }: { readonly name: string; readonly toolkit: ToolkitWithHandlers<R2> }
  ): Effect.Effect<A, E | DustAPIError, R | McpServers | Exclude<R2, Scope.Scope>> =>
    McpServers.pipe(
      Effect.flatMap((servers) => servers.serve({ name, tools: fromToolkit(toolkit) })),
      Effect.flatMap((server) => server.serverId),
      Effect.zip(Effect.serviceOption(Config)),
      Effect.flatMap(([serverId, outer]) => {
        const context = Option.getOrUndefined(outer)?.context
        return withConfig(self, {
          context: { ...context, clientSideMCPServerIds: [...context?.clientSideMCPServerIds ?? [], serverId] }
        })
      }),
      Effect.scoped
    )
)

/**
 * Returns the error of this SDK behind an error of `@effect/ai`, or behind any other value that has it as its `cause`.
 *
 * @category getters
 * @since 0.2.0
 */
export const dustError = (error: unknown): Option.Option<DustAPIError> => {
  const cause = error instanceof Error ? error.cause : undefined
  return isDustAPIError(cause) ? Option.some(cause) : Option.none()
}

/**
 * Returns whether a retry is safe and may help: the message was not sent.
 *
 * @category guards
 * @since 0.2.0
 */
export const isRetryable = (error: unknown): boolean =>
  Option.exists(dustError(error), ({ isRetryable }) => isRetryable)
