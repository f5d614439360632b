/** Data sources: documents, tables, rows, search, and the views of them. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { badRequest, empty, json, type LocalResponse, refuse, type Refusal } from "../server/http.ts"
import {
  body,
  type Context,
  hasRole,
  jsonBody,
  nullish,
  param,
  query,
  type Requirement,
  type Route,
  route
} from "../server/route.ts"
import type { DataSourceSeed, DataSourceViewSeed, DocumentSeed, TableSeed } from "../state/seed.ts"
import { pause, slice, type World } from "../state/state.ts"
import { maySee, spaceOf, spaces } from "./spaces.ts"

export interface LocalDocument {
  readonly documentId: string
  readonly created: number
  readonly title: string
  readonly mimeType: string
  readonly timestamp: number
  readonly tags: ReadonlyArray<string>
  parents: ReadonlyArray<string>
  readonly sourceUrl: string | null
  readonly text: string
  readonly hash: string
}

export interface LocalTable {
  readonly tableId: string
  readonly name: string
  readonly title: string
  readonly description: string
  readonly timestamp: number
  readonly tags: ReadonlyArray<string>
  readonly sourceUrl: string | null
  readonly rows: Map<string, Readonly<Record<string, unknown>>>
}

export interface LocalFolder {
  readonly folderId: string
  readonly title: string
  readonly timestamp: number
  readonly parents: ReadonlyArray<string>
}

export interface LocalDataSource {
  readonly id: number
  readonly sId: string
  readonly name: string
  readonly description: string | null
  readonly spaceId: string
  readonly createdAt: number
  readonly connectorProvider: string | null
  readonly documents: Map<string, LocalDocument>
  readonly tables: Map<string, LocalTable>
  readonly folders: Map<string, LocalFolder>
}

export interface LocalView {
  readonly id: number
  readonly sId: string
  readonly spaceId: string
  readonly dataSource: LocalDataSource
  readonly createdAt: number
  updatedAt: number
  parentsIn: ReadonlyArray<string> | null
}

interface DataSources {
  readonly byId: Map<string, LocalDataSource>
  readonly views: Map<string, LocalView>
  /** When documents were upserted with ordinary credentials, within the last minute. */
  readonly upserts: Array<number>
}

const MINUTE = 60_000
const QUEUE_DELAY = Duration.seconds(2)
const CHUNK = 512

/** The data sources of a workspace when nothing else is asked for. */
const sample: ReadonlyArray<DataSourceSeed> = [
  {
    sId: "dts_handbook",
    name: "handbook",
    description: "How we work",
    documents: [
      {
        documentId: "onboarding",
        title: "Onboarding",
        text: "On the first day everybody gets a laptop. In the first week everybody meets the whole team.",
        tags: ["people"],
        sourceUrl: "https://handbook.example.com/onboarding"
      },
      {
        documentId: "travel",
        title: "Travel",
        text: "Trains are booked in second class. Hotels are booked by the office.",
        tags: ["people", "money"],
        sourceUrl: "https://handbook.example.com/travel"
      }
    ]
  },
  { sId: "dts_wiki", name: "wiki", description: "Pages of the wiki", connectorProvider: "notion" }
]

const hashOf = (text: string): string => {
  let a = 0x811c9dc5
  let b = 0x1000193
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 16777619)
    b = Math.imul(b ^ text.charCodeAt(i), 2246822507)
  }
  return (a >>> 0).toString(16).padStart(8, "0") + (b >>> 0).toString(16).padStart(8, "0")
}

const chunksOf = (text: string): ReadonlyArray<string> => {
  const chunks: Array<string> = []
  for (let at = 0; at < text.length; at += CHUNK) chunks.push(text.slice(at, at + CHUNK))
  return chunks
}

const makeDocument = (world: World, seed: DocumentSeed): LocalDocument => ({
  documentId: seed.documentId,
  created: world.now(),
  title: seed.title ?? seed.documentId,
  mimeType: seed.mimeType ?? "application/octet-stream",
  timestamp: seed.timestamp ?? world.now(),
  tags: seed.tags ?? [],
  parents: [seed.documentId, ...(seed.parents ?? [])],
  sourceUrl: seed.sourceUrl ?? null,
  text: seed.text,
  hash: hashOf(seed.text)
})

