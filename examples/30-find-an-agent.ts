/** Finds agents: all of them, by part of a name, by exact name; and the error for an unknown name. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Agents } from "effect-dust/Agents"
import { Mentions } from "effect-dust/Mentions"
import { agent, done, dust, failed, says, title } from "./support.ts"

const program = Effect.gen(function*() {
  const agents = yield* Agents
  const mentions = yield* Mentions
  const name = yield* agent

  yield* title("The agents of the workspace")
  for (const one of (yield* agents.list({ view: "all" })).slice(0, 10)) {
    yield* says(one.name, `${one.description ?? ""} (${one.scope}, ${one.model?.modelId ?? "any model"})`)
  }

  yield* title(`Found by the name ${name}`)
  const found = yield* agents.findByName(name)
  const full = yield* agents.getFull(found.sId)
  yield* done(`${full.sId}, with ${full.actions.length} tools`)

  yield* title("Mention suggestions for \"a\"")
  for (const one of (yield* mentions.suggestions({ query: "a" })).slice(0, 5)) {
    yield* says(one.type, `${one.label}: ${one.id}`)
  }
  yield* done(yield* mentions.parse(`@${found.name}, please have a look`))

  yield* title("A misspelt name")
  yield* agents.findByName(`${name}t`).pipe(
    Effect.flatMap((one) => done(`there is one: ${one.sId}`)),
    Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
  )
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
