/**
 * Members of a workspace and the workspaces of a user: what `Workspace.me` and `Workspace.listMembers` return.
 *
 * ```ts
 * import type { Me } from "effect-dust/User"
 * import { Workspace } from "effect-dust/Workspace"
 * import { Effect } from "effect"
 *
 * const greeting = (me: Me) => `Hello ${me.firstName ?? me.username ?? "there"}`
 *
 * const program = Effect.flatMap(Workspace, (workspace) => workspace.me()).pipe(Effect.map(greeting))
 * ```
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { UserId, WorkspaceId } from "./Ids.ts"
import { list, nullable, openLiteral } from "./internal/decode/schema.ts"

/**
 * A member of a workspace.
 *
 * @category schemas
 * @since 0.1.0
 */
export const User = Schema.Struct({
  sId: UserId,
  /** Epoch milliseconds. */
  createdAt: nullable(Schema.Number),
  /** How the user signs in. */
  provider: nullable(openLiteral("auth0", "github", "google", "okta", "samlp", "waad")),
  username: nullable(Schema.String),
  email: nullable(Schema.String),
  firstName: nullable(Schema.String),
  lastName: nullable(Schema.String),
  fullName: nullable(Schema.String),
  /** URL of a picture. */
  image: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface User extends Schema.Schema.Type<typeof User> {}

/**
 * A workspace of a user.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserWorkspace = Schema.Struct({
  sId: WorkspaceId,
  name: nullable(Schema.String),
  /** The role of the user in the workspace. */
  role: nullable(openLiteral("admin", "manager", "builder", "user", "none")),
  segmentation: nullable(Schema.String),
  /** `null` if all providers are allowed. */
  whiteListedProviders: nullable(Schema.Array(Schema.String)),
  defaultEmbeddingProvider: nullable(openLiteral("openai", "mistral")),
  regionalModelsOnly: nullable(Schema.Boolean),
  ssoEnforced: nullable(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface UserWorkspace extends Schema.Schema.Type<typeof UserWorkspace> {}

/**
 * The user of an access token.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Me = Schema.Struct({
  ...User.fields,
  workspaces: list(UserWorkspace),
  /** The id of the workspace that is selected in the web application. */
  selectedWorkspace: nullable(Schema.String),
  origin: nullable(openLiteral("provisioned", "invited", "auto-joined"))
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Me extends Schema.Schema.Type<typeof Me> {}

/**
 * An active member of the workspace.
 *
 * @category schemas
 * @since 0.2.0
 */
export const WorkspaceMember = Schema.Struct({
  sId: UserId,
  email: nullable(Schema.String),
  /** `null` with older servers. */
  seatType: nullable(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface WorkspaceMember extends Schema.Schema.Type<typeof WorkspaceMember> {}