const makeTable = (world: World, seed: TableSeed): LocalTable => ({
  tableId: seed.tableId ?? world.sId("tbl"),
  name: seed.name,
  title: seed.title ?? seed.name,
  description: seed.description ?? "",
  timestamp: world.now(),
  tags: [],
  sourceUrl: null,
  rows: new Map(Object.entries(seed.rows ?? {}))
})

const addView = (world: World, all: DataSources, dataSource: LocalDataSource, seed: DataSourceViewSeed): LocalView => {
  const view: LocalView = {
    id: world.numericId(),
    sId: seed.sId ?? world.sId("dsv"),
    spaceId: seed.spaceId,
    dataSource,
    createdAt: world.now(),
    updatedAt: world.now(),
    parentsIn: seed.parentsIn ?? null
  }
  all.views.set(view.sId, view)
  return view
}

const add = (world: World, all: DataSources, seed: DataSourceSeed): LocalDataSource => {
  const dataSource: LocalDataSource = {
    id: world.numericId(),
    sId: seed.sId ?? world.sId("dts"),
    name: seed.name,
    description: seed.description ?? null,
    spaceId: seed.spaceId ?? "vlt_global",
    createdAt: world.now(),
    connectorProvider: seed.connectorProvider ?? null,
    documents: new Map(
      (seed.documents ?? []).map((document) => [document.documentId, makeDocument(world, document)])
    ),
    tables: new Map((seed.tables ?? []).map((seed) => {
      const table = makeTable(world, seed)
      return [table.tableId, table]
    })),
    folders: new Map()
  }
  all.byId.set(dataSource.sId, dataSource)
  const own = seed.sId === undefined ? {} : { sId: seed.sId.replace(/^dts_/, "dsv_") }
  addView(world, all, dataSource, { ...own, spaceId: dataSource.spaceId })
  for (const view of seed.views ?? []) addView(world, all, dataSource, view)
  return dataSource
}

export const localDataSources: (world: World) => DataSources = slice("dataSources", (world): DataSources => {
  const all: DataSources = { byId: new Map(), views: new Map(), upserts: [] }
  for (const seed of world.seed.dataSources ?? sample) add(world, all, seed)
  return all
})

/** What other domains may ask about the nodes of a view. */
export const installDataSources = (world: World): void => {
  world.lookups.contentNode = (viewId, nodeId) => {
    const view = localDataSources(world).views.get(viewId)
    if (view === undefined) return undefined
    const { dataSource } = view
    const node = nodeOf(dataSource, nodeId)
    if (node === undefined || !isShown(view, node.parents)) return undefined
    return {
      ...node,
      provider: dataSource.connectorProvider,
      spaceName: spaces(world).byId.get(view.spaceId)?.name ?? ""
    }
  }
}

const nodeOf = (dataSource: LocalDataSource, nodeId: string): {
  readonly nodeType: "document" | "table" | "folder"
  readonly title: string
  readonly contentType: string
  readonly parents: ReadonlyArray<string>
} | undefined => {
  const document = dataSource.documents.get(nodeId)
  if (document !== undefined) {
    return { nodeType: "document", title: document.title, contentType: document.mimeType, parents: document.parents }
  }
  const table = dataSource.tables.get(nodeId)
  if (table !== undefined) {
    return { nodeType: "table", title: table.title, contentType: "text/csv", parents: [table.tableId] }
  }
  const folder = dataSource.folders.get(nodeId)
  return folder === undefined ? undefined : {
    nodeType: "folder",
    title: folder.title,
    contentType: "application/vnd.dust.folder",
    parents: folder.parents
  }
}

export const isShown = (view: LocalView, parents: ReadonlyArray<string>): boolean =>
  view.parentsIn === null || parents.some((parent) => view.parentsIn?.includes(parent) === true)

export const renderDataSource = (dataSource: LocalDataSource): Record<string, unknown> => ({
  id: dataSource.id,
  sId: dataSource.sId,
  createdAt: dataSource.createdAt,
  name: dataSource.name,
  description: dataSource.description,
  assistantDefaultSelected: false,
  dustAPIProjectId: "1",
  dustAPIDataSourceId: String(dataSource.id),
  connectorId: dataSource.connectorProvider === null ? null : String(dataSource.id),
  connectorProvider: dataSource.connectorProvider,
  editedByUser: null
})

