/** The endpoints of `DataSources`. */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import {
  type AsyncUpsert,
  DataSource,
  Document,
  type FullUpsert,
  LightDocument,
  type LightUpsert,
  Row,
  Table,
  TableSummary,
  type Token
} from "../../DataSource.ts"
import { DocumentId } from "../../Ids.ts"
import { list, nonBlank, nullable, slots } from "../decode/schema.ts"
import { del, get, group, operationsOf, post, using } from "./endpoint.ts"
import * as Operation from "./operation.ts"

export const maxRows = 500_000
const maxTitle = 512
const missingDocument = "data_source_document_not_found"

const dataSource: Schema.Schema<DataSource, typeof DataSource.Encoded> = DataSource
const document: Schema.Schema<Document, typeof Document.Encoded> = Document
const lightDocument: Schema.Schema<LightDocument, typeof LightDocument.Encoded> = LightDocument
const table: Schema.Schema<Table, typeof Table.Encoded> = Table
const tableSummary: Schema.Schema<TableSummary, typeof TableSummary.Encoded> = TableSummary
const row: Schema.Schema<Row, typeof Row.Encoded> = Row

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
      Schema.filter((title) => title.length <= maxTitle || `at most ${maxTitle} characters long`)
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

// A synchronous upsert is embedded before the answer comes.
const upsert = { limits: "upserts", replay: "safe", timeouts: { headers: "3 minutes" }, body: UpsertBody } as const

const upsertLight = post("/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}", {
  ...upsert,
  response: Schema.Struct({ document: lightDocument, data_source: nullable(dataSource) }),
  pick: (answer): LightUpsert => ({ document: answer.document, dataSource: answer.data_source })
})

/** The document is missing, not its data source or space. */
export const isMissingDocument: Operation.Done = ({ details, type }) =>
  type === missingDocument || (
    Predicate.hasProperty(details, "data_source_error") && Predicate.hasProperty(details.data_source_error, "code") &&
    details.data_source_error.code === missingDocument
  )

export const TableBody = Schema.Struct({
  tableId: Schema.optional(nonBlank("a non-blank id")).pipe(Schema.fromKey("table_id")),
  name: nonBlank("a non-blank name"),
  title: Schema.String,
  description: Schema.String,
  timestamp: Schema.optional(Schema.Number),
  tags: Schema.optional(strings),
  sourceUrl: Schema.optional(SourceUrl).pipe(Schema.fromKey("source_url"))
})

const writeTable = {
  body: TableBody,
  response: Schema.Struct({ table }),
  pick: (answer: { readonly table: Table }) => answer.table
}

export interface WireRow {
  readonly row_id: string
  readonly value: Readonly<Record<string, unknown>>
}

const page = {
  limit: Schema.optional(Schema.Number),
  offset: Schema.optional(Schema.Number)
}

const sources = get("/spaces/{spaceId}/data_sources", {
  response: Schema.Struct({ data_sources: list(dataSource) }),
  pick: (answer) => answer.data_sources
})

const readDocuments = get("/spaces/{spaceId}/data_sources/{dataSourceId}/documents", {
  query: Schema.Struct({
    ...page,
    documentIds: Schema.optional(Schema.Array(Schema.String)).pipe(Schema.fromKey("document_ids"))
  }),
  response: Schema.Struct({ documents: slots(document), total: nullable(Schema.Number) })
})

const readRows = get("/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows", {
  query: Schema.Struct(page),
  response: Schema.Struct({ rows: slots(row), total: nullable(Schema.Number) })
})

const writeRows = post("/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows", {
  replay: "safe",
  timeouts: { headers: "3 minutes" },
  body: Schema.Struct({
    // Checked row by row in `wireRows`.
    rows: Schema.declare((u: unknown): u is ReadonlyArray<WireRow> => Array.isArray(u)),
    truncate: Schema.optional(Schema.Boolean)
  }),
  response: Schema.Struct({ table: tableSummary }),
  pick: (answer) => answer.table
})

