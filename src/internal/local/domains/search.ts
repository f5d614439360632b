/** Workspace search: nodes, and files of connected tools. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { search as searchApi } from "../../api/search.ts"
import { spaces as spacesApi } from "../../api/spaces.ts"
import { routesOf } from "../server/declared.ts"
import {
  badRequest,
  decodeText,
  encodeText,
  json,
  type LocalResponse,
  refuse,
  type Refusal,
  stream
} from "../server/http.ts"
import { body, type Context, type Route } from "../server/route.ts"
import type { SearchSeed, ToolFileSeed } from "../state/seed.ts"
import { pause, slice, type World } from "../state/state.ts"
import { isShown, localDataSources, renderDataSource, renderView } from "./dataSources/model.ts"
import { addFile, renderFile } from "./files.ts"
import { visibleSpaces } from "./spaces.ts"

interface LocalNode {
  readonly internalId: string
  readonly title: string
  readonly type: "document" | "table" | "folder"
  readonly mimeType: string
  readonly sourceUrl: string | null
  readonly lastUpdatedAt: number
  readonly parentInternalId: string | null
  readonly dataSource: Readonly<Record<string, unknown>>
  readonly dataSourceViews: ReadonlyArray<{ readonly sId: string; readonly spaceId: string }>
}

const sample: SearchSeed = {
  nodes: [
    {
      internalId: "doc-roadmap",
      title: "Roadmap 2026",
      mimeType: "text/markdown",
      sourceUrl: "https://wiki.example.com/roadmap"
    },
    { internalId: "table-sales", title: "Sales by region", type: "table", mimeType: "text/csv" },
    { internalId: "doc-product-roadmap", title: "Product roadmap, draft", spaceIds: ["vlt_product"] },
    { internalId: "doc-board-roadmap", title: "Board roadmap", spaceIds: ["vlt_board"] },
    { internalId: "folder-guides", title: "Guides", type: "folder", mimeType: "application/vnd.dust.folder" }
  ],
  toolFiles: [
    { externalId: "drive-1", title: "Roadmap slides", mimeType: "application/pdf" },
    { externalId: "wiki-1", title: "Roadmap page", serverName: "wiki", mimeType: "text/markdown" }
  ]
}

const seedOf = (world: World): SearchSeed => world.seed.search ?? sample

const makeNodes = (world: World): ReadonlyArray<LocalNode> => {
  const sources = new Map<string, Record<string, unknown>>()
  const views = new Map<string, { readonly sId: string; readonly spaceId: string }>()
  return (seedOf(world).nodes ?? []).map((seed): LocalNode => {
    const name = seed.dataSource ?? "notes"
    const source = sources.get(name) ?? {
      id: world.numericId(),
      sId: world.sId("dts"),
      createdAt: world.now(),
      name,
      description: null,
      assistantDefaultSelected: true,
      dustAPIProjectId: "1",
      dustAPIDataSourceId: world.sId(),
      connectorId: null,
      connectorProvider: null,
      editedByUser: null
    }
    sources.set(name, source)
    return {
      internalId: seed.internalId,
      title: seed.title,
      type: seed.type ?? "document",
      mimeType: seed.mimeType ?? "text/plain",
      sourceUrl: seed.sourceUrl ?? null,
      lastUpdatedAt: world.now(),
      parentInternalId: seed.parentInternalId ?? null,
      dataSource: source,
      dataSourceViews: (seed.spaceIds ?? ["vlt_global"]).map((spaceId) => {
        const key = `${name}\n${spaceId}`
        const view = views.get(key) ?? {
          id: world.numericId(),
          sId: world.sId("dsv"),
          category: "folder",
          kind: "default",
          parentsIn: null,
          spaceId,
          dataSource: source,
          createdAt: world.now(),
          updatedAt: world.now(),
          editedByUser: null
        }
        views.set(key, view)
        return view
      })
    }
  })
}

const seeded = slice("search", makeNodes)

/** The nodes of the data sources. */
const stored = (world: World): ReadonlyArray<LocalNode> => {
  const { byId, views } = localDataSources(world)
  return [...byId.values()].flatMap((dataSource) => {
    const node = (
      internalId: string,
      type: LocalNode["type"],
      parents: ReadonlyArray<string>,
      more: Pick<LocalNode, "title" | "mimeType" | "sourceUrl" | "lastUpdatedAt">
    ): LocalNode => ({
      internalId,
      type,
      ...more,
      parentInternalId: parents[1] ?? null,
      dataSource: renderDataSource(dataSource),
      dataSourceViews: [...views.values()]
        .filter((view) => view.dataSource === dataSource && isShown(view, parents))
        .map((view) => ({ ...renderView(view), sId: view.sId, spaceId: view.spaceId }))
    })
    return [
      ...[...dataSource.documents.values()].map((document) =>
        node(document.documentId, "document", document.parents, {
          title: document.title,
          mimeType: document.mimeType,
          sourceUrl: document.sourceUrl,
          lastUpdatedAt: document.timestamp
        })
      ),
      ...[...dataSource.tables.values()].map((table) =>
        node(table.tableId, "table", [table.tableId], {
          title: table.title,
          mimeType: "text/csv",
          sourceUrl: table.sourceUrl,
          lastUpdatedAt: table.timestamp
        })
      ),
      ...[...dataSource.folders.values()].map((folder) =>
        node(folder.folderId, "folder", folder.parents, {
          title: folder.title,
          mimeType: "application/vnd.dust.folder",
          sourceUrl: null,
          lastUpdatedAt: folder.timestamp
        })
      )
    ]
  })
}