export const renderView = (view: LocalView): Record<string, unknown> => ({
  id: view.id,
  sId: view.sId,
  category: view.dataSource.connectorProvider === null
    ? "folder"
    : view.dataSource.connectorProvider === "webcrawler"
    ? "website"
    : "managed",
  kind: view.parentsIn === null ? "default" : "custom",
  parentsIn: view.parentsIn,
  spaceId: view.spaceId,
  dataSource: renderDataSource(view.dataSource),
  createdAt: view.createdAt,
  updatedAt: view.updatedAt,
  editedByUser: null
})

const renderDocument = (
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

const wholeDocument = (dataSource: LocalDataSource, document: LocalDocument) =>
  renderDocument(dataSource, document, everyChunk(document), document.text)

const isMoment = (value: unknown): value is { readonly epoch: number } =>
  typeof value === "object" && value !== null && "epoch" in value && typeof value.epoch === "number"

const valueType = (values: ReadonlyArray<unknown>): "int" | "float" | "text" | "bool" | "datetime" => {
  const filled = values.filter((value) => value !== null && value !== undefined)
  if (filled.length === 0) return "text"
  if (filled.every((value) => typeof value === "number")) {
    return filled.every((value) => Number.isInteger(value)) ? "int" : "float"
  }
  if (filled.every((value) => typeof value === "boolean")) return "bool"
  return filled.every(isMoment) ? "datetime" : "text"
}

const columnsOf = (table: LocalTable) => {
  if (table.rows.size === 0) return null
  const values = new Map<string, Array<unknown>>()
  for (const row of table.rows.values()) {
    for (const [column, value] of Object.entries(row)) {
      const known = values.get(column)
      if (known === undefined) values.set(column, [value])
      else known.push(value)
    }
  }
  return [...values].map(([name, all]) => ({
    name,
    value_type: valueType(all),
    possible_values: null
  }))
}

const renderTable = (table: LocalTable, withParent: boolean): Record<string, unknown> => ({
  table_id: table.tableId,
  name: table.name,
  title: table.title,
  description: table.description,
  schema: columnsOf(table),
  timestamp: table.timestamp,
  tags: table.tags,
  parents: [table.tableId],
  ...(withParent ? { parent_id: null } : {}),
  mime_type: "application/vnd.dust.table"
})

const renderRow = (rowId: string, value: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
  row_id: rowId,
  value: Object.fromEntries(
    Object.entries(value).map(([column, cell]) => [
      column,
      isMoment(cell) ? { type: "datetime", epoch: cell.epoch, string_value: new Date(cell.epoch).toISOString() } : cell
    ])
  )
})

const notFound = refuse(404, "data_source_not_found", "The data source you requested was not found.")

/**
 * The data source of the path, by its `sId` or its name. Without a space in the path it is looked for in the global one;
 * for a system key, anywhere.
 */
const sourceOf = (context: Context, byName = true): Effect.Effect<LocalDataSource, Refusal> =>
  Effect.suspend((): Effect.Effect<LocalDataSource, Refusal> => {
    const wanted = param(context, "dataSourceId")
    const all = localDataSources(context.world)
    const source = all.byId.get(wanted)
      ?? (byName ? [...all.byId.values()].find((one) => one.name === wanted) : undefined)
    if (source === undefined) return notFound
    const spaceId = context.params["spaceId"]
      ?? (context.auth.kind === "system" ? source.spaceId : "vlt_global")
    const space = spaces(context.world).byId.get(source.spaceId)
    if (space?.kind === "conversations") {
      return refuse(404, "space_not_found", "The space you requested was not found.")
    }
    return source.spaceId !== spaceId || space === undefined || !maySee(context, space)
      ? notFound
      : Effect.succeed(source)
  })

const writable = (context: Context, source: LocalDataSource): Effect.Effect<LocalDataSource, Refusal> =>
  context.auth.kind === "system" || (source.connectorProvider === null && hasRole(context, "builder"))
    ? Effect.succeed(source)
    : refuse(403, "data_source_auth_error", "You are not allowed to update data in this data source.")

const sourceToWrite = (context: Context) => Effect.flatMap(sourceOf(context), (source) => writable(context, source))

const Paging = Schema.Struct({
  limit: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative())),
  offset: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()))
})

const paging = (context: Context) =>
  Effect.map(query(context, Paging), ({ limit = 10, offset = 0 }) => ({ limit, offset }))

const backendError = (code: string, message: string) =>
  refuse(400, "data_source_error", message, { data_source_error: { code, message } })

const missingDocument = backendError("data_source_document_not_found", "There was an error retrieving the document.")

