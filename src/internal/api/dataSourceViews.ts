/** The endpoints of `DataSourceViews`. */
import * as Schema from "effect/Schema"
import { DataSourceView, Document } from "../../DataSource.ts"
import { list } from "../decode/schema.ts"
import { get, group, patch, using } from "./endpoint.ts"

const view: Schema.Schema<DataSourceView, typeof DataSourceView.Encoded> = DataSourceView
const document: Schema.Schema<Document, typeof Document.Encoded> = Document

const views = {
  response: Schema.Struct({ dataSourceViews: list(view) }),
  pick: (answer: { readonly dataSourceViews: ReadonlyArray<DataSourceView> }) => answer.dataSourceViews
}

const one = {
  response: Schema.Struct({ dataSourceView: view }),
  pick: (answer: { readonly dataSourceView: DataSourceView }) => answer.dataSourceView
}

export const dataSourceViews = group("DataSourceViews", {
  /**
   * Returns the views of a space, in one request. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/data_source_views`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_source_views/index.ts` in dust-tt/dust.
   */
  list: get("/spaces/{spaceId}/data_source_views", views),
  findByName: using({ list: get("/spaces/{spaceId}/data_source_views", views) }),
  /**
   * Returns one view. Retried automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/data_source_views/{dataSourceViewId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_source_views/[dsvId]/index.ts` in dust-tt/dust.
   */
  get: get("/spaces/{spaceId}/data_source_views/{dataSourceViewId}", one),
  update: using({
    patch: patch("/spaces/{spaceId}/data_source_views/{dataSourceViewId}", {
      ...one,
      replay: "safe",
      // Here it is about the view, not about the credential.
      errors: { workspace_auth_error: "DustForbiddenError" },
      body: Schema.Struct({
        parentsToAdd: Schema.optional(Schema.Array(Schema.String)),
        parentsToRemove: Schema.optional(Schema.Array(Schema.String))
      })
    })
  }),
  search: using({
    get: get("/spaces/{spaceId}/data_source_views/{dataSourceViewId}/search", {
      response: Schema.Struct({ documents: list(document) })
    })
  })
})
