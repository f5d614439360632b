/** Folders of a data source. Only Dust's system keys may write them. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { json } from "../../server/http.ts"
import { body, type Context, nullish, param } from "../../server/route.ts"
import { checkParents, sourceOf } from "./access.ts"
import { type LocalDataSource, type LocalFolder, renderDataSource } from "./model.ts"

export const renderFolder = (source: LocalDataSource, folder: LocalFolder): Record<string, unknown> => ({
  data_source_id: source.sId,
  folder_id: folder.folderId,
  title: folder.title,
  timestamp: folder.timestamp,
  parents: folder.parents,
  parent_id: folder.parents[1] ?? null
})

const FolderBody = Schema.Struct({
  timestamp: Schema.Number,
  title: Schema.String,
  mime_type: Schema.String,
  parents: nullish(Schema.Array(Schema.String)),
  parent_id: nullish(Schema.String),
  source_url: nullish(Schema.String),
  provider_visibility: nullish(Schema.Literal("public", "private"))
})

export const upsertFolder = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceOf(context, false)
    const folderId = param(context, "folderId")
    const input = yield* body(context, FolderBody)
    const parents = input.parents ?? [folderId]
    yield* checkParents(folderId, { parents, parent_id: input.parent_id })
    const folder: LocalFolder = { folderId, title: input.title, timestamp: input.timestamp, parents }
    source.folders.set(folderId, folder)
    return json({ folder: renderFolder(source, folder), data_source: renderDataSource(source) })
  })
