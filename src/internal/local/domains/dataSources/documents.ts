/** Documents of a data source. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { badRequest, json, refuse, type Refusal } from "../../server/http.ts"
import { body, type Context, nullish, param } from "../../server/route.ts"
import { pause } from "../../state/state.ts"
import { ParentsBody, checkParents, checkSourceUrl, moment, paging, sourceOf, sourceToWrite } from "./access.ts"
import {
  type LocalDataSource,
  type LocalDocument,
  chunksOf,
  hashOf,
  localDataSources,
  renderDataSource
} from "./model.ts"

const MINUTE = 60_000

const QUEUE_DELAY = Duration.seconds(2)

export const renderDocument = (
  dataSource: LocalDataSource,
  document: LocalDocument,
  chunks: ReadonlyArray<{ readonly text: string; readonly offset: number; readonly score: number | null }>,
  text: string | null
): Record<string, unknown> => ({
  data_source_id: dataSource.sId,
  created: document.created,
  document_id: document.documentId,
  title: document.title,
  mime_type: document.mimeType,
  timestamp: document.timestamp,
  tags: document.tags,
  parents: document.parents,
  parent_id: document.parents[1] ?? null,
  source_url: document.sourceUrl,
  hash: document.hash,
  text_size: document.text.length,
  chunk_count: chunksOf(document.text).length,
  chunks: chunks.map((chunk) => ({ ...chunk, hash: hashOf(chunk.text), vector: null })),
  text
})

const everyChunk = (document: LocalDocument) =>
  chunksOf(document.text).map((text, offset) => ({ text, offset, score: null }))

export const wholeDocument = (dataSource: LocalDataSource, document: LocalDocument) =>
  renderDocument(dataSource, document, everyChunk(document), document.text)

const backendError = (code: string, message: string) =>
  refuse(400, "data_source_error", message, { data_source_error: { code, message } })

const missingDocument = backendError("data_source_document_not_found", "There was an error retrieving the document.")

export const listDocuments = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceOf(context)
    const { limit, offset } = yield* paging(context)
    const ids = context.query.getAll("document_ids")
    const all = [...source.documents.values()]
      .filter((document) => ids.length === 0 || ids.includes(document.documentId))
      .sort((a, b) => b.timestamp - a.timestamp || (a.documentId < b.documentId ? -1 : 1))
    return json({
      documents: all.slice(offset, offset + limit).map((document) => renderDocument(source, document, [], null)),
      total: all.length
    })
  })

export const documentOf = (context: Context, source: LocalDataSource): Effect.Effect<LocalDocument, Refusal> => {
  const document = source.documents.get(param(context, "documentId"))
  return document === undefined ? missingDocument : Effect.succeed(document)
}

interface SectionInput {
  readonly prefix: string | null
  readonly content: string | null
  readonly sections: ReadonlyArray<SectionInput>
}

const SectionInput: Schema.Schema<SectionInput> = Schema.Struct({
  prefix: Schema.NullOr(Schema.String),
  content: Schema.NullOr(Schema.String),
  sections: Schema.Array(Schema.suspend((): Schema.Schema<SectionInput> => SectionInput))
})

const flatten = (section: SectionInput): string =>
  [section.prefix, section.content, ...section.sections.map(flatten)]
    .filter((part) => part !== null && part !== "")
    .join("\n")

const UpsertBody = Schema.Struct({
  text: nullish(Schema.String),
  section: nullish(SectionInput),
  title: nullish(Schema.String),
  mime_type: nullish(Schema.String),
  source_url: nullish(Schema.String),
  tags: nullish(Schema.Array(Schema.String)),
  timestamp: nullish(Schema.Number),
  light_document_output: Schema.optional(Schema.Boolean),
  async: nullish(Schema.Boolean),
  upsert_context: Schema.optional(
    Schema.Struct({ sync_type: Schema.optional(Schema.Literal("batch", "incremental")) })
  ),
  parent_id: nullish(Schema.String),
  parents: nullish(Schema.Array(Schema.String))
})

/**
 * The stored title and tags. A `title:` tag is added if tags were given without one. If no tags were given, it is added
 * only for queued upserts. Source: `documents/[documentId]/index.ts`, which pushes to the array of the request.
 */
