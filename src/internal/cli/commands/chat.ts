import * as Command from "@effect/cli/Command"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Agents } from "../../../Agents.ts"
import * as Chat from "../../../Chat.ts"
import type { ContentFragmentInput } from "../../../Conversations.ts"
import { agent, agentRef, attach, conversation, files, follow, handlers, thinking, yes } from "../asking.ts"
import { connected, local } from "../connect.ts"
import { reportOf } from "../failure.ts"
import { type ReadLine, reader } from "../lines.ts"
import { Output, table } from "../output.ts"
import { command } from "../program.ts"
import { Signals } from "../signals.ts"

const help = `  /attach FILE   send a file with the next message
  /agent NAME    talk to another agent in this conversation
  /agents        list the agents
  /new           start a new conversation
  /help          show this
  /quit          leave (so does Ctrl-D)

End a line with \\ to continue on the next one. Ctrl-C stops an answer.`

/** The state of a session between two turns. */
interface State {
  agent: string
  conversationId: string | undefined
  attachments: ReadonlyArray<ContentFragmentInput>
}

/** Finds an agent by its id or name. */
const idOf = (text: string) =>
  Effect.gen(function*() {
    const agents = yield* Agents
    const found = (yield* agents.list()).find(({ sId }) => sId === text)
    return (found ?? (yield* agents.findByName(text.replace(/^@/, "")))).sId
  })

/** Runs a slash command. Returns `undefined` for any other input, and `false` to leave the session. */
const slash = (state: State, line: string) => {
  const [, name = "", rest = ""] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? []
  return Effect.gen(function*() {
    const { note, noteStyle } = yield* Output
    switch (name) {
      case "quit":
      case "exit":
        return false
      case "attach": {
        const path = rest.trim().replace(/^(["'])(.*)\1$/, "$2")
        if (path === "") yield* note("Which file? /attach FILE")
        else {
          state.attachments = [...state.attachments, ...(yield* attach([path]))]
          yield* note(noteStyle.dim(`${state.attachments.length} attached to the next message`))
        }
        return true
      }
      case "agent":
        if (rest.trim() !== "") state.agent = yield* idOf(rest.trim())
        yield* note(noteStyle.dim(`Talking to ${state.agent}.`))
        return true
      case "agents":
        yield* table((yield* Effect.flatMap(Agents, (agents) => agents.list())).map(({ description, name, sId }) => [
          sId,
          name,
          description ?? ""
        ]))
        return true
      case "new":
        state.conversationId = undefined
        yield* note(noteStyle.dim("The next message starts a new conversation."))
        return true
      default:
        if (name !== "help") yield* note(`Unknown command: /${name}.`)
        yield* note(help)
        return true
    }
  })
}

/** One question and its answer. */
const turn = (state: State, message: string, flags: { readonly thinking: boolean; readonly yes: boolean }) =>
  Effect.gen(function*() {
    const chat = yield* Chat.Chat
    const { note, noteStyle } = yield* Output
    const { untilStopped } = yield* Signals
    const events = chat.stream({
      ...(yield* handlers(flags.yes)),
      agent: agentRef(state.agent),
      message,
      conversationId: state.conversationId,
      attachments: state.attachments
    })
    const watched = Stream.tap(events, (event) =>
      Effect.sync(() => {
        if (event._tag !== "Started") return
        state.conversationId = event.conversationId
        state.attachments = []
      }))
    const finished = yield* untilStopped(follow(watched, { json: false, thinking: flags.thinking }))
    if (!finished) yield* note(noteStyle.dim("Stopped."))
  })

type Needs = Effect.Effect.Context<ReturnType<typeof slash> | ReturnType<typeof turn>>

/** Reads and answers messages until the user leaves. A failed turn prints its error and does not end the session. */
const talk = (
  state: State,
  read: (prompt: string) => ReadLine,
  flags: { readonly thinking: boolean; readonly yes: boolean }
) =>
  Effect.gen(function*() {
    const { interactive, note, noteStyle } = yield* Output
    const failed = (cause: Cause.Cause<unknown>) => {
      const { line } = reportOf(cause, 0)
      return Effect.as(line === undefined ? Effect.void : note(`${noteStyle.red("✗")} ${line}`), true)
    }
    for (;;) {
      const line = yield* read(interactive ? "> " : "")
      if (Option.isNone(line)) return
      const text = line.value.trim()
      if (text === "") continue
      const step = Effect.suspend((): Effect.Effect<boolean, unknown, Needs> =>
        text.startsWith("/") ? slash(state, text) : Effect.as(turn(state, text, flags), true)
      )
      const goOn = yield* interactive ? Effect.catchAllCause(step, failed) : step
      if (!goOn) return
    }
  })

export const chat = Command.make(
  "chat",
  { agent, conversation, files, local, thinking, yes },
  ({ agent, conversation, files, local, thinking, yes }) =>
    Effect.gen(function*() {
      const { interactive, note, noteStyle } = yield* Output
      const state: State = {
        agent,
        conversationId: Option.getOrUndefined(conversation),
        attachments: yield* attach(files)
      }
      if (interactive) yield* note(noteStyle.dim(`Talking to ${agent}. /help shows the commands, Ctrl-D leaves.`))
      yield* talk(state, yield* reader, { thinking, yes })
      if (state.conversationId !== undefined) {
        const talkingTo = state.agent === "dust"
          ? ""
          : ` --agent ${/\s/.test(state.agent) ? `"${state.agent}"` : state.agent}`
        yield* note(
          noteStyle.dim(`Continue with: ${command(`chat${talkingTo} --conversation ${state.conversationId}`)}`)
        )
      }
    }).pipe(Effect.scoped, Effect.provide(connected(local)))
).pipe(Command.withDescription("Talk to an agent in the terminal"))
