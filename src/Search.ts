/**
 * Searches the whole workspace: titles and URLs of documents, tables and folders, and files of connected tools.
 *
 * Search returns *nodes*. To search the text of documents, use `DataSources.search` and `DataSourceViews.search`.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { RequestError, StreamError } from "./DustAPIError.ts"
import type { DustClient, Service as Client } from "./DustClient.ts"
import type { File } from "./File.ts"
import type { ConversationId, McpServerViewId, SpaceId } from "./Ids.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement, type Tools } from "./internal/api/implement.ts"
import type { Identity } from "./internal/api/operation.ts"
import { search as endpoints } from "./internal/api/search.ts"
import { decodeSearchEvent, type SearchEvent } from "./internal/decode/searchResults.ts"
import { badInput, fromResponse, streamError } from "./internal/request/errors.ts"
import { sseOnce } from "./internal/stream/once.ts"
import { byCursor } from "./internal/util/paging.ts"
import type { Node, NodePage, UnifiedResults } from "./SearchResult.ts"

/**
 * Filters for a search of nodes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions {
  /** Documents, tables, or both. Defaults to `all`. */
  readonly viewType?: "all" | "document" | "table" | undefined
  /**
   * The spaces to search. Must not be empty. By default, the SDK lists the spaces of the caller, including projects, and searches
   * all of them, which takes one more request per call or stream.
   */
  readonly spaceIds?: ReadonlyArray<SpaceId> | undefined
  /** Whether to include data sources themselves. Defaults to `true`. */
  readonly includeDataSources?: boolean | undefined
}

/**
 * Selects nodes by title.
 *
 * @category models
 * @since 0.1.0
 */
export interface ByQuery extends CommonOptions {
  readonly query: string
  readonly nodeIds?: undefined
  /** Whether to search the URLs of nodes, too, for pasted URLs. Defaults to `false`. */
  readonly searchSourceUrls?: boolean | undefined
}

/**
 * Selects nodes by id, to resolve their titles and views.
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
 * Selects nodes by a text or by ids.
 *
 * @category models
 * @since 0.1.0
 */
export type NodesOptions = ByQuery | ByNodeIds

/**
 * Selects a page of nodes.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageOptions {
  /** 1 to 2000. Defaults to 100. */
  readonly limit?: number | undefined
  /** The `nextPageCursor` of the previous page. */
  readonly cursor?: string | undefined
}

/**
 * The query and the filters of a search over the workspace and its tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface UnifiedOptions extends CommonOptions {
  /** Not blank; Dust advises three characters or more. */
  readonly query: string
  /** Results per source, 1 to 100. Defaults to 25. */
  readonly limit?: number | undefined
  /**
   * The `nextPageCursor` of the previous knowledge results. Tools have no pages, and are not searched if it is given.
   */
  readonly cursor?: string | undefined
  /** Whether to search the URLs of nodes, too. Defaults to `false`. */
  readonly searchSourceUrls?: boolean | undefined
  /** Whether to search connected tools. Defaults to `true`. */
  readonly includeTools?: boolean | undefined
}