const listDocuments = (context: Context) =>
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

const documentOf = (context: Context, source: LocalDataSource): Effect.Effect<LocalDocument, Refusal> => {
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

/** Seconds count as seconds, nonsense as nothing. */
const moment = (timestamp: number | null | undefined): number | undefined =>
  timestamp === null || timestamp === undefined || !Number.isFinite(timestamp) || timestamp < 0
    ? undefined
    : timestamp < 1e10
    ? timestamp * 1000
    : timestamp

/** http and https only, and no empty segment in the path. Source: `validateUrl` of `front/types/shared/utils/url_utils.ts`. */
const checkSourceUrl = (given: string | null | undefined): Effect.Effect<string | null, Refusal> => {
  if (given === null || given === undefined || given === "") return Effect.succeed(null)
  const url = URL.canParse(given) ? new URL(given) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && !url.pathname.includes("//")
    ? Effect.succeed(url.href)
    : badRequest("Invalid request body, `source_url` if provided must be a valid URL.")
}

/**
 * The title, and the tags as they are stored: without a tag of the title, given tags get one; tags that were not given get
 * one only in the queue. Source: `documents/[documentId]/index.ts`, which pushes to the array of the request.
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

const upsertDocument = (context: Context) =>
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

const deleteDocument = (context: Context) =>
  Effect.map(sourceToWrite(context), (source) => {
    const documentId = param(context, "documentId")
    source.documents.delete(documentId)
    return json({ document: { document_id: documentId } })
  })

const ParentsBody = Schema.Struct({ parents: Schema.Array(Schema.String), parent_id: nullish(Schema.String) })

const checkParents = (
  nodeId: string,
  { parent_id, parents }: typeof ParentsBody.Type
): Effect.Effect<void, Refusal> =>
  parents.length === 0
    ? badRequest("Invalid parents: must have at least one element.")
    : parents[0] !== nodeId
    ? badRequest("Invalid parents: parents[0] must be the id of the node.")
    : (parents[1] ?? null) !== (parent_id ?? null)
    ? badRequest("Invalid parent id: parents[1] and parent_id should be equal.")
    : Effect.void

const updateParents = (context: Context) =>
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

const words = (text: string): ReadonlyArray<string> => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []

const Moment = Schema.optional(Schema.NumberFromString)

const SearchQuery = Schema.Struct({
  query: Schema.String,
  top_k: Schema.NumberFromString.pipe(Schema.finite()),
  target_document_tokens: Moment,
  timestamp_gt: Moment,
  timestamp_lt: Moment
})

/** Terms that occur, in the share of all terms: simple, and stable. */
const searchIn = (
  context: Context,
  source: LocalDataSource,
  shown: (document: LocalDocument) => boolean
): Effect.Effect<LocalResponse, Refusal> =>
  Effect.gen(function*() {
    const input = yield* query(context, SearchQuery)
    const all = (name: string) => context.query.getAll(name)
    const fullText = (context.query.get("full_text") ?? "") !== ""
    const terms = [...new Set(words(input.query))]
    const tagsIn = all("tags_in")
    const parentsIn = all("parents_in")
    const found = [...source.documents.values()]
      .filter((document) =>
        shown(document) &&
        (tagsIn.length === 0 || document.tags.some((tag) => tagsIn.includes(tag))) &&
        !document.tags.some((tag) => all("tags_not").includes(tag)) &&
        (parentsIn.length === 0 || document.parents.some((parent) => parentsIn.includes(parent))) &&
        !document.parents.some((parent) => all("parents_not").includes(parent)) &&
        (input.timestamp_gt === undefined || document.timestamp > input.timestamp_gt) &&
        (input.timestamp_lt === undefined || document.timestamp < input.timestamp_lt)
      )
      .flatMap((document) =>
        chunksOf(document.text).map((text, offset) => {
          const has = new Set([...words(text), ...words(document.title)])
          const score = terms.length === 0 ? 0 : terms.filter((term) => has.has(term)).length / terms.length
          return { document, text, offset, score }
        })
      )
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, input.top_k)
    const byDocument = new Map<LocalDocument, Array<{ text: string; offset: number; score: number }>>()
    for (const { document, offset, score, text } of found) {
      const chunk = { text, offset, score }
      const known = byDocument.get(document)
      if (known === undefined) byDocument.set(document, [chunk])
      else known.push(chunk)
    }
    return json({
      documents: [...byDocument].map(([document, chunks]) =>
        renderDocument(source, document, chunks, fullText ? document.text : null)
      )
    })
  })

