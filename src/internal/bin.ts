#!/usr/bin/env node
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { parseArgs } from "node:util"
import * as DustTest from "../DustTest.ts"
import { version } from "./version.ts"

const usage = `Usage: effect-dust serve [--port 3000] [--host 127.0.0.1] [--pace "50 millis"] [--no-limits]
       effect-dust --version

Serves Local Dust: a workspace in memory, whose agent repeats what it is told. It has the limits of Dust's server
per minute and hour; --no-limits switches them off.`

const localHosts = new Set(["127.0.0.1", "::1", "localhost"])

const serve = (port: number, host: string, pace: Duration.Duration, limits: boolean) =>
  Effect.gen(function*() {
    const local = yield* DustTest.serve({ port, host, pace, limits })
    if (!localHosts.has(host)) {
      yield* Console.warn(
        `Warning: ${host} may be reached from other machines, and the credentials below are the same everywhere. Use 127.0.0.1 unless that is what you want.`
      )
    }
    yield* Console.log(`Local Dust is at ${local.url}

  export DUST_BASE_URL=${local.url}
  export DUST_WORKSPACE_ID=${local.workspaceId}
  export DUST_API_KEY=${Redacted.value(local.apiKey)}

A user's access token: ${Redacted.value(local.userToken)}
Agents: dust, echo. Space: vlt_global. Data source: dts_handbook. Stop it with Ctrl-C.`)
    return yield* Effect.never
  }).pipe(Effect.scoped)

const main = Effect.gen(function*() {
  const { positionals, values } = yield* Effect.try({
    try: () =>
      parseArgs({
        allowPositionals: true,
        options: {
          port: { type: "string" },
          host: { type: "string" },
          pace: { type: "string" },
          "no-limits": { type: "boolean" },
          help: { type: "boolean" },
          version: { type: "boolean" }
        }
      }),
    catch: (cause) => ({ message: `${cause instanceof Error ? cause.message : String(cause)}\n\n${usage}` })
  })
  const port = Number((values.port ?? "3000") || "none")
  if (values.help === true) return yield* Console.log(usage)
  if (values.version === true) return yield* Console.log(version)
  if (positionals[0] !== "serve" || positionals.length > 1) return yield* Effect.fail({ message: usage })
  const pace = Duration.decodeUnknown(values.pace ?? "50 millis")
  if (Option.isNone(pace)) {
    return yield* Effect.fail({ message: `--pace: expected a duration, such as "50 millis"\n\n${usage}` })
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    return yield* Effect.fail({ message: `--port: expected a number from 0 to 65535\n\n${usage}` })
  }
  return yield* serve(port, values.host ?? "127.0.0.1", pace.value, values["no-limits"] !== true)
}).pipe(
  Effect.catchAll((error) =>
    Effect.zipRight(
      Console.error(error.message),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )
  )
)

const fiber = Effect.runFork(main)
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => Effect.runFork(Fiber.interrupt(fiber)))
}
