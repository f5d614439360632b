/** Shows an answer as it streams. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ChatEvent, type Reply } from "../../ChatEvent.ts"
import { type AgentAction, plainText } from "../../Message.ts"
import { Growing } from "../chat/text.ts"
import { clean, json, oneLine, Output } from "./output.ts"
import { command } from "./program.ts"

export interface ShowOptions {
  /** One JSON object per event. */
  readonly json: boolean
  /** Also show the agent's thinking. */
  readonly thinking: boolean
}

const toolLine = ({ params, toolName }: AgentAction, columns: number) => {
  const inputs = Object.keys(params).length === 0 ? "" : ` ${JSON.stringify(params)}`
  return oneLine(`${toolName}${inputs}`, columns - 4)
}

const seconds = (milliseconds: number | null) =>
  milliseconds === null ? "" : ` (${Math.round(milliseconds / 100) / 10} s)`

const sources = (reply: Reply): ReadonlyArray<string> => [
  ...reply.citations.map(({ title, url }, index) =>
    `[${index + 1}] ${[title, url].filter((part) => part !== null && part !== "").join(" ")}`
  ),
  ...reply.generatedFiles.map(({ fileId, title }) => `File: ${title ?? fileId} (${fileId})`)
]

const handedOver = ({ conversationId }: Reply, messageId: string) =>
  `Handed over to another agent; follow it with: ${command(`resume ${conversationId} ${messageId}`)}`

/** The tool of Dust with which an agent asks a question. Its prompt already shows the question. */
const asks = ({ toolName }: AgentAction) => toolName === "ask_user_question"

const encode = Schema.encodeSync(ChatEvent)

/** Shows one answer, event by event. Not reusable for another answer. */
export const show = (
  options: ShowOptions
): Effect.Effect<(event: ChatEvent) => Effect.Effect<void, never, Output>, never, Output> =>
  Effect.map(Output, ({ columns, endLine, interactive, note, noteStyle, toTerminal, write }) => {
    const text = new Growing()
    let begun = false
    let thought = ""
    /** Thinking arrives in pieces, and is shown as a paragraph before the next other event. */
    const thoughts = Effect.suspend(() => {
      const paragraph = clean(thought).trim()
      thought = ""
      return paragraph === "" ? Effect.void : note(noteStyle.dim(`… ${paragraph}`))
    })
    /** The text that the event appends on the terminal. */
    const grow = (event: ChatEvent) =>
      Effect.suspend(() => {
        const out: Array<string> = []
        text.push(event, out)
        const more = clean(out.join(""))
        const shown = begun ? more : more.trimStart()
        begun ||= shown !== ""
        return write(shown)
      })
    const done = (event: Extract<ChatEvent, { _tag: "Done" }>) =>
      Effect.gen(function*() {
        const { reply } = event
        if (!toTerminal) return yield* write(`${clean(plainText(reply.text)).trimEnd()}\n`)
        yield* grow(event)
        yield* endLine
        for (const source of sources(reply)) yield* note(noteStyle.dim(oneLine(source, columns() - 1)))
        if (reply.handedOverTo !== null) yield* note(noteStyle.dim(handedOver(reply, reply.handedOverTo)))
      })
    const people = (event: ChatEvent) => {
      switch (event._tag) {
        case "TextDelta":
        case "Reset":
          return toTerminal ? grow(event) : Effect.void
        case "ToolStarted":
          return interactive && asks(event.action)
            ? Effect.void
            : note(noteStyle.dim(`→ ${toolLine(event.action, columns())}`))
        case "ToolProgress":
          return event.label === null ? Effect.void : note(noteStyle.dim(`  ${oneLine(event.label, columns() - 4)}`))
        case "ToolFinished": {
          const { executionDurationMs, status, toolName } = event.action
          const good = status === null || status === "succeeded"
          if (interactive && good && asks(event.action)) return Effect.void
          const mark = good ? noteStyle.green("✓") : noteStyle.red("✗")
          return note(
            `${mark} ${
              noteStyle.dim(`${oneLine(toolName, 60)}${good ? "" : ` ${status}`}${seconds(executionDurationMs)}`)
            }`
          )
        }
        case "AuthenticationNeeded":
          return note(
            `${noteStyle.yellow("!")} ${
              oneLine(event.tool.toolName, 60)
            } waits until you connect an account, or give access to a file, in Dust`
          )
        case "Done":
          return done(event)
        default:
          return Effect.void
      }
    }
    return (event) => {
      if (options.json) return json(encode(event))
      if (event._tag !== "Thinking") return Effect.zipRight(thoughts, people(event))
      if (options.thinking) thought += event.text
      return Effect.void
    }
  })
