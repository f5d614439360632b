/** Searches titles in the workspace and its connected tools, and copies a file found by a tool. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Effect, Stream } from "effect"
import { Search } from "effect-dust/Search"
import { done, dust, failed, note, says, title } from "./support.ts"

const program = Effect.gen(function*() {
  const search = yield* Search
  const query = yield* Config.string("DUST_QUERY").pipe(Config.withDefault("roadmap"))

  yield* title(`Documents, tables and folders about "${query}"`)
  yield* search.streamNodes({ query, searchSourceUrls: true }).pipe(
    Stream.take(20),
    Stream.runForEach((node) => says(node.type, `${node.title} (${node.dataSource?.name ?? "?"})`))
  )

  yield* title("All sources at once, as results arrive")
  const files = yield* search.unified({ query, limit: 10 }).pipe(
    Stream.tap((results) => {
      switch (results._tag) {
        case "KnowledgeResults":
          return says("workspace", `${results.nodes.length} of ${results.resultsCount ?? "?"}`)
        case "ToolResults":
          return says(results.files[0]?.serverName ?? "tool", results.files.map((file) => file.title).join(", "))
        case "UnknownResults":
          return note("an unknown kind of results")
      }
    }),
    Stream.runFold(
      [],
      (all: ReadonlyArray<string>, results) =>
        results._tag === "ToolResults" ? [...all, ...results.files.map((file) => file.externalId)] : all
    )
  )
  yield* done(`${files.length} files in tools`)

  yield* title("A file of a tool, copied into Dust")
  yield* search.unified({ query, limit: 10 }).pipe(
    Stream.mapConcat((results) => results._tag === "ToolResults" ? results.files : []),
    Stream.take(1),
    Stream.mapEffect((found) => search.uploadToolFile(found)),
    Stream.runForEach((file) => done(`${file.fileName} is ${file.sId}: attach it to a message`))
  )
}).pipe(
  Effect.catchTag("DustStreamError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dust), NodeRuntime.runMain)
