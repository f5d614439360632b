/**
 * Search over the whole workspace: titles and addresses of documents, tables and folders, and the files that connected
 * tools can find.
 *
 * This finds *nodes*. What is written inside the documents of one data source is searched with `DataSources` and
 * `DataSourceViews`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DataSource, DataSourceView } from "./DataSource.ts"
import type { RequestError, StreamError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { File } from "./File.ts"
import { type ConversationId, McpServerViewId, SpaceId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { list, nonBlank, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { badInput, fromResponse, streamError } from "./internal/request/errors.ts"
import { sseOnce } from "./internal/stream/once.ts"
import { byCursor } from "./internal/util/paging.ts"

/**
 * A document, a table or a folder. `internalId` together with the `sId` of one of its `dataSourceViews` is what a content
 * fragment wants as `nodeId` and `nodeDataSourceViewId`. It can be in several views.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Node = Schema.Struct({
  internalId: Schema.String,
  title: withDefault(Schema.String, () => ""),
  type: openLiteral("document", "table", "folder"),
  mimeType: nullable(Schema.String),
  /** Whether it has nodes below it. */
  expandable: nullable(Schema.Boolean),
  /** Epoch milliseconds. */
  lastUpdatedAt: nullable(Schema.Number),
  parentInternalId: nullable(Schema.String),
  parentsInternalIds: list(Schema.String),
  parentTitle: nullable(Schema.String),
  sourceUrl: nullable(Schema.String),
  providerVisibility: nullable(openLiteral("public", "private")),
  preventSelection: nullable(Schema.Boolean),
  dataSource: nullable(DataSource),
  dataSourceViews: list(DataSourceView)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Node extends Schema.Schema.Type<typeof Node> {}

/**
 * A page of nodes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NodePage = Schema.Struct({
  nodes: list(Node),
  /** How many there are in all, when the server says so. */
  resultsCount: nullable(Schema.Number),
  /** `truncated-query-clauses`: the query was too long, a part of it was left out. */
  warningCode: nullable(openLiteral("truncated-query-clauses")),
  /** Pass it as `cursor` for the next page; `null`: this is the last one. */
  nextPageCursor: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface NodePage extends Schema.Schema.Type<typeof NodePage> {}

/**
 * A file that a connected tool has found. {@link Service.uploadToolFile} copies it into Dust.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolFile = Schema.Struct({
  externalId: Schema.String,
  serverViewId: McpServerViewId,
  internalId: nullable(Schema.String),
  title: withDefault(Schema.String, () => ""),
  type: nullable(Schema.String),
  mimeType: nullable(Schema.String),
  serverName: nullable(Schema.String),
  serverIcon: nullable(Schema.String),
  sourceUrl: nullable(Schema.String),
  url: nullable(Schema.String),
  score: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ToolFile extends Schema.Schema.Type<typeof ToolFile> {}

/**
 * Nodes of the workspace: the first, and only, answer of its own knowledge.
 *
 * @category models
 * @since 0.1.0
 */
export interface KnowledgeResults extends NodePage {
  readonly _tag: "KnowledgeResults"
}

/**
 * Files that one connected tool has found.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolResults {
  readonly _tag: "ToolResults"
  readonly files: ReadonlyArray<ToolFile>
}

/**
 * Results of a kind that this version does not know, as they came.
 *
 * @category models
 * @since 0.1.0
 */
export interface UnknownResults {
  readonly _tag: "UnknownResults"
  readonly raw: unknown
}

/**
 * What one source has found, told apart by `_tag`.
 *
 * @category models
 * @since 0.1.0
 */
export type UnifiedResults = KnowledgeResults | ToolResults | UnknownResults

/**
 * What every search of nodes can be limited to.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions {
  /** Documents, tables, or both. Default `all`. */
  readonly viewType?: "all" | "document" | "table" | undefined
  /**
   * Where to search; at least one. Without it the SDK asks for the spaces of the caller first, projects included, and
   * searches in all of them: that is one request more, made once per call or stream.
   */
  readonly spaceIds?: ReadonlyArray<SpaceId> | undefined
  /** Whether the data sources themselves are found, too. Default `true`. */
  readonly includeDataSources?: boolean | undefined
}

/**
 * By title.
 *
 * @category models
 * @since 0.1.0
 */
export interface ByQuery extends CommonOptions {
  readonly query: string
  readonly nodeIds?: undefined
  /** Whether the addresses of nodes are searched, too: for pasted URLs. Default `false`. */
  readonly searchSourceUrls?: boolean | undefined
}