/**
 * The file of a tool to copy. Pass a `SearchResult.ToolFile`.
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

/**
 * All methods accept an API key or an access token, and are retried according to the retry policy unless documented otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
  /**
   * Returns one page of the nodes that the caller can read, by `query` (title and URL) or by `nodeIds`. Fails with
   * `DustNotFoundError` (`space_not_found`) for a space that the caller cannot see, and with `DustBadRequestError` before any
   * request for an empty list of spaces.
   *
   * Source: `POST /api/v1/w/{workspaceId}/search`, with the paging in its address;
   * `front-api/routes/v1/w/[wId]/search/index.ts` in dust-tt/dust.
   */
  readonly pageNodes: (options: NodesOptions & PageOptions) => Effect.Effect<NodePage, RequestError>
  /**
   * Streams all matching nodes, page by page as they are consumed. `pageSize` defaults to 100; at most 2000. Errors
   * as for {@link Service.pageNodes}.
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
   * Source: `POST /api/v1/w/{workspaceId}/search`, with the paging in its address;
   * `front-api/routes/v1/w/[wId]/search/index.ts` in dust-tt/dust.
   */
  readonly streamNodes: (
    options: NodesOptions & { readonly pageSize?: number | undefined }
  ) => Stream.Stream<Node, RequestError>
  /**
   * Searches the workspace and its connected tools at once. Sends the query to the tools. Emits results as they arrive: those of
   * the workspace once, and the files of each tool. Ends after all have responded.
   *
   * Retried until the stream is open. Fails with `DustStreamError` (`truncated`) if the stream ends without the results of the
   * workspace, and with the usual errors if the search fails on the server.
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
   * Source: `GET /api/v1/w/{workspaceId}/search`;
   * `front-api/routes/v1/w/[wId]/search/index.ts` in dust-tt/dust.
   */
  readonly unified: (options: UnifiedOptions) => Stream.Stream<UnifiedResults, StreamError>
  /**
   * Copies a file of a tool into Dust, so that it can be attached to a message. Never retried. Fails with `DustBadRequestError` if
   * the tool has no usable connection, and with `DustServerError` if the tool does not return the file.
   *
   * Source: `POST /api/v1/w/{workspaceId}/search/tools/upload`;
   * `front-api/routes/v1/w/[wId]/search/tools/upload.ts` in dust-tt/dust.
   */
  readonly uploadToolFile: (options: UploadToolFileOptions) => Effect.Effect<File, RequestError>
}

/**
 * The tag of the service: `yield* Search` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Search extends Context.Tag("effect-dust/Search")<Search, Service>() {}

type Operations = Tools<typeof endpoints>["operation"]

const defaultLimit = 100
const defaultUnifiedLimit = 25

const checkLimit = (identity: Identity, field: string, value: number, max: number) =>
  Number.isInteger(value) && value >= 1 && value <= max
    ? Effect.void
    : Effect.fail(badInput(identity, field, `a whole number from 1 to ${max}`))

const checkNodes = (identity: Identity, { nodeIds, query }: NodesOptions) => {
  if ((query === undefined) === (nodeIds === undefined)) {
    return Effect.fail(badInput(identity, "query", "set, unless nodeIds is set instead"))
  }
  return nodeIds !== undefined && nodeIds.length === 0
    ? Effect.fail(badInput(identity, "nodeIds", "a non-empty list"))
    : Effect.void
}

/** The spaces that were given, or else all that the caller can see. */
const spacesFor = (
  identity: Identity,
  given: ReadonlyArray<SpaceId> | undefined,
  all: () => Effect.Effect<ReadonlyArray<SpaceId>, RequestError>
): Effect.Effect<ReadonlyArray<SpaceId>, RequestError> => {
  if (given === undefined) return all()
  const blank = given.findIndex((spaceId) => spaceId.trim() === "")
  if (blank >= 0) return Effect.fail(badInput(identity, `spaceIds.${blank}`, "the id of a space"))
  return given.length === 0
    ? Effect.fail(badInput(identity, "spaceIds", "a non-empty list; omit it to search all spaces"))
    : Effect.succeed(given)
}

const readNodes = (
  client: Client,
  operation: Operations["pageNodes"]["nodes"],
  options: NodesOptions & PageOptions & { readonly limit: number },
  spaceIds: ReadonlyArray<SpaceId>
) =>
  client.execute(operation, {
    query: { limit: options.limit, cursor: options.cursor },
    body: {
      query: options.query,
      nodeIds: options.nodeIds,
      viewType: options.viewType ?? "all",
      spaceIds,
      includeDataSources: options.includeDataSources ?? true,
      limit: options.limit,
      searchSourceUrls: options.searchSourceUrls
    }
  })

/** The server reports a failure inside a 200: it becomes the error that its status means. */
const failureOf = (client: Client, identity: Identity, event: Extract<SearchEvent, { _tag: "Failure" }>) =>
  Effect.flatMap(
    Effect.zip(Clock.currentTimeMillis, client.caller),
    ([now, { hasUser }]) =>
      Effect.fail(fromResponse({
        identity,
        hasUser,
        attempts: 1,
        status: event.status,
        headers: {},
        body: event.body,
        now
      }))
  )

