/** Files: announced, sent, processed, read from Dust or from its storage, deleted. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { audio, contentTypeOf, images, isSupported } from "../../../File.ts"
import { files as filesApi } from "../../api/files.ts"
import { routesOf } from "../server/declared.ts"
import {
  badRequest,
  bytes,
  decodeText,
  empty,
  encodeText,
  json,
  type LocalResponse,
  redirect,
  refuse,
  Refusal,
  text
} from "../server/http.ts"
import { body, type Context, hasRole, param, type Route, route } from "../server/route.ts"
import { slice, type World } from "../state/state.ts"

export interface LocalFile {
  readonly sId: string
  readonly contentType: string
  readonly fileName: string
  readonly declaredSize: number
  readonly createdAt: number
  readonly useCase: string
  readonly conversationId: string | undefined
  status: "created" | "failed" | "ready"
  bytes: Uint8Array | undefined
}

interface Files {
  readonly byId: Map<string, LocalFile>
  /** When files were announced, within the last minute. */
  readonly announced: Array<number>
}

const MINUTE = 60_000
const UPLOAD_WINDOW = MINUTE
const SIGNED_FOR = 5 * MINUTE
const MEGABYTE = 1024 * 1024

const supported = (contentType: string): boolean => isSupported(contentType)

const limitOf = (contentType: string): number =>
  contentType in images ? 5 * MEGABYTE : contentType in audio ? 100 * MEGABYTE : 50 * MEGABYTE

const isText = (contentType: string): boolean =>
  contentType.startsWith("text/") || /^application\/(json|xml|x-sh|x-yaml)$/.test(contentType)

/** What a browser must not be made to show: it comes from the storage even when it is to be viewed. */
const isUnsafe = (contentType: string): boolean =>
  /html|xml|javascript|typescript|x-sh$|octet-stream|rfc822/.test(contentType)

const extracted = (file: LocalFile): Uint8Array => {
  const content = file.bytes ?? new Uint8Array()
  return isText(file.contentType) || file.contentType.startsWith("image/")
    ? content
    : encodeText(`Text of ${file.fileName} (${content.length} bytes)`)
}

/** What other domains may ask about files. */
export const installFiles = (world: World): void => {
  world.lookups.file = (fileId) => {
    const file = localFiles(world).byId.get(fileId)
    return file === undefined ? undefined : {
      fileName: file.fileName,
      contentType: file.contentType,
      size: file.bytes?.length ?? file.declaredSize,
      status: file.status,
      bytes: file.bytes,
      snippet: file.bytes !== undefined && isText(file.contentType)
        ? decodeText(file.bytes).slice(0, 256)
        : null
    }
  }
}

export const localFiles: (world: World) => Files = slice("files", (world): Files => {
  const byId = new Map<string, LocalFile>()
  for (const seed of world.seed.files ?? []) {
    const sId = seed.sId ?? world.sId("fil")
    const content = typeof seed.content === "string" ? encodeText(seed.content) : seed.content
    byId.set(sId, {
      sId,
      fileName: seed.fileName,
      contentType: seed.contentType ?? contentTypeOf(seed.fileName) ?? "application/octet-stream",
      declaredSize: content.length,
      createdAt: world.now(),
      useCase: seed.useCase ?? "conversation",
      conversationId: undefined,
      status: "ready",
      bytes: content
    })
  }
  return { byId, announced: [] }
})

/** Puts a file there that an agent or a tool has made. */
export const addFile = (world: World, file: {
  readonly fileName: string
  readonly contentType: string
  readonly bytes: Uint8Array
  readonly useCase?: string | undefined
  readonly conversationId?: string | undefined
}): LocalFile => {
  const added: LocalFile = {
    sId: world.sId("fil"),
    fileName: file.fileName,
    contentType: file.contentType,
    declaredSize: file.bytes.length,
    createdAt: world.now(),
    useCase: file.useCase ?? "conversation",
    conversationId: file.conversationId,
    status: "ready",
    bytes: file.bytes
  }
  localFiles(world).byId.set(added.sId, added)
  return added
}

export const renderFile = (world: World, file: LocalFile): Record<string, unknown> => ({
  id: file.sId,
  sId: file.sId,
  contentType: file.contentType,
  fileName: file.fileName,
  fileSize: file.bytes?.length ?? file.declaredSize,
  status: file.status,
  useCase: file.useCase,
  ...(file.status === "ready"
    ? { downloadUrl: `${world.origin()}/api/w/${world.workspaceId}/files/${file.sId}?action=download` }
    : {})
})