/**
 * By known ids, to resolve them to titles and views.
 *
 * @category models
 * @since 0.1.0
 */
export interface ByNodeIds extends CommonOptions {
  readonly nodeIds: ReadonlyArray<string>
  readonly query?: undefined
  readonly searchSourceUrls?: undefined
}

/**
 * What to look for: a text, or known ids.
 *
 * @category models
 * @since 0.1.0
 */
export type NodesOptions = ByQuery | ByNodeIds

/**
 * Which page of the nodes.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageOptions {
  /** 1 to 2000. Default 100. */
  readonly limit?: number | undefined
  /** The `nextPageCursor` of the page before. */
  readonly cursor?: string | undefined
}

/**
 * What to look for in the workspace and its tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface UnifiedOptions extends CommonOptions {
  /** Not blank; Dust advises three characters or more. */
  readonly query: string
  /** Results per source, 1 to 100. Default 25. */
  readonly limit?: number | undefined
  /** The `nextPageCursor` of the knowledge results before; tools do not page, and are not asked when it is given. */
  readonly cursor?: string | undefined
  /** Whether the addresses of nodes are searched, too. Default `false`. */
  readonly searchSourceUrls?: boolean | undefined
  /** Whether connected tools are asked. Default `true`. */
  readonly includeTools?: boolean | undefined
}

/**
 * Which file of which tool to copy: the values are those of a {@link ToolFile}.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadToolFileOptions {
  readonly serverViewId: McpServerViewId
  readonly externalId: string
  /** Where it will be used. */
  readonly conversationId?: ConversationId | undefined
  readonly serverName?: string | null | undefined
  readonly serverIcon?: string | null | undefined
}

const root = "/api/v1/w/{workspaceId}/search"

const NodesBody = Schema.Struct({
  query: Schema.optional(nonBlank("a non-blank text")),
  nodeIds: Schema.optional(Schema.Array(nonBlank("the id of a node"))),
  viewType: Schema.Literal("all", "document", "table"),
  spaceIds: Schema.Array(nonBlank("the id of a space")),
  includeDataSources: Schema.Boolean,
  // Required by the server, and not looked at: the one in the address counts.
  limit: Schema.Number,
  searchSourceUrls: Schema.optional(Schema.Boolean)
})

const nodesOperation = (method: string) =>
  Operation.make({
    name: `Search.${method}`,
    http: "POST",
    route: root,
    replay: "safe",
    body: NodesBody,
    response: NodePage
  })

const nodes = nodesOperation("nodes")
const streamNodes = nodesOperation("streamNodes")

const unified = Operation.unit({ name: "Search.unified", http: "GET", route: root })

const uploadToolFile = Operation.make({
  name: "Search.uploadToolFile",
  http: "POST",
  route: `${root}/tools/upload`,
  timeouts: { headers: "2 minutes" },
  body: Schema.Struct({
    serverViewId: nonBlank("the id of a tool server's view"),
    externalId: nonBlank("the external id of a file"),
    conversationId: Schema.optional(Schema.String),
    serverName: Schema.optional(Schema.String),
    serverIcon: Schema.optional(Schema.String)
  }),
  response: Schema.Struct({ file: File })
})

const spacesOperation = (method: string) =>
  Operation.make({
    name: `Search.${method}`,
    http: "GET",
    route: "/api/v1/w/{workspaceId}/spaces",
    response: Schema.Struct({ spaces: list(Schema.Struct({ sId: SpaceId })) })
  })

const spacesFor = {
  nodes: spacesOperation("nodes"),
  streamNodes: spacesOperation("streamNodes"),
  unified: spacesOperation("unified")
}