const tokenize = (context: Context) =>
  Effect.gen(function*() {
    yield* sourceOf(context)
    const { text } = yield* body(context, Schema.Struct({ text: Schema.String }))
    const pieces = text.match(/\s*\S+|\s+$/g) ?? []
    return json({ tokens: pieces.map((piece) => [parseInt(hashOf(piece).slice(0, 4), 16), piece]) })
  })

const missingTable = refuse(404, "table_not_found", "The table you requested was not found.")

const tableOf = <E>(
  context: Context,
  source: LocalDataSource,
  otherwise: Effect.Effect<never, E>
): Effect.Effect<LocalTable, E> => {
  const table = source.tables.get(param(context, "tableId"))
  return table === undefined ? otherwise : Effect.succeed(table)
}

const TableBody = Schema.Struct({
  table_id: Schema.optional(Schema.String),
  name: Schema.String,
  description: Schema.String,
  title: Schema.String,
  timestamp: nullish(Schema.Number),
  tags: nullish(Schema.Array(Schema.String)),
  source_url: nullish(Schema.String),
  mime_type: nullish(Schema.String),
  parent_id: nullish(Schema.String),
  parents: nullish(Schema.Array(Schema.String)),
  remote_database_table_id: nullish(Schema.String),
  remote_database_secret_id: nullish(Schema.String)
})

const upsertTable = (context: Context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const source = yield* sourceToWrite(context)
    const input = yield* body(context, TableBody)
    if (auth.kind === "system" ? input.mime_type === undefined : input.mime_type !== undefined) {
      return yield* badRequest(
        auth.kind === "system" ? "A mime type is required." : "A mime type cannot be set by this credential."
      )
    }
    if (auth.kind !== "system" && ((input.parents ?? null) !== null || (input.parent_id ?? null) !== null)) {
      return yield* badRequest("Setting a custom hierarchy is not supported yet. Please omit the parents field.")
    }
    const sourceUrl = yield* checkSourceUrl(input.source_url)
    const tableId = input.table_id ?? world.sId("tbl")
    if ([...source.tables.values()].some((table) => table.name === input.name && table.tableId !== tableId)) {
      return yield* refuse(500, "internal_server_error", "Failed to upsert table: the name is taken.")
    }
    const tags = input.tags ?? []
    const fromTags = tags.find((tag) => tag.startsWith("title:"))?.slice("title:".length)
    const title = input.title.trim()
    const table: LocalTable = {
      tableId,
      name: input.name,
      title: title === "" ? fromTags ?? input.name : title,
      description: input.description,
      timestamp: moment(input.timestamp) ?? world.now(),
      tags,
      sourceUrl,
      rows: source.tables.get(tableId)?.rows ?? new Map()
    }
    source.tables.set(tableId, table)
    return json({ table: renderTable(table, false) })
  })

const deleteTable = (context: Context) =>
  Effect.gen(function*() {
    if (!hasRole(context, "builder")) return yield* notFound
    const source = yield* sourceToWrite(context)
    const table = yield* tableOf(context, source, missingTable)
    source.tables.delete(table.tableId)
    return context.world.quirks.emptyOkBodies ? empty() : json({ success: true })
  })

const failed = refuse(500, "internal_server_error", "The backend failed: the table or the row was not found.")

const listRows = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceOf(context)
    const { limit, offset } = yield* paging(context)
    const table = yield* tableOf(context, source, failed)
    return json({
      rows: [...table.rows].slice(offset, offset + limit).map(([rowId, value]) => renderRow(rowId, value)),
      offset,
      limit,
      total: table.rows.size
    })
  })

const isCell = (value: unknown): boolean =>
  value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean" ||
  (typeof value === "object" && "type" in value && value.type === "datetime" && isMoment(value))

const isRowInput = (row: unknown): row is { readonly row_id: string; readonly value: Record<string, unknown> } =>
  typeof row === "object" && row !== null && "row_id" in row && typeof row.row_id === "string" &&
  "value" in row && typeof row.value === "object" && row.value !== null && Object.values(row.value).every(isCell)

