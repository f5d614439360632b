import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type ScenarioOptions, serveScenario } from "../../local/scenario/serve.ts"
import { UsageError } from "../failure.ts"
import { Output } from "../output.ts"
import { Signals } from "../signals.ts"

interface Serving extends Omit<ScenarioOptions, "onReload"> {
  /** Resources come from the seed. */
  readonly seed: string | undefined
}

const serving = (options: Serving) =>
  Effect.gen(function*() {
    const { line, note } = yield* Output
    const { agents, control: local, isPublic, view } = yield* serveScenario({ ...options, onReload: note }).pipe(
      Effect.catchTag("ScenarioError", ({ message }) => new UsageError({ message }))
    )
    if (isPublic) {
      yield* note(
        `Warning: ${options.host} may be reached from other machines, and the credentials below are the same everywhere. Use 127.0.0.1 unless that is what you want.`
      )
    }
    yield* line(`Local Dust is at ${local.url}

  export DUST_BASE_URL=${local.url}
  export DUST_WORKSPACE_ID=${local.workspaceId}
  export DUST_API_KEY=${Redacted.value(local.apiKey)}

A user's access token: ${Redacted.value(local.userToken)}
Agents: ${agents.join(", ")}.${options.seed === undefined ? " Space: vlt_global. Data source: dts_handbook." : ""}${
      view === undefined ? "" : `
What it saw and holds: ${view}`
    }
Stop it with Ctrl-C.`)
    return yield* Effect.never
  }).pipe(Effect.scoped)

export const serve = Command.make(
  "serve",
  {
    port: Options.text("port").pipe(
      Options.withAlias("p"),
      Options.withDefault("3000"),
      Options.withDescription("The port; 0 for a free one; default: 3000")
    ),
    host: Options.text("host").pipe(
      Options.withDefault("127.0.0.1"),
      Options.withDescription("The address to listen on; default: 127.0.0.1")
    ),
    pace: Options.text("pace").pipe(
      Options.withDefault("50 millis"),
      Options.withDescription("The time before each word of an answer; default: 50 millis")
    ),
    noLimits: Options.boolean("no-limits").pipe(
      Options.withDescription("Without the limits per minute and hour that Dust's server has")
    ),
    agents: Options.text("agents").pipe(
      Options.optional,
      Options.withDescription("A .js or .ts file that exports scripted agents; loaded again when it changes")
    ),
    seed: Options.text("seed").pipe(
      Options.optional,
      Options.withDescription("A JSON file with the conversations, data sources, … that exist from the start")
    ),
    quirks: Options.text("quirk").pipe(
      Options.repeated,
      Options.withDescription("Change a quirk of the server, such as doneFrame=false; may be repeated")
    )
  },
  ({ agents, host, noLimits, pace, port, quirks, seed }) =>
    Effect.gen(function*() {
      const number = Number(port.trim() || "none")
      if (!Number.isInteger(number) || number < 0 || number > 65_535) {
        return yield* new UsageError({ message: "--port: must be a number from 0 to 65535" })
      }
      const duration = Duration.decodeUnknown(pace)
      if (Option.isNone(duration)) {
        return yield* new UsageError({ message: "--pace: must be a duration, such as \"50 millis\"" })
      }
      // Ctrl-C is the regular way to stop the server.
      yield* (yield* Signals).untilStopped(serving({
        port: number,
        host,
        pace: duration.value,
        limits: !noLimits,
        agents: Option.getOrUndefined(agents),
        seed: Option.getOrUndefined(seed),
        quirks
      }))
    })
).pipe(Command.withDescription("Serve Local Dust, an in-memory workspace, for development and tests"))
