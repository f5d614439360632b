/**
 * Encodes an answer as a UI message stream of the Vercel AI SDK (protocol `v1`, AI SDK 6 and 7), so that `useChat`
 * shows it.
 *
 * - Text and reasoning are separate parts. Text is only appended, as in `chat.streamText`.
 * - Tools are dynamic tools executed by the provider. A tool that waits for approval has the state
 *   `approval-requested`, and its `data-blocked` part has the ids for `ChatRoutes`: approve there, and the same stream
 *   continues.
 * - A question of the agent is a `data-question` part, an account to connect a `data-authentication` part, and the
 *   progress of a tool a transient `data-progress` part.
 * - Citations with a URL are sources. The metadata of the message has `conversationId` and `messageId`.
 *
 * For pages without `useChat`, `ChatRelay` offers more: text that is replaced (`Reset`), and connections that resume at
 * any event.
 *
 * @example
 * ```ts
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import { Effect, Layer, ManagedRuntime } from "effect"
 * import { Chat } from "effect-dust/Chat"
 * import * as Dust from "effect-dust/Dust"
 * import * as UiMessageStream from "effect-dust/UiMessageStream"
 *
 * const runtime = ManagedRuntime.make(Dust.layerEnv.pipe(Layer.provide(FetchHttpClient.layer)))
 *
 * // app/api/chat/route.ts, for `useChat()`. Its `stop()` stops the agent.
 * export const POST = (request: Request): Promise<Response> =>
 *   runtime.runPromise(Effect.gen(function*() {
 *     const chat = yield* Chat
 *     const question = yield* UiMessageStream.questionOf(yield* Effect.promise(() => request.json()))
 *     return yield* UiMessageStream.toWebResponse(chat.stream({ agent: "dust", ...question }))
 *   }))
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Blocked, ChatEvent } from "./ChatEvent.ts"
import * as ChatRelay from "./ChatRelay.ts"
import { ConversationId } from "./Ids.ts"
import { Growing } from "./internal/chat/text.ts"
import { bytesOf } from "./internal/relay/bytes.ts"
import { serverResponse, webResponse } from "./internal/relay/responses.ts"
import { report } from "./internal/relay/sentences.ts"
import type { AgentAction } from "./Message.ts"

/**
 * The headers of a UI message stream.
 *
 * @category encoding
 * @since 0.2.0
 */
export const headers: Readonly<Record<string, string>> = {
  ...ChatRelay.headers,
  "x-vercel-ai-ui-message-stream": "v1"
}

/** A chunk of the protocol: `type` and its fields. */
type UiChunk = { readonly type: string } & Readonly<Record<string, unknown>>