const upsertRows = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceToWrite(context)
    const input = yield* jsonBody(context)
    const rows = typeof input === "object" && input !== null && "rows" in input ? input.rows : undefined
    if (!Array.isArray(rows) || !rows.every(isRowInput)) {
      return yield* badRequest(`Invalid request body: Validation error: Invalid input at "rows"`)
    }
    const bad = rows.flatMap((row) => Object.keys(row.value)).find((column) => !/^[a-z0-9_]+$/.test(column))
    if (bad !== undefined) {
      return yield* badRequest("Invalid row: keys must be lowercase alphanumeric.")
    }
    const table = yield* tableOf(context, source, failed)
    if (typeof input === "object" && input !== null && "truncate" in input && input.truncate === true) {
      table.rows.clear()
    }
    for (const row of rows) table.rows.set(row.row_id, row.value)
    return json({
      table: {
        name: table.name,
        table_id: table.tableId,
        description: table.description,
        schema: columnsOf(table)
      }
    })
  })

const getRow = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceOf(context)
    const table = yield* tableOf(context, source, failed)
    const rowId = param(context, "rowId")
    const value = table.rows.get(rowId)
    return value === undefined ? yield* failed : json({ row: renderRow(rowId, value) })
  })

const deleteRow = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceToWrite(context)
    const table = yield* tableOf(context, source, missingTable)
    table.rows.delete(param(context, "rowId"))
    return json({ success: true })
  })

