/**
 * Files of conversations: sent in one call from bytes, text, a Blob or a Stream, and read back as a Stream.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type {
  AnnouncedFile,
  CollectOptions,
  CreateOptions,
  File,
  ReadOptions,
  UploadEvent,
  UploadOptions
} from "./File.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { files as endpoints } from "./internal/api/files.ts"
import { implement } from "./internal/api/implement.ts"
import { collect, read } from "./internal/data/download.ts"
import { announceWith, uploadWith } from "./internal/data/upload.ts"

export type {
  CollectOptions,
  Content,
  CreateOptions,
  ReadOptions,
  UploadEvent,
  UploadOptions,
  UploadProgress
} from "./File.ts"

/** Large files take long: only a limit that somebody has chosen bounds the whole. */
const unlessChosen = { needs: Duration.infinity }

/**
 * All of these take an API key or a user's access token. Ordinary credentials see files of conversations that they can
 * read, and create files for conversations only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
  /**
   * Announces a file, the first step of an upload; {@link Service.upload} does both. Its bytes must follow within a
   * minute, once, to `uploadUrl`.
   *
   * Retried also when the first attempt may have arrived: an unused announcement expires. `DustRateLimitError` over 40 a
   * minute per workspace, `DustContentTooLargeError` (`file_too_large`) over the size for the type, `DustBadRequestError`
   * (`file_type_not_supported`) for a type that the workspace cannot take.
   *
   * Source: `POST /api/v1/w/{workspaceId}/files`
   */
  readonly create: (options: CreateOptions) => Effect.Effect<AnnouncedFile, RequestError>
  /**
   * Sends a file: name, type and size are checked before any request, then it is announced and its bytes are sent. The
   * file that comes back is ready to be attached (`File.contentFragment`).
   *
   * When the second step fails in a way that may pass (the connection, a server error, the minute between the steps), the
   * whole is started again once, after the first delay of the retry policy; with `RetryPolicy.none` it is not. The file of
   * the first attempt stays behind unattached. The credential goes to the Dust origin only: an upload address elsewhere is
   * a `DustBadRequestError` (`address_refused`), and nothing is sent there.
   *
   * The answer to the second step has 5 minutes, since Dust processes the file in it; `DustClient.withOptions` can give a
   * long upload more. A Stream that fails, or is longer or shorter than its `size`, ends the upload with its own error, a
   * `DustContentTooLargeError` or a `DustBadRequestError`; its bytes are never in memory as a whole.
   *
   * Sources: `POST /api/v1/w/{workspaceId}/files`, `POST /api/v1/w/{workspaceId}/files/{fileId}`
   *
   * @example
   * ```ts
   * import { Files } from "effect-dust/Files"
   * import { Effect } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const files = yield* Files
   *   return yield* files.upload({ fileName: "prices.csv", content: "item,price\ntea,3\n" })
   * })
   * ```
   */
  readonly upload: <E = never, R = never, E2 = never, R2 = never>(
    options: UploadOptions<E, R, E2, R2>
  ) => Effect.Effect<File, E | E2 | RequestError, R | R2>
  /** {@link Service.upload} as a Stream: its progress in bytes, then the file. Progress events are dropped when the consumer falls behind. */
  readonly uploadStream: <E = never, R = never, E2 = never, R2 = never>(
    options: UploadOptions<E, R, E2, R2>
  ) => Stream.Stream<UploadEvent, E | E2 | RequestError, R | R2>
  /**
   * The bytes of a file. Dust answers with a signed address of its storage, which must be https (or on the Dust origin, or
   * both on this machine) and is read without the credential and without your headers.
   *
   * Opening is retried. A connection that breaks in the middle is continued from there, if the storage can send parts of the
   * file; otherwise it is a `DustNetworkError`. `DustNotFoundError`
   * (`file_not_found`) when there is no such file or its conversation cannot be read.
   *
   * @example
   * ```ts
   * import { Files } from "effect-dust/Files"
   * import { Effect, Stream } from "effect"
   *
   * const size = Effect.flatMap(Files, (files) =>
   *   files.download({ fileId: "fil_9gY7BmTQ", maxBytes: 50 * 1024 * 1024 }).pipe(
   *     Stream.runFold(0, (total, bytes) => total + bytes.length)
   *   ))
   * ```
   *
   * Source: `GET /api/v1/w/{workspaceId}/files/{fileId}?action=download`
   */
  readonly download: (options: ReadOptions) => Stream.Stream<Uint8Array, RequestError>
  /**
   * {@link Service.download} to a file on disk: written beside it and renamed at the end, so that a failure leaves no half of
   * a file. Returns its size in bytes. Has no total limit, since it is as long as the file is large.
   */
  readonly downloadTo: (
    options: ReadOptions & { readonly path: string }
  ) => Effect.Effect<number, RequestError | PlatformError, FileSystem.FileSystem>
  /** {@link Service.download}, collected. */
  readonly downloadBytes: (options: CollectOptions) => Effect.Effect<Uint8Array, RequestError>
  /**
   * The bytes of a file from Dust itself. Types that are not safe to display come from the storage, as with
   * {@link Service.download}. With `version: "processed"` the content of a document is plain text, whatever its type says.
   *
   * Source: `GET /api/v1/w/{workspaceId}/files/{fileId}?action=view`
   */
  readonly view: (options: ReadOptions) => Stream.Stream<Uint8Array, RequestError>
  /** {@link Service.view}, collected and read as UTF-8. */
  readonly viewText: (options: CollectOptions) => Effect.Effect<string, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Files extends Context.Tag("effect-dust/Files")<Files, Service>() {}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(
  Files,
  endpoints,
  ({ call, client, operation }) => ({
    create: announceWith(call.create.announce),
    upload: <E = never, R = never, E2 = never, R2 = never>(options: UploadOptions<E, R, E2, R2>) =>
      client.withTotal({ module: "Files", method: "upload" }, unlessChosen)(
        uploadWith(client, operation.upload, call.upload)(options)
      ),
    uploadStream: <E = never, R = never, E2 = never, R2 = never>(
      options: UploadOptions<E, R, E2, R2>
    ): Stream.Stream<UploadEvent, E | E2 | RequestError, R | R2> =>
      Stream.unwrapScoped(Effect.gen(function*() {
        const mailbox = yield* Mailbox.make<UploadEvent, E | E2 | RequestError>({ capacity: 16, strategy: "sliding" })
        yield* uploadWith(client, operation.uploadStream, call.uploadStream)({
          ...options,
          onProgress: (progress): Effect.Effect<void, E2, R2> => {
            const told = mailbox.offer({ _tag: "Progress", ...progress })
            return options.onProgress === undefined
              ? Effect.asVoid(told)
              : Effect.zipRight(told, options.onProgress(progress))
          }
        }).pipe(
          Effect.tap((file) => mailbox.offer({ _tag: "Done", file })),
          Mailbox.into(mailbox),
          Effect.forkScoped
        )
        return Mailbox.toStream(mailbox)
      })),
    download: (options: ReadOptions) => read(client, operation.download.read, "download", options),
    downloadBytes: (options: CollectOptions) => collect(client, operation.downloadBytes.read, "download", options),
    downloadTo: ({ path, ...options }: ReadOptions & { readonly path: string }) =>
      Effect.flatMap(FileSystem.FileSystem, (fileSystem) => {
        const partial = `${path}.part`
        let size = 0
        const written = read(client, operation.downloadTo.read, "download", options).pipe(
          Stream.tap((piece) =>
            Effect.sync(() => {
              size += piece.length
            })
          ),
          Stream.run(fileSystem.sink(partial)),
          Effect.zipRight(fileSystem.rename(partial, path)),
          Effect.onError(() => Effect.ignore(fileSystem.remove(partial, { force: true }))),
          Effect.map(() => size)
        )
        return client.withTotal(operation.downloadTo.read, unlessChosen)(written)
      }),
    view: (options: ReadOptions) => read(client, operation.view.read, "view", options),
    viewText: (options: CollectOptions) =>
      Effect.map(collect(client, operation.viewText.read, "view", options), (bytes) => new TextDecoder().decode(bytes))
  })
)

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Files, never, DustClient> = Layer.effect(Files, make)
