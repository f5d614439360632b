/**
 * An agent as a function with typed input and output.
 *
 * Sends the input and the JSON Schema of the output to the agent, and decodes its answer. An invalid answer is sent back with its
 * issues, in the same conversation, until it is valid or the attempts are used up.
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type AgentRef, Chat, type SendOptions, type Service as ChatService } from "./Chat.ts"
import type { ChatEvent, Reply } from "./ChatEvent.ts"
import type { DustAPIError } from "./DustAPIError.ts"
import { ConversationId, MessageId } from "./Ids.ts"
import {
  correction,
  givenUp,
  inputText,
  type Output as Reader,
  outputOf,
  question
} from "./internal/agent/typedAnswer.ts"
import { anywhere } from "./internal/chat/anywhere.ts"
import { answerOf } from "./internal/chat/handover.ts"
import { badInput } from "./internal/request/errors.ts"

/**
 * A part of an answer that does not match the schema. The message contains the value of that part.
 *
 * @category schemas
 * @since 0.2.0
 */
export const Issue = Schema.Struct({
  /** The path of fields and indices. Empty for the answer as a whole. */
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  message: Schema.String
})

/** @category models @since 0.2.0 */
export interface Issue extends Schema.Schema.Type<typeof Issue> {}

/**
 * The agent did not return a valid answer within the allowed attempts. `text` and `issues` are those of the last answer and
 * contain its content: do not log them carelessly. `conversationId` and `messageId` identify it in Dust.
 *
 * @category errors
 * @since 0.2.0
 */
export class AgentOutputError extends Schema.TaggedError<AgentOutputError>("effect-dust/AgentOutputError")(
  "AgentOutputError",
  {
    message: Schema.String,
    text: Schema.String,
    issues: Schema.Array(Issue),
    /** The number of answers. */
    attempts: Schema.Number,
    conversationId: ConversationId,
    /** The agent message with the last answer. */
    messageId: MessageId
  }
) {}

/**
 * Options of one call: those of `Chat.send`, and another agent. They override those of the function. `title`, `spaceId` and
 * `attachments` apply to the first message of the call. Limit the requests of a call with `DustClient.withOptions`, and the call
 * as a whole with `Effect.timeout`.
 *
 * @category models
 * @since 0.2.0
 */
export interface CallOptions<E = never, R = never> extends Omit<SendOptions<E, R>, "agent" | "message"> {
  /** The agent to ask. Defaults to the agent of the function. */
  readonly agent?: AgentRef | undefined
}

/**
 * Options of an agent function. Options of `Chat.send` apply to every call.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<I, IE, IR, O, OE, OR, E = never, R = never>
  extends Omit<SendOptions<E, R>, "message" | "conversationId">
{
  /** Instructions for the agent. By default, it receives the input and the output schema only. */
  readonly instructions?: string | undefined
  /** Encodes the input, which is sent as JSON. `Schema.Void` for no input. */
  readonly input: Schema.Schema<I, IE, IR>
  /**
   * Decodes the answer. Descriptions and other annotations are sent to the agent as part of the JSON Schema. An output that is not
   * an object, such as a list, is requested as `{ "value": … }`.
   */
  readonly output: Schema.Schema<O, OE, OR>
  /** The number of times to send an invalid answer back. Defaults to 2. */
  readonly repairs?: number | undefined
}

/**
 * A value, with the reply that contains it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Answer<O> {
  readonly value: O
  /** With the `conversationId` to continue, the tools that were used, and the citations. */
  readonly reply: Reply
  /** The number of answers that were needed. */
  readonly attempts: number
}

/**
 * An invalid answer was sent back with its issues. The text of the next answer follows.
 *
 * @category models
 * @since 0.2.0
 */
export interface Rejected {
  readonly _tag: "Rejected"
  readonly text: string
  readonly issues: ReadonlyArray<Issue>
  /** How many answers there were. */
  readonly attempts: number
}

/**
 * The last event of a stream, with the value.
 *
 * @category models
 * @since 0.2.0
 */
