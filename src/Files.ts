/**
 * Uploads files for conversations in one call, from text, bytes, a Blob or a Stream, and downloads files as Streams.
 *
 * @packageDocumentation
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

/** Large files take long: only a configured `total` bounds the whole. */
const unlessChosen = { needs: Duration.infinity }

/**
 * All methods accept an API key or an access token. They read files of conversations that the credential can read, and create
 * files for conversations only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof endpoints> {
  /**
   * Announces a file: the first step of an upload. {@link Service.upload} performs both steps. Send the bytes to `uploadUrl`
   * once, within a minute.
   *
   * Fails with `DustRateLimitError` beyond 40 files a minute per workspace, with `DustContentTooLargeError`
   * (`file_too_large`) if the file exceeds the limit of its type, and with `DustBadRequestError` (`file_type_not_supported`)
   * if the workspace does not accept the type. Retried only if the request provably did not arrive, or if the
   * retry policy has `repeatCreations`; unused announcements expire.
   *
   * Source: `POST /api/v1/w/{workspaceId}/files`;
   * `front-api/routes/v1/w/[wId]/files/index.ts` in dust-tt/dust.
   */
  readonly create: (options: CreateOptions) => Effect.Effect<AnnouncedFile, RequestError>
  /**
   * Uploads a file and waits until Dust has processed it. Name, type and size are checked before any request. The returned
   * file can be attached with `File.contentFragment`.
   *
   * If sending the bytes fails temporarily (a broken connection, a server error, an expired announcement), the upload
   * restarts once, after the first delay of the retry policy, but not with `RetryPolicy.none`. The file of the first attempt
   * remains in the workspace, unattached. Fails with `DustBadRequestError` (`address_refused`) if Dust returns an upload
   * address outside its own origin; nothing is sent there.
   *
   * Dust may take 5 minutes to process the file; raise the limit with `DustClient.withOptions`. A Stream that fails ends the
   * upload with its own error. One that is longer or shorter than its `size` fails with `DustContentTooLargeError` or
   * `DustBadRequestError`. Streams are never held in memory as a whole.
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
  /**
   * Uploads a file like {@link Service.upload}, as a Stream: progress in bytes, then the file. Progress events are
   * dropped if the consumer falls behind.
   */
  readonly uploadStream: <E = never, R = never, E2 = never, R2 = never>(
    options: UploadOptions<E, R, E2, R2>
  ) => Stream.Stream<UploadEvent, E | E2 | RequestError, R | R2>
  /**
   * Streams the bytes of a file from Dust's storage, without sending the credential or the configured headers there. The
   * address of the storage must be https, on the Dust origin, or local like Dust itself.
   *
   * Opening is retried automatically. If the connection breaks later, the download continues from there, provided that the
   * storage supports it; otherwise it fails with `DustNetworkError`. Fails with `DustNotFoundError` (`file_not_found`) if the
   * file does not exist or its conversation cannot be read.
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
   * Source: `GET /api/v1/w/{workspaceId}/files/{fileId}?action=download`;
   * `front-api/routes/v1/w/[wId]/files/[fileId].ts` in dust-tt/dust.
   */
  readonly download: (options: ReadOptions) => Stream.Stream<Uint8Array, RequestError>
  /**
   * Downloads a file to disk and returns its size in bytes. Writes to a temporary file and renames it at the end, so that a
   * failure leaves no partial file. Has no total limit unless one is configured. Retried and continued like
   * {@link Service.download}; fails with its errors, and with a `PlatformError` if the file cannot be written.
   */
  readonly downloadTo: (
    options: ReadOptions & { readonly path: string }
  ) => Effect.Effect<number, RequestError | PlatformError, FileSystem.FileSystem>
  /** Downloads a file into memory. Retried and continued like {@link Service.download}, and fails with its errors. */
  readonly downloadBytes: (options: CollectOptions) => Effect.Effect<Uint8Array, RequestError>
  /**
   * Streams the bytes of a file from Dust itself; those of types that are not safe to display from the storage, like
   * {@link Service.download}. With `version: "processed"`, the content of a document is plain text, regardless of its type.
   * Opening is retried automatically. Fails with `DustNotFoundError` (`file_not_found`) like {@link Service.download}.
   *
   * Source: `GET /api/v1/w/{workspaceId}/files/{fileId}?action=view`;
   * `front-api/routes/v1/w/[wId]/files/[fileId].ts` in dust-tt/dust.
   */
  readonly view: (options: ReadOptions) => Stream.Stream<Uint8Array, RequestError>
  /** Returns the text of a file, decoded as UTF-8. Retried like {@link Service.view}, and fails with its errors. */
  readonly viewText: (options: CollectOptions) => Effect.Effect<string, RequestError>
}

/**
 * The tag of the service: `yield* Files` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Files extends Context.Tag("effect-dust/Files")<Files, Service>() {}

/**
 * Makes the service.
 *
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
 * Provides {@link Files} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Files, never, DustClient> = Layer.effect(Files, make)
