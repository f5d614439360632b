/**
 * Spaces, their members, and the MCP servers that are available in them: what `Spaces` returns.
 *
 * ```ts
 * import type { Space } from "effect-dust/Space"
 * import { Spaces } from "effect-dust/Spaces"
 * import { Effect } from "effect"
 *
 * const isOpen = (space: Space) => space.isRestricted !== true
 *
 * const openSpaces = Effect.flatMap(Spaces, (spaces) => spaces.list()).pipe(Effect.map((all) => all.filter(isOpen)))
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as Schema from "effect/Schema"
import { McpServerViewId, SpaceId, UserId } from "./Ids.ts"
import { anything, list, nullable, openLiteral, withDefault } from "./internal/decode/schema.ts"
import { commaSeparated } from "./internal/input/query.ts"

/**
 * A space.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Space = Schema.Struct({
  sId: SpaceId,
  name: withDefault(Schema.String, () => ""),
  /** `global` is "Company Data", which all members share. A `project` is also called a pod. */
  kind: withDefault(openLiteral("regular", "global", "system", "conversations", "public", "project"), () => "regular"),
  /** Whether it is visible to its members only. */
  isRestricted: nullable(Schema.Boolean),
  /** Whether members are added individually or through groups of the identity provider. */
  managementMode: nullable(openLiteral("manual", "group")),
  groupIds: list(Schema.String),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** Epoch milliseconds. */
  updatedAt: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Space extends Schema.Schema.Type<typeof Space> {}

const listed = ["system", "global", "regular", "project"] as const

/**
 * The kinds of spaces that a list can contain.
 *
 * @category models
 * @since 0.2.0
 */
export type ListedSpaceKind = (typeof listed)[number]

/**
 * Selects the spaces of a list.
 *
 * @category schemas
 * @since 0.2.0
 */
export const SpaceFilter = Schema.Struct({
  /** Defaults to `system`, `global` and `regular`. */
  kinds: Schema.optional(commaSeparated(
    Schema.Literal(...listed),
    "at least one of system, global, regular and project"
  ))
})

/**
 * @category models
 * @since 0.2.0
 */
export interface SpaceFilter extends Schema.Schema.Type<typeof SpaceFilter> {}

/**
 * A member of a space.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpaceMember = Schema.Struct({
  sId: UserId,
  email: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface SpaceMember extends Schema.Schema.Type<typeof SpaceMember> {}

/**
 * A tool of an MCP server.
 *
 * @category schemas
 * @since 0.1.0
 */
export const McpTool = Schema.Struct({
  name: Schema.String,
  description: nullable(Schema.String),
  /** The JSON Schema of its arguments. */
  inputSchema: anything
})

/**
 * @category models
 * @since 0.1.0
 */
export interface McpTool extends Schema.Schema.Type<typeof McpTool> {}

/**
 * An MCP server in a space. Pass its `sId` in `selectedMCPServerViewIds` to make its tools available for a message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const McpServerView = Schema.Struct({
  sId: McpServerViewId,
  /** Its name in this space; `null` if it has the name of the server. */
  name: nullable(Schema.String),
  description: nullable(Schema.String),
  spaceId: nullable(SpaceId),
  serverType: nullable(openLiteral("remote", "internal")),
  /** The account that the tools use. */
  oAuthUseCase: nullable(openLiteral("personal_actions", "platform_actions")),
  server: nullable(Schema.Struct({
    sId: nullable(Schema.String),
    name: nullable(Schema.String),
    version: nullable(Schema.String),
    description: nullable(Schema.String),
    icon: nullable(Schema.String),
    availability: nullable(openLiteral("manual", "auto", "auto_hidden_builder")),
    allowMultipleInstances: nullable(Schema.Boolean),
    documentationUrl: nullable(Schema.String),
    authorization: nullable(Schema.Struct({
      provider: nullable(Schema.String),
      supportedUseCases: list(Schema.String).pipe(Schema.fromKey("supported_use_cases")),
      scope: nullable(Schema.String)
    })),
    tools: list(McpTool)
  })),
  editedByUser: nullable(Schema.Struct({
    /** Epoch milliseconds. */
    editedAt: nullable(Schema.Number),
    fullName: nullable(Schema.String),
    email: nullable(Schema.String),
    userId: nullable(UserId)
  })),
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** Epoch milliseconds. */
  updatedAt: nullable(Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface McpServerView extends Schema.Schema.Type<typeof McpServerView> {}
