/**
 * Files: what `Files` returns, the options that it takes, and the content types that Dust accepts.
 *
 * ```ts
 * import * as File from "effect-dust/File"
 *
 * File.contentTypeOf("Report Q3.PDF") // "application/pdf"
 * File.isSupported("video/mp4") // false
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { type ConversationId, FileId } from "./Ids.ts"
import { nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * The purpose of a file. API keys and access tokens create files for `conversation` only.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UseCase = openLiteral(
  "conversation",
  "avatar",
  "tool_output",
  "upsert_document",
  "upsert_table",
  "folders_document",
  "project_context",
  "skill_attachment",
  "workspace_branding"
)

/**
 * @category models
 * @since 0.1.0
 */
export type UseCase = typeof UseCase.Type

/**
 * A file. Dust returns no creation date, and has no operation that lists files.
 *
 * @category schemas
 * @since 0.1.0
 */
export const File = Schema.Struct({
  sId: FileId,
  /** The same as `sId`. */
  id: nullable(Schema.String),
  fileName: withDefault(Schema.String, () => ""),
  contentType: withDefault(Schema.String, () => "application/octet-stream"),
  /** Bytes. */
  fileSize: withDefault(Schema.Number, () => 0),
  /** `created`: announced, but not uploaded yet. `ready`: can be attached and downloaded. */
  status: withDefault(openLiteral("created", "failed", "ready"), () => "created"),
  useCase: nullable(UseCase),
  downloadUrl: nullable(Schema.String),
  publicUrl: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface File extends Schema.Schema.Type<typeof File> {}

/**
 * An announced file, with the address to upload its bytes to.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AnnouncedFile = Schema.Struct({ ...File.fields, uploadUrl: Schema.String })

/**
 * @category models
 * @since 0.1.0
 */
export interface AnnouncedFile extends Schema.Schema.Type<typeof AnnouncedFile> {}

/**
 * The content fragment that attaches a file to a conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface FileFragment {
  readonly title: string
  readonly fileId: FileId
}

/**
 * Makes the attachment for a file: pass it in `attachments` of `Chat.send`, or as a content fragment of a conversation. The
 * status of the file must be `ready`, which it is after an upload.
 *
 * @example
 * ```ts
 * import * as File from "effect-dust/File"
 * import { Files } from "effect-dust/Files"
 * import { Effect } from "effect"
 *
 * const fragment = Effect.gen(function*() {
 *   const files = yield* Files
 *   const file = yield* files.upload({ fileName: "notes.md", content: "# Notes" })
 *   return File.contentFragment(file)
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const contentFragment = (
  file: Pick<File, "sId" | "fileName">,
  options?: {
    /** The title in the conversation. Defaults to the name of the file. */
    readonly title?: string | undefined
  }
): FileFragment => ({ title: options?.title ?? file.fileName, fileId: file.sId })

/**
 * Documents, text, data and code that Dust accepts, with their usual extensions. If an extension has several types,
 * {@link contentTypeOf} returns the first one.
 *
 * @category content types
 * @since 0.1.0
 */
