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
        `Warning: ${options.host} may be reachable from other machines, and the credentials below are public. Use 127.0.0.1 unless this is intended.`
      )
    }
    yield* line(`Local Dust is at ${local.url}

  export DUST_BASE_URL=${local.url}
  export DUST_WORKSPACE_ID=${local.workspaceId}
  export DUST_API_KEY=${Redacted.value(local.apiKey)}

To act as a user, replace DUST_API_KEY with DUST_ACCESS_TOKEN=${Redacted.value(local.userToken)}
Agents: ${agents.join(", ")}.${options.seed === undefined ? " Space: vlt_global. Data source: dts_handbook." : ""}${
      view === undefined ? "" : `
Requests and contents: ${view}`
    }
Press Ctrl-C to stop.`)
    return yield* Effect.never
  }).pipe(Effect.scoped)

export const serve = Command.make(
  "serve",
  {
    port: Options.text("port").pipe(
      Options.withAlias("p"),
      Options.withDefault("3000"),
      Options.withDescription("The port, or 0 for any free port; default: 3000")
    ),
    host: Options.text("host").pipe(
      Options.withDefault("127.0.0.1"),
      Options.withDescription("The address to listen on; default: 127.0.0.1")
    ),
    pace: Options.text("pace").pipe(
      Options.withDefault("50 millis"),
      Options.withDescription("The pause before each word of an answer; default: 50 millis")
    ),
    noLimits: Options.boolean("no-limits").pipe(
      Options.withDescription("Turn off Dust's rate limits")
    ),
    agents: Options.text("agents").pipe(
      Options.optional,
      Options.withDescription("A .js or .ts file that exports scripted agents; reloaded when it changes")
    ),
    seed: Options.text("seed").pipe(
      Options.optional,
      Options.withDescription("A JSON file with the initial conversations, data sources, …")
    ),
    quirks: Options.text("quirk").pipe(
      Options.repeated,
      Options.withDescription("Set a quirk of the server, such as doneFrame=false; repeatable")
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
