/** Exports the usage of the workspace: typed rows, raw CSV, and individual billed calls. Requires an API key. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Effect, Stream } from "effect"
import { Workspace } from "effect-dust/Workspace"
import { done, dustAs, failed, says, title } from "./support.ts"

const program = Effect.gen(function*() {
  const workspace = yield* Workspace
  const startDate = yield* Config.string("DUST_FROM").pipe(Config.withDefault("2026-01-01"))
  const endDate = yield* Config.string("DUST_TO").pipe(Config.withDefault("2026-01-31"))
  const period = { startDate, endDate }

  yield* done(`the workspace can be reached: ${yield* workspace.exists()}`)

  yield* title("Messages by day")
  const days = yield* workspace.analytics({ table: "usage_metrics", ...period, timezone: "Europe/Paris" })
  for (const day of days) yield* says(day.date ?? "?", "#".repeat(Math.min(60, day.messages ?? 0)))

  yield* title("The agents as CSV")
  const bytes = yield* workspace.streamAnalyticsCsv({ table: "agents", ...period }).pipe(
    Stream.runFold(0, (sum, piece) => sum + piece.length)
  )
  yield* done(`${bytes} characters`)

  yield* title("Credits of each call")
  yield* workspace.streamConsumption(period).pipe(
    Stream.runFold(0, (sum, call) => sum + (call.totalCredits ?? 0)),
    Effect.flatMap((credits) => done(`${credits} credits`)),
    Effect.catchTags({
      DustForbiddenError: (error) => failed(`not with this key or plan: ${error.type}`),
      DustStreamError: (error) => failed(`take a shorter period: ${error.message}`)
    })
  )

  yield* title("A day that does not exist")
  yield* workspace.analytics({ table: "users", startDate: "2026-02-31", endDate }).pipe(
    Effect.catchTag("DustBadRequestError", (error) => failed(`${error.message} (requests made: ${error.attempts})`))
  )
})

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)