/**
 * Every method works with an API key and with a user's access token, and is retried as the retry policy says, unless it
 * says otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * One page of the nodes that the caller can read, by title (and address) or by known ids: `query` or `nodeIds`, one of
   * them. An id in `spaceIds` that the caller cannot see is a `DustNotFoundError` (`space_not_found`). No space at all
   * means no result on the real server; here an empty list is refused before any request.
   *
   * Source: `POST /api/v1/w/{workspaceId}/search`, with the paging in its address.
   */
  readonly nodes: (options: NodesOptions & PageOptions) => Effect.Effect<NodePage, RequestError>
  /**
   * All of them, page by page (`pageSize` at a time, default 100, at most 2000) as they are consumed.
   *
   * @example
   * ```ts
   * import { Search } from "effect-dust/Search"
   * import { Effect, Stream } from "effect"
   *
   * const titles = Stream.unwrap(Effect.map(Search, (search) => search.streamNodes({ query: "roadmap" }))).pipe(
   *   Stream.map((node) => node.title),
   *   Stream.take(10)
   * )
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/search`, with the paging in its address.
   */
  readonly streamNodes: (
    options: NodesOptions & { readonly pageSize?: number | undefined }
  ) => Stream.Stream<Node, RequestError>
  /**
   * Searches the workspace and its connected tools at once. Results come as each of them answers: the knowledge of the
   * workspace once, then the files of every tool. The stream ends when all have answered.
   *
   * A search that fails on the server, which it reports inside a 200, fails with the same variants as everywhere; a stream
   * that ends without the knowledge results is a `DustStreamError` (`truncated`). Retried until it is open, not after.
   *
   * @example
   * ```ts
   * import { Search } from "effect-dust/Search"
   * import { Console, Effect, Stream } from "effect"
   *
   * const program = Effect.flatMap(Search, (search) =>
   *   search.unified({ query: "roadmap" }).pipe(Stream.runForEach((results) => {
   *     switch (results._tag) {
   *       case "KnowledgeResults":
   *         return Console.log(results.nodes.map((node) => node.title))
   *       case "ToolResults":
   *         return Console.log(results.files.map((file) => file.title))
   *       default:
   *         return Effect.void
   *     }
   *   })))
   * ```
   *
   * Source: `GET /api/v1/w/{workspaceId}/search`.
   */
  readonly unified: (options: UnifiedOptions) => Stream.Stream<UnifiedResults, StreamError>
  /**
   * Copies a file that a tool has found into Dust, from where it can be attached to a message. `DustBadRequestError` when
   * the tool has no usable connection, `DustServerError` when it does not give the file. Sent once.
   *
   * Source: `POST /api/v1/w/{workspaceId}/search/tools/upload`.
   */
  readonly uploadToolFile: (options: UploadToolFileOptions) => Effect.Effect<File, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Search extends Context.Tag("effect-dust/Search")<Search, Service>() {}

const defaultLimit = 100
const defaultUnifiedLimit = 25

const checkLimit = (identity: Operation.Identity, field: string, value: number, max: number) =>
  Number.isInteger(value) && value >= 1 && value <= max
    ? Effect.void
    : Effect.fail(badInput(identity, field, `a whole number from 1 to ${max}`))

const checkNodes = (identity: Operation.Identity, { nodeIds, query }: NodesOptions) => {
  if ((query === undefined) === (nodeIds === undefined)) {
    return Effect.fail(badInput(identity, "query", "either a query or node ids"))
  }
  return nodeIds !== undefined && nodeIds.length === 0
    ? Effect.fail(badInput(identity, "nodeIds", "at least one node id"))
    : Effect.void
}

const decodeKnowledge = Schema.decodeUnknownEither(NodePage)
const decodeTools = Schema.decodeUnknownEither(Schema.Struct({ toolResults: list(ToolFile) }))
const decodeFailure = Schema.decodeUnknownOption(Schema.Struct({ status: Schema.Number, error: Schema.Unknown }))

/** What one event says; `Failure` only within this module. */
type Event = UnifiedResults | { readonly _tag: "Failure"; readonly status: number; readonly body: string }