const titleAndTags = (
  documentId: string,
  givenTitle: string | null | undefined,
  givenTags: ReadonlyArray<string> | null | undefined,
  queued: boolean
): { readonly title: string; readonly tags: ReadonlyArray<string> } => {
  const present = (text: string | undefined) => text === undefined || text === "" ? undefined : text
  const tags = givenTags ?? []
  const inTags = present(tags.find((tag) => tag.startsWith("title:"))?.slice("title:".length).trim())
  const title = present(givenTitle?.trim()) ?? inTags ?? documentId
  const added = inTags === undefined && (queued || (givenTags ?? undefined) !== undefined)
  return { title, tags: added ? [...tags, `title:${title}`] : tags }
}

export const upsertDocument = (context: Context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const source = yield* sourceToWrite(context)
    const documentId = param(context, "documentId")
    const all = localDataSources(world)
    if (auth.kind !== "system") {
      const now = world.now()
      while (all.upserts.length > 0 && all.upserts[0]! <= now - MINUTE) all.upserts.shift()
      if (all.upserts.length >= world.limits.upsertsPerMinute) {
        return yield* refuse(
          429,
          "rate_limit_error",
          `You have reached the maximum number of ${world.limits.upsertsPerMinute} upserts per minute.`
        )
      }
      all.upserts.push(now)
    }
    const input = yield* body(context, UpsertBody)
    const sourceUrl = yield* checkSourceUrl(input.source_url)
    const text = input.text ?? (input.section === null || input.section === undefined ? null : flatten(input.section))
    if (text === null) {
      return yield* badRequest("Invalid request body, `text` or `section` must be provided.")
    }
    if (text.length > world.limits.documentSize) {
      return yield* refuse(
        403,
        "data_source_quota_error",
        `Data sources are limited to 2MB documents on your current plan.`
      )
    }
    if (auth.kind !== "system" && ((input.parents ?? null) !== null || (input.parent_id ?? null) !== null)) {
      return yield* badRequest("Setting a custom hierarchy is not supported yet. Please omit the parents field.")
    }
    if ((input.title ?? "").length > 512) {
      return yield* badRequest("Invalid title: must be 512 characters or less.")
    }
    const queued = input.async === true
    const { tags, title } = titleAndTags(documentId, input.title, input.tags, queued)
    const before = source.documents.get(documentId)
    const document: LocalDocument = {
      documentId,
      created: world.now(),
      title,
      mimeType: input.mime_type ?? "application/octet-stream",
      timestamp: moment(input.timestamp) ?? world.now(),
      tags,
      parents: input.parents ?? before?.parents ?? [documentId],
      sourceUrl,
      text,
      hash: hashOf(text)
    }
    const store = Effect.sync(() => void source.documents.set(documentId, document))
    if (queued) {
      yield* world.quirks.asyncUpserts
        ? Effect.forkIn(
          Effect.zipRight(pause(world, QUEUE_DELAY, "a document in the queue of asynchronous upserts"), store),
          world.scope
        )
        : store
      return json({ document: { document_id: documentId } })
    }
    yield* store
    return json({
      document: input.light_document_output === true
        ? {
          hash: document.hash,
          text_size: text.length,
          chunk_count: chunksOf(text).length,
          token_count: Math.ceil(text.length / 4),
          created: document.created
        }
        : wholeDocument(source, document),
      data_source: renderDataSource(source)
    })
  })

export const deleteDocument = (context: Context) =>
  Effect.map(sourceToWrite(context), (source) => {
    const documentId = param(context, "documentId")
    source.documents.delete(documentId)
    return json({ document: { document_id: documentId } })
  })

export const updateParents = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceToWrite(context)
    const input = yield* body(context, ParentsBody)
    yield* checkParents(param(context, "documentId"), input)
    const document = source.documents.get(param(context, "documentId"))
    if (document === undefined) {
      return yield* refuse(500, "internal_server_error", "There was an error updating the parents of the document.")
    }
    document.parents = input.parents
    return json({ updated: true })
  })

export const tokenize = (context: Context) =>
  Effect.gen(function*() {
    yield* sourceOf(context)
    const { text } = yield* body(context, Schema.Struct({ text: Schema.String }))
    const pieces = text.match(/\s*\S+|\s+$/g) ?? []
    return json({ tokens: pieces.map((piece) => [parseInt(hashOf(piece).slice(0, 4), 16), piece]) })
  })
