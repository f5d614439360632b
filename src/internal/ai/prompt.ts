/**
 * A prompt as one message. Dust keeps the history of a conversation itself, has no system prompt beside the instructions of
 * the agent, and takes files as attachments.
 */
import type * as AiError from "@effect/ai/AiError"
import type * as Prompt from "@effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import { unmappable } from "./aiError.ts"

/** The files of a prompt, with their bytes. */
export interface PromptFile {
  readonly content: Uint8Array
  readonly contentType: string
  readonly fileName: string
}

const tagged = (tag: string, text: string) => `<${tag}>\n${text}\n</${tag}>`

const partText = (part: Prompt.Part): ReadonlyArray<string> => {
  switch (part.type) {
    case "text":
      return [part.text]
    case "tool-call":
      return [tagged("tool_call", JSON.stringify({ name: part.name, params: part.params }))]
    case "tool-result":
      return [tagged("tool_result", JSON.stringify({ name: part.name, result: part.result }))]
    // Files are attached, and what a model thought is not for another one.
    default:
      return []
  }
}

const textOf = ({ content }: Prompt.Message): string =>
  typeof content === "string" ? content : content.flatMap(partText).join("\n")

const tags = { system: "instructions", user: "user", assistant: "assistant", tool: "tools" } as const

/** The messages as one text. The last one stands at the end by itself if it is the user's. */
export const wordsOf = (messages: ReadonlyArray<Prompt.Message>): string => {
  const last = messages.at(-1)
  return messages.flatMap((message) => {
    const text = textOf(message)
    if (text.trim() === "") return []
    return [message === last && message.role === "user" ? text : tagged(tags[message.role], text)]
  }).join("\n\n")
}

/** The start of a data URL. */
const dataUrl = /^data:[^,]*?(;base64)?,/i

const bytesOf = (method: string, part: Prompt.FilePart): Effect.Effect<Uint8Array, AiError.AiError> => {
  if (part.data instanceof Uint8Array) return Effect.succeed(part.data)
  const text = String(part.data)
  const name = part.fileName ?? part.mediaType
  const head = dataUrl.exec(text)
  if (head === null && part.data instanceof URL) {
    return Effect.fail(unmappable(
      method,
      `the file ${name} is a URL, and Dust does not fetch URLs; pass its bytes, or upload it with Files.upload and give File.contentFragment(file) as an attachment in DustLanguageModel.withConfig`
    ))
  }
  if (head !== null && head[1] === undefined) {
    return Effect.mapError(
      Effect.try(() => new TextEncoder().encode(decodeURIComponent(text.slice(head[0].length)))),
      () => unmappable(method, `the file ${name} is not a valid data URL`)
    )
  }
  return Effect.mapError(
    Encoding.decodeBase64(text.slice(head?.[0].length ?? 0)),
    () => unmappable(method, `the file ${name} must be bytes, a data URL or valid base64`)
  )
}

/** The files of the messages. */
export const filesOf = (
  method: string,
  messages: ReadonlyArray<Prompt.Message>
): Effect.Effect<ReadonlyArray<PromptFile>, AiError.AiError> =>
  Effect.forEach(
    messages.flatMap(({ content }): ReadonlyArray<Prompt.FilePart> =>
      typeof content === "string" ? [] : content.flatMap((part) => part.type === "file" ? [part] : [])
    ),
    (part, index) =>
      Effect.map(bytesOf(method, part), (content) => ({
        content,
        contentType: part.mediaType,
        fileName: part.fileName ?? `attachment-${index + 1}`
      }))
  )

/** What a conversation has seen of a prompt: its messages as text. */
export type Seen = ReadonlyArray<string>

const seenMessage = (message: Prompt.Message): string => `${message.role}: ${textOf(message)}`

export const seenOf = (prompt: Prompt.Prompt): Seen => prompt.content.map(seenMessage)

/**
 * The messages of a prompt that a conversation does not have yet: those behind the prompt of its last turn and the answer to
 * it, or else those behind the last answer in the prompt.
 */
export const unseen = (prompt: Prompt.Prompt, seen: Seen | undefined): ReadonlyArray<Prompt.Message> => {
  const messages = prompt.content
  const before = seenOf(prompt).slice(0, seen?.length)
  if (seen !== undefined && messages.length > seen.length && before.every((one, index) => one === seen[index])) {
    const rest = messages.slice(seen.length)
    return rest[0]?.role === "assistant" ? rest.slice(1) : rest
  }
  return messages.slice(messages.findLastIndex(({ role }) => role === "assistant") + 1)
}