const readUnified = (
  client: Client,
  operation: Operations["unified"]["events"],
  options: UnifiedOptions & { readonly limit: number },
  spaceIds: ReadonlyArray<SpaceId>,
  isRepeated = false
): Stream.Stream<UnifiedResults, StreamError> =>
  Stream.suspend(() => {
    let complete = false
    let begun = false
    const results = sseOnce(client, operation, {
      query: {
        query: options.query,
        limit: options.limit,
        cursor: options.cursor,
        viewType: options.viewType ?? "all",
        spaceIds: spaceIds.join(","),
        includeDataSources: options.includeDataSources ?? true,
        searchSourceUrls: options.searchSourceUrls ?? false,
        includeTools: options.includeTools ?? true
      }
    }, decodeSearchEvent).pipe(
      Stream.mapEffect((event): Effect.Effect<UnifiedResults, RequestError> => {
        if (event._tag === "Failure") return failureOf(client, operation, event)
        begun = true
        if (event._tag === "KnowledgeResults") complete = true
        return Effect.succeed(event)
      }),
      Stream.concat(Stream.suspend(() =>
        complete
          ? Stream.empty
          : Stream.fail(streamError(operation, "truncated", "the stream ended before the search was complete"))
      ))
    )
    // A connection that breaks before any result costs nothing but time; later, its results would come twice.
    return Stream.catchAll(results, (error) =>
      begun || isRepeated || !isCut(error)
        ? Stream.fail(error)
        : readUnified(client, operation, options, spaceIds, true))
  })

const isCut = (error: StreamError): boolean =>
  error._tag === "DustNetworkError" || (error._tag === "DustStreamError" && error.reason === "truncated")

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(
  Search,
  endpoints,
  ({ call, client, operation }) => ({
    pageNodes: (options: NodesOptions & PageOptions) => {
      const { limit = defaultLimit } = options
      const { nodes } = operation.pageNodes
      return checkNodes(nodes, options).pipe(
        Effect.zipRight(checkLimit(nodes, "limit", limit, 2000)),
        Effect.zipRight(spacesFor(nodes, options.spaceIds, call.pageNodes.spaces)),
        Effect.flatMap((spaceIds) => readNodes(client, nodes, { ...options, limit }, spaceIds)),
        client.withTotal(nodes)
      )
    },
    streamNodes: (options: NodesOptions & { readonly pageSize?: number | undefined }) => {
      const limit = options.pageSize ?? defaultLimit
      const { nodes } = operation.streamNodes
      return checkNodes(nodes, options).pipe(
        Effect.zipRight(checkLimit(nodes, "pageSize", limit, 2000)),
        Effect.zipRight(spacesFor(nodes, options.spaceIds, call.streamNodes.spaces)),
        Effect.map((spaceIds) =>
          byCursor(nodes, (cursor: string | undefined) =>
            Effect.map(
              readNodes(client, nodes, { ...options, limit, cursor }, spaceIds),
              (page) => ({ items: page.nodes, next: page.nextPageCursor })
            ))
        ),
        Stream.unwrap
      )
    },
    unified: (options: UnifiedOptions) => {
      const { limit = defaultUnifiedLimit } = options
      const { events } = operation.unified
      const checked = options.query.trim() === ""
        ? Effect.fail(badInput(events, "query", "non-blank text"))
        : checkLimit(events, "limit", limit, 100)
      return checked.pipe(
        Effect.zipRight(spacesFor(events, options.spaceIds, call.unified.spaces)),
        Effect.map((spaceIds) => readUnified(client, events, { ...options, limit }, spaceIds)),
        Stream.unwrap
      )
    },
    uploadToolFile: ({ serverIcon, serverName, ...options }: UploadToolFileOptions) =>
      call.uploadToolFile.post({ ...options, serverName: serverName ?? undefined, serverIcon: serverIcon ?? undefined })
  })
)

/**
 * Provides {@link Search} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Search, never, DustClient> = Layer.effect(Search, make)
