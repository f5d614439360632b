/** Answers as parts of `@effect/ai`. */
import type * as Response from "@effect/ai/Response"
import type { ChatEvent, Citation, Reply } from "../../ChatEvent.ts"
import { Growing } from "../chat/text.ts"

/**
 * The `metadata.dust` of a finish part: the place of the answer in Dust, and its values without a part in `@effect/ai`.
 *
 * @category models
 * @since 0.2.0
 */
export type FinishMetadata = {
  readonly conversationId: string
  readonly messageId: string
  /** The tools that the agent used. */
  readonly tools: ReadonlyArray<{ readonly name: string; readonly status: string | null }>
  /** For `Files.download`. */
  readonly generatedFiles: ReadonlyArray<{
    readonly fileId: string | null
    readonly title: string
    readonly contentType: string
  }>
  /** The number of answers that an object required. */
  readonly attempts: number
}

/** Dust does not report tokens. */
const usage = { inputTokens: undefined, outputTokens: undefined, totalTokens: undefined }

const sourceOf = ({ provider, ref, title, url }: Citation) => {
  const common = { type: "source" as const, id: ref, title: title ?? ref, metadata: { dust: { provider } } }
  return url !== null && URL.canParse(url)
    ? { ...common, sourceType: "url" as const, url }
    : { ...common, sourceType: "document" as const, mediaType: "application/octet-stream" }
}

const finishOf = (reply: Reply, attempts: number) => {
  const dust: FinishMetadata = {
    conversationId: reply.conversationId,
    messageId: reply.agentMessage.sId,
    tools: reply.actions.map(({ status, toolName }) => ({ name: toolName, status })),
    generatedFiles: reply.generatedFiles.map(({ contentType, fileId, title }) => ({ fileId, title, contentType })),
    attempts
  }
  return { type: "finish" as const, reason: "stop" as const, usage, metadata: { dust } }
}

const begun = (conversationId: string, messageId: string, modelId: string, timestamp: string) => ({
  type: "response-metadata" as const,
  id: messageId,
  modelId,
  timestamp,
  metadata: { dust: { conversationId, messageId } }
})

/** The parts of a whole answer. */
export const partsOf = (
  reply: Reply,
  options: { readonly text: string; readonly attempts: number; readonly modelId: string; readonly timestamp: string }
): Array<Response.PartEncoded> => [
  begun(reply.conversationId, reply.agentMessage.sId, options.modelId, options.timestamp),
  ...(reply.chainOfThought === null || reply.chainOfThought === ""
    ? []
    : [{ type: "reasoning" as const, text: reply.chainOfThought }]),
  { type: "text", text: options.text },
  ...reply.citations.map(sourceOf),
  finishOf(reply, options.attempts)
]

/**
 * The parts of a streamed answer. Parts cannot be replaced, so the text only grows: the text of a repeated step is
 * dropped, and missing text is added at the end.
 */
export class StreamParts {
  readonly #text = new Growing()
  readonly #modelId: string
  #begun = false
  #open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
  #blocks = 0

  constructor(modelId: string) {
    this.#modelId = modelId
  }

  /** The parts of one event. */
  of(event: ChatEvent, timestamp: string): ReadonlyArray<Response.StreamPartEncoded> {
    switch (event._tag) {
      case "Started": {
        if (this.#begun) return []
        this.#begun = true
        return [begun(event.conversationId, event.messageId, this.#modelId, timestamp)]
      }
      case "Thinking":
        return this.#delta("reasoning", event.text)
      case "Done": {
        const { reply } = event
        // Another agent goes on.
        if (reply.handedOverTo !== null) return []
        return [
          ...this.#texts(event),
          ...this.#close(),
          ...reply.citations.map(sourceOf),
          finishOf(reply, 1)
        ]
      }
      default:
        return this.#texts(event)
    }
  }

  #texts(event: ChatEvent): ReadonlyArray<Response.StreamPartEncoded> {
    const texts: Array<string> = []
    this.#text.push(event, texts)
    return texts.flatMap((text) => this.#delta("text", text))
  }

  #delta(kind: "text" | "reasoning", delta: string): ReadonlyArray<Response.StreamPartEncoded> {
    if (this.#open?.kind === kind) return [{ type: `${kind}-delta`, id: this.#open.id, delta }]
    const closed = this.#close()
    const id = String(this.#blocks++)
    this.#open = { kind, id }
    return [...closed, { type: `${kind}-start`, id }, { type: `${kind}-delta`, id, delta }]
  }

  #close(): ReadonlyArray<Response.StreamPartEncoded> {
    if (this.#open === undefined) return []
    const { id, kind } = this.#open
    this.#open = undefined
    return [{ type: `${kind}-end`, id }]
  }
}
