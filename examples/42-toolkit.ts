/**
 * Gives an agent the tools of an `@effect/ai` Toolkit, with the application's existing handlers.
 *
 * Dust requires a user access token (DUST_ACCESS_TOKEN) for this, since the tools belong to that user.
 */
import { Tool, Toolkit } from "@effect/ai"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { DateTime, Effect, Schema } from "effect"
import * as Chat from "effect-dust/Chat"
import * as McpServers from "effect-dust/McpServers"
import { agent, done, dust, failed, says, title } from "./support.ts"

const Clock = Toolkit.make(
  Tool.make("current_time", {
    description: "The current time in a time zone",
    parameters: { timeZone: Schema.String.annotations({ description: "An IANA name, such as Europe/Paris" }) },
    success: Schema.String
  }).annotate(Tool.Readonly, true)
)

const ClockLive = Clock.toLayer({
  current_time: ({ timeZone }) =>
    DateTime.now.pipe(
      Effect.map((now) =>
        DateTime.format(DateTime.unsafeSetZoneNamed(now, timeZone), { locale: "en-US", timeStyle: "short" })
      ),
      Effect.tap((time) => says("tool", `asked for ${timeZone}: ${time}`))
    )
})

const program = Effect.gen(function*() {
  const servers = yield* McpServers.McpServers
  const chat = yield* Chat.Chat

  yield* title("Serving a Toolkit")
  const server = yield* servers.serve({ name: "Kitchen clock", tools: McpServers.fromToolkit(yield* Clock) })
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
  Effect.provide(ClockLive),
  Effect.catchTag("DustUserRequiredError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
