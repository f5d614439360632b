/**
 * Spaces, which divide the knowledge and the tools of a workspace: lists them, their members and their tools.
 *
 * Methods fail with `DustNotFoundError` (`space_not_found`) if the space does not exist or the credential cannot access it;
 * Dust does not distinguish the two. Dust's API cannot create, change or delete spaces.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { RequestError } from "./DustAPIError.ts"
import type { DustClient } from "./DustClient.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { spaces } from "./internal/api/spaces.ts"
import { pickByName } from "./internal/input/findByName.ts"
import type { Space } from "./Space.ts"

/**
 * All methods accept an API key or an access token, and fail with `RequestError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof spaces> {
  /**
   * Finds the space with this name, projects included: by an exact match, else ignoring case. Retried automatically.
   *
   * Fails with `DustNotFoundError` for an unknown name (`details.near` has similar names), and with `DustBadRequestError` if
   * several spaces have it (`details.candidates`).
   *
   * @example
   * ```ts
   * import { Spaces } from "effect-dust/Spaces"
   * import { Effect } from "effect"
   *
   * const program = Spaces.pipe(
   *   Effect.flatMap((spaces) => spaces.findByName("Company Data")),
   *   Effect.map((space) => space.sId)
   * )
   * ```
   *
   * Source: `GET /api/v1/w/{workspaceId}/spaces`;
   * `front-api/routes/v1/w/[wId]/spaces/index.ts` in dust-tt/dust.
   */
  readonly findByName: (name: string) => Effect.Effect<Space, RequestError>
}

/**
 * The tag of the service: `yield* Spaces` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Spaces extends Context.Tag("effect-dust/Spaces")<Spaces, Service>() {}

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(Spaces, spaces, ({ call, operation }) => ({
  findByName: (name: string) =>
    pickByName(
      operation.findByName.list,
      "space",
      name,
      call.findByName.list({ kinds: ["system", "global", "regular", "project"] })
    )
}))

/**
 * Provides {@link Spaces} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spaces, never, DustClient> = Layer.effect(Spaces, make)
