/** Tables of a data source and their rows. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { badRequest, empty, json, refuse } from "../../server/http.ts"
import { body, type Context, hasRole, jsonBody, nullish, param } from "../../server/route.ts"
import { checkSourceUrl, moment, notFound, paging, sourceOf, sourceToWrite } from "./access.ts"
import type { LocalDataSource, LocalTable } from "./model.ts"

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

export const renderTable = (table: LocalTable, withParent: boolean): Record<string, unknown> => ({
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

export const missingTable = refuse(404, "table_not_found", "The table you requested was not found.")

export const tableOf = <E>(
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

export const upsertTable = (context: Context) =>
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

export const deleteTable = (context: Context) =>
  Effect.gen(function*() {
    if (!hasRole(context, "builder")) return yield* notFound
    const source = yield* sourceToWrite(context)
    const table = yield* tableOf(context, source, missingTable)
    source.tables.delete(table.tableId)
    return context.world.quirks.emptyOkBodies ? empty() : json({ success: true })
  })

const failed = refuse(500, "internal_server_error", "The backend failed: the table or the row was not found.")

export const listRows = (context: Context) =>
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

export const upsertRows = (context: Context) =>
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

export const getRow = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceOf(context)
    const table = yield* tableOf(context, source, failed)
    const rowId = param(context, "rowId")
    const value = table.rows.get(rowId)
    return value === undefined ? yield* failed : json({ row: renderRow(rowId, value) })
  })

export const deleteRow = (context: Context) =>
  Effect.gen(function*() {
    const source = yield* sourceToWrite(context)
    const table = yield* tableOf(context, source, missingTable)
    table.rows.delete(param(context, "rowId"))
    return json({ success: true })
  })
