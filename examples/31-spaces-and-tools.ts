/** Lists the spaces of the workspace and the tools in each of them. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Spaces } from "effect-dust/Spaces"
import { done, dust, note, says, title } from "./support.ts"

const program = Effect.gen(function*() {
  const spaces = yield* Spaces
  const all = yield* spaces.list({ kinds: ["global", "regular", "project"] })

  const withTools = yield* Effect.forEach(
    all,
    (space) =>
      Effect.map(spaces.listMcpServerViews({ spaceId: space.sId, includeAuto: true }), (views) => ({ space, views })),
    { concurrency: 4 }
  )
  for (const { space, views } of withTools) {
    yield* title(`${space.name} (${space.kind}${space.isRestricted === true ? ", restricted" : ""})`)
    if (views.length === 0) yield* note("no tools")
    for (const view of views) {
      const tools = view.server?.tools.map((tool) => tool.name) ?? []
      yield* says(view.name ?? view.server?.name ?? view.sId, tools.join(", "))
    }
  }

  yield* title("By name")
  const companyData = yield* spaces.findByName("Company Data")
  yield* done(`Company Data is ${companyData.sId}`)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