const renderFolder = (source: LocalDataSource, folder: LocalFolder): Record<string, unknown> => ({
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

const upsertFolder = (context: Context) =>
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

const viewOf = (context: Context): Effect.Effect<LocalView, Refusal> =>
  Effect.flatMap(spaceOf(context), (space) => {
    const view = localDataSources(context.world).views.get(param(context, "dataSourceViewId"))
    return view === undefined || view.spaceId !== space.sId
      ? refuse(404, "data_source_view_not_found", "The data source view you requested was not found.")
      : Effect.succeed(view)
  })

const isStrings = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((one) => typeof one === "string")

const patchView = (context: Context) =>
  Effect.gen(function*() {
    const view = yield* viewOf(context)
    if (!hasRole(context, "admin")) {
      return yield* refuse(
        401,
        "workspace_auth_error",
        "Only users that are `admins` for the current workspace can update data source views."
      )
    }
    const input = yield* jsonBody(context)
    const record = typeof input === "object" && input !== null ? input : {}
    // The shape with these two comes first in the server's union and tolerates `parentsIn`, which is thus without effect.
    const toAdd = "parentsToAdd" in record ? record.parentsToAdd : undefined
    const toRemove = "parentsToRemove" in record ? record.parentsToRemove : undefined
    if ((toAdd !== undefined && !isStrings(toAdd)) || (toRemove !== undefined && !isStrings(toRemove))) {
      return yield* badRequest("Invalid request body: Validation error: Invalid input")
    }
    if (toAdd !== undefined || toRemove !== undefined) {
      const kept = (view.parentsIn ?? []).filter((parent) => toRemove?.includes(parent) !== true)
      view.parentsIn = [...new Set([...kept, ...(toAdd ?? [])])]
      view.updatedAt = context.world.now()
    }
    return json({ dataSourceView: renderView(view) })
  })

const searchViews = (context: Context) =>
  Effect.sync(() => {
    const { query } = context
    const wanted = (name: string, value: string) => query.get(name) === null || query.get(name) === value
    return json({
      data_source_views: [...localDataSources(context.world).views.values()]
        .filter((view) =>
          wanted("dataSourceId", view.dataSource.sId) &&
          wanted("kind", view.parentsIn === null ? "default" : "custom") &&
          wanted("vaultId", view.spaceId)
        )
        .map(renderView)
    })
  })

const listSources = (context: Context, spaceId: string) =>
  Effect.sync(() =>
    json({
      data_sources: [...localDataSources(context.world).byId.values()]
        .filter((source) => source.spaceId === spaceId)
        .map(renderDataSource)
    })
  )

const root = "/api/v1/w/:workspaceId"

/** The routes below a data source, which exist with a space in the path and without one. */
const below = (base: string): ReadonlyArray<Route> => {
  const at = (
    method: Route["method"],
    path: string,
    handler: Route["handler"],
    auth: Requirement = "any"
  ) => route(method, `${base}/:dataSourceId${path}`, { auth, handler })
  return [
    route("GET", `${base}/:dataSourceId/check_upsert_queue`, {
      auth: "system",
      denied: { status: 403, type: "data_source_auth_error", message: "Only system keys can check the upsert queue." },
      handler: (context) => Effect.as(sourceOf(context), json({ running_count: 0 }))
    }),
    at("GET", "/documents", listDocuments),
    at(
      "GET",
      "/documents/:documentId",
      (context) =>
        Effect.flatMap(
          sourceOf(context),
          (source) =>
            Effect.map(documentOf(context, source), (document) => json({ document: wholeDocument(source, document) }))
        )
    ),
    at("POST", "/documents/:documentId", upsertDocument),
    at("DELETE", "/documents/:documentId", deleteDocument),
    at("POST", "/documents/:documentId/parents", updateParents),
    at(
      "GET",
      "/search",
      (context) => Effect.flatMap(sourceOf(context), (source) => searchIn(context, source, () => true))
    ),
    at("POST", "/tokenize", tokenize),
    at(
      "GET",
      "/tables",
      (context) =>
        Effect.map(
          sourceOf(context),
          (source) => json({ tables: [...source.tables.values()].map((table) => renderTable(table, true)) })
        )
    ),
    at("POST", "/tables", upsertTable),
    at(
      "GET",
      "/tables/:tableId",
      (context) =>
        Effect.flatMap(
          sourceOf(context),
          (source) =>
            Effect.map(tableOf(context, source, missingTable), (table) => json({ table: renderTable(table, true) }))
        )
    ),
    at("DELETE", "/tables/:tableId", deleteTable),
    at("GET", "/tables/:tableId/rows", listRows),
    at("POST", "/tables/:tableId/rows", upsertRows),
    at("GET", "/tables/:tableId/rows/:rowId", getRow),
    at("DELETE", "/tables/:tableId/rows/:rowId", deleteRow),
    at("GET", "/folders", (context) =>
      Effect.gen(function*() {
        const source = yield* sourceOf(context, false)
        const { limit, offset } = yield* paging(context)
        const all = [...source.folders.values()]
        return json({
          folders: all.slice(offset, offset + limit).map((folder) => renderFolder(source, folder)),
          total: all.length
        })
      }), "system"),
    at("GET", "/folders/:folderId", (context) =>
      Effect.flatMap(sourceOf(context, false), (source) => {
        const folder = source.folders.get(param(context, "folderId"))
        return folder === undefined
          ? refuse(404, "data_source_error", "There was an error retrieving the folder.")
          : Effect.succeed(json({ folder: renderFolder(source, folder) }))
      }), "system"),
    at("POST", "/folders/:folderId", upsertFolder, "system"),
    at("DELETE", "/folders/:folderId", (context) =>
      Effect.map(sourceOf(context, false), (source) => {
        const folderId = param(context, "folderId")
        source.folders.delete(folderId)
        return json({ folder: { folder_id: folderId } })
      }), "system")
  ]
}

export const dataSourceRoutes: ReadonlyArray<Route> = [
  route("GET", `${root}/spaces/:spaceId/data_sources`, {
    auth: "any",
    handler: (context) => Effect.flatMap(spaceOf(context), (space) => listSources(context, space.sId))
  }),
  route("GET", `${root}/data_sources`, {
    auth: "any",
    handler: (context) => listSources(context, "vlt_global")
  }),
  ...below(`${root}/spaces/:spaceId/data_sources`),
  ...below(`${root}/data_sources`),
  route("GET", `${root}/spaces/:spaceId/data_source_views`, {
    auth: "any",
    handler: (context) =>
      Effect.map(spaceOf(context), (space) =>
        json({
          dataSourceViews: [...localDataSources(context.world).views.values()]
            .filter((view) => view.spaceId === space.sId)
            .map(renderView)
        }))
  }),
  route("GET", `${root}/spaces/:spaceId/data_source_views/:dataSourceViewId`, {
    auth: "any",
    handler: (context) => Effect.map(viewOf(context), (view) => json({ dataSourceView: renderView(view) }))
  }),
  route("PATCH", `${root}/spaces/:spaceId/data_source_views/:dataSourceViewId`, { auth: "any", handler: patchView }),
  route("GET", `${root}/spaces/:spaceId/data_source_views/:dataSourceViewId/search`, {
    auth: "any",
    handler: (context) =>
      Effect.flatMap(
        viewOf(context),
        (view) => searchIn(context, view.dataSource, (document) => isShown(view, document.parents))
      )
  }),
  route("GET", `${root}/data_source_views/search`, { auth: "system", handler: searchViews })
]
