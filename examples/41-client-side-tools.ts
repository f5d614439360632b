/**
 * Gives an agent tools that run in this process: Effects with a Schema for their input.
 *
 * Dust requires a user access token (DUST_ACCESS_TOKEN) for this, since the tools belong to that user.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { DateTime, Effect, Schema } from "effect"
import { Chat } from "effect-dust/Chat"
import * as McpServers from "effect-dust/McpServers"
import { agent, done, dust, failed, note, says, title } from "./support.ts"

const currentTime = McpServers.tool({
  name: "current_time",
  description: "The current time in a time zone",
  input: Schema.Struct({
    timeZone: Schema.String.annotations({ description: "An IANA name, such as Europe/Paris" })
  }),
  annotations: { readOnlyHint: true },
  handler: ({ timeZone }) =>
    DateTime.now.pipe(
      Effect.flatMap(DateTime.setZoneNamed(timeZone)),
      Effect.map((now) => DateTime.format(now, { locale: "en-US", timeStyle: "short" })),
      Effect.tap((time) => says("tool", `asked for ${timeZone}: ${time}`)),
      Effect.catchTag("NoSuchElementException", () =>
        Effect.fail(new McpServers.ToolError({ message: `There is no time zone ${timeZone}` })))
    )
})

const program = Effect.gen(function*() {
  const servers = yield* McpServers.McpServers
  const chat = yield* Chat

  yield* title("Serving a tool")
  const server = yield* servers.serve({ name: "Kitchen clock", tools: [currentTime] })
  yield* done(`registered as ${yield* server.serverId}`)

  yield* title("Asking an agent that may call it")
  const question = "What time is it in Paris?"
  yield* says("you", question)
  const reply = yield* chat.send({
    agent: yield* agent,
    message: question,
    context: { clientSideMCPServerIds: [yield* server.serverId] }
  })
  yield* says("agent", reply.text)
}).pipe(
  Effect.scoped,
  Effect.tap(() => note("The scope is closed: the tool is no longer offered.")),
  Effect.catchTag("DustUserRequiredError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