const CreateBody = Schema.Struct({
  contentType: Schema.String,
  fileName: Schema.String.pipe(Schema.maxLength(4096)),
  fileSize: Schema.Number,
  useCase: Schema.Literal("conversation", "upsert_table"),
  useCaseMetadata: Schema.optional(Schema.Struct({
    conversationId: Schema.String,
    sourceProvider: Schema.optional(Schema.String),
    sourceIcon: Schema.optional(Schema.String)
  }))
})

const announce = (context: Context) =>
  Effect.gen(function*() {
    const { world } = context
    const files = localFiles(world)
    if (context.auth.kind !== "system") {
      const now = world.now()
      while (files.announced.length > 0 && files.announced[0]! <= now - MINUTE) files.announced.shift()
      if (files.announced.length >= world.limits.uploadsPerMinute) {
        return yield* refuse(429, "rate_limit_error", "You have reached the rate limit for this workspace.")
      }
      files.announced.push(now)
    }
    const input = yield* body(context, CreateBody)
    if (context.auth.kind !== "system" && input.useCase !== "conversation") {
      return yield* badRequest("The file use case is not supported.")
    }
    if (!supported(input.contentType)) {
      return yield* refuse(400, "file_type_not_supported", `Content type "${input.contentType}" is not supported.`)
    }
    if (input.fileSize > limitOf(input.contentType)) {
      return yield* refuse(400, "file_too_large", `File "${input.fileName}" is too large.`)
    }
    const file: LocalFile = {
      sId: world.sId("fil"),
      contentType: input.contentType,
      fileName: input.fileName,
      declaredSize: input.fileSize,
      createdAt: world.now(),
      useCase: input.useCase,
      conversationId: input.useCaseMetadata?.conversationId,
      status: "created",
      bytes: undefined
    }
    files.byId.set(file.sId, file)
    return json({
      file: {
        ...renderFile(world, file),
        uploadUrl: `${apiOrigin(context)}/api/v1/w/${world.workspaceId}/files/${file.sId}`
      }
    })
  })

interface Part {
  readonly name: string | undefined
  readonly contentType: string | undefined
  readonly content: Uint8Array
}

/** The parts of a multipart body; undefined when it is none. */
const parseMultipart = (contentType: string, body: Uint8Array): ReadonlyArray<Part> | undefined => {
  const boundary = /^multipart\/form-data;.*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType)
  const delimiter = boundary === null ? undefined : `--${boundary[1] ?? boundary[2]}`
  if (delimiter === undefined) return undefined
  // One character per byte, so that positions in the text are positions in the bytes.
  const latin = new TextDecoder("latin1").decode(body)
  if (!latin.startsWith(delimiter)) return undefined
  const parts: Array<Part> = []
  let at = delimiter.length
  while (latin.startsWith("\r\n", at)) {
    const end = latin.indexOf(`\r\n${delimiter}`, at)
    const headEnd = latin.indexOf("\r\n\r\n", at)
    if (end < 0 || headEnd < 0 || headEnd > end) return undefined
    const head = decodeText(body.subarray(at + 2, headEnd))
    parts.push({
      name: /content-disposition:.*[;\s]name="([^"]*)"/i.exec(head)?.[1],
      contentType: /^content-type:\s*(.+)$/im.exec(head)?.[1]?.trim(),
      content: body.subarray(headEnd + 4, end)
    })
    at = end + 2 + delimiter.length
  }
  return latin.startsWith("--", at) ? parts : undefined
}

const found = (context: Context): Effect.Effect<LocalFile, Refusal> => {
  const file = localFiles(context.world).byId.get(param(context, "fileId"))
  if (file === undefined) return refuse(404, "file_not_found", "File not found.")
  return context.auth.kind !== "system" && file.useCase !== "conversation"
    ? badRequest("The file use case is not supported.")
    : Effect.succeed(file)
}

