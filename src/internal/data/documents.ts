/** Documents of a data source: reading a page, reading all of them, and writing one. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type {
  AsyncUpsert,
  Document,
  FullUpsert,
  LightUpsert,
  ListDocumentsOptions,
  Location,
  StreamDocumentsOptions,
  UpsertDocumentOptions
} from "../../DataSource.ts"
import type { DustBadRequestError, RequestError } from "../../DustAPIError.ts"
import { type dataSources, isMissingDocument } from "../api/dataSources.ts"
import type { Calls } from "../api/endpoint.ts"
import type { Tools } from "../api/implement.ts"
import type { Identity } from "../api/operation.ts"
import { badInput } from "../request/errors.ts"
import { byOffset } from "../util/paging.ts"
import { documentBody } from "./document.ts"
import type { DocumentStore } from "./sync.ts"

type Read = Calls<typeof dataSources>["pageDocuments"]["read"]
type Upsert = Calls<typeof dataSources>["upsertDocument"]

const maxIdsInUrl = 6_000

/** The location alone, from an object that may have other fields. */
export const at = ({ dataSourceId, spaceId }: Location): Location => ({ spaceId, dataSourceId })

/** Validates a page size, without which a list might not end. */
export const checkPageSize = (identity: Identity, pageSize: number): Effect.Effect<void, DustBadRequestError> =>
  Number.isSafeInteger(pageSize) && pageSize > 0
    ? Effect.void
    : Effect.fail(badInput(identity, "pageSize", "a whole number, at least 1"))

/** Deduplicated ids, in groups that fit into a URL: servers begin to refuse one at 8 kB. */
const urlGroups = (ids: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const groups: Array<Array<string>> = []
  let room = 0
  for (const id of new Set(ids)) {
    const size = new URLSearchParams({ document_ids: id }).toString().length + 1
    const group = groups.at(-1)
    if (group === undefined || size > room) {
      groups.push([id])
      room = maxIdsInUrl - size
    } else {
      group.push(id)
      room -= size
    }
  }
  return groups
}

/** One page. `received` includes the documents dropped because their shape is unknown. */
export const readDocuments = (read: Read, { documentIds, limit, offset, ...location }: ListDocumentsOptions) =>
  // Without any id, the server would ignore the filter and return all documents.
  documentIds?.length === 0
    ? Effect.succeed({ items: [], received: 0, total: 0 })
    : Effect.map(
      read({ ...at(location), limit, offset, documentIds }),
      ({ documents, total }) => ({
        items: documents.filter(Predicate.isNotNull),
        received: documents.length,
        total
      })
    )

/** Every document, or every requested one. */
export const allDocuments = (
  identity: Identity,
  read: Read,
  { documentIds, pageSize = 100, ...location }: StreamDocumentsOptions
): Stream.Stream<Document, RequestError> =>
  Stream.unwrap(Effect.as(
    checkPageSize(identity, pageSize),
    Stream.flatMap(
      documentIds === undefined ? Stream.make(undefined) : Stream.fromIterable(urlGroups(documentIds)),
      (documentIds) =>
        byOffset(identity, { pageSize, fetch: (page) => readDocuments(read, { ...location, documentIds, ...page }) })
    )
  ))

/** Writes a document; the result depends on the mode. */
export const upsertDocumentWith = (call: Upsert) => {
  function upsertDocument(
    options: UpsertDocumentOptions & { readonly mode?: "full" | undefined }
  ): Effect.Effect<FullUpsert, RequestError>
  function upsertDocument(
    options: UpsertDocumentOptions & { readonly mode: "light" }
  ): Effect.Effect<LightUpsert, RequestError>
  function upsertDocument(
    options: UpsertDocumentOptions & {
      readonly mode: "async"
      readonly syncType?: "batch" | "incremental" | undefined
    }
  ): Effect.Effect<AsyncUpsert, RequestError>
  function upsertDocument(
    options: UpsertDocumentOptions & {
      readonly mode?: "full" | "light" | "async" | undefined
      readonly syncType?: "batch" | "incremental" | undefined
    }
  ): Effect.Effect<FullUpsert | LightUpsert | AsyncUpsert, RequestError> {
    return Effect.flatMap(
      documentBody(options),
      (body): Effect.Effect<FullUpsert | LightUpsert | AsyncUpsert, RequestError> => {
        const document = { ...body, ...at(options), documentId: options.documentId }
        switch (options.mode) {
          case "async":
            return call.async({
              ...document,
              async: true,
              upsertContext: options.syncType === undefined ? undefined : { sync_type: options.syncType }
            })
          case "light":
            return call.light({ ...document, light: true })
          default:
            return call.full(document)
        }
      }
    )
  }
  return upsertDocument
}

/** The operations of a sync, in one data source. */
export const documentStore = (
  { call, client, operation }: Tools<typeof dataSources>,
  location: Location
): DocumentStore => {
  const upsert = upsertDocumentWith(call.upsertDocument)
  return {
    settings: client.settings,
    list: (onPage) =>
      byOffset(operation.streamDocuments.read, {
        pageSize: 100,
        fetch: (page) =>
          Effect.tap(
            readDocuments(call.streamDocuments.read, { ...at(location), ...page }),
            ({ received, total }) => onPage(page.offset + received, total ?? undefined)
          )
      }),
    write: (input, mode) =>
      mode === "async"
        ? Effect.asVoid(upsert({ ...at(location), ...input, mode, syncType: "batch" }))
        : Effect.asVoid(upsert({ ...at(location), ...input, mode })),
    remove: (documentId) =>
      Effect.catchIf(
        call.deleteDocument({ ...at(location), documentId }),
        isMissingDocument,
        () => Effect.void
      )
  }
}
