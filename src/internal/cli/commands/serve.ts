import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as DustTest from "../../../DustTest.ts"
import { UsageError } from "../failure.ts"
import { Output } from "../output.ts"
import { Signals } from "../signals.ts"

const localHosts = new Set(["127.0.0.1", "::1", "localhost"])

const serving = (port: number, host: string, pace: Duration.Duration, limits: boolean) =>
  Effect.gen(function*() {
    const { line, note } = yield* Output
    const local = yield* DustTest.serve({ port, host, pace, limits })
    if (!localHosts.has(host)) {
      yield* note(
        `Warning: ${host} may be reached from other machines, and the credentials below are the same everywhere. Use 127.0.0.1 unless that is what you want.`
      )
    }
    yield* line(`Local Dust is at ${local.url}

  export DUST_BASE_URL=${local.url}
  export DUST_WORKSPACE_ID=${local.workspaceId}
  export DUST_API_KEY=${Redacted.value(local.apiKey)}

A user's access token: ${Redacted.value(local.userToken)}
Agents: dust, echo. Space: vlt_global. Data source: dts_handbook. Stop it with Ctrl-C.`)
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
    )
  },
  ({ host, noLimits, pace, port }) =>
    Effect.gen(function*() {
      const number = Number(port.trim() || "none")
      if (!Number.isInteger(number) || number < 0 || number > 65_535) {
        return yield* new UsageError({ message: "--port: must be a number from 0 to 65535" })
      }
      const duration = Duration.decodeUnknown(pace)
      if (Option.isNone(duration)) {
        return yield* new UsageError({ message: "--pace: must be a duration, such as \"50 millis\"" })
      }
      // Ctrl-C is how it ends well.
      yield* (yield* Signals).untilStopped(serving(number, host, duration.value, !noLimits))
    })
).pipe(Command.withDescription("Serve Local Dust, an in-memory workspace, for development and tests"))