export interface Output<O> extends Answer<O> {
  readonly _tag: "Output"
}

/**
 * The events of a call: those of each answer from `Started` to `Done`, `Rejected` between two answers, and `Output` at the
 * end.
 *
 * @category models
 * @since 0.2.0
 */
export type AgentFunctionEvent<O> = ChatEvent | Rejected | Output<O>

/**
 * An agent as a function.
 *
 * Accepts any credential. Fails with the errors of `Chat.send`; with `DustBadRequestError` before any request if the input cannot
 * be encoded (`input.subject`), the output has no JSON Schema (`output`) or `repairs` is invalid; and with
 * {@link AgentOutputError}, after which `Effect.retry` asks again in a new conversation. Interruption cancels the run.
 *
 * @category models
 * @since 0.2.0
 */
export interface AgentFunction<I, O, E = never, R = never> {
  /** The value. */
  <E2 = never, R2 = never>(
    input: I,
    options?: CallOptions<E2, R2>
  ): Effect.Effect<O, DustAPIError | AgentOutputError | E | NoInfer<E2>, Chat | R | NoInfer<R2>>
  /** Returns the value and its reply, for example to continue its conversation. Errors as for the function itself. */
  readonly withReply: <E2 = never, R2 = never>(
    input: I,
    options?: CallOptions<E2, R2>
  ) => Effect.Effect<Answer<O>, DustAPIError | AgentOutputError | E | NoInfer<E2>, Chat | R | NoInfer<R2>>
  /**
   * Streams the events of the answers, and the value as the last event. Stopping early cancels the run. Errors as for the function
   * itself.
   */
  readonly stream: <E2 = never, R2 = never>(
    input: I,
    options?: CallOptions<E2, R2>
  ) => Stream.Stream<
    AgentFunctionEvent<O>,
    DustAPIError | AgentOutputError | E | NoInfer<E2>,
    Chat | R | NoInfer<R2>
  >
}

/** One call: what to ask first, and how to read the answers. */
interface Call<O, OR, E, R> {
  readonly chat: ChatService
  readonly question: SendOptions<E, R>
  readonly reader: Reader<O, OR>
  readonly repairs: number
}

/** An answer that was read: the value, or what to send next. */
type Judged<O, E, R> = Either.Either<Output<O>, readonly [Rejected, SendOptions<E, R>]>

const judge = <O, OR, E, R>(
  call: Call<O, OR, E, R>,
  reply: Reply,
  attempts: number
): Effect.Effect<Judged<O, E, R>, AgentOutputError, OR> =>
  Effect.flatMap(call.reader.read(reply.text), (read): Effect.Effect<Judged<O, E, R>, AgentOutputError> => {
    if (Either.isRight(read)) {
      return Effect.succeed(Either.right({ _tag: "Output", value: read.right.value, reply, attempts }))
    }
    const issues = read.left
    const { text } = reply
    if (attempts > call.repairs) {
      return Effect.fail(
        new AgentOutputError({
          message: `AgentFunction: the agent's ${givenUp(issues, attempts)}`,
          text,
          issues,
          attempts,
          conversationId: reply.conversationId,
          messageId: reply.agentMessage.sId
        })
      )
    }
    const { attachments: _, spaceId: _s, title: _t, ...rest } = call.question
    const next = { ...rest, conversationId: reply.conversationId, message: correction(issues) }
    return Effect.succeed(Either.left([{ _tag: "Rejected", text, issues, attempts }, next]))
  })

/** An option that is `undefined` is not given. */
const defined = <A extends object>(options: A): A =>
  // Every option may be missing.
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as A