const renderNode = (node: LocalNode, spaceIds: ReadonlySet<string>): Record<string, unknown> => ({
  ...node,
  expandable: node.type === "folder",
  providerVisibility: null,
  parentsInternalIds: node.parentInternalId === null
    ? [node.internalId]
    : [node.internalId, node.parentInternalId],
  parentTitle: null,
  preventSelection: false,
  dataSourceViews: node.dataSourceViews.filter((view) => spaceIds.has(view.spaceId))
})

interface Criteria {
  readonly query: string | undefined
  readonly nodeIds: ReadonlyArray<string> | undefined
  readonly viewType: "all" | "document" | "table"
  readonly spaceIds: ReadonlyArray<string>
  readonly searchSourceUrls: boolean
}

interface Paging {
  readonly limit: number | undefined
  readonly cursor: string | undefined
}

const paging = (context: Context, max: number): Effect.Effect<Paging, Refusal> =>
  Effect.suspend(() => {
    const raw = context.query.get("limit")
    const limit = raw === null ? undefined : Number(raw)
    if (limit !== undefined && (!Number.isInteger(limit) || limit < 0 || limit > max)) {
      return refuse(400, "invalid_pagination_parameters", "Invalid pagination parameters")
    }
    return Effect.succeed({ limit, cursor: context.query.get("cursor") ?? undefined })
  })

const find = (context: Context, criteria: Criteria, page: Paging): Effect.Effect<Record<string, unknown>, Refusal> =>
  Effect.suspend(() => {
    const { world } = context
    const visible = new Set(visibleSpaces(context).map((space) => space.sId))
    const unseen = criteria.spaceIds.find((spaceId) => !visible.has(spaceId))
    if (unseen !== undefined) {
      return refuse(404, "space_not_found", `Space ${unseen} not found.`)
    }
    const spaceIds = new Set(criteria.spaceIds)
    const needle = criteria.query?.toLowerCase()
    const all = [...seeded(world), ...stored(world)].filter((node) =>
      node.dataSourceViews.some((view) => spaceIds.has(view.spaceId)) &&
      (criteria.viewType === "all" || node.type === "folder" || node.type === criteria.viewType) &&
      (needle === undefined
        ? criteria.nodeIds?.includes(node.internalId) === true
        : node.title.toLowerCase().includes(needle) ||
          (criteria.searchSourceUrls && node.sourceUrl !== null && node.sourceUrl.toLowerCase().includes(needle)))
    )
    // The cursor is ignored unless the query has a limit.
    const from = page.limit === undefined ? 0 : Number(page.cursor ?? "0")
    const size = page.limit ?? seedOf(world).defaultPageSize ?? 10
    if (!Number.isInteger(from)) return badRequest("Invalid cursor")
    return Effect.succeed({
      nodes: all.slice(from, from + size).map((node) => renderNode(node, spaceIds)),
      resultsCount: all.length,
      warningCode: null,
      nextPageCursor: from + size < all.length && size > 0 ? String(from + size) : null
    })
  })

const bodyFields = {
  viewType: Schema.Literal("all", "document", "table"),
  spaceIds: Schema.Array(Schema.String),
  includeDataSources: Schema.Boolean,
  limit: Schema.Number
}

const searchNodes = (context: Context) =>
  Effect.gen(function*() {
    const input = yield* body(
      context,
      Schema.Struct({
        ...bodyFields,
        query: Schema.optional(Schema.String),
        nodeIds: Schema.optional(Schema.Array(Schema.String)),
        searchSourceUrls: Schema.optional(Schema.Boolean)
      })
    )
    if ((input.query === undefined) === (input.nodeIds === undefined)) {
      return yield* badRequest("Invalid request body: Validation error: exactly one of query and nodeIds is expected")
    }
    return json(
      yield* find(
        context,
        {
          query: input.query,
          nodeIds: input.nodeIds,
          viewType: input.viewType,
          spaceIds: input.spaceIds,
          searchSourceUrls: input.searchSourceUrls ?? false
        },
        yield* paging(context, 2000)
      )
    )
  })

