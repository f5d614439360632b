/**
 * Shared by the examples: the connection to Dust, and printing.
 *
 * With DUST_WORKSPACE_ID and DUST_API_KEY (or DUST_ACCESS_TOKEN) set, they use Dust, after a confirmation. Without,
 * they use Local Dust: a workspace in memory, here on a real port, with the scripted agents below.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { Config, type ConfigError, Console, Context, Effect, Layer } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as Spaces from "effect-dust/Spaces"
import * as Readline from "node:readline/promises"

const variable = (name: string) => Config.string(name).pipe(Config.withDefault(""), Config.map((value) => value.trim()))

const paint = (code: number) => (text: string) =>
  process.stdout.isTTY === true ? `\u001b[${code}m${text}\u001b[0m` : text

export const dim = paint(90)
export const bold = paint(1)
export const green = paint(32)
export const red = paint(31)
export const cyan = paint(36)

export const title = (text: string) => Console.log(`\n${bold(text)}`)
export const says = (who: string, what: string) =>
  Console.log(`  ${cyan(who.padEnd(10))} ${what.replaceAll("\n", "\n             ")}`)
export const done = (text: string) => Console.log(`  ${green("✓")} ${text}`)
export const failed = (text: string) => Console.log(`  ${red("✗")} ${text}`)
export const note = (text: string) => Console.log(dim(`  ${text}`))
/** A terminal line that is overwritten. */
export const progress = (text: string) => write(process.stdout.isTTY === true ? `\r\u001b[2K  ${text}` : `  ${text}\n`)
export const bar = ({ processed, total = 0 }: { readonly processed: number; readonly total?: number | undefined }) => {
  const full = total === 0 ? 20 : Math.round(20 * processed / total)
  return `[${"█".repeat(full)}${"·".repeat(20 - full)}] ${processed} of ${total}`
}
export const write = (text: string) => Effect.sync(() => void process.stdout.write(text))

/** The agents of Local Dust. */
const agents = {
  dust: {
    name: "dust",
    script: ({ clientSideMCPServerIds, message }) =>
      clientSideMCPServerIds.length > 0
        ? [DustTest.clientTool({
          name: "current_time",
          inputs: { timeZone: "Europe/Paris" },
          onResult: ({ output }) => `It is ${output} in Paris.`
        })]
        : message.endsWith("?")
        ? `You asked: "${message}" In Local Dust every agent is scripted, so this is all that I know. Set DUST_WORKSPACE_ID and DUST_API_KEY to ask a real one.`
        : `I read: "${message}"`
  },
  researcher: {
    name: "Researcher",
    script: [
      DustTest.think("The roadmap is in Notion. "),
      DustTest.text("Let me look at the roadmap. ", { pace: "20 millis" }),
      DustTest.tool({
        name: "search",
        inputs: { query: "roadmap" },
        progress: [{ label: "Searching Notion", progress: 1, total: 2 }],
        output: "Q4: streaming, approvals, files"
      }),
      DustTest.text("Three things are on the roadmap for this quarter: streaming, approvals and files.", {
        pace: "15 millis"
      })
    ]
  },
  mailer: {
    name: "Mailer",
    script: [
      DustTest.text("I will write to the team. "),
      DustTest.approval({
        name: "send_email",
        inputs: { to: "team@example.com", subject: "Roadmap" },
        stake: "high",
        output: "sent",
        onResult: ({ approved }) => approved ? "The mail is on its way." : "I did not send the mail."
      })
    ]
  },
  slow: { name: "Slow", script: [DustTest.text("One word after the other, slowly.", { pace: "400 millis" })] },
  silent: { name: "Silent", script: [DustTest.silence()] },
  quick: { name: "Quick", script: "I was first." },
  triage: {
    name: "Triage",
    script: ({ message }) =>
      message.startsWith("Your answer cannot be used")
        ? "You are right:\n```json\n{\"queue\":\"billing\",\"urgent\":false,\"due\":\"2026-12-01T12:00:00Z\"}\n```"
        : "Gladly! {\"queue\":\"finance\",\"urgent\":\"no\",\"due\":\"2026-12-01T12:00:00Z\"}"
  },
  broken: {
    name: "Broken",
    script: [
      DustTest.text("I was about to say…"),
      DustTest.fail({ code: "model_error", message: "the model is overloaded", category: "retryable_model_error" })
    ]
  }
} satisfies DustTest.Options["agents"]

const hasCredential = Config.zipWith(
  variable("DUST_API_KEY"),
  variable("DUST_ACCESS_TOKEN"),
  (key, token) => key + token !== ""
)

const local = (credential: DustTest.ClientOptions["credential"]) =>
  DustTest.layerServe({ agents, credential }).pipe(
    Layer.tap((context) =>
      note(`No DUST_API_KEY is set: talking to Local Dust at ${Context.get(context, DustTest.DustTest).url}`)
    )
  )

type DustLayer = Layer.Layer<
  Dust.Services,
  ConfigError.ConfigError | DustTest.DustTestServeError,
  HttpClient.HttpClient
>

/** The examples write data: into a real workspace only after a confirmation, or with the flag `--yes`. */
const agreed = Effect.gen(function*() {
  if (process.argv.includes("--yes")) return
  const workspace = yield* variable("DUST_WORKSPACE_ID")
  const notice = `DUST_* is set: this example writes to the Dust workspace ${workspace}.`
  if (process.stdin.isTTY !== true) {
    yield* failed(`${notice} Pass --yes to run it, or unset the variables to use Local Dust.`)
    return yield* Effect.sync((): void => process.exit(1))
  }
  const terminal = Readline.createInterface({ input: process.stdin, output: process.stdout })
  const answer = yield* Effect.promise(() => terminal.question(`${notice} Continue? [y/N] `))
  terminal.close()
  if (!/^y(es)?$/i.test(answer.trim())) return yield* Effect.sync((): void => process.exit(1))
})

/** All services of the SDK, over Dust, or over Local Dust with one of its credentials. */
export const dustAs = (credential: "userToken" | "adminApiKey") =>
  Layer.unwrapEffect(
    Effect.flatMap(
      hasCredential,
      (real): Effect.Effect<DustLayer, ConfigError.ConfigError> =>
        real ? Effect.as(agreed, Dust.layerEnv) : Effect.succeed(local(credential))
    )
  ).pipe(Layer.provide(NodeHttpClient.layerUndici))

/** The same with a user access token. */
export const dust = dustAs("userToken")

/** The agent of the examples: `DUST_AGENT`, or Dust's own. */
export const agent = Config.string("DUST_AGENT").pipe(Config.withDefault("dust"))

/** The folder of the examples: `DUST_FOLDER` in the space `DUST_SPACE`, or that of Local Dust. */
export const folder = Effect.gen(function*() {
  const spaces = yield* Spaces.Spaces
  const space = yield* Config.string("DUST_SPACE").pipe(Config.withDefault("Company Data"))
  const name = yield* Config.string("DUST_FOLDER").pipe(Config.withDefault("handbook"))
  const { sId: spaceId } = yield* spaces.findByName(space)
  const { sId: dataSourceId } = yield* Effect.flatMap(
    DataSources.DataSources,
    (all) => all.findByName({ spaceId, name })
  )
  return { spaceId, dataSourceId }
})
