/**
 * Runs a Dust app: once as a single request, and once as a stream of events.
 *
 * In your own workspace it runs the first app; set DUST_APP_HASH to the deployed version.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Effect, Stream } from "effect"
import { values } from "effect-dust/App"
import * as Apps from "effect-dust/Apps"
import * as Spaces from "effect-dust/Spaces"
import { done, dust, failed, note, says, title } from "./support.ts"

const program = Effect.gen(function*() {
  const apps = yield* Apps.Apps
  const spaces = yield* Spaces.Spaces

  yield* title("The apps of the workspace")
  const found = yield* Effect.forEach(
    yield* spaces.list(),
    (space) => Effect.map(apps.list(space.sId), (all) => all.map((app) => ({ app, spaceId: space.sId }))),
    { concurrency: 4 }
  )
  const all = found.flat()
  for (const { app } of all) yield* says(app.sId, `${app.name}: ${app.description ?? "no description"}`)

  const [first] = all
  if (first === undefined) return yield* note("The workspace has no apps.")
  const run = {
    spaceId: first.spaceId,
    appId: first.app.sId,
    specificationHash: yield* Config.string("DUST_APP_HASH").pipe(Config.withDefault("latest")),
    config: {},
    inputs: [{ question: "Who wrote Dune?" }, { question: "And when?" }]
  }

  yield* title("Run it and wait")
  const ended = yield* apps.run(run)
  yield* done(`${ended.runId} has ${ended.status.run}`)
  for (const value of values(ended)) yield* says("value", JSON.stringify(value))

  yield* title("Run it and watch")
  yield* apps.stream(run).pipe(
    Stream.runForEach((event) => {
      switch (event.type) {
        case "run_status":
          return says("run", event.status)
        case "block_status":
          return says(event.name, `${event.status}, ${event.successCount} times`)
        case "tokens":
          return says(event.blockName, event.tokens.text)
        default:
          return note(event.type)
      }
    })
  )
}).pipe(Effect.catchTag("DustNotFoundError", "DustBadRequestError", (error) => failed(error.message)))

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
