/** Uploads a file: validation, two requests, and at most one restart. */
import type * as HttpBody from "@effect/platform/HttpBody"
import type * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { DustBadRequestError, DustContentTooLargeError, RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import {
  type AnnouncedFile,
  contentTypeOf,
  type CreateOptions,
  type File,
  isSupported,
  unsupportedTypeOf,
  type UploadOptions,
  type UploadProgress
} from "../../File.ts"
import type { Calls, Operations } from "../api/endpoint.ts"
import { type files, maxFileName } from "../api/files.ts"
import type { Identity } from "../api/operation.ts"
import * as errors from "../request/errors.ts"
import { delays } from "../request/retry.ts"
import * as Multipart from "../util/multipart.ts"
import { sourceOf } from "./content.ts"

type Send = Operations<typeof files>["upload"]["send"]
type Announce = Calls<typeof files>["upload"]["announce"]

const pieceSize = 64 * 1024
/** Bytes that are copied into one body; larger content is streamed. */
const copied = 4 * 1024 * 1024

export const announceWith =
  (announce: Announce) => (options: CreateOptions): Effect.Effect<AnnouncedFile, RequestError> =>
    announce({
      contentType: options.contentType,
      fileName: options.fileName,
      fileSize: options.fileSize,
      useCase: "conversation",
      useCaseMetadata: options.conversationId === undefined ? undefined : {
        conversationId: options.conversationId,
        sourceProvider: options.sourceProvider,
        sourceIcon: options.sourceIcon
      }
    })

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

/** The content type of a file: the given one, or one derived from its name or its own type. */
const typeOf = (
  identity: Identity,
  options: Pick<UploadOptions, "contentType" | "checkType">,
  fileName: string,
  own: string | undefined
): Either.Either<string, DustBadRequestError> => {
  const refuse = (expected: string, got?: string) =>
    Either.left(errors.badInput(identity, "contentType", expected, got))
  const ownType = withoutParameters(own ?? "")
  const contentType = options.contentType ?? contentTypeOf(fileName) ?? (ownType === "" ? undefined : ownType)
  if (contentType === undefined) {
    const known = unsupportedTypeOf(fileName)
    return refuse(
      known === undefined
        ? "set, because the file name implies no content type that Dust accepts"
        : `one that Dust accepts, which ${known} is not`
    )
  }
  if (/[^\x21-\x7e ]/.test(contentType) || contentType.trim() === "") {
    return refuse("one line of ASCII")
  }
  return options.checkType !== false && !isSupported(contentType)
    ? refuse("one of `File.contentTypes`, without parameters", contentType.slice(0, 100))
    : Either.right(contentType)
}

const prepare = <E, R>(
  send: Identity,
  options: UploadOptions<E, R, unknown, unknown>
): Effect.Effect<Prepared<E | DustBadRequestError>, DustBadRequestError | DustContentTooLargeError, R> => {
  const refuse = (field: string, expected: string, got?: string) =>
    Effect.fail(errors.badInput(send, field, expected, got))
  const source = sourceOf<E, R, DustBadRequestError>(
    options.content,
    () => errors.badInput(send, "content", "readable")
  )
  if (source === undefined) {
    return refuse("content", "text, bytes, a Blob, a ReadableStream or a Stream")
  }
  const { bytes } = source
  const fileName = options.fileName ?? source.name
  if (fileName === undefined || fileName.trim() === "") return refuse("fileName", "a non-blank name")
  if (fileName.length > maxFileName) return refuse("fileName", `at most ${maxFileName} characters long`)
  const contentType = typeOf(send, options, fileName, source.type)
  if (Either.isLeft(contentType)) return Effect.fail(contentType.left)
  const size = source.size ?? options.size
  if (size === undefined) return refuse("size", "the number of bytes, which is required for a Stream")
  if (options.size !== undefined && options.size !== size) {
    return refuse("size", `${size}, the size of the content`, String(options.size))
  }
  if (size === 0) return refuse("content", "non-empty")
  if (!Number.isSafeInteger(size) || size < 0) return refuse("size", "a whole number of bytes, at least 1")
  if (options.maxBytes !== undefined && size > options.maxBytes) {
    return Effect.fail(
      errors.overLimit(
        send,
        "max_bytes",
        `the content has ${size} bytes; the maximum is ${options.maxBytes} (maxBytes)`
      )
    )
  }
  return Effect.map(Effect.context<R>(), (context) => ({
    fileName,
    contentType: contentType.right,
    size,
    bytes,
    once: source.once,
    stream: Stream.provideContext(source.stream, context)
  }))
}

/** Counts the bytes, and enforces the announced size. */
const held = <E, E2>(
  send: Identity,
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
            errors.overLimit(send, "size_mismatch", `the content is larger than its \`size\` of ${prepared.size} bytes`)
          )
          : Effect.as(progress(sent), piece)
      }),
      Stream.concat(Stream.suspend(() =>
        sent < prepared.size
          ? Stream.fail(errors.badInput(send, "size", `${sent}, the size of the content`, String(prepared.size)))
          : Stream.empty
      ))
    )
  })

/** Failures of the second step that a restart may fix. */
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

/**
 * The second step: sends the bytes. Failures of the content or of the caller's progress are separate from failures of
 * the request.
 */
const transfer = <E, E2>(
  client: Client,
  send: Send,
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
            send,
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
            errors.serverFailure(send, 1, "file_failed", "Dust received the file but failed to process it", {
              fileId: file.sId
            })
          )
          : Effect.succeed(file)
      ),
      Effect.mapError((error) => own === undefined ? { sending: error } : { own })
    )
  })

/** Both steps, reported under the method of `operation`. */
export const uploadWith = (
  client: Client,
  operation: { readonly send: Send },
  call: { readonly announce: Announce }
) =>
<E, R, E2, R2>(
  options: UploadOptions<E, R, E2, R2>
): Effect.Effect<File, E | E2 | RequestError, R | R2> =>
  Effect.gen(function*() {
    const prepared = yield* prepare(operation.send, options)
    const context = yield* Effect.context<R2>()
    const given = options.onProgress
    const onProgress = given === undefined
      ? undefined
      : (progress: UploadProgress) => Effect.provide(given(progress), context)
    const announced = announceWith(call.announce)({
      fileName: prepared.fileName,
      contentType: prepared.contentType,
      fileSize: prepared.size,
      conversationId: options.conversationId,
      sourceProvider: options.sourceProvider,
      sourceIcon: options.sourceIcon
    })
    const both = (attempt: 1 | 2) =>
      Effect.flatMap(announced, (file) =>
        Effect.either(transfer(client, operation.send, file, prepared, attempt, onProgress)))
    const first = yield* both(1)
    if (first._tag === "Right") {
      return first.right
    }
    if ("own" in first.left) {
      return yield* Effect.failCause(first.left.own)
    }
    const error = first.left.sending
    const { retry } = yield* client.settings
    const delay = mayRestart(error) && !prepared.once
      ? yield* Effect.flatMap(delays(retry), (next) =>
        next(error))
      : Option.none()
    if (Option.isNone(delay)) return yield* Effect.fail(error)
    yield* Effect.sleep(delay.value)
    const second = yield* both(2)
    if (second._tag === "Right") return second.right
    return yield* "own" in second.left ? Effect.failCause(second.left.own) : Effect.fail(second.left.sending)
  })