const frames = (chunks: ReadonlyArray<UiChunk>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const last = "data: [DONE]\n\n"

/** Tracks open parts, because the protocol has a start and an end for each. */
class Encoder {
  readonly #text = new Growing()
  readonly #tools = new Set<string>()
  #open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
  #parts = 0

  push(event: ChatEvent): ReadonlyArray<UiChunk> {
    const out: Array<UiChunk> = []
    const grown: Array<string> = []
    this.#text.push(event, grown)
    if (grown.length > 0) this.#append("text", grown.join(""), out)
    switch (event._tag) {
      case "Started": {
        const { conversationId, messageId } = event
        out.push({ type: "start", messageId, messageMetadata: { conversationId, messageId } }, { type: "start-step" })
        break
      }
      case "Thinking":
        this.#append("reasoning", event.text, out)
        break
      case "ToolStarted":
        this.#tool(event.action, out)
        break
      case "ToolProgress": {
        const { action, label, progress, total } = event
        this.#tool(action, out)
        const data = { toolCallId: action.sId, label, progress, total }
        out.push({ type: "data-progress", id: action.sId, data, transient: true })
        break
      }
      case "ToolFinished":
        this.#tool(event.action, out)
        out.push(finished(event.action))
        break
      case "ApprovalNeeded":
      case "QuestionAsked":
      case "AuthenticationNeeded":
        this.#blocked(event, out)
        break
      case "Done":
        this.#close(out)
        for (const { ref, title, url } of event.reply.citations) {
          if (url !== null) out.push({ type: "source-url", sourceId: ref, url, ...(title === null ? {} : { title }) })
        }
        out.push({ type: "finish-step" }, { type: "finish", finishReason: "stop" })
        break
      default:
    }
    return out
  }

  failed(error: ChatRelay.RelayedError): ReadonlyArray<UiChunk> {
    const out: Array<UiChunk> = []
    this.#close(out)
    out.push(
      error.error === "DustAgentError" && error.code === "cancelled"
        ? { type: "abort", reason: error.message }
        : { type: "error", errorText: error.message }
    )
    return out
  }

  #append(kind: "text" | "reasoning", delta: string, out: Array<UiChunk>): void {
    if (this.#open?.kind !== kind) {
      this.#close(out)
      this.#open = { kind, id: `${kind}-${++this.#parts}` }
      out.push({ type: `${kind}-start`, id: this.#open.id })
    }
    out.push({ type: `${kind}-delta`, id: this.#open.id, delta })
  }

  #close(out: Array<UiChunk>): void {
    if (this.#open !== undefined) out.push({ type: `${this.#open.kind}-end`, id: this.#open.id })
    this.#open = undefined
  }

  /** A tool must be announced before its other parts. */
  #tool(action: Pick<AgentAction, "sId" | "toolName" | "params">, out: Array<UiChunk>): void {
    this.#close(out)
    if (this.#tools.has(action.sId)) return
    this.#tools.add(action.sId)
    out.push({
      type: "tool-input-available",
      toolCallId: action.sId,
      toolName: action.toolName === "" ? "tool" : action.toolName,
      input: action.params,
      dynamic: true,
      // By Dust: `onToolCall` of the page is not asked.
      providerExecuted: true
    })
  }

  #blocked(event: Blocked, out: Array<UiChunk>): void {
    const { actionId, conversationId, messageId } = event
    const at = { conversationId, messageId, actionId }
    switch (event._tag) {
      case "ApprovalNeeded":
        this.#tool({ sId: actionId, toolName: event.tool.toolName, params: event.inputs }, out)
        out.push({ type: "tool-approval-request", approvalId: actionId, toolCallId: actionId })
        out.push({ type: "data-blocked", id: actionId, data: { ...at, stake: event.stake } })
        break
      case "QuestionAsked":
        this.#close(out)
        out.push({ type: "data-question", id: actionId, data: { ...at, question: event.question } })
        break
      case "AuthenticationNeeded": {
        this.#close(out)
        const { account, file, tool } = event
        out.push({ type: "data-authentication", id: actionId, data: { ...at, toolName: tool.toolName, account, file } })
      }
    }
  }
}

const finished = ({ output, sId, status }: AgentAction): UiChunk =>
  status === "denied"
    ? { type: "tool-output-denied", toolCallId: sId }
    : status === "errored"
    ? { type: "tool-output-error", toolCallId: sId, errorText: textIn(output) ?? "The tool failed.", dynamic: true }
    : { type: "tool-output-available", toolCallId: sId, output: output ?? [], dynamic: true, providerExecuted: true }

const textIn = (output: AgentAction["output"]): string | undefined => {
  const text = output?.find(({ type }) => type === "text")?.["text"]
  return typeof text === "string" ? text : undefined
}

/**
 * Encodes events as bytes of a UI message stream, with the options of `ChatRelay`. A failure is an `error` chunk, a
 * cancelled agent an `abort` chunk.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toBytes = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options: ChatRelay.RelayOptions<NoInfer<E>> = {}
): Stream.Stream<Uint8Array, never, R> =>
  Stream.unwrapScoped(
    Effect.flatMap(Effect.serviceOption(ChatRelay.Shutdown), (shutdown) => {
      const encoder = new Encoder()
      const failed = (error: ChatRelay.RelayedError) => `${frames(encoder.failed(error))}${last}`
      return bytesOf(events, {
        frame: (event) => frames(encoder.push(event)),
        failure: (error: E) => failed(ChatRelay.toRelayedError(error, options.describe)),
        report,
        defect: () => failed(ChatRelay.toRelayedError(undefined)),
        end: () => last,
        keepAlive: options.keepAlive ?? "15 seconds",
        maxDuration: options.maxDuration,
        shutdown: Option.getOrUndefined(shutdown)
      })
    })
  )

/**
 * Encodes events as the response of an `@effect/platform` route.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toHttpServerResponse = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options?: ChatRelay.RelayOptions<NoInfer<E>>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> => serverResponse(toBytes(events, options), headers)

/**
 * Encodes events as a web `Response`.
 *
 * @category encoding
 * @since 0.2.0
 */
export const toWebResponse = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options?: ChatRelay.RelayOptions<NoInfer<E>>
): Effect.Effect<Response, never, R> => webResponse(toBytes(events, options), headers)

const Body = Schema.Struct({
  messages: Schema.Array(Schema.Struct({
    role: Schema.String,
    parts: Schema.Array(Schema.Unknown),
    metadata: Schema.optional(Schema.Unknown)
  }))
})

const conversationOf = (metadata: unknown): ConversationId | undefined => {
  const id = Predicate.hasProperty(metadata, "conversationId") ? metadata.conversationId : undefined
  return Schema.is(ConversationId)(id) ? id : undefined
}

/**
 * Returns the arguments of `chat.stream` from the body that `useChat` posts: the text of the newest message, and the
 * conversation from the metadata of earlier messages. Dust checks whether the credential may use that conversation.
 * Fails with a `ParseError` for another body, or without text.
 *
 * @category decoding
 * @since 0.2.0
 */
export const questionOf = (body: unknown) =>
  Effect.flatMap(Schema.decodeUnknown(Body)(body), ({ messages }) => {
    const message = (messages.findLast(({ role }) => role === "user")?.parts ?? []).flatMap((part) =>
      Predicate.hasProperty(part, "type") && part.type === "text" && Predicate.hasProperty(part, "text") &&
        typeof part.text === "string"
        ? [part.text]
        : []
    ).join("\n")
    const conversationId = messages.map(({ metadata }) => conversationOf(metadata)).findLast((id) => id !== undefined)
    return Schema.decode(Question)({ message, ...(conversationId === undefined ? {} : { conversationId }) })
  })

const Question = Schema.Struct({
  message: Schema.String.pipe(Schema.filter((text) => text.trim() !== "" || "the newest message must have text")),
  conversationId: Schema.optionalWith(ConversationId, { exact: true })
})