const decodeEvent = (data: string): Event => {
  let json: unknown
  try {
    json = JSON.parse(data)
  } catch {
    return { _tag: "UnknownResults", raw: data }
  }
  if (Predicate.hasProperty(json, "error") && Predicate.isNotNullable(json.error)) {
    const failure = Option.getOrElse(decodeFailure(json.error), () => ({ status: 500, error: json.error }))
    return { _tag: "Failure", status: failure.status, body: JSON.stringify({ error: failure.error }) }
  }
  if (Predicate.hasProperty(json, "knowledgeResults")) {
    const page = decodeKnowledge(json.knowledgeResults)
    if (Either.isRight(page)) return { _tag: "KnowledgeResults", ...page.right }
  }
  if (Predicate.hasProperty(json, "toolResults")) {
    const tools = decodeTools(json)
    if (Either.isRight(tools)) return { _tag: "ToolResults", files: tools.right.toolResults }
  }
  return { _tag: "UnknownResults", raw: json }
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const spaceIdsOf = (
    method: keyof typeof spacesFor,
    given: ReadonlyArray<SpaceId> | undefined
  ): Effect.Effect<ReadonlyArray<SpaceId>, RequestError> => {
    const operation = spacesFor[method]
    if (given === undefined) {
      return Effect.map(
        client.execute(operation, { query: { kinds: "global,regular,project" } }),
        ({ spaces }) => spaces.map((space) => space.sId)
      )
    }
    const blank = given.findIndex((spaceId) => spaceId.trim() === "")
    if (blank >= 0) return Effect.fail(badInput(operation, `spaceIds.${blank}`, "the id of a space"))
    return given.length === 0
      ? Effect.fail(badInput(operation, "spaceIds", "at least one space, or none of it to search in all of them"))
      : Effect.succeed(given)
  }

  const page = (
    operation: typeof nodes,
    options: NodesOptions,
    spaceIds: ReadonlyArray<SpaceId>,
    limit: number,
    cursor: string | undefined
  ) =>
    client.execute(operation, {
      query: { limit, cursor },
      body: {
        query: options.query,
        nodeIds: options.nodeIds,
        viewType: options.viewType ?? "all",
        spaceIds,
        includeDataSources: options.includeDataSources ?? true,
        limit,
        searchSourceUrls: options.searchSourceUrls
      }
    })

  return Search.of({
    nodes: (options) => {
      const limit = options.limit ?? defaultLimit
      return checkNodes(nodes, options).pipe(
        Effect.zipRight(checkLimit(nodes, "limit", limit, 2000)),
        Effect.zipRight(spaceIdsOf("nodes", options.spaceIds)),
        Effect.flatMap((spaceIds) => page(nodes, options, spaceIds, limit, options.cursor))
      )
    },
    streamNodes: (options) => {
      const limit = options.pageSize ?? defaultLimit
      return checkNodes(streamNodes, options).pipe(
        Effect.zipRight(checkLimit(streamNodes, "pageSize", limit, 2000)),
        Effect.zipRight(spaceIdsOf("streamNodes", options.spaceIds)),
        Effect.map((spaceIds) =>
          byCursor(
            streamNodes,
            (cursor: string | undefined) =>
              Effect.map(page(streamNodes, options, spaceIds, limit, cursor), ({ nextPageCursor, nodes }) => ({
                items: nodes,
                next: nextPageCursor
              }))
          )
        ),
        Stream.unwrap
      )
    },
    unified: (options) => {
      const limit = options.limit ?? defaultUnifiedLimit
      const failed = (event: Extract<Event, { _tag: "Failure" }>) =>
        Effect.flatMap(
          Effect.zip(Clock.currentTimeMillis, client.caller),
          ([now, { hasUser }]) =>
            Effect.fail(fromResponse({
              identity: unified,
              hasUser,
              attempts: 1,
              status: event.status,
              headers: {},
              body: event.body,
              now
            }))
        )
      return Stream.unwrap(
        (options.query.trim() === ""
          ? Effect.fail(badInput(unified, "query", "a non-blank text"))
          : checkLimit(unified, "limit", limit, 100)).pipe(
            Effect.zipRight(spaceIdsOf("unified", options.spaceIds)),
            Effect.map((spaceIds) => {
              let complete = false
              return sseOnce(client, unified, {
                query: {
                  query: options.query,
                  limit,
                  cursor: options.cursor,
                  viewType: options.viewType ?? "all",
                  spaceIds: spaceIds.join(","),
                  includeDataSources: options.includeDataSources ?? true,
                  searchSourceUrls: options.searchSourceUrls ?? false,
                  includeTools: options.includeTools ?? true
                }
              }, decodeEvent).pipe(
                Stream.mapEffect((event): Effect.Effect<UnifiedResults, RequestError> => {
                  if (event._tag === "Failure") return failed(event)
                  if (event._tag === "KnowledgeResults") complete = true
                  return Effect.succeed(event)
                }),
                Stream.concat(Stream.suspend(() =>
                  complete
                    ? Stream.empty
                    : Stream.fail(streamError(unified, "truncated", "the stream ended before the search had an answer"))
                ))
              )
            })
          )
      )
    },
    uploadToolFile: (options) =>
      Effect.map(
        client.execute(uploadToolFile, {
          body: {
            serverViewId: options.serverViewId,
            externalId: options.externalId,
            conversationId: options.conversationId,
            serverName: options.serverName ?? undefined,
            serverIcon: options.serverIcon ?? undefined
          }
        }),
        (answer) => answer.file
      )
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Search, never, DustClient> = Layer.effect(Search, make)
