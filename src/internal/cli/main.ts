/** Parses and runs a command, and reports its failure. */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import process from "node:process"
import { isDustAPIError } from "../../DustAPIError.ts"
import { version } from "../version.ts"
import { ask, resume } from "./commands/ask.ts"
import { chat } from "./commands/chat.ts"
import {
  analyticsTables,
  exportAgent,
  exportAnalytics,
  exportConsumption,
  exportConversation,
  exporting
} from "./commands/export.ts"
import { agents, search } from "./commands/find.ts"
import { load } from "./commands/load.ts"
import { logout } from "./commands/logout.ts"
import { serve } from "./commands/serve.ts"
import { sync } from "./commands/sync.ts"
import { completions, shellIn } from "./completions.ts"
import { codes, reportOf, UsageError } from "./failure.ts"
import { entryOf, helpFor, normalized, wrongWord } from "./help.ts"
import * as Output from "./output.ts"
import { proxyAdvice } from "./proxy.ts"
import * as Signals from "./signals.ts"
import * as Terminal from "./terminal.ts"

const root = Command.make("effect-dust").pipe(
  Command.withSubcommands([ask, chat, resume, agents, search, sync, load, exporting, serve, logout])
)

const entries = [
  entryOf(ask, "ask"),
  entryOf(chat, "chat"),
  entryOf(resume, "resume"),
  entryOf(agents, "agents"),
  entryOf(search, "search"),
  entryOf(sync, "sync"),
  entryOf(load, "load"),
  entryOf(exportConversation, "export", "conversation"),
  entryOf(exportAgent, "export", "agent"),
  entryOf(exportAnalytics, "export", "analytics"),
  entryOf(exportConsumption, "export", "consumption"),
  entryOf(serve, "serve"),
  entryOf(logout, "logout")
]

const groups = [entryOf(exporting, "export")]

const parse = Command.run(root, { name: "effect-dust", version, executable: "effect-dust" })

// oxlint-disable-next-line no-control-regex
const colour = /\u001b\[[0-9;]*m/g

/** Prints the parser's help, without colours unless on a terminal. Errors are reported once, below. */
const withConsole = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { line, style } = yield* Output.Output
    const coloured = style.bold("") !== ""
    const base = yield* Console.consoleWith(Effect.succeed)
    const console: Console.Console = Object.assign(Object.create(base), {
      log: (...all: ReadonlyArray<unknown>) => {
        const text = all.map(String).join(" ").trimEnd()
        return line(coloured ? text : text.replace(colour, ""))
      },
      error: () => Effect.void
    })
    return yield* Effect.withConsole(self, console)
  })

/** Logs of the SDK that explain a pause to a person at a terminal. */
const waits: Readonly<Record<string, string>> = {
  "Request is retried after a pause": "Dust does not answer; trying again…",
  "Event stream reconnects": "The connection to Dust was lost; reconnecting…",
  "Waiting for a rate limit of Dust": "Waiting for Dust's rate limit…"
}

/** Writes logs to stderr, since stdout is for results. `notices`: shows why the program waits, instead of what is debugged. */
const logger = (notices: Output.Service | undefined) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, cause, logLevel, message }) => {
      const text = (Array.isArray(message) ? message : [message]).map(String).join(" ")
      const facts = [...annotations]
      if (notices !== undefined && LogLevel.lessThan(logLevel, LogLevel.Warning)) {
        // A page of events that has ended, or an idle connection, is replaced by the next one without a delay.
        const isRegular = facts.some(([name, value]) => name === "reason" && (value === "page" || value === "silence"))
        const wait = waits[text]
        return wait === undefined || isRegular ? undefined : notices.notice(wait)
      }
      const why = Cause.isEmpty(cause) ? "" : `: ${reportOf(cause, 0).line ?? "interrupted"}`
      const all = facts.map(([name, value]) => ` ${name}=${String(value)}`).join("")
      process.stderr.write(`${logLevel.label.toLowerCase()}: ${Output.oneLine(text + all + why, Infinity)}\n`)
    })
  )

