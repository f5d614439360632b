/**
 * Views: a data source, or a part of it, as it is shown in a space. Agents and search work on views.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DataSourceView, Document } from "./DataSource.ts"
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type { DataSourceViewId, SpaceId } from "./Ids.ts"
import { dataSourceViews } from "./internal/api/dataSourceViews.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { pickByName } from "./internal/input/findByName.ts"
import { searchQuery, type SearchOptions } from "./internal/input/searchQuery.ts"
import { badInput } from "./internal/request/errors.ts"

export type { SearchOptions }

/**
 * The location of a view.
 *
 * @category models
 * @since 0.1.0
 */
export interface DataSourceViewLocation {
  readonly spaceId: SpaceId
  readonly dataSourceViewId: DataSourceViewId
}

/**
 * Nodes to add to a view, or to remove from it.
 *
 * @category models
 * @since 0.1.0
 */
export interface DataSourceViewUpdate extends DataSourceViewLocation {
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
export interface Service extends Methods<typeof dataSourceViews> {
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
   * Shows more of the data source, or less. Needs the right to administer the view: without it a `DustForbiddenError`
   * (`workspace_auth_error`). Retried.
   *
   * Source: `PATCH …/data_source_views/{dataSourceViewId}`
   */
  readonly update: (options: DataSourceViewUpdate) => Effect.Effect<DataSourceView, RequestError>
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
  readonly search: (
    options: DataSourceViewLocation & SearchOptions
  ) => Effect.Effect<ReadonlyArray<Document>, RequestError>
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
export const make: Effect.Effect<Service, never, DustClient> = implement(
  DataSourceViews,
  dataSourceViews,
  ({ call, client, operation }) => ({
    findByName: ({ name, spaceId }: { readonly spaceId: SpaceId; readonly name: string }) =>
      Effect.map(
        pickByName(
          operation.findByName.list,
          "data source view",
          name,
          Effect.map(call.findByName.list(spaceId), (views) =>
            views.map((view) => ({ sId: view.sId, name: view.dataSource.name, view })))
        ),
        ({ view }) =>
          view
      ),
    update: ({ dataSourceViewId, parentsToAdd, parentsToRemove, spaceId }: DataSourceViewUpdate) =>
      (parentsToAdd ?? []).length + (parentsToRemove ?? []).length === 0
        ? Effect.fail(badInput(operation.update.patch, "parentsToAdd", "at least one node to add or to remove"))
        : call.update.patch({ spaceId, dataSourceViewId, parentsToAdd, parentsToRemove }),
    search: ({ dataSourceViewId, spaceId, ...options }: DataSourceViewLocation & SearchOptions) =>
      Effect.flatMap(
        searchQuery(operation.search.get, options),
        (query) =>
          Effect.map(
            client.execute(operation.search.get, { path: { spaceId, dataSourceViewId }, query }),
            (answer) => answer.documents
          )
      )
  })
)

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSourceViews, never, DustClient> = Layer.effect(DataSourceViews, make)
