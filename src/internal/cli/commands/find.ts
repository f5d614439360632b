import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Agents } from "../../../Agents.ts"
import { DataSources } from "../../../DataSources.ts"
import { Search } from "../../../Search.ts"
import type { Node, ToolFile } from "../../../SearchResult.ts"
import { asJson } from "../asking.ts"
import { connected, local } from "../connect.ts"
import { json, Output, table } from "../output.ts"
import { locate, space, spacesOf } from "../place.ts"

/** Ends without a result; the notice goes to stderr only. */
const none = (what: string) => Effect.flatMap(Output, ({ note }) => note(`No ${what} found.`))

export const agents = Command.make(
  "agents",
  {
    json: asJson,
    local,
    query: Args.text({ name: "name" }).pipe(Args.withDescription("Only agents whose name contains this"), Args.optional)
  },
  (flags) =>
    Effect.gen(function*() {
      const all = yield* Effect.flatMap(Agents, (agents) => agents.list())
      const wanted = Option.getOrElse(flags.query, () => "").replace(/^@/, "").normalize().toLowerCase()
      const found = all.filter(({ name }) => name.normalize().toLowerCase().includes(wanted))
      if (flags.json) return yield* Effect.forEach(found, json, { discard: true })
      if (found.length === 0) return yield* none("agent")
      yield* table(found.map(({ description, name, sId }) => [sId, name, description ?? ""]))
    }).pipe(Effect.provide(connected(flags.local)))
).pipe(Command.withDescription("List the agents of the workspace"))

const nodeRow = (node: Node) => [
  node.type,
  node.title,
  node.sourceUrl ?? `${node.dataSourceViews[0]?.sId ?? ""} ${node.internalId}`.trim()
]

const fileRow = (file: ToolFile) => [
  file.serverName ?? "tool",
  file.title,
  file.sourceUrl ?? file.url ?? file.externalId
]

/** Passages from the documents of one data source, nearest first. */
const passages = (flags: {
  readonly query: string
  readonly limit: number
  readonly json: boolean
  readonly space: Option.Option<string>
  readonly dataSource: string
}) =>
  Effect.gen(function*() {
    const dataSources = yield* DataSources
    const place = yield* locate(flags)
    const found = yield* dataSources.search({ ...place, query: flags.query, topK: flags.limit })
    if (flags.json) return yield* Effect.forEach(found, json, { discard: true })
    if (found.length === 0) return yield* none("passage")
    yield* table(found.flatMap(({ chunks, documentId, title }) =>
      chunks.map(({ score, text }) => [score === null ? "" : score.toFixed(2), title ?? documentId, text])
    ))
  })

export const search = Command.make(
  "search",
  {
    json: asJson,
    local,
    limit: Options.integer("limit").pipe(
      Options.withAlias("n"),
      Options.withDefault(25),
      Options.withDescription("The maximum number of results; with --tools, per source; default: 25")
    ),
    dataSource: Options.text("data-source").pipe(
      Options.withAlias("d"),
      Options.optional,
      Options.withDescription("Search the text of this data source, by id or name, instead of titles in the workspace")
    ),
    space,
    tools: Options.boolean("tools").pipe(
      Options.withDescription("Also search connected tools (Notion, Slack, …)")
    ),
    query: Args.text({ name: "query" }).pipe(Args.withDescription("The search query"), Args.atLeast(1))
  },
  (flags) =>
    Effect.gen(function*() {
      const query = flags.query.join(" ")
      if (Option.isSome(flags.dataSource)) {
        return yield* passages({ ...flags, query, dataSource: flags.dataSource.value })
      }
      const search = yield* Search
      const spaceIds = Option.isSome(flags.space)
        ? (yield* spacesOf(flags.space)).map(({ sId }) => sId)
        : undefined
      let count = 0
      const show = <A>(results: ReadonlyArray<A>, row: (result: A) => ReadonlyArray<string>) => {
        count += results.length
        return flags.json ? Effect.forEach(results, json, { discard: true }) : table(results.map(row))
      }
      if (flags.tools) {
        yield* Stream.runForEach(search.unified({ query, spaceIds, limit: flags.limit }), (results) => {
          switch (results._tag) {
            case "KnowledgeResults":
              return show(results.nodes, nodeRow)
            case "ToolResults":
              return show(results.files, fileRow)
            default:
              return flags.json ? json(results.raw) : Effect.void
          }
        })
      } else {
        const page = yield* search.pageNodes({ query, spaceIds, limit: flags.limit })
        yield* show(page.nodes, nodeRow)
      }
      if (count === 0 && !flags.json) yield* none("result")
    }).pipe(Effect.provide(connected(flags.local)))
).pipe(Command.withDescription("Search titles in the workspace, or the text of a data source"))
