/**
 * Views: a data source, or a part of it, as it is shown in a space. Agents and search work on views.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { DataSourceView, Document } from "./DataSource.ts"
import type { RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import type { DataSourceViewId, SpaceId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { list } from "./internal/decode/schema.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { searchQuery, type SearchOptions } from "./internal/input/searchQuery.ts"
import { badInput } from "./internal/request/errors.ts"

const base = "/api/v1/w/{workspaceId}/spaces/{spaceId}/data_source_views" as const
const one = `${base}/{dataSourceViewId}` as const

const listViews = Operation.make({
  name: "DataSourceViews.list",
  http: "GET",
  route: base,
  response: Schema.Struct({ dataSourceViews: list(DataSourceView) })
})

const findView = { ...listViews, method: "findByName" }

const get = Operation.make({
  name: "DataSourceViews.get",
  http: "GET",
  route: one,
  response: Schema.Struct({ dataSourceView: DataSourceView })
})

const update = Operation.make({
  name: "DataSourceViews.update",
  http: "PATCH",
  route: one,
  replay: "safe",
  // Here it is about the view, not about the credential.
  errors: { workspace_auth_error: "DustForbiddenError" },
  body: Schema.Struct({
    parentsToAdd: Schema.optional(Schema.Array(Schema.String)),
    parentsToRemove: Schema.optional(Schema.Array(Schema.String))
  }),
  response: Schema.Struct({ dataSourceView: DataSourceView })
})

const search = Operation.make({
  name: "DataSourceViews.search",
  http: "GET",
  route: `${one}/search`,
  response: Schema.Struct({ documents: list(Document) })
})

export type { SearchOptions }

/**
 * Where a view is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Location {
  readonly spaceId: SpaceId
  readonly dataSourceViewId: DataSourceViewId
}

/**
 * What a view shows more, or no longer.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpdateOptions extends Location {
  /** Nodes to show, with everything below them. */
  readonly parentsToAdd?: ReadonlyArray<string> | undefined
  /** Nodes to show no longer. */
  readonly parentsToRemove?: ReadonlyArray<string> | undefined
  /** Dust accepts a whole list, answers that all is well, and changes nothing. */
  readonly parentsIn?: never
}

/**
 * All methods take an API key or a user's access token. `DustNotFoundError` (`space_not_found`,
 * `data_source_view_not_found`): unknown, or no right to read it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * The views of a space. There is no paging. Retried.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/data_source_views`
   */
  readonly list: (spaceId: SpaceId) => Effect.Effect<ReadonlyArray<DataSourceView>, RequestError>
  /**
   * The view of the data source with this name: exactly, else without regard to case. `DustNotFoundError`
   * (`name_not_found`) names those that come close, `DustBadRequestError` (`ambiguous_name`) those that share the name.
   * Retried.
   */
  readonly findByName: (options: {
    readonly spaceId: SpaceId
    /** The name of the data source. */
    readonly name: string
  }) => Effect.Effect<DataSourceView, RequestError>
  /**
   * One view, by its id. Retried.
   *
   * Source: `GET …/data_source_views/{dataSourceViewId}`
   */
  readonly get: (options: Location) => Effect.Effect<DataSourceView, RequestError>
  /**
   * Shows more of the data source, or less. Needs the right to administer the view: without it a `DustForbiddenError`
   * (`workspace_auth_error`). Retried.
   *
   * Source: `PATCH …/data_source_views/{dataSourceViewId}`
   */
  readonly update: (options: UpdateOptions) => Effect.Effect<DataSourceView, RequestError>
  /**
   * Semantic search in what the view shows: the documents, each with the chunks that match and their scores. Retried.
   *
   * @example
   * ```ts
   * import { passages } from "effect-dust/DataSource"
   * import { DataSourceViews } from "effect-dust/DataSourceViews"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const views = yield* DataSourceViews
   *   const { sId } = yield* views.findByName({ spaceId: "vlt_global", name: "handbook" })
   *   const found = yield* views.search({ spaceId: "vlt_global", dataSourceViewId: sId, query: "parental leave", topK: 5 })
   *   return passages(found).map((passage) => passage.text)
   * })
   * ```
   *
   * Source: `GET …/data_source_views/{dataSourceViewId}/search`
   */
  readonly search: (options: Location & SearchOptions) => Effect.Effect<ReadonlyArray<Document>, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class DataSourceViews extends Context.Tag("effect-dust/DataSourceViews")<DataSourceViews, Service>() {}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const all = (operation: typeof listViews, spaceId: SpaceId) =>
    Effect.map(client.execute(operation, { path: { spaceId } }), (answer) => answer.dataSourceViews)
  const at = ({ dataSourceViewId, spaceId }: Location) => ({ spaceId, dataSourceViewId })
  return DataSourceViews.of({
    list: (spaceId) => all(listViews, spaceId),
    findByName: ({ name, spaceId }) =>
      Effect.map(
        pickByName(
          findView,
          "data source view",
          name,
          Effect.map(all(findView, spaceId), (views) =>
            views.map((view) => ({ sId: view.sId, name: view.dataSource.name, view })))
        ),
        ({ view }) =>
          view
      ),
    get: (options) => Effect.map(client.execute(get, { path: at(options) }), (answer) => answer.dataSourceView),
    update: (options) =>
      (options.parentsToAdd ?? []).length + (options.parentsToRemove ?? []).length === 0
        ? Effect.fail(badInput(update, "parentsToAdd", "at least one node to add or to remove"))
        : Effect.map(
          client.execute(update, {
            path: at(options),
            body: { parentsToAdd: options.parentsToAdd, parentsToRemove: options.parentsToRemove }
          }),
          (answer) => answer.dataSourceView
        ),
    search: (options) =>
      Effect.flatMap(
        searchQuery(search, options),
        (query) => Effect.map(client.execute(search, { path: at(options), query }), (answer) => answer.documents)
      )
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSourceViews, never, DustClient> = Layer.effect(DataSourceViews, make)
