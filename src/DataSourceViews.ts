/**
 * Views: a data source, or a part of it, in a space. Agents and searches use views. Lists, searches and changes them.
 *
 * @packageDocumentation
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
  /** Nodes to add, with everything below them. */
  readonly parentsToAdd?: ReadonlyArray<string> | undefined
  /** Nodes to remove. */
  readonly parentsToRemove?: ReadonlyArray<string> | undefined
  /** Not accepted: Dust reports success for a complete list, but changes nothing. */
  readonly parentsIn?: never
}

/**
 * All methods accept an API key or an access token. They fail with `DustNotFoundError` (`space_not_found`,
 * `data_source_view_not_found`) if the resource does not exist or the credential cannot read it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof dataSourceViews> {
  /**
   * Finds the view of the data source with this name: by an exact match, else ignoring case. Retried automatically.
   *
   * Fails with `DustNotFoundError` (`name_not_found`) for an unknown name (`details.near` has similar names), and with
   * `DustBadRequestError` (`ambiguous_name`) if there are several.
   */
  readonly findByName: (options: {
    readonly spaceId: SpaceId
    /** The name of the data source. */
    readonly name: string
  }) => Effect.Effect<DataSourceView, RequestError>
  /**
   * Adds nodes to a view or removes them. Retried automatically. Fails with `DustForbiddenError` (`workspace_auth_error`)
   * unless the credential may administer the view.
   *
   * Source: `PATCH …/data_source_views/{dataSourceViewId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_source_views/[dsvId]/index.ts` in dust-tt/dust.
   */
  readonly update: (options: DataSourceViewUpdate) => Effect.Effect<DataSourceView, RequestError>
  /**
   * Searches the documents of the view by meaning. Returns each document with the chunks that match and their scores.
   * Retried automatically.
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
   * Source: `GET …/data_source_views/{dataSourceViewId}/search`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_source_views/[dsvId]/search.ts` in dust-tt/dust.
   */
  readonly search: (
    options: DataSourceViewLocation & SearchOptions
  ) => Effect.Effect<ReadonlyArray<Document>, RequestError>
}

/**
 * The tag of the service: `yield* DataSourceViews` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class DataSourceViews extends Context.Tag("effect-dust/DataSourceViews")<DataSourceViews, Service>() {}

/**
 * Makes the service.
 *
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
        ? Effect.fail(
          badInput(operation.update.patch, "parentsToAdd", "at least one node, unless parentsToRemove has one")
        )
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
 * Provides {@link DataSourceViews} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<DataSourceViews, never, DustClient> = Layer.effect(DataSourceViews, make)
