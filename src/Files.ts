/**
 * Files of conversations: sent in one call from bytes, text, a Blob or a Stream, and read back as a Stream.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { DustBadRequestError, type DustContentTooLargeError, type RequestError } from "./DustAPIError.ts"
import { DustClient } from "./DustClient.ts"
import { AnnouncedFile, contentTypeOf, File, isSupported, unsupportedTypeOf } from "./File.ts"
import { type ConversationId, ConversationId as ConversationIdSchema, type FileId } from "./Ids.ts"
import * as Operation from "./internal/api/operation.ts"
import { sourceOf } from "./internal/data/content.ts"
import { nonBlank } from "./internal/decode/schema.ts"
import * as errors from "./internal/request/errors.ts"
import { isRedirect } from "./internal/request/redirect.ts"
import { delays } from "./internal/request/retry.ts"
import * as Multipart from "./internal/util/multipart.ts"

const maxFileName = 4096
const pieceSize = 64 * 1024
const collectLimit = 100 * 1024 * 1024
/** Bytes that are copied into one body; more are sent as they are, piece by piece. */
const copied = 4 * 1024 * 1024

const create = Operation.make({
  name: "Files.create",
  http: "POST",
  limits: "uploads",
  route: "/api/v1/w/{workspaceId}/files",
  replay: "creation",
  body: Schema.Struct({
    contentType: nonBlank("a content type"),
    fileName: nonBlank("a file name").pipe(
      Schema.filter((name) => name.length <= maxFileName || `a name of at most ${maxFileName} characters`)
    ),
    fileSize: Schema.Number.pipe(
      Schema.filter((size) => Number.isSafeInteger(size) && size > 0 || "a whole number of bytes, at least 1")
    ),
    useCase: Schema.Literal("conversation"),
    useCaseMetadata: Schema.optional(Schema.Struct({
      conversationId: ConversationIdSchema,
      sourceProvider: Schema.optional(Schema.String),
      sourceIcon: Schema.optional(Schema.String)
    }))
  }),
  response: Schema.Struct({ file: AnnouncedFile })
})

const send = Operation.make({
  name: "Files.upload",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/files/{fileId}",
  // Images are resized, documents read and audio transcribed before the answer comes.
  timeouts: { headers: "5 minutes" },
  response: Schema.Struct({ file: File })
})

const download = Operation.text({
  name: "Files.download",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/files/{fileId}",
  decode: (text) => text
})

const view = Operation.text({
  name: "Files.view",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/files/{fileId}",
  decode: (text) => text
})

const remove = Operation.unit({
  name: "Files.delete",
  http: "DELETE",
  route: "/api/v1/w/{workspaceId}/files/{fileId}",
  done: ({ type }) => type === "file_not_found"
})

/**
 * What is announced before the bytes of a file are sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateOptions {
  /** At most 4096 characters. */
  readonly fileName: string
  /** One of `File.contentTypes`, without parameters. */
  readonly contentType: string
  /** Bytes. What is sent afterwards may be shorter, not longer. */
  readonly fileSize: number
  /** Ties access to this conversation. Default: the file is free until a content fragment refers to it. */
  readonly conversationId?: ConversationId | undefined
  /** Where the file came from, shown beside it; only together with `conversationId`. */
  readonly sourceProvider?: string | undefined
  /** The icon of `sourceProvider`. */
  readonly sourceIcon?: string | undefined
}

/**
 * What can be sent. A Stream needs its `size`, and is run again if the upload starts again; so does a `ReadableStream`,
 * which cannot be read twice. Objects of other realms (jsdom, vm) are recognised by what they can do.
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
 * A file to send.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadOptions<E = never, R = never, E2 = never, R2 = never> {
  /** Text is sent as UTF-8. */
  readonly content: Content<E, R>
  /** Needed unless the content is a `File` of the web platform, which has a name. At most 4096 characters. */
  readonly fileName?: string | undefined
  /** Default: by the extension of the file name (`File.contentTypeOf`), or the type of a Blob. */
  readonly contentType?: string | undefined
  /** Bytes; needed for a Stream, and checked for everything else. */
  readonly size?: number | undefined
  /** A limit of yours in bytes: more is refused before any request. Dust has limits of its own, by type and plan. */
  readonly maxBytes?: number | undefined
  /** `false`: a content type that is not in `File.contentTypes` is sent all the same. Default `true`. */
  readonly checkType?: boolean | undefined
  /** Ties access to this conversation. */
  readonly conversationId?: ConversationId | undefined
  /** Where the file came from; only together with `conversationId`. */
  readonly sourceProvider?: string | undefined
  /** The icon of `sourceProvider`. */
  readonly sourceIcon?: string | undefined
  /** Called as bytes are handed to the connection. */
  readonly onProgress?: ((progress: UploadProgress) => Effect.Effect<void, E2, R2>) | undefined
}

