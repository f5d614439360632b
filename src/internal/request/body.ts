import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { DustNetworkError, DustTimeoutError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { common, networkCode } from "./errors.ts"
import { watched } from "./idleTimeout.ts"

type BodyError = DustNetworkError | DustTimeoutError

export type Pull = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<BodyError>>

/** The next bytes of a body. None: it has ended. */
export const pull = (
  identity: Identity,
  response: HttpClientResponse.HttpClientResponse,
  idle: Duration.Duration
): Effect.Effect<Pull, never, Scope.Scope> => {
  const name = `${identity.module}.${identity.method}`
  const broken = (cause: unknown): BodyError => {
    const code = networkCode(cause)
    return new DustNetworkError({
      ...common(identity, 1),
      message: `${name}: the connection broke off before the end`,
      type: code,
      details: { code },
      reachedServer: true
    }, { disableValidation: true })
  }
  const silent = (): Option.Option<BodyError> =>
    Option.some(
      new DustTimeoutError({
        ...common(identity, 1),
        message: `${name}: nothing came within ${Duration.format(idle)}`,
        type: "timeout",
        details: { phase: "idle", limit: Duration.format(idle) },
        phase: "idle",
        limit: idle
      }, { disableValidation: true })
    )
  return Effect.flatMap(Stream.toPull(response.stream), (pull) =>
    watched(
      Effect.mapError(
        pull,
        Option.flatMap((error) => error.reason === "EmptyBody" ? Option.none() : Option.some(broken(error.cause)))
      ),
      idle,
      silent
    ))
}