const attempt = <O, OR, E, R>(
  call: Call<O, OR, E, R>,
  question: SendOptions<E, R>,
  attempts: number
): Stream.Stream<AgentFunctionEvent<O>, DustAPIError | AgentOutputError | E, OR | R> =>
  Stream.suspend(() => {
    let reply: Reply | undefined
    const events = answerOf(call.chat, question, call.chat.stream(question), (one) => {
      reply = one
    })
    const rest = Stream.suspend(() =>
      // A stream of `Chat` ends with its reply, or fails.
      reply === undefined ? Stream.empty : Stream.unwrap(Effect.map(
        judge(call, reply, attempts),
        Either.match({
          onRight: (output): Stream.Stream<AgentFunctionEvent<O>, DustAPIError | AgentOutputError | E, OR | R> =>
            Stream.make(output),
          onLeft: ([rejected, next]) => Stream.concat(Stream.make(rejected), attempt(call, next, attempts + 1))
        })
      ))
    )
    return Stream.concat(events, rest)
  })

/**
 * Makes an agent function. Makes no request until it is called.
 *
 * An answer may have prose, code fences and drafts around its JSON: the last JSON object that is valid counts. Comments,
 * trailing commas and line breaks in strings are tolerated.
 *
 * @example
 * ```ts
 * import * as AgentFunction from "effect-dust/AgentFunction"
 * import { Effect, Schedule, Schema } from "effect"
 *
 * const triage = AgentFunction.make({
 *   agent: { name: "Triage" },
 *   instructions: "Decide which team handles this ticket, and until when.",
 *   input: Schema.Struct({ subject: Schema.String, body: Schema.String }),
 *   output: Schema.Struct({
 *     queue: Schema.Literal("billing", "bug", "other"),
 *     urgent: Schema.Boolean.annotations({ description: "Whether a customer cannot work" }),
 *     due: Schema.Date
 *   })
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { due, queue } = yield* triage({ subject: "Invoice", body: "We were charged twice." })
 *   return `${queue} until ${due.toISOString()}`
 * }).pipe(
 *   Effect.retry({ while: (error) => error._tag === "AgentOutputError", schedule: Schedule.recurs(1) }),
 *   Effect.catchTag("AgentOutputError", (error) => Effect.succeed(`See conversation ${error.conversationId}`))
 * )
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <I, IE, IR, O, OE, OR, E = never, R = never>(
  options: Options<I, IE, IR, O, OE, OR, E, R>
): AgentFunction<I, O, NoInfer<E>, IR | OR | NoInfer<R>> => {
  const { input: inputSchema, instructions, output: outputSchema, repairs = 2, ...defaults } = options
  let reader: Reader<O, OR> | undefined
  const readerOf = Effect.suspend(() =>
    reader !== undefined ? Effect.succeed(reader) : Effect.tap(outputOf(outputSchema), (made) =>
      Effect.sync(() => {
        reader = made
      }))
  )
  const stream = <E2 = never, R2 = never>(input: I, more: CallOptions<E2, R2> = {}) =>
    Stream.unwrap(Effect.gen(function*() {
      if (!Number.isSafeInteger(repairs) || repairs < 0) {
        return yield* Effect.fail(badInput(
          { module: "AgentFunction", method: "call" },
          "repairs",
          "a whole number of at least 0"
        ))
      }
      const chat = yield* Chat
      const reader = yield* readerOf
      const message = question({
        instructions,
        input: yield* inputText(inputSchema, input),
        description: reader.description
      })
      const first: SendOptions<E | E2, R | R2> = {
        ...defaults,
        ...defined(more),
        agent: more.agent ?? options.agent,
        message
      }
      return attempt({ chat, question: first, reader, repairs }, first, 1)
    }))
  const withReply = <E2 = never, R2 = never>(input: I, more?: CallOptions<E2, R2>) =>
    // As a whole, so that it can be interrupted in an uninterruptible region.
    anywhere(
      Stream.runLast(Stream.filter(stream(input, more), (event): event is Output<O> => event._tag === "Output"))
    ).pipe(
      // A stream without failure ends with its output.
      Effect.map(Option.getOrThrow),
      Effect.map(({ attempts, reply, value }): Answer<O> => ({ value, reply, attempts }))
    )
  return Object.assign(
    <E2 = never, R2 = never>(input: I, more?: CallOptions<E2, R2>) =>
      Effect.map(withReply(input, more), ({ value }) => value),
    { withReply, stream }
  )
}