/**
 * How far an upload is.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadProgress {
  /** Bytes of the content that were handed to the connection in this attempt. */
  readonly sent: number
  /** Bytes in all. */
  readonly total: number
  /** 2 after the one restart. `sent` begins again with it. */
  readonly attempt: 1 | 2
}

/**
 * What {@link Service.uploadStream} emits: any number of `Progress`, then `Done`.
 *
 * @category models
 * @since 0.1.0
 */
export type UploadEvent =
  | { readonly _tag: "Progress" } & UploadProgress
  | { readonly _tag: "Done"; readonly file: File }

/**
 * Which file to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadOptions {
  readonly fileId: FileId
  /** `original` (default), or `processed`: text that was extracted, the resized image, the transcript. */
  readonly version?: "original" | "processed" | undefined
  /** More bytes than this fail with `DustContentTooLargeError`, as soon as it is known. Default: no limit. */
  readonly maxBytes?: number | undefined
}

/**
 * Which file to read into memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectOptions extends ReadOptions {
  /** More bytes than this fail with `DustContentTooLargeError`. Default 100 MiB, since all of it is held in memory. */
  readonly maxBytes?: number | undefined
}

/**
 * All of these take an API key or a user's access token. Ordinary credentials see files of conversations that they can
 * read, and create files for conversations only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
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
  /** {@link Service.upload} as a Stream: its progress in bytes, then the file. Progress may be left out when nobody reads. */
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
  /**
   * Deletes a file. Retried. A second deletion is a `DustNotFoundError` (`file_not_found`), except when this very call has
   * been repeated after a lost answer.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/files/{fileId}`
   */
  readonly delete: (fileId: FileId) => Effect.Effect<void, RequestError>
}

/**
 * @category tags
 * @since 0.1.0
 */
export class Files extends Context.Tag("effect-dust/Files")<Files, Service>() {}

interface Prepared<E> {
  readonly fileName: string
  readonly contentType: string
  readonly size: number
  readonly bytes: Uint8Array | undefined
  readonly once: boolean
  readonly stream: Stream.Stream<Uint8Array, E>
}

const split = (bytes: Uint8Array): Chunk.Chunk<Uint8Array> => {
  if (bytes.length <= pieceSize) return Chunk.of(bytes)
  const pieces: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += pieceSize) pieces.push(bytes.subarray(at, at + pieceSize))
  return Chunk.unsafeFromArray(pieces)
}

const withoutParameters = (type: string): string => (type.split(";")[0] ?? "").trim().toLowerCase()

const tooLarge = (identity: Operation.Identity, type: string, expected: string) =>
  errors.tooLarge(identity, 0, type, expected, { expected })

