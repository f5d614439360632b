import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { DataSource, Document, LightDocument, Row, Table, TableSummary } from "../../DataSource.ts"
import { DocumentId } from "../../Ids.ts"
import { list, nonBlank, nullable, slots } from "../decode/schema.ts"
import * as Operation from "./operation.ts"

export const maxRows = 500_000
const maxTitle = 512
const missingDocument = "data_source_document_not_found"

const base = "/api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources" as const
const one = `${base}/{dataSourceId}` as const
const document = `${one}/documents/{documentId}` as const
const table = `${one}/tables/{tableId}` as const
const row = `${table}/rows/{rowId}` as const

export const listSources = Operation.make({
  name: "DataSources.list",
  http: "GET",
  route: base,
  response: Schema.Struct({ data_sources: list(DataSource) })
})

export const findSource = { ...listSources, method: "findByName" }

export const listDocuments = Operation.make({
  name: "DataSources.listDocuments",
  http: "GET",
  route: `${one}/documents`,
  response: Schema.Struct({ documents: slots(Document), total: nullable(Schema.Number) })
})

export const getDocument = Operation.make({
  name: "DataSources.getDocument",
  http: "GET",
  route: document,
  response: Schema.Struct({ document: Document })
})

export interface WireSection {
  readonly prefix: string | null
  readonly content: string | null
  readonly sections: ReadonlyArray<WireSection>
}

const strings = Schema.Array(Schema.String)

/** The server takes http and https only, and no `//` in the path. */
export const isSourceUrl = (url: string): boolean => {
  if (!URL.canParse(url)) return false
  const { pathname, protocol } = new URL(url)
  return (protocol === "http:" || protocol === "https:") && !pathname.includes("//")
}

const SourceUrl = Schema.String.pipe(
  Schema.filter((url) => isSourceUrl(url) || "an http or https URL without // in its path")
)

export const UpsertBody = Schema.Struct({
  text: Schema.optional(Schema.String),
  section: Schema.optional(Schema.declare((u: unknown): u is WireSection => Predicate.isRecord(u))),
  title: Schema.optional(
    Schema.String.pipe(
      Schema.filter((title) => title.length <= maxTitle || `a title of at most ${maxTitle} characters`)
    )
  ),
  mimeType: Schema.optional(Schema.String).pipe(Schema.fromKey("mime_type")),
  sourceUrl: Schema.optional(SourceUrl).pipe(Schema.fromKey("source_url")),
  tags: Schema.optional(strings),
  timestamp: Schema.optional(Schema.Number),
  light: Schema.optional(Schema.Literal(true)).pipe(Schema.fromKey("light_document_output")),
  async: Schema.optional(Schema.Literal(true)),
  upsertContext: Schema.optional(Schema.Struct({ sync_type: Schema.Literal("batch", "incremental") })).pipe(
    Schema.fromKey("upsert_context")
  )
})

const upsert = <A, I>(response: Schema.Schema<A, I>) =>
  Operation.make({
    name: "DataSources.upsertDocument",
    http: "POST",
    limits: "upserts",
    route: document,
    replay: "safe",
    // A synchronous upsert is embedded before the answer comes.
    timeouts: { headers: "3 minutes" },
    body: UpsertBody,
    response
  })

export const upsertFull = upsert(Schema.Struct({ document: Document, data_source: nullable(DataSource) }))
export const upsertLight = upsert(Schema.Struct({ document: LightDocument, data_source: nullable(DataSource) }))
export const upsertAsync = upsert(Schema.Struct({ document: Schema.Struct({ document_id: DocumentId }) }))

/** It is the document that is missing, and not what it was in. */
export const isMissingDocument: Operation.Done = ({ details, type }) =>
  type === missingDocument || (
    Predicate.hasProperty(details, "data_source_error") && Predicate.hasProperty(details.data_source_error, "code") &&
    details.data_source_error.code === missingDocument
  )

export const deleteDocument = Operation.unit({
  name: "DataSources.deleteDocument",
  http: "DELETE",
  route: document,
  done: isMissingDocument
})

export const updateParents = Operation.unit({
  name: "DataSources.updateParents",
  http: "POST",
  route: `${document}/parents`,
  replay: "safe",
  body: Schema.Struct({
    parents: Schema.NonEmptyArray(Schema.String),
    parentId: Schema.optional(Schema.String).pipe(Schema.fromKey("parent_id"))
  })
})

export const search = Operation.make({
  name: "DataSources.search",
  http: "GET",
  route: `${one}/search`,
  response: Schema.Struct({ documents: list(Document) })
})

export const tokenize = Operation.make({
  name: "DataSources.tokenize",
  http: "POST",
  route: `${one}/tokenize`,
  replay: "safe",
  timeouts: { headers: "280 seconds" },
  body: Schema.Struct({ text: Schema.String }),
  response: Schema.Struct({ tokens: list(Schema.Tuple(Schema.Number, Schema.String)) })
})

export const listTables = Operation.make({
  name: "DataSources.listTables",
  http: "GET",
  route: `${one}/tables`,
  response: Schema.Struct({ tables: list(Table) })
})

export const getTable = Operation.make({
  name: "DataSources.getTable",
  http: "GET",
  route: table,
  response: Schema.Struct({ table: Table })
})

export const TableBody = Schema.Struct({
  tableId: Schema.optional(nonBlank("a non-blank id")).pipe(Schema.fromKey("table_id")),
  name: nonBlank("a non-blank name"),
  title: Schema.String,
  description: Schema.String,
  timestamp: Schema.optional(Schema.Number),
  tags: Schema.optional(strings),
  sourceUrl: Schema.optional(SourceUrl).pipe(Schema.fromKey("source_url"))
})

export const writeTable = (replay: Operation.Replay) =>
  Operation.make({
    name: "DataSources.upsertTable",
    http: "POST",
    route: `${one}/tables`,
    replay,
    body: TableBody,
    response: Schema.Struct({ table: Table })
  })

export const createTable = writeTable("once")
export const replaceTable = writeTable("safe")

export const deleteTable = Operation.unit({
  name: "DataSources.deleteTable",
  http: "DELETE",
  route: table,
  done: ({ type }) => type === "table_not_found"
})

export const listRows = Operation.make({
  name: "DataSources.listRows",
  http: "GET",
  route: `${table}/rows`,
  response: Schema.Struct({ rows: slots(Row), total: nullable(Schema.Number) })
})

export const getRow = Operation.make({
  name: "DataSources.getRow",
  http: "GET",
  route: row,
  response: Schema.Struct({ row: Row })
})

export interface WireRow {
  readonly row_id: string
  readonly value: Readonly<Record<string, unknown>>
}

export const upsertRows = Operation.make({
  name: "DataSources.upsertRows",
  http: "POST",
  route: `${table}/rows`,
  replay: "safe",
  timeouts: { headers: "3 minutes" },
  body: Schema.Struct({
    // Checked row by row in `wireRows`.
    rows: Schema.declare((u: unknown): u is ReadonlyArray<WireRow> => Array.isArray(u)),
    truncate: Schema.optional(Schema.Boolean)
  }),
  response: Schema.Struct({ table: TableSummary })
})

export const deleteRow = Operation.unit({ name: "DataSources.deleteRow", http: "DELETE", route: row })

export const loadTable = { ...upsertRows, method: "loadTable" }
export const syncDocuments = { ...upsertLight, method: "syncDocuments" }