const frame = (value: unknown): Uint8Array => encodeText(`data: ${JSON.stringify(value)}\n\n`)

const serverViewId = (file: ToolFileSeed): string => file.serverViewId ?? `msv_${file.serverName ?? "drive"}`

const searchUnified = (context: Context): Effect.Effect<LocalResponse, Refusal> =>
  Effect.gen(function*() {
    const { query: params, world } = context
    const text = params.get("query")
    if (text === null) return yield* badRequest("Invalid query parameters: Validation error: Required at \"query\"")
    const viewType = params.get("viewType") ?? "all"
    if (viewType !== "all" && viewType !== "document" && viewType !== "table") {
      return yield* badRequest(
        `Invalid query parameters: Validation error: Invalid enum value "${viewType}" at "viewType"`
      )
    }
    const rawLimit = params.get("limit")
    const limit = rawLimit === null ? undefined : Number(rawLimit)
    if (limit !== undefined && (!Number.isInteger(limit) || limit < 1 || limit > 100)) {
      return yield* badRequest("Invalid query parameters: Validation error: limit must be from 1 to 100")
    }
    const cursor = params.get("cursor") ?? undefined
    const criteria: Criteria = {
      query: text,
      nodeIds: undefined,
      viewType,
      // As on the server, an absent parameter is an empty list, which matches no space.
      spaceIds: (params.get("spaceIds") ?? "").split(",").filter((id) => id !== ""),
      searchSourceUrls: params.get("searchSourceUrls") === "true"
    }
    // The status is 200 by now, so a failure is reported inside the stream.
    const knowledge = yield* find(context, criteria, { limit, cursor }).pipe(
      Effect.map((knowledgeResults): unknown => ({ knowledgeResults })),
      Effect.catchTag("Refusal", ({ response }) =>
        Effect.sync(() => ({
          error: {
            status: response.status,
            error: response.body._tag === "Bytes"
              ? (JSON.parse(decodeText(response.body.bytes)) as { readonly error: unknown }).error
              : undefined
          }
        })))
    )
    const wantsTools = (params.get("includeTools") ?? "true") === "true" && cursor === undefined
    const files = wantsTools
      ? (seedOf(world).toolFiles ?? []).filter((file) => file.title.toLowerCase().includes(text.toLowerCase()))
      : []
    const byServer = new Map<string, Array<ToolFileSeed>>()
    for (const file of files) {
      const id = serverViewId(file)
      byServer.set(id, [...(byServer.get(id) ?? []), file])
    }
    const delay = Duration.decode(seedOf(world).toolDelay ?? 0)
    return stream(
      Stream.concat(
        Stream.succeed(frame(knowledge)),
        Stream.fromIterable(byServer).pipe(
          Stream.mapEffect(([id, found]) =>
            Effect.as(
              Duration.toMillis(delay) === 0 ? Effect.void : pause(world, delay, "a search of connected tools"),
              frame({
                toolResults: found.slice(0, limit ?? 25).map((file) => ({
                  internalId: `${id}/${file.externalId}`,
                  externalId: file.externalId,
                  title: file.title,
                  type: "document",
                  mimeType: file.mimeType ?? "text/plain",
                  serverName: file.serverName ?? "drive",
                  serverIcon: "ActionDocumentIcon",
                  serverViewId: id,
                  sourceUrl: null
                }))
              })
            )
          )
        )
      ),
      { contentType: "text/event-stream" }
    )
  })

const uploadToolFile = (context: Context) =>
  Effect.gen(function*() {
    const { world } = context
    const text = Schema.String.pipe(Schema.minLength(1))
    const input = yield* body(
      context,
      Schema.Struct({
        serverViewId: text,
        externalId: text,
        conversationId: Schema.optional(Schema.String),
        serverName: Schema.optional(Schema.String),
        serverIcon: Schema.optional(Schema.String)
      })
    )
    const all = seedOf(world).toolFiles ?? []
    if (!all.some((file) => serverViewId(file) === input.serverViewId)) {
      return yield* badRequest("No usable connection for this tool.")
    }
    const file = all.find((file) => serverViewId(file) === input.serverViewId && file.externalId === input.externalId)
    if (file === undefined) return yield* refuse(500, "internal_server_error", "The file could not be fetched.")
    const made = addFile(world, {
      fileName: file.title,
      contentType: file.mimeType ?? "text/plain",
      bytes: encodeText(file.content ?? `The content of ${file.title}`),
      conversationId: input.conversationId
    })
    return json({ file: renderFile(world, made) })
  })

export const searchRoutes: ReadonlyArray<Route> = routesOf(searchApi, spacesApi)({
  "POST /search": { auth: "any", handler: searchNodes },
  "GET /search": { auth: "any", handler: searchUnified },
  "POST /search/tools/upload": { auth: "any", handler: uploadToolFile }
})