const prepare = <E, R>(
  options: UploadOptions<E, R, unknown, unknown>
): Effect.Effect<Prepared<E | DustBadRequestError>, DustBadRequestError | DustContentTooLargeError, R> => {
  const refuse = (field: string, expected: string, got?: string) =>
    Effect.fail(errors.badInput(send, field, expected, got))
  const source = sourceOf<E, R, DustBadRequestError>(
    options.content,
    () => errors.badInput(send, "content", "content that can be read")
  )
  if (source === undefined) {
    return refuse("content", "text, bytes, a Blob, a ReadableStream or a Stream")
  }
  const { bytes } = source
  const fileName = options.fileName ?? source.name
  if (fileName === undefined || fileName.trim() === "") return refuse("fileName", "a file name")
  if (fileName.length > maxFileName) return refuse("fileName", `a name of at most ${maxFileName} characters`)
  const ownType = withoutParameters(source.type ?? "")
  const contentType = options.contentType ?? contentTypeOf(fileName) ?? (ownType === "" ? undefined : ownType)
  if (contentType === undefined) {
    const known = unsupportedTypeOf(fileName)
    return refuse(
      "contentType",
      known === undefined
        ? "a content type, since the file name does not tell one that Dust takes"
        : `a content type that Dust takes, which ${known} is not`
    )
  }
  if (/[^\x21-\x7e ]/.test(contentType) || contentType.trim() === "") {
    return refuse("contentType", "a content type in one line of ASCII")
  }
  if (options.checkType !== false && !isSupported(contentType)) {
    return refuse(
      "contentType",
      "a content type of `File.contentTypes`, without parameters",
      contentType.slice(0, 100)
    )
  }
  const size = source.size ?? options.size
  if (size === undefined) return refuse("size", "the number of bytes, which a Stream does not tell")
  if (options.size !== undefined && options.size !== size) {
    return refuse("size", `the ${size} bytes of the content`, String(options.size))
  }
  if (size === 0) return refuse("content", "a file that is not empty")
  if (!Number.isSafeInteger(size) || size < 0) return refuse("size", "a whole number of bytes, at least 1")
  if (options.maxBytes !== undefined && size > options.maxBytes) {
    return Effect.fail(
      tooLarge(
        send,
        "max_bytes",
        `the content has ${size} bytes, more than the limit of ${options.maxBytes} (maxBytes)`
      )
    )
  }
  return Effect.map(Effect.context<R>(), (context) => ({
    fileName,
    contentType,
    size,
    bytes,
    once: source.once,
    stream: Stream.provideContext(source.stream, context)
  }))
}

/** Counts the bytes, and holds the stream to the size it was announced with. */
const held = <E, E2>(
  prepared: Prepared<E>,
  progress: (sent: number) => Effect.Effect<void, E2>
): Stream.Stream<Uint8Array, E | E2 | DustBadRequestError | DustContentTooLargeError> =>
  Stream.suspend(() => {
    let sent = 0
    return prepared.stream.pipe(
      Stream.mapConcatChunk(split),
      Stream.mapEffect((piece): Effect.Effect<Uint8Array, E2 | DustContentTooLargeError> => {
        sent += piece.length
        return sent > prepared.size
          ? Effect.fail(
            tooLarge(send, "size_mismatch", `the content has more than the ${prepared.size} bytes of \`size\``)
          )
          : Effect.as(progress(sent), piece)
      }),
      Stream.concat(Stream.suspend(() =>
        sent < prepared.size
          ? Stream.fail(errors.badInput(send, "size", `the ${sent} bytes that the content has`, String(prepared.size)))
          : Stream.empty
      ))
    )
  })

/** Failures of the second step that starting again may cure. */
const mayRestart = (error: RequestError): boolean => {
  switch (error._tag) {
    case "DustNetworkError":
    case "DustServerError":
      return true
    case "DustTimeoutError":
      return error.phase !== "total"
    case "DustBadRequestError":
      // The minute is over, or an earlier attempt has marked the file as failed.
      return error.status === 400 && error.type === "invalid_request_error"
    default:
      return false
  }
}

const capped = (
  identity: Operation.Identity,
  maxBytes: number | undefined,
  response: HttpClientResponse.HttpClientResponse,
  body: Stream.Stream<Uint8Array, RequestError>
): Stream.Stream<Uint8Array, RequestError> =>
  Stream.suspend(() => {
    const { headers } = response
    const declared = headers["content-encoding"] === undefined && headers["content-length"] !== undefined
      ? Number(headers["content-length"])
      : undefined
    const over = () => tooLarge(identity, "max_bytes", `the file has more than ${maxBytes} bytes (maxBytes)`)
    if (maxBytes !== undefined && declared !== undefined && declared > maxBytes) return Stream.fail(over())
    let received = 0
    return body.pipe(
      Stream.mapEffect((piece) => {
        received += piece.length
        return maxBytes !== undefined && received > maxBytes ? Effect.fail(over()) : Effect.succeed(piece)
      }),
      Stream.concat(Stream.suspend(() =>
        declared !== undefined && received < declared
          ? Stream.fail(
            errors.network(identity, 1, `the file broke off after ${received} of ${declared} bytes`, {
              type: "truncated",
              reachedServer: true,
              details: { received, declared }
            })
          )
          : Stream.empty
      ))
    )
  })

