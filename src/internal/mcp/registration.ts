/** A registration that is kept alive: signs of life, the stream of requests, another registration when Dust forgets it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { StreamError } from "../../DustAPIError.ts"
import type { McpServerId } from "../../Ids.ts"
import type { McpRequest } from "../../McpServer.ts"
import { Cursor } from "../stream/cursor.ts"
import type { Endpoints } from "./endpoints.ts"

export interface Registered {
  readonly serverId: McpServerId
  /** How often it was registered, and how often Dust has answered a sign of life. */
  readonly times: number
  readonly signs: number
}

/** Dust does not know the server, or not any more. */
export const isGone = (error: StreamError): boolean =>
  error.type === "mcp_server_connection_not_found" || error.type === "mcp_auth_error"

/** Nothing that waiting or registering again could cure. A token that could not be had may be had the next time. */
const isFatal = (error: StreamError): boolean =>
  (error._tag === "DustUnauthorizedError" && error.type !== "token_unavailable") ||
  error._tag === "DustUserRequiredError" ||
  (error._tag === "DustForbiddenError" && error.type !== "mcp_auth_error")

export const pause = (failures: number): Effect.Effect<void> =>
  Effect.flatMap(
    Random.nextRange(0.8, 1.2),
    (jitter) => Effect.sleep(Math.min(30_000, 500 * 2 ** failures) * jitter)
  )

export interface Keeping {
  readonly endpoints: Endpoints
  readonly name: string
  readonly interval: Duration.Duration
  readonly registered: SubscriptionRef.SubscriptionRef<Registered>
  readonly doubts: Queue.Queue<void>
  readonly receive: (serverId: McpServerId, request: McpRequest) => Effect.Effect<void>
}

/** A sign of life that is repeated until it is answered, one way or the other. */
const isAlive = (keeping: Keeping, serverId: McpServerId, failures = 0): Effect.Effect<boolean, StreamError> =>
  Effect.catchAll(
    Effect.as(keeping.endpoints.heartbeat(serverId), true),
    (error): Effect.Effect<boolean, StreamError> =>
      isGone(error)
        ? Effect.succeed(false)
        : isFatal(error)
        ? Effect.fail(error)
        : Effect.zipRight(pause(failures), isAlive(keeping, serverId, failures + 1))
  )

/** Reads until Dust reports that the server is unknown. */
const read = (keeping: Keeping, serverId: McpServerId): Effect.Effect<void, StreamError> => {
  const cursor = new Cursor(undefined)
  let failures = 0
  const attempt: Effect.Effect<void, StreamError> = Effect.suspend(() =>
    Stream.runForEach(keeping.endpoints.requests({ serverId, lastEventId: cursor.safePosition }), (request) => {
      failures = 0
      if (request.eventId !== undefined) cursor.accept(request.eventId)
      return keeping.receive(serverId, request)
    })
  )
  const loop: Effect.Effect<void, StreamError> = Effect.flatMap(Effect.either(attempt), (ended) => {
    if (Either.isLeft(ended)) {
      if (isFatal(ended.left)) return Effect.fail(ended.left)
      if (isGone(ended.left)) {
        return Effect.flatMap(
          isAlive(keeping, serverId),
          (alive) => alive ? Effect.zipRight(pause(failures++), loop) : Effect.void
        )
      }
    }
    return Effect.zipRight(pause(failures++), loop)
  })
  return loop
}

/** Sends heartbeats until Dust reports that the server is unknown. */
const beat = (keeping: Keeping, serverId: McpServerId): Effect.Effect<void, StreamError> =>
  Effect.raceFirst(Effect.sleep(keeping.interval), Queue.take(keeping.doubts)).pipe(
    Effect.zipRight(isAlive(keeping, serverId)),
    Effect.flatMap((alive) =>
      alive
        ? Effect.zipRight(
          SubscriptionRef.update(keeping.registered, (now) => ({ ...now, signs: now.signs + 1 })),
          beat(keeping, serverId)
        )
        : Effect.void
    )
  )

const registerAgain = (keeping: Keeping, failures = 0): Effect.Effect<McpServerId, StreamError> =>
  Effect.catchAll(
    Effect.map(keeping.endpoints.register(keeping.name), ({ serverId }) => serverId),
    (error): Effect.Effect<McpServerId, StreamError> =>
      isFatal(error) ? Effect.fail(error) : Effect.zipRight(pause(failures), registerAgain(keeping, failures + 1))
  )

/** Keeps a registration; ends only with an error that nothing could cure. */
export const live = (keeping: Keeping, serverId: McpServerId): Effect.Effect<never, StreamError> =>
  Effect.raceFirst(read(keeping, serverId), beat(keeping, serverId)).pipe(
    Effect.zipRight(registerAgain(keeping)),
    Effect.tap((serverId) =>
      SubscriptionRef.update(keeping.registered, (before) => ({ ...before, serverId, times: before.times + 1 }))
    ),
    Effect.flatMap((serverId) => live(keeping, serverId))
  )