export const dataSources = group("DataSources", {
  /**
   * Returns the data sources of a space, in one request. Dust's API cannot create, change or delete data sources.
   *
   * Fails with `DustNotFoundError` (`space_not_found`) if the space does not exist or the credential cannot see it. Retried
   * automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/index.ts` in dust-tt/dust.
   */
  list: sources,
  findByName: using({ list: sources }),
  pageDocuments: using({ read: readDocuments }),
  streamDocuments: using({ read: readDocuments }),
  /**
   * Returns one document with its chunks. Fails with `DustNotFoundError` if it does not exist. Retried automatically.
   *
   * Source: `GET …/data_sources/{dataSourceId}/documents/{documentId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/documents/[documentId]/index.ts` in dust-tt/dust.
   */
  getDocument: get("/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}", {
    response: Schema.Struct({ document }),
    pick: (answer) => answer.document
  }),
  upsertDocument: using({
    full: post("/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}", {
      ...upsert,
      response: Schema.Struct({ document, data_source: nullable(dataSource) }),
      pick: (answer): FullUpsert => ({ document: answer.document, dataSource: answer.data_source })
    }),
    light: upsertLight,
    async: post("/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}", {
      ...upsert,
      response: Schema.Struct({ document: Schema.Struct({ document_id: DocumentId }) }),
      pick: (answer): AsyncUpsert => ({ documentId: answer.document.document_id })
    })
  }),
  /**
   * Deletes a document. Retried automatically; succeeds if it was deleted by an earlier attempt whose response was lost.
   *
   * Source: `DELETE …/data_sources/{dataSourceId}/documents/{documentId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/documents/[documentId]/index.ts` in dust-tt/dust.
   */
  deleteDocument: del("/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}", {
    done: isMissingDocument
  }),
  updateParents: using({
    post: post("/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}/parents", {
      replay: "safe",
      body: Schema.Struct({
        parents: Schema.NonEmptyArray(Schema.String),
        parentId: Schema.optional(Schema.String).pipe(Schema.fromKey("parent_id"))
      })
    })
  }),
  search: using({
    get: get("/spaces/{spaceId}/data_sources/{dataSourceId}/search", {
      response: Schema.Struct({ documents: list(document) })
    })
  }),
  /**
   * Splits a text into the tokens of the data source's embedding model, within 280 seconds. Retried automatically.
   *
   * Source: `POST …/data_sources/{dataSourceId}/tokenize`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tokenize.ts` in dust-tt/dust.
   */
  tokenize: post("/spaces/{spaceId}/data_sources/{dataSourceId}/tokenize", {
    replay: "safe",
    timeouts: { headers: "280 seconds" },
    body: Schema.Struct({ text: Schema.String }),
    response: Schema.Struct({ tokens: list(Schema.Tuple(Schema.Number, Schema.String)) }),
    pick: ({ tokens }): ReadonlyArray<Token> => tokens.map(([id, text]) => ({ id, text }))
  }),
  /**
   * Returns all tables of a data source, in one request. Retried automatically.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/index.ts` in dust-tt/dust.
   */
  listTables: get("/spaces/{spaceId}/data_sources/{dataSourceId}/tables", {
    response: Schema.Struct({ tables: list(table) }),
    pick: (answer) => answer.tables
  }),
  /**
   * Returns one table with its columns. Fails with `DustNotFoundError` (`table_not_found`) if it does not exist. Retried
   * automatically.
   *
   * Source: `GET …/data_sources/{dataSourceId}/tables/{tableId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/[tId]/index.ts` in dust-tt/dust.
   */
  getTable: get("/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}", {
    response: Schema.Struct({ table }),
    pick: (answer) => answer.table
  }),
  upsertTable: using({
    create: post("/spaces/{spaceId}/data_sources/{dataSourceId}/tables", writeTable),
    replace: post("/spaces/{spaceId}/data_sources/{dataSourceId}/tables", {
      ...writeTable,
      replay: "safe",
      final: Operation.refusedWith500
    }),
    // For a failure that turns out to be none of the name.
    repeat: post("/spaces/{spaceId}/data_sources/{dataSourceId}/tables", { ...writeTable, replay: "safe" })
  }),
  /**
   * Deletes a table with its rows. Requires the builder role; otherwise fails with `DustNotFoundError`
   * (`data_source_not_found`). Fails with `DustNotFoundError` (`table_not_found`) if the table does not exist. Retried
   * automatically; succeeds if it was deleted by an earlier attempt whose response was lost.
   *
   * Source: `DELETE …/data_sources/{dataSourceId}/tables/{tableId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/[tId]/index.ts` in dust-tt/dust.
   */
  deleteTable: del("/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}", {
    done: ({ type }) => type === "table_not_found"
  }),
  pageRows: using({ read: readRows }),
  streamRows: using({ read: readRows }),
  getRow: using({
    read: get("/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}", {
      response: Schema.Struct({ row }),
      final: Operation.refusedWith500,
      pick: (answer) => answer.row
    })
  }),
  upsertRows: using({ write: writeRows }),
  /**
   * Deletes a row. Fails with `DustNotFoundError` (`table_not_found`) if the table does not exist. Retried automatically.
   *
   * Source: `DELETE …/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}`;
   * `front-api/routes/v1/w/[wId]/spaces/[spaceId]/data_sources/[dsId]/tables/[tId]/rows/[rId].ts` in dust-tt/dust.
   */
  deleteRow: del("/spaces/{spaceId}/data_sources/{dataSourceId}/tables/{tableId}/rows/{rowId}"),
  loadTable: using({ write: writeRows }),
  loadTableStream: using({ write: writeRows }),
  syncDocuments: using({ write: upsertLight }),
  planSync: using({ list: readDocuments })
})

/** What checks of the input name, before there is a client. */
export const operations = operationsOf(dataSources)