const breaksOff = (error: RequestError): boolean =>
  error._tag === "DustNetworkError" || (error._tag === "DustTimeoutError" && error.phase === "idle")

const concat = (pieces: Chunk.Chunk<Uint8Array>): Uint8Array => {
  const joined = new Uint8Array(Chunk.reduce(pieces, 0, (sum, piece) => sum + piece.length))
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = Effect.map(DustClient, (client) => {
  const announce: Service["create"] = (options) =>
    Effect.map(
      client.execute(create, {
        body: {
          contentType: options.contentType,
          fileName: options.fileName,
          fileSize: options.fileSize,
          useCase: "conversation",
          useCaseMetadata: options.conversationId === undefined ? undefined : {
            conversationId: options.conversationId,
            sourceProvider: options.sourceProvider,
            sourceIcon: options.sourceIcon
          }
        }
      }),
      ({ file }) => file
    )

  const transfer = <E, E2>(
    announced: AnnouncedFile,
    prepared: Prepared<E>,
    attempt: 1 | 2,
    onProgress: ((progress: UploadProgress) => Effect.Effect<void, E2>) | undefined
  ): Effect.Effect<File, { readonly own: Cause.Cause<E | E2 | RequestError> } | { readonly sending: RequestError }> =>
    Effect.flatMap(Multipart.boundary, (boundary) => {
      const part: Multipart.Part = {
        name: "file",
        fileName: prepared.fileName,
        contentType: prepared.contentType,
        size: prepared.size
      }
      let own: Cause.Cause<E | E2 | RequestError> | undefined
      const body: HttpBody.HttpBody =
        prepared.bytes !== undefined && prepared.bytes.length <= copied && onProgress === undefined
          ? Multipart.ofBytes(part, prepared.bytes, boundary)
          : Multipart.ofStream(
            part,
            held(
              prepared,
              (sent) => onProgress === undefined ? Effect.void : onProgress({ sent, total: prepared.size, attempt })
            ).pipe(
              Stream.tapErrorCause((cause) =>
                Effect.sync(() => {
                  own = cause
                })
              )
            ),
            boundary
          )
      return client.execute(send, {
        path: { fileId: announced.sId },
        url: announced.uploadUrl,
        rawBody: body
      }).pipe(
        Effect.flatMap(({ file }) =>
          file.status === "failed"
            ? Effect.fail(
              errors.serverFailure(send, 1, "file_failed", "Dust took the file and then failed to process it", {
                fileId: file.sId
              })
            )
            : Effect.succeed(file)
        ),
        Effect.mapError((error) => own === undefined ? { sending: error } : { own })
      )
    })

  const upload: Service["upload"] = <E, R, E2, R2>(
    options: UploadOptions<E, R, E2, R2>
  ): Effect.Effect<File, E | E2 | RequestError, R | R2> =>
    Effect.gen(function*() {
      const prepared = yield* prepare(options)
      const context = yield* Effect.context<R2>()
      const given = options.onProgress
      const onProgress = given === undefined
        ? undefined
        : (progress: UploadProgress) => Effect.provide(given(progress), context)
      const announced = announce({
        fileName: prepared.fileName,
        contentType: prepared.contentType,
        fileSize: prepared.size,
        conversationId: options.conversationId,
        sourceProvider: options.sourceProvider,
        sourceIcon: options.sourceIcon
      })
      const both = (attempt: 1 | 2) =>
        Effect.flatMap(announced, (file) => Effect.either(transfer(file, prepared, attempt, onProgress)))
      const first = yield* both(1)
      if (first._tag === "Right") return first.right
      if ("own" in first.left) return yield* Effect.failCause(first.left.own)
      const error = first.left.sending
      const { retry } = yield* client.settings
      const delay = mayRestart(error) && !prepared.once
        ? yield* Effect.flatMap(delays(retry), (next) => next(error))
        : Option.none()
      if (Option.isNone(delay)) return yield* Effect.fail(error)
      yield* Effect.sleep(delay.value)
      const second = yield* both(2)
      if (second._tag === "Right") return second.right
      return yield* "own" in second.left ? Effect.failCause(second.left.own) : Effect.fail(second.left.sending)
    })

  const uploadStream: Service["uploadStream"] = <E, R, E2, R2>(
    options: UploadOptions<E, R, E2, R2>
  ): Stream.Stream<UploadEvent, E | E2 | RequestError, R | R2> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<UploadEvent, E | E2 | RequestError>({ capacity: 16, strategy: "sliding" })
      yield* upload({
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
    }))

  const read = (
    operation: Operation.Operation<"/api/v1/w/{workspaceId}/files/{fileId}", undefined, string>,
    action: "download" | "view",
    options: ReadOptions
  ): Stream.Stream<Uint8Array, RequestError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const outer = yield* Effect.scope
      const inner = yield* Scope.fork(outer, ExecutionStrategy.sequential)
      const response = yield* Scope.extend(
        client.open(operation, {
          path: { fileId: options.fileId },
          query: { action, version: options.version }
        }, { accept: "*/*", redirects: "return" }),
        inner
      )
      if (!isRedirect(response.status)) {
        return capped(operation, options.maxBytes, response, client.body(operation, response))
      }
      const location = response.headers["location"] ?? ""
      yield* Scope.close(inner, Exit.void)
      const stored = yield* client.open(operation, { path: { fileId: options.fileId }, url: location }, {
        accept: "*/*",
        origin: "storage"
      })
      return continued(operation, location, options, stored)
    }))

  /** A download that breaks off goes on where it stopped, if the storage can send a part of this very file. */
  const continued = (
    operation: Operation.Operation<"/api/v1/w/{workspaceId}/files/{fileId}", undefined, string>,
    location: string,
    { fileId, maxBytes }: ReadOptions,
    first: HttpClientResponse.HttpClientResponse
  ): Stream.Stream<Uint8Array, RequestError> =>
    Stream.unwrap(Effect.gen(function*() {
      const next = yield* Effect.flatMap(client.settings, ({ retry }) => delays(retry))
      const { headers } = first
      const version = headers["etag"] ?? headers["last-modified"]
      const resumes = headers["accept-ranges"] === "bytes" && version !== undefined &&
        headers["content-encoding"] === undefined
      let received = 0
      const go = (response: HttpClientResponse.HttpClientResponse): Stream.Stream<Uint8Array, RequestError> => {
        const left = maxBytes === undefined ? undefined : maxBytes - received
        return capped(operation, left, response, client.body(operation, response)).pipe(
          Stream.tap((piece) =>
            Effect.sync(() => {
              received += piece.length
            })
          ),
          Stream.catchAll((error) =>
            resumes && breaksOff(error) ? Stream.unwrapScoped(again(error)) : Stream.fail(error)
          )
        )
      }
      const again = (error: RequestError) =>
        Effect.gen(function*() {
          const delay = yield* next(error)
          if (Option.isNone(delay)) return yield* Effect.fail(error)
          yield* Effect.sleep(delay.value)
          const rest = yield* client.open(operation, {
            path: { fileId },
            url: location,
            headers: { range: `bytes=${received}-`, "if-range": version ?? "" }
          }, { accept: "*/*", origin: "storage" })
          // Anything else would be the file from its beginning, or another one.
          return rest.status === 206 ? go(rest) : Stream.fail(error)
        })
      return go(first)
    }))

  const collected = (stream: Stream.Stream<Uint8Array, RequestError>) => Effect.map(Stream.runCollect(stream), concat)

  return Files.of({
    create: announce,
    upload,
    uploadStream,
    download: (options) => read(download, "download", options),
    downloadBytes: (options) =>
      client.withTotal({ ...download, method: "downloadBytes" })(
        collected(read(download, "download", { ...options, maxBytes: options.maxBytes ?? collectLimit }))
      ),
    downloadTo: ({ path, ...options }) =>
      Effect.flatMap(FileSystem.FileSystem, (fileSystem) => {
        const partial = `${path}.part`
        let size = 0
        return read(download, "download", options).pipe(
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
      }),
    view: (options) => read(view, "view", options),
    viewText: (options) =>
      Effect.map(
        client.withTotal({ ...view, method: "viewText" })(
          collected(read(view, "view", { ...options, maxBytes: options.maxBytes ?? collectLimit }))
        ),
        (bytes) => new TextDecoder().decode(bytes)
      ),
    delete: (fileId) => client.execute(remove, { path: { fileId } })
  })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Files, never, DustClient> = Layer.effect(Files, make)
