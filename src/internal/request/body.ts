/** The body of a response, as a stream of bytes. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DustDecodeError, DustNetworkError, DustTimeoutError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { decompressed } from "./compression.ts"
import * as errors from "./errors.ts"
import { watched } from "./idleTimeout.ts"
import { failureOf } from "./network.ts"

export type BodyError = DustNetworkError | DustTimeoutError | DustDecodeError

export type Pull = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<BodyError>>

/** The error for a response in an encoding that the platform cannot decode. */
export const unreadable = (identity: Identity, attempts: number, coding: string): DustDecodeError =>
  errors.decode(
    identity,
    attempts,
    `the response has the content-encoding ${coding}, which was not requested and cannot be decoded here; check for a proxy`,
    [{ path: "", message: "no compression" }],
    { type: "unreadable_encoding" }
  )

/** The next bytes of a body, decompressed, with a limit on each wait. Fails with `None` at the end. */
export const pull = (
  identity: Identity,
  response: HttpClientResponse.HttpClientResponse,
  idle: Duration.Duration
): Effect.Effect<Pull, never, Scope.Scope> =>
  Effect.flatMap(Stream.toPull(response.stream), (bytes) =>
    Effect.flatMap(
      watched(
        Effect.mapError(
          bytes,
          Option.flatMap((error): Option.Option<BodyError> =>
            error.reason === "EmptyBody" ? Option.none() : Option.some(broken(identity, error.cause))
          )
        ),
        idle,
        () => Option.some<BodyError>(silent(identity, idle))
      ),
      (bytes) =>
        decompressed<BodyError>(
          bytes,
          response.headers["content-encoding"],
          (coding) => unreadable(identity, 1, coding),
          () => broken(identity, undefined)
        )
    ))

const broken = (identity: Identity, cause: unknown): BodyError =>
  errors.network(identity, 1, "the connection closed before the end of the response", {
    type: failureOf(cause).code,
    reachedServer: true
  })

const silent = (identity: Identity, idle: Duration.Duration): BodyError =>
  errors.timeout(identity, 1, "idle", idle, `received nothing within ${Duration.format(idle)}`)
