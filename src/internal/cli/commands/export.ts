import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Agents } from "../../../Agents.ts"
import { Conversations } from "../../../Conversations.ts"
import { authorName, type Message, plainText } from "../../../Message.ts"
import { AnalyticsRows, type AnalyticsTable } from "../../../Usage.ts"
import { Workspace } from "../../../Workspace.ts"
import { asJson } from "../asking.ts"
import { connected, local } from "../connect.ts"
import { UsageError } from "../failure.ts"
import { clean, json, Output } from "../output.ts"

const output = Options.text("output").pipe(
  Options.withAlias("o"),
  Options.optional,
  Options.withDescription("Write to this file instead of stdout")
)

/** Writes text to a file unchanged, or to a terminal without control characters. */
const save = <E, R>(file: Option.Option<string>, text: Stream.Stream<string, E, R>) =>
  Option.match(file, {
    onNone: () =>
      Effect.flatMap(Output, ({ toTerminal, write }) =>
        Stream.runForEach(text, (piece) => write(toTerminal ? clean(piece) : piece))),
    onSome: (file) =>
      Effect.flatMap(FileSystem.FileSystem, (fileSystem) =>
        Stream.run(Stream.encodeText(text), fileSystem.sink(file)))
  })

const day = (name: string, description: string) =>
  Options.text(name).pipe(Options.optional, Options.withDescription(description))

const period = {
  from: day("from", "The first day, YYYY-MM-DD; default: 29 days ago"),
  to: day("to", "The last day (inclusive), YYYY-MM-DD; default: today")
}

/** The first and last day, in UTC. */
const daysOf = (flags: { readonly from: Option.Option<string>; readonly to: Option.Option<string> }) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const text = (millis: number) => new Date(millis).toISOString().slice(0, 10)
    const check = (name: string, value: string) =>
      /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value))
        ? Effect.succeed(value)
        : Effect.fail(new UsageError({ message: `--${name}: must be a day, such as 2026-01-31` }))
    return {
      startDate: yield* check("from", Option.getOrElse(flags.from, () => text(now - 29 * 86_400_000))),
      endDate: yield* check("to", Option.getOrElse(flags.to, () => text(now)))
    }
  })

const heading = (message: Message) => {
  const when = message.created > 0
    ? DateTime.formatIso(DateTime.unsafeMake(message.created)).slice(0, 16).replace("T", " ")
    : ""
  const author = authorName(message) || (message.type === "content_fragment" ? "Attachment" : "Unknown")
  return `## ${author}${when === "" ? "" : `, ${when} UTC`}`
}

/** How an answer ended, unless it succeeded. */
const outcome = (message: Message): string => {
  if (message.type !== "agent_message" || message.status === "succeeded") return ""
  if (message.status === "created") return "*not finished*"
  return `*${message.error === null ? message.status : `failed: ${message.error.message} (${message.error.code})`}*`
}

const markdown = (message: Message): string =>
  [heading(message), plainText(message).trim(), outcome(message)].filter((part) => part !== "").join("\n\n")

export const exportConversation = Command.make(
  "conversation",
  {
    id: Args.text({ name: "id" }).pipe(
      Args.withDescription("The id of the conversation: the last part of its address")
    ),
    json: asJson,
    local,
    output
  },
  (flags) =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const conversation = yield* conversations.get(flags.id)
      const messages = yield* conversations.listMessages(flags.id)
      if (flags.json) {
        const lines = [conversation, ...messages].map((one) => `${JSON.stringify(one)}\n`)
        return yield* save(flags.output, Stream.fromIterable(lines))
      }
      const parts = messages.map((message) => `${markdown(message)}\n\n`)
      yield* save(flags.output, Stream.fromIterable([`# ${conversation.title ?? flags.id}\n\n`, ...parts]))
    }).pipe(Effect.provide(connected(flags.local)))
).pipe(Command.withDescription("Export a conversation as Markdown, or its messages as JSON"))

export const exportAgent = Command.make(
  "agent",
  { id: Args.text({ name: "id" }).pipe(Args.withDescription("The id of the agent")), local, output },
  (flags) =>
    Effect.gen(function*() {
      const yaml = yield* Effect.flatMap(Agents, (agents) => agents.exportYaml(flags.id))
      yield* save(flags.output, Stream.make(yaml))
    }).pipe(Effect.provide(connected(flags.local)))
).pipe(Command.withDescription("Export the configuration of an agent as YAML"))

export const analyticsTables = Object.keys(AnalyticsRows) as ReadonlyArray<AnalyticsTable>

export const exportAnalytics = Command.make(
  "analytics",
  {
    table: Args.choice(analyticsTables.map((name) => [name, name] as const) as [[AnalyticsTable, AnalyticsTable]], {
      name: "table"
    }).pipe(Args.withDescription(analyticsTables.join(", "))),
    ...period,
    local,
    output
  },
  (flags) =>
    Effect.gen(function*() {
      const workspace = yield* Workspace
      yield* save(flags.output, workspace.streamAnalyticsCsv({ table: flags.table, ...(yield* daysOf(flags)) }))
    }).pipe(Effect.provide(connected(flags.local)))
).pipe(Command.withDescription("Export a table of the workspace's analytics as CSV"))

export const exportConsumption = Command.make(
  "consumption",
  { ...period, json: asJson, local, output },
  (flags) =>
    Effect.gen(function*() {
      const workspace = yield* Workspace
      const { endDate, startDate } = yield* daysOf(flags)
      // The end is an instant here.
      const days = { startDate, endDate: new Date(Date.parse(endDate) + 86_400_000) }
      if (flags.json) return yield* Stream.runForEach(workspace.streamConsumption(days), json)
      yield* save(flags.output, workspace.streamConsumptionCsv(days))
    }).pipe(Effect.provide(connected(flags.local)))
).pipe(Command.withDescription("Export the cost of each model and tool call as CSV; at most 30 days"))

export const exporting = Command.make("export").pipe(
  Command.withDescription("Export a conversation, an agent, analytics or consumption"),
  Command.withSubcommands([exportConversation, exportAgent, exportAnalytics, exportConsumption])
)