export const textAndDocuments = {
  "application/pdf": [".pdf"],
  "application/msword": [".doc"],
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": [".docx"],
  "application/vnd.ms-powerpoint": [".ppt"],
  "application/vnd.openxmlformats-officedocument.presentationml.presentation": [".pptx"],
  "application/vnd.ms-excel": [".xls"],
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": [".xlsx"],
  "application/vnd.google-apps.document": [],
  "application/vnd.google-apps.presentation": [],
  "application/vnd.google-apps.spreadsheet": [],
  "message/rfc822": [".eml"],
  "text/csv": [".csv"],
  "text/comma-separated-values": [".csv"],
  "text/tab-separated-values": [".tsv"],
  "text/tsv": [".tsv"],
  "text/plain": [
    ".txt",
    ".log",
    ".cfg",
    ".conf",
    ".ini",
    ".toml",
    ".env",
    ".properties",
    ".jsonl",
    ".ndjson",
    ".rst",
    ".adoc",
    ".org",
    ".tex",
    ".bib",
    ".srt",
    ".vtt",
    ".diff",
    ".patch",
    ".vue",
    ".svelte",
    ".scss",
    ".sass",
    ".less",
    ".graphql",
    ".gql",
    ".proto",
    ".tf",
    ".hcl",
    ".dart",
    ".lua",
    ".r",
    ".jl",
    ".ex",
    ".exs",
    ".erl",
    ".hs",
    ".clj",
    ".ml",
    ".ps1",
    ".bat",
    ".cmd",
    ".gradle",
    ".cmake",
    ".mk"
  ],
  "text/markdown": [".md", ".markdown", ".mdx"],
  "text/html": [".html", ".htm", ".xhtml", ".xhtml+xml"],
  "text/xml": [".xml"],
  "application/xml": [".xml"],
  "text/calendar": [".ics"],
  "application/json": [".json", ".geojson", ".ipynb", ".webmanifest"],
  "text/css": [".css"],
  "text/javascript": [".js", ".mjs", ".cjs", ".jsx"],
  "text/typescript": [".ts", ".mts", ".cts", ".tsx"],
  "application/x-sh": [".sh", ".bash", ".zsh"],
  "text/x-sh": [".sh"],
  "text/x-python": [".py", ".pyi"],
  "text/x-python-script": [".py"],
  "application/x-yaml": [".yaml", ".yml"],
  "text/yaml": [".yaml", ".yml"],
  "text/vnd.yaml": [".yaml", ".yml"],
  "text/x-c": [".c", ".cc", ".cpp", ".cxx", ".dic", ".h", ".hh", ".hpp"],
  "text/x-csharp": [".cs"],
  "text/x-java-source": [".java"],
  "text/x-php": [".php"],
  "text/x-ruby": [".rb"],
  "text/x-sql": [".sql"],
  "text/x-swift": [".swift"],
  "text/x-rust": [".rs"],
  "text/x-go": [".go"],
  "text/x-kotlin": [".kt", ".kts"],
  "text/x-scala": [".scala"],
  "text/x-groovy": [".groovy"],
  "text/x-perl": [".pl", ".pm"],
  "text/x-perl-script": [".pl", ".pm"],
  "application/vnd.dust.section.json": [],
  "text/vnd.dust.attachment.slack.thread": [],
  "text/vnd.dust.attachment.pasted": [],
  "application/octet-stream": []
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

/**
 * Images that Dust accepts. It resizes large ones.
 *
 * @category content types
 * @since 0.1.0
 */
export const images = {
  "image/jpeg": [".jpg", ".jpeg"],
  "image/png": [".png"],
  "image/gif": [".gif"],
  "image/webp": [".webp"],
  "image/svg+xml": [".svg"],
  "image/bmp": [".bmp"],
  "image/x-icon": [".ico"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

/**
 * Audio that Dust accepts. It is transcribed if the workspace has the feature.
 *
 * @category content types
 * @since 0.1.0
 */
export const audio = {
  "audio/mpeg": [".mp3"],
  "audio/x-m4a": [".m4a"],
  "audio/ogg": [".ogg", ".oga", ".opus"],
  "audio/wav": [".wav"],
  "audio/x-wav": [".wav"],
  "audio/webm": [".webm"],
  "video/webm": [".webm"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

/**
 * Fonts that Dust accepts.
 *
 * @category content types
 * @since 0.1.0
 */
export const fonts = {
  "font/woff": [".woff"],
  "font/woff2": [".woff2"],
  "font/otf": [".otf"],
  "font/ttf": [".ttf"],
  "font/collection": [".ttc", ".otc"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

/**
 * Every content type of the tables above, with its extensions.
 *
 * @category content types
 * @since 0.1.0
 */
export const contentTypes: Readonly<Record<string, ReadonlyArray<string>>> = {
  ...textAndDocuments,
  ...images,
  ...audio,
  ...fonts
}

/**
 * A content type that Dust accepts.
 *
 * @category content types
 * @since 0.1.0
 */
export type ContentType = keyof typeof textAndDocuments | keyof typeof images | keyof typeof audio | keyof typeof fonts

const byExtension: ReadonlyMap<string, ContentType> = new Map(
  Object.entries(contentTypes).flatMap(([type, extensions]) =>
    extensions.map((extension) => [extension, type as ContentType] as const)
  ).toReversed()
)

/**
 * Returns whether Dust accepts a content type. Dust accepts no parameters such as `; charset=utf-8`.
 *
 * @category content types
 * @since 0.1.0
 */
export const isSupported = (contentType: string): contentType is ContentType => Object.hasOwn(contentTypes, contentType)

/** Files that are known by their name. */
const byName: ReadonlyMap<string, ContentType> = new Map([
  "readme",
  "license",
  "licence",
  "copying",
  "authors",
  "contributors",
  "changelog",
  "changes",
  "notice",
  "todo",
  "makefile",
  "dockerfile",
  "containerfile",
  "procfile",
  "gemfile",
  "rakefile",
  "jenkinsfile",
  "vagrantfile",
  "codeowners"
].map((name) => [name, "text/plain"] as const))

/** File types that Dust does not accept, so that the error can name them. */
const elsewhere: Readonly<Record<string, string>> = {
  ".mp4": "video/mp4",
  ".m4v": "video/mp4",
  ".mov": "video/quicktime",
  ".avi": "video/x-msvideo",
  ".mkv": "video/x-matroska",
  ".flac": "audio/flac",
  ".aac": "audio/aac",
  ".heic": "image/heic",
  ".avif": "image/avif",
  ".tif": "image/tiff",
  ".tiff": "image/tiff",
  ".zip": "application/zip",
  ".gz": "application/gzip",
  ".tar": "application/x-tar",
  ".7z": "application/x-7z-compressed",
  ".rar": "application/vnd.rar",
  ".exe": "application/x-msdownload",
  ".odt": "application/vnd.oasis.opendocument.text",
  ".ods": "application/vnd.oasis.opendocument.spreadsheet",
  ".odp": "application/vnd.oasis.opendocument.presentation",
  ".epub": "application/epub+zip",
  ".parquet": "application/vnd.apache.parquet",
  ".sqlite": "application/vnd.sqlite3"
}

/** The name without folders, in lower case, and its extension with the dot; a name such as `.env` is its own extension. */
const parts = (fileName: string): { readonly name: string; readonly extension: string } => {
  const name = (fileName.split(/[\\/]/).at(-1) ?? "").toLowerCase()
  const dot = name.lastIndexOf(".")
  return { name, extension: dot < 0 ? "" : name.slice(dot) }
}

/**
 * Returns the content type of a file name, by its extension or the whole name (`README`, `Dockerfile`). `undefined` if Dust
 * accepts no type for it; in that case, pass `contentType` to the upload.
 *
 * @example
 * ```ts
 * import * as File from "effect-dust/File"
 *
 * File.contentTypeOf("Report Q3.PDF") // "application/pdf"
 * File.contentTypeOf("README") // "text/plain"
 * File.contentTypeOf("movie.mov") // undefined
 * ```
 *
 * @category content types
 * @since 0.1.0
 */
export const contentTypeOf = (fileName: string): ContentType | undefined => {
  const { extension, name } = parts(fileName)
  return byExtension.get(extension) ?? byName.get(name)
}

/**
 * Returns the content type of a file that Dust does not accept (such as `video/mp4`), if the extension is known.
 *
 * @category content types
 * @since 0.2.0
 */
export const unsupportedTypeOf = (fileName: string): string | undefined => elsewhere[parts(fileName).extension]

/**
 * A file on disk, as an argument of `Files.upload`.
 *
 * @category models
 * @since 0.2.0
 */
export interface FromPath {
  readonly fileName: string
  /** Bytes. */
  readonly size: number
  /** The bytes, read as they are sent, and again if the upload starts again. */
  readonly content: Stream.Stream<Uint8Array, PlatformError>
}

/**
 * A file on disk, for `Files.upload`: its name and size, and its bytes as a Stream that never holds the whole file. Works
 * with the `FileSystem` and `Path` of any platform. Fails with a `PlatformError` if the file cannot be read.
 *
 * @example
 * ```ts
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import * as File from "effect-dust/File"
 * import { Files } from "effect-dust/Files"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const files = yield* Files
 *   return yield* files.upload(yield* File.fromPath("reports/q3.pdf"))
 * }).pipe(Effect.provide(NodeContext.layer))
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const fromPath = (
  path: string
): Effect.Effect<FromPath, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const { basename } = yield* Path.Path
    const { size } = yield* fileSystem.stat(path)
    return { fileName: basename(path), size: Number(size), content: fileSystem.stream(path) }
  })

/**
 * The announcement of a file, before its bytes are sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateOptions {
  /** At most 4096 characters. */
  readonly fileName: string
  /** One of `File.contentTypes`, without parameters. */
  readonly contentType: string
  /** Bytes. The content that follows may be shorter, but not longer. */
  readonly fileSize: number
  /** Restricts access to readers of this conversation. Defaults to the conversation that the file is attached to first. */
  readonly conversationId?: ConversationId | undefined
  /** The application that the file came from, to show beside it. Requires `conversationId`. */
  readonly sourceProvider?: string | undefined
  /** The icon of `sourceProvider`. */
  readonly sourceIcon?: string | undefined
}

/**
 * Content to upload. A Stream requires `size`, and runs again if the upload restarts. A `ReadableStream` requires `size`, too,
 * and cannot be read twice. Objects of other realms (jsdom, vm) are accepted.
 *
 * @category models
 * @since 0.1.0
 */
export type Content<E = never, R = never> =
  | string
  | Uint8Array
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array>
  | Stream.Stream<Uint8Array, E, R>

/**
 * A file to upload.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadOptions<E = never, R = never, E2 = never, R2 = never> {
  /** Text is sent as UTF-8. */
  readonly content: Content<E, R>
  /** Required, unless the content is a `File` of the web platform, which has a name. At most 4096 characters. */
  readonly fileName?: string | undefined
  /** Defaults to the type of the file name (`File.contentTypeOf`), or of a Blob. */
  readonly contentType?: string | undefined
  /** Bytes. Required for a Stream; checked against any other content. */
  readonly size?: number | undefined
  /** Refuses larger content before any request, in bytes. Dust has limits of its own, by type and plan. */
  readonly maxBytes?: number | undefined
  /** `false` sends content types that are not in `File.contentTypes`. Defaults to `true`. */
  readonly checkType?: boolean | undefined
  /** Restricts access to readers of this conversation. */
  readonly conversationId?: ConversationId | undefined
  /** The application that the file came from. Requires `conversationId`. */
  readonly sourceProvider?: string | undefined
  /** The icon of `sourceProvider`. */
  readonly sourceIcon?: string | undefined
  /** Called as bytes are handed to the connection. */
  readonly onProgress?: ((progress: UploadProgress) => Effect.Effect<void, E2, R2>) | undefined
}

/**
 * The progress of an upload.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadProgress {
  /** Bytes of the content that were handed to the connection in this attempt. */
  readonly sent: number
  /** The size in bytes. */
  readonly total: number
  /** 2 after a restart, which resets `sent`. */
  readonly attempt: 1 | 2
}

/**
 * What `Files.uploadStream` emits: any number of `Progress`, then `Done`.
 *
 * @category models
 * @since 0.1.0
 */
export type UploadEvent =
  | { readonly _tag: "Progress" } & UploadProgress
  | { readonly _tag: "Done"; readonly file: File }

/**
 * Selects the file to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadOptions {
  readonly fileId: FileId
  /** `original` (default), or `processed`: the extracted text, the resized image or the transcript. */
  readonly version?: "original" | "processed" | undefined
  /** Fails with `DustContentTooLargeError` for more bytes than this, as early as possible. Defaults to no limit. */
  readonly maxBytes?: number | undefined
}

/**
 * Selects the file to read into memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectOptions extends ReadOptions {
  /** Fails with `DustContentTooLargeError` for more bytes than this. Defaults to 100 MiB, because all of it is held in memory. */
  readonly maxBytes?: number | undefined
}