const wantsJson = (args: ReadonlyArray<string>) => args.slice(0, args.indexOf("--") >>> 0).includes("--json")

/** Prints one line, or JSON for scripts. */
const report = (cause: Cause.Cause<unknown>, args: ReadonlyArray<string>, interruptedWith: number) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure) && ValidationError.isValidationError(failure.value)) {
      const text = HelpDoc.toAnsiText(failure.value.error).replace(colour, "").replace(/\s+/g, " ").trim()
      yield* output.note(`${output.noteStyle.red("effect-dust:")} ${text.replace(/\.$/, "")}; see ${helpCommand(args)}`)
      return codes.usage
    }
    const { code, json, line: said } = reportOf(cause, interruptedWith)
    const isNetwork = Option.exists(failure, (error) => isDustAPIError(error) && error._tag === "DustNetworkError")
    const advice = isNetwork ? yield* proxyAdvice : undefined
    const line = said === undefined || advice === undefined ? said : `${said}; ${advice}`
    if (line !== undefined) {
      yield* output.note(
        wantsJson(args) ? JSON.stringify({ error: json }) : `${output.noteStyle.red("effect-dust:")} ${line}`
      )
    }
    return code
  })

/** The help command to refer to in an error. */
const helpCommand = (args: ReadonlyArray<string>) => {
  const at = args.findIndex((word) => entries.some(({ path }) => path[0] === word))
  const path = entries.find(({ path }) => path.every((word, index) => args[at + index] === word))?.path ?? []
  return ["effect-dust", ...path, "--help"].join(" ")
}

const Environment = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  Terminal.layer,
  CliConfig.layer({ showBuiltIns: false })
).pipe(
  Layer.provideMerge(Output.layer)
)

/** Moves a lone `-` (stdin) to the end. The parser would take it for an option and stop there. */
const stdinLast = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const at = args.indexOf("-")
  if (at < 0 || args.slice(0, at).includes("--") || args[at - 1]?.startsWith("-") === true) return args
  return [...args.slice(0, at), ...args.slice(at + 1), "-"]
}

/** The exit code of a command. */
const command = (args: ReadonlyArray<string>, interruptedWith: () => number) =>
  Effect.gen(function*() {
    const { columns, line, style } = yield* Output.Output
    const help = helpFor(entries, args, Math.min(columns(), 110), style)
    const wrong = help === undefined ? wrongWord(entries, args) : undefined
    if (wrong !== undefined) {
      return yield* new UsageError({
        message: `${wrong}${wrong.endsWith("?") ? " See" : "; see"} ${helpCommand(args)}`
      })
    }
    const shell = shellIn(args)
    if (shell !== undefined) {
      return yield* line(completions(shell, entries, groups, { "export analytics": analyticsTables }))
    }
    yield* help === undefined ? withConsole(parse(["node", "effect-dust", ...stdinLast(args)])) : line(help)
  }).pipe(
    Effect.as<number>(codes.ok),
    Effect.catchAllCause((cause) => report(cause, args, interruptedWith()))
  )

/**
 * Runs the command line and returns its exit code. `interruptedWith` is read after an interruption.
 */
export const run = (
  given: ReadonlyArray<string>,
  signals: Signals.Service,
  interruptedWith: () => number
): Effect.Effect<number> => {
  const args = normalized(given)
  const levelGiven = args.some((word) => /^--log-level(?:=|$)/.test(word))
  return Effect.gen(function*() {
    const output = yield* Output.Output
    const notices = output.interactive && !levelGiven && !wantsJson(args) ? output : undefined
    return yield* command(args, interruptedWith).pipe(
      Effect.provide(logger(notices)),
      Logger.withMinimumLogLevel(notices === undefined ? LogLevel.Warning : LogLevel.Debug)
    )
  }).pipe(
    Effect.provideService(Signals.Signals, signals),
    Effect.provide(Environment)
  )
}