const receive = (context: Context) =>
  Effect.gen(function*() {
    const { request, world } = context
    const file = yield* found(context)
    if (file.status !== "created") {
      return yield* badRequest("The file has already been uploaded or the upload has failed.")
    }
    const failed = <A>(refusal: Effect.Effect<A, Refusal>): Effect.Effect<A, Refusal> =>
      Effect.zipRight(
        Effect.sync(() => {
          file.status = "failed"
        }),
        refusal
      )
    if (world.now() - file.createdAt > UPLOAD_WINDOW) {
      return yield* failed(badRequest("The upload URL has expired."))
    }
    const parts = parseMultipart(request.headers["content-type"] ?? "", request.body)
    if (parts === undefined) {
      return yield* failed(refuse(500, "internal_server_error", "Error parsing the form data."))
    }
    const [part] = parts
    if (part === undefined || parts.length !== 1 || part.name !== "file") {
      return yield* failed(badRequest("Exactly one part named file is expected."))
    }
    if (
      part.contentType !== undefined && part.contentType !== "application/octet-stream"
      && part.contentType !== file.contentType
    ) {
      return yield* failed(
        refuse(400, "file_type_not_supported", `File type ${part.contentType} is not the declared ${file.contentType}.`)
      )
    }
    if (part.content.length > file.declaredSize) {
      return yield* failed(refuse(400, "file_too_large", "The file is larger than announced."))
    }
    if (part.content.length === 0) {
      return yield* failed(refuse(400, "file_is_empty", "The file is empty."))
    }
    file.bytes = part.content.slice()
    file.status = "ready"
    return json({ file: renderFile(world, file) })
  })

/** The API as the caller reached it: on a port, Local Dust has every name of its machine. */
const apiOrigin = ({ request, world }: Context): string => {
  const url = `http://${request.headers["host"] ?? ""}`
  return request.headers["host"] !== undefined && URL.canParse(url) ? new URL(url).origin : world.origin()
}

/** The storage: another origin than the API's, where the machine is known to have one. */
const storageOf = (context: Context): string => {
  const { world } = context
  const api = apiOrigin(context)
  return api === world.origin() ? world.storageOrigin() : api === world.storageOrigin() ? world.origin() : api
}

const signature = (world: World, file: LocalFile, expires: number, version: string): string => {
  let hash = 2166136261
  for (const char of `${world.workspaceId}/${file.sId}/${expires}/${version}`) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 16777619)
  }
  return (hash >>> 0).toString(16).padStart(8, "0")
}

const signed = (context: Context, file: LocalFile, version: string): string => {
  const { world } = context
  const expires = world.now() + SIGNED_FOR
  const query = new URLSearchParams({
    "X-Goog-Expires": String(expires),
    "X-Goog-Signature": signature(world, file, expires, version),
    version
  })
  return `${storageOf(context)}/local-dust-files/${encodeURIComponent(file.sId)}?${query}`
}

const give = (context: Context) =>
  Effect.map(found(context), (file): LocalResponse => {
    const version = context.query.get("version") === "processed" ? "processed" : "original"
    if (file.bytes === undefined || context.query.get("action") !== "view" || isUnsafe(file.contentType)) {
      return redirect(signed(context, file, version), 302)
    }
    return bytes(version === "processed" ? extracted(file) : file.bytes, { contentType: file.contentType })
  })

const refusedByStorage = (status: number, code: string) =>
  Effect.fail(
    new Refusal({
      response: text(`<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code></Error>`, {
        status,
        contentType: "application/xml"
      })
    })
  )

/** The storage: another host, which knows signatures and nobody's credential. */
const store = (context: Context) =>
  Effect.suspend(() => {
    const { query, request, world } = context
    const file = localFiles(world).byId.get(param(context, "fileId"))
    const expires = Number(query.get("X-Goog-Expires"))
    const version = query.get("version") ?? "original"
    const apart = storageOf(context) !== apiOrigin(context)
    if (apart && request.headers["authorization"] !== undefined) return refusedByStorage(400, "InvalidArgument")
    if (file?.bytes === undefined) return refusedByStorage(404, "NoSuchKey")
    if (query.get("X-Goog-Signature") !== signature(world, file, expires, version)) {
      return refusedByStorage(403, "SignatureDoesNotMatch")
    }
    if (world.now() > expires) return refusedByStorage(400, "ExpiredToken")
    return Effect.succeed(
      bytes(version === "processed" ? extracted(file) : file.bytes, { contentType: file.contentType })
    )
  })

const forget = (context: Context) =>
  Effect.gen(function*() {
    const file = yield* found(context)
    if (file.useCase !== "conversation" && !hasRole(context, "builder")) {
      return yield* refuse(403, "workspace_auth_error", "You cannot edit files in that space.")
    }
    localFiles(context.world).byId.delete(file.sId)
    return empty(204)
  })

export const fileRoutes: ReadonlyArray<Route> = [
  ...routesOf(filesApi)({
    "POST /files": { auth: "any", handler: announce },
    "POST /files/{fileId}": { auth: "any", handler: receive },
    "GET /files/{fileId}": { auth: "any", handler: give },
    "DELETE /files/{fileId}": { auth: "any", handler: forget }
  }),
  route("GET", "/local-dust-files/:fileId", { auth: "none", handler: store })
]
