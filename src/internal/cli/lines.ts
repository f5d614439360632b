/** Reads lines: with history and editing on a terminal, or from a pipe. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import process from "node:process"
import * as Readline from "node:readline"

/** `None` at the end of the input, on Ctrl-D, and on Ctrl-C on an empty line. */
export type ReadLine = Effect.Effect<Option.Option<string>>

/** Lines that arrive within this time were pasted together, and form one message. */
const pasteMillis = 30

/** Reads one message. The editor is closed afterwards, so that prompts can read the keyboard. */
const typed = (prompt: string, history: Array<string>): ReadLine =>
  Effect.async((resume) => {
    const { stderr, stdin } = process
    const editor = Readline.createInterface({
      input: stdin,
      output: stderr,
      terminal: true,
      history: [...history],
      prompt
    })
    const lines: Array<string> = []
    let ended = false
    let timer: NodeJS.Timeout | undefined
    const end = (message: Option.Option<string>) => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      editor.close()
      stdin.pause()
      if (Option.isSome(message) && message.value.trim() !== "") history.unshift(message.value.replaceAll("\n", " "))
      resume(Effect.succeed(message))
    }
    editor.on("line", (line) => {
      lines.push(line)
      clearTimeout(timer)
      timer = setTimeout(() => {
        // Pasted without the last line end, or continued with a backslash: more input follows.
        if (editor.line !== "") return
        const last = lines.at(-1) ?? ""
        if (!last.endsWith("\\")) return end(Option.some(lines.join("\n")))
        lines[lines.length - 1] = last.slice(0, -1)
      }, pasteMillis)
    })
    editor.on("SIGINT", () => {
      if (editor.line === "" && lines.length === 0) {
        stderr.write("\n")
        return end(Option.none())
      }
      lines.length = 0
      stderr.write("^C\n")
      editor.write(null, { ctrl: true, name: "u" })
      editor.prompt()
    })
    editor.on("close", () => {
      if (ended) return
      stderr.write("\n")
      end(lines.length === 0 ? Option.none() : Option.some(lines.join("\n")))
    })
    editor.prompt()
    return Effect.sync(() => end(Option.none()))
  })

/** Returns the effect that reads the next message. */
export const reader: Effect.Effect<(prompt: string) => ReadLine, never, Scope.Scope> = Effect.suspend(() => {
  if (process.stdin.isTTY) {
    const history: Array<string> = []
    return Effect.succeed((prompt: string) => typed(prompt, history))
  }
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => Readline.createInterface({ input: process.stdin, crlfDelay: Infinity })),
      (lines) => Effect.sync(() => lines.close())
    ),
    (lines) => {
      const iterator = lines[Symbol.asyncIterator]()
      const next = Effect.map(
        Effect.promise(() => iterator.next()),
        ({ done, value }) => done === true ? Option.none<string>() : Option.some(String(value))
      )
      return () => next
    }
  )
})
