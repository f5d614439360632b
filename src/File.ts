/**
 * Files: what the API says of them, and the types it takes.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { FileId } from "./Ids.ts"
import { nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"

/**
 * What a file is for. Ordinary credentials create files for `conversation` only.
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
 * A file. The server says nothing about when it was made, and has no operation that lists files.
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
  /** `created`: announced, its bytes have not arrived. `ready`: it can be attached and downloaded. */
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
 * A file that was announced, and where its bytes are to be sent.
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
 * Attaches a file: give the result as a content fragment of a new conversation or of an existing one. A file can be
 * attached once its status is `ready`, which it is when an upload has succeeded.
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
    /** Shown in the conversation. Default: the name of the file. */
    readonly title?: string | undefined
  }
): FileFragment => ({ title: options?.title ?? file.fileName, fileId: file.sId })

/**
 * Documents, text, data and code that Dust takes, with their usual extensions. Where an extension has several types, the
 * first one is the guess of {@link contentTypeOf}.
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
  "text/plain": [".txt", ".log", ".cfg", ".conf"],
  "text/markdown": [".md", ".markdown"],
  "text/html": [".html", ".htm", ".xhtml", ".xhtml+xml"],
  "text/xml": [".xml"],
  "application/xml": [".xml"],
  "text/calendar": [".ics"],
  "application/json": [".json"],
  "text/css": [".css"],
  "text/javascript": [".js", ".mjs", ".jsx"],
  "text/typescript": [".ts", ".tsx"],
  "application/x-sh": [".sh"],
  "text/x-sh": [".sh"],
  "text/x-python": [".py"],
  "text/x-python-script": [".py"],
  "application/x-yaml": [".yaml", ".yml"],
  "text/yaml": [".yaml", ".yml"],
  "text/vnd.yaml": [".yaml", ".yml"],
  "text/x-c": [".c", ".cc", ".cpp", ".cxx", ".dic", ".h", ".hh"],
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
 * Images that Dust takes. It makes them smaller when they are large.
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
 * Audio that Dust takes, and transcribes where the workspace has that.
 *
 * @category content types
 * @since 0.1.0
 */
export const audio = {
  "audio/mpeg": [".mp3"],
  "audio/x-m4a": [".m4a", ".mp4"],
  "audio/ogg": [".ogg"],
  "audio/wav": [".wav"],
  "audio/x-wav": [".wav"],
  "audio/webm": [".webm"],
  "video/webm": [".webm"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

/**
 * Fonts that Dust takes.
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
 * A content type that Dust is known to take.
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
 * Whether Dust is known to take this content type. Parameters (`; charset=utf-8`) do not count: it takes none.
 *
 * @category content types
 * @since 0.1.0
 */
export const isSupported = (contentType: string): contentType is ContentType => Object.hasOwn(contentTypes, contentType)

/**
 * The content type that the extension of a file name stands for; undefined when Dust takes none for it.
 *
 * @example
 * ```ts
 * import * as File from "effect-dust/File"
 *
 * File.contentTypeOf("Report Q3.PDF") // "application/pdf"
 * File.contentTypeOf("movie.mov") // undefined
 * ```
 *
 * @category content types
 * @since 0.1.0
 */
export const contentTypeOf = (fileName: string): ContentType | undefined => {
  const dot = fileName.lastIndexOf(".")
  return dot < 0 ? undefined : byExtension.get(fileName.slice(dot).toLowerCase())
}
